import { importError } from '../errors.ts'

/** The part of CloudTrail that is called, under AWS's own names. The AWS SDK's aggregated `CloudTrail` fits as it is. */
export interface CloudTrailClient {
  lookupEvents(
    request: LookupRequest,
    options?: { abortSignal?: AbortSignal },
  ): Promise<{ Events?: { CloudTrailEvent?: string | undefined }[] | undefined; NextToken?: string | undefined }>
}

export interface LookupRequest {
  LookupAttributes: { AttributeKey: 'EventName'; AttributeValue: string }[]
  StartTime: Date
  EndTime: Date
  MaxResults: number
  NextToken?: string
}

/** Milliseconds for an answer. */
const REQUEST_TIMEOUT = 30_000

/**
 * The AWS SDK's client of a region, with credentials from the usual chain. It makes one attempt: who asks tries again,
 * at the pace that CloudTrail takes.
 *
 * @throws ConfigurationError when the AWS SDK's client is not installed, or does not load
 */
export async function cloudTrailClient(region: string): Promise<CloudTrailClient> {
  const { CloudTrail } = await load()
  return new CloudTrail({
    region,
    maxAttempts: 1,
    requestHandler: { connectionTimeout: 5000, requestTimeout: REQUEST_TIMEOUT, throwOnRequestTimeout: true },
  })
}

async function load() {
  try {
    return await import('@aws-sdk/client-cloudtrail')
  } catch (cause) {
    throw importError('@aws-sdk/client-cloudtrail', ': CloudTrail is asked with it.', cause)
  }
}
