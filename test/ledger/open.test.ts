import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import pg from 'pg'
import { spooled } from '../../src/ledger/clients/spool.ts'
import type { Ledger } from '../../src/ledger/ledger.ts'
import { expectedOfLedger, ledgerFile, ledgerName, openLedger } from '../../src/ledger/open.ts'
import { PostgresqlLedger } from '../../src/ledger/postgresql/ledger.ts'
import { SqliteLedger } from '../../src/ledger/sqlite/ledger.ts'
import { addressOf, sharedPostgresql } from './postgresql/server.ts'

test('addresses, and how they are shown: without user, password and settings', () => {
  const shown: [address: string, name: string, file?: string][] = [
    ['ledger.sqlite', 'ledger.sqlite', 'ledger.sqlite'],
    ['/var/lib/a b/ledger', '/var/lib/a b/ledger', '/var/lib/a b/ledger'],
    ['postgresql://meter:hunter2@db:5432/usage?sslmode=require', 'postgresql://db:5432/usage'],
    ['postgres://db/usage?password=hunter2', 'postgres://db/usage'],
    ['postgresql://db/usage?sslmode=require&application_name=gateway', 'postgresql://db/usage'],
    ['./a=b@c:d.sqlite', './a=b@c:d.sqlite', './a=b@c:d.sqlite'],
    ['C:\\data\\ledger.sqlite', 'C:\\data\\ledger.sqlite', 'C:\\data\\ledger.sqlite'],
    ['postgresql://meter:hunter2@/usage?host=%2Frun%2Fpostgresql', 'postgresql://…'],
    ['postgresql://meter:a,b@db/usage?schema=stag%20ing&password=hunter2', 'postgresql://db/usage?schema=stag%20ing'],
    ['dynamodb://Usage_1.b?region=us-east-1&endpoint=http://localhost:8000', 'dynamodb://Usage_1.b'],
    ['dynamodb:usage', 'dynamodb:usage'],
  ]
  for (const [address, name, file] of shown) {
    assert.deepEqual(
      [address, expectedOfLedger(address), ledgerName(address), ledgerFile(address)],
      [address, undefined, name, file],
    )
  }
})

test('what is no address is refused, and shows no password', async () => {
  const usual = /^Expected a ledger's path, postgresql:.* or dynamodb:.*, got /
  const encoded =
    /^Expected postgresql:.* with \/ \? # @ of its user and password written as %2F %3F %23 %40, got postgresql:/
  const wrong: [address: string, message: RegExp][] = [
    ['', / got nothing\.$/],
    [':memory:', / got :memory:\.$/],
    ['file:ledger?mode=memory', / got a URI of SQLite \(file:…\)\.$/],
    ['file:///var/lib/ledger.sqlite', usual],
    ['mysql://meter:hunter2@db/x', usual],
    ['hunter2://meter:x@db/x', usual],
    ['jdbc:postgresql://db/x?password=hunter2', usual],
    ['meter:hunter2@db/x', usual],
    ['//meter:hunter2@db/x', usual],
    ['host=db password=hunter2', usual],
    ['host=/run/postgresql user=meter password=hunter2', usual],
    ['/run/postgresql password=hunter2', usual],
    ['Server=db;Password=hunter2', usual],
    ['a\0b', usual],
    ['postgresql://', /^Expected postgresql:\/\/user@host\/database, got /],
    ['postgresql://meter:hunter/2@/usage', encoded],
    ['postgresql://meter:12/hunter2@db/usage', encoded],
    ['postgresql://meter:12?hunter2@db/usage', encoded],
    ['postgresql://meter:12?a=hunter2@db/usage', encoded],
    ['postgresql://meter:12#hunter2@db/usage', encoded],
    [
      'postgresql://db/x?connect_timeout=5',
      /without the parameter "connect_timeout", of which pg takes no notice \(leave it out: it has /,
    ],
    [
      'postgresql://db/x?sslmode=require&channel_binding=require',
      /"channel_binding".*\(leave it out\), got postgresql:\/\/db\/x\.$/,
    ],
    ['postgresql://db/x?constructor=1', /"constructor".*\(leave it out\)/],
    ['postgresql://db/x?search_path=meter', /\(leave it out: the schema of its tables is schema=…\)/],
    [
      'postgresql://db/x?currentSchema=meter',
      /"currentSchema".*\(leave it out: the schema of its tables is schema=…\)/,
    ],
    ['postgresql://db/x?Schema=meter', /"Schema".*\(leave it out: the schema of its tables is schema=…\)/],
    ['postgresql://db/x?options=-c%20search_path%3Dmeter', /without a search_path in its options, .* \(the schema of /],
    ['postgresql://db/x?options=-csearch_path=meter,public', /without a search_path in its options/],
    ['postgresql://db/x?schema=one&schema=two', /with the parameter "schema" once, since the last one holds/],
    ['postgresql://db/x?sslmode=verify-full&sslmode=disable', /with the parameter "sslmode" once/],
    ['postgresql://db/x?schema=', /with schema=a name of at most 63 bytes that does not begin with pg_/],
    ['postgresql://db/x?schema=pg_own', /with schema=a name of at most 63 bytes/],
    [`postgresql://db/x?schema=${'ü'.repeat(32)}`, /with schema=a name of at most 63 bytes/],
    ['postgresql://a,b/db', /with one host, since pg takes no more \(that of the primary, /],
    ['postgresql://meter:hunter2@a:5432,b:5433/db', /with one host/],
    ['postgresql://db/x?host=a,b', /with one host/],
    ['postgresql://db/x?port=5432,5433', /with one host/],
    ['postgresql://db/x?target_session_attrs=read-write', /\(leave it out: the host is that of the primary\)/],
    ['dynamodb://', usual],
    ['dynamodb://ab', usual],
    ['dynamodb://hunter2@table', usual],
    ['dynamodb:usage?regoin=x', usual],
    ['dynamodb://usage?password=hunter2', usual],
  ]
  for (const [address, expected] of wrong) {
    assert.notEqual(expectedOfLedger(address), undefined, address)
    await assert.rejects(openLedger(address), ({ code, message }: { code: string; message: string }) => {
      assert.equal(code, 'ERR_LEDGER_INVALID')
      assert.match(message, expected)
      assert.doesNotMatch(message, /hunter2/)
      return true
    })
  }
})

test('what is no path never becomes a file with that name', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'open-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const refused = ({ code, message }: { code: string; message: string }) => {
    assert.equal(code, 'ERR_LEDGER_INVALID')
    assert.match(message, /^Expected the path of a file on a disk of this machine, got /)
    assert.doesNotMatch(message, /hunter2/)
    return true
  }
  const ledger = new SqliteLedger({ path: join(folder, 'ledger.sqlite') })
  for (const path of ['postgresql://meter:hunter2@db/x', 'host=db password=hunter2', 'file:hunter2?mode=memory']) {
    assert.throws(() => new SqliteLedger({ path }), refused)
    assert.throws(() => spooled(ledger, { path }), refused)
    await assert.rejects(ledger.backup(path), refused)
    await assert.rejects(
      SqliteLedger.restore({ from: path, to: join(folder, 'x'), who: 'w', why: 'y', now: 0 }),
      refused,
    )
    await assert.rejects(
      SqliteLedger.restore({ from: join(folder, 'ledger.sqlite'), to: path, who: 'w', why: 'y', now: 0 }),
      refused,
    )
  }
  await ledger.close()
  assert.deepEqual(readdirSync(folder), ['ledger.sqlite'])
})

test('a path is a SQLite ledger, which is only looked at where that is asked for', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'open-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'ledger.sqlite')
  await assert.rejects(openLedger(path, { readOnly: true }), { code: 'ERR_LEDGER_NOT_FOUND' })
  const ledger = await openLedger(path)
  assert.ok(ledger instanceof SqliteLedger)
  const reader = await openLedger(path, { readOnly: true, busyTimeout: 10 })
  await assert.rejects(reader.register([{ name: 'requests', unit: '{request}', baseUnit: '1', size: 1_000_000n }]), {
    code: 'ERR_LEDGER_READ_ONLY',
  })
  await reader.close()
  await ledger.close()
})

test('a PostgreSQL URL is a ledger that machines share', async () => {
  await using server = await sharedPostgresql()
  // Who only looks makes none.
  for (const _ of [1, 2]) {
    await assert.rejects(openLedger(server.connectionString, { readOnly: true }), { code: 'ERR_LEDGER_NOT_FOUND' })
  }
  const ledger = await openLedger(server.connectionString, { now: () => 1_760_000_000_000 })
  assert.ok(ledger instanceof PostgresqlLedger)
  assert.equal(await ledger.clock.now(0), 1_760_000_000_000)
  assert.deepEqual(await ledger.statement(), [])
  await ledger.close()
  // Of another schema it is another ledger, wherever its address is given.
  const dimension = { name: 'requests', unit: '{request}', baseUnit: '1', size: 1_000_000n } as const
  const staging = `${server.connectionString}&schema=staging`
  const other = await openLedger(staging)
  await other.register([dimension])
  await other.close()
  const names = async (opened: Promise<Ledger>) => {
    const ledger = await opened
    const dimensions = await ledger.dimensions()
    await ledger.close()
    return dimensions.map(({ name }) => name)
  }
  assert.deepEqual(await names(openLedger(server.connectionString, { readOnly: true })), [])
  assert.deepEqual(await names(openLedger(staging, { readOnly: true })), ['requests'])
  assert.deepEqual(await names(PostgresqlLedger.open({ connectionString: staging })), ['requests'])
  const named = { connectionString: server.connectionString, schema: 'staging' }
  assert.deepEqual(await names(PostgresqlLedger.open(named)), ['requests'])
  await assert.rejects(PostgresqlLedger.open({ connectionString: staging, schema: 'other' }), {
    code: 'ERR_CONFIGURATION',
    message: /^Invalid options: schema: expected that of connectionString, "staging", got "other"/,
  })
  for (const connectionString of ['socket:/run/pg?db=x&schema=staging', 'pg://db/x?options=-csearch_path=staging']) {
    await assert.rejects(PostgresqlLedger.open({ connectionString }), {
      code: 'ERR_CONFIGURATION',
      message:
        /^Invalid options: connectionString: expected postgresql:\/\/…, or the option schema, where it names one/,
    })
  }
  // The first version took no notice of it: what its ledger has is not left behind.
  const client = new pg.Client(server.connectionString)
  await client.connect()
  const atVersion = (version: string) =>
    client.query(`UPDATE marketplace_ledger.ledger SET schema_version = ${version}`)
  await atVersion('schema_version - 1')
  await assert.rejects(openLedger(`${server.connectionString}&schema=new`), {
    code: 'ERR_LEDGER_INVALID',
    message: /one of an older version .* in marketplace_ledger, .* leave it out to go on with that ledger\./,
  })
  // Whose role may not read that one has none in it.
  await client.query(`CREATE ROLE stranger LOGIN; GRANT CREATE ON DATABASE "${client.database}" TO stranger`)
  const stranger = server.connectionString.replace('postgres@', 'stranger@')
  await (await openLedger(`${stranger}&schema=strange`)).close()
  await atVersion('schema_version + 1')
  await client.end()
  await (await openLedger(`${server.connectionString}&schema=new`)).close()
  const nowhere = addressOf(server.connectionString, 'nowhere')
  await assert.rejects(openLedger(nowhere), { code: 'ERR_LEDGER_IO', message: /^postgresql:\/\/…: .*nowhere/ })
})
