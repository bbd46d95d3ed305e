import { hash } from 'node:crypto'
import { MarketplaceMeteringError } from '../errors.ts'
import type { Agreement } from '../ledger/ledger.ts'
import type { RegistrationClient, ResolveCustomerResult } from '../marketplace/registration.ts'
import { type CustomerAccount, customerAccount } from '../usage/account.ts'
import { isWellFormed } from '../usage/customer.ts'
import { type AgreementsOptions, noteOptions, type ParsedAgreementsOptions, parseOptions } from './options.ts'

/** The token is of another product than this. */
export class OtherProductError extends MarketplaceMeteringError {
  readonly code = 'ERR_OTHER_PRODUCT'
}

/** AWS's answer names no customer. */
export class RegistrationAnswerError extends MarketplaceMeteringError {
  readonly code = 'ERR_REGISTRATION_ANSWER'
}

export interface RegistrationOptions extends AgreementsOptions {
  /** What asks AWS: the AWS SDK's `MarketplaceMetering` as it is. */
  client: RegistrationClient
  /** What the seller calls the customer, who is found by it later: see `Ledger.agreements`. */
  tenant?: string
  /** A customer who has a tenant keeps it, whoever registers at the same time: the answer says which it is. */
  keepTenant?: boolean
  /** How long AWS may take to answer, in milliseconds. 10 seconds by default. */
  timeout?: number
}

const TIMEOUT = 10_000

/**
 * Turns the token that a buyer's browser has brought from AWS Marketplace into a customer that the ledger knows: usage
 * from now on is inside its agreement. The same token again, as long as AWS knows it, is the same customer.
 *
 * @param token the form's `x-amzn-marketplace-token`
 * @throws OtherProductError, RegistrationAnswerError, LedgerError, or AWS's own, such as `ExpiredTokenException`
 * @throws ConfigurationError naming each option that is wrong
 */
export async function registerCustomer(token: string, options: RegistrationOptions): Promise<Agreement> {
  const { client, tenant, keepTenant = false, timeout = TIMEOUT, ...rest } = options
  const parsed = parseOptions(rest)
  const answer = await client.resolveCustomer(
    { RegistrationToken: token },
    { abortSignal: AbortSignal.timeout(timeout) },
  )
  const account = accountOf(answer, parsed)
  const { ledger, productCode, now } = parsed
  // By that AWS's notifications of a product with a code name who is known here by its account.
  const alias =
    account.licenseArn === undefined && account.accountId !== undefined ? answer.CustomerIdentifier : undefined
  const news = {
    ...({ what: 'registered', at: Math.floor(now()), productCode } as const),
    ...(tenant !== undefined && { tenant, keepTenant }),
    ...(alias && { customerIdentifier: alias }),
    registration: hash('sha256', token).slice(0, 32),
  }
  await ledger.noteAgreement(account, news, await noteOptions(parsed, { who: 'registration' }))
  const [agreement] = await ledger.agreements({ customer: account.key })
  return agreement as Agreement
}

function accountOf(
  answer: ResolveCustomerResult | undefined,
  { productCode, product }: Pick<ParsedAgreementsOptions, 'productCode' | 'product'>,
): CustomerAccount {
  const { ProductCode, CustomerAWSAccountId, CustomerIdentifier, LicenseArn } = answer ?? {}
  if (ProductCode && ProductCode !== productCode) {
    throw new OtherProductError(
      `Expected a registration token of the product ${productCode}, got one of ${ProductCode}.`,
    )
  }
  // AWS writes what there is not as an empty text, too.
  const licenseArn = LicenseArn || undefined
  const accountId = CustomerAWSAccountId || undefined
  const customerIdentifier = accountId === undefined ? CustomerIdentifier || undefined : undefined
  const byLicence = licenseArn !== undefined && product !== undefined
  const name = byLicence ? { product, accountId, licenseArn } : { product: productCode, accountId, customerIdentifier }
  if (!ProductCode || !isWellFormed(name)) {
    const got = Object.entries({ ProductCode, CustomerAWSAccountId, CustomerIdentifier, LicenseArn })
    const members = got.filter(([, value]) => value).map(([member]) => member)
    throw new RegistrationAnswerError(
      'Expected ResolveCustomer to answer with ProductCode and CustomerAWSAccountId, and LicenseArn where there is one, got ' +
        `${members.length === 0 ? 'nothing' : `${members.join(', ')}, not all as they have to be`}.`,
    )
  }
  return customerAccount(name)
}
