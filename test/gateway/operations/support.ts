import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import { MeterProvider } from '@opentelemetry/sdk-metrics'
import { Activity } from '../../../src/gateway/operations/activity.ts'
import { type OperationsOptions, operationsHandler } from '../../../src/gateway/operations/handler.ts'
import { PrometheusReader } from '../../../src/gateway/operations/prometheus.ts'
import { Readiness, type ReadinessCheck } from '../../../src/gateway/operations/readiness.ts'
import type { StatusReport } from '../../../src/gateway/operations/report.ts'
import type { UsageEntry } from '../../../src/ledger/ledger.ts'
import { SqliteLedger } from '../../../src/ledger/sqlite/ledger.ts'
import { Reporter } from '../../../src/metering/reporter.ts'
import { Supply } from '../../../src/metering/supply.ts'
import type { CustomerAccount } from '../../../src/usage/account.ts'
import type { Dimension } from '../../../src/usage/dimension.ts'
import { taggedAccount } from '../../../src/usage/tagged-account.ts'
import {
  awsError,
  Bench,
  type BenchOptions,
  customer,
  HOUR,
  licensed,
  MINUTE,
  NOW,
  PRODUCT,
  REQUESTS,
  TOKENS,
} from '../../metering/support.ts'

export const GPU: Dimension = { name: 'gpu-hours', unit: 'h', baseUnit: 's', size: 3600n * 1_000_000n }
export const GUARDED: Dimension = { ...REQUESTS, maxQuantity: 100_000 }
const HISTORY = 40

export interface SceneOptions extends Partial<Omit<OperationsOptions, 'readiness'>> {
  readonly bench?: BenchOptions
  readonly checks?: readonly ReadinessCheck[]
  readonly timeLimit?: number
  /** The address of this machine where it listens. */
  readonly host?: string
}

/** A ledger, a simulated AWS and a metering cycle on one clock, and what a gateway serves beside them. */
export class Scene {
  readonly bench: Bench
  readonly activity: Activity
  readonly url: string
  readonly #reporter: Reporter
  #sequence = 0

  private constructor(bench: Bench, activity: Activity, reporter: Reporter, url: string) {
    this.bench = bench
    this.activity = activity
    this.#reporter = reporter
    this.url = url
  }

  static async start(test: TestContext, options: SceneOptions = {}): Promise<Scene> {
    const { bench: benchOptions, checks = [], timeLimit, host = '127.0.0.1', ...handlerOptions } = options
    const bench = new Bench(test, { now: NOW - HISTORY * HOUR, ...benchOptions })
    const now = () => bench.now
    const activity = new Activity(now)
    const reader = new PrometheusReader()
    const provider = new MeterProvider({ readers: [reader] })
    const supply = new Supply(now)
    const reporter = new Reporter(provider, now, { supply, consoleWarnings: false })
    bench.cycle = bench.newCycle({
      report: event => {
        bench.events.push(event)
        activity.cycle(event)
        reporter.cycle(event)
      },
    })
    const handle = operationsHandler({
      ledger: bench.ledger,
      dimensions: [TOKENS, GUARDED, GPU],
      activity,
      supply,
      readiness: new Readiness(checks, { now, ...(timeLimit !== undefined && { timeLimit }) }),
      metrics: () => reader.text(),
      now,
      closeDelay: 5 * MINUTE,
      ledgerPath: '/data/ledger.sqlite',
      ...handlerOptions,
    })
    const server = createServer(async (request, response) => {
      if (await handle(request, response)) return
      response.writeHead(404).end('not one of the operations')
    })
    server.listen(0, host)
    await once(server, 'listening')
    test.after(async () => {
      server.closeAllConnections()
      server.close()
      await provider.shutdown()
    })
    const name = host === '127.0.0.1' ? 'localhost' : host
    return new Scene(bench, activity, reporter, `http://${name}:${(server.address() as AddressInfo).port}`)
  }

  get(path: string, init: RequestInit = {}): Promise<Response> {
    return fetch(this.url + path, init)
  }

  async status(): Promise<StatusReport> {
    return (await (await this.get('/status.json')).json()) as StatusReport
  }

  /** A metering pass as a gateway makes it. */
  async pass(): Promise<void> {
    const begun = this.bench.now
    await this.bench.cycle.pass()
    this.activity.passed(begun)
    this.#reporter.status(await this.bench.ledger.status())
  }

  async append(entries: readonly UsageEntry[]): Promise<void> {
    this.#sequence += 1
    await this.bench.ledger.append({ writer: 'a'.repeat(32), sequence: this.#sequence, entries })
    this.activity.received(entries.length * 20, this.bench.now - 4000)
  }

  /** Usage of the present hour, in units of the dimension. */
  use(account: UsageEntry['account'], dimension: Dimension, units: number): UsageEntry {
    const hour = Math.floor(this.bench.now / HOUR) * HOUR
    const amount = (BigInt(Math.round(units * 1e6)) * dimension.size) / 1_000_000n
    return { account, dimension: dimension.name, hour, amount }
  }

  /** Two days of ordinary business with some customers; in between nobody uses anything. */
  async business(meanwhile: (hour: number) => Promise<void> | void = () => {}): Promise<void> {
    const { ledger, simulator } = this.bench
    await ledger.register([TOKENS, GUARDED, GPU])
    for (const account of CUSTOMERS) {
      const { accountId = '', licenseArn } = account
      const what = licenseArn === undefined ? { product: PRODUCT } : { licenseArn, product: PRODUCT }
      simulator.catalogue.subscribe({ accountId, ...what, at: this.bench.now - HOUR })
    }
    for (let hour = 0; hour < HISTORY; hour++) {
      const quiet = hour % 24 > 15 && hour % 24 < 19
      if (!quiet) {
        const load = 1 + Math.abs(12 - (hour % 24)) / 3
        await this.append(
          CUSTOMERS.flatMap((account, index) => [
            this.use(tagged(account, index), TOKENS, 310.4375 * load * (index + 1)),
            this.use(account, GUARDED, 42 * load + index),
            this.use(account, GPU, 0.2512 * load * (index + 1)),
          ]),
        )
      }
      await meanwhile(hour)
      this.bench.now += HOUR
      await this.pass()
    }
    for (let minute = 0; minute < 9; minute++) {
      this.bench.now += MINUTE
      await this.append(CUSTOMERS.map(account => this.use(account, TOKENS, 3.25 * (1 + (minute % 4)))))
    }
    await this.pass()
    this.bench.now += 4000
  }
}

/** Two of the customers use a model each, one of them for a team; the others do not say. */
function tagged(account: CustomerAccount, index: number): UsageEntry['account'] {
  if (index === 0) return taggedAccount(account, [['model', 'large']])
  if (index === 1)
    return taggedAccount(account, [
      ['model', 'small'],
      ['team', HOSTILE_TEAM],
    ])
  return account
}

/** As AWS takes it. */
const HOSTILE_TEAM = '//=+ @:-._'

export const CUSTOMERS: readonly CustomerAccount[] = [1, 2, 3, 4].map(number => customer(number)).concat(licensed(5))

export const HOSTILE = '</script><img src=x onerror="document.title=1"><script>alert(1)</script>'
export const HOSTILE_DIMENSION: Dimension = { ...REQUESTS, name: `x'; reboot; '<b onclick=alert(1)>${HOSTILE}` }

/** A day on which much goes wrong, the last of it an outage. */
export async function trouble(test: TestContext, options: SceneOptions = {}): Promise<Scene> {
  let away = false
  const refused = customer(3).accountId
  const scene = await Scene.start(test, {
    checks: [
      { name: 'ledger', check: () => {} },
      { name: 'credentials', advisory: true, check: () => Promise.reject(new Error('the role has expired: renew it')) },
      { name: 'disk', check: () => {} },
    ],
    bench: {
      now: NOW - HISTORY * HOUR,
      send: send => async (request, init) => {
        if (away) throw Object.assign(new Error('connect ECONNREFUSED 10.1.2.3:443'), { syscall: 'connect' })
        const bad = request.UsageRecords.some(r => r.CustomerAWSAccountId === refused && r.Dimension === GPU.name)
        if (bad && scene.bench.now > NOW - 22 * HOUR && scene.bench.now < NOW - 19 * HOUR) {
          throw awsError('InvalidUsageDimensionException')
        }
        return send(request, init)
      },
    },
    ...options,
  })
  const { simulator } = scene.bench
  const ids = (number: number) => ({ accountId: customer(number).accountId as string, product: PRODUCT })
  await scene.business(async hour => {
    if (hour === 20) simulator.catalogue.unsubscribe(ids(2))
    if (hour === 27) simulator.faults.add({ kind: 'reset-after', next: 1 })
    if (hour === 28) simulator.catalogue.unsubscribe(ids(1))
    if (hour === 29) simulator.catalogue.subscribe(ids(1))
    if (hour === 30) await scene.append([scene.use(customer(4), GUARDED, 2_000_000)])
    if (hour === 31) await scene.append(STRAYS.map(stray => scene.use(stray, TOKENS, 12.5)))
    if (hour === 35) away = true
  })
  return scene
}

/** A gateway whose ledger was lost, and is restored from a backup with four fifths of a GPU hour in the balance. */
export async function restored(test: TestContext): Promise<Scene> {
  const lost = await Scene.start(test)
  await lost.bench.ledger.register([TOKENS, GUARDED, GPU])
  await lost.append([lost.use(customer(1), GPU, 0.8)])
  const [from, to] = [`${lost.bench.path}.backup`, `${lost.bench.path}.restored`]
  await lost.bench.ledger.backup(from)
  const by = { who: 'ops', why: 'the disk was lost', now: NOW - 30 * HOUR }
  const ledger = await SqliteLedger.restore({ from, to, ...by })
  test.after(() => ledger.close())
  return await Scene.start(test, { ledger })
}

const STRAYS: readonly UsageEntry['account'][] = [
  {
    ...{ kind: 'unattributed', key: 'prod,unattributed=no-customer,1', product: PRODUCT, reason: 'no-customer' },
    evidence: '{"service.name":"llm-proxy","tenant":"acme"}',
  },
  {
    ...{ kind: 'unattributed', key: 'prod,unattributed=malformed-customer,2', product: PRODUCT },
    ...{ reason: 'malformed-customer', evidence: `{"tenant":${JSON.stringify(HOSTILE)}}` },
  },
]
