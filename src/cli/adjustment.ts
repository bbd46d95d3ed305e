import { createHash } from 'node:crypto'
import { LedgerError } from '../ledger/errors.ts'
import { HOUR, spanOf } from '../ledger/hours.ts'
import type { Agreement, AuditEntry, HeldReason, Ledger, RecordEntry } from '../ledger/ledger.ts'
import { billedQuantity } from '../ledger/rules/accounting.ts'
import { accountName } from '../text/account.ts'
import { moneyText } from '../text/money.ts'
import { printable } from '../text/printable.ts'
import { iso, shortTime } from '../text/time.ts'
import type { CustomerAccount } from '../usage/account.ts'
import { CommandLineError } from './errors.ts'
import type { RateCard } from './rate-card.ts'

/** https://docs.aws.amazon.com/marketplace/latest/APIReference/ BatchCreateBillingAdjustmentRequest. */
export const REASON_CODES = [
  'INCORRECT_METERING',
  'TEST_ENVIRONMENT_CHARGES',
  'INCORRECT_TERMS_ACCEPTED',
  'ALTERNATIVE_PROCUREMENT_CHANNEL',
  'UNINTENDED_RENEWAL',
  'BUYER_DISSATISFACTION',
  'OTHER',
] as const

/** How many entries a request may have. */
export const MOST_ENTRIES = 5

/** An entry of AWS's request. */
export interface AdjustmentEntry {
  readonly agreementId: string
  readonly originalInvoiceId: string
  readonly adjustmentAmount: string
  readonly currencyCode: string
  readonly adjustmentReasonCode: (typeof REASON_CODES)[number]
  readonly description?: string
  readonly clientToken: string
}

/** From an hour on up to, but not with, another, in ISO 8601. */
type HourRange = readonly [from: string, to: string]

/** What money is given back for, as the audit trail keeps it. */
export interface Adjusted {
  readonly token: string
  /** The key of an account. */
  readonly account: string
  readonly dimension: string
  /** In units of the dimension. */
  readonly quantity: string
  readonly hours: readonly HourRange[]
  readonly agreementId: string
  readonly invoiceId: string
  readonly amount: string
  readonly currency: string
  /** Tokens of earlier ones of the same hours that it comes on top of. */
  readonly besides?: readonly string[]
  /** Of those that it takes the place of: they did not come to pass. */
  readonly instead?: readonly string[]
}

export interface Adjustment {
  readonly entry: AdjustmentEntry
  readonly adjusted: Adjusted
  /** When the same was asked for before, in milliseconds since the epoch. */
  readonly notedAt?: number
}

export interface AdjustmentTerms {
  readonly now: number
  readonly rateCard: RateCard
  /** What is known of the customer's. */
  readonly agreement: Agreement | undefined
  readonly agreementId: string
  readonly invoiceId: string
  readonly reasonCode: AdjustmentEntry['adjustmentReasonCode']
  readonly description?: string | undefined
  /** How many units of the records' one dimension were too much; all by default. */
  readonly quantity?: bigint | undefined
  /** The period that the records are of; where there is none they were named one by one. */
  readonly period: { readonly from?: number; readonly to?: number } | undefined
  /** Earlier adjustments that this one comes on top of, and those that it takes the place of. */
  readonly besides: readonly string[]
  readonly instead: readonly string[]
}

/**
 * What AWS is to be asked to give back for metered records of one customer and month: an entry for each dimension. Nothing
 * is changed.
 *
 * @throws LedgerError where that was asked for before, or is more than was billed
 */
export async function adjustmentsOf(
  ledger: Ledger,
  records: readonly RecordEntry[],
  terms: AdjustmentTerms,
): Promise<Adjustment[]> {
  const [{ account } = noRecords()] = records
  const month = monthOf(records, terms.now)
  const noted = (await ledger.audit({ actions: ['adjust'], limit: Number.MAX_SAFE_INTEGER })).map(notedOf)
  checkNamed(noted, terms)
  const dimensions = new Map((await ledger.dimensions()).map(dimension => [dimension.name, dimension]))
  const groups = [...Map.groupBy(records, ({ dimension }) => dimension)].sort(([a], [b]) => (a < b ? -1 : 1))
  if (groups.length > MOST_ENTRIES) {
    throw new CommandLineError(
      `Expected at most ${MOST_ENTRIES} dimensions, which AWS takes in one request, got ${groups.length}. Name one with --dimension.`,
    )
  }
  if (terms.quantity !== undefined && groups.length > 1) {
    throw new CommandLineError('Expected --quantity of one dimension. Name it with --dimension.')
  }
  const query = { customer: account.key, state: 'metered', limit: Number.MAX_SAFE_INTEGER, ...month } as const
  const metered = await ledger.records(query)
  return groups.map(([dimension, some]) => {
    const { size } = dimensions.get(dimension) as { size: bigint }
    const billedIn = (hours: readonly HourRange[]) =>
      metered
        .filter(record => record.dimension === dimension && hours.some(range => isIn(record.hour, range)))
        .reduce((sum, record) => sum + quantityOf(record, size), 0n)
    return adjustmentOf({ account, dimension, hours: hoursOf(some, terms.period, month), billedIn }, noted, terms)
  })
}

function noRecords(): never {
  throw new LedgerError(
    'ERR_LEDGER_NOT_FOUND',
    'Nothing is metered there: AWS has billed nothing that could be given back.',
  )
}

function quantityOf({ reason, quantity, size }: RecordEntry, present: bigint): bigint {
  const frozen = { reason: (reason ?? null) as HeldReason | null, quantity: BigInt(quantity) }
  return billedQuantity({ ...frozen, amount: BigInt(quantity) * size }, present)
}

/** The billing month, whose invoice there has to be. */
function monthOf(records: readonly RecordEntry[], now: number): { from: number; to: number } {
  const [month, ...others] = new Map(
    records.map(({ hour }) => [spanOf(hour, 'month').from, spanOf(hour, 'month')]),
  ).values() as Iterable<{ from: number; to: number }>
  if (month === undefined) return noRecords()
  if (others.length > 0) {
    throw new CommandLineError(
      'Expected records of one month, since each has an invoice of its own. Adjust each by itself.',
    )
  }
  if (now < month.to) {
    const name = iso(month.from).slice(0, 7)
    throw new CommandLineError(
      `Expected a month that is over, got ${name}: its invoice comes on the 2nd or 3rd of the next, and only then can it be adjusted.`,
    )
  }
  return month
}

/** All of a period, or the hours of single records. */
function hoursOf(
  records: readonly RecordEntry[],
  period: AdjustmentTerms['period'],
  month: { readonly from: number; readonly to: number },
): HourRange[] {
  const range = (from: number, to: number): HourRange => [iso(from), iso(to)]
  if (period !== undefined) {
    return [range(Math.max(period.from ?? 0, month.from), Math.min(period.to ?? month.to, month.to))]
  }
  return records
    .map(({ hour }) => hour)
    .sort((a, b) => a - b)
    .map(hour => range(hour, hour + HOUR))
}

const isIn = (hour: number, [from, to]: HourRange) => hour >= Date.parse(from) && hour < Date.parse(to)

const overlap = (some: readonly HourRange[], others: readonly HourRange[]) =>
  some.some(([from, to]) => others.some(other => from < other[1] && other[0] < to))

interface Billed {
  readonly account: CustomerAccount
  readonly dimension: string
  readonly hours: readonly HourRange[]
  readonly billedIn: (hours: readonly HourRange[]) => bigint
}

function adjustmentOf(
  { account, dimension, hours, billedIn }: Billed,
  noted: readonly Noted[],
  terms: AdjustmentTerms,
): Adjustment {
  const { rateCard, agreementId, invoiceId, reasonCode, description, besides, instead } = terms
  const billed = billedIn(hours)
  const { quantity = billed } = terms
  const whose = `${printable(dimension)} of ${accountName(account)}`
  if (quantity > billed) throw tooMuch(`${quantity} of ${whose}`, billed)
  const price = rateCard.priceOf(dimension, account, terms.agreement)
  if (price === undefined) throw new CommandLineError(`Expected a rate card with a price for ${whose}, got none.`)
  const amount = moneyText(price * quantity)
  if (price * quantity === 0n) throw new CommandLineError(`Expected money to give back for ${whose}, got ${amount}.`)
  const money = { agreementId, invoiceId, amount, currency: rateCard.currency }
  const what = { account: account.key, dimension, quantity: String(quantity), hours, ...money }
  const named = (tokens: readonly string[]) =>
    tokens.filter(name => noted.some(one => one.token === name && one.dimension === dimension)).sort()
  const [onTop, replaced] = [named(besides), named(instead)]
  const told = {
    ...what,
    ...(onTop.length > 0 && { besides: onTop }),
    ...(replaced.length > 0 && { instead: replaced }),
  }
  const token = tokenOf({ ...told, reasonCode, ...(description !== undefined && { description }) })
  const entry: AdjustmentEntry = {
    ...{ agreementId, originalInvoiceId: invoiceId, adjustmentAmount: amount, currencyCode: rateCard.currency },
    ...{ adjustmentReasonCode: reasonCode, ...(description !== undefined && { description }), clientToken: token },
  }
  const adjusted = { token, ...told }
  const same = noted.find(one => one.token === token)
  const successors = noted.filter(one => one.instead?.includes(token))
  // It is not to be sent any more: AWS would give the money of both.
  if (successors.length > 0) throw alreadyAdjusted(whose, successors)
  // AWS knows it by its token, and gives the money once.
  if (same !== undefined) return { entry, adjusted, notedAt: same.at }
  const others = inForce(noted).filter(
    one =>
      one.account === account.key &&
      one.dimension === dimension &&
      !instead.includes(one.token) &&
      overlap(one.hours, hours),
  )
  const unnamed = others.filter(one => !besides.includes(one.token))
  if (unnamed.length > 0) throw alreadyAdjusted(whose, unnamed)
  const before = others.reduce((sum, one) => sum + BigInt(one.quantity), 0n)
  const all = billedIn([...hours, ...others.flatMap(one => one.hours)])
  if (before + quantity > all) throw tooMuch(`${quantity} of ${whose} beside ${before} of before`, all)
  return { entry, adjusted }
}

function tooMuch(what: string, billed: bigint): LedgerError {
  return new LedgerError('ERR_LEDGER_STATE', `Expected at most the ${billed} that AWS has billed, got ${what}.`)
}

function alreadyAdjusted(whose: string, others: readonly Noted[]): LedgerError {
  const list = others.map(
    ({ token, quantity, amount, currency, at, who }) =>
      `${token} (${quantity}, ${amount} ${currency}, by ${who} at ${shortTime(at)})`,
  )
  return new LedgerError(
    'ERR_LEDGER_STATE',
    `Hours of ${whose} were adjusted before: ${list.map(text => printable(text)).join(', ')}. Is it the same, leave it. Is ` +
      'it other usage that was billed too much, say --besides with each. Was it never sent, or did it fail at AWS ' +
      '(GetBillingAdjustmentRequest says VALIDATION_FAILED), say --instead.',
  )
}

/** The same for the same content, so that AWS takes it once: letters, digits and hyphens, at most 64. */
function tokenOf(content: object): string {
  return `adj-${createHash('sha256').update(JSON.stringify(content)).digest('hex').slice(0, 48)}`
}

/** An adjustment that the audit trail has. */
interface Noted extends Adjusted {
  readonly at: number
  readonly who: string
}

/** @throws LedgerError where it cannot be read: it may be of the same hours */
function notedOf({ at, who, detail = '' }: AuditEntry): Noted {
  try {
    return { ...(JSON.parse(detail) as Adjusted), at, who }
  } catch (cause) {
    const what = `an adjustment of ${shortTime(at)} that is not as "adjust" writes it, ${JSON.stringify(detail)}`
    throw new LedgerError('ERR_LEDGER_INVALID', `The audit trail has ${what}: ask who wrote it.`, { cause })
  }
}

/** Those that have come to pass, as far as is known. */
function inForce(noted: readonly Noted[]): Noted[] {
  const replaced = new Set(noted.flatMap(({ instead = [] }) => instead))
  return noted.filter(({ token }) => !replaced.has(token))
}

/** A token that is misspelt would be no answer to anything. */
function checkNamed(noted: readonly Noted[], { besides, instead }: AdjustmentTerms): void {
  for (const token of [...besides, ...instead]) {
    if (noted.some(one => one.token === token)) continue
    throw new LedgerError('ERR_LEDGER_NOT_FOUND', `The audit trail has no adjustment ${JSON.stringify(token)}.`)
  }
}
