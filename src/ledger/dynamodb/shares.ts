import { magnitude } from '../../usage/amount.ts'
import { type Tags, textOfTags } from '../../usage/tags.ts'
import { Shares } from '../rules/allocations.ts'

/** What of series' usage is for which tags, as shards keep it: of hours that are open, and what of closed ones is not frozen. */

/** Usage of an hour for some tags. */
export interface ShareUsage {
  readonly account: number
  readonly dimension: number
  readonly hour: number
  readonly tags: Tags
  readonly amount: bigint
}

/** So many of an open hour are told apart: a shard is one item, which each fold writes again. What is beyond is untagged. */
const MOST_OPEN = 5000

/** What a series has of an open hour, by the text of the tags. */
export type OpenShares = Map<string, { readonly tags: Tags; amount: bigint }>

export function addOpenShare(open: Map<number, OpenShares>, { hour, tags, amount }: ShareUsage): void {
  const ofHour = open.get(hour) ?? new Map()
  open.set(hour, ofHour)
  const text = textOfTags(tags)
  const known = ofHour.get(text)
  if (known !== undefined) known.amount += amount
  else if (ofHour.size < MOST_OPEN) ofHour.set(text, { tags, amount })
}

/** How many characters the tags of a series' shares take. */
export function lengthOf({ shares, openShares }: SeriesShares): number {
  const all = [...(shares?.all ?? []), ...[...openShares.values()].flatMap(ofHour => [...ofHour.values()])]
  return all.reduce((sum, { tags }) => sum + textOfTags(tags).length, 0)
}

/** Leaves a series the larger half of what it tells apart; the rest is untagged. */
export function halveShares(series: SeriesShares): void {
  const larger = <Share>(all: readonly Share[], amountOf: (share: Share) => bigint): Share[] =>
    [...all]
      .sort((a, b) => (magnitude(amountOf(a)) > magnitude(amountOf(b)) ? -1 : 1))
      .slice(0, Math.floor(all.length / 2))
  series.shares = readShares(larger(storedShares(series.shares) ?? [], ([, balance]) => BigInt(balance)))
  for (const [hour, ofHour] of series.openShares) {
    const left = larger([...ofHour], ([, { amount }]) => amount)
    if (left.length > 0) series.openShares.set(hour, new Map(left))
    else series.openShares.delete(hour)
  }
}

/** What a series has for some tags. */
interface SeriesShares {
  shares: Shares | undefined
  readonly openShares: Map<number, OpenShares>
}

type Stored = readonly (readonly [tags: Tags, amount: string])[]
/** By hour. */
type StoredOpen = readonly (readonly [hour: number, shares: Stored])[]

export const storedShares = (shares: Shares | undefined): Stored | null =>
  shares === undefined ? null : shares.all.map(({ tags, balance }) => [tags, String(balance)] as const).filter(isThere)

const isThere = ([, balance]: readonly [Tags, string]) => balance !== '0'

export const storedOpen = (open: ReadonlyMap<number, OpenShares>): StoredOpen | null =>
  open.size === 0
    ? null
    : [...open].map(([hour, shares]) => [hour, [...shares.values()].map(({ tags, amount }) => [tags, String(amount)])])

export function readShares(stored: unknown): Shares | undefined {
  if (!Array.isArray(stored) || stored.length === 0) return undefined
  const shares = new Shares()
  for (const [tags, balance] of stored as Stored) shares.read(tags, BigInt(balance))
  return shares
}

export function readOpen(stored: unknown): Map<number, OpenShares> {
  return new Map(
    ((stored as StoredOpen | null | undefined) ?? []).map(([hour, shares]) => [
      hour,
      new Map(shares.map(([tags, amount]) => [textOfTags(tags), { tags, amount: BigInt(amount) }])),
    ]),
  )
}
