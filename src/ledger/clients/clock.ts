import type { SharedClock } from '../ledger.ts'
import { askTime } from '../steadiness.ts'

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
    const { there, asked, answered } = await askTime(here => this.#shared.now(here), this.#here)
    // An answer that took a while is of about its middle.
    this.#ahead = there === asked ? 0 : there - (asked + answered) / 2
  }
}
