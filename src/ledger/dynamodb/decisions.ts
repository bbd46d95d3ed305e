import type { CustomerAccount } from '../../usage/account.ts'
import type { Dimension } from '../../usage/dimension.ts'
import { hourOf } from '../hours.ts'
import type { AuditNote, Decision, FinalizeOptions } from '../ledger.ts'
import { finalizeEntry } from '../rules/audit.ts'
import { finalTerms } from '../rules/closing.ts'
import { decideRecord, hasten, noSuchRecord, noSuchUsage, otherKind, takeBalance } from '../rules/decisions.ts'
import { countAccounts, isCustomer } from './accounts.ts'
import { change, takeLateUsage } from './change.ts'
import { type FrozenRecord, freezeSeries } from './closing.ts'
import type { Database } from './database.ts'
import { fold } from './fold.ts'
import { HEAD, readHead } from './head.ts'
import { placeOfRecord, type SeriesNumbers, seriesKey, shardOf } from './places.ts'
import { type Series, Shard } from './shard.ts'
import { pendingSheets } from './sheets.ts'
import { pause } from './table.ts'

/** Decisions about one record or customer: a person's, with an entry in the audit trail, and its agreement's end. */

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
  if (isCustomer(from.account)) throw otherKind(accountKey, 'unattributed')
  const [to = 0] = await database.accounts.numbersOf([customer])
  await countInHead(database, to)
  const parts = [{ shard: shardOf(from.account) }, { shard: shardOf(to) }]
  return await change(database, `attribute usage of ${accountKey}`, parts, (shard: Shard, other: Shard) => {
    const amount = takeWholeBalance(shard, from, by, { accountKey, dimension })
    // As usage of the present hour: in the balance, an earlier hour that is still to close could take it.
    other.addOpenUsage({ account: to, dimension: from.dimension, hour: hourOf(by.now), amount })
    const names = { account: database.accounts.get(from.account), dimension }
    return { result: amount, audit: [{ ...by, action: 'attribute', ...names, amount, detail: customer.key }] }
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

/** Freezes what a customer still owes when its agreement ends, and puts it first. */
export async function finalize(
  database: Database,
  customer: CustomerAccount,
  options: FinalizeOptions,
): Promise<FrozenRecord[]> {
  const terms = finalTerms(options)
  await fold(database, undefined, { accountKey: customer.key, now: options.now })
  const [account = 0] = await database.accounts.numbersOf([customer])
  await countInHead(database, account)
  const dimensions = await database.dimensions.all()
  const part = { shard: shardOf(account), hours: [terms.hour] }
  await takeLateUsage(database, part.shard, series => series.account === account, terms.hour)
  for await (const { shard, hour } of pendingSheets(database.table)) if (shard === part.shard) part.hours.push(hour)
  return await change(database, 'finalize a customer', [part], (shard: Shard) => {
    shard.setAccount(account, { ...shard.account(account), endedAt: options.endedAt })
    const all = [...shard.series.values()].filter(series => series.account === account)
    for (const series of all) {
      for (const hour of [...series.open.keys()]) if (hour <= terms.hour) shard.takeOpenUsage(series, hour)
    }
    const frozen = freezeSeries(shard, all, terms, { accounts: database.accounts, dimensions })
    for (const sheet of shard.sheets.values()) {
      for (const record of sheet.records.values()) {
        if (record.account === account && record.state === 'pending') hasten(record, terms)
      }
    }
    return { result: frozen, audit: [finalizeEntry(customer, options)] }
  })
}

/** Makes sure that the head counts an account, so that whoever goes through all series comes by it. */
async function countInHead({ table, accounts }: Database, account: number): Promise<void> {
  for (let failures = 1; ; failures += 1) {
    const { head, version } = await readHead(table)
    const counted = countAccounts(head, [account])
    const data = { ...counted, log: Math.max(head.log, accounts.known.log) }
    if (counted.customers === head.customers && data.log === head.log) return
    if ((await table.write('count an account', [{ put: HEAD, over: version, data }])) !== undefined) return
    await pause(failures)
  }
}
