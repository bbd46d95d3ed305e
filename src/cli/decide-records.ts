import type { Ledger, RecordEntry } from '../ledger/ledger.ts'
import { newGroup } from '../ledger/rules/audit.ts'
import { checkDecision } from '../ledger/rules/decisions.ts'
import { type BulkOptions, checkConfirmed, confirmation } from './choice.ts'
import { readDimensions } from './dimensions.ts'
import { type NoteOptions, noteOf } from './options.ts'
import { print, screen } from './output.ts'
import { decisionsText, type Planned } from './report/decisions.ts'

/** How to take back what a command has done. */
export const undoText = (group: string): string =>
  `Take it back, while nothing of it is frozen: marketplace-meter undo ${group} --why "…"`

/**
 * Decides about held records, or says what would be decided. Nothing is, where one may not be decided so.
 *
 * @throws LedgerError where one may not
 */
export async function decideRecords(
  ledger: Ledger,
  planned: readonly Planned[],
  options: NoteOptions & BulkOptions,
): Promise<void> {
  for (const { record, decision } of planned) checkDecision(decision, record)
  if (planned.length === 0) {
    print('Nothing is held so.')
    return
  }
  checkConfirmed(planned.length, 'records', options)
  const dimensions = await readDimensions(ledger)
  if (options.dryRun === true) {
    const then = `Nothing was changed. To do it, leave out --dry-run${confirmation(planned.length)}.`
    print(`${decisionsText(planned, dimensions, true, screen())}\n${then}`)
    return
  }
  const group = newGroup()
  const results = await ledger.decideAll(
    planned.map(({ decision }) => decision),
    { ...noteOf(options), group },
  )
  const done = planned.filter((_, index) => results[index]?.error === undefined)
  if (done.length > 0) print(decisionsText(done, dimensions, false, screen()))
  const refused = results.flatMap(({ error }) => error ?? [])
  if (refused.length > 0) {
    print(`Somebody else has decided ${counted(refused.length)} meanwhile: ${refused[0]?.message}`)
  }
  if (done.some(({ decision: { decision } }) => decision !== 'billed')) print(undoText(group))
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
