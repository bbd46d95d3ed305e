import {
  type BilledRecord,
  MarketplaceSimulator,
  type SimulatorClient,
  simulatorClient,
} from '../../src/simulator/index.ts'
import { type Customer, catalogue } from './customers.ts'
import type { Answered } from './traffic.ts'

/** The tokens of one hour, and how many of them AWS bills where they are metered in one way or another. */
export interface BilledHour {
  /** Its beginning, in milliseconds since the epoch. */
  readonly hour: number
  /** What the HTTP responses said. */
  readonly measured: number
  /** By the way of metering. */
  readonly billed: Readonly<Record<string, number>>
}

const HOUR = 3_600_000
const REPLICAS = 3
const DIMENSION = 'tokens-processed'

/**
 * The obvious ways to meter, for comparison: each sends the usage records of the same answers to an AWS of its own that
 * never fails and has no quota.
 */
export class NaiveMetering {
  readonly #now: () => number
  readonly #byRequest: Way
  readonly #byMinute: Way
  readonly #byReplica: Way
  readonly #measured = new Map<number, number>()
  /** What each replica has counted in the hour. */
  #replicas: Answered[][] = []
  #answers = 0
  #hour: number

  constructor(customers: readonly Customer[], region: string, now: () => number) {
    this.#now = now
    this.#hour = hourOf(now())
    const way = () => new Way(customers, region, now)
    ;[this.#byRequest, this.#byMinute, this.#byReplica] = [way(), way(), way()]
  }

  /** Meters what a minute brought. */
  async meter(answers: readonly Answered[]): Promise<void> {
    await this.#endHour()
    for (const answer of answers) {
      await this.#byRequest.send([answer])
      this.#measured.set(this.#hour, (this.#measured.get(this.#hour) ?? 0) + answer.usage.total_tokens)
      // A load balancer gives each replica the next one.
      const replica = this.#answers++ % REPLICAS
      this.#replicas[replica] = [...(this.#replicas[replica] ?? []), answer]
    }
    await this.#byMinute.send(answers)
  }

  /**
   * What became of the busiest hour.
   *
   * @param billed what AWS has billed where the server's exporter metered it
   */
  async busiestHour(billed: readonly BilledRecord[]): Promise<BilledHour> {
    await this.#endHour()
    const [[hour, measured] = [this.#hour, 0]] = [...this.#measured].sort(([, one], [, other]) => other - one)
    return {
      ...{ hour, measured },
      billed: {
        'a record for each request': tokensOf(this.#byRequest.billed(), hour),
        'a record for each minute': tokensOf(this.#byMinute.billed(), hour),
        [`an hourly record of each of ${REPLICAS} replicas`]: tokensOf(this.#byReplica.billed(), hour),
        'this exporter': tokensOf(billed, hour),
      },
    }
  }

  /** When an hour is over, each replica sends what it has counted. */
  async #endHour(): Promise<void> {
    const hour = hourOf(this.#now())
    if (hour === this.#hour) return
    for (const counted of this.#replicas) await this.#byReplica.send(counted ?? [], this.#hour + HOUR - 1000)
    this.#replicas = []
    this.#hour = hour
  }
}

/** One way to meter, with an AWS of its own. */
class Way {
  readonly #simulator: MarketplaceSimulator
  readonly #client: SimulatorClient
  readonly #now: () => number

  constructor(customers: readonly Customer[], region: string, now: () => number) {
    this.#simulator = new MarketplaceSimulator({ now, catalogue: catalogue(customers), quota: null })
    this.#client = simulatorClient(this.#simulator, { region })
    this.#now = now
  }

  /** A usage record for each customer. */
  async send(answers: readonly Answered[], timestamp = this.#now()): Promise<void> {
    const tokens = new Map<string, [Customer, number]>()
    for (const { customer, usage } of answers) {
      const [, sum = 0] = tokens.get(customer.accountId) ?? []
      tokens.set(customer.accountId, [customer, sum + usage.total_tokens])
    }
    if (tokens.size === 0) return
    await this.#client.batchMeterUsage({
      UsageRecords: [...tokens.values()].map(([{ accountId, licenseArn }, Quantity]) => ({
        Timestamp: new Date(timestamp),
        CustomerAWSAccountId: accountId,
        LicenseArn: licenseArn,
        Dimension: DIMENSION,
        Quantity,
      })),
    })
  }

  billed(): BilledRecord[] {
    return this.#simulator.billed()
  }
}

const hourOf = (time: number): number => Math.floor(time / HOUR) * HOUR

const tokensOf = (records: readonly BilledRecord[], hour: number): number =>
  records.reduce(
    (sum, { dimension, hour: of, quantity }) =>
      sum + (dimension === DIMENSION && Date.parse(of) === hour ? quantity : 0),
    0,
  )
