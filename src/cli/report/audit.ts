import type { AuditEntry } from '../../ledger/ledger.ts'
import { accountLabel } from '../../text/account.ts'
import { csv } from '../../text/csv.ts'
import { printable } from '../../text/printable.ts'
import { quantityText } from '../../text/quantity.ts'
import { type TableOptions, table } from '../../text/table.ts'
import { iso, shortTime } from '../../text/time.ts'
import { formatAmount } from '../../usage/amount.ts'
import type { Dimension } from '../../usage/dimension.ts'

/** What persons did, and what was found of others' counters, for a person. */
export function auditTable(
  entries: readonly AuditEntry[],
  dimensions: ReadonlyMap<string, Dimension>,
  options: TableOptions = {},
): string {
  if (entries.length === 0)
    return 'No entries: nobody has decided anything, and every point of a counter was simply counted.'
  const quantity = ({ amount, dimension = '' }: AuditEntry) => {
    const size = dimensions.get(dimension)?.size
    return amount === undefined || size === undefined ? '-' : quantityText(amount, size)
  }
  return table<AuditEntry>(
    [
      { title: 'AT', of: entry => shortTime(entry.at) },
      { title: 'WHO', of: entry => printable(entry.who) },
      { title: 'ACTION', of: entry => printable(entry.action) },
      { title: 'RECORD', of: entry => entry.recordId ?? '-', optional: true },
      { title: 'ACCOUNT', of: entry => (entry.account === undefined ? '-' : accountLabel(entry.account)) },
      { title: 'DIMENSION', of: entry => printable(entry.dimension ?? '-'), optional: true },
      { title: 'QUANTITY', of: quantity, number: true },
      { title: 'DETAIL', of: entry => printable(entry.detail ?? '-'), optional: true },
      { title: 'WHY', of: entry => printable(entry.why) },
    ],
    entries,
    options,
  )
}

/** What persons did, for a program. */
export function auditJson(entries: readonly AuditEntry[]): object[] {
  return entries.map(({ at, amount, ...entry }) => ({
    at: iso(at),
    ...entry,
    ...(amount !== undefined && { amount: formatAmount(amount) }),
  }))
}

/** What persons did, for a spreadsheet. */
export function auditCsv(entries: readonly AuditEntry[]): string {
  return csv(
    ['at', 'who', 'action', 'record', 'account', 'dimension', 'amount', 'detail', 'why'],
    entries.map(({ at, who, action, recordId, account, dimension, amount, detail, why }) => [
      ...[iso(at), who, action, recordId, account?.key, dimension],
      ...[amount === undefined ? undefined : formatAmount(amount), detail, why],
    ]),
  )
}
