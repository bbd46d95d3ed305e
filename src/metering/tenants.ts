import { MINUTE, SECOND } from '../ledger/hours.ts'
import type { Agreement, Ledger } from '../ledger/ledger.ts'
import type { CustomerAccount } from '../usage/account.ts'
import type { TenantRegistry } from '../usage/customer.ts'
import type { UsageOptions } from '../usage/options.ts'
import { RecentMap } from '../usage/recent-map.ts'

/** How many tenants are remembered, at most twice over: those that were asked for last. */
const MOST_TENANTS = 125_000
/** For how long what is known of one holds: it may get another licence. */
const HOLDS = 5 * MINUTE
/** The same of one whose agreement has ended. Who has none is asked for each time. */
const HOLDS_AFTER = 10 * SECOND
/** How many are asked for at once. */
const AT_ONCE = 10
/** From how many on all agreements are read instead. */
const MANY = 200

interface Known {
  readonly account: CustomerAccount | undefined
  /** Until when it holds, in milliseconds since the epoch. */
  readonly until: number
}

/** Whom the seller calls so, by the agreements that a ledger knows. */
export class Tenants implements TenantRegistry {
  readonly #ledger: Pick<Ledger, 'agreements'>
  readonly #products: ReadonlySet<string | undefined>
  readonly #now: () => number
  readonly #known = new RecentMap<string, Known>(MOST_TENANTS)
  /** Those to look up. */
  readonly #asked = new Set<string>()

  /**
   * @param options of the products whose agreements count
   * @param now milliseconds since the epoch
   */
  constructor(
    ledger: Pick<Ledger, 'agreements'>,
    { productCode, product }: Pick<UsageOptions, 'productCode' | 'product'>,
    now: () => number,
  ) {
    this.#ledger = ledger
    this.#products = new Set([productCode, product])
    this.#now = now
  }

  find(tenant: string): CustomerAccount | undefined {
    const known = this.#known.get(tenant)
    const now = this.#now()
    // What holds for longer than it may is from a clock that was ahead.
    if (known === undefined || known.until <= now || known.until > now + HOLDS) this.#asked.add(tenant)
    return known?.account
  }

  /**
   * Looks up those who were asked for and of whom too little is known.
   *
   * @throws LedgerError where one cannot be looked up of whom nothing is known; what was known of the others holds on
   */
  async learn(): Promise<void> {
    const tenants = [...this.#asked]
    if (tenants.length === 0) return
    try {
      await this.#ask(tenants, this.#now())
      for (const tenant of tenants) this.#asked.delete(tenant)
    } catch (error) {
      if (tenants.some(tenant => this.#known.get(tenant)?.account === undefined)) throw error
    }
  }

  async #ask(tenants: readonly string[], now: number): Promise<void> {
    if (tenants.length >= MANY) {
      const all = Map.groupBy(await this.#ledger.agreements(), ({ tenant }) => tenant)
      for (const tenant of tenants) this.#take(tenant, all.get(tenant) ?? [], now)
      return
    }
    for (let next = 0; next < tenants.length; next += AT_ONCE) {
      const some = tenants.slice(next, next + AT_ONCE)
      const found = await Promise.all(some.map(tenant => this.#ledger.agreements({ tenant })))
      for (const [index, tenant] of some.entries()) this.#take(tenant, found[index] ?? [], now)
    }
  }

  #take(tenant: string, agreements: readonly Agreement[], now: number): void {
    const ours = agreements.filter(({ account }) => this.#products.has(account.product))
    const best = ours.reduce<Agreement | undefined>(
      (one, other) => (one && isBetter(one, other) ? one : other),
      undefined,
    )
    const holds = best === undefined ? 0 : best.state === 'ended' ? HOLDS_AFTER : HOLDS
    this.#known.set(tenant, { account: best?.account, until: now + holds })
  }
}

/** Whether usage belongs to an agreement rather than to another of the same tenant: one in force, the younger one. */
function isBetter(one: Agreement, other: Agreement): boolean {
  const [ended, otherEnded] = [one.state === 'ended', other.state === 'ended']
  if (ended !== otherEnded) return otherEnded
  return ended ? (one.until ?? 0) >= (other.until ?? 0) : (one.since ?? 0) >= (other.since ?? 0)
}
