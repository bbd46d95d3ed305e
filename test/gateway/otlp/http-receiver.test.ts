import assert from 'node:assert/strict'
import { once } from 'node:events'
import { Agent } from 'node:http'
import { connect } from 'node:net'
import { test } from 'node:test'
import { constants, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { ConfigurationError } from '../../../src/errors.ts'
import { RequestBudget } from '../../../src/gateway/otlp/budget.ts'
import { ListenError } from '../../../src/gateway/otlp/errors.ts'
import { startHttpReceiver } from '../../../src/gateway/otlp/http-receiver.ts'
import { UnavailableError } from '../../../src/gateway/otlp/sink.ts'
import { decode, encode } from './proto.ts'
import { everyKind, everyKindDecoded, requestWith } from './requests.ts'
import { holdUp, MEBIBYTE, post, RecordingSink, receiveHttp, sendersWith, statusOf, until } from './support.ts'

const BODY = encode(everyKind)
const JSON_BODY = JSON.stringify(everyKind)
const AS_JSON = { 'content-type': 'application/json' }

for (const [what, body, headers] of [
  ['protobuf', BODY, {}],
  ['protobuf with a parameter', BODY, { 'content-type': 'Application/X-Protobuf; foo=bar' }],
  ['protobuf with gzip', gzipSync(BODY), { 'content-encoding': 'gzip' }],
  ['protobuf with x-gzip', gzipSync(BODY), { 'content-encoding': 'x-gzip' }],
  ['protobuf with deflate', deflateSync(BODY), { 'content-encoding': 'deflate' }],
  ['protobuf with zstd', zstdCompressSync(BODY), { 'content-encoding': 'ZSTD' }],
  ['protobuf with identity', BODY, { 'content-encoding': 'identity' }],
  ['JSON', JSON_BODY, AS_JSON],
  ['JSON with a charset', JSON_BODY, { 'content-type': 'application/json; charset=utf-8' }],
  ['JSON with gzip', gzipSync(JSON_BODY), { ...AS_JSON, 'content-encoding': 'gzip' }],
] as const) {
  test(`takes ${what}, and answers nothing but success`, async t => {
    const { receiver, sink } = await receiveHttp(t)
    const { status, headers: answered, body: answer } = await post(receiver, body, headers)
    assert.equal(status, 200)
    assert.deepStrictEqual(sink.accepted, [everyKindDecoded])
    if (what.startsWith('JSON')) {
      assert.equal(answered['content-type'], 'application/json')
      assert.equal(answer.toString(), '{}')
    } else {
      assert.equal(answered['content-type'], 'application/x-protobuf')
      assert.equal(answer.length, 0)
    }
  })
}

test('an empty request succeeds, whatever the sink says', async t => {
  const { receiver, sink } = await receiveHttp(t)
  sink.answer = () => assert.fail('there is nothing to ask it for')
  assert.equal((await post(receiver, '')).status, 200)
  assert.equal((await post(receiver, gzipSync(''), { 'content-encoding': 'gzip' })).status, 200)
  assert.equal((await post(receiver, '{}', AS_JSON)).status, 200)
  assert.equal((await post(receiver, encode({ resourceMetrics: [{ scopeMetrics: [{}] }] }))).status, 200)
})

test('rejected points and warnings are a partial success', async t => {
  const { receiver, sink } = await receiveHttp(t)
  for (const [rejectedDataPoints, message] of [
    [3, 'three are no numbers'],
    [0, 'nobody is billed for them'],
    [1, 'each of a million says the same. '.repeat(30_000)],
  ] as const) {
    sink.answer = () => ({ rejectedDataPoints, message })
    const errorMessage = message.slice(0, 1000)
    const proto = await post(receiver, BODY)
    assert.equal(proto.status, 200)
    assert.deepEqual(decode('ExportMetricsServiceResponse', proto.body), {
      partialSuccess: { ...(rejectedDataPoints > 0 ? { rejectedDataPoints } : {}), errorMessage },
    })
    const json = await post(receiver, JSON_BODY, AS_JSON)
    assert.equal(json.status, 200)
    assert.deepEqual(JSON.parse(json.body.toString()), {
      partialSuccess: { rejectedDataPoints: String(rejectedDataPoints), errorMessage },
    })
  }
})

test('what cannot be decoded is a bad request, with the place', async t => {
  const { receiver, sink, errors } = await receiveHttp(t)
  const proto = await post(receiver, BODY.subarray(0, -1))
  assert.equal(proto.status, 400)
  assert.equal(proto.headers['content-type'], 'application/x-protobuf')
  const { code, message, details } = statusOf(proto.body)
  assert.equal(code, 3)
  assert.match(
    String(message),
    /^byte \d+: expected an ExportMetricsServiceRequest in protobuf, got one that is cut off/,
  )
  assert.deepEqual(details, [{ fieldViolations: [{ field: String(message).split(':')[0], description: message }] }])

  const json = await post(receiver, '{"resourceMetrics": 1}', AS_JSON)
  assert.equal(json.status, 400)
  assert.equal(json.headers['content-type'], 'application/json')
  assert.deepEqual(JSON.parse(json.body.toString()), {
    code: 3,
    message: 'resourceMetrics: expected a list, got a number',
    details: [
      {
        '@type': 'type.googleapis.com/google.rpc.BadRequest',
        fieldViolations: [{ field: 'resourceMetrics', description: 'resourceMetrics: expected a list, got a number' }],
      },
    ],
  })
  for (const encoding of ['gzip', 'zstd']) {
    const packed = await post(receiver, BODY, { 'content-encoding': encoding })
    assert.equal(packed.status, 400)
    assert.match(String(statusOf(packed.body).message), new RegExp(`^body: expected ${encoding}, got what is not`))
  }
  const cut = await post(receiver, gzipSync(BODY).subarray(0, -9), { 'content-encoding': 'gzip' })
  assert.equal(cut.status, 400)
  assert.deepEqual(sink.accepted, [])
  assert.deepEqual(errors, [])
})

test('what it does not know is an unsupported media type', async t => {
  const { receiver } = await receiveHttp(t)
  for (const headers of [
    { 'content-type': 'text/plain' },
    { 'content-type': 'application/grpc' },
    { 'content-type': '' },
    { 'content-encoding': 'br' },
    { 'content-encoding': 'gzip, gzip' },
    { 'content-encoding': 'toString' },
  ]) {
    const { status, headers: answered, body } = await post(receiver, deflateSync(BODY), headers)
    assert.equal(status, 415, JSON.stringify(headers))
    const json = answered['content-type'] === 'application/json'
    assert.equal(json, 'content-type' in headers)
    const { code, message } = json ? JSON.parse(body.toString()) : statusOf(body)
    assert.equal(code, 3)
    assert.match(message, /^Expected the content (type|encoding) /)
  }
})

test('other methods and other paths', async t => {
  const { receiver } = await receiveHttp(t)
  for (const method of ['GET', 'PUT', 'DELETE', 'OPTIONS']) {
    const { status, headers } = await post(receiver, '', {}, { method })
    assert.equal(status, 405)
    assert.equal(headers.allow, 'POST')
  }
  for (const path of ['/', '/v1/traces', '/v1/metrics/', '//', '/V1/metrics', '/v1/metricsx']) {
    const { status, body } = await post(receiver, BODY, {}, { path })
    assert.equal(status, 404, path)
    assert.equal(statusOf(body).code, 5)
  }
  assert.equal((await post(receiver, BODY, {}, { path: '/v1/metrics?tenant=1' })).status, 200)
})

test('the path can be another', async t => {
  const { receiver } = await receiveHttp(t, { path: '/otlp/v1/metrics' })
  assert.equal((await post(receiver, BODY)).status, 404)
  assert.equal((await post(receiver, BODY, {}, { path: '/otlp/v1/metrics' })).status, 200)
})

test('somebody else may answer other paths', async t => {
  const { receiver, errors } = await receiveHttp(t, {
    senders: sendersWith('good'),
    async other(request, response) {
      if (request.url === '/healthz') response.end('well')
      else if (request.url === '/fails') throw new Error('a fault')
      else if (request.url === '/fails-late') {
        response.write('half')
        throw new Error('a late fault')
      } else return false
      return true
    },
  })
  const get = (path: string) => post(receiver, '', {}, { method: 'GET', path })
  assert.deepEqual([(await get('/healthz')).status, (await get('/healthz')).body.toString()], [200, 'well'])
  assert.equal((await get('/nothing')).status, 404)
  assert.equal((await get('/fails')).status, 503)
  await assert.rejects(get('/fails-late'))
  assert.deepEqual(
    errors.map(error => (error as Error).message),
    ['a fault', 'a late fault'],
  )
  assert.equal((await get('/v1/metrics')).status, 405, 'its own path is its own')
})

test('without a good token nobody sends', async t => {
  const { receiver, sink } = await receiveHttp(t, { senders: sendersWith('first', 'sécond') })
  for (const authorization of [
    undefined,
    '',
    'Bearer',
    'Bearer ',
    'Bearer wrong',
    'Basic first',
    'first',
    'Bearer first2',
  ]) {
    const { status, headers, body } = await post(receiver, BODY, authorization === undefined ? {} : { authorization })
    assert.equal(status, 401, authorization)
    assert.equal(headers['www-authenticate'], 'Bearer')
    assert.equal(statusOf(body).code, 16)
  }
  assert.deepEqual(sink.accepted, [])
  for (const authorization of ['Bearer first', 'bearer first', 'BEARER  first']) {
    assert.equal((await post(receiver, BODY, { authorization })).status, 200, authorization)
  }
})

test('the sink is not able to take it now: come back', async t => {
  const { receiver, sink, errors } = await receiveHttp(t)
  sink.answer = () => {
    throw new UnavailableError('The ledger is locked', { retryAfterSeconds: 2.5 })
  }
  const { status, headers, body } = await post(receiver, BODY)
  assert.deepEqual([status, headers['retry-after']], [503, '3'])
  assert.deepEqual(statusOf(body), {
    code: 14,
    message: 'The ledger is locked',
    details: [{ retryDelay: { seconds: 3 } }],
  })
  const json = await post(receiver, JSON_BODY, AS_JSON)
  assert.equal(json.status, 503)
  assert.deepEqual(JSON.parse(json.body.toString()).details, [
    { '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '3s' },
  ])
  assert.deepEqual(errors, [], 'the sink knows of it')
})

test('a fault of our own is reported, keeps its message and has the sender come back', async t => {
  const sink = new RecordingSink()
  const { receiver, errors } = await receiveHttp(t, { sink })
  const fault = new RangeError('secret')
  const faults = [
    () => {
      sink.answer = () => Promise.reject(fault)
    },
    () => {
      sink.accept = () => {
        throw fault
      }
    },
    () => {
      sink.wants = () => {
        throw fault
      }
    },
  ]
  for (const make of faults) {
    make()
    for (const [body, headers] of [
      [BODY, {}],
      [JSON_BODY, AS_JSON],
    ] as const) {
      const answer = await post(receiver, body, headers)
      assert.equal(answer.status, 503)
      assert.ok(Number(answer.headers['retry-after']) > 0)
      assert.doesNotMatch(answer.body.toString(), /secret/)
      assert.equal(errors.pop(), fault)
      assert.deepEqual(errors, [])
    }
  }
})

test('too large, in one piece, in many and unpacked', async t => {
  const { receiver, sink } = await receiveHttp(t, { maxBodyBytes: BODY.length })
  assert.equal((await post(receiver, BODY)).status, 200)
  const large = Buffer.concat([BODY, encode({ resourceMetrics: [{ schemaUrl: 'x' }] })])
  for (const [body, headers] of [
    [large, {}],
    [large, { 'transfer-encoding': 'chunked' }],
    [gzipSync(large), { 'content-encoding': 'gzip' }],
    [zstdCompressSync(large), { 'content-encoding': 'zstd' }],
  ] as const) {
    const answer = await post(receiver, body, headers)
    assert.equal(answer.status, 413)
    assert.equal(answer.headers['retry-after'], undefined)
    assert.equal(statusOf(answer.body).code, 8)
  }
  assert.equal(sink.accepted.length, 1)
})

test('bombs of all kinds are not unpacked, and 64 MiB are not kept', async t => {
  const { receiver } = await receiveHttp(t)
  const zeros = Buffer.alloc(256 * MEBIBYTE)
  const largeWindow = { params: { [constants.ZSTD_c_windowLog]: 27, [constants.ZSTD_c_enableLongDistanceMatching]: 1 } }
  const bombs = [
    [gzipSync(zeros), { 'content-encoding': 'gzip' }, 413],
    [zstdCompressSync(zeros), { 'content-encoding': 'zstd' }, 413],
    [zstdCompressSync(zeros, largeWindow), { 'content-encoding': 'zstd' }, 400],
    [zeros.subarray(0, 64 * MEBIBYTE), {}, 413],
    [zeros.subarray(0, 64 * MEBIBYTE), { 'transfer-encoding': 'chunked' }, 413],
  ] as const
  const before = process.memoryUsage().rss
  for (const [body, headers, status] of bombs) {
    const answers = await Promise.all(Array.from({ length: 3 }, () => post(receiver, body, headers)))
    for (const answer of answers) assert.equal(answer.status, status, JSON.stringify(headers))
  }
  const grown = (process.memoryUsage().rss - before) / MEBIBYTE
  assert.ok(grown < 150, `${grown.toFixed(0)} MiB more`)
})

test('a slow sender is told to come back, and others are not kept from sending', async t => {
  const { receiver, sink } = await receiveHttp(t, { requestTimeout: 100 })
  const slow = connect(receiver.port)
  t.after(() => slow.destroy())
  slow.write('POST /v1/metrics HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{')
  const answered = once(slow, 'data')
  assert.equal((await post(receiver, BODY)).status, 200)
  const text = String((await answered)[0])
  assert.match(text, /^HTTP\/1\.1 503 Service Unavailable\r\n/)
  assert.match(text, /\r\nretry-after: 1\r\n/)
  assert.match(text, /Expected the whole request within 100 ms, got 1 bytes of it/)
  // What does not come to an end is cut off.
  await once(slow, 'close')
  assert.equal(sink.accepted.length, 1)
})

test('a request to two hosts is refused', async t => {
  const { receiver, sink } = await receiveHttp(t)
  const socket = connect(receiver.port)
  t.after(() => socket.destroy())
  const headers = 'host: a\r\nhost: b\r\ncontent-type: application/json\r\ncontent-length: 2'
  socket.write(`POST /v1/metrics HTTP/1.1\r\n${headers}\r\n\r\n{}`)
  const [answer] = await once(socket, 'data')
  assert.match(String(answer), /^HTTP\/1\.1 400 Bad Request\r\n[\s\S]*Expected one header Host, got several/)
  assert.deepEqual(sink.accepted, [])
})

test('a sender that does not finish its headers is cut off', async t => {
  const { receiver } = await receiveHttp(t, { requestTimeout: 100 })
  const slow = connect(receiver.port)
  t.after(() => slow.destroy())
  slow.write('POST /v1/metrics HTTP/1.1\r\nhost')
  slow.resume()
  await once(slow, 'close')
})

test('a sender that leaves in the middle of its request leaves nothing behind', async t => {
  const budget = new RequestBudget({ bytes: 1000 })
  const { receiver, sink, errors } = await receiveHttp(t, { budget, maxBodyBytes: 1000 })
  const leaving = connect(receiver.port)
  leaving.write('POST /v1/metrics HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n')
  leaving.write(' '.repeat(800))
  await until(() => budget.held === 800)
  assert.equal((await post(receiver, ' '.repeat(300), AS_JSON)).status, 503, 'there is no room left')
  leaving.resetAndDestroy()
  await until(() => budget.held === 0)
  assert.equal((await post(receiver, '{}', AS_JSON)).status, 200)
  assert.deepEqual(sink.accepted, [])
  assert.deepEqual(errors, [])
})

test('what the sink has is done although its sender has left', async t => {
  const budget = new RequestBudget({ bytes: MEBIBYTE })
  const { receiver, sink, errors } = await receiveHttp(t, { budget, maxBodyBytes: MEBIBYTE })
  const { asked, letGo } = holdUp(sink)
  const agent = new Agent()
  const answer = post(receiver, BODY, {}, { agent })
  await asked
  assert.equal(budget.held, BODY.length, 'held until it is answered')
  agent.destroy()
  await assert.rejects(answer)
  letGo()
  await until(() => budget.held === 0)
  assert.equal(sink.accepted.length, 1)
  assert.deepEqual(errors, [])
})

test('what would not fit beside what is being received is told to come back', async t => {
  const budget = new RequestBudget({ bytes: 6 * BODY.length })
  const { receiver, sink } = await receiveHttp(t, { budget, maxBodyBytes: 3 * BODY.length })
  const { letGo } = holdUp(sink)
  const answers = Array.from({ length: 3 }, () => post(receiver, BODY))
  await until(() => budget.held === 3 * BODY.length)
  const refused = await post(receiver, BODY)
  assert.deepEqual([refused.status, refused.headers['retry-after']], [503, '1'])
  assert.equal(statusOf(refused.body).message, 'The gateway is receiving as much as it has memory for')
  letGo()
  assert.deepEqual(
    (await Promise.all(answers)).map(({ status }) => status),
    [200, 200, 200],
  )
  assert.equal((await post(receiver, BODY)).status, 200)
})

test('what is unpacked counts as what it is, and one alone is let in', async t => {
  const body = encode(requestWith({ attributes: [{ key: 'x'.repeat(60_000) }] }))
  const budget = new RequestBudget({ bytes: body.length })
  const { receiver, sink } = await receiveHttp(t, { budget })
  const { asked, letGo } = holdUp(sink)
  const alone = post(receiver, gzipSync(BODY), { 'content-encoding': 'gzip' })
  await asked
  assert.equal((await post(receiver, gzipSync(body), { 'content-encoding': 'gzip' })).status, 503)
  letGo()
  assert.equal((await alone).status, 200)
  assert.equal((await post(receiver, gzipSync(body), { 'content-encoding': 'gzip' })).status, 200)
  assert.deepEqual([sink.accepted.length, budget.held], [2, 0])
})

test('a connection is kept for the next request, also after a refusal', async t => {
  const { receiver } = await receiveHttp(t, { maxBodyBytes: MEBIBYTE })
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.after(() => agent.destroy())
  const ports = new Set<unknown>()
  for (const [body, status] of [
    [BODY, 200],
    [BODY.subarray(1), 400],
    [Buffer.alloc(2 * MEBIBYTE), 413],
    [BODY, 200],
  ] as const) {
    assert.equal((await post(receiver, body, {}, { agent })).status, status)
    for (const socket of Object.values(agent.freeSockets).flat()) ports.add(socket?.localPort)
  }
  assert.equal(ports.size, 1)
})

test('closing answers what was accepted and what is still arriving, then ends', async t => {
  const budget = new RequestBudget()
  const { receiver, sink } = await receiveHttp(t, { budget })
  const { letGo } = holdUp(sink)
  const agent = new Agent({ keepAlive: true })
  t.after(() => agent.destroy())
  const accepted = post(receiver, BODY, {}, { agent })
  const idle = connect(receiver.port)
  idle.resume()
  await once(idle, 'connect')
  const ended = once(idle, 'close')
  const arriving = connect(receiver.port)
  arriving.write('POST /v1/metrics HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n')
  arriving.write(`content-length: ${Buffer.byteLength(JSON_BODY)}\r\n\r\n${JSON_BODY.slice(0, 10)}`)
  await until(() => budget.held === BODY.length + 10)

  const closing = receiver.close({ deadlineMs: 60_000 })
  await assert.rejects(post(receiver, BODY), /ECONNREFUSED/)
  const answered = once(arriving, 'data')
  arriving.write(JSON_BODY.slice(10))
  letGo()
  const { status, headers } = await accepted
  assert.deepEqual([status, headers.connection], [200, 'close'])
  assert.match(String((await answered)[0]), /^HTTP\/1\.1 200 OK\r\n(.*\r\n)*connection: close\r\n/i)
  await Promise.all([closing, ended])
  assert.equal(sink.accepted.length, 2)
})

test('closing cuts off at the deadline what cannot be answered', async t => {
  const { receiver, sink } = await receiveHttp(t)
  const { asked } = holdUp(sink)
  const cut = assert.rejects(post(receiver, BODY))
  await asked
  await receiver.close({ deadlineMs: 50 })
  await cut
})

test('bad options are told by name, and secrets not at all', async () => {
  const common = { sink: new RecordingSink(), onError() {} }
  for (const [options, message] of [
    [{ port: 65_536 }, 'port: expected an integer from 0 to 65535, got 65536'],
    [{ host: '' }, 'host: '],
    [{ path: 'v1/metrics' }, 'path: '],
    [{ maxBodyBytes: 0 }, 'maxBodyBytes: expected an integer from 1 '],
    [{ maxConnections: 1.5 }, 'maxConnections: expected an integer from 1 '],
    [{ requestTimeout: 1 }, 'requestTimeout: expected an integer from 10 '],
    [{ sink: {} }, 'sink: expected a sink with wants(metricName) and accept(request)'],
    [{ tls: { cert: 'x' } }, 'tls.key: '],
    [{ budget: 5 }, 'budget: '],
    [{ unknown: 1 }, 'unknown: there is no such option'],
  ] as const) {
    await assert.rejects(startHttpReceiver({ ...common, ...(options as object) }), (error: Error) => {
      assert.ok(error instanceof ConfigurationError, error)
      assert.ok(error.message.includes(message), error.message)
      assert.doesNotMatch(error.message, /secret/)
      return true
    })
  }
})

test('an address that is taken, and one that is not here', async t => {
  const { receiver } = await receiveHttp(t)
  const common = { sink: new RecordingSink(), onError() {} }
  for (const address of [{ port: receiver.port }, { host: '192.0.2.1', port: 0 }]) {
    await assert.rejects(startHttpReceiver({ ...common, ...address }), (error: Error) => {
      assert.ok(error instanceof ListenError, error)
      assert.equal(error.code, 'ERR_GATEWAY_LISTEN')
      assert.match(error.message, /^Cannot listen on \S+, port \d+: listen E/)
      return true
    })
  }
})
