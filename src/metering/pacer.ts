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

/**
 * Spaces requests evenly, so that no second ever has more of them than AWS takes: a bucket with a single token. It
 * has to follow a clock that can be injected and hand out turns one at a time, which the kept libraries do not.
 */
export class Pacer {
  readonly #spacing: number
  readonly #clock: PacerClock
  #nextTurn = Number.NEGATIVE_INFINITY

  /** @param requestsPerSecond AWS takes 10 for an account and region */
  constructor(requestsPerSecond: number, clock: PacerClock = monotonic) {
    this.#spacing = 1000 / requestsPerSecond
    this.#clock = clock
  }

  /** Waits for the next turn. */
  async turn(): Promise<void> {
    const now = this.#clock.now()
    const turn = Math.max(now, this.#nextTurn)
    this.#nextTurn = turn + this.#spacing
    if (turn > now) await this.#clock.sleep(turn - now)
  }
}
