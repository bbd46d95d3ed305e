import { closeSync, fsyncSync, openSync, renameSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { HOUR, hourOf } from '../hours.ts'
import { YOUNGEST_METERED } from '../last-billed.ts'
import type { AuditNote } from '../ledger.ts'
import { pruneEntry, restoreEntry } from '../rules/audit.ts'
import { firstAfterRestore, lastClosed } from '../rules/closing.ts'
import { doubtBalance, doubtRecord } from '../rules/decisions.ts'
import { prunableBefore } from '../rules/retention.ts'
import type { SoldSeries } from '../sql/piece-rows.ts'
import { writeAudit } from './audit.ts'
import { inChunks, takeAllUsage } from './closing.ts'
import { doubtCounters } from './counters.ts'
import type { Database } from './database.ts'
import { inTurns, loadRecordsOf, savePiece } from './piece.ts'
import { checkFilePath } from './private-file.ts'
import { closedThrough, records } from './reports.ts'

/** Pruning, and the doubts of a ledger that was made of a backup. */

/** By the index of the state, so that the settled ones are not gone through. */
const UNSETTLED = `id IN
  (SELECT id FROM record WHERE state = 'pending' UNION ALL SELECT id FROM record WHERE state = 'held')`

/** How many settled rows one transaction deletes. */
const ROWS_PER_PRUNE = 5000

export async function prune(database: Database, wanted: number, by: AuditNote | undefined): Promise<number> {
  const before = database.read('look what is old', () =>
    prunableBefore(wanted, closedThrough(database), records(database, YOUNGEST_METERED)),
  )
  let said = false
  /** Says so with the first that goes, so that a process that dies has said it. */
  const say = () => {
    if (!said) writeAudit(database, pruneEntry(before, by))
    said = true
  }
  const pruned = await deleteInChunks(
    database,
    `DELETE FROM record WHERE id IN
     (SELECT id FROM record WHERE hour < ? AND state IN ('metered', 'returned') ORDER BY hour LIMIT ?)`,
    ...[before, say],
  )
  await deleteInChunks(
    database,
    'DELETE FROM usage WHERE (hour, series) IN (SELECT hour, series FROM usage WHERE hour < ? LIMIT ?)',
    ...[before, say],
  )
  await deleteInChunks(
    database,
    'DELETE FROM drawn WHERE (hour, series) IN (SELECT hour, series FROM drawn WHERE hour < ? LIMIT ?)',
    ...[before, say],
  )
  await deleteInChunks(
    database,
    'DELETE FROM large_usage WHERE (hour, series) IN (SELECT hour, series FROM large_usage WHERE hour < ? LIMIT ?)',
    ...[before, say],
  )
  return pruned
}

/** Returns how many rows went. */
async function deleteInChunks(database: Database, sql: string, before: number, say: () => void): Promise<number> {
  let deleted = 0
  for (let changes = ROWS_PER_PRUNE; changes > 0; await nextTurn()) {
    changes = database.write('delete what is settled and old', () => {
      const changes = database.run(sql, before, ROWS_PER_PRUNE)
      if (changes > 0) say()
      return changes
    })
    deleted += changes
  }
  return deleted
}

/** Holds what may have been billed since a backup; see `Ledger.declareRestored`. Done again, it continues. */
export async function doubtEverything(database: Database, by: AuditNote): Promise<void> {
  const doing = 'restore the ledger'
  await takeAllUsage(database)
  for await (const some of inTurns(database, UNSETTLED)) {
    database.write(doing, () => {
      const piece = loadRecordsOf(database, some)
      for (const record of piece.records) doubtRecord(piece, record, by)
      savePiece(database, piece)
    })
  }
  const closed = lastClosed(closedThrough(database), by.now)
  await inChunks(database, doing, 0, "account.kind = 'customer'", piece => {
    const owed = piece.series.filter(({ balance }) => balance > 0n)
    const taken = hoursTaken(database, owed, firstAfterRestore(closed, by.now))
    for (const series of owed) {
      const doubted = doubtBalance(series, taken.get(series.id) ?? new Set(), closed, by.now)
      if (doubted !== undefined) piece.make(series, doubted.terms, doubted.record)
    }
    savePiece(database, piece)
  })
  database.write(doing, () => {
    doubtCounters(database, by.now)
    database.run('UPDATE ledger SET closed_through = ?', Math.max(closed, hourOf(by.now) - HOUR))
    writeAudit(database, restoreEntry(by, closed))
  })
}

/** The hours from one on that series have records of. */
function hoursTaken(database: Database, series: readonly SoldSeries[], from: number): Map<number, Set<number>> {
  const rows = database.all(
    'SELECT series, hour FROM record WHERE series IN (SELECT value FROM json_each(?)) AND hour >= ?',
    ...[JSON.stringify(series.map(({ id }) => id)), from],
  )
  const taken = new Map<number, Set<number>>()
  for (const { series, hour } of rows) {
    taken.set(series as number, (taken.get(series as number) ?? new Set()).add(hour as number))
  }
  return taken
}

/** Makes a file whole before it gets its name. */
export async function replaceFile(path: string, write: (partial: string) => Promise<void>): Promise<void> {
  checkFilePath(path)
  const partial = `${path}.partial`
  const clear = () => {
    for (const end of ['', '-wal', '-shm', '-journal']) rmSync(`${partial}${end}`, { force: true })
  }
  clear()
  try {
    await write(partial)
    renameSync(partial, path)
    // A name is durable only when its folder is.
    const folder = openSync(dirname(path), 'r')
    fsyncSync(folder)
    closeSync(folder)
  } finally {
    clear()
  }
}
