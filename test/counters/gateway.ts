import { request } from 'node:http'
import { type DiagLogFunction, DiagLogLevel, diag } from '@opentelemetry/api'
import { Gateway } from '../../src/gateway/gateway.ts'
import { HOUR, hourOf, MINUTE } from '../../src/ledger/hours.ts'
import type { Ledger } from '../../src/ledger/ledger.ts'
import type { BatchMeterUsageRequest, MeteringClient } from '../../src/marketplace/client.ts'
import { MeteringCycle } from '../../src/metering/cycle.ts'
import { Pacer } from '../../src/metering/pacer.ts'
import type { DimensionOptions, UsageOptions } from '../../src/usage/options.ts'
import type { Engine } from './engines.ts'
import type { Outcome } from './judge.ts'
import { encode } from './otlp.ts'
import type { Course, Restart } from './stage.ts'

const REGION = 'us-east-1'
const CLOSE_DELAY = 5 * MINUTE
const DEADLINE_MARGIN = 5 * MINUTE
/** As often is a request sent again that the gateway says to send again. A Collector would for ever. */
const ATTEMPTS = 3
/** So long after the last request everything has to be billed, held or told. */
const AFTERWARDS = 3 * HOUR
const UNITS = 1e6

const DIMENSIONS: Readonly<Record<string, DimensionOptions>> = {
  tokens: {
    unit: '{token}',
    from: [
      { metric: ['inference.tokens', 'inference_tokens_total'], unit: '{token}' },
      { metric: 'inference.tokens.ever', baseline: true },
    ],
  },
  requests: { unit: '{request}', from: { metric: 'inference.duration', value: 'count' } },
  gpu: { unit: 's', from: { metric: 'gpu_active', value: 'integral', unit: '1' } },
}

function usageOptions(dimensions: readonly string[]): UsageOptions {
  return {
    productCode: 'prod-counters',
    dimensions: Object.fromEntries(dimensions.map(name => [name, DIMENSIONS[name] as DimensionOptions])),
    customer: attributes => {
      const accountId = attributes['customer.account'] ?? attributes.customer_account
      return accountId === undefined ? undefined : { accountId: String(accountId) }
    },
  }
}

/** What a course comes to through real gateways, on a virtual clock. */
export async function bill(engine: Engine, begins: number, course: Course): Promise<Outcome> {
  const { deliveries, gateways: count = 1, restarts = [], dimensions = Object.keys(DIMENSIONS) } = course
  const run = new Run(begins, dimensions)
  await using place = disposable(await engine.ledger(run.now))
  await run.begin(place.open, count)
  try {
    const steps = [...restarts, ...deliveries].sort((a, b) => a.at - b.at)
    for (const step of steps) {
      await run.goOn(Math.floor(step.at))
      if ('points' in step) await run.post(step.gateway, encode(step.points))
      else await run.restart(step)
    }
    await run.goOn(run.now() + AFTERWARDS)
    return await run.outcome()
  } finally {
    await run.end()
  }
}

const disposable = (place: Awaited<ReturnType<Engine['ledger']>>) => ({
  ...place,
  [Symbol.asyncDispose]: () => place.dispose(),
})

interface Running {
  readonly gateway: Gateway
  readonly ledger: Ledger
  readonly url: string
}

class Run {
  #now: number
  #dimensions: readonly string[]
  #open!: () => Promise<Ledger>
  /** What looks at the ledger, and has the hours that are over closed and sent, as each gateway's clockwork does. */
  #beside!: { readonly ledger: Ledger; readonly cycle: MeteringCycle }
  readonly #running: Running[] = []
  readonly #killed: Running[] = []
  readonly #sent = new Map<string, number>()
  readonly #alarms = new Set<string>()
  readonly #faults: string[] = []
  readonly #client: MeteringClient

  constructor(begins: number, dimensions: readonly string[]) {
    this.#now = begins
    this.#dimensions = dimensions
    this.#client = { batchMeterUsage: async request => this.#meter(request) }
    const logged: DiagLogFunction = message => void this.#alarms.add(`log: ${message}`)
    const ignored = () => {}
    const logger = { error: logged, warn: logged, info: ignored, debug: ignored, verbose: ignored }
    diag.setLogger(logger, { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true })
  }

  readonly now = (): number => this.#now

  async begin(open: () => Promise<Ledger>, count: number): Promise<void> {
    this.#open = open
    for (let gateway = 0; gateway < count; gateway++) this.#running.push(await this.#start())
    const ledger = await open()
    const cycle = new MeteringCycle({
      ...{ ledger, now: this.now, clientFor: () => this.#client, region: REGION },
      // No quota: its turns are in real time.
      ...{ pacer: new Pacer(Number.POSITIVE_INFINITY), concurrency: 10, requestTimeout: 10_000, dryRun: false },
      ...{
        closeDelay: CLOSE_DELAY,
        deadlineMargin: DEADLINE_MARGIN,
        zeroQuantityRecords: false,
        onConflict: 'hold',
        onNotSubscribed: 'hold',
      },
      ...{ retention: Number.POSITIVE_INFINITY, report: () => {} },
    })
    this.#beside = { ledger, cycle }
  }

  async #start(): Promise<Running> {
    const ledger = await this.#open()
    const gateway = await Gateway.start({
      consoleWarnings: false,
      ...{ ...usageOptions(this.#dimensions), region: REGION, ledger, client: this.#client, now: this.now },
      // The clock is virtual: what the clockwork would do in each of its hours is done beside the gateway.
      ...{ http: { port: 0 }, wakeInterval: HOUR, closeDelay: CLOSE_DELAY, deadlineMargin: DEADLINE_MARGIN },
    })
    return { gateway, ledger, url: `http://${gateway.addresses.http}/v1/metrics` }
  }

  async restart({ gateway, killed = false, dimensions }: Restart): Promise<void> {
    const running = this.#running[gateway] as Running
    if (dimensions !== undefined) this.#dimensions = dimensions
    if (killed) this.#killed.push(running)
    else await stop(running)
    this.#running[gateway] = await this.#start()
  }

  /** Goes on to an instant. A little after the end of each hour that lies between, it is closed and sent. */
  async goOn(to: number): Promise<void> {
    for (;;) {
      const closing = hourOf(this.#now - CLOSE_DELAY - MINUTE) + HOUR + CLOSE_DELAY + MINUTE
      if (closing > to) break
      this.#now = closing
      await this.#beside.cycle.pass()
    }
    this.#now = Math.max(this.#now, to)
  }

  async post(gateway: number, body: string): Promise<void> {
    const { url } = this.#running[gateway] as Running
    for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
      const { status, text } = await send(url, body)
      if (status === 200) {
        if (text.includes('errorMessage')) this.#alarms.add('partial success')
        return
      }
      this.#alarms.add(`status ${status}`)
      if (![429, 502, 503, 504].includes(status)) return
    }
    // A Collector would send it for ever, and all that is queued behind would wait.
    this.#faults.push('a request is never taken')
  }

  async outcome(): Promise<Outcome> {
    const { ledger } = this.#beside
    const billed = new Map<string, number>()
    const held = new Map<string, number>()
    const told = new Map<string, number>()
    const reasons = new Set<string>()
    for (const { account, dimension, recorded, held: inDoubt } of await ledger.statement()) {
      if (account.kind === 'customer') {
        add(billed, `${account.accountId} ${dimension.name}`, recorded - inDoubt)
        add(held, dimension.name, inDoubt)
      } else {
        reasons.add(account.reason)
        add(held, dimension.name, recorded)
      }
    }
    for (const { action, dimension, amount } of await ledger.audit({ limit: 1_000_000 })) {
      if (action !== 'baseline') this.#alarms.add(action)
      // What is held is in the statement already.
      if (dimension !== undefined && amount !== undefined && !reasons.has(action)) add(told, dimension, amount)
    }
    const { notCounted } = await ledger.status()
    for (const [reason, points] of Object.entries(notCounted)) {
      if (reason !== 'baseline' && points > 0) this.#alarms.add(reason)
    }
    for (const reason of reasons) this.#alarms.add(reason)
    for (const [series, quantity] of this.#sent) {
      if (quantity > (billed.get(series) ?? 0) + 0.001) this.#faults.push('AWS got more than is billed')
    }
    return { billed, held, told, alarms: this.#alarms, faults: [...new Set(this.#faults)] }
  }

  async end(): Promise<void> {
    for (const running of [...this.#killed, ...this.#running]) await stop(running)
    await this.#beside?.ledger.close()
  }

  #meter({ UsageRecords }: BatchMeterUsageRequest) {
    for (const { CustomerAWSAccountId, Dimension, Quantity = 0 } of UsageRecords) {
      const series = `${CustomerAWSAccountId} ${Dimension}`
      this.#sent.set(series, (this.#sent.get(series) ?? 0) + Quantity)
    }
    const results = UsageRecords.map(UsageRecord => ({
      ...{ UsageRecord, Status: 'Success' as const, MeteringRecordId: crypto.randomUUID() },
    }))
    return { Results: results, UnprocessedRecords: [] }
  }
}

/** As `fetch` does, at half of its price: there are thousands of requests in a run. */
function send(url: string, body: string): Promise<{ readonly status: number; readonly text: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; text: string }>()
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
  const sent = request(url, { method: 'POST', headers }, answer => {
    let text = ''
    answer.setEncoding('utf8').on('data', part => {
      text += part
    })
    answer.once('end', () => resolve({ status: answer.statusCode ?? 0, text })).once('error', reject)
  })
  sent.once('error', reject).end(body)
  return promise
}

async function stop({ gateway, ledger }: Running): Promise<void> {
  await gateway.close()
  await ledger.close()
}

function add(sums: Map<string, number>, key: string, amount: bigint): void {
  sums.set(key, (sums.get(key) ?? 0) + Number(amount) / UNITS)
}
