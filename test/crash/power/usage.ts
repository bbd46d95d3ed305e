import { HOUR, MINUTE } from '../../../src/ledger/hours.ts'
import type { CloseOptions, UsageBatch } from '../../../src/ledger/ledger.ts'
import type { CustomerAccount } from '../../../src/usage/account.ts'
import type { Dimension } from '../../../src/usage/dimension.ts'

/** What the recorded process appends, known beforehand: the n-th batch is always the same. */

const UNIT = 1_000_000n
const START = Date.UTC(2026, 2, 10)
const CUSTOMERS = 120
const BATCHES_PER_HOUR = 8
const CLOSE_DELAY = 5 * MINUTE

export const DIMENSIONS: readonly Dimension[] = [
  { name: 'requests', unit: '{request}', baseUnit: '1', size: UNIT },
  { name: 'tokens', unit: '{token}', baseUnit: '1', size: 1000n * UNIT },
]

const customers = Array.from({ length: CUSTOMERS }, (_, index): CustomerAccount => {
  const accountId = String(100_000_000_000 + index)
  return { kind: 'customer', key: `prod,${accountId}`, product: 'prod', accountId }
})

export function batch(n: number): UsageBatch {
  const hour = START + Math.floor((n - 1) / BATCHES_PER_HOUR) * HOUR
  const entries = customers.flatMap((account, index) => [
    { account, hour, dimension: 'tokens', amount: BigInt(((n * 31 + index * 17) % 100) + 1) * UNIT },
    // One of the first customer in every batch, so that its requests tell how many batches there are.
    ...(index === 0 || (n + index) % 20 === 0 ? [{ account, hour, dimension: 'requests', amount: UNIT }] : []),
  ])
  return { writer: 'c'.repeat(32), sequence: n, entries }
}

/** Whether the n-th batch is the last of its hour. */
export const endsHour = (n: number): boolean => n % BATCHES_PER_HOUR === 0

/** When the hour of the n-th batch may be closed. */
export const closingOf = (n: number): number => START + Math.ceil(n / BATCHES_PER_HOUR) * HOUR + CLOSE_DELAY

export function closeOptions(now: number): CloseOptions {
  return { now, region: 'us-east-1', closeDelay: CLOSE_DELAY, deadlineMargin: CLOSE_DELAY }
}

/** What is recorded of each series when the first n batches are, by `customer dimension`. */
export function recordedAfter(n: number): Map<string, bigint> {
  const recorded = new Map<string, bigint>()
  for (let sequence = 1; sequence <= n; sequence += 1) {
    for (const { account, dimension, amount } of batch(sequence).entries) {
      const series = `${account.key} ${dimension}`
      recorded.set(series, (recorded.get(series) ?? 0n) + amount)
    }
  }
  return recorded
}

/** How many batches are in a ledger with these lines. */
export function batchesIn(recorded: ReadonlyMap<string, bigint>): number {
  return Number((recorded.get(`${customers[0]?.key} requests`) ?? 0n) / UNIT)
}
