import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ConfigurationError } from '../../src/errors.ts'
import { formatAmount, MAX_AMOUNT, parseAmount, toAmount } from '../../src/usage/amount.ts'
import { KNOWN_UNITS, parseUnit, type Unit } from '../../src/usage/units.ts'

const unit = (symbol: string) => parseUnit(symbol) as Unit

/** The slow way: a double's exact value from its bits, rounded half up. */
function reference(value: number, { numerator, denominator }: Unit): bigint {
  const bits = new DataView(new ArrayBuffer(8))
  bits.setFloat64(0, value)
  const raw = bits.getBigUint64(0)
  const exponent = Number((raw >> 52n) & 0x7ffn)
  const mantissa = (raw & ((1n << 52n) - 1n)) | (exponent === 0 ? 0n : 1n << 52n)
  const shift = Math.max(exponent, 1) - 1075
  const dividend = mantissa * numerator * (shift > 0 ? 1n << BigInt(shift) : 1n)
  const divisor = denominator * (shift < 0 ? 1n << BigInt(-shift) : 1n)
  return (2n * dividend + divisor) / (2n * divisor)
}

test('units convert to millionths of their base unit', () => {
  const cases: [string, number, bigint][] = [
    ['ns', 2500, 3n],
    ['us', 7, 7n],
    ['\u00b5s', 7, 7n],
    ['\u03bcs', 7, 7n],
    ['ms', 1.5, 1500n],
    ['s', 0.1, 100_000n],
    ['min', 1, 60_000_000n],
    ['h', 0.5, 1_800_000_000n],
    ['d', 1, 86_400_000_000n],
    ['bit', 8, 1_000_000n],
    ['By', 3, 3_000_000n],
    ['kBy', 1, 1_000_000_000n],
    ['MBy', 1, 1_000_000_000_000n],
    ['GBy', 1, 1_000_000_000_000_000n],
    ['TBy', 1, 1_000_000_000_000_000_000n],
    ['KiBy', 1, 1_024_000_000n],
    ['MiBy', 1, 1_048_576_000_000n],
    ['GiBy', 1, 1_073_741_824_000_000n],
    ['TiBy', 1, 1_099_511_627_776_000_000n],
    ['{token}', 12, 12_000_000n],
    ['1', 12, 12_000_000n],
    ['', 12, 12_000_000n],
  ]
  for (const [symbol, value, amount] of cases) assert.equal(toAmount(value, unit(symbol)), amount, symbol)
  const tested = new Set(cases.map(([symbol]) => symbol))
  for (const symbol of KNOWN_UNITS.replace(' or {anything}', '').split(', ')) assert.ok(tested.has(symbol), symbol)
})

test('unknown units are not units', () => {
  for (const symbol of ['tokens', 'hour', 'S', '%', 'KB', '{', '{a}{b}', 'By/s', ' s', 'constructor']) {
    assert.equal(parseUnit(symbol), undefined, symbol)
  }
})

test('every amount is the one nearest to the exact value of the double', () => {
  const symbols = fc.constantFrom('ns', 'us', 'ms', 's', 'min', 'h', 'd', 'bit', 'By', 'KiBy', '{token}')
  const values = fc.oneof(
    fc.double({ min: 0, max: 1e12, noNaN: true }),
    fc.double({ min: 0, max: 10, noNaN: true }),
    // Halves of a millionth, which the fast path must leave alone, and their neighbours.
    fc.integer({ min: 0, max: 2 ** 40 }).map(n => (n + 0.5) / 1e6),
    fc.integer({ min: 0, max: 2 ** 30 }).map(n => n / 128),
    fc.maxSafeInteger().map(Math.abs),
  )
  fc.assert(
    fc.property(symbols, values, (symbol, value) => {
      const expected = reference(value, unit(symbol))
      assert.equal(toAmount(value, unit(symbol)), expected > MAX_AMOUNT ? 'out-of-range' : expected)
    }),
    { numRuns: 20_000 },
  )
})

test('a half of a millionth rounds up', () => {
  assert.equal(toAmount(2 ** -7, unit('s')), 7813n)
  assert.equal(toAmount(3 * 2 ** -7, unit('s')), 23_438n)
})

test('integers beyond 2^53 are exact', () => {
  assert.equal(toAmount(2 ** 53 + 2, unit('us')), 9_007_199_254_740_994n)
  assert.equal(toAmount(2 ** 42 + 1, unit('{token}')), 4_398_046_511_105_000_000n)
  assert.equal(toAmount(2n ** 53n + 1n, unit('us')), 9_007_199_254_740_993n)
})

test('what cannot be an amount says why', () => {
  assert.equal(toAmount(Number.NaN, unit('s')), 'not-a-number')
  assert.equal(toAmount(Number.POSITIVE_INFINITY, unit('s')), 'not-a-number')
  assert.equal(toAmount(Number.NEGATIVE_INFINITY, unit('s')), 'not-a-number')
  assert.equal(toAmount(-1, unit('s')), 'negative')
  assert.equal(toAmount(-1n, unit('s')), 'negative')
  assert.equal(toAmount(-1e-9, unit('s')), 'negative')
  assert.equal(toAmount(-0, unit('s')), 0n)
  assert.equal(toAmount(2 ** 120, unit('us')), MAX_AMOUNT)
  assert.equal(toAmount(2n ** 120n + 1n, unit('us')), 'out-of-range')
  assert.equal(toAmount(1e300, unit('ns')), 'out-of-range')
  assert.equal(toAmount(Number.MAX_VALUE, unit('TiBy')), 'out-of-range')
})

test('whatever a counter of 64 bits shows is an amount, up to gigabytes and days', () => {
  for (const symbol of ['ns', 'ms', 's', 'h', 'd', 'bit', 'By', 'MiBy', 'GBy', '{token}']) {
    const { numerator, denominator } = unit(symbol)
    const exact = (2n * (2n ** 64n - 1n) * numerator + denominator) / (2n * denominator)
    assert.equal(toAmount(2n ** 64n - 1n, unit(symbol)), exact, symbol)
  }
  assert.equal(toAmount(1e18, unit('By')), 10n ** 24n)
})

test('amounts are written exactly and read back', () => {
  const cases: [bigint, string][] = [
    [0n, '0'],
    [1n, '0.000001'],
    [1_234_500_000n, '1234.5'],
    [-500_000n, '-0.5'],
    [1_000_000n, '1'],
    [10_000_000n, '10'],
    [MAX_AMOUNT, '1329227995784915872903807060280.344576'],
  ]
  for (const [amount, text] of cases) {
    assert.equal(formatAmount(amount), text)
    assert.equal(parseAmount(text), amount)
  }
  fc.assert(fc.property(fc.bigInt({ min: -(2n ** 70n), max: 2n ** 70n }), x => parseAmount(formatAmount(x)) === x))
})

test('what is no decimal number is refused', () => {
  for (const text of ['', '.5', '1.', '1e3', '0.0000001', ' 1', '+1', '1,000', '--1']) {
    assert.throws(() => parseAmount(text), {
      name: 'ConfigurationError',
      message: `Expected an amount such as 1234.5, with at most six decimals, got ${JSON.stringify(text)}`,
    })
  }
  assert.throws(() => parseAmount('x'), ConfigurationError)
})
