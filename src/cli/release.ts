import { Command } from 'commander'
import type { HeldReason } from '../ledger/ledger.ts'
import { HELD_ADVICE } from '../text/held-advice.ts'
import { indented } from '../text/table.ts'
import { readDimensions } from './dimensions.ts'
import { heldRecords } from './held-records.ts'
import { withLedger } from './open-ledger.ts'
import { ledgerOption, type NoteOptions, noteOf, nowOption, whoOption, whyOption } from './options.ts'
import { print } from './output.ts'
import { recordName } from './report/record-name.ts'

export function releaseCommand(): Command {
  return new Command('release')
    .description('put held quantities that AWS surely has not billed back into the balance')
    .argument('<recordId...>', 'ids, as "held" shows them')
    .addOption(ledgerOption())
    .addOption(whoOption())
    .addOption(whyOption())
    .addOption(nowOption())
    .action(async (ids: string[], options: NoteOptions) => {
      await withLedger(options.ledger, 'write', async ledger => {
        const dimensions = await readDimensions(ledger)
        for (const record of await heldRecords(ledger, ids)) {
          await ledger.decide(record.id, 'release', noteOf(options))
          print(`Released ${recordName(record, dimensions)}`)
          print(indented(HELD_ADVICE[record.reason as HeldReason].released))
        }
      })
    })
}
