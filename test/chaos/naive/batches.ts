import type { UsageRecord } from '../../../src/simulator/index.ts'
import { type Customer, PRODUCTS, requestOf } from '../customers.ts'

export interface Item {
  readonly customer: Customer
  readonly record: UsageRecord
}

/** Requests of at most 25 records, each with the items it was made of. */
export function* batchesOf<One extends Item>(
  items: readonly One[],
): Generator<{ items: One[]; request: ReturnType<typeof requestOf<UsageRecord>> }> {
  for (const product of PRODUCTS) {
    const own = items.filter(({ customer }) => customer.product === product)
    for (let start = 0; start < own.length; start += 25) {
      const batch = own.slice(start, start + 25)
      yield {
        items: batch,
        request: requestOf(
          product,
          batch.map(({ record }) => record),
        ),
      }
    }
  }
}
