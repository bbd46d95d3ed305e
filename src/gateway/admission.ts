import { HOUR } from '../ledger/hours.ts'
import type { Observation } from '../ledger/ledger.ts'
import type { Stream } from '../ledger/rules/counters/evidence.ts'
import type { Quota } from '../metering/supply.ts'
import { type Account, type CustomerAccount, type UnattributedAccount, unattributedAccount } from '../usage/account.ts'
import type { UnbillableReason } from '../usage/mapping.ts'
import { type CounterName, digest } from './counter-names.ts'
import type { Sender } from './otlp/senders.ts'

/** In a day, where a sender's own limits do not say otherwise: more than any that is known to be real. */
export const DEFAULT_LIMITS = { customers: 10_000, series: 1_000_000 } as const

const DAY = 24 * HOUR

/**
 * What senders may bill, and for how many customers and series in a day of UTC. A sender that is broken, or whose token
 * has leaked, would otherwise fill the ledger with customers and counters that there are not.
 */
export class Admission {
  readonly #now: () => number
  readonly #product: string
  readonly #senders = new Map<string, SenderAdmission>()
  #day = 0

  /** @param now milliseconds since the epoch */
  constructor(product: string, now: () => number) {
    this.#product = product
    this.#now = now
  }

  /** Of a sender as it is now: its rights may have changed. */
  of(sender: Sender): SenderAdmission {
    const day = Math.floor(this.#now() / DAY)
    if (day !== this.#day) this.#beginDay(day)
    let admission = this.#senders.get(sender.name)
    if (admission === undefined) {
      admission = new SenderAdmission(this.#product, sender)
      this.#senders.set(sender.name, admission)
    }
    admission.sender = sender
    return admission
  }

  #beginDay(day: number): void {
    this.#day = day
    for (const { sender } of [...this.#senders.values()]) {
      this.#senders.set(sender.name, new SenderAdmission(this.#product, sender))
    }
  }

  /** Of each that has sent since this process began. */
  quotas(): Quota[] {
    const day = Math.floor(this.#now() / DAY)
    if (day !== this.#day) this.#beginDay(day)
    return [...this.#senders.values()].flatMap(admission => admission.quotas())
  }
}

export class SenderAdmission {
  /** Whether anything was beyond its limits. */
  anyBeyond = false
  #sender: Sender
  /** Stands for its rights as they are now. */
  #terms = {}
  readonly #beyond: UnattributedAccount
  readonly #customers = new Set<string>()
  readonly #streams = new WeakMap<Stream, Stream>()
  readonly #series = new Set<string>()
  #fresh: CustomerAccount[] = []

  constructor(product: string, sender: Sender) {
    this.#sender = sender
    this.#beyond = unattributedAccount(product, 'sender-limit', JSON.stringify({ sender: sender.name }))
  }

  get sender(): Sender {
    return this.#sender
  }

  set sender(sender: Sender) {
    if (sender !== this.#sender) this.#terms = {}
    this.#sender = sender
  }

  /**
   * Where a counter comes from, as others may be told of it: whom a sender may not bill, its counters tell nothing of.
   * Otherwise one that goes on would make another sender's old counters of the same name look as if they were new.
   */
  streamOf(stream: Stream): Stream {
    if (this.sender.customers === undefined) return stream
    let own = this.#streams.get(stream)
    if (own === undefined) {
      const apart = (text: string) => digest(`${this.sender.name}\n${text}`)
      own = { ...stream, key: apart(stream.key), target: apart(stream.target).slice(0, stream.target.length) }
      this.#streams.set(stream, own)
    }
    return own
  }

  /** Whose usage a point is, or why it is refused. */
  admit(account: Account, dimension: string, name: CounterName, kind: Observation['kind']): Account | UnbillableReason {
    if (name.admittedBy === this.#terms && name.admittedAs === account) return account
    const admitted = this.#admit(account, dimension, name.counter, kind)
    if (admitted === account) {
      name.admittedBy = this.#terms
      name.admittedAs = account
    }
    return admitted
  }

  #admit(account: Account, dimension: string, counter: string, kind: Observation['kind']): Account | UnbillableReason {
    const { customers, dimensions } = this.#sender
    if (dimensions !== undefined && !dimensions.has(dimension)) return 'not-permitted'
    // Who may bill nobody may not do so by way of a person, either.
    if (customers !== undefined && !(account.kind === 'customer' ? mayBill(customers, account) : customers.size > 0)) {
      return 'not-permitted'
    }
    if (!this.#series.has(counter)) {
      if (this.#series.size < this.#limits.series) this.#series.add(counter)
      // What a delta says is not said again. A running total comes with what it has counted, once there is room.
      else return kind === 'delta' ? this.#beyondLimits() : 'too-many-series'
    }
    if (account.kind !== 'customer' || this.#customers.has(account.key)) return account
    if (this.#customers.size >= this.#limits.customers) return this.#beyondLimits()
    this.#customers.add(account.key)
    this.#fresh.push(account)
    return account
  }

  #beyondLimits(): UnattributedAccount {
    this.anyBeyond = true
    return this.#beyond
  }

  /** The customers that it has sent usage of today for the first time, since this was asked last. */
  takeFresh(): readonly CustomerAccount[] {
    const fresh = this.#fresh
    this.#fresh = []
    return fresh
  }

  /** What was taken is not written down anywhere. */
  giveBack(fresh: readonly CustomerAccount[]): void {
    this.#fresh.push(...fresh)
  }

  quotas(): Quota[] {
    const { name: sender } = this.sender
    const limits = this.#limits
    return [
      { sender, what: 'customers', used: this.#customers.size, most: limits.customers },
      { sender, what: 'series', used: this.#series.size, most: limits.series },
    ]
  }

  get #limits() {
    const { customers = DEFAULT_LIMITS.customers, series = DEFAULT_LIMITS.series } = this.sender.limits ?? {}
    return { customers, series }
  }
}

function mayBill(customers: ReadonlySet<string>, account: CustomerAccount): boolean {
  const { accountId = '', customerIdentifier = '', licenseArn = '' } = account
  return customers.has(accountId) || customers.has(customerIdentifier) || customers.has(licenseArn)
}
