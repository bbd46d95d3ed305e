import type { Agreement, StatementLine } from '../../ledger/ledger.ts'
import { reconciledLines } from '../../reconcile/reconciled-text.ts'
import { accountLabel, licenceLabel } from '../../text/account.ts'
import { agreementText } from '../../text/agreement.ts'
import { plain } from '../../text/paint.ts'
import { printable } from '../../text/printable.ts'
import { baseScale, quantityScale, type Scale } from '../../text/quantity.ts'
import { type Column, indented, type TableOptions, table } from '../../text/table.ts'
import { shortTime } from '../../text/time.ts'
import { UNATTRIBUTED_REASONS } from '../../text/unattributed-reasons.ts'
import type { Period } from '../period.ts'
import { equationText } from './equation-text.ts'
import { byDimension, type Figures, reasonsOf, type StatementReport, sumOf } from './statement.ts'

/** A row of the table: a customer's, or the sum. */
interface Row extends Figures {
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
  const sections = byDimension(customers).map(lines => dimensionSection(lines, report.agreements, scaleOf, options))
  if (sections.length === 0) sections.push('No usage of a customer.')
  const unattributed = unattributedSection(report.lines, scaleOf, options)
  const body = [title(report), ...sections, ...(unattributed === '' ? [] : [unattributed])].join('\n\n')
  const notes = [
    ...(body.includes('~') ? ['~ is rounded; --base-units and --format json have it exactly.'] : []),
    ...(isPeriod(report.period) ? [PERIOD_NOTE] : []),
    equationText(report.allTime, options.paint) + (isPeriod(report.period) ? ' (Since the ledger began.)' : ''),
    ...reconciledLines(report.reconciled ?? []),
  ]
  return `${body}\n\n${notes.join('\n')}`
}

const PERIOD_NOTE =
  'For a period, the balance is what the period brought less what the records of\n' +
  'its hours carry. Fractions, late usage and returned quantities go out with a\n' +
  'later hour: left behind they add to it, brought along they make it negative.'

const isPeriod = ({ from, to }: Period) => from !== undefined || to !== undefined

function title({ now, period: { from, to } }: StatementReport): string {
  const start = from === undefined ? 'the beginning' : shortTime(from)
  return `Statement from ${start} to ${to === undefined ? `now, ${shortTime(now)}` : shortTime(to)}`
}

function dimensionSection(
  lines: readonly StatementLine[],
  agreements: StatementReport['agreements'],
  scaleOf: (dimension: StatementLine['dimension']) => Scale,
  options: StatementTableOptions,
): string {
  const [{ dimension }] = lines as [StatementLine]
  const scale = scaleOf(dimension)
  const rows: Row[] = lines.map(line => ({
    ...line,
    label: accountLabel(line.account),
    licence: licenceLabel(line.account),
    product: line.account.product,
    agreement: agreementCell(agreements.get(line.account.key)),
    total: false,
  }))
  rows.push({ ...sumOf(lines), label: 'TOTAL', licence: '', product: '', agreement: '', total: true })
  const text = table(columnsFor(rows, scale), rows, options)
  const { paint = plain } = options
  return `${paint('bold', printable(dimension.name))}, in ${printable(scale.unit)}\n${indented(text)}`
}

function columnsFor(rows: readonly Row[], scale: Scale): Column<Row>[] {
  const figure = (name: 'recorded' | 'metered' | 'pending' | 'held' | 'balance'): Column<Row> => ({
    title: name.toUpperCase(),
    of: row => scale.text(row[name]),
    number: true,
    format: row =>
      name === 'held' && row.held > 0n ? 'yellow' : row[name] < 0n ? 'red' : row.total ? 'bold' : undefined,
  })
  const products = new Set(rows.filter(row => !row.total).map(row => row.product))
  return [
    { title: 'CUSTOMER', of: row => row.label, format: row => (row.total ? 'bold' : undefined) },
    ...(products.size > 1 ? [{ title: 'PRODUCT', of: (row: Row) => row.product }] : []),
    ...(rows.some(row => row.licence !== '') ? [{ title: 'LICENCE', of: (row: Row) => row.licence }] : []),
    ...(['recorded', 'metered', 'pending', 'held', 'balance'] as const).map(figure),
    ...(rows.some(row => row.agreement !== '')
      ? [{ title: 'AGREEMENT', of: (row: Row) => row.agreement, optional: true as const }]
      : []),
    ...(rows.some(row => row.held !== 0n) ? [{ title: 'HELD FOR', of: (row: Row) => reasonsText(row, scale) }] : []),
  ]
}

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
  const rows = lines.flatMap(line => {
    const { account, dimension, recorded, balance } = line
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
    'Without a customer: nobody is billed for it until you attribute it or write it off',
    indented(table(columns, rows, options)),
    ...[...reasons].map(reason => `  ${reason}: ${UNATTRIBUTED_REASONS[reason]}`),
    '  What the data points said:',
    ...[...evidence.values()].map(
      account => `    ${accountLabel(account)}  ${printable(account.evidence) || '(nothing)'}`,
    ),
  ].join('\n')
}
