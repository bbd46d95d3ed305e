import type { UsageEntry } from '../../src/ledger/ledger.ts'
import type { CustomerAccount } from '../../src/usage/account.ts'

export const AMOUNT = 1_000_000n
/** As many as the exporter brings in at once. */
const MOST_ENTRIES = 10_000

/** Usage of so many series in an hour, in batches. */
export function usageOf(series: number): (hour: number) => UsageEntry[][] {
  const accounts = Array.from({ length: series }, (_, number): CustomerAccount => {
    // Spread as they are in life: neighbours would compress to nothing.
    const accountId = String(100_000_000_000 + ((number * 736_878_701) % 899_999_999_977))
    const product = 'x5yz2ja3bq7hcmw8r4kd'
    return { kind: 'customer', key: `${product},${accountId}`, product, accountId }
  })
  return hour => {
    const entries = accounts.map((account): UsageEntry => ({ account, dimension: 'tokens', hour, amount: AMOUNT }))
    return Array.from({ length: Math.ceil(series / MOST_ENTRIES) }, (_, part) =>
      entries.slice(part * MOST_ENTRIES, (part + 1) * MOST_ENTRIES),
    )
  }
}
