import assert from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { beforeEach, test } from 'node:test'
import { LedgerError } from '../../src/ledger/errors.ts'
import { Database } from '../../src/ledger/sqlite/database.ts'
import { TemporaryFolder } from './sqlite-under-test.ts'

/** What shares a transaction: each insert is a caller's work. */

let folder: TemporaryFolder
let database: Database
/** What another process sees. */
let other: DatabaseSync

beforeEach(t => {
  folder = new TemporaryFolder()
  const own = new DatabaseSync(folder.file(), { timeout: 0 })
  own.exec(`PRAGMA journal_mode = WAL; CREATE TABLE parent (id INTEGER PRIMARY KEY);
    CREATE TABLE entry (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED)`)
  database = new Database(own)
  other = new DatabaseSync(folder.file())
  if (!('after' in t)) throw new Error('expected a test')
  t.after(() => {
    database.close()
    other.close()
    folder[Symbol.dispose]()
  })
})

const insert = (id: number, parent: number | null = null) =>
  database.writeTogether(`insert ${id}`, () => database.insert('INSERT INTO entry VALUES (?, ?)', id, parent))
const ids = () =>
  other
    .prepare('SELECT id FROM entry ORDER BY id')
    .all()
    .map(row => row.id)

test('in the order of asking, and others see all of it or nothing', async () => {
  const seen: unknown[] = []
  const looking = [insert(1), database.writeTogether('look', () => seen.push(...ids())), insert(2)]
  assert.deepEqual(await Promise.all(looking), [1, 0, 2])
  assert.deepEqual(seen, [])
  assert.deepEqual(ids(), [1, 2])
})

test('what fails is undone and rejects, the rest is not', async () => {
  const failing = database.writeTogether('fail', () => {
    database.run('INSERT INTO entry VALUES (7, NULL)')
    throw new LedgerError('ERR_LEDGER_INVALID', 'it has to fail')
  })
  const results = await Promise.allSettled([insert(1), failing, insert(1), insert(2)])
  assert.deepEqual(
    results.map(result => (result.status === 'rejected' ? result.reason.message : result.value)),
    [1, 'it has to fail', 'cannot insert 1: a value does not fit (SQLite: UNIQUE constraint failed: entry.id)', 2],
  )
  assert.deepEqual(ids(), [1, 2])
})

test('a commit that fails is everybody’s, and leaves nothing', async () => {
  const results = await Promise.allSettled([insert(1), insert(2, 99)])
  for (const result of results) {
    assert.ok(result.status === 'rejected')
    assert.match(result.reason.message, /^cannot insert 1 and insert 2: .*FOREIGN KEY/)
    assert.equal(result.reason.code, 'ERR_LEDGER_INVALID')
  }
  assert.deepEqual(ids(), [])
  assert.equal(await insert(3), 3)
})

test('an error that undoes the whole transaction is everybody’s', async () => {
  const undo = () => database.run('INSERT OR ROLLBACK INTO entry VALUES (1, NULL)')
  const results = await Promise.allSettled([insert(1), database.writeTogether('undo', undo), insert(2)])
  for (const result of results) {
    assert.match(String(result.status === 'rejected' && result.reason.message), /UNIQUE constraint failed/)
  }
  assert.deepEqual(ids(), [])
})

test('while another holds the lock nothing is done, and all reject as busy', async () => {
  other.exec('BEGIN IMMEDIATE')
  for (const result of await Promise.allSettled([insert(1), insert(2)])) {
    assert.equal(result.status === 'rejected' && result.reason.code, 'ERR_LEDGER_BUSY')
  }
  other.exec('ROLLBACK')
  assert.deepEqual(ids(), [])
})

test('what still waits when the ledger is closed rejects', async () => {
  const waiting = insert(1)
  database.close()
  await assert.rejects(waiting, { code: 'ERR_LEDGER_CLOSED' })
})

test('rows follow a schema that another process changes', () => {
  const rows = () => database.all('SELECT 7 AS seven, parent.* FROM parent')
  database.run('INSERT INTO parent VALUES (1)')
  assert.deepEqual(rows(), [{ id: 1, seven: 7 }])
  other.exec("ALTER TABLE parent ADD COLUMN name TEXT DEFAULT 'x'")
  // Some versions of Node know of the column only after a first time.
  const [{ name = 'x', ...row } = {}] = rows()
  assert.deepEqual({ ...row, name }, { id: 1, seven: 7, name: 'x' })
  assert.deepEqual(rows(), [{ id: 1, seven: 7, name: 'x' }])
})
