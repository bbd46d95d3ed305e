import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Allocation, SqliteLedger, type StatementLine } from '../../src/index.ts'
import { type BilledShare, type Fault, type MarketplaceSimulator, startSimulator } from '../../src/simulator/index.ts'
import { seededRandom } from '../inference-server/random.ts'
import { AppProcess } from './app-process.ts'
import { type ComingsAndGoings, Visitors } from './comings-and-goings.ts'
import { type Customer, catalogue, customers, PRODUCT } from './customers.ts'
import { type BilledHour, NaiveMetering } from './naive-metering.ts'
import { type Answered, breathe, request } from './traffic.ts'

export interface MainJobOptions {
  /** Virtual hours of traffic. */
  readonly hours: number
  /** How many there are at the beginning: the first leaves on the way, and another arrives. */
  readonly customers: number
  readonly seed: number
  /** Whether AWS fails now and then. */
  readonly faults: boolean
  /** How often the inference server is killed with SIGKILL and started again. */
  readonly kills: number
  readonly progress: (state: Progress) => void
}

export interface Progress {
  readonly hour: number
  readonly minute: number
  readonly requests: number
  readonly billedRecords: number
  readonly faults: number
  readonly kills: number
}

/** One customer and dimension. Amounts are in the dimension's base unit, which `unit` names: requests, tokens, seconds. */
export interface Line {
  readonly customer: string
  readonly dimension: string
  readonly unit: string
  /** What the HTTP responses said. */
  readonly measured: number
  readonly recorded: number
  readonly metered: number
  readonly pending: number
  readonly held: number
  readonly balance: number
  /** What the simulator will put on the customer's bill. */
  readonly billed: number
}

/** One customer's tokens of one model. */
export interface ModelLine {
  readonly customer: string
  readonly model: string
  readonly measured: number
  /** What the ledger says of it. */
  readonly metered: number
  /** What the customer's bill says, by the tag. */
  readonly billed: number
}

export interface MainJobResult {
  readonly lines: Line[]
  readonly models: ModelLine[]
  /** 0 when measured = recorded and metered = billed on every line, and metered = billed of every model. */
  readonly difference: number
  readonly requests: number
  readonly visitors: ComingsAndGoings
  /** The busiest hour, as the obvious ways to meter would have billed it, and as it was billed. */
  readonly busiestHour: BilledHour
  /** Faults that the simulator injected, by kind. */
  readonly faults: Record<string, number>
  readonly kills: number
  /** After kills: what was answered and not yet acknowledged by the ledger then, by line: the most that may be missing. */
  readonly unacknowledged: { readonly customer: string; readonly dimension: string; readonly amount: number }[]
}

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const REGION = 'us-east-1'
export const START = Date.UTC(2026, 10, 21, 9, 0)
/** How long a virtual minute takes at least, so that the export interval of the server passes now and then. */
const REAL_MINUTE = 20
/** The same while AWS's events are awaited, or what they have frozen: both have less than an hour. */
const REAL_MINUTE_OF_EVENTS = 100
const EXPORT_INTERVAL = 100
/** Between the collection of usage and the export that says when it was. */
const MARGIN = 20

const FAULTS: Fault[] = [
  { kind: 'throttling', rate: 0.1 },
  { kind: 'internal-error', rate: 0.1 },
  { kind: 'internal-error-after', rate: 0.1 },
  { kind: 'reset', rate: 0.1 },
  { kind: 'reset-after', rate: 0.1 },
  { kind: 'html-after', rate: 0.05 },
  { kind: 'truncated', rate: 0.05 },
  { kind: 'unprocessed', rate: 0.2 },
  { kind: 'missing', rate: 0.1 },
  { kind: 'shuffled', rate: 0.5 },
  { kind: 'expired-credentials', next: 1 },
  { kind: 'event-duplicate', rate: 0.5 },
  { kind: 'event-shuffled', rate: 0.5 },
]

/**
 * Simulator, inference server and customers on one virtual clock: hours of real HTTP traffic, metered through the real
 * AWS SDK while the simulator fails now and then. Ends when everything that can be billed is.
 */
export async function runMainJob(options: MainJobOptions): Promise<MainJobResult> {
  const folder = mkdtempSync(join(tmpdir(), 'marketplace-main-job-'))
  try {
    return await runIn(folder, options)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function runIn(folder: string, options: MainJobOptions): Promise<MainJobResult> {
  const all = customers(options.customers + 1)
  const [leaver, newcomer] = [all[0] as Customer, all.at(-1) as Customer]
  const listed = all.slice(0, -1)
  const random = seededRandom('main job', options.seed)
  let time = START
  await using aws = await startSimulator({
    now: () => time,
    catalogue: catalogue(listed),
    seed: options.seed,
    faults: options.faults ? FAULTS : [],
  })
  const { simulator } = aws
  const path = join(folder, 'ledger.sqlite')
  const env = environment(folder, path, listed, aws)
  const naive = new NaiveMetering(all, REGION, () => time)

  let app = await AppProcess.start(env, time)
  const answers: Answered[] = []
  const lost: Answered[] = []
  const minutes = options.hours * 60
  const killAt = new Set<number>()
  while (killAt.size < Math.min(options.kills, minutes)) killAt.add(Math.floor(random() * minutes))
  let kills = 0
  const visitors = new Visitors(simulator, { newcomer, leaver, begin: START, end: START + minutes * MINUTE })
  const lastAnswerOf = ({ accountId }: Customer) =>
    answers.findLast(({ customer }) => customer.accountId === accountId)?.at ?? 0
  const reader = new SqliteLedger({ path, readOnly: true })
  const realMinute = async () => ((await visitors.areAwaited(reader)) ? REAL_MINUTE_OF_EVENTS : REAL_MINUTE)
  const advance = () => {
    // AWS's clock first: it refuses what seems to come from the future.
    time += MINUTE
    app.tell(time)
  }
  const report = () =>
    options.progress({
      hour: Math.floor((time - START) / HOUR),
      minute: Math.floor((time - START) / MINUTE) % 60,
      requests: answers.length,
      billedRecords: simulator.billed().length,
      faults: Object.values(simulator.counters.faults).reduce((sum, count) => sum + count, 0),
      kills,
    })

  try {
    for (let minute = 0; minute < minutes; minute++) {
      const begun = performance.now()
      await visitors.act({ url: app.url, now: time, acknowledgedAt: app.acknowledgedAt, lastAnswerOf })
      const pending = visitors.present(listed, time).flatMap(customer =>
        // Customers sleep, each at another time.
        random() < 0.6 ? Array.from({ length: customer.pace }, () => request(app.url, customer, random)) : [],
      )
      const answered = await Promise.all(pending)
      answers.push(...answered)
      await naive.meter(answered)
      if (killAt.has(minute)) {
        await breathe(random() * 2 * EXPORT_INTERVAL)
        await app.kill()
        lost.push(...answers.filter(answer => answer.at > app.acknowledgedAt))
        kills++
        app = await AppProcess.start(env, time)
      }
      if (time % HOUR === HOUR - MINUTE) await exported(app, answers)
      advance()
      report()
      const rest = (await realMinute()) - (performance.now() - begun)
      if (rest > 0) await breathe(rest)
    }
    await settle(reader, time, async () => {
      advance()
      report()
      await breathe(await realMinute())
    })
    await app.stop()
  } finally {
    await app.kill()
    await reader.close()
  }

  const ledger = new SqliteLedger({ path, readOnly: true })
  const statement = await ledger.statement()
  const models = await modelLines(ledger, simulator, listed.at(-1) as Customer, answers)
  await ledger.close()
  const billed = (customer: Customer, dimension: string) =>
    simulator.totals({ customer: customer.licenseArn, dimension }).reduce((sum, total) => sum + total.quantity, 0)
  const lines = statement.map(line => lineOf(line, all, answers, billed))
  const difference =
    lines.reduce(
      (sum, { measured, recorded, metered, billed }) =>
        sum + Math.abs(measured - recorded) + Math.abs(metered - billed),
      0,
    ) + models.reduce((sum, { metered, billed }) => sum + Math.abs(metered - billed), 0)
  return {
    lines,
    models,
    difference,
    requests: answers.length,
    visitors: visitors.story(),
    busiestHour: await naive.busiestHour(simulator.billed()),
    faults: simulator.counters.faults,
    kills,
    unacknowledged: lines.map(({ customer, dimension }) => ({
      customer,
      dimension,
      amount: measuredBy(lost, customer, dimension),
    })),
  }
}

/**
 * Waits until the ledger has what was answered. An export interval takes several virtual minutes: without it the last
 * ones of an hour would be recorded in the next.
 */
async function exported(app: AppProcess, answers: readonly Answered[]): Promise<void> {
  const last = answers.at(-1)?.at ?? 0
  for (let turn = 0; turn < 400 && app.acknowledgedAt <= last + MARGIN; turn++) await breathe(EXPORT_INTERVAL / 4)
}

/**
 * Lets the clock run on until nothing is pending: the hour in which the last usage was exported has to end, and what
 * failed is tried again.
 */
async function settle(ledger: SqliteLedger, end: number, passMinute: () => Promise<void>): Promise<void> {
  for (let minute = 0; minute < 24 * 60; minute++) {
    const { pending, closedThrough = 0 } = await ledger.status()
    if (minute > 10 && pending.length === 0 && closedThrough >= end) return
    await passMinute()
  }
}

function environment(
  folder: string,
  ledger: string,
  listed: readonly Customer[],
  { url: endpoint, queueUrl }: { readonly url: string; readonly queueUrl: string },
): Record<string, string> {
  const keys = join(folder, 'api-keys.json')
  const entries = listed.map(({ apiKey, name, accountId, licenseArn }) => [apiKey, { name, accountId, licenseArn }])
  writeFileSync(keys, JSON.stringify(Object.fromEntries(entries)))
  return {
    PORT: '0',
    HOST: '127.0.0.1',
    API_KEYS_FILE: keys,
    PRODUCT: 'inference',
    PRODUCT_CODE: PRODUCT,
    EVENTS_QUEUE: queueUrl,
    LEDGER: ledger,
    OTEL_METRIC_EXPORT_INTERVAL: String(EXPORT_INTERVAL),
    AWS_REGION: REGION,
    AWS_ENDPOINT_URL_MARKETPLACE_METERING: endpoint,
    AWS_ACCESS_KEY_ID: 'simulator',
    AWS_SECRET_ACCESS_KEY: 'simulator',
  }
}

function lineOf(
  line: StatementLine,
  all: readonly Customer[],
  answers: readonly Answered[],
  billed: (customer: Customer, dimension: string) => number,
): Line {
  const { account, dimension, recorded, metered, pending, held, balance } = line
  const customer = all.find(one => account.kind === 'customer' && one.accountId === account.accountId)
  return {
    customer: customer?.accountId ?? account.key,
    dimension: dimension.name,
    unit: dimension.baseUnit === '1' ? dimension.unit.replace(/[{}]/g, '') : dimension.baseUnit,
    measured: customer === undefined ? 0 : measuredBy(answers, customer.accountId, dimension.name),
    recorded: inBaseUnits(recorded),
    metered: inBaseUnits(metered),
    pending: inBaseUnits(pending),
    held: inBaseUnits(held),
    balance: inBaseUnits(balance),
    billed: customer === undefined ? 0 : inBaseUnits(BigInt(billed(customer, dimension.name)) * dimension.size),
  }
}

/** One customer's bill by model: what AWS shows under the tag, beside what the ledger and the HTTP responses say. */
async function modelLines(
  ledger: SqliteLedger,
  simulator: MarketplaceSimulator,
  { accountId, licenseArn }: Customer,
  answers: readonly Answered[],
): Promise<ModelLine[]> {
  const dimension = 'tokens-processed'
  const shares = simulator.totalsByTags({ customer: licenseArn, dimension })
  const records = await ledger.records({
    ...{ customer: accountId, dimension, state: 'metered', limit: Number.MAX_SAFE_INTEGER },
  })
  const allocations = records.flatMap(({ quantity, allocations = [[quantity]] }) => allocations)
  const sumOf = <One>(list: readonly One[], quantityOf: (one: One) => number) =>
    list.reduce((sum, one) => sum + quantityOf(one), 0)
  const modelOf = (tags: BilledShare['tags']) => tags['aws:marketplace:isv:model'] ?? '-'
  const ownModelOf = ([, tags]: Allocation) => tags?.find(([key]) => key === 'model')?.[1] ?? '-'
  const own = answers.filter(({ customer }) => customer.accountId === accountId)
  const models = new Set([...shares.map(({ tags }) => modelOf(tags)), ...allocations.map(ownModelOf)])
  return [...models].sort().map(model => ({
    ...{ customer: accountId, model },
    measured: sumOf(own, answer => (answer.model === model ? answer.usage.total_tokens : 0)),
    metered: sumOf(allocations, one => (ownModelOf(one) === model ? one[0] : 0)),
    billed: sumOf(shares, ({ tags, quantity }) => (modelOf(tags) === model ? quantity : 0)),
  }))
}

/** Added up in whole microseconds, which doubles do exactly. */
function measuredBy(answers: readonly Answered[], accountId: string, dimension: string): number {
  const own = answers.filter(({ customer }) => customer.accountId === accountId)
  if (dimension === 'inference-requests') return own.length
  if (dimension === 'tokens-processed') return own.reduce((sum, { usage }) => sum + usage.total_tokens, 0)
  return own.reduce((sum, { usage }) => sum + usage.compute_microseconds, 0) / 1e6
}

const inBaseUnits = (amount: bigint): number => Number(amount) / 1e6
