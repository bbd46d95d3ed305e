import { existsSync, statSync } from 'node:fs'
import type { DatabaseSync, DatabaseSyncOptions } from 'node:sqlite'
import { LedgerError, type LedgerErrorCode } from '../errors.ts'
import { denial } from './denial.ts'
import { nodeSqlite } from './node-sqlite.ts'
import { type PlaceOptions, refusePlace } from './place.ts'
import { checkFilePath, makePrivateFile, warnOfOthers } from './private-file.ts'
import { MIGRATIONS } from './schema.ts'
import { refuseChangedSchema } from './schema-check.ts'

/** Opening a ledger's file, and what its faults are called. */

/** SQLite's `application_id` of a ledger: "AMML". */
const APPLICATION_ID = 0x414d4d4c

const ONE_PAGE = 4096

export interface OpenOptions extends PlaceOptions {
  /** How long to wait for another process's lock, in milliseconds. It blocks the event loop. */
  readonly busyTimeout: number
  readonly readOnly: boolean
}

/** Opens a ledger, or makes one where there is no file. A file that is not a ledger of ours is left as it is. */
export function openLedgerFile(path: string, options: OpenOptions): DatabaseSync {
  const { busyTimeout: timeout, readOnly } = options
  // Before a file is made that nothing could be written to.
  nodeSqlite()
  if (path !== ':memory:') {
    checkFilePath(path)
    refusePlace(path, 'ledger', options)
    if (existsSync(path)) {
      inspect(path, timeout)
      if (!readOnly) warnOfOthers(path)
    } else if (readOnly) throw new LedgerError('ERR_LEDGER_NOT_FOUND', `There is no ledger at ${path}.`)
    else makePrivateFile(path, `cannot open the ledger ${path}`)
  }
  return open(path, { timeout, readOnly }, database => {
    // synchronous=FULL is what makes an acknowledged batch survive a power cut: with NORMAL, WAL mode loses some.
    if (!readOnly) database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL')
    database.exec('PRAGMA temp_store = MEMORY; PRAGMA cache_size = -32768')
    migrate(database, path, readOnly)
  })
}

/**
 * Refuses a file that is not a ledger which can be used. On a connection that cannot write, since one that can brings
 * what a killed process left beside the file into it when it closes; and by SQLite, since to close a file that was
 * opened by other means ends all locks that this process has on it.
 */
function inspect(path: string, timeout: number): void {
  // But a file of one page with a rollback journal is one whose making was cut short: SQLite has to undo that first.
  const unfinished = existsSync(`${path}-journal`) && statSync(path).size <= ONE_PAGE
  open(path, { timeout, readOnly: !unfinished }, database => {
    database.exec('BEGIN')
    refuseForeign(database, path)
    const version = versionOf(database)
    refuseNewer(version, path)
    refuseChangedSchema(database, version, path)
    refuseDamage(database, path)
  }).close()
}

function open(path: string, options: DatabaseSyncOptions, prepare: (database: DatabaseSync) => void): DatabaseSync {
  let database: DatabaseSync | undefined
  try {
    database = new (nodeSqlite().DatabaseSync)(path, { ...options, defensive: true })
    // A file may come from somewhere else: nothing that its schema says has side effects, and damage is found early.
    database.exec('PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON')
    prepare(database)
    return database
  } catch (error) {
    database?.close()
    throw asLedgerError(error, `cannot open the ledger ${path}`, path)
  }
}

/**
 * Writes a copy of a ledger as it is at one instant, while it is in use, or as a killed process left it.
 *
 * @throws LedgerError where the copy is damaged, and with it the ledger
 */
export async function copyLedgerFile(from: string, to: string): Promise<void> {
  const { backup } = nodeSqlite()
  const failed = `cannot copy the ledger ${from} to ${to}`
  if (!makePrivateFile(to, failed)) throw new LedgerError('ERR_LEDGER_IO', `${failed}: there is a file already`)
  // The connection of a ledger in use would not do: a copy fails in the middle of a transaction of its own.
  const database = open(from, { readOnly: true }, () => {})
  try {
    // In one step, since between steps others may write, and it would begin again.
    await backup(database, to, { rate: 2 ** 31 - 1 })
  } catch (error) {
    throw asLedgerError(error, failed)
  } finally {
    database.close()
  }
  open(to, { readOnly: true }, copy => refuseAnyDamage(copy, from)).close()
}

/**
 * Looks through all of a file, which takes as long as reading it: unlike a start, and a `quick_check`, also whether the
 * indices have all rows. By one that lacks them, what is pending is not sent and what is held not shown.
 */
export function refuseAnyDamage(database: Pick<DatabaseSync, 'prepare'>, path: string): void {
  const said = integrityOf(database)
  if (said === 'ok') return
  throw new LedgerError('ERR_LEDGER_CORRUPT', `The ledger ${path} is damaged. SQLite says: ${said}`)
}

function integrityOf(database: Pick<DatabaseSync, 'prepare'>): string {
  try {
    const found = database.prepare(`PRAGMA integrity_check(${MOST_TOLD})`).all() as { integrity_check: string }[]
    return found.map(({ integrity_check: fault }) => fault).join('; ')
  } catch (error) {
    // By some damage the check itself fails.
    const { errcode = 0, message } = error as Error & { errcode?: number }
    if ((errcode & 0xff) !== CORRUPT) throw error
    return message
  }
}

const CORRUPT = 11

/** How many faults of a file are told. */
const MOST_TOLD = 3

/**
 * An error of SQLite's under the ledger's own codes; any other as it is.
 *
 * @param path of the file, where there is one
 */
export function asLedgerError(error: unknown, doing: string, path?: string): unknown {
  if (error instanceof LedgerError || !(error instanceof Error)) return error
  const { errcode, code } = error as { errcode?: number; code?: string }
  if (code === 'ERR_INVALID_STATE') return new LedgerError('ERR_LEDGER_CLOSED', `${doing}: the ledger is closed`)
  if (code === 'ERR_OUT_OF_RANGE')
    return new LedgerError('ERR_LEDGER_CORRUPT', `${doing}: it has a number that no ledger writes`, { cause: error })
  if (errcode === undefined) return error
  const [ledgerCode, advice] = SQLITE_ERRORS.get(errcode & 0xff) ?? ['ERR_LEDGER_IO', 'SQLite failed']
  const denied = path !== undefined && DENIALS.has(errcode & 0xff) ? denial(path) : undefined
  return new LedgerError(ledgerCode, `${doing}: ${denied ?? advice} (SQLite: ${error.message})`, { cause: error })
}

/** "Read-only" and "cannot be opened". */
const DENIALS: ReadonlySet<number> = new Set([8, 14])

const SQLITE_ERRORS = new Map<number, [LedgerErrorCode, string]>([
  [5, ['ERR_LEDGER_BUSY', 'another process holds its lock; this is tried again']],
  [6, ['ERR_LEDGER_BUSY', 'it is locked; this is tried again']],
  [
    8,
    [
      'ERR_LEDGER_READ_ONLY',
      'it cannot be written; run this as the user whose ledger it is, or mend the permissions of file and folder',
    ],
  ],
  [10, ['ERR_LEDGER_IO', 'reading or writing failed; check the disk']],
  [CORRUPT, ['ERR_LEDGER_CORRUPT', 'the file is damaged']],
  [13, ['ERR_LEDGER_FULL', 'no space is left; make room on its disk']],
  [14, ['ERR_LEDGER_IO', 'it cannot be opened; check that the folder exists and may be written']],
  [19, ['ERR_LEDGER_INVALID', 'a value does not fit']],
  [
    26,
    [
      'ERR_LEDGER_FOREIGN',
      'the file is not a SQLite database; it was left as it is: name a ledger, or a file that is not there yet',
    ],
  ],
])

function refuseForeign(database: DatabaseSync, path: string): void {
  const { application_id: application } = database.prepare('PRAGMA application_id').get() as { application_id: number }
  if (application === APPLICATION_ID) return
  // A start that was cut short leaves a database without anything in it.
  if (application === 0 && database.prepare('SELECT 1 FROM sqlite_schema').get() === undefined) return
  throw new LedgerError(
    'ERR_LEDGER_FOREIGN',
    `${path} is a SQLite database of another application, not a ledger. It was left as it is: name a ledger, or a ` +
      'file that is not there yet.',
  )
}

/** Checks what billing depends on; not the history, whose size would make a start slow. */
function refuseDamage(database: DatabaseSync, path: string): void {
  for (const table of ['ledger', 'dimension', 'account', 'series', 'open_usage', 'large_usage']) {
    const known = database.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?").get(table)
    if (known === undefined) continue
    const found = database.prepare(`PRAGMA quick_check(${table})`).get() as { quick_check: string }
    if (found.quick_check === 'ok') continue
    throw new LedgerError(
      'ERR_LEDGER_CORRUPT',
      `The ledger ${path} is damaged and was left as it is. SQLite says: ${found.quick_check}`,
    )
  }
}

function versionOf(database: DatabaseSync): number {
  return (database.prepare('PRAGMA user_version').get() as { user_version: number }).user_version
}

function refuseNewer(version: number, path: string): void {
  if (version <= MIGRATIONS.length) return
  throw new LedgerError(
    'ERR_LEDGER_NEWER',
    `The ledger ${path} has schema version ${version}; this version of the package knows up to ${MIGRATIONS.length}. ` +
      'Use the version that wrote it, or a later one.',
  )
}

function migrate(database: DatabaseSync, path: string, readOnly: boolean): void {
  if (versionOf(database) === MIGRATIONS.length) return
  if (readOnly) {
    throw new LedgerError(
      'ERR_LEDGER_READ_ONLY',
      `The ledger ${path} is from an older version; open it for writing once, as the user whose it is.`,
    )
  }
  // Another process may be doing the same: the version counts only under the lock.
  database.exec('BEGIN IMMEDIATE')
  refuseForeign(database, path)
  const from = versionOf(database)
  refuseNewer(from, path)
  for (const step of MIGRATIONS.slice(from)) database.exec(step)
  database.exec(`PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${MIGRATIONS.length}; COMMIT`)
}
