import { askTime, type Instant, stillHolds } from '../steadiness.ts'
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
    const began = performance.now()
    const { there, asked, answered } = await askTime(
      () => this.#ask(),
      () => performance.now(),
    )
    // The answer is of about the middle of the time that it took.
    const middle = (asked + answered) / 2
    this.#known = { here: here + (answered - began), elapsed: answered, ahead: there - (here + (middle - began)) }
    return Math.round(there)
  }

  async #ask(): Promise<number> {
    const row = await this.#database.read("read the server's clock", transaction =>
      transaction.get('SELECT (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS now'),
    )
    return row?.now as number
  }
}
