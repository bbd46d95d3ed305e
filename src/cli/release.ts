import { Command } from 'commander'
import type { HeldReason } from '../ledger/ledger.ts'
import { mayBeBilled } from '../ledger/rules/decisions.ts'
import { HELD_ADVICE } from '../text/held-advice.ts'
import { addBulk, addChoice, type BulkOptions, type ChoiceOptions, checkChoice, recordsMeant } from './choice.ts'
import { decideRecords, planned } from './decide-records.ts'
import { withLedger } from './open-ledger.ts'
import { example, ledgerOption, type NoteOptions, nowOption, whoOption, whyOption } from './options.ts'

/** What holds a record that AWS surely has not billed, and nobody else has. */
export const NOT_BILLED = (Object.keys(HELD_ADVICE) as HeldReason[]).filter(reason => !mayBeBilled(reason))

type Options = NoteOptions & BulkOptions & ChoiceOptions & { all?: true }

export function releaseCommand(): Command {
  const command = new Command('release')
    .description('put held quantities that AWS surely has not billed back into the balance')
    .argument('[recordId...]', 'ids, as "held" shows them')
    .addOption(ledgerOption())
    .option('--all', 'instead of ids: all that is surely not billed, whatever the reason')
  return addBulk(addChoice(command, NOT_BILLED))
    .addOption(whoOption())
    .addOption(whyOption())
    .addOption(nowOption())
    .addHelpText('after', example('marketplace-meter release 7 --why "the usage is real"'))
    .action(async (ids: string[], options: Options) => {
      checkChoice(ids, options)
      await withLedger(options.ledger, options.dryRun === true ? 'read' : 'write', async ledger => {
        const records = await recordsMeant(ledger, ids, options, NOT_BILLED)
        await decideRecords(ledger, planned(records, { decision: 'release' }), options)
      })
    })
}
