import { HOUR, windowClosesAt } from '../../ledger/hours.ts'
import type { RecordEntry } from '../../ledger/ledger.ts'
import type { Dimension } from '../../usage/dimension.ts'
import { type Usage, usagesOf } from './quantity.ts'

/** What AWS bills no more after the next deadline, unless it has taken it by then. */
export interface Stake {
  /** How many records have no final answer. */
  readonly records: number
  /** Whether there are more than were looked at. */
  readonly more: boolean
  readonly usage: readonly Usage[]
  /** All of it in words: `15 records (1,200 tokens, 8 hours)`. */
  readonly text: string
}

/** The end of the last hour that AWS takes usage of for as long as it takes that of `hour`: at a month's end many. */
export function sameDeadline(hour: number): number {
  let end = hour + HOUR
  while (windowClosesAt(end) === windowClosesAt(hour)) end += HOUR
  return end
}

/** What is at stake where the oldest of these records is no longer taken. */
export function stakeOf(
  pending: readonly RecordEntry[],
  dimensions: ReadonlyMap<string, Dimension>,
  more: boolean,
): Stake {
  const until = pending.reduce((first, { hour }) => Math.min(first, windowClosesAt(hour)), Number.POSITIVE_INFINITY)
  const first = pending.filter(({ hour }) => windowClosesAt(hour) === until)
  const usage = usagesOf(amountsOf(first), dimensions)
  const records = `${first.length.toLocaleString('en-US')} ${first.length === 1 ? 'record' : 'records'}`
  const text = `${records}${more ? ' or more' : ''} (${usage.map(one => one.text).join(', ')})`
  return { records: first.length, more, usage, text }
}

/** By their dimensions. */
export function amountsOf(records: readonly RecordEntry[]): Map<string, bigint> {
  const amounts = new Map<string, bigint>()
  for (const { dimension, quantity, size } of records) {
    amounts.set(dimension, (amounts.get(dimension) ?? 0n) + BigInt(quantity) * size)
  }
  return amounts
}
