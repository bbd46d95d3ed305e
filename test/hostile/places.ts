import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { folder } from '../cli/support.ts'

/** Returns an address. */
type Begin = (t: TestContext) => Promise<string>

/** An empty ledger of each engine, for processes. */
export const PLACES: Readonly<Record<string, Begin>> = {
  sqlite: async t => join(folder(t), 'ledger.sqlite'),
  postgresql: async t => {
    const { PostgresqlServer } = await import('../ledger/postgresql/server.ts')
    const server = await PostgresqlServer.start()
    t.after(() => server[Symbol.asyncDispose]())
    return server.connectionString
  },
  dynamodb: async t => {
    const { DynamoDBLocal } = await import('../ledger/dynamodb/server.ts')
    const server = await DynamoDBLocal.start()
    t.after(() => server[Symbol.asyncDispose]())
    const table = await server.table(server.client())
    return `dynamodb://${table}?region=us-east-1&endpoint=${server.endpoint}`
  },
}
