import { HOUR, hourOf } from '../hours.ts'
import { YOUNGEST_METERED } from '../last-billed.ts'
import type { AuditNote } from '../ledger.ts'
import { pruneEntry, restoreEntry } from '../rules/audit.ts'
import { lastClosed, restoredTerms } from '../rules/closing.ts'
import { doubtBalance, doubtRecord } from '../rules/decisions.ts'
import { prunableBefore } from '../rules/retention.ts'
import { auditWrites, writeAudit } from './audit.ts'
import { change, takeLateUsage } from './change.ts'
import { addRecord } from './closing.ts'
import type { Database } from './database.ts'
import { fold } from './fold.ts'
import { HEAD, readHead } from './head.ts'
import { inParallel } from './parallel.ts'
import { shardsOf } from './places.ts'
import { records } from './reports.ts'
import { addUnsettled, NONE, type Series, Shard, type Unsettled } from './shard.ts'
import { entriesOf, keyOfEntry, readSheets, removeRecords, type Sheet, sheetsOf } from './sheets.ts'
import { pause } from './table.ts'
import { inTransactions } from './transaction.ts'
import { usageKeys } from './usage.ts'

/** Pruning, and the doubts of a ledger that was made of a backup. */

const SHARDS_AT_ONCE = 8

export async function prune(database: Database, wanted: number, by: AuditNote | undefined): Promise<number> {
  const { table } = database
  const { head } = await readHead(table)
  const youngest = await records(database, YOUNGEST_METERED)
  const old = { from: 0, to: prunableBefore(wanted, head.closedThrough ?? undefined, youngest) }
  let said: Promise<void> | undefined
  /** Says so before the first that goes, so that a process that dies has said it. */
  const say = () => {
    said ??= writeAudit(database, [pruneEntry(old.to, by)])
    return said
  }
  const pruned = await inParallel(shardsOf(head), SHARDS_AT_ONCE, async shard => {
    let records = 0
    for await (const sheet of sheetsOf(table, shard, old)) records += await pruneSheet(database, shard, sheet, say)
    for (const kept of ['usage', 'drawn'] as const) {
      const usage = await usageKeys(table, shard, old, kept)
      if (usage.length > 0) await say()
      await table.delete('delete what is old', usage)
    }
    return records
  })
  return pruned.reduce((sum, records) => sum + records, 0)
}

/** Deletes the settled records of a sheet. Returns how many. */
async function pruneSheet({ table }: Database, shard: number, read: Sheet, say: () => Promise<void>): Promise<number> {
  for (
    let sheet: Sheet | undefined = read;
    sheet !== undefined;
    [sheet] = await readSheets(table, [{ ...sheet, shard }])
  ) {
    const settled = [...sheet.records].filter(([, { state }]) => state === 'metered' || state === 'returned')
    if (settled.length === 0) return 0
    await say()
    const gone = settled.map(([series]) => series)
    if (await removeRecords(table, shard, sheet, gone)) return settled.length
  }
  return 0
}

/**
 * Holds what may have been billed since a backup was made, by the ledger that was lost; see
 * `Ledger.declareRestored`. Done again, it goes on where it ended.
 */
export async function doubtEverything(database: Database, by: AuditNote): Promise<void> {
  await fold(database)
  const { head } = await readHead(database.table)
  const closed = lastClosed(head.closedThrough ?? undefined, by.now)
  const { customers } = head
  await inParallel(shardsOf({ customers }), SHARDS_AT_ONCE, shard => doubtShard(database, shard, closed, by))
  for (let failures = 1; ; failures += 1) {
    const { head, version } = await readHead(database.table)
    const data = {
      ...head,
      closedThrough: Math.max(closed, hourOf(by.now) - HOUR),
      forgottenBefore: Math.max(head.forgottenBefore, by.now * 1000),
      restored: Math.max(head.restored, by.now),
    }
    const said = await auditWrites(database, [restoreEntry(by, closed)])
    const writes = [{ put: HEAD, over: version, data }, ...said]
    if ((await database.table.write('restore the ledger', writes)) !== undefined) return
    await pause(failures)
  }
}

/**
 * DynamoDB does not promise that a table is put back with whole transactions. What is not settled is as its records
 * say, and whatever else the totals have is doubted.
 */
async function doubtShard(database: Database, number: number, closed: number, by: AuditNote): Promise<void> {
  const taken = new Map<string, Set<number>>()
  const unsettled: { readonly series: string; readonly hour: number }[] = []
  const sums = new Map<string, Unsettled>()
  for await (const sheet of sheetsOf(database.table, number, { from: 0, to: Number.MAX_SAFE_INTEGER })) {
    const { hour, records } = sheet
    for (const [series, { state }] of records) {
      taken.set(series, (taken.get(series) ?? new Set<number>()).add(hour))
      if (state === 'pending' || state === 'held') unsettled.push({ series, hour })
    }
    addUnsettled(sums, sheet)
  }
  await inTransactions(unsettled, some =>
    change(database, 'doubt records', [{ shard: number, hours: some.map(({ hour }) => hour) }], (shard: Shard) => {
      const entries = some.flatMap(({ series, hour }) => {
        const record = shard.sheet(hour).records.get(series)
        if (record === undefined) return []
        doubtRecord(shard, record, by)
        return [...entriesOf(number, hour, [record])]
      })
      // Whether they are there or not.
      return { result: undefined, also: [...new Set(entries)].map(entry => ({ index: keyOfEntry(entry) })) }
    }),
  )
  await takeLateUsage(database, number)
  const [shard] = await Shard.readSeries(database.table, [number])
  const takenBy = (series: string) => taken.get(series) ?? new Set<number>()
  await inTransactions([...(shard?.series.keys() ?? [])], some => {
    const hours = some.map(series => restoredTerms(takenBy(series), closed, by.now).hour)
    return change(database, 'doubt balances', [{ shard: number, hours }], (shard: Shard) => {
      for (const key of some) {
        const series = shard.series.get(key) as Series
        for (const hour of [...series.open.keys()]) shard.takeOpenUsage(series, hour)
        shard.restate(series, sums.get(key) ?? NONE)
        const doubted = doubtBalance(series, takenBy(key), closed, by.now)
        if (doubted === undefined) continue
        const { record, terms } = doubted
        addRecord(shard.sheet(terms.hour), series, terms, record, database.accounts)
      }
      return { result: undefined }
    })
  })
}
