import { Command } from 'commander'
import { LedgerError } from '../ledger/errors.ts'
import type { AuditEntry, Ledger } from '../ledger/ledger.ts'
import { groupOf, newGroup } from '../ledger/rules/audit.ts'
import { UNDOABLE, undoneBy } from '../ledger/rules/undo.ts'
import { addBulk, type BulkOptions, checkConfirmed, confirmation } from './choice.ts'
import { readDimensions } from './dimensions.ts'
import { withLedger } from './open-ledger.ts'
import { ledgerOption, type NoteOptions, noteOf, nowOption, whoOption, whyOption } from './options.ts'
import { print, screen } from './output.ts'
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
    .action(async (what: string, options: NoteOptions & BulkOptions) => {
      await withLedger(options.ledger, options.dryRun === true ? 'read' : 'write', async ledger => {
        const { entries, undone } = await entriesOf(ledger, what)
        if (undone > 0)
          print(`${undone.toLocaleString('en-US')} of ${what} ${undone === 1 ? 'is' : 'are'} undone already.`)
        if (entries.length > 0) await undoEntries(ledger, entries, options)
      })
    })
}

async function undoEntries(ledger: Ledger, entries: AuditEntry[], options: NoteOptions & BulkOptions): Promise<void> {
  checkConfirmed(entries.length, 'entries', options)
  const dimensions = await readDimensions(ledger)
  const sums = (some: readonly AuditEntry[]) =>
    sumsText(some.filter(isSummand), { dimensions, counted: 'ENTRIES', options: screen() })
  if (options.dryRun === true) {
    const then = `Nothing was changed. To do it, leave out --dry-run${confirmation(entries.length)}.`
    print(`Would undo, where as much is still in the balance:\n${sums(entries)}\n${then}`)
    return
  }
  const results = await ledger.undo(entries, { ...noteOf(options), group: newGroup() })
  const done = entries.filter((_, index) => results[index]?.error === undefined)
  if (done.length > 0) print(`Undone:\n${sums(done)}`)
  if (done.some(({ action, account }) => action === 'attribute' && account?.kind === 'customer')) print(NOT_HELD)
  const [first, ...others] = results.flatMap(({ error }) => error ?? [])
  if (first === undefined) return
  if (done.length === 0 && others.length === 0) throw first
  print(`Not undone: ${(others.length + 1).toLocaleString('en-US')}. ${first.message}`)
  process.exitCode = 1
}

const NOT_HELD =
  'What of it was held is not held again: it is in the balance and goes out with the\nnext hour that is closed, or: ' +
  'marketplace-meter write-off'

const isSummand = (entry: AuditEntry): entry is AuditEntry & Summand => entry.account !== undefined

/** What a person means by a number or a group, the youngest first, without what is undone. */
async function entriesOf(ledger: Ledger, what: string): Promise<{ entries: AuditEntry[]; undone: number }> {
  const all = await ledger.audit({ actions: [...UNDOABLE, 'undo'], limit: Number.MAX_SAFE_INTEGER })
  const undone = new Set(all.map(undoneBy))
  const meant = all.filter(
    entry => entry.action !== 'undo' && (groupOf(entry) === what || String(entry.number) === what),
  )
  if (meant.length === 0) {
    throw new LedgerError(
      'ERR_LEDGER_NOT_FOUND',
      `There is no decision ${JSON.stringify(what)} in the audit trail. "marketplace-meter audit" shows numbers and groups.`,
    )
  }
  const entries = meant.filter(({ number }) => !undone.has(number))
  return { entries, undone: meant.length - entries.length }
}
