import { amountWords, unitWords } from '../../text/amount-words.ts'
import { printable } from '../../text/printable.ts'
import { quantityScale } from '../../text/quantity.ts'
import { formatAmount } from '../../usage/amount.ts'
import type { Dimension } from '../../usage/dimension.ts'

/** How much of a dimension, for a program and for a person. */
export interface Quantity {
  /** A decimal number of base units, exact. */
  readonly amount: string
  /** As it is sold, `1,234.5` of the dimension's unit; what had to be rounded begins with `~`. */
  readonly quantity: string
  /** The same with its unit: `1 request`, `8 hours`, `12.5 × 1,000 tokens`. */
  readonly words: string
}

/** How much of a dimension, among others. */
export interface Usage {
  readonly dimension: string
  readonly quantity: Quantity
  /** What a quantity of one is: `token`, `1,000 token`, `h`. */
  readonly unit: string
  /** As a sentence says it: with the name of the dimension where others count in the same unit. */
  readonly text: string
}

export function quantityOf(amount: bigint, dimension: Dimension): Quantity {
  const { text } = quantityScale(dimension)
  return { amount: formatAmount(amount), quantity: text(amount), words: amountWords(amount, dimension) }
}

/** What a quantity of one is: `token`, `1,000 token`, `h`. */
export function unitOf(dimension: Dimension): string {
  return quantityScale(dimension).unit
}

/** A dimension that the ledger has learnt of since its totals were read is shown in base units. */
export function quantityIn(amount: bigint, dimension: Dimension | undefined): { quantity: Quantity; unit: string } {
  if (dimension !== undefined) return { quantity: quantityOf(amount, dimension), unit: unitOf(dimension) }
  const text = formatAmount(amount)
  return { quantity: { amount: text, quantity: text, words: `${text} in base units` }, unit: 'in base units' }
}

/** Amounts of dimensions, in the order of the dimensions that are known. */
export function usagesOf(
  amounts: ReadonlyMap<string, bigint>,
  dimensions: ReadonlyMap<string, Dimension>,
): readonly Usage[] {
  const alike = Map.groupBy(dimensions.values(), unitWords)
  const order = [...dimensions.keys()]
  return [...amounts]
    .sort(([a], [b]) => order.indexOf(a) - order.indexOf(b))
    .map(([name, amount]) => {
      const dimension = dimensions.get(name)
      const { quantity, unit } = quantityIn(amount, dimension)
      const alone = dimension !== undefined && alike.get(unitWords(dimension))?.length === 1
      return {
        dimension: name,
        quantity,
        unit,
        text: alone ? quantity.words : `${quantity.words} of ${printable(name)}`,
      }
    })
}
