import type { RecordEntry } from '../../ledger/ledger.ts'
import { addAmount } from '../../ledger/rules/accounting.ts'
import type { Dimension } from '../../usage/dimension.ts'
import { type Quantity, quantityOf } from './quantity.ts'

/** How much of a dimension's records of the last 48 hours is for which values of a tag, all customers together. */
export interface SplitReport {
  readonly dimension: string
  readonly tag: string
  /** All of those records, but for what has returned to the balance. */
  readonly all: Quantity
  /** The largest first, at most ten. */
  readonly values: readonly (Quantity & { readonly value: string })[]
  /** For other values, or for none. */
  readonly rest: Quantity
}

/** So many values of a tag are told apart, those of one hour and those of all. */
const KEPT = 200
const SHOWN = 10

interface DimensionSplit {
  all: bigint
  /** By tag, and then by its value, in millionths of the base unit. */
  readonly tags: Map<string, Map<string, bigint>>
}

/** What of records is for which tags. */
export class Splits {
  readonly #dimensions = new Map<string, DimensionSplit>()

  static of(records: readonly RecordEntry[]): Splits {
    const splits = new Splits()
    for (const record of records) splits.#add(record)
    splits.#keepLargest()
    return splits
  }

  static sum(all: Iterable<Splits>): Splits {
    const sum = new Splits()
    for (const splits of all) {
      for (const [dimension, { all: quantity, tags }] of splits.#dimensions) {
        const own = sum.#of(dimension)
        own.all += quantity
        for (const [tag, values] of tags) for (const [value, amount] of values) addTo(own, tag, value, amount)
      }
    }
    sum.#keepLargest()
    return sum
  }

  report(dimensions: ReadonlyMap<string, Dimension>): SplitReport[] {
    return [...this.#dimensions].flatMap(([name, { all, tags }]) => {
      const dimension = dimensions.get(name)
      if (dimension === undefined) return []
      return [...tags].map(([tag, values]) => {
        const shown = largest(values, SHOWN)
        const rest = shown.reduce((left, [, amount]) => left - amount, all)
        return {
          ...{ dimension: name, tag, all: quantityOf(all, dimension), rest: quantityOf(rest, dimension) },
          values: shown.map(([value, amount]) => ({ value, ...quantityOf(amount, dimension) })),
        }
      })
    })
  }

  #add({ dimension, state, quantity, size, allocations = [] }: RecordEntry): void {
    if (state === 'returned' || quantity === 0) return
    const own = this.#of(dimension)
    own.all += BigInt(quantity) * size
    for (const [units, tags = []] of allocations) {
      for (const [tag, value] of tags) addTo(own, tag, value, BigInt(units) * size)
    }
  }

  #of(dimension: string): DimensionSplit {
    const known = this.#dimensions.get(dimension)
    if (known !== undefined) return known
    const own = { all: 0n, tags: new Map() }
    this.#dimensions.set(dimension, own)
    return own
  }

  #keepLargest(): void {
    for (const { tags } of this.#dimensions.values()) {
      for (const [tag, values] of tags) if (values.size > KEPT) tags.set(tag, new Map(largest(values, KEPT)))
    }
  }
}

function addTo({ tags }: DimensionSplit, tag: string, value: string, amount: bigint): void {
  const values = tags.get(tag) ?? new Map<string, bigint>()
  addAmount(values, value, amount)
  tags.set(tag, values)
}

const largest = (values: ReadonlyMap<string, bigint>, most: number): [string, bigint][] =>
  [...values].sort(([, a], [, b]) => (a < b ? 1 : a > b ? -1 : 0)).slice(0, most)
