import type { Instant } from './clock.ts'
import type { EndStatus } from './events.ts'
import type { EntitlementValue } from './wire.ts'

/** What a catalogue is told: what exists, and what changes. */

/** A customer's names: at least one of them. */
export interface Identity {
  accountId?: string | undefined
  /** The older identity; beside `accountId` it says that both are one customer. */
  customerIdentifier?: string | undefined
}

export interface ProductDeclaration {
  code: string
  /** The API names of its dimensions that are metered; any, if they are left out. */
  dimensions?: string[] | undefined
}

/** What a contract entitles to of a dimension, as `GetEntitlements` tells it. */
export interface EntitlementDeclaration {
  /** Its API name. It need not be one that is metered. */
  dimension: string
  /** With one member, such as `{ IntegerValue: 1000000 }`. */
  value: EntitlementValue
  /** From then on it is not listed. */
  expiresAt: Instant
}

export interface SubscriptionDeclaration {
  product: string
  licenseArn?: string | undefined
  /** When it begins; it has always been, if left out. */
  from?: Instant | undefined
  /** When it ends: the licence, at `License Deprovisioned`. Usage of before is still taken for an hour after. */
  to?: Instant | undefined
  /** Of a contract. */
  entitlements?: EntitlementDeclaration[] | undefined
}

export interface CustomerDeclaration extends Identity {
  /** Subscribed to everything, if they are left out. */
  subscriptions?: SubscriptionDeclaration[] | undefined
}

export interface TokenDeclaration extends Identity {
  /** Made up, if it is left out. */
  token?: string | undefined
  product: string
  licenseArn?: string | undefined
  /** It expires four hours later. Now, if left out. */
  createdAt?: Instant | undefined
}

export interface AgreementChange extends Identity {
  /** Every product, if it is left out. */
  product?: string | undefined
  licenseArn?: string | undefined
  /** Now, if it is left out. */
  at?: Instant | undefined
}

export interface SubscriptionStart extends AgreementChange {
  /** AWS takes no usage of it before `activate`, and then that of before as well. A registration token is good at once. */
  pending?: boolean | undefined
  /** Of a contract with `product`. */
  entitlements?: EntitlementDeclaration[] | undefined
}

/** Other terms, or an upgrade. A legacy contract is renewed by it as well: with a later expiry. */
export interface Amendment extends AgreementChange {
  /** Those that are others from `at` on; they are of one subscription. */
  entitlements?: EntitlementDeclaration[] | undefined
}

export interface SubscriptionEnd extends AgreementChange {
  /** What AWS says of the agreement (default `CANCELLED`). */
  status?: Exclude<EndStatus, 'RENEWED'> | undefined
}

export interface Renewal extends AgreementChange {
  licenseArn: string
  /** The licence of the agreement that comes; the same, if it is left out. Which of the two AWS does is not known. */
  renewedAs?: string | undefined
  /** Of the agreement that comes. Left out, another licence has none, and the same one those of before. */
  entitlements?: EntitlementDeclaration[] | undefined
}

/** AWS suspends the buyer's account, or lets it go on. */
export interface Suspension extends Identity {
  /** Now, if it is left out. */
  at?: Instant | undefined
}

/** What exists: a catalogue file has this shape. What is not declared at all is accepted freely. */
export interface CatalogueDeclaration {
  products?: ProductDeclaration[] | undefined
  customers?: CustomerDeclaration[] | undefined
  tokens?: TokenDeclaration[] | undefined
  /** Regions that answer `DisabledApiException`. */
  disabledRegions?: string[] | undefined
}
