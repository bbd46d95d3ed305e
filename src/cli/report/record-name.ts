import type { RecordEntry } from '../../ledger/ledger.ts'
import { accountName } from '../../text/account.ts'
import { printable } from '../../text/printable.ts'
import { quantityScale } from '../../text/quantity.ts'
import { shortTime } from '../../text/time.ts'
import type { Dimension } from '../../usage/dimension.ts'

/** A record as a sentence names it. */
export function recordName(record: RecordEntry, dimensions: ReadonlyMap<string, Dimension>): string {
  const { id, account, dimension, hour, quantity, size } = record
  const amount = amountText(BigInt(quantity) * size, dimension, dimensions)
  return `record ${id}: ${amount} of ${accountName(account)}, ${shortTime(hour)}`
}

/** An amount as a sentence names it: `12.5 × 1,000 token of tokens-processed`. */
export function amountText(amount: bigint, name: string, dimensions: ReadonlyMap<string, Dimension>): string {
  const dimension = dimensions.get(name)
  if (dimension === undefined) return printable(name)
  const { text, unit } = quantityScale(dimension)
  return `${text(amount)}${/^\d/.test(unit) ? ' ×' : ''} ${printable(unit)} of ${printable(name)}`
}
