import { SimulatorConfigurationError } from './errors.ts'

/** A bucket of tokens for each caller: full at first, refilled by the simulator's clock. */
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

  /** Whether `caller` may make one more request at `now` (milliseconds). */
  take(caller: string, now: number): boolean {
    if (this.#perSecond === Number.POSITIVE_INFINITY) return true
    const capacity = Math.max(1, this.#perSecond)
    let bucket = this.#buckets.get(caller)
    if (bucket === undefined) {
      bucket = { tokens: capacity, at: now }
      this.#buckets.set(caller, bucket)
    }
    // A clock that was turned back refills nothing.
    const elapsed = Math.max(0, now - bucket.at)
    bucket.tokens = Math.min(capacity, bucket.tokens + (elapsed * this.#perSecond) / 1000)
    bucket.at = now
    if (bucket.tokens < 1) return false
    bucket.tokens -= 1
    return true
  }
}
