import { DAY, HOUR, hourOf, MINUTE, SECOND } from '../ledger/hours.ts'
import { lastBilled, YOUNGEST_METERED } from '../ledger/last-billed.ts'
import type {
  ClaimOptions,
  CloseOptions,
  Lane,
  Ledger,
  MeteringRecord,
  RecordEntry,
  SettledRecord,
  Settlement,
  Sold,
} from '../ledger/ledger.ts'
import { openLoss } from '../ledger/loss.ts'
import { type Overflow, overflows } from '../ledger/rules/overflow.ts'
import { ANY_UNANSWERED } from '../ledger/rules/transitions.ts'
import {
  type BatchMeterUsageResult,
  MAX_RECORDS,
  MAX_REQUEST_BYTES,
  type MeteringClient,
} from '../marketplace/client.ts'
import { withDeadline } from '../marketplace/deadline.ts'
import { type Dimension, MAX_QUANTITY } from '../usage/dimension.ts'
import { bytesOf, outcomeOf, REQUEST_BYTES, readAnswers, requestFor } from './answers.ts'
import { backoff } from './backoff.ts'
import type { ContractEvent, Contracts } from './contracts.ts'
import { EndpointGuard } from './endpoints.ts'
import { describe, type Fault, type FaultOfRequest, faultOf, requestIdOf } from './faults.ts'
import { lossFinding } from './loss.ts'
import type { Pacer } from './pacer.ts'
import type { Finding } from './preflight/finding.ts'
import { clockFinding } from './preflight/surroundings.ts'

export interface MeteringCycleOptions {
  readonly ledger: Ledger
  /** The client of a region, or undefined where there is none. */
  readonly clientFor: (region: string) => MeteringClient | undefined
  /** Milliseconds since the epoch. */
  readonly now: () => number
  readonly pacer: Pacer
  readonly region: string
  readonly closeDelay: number
  readonly deadlineMargin: number
  readonly zeroQuantityRecords: boolean
  /** Whose active customers get them, and of which dimensions. */
  readonly sold?: Sold
  /** Those that are configured; of their records those above `alertQuantity` are told. */
  readonly dimensions?: readonly Dimension[]
  /** What to do with a quantity whose hour somebody else has taken. */
  readonly onConflict: 'hold' | 'roll-forward'
  /** What to do with usage of customers that are not subscribed. */
  readonly onNotSubscribed: 'hold' | 'roll-forward'
  /** Freeze and report, but send nothing. */
  readonly dryRun: boolean
  /** How long a request may take, in milliseconds. */
  readonly requestTimeout: number
  /** How many requests of one lane are under way at once. */
  readonly concurrency: number
  /** How long settled records are kept, in milliseconds. */
  readonly retention: number
  /** What contracts include. */
  readonly contracts?: Contracts
  readonly report: (event: CycleEvent) => void
  /** 0 to 1; for jitter. */
  readonly random?: () => number
}

/** What happened, for whoever counts and reports it. */
export type CycleEvent =
  | { readonly type: 'frozen'; readonly records: number }
  | { readonly type: 'returned'; readonly records: number }
  | { readonly type: 'held'; readonly records: readonly RecordEntry[] }
  | {
      readonly type: 'request'
      readonly lane: Lane
      readonly records: number
      readonly seconds: number
      readonly fault?: Fault
    }
  | { readonly type: 'settled'; readonly records: readonly SettledRecord[] }
  | {
      readonly type: 'fault'
      readonly lane: Lane
      readonly fault: Fault
      readonly message: string
      readonly requestId?: string | undefined
    }
  | {
      readonly type: 'nonsense'
      readonly lane: Lane
      readonly message: string
      readonly requestId?: string | undefined
    }
  | { readonly type: 'no-client'; readonly lane: Lane }
  /** Records of the region are not sent, since this process would send them elsewhere than the ledger's go; or are again. */
  | { readonly type: 'endpoint'; readonly region: string; readonly finding: Finding | undefined }
  /** Something that metering needs is not as it should be. */
  | { readonly type: 'finding'; readonly finding: Finding }
  /** Whether the ledger is known to lack commits, so that nothing is frozen or sent: told in each pass. */
  | { readonly type: 'loss'; readonly finding: Finding | undefined }
  | ContractEvent
  /** Of one customer. */
  | ({ readonly type: 'overflow' } & Overflow)
  /** A record is above its dimension's `alertQuantity`. */
  | ({ readonly type: 'above-alert' } & LargeRecord)
  | { readonly type: 'dry-run'; readonly records: readonly RecordEntry[] }

export interface LargeRecord {
  readonly record: Pick<RecordEntry, 'id' | 'dimension' | 'quantity'>
  readonly alertQuantity: number
}

/** How long a claim holds: much longer than a request may take, bisected or not. */
const CLAIM_SLACK = MINUTE
/** After a fault at AWS or on the way to it. */
const RETRY_SHORTEST = SECOND
const RETRY_LONGEST = 5 * MINUTE
/** After a refusal that a person has to mend. */
const MEND_SHORTEST = 30 * SECOND
const MEND_LONGEST = 15 * MINUTE
/** So many attempts without an answer are no accident. */
const SUSPICIOUS = 3
const UNSUSPICIOUS = { from: 0, below: SUSPICIOUS }
const DOUBTED = { from: 1, below: SUSPICIOUS }
const DOUBTFUL = { ...ANY_UNANSWERED, from: 1 }
/** After so long a pass ends, in real time, so that hours are closed even while there is much to send. */
const LONGEST_PASS = MINUTE
/** So long before the end of its window, or longer, its age is not why AWS refuses a record's time. */
const OUT_OF_BOUNDS = HOUR
/** How many series are remembered that AWS has refused. */
const MAX_REFUSED = 10_000
/** How often history is looked through for what is older than the retention. */
const PRUNE_INTERVAL = 6 * HOUR
/** How often counters are forgotten that have been silent for long. */
const FORGET_INTERVAL = DAY

/** A product and region whose requests fail, so that it neither holds up the others nor puts more records in doubt. */
interface LaneFault {
  failures: number
  pausedUntil: number
}

/** What a batch and its halves are sent with. */
interface Sending {
  readonly lane: Lane
  readonly client: MeteringClient
  /** When the pass ends. */
  readonly end: AbortSignal
  /** Whether one more request may be begun. */
  readonly sendable: () => boolean
}

/** Freezes the hours that are over, sends what is due and settles the answers: one pass at a time in a process. */
export class MeteringCycle {
  readonly #options: MeteringCycleOptions
  readonly #random: () => number
  readonly #laneFaults = new Map<string, LaneFault>()
  /** Those whose last request was answered. */
  readonly #answering = new Set<string>()
  readonly #guard: EndpointGuard
  /** Whether this process sends to where the ledger's records go, by region. */
  readonly #maySend = new Map<string, boolean>()
  /** Answers that the ledger has not taken yet. */
  #unwritten: Settlement[] = []
  /** Series whose last record made AWS refuse all that was sent with it. */
  readonly #refused = new Set<string>()
  /** Records that took as much as one takes, and what is behind them has not been told. */
  readonly #full = new Map<string, MeteringRecord>()
  /** Records of a dimension above its `alertQuantity` that are not in the audit trail yet: the largest, and how many. */
  readonly #large = new Map<string, LargeRecord & { readonly records: number }>()
  /** When the audit trail was told of a dimension's. */
  readonly #toldOfLarge = new Map<string, number>()
  /** Whether the ledger has given a record that was refused another second of its hour, with which it is due again. */
  #stampedAnew = false
  /** Whether the ledger lacked commits in the last pass. */
  #lost = false
  #prunedAt: number | undefined
  #forgotAt: number | undefined
  #passes: Promise<void> = Promise.resolve()

  constructor(options: MeteringCycleOptions) {
    this.#options = options
    this.#random = options.random ?? Math.random
    this.#guard = new EndpointGuard(options.ledger, options.now)
  }

  /** Freezes and sends what is due, until `signal` says that no more requests are to be begun. Rejects only for the ledger. */
  pass(signal?: AbortSignal): Promise<void> {
    const pass = this.#passes.then(() => this.#pass(signal))
    this.#passes = pass.catch(() => {})
    return pass
  }

  /** When there is next something to send. Infinity when there is nothing that could be. */
  async nextPassAt(): Promise<number> {
    const { ledger, now, dryRun, clientFor } = this.#options
    if (dryRun || this.#lost) return Number.POSITIVE_INFINITY
    const { lanes, next = Number.POSITIVE_INFINITY } = await ledger.due(now())
    if (lanes.length === 0) return next
    // What is due already waits for its lane.
    const sendable = lanes.filter(
      ({ region }) => clientFor(region) !== undefined && this.#maySend.get(region) !== false,
    )
    const times = sendable.map(lane => (this.#paused(lane) ? this.#laneFaults.get(lane.id)?.pausedUntil : undefined))
    return Math.min(...times.map(time => time ?? now()))
  }

  get closeOptions(): CloseOptions {
    const { now, region, closeDelay, deadlineMargin, zeroQuantityRecords, sold, onNotSubscribed } = this.#options
    return {
      now: now(),
      region,
      closeDelay,
      deadlineMargin,
      zeroQuantityRecords,
      onNotSubscribed,
      ...(sold && { sold }),
    }
  }

  async #pass(signal: AbortSignal | undefined): Promise<void> {
    const { ledger, now, report, dryRun, region, contracts } = this.#options
    await this.#writeAnswers([])
    if (await this.#isLost()) return
    // Who may not send does not freeze: it would be on terms of its own, for a region of its own.
    if (!dryRun && !this.#maySend.get(region) && !(await this.#look(region, false))) return
    await contracts?.beforeClosing(signal)
    const closed = await ledger.closeHours(this.closeOptions)
    await contracts?.afterClosing()
    if (closed.records > 0) report({ type: 'frozen', records: closed.records })
    if (closed.held.length > 0) report({ type: 'held', records: closed.held })
    const expired = await ledger.expire(now())
    if (expired.returned > 0) report({ type: 'returned', records: expired.returned })
    if (expired.held.length > 0) report({ type: 'held', records: expired.held })
    if (dryRun) {
      if (closed.records > 0) {
        const records = await ledger.records({ state: 'pending', limit: closed.records })
        report({ type: 'dry-run', records })
        for (const record of records) this.#lookAtQuantity(record)
      }
    } else {
      const end = AbortSignal.any([AbortSignal.timeout(LONGEST_PASS), ...(signal === undefined ? [] : [signal])])
      do {
        this.#stampedAnew = false
        const { lanes } = await ledger.due(now())
        for (const region of new Set(lanes.map(({ region }) => region))) await this.#look(region, true)
        const sent = lanes.filter(({ region }) => this.#maySend.get(region))
        await allEnded(sent.map(lane => this.#drain(lane, end)))
        // What is left of an agreement that has ended is taken for minutes: it does not wait for the next pass.
      } while (this.#stampedAnew && !end.aborted)
    }
    await this.#tellOverflow()
    await this.#noteLarge()
    // Never in the first pass. A clock that was set counts as a long time, so that the one that was wrong is not waited for.
    this.#prunedAt ??= now()
    if (Math.abs(now() - this.#prunedAt) >= PRUNE_INTERVAL) {
      this.#prunedAt = now()
      await this.#prune()
    }
    this.#forgotAt ??= now()
    if (Math.abs(now() - this.#forgotAt) >= FORGET_INTERVAL) {
      this.#forgotAt = now()
      await ledger.forget(now())
    }
  }

  /** Whether the ledger lacks commits: what the lost one has frozen, sent or returned is not known. */
  async #isLost(): Promise<boolean> {
    const { ledger, report } = this.#options
    const loss = await openLoss(ledger)
    this.#lost = loss !== undefined
    report({ type: 'loss', finding: loss && lossFinding(loss, await ledger.status()) })
    return this.#lost
  }

  /** Deletes what is older than the retention at what is surely no later than now. */
  async #prune(): Promise<void> {
    const { ledger, now, retention } = this.#options
    if (retention === Number.POSITIVE_INFINITY) return
    const billed = lastBilled(await ledger.records(YOUNGEST_METERED))
    if (billed === undefined) return
    const why = `${Math.round(retention / DAY)} days older than what AWS has billed last`
    await ledger.prune(Math.min(now(), billed + HOUR) - retention, { who: 'retention', why, now: now() })
  }

  /** Whether this process sends a region's records to where the ledger's go. */
  async #look(region: string, sends: boolean): Promise<boolean> {
    const { clientFor, report } = this.#options
    const client = clientFor(region)
    const finding = client && (await this.#guard.look(region, client, sends))
    const before = this.#maySend.get(region) ?? true
    const maySend = finding === undefined
    this.#maySend.set(region, maySend)
    if (!maySend || !before) report({ type: 'endpoint', region, finding })
    return maySend
  }

  async #drain(lane: Lane, end: AbortSignal): Promise<void> {
    const client = this.#options.clientFor(lane.region)
    if (client === undefined) {
      this.#options.report({ type: 'no-client', lane })
      return
    }
    // While a lane fails, one request at a time tries it, with one record, so that few records are in doubt.
    const most = this.#laneFaults.has(lane.id) ? 1 : this.#options.concurrency
    const sendable = () => !end.aborted && !this.#paused(lane)
    const tasks = new Tasks()
    let workers = 0
    const callAnother = (): void => {
      if (workers === most) return
      workers += 1
      tasks.begin(this.#work({ lane, client, end, sendable }, tasks, callAnother))
    }
    callAnother()
    await tasks.ended()
  }

  /** Sends batch after batch while there are full ones; each that is answered calls in another to do the same beside it. */
  async #work(sending: Sending, tasks: Tasks, callAnother: () => void): Promise<void> {
    const { now, pacer, requestTimeout } = this.#options
    const { lane, end, sendable } = sending
    let written: Promise<boolean> | undefined
    for (let full = true; full && sendable(); ) {
      await pacer.turn(lane.region, end)
      if (!sendable()) return
      const claimedUntil = now() + requestTimeout + CLAIM_SLACK
      const limit = this.#laneFaults.has(lane.id) ? 1 : MAX_RECORDS
      // Beside the answers to what was sent last: a ledger can write both down at once.
      const [records, wroteAnswers = true] = await Promise.all([
        this.#claim(lane, { now: now(), limit, claimedUntil }),
        written,
      ])
      if (records.length === 0) return
      // Each once, whichever process tries it again.
      for (const record of records) if (record.attempts === 1) this.#lookAtQuantity(record)
      full = records.length === limit && wroteAnswers
      const settlements = await this.#sendApart(sending, records)
      written = tasks.begin(this.#writeAnswers(settlements))
      // Only now: while AWS does not answer, no more records than these are in doubt.
      if (full && sendable()) callAnother()
    }
  }

  /**
   * What AWS has often left without an answer comes after all else, or it would be in the way of the same records in
   * each process that begins. While a lane fails it is tried with what is in doubt already, so that nothing else gets
   * into doubt.
   */
  async #claim(lane: Lane, options: ClaimOptions): Promise<MeteringRecord[]> {
    const { ledger } = this.#options
    const orders = this.#laneFaults.has(lane.id) ? [DOUBTED, DOUBTFUL] : [UNSUSPICIOUS]
    for (const unanswered of orders) {
      const records = await ledger.claim(lane, { ...options, unanswered })
      if (records.length > 0) return records
    }
    return ledger.claim(lane, options)
  }

  /**
   * Sends records, those that were attempted more often with fewer others and later: one that AWS never answers would
   * keep all from an answer that share its request, in this process and in each that comes after it. What does not fit
   * into a request, for its many allocations, goes in another. Whose last record
   * was refused comes last and alone: to find it among others takes ten requests, in each hour anew.
   */
  async #sendApart(sending: Sending, records: readonly MeteringRecord[]): Promise<Settlement[]> {
    const { now, pacer } = this.#options
    const settlements: Settlement[] = []
    for (const [index, some] of sharing(records, record => this.#refused.has(seriesOf(record))).entries()) {
      if (index > 0 && sending.sendable()) await pacer.turn(sending.lane.region, sending.end)
      if (index === 0 || sending.sendable()) settlements.push(...(await this.#send(sending, some)))
      else settlements.push(...some.map(record => notSent(record, now())))
    }
    for (const settlement of settlements) this.#noteRefusal(settlement)
    return settlements
  }

  #noteRefusal({ record, outcome: { type }, answer }: Settlement): void {
    if (type === 'retry') return
    const series = seriesOf(record)
    this.#refused.delete(series)
    // What AWS says of a licence it says of the whole request, unlike of another customer's agreement.
    if (type !== 'refused' && !(type === 'not-subscribed' && answer !== 'CustomerNotSubscribed')) return
    this.#refused.add(series)
    if (this.#refused.size > MAX_REFUSED) this.#refused.delete(this.#refused.values().next().value as string)
  }

  /**
   * Sends records and returns the outcome of each. Where one of them makes AWS refuse all, or fail over all while it
   * answers others, the halves go by themselves, down to the one. All of it counts as one attempt of each record: its
   * outcome is known when the last answer is.
   *
   * @param repeated whether the client tried these records before by itself, and did not tell the outcome
   */
  async #send(sending: Sending, records: readonly MeteringRecord[], repeated = false): Promise<Settlement[]> {
    const { report, requestTimeout, onConflict } = this.#options
    const { lane, client } = sending
    const begun = performance.now()
    const seconds = () => (performance.now() - begun) / 1000
    let result: BatchMeterUsageResult | undefined
    try {
      result = await withDeadline(requestTimeout, abortSignal =>
        client.batchMeterUsage(requestFor(lane, records), { abortSignal }),
      )
    } catch (error) {
      this.#lookAtClock(client)
      const fault = faultOf(error)
      report({ type: 'request', lane, records: records.length, seconds: seconds(), fault: fault.fault })
      const failure = { ...fault, repeated: repeated || fault.repeated, requestId: requestIdOf(error) }
      return this.#failed(sending, records, failure, describe(error))
    }
    this.#lookAtClock(client)
    report({ type: 'request', lane, records: records.length, seconds: seconds() })
    const read = readAnswers(records, result)
    if (read.nonsense !== '') report({ type: 'nonsense', lane, message: read.nonsense, requestId: requestIdOf(result) })
    const answered = read.answers.some(answer => answer.said !== 'nothing')
    if (answered) {
      this.#laneFaults.delete(lane.id)
      this.#answering.add(lane.id)
    }
    const pausedUntil = answered ? 0 : this.#pause(lane, 'unknown')
    return read.answers.map(({ record, ...answer }) => {
      const terms = {
        retryAt: this.#retryAt(record, pausedUntil),
        rollForward: onConflict === 'roll-forward',
        repeated: repeated || read.repeated,
      }
      return { record, outcome: outcomeOf(answer, terms), answer: answer.said }
    })
  }

  /** Answers say what time it is at AWS. */
  #lookAtClock({ clockSkew = 0 }: MeteringClient): void {
    const finding = clockFinding(clockSkew, "AWS's")
    if (finding.state !== 'ok') this.#options.report({ type: 'finding', finding })
  }

  /** The outcomes of records whose request failed. */
  async #failed(
    sending: Sending,
    records: readonly MeteringRecord[],
    { fault, repeated, failedOver, requestId }: FaultOfRequest & { readonly requestId: string | undefined },
    answer: string,
  ): Promise<Settlement[]> {
    const { now, report, pacer } = this.#options
    const { lane, client, end, sendable } = sending
    const refused = fault === 'refused' || fault === 'licence' || fault === 'timestamp'
    const notTaken = fault !== 'unknown' && !repeated
    // While AWS answers others, it is something in this request that it fails over.
    const itsOwn = failedOver && this.#answering.has(lane.id)
    if ((refused || itsOwn) && records.length > 1) {
      const middle = Math.ceil(records.length / 2)
      const settlements: Settlement[] = []
      for (const half of [records.slice(0, middle), records.slice(middle)]) {
        if (sendable()) await pacer.turn(lane.region, end)
        if (sendable()) settlements.push(...(await this.#send(sending, half, !notTaken)))
        else
          settlements.push(
            ...half.map(record => ({ record, outcome: { type: 'retry' as const, at: now(), notTaken }, answer })),
          )
      }
      return settlements
    }
    if (fault !== 'refused' && fault !== 'licence') report({ type: 'fault', lane, fault, message: answer, requestId })
    // Until another is answered nobody knows that it was this record, and not all of AWS since.
    this.#answering.delete(lane.id)
    const pausedUntil = refused ? undefined : itsOwn ? 0 : this.#pause(lane, fault)
    return records.map(record => {
      if (fault === 'refused' && !repeated) return { record, outcome: { type: 'refused' }, answer }
      // Alone, it says what CustomerNotSubscribed says of others: not now.
      if (fault === 'licence' && !repeated)
        return { record, outcome: { type: 'not-subscribed', licence: true }, answer }
      const at =
        pausedUntil === undefined
          ? // AWS's word that the time is wrong, of a record that is inside its window here, means that a clock is.
            now() + backoff(record.attempts, MEND_SHORTEST, MEND_LONGEST, this.#random)
          : this.#retryAt(record, pausedUntil)
      // By AWS's own clock, as its answer tells it: this machine's may be why it refuses the time.
      const time = now() - (client.clockSkew ?? 0)
      const outOfBounds = fault === 'timestamp' && record.timestamp < time && record.deadline - time > OUT_OF_BOUNDS
      return { record, outcome: { type: 'retry', at, notTaken, ...(outOfBounds && { outOfBounds }) }, answer }
    })
  }

  /** A record's own wait outgrows its lane's, so that one that AWS can never answer does not hold up the others. */
  #retryAt(record: MeteringRecord, pausedUntil: number): number {
    const wait = backoff(record.attempts, RETRY_SHORTEST, MEND_LONGEST, this.#random)
    return Math.max(pausedUntil, this.#options.now() + wait)
  }

  #paused(lane: Lane): boolean {
    const wait = (this.#laneFaults.get(lane.id)?.pausedUntil ?? 0) - this.#options.now()
    // A longer one comes from a clock that was ahead.
    return wait > 0 && wait <= MEND_LONGEST
  }

  /** Leaves a lane alone for a while. Returns until when. */
  #pause(lane: Lane, fault: Fault): number {
    const failures = (this.#laneFaults.get(lane.id)?.failures ?? 0) + 1
    const [shortest, longest] =
      fault === 'configuration' ? [MEND_SHORTEST, MEND_LONGEST] : [RETRY_SHORTEST, RETRY_LONGEST]
    const pausedUntil = this.#options.now() + backoff(failures, shortest, longest, this.#random)
    this.#laneFaults.set(lane.id, { failures, pausedUntil })
    return pausedUntil
  }

  /** Brings answers into the ledger; those it cannot take now are kept and come first the next time. */
  async #writeAnswers(settlements: readonly Settlement[]): Promise<void> {
    this.#unwritten.push(...settlements)
    if (this.#unwritten.length === 0) return
    const writing = this.#unwritten
    this.#unwritten = []
    let settled: SettledRecord[]
    try {
      settled = await this.#options.ledger.settle(await this.#held(writing), this.#options.now())
    } catch (error) {
      this.#unwritten.unshift(...writing)
      throw error
    }
    this.#options.report({ type: 'settled', records: settled })
    const refused = new Set(
      writing.flatMap(({ record, outcome }) => (outcome.type === 'not-subscribed' ? record.id : [])),
    )
    this.#stampedAnew ||= settled.some(
      ({ record, state, reason }) => state === 'pending' && reason === undefined && refused.has(record.id),
    )
    for (const { record } of settled) {
      if (record.quantity === MAX_QUANTITY) this.#full.set(seriesOf(record), record)
    }
  }

  #lookAtQuantity(record: LargeRecord['record']): void {
    const { dimensions = [], report } = this.#options
    const { alertQuantity } = dimensions.find(({ name }) => name === record.dimension) ?? {}
    if (alertQuantity === undefined || record.quantity <= alertQuantity) return
    report({ type: 'above-alert', record, alertQuantity })
    const known = this.#large.get(record.dimension)
    const largest = known !== undefined && known.record.quantity > record.quantity ? known.record : record
    this.#large.set(record.dimension, { record: largest, alertQuantity, records: (known?.records ?? 0) + 1 })
  }

  /** Writes down, once an hour for each dimension, what all who look at the ledger are to see. */
  async #noteLarge(): Promise<void> {
    const { ledger, now } = this.#options
    for (const [dimension, { record, alertQuantity, records }] of this.#large) {
      if (hourOf(this.#toldOfLarge.get(dimension) ?? 0) === hourOf(now())) continue
      const which = records === 1 ? `record ${record.id}` : `${records} records, the largest ${record.id}`
      await ledger.note({
        ...{ action: 'above-alert', who: 'metering', now: now() },
        why: `more than the alertQuantity of ${dimension}, ${alertQuantity.toLocaleString('en-US')}`,
        detail: `${which}: ${record.quantity.toLocaleString('en-US')} of ${dimension}`,
      })
      this.#toldOfLarge.set(dimension, now())
      this.#large.delete(dimension)
    }
  }

  /** While the ledger lacks commits, whose hour is taken is held: the lost ledger may have billed this usage. */
  async #held(settlements: readonly Settlement[]): Promise<readonly Settlement[]> {
    const rolls = ({ outcome }: Settlement) => outcome.type === 'conflict' && outcome.rollForward
    if (!settlements.some(rolls) || (await openLoss(this.#options.ledger)) === undefined) return settlements
    return settlements.map(one => (rolls(one) ? { ...one, outcome: { type: 'conflict', rollForward: false } } : one))
  }

  /** Tells of what came after records that took as much as one takes: with as much in each hour, it never ends. */
  async #tellOverflow(): Promise<void> {
    const { ledger, report } = this.#options
    for (const [key, { account, dimension }] of this.#full) {
      const lines = await ledger.statement({ customer: account.key, dimension })
      this.#full.delete(key)
      for (const overflow of overflows(lines)) report({ type: 'overflow', ...overflow })
    }
  }
}

const seriesOf = ({ account, dimension }: MeteringRecord): string => JSON.stringify([account.key, dimension])

/** Records in the order in which they are sent, those together that may share a request and fit into it. */
function sharing(records: readonly MeteringRecord[], isAlone: (record: MeteringRecord) => boolean): MeteringRecord[][] {
  const requests: MeteringRecord[][] = []
  const alone = new Set(records.filter(isAlone))
  let bytes = REQUEST_BYTES
  const order = (record: MeteringRecord) => (alone.has(record) ? Number.POSITIVE_INFINITY : record.unanswered)
  for (const record of records.toSorted((a, b) => (order(a) === order(b) ? 0 : order(a) - order(b)))) {
    const last = requests.at(-1)
    // This attempt is counted, and one answer may always be lost.
    const most = alone.has(record) ? 1 : Math.max(1, MAX_RECORDS >> Math.max(0, record.unanswered - 2))
    const size = bytesOf(record)
    const fits = last !== undefined && last.length < most && bytes + size <= MAX_REQUEST_BYTES
    bytes = size + (fits ? bytes : REQUEST_BYTES)
    if (fits) last.push(record)
    else requests.push([record])
  }
  return requests
}

/** Of a record whose turn did not come: what is counted as an attempt was none. */
function notSent(record: MeteringRecord, at: number): Settlement {
  return { record, outcome: { type: 'retry', at, notTaken: true }, answer: 'not sent: others failed before' }
}

/** Waits for all, also where one rejects: what is still under way must not meet the next pass. */
async function allEnded(promises: readonly Promise<void>[]): Promise<void> {
  for (const result of await Promise.allSettled(promises)) if (result.status === 'rejected') throw result.reason
}

/** What is done beside each other, where each may begin more. */
class Tasks {
  readonly #tasks: Promise<boolean>[] = []
  readonly #failures: unknown[] = []

  /** Returns whether the task ended well. */
  begin(task: Promise<void>): Promise<boolean> {
    const well = task.then(
      () => true,
      error => {
        this.#failures.push(error)
        return false
      },
    )
    this.#tasks.push(well)
    return well
  }

  /** Waits for all, also for those that are begun meanwhile: none must meet the next pass. Rejects where one did. */
  async ended(): Promise<void> {
    for (const task of this.#tasks) await task
    if (this.#failures.length > 0) throw this.#failures[0]
  }
}
