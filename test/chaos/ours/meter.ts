import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics'
import { AWSMarketplaceMetricExporter } from '../../../src/exporter.ts'
import { UsageWriter } from '../../../src/ledger/clients/writer.ts'
import type { Ledger } from '../../../src/ledger/ledger.ts'
import type { MeteringClient } from '../../../src/marketplace/client.ts'
import type { Tally } from '../../../src/usage/customer.ts'
import { type InferenceInstruments, inferenceInstruments } from '../../../src/usage/instruments.ts'
import { taggedAccount } from '../../../src/usage/tagged-account.ts'
import { CUSTOMER_ATTRIBUTE, type Customer, PRODUCTS, type Product, usageOptions } from '../customers.ts'
import { DIMENSIONS, MODEL } from '../dimensions.ts'
import { seriesOf } from '../strategy.ts'
import type { Call } from '../traffic.ts'
import { type Amounts, add, type UsageBooks } from './books.ts'

/** Brings a process's usage into the ledger. */
export interface Meter {
  record(call: Call): void
  /** An export interval is over. */
  export(): Promise<void>
  stop(): Promise<void>
}

/** What was recorded and is not acknowledged yet. */
class Unacknowledged {
  readonly #books: UsageBooks
  #usage: Amounts = new Map()

  constructor(books: UsageBooks) {
    this.#books = books
  }

  record({ customer, amounts }: Call): void {
    for (const [dimension, amount] of amounts.entries()) add(this.#usage, seriesOf(customer, dimension), amount)
  }

  acknowledge(): void {
    this.#books.acknowledge(this.#usage)
    this.#usage = new Map()
  }
}

/** The exporter's own path from amounts to the ledger, without the SDK before it. */
export class DirectMeter implements Meter {
  readonly #writer: UsageWriter
  readonly #now: () => number
  readonly #unacknowledged: Unacknowledged
  /** By series and tags. */
  readonly #tallies = new Map<string, Tally>()
  #calls: Call[] = []

  constructor(ledger: Ledger, now: () => number, books: UsageBooks) {
    this.#writer = new UsageWriter(ledger)
    this.#now = now
    this.#unacknowledged = new Unacknowledged(books)
  }

  record(call: Call): void {
    this.#calls.push(call)
    this.#unacknowledged.record(call)
  }

  async export(): Promise<void> {
    const time = this.#now()
    for (const { customer, amounts, model } of this.#calls) {
      for (const [dimension, amount] of amounts.entries()) {
        const name = DIMENSIONS[dimension] as string
        const tagged = name === 'tokens-1k' && model !== undefined
        const account = tagged ? taggedAccount(customer.account, [[MODEL, model]]) : customer.account
        const key = `${account.key} ${name}`
        const tally = this.#tallies.get(key) ?? { source: 0, waiting: undefined }
        this.#tallies.set(key, tally)
        this.#writer.add(account, name, time, amount, tally)
      }
    }
    this.#calls = []
    await this.#writer.flush()
    this.#unacknowledged.acknowledge()
  }

  stop(): Promise<void> {
    return this.export()
  }
}

const NEVER: MeteringClient = {
  batchMeterUsage: () => Promise.reject(new Error('The exporter of the sample does not send')),
}

/** No interval passes by the machine's clock: the month says when one is over. */
const NO_INTERVAL = 2 ** 31 - 1

/** The real exporter behind the real SDK, one for each product. Hours and AWS are left to the metering cycle beside it. */
export class SdkMeter implements Meter {
  readonly #products: Map<Product, ProductMeter>

  constructor(options: {
    ledger: Ledger
    now: () => number
    books: UsageBooks
    customers: readonly Customer[]
    tokensPer: number
  }) {
    this.#products = new Map(PRODUCTS.map(product => [product, new ProductMeter(product, options)]))
  }

  record(call: Call): void {
    this.#products.get(call.customer.product)?.record(call)
  }

  async export(): Promise<void> {
    for (const product of this.#products.values()) await product.export()
  }

  async stop(): Promise<void> {
    for (const product of this.#products.values()) await product.stop()
  }
}

class ProductMeter {
  readonly #provider: MeterProvider
  readonly #instruments: InferenceInstruments
  readonly #unacknowledged: Unacknowledged
  #failure: unknown

  constructor(
    product: Product,
    { ledger, now, books, customers, tokensPer }: ConstructorParameters<typeof SdkMeter>[0],
  ) {
    const exporter = new AWSMarketplaceMetricExporter({
      ...usageOptions(product, customers, tokensPer),
      ...{ region: 'us-east-1', client: NEVER, ledger: appendOnly(ledger), now, wakeInterval: 3_600_000 },
      consoleWarnings: false,
      entitlements: { productCode: product, client: { getEntitlements: NEVER.batchMeterUsage as never } },
    })
    this.#unacknowledged = new Unacknowledged(books)
    const take = exporter.export.bind(exporter)
    exporter.export = (metrics, callback) =>
      take(metrics, result => {
        // The SDK only logs it.
        this.#failure = result.code === 0 ? undefined : result.error
        callback(result)
      })
    const reader = new PeriodicExportingMetricReader({
      exporter,
      exportIntervalMillis: NO_INTERVAL,
      exportTimeoutMillis: 30_000,
    })
    this.#provider = new MeterProvider({ readers: [reader] })
    this.#instruments = inferenceInstruments(this.#provider.getMeter('chaos'))
  }

  record(call: Call): void {
    const [requests, tokens, time] = call.amounts
    const { customer, model } = call
    const attributes = { [CUSTOMER_ATTRIBUTE]: customer.index, ...(model !== undefined && { [MODEL]: model }) }
    this.#instruments.requests.add(Number(requests / 1_000_000n), attributes)
    this.#instruments.tokens.add(Number(tokens / 1_000_000n), attributes)
    this.#instruments.gpuTime.add(Number(time) / 1e6, attributes)
    this.#unacknowledged.record(call)
  }

  async export(): Promise<void> {
    await this.#provider.forceFlush()
    if (this.#failure !== undefined) throw this.#failure
    this.#unacknowledged.acknowledge()
  }

  async stop(): Promise<void> {
    await this.export()
    await this.#provider.shutdown()
  }
}

/** A ledger that takes usage, and in which there is never anything to close or to send. */
function appendOnly(ledger: Ledger): Ledger {
  const nothing: Partial<Ledger> = {
    closeHours: async () => ({ records: 0, held: [] }),
    expire: async () => ({ returned: 0, held: [] }),
    due: async () => ({ lanes: [] }),
    included: async () => [],
    claim: async () => [],
  }
  return new Proxy(ledger, {
    get: (target, name: keyof Ledger) => {
      const member = nothing[name] ?? target[name]
      return typeof member === 'function' ? member.bind(target) : member
    },
  })
}
