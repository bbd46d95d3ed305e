import type { DatabaseSync } from 'node:sqlite'
import { LedgerError } from '../errors.ts'
import { nodeSqlite } from './node-sqlite.ts'
import { MIGRATIONS } from './schema.ts'

/** What a schema has in it: tables, indices, and in a file that somebody else has changed also triggers and views. */
interface SchemaObject {
  readonly type: string
  readonly name: string
  readonly text: string
}

/** What ANALYZE leaves, which somebody may have run to see how a ledger is read. */
const STATISTICS: ReadonlySet<string> = new Set([
  'CREATE TABLE sqlite_stat1(tbl,idx,stat)',
  'CREATE TABLE sqlite_stat4(tbl,idx,neq,nlt,ndlt,sample)',
])

/** By version: what the migrations up to it make. SQLite keeps statements as they were written. */
const made = new Map<number, readonly SchemaObject[]>()

/**
 * Refuses a file in which there is anything but what the migrations up to its version make, before anything in it is
 * read: SQLite runs what a schema says, and a trigger, a view or an index by an expression could change what is billed,
 * remove what the audit trail says, or never end.
 */
export function refuseChangedSchema(database: DatabaseSync, version: number, path: string): void {
  const found = objectsOf(database).filter(({ text }) => !STATISTICS.has(text))
  const expected = objectsMadeBy(version)
  const [other] = without(found, expected)
  const [missing] = without(expected, found)
  if (other === undefined && missing === undefined) return
  const { type, name } = other ?? (missing as SchemaObject)
  // A name that somebody else gave may be of any length.
  const what = `the ${type.slice(0, 20)} ${JSON.stringify(name.slice(0, 60))}`
  throw new LedgerError(
    'ERR_LEDGER_FOREIGN',
    `The ledger ${path} is not as this package makes it: ${what} is ${other === undefined ? 'missing' : 'not one of its own'}. ` +
      'It was left as it is. Where it was you, undo it (sqlite3, DROP …); otherwise nothing in it can be trusted: restore ' +
      'a backup from before.',
  )
}

function objectsMadeBy(version: number): readonly SchemaObject[] {
  let objects = made.get(version)
  if (objects === undefined) {
    const database = new (nodeSqlite().DatabaseSync)(':memory:')
    for (const step of MIGRATIONS.slice(0, version)) database.exec(step)
    objects = objectsOf(database)
    database.close()
    made.set(version, objects)
  }
  return objects
}

function objectsOf(database: DatabaseSync): SchemaObject[] {
  const rows = database.prepare('SELECT type, name, tbl_name, sql FROM sqlite_schema').all()
  // The indices of constraints have no text of their own.
  return rows.map(({ type, name, tbl_name, sql }) => ({
    ...{ type: String(type), name: String(name) },
    text: String(sql ?? `of ${tbl_name}`),
  }))
}

function without(some: readonly SchemaObject[], others: readonly SchemaObject[]): SchemaObject[] {
  const keys = new Set(others.map(keyOf))
  return some.filter(one => !keys.has(keyOf(one)))
}

const keyOf = ({ type, name, text }: SchemaObject) => JSON.stringify([type, name, text])
