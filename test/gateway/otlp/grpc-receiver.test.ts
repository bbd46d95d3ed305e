import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect as connectHttp2 } from 'node:http2'
import { connect } from 'node:net'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { createGzip } from 'node:zlib'
import * as grpc from '@grpc/grpc-js'
import { ConfigurationError } from '../../../src/errors.ts'
import { RequestBudget } from '../../../src/gateway/otlp/budget.ts'
import { ListenError } from '../../../src/gateway/otlp/errors.ts'
import { startGrpcReceiver } from '../../../src/gateway/otlp/grpc-receiver.ts'
import type { Receiver } from '../../../src/gateway/otlp/options.ts'
import { UnavailableError } from '../../../src/gateway/otlp/sink.ts'
import { decode, encode } from './proto.ts'
import { everyKind, everyKindDecoded } from './requests.ts'
import { framed, holdUp, MEBIBYTE, RecordingSink, receiveGrpc, sendersWith, statusOf, until } from './support.ts'

const EXPORT = '/opentelemetry.proto.collector.metrics.v1.MetricsService/Export'
const BODY = encode(everyKind)
const GZIP = 2

for (const [what, options] of [
  ['as it is', {}],
  ['packed with gzip', { 'grpc.default_compression_algorithm': GZIP }],
] as const) {
  test(`takes a request ${what}, and answers nothing but success`, async t => {
    const { receiver, sink } = await receiveGrpc(t)
    assert.equal((await send(t, receiver, BODY, options)).length, 0)
    assert.deepStrictEqual(sink.accepted, [everyKindDecoded])
  })
}

test('an empty request succeeds, whatever the sink says', async t => {
  const { receiver, sink } = await receiveGrpc(t)
  sink.answer = () => assert.fail('there is nothing to ask it for')
  assert.equal((await send(t, receiver, Buffer.alloc(0))).length, 0)
})

test('rejected points and warnings are a partial success', async t => {
  const { receiver, sink } = await receiveGrpc(t)
  sink.answer = () => ({ rejectedDataPoints: 3, message: 'three are no numbers' })
  assert.deepEqual(decode('ExportMetricsServiceResponse', await send(t, receiver, BODY)), {
    partialSuccess: { rejectedDataPoints: 3, errorMessage: 'three are no numbers' },
  })
  sink.answer = () => ({ rejectedDataPoints: 0, message: 'nobody is billed for them' })
  assert.deepEqual(decode('ExportMetricsServiceResponse', await send(t, receiver, BODY)), {
    partialSuccess: { errorMessage: 'nobody is billed for them' },
  })
})

test('what cannot be decoded is an invalid argument, with the place', async t => {
  const { receiver, sink, errors } = await receiveGrpc(t)
  const error = await refused(t, receiver, BODY.subarray(0, -1))
  assert.equal(error.code, grpc.status.INVALID_ARGUMENT)
  assert.match(error.details, /^byte \d+: expected an ExportMetricsServiceRequest in protobuf, got one that is cut off/)
  assert.deepEqual(detailsOf(error), [
    { fieldViolations: [{ field: error.details.split(':')[0], description: error.details }] },
  ])
  assert.deepEqual([sink.accepted, errors], [[], []])
})

test('too large, also when it is unpacked', async t => {
  const { receiver } = await receiveGrpc(t, { maxBodyBytes: BODY.length })
  assert.equal((await send(t, receiver, BODY)).length, 0)
  const large = Buffer.concat([BODY, encode({ resourceMetrics: [{ schemaUrl: 'x' }] })])
  for (const options of [{}, { 'grpc.default_compression_algorithm': GZIP }]) {
    const error = await refused(t, receiver, large, options)
    assert.equal(error.code, grpc.status.RESOURCE_EXHAUSTED)
    assert.deepEqual(detailsOf(error), [], 'it is not to come back')
  }
})

test('a bomb is not unpacked', async t => {
  const { receiver } = await receiveGrpc(t)
  // A client of grpc-js would unpack it here first.
  const bomb = await gzipOfZeros(256)
  const session = connectHttp2(`http://127.0.0.1:${receiver.port}`)
  t.after(() => session.destroy())
  const gzip = { 'content-type': 'application/grpc', 'grpc-encoding': 'gzip' }
  const before = process.resourceUsage().maxRSS
  const stream = session.request({ ':method': 'POST', ':path': EXPORT, ...gzip })
  stream.end(framed(bomb, 1))
  const [headers] = await once(stream, 'response')
  assert.equal(Number(headers['grpc-status']), grpc.status.RESOURCE_EXHAUSTED)
  const grown = (process.resourceUsage().maxRSS - before) / 1024
  assert.ok(grown < 150, `${grown.toFixed(0)} MiB more`)
})

test('without a good token nobody sends', async t => {
  const { receiver, sink } = await receiveGrpc(t, { senders: sendersWith('first', 'second') })
  for (const authorization of [undefined, 'Bearer wrong', 'first']) {
    const error = await refused(t, receiver, BODY, {}, authorization)
    assert.equal(error.code, grpc.status.UNAUTHENTICATED, authorization)
    assert.deepEqual(detailsOf(error), [])
  }
  assert.deepEqual(sink.accepted, [])
  assert.equal((await send(t, receiver, BODY, {}, 'Bearer second')).length, 0)
})

test('the sink is not able to take it now: come back', async t => {
  const { receiver, sink, errors } = await receiveGrpc(t)
  sink.answer = () => {
    // A header has no room for half a character, nor for a long message.
    throw new UnavailableError(`The ledger is locked \ud800 ${'x'.repeat(100_000)}`, { retryAfterSeconds: 2.5 })
  }
  const error = await refused(t, receiver, BODY)
  assert.equal(error.code, grpc.status.UNAVAILABLE)
  assert.match(error.details, /^The ledger is locked \ufffd x+$/)
  assert.deepEqual(detailsOf(error), [{ retryDelay: { seconds: 3 } }])
  assert.deepEqual(errors, [], 'the sink knows of it')
})

test('a fault of our own is reported, keeps its message and has the sender come back', async t => {
  const { receiver, sink, errors } = await receiveGrpc(t)
  const fault = new RangeError('secret')
  sink.answer = () => Promise.reject(fault)
  const error = await refused(t, receiver, BODY)
  assert.equal(error.code, grpc.status.UNAVAILABLE)
  assert.doesNotMatch(error.details, /secret/)
  assert.deepEqual(detailsOf(error), [{ retryDelay: { seconds: 5 } }])
  assert.deepEqual(errors, [fault])
})

test('what would not fit beside what is being answered is told to come back', async t => {
  const budget = new RequestBudget({ bytes: 4 * (5 + BODY.length) })
  const { receiver, sink } = await receiveGrpc(t, { budget })
  const { letGo } = holdUp(sink)
  const answers = [send(t, receiver, BODY), send(t, receiver, BODY)]
  await until(() => budget.held === 2 * (5 + BODY.length))
  const error = await refused(t, receiver, BODY)
  assert.equal(error.code, grpc.status.UNAVAILABLE)
  assert.deepEqual(detailsOf(error), [{ retryDelay: { seconds: 1 } }])
  letGo()
  await Promise.all(answers)
  assert.equal(budget.held, 0)
})

test('a slow sender is told to come back', async t => {
  const { receiver } = await receiveGrpc(t, { requestTimeout: 50 })
  const session = connectHttp2(`http://127.0.0.1:${receiver.port}`)
  t.after(() => session.destroy())
  const stream = session.request({ ':method': 'POST', ':path': EXPORT, 'content-type': 'application/grpc' })
  stream.write(Buffer.of(0, 0, 0, 0, 100, 1))
  const [headers] = await once(stream, 'response')
  assert.equal(Number(headers['grpc-status']), grpc.status.UNAVAILABLE)
  assert.match(decodeURI(headers['grpc-message']), /^Expected the whole request within 50 ms/)
})

test('other methods, other protocols', async t => {
  const { receiver } = await receiveGrpc(t)
  const traces = '/opentelemetry.proto.collector.trace.v1.TraceService/Export'
  assert.equal((await refused(t, receiver, BODY, {}, undefined, traces)).code, grpc.status.UNIMPLEMENTED)
  const socket = connect(receiver.port)
  socket.end('GET / HTTP/1.1\r\n\r\n')
  socket.resume().on('error', () => {})
  await once(socket, 'close')
  const reset = connect(receiver.port)
  await once(reset, 'connect')
  reset.resetAndDestroy()
  assert.equal((await send(t, receiver, BODY)).length, 0)
})

test('closing answers what was accepted, then ends', async t => {
  const { receiver, sink } = await receiveGrpc(t)
  const { asked, letGo } = holdUp(sink)
  const answer = send(t, receiver, BODY)
  await asked
  const silent = connect(receiver.port)
  silent.resume()
  await once(silent, 'connect')
  const ended = once(silent, 'close')
  const closing = receiver.close({ deadlineMs: 60_000 })
  assert.equal((await refused(t, receiver, BODY)).code, grpc.status.UNAVAILABLE)
  letGo()
  assert.equal((await answer).length, 0)
  await Promise.all([closing, ended])
  assert.equal(sink.accepted.length, 1)
})

test('closing waits for the sink although the sender has left, up to the deadline', async t => {
  const { receiver, sink } = await receiveGrpc(t)
  const { asked, letGo } = holdUp(sink)
  const sender = client(t, receiver)
  const call = sender.makeUnaryRequest(EXPORT, same, same, BODY, () => {})
  await asked
  call.cancel()
  sender.close()
  const begun = performance.now()
  await receiver.close({ deadlineMs: 100 })
  assert.ok(performance.now() - begun > 99)
  letGo()
})

test('closing cuts off at the deadline what cannot be answered', async t => {
  const { receiver, sink } = await receiveGrpc(t)
  const { asked } = holdUp(sink)
  const cut = refused(t, receiver, BODY)
  await asked
  await receiver.close({ deadlineMs: 50 })
  await cut
})

test('bad options, and an address that is taken', async t => {
  const common = { sink: new RecordingSink(), onError() {} }
  await assert.rejects(startGrpcReceiver({ ...common, port: -1 }), ConfigurationError)
  const { receiver } = await receiveGrpc(t)
  await assert.rejects(startGrpcReceiver({ ...common, port: receiver.port }), ListenError)
})

const same = (bytes: Buffer) => bytes

function client(t: TestContext, { port }: Receiver, options: grpc.ClientOptions = {}): grpc.Client {
  const own = { 'grpc.max_send_message_length': -1, 'grpc.use_local_subchannel_pool': 1 }
  const made = new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure(), { ...own, ...options })
  t.after(() => made.close())
  return made
}

function send(
  t: TestContext,
  receiver: Receiver,
  body: Buffer,
  options: grpc.ClientOptions = {},
  authorization?: string,
  path = EXPORT,
): Promise<Buffer> {
  const metadata = new grpc.Metadata()
  if (authorization !== undefined) metadata.set('authorization', authorization)
  return new Promise((resolve, reject) => {
    client(t, receiver, options).makeUnaryRequest(path, same, same, body, metadata, (error, answer) =>
      error === null ? resolve(answer as Buffer) : reject(error),
    )
  })
}

async function refused(...call: Parameters<typeof send>): Promise<grpc.ServiceError> {
  return send(...call).then(
    () => assert.fail('it was taken'),
    (error: grpc.ServiceError) => error,
  )
}

/** The details of the `google.rpc.Status` among the trailers. */
function detailsOf({ code, details, metadata }: grpc.ServiceError): unknown {
  const status = statusOf(metadata.get('grpc-status-details-bin')[0] as Buffer)
  assert.equal(status.code, code)
  assert.equal(status.message, details)
  return status.details
}

async function gzipOfZeros(mebibytes: number): Promise<Buffer> {
  const zeros = Buffer.alloc(MEBIBYTE)
  return await buffer(Readable.from(Array(mebibytes).fill(zeros)).pipe(createGzip()))
}
