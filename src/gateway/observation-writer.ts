import { setImmediate as nextTurn } from 'node:timers/promises'
import { firstMissing, isForgotten, noteHealed, noteLoss } from '../ledger/clients/lost-batches.ts'
import { RecentBatches } from '../ledger/clients/recent-batches.ts'
import { newWriterId } from '../ledger/clients/writer-id.ts'
import { LedgerError, MissingBatchesError } from '../ledger/errors.ts'
import type { Ledger, Observation, UsageBatch } from '../ledger/ledger.ts'

/** How many points a batch has at most. */
const MOST_POINTS = 10_000

/** A point that no ledger can take, whenever it comes. */
export interface RefusedObservation {
  readonly observation: Observation
  readonly error: Error
}

interface Request {
  readonly observations: readonly Observation[]
  readonly resolve: (refused: readonly RefusedObservation[]) => void
  readonly reject: (error: unknown) => void
}

/**
 * Brings points of others' counters into a ledger, those of many requests in one batch while the one before is being
 * written. Unlike usage they are not kept where the ledger fails: whoever sent them is told so and sends them again, and
 * a point that the ledger took all the same counts once.
 */
export class ObservationWriter {
  readonly #ledger: Ledger
  /** What the ledger has acknowledged last, to be brought in again where it loses it. */
  readonly #recent = new RecentBatches()
  #writer = newWriterId()
  #sequence = 0
  #waiting: Request[] = []
  #gathering: Promise<void> | undefined
  #writing: Promise<void> = Promise.resolve()

  constructor(ledger: Ledger) {
    this.#ledger = ledger
  }

  /**
   * Resolves when they are durable, but for those that it returns. Rejects with the ledger's error when they may not be.
   */
  write(observations: readonly Observation[]): Promise<readonly RefusedObservation[]> {
    const { promise, resolve, reject } = Promise.withResolvers<readonly RefusedObservation[]>()
    this.#waiting.push({ observations, resolve, reject })
    if (this.#gathering === undefined) {
      // What comes at the same time by other connections is read first: waiting for the disk takes longer than most work.
      this.#gathering = this.#writing.then(() => nextTurn()).then(() => this.#turn())
      this.#writing = this.#gathering
    }
    return promise
  }

  /** Asks the ledger whether it still has what it acknowledged, and brings in again what it has lost and is still here. */
  look(): Promise<void> {
    const look = this.#writing.then(() => this.#look())
    this.#writing = look.catch(() => {})
    return look
  }

  async #look(): Promise<void> {
    const { last } = this.#recent
    if (last === undefined) return
    const missing = await firstMissing(this.#ledger, last)
    if (missing !== undefined) await this.#heal(missing)
  }

  /** Brings in again those from a sequence on. Where some of them are gone, which deltas then are lost with, under new keys. */
  async #heal(from: number): Promise<void> {
    if (await isForgotten(this.#ledger, from, this.#recent.last)) {
      this.#renamed([])
      return
    }
    const { writer, sequence: to } = this.#recent.last as UsageBatch
    let kept = this.#recent.from(writer, from)
    const lost = { writer, from, to, kept: kept.length }
    await noteLoss(this.#ledger, lost)
    if (kept.length < to - from + 1) kept = this.#renamed(kept)
    for (const batch of kept) await this.#ledger.append(batch)
    if (kept.length > 0) await noteHealed(this.#ledger, lost)
  }

  #renamed(batches: readonly UsageBatch[]): UsageBatch[] {
    this.#writer = newWriterId()
    this.#sequence = batches.length
    this.#recent.clear()
    const renamed = batches.map((batch, index) => ({ ...batch, writer: this.#writer, sequence: index + 1 }))
    for (const batch of renamed) this.#recent.add(batch)
    return renamed
  }

  /** What one request brought is not to be in the way of others': where all cannot be written, each is by itself. */
  async #turn(): Promise<void> {
    const requests = this.#waiting
    this.#waiting = []
    this.#gathering = undefined
    try {
      const [first, ...others] = requests as [Request, ...Request[]]
      await this.#append(
        others.length === 0 ? first.observations : requests.flatMap(({ observations }) => observations),
      )
      for (const { resolve } of requests) resolve([])
    } catch (error) {
      if (isAway(error)) for (const { reject } of requests) reject(error)
      else for (const request of requests) await this.#alone(request)
    }
  }

  async #alone({ observations, resolve, reject }: Request): Promise<void> {
    try {
      resolve(await this.#divide(observations))
    } catch (error) {
      reject(error)
    }
  }

  /** Writes what can be written of them, and finds those that cannot. */
  async #divide(observations: readonly Observation[]): Promise<RefusedObservation[]> {
    try {
      await this.#append(observations)
      return []
    } catch (error) {
      if (isAway(error)) throw error
      const [observation] = observations
      if (observations.length === 1 && observation !== undefined) {
        // A fault that is none of the point's comes again as what it is, and so does its sender.
        if (isOfPoint(error)) return [{ observation, error: error as Error }]
        throw error
      }
      const half = observations.length >> 1
      const first = await this.#settled(observations.slice(0, half))
      const second = await this.#settled(observations.slice(half))
      for (const part of [first, second]) if (!Array.isArray(part)) throw part.error
      return [...(first as RefusedObservation[]), ...(second as RefusedObservation[])]
    }
  }

  /** So that a fault in one half keeps nothing of the other from the ledger. */
  async #settled(observations: readonly Observation[]): Promise<RefusedObservation[] | { readonly error: unknown }> {
    try {
      return await this.#divide(observations)
    } catch (error) {
      return { error }
    }
  }

  /** In parts, so that an engine in this process lets others be answered between them, and memory stays small. */
  async #append(observations: readonly Observation[]): Promise<void> {
    if (observations.length <= MOST_POINTS) return await this.#appendPart(observations)
    for (let first = 0; first < observations.length; first += MOST_POINTS) {
      await this.#appendPart(observations.slice(first, first + MOST_POINTS))
      await nextTurn()
    }
  }

  async #appendPart(observations: readonly Observation[]): Promise<void> {
    try {
      await this.#appendNext(observations).catch(async error => {
        if (!(error instanceof MissingBatchesError)) throw error
        await this.#heal(error.next)
        await this.#appendNext(observations)
      })
    } catch (error) {
      // Whether its key is used is not known, and no batch is to come twice under one.
      this.#writer = newWriterId()
      this.#sequence = 0
      throw error
    }
  }

  async #appendNext(observations: readonly Observation[]): Promise<void> {
    const batch = { writer: this.#writer, sequence: this.#sequence + 1, entries: [], observations }
    await this.#ledger.append(batch)
    this.#sequence += 1
    this.#recent.add(batch)
  }
}

/** Whether the ledger cannot take anything now, whatever it is given. */
function isAway(error: unknown): boolean {
  return error instanceof LedgerError && !OF_WHAT_IS_GIVEN.has(error.code)
}

/** `ERR_LEDGER_EQUATION` is a fault of ours with one series: others are not to wait for it. */
const OF_WHAT_IS_GIVEN = new Set(['ERR_LEDGER_INVALID', 'ERR_LEDGER_EQUATION'])

/** Whether it is the point that is at fault. Of any other error its sender is to come back: it may be ours. */
function isOfPoint(error: unknown): boolean {
  return error instanceof LedgerError && error.code === 'ERR_LEDGER_INVALID'
}
