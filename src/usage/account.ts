import type { Tags } from './tags.ts'

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
  /** What AWS bills apart, as one text; see `customerKey`. */
  readonly key: string
  readonly product: string
  /** 12 digits. */
  readonly accountId?: string
  readonly customerIdentifier?: string
  readonly licenseArn?: string
  /** What the usage is for: such an account is the customer's, under a key of its own; see `tags.ts`. */
  readonly tags?: Tags
}

/** The id at the end of a licence's ARN, `l-…`: AWS writes what stands before it in two ways. */
export function licenceId(arn: string): string {
  return arn.slice(arn.lastIndexOf(':') + 1)
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

export type UnattributedReason = UnnamedReason | 'old-counter' | 'too-late' | 'several-writers' | 'sender-limit'

/** Why no customer could be named. For the other reasons the customer is known, and what it owes is not: see `NotCounted`. */
export type UnnamedReason =
  | 'no-customer'
  | 'malformed-customer'
  /** It has a licence, and is metered by a product code alone: AWS would bill by an agreement that may be over. */
  | 'licence-without-product'
  /** No agreement is known of who the seller calls so. */
  | 'unknown-tenant'
  | 'overflow'
  | 'resolver-failed'

/** What AWS tells a customer by. */
export type CustomerName = Pick<CustomerAccount, 'product'> & {
  readonly [Name in 'accountId' | 'customerIdentifier' | 'licenseArn']?: string | undefined
}

/**
 * `accountId,licenseArn`, `productCode,accountId` or `productCode,customer=identifier`. A licence is of one product,
 * whatever our own label for that is called today: AWS tells licences apart, not labels.
 */
export function customerKey({ product, accountId, customerIdentifier, licenseArn }: CustomerName): string {
  if (customerIdentifier !== undefined) return `${product},customer=${customerIdentifier}`
  // There are many keys: a template's text would keep its parts, too.
  return (licenseArn === undefined ? [product, accountId] : [accountId, licenseArn]).join(',')
}

/** The account of a customer. It is made with all that it has: an object takes more memory when something is added to it. */
export function customerAccount(name: CustomerName): CustomerAccount {
  const { product, accountId, customerIdentifier, licenseArn } = name
  const [kind, key] = ['customer' as const, customerKey(name)]
  if (customerIdentifier !== undefined) return { kind, key, product, customerIdentifier }
  if (licenseArn !== undefined) return { kind, key, product, accountId: accountId as string, licenseArn }
  return { kind, key, product, accountId: accountId as string }
}

/** The account for usage that nobody can be billed for. Without evidence it is one for all with that reason. */
export function unattributedAccount(
  product: string,
  reason: UnattributedReason,
  evidence: string,
): UnattributedAccount {
  const prefix = `${product},unattributed=${reason}`
  return { kind: 'unattributed', key: evidence === '' ? prefix : `${prefix},${evidence}`, product, reason, evidence }
}
