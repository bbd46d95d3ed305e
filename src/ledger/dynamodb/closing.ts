import type { Dimension } from '../../usage/dimension.ts'
import { HOUR } from '../hours.ts'
import type { CloseOptions } from '../ledger.ts'
import { closeSeries, closingTerms, hoursToClose, lastClosed, type Terms, termsToClose } from '../rules/closing.ts'
import { type Accounts, isCustomer } from './accounts.ts'
import { laneOf } from './lanes.ts'
import { type Page, type Series, type Shard, type StoredRecord, seriesKey } from './shard.ts'

/** Closing the hours of a shard: open usage goes into its series' balances, and what is whole there into records. */

/** How many hours one transaction closes: it has at most 100 items, and an hour some for each product. */
const HOURS_AT_ONCE = 4

export interface Closing {
  readonly options: CloseOptions
  readonly closedThrough: number | null
}

export interface Knowledge {
  readonly accounts: Accounts
  /** By number. */
  readonly dimensions: readonly Dimension[]
}

export interface FrozenRecord {
  readonly hour: number
  readonly record: StoredRecord
}

interface HourToClose {
  readonly hour: number
  readonly terms: Terms | undefined
}

/** The hours of a shard to close now, and whether there are more. */
export function nextHours(shard: Shard, { options, closedThrough }: Closing): { hours: HourToClose[]; more: boolean } {
  const open = new Set([...shard.series.values()].flatMap(series => [...series.open.keys()]))
  const sorted = [...open].sort((a, b) => a - b)
  const closed = lastClosed(closedThrough ?? undefined, options.now)
  const hours = hoursToClose(sorted, options)
  const some = hours.slice(0, HOURS_AT_ONCE).map(hour => ({ hour, terms: termsToClose(hour, closed, options) }))
  return { hours: some, more: hours.length > HOURS_AT_ONCE }
}

/** The hours whose records have to be known for that. */
export function hoursOfRecords(hours: readonly HourToClose[]): number[] {
  return hours.flatMap(({ hour, terms }) => {
    if (terms === undefined) return []
    return terms.zeroQuantityRecords === true ? [hour, hour - HOUR] : [hour]
  })
}

/** Closes hours of a shard, whose records of them were read. */
export function closeHours(
  shard: Shard,
  hours: readonly HourToClose[],
  { options, closedThrough }: Closing,
  knowledge: Knowledge,
): FrozenRecord[] {
  const frozen: FrozenRecord[] = []
  for (const { hour, terms } of hours) {
    for (const series of shard.series.values()) shard.count(series, hour)
    if (terms === undefined) continue
    for (const series of shard.series.values()) frozen.push(...freezeSeries(shard, series, terms, knowledge))
    if (options.zeroQuantityRecords === true && hour > lastClosed(closedThrough ?? undefined, options.now)) {
      frozen.push(...freezeIdle(shard, closingTerms(hour - HOUR, options), knowledge))
    }
  }
  return frozen
}

/** Makes the whole units of a series' balance a record, where that may be. */
export function freezeSeries(shard: Shard, series: Series, terms: Terms, knowledge: Knowledge): FrozenRecord[] {
  const page = shard.page(terms.hour)
  const { size, maxQuantity = null } = knowledge.dimensions[series.dimension] as Dimension
  const account = shard.account(series.account)
  const { balance, approved, record } = closeSeries(
    {
      ...{ balance: series.balance, approved: series.approved, size, maxQuantity, probeAt: account.probeAt },
      ...{ billable: isCustomer(series.account), ended: account.endedAt !== null },
      ...{ blocked: account.blockedAt !== null, taken: page.records.has(seriesKey(series)) },
    },
    terms,
  )
  Object.assign(series, { balance, approved })
  if (record === undefined) return []
  if (record.probe) shard.setAccount(series.account, { probeAt: null })
  return [addRecord(shard, page, series, terms, { ...record, size }, knowledge)]
}

/** Records of quantity 0 for the series that have none of the hour: late usage has had an hour to come. */
function freezeIdle(shard: Shard, terms: Terms, knowledge: Knowledge): FrozenRecord[] {
  if (terms.deadline <= terms.now) return []
  const page = shard.page(terms.hour)
  const idle = [...shard.series.values()].filter(series => {
    const { blockedAt, endedAt } = shard.account(series.account)
    const current = isCustomer(series.account) && blockedAt === null && endedAt === null
    return current && series.firstHour <= terms.hour && !page.records.has(seriesKey(series))
  })
  return idle.map(series => {
    const { size } = knowledge.dimensions[series.dimension] as Dimension
    return addRecord(shard, page, series, terms, { quantity: 0, held: null, probe: false, size }, knowledge)
  })
}

export function addRecord(
  shard: Shard,
  page: Page,
  { account, dimension }: Pick<Series, 'account' | 'dimension'>,
  { timestamp, deadline, region }: Terms,
  { quantity, held, probe, size }: Pick<StoredRecord, 'quantity' | 'probe' | 'size'> & { held: StoredRecord['reason'] },
  { accounts }: Pick<Knowledge, 'accounts'>,
): FrozenRecord {
  const record: StoredRecord = {
    ...{
      account,
      dimension,
      lane: laneOf(accounts.get(account), region).id,
      timestamp,
      deadline,
      quantity,
      size,
      probe,
    },
    ...{ state: held === null ? 'pending' : 'held', reason: held, attempts: 0, refusals: 0, nextAttemptAt: 0 },
    ...{ claim: null, claimedUntil: 0, answer: null, meteringRecordId: null },
  }
  shard.addRecord(page, record)
  return { hour: page.hour, record }
}
