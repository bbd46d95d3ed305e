import { hash } from 'node:crypto'
import type { Attributes } from '@opentelemetry/api'
import { Remembered } from './remembered.ts'

/** How many metrics of resources and scopes are remembered, and how many sets of attributes of each. */
const MOST_METRICS = 10_000
const MOST_COUNTERS = 250_000

/**
 * Names counters by all that tells them apart, in 128 bits: what they are of, their attributes in any order, and what
 * is read of them. A decoder may give the same attributes as the same object again; then a name is made once.
 */
export class CounterNames {
  readonly #metrics = new Remembered<string, MetricCounters>(MOST_METRICS)

  /** The counters of a metric. `identity` is all but its points' attributes: resource, scope, name, unit and type. */
  of(identity: string): MetricCounters {
    let counters = this.#metrics.get(identity)
    if (counters === undefined) {
      counters = new MetricCounters(identity)
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
  readonly #named = new Remembered<Attributes, Named[]>(MOST_COUNTERS)

  constructor(identity: string) {
    this.#identity = identity
  }

  /** @param value which of the point's values is read */
  name(attributes: Attributes, value: string, dimension: string): string {
    let named = this.#named.get(attributes)
    if (named === undefined) {
      named = []
      this.#named.set(attributes, named)
    }
    for (const one of named) if (one.value === value && one.dimension === dimension) return one.name
    const name = hash('sha256', `${this.#identity}\n${canonical(attributes)}\n${value}\n${dimension}`).slice(0, 32)
    named.push({ value, dimension, name })
    return name
  }
}

/** Attributes as text, whatever their order. */
export function canonical(attributes: Attributes): string {
  return JSON.stringify(Object.entries(attributes).sort(([a], [b]) => (a < b ? -1 : 1)))
}
