import { createHash } from 'node:crypto'
import { LedgerError } from '../ledger/errors.ts'
import type { StatementLine } from '../ledger/ledger.ts'
import type { Account, CustomerAccount, UnattributedAccount } from '../usage/account.ts'
import { CustomerReader } from '../usage/customer.ts'
import { type CustomerIdentity, PRODUCT } from '../usage/options.ts'
import { UsageError } from './errors.ts'
import { printable } from './text/printable.ts'

/** A short name for an unattributed account, whose key is long and full of quotes: the same wherever it is shown. */
export function handleOf(account: UnattributedAccount): string {
  return `u-${createHash('sha256').update(account.key).digest('hex').slice(0, 8)}`
}

/** An account as a table shows it; its licence stands in a column of its own. */
export function accountLabel(account: Account): string {
  if (account.kind === 'unattributed') return handleOf(account)
  return printable(account.accountId ?? account.customerIdentifier ?? account.key)
}

/** The id at the end of a licence's ARN. */
export function licenceLabel(account: Account): string {
  const arn = account.kind === 'customer' ? (account.licenseArn ?? '') : ''
  return printable(arn.slice(arn.lastIndexOf(':') + 1))
}

/** An account as a sentence names it. */
export function accountName(account: Account): string {
  const licence = licenceLabel(account)
  return licence === '' ? accountLabel(account) : `${accountLabel(account)} (licence ${licence})`
}

/** The account that a person means by its key, id, customer identifier, licence or handle. */
export function findAccount(lines: readonly StatementLine[], text: string): Account {
  const found = new Map<string, Account>()
  for (const { account } of lines) if (namesOf(account).includes(text)) found.set(account.key, account)
  const [account, ...others] = found.values()
  if (account === undefined) {
    throw new LedgerError(
      'ERR_LEDGER_NOT_FOUND',
      `There is no account ${JSON.stringify(text)} in this ledger. "marketplace-meter statement" shows those there are.`,
    )
  }
  if (others.length > 0) {
    const keys = [...found.keys()].map(key => JSON.stringify(key)).join(', ')
    throw new LedgerError('ERR_LEDGER_INVALID', `${JSON.stringify(text)} are several accounts. Give a key: ${keys}.`)
  }
  return account
}

function namesOf(account: Account): (string | undefined)[] {
  return account.kind === 'customer'
    ? [account.key, account.accountId, account.customerIdentifier, account.licenseArn]
    : [account.key, handleOf(account)]
}

/** The account of a customer that a person names, checked as the exporter checks its own. */
export function customerAccount(product: string, identity: CustomerIdentity): CustomerAccount {
  if (!PRODUCT.test(product)) {
    throw new UsageError(`Expected --product to be 1 to 255 of -a-zA-Z0-9/=:_.@, got ${JSON.stringify(product)}.`)
  }
  const options = identity.licenseArn === undefined ? { productCode: product } : { product }
  const { account } = new CustomerReader({ ...options, customer: () => identity }, 0).read({}, {})
  if (account.kind === 'customer') return account
  throw new UsageError(
    'Expected --account-id of 12 digits, alone or with --license-arn arn:aws:license-manager:…, or ' +
      `--customer-identifier alone, got ${JSON.stringify(identity)}.`,
  )
}
