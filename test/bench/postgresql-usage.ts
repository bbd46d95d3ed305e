import type { UsageEntry } from '../../src/ledger/ledger.ts'
import { spreadCustomer } from './metering.ts'

export const AMOUNT = 1_000_000n
/** As many as the exporter brings in at once. */
const MOST_ENTRIES = 10_000

/** Usage of so many series in an hour, in batches. */
export function usageOf(series: number): (hour: number) => UsageEntry[][] {
  const accounts = Array.from({ length: series }, (_, number) => spreadCustomer(number))
  return hour => {
    const entries = accounts.map((account): UsageEntry => ({ account, dimension: 'tokens', hour, amount: AMOUNT }))
    return Array.from({ length: Math.ceil(series / MOST_ENTRIES) }, (_, part) =>
      entries.slice(part * MOST_ENTRIES, (part + 1) * MOST_ENTRIES),
    )
  }
}
