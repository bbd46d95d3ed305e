import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AggregationType, type ViewOptions } from '@opentelemetry/sdk-metrics'
import { inferenceInstruments } from '../../src/usage/instruments.ts'
import { UsageMapper } from '../../src/usage/mapper.ts'
import type { DimensionOptions, UsageOptions } from '../../src/usage/options.ts'
import { PRESETS, type PresetName } from '../../src/usage/presets.ts'
import { handmade, map, measure, SDKS } from './sdk.ts'

const ACCOUNT = '012345678901'
const OTHER = '999999999999'
const customer = { 'marketplace.customer.account_id': ACCOUNT }
const other = { 'marketplace.customer.account_id': OTHER }
const M = 1_000_000n

const counting = (from: DimensionOptions['from'], rest: Partial<DimensionOptions> = {}, options: object = {}) =>
  new UsageMapper({ productCode: 'p', dimensions: { d: { unit: '1', from, ...rest } }, ...options })

for (const [generation, sdk] of Object.entries(SDKS)) {
  test(`our own instruments feed the default dimensions (${generation})`, async () => {
    const { meter, collect } = measure({ sdk })
    const { requests, tokens, gpuTime } = inferenceInstruments(meter())
    requests.add(1, customer)
    requests.add(2, other)
    tokens.add(10, { ...customer, 'marketplace.token.type': 'input' })
    tokens.add(5, { ...customer, 'marketplace.token.type': 'output' })
    gpuTime.add(0.25, customer)
    meter().createCounter('else').add(7)
    const mapper = new UsageMapper({ productCode: 'p' })
    const { amounts, report } = map(mapper, await collect())
    assert.deepEqual(amounts, {
      [`p,${ACCOUNT} → inference-requests`]: 1n * M,
      [`p,${OTHER} → inference-requests`]: 2n * M,
      [`p,${ACCOUNT} → tokens-processed`]: 15n * M,
      [`p,${ACCOUNT} → gpu-hours`]: 250_000n,
    })
    assert.deepEqual(report, {
      ...{
        points: 6,
        ignored: 1,
        notOurs: 0,
        rejected: 0,
        unbillable: [],
        doubtful: [],
        unattributed: [],
        twoSources: [],
      },
    })
    // Deltas: the next collection brings what is new, and nothing of what was.
    requests.add(4, customer)
    assert.deepEqual(map(mapper, await collect()).amounts, { [`p,${ACCOUNT} → inference-requests`]: 4n * M })
  })

  test(`histograms give their sum or their count (${generation})`, async () => {
    const views: ViewOptions[] = [
      { instrumentName: 'exponential', aggregation: { type: AggregationType.EXPONENTIAL_HISTOGRAM } },
    ]
    const { meter, collect } = measure({ sdk, views })
    for (const name of ['explicit', 'exponential']) {
      const histogram = meter().createHistogram(name, { unit: 'ms' })
      histogram.record(1500, customer)
      histogram.record(500, customer)
    }
    const mapper = new UsageMapper({
      productCode: 'p',
      dimensions: {
        seconds: { unit: 's', from: { metric: ['explicit', 'exponential'] } },
        calls: { unit: '1', from: { metric: ['explicit', 'exponential'], value: 'count' } },
      },
    })
    assert.deepEqual(map(mapper, await collect()).amounts, {
      [`p,${ACCOUNT} → seconds`]: 4n * M,
      [`p,${ACCOUNT} → calls`]: 4n * M,
    })
  })

  test(`cumulative metrics, gauges and up-down counters are not billed (${generation})`, async () => {
    const mapper = counting({ metric: ['counter', 'gauge', 'updown'] })
    const cumulative = measure({ sdk, cumulative: true })
    cumulative.meter().createCounter('counter').add(3, customer)
    const first = map(mapper, await cumulative.collect())
    assert.deepEqual(first.amounts, {})
    assert.deepEqual(first.report.unbillable, [
      {
        reason: 'cumulative',
        metric: 'counter',
        points: 1,
        message:
          'counter is cumulative: billed as it is, its whole history would be billed again and again. Have its producer send deltas.',
      },
    ])
    const { meter, collect } = measure({ sdk })
    meter().createGauge('gauge').record(3, customer)
    meter().createUpDownCounter('updown').add(3, customer)
    meter().createUpDownCounter('updown').add(3, other)
    const second = map(mapper, await collect())
    assert.deepEqual(second.amounts, {})
    assert.deepEqual(
      second.report.unbillable.map(({ reason, metric, points }) => [reason, metric, points]),
      [
        ['not-a-counter', 'gauge', 1],
        ['not-a-counter', 'updown', 2],
      ],
    )
    assert.match(second.report.unbillable[0]?.message ?? '', /^gauge is a gauge or .* name a counter or a histogram\.$/)
  })

  test(`the overflow point is kept without a customer (${generation})`, async () => {
    const { meter, collect } = measure({ sdk, limit: 3 })
    const { tokens } = inferenceInstruments(meter())
    for (let index = 0; index < 5; index++) {
      tokens.add(1, { 'marketplace.customer.account_id': `${100000000000 + index}`, 'marketplace.token.type': 'input' })
    }
    const input = counting('marketplace.input-tokens')
    const { amounts, accounts, report } = map(input, await collect())
    assert.deepEqual(Object.values(amounts), [1n * M, 1n * M, 3n * M])
    assert.deepEqual(accounts.at(-1), {
      kind: 'unattributed',
      key: 'p,unattributed=overflow,{"otel.metric.overflow":true}',
      product: 'p',
      reason: 'overflow',
      evidence: '{"otel.metric.overflow":true}',
    })
    assert.equal(report.unattributed[0]?.points, 1)
    assert.match(report.unattributed[0]?.message ?? '', /cardinality limit/)
  })

  test(`NaN and Infinity pass through the SDK and are not billed (${generation})`, async () => {
    const { meter, collect } = measure({ sdk })
    const counter = meter().createCounter('m')
    counter.add(Number.NaN, customer)
    counter.add(Number.POSITIVE_INFINITY, other)
    counter.add(1e31, { 'marketplace.customer.account_id': '111111111111' })
    const { amounts, report } = map(counting({ metric: 'm' }), await collect())
    assert.deepEqual(amounts, {})
    assert.deepEqual(
      report.unbillable.map(({ reason, points }) => [reason, points]),
      [
        ['not-a-number', 2],
        ['out-of-range', 1],
      ],
    )
  })
}

test('an observable counter that falls has begun anew', async () => {
  const { meter, collect } = measure()
  let value = 5
  meter()
    .createObservableCounter('m')
    .addCallback(result => result.observe(value, customer))
  const mapper = counting({ metric: 'm', baseline: false })
  assert.deepEqual(map(mapper, await collect()).amounts, { [`p,${ACCOUNT} → d`]: 5n * M })
  value = 3
  // The SDK takes the fall for a restart, from zero.
  assert.deepEqual(map(mapper, await collect()).amounts, { [`p,${ACCOUNT} → d`]: 3n * M })
})

test('what an observable counter has at first is usage only where its rule says so', async () => {
  for (const sdk of Object.values(SDKS)) {
    for (const [baseline, first, reasons] of [
      [true, {}, [['baseline', 2]]],
      [undefined, {}, [['observable', 2]]],
      [false, { [`p,${ACCOUNT} → d`]: 10_007n * M }, []],
    ] as const) {
      const { meter, collect } = measure({ sdk })
      const totals: Record<string, number> = { a: 10_000, b: 7, idle: 0 }
      meter()
        .createObservableCounter('m')
        .addCallback(result => {
          for (const [gpu, total] of Object.entries(totals)) result.observe(total, { ...customer, gpu })
        })
      meter().createCounter('m.too').add(3, customer)
      const mapper = counting({ metric: ['m', 'm.too'], ...(baseline !== undefined && { baseline }) })
      const { amounts, report } = map(mapper, await collect())
      const counted = { [`p,${ACCOUNT} → d`]: (first[`p,${ACCOUNT} → d`] ?? 0n) + 3n * M }
      assert.deepEqual(amounts, counted)
      assert.deepEqual(
        report.unbillable.map(({ reason, points }) => [reason, points]),
        reasons,
      )
      totals.a = 10_100
      totals.idle = 5
      assert.deepEqual(map(mapper, await collect()).amounts, { [`p,${ACCOUNT} → d`]: 105n * M })
    }
  }
})

test('what is too small to be kept is told', async () => {
  const { meter, collect } = measure()
  const counter = meter().createCounter('m')
  counter.add(4e-7, { ...customer, part: 1 })
  counter.add(6e-7, { ...customer, part: 2 })
  counter.add(0, { ...customer, part: 3 })
  const { amounts, report } = map(counting({ metric: 'm' }), await collect())
  assert.deepEqual(amounts, { [`p,${ACCOUNT} → d`]: 1n })
  assert.deepEqual(
    report.unbillable.map(({ reason, points }) => [reason, points]),
    [['too-small', 1]],
  )
})

test('what overflowed is of the one customer where no attribute of a point says who that is', async () => {
  const tenant = { accountId: { resource: 'tenant' } }
  for (const [own, account] of [
    [{ accountId: { value: ACCOUNT } }, `p,${ACCOUNT}`],
    [tenant, `p,${ACCOUNT}`],
    [{ accountId: 'tenant' }, 'p,unattributed=overflow,{"otel.metric.overflow":true}'],
    [() => ({ accountId: ACCOUNT }), 'p,unattributed=overflow,{"otel.metric.overflow":true}'],
  ] as const) {
    const { meter, collect } = measure({ limit: 3, resource: { tenant: ACCOUNT } })
    const counter = meter().createCounter('m')
    for (let request = 0; request < 10; request++) counter.add(1, { request })
    const options = { productCode: 'p', customer: own, dimensions: { d: { unit: '1', from: { metric: 'm' } } } }
    const { amounts } = map(new UsageMapper(options), await collect())
    assert.equal(
      Object.values(amounts).reduce((sum, amount) => sum + amount),
      10n * M,
    )
    assert.ok(Object.hasOwn(amounts, `${account} → d`), JSON.stringify(Object.keys(amounts)))
  }
})

test('attributes have to equal, be one of, or be absent', async () => {
  const { meter, collect } = measure()
  const counter = meter().createCounter('m')
  counter.add(1, { ...customer, kind: 'a' })
  counter.add(10, { ...customer, kind: 'b' })
  counter.add(100, { ...customer, kind: 1 })
  counter.add(1000, { ...customer, kind: '1' })
  counter.add(10_000, { ...customer })
  const collected = await collect()
  const amount = (attributes: object) =>
    Object.values(map(counting({ metric: 'm', attributes } as never), collected).amounts)[0]
  assert.equal(amount({ kind: 'a' }), 1n * M)
  assert.equal(amount({ kind: ['a', 'b'] }), 11n * M)
  assert.equal(amount({ kind: 1 }), 100n * M)
  assert.equal(amount({ kind: null }), 10_000n * M)
  assert.equal(amount({ kind: 'a', missing: null }), 1n * M)
  assert.equal(amount({ kind: 'a', missing: 'x' }), undefined)
  assert.equal(map(counting({ metric: 'm', attributes: { kind: 'a' } }), collected).report.ignored, 4)
})

test('a metric may feed several dimensions, each once', async () => {
  const { meter, collect } = measure()
  const counter = meter().createCounter('m', { unit: 's' })
  counter.add(90, { ...customer, kind: 'a' })
  counter.add(30, { ...customer, kind: 'b' })
  const mapper = new UsageMapper({
    productCode: 'p',
    dimensions: {
      all: { unit: 'min', from: { metric: 'm' } },
      a: {
        unit: 'h',
        from: [
          { metric: 'm', attributes: { kind: 'a' } },
          { metric: 'm', attributes: { kind: 'c' } },
        ],
      },
    },
  })
  assert.deepEqual(map(mapper, await collect()).amounts, {
    [`p,${ACCOUNT} → all`]: 120n * M,
    [`p,${ACCOUNT} → a`]: 90n * M,
  })
})

test('units: the rule overrides the instrument, what does not convert is reported', async () => {
  const { meter, collect } = measure()
  meter().createCounter('bare').add(2, customer)
  meter().createCounter('wrong', { unit: 'parsecs' }).add(2, customer)
  const dimensions = (unit?: string): UsageOptions['dimensions'] => ({
    d: { unit: 'h', from: { metric: ['bare', 'wrong'], ...(unit && { unit }) } },
  })
  const collected = await collect()
  const overridden = map(new UsageMapper({ productCode: 'p', dimensions: dimensions('min') as never }), collected)
  assert.deepEqual(overridden.amounts, { [`p,${ACCOUNT} → d`]: 240n * M })
  const { amounts, report } = map(new UsageMapper({ productCode: 'p', dimensions: dimensions() as never }), collected)
  assert.deepEqual(amounts, {})
  assert.deepEqual(
    report.unbillable.map(({ message }) => message),
    [
      'bare is in "", which does not convert to d\'s h. Say the unit in the rule.',
      'wrong is in "parsecs", which does not convert to d\'s h. Say the unit in the rule.',
    ],
  )
})

test('a count of what is no histogram, and a sum of a histogram without one', async () => {
  const { meter, collect } = measure({
    views: [{ instrumentName: 'updown', aggregation: { type: AggregationType.EXPLICIT_BUCKET_HISTOGRAM } }],
  })
  meter().createCounter('counter').add(1, customer)
  // The SDK gives no sum where values may be negative.
  meter().createUpDownCounter('updown').add(1, customer)
  const mapper = new UsageMapper({
    productCode: 'p',
    dimensions: {
      counts: { unit: '1', from: { metric: 'counter', value: 'count' } },
      sums: { unit: '1', from: { metric: 'updown' } },
    },
  })
  const { amounts, report } = map(mapper, await collect())
  assert.deepEqual(amounts, {})
  assert.deepEqual(report.unbillable.map(({ reason, metric }) => `${reason} ${metric}`).sort(), [
    'no-count counter',
    'no-sum updown',
  ])
})

test('negative points, zeros and points without attributes', () => {
  const point = (value: unknown, attributes: unknown = customer) => ({ value, attributes })
  const sum = (...dataPoints: object[]) =>
    handmade({
      descriptor: { name: 'm', unit: '1' },
      dataPointType: 3,
      isMonotonic: true,
      aggregationTemporality: 0,
      dataPoints,
    })
  const { amounts, report } = map(counting({ metric: 'm' }), sum(point(-1), point(0), point(2), point(null)))
  assert.deepEqual(amounts, { [`p,${ACCOUNT} → d`]: 2n * M })
  assert.deepEqual(
    report.unbillable.map(({ reason, points }) => [reason, points]),
    [
      ['negative', 1],
      ['no-sum', 1],
    ],
  )
  const zero = map(counting({ metric: 'm' }), sum(point(0, {})))
  assert.deepEqual(zero.report.unattributed, [])
})

test('the same customer is the same object, in every collection', async () => {
  const { meter, collect } = measure()
  const { requests, tokens } = inferenceInstruments(meter())
  const mapper = new UsageMapper({ productCode: 'p' })
  const seen = new Set<unknown>()
  for (let round = 0; round < 2; round++) {
    requests.add(1, customer)
    tokens.add(1, customer)
    for (const account of map(mapper, await collect()).accounts) seen.add(account)
  }
  assert.equal(seen.size, 1)
})

test('a customer that is named is the account that usage is recorded for', async () => {
  const { meter, collect } = measure()
  inferenceInstruments(meter()).requests.add(1, customer)
  const mapper = new UsageMapper({ productCode: 'p' })
  assert.equal(map(mapper, await collect()).accounts[0], mapper.account({ accountId: ACCOUNT }))
  assert.throws(() => mapper.account({}), {
    name: 'ConfigurationError',
    message: 'Expected a customer with an accountId of 12 digits or a customerIdentifier, and not both, got {}',
  })
  assert.throws(() => new UsageMapper({ product: 'p' }).account({ accountId: ACCOUNT }), {
    message: `Expected a customer with an accountId of 12 digits and a licenseArn, got {"accountId":"${ACCOUNT}"}`,
  })
})

test('an account has one tally of each dimension, whatever the collection', async () => {
  const { meter, collect } = measure()
  const { requests, tokens } = inferenceInstruments(meter())
  const mapper = new UsageMapper({ productCode: 'p' })
  const seen = new Map<string, Set<unknown>>()
  for (let round = 0; round < 2; round++) {
    for (const attributes of [customer, other]) {
      requests.add(1, attributes)
      for (const type of ['input', 'output']) tokens.add(1, { ...attributes, 'marketplace.token.type': type })
    }
    mapper.map(await collect(), (account, dimension, _amount, _rule, tally) => {
      const key = `${account.key} ${dimension.name}`
      seen.set(key, (seen.get(key) ?? new Set()).add(tally))
    })
  }
  assert.deepEqual(
    [...seen.values()].map(tallies => tallies.size),
    [1, 1, 1, 1],
  )
  assert.equal(new Set([...seen.values()].flatMap(tallies => [...tallies])).size, 4)
})

test('two sources of one dimension raise an alarm once, and both are billed', async () => {
  const { meter, collect } = measure()
  const from: PresetName = 'marketplace.tokens'
  const rule = { metric: 'proxy.tokens' }
  const plain = new UsageMapper({ productCode: 'p', dimensions: { d: { unit: '1', from: [from, rule] } } })
  const additive = new UsageMapper({
    productCode: 'p',
    dimensions: { d: { unit: '1', from: [from, rule], additive: true } },
  })
  const record = () => {
    inferenceInstruments(meter()).tokens.add(1, customer)
    meter().createCounter('proxy.tokens').add(1, customer)
    inferenceInstruments(meter()).tokens.add(1, other)
  }
  record()
  const collected = await collect()
  const first = map(plain, collected)
  assert.equal(first.amounts[`p,${ACCOUNT} → d`], 2n * M)
  assert.equal(first.report.twoSources.length, 1)
  assert.equal(first.report.twoSources[0]?.account.accountId, ACCOUNT)
  assert.deepEqual(first.report.twoSources[0]?.sources, ['marketplace (scope app)', 'dimensions.d.from.1 (scope app)'])
  assert.match(first.report.twoSources[0]?.message ?? '', /Both are billed.*additive: true/)
  assert.deepEqual(map(additive, collected).report.twoSources, [])
  record()
  assert.deepEqual(map(plain, await collect()).report.twoSources, [])
  // Another scope is another source.
  inferenceInstruments(meter('sidecar')).tokens.add(1, customer)
  assert.deepEqual(map(plain, await collect()).report.twoSources[0]?.sources, [
    'marketplace (scope app)',
    'marketplace (scope sidecar)',
  ])
})

test('a sender may name as many scopes as it likes: so many sources are told apart, by so much of their names', async () => {
  const { meter, collect } = measure()
  for (let scope = 0; scope < 500; scope += 1) {
    inferenceInstruments(meter(`${scope} ${'x'.repeat(1000)}`)).tokens.add(1, customer)
  }
  const mapper = new UsageMapper({ productCode: 'p', dimensions: { d: { unit: '1', from: 'marketplace.tokens' } } })
  const { report, amounts } = map(mapper, await collect())
  assert.equal(amounts[`p,${ACCOUNT} → d`], 500n * M)
  assert.equal(report.twoSources.length, 100)
  for (const { message } of report.twoSources) assert.ok(message.length < 700, message)
  assert.match(report.twoSources.at(-1)?.message ?? '', / and marketplace \(one of too many scopes\)\. Both are billed/)
})

test('presets of one family are one source', async () => {
  const { meter, collect } = measure()
  meter().createCounter('gen_ai.client.inference.usage.input_tokens', { unit: '{token}' }).add(1, customer)
  meter().createCounter('gen_ai.client.inference.usage.output_tokens', { unit: '{token}' }).add(2, customer)
  const collected = await collect()
  for (const from of [['genai.input-tokens', 'genai.output-tokens'], ['genai.tokens']] as PresetName[][]) {
    const { amounts, report } = map(counting(from), collected)
    assert.deepEqual(amounts, { [`p,${ACCOUNT} → d`]: 3n * M })
    assert.deepEqual(report.twoSources, [])
  }
})

test('every preset stands by itself, in the unit of its thing', () => {
  for (const name of Object.keys(PRESETS) as PresetName[]) {
    const unit = name.endsWith('.time') ? 'h' : '1'
    const make = () => new UsageMapper({ productCode: 'p', dimensions: { d: { unit, from: name } } }, { gauges: true })
    assert.doesNotThrow(make, name)
  }
})

test('what only the gateway can integrate is refused', () => {
  assert.throws(
    () => counting('dcgm.time', { unit: 'h' }),
    /dimensions\.d\.from: 'dcgm\.time': expected counters or histograms; only the gateway integrates gauges/,
  )
})

test('GenAI: failed calls, subsets and the count of token.usage are no usage', async () => {
  const { meter, collect } = measure()
  const call = (failed: boolean) => {
    const attributes = failed ? { ...customer, 'error.type': 'timeout' } : customer
    for (const name of ['gen_ai.client.operation.duration', 'gen_ai.client.inference.duration']) {
      meter().createHistogram(name, { unit: 's' }).record(2, attributes)
    }
    if (failed) return
    const usage = meter().createHistogram('gen_ai.client.token.usage', { unit: '{token}' })
    usage.record(100, { ...customer, 'gen_ai.token.type': 'input' })
    usage.record(20, { ...customer, 'gen_ai.token.type': 'output' })
    usage.record(50, { ...customer, 'gen_ai.token.type': 'cached' })
    for (const [name, value] of [
      ['usage.input_tokens', 100],
      ['usage.output_tokens', 20],
      ['usage.cache_read.input_tokens', 50],
      ['usage.reasoning.output_tokens', 5],
    ] as const) {
      meter().createCounter(`gen_ai.client.inference.${name}`, { unit: '{token}' }).add(value, customer)
    }
    meter().createHistogram('gen_ai.client.inference.operation.input_tokens').record(100, customer)
  }
  call(false)
  call(false)
  call(true)
  const collected = await collect()
  for (const family of ['genai', 'genai-legacy']) {
    const dimension = (thing: string, unit: string) => ({ unit, from: `${family}.${thing}` as PresetName })
    const mapper = new UsageMapper({
      productCode: 'p',
      dimensions: {
        requests: dimension('requests', '{request}'),
        tokens: dimension('tokens', '{token}'),
        input: dimension('input-tokens', '{token}'),
        output: dimension('output-tokens', '{token}'),
        time: dimension('time', 's'),
      },
    })
    assert.deepEqual(map(mapper, collected).amounts, {
      [`p,${ACCOUNT} → requests`]: 2n * M,
      [`p,${ACCOUNT} → tokens`]: 240n * M,
      [`p,${ACCOUNT} → input`]: 200n * M,
      [`p,${ACCOUNT} → output`]: 40n * M,
      [`p,${ACCOUNT} → time`]: 4n * M,
    })
  }
})

test('metrics born in Prometheus: every spelling of the name, no unit', async () => {
  const cases: [PresetName, string, string[], bigint][] = [
    [
      'vllm.requests',
      '1',
      ['vllm:request_success', 'vllm:request_success_total', 'vllm_request_success_total'],
      6n * M,
    ],
    ['vllm.tokens', '1', ['vllm:prompt_tokens_total', 'vllm:generation_tokens'], 4n * M],
    ['sglang.input-tokens', '1', ['sglang:prompt_tokens', 'sglang_prompt_tokens_total'], 4n * M],
    [
      'triton.time',
      's',
      ['nv_inference_compute_infer_duration_us', 'nv_inference_compute_infer_duration_us_total'],
      4n,
    ],
    ['litellm.tokens', '1', ['litellm_input_tokens_metric_total', 'litellm_output_tokens_metric'], 4n * M],
    ['tgi.requests', '1', ['tgi_request_success', 'tgi_request_success_total'], 4n * M],
    ['vllm.requests', '1', ['ray_vllm_request_success_total', 'ray_vllm:request_success_total'], 4n * M],
    ['vllm.tokens', '1', ['ray_vllm_prompt_tokens_total', 'ray_vllm_generation_tokens_total'], 4n * M],
    ['sglang.output-tokens', '1', ['ray_sglang_generation_tokens_total'], 2n * M],
    ['nim.requests', '1', ['request_success_total', 'request_success'], 4n * M],
    ['nim.tokens', '1', ['prompt_tokens_total', 'generation_tokens'], 4n * M],
    ['tensorrt-llm.requests', '1', ['trtllm_request_success_total', 'trtllm:request_success'], 4n * M],
    ['tensorrt-llm.tokens', '1', ['trtllm_prompt_tokens_total', 'trtllm_generation_tokens'], 4n * M],
    ['lmdeploy.requests', '1', ['lmdeploy:request_success_total', 'lmdeploy_request_success'], 4n * M],
    ['lmdeploy.tokens', '1', ['lmdeploy:prompt_tokens', 'lmdeploy:generation_tokens_total'], 4n * M],
    ['llamacpp.tokens', '1', ['llamacpp:prompt_tokens_total', 'llamacpp_tokens_predicted'], 4n * M],
    ['dynamo.output-tokens', '1', ['dynamo_frontend_output_tokens_total', 'dynamo_frontend_output_tokens'], 4n * M],
    ['genai.tokens', '1', ['gen_ai_client_inference_usage_input_tokens_total'], 2n * M],
  ]
  for (const [from, unit, names, amount] of cases) {
    const { meter, collect } = measure()
    for (const name of names) meter().createCounter(name).add(2, customer)
    assert.deepEqual(map(counting(from, { unit }), await collect()).amounts, { [`p,${ACCOUNT} → d`]: amount }, from)
  }
  const histograms: [PresetName, string, string, bigint][] = [
    ['vllm.time', 's', 'vllm:request_inference_time_seconds', 6n * M],
    ['sglang.requests', '1', 'sglang:e2e_request_latency_seconds', 2n * M],
    ['tgi.input-tokens', '1', 'tgi_request_input_length', 6n * M],
    ['tgi.output-tokens', '1', 'tgi_request_generated_tokens', 6n * M],
    ['vllm.time', 's', 'vllm:request_inference_time', 6n * M],
    ['vllm.time', 's', 'ray_vllm_request_inference_time_seconds', 6n * M],
    ['sglang.requests', '1', 'sglang:e2e_request_latency', 2n * M],
    ['nim.time', 's', 'e2e_request_latency_seconds', 6n * M],
    ['tensorrt-llm.time', 's', 'trtllm_request_inference_time_seconds', 6n * M],
    ['lmdeploy.time', 's', 'lmdeploy:request_inference_time', 6n * M],
    ['dynamo.input-tokens', '1', 'dynamo_frontend_input_sequence_tokens', 6n * M],
    ['genai-server.time', 's', 'gen_ai_server_request_duration_seconds', 6n * M],
    ['genai-server.requests', '1', 'gen_ai_server_request_duration', 2n * M],
    ['genai-legacy.requests', '1', 'gen_ai_client_operation_duration_seconds', 2n * M],
    ['genai.time', 's', 'gen_ai_client_inference_duration_seconds', 6n * M],
  ]
  for (const [from, unit, name, amount] of histograms) {
    const { meter, collect } = measure()
    const histogram = meter().createHistogram(name)
    histogram.record(2, customer)
    histogram.record(4, customer)
    assert.deepEqual(map(counting(from, { unit }), await collect()).amounts, { [`p,${ACCOUNT} → d`]: amount }, from)
  }
})

test('metrics of another shape go through begin()', () => {
  const mapper = new UsageMapper({ productCode: 'p' })
  const amounts: bigint[] = []
  const mapping = mapper.begin({}, (_account, _dimension, amount) => {
    amounts.push(amount)
    return undefined
  })
  assert.equal(mapping.metric('scope', 'other', '', undefined), false)
  mapping.ignore(3)
  assert.equal(mapping.metric('scope', 'marketplace.inference.tokens', '{token}', undefined), true)
  mapping.point(customer, 2n ** 40n + 1n, undefined)
  assert.deepEqual(amounts, [(2n ** 40n + 1n) * M])
  assert.equal(mapping.report.points, 4)
  assert.equal(mapping.report.ignored, 3)
})
