import type {
  CloseOptions,
  Lane,
  Ledger,
  MeteringRecord,
  RecordEntry,
  SettledRecord,
  Settlement,
} from '../ledger/ledger.ts'
import { MAX_RECORDS, type MeteringClient } from '../marketplace/client.ts'
import { outcomeOf, readAnswers, requestFor } from './answers.ts'
import { backoff } from './backoff.ts'
import { describe, type Fault, faultOf } from './faults.ts'
import type { Pacer } from './pacer.ts'
import { withTimeout } from './timeout.ts'

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
  /** What to do with a quantity whose hour somebody else has taken. */
  readonly onConflict: 'hold' | 'roll-forward'
  /** Freeze and report, but send nothing. */
  readonly dryRun: boolean
  /** How long a request may take, in milliseconds. */
  readonly requestTimeout: number
  /** How many requests of one lane are under way at once. */
  readonly concurrency: number
  /** How long settled records are kept, in milliseconds. */
  readonly retention: number
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
  | { readonly type: 'fault'; readonly lane: Lane; readonly fault: Fault; readonly message: string }
  | { readonly type: 'nonsense'; readonly lane: Lane; readonly message: string }
  | { readonly type: 'no-client'; readonly lane: Lane }
  | { readonly type: 'dry-run'; readonly records: readonly RecordEntry[] }

/** How long a claim holds: much longer than a request may take, bisected or not. */
const CLAIM_SLACK = 60_000
/** After a fault at AWS or on the way to it. */
const RETRY_SHORTEST = 1000
const RETRY_LONGEST = 5 * 60_000
/** After a refusal that a person has to mend. */
const MEND_SHORTEST = 30_000
const MEND_LONGEST = 15 * 60_000
/** After so long a pass ends, in real time, so that hours are closed even while there is much to send. */
const LONGEST_PASS = 60_000
/** How often history is looked through for what is older than the retention. */
const PRUNE_INTERVAL = 6 * 3_600_000

/** A product and region whose requests fail, so that it neither holds up the others nor puts more records in doubt. */
interface LaneFault {
  failures: number
  pausedUntil: number
}

/** Freezes the hours that are over, sends what is due and settles the answers: one pass at a time in a process. */
export class MeteringCycle {
  readonly #options: MeteringCycleOptions
  readonly #random: () => number
  readonly #laneFaults = new Map<string, LaneFault>()
  /** Answers that the ledger has not taken yet. */
  #unwritten: Settlement[] = []
  #prunedAt = Number.NEGATIVE_INFINITY
  #passes: Promise<void> = Promise.resolve()

  constructor(options: MeteringCycleOptions) {
    this.#options = options
    this.#random = options.random ?? Math.random
  }

  /** Freezes and sends what is due, until `signal` says that no more requests are to be begun. Rejects only for the ledger. */
  pass(signal?: AbortSignal): Promise<void> {
    const pass = this.#passes.then(() => this.#pass(signal))
    this.#passes = pass.catch(() => {})
    return pass
  }

  /** When there is next something to send. Infinity when nothing is pending. */
  async nextPassAt(): Promise<number> {
    return (await this.#options.ledger.nextAttemptAt()) ?? Number.POSITIVE_INFINITY
  }

  get closeOptions(): CloseOptions {
    const { now, region, closeDelay, deadlineMargin, zeroQuantityRecords } = this.#options
    return { now: now(), region, closeDelay, deadlineMargin, zeroQuantityRecords }
  }

  async #pass(signal: AbortSignal | undefined): Promise<void> {
    const { ledger, now, report, dryRun } = this.#options
    await this.#writeAnswers([])
    const closed = await ledger.closeHours(this.closeOptions)
    if (closed.records > 0) report({ type: 'frozen', records: closed.records })
    if (closed.held.length > 0) report({ type: 'held', records: closed.held })
    const expired = await ledger.expire(now())
    if (expired.returned > 0) report({ type: 'returned', records: expired.returned })
    if (expired.held.length > 0) report({ type: 'held', records: expired.held })
    if (dryRun) {
      if (closed.records > 0)
        report({ type: 'dry-run', records: await ledger.records({ state: 'pending', limit: closed.records }) })
    } else {
      const end = AbortSignal.any([AbortSignal.timeout(LONGEST_PASS), ...(signal === undefined ? [] : [signal])])
      const lanes = await ledger.dueLanes(now())
      await Promise.all(lanes.map(lane => this.#drain(lane, end)))
    }
    if (now() - this.#prunedAt >= PRUNE_INTERVAL && this.#options.retention < Number.POSITIVE_INFINITY) {
      this.#prunedAt = now()
      await ledger.prune(now() - this.#options.retention)
    }
  }

  async #drain(lane: Lane, end: AbortSignal): Promise<void> {
    const client = this.#options.clientFor(lane.region)
    if (client === undefined) {
      this.#options.report({ type: 'no-client', lane })
      return
    }
    const fault = this.#laneFaults.get(lane.id)
    // While a lane fails, one request at a time tries it, so that few records are in doubt.
    const workers = fault === undefined ? this.#options.concurrency : 1
    const results = await Promise.allSettled(Array.from({ length: workers }, () => this.#work(lane, client, end)))
    for (const result of results) if (result.status === 'rejected') throw result.reason
  }

  async #work(lane: Lane, client: MeteringClient, end: AbortSignal): Promise<void> {
    const { ledger, now, pacer, requestTimeout } = this.#options
    const sendable = () => !end.aborted && !this.#paused(lane)
    while (sendable()) {
      await pacer.turn()
      if (!sendable()) return
      const claimedUntil = now() + requestTimeout + CLAIM_SLACK
      const records = await ledger.claim(lane, { now: now(), limit: MAX_RECORDS, claimedUntil })
      if (records.length === 0) return
      await this.#writeAnswers(await this.#send(lane, client, records))
    }
  }

  /**
   * Sends records and says what came of each. Where one of them makes AWS refuse all, the halves go by themselves,
   * down to the one. All of it counts as one attempt of each record: its outcome is known when the last answer is.
   */
  async #send(lane: Lane, client: MeteringClient, records: readonly MeteringRecord[]): Promise<Settlement[]> {
    const { now, report, requestTimeout, onConflict, pacer } = this.#options
    const begun = performance.now()
    const seconds = () => (performance.now() - begun) / 1000
    try {
      const result = await withTimeout(requestTimeout, abortSignal =>
        client.batchMeterUsage(requestFor(lane, records), { abortSignal }),
      )
      report({ type: 'request', lane, records: records.length, seconds: seconds() })
      const { answers, nonsense } = readAnswers(records, result)
      if (nonsense.length > 0) report({ type: 'nonsense', lane, message: nonsense.join('; ') })
      if (answers.some(answer => answer.said !== 'nothing')) this.#laneFaults.delete(lane.id)
      else this.#pause(lane, 'unknown')
      const repeated = (result?.$metadata?.attempts ?? 1) > 1
      return records.map((record, index) => {
        const answer = answers[index] ?? { said: 'nothing' as const }
        const terms = { retryAt: this.#retryAt(record), rollForward: onConflict === 'roll-forward', repeated }
        return { record, outcome: outcomeOf(answer, terms), answer: answer.said }
      })
    } catch (error) {
      const { fault, notTaken } = faultOf(error)
      report({ type: 'request', lane, records: records.length, seconds: seconds(), fault })
      const answer = describe(error)
      const refused = fault === 'refused' || fault === 'timestamp'
      if (refused && records.length > 1) {
        const middle = Math.ceil(records.length / 2)
        const settlements: Settlement[] = []
        for (const half of [records.slice(0, middle), records.slice(middle)]) {
          await pacer.turn()
          settlements.push(...(await this.#send(lane, client, half)))
        }
        return settlements
      }
      if (fault !== 'refused') report({ type: 'fault', lane, fault, message: answer })
      const pausedUntil = refused ? undefined : this.#pause(lane, fault)
      return records.map(record => {
        if (fault === 'refused') return { record, outcome: { type: 'refused' }, answer }
        // AWS's word that the time is wrong, of a record that is inside its window here, means that a clock is.
        const at = pausedUntil ?? now() + backoff(record.attempts, MEND_SHORTEST, MEND_LONGEST, this.#random)
        return { record, outcome: { type: 'retry', at, notTaken }, answer }
      })
    }
  }

  #retryAt(record: MeteringRecord): number {
    return this.#options.now() + backoff(record.attempts, RETRY_SHORTEST, RETRY_LONGEST, this.#random)
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
    try {
      const settled = await this.#options.ledger.settle(writing, this.#options.now())
      this.#options.report({ type: 'settled', records: settled })
    } catch (error) {
      this.#unwritten.unshift(...writing)
      throw error
    }
  }
}
