import type { Dimension } from '../../usage/dimension.ts'
import { HOUR } from '../hours.ts'
import type { CloseOptions } from '../ledger.ts'
import { closingTerms, hoursToClose, lastClosed, type Terms, termsToClose } from '../rules/closing.ts'
import { freeze, freezeIdle, type NewRecord } from '../rules/decisions.ts'
import { type Accounts, isCustomer } from './accounts.ts'
import { laneOf } from './lanes.ts'
import { type SeriesNumbers, seriesKey } from './places.ts'
import type { Series, Shard } from './shard.ts'
import type { Sheet, StoredRecord } from './sheets.ts'

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
    for (const series of shard.series.values()) {
      series.carried = series.balance
      shard.takeOpenUsage(series, hour)
    }
    if (terms === undefined) continue
    frozen.push(...freezeSeries(shard, shard.series.values(), terms, knowledge))
    if (options.zeroQuantityRecords === true && hour > lastClosed(closedThrough ?? undefined, options.now)) {
      const idle = closingTerms(hour - HOUR, options)
      if (idle.deadline > options.now)
        frozen.push(...freezeSeries(shard, shard.series.values(), idle, knowledge, freezeIdle))
    }
  }
  return frozen
}

/** Makes the whole units of series' balances records, where they may be. */
export function freezeSeries(
  shard: Shard,
  all: Iterable<Series>,
  terms: Terms,
  { accounts, dimensions }: Knowledge,
  rule: typeof freeze | typeof freezeIdle = freeze,
): FrozenRecord[] {
  const sheet = shard.sheet(terms.hour)
  return [...all].flatMap(series => {
    const { size, maxQuantity = null } = dimensions[series.dimension] as Dimension
    const sold = {
      size,
      maxQuantity,
      billable: isCustomer(series.account),
      taken: sheet.records.has(seriesKey(series)),
    }
    const record = rule(shard, series, sold, terms)
    return record === undefined ? [] : [addRecord(sheet, series, terms, record, accounts)]
  })
}

export function addRecord(
  sheet: Sheet,
  { account, dimension }: SeriesNumbers,
  { timestamp, deadline, region }: Terms,
  { quantity, size, held, probe }: NewRecord,
  accounts: Accounts,
): FrozenRecord {
  const lane = laneOf(accounts.get(account), region).id
  const record: StoredRecord = {
    ...{ account, dimension, lane, timestamp, deadline, quantity, size, probe },
    ...{ state: held === null ? 'pending' : 'held', reason: held, attempts: 0, refusals: 0, nextAttemptAt: 0 },
    ...{ claim: null, claimedUntil: 0, answer: null, meteringRecordId: null },
  }
  sheet.records.set(seriesKey(record), record)
  return { hour: sheet.hour, record }
}
