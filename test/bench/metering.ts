import { randomBytes } from 'node:crypto'
import { HOUR } from '../../src/ledger/hours.ts'
import type { Ledger } from '../../src/ledger/ledger.ts'
import type { MeteringClient } from '../../src/marketplace/client.ts'
import { MeteringCycle } from '../../src/metering/cycle.ts'
import { Pacer } from '../../src/metering/pacer.ts'
import type { CustomerAccount } from '../../src/usage/account.ts'
import type { Dimension } from '../../src/usage/dimension.ts'

/** Ten minutes into an hour in the middle of a month: the hour before may be frozen. */
export const NOW = Date.UTC(2026, 5, 10, 12, 10)
export const REGION = 'us-east-1'
const SPREAD_PRODUCT = 'x5yz2ja3bq7hcmw8r4kd'
export const CONCURRENCY = 10
export const BATCH = 25
export const REQUESTS: Dimension = { name: 'requests', unit: '{request}', baseUnit: '1', size: 1_000_000n }

export const accountId = (number: number) => String(100_000_000_000 + number)

export function customer(number: number, product: string): CustomerAccount {
  return { kind: 'customer', key: `${product},${accountId(number)}`, product, accountId: accountId(number) }
}

/** Spread as they are in life: neighbours would compress to nothing. */
export function spreadCustomer(number: number): CustomerAccount {
  const accountId = String(100_000_000_000 + ((number * 736_878_701) % 899_999_999_977))
  return { kind: 'customer', key: `${SPREAD_PRODUCT},${accountId}`, product: SPREAD_PRODUCT, accountId }
}

export interface CycleOptions {
  readonly ledger: Ledger
  readonly client: MeteringClient
  readonly now?: () => number
  readonly pacer?: Pacer
}

export function cycleOf({
  ledger,
  client,
  now = () => NOW,
  pacer = new Pacer(Number.POSITIVE_INFINITY),
}: CycleOptions) {
  const cycle = new MeteringCycle({
    ...{ ledger, now, pacer, region: REGION, concurrency: CONCURRENCY, clientFor: () => client },
    closeDelay: 5 * 60_000,
    deadlineMargin: 5 * 60_000,
    zeroQuantityRecords: false,
    onConflict: 'hold',
    onNotSubscribed: 'hold',
    dryRun: false,
    requestTimeout: 10_000,
    retention: Number.POSITIVE_INFINITY,
    report: event => {
      // A benchmark of faults would be another one.
      if (event.type === 'fault' || event.type === 'nonsense') throw new Error(event.message)
    },
  })
  return cycle
}

/** Usage of so many customers in the hour before `now`. */
export async function use(ledger: Ledger, customers: number, product: string, now = NOW): Promise<void> {
  await ledger.register([REQUESTS])
  const hour = Math.floor(now / HOUR) * HOUR - HOUR
  const entries = Array.from({ length: customers }, (_, number) => ({
    account: customer(number, product),
    dimension: REQUESTS.name,
    hour,
    amount: BigInt(1 + (number % 1000)) * REQUESTS.size,
  }))
  await ledger.append({ writer: randomBytes(16).toString('hex'), sequence: 1, entries })
}

/** The same, frozen into records that are due. */
export async function makeDue(ledger: Ledger, records: number, product: string): Promise<void> {
  await use(ledger, records, product)
  const frozen = await ledger.closeHours({ now: NOW, region: REGION, closeDelay: 0, deadlineMargin: 5 * 60_000 })
  if (frozen.records !== records) throw new Error(`${frozen.records} records are due, not ${records}`)
}

/** That all went out and was taken. */
export async function assertDrained(ledger: Ledger): Promise<void> {
  const { pending, held } = await ledger.status()
  if (pending.length > 0 || held.length > 0) throw new Error('not all records are metered')
}
