import { Command, Option } from 'commander'
import type { Ledger, RecordEntry } from '../ledger/ledger.ts'
import { HELD_ADVICE } from '../text/held-advice.ts'
import type { Dimension } from '../usage/dimension.ts'
import { readDimensions } from './dimensions.ts'
import { CommandLineError } from './errors.ts'
import { heldRecords } from './held-records.ts'
import { withLedger } from './open-ledger.ts'
import {
  exactlyOne,
  ledgerOption,
  limit,
  type NoteOptions,
  noteOf,
  nowOption,
  whoOption,
  whyOption,
} from './options.ts'
import { print } from './output.ts'
import { recordName } from './report/record-name.ts'

interface Options extends NoteOptions {
  billed?: true
  notBilled?: true
  quantity?: number
}

export function settleCommand(): Command {
  return new Command('settle')
    .description('say of records in doubt, in conflict or from before a restore whether AWS billed their usage')
    .argument('<recordId...>', 'ids, as "held" shows them')
    .addOption(ledgerOption())
    .option('--billed', 'AWS billed it: it becomes metered')
    .option('--not-billed', 'AWS did not bill it: it goes back into the balance, to be billed')
    .addOption(
      new Option(
        '--quantity <units>',
        'with --billed, of one record from before a restore: AWS billed only so much',
      ).argParser(limit),
    )
    .addOption(whoOption())
    .addOption(whyOption())
    .addOption(nowOption())
    .action(async (ids: string[], options: Options) => {
      exactlyOne([
        ['--billed', options.billed],
        ['--not-billed', options.notBilled],
      ])
      if (options.quantity !== undefined && (options.billed !== true || new Set(ids).size > 1)) {
        throw new CommandLineError('Expected --quantity with --billed and one record.')
      }
      await withLedger(options.ledger, 'write', async ledger => {
        const dimensions = await readDimensions(ledger)
        for (const record of await heldRecords(ledger, ids)) await settleOne(ledger, record, dimensions, options)
      })
    })
}

async function settleOne(
  ledger: Ledger,
  record: RecordEntry,
  dimensions: ReadonlyMap<string, Dimension>,
  options: Options,
): Promise<void> {
  const { billed, quantity } = options
  await ledger.decide(record.id, billed === true ? 'billed' : 'not-billed', noteOf(options), quantity)
  const name = recordName(record, dimensions)
  if (billed !== true) print(`Settled as not billed ${name}\n  ${HELD_ADVICE['in-doubt'].released}`)
  else if (quantity === undefined) print(`Settled as billed ${name}\n  It is metered, and never sent again.`)
  else {
    print(`Settled as billed, up to a quantity of ${quantity}, ${name}\n  That is metered, and never sent again.`)
    print(`  The rest, if any, is in the balance again and goes out with the next hour that is closed.`)
  }
}
