import type { CustomerAccount } from '../../usage/account.ts'
import type { Dimension } from '../../usage/dimension.ts'
import { hourOf } from '../hours.ts'
import type { AuditEntry, AuditNote, DecisionResult, HeldReason, Period, RecordDecision } from '../ledger.ts'
import type { NewEntry } from '../rules/audit.ts'
import {
  type AboutRecord,
  attempt,
  checkAttribution,
  type Decided,
  decideRecord,
  giveBack,
  mayBeBilled,
  noSuchRecord,
  noSuchUsage,
  refused,
  takeBalance,
  takePart,
} from '../rules/decisions.ts'
import {
  amountOfHours,
  attributionDetail,
  attributionOf,
  checkLeft,
  hoursToAttribute,
  refuseUndone,
  sorted,
  type UndoableEntry,
  undoEntry,
  undoRecord,
} from '../rules/undo.ts'
import { UndoneEntries } from './audit.ts'
import { change, takeLateUsage } from './change.ts'
import type { Database } from './database.ts'
import { fold } from './fold.ts'
import { countInHead } from './head.ts'
import { type Place, placeOfRecord, type SeriesNumbers, seriesKey, shardOf } from './places.ts'
import { type Series, Shard } from './shard.ts'
import { heldSheets, readSheets, type StoredRecord } from './sheets.ts'
import { chunksOf } from './table.ts'
import { inTransactions } from './transaction.ts'
import { usageOf } from './usage.ts'

/** Decisions that only a person can make, each with an entry in the audit trail. */

export async function decideAll(
  database: Database,
  decisions: readonly RecordDecision[],
  by: AuditNote,
): Promise<DecisionResult[]> {
  return await changeRecords(database, decisions, by, {
    work: (shard, decision, record, size) => decideRecord(shard, decision, record, size, by),
  })
}

interface RecordWork<Wanted> {
  readonly work: (shard: Shard, wanted: Wanted, record: StoredRecord, size: bigint) => Decided
  /** As in `Change`, for what is done with records. */
  readonly check?: (done: readonly Wanted[]) => Promise<boolean>
}

type Placed<Wanted> = { readonly wanted: Wanted; readonly index: number; readonly place: Place }

/** At most so many fit a transaction: of its 100 items each has two for its entry in the audit trail. */
const RECORDS_AT_ONCE = 45

/** Changes records, as many in each transaction as fit. */
async function changeRecords<Wanted extends AboutRecord>(
  database: Database,
  wanted: readonly Wanted[],
  by: AuditNote,
  work: RecordWork<Wanted>,
): Promise<DecisionResult[]> {
  const results: DecisionResult[] = []
  const placed = wanted.flatMap((one, index): Placed<Wanted>[] => {
    const place = placeOfRecord(one.recordId)
    results[index] = { error: noSuchRecord(one.recordId) }
    return place === undefined ? [] : [{ wanted: one, index, place }]
  })
  const dimensions = await database.dimensions.all()
  await database.accounts.readThose(placed.map(({ place }) => Number.parseInt(place.series, 10)))
  // Those of one sheet together, and of one shard.
  const ordered = [...Map.groupBy(placed, ({ place }) => place.shard).values()].flatMap(ofShard =>
    [...Map.groupBy(ofShard, ({ place }) => place.hour).values()].flat(),
  )
  for (const chunk of chunksOf(ordered, RECORDS_AT_ONCE)) {
    const changed = await inTransactions(chunk, some => changeSome(database, some, dimensions, by, work))
    for (const [at, result] of changed.flat().entries()) results[(chunk[at] as Placed<Wanted>).index] = result
  }
  return results
}

async function changeSome<Wanted extends AboutRecord>(
  database: Database,
  some: readonly Placed<Wanted>[],
  dimensions: readonly Dimension[],
  by: AuditNote,
  { work, check }: RecordWork<Wanted>,
): Promise<DecisionResult[]> {
  const ofShards = Map.groupBy(some, ({ place }) => place.shard)
  const parts = [...ofShards].map(([shard, own]) => ({ shard, hours: own.map(({ place }) => place.hour) }))
  const doing = some.length === 1 ? `decide about record ${some[0]?.wanted.recordId}` : 'decide about records'
  return await change(database, doing, parts, (...shards: Shard[]) => {
    const byNumber = new Map(shards.map(shard => [shard.number, shard]))
    const audit: NewEntry[] = []
    const done: Wanted[] = []
    const result = some.map(({ wanted, place }): DecisionResult => {
      const attempted = attempt(() => {
        const shard = byNumber.get(place.shard) as Shard
        const record = shard.sheet(place.hour).records.get(place.series)
        if (record === undefined) throw noSuchRecord(wanted.recordId)
        const { size, name } = dimensions[record.dimension] as Dimension
        const { recorded, ...decided } = work(shard, wanted, record, size)
        if (recorded !== 0n) shard.noteUsage(record, hourOf(by.now), recorded)
        const { recordId, why = by.why } = wanted
        audit.push({
          ...by,
          ...decided,
          account: database.accounts.get(record.account),
          dimension: name,
          recordId,
          why,
        })
        return decided.amount
      })
      if ('error' in attempted) return attempted
      done.push(wanted)
      return { amount: attempted.done }
    })
    return { result, audit, ...(check !== undefined && { check: () => check(done) }) }
  })
}

export async function attribute(
  database: Database,
  accountKey: string,
  dimension: string,
  customer: CustomerAccount,
  by: AuditNote,
  period?: Period,
): Promise<bigint> {
  const from = await seriesNamed(database, accountKey, dimension)
  const account = database.accounts.get(from.account)
  checkAttribution(account, customer)
  const hoursGiven = hoursToAttribute(account, period, by)
  const [to = 0] = await database.accounts.numbersOf([customer])
  await countInHead(database, to)
  const [source, target] = [shardOf(from.account), shardOf(to)]
  const held = await hoursToGiveBack(database, from)
  let sum = 0n
  // What is held in many hours is given in parts, each with its entry, so that none of it is in this balance meanwhile.
  const give = async (hours: readonly number[]) => {
    const given = sum
    const parts = [{ shard: source, hours }, ...(target === source ? [] : [{ shard: target }])]
    sum += await change(database, `attribute usage of ${accountKey}`, parts, async (shard: Shard, other = shard) => {
      const records = [...shard.sheets.values()].flatMap(sheet => sheet.records.get(seriesKey(from)) ?? [])
      giveBack(shard, records, by.now)
      const series = shard.series.get(seriesKey(from)) as Series
      const { balance, open } = series
      if (given > 0n && balance <= 0n && open.size === 0) return { result: 0n }
      const recorded = hoursGiven && (await recordedSince(database, series, hoursGiven))
      const wanted = recorded && ((total: bigint) => amountOfHours(recorded, hoursGiven, total))
      const amount = takeFromBalance(shard, from, by, { accountKey, dimension }, wanted, hoursGiven?.hour)
      // As usage of the present hour: in the balance, an earlier hour that is still to close could take it.
      other.addOpenUsage({ account: to, dimension: from.dimension, hour: hourOf(by.now), amount })
      const detail = attributionDetail(customer, hoursGiven)
      return { result: amount, audit: [{ ...by, action: 'attribute', account, dimension, amount, detail }] }
    })
  }
  if (held.length === 0) await give([])
  else await inTransactions(held, give)
  return sum
}

/** What was recorded of a series since a period began. What its shard does not know yet is a conflict with it. */
async function recordedSince(
  { table }: Database,
  series: Series,
  { from = 0 }: Period,
): Promise<[hour: number, amount: bigint][]> {
  const closed = await usageOf(table, shardOf(series.account), { from, to: Number.MAX_SAFE_INTEGER })
  const own = closed.filter(usage => seriesKey(usage) === seriesKey(series))
  return [...own.map(({ hour, amount }): [number, bigint] => [hour, amount]), ...series.open].filter(
    ([hour]) => hour >= from,
  )
}

/** The hours in which a series has something held that AWS surely has not billed. */
async function hoursToGiveBack({ table }: Database, series: SeriesNumbers): Promise<number[]> {
  const places = (await heldSheets(table)).filter(({ shard }) => shard === shardOf(series.account))
  const sheets = await readSheets(table, places)
  return sheets.flatMap(sheet => {
    const { state, reason } = sheet?.records.get(seriesKey(series)) ?? {}
    return sheet !== undefined && state === 'held' && !mayBeBilled(reason as HeldReason) ? [sheet.hour] : []
  })
}

export async function writeOff(
  database: Database,
  accountKey: string,
  dimension: string,
  by: AuditNote,
): Promise<bigint> {
  const series = await seriesNamed(database, accountKey, dimension)
  const part = { shard: shardOf(series.account) }
  return await change(database, `write off the balance of ${accountKey}`, [part], (shard: Shard) => {
    const amount = takeFromBalance(shard, series, by, { accountKey, dimension })
    const names = { account: database.accounts.get(series.account), dimension }
    return { result: amount, audit: [{ ...by, action: 'write-off', ...names, amount }] }
  })
}

export async function undo(
  database: Database,
  entries: readonly AuditEntry[],
  by: AuditNote,
): Promise<DecisionResult[]> {
  const { records, balances, results } = sorted(entries)
  const undone = new UndoneEntries(database)
  if (entries.length > 0) await undone.read()
  const changed = await changeRecords(database, records, by, {
    work: (shard, { entry }, record, size) => {
      refuseUndone(entry, undone.numbers)
      return undoRecord(shard, entry, record, size, by)
    },
    check: async done => {
      const numbers = await undone.read()
      return !done.some(({ entry }) => numbers.has(entry.number))
    },
  })
  for (const [index, { place }] of records.entries()) results[place] = changed[index] as DecisionResult
  for (const { place, entry } of balances) {
    results[place] = await undoBalance(database, entry, by, undone).then(amount => ({ amount }), refused)
  }
  return results
}

async function undoBalance(
  database: Database,
  entry: UndoableEntry,
  by: AuditNote,
  undone: UndoneEntries,
): Promise<bigint> {
  const { number, action, account, dimension, amount } = entry
  const given = action === 'attribute' ? attributionOf(entry) : undefined
  const to = await seriesNamed(database, account.key, dimension)
  const from = given && (await seriesNamed(database, given.key, dimension))
  const [source, target] = [shardOf((from ?? to).account), shardOf(to.account)]
  const parts = [{ shard: source }, ...(target === source ? [] : [{ shard: target }])]
  return await change(database, `undo entry ${number} of the audit trail`, parts, (shard: Shard, other = shard) => {
    refuseUndone(entry, undone.numbers)
    if (given !== undefined && from !== undefined) {
      takeFromBalance(shard, from, by, { accountKey: given.key, dimension }, left => {
        checkLeft(entry, left)
        return amount
      })
    }
    other.addOpenUsage({ ...to, hour: given?.hour ?? hourOf(by.now), amount })
    return { result: amount, audit: [undoEntry(entry, by)], check: async () => !(await undone.read()).has(number) }
  })
}

/** A series by names, with all that was acknowledged of it folded. */
async function seriesNamed(database: Database, accountKey: string, dimension: string): Promise<SeriesNumbers> {
  await fold(database)
  const account = await database.accounts.numberOfKey(accountKey)
  const number = await database.dimensions.find(dimension)
  const [shard] = account === undefined ? [] : await Shard.readSeries(database.table, [shardOf(account)])
  const found = shard?.series.get(seriesKey({ account: account ?? -1, dimension: number ?? -1 }))
  if (found === undefined) throw noSuchUsage(accountKey, dimension)
  await takeLateUsage(database, shardOf(found.account), series => seriesKey(series) === seriesKey(found))
  return { account: found.account, dimension: found.dimension }
}

/**
 * Takes what a series has, of open hours too, from what is recorded, and says so in an hour's usage.
 *
 * @param wanted how much of all that there is; without it, all
 * @param hour the present one by default
 */
function takeFromBalance(
  shard: Shard,
  { account, dimension }: SeriesNumbers,
  { now }: AuditNote,
  names: { accountKey: string; dimension: string },
  wanted?: (total: bigint) => bigint,
  hour = hourOf(now),
): bigint {
  const series = shard.series.get(seriesKey({ account, dimension })) as Series
  const amount = wanted?.([...series.open.values()].reduce((sum, one) => sum + one, series.balance))
  if (amount !== undefined && amount <= series.balance) {
    takePart(series, amount)
    shard.noteUsage(series, hour, -amount)
    return amount
  }
  for (const open of [...series.open.keys()]) shard.takeOpenUsage(series, open)
  const whole = takeBalance(series, names)
  const taken = amount ?? whole
  shard.noteUsage(series, hour, -taken)
  if (taken < whole) {
    shard.noteUsage(series, hourOf(now), taken - whole)
    shard.addOpenUsage({ account, dimension, hour: hourOf(now), amount: whole - taken })
  }
  return taken
}
