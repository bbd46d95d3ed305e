/** The largest quantity that one usage record can carry. */
export const MAX_QUANTITY = 2_147_483_647

/** What is sold: the API name of a Marketplace dimension, and how much usage a quantity of one stands for. */
export interface Dimension {
  /** The dimension's API name at Marketplace, at most 255 characters. */
  readonly name: string
  /** The unit in which it is sold, as UCUM writes it: `{token}`, `h`, … */
  readonly unit: string
  /** The unit whose millionths amounts count: `s` for times, `By` for bytes, `1` for everything that is counted. */
  readonly baseUnit: 's' | 'By' | '1'
  /** The amount, in millionths of the base unit, that a quantity of one stands for. */
  readonly size: bigint
  /** A quantity above it is held instead of sent. */
  readonly maxQuantity?: number
  /** A quantity above it is told, and sent. It is of a process's configuration: ledgers do not keep it. */
  readonly alertQuantity?: number
}
