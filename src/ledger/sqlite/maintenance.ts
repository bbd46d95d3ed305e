import { closeSync, fsyncSync, openSync, renameSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { HOUR, hourOf } from '../hours.ts'
import type { AuditNote } from '../ledger.ts'
import { lastClosed, restoredTerms } from '../rules/closing.ts'
import { prunableBefore } from '../rules/retention.ts'
import { insertRecord } from './closing.ts'
import { doubtCounters } from './counters.ts'
import type { Database } from './database.ts'
import { writeAudit } from './decisions.ts'
import { closedThrough } from './reports.ts'
import { fold, type Series, saveSeries, seriesWhere } from './series.ts'

/** Deleting what is old, and what a ledger made of a backup has to doubt. */

/** How many settled rows one transaction deletes. */
const ROWS_PER_PRUNE = 5000

export async function prune(database: Database, wanted: number): Promise<number> {
  const before = prunableBefore(wanted, closedThrough(database))
  const pruned = await deleteInChunks(
    database,
    `DELETE FROM record WHERE id IN
     (SELECT id FROM record WHERE hour < ? AND state IN ('metered', 'returned') ORDER BY hour LIMIT ?)`,
    before,
  )
  await deleteInChunks(
    database,
    'DELETE FROM usage WHERE (hour, series) IN (SELECT hour, series FROM usage WHERE hour < ? LIMIT ?)',
    before,
  )
  return pruned
}

/** Returns how many rows went. */
async function deleteInChunks(database: Database, sql: string, before: number): Promise<number> {
  let deleted = 0
  for (let changes = ROWS_PER_PRUNE; changes > 0; await nextTurn()) {
    changes = database.write('delete what is settled and old', () => database.run(sql, before, ROWS_PER_PRUNE))
    deleted += changes
  }
  return deleted
}

export function doubtEverything(database: Database, by: AuditNote): void {
  database.write('restore the ledger', () => {
    for (const series of fold(database, 'true')) saveSeries(database, series)
    const closed = lastClosed(closedThrough(database), by.now)
    for (const series of seriesWhere(database, "account.kind = 'customer'")) {
      if (series.balance <= 0n) continue
      // The fraction may have been billed in a later whole, so all of the balance is one quantity.
      const terms = restoredTerms(hoursTaken(database, series), closed, by.now)
      insertRecord(database, { ...series, size: series.balance }, terms, WHOLE_IN_DOUBT)
      series.balance = 0n
      saveSeries(database, series)
    }
    // What was pending may have been sent since, and what was held released and sent again.
    database.run(`UPDATE record SET attempts = refusals + 1 WHERE state IN ('pending', 'held') AND attempts = refusals`)
    database.run("UPDATE record SET reason = 'in-doubt' WHERE state = 'held'")
    doubtCounters(database, by.now)
    database.run('UPDATE ledger SET closed_through = ?', Math.max(closed, hourOf(by.now) - HOUR))
    writeAudit(database, 'restore', by, {})
  })
}

const WHOLE_IN_DOUBT = { quantity: 1, held: 'in-doubt', probe: false } as const

/** The hours that a series has records of. */
function hoursTaken(database: Database, { id }: Series): ReadonlySet<number> {
  const rows = database.all('SELECT hour FROM record WHERE series = ?', id)
  return new Set(rows.map(({ hour }) => hour as number))
}

/** Makes a file whole before it gets its name. */
export async function replaceFile(path: string, write: (partial: string) => Promise<void>): Promise<void> {
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
