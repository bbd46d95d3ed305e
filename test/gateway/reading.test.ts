import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Attributes } from '@opentelemetry/api'
import { CounterNames } from '../../src/gateway/counter-names.ts'
import type { OtlpMetric, OtlpPoint } from '../../src/gateway/otlp/metrics.ts'
import { type Reading, read } from '../../src/gateway/reading.ts'
import { checkObservations } from '../../src/ledger/rules/counters/index.ts'
import { UsageMapper } from '../../src/usage/mapper.ts'

const NOW = Date.UTC(2026, 2, 10)
const ALICE: Attributes = { 'marketplace.customer.account_id': '111111111111' }

const mapper = new UsageMapper(
  {
    productCode: 'prod-1',
    dimensions: {
      tokens: { unit: '{token}', from: { metric: ['tokens', 'tokens_hist'] } },
      'tokens-again': { unit: '{token}', from: { metric: 'twice' } },
      twice: { unit: '{token}', from: { metric: 'twice' } },
      requests: { unit: '{request}', from: { metric: 'tokens_hist', value: 'count' } },
      time: { unit: 's', from: { metric: 'busy' } },
      gpu: { unit: 'h', from: { metric: 'gpus', value: 'integral' } },
      ever: { unit: '{token}', from: { metric: 'ever', baseline: true } },
    },
  },
  { gauges: true },
)

const nanoseconds = (milliseconds: number) => BigInt(milliseconds) * 1_000_000n
const YEAR_2200 = nanoseconds(Date.UTC(2200, 0))
const GAUGE = { type: 'gauge', temporality: 'unspecified', monotonic: false } as const

function point(change: Partial<OtlpPoint> = {}): OtlpPoint {
  const time = nanoseconds(NOW)
  return {
    ...{ attributes: ALICE, startTime: time - 60_000_000_000n, time, sum: 5n, count: undefined },
    ...{ noRecordedValue: false, ...change },
  }
}

function readOne(
  points: OtlpPoint[],
  change: Partial<OtlpMetric> = {},
  resource: Attributes = {},
  names?: CounterNames,
): Reading {
  const metric: OtlpMetric = {
    ...{ name: 'tokens', unit: '{token}', type: 'sum', temporality: 'delta', monotonic: true, points },
    ...change,
  }
  const scopes = [{ name: 'app', version: '1', attributes: {}, metrics: [metric] }]
  return read(mapper, { resourceMetrics: [{ resource, scopes }] }, NOW, names)
}

function told({ observations, reports: [report] }: Reading) {
  const { rejected = 0, ignored = 0, unbillable = [], doubtful = [] } = report ?? {}
  return {
    ...{ taken: observations.length, rejected, ignored },
    reasons: [...unbillable, ...doubtful].map(({ reason }) => reason),
  }
}

const refused = (...reasons: string[]) => ({ taken: 0, rejected: 1, ignored: 0, reasons })
const taken = (...reasons: string[]) => ({ taken: 1, rejected: 0, ignored: 0, reasons })
const silent = { taken: 0, rejected: 0, ignored: 1, reasons: [] }

const time = nanoseconds(NOW)
const year2100 = nanoseconds(Date.UTC(2100, 0))
for (const [what, change, delta, cumulative, gauge] of [
  ['usual', {}, taken(), taken(), taken()],
  ['without a time', { time: 0n }, refused('no-time'), refused('no-time'), refused('no-time')],
  ['of one nanosecond', { time: 1n }, refused('no-time'), refused('no-time'), refused('no-time')],
  ['of one microsecond', { time: 1000n }, refused('no-time'), refused('no-time'), refused('no-time')],
  ['of 1970', { time: 86_400_000_000_000n }, refused('no-time'), refused('no-time'), refused('no-time')],
  ['of 2200', { time: YEAR_2200 }, refused('no-time'), refused('no-time'), refused('no-time')],
  ['of the largest time', { time: 2n ** 64n - 1n }, refused('no-time'), refused('no-time'), refused('no-time')],
  ['of the last time', { time: year2100 }, taken(), taken(), taken()],
  ['without a start', { startTime: 0n }, taken(), taken(), taken()],
  [
    ...(['of the largest start', { startTime: 2n ** 64n - 1n }] as const),
    ...[taken('start-after-time'), refused('no-time'), taken()],
  ],
  [
    ...(['that started later', { startTime: time + 600_000_000_000n }] as const),
    ...[taken('start-after-time'), taken('start-after-time'), taken()],
  ],
  ['that started a little later', { startTime: time + 1_000_000_000n }, taken(), taken(), taken()],
  ['of the largest integer', { sum: 2n ** 63n - 1n }, ...Array(3).fill(refused('out-of-range'))],
  ['of the same as a double', { sum: 2 ** 63 }, ...Array(3).fill(refused('out-of-range'))],
  ['of the largest without a sign', { sum: 2 ** 64 }, ...Array(3).fill(refused('out-of-range'))],
  ['of nearly nothing', { sum: 4e-7 }, refused('too-small'), taken(), { ...refused('too-small'), taken: 1 }],
  ['of an exabyte', { sum: 10n ** 18n }, taken(), taken(), taken()],
  ['of the most there is', { sum: 1.3e30 }, taken(), taken(), refused('out-of-range')],
  ['of more', { sum: 1.4e30 }, ...Array(3).fill(refused('out-of-range'))],
  ['of 1e300', { sum: 1e300 }, ...Array(3).fill(refused('out-of-range'))],
  ['of NaN', { sum: Number.NaN }, ...Array(3).fill(refused('not-a-number'))],
  ['below zero', { sum: -1n }, ...Array(3).fill(refused('negative'))],
] as readonly (readonly [string, Partial<OtlpPoint>, object, object, object])[]) {
  test(`a point ${what}: a delta, a total and a level`, () => {
    assert.deepEqual(told(readOne([point(change)])), delta)
    assert.deepEqual(told(readOne([point(change)], { temporality: 'cumulative' })), cumulative)
    assert.deepEqual(told(readOne([point(change)], { ...GAUGE, name: 'gpus', unit: '' })), gauge)
  })
}

test('the largest integer is no value in the smallest unit either, nor as a count', () => {
  assert.deepEqual(
    told(readOne([point({ sum: 2n ** 63n - 1n })], { name: 'busy', unit: 'ns' })),
    refused('out-of-range'),
  )
  const histogram = { name: 'tokens_hist', type: 'histogram', temporality: 'cumulative' } as const
  assert.deepEqual(told(readOne([point({ sum: 1, count: 2n ** 64n - 1n })], histogram)), {
    ...{ taken: 1, rejected: 1, ignored: 0, reasons: ['out-of-range'] },
  })
})

test('whatever is taken, a ledger takes', () => {
  const times = [0n, 1n, 999n, 1000n, time, year2100, year2100 + 1n, YEAR_2200, 2n ** 63n - 1n, 2n ** 64n - 1n]
  const values = [
    0n,
    1n,
    2n ** 62n,
    2n ** 63n - 1n,
    -(2n ** 63n),
    0.1,
    5e-324,
    1e21,
    1e29,
    1e30,
    1e308,
    Number.POSITIVE_INFINITY,
    -0,
  ]
  const points = times.flatMap(startTime =>
    times.flatMap(time => values.map(sum => point({ startTime, time, sum, count: 3n }))),
  )
  let observed = 0
  for (const temporality of ['delta', 'cumulative', 'unspecified'] as const) {
    for (const change of [
      {},
      { name: 'busy', unit: 'ns' },
      { name: 'busy', unit: 'd' },
      { name: 'tokens_hist', type: 'histogram' } as const,
      { ...GAUGE, name: 'gpus', unit: '%' },
      { ...GAUGE, name: 'gpus', unit: '' },
    ]) {
      for (const resource of [{}, { 'telemetry.sdk.language': 'go' }, { 'service.name': '\ud800'.repeat(1000) }]) {
        const { observations } = readOne(points, { temporality, ...change }, resource)
        checkObservations(observations)
        observed += observations.length
      }
    }
  }
  assert.ok(observed > 1000)
})

test('markers of what has ended are never refused, whatever else is wrong', () => {
  const marker = (change: Partial<OtlpPoint> = {}) => point({ sum: Number.NaN, noRecordedValue: true, ...change })
  for (const metric of [
    {},
    { temporality: 'cumulative' },
    { temporality: 'unspecified' },
    { monotonic: false },
    { type: 'none' },
    { type: 'summary', temporality: 'unspecified' },
    { unit: 'By' },
    { ...GAUGE },
    { name: 'gpus' },
    { ...GAUGE, name: 'gpus', unit: 'By' },
  ] as const) {
    for (const change of [{}, { time: 0n }, { startTime: 2n ** 64n - 1n }, { sum: undefined }, { attributes: {} }]) {
      assert.deepEqual(told(readOne([marker(change)], metric)), silent)
    }
  }
  const level = { ...GAUGE, name: 'gpus', unit: '' }
  const ended = readOne([marker()], level)
  assert.deepEqual([told(ended), ended.observations[0]?.value], [taken(), 0n])
  // A level that nobody is known to have ends as well, and that is no usage without a customer.
  const nobodys = readOne([marker({ attributes: {} })], level)
  assert.deepEqual([told(nobodys), nobodys.reports[0]?.unattributed], [taken(), []])
})

test('of a total that was there before its process a delta is refused, since the first one has all of it', () => {
  const ever = (temporality: OtlpMetric['temporality']) => told(readOne([point()], { name: 'ever', temporality }))
  assert.deepEqual(ever('delta'), refused('deltas-of-total'))
  assert.deepEqual(ever('cumulative'), taken())
})

test('of such a total it is told where its starts are not those of one process after another', () => {
  const names = new CounterNames()
  const ever = (...starts: number[]) =>
    starts.flatMap(start => {
      const points = [point({ startTime: time - BigInt(start) * 1_000_000_000n })]
      return told(readOne(points, { name: 'ever', temporality: 'cumulative' }, {}, names)).reasons.length
    })
  // Restarts, one of them after a single export.
  assert.deepEqual(ever(99, 99, 98, 97, 97), [0, 0, 0, 1, 0])
  assert.deepEqual(ever(97, 97, 90, 90, 90, 80, 80), [0, 0, 0, 0, 0, 0, 0])
  // Two processes.
  assert.deepEqual(ever(70, 70, 80, 80, 70, 70, 80, 80), [0, 0, 1, 0, 0, 0, 1, 0])
  // A start with each export.
  assert.deepEqual(ever(9, 8, 7, 6), [0, 1, 1, 1])
})

test('a point is refused once, however many dimensions it feeds, and its reasons are counted for each', () => {
  const { reports } = readOne([point({ sum: -1n }), point()], { name: 'twice' })
  assert.equal(reports[0]?.rejected, 1)
  assert.deepEqual(
    reports[0]?.unbillable.map(({ reason, points }) => [reason, points]),
    [['negative', 2]],
  )
})

test('what a sender is told is short, whatever it calls its units and scopes', () => {
  const unit = ' '.repeat(4000)
  const { reports } = readOne([point()], { unit })
  assert.ok((reports[0]?.unbillable[0]?.message.length as number) < 400)
  const metrics: OtlpMetric[] = [
    { name: 'tokens', unit: '{token}', type: 'sum', temporality: 'delta', monotonic: true, points: [point()] },
  ]
  const scopes = Array.from({ length: 3000 }, (_, n) => {
    return { name: `scope ${n} ${'x'.repeat(4000)}`, version: '', attributes: {}, metrics }
  })
  const many = read(mapper, { resourceMetrics: [{ resource: {}, scopes }] }, NOW)
  assert.equal(many.observations.length, 3000)
  // As many sources are told from each other as anybody could look at.
  const twoSources = many.reports[0]?.twoSources ?? []
  assert.ok(twoSources.length > 10 && twoSources.length <= 101)
  assert.ok(twoSources.every(({ message }) => message.length < 1000))
})
