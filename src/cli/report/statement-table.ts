import type { Span } from '../../ledger/hours.ts'
import type { Agreement, Quantities, StatementLine } from '../../ledger/ledger.ts'
import { reconciledLines } from '../../reconcile/reconciled-text.ts'
import { accountLabel, licenceLabel } from '../../text/account.ts'
import { agreementText } from '../../text/agreement.ts'
import { moneyText } from '../../text/money.ts'
import { plain } from '../../text/paint.ts'
import { printable } from '../../text/printable.ts'
import { baseScale, quantityScale, type Scale } from '../../text/quantity.ts'
import { type Column, indented, type TableOptions, table } from '../../text/table.ts'
import { iso, shortTime } from '../../text/time.ts'
import { UNATTRIBUTED_REASONS } from '../../text/unattributed-reasons.ts'
import { equationText } from './equation-text.ts'
import {
  byDimension,
  chargeOf,
  chargeOfAll,
  type Figures,
  quantitiesOf,
  reasonsOf,
  type StatementReport,
  sumOf,
  unpricedText,
} from './statement.ts'

/** A row of the table: a customer's, or the sum. */
interface Row extends Figures {
  readonly from: string
  /** What AWS bills of it, where it is of a part of the period. */
  readonly quantities: Quantities | undefined
  readonly charge: bigint | undefined
  readonly label: string
  readonly licence: string
  readonly product: string
  readonly agreement: string
  readonly total: boolean
}

export interface StatementTableOptions extends TableOptions {
  /** Seconds, bytes and counts instead of quantities. */
  readonly baseUnits?: boolean
}

/** The statement for a person: a table for each dimension, what has no customer, and whether it all adds up. */
export function statementTable(report: StatementReport, options: StatementTableOptions = {}): string {
  const customers = report.lines.filter(line => line.account.kind === 'customer')
  const scaleOf = options.baseUnits ? baseScale : quantityScale
  const sections = byDimension(customers).map(lines => dimensionSection(lines, report, scaleOf, options))
  if (sections.length === 0) sections.push('No usage of a customer.')
  const unattributed = unattributedSection(report.lines, scaleOf, options)
  const body = [title(report), ...sections, ...(unattributed === '' ? [] : [unattributed])].join('\n\n')
  const notes = [
    ...(body.includes('~') ? ['~ is rounded; --base-units and --json have it exactly.'] : []),
    ...(isPeriod(report) ? [PERIOD_NOTE] : []),
    ...chargeNotes(report),
    equationText(report.allTime, options.paint) + (isPeriod(report) ? ' (Since the ledger began.)' : ''),
    ...reconciledLines(report.reconciled ?? []),
  ]
  return `${body}\n\n${notes.join('\n')}`
}

const PERIOD_NOTE =
  'For a period, the balance is what the period brought less what the records of\n' +
  'its hours carry. Fractions, late usage and returned quantities go out with a\n' +
  'later hour: left behind they add to it, brought along they make it negative.'

const isPeriod = ({ period: { from, to }, by }: StatementReport) =>
  from !== undefined || to !== undefined || by !== undefined

function chargeNotes(report: StatementReport): string[] {
  const { rateCard, lines } = report
  if (rateCard === undefined) return []
  const charge = chargeOfAll(lines, report)
  return charge === undefined
    ? [unpricedText(report)]
    : [`Metered by the rate card's prices: ${moneyText(charge)} ${rateCard.currency} in all.`]
}

function title({ now, period: { from, to } }: StatementReport): string {
  const start = from === undefined ? 'the beginning' : shortTime(from)
  return `Statement from ${start} to ${to === undefined ? `now, ${shortTime(now)}` : shortTime(to)}`
}

function dimensionSection(
  lines: readonly StatementLine[],
  report: StatementReport,
  scaleOf: (dimension: StatementLine['dimension']) => Scale,
  options: StatementTableOptions,
): string {
  const [{ dimension }] = lines as [StatementLine]
  const scale = scaleOf(dimension)
  const { agreements, by } = report
  const rows: Row[] = lines.map(line => ({
    ...line,
    from: spanText(line, by),
    quantities: line.span?.quantities,
    charge: chargeOf(line, report)?.charge,
    label: accountLabel(line.account),
    licence: licenceLabel(line.account),
    product: line.account.product,
    agreement: agreementCell(agreements.get(line.account.key)),
    total: false,
  }))
  const billed = { quantities: by && quantitiesOf(lines), charge: chargeOfAll(lines, report) }
  const label = by === undefined ? 'TOTAL' : ''
  const none = { label, licence: '', product: '', agreement: '' }
  rows.push({ ...sumOf(lines), ...billed, ...none, from: 'TOTAL', total: true })
  const text = table(columnsFor(rows, scale, report, options), rows, options)
  const { paint = plain } = options
  return `${paint('bold', printable(dimension.name))}, in ${printable(scale.unit)}\n${indented(text)}`
}

/** An hour, a day or a month. */
function spanText({ span }: StatementLine, by: Span | undefined): string {
  if (span === undefined || by === undefined || by === 'hour') return span === undefined ? '' : shortTime(span.from)
  return iso(span.from).slice(0, by === 'day' ? 10 : 7)
}

function columnsFor(
  rows: readonly Row[],
  scale: Scale,
  { by, rateCard }: StatementReport,
  { baseUnits = false }: StatementTableOptions,
): Column<Row>[] {
  const bold = (row: Row) => (row.total ? 'bold' : undefined)
  const figure = (name: 'recorded' | 'included' | 'metered' | 'pending' | 'held' | 'balance'): Column<Row> => ({
    title: name.toUpperCase(),
    of: ({ quantities, ...row }) => {
      const quantity = name === 'recorded' || name === 'balance' || baseUnits ? undefined : quantities?.[name]
      return quantity?.toLocaleString('en-US') ?? scale.text(row[name])
    },
    number: true,
    format: row =>
      name === 'held' && row.held > 0n ? 'yellow' : row[name] < 0n ? 'red' : row.total ? 'bold' : undefined,
  })
  const products = new Set(rows.filter(row => !row.total).map(row => row.product))
  return [
    ...(by === undefined ? [] : [{ title: by.toUpperCase(), of: (row: Row) => row.from, format: bold }]),
    { title: 'CUSTOMER', of: row => row.label, format: bold },
    ...(products.size > 1 ? [{ title: 'PRODUCT', of: (row: Row) => row.product }] : []),
    ...(rows.some(row => row.licence !== '') ? [{ title: 'LICENCE', of: (row: Row) => row.licence }] : []),
    figure('recorded'),
    ...(rows.some(row => row.included !== 0n) ? [figure('included')] : []),
    ...(['metered', 'pending', 'held', 'balance'] as const).map(figure),
    ...(rateCard === undefined
      ? []
      : [{ title: `CHARGE ${rateCard.currency}`, of: chargeText, number: true as const, format: bold }]),
    ...(rows.some(row => row.agreement !== '')
      ? [{ title: 'AGREEMENT', of: (row: Row) => row.agreement, optional: true as const }]
      : []),
    ...(rows.some(row => row.held !== 0n) ? [{ title: 'HELD FOR', of: (row: Row) => reasonsText(row, scale) }] : []),
  ]
}

const chargeText = ({ charge }: Row) => (charge === undefined ? '-' : moneyText(charge))

function agreementCell(agreement: Agreement | undefined): string {
  if (agreement === undefined) return ''
  const refused = agreement.refusedSince !== undefined && agreement.state !== 'ended'
  return `${agreementText(agreement)}${refused ? ', refused by AWS' : ''}`
}

/** `in-doubt`, or where there are several `in-doubt 2, refused 5`. */
function reasonsText({ heldByReason }: Figures, scale: Scale): string {
  const reasons = reasonsOf(heldByReason)
  if (reasons.length < 2) return reasons.map(([reason]) => reason).join('')
  return reasons.map(([reason, amount]) => `${reason} ${scale.text(amount)}`).join(', ')
}

function unattributedSection(
  lines: readonly StatementLine[],
  scaleOf: (dimension: StatementLine['dimension']) => Scale,
  options: StatementTableOptions,
): string {
  const series = Map.groupBy(lines, ({ account, dimension }) => JSON.stringify([account.key, dimension.name]))
  const rows = [...series.values()].flatMap(parts => {
    const [{ account, dimension }] = parts as [StatementLine]
    const { recorded, balance } = sumOf(parts)
    return account.kind === 'unattributed' && (recorded !== 0n || balance !== 0n)
      ? [{ account, dimension, balance }]
      : []
  })
  if (rows.length === 0) return ''
  type Row = (typeof rows)[number]
  const columns: Column<Row>[] = [
    { title: 'ACCOUNT', of: row => accountLabel(row.account) },
    { title: 'REASON', of: row => row.account.reason, format: () => 'yellow' },
    { title: 'DIMENSION', of: row => printable(row.dimension.name) },
    { title: 'BALANCE', of: row => scaleOf(row.dimension).text(row.balance), number: true },
    { title: 'IN', of: row => printable(scaleOf(row.dimension).unit) },
  ]
  const reasons = new Set(rows.map(row => row.account.reason))
  const evidence = new Map(rows.map(row => [row.account.key, row.account]))
  return [
    'Unattributed: nobody is billed for it until you attribute it or write it off',
    indented(table(columns, rows, options)),
    ...[...reasons].map(reason => `  ${reason}: ${UNATTRIBUTED_REASONS[reason]}`),
    '  What the data points said:',
    ...[...evidence.values()].map(
      account => `    ${accountLabel(account)}  ${printable(account.evidence) || '(nothing)'}`,
    ),
  ].join('\n')
}
