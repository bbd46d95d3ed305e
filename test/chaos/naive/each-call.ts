import { recordOf, requestOf } from '../customers.ts'
import { DIMENSIONS } from '../dimensions.ts'
import { type Plan, REGIONS } from '../plan.ts'
import { type Outcome, type Strategy, seriesOf } from '../strategy.ts'
import { hourOf } from '../time.ts'
import type { Call } from '../traffic.ts'
import { Aws } from './aws.ts'
import { Sent } from './sent.ts'

interface Place {
  readonly time: number
  readonly region: string
  readonly sizes: readonly bigint[]
  readonly number: number
}

/** A usage record for each inference and dimension, at once. */
export class EachCall implements Strategy {
  readonly #plan: Plan
  readonly #aws: Aws
  readonly #sent: Sent
  /** By series, the last place (an hour of a region) that AWS has surely taken: it bills nothing more of it. */
  readonly #taken: number[] = []
  #spared = 0

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
    // Hours are even numbers, so that a region can be told by one more.
    const place = { time, region, sizes: this.#plan.sizesAt(time), number: hourOf(time) + REGIONS.indexOf(region) }
    for (const call of calls)
      for (let dimension = 0; dimension < DIMENSIONS.length; dimension++) this.#meter(call, dimension, place)
  }

  #meter({ customer, amounts }: Call, dimension: number, place: Place): void {
    const series = seriesOf(customer, dimension)
    const from = this.#sent.used[series] as bigint
    const amount = amounts[dimension] as bigint
    this.#sent.used[series] = from + amount
    // Its answer is known: DuplicateRecord, or for an equal quantity the first one's Success. Neither bills anything.
    if (this.#taken[series] === place.number) {
      this.#spared++
      return
    }
    const { time, region } = place
    const size = place.sizes[dimension] as bigint
    const quantity = Number(amount / size)
    this.#sent.note(region, series, time, { quantity, from, size })
    const request = requestOf(customer.product, [recordOf(customer, dimension, time, quantity)])
    const status = this.#aws.call(request, region)?.Results?.[0]?.Status
    if (status === 'Success' || status === 'DuplicateRecord') this.#taken[series] = place.number
  }

  async end(): Promise<Outcome> {
    const outcome = this.#sent.outcome(this.simulator)
    const requests = this.simulator.counters.requests + this.#spared
    return { ...outcome, counts: { requests } }
  }
}
