import { SimulatorConfigurationError } from './errors.ts'

/** A bucket of tokens for each operation and region: full at first, refilled while time passes. */
export class Quota {
  #perSecond = Number.POSITIVE_INFINITY
  readonly #buckets = new Map<string, { tokens: number; at: number }>()

  /** Requests a second; `null` is no limit. */
  get perSecond(): number | null {
    return Number.isFinite(this.#perSecond) ? this.#perSecond : null
  }

  set perSecond(value: number | null) {
    if (value !== null && !(value > 0)) {
      throw new SimulatorConfigurationError(`quota: Expected a number above 0, or null for none, but received ${value}`)
    }
    this.#perSecond = value ?? Number.POSITIVE_INFINITY
    this.#buckets.clear()
  }

  /**
   * Whether the bucket of this name has a token for one more request.
   *
   * @param elapsed the milliseconds that have passed since some beginning
   */
  take(name: string, elapsed: number): boolean {
    if (this.#perSecond === Number.POSITIVE_INFINITY) return true
    const capacity = Math.max(1, this.#perSecond)
    let bucket = this.#buckets.get(name)
    if (bucket === undefined) {
      bucket = { tokens: capacity, at: elapsed }
      this.#buckets.set(name, bucket)
    }
    // A source that is turned back refills nothing.
    const since = Math.max(0, elapsed - bucket.at)
    bucket.tokens = Math.min(capacity, bucket.tokens + (since * this.#perSecond) / 1000)
    bucket.at = elapsed
    if (bucket.tokens < 1) return false
    bucket.tokens -= 1
    return true
  }
}
