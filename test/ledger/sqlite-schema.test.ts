import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { describe, test } from 'node:test'
import { openLedgerFile } from '../../src/ledger/sqlite/file.ts'
import { SqliteLedger } from '../../src/ledger/sqlite/ledger.ts'
import { MIGRATIONS } from '../../src/ledger/sqlite/schema.ts'
import { run } from '../cli/support.ts'
import { ALICE, BY, DIMENSIONS, entry, REQUESTS, WRITER } from './scene.ts'
import { TemporaryFolder } from './sqlite-under-test.ts'

/** A ledger's file may have been made or changed by somebody else: SQLite would run what its schema says. */

const ENDLESS = 'WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)'

const CHANGES: Readonly<Record<string, { sql: string; named: RegExp }>> = {
  'a trigger that multiplies usage': {
    sql: `CREATE TRIGGER thousandfold AFTER INSERT ON open_usage BEGIN
      UPDATE open_usage SET amounts = replace(amounts, ',1', ',1000') WHERE hour = new.hour AND row = new.row; END`,
    named: /the trigger "thousandfold" is not one of its own/,
  },
  'a trigger that removes audit entries': {
    sql: 'CREATE TRIGGER gone AFTER INSERT ON audit BEGIN DELETE FROM audit; END',
    named: /the trigger "gone"/,
  },
  'a view in the place of a table, which never ends': {
    sql: `ALTER TABLE audit RENAME TO other; CREATE VIEW audit AS ${ENDLESS} SELECT x AS id, 0 AS at, 'w' AS who,
      'y' AS why, 'release' AS action, NULL AS series, NULL AS record, NULL AS amount, NULL AS detail FROM c`,
    named: /the (view "audit"|table "other") is not/,
  },
  'a view beside the tables': { sql: `CREATE VIEW more AS ${ENDLESS} SELECT x FROM c`, named: /the view "more"/ },
  'an index by an expression': {
    sql: "CREATE INDEX slow ON audit (hex(zeroblob(1000)) || who) WHERE who LIKE '%a%b%c%'",
    named: /the index "slow"/,
  },
  'a unique index, which lets no second row in': {
    sql: 'CREATE UNIQUE INDEX one ON batch (writer)',
    named: /the index "one"/,
  },
  'an index that is missing': { sql: 'DROP INDEX record_hour', named: /the index "record_hour" is missing/ },
  'a table that is missing': { sql: 'DROP TABLE counter_mark', named: /the table "counter_mark" is missing/ },
  'a table more': { sql: 'CREATE TABLE notes (text)', named: /the table "notes"/ },
  'a column more, which is computed': {
    sql: 'ALTER TABLE audit ADD COLUMN more TEXT AS (upper(who))',
    named: /the table "audit"/,
  },
  'a constraint that is gone': {
    sql: `DROP TABLE lane; CREATE TABLE lane (id INTEGER PRIMARY KEY, product TEXT NOT NULL, identity TEXT NOT NULL,
      region TEXT NOT NULL, UNIQUE (product, identity, region)) STRICT`,
    named: /the table "lane"/,
  },
  'a virtual table': { sql: 'CREATE VIRTUAL TABLE words USING fts5(text)', named: /the table "words/ },
  'a table whose name would steer a terminal': {
    sql: `CREATE TABLE "\u001b[2J${'x'.repeat(100_000)}" (id)`,
    named: /the table "\\u001b\[2Jx{1,60}"/,
  },
}

async function makeLedger(path: string): Promise<void> {
  const ledger = new SqliteLedger({ path })
  await ledger.register(DIMENSIONS)
  await ledger.append({ writer: WRITER, sequence: 1, entries: [entry(ALICE, REQUESTS, 0, 5)] })
  await ledger.close()
}

function change(path: string, sql: string): void {
  const database = new DatabaseSync(path, { enableForeignKeyConstraints: false })
  database.exec(sql)
  database.close()
}

for (const [what, { sql, named }] of Object.entries(CHANGES)) {
  test(`${what}: refused and left as it is`, async () => {
    using folder = new TemporaryFolder()
    await makeLedger(folder.file())
    change(folder.file(), sql)
    const before = readFileSync(folder.file())
    const refused = { code: 'ERR_LEDGER_FOREIGN', message: named }
    for (const readOnly of [false, true]) {
      assert.throws(() => new SqliteLedger({ path: folder.file(), readOnly }), refused)
    }
    await assert.rejects(SqliteLedger.restore({ ...BY, from: folder.file(), to: folder.file('new.db') }), refused)
    assert.deepEqual(readFileSync(folder.file()), before)
  })
}

test('an older ledger is looked at before it is brought forward', () => {
  for (const [index] of MIGRATIONS.entries()) {
    using folder = new TemporaryFolder()
    makeVersion(folder.file(), index + 1)
    change(folder.file(), 'CREATE TRIGGER early AFTER INSERT ON audit BEGIN DELETE FROM audit; END')
    assert.throws(() => new SqliteLedger({ path: folder.file() }), { message: /the trigger "early"/ })
  }
})

test('commands refuse it, whatever they would do with it', async () => {
  using folder = new TemporaryFolder()
  await makeLedger(folder.file())
  const { sql } = CHANGES['a view in the place of a table, which never ends'] as { sql: string }
  change(folder.file(), sql)
  const commands = [['audit'], ['verify'], ['backup', folder.file('copy.db')], ['write-off', 'u-1', 'd', '--why', 'x']]
  for (const command of commands) {
    const { status, stderr } = await run([...command, '--ledger', folder.file()])
    assert.equal(status, 2)
    assert.match(stderr, /^error: The ledger .* is not as this package makes it: .* \(ERR_LEDGER_FOREIGN\)$/m)
  }
})

describe('a ledger of ours opens', () => {
  for (const [index] of MIGRATIONS.entries()) {
    test(`from version ${index + 1}`, () => {
      using folder = new TemporaryFolder()
      makeVersion(folder.file(), index + 1)
      for (const _ of ['brought forward', 'again']) open(folder.file())
    })
  }

  test('after ANALYZE, VACUUM, and as a copy by VACUUM', async () => {
    using folder = new TemporaryFolder()
    await makeLedger(folder.file())
    change(folder.file(), `ANALYZE; VACUUM; VACUUM INTO '${folder.file('copy.db')}'`)
    open(folder.file())
    open(folder.file('copy.db'))
  })
})

function makeVersion(path: string, version: number): void {
  change(path, MIGRATIONS.slice(0, version).join(''))
  change(path, `PRAGMA application_id = ${0x414d4d4c}; PRAGMA user_version = ${version}`)
}

function open(path: string): void {
  openLedgerFile(path, { busyTimeout: 0, readOnly: false }).close()
}
