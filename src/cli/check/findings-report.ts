import { RULES } from '../../ledger/rules/counters/index.ts'
import { accountLabel, licenceLabel } from '../../text/account.ts'
import { printable } from '../../text/printable.ts'
import { quantityScale } from '../../text/quantity.ts'
import { type Column, indented, type TableOptions, table } from '../../text/table.ts'
import { iso, shortTime } from '../../text/time.ts'
import type { Account } from '../../usage/account.ts'
import { formatAmount } from '../../usage/amount.ts'
import type { Dimension } from '../../usage/dimension.ts'
import { evidenceOf } from '../../usage/evidence.ts'
import { untaggedAccount } from '../../usage/tagged-account.ts'
import type { Check } from '../json.ts'
import type { Finding, Findings } from './findings.ts'

type Dimensions = ReadonlyMap<string, Dimension>

const ATTRIBUTES_LENGTH = 60

/** What would become of captured requests, for a person: each point, what the reasons mean, and the bill. */
export function findingsText(findings: Findings, dimensions: Dimensions, options: TableOptions = {}): string {
  const { points, unnamed, alarms } = findings
  const sections = [
    points.length === 0 ? 'No rule names any of its metrics.' : table(columns(points, dimensions), points, options),
    ...(unnamed.size === 0 ? [] : [`No rule names these:\n${indented(unnamedText(unnamed))}`]),
    ...reasonsText(points),
    ...(alarms.length === 0 ? [] : [`Look at this:\n${indented(alarms.map(alarm => printable(alarm)).join('\n'))}`]),
    ...(points.length === 0 ? [] : [billText(findings, dimensions, options)]),
  ]
  return sections.join('\n\n')
}

function columns(points: readonly Finding[], dimensions: Dimensions): Column<Finding>[] {
  return [
    { title: 'TIME', of: ({ time }) => shortTime(time), optional: true },
    { title: 'METRIC', of: ({ metric }) => printable(metric) },
    { title: 'ATTRIBUTES', of: point => printable(evidenceOf(point.attributes), ATTRIBUTES_LENGTH), optional: true },
    { title: 'VALUE', of: ({ value }) => value, number: true },
    { title: 'DIMENSION', of: ({ dimension }) => printable(dimension ?? '-') },
    { title: 'CUSTOMER', of: ({ account }) => (account === undefined ? '-' : accountLabel(account)) },
    ...(points.some(hasLicence) ? [LICENCE] : []),
    { title: 'USAGE', of: point => usageText(point, dimensions), number: true },
    { title: 'RULE', of: ({ rule }) => rule ?? '-', optional: true },
    { title: 'WHY', of: ({ reason }) => reason ?? 'counted', format: ({ reason }) => (reason ? 'yellow' : 'green') },
  ]
}

type OfAccount = Pick<Finding, 'account'>

const LICENCE: Column<OfAccount> = { title: 'LICENCE', of: licenceOf, optional: true }

const hasLicence = (one: OfAccount) => licenceOf(one) !== ''

function licenceOf({ account }: OfAccount): string {
  return account === undefined ? '' : licenceLabel(account)
}

function usageText({ dimension, amount }: Finding, dimensions: Dimensions): string {
  const of = dimension === undefined ? undefined : dimensions.get(dimension)
  return of === undefined ? '0' : quantityScale(of).text(amount)
}

function unnamedText(unnamed: ReadonlyMap<string, number>): string {
  return [...unnamed].map(([metric, points]) => `${printable(metric)} (${points})`).join('\n')
}

/** What the rules and reasons mean, each once. */
function reasonsText(points: readonly Finding[]): string[] {
  const lines = points.flatMap(({ rule, reason, message = '' }) => [
    ...(rule === undefined ? [] : [`${rule}: ${RULES[rule]}`]),
    ...(reason === undefined || reason === rule ? [] : [`${reason}: ${printable(message)}`]),
  ])
  return lines.length === 0 ? [] : [[...new Set(lines)].join('\n')]
}

/** What an account would have of a dimension. */
interface BillLine {
  readonly account: Account
  readonly dimension: Dimension
  readonly amount: bigint
}

function billOf(points: readonly Finding[], dimensions: Dimensions): BillLine[] {
  const lines = new Map<string, BillLine>()
  for (const { account, dimension: name, amount } of points) {
    const dimension = name === undefined ? undefined : dimensions.get(name)
    if (account === undefined || dimension === undefined || amount === 0n) continue
    // Whatever its usage is for.
    const customer = untaggedAccount(account)
    const key = JSON.stringify([customer.key, name])
    lines.set(key, { account: customer, dimension, amount: amount + (lines.get(key)?.amount ?? 0n) })
  }
  return [...lines.values()]
}

const quantityOf = ({ amount, dimension, account }: BillLine): bigint =>
  account.kind === 'customer' ? amount / dimension.size : 0n

function billText({ points, since, contracts }: Findings, dimensions: Dimensions, options: TableOptions): string {
  const lines = billOf(points, dimensions)
  const ledger = `by a ledger that has metered since ${shortTime(since)}; another beginning is for --since`
  if (lines.length === 0) return `Nothing would be billed, ${ledger}.`
  const columns: Column<BillLine>[] = [
    { title: 'CUSTOMER', of: ({ account }) => accountLabel(account) },
    ...(lines.some(hasLicence) ? [LICENCE] : []),
    { title: 'DIMENSION', of: ({ dimension }) => printable(dimension.name) },
    { title: 'UNIT', of: ({ dimension }) => printable(quantityScale(dimension).unit) },
    { title: 'USAGE', of: ({ dimension, amount }) => quantityScale(dimension).text(amount), number: true },
    { title: 'BILLED', of: line => quantityOf(line).toLocaleString('en-US'), number: true },
  ]
  const notes = ['Whole units are; the rest stays in the balance. For what is unattributed nobody is billed.']
  const included = contracts.filter(name => lines.some(({ dimension }) => dimension.name === name))
  if (included.length > 0)
    notes.push(
      `Less what contracts include of ${included.map(name => printable(name)).join(', ')}: only the ledger knows.`,
    )
  return `What would be billed, ${ledger}:\n${indented([table(columns, lines, options), ...notes].join('\n'))}`
}

/** The same for a program. Amounts are decimal numbers of base units, as strings. */
export function findingsJson(
  { since, points, unnamed, alarms }: Findings,
  dimensions: Dimensions,
): NonNullable<Check['payload']> {
  return {
    since: iso(since),
    points: points.map(({ time, amount, dimension, account, reason, message, rule, ...point }) => ({
      time: iso(time),
      ...point,
      dimension: dimension ?? null,
      account: account ?? null,
      amount: formatAmount(amount),
      rule: rule ?? null,
      reason: reason ?? null,
      message: message ?? null,
    })),
    unnamed: Object.fromEntries(unnamed),
    alarms,
    bill: billOf(points, dimensions).map(line => ({
      account: line.account,
      dimension: line.dimension.name,
      amount: formatAmount(line.amount),
      baseUnit: line.dimension.baseUnit,
      quantity: String(quantityOf(line)),
    })),
  }
}
