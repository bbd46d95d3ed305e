import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Random } from '../../src/simulator/random.ts'
import { type Amounts, addAll, NO_ENGINE, type Orders, type Role, type Told } from './orders.ts'

const REPLICA = new URL('./replica.ts', import.meta.url)
/** The largest error of a clock, in virtual milliseconds. */
const MOST_SKEW = 5_000
/** One of so many is a gateway. */
const GATEWAY_SHARE = 3
/** About how long it takes until a request is answered, in real milliseconds. */
export const SENDING = 20

export interface ReplicasOptions extends Pick<Orders, 'place' | 'marketplace' | 'began' | 'customers'> {
  readonly env: NodeJS.ProcessEnv
  readonly random: Random
}

/** The fleet's processes. */
export class Replicas {
  /** How many there were. */
  readonly started: Record<Role, number> = { application: 0, gateway: 0 }
  kills = 0
  /** How many ended by themselves, but for those that could not start. None should. */
  crashes = 0
  /** By series: what exports came to of which the exporter said that they are durable, and of which it did not. */
  readonly durable: Amounts = {}
  readonly unknown: Amounts = {}
  readonly #options: ReplicasOptions
  readonly #running = new Map<ChildProcess, Role>()
  readonly #ending = new Set<ChildProcess>()
  readonly #starting = new Set<ChildProcess>()
  /** Where gateways listen. */
  readonly #addresses = new Map<ChildProcess, string>()
  /** Those of them that are to be killed. */
  readonly #doomed = new Set<ChildProcess>()

  constructor(options: ReplicasOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#running.size
  }

  /**
   * Where one of the gateways listens, as a load balancer knows it: one that was killed is among them until that is
   * noticed. A request is about to be sent there, and one that is to be killed is killed while it has it.
   */
  gateway(random: Random): string | undefined {
    const [child, address] = [...this.#addresses][Math.floor(random() * this.#addresses.size)] ?? []
    if (child !== undefined && this.#doomed.delete(child)) setTimeout(() => child.kill('SIGKILL'), SENDING * random())
    return address
  }

  /** Starts as many as there are to be, some of them gateways. */
  scaleTo(size: number): void {
    while (this.size > size) this.stop()
    while (this.size < size) {
      const gateways = [...this.#running.values()].filter(role => role === 'gateway').length
      this.start(gateways * GATEWAY_SHARE <= this.size ? 'gateway' : 'application')
    }
  }

  start(role: Role, customers = this.#options.customers): void {
    const { env, random, place, marketplace, began } = this.#options
    this.started[role] += 1
    const seed = this.started.application + this.started.gateway
    const orders: Orders = { role, place, marketplace, began, skew: skewOf(random), seed, customers }
    const child = fork(REPLICA, [JSON.stringify(orders)], { env })
    this.#running.set(child, role)
    this.#starting.add(child)
    const open = new Map<number, Amounts>()
    child.on('message', (told: Told) => {
      if ('ready' in told) {
        this.#starting.delete(child)
        if (told.address !== undefined && this.#running.has(child)) this.#addresses.set(child, told.address)
      } else if ('about' in told) open.set(told.about, told.amounts)
      // What could not be taken at once is kept by the exporter, and brought in with a later export.
      else if ('durable' in told) {
        for (const [number, amounts] of open) {
          if (number > told.durable) continue
          addAll(this.durable, amounts)
          open.delete(number)
        }
      }
    })
    child.once('exit', code => {
      const wanted = this.#running.delete(child)
      this.#ending.delete(child)
      this.#starting.delete(child)
      this.#addresses.delete(child)
      this.#doomed.delete(child)
      for (const amounts of open.values()) addAll(this.unknown, amounts)
      if (code === NO_ENGINE) {
        if (wanted) this.start(role, customers)
      } else if (code !== 0 && code !== null) this.crashes += 1
    })
  }

  /** Waits until all have started, or for so long in real time. */
  async ready(timeout: number): Promise<void> {
    const end = performance.now() + timeout
    while (this.#starting.size > 0 && performance.now() < end) await sleep(20)
  }

  /** Kills one of them, whatever it is doing; a gateway when it has something to do. */
  kill(): void {
    const child = [...this.#running.keys()][Math.floor(this.#options.random() * this.size)]
    if (child === undefined) return
    this.kills += 1
    this.#end(child)
    if (this.#addresses.has(child)) this.#doomed.add(child)
    else child.kill('SIGKILL')
  }

  /** Lets the oldest say goodbye. */
  stop(): void {
    const [child] = this.#running.keys()
    if (child === undefined) return
    this.#end(child)
    this.#addresses.delete(child)
    child.send('stop', () => {})
  }

  async stopAll(): Promise<void> {
    while (this.size > 0) this.stop()
    for (const child of this.#doomed) child.kill('SIGKILL')
    await Promise.all([...this.#ending].map(child => once(child, 'exit')))
  }

  killAll(): void {
    for (const child of [...this.#running.keys(), ...this.#ending]) child.kill('SIGKILL')
  }

  #end(child: ChildProcess): void {
    this.#running.delete(child)
    this.#ending.add(child)
  }
}

export const skewOf = (random: Random) => Math.round((random() * 2 - 1) * MOST_SKEW)
