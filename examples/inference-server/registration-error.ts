import { OtherProductError, RegistrationAnswerError } from '../../src/agreements/index.ts'
import { LedgerError } from '../../src/ledger/errors.ts'
import type { Page } from './registration-page.ts'

type Kind = keyof typeof PAGES

/** What a registration comes to when it fails, told to the buyer. */
export class RegistrationError extends Error {
  readonly kind: Kind

  constructor(kind: Kind, options?: ErrorOptions) {
    super(PAGES[kind].title, options)
    this.kind = kind
  }

  /** Of whatever a registration may throw. */
  static of(error: unknown): RegistrationError {
    return error instanceof RegistrationError ? error : new RegistrationError(kindOf(error), { cause: error })
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

function kindOf(error: unknown): Kind {
  if (error instanceof OtherProductError) return 'other-product'
  if (error instanceof RegistrationAnswerError) return 'unavailable'
  if (error instanceof LedgerError) return 'seller'
  const { name = '', message = '', $fault } = error as { name?: string; message?: string; $fault?: string }
  // AWS has one name for an expired registration token and for expired credentials of ours.
  if (name === 'ExpiredTokenException' && !/security token/i.test(message)) return 'expired'
  if (name === 'InvalidTokenException') return 'invalid'
  const passing = $fault !== 'client' || name === 'ThrottlingException'
  return passing && !/credentials/i.test(name) ? 'unavailable' : 'seller'
}
