import { DAY, HOUR } from '../ledger/hours.ts'
import type { Observation } from '../ledger/ledger.ts'
import type { Stream } from '../ledger/rules/counters/evidence.ts'
import type { Quota } from '../metering/supply.ts'
import { type Account, type CustomerAccount, type UnattributedAccount, unattributedAccount } from '../usage/account.ts'
import type { UnbillableReason } from '../usage/mapping.ts'
import { untaggedAccount } from '../usage/tagged-account.ts'
import { type CounterName, digest } from './counter-names.ts'
import { NameSet } from './name-set.ts'
import type { Sender } from './otlp/senders.ts'

/** In a day, where a sender's own limits do not say otherwise: more than any that is known to be real. */
export const DEFAULT_LIMITS = { customers: 10_000, series: 200_000 } as const
/** So many times as many series are taken at all: each stays in the ledger for weeks. */
const MOST_SERIES = 2

/** So long is a customer new to a sender that may bill some only. */
const GRACE = HOUR

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
    this.#turn()
    let admission = this.#senders.get(sender.name)
    if (admission === undefined) {
      admission = new SenderAdmission(this.#product, sender)
      this.#senders.set(sender.name, admission)
    }
    admission.sender = sender
    return admission
  }

  /** Begins anew with each day. */
  #turn(): void {
    const day = Math.floor(this.#now() / DAY)
    if (day === this.#day) return
    this.#day = day
    for (const { sender } of [...this.#senders.values()]) {
      this.#senders.set(sender.name, new SenderAdmission(this.#product, sender))
    }
  }

  /** Of each that has sent since this process began. */
  quotas(): Quota[] {
    this.#turn()
    return [...this.#senders.values()].flatMap(admission => admission.quotas())
  }
}

/**
 * Writes down whom a sender feeds. Returns, of one that may bill some customers only, since when it has fed each, by
 * account key, in milliseconds since the epoch.
 */
export type WriteFed = (customers: readonly CustomerAccount[]) => Promise<ReadonlyMap<string, number>>

export class SenderAdmission {
  #sender: Sender
  /** Stands for its rights as they are now. */
  #terms = {}
  readonly #beyond: UnattributedAccount
  readonly #customers = new Set<string>()
  readonly #streams = new WeakMap<Stream, Stream>()
  /** When a sender that may bill some customers only has fed each for the first time. */
  readonly #fedSince = new Map<string, number>()
  readonly #series = new NameSet()
  readonly #seriesBeyond = new NameSet()
  #fresh: CustomerAccount[] = []
  #feeding: Promise<void> = Promise.resolve()

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
   * Where a counter comes from, as others may be told of it. Whom a sender may not bill, its counters tell nothing of:
   * one that goes on would make another's old counters look as if they were new. And a customer whom it has just begun
   * to send, since its rights are new, is billed what is used from then on: nothing tells of that one's counters for an
   * hour. What a counter is itself does not depend on it.
   */
  streamOf({ account, counter }: Observation, stream: Stream, now: number): Stream {
    const since = account.kind === 'customer' ? this.#fedSince.get(untaggedAccount(account).key) : undefined
    if (since === undefined || now - since < GRACE)
      return { ...stream, key: digest(`${this.#sender.name}\n${counter}`) }
    let own = this.#streams.get(stream)
    if (own === undefined) {
      own = { ...stream, key: digest(`${this.#sender.name}\n${stream.key}`) }
      this.#streams.set(stream, own)
    }
    return own
  }

  /** Whose usage a point is, or why it is refused. */
  admit(account: Account, dimension: string, name: CounterName): Account | UnbillableReason {
    if (name.admittedBy === this.#terms && name.admittedAs === account) return account
    const admitted = this.#admit(account, dimension, name.counter)
    if (admitted === account) {
      name.admittedBy = this.#terms
      name.admittedAs = account
    }
    return admitted
  }

  #admit(account: Account, dimension: string, counter: string): Account | UnbillableReason {
    const { customers, dimensions } = this.#sender
    if (dimensions !== undefined && !dimensions.has(dimension)) return 'not-permitted'
    // Who may bill nobody may not do so by way of a person, either.
    if (customers !== undefined && !(account.kind === 'customer' ? mayBill(customers, account) : customers.size > 0)) {
      return 'not-permitted'
    }
    const known = this.#series.has(counter)
    if (!known && this.#series.size >= MOST_SERIES * this.#limits.series) return 'too-many-series'
    if (!known) this.#series.add(counter)
    // It stays the counter that it is, whoever has it: what comes again counts once, and what it rises by later is the
    // customer's.
    if (!known && this.#series.size > this.#limits.series) this.#seriesBeyond.add(counter)
    if (this.#seriesBeyond.size > 0 && this.#seriesBeyond.has(counter)) return this.#beyond
    if (account.kind !== 'customer') return account
    // Whatever its usage is for, it is one customer.
    const customer = untaggedAccount(account)
    if (this.#customers.has(customer.key)) return account
    if (this.#customers.size >= this.#limits.customers) return this.#beyond
    this.#customers.add(customer.key)
    this.#fresh.push(customer)
    return account
  }

  /**
   * Has the customers written down, durably, that it has sent usage of today for the first time. Whoever comes meanwhile
   * waits as well.
   */
  async writeFed(write: WriteFed): Promise<void> {
    const fresh = this.#fresh
    this.#fresh = []
    if (fresh.length > 0) {
      const before = this.#feeding
      this.#feeding = before.then(async () => {
        for (const [key, since] of await write(fresh)) this.#fedSince.set(key, since)
      })
      this.#feeding.catch(() => {
        this.#fresh.push(...fresh)
        this.#feeding = Promise.resolve()
      })
    }
    await this.#feeding
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
