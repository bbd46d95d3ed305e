import { hash } from 'node:crypto'
import type { Attributes } from '@opentelemetry/api'

/** How many names are remembered. */
const MOST_NAMES = 250_000

/**
 * Names counters by all that tells them apart, in 128 bits: what they are of, their attributes in any order, and what
 * is read of them. Attributes that a decoder gives as the same object again are frozen; their names are made once.
 */
export class CounterNames {
  readonly #metrics = new Map<string, MetricCounters>()
  #names = 0

  /** The counters of a metric. `identity` is all but its points' attributes: resource, scope, name, unit and type. */
  of(identity: string): MetricCounters {
    if (this.#names > MOST_NAMES) {
      this.#metrics.clear()
      this.#names = 0
    }
    let counters = this.#metrics.get(identity)
    if (counters === undefined) {
      this.#names += 1
      counters = new MetricCounters(identity, () => {
        this.#names += 1
      })
      this.#metrics.set(identity, counters)
    }
    return counters
  }
}

interface Named {
  readonly value: string
  readonly dimension: string
  readonly name: string
}

export class MetricCounters {
  readonly #identity: string
  readonly #named = new Map<Attributes, Named[]>()
  readonly #made: () => void

  /** @param made called for each name that is remembered */
  constructor(identity: string, made: () => void) {
    this.#identity = identity
    this.#made = made
  }

  /** @param value which of the point's values is read */
  name(attributes: Attributes, value: string, dimension: string): string {
    if (!Object.isFrozen(attributes)) return this.#nameOf(attributes, value, dimension)
    let named = this.#named.get(attributes)
    if (named === undefined) {
      named = []
      this.#named.set(attributes, named)
    }
    for (const one of named) if (one.value === value && one.dimension === dimension) return one.name
    const name = this.#nameOf(attributes, value, dimension)
    named.push({ value, dimension, name })
    this.#made()
    return name
  }

  #nameOf(attributes: Attributes, value: string, dimension: string): string {
    return hash('sha256', `${this.#identity}\n${canonical(attributes)}\n${value}\n${dimension}`).slice(0, 32)
  }
}

/** Attributes as text, whatever their order. */
export function canonical(attributes: Attributes): string {
  return JSON.stringify(Object.entries(attributes).sort(([a], [b]) => (a < b ? -1 : 1)))
}
