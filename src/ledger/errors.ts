import { MarketplaceMeteringError } from '../errors.ts'

export type LedgerErrorCode =
  /** Locked by another process for longer than the busy timeout, or no answer in time. Try again. */
  | 'ERR_LEDGER_BUSY'
  /** No space left where the ledger is. Try again when there is. */
  | 'ERR_LEDGER_FULL'
  /** Reading or writing failed. */
  | 'ERR_LEDGER_IO'
  | 'ERR_LEDGER_READ_ONLY'
  /** The file is damaged. */
  | 'ERR_LEDGER_CORRUPT'
  /** The file is something else. */
  | 'ERR_LEDGER_FOREIGN'
  /** The file was written by a newer version of this package. */
  | 'ERR_LEDGER_NEWER'
  /** It is on a file system where SQLite's locks cannot be trusted. */
  | 'ERR_LEDGER_NETWORK_FILE_SYSTEM'
  /** The file is mounted by itself, or has several names: its log would not be found beside it. */
  | 'ERR_LEDGER_FILE_ALONE'
  /** The file was deleted, moved or replaced while it is open. It goes on when it is back. */
  | 'ERR_LEDGER_REPLACED'
  | 'ERR_LEDGER_CLOSED'
  /** A batch's key was used before, with other entries. */
  | 'ERR_LEDGER_KEY_REUSED'
  /** Batches of the same writer are missing before this one: the engine has lost what it had acknowledged. */
  | 'ERR_LEDGER_BATCH_MISSING'
  /** A batch, a dimension or a request is not what it has to be. */
  | 'ERR_LEDGER_INVALID'
  /** There is no such record, account or dimension. */
  | 'ERR_LEDGER_NOT_FOUND'
  /** What is asked for cannot be done to a record in its state. */
  | 'ERR_LEDGER_STATE'
  /** A write would have broken recorded = included + metered + pending + held + balance of a series: a fault of this package. */
  | 'ERR_LEDGER_EQUATION'

/** Something is wrong with the ledger, or with what it was asked. */
export class LedgerError extends MarketplaceMeteringError {
  readonly code: LedgerErrorCode

  constructor(code: LedgerErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** Before a batch others of its writer are missing that the ledger has acknowledged: it refuses the batch whole. */
export class MissingBatchesError extends LedgerError {
  /** The first that is missing. */
  readonly next: number

  constructor(message: string, next: number) {
    super('ERR_LEDGER_BATCH_MISSING', message)
    this.next = next
  }
}

/** A backup of which no ledger can be made. */
export class DamagedBackupError extends LedgerError {
  constructor(from: string, cause: LedgerError) {
    super('ERR_LEDGER_CORRUPT', `The backup ${from} is damaged: take an earlier one. ${cause.message}`, { cause })
  }
}

/**
 * Of a report that would miss what waits to be folded, asked by whoever may not fold.
 *
 * @param doing "read the statement", say
 */
export function notFolded(doing: string, cause: unknown): LedgerError {
  return new LedgerError(
    'ERR_LEDGER_READ_ONLY',
    `cannot ${doing}: what waits to be folded would be missing, and this role may only read; ask again when a process ` +
      'that sends has folded it, which is when the next hour is closed, at the latest',
    { cause },
  )
}

const PASSING: ReadonlySet<LedgerErrorCode> = new Set([
  'ERR_LEDGER_BUSY',
  'ERR_LEDGER_FULL',
  'ERR_LEDGER_IO',
  'ERR_LEDGER_REPLACED',
])

/** Whether the ledger may do the same a little later. */
export function mayPass(error: unknown): boolean {
  return error instanceof LedgerError && PASSING.has(error.code)
}

export const ledgerSilent = () => new LedgerError('ERR_LEDGER_BUSY', 'the ledger does not answer')
