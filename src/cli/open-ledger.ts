import { LedgerError } from '../ledger/errors.ts'
import type { Ledger } from '../ledger/ledger.ts'
import { ledgerFile, openLedger } from '../ledger/open.ts'
import { fileSize } from '../ledger/sqlite/place.ts'

/** A person waits rather than types again. */
export const BUSY_TIMEOUT = 5000

/**
 * Does something with a ledger that is there, and closes it. Reading goes on beside a running exporter; nothing
 * makes a new ledger, which is what a mistyped path would do.
 */
export async function withLedger<Result>(
  address: string,
  access: 'read' | 'write',
  work: (ledger: Ledger) => Promise<Result>,
): Promise<Result> {
  const path = ledgerFile(address)
  if (path !== undefined) refuseMissing(path)
  const ledger = await openLedger(address, { readOnly: access === 'read', busyTimeout: BUSY_TIMEOUT })
  try {
    return await work(ledger)
  } finally {
    await ledger.close()
  }
}

/** @throws LedgerError where there is nothing */
export function refuseMissing(path: string): void {
  const size = fileSize(path)
  if (size) return
  const found = size === undefined ? `There is no ledger at ${path}` : `${path} is empty, not a ledger`
  throw new LedgerError(
    'ERR_LEDGER_NOT_FOUND',
    `${found}. Name its file with --ledger or MARKETPLACE_LEDGER. If it is lost, see "marketplace-meter restore --help".`,
  )
}
