import { Command, Option } from 'commander'
import { LedgerError } from '../ledger/errors.ts'
import { openLoss } from '../ledger/loss.ts'
import { isPlausibleEnd, PLAUSIBLE_END } from '../metering/agreement-end.ts'
import { CLOSE_DELAY, DEADLINE_MARGIN } from '../metering/options.ts'
import { accountName } from '../text/account.ts'
import { iso } from '../text/time.ts'
import { findAccount } from './account.ts'
import { counted } from './decide-records.ts'
import { readDimensions } from './dimensions.ts'
import { CommandLineError } from './errors.ts'
import type { Finalized } from './json.ts'
import { withLedger } from './open-ledger.ts'
import { example, ledgerOption, type NoteOptions, noteOf, nowOption, whoOption, whyOption } from './options.ts'
import { printAs } from './output.ts'
import { parseTime } from './period.ts'
import { recordsJson } from './report/records.ts'

const DELAYS = { closeDelay: CLOSE_DELAY, deadlineMargin: DEADLINE_MARGIN }

interface Options extends NoteOptions {
  region?: string
  endedAt?: string
}

export function finalizeCommand(): Command {
  return new Command('finalize')
    .description(
      'freeze what a customer owes now that its agreement has ended, the open hour included, and put it first',
    )
    .argument('<customer>', 'account id, identifier, licence or key, as "statement" shows it')
    .addOption(
      new Option('--region <region>', 'whose Marketplace endpoint is called').env('AWS_REGION').makeOptionMandatory(),
    )
    .option('--ended-at <time>', 'when the agreement ended; now by default')
    .addOption(ledgerOption())
    .addOption(whoOption())
    .addOption(whyOption('its agreement has ended'))
    .addOption(nowOption())
    .addHelpText('after', example('marketplace-meter finalize 111122223333 --region us-east-1'))
    .action(async (customer: string, options: Options) => {
      const by = noteOf(options)
      const { now } = by
      const endedAt = options.endedAt === undefined ? now : parseTime(options.endedAt, now)
      if (!isPlausibleEnd(endedAt, now)) {
        throw new CommandLineError(`Expected --ended-at to be ${PLAUSIBLE_END}, got ${options.endedAt}.`)
      }
      await withLedger(options.ledger, 'write', async ledger => {
        const account = findAccount(await ledger.statement(), customer)
        if (account.kind === 'unattributed') {
          throw new LedgerError('ERR_LEDGER_STATE', `${accountName(account)} is no customer; expected one.`)
        }
        const region = options.region as string
        const { records, held } = await ledger.finalize(account, { ...by, endedAt, region, ...DELAYS })
        const lost = records === 0 && (await openLoss(ledger)) !== undefined
        const dimensions = await readDimensions(ledger)
        printAs<Finalized>(options, {
          json: () => ({
            ...{ account, endedAt: iso(endedAt), region, frozen: records, held: recordsJson(held, dimensions), lost },
          }),
          text: () => {
            if (lost) return `Noted. Nothing of ${accountName(account)} is frozen, ${LOST}`
            if (records === 0) return `${accountName(account)} owes nothing that is not frozen already.`
            const ofThem = held.length === 0 ? '' : `, ${held.length} of them held: marketplace-meter held`
            return [
              `Froze ${counted(records)} of ${accountName(account)}${ofThem}`,
              ...(held.length === records ? [] : SENT),
            ].join('\n')
          },
        })
      })
    })
}

const SENT = [
  '  The exporter or gateway that runs on this ledger sends what is not held within',
  '  a minute; AWS takes it for about an hour after the end. What became of it:',
  '    marketplace-meter records',
]

const LOST =
  'since the ledger has lost usage that it\nhad acknowledged: "marketplace-meter status" tells, and declare-restored ends that.'
