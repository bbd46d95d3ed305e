import type { Dimension } from '../../usage/dimension.ts'
import { hourOf } from '../hours.ts'
import type { CloseOptions } from '../ledger.ts'
import { idleSince } from '../rules/agreement.ts'
import { hoursToClose, idleHours, lastClosed, latestHour, type Terms, termsToClose } from '../rules/closing.ts'
import { freeze, freezeIdle, type NewRecord } from '../rules/decisions.ts'
import type { IncludedDimensions } from '../rules/entitlements.ts'
import { type Accounts, isCustomer } from './accounts.ts'
import { laneOf } from './lanes.ts'
import { type SeriesNumbers, seriesKey } from './places.ts'
import type { Series, Shard } from './shard.ts'
import { allocationsIn, type Sheet, type StoredRecord } from './sheets.ts'
import type { Twins } from './twins.ts'

/** Closing the hours of a shard: open usage goes into its series' balances, and what is whole there into records. */

export interface Closing {
  readonly options: CloseOptions
  readonly closedThrough: number | null
}

export interface Knowledge {
  readonly accounts: Accounts
  /** By number. */
  readonly dimensions: readonly Dimension[]
  readonly twins: Twins
  readonly included: IncludedDimensions
}

export interface FrozenRecord {
  readonly hour: number
  readonly record: StoredRecord
}

interface HourToClose {
  readonly hour: number
  readonly terms: Terms | undefined
  /** Whether it is only looked through for series that are idle in it: whatever else it has is frozen. */
  readonly idle: boolean
}

/** Customers whose agreements are in force have a series of all that they may use: what is idle is told to AWS, too. */
export function makeIdleSeries(
  shard: Shard,
  { zeroQuantityRecords, sold }: CloseOptions,
  { accounts, dimensions }: Pick<Knowledge, 'accounts' | 'dimensions'>,
): void {
  if (zeroQuantityRecords !== true || sold === undefined) return
  const numbers = [...dimensions.keys()].filter(number => sold.dimensions.includes(dimensions[number]?.name as string))
  for (const [account, { agreement }] of shard.accounts) {
    const since = idleSince(agreement)
    if (since === undefined || !sold.products.includes(accounts.get(account).product)) continue
    for (const dimension of numbers) shard.makeSeries({ account, dimension }, hourOf(since))
  }
}

/**
 * The hours of a shard to close now, at most so many, and whether there are more. Those that are looked through for idle series are the
 * last. Done again by another process, what is there already is left as it is.
 *
 * @param done how many of these are done
 */
export function nextHours(
  shard: Shard,
  { options, closedThrough }: Closing,
  done: number,
  most: number,
): { hours: HourToClose[]; more: boolean } {
  const closed = lastClosed(closedThrough ?? undefined, options.now)
  const used = done > 0 ? [] : hoursToClose(shard.openHours, options)
  const idle = idleHours(latestHour(options), closed, options).slice(done)
  const hours = [
    ...used.map(hour => ({ hour, terms: termsToClose(hour, closed, options), idle: false })),
    ...idle.map(terms => ({ hour: terms.hour, terms, idle: true })),
  ]
  return { hours: hours.slice(0, most), more: hours.length > most }
}

/** The hours whose records have to be known for that. */
export function hoursOfRecords(hours: readonly HourToClose[]): number[] {
  return hours.flatMap(({ hour, terms }) => (terms === undefined ? [] : [hour]))
}

/** The accounts that may get a record of some quantity when hours are closed. */
export function accountsToFreeze(
  all: Iterable<Series>,
  dimensions: readonly Pick<Dimension, 'size'>[],
): ReadonlySet<number> {
  const some = [...all].filter(({ dimension, open, balance }) => {
    return open.size > 0 || balance >= (dimensions[dimension] as Dimension).size
  })
  return new Set(some.map(({ account }) => account))
}

/** Closes hours of a shard, whose records of them were read. */
export function closeHours(shard: Shard, hours: readonly HourToClose[], knowledge: Knowledge): FrozenRecord[] {
  return hours.flatMap(({ hour, terms, idle }) => {
    if (!idle) shard.takeHour(hour)
    if (terms === undefined) return []
    return freezeSeries(shard, shard.series.values(), terms, knowledge, idle ? freezeIdle : freeze)
  })
}

/** Makes the whole units of series' balances records, where they may be. */
export function freezeSeries(
  shard: Shard,
  all: Iterable<Series>,
  terms: Terms,
  { accounts, dimensions, twins, included }: Knowledge,
  rule: typeof freeze | typeof freezeIdle = freeze,
): FrozenRecord[] {
  const sheet = shard.sheet(terms.hour)
  return [...all].flatMap(series => {
    const { name, size, maxQuantity = null } = dimensions[series.dimension] as Dimension
    const sold = {
      size,
      maxQuantity,
      billable: isCustomer(series.account),
      taken: sheet.records.has(seriesKey(series)),
      twin: twins.has(series, terms.hour),
      dimension: name,
    }
    const contract = included.of(accounts.get(series.account).product, name)
    const { drawn, record } = rule(shard, series, sold, terms, contract)
    shard.noteDrawn(series, terms.hour, drawn)
    return record === undefined ? [] : [addRecord(sheet, series, terms, record, accounts)]
  })
}

export function addRecord(
  sheet: Sheet,
  { account, dimension }: SeriesNumbers,
  { region }: Terms,
  { timestamp, deadline, quantity, size, allocations, held, probe }: NewRecord,
  accounts: Accounts,
): FrozenRecord {
  const lane = laneOf(accounts.get(account), region).id
  const record: StoredRecord = {
    ...{ account, dimension, lane, timestamp, deadline, quantity, size, probe },
    allocations: allocationsIn(sheet, allocations),
    ...{ state: held === null ? 'pending' : 'held', reason: held, attempts: 0, refusals: 0, nextAttemptAt: 0 },
    ...{ claim: null, claimedUntil: 0, answer: null, meteringRecordId: null },
  }
  sheet.records.set(seriesKey(record), record)
  return { hour: sheet.hour, record }
}
