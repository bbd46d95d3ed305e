import { MAX_QUANTITY } from '../../usage/dimension.ts'
import { DAY, HOUR, hourOf, SECOND, windowClosesAt } from '../hours.ts'
import type { AgreementNews, AgreementOptions, CloseOptions, HeldReason } from '../ledger.ts'
import { type BookedAgreement, endOf, type RecordTime } from './agreement.ts'
import type { Left } from './entitlements.ts'
import { probeIsDue } from './subscription.ts'
import { checkTime } from './validation.ts'

/** Closing: which hours are over, and how a series' balance is frozen into a record, in one place for every engine. */

/** The hour that usage is frozen into, and the terms. */
export interface Terms extends CloseOptions {
  readonly hour: number
}

export function closingTerms(hour: number, options: CloseOptions): Terms {
  return { ...options, hour }
}

/** Until when a record of an hour is sent, whatever its customer's agreement. */
export function windowEnd({ hour, deadlineMargin }: Terms): number {
  return windowClosesAt(hour) - deadlineMargin
}

/**
 * The hours that the usage of a customer is frozen into when an end is told, where its agreement has ended: the one in
 * which it did, and the one before where that is not closed yet. AWS tells of an end a little late, after the turn of the
 * hour perhaps; and one may have been told before, by another time.
 */
export function finalHours(
  agreement: BookedAgreement | null,
  { what }: Pick<AgreementNews, 'what'>,
  closedThrough: number | undefined,
  { freeze = true, now }: Pick<AgreementOptions, 'freeze' | 'now'>,
): number[] {
  const end = what === 'ended' && freeze ? endOf(agreement) : null
  if (end === null) return []
  const hour = hourOf(Math.min(end - 1, now))
  return hour - HOUR > lastClosed(closedThrough, now) ? [hour - HOUR, hour] : [hour]
}

/** The first hour that AWS may still take from a restored ledger. */
export function firstAfterRestore(closed: number, now: number): number {
  return Math.max(closed + HOUR, hourOf(now) - DAY)
}

/**
 * Where the balance of a restored ledger is held: the first such hour that the series has no record of. It is never sent,
 * and its deadline says of which restore it is.
 *
 * @param taken the hours from that one on of which it has a record
 */
export function restoredTerms(taken: ReadonlySet<number>, closed: number, now: number): Terms & RecordTime {
  let hour = firstAfterRestore(closed, now)
  while (taken.has(hour)) hour += HOUR
  const terms = closingTerms(hour, { now, closeDelay: 0, deadlineMargin: 0, region: RESTORED })
  return { ...terms, timestamp: hour + HOUR - SECOND, deadline: now }
}

/** In the place of a region, of what a restore holds: it is never sent. */
export const RESTORED = 'restored'

/** The last hour that may be closed. */
export function latestHour({ now, closeDelay }: CloseOptions): number {
  checkTime('now', now)
  return hourOf(now - closeDelay) - HOUR
}

/** The last hour that is closed. One that is still to come was closed by a clock that was ahead: it does not count. */
export function lastClosed(closedThrough: number | undefined, now: number): number {
  checkTime('now', now)
  return closedThrough !== undefined && closedThrough <= now ? closedThrough : Number.NEGATIVE_INFINITY
}

/**
 * The hours to close, one after the other.
 *
 * @param open the hours that have usage which is not in the balances, the oldest first
 */
export function hoursToClose(open: readonly number[], options: CloseOptions): number[] {
  const latest = latestHour(options)
  // Usage of an hour that is to come is from a clock that was ahead.
  const early = open.filter(hour => hour > hourOf(options.now))
  return [...open.filter(hour => hour < latest), ...early, latest]
}

/**
 * On which terms one of them is closed. Without terms its usage only moves to the balances: what came late for an hour
 * that is closed, or can no longer be sent, goes into the latest one.
 *
 * @param closed the last hour that is closed
 */
export function termsToClose(hour: number, closed: number, options: CloseOptions): Terms | undefined {
  const latest = latestHour(options)
  const terms = closingTerms(hour, options)
  const late = hour > latest || hour <= closed || windowEnd(terms) <= options.now
  return late && hour !== latest ? undefined : terms
}

/**
 * The hours of which idle series get records of quantity 0 when one is closed: the one before, whose late usage had its
 * chance, and those of which nothing was closed, as no process ran.
 *
 * @param closed the last hour that is closed
 */
export function idleHours(hour: number, closed: number, options: CloseOptions): Terms[] {
  if (options.zeroQuantityRecords !== true || hour <= closed) return []
  const first = closed === Number.NEGATIVE_INFINITY ? hour - HOUR : Math.max(closed, hourOf(options.now) - DAY)
  const hours = Array.from({ length: Math.max(0, (hour - first) / HOUR) }, (_, index) => first + index * HOUR)
  return hours.map(idle => closingTerms(idle, options)).filter(terms => windowEnd(terms) > options.now)
}

/** A series with its hour's usage in its balance. */
export interface ClosingSeries {
  readonly balance: bigint
  /** What of it was there before the usage of the hour that is closed. */
  readonly carried: bigint
  readonly size: bigint
  readonly maxQuantity: number | null
  /** As in `BookedSeries`. */
  readonly approved: number
  /** Whether there is a customer to bill. */
  readonly billable: boolean
  /** Whether the customer's agreement has ended, so that AWS no longer takes it. */
  readonly ended: boolean
  /** Whether the hour is known to be inside the customer's agreement. */
  readonly inside: boolean
  /** What the customer's contract includes that is not used, in millionths of the base unit; 0 outside the agreement. */
  readonly left: Left
  /** Whether AWS has said last that the customer is not subscribed. */
  readonly blocked: boolean
  /** Whether its AWS account has a record of the hour under its other identity. */
  readonly twin: boolean
  readonly probeAt: number | null
  /** Whether it has a record of the hour. */
  readonly taken: boolean
}

export interface ClosedSeries {
  readonly balance: bigint
  readonly approved: number
  /** What of the balance the contract includes. */
  readonly drawn: bigint
  readonly record?: {
    readonly quantity: number
    /** Why it is held from the start. */
    readonly held: HeldReason | null
    readonly probe: boolean
  }
}

/** Whether a series has whole units that may become a record: the next closing is to look for it. */
export function hasWholeUnits({
  billable,
  balance,
  size,
}: Pick<ClosingSeries, 'billable' | 'balance' | 'size'>): boolean {
  return billable && balance >= size
}

/** Makes the whole units of a series' balance a record, where that may be. */
export function closeSeries(series: ClosingSeries, terms: Terms): ClosedSeries {
  const { approved, size, taken } = series
  const waits = series.blocked && !series.inside && terms.onNotSubscribed === 'roll-forward'
  const unchanged = { balance: series.balance, approved, drawn: 0n }
  if (!hasWholeUnits(series) || taken || series.left === 'wait') return unchanged
  if (waits && !probeIsDue(series.probeAt, terms.now)) return unchanged
  const { included, quantity, held } = wholeUnits({
    ...{ balance: series.balance, size, maxQuantity: series.maxQuantity, approved, twin: series.twin },
    ...{ ended: series.ended, left: series.left, stale: series.blocked && !waits && series.carried >= size },
  })
  const drawn = BigInt(included) * size
  return {
    balance: series.balance - drawn - BigInt(quantity) * size,
    // What is held again with it comes with a release of its own.
    approved: 0,
    drawn,
    // One that is held from the start is not sent, so it says nothing about the customer.
    ...(quantity > 0 && { record: { quantity, held, probe: waits && held === null } }),
  }
}

/** What is asked of a series to freeze its balance. */
interface FreezableSeries {
  readonly balance: bigint
  readonly size: bigint
  readonly maxQuantity: number | null
  /** As in `BookedSeries`. */
  readonly approved: number
  readonly ended: boolean
  /** Whether it has whole units of hours before, in which the customer was not subscribed. */
  readonly stale: boolean
  /** Whether its AWS account has a record of the hour under its other identity. */
  readonly twin: boolean
  readonly left: Left
}

interface Frozen {
  /** What the contract includes. */
  readonly included: number
  /** What is to be metered beyond it. */
  readonly quantity: number
  /** Why the record is held from the start. */
  readonly held: HeldReason | null
}

/**
 * The whole units of a balance. Since it works on all that is recorded and not frozen, late usage, fractions,
 * returned quantities and what was above the largest quantity go into the next record without a special case.
 */
function wholeUnits(series: FreezableSeries): Frozen {
  const { balance, size, left, maxQuantity, approved } = series
  const whole = most(balance, size)
  const guarded = maxQuantity !== null && whole > maxQuantity + Math.abs(approved)
  const held = holdOf(series, guarded)
  // Included is what nobody has to look at; after an agreement's end AWS is not asked for it.
  const included = held === null || held === 'agreement-ended' ? Math.min(whole, most(left, size)) : 0
  const quantity = whole - included
  // AWS bills what is sent under both.
  if (series.twin && quantity > -approved) return { included, quantity, held: 'two-identities' }
  return { included, quantity, held }
}

function holdOf({ stale, ended, left }: FreezableSeries, guarded: boolean): HeldReason | null {
  // AWS would take it as usage of an agreement that may have begun since.
  if (stale && !ended) return 'not-subscribed'
  if (guarded) return 'over-maximum'
  // The last of all: news of an agreement sends it as it is.
  if (ended) return 'agreement-ended'
  return left === 'hold' ? 'entitlement-unknown' : null
}

/** How many whole units an amount has, as many as a record may carry. */
function most(amount: Left, size: bigint): number {
  if (typeof amount === 'string' || amount <= 0n) return 0
  const whole = amount / size
  return Number(whole < MAX_QUANTITY ? whole : BigInt(MAX_QUANTITY))
}
