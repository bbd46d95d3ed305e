import { HOUR, MINUTE } from '../../ledger/hours.ts'
import type { Lane } from '../../ledger/ledger.ts'
import type { CycleEvent } from '../../metering/cycle.ts'
import { describe, type Trouble } from '../../metering/faults.ts'

const MINUTES = 60

/** What fails is tried again within a quarter of an hour; who is not, has nothing to send any more. */
const TROUBLE_OVER = HOUR

/** A product and region for which requests to AWS fail. */
export interface LaneTrouble {
  readonly product: string
  readonly region: string
  readonly fault: Trouble
  readonly message: string
  /** Milliseconds since the epoch. */
  readonly since: number
}

export interface Pass {
  readonly endedAt: number
  readonly milliseconds: number
  readonly error?: string
}

/** What this process has done lately, for the status page: in memory, of bounded size, and gone with the process. */
export class Activity {
  readonly #now: () => number
  readonly #startedAt: number
  readonly #points: PerMinute
  readonly #records: PerMinute
  readonly #troubles = new Map<string, LaneTrouble & { readonly seenAt: number }>()
  #received: { readonly at: number; readonly lag?: number } | undefined
  #goodPassAt: number
  #lastPass: Pass | undefined

  constructor(now: () => number) {
    this.#now = now
    this.#startedAt = now()
    this.#goodPassAt = this.#startedAt
    this.#points = new PerMinute(now)
    this.#records = new PerMinute(now)
  }

  /** The ledger has acknowledged what a request brought. `youngest` is the time of its youngest data point. */
  received(points: number, youngest?: number): void {
    const at = this.#now()
    this.#points.add(points)
    this.#received = { at, ...(youngest !== undefined && { lag: Math.max(0, at - youngest) }) }
  }

  /** A metering pass that began at `begunAt` has ended, with `error` where it failed. */
  passed(begunAt: number, error?: unknown): void {
    const endedAt = this.#now()
    this.#lastPass = {
      endedAt,
      milliseconds: Math.max(0, endedAt - begunAt),
      ...(error !== undefined && { error: describe(error) }),
    }
    if (error === undefined) this.#goodPassAt = endedAt
  }

  /** What the metering cycle reports. */
  cycle(event: CycleEvent): void {
    switch (event.type) {
      case 'request':
        if (event.fault === undefined) this.#troubles.delete(event.lane.id)
        return
      case 'fault':
        this.#trouble(event.lane, event.fault, event.message)
        return
      case 'nonsense':
        this.#trouble(event.lane, 'nonsense', event.message)
        return
      case 'no-client':
        this.#trouble(event.lane, 'no-client', `There is no client for region ${event.lane.region}.`)
        return
      case 'settled':
        this.#records.add(event.records.filter(({ state }) => state === 'metered').length)
    }
  }

  #trouble({ id, product, region }: Lane, fault: Trouble, message: string): void {
    const seenAt = this.#now()
    const since = this.#troubles.get(id)?.since ?? seenAt
    this.#troubles.set(id, { product, region, fault, message, since, seenAt })
  }

  passes(): { sinceGoodPass: number; lastPass: Pass | undefined } {
    return { sinceGoodPass: Math.max(0, this.#now() - this.#goodPassAt), lastPass: this.#lastPass }
  }

  troubles(): LaneTrouble[] {
    for (const [id, { seenAt }] of this.#troubles) {
      if (this.#now() - seenAt > TROUBLE_OVER) this.#troubles.delete(id)
    }
    return [...this.#troubles.values()].map(({ seenAt: _, ...trouble }) => trouble)
  }

  figures() {
    return {
      startedAt: this.#startedAt,
      lastReceived: this.#received,
      points: this.#points.minutes(),
      records: this.#records.minutes(),
    }
  }
}

/** Counts of the last hour's minutes. */
class PerMinute {
  readonly #now: () => number
  readonly #counts = new Array<number>(MINUTES).fill(0)
  #minute: number

  constructor(now: () => number) {
    this.#now = now
    this.#minute = Math.floor(now() / MINUTE)
  }

  add(count: number): void {
    this.#turn()
    this.#counts.push((this.#counts.pop() ?? 0) + count)
  }

  /** The oldest first; the last is the present one. */
  minutes(): readonly number[] {
    this.#turn()
    return [...this.#counts]
  }

  /** A clock that was set back counts into the minute that was the last. */
  #turn(): void {
    const minute = Math.floor(this.#now() / MINUTE)
    const passed = Math.min(MINUTES, Math.max(0, minute - this.#minute))
    for (let turn = 0; turn < passed; turn++) {
      this.#counts.shift()
      this.#counts.push(0)
    }
    this.#minute = minute
  }
}
