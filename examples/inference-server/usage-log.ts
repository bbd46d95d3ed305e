import type { ApiCustomer } from './api-keys.ts'
import type { Usage } from './usage.ts'

const size = 10_000

export interface UsageLogEntry {
  readonly customer: ApiCustomer
  /** Undefined when the request came to nothing and is not billed. */
  readonly usage: Promise<Usage | undefined>
}

/** The usage of the last requests by their ids, for clients that left before they were told. */
export class UsageLog {
  readonly #entries = new Map<string, UsageLogEntry>()

  /** Returns the function that says what came of it. */
  open(id: string, customer: ApiCustomer): (usage: Usage | undefined) => void {
    const { promise, resolve } = Promise.withResolvers<Usage | undefined>()
    this.#entries.set(id, { customer, usage: promise })
    // A Map keeps the order of insertion: the first is the oldest.
    if (this.#entries.size > size) this.#entries.delete(this.#entries.keys().next().value as string)
    return resolve
  }

  find(id: string): UsageLogEntry | undefined {
    return this.#entries.get(id)
  }
}
