import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, type TestContext } from 'node:test'
import { type Attributes, type DiagLogger, DiagLogLevel, diag } from '@opentelemetry/api'
import type { DataPointType, MetricData, ResourceMetrics } from '@opentelemetry/sdk-metrics'
import * as sdk3 from '@opentelemetry/sdk-metrics'
import {
  AWSMarketplaceMetricExporter,
  type AWSMarketplaceMetricExporterOptions,
  type Ledger,
  type MeteringClient,
  SqliteLedger,
  type StatementLine,
} from '../../src/index.ts'
import { MarketplaceSimulator, type SimulatorOptions, simulatorClient } from '../../src/simulator/index.ts'
import * as sdk2 from '../sdk-metrics-2/sdk.ts'

export type Sdk = typeof sdk3
/** Both generations that are supported, each from its own install. */
export const SDKS: Record<string, Sdk> = { 'sdk-metrics 3': sdk3, 'sdk-metrics 2.7': sdk2 as unknown as Sdk }

export const SECOND = 1000
export const MINUTE = 60 * SECOND
export const HOUR = 60 * MINUTE
/** A Wednesday in the middle of a month: no window but the one under test is near. */
export const START = Date.UTC(2026, 5, 10, 12, 30)
export const PRODUCT = 'prod-inference'
export const ACCOUNT = '111122223333'
export const OTHER_ACCOUNT = '444455556666'
export const LICENCE = 'arn:aws:license-manager::123456789012:license:l-00000000000000000000000000000001'
export const customer: Attributes = { 'marketplace.customer.account_id': ACCOUNT }
export const other: Attributes = { 'marketplace.customer.account_id': OTHER_ACCOUNT }
export const M = 1_000_000n

/** What no message and no metric may carry: whoever reads logs need not know who the customers are. */
export const SECRETS = [ACCOUNT, OTHER_ACCOUNT, 'license:l-', '99990000', 'top-secret']

/** All that was said through `diag`, as `level: message`, from the start of the file's tests. */
export const said: string[] = []
const note =
  (level: string): DiagLogger['info'] =>
  (message, ...more) =>
    void said.push([`${level}: ${message}`, ...more.map(String)].join(' '))
diag.setLogger(
  { error: note('error'), warn: note('warn'), info: note('info'), debug: note('debug'), verbose: () => {} },
  { logLevel: DiagLogLevel.DEBUG, suppressOverrideMessage: true },
)
after(() => {
  for (const secret of SECRETS)
    assert.deepEqual(
      said.filter(message => message.includes(secret)),
      [],
    )
})

/** What is said while `work` runs. */
export async function saidDuring(work: () => unknown): Promise<string[]> {
  const before = said.length
  await work()
  return said.slice(before)
}

export type WorldOptions = Partial<AWSMarketplaceMetricExporterOptions> & {
  readonly simulator?: SimulatorOptions
  /** Makes of the real ledger the one that the exporter gets. */
  readonly wrap?: (ledger: SqliteLedger) => Ledger
}

export interface World {
  readonly clock: { now: number }
  readonly simulator: MarketplaceSimulator
  readonly client: MeteringClient
  readonly ledger: SqliteLedger
  readonly exporter: AWSMarketplaceMetricExporter
  /** What AWS will bill, by `customer dimension`. */
  billed(): Record<string, number>
  line(account: string, dimension: string): Promise<Figures | undefined>
}

/** An exporter with a real ledger and a simulated AWS, all on one clock that stands still until it is moved. */
export function world(test: TestContext, { simulator: simulated, wrap, ...options }: WorldOptions = {}): World {
  const clock = { now: START }
  const simulator = new MarketplaceSimulator({ now: () => clock.now, quota: null, seed: 7, ...simulated })
  const client = simulatorClient(simulator)
  const ledger = new SqliteLedger({ path: join(temporaryFolder(test), 'ledger.sqlite') })
  const exporter = new AWSMarketplaceMetricExporter({
    ...(options.product === undefined && { productCode: PRODUCT }),
    region: 'us-east-1',
    client,
    ledger: wrap?.(ledger) ?? ledger,
    now: () => clock.now,
    // The exporter wakes by itself only where a test is about that.
    wakeInterval: HOUR,
    ...options,
  } as AWSMarketplaceMetricExporterOptions)
  test.after(async () => {
    await exporter.shutdown().catch(() => {})
    await ledger.close()
  })
  return {
    clock,
    simulator,
    client,
    ledger,
    exporter,
    billed: () =>
      Object.fromEntries(
        simulator
          .totals()
          .map(total => [`${total.accountId ?? total.customerIdentifier} ${total.dimension}`, total.quantity]),
      ),
    line: async (account, dimension) => {
      const lines = await ledger.statement({ customer: account, dimension })
      return lines[0] && figures(lines[0])
    },
  }
}

type Figures = ReturnType<typeof figures>

/** Where usage stands, and that the equation holds. */
export function figures({ recorded, metered, pending, held, balance }: StatementLine) {
  assert.equal(recorded, metered + pending + held + balance)
  return { recorded, metered, pending, held, balance }
}

/** All that a ledger acknowledged, by `account dimension`. */
export async function recorded(ledger: Ledger): Promise<Record<string, bigint>> {
  const lines = await ledger.statement()
  return Object.fromEntries(
    lines.map(line => {
      const { account, dimension } = line
      const name = account.kind === 'customer' ? (account.accountId ?? account.customerIdentifier) : account.reason
      return [`${name} ${dimension.name}`, figures(line).recorded]
    }),
  )
}

export function temporaryFolder(test: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'marketplace-exporter-'))
  test.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** An object some of whose methods are others. */
export function override<Type extends object>(object: Type, methods: Partial<Type>): Type {
  return new Proxy(object, {
    get: (target, name) => {
      const method = methods[name as keyof Type] ?? target[name as keyof Type]
      return typeof method === 'function' ? method.bind(target) : method
    },
  })
}

/** Holds calls back until it is opened, and says when the first one came. */
export function makeGate() {
  const reached = Promise.withResolvers<void>()
  const opened = Promise.withResolvers<void>()
  return {
    reached: reached.promise,
    open: opened.resolve,
    before: <Parameters extends unknown[], Result>(method: (...parameters: Parameters) => Promise<Result>) =>
      async function (this: unknown, ...parameters: Parameters): Promise<Result> {
        reached.resolve()
        await opened.promise
        return method.apply(this, parameters)
      },
  }
}

/** A meter and the real reader that hands what it measured to the exporter, when it is told to and at shutdown. */
export function measure(
  test: TestContext,
  sdk: Sdk,
  exporter: sdk3.PushMetricExporter,
  { views, ...reader }: Partial<sdk3.PeriodicExportingMetricReaderOptions> & { views?: sdk3.ViewOptions[] } = {},
) {
  const provider = new sdk.MeterProvider({
    readers: [
      new sdk.PeriodicExportingMetricReader({
        exporter,
        exportIntervalMillis: HOUR,
        exportTimeoutMillis: MINUTE,
        ...reader,
      }),
    ],
    ...(views && { views }),
  })
  test.after(() => provider.shutdown().catch(() => {}))
  return { provider, meter: provider.getMeter('app'), collect: () => provider.forceFlush() }
}

/** Points of a delta counter as the SDK hands them over. */
export function counted(name: string, ...points: [value: number, attributes: Attributes][]): ResourceMetrics {
  return collected({
    descriptor: { name, unit: name.endsWith('.time') ? 's' : '1', description: '', valueType: 1 },
    dataPointType: 3 as DataPointType.SUM,
    isMonotonic: true,
    aggregationTemporality: 0,
    dataPoints: points.map(([value, attributes]) => ({ value, attributes, startTime: [0, 0], endTime: [0, 0] })),
  })
}

export const tokens = (value: number, attributes: Attributes = customer): ResourceMetrics =>
  counted('marketplace.inference.tokens', [value, attributes])

/** What our own instruments bring of one customer. */
export function inferenceCollection(usage: {
  requests?: number
  tokens?: number
  seconds?: number
  attributes: Attributes
}): ResourceMetrics {
  const { requests = 0, tokens = 0, seconds = 0, attributes } = usage
  const all = [
    counted('marketplace.inference.requests', [requests, attributes]),
    counted('marketplace.inference.tokens', [tokens, attributes]),
    counted('marketplace.gpu.time', [seconds, attributes]),
  ]
  return collected(...all.flatMap(({ scopeMetrics }) => scopeMetrics.flatMap(({ metrics }) => metrics)))
}

export function collected(...metrics: MetricData[]): ResourceMetrics {
  const resource = { attributes: {} } as ResourceMetrics['resource']
  return { resource, scopeMetrics: [{ scope: { name: 'app' }, metrics }] }
}

/** One export, as the SDK asks for it: resolves with what was called back. */
export function exportTo(exporter: AWSMarketplaceMetricExporter, metrics: ResourceMetrics) {
  return new Promise<{ code: number; error?: Error }>(resolve => exporter.export(metrics, resolve))
}

export const SUCCESS = { code: 0 }

/** A provider for the exporter's own metrics, and what they say: `name {attributes}` → value (a histogram's count). */
export function telemetry(test: TestContext) {
  class Reader extends sdk3.MetricReader {
    protected override async onShutdown() {}
    protected override async onForceFlush() {}
  }
  const reader = new Reader()
  const meterProvider = new sdk3.MeterProvider({ readers: [reader] })
  test.after(() => meterProvider.shutdown())
  const read = async () => metricsOf((await reader.collect()).resourceMetrics)
  return { meterProvider, read }
}

export function metricsOf(metrics: ResourceMetrics): Record<string, number> {
  const all: Record<string, number> = {}
  for (const { descriptor, dataPoints } of metrics.scopeMetrics.flatMap(scope => scope.metrics)) {
    for (const { attributes, value } of dataPoints) {
      const pairs = Object.entries(attributes).map(([key, one]) => `${key}=${one}`)
      const number = typeof value === 'number' ? value : value.count
      all[[descriptor.name, ...pairs.sort()].join(' ')] = number
    }
  }
  for (const secret of SECRETS) assert.ok(!JSON.stringify(metrics.scopeMetrics).includes(secret))
  return all
}
