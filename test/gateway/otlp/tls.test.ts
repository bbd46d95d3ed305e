import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { Agent, type RequestOptions, request } from 'node:https'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import * as grpc from '@grpc/grpc-js'
import type { Refused } from '../../../src/gateway/otlp/refusal.ts'
import { encode } from './proto.ts'
import { requestWith } from './requests.ts'
import { receiveGrpc, receiveHttp } from './support.ts'

const BODY = encode(requestWith({}))
const skip = spawnSync('openssl', ['version']).status === 0 ? false : 'needs openssl to make certificates'

interface Identity {
  readonly cert: Buffer
  readonly key: Buffer
}

/** Somebody with a certificate that he has signed himself. */
function identity(t: TestContext): Identity {
  const folder = mkdtempSync(join(tmpdir(), 'certificate-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
  const names = 'subjectAltName=DNS:localhost,IP:127.0.0.1'
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2']
  execFileSync(
    'openssl',
    ['req', '-x509', ...kind, '-subj', '/CN=localhost', '-addext', names, '-keyout', key, '-out', cert],
    { stdio: 'ignore' },
  )
  return { cert: readFileSync(cert), key: readFileSync(key) }
}

test('HTTP: with TLS, and for those alone whose certificate is good', { skip }, async t => {
  const [server, sender, stranger] = [identity(t), identity(t), identity(t)]
  const open = await receiveHttp(t, { tls: { ...server } })
  assert.equal(await post(open.receiver.port, { ca: server.cert }), 200)
  await assert.rejects(post(open.receiver.port, { ca: stranger.cert }), /self-signed certificate/)

  const mutual = await receiveHttp(t, { tls: { ...server, ca: sender.cert }, requestTimeout: 200 })
  assert.equal(await post(mutual.receiver.port, { ca: server.cert, ...sender }), 200)
  await assert.rejects(post(mutual.receiver.port, { ca: server.cert }), { code: /^(ERR_SSL|ECONNRESET|EPIPE)/ })
  await assert.rejects(post(mutual.receiver.port, { ca: server.cert, ...stranger }), {
    code: /^(ERR_SSL|ECONNRESET|EPIPE)/,
  })
  assert.equal(mutual.sink.accepted.length, 1)
  // Who does not shake hands is cut off.
  const silent = connect(mutual.receiver.port)
  silent.resume().on('error', () => {})
  await once(silent, 'close')
  assert.deepEqual([...open.errors, ...mutual.errors], [])
})

test('gRPC: with TLS, and for those alone whose certificate is good', { skip }, async t => {
  const [server, sender, stranger] = [identity(t), identity(t), identity(t)]
  const open = await receiveGrpc(t, { tls: { ...server } })
  assert.equal(await send(t, open.receiver.port, server.cert), grpc.status.OK)
  assert.equal(await send(t, open.receiver.port, stranger.cert), grpc.status.UNAVAILABLE)

  const tls = { cert: server.cert.toString(), key: server.key.toString(), ca: sender.cert.toString() }
  const mutual = await receiveGrpc(t, { tls })
  assert.equal(await send(t, mutual.receiver.port, server.cert, sender), grpc.status.OK)
  assert.equal(await send(t, mutual.receiver.port, server.cert), grpc.status.UNAVAILABLE)
  assert.equal(await send(t, mutual.receiver.port, server.cert, stranger), grpc.status.UNAVAILABLE)
  assert.equal(mutual.sink.accepted.length, 1)
  assert.deepEqual([...open.errors, ...mutual.errors], [])
})

for (const { name, receive, ask } of [
  { name: 'HTTP', receive: receiveHttp, ask: askHttp },
  { name: 'gRPC', receive: receiveGrpc, ask: askGrpc },
]) {
  test(`${name}: a renewed certificate is for new connections, and those that are open stay`, { skip }, async t => {
    const [server, renewed, sender] = [identity(t), identity(t), identity(t)]
    const refused: Refused[] = []
    const options = { tls: { ...server, ca: sender.cert }, onRefused: (one: Refused) => refused.push(one) }
    const { receiver, sink } = await receive(t, options)
    const open = ask(t, receiver.port, { ca: server.cert, ...sender })
    await open()
    receiver.renew({ tls: { ...renewed, ca: sender.cert } })
    await open()
    await ask(t, receiver.port, { ca: renewed.cert, ...sender })()
    assert.deepEqual(refused, [])
    await assert.rejects(ask(t, receiver.port, { ca: server.cert, ...sender })())
    assert.equal(sink.accepted.length, 3)
    // Who was let in before is not with the next list.
    receiver.renew({ tls: { ...renewed, ca: server.cert } })
    await assert.rejects(ask(t, receiver.port, { ca: renewed.cert, ...sender })())
    await open()
    for (const [tls, problem] of [
      [{ cert: 'none', key: 'secret', ca: sender.cert }, /tls: expected a certificate and its key/],
      [{ ...renewed }, /tls\.ca: expected one, as at the start/],
    ] as const) {
      assert.throws(() => receiver.renew({ tls }), problem)
    }
    assert.ok(refused.length >= 1)
    for (const { code, message } of refused) {
      assert.equal(code, 'TLS')
      assert.match(message, /^A TLS handshake failed \([A-Z_0-9]+\)$/)
    }
    const { receiver: plain } = await receive(t)
    assert.throws(() => plain.renew({ tls: { ...renewed } }), /tls: expected none/)
  })
}

test('connections without a handshake neither end the process nor hold up its end', { skip }, async t => {
  const tls = { ...identity(t) }
  for (const receive of [receiveHttp, receiveGrpc]) {
    const { receiver, errors } = await receive(t, { tls })
    const [silent, leaving] = [connect(receiver.port), connect(receiver.port)]
    silent.resume().on('error', () => {})
    await Promise.all([once(silent, 'connect'), once(leaving, 'connect')])
    leaving.resetAndDestroy()
    await receiver.close({ deadlineMs: 10 })
    assert.deepEqual(errors, [])
  }
})

test('a certificate that is none is told when the receiver starts', async t => {
  const tls = { cert: 'none', key: 'secret' }
  for (const receive of [receiveHttp, receiveGrpc]) {
    await assert.rejects(receive(t, { tls }), (error: Error) => {
      assert.equal((error as { code?: string }).code, 'ERR_CONFIGURATION')
      assert.match(error.message, /tls: /)
      assert.doesNotMatch(error.message, /secret/)
      return true
    })
  }
})

/** A sender with a connection of its own, that is kept. It rejects where it is not taken. */
function askHttp(t: TestContext, port: number, options: RequestOptions): () => Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.after(() => agent.destroy())
  return async () => assert.equal(await post(port, { ...options, agent }), 200)
}

function askGrpc(t: TestContext, port: number, { ca, ...own }: Identity & { ca: Buffer }): () => Promise<void> {
  const client = clientOf(t, port, ca, own)
  return async () => assert.equal(await exportBy(client), grpc.status.OK)
}

function post(port: number, options: RequestOptions): Promise<number | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<number | undefined>()
  const headers = { 'content-type': 'application/x-protobuf' }
  const sent = request({ port, path: '/v1/metrics', method: 'POST', headers, agent: false, ...options }, response => {
    response.resume()
    resolve(response.statusCode)
  })
  sent.on('error', reject).end(BODY)
  return promise
}

function clientOf(t: TestContext, port: number, trusted: Buffer, own?: Identity): grpc.Client {
  const credentials = grpc.credentials.createSsl(trusted, own?.key ?? null, own?.cert ?? null)
  const client = new grpc.Client(`localhost:${port}`, credentials, { 'grpc.use_local_subchannel_pool': 1 })
  t.after(() => client.close())
  return client
}

function exportBy(client: grpc.Client): Promise<grpc.status> {
  const path = '/opentelemetry.proto.collector.metrics.v1.MetricsService/Export'
  const same = (bytes: Buffer) => bytes
  return new Promise(resolve => {
    client.makeUnaryRequest(path, same, same, BODY, error => resolve(error === null ? grpc.status.OK : error.code))
  })
}

const send = (...whose: Parameters<typeof clientOf>) => exportBy(clientOf(...whose))
