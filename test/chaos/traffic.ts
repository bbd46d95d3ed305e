import type { Random } from '../../examples/inference-server/random.ts'
import type { Customer } from './customers.ts'
import { HOUR } from './time.ts'

const MODELS = ['small', 'large', undefined, 'of 70 B']

/** One inference that was answered. */
export interface Call {
  readonly customer: Customer
  /** Which of the application's two processes answered it. */
  readonly replica: number
  /** For each dimension, in millionths of its base unit. */
  readonly amounts: readonly [bigint, bigint, bigint]
  /** What its tokens are for. */
  readonly model: string | undefined
}

/** Customers that work for an hour now and then, and in it two minutes of five. */
export class Traffic {
  readonly #customers: readonly Customer[]
  readonly #random: Random
  #working: Customer[] = []

  constructor(customers: readonly Customer[], random: Random) {
    this.#customers = customers
    this.#random = random
  }

  /** The calls of a minute. */
  minute(time: number): Call[] {
    if (time % HOUR === 0) this.#working = this.#customers.filter(() => this.#random() < 0.25)
    const calls: Call[] = []
    for (const customer of this.#working) {
      if (this.#random() >= 0.4) continue
      for (let left = Math.ceil(this.#random() * 3); left > 0; left--) calls.push(this.#call(customer))
    }
    return calls
  }

  #call(customer: Customer): Call {
    const tokens = customer.weight * Math.ceil(this.#random() * 3000)
    const microseconds = customer.weight * Math.ceil(this.#random() * 90_000_000)
    return {
      model: MODELS[tokens % MODELS.length],
      customer,
      replica: this.#random() < 0.6 ? 0 : 1,
      amounts: [1_000_000n, BigInt(tokens) * 1_000_000n, BigInt(microseconds)],
    }
  }
}
