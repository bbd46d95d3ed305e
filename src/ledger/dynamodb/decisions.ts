import type { CustomerAccount } from '../../usage/account.ts'
import { MAX_QUANTITY } from '../../usage/dimension.ts'
import { hourOf } from '../hours.ts'
import type { AuditNote, FinalizeOptions } from '../ledger.ts'
import { finalTerms } from '../rules/closing.ts'
import {
  balanceEmpty,
  checkDoubtful,
  checkReleasable,
  noSuchRecord,
  noSuchUsage,
  otherKind,
} from '../rules/decisions.ts'
import { countAccounts, isCustomer } from './accounts.ts'
import { auditWrite } from './audit.ts'
import { change, countLateUsage } from './change.ts'
import { type FrozenRecord, freezeSeries } from './closing.ts'
import type { Engine } from './engine.ts'
import { fold } from './fold.ts'
import { HEAD, readHead } from './head.ts'
import { pendingPages, placeOfRecord, type Series, Shard, type StoredRecord, seriesKey, shardOf } from './shard.ts'
import { pause } from './table.ts'

/** What is decided about one record or customer: by a person, with an entry in the audit trail, or by its agreement's end. */

export async function release(engine: Engine, recordId: string, by: AuditNote): Promise<void> {
  await decide(engine, recordId, by, (shard, record) => {
    const { reason, refusals, account, quantity } = record
    checkReleasable({ id: recordId, ...record })
    shard.move(record, { state: 'returned', reason: reason ?? undefined, refusals }, by.now)
    // The hindrance is what the person judged to be over.
    if (reason === 'not-subscribed') shard.unblock(account)
    if (reason === 'agreement-ended') shard.setAccount(account, { endedAt: null })
    if (reason === 'over-maximum') {
      const series = shard.series.get(seriesKey(record)) as Series
      series.approved = Math.min(series.approved + quantity, MAX_QUANTITY)
    }
    return { action: 'release', detail: reason ?? '' }
  })
}

export async function settleInDoubt(engine: Engine, recordId: string, billed: boolean, by: AuditNote): Promise<void> {
  await decide(engine, recordId, by, (shard, record) => {
    const { reason, refusals } = record
    checkDoubtful({ id: recordId, ...record })
    shard.move(record, { state: billed ? 'metered' : 'returned', reason: reason ?? undefined, refusals }, by.now)
    return { action: 'settle', detail: billed ? 'billed' : 'not billed' }
  })
}

/** Decides about a held record. It keeps the reason for which it was held. */
async function decide(
  engine: Engine,
  recordId: string,
  by: AuditNote,
  work: (shard: Shard, record: StoredRecord) => { action: 'release' | 'settle'; detail: string },
): Promise<void> {
  const place = placeOfRecord(recordId)
  if (place === undefined) throw noSuchRecord(recordId)
  const part = { shard: place.shard, hours: [place.hour] }
  await change(engine, `decide about record ${recordId}`, [part], (shard: Shard) => {
    const record = shard.page(place.hour).records.get(place.series)
    if (record === undefined) throw noSuchRecord(recordId)
    const { account, dimension, quantity, size } = record
    const { action, detail } = work(shard, record)
    const what = { account, dimension, recordId, amount: BigInt(quantity) * size, detail }
    return { result: undefined, also: [auditWrite(engine, action, by, what)] }
  })
}

export async function attribute(
  engine: Engine,
  accountKey: string,
  dimension: string,
  customer: CustomerAccount,
  by: AuditNote,
): Promise<bigint> {
  const from = await seriesNamed(engine, accountKey, dimension)
  if (isCustomer(from.account)) throw otherKind(accountKey, 'unattributed')
  const [to = 0] = await engine.accounts.numbersOf([customer])
  await count(engine, to)
  const parts = [{ shard: shardOf(from.account) }, { shard: shardOf(to) }]
  return await change(engine, `attribute usage of ${accountKey}`, parts, (shard: Shard, other: Shard) => {
    const amount = takeBalance(shard, from, by, { accountKey, dimension })
    // As usage of the present hour: in the balance, an earlier hour that is still to close could take it.
    other.addOpenUsage({ account: to, dimension: from.dimension, hour: hourOf(by.now), amount })
    return {
      result: amount,
      also: [auditWrite(engine, 'attribute', by, { ...from, amount, detail: customer.key })],
    }
  })
}

export async function writeOff(engine: Engine, accountKey: string, dimension: string, by: AuditNote): Promise<bigint> {
  const series = await seriesNamed(engine, accountKey, dimension)
  const part = { shard: shardOf(series.account) }
  return await change(engine, `write off the balance of ${accountKey}`, [part], (shard: Shard) => {
    const amount = takeBalance(shard, series, by, { accountKey, dimension })
    return { result: amount, also: [auditWrite(engine, 'write-off', by, { ...series, amount })] }
  })
}

/** A series by names, with all that was acknowledged of it folded. */
async function seriesNamed(
  engine: Engine,
  accountKey: string,
  dimension: string,
): Promise<Pick<Series, 'account' | 'dimension'>> {
  await fold(engine)
  const account = await engine.accounts.numberOfKey(accountKey)
  const number = await engine.dimensions.find(dimension)
  const [shard] = account === undefined ? [] : await Shard.readSeries(engine.table, [shardOf(account)])
  const found = shard?.series.get(seriesKey({ account: account ?? -1, dimension: number ?? -1 }))
  if (found === undefined) throw noSuchUsage(accountKey, dimension)
  await countLateUsage(engine, shardOf(found.account), series => seriesKey(series) === seriesKey(found))
  return { account: found.account, dimension: found.dimension }
}

/** Takes all that is not frozen out of a series, and says so in the usage of the present hour. */
function takeBalance(
  shard: Shard,
  { account, dimension }: Pick<Series, 'account' | 'dimension'>,
  { now }: AuditNote,
  names: { accountKey: string; dimension: string },
): bigint {
  const series = shard.series.get(seriesKey({ account, dimension })) as Series
  for (const hour of [...series.open.keys()]) shard.count(series, hour)
  if (series.balance <= 0n) throw balanceEmpty(names.accountKey, names.dimension)
  const amount = series.balance
  shard.adjust(series, hourOf(now), -amount)
  return amount
}

/** Freezes what a customer still owes when its agreement ends, and puts it first. */
export async function finalize(
  engine: Engine,
  customer: CustomerAccount,
  options: FinalizeOptions,
): Promise<FrozenRecord[]> {
  await fold(engine, undefined, { accountKey: customer.key, now: options.now })
  const terms = finalTerms(options)
  const [account = 0] = await engine.accounts.numbersOf([customer])
  await count(engine, account)
  const dimensions = await engine.dimensions.all()
  const part = { shard: shardOf(account), hours: [terms.hour] }
  await countLateUsage(engine, part.shard, series => series.account === account, terms.hour)
  for await (const { shard, hour } of pendingPages(engine.table)) if (shard === part.shard) part.hours.push(hour)
  return await change(engine, 'finalize a customer', [part], (shard: Shard) => {
    shard.setAccount(account, { endedAt: options.endedAt })
    const all = [...shard.series.values()].filter(series => series.account === account)
    for (const series of all) {
      for (const hour of [...series.open.keys()]) if (hour <= terms.hour) shard.count(series, hour)
    }
    const frozen = all.flatMap(series => freezeSeries(shard, series, terms, { accounts: engine.accounts, dimensions }))
    for (const page of shard.pages.values()) {
      for (const record of page.records.values()) {
        if (record.account !== account || record.state !== 'pending') continue
        record.deadline = Math.min(record.deadline, terms.deadline)
        record.nextAttemptAt = 0
      }
    }
    return { result: frozen }
  })
}

/** Makes sure that the head counts an account, so that whoever goes through all series comes by it. */
async function count({ table, accounts }: Engine, account: number): Promise<void> {
  for (let failures = 1; ; failures += 1) {
    const { head, version } = await readHead(table)
    const counted = countAccounts(head, [account])
    const data = { ...counted, log: Math.max(head.log, accounts.known.log) }
    if (counted.customers === head.customers && data.log === head.log) return
    if ((await table.write('count an account', [{ put: HEAD, over: version, data }])) !== undefined) return
    await pause(failures)
  }
}
