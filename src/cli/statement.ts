import { Command, Option } from 'commander'
import type { Span } from '../ledger/hours.ts'
import type { Ledger } from '../ledger/ledger.ts'
import { breaches } from '../ledger/rules/equation.ts'
import { reconciledRegions } from '../reconcile/notes.ts'
import { customerQuery } from './account.ts'
import { CommandLineError } from './errors.ts'
import { FAILED } from './exit-status.ts'
import type { Statement } from './json.ts'
import { withLedger } from './open-ledger.ts'
import { type CommonOptions, example, formatOption, ledgerOption, nowOf, nowOption } from './options.ts'
import { isJson, noneSo, printAs, printError, screen } from './output.ts'
import { type Period, parsePeriod, TIME_HELP } from './period.ts'
import { readRateCard } from './rate-card.ts'
import { equationText } from './report/equation-text.ts'
import { type StatementReport, unpriced, unpricedText } from './report/statement.ts'
import { statementCsv } from './report/statement-csv.ts'
import { statementJson } from './report/statement-json.ts'
import { statementTable } from './report/statement-table.ts'

interface Options extends CommonOptions {
  customer?: string
  dimension?: string
  from?: string
  to?: string
  by?: Span
  rateCard?: string
  baseUnits?: true
}

export function statementCommand(): Command {
  return new Command('statement')
    .description('where each unit of usage stands: recorded, included, metered, pending, held, balance')
    .addOption(ledgerOption())
    .option('--customer <id>', 'only this account id, customer identifier, licence or account key')
    .option('--dimension <name>', 'only this dimension')
    .option('--from <time>', `from the beginning of: ${TIME_HELP}`)
    .option('--to <time>', 'to the end of it: --from 2026-11 --to 2026-11 is all of November')
    .addOption(new Option('--by <span>', 'lines for each of them, in UTC').choices(['hour', 'day', 'month']))
    .option('--rate-card <listing.json>', "with --by, what the metered quantities cost by the listing's prices")
    .addOption(formatOption('table', 'json', 'csv'))
    .option('--base-units', 'seconds, bytes and counts in the table, instead of quantities as Marketplace counts them')
    .addOption(nowOption())
    .addHelpText(
      'after',
      `
recorded  all usage that the ledger has acknowledged
included  contracts pay for it, and it is not metered ("entitlements")
metered   AWS Marketplace answered Success
pending   in records that have no final answer yet
held      a person has to decide; see "marketplace-meter held"
balance   not in a record yet: open hours, fractions, what came late or returned

JSON and CSV have amounts in base units (s, By or counts), exactly; JSON has
them as strings, since numbers would lose digits. Divide by "size" for
quantities. A period counts whole hours, and does not show what "prune" deleted.

With --by, JSON and CSV have "from" and "to" of each hour, day or month, and how
many units of the dimension AWS bills of its records: "quantities", or
metered_quantity, pending_quantity and held_quantity. The hour is that of the
record, which for late usage is a later one. A rate card is a listing with
pricing.currency and pricing.rateCard: [{"dimension", "price"}], as in
examples/aws/listing.json. "charge" is the metered quantity by "price", exactly.
AWS's invoice differs by taxes, private offers, free trials and adjustments;
what is pending or held costs nothing yet. The exit status is 2 if the others do
not add up to "recorded" for some series.`,
    )
    .addHelpText('after', example('marketplace-meter statement --from 2026-11 --to 2026-11'))
    .action(async (options: Options) => {
      const now = nowOf(options)
      const period = parsePeriod(options.from, options.to, now)
      if (options.rateCard !== undefined && options.by === undefined) {
        throw new CommandLineError('Expected --by hour, day or month with --rate-card.')
      }
      const rateCard = options.rateCard === undefined ? undefined : readRateCard(options.rateCard)
      const read = await withLedger(options.ledger, 'read', ledger =>
        readStatement(ledger, { ...options, period, now }),
      )
      const report = rateCard === undefined ? read : { ...read, rateCard }
      const { baseUnits = false, customer, dimension } = options
      printAs<Statement>(options, {
        json: () => statementJson(report),
        csv: () => statementCsv(report),
        text: () =>
          (report.allTime.length === 0 && noneSo('No usage', 'statement', { customer, dimension })) ||
          statementTable(report, { ...screen(), baseUnits }),
      })
      // The table has it.
      const isTable = !isJson(options) && options.format !== 'csv'
      if (!isTable && unpriced(report).length > 0) printError(unpricedText(report))
      if (breaches(report.allTime).length === 0) return
      if (!isTable) printError(equationText(report.allTime))
      process.exitCode = FAILED
    })
}

/** Asks a ledger for what a statement shows. */
export async function readStatement(
  ledger: Ledger,
  query: { customer?: string; dimension?: string; period: Period; by?: Span; now: number },
): Promise<StatementReport> {
  const { dimension, period, by, now } = query
  const customer = await customerQuery(ledger, query.customer)
  const whose = { ...customer, ...(dimension !== undefined && { dimension }) }
  const allTime = await ledger.statement(whose)
  const part = { ...period, ...(by !== undefined && { by }) }
  const lines = Object.keys(part).length > 0 ? await ledger.statement({ ...whose, ...part }) : allTime
  const agreements = new Map((await ledger.agreements(customer)).map(agreement => [agreement.account.key, agreement]))
  const reconciled = await reconciledRegions(ledger)
  return { now, period, allTime, lines, agreements, reconciled, ...(by !== undefined && { by }) }
}
