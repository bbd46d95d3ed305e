import { HOUR, MINUTE, SECOND } from '../../../src/ledger/hours.ts'
import { type Random, seeded } from '../../../src/simulator/random.ts'
import { type CustomerAccount, customerAccount } from '../../../src/usage/account.ts'

/** What the customers of a virtual quarter do: who comes, stays, changes and goes, and what is used meanwhile. */

export const CODE = 'samplecode01'
/** What customers with a licence are metered under. */
export const LABEL = 'chat'
/** Base units of a sold unit: of tokens fractions stay in the balance. */
export const SIZES = { requests: 1, tokens: 1000 } as const
export type DimensionName = keyof typeof SIZES

/** How AWS tells of it, beside telling: so many milliseconds late, and once more so much later. */
export interface Telling {
  readonly late?: number
  readonly again?: number
}

type Acting<Doing> = Doing & { readonly at: number; readonly payer: CustomerAccount }

export type Act = Acting<
  | { readonly type: 'use'; readonly amounts: Readonly<Record<DimensionName, number>> }
  | ({ readonly type: 'subscribe'; readonly pending: boolean } & Telling)
  | ({ readonly type: 'activate' } & Telling)
  | { readonly type: 'register' }
  | ({ readonly type: 'amend' } & Telling)
  | ({ readonly type: 'renew'; readonly as: CustomerAccount } & Telling)
  | ({ readonly type: 'end' } & Telling)
  /** A person tells of an end. */
  | { readonly type: 'finalize'; readonly endedAt: number }
  | { readonly type: 'suspend' }
  | { readonly type: 'resume' }
>

export const IDENTITIES = ['licence', 'identifier', 'account'] as const
export type IdentityKind = (typeof IDENTITIES)[number]

/** The name by which AWS's messages tell of some who are metered by an AWS account: only registration says whose it is. */
export function olderIdentifier({ accountId, licenseArn }: CustomerAccount): string | undefined {
  const told = licenseArn === undefined && accountId !== undefined && Number(accountId) % 2 === 0
  return told ? `older-${accountId}` : undefined
}

export const QUARTER = Date.UTC(2026, 8, 1)
/** When the last window of what is used in it is closed. */
export const OVER = Date.UTC(2026, 11, 3)

/** Hours in which something happens are close together, so that the rest of the quarter can be jumped over. */
const BUSY = [
  Date.UTC(2026, 8, 2, 10),
  Date.UTC(2026, 8, 30, 8),
  Date.UTC(2026, 9, 14, 15),
  Date.UTC(2026, 9, 31, 6),
  Date.UTC(2026, 10, 11, 20),
  Date.UTC(2026, 10, 29, 22),
]

/** The acts of so many customers, in the order of their times. With the same seed the same. */
export function quarter(seed: number, customers: number): Act[] {
  const random = seeded(seed)
  const acts = Array.from({ length: customers }, (_, index) => new Life(random, index).acts)
  return acts.flat().sort((a, b) => a.at - b.at)
}

const END_DELAYS = [0, MINUTE, 20 * MINUTE, 50 * MINUTE, 3 * HOUR]

class Life {
  readonly acts: Act[] = []
  readonly #random: Random
  readonly #index: number
  #kind: IdentityKind
  #payer: CustomerAccount
  #licences = 0

  constructor(random: Random, index: number) {
    this.#random = random
    this.#index = index
    const [mids, ends] = [this.#middles(), this.#endings()]
    // Each kind of customer meets each middle and each ending, in one order or another.
    this.#kind = IDENTITIES[index % 3] as IdentityKind
    this.#payer = this.#identity(this.#kind)
    const middle = mids[Math.floor(index / 3) % mids.length] as (typeof mids)[number]
    const ending = ends[(index + Math.floor(index / ends.length)) % ends.length] as (typeof ends)[number]
    const first = Math.floor(random() * 3)
    this.#arrive((BUSY[first] as number) + this.#upTo(8 * HOUR))
    middle((BUSY[first + 1] as number) + this.#upTo(4 * HOUR))
    ending((BUSY[first + 3] as number) + this.#upTo(10 * HOUR))
  }

  #upTo(most: number): number {
    return Math.floor((this.#random() * most) / SECOND) * SECOND
  }

  #between(least: number, most: number): number {
    return least + this.#upTo(most - least)
  }

  #oneOf<Item>(items: readonly Item[]): Item {
    return items[Math.floor(this.#random() * items.length)] as Item
  }

  #perhaps(share: number): boolean {
    return this.#random() < share
  }

  #identity(kind: IdentityKind): CustomerAccount {
    const accountId = String(100_000_000_000 + this.#index)
    if (kind === 'account') return customerAccount({ product: CODE, accountId })
    if (kind === 'identifier') {
      return customerAccount({ product: CODE, customerIdentifier: `customer-${this.#index}` })
    }
    const number = String(this.#index * 100 + this.#licences++).padStart(32, '0')
    const licenseArn = `arn:aws:license-manager::294406891311:license:l-${number}`
    return customerAccount({ product: LABEL, accountId, licenseArn })
  }

  #add(act: Act): void {
    this.acts.push(act)
  }

  #use(at: number, payer = this.#payer): void {
    const amounts = { requests: 1 + Math.floor(this.#random() * 9), tokens: 1000 + Math.floor(this.#random() * 5000) }
    this.#add({ type: 'use', at: at + 7, payer, amounts })
  }

  /** Some usage, the last of it in the last minute of an hour. */
  #useBetween(from: number, to: number, times: number): void {
    for (let time = 0; time < times; time++) this.#use(this.#between(from, to))
    const lastMinute = Math.floor(to / HOUR) * HOUR - 20 * SECOND
    if (lastMinute > from) this.#use(lastMinute)
  }

  #telling(): Telling {
    return {
      ...(this.#perhaps(0.4) && { late: this.#oneOf([MINUTE, 20 * MINUTE, 50 * MINUTE]) }),
      ...(this.#perhaps(0.4) && { again: this.#between(SECOND, 2 * HOUR) }),
    }
  }

  /** A minute and a second of the hour of a time: what begins is told 72 s later, in the same hour. */
  #inHour(time: number, least: number, most: number): number {
    return Math.floor(time / HOUR) * HOUR + this.#between(least, most)
  }

  #arrive(around: number): void {
    // In the first minutes of an hour the one before is not closed yet.
    const from = this.#perhaps(0.3) ? this.#inHour(around, MINUTE, 4 * MINUTE) : this.#inHour(around, 0, 55 * MINUTE)
    if (this.#perhaps(0.5)) this.#use(from - this.#between(2 * HOUR, 5 * HOUR))
    if (this.#perhaps(0.5)) this.#use(from - this.#between(MINUTE, HOUR))
    const pending = this.#perhaps(0.3)
    this.#add({ type: 'subscribe', at: from, payer: this.#payer, pending, ...this.#telling() })
    const registers = this.#perhaps(0.7)
    if (registers) {
      const after = this.#perhaps(0.5) ? this.#between(10 * SECOND, 70 * SECOND) : this.#between(2 * MINUTE, 4 * MINUTE)
      this.#add({ type: 'register', at: from + after, payer: this.#payer })
    }
    const activeAt = from + this.#between(40 * MINUTE, 130 * MINUTE)
    if (pending) this.#add({ type: 'activate', at: activeAt, payer: this.#payer, ...this.#telling() })
    this.#useBetween(from, from + 5 * HOUR, 4)
  }

  #subscribe(at: number): void {
    this.#add({ type: 'subscribe', at, payer: this.#payer, pending: false, ...this.#telling() })
  }

  /** It ends, and somebody or nobody tells of it. Returns when. */
  #end(at: number, late: number): void {
    this.#use(at - this.#between(10 * SECOND, 15 * MINUTE))
    this.#useBetween(at - 3 * HOUR, at, 2)
    this.#add({ type: 'end', at, payer: this.#payer, late, ...(this.#perhaps(0.5) && { again: this.#upTo(HOUR) }) })
    // AWS's messages name the older identifier alone: of who has none a person tells, or nobody.
    if (this.#kind === 'account' && this.#perhaps(0.6)) {
      this.#add({ type: 'finalize', at: at + late + 5 * SECOND, payer: this.#payer, endedAt: at })
    }
  }

  #middles() {
    const nothing = (at: number) => this.#useBetween(at, at + 6 * HOUR, 4)
    const amend = (at: number) => {
      nothing(at)
      this.#add({ type: 'amend', at: at + 2 * HOUR, payer: this.#payer, ...this.#telling() })
    }
    const suspended = (at: number, length: number) => {
      this.#useBetween(at - 2 * HOUR, at, 1)
      this.#add({ type: 'suspend', at, payer: this.#payer })
      this.#useBetween(at, at + length, 5)
      this.#add({ type: 'resume', at: at + length, payer: this.#payer })
      this.#useBetween(at + length, at + length + 3 * HOUR, 2)
    }
    const lapse = (at: number, away: number) => {
      const late = this.#oneOf(END_DELAYS)
      this.#end(at, late)
      this.#useBetween(at, at + away, 3)
      this.#payer = this.#kind === 'licence' && this.#perhaps(0.5) ? this.#identity('licence') : this.#payer
      // Within the hour, or in another.
      const back = away < HOUR ? at + away : this.#inHour(at + away, 0, 55 * MINUTE)
      this.#subscribe(back)
      if (this.#perhaps(0.7)) this.#add({ type: 'register', at: back + 30 * SECOND, payer: this.#payer })
      this.#useBetween(back, back + 4 * HOUR, 3)
    }
    const renew = (at: number, same: boolean) => {
      if (this.#kind !== 'licence') return amend(at)
      const renewedAt = this.#inHour(at, 5 * MINUTE, 50 * MINUTE)
      this.#useBetween(renewedAt - 3 * HOUR, renewedAt, 3)
      const before = this.#payer
      if (!same) this.#payer = this.#identity('licence')
      this.#add({ type: 'renew', at: renewedAt, payer: before, as: this.#payer, ...this.#telling() })
      this.#useBetween(renewedAt, renewedAt + 3 * HOUR, 3)
      // Somebody still names the old one.
      if (this.#perhaps(0.5)) this.#use(renewedAt + this.#between(MINUTE, 3 * HOUR), before)
    }
    /** From the product code to a licence: at an hour's edge, or, as nobody should, in the middle of it. */
    const move = (at: number, inHour: boolean) => {
      if (this.#kind !== 'account') return renew(at, false)
      const edge = this.#inHour(at, 0, 1)
      const licence = this.#identity('licence')
      this.#add({ type: 'subscribe', at: edge - 30 * MINUTE, payer: licence, pending: false, ...this.#telling() })
      const moved = inHour ? edge + this.#between(10 * MINUTE, 50 * MINUTE) : edge
      this.#useBetween(edge - 2 * HOUR, moved, 3)
      if (inHour) this.#use(moved - MINUTE)
      this.#payer = licence
      this.#kind = 'licence'
      if (inHour) this.#use(moved + MINUTE)
      this.#useBetween(moved, moved + 2 * HOUR, 4)
    }
    return [
      (at: number) => suspended(at, this.#between(2 * HOUR, 6 * HOUR)),
      (at: number) => lapse(at, this.#between(75 * MINUTE, 20 * HOUR)),
      (at: number) => renew(at, false),
      (at: number) => move(at, false),
      (at: number) => suspended(at, this.#between(25 * HOUR, 50 * HOUR)),
      amend,
      (at: number) => lapse(at, this.#between(26 * HOUR, 40 * HOUR)),
      (at: number) => renew(at, true),
      (at: number) => lapse(this.#inHour(at, 6 * MINUTE, 30 * MINUTE), this.#between(2 * MINUTE, 25 * MINUTE)),
      (at: number) => move(at, true),
      nothing,
    ]
  }

  #endings() {
    const end = (at: number) => {
      const late = this.#oneOf(END_DELAYS)
      this.#end(at, late)
      this.#useBetween(at, at + 4 * HOUR, 3)
      if (this.#perhaps(0.7)) this.#use(at + this.#between(SECOND, 20 * MINUTE))
    }
    return [
      (at: number) => end(this.#inHour(at, 6 * MINUTE, 59 * MINUTE)),
      (at: number) => end(this.#inHour(at, 20 * SECOND, 5 * MINUTE)),
      (at: number) => end(this.#inHour(at, 0, 1)),
      (at: number) => end(this.#inHour(at, 59 * MINUTE, HOUR)),
      (at: number) => this.#useBetween(at, at + 6 * HOUR, 5),
    ]
  }
}
