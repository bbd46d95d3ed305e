import { recordOf } from '../customers.ts'
import { DIMENSIONS } from '../dimensions.ts'
import type { Plan } from '../plan.ts'
import { type Outcome, type Strategy, seriesOf } from '../strategy.ts'
import type { Call } from '../traffic.ts'
import { Aws } from './aws.ts'
import { batchesOf, type Item } from './batches.ts'
import { Sent } from './sent.ts'

/**
 * A usage record for what each one-minute export interval brought. A failed export is gone, as OpenTelemetry's periodic
 * reader leaves it.
 */
export class EachInterval implements Strategy {
  readonly #plan: Plan
  readonly #aws: Aws
  readonly #sent: Sent

  constructor(plan: Plan) {
    this.#plan = plan
    this.#aws = new Aws(plan)
    this.#sent = new Sent(plan)
  }

  get clock() {
    return this.#aws.clock
  }

  get simulator() {
    return this.#aws.simulator
  }

  async minute(time: number, calls: readonly Call[]): Promise<void> {
    const region = this.#plan.regionAt(time)
    const sizes = this.#plan.sizesAt(time)
    const points = new Map<number, { customer: Call['customer']; dimension: number; amount: bigint }>()
    for (const { customer, amounts } of calls) {
      for (const dimension of DIMENSIONS.keys()) {
        const series = seriesOf(customer, dimension)
        const amount = (points.get(series)?.amount ?? 0n) + (amounts[dimension] as bigint)
        points.set(series, { customer, dimension, amount })
      }
    }
    const items: Item[] = []
    for (const [series, { customer, dimension, amount }] of points) {
      const size = sizes[dimension] as bigint
      const quantity = Number(amount / size)
      const from = this.#sent.used[series] as bigint
      this.#sent.used[series] = from + amount
      this.#sent.note(region, series, time, { quantity, from, size })
      items.push({ customer, record: recordOf(customer, dimension, time, quantity) })
    }
    for (const { request } of batchesOf(items)) this.#aws.call(request, region)
  }

  async end(): Promise<Outcome> {
    return this.#sent.outcome(this.simulator)
  }
}
