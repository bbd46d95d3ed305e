import { ConfigurationError } from '../errors.ts'
import type { MeteringClient } from './client.ts'

const PACKAGE = '@aws-sdk/client-marketplace-metering'

/**
 * The AWS SDK's client of a region, with credentials from the usual chain. It makes one attempt and really times out:
 * the AWS SDK's own settings hide two more attempts and only warn at its timeout.
 *
 * @throws ConfigurationError when the AWS SDK's client is not installed
 */
export function awsClient(region: string, requestTimeout: number): MeteringClient {
  try {
    import.meta.resolve(PACKAGE)
  } catch (cause) {
    throw new ConfigurationError(
      `Expected ${PACKAGE} to be installed (npm install ${PACKAGE}), or the option client.`,
      {
        cause,
      },
    )
  }
  let client: Promise<MeteringClient> | undefined
  return {
    batchMeterUsage: async (request, options) => {
      client ??= load(region, requestTimeout)
      return (await client).batchMeterUsage(request, options)
    },
  }
}

// Imported when it is first needed: an application that has not metered anything yet starts without it.
async function load(region: string, requestTimeout: number): Promise<MeteringClient> {
  const { MarketplaceMetering } = await import('@aws-sdk/client-marketplace-metering')
  return new MarketplaceMetering({
    region,
    maxAttempts: 1,
    requestHandler: { connectionTimeout: requestTimeout, requestTimeout, throwOnRequestTimeout: true },
  })
}
