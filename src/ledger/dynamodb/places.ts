import { HOUR } from '../hours.ts'
import { END, type Key, type Range } from './table.ts'

/**
 * Where series and their records are. The series of a few accounts share an item, their shard; beside it is an item for
 * each hour, a sheet, with the records of all these series.
 */

/** How many accounts share a shard: with three dimensions, their series take one or two kilobytes. */
const ACCOUNTS_PER_SHARD = 16

/** A series, by the numbers of its account and dimension. */
export interface SeriesNumbers {
  readonly account: number
  readonly dimension: number
}

/** The number of an account's shard. As with accounts, those of customers are even. */
export function shardOf(account: number): number {
  return 2 * Math.floor(Math.floor(account / 2) / ACCOUNTS_PER_SHARD) + (account % 2)
}

/** The shards of the first so many accounts of a kind. */
export function shardsOf({ customers = 0, unattributed = 0 }: { customers?: number; unattributed?: number }): number[] {
  const of = (accounts: number, odd: number) =>
    Array.from({ length: Math.ceil(accounts / ACCOUNTS_PER_SHARD) }, (_, index) => 2 * index + odd)
  return [...of(customers, 0), ...of(unattributed, 1)]
}

export const partitionOf = (shard: number): string =>
  `${shard % 2 === 0 ? 'customers' : 'unattributed'}#${Math.floor(shard / 2)}`
export const hourText = (hour: number): string => String(hour / HOUR).padStart(10, '0')
export const stateKey = (shard: number): Key => ({ pk: partitionOf(shard), sk: 'state' })
export const sheetKey = (shard: number, hour: number): Key => ({
  pk: partitionOf(shard),
  sk: `records#${hourText(hour)}`,
})
export const hourOfPlace = (sk: string): number => Number(sk.split('#')[1]) * HOUR

export const seriesKey = ({ account, dimension }: SeriesNumbers): string => `${account}-${dimension}`

/** What a record is called: its hour, account and dimension, of which there is one record at most. */
export const recordId = (hour: number, record: SeriesNumbers): string => `${hour / HOUR}-${seriesKey(record)}`

export interface Place {
  readonly hour: number
  readonly series: string
  readonly shard: number
}

/** Where a record is, if it is anywhere. */
export function placeOfRecord(id: string): Place | undefined {
  const [, hour, account, dimension] = /^(\d{1,10})-(\d{1,15})-(\d{1,6})$/.exec(id) ?? []
  if (hour === undefined) return undefined
  return { hour: Number(hour) * HOUR, series: `${account}-${dimension}`, shard: shardOf(Number(account)) }
}

/** Hours from one on up to, but not with, another. */
export interface Hours {
  readonly from: number
  readonly to: number
}

/** The places of what is kept by hours. */
export function rangeOf(kept: 'records' | 'usage' | 'drawn', { from, to }: Hours): Range {
  const last = Math.ceil(Math.min(to, LAST_HOUR) / HOUR) - 1
  return { from: `${kept}#${hourText(from)}`, to: last < 0 ? kept : `${kept}#${hourText(last * HOUR)}${END}` }
}

const LAST_HOUR = 9_999_999_999 * HOUR
