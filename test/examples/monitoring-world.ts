import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { CloudTrail } from '@aws-sdk/client-cloudtrail'
import { MarketplaceEntitlementService } from '@aws-sdk/client-marketplace-entitlement-service'
import { MarketplaceMetering } from '@aws-sdk/client-marketplace-metering'
import { SQS } from '@aws-sdk/client-sqs'
import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics'
import { parse, stringify } from 'yaml'
import { AWSMarketplaceMetricExporter } from '../../src/exporter.ts'
import { Gateway } from '../../src/gateway/gateway.ts'
import { PrometheusReader } from '../../src/gateway/operations/prometheus.ts'
import type { GatewayOptions } from '../../src/gateway/options.ts'
import { DAY, HOUR, MINUTE } from '../../src/ledger/hours.ts'
import { SqliteLedger } from '../../src/ledger/sqlite/ledger.ts'
import { type RunningSimulator, simulatorClient, startSimulator } from '../../src/simulator/index.ts'
import { encode, type Metric, nanoseconds, type Point } from '../counters/otlp.ts'
import { freePort } from '../free-port.ts'
import { METER } from '../reconcile/trail.ts'

export const [ALICE, BOB, CAROL] = ['111122223333', '444455556666', '777788889999'] as const
const [COLLECTOR, VIEWER] = ['token-of-the-collector', 'token-of-prometheus---']
const BEGIN = Date.UTC(2026, 10, 18, 9, 10)
const DELTA = { type: 'sum', temporality: 'delta' } as const
const TOKENS: Metric = { name: 'app.tokens', unit: '{token}', ...DELTA }

/** A minute at least. Prometheus takes five seconds until it scrapes first. */
const LOOKS = 600

/** As Prometheus tells it. */
export interface Alert {
  readonly labels: Readonly<Record<string, string>> & { readonly alertname: string }
  readonly annotations: Readonly<Record<string, string>>
}

/** A gateway, an exporter and AWS on a clock of their own, and a Prometheus that scrapes both of them. */
export class MonitoringWorld implements AsyncDisposable {
  now = BEGIN
  readonly folder = mkdtempSync(join(tmpdir(), 'monitoring-'))
  readonly ledgerFile = join(this.folder, 'ledger.sqlite')
  readonly aws: RunningSimulator
  ledger: SqliteLedger
  gateway = {} as Gateway
  readonly #ends: (() => Promise<unknown> | unknown)[] = []
  #prometheus: { url: string; child: ChildProcess } | undefined

  private constructor(aws: RunningSimulator) {
    this.aws = aws
    this.ledger = new SqliteLedger({ path: this.ledgerFile })
  }

  static async open(): Promise<MonitoringWorld> {
    const world: { now?: MonitoringWorld } = {}
    const aws = await startSimulator({ now: () => world.now?.now ?? BEGIN, quota: null })
    world.now = new MonitoringWorld(aws)
    const entitlements = [{ dimension: 'words-committed', value: { IntegerValue: 2 }, expiresAt: BEGIN + 365 * DAY }]
    aws.simulator.catalogue.subscribe({ accountId: ALICE, product: 'prod', at: BEGIN - DAY, entitlements })
    return world.now
  }

  async startGateway(options: Partial<GatewayOptions> = {}, port = 0): Promise<void> {
    const from = (metric: string) => ({ unit: '{token}', from: { metric, unit: '{token}' } })
    this.gateway = await Gateway.start({
      ...{ productCode: 'prod', region: 'us-east-1', ledger: this.ledger, now: () => this.now, wakeInterval: 20 },
      client: new MarketplaceMetering(this.#client),
      entitlements: { client: this.#entitlements },
      http: { host: '127.0.0.1', port },
      dimensions: {
        tokens: { ...from('app.tokens'), alertQuantity: 500, maxQuantity: 5000 },
        characters: from('app.characters'),
        requests: {
          unit: '{request}',
          from: { metric: 'app.requests', unit: '{request}', attributes: { tier: 'paid' } },
        },
        words: {
          unit: '{word}',
          from: ['app.words', 'proxy.words'].map(metric => ({ metric, unit: '{word}' })),
          included: { entitlement: 'words-committed', per: 'term' },
        },
      },
      customer: { accountId: 'customer' },
      senders: [
        { name: 'collector', token: COLLECTOR },
        { name: 'prometheus', token: VIEWER, customers: new Set() },
      ],
      consoleWarnings: false,
      ...(options as object),
    })
  }

  /** Points of a minute, as a Collector has them. */
  async send(
    points: readonly [customer: string | undefined, value: number, rest?: Partial<Point>][],
    token = COLLECTOR,
  ): Promise<number> {
    const all = points.map(([customer, value, rest]) => ({
      ...{ resource: { 'service.name': 'app' }, scope: { name: 'app' }, metric: TOKENS },
      attributes: customer === undefined ? {} : { customer },
      ...{ start: nanoseconds(this.now - MINUTE), time: nanoseconds(this.now), value, ...rest },
    }))
    const response = await fetch(`http://${this.gateway.addresses.http}/v1/metrics`, {
      ...{ method: 'POST', body: encode(all) },
      headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
    })
    await response.arrayBuffer()
    return response.status
  }

  /** What is no request at all. */
  async sendGarbage(): Promise<void> {
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${COLLECTOR}` }
    await fetch(`http://${this.gateway.addresses.http}/v1/metrics`, { method: 'POST', headers, body: '{"metrics": 1}' })
  }

  async metrics(): Promise<string> {
    const headers = { authorization: `Bearer ${VIEWER}` }
    return (await fetch(`http://${this.gateway.addresses.http}/metrics`, { headers })).text()
  }

  /** Waits for a line of the gateway's metrics. */
  async shown(pattern: RegExp): Promise<void> {
    while (!pattern.test(await this.metrics())) await setTimeout(20)
  }

  /** A day in which all is well but that somebody else meters Carol, which AWS's events tell two days later. */
  async dayBefore(): Promise<void> {
    const { now } = this
    await this.startGateway()
    await this.send([
      [ALICE, 100],
      [BOB, 200],
    ])
    this.foreign(CAROL, 5)
    this.now += HOUR
    await this.shown(/^marketplace_metering_records_total\{.*outcome="metered".*\} 2$/m)
    await this.gateway.close()
    this.now = now + 2 * DAY
  }

  /** Another tool of the same seller meters the present hour of a customer. */
  foreign(accountId: string, quantity: number): void {
    const record = { Timestamp: new Date(this.now), CustomerAWSAccountId: accountId, Dimension: 'tokens' }
    this.aws.simulator.meterForeign({ ProductCode: 'prod', UsageRecords: [{ ...record, Quantity: quantity }] })
  }

  get #client() {
    const credentials = { accessKeyId: 'm1', secretAccessKey: 'any' }
    return { endpoint: this.aws.url, region: 'us-east-1', credentials, maxAttempts: 1 }
  }

  get #entitlements(): MarketplaceEntitlementService {
    const client = new MarketplaceEntitlementService(this.#client)
    this.#ends.push(() => client.destroy())
    return client
  }

  get sqs(): SQS {
    const client = new SQS(this.#client)
    this.#ends.push(() => client.destroy())
    return client
  }

  get cloudTrail() {
    const client = new CloudTrail(this.#client)
    this.#ends.push(() => client.destroy())
    // The pace goes by the same clock as all else.
    const clock = {
      now: () => this.now,
      sleep: async (time: number) => {
        this.now += time
      },
    }
    return { every: DAY, callers: [METER], clientFor: () => client, clock }
  }

  /** An application on the same ledger that would send elsewhere, and the port of its metrics. */
  async startExporter() {
    const client = simulatorClient(this.aws.simulator, { region: 'us-east-1' })
    const elsewhere = { endpoint: 'http://laptop:8480', batchMeterUsage: client.batchMeterUsage.bind(client) }
    const ledger = new SqliteLedger({ path: this.ledgerFile })
    const reader = new PrometheusReader()
    const own = new MeterProvider({ readers: [reader] })
    const exporter = new AWSMarketplaceMetricExporter({
      ...{ productCode: 'prod', region: 'us-east-1', ledger, client: elsewhere, now: () => this.now, wakeInterval: 20 },
      ...{ meterProvider: own, consoleWarnings: false, flushTimeout: 1000 },
      customer: ({ customer }) => (customer === undefined ? null : { accountId: String(customer) }),
    })
    const provider = new MeterProvider({
      readers: [new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 1e9 })],
    })
    const counter = provider.getMeter('app').createCounter('marketplace.inference.requests')
    const server = createServer(async (_, response) => response.end(await reader.text()))
    this.#ends.push(
      () => provider.shutdown().catch(() => {}),
      () => ledger.close(),
      () => closed(server),
    )
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const export_ = async () => {
      counter.add(1, { customer: ALICE })
      counter.add(1) // not this product's
      await provider.forceFlush().catch(() => {})
    }
    return { port, export: export_ }
  }

  /** The ledger's file goes elsewhere, as by a person's mistake, or comes back. */
  move(away: boolean): void {
    for (const suffix of ['', '-wal', '-shm']) {
      const [here, there] = [this.ledgerFile + suffix, `${join(this.folder, 'elsewhere')}${suffix}`]
      renameSync(...((away ? [here, there] : [there, here]) as [string, string]))
    }
  }

  /**
   * Starts a Prometheus with the rules as they are, but that an alert does not have to last to be one.
   *
   * @param ports of exporters
   */
  async startPrometheus(rulesFile: string, ports: readonly number[], interval = '1s'): Promise<void> {
    const rules = parse(readFileSync(rulesFile, 'utf8'))
    for (const rule of rules.groups[0].rules) delete rule.for
    writeFileSync(join(this.folder, 'rules.yaml'), stringify(rules))
    const own = (port: number) => ({ targets: [`127.0.0.1:${port}`] })
    const config = {
      global: { scrape_interval: interval, scrape_timeout: interval, evaluation_interval: interval },
      rule_files: ['rules.yaml'],
      scrape_configs: [
        {
          ...{ job_name: 'metering-gateway', authorization: { credentials: VIEWER } },
          static_configs: [own(Number(this.gateway.addresses.http?.split(':')[1]))],
        },
        { job_name: 'app', metrics_path: '/', static_configs: ports.map(own) },
      ],
    }
    writeFileSync(join(this.folder, 'prometheus.yaml'), stringify(config))
    const address = `127.0.0.1:${await freePort()}`
    const child = spawn(
      'prometheus',
      [
        ...['--config.file', join(this.folder, 'prometheus.yaml'), '--storage.tsdb.path', join(this.folder, 'tsdb')],
        ...['--web.listen-address', address, '--log.level=error'],
      ],
      { stdio: ['ignore', 'ignore', 'inherit'] },
    )
    this.#prometheus = { url: `http://${address}`, child }
    while (!(await fetch(`http://${address}/-/ready`).catch(() => undefined))?.ok) {
      assert.equal(child.exitCode, null, 'Prometheus has ended')
      await setTimeout(20)
    }
  }

  // biome-ignore lint/suspicious/noExplicitAny: what Prometheus answers is looked at, not typed
  async prometheus(path: string, parameters: Record<string, string> = {}): Promise<any> {
    const response = await fetch(`${this.#prometheus?.url}/api/v1/${path}?${new URLSearchParams(parameters)}`)
    const { status, data, error } = (await response.json()) as { status: string; data: unknown; error?: string }
    assert.equal(status, 'success', `${JSON.stringify(parameters)}: ${error}`)
    return data
  }

  /** Waits until an expression has a result. */
  async scraped(query: string): Promise<void> {
    for (let look = 0; (await this.prometheus('query', { query })).result.length === 0; look++) {
      assert.ok(look < LOOKS, `nothing: ${query}`)
      await setTimeout(100)
    }
  }

  /** Waits until these fire, and returns them. */
  async firing(...names: string[]): Promise<Alert[]> {
    for (let look = 0; ; look++) {
      const { alerts } = await this.prometheus('alerts')
      const found: Alert[] = alerts.filter(({ labels }: Alert) => names.includes(labels.alertname))
      const missing = names.filter(name => !found.some(({ labels }) => labels.alertname === name))
      if (missing.length === 0) return found
      assert.ok(look < LOOKS, `not fired: ${missing.join(', ')}\n${await this.metrics()}`)
      await setTimeout(100)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#prometheus !== undefined) {
      const { child } = this.#prometheus
      child.kill('SIGKILL')
      if (child.exitCode === null) await once(child, 'exit')
    }
    await this.gateway.close?.()
    for (const end of this.#ends) await end()
    await this.ledger.close()
    await this.aws.close()
    rmSync(this.folder, { recursive: true, force: true })
  }
}

function closed(server: Server): Promise<unknown> {
  server.closeAllConnections()
  server.close()
  return once(server, 'close')
}
