import { createHash, type Hash, hash } from 'node:crypto'
import type { Attributes } from '@opentelemetry/api'
import type { Stream } from '../ledger/rules/counters/evidence.ts'
import type { Account } from '../usage/account.ts'
import { RecentMap } from '../usage/recent-map.ts'

/** How many names are remembered. */
const MOST_NAMES = 100_000
/** As many characters of a stream's attributes are remembered at the price of a name. */
const CHARACTERS_OF_A_NAME = 256

/** From so many characters on, hashing a beginning again takes longer than copying what it came to. */
const SHORT = 1000

/**
 * What names begin with, hashed once where it is long. What comes after it begins with a line break, so that no pair of
 * surrogates is divided.
 */
export class Beginning {
  readonly #text: string
  readonly #state: Hash | undefined

  constructor(text: string, state?: Hash) {
    this.#text = text
    this.#state = state ?? (text.length > SHORT ? createHash('sha256').update(text) : undefined)
    if (this.#state !== undefined) this.#text = ''
  }

  /** The beginning that goes on with these lines. */
  with(lines: string): Beginning {
    return this.#state === undefined
      ? new Beginning(this.#text + lines)
      : new Beginning('', this.#state.copy().update(lines))
  }

  /** The digest of all of it, with the last lines. */
  digest(lines = ''): string {
    if (this.#state === undefined) return digest(this.#text + lines)
    return digitsOf(this.#state.copy().update(lines).digest())
  }
}

/** What a metric's counters share. */
export interface MetricIdentity {
  /** All but its points' attributes: resource, scope, name, unit and type. The first schema's names are made of it. */
  readonly name: Beginning
  /** What it measures, whoever counts it. */
  readonly measurement: Beginning
  readonly stream: Stream
}

/** How a counter is called: by all that tells it apart, and by what it measures. 32 hexadecimal digits each. */
export interface CounterName {
  readonly counter: string
  readonly series: string
  /** As whose and by what terms it was let in last, so that it is not asked for again with each point. */
  admittedBy: object | undefined
  admittedAs: Account | undefined
}

/**
 * Names counters by all that tells them apart, in 128 bits: what they are of, their attributes in any order, and what
 * is read of them. Attributes that a decoder gives as the same object again are frozen; their names are made once.
 */
export class CounterNames {
  readonly #metrics = new Map<string, MetricCounters>()
  #names = 0
  /** Of totals that outlive their processes, the last start, and whether the point before had another. */
  readonly #starts = new RecentMap<string, { readonly start: number; readonly changed: boolean }>(MOST_NAMES)

  /** The counters of a metric, by what is short and tells it from all others; its identity is made once. */
  of(key: string, identity: () => MetricIdentity): MetricCounters {
    if (this.#names > MOST_NAMES) {
      this.#metrics.clear()
      this.#names = 0
    }
    let counters = this.#metrics.get(key)
    if (counters === undefined) {
      counters = new MetricCounters(identity(), () => {
        this.#names += 1
      })
      this.#names += 1 + counters.stream.attributes.length / CHARACTERS_OF_A_NAME
      this.#metrics.set(key, counters)
    }
    return counters
  }

  /** Whether the starts that such a total says are not those of one process after another. */
  startsAnewOften(counter: string, start: number): boolean {
    const last = this.#starts.get(counter)
    const changed = last !== undefined && last.start !== start
    if (last === undefined || changed || last.changed) this.#starts.set(counter, { start, changed })
    return changed && (last.changed || start < last.start)
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
    const { counter, series } = this.#nameOf(attributes, value, dimension)
    // Written out: there are many, and an object to which fields are added takes nearly twice as much.
    const name: Named = {
      counter,
      series,
      admittedBy: undefined,
      admittedAs: undefined,
      value,
      dimension,
      before: last,
    }
    this.#named.set(attributes, name)
    this.#made()
    return name
  }

  #nameOf(attributes: Attributes, value: string, dimension: string): CounterName {
    const read = `\n${canonical(attributes)}\n${value}\n${dimension}`
    const [counter, series] = [this.#identity.name.digest(read), this.#identity.measurement.digest(read)]
    return { counter, series, admittedBy: undefined, admittedAs: undefined }
  }
}

const DIGITS = 32

/** 32 hexadecimal digits that stand for a text. */
export const digest = (text: string): string => digitsOf(hash('sha256', text, 'buffer'))

/** Not cut from a longer text, which would stay in memory with it. */
const digitsOf = (bytes: Buffer): string => bytes.toString('hex', 0, DIGITS / 2)

/** Attributes as text, whatever their order. */
export function canonical(attributes: Attributes): string {
  return JSON.stringify(Object.entries(attributes).sort(([a], [b]) => (a < b ? -1 : 1)))
}
