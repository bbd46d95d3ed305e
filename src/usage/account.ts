/**
 * Whom usage is recorded for: a customer as Marketplace knows it, or the unattributed account, which keeps what
 * nobody can be billed for until a person says whose it is.
 */
export type Account = CustomerAccount | UnattributedAccount

/**
 * A customer under one of the two identities that Marketplace bills by, never both:
 * - Concurrent Agreements: `accountId` and `licenseArn`; `product` is the seller's own label, since one request is
 *   for one product and the API does not say which a licence belongs to;
 * - otherwise `product` is the product code, with `accountId` or the older `customerIdentifier`.
 */
export interface CustomerAccount {
  readonly kind: 'customer'
  /** What AWS bills apart, as one text: `accountId,licenseArn`, `productCode,accountId` or `productCode,customer=identifier`. */
  readonly key: string
  readonly product: string
  /** 12 digits. */
  readonly accountId?: string
  readonly customerIdentifier?: string
  readonly licenseArn?: string
}

export interface UnattributedAccount {
  readonly kind: 'unattributed'
  readonly key: string
  readonly product: string
  /** Why nobody can be billed. */
  readonly reason: UnattributedReason
  /** What the data point said, as JSON, so that a person can tell whose it is. At most 256 characters. */
  readonly evidence: string
}

export type UnattributedReason = UnnamedReason | 'old-counter' | 'too-late' | 'several-writers'

/** Why no customer could be named. For the other reasons the customer is known, and what it owes is not: see `NotCounted`. */
export type UnnamedReason = 'no-customer' | 'malformed-customer' | 'overflow' | 'resolver-failed'
