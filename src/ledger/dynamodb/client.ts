import type { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { importError } from '../../errors.ts'

/** The AWS SDK's client and commands for DynamoDB. */
export type Sdk = typeof import('@aws-sdk/client-dynamodb')

/**
 * Imported when a ledger is opened: only those who keep theirs on DynamoDB need it.
 *
 * @throws ConfigurationError when it is not installed, or does not load
 */
export async function loadSdk(): Promise<Sdk> {
  try {
    return await import('@aws-sdk/client-dynamodb')
  } catch (cause) {
    throw importError('@aws-sdk/client-dynamodb', ': a ledger on DynamoDB needs it.', cause)
  }
}

export interface ClientOptions {
  /** By default the AWS SDK's usual chain says it: `AWS_REGION`, a profile, … */
  readonly region?: string
  /** Another address than the region's, such as that of DynamoDB Local. */
  readonly endpoint?: string
}

/** How long one request may take, in milliseconds. DynamoDB answers within tens. */
const REQUEST_TIMEOUT = 5000

/** A client that makes one attempt and really times out: the ledger repeats what may be repeated. */
export function makeClient({ DynamoDBClient: Client }: Sdk, options: ClientOptions): DynamoDBClient {
  return new Client({
    ...(options.region !== undefined && { region: options.region }),
    ...(options.endpoint !== undefined && { endpoint: options.endpoint }),
    maxAttempts: 1,
    requestHandler: { connectionTimeout: 2000, requestTimeout: REQUEST_TIMEOUT, throwOnRequestTimeout: true },
  })
}
