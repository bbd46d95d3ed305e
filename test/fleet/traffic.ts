import type { Counter, MeterProvider } from '@opentelemetry/api'
import type { Random } from '../../src/simulator/random.ts'
import {
  ACCOUNT_ID_ATTRIBUTE,
  INFERENCE_REQUESTS,
  inferenceInstruments,
  REQUESTS_METRIC,
  TOKENS_METRIC,
  TOKENS_PROCESSED,
} from '../../src/usage/instruments.ts'
import type { DimensionOptions } from '../../src/usage/options.ts'
import type { Amounts } from './orders.ts'

/** The dimension that each metric feeds. */
export const DIMENSION_OF: Readonly<Record<string, string>> = {
  [REQUESTS_METRIC]: INFERENCE_REQUESTS,
  [TOKENS_METRIC]: TOKENS_PROCESSED,
}

/** So many requests each customer's contract includes. */
export const INCLUDED_REQUESTS = 5
const MODEL = 'model'
const MODELS = ['small', 'large', undefined]

/** What is sold: requests beyond what contracts include, and tokens by model. */
export const DIMENSIONS: Readonly<Record<string, DimensionOptions>> = {
  [INFERENCE_REQUESTS]: {
    ...{ unit: '{request}', from: 'marketplace.requests' },
    included: { quantity: INCLUDED_REQUESTS, per: 'term' },
  },
  [TOKENS_PROCESSED]: { unit: '{token}', from: 'marketplace.tokens', allocations: [MODEL] },
}

export const seriesOf = (account: unknown, dimension: string | undefined) => `${account} ${dimension}`

/** Requests of random customers, as an application counts them. */
export class Traffic {
  readonly #customers: readonly string[]
  readonly #random: Random
  readonly #requests: Counter
  readonly #tokens: Counter

  constructor(provider: MeterProvider, customers: readonly string[], random: Random) {
    this.#customers = customers
    this.#random = random
    const { requests, tokens } = inferenceInstruments(provider.getMeter('fleet'))
    this.#requests = requests
    this.#tokens = tokens
  }

  /** All counters begin here, and not with their first request. */
  begin(): void {
    for (const account of this.#customers) {
      for (const tokens of MODELS.keys()) this.#count(account, 0, 0, MODELS[tokens])
    }
  }

  /** Counts a request, and says what it comes to. */
  request(): Amounts {
    const account = this.#customers[Math.floor(this.#random() * this.#customers.length)] as string
    const tokens = Math.floor(this.#random() * 5000)
    this.#count(account, 1, tokens, MODELS[tokens % MODELS.length])
    return { [seriesOf(account, INFERENCE_REQUESTS)]: 1, [seriesOf(account, TOKENS_PROCESSED)]: tokens }
  }

  #count(account: string, requests: number, tokens: number, model: string | undefined): void {
    const customer = { [ACCOUNT_ID_ATTRIBUTE]: account }
    this.#requests.add(requests, customer)
    this.#tokens.add(tokens, { ...customer, ...(model !== undefined && { [MODEL]: model }) })
  }
}
