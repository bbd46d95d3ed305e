import type { PostgresqlClient, PostgresqlPool } from '../../../src/ledger/postgresql/pool.ts'

/**
 * A pool that loses the answer to every so many commits that write: what they did is done, and nobody is told.
 *
 * @param every 1 for each of them
 */
export function losingAnswers(pool: PostgresqlPool, every: number): PostgresqlPool {
  let commits = 0
  return {
    end: () => pool.end(),
    connect: async () => {
      const client = await pool.connect()
      let writes = false
      const query: PostgresqlClient['query'] = async query => {
        if (query.text.startsWith('BEGIN')) writes = !query.text.includes('READ ONLY')
        const result = await client.query(query)
        if (query.text !== 'COMMIT' || !writes) return result
        commits += 1
        if (commits % every !== 0) return result
        throw Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' })
      }
      return {
        query,
        on: (event, listener) => client.on(event, listener),
        off: (event, listener) => client.off(event, listener),
        // The connection is as good as ever.
        release: () => client.release(),
      }
    },
  }
}

/**
 * A pool that gives up waiting for the answer to each commit that writes, once: what was to be done is done when
 * `then` says so, while the same is already tried again.
 */
export function losingHurriedly(pool: PostgresqlPool, then: () => Promise<void>): PostgresqlPool {
  let lost = false
  return {
    end: () => pool.end(),
    connect: async () => {
      const client = await pool.connect()
      let writes = false
      let committing: Promise<unknown> = Promise.resolve()
      const query: PostgresqlClient['query'] = async query => {
        if (query.text.startsWith('BEGIN')) writes = !query.text.includes('READ ONLY')
        if (query.text !== 'COMMIT' || !writes) return await client.query(query)
        // The second try is told.
        lost = !lost
        if (!lost) return await client.query(query)
        committing = then().then(() => client.query(query))
        throw Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' })
      }
      return {
        query,
        on: (event, listener) => client.on(event, listener),
        off: (event, listener) => client.off(event, listener),
        release: () => void committing.finally(() => client.release()),
      }
    },
  }
}

/** A pool whose process dies when no statements are left to it: whatever is asked then fails, and connections are cut. */
export function dying(pool: PostgresqlPool): PostgresqlPool & { left: number } {
  const mortal = {
    left: Number.POSITIVE_INFINITY,
    end: () => pool.end(),
    connect: async (): Promise<PostgresqlClient> => {
      const client = await pool.connect()
      const query: PostgresqlClient['query'] = async query => {
        mortal.left -= 1
        if (mortal.left < 0) throw new Error('the process is gone')
        return await client.query(query)
      }
      return {
        query,
        on: (event, listener) => client.on(event, listener),
        off: (event, listener) => client.off(event, listener),
        release: destroy => client.release(destroy || mortal.left < 0),
      }
    },
  }
  return mortal
}
