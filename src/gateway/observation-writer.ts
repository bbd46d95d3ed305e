import { newWriterId } from '../ledger/clients/writer-id.ts'
import type { Ledger, Observation } from '../ledger/ledger.ts'

/**
 * Brings points of others' counters into a ledger, those of many requests in one batch while the one before is being
 * written. Unlike usage they are not kept where the ledger fails: whoever sent them is told so and sends them again, and
 * a point that the ledger took all the same counts once.
 */
export class ObservationWriter {
  readonly #ledger: Ledger
  #writer = newWriterId()
  #sequence = 0
  #waiting: Observation[] = []
  #gathering: Promise<void> | undefined
  #writing: Promise<void> = Promise.resolve()

  constructor(ledger: Ledger) {
    this.#ledger = ledger
  }

  /** Resolves when they are durable. Rejects with the ledger's error when they may not be. */
  write(observations: readonly Observation[]): Promise<void> {
    for (const observation of observations) this.#waiting.push(observation)
    if (this.#gathering === undefined) {
      this.#gathering = this.#writing.then(() => this.#append())
      this.#writing = this.#gathering.catch(() => {})
    }
    return this.#gathering
  }

  async #append(): Promise<void> {
    const observations = this.#waiting
    this.#waiting = []
    this.#gathering = undefined
    try {
      await this.#ledger.append({ writer: this.#writer, sequence: this.#sequence + 1, entries: [], observations })
      this.#sequence += 1
    } catch (error) {
      // Whether its key is used is not known, and no batch is to come twice under one.
      this.#writer = newWriterId()
      this.#sequence = 0
      throw error
    }
  }
}
