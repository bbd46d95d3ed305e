import type { Ledger } from '../ledger.ts'

/** The time by which a ledger's hours are over, as this process knows it between two looks at the ledger. */
export class LedgerClock {
  readonly #ledger: Ledger
  readonly #here: () => number
  #ahead = 0

  /** @param here this process's clock, in milliseconds since the epoch */
  constructor(ledger: Ledger, here: () => number) {
    this.#ledger = ledger
    this.#here = here
  }

  /** Whole milliseconds since the epoch. */
  readonly now = (): number => Math.floor(this.#here() + this.#ahead)

  async sync(): Promise<void> {
    const before = this.#here()
    const there = await this.#ledger.now(before)
    // An answer that took a while is of about its middle.
    this.#ahead = there === before ? 0 : there - (before + this.#here()) / 2
  }
}
