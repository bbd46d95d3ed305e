import { hash } from 'node:crypto'
import type { Attributes } from '@opentelemetry/api'
import type { Stream } from '../ledger/rules/counters/evidence.ts'

/** How many names are remembered. */
const MOST_NAMES = 250_000

/** What a metric's counters share. */
export interface MetricIdentity {
  /** All but its points' attributes: resource, scope, name, unit and type. The first schema's names are made of it. */
  readonly name: string
  /** What it measures, whoever counts it. */
  readonly measurement: string
  readonly stream: Stream
}

/** How a counter is called: by all that tells it apart, and by what it measures. 32 hexadecimal digits each. */
export interface CounterName {
  readonly counter: string
  readonly series: string
}

/**
 * Names counters by all that tells them apart, in 128 bits: what they are of, their attributes in any order, and what
 * is read of them. Attributes that a decoder gives as the same object again are frozen; their names are made once.
 */
export class CounterNames {
  readonly #metrics = new Map<string, MetricCounters>()
  #names = 0

  /** The counters of a metric, by its name as it is given; its identity is made once. */
  of(name: string, identity: () => MetricIdentity): MetricCounters {
    if (this.#names > MOST_NAMES) {
      this.#metrics.clear()
      this.#names = 0
    }
    let counters = this.#metrics.get(name)
    if (counters === undefined) {
      this.#names += 1
      counters = new MetricCounters(identity(), () => {
        this.#names += 1
      })
      this.#metrics.set(name, counters)
    }
    return counters
  }
}

interface Named extends CounterName {
  readonly value: string
  readonly dimension: string
  /** The one that was made before of the same attributes. */
  readonly before: Named | undefined
}

export class MetricCounters {
  readonly stream: Stream
  readonly #identity: MetricIdentity
  readonly #named = new Map<Attributes, Named>()
  readonly #made: () => void

  /** @param made called for each name that is remembered */
  constructor(identity: MetricIdentity, made: () => void) {
    this.#identity = identity
    this.stream = identity.stream
    this.#made = made
  }

  /** @param value which of the point's values is read */
  name(attributes: Attributes, value: string, dimension: string): CounterName {
    if (!Object.isFrozen(attributes)) return this.#nameOf(attributes, value, dimension)
    const last = this.#named.get(attributes)
    for (let one = last; one !== undefined; one = one.before) {
      if (one.value === value && one.dimension === dimension) return one
    }
    const name = { ...this.#nameOf(attributes, value, dimension), value, dimension, before: last }
    this.#named.set(attributes, name)
    this.#made()
    return name
  }

  #nameOf(attributes: Attributes, value: string, dimension: string): CounterName {
    const read = `\n${canonical(attributes)}\n${value}\n${dimension}`
    return { counter: digest(`${this.#identity.name}${read}`), series: digest(`${this.#identity.measurement}${read}`) }
  }
}

/** 32 hexadecimal digits that stand for a text. */
export const digest = (text: string): string => hash('sha256', text).slice(0, 32)

/** Attributes as text, whatever their order. */
export function canonical(attributes: Attributes): string {
  return JSON.stringify(Object.entries(attributes).sort(([a], [b]) => (a < b ? -1 : 1)))
}
