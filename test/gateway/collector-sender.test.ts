import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { test } from 'node:test'
import { gunzipSync } from 'node:zlib'
import { seeded } from '../../src/simulator/random.ts'
import { TemporaryFolder } from '../ledger/sqlite-under-test.ts'
import { CollectorSender, type CollectorSenderOptions } from './collector-sender.ts'

/** Answers each request; false cuts the connection. */
type Answer = (body: string, request: IncomingMessage) => Promise<[status: number, headers?: object] | false>

/** A receiver that answers as it is told, and a sender to it. */
class Scene implements AsyncDisposable {
  readonly folder = new TemporaryFolder()
  readonly server = createServer((request, response) => this.#serve(request, response))
  /** What arrived, in order. */
  readonly bodies: string[] = []
  /** How long the sender waited, in a Collector's milliseconds. */
  readonly waits: number[] = []
  readonly #answer: Answer
  readonly #senders: CollectorSender[] = []

  private constructor(answer: Answer) {
    this.#answer = answer
  }

  static async open(answer: Answer): Promise<Scene> {
    const scene = new Scene(answer)
    scene.server.listen(0, '127.0.0.1')
    await once(scene.server, 'listening')
    return scene
  }

  sender(options: Partial<CollectorSenderOptions> = {}): CollectorSender {
    const sender = new CollectorSender({
      endpoint: `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`,
      queueFile: this.folder.file('queue'),
      random: seeded(1),
      wait: async milliseconds => void this.waits.push(milliseconds),
      ...options,
    })
    this.#senders.push(sender)
    return sender
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = gunzipSync(await buffer(request)).toString()
    this.bodies.push(body)
    const answer = await this.#answer(body, request)
    if (answer === false) return void request.socket.destroy()
    const [status, headers = {}] = answer
    response.writeHead(status, { 'content-type': 'application/x-protobuf', ...headers }).end()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const sender of this.#senders) await sender.stop()
    this.server.closeAllConnections()
    this.server.close()
    this.folder[Symbol.dispose]()
  }
}

const bytes = (text: string) => Buffer.from(text)

test('what may be sent again is, the same bytes, until it is accepted', async () => {
  const answers: (number | false)[] = [429, 502, 503, 504, false, 200]
  await using scene = await Scene.open(async () => {
    const status = answers.shift()
    return status === false ? false : [status as number]
  })
  const sender = scene.sender()
  sender.send(bytes('usage'))
  await sender.drained()
  assert.deepEqual(scene.bodies, Array(6).fill('usage'))
  assert.deepEqual(sender.counts, { attempts: 6, accepted: 1, rejectedPoints: 0 })
  assert.deepEqual(sender.dropped, [])
})

test('what may not be is dropped, and remembered', async () => {
  const answers = [400, 401, 404, 413, 500, 501]
  await using scene = await Scene.open(async body => [Number(body)])
  const sender = scene.sender()
  for (const status of answers) sender.send(bytes(String(status)))
  await sender.drained()
  assert.deepEqual(scene.bodies.map(Number).sort(), answers)
  const dropped = sender.dropped.map(({ status, body }) => [status, Number(Buffer.from(body).toString())])
  assert.deepEqual(
    dropped.sort(([a = 0], [b = 0]) => a - b),
    answers.map(status => [status, status]),
  )
})

test('waits grow by half up to 30 seconds, with jitter, and are at least what the receiver asks for', async () => {
  let attempts = 0
  await using scene = await Scene.open(async () => {
    attempts += 1
    return attempts <= 10 ? [503] : attempts === 11 ? [429, { 'retry-after': '120' }] : [200]
  })
  const sender = scene.sender()
  sender.send(bytes('usage'))
  await sender.drained()
  const intervals = Array.from({ length: 10 }, (_, n) => Math.min(5000 * 1.5 ** n, 30_000))
  for (const [n, interval] of intervals.entries()) {
    const waited = scene.waits[n] as number
    assert.ok(waited >= interval / 2 && waited <= interval * 1.5, `wait ${n}: ${waited} at ${interval}`)
    assert.notEqual(waited, interval)
  }
  assert.equal(scene.waits[10], 120_000)
})

test('ten are under way at a time, and who waits holds up none of the others', async () => {
  const first = Promise.withResolvers<void>()
  let underWay = 0
  let most = 0
  await using scene = await Scene.open(async body => {
    underWay += 1
    most = Math.max(most, underWay)
    if (underWay === 10) first.resolve()
    await first.promise
    underWay -= 1
    return [body === '3' && scene.waits.length === 0 ? 503 : 200]
  })
  const others = Promise.withResolvers<void>()
  const sender = scene.sender({
    wait: async milliseconds => {
      scene.waits.push(milliseconds)
      await others.promise
    },
  })
  for (let n = 0; n < 30; n++) sender.send(bytes(String(n)))
  while (sender.counts.accepted < 29) await new Promise(setImmediate)
  others.resolve()
  await sender.drained()
  assert.equal(most, 10)
  assert.equal(scene.bodies.at(-1), '3')
})

test('a sender that is killed leaves a file, from which the next one sends, what was under way last', async () => {
  const stuck = Promise.withResolvers<false>()
  let killed = false
  await using scene = await Scene.open(async body => {
    if (killed) return [200]
    return body === '0' ? [200] : stuck.promise
  })
  const sender = scene.sender({ consumers: 2 })
  for (let n = 0; n < 5; n++) sender.send(bytes(String(n)))
  while (scene.bodies.length < 3) await new Promise(setImmediate)
  await sender.stop()
  killed = true
  stuck.resolve(false)
  const next = scene.sender({ consumers: 1 })
  next.send(bytes('5'))
  await next.drained()
  // Two are under way at a time, and either may arrive first.
  const first = scene.bodies.splice(0, 3).sort()
  assert.deepEqual(
    [first, scene.bodies],
    [
      ['0', '1', '2'],
      ['3', '4', '1', '2', '5'],
    ],
  )
  await next.stop()
  const last = scene.sender()
  await last.drained()
  assert.equal(last.counts.attempts, 0)
})
