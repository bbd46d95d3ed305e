/**
 * DynamoDB's clock, as the `Date` of its answers tells it: in whole seconds, of some instant between the request and
 * the answer. What all answers agree on is narrower than a second.
 */
export class EngineClock {
  readonly #here: () => number
  readonly #instead: (() => number) | undefined
  /** How far it is ahead of this process's clock, in milliseconds: at least and at most. */
  #least = Number.NEGATIVE_INFINITY
  #most = Number.POSITIVE_INFINITY

  /**
   * @param instead a clock to take for it, in milliseconds since the epoch
   * @param here this process's clock
   */
  constructor(instead?: () => number, here: () => number = Date.now) {
    this.#instead = instead
    this.#here = here
  }

  /** Whether an answer has told its time. */
  get known(): boolean {
    return this.#instead !== undefined || this.#most < Number.POSITIVE_INFINITY
  }

  /** Milliseconds since the epoch; by this process's clock until it is known. */
  now(): number {
    if (this.#instead !== undefined) return this.#instead()
    return Math.round(this.#here() + (this.known ? (this.#least + this.#most) / 2 : 0))
  }

  /** When a request goes out. Returns what takes its answer's `Date`. */
  request(): (date: string | undefined) => void {
    const sent = this.#here()
    return date => {
      const second = Date.parse(date ?? '')
      if (Number.isNaN(second)) return
      const least = second - this.#here()
      const most = second + 1000 - sent
      const [narrowestLeast, narrowestMost] = [Math.max(least, this.#least), Math.min(most, this.#most)]
      // Where they contradict each other, a clock was set since.
      const agree = narrowestLeast <= narrowestMost
      this.#least = agree ? narrowestLeast : least
      this.#most = agree ? narrowestMost : most
    }
  }
}
