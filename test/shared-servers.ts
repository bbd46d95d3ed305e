import './file-limit.ts'
import { DynamoDBLocal, withoutJava } from './ledger/dynamodb/server.ts'
import { PostgresqlServer } from './ledger/postgresql/server.ts'

/**
 * The servers that the files of a run share: a processor is busy for seconds until one has begun and become fast. Loaded
 * by `--test-global-setup` into the runner.
 */

let servers: readonly (PostgresqlServer | DynamoDBLocal)[] = []

export async function globalSetup(): Promise<void> {
  servers = await Promise.all([PostgresqlServer.start(), ...(withoutJava ? [] : [DynamoDBLocal.start()])])
  for (const server of servers) server.share()
}

export async function globalTeardown(): Promise<void> {
  for (const server of servers) await server[Symbol.asyncDispose]()
}
