import type { Account, CustomerAccount } from '../usage/account.ts'
import type { Dimension } from '../usage/dimension.ts'
import type { Tags } from '../usage/tags.ts'
import type { LedgerError } from './errors.ts'
import type { Span } from './hours.ts'
import type { Stream } from './rules/counters/evidence.ts'

/**
 * What a ledger keeps for each series (an account and a dimension), exact at every instant:
 *
 *     recorded = included + metered + pending + held + balance
 *
 * Amounts are integers in millionths of the dimension's base unit (a second, a byte, a count). Times are
 * milliseconds since the epoch, an hour is its first millisecond. A ledger never reads the time: `now` is given.
 *
 * An internal seam, to be called and not to be implemented: the engines are those of this package, each passes the one
 * conformance suite (`test/ledger/conformance`), and a minor version may change what they have to do.
 */
export interface Ledger {
  readonly clock: SharedClock
  /** Where the file is that makes usage durable, of a ledger or a spool that is a file on this machine's disk. */
  readonly folder: string | undefined

  /**
   * Makes the dimensions known. A changed `size` holds for records frozen from now on; a changed `baseUnit` is
   * refused, since what is recorded could not be told from what is to come.
   *
   * @param counters of what is read from counters that others keep: what such a counter had counted before its metric
   * was metered as a dimension for the first time is none of its usage
   */
  register(dimensions: readonly Dimension[], counters?: CounterSources): Promise<void>

  /**
   * Acknowledges usage: durable when it resolves. The same key (writer and sequence) with the same entries changes
   * nothing; with others it rejects. After an unknown outcome the caller repeats the batch verbatim.
   */
  append(batch: UsageBatch): Promise<void>

  /**
   * The sequence of a writer's last batch that the ledger has; 0 where it has none. Less than was acknowledged proves that
   * the ledger has lost commits; see `openLoss`.
   */
  lastOf(writer: string): Promise<number>

  /**
   * Freezes the hours that are over into records. What is recorded up to the hour, and not yet frozen, becomes a
   * whole quantity; the rest stays in the balance. Any number of processes may do it at once.
   */
  closeHours(options: CloseOptions): Promise<CloseResult>

  /** Freezes what a customer still owes when its agreement ends, the open hour included, and puts it first. */
  finalize(customer: CustomerAccount, options: FinalizeOptions): Promise<CloseResult>

  /**
   * Takes in what is known of a customer's agreement; with an end, it finalizes. The same news again changes nothing,
   * and of late ones what is later counts. What was refused or held for want of an agreement that covers it now is sent
   * again, while AWS takes it; see `rules/agreement`.
   */
  noteAgreement(customer: CustomerAccount, news: AgreementNews, options: AgreementOptions): Promise<AgreementResult>
  /** The agreements that are known, in the order in which their customers came. */
  agreements(query?: AgreementsQuery): Promise<Agreement[]>

  /**
   * Says of which of a product's dimensions contracts include quantities, and of which none: null. It holds, for whoever
   * closes hours, until it is said anew. A dimension that is left out stays as it is: who says nothing of it, an older
   * process perhaps, would have metered what customers have paid for.
   *
   * @param product a product code, or the label of what has licences
   */
  registerIncluded(product: string, included: Readonly<Record<string, Included | null>>, by: AuditNote): Promise<void>
  /** What is registered so, of all products, in the order of their names. */
  included(): Promise<IncludedDimension[]>
  /**
   * Takes in what customers' contracts include. The same news again changes nothing, and what is older than what is
   * known of a customer says nothing.
   *
   * @returns of how many customers and dimensions it was new
   */
  noteEntitlements(product: string, news: EntitlementNews, by: AuditNote): Promise<number>
  /** What customers' contracts include, in the order in which the customers came. */
  entitlements(query?: EntitlementsQuery): Promise<CustomerEntitlement[]>

  /** The lanes that have records to send at `now`, or, without any, when the next one has. */
  due(now: number): Promise<DueLanes>

  /**
   * Hands out due records of a lane, earliest deadline first, none to two callers at once until `claimedUntil`. With
   * it goes the fact that each is attempted, durably: it is called only for what is sent right after.
   */
  claim(lane: Lane, options: ClaimOptions): Promise<MeteringRecord[]>

  /** Writes down the outcomes of attempts. Returns the new state of each record that was not pruned meanwhile. */
  settle(settlements: readonly Settlement[], now: number): Promise<SettledRecord[]>

  /**
   * Ends the records whose window has closed: back to the balance, or held where AWS may have taken them. Back go also
   * those that a clock ahead has frozen into hours that are to come, where AWS surely has not taken them.
   */
  expire(now: number): Promise<ExpireResult>

  /**
   * Resolves where usage can be taken: the ledger, or the spool before it, can be read. It reads one row and changes
   * nothing, however often it is asked.
   */
  ping(): Promise<void>
  /** The figures to watch. Its cost does not grow with history. */
  status(): Promise<LedgerStatus>
  /** What AWS, or the way to it, has answered last in each lane. Its cost does not grow with history. */
  answers(): Promise<LaneAnswer[]>
  /** All that were ever registered, as they are now, in the order in which they came. */
  dimensions(): Promise<Dimension[]>
  /** The five figures of each series, for a period or since the ledger began. */
  statement(query?: StatementQuery): Promise<StatementLine[]>
  /** Usage records, the youngest hour first. */
  records(query?: RecordsQuery): Promise<RecordEntry[]>
  /** What was done to the ledger and what it noted, the youngest first. */
  audit(query?: AuditQuery): Promise<AuditEntry[]>
  /**
   * Reads the whole audit trail, and tells where it is not as it was written; see `rules/audit`.
   *
   * @param kept the hash of an earlier verdict, which was kept elsewhere: only with it is it seen that the trail was cut
   * off, or made anew, before that entry's end
   */
  verifyAudit(kept?: string): Promise<AuditVerdict>

  /**
   * Writes down in the audit trail, once for each, that a sender feeds these customers. It takes them all or fails; then
   * it is to be tried again, and is no reason to refuse usage.
   *
   * @param now milliseconds since the epoch
   */
  noteSender(sender: string, customers: readonly CustomerAccount[], now: number): Promise<void>
  /** Writes down in the audit trail what is known of the ledger as a whole; `audit` finds it by its action. */
  note(note: Note): Promise<void>

  /**
   * Ends one held record; see `decideAll`.
   *
   * @throws LedgerError where the record is not there, not held, or held for a reason that this does not end
   */
  decide(recordId: string, decision: Decision, by: AuditNote, quantity?: number): Promise<void>
  /**
   * Ends held records, some hundred in each transaction, each with its entry in the audit trail. Where it dies halfway,
   * those that are decided stay so, and are told as no longer held when it is done again. Returns what became of each, in
   * their order.
   */
  decideAll(decisions: readonly RecordDecision[], by: AuditNote): Promise<DecisionResult[]>
  /**
   * Gives what an unattributed account has for a dimension to a customer, or what a customer has to another of the same
   * AWS account: its balance, and what is held of it that AWS surely has not billed. Returns the amount.
   *
   * @param period of an unattributed account: only what was recorded in these hours, and was not given away since
   */
  attribute(
    accountKey: string,
    dimension: string,
    customer: CustomerAccount,
    by: AuditNote,
    period?: Period,
  ): Promise<bigint>
  /** Ends what is in a series' balance: nobody will be billed for it. Returns the amount. */
  writeOff(accountKey: string, dimension: string, by: AuditNote): Promise<bigint>
  /**
   * Undoes what persons did, by its entries in the audit trail: an attribution, a write-off, and what put a record back
   * into the balance; while the amount is still there, in the balance, and none of it is frozen. A record is held again,
   * for its old reason. Returns what became of each, in their order; none is undone twice.
   */
  undo(entries: readonly AuditEntry[], by: AuditNote): Promise<DecisionResult[]>

  /**
   * Deletes settled records of hours before `before`, never those of the last 24 closed hours, which AWS still accepts,
   * nor of the 24 hours before the youngest that AWS has billed, which no clock of this machine moves. Totals stay.
   * Returns how many. Where it deletes anything, an entry in the audit trail says so.
   */
  prune(before: number, by?: AuditNote): Promise<number>
  /**
   * Forgets others' counters that were silent for longer than they are kept, so that it has those that speak and not all
   * that ever spoke: 35 days, and 400 of those that do not say when they began. What of them speaks again is held, as
   * `old-counter`. Usage, balances and records stay as they are. How late it is has to be agreed on by two calls half a
   * day apart, and by what the ledger has last heard of: a clock that is ahead once forgets nothing.
   *
   * @param now milliseconds since the epoch
   */
  forget(now: number): Promise<void>
  /**
   * Says that this ledger was made of a backup by its engine's own means. What it knows of as not billed may have been
   * billed since, by the ledger that was lost: so every balance and whatever was held is held as `restored`, what
   * was pending counts as attempted, and only what is recorded from the present hour on is billed by itself. Where it
   * died halfway it is done again.
   */
  declareRestored(by: AuditNote): Promise<void>
  close(): Promise<void>
}

/** The metrics of others' counters that a product's dimensions are metered by. */
export interface CounterSources {
  readonly product: string
  /** Milliseconds since the epoch. */
  readonly now: number
  readonly metrics: readonly { readonly dimension: string; readonly metric: string }[]
}

/**
 * The time of a ledger and the turns in it. An engine that several machines share has a clock of its own, which is the
 * same for all of them; the time of a file is that of whoever asks.
 */
export interface SharedClock {
  /**
   * The time by which hours are over and claims expire.
   *
   * @param here the time of this process
   */
  now(here: number): Promise<number>

  /**
   * Takes the next `turns` of what AWS allows an account in a region, `spacing` milliseconds apart, for all processes
   * that share the ledger. Returns the time of the first, `now` or later; undefined where too many wait, and none are
   * taken: it is to be asked again in half a minute or later.
   */
  takeTurns(region: string, turns: number, spacing: number, now: number): Promise<number | undefined>
}

export interface UsageBatch {
  /** A random 128-bit id of the writing process's incarnation, as 32 hexadecimal digits. */
  readonly writer: string
  /** Counts the writer's batches from 1, without gaps. */
  readonly sequence: number
  readonly entries: readonly UsageEntry[]
  /**
   * Points of counters that others keep. What they add to usage is found where all that was seen of a counter comes
   * together, at the latest when the ledger is next read or an hour is closed; see `rules/counters`.
   */
  readonly observations?: readonly Observation[]
}

/** A point of a counter or gauge that somebody else keeps, and may send again, late or out of order. */
export interface Observation {
  /** What tells it from all others, also from what else is read of the same metric: 32 hexadecimal digits. */
  readonly counter: string
  /**
   * How its values follow each other: `cumulative` since a start; `scraped`, cumulative too, but its start is not to be
   * relied on; `delta`, each by itself; `gauge`, a level in units for each second, which usage is the integral of.
   */
  readonly kind: 'cumulative' | 'scraped' | 'delta' | 'gauge'
  /**
   * What it measures, whoever counts it: the same under every resource. 32 hexadecimal digits. Without it the counter
   * stands for itself.
   */
  readonly series?: string
  /** Where it comes from. Without it the counter is a stream of its own. */
  readonly stream?: Stream
  readonly account: Account
  readonly dimension: string
  /** Microseconds since the epoch; 0 when it is not known. */
  readonly start: number
  /** Microseconds since the epoch. */
  readonly time: number
  /** When it came here, in milliseconds since the epoch. */
  readonly receivedAt: number
  /** In millionths of the dimension's base unit, 0 or more. */
  readonly value: bigint
  /** Of a gauge: the longest time between two points that it is taken to have held its level, in microseconds. */
  readonly maxGap?: number
}

export interface UsageEntry {
  readonly account: Account
  readonly dimension: string
  /** The hour in which it was measured. */
  readonly hour: number
  readonly amount: bigint
}

export interface CloseOptions {
  readonly now: number
  /** Where records frozen now are sent, and stay: AWS tells hours apart by region. */
  readonly region: string
  /** How long after its end an hour is closed, in milliseconds. */
  readonly closeDelay: number
  /** How long before AWS's window closes a record is no longer sent, in milliseconds. */
  readonly deadlineMargin: number
  /** Whether idle hours get a record of quantity 0, one hour later than others, when late usage had its chance. */
  readonly zeroQuantityRecords?: boolean
  /** What is sold: with `zeroQuantityRecords` customers of it get them whose agreements are in force, used or not. */
  readonly sold?: Sold
  /**
   * What becomes of usage that was measured while AWS said that its customer is not subscribed: `hold` by default, in
   * records of its hours, or `roll-forward` into the record that AWS takes when the customer is back.
   */
  readonly onNotSubscribed?: 'hold' | 'roll-forward'
}

/** The dimensions of products, by the products of customers' accounts. */
export interface Sold {
  readonly products: readonly string[]
  readonly dimensions: readonly string[]
}

export interface FinalizeOptions extends AgreementOptions {
  readonly endedAt: number
}

export interface AgreementOptions extends CloseOptions {
  /** Whether an end freezes what is owed at once, as it does by default: not while usage of before is on its way. */
  readonly freeze?: boolean
  /** For the audit trail: who says so. */
  readonly who?: string
  readonly why?: string
}

/** What somebody, an event of AWS's as a rule, tells of a customer's agreement. */
export interface AgreementNews {
  /**
   * `registered`: the customer came with a token of AWS's; `active`: its licence is there, or was changed; `ended`: AWS
   * takes what is left for about an hour.
   */
  readonly what: 'registered' | 'active' | 'ended'
  /** When, in milliseconds since the epoch. */
  readonly at: number
  /** What the seller calls the customer: it is found by that. */
  readonly tenant?: string
  /** A tenant that is known already stays: of several that are told at once the first counts. */
  readonly keepTenant?: boolean
  /** Of the product that a licence is of, as AWS says it. */
  readonly productCode?: string
  readonly agreementId?: string
  /** By which AWS's older notifications name a customer that is known by its AWS account: it is found by that, too. */
  readonly customerIdentifier?: string
  /** Which registration it is: one that was told last is no news, whenever it is told again. */
  readonly registration?: string
}

/** What contracts include of a dimension, and is not metered: AWS bills each unit that is. */
export interface Included {
  /** After which time an included quantity begins anew: with the entitlement's next term, or in it with each month by UTC. */
  readonly per: 'term' | 'month'
  /** The name of AWS's entitlement that says how much it is. */
  readonly entitlement?: string
  /** How much one unit of it is, in millionths of the dimension's base unit, in decimal digits. */
  readonly unit?: string
  /** Without one: how many units of the dimension every customer has included of whom nothing else is noted. */
  readonly quantity?: number
  /** How long usage waits while it is not known what is included, in milliseconds, and what becomes of it then. */
  readonly unknown: { readonly after: number; readonly outcome: 'hold' | 'meter' }
}

export interface IncludedDimension extends Included {
  readonly product: string
  readonly dimension: string
  /** When it was said first, in milliseconds since the epoch. */
  readonly since: number
  /** Up to when it is known what AWS's entitlements are, in milliseconds since the epoch. */
  readonly knownUntil?: number
}

/** What somebody, AWS's answer as a rule, tells of customers' entitlements. */
export interface EntitlementNews {
  /** When it was so, in milliseconds since the epoch. */
  readonly at: number
  readonly dimensions: readonly string[]
  readonly entitlements: readonly Entitlement[]
  /**
   * Whether it is AWS's whole list of these dimensions: the others of the product's customers have none. What is not is
   * of what all have: these customers have something else instead.
   */
  readonly complete: boolean
}

export interface Entitlement {
  readonly account: CustomerAccount
  readonly dimension: string
  /** How much is included, in millionths of the dimension's base unit. */
  readonly amount: bigint
  /** Up to, but not with, this instant. */
  readonly until?: number
}

export interface EntitlementsQuery {
  /** A customer's account key, account id, identifier or licence. */
  readonly customer?: string
  readonly dimension?: string
}

/** What a customer's contract includes of a dimension in one term. */
export interface CustomerEntitlement extends Entitlement {
  /** When the term began; undefined for one that was there before it was first heard of. */
  readonly from?: number
  /** What was used of it by closed hours in the last month of the term, or in all of it. */
  readonly used: bigint
  /** Since when that is: the beginning of a month, or of the term. */
  readonly usedSince?: number
}

export interface AgreementResult extends CloseResult {
  /** Whether it was new. */
  readonly changed: boolean
}

export type AgreementState = 'registered' | 'active' | 'ended'

/** What is known of a customer's agreement. */
export interface Agreement {
  readonly account: CustomerAccount
  readonly state: AgreementState
  /** When it began, in milliseconds since the epoch, as far as is known. */
  readonly since?: number
  /** When it ended. */
  readonly until?: number
  /** Since when AWS says that the customer is not subscribed; of one that is not known to have ended, it is suspended. */
  readonly refusedSince?: number
  readonly tenant?: string
  readonly productCode?: string
  readonly agreementId?: string
  readonly customerIdentifier?: string
}

export interface AgreementsQuery {
  readonly tenant?: string
  /** A customer's account key, account id, identifier or licence. */
  readonly customer?: string
}

export interface CloseResult {
  /** How many records it froze. */
  readonly records: number
  /** Those of them that are held from the start: of a customer that is not subscribed, above a guard, … */
  readonly held: RecordEntry[]
}

export interface DueLanes {
  /** Those that have records to send now. */
  readonly lanes: readonly Lane[]
  /** Where there are none: when a record that waits for its next attempt, or is claimed, may be sent. */
  readonly next?: number
}

/** Records that can share requests: one product, one identity, one region. */
export interface Lane {
  readonly id: string
  readonly product: string
  readonly identity: 'product-code' | 'licence'
  readonly region: string
}

/** An answer to a request of a lane: what was said of the first record in it. */
export interface LaneAnswer extends Omit<Lane, 'id'> {
  /** As in `Settlement`. */
  readonly answer: string
  /** When it was written down, in milliseconds since the epoch. */
  readonly at: number
}

export interface ClaimOptions {
  readonly now: number
  readonly limit: number
  readonly claimedUntil: number
  /** Only those of which so many attempts have no answer: from `from` to less than `below`. */
  readonly unanswered?: { readonly from: number; readonly below: number }
}

/** How much of a record is for a set of tags; without tags, for none. */
export type Allocation = readonly [quantity: number, tags?: Tags]

/** An immutable record on its way to AWS. */
export interface MeteringRecord {
  readonly id: string
  /** The claim it was handed out under. */
  readonly claim: string
  readonly account: CustomerAccount
  readonly dimension: string
  readonly quantity: number
  /** What the quantity is for, where that is told apart: they sum to it. */
  readonly allocations?: readonly Allocation[]
  /** Whole seconds, inside the record's hour. */
  readonly timestamp: number
  /** When it may no longer be sent. */
  readonly deadline: number
  /** How often it was attempted, this time included. */
  readonly attempts: number
  /** How many of them have no answer that proves that it was not taken, this one included. */
  readonly unanswered: number
}

export interface Settlement {
  readonly record: MeteringRecord
  readonly outcome: Outcome
  /** AWS's answer, for the person who reads the record's history. */
  readonly answer: string
}

export type Outcome =
  /** AWS said `Success`. */
  | { readonly type: 'metered'; readonly meteringRecordId?: string }
  /** AWS said `DuplicateRecord`. */
  | { readonly type: 'conflict'; readonly rollForward: boolean }
  /** AWS said `CustomerNotSubscribed`, or, of a record alone, that it is out of its `licence`'s time. */
  | { readonly type: 'not-subscribed'; readonly licence?: boolean }
  /** AWS refused a request with this record alone. */
  | { readonly type: 'refused' }
  /**
   * Send it again, identically. `notTaken` when the answer proves that this attempt was not billed; `outOfBounds` when AWS
   * refuses its time well inside the window: a clock is wrong, or it is of before the agreement.
   */
  | { readonly type: 'retry'; readonly at: number; readonly notTaken: boolean; readonly outOfBounds?: boolean }

export type RecordState = 'pending' | 'metered' | 'held' | 'returned'

export type HeldReason =
  | 'conflict'
  | 'in-doubt'
  /** It was not settled when the backup was made that this ledger is restored from; the lost one may have billed it. */
  | 'restored'
  | 'not-subscribed'
  | 'refused'
  | 'over-maximum'
  | 'agreement-ended'
  /** The same AWS account has a record of its other identity, licence or product code, for the hour and dimension. */
  | 'two-identities'
  /** What the customer's contract includes could not be found out in time. */
  | 'entitlement-unknown'

/**
 * What a person decides about a held record. `release`: it was surely not billed, its quantity goes back into the balance;
 * `write-off`: nor is it ever to be; `billed` and `not-billed`: of one that AWS may have billed.
 */
export type Decision = 'release' | 'billed' | 'not-billed' | 'write-off'

export interface RecordDecision {
  readonly recordId: string
  readonly decision: Decision
  /**
   * With `billed`, of a record that is held as `restored`: how many units of the dimension AWS has billed of it. The rest
   * goes back into the balance.
   */
  readonly quantity?: number | undefined
  /** Why, where it is not for the reason of all. */
  readonly why?: string | undefined
}

/** What became of a decision: the amount that it was about, or why nothing was done. */
export type DecisionResult =
  | { readonly amount: bigint; readonly error?: never }
  | { readonly amount?: never; readonly error: LedgerError }

export interface Period {
  /** Hours from this instant on. */
  readonly from?: number
  /** Hours before this instant. */
  readonly to?: number
}

export interface SettledRecord {
  readonly record: MeteringRecord
  readonly state: RecordState
  /** Why it is held; of one that waits `not-subscribed` inside a known agreement, or `refused` for its time. */
  readonly reason?: HeldReason
}

export interface ExpireResult {
  /** Back in the balance: AWS surely has not billed them. */
  readonly returned: number
  /** Held: AWS may have billed them, or the agreement is over. */
  readonly held: RecordEntry[]
}

export interface LedgerStatus {
  /** What has no final answer yet: one figure for each dimension, in the order of their names. */
  readonly pending: readonly UnsettledFigure[]
  /** What a person has to settle: one figure for each dimension and reason, in the order of both. */
  readonly held: readonly (UnsettledFigure & { readonly reason: HeldReason })[]
  /** The balances of accounts that nobody can be billed for: one amount for each dimension that has such an account. */
  readonly unattributed: readonly { readonly dimension: string; readonly amount: bigint }[]
  /** What others' counters have counted that is not usage yet, since it cannot be told yet whether it is. */
  readonly waiting: { readonly dimension: string; readonly amount: bigint }[]
  /** The hour of the oldest record without a final answer. */
  readonly oldestPendingHour?: number
  /** The last hour that is closed. */
  readonly closedThrough?: number
  /** How many points of others' counters were not simply counted, since the ledger began. */
  readonly notCounted: Partial<Record<NotCounted, number>>
}

/**
 * The sum of a dimension's records, whatever size each of them was frozen with. So it is an amount: quantities of
 * different sizes have no sum.
 */
export interface UnsettledFigure {
  readonly dimension: string
  /** How many records. */
  readonly records: number
  readonly amount: bigint
}

/** Without a period, it is everything since the ledger began. */
export interface StatementQuery extends Period {
  /** A customer's account key, account id, identifier or licence. */
  readonly customer?: string
  readonly dimension?: string
  /** Lines for each hour, day or month of the period by itself, the oldest first; without a period, for all there are. */
  readonly by?: Span
}

export interface StatementLine {
  readonly account: Account
  readonly dimension: Dimension
  readonly recorded: bigint
  /** What contracts include: it is not metered. */
  readonly included: bigint
  readonly metered: bigint
  readonly pending: bigint
  readonly held: bigint
  readonly heldByReason: Partial<Record<HeldReason, bigint>>
  /** What is not frozen. For a period: what the period brought and other hours' records carry (may be negative). */
  readonly balance: bigint
  /** Of a query by hours, days or months. */
  readonly span?: StatementSpan
}

/** The hours that a line is of, and what their records carry as AWS counts it. */
export interface StatementSpan {
  /** The first millisecond of it. */
  readonly from: number
  /** Up to, but not with, this instant. */
  readonly to: number
  /** How many units of the dimension AWS bills, whatever a unit was worth when the records were frozen. */
  readonly quantities: Quantities
}

/** Whole units of a dimension. */
export interface Quantities {
  readonly included: bigint
  readonly metered: bigint
  readonly pending: bigint
  readonly held: bigint
}

export interface RecordsQuery extends Omit<StatementQuery, 'by'> {
  /** Only those with these ids, which are looked up directly. */
  readonly ids?: readonly string[]
  readonly state?: RecordState
  /** At most so many. 100 by default, or as many as `ids`. */
  readonly limit?: number
}

export interface RecordEntry {
  readonly id: string
  readonly account: CustomerAccount
  readonly dimension: string
  readonly hour: number
  readonly timestamp: number
  readonly deadline: number
  readonly region: string
  readonly quantity: number
  /** As in `MeteringRecord`. */
  readonly allocations?: readonly Allocation[]
  readonly size: bigint
  readonly state: RecordState
  /** Why it is held, or why its quantity returned. */
  readonly reason?: string
  readonly attempts: number
  /** Whether an attempt was made whose answer is not known. */
  readonly inDoubt: boolean
  readonly nextAttemptAt?: number
  readonly lastAnswer?: string
  readonly meteringRecordId?: string
}

/** Why a point of somebody else's counter was not simply counted. */
export type NotCounted =
  /** It is the first that is known, of a counter that began before: what it has counted is none of this usage. */
  | 'baseline'
  /**
   * New here, but it began long before, under another name perhaps; or the ledger is restored, and the lost one may
   * have counted it. Held as unattributed usage.
   */
  | 'old-counter'
  /** A delta from so long ago that it cannot be told whether it was counted. Held as unattributed usage. */
  | 'too-late'
  /** The same delta was counted with another value. */
  | 'conflict'
  /** A gauge was silent for longer than it may be bridged. */
  | 'gap'
  /** Several processes count under one name. What rises is held as unattributed usage, what jumps is not counted. */
  | 'shared-identity'
  /** The same counter comes twice, under two names or by two writers; it is counted once. */
  | 'sent-twice'
  /** A sender's starts move with each export. */
  | 'moving-start'
  /** Its time has not come. */
  | 'clock-ahead'
  /** A gauge came to more at once than can be measured. */
  | 'out-of-range'

export interface AuditNote {
  readonly who: string
  readonly why: string
  readonly now: number
  /** By which all that is done together is found: hexadecimal digits, at the end of each entry's detail. */
  readonly group?: string
}

/** What somebody notes of the ledger as a whole. */
export interface Note {
  readonly action: 'set-aside' | 'lost' | 'reconcile' | 'endpoint' | 'above-alert' | 'adjust'
  readonly who: string
  readonly why: string
  readonly detail: string
  /** When it was, in milliseconds since the epoch; when it is written, by default. */
  readonly now?: number
}

/** What an entry of the audit trail is about. */
export type AuditAction =
  /** A person decided about a record or a balance. */
  | 'release'
  | 'settle'
  | 'attribute'
  | 'write-off'
  /** A person took back what one of the four above did. */
  | 'undo'
  | 'restore'
  /** Settled records were deleted. */
  | 'prune'
  /** A customer's agreement has ended. */
  | 'finalize'
  /** Something else became known of a customer's agreement. */
  | 'agreement'
  /** What contracts include of a dimension, or a customer's does, was said, or has changed. */
  | 'entitlement'
  /** A dimension was registered with other terms than before. */
  | 'register'
  /** A sender's first usage of a customer. */
  | 'fed'
  /** Usage that the ledger has refused was set aside, and where it is. */
  | 'set-aside'
  /** The ledger does not have what it had acknowledged: a failover, or an old copy, has taken it back. */
  | 'lost'
  /** What AWS wrote down of a period was held against the ledger. */
  | 'reconcile'
  /** To which AWS the records of a region go. */
  | 'endpoint'
  /** A record is above its dimension's `alertQuantity`. */
  | 'above-alert'
  /** AWS is asked to give money back for what was billed too much. */
  | 'adjust'
  /** What the ledger found of others' counters: one entry for each series and batch. */
  | NotCounted

export interface AuditEntry {
  /** Its place in the chain, from 1 on; those of before there was a chain have none. */
  readonly number?: number
  /** When it was done, as was said. */
  readonly at: number
  /** Who did it, as was said. */
  readonly who: string
  readonly why: string
  /** When it was written, by the ledger's clock. */
  readonly writtenAt?: number
  /** The operating system's user, and the machine, of the process that wrote it. */
  readonly systemUser?: string
  readonly action: AuditAction
  readonly account?: Account
  readonly dimension?: string
  readonly recordId?: string
  readonly amount?: bigint
  readonly detail?: string
  /** SHA-256 over it and the hash of the entry before, as 64 hexadecimal digits. */
  readonly hash?: string
}

export interface AuditQuery {
  /** At most so many, of each action where actions are named. 100 by default. */
  readonly limit?: number
  readonly actions?: readonly AuditAction[]
  readonly who?: string
  /** A customer's account key, account id, identifier or licence. */
  readonly customer?: string
}

export interface AuditVerdict {
  /** How many entries are chained. */
  readonly entries: number
  /** The hash of the last of them. Kept elsewhere, it shows later that all up to here was replaced, or cut off. */
  readonly hash?: string
  /** The number of the entry with the hash that was kept elsewhere; 0 where the chain begins with it. */
  readonly keptAt?: number
  /** In the order of the trail, at most 100. */
  readonly breaks: readonly AuditBreak[]
}

/** Where the audit trail is not as it was written. */
export interface AuditBreak {
  /**
   * `changed`: this entry, or what it keeps of the one before; `missing`: entries up to this one; `inserted`: an entry
   * that nobody has chained; `changed-before`: any entry of before there was a chain; `replaced`: the last entries;
   * `hidden`: this entry is there, and is not found by its action; `not-kept`: no entry has the hash that was kept
   * elsewhere.
   */
  readonly kind: 'changed' | 'missing' | 'inserted' | 'changed-before' | 'replaced' | 'hidden' | 'not-kept'
  /** The entry's place in the chain. */
  readonly number?: number
  /** Of entries that are missing, the first. */
  readonly from?: number
  /** When it was done, as the entry says. */
  readonly at?: number
}
