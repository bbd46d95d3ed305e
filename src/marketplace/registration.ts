/**
 * The part of AWS Marketplace Metering that a seller's registration page calls. The AWS SDK's `MarketplaceMetering`
 * fits {@link RegistrationClient} as it is.
 */

export interface ResolveCustomerRequest {
  /** What came in the form's `x-amzn-marketplace-token`. It is good for 4 hours. */
  RegistrationToken: string
}

/** Who the buyer is. Any member may be missing, null or empty: what there is not, and in an answer that makes no sense. */
export interface ResolveCustomerResult {
  CustomerIdentifier?: string | null | undefined
  CustomerAWSAccountId?: string | null | undefined
  ProductCode?: string | null | undefined
  /** Of products with Concurrent Agreements. */
  LicenseArn?: string | null | undefined
  $metadata?: { attempts?: number | undefined; httpStatusCode?: number | undefined } | undefined
}

/**
 * Turns the token of a buyer who comes from AWS Marketplace into a customer. Rejects with an error whose `name` is
 * AWS's: `ExpiredTokenException`, `InvalidTokenException`, …
 */
export interface RegistrationClient {
  resolveCustomer(
    request: ResolveCustomerRequest,
    options?: { abortSignal?: AbortSignal },
  ): Promise<ResolveCustomerResult>
}
