import assert from 'node:assert/strict'
import { test } from 'node:test'
import { UndecodableError } from '../../../src/gateway/otlp/errors.ts'
import { decodeJson } from '../../../src/gateway/otlp/json.ts'
import { KnownAttributes } from '../../../src/gateway/otlp/known-attributes.ts'
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

test('fields may have their original names, of which the first that is there holds', () => {
  const rename = (text: string) =>
    text.replace(/"([a-z]+(?:[A-Z][a-z]+)+)":/g, (_, key: string) => {
      return `"${key.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`)}":`
    })
  const text = rename(JSON.stringify(everyKind))
  assert.match(text, /resource_metrics.*scope_metrics/s)
  assert.deepStrictEqual(decodeJson(text, ALL), everyKindDecoded)
  const [point] = pointsOf('{"time_unix_nano": "5", "timeUnixNano": null, "as_int": "7"}')
  assert.deepStrictEqual([point?.time, point?.sum], [5n, 7n])
  assert.deepStrictEqual(
    pointsOf('{"asInt": "1", "as_int": "2"}').map(({ sum }) => sum),
    [1n],
  )
  assert.throws(() => pointsOf('{"asInt": "1", "as_double": 2}'), /expected one of asInt, asDouble, got both asInt and/)
})

test('a request of nothing but unknown fields is refused, and an empty one is taken', () => {
  for (const text of ['{}', '{"resourceMetrics":null}', '{"resource_metrics":[],"resourceSpans":[]}']) {
    assert.deepStrictEqual(decodeJson(text, ALL), { resourceMetrics: [] })
  }
  for (const [text, got] of [
    ['{"resourceSpans": []}', 'resourceSpans'],
    ['{"resource_logs": []}', 'resource_logs'],
    ['{"ResourceMetrics": []}', 'only other fields'],
    ['{"secret": 1}', 'only other fields'],
  ] as const) {
    assert.throws(() => decodeJson(text, ALL), new UndecodableError('body', `expected resourceMetrics, got ${got}`))
  }
})

test('what is too large to name counters by is refused, with the limit and its size', () => {
  const large = 'x'.repeat(65_536)
  const attribute = { key: 'a', value: { stringValue: large } }
  const small = { key: 'a', value: { stringValue: large.slice(3) } }
  const many = Array.from({ length: 20_000 }, () => ({ key: 'k', value: { arrayValue: { values: [{}] } } }))
  const metrics = [{ name: 'm' }]
  for (const [request, where] of [
    [requestWith({ attributes: [attribute] }), 'resourceMetrics[0].resource.attributes'],
    [requestWith({ attributes: many }), 'resourceMetrics[0].resource.attributes'],
    [requestWith({}, { attributes: [attribute] }), `${POINT}.attributes`],
    [
      { resourceMetrics: [{ scopeMetrics: [{ scope: { attributes: [attribute] }, metrics }] }] },
      'resourceMetrics[0].scopeMetrics[0].scope.attributes',
    ],
  ] as const) {
    assert.throws(
      () => decodeJson(JSON.stringify(request), ALL),
      (error: UndecodableError) =>
        error.where === where && /expected attributes of at most 65,536 bytes, got \d+,\d+/.test(error.message),
    )
  }
  const taken = requestWith({ attributes: [small] }, { attributes: [small] })
  assert.equal(decodeJson(JSON.stringify(taken), ALL).resourceMetrics.length, 1)
  const [name, limit] = ['n'.repeat(4097), 'expected a name, version or unit of at most 4,096 bytes, got 4,097']
  const scoped = (scope: object, metric: object) =>
    decodeJson(JSON.stringify({ resourceMetrics: [{ scopeMetrics: [{ scope, metrics: [metric] }] }] }), n => n !== 'no')
  for (const [scope, metric, where] of [
    [{ name }, { name: 'm' }, '.scope.name'],
    [{ version: name }, { name: 'm' }, '.scope.version'],
    [{}, { name: 'm', unit: name }, '.metrics[0].unit'],
    [{}, { name }, '.metrics[0].name'],
  ] as const) {
    assert.throws(
      () => scoped(scope, metric),
      new UndecodableError(`resourceMetrics[0].scopeMetrics[0]${where}`, limit),
    )
  }
  // What is skipped costs nothing.
  assert.deepStrictEqual(scoped({}, { name: 'no', unit: name }), { resourceMetrics: [] })
})

test('integers may have a fraction of nothing and an exponent, as numbers and as strings', () => {
  for (const [written, value] of [
    ['1e3', 1000n],
    ['"1e3"', 1000n],
    ['"1.5E+1"', 15n],
    ['"-120e-1"', -12n],
    ['"100.00"', 100n],
    ['"0.0e5"', 0n],
    ['"0e-9"', 0n],
    ['"9.007199254740993e15"', 9_007_199_254_740_993n],
  ] as const) {
    assert.equal(pointsOf(`{"asInt": ${written}}`)[0]?.sum, value, written)
  }
  for (const written of [
    '"1.5"',
    '"15e-1"',
    '"1e99"',
    '"1e19"',
    '"+1"',
    '"1e"',
    '".5"',
    '"1."',
    '" 1"',
    '""',
    '"0x1"',
  ]) {
    assert.throws(() => pointsOf(`{"asInt": ${written}}`), /asInt: expected a string of digits/, written)
  }
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

test('enumerations are numbers or their names', () => {
  const temporalityOf = (aggregationTemporality: unknown) => {
    const sum = { aggregationTemporality, dataPoints: [{ asInt: 1 }] }
    const text = JSON.stringify({ resourceMetrics: [{ scopeMetrics: [{ metrics: [{ name: 'm', sum }] }] }] })
    return decodeJson(text, ALL).resourceMetrics[0]?.scopes[0]?.metrics[0]?.temporality
  }
  assert.equal(temporalityOf('AGGREGATION_TEMPORALITY_UNSPECIFIED'), 'unspecified')
  assert.equal(temporalityOf('AGGREGATION_TEMPORALITY_DELTA'), 'delta')
  assert.equal(temporalityOf('AGGREGATION_TEMPORALITY_CUMULATIVE'), 'cumulative')
  assert.equal(temporalityOf(7), 'unspecified')
  for (const strange of ['DELTA', '1', 'constructor', 1.5, {}]) {
    assert.throws(
      () => temporalityOf(strange),
      /sum\.aggregationTemporality: expected an integer or one of AGGREGATION_TEMPORALITY_UNSPECIFIED, .*, got a/,
    )
  }
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

test('attributes that are known are the same object again, which nobody can change', () => {
  const known = new KnownAttributes()
  const read = (value: string) =>
    pointsWith(known, `{"attributes": [{"key": "a", "value": ${value}}, {"key": "b"}]}`)[0]?.attributes
  assert.deepStrictEqual(read('{"stringValue": "x"}'), { a: 'x', b: null })
  assert.equal(read('{"stringValue": "x"}'), read('{ "stringValue" : "x" }'))
  assert.ok(Object.isFrozen(read('{"stringValue": "x"}')))
  assert.deepStrictEqual(read('{"stringValue": "y"}'), { a: 'y', b: null })
  assert.deepStrictEqual(read('{"intValue": "1"}'), { a: 1, b: null })
  assert.deepStrictEqual(read('{"stringValue": "1"}'), { a: '1', b: null })
})

test('attributes that are written alike once they were parsed are not taken for each other', () => {
  const known = new KnownAttributes()
  const read = (value: string) =>
    pointsWith(known, `{"attributes": [{"key": "a", "value": {${value}}}]}`)[0]?.attributes.a
  for (let turn = 0; turn < 2; turn++) {
    assert.equal(read('"doubleValue": 1e999'), 'Infinity')
    assert.equal(read('"doubleValue": -1e999'), '-Infinity')
    assert.equal(read('"doubleValue": null'), null)
    assert.equal(read('"intValue": 9007199254740992'), '9007199254740992')
    assert.equal(read('"intValue": 9007199254740993'), '9007199254740993')
  }
})

test('what is known is refused where its point is', () => {
  const known = new KnownAttributes()
  const attributes = '"attributes": [{"key": "a", "value": {"stringValue": "x"}}]'
  assert.equal(pointsWith(known, `{${attributes}}`).length, 1)
  assert.throws(
    () => pointsWith(known, `{${attributes}}`, `{${attributes}, "asInt": "many"}`),
    /dataPoints\[1\]\.asInt: expected a string of digits/,
  )
  assert.throws(
    () => pointsWith(known, '{"attributes": [{"key": "a", "value": {"stringValue": "x", "boolValue": true}}]}'),
    /attributes\[0\]\.value: expected one of/,
  )
})

test('times are read by whichever of their names they have, and of each point by itself', () => {
  const points = pointsOf(
    '{"startTimeUnixNano": "1", "timeUnixNano": "2"}',
    '{"start_time_unix_nano": "3", "time_unix_nano": "4"}',
    '{"startTimeUnixNano": "1", "timeUnixNano": "2"}',
    '{"startTimeUnixNano": "2", "timeUnixNano": "2"}',
    '{"timeUnixNano": "0"}',
    '{}',
  )
  assert.deepStrictEqual(
    points.map(({ startTime, time }) => [startTime, time]),
    [
      [1n, 2n],
      [3n, 4n],
      [1n, 2n],
      [2n, 2n],
      [0n, 0n],
      [0n, 0n],
    ],
  )
  assert.throws(() => pointsOf('{"timeUnixNano": ""}'), /timeUnixNano: expected a string of digits/)
})

/** The points of a sum. */
function pointsOf(...points: string[]) {
  return pointsWith(undefined, ...points)
}

function pointsWith(known: KnownAttributes | undefined, ...points: string[]) {
  const sum = `{"aggregationTemporality": 1, "isMonotonic": true, "dataPoints": [${points}]}`
  const text = `{"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": "m", "sum": ${sum}}]}]}]}`
  return decodeJson(text, ALL, known).resourceMetrics[0]?.scopes[0]?.metrics[0]?.points ?? []
}
