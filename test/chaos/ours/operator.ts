import type { RecordDecision, RecordEntry } from '../../../src/ledger/ledger.ts'
import type { SqliteLedger } from '../../../src/ledger/sqlite/ledger.ts'
import type { MarketplaceSimulator } from '../../../src/simulator/index.ts'
import type { Customer } from '../customers.ts'
import { DIMENSIONS } from '../dimensions.ts'
import type { Plan } from '../plan.ts'
import { SeriesIndex } from '../strategy.ts'
import { HOUR } from '../time.ts'
import type { UsageBooks } from './books.ts'

/** What is younger may still settle itself. */
const PATIENCE = 4 * HOUR

/** The person who looks at what is held, a few times a day, and settles what can be known or was mended. */
export class Operator {
  decisions = 0
  readonly #plan: Plan
  readonly #simulator: MarketplaceSimulator
  readonly #books: UsageBooks
  readonly #index: SeriesIndex

  constructor(plan: Plan, simulator: MarketplaceSimulator, books: UsageBooks) {
    this.#plan = plan
    this.#simulator = simulator
    this.#books = books
    this.#index = new SeriesIndex(plan.customers)
  }

  async work(ledger: SqliteLedger, time: number): Promise<void> {
    const all = await ledger.records({ state: 'held', limit: 1_000_000 })
    const held = all.filter(({ hour }) => hour + PATIENCE < time)
    if (held.length === 0) return
    const billed = this.#cloudTrail(Math.min(...held.map(({ hour }) => hour)))
    const decisions = held.flatMap((record): RecordDecision[] => {
      const { id: recordId, account, dimension, reason, region, hour, quantity } = record
      const series = this.#books.series(account.key, dimension)
      if (reason === 'in-doubt' || reason === 'conflict') {
        const taken = billed.get(`${region} ${series} ${hour}`) === quantity
        return [{ recordId, decision: taken ? 'billed' : 'not-billed' }]
      }
      return this.#mended(record, series, time) ? [{ recordId, decision: 'release' }] : []
    })
    const results = await ledger.decideAll(decisions, { who: 'operator', why: 'looked at', now: time })
    for (const { error } of results) if (error !== undefined) throw error
    this.decisions += decisions.length
  }

  /** What AWS has taken of ours, by region, series and hour. */
  #cloudTrail(from: number): Map<string, number> {
    const taken = new Map<string, number>()
    for (const record of this.#simulator.billed({ from })) {
      if (record.foreign) continue
      taken.set(`${record.region} ${this.#index.of(record)} ${Date.parse(record.hour)}`, record.quantity)
    }
    return taken
  }

  #mended({ reason, dimension }: RecordEntry, series: number, time: number): boolean {
    const customer = this.#plan.customers[Math.floor(series / DIMENSIONS.length)] as Customer
    if (reason === 'over-maximum') return true
    return this.#plan.subscribed(customer, time) && this.#plan.defined(customer.product, dimension, time)
  }
}
