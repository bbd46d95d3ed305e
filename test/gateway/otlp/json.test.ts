import assert from 'node:assert/strict'
import { test } from 'node:test'
import { UndecodableError } from '../../../src/gateway/otlp/errors.ts'
import { decodeJson } from '../../../src/gateway/otlp/json.ts'
import { everyKind, everyKindDecoded, requestWith } from './requests.ts'

const ALL = () => true
const POINT = 'resourceMetrics[0].scopeMetrics[0].metrics[0].sum.dataPoints[0]'

test('every kind of metric, and every kind of attribute', () => {
  assert.deepStrictEqual(decodeJson(JSON.stringify(everyKind), ALL), everyKindDecoded)
})

test('null is as good as nothing, and unknown fields are ignored', () => {
  const withNulls = JSON.stringify(everyKind, (_key, value) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? { unknown: [1, ['x']], ...value, unit: value.unit ?? null, flags: value.flags ?? null }
      : value,
  )
  assert.deepStrictEqual(decodeJson(withNulls, ALL), everyKindDecoded)
})

test("a field's original name is an unknown field", () => {
  const { resourceMetrics } = everyKind
  assert.deepStrictEqual(decodeJson(JSON.stringify({ resource_metrics: resourceMetrics }), ALL), {
    resourceMetrics: [],
  })
  const [point] = pointsOf('{"time_unix_nano": "5", "as_int": "7"}')
  assert.deepStrictEqual([point?.time, point?.sum], [0n, undefined])
})

test('64-bit integers may be strings or numbers', () => {
  assert.deepStrictEqual(
    pointsOf('{"asInt": 12}', '{"asInt": "-12"}', '{"asInt": 1e3}', '{"asInt": 9007199254740991}').map(
      ({ sum }) => sum,
    ),
    [12n, -12n, 1000n, 9_007_199_254_740_991n],
  )
})

test('a value that is a number above 2^53 is refused, with where it is', () => {
  for (const value of ['9007199254740992', '9007199254740993', '-9007199254740993', '1e300']) {
    assert.throws(
      () => pointsOf('{"asInt": 1}', `{"asInt": ${value}}`),
      new UndecodableError(
        POINT.replace(/0\]$/, '1].asInt'),
        'expected a string of digits from -9223372036854775808 to 9223372036854775807, got a number above 2^53',
      ),
      value,
    )
  }
  const histogram = { dataPoints: [{ count: 2 ** 53 }] }
  const text = JSON.stringify({ resourceMetrics: [{ scopeMetrics: [{ metrics: [{ name: 'm', histogram }] }] }] })
  assert.throws(
    () => decodeJson(text, ALL),
    /histogram\.dataPoints\[0\]\.count: expected a string of digits from 0 to /,
  )
})

test('of times and attributes all digits are taken, also of numbers', () => {
  const [point] = pointsOf(
    `{"startTimeUnixNano": 1700000000123456789, "timeUnixNano": "1700000060123456789", "asDouble": 1180591620717411303424,
      "attributes": [{"key": "id", "value": {"intValue": 9007199254740993}}]}`,
  )
  assert.deepStrictEqual(point, {
    attributes: { id: '9007199254740993' },
    startTime: 1_700_000_000_123_456_789n,
    time: 1_700_000_060_123_456_789n,
    sum: 2 ** 70,
    count: undefined,
    noRecordedValue: false,
  })
  assert.throws(() => pointsOf('{"timeUnixNano": 1.7e300}'), UndecodableError)
  // The second parsing, which takes all digits, does not let such values in.
  assert.throws(() => pointsOf('{"timeUnixNano": 1700000000123456789, "asInt": 9007199254740993}'), /asInt: expected/)
})

test('doubles may be strings', () => {
  assert.deepStrictEqual(
    pointsOf('{"asDouble": "1.5"}', '{"asDouble": "-2e3"}', '{"asDouble": "NaN"}', '{"asDouble": "-Infinity"}').map(
      ({ sum }) => sum,
    ),
    [1.5, -2000, Number.NaN, Number.NEGATIVE_INFINITY],
  )
})

for (const [what, point, message] of [
  ['a value out of range', '{"asInt": "9223372036854775808"}', '.asInt: expected a string of digits from'],
  ['a time below zero', '{"timeUnixNano": "-1"}', '.timeUnixNano: expected a string of digits from 0 to'],
  ['a fraction', '{"asInt": 1.5}', '.asInt: expected a string of digits from'],
  ['a word for an integer', '{"asInt": "many"}', '.asInt: expected a string of digits from'],
  ['a word for a double', '{"asDouble": "much"}', '.asDouble: expected a number, or "NaN", "Infinity" or "-Infinity"'],
  ['nothing for a double', '{"asDouble": ""}', '.asDouble: expected a number, or'],
  ['hexadecimal', '{"asDouble": "0x10"}', '.asDouble: expected a number, or'],
  ['two values', '{"asInt": 1, "asDouble": 1}', ': expected one of asInt, asDouble, got both asInt and asDouble'],
  ['flags that are none', '{"flags": -1}', '.flags: expected a string of digits from 0 to 4294967295'],
  ['attributes that are an object', '{"attributes": {"a": 1}}', '.attributes: expected a list, got an object'],
  ['an attribute that is none', '{"attributes": [null]}', '.attributes[0]: expected an object, got null'],
  ['a key that is none', '{"attributes": [{"key": 1}]}', '.attributes[0].key: expected a string, got a number'],
  [
    'a bare value',
    '{"attributes": [{}, {"key": "a", "value": "secret"}]}',
    '.attributes[1].value: expected an object, got a string',
  ],
  [
    'bytes that are no base64',
    '{"attributes": [{"key": "a", "value": {"bytesValue": "ü"}}]}',
    '.attributes[0].value.bytesValue: expected a string in base64, got a string',
  ],
  ['a point that is none', '7', ': expected an object, got a number'],
] as const) {
  test(`refuses ${what}`, () => {
    assert.throws(
      () => pointsOf(point),
      (error: UndecodableError) => {
        assert.ok(error instanceof UndecodableError, error)
        assert.equal(error.code, 'ERR_GATEWAY_UNDECODABLE')
        assert.ok(error.message.startsWith(POINT + message), error.message)
        assert.ok(error.message.startsWith(`${error.where}: `))
        assert.doesNotMatch(error.message, /secret/)
        return true
      },
    )
  })
}

test('refuses many millions of digits at once', () => {
  const { user } = process.cpuUsage()
  assert.throws(() => pointsOf(`{"asInt": "${'9'.repeat(15_000_000)}"}`), /asInt: expected a string of digits from/)
  assert.ok(process.cpuUsage().user - user < 2_000_000)
})

test('refuses names of enumerations, as the specification does', () => {
  const sum = { aggregationTemporality: 'AGGREGATION_TEMPORALITY_DELTA', dataPoints: [{ asInt: 1 }] }
  const text = JSON.stringify({ resourceMetrics: [{ scopeMetrics: [{ metrics: [{ name: 'm', sum }] }] }] })
  assert.throws(() => decodeJson(text, ALL), /sum\.aggregationTemporality: expected an integer, got a string/)
})

test('refuses two kinds of data', () => {
  const text = JSON.stringify({
    resourceMetrics: [{ scopeMetrics: [{ metrics: [{ name: 'm', sum: {}, gauge: {} }] }] }],
  })
  assert.throws(() => decodeJson(text, ALL), /metrics\[0\]: expected one of sum, .*, got both sum and gauge/)
})

for (const text of ['', 'null', '7', '[]', '"x"', '{', '{"resourceMetrics": [}', '\ufeff{}', '{}x', 'NaN']) {
  test(`refuses ${JSON.stringify(text)}, without quoting it`, () => {
    assert.throws(
      () => decodeJson(text, ALL),
      (error: UndecodableError) => {
        assert.ok(error instanceof UndecodableError, error)
        assert.match(
          error.message,
          /^(body|position \d+): expected an (object|ExportMetricsServiceRequest in JSON), got /,
        )
        return true
      },
    )
  })
}

test('a metric that is not wanted is skipped unread', () => {
  const text = JSON.stringify({
    resourceMetrics: [{ scopeMetrics: [{ metrics: [{ name: 'broken', sum: 7 }, { name: 'good' }] }] }],
  })
  assert.throws(() => decodeJson(text, ALL), UndecodableError)
  const { resourceMetrics } = decodeJson(text, name => name === 'good')
  assert.deepStrictEqual(
    resourceMetrics[0]?.scopes[0]?.metrics.map(({ name }) => name),
    ['good'],
  )
})

test('of attributes under one key the first counts, and none reaches the prototype', () => {
  const attributes = [
    { key: 'customer', value: { stringValue: 'first' } },
    { key: 'customer', value: { stringValue: 'second' } },
    { key: '__proto__', value: { kvlistValue: { values: [{ key: 'polluted', value: { boolValue: true } }] } } },
  ]
  const { resource } = decodeJson(JSON.stringify(requestWith({ attributes })), ALL).resourceMetrics[0] ?? {}
  assert.deepStrictEqual(Object.entries(resource ?? {}), [
    ['customer', 'first'],
    ['__proto__', { polluted: true }],
  ])
  assert.equal((resource as { polluted?: boolean }).polluted, undefined)
})

test('values may be nested 64 deep and no deeper', () => {
  for (const wrap of [
    (value: object) => ({ arrayValue: { values: [value] } }),
    (value: object) => ({ kvlistValue: { values: [{ key: 'a', value }] } }),
  ]) {
    const nested = (depth: number) => {
      let value: object = { stringValue: 'inside' }
      for (let level = 0; level < depth; level++) value = wrap(value)
      return JSON.stringify(requestWith({ attributes: [{ key: 'a', value }] }))
    }
    assert.equal(decodeJson(nested(64), ALL).resourceMetrics.length, 1)
    assert.throws(() => decodeJson(nested(65), ALL), /expected values nested at most 64 deep, got deeper ones$/)
  }
})

test('opening brackets without end are refused before they take memory', () => {
  const before = process.memoryUsage().rss
  for (const text of [
    '['.repeat(20_000_000),
    '{"a":'.repeat(4_000_000),
    `{"a":"\\"${'[['.repeat(1000)}","b":${'['.repeat(1000)}`,
  ]) {
    assert.throws(() => decodeJson(text, ALL), /expected values nested at most 64 deep/)
  }
  assert.ok(process.memoryUsage().rss - before < 200 * 1024 * 1024)
})

test('brackets in strings do not count as nesting', () => {
  const key = '[{"\\'.repeat(1000)
  const text = JSON.stringify(requestWith({ attributes: [{ key, value: { boolValue: true } }] }))
  assert.deepStrictEqual(decodeJson(text, ALL).resourceMetrics[0]?.resource, { [key]: true })
})

test('a million points are refused', () => {
  const text = `{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"m","sum":{"dataPoints":[${'{},'.repeat(1_000_000)}{}]}}]}]}]}`
  assert.throws(
    () => decodeJson(text, ALL),
    /expected at most 1,000,000 resources, scopes, metrics and points, got more/,
  )
})

/** The points of a sum. */
function pointsOf(...points: string[]) {
  const sum = `{"aggregationTemporality": 1, "isMonotonic": true, "dataPoints": [${points}]}`
  const text = `{"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": "m", "sum": ${sum}}]}]}]}`
  return decodeJson(text, ALL).resourceMetrics[0]?.scopes[0]?.metrics[0]?.points ?? []
}
