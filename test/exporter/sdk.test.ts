import assert from 'node:assert/strict'
import { symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { MetricProducer, ResourceMetrics } from '@opentelemetry/sdk-metrics'
import { statementTable } from '../../src/cli/report/statement-table.ts'
import {
  AWSMarketplaceMetricExporter,
  billingViews,
  cardinalityLimit,
  inferenceInstruments,
  type SqliteLedger,
  type UsageBatch,
} from '../../src/index.ts'
import {
  ACCOUNT,
  counted,
  customer,
  exportTo,
  HOUR,
  M,
  makeGate,
  measure,
  OTHER_ACCOUNT,
  other,
  override,
  PRODUCT,
  recorded,
  SDKS,
  START,
  saidDuring,
  temporaryFolder,
  world,
} from './support.ts'

for (const [generation, sdk] of Object.entries(SDKS)) {
  test(`counters become bills (${generation})`, async t => {
    const { exporter, clock, billed, line } = world(t)
    const { meter, collect } = measure(t, sdk, exporter)
    const { requests, tokens, gpuTime } = inferenceInstruments(meter)
    // Deltas: were they cumulative, the second collection would bring the first one's usage again.
    for (let collection = 0; collection < 2; collection++) {
      requests.add(1, customer)
      tokens.add(100, { ...customer, 'marketplace.token.type': 'input' })
      tokens.add(20, { ...customer, 'marketplace.token.type': 'output' })
      tokens.add(7, other)
      gpuTime.add(2700, customer)
      await collect()
      assert.deepEqual(billed(), {}, 'nothing is billed while the hour is open')
      clock.now += 1000
    }
    clock.now += HOUR
    await collect()
    assert.deepEqual(billed(), {
      [`${ACCOUNT} gpu-hours`]: 1,
      [`${ACCOUNT} inference-requests`]: 2,
      [`${ACCOUNT} tokens-processed`]: 240,
      [`${OTHER_ACCOUNT} tokens-processed`]: 14,
    })
    // Half an hour of a GPU waits for another half.
    const hours = { recorded: 5400n * M, metered: 3600n * M, pending: 0n, held: 0n, balance: 1800n * M }
    assert.deepEqual(await line(ACCOUNT, 'gpu-hours'), hours)
  })

  test(`histograms and observable counters become bills (${generation})`, async t => {
    const { exporter, clock, billed } = world(t, {
      dimensions: {
        seconds: { unit: 's', from: { metric: 'duration' } },
        calls: { unit: '{call}', from: { metric: 'duration', value: 'count' } },
        bytes: { unit: 'kBy', from: { metric: 'traffic', baseline: false } },
      },
    })
    const { meter, collect } = measure(t, sdk, exporter)
    let traffic = 1500
    meter.createObservableCounter('traffic', { unit: 'By' }).addCallback(result => result.observe(traffic, customer))
    const duration = meter.createHistogram('duration', { unit: 'ms' })
    duration.record(1250, customer)
    duration.record(1750, customer)
    await collect()
    traffic = 4000
    await collect()
    clock.now += HOUR
    await collect()
    assert.deepEqual(billed(), { [`${ACCOUNT} bytes`]: 4, [`${ACCOUNT} calls`]: 2, [`${ACCOUNT} seconds`]: 3 })
  })

  test(`what a producer adds as cumulative is reported and not billed (${generation})`, async t => {
    const { exporter, ledger } = world(t, {
      dimensions: { d: { unit: '1', from: { metric: 'foreign' }, additive: true } },
    })
    const point = { value: 1_000_000, attributes: customer, startTime: [0, 0], endTime: [1, 0] } as const
    const cumulative = {
      descriptor: { name: 'foreign', unit: '1', description: '', valueType: 0 },
      dataPointType: sdk.DataPointType.SUM,
      isMonotonic: true,
      aggregationTemporality: sdk.AggregationTemporality.CUMULATIVE,
      dataPoints: [point],
    }
    const producer = {
      collect: async () => ({
        resourceMetrics: { resource: {}, scopeMetrics: [{ scope: { name: 'p' }, metrics: [cumulative] }] },
        errors: [],
      }),
    } as unknown as MetricProducer
    const { meter, collect } = measure(t, sdk, exporter, { metricProducers: [producer] })
    meter.createCounter('foreign', { unit: '1' }).add(3, customer)
    const messages = await saidDuring(collect)
    assert.deepEqual(await recorded(ledger), { [`${ACCOUNT} d`]: 3n * M })
    assert.match(messages.join('\n'), /error: Not billed: 1 data points\. foreign is cumulative/)
  })

  test(`NaN, infinite and negative values are reported and take nothing with them (${generation})`, async t => {
    const { exporter, ledger } = world(t, {
      dimensions: { d: { unit: '1', from: { metric: ['nan', 'infinite', 'negative', 'good'] }, additive: true } },
    })
    const { meter, collect } = measure(t, sdk, exporter)
    meter.createCounter('nan').add(Number.NaN, customer)
    meter.createCounter('infinite').add(Number.POSITIVE_INFINITY, customer)
    meter.createCounter('good').add(2, customer)
    const messages = (
      await saidDuring(async () => {
        await collect()
        // The SDK drops negative additions; a producer need not.
        assert.equal((await exportTo(exporter, counted('negative', [-5, customer]))).code, 0)
      })
    ).join('\n')
    assert.deepEqual(await recorded(ledger), { [`${ACCOUNT} d`]: 2n * M })
    for (const expected of [
      /nan has a point that is not a finite number/,
      /infinite has .*not a finite/,
      /negative has .*below zero/,
    ])
      assert.match(messages, expected)
  })

  test(`more customers than the cardinality limit: what has lost its customer is kept (${generation})`, async t => {
    const { exporter, ledger } = world(t)
    const { meter, collect } = measure(t, sdk, exporter)
    const { requests } = inferenceInstruments(meter)
    for (let index = 0; index < 2500; index++) {
      requests.add(1, { 'marketplace.customer.account_id': String(999_900_000_000 + index) })
    }
    const messages = await saidDuring(collect)
    const amounts = await recorded(ledger)
    assert.equal(amounts['overflow inference-requests'], 501n * M)
    assert.equal(Object.keys(amounts).length, 2000)
    const lines = await ledger.statement()
    assert.match(
      statementTable({ now: START, period: {}, lines, allTime: lines, agreements: new Map() }),
      /^ {2}overflow: beyond its cardinality limit .* nothing in it tells any more whose it is: first raise the limit /m,
    )
    assert.match(
      messages.join('\n'),
      /error: There is usage beyond the SDK's cardinality limit: .* nothing here can tell any more whose it is\. .* NOT BILLED\./,
    )
  })

  test(`four fifths of the cardinality limit are told (${generation})`, async t => {
    const { exporter } = world(t)
    const { meter, collect } = measure(t, sdk, exporter)
    const { requests } = inferenceInstruments(meter)
    for (let index = 0; index < 1600; index++) {
      requests.add(1, { 'marketplace.customer.account_id': String(999_900_000_000 + index) })
    }
    const messages = await saidDuring(collect)
    assert.equal(
      messages.filter(message => /^warn: marketplace\.inference\.requests had 1,600 series/.test(message)).length,
      1,
    )
  })

  test(`views with a limit for the number of customers lose nobody (${generation})`, async t => {
    const { exporter, ledger } = world(t, { dropUnnamed: true })
    const views = billingViews({ productCode: PRODUCT }, { cardinalityLimit: cardinalityLimit(2500) })
    const { meter, collect } = measure(t, sdk, exporter, { views })
    const { requests } = inferenceInstruments(meter)
    meter.createCounter('unnamed').add(1, customer)
    const ids = Array.from({ length: 2500 }, (_, index) => String(999_900_000_000 + index))
    for (const id of ids) requests.add(1, { 'marketplace.customer.account_id': id })
    const names: string[] = []
    t.mock.method(exporter, 'export', (metrics: Parameters<typeof exporter.export>[0], callback: () => void) => {
      names.push(...metrics.scopeMetrics.flatMap(scope => scope.metrics.map(metric => metric.descriptor.name)))
      return Object.getPrototypeOf(exporter).export.call(exporter, metrics, callback)
    })
    await collect()
    assert.equal(names[0], 'marketplace.inference.requests')
    assert.match(names[1] ?? '', /^marketplace\.control\.\d+\.marketplace\.inference\.requests$/)
    assert.equal(names.length, 2)
    assert.deepEqual(await recorded(ledger), Object.fromEntries(ids.map(id => [`${id} inference-requests`, M])))
  })

  test(`usage without a customer, or with a malformed one, is kept in sight (${generation})`, async t => {
    const { exporter, ledger, clock, billed } = world(t)
    const { meter, collect } = measure(t, sdk, exporter)
    const { tokens } = inferenceInstruments(meter)
    tokens.add(1)
    tokens.add(2, { 'marketplace.customer.account_id': '12345' })
    tokens.add(4, { 'marketplace.customer.account_id': 111122223333 })
    const messages = (await saidDuring(collect)).join('\n')
    clock.now += HOUR
    await collect()
    assert.deepEqual(billed(), {})
    const lines = await ledger.statement()
    assert.deepEqual(
      lines.map(({ account, recorded }) => [account.kind === 'unattributed' && account.reason, recorded]).sort(),
      [
        ['malformed-customer', 2n * M],
        ['malformed-customer', 4n * M],
        ['no-customer', 1n * M],
      ],
    )
    assert.match(messages, /error: There is usage without a customer/)
    assert.match(messages, /error: There is usage whose customer is incomplete, malformed/)
  })

  test(`attributes that change after add or during an export change nobody's bill (${generation})`, async t => {
    const gate = makeGate()
    const { exporter, ledger } = world(t, { wrap: ledger => override(ledger, { append: gate.before(ledger.append) }) })
    const { meter, collect } = measure(t, sdk, exporter, { views: billingViews({ productCode: PRODUCT }) })
    const { tokens } = inferenceInstruments(meter)
    const changing = { ...customer }
    tokens.add(1, changing)
    changing['marketplace.customer.account_id'] = OTHER_ACCOUNT
    const exported = collect()
    await gate.reached
    changing['marketplace.customer.account_id'] = 'nobody'
    // Recorded during the export: for the next one.
    tokens.add(10, other)
    gate.open()
    await exported
    assert.deepEqual(await recorded(ledger), { [`${ACCOUNT} tokens-processed`]: 1n * M })
    await collect()
    const amounts = { [`${ACCOUNT} tokens-processed`]: 1n * M, [`${OTHER_ACCOUNT} tokens-processed`]: 10n * M }
    assert.deepEqual(await recorded(ledger), amounts)
  })

  test(`exports that the SDK starts beside one that timed out add nothing twice (${generation})`, async t => {
    const gate = makeGate()
    let underWay = 0
    const { exporter, ledger } = world(t, {
      wrap: ledger =>
        override(ledger, {
          append: async (batch: UsageBatch) => {
            assert.equal(++underWay, 1, 'one at a time')
            await gate.before(ledger.append).call(ledger, batch)
            underWay--
          },
        }),
    })
    const callbacks: number[] = []
    const delegate = {
      export: (metrics: ResourceMetrics, callback: (result: { code: number }) => void) => {
        const index = callbacks.push(0) - 1
        exporter.export(metrics, result => {
          assert.equal(result.code, 0)
          callbacks[index] = (callbacks[index] ?? 0) + 1
          callback(result)
        })
      },
      selectAggregationTemporality: () => exporter.selectAggregationTemporality(),
      forceFlush: () => exporter.forceFlush(),
      shutdown: () => exporter.shutdown(),
    }
    const short = { exportIntervalMillis: 2, exportTimeoutMillis: 1 }
    const { meter, provider } = measure(t, sdk, delegate, short)
    const { tokens } = inferenceInstruments(meter)
    let measured = 0
    while (callbacks.length < 5 && !t.signal.aborted) {
      tokens.add(1, customer)
      measured++
      await nextTurn()
    }
    assert.deepEqual(new Set(callbacks), new Set([0]), 'no callback before the ledger has the usage')
    gate.open()
    await provider.shutdown()
    assert.deepEqual(new Set(callbacks), new Set([1]))
    assert.deepEqual(await recorded(ledger), { [`${ACCOUNT} tokens-processed`]: BigInt(measured) * M })
  })

  test(`two sources for one dimension raise an alarm, once (${generation})`, async t => {
    const { exporter, ledger } = world(t, {
      dimensions: { d: { unit: '1', from: [{ metric: 'proxy.tokens' }, { metric: 'server.tokens' }] } },
    })
    const { meter, collect } = measure(t, sdk, exporter)
    const add = () => {
      meter.createCounter('proxy.tokens').add(1, customer)
      meter.createCounter('server.tokens').add(1, customer)
    }
    add()
    const first = await saidDuring(collect)
    assert.equal(first.filter(message => /^warn: Two sources feed d of the same customer/.test(message)).length, 1)
    add()
    assert.deepEqual(await saidDuring(collect), [])
    assert.deepEqual(await recorded(ledger), { [`${ACCOUNT} d`]: 4n * M })
  })

  test(`the provider's shutdown leaves nothing behind (${generation})`, async t => {
    const { exporter, ledger, clock, billed } = world(t)
    const { meter, provider, collect } = measure(t, sdk, exporter)
    const { tokens } = inferenceInstruments(meter)
    tokens.add(3, customer)
    await collect()
    clock.now += HOUR
    tokens.add(5, customer)
    await provider.shutdown()
    assert.deepEqual(billed(), { [`${ACCOUNT} tokens-processed`]: 3 })
    assert.deepEqual(await recorded(ledger), { [`${ACCOUNT} tokens-processed`]: 8n * M })
    assert.equal((await exportTo(exporter, counted('x'))).code, 1)
  })
}

for (const [generation, { MeterProvider, PeriodicExportingMetricReader }] of Object.entries(SDKS)) {
  test(`of two readers with one exporter one is billed, once they are found (${generation})`, async t => {
    const { exporter, ledger } = world(t)
    const [one, two] = [1, 2].map(
      () => new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: HOUR }),
    ) as [InstanceType<typeof PeriodicExportingMetricReader>, InstanceType<typeof PeriodicExportingMetricReader>]
    const provider = new MeterProvider({ readers: [one, two] })
    t.after(() => provider.shutdown())
    const { requests, tokens } = inferenceInstruments(provider.getMeter('app'))
    const dashboards = provider.getMeter('not billed').createCounter('clicks')
    const said = await saidDuring(async () => {
      // Whichever comes first, and however often: the second goes on from a collection that was not the latest.
      for (const order of [
        [one, two],
        [one, two],
        [two, one],
        [two, two, one],
        [one, one, two],
      ]) {
        for (const reader of order) {
          requests.add(10, customer)
          tokens.add(5, other)
          dashboards.add(1)
          await reader.forceFlush()
        }
      }
      requests.add(10, customer)
      await Promise.all([one.forceFlush(), two.forceFlush()])
    })
    const recorded = (await ledger.statement()).map(({ dimension, recorded }) => [dimension.name, recorded])
    // What the second had handed over when it was found is in it twice: of two recordings.
    assert.deepEqual(recorded, [
      ['inference-requests', (13n + 2n) * 10n * M],
      ['tokens-processed', (12n + 2n) * 5n * M],
    ])
    for (const metric of ['marketplace.inference.requests', 'marketplace.inference.tokens']) {
      assert.ok(
        said.some(text => text.startsWith(`error: ${metric} comes from two readers`)),
        said.join('\n'),
      )
      assert.ok(said.some(text => /^error: Not billed: \d+ data points\. /.test(text) && text.includes(metric)))
    }
  })

  test(`of two exporters of a ledger on one MeterProvider one bills what both would (${generation})`, async t => {
    const { exporter, ledger, client, clock } = world(t)
    const options = { region: 'us-east-1', productCode: PRODUCT, client, now: () => clock.now, wakeInterval: HOUR }
    // Whatever it is opened as, it is the same file.
    const path = join(temporaryFolder(t), 'link')
    symlinkSync(ledger.path, path)
    const twin = new AWSMarketplaceMetricExporter({ ...options, ledger: path })
    const byOutput = { metric: 'marketplace.inference.tokens', attributes: { 'marketplace.token.type': 'output' } }
    const dimensions = { output: { unit: '{token}', from: byOutput } }
    const other = new AWSMarketplaceMetricExporter({ ...options, ledger, dimensions })
    const elsewhere = world(t)
    // Two that share the customers between them are no twins either.
    const shared = world(t)
    const [ours, theirs] = [ACCOUNT, OTHER_ACCOUNT].map(
      accountId =>
        new AWSMarketplaceMetricExporter({
          ...{ ...options, ledger: shared.ledger },
          customer: found => (found['marketplace.customer.account_id'] === accountId ? { accountId } : null),
        }),
    ) as [AWSMarketplaceMetricExporter, AWSMarketplaceMetricExporter]
    const all = [exporter, twin, other, elsewhere.exporter, ours, theirs]
    const readers = all.map(exporter => new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: HOUR }))
    const provider = new MeterProvider({ readers })
    const { requests, tokens } = inferenceInstruments(provider.getMeter('app'))
    const use = async (order: number[]) => {
      requests.add(10, customer)
      tokens.add(5, { ...customer, 'marketplace.token.type': 'output' })
      for (const reader of order) await readers[reader]?.forceFlush()
    }
    const said = await saidDuring(async () => {
      await use([0, 1, 2, 3, 4, 5])
      await use([5, 4, 3, 2, 1, 0])
    })
    const figures = async (of: SqliteLedger) =>
      (await of.statement()).map(({ dimension, recorded }) => [dimension.name, recorded / M])
    const once = [...(await figures(elsewhere.ledger))]
    assert.deepEqual(once, [
      ['inference-requests', 20n],
      ['tokens-processed', 10n],
    ])
    assert.deepEqual(await figures(ledger), [once[0], ['output', 10n], once[1]])
    assert.deepEqual(await figures(shared.ledger), once)
    for (const metric of ['marketplace.inference.requests', 'marketplace.inference.tokens']) {
      assert.equal(
        said.filter(text => text.includes(`${metric} is billed by another exporter of this ledger`)).length,
        1,
      )
    }
    // Where it ends, the one that is left bills.
    await exporter.shutdown()
    await use([1, 2, 3])
    assert.deepEqual((await figures(ledger))[0], ['inference-requests', 30n])
    await provider.shutdown()
  })

  test(`a reader that comes alone, in other orders, is no second one (${generation})`, async t => {
    const { exporter, ledger } = world(t)
    const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: HOUR })
    const provider = new MeterProvider({ readers: [reader] })
    // Another provider's is none either.
    const others = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: HOUR })
    const another = new MeterProvider({ readers: [others] })
    t.after(() => Promise.all([provider.shutdown(), another.shutdown()]))
    const said = await saidDuring(async () => {
      for (let round = 0; round < 4; round++) {
        for (const [each, its] of [
          [provider, reader],
          [another, others],
        ] as const) {
          const { requests, tokens } = inferenceInstruments(each.getMeter('app'))
          requests.add(1, customer)
          if (round % 2 === 0) tokens.add(1, customer)
          await Promise.all([its.forceFlush(), its.forceFlush()])
        }
      }
    })
    const recorded = (await ledger.statement()).map(({ dimension, recorded }) => [dimension.name, recorded])
    assert.deepEqual(recorded, [
      ['inference-requests', 8n * M],
      ['tokens-processed', 4n * M],
    ])
    assert.deepEqual(
      said.filter(text => /two readers/.test(text)),
      [],
    )
  })
}
