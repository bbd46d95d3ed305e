/**
 * The part of AWS Marketplace Metering that a seller's registration page calls. The AWS SDK's `MarketplaceMetering`
 * fits {@link RegistrationClient} as it is.
 */

export interface ResolveCustomerRequest {
  /** What came in the form's `x-amzn-marketplace-token`. It is good for 4 hours. */
  RegistrationToken: string
}

/** Who the buyer is. Every member may be missing in an answer that makes no sense. */
export interface ResolveCustomerResult {
  CustomerIdentifier?: string | undefined
  CustomerAWSAccountId?: string | undefined
  ProductCode?: string | undefined
  /** Of products with Concurrent Agreements. */
  LicenseArn?: string | undefined
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
