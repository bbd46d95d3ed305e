import { createHash } from 'node:crypto'
import type { Agreement, Period } from './agreements.ts'
import type { SimulatorClock } from './clock.ts'
import type { CheckedFault, EventTarget } from './faults.ts'
import type { MessageQueue } from './queue.ts'
import { type Random, uuidOf } from './random.ts'
import { AGREEMENT_GRACE } from './time-rules.ts'

/** Why an agreement has ended: AWS's words. */
export const END_STATUSES = ['CANCELLED', 'EXPIRED', 'TERMINATED'] as const
export type EndStatus = (typeof END_STATUSES)[number] | 'RENEWED'

/**
 * From the buyer's acceptance to `Purchase Agreement Created`, and to `License Updated`: as seen in August 2026. Of SNS's
 * `subscribe-success` nobody has noted it; it is taken for the same.
 */
const CREATED_AFTER = 11_000
const ACTIVE_AFTER = 72_000
/** From `Purchase Agreement Ended` to `License Deprovisioned`, as seen then. */
const DEPROVISIONED_AFTER = 31_000

/** Whose events they are. */
const SELLER = '999900001111'
const SNS = 'arn:aws:sns:us-east-1:287250355862'

interface Planned {
  at: number
  /** The event, as of a time. */
  make: (at: number) => string
  messages: string[]
}

/**
 * What AWS tells the seller of its agreements, sent to a queue: EventBridge's events of licences, and the SNS messages of
 * subscriptions by a product code. SNS names a customer by its identifier alone, so who has none is not told of.
 */
export class AgreementEvents {
  readonly #queue: MessageQueue
  readonly #clock: SimulatorClock
  readonly #faults: (target: Omit<EventTarget, 'at'>) => readonly CheckedFault[]
  readonly #random: Random
  /** What is still to come of a period, when it begins or ends otherwise than planned. */
  readonly #beginnings = new WeakMap<Period, Planned[]>()
  readonly #endings = new WeakMap<Period, Planned[]>()
  readonly #expiries = new WeakMap<Period, Planned[]>()

  constructor(
    queue: MessageQueue,
    clock: SimulatorClock,
    faults: (target: Omit<EventTarget, 'at'>) => readonly CheckedFault[],
    random: Random,
  ) {
    this.#queue = queue
    this.#clock = clock
    this.#faults = faults
    this.#random = random
  }

  newAgreementId(): string {
    return `agmt-${uuidOf(this.#random).replaceAll('-', '').slice(0, 25)}`
  }

  /** An agreement begins. What has always been is not told. */
  begins(agreement: Agreement, period: Period, previousAgreementId?: string): void {
    this.#expires(agreement, period)
    if (period.from === Number.NEGATIVE_INFINITY) return
    this.#returns(agreement, period.from)
    const planned: Planned[] = []
    if (agreement.licenseArn !== undefined) {
      const intent = previousAgreementId === undefined ? 'NEW' : 'RENEW'
      const detail = {
        intent,
        status: 'ACTIVE',
        ...timesOf(period),
        ...(previousAgreementId && { previousAgreementId }),
      }
      planned.push(this.#agreement(agreement, period, 'Created', period.from + CREATED_AFTER, detail))
    }
    if (period.activeAt !== Number.POSITIVE_INFINITY) {
      planned.push(...this.#active(agreement, period, Math.max(period.from, period.activeAt) + ACTIVE_AFTER))
    }
    this.#beginnings.set(period, planned)
  }

  /** AWS takes usage of a period that has begun before. */
  activated(agreement: Agreement, period: Period): void {
    const planned = this.#beginnings.get(period) ?? []
    planned.push(...this.#active(agreement, period, period.activeAt))
    this.#beginnings.set(period, planned)
  }

  /** Its terms are others. */
  amended(agreement: Agreement, period: Period, at: number): void {
    if (agreement.licenseArn !== undefined) {
      const detail = { intent: 'AMEND', status: 'ACTIVE', ...timesOf(period) }
      this.#agreement(agreement, period, 'Amended', at + CREATED_AFTER, detail)
      this.#updated(agreement, period, at + ACTIVE_AFTER)
    } else this.#updated(agreement, period, at)
    this.#expires(agreement, period)
  }

  /** AWS has suspended the buyer's account, or lets it go on. */
  advised(agreement: Agreement, period: Period, advice: 'Issued' | 'Resolved', at: number): void {
    if (agreement.licenseArn === undefined) return
    this.#eventBridge(agreement, `Purchase Agreement Advisory ${advice} - Manufacturer`, at, at => ({
      agreement: { id: period.agreementId },
      ...productOf(agreement),
      advisory: { [advice === 'Issued' ? 'issuedAt' : 'resolvedAt']: timeOf(at) },
    }))
  }

  /** It ends at `period.to`, and not when it was planned before. */
  ends(agreement: Agreement, period: Period, status: EndStatus): void {
    const { from, to } = period
    const endedAt = Math.max(from, to - DEPROVISIONED_AFTER)
    for (const event of this.#endings.get(period) ?? []) this.#cancel(event)
    this.#expires(agreement, period)
    // That it has begun is not told after its end, and not at all of one that never began.
    for (const event of this.#beginnings.get(period) ?? []) {
      if ((to <= from || event.at > endedAt) && this.#cancel(event) && to > from) {
        this.#send(agreement, endedAt, event.make)
      }
    }
    if (to <= from) return
    const active = period.activeAt !== Number.POSITIVE_INFINITY
    const planned: (Planned | undefined)[] = []
    if (agreement.licenseArn !== undefined) {
      planned.push(this.#agreement(agreement, period, 'Ended', endedAt, { status }))
      if (active) planned.push(this.#licence(agreement, period, 'Deprovisioned', to))
    } else if (active) {
      planned.push(this.#sns(agreement, 'subscription', 'unsubscribe-pending', to))
      planned.push(this.#sns(agreement, 'subscription', 'unsubscribe-success', to + AGREEMENT_GRACE))
    } else planned.push(this.#sns(agreement, 'subscription', 'subscribe-fail', to))
    this.#endings.set(
      period,
      planned.filter(event => event !== undefined),
    )
  }

  /** It goes on under another agreement, with the same licence: what was planned of its end is over. */
  renewed(agreement: Agreement, period: Period, previousAgreementId: string, at: number): void {
    for (const event of this.#endings.get(period) ?? []) this.#cancel(event)
    const detail = { intent: 'RENEW', status: 'ACTIVE', ...timesOf({ ...period, from: at }), previousAgreementId }
    this.#agreement(agreement, period, 'Created', at + CREATED_AFTER, detail)
    this.#updated(agreement, period, at + ACTIVE_AFTER)
    this.#expires(agreement, period)
    const previous = { ...period, agreementId: previousAgreementId }
    this.#agreement(agreement, previous, 'Ended', at, { status: 'RENEWED' })
  }

  /** Who is subscribed again within the hour is not told to be unsubscribed. */
  #returns({ licenseArn, periods }: Agreement, from: number): void {
    if (licenseArn !== undefined) return
    for (const period of periods) {
      for (const event of this.#endings.get(period) ?? []) if (event.at > from) this.#cancel(event)
    }
  }

  #active(agreement: Agreement, period: Period, at: number): Planned[] {
    const events =
      agreement.licenseArn === undefined
        ? [
            this.#sns(agreement, 'subscription', 'subscribe-success', at),
            period.entitlements.size > 0 ? this.#updated(agreement, period, at) : undefined,
          ]
        : [this.#updated(agreement, period, at)]
    return events.filter(event => event !== undefined)
  }

  /** What the customer is entitled to is to be asked for again. */
  #updated(agreement: Agreement, period: Period, at: number): Planned | undefined {
    return agreement.licenseArn === undefined
      ? this.#sns(agreement, 'entitlement', 'entitlement-updated', at)
      : this.#licence(agreement, period, 'Updated', at)
  }

  /** Plans anew what is told when entitlements expire; at its end an agreement's end is told. */
  #expires(agreement: Agreement, period: Period): void {
    for (const event of this.#expiries.get(period) ?? []) this.#cancel(event)
    const expiries = [...period.entitlements.values()].map(terms => terms.at(-1)?.expiresAt as number)
    const due = [...new Set(expiries)].filter(at => this.#clock.now() < at && at < period.to)
    const planned = due.map(at => this.#updated(agreement, period, at))
    this.#expiries.set(
      period,
      planned.filter(event => event !== undefined),
    )
  }

  #agreement(agreement: Agreement, period: Period, what: string, at: number, detail: object): Planned {
    // The seller of its own product hears of agreements as their proposer.
    return this.#eventBridge(agreement, `Purchase Agreement ${what} - Proposer`, at, () => ({
      agreement: { id: period.agreementId, ...detail },
    }))
  }

  #licence(agreement: Agreement, period: Period, what: string, at: number): Planned {
    return this.#eventBridge(agreement, `License ${what} - Manufacturer`, at, () => ({
      agreement: { id: period.agreementId },
      ...productOf(agreement),
      license: { arn: agreement.licenseArn },
    }))
  }

  #eventBridge(
    agreement: Agreement,
    detailType: string,
    at: number,
    detail: (at: number) => { agreement: { id: string } },
  ) {
    const [id, requestId] = [uuidOf(this.#random), uuidOf(this.#random)]
    return this.#send(agreement, at, at => {
      const own = detail(at)
      return JSON.stringify({
        version: '0',
        id,
        'detail-type': detailType,
        source: 'aws.agreement-marketplace',
        account: SELLER,
        time: timeOf(at),
        region: 'us-east-1',
        resources: [`arn:aws:aws-marketplace::aws:agreement:${own.agreement.id}`],
        detail: {
          requestId,
          catalog: 'AWSMarketplace',
          ...own,
          acceptor: { accountId: agreement.customer.accountId },
          proposer: { accountId: SELLER },
          offer: { id: `offer-${nameOf(own.agreement.id)}` },
        },
      })
    })
  }

  #sns(agreement: Agreement, topic: string, action: string, at: number): Planned | undefined {
    const { product, customer } = agreement
    const { customerIdentifier } = customer
    if (product === undefined || customerIdentifier === undefined) return undefined
    const id = uuidOf(this.#random)
    return this.#send(agreement, at, at =>
      JSON.stringify({
        Type: 'Notification',
        MessageId: id,
        TopicArn: `${SNS}:aws-mp-${topic}-notification-${product}`,
        Message: JSON.stringify({ action, 'customer-identifier': customerIdentifier, 'product-code': product }),
        Timestamp: new Date(at).toISOString(),
      }),
    )
  }

  #send(agreement: Agreement, at: number, make: (at: number) => string): Planned {
    const { product, licenseArn, customer } = agreement
    const { accountId, customerIdentifier } = customer
    const body = make(at)
    let arrival = Math.max(at, this.#clock.now())
    const again: number[] = []
    for (const { kind, milliseconds } of this.#faults({
      product,
      names: [accountId, customerIdentifier, licenseArn],
    })) {
      if (kind === 'event-late') arrival += milliseconds
      else if (kind === 'event-shuffled') arrival += Math.floor(this.#random() * milliseconds)
      else again.push(milliseconds)
    }
    const arrivals = [arrival, ...again.map(milliseconds => arrival + milliseconds)]
    return { at, make, messages: arrivals.map(time => this.#queue.send(body, time)) }
  }

  /** @returns whether it had not come yet */
  #cancel({ messages: [first, ...again] }: Planned): boolean {
    if (first === undefined || !this.#queue.cancel(first)) return false
    for (const id of again) this.#queue.cancel(id)
    return true
  }
}

/** EventBridge's times are whole seconds. */
const timeOf = (milliseconds: number) => new Date(milliseconds).toISOString().replace(/\.\d{3}/, '')

const timesOf = ({ from, to }: Period) => ({
  ...(Number.isFinite(from) && { startTime: timeOf(from) }),
  ...(Number.isFinite(to) && { endTime: timeOf(to) }),
})

/** AWS has an id beside a product's code. */
const productOf = ({ product }: Agreement) =>
  product === undefined ? {} : { product: { id: productIdOf(product), code: product } }

export const productIdOf = (code: string) => `prod-${nameOf(code)}`

const nameOf = (text: string) => createHash('sha256').update(text).digest('hex').slice(0, 13)
