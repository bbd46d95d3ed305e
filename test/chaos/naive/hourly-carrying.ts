import { type Customer, recordOf } from '../customers.ts'
import { DIMENSIONS } from '../dimensions.ts'
import type { Plan } from '../plan.ts'
import { type Outcome, type Strategy, seriesOf } from '../strategy.ts'
import { HOUR, MINUTE } from '../time.ts'
import type { Call } from '../traffic.ts'
import { Aws } from './aws.ts'
import { batchesOf, type Item } from './batches.ts'
import { Sent } from './sent.ts'

const RUN_AT = 10 * MINUTE

interface Sending extends Item {
  readonly series: number
  /** What is metered when AWS says so. */
  readonly metered: bigint
}

/**
 * An hourly job that is careful to lose nothing: whatever got no `Success`, fractions too, goes with the next hour's
 * record. It bills again what AWS took without the answer coming through.
 */
export class HourlyCarrying implements Strategy {
  readonly #plan: Plan
  readonly #aws: Aws
  readonly #sent: Sent
  /** By series, how much of all it ever used is metered. */
  readonly #metered: bigint[]

  constructor(plan: Plan) {
    this.#plan = plan
    this.#aws = new Aws(plan)
    this.#sent = new Sent(plan)
    this.#metered = this.#sent.used.map(() => 0n)
  }

  get clock() {
    return this.#aws.clock
  }

  get simulator() {
    return this.#aws.simulator
  }

  async minute(time: number, calls: readonly Call[]): Promise<void> {
    for (const { customer, amounts } of calls) {
      for (const [dimension, amount] of amounts.entries()) {
        const series = seriesOf(customer, dimension)
        this.#sent.used[series] = (this.#sent.used[series] as bigint) + amount
      }
    }
    if (time % HOUR === RUN_AT) this.#run(time)
  }

  #run(time: number): void {
    const region = this.#plan.regionAt(time)
    const items = this.#plan.customers.flatMap(customer =>
      [...DIMENSIONS.keys()].flatMap(dimension => this.#due(customer, dimension, time, region)),
    )
    for (const { items: batch, request } of batchesOf(items)) {
      for (const { UsageRecord, Status } of this.#aws.call(request, region)?.Results ?? []) {
        const item = batch.find(({ record }) => record === UsageRecord)
        if (item !== undefined && Status === 'Success') this.#metered[item.series] = item.metered
      }
    }
  }

  #due(customer: Customer, dimension: number, time: number, region: string): Sending[] {
    const series = seriesOf(customer, dimension)
    const from = this.#metered[series] as bigint
    const size = this.#plan.sizesAt(time)[dimension] as bigint
    const quantity = Number(((this.#sent.used[series] as bigint) - from) / size)
    if (quantity === 0) return []
    this.#sent.note(region, series, time, { quantity, from, size })
    const record = recordOf(customer, dimension, time, quantity)
    return [{ customer, record, series, metered: from + BigInt(quantity) * size }]
  }

  async end(): Promise<Outcome> {
    return this.#sent.outcome(this.simulator)
  }
}
