import { type Random, seededRandom } from '../../examples/inference-server/random.ts'
import type { MarketplaceSimulator } from '../../src/simulator/index.ts'
import {
  agreementOf,
  type Customer,
  entitlementOf,
  FAR,
  makeCustomers,
  PRODUCTS,
  recordOf,
  requestOf,
} from './customers.ts'
import { DIMENSIONS, sizes } from './dimensions.ts'
import { type Condition, faultsOf } from './faults.ts'
import { DAY, HOUR, MINUTE } from './time.ts'

export interface PlanOptions {
  readonly seed: number
  readonly days: number
  readonly customers: number
}

/** What happens to the seller's own processes. */
export type Mishap =
  /** The process is gone after so many more steps, a step being before or after each thing it asks of the ledger or AWS. */
  | { readonly type: 'crash'; readonly replica: number; readonly steps: number }
  | { readonly type: 'restart'; readonly replica: number }
  /** Its clock is off by so much. */
  | { readonly type: 'clock'; readonly replica: number; readonly skew: number }
  /** Its ledger takes usage and does not say so, or does not take it. */
  | { readonly type: 'ledger'; readonly replica: number; readonly fails: boolean }
  /** AWS says that a customer's agreement has ended. */
  | { readonly type: 'ended'; readonly customer: Customer; readonly endedAt: number }
  /** Another tool meters what this package has metered lately, with the same quantity: which record, as a share of all. */
  | { readonly type: 'echo'; readonly share: number }
  /** Another region, or another size of a dimension. */
  | { readonly type: 'configured' }

export interface Span {
  readonly from: number
  readonly to: number
}

const FIRST_OF_MONTH = Date.UTC(2026, 11, 1)
export const REGIONS: readonly [string, string] = ['us-east-1', 'eu-west-1']
/** More than any series of ours comes to, so that a sum tells how much of it is foreign. */
export const FOREIGN_QUANTITY = 1_999_999_999
/** The customer whose contract is amended, by how many requests, and the one whose contract is renewed. */
const AMENDED = 0
const MORE = 40
const RENEWED = 5
/** How long everything is well after the month, so that what can be billed is. */
const AFTERMATH = 60 * HOUR

/** All that happens in a month, the same for every strategy. */
export class Plan {
  readonly options: PlanOptions
  readonly customers: readonly Customer[]
  readonly start: number
  /** When traffic ends. */
  readonly end: number
  /** When the last chance to bill ends. */
  readonly over: number
  /** When requests go over real sockets, and usage through the real exporter. */
  readonly sample: Span
  /** How often each kind of thing happens. */
  readonly counts: Record<string, number> = {}
  readonly #aws = new Map<number, ((simulator: MarketplaceSimulator) => void)[]>()
  readonly #mishaps = new Map<number, Mishap[]>()
  readonly #conditions: (Span & { condition: Condition })[] = []
  readonly #unsubscribed = new Map<Customer, Span[]>()
  /** Whose agreement has ended is no longer served. */
  readonly #unserved = new Map<Customer, Span[]>()
  readonly #undefined: (Span & { product: string; dimension: string })[] = []
  readonly #resizedAt: number
  readonly #movedAt: number
  readonly #random: Random

  constructor(options: PlanOptions) {
    this.options = options
    const { seed, days, customers } = options
    this.customers = makeCustomers(customers)
    this.#random = seededRandom('plan', seed)
    this.start = FIRST_OF_MONTH - Math.floor(days * 0.65) * DAY
    this.end = this.start + days * DAY
    this.over = this.end + AFTERMATH
    const at = (share: number) => this.start + Math.floor(days * 24 * share) * HOUR
    this.sample = { from: at(0.45), to: Math.min(at(0.45) + DAY, at(0.52)) }
    this.#resizedAt = at(0.55) + 30 * MINUTE
    this.#movedAt = at(0.85) + 30 * MINUTE
    for (const time of [this.#resizedAt, this.#movedAt]) this.#mishap(time, { type: 'configured' })
    this.#last('outage', { from: at(0.08), to: at(0.08) + 27 * HOUR })
    this.#last('overload', { from: FIRST_OF_MONTH - 4 * HOUR, to: FIRST_OF_MONTH + 9 * HOUR })
    // What was not sent to the old region when it is left goes there all the same.
    this.#last('credentials', { from: this.#movedAt - 2 * HOUR, to: this.#movedAt + HOUR })
    this.#undefine({ from: at(0.7), to: at(0.7) + 4 * HOUR })
    this.#amendContracts(at)
    for (let hour = this.start; hour < this.end - 2 * HOUR; hour += HOUR) this.#hour(hour)
    const echoes = seededRandom('echoes', seed)
    for (let hour = this.start + 3 * HOUR; hour < this.end; hour += HOUR) {
      if (echoes() < 0.15) this.#mishap(hour + 30 * MINUTE, { type: 'echo', share: echoes() })
    }
    this.#planFaults()
  }

  /** What comes over AWS at a minute. */
  aws(minute: number): readonly ((simulator: MarketplaceSimulator) => void)[] {
    return this.#aws.get(minute) ?? []
  }

  /** What comes over the seller's processes at a minute. */
  mishaps(minute: number): readonly Mishap[] {
    return this.#mishaps.get(minute) ?? []
  }

  regionAt(time: number): string {
    return REGIONS[time < this.#movedAt ? 0 : 1]
  }

  tokensPerAt(time: number): number {
    return time < this.#resizedAt ? 1000 : 500
  }

  sizesAt(time: number): readonly bigint[] {
    return sizes(this.tokensPerAt(time))
  }

  /** Whether AWS would take usage of a customer. */
  subscribed(customer: Customer, time: number): boolean {
    return !(this.#unsubscribed.get(customer) ?? []).some(span => within(span, time))
  }

  /** Whether AWS had cause, at some time in a span, to refuse usage of a customer. */
  unwelcome(customer: Customer, span: Span): boolean {
    return (this.#unsubscribed.get(customer) ?? []).some(other => overlap(other, span))
  }

  /** Whether a dimension was not defined at some time in a span. */
  unknown(product: string, dimension: string, span: Span): boolean {
    return this.#undefined.some(
      other => other.product === product && other.dimension === dimension && overlap(other, span),
    )
  }

  /** Whether the seller serves a customer. */
  served(customer: Customer, time: number): boolean {
    return !(this.#unserved.get(customer) ?? []).some(span => within(span, time))
  }

  /** Whether a dimension is defined. */
  defined(product: string, dimension: string, time: number): boolean {
    return !this.#undefined.some(span => span.product === product && span.dimension === dimension && within(span, time))
  }

  /** How many requests all terms of a customer's contract include, at least, where all are in force, and at most. */
  included({ index, entitled = 0 }: Customer): readonly [least: number, most: number] {
    if (index === AMENDED) return [entitled, entitled + MORE]
    return [entitled, index === RENEWED ? 2 * entitled : entitled]
  }

  /** One contract is amended in the middle of its term, and one is renewed hours before it ends. */
  #amendContracts(at: (share: number) => number): void {
    const [amended, renewed] = [this.customers[AMENDED], this.customers[RENEWED]]
    const say = (one: Customer | undefined, time: number, more: number, until: number) => {
      if (one === undefined) return
      this.#count('amended contracts')
      this.#onAws(time, ({ catalogue }) => {
        if (!this.subscribed(one, time)) return
        catalogue.amend({ ...agreementOf(one), entitlements: [entitlementOf((one.entitled ?? 0) + more, until)] })
      })
    }
    say(amended, at(0.3), MORE, FAR)
    say(renewed, this.start, 0, at(0.5))
    say(renewed, at(0.5) - 6 * HOUR, 0, FAR)
  }

  #hour(hour: number): void {
    const random = this.#random
    const happens = (perHour: number) => random() < perHour
    const minute = () => hour + Math.floor(random() * 60) * MINUTE
    const lasting = (from: number, least: number, most: number): Span => ({
      from,
      to: Math.min(from + Math.round((least + random() * (most - least)) / MINUTE) * MINUTE, this.end),
    })
    const replica = () => (random() < 0.5 ? 0 : 1)
    if (happens(0.02)) this.#last('brownout', lasting(minute(), HOUR, 4 * HOUR))
    if (happens(0.01)) this.#last('credentials', lasting(minute(), HOUR, 3 * HOUR))
    if (happens(0.01)) this.#undefine(lasting(minute(), 2 * HOUR, 8 * HOUR))
    if (happens(0.15)) this.#unsubscribe(lasting(minute(), 2 * HOUR, 50 * HOUR))
    if (happens(0.05)) this.#endAgreement(lasting(minute(), 5 * HOUR, 50 * HOUR))
    if (happens(0.3)) this.#foreign(minute())
    for (const half of [0, 30 * MINUTE]) {
      if (!happens(0.3)) continue
      // Most of what can be torn apart is under way a few minutes after the hour.
      const time = half === 0 ? hour + (4 + Math.floor(random() * 5)) * MINUTE : minute()
      this.#mishap(time, { type: 'crash', replica: replica(), steps: 1 + Math.floor(random() ** 2 * 120) })
    }
    if (happens(0.05)) this.#mishap(minute(), { type: 'restart', replica: replica() })
    if (happens(0.015)) this.#moveClock(lasting(minute(), 5 * MINUTE, 90 * MINUTE), replica())
    if (happens(0.04)) this.#breakLedger(lasting(minute(), 10 * MINUTE, 5 * HOUR), replica())
  }

  #moveClock(span: Span, replica: number): void {
    const skews = [20 * MINUTE, -20 * MINUTE, 3 * HOUR, -2 * HOUR, 30 * HOUR, -30 * HOUR]
    const skew = skews[Math.floor(this.#random() * skews.length)] as number
    this.#mishap(span.from, { type: 'clock', replica, skew })
    this.#mishap(span.to, { type: 'clock', replica, skew: 0 })
  }

  #breakLedger(span: Span, replica: number): void {
    // The real exporter of the sample would try again by the machine's clock, which no seed repeats.
    if (span.from < this.sample.to && span.to > this.sample.from) return
    this.#mishap(span.from, { type: 'ledger', replica, fails: true })
    this.#mishap(span.to, { type: 'ledger', replica, fails: false })
  }

  #undefine(span: Span): void {
    const product = PRODUCTS[this.#random() < 0.5 ? 0 : 1]
    const dimension = DIMENSIONS[Math.floor(this.#random() * DIMENSIONS.length)] as string
    if (this.#undefined.some(other => other.product === product && other.to >= span.from)) return
    this.#undefined.push({ ...span, product, dimension })
    this.#count('undefined dimensions')
    const rest = DIMENSIONS.filter(name => name !== dimension)
    this.#onAws(span.from, ({ catalogue }) => catalogue.declareProduct({ code: product, dimensions: rest }))
    this.#onAws(span.to, ({ catalogue }) => catalogue.declareProduct({ code: product, dimensions: [...DIMENSIONS] }))
  }

  #unsubscribe(span: Span): void {
    const customer = this.#customerFor(span)
    if (customer === undefined) return
    this.#count('unsubscribed customers')
    this.#leave(customer, span)
  }

  #endAgreement(span: Span): void {
    const customer = this.#customerFor(span)
    if (customer === undefined) return
    this.#count('ended agreements')
    // A licence that has ended is never the customer's again.
    const returns = customer.product === 'prod-by-code' && this.#random() < 0.5
    const gone = returns ? span : { from: span.from, to: Number.POSITIVE_INFINITY }
    this.#leave(customer, gone)
    this.#unserved.set(customer, [...(this.#unserved.get(customer) ?? []), gone])
    const heardAt = span.from + Math.floor(this.#random() * 10) * MINUTE
    this.#mishap(heardAt, { type: 'ended', customer, endedAt: span.from })
  }

  #customerFor(span: Span): Customer | undefined {
    const customer = this.customers[Math.floor(this.#random() * this.customers.length)] as Customer
    // Everyone is there for a while before they leave again.
    return (this.#unsubscribed.get(customer) ?? []).every(({ to }) => to + HOUR < span.from) ? customer : undefined
  }

  #leave(customer: Customer, span: Span): void {
    this.#unsubscribed.set(customer, [...(this.#unsubscribed.get(customer) ?? []), span])
    this.#onAws(span.from, ({ catalogue }) => catalogue.unsubscribe({ ...agreementOf(customer), at: span.from }))
    if (span.to === Number.POSITIVE_INFINITY) return
    this.#onAws(span.to, ({ catalogue }) => catalogue.subscribe({ ...agreementOf(customer), at: span.to }))
  }

  /** Another tool of the seller meters an hour of a customer. */
  #foreign(time: number): void {
    const customer = this.customers[Math.floor(this.#random() * this.customers.length)] as Customer
    const dimension = Math.floor(this.#random() * DIMENSIONS.length)
    const record = recordOf(customer, dimension, time, FOREIGN_QUANTITY)
    if (!this.subscribed(customer, time) || !this.defined(customer.product, record.Dimension, time)) return
    this.#count('foreign records')
    this.#onAws(time, simulator => {
      simulator.meterForeign(requestOf(customer.product, [record]), this.regionAt(time))
    })
  }

  #last(condition: Condition, span: Span): void {
    this.#conditions.push({ ...span, condition })
    this.#count(
      { outage: 'outages', overload: 'overloads', credentials: 'refusals of credentials', brownout: 'brownouts' }[
        condition
      ],
    )
  }

  #planFaults(): void {
    const times = new Set(this.#conditions.flatMap(({ from, to }) => [from, to]))
    for (const time of [this.start, ...times]) {
      const holding = this.#conditions.filter(span => within(span, time)).map(({ condition }) => condition)
      const faults = faultsOf(new Set(holding))
      this.#onAws(time, simulator => {
        simulator.faults.clear()
        for (const fault of faults) simulator.faults.add(fault)
      })
    }
    this.#onAws(this.end, ({ faults }) => faults.clear())
  }

  #onAws(time: number, happen: (simulator: MarketplaceSimulator) => void): void {
    this.#aws.set(time, [...(this.#aws.get(time) ?? []), happen])
  }

  #mishap(time: number, mishap: Mishap): void {
    if (mishap.type === 'crash') this.#count('crashes')
    if (mishap.type === 'restart') this.#count('restarts')
    if (mishap.type === 'echo') this.#count('foreign records with equal quantities')
    if (mishap.type === 'clock' && mishap.skew !== 0) this.#count('clock jumps')
    if (mishap.type === 'ledger' && mishap.fails) this.#count('ledger outages')
    this.#mishaps.set(time, [...(this.#mishaps.get(time) ?? []), mishap])
  }

  #count(name: string): void {
    this.counts[name] = (this.counts[name] ?? 0) + 1
  }
}

const overlap = (one: Span, other: Span): boolean => one.from <= other.to && other.from <= one.to

const within = ({ from, to }: Span, time: number): boolean => time >= from && time < to
