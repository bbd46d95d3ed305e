import type { CustomerAccount } from '../../usage/account.ts'
import type { Dimension } from '../../usage/dimension.ts'
import { hourOf } from '../hours.ts'
import type { AuditNote, Decision, HeldReason } from '../ledger.ts'
import {
  checkAttribution,
  decideRecord,
  giveBack,
  mayBeBilled,
  noSuchRecord,
  noSuchUsage,
  takeBalance,
} from '../rules/decisions.ts'
import { change, takeLateUsage } from './change.ts'
import type { Database } from './database.ts'
import { fold } from './fold.ts'
import { countInHead } from './head.ts'
import { placeOfRecord, type SeriesNumbers, seriesKey, shardOf } from './places.ts'
import { type Series, Shard } from './shard.ts'
import { heldSheets, readSheets } from './sheets.ts'
import { inTransactions } from './transaction.ts'

/** Decisions that only a person can make, each with an entry in the audit trail. */

export async function decide(
  database: Database,
  recordId: string,
  decision: Decision,
  by: AuditNote,
  quantity?: number,
): Promise<void> {
  const place = placeOfRecord(recordId)
  if (place === undefined) throw noSuchRecord(recordId)
  const dimensions = await database.dimensions.all()
  await database.accounts.readThose([Number.parseInt(place.series, 10)])
  const part = { shard: place.shard, hours: [place.hour] }
  await change(database, `decide about record ${recordId}`, [part], (shard: Shard) => {
    const record = shard.sheet(place.hour).records.get(place.series)
    if (record === undefined) throw noSuchRecord(recordId)
    const { size, name } = dimensions[record.dimension] as Dimension
    const decided = decideRecord(shard, recordId, record, { decision, quantity, size }, by)
    const names = { account: database.accounts.get(record.account), dimension: name }
    return { result: undefined, audit: [{ ...by, ...decided, ...names, recordId }] }
  })
}

export async function attribute(
  database: Database,
  accountKey: string,
  dimension: string,
  customer: CustomerAccount,
  by: AuditNote,
): Promise<bigint> {
  const from = await seriesNamed(database, accountKey, dimension)
  checkAttribution(database.accounts.get(from.account), customer)
  const [to = 0] = await database.accounts.numbersOf([customer])
  await countInHead(database, to)
  const [source, target] = [shardOf(from.account), shardOf(to)]
  const held = await hoursToGiveBack(database, from)
  let sum = 0n
  // What is held in many hours is given in parts, each with its entry, so that none of it is in this balance meanwhile.
  const give = async (hours: readonly number[]) => {
    const given = sum
    const parts = [{ shard: source, hours }, ...(target === source ? [] : [{ shard: target }])]
    sum += await change(database, `attribute usage of ${accountKey}`, parts, (shard: Shard, other = shard) => {
      const records = [...shard.sheets.values()].flatMap(sheet => sheet.records.get(seriesKey(from)) ?? [])
      giveBack(shard, records, by.now)
      const { balance, open } = shard.series.get(seriesKey(from)) as Series
      if (given > 0n && balance <= 0n && open.size === 0) return { result: 0n }
      const amount = takeWholeBalance(shard, from, by, { accountKey, dimension })
      // As usage of the present hour: in the balance, an earlier hour that is still to close could take it.
      other.addOpenUsage({ account: to, dimension: from.dimension, hour: hourOf(by.now), amount })
      const names = { account: database.accounts.get(from.account), dimension }
      return { result: amount, audit: [{ ...by, action: 'attribute', ...names, amount, detail: customer.key }] }
    })
  }
  if (held.length === 0) await give([])
  else await inTransactions(held, give)
  return sum
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
    const amount = takeWholeBalance(shard, series, by, { accountKey, dimension })
    const names = { account: database.accounts.get(series.account), dimension }
    return { result: amount, audit: [{ ...by, action: 'write-off', ...names, amount }] }
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

/** Takes all that is not frozen out of a series, and says so in the usage of the present hour. */
function takeWholeBalance(
  shard: Shard,
  { account, dimension }: SeriesNumbers,
  { now }: AuditNote,
  names: { accountKey: string; dimension: string },
): bigint {
  const series = shard.series.get(seriesKey({ account, dimension })) as Series
  for (const hour of [...series.open.keys()]) shard.takeOpenUsage(series, hour)
  const amount = takeBalance(series, names)
  shard.noteUsage(series, hourOf(now), -amount)
  return amount
}
