import { importError } from '../errors.ts'
import { notice } from '../notice.ts'
import type { MeteringClient } from './client.ts'
import { clockSkewBetween } from './clock-skew.ts'

/**
 * The AWS SDK's client of a region, with credentials from the usual chain. It makes one attempt and really times out:
 * the AWS SDK's own settings hide two more attempts and only warn at its timeout.
 *
 * Where the AWS SDK's client cannot be imported, that is told at once, and each request rejects with a
 * ConfigurationError.
 */
export function awsClient(region: string, requestTimeout: number): MeteringClient {
  // It takes long to load, and is first needed an hour from now; but nobody would look at the log then. A bundle has it
  // inside, where nothing is resolved.
  let imported = isResolved() ? undefined : load()
  imported?.catch(error => notice('error', error.message))
  let client: AwsClient | undefined
  return {
    get clockSkew() {
      return client?.clockSkew()
    },
    batchMeterUsage: async (request, options) => {
      imported ??= load()
      client ??= newClient(await imported, region, requestTimeout)
      return client.sdk.batchMeterUsage(request, options)
    },
  }
}

type Sdk = typeof import('@aws-sdk/client-marketplace-metering')

export interface AwsClient {
  readonly sdk: InstanceType<Sdk['MarketplaceMetering']>
  readonly clockSkew: () => number | undefined
}

/**
 * The AWS SDK's client itself.
 *
 * @throws ConfigurationError where it cannot be imported
 */
export async function loadAwsClient(region: string, requestTimeout: number): Promise<AwsClient> {
  return newClient(await load(), region, requestTimeout)
}

function newClient({ MarketplaceMetering }: Sdk, region: string, requestTimeout: number): AwsClient {
  const sdk = new MarketplaceMetering({
    region,
    maxAttempts: 1,
    requestHandler: { connectionTimeout: requestTimeout, requestTimeout, throwOnRequestTimeout: true },
  })
  let skew: number | undefined
  sdk.middlewareStack.add(
    next => async args => {
      const sentAt = Date.now()
      const result = await next(args)
      const { headers = {} } = result.response as { headers?: Record<string, string> }
      // A proxy's clock is not AWS's.
      if ('x-amzn-requestid' in headers) skew = clockSkewBetween(headers.date, sentAt, Date.now()) ?? skew
      return result
    },
    { step: 'deserialize', priority: 'low', name: 'clockSkew' },
  )
  return { sdk, clockSkew: () => skew }
}

function isResolved(): boolean {
  try {
    import.meta.resolve('@aws-sdk/client-marketplace-metering')
    return true
  } catch {
    return false
  }
}

async function load() {
  try {
    return await import('@aws-sdk/client-marketplace-metering')
  } catch (cause) {
    throw importError('@aws-sdk/client-marketplace-metering', ', or the option client.', cause)
  }
}
