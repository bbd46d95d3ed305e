import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { HOUR } from '../../src/ledger/hours.ts'
import type { Random } from '../../src/simulator/random.ts'
import { type Amounts, addAll, NO_ENGINE, type Order, type Orders, type Role, type Told, type Work } from './orders.ts'
import { real } from './time.ts'

const REPLICA = new URL('./replica.ts', import.meta.url)
/** The largest error of a clock, in virtual milliseconds. */
const MOST_SKEW = 5_000
/** One of so many is a gateway. */
const GATEWAY_SHARE = 3
/** About how long it takes until a request is answered, in real milliseconds. */
export const SENDING = 20
/** One of so many processes is stopped at most at a time, but one is always let be. */
const STOPPED_SHARE = 3
/** For how long, in virtual time. */
const STOPPED = HOUR
/** What is done at the turn of an hour, and what at any time: that is waited for last. */
const AT_THE_TURN: readonly Work[] = ['close', 'claim', 'send', 'settle']
const AT_ANY_TIME: readonly Work[] = ['append', 'expire']

export interface ReplicasOptions extends Pick<Orders, 'place' | 'marketplace' | 'began' | 'customers' | 'interval'> {
  readonly env: NodeJS.ProcessEnv
  readonly random: Random
  /** How many replicas a process has. */
  readonly together: number
  readonly progress: (text: string) => void
}

/** The fleet's processes, each with one replica or several. */
export class Replicas {
  /** How many replicas there were. */
  readonly started: Record<Role, number> = { application: 0, gateway: 0 }
  /** How many processes there were, and how many of them were killed. */
  processes = 0
  kills = 0
  /** How many ended by themselves, but for those that could not start. None should. */
  crashes = 0
  /** How many were stopped in the middle of what, and went on an hour later. */
  readonly stops: Record<Work, number> = { append: 0, close: 0, claim: 0, send: 0, settle: 0, expire: 0 }
  /** By series: what exports came to of which the exporter said that they are durable, and of which it did not. */
  readonly durable: Amounts = {}
  readonly unknown: Amounts = {}
  readonly #options: ReplicasOptions
  /** With the roles of their replicas. */
  readonly #running = new Map<ChildProcess, readonly Role[]>()
  readonly #ending = new Set<ChildProcess>()
  readonly #starting = new Set<ChildProcess>()
  /** Where gateways listen. */
  readonly #addresses = new Map<ChildProcess, readonly string[]>()
  /** Those of them that are to be killed. */
  readonly #doomed = new Set<ChildProcess>()
  /** With what has them go on. */
  readonly #stopped = new Map<ChildProcess, () => void>()
  /** In the middle of what somebody is still to be stopped. */
  #wanted: readonly Work[] = []
  /** How often they have asked the engine for something. */
  readonly #asked = new Map<ChildProcess, number>()

  constructor(options: ReplicasOptions) {
    this.#options = options
  }

  /** How many processes there are. */
  get size(): number {
    return this.#running.size
  }

  /** How many requests the engine had, as far as those that were killed have told. */
  get asked(): number {
    return [...this.#asked.values()].reduce((sum, asked) => sum + asked, 0)
  }

  /**
   * Where one of the gateways listens, as a load balancer knows it: one that was killed is among them until that is
   * noticed, and none that is stopped. A request is about to be sent there, and one that is to be killed is killed while
   * it has it.
   */
  gateway(random: Random): string | undefined {
    const addresses = [...this.#addresses].flatMap(([child, all]) =>
      this.#stopped.has(child) ? [] : all.map(address => [child, address] as const),
    )
    const [child, address] = addresses[Math.floor(random() * addresses.length)] ?? []
    if (child !== undefined && this.#doomed.delete(child)) setTimeout(() => child.kill('SIGKILL'), SENDING * random())
    return address
  }

  /** Starts as many processes as there are to be, some of their replicas gateways. */
  scaleTo(size: number): void {
    while (this.size > size && this.stop());
    while (this.size < size) {
      const roles = [...this.#running.values()].flat()
      const added: Role[] = []
      while (added.length < this.#options.together) {
        const all = [...roles, ...added]
        const gateways = all.filter(role => role === 'gateway').length
        added.push(gateways * GATEWAY_SHARE <= all.length ? 'gateway' : 'application')
      }
      this.start(added)
    }
  }

  start(roles: readonly Role[], customers = this.#options.customers): void {
    const { env, random, place, marketplace, began, interval } = this.#options
    const all = roles.map((role): Orders => {
      this.started[role] += 1
      const seed = this.started.application + this.started.gateway
      return { role, place, marketplace, began, skew: skewOf(random), seed, interval, customers }
    })
    this.processes += 1
    const child = fork(REPLICA, [JSON.stringify(all)], { env })
    this.#running.set(child, roles)
    this.#starting.add(child)
    const open = roles.map(() => new Map<number, Amounts>())
    child.on('message', (told: Told) => {
      if ('replica' in told) this.#count(told, open[told.replica] as Map<number, Amounts>)
      else if ('in' in told) this.#stopOrGoOn(child, told)
      else if ('asked' in told) this.#asked.set(child, told.asked)
      else {
        this.#starting.delete(child)
        if (!this.#running.has(child)) return
        if (told.addresses.length > 0) this.#addresses.set(child, told.addresses)
        order(child, { tellOf: this.#next })
      }
    })
    child.once('exit', code => {
      const wanted = this.#running.delete(child)
      this.#ending.delete(child)
      this.#starting.delete(child)
      this.#addresses.delete(child)
      this.#doomed.delete(child)
      this.#stopped.delete(child)
      for (const amounts of open.flatMap(one => [...one.values()])) addAll(this.unknown, amounts)
      if (code === NO_ENGINE) {
        if (wanted) this.start(roles, customers)
      } else if (code !== 0 && code !== null) this.crashes += 1
    })
  }

  /** Waits until all have started, or for so long in real time. */
  async ready(timeout: number): Promise<void> {
    const end = performance.now() + timeout
    while (this.#starting.size > 0 && performance.now() < end) await sleep(20)
  }

  /** Kills one of them, whatever it is doing; one with gateways when it has something to do. */
  kill(): void {
    const going = this.#going
    const child = going[Math.floor(this.#options.random() * going.length)]
    if (child === undefined) return
    this.kills += 1
    this.#end(child)
    if (this.#addresses.has(child)) this.#doomed.add(child)
    else child.kill('SIGKILL')
  }

  /** Stops one process in the middle of each work, for an hour: whichever is in it next while few are stopped. */
  stopInEach(): void {
    if (this.#wanted.length === 0) this.#want([...AT_THE_TURN, ...AT_ANY_TIME])
  }

  /** Has all go on that are stopped, and no more be. */
  goOn(): void {
    this.#want([])
    for (const go of this.#stopped.values()) go()
  }

  /** Lets the oldest say goodbye. Returns whether there is one. */
  stop(): boolean {
    const [child] = this.#going
    if (child === undefined) return false
    this.#end(child)
    this.#addresses.delete(child)
    order(child, 'end')
    return true
  }

  async stopAll(): Promise<void> {
    while (this.stop());
    for (const child of this.#doomed) child.kill('SIGKILL')
    await Promise.all([...this.#ending].map(child => once(child, 'exit')))
  }

  killAll(): void {
    for (const child of [...this.#running.keys(), ...this.#ending]) child.kill('SIGKILL')
  }

  #want(works: readonly Work[]): void {
    this.#wanted = works
    for (const child of this.#running.keys()) order(child, { tellOf: this.#next })
  }

  /** What is waited for now. */
  get #next(): readonly Work[] {
    const atTheTurn = this.#wanted.filter(work => AT_THE_TURN.includes(work))
    return atTheTurn.length > 0 ? atTheTurn : this.#wanted
  }

  get #going(): ChildProcess[] {
    return [...this.#running.keys()].filter(child => !this.#stopped.has(child))
  }

  #end(child: ChildProcess): void {
    this.#running.delete(child)
    this.#ending.add(child)
  }

  #count(told: Extract<Told, { replica: number }>, open: Map<number, Amounts>): void {
    if ('about' in told) open.set(told.about, told.amounts)
    // What could not be taken at once is kept by the exporter, and brought in with a later export.
    else if ('durable' in told) {
      for (const [number, amounts] of open) {
        if (number > told.durable) continue
        addAll(this.durable, amounts)
        open.delete(number)
      }
    }
  }

  /** It waits in the middle of something, and only a process that is not about to end is stopped there. */
  #stopOrGoOn(child: ChildProcess, { in: work, where, waits }: Extract<Told, { in: Work }>): void {
    const go = () => order(child, { goOn: waits })
    const stopped = this.#stopped.get(child)
    if (stopped !== undefined) {
      this.#stopped.set(child, () => {
        stopped()
        go()
      })
      return
    }
    const few = this.#stopped.size < Math.max(1, Math.floor(this.size / STOPPED_SHARE))
    if (!this.#next.includes(work) || !this.#running.has(child) || !few) {
      go()
      return
    }
    child.kill('SIGSTOP')
    this.stops[work] += 1
    this.#options.progress(`process ${child.pid} is stopped: ${work}, ${where}`)
    this.#want(this.#wanted.filter(one => one !== work))
    this.#stopped.set(child, () => {
      this.#stopped.delete(child)
      child.kill('SIGCONT')
      go()
    })
    setTimeout(() => this.#stopped.get(child)?.(), real(STOPPED)).unref()
  }
}

function order(child: ChildProcess, what: Order): void {
  child.send(what, () => {})
}

export const skewOf = (random: Random) => Math.round((random() * 2 - 1) * MOST_SKEW)
