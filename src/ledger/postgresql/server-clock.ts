import { type Instant, LONGEST_ANSWER, MOST_ASKED, stillHolds } from '../steadiness.ts'
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
    for (let times = 1; ; times += 1) {
      const asked = performance.now()
      const row = await this.#database.read("read the server's clock", transaction =>
        transaction.get('SELECT (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS now'),
      )
      const elapsed = performance.now()
      // Where this process was stopped meanwhile, nobody knows when the answer was true.
      if (elapsed - asked > LONGEST_ANSWER && times < MOST_ASKED) continue
      // The answer is of about the middle of the time that it took.
      const [there, middle] = [row?.now as number, (asked + elapsed) / 2]
      this.#known = { here: here + (elapsed - began), elapsed, ahead: there - (here + (middle - began)) }
      return Math.round(there)
    }
  }
}
