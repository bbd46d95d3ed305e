import { magnitude } from '../../usage/amount.ts'
import { type Tags, textOfTags } from '../../usage/tags.ts'
import type { Allocation } from '../ledger.ts'

/**
 * Allocations: how much of a customer's usage is for which set of tags (a model, a team, an API key). They are kept
 * beside a series' usage and are none of its figures: what no tag set has is the untagged rest. When whole units are
 * frozen they are split: what of a unit a tag set got too much or too little is carried, and counts the next time.
 */

/** AWS takes so many allocations of a record, the untagged one with them. */
export const MOST_ALLOCATIONS = 2500
/** AWS's guide says "5 across the list": so many different keys a record has, to be sure. */
const MOST_KEYS = 5
/** A record's allocations as AWS's JSON, in bytes: a request has a megabyte, and a ledger's items some hundred kilobytes. */
export const MOST_BYTES = 250_000
/** What one takes as AWS's JSON beside its tags, and what a tag takes beside its texts. */
const ALLOCATION_BYTES = 48
const TAG_BYTES = 25

/** What a tag set has that is not frozen. */
interface Share {
  readonly tags: Tags
  /** In millionths of the base unit; below 0 where it got more of a unit than it had used. */
  balance: bigint
  /** As it was read. */
  readonly before: bigint
}

/** The shares of a series, as far as they were read, and what was added to others. */
export class Shares {
  readonly #shares = new Map<string, Share>()

  /** Takes in what is stored. */
  read(tags: Tags, balance: bigint): void {
    this.#shares.set(textOfTags(tags), { tags, balance, before: balance })
  }

  add(tags: Tags, amount: bigint): void {
    const text = textOfTags(tags)
    const share = this.#shares.get(text) ?? { tags, balance: 0n, before: 0n }
    share.balance += amount
    this.#shares.set(text, share)
  }

  /** Leaves each what is left of the whole. */
  reduce(left: bigint, whole: bigint): void {
    for (const share of this.#shares.values()) share.balance = whole > 0n ? (share.balance * left) / whole : 0n
  }

  get all(): readonly Readonly<Share>[] {
    return [...this.#shares.values()]
  }

  /** What was added to each since it was read. */
  get changes(): { readonly tags: Tags; readonly amount: bigint }[] {
    return this.all
      .map(({ tags, balance, before }) => ({ tags, amount: balance - before }))
      .filter(({ amount }) => amount !== 0n)
  }

  /**
   * Splits whole units that are frozen.
   *
   * @param balance of the series, before
   * @param included how many of them the contract includes: nobody is told of their split
   * @param quantity how many are to be metered
   * @returns the split of what is to be metered; none where all of it is untagged
   */
  split(balance: bigint, included: number, quantity: number, size: bigint): readonly Allocation[] | undefined {
    if (this.#shares.size === 0) return undefined
    const shares = this.all
    const tagged = shares.reduce((sum, share) => sum + share.balance, 0n)
    const units = apportion([...shares.map(share => share.balance), balance - tagged], included + quantity, size)
    for (const [index, share] of shares.entries()) {
      const found = this.#shares.get(textOfTags(share.tags)) as Share
      found.balance -= BigInt(units[index] as number) * size
    }
    this.#leaveOut()
    const metered = included === 0 ? units : proportional(units.map(BigInt), quantity)
    return told(
      shares.map(({ tags }, index) => [metered[index] as number, tags] as const),
      quantity,
    )
  }

  /** The remainders of so many are kept, the largest; what the others have is untagged. */
  #leaveOut(): void {
    const left = this.all.filter(share => share.balance !== 0n)
    if (left.length < MOST_ALLOCATIONS) return
    const size = ({ balance }: Readonly<Share>) => magnitude(balance)
    for (const { tags } of left.sort((a, b) => (size(a) < size(b) ? 1 : -1)).slice(MOST_ALLOCATIONS - 1)) {
      const share = this.#shares.get(textOfTags(tags)) as Share
      share.balance = 0n
    }
  }
}

/** The split that AWS takes: the largest by themselves, and the others in the untagged rest. */
function told(split: readonly (readonly [quantity: number, tags: Tags])[], quantity: number): Allocation[] | undefined {
  const keys = new Set<string>()
  const kept: Allocation[] = []
  let [bytes, rest] = [ALLOCATION_BYTES, quantity]
  for (const [units, tags] of split.filter(([units]) => units > 0).sort(byQuantity)) {
    const more = tags.reduce((sum, tag) => sum + TAG_BYTES + tag.join('').length, ALLOCATION_BYTES)
    const all = new Set([...keys, ...tags.map(([key]) => key)])
    if (kept.length + 1 >= MOST_ALLOCATIONS || bytes + more > MOST_BYTES || all.size > MOST_KEYS) continue
    for (const key of all) keys.add(key)
    bytes += more
    rest -= units
    kept.push([units, tags])
  }
  if (kept.length === 0) return undefined
  return rest > 0 ? [...kept, [rest]] : kept
}

/** The largest first; of equal ones in the order of their tags, so that it is the same each time. */
function byQuantity([one, tags]: readonly [number, Tags], [other, others]: readonly [number, Tags]): number {
  return other - one || (textOfTags(tags) < textOfTags(others) ? -1 : 1)
}

/**
 * Whole units for amounts that have them together: one after the other to whoever has the most left. So none is ever a
 * whole unit ahead of its share, and of n none is 1 + 1/2 + … + 1/n units behind it (8.4 units for 2,500, by usage that
 * is made for it; mostly less than one). Better can only who knows what will be used.
 *
 * The proof: while a whole unit of all is left, somebody has more than 0 left, and whoever has the most gets it: more than
 * -1 is left then. And be r(k) how much the n - k with the least left lack, for each of the other k; r(n) = 0. Where none
 * of the n - k gets a unit, r(k) does not rise. Where one does, it had no less than any of the k, and has at most one less
 * afterwards: r(k) ≤ r(k + 1) + 1/(k + 1). The one furthest behind has r(1) left, and less than a unit that is left of all.
 */
export function apportion(amounts: readonly bigint[], units: number, size: bigint): number[] {
  const whole = amounts.map(amount => (amount > 0n ? amount / size : 0n))
  const level = levelOf(whole, BigInt(units))
  const given = whole.map(one => above(one, level))
  const left = amounts.map((amount, index) => amount - (given[index] as bigint) * size)
  const order = [...left.keys()].sort((a, b) => ((left[a] as bigint) > (left[b] as bigint) ? -1 : 1))
  const missing = units - Number(sumOf(given))
  for (const index of order.slice(0, missing)) given[index] = (given[index] as bigint) + 1n
  return given.map(Number)
}

/** The lowest level, in whole units, above which there are at most so many: more where others had too much before. */
function levelOf(whole: readonly bigint[], units: bigint): bigint {
  let [low, high] = [0n, whole.reduce((most, one) => (one > most ? one : most), 0n)]
  for (let level = low; low < high; level = (low + high) / 2n) {
    if (sumOf(whole.map(one => above(one, level))) <= units) high = level
    else low = level + 1n
  }
  return low
}

const above = (amount: bigint, level: bigint): bigint => (amount > level ? amount - level : 0n)

const sumOf = (amounts: readonly bigint[]): bigint => amounts.reduce((sum, amount) => sum + amount, 0n)

/** Whole units in the proportion of weights, by the largest remainder. */
function proportional(weights: readonly bigint[], units: number): number[] {
  const sum = weights.reduce((sum, weight) => sum + weight, 0n)
  if (sum === 0n) return weights.map((_, index) => (index === weights.length - 1 ? units : 0))
  const exact = weights.map(weight => weight * BigInt(units))
  const whole = exact.map(one => Number(one / sum))
  const rests = exact.map(one => one % sum)
  const order = [...rests.keys()].sort((a, b) => ((rests[a] as bigint) > (rests[b] as bigint) ? -1 : 1))
  const missing = units - whole.reduce((sum, one) => sum + one, 0)
  for (const index of order.slice(0, missing)) whole[index] = (whole[index] as number) + 1
  return whole
}
