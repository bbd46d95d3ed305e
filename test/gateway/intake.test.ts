import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Attributes } from '@opentelemetry/api'
import { Intake } from '../../src/gateway/intake.ts'
import type { OtlpMetric, OtlpPoint, OtlpRequest } from '../../src/gateway/otlp/metrics.ts'
import { ANYONE } from '../../src/gateway/otlp/senders.ts'
import { UnavailableError } from '../../src/gateway/otlp/sink.ts'
import { read } from '../../src/gateway/reading.ts'
import { LedgerError } from '../../src/ledger/errors.ts'
import { HOUR, MINUTE, SECOND } from '../../src/ledger/hours.ts'
import type { Ledger, UsageBatch } from '../../src/ledger/ledger.ts'
import { SqliteLedger } from '../../src/ledger/sqlite/ledger.ts'
import { formatAmount } from '../../src/usage/amount.ts'
import { UsageMapper } from '../../src/usage/mapper.ts'
import type { DimensionOptions, UsageOptions } from '../../src/usage/options.ts'
import { TemporaryFolder } from '../ledger/sqlite-under-test.ts'

const START = Date.UTC(2026, 2, 10)
const ALICE = { 'marketplace.customer.account_id': '111111111111' }
const BOB = { 'marketplace.customer.account_id': '222222222222' }

const DIMENSIONS: Record<string, DimensionOptions> = {
  tokens: { unit: '{token}', from: [{ metric: ['tokens', 'tokens_hist'] }] },
  requests: { unit: '{request}', from: { metric: 'tokens_hist', value: 'count' } },
  prompts: { unit: '{token}', from: { metric: 'prompts' } },
  'prompts-again': { unit: '{token}', from: { metric: 'prompts' } },
  egress: { unit: 'GBy', from: { metric: 'egress', unit: 'By' } },
  gpu: {
    unit: 'h',
    from: [
      { metric: 'gpus', value: 'integral' },
      { metric: 'busy', value: 'integral', unit: '%' },
    ],
    additive: true,
  },
}

/** An intake into a ledger of its own, and what it comes to. */
class Desk implements AsyncDisposable {
  readonly #folder = new TemporaryFolder()
  readonly file = new SqliteLedger({ path: this.#folder.file() })
  readonly mapper = new UsageMapper({ productCode: 'prod-1', dimensions: DIMENSIONS }, { gauges: true })
  now = START
  readonly batches: UsageBatch[] = []
  /** What a ledger does with a batch that it cannot take. */
  before: (batch: UsageBatch) => void = () => {}
  failToFeed = false
  /** Whether what is acknowledged is gone soon after, with a failover. */
  losing = false
  fault: (() => void) | undefined
  readonly faults: unknown[] = []
  readonly feeds: string[][] = []
  readonly ledger: Ledger = new Proxy<Ledger>(this.file, {
    get: (_, name: keyof Ledger) => {
      const member = this.file[name]
      if (name !== 'append') return typeof member === 'function' ? member.bind(this.file) : member
      return async (batch: UsageBatch) => {
        this.batches.push(batch)
        this.before(batch)
        if (this.losing) return
        await this.file.append(batch)
        this.fault?.()
      }
    },
  })
  readonly intake = new Intake({
    ...{ mapper: this.mapper, ledger: this.ledger, now: () => this.now },
    ...{ report: () => {}, accepted: () => {} },
    fault: error => this.faults.push(error),
    feeds: async (sender, customers) => {
      if (this.failToFeed) throw new LedgerError('ERR_LEDGER_BUSY', 'locked')
      this.feeds.push([sender.name, ...customers.map(({ key }) => key)])
      return new Map()
    },
  })

  static async open(): Promise<Desk> {
    const desk = new Desk()
    await desk.file.register(desk.mapper.dimensions, { product: 'prod-1', now: START, metrics: desk.mapper.sources })
    return desk
  }

  async take(...metrics: OtlpMetric[]): Promise<string> {
    const { rejectedDataPoints, message } = await this.intake.accept(request(metrics), ANYONE)
    return message === '' ? '' : `${rejectedDataPoints} rejected: ${message}`
  }

  async recorded(): Promise<Record<string, string>> {
    const lines = await this.file.statement()
    return Object.fromEntries(
      lines
        .filter(line => line.recorded > 0n)
        .map(({ account, dimension, recorded }) => {
          const who = account.kind === 'customer' ? account.accountId : account.reason
          return [`${who} ${dimension.name}`, formatAmount(recorded)]
        }),
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.file.close()
    this.#folder[Symbol.dispose]()
  }
}

function request(metrics: OtlpMetric[], scope = 'app', resource: Attributes = {}): OtlpRequest {
  return { resourceMetrics: [{ resource, scopes: [{ name: scope, version: '1', attributes: {}, metrics }] }] }
}

function point(second: number, sum: OtlpPoint['sum'], rest: Partial<OtlpPoint> & { from?: number } = {}): OtlpPoint {
  const { from = 1, ...more } = rest
  const nanoseconds = (second: number) => BigInt(START + second * SECOND) * 1_000_000n
  return {
    ...{ attributes: ALICE, startTime: nanoseconds(from), time: nanoseconds(second), sum, count: undefined },
    ...{ noRecordedValue: false, ...more },
  }
}

function metric(name: string, points: OtlpPoint[], rest: Partial<OtlpMetric> = {}): OtlpMetric {
  return { name, unit: '{token}', type: 'sum', temporality: 'cumulative', monotonic: true, points, ...rest }
}

test('a cumulative counter counts each unit once, for each set of attributes by itself', async () => {
  await using desk = await Desk.open()
  await desk.take(
    metric('tokens', [
      point(60, 5n),
      point(60, 7n, { attributes: { ...ALICE, model: 'a' } }),
      point(60, 1n, { attributes: BOB }),
    ]),
  )
  await desk.take(metric('tokens', [point(120, 8n), point(120, 7n, { attributes: { model: 'a', ...ALICE } })]))
  await desk.take(metric('tokens', [point(60, 5n), point(120, 8n)]))
  assert.deepEqual(await desk.recorded(), { '111111111111 tokens': '15', '222222222222 tokens': '1' })
})

test('what tells counters apart: resource, scope, name, unit, type and temporality', async () => {
  await using desk = await Desk.open()
  const five = [point(60, 5n)]
  const requests = [
    request([metric('tokens', five)], 'app', { host: 'a' }),
    request([metric('tokens', five)], 'other scope'),
    request([metric('tokens', [point(61, 5n)])], 'app', { host: 'b' }),
    request([metric('tokens', [point(62, 5n, { from: 2 })], { unit: '1' })]),
    request([metric('tokens', five, { temporality: 'delta' })]),
    request([metric('tokens', five, { type: 'histogram' })]),
  ]
  for (const one of [...requests, ...requests]) await desk.intake.accept(one, ANYONE)
  // Of two hosts with one start each has to speak after the other has.
  await desk.intake.accept(request([metric('tokens', [point(120, 5n)])], 'app', { host: 'a' }), ANYONE)
  await desk.intake.accept(request([metric('tokens', [point(121, 5n)])], 'app', { host: 'b' }), ANYONE)
  assert.deepEqual(await desk.recorded(), { '111111111111 tokens': '30' })
})

test('a histogram may feed one dimension with its sum and another with its count', async () => {
  await using desk = await Desk.open()
  const histogram = (second: number, sum: number, count: bigint) =>
    metric('tokens_hist', [point(second, sum, { count })], { type: 'exponential-histogram' })
  await desk.take(histogram(60, 100.5, 3n))
  await desk.take(histogram(120, 150.75, 4n))
  await desk.take(histogram(60, 100.5, 3n))
  assert.deepEqual(await desk.recorded(), { '111111111111 requests': '4', '111111111111 tokens': '150.75' })
})

test('a counter that begins with 0 has begun', async () => {
  await using desk = await Desk.open()
  await desk.take(metric('tokens', [point(60, 0n)]))
  await desk.take(metric('tokens', [point(3600, 9n)]))
  assert.deepEqual(await desk.recorded(), { '111111111111 tokens': '9' })
})

test('what the Prometheus receiver says of starts is not trusted', async () => {
  await using desk = await Desk.open()
  const scraped = (second: number, sum: number, from: number) =>
    desk.intake.accept(
      request(
        [metric('tokens', [point(second, sum, { from })])],
        'github.com/open-telemetry/opentelemetry-collector-contrib/receiver/prometheusreceiver',
      ),
      ANYONE,
    )
  await scraped(60, 1000, 60)
  await scraped(120, 1010, 60)
  // The Collector is new, and its first point did not arrive.
  await scraped(300, 1015, 240)
  assert.deepEqual(await desk.recorded(), { '111111111111 tokens': '15' })
})

test("a scraper's version is no part of a counter", async () => {
  await using desk = await Desk.open()
  const scraped = (version: string, second: number, sum: number) => {
    const scope = 'github.com/open-telemetry/opentelemetry-collector-contrib/receiver/prometheusreceiver'
    const metrics = [metric('tokens', [point(second, sum, { startTime: 0n })])]
    const scopes = [{ name: scope, version, attributes: {}, metrics }]
    return desk.intake.accept({ resourceMetrics: [{ resource: {}, scopes }] }, ANYONE)
  }
  await scraped('0.159.0', 60, 100)
  await scraped('0.160.0', 120, 130)
  await scraped('0.159.0', 120, 130)
  assert.deepEqual(await desk.recorded(), { '111111111111 tokens': '30' })
})

test('a start that is the time of the first point is real where an SDK says so', async () => {
  await using desk = await Desk.open()
  const counted = async (resource: Attributes) => {
    await desk.intake.accept(request([metric('tokens', [point(60, 5n, { from: 60 })])], 'app', resource), ANYONE)
    await desk.intake.accept(request([metric('tokens', [point(120, 7n, { from: 60 })])], 'app', resource), ANYONE)
    return (await desk.recorded())['111111111111 tokens']
  }
  assert.equal(await counted({ 'telemetry.sdk.language': 'nodejs' }), '7')
  // Who else says so has it from a Collector, whatever start comes after it.
  assert.equal(await counted({ host: 'a' }), '9')
})

test('a level ends where its series does', async () => {
  await using desk = await Desk.open()
  const gauge = (second: number, level: number, noRecordedValue = false) =>
    metric('gpus', [point(second, level, { noRecordedValue })], {
      ...{ type: 'gauge', temporality: 'unspecified', monotonic: false, unit: '{gpu}' },
    })
  await desk.take(gauge(0, 2))
  assert.equal(await desk.take(gauge(30, Number.NaN, true)), '')
  await desk.take(gauge(120, 2))
  assert.deepEqual(await desk.recorded(), { '111111111111 gpu': '60' })
})

test('levels become time, those in percent as well', async () => {
  await using desk = await Desk.open()
  const gauge = (name: string, second: number, level: number, unit: string) =>
    metric(name, [point(second, level)], { type: 'gauge', temporality: 'unspecified', monotonic: false, unit })
  await desk.take(gauge('gpus', 0, 2, '{gpu}'), gauge('busy', 0, 50, ''))
  await desk.take(gauge('gpus', 60, 1, '{gpu}'), gauge('busy', 60, 50, ''))
  assert.deepEqual(await desk.recorded(), { '111111111111 gpu': '150' })
  desk.now = START + 1000 * SECOND
  await desk.take(gauge('gpus', 1000, 2, '{gpu}'))
  // Late points may still fill the silence.
  assert.deepEqual((await desk.file.status()).waiting, [{ dimension: 'gpu', amount: 300_000_000n }])
  await desk.file.closeHours({ now: START + 2 * HOUR, region: 'us-east-1', closeDelay: 0, deadlineMargin: 0 })
  assert.deepEqual(await desk.recorded(), { '111111111111 gpu': '450' })
  assert.deepEqual((await desk.file.status()).notCounted, { gap: 1 })
})

test('what cannot be billed is rejected with the reason, and everything else is metered', async () => {
  await using desk = await Desk.open()
  const said = await desk.take(
    metric('tokens', [
      point(60, Number.NaN),
      point(60, Number.POSITIVE_INFINITY, { attributes: { ...ALICE, n: 1 } }),
      point(60, -1n, { attributes: { ...ALICE, n: 2 } }),
      point(60, 3n, { attributes: { ...ALICE, n: 3 }, noRecordedValue: true }),
      point(60, 4n, { attributes: { ...ALICE, n: 4 }, time: 0n }),
      point(60, undefined, { attributes: { ...ALICE, n: 5 } }),
      point(60, 5n, { attributes: { ...ALICE, n: 6 } }),
    ]),
    metric('tokens', [point(60, 1n)], { temporality: 'unspecified' }),
    metric('tokens', [point(60, 1n)], { monotonic: false }),
    metric('tokens', [point(60, 1n)], { type: 'gauge', temporality: 'unspecified', monotonic: false }),
    metric('tokens', [point(60, 1n)], { type: 'summary', temporality: 'unspecified', monotonic: false }),
    metric('gpus', [point(60, 1n)], { unit: '1' }),
    metric('something else', [point(60, 1n)]),
  )
  assert.match(said, /^10 rejected: /)
  assert.match(said, /not a finite number.*below zero.*without a time.*without a sum/s)
  assert.match(said, /does not say whether it is cumulative.*gauge or an up-down counter.*is not a gauge/s)
  assert.deepEqual(await desk.recorded(), { '111111111111 tokens': '5' })
})

test('usage of nobody is accepted with a warning', async () => {
  await using desk = await Desk.open()
  const said = await desk.take(metric('tokens', [point(60, 5n, { attributes: { tenant: 'x' } })]))
  assert.match(said, /^0 rejected: There is usage without a customer/)
  assert.deepEqual(await desk.recorded(), { 'no-customer tokens': '5' })
})

test('while the ledger fails, senders are told to come back, and what comes again counts once', async () => {
  await using desk = await Desk.open()
  const first = [metric('tokens', [point(60, 5n)]), metric('tokens', [point(60, 2n)], { temporality: 'delta' })]
  desk.fault = () => {
    throw new LedgerError('ERR_LEDGER_IO', 'the disk is gone')
  }
  // The first append is durable all the same: only its answer is lost.
  await assert.rejects(desk.take(...first), error => error instanceof UnavailableError && error.retryAfterSeconds > 0)
  await assert.rejects(desk.take(...first), UnavailableError)
  desk.fault = undefined
  await desk.take(...first)
  await desk.take(metric('tokens', [point(120, 9n)]))
  assert.deepEqual(await desk.recorded(), { '111111111111 tokens': '11' })
})

test('a point that the ledger has no room for is refused by itself, and is in no other’s way', async () => {
  await using desk = await Desk.open()
  // As a value does that no column has room for.
  const poisoned = (batch: UsageBatch) => batch.observations?.some(({ value }) => value === 13_000_000n)
  desk.before = batch => {
    if (poisoned(batch)) throw new LedgerError('ERR_LEDGER_INVALID', 'a value does not fit')
  }
  const of = (model: string, value: bigint) => point(60, value, { attributes: { ...ALICE, model } })
  const answers = await Promise.all([
    desk.take(metric('tokens', [point(60, 1n, { attributes: BOB })])),
    desk.take(metric('tokens', [of('a', 2n), of('b', 13n), of('c', 4n), of('d', 8n)])),
    desk.take(metric('tokens', [point(60, 16n, { attributes: { ...BOB, model: 'e' } })])),
  ])
  assert.deepEqual(answers, [
    '',
    '1 rejected: tokens has a point that the ledger has no room for: a value does not fit',
    '',
  ])
  assert.deepEqual(await desk.recorded(), { '111111111111 tokens': '14', '222222222222 tokens': '17' })
  assert.deepEqual(desk.faults, [])
})

test('a fault with one series keeps nothing of others out, and its sender comes back', async () => {
  await using desk = await Desk.open()
  desk.before = batch => {
    if (batch.observations?.some(({ value }) => value === 13_000_000n)) {
      throw new LedgerError('ERR_LEDGER_EQUATION', 'a series does not add up')
    }
  }
  const broken = metric('tokens', [point(60, 13n), point(60, 4n, { attributes: { ...ALICE, model: 'a' } })])
  const [good, bad] = await Promise.allSettled([
    desk.take(metric('tokens', [point(60, 1n, { attributes: BOB })])),
    desk.take(broken),
  ])
  assert.equal(good?.status, 'fulfilled')
  assert.ok(bad?.status === 'rejected' && bad.reason instanceof UnavailableError)
  assert.equal((desk.faults[0] as LedgerError).code, 'ERR_LEDGER_EQUATION')
  assert.deepEqual(await desk.recorded(), { '111111111111 tokens': '4', '222222222222 tokens': '1' })
  desk.before = () => {}
  await desk.take(broken)
  assert.deepEqual(await desk.recorded(), { '111111111111 tokens': '17', '222222222222 tokens': '1' })
})

test('whom a sender feeds is written down before its usage is, each customer once a day', async () => {
  await using desk = await Desk.open()
  await desk.take(metric('tokens', [point(60, 5n), point(60, 1n, { attributes: BOB })]))
  await desk.take(metric('tokens', [point(120, 6n)]))
  assert.deepEqual(desk.feeds, [['anyone', 'prod-1,111111111111', 'prod-1,222222222222']])
  desk.now += 24 * HOUR
  desk.failToFeed = true
  const later = metric('tokens', [point(24 * 3600, 7n)])
  await assert.rejects(desk.take(later), UnavailableError)
  assert.deepEqual(await desk.recorded(), { '111111111111 tokens': '6', '222222222222 tokens': '1' })
  desk.failToFeed = false
  await desk.take(later)
  assert.deepEqual(desk.feeds.slice(1), [['anyone', 'prod-1,111111111111']])
  assert.deepEqual(await desk.recorded(), { '111111111111 tokens': '7', '222222222222 tokens': '1' })
})

test('after a fault of the ledger that follows a success, each batch has its own points under a key of its own', async () => {
  await using desk = await Desk.open()
  await desk.take(metric('tokens', [point(60, 5n)]))
  desk.fault = () => {
    throw new LedgerError('ERR_LEDGER_IO', 'the disk is gone')
  }
  await assert.rejects(desk.take(metric('tokens', [point(120, 7n)])), UnavailableError)
  desk.fault = undefined
  await desk.take(metric('tokens', [point(120, 7n)]))
  await desk.take(metric('tokens', [point(180, 9n)]))
  assert.deepEqual(await desk.recorded(), { '111111111111 tokens': '9' })
  assert.deepEqual(
    desk.batches.map(({ sequence, observations }) => [sequence, observations?.length]),
    [
      [1, 1],
      [2, 1],
      [1, 1],
      [2, 1],
    ],
  )
})

test('a metric that feeds two dimensions feeds each with all of it', async () => {
  await using desk = await Desk.open()
  // As a decoder gives attributes that it has seen before.
  const attributes = Object.freeze({ ...ALICE })
  for (const [second, count] of [
    [60, 5n],
    [120, 8n],
  ] as const) {
    await desk.take(metric('prompts', [point(second, count, { attributes })]))
  }
  assert.deepEqual(await desk.recorded(), { '111111111111 prompts': '8', '111111111111 prompts-again': '8' })
})

test('what comes while a batch is being written goes into the next, all of it in one', async () => {
  await using desk = await Desk.open()
  const requests = Array.from({ length: 20 }, (_, n) =>
    metric('tokens', [point(60, 1n, { attributes: { ...ALICE, n } })]),
  )
  await Promise.all(requests.map(one => desk.take(one)))
  assert.deepEqual(await desk.recorded(), { '111111111111 tokens': '20' })
  assert.ok(desk.batches.length <= 2, `${desk.batches.length} batches`)
})

test('counters of bytes are exact as far as 64 bits go, and a value that is none is in the way of nothing', async () => {
  await using desk = await Desk.open()
  const egress = (second: number, sum: number | bigint, temporality: 'cumulative' | 'delta' = 'cumulative') =>
    desk.take(metric('egress', [point(second, sum), point(second, 5n, { attributes: BOB })], { temporality }))
  for (const [minute, sum] of [4_611_000_000_000n, 4_700_000_000_000n, 10n ** 18n, 2n ** 62n + 1n].entries()) {
    assert.equal(await egress(60 * (minute + 1), sum), '')
  }
  assert.match(
    await egress(300, 1e300),
    /^1 rejected: egress has a point above what is measured of By, which cannot be/,
  )
  assert.equal(await egress(360, 2n ** 63n - 2n), '')
  for (const second of [420, 480]) assert.equal(await egress(second, 2n ** 62n, 'delta'), '')
  assert.deepEqual(await desk.recorded(), {
    '111111111111 egress': String(2n ** 63n - 2n + 2n ** 63n),
    '222222222222 egress': '15',
  })
})

test('a time that no clock shows is refused, as is the start of a total, and neither is in the way of other points', async () => {
  await using desk = await Desk.open()
  const never = 2n ** 63n - 1n
  const year2200 = BigInt(Date.UTC(2200, 0)) * 1_000_000n
  for (const temporality of ['delta', 'cumulative'] as const) {
    for (const time of [never, year2200]) {
      const good = point(60, 5n, { attributes: { ...ALICE, time: String(time), temporality } })
      const said = await desk.take(metric('tokens', [point(60, 7n, { time }), good], { temporality }))
      assert.match(said, /^1 rejected: tokens has a point without a time, or of one that no clock shows/)
    }
    const started = point(60, 1n, { startTime: year2200, attributes: { ...BOB, temporality } })
    const said = await desk.take(metric('tokens', [started], { temporality }))
    if (temporality === 'delta') assert.match(said, /^0 rejected: tokens has a point whose start is after its time/)
    else assert.match(said, /^1 rejected: tokens has a point without a time, or of one that no clock shows/)
  }
  assert.deepEqual(await desk.recorded(), { '111111111111 tokens': '20', '222222222222 tokens': '1' })
})

test('what is remembered of a name is short, however much it says, and names that differ in it differ', async () => {
  await using desk = await Desk.open()
  const streamOf = (resource: Attributes) =>
    read(desk.mapper, request([metric('tokens', [point(60, 5n)])], 'app', resource), START + HOUR).observations[0]
      ?.stream
  const long = (text: string) => streamOf({ 'service.name': text.repeat(100_000), pod: 'a' })
  const many = (text: string) =>
    streamOf(Object.fromEntries(Array.from({ length: 5000 }, (_, n) => [`label.${n}`, text])))
  for (const named of [long, many]) {
    const [one, other] = [named('a'), named('b')]
    assert.ok((one?.attributes.length ?? 0) < 11_000)
    assert.notEqual(one?.attributes, other?.attributes)
    assert.deepEqual(named('a'), one)
  }
  assert.equal(JSON.parse(long('a')?.attributes ?? '')['resource pod'], 'a')
})

test('reading says what each point would come to, and changes nothing', async () => {
  await using desk = await Desk.open()
  const reading = read(
    desk.mapper,
    request([metric('tokens', [point(60, 5n)]), metric('other', [point(60, 1n)])]),
    START + HOUR,
  )
  assert.deepEqual(
    reading.observations.map(({ counter, series, stream, account, ...rest }) => rest),
    [
      {
        kind: 'cumulative',
        dimension: 'tokens',
        start: (START + SECOND) * 1000,
        time: (START + MINUTE) * 1000,
        receivedAt: START + HOUR,
        value: 5_000_000n,
      },
    ],
  )
  assert.deepEqual(
    reading.reports.map(({ points, ignored }) => ({ points, ignored })),
    [{ points: 2, ignored: 1 }],
  )
  assert.deepEqual(await desk.recorded(), {})
})

const LICENCE = {
  'marketplace.customer.license_arn': `arn:aws:license-manager::555555555555:license:l-${'0'.repeat(32)}`,
}
const [CODE, LABEL] = [{ productCode: 'prod-1' }, { product: 'label' }]
const WHEN_THE_LICENCE_COMES = ['before', 'with it', 'later'] as const

for (const [what, scope, resource, from] of [
  ['of an SDK', 'app', { 'telemetry.sdk.language': 'go' }, 1],
  ['that is scraped, with its start', 'x/prometheusreceiver', {}, 1],
  ['without a start', 'app', {}, undefined],
] as const) {
  for (const [change, before, after] of [
    ['a product beside the code', CODE, { ...CODE, ...LABEL }],
    ['a code beside the product', LABEL, { ...CODE, ...LABEL }],
    ['no code any more', { ...CODE, ...LABEL }, LABEL],
    ['a product instead of the code', CODE, LABEL],
    ['another label', { product: 'name' }, LABEL],
  ] as const) {
    test(`a counter ${what} goes on, whenever its licence comes: ${change}`, async () => {
      for (const comes of WHEN_THE_LICENCE_COMES) {
        using folder = new TemporaryFolder()
        const ledger = new SqliteLedger({ path: folder.file() })
        let [sequence, total] = [0, 0n]
        const phase = async (
          identity: { productCode?: string; product?: string },
          begins: number,
          licensed: boolean,
        ) => {
          const mapper = new UsageMapper({ ...identity, dimensions: DIMENSIONS } as UsageOptions, { gauges: true })
          for (const product of mapper.products) {
            const now = START + begins * SECOND
            await ledger.register(mapper.dimensions, { product, now, metrics: mapper.sources })
          }
          for (let second = begins + 5; second < begins + 300; second += 60) {
            sequence += 1
            total += 10n
            const attributes = comes === 'before' ? { ...ALICE, ...LICENCE } : ALICE
            const one = point(second, total, from === undefined ? { attributes, startTime: 0n } : { attributes, from })
            const its = { ...resource, 'service.name': 'a', 'service.instance.id': 'i-1', ...(licensed && LICENCE) }
            const { observations } = read(
              mapper,
              request([metric('tokens', [one])], scope, its),
              START + second * SECOND,
            )
            await ledger.append({ writer: 'a'.repeat(32), sequence, entries: [], observations })
          }
        }
        await phase(before, 0, false)
        await phase(after, 300, comes === 'with it')
        await phase(after, 600, comes !== 'before')
        const recorded = (await ledger.statement()).reduce((sum, line) => sum + line.recorded, 0n)
        const { waiting } = await ledger.status()
        // Of one without a start the first value is a baseline.
        assert.deepEqual([comes, formatAmount(recorded), waiting], [comes, from === undefined ? '140' : '150', []])
        await ledger.close()
      }
    })
  }
}

test('what a ledger has lost is brought in again: with the next points, or when it is looked at', async () => {
  await using desk = await Desk.open()
  const deltas = (second: number, sum: bigint) =>
    desk.take(metric('tokens', [point(second, sum, { from: second - 60 })], { temporality: 'delta' }))
  const lose = async (second: number, sum: bigint) => {
    desk.losing = true
    await deltas(second, sum)
    desk.losing = false
  }
  await deltas(60, 1n)
  await lose(120, 20n)
  await deltas(180, 300n)
  assert.deepEqual(await desk.recorded(), { '111111111111 tokens': '321' })
  await lose(240, 4000n)
  await desk.intake.look()
  await desk.intake.look()
  assert.deepEqual(await desk.recorded(), { '111111111111 tokens': '4321' })
  // Some of what was lost is no longer here.
  desk.losing = true
  for (let n = 1; n <= 257; n += 1) await deltas(240 + n, 1n)
  desk.losing = false
  await deltas(600, 10_000n)
  assert.deepEqual(await desk.recorded(), { '111111111111 tokens': '14577' })
  const notes = await desk.file.audit({ actions: ['lost'] })
  assert.deepEqual(
    notes.map(({ detail }) => detail?.replace(/writer \S+ /, '')),
    [
      'has brought in again 256 of the 257 batches that it missed from 5 on',
      'misses its batches from 5 on, 257 in all; 256 of them were kept and are brought in again',
      'has brought in again 1 of the 1 batches that it missed from 4 on',
      'misses its batches from 4 on, 1 in all; 1 of them were kept and are brought in again',
      'has brought in again 1 of the 1 batches that it missed from 2 on',
      'misses its batches from 2 on, 1 in all; 1 of them were kept and are brought in again',
    ],
  )
})
