export interface CachedValueOptions {
  /** Milliseconds since the epoch. */
  readonly now: () => number
  /** How long a value is good for at least, in milliseconds. */
  readonly lifetime: number
  /** The share of the time that reading may take, up to 1: a value that was dear is good for longer. */
  readonly share: number
}

/** A value that is read when somebody asks for it and the last one is old. Whoever asks meanwhile waits for the same. */
export class CachedValue<Value> {
  readonly #read: () => Promise<Value>
  readonly #options: CachedValueOptions
  #last: { readonly value: Value; readonly at: number; readonly until: number } | undefined
  #reading: Promise<Value> | undefined

  constructor(read: () => Promise<Value>, options: CachedValueOptions) {
    this.#read = read
    this.#options = options
  }

  get(): Promise<Value> {
    const now = this.#options.now()
    // A clock that was set back makes nothing last for ever.
    if (this.#last !== undefined && now < this.#last.until && now >= this.#last.at) {
      return Promise.resolve(this.#last.value)
    }
    this.#reading ??= this.#refresh().finally(() => {
      this.#reading = undefined
    })
    return this.#reading
  }

  async #refresh(): Promise<Value> {
    const { now, lifetime, share } = this.#options
    const begun = performance.now()
    const value = await this.#read()
    const cost = performance.now() - begun
    const at = now()
    this.#last = { value, at, until: at + Math.max(lifetime, cost / share) }
    return value
  }
}
