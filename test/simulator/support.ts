import type { TestContext } from 'node:test'
import { MarketplaceEntitlementService } from '@aws-sdk/client-marketplace-entitlement-service'
import { MarketplaceMetering, type UsageRecord } from '@aws-sdk/client-marketplace-metering'
import { SQS } from '@aws-sdk/client-sqs'
import { type RunningSimulator, type ServerOptions, startSimulator } from '../../src/simulator/index.ts'

/** A Wednesday in the middle of a month: no window but the one under test is near. */
export const NOW = Date.UTC(2026, 5, 10, 12, 30)
export const MINUTE = 60_000
export const HOUR = 60 * MINUTE
export const PRODUCT = 'prod-inference'
export const ACCOUNT = '111122223333'
export const OTHER_ACCOUNT = '444455556666'
export const LICENCE = 'arn:aws:license-manager::123456789012:license:l-00000000000000000000000000000001'
export const OTHER_LICENCE = 'arn:aws:license-manager::123456789012:license:l-00000000000000000000000000000002'

export interface Running extends RunningSimulator {
  /** The AWS SDK's own client, unmodified but for its endpoint, with one attempt. */
  sdk: (config?: { region?: string; accessKeyId?: string }) => MarketplaceMetering
  /** The same for entitlements. */
  entitlements: (config?: { region?: string; accessKeyId?: string }) => MarketplaceEntitlementService
  /** The same for the queue of agreements' events. */
  sqs: (config?: { region?: string; accessKeyId?: string }) => SQS
}

/** A simulator behind HTTP whose clock stands at NOW, closed at the end of the test. */
export async function running(test: TestContext, options: ServerOptions = {}): Promise<Running> {
  const simulator = await startSimulator({ now: () => NOW, seed: 7, quota: null, ...options })
  const clients: { destroy(): void }[] = []
  test.after(async () => {
    for (const client of clients) client.destroy()
    await simulator.close()
  })
  const configOf = ({ region = 'us-east-1', accessKeyId = 'AKIDEXAMPLE' } = {}) => ({
    endpoint: simulator.url,
    region,
    credentials: { accessKeyId, secretAccessKey: 'secret' },
    maxAttempts: 1,
  })
  const kept = <Client extends { destroy(): void }>(client: Client): Client => {
    clients.push(client)
    return client
  }
  return Object.assign(simulator, {
    sdk: (config => kept(new MarketplaceMetering(configOf(config)))) satisfies Running['sdk'],
    entitlements: (config =>
      kept(new MarketplaceEntitlementService(configOf(config)))) satisfies Running['entitlements'],
    sqs: (config => kept(new SQS(configOf(config)))) satisfies Running['sqs'],
  })
}

/** A record for a product with a product code. */
export function record(changes: Partial<UsageRecord> = {}): UsageRecord {
  return {
    Timestamp: new Date(NOW - HOUR),
    Dimension: 'tokens',
    Quantity: 5,
    CustomerAWSAccountId: ACCOUNT,
    ...changes,
  }
}

/** A record of Concurrent Agreements. */
export const licensed = (changes: Partial<UsageRecord> = {}): UsageRecord => record({ LicenseArn: LICENCE, ...changes })

export const batch = (...UsageRecords: UsageRecord[]) => ({ ProductCode: PRODUCT, UsageRecords })

export const statuses = (answer: { Results?: { Status?: string | undefined }[] | undefined }) =>
  answer.Results?.map(result => result.Status)

/** For `assert.rejects`: an error of this name and HTTP status. */
export const refusedAs =
  (name: string, status = 400) =>
  (error: unknown): boolean => {
    const { name: actual, $metadata } = error as { name: string; $metadata?: { httpStatusCode?: number } }
    if (actual === name && $metadata?.httpStatusCode === status) return true
    throw new Error(`Expected ${name} with ${status} but received ${actual} with ${$metadata?.httpStatusCode}`, {
      cause: error,
    })
  }
