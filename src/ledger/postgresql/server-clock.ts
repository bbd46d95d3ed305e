import type { Database } from './database.ts'

/** How long this process trusts what it knows of the server's clock, in milliseconds. */
const TRUSTED_FOR = 5000
/** This process's clock was set, or the process was stopped, when its time and what has passed differ by more. */
const LARGEST_STEP = 500

/** The server's clock, which is the same for all replicas, without asking it each time. */
export class ServerClock {
  readonly #database: Database
  #known: { readonly here: number; readonly elapsed: number; readonly ahead: number } | undefined

  constructor(database: Database) {
    this.#database = database
  }

  /** @param here this process's time, in milliseconds since the epoch */
  async now(here: number): Promise<number> {
    const known = this.#known
    if (known !== undefined) {
      const passed = performance.now() - known.elapsed
      const steady = Math.abs(here - known.here - passed) <= LARGEST_STEP
      if (steady && passed < TRUSTED_FOR) return Math.round(here + known.ahead)
    }
    const asked = performance.now()
    const row = await this.#database.read("read the server's clock", transaction =>
      transaction.get('SELECT (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS now'),
    )
    const elapsed = performance.now()
    // The answer is of about the middle of the time that it took.
    const middle = (elapsed - asked) / 2
    const there = row?.now as number
    this.#known = { here: here + 2 * middle, elapsed, ahead: there - (here + middle) }
    return Math.round(there)
  }
}
