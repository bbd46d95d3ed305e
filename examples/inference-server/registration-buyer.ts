import type { RegistrationOptions } from './registration.ts'
import type { Page } from './registration-page.ts'

/** Who registers, as Marketplace knows them. */
export interface Buyer {
  /** 12 digits. */
  readonly accountId: string
  /** Only where the product is sold by licence: usage is metered by the licence then, and else by the product code. */
  readonly licenseArn?: string
}

type Kind = keyof typeof PAGES

/** What a registration comes to when it fails, told to the buyer. */
export class RegistrationError extends Error {
  readonly kind: Kind

  constructor(kind: Kind, options?: ErrorOptions) {
    super(PAGES[kind].title, options)
    this.kind = kind
  }

  page(): Page {
    return PAGES[this.kind]
  }
}

const AGAIN =
  'Open AWS Marketplace, go to Manage subscriptions, choose this product and then "Set up your account". That brings you back here with a new token.'

const PAGES = {
  method: {
    status: 405,
    title: 'Come here from AWS Marketplace',
    paragraphs: ['This page sets up the account of who has subscribed to the product.', AGAIN],
    headers: { allow: 'POST' },
  },
  form: { status: 415, title: 'This is not the form of AWS Marketplace', paragraphs: [AGAIN] },
  large: { status: 413, title: 'This is not the form of AWS Marketplace', paragraphs: [AGAIN] },
  slow: { status: 408, title: 'The form did not arrive in time', paragraphs: [AGAIN] },
  missing: { status: 400, title: 'The registration token is missing', paragraphs: [AGAIN] },
  invalid: {
    status: 400,
    title: 'AWS Marketplace does not know this registration token',
    paragraphs: ['It may have been cut off on its way.', AGAIN],
  },
  expired: {
    status: 410,
    title: 'This registration token has expired',
    paragraphs: ['A token can be used for four hours.', AGAIN],
  },
  'other-product': {
    status: 403,
    title: 'This registration token is for another product',
    paragraphs: ['Your subscription to that product is not changed by this.', AGAIN],
  },
  unavailable: {
    status: 503,
    title: 'AWS Marketplace cannot be asked right now',
    paragraphs: [
      'Nothing is wrong with your subscription. Load this page again in a minute: your token can be used for four hours.',
    ],
    headers: { 'retry-after': '60' },
  },
  seller: {
    status: 500,
    title: 'Your account could not be set up',
    paragraphs: [
      'The fault is ours, and is in our log. Nothing is wrong with your subscription, and nothing was billed.',
      'Try again later, or write to our support with the time of your attempt.',
    ],
  },
} as const satisfies Record<string, Page>

const TIMEOUT = 10_000

/** @throws RegistrationError */
export async function resolveBuyer(
  token: string,
  { client, productCode, byLicence }: Pick<RegistrationOptions, 'client' | 'productCode' | 'byLicence'>,
): Promise<Buyer> {
  const answer = await client
    .resolveCustomer({ RegistrationToken: token }, { abortSignal: AbortSignal.timeout(TIMEOUT) })
    .catch(cause => {
      throw new RegistrationError(kindOf(cause), { cause })
    })
  const { ProductCode, CustomerAWSAccountId: accountId, LicenseArn: licenseArn } = answer ?? {}
  if (!ProductCode) throw new RegistrationError('unavailable')
  if (ProductCode !== productCode) throw new RegistrationError('other-product')
  if (!accountId) throw nonsense('NoCustomerAWSAccountId')
  if (!byLicence) return { accountId }
  if (!licenseArn) throw nonsense('NoLicenseArn')
  return { accountId, licenseArn }
}

function kindOf(error: unknown): Kind {
  const { name = '', message = '', $fault } = error as { name?: string; message?: string; $fault?: string }
  // AWS has one name for an expired registration token and for expired credentials of ours.
  if (name === 'ExpiredTokenException' && !/security token/i.test(message)) return 'expired'
  if (name === 'InvalidTokenException') return 'invalid'
  const passing = $fault !== 'client' || name === 'ThrottlingException'
  return passing && !/credentials/i.test(name) ? 'unavailable' : 'seller'
}

function nonsense(name: string): RegistrationError {
  return new RegistrationError('seller', { cause: { name } })
}
