import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { MINUTE, measure, SDKS, saidDuring, world } from './support.ts'

const INDEX = import.meta.resolve('../../src/index.ts')
const OLD_SDK = import.meta.resolve('../sdk-metrics-2/sdk.ts')

/** Runs a module in a process of its own, and returns what it says on the console. */
function saidBy(code: string, env: Record<string, string> = {}): string[] {
  const { stderr, status } = spawnSync(process.execPath, ['--input-type=module', '--eval', code], {
    cwd: import.meta.dirname,
    encoding: 'utf8',
    env: { ...process.env, ...env },
  })
  assert.equal(status, 0, stderr)
  return stderr.split('\n').filter(line => line !== '')
}

const IMPORTS = `
  import { diag, metrics, DiagConsoleLogger, DiagLogLevel } from '@opentelemetry/api'
  import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics'
  import { AWSMarketplaceMetricExporter, InferenceMeter } from '${INDEX}'
  const options = { productCode: 'p', region: 'us-east-1', ledger: ':memory:' }
  const provide = options => new MeterProvider({
    readers: [new PeriodicExportingMetricReader({ exporter: new AWSMarketplaceMetricExporter(options) })],
  })`

/** Usage without a customer, twice, and an instrument that cannot be billed. */
const USE = `
  const counter = provider.getMeter('app').createCounter('marketplace.inference.tokens')
  counter.add(5, {})
  await provider.forceFlush()
  counter.add(5, {})
  counter.add(1, { 'marketplace.customer.account_id': 'no account' })
  await provider.shutdown()`

test('without a logger of diag each kind of warning is on the console once', () => {
  const said = saidBy(`${IMPORTS}
    const provider = provide(options)
    ${USE}`)
  assert.equal(said.length, 2, said.join('\n'))
  assert.match(said[0] ?? '', /^opentelemetry-exporter-aws-marketplace: There is usage without a customer\./)
  assert.match(said[1] ?? '', /^opentelemetry-exporter-aws-marketplace: There is usage whose customer is incomplete/)
})

test('on the console is nothing where it is switched off, nor twice what a logger has', () => {
  assert.deepEqual(
    saidBy(`${IMPORTS}
    const provider = provide({ ...options, consoleWarnings: false })
    ${USE}`),
    [],
  )
  const said = saidBy(`${IMPORTS}
    diag.setLogger(new DiagConsoleLogger(), DiagLogLevel.WARN)
    const provider = provide(options)
    ${USE}`)
  assert.equal(said.length, 2, said.join('\n'))
  assert.match(said[0] ?? '', /^There is usage without a customer\./)
})

test('a logger that another version of the API has, and that does not hear ours, leaves the console', () => {
  const said = saidBy(`
    import { createRequire } from 'node:module'
    const old = createRequire('${OLD_SDK}')('@opentelemetry/api')
    old.diag.setLogger(new old.DiagConsoleLogger(), old.DiagLogLevel.WARN)
    old.metrics.setGlobalMeterProvider({ getMeter() {} })
    ${IMPORTS}
    const provider = provide(options)
    ${USE}`)
  assert.equal(said.length, 2, said.join('\n'))
  assert.match(said[0] ?? '', /There is usage without a customer\./)
})

const NOTHING = /^opentelemetry-exporter-aws-marketplace: InferenceMeter has a meter that records nothing/

test('an InferenceMeter on a meter that records nothing says so, once', () => {
  const said = saidBy(`${IMPORTS}
    new InferenceMeter(metrics.getMeterProvider())
    new InferenceMeter(metrics.getMeter('app')).recordInferenceRequests({ accountId: '111122223333' })`)
  assert.deepEqual([said.length, NOTHING.test(said[0] ?? '')], [1, true])
})

test('so it does on one of a second copy of the API, for which there is no SDK', () => {
  const said = saidBy(`
    import { createRequire } from 'node:module'
    const { metrics } = createRequire('${OLD_SDK}')('@opentelemetry/api')
    import { InferenceMeter } from '${INDEX}'
    new InferenceMeter(metrics.getMeterProvider())`)
  assert.deepEqual([said.length, NOTHING.test(said[0] ?? '')], [1, true])
})

test('on a real SDK it says nothing, be it the global one or a view drop what it counts', () => {
  const said = saidBy(`
    import { AggregationType } from '@opentelemetry/sdk-metrics'
    import * as old from '${OLD_SDK}'
    ${IMPORTS}
    new InferenceMeter(new MeterProvider())
    new InferenceMeter(new old.MeterProvider())
    new InferenceMeter(
      new MeterProvider({ views: [{ instrumentName: '*', aggregation: { type: AggregationType.DROP } }] }),
    )
    metrics.setGlobalMeterProvider(new MeterProvider())
    new InferenceMeter(metrics.getMeterProvider())`)
  assert.deepEqual(said, [])
})

test('an exporter says once that OTEL_SDK_DISABLED leaves it without anything to bill', () => {
  const code = `
    import { NodeSDK } from '@opentelemetry/sdk-node'
    ${IMPORTS}
    const exporters = [new AWSMarketplaceMetricExporter(options), new AWSMarketplaceMetricExporter(options)]
    const sdk = new NodeSDK({ metricReaders: exporters.map(exporter => new PeriodicExportingMetricReader({ exporter })) })
    sdk.start()
    new InferenceMeter(metrics.getMeterProvider()).recordInferenceRequests({ accountId: '111122223333' })
    await sdk.shutdown()
    for (const exporter of exporters) await exporter.shutdown()`
  const said = saidBy(code, { OTEL_SDK_DISABLED: 'TRUE' })
  assert.equal(said.length, 2, said.join('\n'))
  assert.match(said[0] ?? '', /OTEL_SDK_DISABLED is true, .* NOBODY IS BILLED/)
  assert.match(said[1] ?? '', NOTHING)
  assert.deepEqual(
    saidBy(code, { OTEL_SDK_DISABLED: 'false', OTEL_TRACES_EXPORTER: 'none', OTEL_LOGS_EXPORTER: 'none' }),
    [],
  )
})

for (const [generation, sdk] of Object.entries(SDKS)) {
  test(`an exporter tells of rules that are not fed (${generation})`, async t => {
    const { exporter, clock } = world(t, {
      dimensions: {
        tokens: { unit: '{token}', from: { metric: 'app.tokenz' } },
        calls: { unit: '{call}', from: { metric: 'app.calls' } },
        images: { unit: '{image}', from: { metric: 'app.images', attributes: { size: ['small', 'large'] } } },
      },
    })
    const { meter, collect } = measure(t, sdk, exporter)
    const customer = { 'marketplace.customer.account_id': '111122223333' }
    const [tokens, calls, images] = ['app.tokens', 'app.calls', 'app.images'].map(name => meter.createCounter(name))
    const minutes = async (count: number, ...counters: (typeof tokens)[]) => {
      for (let minute = 0; minute < count; minute++) {
        for (const counter of counters) counter?.add(1, { ...customer, size: 'LARGE' })
        await collect()
        clock.now += MINUTE
      }
    }
    const warned = async (work: () => Promise<void>) =>
      (await saidDuring(work)).filter(message => message.startsWith('warn'))
    assert.deepEqual(await warned(() => minutes(60, tokens, calls, images)), [])
    const never = await warned(() => minutes(2, tokens, calls, images))
    assert.equal(never.length, 2, never.join('\n'))
    assert.match(never[0] ?? '', /^warn: Nothing has come for dimensions\.tokens\.from .* no rule has: app\.tokens\./)
    assert.match(
      never[1] ?? '',
      /^warn: No rule takes what comes of app\.images\. .*size is "LARGE" \(asked for: "small" or "large"\)/,
    )
    // A night, in which nothing is used.
    const night = await warned(() => minutes(9 * 60))
    assert.deepEqual([night.length, /any more/.test(night.join())], [1, false])
    const silent = await warned(() => minutes(26 * 60, images))
    assert.match(
      silent.join('\n'),
      /^warn: Nothing comes any more for dimensions\.calls\.from of calls: the last came \d+ h ago\. /m,
    )
    assert.equal(silent.filter(message => message.includes('any more')).length, 2, 'once a day')
    assert.equal(silent.filter(message => message.includes('dimensions.tokens.from')).length, 1)
  })
}
