import { LedgerError } from '../errors.ts'
import type { Forgetting } from '../rules/counters/index.ts'
import type { Transaction } from './database.ts'
import { MIGRATIONS } from './schema.ts'

/** The one row of the ledger, whose lock lets only one transaction at a time keep its books. */
export interface LedgerRow {
  readonly closedThrough: number | undefined
  /** In microseconds since the epoch. */
  readonly deltasForgottenBefore: number
  /** How far silent counters are forgotten. */
  readonly forgetting: Forgetting
  /** When it was restored last, in milliseconds since the epoch; 0 where it never was. */
  readonly restoredAt: number
}

/**
 * Waits until no other transaction keeps the books. Appends and claims do not: they touch nothing that is read and
 * written back.
 */
export async function lockLedger(transaction: Transaction): Promise<LedgerRow> {
  return ledgerRow(transaction, 'FOR UPDATE')
}

export async function ledgerRow(transaction: Transaction, locking = ''): Promise<LedgerRow> {
  const row = await transaction.get(
    `SELECT version, closed_through, deltas_forgotten_before, silent_before, forgot_at, restored_at FROM ledger ${locking}`,
  )
  if (row === undefined) {
    throw new LedgerError('ERR_LEDGER_CORRUPT', 'The ledger has no row in its table "ledger".')
  }
  refuseNewer(row.version as number)
  return {
    closedThrough: (row.closed_through as number | null) ?? undefined,
    deltasForgottenBefore: row.deltas_forgotten_before as number,
    forgetting: { before: row.silent_before as number, at: row.forgot_at as number },
    restoredAt: row.restored_at as number,
  }
}

/** @param oldest the oldest version of the schema whose code may go on with its tables */
export function refuseNewer(oldest: number): void {
  if (oldest <= MIGRATIONS.length) return
  throw new LedgerError(
    'ERR_LEDGER_NEWER',
    `The ledger needs a version of the package that knows its schema version ${oldest}; this one knows up to ` +
      `${MIGRATIONS.length}. Use the version that wrote it, or a later one.`,
  )
}

/**
 * What is about to be written only the present version can bill rightly: replicas of a version before stop at their next
 * look at the ledger, and go on when they are replaced.
 */
export async function requireVersion(transaction: Transaction): Promise<void> {
  const row = await transaction.get('SELECT FROM ledger WHERE version < $1', MIGRATIONS.length)
  if (row !== undefined) await transaction.run('UPDATE ledger SET version = $1 WHERE version < $1', MIGRATIONS.length)
}
