import { setTimeout as sleep } from 'node:timers/promises'

/** Time as a pacer needs it: not the usage's time, but that of this process and of the network. */
export interface PacerClock {
  /** Milliseconds since any instant. */
  now(): number
  /** Resolves earlier where `signal` is aborted. */
  sleep(milliseconds: number, signal?: AbortSignal): Promise<void>
}

const monotonic: PacerClock = {
  now: () => performance.now(),
  // A wait for AWS must not keep a program alive that is done.
  sleep: (milliseconds, signal) => sleep(milliseconds, undefined, { ref: false, signal }).catch(() => {}),
}

/**
 * Takes turns for all who share the quota. Returns how long it is to the first of them, in milliseconds; undefined where
 * there are none now.
 */
export type TakeTurns = (region: string, turns: number, spacing: number) => Promise<number | undefined>

/** How many turns are taken at once while there is much to send. Those that are not used are lost to the others. */
const MOST_AT_ONCE = 8
/** After so long, in milliseconds, or up to twice as long, it is asked again where there were none. */
const ASK_AGAIN = 30_000

interface Turns {
  /** How many are taken and not used. */
  left: number
  /** When the first of them is. */
  next: number
  /** How many were taken at last. */
  taken: number
  /** Those that somebody did not wait for. */
  spare: number[]
  /** Until when there are none. */
  noneUntil: number
  /** Ends when nobody looks at these any more. */
  busy: Promise<void>
}

/**
 * Spaces requests evenly, so that no second ever has more of them than AWS takes: a bucket with a single token, for
 * each region. It has to follow a clock that can be injected, hand out turns one at a time and share them with other
 * processes, which the kept libraries do not.
 */
export class Pacer {
  readonly #spacing: number
  readonly #clock: PacerClock
  readonly #take: TakeTurns | undefined
  readonly #random: () => number
  readonly #regions = new Map<string, Turns>()

  /**
   * @param requestsPerSecond AWS takes 10 for an account and region
   * @param take where other processes share them
   */
  constructor(requestsPerSecond: number, clock: PacerClock = monotonic, take?: TakeTurns, random = Math.random) {
    this.#spacing = 1000 / requestsPerSecond
    this.#clock = clock
    this.#take = take
    this.#random = random
  }

  /** Waits for the next turn, or until `signal` is aborted: then the turn is for who asks next. */
  async turn(region = '', signal?: AbortSignal): Promise<void> {
    if (this.#spacing === 0) return
    let turns = this.#regions.get(region)
    if (turns === undefined) {
      const never = Number.NEGATIVE_INFINITY
      turns = { left: 0, next: never, taken: 0, spare: [], noneUntil: never, busy: Promise.resolve() }
      this.#regions.set(region, turns)
    }
    const turn = turns.busy.then(() => this.#next(region, turns, signal))
    turns.busy = turn.then(
      () => {},
      () => {},
    )
    const at = await turn
    if (at === undefined) return
    const now = this.#clock.now()
    if (at > now) await this.#clock.sleep(at - now, signal)
    if (signal?.aborted) turns.spare.push(at)
  }

  /** Uses the first turn that has not gone by. Undefined where `signal` is aborted before there is one. */
  async #next(region: string, turns: Turns, signal: AbortSignal | undefined): Promise<number | undefined> {
    const now = this.#clock.now()
    turns.spare = turns.spare.filter(at => at >= now).sort((one, other) => one - other)
    const spare = turns.spare.shift()
    if (spare !== undefined) return spare
    const gone = Math.min(turns.left, Math.max(0, Math.floor((now - turns.next) / this.#spacing)))
    turns.left -= gone
    turns.next += gone * this.#spacing
    if (turns.left === 0) await this.#takeMore(region, turns, gone > 0, signal)
    if (turns.left === 0) return undefined
    const at = turns.next
    turns.left -= 1
    turns.next += this.#spacing
    return at
  }

  /** Asks until there are some, or `signal` is aborted. */
  async #takeMore(region: string, turns: Turns, someWereLost: boolean, signal: AbortSignal | undefined): Promise<void> {
    if (this.#take === undefined) {
      turns.next = Math.max(turns.next, this.#clock.now())
      turns.left = 1
      return
    }
    turns.taken = someWereLost || turns.taken === 0 ? 1 : Math.min(turns.taken * 2, MOST_AT_ONCE)
    for (;;) {
      const none = turns.noneUntil - this.#clock.now()
      if (none > 0) await this.#clock.sleep(none, signal)
      if (signal?.aborted) return
      const wait = await this.#take(region, turns.taken, this.#spacing)
      if (wait !== undefined) {
        turns.next = this.#clock.now() + wait
        turns.left = turns.taken
        return
      }
      turns.noneUntil = this.#clock.now() + ASK_AGAIN * (1 + this.#random())
    }
  }
}
