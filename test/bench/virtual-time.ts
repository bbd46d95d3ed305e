import { syncBuiltinESMExports } from 'node:module'
import timers, { type setTimeout as Sleep } from 'node:timers/promises'

/**
 * Time that goes on when nothing is under way any more but waiting: what takes hours is over in seconds. What else this
 * process does asynchronously is not seen, so that more time may go by than in life, and not less.
 */
export class VirtualTime {
  #now: number
  #underWay = 0
  #waiting: { readonly at: number; readonly wake: () => void; readonly ref: boolean }[] = []
  #turning = false

  /** @param begin milliseconds since the epoch */
  constructor(begin: number) {
    this.#now = begin
  }

  readonly now = (): number => Math.ceil(this.#now)

  /** From here on all of this process that sleeps or takes the time does so in it. */
  rule(): void {
    timers.setTimeout = ((milliseconds, value, { signal, ref } = {}) =>
      new Promise((resolve, reject) => {
        signal?.addEventListener('abort', () => reject(signal.reason), { once: true })
        this.sleep(milliseconds ?? 0, ref).then(() => resolve(value as never))
      })) as typeof Sleep
    performance.now = this.now
    syncBuiltinESMExports()
  }

  /** @param ref whether time goes on for it, and not only by it */
  async sleep(milliseconds: number, ref = true): Promise<void> {
    const at = this.#now + milliseconds
    await new Promise<void>(wake => {
      const place = this.#waiting.findLastIndex(one => one.at <= at) + 1
      this.#waiting.splice(place, 0, { at, wake, ref })
      this.#turn()
    })
  }

  /** Does something for which time stands still. */
  async whileItStands<Result>(work: () => Promise<Result>): Promise<Result> {
    this.#underWay += 1
    try {
      return await work()
    } finally {
      this.#underWay -= 1
      this.#turn()
    }
  }

  #turn(): void {
    if (this.#turning) return
    this.#turning = true
    // All that follows from the last step comes before the next one.
    setImmediate(() => {
      this.#turning = false
      if (this.#underWay > 0 || !this.#waiting.some(({ ref }) => ref)) return
      const next = this.#waiting.shift()
      if (next === undefined) return
      this.#now = Math.max(this.#now, next.at)
      next.wake()
      this.#turn()
    })
  }
}
