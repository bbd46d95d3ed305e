import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { isLedgerAddress, ledgerFile, ledgerName, openLedger } from '../../src/ledger/open.ts'
import { PostgresqlLedger } from '../../src/ledger/postgresql/ledger.ts'
import { SqliteLedger } from '../../src/ledger/sqlite/ledger.ts'
import { PostgresqlServer } from './postgresql/server.ts'

test('addresses, and how they are shown: without user, password and settings', () => {
  const shown: [address: string, name: string, file?: string][] = [
    ['ledger.sqlite', 'ledger.sqlite', 'ledger.sqlite'],
    ['/var/lib/a b/ledger', '/var/lib/a b/ledger', '/var/lib/a b/ledger'],
    ['postgresql://meter:hunter2@db:5432/usage?sslmode=require', 'postgresql://db:5432/usage'],
    ['postgres://db/usage?password=hunter2', 'postgres://db/usage'],
    ['postgresql://meter:hunter/2@/usage', 'postgresql://…'],
    ['postgresql://meter:hunter2@/usage?host=%2Frun%2Fpostgresql', 'postgresql://…'],
    ['dynamodb://Usage_1.b?region=us-east-1&endpoint=http://localhost:8000', 'dynamodb://Usage_1.b'],
    ['dynamodb:usage', 'dynamodb:usage'],
  ]
  for (const [address, name, file] of shown) {
    assert.deepEqual(
      [address, isLedgerAddress(address), ledgerName(address), ledgerFile(address)],
      [address, true, name, file],
    )
  }
})

test('what is no address is refused, and shows no password', async () => {
  const wrong = [
    '',
    'mysql://meter:hunter2@db/x',
    'postgresql://',
    'dynamodb://',
    'dynamodb://ab',
    'dynamodb:usage?regoin=x',
  ]
  for (const address of wrong) {
    assert.equal(isLedgerAddress(address), false, address)
    await assert.rejects(openLedger(address), ({ code, message }: { code: string; message: string }) => {
      assert.equal(code, 'ERR_LEDGER_INVALID')
      assert.match(message, /^Expected a ledger's path, postgresql:.* or dynamodb:.*, got /)
      assert.doesNotMatch(message, /hunter2/)
      return true
    })
  }
})

test('a path is a SQLite ledger, which is only looked at where that is asked for', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'open-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'ledger.sqlite')
  await assert.rejects(openLedger(path, { readOnly: true }), { code: 'ERR_LEDGER_NOT_FOUND' })
  const ledger = await openLedger(path)
  assert.ok(ledger instanceof SqliteLedger)
  const reader = await openLedger(path, { readOnly: true, busyTimeout: 10 })
  await assert.rejects(reader.meteredSince('prod', 0), { code: 'ERR_LEDGER_READ_ONLY' })
  await reader.close()
  await ledger.close()
})

test('a PostgreSQL URL is a ledger that machines share', async () => {
  await using server = await PostgresqlServer.start()
  const ledger = await openLedger(server.connectionString, { now: () => 1_760_000_000_000 })
  assert.ok(ledger instanceof PostgresqlLedger)
  assert.equal(await ledger.clock.now(0), 1_760_000_000_000)
  assert.deepEqual(await ledger.statement(), [])
  await ledger.close()
  const nowhere = server.connectionString.replace('/postgres?', '/nowhere?')
  await assert.rejects(openLedger(nowhere), { code: 'ERR_LEDGER_IO', message: /^postgresql:\/\/…: .*nowhere/ })
})
