import { LedgerError } from '../ledger/errors.ts'
import type { StatementLine } from '../ledger/ledger.ts'
import { handleOf } from '../text/account.ts'
import { type Account, type CustomerAccount, customerAccount } from '../usage/account.ts'
import { isWellFormed } from '../usage/customer.ts'
import { type CustomerIdentity, PRODUCT } from '../usage/options.ts'
import { CommandLineError } from './errors.ts'

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
export function namedCustomer(product: string, identity: CustomerIdentity): CustomerAccount {
  if (!PRODUCT.test(product)) {
    throw new CommandLineError(`Expected --product to be 1 to 255 of -a-zA-Z0-9/=:_.@, got ${JSON.stringify(product)}.`)
  }
  const name = { ...identity, product }
  if (isWellFormed(name)) return customerAccount(name)
  throw new CommandLineError(
    'Expected --account-id of 12 digits, alone or with --license-arn arn:aws:license-manager:…, or ' +
      `--customer-identifier alone, got ${JSON.stringify(identity)}.`,
  )
}
