import assert from 'node:assert/strict'
import { test } from 'node:test'
import { UsageMapper } from '../../src/usage/mapper.ts'
import { PRESETS, type PresetName } from '../../src/usage/presets.ts'
import type { Rule } from '../../src/usage/rule.ts'
import { measure } from './sdk.ts'

const namesOf = (preset: string) =>
  new Set((PRESETS[preset as PresetName] as Rule[]).flatMap(({ metric }) => [metric].flat() as string[]))

test('a preset has as many sources as it adds up, each under all of its names', () => {
  for (const preset of Object.keys(PRESETS) as PresetName[]) {
    const [family, thing] = preset.split('.')
    const [input, output] = thing === 'tokens' ? ['input', 'output'] : []
    const outputs = namesOf(`${family}.${output ?? thing}-tokens` in PRESETS ? `${family}.${output}-tokens` : preset)
    const added =
      input === undefined || [...namesOf(`${family}.${input}-tokens`)].every(name => outputs.has(name))
        ? [preset]
        : [`${family}.${input}-tokens`, `${family}.${output}-tokens`]
    const unit = thing === 'time' ? 's' : '1'
    const mapper = new UsageMapper({ productCode: 'p', dimensions: { d: { unit, from: preset } } }, { gauges: true })
    const { sources } = mapper.arrivals
    assert.deepEqual(
      sources.map(({ metrics }) => [...metrics].sort()),
      added.map(name => [...namesOf(name)].sort()),
      preset,
    )
    assert.equal(new Set(sources.map(({ group }) => group)).size, added.length)
  }
})

test('names that no rule has are kept up to a bound, and those that begin as a rule’s are never crowded out', () => {
  const { arrivals, ...mapper } = mapperOf('app.tokens')
  for (let number = 0; number < 10_000; number++) mapper.names(`node_${number}`)
  mapper.names('x'.repeat(1_000_000))
  mapper.names(`app.${'x'.repeat(1_000_000)}`)
  mapper.names('app.token')
  mapper.names('ray_app.token')
  for (let number = 0; number < 10_000; number++) mapper.names(`app.${number}`)
  assert.equal(arrivals.unnamedMetrics.length, 400)
  assert.deepEqual(arrivals.unnamedMetrics.slice(0, 2), ['app.token', 'ray_app.token'])
  assert.ok(arrivals.unnamedMetrics.every(name => name.length < 256))
  assert.equal(arrivals.heard, 20_004)
})

test('of points that no rule takes a few values are kept, of the attributes only that rules ask for', async () => {
  const mapper = new UsageMapper({
    productCode: 'p',
    dimensions: { d: { unit: '1', from: { metric: 'app.tokens', attributes: { tier: 'premium', error: null } } } },
  })
  const { meter, collect } = measure()
  const counter = meter().createCounter('app.tokens')
  for (let number = 0; number < 100; number++) {
    counter.add(1, { tier: `${number}${'x'.repeat(1000)}`, error: number % 2 === 0 ? 'timeout' : '', secret: number })
  }
  counter.add(1, { tenant: 'acme' })
  mapper.map(await collect(), () => {})
  const metric = mapper.arrivals.metrics.get('app.tokens')
  assert.deepEqual([metric?.taken, metric?.unmatched], [0, 101])
  const [tier, error, ...others] = [...(metric?.differing ?? [])]
  assert.deepEqual([tier?.[0], tier?.[1].size, error?.[0], error?.[1].size, others], ['tier', 5, 'error', 2, []])
  assert.ok([...(tier?.[1] ?? [])].every(value => (value?.length ?? 0) < 70))
})

function mapperOf(metric: string) {
  const mapper = new UsageMapper({ productCode: 'p', dimensions: { d: { unit: '1', from: { metric } } } })
  return { arrivals: mapper.arrivals, names: (name: string) => mapper.names(name) }
}
