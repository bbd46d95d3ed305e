import type { MetricData, ResourceMetrics } from '@opentelemetry/sdk-metrics'
import type { CatalogueDeclaration } from '../../src/simulator/index.ts'
import type { Account } from '../../src/usage/account.ts'
import type { CustomerIdentity, UsageOptions } from '../../src/usage/options.ts'
import { untaggedAccount } from '../../src/usage/tagged-account.ts'

/** Whom and what the sequences are about, once as the package is told and once as the model counts. */

export interface Customer extends CustomerIdentity {
  /** What AWS bills apart, as the ledger names it. */
  readonly key: string
  readonly product: string
}

const licensed = (accountId: string, product: string, number: number): Customer => {
  const licenseArn = `arn:aws:license-manager::123456789012:license:l-${number}`
  return { key: `${accountId},${licenseArn}`, accountId, licenseArn, product }
}

/** Under a product code, one of them by the older identity. */
const BY_PRODUCT: readonly Customer[] = [
  { key: 'prod-a,111111111111', accountId: '111111111111', product: 'prod-a' },
  { key: 'prod-a,222222222222', accountId: '222222222222', product: 'prod-a' },
  { key: 'prod-a,customer=third', customerIdentifier: 'third', product: 'prod-a' },
]
/** With licences of two products, which no request may mix. */
const BY_LICENCE: readonly Customer[] = [
  licensed('111111111111', 'prod-a', 1),
  licensed('222222222222', 'prod-a', 2),
  licensed('222222222222', 'prod-b', 3),
]
/** One AWS account by a product code and by two licences, of which nobody says what product they are of. */
const BY_BOTH: readonly Customer[] = [
  { key: 'prod-a,111111111111', accountId: '111111111111', product: 'prod-a' },
  licensed('111111111111', 'prod-b', 1),
  licensed('111111111111', 'prod-b', 2),
]
/** What AWS tells the customers by. */
export type Identities = 'product-code' | 'licence' | 'both'
const CUSTOMERS = { 'product-code': BY_PRODUCT, licence: BY_LICENCE, both: BY_BOTH }
export const customersOf = (identities: Identities) => CUSTOMERS[identities]

export interface Sold {
  readonly name: string
  readonly unit: string
  /** What a measurement of `n` is as the meter's value, and exactly, in millionths of the base unit. */
  readonly value: (n: number) => number
  readonly amount: (n: number) => bigint
}

const counted = (name: string, unit: string, value = (n: number) => n): Sold => ({
  ...{ name, unit, value },
  amount: n => BigInt(value(n)) * 1_000_000n,
})
export const SOLD: readonly Sold[] = [
  counted('requests', '{request}'),
  counted('tokens', '{token}'),
  { name: 'gpu-hours', unit: 's', value: n => n * 1.125, amount: n => BigInt(n) * 1_125_000n },
  // Guarded: now and then above its maximum.
  counted('images', '{image}', n => (n % 130) + 1),
]
export const DIMENSIONS = SOLD.map(({ name }) => name)

/** What the contracts of a sequence include. */
export interface Contract {
  /** For how many GPU hours AWS has some customers entitled in the beginning, and for how long. */
  readonly entitled: number
  readonly hours: number
  /** How many thousands of tokens everybody has in a month. */
  readonly quantity: number
  /** What becomes of usage when AWS cannot be asked for hours. */
  readonly outcome: 'hold' | 'meter'
}

/** The dimensions that contracts include something of: what AWS says, and the same for all. */
export const ENTITLED = 'gpu-hours'
export const INCLUDED = 'tokens'
/** As AWS names it. */
export const ENTITLEMENT = 'gpu-committed'

/** What usage is for; the last is no tag of AWS's. */
const MODELS = [undefined, 'small', 'large', 'größe']

export function usageOptions(identities: Identities, per: number, contract?: Contract): UsageOptions {
  const customers = customersOf(identities)
  const from = (metric: string) => ({ from: { metric } })
  return {
    ...(identities !== 'product-code' && { product: 'prod-a' }),
    ...(identities !== 'licence' && { productCode: 'prod-a' }),
    dimensions: {
      requests: { unit: '{request}', allocations: ['model'], ...from('requests') },
      tokens: {
        ...{ unit: '{token}', per, allocations: ['model'], ...from('tokens') },
        ...(contract && { included: { quantity: contract.quantity, per: 'month' } }),
      },
      'gpu-hours': {
        ...{ unit: 'h', ...from('gpu-hours') },
        ...(contract && { included: { entitlement: ENTITLEMENT, per: 'term' } }),
      },
      images: { unit: '{image}', maxQuantity: 100, ...from('images') },
    },
    customer: ({ who }) => {
      const customer = customers[who as number]
      return customer && identityOf(customer)
    },
  }
}

export function identityOf({ key, ...identity }: Customer): CustomerIdentity {
  if (identity.licenseArn !== undefined) return identity
  const { product, ...ids } = identity
  return ids
}

export function catalogueOf(customers: readonly Customer[]): CatalogueDeclaration {
  // One account may have several licences.
  const accounts = Map.groupBy(customers, ({ accountId, customerIdentifier }) => accountId ?? customerIdentifier)
  return {
    products: ['prod-a', 'prod-b'].map(code => ({ code, dimensions: [...DIMENSIONS] })),
    customers: [...accounts.values()].map(same => ({
      accountId: same[0]?.accountId,
      customerIdentifier: same[0]?.customerIdentifier,
      subscriptions: same.map(({ product, licenseArn }) => ({ product, licenseArn })),
    })),
  }
}

export interface Measurement {
  readonly customer: number
  readonly sold: Sold
  readonly n: number
}

/** A collection as the SDK hands it over, and beside it what must never be billed. */
export function collectionOf(measurements: readonly Measurement[]): ResourceMetrics {
  const metrics = SOLD.flatMap(sold => {
    const points = measurements.filter(one => one.sold === sold)
    return [
      sum(
        sold,
        points.map(({ customer, n }) => [customer, sold.value(n), MODELS[n % MODELS.length]]),
      ),
      { ...sum(sold, [[0, 1_000_000]]), aggregationTemporality: 1 } as MetricData,
      sum(sold, [
        [0, Number.NaN],
        [0, -5],
      ]),
    ]
  })
  const resource = { attributes: {} } as ResourceMetrics['resource']
  return { resource, scopeMetrics: [{ scope: { name: 'app' }, metrics }] }
}

function sum({ name, unit }: Sold, points: [who: number, value: number, model?: string | undefined][]): MetricData {
  return {
    descriptor: { name, unit, description: '', valueType: 1 },
    ...{ dataPointType: 3, isMonotonic: true, aggregationTemporality: 0 },
    dataPoints: points.map(([who, value, model]) => ({
      ...{ value, attributes: { who, ...(model !== undefined && { model }) } },
      ...{ startTime: [0, 0], endTime: [0, 0] },
    })),
  } as MetricData
}

/** A series' name, whatever its usage is for. Usage of nobody is of one account, however the package calls it. */
export const seriesOf = (account: Account, dimension: string) =>
  `${account.kind === 'customer' ? untaggedAccount(account).key : 'nobody'} ${dimension}`
