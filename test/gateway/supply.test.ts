import assert from 'node:assert/strict'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { DiagLogLevel, diag } from '@opentelemetry/api'
import type { Page } from 'puppeteer-core'
import { Gateway } from '../../src/gateway/gateway.ts'
import type { StatusReport } from '../../src/gateway/operations/report.ts'
import { HOUR, MINUTE } from '../../src/ledger/hours.ts'
import { SqliteLedger } from '../../src/ledger/sqlite/ledger.ts'
import type { UsageOptions } from '../../src/usage/options.ts'
import { folder } from '../cli/support.ts'
import { encode, nanoseconds } from '../counters/otlp.ts'
import {
  complaintsOf,
  LOW_CONTRAST,
  loaded,
  open,
  picture,
  STICKING_OUT,
  shows,
  startBrowser,
  WIDTHS,
} from './operations/browser.ts'

const START = Date.UTC(2026, 5, 10, 12, 10)
const CUSTOMER = '200100100100'
const TOKENS = { unit: '{token}', from: 'vllm.tokens' } as const
const PROMPT = 'vllm:prompt_tokens_total'
const GENERATION = 'vllm:generation_tokens_total'
const TOKEN = 'a-token-of-some-length'

/** A real gateway on a clock that stands still until it is moved, and what it logs. */
class Fed {
  now = START
  readonly logged: string[] = []
  readonly ledger: SqliteLedger
  url = ''
  #values = new Map<string, number>()
  #passed = () => {}

  private constructor(ledger: SqliteLedger) {
    this.ledger = ledger
  }

  static async start(t: TestContext, dimensions: UsageOptions['dimensions'], senders?: string[]): Promise<Fed> {
    const fed = new Fed(new SqliteLedger({ path: join(folder(t), 'ledger.sqlite') }))
    const log = (level: string) => (message: string) => void fed.logged.push(`${level}: ${message}`)
    const logger = { error: log('error'), warn: log('warn'), info() {}, debug() {}, verbose() {} }
    diag.setLogger(logger, { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true })
    const { ledger } = fed
    const status = ledger.status.bind(ledger)
    ledger.status = async () => {
      fed.#passed()
      return status()
    }
    const gateway = await Gateway.start({
      ...{ ledger, region: 'us-east-1', productCode: 'prod', now: () => fed.now, http: { port: 0 } },
      ...(dimensions && { dimensions }),
      ...(senders && { senders: senders.map((name, index) => ({ name, token: `${TOKEN}-${index}` })) }),
      customer: () => ({ accountId: CUSTOMER }),
      client: {
        batchMeterUsage: async ({ UsageRecords }) => ({
          Results: UsageRecords.map(UsageRecord => ({ UsageRecord, Status: 'Success', MeteringRecordId: 'm' })),
          UnprocessedRecords: [],
        }),
      },
      wakeInterval: 10,
    })
    fed.url = `http://${gateway.addresses.http}`
    t.after(async () => {
      await gateway.close()
      await ledger.close()
      diag.disable()
    })
    return fed
  }

  /** Each of these counters has gone on by 10. */
  async send(names: readonly string[], attributes = {}, headers = {}): Promise<Response> {
    const time = nanoseconds(this.now)
    const points = names.map(name => {
      const value = (this.#values.get(name) ?? 0) + 10
      this.#values.set(name, value)
      const metric = { name, type: 'sum', temporality: 'cumulative' } as const
      const resource = { 'service.name': 'vllm', 'telemetry.sdk.language': 'python' }
      return { resource, scope: { name: 'app' }, metric, attributes, start: nanoseconds(START + 1), time, value }
    })
    return this.post(encode(points), headers)
  }

  post(body: string, headers = {}): Promise<Response> {
    const type = { 'content-type': 'application/json' }
    return fetch(`${this.url}/v1/metrics`, { method: 'POST', headers: { ...type, ...headers }, body })
  }

  /** Sends every minute for some time. */
  async goOn(minutes: number, names: readonly string[], attributes = {}): Promise<void> {
    for (let minute = 0; minute < minutes; minute++) {
      this.now += MINUTE
      await this.send(names, attributes)
    }
  }

  /** Until a metering pass has begun and ended by the clock as it is now. */
  async passes(): Promise<void> {
    for (let pass = 0; pass < 2; pass++) {
      await new Promise<void>(resolve => {
        this.#passed = resolve
      })
    }
  }

  async status(headers = {}): Promise<StatusReport> {
    const report = (await (await fetch(`${this.url}/status.json`, { headers })).json()) as StatusReport
    // It is read again for the next question.
    this.now += 30_000
    return report
  }

  async metrics(headers = {}): Promise<string> {
    return (await fetch(`${this.url}/metrics`, { headers })).text()
  }
}

/** What a real browser shows. */
async function onThePage(t: TestContext, { url }: Fed, look: (page: Page) => Promise<void>): Promise<void> {
  const browser = await startBrowser(t)
  if (browser === undefined) return
  for (const width of Object.values(WIDTHS)) {
    await t.test(`on a page of ${width} px`, async t => {
      const page = await open(t, browser, url, { width })
      await loaded(page)
      await look(page)
      assert.deepEqual(complaintsOf(page), [])
      assert.deepEqual(await page.evaluate(STICKING_OUT), [])
      assert.deepEqual(await page.evaluate(LOW_CONTRAST), [])
      await picture(page, `supply-${width}`)
    })
  }
}

const titleOf = async (fed: Fed) => (await fed.status()).headline.title
const GOOD = 'Everything that was measured is billed or on its way.'

test('when each rule was fed, and how much, by its metric', async t => {
  const fed = await Fed.start(t, { tokens: TOKENS })
  await fed.send([PROMPT])
  await fed.goOn(3, [PROMPT, GENERATION])
  fed.now += 20_000
  const { supply, headline } = await fed.status()
  assert.equal(headline.title, GOOD)
  assert.deepEqual(
    supply.sources.map(({ dimension, rule, metrics, points, lastAt }) => [
      dimension,
      rule,
      metrics.includes(PROMPT) ? PROMPT : metrics.includes(GENERATION) && GENERATION,
      points,
      lastAt,
    ]),
    [
      ['tokens', 'vllm.tokens', PROMPT, 4, '2026-06-10T12:13:00.000Z'],
      ['tokens', 'vllm.tokens', GENERATION, 3, '2026-06-10T12:13:00.000Z'],
    ],
  )
  const text = await fed.metrics()
  const labels = (metric: string) => `\\{.*dimension="tokens".*metric="${metric}".*source="vllm\\.tokens".*\\}`
  assert.match(text, new RegExp(`^marketplace_usage_fed_points_total${labels('vllm:prompt_tokens')} 4$`, 'm'))
  assert.match(text, new RegExp(`^marketplace_usage_last_fed_age_seconds${labels('vllm:prompt_tokens')} 50$`, 'm'))
})

test('a metric that a rule names and that never comes is told after an hour, with the nearest that did', async t => {
  const fed = await Fed.start(t, {
    tokens: { unit: '{token}', from: { metric: 'app.tokenz' } },
    calls: { unit: '{call}', from: { metric: 'app.calls' } },
  })
  await fed.goOn(59, ['app.tokens', 'app.calls', 'system.cpu.time'])
  assert.equal(await titleOf(fed), GOOD)
  await fed.passes()
  assert.deepEqual(fed.logged, [])
  await fed.goOn(1, ['app.tokens', 'app.calls'])
  await fed.passes()
  const { headline, supply } = await fed.status()
  assert.equal(headline.level, 'attention')
  assert.equal(headline.title, 'Nothing has come for dimensions.tokens.from of tokens since the start.')
  assert.match(
    headline.details[0] ?? '',
    /no point of app\.tokenz .* The nearest names .*: app\.tokens\. If the metric is/,
  )
  assert.deepEqual(supply.unnamed, ['app.tokens', 'system.cpu.time'])
  assert.equal(fed.logged.length, 1)
  assert.match(fed.logged[0] ?? '', /^warn: Nothing has come for dimensions\.tokens\.from .*app\.tokens\. If/)
  await fed.goOn(1, ['app.tokenz', 'app.calls'])
  assert.equal(await titleOf(fed), GOOD)
})

test('half of a preset that never comes is told too; where nobody uses anything, nothing is', async t => {
  const fed = await Fed.start(t, { tokens: TOKENS })
  fed.now += 2 * HOUR
  await fed.passes()
  assert.deepEqual([fed.logged, await titleOf(fed)], [[], 'Nothing has been measured yet.'])
  await fed.send([PROMPT])
  assert.match(await titleOf(fed), /^Nothing has come for vllm\.tokens of tokens since the start\.$/)
  await fed.send([GENERATION])
  assert.equal(await titleOf(fed), GOOD)
})

test('the default dimensions, which nobody has named, need not all be fed', async t => {
  const fed = await Fed.start(t, undefined)
  await fed.goOn(70, ['marketplace.inference.requests'])
  assert.equal(await titleOf(fed), GOOD)
})

test('a metric that came and comes no more is told, with the names that come instead', async t => {
  const fed = await Fed.start(t, { tokens: TOKENS })
  await fed.goOn(15, [PROMPT, GENERATION])
  await fed.goOn(59, [PROMPT, 'vllm:generations_tokens_total'])
  assert.equal(await titleOf(fed), GOOD)
  await fed.goOn(1, [PROMPT, 'vllm:generations_tokens_total'])
  const { headline } = await fed.status()
  assert.match(headline.title, /^Nothing comes any more for vllm\.tokens of tokens: the last came 6[01] min ago\.$/)
  assert.match(
    headline.details[0] ?? '',
    /fed by vllm:generation_tokens, .*15 data points, the last 6[01] min ago\. Metrics with like names still come, .*: vllm:generations_tokens_total\./,
  )
  await fed.passes()
  assert.equal(fed.logged.length, 1)
  // Within the day it is not said again.
  await fed.goOn(70, [PROMPT])
  await fed.passes()
  assert.equal(fed.logged.length, 1)
})

test('a night in which nothing comes is silent, a day of it is told', async t => {
  const fed = await Fed.start(t, { tokens: TOKENS })
  await fed.goOn(30, [PROMPT, GENERATION])
  fed.now += 14 * HOUR
  await fed.passes()
  assert.doesNotMatch((await fed.status()).headline.details.join(), /come/)
  fed.now += 10 * HOUR
  await fed.passes()
  const { details } = (await fed.status()).headline
  assert.match(details.join('\n'), /What nobody sends is not billed\./)
  assert.match(details.join('\n'), /60 data points of anyone came, the last 24 h ago\./)
})

test('points whose attributes no rule takes are counted, and told where none is taken', async t => {
  const fed = await Fed.start(t, {
    premium: { unit: '{request}', from: { metric: 'app.requests', attributes: { tier: 'premium', error: null } } },
    input: { unit: '{token}', from: { metric: 'app.tokens', attributes: { type: 'input' } } },
  })
  const minute = async () => {
    await fed.goOn(1, ['app.requests'], { tier: 'Premium', secret: 'x' })
    await fed.send(['app.tokens'], { type: 'input' })
    await fed.send(['app.tokens'], { type: 'output' })
  }
  await minute()
  const { supply } = await fed.status()
  assert.deepEqual(supply.unmatched, [
    { metric: 'app.requests', points: 1 },
    { metric: 'app.tokens', points: 1 },
  ])
  for (let minutes = 0; minutes < 60; minutes++) await minute()
  await fed.passes()
  const { headline } = await fed.status()
  assert.deepEqual([headline.level, headline.title], ['attention', 'No rule takes what comes of app.requests.'])
  assert.equal(headline.details.length, 1)
  assert.match(
    headline.details[0] ?? '',
    /61 data points .*: tier is "Premium" \(asked for: "premium"\)\. They are not/,
  )
  assert.equal(fed.logged.length, 1)
  assert.match(fed.logged[0] ?? '', /^warn: No rule takes what comes of app\.requests\. /)
  assert.doesNotMatch(fed.logged[0] ?? '', /secret/)
  assert.match(await fed.metrics(), /^marketplace_usage_unmatched_points_total\{.*metric="app\.requests".*\} 61$/m)
})

test('refused requests and nothing measured: the page says so, the log once an hour for each kind', async t => {
  const fed = await Fed.start(t, { tokens: TOKENS })
  for (let request = 0; request < 40; request++) assert.equal((await fed.post('{')).status, 400)
  for (let request = 0; request < 3; request++)
    assert.equal((await fed.post('x', { 'content-type': 'text/plain' })).status, 415)
  const { headline, supply } = await fed.status()
  assert.deepEqual([headline.level, headline.title], ['attention', '43 requests were refused.'])
  assert.match(
    headline.details[0] ?? '',
    /^Refused since 10 Jun, 12:10: 40 requests of .* over http \((400|INVALID_ARGUMENT)\), the last/,
  )
  assert.deepEqual(
    supply.refused.map(({ transport, requests }) => [transport, requests]),
    [
      ['http', 40],
      ['http', 3],
    ],
  )
  assert.equal(fed.logged.length, 2)
  assert.match(fed.logged[0] ?? '', /^warn: Refused: 1 request over http \(.*\)\. It was told: .*\. Mend what sends it/)
  fed.now += HOUR
  await fed.passes()
  assert.equal(fed.logged.length, 4)
  assert.match(fed.logged[2] ?? '', /^warn: Refused: 39 requests over http \(.*\)\. 40 since 2026-06-10T12:10/)
  await onThePage(t, fed, async page => {
    await shows(page, '#sources', /tokens\s.*vllm\.tokens\s.*vllm:prompt_tokens or \d+ other names\s.*0\s.*never/s)
    await shows(page, '#refused', /unknown\s.*http\s.*(400|INVALID_ARGUMENT)\s.*40\s/s)
  })
  // Where nothing is measured they stay in the first sentence for a day, and then beside it.
  assert.equal(await titleOf(fed), '43 requests were refused.')
  fed.now += 24 * HOUR
  await fed.passes()
  const later = (await fed.status()).headline
  assert.notEqual(later.title, '43 requests were refused.')
  await fed.send([PROMPT, GENERATION])
  assert.equal(await titleOf(fed), GOOD)
  await fed.post('{')
  assert.equal(await titleOf(fed), '41 requests were refused.')
  fed.now += HOUR
  await fed.passes()
  assert.equal(await titleOf(fed), GOOD)
})

test('logins that fail are told every minute, and who sends is told by name', async t => {
  const fed = await Fed.start(t, { tokens: TOKENS }, ['chat', 'batch'])
  const as = (index: number) => ({ authorization: `Bearer ${TOKEN}-${index}` })
  for (let request = 0; request < 9; request++) assert.equal((await fed.send([PROMPT], {}, as(7))).status, 401)
  assert.equal(fed.logged.length, 1)
  fed.now += MINUTE
  await fed.passes()
  assert.equal(fed.logged.length, 2)
  assert.match(fed.logged[1] ?? '', /^warn: Refused: 8 requests over http \(.*\)\. 9 since .*Give the sender a token/)
  await fed.send([PROMPT, GENERATION], {}, as(1))
  fed.now += 5000
  const text = await fed.metrics(as(0))
  assert.match(text, /^marketplace_gateway_received_points_total\{.*sender="batch".*\} 2$/m)
  assert.match(text, /^marketplace_gateway_last_received_age_seconds\{.*sender="batch".*\} 5$/m)
  assert.match(text, /^marketplace_gateway_refused_total\{.*code="(401|UNAUTHENTICATED)".*transport="http".*\} 9$/m)
  const { supply } = await fed.status(as(0))
  assert.deepEqual(supply.senders, [
    { name: 'batch', points: 2, lastAt: '2026-06-10T12:11:00.000Z', customers: 1, series: 2 },
  ])
})

test('points that cannot be billed are in the first sentence for a day', async t => {
  const fed = await Fed.start(t, { tokens: TOKENS })
  await fed.send([PROMPT, GENERATION])
  const point = { attributes: [], timeUnixNano: String(nanoseconds(fed.now)), asDouble: 'NaN' }
  const sum = { aggregationTemporality: 1, isMonotonic: true, dataPoints: [point] }
  const metrics = [{ name: PROMPT, sum }]
  await fed.post(JSON.stringify({ resourceMetrics: [{ resource: {}, scopeMetrics: [{ scope: {}, metrics }] }] }))
  const { headline } = await fed.status()
  assert.equal(headline.title, `Not all: 1 data point of ${PROMPT} cannot be billed.`)
  assert.match(headline.details[0] ?? '', /not a finite number.*1 data point since 10 Jun, 12:10, the last/)
})
