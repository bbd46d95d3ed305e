import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Account, CustomerAccount } from '../../usage/account.ts'
import { MAX_AMOUNT } from '../../usage/amount.ts'
import type { Tally, WaitingUsage } from '../../usage/customer.ts'
import { taggedAccount } from '../../usage/tagged-account.ts'
import { MissingBatchesError } from '../errors.ts'
import { hourOf } from '../hours.ts'
import type { Ledger, UsageBatch, UsageEntry } from '../ledger.ts'
import { firstMissing, isForgotten, type LostBatches, noteHealed, noteLoss } from './lost-batches.ts'
import { RecentBatches } from './recent-batches.ts'
import { newWriterId } from './writer-id.ts'

/** How many entries a batch has at most, since an engine in this process lets nothing else happen while it takes one. */
const MOST_ENTRIES = 10_000

/**
 * Brings usage into a ledger, each unit once, and keeps it while the ledger cannot take it. A batch whose outcome is
 * unknown is repeated verbatim under its own key, before any other; what comes meanwhile adds up behind it, one amount
 * for each series until the month turns, so that memory is bounded by the number of series and not by the length of an
 * outage. A large flush is several batches, with turns of the event loop between them. What the ledger has acknowledged and
 * lost again is brought in once more, as far as it is still here; see `openLoss`.
 */
export class UsageWriter {
  readonly #ledger: Ledger
  #writer = newWriterId()
  #sequence = 0
  /** In the order of their keys. The first may have been tried: then nobody knows whether the ledger has it. */
  #batches: UsageBatch[] = []
  /** What the ledger has acknowledged last, to be brought in again where it loses it. */
  readonly #recent = new RecentBatches()
  /** What it has lost of them, until those that were kept are there again and that is noted. */
  #lost: LostBatches | undefined
  /** Those with something waiting that is in no batch. */
  #waiting: Tally[] = []
  #keptBack: ReadonlySet<string> = new Set()
  #month = { start: Number.NaN, end: Number.NaN }
  #flushes: Promise<void> = Promise.resolve()

  constructor(ledger: Ledger) {
    this.#ledger = ledger
  }

  /**
   * Adds usage measured at `time`. Nothing is durable before `flush` resolves.
   *
   * @param tally where it waits: the same each time for the same account and dimension
   */
  add(account: Account, dimension: string, time: number, amount: bigint, tally: Tally): void {
    if (!(time >= this.#month.start && time < this.#month.end)) {
      // Usage is not to move to another month's bill.
      this.#makeBatches()
      this.#month = monthOf(time)
    }
    const hour = hourOf(time)
    const { waiting } = tally
    if (waiting === undefined) {
      tally.waiting = { account, dimension, hour, amount }
      this.#waiting.push(tally)
    } else {
      waiting.amount += amount
      waiting.hour = Math.max(waiting.hour, hour)
    }
  }

  /** Resolves when everything added before is durable. Rejects with the ledger's error; then it is all still here. */
  flush(): Promise<void> {
    const flush = this.#flushes.then(() => this.#flush())
    this.#flushes = flush.catch(() => {})
    return flush
  }

  /** Has usage of these dimensions wait here: the ledger would take it for something else. To be said before a flush. */
  keepBack(dimensions: ReadonlySet<string>): void {
    this.#keptBack = dimensions
    const isKept = ({ dimension }: UsageEntry) => dimensions.has(dimension)
    const kept = this.#batches.flatMap(({ entries }) => entries.filter(isKept))
    if (kept.length === 0) return
    // Batches are made before a flush where the month turns.
    this.#waiting.push(...kept.map(waiting => ({ source: 0, waiting })))
    const others = this.#batches.map(batch => ({ ...batch, entries: batch.entries.filter(entry => !isKept(entry)) }))
    this.#batches = others.filter(({ entries }) => entries.length > 0)
    this.#beginAnew()
  }

  /** Gives what waits here of an account to a customer: who it is has only now become known. To be said before a flush. */
  reassign(accountKey: string, customer: CustomerAccount): void {
    for (const tally of this.#waiting) {
      const { waiting, tags } = tally
      if (waiting?.account.key !== accountKey) continue
      tally.waiting = { ...waiting, account: tags === undefined ? customer : taggedAccount(customer, tags) }
    }
  }

  /** What is not in the ledger yet, as far as this process knows. */
  unwritten(): UsageEntry[] {
    const waiting = this.#waiting.map(tally => tally.waiting as WaitingUsage)
    return [...this.#batches.flatMap(batch => batch.entries), ...waiting]
  }

  async #flush(): Promise<void> {
    await this.#appendBatches()
    this.#makeBatches()
    await this.#appendBatches()
    if (this.#lost === undefined) return
    if (this.#lost.kept > 0) await noteHealed(this.#ledger, this.#lost)
    this.#lost = undefined
  }

  /** Asks the ledger whether it still has what it acknowledged, and brings in again what it has lost and is still here. */
  look(): Promise<void> {
    const look = this.#flushes.then(() => this.#look())
    this.#flushes = look.catch(() => {})
    return look
  }

  async #look(): Promise<void> {
    const { last } = this.#recent
    if (last === undefined) return
    const missing = await firstMissing(this.#ledger, last)
    if (missing === undefined) return
    await this.#miss(missing)
    await this.#flush()
  }

  /** Puts what the ledger has lost, from this sequence on, before what waits. Where some of it is gone, all gets new keys. */
  async #miss(from: number): Promise<void> {
    if (await isForgotten(this.#ledger, from, this.#recent.last)) {
      this.#recent.clear()
      this.#beginAnew()
      return
    }
    const [next] = this.#batches
    const { writer, sequence } = next ?? (this.#recent.last as UsageBatch)
    const to = next === undefined ? sequence : sequence - 1
    const kept = this.#recent.from(writer, from)
    const lost = { writer, from, to, kept: kept.length }
    await noteLoss(this.#ledger, lost)
    this.#lost = lost
    this.#recent.clear()
    this.#batches.unshift(...kept)
    if (kept.length < to - from + 1) this.#beginAnew()
  }

  #makeBatches(): void {
    const isKept = ({ waiting }: Tally) => this.#keptBack.has((waiting as WaitingUsage).dimension)
    const going = this.#keptBack.size === 0 ? this.#waiting : this.#waiting.filter(tally => !isKept(tally))
    const kept = this.#keptBack.size === 0 ? [] : this.#waiting.filter(isKept)
    let entries: UsageEntry[] = []
    const add = (entry: UsageEntry) => {
      if (entries.length === MOST_ENTRIES) entries = []
      if (entries.length === 0) {
        this.#sequence += 1
        this.#batches.push({ writer: this.#writer, sequence: this.#sequence, entries })
      }
      entries.push(entry)
    }
    for (const tally of going) {
      const waiting = take(tally)
      // What has added up to more than the ledger takes as one amount goes as several.
      for (; waiting.amount > MAX_AMOUNT; waiting.amount -= MAX_AMOUNT) add({ ...waiting, amount: MAX_AMOUNT })
      add(waiting)
    }
    this.#waiting = kept
  }

  async #appendBatches(): Promise<void> {
    const many = this.#batches.length > 1
    for (let batch = this.#batches[0]; batch !== undefined; batch = this.#batches[0]) {
      if (many) await wholeTurn()
      try {
        await this.#ledger.append(batch)
        this.#recent.add(batch)
        this.#batches.shift()
      } catch (error) {
        if (!(error instanceof MissingBatchesError)) throw error
        // It has refused the batch whole.
        await this.#miss(error.next)
      }
    }
  }

  /** Gives what is not in the ledger the keys of a new writer. */
  #beginAnew(): void {
    this.#writer = newWriterId()
    this.#batches = this.#batches.map(({ entries }, index) => ({ writer: this.#writer, sequence: index + 1, entries }))
    this.#sequence = this.#batches.length
  }
}

function take(tally: Tally): WaitingUsage {
  const waiting = tally.waiting as WaitingUsage
  tally.waiting = undefined
  return waiting
}

/** Lets everything else have its turn of the event loop. After one alone, timers may have had none. */
async function wholeTurn(): Promise<void> {
  await nextTurn()
  await nextTurn()
}

function monthOf(time: number): { start: number; end: number } {
  const date = new Date(time)
  const [year, month] = [date.getUTCFullYear(), date.getUTCMonth()]
  return { start: Date.UTC(year, month), end: Date.UTC(year, month + 1) }
}
