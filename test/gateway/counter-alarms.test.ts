import assert from 'node:assert/strict'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { DiagLogLevel, diag } from '@opentelemetry/api'
import type { Page } from 'puppeteer-core'
import { Gateway } from '../../src/gateway/gateway.ts'
import type { StatusReport } from '../../src/gateway/operations/report.ts'
import { HOUR, MINUTE } from '../../src/ledger/hours.ts'
import { SqliteLedger } from '../../src/ledger/sqlite/ledger.ts'
import { folder, run } from '../cli/support.ts'
import { encode, type Metric, nanoseconds, type Point } from '../counters/otlp.ts'
import { override } from '../exporter/support.ts'
import {
  complaintsOf,
  LOW_CONTRAST,
  loaded,
  open,
  picture,
  STICKING_OUT,
  shows,
  startBrowser,
} from './operations/browser.ts'

const START = Date.UTC(2026, 5, 10, 12, 10)
const [ALICE, BOB, CAROL] = ['200100100100', '200200200200', '200300300300'] as const
const SCRAPER = { name: 'github.com/open-telemetry/opentelemetry-collector-contrib/receiver/prometheusreceiver' }
const TARGET = { 'service.name': 'inference', 'service.instance.id': 'inference:8000', 'url.scheme': 'http' }
const SDK = { 'service.name': 'chat', 'telemetry.sdk.language': 'python' }
const TOKENS: Metric = { name: 'tokens', type: 'sum', temporality: 'cumulative' }

/** A real gateway on a clock that stands still until it is moved, and what it logs. */
class Watched {
  now: number
  readonly path: string
  url = ''
  readonly logged: string[] = []
  #look = () => {}

  constructor(path: string, now: number) {
    this.path = path
    this.now = now
  }

  /** @param passes what its metering passes wait for */
  static async start(
    t: TestContext,
    { path = join(folder(t), 'ledger.sqlite'), now = START, passes = Promise.resolve() } = {},
  ): Promise<Watched> {
    const watched = new Watched(path, now)
    const log = (level: string) => (message: string) => {
      watched.logged.push(`${level}: ${message}`)
      watched.#look()
    }
    const logger = { error: log('error'), warn: log('warn'), info() {}, debug() {}, verbose() {} }
    diag.setLogger(logger, { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true })
    const ledger = new SqliteLedger({ path })
    const gateway = await Gateway.start({
      ledger: override(ledger, { closeHours: options => passes.then(() => ledger.closeHours(options)) }),
      ...{ region: 'us-east-1', productCode: 'prod', now: () => watched.now, http: { port: 0 } },
      ledgerAddress: path,
      dimensions: { tokens: { unit: '{token}', from: { metric: 'tokens' } } },
      customer: ({ customer }) => (customer === undefined ? undefined : { accountId: String(customer) }),
      client: {
        batchMeterUsage: async ({ UsageRecords }) => ({
          Results: UsageRecords.map(UsageRecord => ({ UsageRecord, Status: 'Success', MeteringRecordId: 'm' })),
          UnprocessedRecords: [],
        }),
      },
      wakeInterval: 10,
    })
    watched.url = `http://${gateway.addresses.http}`
    t.after(async () => {
      await gateway.close()
      await ledger.close()
      diag.disable()
    })
    return watched
  }

  /** What a target that several pods answer for says when it is scraped, a minute after the one before. */
  async scrape(...values: readonly number[]): Promise<void> {
    for (const value of values) {
      this.now += MINUTE
      await this.#post([{ ...this.#point(value, ALICE, 0n), resource: TARGET, scope: SCRAPER }])
    }
  }

  /** What several processes with one start export, one each minute. */
  async export(customer: string, ...values: readonly number[]): Promise<void> {
    for (const value of values) {
      this.now += MINUTE
      await this.#post([this.#point(value, customer, nanoseconds(START + 1))])
    }
  }

  #point(value: number, customer: string, start: bigint): Point {
    const time = nanoseconds(this.now)
    return { resource: SDK, scope: { name: 'app' }, metric: TOKENS, attributes: { customer }, start, time, value }
  }

  async #post(points: readonly Point[]): Promise<void> {
    const headers = { 'content-type': 'application/json' }
    const response = await fetch(`${this.url}/v1/metrics`, { method: 'POST', headers, body: encode(points) })
    assert.equal(await response.text(), '{}')
  }

  /** Waits until so many lines are logged. */
  async lines(count: number): Promise<readonly string[]> {
    while (this.logged.length < count) {
      await new Promise<void>(resolve => {
        this.#look = resolve
      })
    }
    return this.logged
  }

  /** Waits for a pass after which /metrics has it. */
  async metrics(pattern: RegExp): Promise<string> {
    for (;;) {
      const text = await (await fetch(`${this.url}/metrics`)).text()
      if (pattern.test(text)) return text
    }
  }

  async status(): Promise<StatusReport> {
    return (await (await fetch(`${this.url}/status.json`)).json()) as StatusReport
  }

  async command(...args: readonly string[]): Promise<string> {
    const { stdout, stderr, status } = await run([...args, '--ledger', this.path])
    assert.equal(status, 0, stderr)
    return stdout
  }
}

/** What a real browser shows. */
async function onThePage(t: TestContext, { url }: Watched, look: (page: Page) => Promise<void>): Promise<void> {
  const browser = await startBrowser(t)
  if (browser === undefined) return
  await t.test('on the page', async t => {
    const page = await open(t, browser, url)
    await loaded(page)
    await look(page)
    assert.deepEqual(complaintsOf(page), [])
    assert.deepEqual(await page.evaluate(STICKING_OUT), [])
    assert.deepEqual(await page.evaluate(LOW_CONTRAST), [])
    await picture(page, 'alarms')
  })
}

const NOT_COUNTED = (reason: string, points: number) =>
  new RegExp(`^marketplace_usage_not_counted_total\\{.*reason="${reason}".*\\} ${points}$`, 'm')

test('what cannot be told yet is shown wherever an operator looks', async t => {
  const watched = await Watched.start(t)
  await watched.scrape(1000, 1005, 1010, 7)
  const metrics = await watched.metrics(/^marketplace_usage_waiting\{.*dimension="tokens".*\} 7$/m)
  assert.match(metrics, /^# HELP marketplace_usage_waiting .* by dimension/m)
  assert.deepEqual((await watched.status()).waiting, [
    {
      ...{ dimension: 'tokens', quantity: { amount: '7', quantity: '7', words: '7 tokens' }, unit: 'token' },
      text: '7 tokens',
    },
  ])
  const now = ['--now', new Date(watched.now).toISOString()]
  assert.match(await watched.command('status', ...now), /^Waiting {9}7 token of tokens$/m)
  assert.deepEqual(JSON.parse(await watched.command('status', '--format', 'json', ...now)).waiting, [
    { dimension: 'tokens', amount: '7', baseUnit: '1' },
  ])
  await onThePage(t, watched, async page => {
    await shows(page, '#waiting', /^Waiting: 7 tokens\. The next points of the senders tell/)
  })
  // It was a restart.
  await watched.scrape(12, 18)
  await watched.metrics(/^marketplace_usage_waiting\{.*dimension="tokens".*\} 0$/m)
  assert.deepEqual((await watched.status()).waiting, [])
  assert.deepEqual(watched.logged, [])
})

test('several processes under one name are told wherever an operator looks', async t => {
  const watched = await Watched.start(t)
  await watched.scrape(1000, 1005, 1010, 10, 1015, 1020, 15, 20, 1025, 1030)
  const [line = '', ...others] = await watched.lines(1)
  assert.deepEqual(others, [])
  assert.match(line, /^error: Several processes count under one name\. \d+ more findings? \(shared-identity\)\. /)
  assert.match(line, /Give each process a service\.instance\.id, and each scraped target an instance of its own\./)
  assert.match(line, /"marketplace-meter audit" says where\.$/)
  assert.match(await watched.metrics(NOT_COUNTED('shared-identity', 1)), /HELP .*shared-identity, conflict/)

  const { headline, notCounted, unattributed } = await watched.status()
  assert.deepEqual([headline.level, headline.title], ['attention', 'Several processes count under one name.'])
  assert.match(
    headline.details[0] ?? '',
    /service\.instance\.id, .* Last seen \d min ago: the audit trail says where\.$/,
  )
  assert.match(headline.commands[0]?.command ?? '', /^marketplace-meter audit/)
  assert.equal(notCounted['shared-identity'], 1)
  assert.deepEqual([unattributed.length, unattributed[0]?.reason], [1, 'several-writers'])
  assert.match(unattributed[0]?.means ?? '', /^several processes .* first give each a service\.instance\.id/)
  assert.match(headline.details[1] ?? '', /^A person has to decide about usage without a customer/)

  const now = ['--now', new Date(watched.now).toISOString()]
  const status = await watched.command('status', ...now)
  assert.match(status, /^Not counted {5}baseline: 1\n {16}shared-identity: 1$/m)
  assert.match(
    status,
    /Look first at:\n {2}Several processes count under one name\. Last seen .*: marketplace-meter audit$/m,
  )
  const { problems, notCounted: told } = JSON.parse(await watched.command('status', '--format', 'json', ...now))
  assert.deepEqual([problems.length, told], [2, { baseline: 1, 'shared-identity': 1 }])
  assert.match(await watched.command('audit'), / shared-identity .* 200100100100 .*service\.instance\.id/)
  assert.match(
    await watched.command('statement'),
    /^ {2}several-writers: several processes .*attribute it or write it off$/m,
  )

  await onThePage(t, watched, async page => {
    await shows(page, 'h1', /^Several processes count under one name\.$/)
    await shows(page, '#headline', /Give each process a service\.instance\.id/)
    await shows(page, '#unattributed', /several processes count under one name/)
    await shows(
      page,
      '#gateway',
      /1 finding of several processes under one name\.\s+Where and why:\s+marketplace-meter audit/,
    )
  })
})

test('an alarm is said once an hour, what was found meanwhile too, and by a gateway that begins only what is new', async t => {
  const watched = await Watched.start(t)
  await watched.export(ALICE, 100, 20, 110)
  await watched.lines(1)
  await watched.export(BOB, 100, 20, 110)
  await watched.metrics(NOT_COUNTED('shared-identity', 2))
  assert.equal(watched.logged.length, 1)
  watched.now += HOUR
  const [, second = ''] = await watched.lines(2)
  assert.match(second, /under one name\. 1 more finding \(/)

  const other = await Watched.start(t, { path: watched.path, now: watched.now })
  await other.metrics(NOT_COUNTED('shared-identity', 2))
  assert.deepEqual(other.logged, [])
  await other.export(CAROL, 100, 20, 110)
  assert.match((await other.lines(1))[0] ?? '', /under one name\. 1 more finding \(/)
})

test('what comes before the first metering pass is said too', async t => {
  const { promise, resolve } = Promise.withResolvers<void>()
  const watched = await Watched.start(t, { passes: promise })
  await watched.export(ALICE, 100, 20, 110)
  resolve()
  await watched.lines(1)
})

test('an alarm is shown for a day', async t => {
  const watched = await Watched.start(t)
  await watched.export(ALICE, 100, 20, 110)
  await watched.lines(1)
  assert.equal((await watched.status()).headline.title, 'Several processes count under one name.')
  watched.now += 24 * HOUR
  await watched.metrics(/^marketplace_metering_oldest_pending_age_seconds\{.*\} 0$/m)
  const { headline, notCounted } = await watched.status()
  assert.equal(notCounted['shared-identity'], 1)
  assert.doesNotMatch(headline.details.join(), /under one name/)
})
