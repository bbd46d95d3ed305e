import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { SECOND } from '../../src/ledger/hours.ts'
import { seeded, shuffled } from '../../src/simulator/random.ts'
import { CollectorSender } from './collector-sender.ts'
import { Process } from './end-to-end/series.ts'
import { CLOSED, DIMENSIONS, PRODUCT, World } from './end-to-end/world.ts'

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))

/** `marketplace-meter serve`, in a process of its own, which is killed where its scope ends. */
class Served implements AsyncDisposable {
  readonly port: number
  readonly #process: ChildProcess

  private constructor(child: ChildProcess, port: number) {
    this.#process = child
    this.port = port
  }

  static async start(world: World): Promise<Served> {
    const { 'tokens-1k': tokens } = DIMENSIONS
    const config = world.folder.file('gateway.yaml')
    writeFileSync(
      config,
      JSON.stringify({
        ...{ productCode: PRODUCT, region: 'us-east-1', ledger: world.ledgerFile, dimensions: { 'tokens-1k': tokens } },
        ...{ listen: { http: '127.0.0.1:0', grpc: 'off' }, metering: { endpoint: world.aws.url } },
      }),
    )
    const child = spawn(process.execPath, [MAIN, 'serve', '--config', config], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { PATH: process.env.PATH, AWS_ACCESS_KEY_ID: 'any', AWS_SECRET_ACCESS_KEY: 'any' },
    })
    const said: string[] = []
    for await (const line of createInterface({ input: child.stderr as NodeJS.ReadableStream })) {
      said.push(line)
      const [, port] = /Takes OTLP over HTTP at 127\.0\.0\.1:(\d+)\b/.exec(line) ?? []
      if (port === undefined) continue
      child.stderr?.resume()
      return new Served(child, Number(port))
    }
    throw new Error(`The gateway did not start:\n${said.join('\n')}`)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.exitCode !== null) return
    const gone = once(this.#process, 'exit')
    this.#process.kill('SIGKILL')
    await gone
  }
}

test('a gateway that is killed with kill -9 while it takes usage bills all of it, and none of it twice', async () => {
  let ahead = 0
  await using world = await World.open(() => Date.now() + ahead)
  await world.stop()
  const random = seeded(11)
  const begun = Date.now()
  const processes = [0, 1, 2].flatMap(n => [
    new Process('scraped', `vllm-${n}`, world.measured, begun, 500),
    new Process('cumulative', `app-${n}`, world.measured, begun),
    new Process('delta', `job-${n}`, world.measured, begun),
  ])
  const sender = new CollectorSender({
    ...{ endpoint: world.http.url, queueFile: world.folder.file('queue'), random },
    wait: (_, signal) => sleep(1 + 10 * random(), undefined, { signal }),
  })
  await using _ = { [Symbol.asyncDispose]: () => sender.stop() }

  let second = 0
  for (let life = 0; life < 3; life++) {
    await using gateway = await Served.start(world)
    world.http.target = gateway.port
    // Of a counter whose start nobody knows, what the first point says is none of our usage.
    if (life === 0) for (const process of processes) sender.send(process.work(begun, () => 0))
    await sender.drained()
    const bodies: Uint8Array[] = []
    for (const last = second + 30; second < last; second++) {
      for (const process of processes) {
        bodies.push(process.work(begun + (second + 1) * SECOND, () => Math.floor(random() * 1000)))
      }
    }
    const { accepted } = sender.counts
    for (const body of shuffled(bodies, random)) sender.send(body)
    const enough = accepted + 1 + Math.floor(random() * bodies.length * 0.7)
    while (sender.counts.accepted < enough) await new Promise(setImmediate)
    // Here the gateway is killed.
    assert.ok(sender.counts.accepted < accepted + bodies.length, 'it is in the middle')
  }
  await world.start()
  await sender.drained()
  assert.deepEqual(sender.dropped, [])
  assert.ok(sender.counts.attempts > sender.counts.accepted)
  for (let hours = 0; hours < 2; hours++) {
    ahead += CLOSED
    await world.restart()
  }
  await world.checkBill()
})
