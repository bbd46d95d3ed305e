import type { CatalogueDeclaration } from '../../src/simulator/index.ts'

/** A customer of the inference service, and how much it asks. */
export interface Customer {
  readonly name: string
  readonly apiKey: string
  readonly accountId: string
  readonly licenseArn: string
  /** Requests in a busy virtual minute. */
  readonly pace: number
}

export const PRODUCT = 'inference-api'

const names = ['Acme Robotics', 'Bluebird Legal', 'Cobalt Games', 'Dune Analytics', 'Ember Health', 'Fjord Travel']

export function customers(count: number): Customer[] {
  return Array.from({ length: count }, (_, index) => ({
    name: names[index] ?? `Customer ${index + 1}`,
    apiKey: `sk-main-job-${String(index + 1).padStart(8, '0')}`,
    accountId: String(100_000_000_001 + index * 111_111),
    licenseArn: `arn:aws:license-manager::294406891311:license:l-${String(index + 1).padStart(32, '0')}`,
    pace: 1 + (index % 3),
  }))
}

/** What the simulator is told that there is. */
export function catalogue(all: readonly Customer[]): CatalogueDeclaration {
  return {
    products: [{ code: PRODUCT, dimensions: ['inference-requests', 'tokens-processed', 'gpu-hours'] }],
    customers: all.map(({ accountId, licenseArn }) => ({
      accountId,
      subscriptions: [{ product: PRODUCT, licenseArn }],
    })),
  }
}
