import { MarketplaceMetering } from '@aws-sdk/client-marketplace-metering'
import { conformance } from './conformance.ts'
import { CREDENTIALS } from './support.ts'

conformance(
  'the AWS SDK’s client',
  (t, { timeout = 10_000, region = 'us-east-1', endpoint, credentials = CREDENTIALS }) => {
    const client = new MarketplaceMetering({
      endpoint,
      region,
      // A copy: it adds members of its own.
      credentials: { ...credentials } as typeof CREDENTIALS,
      // As aws-client.ts makes it.
      maxAttempts: 1,
      requestHandler: { connectionTimeout: timeout, requestTimeout: timeout, throwOnRequestTimeout: true },
    })
    t.after(() => client.destroy())
    return client
  },
)
