import { createHash } from 'node:crypto'
import type { CustomerAccount } from './account.ts'

/**
 * A set of tags that usage of a customer is allocated to, as AWS shows it in the customer's bill: one to five, in the order
 * of their keys. A key has 1 to 100, a value 1 to 256 of letters, digits, space and `+ - = . _ : / @`.
 * https://docs.aws.amazon.com/marketplace/latest/APIReference/API_marketplace-metering_Tag.html
 */
export type Tags = readonly (readonly [key: string, value: string])[]

export const MOST_TAGS = 5
export const TAG_KEY = /^[-a-zA-Z0-9 +=._:/@]{1,100}$/
export const TAG_VALUE = /^[-a-zA-Z0-9 +=._:/@]{1,256}$/

/** The same text for the same tags. */
export function textOfTags(tags: Tags): string {
  return JSON.stringify(tags)
}

const KEY_MARK = ',tags='
const DIGITS = 32

/** The customers that tagged accounts were made of: the same object for all tags, where it is known. */
const customers = new WeakMap<object, object>()

/** The account of a customer's usage that is for some tags: the customer's, under a key of its own. */
export function taggedAccount(customer: CustomerAccount, tags: Tags): CustomerAccount {
  const digest = createHash('sha256').update(textOfTags(tags)).digest('hex').slice(0, DIGITS)
  const account = { ...customer, key: `${customer.key}${KEY_MARK}${digest}`, tags }
  customers.set(account, customer)
  return account
}

/** An account without what its usage is for: whom AWS bills. */
export function untaggedAccount<Kind extends { readonly kind: string; readonly key: string; readonly tags?: Tags }>(
  account: Kind,
): Kind {
  if (account.tags === undefined) return account
  const known = customers.get(account)
  if (known !== undefined) return known as Kind
  const { tags: _, ...customer } = { ...account, key: account.key.slice(0, -KEY_MARK.length - DIGITS) }
  customers.set(account, customer)
  return customer as unknown as Kind
}
