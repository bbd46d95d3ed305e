import { readFileSync } from 'node:fs'
import * as v from 'valibot'
import { strictObject } from '../check.ts'
import type { Instant } from './clock.ts'
import { SimulatorConfigurationError } from './errors.ts'
import { END_STATUSES } from './events.ts'
import {
  accountId,
  customerIdentifier,
  dimension,
  instant,
  licenseArn,
  productCode,
  region,
  validated,
} from './validation.ts'

/** What a catalogue is told: what exists, and what changes. */

/** A customer's names: at least one of them. */
export interface Identity {
  accountId?: string | undefined
  /** The older identity; beside `accountId` it says that both are one customer. */
  customerIdentifier?: string | undefined
}

export interface ProductDeclaration {
  code: string
  /** The API names of its dimensions; any, if they are left out. */
  dimensions?: string[] | undefined
}

export interface SubscriptionDeclaration {
  product: string
  licenseArn?: string | undefined
  /** When it begins; it has always been, if left out. */
  from?: Instant | undefined
  /** When it ends: the licence, at `License Deprovisioned`. Usage of before is still taken for an hour after. */
  to?: Instant | undefined
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
}

export interface SubscriptionEnd extends AgreementChange {
  /** What AWS says of the agreement (default `CANCELLED`). */
  status?: (typeof END_STATUSES)[number] | undefined
}

export interface Renewal extends AgreementChange {
  licenseArn: string
  /** The licence of the agreement that comes; the same, if it is left out. Which of the two AWS does is not known. */
  renewedAs?: string | undefined
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

export const productSchema = strictObject({
  code: productCode,
  dimensions: v.optional(v.array(dimension)),
})

const identity = {
  accountId: v.optional(accountId),
  customerIdentifier: v.optional(customerIdentifier),
}

const someIdentity = <Named extends Identity>() =>
  v.check<Named, string>(
    value => value.accountId !== undefined || value.customerIdentifier !== undefined,
    'Expected accountId or customerIdentifier, or both',
  )

const subscriptionSchema = strictObject({
  product: productCode,
  licenseArn: v.optional(licenseArn),
  from: v.optional(instant),
  to: v.optional(instant),
})

export const customerSchema = v.pipe(
  strictObject({ ...identity, subscriptions: v.optional(v.array(subscriptionSchema)) }),
  someIdentity(),
)

export const tokenSchema = v.pipe(
  strictObject({
    token: v.optional(v.pipe(v.string(), v.minLength(1))),
    product: productCode,
    ...identity,
    licenseArn: v.optional(licenseArn),
    createdAt: v.optional(instant),
  }),
  someIdentity(),
)

const change = {
  ...identity,
  product: v.optional(productCode),
  licenseArn: v.optional(licenseArn),
  at: v.optional(instant),
}
export const changeSchema = v.pipe(strictObject(change), someIdentity())
export const startSchema = v.pipe(strictObject({ ...change, pending: v.optional(v.boolean()) }), someIdentity())
export const endSchema = v.pipe(
  strictObject({ ...change, status: v.optional(v.picklist(END_STATUSES)) }),
  someIdentity(),
)
export const renewalSchema = v.pipe(
  strictObject({ ...change, licenseArn, renewedAs: v.optional(licenseArn) }),
  someIdentity(),
)
export const suspensionSchema = v.pipe(strictObject({ ...identity, at: v.optional(instant) }), someIdentity())

export const catalogueSchema = strictObject({
  products: v.optional(v.array(productSchema)),
  customers: v.optional(v.array(customerSchema)),
  tokens: v.optional(v.array(tokenSchema)),
  disabledRegions: v.optional(v.array(region)),
})

/**
 * Reads a catalogue from a JSON file.
 *
 * @throws {SimulatorConfigurationError} if it cannot be read, is not JSON or is not a catalogue
 */
export function readCatalogue(path: string): CatalogueDeclaration {
  let content: unknown
  try {
    content = JSON.parse(readFileSync(path, 'utf8'))
  } catch (cause) {
    throw new SimulatorConfigurationError(`catalogue ${path}: Expected a JSON file but ${(cause as Error).message}`, {
      cause,
    })
  }
  return validated(catalogueSchema, content, `catalogue ${path}`)
}
