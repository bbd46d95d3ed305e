import { quantityScale } from '../../text/quantity.ts'
import { formatAmount } from '../../usage/amount.ts'
import type { Dimension } from '../../usage/dimension.ts'

/** How much of a dimension, for a program and for a person. */
export interface Quantity {
  /** A decimal number of base units, exact. */
  readonly amount: string
  /** As it is sold, `1,234.5` of the dimension's unit; what had to be rounded begins with `~`. */
  readonly quantity: string
}

export function quantityOf(amount: bigint, dimension: Dimension): Quantity {
  return { amount: formatAmount(amount), quantity: quantityScale(dimension).text(amount) }
}

/** What a quantity of one is: `token`, `1,000 token`, `h`. */
export function unitOf(dimension: Dimension): string {
  return quantityScale(dimension).unit
}
