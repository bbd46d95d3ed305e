import { closeSync, existsSync, openSync, statSync } from 'node:fs'
import { platform } from 'node:process'
import { diag } from '@opentelemetry/api'
import { LedgerError } from '../errors.ts'

/** Files of a ledger, of its backups and spools: for their owner alone, since what customers used is in them. */

/** What would become a file with that name if it was taken for a path. */
const NO_PATHS: readonly RegExp[] = [
  /\0/,
  // `file:…`, `mysql://…`, `user:password@host`, `:memory:`; but not a drive.
  /^(?![a-z]:[\\/])[^\\/]*:/i,
  /^\/\/[^/]*@/,
  // `host=… password=…`, `Server=…;Password=…`
  /^\s*\w[\w ]*=/,
  /passw(or)?d\s*=/i,
]

/** Whether a text is a path, and not an address or a connection string that has no place here and may have a password. */
export function isFilePath(text: string): boolean {
  return text !== '' && !NO_PATHS.some(pattern => pattern.test(text))
}

/** @throws LedgerError that does not show what may be a password */
export function checkFilePath(path: string): void {
  if (isFilePath(path)) return
  const [, engine] = /^\s*(postgres|dynamodb)[a-z]*:/i.exec(path) ?? []
  if (engine !== undefined) {
    const [name, example] =
      engine.toLowerCase() === 'dynamodb' ? ['DynamoDB', 'dynamodb://…'] : ['PostgreSQL', 'postgresql://…']
    throw new LedgerError(
      'ERR_LEDGER_INVALID',
      `Expected the path of a file on a disk of this machine, got the address of a ledger on ${name}. Open it first and pass ` +
        `what is opened: ledger: await openLedger('${example}').`,
    )
  }
  throw new LedgerError(
    'ERR_LEDGER_INVALID',
    'Expected the path of a file on a disk of this machine, got what looks like an address, a URI or a connection string. ' +
      'It is not shown: there may be a password in it. A ledger on PostgreSQL or DynamoDB is opened by its class, or by ' +
      'openLedger; a file with such a name is written ./name.',
  )
}

/**
 * Makes a file that nobody else may read, whatever the umask; SQLite gives its logs the same permissions. A link that
 * leads nowhere is not followed.
 *
 * @param doing `cannot …`, for an error
 * @returns false where there is one already, which another process may have made just now
 * @throws LedgerError when it cannot be made
 */
export function makePrivateFile(path: string, doing: string): boolean {
  try {
    closeSync(openSync(path, 'wx', 0o600))
    return true
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST' && existsSync(path)) return false
    const why = code === 'EEXIST' ? 'it is a link to what is not there' : `the system says ${code}`
    throw new LedgerError(
      code === 'ENOSPC' ? 'ERR_LEDGER_FULL' : 'ERR_LEDGER_IO',
      `${doing}: ${path} cannot be made, ${why}; check that the folder exists and may be written`,
      { cause: error },
    )
  }
}

const OTHERS = 0o007

/**
 * Says how a file is closed to everybody else. It is not done: one that a group shares has its permissions from a person.
 */
export function warnOfOthers(path: string): void {
  // Windows has no such permissions.
  if (platform === 'win32') return
  const mode = statSync(path).mode & 0o777
  if ((mode & OTHERS) === 0) return
  diag.warn(
    `${path} has customers' usage in it, and every user of this machine may open it (mode ${mode.toString(8)}). ` +
      `Run: chmod 600 '${path}'* (660 where a group shares it).`,
  )
}
