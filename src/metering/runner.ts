import type { LedgerClock } from '../ledger/clock.ts'
import { HOUR, hourOf, SECOND } from '../ledger/hours.ts'
import type { MeteringCycle } from './cycle.ts'

export interface MeteringRunnerOptions {
  readonly cycle: MeteringCycle
  readonly clock: LedgerClock
  /** In milliseconds, as the cycle has it. */
  readonly closeDelay: number
  /** The longest time between two passes, in milliseconds. */
  readonly wakeInterval: number
  /** Brings what waits in this process into the ledger. Where it rejects, it is tried again after `wakeInterval`. */
  readonly bringIn: () => Promise<void>
  /** Called after each pass. */
  readonly passed: () => Promise<void>
  /** A fault of the ledger. */
  readonly fault: (error: unknown) => void
}

/** Runs a cycle of its own accord: when usage came in, at the turn of an hour, when a record is to be tried again. */
export class MeteringRunner {
  readonly #options: MeteringRunnerOptions
  #passing = false
  #passAgain = false
  #background = new AbortController()
  #timer: NodeJS.Timeout | undefined
  #ended = false

  constructor(options: MeteringRunnerOptions) {
    this.#options = options
    this.wake()
  }

  /** Has a pass begin soon. */
  wake(): void {
    this.#wakeAfter(0)
  }

  /** Sends what is due up to a deadline. A fault, AWS's or the ledger's, is reported and left to the next pass. */
  async send(timeout: number): Promise<void> {
    this.#background.abort()
    const deadline = AbortSignal.timeout(timeout)
    const over = new Promise<void>(resolve => deadline.addEventListener('abort', () => resolve()))
    // Held while it waits: AbortSignal.timeout alone would let the process end in the middle of it.
    const hold = setTimeout(() => {}, timeout + SECOND)
    try {
      await Promise.race([this.#pass(deadline), over])
    } finally {
      clearTimeout(hold)
      this.#background = new AbortController()
    }
  }

  /** No pass begins by itself any more. */
  end(): void {
    this.#ended = true
    clearTimeout(this.#timer)
  }

  async #pass(signal: AbortSignal): Promise<void> {
    const { cycle, clock, passed, fault } = this.#options
    try {
      await clock.sync()
      await cycle.pass(signal)
      await passed()
    } catch (error) {
      fault(error)
    }
  }

  async #run(): Promise<void> {
    if (this.#passing) {
      this.#passAgain = true
      return
    }
    this.#passing = true
    const { cycle, clock, bringIn, closeDelay, wakeInterval, fault } = this.#options
    let next = 0
    let broughtIn = true
    try {
      do {
        this.#passAgain = false
        broughtIn = true
        // What could not be brought in holds up no record that is due.
        await bringIn().catch(error => {
          broughtIn = false
          fault(error)
        })
        await this.#pass(this.#background.signal)
      } while (this.#passAgain && !this.#ended)
      if (broughtIn) next = await cycle.nextPassAt()
    } catch (error) {
      fault(error)
    } finally {
      this.#passing = false
    }
    const time = clock.now()
    const nextClose = hourOf(time - closeDelay) + HOUR + closeDelay
    this.#wakeAfter(Math.min(Math.max(Math.min(next, nextClose) - time, SECOND), wakeInterval))
  }

  #wakeAfter(delay: number): void {
    clearTimeout(this.#timer)
    if (this.#ended) return
    this.#timer = setTimeout(() => this.#run(), delay)
    this.#timer.unref()
  }
}
