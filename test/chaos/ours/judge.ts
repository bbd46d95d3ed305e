import type { RecordEntry, StatementLine } from '../../../src/ledger/ledger.ts'
import type { SqliteLedger } from '../../../src/ledger/sqlite/ledger.ts'
import type { BilledRecord, MarketplaceSimulator } from '../../../src/simulator/index.ts'
import type { Customer } from '../customers.ts'
import { DIMENSIONS, sizes } from '../dimensions.ts'
import { FOREIGN_QUANTITY, type Plan } from '../plan.ts'
import { type Figures, noFiguresEach, type Outcome, SeriesIndex } from '../strategy.ts'
import { DAY, HOUR, hourOf } from '../time.ts'
import { type Amounts, add, type UsageBooks } from './books.ts'

/** How many violations are told; the first is what matters. */
const TOLD = 20
/** AWS takes nothing of an hour that is older. */
const WINDOW = 26 * HOUR
/** No clock is ever off by more. */
const CLOCK_ERROR = 31 * HOUR

/** Holds the ledger, AWS's book and the harness's own books against one another. */
export class Judge {
  readonly violations: string[] = []
  readonly #plan: Plan
  readonly #simulator: MarketplaceSimulator
  readonly #books: UsageBooks
  readonly #index: SeriesIndex
  /** By series, the quantity billed of hours before `#settledTo`. */
  readonly #settled: Amounts = new Map()
  /** By series, what was included when it was looked at last. */
  readonly #included: Amounts = new Map()
  #settledTo: number
  readonly #operators: boolean
  #time = 0

  constructor(plan: Plan, simulator: MarketplaceSimulator, books: UsageBooks, operators: boolean) {
    this.#operators = operators
    this.#plan = plan
    this.#simulator = simulator
    this.#books = books
    this.#index = new SeriesIndex(plan.customers)
    this.#settledTo = plan.start - 3 * DAY
  }

  /** Every hour: each series adds up, the ledger has what it acknowledged, and AWS bills no more than that. */
  async hourly(ledger: SqliteLedger, time: number): Promise<void> {
    this.#time = time
    const recorded = this.#statement(await ledger.statement())
    // Another region, product or identity than the series' own would be another series here, or none.
    const settledTo = hourOf(time) - WINDOW
    this.#addBilled(this.#settled, { from: this.#settledTo, to: settledTo })
    this.#settledTo = settledTo
    const billed = new Map(this.#settled)
    this.#addBilled(billed, { from: settledTo })
    // The smallest size that was ever in force: AWS's book has only quantities.
    const least = sizes(this.#plan.tokensPerAt(time))
    for (const [series, quantity] of billed) {
      const amount = quantity * (least[series % DIMENSIONS.length] as bigint)
      if (amount > (recorded.get(series) ?? 0n))
        this.#accuse(series, `AWS bills ${amount} of ${recorded.get(series)} recorded and not included`)
    }
  }

  /** Every day: each record that AWS took, and each that the ledger thinks it took. */
  async daily(ledger: SqliteLedger, time: number): Promise<void> {
    this.#time = time
    const from = hourOf(time) - 3 * DAY
    this.#match(await ledger.records({ from, limit: 1_000_000 }), this.#simulator.billed({ from }))
  }

  /** When the month is over and everything was well for long: what came of each series. */
  async final(ledger: SqliteLedger, time: number): Promise<Outcome> {
    await this.hourly(ledger, time)
    const figures = noFiguresEach()
    const heldBy: Record<string, bigint>[] = DIMENSIONS.map(() => ({}))
    const records = await ledger.records({ limit: 100_000_000 })
    const { lost, twice } = this.#match(records, this.#simulator.billed())
    const lines = await ledger.statement()
    for (const line of lines) {
      const series = this.#books.series(line.account.key, line.dimension.name)
      const sum = figures[series % DIMENSIONS.length] as Figures
      const gone = lost.get(series) ?? 0n
      sum.recorded += this.#books.durable.get(series) ?? 0n
      sum.included += line.included
      sum.billed += line.metered - gone
      sum.held += line.held
      sum.balance += line.balance
      sum.lost += gone
      sum.twice += twice.get(series) ?? 0n
      const reasons = heldBy[series % DIMENSIONS.length] as Record<string, bigint>
      for (const [reason, amount] of Object.entries(line.heldByReason))
        reasons[reason] = (reasons[reason] ?? 0n) + amount
      if (line.pending !== 0n) this.#accuse(series, `${line.pending} is pending though all is well since long`)
      if (line.balance >= line.dimension.size)
        this.#accuse(series, `${line.balance} in the balance is more than a unit`)
    }
    for (const sum of figures) {
      const difference = sum.recorded - sum.included - sum.billed - sum.held - sum.balance - sum.lost
      if (difference > 0n) sum.lost += difference
      else sum.twice -= difference
    }
    this.#unacknowledged()
    this.#tags()
    return { figures, heldBy, violations: this.violations, counts: { records: records.length } }
  }

  /** Adds what AWS bills of ours. A foreign quantity is larger than all of ours together, so that the rest is ours. */
  #addBilled(to: Amounts, hours: { from: number; to?: number }): void {
    for (const total of this.#simulator.totals(hours)) {
      add(to, this.#index.of(total), BigInt(total.quantity % FOREIGN_QUANTITY))
    }
  }

  #statement(lines: readonly StatementLine[]): Amounts {
    const recorded: Amounts = new Map()
    for (const { account, dimension, ...line } of lines) {
      const series = this.#books.series(account.key, dimension.name)
      recorded.set(series, line.recorded - line.included)
      this.#checkIncluded(series, line)
      const sum = line.included + line.metered + line.pending + line.held + line.balance
      if (line.recorded !== sum) this.#accuse(series, `recorded ${line.recorded}, accounted for ${sum}`)
      if (line.balance < 0n) this.#accuse(series, `the balance is ${line.balance}`)
    }
    for (const [series, durable] of this.#books.durable) {
      const known = (recorded.get(series) ?? 0n) + (this.#included.get(series) ?? 0n)
      if (known !== durable) this.#accuse(series, `the ledger took ${durable} and has recorded ${known}`)
    }
    return recorded
  }

  /**
   * No customer has more than its contract includes; who has one all along is billed for what is beyond it alone; and
   * what is included stays.
   */
  #checkIncluded(series: number, { included, metered }: Pick<StatementLine, 'included' | 'metered'>): void {
    const customer = this.#plan.customers[Math.floor(series / DIMENSIONS.length)] as Customer
    const ofRequests = DIMENSIONS[series % DIMENSIONS.length] === 'inference-requests'
    const [least, most] = ofRequests ? this.#plan.included(customer) : [0, 0]
    if (included > BigInt(most) * 1_000_000n) this.#accuse(series, `${included} included of ${most} units`)
    if (included < (this.#included.get(series) ?? 0n)) this.#accuse(series, `${included} included, and more before`)
    this.#included.set(series, included)
    const always = !this.#plan.unwelcome(customer, { from: this.#plan.start, to: this.#time + CLOCK_ERROR })
    if (always && metered > 0n && included < BigInt(least) * 1_000_000n)
      this.#accuse(series, `${metered} metered, and only ${included} of ${least} units included`)
  }

  /** What is billed by tags is what is billed, and no record was sent again with another split. */
  #tags(): void {
    const left: Amounts = new Map()
    for (const total of this.#simulator.totals()) add(left, this.#index.of(total), BigInt(total.quantity))
    for (const share of this.#simulator.totalsByTags()) add(left, this.#index.of(share), -BigInt(share.quantity))
    for (const [series, quantity] of left) {
      if (quantity !== 0n) this.#accuse(series, `${quantity} is billed and not by tags`)
    }
    const { resplits } = this.#simulator.counters
    if (resplits > 0) this.#accuse(0, `${resplits} records were sent again with another split`)
  }

  /** Usage may be missing only where its process died before it was acknowledged, and is never there twice. */
  #unacknowledged(): void {
    const { measured, acknowledged, durable } = this.#books
    for (const [series, amount] of measured) {
      const known = durable.get(series) ?? 0n
      if (known > amount) this.#accuse(series, `measured ${amount}, and the ledger was given ${known}`)
      if (known < (acknowledged.get(series) ?? 0n)) this.#accuse(series, `${known} of what was acknowledged is there`)
    }
  }

  /** What the ledger takes for billed and is not, and what is billed and will be again. */
  #match(records: readonly RecordEntry[], billed: readonly BilledRecord[]): { lost: Amounts; twice: Amounts } {
    const [lost, twice]: [Amounts, Amounts] = [new Map(), new Map()]
    const foreign = new Set<string>()
    for (const entry of billed) {
      if (entry.foreign) foreign.add(placeOf(entry.region, this.#index.of(entry), Date.parse(entry.hour)))
    }
    const byPlace = new Map<string, RecordEntry>()
    for (const record of records) {
      const series = this.#books.series(record.account.key, record.dimension)
      const place = placeOf(record.region, series, record.hour)
      byPlace.set(place, record)
      if (!this.#isJust(record, series, foreign.has(place))) {
        this.#accuse(
          series,
          `${record.quantity} for ${isoHour(record)} is ${record.state} as ${record.reason} without cause`,
        )
      }
    }
    const found = new Set<RecordEntry>()
    for (const entry of billed) {
      if (entry.foreign) continue
      const series = this.#index.of(entry)
      const record = byPlace.get(placeOf(entry.region, series, Date.parse(entry.hour)))
      if (record === undefined || record.quantity !== entry.quantity) {
        this.#accuse(series, `AWS bills ${entry.quantity} for ${entry.hour}, which was not frozen`)
        add(
          twice,
          series,
          BigInt(entry.quantity) * (this.#plan.sizesAt(this.#time)[series % DIMENSIONS.length] as bigint),
        )
      } else if (record.state === 'metered') {
        found.add(record)
      } else if (record.state === 'returned' || (record.state === 'held' && !mayBeBilled(record))) {
        this.#accuse(
          series,
          `AWS bills ${entry.quantity} for ${entry.hour}, which is ${record.state} (${record.reason})`,
        )
        add(twice, series, BigInt(record.quantity) * record.size)
      }
    }
    for (const record of records) {
      if (record.state !== 'metered' || found.has(record) || record.quantity === 0) continue
      const series = this.#books.series(record.account.key, record.dimension)
      this.#accuse(series, `AWS does not bill ${record.quantity} for ${isoHour(record)}, which is metered`)
      add(lost, series, BigInt(record.quantity) * record.size)
    }
    return { lost, twice }
  }

  /** Whether there was cause to hold a record, and nobody but an operator gave back what AWS has to say something of. */
  #isJust({ state, reason, dimension, hour, attempts }: RecordEntry, series: number, foreign: boolean): boolean {
    if (state !== 'held' && state !== 'returned') return true
    const customer = this.#plan.customers[Math.floor(series / DIMENSIONS.length)] as Customer
    const span = { from: hour - CLOCK_ERROR, to: hour + WINDOW + CLOCK_ERROR }
    const unwelcome = this.#plan.unwelcome(customer, span)
    if (state === 'returned' && !this.#operators) return reason === 'expired'
    const unwelcomeBefore = this.#plan.unwelcome(customer, { from: this.#plan.start, to: span.to })
    // Of hours before, it is held by what AWS has said last.
    if (reason === 'not-subscribed') return attempts > 0 ? unwelcome : unwelcomeBefore
    // Until a person says that the customer is back.
    if (reason === 'agreement-ended') return unwelcomeBefore
    if (reason === 'refused') return unwelcome || this.#plan.unknown(customer.product, dimension, span)
    if (reason === 'conflict') return foreign
    return reason !== 'in-doubt' || attempts > 0
  }

  #accuse(series: number, what: string): void {
    if (this.violations.length >= TOLD) return
    const customer = this.#plan.customers[Math.floor(series / DIMENSIONS.length)]
    const at = new Date(this.#time).toISOString()
    this.violations.push(`${at} ${customer?.account.key} ${DIMENSIONS[series % DIMENSIONS.length]}: ${what}`)
  }
}

const isoHour = ({ hour }: RecordEntry): string => new Date(hour).toISOString()

const placeOf = (region: string, series: number, hour: number): string => `${region} ${series} ${hour}`

/** Whether a held record says itself that AWS may have billed it. */
const mayBeBilled = (record: RecordEntry): boolean => record.reason === 'in-doubt'
