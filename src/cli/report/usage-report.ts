import type { UsageComparison, UsageFinding } from '../../reconcile/usage-report/compare.ts'
import type { UsageVerdict } from '../../reconcile/usage-report/usage-verdict.ts'
import { csv, csvDay } from '../../text/csv.ts'
import { lines } from '../../text/lines.ts'
import { plain } from '../../text/paint.ts'
import { printable } from '../../text/printable.ts'
import { type Column, indented, type TableOptions, table } from '../../text/table.ts'
import { iso, shortTime } from '../../text/time.ts'
import type { UsageComparison as UsageComparisonOutput } from '../json.ts'

export interface UsageReport {
  readonly result: UsageComparison
  readonly findings: readonly UsageFinding[]
}

/** What nothing that is known explains. */
export const isUnexplained = ({ verdict }: Pick<UsageFinding, 'verdict'>): boolean =>
  verdict === 'less' || verdict === 'more'

/** In the order in which a person has to look. */
const VERDICTS: Readonly<Record<UsageVerdict, { readonly title: string; readonly means: string }>> = {
  less: {
    title: 'metered, and not billed by AWS',
    means: lines(
      'AWS has answered Success for more than it reports. Ask AWS, with the records’',
      'MeteringRecordIds: records --customer <id> --from <day> --to <day>. Do not meter',
      'it again, nor bill it in another way, before AWS has said that it is lost.',
    ),
  },
  more: {
    title: 'billed by AWS, and not metered in the ledger',
    means: lines(
      'Somebody else meters the same product: another ledger, also one that was lost',
      'before a restore, another region or tool. Or it was billed, and given back as not',
      'billed (RETURNED): then it is billed again with a later hour. Reconcile with',
      'CloudTrail’s events, which say who has sent what.',
    ),
  },
  'in-doubt': {
    title: 'with records in doubt or in conflict, which explain what differs',
    means: lines(
      'AWS may have them or not: held shows them. A sum of a day proves nothing of a',
      'record: reconcile with CloudTrail’s events first, and settle what they prove.',
      'What no event decides, of a day that was over two days before the newest row was',
      'written, and where nobody else meters: of a difference of 0 none is billed; of',
      'as much as is IN DOUBT, all. Which part of it was, AWS can say.',
    ),
  },
  'other-day': {
    title: 'billed by AWS on the day before or after',
    means: 'In sum both days are as the ledger has them.',
  },
  incomplete: {
    title: 'not in the report yet, perhaps',
    means: lines(
      'AWS takes a day’s usage until a day after it, and writes what comes late into the',
      'next month’s file. Compare again with a report that was written later.',
    ),
  },
  agreed: { title: 'as the ledger has it', means: '' },
}
const ORDER = Object.keys(VERDICTS) as UsageVerdict[]

/** A comparison for a person. */
export function usageReportText({ result, findings }: UsageReport, options: TableOptions = {}): string {
  const { paint = plain } = options
  const parts = [coverageText(result)]
  if (result.totals.length > 0) parts.push(totalsText(result, options), verdictsText(result, options))
  for (const verdict of ORDER) {
    const group = findings.filter(finding => finding.verdict === verdict)
    if (group.length === 0) continue
    const { title, means } = VERDICTS[verdict]
    const shown = table(FINDING_COLUMNS, group, options)
    parts.push(`${paint(['bold', 'yellow'], title)}\n${indented(means)}\n\n${indented(shown)}`)
  }
  const { unread } = result
  if (unread.count > 0) {
    const more = unread.count > unread.first.length ? `\n  and ${unread.count - unread.first.length} more` : ''
    const first = unread.first.map(problem => `  ${printable(problem, 400)}`).join('\n')
    parts.push(`${paint(['bold', 'yellow'], 'not read, so sums may be wrong:')}\n${first}${more}`)
  }
  const notes = notesOf(result)
  if (notes.length > 0) parts.push(notes.join('\n'))
  return parts.join('\n\n')
}

const KINDS = { 'usage-feed': 'Daily Usage feed', 'usage-dataset': 'Marketplace Usage dataset' } as const

function coverageText({ kind, files, rows, writtenUntil, compared }: UsageComparison): string {
  const what = kind === undefined ? 'AWS’s usage report' : `AWS’s ${KINDS[kind]}`
  const until = writtenUntil === undefined ? '' : `, the newest written ${shortTime(writtenUntil)}`
  const days =
    compared === undefined
      ? 'No day was compared: the report has no usage of days on which the ledger has records.'
      : `Compared: ${dateText(compared.first)} to ${dateText(compared.last)} (UTC).`
  return `${what}: ${count(rows, 'row')} in ${count(files, 'file')}${until}.\n${days}`
}

function totalsText({ totals }: UsageComparison, options: TableOptions): string {
  return table(
    [
      { title: 'DIMENSION', of: ({ dimension }) => printable(dimension) },
      { title: 'REGION', of: ({ region }) => printable(region) },
      { title: 'METERED', of: ({ metered }) => quantity(metered), number: true },
      { title: 'BILLED BY AWS', of: ({ billed }) => quantity(billed), number: true },
      { title: 'DIFFERENCE', of: difference, number: true },
    ],
    totals,
    options,
  )
}

function verdictsText({ verdicts }: UsageComparison, options: TableOptions): string {
  const found = ORDER.toReversed().filter(verdict => verdicts.has(verdict))
  return table(
    [
      { title: 'VERDICT', of: verdict => VERDICTS[verdict].title },
      { title: 'LINES', of: verdict => (verdicts.get(verdict) ?? 0).toLocaleString('en-US'), number: true },
    ],
    found,
    options,
  )
}

/** What was not compared, or not as far as it could be, and what to do about it. */
function notesOf(result: UsageComparison): string[] {
  const {
    byCustomer,
    otherProducts,
    otherDimensions,
    beforeReport,
    beforeLedger,
    pruned,
    unjoinedProducts,
    unjoinedCustomers,
  } = result
  const names = (texts: readonly string[]) =>
    texts.map(text => (text === '' ? '(no product)' : printable(text))).join(', ')
  const left = (sums: ReadonlyMap<string, number>) =>
    [...sums].map(([name, sum]) => `  ${name === '' ? '(no product)' : printable(name)}: ${quantity(sum)}`).join('\n')
  const days = (sums: ReadonlyMap<string, number>) => `${[...sums.keys()][0]} to ${[...sums.keys()].at(-1)}`
  const notes = [
    !byCustomer &&
      lines(
        'Customers are not told apart: the feed has hashes in the place of their AWS',
        'accounts. Give AWS’s Account feed with --account-feed.',
      ),
    unjoinedProducts.reported.length > 0 &&
      lines(
        'It is not known which of the report’s products the ledger’s are, so that all are',
        `compared as one. Of the report: ${names(unjoinedProducts.reported)};`,
        `of the ledger: ${names(unjoinedProducts.ledger)}.`,
        `Where they are one: --product ${example(unjoinedProducts)}`,
      ),
    unjoinedCustomers > 0 &&
      lines(
        `${count(unjoinedCustomers, 'line')} of customers that the report or the ledger cannot name were`,
        'compared as one for each day, dimension and region. The Account feed may be older',
        'than they are: give the newest.',
      ),
    otherProducts.size > 0 && `Not compared, since these products are not the ledger’s:\n${left(otherProducts)}`,
    otherDimensions.size > 0 &&
      `Not compared, since the ledger has no such dimension; somebody else meters it:\n${left(otherDimensions)}`,
    beforeReport.size > 0 &&
      lines(
        `Not compared: ${days(beforeReport)}, of which more may be in files from`,
        'before: give them, too, or name the first day that these files have with --from.',
      ),
    beforeLedger.size > 0 &&
      `Not compared: ${days(beforeLedger)}, before the ledger’s first record. --from has them, too.`,
    pruned.size > 0 && `Not compared: ${days(pruned)}, since the ledger’s records of then were pruned.`,
  ]
  return notes.filter(note => note !== false)
}

/** Of several nobody here knows which is which. */
function example({ reported, ledger }: UsageComparison['unjoinedProducts']): string {
  const [one = '', ...others] = reported
  const [known = '', ...more] = ledger
  return one === '' || others.length + more.length > 0 ? 'prod-abc123=samplecode01' : printable(`${one}=${known}`)
}

const FINDING_COLUMNS: Column<UsageFinding>[] = [
  { title: 'DAY', of: ({ day }) => dateText(day) },
  { title: 'REGION', of: ({ region }) => printable(region) },
  { title: 'CUSTOMER', of: ({ customer }) => printable(customer ?? '(together)') },
  { title: 'PRODUCT', of: ({ product }) => printable(product), optional: true },
  { title: 'DIMENSION', of: ({ dimension }) => printable(dimension) },
  { title: 'METERED', of: ({ metered }) => quantity(metered), number: true },
  { title: 'BILLED BY AWS', of: ({ billed }) => quantity(billed), number: true },
  { title: 'DIFFERENCE', of: difference, number: true },
  { title: 'IN DOUBT', of: ({ inDoubt }) => quantity(inDoubt), number: true, optional: true },
  { title: 'IN CONFLICT', of: ({ inConflict }) => String(inConflict), number: true, optional: true },
  { title: 'RETURNED', of: ({ returned }) => quantity(returned), number: true, optional: true },
  { title: 'NOT SENT', of: ({ waiting }) => quantity(waiting), number: true, optional: true },
  { title: 'AGREEMENTS', of: ({ agreements }) => String(agreements), number: true, optional: true },
]

/** A comparison for a program. Quantities are in units of the dimension, days are UTC. */
export function usageReportJson({ result, findings }: UsageReport): UsageComparisonOutput {
  const {
    kind,
    writtenUntil,
    compared,
    verdicts,
    otherProducts,
    otherDimensions,
    beforeReport,
    beforeLedger,
    pruned,
    ...rest
  } = result
  return {
    kind: kind ?? null,
    ...rest,
    writtenUntil: writtenUntil === undefined ? null : iso(writtenUntil),
    compared: compared === undefined ? null : { first: dateText(compared.first), last: dateText(compared.last) },
    verdicts: Object.fromEntries(verdicts),
    notCompared: {
      otherProducts: Object.fromEntries(otherProducts),
      otherDimensions: Object.fromEntries(otherDimensions),
      beforeReport: Object.fromEntries(beforeReport),
      beforeLedger: Object.fromEntries(beforeLedger),
      pruned: Object.fromEntries(pruned),
    },
    findings: findings.map(({ day, customer, ...finding }) => ({
      ...{ ...finding, day: dateText(day), customer: customer ?? null },
    })),
  }
}

/** The findings for a spreadsheet, a row for each. */
export function usageReportCsv({ findings }: UsageReport): string {
  return csv(
    [
      ...['verdict', 'day', 'region', 'product', 'customer', 'dimension', 'metered', 'billed', 'difference'],
      ...['in_doubt', 'in_conflict', 'returned', 'not_sent', 'agreements'],
    ],
    findings.map(finding => [
      ...[finding.verdict, csvDay(finding.day), finding.region, finding.product, finding.customer, finding.dimension],
      ...[finding.metered, finding.billed, Math.round((finding.billed - finding.metered) * 100) / 100],
      ...[finding.inDoubt, finding.inConflict, finding.returned, finding.waiting, finding.agreements],
    ]),
  )
}

const dateText = (day: number) => iso(day).slice(0, 10)
const quantity = (units: number) => units.toLocaleString('en-US', { maximumFractionDigits: 2 })
const count = (number: number, noun: string) => `${number.toLocaleString('en-US')} ${noun}${number === 1 ? '' : 's'}`

function difference({ metered, billed }: { readonly metered: number; readonly billed: number }): string {
  const more = Math.round((billed - metered) * 100) / 100
  return more > 0 ? `+${quantity(more)}` : quantity(more)
}
