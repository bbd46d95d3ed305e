import type { Account, CustomerAccount } from '../../usage/account.ts'
import { formatAmount } from '../../usage/amount.ts'
import { MAX_QUANTITY } from '../../usage/dimension.ts'
import { LedgerError } from '../errors.ts'
import { DAY, HOUR, hourOf, MINUTE, SECOND } from '../hours.ts'
import type {
  AgreementNews,
  AgreementOptions,
  Allocation,
  AuditNote,
  DecisionResult,
  Entitlement,
  EntitlementNews,
  HeldReason,
  IncludedDimension,
  Outcome,
  RecordDecision,
  RecordEntry,
  RecordState,
  SettledRecord,
  Settlement,
} from '../ledger.ts'
import { addAmount } from './accounting.ts'
import {
  afterNews,
  type BookedAgreement,
  earlierSecond,
  endedSince,
  endOf,
  GRACE,
  type RecordTime,
  secondsInside,
  timeInside,
} from './agreement.ts'
import { Shares } from './allocations.ts'
import { closeSeries, restoredTerms, type Terms, windowEnd } from './closing.ts'
import {
  afterDrawing,
  afterNewsOf,
  type BookedEntitlements,
  type ChangedTerm,
  changedTerms,
  type Drawing,
  isFinal,
  leftOf,
} from './entitlements.ts'
import { type Blocking, block, putOff, SUBSCRIBED } from './subscription.ts'
import { afterAnswer, afterWindow, inDoubt, type RecordFacts, type Transition } from './transitions.ts'

/**
 * The book of decisions: what may happen to a record, its series and its account, in one place for every engine. An
 * engine loads a piece of the ledger, lets these functions change it in memory, and writes the difference; how it gets
 * at rows, and how it keeps others away meanwhile, is its own.
 */

/** A record of the loaded piece. */
export interface BookedRecord {
  readonly account: number
  readonly probe: boolean
  /** Changes only where AWS surely has not taken it, and inside its hour: that is what AWS tells records apart by. */
  timestamp: number
  deadline: number
  /** Changes, with `size`, only where a part of what a restore held is settled: that was never sent as it is. */
  quantity: number
  size: bigint
  /** How the quantity is split; null where nothing is told apart. */
  readonly allocations: readonly Allocation[] | null
  state: RecordState
  reason: HeldReason | 'expired' | null
  attempts: number
  refusals: number
  nextAttemptAt: number
  claim: string | null
  claimedUntil: number
  answer: string | null
  meteringRecordId: string | null
}

/** What a series has of closed hours. Where an engine keeps no sums of records, those of the loaded ones. */
export interface BookedSeries {
  readonly account: number
  readonly firstHour: number
  recorded: bigint
  included: bigint
  metered: bigint
  pending: bigint
  readonly held: Map<HeldReason, bigint>
  balance: bigint
  /** What of the balance was there before the usage of the hour that is being closed. Not kept. */
  carried: bigint
  /** What of it is for which tags, where anything was told apart. */
  shares: Shares | undefined
  /** The quantity that a person let past the guard; below 0, beside another identity of its AWS account, too. */
  approved: number
}

export interface BookedAccount extends Blocking {
  /** Null where nothing is known of it. */
  readonly agreement: BookedAgreement | null
  readonly entitlements: BookedEntitlements | null
}

/** Of which nothing is known. */
export const UNMARKED: BookedAccount = { ...SUBSCRIBED, agreement: null, entitlements: null }

/** The loaded piece. */
export interface Book<Booked extends BookedRecord> {
  seriesOf(record: Booked): BookedSeries
  account(number: number): BookedAccount
  setAccount(number: number, state: BookedAccount): void
}

/** A record that a series is to have, in the hour of its terms. */
export interface NewRecord extends RecordTime {
  readonly quantity: number
  readonly size: bigint
  readonly allocations?: readonly Allocation[] | undefined
  /** Why it is held from the start. */
  readonly held: HeldReason | null
  readonly probe: boolean
}

/** No wait is longer than an hour; what seems to be is from a clock that was ahead. */
export const LONGEST_PAUSE = HOUR
/** How far ahead a record may be that AWS may have taken, so that it can be asked again when its time comes. */
export const FARTHEST_AHEAD = DAY

const waits = (until: number, now: number): boolean => until > now && until <= now + LONGEST_PAUSE

/** After AWS said that a customer is not subscribed who is: its records wait so long, then twice as long each time. */
const SHORTEST_PAUSE = 5 * MINUTE

/** Whether a record may be sent. */
export function isDue(record: BookedRecord, now: number): boolean {
  const { state, nextAttemptAt, claimedUntil, timestamp, deadline } = record
  const free = !waits(nextAttemptAt, now) && !waits(claimedUntil, now)
  return state === 'pending' && free && timestamp <= now && deadline > now
}

/** Whether a record may no longer be sent. */
export function isOver(record: BookedRecord, now: number): boolean {
  const { state, claimedUntil, deadline, timestamp } = record
  if (state !== 'pending' || waits(claimedUntil, now)) return false
  // One that is to come by more than an hour was frozen by a clock that was ahead.
  const early = timestamp > now + (inDoubt(record) ? FARTHEST_AHEAD : HOUR)
  return deadline <= now || early
}

/** Adds usage of a closed hour, or takes it back. */
export function addUsage(series: BookedSeries, amount: bigint): void {
  series.recorded += amount
  series.balance += amount
}

/** What a series is sold by, and what it has in an hour. */
export interface Sold {
  readonly size: bigint
  readonly maxQuantity: number | null
  /** Whether there is a customer to bill. */
  readonly billable: boolean
  /** Whether the series has a record of the hour. */
  readonly taken: boolean
  /** Whether its AWS account has a record of the hour, and of some quantity, under its other identity. */
  readonly twin: boolean
  /** The dimension's name. */
  readonly dimension: string
}

/** What a closing takes from a series' balance. */
export interface Frozen {
  /** What the contract includes; 0 where it includes nothing. */
  readonly drawn: bigint
  readonly record?: NewRecord
}

/** Takes the whole units of a series' balance: what its contract includes, and what is beyond it as a record, where that may be. */
export function freeze(
  book: Pick<Book<never>, 'account' | 'setAccount'>,
  series: BookedSeries,
  sold: Sold,
  terms: Terms,
  contract?: IncludedDimension,
): Frozen {
  const account = book.account(series.account)
  const { blockedAt, probeAt, agreement, entitlements } = account
  const { balance, carried, approved } = series
  const seconds = secondsInside(agreement, terms.hour)
  const time = seconds && timeInside(seconds, terms.hour, terms)
  // The end of an agreement that has just ended is told of in time, or AWS no longer takes it.
  const ended = time === undefined || (seconds?.end !== undefined && time.deadline <= terms.now)
  const inside = seconds?.known === true
  const drawing: Drawing | undefined = contract && {
    contract,
    terms: entitlements?.[sold.dimension] ?? [],
    agreement,
    size: sold.size,
    hour: terms.hour,
    now: terms.now,
    final: isFinal(agreement, terms.hour),
  }
  const left = drawing === undefined || seconds === undefined ? 0n : leftOf(drawing)
  // One by one: there may be a hundred thousand, and what a series is loaded with has many members.
  const { size, maxQuantity, billable, taken, twin } = sold
  const closed = closeSeries(
    {
      ...{ balance, carried, approved, probeAt, blocked: blockedAt !== null, ended, inside, left },
      ...{ size, maxQuantity, billable, taken, twin },
    },
    terms,
  )
  const { drawn } = closed
  series.balance = closed.balance
  series.included += drawn
  series.approved = closed.approved
  if (drawn > 0n && drawing !== undefined) {
    const after = { ...entitlements, [sold.dimension]: afterDrawing(drawing, drawn) }
    book.setAccount(series.account, { ...account, entitlements: after })
  }
  const included = Number(drawn / sold.size)
  const quantity = closed.record?.quantity ?? 0
  const allocations = quantity + included > 0 ? series.shares?.split(balance, included, quantity, sold.size) : undefined
  if (closed.record === undefined) return { drawn }
  const lastSecond = { timestamp: terms.hour + HOUR - SECOND, deadline: windowEnd(terms) }
  const record = { ...closed.record, ...(time ?? lastSecond), size: sold.size, allocations }
  if (record.probe) book.setAccount(series.account, { ...book.account(series.account), probeAt: null })
  giveNew(series, record)
  return { drawn, record }
}

const NOTHING_FROZEN: Frozen = { drawn: 0n }

/** A record of quantity 0, where a series is idle in an hour: late usage has had an hour to come. */
export function freezeIdle(
  book: Pick<Book<never>, 'account'>,
  series: BookedSeries,
  { size, billable, taken }: Pick<Sold, 'size' | 'billable' | 'taken'>,
  terms: Terms,
): Frozen {
  const { blockedAt, agreement } = book.account(series.account)
  const seconds = secondsInside(agreement, terms.hour)
  const idle = billable && !taken && blockedAt === null && series.firstHour <= terms.hour
  if (!idle || seconds === undefined) return NOTHING_FROZEN
  const time = timeInside(seconds, terms.hour, terms)
  if (time.deadline <= terms.now) return NOTHING_FROZEN
  return { drawn: 0n, record: { ...time, quantity: 0, size, held: null, probe: false } }
}

/**
 * Takes in what is told of a customer's agreement.
 *
 * @returns whether it was new
 */
export function noteNews(
  book: Pick<Book<never>, 'account' | 'setAccount'>,
  number: number,
  news: AgreementNews,
): boolean {
  const account = book.account(number)
  const agreement = afterNews(account.agreement, news)
  if (agreement === account.agreement) return false
  // AWS may take it now: what it said before was said before.
  const begun = endOf(agreement) === null && agreement.marks !== account.agreement?.marks
  book.setAccount(number, { ...account, ...(begun && SUBSCRIBED), agreement })
  return true
}

/**
 * Takes in what is told of a customer's entitlements.
 *
 * @returns what was new
 */
export function noteEntitlementNews(
  book: Pick<Book<never>, 'account' | 'setAccount'>,
  number: number,
  told: readonly Entitlement[],
  news: EntitlementNews,
  now: number,
): ChangedTerm[] {
  const account = book.account(number)
  const entitlements = afterNewsOf(account.entitlements, told, news, account.agreement, now)
  if (entitlements !== account.entitlements) book.setAccount(number, { ...account, entitlements })
  return changedTerms(account.entitlements, entitlements)
}

/** AWS takes no usage that is older, in milliseconds: its records are not looked at again. */
export const RECONSIDERED = 25 * HOUR

/**
 * Looks again at a record of a customer of whose agreement something was told: what AWS may take now is sent at once,
 * stamped inside the agreement; after an end, all of it is for as long as AWS takes it.
 *
 * @param contract what contracts include of its dimension: of what was held as none of the agreement nothing is yet
 */
export function reconsider<Booked extends BookedRecord>(
  book: Book<Booked>,
  record: Booked,
  contract: IncludedDimension | undefined,
  { now, deadlineMargin }: Pick<AgreementOptions, 'now' | 'deadlineMargin'>,
): void {
  const { state, reason, attempts, refusals } = record
  // One that was held without asking AWS has usage in it of hours in which there was no agreement.
  const waits = (reason === 'not-subscribed' && attempts > 0) || reason === 'agreement-ended'
  if (record.probe || !(state === 'pending' || (state === 'held' && waits))) return
  const { agreement } = book.account(record.account)
  const hour = hourOf(record.timestamp)
  const seconds = secondsInside(agreement, hour)
  const end = endOf(agreement)
  const time = seconds && timeInside(seconds, hour, { now, deadlineMargin })
  if (state === 'held') {
    if (seconds === undefined || time === undefined) return
    // Of what AWS has refused it is asked again where there is reason to: an agreement, or that it ended in this hour.
    const covered = seconds.known || seconds.last < hour + HOUR - SECOND
    if (!covered || time.deadline <= now) return
    if (contract !== undefined && reason === 'agreement-ended' && end === null) {
      move(book, record, { state: 'returned', reason, refusals }, now)
      return
    }
    Object.assign(record, time)
    move(book, record, { state: 'pending', refusals }, now)
  } else if (time !== undefined && !inDoubt(record)) {
    // Later, too: the earlier second that it got when AWS refused it may be of before the agreement.
    record.timestamp = time.timestamp
  }
  if (end !== null) record.deadline = Math.min(record.deadline, end + GRACE - deadlineMargin)
  record.nextAttemptAt = 0
}

/** Settles a record by the outcome of an attempt. */
export function settleRecord<Booked extends BookedRecord>(
  book: Book<Booked>,
  record: Booked,
  { record: sent, outcome, answer }: Settlement,
  now: number,
): SettledRecord {
  // Of another second of its hour, it is a refusal that was written down before.
  if (sent.timestamp !== record.timestamp && outcome.type !== 'metered') {
    return { record: sent, state: record.state, ...(record.reason && { reason: record.reason }) } as SettledRecord
  }
  const first = record.claim === sent.claim
  const facts = factsOf(book, record)
  const earlier =
    first && outcome.type === 'not-subscribed' ? earlierTime(book, record, outcome.licence === true) : undefined
  const answered: Outcome = earlier === undefined ? outcome : { type: 'retry', at: now, notTaken: true }
  const transition = afterAnswer(facts, answered, first)
  move(book, record, transition, now)
  if (earlier !== undefined) record.timestamp = earlier
  record.answer = answer
  if (first) {
    record.claim = null
    record.claimedUntil = 0
  }
  const account = book.account(record.account)
  if (answered.type === 'retry') record.nextAttemptAt = beforeItsEnd(answered.at, record, now)
  if (answered.type === 'not-subscribed') {
    const at = now + Math.min(SHORTEST_PAUSE * 2 ** Math.max(0, record.refusals - 1), LONGEST_PAUSE)
    if (record.state === 'pending') record.nextAttemptAt = beforeItsEnd(at, record, now)
    setBlocking(book, record.account, block(account, now))
  }
  if (outcome.type === 'metered') {
    record.meteringRecordId = outcome.meteringRecordId ?? record.meteringRecordId
    unblock(book, record.account)
  }
  const { state, reason } = transition
  return { record: sent, state, ...(reason && { reason }) } as SettledRecord
}

/** No wait passes over the end of a record's window: shortly before, AWS is asked for the last time. */
function beforeItsEnd(at: number, { deadline }: BookedRecord, now: number): number {
  const last = deadline - SHORTEST_PAUSE
  return last > now ? Math.min(at, last) : at
}

/** An earlier second for a record that AWS has refused under this claim, and surely has not taken before. */
function earlierTime<Booked extends BookedRecord>(
  book: Book<Booked>,
  record: Booked,
  licence: boolean,
): number | undefined {
  const { state, probe, quantity, attempts, refusals, timestamp } = record
  if (state !== 'pending' || probe || quantity === 0 || attempts > refusals + 1) return undefined
  const { agreement, blockedAt } = book.account(record.account)
  const hour = hourOf(timestamp)
  // Of hours after those that were refused already there is nothing to find out.
  const news = blockedAt === null || blockedAt >= hour + HOUR
  return earlierSecond(secondsInside(agreement, hour), timestamp, licence && news)
}

/** Ends those of some records whose window has closed. Returns them. */
export function expireRecords<Booked extends BookedRecord>(
  book: Book<Booked>,
  records: Iterable<Booked>,
  now: number,
): Booked[] {
  const over = [...records].filter(record => isOver(record, now))
  for (const record of over) move(book, record, afterWindow(factsOf(book, record), record.deadline > now), now)
  return over
}

/** Something that a person wants of a record. */
export interface AboutRecord {
  readonly recordId: string
  /** Where it is not the reason of all. */
  readonly why?: string | undefined
}

/** What was done to a record, for the audit trail. */
export interface Decided {
  readonly action: 'release' | 'settle' | 'write-off' | 'undo'
  readonly amount: bigint
  readonly detail: string
  /** How much more is recorded of its series: below 0 where nobody is to be billed for it. */
  readonly recorded: bigint
}

/** Ends a held record as a person has decided. It keeps the reason for which it was held. */
export function decideRecord<Booked extends BookedRecord>(
  book: Book<Booked>,
  { recordId, decision, quantity }: RecordDecision,
  record: Booked,
  /** The dimension's. */
  size: bigint,
  { now }: AuditNote,
): Decided {
  const amount = amountOf(record)
  checkDecision({ recordId, decision, quantity }, record)
  const { reason, refusals } = record
  const part = quantity === undefined ? amount : BigInt(quantity) * size
  // AWS may have billed more than was held: what was recorded after the backup is lost, and was billed with it.
  if (part < amount) divide(book, record, part)
  const state = decision === 'billed' ? 'metered' : 'returned'
  move(book, record, { state, reason: reason as Transition['reason'], refusals }, now)
  if (decision === 'release') {
    overcome(book, record, size)
    return { action: 'release', amount, detail: reason ?? '', recorded: 0n }
  }
  if (decision === 'write-off') {
    addUsage(book.seriesOf(record), -amount)
    giveShares(book.seriesOf(record), record, -1n)
    return { action: 'write-off', amount, detail: reason ?? '', recorded: -amount }
  }
  const said = decision === 'billed' ? 'billed' : NOT_BILLED
  const detail = part < amount ? `${said}: ${formatAmount(part)} of ${formatAmount(amount)}` : said
  return { action: 'settle', amount, detail, recorded: 0n }
}

/** What the audit trail says of a record that was settled so. */
export const NOT_BILLED = 'not billed'

/** Does one of several things, of which nothing is done where it may not be. */
export function attempt<Done>(work: () => Done): { readonly done: Done } | { readonly error: LedgerError } {
  try {
    return { done: work() }
  } catch (error) {
    return refused(error)
  }
}

/** @throws whatever else is wrong than that it may not be */
export function refused(error: unknown): { readonly error: LedgerError } {
  if (error instanceof LedgerError && REFUSALS.has(error.code)) return { error }
  throw error
}

/** @throws what the only decision of some was refused for */
export function onlyResult([result]: readonly DecisionResult[]): void {
  if (result?.error !== undefined) throw result.error
}

const REFUSALS: ReadonlySet<string> = new Set(['ERR_LEDGER_STATE', 'ERR_LEDGER_NOT_FOUND', 'ERR_LEDGER_INVALID'])

/**
 * The hindrance is what the person judged to be over.
 *
 * @param size the dimension's, which the record may be older than
 */
function overcome<Booked extends BookedRecord>(book: Book<Booked>, record: Booked, size: bigint): void {
  if (record.reason === 'not-subscribed') unblock(book, record.account)
  if (record.reason === 'agreement-ended') {
    const { agreement } = book.account(record.account)
    // An end may be told in several ways: it is over after the last of them.
    const last = agreement?.marks.findLast(([, what]) => what === 'ended')
    if (last !== undefined && endOf(agreement) !== null) {
      noteNews(book, record.account, { what: 'active', at: last[0] + 1 })
    }
  }
  approve(book.seriesOf(record), record, Math.ceil(Number(amountOf(record)) / Number(size)))
}

/** Lets so many more units, or fewer, past what held a record. */
export function approve(series: BookedSeries, { reason }: BookedRecord, units: number): void {
  // Of both, the last counts; what it does not let pass is held again.
  const approved = (before: number) => Math.max(0, Math.min(Math.max(before, 0) + units, MAX_QUANTITY))
  if (reason === 'over-maximum') series.approved = approved(series.approved)
  if (reason === 'two-identities') series.approved = 0 - approved(-series.approved)
}

/**
 * Whether usage of one account may be given to a customer: of one that nobody can be billed for, or of the same AWS
 * account, which may have got another licence.
 *
 * @throws LedgerError
 */
export function checkAttribution(from: Account, to: CustomerAccount): void {
  if (from.kind === 'unattributed') return
  if (from.key === to.key) throw inWrongState(`Expected another customer than "${to.key}" itself.`)
  if (from.accountId !== undefined && from.accountId === to.accountId) return
  throw otherKind(from.key, `unattributed, or of the same AWS account as "${to.key}"`)
}

/**
 * Gives what is held that AWS surely has not billed back to the balances, for whom it is of from now on: but not what may
 * have been counted, and billed, under another identity of the account.
 */
export function giveBack<Booked extends BookedRecord>(
  book: Book<Booked>,
  records: Iterable<Booked>,
  now: number,
): void {
  for (const record of records) {
    const { state, reason, refusals } = record
    if (state !== 'held' || reason === 'two-identities' || mayBeBilled(reason as HeldReason)) continue
    move(book, record, { state: 'returned', reason: reason as Transition['reason'], refusals }, now)
  }
}

/** Leaves a record only a part of what it holds; the rest goes back to the balance. */
function divide<Booked extends BookedRecord>(book: Book<Booked>, record: Booked, part: bigint): void {
  const series = book.seriesOf(record)
  const rest = amountOf(record) - part
  give(series, record, -rest)
  series.balance += rest
  record.quantity = 1
  record.size = part
}

/** Why usage may be billed already. */
const DOUBTS: { readonly [Reason in HeldReason | 'expired']?: string } = {
  'in-doubt': 'in doubt: AWS may have billed it',
  restored: 'of before a restore: AWS may have billed it',
  conflict: 'in conflict: somebody else metered its hour, this usage perhaps',
}

/** Whether what is held for this reason may be billed already: it is settled by evidence, and never just released. */
export function mayBeBilled(reason: HeldReason): boolean {
  return DOUBTS[reason] !== undefined
}

/** @throws LedgerError where a record may not be ended so */
export function checkDecision(
  { recordId: id, decision, quantity }: RecordDecision,
  { state, reason = null }: Pick<RecordEntry, 'state'> & { readonly reason?: string | null },
): void {
  if (state !== 'held') throw inWrongState(`Record ${id} is ${state}; expected one that is held.`)
  const doubt = DOUBTS[reason as HeldReason]
  const settles = decision === 'billed' || decision === 'not-billed'
  if (!settles && doubt !== undefined) {
    const why = decision === 'release' ? 'releasing it could bill it twice' : 'what AWS billed is not to be written off'
    const then = decision === 'release' ? '' : '; what was not is in the balance then, to be written off'
    throw inWrongState(
      `Record ${id} is ${doubt}, and ${why}. Find out what AWS billed, and settle it as billed or as not billed${then}.`,
    )
  }
  if (settles && doubt === undefined) {
    throw inWrongState(
      `Record ${id} is held as ${reason}: AWS has not billed it. Release it when the hindrance is over, or write it off.`,
    )
  }
  if (quantity === undefined) return
  if (decision !== 'billed' || reason !== 'restored') {
    throw inWrongState(`Record ${id} is held as ${reason}: only what is from before a restore is settled in part.`)
  }
  if (Number.isSafeInteger(quantity) && quantity > 0) return
  throw new LedgerError('ERR_LEDGER_INVALID', `Expected a whole quantity above 0 that AWS billed, got ${quantity}.`)
}

/** Holds a restored series' whole balance as one record, since the fraction may have been billed in a later whole. */
export function doubtBalance(
  series: BookedSeries,
  taken: ReadonlySet<number>,
  closed: number,
  now: number,
): { readonly record: NewRecord; readonly terms: Terms } | undefined {
  if (series.balance <= 0n) return undefined
  const { timestamp, deadline, ...terms } = restoredTerms(taken, closed, now)
  const record = { timestamp, deadline, quantity: 1, size: series.balance, held: 'restored', probe: false } as const
  series.balance = 0n
  // Which of it was billed nobody can tell.
  series.shares?.reduce(0n, 1n)
  giveNew(series, record)
  return { record, terms }
}

/**
 * What a restored ledger has to doubt of a record: one that was pending may have been sent since, and what one held was
 * perhaps released and sent with a later hour.
 */
export function doubtRecord<Booked extends BookedRecord>(book: Book<Booked>, record: Booked, { now }: AuditNote): void {
  const { state, refusals } = record
  if (state === 'pending' && !inDoubt(record)) record.attempts = refusals + 1
  if (state === 'held') move(book, record, { state, reason: 'restored', refusals }, now)
}

/** Takes all of a series' balance from what is recorded. Returns how much it was. */
export function takeBalance(series: BookedSeries, names: { accountKey: string; dimension: string }): bigint {
  const { balance } = series
  if (balance <= 0n) {
    const what = `The balance of ${names.dimension} of the account "${names.accountKey}" is empty.`
    throw inWrongState(what)
  }
  addUsage(series, -balance)
  series.shares?.reduce(0n, 1n)
  // What a person let past the guard goes with it: it was of this quantity, and of no later one.
  series.approved = 0
  return balance
}

/** Takes a part of a series' balance from what is recorded. Each of its tag sets has a part of it less. */
export function takePart(series: BookedSeries, amount: bigint): void {
  series.shares?.reduce(series.balance - amount, series.balance)
  addUsage(series, -amount)
}

/** What a record is about, in millionths of the base unit. */
export function amountOf({ quantity, size }: Pick<BookedRecord, 'quantity' | 'size'>): bigint {
  return BigInt(quantity) * size
}

/** Gives a record its new state, and its amount to whom it now belongs. */
export function move<Booked extends BookedRecord>(
  book: Book<Booked>,
  record: Booked,
  after: Transition,
  now: number,
): void {
  const { state, reason = null, refusals } = after
  const changed = record.state !== state
  if (changed || record.reason !== reason) {
    const series = book.seriesOf(record)
    const amount = amountOf(record)
    give(series, record, -amount)
    if (changed && record.state === 'returned') giveShares(series, record, -1n)
    record.state = state
    record.reason = reason
    give(series, record, amount)
    if (changed && state === 'returned') giveShares(series, record, 1n)
  }
  record.refusals = refusals
  if (changed && record.probe && state !== 'metered') {
    setBlocking(book, record.account, putOff(book.account(record.account), now))
  }
}

function give(series: BookedSeries, record: BookedRecord, amount: bigint): void {
  if (record.state === 'returned') series.balance += amount
  else if (record.state === 'held') addAmount(series.held, record.reason as HeldReason, amount)
  else series[record.state] += amount
}

/** AWS has refused the tags: what returns of such a record goes out without them, or it would be refused for ever. */
const OF_TAGS = /InvalidTagException|TooManyTagsException|InvalidUsageAllocationsException/

/** Gives what a record was split into back to the shares, or takes it again. */
export function giveShares(series: BookedSeries, record: BookedRecord, sign: 1n | -1n): void {
  const { allocations, size, reason, answer } = record
  if (reason === 'refused' && OF_TAGS.test(answer ?? '')) return
  for (const [quantity, tags] of allocations ?? []) {
    if (tags === undefined) continue
    series.shares ??= new Shares()
    series.shares.add(tags, sign * BigInt(quantity) * size)
  }
}

/** What a new record has was taken from the balance. */
function giveNew(series: BookedSeries, record: NewRecord): void {
  if (record.held === null) series.pending += amountOf(record)
  else addAmount(series.held, record.held, amountOf(record))
}

function unblock(book: Book<never>, account: number): void {
  if (book.account(account).blockedAt !== null) setBlocking(book, account, SUBSCRIBED)
}

function setBlocking(book: Book<never>, account: number, blocking: Blocking): void {
  const before = book.account(account)
  if (blocking === before) return
  const { blockedAt, probeAt, probeDelay } = blocking
  book.setAccount(account, { ...before, blockedAt, probeAt, probeDelay })
}

function factsOf<Booked extends BookedRecord>(book: Book<Booked>, record: Booked): RecordFacts {
  const { state, reason, quantity, attempts, refusals, probe } = record
  const { agreement, blockedAt } = book.account(record.account)
  const hour = hourOf(record.timestamp)
  const [ended, blocked] = [endedSince(agreement, hour), blockedAt !== null]
  const inside = secondsInside(agreement, hour)?.known === true
  return { state, reason: reason ?? undefined, quantity, attempts, refusals, probe, ended, inside, blocked }
}

export function inWrongState(message: string): LedgerError {
  return new LedgerError('ERR_LEDGER_STATE', message)
}

export function noSuchRecord(id: string): LedgerError {
  return new LedgerError('ERR_LEDGER_NOT_FOUND', `There is no record ${id}.`)
}

export function noSuchUsage(accountKey: string, dimension: string): LedgerError {
  return new LedgerError('ERR_LEDGER_NOT_FOUND', `There is no usage of ${dimension} by the account "${accountKey}".`)
}

export function otherKind(accountKey: string, expected: string): LedgerError {
  return inWrongState(`Expected an account that is ${expected}, got "${accountKey}".`)
}
