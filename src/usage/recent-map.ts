/**
 * A map of what was used lately, for what can be found again: it keeps at least the last `most` keys that were used, and
 * at most twice as many. Where they are of different sizes, `most` is the sum of those.
 */
export class RecentMap<Key, Value> {
  readonly #most: number
  readonly #sizeOf: (value: Value) => number
  #recent = new Map<Key, Value>()
  #before = new Map<Key, Value>()
  /** Of the recent ones, as they were when they were set. */
  #size = 0

  /** @param sizeOf what a value takes of `most`, 1 by default */
  constructor(most: number, sizeOf: (value: Value) => number = () => 1) {
    this.#most = most
    this.#sizeOf = sizeOf
  }

  get(key: Key): Value | undefined {
    const value = this.#recent.get(key)
    return value === undefined && this.#before.size > 0 ? this.#again(key) : value
  }

  set(key: Key, value: Value): void {
    const known = this.#recent.get(key)
    if (known !== undefined) this.#size -= this.#sizeOf(known)
    else if (this.#size >= this.#most) {
      this.#before = this.#recent
      this.#recent = new Map()
      this.#size = 0
    }
    this.#recent.set(key, value)
    this.#size += this.#sizeOf(value)
  }

  delete(key: Key): void {
    const known = this.#recent.get(key)
    if (known !== undefined) this.#size -= this.#sizeOf(known)
    this.#recent.delete(key)
    this.#before.delete(key)
  }

  clear(): void {
    this.#recent.clear()
    this.#before.clear()
    this.#size = 0
  }

  #again(key: Key): Value | undefined {
    const value = this.#before.get(key)
    if (value !== undefined) this.set(key, value)
    return value
  }
}
