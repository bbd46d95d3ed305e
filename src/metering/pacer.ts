import { setTimeout as sleep } from 'node:timers/promises'

/** Time as a pacer needs it: not the usage's time, but that of this process and of the network. */
export interface PacerClock {
  /** Milliseconds since any instant. */
  now(): number
  sleep(milliseconds: number): Promise<void>
}

const monotonic: PacerClock = {
  now: () => performance.now(),
  // A wait for AWS must not keep a program alive that is done.
  sleep: milliseconds => sleep(milliseconds, undefined, { ref: false }),
}

/** Takes turns for all who share the quota. Returns how long it is to the first of them, in milliseconds. */
export type TakeTurns = (region: string, turns: number, spacing: number) => Promise<number>

/** How many turns are taken at once while there is much to send. Those that are not used are lost to the others. */
const MOST_AT_ONCE = 8

interface Turns {
  /** How many are taken and not used. */
  left: number
  /** When the first of them is. */
  next: number
  /** How many were taken at last. */
  taken: number
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
  readonly #regions = new Map<string, Turns>()

  /**
   * @param requestsPerSecond AWS takes 10 for an account and region
   * @param take where other processes share them
   */
  constructor(requestsPerSecond: number, clock: PacerClock = monotonic, take?: TakeTurns) {
    this.#spacing = 1000 / requestsPerSecond
    this.#clock = clock
    this.#take = take
  }

  /** Waits for the next turn. */
  async turn(region = ''): Promise<void> {
    if (this.#spacing === 0) return
    let turns = this.#regions.get(region)
    if (turns === undefined) {
      turns = { left: 0, next: Number.NEGATIVE_INFINITY, taken: 0, busy: Promise.resolve() }
      this.#regions.set(region, turns)
    }
    const turn = turns.busy.then(() => this.#next(region, turns))
    turns.busy = turn.then(
      () => {},
      () => {},
    )
    const at = await turn
    const now = this.#clock.now()
    if (at > now) await this.#clock.sleep(at - now)
  }

  /** Uses the first turn that has not gone by. */
  async #next(region: string, turns: Turns): Promise<number> {
    const now = this.#clock.now()
    const gone = Math.min(turns.left, Math.max(0, Math.floor((now - turns.next) / this.#spacing)))
    turns.left -= gone
    turns.next += gone * this.#spacing
    if (turns.left === 0) await this.#takeMore(region, turns, gone > 0)
    const at = turns.next
    turns.left -= 1
    turns.next += this.#spacing
    return at
  }

  async #takeMore(region: string, turns: Turns, someWereLost: boolean): Promise<void> {
    if (this.#take === undefined) {
      turns.next = Math.max(turns.next, this.#clock.now())
      turns.left = 1
      return
    }
    turns.taken = someWereLost || turns.taken === 0 ? 1 : Math.min(turns.taken * 2, MOST_AT_ONCE)
    const wait = await this.#take(region, turns.taken, this.#spacing)
    turns.next = this.#clock.now() + wait
    turns.left = turns.taken
  }
}
