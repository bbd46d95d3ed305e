import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MarketplaceMetering } from '@aws-sdk/client-marketplace-metering'
import { seededRandom } from '../../../examples/inference-server/random.ts'
import { SqliteLedger } from '../../../src/ledger/sqlite/ledger.ts'
import type { MeteringClient } from '../../../src/marketplace/client.ts'
import { type RunningSimulator, simulatorClient, startSimulator } from '../../../src/simulator/index.ts'
import { catalogueOf } from '../customers.ts'
import type { Mishap, Plan } from '../plan.ts'
import type { Outcome, Strategy } from '../strategy.ts'
import { DAY, HOUR, MINUTE, VirtualClock } from '../time.ts'
import type { Call } from '../traffic.ts'
import { UsageBooks } from './books.ts'
import { Judge } from './judge.ts'
import { Operator } from './operator.ts'
import { Reconciliation } from './reconciliation.ts'
import { Replica } from './replica.ts'

/** Nobody cuts the power in this month, so the ledger's file may be where no disk has to be waited for. */
const MEMORY = '/dev/shm'

/** When in a quarter of a day the operator comes. */
const OPERATOR_AT = 40 * MINUTE

/** This package: two processes that share a ledger's file. */
export class WithLedger implements Strategy {
  readonly #plan: Plan
  readonly #aws: RunningSimulator
  readonly clock: VirtualClock
  readonly #replicas: readonly Replica[]
  readonly #ledger: SqliteLedger
  readonly #books: UsageBooks
  readonly #judge: Judge
  readonly #operator: Operator | undefined
  readonly #reconciliation: Reconciliation
  readonly #sockets = new Map<string, MeteringClient>()
  #sampled = false

  static async open(plan: Plan, options: { operators: boolean }): Promise<WithLedger> {
    const clock = new VirtualClock(plan.start)
    const aws = await startSimulator({
      ...{ now: clock.now, catalogue: catalogueOf(plan.customers), seed: plan.options.seed, logSize: 0 },
      cloudTrail: { size: 10_000_000 },
    })
    const strategy = new WithLedger(plan, clock, aws, options.operators)
    for (const replica of strategy.#replicas) await replica.start()
    return strategy
  }

  private constructor(plan: Plan, clock: VirtualClock, aws: RunningSimulator, operators: boolean) {
    this.#plan = plan
    this.clock = clock
    this.#aws = aws
    const folder = mkdtempSync(join(existsSync(MEMORY) ? MEMORY : tmpdir(), 'marketplace-chaos-'))
    // However it ends, memory is not to fill up with months.
    process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
    const path = join(folder, 'ledger.sqlite')
    this.#books = new UsageBooks(plan.customers)
    const random = seededRandom('replicas', plan.options.seed)
    const client = (region: string) =>
      this.#sampled ? this.#socket(region) : simulatorClient(aws.simulator, { region })
    const entitlements = simulatorClient(aws.simulator, { region: 'us-east-1' })
    const world = { plan, path, clock, books: this.#books, random, client, entitlements }
    this.#replicas = [new Replica(world), new Replica(world)]
    this.#ledger = new SqliteLedger({ path })
    this.#judge = new Judge(plan, aws.simulator, this.#books, operators)
    this.#reconciliation = new Reconciliation(plan, aws.simulator, this.#books)
    this.#operator = operators ? new Operator(plan, aws.simulator, this.#books) : undefined
  }

  get simulator() {
    return this.#aws.simulator
  }

  async minute(time: number, calls: readonly Call[]): Promise<void> {
    await this.#sample(time)
    for (const call of calls) this.#replicas[call.replica]?.record(call)
    for (const replica of this.#replicas) await replica.export()
    // Sockets answer when they like, so that only one process at a time can be repeated by a seed.
    const passing = this.#replicas.filter((_, index) => passes(index, time))
    if (this.#sampled) for (const replica of passing) await replica.pass()
    else await Promise.all(passing.map(replica => replica.pass()))
    if (time % (6 * HOUR) === OPERATOR_AT) await this.#operator?.work(this.#ledger, this.clock.now())
    if (time % HOUR === 0) await this.#judge.hourly(this.#ledger, this.clock.now())
    if (time % DAY === 0) await this.#judge.daily(this.#ledger, this.clock.now())
  }

  async suffer(mishap: Mishap): Promise<void> {
    const [first] = this.#replicas
    const replica = 'replica' in mishap ? this.#replicas[mishap.replica] : undefined
    if (mishap.type === 'crash') replica?.crashAfter(mishap.steps)
    else if (mishap.type === 'restart') await replica?.restart()
    else if (mishap.type === 'clock' && replica !== undefined) replica.skew = mishap.skew
    else if (mishap.type === 'ledger' && replica !== undefined) replica.failLedger(mishap.fails)
    else if (mishap.type === 'echo') this.#reconciliation.echo(mishap.share, this.clock.now())
    else if (mishap.type === 'ended') await first?.finalize(mishap.customer, mishap.endedAt)
    else await this.#restartAll()
  }

  /** For a part of the month requests go over real sockets, through the AWS SDK, and usage through the real exporter. */
  async #sample(time: number): Promise<void> {
    const { from, to } = this.#plan.sample
    const sampled = time >= from && time < to
    if (sampled === this.#sampled) return
    this.#sampled = sampled
    await this.#restartAll()
  }

  async #restartAll(): Promise<void> {
    for (const replica of this.#replicas) await replica.restart()
  }

  #socket(region: string): MeteringClient {
    let client = this.#sockets.get(region)
    if (client === undefined) {
      client = oneByOne(
        new MarketplaceMetering({
          ...{ region, endpoint: this.#aws.url, maxAttempts: 1 },
          credentials: { accessKeyId: 'SIMULATED', secretAccessKey: 'simulated' },
        }),
      )
      this.#sockets.set(region, client)
    }
    return client
  }

  async end(): Promise<Outcome> {
    for (const replica of this.#replicas) await replica.stop()
    const outcome = await this.#judge.final(this.#ledger, this.clock.now())
    const found = await this.#reconciliation.hold(this.#ledger, this.clock.now())
    await this.#ledger.close()
    await this.#aws.close()
    const counts = {
      ...outcome.counts,
      ...found,
      requests: this.simulator.counters.requests,
      crashes: this.#replicas.reduce((sum, { crashes }) => sum + crashes, 0),
      decisions: this.#operator?.decisions ?? 0,
    }
    return { ...outcome, violations: [...outcome.violations, ...this.#reconciliation.violations], counts }
  }
}

/** By turns, and both at once when an hour is to be closed. */
function passes(replica: number, time: number): boolean {
  const minute = (time % HOUR) / MINUTE
  return (minute >= 5 && minute < 10) || minute % 2 === replica || time % (10 * MINUTE) === 0
}

/** Requests after one another, in the order they were asked, so that a seed repeats them. */
function oneByOne(client: MeteringClient): MeteringClient {
  let last: Promise<unknown> = Promise.resolve()
  return {
    batchMeterUsage: (request, options) => {
      const answer = last.then(() => client.batchMeterUsage(request, options))
      last = answer.catch(() => {})
      return answer
    },
  }
}
