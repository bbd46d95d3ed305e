import type { HeldReason, RecordEntry } from '../../ledger/ledger.ts'
import { amountOf } from '../../ledger/rules/decisions.ts'
import { csv } from '../../text/csv.ts'
import { HELD_ADVICE, heldCommands } from '../../text/held-advice.ts'
import { plain } from '../../text/paint.ts'
import { quantityText } from '../../text/quantity.ts'
import { type Column, indented, type TableOptions, table } from '../../text/table.ts'
import { iso } from '../../text/time.ts'
import { formatAmount } from '../../usage/amount.ts'
import type { Dimension } from '../../usage/dimension.ts'
import { quantityColumn, RECORD_COLUMNS } from './records.ts'

/**
 * Held records by reason, each with what it means and what to do.
 *
 * @param chosen the options by which these were chosen of all
 */
export function heldText(
  records: readonly RecordEntry[],
  dimensions: ReadonlyMap<string, Dimension>,
  options: TableOptions = {},
  chosen = '',
): string {
  if (records.length === 0) return 'Nothing is held.'
  const { paint = plain } = options
  // In the order of the advice: what AWS may have billed comes first.
  const sections = (Object.keys(HELD_ADVICE) as HeldReason[]).flatMap(reason => {
    const group = records.filter(record => record.reason === reason)
    if (group.length === 0) return []
    const { means } = HELD_ADVICE[reason]
    const commands = heldCommands(reason, group.length, group[0]?.id, chosen)
    return [
      paint(['bold', 'yellow'], `${reason}: ${group.length} ${group.length === 1 ? 'record' : 'records'}`),
      indented(means),
      ...commands.map(([when, command]) => `  - ${when}\n      marketplace-meter ${command}`),
      '',
      indented(table(columnsFor(group, dimensions), group, options)),
      '',
    ]
  })
  return sections.join('\n').trimEnd()
}

function columnsFor(
  records: readonly RecordEntry[],
  dimensions: ReadonlyMap<string, Dimension>,
): Column<RecordEntry>[] {
  return [
    RECORD_COLUMNS.id,
    RECORD_COLUMNS.hour,
    RECORD_COLUMNS.customer,
    ...(records.some(record => record.account.licenseArn) ? [RECORD_COLUMNS.licence] : []),
    RECORD_COLUMNS.dimension,
    quantityColumn(dimensions),
    RECORD_COLUMNS.attempts,
    // It says what to mend, so it is never left out.
    { title: RECORD_COLUMNS.answer.title, of: RECORD_COLUMNS.answer.of },
  ]
}

/** Held records for a spreadsheet, with columns for what a person decides. */
export function heldCsv(records: readonly RecordEntry[], dimensions: ReadonlyMap<string, Dimension>): string {
  const header = [
    ...['id', 'decision', 'billed_quantity', 'why', 'reason', 'product', 'account_id', 'customer_identifier'],
    ...['license_arn', 'dimension', 'hour', 'quantity', 'amount', 'base_unit', 'attempts', 'last_answer'],
  ]
  const rows = records.map(({ id, reason, account, dimension, hour, attempts, lastAnswer, ...record }) => {
    const amount = amountOf(record)
    // In units of today, as `billed_quantity` is.
    const { size = record.size, baseUnit } = dimensions.get(dimension) ?? {}
    return [
      ...[id, undefined, undefined, undefined, reason, account.product, account.accountId, account.customerIdentifier],
      ...[account.licenseArn, dimension, iso(hour), quantityText(amount, size).replaceAll(',', '')],
      ...[formatAmount(amount), baseUnit, attempts, lastAnswer],
    ]
  })
  return csv(header, rows)
}
