import { HOUR, hourOf } from '../hours.ts'
import type { AuditNote } from '../ledger.ts'
import { lastClosed, restoredTerms } from '../rules/closing.ts'
import { prunableBefore } from '../rules/retention.ts'
import { writeAudit } from './audit.ts'
import { insertRecords } from './closing.ts'
import { doubtCounters } from './counters.ts'
import type { Database, Transaction } from './database.ts'
import { foldJournal } from './fold.ts'
import { ledgerRow, lockLedger } from './ledger-row.ts'
import { type Series, saveSeries, seriesWhere, takeOpenUsage, unclosed } from './series.ts'

/** Deleting what is old, and what the ledger of a restored database has to doubt. */

/** How many rows one transaction deletes. */
const ROWS_PER_PRUNE = 5000

export async function prune(database: Database, wanted: number): Promise<number> {
  const before = await database.read('look what is old', async transaction =>
    prunableBefore(wanted, (await ledgerRow(transaction)).closedThrough),
  )
  const pruned = await deleteInChunks(
    database,
    `DELETE FROM record WHERE id IN (
       SELECT id FROM record WHERE hour < $1 AND state IN ('metered', 'returned') ORDER BY hour LIMIT $2
       FOR UPDATE SKIP LOCKED
     )`,
    before,
  )
  await deleteInChunks(
    database,
    `DELETE FROM usage WHERE (hour, series) IN (
       SELECT hour, series FROM usage WHERE hour < $1 ORDER BY hour, series LIMIT $2 FOR UPDATE SKIP LOCKED
     )`,
    before,
  )
  return pruned
}

/** Returns how many rows went. */
async function deleteInChunks(database: Database, sql: string, before: number): Promise<number> {
  let deleted = 0
  for (let changes = ROWS_PER_PRUNE; changes > 0; deleted += changes) {
    changes = await database.once('delete what is settled and old', transaction =>
      transaction.run(sql, before, ROWS_PER_PRUNE),
    )
  }
  return deleted
}

export async function doubtEverything(database: Database, by: AuditNote): Promise<void> {
  await foldJournal(database)
  await database.once('doubt what was restored', async transaction => {
    const { closedThrough } = await lockLedger(transaction)
    const closed = lastClosed(closedThrough, by.now)
    await saveSeries(transaction, (await takeOpenUsage(transaction, 0, 'true')).map(unclosed))
    await doubtBalances(transaction, closed, by.now)
    // What was pending may have been sent since, and what was held released and sent again.
    await transaction.run(
      "UPDATE record SET attempts = refusals + 1 WHERE state IN ('pending', 'held') AND attempts = refusals",
    )
    await transaction.run("UPDATE record SET reason = 'in-doubt' WHERE state = 'held'")
    await doubtCounters(transaction, by.now)
    await transaction.run('UPDATE ledger SET closed_through = $1', Math.max(closed, hourOf(by.now) - HOUR))
    await writeAudit(transaction, [{ ...by, action: 'restore' }])
  })
}

/** Holds what customers' balances have. The fraction may have been billed in a later whole, so it is one quantity. */
async function doubtBalances(transaction: Transaction, closed: number, now: number): Promise<void> {
  const owed = await seriesWhere(transaction, 0, "account.kind = 'customer' AND series.balance > 0 ORDER BY series.id")
  const rows = await transaction.all(
    'SELECT series, array_agg(hour) AS hours FROM record WHERE series = ANY($1::bigint[]) GROUP BY series',
    owed.map(({ id }) => id),
  )
  const taken = new Map(rows.map(({ series, hours }) => [series as number, new Set(hours as number[])]))
  await insertRecords(
    transaction,
    owed.map((series: Series) => {
      const terms = restoredTerms(taken.get(series.id) ?? new Set(), closed, now)
      return { series, terms, quantity: 1, size: series.balance, held: 'in-doubt', probe: false }
    }),
  )
  await saveSeries(
    transaction,
    owed.map(series => unclosed({ ...series, balance: 0n })),
  )
}
