import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, describe, type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'
import pg from 'pg'
import { Gateway } from '../../src/gateway/gateway.ts'
import { DynamoDBLedger } from '../../src/ledger/dynamodb/ledger.ts'
import { HOUR, MINUTE, SECOND } from '../../src/ledger/hours.ts'
import type { AuditAction, Ledger } from '../../src/ledger/ledger.ts'
import { PostgresqlLedger } from '../../src/ledger/postgresql/ledger.ts'
import { MIGRATIONS as POSTGRESQL } from '../../src/ledger/postgresql/schema.ts'
import { SqliteLedger } from '../../src/ledger/sqlite/ledger.ts'
import { MIGRATIONS as SQLITE } from '../../src/ledger/sqlite/schema.ts'
import type { BatchMeterUsageRequest, MeteringClient } from '../../src/marketplace/client.ts'
import { MeteringCycle } from '../../src/metering/cycle.ts'
import { Pacer } from '../../src/metering/pacer.ts'
import { run } from '../cli/support.ts'
import { encode } from '../counters/otlp.ts'
import * as life from './dynamodb/life.ts'
import { DynamoDBLocal, type Items, withoutJava } from './dynamodb/server.ts'
import { addressOf, sharedPostgresql } from './postgresql/server.ts'
import { postgresqlSchema, sqliteSchema } from './releases/schemas.ts'
import * as story from './releases/story.ts'
import { ALICE, BOB, closeOptions, closing, DIMENSIONS, entry, hour, METERED, REQUESTS, UNIT } from './scene.ts'
import { TemporaryFolder } from './sqlite-under-test.ts'

/**
 * Ledgers of earlier releases go on. Of each released schema there is a dump, and a ledger that the code of that release
 * has made, by the requests of `releases/story.ts`.
 */

const FIXTURES = fileURLToPath(new URL('fixtures/', import.meta.url))
const fixture = (name: string): Buffer => readFileSync(join(FIXTURES, name))
const BY = { who: 'operator', why: 'CloudTrail shows it', now: story.GOES_ON }
const CLOSE_DELAY = 5 * MINUTE

/** A ledger as another release has left it. */
interface Left extends AsyncDisposable {
  /** What the commands are given. */
  readonly address: string
  readonly env: NodeJS.ProcessEnv
  open(now: () => number): Promise<Ledger>
}

async function sqliteLedger(): Promise<Left> {
  const folder = new TemporaryFolder()
  writeFileSync(folder.file(), gunzipSync(fixture('sqlite-2.db.gz')))
  return {
    address: folder.file(),
    env: {},
    open: async () => new SqliteLedger({ path: folder.file() }),
    [Symbol.asyncDispose]: async () => folder[Symbol.dispose](),
  }
}

const SCHEMA = 'marketplace_ledger'
const server = await sharedPostgresql()
after(() => server[Symbol.asyncDispose]())

/** A session in a database of its own. */
async function database(name: string): Promise<pg.Client> {
  const session = new pg.Client(server.connectionString)
  await session.connect()
  await session.query(`CREATE DATABASE "${name}"`)
  await session.end()
  const client = new pg.Client(addressOf(server.connectionString, name))
  await client.connect()
  await client.query(`CREATE SCHEMA ${SCHEMA}; SET search_path TO ${SCHEMA}`)
  return client
}

let databases = 0

async function postgresqlLedger(): Promise<Left> {
  databases += 1
  const name = `left ${databases}`
  const client = await database(name)
  await client.query(`${fixture('schema-postgresql-1.sql')}${fixture('postgresql-1.sql')}`)
  await client.end()
  const connectionString = addressOf(server.connectionString, name)
  return {
    address: connectionString,
    env: {},
    open: now => PostgresqlLedger.open({ connectionString, now, connections: 2 }),
    [Symbol.asyncDispose]: async () => {},
  }
}

const local = withoutJava ? undefined : await DynamoDBLocal.shared()
after(() => local?.[Symbol.asyncDispose]())

async function dynamodbLedger(name = 'dynamodb-1.json.gz'): Promise<Left> {
  const { endpoint } = local as DynamoDBLocal
  const client = (local as DynamoDBLocal).client()
  const items: Items = JSON.parse(gunzipSync(fixture(name)).toString(), (_, value) =>
    typeof value?.base64 === 'string' ? Buffer.from(value.base64, 'base64') : value,
  )
  const tableName = await (local as DynamoDBLocal).tableOf(client, items)
  return {
    address: `dynamodb://${tableName}?region=us-east-1&endpoint=${endpoint}`,
    env: (local as DynamoDBLocal).env,
    open: now => DynamoDBLedger.open({ tableName, client, now }),
    [Symbol.asyncDispose]: async () => {},
  }
}

/** A gateway of today on a ledger, and passes. */
class Present {
  now = story.GOES_ON
  readonly sent: BatchMeterUsageRequest['UsageRecords'][number][] = []
  #ledger!: Ledger
  #gateway!: Gateway
  #cycle!: MeteringCycle

  static async begin(left: Left): Promise<Present> {
    const present = new Present()
    const clock = () => present.now
    const ledger = await left.open(clock)
    present.#ledger = ledger
    assert.deepEqual(story.booksOf(await ledger.statement()), story.BOOKS_BEFORE)
    const client: MeteringClient = { batchMeterUsage: async request => present.#meter(request) }
    const common = { ledger, now: clock, region: 'us-east-1', closeDelay: CLOSE_DELAY, deadlineMargin: CLOSE_DELAY }
    present.#cycle = new MeteringCycle({
      ...{ ...common, clientFor: () => client, pacer: new Pacer(Number.POSITIVE_INFINITY), concurrency: 10 },
      ...{
        requestTimeout: 10_000,
        dryRun: false,
        zeroQuantityRecords: false,
        onConflict: 'hold',
        onNotSubscribed: 'hold',
      },
      ...{ retention: Number.POSITIVE_INFINITY, report: () => {} },
    })
    present.#gateway = await Gateway.start({
      ...{ ...common, ...story.usageOptions(), client, http: { port: 0 }, wakeInterval: HOUR },
    })
    return present
  }

  get ledger(): Ledger {
    return this.#ledger
  }

  async post(request: story.Request): Promise<void> {
    const answer = await fetch(`http://${this.#gateway.addresses.http}/v1/metrics`, {
      ...{ method: 'POST', headers: { 'content-type': 'application/json' }, body: encode(request.points) },
    })
    assert.deepEqual([answer.status, await answer.text()], [200, '{}'])
  }

  async pass(now: number): Promise<void> {
    this.now = now
    await this.#cycle.pass()
  }

  /** Recorded of each series, and asserts that the four others are all of it. */
  async recorded(): Promise<Record<string, number>> {
    const books = story.booksOf(await this.#ledger.statement())
    for (const [series, [recorded, ...others]] of Object.entries(books)) {
      assert.equal(
        recorded,
        others.reduce((sum, figure) => sum + figure, 0),
        series,
      )
    }
    return Object.fromEntries(Object.entries(books).map(([series, [recorded]]) => [series, recorded]))
  }

  async end(): Promise<void> {
    await this.#gateway.close()
    await this.#ledger.close()
  }

  #meter({ UsageRecords }: BatchMeterUsageRequest) {
    this.sent.push(...UsageRecords)
    const Results = UsageRecords.map(UsageRecord => ({
      ...{ UsageRecord, Status: 'Success' as const, MeteringRecordId: `today-${UsageRecord.CustomerAWSAccountId}` },
    }))
    return { Results, UnprocessedRecords: [] }
  }
}

/** What a person decides on what the release before had held. */
async function settleByHand(ledger: Ledger): Promise<void> {
  const held = await ledger.records({ state: 'held' })
  const byName = new Map(
    held.map(({ id, account, dimension, reason }) => [`${story.nameOf(account, dimension)} ${reason}`, id]),
  )
  const id = (name: string) => byName.get(name) as string
  await ledger.decide(id('heidi tokens restored'), 'billed', BY, 12)
  await ledger.decide(id('dave tokens restored'), 'not-billed', BY)
  await ledger.decide(id('grace tokens not-subscribed'), 'release', BY)
  await ledger.decide(id('oscar tokens over-maximum'), 'release', BY)
}

/** What AWS gets after that: what was pending identically, and all that is new. */
function sentOf({ sent }: Present): Record<string, [quantity: number | undefined, timestamp: number][]> {
  const records = sent.map(({ CustomerAWSAccountId, Dimension, Quantity, Timestamp }) => {
    const name = story.nameOf({ ...CUSTOMER, key: CustomerAWSAccountId as string }, Dimension)
    return { name, record: [Quantity, Number(Timestamp)] as [number | undefined, number] }
  })
  const of = Map.groupBy(records, ({ name }) => name)
  return Object.fromEntries([...of].map(([name, own]) => [name, own.map(({ record }) => record)]))
}

const CUSTOMER = { kind: 'customer', product: story.PRODUCT } as const
const LAST_SECOND = story.DAY + 2 * HOUR - SECOND
const SENT: ReturnType<typeof sentOf> = {
  // What was pending goes out again as it was.
  'bob tokens': [
    [280, story.DAY + HOUR - SECOND],
    [40, LAST_SECOND],
  ],
  'alice tokens': [[50, LAST_SECOND]],
  'carol gpu': [[480, LAST_SECOND]],
  'dave tokens': [[3 + 2 + 9, LAST_SECOND]],
  'erin tokens': [[20, LAST_SECOND]],
  'frank tokens': [[50, LAST_SECOND]],
  'grace tokens': [[11 + 3, LAST_SECOND]],
  'heidi tokens': [[30 - 12, LAST_SECOND]],
  'ivan tokens': [[6, LAST_SECOND]],
  'kim tokens': [[15, LAST_SECOND]],
  'oscar tokens': [[5003, LAST_SECOND]],
}
const BOOKS_AFTER = Object.fromEntries(
  Object.entries(recordedAfter(story.INCREASES)).map(([series, recorded]) => {
    const apart = /^(old-counter|too-late)/.test(series)
    return [series, apart ? [recorded, 0, 0, 0, recorded] : [recorded, recorded, 0, 0, 0]]
  }),
)

/** What is recorded in the end, by what was added. */
function recordedAfter(increases: Readonly<Record<string, number>>): Record<string, number> {
  const series = [...new Set([...Object.keys(story.BOOKS_BEFORE), ...Object.keys(increases)])]
  return Object.fromEntries(series.map(name => [name, (story.BOOKS_BEFORE[name]?.[0] ?? 0) + (increases[name] ?? 0)]))
}

test('what was in the trail before there was a chain is seen when it is changed', async () => {
  await using left = await sqliteLedger()
  const ledger = await left.open(Date.now)
  await ledger.note({ action: 'set-aside', who: 'writer', why: 'refused', detail: 'batch 1' })
  assert.deepEqual((await ledger.verifyAudit()).breaks, [])
  const database = new DatabaseSync(left.address)
  database.exec("UPDATE audit SET who = 'nobody' WHERE id = (SELECT min(id) FROM audit)")
  database.close()
  assert.deepEqual((await ledger.verifyAudit()).breaks, [{ kind: 'changed-before' }])
  await ledger.close()
})

describe('a released schema', () => {
  /** Fails where it differs from its dump; `node --test --test-update-snapshots` makes that of a new version. */
  const compare = (t: TestContext, dump: string, name: string) =>
    t.assert.fileSnapshot(dump, join(FIXTURES, name), { serializers: [String] })

  for (const version of [2, 3, 4, 5, 6, 7, 8, 9, 10]) {
    test(`SQLite's ${version} is what the migrations up to it make`, t => {
      const database = new DatabaseSync(':memory:')
      database.exec(SQLITE.slice(0, version).join(''))
      compare(t, sqliteSchema(database), `schema-sqlite-${version}.sql`)
    })
  }

  test('the last has a dump', () => {
    assert.deepEqual([SQLITE.length, POSTGRESQL.length], [11, 7])
  })

  test("SQLite's: a ledger that was brought forward has the schema of a new one", async t => {
    await using left = await sqliteLedger()
    const before = new DatabaseSync(left.address)
    compare(t, sqliteSchema(before), 'schema-sqlite-2.sql')
    before.close()
    await (await left.open(Date.now)).close()
    const migrated = new DatabaseSync(left.address)
    compare(t, sqliteSchema(migrated), 'schema-sqlite-11.sql')
    migrated.close()
  })

  for (const version of [1, 2, 3, 4, 5, 6, 7]) {
    test(`PostgreSQL's ${version} is what the migrations up to it make`, async t => {
      const client = await database(`version ${version}`)
      await client.query(POSTGRESQL.slice(0, version).join(''))
      compare(t, await postgresqlSchema(client, SCHEMA), `schema-postgresql-${version}.sql`)
      await client.end()
    })
  }

  test("PostgreSQL's: a ledger that was brought forward has the schema of a new one", async t => {
    await using left = await postgresqlLedger()
    const client = new pg.Client(left.address)
    await client.connect()
    compare(t, await postgresqlSchema(client, SCHEMA), 'schema-postgresql-1.sql')
    await (await left.open(Date.now)).close()
    compare(t, await postgresqlSchema(client, SCHEMA), 'schema-postgresql-7.sql')
    await client.end()
  })
})

for (const [engine, make, skip] of [
  ['SQLite', sqliteLedger, false],
  ['PostgreSQL', postgresqlLedger, false],
  ['DynamoDB', () => dynamodbLedger(), withoutJava],
] as const) {
  describe(`a ledger of the release before, ${engine}`, { skip }, () => {
    test('goes on without a hole and without a double', async () => {
      await using left = await make()
      const present = await Present.begin(left)
      try {
        for (const _ of ['once', 'and again']) for (const request of story.AFTER) await present.post(request)
        assert.deepEqual(await present.recorded(), recordedAfter(story.INCREASES))
        await settleByHand(present.ledger)
        const { entries, breaks } = await present.ledger.verifyAudit()
        assert.deepEqual([entries >= 4, breaks], [true, []])
        // Those of before the chain are there, with their names.
        const before = (await present.ledger.audit({ limit: 1000 })).filter(({ number }) => number === undefined)
        assert.ok(before.length > 0 && before.some(({ account, dimension }) => account && dimension))
        const [youngest] = before
        const same = await present.ledger.audit({ actions: [youngest?.action as AuditAction], limit: 1000 })
        assert.ok(same.some(entry => entry.number === undefined && entry.at === youngest?.at))
        await present.pass(story.NEXT_PASS)
        await present.pass(story.NEXT_PASS + HOUR)
        assert.deepEqual(story.booksOf(await present.ledger.statement()), BOOKS_AFTER)
        assert.deepEqual(sentOf(present), SENT)
      } finally {
        await present.end()
      }
    })

    // A Collector's queue may hold a day back.
    test('takes all that it had from a queue again', async () => {
      await using left = await make()
      const present = await Present.begin(left)
      try {
        for (const request of [...story.BEFORE, ...story.AFTER, ...story.BEFORE]) await present.post(request)
        await present.pass(story.NEXT_PASS + HOUR)
        assert.deepEqual(await present.recorded(), recordedAfter(story.REPLAYED))
      } finally {
        await present.end()
      }
    })

    test('is told of by the commands', async () => {
      await using left = await make()
      // Who only looks does not bring it forward: the release that made it goes on.
      const refused = await run(['status', '--ledger', left.address], left.env)
      assert.match(refused.stderr, /older version.*\(ERR_LEDGER_READ_ONLY\)\n$/)
      await (await left.open(() => story.GOES_ON)).close()
      const told = async (...args: string[]) => {
        const { stdout, stderr, status } = await run([...args, '--ledger', left.address], left.env)
        assert.deepEqual([stderr, status], ['', 0], args.join(' '))
        return stdout
      }
      const status = await told('status')
      for (const line of [
        /^Pending +280 token of tokens in 1 record$/m,
        / over-maximum: 5,000 token of tokens in 1 /,
        / restored: 33 token of tokens in 2 records/,
      ]) {
        assert.match(status, line)
      }
      assert.match(
        await told('held'),
        /^restored: 2 records$[\s\S]*^ +\S+ +2026-03-03T10Z +999999999998 +tokens +1 × 30 /m,
      )
      const statement = await told('statement')
      assert.match(statement, /^ +TOTAL +5,888 +532 +280 +5,044 +32 /m)
      assert.match(statement, /over-maximum 5,000, restored 33, not-subscribed 11$/m)
      assert.match(await told('statement', '--from', '2026-03-03T00:00Z'), / 999999999998 .* restored$/m)
      assert.match(statement, /^The equation holds for all \d+ series/m)
    })
  })
}

/** The code of an earlier release: a bundle of its engine. */
async function released(folder: TemporaryFolder, name: string): Promise<Record<string, unknown>> {
  const bundle = folder.file('released.mjs')
  const sdk = import.meta.resolve('@aws-sdk/client-dynamodb')
  const text = gunzipSync(fixture(name)).toString().replaceAll('"@aws-sdk/client-dynamodb"', JSON.stringify(sdk))
  writeFileSync(bundle, text)
  return await import(bundle)
}

type Open = (now: () => number) => Promise<Ledger>

/** Hours of replicas that know the schema before, and of others, which join them: all is billed once. */
async function goOnTogether(openBefore: Open, open: Open): Promise<void> {
  let now = hour(0)
  const before = await openBefore(() => now)
  await before.register(DIMENSIONS)
  const replicas: { ledger: Ledger; sequence: number; writer: string }[] = []
  const join = async (ledger: Ledger) => {
    replicas.push({ ledger, sequence: 0, writer: String(replicas.length).repeat(32) })
  }
  await join(before)
  const sent = new Map<string, number>()
  let given = 0
  for (let n = 0; n < 8; n += 1) {
    // The migration is in the middle of an hour; a replica of each release joins after it.
    if (n === 2) await join(await open(() => now))
    if (n === 4) await join(await openBefore(() => now))
    if (n === 6) await join(await open(() => now))
    for (const replica of replicas) {
      replica.sequence += 1
      const { ledger, writer, sequence } = replica
      await ledger.register(DIMENSIONS)
      await ledger.append({
        writer,
        sequence,
        entries: [entry(ALICE, REQUESTS, n, 7), entry(BOB, REQUESTS, n, sequence)],
      })
      given += 7 + sequence
    }
    now = closing(n)
    // Each does a part of the hour's work: one closes, another claims, a third settles.
    const turn = (k: number) => (replicas[(n + k) % replicas.length] as (typeof replicas)[number]).ledger
    await turn(0).closeHours(closeOptions(now))
    await turn(1).expire(now)
    const [lane] = (await turn(1).due(now)).lanes
    assert.ok(lane)
    const claimed = await turn(1).claim(lane, { now, limit: 25, claimedUntil: now + MINUTE })
    for (const record of claimed) {
      const key = `${record.account.key} ${record.timestamp}`
      assert.equal(sent.get(key), undefined, key)
      sent.set(key, record.quantity)
    }
    await turn(2).settle(
      claimed.map(record => ({ record, outcome: METERED, answer: 'Success' })),
      now,
    )
    // The release before knows nothing of what contracts include.
    const statements = await Promise.all(
      replicas.map(async ({ ledger }) => (await ledger.statement()).map(line => ({ ...line, included: 0n }))),
    )
    for (const statement of statements) assert.deepEqual(statement, statements[0])
    const figures = (figure: 'recorded' | 'metered') =>
      (statements[0] ?? []).reduce((sum, line) => sum + Number(line[figure] / UNIT), 0)
    assert.deepEqual([figures('recorded'), figures('metered')], [given, given])
  }
  assert.equal(
    [...sent.values()].reduce((sum, quantity) => sum + quantity, 0),
    given,
  )
  // What contracts include it would meter: it stops, and the others go on.
  const unknown = { after: HOUR, outcome: 'hold' } as const
  const [, present] = replicas
  await present?.ledger.registerIncluded(ALICE.product, { [REQUESTS.name]: { per: 'term', quantity: 1, unknown } }, BY)
  await assert.rejects(before.closeHours(closeOptions(now)), { code: 'ERR_LEDGER_NEWER' })
  await present?.ledger.closeHours(closeOptions(now))
  for (const { ledger } of replicas) await ledger.close()
}

test('PostgreSQL: replicas that know the schema before go on beside new ones, through the migration', async () => {
  using folder = new TemporaryFolder()
  const Earlier = (await released(folder, 'postgresql-5.mjs.gz')).PostgresqlLedger as typeof PostgresqlLedger
  databases += 1
  const name = `replicas ${databases}`
  await (await database(name)).end()
  const pool = new pg.Pool({ connectionString: addressOf(server.connectionString, name) })
  await goOnTogether(
    now => Earlier.open({ pool, now }),
    now => PostgresqlLedger.open({ pool, now }),
  )
  await pool.end()
})

describe('DynamoDB', { skip: withoutJava }, () => {
  test('replicas of the version before go on beside new ones', async () => {
    using folder = new TemporaryFolder()
    const Earlier = (await released(folder, 'dynamodb-4.mjs.gz')).DynamoDBLedger as typeof DynamoDBLedger
    const client = (local as DynamoDBLocal).client()
    const tableName = await (local as DynamoDBLocal).table(client)
    await goOnTogether(
      now => Earlier.open({ tableName, client, now }),
      now => DynamoDBLedger.open({ tableName, client, now }),
    )
  })

  test('items of format 4, among them batches of a cut that a process has died over, are all understood', async () => {
    await using left = await dynamodbLedger('dynamodb-4.json.gz')
    const booksOf = async (ledger: Ledger) => {
      await ledger.closeHours(closeOptions(closing(1)))
      for (const batch of life.BATCHES) await ledger.append(batch)
      await ledger.append({ writer: 'a'.repeat(32), sequence: 3, entries: [entry(ALICE, REQUESTS, 2, 2)] })
      await ledger.closeHours(closeOptions(closing(2)))
      return await life.read(ledger)
    }
    const client = (local as DynamoDBLocal).client()
    const anew = await DynamoDBLedger.open({ tableName: await (local as DynamoDBLocal).table(client), client })
    await life.begin(anew)
    assert.deepEqual(await booksOf(await left.open(Date.now)), await booksOf(anew))
  })
})
