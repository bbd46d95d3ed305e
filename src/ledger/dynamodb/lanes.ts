import type { Account } from '../../usage/account.ts'
import type { Lane } from '../ledger.ts'

/** A lane's id says all of it, so that nobody has to look it up. The product is the last: it may have any characters. */

export function laneOf(account: Account, region: string): Lane {
  const identity = account.kind === 'customer' && account.licenseArn !== undefined ? 'licence' : 'product-code'
  return { id: `${region} ${identity} ${account.product}`, product: account.product, identity, region }
}

export function parseLane(id: string): Lane {
  const [, region = '', identity, product = ''] = /^(\S*) (licence|product-code) (.*)$/s.exec(id) ?? []
  return { id, region, identity: identity as Lane['identity'], product }
}
