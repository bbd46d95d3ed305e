import { LedgerError } from '../ledger/errors.ts'
import type { Ledger } from '../ledger/ledger.ts'
import { handleOf, licenceLabel } from '../text/account.ts'
import { type Account, type CustomerAccount, customerAccount } from '../usage/account.ts'
import { isWellFormed } from '../usage/customer.ts'
import { type CustomerIdentity, PRODUCT } from '../usage/options.ts'
import { CommandLineError } from './errors.ts'

/**
 * The account that a person means by its key, id, customer identifier, licence or handle.
 *
 * @param advice what to do where there is none
 */
export function findAccount(
  lines: readonly { readonly account: Account }[],
  text: string,
  advice = '"marketplace-meter statement" shows those there are.',
): Account {
  const found = new Map<string, Account>()
  for (const { account } of lines) if (namesOf(account).includes(text)) found.set(account.key, account)
  const [account, ...others] = found.values()
  if (account === undefined) {
    throw new LedgerError(
      'ERR_LEDGER_NOT_FOUND',
      `There is no account ${JSON.stringify(text)} in this ledger. ${advice}`,
    )
  }
  if (others.length > 0) {
    const keys = [...found.keys()].map(key => JSON.stringify(key)).join(', ')
    throw new LedgerError('ERR_LEDGER_INVALID', `${JSON.stringify(text)} are several accounts. Give a key: ${keys}.`)
  }
  return account
}

/** What a query takes for the customer that a person means. Of a licence ledgers know the ARN and the account's key. */
export async function customerQuery(
  ledger: Pick<Ledger, 'statement'>,
  text: string | undefined,
): Promise<{ customer?: string }> {
  if (text === undefined) return {}
  if (!LICENCE.test(text)) return { customer: text }
  const lines = await ledger.statement()
  return { customer: lines.find(({ account }) => namesOf(account).includes(text))?.account.key ?? text }
}

/** A licence as AWS's events and its examples write it, and as tables here do. */
const LICENCE = /^(arn:|aws:|l-)/

function namesOf(account: Account): (string | undefined)[] {
  if (account.kind === 'unattributed') return [account.key, handleOf(account)]
  const { key, accountId, customerIdentifier, licenseArn } = account
  const licence = licenseArn === undefined ? [] : [licenseArn, licenseArn.replace(/^arn:/, ''), licenceLabel(account)]
  return [key, accountId, customerIdentifier, ...licence]
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
