import { readFileSync } from 'node:fs'
import { Command, Option } from 'commander'
import { parse } from 'csv-parse/sync'
import { closest } from '../closest-word.ts'
import type { Agreement, AgreementNews, AgreementOptions, Ledger } from '../ledger/ledger.ts'
import { CLOSE_DELAY, DEADLINE_MARGIN } from '../metering/options.ts'
import { unmarked } from '../text/csv.ts'
import { printable } from '../text/printable.ts'
import type { CustomerAccount } from '../usage/account.ts'
import { namedCustomer } from './account.ts'
import { CommandLineError } from './errors.ts'
import { TO_DECIDE } from './exit-status.ts'
import type { ImportedAgreements } from './json.ts'
import { withLedger } from './open-ledger.ts'
import { example, ledgerOption, type NoteOptions, noteOf, nowOption, whoOption, whyOption } from './options.ts'
import { printAs } from './output.ts'
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
  readonly line: number
  readonly customer: CustomerAccount
  readonly tenant?: string
  readonly productCode?: string
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
Columns:
  ${COLUMNS.slice(0, 5).join(', ')},
  ${COLUMNS.slice(5).join(', ')}

A row needs product (the code; or, with a license_arn, your label of the
product), account_id or customer_identifier, license_arn where there is one, and
agreement_since; times are ISO 8601. A row without license_arn is of a customer
who is metered by the product code. Others may be missing or empty, and columns
of other names are ignored. AWS's Agreements feed and GetAgreementEntitlements
have them. The same file again changes nothing. An end that is to come is not
taken in: agreements are renewed, and AWS tells of the end when it comes. The
exit status is 1 where a tenant is in force of several customers.`,
    )
    .addHelpText('after', example('marketplace-meter import-agreements agreements.csv --region us-east-1'))
    .action(async (file: string, options: Options) => {
      const by = noteOf(options)
      const rows = readRows(readText(file), by.now)
      const known = await withLedger(options.ledger, 'read', ledger => ledger.agreements())
      refuseLabelsAsCodes(rows, known)
      const { dryRun = false } = options
      const terms = { ...by, region: options.region, closeDelay: CLOSE_DELAY, deadlineMargin: DEADLINE_MARGIN }
      const changed = dryRun
        ? undefined
        : await withLedger(options.ledger, 'write', ledger => noteAll(ledger, rows, terms))
      const [metered, shared] = [identities(rows), sharedTenants(rows, known)]
      const endsLater = rows.filter(({ endsLater }) => endsLater).length
      printAs<ImportedAgreements>(options, {
        json: () => ({
          ...{ dryRun, agreements: rows.length, changed: changed ?? null, endsLater, metered, sharedTenants: shared },
        }),
        text: () => importText({ agreements: rows.length, changed, endsLater, metered, shared }),
      })
      if (shared.length > 0) process.exitCode = TO_DECIDE
    })
}

function importText({
  agreements,
  changed,
  endsLater,
  metered,
  shared,
}: {
  readonly agreements: number
  readonly changed: number | undefined
  readonly endsLater: number
  readonly metered: ImportedAgreements['metered']
  readonly shared: ImportedAgreements['sharedTenants']
}): string {
  const others = changed !== undefined && changed < agreements ? '; the others were known' : ''
  return [
    changed === undefined
      ? `${counted(agreements)} would be taken in. Nothing was changed.`
      : `Took in ${changed} of ${counted(agreements)}${others}.`,
    ...(endsLater === 0
      ? []
      : [`  Ends that are to come (${endsLater}) are not taken in: AWS tells of an end when it comes.`]),
    ...metered.map(({ by, product, agreements }) =>
      by === 'licence'
        ? `  Metered by licence, as ${printable(product)}: ${agreements}`
        : `  Metered by the product code ${printable(product)}, without a licence: ${agreements}`,
    ),
    ...shared.map(({ tenant, customers }) => {
      const whom = customers.map(id => printable(id)).join(', ')
      return (
        `  WARNING: the tenant ${printable(JSON.stringify(tenant))} is in force of several customers (${whom}). All its usage is ` +
        'billed to one: the agreement that began last. Give each a tenant of its own, or finalize those that are over.'
      )
    }),
  ].join('\n')
}

const counted = (agreements: number) => `${agreements} ${agreements === 1 ? 'agreement' : 'agreements'}`

function readText(file: string): string {
  try {
    return readFileSync(file === '-' ? 0 : file, 'utf8')
  } catch (error) {
    throw new CommandLineError(`Expected a CSV file that can be read: ${(error as Error).message}.`)
  }
}

/** How the customers are metered: a licence that is missing is seen there. */
function identities(rows: readonly Row[]): ImportedAgreements['metered'] {
  const waysOf = ({ customer: { licenseArn, product } }: Row) =>
    ({ by: licenseArn === undefined ? 'product-code' : 'licence', product }) as const
  const ways = Map.groupBy(rows, row => JSON.stringify(waysOf(row)))
  return [...ways.values()].map(group => ({ ...waysOf(group[0] as Row), agreements: group.length }))
}

/**
 * A label is never AWS's product code: usage of a customer without a licence would be sent with it.
 *
 * @throws CommandLineError that names each such row
 */
function refuseLabelsAsCodes(rows: readonly Row[], known: readonly Agreement[]): void {
  const all = [...rows.map(({ customer, productCode }) => ({ account: customer, productCode })), ...known]
  const codes = new Set(all.map(({ productCode }) => productCode))
  const labels = new Set(
    all.filter(({ account }) => account.licenseArn !== undefined).map(({ account }) => account.product),
  )
  const wrong = rows.filter(
    ({ customer: { licenseArn, product } }) => licenseArn === undefined && labels.has(product) && !codes.has(product),
  )
  if (wrong.length === 0) return
  const lines = wrong.slice(0, MOST_PROBLEMS).map(({ line, customer: { product } }) => {
    const name = JSON.stringify(product)
    return `line ${line}: Expected license_arn, since ${name} is the label of customers with a licence, got none.`
  })
  throw new CommandLineError(
    `Nothing was taken in. ${lines.join(' ')} A customer without a licence is metered by the product code: put that into ` +
      'product. Where the label is the code, put it into product_code as well.',
  )
}

/** Usage goes to one of several agreements of a tenant: where they are of several AWS accounts, somebody else may pay. */
function sharedTenants(rows: readonly Row[], known: readonly Agreement[]): ImportedAgreements['sharedTenants'] {
  const running = [
    ...rows.filter(({ news }) => news.every(({ what }) => what !== 'ended')),
    ...known
      .filter(({ account, state }) => state !== 'ended' && !rows.some(({ customer }) => customer.key === account.key))
      .map(({ account, tenant }) => ({ customer: account, ...(tenant !== undefined && { tenant }) })),
  ].filter(({ tenant }) => tenant !== undefined)
  const own = new Set(rows.map(({ tenant }) => tenant))
  return [...Map.groupBy(running, ({ tenant }) => tenant as string)]
    .filter(([tenant]) => own.has(tenant))
    .flatMap(([tenant, agreements]) => {
      const payers = new Set(
        agreements.map(({ customer: { accountId, customerIdentifier } }) => accountId ?? customerIdentifier ?? ''),
      )
      return payers.size < 2 ? [] : [{ tenant, customers: [...payers] }]
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
  checkColumns(Object.keys(records[0]?.record ?? {}))
  const problems: string[] = []
  const rows = records.flatMap(({ record, info: { lines } }) => {
    try {
      return [rowOf(record, lines, now)]
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

/** A column that is misspelt would be ignored: without its licence a customer is metered by the product code. */
function checkColumns(columns: readonly string[]): void {
  if (columns.length === 0) return
  const absent = COLUMNS.filter(name => !columns.includes(name))
  const plain = (name: string) => name.toLowerCase().replaceAll(/[^a-z]/g, '')
  for (const column of columns.filter(name => !COLUMNS.some(one => one === name))) {
    const near = closest(plain(column), absent.map(plain))
    const meant = absent.find(
      name => plain(name) === near || (name === 'license_arn' && /^licen[cs]e(arn|id)?$/.test(plain(column))),
    )
    if (meant !== undefined) {
      throw new CommandLineError(`Nothing was taken in. Expected the column ${meant}, got ${JSON.stringify(column)}.`)
    }
  }
  for (const needed of ['product', 'agreement_since'] as const) {
    if (absent.includes(needed)) {
      const got = columns.map(name => JSON.stringify(name)).join(', ')
      throw new CommandLineError(
        `Nothing was taken in. Expected a column ${needed} in the header, with commas between columns, got ${got}.`,
      )
    }
  }
}

function rowOf(record: Record<string, string>, line: number, now: number): Row {
  const cell = (name: Column): string | undefined => unmarked(record[name] ?? '') || undefined
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
    line,
    customer,
    ...names,
    endsLater,
    news: [
      { what: 'active', at: since, ...names },
      ...(until === undefined || endsLater ? [] : [{ what: 'ended', at: until } as const]),
    ],
  }
}
