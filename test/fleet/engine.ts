import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Place } from './orders.ts'

/** A database that the fleet shares, and that can be killed. */
export interface Engine extends AsyncDisposable {
  readonly name: string
  readonly place: Place
  /** kill -9, and start again. Absent where there is no server. */
  restart?(): Promise<void>
}

/**
 * DynamoDB Local answers some milliseconds before what it was asked to write would survive kill -9, which DynamoDB does
 * not. So it is cut off first, and killed when whatever it has answered is written.
 */
const WRITTEN = 500

export const ENGINES: Readonly<Record<string, () => Promise<Engine>>> = {
  postgresql: async () => {
    const { PostgresqlServer } = await import('../ledger/postgresql/server.ts')
    const server = await PostgresqlServer.start({ connections: 1000 })
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
    const { LossyProxy } = await import('../gateway/end-to-end/lossy-proxy.ts')
    // In files, so that it has its tables again when it was killed.
    const folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'fleet-'))
    const server = await DynamoDBLocal.start(folder)
    const tableName = await server.table(server.client())
    const proxy = await LossyProxy.open()
    proxy.target = server.port
    return {
      name: 'dynamodb',
      place: { engine: 'dynamodb', tableName, endpoint: proxy.url },
      async restart() {
        proxy.target = undefined
        proxy.losing = Number.POSITIVE_INFINITY
        await sleep(WRITTEN)
        await server.kill()
        await server.start()
        proxy.target = server.port
        proxy.losing = 0
      },
      async [Symbol.asyncDispose]() {
        await proxy[Symbol.asyncDispose]()
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
