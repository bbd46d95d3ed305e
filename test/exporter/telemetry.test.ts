import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { MeterProvider } from '@opentelemetry/api'
import { type AWSMarketplaceMetricExporterOptions, LedgerError, type UsageBatch } from '../../src/index.ts'
import { decideEndpoint } from '../../src/metering/endpoints.ts'
import { Reporter } from '../../src/metering/reporter.ts'
import {
  ACCOUNT,
  counted,
  customer,
  exportTo,
  HOUR,
  LICENCE,
  M,
  MINUTE,
  measure,
  metricsOf,
  OTHER_ACCOUNT,
  other,
  override,
  PRODUCT,
  SDKS,
  SUCCESS,
  saidDuring,
  telemetry,
  tokens,
  world,
} from './support.ts'

/** Metrics whose name begins so, without the exporter's own name, which counts up from test to test. */
function named(metrics: Record<string, number>, prefix: string): Record<string, number> {
  const entries = Object.entries(metrics).filter(([name]) => name.startsWith(prefix))
  return Object.fromEntries(
    entries.map(([name, value]) => [
      name
        .replace(/ otel\.component\.name=\S+/, '')
        .slice(prefix.length)
        .trim(),
      value,
    ]),
  )
}

const TWO: Partial<AWSMarketplaceMetricExporterOptions> = {
  dimensions: {
    tokens: { unit: '{token}', maxQuantity: 100, from: [{ metric: 'a' }, { metric: 'b' }] },
    calls: { unit: '{call}', from: { metric: 'calls', value: 'sum' } },
  },
}

test('that this process would send elsewhere than its ledger’s records go is an error and a metric', async t => {
  const { meterProvider, read } = telemetry(t)
  const { exporter, clock, ledger, line } = world(t, { meterProvider })
  await ledger.note({ action: 'endpoint', who: 'metering', why: 'a test', detail: 'eu-west-1 aws', now: clock.now })
  assert.deepEqual(await exportTo(exporter, tokens(5)), SUCCESS)
  clock.now += HOUR
  const said = await saidDuring(() => exporter.forceFlush())
  const told = said.filter(message => message.includes("This ledger's records of us-east-1 go to AWS"))
  assert.equal(told.length, 1, said.join('\n'))
  assert.match(told[0] ?? '', /^error: .* marketplace-meter endpoint localhost --why/)
  const refused = async () => (await read())['marketplace.metering.endpoint.refused region=us-east-1']
  assert.equal(await refused(), 1)
  const kept = { recorded: 5n * M, metered: 0n, pending: 0n, held: 0n, balance: 5n * M }
  assert.deepEqual(await line(ACCOUNT, 'tokens-processed'), kept, 'usage is recorded, and waits')
  const by = { who: 'ops', why: 'a test', now: clock.now }
  await decideEndpoint(ledger, 'localhost', 'us-east-1', by)
  await exporter.forceFlush()
  assert.equal(await refused(), 0)
  assert.deepEqual(await line(ACCOUNT, 'tokens-processed'), { ...kept, metered: 5n * M, balance: 0n })
})

test('what becomes of usage is counted', async t => {
  const { meterProvider, read } = telemetry(t)
  const { exporter, simulator, clock, ledger } = world(t, { ...TWO, meterProvider })
  // Somebody else has metered the hour of the one customer.
  simulator.meterForeign({
    ProductCode: PRODUCT,
    UsageRecords: [
      { Timestamp: new Date(clock.now), CustomerAWSAccountId: OTHER_ACCOUNT, Dimension: 'tokens', Quantity: 9 },
    ],
  })
  assert.deepEqual(await exportTo(exporter, counted('a', [5, customer], [7, other], [Number.NaN, other])), SUCCESS)
  assert.deepEqual(await exportTo(exporter, counted('b', [1, customer], [40, {}])), SUCCESS)
  assert.deepEqual(await exportTo(exporter, counted('calls', [2, customer])), SUCCESS)
  clock.now += HOUR
  // The first request meets no AWS; its records are pending until the second one.
  simulator.faults.add({ kind: 'throttling', next: 1 })
  await exporter.forceFlush()
  const before = await read()
  assert.deepEqual(named(before, 'marketplace.metering.pending'), {
    '.records': 3,
    'dimension=tokens': 13,
    'dimension=calls': 2,
  })
  assert.equal(before['marketplace.metering.oldest_pending.age'], 1.5 * 3600)
  assert.equal(before['marketplace.metering.last_closed.age'], 0.5 * 3600)
  clock.now += 10 * MINUTE
  await exporter.forceFlush()
  // Above the guard, it is held before it is ever sent.
  await exportTo(exporter, counted('a', [101, customer]))
  clock.now += HOUR
  await exporter.forceFlush()
  const after = await read()
  assert.deepEqual(named(after, 'otel.sdk.exporter.metric_data_point.exported'), {
    'otel.component.type=aws_marketplace_metric_exporter': 7,
  })
  assert.deepEqual(named(after, 'marketplace.usage.unbillable'), { 'metric=a reason=not-a-number': 1 })
  assert.deepEqual(named(after, 'marketplace.usage.unattributed_points'), { 'reason=no-customer': 1 })
  assert.deepEqual(named(after, 'marketplace.usage.unattributed dimension'), { '=tokens': 40 })
  assert.deepEqual(named(after, 'marketplace.usage.two_sources'), { 'dimension=tokens': 1 })
  assert.deepEqual(named(after, 'marketplace.metering.records'), {
    'dimension=calls outcome=metered': 1,
    'dimension=calls outcome=pending': 1,
    'dimension=tokens outcome=metered': 1,
    'dimension=tokens outcome=pending': 2,
    'dimension=tokens outcome=conflict': 1,
    'dimension=tokens outcome=over-maximum': 1,
  })
  assert.deepEqual(named(after, 'marketplace.metering.conflicts'), { 'dimension=tokens': 1 })
  assert.deepEqual(named(after, 'marketplace.metering.held'), {
    'dimension=tokens reason=conflict': 7,
    'dimension=tokens reason=over-maximum': 101,
  })
  // What is over is 0: were it not said, the last value would stand for ever.
  assert.deepEqual(named(after, 'marketplace.metering.pending'), {
    '.records': 0,
    'dimension=tokens': 0,
    'dimension=calls': 0,
  })
  assert.equal(after['marketplace.metering.oldest_pending.age'], 0)
  const { 'error.type=throttled region=us-east-1': throttled, 'region=us-east-1': answered = 0 } = named(
    after,
    'marketplace.metering.request.duration',
  )
  assert.deepEqual([throttled, answered], [1, simulator.requests().length - 1])
  // The metrics say what the ledger says.
  const held = (await ledger.statement()).reduce((sum, line) => sum + line.held, 0n)
  assert.equal(held, 108n * M)
})

test('a failed export is counted by what failed', async t => {
  const { meterProvider, read } = telemetry(t)
  let broken = true
  const { exporter } = world(t, {
    meterProvider,
    wrap: ledger =>
      override(ledger, {
        append: async (batch: UsageBatch) => {
          if (broken) throw new LedgerError('ERR_LEDGER_FULL', 'no space is left')
          return ledger.append(batch)
        },
      }),
  })
  assert.equal((await exportTo(exporter, tokens(1))).code, 1)
  broken = false
  assert.deepEqual(await exportTo(exporter, tokens(1)), SUCCESS)
  assert.deepEqual(named(await read(), 'otel.sdk.exporter.metric_data_point.exported'), {
    'error.type=ERR_LEDGER_FULL otel.component.type=aws_marketplace_metric_exporter': 1,
    'otel.component.type=aws_marketplace_metric_exporter': 1,
  })
})

test('its metrics may go to the provider that it exports for', async t => {
  const late: { provider?: MeterProvider } = {}
  const meterProvider: MeterProvider = {
    getMeter: (...parameters) => {
      assert.ok(late.provider, 'the provider is made after the exporter')
      return late.provider.getMeter(...parameters)
    },
  }
  const { exporter, clock, billed } = world(t, { meterProvider })
  const exported: Record<string, number>[] = []
  const { provider, meter, collect } = measure(t, SDKS['sdk-metrics 3'] ?? assert.fail(), {
    export: (metrics, callback) => {
      exported.push(
        metricsOf({ ...metrics, scopeMetrics: metrics.scopeMetrics.filter(({ scope }) => scope.name !== 'app') }),
      )
      exporter.export(metrics, callback)
    },
    selectAggregationTemporality: () => exporter.selectAggregationTemporality(),
    forceFlush: () => exporter.forceFlush(),
    shutdown: () => exporter.shutdown(),
  })
  late.provider = provider
  meter.createCounter('marketplace.inference.tokens').add(5, customer)
  await collect()
  clock.now += HOUR
  await collect()
  await collect()
  assert.deepEqual(billed(), { [`${ACCOUNT} tokens-processed`]: 5 })
  assert.deepEqual(named(exported.at(-1) ?? {}, 'marketplace.metering.records'), {
    'dimension=tokens-processed outcome=metered': 1,
  })
})

test('a message comes once an hour for each subject', async t => {
  const { exporter, clock } = world(t)
  const times = async (text: RegExp) =>
    (
      await saidDuring(async () => {
        await exportTo(exporter, tokens(1, {}))
        await exportTo(exporter, tokens(Number.NaN))
      })
    ).filter(message => text.test(message)).length
  assert.equal(await times(/without a customer|not a finite number/), 2)
  assert.equal(await times(/./), 0)
  clock.now += HOUR - 1
  assert.equal(await times(/without a customer|not a finite number/), 0)
  clock.now += 1
  assert.equal(await times(/without a customer|not a finite number/), 2)
  // A clock that went back does not silence it for a day.
  clock.now -= 24 * HOUR
  assert.equal(await times(/without a customer|not a finite number/), 2)
})

test('what is pending and held is told in base units, whatever its size', async t => {
  const { meterProvider, read } = telemetry(t)
  const { exporter, simulator, clock, ledger } = world(t, {
    dimensions: { tokens: { unit: '{token}', per: 1000, maxQuantity: 3, from: { metric: 'a' } } },
    meterProvider,
  })
  simulator.faults.add({ kind: 'throttling', rate: 1 })
  const hour = async (amount: number) => {
    await exportTo(exporter, counted('a', [amount, customer]))
    clock.now += HOUR
    await exporter.forceFlush()
  }
  await hour(2000)
  await hour(4000)
  const [dimension] = await ledger.dimensions()
  assert.ok(dimension)
  await ledger.register([{ ...dimension, size: 500n * M }])
  await hour(1500)
  await hour(2500)
  const metrics = await read()
  assert.deepEqual(named(metrics, 'marketplace.metering.pending'), { '.records': 2, 'dimension=tokens': 3500 })
  assert.deepEqual(named(metrics, 'marketplace.metering.held'), { 'dimension=tokens reason=over-maximum': 6500 })
})

test('a quantity above the alert is counted and said, without the customer', async t => {
  const { meterProvider, read } = telemetry(t)
  const { exporter, clock, line } = world(t, {
    dimensions: { tokens: { unit: '{token}', alertQuantity: 3, from: { metric: 'a' } } },
    meterProvider,
  })
  const messages = await saidDuring(async () => {
    for (const amount of [4, 5, 3]) {
      await exportTo(exporter, counted('a', [amount, customer]))
      clock.now += HOUR
      await exporter.forceFlush()
    }
  })
  assert.equal((await line(ACCOUNT, 'tokens'))?.metered, 12n * M)
  assert.deepEqual(named(await read(), 'marketplace.metering.above_alert'), { 'dimension=tokens': 2 })
  const said = messages.filter(message => /has \d of tokens, above its alertQuantity of 3; it is sent\./.test(message))
  assert.equal(said.length, 2, messages.join('\n'))
  assert.ok(!said.join().includes(ACCOUNT))
})

test('a quantity that rolls forward is not called held', async t => {
  const { exporter, simulator, clock, line } = world(t, { onConflict: 'roll-forward' })
  simulator.meterForeign({
    ProductCode: PRODUCT,
    UsageRecords: [
      { Timestamp: new Date(clock.now), CustomerAWSAccountId: ACCOUNT, Dimension: 'tokens-processed', Quantity: 9 },
    ],
  })
  await exportTo(exporter, tokens(5))
  clock.now += HOUR
  const messages = (await saidDuring(() => exporter.forceFlush())).join('\n')
  assert.equal((await line(ACCOUNT, 'tokens-processed'))?.balance, 5n * M)
  assert.match(messages, /Somebody else metered this hour/)
  assert.doesNotMatch(messages, /is held|settle it/)
})

test('an answer that makes no sense is told once an hour for its kind: of which request, and what to do', async t => {
  let answer: object = { Results: [] }
  const $metadata = { requestId: 'aaaa-bbbb' }
  const client = { batchMeterUsage: async () => ({ ...answer, $metadata }) }
  const { exporter, clock, line } = world(t, { client })
  await exportTo(exporter, tokens(5))
  clock.now += HOUR
  const about =
    `\\. It is about the product ${PRODUCT} in us-east-1, request aaaa-bbbb\\. Its records are sent again, which bills ` +
    'nothing twice\\. If it goes on, see whether something stands in for AWS .*, or ask AWS with the id of the request\\.$'
  const pass = () =>
    saidDuring(async () => {
      clock.now += 10 * MINUTE
      await exporter.forceFlush()
    })
  const told = async () => (await pass()).filter(message => message.includes('makes no sense'))
  const [first, ...more] = await told()
  assert.match(first ?? '', new RegExp(`AWS answers what makes no sense \\(a record without an answer\\)${about}`))
  assert.deepEqual(more, [])
  for (let time = 0; time < 3; time += 1) assert.deepEqual(await told(), [], 'within the hour')
  // Another kind of it, however it differs each time.
  answer = { Results: [{ Status: 'Odd-1' }] }
  assert.match((await told()).join(), new RegExp(`an unknown status "Odd-1"; a record without an answer\\)${about}`))
  answer = { Results: [{ Status: 'Odd-2' }] }
  assert.deepEqual(await told(), [])
  clock.now += HOUR
  assert.equal((await told()).length, 1, 'an hour later')
  assert.equal((await line(ACCOUNT, 'tokens-processed'))?.pending, 5n * M)
})

test('customers that are not subscribed are told of once an hour for each dimension, and counted all', async t => {
  const { meterProvider, read } = telemetry(t)
  const { exporter, simulator, clock } = world(t, { meterProvider })
  const gone = ['222233334444', '333344445555']
  for (const accountId of gone) {
    simulator.catalogue.subscribe({ accountId, product: PRODUCT, at: clock.now - 3 * HOUR })
    simulator.catalogue.unsubscribe({ accountId, product: PRODUCT, at: clock.now - 2 * HOUR })
  }
  for (const _ of [1, 2]) {
    for (const accountId of gone) await exportTo(exporter, tokens(5, { 'marketplace.customer.account_id': accountId }))
    clock.now += HOUR
    const messages = (await saidDuring(() => exporter.forceFlush())).filter(message => message.includes('is held'))
    assert.equal(messages.length, 1)
    assert.match(messages[0] ?? '', /not subscribed, and has not billed it\. Each hour's usage is held like this/)
  }
  const figures = await read()
  assert.deepEqual(named(figures, 'marketplace.metering.records'), {
    'dimension=tokens-processed outcome=not-subscribed': 4,
  })
  assert.deepEqual(named(figures, 'marketplace.metering.held'), {
    'dimension=tokens-processed reason=not-subscribed': 20,
  })
})

test('what AWS says of a customer is not repeated in messages', async t => {
  const attributes = { ...customer, 'marketplace.customer.license_arn': LICENCE }
  const refusals = [
    ['AccessDeniedException', `User arn:aws:iam::${ACCOUNT}:user/app is not authorized to meter ${LICENCE}`],
    ['TimestampOutOfBoundsException', `The record of ${ACCOUNT} is out of bounds`],
    ['InvalidLicenseException', `There is no licence ${LICENCE}`],
  ] as const
  for (const [name, message] of refusals) {
    const { exporter, clock, ledger } = world(t, {
      product: 'inference',
      client: { batchMeterUsage: () => Promise.reject(Object.assign(new Error(message), { name })) },
    })
    await exportTo(exporter, tokens(5, attributes))
    clock.now += HOUR
    const messages = (await saidDuring(() => exporter.forceFlush())).join('\n')
    assert.match(messages, /^error: /m)
    assert.doesNotMatch(messages, /\d{12}|license:l-/)
    // The operator finds it in the record.
    const [record] = await ledger.records()
    assert.match(record?.lastAnswer ?? '', /111122223333|license:l-/)
  }
  const { exporter } = world(t, {
    customer: () => {
      throw new Error(`there is no tenant ${ACCOUNT}`)
    },
  })
  const messages = (await saidDuring(() => exportTo(exporter, tokens(5)))).join('\n')
  assert.match(messages, /The option customer threw.*there is no tenant/)
})

test('an exporter that is over says nothing of a ledger that is closed', async () => {
  const reporter = new Reporter(undefined, () => 0)
  const fault = () => reporter.ledgerFault(new LedgerError('ERR_LEDGER_CLOSED', 'the ledger is closed'))
  assert.equal((await saidDuring(fault)).length, 1)
  const over = new Reporter(undefined, () => 0)
  over.end()
  assert.deepEqual(await saidDuring(() => over.ledgerFault(new LedgerError('ERR_LEDGER_CLOSED', 'closed'))), [])
})

test('that two sources feed a dimension is said once an hour, on one line, whatever their names', async () => {
  let now = HOUR
  const reporter = new Reporter(undefined, () => now)
  const report = (scope: string) => {
    const dimension = { name: 'tokens', unit: '1', baseUnit: '1', size: M } as const
    const account = { kind: 'customer', key: 'p,1', product: 'p' } as const
    const message = `Two sources feed tokens: a and ${scope}`
    return {
      ...{ points: 1, ignored: 0, notOurs: 0, rejected: 0, doubtful: [], unbillable: [], unattributed: [] },
      twoSources: [{ account, dimension, sources: ['a', scope] as const, message }],
    }
  }
  const said = await saidDuring(() => {
    for (let scope = 0; scope < 1000; scope += 1) reporter.mapped(report(`${scope}\u001b[2K\r\u202eb`))
    now += HOUR
    reporter.mapped(report('x'.repeat(1_000_000)))
  })
  assert.equal(said.length, 2)
  assert.equal(said[0], 'warn: Two sources feed tokens: a and 0\\u001b[2K\\u000d\\u202eb')
  assert.ok((said[1] as string).length < 2100)
})

test('what was said is forgotten where it is too much to remember', async () => {
  const reporter = new Reporter(undefined, () => HOUR)
  const refuse = (code: string) => reporter.refused({ transport: 'http', code, sender: undefined, message: 'm' })
  const said = await saidDuring(() => {
    for (let code = 0; code < 1500; code += 1) refuse(`${code}`)
    for (const code of ['1499', '0']) refuse(code)
  })
  assert.equal(said.length, 1501)
})

test('what one record an hour does not take is told, with its hours, until it is over', async t => {
  const { meterProvider, read } = telemetry(t)
  const { exporter, clock } = world(t, {
    dimensions: { tokens: { unit: '{token}', from: { metric: 'a' } } },
    meterProvider,
  })
  const behind = async () => {
    clock.now += HOUR
    await exporter.forceFlush()
    return (await read())['marketplace.metering.overflow.hours dimension=tokens']
  }
  await exportTo(exporter, counted('a', [4 * 2_147_483_647, customer]))
  const messages = await saidDuring(async () => assert.equal(await behind(), 3))
  assert.match(
    messages.join('\n'),
    /More of tokens is used than AWS takes: .* 6,442,450,941 tokens wait for the next 3 hours/,
  )
  assert.equal(await behind(), 2)
  await behind()
  await behind()
  assert.equal(await behind(), 0)
})
