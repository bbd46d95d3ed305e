import type { MarketplaceSimulator } from '../../../src/simulator/index.ts'
import { DIMENSIONS } from '../dimensions.ts'
import type { Plan } from '../plan.ts'
import { noFiguresEach, type Outcome, SeriesIndex } from '../strategy.ts'
import { hourOf } from '../time.ts'

/** Which usage a record stands for: its quantity times the size, from a place in all that its series ever used. */
interface Range {
  readonly quantity: number
  readonly from: bigint
  readonly size: bigint
}

/** What a strategy without a ledger used and sent, to tell from AWS's book what was billed once, twice and never. */
export class Sent {
  /** By series, all it ever used. */
  readonly used: bigint[]
  readonly #index: SeriesIndex
  readonly #ranges = new Map<string, Range[]>()

  constructor({ customers }: Plan) {
    this.#index = new SeriesIndex(customers)
    this.used = Array.from({ length: customers.length * DIMENSIONS.length }, () => 0n)
  }

  note(region: string, series: number, time: number, range: Range): void {
    const key = `${region} ${series} ${hourOf(time)}`
    const ranges = this.#ranges.get(key)
    if (ranges === undefined) this.#ranges.set(key, [range])
    else ranges.push(range)
  }

  outcome(simulator: MarketplaceSimulator): Outcome {
    const billed = new Map<number, Range[]>()
    for (const record of simulator.billed()) {
      if (record.foreign) continue
      const series = this.#index.of(record)
      const sent = this.#ranges.get(`${record.region} ${series} ${Date.parse(record.hour)}`) ?? []
      const range = sent.find(({ quantity }) => quantity === record.quantity)
      if (range === undefined) throw new Error(`AWS billed what was never sent: ${JSON.stringify(record)}`)
      const ranges = billed.get(series)
      if (ranges === undefined) billed.set(series, [range])
      else ranges.push(range)
    }
    const figures = noFiguresEach()
    this.used.forEach((recorded, series) => {
      const sum = figures[series % DIMENSIONS.length] as (typeof figures)[number]
      const { once, again } = coverage(billed.get(series) ?? [])
      sum.recorded += recorded
      sum.billed += once
      sum.twice += again
      sum.lost += recorded - once
    })
    const { requests } = simulator.counters
    return { figures, heldBy: figures.map(() => ({})), violations: [], counts: { requests } }
  }
}

/** How much usage is in any of the ranges, and how much of it in a further one. */
function coverage(ranges: Range[]): { once: bigint; again: bigint } {
  let [once, again, covered] = [0n, 0n, 0n]
  for (const { from, quantity, size } of ranges.sort((a, b) => (a.from < b.from ? -1 : 1))) {
    const to = from + BigInt(quantity) * size
    const fresh = to > covered ? to - (from > covered ? from : covered) : 0n
    once += fresh
    again += to - from - fresh
    if (to > covered) covered = to
  }
  return { once, again }
}
