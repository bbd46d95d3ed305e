import type { SharedClock } from '../ledger.ts'
import { LONGEST_ANSWER, MOST_ASKED } from '../steadiness.ts'

/** The time by which a ledger's hours are over, as this process knows it between two looks at the ledger. */
export class LedgerClock {
  readonly #shared: SharedClock
  readonly #here: () => number
  #ahead = 0

  /** @param here this process's clock, in milliseconds since the epoch */
  constructor(shared: SharedClock, here: () => number) {
    this.#shared = shared
    this.#here = here
  }

  /** Whole milliseconds since the epoch. */
  readonly now = (): number => Math.floor(this.#here() + this.#ahead)

  /** How far the ledger's clock is ahead of this process's, in milliseconds; 0 where it has none of its own. */
  get ahead(): number {
    return this.#ahead
  }

  async sync(): Promise<void> {
    for (let asked = 1; ; asked += 1) {
      const before = this.#here()
      const there = await this.#shared.now(before)
      const after = this.#here()
      // Where this process was stopped meanwhile, nobody knows when the answer was true.
      if (after - before > LONGEST_ANSWER && asked < MOST_ASKED) continue
      // An answer that took a while is of about its middle.
      this.#ahead = there === before ? 0 : there - (before + after) / 2
      return
    }
  }
}
