import { Command, Option } from 'commander'
import type { HeldReason, Ledger, RecordEntry } from '../ledger/ledger.ts'
import { mayBeBilled } from '../ledger/rules/decisions.ts'
import { HELD_ADVICE } from '../text/held-advice.ts'
import { indented } from '../text/table.ts'
import { findAccount } from './account.ts'
import { readDimensions } from './dimensions.ts'
import { CommandLineError } from './errors.ts'
import { heldRecords } from './held-records.ts'
import { withLedger } from './open-ledger.ts'
import {
  exactlyOne,
  ledgerOption,
  type NoteOptions,
  noteOf,
  nowOf,
  nowOption,
  whoOption,
  whyOption,
} from './options.ts'
import { print } from './output.ts'
import { parsePeriod, TIME_HELP } from './period.ts'
import { recordName } from './report/record-name.ts'

/** What holds a record that AWS surely has not billed, and nobody else has. */
const RELEASABLE = (Object.keys(HELD_ADVICE) as HeldReason[]).filter(reason => !mayBeBilled(reason))

interface Options extends NoteOptions {
  customer?: string
  reason?: string
  from?: string
  to?: string
  dryRun?: true
}

export function releaseCommand(): Command {
  return new Command('release')
    .description('put held quantities that AWS surely has not billed back into the balance')
    .argument('[recordId...]', 'ids, as "held" shows them')
    .addOption(ledgerOption())
    .option('--customer <id>', 'instead of ids, with --reason: all of this account id, identifier, licence or key')
    .addOption(new Option('--reason <reason>', 'that are held for this reason').choices(RELEASABLE))
    .option('--from <time>', `from the beginning of: ${TIME_HELP}`)
    .option('--to <time>', 'to the end of it')
    .option('--dry-run', 'only list them')
    .addOption(whoOption())
    .addOption(whyOption())
    .addOption(nowOption())
    .action(async (ids: string[], options: Options) => {
      checkChoice(ids, options)
      const dryRun = options.dryRun === true
      await withLedger(options.ledger, dryRun ? 'read' : 'write', async ledger => {
        const dimensions = await readDimensions(ledger)
        const records = ids.length > 0 ? await heldRecords(ledger, ids) : await chosenRecords(ledger, options)
        if (records.length === 0) print('Nothing is held so.')
        for (const [index, record] of records.entries()) {
          if (!dryRun) await ledger.decide(record.id, 'release', noteOf(options))
          print(`${dryRun ? 'Would release' : 'Released'} ${recordName(record, dimensions)}`)
          // Once for all that follow each other with one reason.
          if (records[index + 1]?.reason === record.reason) continue
          print(indented(HELD_ADVICE[record.reason as HeldReason].released))
        }
      })
    })
}

function checkChoice(ids: readonly string[], { customer, reason, from, to }: Options): void {
  exactlyOne([
    ['ids of records', ids.length > 0],
    ['--customer with --reason', customer],
  ])
  const chosen = customer !== undefined
  if (chosen && reason === undefined) throw new CommandLineError('Expected --reason with --customer.')
  if (!chosen && [reason, from, to].some(option => option !== undefined)) {
    throw new CommandLineError('Expected --reason, --from and --to with --customer, not with ids.')
  }
}

/** What is held of one account for one reason, in a period, the oldest first. */
async function chosenRecords(ledger: Ledger, options: Options): Promise<RecordEntry[]> {
  const { key } = findAccount(await ledger.statement(), options.customer as string)
  const held = await ledger.records({
    ...{ customer: key, state: 'held', limit: Number.MAX_SAFE_INTEGER },
    ...parsePeriod(options.from, options.to, nowOf(options)),
  })
  return held.filter(({ reason }) => reason === options.reason).reverse()
}
