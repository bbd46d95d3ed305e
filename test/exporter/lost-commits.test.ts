import assert from 'node:assert/strict'
import { copyFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type AttributeValue, BatchWriteItemCommand, paginateScan } from '@aws-sdk/client-dynamodb'
import pg from 'pg'
import { AWSMarketplaceMetricExporter, type Ledger, SqliteLedger, spooled } from '../../src/index.ts'
import { DynamoDBLedger } from '../../src/ledger/dynamodb/index.ts'
import { openLoss } from '../../src/ledger/loss.ts'
import { PostgresqlLedger } from '../../src/ledger/postgresql/index.ts'
import { MarketplaceSimulator, simulatorClient } from '../../src/simulator/index.ts'
import { DynamoDBLocal, withoutJava } from '../ledger/dynamodb/server.ts'
import { addressOf, sharedPostgresql } from '../ledger/postgresql/server.ts'
import {
  exportTo,
  figures,
  HOUR,
  M,
  MINUTE,
  PRODUCT,
  START,
  SUCCESS,
  saidDuring,
  telemetry,
  temporaryFolder,
  tokens,
} from './support.ts'

/** A ledger that goes back to an instant, as where a replica takes over that was behind, or an old copy is put back. */
interface Failing {
  readonly ledger: Ledger
  /** What is there now is what will be there after `failOver`. */
  keep(): Promise<void>
  /** Goes back. Returns the ledger that goes on, the same one where it takes no notice. */
  failOver(): Promise<Ledger>
  /** The server, where it is this test's. */
  end(): Promise<void>
}

const ENGINES: Record<string, { skip: string | false; open(t: TestContext, now: () => number): Promise<Failing> }> = {
  PostgreSQL: { skip: false, open: postgresql },
  DynamoDB: { skip: withoutJava, open: dynamodb },
  'SQLite behind a spool': { skip: false, open: sqlite },
}

async function postgresql(_: TestContext, now: () => number): Promise<Failing> {
  const database = await sharedPostgresql()
  const { connectionString } = database
  const [name] = (await sql(connectionString, 'SELECT current_database() AS name')).rows.map(row => row.name)
  if (name === 'postgres') await sql(connectionString, 'CREATE DATABASE beside')
  const elsewhere = addressOf(connectionString, name === 'postgres' ? 'beside' : 'postgres')
  const alone = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${name}' AND pid <> pg_backend_pid()`
  const ledger = await PostgresqlLedger.open({ connectionString, now })
  return {
    ledger,
    end: async () => await database[Symbol.asyncDispose](),
    keep: async () => {
      await sql(elsewhere, `ALTER DATABASE "${name}" ALLOW_CONNECTIONS false`)
      await sql(elsewhere, alone)
      await sql(elsewhere, `CREATE DATABASE "${name} behind" TEMPLATE "${name}"`)
      await sql(elsewhere, `ALTER DATABASE "${name}" ALLOW_CONNECTIONS true`)
    },
    failOver: async () => {
      await sql(elsewhere, `DROP DATABASE "${name}" WITH (FORCE)`)
      await sql(elsewhere, `ALTER DATABASE "${name} behind" RENAME TO "${name}"`)
      return ledger
    },
  }
}

async function sql(connectionString: string, text: string): Promise<pg.QueryResult> {
  const client = new pg.Client({ connectionString })
  await client.connect()
  try {
    return await client.query(text)
  } finally {
    await client.end()
  }
}

async function dynamodb(_: TestContext, now: () => number): Promise<Failing> {
  const server = await DynamoDBLocal.shared()
  const client = server.client()
  const tableName = await server.table(client)
  const ledger = await DynamoDBLedger.open({ tableName, client, now })
  let kept: Record<string, AttributeValue>[] = []
  const items = async () => {
    const found: Record<string, AttributeValue>[] = []
    for await (const { Items = [] } of paginateScan({ client }, { TableName: tableName })) found.push(...Items)
    return found
  }
  const write = async (requests: object[]) => {
    for (let first = 0; first < requests.length; first += 25) {
      await client.send(new BatchWriteItemCommand({ RequestItems: { [tableName]: requests.slice(first, first + 25) } }))
    }
  }
  return {
    ledger,
    end: () => server[Symbol.asyncDispose](),
    keep: async () => {
      kept = await items()
    },
    failOver: async () => {
      await write((await items()).map(({ pk, sk }) => ({ DeleteRequest: { Key: { pk, sk } } })))
      await write(kept.map(Item => ({ PutRequest: { Item } })))
      return ledger
    },
  }
}

/** Of a file nothing takes it back but a person: then the process begins anew, and what its spool has tells. */
async function sqlite(t: TestContext, now: () => number): Promise<Failing> {
  const folder = temporaryFolder(t)
  const path = join(folder, 'ledger.sqlite')
  const kept = join(folder, 'old.sqlite')
  const open = () => spooled(new SqliteLedger({ path, now }), { path: join(folder, 'spool.sqlite') })
  const ledger = open()
  return {
    ledger,
    end: async () => {},
    keep: async () => {
      const beside = new SqliteLedger({ path })
      await beside.backup(kept)
      await beside.close()
    },
    failOver: async () => {
      await ledger.close()
      for (const end of ['', '-wal', '-shm']) rmSync(path + end, { force: true })
      copyFileSync(kept, path)
      return open()
    },
  }
}

for (const [name, { skip, open }] of Object.entries(ENGINES)) {
  for (const onConflict of ['hold', 'roll-forward'] as const) {
    test(`${name} loses commits, ${onConflict}: nothing is billed twice, and all is there`, { skip }, async t => {
      const clock = { now: START }
      const now = () => clock.now
      const simulator = new MarketplaceSimulator({ now, quota: null, seed: 7 })
      const failing = await open(t, now)
      const { meterProvider, read } = telemetry(t)
      let exporter = exporterOf(failing.ledger)
      let { ledger } = failing
      let acknowledged = 0
      t.after(async () => {
        await exporter.shutdown()
        await ledger.close()
        await failing.end()
      })
      function exporterOf(ledger: Ledger): AWSMarketplaceMetricExporter {
        const options = { productCode: PRODUCT, region: 'us-east-1', ledger, now, onConflict, wakeInterval: HOUR }
        return new AWSMarketplaceMetricExporter({ ...options, client: simulatorClient(simulator), meterProvider })
      }
      const use = async (at: number, amount: number) => {
        clock.now = at
        assert.deepEqual(await exportTo(exporter, tokens(amount)), SUCCESS)
        acknowledged += amount
      }
      const pass = async (at: number) => {
        clock.now = at
        await exporter.forceFlush()
      }
      const billed = () => simulator.totals().reduce((sum, { quantity }) => sum + quantity, 0)
      const at = (minutes: number) => START + minutes * MINUTE

      await use(at(0), 100)
      await pass(at(1))
      await failing.keep()
      await use(at(10), 10)
      await pass(at(36))
      assert.equal(billed(), 110)

      const told = await saidDuring(async () => {
        if (name.startsWith('SQLite')) await exporter.shutdown()
        ledger = await failing.failOver()
        if (ledger !== failing.ledger) exporter = exporterOf(ledger)
        // Nothing is brought in, and the ledger would close the hour anew without the ten.
        await pass(at(38))
        await use(at(40), 1)
        await pass(at(97))
      })
      assert.match(told.join('\n'), /error: .*has lost usage.*declare-restored/)
      assert.notEqual(await openLoss(ledger), undefined)
      assert.equal((await read())['marketplace.ledger.lost'], 1)
      assert.equal(billed(), 110)
      assert.deepEqual((await ledger.records()).length, 0)
      const [line] = await ledger.statement()
      assert.ok(line)
      assert.equal(figures(line).recorded, BigInt(acknowledged) * M)

      await ledger.declareRestored({ who: 'a test', why: 'the server failed over', now: clock.now })
      await use(at(100), 2)
      await pass(at(157))
      assert.equal(await openLoss(ledger), undefined)
      assert.equal((await read())['marketplace.ledger.lost'], 0)
      assert.equal(billed(), 112)
      const [held] = await ledger.records({ state: 'held' })
      assert.ok(held)
      assert.deepEqual([held.reason, held.size], ['restored', 111n * M])
      await ledger.decide(held.id, 'billed', { who: 'a test', why: 'CloudTrail shows it', now: clock.now }, 110)
      await pass(at(217))
      assert.equal(billed(), acknowledged)
    })
  }
}
