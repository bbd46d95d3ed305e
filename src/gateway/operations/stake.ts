import { HOUR, windowClosesAt } from '../../ledger/hours.ts'
import type { LedgerStatus, RecordEntry } from '../../ledger/ledger.ts'
import { addAmount } from '../../ledger/rules/accounting.ts'
import type { Dimension } from '../../usage/dimension.ts'
import { type Usage, usagesOf } from './quantity.ts'

/** What AWS bills no more after a deadline, unless it has taken it by then. */
export interface Stake {
  /** How many records have no final answer. */
  readonly records: number
  /** Whether there are more than were looked at. */
  readonly more: boolean
  readonly usage: readonly Usage[]
  /** All of it in words: `15 records (1,200 tokens, 8 hours)`. */
  readonly text: string
}

/** The same, before it is known how dimensions count. Amounts are in millionths of the base unit, by dimension. */
export interface Pending {
  readonly records: number
  readonly amounts: ReadonlyMap<string, bigint>
  /** Of how many that are pending, where there may be more than these. */
  readonly of?: number
}

/** The end of the last hour that AWS takes usage of for as long as it takes that of `hour`: at a month's end many. */
export function sameDeadline(hour: number): number {
  let end = hour + HOUR
  while (windowClosesAt(end) === windowClosesAt(hour)) end += HOUR
  return end
}

/** Those of these records that AWS stops to take first. */
export function firstPending(pending: readonly RecordEntry[]): Pending {
  const until = pending.reduce((first, { hour }) => Math.min(first, windowClosesAt(hour)), Number.POSITIVE_INFINITY)
  const first = pending.filter(({ hour }) => windowClosesAt(hour) === until)
  return { records: first.length, amounts: amountsOf(first) }
}

/** All that is pending, of any hour. */
export function allPending({ pending }: Pick<LedgerStatus, 'pending'>): Pending {
  const records = pending.reduce((sum, figure) => sum + figure.records, 0)
  return { records, amounts: new Map(pending.map(({ dimension, amount }) => [dimension, amount])) }
}

export function stakeOf({ records, amounts, of }: Pending, dimensions: ReadonlyMap<string, Dimension>): Stake {
  const usage = usagesOf(amounts, dimensions)
  const words = usage.map(({ text }) => text).join(', ')
  const count = records.toLocaleString('en-US')
  const text =
    of === undefined
      ? `${count} ${records === 1 ? 'record' : 'records'} (${words})`
      : `at least ${count} of ${of.toLocaleString('en-US')} pending records (at least ${words})`
  return { records, more: of !== undefined, usage, text }
}

/** What records have of each dimension, in millionths of its base unit. */
export function amountsOf(records: readonly RecordEntry[]): Map<string, bigint> {
  const amounts = new Map<string, bigint>()
  for (const { dimension, quantity, size } of records) {
    addAmount(amounts, dimension, BigInt(quantity) * size)
  }
  return amounts
}
