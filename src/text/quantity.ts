import { formatAmount } from '../usage/amount.ts'
import type { Dimension } from '../usage/dimension.ts'
import { parseUnit } from '../usage/units.ts'
import { printable } from './printable.ts'

const DECIMALS = 3

/** How a dimension's figures are read: each amount as a text, and the unit they all are in. */
export interface Scale {
  readonly unit: string
  readonly text: (amount: bigint) => string
}

/** Figures as Marketplace counts them: a quantity of one is `size`. What had to be rounded begins with `~`. */
export function quantityScale(dimension: Dimension): Scale {
  return { unit: soldUnit(dimension), text: amount => quantityText(amount, dimension.size) }
}

/** Figures in the base unit, always exact. */
export function baseScale({ unit, baseUnit }: Dimension): Scale {
  return {
    unit: baseUnit === '1' ? (countName(unit) ?? unit) : baseUnit,
    text: amount => grouped(formatAmount(amount)),
  }
}

/** An amount as a sentence names it, with its unit: `5,192.12 s`. */
export function baseAmount(amount: bigint, dimension: Dimension): string {
  const { text, unit } = baseScale(dimension)
  return `${text(amount)} ${unit}`
}

/** An amount as a sentence names it: `12.5 × 1,000 token of tokens-processed`. */
export function amountText(amount: bigint, dimension: Dimension): string {
  return `${soldAmount(amount, dimension)} of ${printable(dimension.name)}`
}

/** The same where the dimension was named: `12.5 × 1,000 token`. */
export function soldAmount(amount: bigint, dimension: Dimension): string {
  const { text, unit } = quantityScale(dimension)
  return `${text(amount)}${/^\d/.test(unit) ? ' ×' : ''} ${printable(unit)}`
}

/** `amount` / `size`, exact where three decimals are enough. */
export function quantityText(amount: bigint, size: bigint): string {
  const thousandths = amount * 10n ** BigInt(DECIMALS)
  const exact = thousandths % size === 0n
  const sign = amount < 0n ? -1n : 1n
  // Half away from zero.
  const rounded = (2n * thousandths + sign * size) / (2n * size)
  const text = formatAmount((exact ? thousandths / size : rounded) * 10n ** BigInt(6 - DECIMALS))
  return exact ? grouped(text) : `~${grouped(withDecimals(text))}`
}

/** What a quantity of one is: `token`, `1000 token`, `h`. */
function soldUnit({ unit, size }: Dimension): string {
  const known = parseUnit(unit)
  const name = countName(unit) ?? unit
  if (known === undefined || size * known.denominator === known.numerator) return name
  return `${quantityText(size * known.denominator, known.numerator)} ${name}`
}

/** What is counted: `token` of `{token}`; undefined for a unit of measurement. */
function countName(unit: string): string | undefined {
  if (unit === '1' || unit === '' || unit === '{}') return 'unit'
  return /^\{(.+)\}$/.exec(unit)?.[1]
}

function withDecimals(text: string): string {
  const [whole, fraction = ''] = text.split('.')
  return `${whole}.${fraction.padEnd(DECIMALS, '0')}`
}

/** `1234567.5` as `1,234,567.5`. */
function grouped(text: string): string {
  const [whole = '', fraction] = text.split('.')
  const sign = whole.startsWith('-') ? 1 : 0
  const first = sign + ((whole.length - sign) % 3 || 3)
  return (
    whole.slice(0, first) + whole.slice(first).replace(/.{3}/g, ',$&') + (fraction === undefined ? '' : `.${fraction}`)
  )
}
