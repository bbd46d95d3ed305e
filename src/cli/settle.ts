import { Command } from 'commander'
import { HELD_ADVICE } from '../text/held-advice.ts'
import { readDimensions } from './dimensions.ts'
import { heldRecords } from './held-records.ts'
import { withLedger } from './open-ledger.ts'
import { exactlyOne, ledgerOption, type NoteOptions, noteOf, nowOption, whoOption, whyOption } from './options.ts'
import { print } from './output.ts'
import { recordName } from './report/record-name.ts'

interface Options extends NoteOptions {
  billed?: true
  notBilled?: true
}

export function settleCommand(): Command {
  return new Command('settle')
    .description('say of records in doubt or in conflict whether AWS billed their usage')
    .argument('<recordId...>', 'ids, as "held" shows them')
    .addOption(ledgerOption())
    .option('--billed', 'AWS billed it: it becomes metered')
    .option('--not-billed', 'AWS did not bill it: it goes back into the balance, to be billed')
    .addOption(whoOption())
    .addOption(whyOption())
    .addOption(nowOption())
    .action(async (ids: string[], options: Options) => {
      exactlyOne([
        ['--billed', options.billed],
        ['--not-billed', options.notBilled],
      ])
      await withLedger(options.ledger, 'write', async ledger => {
        const dimensions = await readDimensions(ledger)
        for (const record of await heldRecords(ledger, ids)) {
          await ledger.settleInDoubt(record.id, options.billed === true, noteOf(options))
          print(
            options.billed === true
              ? `Settled as billed ${recordName(record, dimensions)}\n  It is metered, and never sent again.`
              : `Settled as not billed ${recordName(record, dimensions)}\n  ${HELD_ADVICE['in-doubt'].released}`,
          )
        }
      })
    })
}
