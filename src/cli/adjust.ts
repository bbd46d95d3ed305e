import { Command, InvalidArgumentError, Option } from 'commander'
import { shellWord } from '../gateway/operations/command.ts'
import { LedgerError } from '../ledger/errors.ts'
import type { Ledger, RecordEntry } from '../ledger/ledger.ts'
import { accountName } from '../text/account.ts'
import { json } from '../text/json.ts'
import { printable } from '../text/printable.ts'
import { iso, shortTime } from '../text/time.ts'
import { findAccount } from './account.ts'
import { type Adjustment, type AdjustmentEntry, adjustmentsOf, REASON_CODES } from './adjustment.ts'
import { CommandLineError } from './errors.ts'
import type { Adjustments } from './json.ts'
import { withLedger } from './open-ledger.ts'
import {
  exactlyOne,
  example,
  ledgerOption,
  type NoteOptions,
  noteOf,
  nowOption,
  whoOption,
  whyOption,
} from './options.ts'
import { isJson, printAs, printError } from './output.ts'
import { parsePeriod, TIME_HELP } from './period.ts'
import { readRateCard } from './rate-card.ts'

interface Options extends NoteOptions {
  customer?: string
  dimension?: string
  from?: string
  to?: string
  quantity?: bigint
  rateCard: string
  agreement?: string
  invoice: string
  reasonCode: AdjustmentEntry['adjustmentReasonCode']
  description?: string
  besides?: string[]
  instead?: string[]
  dryRun?: true
}

export function adjustCommand(): Command {
  return new Command('adjust')
    .description("write AWS's request to give money back for what was billed too much; sending it is yours")
    .argument('[recordId...]', 'metered records, as "records" shows them')
    .addOption(ledgerOption())
    .option('--customer <id>', 'instead of ids, with --from and --to: of this account id, identifier, licence or key')
    .option('--from <time>', `from the beginning of: ${TIME_HELP}`)
    .option('--to <time>', 'to the end of it, in the same month')
    .option('--dimension <name>', 'only this dimension; all by default')
    .addOption(
      new Option(
        '--quantity <units>',
        'how many units of the dimension were too much; by default all that is metered',
      ).argParser(units),
    )
    .requiredOption('--rate-card <listing.json>', 'the prices at which they were billed, as for "statement"')
    .option('--agreement <id>', "AWS's id of the agreement, where the ledger does not know it", text(64))
    .requiredOption('--invoice <id>', 'of the invoice on which they are', text(255))
    .addOption(new Option('--reason-code <code>', "AWS's").choices(REASON_CODES).default('INCORRECT_METERING'))
    .option('--description <text>', 'for AWS, at most 500 characters', text(500))
    .option('--besides <token>', 'on top of this earlier adjustment; may be repeated', collect)
    .option('--instead <token>', 'in place of this one, which was not sent or has failed; may be repeated', collect)
    .option('--dry-run', 'only show it')
    .addOption(whoOption())
    .addOption(whyOption())
    .addOption(nowOption())
    .addHelpText(
      'after',
      `
What AWS has billed stays billed; too much of it is given back in money, once
the invoice is there. The request has an entry for each dimension: the quantity
by its price. Its clientToken is made of what it says, so that sending it twice
gives the money once, and the audit trail knows it: the same hours are not
adjusted again, nor more of them than was billed. AWS gives at most the
invoice's maxAdjustmentAmount, does not ask the customer, and cannot take it
back.`,
    )
    .addHelpText(
      'after',
      example(
        'marketplace-meter adjust 2 --rate-card listing.json --invoice SAMPLE1 \\\n' +
          '    --agreement agmt-1sample --why "a test of ours" --dry-run',
      ),
    )
    .action(async (ids: string[], options: Options) => {
      checkChoice(ids, options)
      const dryRun = options.dryRun === true
      const rateCard = readRateCard(options.rateCard)
      const by = noteOf(options)
      await withLedger(options.ledger, dryRun ? 'read' : 'write', async ledger => {
        const period = ids.length > 0 ? undefined : parsePeriod(options.from, options.to, by.now)
        const records =
          period === undefined ? await namedRecords(ledger, ids) : await chosenRecords(ledger, options, period)
        const key = records[0]?.account.key
        const agreement = key === undefined ? undefined : (await ledger.agreements({ customer: key }))[0]
        const agreementId = options.agreement ?? agreement?.agreementId
        if (key !== undefined && agreementId === undefined) {
          throw new CommandLineError('Expected --agreement, since the ledger does not know the id of the agreement.')
        }
        const { invoice: invoiceId, reasonCode, description, quantity, besides = [], instead = [] } = options
        const adjustments = await adjustmentsOf(ledger, records, {
          ...{ now: by.now, period, rateCard, agreement, agreementId: agreementId as string, invoiceId },
          ...{ reasonCode, description, quantity, besides, instead },
        })
        // Before anybody can send it.
        for (const { adjusted, notedAt } of dryRun ? [] : adjustments) {
          if (notedAt === undefined) await ledger.note({ action: 'adjust', ...by, detail: JSON.stringify(adjusted) })
        }
        const request = { billingAdjustmentRequestEntries: adjustments.map(({ entry }) => entry) }
        const [first] = records as [RecordEntry]
        printAs<Adjustments>(options, {
          json: () => ({ dryRun, request, adjustments: adjustments.map(one => adjustmentJson(one, first)) }),
          // It is what AWS's command line takes.
          text: () => json(request),
        })
        if (!isJson(options)) printError(adviceOf(adjustments, first, dryRun))
      })
    })
}

function units(value: string): bigint {
  if (/^[1-9]\d{0,17}$/.test(value)) return BigInt(value)
  throw new InvalidArgumentError('Expected a whole number above 0.')
}

const collect = (text: string, before: readonly string[] = []) => [...before, text]

const text = (most: number) => (value: string) => {
  if (value.trim() !== '' && value.length <= most) return value
  throw new InvalidArgumentError(`Expected 1 to ${most} characters.`)
}

function checkChoice(ids: readonly string[], { customer, dimension, from, to }: Options): void {
  exactlyOne([
    ['ids of records', ids.length > 0],
    ['--customer with --from and --to', customer],
  ])
  if (customer !== undefined && (from === undefined || to === undefined)) {
    throw new CommandLineError('Expected --from and --to with --customer.')
  }
  if (customer === undefined && [dimension, from, to].some(option => option !== undefined)) {
    throw new CommandLineError('Expected --dimension, --from and --to with --customer, not with ids.')
  }
}

async function namedRecords(ledger: Ledger, ids: readonly string[]): Promise<RecordEntry[]> {
  const metered = new Map((await ledger.records({ ids, state: 'metered' })).map(record => [record.id, record]))
  const records = [...new Set(ids)].map(id => {
    const record = metered.get(id)
    if (record !== undefined) return record
    throw new LedgerError('ERR_LEDGER_NOT_FOUND', `No record ${JSON.stringify(id)} is metered: AWS has not billed it.`)
  })
  if (new Set(records.map(({ account }) => account.key)).size > 1) {
    throw new CommandLineError('Expected records of one customer. Adjust each by itself.')
  }
  return records
}

async function chosenRecords(
  ledger: Ledger,
  { customer, dimension }: Options,
  period: { readonly from?: number; readonly to?: number },
): Promise<RecordEntry[]> {
  const { key } = findAccount(await ledger.statement(), customer as string)
  const query = { customer: key, state: 'metered', limit: Number.MAX_SAFE_INTEGER, ...period } as const
  const records = await ledger.records({ ...query, ...(dimension !== undefined && { dimension }) })
  return records.filter(({ quantity }) => quantity > 0)
}

function adjustmentJson(
  { adjusted: { besides = [], instead = [], account: _, ...adjusted }, notedAt }: Adjustment,
  { account }: RecordEntry,
): Adjustments['adjustments'][number] {
  const hours = adjusted.hours.map(([from, to]): [string, string] => [from, to])
  const named = { besides: [...besides], instead: [...instead] }
  return { ...adjusted, account, hours, ...named, notedAt: notedAt === undefined ? null : iso(notedAt) }
}

function adviceOf(adjustments: readonly Adjustment[], { account }: RecordEntry, dryRun: boolean): string {
  const lines = adjustments.map(({ entry, adjusted, notedAt }) => {
    const { quantity, dimension, amount, currency } = adjusted
    const known = notedAt === undefined ? '' : `; noted before, at ${shortTime(notedAt)}`
    return `${quantity} of ${printable(dimension)} of ${accountName(account)}: ${amount} ${currency} (${entry.clientToken}${known})`
  })
  const [{ entry }] = adjustments as [Adjustment]
  const about = `--agreement-id ${shellWord(printable(entry.agreementId))}`
  const end = dryRun
    ? ['Nothing was noted. Send it only as it comes without --dry-run.']
    : [
        'It is noted, and not sent. Compare it with the invoice (maxAdjustmentAmount):',
        `  aws marketplace-agreement list-agreement-invoice-line-items --region us-east-1 \\`,
        `    ${about} --group-by INVOICE_ID`,
        'and send it, as the seller of record. It cannot be undone:',
        '  aws marketplace-agreement batch-create-billing-adjustment-request \\',
        '    --region us-east-1 --cli-input-json file://adjustment.json',
        'with the JSON above in adjustment.json. What becomes of it says',
        'get-billing-adjustment-request; is it VALIDATION_FAILED, adjust anew with --instead.',
      ]
  return [...lines, ...end].join('\n')
}
