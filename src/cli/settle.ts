import { Command, Option } from 'commander'
import type { HeldReason } from '../ledger/ledger.ts'
import { mayBeBilled } from '../ledger/rules/decisions.ts'
import { HELD_ADVICE } from '../text/held-advice.ts'
import { addBulk, addChoice, type BulkOptions, type ChoiceOptions, checkChoice, recordsMeant } from './choice.ts'
import { decideRecords, planned } from './decide-records.ts'
import { CommandLineError } from './errors.ts'
import { withLedger } from './open-ledger.ts'
import { example, ledgerOption, limit, type NoteOptions, nowOption, whoOption, whyOption } from './options.ts'

/** What holds a record that AWS, or somebody else, may have billed. */
const IN_DOUBT = (Object.keys(HELD_ADVICE) as HeldReason[]).filter(mayBeBilled)

type Options = NoteOptions &
  BulkOptions &
  ChoiceOptions & { all?: true; billed?: true; notBilled?: true; quantity?: number }

export function settleCommand(): Command {
  const command = new Command('settle')
    .description('say of records in doubt, in conflict or from before a restore whether AWS billed their usage')
    .argument('[recordId...]', 'ids, as "held" shows them')
    .addOption(ledgerOption())
    .option('--billed', 'AWS billed it: it becomes metered')
    .option('--not-billed', 'AWS did not bill it: it goes back into the balance, to be billed')
    .addOption(
      new Option(
        '--quantity <units>',
        'with --billed, of one record from before a restore: AWS billed only so much',
      ).argParser(limit),
    )
    .option('--all', 'instead of ids: all that may be billed already, whatever the reason')
  return addBulk(addChoice(command, IN_DOUBT))
    .addOption(whoOption())
    .addOption(whyOption())
    .addOption(nowOption())
    .addHelpText('after', example('marketplace-meter settle 1 --billed --why "event 5a1b0c9d of CloudTrail"'))
    .action(async (ids: string[], options: Options) => {
      if (options.billed === options.notBilled) {
        throw new CommandLineError(
          'Expected one of --billed or --not-billed: what AWS did. Where nobody knows, leave it held, and see ' +
            '"marketplace-meter reconcile --help".',
        )
      }
      checkChoice(ids, options)
      const { quantity, dryRun } = options
      if (quantity !== undefined && (options.billed !== true || new Set(ids).size !== 1)) {
        throw new CommandLineError('Expected --quantity with --billed and one record.')
      }
      await withLedger(options.ledger, dryRun === true ? 'read' : 'write', async ledger => {
        const records = await recordsMeant(ledger, ids, options, IN_DOUBT)
        const decision = options.billed === true ? 'billed' : 'not-billed'
        await decideRecords(ledger, planned(records, { decision, quantity }), options)
      })
    })
}
