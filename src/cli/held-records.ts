import { LedgerError } from '../ledger/errors.ts'
import type { Ledger, RecordEntry } from '../ledger/ledger.ts'

/**
 * The held records with these ids, each once. All are looked up before anything is done to one, so that a mistyped id
 * changes nothing.
 */
export async function heldRecords(ledger: Ledger, ids: readonly string[]): Promise<RecordEntry[]> {
  const held = await ledger.records({ ids, state: 'held' })
  const byId = new Map(held.map(record => [record.id, record]))
  return [...new Set(ids)].map(id => {
    const record = byId.get(id)
    if (record !== undefined) return record
    throw new LedgerError(
      'ERR_LEDGER_NOT_FOUND',
      `No record ${JSON.stringify(id)} is held; nothing was changed. "marketplace-meter held" shows those that are.`,
    )
  })
}
