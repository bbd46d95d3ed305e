import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MINUTE } from '../../src/ledger/hours.ts'
import { type Random, seeded, shuffled } from '../../src/simulator/random.ts'
import { CollectorSender } from './collector-sender.ts'
import { Process } from './end-to-end/series.ts'
import { CLOSED, World } from './end-to-end/world.ts'

const START = Date.UTC(2026, 5, 10, 12, 20)

/** Lets others have their turn. */
async function turns(count: number): Promise<void> {
  for (let n = 0; n < count; n++) await new Promise(setImmediate)
}

/** A Collector whose backoff takes no time, but others have their turn meanwhile. */
function collector(world: World, random: Random): CollectorSender {
  const wait = () => turns(1 + Math.floor(random() * 20))
  return new CollectorSender({ endpoint: world.http.url, queueFile: world.folder.file('queue'), random, wait })
}

/** Everything that a Collector, its network and its restarts may do to requests. */
class Forwarding implements AsyncDisposable {
  readonly #world: World
  readonly #random: Random
  #sender: CollectorSender
  #held: Uint8Array[] = []
  #attempts = 0
  #accepted = 0

  constructor(world: World, random: Random) {
    this.#world = world
    this.#random = random
    this.#sender = collector(world, random)
  }

  /** How many requests came twice or more. */
  get repeated(): number {
    return this.#attempts - this.#accepted
  }

  /** Sends, some of it twice, in another order than it came. */
  forward(body: Uint8Array): void {
    this.#held.push(body)
    if (this.#random() < 0.1) this.#held.push(body)
    if (this.#held.length > 40) this.#release()
  }

  #release(): void {
    for (const body of shuffled(this.#held, this.#random)) this.#sender.send(body)
    this.#held = []
  }

  /** Until the gateway has all that was sent. */
  async drained(): Promise<void> {
    this.#release()
    await this.#sender.drained()
  }

  async restart(): Promise<void> {
    await this.end()
    this.#sender = collector(this.#world, this.#random)
  }

  async end(): Promise<void> {
    await this.#sender.stop()
    const { attempts, accepted, rejectedPoints } = this.#sender.counts
    assert.deepEqual([this.#sender.dropped, rejectedPoints], [[], 0])
    this.#attempts += attempts
    this.#accepted += accepted
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#sender.stop()
  }
}

test('what a Collector forwards is billed once, through lost answers, replays, disorder and restarts', async () => {
  let now = START
  await using world = await World.open(() => now)
  const random = seeded(7)
  const integer = (most: number) => Math.floor(random() * most)
  const { measured } = world
  const processes = [0, 1, 2].flatMap(n => [
    new Process('scraped', `vllm-${n}`, measured, now, 1_000_000 * n),
    new Process('cumulative', `app-${n}`, measured, now),
    new Process('delta', `job-${n}`, measured, now),
    new Process('gauge', `gpus-${n}`, measured, now),
  ])
  await using forwarding = new Forwarding(world, random)
  // Of a counter whose start nobody knows, what the first point says is none of our usage.
  for (const process of processes) {
    forwarding.forward(process.work(now, () => (process.kind === 'gauge' ? 2 : 0)))
  }
  await forwarding.drained()

  let levels = 2
  for (let minute = 1; minute < 110; minute++) {
    now += MINUTE
    if (minute % 50 === 45) {
      // Without its start, a counter that begins anew is told by its points' order, and so is a level that changes.
      await forwarding.drained()
      levels = 1 + integer(4)
      for (const process of processes) {
        if (process.kind === 'gauge') forwarding.forward(process.work(now, () => levels))
        else process.restart(now)
      }
      await forwarding.drained()
      continue
    }
    if (minute % 37 === 0) await forwarding.restart()
    if (minute % 30 === 10) await world.stop()
    if (minute % 30 === 12) await world.start()
    if (random() < 0.3) world.http.losing += 1 + integer(3)
    for (const process of processes) {
      const { kind } = process
      forwarding.forward(process.work(now, () => (kind === 'gauge' ? levels : integer(5000))))
    }
    await turns(10)
  }
  world.http.losing = 0
  await forwarding.drained()
  await forwarding.end()
  for (let hours = 0; hours < 2; hours++) {
    now += CLOSED
    await world.restart()
  }
  await world.checkBill()
  assert.ok(world.http.lost > 20, `${world.http.lost} answers were lost`)
  assert.ok(forwarding.repeated > 50, `${forwarding.repeated} requests were sent again`)
})

test('of counters that began while the gateway was away, nothing is lost, and nothing counts twice', async () => {
  let now = START
  await using world = await World.open(() => now)
  await world.stop()
  const begun = new Process('cumulative', 'app', world.measured, now)
  const bodies: Uint8Array[] = []
  for (let minute = 1; minute <= 30; minute++) {
    now += MINUTE
    bodies.push(begun.work(now, () => 100))
  }
  await world.start()
  await using forwarding = new Forwarding(world, seeded(3))
  // The youngest gets through first, as when the eldest wait for their next attempt.
  for (const body of bodies.reverse()) {
    forwarding.forward(body)
    await forwarding.drained()
  }
  const sum = (amounts: Record<string, bigint>) => Object.values(amounts).reduce((a, b) => a + b, 0n)
  assert.equal(sum(await world.recorded()), sum(world.measured.entries()))
})
