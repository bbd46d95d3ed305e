import type { UsageBatch } from '../ledger.ts'

/** How many batches are kept at most, and how many entries and points in them: some 5 MB. */
const MOST_BATCHES = 256
const MOST_ENTRIES = 50_000

/** The batches of a writer that its ledger has acknowledged last: what it loses of them can be brought in again. */
export class RecentBatches {
  #batches: UsageBatch[] = []
  #entries = 0

  add(batch: UsageBatch): void {
    this.#batches.push(batch)
    this.#entries += sizeOf(batch)
    // The last stays in any case: what it is the ledger is asked for.
    while (this.#batches.length > 1 && (this.#batches.length > MOST_BATCHES || this.#entries > MOST_ENTRIES)) {
      this.#entries -= sizeOf(this.#batches.shift() as UsageBatch)
    }
  }

  get last(): UsageBatch | undefined {
    return this.#batches.at(-1)
  }

  /** Those of a writer from a sequence on, in their order. */
  from(writer: string, sequence: number): UsageBatch[] {
    return this.#batches.filter(batch => batch.writer === writer && batch.sequence >= sequence)
  }

  clear(): void {
    this.#batches = []
    this.#entries = 0
  }
}

const sizeOf = ({ entries, observations = [] }: UsageBatch) => entries.length + observations.length
