import { show } from '../check.ts'
import { MarketplaceMeteringError } from '../errors.ts'

/**
 * What AWS Marketplace tells a seller of agreements, as this package understands it: EventBridge's events of Concurrent
 * Agreements, and the SNS messages of products with a product code.
 * https://docs.aws.amazon.com/marketplace/latest/userguide/saas-eventbridge-integration.html
 */
export type AgreementEvent =
  | LicenceEvent
  | PurchaseAgreementEvent
  | AdvisoryEvent
  | SpendThresholdEvent
  | SubscriptionEvent
  | EntitlementEvent
  | UnknownEvent

/** What AWS gives an event, so that it can be told from others and ordered among them. */
interface Identified {
  /** The same each time that the event is delivered. */
  readonly id: string
  /** When it happened, in milliseconds since the epoch. Events of a licence are ordered by it, not by their arrival. */
  readonly at: number
}

/** Of an agreement, what some events name. */
interface Named {
  readonly agreementId?: string
  readonly accountId?: string
  readonly productCode?: string
  readonly productId?: string
  readonly licenseArn?: string
}

/**
 * `License Updated`: the licence is in force, for the first time, again or with other terms. `License Deprovisioned`: it
 * has ended, and AWS takes what was used for about an hour more.
 */
export interface LicenceEvent extends Identified {
  readonly type: 'licence-active' | 'licence-ended'
  readonly licenseArn: string
  readonly accountId: string
  readonly productCode?: string
  readonly productId?: string
  readonly agreementId?: string
}

/** `Purchase Agreement Created`, `Amended` or `Ended`. It names no licence, and metering neither begins nor ends with it. */
export interface PurchaseAgreementEvent extends Identified {
  readonly type: 'agreement'
  readonly what: 'created' | 'amended' | 'ended'
  readonly agreementId: string
  readonly accountId?: string
  /** AWS's word, such as `ACTIVE`, `CANCELLED` or `RENEWED`. */
  readonly status?: string
  /** AWS's word: `NEW`, `RENEW`, `REPLACE` or `AMEND`. */
  readonly intent?: string
  /** Milliseconds since the epoch, as `endTime`. */
  readonly startTime?: number
  readonly endTime?: number
  /** The agreement that this one renews or replaces. */
  readonly previousAgreementId?: string
}

/** `Purchase Agreement Advisory Issued` or `Resolved`: of a buyer's account, such as its closure, its compromise or fraud. */
export interface AdvisoryEvent extends Identified {
  readonly type: 'advisory'
  readonly what: 'issued' | 'resolved'
  readonly agreementId: string
  readonly accountId?: string
  readonly productId?: string
  /** Milliseconds since the epoch. */
  readonly issuedAt?: number
  readonly resolvedAt?: number
}

/** Whatever begins with `Spend Threshold`: AWS checks the buyer's card. Nobody has seen what it carries. */
export interface SpendThresholdEvent extends Identified, Named {
  readonly type: 'spend-threshold'
  /** The rest of AWS's name, such as `Reached` or `Vet Failed`. */
  readonly what: string
}

/** Of a product with a product code, by SNS. */
export interface SubscriptionEvent extends Partial<Identified> {
  readonly type: 'subscription'
  /**
   * - `active`: may be metered;
   * - `failed`: may never be;
   * - `ending`: AWS takes what was used for about an hour more;
   * - `ended`: it takes nothing more. Not sent where the buyer returns before.
   */
  readonly what: 'active' | 'failed' | 'ending' | 'ended'
  readonly productCode: string
  readonly customerIdentifier: string
  readonly offerId?: string
  readonly freeTrial?: boolean
}

/** Of a contract with a product code, by SNS: what the customer is entitled to has changed. */
export interface EntitlementEvent extends Partial<Identified> {
  readonly type: 'entitlement'
  readonly productCode: string
  readonly customerIdentifier: string
}

/** An event that means nothing to metering, or that AWS has added since. */
export interface UnknownEvent extends Partial<Identified> {
  readonly type: 'unknown'
  /** EventBridge's `detail-type`, or the `action` or `Type` of an SNS message. */
  readonly detailType: string
}

/** It is no event, or one of a known kind that lacks what it must have. Says where, what was expected and what came. */
export class AgreementEventError extends MarketplaceMeteringError {
  readonly code = 'ERR_AGREEMENT_EVENT'
}

/** What a queue says of a message, for events that do not say it of themselves: SNS's with raw delivery. */
export interface Delivery {
  readonly id?: string
  /** When it was sent, in milliseconds since the epoch. */
  readonly at?: number
}

type Json = Readonly<Record<string, unknown>>

const SOURCE = 'aws.agreement-marketplace'

/** Both forms in which AWS writes a licence's ARN: its examples leave out `arn:`. */
const LICENSE_ARN =
  /^(?:arn:)?aws[-a-z]{0,20}:license-manager:[\w/.-]{0,63}:[\w/.-]{0,63}:[A-Za-z0-9][\w:/+=@.-]{0,1023}$/
const ACCOUNT_ID = /^\d{12}$/
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)$/

const A_TEXT = 'a text'
const A_TIME = 'a time such as 2026-11-05T10:20:31Z'

/**
 * Reads an event that came by EventBridge or SNS: the object, or its JSON as the body of an SQS message has it. SNS may
 * have wrapped it, with raw delivery or without.
 *
 * @throws AgreementEventError if it is no event, or a known one that lacks what it must have; one that is not known is
 * `unknown`, and no error
 */
export function readAgreementEvent(event: unknown, delivery: Delivery = {}): AgreementEvent {
  const outer = objectOf(event, 'the event')
  const { Type: type, Message: message } = outer
  if (typeof type !== 'string') return readMessage(outer, delivery)
  const wrapping: Delivery = {
    ...delivery,
    ...(typeof outer.MessageId === 'string' && { id: outer.MessageId }),
    ...optional('at', timeOf(outer.Timestamp)),
  }
  // SNS asks for a subscription to be confirmed, or tells of its end.
  if (type !== 'Notification') return unknown(type, wrapping)
  return readMessage(objectOf(message, 'Message of the SNS notification'), wrapping)
}

/** EventBridge's, or SNS's without what wrapped it. */
function readMessage(event: Json, delivery: Delivery): AgreementEvent {
  if (typeof event['detail-type'] === 'string') return readEventBridge(event, event['detail-type'])
  if (typeof event.action === 'string') return readSns(event, event.action, delivery)
  throw new AgreementEventError(
    `Expected an event of EventBridge with a "detail-type", or of SNS with an "action", got ${namesOf(event)}.`,
  )
}

function readEventBridge(event: Json, detailType: string): AgreementEvent {
  // Who lists a product and who sells it get the same events with another role behind the name.
  const role = detailType.lastIndexOf(' - ')
  const name = role === -1 ? detailType : detailType.slice(0, role)
  const member = (path: string) => memberOf(event, path)
  const text = (path: string): string | undefined => {
    const value = member(path)
    // AWS writes what there is not as an empty text, too.
    return typeof value === 'string' && value !== '' ? value : undefined
  }
  const required = <Value>(path: string, value: Value | undefined, expected: string): Value => {
    if (value !== undefined) return value
    const which = typeof event.id === 'string' ? ` ${show(event.id)}` : ''
    throw new AgreementEventError(
      `Expected ${path} of the event${which} (${show(detailType)}) to be ${expected}, got ${show(member(path))}.`,
    )
  }
  const identified = (): Identified => ({
    id: required('id', text('id'), A_TEXT),
    at: required('time', timeOf(member('time')), A_TIME),
  })
  const named = {
    agreementId: text('detail.agreement.id'),
    accountId: text('detail.acceptor.accountId'),
    productCode: text('detail.product.code'),
    productId: text('detail.product.id'),
    licenseArn: licenceOf(text('detail.license.arn')),
  }
  const { agreementId, accountId, productCode, productId } = named
  const agreement = () => required('detail.agreement.id', agreementId, A_TEXT)

  // Nobody but AWS can send events of a source that begins with "aws.".
  if (event.source !== SOURCE) return unknown(detailType, eventBridgeDelivery(event))
  switch (name) {
    case 'License Updated':
    case 'License Deprovisioned':
      return {
        type: name === 'License Updated' ? 'licence-active' : 'licence-ended',
        ...identified(),
        licenseArn: required('detail.license.arn', named.licenseArn, 'the ARN of a licence'),
        accountId: required(
          'detail.acceptor.accountId',
          ACCOUNT_ID.test(accountId ?? '') ? accountId : undefined,
          'an AWS account id of 12 digits',
        ),
        ...optional('productCode', productCode),
        ...optional('productId', productId),
        ...optional('agreementId', agreementId),
      }
    case 'Purchase Agreement Created':
    case 'Purchase Agreement Amended':
    case 'Purchase Agreement Ended':
      return {
        type: 'agreement',
        ...identified(),
        what: AGREEMENT_CHANGES[name],
        agreementId: agreement(),
        ...optional('accountId', accountId),
        ...optional('status', text('detail.agreement.status')),
        ...optional('intent', text('detail.agreement.intent')),
        ...optional('startTime', timeOf(member('detail.agreement.startTime'))),
        ...optional('endTime', timeOf(member('detail.agreement.endTime'))),
        ...optional('previousAgreementId', text('detail.agreement.previousAgreementId')),
      }
    case 'Purchase Agreement Advisory Issued':
    case 'Purchase Agreement Advisory Resolved':
      return {
        type: 'advisory',
        ...identified(),
        what: name === 'Purchase Agreement Advisory Issued' ? 'issued' : 'resolved',
        agreementId: agreement(),
        ...optional('accountId', accountId),
        ...optional('productId', productId),
        ...optional('issuedAt', timeOf(member('detail.advisory.issuedAt'))),
        ...optional('resolvedAt', timeOf(member('detail.advisory.resolvedAt'))),
      }
  }
  const threshold = SPEND_THRESHOLDS.find(start => name.startsWith(start))
  if (threshold === undefined) return unknown(detailType, eventBridgeDelivery(event))
  return {
    type: 'spend-threshold',
    ...identified(),
    what: name.slice(threshold.length).trim(),
    ...optional('agreementId', agreementId),
    ...optional('accountId', accountId),
    ...optional('productCode', productCode),
    ...optional('productId', productId),
    ...optional('licenseArn', named.licenseArn),
  }
}

const AGREEMENT_CHANGES = {
  'Purchase Agreement Created': 'created',
  'Purchase Agreement Amended': 'amended',
  'Purchase Agreement Ended': 'ended',
} as const

/** AWS's agreements' events mostly begin with these two words; of this one nobody has seen the whole name. */
const SPEND_THRESHOLDS = ['Spend Threshold', 'Purchase Agreement Spend Threshold']

const SUBSCRIPTION_CHANGES: Readonly<Record<string, SubscriptionEvent['what']>> = {
  'subscribe-success': 'active',
  'subscribe-fail': 'failed',
  'unsubscribe-pending': 'ending',
  'unsubscribe-success': 'ended',
}

function readSns(event: Json, action: string, { id, at }: Delivery): AgreementEvent {
  const identified = { ...optional('id', id), ...optional('at', at) }
  const required = (name: string): string => {
    const value = event[name]
    if (typeof value === 'string' && value.trim() !== '') return value.trim()
    throw new AgreementEventError(
      `Expected ${name} of the SNS message ${show(action)} to be ${A_TEXT}, got ${show(value)}.`,
    )
  }
  const customer = () => ({
    productCode: required('product-code'),
    customerIdentifier: required('customer-identifier'),
  })
  if (action === 'entitlement-updated') return { type: 'entitlement', ...identified, ...customer() }
  const what = Object.hasOwn(SUBSCRIPTION_CHANGES, action) ? SUBSCRIPTION_CHANGES[action] : undefined
  if (what === undefined) return unknown(action, identified)
  const { 'offer-identifier': offer, isFreeTrialTermPresent: trial } = event
  return {
    type: 'subscription',
    ...identified,
    what,
    ...customer(),
    ...(typeof offer === 'string' && offer !== '' && { offerId: offer }),
    ...((typeof trial === 'string' || typeof trial === 'boolean') && { freeTrial: String(trial) === 'true' }),
  }
}

const unknown = (detailType: string, { id, at }: Delivery): UnknownEvent => ({
  type: 'unknown',
  ...optional('id', id),
  ...optional('at', at),
  detailType,
})

const eventBridgeDelivery = ({ id, time }: Json): Delivery => ({
  ...(typeof id === 'string' && { id }),
  ...optional('at', timeOf(time)),
})

/** An object, or the one that a text holds. What is neither is not quoted: nobody knows whose it is. */
function objectOf(value: unknown, where: string): Json {
  let parsed = value
  if (typeof value === 'string') {
    try {
      parsed = JSON.parse(value)
    } catch (cause) {
      throw new AgreementEventError(`Expected ${where} to be JSON, got ${value.length} characters that are not.`, {
        cause,
      })
    }
  }
  if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) return parsed as Json
  throw new AgreementEventError(
    `Expected ${where} to be an object${typeof value === 'string' ? ' as JSON' : ''}, got ${kindOf(parsed)}.`,
  )
}

function kindOf(value: unknown): string {
  if (value === undefined || value === null) return String(value)
  return Array.isArray(value) ? 'a list' : `a ${typeof value}`
}

/** The names of an object's members, which say what it is more than their values would. */
function namesOf(object: Json): string {
  const names = Object.keys(object)
  return names.length === 0 ? 'an empty object' : `an object with ${show(names)}`
}

function memberOf(object: Json, path: string): unknown {
  let value: unknown = object
  for (const name of path.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined
    value = (value as Json)[name]
  }
  return value
}

function licenceOf(arn: string | undefined): string | undefined {
  if (arn === undefined || !LICENSE_ARN.test(arn)) return undefined
  return arn.startsWith('arn:') ? arn : `arn:${arn}`
}

/** Milliseconds since the epoch, of a time with a zone. */
function timeOf(value: unknown): number | undefined {
  if (typeof value !== 'string' || !TIME.test(value)) return undefined
  const time = Date.parse(value)
  return Number.isNaN(time) ? undefined : time
}

function optional<Name extends string, Value>(name: Name, value: Value | undefined): { [Key in Name]?: Value } {
  return (value === undefined ? {} : { [name]: value }) as { [Key in Name]?: Value }
}
