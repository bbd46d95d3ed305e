import { randomUUID } from 'node:crypto'
import type { Ledger } from '../../src/ledger/ledger.ts'
import { TemporaryFolder } from '../ledger/sqlite-under-test.ts'

/** Where ledgers of a run are. */
export interface Engine extends AsyncDisposable {
  /** An empty ledger, of which each call of `open` is another connection. */
  ledger(now: () => number): Promise<LedgerPlace>
}

export interface LedgerPlace {
  open(): Promise<Ledger>
  dispose(): Promise<void>
}

export const ENGINES: Readonly<Record<string, () => Promise<Engine>>> = {
  sqlite: async () => {
    const { SqliteLedger } = await import('../../src/ledger/sqlite/ledger.ts')
    return {
      async ledger() {
        const folder = new TemporaryFolder()
        return {
          open: async () => new SqliteLedger({ path: folder.file() }),
          dispose: async () => folder[Symbol.dispose](),
        }
      },
      async [Symbol.asyncDispose]() {},
    }
  },
  postgresql: async () => {
    const { sharedPostgresql } = await import('../ledger/postgresql/server.ts')
    const { PostgresqlLedger } = await import('../../src/ledger/postgresql/ledger.ts')
    const server = await sharedPostgresql()
    const { connectionString } = server
    return {
      async ledger(now) {
        const schema = `counters ${randomUUID()}`
        return {
          open: () => PostgresqlLedger.open({ connectionString, schema, now, connections: 2 }),
          dispose: async () => {},
        }
      },
      [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    }
  },
  dynamodb: async () => {
    const { DynamoDBLocal } = await import('../ledger/dynamodb/server.ts')
    const { DynamoDBLedger } = await import('../../src/ledger/dynamodb/ledger.ts')
    const server = await DynamoDBLocal.shared()
    const client = server.client()
    return {
      async ledger(now) {
        const tableName = await server.table(client)
        return { open: () => DynamoDBLedger.open({ tableName, client, now }), dispose: async () => {} }
      },
      [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    }
  },
}
