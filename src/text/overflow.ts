import type { Overflow } from '../ledger/rules/overflow.ts'
import { MAX_QUANTITY } from '../usage/dimension.ts'
import { amountWords } from './amount-words.ts'
import { printable } from './printable.ts'

export const OVERFLOW_ADVICE = 'Sell a larger unit, under a new dimension with a larger "per"'

/** What a person is told where customers use more in an hour than a record takes. */
export function overflowText({ dimension, customers, hours, amount }: Overflow): string {
  const whose = customers > 1 ? `${customers.toLocaleString('en-US')} customers are behind; of the furthest ` : ''
  return (
    `More of ${printable(dimension.name)} is used than AWS takes: a record has ${MAX_QUANTITY.toLocaleString('en-US')} units at most, and one ` +
    `customer has one record an hour. ${whose}${amountWords(amount, dimension)} wait for the next ${hours} hours, and what ` +
    'is used meanwhile comes on top; with that much in every hour it never ends'
  )
}
