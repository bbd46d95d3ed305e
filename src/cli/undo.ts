import { Command } from 'commander'
import { LedgerError } from '../ledger/errors.ts'
import type { AuditEntry, Ledger } from '../ledger/ledger.ts'
import { groupOf, newGroup } from '../ledger/rules/audit.ts'
import { UNDOABLE, undoneBy } from '../ledger/rules/undo.ts'
import { formatAmount } from '../usage/amount.ts'
import { addBulk, type BulkOptions, checkConfirmed, confirmation } from './choice.ts'
import { readDimensions } from './dimensions.ts'
import { FAILED, TO_DECIDE } from './exit-status.ts'
import type { Undone } from './json.ts'
import { withLedger } from './open-ledger.ts'
import { example, ledgerOption, type NoteOptions, noteOf, nowOption, whoOption, whyOption } from './options.ts'
import { printAs, screen } from './output.ts'
import { type Summand, sumsText } from './report/sums.ts'

export function undoCommand(): Command {
  const command = new Command('undo')
    .description('take back what a command has decided, while nothing of it is frozen')
    .argument('<entry>', 'the number of an entry, or the group of all that one command did, as "audit" shows them')
    .addOption(ledgerOption())
  return addBulk(command)
    .addOption(whoOption())
    .addOption(whyOption())
    .addOption(nowOption())
    .addHelpText(
      'after',
      `
A record that was released, settled as not billed or written off is held again,
for its old reason, and sent by nothing until it is decided anew. An attribution
goes back to the account that it was taken from, a write-off into the balance;
what of an attribution was held before is not held again. Amounts are alike: an
entry can be undone while there is as much in the balance. What was settled as
billed stays metered; an agreement that "release" has counted as running again
is ended by "finalize".`,
    )
    .addHelpText('after', example('marketplace-meter undo 1 --why "it was another record"'))
    .action(async (what: string, options: NoteOptions & BulkOptions) => {
      await withLedger(options.ledger, options.dryRun === true ? 'read' : 'write', async ledger => {
        const { entries, undone } = await entriesOf(ledger, what)
        const before = {
          count: undone,
          text: undoneText(what, undone),
        }
        await undoEntries(ledger, entries, before, options)
      })
    })
}

const counted = (entries: number) => entries.toLocaleString('en-US')

async function undoEntries(
  ledger: Ledger,
  entries: readonly AuditEntry[],
  before: { readonly count: number; readonly text: string },
  options: NoteOptions & BulkOptions,
): Promise<void> {
  checkConfirmed(entries.length, 'entries', options)
  const dimensions = await readDimensions(ledger)
  const { dryRun = false } = options
  const group = newGroup()
  const results = dryRun || entries.length === 0 ? [] : await ledger.undo([...entries], { ...noteOf(options), group })
  const done = entries.filter((_, index) => results[index]?.error === undefined).filter(isSummand)
  const failed = entries.flatMap(({ number = null }, index) => {
    const error = results[index]?.error
    return error === undefined ? [] : [{ number, error }]
  })
  const [first] = failed
  if (first !== undefined && done.length === 0 && failed.length === 1) throw first.error
  const sums = () => sumsText(done, { dimensions, counted: 'ENTRIES', options: screen() })
  const text = (): string[] => {
    const already = before.count === 0 ? [] : [before.text]
    if (entries.length === 0) return already
    if (dryRun) {
      const then = `Nothing was changed. To do it, leave out --dry-run${confirmation(entries.length)}.`
      return [...already, `Would undo, where as much is still in the balance:\n${sums()}\n${then}`]
    }
    const again = done.some(({ recordId }) => recordId !== undefined)
    const wasHeld = done.some(({ action, account }) => action === 'attribute' && account.kind === 'customer')
    return [
      ...already,
      ...(done.length === 0 ? [] : [`Undone:\n${sums()}`]),
      ...(again ? ['Its records are held again, until they are decided anew: marketplace-meter held'] : []),
      ...(wasHeld ? [NOT_HELD] : []),
      ...(first === undefined ? [] : [`Not undone: ${counted(failed.length)}. ${first.error.message}`]),
    ]
  }
  printAs<Undone>(options, {
    json: () => ({
      ...{ dryRun, group: dryRun || done.length === 0 ? null : group },
      undone: done.map(({ number = null, action, account, dimension, amount, recordId = null }) => ({
        ...{ number, action, account, record: recordId, dimension, amount: formatAmount(amount) },
        baseUnit: dimensions.get(dimension)?.baseUnit ?? null,
      })),
      notUndone: failed.map(({ number, error: { code, message } }) => ({ number, code, message })),
      undoneBefore: before.count,
    }),
    text: () => text().join('\n'),
  })
  if (first !== undefined) process.exitCode = done.length === 0 ? FAILED : TO_DECIDE
}

const NOT_HELD =
  'What of it was held is not held again: it is in the balance and goes out with the\nnext hour that is closed, or: ' +
  'marketplace-meter write-off'

/** @param what a number, or a group */
function undoneText(what: string, undone: number): string {
  if (/^\d{1,9}$/.test(what)) return `Entry ${what} is undone already.`
  return `${counted(undone)} of the group ${what} ${undone === 1 ? 'is' : 'are'} undone already.`
}

const isSummand = (entry: AuditEntry): entry is AuditEntry & Summand => entry.account !== undefined

/** What a person means by a number or a group, the newest first, without what is undone. */
async function entriesOf(ledger: Ledger, what: string): Promise<{ entries: AuditEntry[]; undone: number }> {
  const all = await ledger.audit({ actions: [...UNDOABLE, 'undo'], limit: Number.MAX_SAFE_INTEGER })
  const undone = new Set(all.map(undoneBy))
  const meant = all.filter(
    entry => entry.action !== 'undo' && (groupOf(entry) === what || String(entry.number) === what),
  )
  if (meant.length === 0) {
    // The newest first: few commands ask for what is no decision.
    const trail = await ledger.audit({ limit: Number.MAX_SAFE_INTEGER })
    const other = trail.find(({ number }) => String(number) === what)
    if (other !== undefined) {
      throw new LedgerError(
        'ERR_LEDGER_NOT_FOUND',
        `Entry ${what} is no decision (${other.action}): there is nothing to undo.`,
      )
    }
    throw new LedgerError(
      'ERR_LEDGER_NOT_FOUND',
      `There is no decision ${JSON.stringify(what)} in the audit trail. "marketplace-meter audit" shows numbers and groups.`,
    )
  }
  const entries = meant.filter(({ number }) => !undone.has(number))
  return { entries, undone: meant.length - entries.length }
}
