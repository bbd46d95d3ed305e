import type { Attributes } from '@opentelemetry/api'

/** How many sets of attributes are known, and of how many bytes, both at most twice over; how many one may take. */
const MOST = 50_000
const MOST_BYTES = 8 * 1024 * 1024
const LONGEST = 512

/**
 * Sets of attributes that were decoded before, by their bytes. Most senders send the same ones again and again: they are
 * then the same object, which nobody may change. What does not come again while others come is forgotten.
 */
export class KnownAttributes {
  #young = new Map<string, Attributes>()
  #old = new Map<string, Attributes>()
  /** Of the young ones. */
  #bytes = 0

  get(bytes: string): Attributes | undefined {
    const young = this.#young.get(bytes)
    if (young !== undefined || this.#old.size === 0) return young
    const old = this.#old.get(bytes)
    if (old !== undefined) this.set(bytes, old)
    return old
  }

  set(bytes: string, attributes: Attributes): void {
    if (bytes.length > LONGEST) return
    if (this.#young.size >= MOST || this.#bytes > MOST_BYTES) {
      this.#old = this.#young
      this.#young = new Map()
      this.#bytes = 0
    }
    this.#bytes += bytes.length
    this.#young.set(bytes, attributes)
  }
}
