import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import type { Attributes } from '@opentelemetry/api'
import type { DataPoint } from '@opentelemetry/sdk-metrics'
import { InferenceMeter, type InferenceMeterOptions, type MeteredCustomer } from '../src/inference-meter.ts'
import { UsageMapper } from '../src/usage/mapper.ts'
import type { UsageOptions } from '../src/usage/options.ts'
import { validateDimension } from '../src/usage/validate-dimension.ts'
import { billingViews } from '../src/usage/views.ts'
import { map, measure, SDKS } from './usage/sdk.ts'

const ACCOUNT = '012345678901'
const LICENCE = 'arn:aws:license-manager::123456789012:license:l-0123456789abcdef'
const customer = { accountId: ACCOUNT }
const M = 1_000_000n

/** An inference meter on a real SDK, and what a ledger would be told of what it has recorded, in millionths. */
function metering(options: InferenceMeterOptions & { usage?: UsageOptions; sdk?: (typeof SDKS)[string] } = {}) {
  const { usage = { productCode: 'p' }, sdk, ...meterOptions } = options
  const { meter, collect } = measure({ ...(sdk && { sdk }) })
  const mapper = new UsageMapper(usage)
  return {
    inference: new InferenceMeter(meter(), meterOptions),
    collect,
    recorded: async () => {
      const { amounts, report } = map(mapper, await collect())
      assert.deepEqual([report.unbillable, report.unattributed], [[], []])
      return amounts
    },
  }
}

/** The amounts of the one customer. */
const amounts = (byDimension: Record<string, bigint>, account = `p,${ACCOUNT}`) =>
  Object.fromEntries(Object.entries(byDimension).map(([dimension, amount]) => [`${account} → ${dimension}`, amount]))

for (const [generation, sdk] of Object.entries(SDKS)) {
  test(`each method feeds its dimension (${generation})`, async () => {
    const { inference, recorded } = metering({ sdk })
    inference.recordInferenceRequests(customer)
    inference.recordInferenceRequests(customer, 3)
    inference.recordTokensProcessed(customer, 100)
    inference.recordTokensProcessed(customer, { input: 20, output: 5 })
    inference.recordTokensProcessed(customer, { output: 1 })
    inference.recordGpuTime(customer, 0.25)
    inference.recordGpuHours(customer, 2)
    assert.deepEqual(
      await recorded(),
      amounts({ 'inference-requests': 4n * M, 'tokens-processed': 126n * M, 'gpu-hours': 7_200_250_000n }),
    )
  })
}

test('a provider will do for a meter', async () => {
  const { meter, collect } = measure()
  new InferenceMeter({ getMeter: name => meter(name) }).recordInferenceRequests(customer)
  const [scope] = (await collect()).scopeMetrics
  assert.equal(scope?.scope.name, 'opentelemetry-exporter-aws-marketplace')
})

test('input and output are told apart where they are sold apart', async () => {
  const usage: UsageOptions = {
    productCode: 'p',
    dimensions: {
      in: { unit: '{token}', from: 'marketplace.input-tokens' },
      out: { unit: '{token}', from: 'marketplace.output-tokens' },
    },
  }
  const { inference, recorded } = metering({ usage })
  inference.recordTokensProcessed(customer, { input: 20, output: 5 })
  assert.deepEqual(await recorded(), amounts({ in: 20n * M, out: 5n * M }))
})

test('each identity is read where nothing is configured', async () => {
  const identities: [UsageOptions, MeteredCustomer, string][] = [
    [{ productCode: 'p' }, customer, `p,${ACCOUNT}`],
    [{ productCode: 'p' }, { customerIdentifier: 'older' }, 'p,customer=older'],
    [{ productCode: 'p', customer: {} }, { customerIdentifier: 'older' }, 'p,customer=older'],
    [{ product: 'label' }, { accountId: ACCOUNT, licenseArn: LICENCE }, `${ACCOUNT},${LICENCE}`],
  ]
  for (const [usage, identity, account] of identities) {
    const { inference, recorded } = metering({ usage })
    inference.recordInferenceRequests(identity)
    assert.deepEqual(await recorded(), amounts({ 'inference-requests': M }, account))
  }
})

test('the identifier outlives views that keep only what is needed', async () => {
  const usage = { productCode: 'p' }
  const { meter, collect } = measure({ views: billingViews(usage, { attributes: 'needed' }) })
  new InferenceMeter(meter()).recordInferenceRequests({ customerIdentifier: 'older' }, 1, { model: 'm' })
  const mapped = map(new UsageMapper(usage), await collect())
  assert.deepEqual(mapped.amounts, amounts({ 'inference-requests': M }, 'p,customer=older'))
})

test('who names where the account id is found means it and no identifier', async () => {
  const usage: UsageOptions = { productCode: 'p', customer: { accountId: 'tenant' } }
  const { meter, collect } = measure()
  const both = { tenant: ACCOUNT, 'marketplace.customer.identifier': 'older' }
  meter().createCounter('marketplace.inference.requests').add(1, both)
  const mapped = map(new UsageMapper(usage), await collect())
  assert.deepEqual(mapped.amounts, amounts({ 'inference-requests': M }))
})

test('a customer that only looks wrong loses nothing: a person can assign it', async () => {
  const { inference, collect } = metering()
  inference.recordInferenceRequests({ accountId: '12345' })
  const { accounts } = map(new UsageMapper({ productCode: 'p' }), await collect())
  assert.equal(accounts[0]?.kind, 'unattributed')
})

test('attributes are told apart, copied, and never who pays', async () => {
  const { inference, collect } = metering()
  const attributes: Attributes = { model: 'small', 'marketplace.customer.account_id': '999999999999' }
  inference.recordInferenceRequests(customer, 1, attributes)
  attributes.model = 'large'
  inference.recordInferenceRequests(customer, 1, attributes)
  const points =
    (await collect()).scopeMetrics[0]?.metrics.flatMap<DataPoint<unknown>>(metric => metric.dataPoints) ?? []
  assert.deepEqual(
    points.map(point => point.attributes),
    ['small', 'large'].map(model => ({ model, 'marketplace.customer.account_id': ACCOUNT })),
  )
  assert.ok(points.every(point => Object.isFrozen(point.attributes)))
})

test('fractions of hours are exact', async () => {
  const { inference, collect, recorded } = metering()
  for (const [hours, seconds] of [
    [0.1, 360],
    [1.1, 3960],
    [1 / 3, 1200],
    [0.000001, 0.0036],
    [0, 0],
  ] as const) {
    inference.recordGpuHours(customer, hours)
    const [metric] = (await collect()).scopeMetrics[0]?.metrics ?? []
    assert.equal(metric?.dataPoints[0]?.value, seconds, `${hours} h`)
  }
  for (let tenth = 0; tenth < 10_000; tenth++) inference.recordGpuHours(customer, 1.1)
  assert.deepEqual(await recorded(), amounts({ 'gpu-hours': 39_600_000n * M }))
})

const WRONG: [string, (inference: InferenceMeter) => void, RegExp][] = [
  [
    'NaN requests',
    i => i.recordInferenceRequests(customer, Number.NaN),
    /^count: expected an integer from 0 to 1000000000000, got NaN/,
  ],
  ['less than none', i => i.recordInferenceRequests(customer, -1), /^count: .* got -1/],
  ['half a request', i => i.recordInferenceRequests(customer, 0.5), /^count: /],
  ['a text', i => i.recordInferenceRequests(customer, '3' as never), /^count: .* got "3"/],
  ['more tokens than can be counted', i => i.recordTokensProcessed(customer, 2 ** 53), /^tokens: /],
  ['no tokens', i => i.recordTokensProcessed(customer, undefined as never), /^tokens: /],
  ['null', i => i.recordTokensProcessed(customer, null as never), /^tokens: /],
  ['neither input nor output', i => i.recordTokensProcessed(customer, {}), /^tokens: expected a number, or input/],
  [
    'a misspelt output',
    i => i.recordTokensProcessed(customer, { input: 1, outptu: 40 } as never),
    /^tokens\.outptu: expected input, output or both and nothing else \(did you mean output\?\), got 40/,
  ],
  [
    'the usage of an API',
    i => i.recordTokensProcessed(customer, { input: 1, completion_tokens: 40 } as never),
    /^tokens\.completion_tokens: expected input, output or both and nothing else, got 40/,
  ],
  ['a list', i => i.recordTokensProcessed(customer, [1, 40] as never), /^tokens\.0: /],
  [
    'a misspelt licence',
    i => i.recordGpuTime({ ...customer, licenceArn: LICENCE } as never, 1),
    /^customer: expected the licence's ARN as licenseArn, got it as licenceArn/,
  ],
  // The input is right, but goes with the output.
  ['half', i => i.recordTokensProcessed(customer, { input: 1, output: Number.NaN }), /^tokens\.output: .* got NaN/],
  [
    'time backwards',
    i => i.recordGpuTime(customer, -0.1),
    /^seconds: expected a number from 0 to 1000000000000, got -0.1/,
  ],
  ['endless time', i => i.recordGpuTime(customer, Number.POSITIVE_INFINITY), /^seconds: /],
  ['hours that are none', i => i.recordGpuHours(customer, Number.NaN), /^hours: /],
  ['more hours than there are', i => i.recordGpuHours(customer, 1e300), /^hours: /],
  ['more seconds than there are', i => i.recordGpuHours(customer, 1e9), /^seconds: /],
  ['time without end', i => i.recordGpuTime(customer, 1e300), /^seconds: /],
  ['absurdly many requests', i => i.recordInferenceRequests(customer, 1e13), /^count: /],
  ['nobody', i => i.recordInferenceRequests(undefined as never), /^customer: expected either/],
  ['an empty customer', i => i.recordInferenceRequests({} as never), /^customer: expected either/],
  [
    'two customers',
    i => i.recordInferenceRequests({ ...customer, customerIdentifier: 'x' } as never),
    /^customer: expected either/,
  ],
  ['an empty id', i => i.recordGpuTime({ accountId: '' }, 1), /^customer\.accountId: expected a string that is not/],
  ['a blank identifier', i => i.recordGpuTime({ customerIdentifier: ' ' }, 1), /^customer\.customerIdentifier: /],
  [
    'a number',
    i => i.recordGpuTime({ accountId: 12345678901 as never }, 1),
    /^customer\.accountId: .* got 12345678901/,
  ],
  ['an empty licence', i => i.recordGpuTime({ ...customer, licenseArn: '' }, 1), /^customer\.licenseArn: /],
  [
    'a licence of nobody',
    i => i.recordGpuTime({ customerIdentifier: 'x', licenseArn: LICENCE } as never, 1),
    /^customer: expected an accountId with a licenseArn/,
  ],
]
for (const [what, record, message] of WRONG) {
  test(`a mistake in the program is an error, and nothing is recorded: ${what}`, async () => {
    const { inference, recorded } = metering()
    assert.throws(() => record(inference), { name: 'InvalidUsageError', code: 'ERR_INVALID_USAGE', message })
    assert.deepEqual(await recorded(), {})
  })
}

test('that there was a mistake is told once in a process, whoever catches the error', () => {
  const program = `
    import { InferenceMeter } from ${JSON.stringify(new URL('../src/inference-meter.ts', import.meta.url).href)}
    import { MeterProvider } from '@opentelemetry/sdk-metrics'
    const meter = new InferenceMeter(new MeterProvider())
    for (const count of [NaN, -1, 1e300]) try { meter.recordInferenceRequests({ accountId: '012345678901' }, count) } catch {}`
  const { stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    encoding: 'utf8',
    cwd: new URL('..', import.meta.url),
  })
  assert.equal(stderr.match(/InferenceMeter was told what no usage can be/g)?.length, 1, stderr)
  assert.match(stderr, /count: expected an integer from 0 to 1000000000000, got NaN/)
})

/** A meter whose clock goes on by this many milliseconds between the two looks of a call. */
function timed(...milliseconds: number[]) {
  let now = 1000
  let looks = 0
  return metering({
    now: () => {
      if (looks++ % 2 === 1) now += milliseconds[(looks - 2) / 2] as number
      return now
    },
  })
}

test('a call is measured: its time on each GPU, and a request', async () => {
  const { inference, recorded } = timed(1500, 250)
  assert.equal(
    inference.measure(customer, () => 'answer'),
    'answer',
  )
  assert.equal(await inference.measure(customer, async () => 'later', { gpus: 4, attributes: { model: 'm' } }), 'later')
  assert.deepEqual(await recorded(), amounts({ 'inference-requests': 2n * M, 'gpu-hours': 2_500_000n }))
})

test('a promise is timed until it is settled', async () => {
  let now = 0
  const { inference, recorded } = metering({ now: () => now })
  const { promise, resolve } = Promise.withResolvers<void>()
  const measured = inference.measure(customer, () => promise)
  assert.deepEqual(await recorded(), {})
  now = 2000
  resolve()
  await measured
  assert.deepEqual(await recorded(), amounts({ 'inference-requests': M, 'gpu-hours': 2n * M }))
})

test('the promise is the one that was given, and a thenable is asked once', async () => {
  const { inference, recorded } = timed(1000, 1000)
  class Answer extends Promise<number> {
    withResponse() {
      return 'response'
    }
  }
  const given = Answer.resolve(7) as Answer
  const measured = inference.measure(customer, () => given)
  assert.equal(measured.withResponse(), 'response')
  assert.equal(await measured, 7)
  let asked = 0
  const lazy = Object.assign(() => {}, {
    // biome-ignore lint/suspicious/noThenProperty: what a query builder returns is one
    then(resolve: (value: string) => void) {
      asked += 1
      resolve('rows')
    },
  })
  assert.equal(await inference.measure(customer, () => lazy), 'rows')
  assert.equal(asked, 1)
  assert.deepEqual(await recorded(), amounts({ 'inference-requests': 2n * M, 'gpu-hours': 2n * M }))
})

test('part of a GPU is a part of its time', async () => {
  const { inference, recorded } = timed(1000)
  inference.measure(customer, () => {}, { gpus: 1 / 7 })
  assert.equal((await recorded())[`p,${ACCOUNT} → gpu-hours`], 142_857n)
})

const second = (clock: { now: number }) => {
  clock.now += 1000
  return clock.now
}
/** What clients return as streams: each takes a second to begin, and a second for each of two values. */
const STREAMS: Record<string, (clock: { now: number }) => unknown> = {
  'an async generator': async function* (clock) {
    yield second(clock)
    yield second(clock)
  },
  'a stream that can be iterated, of a promise': async clock => ({
    async *[Symbol.asyncIterator]() {
      yield second(clock)
      yield second(clock)
    },
  }),
  'a web stream': async clock => {
    let left = 2
    const pull = (controller: ReadableStreamDefaultController) =>
      left-- > 0 ? controller.enqueue(second(clock)) : controller.close()
    return new ReadableStream({ pull }, { highWaterMark: 0 })
  },
}
for (const [what, make] of Object.entries(STREAMS)) {
  test(`a stream is timed until it has ended or is left: ${what}`, async () => {
    for (const [leave, seconds] of [
      [false, 3n],
      [true, 2n],
    ] as const) {
      const clock = { now: 0 }
      const { inference, recorded } = metering({ now: () => clock.now })
      const stream = await inference.measure(customer, () => {
        second(clock)
        return make(clock)
      })
      assert.deepEqual(await recorded(), amounts({ 'inference-requests': M, 'gpu-hours': M }))
      const values: unknown[] = []
      for await (const value of stream as AsyncIterable<unknown>) {
        values.push(value)
        if (leave) break
      }
      assert.deepEqual(values, leave ? [2000] : [2000, 3000])
      const more = await recorded()
      assert.deepEqual(more, amounts({ 'gpu-hours': (seconds - 1n) * M }))
    }
  })
}

test('a stream that breaks off is billed until it began, or for all its time where that is asked for', async () => {
  for (const [options, seconds] of [
    [{}, 1n],
    [{ billFailedTime: true }, 2n],
  ] as const) {
    const clock = { now: 0 }
    const { inference, recorded } = metering({ now: () => clock.now })
    const broken = async function* () {
      yield second(clock)
      throw new Error('reset')
    }
    const stream = inference.measure(
      customer,
      () => {
        second(clock)
        return broken()
      },
      options,
    )
    await assert.rejects(async () => {
      for await (const _ of stream);
    }, /reset/)
    assert.deepEqual(await recorded(), amounts({ 'inference-requests': M, 'gpu-hours': seconds * M }))
  }
})

test('a clock that goes back costs the time of the call, and nothing else', async () => {
  const { inference, recorded } = timed(-5000, Number.NaN)
  assert.equal(
    inference.measure(customer, () => 1),
    1,
  )
  assert.equal(await inference.measure(customer, async () => 2), 2)
  assert.deepEqual(await recorded(), amounts({ 'inference-requests': 2n * M }))
})

test('a call that fails is not billed, but for its time where that is asked for', async () => {
  const failure = new Error('out of memory')
  const thrown = () => {
    throw failure
  }
  const rejected = async () => thrown()
  const free = timed(1000, 1000)
  assert.throws(() => free.inference.measure(customer, thrown), failure)
  await assert.rejects(free.inference.measure(customer, rejected), failure)
  assert.deepEqual(await free.recorded(), {})
  const billed = timed(1000, 1000)
  const options = { billFailedTime: true, gpus: 2 }
  assert.throws(() => billed.inference.measure(customer, thrown, options), failure)
  await assert.rejects(billed.inference.measure(customer, rejected, options), failure)
  assert.deepEqual(await billed.recorded(), amounts({ 'gpu-hours': 4n * M }))
})

test('what is wrong with a measured call is found before it is made', () => {
  const { inference } = metering()
  const never = () => assert.fail('was called')
  for (const gpus of [0, -1, Number.NaN, 1e300, '2' as never]) {
    assert.throws(() => inference.measure(customer, never, { gpus }), { message: /^gpus: expected a number above 0/ })
  }
  assert.throws(() => inference.measure({ accountId: '' }, never), { code: 'ERR_INVALID_USAGE' })
  assert.throws(() => inference.measure(customer, 7 as never), { message: /^work: expected a function, got 7/ })
})

test('the monotonic clock is the default', async () => {
  const { inference, collect } = metering()
  inference.measure(customer, () => {})
  const points = (await collect()).scopeMetrics[0]?.metrics.find(metric => metric.descriptor.unit === 's')?.dataPoints
  assert.ok(Number(points?.[0]?.value) >= 0)
})

test('a dimension is one of those that are known', () => {
  for (const name of ['inference-requests', 'tokens-processed', 'gpu-hours']) validateDimension(name)
  validateDimension('mine', ['mine'])
  const known = 'inference-requests, tokens-processed, gpu-hours'
  assert.throws(() => validateDimension('tokens'), {
    name: 'ConfigurationError',
    code: 'ERR_CONFIGURATION',
    message: `Expected a dimension (${known}), got "tokens".`,
  })
  assert.throws(() => validateDimension('gpu-hours', new Set(['mine'])), { message: /\(mine\), got "gpu-hours"/ })
  assert.throws(() => validateDimension(undefined), { message: /got undefined/ })
  assert.throws(() => validateDimension('x', []), { message: /there are none/ })
  assert.throws(() => validateDimension('Tokens-Processed'), { code: 'ERR_CONFIGURATION' })
})

test('what is no meter is refused when it is made, with what was expected', () => {
  for (const meter of [undefined, null, 'meter', {}, Promise.resolve(), 5]) {
    assert.throws(() => new InferenceMeter(meter as never), {
      code: 'ERR_CONFIGURATION',
      message: /^Invalid options: meter: expected the MeterProvider that the exporter is on, or a meter of it, got /,
    })
  }
  assert.throws(() => new InferenceMeter(undefined as never, { now: 5 } as never), {
    problems: [
      'meter: expected the MeterProvider that the exporter is on, or a meter of it, got undefined',
      'now: expected a function that returns milliseconds, got 5',
    ],
  })
})
