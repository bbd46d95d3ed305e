import { ConfigurationError } from '../errors.ts'
import type { Unit } from './units.ts'

/**
 * The largest amount: of a data point, of a counter's total and of a ledger's entry. 2¹²⁰ millionths are 1.3 × 10³⁰
 * units: a counter of 64 bits cannot show as much, be it of days or gigabytes. What is beyond is no measurement.
 */
export const MAX_AMOUNT = 2n ** 120n

export type AmountProblem = 'not-a-number' | 'negative' | 'out-of-range'

// Below it the product of the fast path is off by less than 2⁻¹⁰, half a unit in the last place.
const FAST_LIMIT = 2 ** 43
const FAST_MARGIN = 2 ** -10

/**
 * A measured value as an amount: millionths of the unit's base unit, exact for integers, and for fractions the
 * millionth nearest to the double's exact value (halves up). Or why it is not one.
 *
 * @param largest what is beyond it is no amount
 */
export function toAmount(value: number | bigint, unit: Unit, largest = MAX_AMOUNT): bigint | AmountProblem {
  if (typeof value === 'bigint') return inRange(value, 1n, unit, largest)
  if (!Number.isFinite(value)) return 'not-a-number'
  if (value < 0) return 'negative'
  if (unit.factor !== undefined) {
    const product = value * unit.factor
    if (Number.isInteger(value)) {
      if (product <= Number.MAX_SAFE_INTEGER) return BigInt(product)
    } else if (product < FAST_LIMIT) {
      const rounded = Math.round(product)
      // Unless it is so near a half that the product's own error could tip it.
      if (0.5 - Math.abs(product - rounded) > FAST_MARGIN) return BigInt(rounded)
    }
  }
  if (Number.isInteger(value)) return inRange(BigInt(value), 1n, unit, largest)
  // A double is an integer over a power of two. Scaling by powers of two is exact.
  let scaled = value
  let power = 0n
  while (!Number.isInteger(scaled)) {
    scaled *= 2
    power += 1n
  }
  return inRange(BigInt(scaled), 2n ** power, unit, largest)
}

function inRange(dividend: bigint, divisor: bigint, unit: Unit, largest: bigint): bigint | AmountProblem {
  if (dividend < 0n) return 'negative'
  const numerator = dividend * unit.numerator
  const denominator = divisor * unit.denominator
  const amount = (2n * numerator + denominator) / (2n * denominator)
  return amount > largest ? 'out-of-range' : amount
}

/** An amount without its sign. */
export const magnitude = (amount: bigint): bigint => (amount < 0n ? -amount : amount)

/** An amount in its base unit, exact and without trailing zeros: `1234500000n` is `'1234.5'`. */
export function formatAmount(amount: bigint): string {
  const digits = magnitude(amount).toString().padStart(7, '0')
  const fraction = digits.slice(-6).replace(/(?<!0)0+$/, '')
  return `${amount < 0n ? '-' : ''}${digits.slice(0, -6)}${fraction && '.'}${fraction}`
}

/** The amount that a decimal number of base units is: `'1234.5'` is `1234500000n`. */
export function parseAmount(text: string): bigint {
  const [, sign, whole, fraction = ''] = /^(-?)(\d+)(?:\.(\d{1,6}))?$/.exec(text) ?? []
  if (whole === undefined) {
    throw new ConfigurationError(
      `Expected an amount such as 1234.5, with at most six decimals, got ${JSON.stringify(text)}`,
    )
  }
  const amount = BigInt(whole + fraction.padEnd(6, '0'))
  return sign ? -amount : amount
}
