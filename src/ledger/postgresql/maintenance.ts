import { HOUR, hourOf } from '../hours.ts'
import { YOUNGEST_METERED } from '../last-billed.ts'
import type { AuditNote } from '../ledger.ts'
import { type NewEntry, pruneEntry, restoreEntry } from '../rules/audit.ts'
import { firstAfterRestore, lastClosed } from '../rules/closing.ts'
import { doubtBalance, doubtRecord } from '../rules/decisions.ts'
import { prunableBefore } from '../rules/retention.ts'
import { writeAudit } from './audit.ts'
import { doubtCounters } from './counters.ts'
import type { Database, Transaction } from './database.ts'
import { foldJournal } from './fold.ts'
import { ledgerRow, lockLedger } from './ledger-row.ts'
import { loadRecords, savePiece } from './piece.ts'
import { records } from './reports.ts'
import { loadSeries, takeOpenUsage } from './series.ts'

/** Pruning, and the doubts of a ledger whose database was restored. */

/** How many rows one transaction deletes. */
const ROWS_PER_PRUNE = 5000

export async function prune(database: Database, wanted: number, by: AuditNote | undefined): Promise<number> {
  const before = await database.read('look what is old', async transaction =>
    prunableBefore(
      ...([
        wanted,
        (await ledgerRow(transaction)).closedThrough,
        await records(transaction, YOUNGEST_METERED),
      ] as const),
    ),
  )
  const entry = pruneEntry(before, by)
  const pruned = await deleteInChunks(
    database,
    `DELETE FROM record WHERE id IN (
       SELECT id FROM record WHERE hour < $1 AND state IN ('metered', 'returned') ORDER BY hour LIMIT $2
       FOR UPDATE SKIP LOCKED
     )`,
    ...[before, entry],
  )
  await deleteInChunks(
    database,
    `DELETE FROM usage WHERE (hour, series) IN (
       SELECT hour, series FROM usage WHERE hour < $1 ORDER BY hour, series LIMIT $2 FOR UPDATE SKIP LOCKED
     )`,
    // Most of it goes with the records of the hour.
    ...[before, pruned > 0 ? undefined : entry],
  )
  await deleteInChunks(
    database,
    `DELETE FROM drawn WHERE (hour, series) IN (
       SELECT hour, series FROM drawn WHERE hour < $1 ORDER BY hour, series LIMIT $2 FOR UPDATE SKIP LOCKED
     )`,
    ...[before, undefined],
  )
  return pruned
}

/**
 * Returns how many rows went.
 *
 * @param entry written with the first that goes, so that a process that dies has said it
 */
async function deleteInChunks(
  database: Database,
  sql: string,
  before: number,
  entry: NewEntry | undefined,
): Promise<number> {
  let deleted = 0
  for (let changes = ROWS_PER_PRUNE; changes > 0; deleted += changes) {
    changes = await database.writeOnce('delete what is settled and old', async transaction => {
      const changes = await transaction.run(sql, before, ROWS_PER_PRUNE)
      if (changes > 0 && deleted === 0 && entry !== undefined) await writeAudit(transaction, [entry])
      return changes
    })
  }
  return deleted
}

/** Holds what may have been billed since a backup; see `Ledger.declareRestored`. */
export async function doubtEverything(database: Database, by: AuditNote): Promise<void> {
  await foldJournal(database)
  await database.writeOnce('doubt what was restored', async transaction => {
    const { closedThrough } = await lockLedger(transaction)
    const closed = lastClosed(closedThrough, by.now)
    await savePiece(transaction, await takeOpenUsage(transaction, 0, 'true'))
    const unsettled = await loadRecords(transaction, "record.state IN ('pending', 'held') ORDER BY record.id")
    for (const record of unsettled.records) doubtRecord(unsettled, record, by)
    await savePiece(transaction, unsettled)
    await doubtBalances(transaction, closed, by.now)
    await doubtCounters(transaction, by.now)
    await transaction.run('UPDATE ledger SET closed_through = $1', Math.max(closed, hourOf(by.now) - HOUR))
    await writeAudit(transaction, [restoreEntry(by, closed)])
  })
}

async function doubtBalances(transaction: Transaction, closed: number, now: number): Promise<void> {
  const owed = await loadSeries(transaction, 0, "account.kind = 'customer' AND series.balance > 0 ORDER BY series.id")
  const rows = await transaction.all(
    `SELECT series, array_agg(hour) AS hours FROM record WHERE series = ANY($1::bigint[]) AND hour >= $2
     GROUP BY series`,
    ...[owed.series.map(({ id }) => id), firstAfterRestore(closed, now)],
  )
  const taken = new Map(rows.map(({ series, hours }) => [series as number, new Set(hours as number[])]))
  for (const series of owed.series) {
    const doubted = doubtBalance(series, taken.get(series.id) ?? new Set(), closed, now)
    if (doubted !== undefined) owed.make(series, doubted.terms, doubted.record)
  }
  await savePiece(transaction, owed)
}
