import type { HeldReason, RecordEntry } from '../../ledger/ledger.ts'
import { HELD_ADVICE } from '../../text/held-advice.ts'
import { plain } from '../../text/paint.ts'
import { type Column, indented, type TableOptions, table } from '../../text/table.ts'
import type { Dimension } from '../../usage/dimension.ts'
import { quantityColumn, RECORD_COLUMNS } from './records.ts'

/** Held records by reason, each with what it means and what to do. */
export function heldText(
  records: readonly RecordEntry[],
  dimensions: ReadonlyMap<string, Dimension>,
  options: TableOptions = {},
): string {
  if (records.length === 0) return 'Nothing is held.'
  const { paint = plain } = options
  // In the order of the advice: what AWS may have billed comes first.
  const sections = (Object.keys(HELD_ADVICE) as HeldReason[]).flatMap(reason => {
    const group = records.filter(record => record.reason === reason)
    if (group.length === 0) return []
    const { means, commands } = HELD_ADVICE[reason]
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
