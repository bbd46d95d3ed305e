import { HOUR, hourOf } from '../hours.ts'
import type { AuditNote } from '../ledger.ts'
import { lastClosed, restoredTerms } from '../rules/closing.ts'
import { prunableBefore } from '../rules/retention.ts'
import { inDoubt } from '../rules/transitions.ts'
import { auditWrite } from './audit.ts'
import { change, countLateUsage } from './change.ts'
import { addRecord } from './closing.ts'
import type { Engine } from './engine.ts'
import { fold } from './fold.ts'
import { HEAD, readHead } from './head.ts'
import { inParallel } from './parallel.ts'
import {
  type Page,
  pagesOf,
  readPages,
  removeRecords,
  type Series,
  type Shard,
  type StoredRecord,
  seriesKey,
  shardsOf,
  usageKeys,
} from './shard.ts'
import { chunksOf, pause } from './table.ts'

/** Deleting what is old, and what a ledger made of a backup has to doubt. */

const SHARDS_AT_ONCE = 8

/** How many pages one transaction changes: it has at most 100 items, and a page some for each product. */
const PAGES_PER_CHANGE = 4

export async function prune(engine: Engine, wanted: number): Promise<number> {
  const { table } = engine
  const { head } = await readHead(table)
  const old = { from: 0, to: prunableBefore(wanted, head.closedThrough ?? undefined) }
  const pruned = await inParallel(shardsOf(head), SHARDS_AT_ONCE, async shard => {
    let records = 0
    for await (const page of pagesOf(table, shard, old)) records += await prunePage(engine, shard, page)
    await table.delete('delete what is old', await usageKeys(table, shard, old))
    return records
  })
  return pruned.reduce((sum, records) => sum + records, 0)
}

/** Deletes the settled records of a page. Returns how many. */
async function prunePage({ table }: Engine, shard: number, read: Page): Promise<number> {
  for (let page: Page | undefined = read; page !== undefined; [page] = await readPages(table, [{ ...page, shard }])) {
    const settled = [...page.records].filter(([, { state }]) => state === 'metered' || state === 'returned')
    if (settled.length === 0) return 0
    const gone = settled.map(([series]) => series)
    if (await removeRecords(table, shard, page, gone)) return settled.length
  }
  return 0
}

/**
 * Holds in doubt what may have been billed since a backup was made, by the ledger that was lost; see
 * `Ledger.declareRestored`. Done again, it goes on where it ended.
 */
export async function doubtEverything(engine: Engine, by: AuditNote): Promise<void> {
  await fold(engine)
  const { head } = await readHead(engine.table)
  const closed = lastClosed(head.closedThrough ?? undefined, by.now)
  const { customers } = head
  await inParallel(shardsOf({ customers }), SHARDS_AT_ONCE, shard => doubtShard(engine, shard, closed, by))
  for (let failures = 1; ; failures += 1) {
    const { head, version } = await readHead(engine.table)
    const data = {
      ...head,
      closedThrough: Math.max(closed, hourOf(by.now) - HOUR),
      forgottenBefore: Math.max(head.forgottenBefore, by.now * 1000),
      restored: Math.max(head.restored, by.now),
    }
    const writes = [{ put: HEAD, over: version, data }, auditWrite(engine, 'restore', by)]
    if ((await engine.table.write('restore the ledger', writes)) !== undefined) return
    await pause(failures)
  }
}

/**
 * DynamoDB does not promise that a table is put back with whole transactions. What is not settled is as its records
 * say, and whatever else the totals have is in doubt.
 */
async function doubtShard(engine: Engine, number: number, closed: number, by: AuditNote): Promise<void> {
  const taken = new Map<string, Set<number>>()
  const unsettled: number[] = []
  const frozen = new Map<string, { pending: bigint; held: bigint }>()
  for await (const { hour, records } of pagesOf(engine.table, number, { from: 0, to: Number.MAX_SAFE_INTEGER })) {
    for (const [series, { state, quantity, size }] of records) {
      taken.set(series, (taken.get(series) ?? new Set<number>()).add(hour))
      if (state !== 'pending' && state !== 'held') continue
      const sums = frozen.get(series) ?? { pending: 0n, held: 0n }
      sums[state] += BigInt(quantity) * size
      frozen.set(series, sums)
    }
    if ([...records.values()].some(isUnsettled)) unsettled.push(hour)
  }
  for (const hours of chunksOf(unsettled, PAGES_PER_CHANGE)) {
    await change(engine, 'doubt records', [{ shard: number, hours }], (shard: Shard) => {
      for (const page of shard.pages.values()) for (const record of page.records.values()) doubt(shard, record, by)
      return { result: undefined, also: shard.marks }
    })
  }
  await countLateUsage(engine, number)
  const termsOf = (series: string) => restoredTerms(taken.get(series) ?? new Set(), closed, by.now)
  const hours = [...new Set([...taken.keys(), ''].map(series => termsOf(series).hour))]
  await change(engine, 'doubt balances', [{ shard: number, hours }], (shard: Shard) => {
    for (const series of shard.series.values()) {
      for (const hour of [...series.open.keys()]) shard.count(series, hour)
      restate(series, frozen.get(seriesKey(series)) ?? { pending: 0n, held: 0n })
      if (series.balance <= 0n) continue
      // The fraction may have been billed in a later whole, so all of the balance is one quantity.
      const whole = { quantity: 1, held: 'in-doubt', probe: false, size: series.balance } as const
      const terms = termsOf(seriesKey(series))
      const { record } = addRecord(shard, shard.page(terms.hour), series, terms, whole, engine)
      record.attempts = 1
      series.balance = 0n
    }
    return { result: undefined }
  })
}

/** Makes a series' totals what its records say. */
function restate(series: Series, { pending, held }: { pending: bigint; held: bigint }): void {
  const heldBefore = [...series.held.values()].reduce((sum, amount) => sum + amount, 0n)
  series.balance += series.pending - pending + heldBefore - held
  series.pending = pending
  series.held = new Map([['in-doubt', held]])
  if (series.balance >= 0n) return
  // What is answered in the totals only is asked again.
  series.metered += series.balance
  series.balance = 0n
}

const isUnsettled = ({ state }: StoredRecord): boolean => state === 'pending' || state === 'held'

/** What was pending may have been sent since, and what was held released and sent again. */
function doubt(shard: Shard, record: StoredRecord, { now }: AuditNote): void {
  if (!isUnsettled(record)) return
  if (!inDoubt(record)) record.attempts = record.refusals + 1
  if (record.state === 'held') shard.move(record, { ...record, state: 'held', reason: 'in-doubt' }, now)
}
