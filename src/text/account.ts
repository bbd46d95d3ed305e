import { createHash } from 'node:crypto'
import { type Account, licenceId, type UnattributedAccount } from '../usage/account.ts'
import { printable } from './printable.ts'

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
  return printable(licenceId(arn))
}

/** An account as a sentence names it. */
export function accountName(account: Account): string {
  const licence = licenceLabel(account)
  return licence === '' ? accountLabel(account) : `${accountLabel(account)} (licence ${licence})`
}
