import type { RecordEntry } from '../../ledger/ledger.ts'
import { accountName } from '../../text/account.ts'
import { printable } from '../../text/printable.ts'
import { amountText as amountOfDimension } from '../../text/quantity.ts'
import { shortTime } from '../../text/time.ts'
import type { Dimension } from '../../usage/dimension.ts'

/** A record as a sentence names it. */
export function recordName(record: RecordEntry, dimensions: ReadonlyMap<string, Dimension>): string {
  const { id, account, dimension, hour, quantity, size } = record
  const amount = amountText(BigInt(quantity) * size, dimension, dimensions)
  return `record ${id}: ${amount} of ${accountName(account)}, ${shortTime(hour)}`
}

/** An amount of a dimension as a sentence names it. */
export function amountText(amount: bigint, name: string, dimensions: ReadonlyMap<string, Dimension>): string {
  const dimension = dimensions.get(name)
  return dimension === undefined ? printable(name) : amountOfDimension(amount, dimension)
}
