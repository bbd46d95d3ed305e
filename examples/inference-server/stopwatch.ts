/**
 * Adds up the time that work takes, without the waiting in between: a client that reads slowly is not billed for it.
 */
export class Stopwatch {
  #nanoseconds = 0n

  time<T>(work: () => T): T {
    const start = process.hrtime.bigint()
    try {
      return work()
    } finally {
      this.#nanoseconds += process.hrtime.bigint() - start
    }
  }

  /** Whole microseconds, rounded up. */
  get microseconds(): number {
    return Number((this.#nanoseconds + 999n) / 1000n)
  }
}
