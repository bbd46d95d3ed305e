import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { UsageMapper } from '../../src/usage/mapper.ts'
import type { DimensionOptions } from '../../src/usage/options.ts'
import { PRESETS, type PresetName } from '../../src/usage/presets.ts'
import { map, measure } from './sdk.ts'

const ACCOUNT = '012345678901'
const customer = { 'marketplace.customer.account_id': ACCOUNT }
const M = 1_000_000n
const NAMES = Object.keys(PRESETS) as PresetName[]

const counting = (from: DimensionOptions['from'], rest: Partial<DimensionOptions> = {}) =>
  new UsageMapper({ productCode: 'p', dimensions: { d: { unit: '1', from, ...rest } } })

test('where a counter has failures or totals besides, only what was asked for counts', async () => {
  const counters: [PresetName, string, string, Record<string, number>, bigint][] = [
    // What LiteLLM says of a failure: its status, or what Python makes of none.
    [
      'litellm.requests',
      'litellm_proxy_total_requests_metric_total',
      'status_code',
      { '200': 7, '429': 100, '500': 100, None: 100 },
      7n,
    ],
    ['dynamo.requests', 'dynamo_frontend_requests_total', 'status', { success: 7, error: 100 }, 7n],
    [
      'kong.tokens',
      'kong_ai_llm_tokens_total',
      'token_type',
      { prompt_tokens: 5, completion_tokens: 2, total_tokens: 7 },
      7n,
    ],
    ['kong.input-tokens', 'ai_llm_tokens_total', 'token_type', { prompt_tokens: 5, total_tokens: 7 }, 5n],
    [
      'genai-legacy.tokens',
      'gen_ai_client_token_usage_token',
      'gen_ai_token_type',
      { input: 5, output: 2, total: 7 },
      7n,
    ],
    ['genai-legacy.output-tokens', 'gen_ai_client_token_usage', 'gen_ai_token_type', { input: 5, output: 2 }, 2n],
  ]
  for (const [from, name, label, values, amount] of counters) {
    const { meter, collect } = measure()
    const counter = meter().createCounter(name)
    for (const [value, times] of Object.entries(values)) counter.add(times, { ...customer, [label]: value })
    counter.add(100, customer)
    assert.deepEqual(map(counting(from), await collect()).amounts, { [`p,${ACCOUNT} → d`]: amount * M }, from)
  }
  const { meter, collect } = measure()
  const duration = meter().createHistogram('gen_ai_server_request_duration_seconds')
  duration.record(2, customer)
  duration.record(2, { ...customer, error_type: 'timeout' })
  assert.deepEqual(map(counting('genai-server.requests'), await collect()).amounts, { [`p,${ACCOUNT} → d`]: 1n * M })
})

test('tokens are counted, whatever their unit is called', async () => {
  const { meter, collect } = measure()
  const usage = meter().createHistogram('gen_ai.client.token.usage', { unit: 'token' })
  usage.record(2, { ...customer, 'gen_ai.token.type': 'input' })
  assert.deepEqual(map(counting('genai-legacy.tokens'), await collect()).amounts, { [`p,${ACCOUNT} → d`]: 2n * M })
})

test('the gauge that Ray keeps beside a counter is nothing that a preset asks for', async () => {
  const { meter, collect } = measure()
  meter().createCounter('ray_vllm_request_success_total').add(2, customer)
  meter().createGauge('ray_vllm_request_success').record(2, customer)
  const { amounts, report } = map(counting('vllm.requests'), await collect())
  assert.deepEqual(amounts, { [`p,${ACCOUNT} → d`]: 2n * M })
  assert.deepEqual(report.unbillable, [])
})

test('a proxy, a server and its engine count one usage: two of them for a dimension are refused', () => {
  const pairs: [PresetName, PresetName][] = [
    ['litellm.requests', 'vllm.requests'],
    ['kong.tokens', 'litellm.input-tokens'],
    ['dynamo.output-tokens', 'tensorrt-llm.tokens'],
    ['nim.requests', 'triton.requests'],
    ['lmdeploy.time', 'dcgm.time'],
    ['llamacpp.tokens', 'genai-legacy.tokens'],
  ]
  for (const [one, other] of pairs) {
    const unit = one.endsWith('.time') ? 'h' : '1'
    const make = (rest: object) => () =>
      new UsageMapper({ productCode: 'p', dimensions: { d: { unit, from: [one, other], ...rest } } }, { gauges: true })
    assert.throws(make({}), /which count the same thing/, `${one} ${other}`)
    assert.doesNotThrow(make({ additive: true }))
  }
  // Parts of one source add up, and a whole does not add up with its part.
  assert.doesNotThrow(() =>
    counting(['kong.input-tokens', 'kong.output-tokens', 'llamacpp.tokens'], { additive: true }),
  )
  assert.throws(() => counting(['kong.tokens', 'kong.output-tokens'], { additive: true }), /at most one holds/)
  assert.throws(() => counting(['dynamo.tokens', 'dynamo.input-tokens'], { additive: true }), /at most one holds/)
})

test('no metric feeds two presets of different sources', () => {
  const metrics = (name: PresetName) => PRESETS[name].flatMap(({ metric }) => metric)
  for (const one of NAMES) {
    for (const other of NAMES) {
      if (one.split('.')[0] === other.split('.')[0]) continue
      assert.deepEqual(
        metrics(one).filter(metric => metrics(other).includes(metric)),
        [],
        `${one} ${other}`,
      )
    }
  }
})

test("the manual's table has every preset, with the things that it has", () => {
  const manual = readFileSync(new URL('../../src/usage/README.md', import.meta.url), 'utf8')
  const [, table = ''] = /^\| presets \| things \|.*\n\|.*\n((?:\|.*\n)+)/m.exec(manual) ?? []
  const tokens = ['tokens', 'input-tokens', 'output-tokens']
  const said = table.split('\n').flatMap(row => {
    const [, families = '', things = ''] = row.split('|')
    const named = [...things.matchAll(/`\.([\w-]+)`/g)].map(([, thing]) => thing)
    const all = /all five/.test(things)
      ? ['requests', ...tokens, 'time']
      : [...named, ...(/tokens/.test(things) ? tokens : [])]
    return [...families.matchAll(/`([\w-]+)`/g)].flatMap(([, family]) => all.map(thing => `${family}.${thing}`))
  })
  const gpus = ['dcgm.time', 'dcgm-utilization.time', 'kube-state.time']
  for (const name of gpus) assert.ok(manual.includes(`\`${name}\``), name)
  assert.deepEqual([...said, ...gpus].sort(), [...NAMES].sort())
})
