import { SimulatorConfigurationError } from './errors.ts'
import { instant, validated } from './validation.ts'

/** A moment: ISO 8601 with a zone (or only a date, in UTC), milliseconds since the epoch, or a `Date`. */
export type Instant = string | number | Date

/** The simulator's clock: every window, month's end and grace goes by it; signatures never do. */
export class SimulatorClock {
  readonly #source: () => number
  #offset = 0
  #standing: number | undefined
  #skipped = 0

  /** @param source milliseconds since the epoch */
  constructor(source: () => number) {
    this.#source = source
  }

  /** Milliseconds since the epoch. */
  now(): number {
    return this.#standing ?? this.#source() + this.#offset
  }

  /**
   * The milliseconds that have passed since some beginning, for what goes on while the clock stands: those of the source
   * and those that the clock was set forward.
   */
  elapsed(): number {
    return this.#source() + this.#skipped
  }

  /** From now on it is `time`, and stays so until the clock is advanced, set or reset. */
  set(time: Instant): void {
    const before = this.now()
    this.#standing = validated(instant, time, 'clock')
    this.#skipped += Math.max(0, this.#standing - before)
  }

  /** @param milliseconds negative turns the clock back; a clock that was never set goes on from there */
  advance(milliseconds: number): void {
    if (!Number.isFinite(milliseconds)) {
      throw new SimulatorConfigurationError(`clock: Expected a number of milliseconds but received ${milliseconds}`)
    }
    this.#skipped += Math.max(0, milliseconds)
    if (this.#standing === undefined) this.#offset += milliseconds
    else this.#standing += milliseconds
  }

  /** Back to the source. */
  reset(): void {
    this.#offset = 0
    this.#standing = undefined
  }
}
