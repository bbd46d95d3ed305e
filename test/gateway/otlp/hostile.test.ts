import assert from 'node:assert/strict'
import { type EventEmitter, once } from 'node:events'
import { connect as connectHttp2, type OutgoingHttpHeaders } from 'node:http2'
import { connect, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { RequestBudget } from '../../../src/gateway/otlp/budget.ts'
import { FailedAttempts } from '../../../src/gateway/otlp/failed-attempts.ts'
import type { Receiver } from '../../../src/gateway/otlp/options.ts'
import type { Refused } from '../../../src/gateway/otlp/refusal.ts'
import { Senders } from '../../../src/gateway/otlp/senders.ts'
import { encode } from './proto.ts'
import { requestWith } from './requests.ts'
import { framed, holdUp, MEBIBYTE, post, receiveGrpc, receiveHttp, sendersWith, until } from './support.ts'

const EXPORT = '/opentelemetry.proto.collector.metrics.v1.MetricsService/Export'
const HEALTH = '/grpc.health.v1.Health/Check'
const BODY = encode(requestWith({}))
/** Refusals are counted by transport, code and sender. */
const kinds = (refused: readonly Refused[]) => refused.map(({ code, sender }) => (sender ? `${code} ${sender}` : code))

function session(t: TestContext, { port }: Receiver) {
  const opened = connectHttp2(`http://127.0.0.1:${port}`)
  opened.on('error', () => {})
  t.after(() => opened.destroy())
  return opened
}

/** Calls without a library, and answers its status and message; `body` is sent as it is. */
async function call(
  at: ReturnType<typeof session>,
  body: Buffer,
  headers: OutgoingHttpHeaders = {},
  path = EXPORT,
): Promise<{ status: string | undefined; message: Buffer }> {
  const stream = at.request({ ':method': 'POST', ':path': path, 'content-type': 'application/grpc', ...headers })
  let status: string | undefined
  const take = (headers: OutgoingHttpHeaders) => {
    status = (headers['grpc-status'] as string | undefined) ?? status
  }
  stream.on('response', take).on('trailers', take)
  stream.end(body)
  return { message: Buffer.concat(await stream.toArray()).subarray(5), status }
}

/** However it ends. */
function gone(socket: Socket): Promise<unknown> {
  socket.resume().on('error', () => {})
  return new Promise(resolve => socket.once('close', resolve))
}

/** Frames of HTTP/2 by hand: no library opens more streams than it may, nor sends a byte in each. */
function frame(type: number, flags: number, id: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head.writeUInt8(type, 3)
  head.writeUInt8(flags, 4)
  head.writeUInt32BE(id, 5)
  return Buffer.concat([head, payload])
}

const PREFACE = Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(4, 0, 0)])

function fieldsOf(path: string): Buffer {
  const field = (name: string, value: string) =>
    Buffer.concat([Buffer.of(0, name.length), Buffer.from(name), Buffer.of(value.length), Buffer.from(value)])
  return Buffer.concat([
    field(':method', 'POST'),
    field(':scheme', 'http'),
    field(':path', path),
    field('content-type', 'application/grpc'),
  ])
}

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

function heapInUse(): number {
  collectGarbage()
  return process.memoryUsage().heapUsed
}

/** Its answers to those that fail often never come. */
function neverAnswering(): FailedAttempts {
  const failedAttempts = new FailedAttempts({ wait: () => new Promise(() => {}) })
  for (let i = 0; i < 10; i++) failedAttempts.mayAnswer('127.0.0.1')
  return failedAttempts
}

test('HTTP: each refusal is told, with its code and sender, and never a token', async t => {
  const refused: Refused[] = []
  const { receiver, sink } = await receiveHttp(t, {
    senders: sendersWith('good-token'),
    onRefused: one => refused.push(one),
    maxBodyBytes: 1000,
    requestTimeout: 100,
  })
  const good = { authorization: 'Bearer good-token' }
  for (const [body, headers, options] of [
    [BODY, { authorization: 'Bearer s3cret' }, {}],
    [BODY, {}, { path: '/nowhere' }],
    [BODY, {}, { method: 'PUT' }],
    [Buffer.alloc(1001), good, {}],
    [BODY, { ...good, 'content-type': 'text/plain' }, {}],
    [BODY, { ...good, 'content-encoding': 'br' }, {}],
    [BODY.subarray(1), good, {}],
  ] as const) {
    await post(receiver, body, headers, options)
  }
  sink.answer = () => Promise.reject(new Error('a fault'))
  await post(receiver, BODY, good)
  const slow = connect(receiver.port)
  slow.write(`POST /v1/metrics HTTP/1.1\r\nhost: a\r\nauthorization: Bearer good-token\r\n`)
  slow.write('content-type: application/json\r\ncontent-length: 100\r\n\r\n{')
  await gone(slow)
  const broken = connect(receiver.port)
  broken.write('GET / HTTP/1.1\r\nhost: a\r\nx: a\0b\r\n\r\n')
  await gone(broken)
  const silent = connect(receiver.port)
  await gone(silent)
  assert.deepEqual(kinds(refused).slice(0, 10), [
    'UNAUTHENTICATED',
    'NOT_FOUND',
    'UNIMPLEMENTED',
    'RESOURCE_EXHAUSTED sender-1',
    '415 sender-1',
    '415 sender-1',
    'INVALID_ARGUMENT sender-1',
    'UNAVAILABLE sender-1',
    'UNAVAILABLE sender-1',
    '400',
  ])
  assert.match(kinds(refused)[10] ?? '', /^(408|CONNECTIONS)$/)
  assert.doesNotMatch(JSON.stringify(refused), /s3cret|good-token/)
  assert.ok(refused.every(({ transport }) => transport === 'http'))
})

test('gRPC: each refusal is told, with its code and sender, and never a token', async t => {
  const refused: Refused[] = []
  const { receiver, sink } = await receiveGrpc(t, {
    senders: sendersWith('good-token'),
    onRefused: one => refused.push(one),
    maxBodyBytes: 1000,
  })
  const at = session(t, receiver)
  const good = { authorization: 'Bearer good-token' }
  const statuses: unknown[] = []
  for (const [body, headers, path] of [
    [framed(BODY), { authorization: 'Bearer s3cret' }, EXPORT],
    [framed(BODY), good, '/other'],
    [framed(Buffer.alloc(1001)), good, EXPORT],
    [framed(gzipSync(Buffer.alloc(1001)), 1), { ...good, 'grpc-encoding': 'gzip' }, EXPORT],
    [framed(BODY, 1), { ...good, 'grpc-encoding': 'snappy' }, EXPORT],
    [framed(BODY, 1), good, EXPORT],
    [framed(BODY, 1), { ...good, 'grpc-encoding': 'gzip' }, EXPORT],
    [framed(BODY, 2), { ...good, 'grpc-encoding': 'gzip' }, EXPORT],
    [framed(BODY, 0, BODY.length + 1), good, EXPORT],
    [Buffer.concat([framed(BODY), framed(BODY)]), good, EXPORT],
    [Buffer.alloc(0), good, EXPORT],
    [framed(BODY), { ...good, origin: 'https://evil.test' }, EXPORT],
  ] as const) {
    statuses.push((await call(at, body, headers, path)).status)
  }
  sink.answer = () => Promise.reject(new Error('a fault'))
  statuses.push((await call(at, framed(BODY), good)).status)
  const stream = at.request({ ':method': 'POST', ':path': EXPORT, 'content-type': 'text/plain' })
  assert.equal((await once(stream, 'response'))[0][':status'], 415)
  const own = 'sender-1'
  assert.deepEqual(kinds(refused), [
    'UNAUTHENTICATED',
    'UNIMPLEMENTED',
    `RESOURCE_EXHAUSTED ${own}`,
    `RESOURCE_EXHAUSTED ${own}`,
    `UNIMPLEMENTED ${own}`,
    ...Array(6).fill(`INVALID_ARGUMENT ${own}`),
    'PERMISSION_DENIED',
    `UNAVAILABLE ${own}`,
    '415',
  ])
  assert.deepEqual(statuses, ['16', '12', '8', '8', '12', '3', '3', '3', '3', '3', '3', '7', '14'])
  assert.doesNotMatch(JSON.stringify(refused), /s3cret|good-token/)
  sink.answer = () => ({ rejectedDataPoints: 0, message: '' })
  const zstd = await call(at, framed(zstdCompressSync(BODY), 1), { ...good, 'grpc-encoding': 'zstd' })
  assert.equal(zstd.status, '0')
})

test('gRPC: of a stranger nothing is read', async t => {
  const budget = new RequestBudget()
  const { receiver } = await receiveGrpc(t, { senders: sendersWith('good'), budget })
  const at = session(t, receiver)
  const stream = at.request({ ':method': 'POST', ':path': EXPORT, 'content-type': 'application/grpc' })
  const [headers] = await once(stream, 'response')
  assert.equal(headers['grpc-status'], '16')
  await once(stream.resume(), 'close')
  assert.equal(stream.rstCode, 0)
  assert.equal(budget.held, 0)
})

test('gRPC: streams without an end are refused above the limit, ended in time, and their connection is closed', async t => {
  const refused: Refused[] = []
  const options = { maxStreams: 10, requestTimeout: 100, onRefused: (one: Refused) => refused.push(one) }
  const { receiver } = await receiveGrpc(t, options)
  const socket = connect(receiver.port)
  const closed = gone(socket)
  socket.write(PREFACE)
  for (let stream = 0; stream < 1000; stream++) socket.write(frame(1, 4, 2 * stream + 1, fieldsOf(EXPORT)))
  await closed
  assert.ok(refused.length <= 12, `${refused.length} refusals`)
  assert.equal(refused.at(-1)?.code, 'CONNECTIONS')
  const at = session(t, receiver)
  assert.equal((await call(at, framed(BODY))).status, '0', 'others are served')
  const endless = at.request({ ':method': 'POST', ':path': EXPORT, 'content-type': 'application/grpc' })
  const [answered] = await once(endless, 'response')
  assert.equal(answered['grpc-status'], '14')
})

test('gRPC: bombs are unpacked one after the other, within what all requests may hold', async t => {
  const { receiver, sink } = await receiveGrpc(t)
  const { letGo } = holdUp(sink)
  const at = session(t, receiver)
  // By what is not read: attributes are limited.
  const metric = { name: 'tokens', description: 'x'.repeat(18 * MEBIBYTE), sum: { dataPoints: [{ asInt: '1' }] } }
  const body = encode({ resourceMetrics: [{ scopeMetrics: [{ metrics: [metric] }] }] })
  const bomb = framed(gzipSync(body), 1)
  const before = process.memoryUsage().rss
  const answers = Array.from({ length: 10 }, () => call(at, bomb, { 'grpc-encoding': 'gzip' }))
  const first = await Promise.race(answers)
  assert.equal(first.status, '14', 'there is no room')
  letGo()
  const statuses = (await Promise.all(answers)).map(({ status }) => status)
  assert.ok(statuses.includes('0'))
  const grown = (process.memoryUsage().rss - before) / MEBIBYTE
  assert.ok(grown < 300, `${grown.toFixed(0)} MiB more`)
})

test('a body in pieces of one byte takes no more memory than it is large', async t => {
  const budget = new RequestBudget()
  const { receiver } = await receiveHttp(t, { budget })
  const pieces = 300_000
  const before = heapInUse()
  const socket = connect(receiver.port)
  t.after(() => socket.destroy())
  socket.write('POST /v1/metrics HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n')
  socket.write(`transfer-encoding: chunked\r\n\r\n${'1\r\n \r\n'.repeat(pieces)}`)
  await until(() => budget.held >= pieces)
  assert.ok(budget.held <= 2 * pieces, `${budget.held} bytes for ${pieces}`)
  const grown = (heapInUse() - before) / pieces
  assert.ok(grown < 50, `${grown.toFixed(0)} bytes more for each`)
})

test('what nobody reads does not wait in memory for its answer', async t => {
  const options = { senders: sendersWith('good'), failedAttempts: neverAnswering(), maxBodyBytes: 1000 }
  const { receiver } = await receiveHttp(t, { ...options, other: () => new Promise(() => {}) })
  for (const path of ['/v1/metrics', '/metrics']) {
    const socket = connect(receiver.port)
    t.after(() => socket.destroy())
    socket.write(`POST ${path} HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n`)
    // Read, it is found to be too much, and its connection is closed.
    socket.write(Buffer.alloc(2000))
    await gone(socket)
  }
})

test('gRPC: health calls that never end take no place of a sender, and do not keep others from asking', async t => {
  const budget = new RequestBudget({ requests: 8 })
  const { receiver } = await receiveGrpc(t, { senders: sendersWith('good'), budget, requestTimeout: 60_000 })
  const endless: ReturnType<ReturnType<typeof session>['request']>[] = []
  for (let i = 0; i < 11; i++) {
    const at = session(t, receiver)
    await once(at, 'remoteSettings')
    for (let k = 0; k < 100; k++) {
      const stream = at.request({ ':method': 'POST', ':path': HEALTH, 'content-type': 'application/grpc' })
      endless.push(stream.on('error', () => {}).resume())
    }
  }
  const at = session(t, receiver)
  const asked = await call(at, framed(Buffer.alloc(0)), {}, HEALTH)
  assert.equal(asked.status, '0')
  assert.equal((await call(at, framed(BODY), { authorization: 'Bearer good' })).status, '0')
  // The oldest have given way. The others are answered when they have had their second.
  assert.equal(endless[0]?.rstCode, 11)
  const [answered] = await once(endless.at(-1) as EventEmitter, 'response')
  assert.equal(answered['grpc-status'], '14')
})

test('gRPC: on a connection with good senders strangers lose their own calls only', async t => {
  const { receiver, sink } = await receiveGrpc(t, { senders: sendersWith('good'), failedAttempts: neverAnswering() })
  const { asked, letGo } = holdUp(sink)
  const at = session(t, receiver)
  const good = call(at, framed(BODY), { authorization: 'Bearer good' })
  await asked
  const strangers = Array.from({ length: 40 }, (_, index) => {
    const authorization = `Bearer bad ${index}`
    const stream = at.request({ ':method': 'POST', ':path': EXPORT, 'content-type': 'application/grpc', authorization })
    stream.on('error', () => {}).resume()
    return stream
  })
  await until(() => strangers.filter(({ rstCode, closed }) => closed && rstCode === 11).length === 30)
  letGo()
  assert.equal((await good).status, '0')
})

test('what is sent with a token that has been revoked meanwhile is not taken', async t => {
  const both = [
    { name: 'stays', token: 'stays' },
    { name: 'goes', token: 'goes' },
  ]
  const senders = new Senders(both)
  const budget = new RequestBudget()
  const { receiver, sink } = await receiveHttp(t, { senders, budget })
  const { receiver: grpc, sink: grpcSink } = await receiveGrpc(t, { senders, budget })
  const socket = connect(receiver.port)
  t.after(() => socket.destroy())
  socket.write(
    'POST /v1/metrics HTTP/1.1\r\nhost: a\r\ncontent-type: application/x-protobuf\r\nauthorization: Bearer goes\r\n' +
      `content-length: ${BODY.length}\r\n\r\n`,
  )
  socket.write(BODY.subarray(0, 10))
  const headers = { 'content-type': 'application/grpc', authorization: 'Bearer goes' }
  const stream = session(t, grpc).request({ ':method': 'POST', ':path': EXPORT, ...headers })
  stream.write(framed(BODY).subarray(0, 10))
  await until(() => budget.held === 20)
  senders.replace(both.slice(0, 1))
  socket.write(BODY.subarray(10))
  stream.end(framed(BODY).subarray(10))
  assert.match(String((await once(socket, 'data'))[0]), /^HTTP\/1\.1 401 /)
  assert.equal((await once(stream, 'response'))[0]['grpc-status'], '16')
  assert.deepEqual([sink.accepted, grpcSink.accepted], [[], []])
})

test('a sender has a share of its own beside others, at its host and in all', () => {
  const budget = new RequestBudget({ bytes: 100 })
  const bad = [budget.open('nat', 'bad'), budget.open('nat', 'bad'), budget.open('b', 'bad'), budget.open('c', 'bad')]
  const full = /as much as it has memory for/
  bad[0]?.add(20)
  assert.throws(() => bad[1]?.add(6), full, 'a quarter at one host')
  bad[2]?.add(25)
  bad[3]?.add(5)
  assert.throws(() => bad[1]?.add(1), full, 'half in all')
  const [beside, another] = [budget.open('nat', 'good'), budget.open('d', 'good')]
  beside.add(25)
  another.add(25)
  assert.equal(budget.held, 100)
})

test('a share is kept for others only where there are others', () => {
  const one = { name: 'a', token: 'a' }
  assert.equal(new Senders().shareOf(one), undefined)
  assert.equal(new Senders([one]).shareOf(one), undefined)
  assert.equal(new Senders([one, { name: 'b', token: 'b' }]).shareOf(one), 'a')
})

test('one host has half of what there is, and others the rest', () => {
  const budget = new RequestBudget({ bytes: 100, requests: 6 })
  const [first, second, other] = [budget.open('a'), budget.open('a'), budget.open('b')]
  first.add(40)
  assert.throws(() => second.add(20), /as much as it has memory for/)
  other.add(50)
  second.add(10)
  assert.throws(() => other.add(1), /as much as it has memory for/)
  assert.equal(budget.held, 100)
  const third = budget.open('a')
  assert.throws(() => budget.open('a'), /as many requests as it can/)
  budget.open('b').release()
  for (const hold of [first, second, third, other]) hold.release()
  first.release()
  assert.equal(budget.held, 0)
  const alone = budget.open('a')
  alone.add(1000)
  alone.add(1000)
  alone.release()
  for (let i = 0; i < 3; i++) budget.open('a')
})

test('who fails often waits for the answer, and is not answered where too many wait', async () => {
  let now = 0
  const waits: (() => void)[] = []
  const attempts = new FailedAttempts({
    now: () => now,
    wait: () => new Promise<void>(resolve => waits.push(resolve)),
  })
  for (let i = 0; i < 10; i++) assert.equal(await attempts.mayAnswer('a'), true)
  const waiting = Array.from({ length: 10 }, () => attempts.mayAnswer('a'))
  assert.equal(waits.length, 10)
  assert.equal(await attempts.mayAnswer('a'), false)
  assert.equal(await attempts.mayAnswer('b'), true, 'others are answered')
  for (const end of waits) end()
  assert.deepEqual(await Promise.all(waiting), Array(10).fill(true))
  now += 5 * 60_000
  assert.equal(await attempts.mayAnswer('a'), true, 'after a while it is forgotten')
  // So are the longest silent, where there are many.
  for (let i = 0; i < 11; i++) attempts.mayAnswer('c')
  assert.equal(waits.length, 11)
  for (let i = 0; i < 10_000; i++) await attempts.mayAnswer(`host ${i}`)
  assert.equal(await attempts.mayAnswer('c'), true)
})

test('a good token is let in at once, whoever else is at its address', async t => {
  const failedAttempts = new FailedAttempts({ wait: () => new Promise(() => {}) })
  const senders = sendersWith('good')
  const { receiver } = await receiveHttp(t, { senders, failedAttempts })
  const { receiver: grpc } = await receiveGrpc(t, { senders, failedAttempts })
  for (let i = 0; i < 10; i++) assert.equal((await post(receiver, BODY)).status, 401)
  const held = Array.from({ length: 10 }, () => connect(receiver.port))
  t.after(() => held.map(socket => socket.destroy()))
  for (const socket of held) socket.write('POST /v1/metrics HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n')
  let cut = 0
  // Which come first does not matter: ten wait, the next is cut off.
  for (let i = 0; i < 10; i++) {
    const extra = connect(receiver.port)
    extra.write('POST /v1/metrics HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n')
    extra.resume().on('error', () => {})
    held.push(extra)
    extra.once('close', () => cut++)
  }
  await until(() => cut >= 1)
  const at = session(t, grpc)
  const cutOff = new Promise(resolve => at.once('close', resolve))
  at.request({ ':method': 'POST', ':path': EXPORT, 'content-type': 'application/grpc' }).on('error', () => {})
  await cutOff
  const authorization = 'Bearer good'
  assert.equal((await post(receiver, BODY, { authorization })).status, 200)
  assert.equal((await call(session(t, grpc), framed(BODY), { authorization })).status, '0')
})

test('web pages send no usage, senders call the gateway what they like', async t => {
  const { receiver, sink } = await receiveHttp(t)
  const json = { 'content-type': 'application/json' }
  for (const headers of [
    { origin: 'http://evil.test:4318', host: 'evil.test:4318' },
    { origin: `http://127.0.0.1:${receiver.port}` },
    { origin: 'null' },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-origin', host: 'evil.test' },
  ]) {
    assert.equal((await post(receiver, '{}', { ...json, ...headers } as Record<string, string>)).status, 403)
  }
  const preflight = await post(receiver, '', { origin: 'http://evil.test' }, { method: 'OPTIONS' })
  assert.equal(preflight.status, 403)
  assert.ok(Object.keys(preflight.headers).every(name => !name.startsWith('access-control-')))
  assert.deepEqual(sink.accepted, [])
  for (const host of ['gateway:4318', 'gateway.metering.svc:4318', 'metering.example.com']) {
    assert.equal((await post(receiver, BODY, { host })).status, 200, host)
  }
})

test('HTTP: who waits for leave to send is let when it is known who it is', async t => {
  const { receiver } = await receiveHttp(t, { senders: sendersWith('good') })
  const ask = (token: string) => {
    const socket = connect(receiver.port)
    t.after(() => socket.destroy())
    socket.write(
      'POST /v1/metrics HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-type: application/x-protobuf\r\n' +
        `authorization: Bearer ${token}\r\ncontent-length: ${BODY.length}\r\n\r\n`,
    )
    return socket
  }
  const good = ask('good')
  assert.match(String((await once(good, 'data'))[0]), /^HTTP\/1\.1 100 Continue/)
  good.write(BODY)
  assert.match(String((await once(good, 'data'))[0]), /^HTTP\/1\.1 200/)
  const bad = ask('bad')
  assert.match(String((await once(bad, 'data'))[0]), /^HTTP\/1\.1 401[\s\S]*\r\nconnection: close/)
})

test('gRPC says whether it is well, without a token', async t => {
  let ready = true
  const { receiver } = await receiveGrpc(t, { senders: sendersWith('good'), ready: () => ready })
  const at = session(t, receiver)
  const named = (service: string) => framed(Buffer.concat([Buffer.of(10, service.length), Buffer.from(service)]))
  const own = named('opentelemetry.proto.collector.metrics.v1.MetricsService')
  for (const body of [framed(Buffer.alloc(0)), own]) {
    assert.deepEqual(await call(at, body, {}, HEALTH), { status: '0', message: Buffer.of(8, 1) })
  }
  ready = false
  assert.deepEqual(await call(at, own, {}, HEALTH), { status: '0', message: Buffer.of(8, 2) })
  assert.equal((await call(at, named('other'), {}, HEALTH)).status, '5')
  assert.equal((await call(at, framed(Buffer.of(10, 200)), {}, HEALTH)).status, '3')
  assert.equal((await call(at, own, {}, '/grpc.health.v1.Health/Watch')).status, '12')
})
