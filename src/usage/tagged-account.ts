import { createHash } from 'node:crypto'
import type { CustomerAccount } from './account.ts'
import { type Tags, textOfTags } from './tags.ts'

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
