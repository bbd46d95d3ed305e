import { type Instant, stillHolds } from '../steadiness.ts'
import type { Database } from './database.ts'

/** The server's clock, which is the same for all replicas, without asking it each time. */
export class ServerClock {
  readonly #database: Database
  #known: (Instant & { readonly ahead: number }) | undefined

  constructor(database: Database) {
    this.#database = database
  }

  /** @param here this process's time, in milliseconds since the epoch */
  async now(here: number): Promise<number> {
    const known = this.#known
    if (known !== undefined && stillHolds(known, { here, elapsed: performance.now() })) {
      return Math.round(here + known.ahead)
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
