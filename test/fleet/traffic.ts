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
import type { Amounts } from './orders.ts'

/** The dimension that each metric feeds. */
export const DIMENSION_OF: Readonly<Record<string, string>> = {
  [REQUESTS_METRIC]: INFERENCE_REQUESTS,
  [TOKENS_METRIC]: TOKENS_PROCESSED,
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
    for (const account of this.#customers) this.#count(account, 0, 0)
  }

  /** Counts a request, and says what it comes to. */
  request(): Amounts {
    const account = this.#customers[Math.floor(this.#random() * this.#customers.length)] as string
    const tokens = Math.floor(this.#random() * 5000)
    this.#count(account, 1, tokens)
    return { [seriesOf(account, INFERENCE_REQUESTS)]: 1, [seriesOf(account, TOKENS_PROCESSED)]: tokens }
  }

  #count(account: string, requests: number, tokens: number): void {
    const customer = { [ACCOUNT_ID_ATTRIBUTE]: account }
    this.#requests.add(requests, customer)
    this.#tokens.add(tokens, customer)
  }
}
