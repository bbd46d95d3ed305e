/**
 * A map of what was used lately, for what can be found again: it keeps at least the last `most` keys that were used, and
 * at most twice as many.
 */
export class RecentMap<Key, Value> {
  readonly #most: number
  #recent = new Map<Key, Value>()
  #before = new Map<Key, Value>()

  constructor(most: number) {
    this.#most = most
  }

  get(key: Key): Value | undefined {
    const value = this.#recent.get(key)
    return value === undefined && this.#before.size > 0 ? this.#again(key) : value
  }

  set(key: Key, value: Value): void {
    if (this.#recent.size >= this.#most && !this.#recent.has(key)) {
      this.#before = this.#recent
      this.#recent = new Map()
    }
    this.#recent.set(key, value)
  }

  clear(): void {
    this.#recent.clear()
    this.#before.clear()
  }

  #again(key: Key): Value | undefined {
    const value = this.#before.get(key)
    if (value !== undefined) this.set(key, value)
    return value
  }
}
