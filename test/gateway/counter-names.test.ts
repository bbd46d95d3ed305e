import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import type { Attributes } from '@opentelemetry/api'
import { CounterNames } from '../../src/gateway/counter-names.ts'
import type { OtlpMetric, OtlpPoint, OtlpRequest } from '../../src/gateway/otlp/metrics.ts'
import { read } from '../../src/gateway/reading.ts'
import type { Observation } from '../../src/ledger/ledger.ts'
import { UsageMapper } from '../../src/usage/mapper.ts'

/** A counter that is called otherwise is a stranger to every ledger that knows it. */

const NOW = Date.UTC(2026, 2, 10)
const SCRAPER = 'github.com/open-telemetry/opentelemetry-collector-contrib/receiver/prometheusreceiver'
const ALICE = { 'marketplace.customer.account_id': '111111111111' }
const LONG = 'x'.repeat(20_000)

const mapper = new UsageMapper(
  {
    productCode: 'prod-1',
    dimensions: {
      tokens: { unit: '{token}', from: { metric: ['tokens', 'tokens_hist'] } },
      requests: { unit: '{request}', from: { metric: 'tokens_hist', value: 'count' } },
      gpu: { unit: 'h', from: { metric: 'gpus', value: 'integral' } },
    },
  },
  { gauges: true },
)

interface Shape {
  readonly resource?: Attributes
  readonly scope?: { readonly name?: string; readonly version?: string; readonly attributes?: Attributes }
  readonly metric?: Partial<OtlpMetric>
  readonly attributes?: Attributes
}

function requestOf({ resource = {}, scope, metric, attributes = ALICE }: Shape): OtlpRequest {
  const time = BigInt(NOW) * 1_000_000n
  const point: OtlpPoint = {
    ...{ attributes, startTime: time - 60_000_000_000n, time, sum: 5, count: 3n, noRecordedValue: false },
  }
  const metrics: OtlpMetric[] = [
    {
      ...{ name: 'tokens', unit: '{token}', type: 'sum', temporality: 'cumulative', monotonic: true, points: [point] },
      ...metric,
    },
  ]
  return {
    resourceMetrics: [{ resource, scopes: [{ name: 'app', version: '1', attributes: {}, ...scope, metrics }] }],
  }
}

const namesOf = (shape: Shape, names?: CounterNames) =>
  read(mapper, requestOf(shape), NOW, names).observations.map(({ counter, series, stream }) => ({
    ...{ counter, series, key: stream?.key, target: stream?.target },
    attributes: createHash('sha256')
      .update(stream?.attributes as string)
      .digest('hex')
      .slice(0, 8),
  }))

const GAUGE = { type: 'gauge', temporality: 'unspecified', monotonic: false } as const
const TARGET = { 'service.name': 'vllm', 'service.instance.id': '10.0.0.1:8000', 'url.scheme': 'http' }

const SHAPES: Readonly<Record<string, Shape>> = {
  empty: { scope: { name: '', version: '' }, metric: { unit: '' }, attributes: {} },
  plain: {},
  sdk: { resource: { 'telemetry.sdk.language': 'nodejs', 'service.name': 'a' } },
  instance: { resource: { 'service.name': 'a', 'service.instance.id': 'i-1' } },
  'scope attributes': { scope: { attributes: { b: 1, a: ['x', 'y'], c: null as unknown as string } } },
  'no version': { scope: { version: '' } },
  delta: { metric: { temporality: 'delta' } },
  histogram: { metric: { name: 'tokens_hist', type: 'histogram' } },
  'exponential histogram': { metric: { name: 'tokens_hist', type: 'exponential-histogram', unit: '1' } },
  gauge: { metric: { ...GAUGE, name: 'gpus', unit: '{gpu}' } },
  'scraped by its scope': { resource: { 'service.name': 'vllm' }, scope: { name: SCRAPER, version: '0.159.0' } },
  'scraped by its resource': { resource: TARGET },
  'scraped gauge': { resource: TARGET, metric: { ...GAUGE, name: 'gpus', unit: '' } },
  unicode: {
    resource: { größe: 'übergroß', 日本: '語' },
    scope: { name: 'škola', version: '1\u00a0' },
    attributes: { ...ALICE, emoji: '😀', 'line\nbreak': '\u2028' },
  },
  surrogates: {
    resource: { high: '\ud83d', low: '\ude00' },
    scope: { name: '\ude00scope\ud83d', version: '\ude00v\ud83d', attributes: { '\ud83d': '\ude00' } },
    metric: { unit: '{\ud83d}' },
    attributes: { ...ALICE, '\ud83d': '\ude00', both: '\ud83d\ude00' },
  },
  'line breaks': { scope: { name: 'a\nb', version: '1\n2' }, metric: { unit: '{a\nb}' } },
  'long resource': { resource: { long: LONG, short: 's', 'service.name': 'a' } },
  'many attributes of a resource': {
    resource: Object.fromEntries(Array.from({ length: 1000 }, (_, n) => [`label.${n}`, 'some value'])),
  },
  'long scope': { scope: { name: LONG, attributes: { long: LONG } } },
  'long, scraped': { resource: { long: LONG, ...TARGET }, scope: { name: SCRAPER } },
  'long, scraped without an instance': { resource: { long: LONG }, scope: { name: SCRAPER } },
  'long surrogates': { resource: { long: '\ud83d'.repeat(5000) }, attributes: { ...ALICE, long: '😀'.repeat(5000) } },
  order: { resource: { b: '1', a: '2', __proto__x: '3', B: '4', 10: '5', 9: '6' }, attributes: { z: true, ...ALICE } },
}

/** Counter, series, stream, target, and the digest of the stream's attributes. */
const NAMES: Readonly<Record<string, readonly string[]>> = {
  empty: [
    '499601fbc4d79452efd37f608320be54 e733e109a2720c2dd35c74ad910bbb9d a8270cce6d8e33e47aecdaa767c9ac2a a8270cce6d8e 44136fa3',
  ],
  plain: [
    '560841a4aec56e2c09fab995bf8c6192 45469863c38562f3e82535c5172781cd 88a98c4cbd09633dbe4ea80ac056c8ba 88a98c4cbd09 9f890793',
  ],
  sdk: [
    '1d52898f3676562e61db161c42ade60a 45469863c38562f3e82535c5172781cd b9fbe7135bf48e6961eb0ef053ffcbdc b9fbe7135bf4 435f5099',
  ],
  instance: [
    '833adf5d43bfe2c843e03335ba143b9e 45469863c38562f3e82535c5172781cd 201496d5bd47d52d9366376c54d627d0 55dc519d5280 8678344d',
  ],
  'scope attributes': [
    'f82661fa357c835f25249c20c4a89c05 45469863c38562f3e82535c5172781cd cb87949c125e222e4cc017d3362a3168 cb87949c125e a0d9d6ed',
  ],
  'no version': [
    'a28d7110f7e677495bd7e60f3f8dd4fb 45469863c38562f3e82535c5172781cd 7b98235de69efa9be9da537353b9bcd2 7b98235de69e aadf5d93',
  ],
  delta: [
    '0a97a8387b905714d9d7ade129116ef4 c2d532b379b94d10f4494cbeaec00023 b3ac2bb418c4c34c612f8c442a85d283 b3ac2bb418c4 9f890793',
  ],
  histogram: [
    '9d718367af1430a3a31f8b7592930f06 06f76a0b8b34d73ca75d3d1344cba023 3fb016063938f782bd224793da302411 3fb016063938 9f890793',
    'f0feb2b5409fed430a5743b248b53152 b579b902cd52e8a68d12b8a29403f7b9 3fb016063938f782bd224793da302411 3fb016063938 9f890793',
  ],
  'exponential histogram': [
    '9262b9a5ea2ed33f0f211681be004b75 e598dafa1932d960717f27ca63f064a5 a74cd0667f4de74b55a1d78384bdfb91 a74cd0667f4d e1836339',
    '42f9898e7621f8ccca1f4a7fdd5fe941 a883626accd845e56c50ff815fb427ee a74cd0667f4de74b55a1d78384bdfb91 a74cd0667f4d e1836339',
  ],
  gauge: [
    '99febb0805b2e183f78aacb6da78f8ed 50c26396429cd45c1bf575e1fa5656ec a70e541fb4602347814676bbac61ca5f a70e541fb460 e7d64fe4',
  ],
  'scraped by its scope': [
    'dd1d77085a2d885698209c741be61205 2b5b0a459319ede03473b4629e106da6 ce2ba4b96737a6c2c13d55367f0803ec 1aea2972cb83 44136fa3',
  ],
  'scraped by its resource': [
    'e4ccb0136989a4c3b71b1425c5a37f27 2b5b0a459319ede03473b4629e106da6 b6fea533f65fe33862e2f45250909cf2 0035e93dc189 44136fa3',
  ],
  'scraped gauge': [
    'e8c5def60e4f3e6e845f7d021c1b08e5 d85a25c72f5ec0d057378eb44a1bcf22 a387f0a3393219e8bab84d466f871279 0035e93dc189 44136fa3',
  ],
  unicode: [
    '599b9ffbb0709744feb6b695bc300816 d72803b0451f068e0e2babc17d6f8a01 4d4dd09a8321a9212e18d605453bfab6 4d4dd09a8321 77643ba7',
  ],
  surrogates: [
    '453b61a3240407e5e4917b37f9475be4 c8a21e8f3909291daf547e75cb514ddc 60987e09fa0928d1cbc07ead9877e358 60987e09fa09 a05845e6',
  ],
  'line breaks': [
    'fd3fe8ac5be86049a34613f060b40ecb 19975b80d5aa28fdb277e8b6a5f83c89 3befbdc4a2c8992130d2fbb5ff7a139e 3befbdc4a2c8 369b7764',
  ],
  'long resource': [
    'c629f3a111f62e6230a9251f53b5b0cf 45469863c38562f3e82535c5172781cd 134076a0857a7523cc66263806273d34 134076a0857a 8ea994a1',
  ],
  'many attributes of a resource': [
    '1c79741c090b127ff161a9cb34843c76 45469863c38562f3e82535c5172781cd 30e2adb15ce1ea7017b06f8f523b33e8 30e2adb15ce1 535093c1',
  ],
  'long scope': [
    'c8d826507ac1635e9371550143dd1013 d534d85dc5c3c916e152a54647b3b6f2 6e59268bec7097c5cc6ad1158f527c19 6e59268bec70 4477b731',
  ],
  'long, scraped': [
    'ef8a1a9faff39fe17397a359f9fa5369 2b5b0a459319ede03473b4629e106da6 b6fea533f65fe33862e2f45250909cf2 0035e93dc189 44136fa3',
  ],
  'long, scraped without an instance': [
    '83a4bede0e4d49b549d431dd3744bf76 2b5b0a459319ede03473b4629e106da6 079fae11f4b4aec1a8ba4243a4491dbe c2d5b8d0bbe3 44136fa3',
  ],
  'long surrogates': [
    'b98b872e32f6fe0f34a906b5a4096e13 fe30696b5be345384594fcd5a607774d 8204cac05ae6ee8e48e82f579fc65874 8204cac05ae6 838d0ebf',
  ],
  order: [
    'dd7932de68b5d7569ebf480d139c1d21 77fefdfd32923d88909adcceb27cabfa c1539a1544116651520c4294284a3c1a c1539a154411 1289c810',
  ],
}

for (const [what, shape] of Object.entries(SHAPES)) {
  test(`names stay as they are: ${what}`, () => {
    // The second time they are remembered.
    const names = new CounterNames()
    for (const _ of [1, 2]) {
      assert.deepEqual(
        namesOf(shape, names).map(name => Object.values(name).join(' ')),
        NAMES[what],
      )
    }
  })
}

test('whatever the product is called, and whether it is one of two, a counter is the same', () => {
  const options = { dimensions: { tokens: { unit: '{token}', from: { metric: 'tokens' } } } }
  const product = 'label'
  const identities = [
    { productCode: 'prod-1' },
    { productCode: 'prod-2' },
    { product },
    { productCode: 'prod-1', product },
  ]
  const resource = {
    'marketplace.customer.license_arn': 'arn:aws:license-manager::555555555555:license:l-0123456789abcdef',
  }
  for (const scope of [{ name: 'app' }, { name: SCRAPER }]) {
    const names = identities.map(identity => {
      const mapper = new UsageMapper({ ...options, ...identity })
      const { counter, series } = read(mapper, requestOf({ resource, scope }), NOW).observations[0] as Observation
      return `${counter} ${series}`
    })
    assert.equal(new Set(names).size, 1)
  }
})

test('attributes of a resource are in the names of its streams once they are few, or its streams are', () => {
  const resource = Object.fromEntries(Array.from({ length: 80 }, (_, n) => [`label.${n}`, 'x'.repeat(90)]))
  const [metric] = requestOf({}).resourceMetrics[0]?.scopes[0]?.metrics ?? []
  const scopes = Array.from({ length: 20_000 }, (_, n) => {
    return { name: `scope ${n}`, version: '1', attributes: {}, metrics: [metric as OtlpMetric] }
  })
  const { observations } = read(mapper, { resourceMetrics: [{ resource, scopes }] }, NOW)
  assert.equal(observations.length, scopes.length)
  const lengths = observations.map(({ stream }) => stream?.attributes.length as number)
  assert.ok((lengths[0] as number) > 9000)
  assert.ok(lengths.reduce((sum, length) => sum + length, 0) < 36 * 1024 * 1024)
  assert.deepEqual(JSON.parse(observations.at(-1)?.stream?.attributes as string), {
    name: observations.at(-1)?.stream?.key,
  })
})
