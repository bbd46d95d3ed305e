import { HOUR, MINUTE } from '../../src/ledger/hours.ts'
import { type Random, seeded } from '../../src/simulator/random.ts'
import { Counter } from './counter.ts'
import type { Delivery } from './otlp.ts'

/** Whom scenarios are about. */
export const ALICE = '200100100100'
export const BOB = '200200200200'
export const CAROL = '200300300300'
export const DAVE = '200400400400'
/** Of a scenario in which something is broken, one who has nothing to do with it. */
export const BYSTANDER = '200900900900'

export interface Use {
  /** In minutes since metering began. */
  readonly from: number
  readonly to: number
  /** Counted at once, right at `from`. */
  readonly heap?: number
  /** The mean of what is counted in a minute. */
  readonly rate?: number
}

/** What has to come of a scenario. */
export interface Course {
  readonly deliveries: readonly Delivery[]
  /** How many gateways share the ledger. */
  readonly gateways?: number
  readonly restarts?: readonly Restart[]
  /** What is sold from the beginning; by default everything. */
  readonly dimensions?: readonly string[]
  readonly expected?: Expected
}

export interface Restart {
  /** Milliseconds since the epoch. */
  readonly at: number
  readonly gateway: number
  /** It is killed: nothing is ended in order. */
  readonly killed?: boolean
  /** What is sold from then on. */
  readonly dimensions?: readonly string[]
}

/** What a scenario adds to its class. */
export interface Expected {
  /** What is told by a message, but cannot be known to be: it need not be explained. In units. */
  readonly blind?: number
  /** Of an alarm: the most that may be billed, as a multiple of what was used. 1 by default. */
  readonly bound?: number
  /** Customers who have to be billed exactly, whatever the class. */
  readonly bystanders?: readonly string[]
  /** Of a bounded scenario: that something is told, though it has no amount. */
  readonly mustTell?: boolean
}

/** Where a scenario is put together: its chance, its clock, and what is counted in it. */
export class Stage {
  readonly random: Random
  /** When metering begins: an hour in the middle of a month, and some minutes. */
  readonly begins: number
  readonly counters: Counter[] = []

  constructor(seed: number) {
    this.random = seeded(seed)
    this.begins = Date.UTC(2026, 8, 9, 7) + this.integer(0, 40) * MINUTE
  }

  /** @param minutes since metering began */
  at(minutes: number): number {
    return this.begins + minutes * MINUTE
  }

  hours(hours: number): number {
    return this.begins + hours * HOUR
  }

  /** From `least` up to `most`, both included. */
  integer(least: number, most: number): number {
    return least + Math.floor(this.random() * (most - least + 1))
  }

  counter(customer: string, dimension: string): Counter {
    const counter = new Counter(customer, dimension)
    this.counters.push(counter)
    return counter
  }

  /** Counts at random instants. @param shift milliseconds that all of it is later by */
  use(counter: Counter, { from, to, heap, rate = 20 }: Use, shift = 0): void {
    if (heap !== undefined) counter.count(this.at(from) + shift, heap)
    const end = this.at(to) + shift
    let at = this.at(from) + shift
    for (;;) {
      const pause = (0.2 + 1.6 * this.random()) * MINUTE
      at = Math.floor(at + pause)
      if (at >= end) return
      counter.count(at, Math.max(1, Math.round((rate * pause * 2 * this.random()) / MINUTE)))
    }
  }
}
