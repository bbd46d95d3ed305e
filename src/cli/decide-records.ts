import type { Ledger, RecordEntry } from '../ledger/ledger.ts'
import { newGroup } from '../ledger/rules/audit.ts'
import { checkDecision } from '../ledger/rules/decisions.ts'
import { type BulkOptions, checkConfirmed, confirmation } from './choice.ts'
import { readDimensions } from './dimensions.ts'
import { TO_DECIDE } from './exit-status.ts'
import type { Decisions } from './json.ts'
import { type NoteOptions, noteOf } from './options.ts'
import { printAs, screen } from './output.ts'
import { decisionsJson, decisionsText, type Planned } from './report/decisions.ts'

/** How to take back what a command has done. */
export const undoText = (group: string): string =>
  `Take it back, while nothing of it is frozen: marketplace-meter undo ${group} --why "…"`

/**
 * Decides about held records, or says what would be decided. Nothing is, where one may not be decided so.
 *
 * @param before how many were decided before
 * @param note what there is to say of them
 * @throws LedgerError where one may not
 */
export async function decideRecords(
  ledger: Ledger,
  planned: readonly Planned[],
  options: NoteOptions & BulkOptions,
  { before = 0, note = [] }: { readonly before?: number; readonly note?: readonly string[] } = {},
): Promise<void> {
  for (const { record, decision } of planned) checkDecision(decision, record)
  checkConfirmed(planned.length, 'records', options)
  const { dryRun = false } = options
  const dimensions = await readDimensions(ledger)
  const group = newGroup()
  const results =
    dryRun || planned.length === 0
      ? []
      : await ledger.decideAll(
          planned.map(({ decision }) => decision),
          { ...noteOf(options), group },
        )
  const done = planned.filter((_, index) => results[index]?.error === undefined)
  const refused = planned.flatMap(({ record }, index) => {
    const error = results[index]?.error
    return error === undefined ? [] : [{ record: record.id, code: error.code, message: error.message }]
  })
  const undoable = !dryRun && done.some(({ decision: { decision } }) => decision !== 'billed')
  printAs<Decisions>(options, {
    json: () => ({
      ...{ dryRun, group: dryRun || done.length === 0 ? null : group },
      ...{ decided: decisionsJson(done, dimensions), notDecided: refused, decidedBefore: before },
    }),
    text: () =>
      [
        ...note,
        ...(planned.length === 0 && note.length === 0 ? ['Nothing is held so.'] : []),
        ...(done.length === 0 ? [] : [decisionsText(done, dimensions, dryRun, screen())]),
        ...(dryRun && done.length > 0
          ? [`Nothing was changed. To do it, leave out --dry-run${confirmation(planned.length)}.`]
          : []),
        ...(refused.length === 0
          ? []
          : [`Somebody else has decided ${counted(refused.length)} meanwhile: ${refused[0]?.message}`]),
        ...(undoable ? [undoText(group)] : []),
      ].join('\n'),
  })
  if (refused.length > 0) process.exitCode = TO_DECIDE
}

export const counted = (records: number): string =>
  `${records.toLocaleString('en-US')} ${records === 1 ? 'record' : 'records'}`

/** The same decision about each of some records. */
export function planned(
  records: readonly RecordEntry[],
  decision: Pick<Planned['decision'], 'decision' | 'quantity'>,
): Planned[] {
  return records.map(record => ({ record, decision: { recordId: record.id, ...decision } }))
}
