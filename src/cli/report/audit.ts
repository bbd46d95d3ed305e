import { HOUR } from '../../ledger/hours.ts'
import type { AuditEntry } from '../../ledger/ledger.ts'
import { accountLabel } from '../../text/account.ts'
import { csv, csvAmount } from '../../text/csv.ts'
import { printable } from '../../text/printable.ts'
import { quantityText } from '../../text/quantity.ts'
import { type Column, type TableOptions, table } from '../../text/table.ts'
import { iso, shortTime } from '../../text/time.ts'
import { formatAmount } from '../../usage/amount.ts'
import type { Dimension } from '../../usage/dimension.ts'
import type { AuditEntry as AuditOutput } from '../json.ts'

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
  const said: Column<AuditEntry>[] = [
    {
      title: 'WRITTEN',
      of: entry => (writtenLater(entry) ? shortTime(entry.writtenAt as number) : '-'),
      optional: true,
    },
    {
      title: 'SYSTEM USER',
      of: entry => (isOther(entry) ? printable(entry.systemUser as string) : '-'),
      optional: true,
    },
  ]
  const differing = said.filter(({ of }) => entries.some(entry => of(entry) !== '-'))
  return table<AuditEntry>(
    [
      { title: 'NUMBER', of: entry => String(entry.number ?? '-'), number: true, optional: true },
      { title: 'AT', of: entry => shortTime(entry.at) },
      { title: 'WHO', of: entry => printable(entry.who) },
      { title: 'ACTION', of: entry => printable(entry.action) },
      { title: 'RECORD', of: entry => entry.recordId ?? '-', optional: true },
      { title: 'ACCOUNT', of: entry => (entry.account === undefined ? '-' : accountLabel(entry.account)) },
      { title: 'DIMENSION', of: entry => printable(entry.dimension ?? '-'), optional: true },
      { title: 'QUANTITY', of: quantity, number: true },
      { title: 'DETAIL', of: entry => printable(entry.detail ?? '-'), optional: true },
      { title: 'WHY', of: entry => printable(entry.why) },
      ...differing,
    ],
    entries,
    options,
  )
}

/** So long may it take from what is said to where it is written, clocks and folding included. */
const USUAL_DELAY = 2 * HOUR

function writtenLater({ at, writtenAt }: AuditEntry): boolean {
  return writtenAt !== undefined && Math.abs(writtenAt - at) > USUAL_DELAY
}

/** Whether it was written by somebody else than who is said to have done it, on whatever machine. */
function isOther({ who, systemUser }: AuditEntry): boolean {
  return systemUser !== undefined && !systemUser.startsWith(`${who}@`)
}

/** What persons did, for a program. */
export function auditJson(entries: readonly AuditEntry[], dimensions: ReadonlyMap<string, Dimension>): AuditOutput[] {
  return entries.map(({ at, writtenAt, amount, ...entry }) => ({
    at: iso(at),
    ...(writtenAt !== undefined && { writtenAt: iso(writtenAt) }),
    ...entry,
    ...(amount !== undefined && {
      amount: formatAmount(amount),
      baseUnit: dimensions.get(entry.dimension ?? '')?.baseUnit ?? null,
    }),
  }))
}

/** What persons did, for a spreadsheet. */
export function auditCsv(entries: readonly AuditEntry[], dimensions: ReadonlyMap<string, Dimension>): string {
  return csv(
    [
      ...['at', 'who', 'action', 'record', 'account', 'dimension', 'amount', 'base_unit', 'detail', 'why'],
      ...['number', 'written_at', 'system_user', 'hash'],
    ],
    entries.map(({ at, who, action, recordId, account, dimension, amount, detail, why, ...written }) => [
      ...[iso(at), who, action, recordId, account?.key, dimension],
      ...(amount === undefined
        ? [undefined, undefined]
        : [csvAmount(amount), dimensions.get(dimension ?? '')?.baseUnit]),
      ...[detail, why],
      ...[written.number, written.writtenAt === undefined ? undefined : iso(written.writtenAt)],
      ...[written.systemUser, written.hash],
    ]),
  )
}
