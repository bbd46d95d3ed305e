import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { folder } from '../cli/support.ts'

/** A ledger's address, and the environment that a process needs to open it. */
export interface Place {
  readonly address: string
  readonly env: NodeJS.ProcessEnv
  /** Whether it takes a request for each row. */
  readonly dear?: true
}

type Begin = (t: TestContext) => Promise<Place>

/** An empty ledger of each engine, for processes. */
export const PLACES: Readonly<Record<string, Begin>> = {
  sqlite: async t => ({ address: join(folder(t), 'ledger.sqlite'), env: {} }),
  postgresql: async t => {
    const { sharedPostgresql } = await import('../ledger/postgresql/server.ts')
    const server = await sharedPostgresql()
    t.after(() => server[Symbol.asyncDispose]())
    return { address: server.connectionString, env: {} }
  },
  dynamodb: async t => {
    const { DynamoDBLocal } = await import('../ledger/dynamodb/server.ts')
    const server = await DynamoDBLocal.shared()
    t.after(() => server[Symbol.asyncDispose]())
    const table = await server.table(server.client())
    return { address: `dynamodb://${table}?region=us-east-1&endpoint=${server.endpoint}`, env: server.env, dear: true }
  },
}
