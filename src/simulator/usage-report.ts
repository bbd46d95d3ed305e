import { createHash } from 'node:crypto'
import * as v from 'valibot'
import { strictObject } from '../check.ts'
import type { BilledRecord } from './book.ts'
import type { Instant } from './clock.ts'
import { productIdOf } from './events.ts'
import { type Random, seeded, shuffled } from './random.ts'
import { expected, instant, validated } from './validation.ts'

/** AWS's reports for sellers, made of what was billed: what they sum up is by day, not by hour or licence. */

export interface UsageReportOptions {
  /** Only days that begin then or later. */
  from?: Instant | undefined
  /** Only days that begin earlier. */
  to?: Instant | undefined
  /** What a unit of a dimension costs in USD, as decimal text of at most eight places: `'0.002'`. */
  rates?: Record<string, string> | undefined
  /** How likely a row was revised (default 0): it stands there as it was before, too, or one was taken back beside it. */
  revisions?: number | undefined
}

/** Texts of CSV files (RFC 4180, all quoted), each with a header. */
export interface UsageReport {
  /** The daily Usage feed. Accounts are hashes, as the Account feed resolves them. */
  usage: string
  /** The Account feed. */
  accounts: string
  /** The newer Marketplace Usage dataset, with plain account ids. */
  dataset: string
}

const RATE = /^\d{1,12}(\.\d{1,8})?$/
const rate = v.pipe(v.string(), v.regex(RATE, expected('a price as decimal text of at most eight places')))

/** @internal */
export const usageReportSchema = strictObject({
  from: v.optional(instant),
  to: v.optional(instant),
  rates: v.optional(v.record(v.string(), rate), {}),
  revisions: v.optional(v.pipe(v.number(), v.minValue(0), v.maxValue(1)), 0),
})

/** What the reports are made of. */
export interface ReportSource {
  /** Makes the hashes of accounts, and which rows were revised. */
  seed: number
  now: number
  sellerAccountId: string
  billed: readonly BilledRecord[]
  /** AWS's id of the agreement that usage is under, where there is one that is known. */
  agreementOf: (record: BilledRecord) => string | undefined
}

type Row = Record<string, string>

interface Sum {
  day: number
  region: string
  product: string
  dimension: string
  accountId: string
  customerIdentifier: string
  quantity: number
  agreementIds: Set<string>
}

const DAY = 86_400_000
/** A day is in the reports when it is over and so long has passed. */
const PUBLISHED = 6 * 3_600_000
const MINUTE = 60_000

/** @throws {SimulatorConfigurationError} */
export function usageReport(source: ReportSource, options: UsageReportOptions = {}): UsageReport {
  const { from, to, rates, revisions } = validated(usageReportSchema, options, 'options')
  const sums = summed(source).filter(
    ({ day }) =>
      day + DAY + PUBLISHED <= source.now && (from === undefined || day >= from) && (to === undefined || day < to),
  )
  const usage: Row[] = []
  const dataset: Row[] = []
  const accounts = new Map<string, Row>()
  for (const sum of sums) {
    const id = digest('line', ...keyOf(sum))
    const random = seeded(Number.parseInt(id.slice(0, 8), 16) ^ source.seed)
    const revision = random() < revisions ? pick(REVISIONS, random) : undefined
    const price = rates[sum.dimension]
    const rowOf = (quantity: number) => feedRow(source, sum, quantity, price)
    usage.push(...feedRows(id, sum.day, revision, rowOf, sum.quantity))
    dataset.push(...datasetRows(id, sum, revision, price))
    const account = accountRow(source, sum)
    accounts.set(account.account_id as string, account)
  }
  return {
    usage: csv(USAGE, usage),
    accounts: csv(ACCOUNTS, [...accounts.values()]),
    // What was revised is in no order that one may rely on.
    dataset: csv(DATASET, revisions > 0 ? shuffled(dataset, seeded(source.seed)) : dataset),
  }
}

/** By day, region, dimension, product and account. */
function summed({ billed, agreementOf }: ReportSource): Sum[] {
  const sums = new Map<string, Sum>()
  for (const record of billed) {
    const { region, product = '', dimension, accountId = '', customerIdentifier = '' } = record
    const day = Math.floor(Date.parse(record.timestamp) / DAY) * DAY
    const named = { day, region, product, dimension, accountId, customerIdentifier }
    const key = JSON.stringify(keyOf(named))
    let sum = sums.get(key)
    if (sum === undefined) {
      sum = { ...named, quantity: 0, agreementIds: new Set() }
      sums.set(key, sum)
    }
    sum.quantity += record.quantity
    sum.agreementIds.add(agreementOf(record) ?? '')
  }
  return [...sums.values()].sort((one, other) => one.day - other.day)
}

/** Of a customer with both names the account counts. */
function keyOf(sum: Omit<Sum, 'quantity' | 'agreementIds'>): string[] {
  const { day, region, product, dimension, accountId, customerIdentifier } = sum
  return [iso(day), region, product, dimension, accountId, accountId === '' ? customerIdentifier : '']
}

/** Nothing where several agreements are in one sum. */
const agreementIdOf = ({ agreementIds }: Sum): string =>
  agreementIds.size === 1 ? ([...agreementIds][0] as string) : ''

const USAGE = [
  'valid_from',
  'insert_date',
  'update_date',
  'delete_date',
  'usage_feed_id',
  'usage_date',
  'product_id',
  'agreement_id',
  'end_user_account_id',
  'payer_account_id',
  'region',
  'dimension_key',
  'usage_unit',
  'usage_quantity',
  'pricing_currency',
  'estimated_revenue_in_pricing_currency',
  'catalog',
  'recipient_account_id',
  'offer_id',
  'usage_rate_per_unit_in_pricing_currency',
  'charge_item_description',
]

const ACCOUNTS = [
  'valid_from',
  'insert_date',
  'update_date',
  'delete_date',
  'account_id',
  'aws_account_id',
  'encrypted_account_id',
]

const DATASET = [
  'internal_usage_line_item_id',
  'row_type',
  'row_modified_date',
  'usage_date',
  'agreement_id',
  'product_code',
  'dimension_key',
  'region',
  'estimated_usage_units',
  'estimated_revenue',
  'end_user_aws_account_id',
  'partner_aws_account_id',
]

const REVISIONS = ['updated', 'superseded', 'deleted'] as const
type Revision = (typeof REVISIONS)[number]

const pick = <Item>(items: readonly Item[], random: Random): Item => items[Math.floor(random() * items.length)] as Item

/** What a row said before it was revised. */
const before = (quantity: number) => quantity + 17

function feedRow(source: ReportSource, sum: Sum, quantity: number, price: string | undefined): Row {
  const account = hashOf(source, sum)
  return {
    usage_date: iso(sum.day),
    product_id: sum.product === '' ? '' : productIdOf(sum.product),
    agreement_id: agreementIdOf(sum),
    end_user_account_id: account,
    payer_account_id: account,
    region: sum.region,
    dimension_key: sum.dimension,
    usage_unit: 'Units',
    usage_quantity: quantity.toFixed(2),
    pricing_currency: 'USD',
    estimated_revenue_in_pricing_currency: price === undefined ? '' : revenue(quantity, price),
    catalog: 'AWSMarketplace',
    recipient_account_id: digest(String(source.seed), source.sellerAccountId),
    offer_id: '',
    usage_rate_per_unit_in_pricing_currency: price ?? '',
    charge_item_description: `AWS Marketplace usage of ${sum.dimension}`,
  }
}

/** For an id and `valid_from` the latest `update_date` counts, and of those the latest `valid_from`. */
function feedRows(
  id: string,
  day: number,
  revision: Revision | undefined,
  rowOf: (quantity: number) => Row,
  quantity: number,
): Row[] {
  const published = day + DAY
  const version = (validFrom: number, updated: number, row: Row, deleted = ''): Row => ({
    ...{ valid_from: iso(validFrom), insert_date: iso(published), update_date: iso(updated), delete_date: deleted },
    usage_feed_id: id,
    ...row,
  })
  const [early, late] = [published + 70 * MINUTE, published + 130 * MINUTE]
  const first = version(published, early, rowOf(quantity))
  switch (revision) {
    case undefined:
      return [first]
    case 'updated':
      // The later row comes first in the file.
      return [version(published, late, rowOf(quantity)), version(published, early, rowOf(before(quantity)))]
    case 'superseded': {
      // What is no longer valid was touched after what is.
      const next = published + 60 * MINUTE
      return [version(next, early, rowOf(quantity)), version(published, late, rowOf(before(quantity)))]
    }
    case 'deleted': {
      const other = { ...rowOf(before(0)), usage_feed_id: digest('deleted', id) }
      return [first, version(published, early, other), version(published, late, other, iso(late))]
    }
  }
}

/** In the order of `row_modified_date`. */
function datasetRows(id: string, sum: Sum, revision: Revision | undefined, price: string | undefined): Row[] {
  const row = (type: string, minutes: number, quantity: number, line = id): Row => ({
    internal_usage_line_item_id: line,
    row_type: type,
    row_modified_date: iso(sum.day + DAY + minutes * MINUTE),
    usage_date: iso(sum.day),
    agreement_id: agreementIdOf(sum),
    product_code: sum.product,
    dimension_key: sum.dimension,
    region: sum.region,
    estimated_usage_units: quantity.toFixed(2),
    estimated_revenue: price === undefined ? '' : revenue(quantity, price),
    end_user_aws_account_id: sum.accountId,
    partner_aws_account_id: '',
  })
  const { quantity } = sum
  switch (revision) {
    case undefined:
      return [row('INSERT', 70, quantity)]
    case 'updated':
    case 'superseded':
      return [row('INSERT', 70, before(quantity)), row('UPDATE', 130, quantity)]
    case 'deleted': {
      const other = digest('deleted', id)
      return [row('INSERT', 70, quantity), row('INSERT', 70, before(0), other), row('DELETE', 130, before(0), other)]
    }
  }
}

function accountRow(source: ReportSource, sum: Sum): Row {
  const at = iso(sum.day + DAY)
  return {
    ...{ valid_from: at, insert_date: at, update_date: at, delete_date: '' },
    account_id: hashOf(source, sum),
    aws_account_id: sum.accountId,
    encrypted_account_id: sum.customerIdentifier,
  }
}

const hashOf = ({ seed }: ReportSource, { accountId, customerIdentifier }: Sum) =>
  digest(String(seed), accountId === '' ? customerIdentifier : accountId)

const digest = (...texts: string[]) => createHash('sha256').update(JSON.stringify(texts)).digest('hex').slice(0, 40)

/** Quantity by price, exactly, with two places or as many as it has. */
function revenue(quantity: number, price: string): string {
  const [whole = '', part = ''] = price.split('.')
  const amount = BigInt(quantity) * BigInt(whole + part.padEnd(8, '0'))
  const text = amount.toString().padStart(9, '0')
  return `${text.slice(0, -8)}.${text.slice(-8).replace(/0{1,6}$/, '')}`
}

const iso = (milliseconds: number) => new Date(milliseconds).toISOString().replace('.000', '')

const csv = (header: readonly string[], rows: readonly Row[]): string =>
  [header, ...rows.map(row => header.map(name => row[name] ?? ''))]
    .map(cells => `${cells.map(cell => `"${cell.replaceAll('"', '""')}"`).join(',')}\r\n`)
    .join('')
