import { importError } from '../errors.ts'

/**
 * The part of AWS Marketplace's Entitlement Service that this package calls, under AWS's own names. The AWS SDK's
 * aggregated `MarketplaceEntitlementService` fits {@link EntitlementClient} as it is.
 */

export interface GetEntitlementsRequest {
  /** Also of a product with Concurrent Agreements. */
  ProductCode: string
  /** 1 to 25. */
  MaxResults?: number
  NextToken?: string
}

/** One of its members. */
export interface EntitlementValue {
  IntegerValue?: number | undefined
  DoubleValue?: number | undefined
  BooleanValue?: boolean | undefined
  StringValue?: string | undefined
}

/** What a customer is entitled to of a dimension. Every member may be missing in an answer that makes no sense. */
export interface ListedEntitlement {
  ProductCode?: string | undefined
  Dimension?: string | undefined
  CustomerIdentifier?: string | undefined
  CustomerAWSAccountId?: string | undefined
  LicenseArn?: string | undefined
  Value?: EntitlementValue | undefined
  ExpirationDate?: Date | undefined
}

export interface GetEntitlementsResult {
  Entitlements?: ListedEntitlement[] | undefined
  /** There are more; also of a page without any. */
  NextToken?: string | undefined
}

/** Reads entitlements. A refusal rejects with an error whose `name` is AWS's, as the AWS SDK's do. */
export interface EntitlementClient {
  getEntitlements(
    request: GetEntitlementsRequest,
    options?: { abortSignal?: AbortSignal },
  ): Promise<GetEntitlementsResult>
}

/** The most entitlements in one answer. */
export const MAX_ENTITLEMENTS = 25

/** The service has an endpoint in one region of each partition. */
export const entitlementRegion = (region: string): string => (region.startsWith('cn-') ? 'cn-northwest-1' : 'us-east-1')

/**
 * The AWS SDK's client, with credentials from the usual chain: one attempt, which really times out. It is loaded with the
 * first request; where it cannot be imported, that rejects with a ConfigurationError.
 *
 * @param region where usage is metered
 * @param requestTimeout in milliseconds
 */
export function awsEntitlementClient(region: string, requestTimeout: number): EntitlementClient {
  let made: Promise<EntitlementClient> | undefined
  return {
    async getEntitlements(request, options) {
      made ??= loadEntitlementClient(region, requestTimeout)
      const client = await made.catch(error => {
        made = undefined
        throw error
      })
      return await client.getEntitlements(request, options)
    },
  }
}

const PACKAGE = '@aws-sdk/client-marketplace-entitlement-service'

/** What is used of the AWS SDK's client. Its own type would have everybody who checks our declarations install it. */
interface SdkClient extends EntitlementClient {
  readonly config: { credentials(): Promise<{ readonly secretAccessKey: string; readonly sessionToken?: string }> }
  destroy(): void
}

/**
 * The AWS SDK's client itself.
 *
 * @throws ConfigurationError where it cannot be imported
 */
export async function loadEntitlementClient(region: string, requestTimeout: number): Promise<SdkClient> {
  let sdk: typeof import('@aws-sdk/client-marketplace-entitlement-service')
  try {
    sdk = await import('@aws-sdk/client-marketplace-entitlement-service')
  } catch (cause) {
    throw importError(PACKAGE, ', or the option entitlements.client.', cause)
  }
  return new sdk.MarketplaceEntitlementService({
    region: entitlementRegion(region),
    maxAttempts: 1,
    requestHandler: { connectionTimeout: requestTimeout, requestTimeout, throwOnRequestTimeout: true },
  })
}
