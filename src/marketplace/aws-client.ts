import { importError } from '../errors.ts'
import { notice } from '../notice.ts'
import type { MeteringClient } from './client.ts'

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
  let client: MeteringClient | undefined
  return {
    batchMeterUsage: async (request, options) => {
      imported ??= load()
      const { MarketplaceMetering } = await imported
      client ??= new MarketplaceMetering({
        region,
        maxAttempts: 1,
        requestHandler: { connectionTimeout: requestTimeout, requestTimeout, throwOnRequestTimeout: true },
      })
      return client.batchMeterUsage(request, options)
    },
  }
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
