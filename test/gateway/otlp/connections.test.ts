import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { type TestContext, test } from 'node:test'
import { encode } from './proto.ts'
import { requestWith } from './requests.ts'
import { post, receiveGrpc, receiveHttp } from './support.ts'

/** How many senders there are at a time. CONNECTIONS=10000 needs `ulimit -n` of a little more. */
const CONNECTIONS = Number(process.env.CONNECTIONS ?? 300)
const BODY = encode(requestWith({}))

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
  test(`${name}: connections above the limit are closed, and taken again when there is room`, async t => {
    const { receiver } = await receive(t, { maxConnections: 3 })
    const [first, ...others] = await openAll(t, 3, receiver.port)
    const tooMany = connect(receiver.port)
    tooMany.resume().on('error', () => {})
    await once(tooMany, 'close')
    assert.ok([first, ...others].every(socket => !socket?.destroyed))
    first?.destroy()
    for (;;) {
      const next = connect(receiver.port)
      t.after(() => next.destroy())
      const [what] = await Promise.race([once(next, 'close'), ping(next, name)])
      if (Buffer.isBuffer(what)) break
    }
  })
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

/** Has a receiver say something. */
function ping(socket: Socket, protocol: string): Promise<unknown[]> {
  socket.on('error', () => {})
  socket.write(protocol === 'HTTP' ? 'GET / HTTP/1.1\r\nhost: a\r\n\r\n' : 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
  return once(socket, 'data')
}
