import type { Attributes } from '@opentelemetry/api'

/** How many sets of attributes are known, and of how many characters, both at most twice over; how many one may take. */
const MOST = 50_000
const MOST_CHARACTERS = 8 * 1024 * 1024
const LONGEST = 1024

/**
 * Sets of attributes that were decoded before, by how they were written. Most senders send the same ones again and again:
 * they are then the same object, which nobody may change. What does not come again while others come is forgotten.
 */
export class KnownAttributes {
  #young = new Map<string, Attributes>()
  #old = new Map<string, Attributes>()
  /** Of the young ones. */
  #characters = 0

  get(written: string): Attributes | undefined {
    const young = this.#young.get(written)
    if (young !== undefined || this.#old.size === 0) return young
    const old = this.#old.get(written)
    if (old !== undefined) this.set(written, old)
    return old
  }

  set(written: string, attributes: Attributes): void {
    if (written.length > LONGEST) return
    if (this.#young.size >= MOST || this.#characters > MOST_CHARACTERS) {
      this.#old = this.#young
      this.#young = new Map()
      this.#characters = 0
    }
    this.#characters += written.length
    this.#young.set(written, attributes)
  }
}
