import type { Agreement, Period, Terms } from './agreements.ts'
import type { Undocumented } from './undocumented.ts'

/** An entitlement as it is at a time. */
export interface CurrentEntitlement extends Terms {
  /** Where it stands in AWS's list. */
  number: number
  agreement: Agreement
  dimension: string
}

/** The quantities that agreements include. */
export class Entitlements {
  readonly #all: { agreement: Agreement; period: Period; dimension: string; terms: Terms[] }[] = []

  /** Entitles, or says otherwise what was said before. */
  entitle(agreement: Agreement, period: Period, dimension: string, current: Terms): void {
    let terms = period.entitlements.get(dimension)
    if (terms === undefined) {
      terms = []
      period.entitlements.set(dimension, terms)
      this.#all.push({ agreement, period, dimension, terms })
    }
    terms.push(current)
    terms.sort((one, other) => one.since - other.since)
  }

  /**
   * What customers are entitled to at a time, in AWS's order.
   *
   * @param product its code
   * @param after the number that the last of the page before has
   */
  *at(
    product: string,
    at: number,
    { after, endedEntitlement }: { after: number; endedEntitlement: Undocumented['endedEntitlement'] },
  ): Generator<CurrentEntitlement, void> {
    for (const [index, { agreement, period, dimension, terms }] of this.#all.entries()) {
      const number = index + 1
      if (number <= after) continue
      if (agreement.product !== product || at < Math.max(period.from, period.activeAt)) continue
      if (at >= period.to && endedEntitlement === 'unlisted') continue
      const current = terms.findLast(({ since }) => since <= at)
      if (current !== undefined && at < current.expiresAt) yield { number, agreement, dimension, ...current }
    }
  }
}
