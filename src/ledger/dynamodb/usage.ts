import type { Tags } from '../../usage/tags.ts'
import { addAmount } from '../rules/accounting.ts'
import { toRows } from './packed-json.ts'
import { type Hours, hourOfPlace, partitionOf, rangeOf } from './places.ts'
import type { ShareUsage } from './shares.ts'
import type { Key, Table } from './table.ts'

/** Usage added up by hour, dimension and account, these by their numbers. */
export class GatheredUsage {
  /** What of it is for some tags. */
  readonly shares: ShareUsage[] = []
  readonly #groups = new Map<string, UsageGroup>()
  #last: UsageGroup | undefined

  /** What there is of one dimension in one hour, to add to. */
  group(hour: number, dimension: number): UsageGroup {
    // Mostly it is the same one again.
    if (this.#last?.hour === hour && this.#last.dimension === dimension) return this.#last
    const key = `${hour} ${dimension}`
    this.#last = this.#groups.get(key) ?? { hour, dimension, amounts: new Amounts() }
    this.#groups.set(key, this.#last)
    return this.#last
  }

  get groups(): UsageGroup[] {
    return [...this.#groups.values()].sort((a, b) => a.hour - b.hour || a.dimension - b.dimension)
  }

  *[Symbol.iterator](): Generator<SeriesUsage> {
    for (const { hour, dimension, amounts } of this.#groups.values()) {
      for (const account of amounts.accounts) yield { account, dimension, hour, amount: BigInt(amounts.get(account)) }
    }
  }
}

export interface UsageGroup {
  readonly hour: number
  readonly dimension: number
  readonly amounts: Amounts
}

export interface SeriesUsage {
  readonly account: number
  readonly dimension: number
  readonly hour: number
  readonly amount: bigint
  /** Of what others' counters add: what it is for. */
  readonly tags?: Tags | undefined
}

/** Sums by account: as numbers while they are exact, since most are and a fold adds up millions. */
export class Amounts {
  readonly #places = new Map<number, number>()
  #small = new Float64Array(16)
  readonly #large = new Map<number, bigint>()

  add(account: number, amount: number | bigint): void {
    const place = this.#placeOf(account)
    const sum = (this.#small[place] as number) + Number(amount)
    if (sum <= Number.MAX_SAFE_INTEGER) this.#small[place] = sum
    else addAmount(this.#large, account, BigInt(amount))
  }

  /** A number where that is exact. */
  get(account: number): number | bigint {
    const small = this.#small[this.#placeOf(account)] as number
    const large = this.#large.size === 0 ? undefined : this.#large.get(account)
    return large === undefined ? small : large + BigInt(small)
  }

  /** In ascending order. */
  get accounts(): Int32Array {
    return Int32Array.from(this.#places.keys()).sort()
  }

  #placeOf(account: number): number {
    let place = this.#places.get(account)
    if (place === undefined) {
      place = this.#places.size
      this.#places.set(account, place)
      if (place === this.#small.length) {
        const larger = new Float64Array(2 * place)
        larger.set(this.#small)
        this.#small = larger
      }
    }
    return place
  }
}

/** What a shard's series used in a period's closed hours, or what contracts included of it. */
export async function usageOf(
  table: Table,
  shard: number,
  hours: Hours,
  kept: 'usage' | 'drawn' = 'usage',
): Promise<SeriesUsage[]> {
  const items = await table.list('read usage', partitionOf(shard), rangeOf(kept, hours))
  return items.flatMap(({ sk, data }) =>
    toRows(data as Record<string, unknown[]>).map(({ account, dimension, amount }) => ({
      ...{ account: account as number, dimension: dimension as number, hour: hourOfPlace(sk) },
      amount: BigInt(amount as string),
    })),
  )
}

/** Where that is. */
export async function usageKeys(
  table: Table,
  shard: number,
  hours: Hours,
  kept: 'usage' | 'drawn' = 'usage',
): Promise<Key[]> {
  return await table.list('look for usage', partitionOf(shard), rangeOf(kept, hours))
}
