import type { Allocation, RecordEntry } from '../../ledger/ledger.ts'
import { accountLabel, licenceLabel } from '../../text/account.ts'
import { csv, csvAmount } from '../../text/csv.ts'
import { printable } from '../../text/printable.ts'
import { quantityText } from '../../text/quantity.ts'
import { type Column, type TableOptions, table } from '../../text/table.ts'
import { iso, shortTime } from '../../text/time.ts'
import { formatAmount } from '../../usage/amount.ts'
import type { Dimension } from '../../usage/dimension.ts'
import type { UsageRecord } from '../json.ts'

const ANSWER_LENGTH = 80

/** Columns that several tables of records have. */
export const RECORD_COLUMNS = {
  id: { title: 'ID', of: record => record.id, number: true },
  hour: { title: 'HOUR', of: record => shortTime(record.hour) },
  customer: { title: 'CUSTOMER', of: record => accountLabel(record.account) },
  licence: { title: 'LICENCE', of: record => licenceLabel(record.account), optional: true },
  dimension: { title: 'DIMENSION', of: record => printable(record.dimension) },
  attempts: { title: 'ATTEMPTS', of: record => String(record.attempts), number: true, optional: true },
  answer: { title: 'LAST ANSWER', of: record => printable(record.lastAnswer ?? '-', ANSWER_LENGTH), optional: true },
} as const satisfies Record<string, Column<RecordEntry>>

/**
 * The quantity that AWS gets; `1 × 12.5` for what a restored ledger holds in one piece, or where the dimension's size
 * has changed since.
 */
export function quantityColumn(dimensions: ReadonlyMap<string, Dimension>): Column<RecordEntry> {
  const text = ({ quantity, size, dimension }: RecordEntry) => {
    const present = dimensions.get(dimension)?.size
    const count = quantity.toLocaleString('en-US')
    return present === undefined || present === size ? count : `${count} × ${quantityText(size, present)}`
  }
  return { title: 'QUANTITY', of: text, number: true }
}

/** Usage records for a person. */
export function recordsTable(
  records: readonly RecordEntry[],
  dimensions: ReadonlyMap<string, Dimension>,
  options: TableOptions = {},
): string {
  if (records.length === 0) return 'No records.'
  const columns: Column<RecordEntry>[] = [
    RECORD_COLUMNS.id,
    RECORD_COLUMNS.hour,
    RECORD_COLUMNS.customer,
    ...(records.some(record => record.account.licenseArn) ? [RECORD_COLUMNS.licence] : []),
    RECORD_COLUMNS.dimension,
    quantityColumn(dimensions),
    { title: 'STATE', of: stateText, format: stateFormat },
    RECORD_COLUMNS.attempts,
    { title: 'IN DOUBT', of: record => (record.inDoubt ? 'yes' : 'no'), optional: true },
    { title: 'DEADLINE', of: record => shortTime(record.deadline), optional: true },
    { title: 'NEXT ATTEMPT', of: nextText, optional: true },
    RECORD_COLUMNS.answer,
    { title: 'METERING RECORD ID', of: record => printable(record.meteringRecordId ?? '-'), optional: true },
  ]
  return table(columns, records, options)
}

const stateText = ({ state, reason }: RecordEntry) => (reason === undefined ? state : `${state}: ${printable(reason)}`)

function stateFormat({ state }: RecordEntry) {
  return ({ metered: 'green', pending: undefined, held: 'yellow', returned: 'dim' } as const)[state]
}

function nextText({ state, nextAttemptAt = 0 }: RecordEntry): string {
  if (state !== 'pending') return '-'
  return nextAttemptAt === 0 ? 'at once' : shortTime(nextAttemptAt)
}

/** Usage records for a program. `amount` and `size` are decimal numbers of `baseUnit`, as strings. */
export function recordsJson(
  records: readonly RecordEntry[],
  dimensions: ReadonlyMap<string, Dimension>,
): UsageRecord[] {
  return records.map(record => ({
    id: record.id,
    account: record.account,
    dimension: record.dimension,
    hour: iso(record.hour),
    timestamp: iso(record.timestamp),
    region: record.region,
    quantity: record.quantity,
    allocations: record.allocations?.map(allocationJson) ?? null,
    size: formatAmount(record.size),
    amount: formatAmount(BigInt(record.quantity) * record.size),
    baseUnit: dimensions.get(record.dimension)?.baseUnit ?? null,
    state: record.state,
    reason: record.reason ?? null,
    attempts: record.attempts,
    inDoubt: record.inDoubt,
    deadline: iso(record.deadline),
    nextAttemptAt: record.nextAttemptAt ? iso(record.nextAttemptAt) : null,
    lastAnswer: record.lastAnswer ?? null,
    meteringRecordId: record.meteringRecordId ?? null,
  }))
}

/** How much of a record is for which tags; null for what has none. */
const allocationJson = ([quantity, tags]: Allocation) => ({
  ...{ quantity, tags: tags === undefined ? null : Object.fromEntries(tags) },
})

/** Usage records for a spreadsheet. */
export function recordsCsv(records: readonly RecordEntry[], dimensions: ReadonlyMap<string, Dimension>): string {
  const header = [
    ...['id', 'account', 'product', 'account_id', 'customer_identifier', 'license_arn', 'dimension', 'hour'],
    ...['timestamp', 'region', 'quantity', 'size', 'amount', 'base_unit', 'state', 'reason', 'attempts', 'in_doubt'],
    ...['deadline', 'next_attempt_at', 'last_answer', 'metering_record_id'],
  ]
  const rows = records.map(record => [
    ...[record.id, record.account.key, record.account.product, record.account.accountId],
    ...[record.account.customerIdentifier, record.account.licenseArn, record.dimension, iso(record.hour)],
    ...[iso(record.timestamp), record.region, record.quantity, csvAmount(record.size)],
    ...[csvAmount(BigInt(record.quantity) * record.size), dimensions.get(record.dimension)?.baseUnit],
    ...[record.state, record.reason, record.attempts],
    ...[record.inDoubt, iso(record.deadline), record.nextAttemptAt ? iso(record.nextAttemptAt) : undefined],
    ...[record.lastAnswer, record.meteringRecordId],
  ])
  return csv(header, rows)
}
