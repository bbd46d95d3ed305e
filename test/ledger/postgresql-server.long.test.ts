import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, describe, test } from 'node:test'
import { inspect } from 'node:util'
import { brotliDecompressSync } from 'node:zlib'
import pg from 'pg'
import type { LedgerError } from '../../src/ledger/errors.ts'
import { MINUTE } from '../../src/ledger/hours.ts'
import type { CounterSources, Lane, Ledger, MeteringRecord, Observation, UsageEntry } from '../../src/ledger/ledger.ts'
import { packBatch, unpackBatch } from '../../src/ledger/postgresql/batch.ts'
import { Database } from '../../src/ledger/postgresql/database.ts'
import { PostgresqlLedger } from '../../src/ledger/postgresql/ledger.ts'
import { loadRecords, savePiece } from '../../src/ledger/postgresql/piece.ts'
import type { PostgresqlPool } from '../../src/ledger/postgresql/pool.ts'
import { MIGRATIONS } from '../../src/ledger/postgresql/schema.ts'
import type { Piece } from '../../src/ledger/sql/piece.ts'
import type { PieceRecord } from '../../src/ledger/sql/piece-rows.ts'
import { type CustomerAccount, customerAccount, type UnattributedAccount } from '../../src/usage/account.ts'
import { MAX_AMOUNT } from '../../src/usage/amount.ts'
import { audited, Books, sum } from './books.ts'
import { code } from './conformance/scenario.ts'
import { dying, losingHurriedly } from './postgresql/flaky-pool.ts'
import { Fleet } from './postgresql/fleet.ts'
import { addressOf, PostgresqlServer } from './postgresql/server.ts'
import { PostgresqlLedgers } from './postgresql/under-test.ts'
import { startJob } from './postgresql/worker.ts'
import { checkRestored, equations, useBeforeBackup } from './restored.ts'
import {
  ALICE,
  BOB,
  BY,
  CAROL,
  closeOptions,
  closing,
  DIMENSIONS,
  DORA,
  entry,
  hour,
  METERED,
  NOBODY,
  observing,
  REQUESTS,
  TOKENS,
  taggedEntries,
  UNIT,
  WRITER,
} from './scene.ts'

/** A batch's body as the version before wrote it, with a point of each kind. */
const FIRST_LAYOUT =
  'i/IAAICqqqrqn823w80PfvGDnNUA3PzkYH7ZTn6zmx8MFMAdTBXczQHc1FxNFRwcHBzADn72y8VPBze/+MHBzf1wcwA/OfjZtTzT9a6vHNiYg4/BYr' +
  'FY36ZenODA6eQ4m4kis3MBjn/rAPYk4rVMslglGfkhabmxMjMZMVqkljijVCthI/OizKlWwvXopg3yww5j3XJG8yhSNjET8R3kIUyMnJBnXbZwRsos' +
  'pV4D5ocC/AWghmmZd1tj9P6/uSx4PINyNwJqz7enxhG6g9/GXbxWaSQCcDpQe9LcB81vX9AbrMrSp1zc3DQSM7Cq1XHXvD1/rsP82AYADA=='

// It is killed, and its settings are changed.
const server = await PostgresqlServer.start()
const ledgers = new PostgresqlLedgers(server)
after(() => ledgers[Symbol.asyncDispose]())
const { pool } = ledgers

/** Runs SQL beside the ledger, in its schema. */
async function sql(schema: string, text: string): Promise<pg.QueryResult> {
  const client = await pool.connect()
  try {
    await client.query(`SET search_path TO "${schema}"`)
    return await client.query(text)
  } finally {
    await client.query('RESET search_path')
    client.release()
  }
}

/** Metered from the first hour on, by a metric without a name. */
const SOURCES: CounterSources = {
  ...{ product: ALICE.product, now: hour(0) },
  metrics: DIMENSIONS.map(({ name }) => ({ dimension: name, metric: '' })),
}

/** Whether a transaction waits for another. */
async function somebodyWaits(): Promise<boolean> {
  const { rowCount } = await pool.query("SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
  return (rowCount ?? 0) > 0
}

describe('opening', () => {
  test('ten replicas that start at once make one ledger', async () => {
    const schema = ledgers.schema()
    const all = await Promise.all(Array.from({ length: 10 }, () => ledgers.open(schema)))
    await Promise.all(all.map(ledger => ledger.register(DIMENSIONS)))
    await Promise.all(
      all.map(ledger =>
        ledger.append({
          writer: randomBytes(16).toString('hex'),
          sequence: 1,
          entries: [entry(ALICE, REQUESTS, 0, 1)],
        }),
      ),
    )
    const closed = await Promise.all(all.map(ledger => ledger.closeHours(closeOptions(closing(0)))))
    assert.equal(sum(closed.map(({ records }) => BigInt(records))), 1n)
    assert.deepEqual(await equations(all[0] as Ledger), { [`${ALICE.key} requests`]: [10, 0, 10, 0, 0] })
    for (const ledger of all) await ledger.close()
  })

  test('an older schema is brought forward, once, and a newer one is refused, also in the middle', async () => {
    const schema = ledgers.schema()
    const ledger = await ledgers.open(schema)
    await ledger.register(DIMENSIONS)
    const migrations = MIGRATIONS as string[]
    migrations.push('CREATE TABLE later (id integer PRIMARY KEY); INSERT INTO later VALUES (1);')
    try {
      for (const newer of await Promise.all([1, 2, 3].map(() => ledgers.open(schema)))) {
        await newer.append({
          writer: randomBytes(16).toString('hex'),
          sequence: 1,
          entries: [entry(ALICE, REQUESTS, 0, 1)],
        })
        await newer.close()
      }
      assert.equal((await sql(schema, 'SELECT * FROM later')).rowCount, 1)
    } finally {
      migrations.pop()
    }
    // Its tables are newer than this version knows, and have what it needs.
    assert.equal((await ledger.closeHours(closeOptions(closing(0)))).records, 1)
    await (await ledgers.open(schema)).close()
    await (await ledgers.open(schema, { readOnly: true })).close()
    await sql(schema, `UPDATE ledger SET version = ${MIGRATIONS.length + 1}`)
    await assert.rejects(ledgers.open(schema), code('ERR_LEDGER_NEWER'))
    await assert.rejects(ledgers.open(schema, { readOnly: true }), code('ERR_LEDGER_NEWER'))
    await assert.rejects(ledger.closeHours(closeOptions(closing(1))), code('ERR_LEDGER_NEWER'))
    await ledger.close()
  })

  test('of a ledger that an earlier version restored, what is held has its reason, and can be settled in part', async () => {
    const schema = ledgers.schema()
    await pool.query(`CREATE SCHEMA "${schema}"`)
    await sql(
      schema,
      `${MIGRATIONS[0]} UPDATE ledger SET version = 1;
       INSERT INTO dimension (name, unit, base_unit, size) VALUES ('requests', '{request}', '1', 1000000);
       INSERT INTO account (key, kind, product, account_id) VALUES ('${ALICE.key}', 'customer', 'prod-1', '111111111111');
       INSERT INTO series (account, dimension, first_hour, recorded) VALUES (1, 1, ${hour(0)}, 12500000);
       INSERT INTO lane (product, identity, region)
         VALUES ('prod-1', 'product-code', 'restored'), ('prod-1', 'product-code', 'us-east-1');
       INSERT INTO record (series, hour, timestamp, deadline, lane, quantity, size, state, reason, attempts)
         VALUES (1, ${hour(0)}, ${hour(1) - 1000}, ${hour(24)}, 1, 1, 5500000, 'held', 'in-doubt', 1),
                (1, ${hour(1)}, ${hour(2) - 1000}, ${hour(25)}, 2, 7, 1000000, 'held', 'in-doubt', 1)`,
    )
    const books = new Books()
    books.expect(ALICE, 'requests', 12_500_000n)
    const ledger = audited(await ledgers.open(schema), books)
    const held = await ledger.records({ state: 'held' })
    assert.deepEqual(held.map(({ id, reason }) => [id, reason]).sort(), [
      ['1', 'restored'],
      ['2', 'in-doubt'],
    ])
    await ledger.decide('1', 'billed', BY, 2)
    const [line] = await ledger.statement({ customer: ALICE.key })
    assert.deepEqual([line?.metered, line?.held, line?.balance], [2n * UNIT, 7n * UNIT, 3_500_000n])
    await ledger.close()
  })

  test('an agreement that an earlier version knew to have ended is known, and a reader sees it', async () => {
    const schema = ledgers.schema()
    await pool.query(`CREATE SCHEMA "${schema}"`)
    await sql(
      schema,
      `${MIGRATIONS.slice(0, 4).join('')} UPDATE ledger SET version = 4;
       INSERT INTO account (key, kind, product, account_id, ended_at)
         VALUES ('${ALICE.key}', 'customer', 'prod-1', '111111111111', ${hour(3)}),
                ('${BOB.key}', 'customer', 'prod-1', '222222222222', NULL)`,
    )
    await pool.query(PostgresqlLedger.migration({ schema, from: 4 }))
    const ledger = await ledgers.open(schema, { readOnly: true })
    assert.deepEqual(await ledger.agreements(), [{ account: ALICE, state: 'ended', until: hour(3) }])
    await ledger.close()
  })

  test('a migration that fails changes nothing', async () => {
    const schema = ledgers.schema()
    const migrations = MIGRATIONS as string[]
    migrations.push('CREATE TABLE later (id integer); CREATE TABLE later (id integer);')
    try {
      await assert.rejects(ledgers.open(schema), code('ERR_LEDGER_FOREIGN'))
    } finally {
      migrations.pop()
    }
    assert.equal((await pool.query('SELECT FROM pg_tables WHERE schemaname = $1', [schema])).rowCount, 0)
  })

  test("a schema with another application's tables is refused and left as it is", async () => {
    for (const table of ['account (id integer)', 'ledger (id integer)']) {
      const schema = ledgers.schema()
      await pool.query(`CREATE SCHEMA "${schema}"; CREATE TABLE "${schema}".${table}`)
      await assert.rejects(ledgers.open(schema), code('ERR_LEDGER_FOREIGN'))
      const tables = await pool.query('SELECT FROM pg_tables WHERE schemaname = $1', [schema])
      assert.equal(tables.rowCount, 1)
    }
  })

  test('a role that may not make tables works once they are there', async () => {
    const schema = ledgers.schema()
    await pool.query('CREATE ROLE replica LOGIN')
    const connectionString = server.connectionString.replace('postgres@', 'replica@')
    await assert.rejects(ledgers.open(schema, { connectionString }), (error: LedgerError) => {
      assert.equal(error.code, 'ERR_LEDGER_READ_ONLY')
      assert.match(error.message, /PostgresqlLedger\.migration\(\)/)
      return true
    })
    await pool.query(PostgresqlLedger.migration({ schema }))
    await assert.rejects(ledgers.open(schema, { connectionString }), code('ERR_LEDGER_READ_ONLY'))
    await pool.query(
      `GRANT USAGE ON SCHEMA "${schema}" TO replica;
       GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "${schema}" TO replica`,
    )
    const ledger = await ledgers.open(schema, { connectionString })
    await ledger.register(DIMENSIONS)
    await ledger.append({ writer: WRITER, sequence: 1, entries: [entry(ALICE, REQUESTS, 0, 2)] })
    assert.equal((await ledger.closeHours(closeOptions(closing(0)))).records, 1)
    assert.equal(await ledger.prune(hour(0)), 0)
    await ledger.close()
  })

  test('options that are wrong, and TLS that the server has not', async () => {
    for (const options of [{ schema: '' }, { schema: 'pg_own' }, { retryTimeout: 0 }, { statementTimeout: 1.5 }]) {
      await assert.rejects(PostgresqlLedger.open({ pool, ...options }), { code: 'ERR_CONFIGURATION' })
    }
    await assert.rejects(ledgers.open(ledgers.schema(), { ssl: true }), code('ERR_LEDGER_IO'))
  })

  test("what the application's sessions are set to does not matter", async () => {
    const schema = ledgers.schema()
    await (await ledgers.open(schema, { pool })).close()
    const own = new pg.Pool({
      ...{ connectionString: server.connectionString, max: 1 },
      options: '-c bytea_output=escape -c search_path=public -c default_transaction_isolation=serializable',
    })
    // What is temporary comes before all else of the same name.
    for (const table of ['batch', 'journal', 'usage', 'record', 'ledger']) {
      await own.query(`CREATE TEMP TABLE ${table} (LIKE "${schema}".${table} INCLUDING ALL)`)
    }
    const ledger = await ledgers.open(schema, { pool: own })
    await ledger.register(DIMENSIONS)
    const batch = { writer: WRITER, sequence: 1, entries: [entry(ALICE, REQUESTS, 0, 3)] }
    await ledger.append(batch)
    await ledger.append(batch)
    assert.equal((await ledger.closeHours(closeOptions(closing(0)))).records, 1)
    await own.end()
    const other = await ledgers.open(schema, { pool })
    assert.deepEqual(await equations(other), { [`${ALICE.key} requests`]: [3, 0, 3, 0, 0] })
  })

  test('no error tells the password', async () => {
    for (const [connectionString, expected] of [
      ['postgresql://user:s3cret@[bad/postgres', 'ERR_CONFIGURATION'],
      ['postgresql://user:s3cret@127.0.0.1:1/postgres', 'ERR_LEDGER_IO'],
      [server.connectionString.replace('postgres@', 'nobody:s3cret@'), 'ERR_LEDGER_IO'],
    ] as const) {
      await assert.rejects(PostgresqlLedger.open({ connectionString, retryTimeout: 50 }), (error: LedgerError) => {
        assert.equal(error.code, expected)
        assert.doesNotMatch(inspect(error, { depth: 9, showHidden: true }), /s3cret/)
        return true
      })
    }
  })

  test('no error tells what is in a row', async () => {
    const schema = ledgers.schema()
    const ledger = await ledgers.open(schema, { pool })
    await ledger.register(DIMENSIONS)
    await sql(
      schema,
      `CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
         RAISE EXCEPTION 'no' USING ERRCODE = '23505', DETAIL = 'Key (key)=(prod-1,${ALICE.accountId})';
       END $$;
       CREATE TRIGGER fail BEFORE INSERT ON batch FOR EACH ROW EXECUTE FUNCTION fail()`,
    )
    const batch = { writer: WRITER, sequence: 1, entries: [entry(ALICE, REQUESTS, 0, 1)] }
    await assert.rejects(ledger.append(batch), (error: LedgerError) => {
      assert.equal(error.code, 'ERR_LEDGER_CORRUPT')
      assert.doesNotMatch(inspect(error, { depth: 9, showHidden: true }), new RegExp(ALICE.accountId ?? ''))
      return true
    })
  })

  test('once closed it says so, and closing again does nothing', async () => {
    const ledger = await ledgers.open(ledgers.schema())
    await ledger.close()
    await ledger.close()
    await assert.rejects(ledger.statement(), code('ERR_LEDGER_CLOSED'))
    await assert.rejects(ledger.append({ writer: WRITER, sequence: 1, entries: [] }), code('ERR_LEDGER_CLOSED'))
    await assert.rejects(ledger.ping(), code('ERR_LEDGER_CLOSED'))
  })
})

describe('the journal', () => {
  const open = async () => {
    const schema = ledgers.schema()
    const ledger = await ledgers.open(schema, { pool })
    await ledger.register(DIMENSIONS)
    return { schema, ledger }
  }
  const journal = async (schema: string) => (await sql(schema, 'SELECT count(*)::int FROM journal')).rows[0].count

  test('a batch that an earlier version takes is packed as that does it, and only what it does not takes another layout', async () => {
    const first = [entry(ALICE, TOKENS, 0, 2n ** 72n), entry(NOBODY, REQUESTS, 1, 2n ** 62n + 1n)]
    const known = [...first, entry(ALICE, REQUESTS, 0, 5)]
    const [before, now] = await Promise.all(
      [known, [...known, entry(BOB, TOKENS, 0, MAX_AMOUNT)]].map(entries =>
        packBatch({ writer: 'ab'.repeat(16), sequence: 1, entries }),
      ),
    )
    // As it is in ledgers.
    assert.equal(before?.digest.toString('hex'), '4215d0cea60d0984fbc697b458a3de908d5bd578e158e5a53c576aea5b5de553')
    const layouts = [before, now].map(packed => brotliDecompressSync(packed?.body ?? '')[0])
    assert.deepEqual(layouts, [2, 3])
    const { usage, rows } = await unpackBatch(now?.body as Buffer)
    const amounts = Array.from({ length: rows }, (_, row) => usage.amount(row))
    assert.deepEqual(amounts.slice(-2), [5n * UNIT, MAX_AMOUNT])
    assert.equal(sum(amounts), 2n ** 72n + 2n ** 62n + 1n + 5n * UNIT + MAX_AMOUNT)
  })

  test('a batch has its own names, whatever the one before had, and whatever becomes of that', async () => {
    const entries = [entry(ALICE, TOKENS, 0, 1), entry(BOB, REQUESTS, 0, 2)]
    const packed = async (some: readonly UsageEntry[]) => {
      const { body, digest, dimensions } = await packBatch({ writer: WRITER, sequence: 1, entries: some })
      const { accounts, usage, ...unpacked } = await unpackBatch(body)
      assert.deepEqual(unpacked.dimensions, dimensions)
      const rows = some.map((_, row) => [accounts.account(row), dimensions[usage.dimension(row)]])
      assert.deepEqual(
        rows,
        some.map(({ account, dimension }) => [account, dimension]),
      )
      return digest.toString('hex')
    }
    const first = await packed(entries)
    assert.equal(await packed([...entries]), first)
    assert.equal(await packed([entry(BOB, REQUESTS, 0, 2), entry(ALICE, TOKENS, 0, 1)]), first)
    const others = new Set([first])
    others.add(await packed(entries.slice(0, 1)))
    others.add(await packed([entry(ALICE, TOKENS, 0, 1), entry(BOB, TOKENS, 0, 2)]))
    others.add(await packed(entries))
    entries.splice(0, 1, entry(CAROL, TOKENS, 0, 1))
    others.add(await packed(entries))
    Object.assign(entries[1] as UsageEntry, { account: NOBODY })
    others.add(await packed(entries))
    assert.equal(others.size, 5)
  })

  test('writers and those who fold it at once do not disturb each other: each batch counts once', async () => {
    const { schema, ledger } = await open()
    const another = await ledgers.open(schema, { pool })
    const customers = Array.from({ length: 300 }, (_, n): CustomerAccount => ({ ...ALICE, key: `prod-1,${n}` }))
    const write = async (ledger: Ledger) => {
      const writer = randomBytes(16).toString('hex')
      for (let sequence = 1; sequence <= 20; sequence += 1) {
        await ledger.append({ writer, sequence, entries: customers.map(one => entry(one, REQUESTS, sequence % 3, 1)) })
      }
    }
    const fold = async (ledger: Ledger) => {
      for (let times = 0; times < 6; times += 1) await ledger.statement()
    }
    await Promise.all([write(ledger), write(another), write(ledger), fold(ledger), fold(another)])
    const lines = await ledger.statement()
    assert.equal(lines.length, 300)
    assert.ok(lines.every(line => line.recorded === 60n * UNIT && line.balance === 60n * UNIT))
    assert.equal(await journal(schema), 0)
  })

  test('a long journal is folded in several transactions, each batch once', async () => {
    const { schema, ledger } = await open()
    await ledger.append({ writer: WRITER, sequence: 1, entries: [entry(ALICE, REQUESTS, 0, 1)] })
    await sql(
      schema,
      `INSERT INTO journal (writer, sequence, body, in_status)
       SELECT writer, n, body, in_status FROM journal, generate_series(2, 450) AS n`,
    )
    const folded = await Promise.all([ledger.statement(), ledger.statement()])
    for (const [line] of folded) assert.equal(line?.recorded, 450n * UNIT)
    assert.equal(await journal(schema), 0)
  })

  test('the status folds only what it would miss', async () => {
    const { schema, ledger } = await open()
    await ledger.append({ writer: WRITER, sequence: 1, entries: [entry(ALICE, REQUESTS, 0, 1)] })
    assert.deepEqual((await ledger.status()).unattributed, [])
    assert.equal(await journal(schema), 1)
    await ledger.append({ writer: WRITER, sequence: 2, entries: [entry(NOBODY, REQUESTS, 0, 3)] })
    assert.deepEqual((await ledger.status()).unattributed, [{ dimension: 'requests', amount: 3n * UNIT }])
    assert.equal(await journal(schema), 0)
  })

  test('asking whether the ledger can be read, for dimensions or for records folds nothing', async () => {
    const { schema, ledger } = await open()
    await ledger.register(DIMENSIONS, SOURCES)
    for (let sequence = 1; sequence <= 3; sequence += 1) {
      const observations = Array.from({ length: 100 }, (_, n) => ({
        ...{ counter: String(n).padStart(32, '0'), kind: 'cumulative' as const, account: ALICE, dimension: 'requests' },
        ...{ start: hour(0) * 1000 + 1, time: hour(0) * 1000 + 2, receivedAt: hour(0) + 1, value: BigInt(sequence) },
      }))
      const entries = [entry(NOBODY, REQUESTS, 0, 1)]
      await ledger.append({ writer: WRITER, sequence, entries, observations })
    }
    const books = async () => {
      const tables = ['ledger', 'journal', 'batch', 'operation', 'counter', 'series', 'account', 'open_usage', 'audit']
      return await Promise.all(tables.map(async table => (await sql(schema, `SELECT * FROM ${table}`)).rows))
    }
    const before = await books()
    for (let times = 0; times < 100; times += 1) await ledger.ping()
    assert.deepEqual(await ledger.dimensions(), DIMENSIONS)
    assert.deepEqual(await ledger.records({ ids: ['1'] }), [])
    assert.deepEqual(await books(), before)
    assert.equal(await journal(schema), 3)
  })

  test('a batch that cannot be read is told by its key, and nothing of it is lost', async () => {
    const { schema, ledger } = await open()
    await ledger.append({ writer: WRITER, sequence: 1, entries: [entry(ALICE, REQUESTS, 0, 1)] })
    await sql(schema, "ALTER TABLE journal ADD kept bytea; UPDATE journal SET kept = body, body = 'x'")
    await assert.rejects(ledger.statement(), (error: LedgerError) => {
      assert.equal(error.code, 'ERR_LEDGER_CORRUPT')
      assert.match(error.message, /Batch 1 of writer 0123456789abcdef/)
      return true
    })
    await assert.rejects(ledger.closeHours(closeOptions(closing(0))), code('ERR_LEDGER_CORRUPT'))
    await sql(schema, 'UPDATE journal SET body = kept')
    assert.equal((await ledger.closeHours(closeOptions(closing(0)))).records, 1)
  })

  test('what could not be folded is refused before', async () => {
    const { schema, ledger } = await open()
    const good = entry(ALICE, REQUESTS, 0, 1)
    const account = { ...ALICE, key: 'x'.repeat(2001) }
    const batch = { writer: WRITER, sequence: 1, entries: [good, { ...good, account }] }
    await assert.rejects(ledger.append(batch), code('ERR_LEDGER_INVALID'))
    const point = {
      ...{ counter: 'c0'.repeat(16), kind: 'cumulative' as const, account: ALICE, dimension: 'requests' },
      ...{ start: 1, time: 2, receivedAt: hour(0), value: 1n },
    }
    for (const bad of [{ time: 2.5 }, { start: 0.1 }, { receivedAt: 8.7e15 }, { counter: 'z'.repeat(32) }]) {
      const batch = { writer: WRITER, sequence: 1, entries: [], observations: [{ ...point, ...bad }] }
      await assert.rejects(ledger.append(batch), code('ERR_LEDGER_INVALID'))
    }
    assert.equal(await journal(schema), 0)
  })

  test('accounts come out as they went in', async () => {
    const { ledger } = await open()
    const strange: CustomerAccount = { ...BOB, key: 'another, "key" \\ of ü', customerIdentifier: '\u2028' }
    const usual: CustomerAccount[] = [
      { kind: 'customer', key: 'prod-2,customer=x', product: 'prod-2', customerIdentifier: 'x' },
      { kind: 'customer', key: '111111111111,arn:l', product: 'label', accountId: '111111111111', licenseArn: 'arn:l' },
    ]
    const all = [ALICE, BOB, CAROL, DORA, NOBODY, strange, ...usual]
    await ledger.append({ writer: WRITER, sequence: 1, entries: all.map(one => entry(one, TOKENS, 0, 1)) })
    // But for what PostgreSQL's text cannot have.
    const odd: UnattributedAccount = { ...NOBODY, key: 'odd', evidence: '{"a":"\\u0000"}\0' }
    await ledger.append({ writer: WRITER, sequence: 2, entries: [entry(odd, TOKENS, 0, 1)] })
    all.push({ ...odd, evidence: '{"a":"\\u0000"}\ufffd' })
    const accounts = (await ledger.statement()).map(({ account }) => account)
    const byKey = (a: { key: string }, b: { key: string }) => (a.key < b.key ? -1 : 1)
    assert.deepEqual(accounts.toSorted(byKey), all.toSorted(byKey))
  })

  test("our label of a licence's product may change, and its series stay the same", async () => {
    const { ledger } = await open()
    for (const [index, product] of ['label', 'new label', 'newest label'].entries()) {
      const account = { ...DORA, product }
      await ledger.append({ writer: WRITER, sequence: index + 1, entries: [entry(account, REQUESTS, 0, 1)] })
      if (index !== 1) assert.equal((await ledger.statement())[0]?.account.product, product)
    }
    await ledger.closeHours(closeOptions(closing(0)))
    assert.deepEqual(
      (await ledger.due(closing(0))).lanes.map(({ product }) => product),
      ['newest label'],
    )
    assert.deepEqual(await equations(ledger), { [`${DORA.key} requests`]: [3, 0, 3, 0, 0] })
  })

  test('several things found at once of the counters of a series that is new are all told', async () => {
    const { schema, ledger } = await open()
    await ledger.register(DIMENSIONS, SOURCES)
    let sequence = 0
    const observe = async (points: readonly Partial<Observation>[]) => {
      sequence += 1
      const observations = points.map(
        (point): Observation => ({
          ...{ counter: 'c0'.repeat(16), kind: 'cumulative', account: ALICE, dimension: 'requests', maxGap: MINUTE },
          ...{ start: hour(0) * 1000 + 1, time: hour(0) * 1000 + 2, receivedAt: hour(0) + MINUTE, value: 1n },
          ...point,
        }),
      )
      await ledger.append({ writer: WRITER, sequence, entries: [], observations })
    }
    const microseconds = hour(0) * 1000
    await observe([
      { counter: 'a0'.repeat(16), start: microseconds - 5, time: microseconds + 9, value: 9n * UNIT },
      { counter: 'de'.repeat(16), kind: 'delta', start: 1, time: 9 + microseconds, value: 5n },
      { counter: 'de'.repeat(16), kind: 'delta', start: 1, time: 9 + microseconds, value: 6n },
      { counter: '9a'.repeat(16), kind: 'gauge', start: 0, time: microseconds + 1, value: 1n },
      { counter: '9a'.repeat(16), kind: 'gauge', start: 0, time: microseconds + 3_600_000_000, value: 1n },
    ])
    const found = await ledger.audit()
    assert.ok(new Set(found.map(({ action }) => action)).size > 1, JSON.stringify(found.map(({ action }) => action)))
    assert.equal(await journal(schema), 0)
  })

  test('usage of a series that is gone is told, not lost', async () => {
    const { schema, ledger } = await open()
    await ledger.append({ writer: WRITER, sequence: 1, entries: [entry(ALICE, REQUESTS, 0, 1)] })
    await ledger.statement()
    await sql(schema, 'CREATE TABLE kept AS TABLE series; DELETE FROM series')
    await assert.rejects(ledger.closeHours(closeOptions(closing(0))), code('ERR_LEDGER_CORRUPT'))
    await sql(schema, 'INSERT INTO series OVERRIDING SYSTEM VALUE TABLE kept')
    assert.equal((await ledger.closeHours(closeOptions(closing(0)))).records, 1)
  })

  test('a digest that is gone leaves the sequence: a repeated batch is still known', async () => {
    const { schema, ledger } = await open()
    for (const sequence of [1, 2, 3]) {
      await ledger.append({ writer: WRITER, sequence, entries: [entry(ALICE, REQUESTS, 0, 1)] })
    }
    await ledger.closeHours(closeOptions(closing(100)))
    assert.deepEqual((await sql(schema, 'SELECT sequence::int FROM batch')).rows, [{ sequence: 3 }])
    for (const sequence of [1, 2, 3, 4]) {
      await ledger.append({ writer: WRITER, sequence, entries: [entry(ALICE, REQUESTS, 0, 1)] })
    }
    await assert.rejects(ledger.append({ writer: WRITER, sequence: 6, entries: [] }), code('ERR_LEDGER_BATCH_MISSING'))
    assert.equal((await ledger.statement())[0]?.recorded, 4n * UNIT)
  })

  test('writers that are gone for more than a year are forgotten', async () => {
    const { schema, ledger } = await open()
    const incarnations = ['0', '1', '2'].map(digit => digit.repeat(32))
    for (const writer of incarnations.slice(0, 2)) {
      await ledger.append({ writer, sequence: 1, entries: [entry(ALICE, REQUESTS, 0, 1)] })
    }
    const batches = async () => (await sql(schema, 'SELECT FROM batch')).rowCount
    await ledger.closeHours(closeOptions(closing(399 * 24)))
    assert.equal(await batches(), 2)
    const last = { writer: incarnations[2] as string, sequence: 1, entries: [entry(ALICE, REQUESTS, 401 * 24, 1)] }
    await ledger.append(last)
    await ledger.closeHours(closeOptions(closing(401 * 24)))
    assert.equal(await batches(), 1)
    assert.equal((await ledger.statement())[0]?.recorded, 3n * UNIT)
  })
})

test('an hour of many tag sets is closed by several transactions', async () => {
  const schema = ledgers.schema()
  const ledger = await ledgers.open(schema, { pool })
  await ledger.register(DIMENSIONS)
  await ledger.append({ writer: WRITER, sequence: 1, entries: taggedEntries(12, 2000) })
  await ledger.closeHours(closeOptions(closing(0)))
  const transactions = await sql(schema, 'SELECT count(*)::int AS records FROM record GROUP BY xmin::text ORDER BY 1')
  assert.deepEqual(
    transactions.rows.map(({ records }) => records),
    [1, 11],
  )
  const split = (await ledger.records()).map(({ allocations = [] }) => allocations.length)
  assert.deepEqual(split, Array(12).fill(2000))
})

describe('several processes', () => {
  test('all at once end exact', async () => {
    const schema = ledgers.schema()
    const jobs = ['1', '2', '3'].map(number => startJob('live', server.connectionString, schema, number))
    const sent = (await Promise.all(jobs.map(({ ended }) => ended))).map(messages => messages.at(-1))
    assert.ok(
      sent.every(one => typeof one === 'number'),
      String(sent),
    )
    const ledger = await ledgers.open(schema, { pool })
    for (let n = 10; n < 14; n += 1) await close(ledger, closing(n))
    assert.deepEqual(await equations(ledger), {
      [`${ALICE.key} requests`]: [5490, 5490, 0, 0, 0],
      [`${BOB.key} tokens`]: [126_000, 126_000, 0, 0, 0],
    })
    const metered = await ledger.records({ state: 'metered', limit: 1000 })
    assert.ok(
      metered.every(record => record.attempts === 1),
      'none was sent by two',
    )
  })

  test('one that is killed leaves all that it acknowledged, and at most one batch more', async () => {
    const schema = ledgers.schema()
    const { child, messages, ended } = startJob('endless', server.connectionString, schema)
    child.on('message', sequence => (sequence as number) >= 12 && child.kill('SIGKILL'))
    await ended
    const ledger = await ledgers.open(schema, { pool })
    const [line] = await ledger.statement()
    const recorded = Number((line?.recorded ?? 0n) / UNIT)
    const acknowledged = messages.at(-1) as number
    assert.ok(recorded >= acknowledged && recorded <= acknowledged + 1, `${recorded} of ${acknowledged}`)
    await ledger.closeHours(closeOptions(closing(acknowledged + 1)))
    const [closed] = await ledger.statement()
    assert.equal(closed?.recorded, closed?.pending)
  })

  /** Closes and sends all that is due. */
  async function close(ledger: Ledger, now: number): Promise<void> {
    await ledger.closeHours(closeOptions(now))
    for (const lane of (await ledger.due(now)).lanes) {
      const records = await ledger.claim(lane, { now, limit: 1000, claimedUntil: now })
      await ledger.settle(
        records.map(record => ({ record, outcome: METERED, answer: '' })),
        now,
      )
    }
  }
})

describe('a server in trouble', () => {
  /** Replicas with connections of their own. */
  const fleet = async (schema: string) => {
    const replicas = await Promise.all([1, 2, 3].map(() => ledgers.open(schema, { retryTimeout: 30_000 })))
    await replicas[0]?.register(DIMENSIONS)
    return { replicas, fleet: new Fleet(replicas) }
  }

  test('killed and started again: nothing that was acknowledged is lost, nothing is billed twice', async () => {
    // A server that would answer before it is durable, but that the ledger asks for more.
    await pool.query('ALTER SYSTEM SET synchronous_commit TO off')
    await pool.query("ALTER SYSTEM SET wal_writer_delay TO '10s'")
    await server.kill()
    await server.run()
    const { replicas, fleet: living } = await fleet(ledgers.schema())
    await living.live(35, async () => {
      await server.kill()
      await server.run()
    })
    await living.check()
    for (const replica of replicas) await replica.close()
    await pool.query('ALTER SYSTEM RESET ALL')
    await pool.query('SELECT pg_reload_conf()')
  })

  test('connections that are cut at any moment cost nothing', async () => {
    const schema = ledgers.schema()
    const { replicas, fleet: living } = await fleet(schema)
    let cut = 0
    await living.live(2, async () => {
      const { rowCount } = await pool.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE application_name LIKE 'opentelemetry%' ORDER BY random() LIMIT 2`,
      )
      cut += rowCount ?? 0
    })
    await living.check()
    assert.ok(cut > 50, `${cut} were cut`)
    for (const replica of replicas) await replica.close()
  })

  test('transactions that fail for others in their way are done again', async () => {
    const schema = ledgers.schema()
    const ledger = await ledgers.open(schema, { pool })
    await ledger.register(DIMENSIONS)
    for (const [table, sqlState] of [
      ['batch', '40001'],
      ['open_usage', '40P01'],
      ['record', '40001'],
    ]) {
      // A sequence goes on when a transaction does not.
      await sql(
        schema,
        `CREATE SEQUENCE ${table}_faults;
         CREATE FUNCTION fail_${table}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           IF nextval('${table}_faults') <= 2 THEN RAISE EXCEPTION 'in the way' USING ERRCODE = '${sqlState}'; END IF;
           RETURN new;
         END $$;
         CREATE TRIGGER fail BEFORE INSERT ON ${table} FOR EACH ROW EXECUTE FUNCTION fail_${table}()`,
      )
    }
    await ledger.append({ writer: WRITER, sequence: 1, entries: [entry(ALICE, REQUESTS, 0, 3)] })
    assert.equal((await ledger.closeHours(closeOptions(closing(0)))).records, 1)
    assert.deepEqual(await equations(ledger), { [`${ALICE.key} requests`]: [3, 0, 3, 0, 0] })
  })

  test('no free connection, a lock and a slow statement are waited for so long, then the ledger is busy', async () => {
    const schema = ledgers.schema()
    const single = new pg.Pool({ connectionString: server.connectionString, max: 1, connectionTimeoutMillis: 50 })
    // Made with time enough: how long that takes is the machine's affair.
    await (await ledgers.open(schema)).register(DIMENSIONS)
    const ledger = await ledgers.open(schema, { pool: single, retryTimeout: 200, statementTimeout: 150 })
    const batch = { writer: WRITER, sequence: 1, entries: [entry(ALICE, REQUESTS, 0, 1)] }

    const held = await single.connect()
    await assert.rejects(ledger.append(batch), code('ERR_LEDGER_BUSY'))
    held.release()
    await ledger.append(batch)

    // A pool of the application's that waits for ever does not have the ledger wait with it.
    const patient = new pg.Pool({ connectionString: server.connectionString, max: 1 })
    const guest = await ledgers.open(schema, { pool: patient, retryTimeout: 200 })
    const kept = await patient.connect()
    await assert.rejects(guest.append({ ...batch, sequence: 2 }), {
      code: 'ERR_LEDGER_BUSY',
      message:
        /the pool had no connection in time; give it more \(max\), find what keeps them, or let the ledger have /,
    })
    kept.release()
    // What it no longer waited for is given back.
    await guest.append({ ...batch, sequence: 2 })
    assert.deepEqual([patient.idleCount, patient.waitingCount], [1, 0])
    await patient.end()

    const other = await pool.connect()
    await other.query(`BEGIN; SELECT FROM "${schema}".ledger FOR UPDATE`)
    await assert.rejects(ledger.closeHours(closeOptions(closing(0))), code('ERR_LEDGER_BUSY'))
    await ledger.append({ ...batch, sequence: 3 })
    await other.query('ROLLBACK')
    other.release()

    await sql(
      schema,
      `CREATE FUNCTION sleep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(1); RETURN new; END $$;
       CREATE TRIGGER sleep BEFORE INSERT ON record FOR EACH ROW EXECUTE FUNCTION sleep()`,
    )
    await assert.rejects(ledger.closeHours(closeOptions(closing(0))), code('ERR_LEDGER_BUSY'))
    await sql(schema, 'DROP TRIGGER sleep ON record')
    assert.equal((await ledger.closeHours(closeOptions(closing(0)))).records, 1)
    assert.equal((await ledger.statement())[0]?.pending, 3n * UNIT)
    await single.end()
  })

  test('one that takes no writes is a replica, or was the primary: it is asked again, then said so', async () => {
    const schema = ledgers.schema()
    const ledger = await ledgers.open(schema, { retryTimeout: 300, connections: 1 })
    await ledger.register(DIMENSIONS)
    const batch = { writer: WRITER, sequence: 1, entries: [entry(ALICE, REQUESTS, 0, 1)] }
    await pool.query('ALTER DATABASE postgres SET default_transaction_read_only TO on')
    await pool.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'opentel%'")
    await assert.rejects(ledger.append(batch), code('ERR_LEDGER_READ_ONLY'))
    assert.deepEqual(await ledger.statement(), [], 'it can be read')
    const appended = ledger.append(batch)
    await pool.query(
      'SET default_transaction_read_only TO off; ALTER DATABASE postgres RESET default_transaction_read_only',
    )
    await appended
    assert.equal((await ledger.statement())[0]?.recorded, UNIT)
    await ledger.close()
  })

  test('an answer under an id that another record got in a server that lost the last of them changes nothing', async () => {
    const ledger = await ledgers.open(ledgers.schema(), { pool })
    await ledger.register(DIMENSIONS)
    await ledger.append({ writer: WRITER, sequence: 1, entries: [entry(ALICE, REQUESTS, 0, 7)] })
    await ledger.closeHours(closeOptions(closing(0)))
    const [lane] = (await ledger.due(closing(0))).lanes
    assert.ok(lane)
    const [record] = await ledger.claim(lane, { now: closing(0), limit: 1, claimedUntil: closing(0) })
    assert.ok(record)
    for (const other of [{ account: BOB }, { dimension: 'tokens' }, { quantity: 8 }, { timestamp: hour(1) }]) {
      const lost: MeteringRecord = { ...record, ...other }
      assert.deepEqual(await ledger.settle([{ record: lost, outcome: METERED, answer: '' }], closing(0)), [])
    }
    assert.deepEqual(await equations(ledger), { [`${ALICE.key} requests`]: [7, 0, 7, 0, 0] })
    // Another second of its hour is one that it had before.
    const earlier = { ...record, timestamp: hour(0) }
    assert.equal((await ledger.settle([{ record: earlier, outcome: METERED, answer: '' }], closing(0))).length, 1)
    assert.deepEqual(await equations(ledger), { [`${ALICE.key} requests`]: [7, 7, 0, 0, 0] })
  })
})

test('a commit that is under way when its answer is given up is waited for, and found', async () => {
  const schema = ledgers.schema()
  const plain = await ledgers.open(schema, { pool })
  await plain.register(DIMENSIONS.map(dimension => ({ ...dimension, maxQuantity: 1 })))
  const ledger = await ledgers.open(schema, {
    pool: losingHurriedly(pool, async () => {
      while (!(await somebodyWaits()));
    }),
  })
  const batch = (sequence: number) => ({
    writer: WRITER,
    sequence,
    entries: [entry(ALICE, REQUESTS, sequence, 3 - sequence)],
  })
  await ledger.append(batch(1))
  await ledger.append(batch(2))
  const closed = await ledger.closeHours(closeOptions(closing(1)))
  const [held] = closed.held
  assert.ok(held)
  assert.deepEqual([closed.records, held.reason], [1, 'over-maximum'])
  await ledger.decide(held.id, 'release', BY)
  await ledger.closeHours(closeOptions(closing(2)))
  const [lane] = (await ledger.due(closing(2))).lanes
  assert.ok(lane)
  const claimed = await ledger.claim(lane, { now: closing(2), limit: 1, claimedUntil: closing(2) + MINUTE })
  assert.deepEqual(
    claimed.map(({ attempts }) => attempts),
    [1],
  )
  const settlements = claimed.map(record => ({ record, outcome: METERED, answer: 'Success' }))
  assert.deepEqual(
    (await ledger.settle(settlements, closing(2))).map(({ state }) => state),
    ['metered'],
  )
  assert.deepEqual(await equations(ledger), { [`${ALICE.key} requests`]: [3, 3, 0, 0, 0] })
  assert.equal((await ledger.audit()).length, 1)
})

test('a claim leaves what another one is just taking', async () => {
  const schema = ledgers.schema()
  const ledger = await ledgers.open(schema, { pool })
  await ledger.register(DIMENSIONS)
  await ledger.append({ writer: WRITER, sequence: 1, entries: [ALICE, BOB].map(one => entry(one, REQUESTS, 0, 7)) })
  await ledger.closeHours(closeOptions(closing(0)))
  const [first, second] = (await ledger.records()).toReversed()
  const [lane] = (await ledger.due(closing(0))).lanes
  const claiming = await pool.connect()
  try {
    await claiming.query(`BEGIN; UPDATE "${schema}".record SET attempts = 1 WHERE id = ${first?.id}`)
    const options = { now: closing(0), limit: 25, claimedUntil: closing(0) + MINUTE }
    const claimed = await ledger.claim(lane as Lane, options)
    assert.deepEqual(
      claimed.map(({ id, attempts }) => [id, attempts]),
      [[second?.id, 1]],
    )
  } finally {
    await claiming.query('ROLLBACK')
    claiming.release()
  }
})

test('a claim that is just being made is waited for, and not overruled', async () => {
  const schema = ledgers.schema()
  const ledger = await ledgers.open(schema, { pool })
  await ledger.register(DIMENSIONS)
  await ledger.append({ writer: WRITER, sequence: 1, entries: [entry(ALICE, REQUESTS, 0, 7)] })
  await ledger.closeHours(closeOptions(closing(0)))
  const over = hour(24)
  const claiming = await pool.connect()
  await claiming.query(`BEGIN; UPDATE "${schema}".record SET attempts = 1, claimed_until = ${over + MINUTE}`)
  const expired = ledger.expire(over)
  while (!(await somebodyWaits()));
  await claiming.query('COMMIT')
  claiming.release()
  assert.deepEqual(await expired, { returned: 0, held: [] })
  assert.deepEqual(
    (await ledger.expire(over + MINUTE)).held.map(({ reason }) => reason),
    ['in-doubt'],
  )
})

describe('the clock', () => {
  test("is the server's, asked for now and then, and again when this process's jumps", async () => {
    let connections = 0
    const counting = {
      connect: async () => {
        connections += 1
        return await pool.connect()
      },
      end: () => pool.end(),
    }
    const ledger = await ledgers.open(ledgers.schema(), { pool: counting })
    connections = 0
    const here = Date.now()
    for (const ahead of [0, 0, 0]) assert.ok(Math.abs((await ledger.clock.now(here + ahead)) - here) < 1000)
    assert.equal(connections, 1)
    // A process whose clock is a day ahead knows the time all the same.
    for (const _ of ['asked', 'known']) assert.ok(Math.abs((await ledger.clock.now(here + 86_400_000)) - here) < 1000)
    assert.equal(connections, 2)
    assert.ok(Number.isInteger(await ledger.clock.now(here + 0.5)))
  })

  test('is the one that is given', async () => {
    const ledger = await ledgers.open(ledgers.schema(), { pool, now: () => hour(3) })
    assert.equal(await ledger.clock.now(0), hour(3))
  })
})

describe("others' counters", () => {
  const micros = (minute: number) => (hour(0) + minute * MINUTE) * 1000
  const point = (name: string, minute: number, value: number, more: Partial<Observation> = {}): Observation => ({
    ...{ counter: name.repeat(16), kind: 'cumulative', account: ALICE, dimension: 'requests', start: micros(0) + 1 },
    ...{ time: micros(minute), receivedAt: hour(0) + minute * MINUTE, value: BigInt(value) * UNIT },
    ...more,
  })
  /** As a gateway names them now. */
  const named = (name: string, minute: number, value: number, more: Partial<Observation> = {}) => {
    const stream = { key: '5e'.repeat(16), target: '7a'.repeat(6), metric: 'tasks', attributes: '{"host":"\\u0000é"}' }
    return point(name, minute, value, { stream, series: [...name].reverse().join('').repeat(16), ...more })
  }
  const batch = (sequence: number, ...observations: Observation[]) => ({
    writer: WRITER,
    sequence,
    entries: [],
    observations,
  })

  test('a ledger of the version before goes on, with what is in its journal', async () => {
    const schema = ledgers.schema()
    await pool.query(`CREATE SCHEMA "${schema}"`)
    await sql(schema, `${MIGRATIONS[0]}; UPDATE ledger SET version = 1`)
    const counters = {
      c0: `${micros(1)} 0 0 0 0 ${micros(0) + 1}:${100n * UNIT}`,
      c1: `${micros(1)} 0 0 0 0 ${micros(0) + 1}:${50n * UNIT}`,
    }
    for (const [name, state] of Object.entries({ ...counters, 50: `${micros(1)} ${1000n * UNIT} 0 0 0` })) {
      await sql(schema, `INSERT INTO counter VALUES ('${name.repeat(16)}', '${state}')`)
    }
    await sql(
      schema,
      `INSERT INTO dimension (name, unit, base_unit, size)
       VALUES ('requests', '{request}', '1', ${UNIT}), ('gpu', 'h', 's', ${3600n * UNIT});
       INSERT INTO product VALUES ('${ALICE.product}', ${hour(0)});
       INSERT INTO batch VALUES ('${'ab'.repeat(16)}', 1, '', 0);
       INSERT INTO journal (writer, sequence, body, in_status)
       VALUES ('${'ab'.repeat(16)}', 1, decode('${FIRST_LAYOUT}', 'base64'), true)`,
    )
    const ledger = await ledgers.open(schema, { pool })
    const metrics = DIMENSIONS.map(({ name }) => ({ dimension: name, metric: 'tasks' }))
    await ledger.register(DIMENSIONS, { product: ALICE.product, now: hour(5), metrics })
    // In the journal: 10 more of c0, 7 of one that is new, 5 of one that is scraped, a delta of 3, and a level of 2.
    const twice = named('c0', 3, 120)
    await ledger.append(
      batch(1, twice, named('ca', 3, 9), named('c1', 3, 51), named('50', 3, 1006, { kind: 'scraped', start: 0 })),
    )
    await ledger.append(batch(2, twice, point('de', 2, 3, { kind: 'delta', start: micros(0) + 1 })))
    const level = { kind: 'gauge' as const, dimension: 'gpu', start: 0, maxGap: 10 * MINUTE * 1000 }
    await ledger.append(batch(3, named('60', 3, 2, level)))
    assert.deepEqual(await equations(ledger), {
      [`${ALICE.key} requests`]: [20 + 9 + 1 + 6 + 3, 0, 0, 0, 20 + 9 + 1 + 6 + 3],
      [`${ALICE.key} gpu`]: [120, 0, 0, 0, 120],
    })
    assert.deepEqual((await ledger.status()).notCounted, {})
  })

  test('a stream comes out as it went in, and one that could not be folded is refused', async () => {
    const schema = ledgers.schema()
    const ledger = await ledgers.open(schema, { pool })
    await ledger.register(DIMENSIONS)
    const good = named('c0', 1, 1)
    const stream = good.stream as NonNullable<Observation['stream']>
    for (const bad of [{ key: 'x' }, { target: '' }, { metric: 'm'.repeat(501) }, { attributes: '{' }]) {
      const one = { ...good, stream: { ...stream, ...bad } }
      await assert.rejects(ledger.append(batch(1, one)), code('ERR_LEDGER_INVALID'))
    }
    for (const bad of [{ series: 'E'.repeat(32) }, { start: 2 ** 52 }]) {
      await assert.rejects(ledger.append(batch(1, { ...good, ...bad })), code('ERR_LEDGER_INVALID'))
    }
    const { body } = await packBatch(batch(1, good, { ...good, value: 2n ** 120n }, point('c1', 1, 1)))
    const { observations } = await unpackBatch(body)
    assert.deepEqual(observations, [
      { ...good, maxGap: 0 },
      { ...good, maxGap: 0, value: 2n ** 120n },
      { ...point('c1', 1, 1), maxGap: 0, series: 'c1'.repeat(16) },
    ])
  })

  test('batches that are folded together come to the same as each by itself', async () => {
    const ends = []
    for (const folds of [true, false]) {
      const schema = ledgers.schema()
      const ledger = await ledgers.open(schema, { pool })
      await ledger.register(DIMENSIONS, SOURCES)
      // A sender whose start moves, and beside it one whose customers come late.
      for (let minute = 1; minute <= 8; minute += 1) {
        const moving = named('c0', minute, 10 * minute, { start: micros(minute - 1) })
        const stream = { ...(moving.stream as NonNullable<Observation['stream']>), key: '0d'.repeat(16) }
        const old = { start: micros(-60), stream }
        const late = minute > 4 ? [named('cb', minute, 7 * minute, old)] : []
        await ledger.append(batch(minute, moving, named('ca', minute, 1000 + minute, old), ...late))
        if (folds) await ledger.statement()
      }
      const found = [await equations(ledger), await ledger.status()]
      ends.push([...found, (await sql(schema, 'SELECT * FROM counter ORDER BY key')).rows])
    }
    assert.deepEqual(ends[0], ends[1])
    assert.deepEqual((ends[0] as unknown[])[0], { [`${ALICE.key} requests`]: [80 + 7 + 56, 0, 0, 0, 80 + 7 + 56] })
  })

  test('closing that dies at any point and is done again comes to the same', async () => {
    const tables = ['counter', 'stream', 'shared_start', 'delta', 'metered', 'not_counted', 'journal']
    /** All that a course comes to whose first closing dies after so many statements. */
    const course = async (statements: number) => {
      const schema = ledgers.schema()
      const ledger = await ledgers.open(schema, { pool })
      await ledger.register(DIMENSIONS, SOURCES)
      const scraped = { kind: 'scraped', start: micros(-60) } as const
      const delta = { kind: 'delta', start: micros(0) } as const
      await ledger.append(batch(1, named('c0', 1, 5), named('50', 1, 1000, scraped), named('de', 1, 3, delta)))
      await ledger.append(batch(2, named('c0', 2, 8), named('50', 2, 1010, { ...scraped, start: 0 })))
      await ledger.append(batch(3, named('ca', 3, 9), named('50', 3, 500, { ...scraped, start: 0 })))
      const mortal = dying(pool)
      const other = await ledgers.open(schema, { pool: mortal })
      mortal.left = statements
      const died = await other.closeHours(closeOptions(closing(0))).then(
        () => false,
        () => true,
      )
      await ledger.closeHours(closeOptions(closing(0)))
      const found: unknown[] = [await ledger.statement(), await ledger.status(), (await ledger.records()).length]
      found.push((await ledger.audit()).map(({ action, amount, detail }) => [action, amount, detail]))
      for (const table of tables) found.push((await sql(schema, `SELECT * FROM ${table} ORDER BY 1, 2`)).rows)
      return { died, found }
    }
    const whole = await course(1000)
    assert.equal(whole.died, false)
    assert.match(inspect(whole.found), /balance/)
    let statements = 0
    for (let died = true; died; statements += 4) {
      const one = await course(statements)
      assert.deepEqual(one.found, whole.found, `after ${statements} statements`)
      died = one.died
    }
    assert.ok(statements > 30, `${statements} statements`)
  })
})

describe('a database that was restored', () => {
  /** A copy of a database as it is now, as a snapshot or a point in time is restored. */
  const copyOf = async (database: string, copy: string): Promise<string> => {
    await pool.query(`CREATE DATABASE ${copy} TEMPLATE ${database}`)
    return addressOf(server.connectionString, copy)
  }
  const original = async (database: string) => {
    await pool.query(`CREATE DATABASE ${database}`)
    const connectionString = addressOf(server.connectionString, database)
    const ledger = await PostgresqlLedger.open({ connectionString })
    await ledger.register(DIMENSIONS)
    return ledger
  }

  test('what the lost one may have billed is held in doubt, the rest goes on', async () => {
    const books = new Books()
    const lost = await original('lost')
    const ledger = audited(lost, books)
    await useBeforeBackup(ledger, () => {
      // In the journal only.
      books.paused = true
    })
    books.paused = false
    await lost.close()
    const now = hour(5) + 20 * MINUTE
    const connectionString = await copyOf('lost', 'restored')
    const opened = await PostgresqlLedger.open({ connectionString })
    await opened.declareRestored({ ...BY, now })
    const restored = audited(opened, books)
    await checkRestored(restored, now)
    await opened.close()
  })

  test("what was held, and what others' counters added since, may have been billed", async () => {
    const lost = await original('lost_too')
    await lost.register(
      DIMENSIONS.map(dimension => ({ ...dimension, maxQuantity: 1 })),
      SOURCES,
    )
    const observe = observing(WRITER)
    await observe(lost, 1, 100, 'cumulative')
    await lost.closeHours(closeOptions(closing(0)))
    await lost.close()
    const restored = await PostgresqlLedger.open({ connectionString: await copyOf('lost_too', 'restored_too') })
    await restored.declareRestored({ ...BY, now: hour(5) })
    const [record] = await restored.records()
    assert.deepEqual([record?.state, record?.reason], ['held', 'restored'])
    await observe(restored, 1, 100, 'cumulative')
    await observe(restored, 301, 160, 'cumulative')
    await observe(restored, 302, 165, 'cumulative')
    await observe(restored, 303, 1, 'delta')
    await observe(restored, 299, 7, 'delta')
    const lines = await restored.statement()
    const recorded = (kind: string) =>
      Number(sum(lines.filter(({ account }) => account.kind === kind).map(line => line.recorded)) / UNIT)
    assert.deepEqual([recorded('customer'), recorded('unattributed')], [106, 60 + 7])
    await restored.close()
  })
})

test('what closing costs does not grow with the hour, whatever the statistics know of it', async () => {
  const schema = ledgers.schema()
  const own = new pg.Pool({ connectionString: server.connectionString, max: 1 })
  const ledger = await ledgers.open(schema, { pool: own })
  await ledger.register(DIMENSIONS)
  // Each AWS account is a customer by its product code, and by a licence.
  const customers = Array.from({ length: 1000 }, (_, n): CustomerAccount => {
    const accountId = String(100_000_000_000 + Math.floor(n / 2))
    return n % 2 === 0
      ? customerAccount({ product: 'prod-1', accountId })
      : customerAccount({ product: 'label', accountId, licenseArn: `${DORA.licenseArn}${n}` })
  })
  let sequence = 0
  const append = async (n: number) => {
    sequence += 1
    await ledger.append({ writer: WRITER, sequence, entries: customers.map(one => entry(one, REQUESTS, n, 2)) })
  }
  await append(0)
  await ledger.closeHours(closeOptions(closing(0)))
  await sql(schema, 'ANALYZE')
  await append(1)
  await ledger.closeHours(closeOptions(closing(1)))
  await append(1)
  const reads = readsOf(schema)
  await shown(own)
  const before = await reads()
  await ledger.closeHours(closeOptions(closing(2)))
  await shown(own)
  await own.end()
  const read = ((await reads()).record ?? 0) - (before.record ?? 0)
  assert.ok(read < 20_000, `${read} rows of record were read`)
})

test('usage that is metered leaves nothing to look at again', async () => {
  const schema = ledgers.schema()
  const ledger = await ledgers.open(schema, { pool })
  await ledger.register(DIMENSIONS)
  await ledger.append({ writer: WRITER, sequence: 1, entries: [entry(ALICE, REQUESTS, 0, 2)] })
  await ledger.closeHours(closeOptions(closing(0)))
  const [lane] = (await ledger.due(closing(0))).lanes
  assert.ok(lane)
  const records = await ledger.claim(lane, { now: closing(0), limit: 1, claimedUntil: closing(0) })
  await ledger.settle(
    records.map(record => ({ record, outcome: METERED, answer: '' })),
    closing(0),
  )
  assert.equal((await sql(schema, 'SELECT FROM series WHERE unfrozen')).rowCount, 0)
})

/** Has what a session has counted be seen, as it would be once it is idle. */
async function shown(pool: pg.Pool): Promise<void> {
  await pool.query('SELECT pg_stat_force_next_flush()')
  await pool.query('SELECT')
}

/** Tells how many rows of tables were read, as far as it was shown. */
const readsOf = (schema: string) => async (): Promise<Record<string, number>> => {
  const { rows } = await pool.query(
    `SELECT relname, seq_tup_read + idx_tup_fetch AS rows FROM pg_stat_user_tables
     WHERE schemaname = $1 AND relname IN ('record', 'usage')`,
    [schema],
  )
  return Object.fromEntries(rows.map(({ relname, rows }) => [relname, Number(rows)]))
}

test('what a pass costs does not grow with history', async () => {
  const schema = ledgers.schema()
  const ledger = await ledgers.open(schema, { pool })
  await ledger.register(DIMENSIONS)
  const customers = Array.from({ length: 200 }, (_, n): CustomerAccount => ({ ...ALICE, key: `prod-1,${n}` }))
  const appendHour = async (n: number) =>
    await ledger.append({ writer: WRITER, sequence: n + 1, entries: customers.map(one => entry(one, REQUESTS, n, 2)) })
  await appendHour(0)
  await ledger.closeHours(closeOptions(closing(0)))
  // A year of records and usage, all of it settled but for the youngest, as statistics mostly find it.
  await sql(
    schema,
    `UPDATE series SET metered = recorded;
     INSERT INTO record (series, hour, timestamp, deadline, lane, quantity, size, state)
     SELECT series, hour - n * 3600000, timestamp, deadline, lane, quantity, size, 'metered'
     FROM record, generate_series(1, 200) AS n;
     INSERT INTO usage SELECT hour - n * 3600000, series, amount FROM usage, generate_series(1, 200) AS n`,
  )
  await sql(schema, 'ANALYZE')
  const reads = readsOf(schema)
  const own = new pg.Pool({ connectionString: server.connectionString, max: 1 })
  const replica = await ledgers.open(schema, { pool: own })
  const before = await reads()
  await appendHour(1)
  await replica.closeHours(closeOptions(closing(1)))
  await replica.expire(closing(1))
  for (const lane of (await replica.due(closing(1))).lanes) {
    const records = await replica.claim(lane, { now: closing(1), limit: 25, claimedUntil: closing(1) })
    await replica.settle(
      records.map(record => ({ record, outcome: METERED, answer: '' })),
      closing(1),
    )
  }
  await replica.due(closing(1))
  await replica.status()
  await replica.records({ ids: ['1', '2'] })
  await replica.statement()
  await replica.statement({ customer: 'prod-1,7', from: hour(-200), to: hour(1) })
  await replica.statement({ customer: 'prod-1,8', dimension: REQUESTS.name, from: hour(-200) })
  await replica.records({ state: 'pending' })
  await shown(own)
  await own.end()
  const after = await reads()
  for (const table of ['record', 'usage']) {
    const read = (after[table] ?? 0) - (before[table] ?? 0)
    assert.ok(read < 5000, `${read} rows of ${table} were read`)
  }
})

test('a write that would not add up fails, and leaves everything as it was', async () => {
  const schema = ledgers.schema()
  const ledger = await ledgers.open(schema)
  await ledger.register(DIMENSIONS)
  await ledger.append({ writer: WRITER, sequence: 1, entries: [entry(ALICE, REQUESTS, 0, 7)] })
  await ledger.closeHours(closeOptions(closing(0)))
  const before = [await ledger.statement(), await ledger.records()]
  const database = new Database(pool as unknown as PostgresqlPool, false, {
    ...{ schema, statementTimeout: 10_000, retryTimeout: 10_000 },
  })
  const faults: ((piece: Piece) => unknown)[] = [
    ({ records }) => Object.assign(records[0] as object, { state: 'metered' }),
    piece => Object.assign(piece.seriesOf(piece.records[0] as PieceRecord), { balance: 1n }),
  ]
  for (const fault of faults) {
    const write = database.write('break the equation', async transaction => {
      const piece = await loadRecords(transaction, 'true')
      fault(piece)
      await savePiece(transaction, piece)
    })
    await assert.rejects(write, (error: LedgerError) => {
      assert.equal(error.code, 'ERR_LEDGER_EQUATION')
      assert.match(
        error.message,
        /requests of the account "prod-1,111111111111" .* recorded 7 to 7, included 0 to 0, metered 0 to 0, /,
      )
      return true
    })
  }
  assert.deepEqual([await ledger.statement(), await ledger.records()], before)
  await ledger.close()
})
