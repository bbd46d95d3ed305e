import { closeSync, existsSync, openSync, readSync, statfsSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { LedgerError, type LedgerErrorCode } from './errors.ts'
import { MIGRATIONS } from './sqlite-schema.ts'

/** Opening a ledger's file, and what its faults are called. */

/** SQLite's `application_id` of a ledger: "AMML". */
const APPLICATION_ID = 0x414d4d4c

/** `f_type` of file systems on which SQLite's locks cannot be trusted, from statfs(2). */
const NETWORK_FILE_SYSTEMS = new Map([
  [0x6969, 'NFS'],
  [0x517b, 'SMB'],
  [0xff534d42, 'CIFS'],
  [0xfe534d42, 'SMB2'],
  [0x01021997, '9P'],
  [0x5346414f, 'AFS'],
  [0x00c36400, 'Ceph'],
  [0x0bd00bd0, 'Lustre'],
  [0x47504653, 'GPFS'],
])

export interface OpenOptions {
  /** How long to wait for another process's lock, in milliseconds. It blocks the event loop. */
  readonly busyTimeout: number
  readonly readOnly: boolean
  /** The type of the file system a folder is on. Replaced in tests. */
  readonly fileSystemType?: (folder: string) => number
}

/** Opens a ledger, or makes one where there is no file. A file that is not a ledger of ours is left as it is. */
export function openLedgerFile(path: string, options: OpenOptions): DatabaseSync {
  if (path !== ':memory:') {
    refuseNetworkFileSystem(path, options.fileSystemType ?? (folder => statfsSync(folder).type))
    refuseForeignFile(path)
    if (options.readOnly && !existsSync(path)) {
      throw new LedgerError('ERR_LEDGER_NOT_FOUND', `There is no ledger at ${path}.`)
    }
  }
  let database: DatabaseSync | undefined
  try {
    database = new DatabaseSync(path, { timeout: options.busyTimeout, readOnly: options.readOnly })
    refuseDamage(database, path)
    // synchronous=FULL is what makes an acknowledged batch survive a power cut: with NORMAL, WAL mode loses some.
    if (!options.readOnly) database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL')
    database.exec('PRAGMA temp_store = MEMORY; PRAGMA cache_size = -65536')
    migrate(database, path, options.readOnly)
    return database
  } catch (error) {
    database?.close()
    throw asLedgerError(error, `cannot open the ledger ${path}`)
  }
}

/** An error of SQLite's under the ledger's own codes; any other as it is. */
export function asLedgerError(error: unknown, doing: string): unknown {
  if (error instanceof LedgerError || !(error instanceof Error)) return error
  const { errcode, code } = error as { errcode?: number; code?: string }
  if (code === 'ERR_INVALID_STATE') return new LedgerError('ERR_LEDGER_CLOSED', `${doing}: the ledger is closed`)
  if (errcode === undefined) return error
  const [ledgerCode, advice] = SQLITE_ERRORS.get(errcode & 0xff) ?? ['ERR_LEDGER_IO', 'SQLite failed']
  return new LedgerError(ledgerCode, `${doing}: ${advice} (SQLite: ${error.message})`, { cause: error })
}

const SQLITE_ERRORS = new Map<number, [LedgerErrorCode, string]>([
  [5, ['ERR_LEDGER_BUSY', 'another process holds its lock; this is tried again']],
  [6, ['ERR_LEDGER_BUSY', 'it is locked; this is tried again']],
  [8, ['ERR_LEDGER_READ_ONLY', 'it cannot be written; check the permissions of the file and of its folder']],
  [10, ['ERR_LEDGER_IO', 'reading or writing failed; check the disk']],
  [11, ['ERR_LEDGER_CORRUPT', 'the file is damaged; restore a backup (see "restore")']],
  [13, ['ERR_LEDGER_FULL', 'no space is left; make room on its disk']],
  [14, ['ERR_LEDGER_IO', 'it cannot be opened; check that the folder exists and may be written']],
  [19, ['ERR_LEDGER_INVALID', 'a value does not fit']],
  [26, ['ERR_LEDGER_FOREIGN', 'the file is not a SQLite database']],
])

function refuseNetworkFileSystem(path: string, fileSystemType: (folder: string) => number): void {
  let type: number
  try {
    type = fileSystemType(dirname(path))
  } catch (error) {
    throw new LedgerError('ERR_LEDGER_IO', `cannot open the ledger ${path}: its folder cannot be read`, {
      cause: error,
    })
  }
  const name = NETWORK_FILE_SYSTEMS.get(type >>> 0)
  if (name === undefined) return
  throw new LedgerError(
    'ERR_LEDGER_NETWORK_FILE_SYSTEM',
    `The ledger ${path} is on a network file system (${name}), where SQLite's locks cannot be trusted and usage ` +
      'could be billed twice or lost. Expected a disk of this machine.',
  )
}

/** Looks at a file's header before SQLite opens it, since opening may already write beside it. */
function refuseForeignFile(path: string): void {
  if (!existsSync(path)) return
  const header = Buffer.alloc(100)
  let length: number
  try {
    const file = openSync(path, 'r')
    try {
      length = readSync(file, header, 0, header.length, 0)
    } finally {
      closeSync(file)
    }
  } catch (error) {
    throw new LedgerError('ERR_LEDGER_IO', `cannot open the ledger ${path}: it cannot be read`, { cause: error })
  }
  if (length === 0) return
  if (header.toString('latin1', 0, 16) !== 'SQLite format 3\0') {
    throw new LedgerError(
      'ERR_LEDGER_FOREIGN',
      `${path} is not a ledger: expected a SQLite database. It was left as it is.`,
    )
  }
  // The header of a new database may still be in its write-ahead log only; SQLite's own answer decides then.
  const application = header.readUInt32BE(68)
  if (application !== APPLICATION_ID && !(application === 0 && existsSync(`${path}-wal`))) {
    throw new LedgerError(
      'ERR_LEDGER_FOREIGN',
      `${path} is a SQLite database of another application, not a ledger. It was left as it is.`,
    )
  }
}

/** Checks what billing depends on; not the history, whose size would make a start slow. */
function refuseDamage(database: DatabaseSync, path: string): void {
  for (const table of ['ledger', 'dimension', 'account', 'series', 'open_usage']) {
    const known = database.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?").get(table)
    if (known === undefined) continue
    const found = database.prepare(`PRAGMA quick_check(${table})`).get() as { quick_check: string }
    if (found.quick_check === 'ok') continue
    throw new LedgerError(
      'ERR_LEDGER_CORRUPT',
      `The ledger ${path} is damaged and was left as it is; restore a backup. SQLite says: ${found.quick_check}`,
    )
  }
}

function migrate(database: DatabaseSync, path: string, readOnly: boolean): void {
  const version = () => (database.prepare('PRAGMA user_version').get() as { user_version: number }).user_version
  const refuseNewer = (found: number): void => {
    if (found <= MIGRATIONS.length) return
    throw new LedgerError(
      'ERR_LEDGER_NEWER',
      `The ledger ${path} has schema version ${found}; this version of the package knows up to ${MIGRATIONS.length}. ` +
        'Use the version that wrote it, or a later one.',
    )
  }
  refuseNewer(version())
  if (version() === MIGRATIONS.length) return
  if (readOnly) {
    throw new LedgerError(
      'ERR_LEDGER_READ_ONLY',
      `The ledger ${path} is from an older version; open it for writing once.`,
    )
  }
  // Another process may be doing the same: the version counts only under the lock.
  database.exec('BEGIN IMMEDIATE')
  const from = version()
  refuseNewer(from)
  if (from === 0 && database.prepare('SELECT 1 FROM sqlite_schema').get() !== undefined) {
    throw new LedgerError('ERR_LEDGER_FOREIGN', `${path} is a SQLite database of another application, not a ledger.`)
  }
  for (const step of MIGRATIONS.slice(from)) database.exec(step)
  database.exec(`PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${MIGRATIONS.length}; COMMIT`)
}
