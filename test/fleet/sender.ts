import { setTimeout as sleep } from 'node:timers/promises'
import { type Random, seeded } from '../../src/simulator/random.ts'
import { CollectorSender } from '../gateway/collector-sender.ts'
import { type Amounts, addAll } from './orders.ts'
import { OtlpApp, type OtlpAppOptions } from './otlp-app.ts'
import { SENDING } from './replicas.ts'
import { real, virtual } from './time.ts'

/** How many requests a sender counts between two exports. */
const TRAFFIC = 12
/** Of its exports: how many come twice, and after how many something begins anew. */
const TWICE = 0.1
const RESTARTED = 0.04
const REPLACED = 0.04
const COLLECTOR_RESTARTED = 0.04

export interface SenderOptions extends Pick<OtlpAppOptions, 'temporality' | 'customers'> {
  readonly number: number
  /** The real time at which the virtual one began. */
  readonly began: number
  /** By how much the sender's clock is wrong, in virtual milliseconds. */
  readonly skew: number
  readonly seed: number
  /** How often it exports, in virtual milliseconds. */
  readonly interval: number
  /** Where its Collector keeps what is not acknowledged yet. */
  readonly queueFile: string
  /** Where some gateway listens now, to send a request there. */
  readonly gateway: (random: Random) => string | undefined
}

/**
 * An application without a ledger, and the Collector beside it, which sends each request until some gateway has
 * acknowledged it. Both begin anew now and then, while gateways come and go. What was measured is known to the unit, and
 * is to be billed to the unit.
 */
export class Sender {
  readonly measured: Amounts = {}
  /** How many requests there were to send, and how often one was sent. */
  requests = 0
  attempts = 0
  readonly #options: SenderOptions
  readonly #random: Random
  readonly #ending = new AbortController()
  readonly #life: Promise<void>
  #app: OtlpApp
  #instance = 1
  #collector: CollectorSender
  #dropped = 0
  #rejectedPoints = 0

  constructor(options: SenderOptions) {
    this.#options = options
    this.#random = seeded(options.seed)
    this.#app = this.#startApp()
    this.#collector = this.#startCollector()
    this.#life = this.#live()
  }

  /** Counts no more, and sends until all is acknowledged, for so long in real time. Returns what went wrong. */
  async end(timeout: number): Promise<string[]> {
    this.#ending.abort()
    const drained = this.#life.then(() => this.#collector.drained()).then(() => true)
    const acknowledged = await Promise.race([drained, sleep(timeout, false, { ref: false })])
    await this.#stopCollector()
    const problems = [
      ...(this.requests === 0 ? ['no gateway ever listened'] : []),
      ...(acknowledged ? [] : ['not all requests were acknowledged']),
      ...(this.#dropped === 0 ? [] : [`${this.#dropped} requests were refused for good`]),
      ...(this.#rejectedPoints === 0 ? [] : [`${this.#rejectedPoints} points were rejected`]),
    ]
    return problems.map(problem => `sender ${this.#options.number}: ${problem}`)
  }

  async #live(): Promise<void> {
    const { interval } = this.#options
    // What began before the first gateway did is none of the ledger's usage.
    while (this.#options.gateway(this.#random) === undefined) if (await this.#ended(interval)) return
    await this.#ended(interval)
    await this.#begin()
    while (!(await this.#ended(interval))) {
      for (let requests = 0; requests < TRAFFIC; requests += 1) addAll(this.measured, this.#app.traffic.request())
      await this.#export()
      const chance = this.#random()
      if (chance < RESTARTED + REPLACED) {
        if (chance < REPLACED) this.#instance += 1
        await this.#app.end()
        // Two lives of one identity in the same instant would be one.
        if (await this.#ended(interval)) return
        this.#app = this.#startApp()
        await this.#begin()
      } else if (chance < RESTARTED + REPLACED + COLLECTOR_RESTARTED) {
        // What it is sending is sent again, to another gateway, while the one may still write it down.
        await sleep(SENDING * this.#random())
        await this.#stopCollector()
        this.#collector = this.#startCollector()
      }
    }
    await this.#app.end()
  }

  /** Whether it is to end: at once, or after a while in which it is not. */
  async #ended(duration: number): Promise<boolean> {
    const { signal } = this.#ending
    await sleep(real(duration), undefined, { signal }).catch(() => {})
    return signal.aborted
  }

  /**
   * Three seconds of an outage are ten minutes here, and a counter whose first point to arrive is of so long after its
   * start is held for a person. So its first is acknowledged before there is a second.
   */
  async #begin(): Promise<void> {
    this.#app.traffic.begin()
    await this.#export()
    await this.#collector.drained()
  }

  async #export(): Promise<void> {
    const body = await this.#app.collect()
    const times = this.#random() < TWICE ? 2 : 1
    for (let n = 0; n < times; n += 1) this.#collector.send(body)
    this.requests += 1
  }

  #startApp(): OtlpApp {
    const { number, temporality, customers, began, skew } = this.#options
    const time = (milliseconds: number) => virtual(milliseconds, began) + skew
    const instance = `${number}-${this.#instance}`
    return new OtlpApp({ instance, temporality, customers, random: this.#random, time })
  }

  #startCollector(): CollectorSender {
    const { queueFile } = this.#options
    const random = this.#random
    const endpoint = () => {
      const address = this.#options.gateway(random)
      if (address === undefined) throw new Error('No gateway listens')
      this.attempts += 1
      return `http://${address}`
    }
    return new CollectorSender({
      // Looked at for each attempt: as behind a load balancer, the next one may be at another gateway.
      get endpoint() {
        return endpoint()
      },
      ...{ queueFile, random, consumers: 4 },
      wait: (milliseconds, signal) => sleep(real(milliseconds), undefined, { signal }),
    })
  }

  async #stopCollector(): Promise<void> {
    await this.#collector.stop()
    const { counts, dropped } = this.#collector
    this.#dropped += dropped.length
    this.#rejectedPoints += counts.rejectedPoints
  }
}
