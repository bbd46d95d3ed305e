import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { type AddressInfo, connect, createServer, Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { type TestContext, test } from 'node:test'
import { hostOf } from '../../../src/gateway/otlp/addresses.ts'
import { type Connection, Connections } from '../../../src/gateway/otlp/connections.ts'
import type { Refused } from '../../../src/gateway/otlp/refusal.ts'
import { encode } from './proto.ts'
import { requestWith } from './requests.ts'
import { post, receiveGrpc, receiveHttp, sendersWith } from './support.ts'

/** How many senders there are at a time. CONNECTIONS=10000 needs `ulimit -n` of a little more. */
const CONNECTIONS = Number(process.env.CONNECTIONS ?? 300)
const BODY = encode(requestWith({}))
const SENDER = { name: 'sender' }

test(`${CONNECTIONS} connections at a time, each with half a request first`, async t => {
  const child = startReceivers(t)
  const { http: port } = await child.read()
  const sockets = await openAll(t, CONNECTIONS, port as number)
  const head = 'POST /v1/metrics HTTP/1.1\r\nhost: a\r\ncontent-type: application/x-protobuf\r\n'
  const half = BODY.length >> 1
  for (const socket of sockets) {
    socket.write(`${head}content-length: ${BODY.length}\r\n\r\n`)
    socket.write(BODY.subarray(0, half))
  }
  assert.equal((await post({ port: port as number }, BODY)).status, 200, 'others are served meanwhile')
  const answers = sockets.map(socket => once(socket, 'data'))
  for (const socket of sockets) socket.write(BODY.subarray(half))
  for (const answer of answers) assert.match(String((await answer)[0]), /^HTTP\/1\.1 200 OK\r\n/)
  const { accepted, grown } = await child.end()
  assert.equal(accepted, CONNECTIONS + 1)
  assert.ok((grown as number) < 50_000_000 + 30_000 * CONNECTIONS, `${grown} bytes more`)
})

for (const { name, receive } of [
  { name: 'HTTP', receive: receiveHttp },
  { name: 'gRPC', receive: receiveGrpc },
]) {
  test(`${name}: where there is no room, a connection gives way on which nothing was taken`, async t => {
    const refused: Refused[] = []
    const { receiver } = await receive(t, { maxConnections: 3, onRefused: one => refused.push(one) })
    const sockets = await openAll(t, 3, receiver.port)
    // They may be taken in another order than they were opened in.
    const gone = Promise.race(sockets.map(closing))
    const [next] = await openAll(t, 1, receiver.port)
    assert.ok(Buffer.isBuffer((await ping(next as Socket, name))[0]))
    await gone
    assert.equal(sockets.filter(socket => socket.destroyed).length, 1)
    const [told] = refused
    assert.equal(told?.code, 'CONNECTIONS')
    assert.match(told?.message ?? '', /there are 3 at a time/)
  })

  test(`${name}: a connection on which nothing is taken is closed`, async t => {
    const { receiver } = await receive(t, { requestTimeout: 50 })
    const sockets = await openAll(t, 2, receiver.port)
    const ended = sockets.map(socket =>
      once(
        socket.resume().on('error', () => {}),
        'close',
      ),
    )
    ping(sockets[1] as Socket, name).catch(() => {})
    await Promise.all(ended)
  })
}

test('who may only look at the gateway proves no connection', async t => {
  const closed: string[] = []
  const options = {
    maxConnections: 1,
    senders: sendersWith('good'),
    onRefused: (one: Refused) => closed.push(one.code),
  }
  const other = (_: IncomingMessage, response: ServerResponse) => {
    response.end()
    return true
  }
  const { receiver } = await receiveHttp(t, { ...options, other })
  const [looking] = await openAll(t, 1, receiver.port)
  const gone = closing(looking as Socket)
  looking?.write('GET /metrics HTTP/1.1\r\nhost: a\r\nauthorization: Bearer good\r\n\r\n')
  await once(looking as Socket, 'data')
  const [sending] = await openAll(t, 1, receiver.port)
  await gone
  assert.deepEqual(closed, ['CONNECTIONS'])
  sending?.destroy()
})

test('a host has its share of connections, and those at work stay', async t => {
  const { connections, closed, open, advance } = await guarded(t, { most: 4, mostPerAddress: 2 })
  const [first, second] = [await open('127.0.0.1'), await open('127.0.0.1')]
  const other = await open('127.0.0.2')
  connections.prove(first.own, SENDER)
  await open('127.0.0.1')
  await second.end
  connections.prove(connections.of((await open('127.0.0.2')).socket), SENDER)
  assert.equal(closed.length, 1)
  assert.match(closed[0] ?? '', /its address has 2 at a time, and nothing had been taken on it/)
  // All are taken: whose turn is it? The oldest silent one's, whosever it is.
  await open('127.0.0.3')
  await other.end
  advance(60)
  connections.sweep()
  assert.equal([...connections.all].length, 4)
  advance(101)
  connections.sweep()
  assert.equal([...connections.all].filter(({ holder }) => holder === undefined).length, 0)
  assert.equal([...connections.all].length, 2)
})

test('where all are at work, the longest idle connection gives way of who has the most of them', async t => {
  const { connections, closed, open } = await guarded(t, { most: 5, mostPerAddress: 4 })
  const proven = async (host: string, name: string) => {
    const opened = await open(host)
    connections.prove(opened.own, { name })
    return opened
  }
  const good = await proven('127.0.0.1', 'good')
  const [first, second] = [await proven('127.0.0.1', 'bad'), await proven('127.0.0.1', 'bad')]
  const third = await proven('127.0.0.1', 'bad')
  connections.use(first.own)
  // Of one host, of all, and of who has no more than others.
  await proven('127.0.0.1', 'bad')
  await second.end
  assert.match(
    closed.pop() ?? '',
    /its address has 4 at a time, and no other of who has the most of them was idle for longer/,
  )
  await proven('127.0.0.2', 'good')
  await proven('127.0.0.3', 'good')
  await third.end
  assert.match(closed.pop() ?? '', /there are 5 at a time/)
  await proven('127.0.0.4', 'good')
  await first.end
  await proven('127.0.0.5', 'good')
  await good.end
  assert.equal([...connections.all].length, 5)
})

test('connections that have gone before they are seen leave nothing behind', t => {
  const connections = new Connections({
    ...{ most: 3, mostPerAddress: 3, unprovenFor: 50, idleFor: 1e9 },
    ...{ now: () => 0, onClosed: () => assert.fail('there is room') },
  })
  t.after(() => connections.end())
  const server = createServer()
  connections.guard(server)
  for (let i = 0; i < 10; i++) server.emit('connection', new Socket())
})

test('an address counts as the host that it is of', () => {
  for (const [address, host] of [
    ['10.1.2.3', '10.1.2.3'],
    ['::ffff:10.1.2.3', '10.1.2.3'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
    ['2001:db8:1:2::6', '2001:db8:1:2'],
    ['2001:db8::6', '2001:db8:0:0'],
    ['fe80::1%eth0', 'fe80:0:0:0'],
    ['::1', '0:0:0:0'],
    [undefined, ''],
  ] as const) {
    assert.equal(hostOf(address), host)
  }
})

/** A server of nothing with limits on its connections, each of which lasts 100 ms unless something is taken on it. */
async function guarded(t: TestContext, limits: { most: number; mostPerAddress: number }) {
  let now = 0
  const closed: string[] = []
  const connections = new Connections({
    ...{ ...limits, unprovenFor: 50, idleFor: 1e9 },
    now: () => now,
    onClosed: why => closed.push(why),
  })
  const server = createServer()
  const admitted = new Map<number, Connection | undefined>()
  server.on('connection', socket => admitted.set(socket.remotePort as number, connections.of(socket)))
  connections.guard(server)
  // What the server sees after its limits have been asked.
  const asked = new EventEmitter()
  server.on('connection', socket => asked.emit('connection', socket))
  await once(server.listen(0, '0.0.0.0'), 'listening')
  const { port } = server.address() as AddressInfo
  t.after(() => {
    connections.end()
    server.close()
  })
  return {
    ...{ connections, closed },
    advance: (milliseconds: number) => {
      now += milliseconds
    },
    async open(localAddress: string) {
      const seen = once(asked, 'connection')
      const socket = connect({ port, host: '127.0.0.1', localAddress })
      const end = once(
        socket.resume().on('error', () => {}),
        'close',
      )
      t.after(() => socket.destroy())
      const [accepted] = await seen
      now++
      return { socket: accepted as Socket, own: admitted.get(accepted.remotePort), end }
    },
  }
}

test('more connections than files can be open do not end the process', async t => {
  const child = startReceivers(t, 64)
  const { http, grpc } = await child.read()
  for (const port of [http, grpc] as number[]) {
    const sockets = Array.from({ length: 100 }, () => connect(port).on('error', () => {}))
    await Promise.all(sockets.map(socket => Promise.race([once(socket, 'connect'), once(socket, 'close')])))
    for (const socket of sockets) socket.destroy()
  }
  // The places of those that have left are not free at once.
  let status = 0
  while (status !== 200) {
    status = await post({ port: http as number }, BODY).then(
      answer => answer.status,
      () => 0,
    )
  }
  assert.equal((await child.end()).accepted, 1)
})

/** Receivers in a process of their own, which may have so many files open. */
function startReceivers(t: TestContext, files?: number) {
  const script = new URL('./receivers.ts', import.meta.url).pathname
  const limit = files === undefined ? '' : `ulimit -n ${files} && `
  const child = spawn('sh', ['-c', `${limit}exec "$0" "$1"`, process.execPath, script], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  t.after(() => child.kill('SIGKILL'))
  const lines = createInterface(child.stdout)
  const read = async (): Promise<Record<string, unknown>> => JSON.parse((await once(lines, 'line'))[0])
  return {
    read,
    async end() {
      const exited = once(child, 'exit')
      child.stdin.end()
      const said = await read()
      assert.deepEqual(await exited, [0, null])
      return said
    },
  }
}

async function openAll(t: TestContext, count: number, port: number): Promise<Socket[]> {
  const sockets = Array.from({ length: count }, () => connect(port))
  t.after(() => {
    for (const socket of sockets) socket.destroy()
  })
  await Promise.all(sockets.map(socket => once(socket, 'connect')))
  return sockets
}

/** Resolves when it is closed, however. */
function closing(socket: Socket): Promise<unknown> {
  socket.resume().on('error', () => {})
  return new Promise(resolve => socket.once('close', resolve))
}

/** Has a receiver say something. */
function ping(socket: Socket, protocol: string): Promise<unknown[]> {
  socket.on('error', () => {})
  socket.write(protocol === 'HTTP' ? 'GET / HTTP/1.1\r\nhost: a\r\n\r\n' : 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
  return once(socket, 'data')
}
