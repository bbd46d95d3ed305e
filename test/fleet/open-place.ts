import type { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { LEASE } from '../../src/ledger/dynamodb/lease.ts'
import type { Ledger } from '../../src/ledger/ledger.ts'
import type { PostgresqlPool } from '../../src/ledger/postgresql/pool.ts'
import type { Place } from './orders.ts'
import type { Whereabouts } from './whereabouts.ts'

export interface OpenPlace {
  readonly ledger: Ledger
  readonly close: () => Promise<void>
}

const CONNECTIONS = 2
const ENDS: ReadonlySet<string> = new Set(['COMMIT', 'ROLLBACK'])

/** @param whereabouts who is told of each request to the engine; a file has none */
export async function openPlace(place: Place, whereabouts?: Whereabouts): Promise<OpenPlace> {
  switch (place.engine) {
    case 'sqlite': {
      const { SqliteLedger } = await import('../../src/ledger/sqlite/ledger.ts')
      const ledger = new SqliteLedger({ path: place.path, busyTimeout: 2000 })
      return { ledger, close: () => ledger.close() }
    }
    case 'postgresql': {
      const { PostgresqlLedger } = await import('../../src/ledger/postgresql/ledger.ts')
      const { makePool } = await import('../../src/ledger/postgresql/pool.ts')
      const { connectionString } = place
      const settings = { connections: CONNECTIONS, connectTimeout: 10_000, applicationName: 'fleet' }
      const pool = await makePool({ connectionString, ...settings })
      if (whereabouts !== undefined) watchPool(pool, whereabouts)
      const ledger = await PostgresqlLedger.open({ pool })
      return { ledger, close: () => ledger.close().then(() => pool.end()) }
    }
    case 'dynamodb': {
      const { DynamoDBLedger } = await import('../../src/ledger/dynamodb/ledger.ts')
      const { loadSdk, makeClient } = await import('../../src/ledger/dynamodb/client.ts')
      const { tableName, endpoint } = place
      const client = makeClient(await loadSdk(), { endpoint, region: 'us-east-1' })
      if (whereabouts !== undefined) watchClient(client, whereabouts)
      const ledger = await DynamoDBLedger.open({ tableName, client })
      return { ledger, close: () => ledger.close().then(() => client.destroy()) }
    }
  }
}

/** Others wait for whoever has the lock of the ledger's row, until its transaction ends. */
function watchPool(pool: PostgresqlPool, whereabouts: Whereabouts): void {
  const connect = pool.connect.bind(pool)
  pool.connect = async () => {
    const client = await connect()
    return {
      query: query => {
        whereabouts.asked += 1
        const what = query.text.trim().split(/[\s;]/, 1)[0] as string
        const holds = /FROM ledger FOR UPDATE/.test(query.text) || (ENDS.has(what) ? false : undefined)
        return whereabouts.request({ what, holds }, () => client.query(query))
      },
      on: (event, listener) => client.on(event, listener),
      off: (event, listener) => client.off(event, listener),
      release: destroy => client.release(destroy),
    }
  }
}

/** Others wait for whoever has the lease to fold. */
function watchClient(client: DynamoDBClient, whereabouts: Whereabouts): void {
  client.middlewareStack.add(
    (next, { commandName = '' }) =>
      args => {
        whereabouts.asked += 1
        const { Item } = args.input as { Item?: { sk?: { S?: string } } }
        const holds = Item?.sk?.S === LEASE.sk || undefined
        return whereabouts.request({ what: commandName, holds }, () => next(args))
      },
    { step: 'initialize', name: 'whereabouts' },
  )
}
