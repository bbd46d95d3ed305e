import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parse } from 'csv-parse/sync'
import { CommandLineError } from '../../src/cli/errors.ts'
import { parsePeriod } from '../../src/cli/period.ts'
import { createProgram } from '../../src/cli/program.ts'
import { csv, csvAmount, unmarked } from '../../src/text/csv.ts'
import { json } from '../../src/text/json.ts'
import { moneyText, parseMoney } from '../../src/text/money.ts'
import { printable } from '../../src/text/printable.ts'
import { baseScale, quantityScale, quantityText } from '../../src/text/quantity.ts'
import { sizeText } from '../../src/text/size.ts'
import { table } from '../../src/text/table.ts'
import { distance, shortTime } from '../../src/text/time.ts'
import { GPU, MILLION, NOW, REQUESTS, TOKENS } from './support.ts'

describe('quantities', () => {
  test('are exact, or marked as rounded', () => {
    for (const [amount, size, text] of [
      [0n, 1n, '0'],
      [1_234_567n * MILLION, MILLION, '1,234,567'],
      [12_345n * MILLION, 1000n * MILLION, '12.345'],
      [-500n * MILLION, 1000n * MILLION, '-0.5'],
      [1n, 3n, '~0.333'],
      [2n, 3n, '~0.667'],
      [-2n, 3n, '~-0.667'],
      [1n, MILLION, '~0.000'],
      [999_999n, MILLION, '~1.000'],
      [10n ** 30n, MILLION, `1${',000'.repeat(8)}`],
    ] as const) {
      assert.equal(quantityText(amount, size), text)
    }
  })

  test('name what a quantity of one is', () => {
    assert.equal(quantityScale(TOKENS).unit, '1,000 token')
    assert.equal(quantityScale(REQUESTS).unit, 'request')
    assert.equal(quantityScale(GPU).unit, 'h')
    assert.equal(quantityScale({ ...GPU, size: 1800n * MILLION }).unit, '0.5 h')
    assert.equal(quantityScale({ ...REQUESTS, unit: '1' }).unit, 'unit')
  })

  test('in base units are always exact', () => {
    assert.equal(baseScale(GPU).unit, 's')
    assert.equal(baseScale(GPU).text(1_234_567_890_123n), '1,234,567.890123')
    assert.equal(baseScale(TOKENS).unit, 'token')
  })
})

test('money is exact', () => {
  for (const text of ['0.00', '1.00', '0.00000001', '12.50', '2.345', '999999999999.99999999']) {
    assert.equal(moneyText(parseMoney(text)), text)
  }
  assert.equal(moneyText(parseMoney('0.00001') * 9_007_199_254_740_993n), '90071992547.40993')
  assert.equal(moneyText(-parseMoney('0.1')), '-0.10')
  for (const text of ['', '1.', '.5', '01', '-1', '1e3', '0.000000001'])
    assert.throws(() => parseMoney(text), TypeError)
})

describe('periods', () => {
  const period = (from?: string, to?: string) => {
    const found = parsePeriod(from, to, NOW)
    return [found.from, found.to].map(time => (time === undefined ? '-' : shortTime(time)))
  }

  test('reach from the beginning of one time to the end of another', () => {
    assert.deepEqual(period(), ['-', '-'])
    assert.deepEqual(period('2026', '2026'), ['2026-01-01T00Z', '2027-01-01T00Z'])
    assert.deepEqual(period('2026-11', '2026-12'), ['2026-11-01T00Z', '2027-01-01T00Z'])
    assert.deepEqual(period('2024-02-29', '2024-02-29'), ['2024-02-29T00Z', '2024-03-01T00Z'])
    assert.deepEqual(period('2026-11-21T08', '2026-11-21T08Z'), ['2026-11-21T08Z', '2026-11-21T09Z'])
    assert.deepEqual(period('24h', '60m'), ['2026-11-20T09Z', '2026-11-21T09Z'])
    assert.deepEqual(period('1w', undefined), ['2026-11-14T09Z', '-'])
    assert.deepEqual(period('2026-11-21T08:30', '2026-11-21 09:30:15.5Z'), ['2026-11-21T08Z', '2026-11-21T10Z'])
    assert.deepEqual(period('2026-11-21T08:00+02:00'), ['2026-11-21T06Z', '-'])
  })

  test('that make no sense are refused', () => {
    for (const text of [
      '',
      'yesterday',
      '2026-13',
      '2026-02-30',
      '2026-11-21T24',
      '2026-11-21T09:61',
      '26-11',
      '-1h',
    ]) {
      assert.throws(() => period(text), CommandLineError, text)
    }
    assert.throws(() => period('2026-12', '2026-11'), /before --to/)
  })
})

describe('text from outside', () => {
  test('cannot steer a terminal', () => {
    assert.equal(printable('a\u001b[31m\nb\u009b\u202e'), 'a\\u001b[31m\\u000ab\\u009b\\u202e')
    assert.equal(printable('a long answer', 7), 'a long…')
    assert.equal(json({ a: '\u001b\u009b' }), '{\n  "a": "\\u001b\\u009b"\n}')
  })

  test('is quoted in CSV, and no formula', () => {
    assert.equal(
      csv(
        ['a', 'b'],
        [
          ['x,"y"', 'line\nline'],
          ['=1+1', -5],
          [csvAmount(-5_250_000n), '-5+1'],
          [undefined, true],
          ['@x', '+1'],
        ],
      ),
      'a,b\r\n"x,""y""","line\nline"\r\n\'=1+1,-5\r\n-5.25,\'-5+1\r\n,true\r\n\'@x,\'+1\r\n',
    )
  })

  test('stays the text that it is in CSV, and numbers stay numbers of any length', () => {
    // What Excel, LibreOffice and Sheets make of them: numbers, dates, times, truth values, formulas.
    const mistakable = [
      ...[
        '012345678901',
        '123456789012',
        '00',
        '1.10',
        '1e5',
        '12E4',
        '1,234',
        '5%',
        '$5',
        '(5)',
        '1/2',
        '10:30',
        '5 PM',
      ],
      ...['2026-11-21', '21.11.2026', 'MAR1', '1-Sep', 'Sept 2', 'TRUE', 'false', '10.123.123.123', '1,111122223333'],
      ...['=1+1', '+1', '-x', '@x', '\tx', '＝1', "'=1", "''007"],
    ]
    const plain = [
      ...['0', '17', '12345678901', 'prod,111122223333', '2026-11-21T09:40:00.000Z', 'u-fc273356', 'us-east-1', '-5'],
      ...['tokens-1k', '1 × 12.5', '5a1b0c9d-0000-4000-8000-000000000002', "'quoted'", "'", 'may', 'maybe-1', 'e1'],
    ]
    for (const [texts, mark] of [
      [mistakable, "'"],
      [plain, ''],
    ] as const) {
      for (const text of texts) {
        const [[cell]] = parse(csv(['x'], [[text]]), { from: 2 }) as [[string]]
        assert.equal(cell, mark + text)
        assert.equal(unmarked(cell), text)
      }
    }
    assert.equal(unmarked("'x"), "'x")
    const numbers = [9_007_199_254_740_993n * MILLION, -123_456_789_012n * MILLION, 500_000n].map(csvAmount)
    assert.equal(csv(['x'], [numbers]), 'x\r\n9007199254740993,-123456789012,0.5\r\n')
  })

  test('in CSV says that it is UTF-8 where that matters', () => {
    assert.equal(csv(['x'], [['Müller']]), '\ufeffx\r\nMüller\r\n')
  })
})

test('times and sizes are short', () => {
  assert.equal(shortTime(NOW), '2026-11-21T09:40Z')
  assert.equal(shortTime(NOW + 1000), '2026-11-21T09:40:01Z')
  assert.equal(distance(NOW - 600_000, NOW), '10 min ago')
  assert.equal(distance(NOW + 5 * 3_600_000, NOW), 'in 5 h')
  assert.equal(distance(NOW - 96 * 3_600_000, NOW), '4 days ago')
  assert.deepEqual([0, 999, 1000, 12_345, 1_400_000_000].map(sizeText), ['0 B', '999 B', '1.0 kB', '12 kB', '1.4 GB'])
})

describe('a table', () => {
  const columns = [
    { title: 'NAME', of: ([name]: readonly string[]) => name ?? '' },
    { title: 'COUNT', of: ([, count]: readonly string[]) => count ?? '', number: true },
    { title: 'NOTE', of: ([, , note]: readonly string[]) => note ?? '', optional: true },
  ] as const
  const rows = [
    ['a', '1,200', 'x'],
    ['longer', '3.25', 'a  b'],
  ]

  test('has decimal points under one another', () => {
    assert.equal(table(columns, rows), 'NAME       COUNT  NOTE\na       1,200     x\nlonger      3.25  a  b')
  })

  test('leaves out what the terminal has no room for, and says so', () => {
    assert.equal(
      table(columns, rows, { width: 20 }),
      'NAME       COUNT\na       1,200\nlonger      3.25\n(too narrow for: note; --json has them)',
    )
  })

  test('has colours without moving columns', () => {
    const painted = table([{ ...columns[0], format: () => 'red' as const }, columns[1]], rows, {
      paint: (format, text) => `\u001b[${format === 'bold' ? 1 : 31}m${text}\u001b[0m`,
    })
    assert.equal(
      painted,
      '\u001b[1mNAME\u001b[0m       \u001b[1mCOUNT\u001b[0m\n\u001b[31ma\u001b[0m       1,200\n\u001b[31mlonger\u001b[0m      3.25',
    )
  })
})

test('each command explains itself in 80 columns', () => {
  for (const command of [createProgram(), ...createProgram().commands]) {
    let text = ''
    command.configureOutput({
      writeOut: more => {
        text += more
      },
      getOutHelpWidth: () => 80,
    })
    command.outputHelp()
    // A word that is longer than that is alone on its line.
    const long = text.split('\n').filter(line => line.length > 80 && /\S\s/.test(line))
    assert.deepEqual(long, [], command.name())
  }
})
