import { type Instant, stillHolds } from '../steadiness.ts'

/** This process's clocks. */
const HERE = (): Instant => ({ here: Date.now(), elapsed: performance.now() })

/**
 * DynamoDB's clock, as the `Date` of its answers tells it: in whole seconds, of some instant between the request and
 * the answer. What all answers agree on is narrower than a second. Between them it goes on by a clock that nobody sets.
 */
export class EngineClock {
  readonly #here: () => Instant
  readonly #instead: (() => number) | undefined
  /** How far it is ahead of what has elapsed here, in milliseconds: at least and at most. */
  #least = Number.NEGATIVE_INFINITY
  #most = Number.POSITIVE_INFINITY
  #heard: Instant | undefined

  /**
   * @param instead a clock to take for it, in milliseconds since the epoch
   * @param here this process's clocks
   */
  constructor(instead?: () => number, here: () => Instant = HERE) {
    this.#instead = instead
    this.#here = here
  }

  /** Whether an answer has told its time lately, and this process was not stopped since, nor its own clock set. */
  get known(): boolean {
    if (this.#instead !== undefined) return true
    return this.#heard !== undefined && stillHolds(this.#heard, this.#here())
  }

  /** Milliseconds since the epoch; by this process's clock until an answer has told it. */
  now(): number {
    if (this.#instead !== undefined) return this.#instead()
    const { here, elapsed } = this.#here()
    return Math.round(this.#heard === undefined ? here : elapsed + (this.#least + this.#most) / 2)
  }

  /** When a request goes out. Returns what takes its answer's `Date`. */
  request(): (date: string | undefined) => void {
    const sent = this.#here()
    return date => {
      const second = Date.parse(date ?? '')
      const heard = this.#here()
      // Of an answer that came while this process was stopped nobody knows how old it is.
      if (Number.isNaN(second) || !stillHolds(sent, heard)) return
      const least = second - heard.elapsed
      const most = second + 1000 - sent.elapsed
      const [narrowestLeast, narrowestMost] = [Math.max(least, this.#least), Math.min(most, this.#most)]
      // Where they contradict each other, one of them was set, or this process was stopped.
      const agree = narrowestLeast <= narrowestMost
      this.#least = agree ? narrowestLeast : least
      this.#most = agree ? narrowestMost : most
      this.#heard = heard
    }
  }
}
