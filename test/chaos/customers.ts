import type { CatalogueDeclaration } from '../../src/simulator/index.ts'
import type { CustomerAccount } from '../../src/usage/account.ts'
import { UsageMapper } from '../../src/usage/mapper.ts'
import type { CustomerIdentity, UsageOptions } from '../../src/usage/options.ts'
import { DIMENSIONS, dimensionOptions, ENTITLEMENT } from './dimensions.ts'

/** A product that is metered by its code, and one under Concurrent Agreements. */
export const PRODUCTS = ['prod-by-code', 'prod-by-licence'] as const
export type Product = (typeof PRODUCTS)[number]

export interface Customer {
  readonly index: number
  readonly product: Product
  readonly identity: CustomerIdentity
  /** As the exporter names it. */
  readonly account: CustomerAccount
  /** How much more it asks than the smallest. */
  readonly weight: number
  /** How many requests its contract includes, where it has one. */
  readonly entitled: number | undefined
}

/** What the application writes on its data points: its own number of the customer. */
export const CUSTOMER_ATTRIBUTE = 'app.customer'

/** The options of the exporter that meters a product. */
export function usageOptions(product: Product, customers: readonly Customer[], tokensPer: number): UsageOptions {
  return {
    ...(product === 'prod-by-code' ? { productCode: product } : { product }),
    dimensions: dimensionOptions(tokensPer),
    customer: attributes => customers[attributes[CUSTOMER_ATTRIBUTE] as number]?.identity,
  }
}

/** A third each by account id and product code, by the older identifier and by licence. */
export function makeCustomers(count: number): Customer[] {
  const mappers = new Map(PRODUCTS.map(product => [product, new UsageMapper(usageOptions(product, [], 1000))]))
  return Array.from({ length: count }, (_, index) => {
    const product = PRODUCTS[index % 3 === 2 ? 1 : 0]
    const accountId = String(100_000_000_001 + index * 7919)
    const identity =
      index % 3 === 0
        ? { accountId }
        : index % 3 === 1
          ? { customerIdentifier: `customer-${index}` }
          : {
              accountId,
              licenseArn: `arn:aws:license-manager::294406891311:license:l-${String(index).padStart(32, '0')}`,
            }
    const account = (mappers.get(product) as UsageMapper).account(identity)
    const entitled = index % 5 === 0 ? 120 + 10 * index : undefined
    return { index, product, identity, account, weight: [1, 1, 1, 2, 2, 4, 12][index % 7] as number, entitled }
  })
}

/** What the simulator is told that there is. */
export function catalogueOf(customers: readonly Customer[]): CatalogueDeclaration {
  return {
    products: PRODUCTS.map(code => ({ code, dimensions: [...DIMENSIONS] })),
    customers: customers.map(({ identity, product, entitled }) => {
      const { licenseArn, accountId, customerIdentifier } = identity
      return {
        ...(accountId !== undefined && { accountId }),
        ...(customerIdentifier !== undefined && { customerIdentifier }),
        subscriptions: [
          {
            ...{ product, ...(licenseArn !== undefined && { licenseArn }) },
            entitlements: entitled === undefined ? [] : [entitlementOf(entitled, FAR)],
          },
        ],
      }
    }),
  }
}

/** After every month. */
export const FAR = Date.UTC(2028, 0)

export const entitlementOf = (IntegerValue: number, expiresAt: number) => ({
  ...{ dimension: ENTITLEMENT, value: { IntegerValue }, expiresAt },
})

/** Whom an agreement is with, as the simulator's catalogue asks for it. */
export function agreementOf({ identity, product }: Customer) {
  const { licenseArn, accountId, customerIdentifier } = identity
  return {
    product,
    ...(accountId !== undefined && { accountId }),
    ...(customerIdentifier !== undefined && { customerIdentifier }),
    ...(licenseArn !== undefined && { licenseArn }),
  }
}

/** A usage record of a customer, as AWS takes it. */
export function recordOf({ identity }: Customer, dimension: number, time: number, quantity: number) {
  return {
    Timestamp: new Date(time - (time % 1000)),
    Dimension: DIMENSIONS[dimension] as string,
    Quantity: quantity,
    ...(identity.accountId !== undefined && { CustomerAWSAccountId: identity.accountId }),
    ...(identity.customerIdentifier !== undefined && { CustomerIdentifier: identity.customerIdentifier }),
    ...(identity.licenseArn !== undefined && { LicenseArn: identity.licenseArn }),
  }
}

/** A request for records of one product. */
export function requestOf<Record>(product: Product, UsageRecords: Record[]) {
  return { ...(product === 'prod-by-code' && { ProductCode: product }), UsageRecords }
}
