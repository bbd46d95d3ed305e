import type { Attributes } from '@opentelemetry/api'
import type { Account } from './account.ts'
import type { Tally } from './customer.ts'
import { attributeOf, type TagSource } from './rules.ts'
import { taggedAccount } from './tagged-account.ts'
import { TAG_VALUE, type Tags, textOfTags } from './tags.ts'

/**
 * How many tag sets a process keeps apart for each customer and dimension in an hour: AWS takes no more of a record.
 * Usage beyond is the customer's, without tags, so that memory stays bounded whatever attributes come.
 */
export const MOST_TAG_SETS = 2500

/** Usage of a customer that is for some tags. */
export interface TagSet {
  readonly account: Account
  readonly tally: Tally
}

/**
 * The tags of a point, without those that it has no value for, or none that AWS takes.
 *
 * @param refuse is told the attribute whose value AWS does not take
 */
export function tagsOf(
  sources: readonly TagSource[],
  attributes: Attributes,
  resource: Attributes,
  refuse: (attribute: string) => void,
): Tags {
  const tags: [key: string, value: string][] = []
  for (const { tag, attribute } of sources) {
    const value = attributeOf(attributes, attribute) ?? attributeOf(resource, attribute)
    if (value === undefined || value === null || value === '') continue
    const text = typeof value === 'object' ? '' : String(value)
    if (TAG_VALUE.test(text)) tags.push([tag, text])
    else refuse(attribute)
  }
  return tags
}

/** Whether usage of an account may be billed with tags: a customer's, and what is a customer's who is not known yet. */
export function isTaggable(account: Account): boolean {
  return account.kind === 'customer' || account.reason === 'unknown-tenant'
}

interface KnownSets {
  readonly hour: number
  /** By the text of their tags. */
  readonly sets: Map<string, TagSet>
}

/**
 * The tag sets of customers in this hour, and of before what no ledger has taken yet, so that memory does not grow with an
 * outage: the same one is the same account and tally.
 */
export class TagSets {
  #hour = Number.NaN
  /** By the tallies of customers and dimensions. */
  readonly #known = new WeakMap<Tally, KnownSets>()

  beginHour(hour: number): void {
    this.#hour = hour
  }

  /**
   * What is remembered of usage for some tags; undefined where there are too many.
   *
   * @param tally of the customer's usage of the dimension
   */
  find(account: Account, tally: Tally, tags: Tags): TagSet | undefined {
    const { sets } = this.#ofHour(tally)
    const text = textOfTags(tags)
    let found = sets.get(text)
    if (found === undefined && sets.size < MOST_TAG_SETS) {
      // Whoever is not known yet has one account, and no tags before it is known.
      found =
        account.kind === 'customer'
          ? { account: taggedAccount(account, tags), tally: { source: 0, waiting: undefined } }
          : { account, tally: { source: 0, waiting: undefined, tags } }
      sets.set(text, found)
    }
    return found
  }

  #ofHour(tally: Tally): KnownSets {
    const before = this.#known.get(tally)
    if (before !== undefined && Object.is(before.hour, this.#hour)) return before
    const waiting = [...(before?.sets ?? [])].filter(([, set]) => set.tally.waiting !== undefined)
    const known = { hour: this.#hour, sets: new Map(waiting) }
    this.#known.set(tally, known)
    return known
  }
}
