import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Place } from './orders.ts'

/** A database that the fleet shares, and that can be killed. */
export interface Engine extends AsyncDisposable {
  readonly name: string
  readonly place: Place
  /** kill -9, and start again. Absent where there is no server. */
  restart?(): Promise<void>
}

export const ENGINES: Readonly<Record<string, () => Promise<Engine>>> = {
  postgresql: async () => {
    const { PostgresqlServer } = await import('../ledger/postgresql/server.ts')
    const server = await PostgresqlServer.start()
    const { connectionString } = server
    return {
      name: 'postgresql',
      place: { engine: 'postgresql', connectionString },
      async restart() {
        await server.kill()
        await server.run()
      },
      [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    }
  },
  dynamodb: async () => {
    const { DynamoDBLocal } = await import('../ledger/dynamodb/server.ts')
    // On a disk, so that it has its tables again when it was killed.
    const folder = mkdtempSync(join(tmpdir(), 'fleet-'))
    const server = await DynamoDBLocal.start(folder)
    const tableName = await server.table(server.client())
    return {
      name: 'dynamodb',
      place: { engine: 'dynamodb', tableName, endpoint: server.endpoint },
      async restart() {
        await server.kill()
        await server.start()
      },
      async [Symbol.asyncDispose]() {
        await server[Symbol.asyncDispose]()
        rmSync(folder, { recursive: true })
      },
    }
  },
  sqlite: async () => {
    const folder = mkdtempSync(join(tmpdir(), 'fleet-'))
    return {
      name: 'sqlite',
      place: { engine: 'sqlite', path: join(folder, 'ledger.sqlite') },
      [Symbol.asyncDispose]: async () => rmSync(folder, { recursive: true }),
    }
  },
}
