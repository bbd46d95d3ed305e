import { readFileSync } from 'node:fs'
import { Command, Option } from 'commander'
import { parse } from 'csv-parse/sync'
import type { AgreementNews, AgreementOptions, Ledger } from '../ledger/ledger.ts'
import { CLOSE_DELAY, DEADLINE_MARGIN } from '../metering/options.ts'
import type { CustomerAccount } from '../usage/account.ts'
import { namedCustomer } from './account.ts'
import { CommandLineError } from './errors.ts'
import { withLedger } from './open-ledger.ts'
import { ledgerOption, type NoteOptions, noteOf, nowOption, whoOption, whyOption } from './options.ts'
import { print } from './output.ts'
import { parseTime } from './period.ts'

const COLUMNS = [
  'product',
  'account_id',
  'customer_identifier',
  'license_arn',
  'product_code',
  'tenant',
  'agreement_since',
  'agreement_until',
] as const
/** How many lines that are wrong are told. */
const MOST_PROBLEMS = 20
type Column = (typeof COLUMNS)[number]

interface Options extends NoteOptions {
  region: string
  dryRun?: true
}

/** An agreement that a row tells of: when it is active, and when it ended. */
interface Row {
  readonly customer: CustomerAccount
  readonly news: readonly AgreementNews[]
  /** Whether it is to end later. */
  readonly endsLater: boolean
}

export function importAgreementsCommand(): Command {
  return new Command('import-agreements')
    .description('take in agreements that exist, from a CSV file: before events of them came')
    .argument('<file>', 'with a header, as "agreements --format csv" writes it; - is standard input')
    .addOption(
      new Option('--region <region>', 'whose Marketplace endpoint is called').env('AWS_REGION').makeOptionMandatory(),
    )
    .addOption(ledgerOption())
    .option('--dry-run', 'only say what would be taken in')
    .addOption(whoOption())
    .addOption(whyOption('agreements that exist'))
    .addOption(nowOption())
    .addHelpText(
      'after',
      `
Columns: ${COLUMNS.join(', ')}.
A row needs product (the code, or your label of a product sold by licence),
account_id or customer_identifier, license_arn where there is one, and
agreement_since; times are ISO 8601. Others may be missing or empty, and columns
of other names are ignored. AWS's Agreements feed and GetAgreementEntitlements
have them. The same file again changes nothing. An end that is to come is not
taken in: agreements are renewed, and AWS tells of the end when it comes.`,
    )
    .action(async (file: string, options: Options) => {
      const by = noteOf(options)
      const rows = readRows(readFileSync(file === '-' ? 0 : file, 'utf8'), by.now)
      const later = rows.filter(({ endsLater }) => endsLater).length
      const left =
        later === 0 ? '' : `\n  Ends that are to come (${later}) are not taken in: AWS tells of an end when it comes.`
      if (options.dryRun) {
        print(`${rows.length} agreements would be taken in. Nothing was changed.${left}`)
        return
      }
      const terms = { ...by, region: options.region, closeDelay: CLOSE_DELAY, deadlineMargin: DEADLINE_MARGIN }
      const changed = await withLedger(options.ledger, 'write', ledger => noteAll(ledger, rows, terms))
      print(`Took in ${changed} of ${rows.length} agreements; the others were known.${left}`)
    })
}

async function noteAll(ledger: Ledger, rows: readonly Row[], options: AgreementOptions): Promise<number> {
  const changed = new Set<Row>()
  // What has ended last: of a customer who has renewed, an end before is none of the new agreement's usage.
  for (const ended of [false, true]) {
    for (const row of rows) {
      for (const news of row.news.filter(({ what }) => (what === 'ended') === ended)) {
        if ((await ledger.noteAgreement(row.customer, news, options)).changed) changed.add(row)
      }
    }
  }
  return changed.size
}

/** @throws CommandLineError that names each row that is wrong, by its line; then nothing is taken in */
function readRows(text: string, now: number): Row[] {
  let records: { record: Record<string, string>; info: { lines: number } }[]
  try {
    records = parse(text, { columns: true, bom: true, skip_empty_lines: true, trim: true, info: true }) as never
  } catch (error) {
    throw new CommandLineError(`Expected a CSV file with a header: ${(error as Error).message}.`)
  }
  const problems: string[] = []
  const rows = records.flatMap(({ record, info: { lines } }) => {
    try {
      return [rowOf(record, now)]
    } catch (error) {
      // What is wrong is told as of options, which are the columns here.
      const message = (error as Error).message.replaceAll(/--([a-z-]+)/g, (_, name) => name.replaceAll('-', '_'))
      problems.push(`line ${lines}: ${message}`)
      return []
    }
  })
  if (problems.length > 0) {
    const more = problems.length > MOST_PROBLEMS ? ` And ${problems.length - MOST_PROBLEMS} lines more.` : ''
    throw new CommandLineError(`Nothing was taken in. ${problems.slice(0, MOST_PROBLEMS).join(' ')}${more}`)
  }
  return rows
}

function rowOf(record: Record<string, string>, now: number): Row {
  const cell = (name: Column): string | undefined => record[name] || undefined
  const time = (name: Column): number | undefined => {
    const text = cell(name)
    return text === undefined ? undefined : parseTime(text, now)
  }
  const customer = namedCustomer(cell('product') ?? '', {
    accountId: cell('account_id'),
    customerIdentifier: cell('customer_identifier'),
    licenseArn: cell('license_arn'),
  })
  const [since, until] = [time('agreement_since'), time('agreement_until')]
  if (since === undefined) throw new CommandLineError('Expected agreement_since, got nothing.')
  if (until !== undefined && until <= since) {
    throw new CommandLineError('Expected agreement_until after agreement_since, got a time before it.')
  }
  const [tenant, productCode] = [cell('tenant'), cell('product_code')]
  const names = { ...(tenant !== undefined && { tenant }), ...(productCode !== undefined && { productCode }) }
  // An agreement that runs has not ended: what is used after the day that a contract names may be of its renewal.
  const endsLater = until !== undefined && until > now
  return {
    customer,
    endsLater,
    news: [
      { what: 'active', at: since, ...names },
      ...(until === undefined || endsLater ? [] : [{ what: 'ended', at: until } as const]),
    ],
  }
}
