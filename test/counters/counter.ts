/** What is really counted, by somebody else: what a scenario knows and no message says. */
export class Counter {
  readonly customer: string
  readonly dimension: string
  readonly #events: Event[] = []

  constructor(customer: string, dimension: string) {
    this.customer = customer
    this.dimension = dimension
  }

  /** @param at milliseconds since the epoch, as all times of a scenario that are not on the wire */
  count(at: number, amount: number): void {
    const last = this.#events.at(-1)
    this.#events.push({ at, amount })
    if (last !== undefined && last.at > at) this.#events.sort((a, b) => a.at - b.at)
  }

  /** When it first counted. */
  get beganAt(): number {
    return this.#events[0]?.at ?? Number.POSITIVE_INFINITY
  }

  get events(): readonly Event[] {
    return this.#events
  }

  /** All that was counted by then. */
  value(at: number): number {
    let sum = 0
    for (const event of this.#events) {
      if (event.at > at) break
      sum += event.amount
    }
    return sum
  }
}

interface Event {
  readonly at: number
  readonly amount: number
}

/** What a message says of a counter: all that it counted after `from`, up to `to`. */
export interface Told {
  readonly counter: Counter
  readonly from: number
  readonly to: number
}

/** Of a customer and dimension, in units of the dimension. */
export interface TruthLine {
  readonly customer: string
  readonly dimension: string
  /** Used since it was sold here, and told by a message that arrived. */
  used: number
  /** Used before that, and told. */
  before: number
  /** In no message that arrived. */
  unseen: number
}

/** @param soldSince when metering of a dimension began */
export function truthOf(
  counters: Iterable<Counter>,
  told: Iterable<Told>,
  soldSince: (dimension: string) => number,
): TruthLine[] {
  const spans = new Map<Counter, Told[]>()
  for (const one of told) {
    const known = spans.get(one.counter)
    if (known === undefined) spans.set(one.counter, [one])
    else known.push(one)
  }
  const lines = new Map<string, TruthLine>()
  for (const counter of counters) {
    const { customer, dimension } = counter
    const line = lines.get(`${customer} ${dimension}`) ?? { customer, dimension, used: 0, before: 0, unseen: 0 }
    lines.set(`${customer} ${dimension}`, line)
    const own = spans.get(counter) ?? []
    for (const { at, amount } of counter.events) {
      if (!own.some(({ from, to }) => from < at && at <= to)) line.unseen += amount
      else if (at <= soldSince(dimension)) line.before += amount
      else line.used += amount
    }
  }
  return [...lines.values()]
}
