import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ViewOptions } from '@opentelemetry/sdk-metrics'
import { isControl } from '../../src/usage/controls.ts'
import { inferenceInstruments } from '../../src/usage/instruments.ts'
import { UsageMapper } from '../../src/usage/mapper.ts'
import type { UsageOptions } from '../../src/usage/options.ts'
import { billingViews, cardinalityLimit, dropUnnamed } from '../../src/usage/views.ts'
import { handmade, map, measure, SDKS } from './sdk.ts'

const M = 1_000_000n
const options: UsageOptions = { productCode: 'p' }
const customer = (index: number) => ({ 'marketplace.customer.account_id': `${100000000000 + index}` })
const total = (amounts: Record<string, bigint>) => Object.values(amounts).reduce((sum, amount) => sum + amount, 0n)

for (const [generation, sdk] of Object.entries(SDKS)) {
  test(`views and dropUnnamed bring what rules name, and nothing else (${generation})`, async () => {
    for (const attributes of ['all', 'needed'] as const) {
      const views = billingViews(options, { attributes })
      const { meter, collect } = measure({ sdk, views, selectAggregation: dropUnnamed })
      inferenceInstruments(meter()).tokens.add(3, customer(1))
      meter().createCounter('else').add(1)
      meter()
        .createObservableGauge('gauge')
        .addCallback(result => result.observe(1))
      const collected = await collect()
      const names = collected.scopeMetrics.flatMap(({ metrics }) => metrics.map(({ descriptor }) => descriptor.name))
      assert.deepEqual(
        names.map(name => name.replace(/control\.\d+/, 'control.#')),
        ['marketplace.inference.tokens', 'marketplace.control.#.marketplace.inference.tokens'],
      )
      assert.equal(total(map(new UsageMapper(options), collected).amounts), 3n * M)
    }
  })

  test(`without dropUnnamed the views leave other instruments alone (${generation})`, async () => {
    const { meter, collect } = measure({ sdk, views: billingViews(options) })
    meter().createCounter('else').add(1)
    assert.equal((await collect()).scopeMetrics[0]?.metrics[0]?.descriptor.name, 'else')
  })

  test(`an attribute object that changes after use changes nothing (${generation})`, async () => {
    for (const attributes of ['all', 'needed'] as const) {
      const { meter, collect } = measure({ sdk, views: billingViews(options, { attributes }) })
      const mine = { ...customer(1), model: 'm' }
      inferenceInstruments(meter()).tokens.add(3, mine)
      mine['marketplace.customer.account_id'] = customer(2)['marketplace.customer.account_id']
      assert.deepEqual(map(new UsageMapper(options), await collect()).amounts, {
        'p,100000000001 → tokens-processed': 3n * M,
      })
    }
  })

  test(`attributes that nothing reads are dropped, and the amounts stay (${generation})`, async () => {
    const usage: UsageOptions = {
      productCode: 'p',
      customer: { accountId: { attribute: 'account' } },
      dimensions: {
        calls: { unit: '1', from: { metric: 'time', value: 'count', attributes: { 'error.type': null } } },
        input: { unit: '1', from: { metric: 'tokens', attributes: { type: 'input' } } },
        observed: { unit: '1', from: { metric: 'observed', baseline: false } },
      },
    }
    const amounts: Record<string, bigint>[] = []
    const series: number[] = []
    for (const attributes of ['all', 'needed'] as const) {
      const { meter, collect } = measure({ sdk, views: billingViews(usage, { attributes }) })
      const time = meter().createHistogram('time')
      const tokens = meter().createCounter('tokens')
      const observed = meter().createObservableCounter('observed')
      const ids = ['111111111111', '222222222222']
      for (const account of ids) {
        for (const model of ['a', 'b', 'c']) {
          time.record(1, { account, model })
          time.record(1, { account, model, 'error.type': 'x' })
          tokens.add(2, { account, model, type: 'input' })
          tokens.add(5, { account, model, type: 'output' })
          observed.addCallback(result => result.observe(7, { account, model }))
        }
      }
      const collected = await collect()
      amounts.push(map(new UsageMapper(usage), collected).amounts)
      series.push(
        collected.scopeMetrics
          .flatMap(({ metrics }) => metrics.filter(metric => !isControl(metric)).map(m => m.dataPoints.length))
          .reduce((a, b) => a + b),
      )
    }
    assert.deepEqual(amounts[0], amounts[1])
    assert.equal(amounts[0]?.['p,111111111111 → calls'], 3n * M)
    assert.equal(amounts[0]?.['p,111111111111 → input'], 6n * M)
    // An observable's series would overwrite each other: they are left as they are.
    assert.equal(amounts[0]?.['p,111111111111 → observed'], 21n * M)
    assert.deepEqual(series, [12 + 12 + 6, 4 + 4 + 6])
  })

  test(`the limit keeps every customer (${generation})`, async () => {
    for (const [limit, overflows] of [
      [cardinalityLimit(3000), false],
      [3000, true],
    ] as const) {
      const views = billingViews(options, { cardinalityLimit: limit })
      const { meter, collect } = measure({ sdk, views })
      const { requests } = inferenceInstruments(meter())
      for (let index = 0; index < 3000; index++) requests.add(1, customer(index))
      const { amounts, report } = map(new UsageMapper(options), await collect())
      assert.equal(total(amounts), 3000n * M)
      assert.equal(report.unattributed.length > 0, overflows)
    }
  })

  test(`nearly as many series as the SDK keeps apart are told (${generation})`, async () => {
    const collections = async (limits: { limit?: number; views?: ViewOptions[] }, ...series: number[]) => {
      const { meter, collect } = measure({ sdk, ...limits })
      const { requests } = inferenceInstruments(meter())
      const mapper = new UsageMapper(options)
      const told: string[][] = []
      for (const count of series) {
        for (let index = 0; index < count; index++) requests.add(1, customer(index))
        const { doubtful } = map(mapper, await collect()).report
        told.push(doubtful.map(({ reason, message }) => `${reason}: ${message}`))
      }
      return told
    }
    // Nobody tells an exporter of its reader's limit: what is right for the SDK's own is said once.
    const [none, first, ...later] = await collections({}, 1599, 1600, 1700, 2000)
    assert.deepEqual([none, ...later], [[], [], []])
    assert.match(
      first?.join() ?? '',
      /^crowded: marketplace\.inference\.requests had 1,600 series between two exports, and the SDK keeps 2,000 apart unless/,
    )
    // Who has had more than the SDK's own limit has another.
    assert.deepEqual(await collections({ limit: 100_000 }, 2500, 1700), [[], []])
    // The views' limit is known, whatever it is, and told of each time.
    const views = () => billingViews(options, { cardinalityLimit: 1000 })
    const [few, ...many] = await collections({ views: views() }, 799, 800, 900, 1500)
    assert.deepEqual(few, [])
    assert.match(many[0]?.join() ?? '', /had 800 series between two exports, and its view keeps 1,000 apart\./)
    assert.match(many[1]?.join() ?? '', /had 900 series/)
    // That it has overflowed is told as what it is.
    assert.deepEqual(many[2], [])
  })

  test(`another view that matches too makes nothing count twice, and is told (${generation})`, async () => {
    const usage: UsageOptions = {
      productCode: 'p',
      dimensions: {
        counted: { unit: '1', from: { metric: 'counted' } },
        summed: { unit: '1', from: { metric: 'timed' } },
        calls: { unit: '1', from: { metric: 'timed', value: 'count' } },
        observed: { unit: '1', from: { metric: 'observed', baseline: false } },
      },
    }
    const measured = async (views: ViewOptions[]) => {
      const { meter, collect } = measure({ sdk, views })
      meter().createCounter('counted').add(0.1, customer(1))
      meter().createCounter('counted').add(3, customer(2))
      meter().createCounter('counted', { unit: '{x}' }).add(5, customer(2))
      for (const value of [2, 5]) meter().createHistogram('timed').record(value, customer(1))
      meter()
        .createObservableCounter('observed')
        .addCallback(result => result.observe(7, customer(1)))
      return map(new UsageMapper(usage), await collect())
    }
    for (const attributes of ['all', 'needed'] as const) {
      const views = () => billingViews(usage, { attributes })
      const { amounts, report } = await measured(views())
      assert.deepEqual(amounts, {
        'p,100000000001 → counted': M / 10n,
        'p,100000000002 → counted': 8n * M,
        'p,100000000001 → summed': 7n * M,
        'p,100000000001 → calls': 2n * M,
        'p,100000000001 → observed': 7n * M,
      })
      assert.deepEqual([report.doubtful, report.unbillable, report.ignored], [[], [], 0])
      const all = { instrumentName: '*' }
      const beside = [
        [...views(), all],
        [all, ...views()],
        [...views(), ...views()],
        [all, ...views(), { meterName: 'app' }, ...views()],
      ]
      for (const several of beside) {
        const { amounts: same, report } = await measured(several)
        assert.deepEqual(same, amounts)
        assert.deepEqual(
          new Set(report.doubtful.map(({ reason, metric }) => `${reason} ${metric}`)),
          new Set(['several-views counted', 'several-views timed']),
        )
        assert.deepEqual(report.unbillable, [])
      }
    }
  })

  test(`what a view that drops everything would do (${generation})`, async () => {
    // Why there is dropUnnamed: the SDK takes two views of one instrument for one stream.
    const drop = { instrumentName: '*', aggregation: { type: 1 as never } }
    const measured = async (views: ViewOptions[]) => {
      const { meter, collect } = measure({ sdk, views })
      inferenceInstruments(meter()).requests.add(1, customer(1))
      return map(new UsageMapper(options), await collect())
    }
    const dropped = await measured([drop, ...billingViews(options)])
    assert.equal(total(dropped.amounts), 0n)
    assert.deepEqual(
      dropped.report.unbillable.map(({ reason, metric }) => [reason, metric]),
      [['kept-by-view', 'marketplace.inference.requests']],
    )
    assert.equal(total((await measured([...billingViews(options), drop])).amounts), M)
  })
}

test('where it cannot be told which values came twice, none is billed', () => {
  const counter = (name: string, value: number) => ({
    descriptor: { name, unit: '1', description: '', valueType: 1 },
    ...{ dataPointType: 3, isMonotonic: true, aggregationTemporality: 0 },
    dataPoints: [{ value, attributes: customer(1), startTime: [0, 0], endTime: [0, 0] }],
  })
  const metrics = handmade(counter('marketplace.inference.tokens', 3))
  metrics.scopeMetrics[0]?.metrics.push(counter('marketplace.control.1.marketplace.inference.tokens', 2) as never)
  const { amounts, report } = map(new UsageMapper(options), metrics)
  assert.deepEqual(amounts, {})
  assert.deepEqual(
    report.unbillable.map(({ reason, points }) => [reason, points]),
    [['views', 1]],
  )
})

test('the limit', () => {
  assert.equal(cardinalityLimit(10), 2000)
  assert.equal(cardinalityLimit(1999), 2000)
  assert.equal(cardinalityLimit(2000), 2001)
  assert.equal(cardinalityLimit(10_000, 4), 40_001)
  assert.throws(() => cardinalityLimit(0), {
    message: 'Invalid options: customers: expected an integer above 0, got 0',
  })
  assert.throws(() => cardinalityLimit(1, 1.5), {
    message: 'Invalid options: seriesPerCustomer: expected an integer above 0, got 1.5',
  })
})

test('attributes that a function may read cannot be dropped', () => {
  const usage: UsageOptions = { productCode: 'p', customer: () => undefined }
  assert.equal(billingViews(usage).filter(({ name }) => name === undefined).length, 3)
  assert.throws(() => billingViews(usage, { attributes: 'needed' }), {
    name: 'ConfigurationError',
    message:
      "Invalid options: attributes: expected 'all', since customer is a function that may read any, got 'needed'",
  })
})
