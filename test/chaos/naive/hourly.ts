import { type Customer, recordOf, requestOf } from '../customers.ts'
import { DIMENSIONS } from '../dimensions.ts'
import type { Plan } from '../plan.ts'
import { type Outcome, type Strategy, seriesOf } from '../strategy.ts'
import { HOUR, hourOf, MINUTE } from '../time.ts'
import type { Call } from '../traffic.ts'
import { Aws } from './aws.ts'
import { Sent } from './sent.ts'

/** When in an hour the job runs, and the age at which it gives an hour up: all that AWS allows. */
const RUN_AT = 10 * MINUTE
const LIMIT = 24 * HOUR

/** What a customer used of the dimensions in an hour, and from which place in its series. */
interface Row {
  readonly customer: Customer
  readonly from: bigint[]
  readonly amounts: bigint[]
  readonly done: boolean[]
}

/**
 * An hourly job as AWS's published sample has it: adds each past hour up, drops the fraction, sends a customer's
 * dimensions together, takes DuplicateRecord for done, tries the rest again an hour later and gives up on age.
 */
export class Hourly implements Strategy {
  readonly #plan: Plan
  readonly #aws: Aws
  readonly #sent: Sent
  readonly #hours = new Map<number, Map<Customer, Row>>()

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
    for (const call of calls) this.#write(call, hourOf(time))
    if (time % HOUR !== RUN_AT) return
    for (const [hour, rows] of this.#hours) {
      if (hour >= hourOf(time)) continue
      if (time - hour >= LIMIT) this.#hours.delete(hour)
      else for (const row of rows.values()) this.#send(row, hour, time)
    }
  }

  #write({ customer, amounts }: Call, hour: number): void {
    let rows = this.#hours.get(hour)
    if (rows === undefined) {
      rows = new Map()
      this.#hours.set(hour, rows)
    }
    let row = rows.get(customer)
    if (row === undefined) {
      const from = amounts.map((_, dimension) => this.#sent.used[seriesOf(customer, dimension)] as bigint)
      row = { customer, from, amounts: amounts.map(() => 0n), done: amounts.map(() => false) }
      rows.set(customer, row)
    }
    for (const [dimension, amount] of amounts.entries()) {
      row.amounts[dimension] = (row.amounts[dimension] as bigint) + amount
      const series = seriesOf(customer, dimension)
      this.#sent.used[series] = (this.#sent.used[series] as bigint) + amount
    }
  }

  #send({ customer, from, amounts, done }: Row, hour: number, time: number): void {
    const region = this.#plan.regionAt(time)
    const left = [...DIMENSIONS.keys()].filter(dimension => !done[dimension])
    if (left.length === 0) return
    const records = left.map(dimension => {
      const size = this.#plan.sizesAt(time)[dimension] as bigint
      const quantity = Number((amounts[dimension] as bigint) / size)
      this.#sent.note(region, seriesOf(customer, dimension), hour, { quantity, from: from[dimension] as bigint, size })
      return recordOf(customer, dimension, hour, quantity)
    })
    const answer = this.#aws.call(requestOf(customer.product, records), region)
    for (const { UsageRecord, Status } of answer?.Results ?? []) {
      const dimension = left[records.findIndex(({ Dimension }) => Dimension === UsageRecord.Dimension)]
      if (dimension !== undefined && Status !== 'CustomerNotSubscribed') done[dimension] = true
    }
  }

  async end(): Promise<Outcome> {
    return this.#sent.outcome(this.simulator)
  }
}
