import type { Dimension } from '../usage/dimension.ts'
import { printable } from './printable.ts'
import { quantityScale } from './quantity.ts'

/** UCUM's symbols as a person says them, of one and of several. */
const MEASURES: ReadonlyMap<string, readonly [one: string, more: string]> = new Map([
  ['ns', ['nanosecond', 'nanoseconds']],
  ['us', ['microsecond', 'microseconds']],
  ['\u00b5s', ['microsecond', 'microseconds']],
  ['\u03bcs', ['microsecond', 'microseconds']],
  ['ms', ['millisecond', 'milliseconds']],
  ['s', ['second', 'seconds']],
  ['min', ['minute', 'minutes']],
  ['h', ['hour', 'hours']],
  ['d', ['day', 'days']],
  ['bit', ['bit', 'bits']],
  ['By', ['byte', 'bytes']],
  ...['k', 'M', 'G', 'T', 'Ki', 'Mi', 'Gi', 'Ti'].map(
    prefix => [`${prefix}By`, [`${prefix}B`, `${prefix}B`]] as [string, readonly [string, string]],
  ),
])

/** An amount as Marketplace counts it, as a sentence says it: `1 request`, `8 hours`, `12.5 × 1,000 tokens`. */
export function amountWords(amount: bigint, dimension: Dimension): string {
  const quantity = quantityScale(dimension).text(amount)
  const { size, one, more } = unitOf(dimension)
  if (size !== undefined) return `${quantity} × ${size} ${more}`
  return `${quantity} ${quantity === '1' ? one : more}`
}

/** What quantities of a dimension count: `requests`, `hours`, `1,000 tokens`. */
export function unitWords(dimension: Dimension): string {
  const { size, more } = unitOf(dimension)
  return size === undefined ? more : `${size} ${more}`
}

function unitOf(dimension: Dimension): {
  readonly size: string | undefined
  readonly one: string
  readonly more: string
} {
  const [, size, name = ''] = /^(?:(~?[\d,.]+) )?(.*)$/s.exec(quantityScale(dimension).unit) ?? []
  // What is in braces is a name, also where it is written as a symbol is.
  const [one, more] = (dimension.unit.startsWith('{') ? undefined : MEASURES.get(name)) ?? [name, plural(name)]
  return { size, one: printable(one), more: printable(more) }
}

/** As English has it of most nouns. What is no word, or is plural already, stays as it is. */
function plural(noun: string): string {
  if (!/[a-z]{3}$/.test(noun) || /[^s]s$/.test(noun)) return noun
  if (/(ss|x|z|ch|sh)$/.test(noun)) return `${noun}es`
  return /[^aeiou]y$/.test(noun) ? `${noun.slice(0, -1)}ies` : `${noun}s`
}
