import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { HOUR, hourOf, MINUTE } from '../../src/ledger/hours.ts'
import type { Ledger } from '../../src/ledger/ledger.ts'
import { type BilledTotal, type FaultKind, startSimulator } from '../../src/simulator/index.ts'
import { type Random, seeded } from '../../src/simulator/random.ts'
import type { Engine } from './engine.ts'
import { openPlace } from './open-place.ts'
import type { Amounts, Orders, Told } from './orders.ts'
import { real, virtual } from './time.ts'

const REPLICA = new URL('./replica.ts', import.meta.url)
const CUSTOMERS = 30
const MOST_SKEW = 5_000
const MILLION = 1_000_000n
/** How long the last hours may take to be closed and sent when nothing is measured any more. */
const LONGEST_END = 4 * HOUR

const FAULTS: readonly { kind: FaultKind; rate: number }[] = [
  { kind: 'throttling', rate: 0.03 },
  { kind: 'internal-error', rate: 0.03 },
  { kind: 'internal-error-after', rate: 0.03 },
  { kind: 'reset-after', rate: 0.03 },
  { kind: 'unprocessed', rate: 0.03 },
]

/** The simulator takes any; DynamoDB Local has tables of its own for each. */
const CREDENTIALS = { AWS_ACCESS_KEY_ID: 'local', AWS_SECRET_ACCESS_KEY: 'local', AWS_REGION: 'us-east-1' }

export interface FleetOptions {
  readonly engine: Engine
  readonly replicas: number
  readonly hours: number
  readonly seed: number
  readonly progress: (text: string) => void
}

export interface FleetResult {
  readonly name: string
  /** How many processes there were in all. */
  readonly replicas: number
  readonly kills: number
  readonly restarts: number
  /** Whole units: what the ledger acknowledged, and what AWS billed. */
  readonly recorded: number
  readonly billed: number
  readonly difference: number
  /** What was measured by processes that were killed before they knew whether the ledger had it. */
  readonly unknown: number
  /** Of series, where something does not add up. */
  readonly problems: readonly string[]
}

/** Lets a fleet live: it is scaled up and down, killed at random, its engine killed and restarted. Then it adds up. */
export async function runFleet({ engine, replicas, hours, seed, progress }: FleetOptions): Promise<FleetResult> {
  Object.assign(process.env, CREDENTIALS)
  const began = Date.now()
  const now = () => virtual(Date.now(), began)
  const begin = now()
  const random = seeded(seed)
  await using marketplace = await startSimulator({
    now,
    seed,
    quota: null,
    faults: FAULTS.map(fault => ({ ...fault })),
  })
  const ledger = await openPlace(engine.place)
  const fleet = new Fleet({ place: engine.place, marketplace: marketplace.url, began, customers: CUSTOMERS }, random)
  let restarts = 0
  try {
    for (let n = 0; n < replicas; n += 1) fleet.start()
    const end = begin + hours * HOUR
    for (let step = 1; now() < end; step += 1) {
      await sleep(real(5 * MINUTE))
      // Between half and all of them; who goes is killed, or says goodbye.
      const wanted = Math.ceil(replicas * (0.5 + random() / 2))
      fleet.kill()
      while (fleet.size > wanted) fleet.stop()
      while (fleet.size < wanted) fleet.start()
      if (step % 9 === 4 && engine.restart !== undefined) {
        restarts += 1
        await engine.restart()
      }
      const minutes = Math.floor((now() - begin) / MINUTE)
      progress(
        `${engine.name}: ${Math.floor(minutes / 60)} h ${minutes % 60} min, ${fleet.size} replicas, ${fleet.kills} killed`,
      )
    }
    await fleet.stopAll()
    progress(`${engine.name}: closing the last hours`)
    fleet.start({ idle: true })
    await closed(ledger, hourOf(end), now)
    await fleet.stopAll()
    const problems = await fleet.check(ledger, marketplace.simulator.totals())
    return { name: engine.name, replicas: fleet.started, kills: fleet.kills, restarts, ...problems }
  } finally {
    fleet.killAll()
    await ledger.close()
  }
}

/** Waits until an hour is closed and nothing is on its way any more. */
async function closed(ledger: Ledger, hour: number, now: () => number): Promise<void> {
  const end = now() + LONGEST_END
  for (;;) {
    const { closedThrough = 0, pending } = await ledger.status()
    if (closedThrough >= hour && pending.length === 0) return
    if (now() > end) return
    await sleep(real(MINUTE))
  }
}

class Fleet {
  started = 0
  kills = 0
  readonly #orders: Omit<Orders, 'skew' | 'seed' | 'idle'>
  readonly #random: Random
  readonly #running = new Set<ChildProcess>()
  readonly #ending = new Set<ChildProcess>()
  /** By series: what exports came to of which the exporter said that they are durable, and of which it did not. */
  readonly #durable: Amounts = {}
  readonly #unknown: Amounts = {}

  constructor(orders: Omit<Orders, 'skew' | 'seed' | 'idle'>, random: Random) {
    this.#orders = orders
    this.#random = random
  }

  get size(): number {
    return this.#running.size
  }

  start({ idle = false } = {}): void {
    this.started += 1
    const skew = (this.#random() * 2 - 1) * MOST_SKEW
    const orders: Orders = { ...this.#orders, skew, seed: this.started, idle }
    const child = fork(REPLICA, [JSON.stringify(orders)], {
      env: {
        ...process.env,
        AWS_ENDPOINT_URL_MARKETPLACE_METERING: this.#orders.marketplace,
        ...CREDENTIALS,
      },
    })
    this.#running.add(child)
    const open = new Map<number, Amounts>()
    child.on('message', (told: Told) => {
      if ('about' in told) open.set(told.about, told.amounts)
      // What could not be taken at once is kept by the exporter, and brought in with a later export.
      else if ('durable' in told) {
        for (const [number, amounts] of open) {
          if (number > told.durable) continue
          addAll(this.#durable, amounts)
          open.delete(number)
        }
      }
    })
    child.once('exit', () => {
      this.#running.delete(child)
      this.#ending.delete(child)
      for (const amounts of open.values()) addAll(this.#unknown, amounts)
    })
  }

  /** Kills one of them, whatever it is doing. */
  kill(): void {
    const child = [...this.#running][Math.floor(this.#random() * this.#running.size)]
    if (child === undefined) return
    this.kills += 1
    this.#running.delete(child)
    this.#ending.add(child)
    child.kill('SIGKILL')
  }

  /** Lets the oldest say goodbye. */
  stop(): void {
    const [child] = this.#running
    if (child === undefined) return
    this.#running.delete(child)
    this.#ending.add(child)
    child.send('stop', () => {})
  }

  async stopAll(): Promise<void> {
    while (this.#running.size > 0) this.stop()
    await Promise.all([...this.#ending].map(child => once(child, 'exit')))
  }

  killAll(): void {
    for (const child of [...this.#running, ...this.#ending]) child.kill('SIGKILL')
  }

  async check(ledger: Ledger, totals: readonly BilledTotal[]) {
    const problems: string[] = []
    const billed: Amounts = {}
    for (const { accountId, dimension, quantity } of totals) addAll(billed, { [`${accountId} ${dimension}`]: quantity })
    const lines = await ledger.statement()
    const recorded: Amounts = {}
    for (const line of lines) {
      const { account, dimension } = line
      const series = `${account.kind === 'customer' ? account.accountId : account.key} ${dimension.name}`
      addAll(recorded, { [series]: Number(line.recorded / MILLION) })
      if (line.recorded % MILLION !== 0n) problems.push(`${series}: a fraction was recorded`)
      if (line.recorded !== line.metered) problems.push(`${series}: recorded ${line.recorded}, metered ${line.metered}`)
    }
    for (const series of new Set([...Object.keys(this.#durable), ...Object.keys(recorded), ...Object.keys(billed)])) {
      const [least, is, bill] = [this.#durable[series] ?? 0, recorded[series] ?? 0, billed[series] ?? 0]
      const most = least + (this.#unknown[series] ?? 0)
      if (is < least || is > most) problems.push(`${series}: recorded ${is}, measured ${least} to ${most}`)
      if (is !== bill) problems.push(`${series}: recorded ${is}, billed ${bill}`)
    }
    const all = { recorded: sum(recorded), billed: sum(billed) }
    return { ...all, difference: all.recorded - all.billed, unknown: sum(this.#unknown), problems }
  }
}

function addAll(sums: Amounts, amounts: Amounts): void {
  for (const [key, amount] of Object.entries(amounts)) sums[key] = (sums[key] ?? 0) + amount
}

const sum = (amounts: Amounts) => Object.values(amounts).reduce((sum, amount) => sum + amount, 0)
