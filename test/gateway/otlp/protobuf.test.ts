import assert from 'node:assert/strict'
import { test } from 'node:test'
import protobuf from 'protobufjs'
import { UndecodableError } from '../../../src/gateway/otlp/errors.ts'
import { KnownAttributes } from '../../../src/gateway/otlp/known-attributes.ts'
import { decodeProtobuf } from '../../../src/gateway/otlp/protobuf.ts'
import { encode } from './proto.ts'
import { everyKind, everyKindDecoded, requestWith } from './requests.ts'

const ALL = () => true
const [VARINT, FIXED64, BYTES, GROUP, END] = [0, 1, 2, 3, 4]

test('every kind of metric, and every kind of attribute', () => {
  assert.deepStrictEqual(decodeProtobuf(encode(everyKind), ALL), everyKindDecoded)
})

test('nothing at all is a request', () => {
  assert.deepStrictEqual(decodeProtobuf(new Uint8Array(), ALL), { resourceMetrics: [] })
})

test('bytes in the middle of a buffer are read in place', () => {
  const bytes = encode(everyKind)
  const buffer = Buffer.concat([Buffer.alloc(13, 0xff), bytes, Buffer.alloc(5, 0xff)])
  assert.deepStrictEqual(decodeProtobuf(buffer.subarray(13, 13 + bytes.length), ALL), everyKindDecoded)
  assert.deepStrictEqual(decodeProtobuf(new Uint8Array(bytes), ALL), everyKindDecoded)
})

test('a request that is cut off is decoded up to there or refused, with the byte', () => {
  const bytes = encode(everyKind)
  let refused = 0
  for (let length = 0; length < bytes.length; length++) {
    try {
      decodeProtobuf(bytes.subarray(0, length), ALL)
    } catch (error) {
      assert.ok(error instanceof UndecodableError, error as Error)
      assert.equal(error.code, 'ERR_GATEWAY_UNDECODABLE')
      assert.match(error.where, /^byte \d+$/)
      assert.ok(Number(error.where.slice(5)) <= length)
      refused += 1
    }
  }
  // Each resource is a request of its own.
  assert.equal(refused, bytes.length - 1 - (everyKind.resourceMetrics.length - 1))
})

test('a metric that is not wanted is skipped unread', () => {
  const broken = message(w => {
    w.uint32((1 << 3) | BYTES).string('broken')
    w.uint32((7 << 3) | BYTES).bytes(Buffer.of(0xff))
  })
  const good = message(w => w.uint32((1 << 3) | BYTES).string('good'))
  const bytes = inMetrics([broken, good])
  assert.throws(() => decodeProtobuf(bytes, ALL), UndecodableError)
  const asked: string[] = []
  const { resourceMetrics } = decodeProtobuf(bytes, name => {
    asked.push(name)
    return name === 'good'
  })
  assert.deepStrictEqual(asked, ['broken', 'good'])
  assert.deepStrictEqual(
    resourceMetrics[0]?.scopes[0]?.metrics.map(({ name }) => name),
    ['good'],
  )
  assert.deepStrictEqual(
    decodeProtobuf(bytes, () => false),
    { resourceMetrics: [] },
  )
})

test('fields may come in any order, twice, and be unknown', () => {
  const point = (value: number) => message(w => w.uint32((4 << 3) | FIXED64).double(value))
  const sum = (value: number) => message(w => w.uint32((1 << 3) | BYTES).bytes(point(value)))
  const metric = message(w => {
    w.uint32((7 << 3) | BYTES).bytes(sum(1))
    w.uint32((99 << 3) | GROUP)
      .uint32((1 << 3) | VARINT)
      .uint32(7)
      .uint32((99 << 3) | END)
    w.uint32((9 << 3) | BYTES).bytes(Buffer.alloc(0))
    w.uint32((2000 << 3) | FIXED64).fixed64(7)
    w.uint32((7 << 3) | BYTES).bytes(sum(2))
    w.uint32((7 << 3) | BYTES).bytes(sum(3))
    w.uint32((1 << 3) | BYTES).string('first')
    w.uint32((1 << 3) | BYTES).string('last')
  })
  const [read] =
    decodeProtobuf(inMetrics([metric]), name => name === 'last').resourceMetrics[0]?.scopes[0]?.metrics ?? []
  assert.equal(read?.type, 'sum')
  assert.deepStrictEqual(
    read?.points.map(({ sum }) => sum),
    [2, 3],
    'the histogram between them took the place of the first',
  )
})

test('a value that comes twice: the last kind counts, and lists and objects are joined', () => {
  const text = (value: string) => message(w => w.uint32((1 << 3) | BYTES).string(value))
  const list = (value: string) => message(w => w.uint32((1 << 3) | BYTES).bytes(text(value)))
  const value = message(w => {
    w.uint32((5 << 3) | BYTES).bytes(list('lost'))
    w.uint32((3 << 3) | VARINT).int64(5)
    w.uint32((5 << 3) | BYTES).bytes(list('a'))
    w.uint32((5 << 3) | BYTES).bytes(list('b'))
  })
  const attribute = message(w => {
    w.uint32((1 << 3) | BYTES).string('list')
    w.uint32((2 << 3) | BYTES).bytes(value)
    w.uint32((2 << 3) | BYTES).bytes(message(v => v.uint32((5 << 3) | BYTES).bytes(list('c'))))
  })
  const resource = message(w => w.uint32((1 << 3) | BYTES).bytes(attribute))
  assert.deepStrictEqual(decodeProtobuf(inMetrics([metricNamed('m')], resource), ALL).resourceMetrics[0]?.resource, {
    list: ['a', 'b', 'c'],
  })
})

test('of attributes under one key the first counts, and none reaches the prototype', () => {
  const attributes = [
    { key: 'customer', value: { stringValue: 'first' } },
    { key: 'customer', value: { stringValue: 'second' } },
    { key: '__proto__', value: { kvlistValue: { values: [{ key: 'polluted', value: { boolValue: true } }] } } },
    { key: 'toString', value: { stringValue: 'own' } },
  ]
  const { resource } = decodeProtobuf(encode(requestWith({ attributes })), ALL).resourceMetrics[0] ?? {}
  assert.deepStrictEqual(Object.entries(resource ?? {}), [
    ['customer', 'first'],
    ['__proto__', { polluted: true }],
    ['toString', 'own'],
  ])
  assert.equal((resource as { polluted?: boolean }).polluted, undefined)
})

test('values may be nested 64 deep and no deeper', () => {
  const field = (number: number, bytes: Buffer) => message(w => w.uint32((number << 3) | BYTES).bytes(bytes))
  for (const wrap of [
    (value: Buffer) => field(5, field(1, value)),
    (value: Buffer) => field(6, field(1, field(2, value))),
  ]) {
    const nested = (depth: number) => {
      let value = field(1, Buffer.from('inside'))
      for (let level = 0; level < depth; level++) value = wrap(value)
      return inMetrics([metricNamed('m')], field(1, field(2, value)))
    }
    assert.equal(decodeProtobuf(nested(64), ALL).resourceMetrics.length, 1)
    assert.throws(
      () => decodeProtobuf(nested(65), ALL),
      /^UndecodableError: byte \d+: expected values nested at most 64 /,
    )
  }
})

test('nesting of a hundred thousand is refused as well', () => {
  // From the inside out, without copying what is inside each time.
  const heads: Buffer[] = []
  let size = 0
  for (let depth = 0; depth < 100_000; depth++) {
    for (const tag of [(1 << 3) | BYTES, (5 << 3) | BYTES]) {
      const head = Buffer.from(protobuf.Writer.create().uint32(tag).uint32(size).finish())
      heads.push(head)
      size += head.length
    }
  }
  const value = Buffer.concat(heads.reverse())
  const attribute = message(w => w.uint32((2 << 3) | BYTES).bytes(value))
  const resource = message(w => w.uint32((1 << 3) | BYTES).bytes(attribute))
  assert.throws(() => decodeProtobuf(inMetrics([metricNamed('m')], resource), ALL), UndecodableError)
})

test('groups that nobody knows may not be nested for ever either', () => {
  const bytes = Buffer.alloc(1_000_000, (50 << 3) | GROUP)
  assert.throws(() => decodeProtobuf(bytes, ALL), UndecodableError)
})

test('a million empty points are refused', () => {
  const points = Buffer.alloc(2_000_002)
  for (let at = 0; at < points.length; at += 2) points[at] = (1 << 3) | BYTES
  const metric = message(w => w.uint32((7 << 3) | BYTES).bytes(points))
  assert.throws(
    () => decodeProtobuf(inMetrics([metric]), ALL),
    /expected at most 1,000,000 resources, scopes, metrics and points/,
  )
  assert.doesNotThrow(() => decodeProtobuf(inMetrics([metric]), () => false))
})

test('attributes that are known are the same object again, which nobody can change', () => {
  const known = new KnownAttributes()
  const read = (value: string) => {
    const attributes = [
      { key: 'customer', value: { stringValue: value } },
      { key: 'model', value: { stringValue: 'm' } },
    ]
    const bytes = encode(requestWith({}, { asInt: '1', attributes }))
    return decodeProtobuf(bytes, ALL, known).resourceMetrics[0]?.scopes[0]?.metrics[0]?.points[0]?.attributes
  }
  assert.deepStrictEqual(read('a'), { customer: 'a', model: 'm' })
  assert.equal(read('a'), read('a'))
  assert.ok(Object.isFrozen(read('a')))
  assert.deepStrictEqual(read('b'), { customer: 'b', model: 'm' })
})

test('attributes in two places of a point are one set, and leave what is known as it was', () => {
  const attribute = (key: string) => message(w => w.uint32((1 << 3) | BYTES).string(key))
  const pointWith = (...keys: string[]) =>
    message(w => {
      for (const key of keys) {
        w.uint32((7 << 3) | BYTES).bytes(attribute(key))
        w.uint32((2 << 3) | FIXED64).fixed64(1)
      }
    })
  const known = new KnownAttributes()
  const sum = message(w => {
    w.uint32((1 << 3) | BYTES).bytes(pointWith('a', 'b'))
    w.uint32((1 << 3) | BYTES).bytes(pointWith('a'))
  })
  const metric = message(w => w.uint32((7 << 3) | BYTES).bytes(sum))
  const [read] = decodeProtobuf(inMetrics([metric]), ALL, known).resourceMetrics[0]?.scopes[0]?.metrics ?? []
  assert.deepStrictEqual(
    read?.points.map(({ attributes }) => attributes),
    [{ a: null, b: null }, { a: null }],
  )
})

test('what is known takes no more than some memory, and goes when nobody asks for it', () => {
  const known = new KnownAttributes()
  const asked = {}
  known.set('asked', asked)
  for (let number = 0; number < 1_000_000; number++) {
    known.set(String(number), {})
    if (number % 10_000 === 0) assert.equal(known.get('asked'), asked)
  }
  assert.deepStrictEqual([known.get('999999'), known.get('1')], [{}, undefined])
  const long = 'x'.repeat(1_000_000)
  known.set(long, {})
  assert.equal(known.get(long), undefined)
})

test('what is too large to name counters by is refused, with the limit and its size', () => {
  const attribute = (size: number) => ({ key: 'a', value: { stringValue: 'x'.repeat(size) } })
  const scoped = (scope: object, metric: object = { name: 'm' }) => ({
    resourceMetrics: [{ scopeMetrics: [{ scope, metrics: [metric] }] }],
  })
  const refusal = /byte \d+: expected attributes of at most 65,536 bytes, got \d+,\d+$/
  for (const request of [
    requestWith({ attributes: [attribute(65_536)] }),
    requestWith({ attributes: [attribute(40_000), attribute(40_000)] }),
    requestWith({}, { attributes: [attribute(65_536)] }),
    scoped({ attributes: [attribute(65_536)] }),
  ]) {
    assert.throws(() => decodeProtobuf(encode(request), ALL), refusal)
  }
  const taken = requestWith({ attributes: [attribute(65_000)] }, { attributes: [attribute(65_000)] })
  assert.equal(decodeProtobuf(encode(taken), ALL).resourceMetrics.length, 1)
  // Of a point that has them in several places, they are all that it has.
  const entry = message(w => w.uint32((1 << 3) | BYTES).string('x'.repeat(40_000)))
  const point = message(w => {
    for (const _ of [1, 2]) {
      w.uint32((7 << 3) | BYTES).bytes(entry)
      w.uint32((2 << 3) | FIXED64).fixed64(1)
    }
  })
  const sum = message(w => w.uint32((1 << 3) | BYTES).bytes(point))
  const apart = message(w => {
    w.uint32((1 << 3) | BYTES).string('m')
    w.uint32((7 << 3) | BYTES).bytes(sum)
  })
  assert.throws(() => decodeProtobuf(inMetrics([apart]), ALL), refusal)
  const name = 'n'.repeat(4097)
  for (const request of [
    scoped({ name }),
    scoped({ version: name }),
    scoped({}, { name: 'm', unit: name }),
    scoped({}, { name }),
  ]) {
    assert.throws(
      () => decodeProtobuf(encode(request), ALL),
      /: expected a name, version or unit of at most 4,096 bytes, got 4,097$/,
    )
  }
  assert.doesNotThrow(() => decodeProtobuf(encode(scoped({}, { name, unit: name })), () => false))
})

test('attributes that stand apart in a point take no longer than those that do not', () => {
  const entries = Array.from({ length: 8000 }, (_, n) => message(w => w.uint32((1 << 3) | BYTES).string(String(n))))
  const point = message(w => {
    for (const entry of entries) {
      w.uint32((7 << 3) | BYTES).bytes(entry)
      w.uint32((8 << 3) | VARINT).uint32(0)
    }
  })
  const sum = message(w => {
    for (let n = 0; n < 50; n++) w.uint32((1 << 3) | BYTES).bytes(point)
  })
  const metric = message(w => w.uint32((7 << 3) | BYTES).bytes(sum))
  const [read] = decodeProtobuf(inMetrics([metric]), ALL).resourceMetrics[0]?.scopes[0]?.metrics ?? []
  assert.equal(Object.keys(read?.points.at(-1)?.attributes ?? {}).length, entries.length)
})

test('what is no UTF-8 does not lose the request', () => {
  const metric = message(w => {
    w.uint32((1 << 3) | BYTES).string('m')
    w.uint32((3 << 3) | BYTES).bytes(Buffer.of(0x41, 0xff))
  })
  assert.equal(decodeProtobuf(inMetrics([metric]), ALL).resourceMetrics[0]?.scopes[0]?.metrics[0]?.unit, 'A\ufffd')
})

test('what the callback throws is passed on', () => {
  const mine = new TypeError('mine')
  assert.throws(
    () =>
      decodeProtobuf(inMetrics([metricNamed('m')]), () => {
        throw mine
      }),
    mine,
  )
})

function message(write: (writer: protobuf.Writer) => unknown): Buffer {
  const writer = protobuf.Writer.create()
  write(writer)
  return Buffer.from(writer.finish())
}

function metricNamed(name: string): Buffer {
  return message(w => w.uint32((1 << 3) | BYTES).string(name))
}

/** A request with these metrics. */
function inMetrics(metrics: readonly Buffer[], resource?: Buffer): Buffer {
  const scopeMetrics = message(w => {
    for (const metric of metrics) w.uint32((2 << 3) | BYTES).bytes(metric)
  })
  const resourceMetrics = message(w => {
    if (resource !== undefined) w.uint32((1 << 3) | BYTES).bytes(resource)
    w.uint32((2 << 3) | BYTES).bytes(scopeMetrics)
  })
  return message(w => w.uint32((1 << 3) | BYTES).bytes(resourceMetrics))
}
