import type { CustomerEntitlement, IncludedDimension } from '../../ledger/ledger.ts'
import { type EntitlementUse, useOf } from '../../metering/entitlement-use.ts'
import { accountLabel, licenceLabel } from '../../text/account.ts'
import { csv, csvAmount } from '../../text/csv.ts'
import { printable } from '../../text/printable.ts'
import { quantityScale, soldAmount } from '../../text/quantity.ts'
import { type Column, type TableOptions, table } from '../../text/table.ts'
import { distance, iso, shortTime } from '../../text/time.ts'
import { formatAmount } from '../../usage/amount.ts'
import type { Dimension } from '../../usage/dimension.ts'
import type { Entitlements } from '../json.ts'

export interface EntitlementReport {
  readonly entitlements: readonly CustomerEntitlement[]
  readonly included: readonly IncludedDimension[]
  readonly dimensions: ReadonlyMap<string, Dimension>
  /** Milliseconds since the epoch. */
  readonly now: number
}

interface Row extends CustomerEntitlement, EntitlementUse {
  readonly sold: Dimension
  /** `over`, or of a time to come. */
  readonly state: 'in force' | 'over' | 'to come'
  readonly per: IncludedDimension['per']
}

function rowsOf({ entitlements, included, dimensions, now }: EntitlementReport): Row[] {
  return entitlements.flatMap(one => {
    const { account, dimension, amount, used, from = 0, usedSince = from } = one
    const sold = dimensions.get(dimension)
    const terms = included.find(other => other.product === account.product && other.dimension === dimension)
    if (sold === undefined || terms === undefined) return []
    const { per } = terms
    const use = useOf(one, per, now)
    const state = use !== undefined ? 'in force' : now < from ? 'to come' : 'over'
    const left = amount > used ? amount - used : 0n
    return [{ ...one, sold, state, per, ...(use ?? { used, left, since: usedSince }) }]
  })
}

export function entitlementsTable(report: EntitlementReport, options: TableOptions = {}): string {
  const { included, dimensions } = report
  if (included.length === 0)
    return 'No contract includes anything: no dimension has "included" in the options of who meters.'
  const rows = rowsOf(report)
  const products = new Set(rows.map(({ account }) => account.product))
  const columns: Column<Row>[] = [
    { title: 'CUSTOMER', of: ({ account }) => accountLabel(account) },
    ...(rows.some(({ account }) => account.licenseArn !== undefined)
      ? [{ title: 'LICENCE', of: ({ account }: Row) => licenceLabel(account) || '-', optional: true as const }]
      : []),
    ...(products.size > 1 ? [{ title: 'PRODUCT', of: ({ account }: Row) => printable(account.product) }] : []),
    { title: 'DIMENSION', of: ({ dimension }) => printable(dimension) },
    { title: 'UNIT', of: ({ sold }) => printable(quantityScale(sold).unit), optional: true },
    { title: 'FROM', of: ({ from }) => (from === undefined ? '-' : shortTime(from)), optional: true },
    { title: 'UNTIL', of: ({ until }) => (until === undefined ? '-' : shortTime(until)) },
    { title: 'INCLUDED', of: ({ sold, amount }) => quantityScale(sold).text(amount), number: true },
    { title: 'USED', of: ({ sold, used }) => quantityScale(sold).text(used), number: true },
    {
      title: 'LEFT',
      of: ({ sold, left, state }) => (state === 'in force' ? quantityScale(sold).text(left) : state),
      number: true,
    },
  ]
  const known = included.map(one => `  ${knownText(one, dimensions.get(one.dimension), report.now)}`)
  const listed =
    rows.length === 0 ? 'No customer has anything included, as far as is known.' : table(columns, rows, options)
  return [listed, '', ...known].join('\n')
}

function knownText(
  { product, dimension, per, entitlement, quantity, knownUntil }: IncludedDimension,
  sold: Dimension | undefined,
  now: number,
): string {
  const name = `${printable(dimension)} of ${printable(product)}`
  const period = per === 'term' ? 'a term' : 'a month'
  if (entitlement === undefined) {
    const all = sold === undefined ? String(quantity) : soldAmount(BigInt(quantity ?? 0) * sold.size, sold)
    return `${name}: ${all} ${period} for all others`
  }
  const until =
    knownUntil === undefined
      ? 'AWS has not answered yet'
      : `as AWS said at ${shortTime(Math.floor(knownUntil / 1000) * 1000)}, ${distance(knownUntil, now)}`
  return `${name}: ${printable(entitlement)}, ${period}; ${until}`
}

/** For a program: amounts in the base unit, times ISO 8601. */
export function entitlementsJson(report: EntitlementReport): Entitlements {
  return {
    at: iso(report.now),
    included: report.included.map(({ since, knownUntil, unknown, unit, ...rest }) => ({
      ...rest,
      ...(unit !== undefined && { size: formatAmount(BigInt(unit)) }),
      since: iso(since),
      ...(knownUntil !== undefined && { knownUntil: iso(knownUntil) }),
      unknown,
    })),
    entitlements: rowsOf(report).map(
      ({ account, dimension, sold, per, state, amount, used, left, since, from, until }) => ({
        ...{ account, dimension, per, state, baseUnit: sold.baseUnit, size: formatAmount(sold.size) },
        ...(from !== undefined && { from: iso(from) }),
        ...(until !== undefined && { until: iso(until) }),
        ...{ included: formatAmount(amount), used: formatAmount(used), left: formatAmount(left) },
        ...(since !== 0 && { usedSince: iso(since) }),
      }),
    ),
  }
}

export function entitlementsCsv(report: EntitlementReport): string {
  return csv(
    [
      ...['account', 'product', 'account_id', 'customer_identifier', 'license_arn', 'dimension', 'base_unit', 'size'],
      ...['per', 'state', 'from', 'until', 'included', 'used', 'left', 'used_since'],
    ],
    rowsOf(report).map(({ account, dimension, sold, per, state, amount, used, left, since, from, until }) => [
      ...[account.key, account.product, account.accountId, account.customerIdentifier, account.licenseArn],
      ...[dimension, sold.baseUnit, csvAmount(sold.size), per, state],
      ...[from, until].map(time => (time === undefined ? undefined : iso(time))),
      ...[csvAmount(amount), csvAmount(used), csvAmount(left), since === 0 ? undefined : iso(since)],
    ]),
  )
}
