import type { LedgerSum } from './ledger-sum.ts'

/**
 * What a usage report says of a day's usage of a customer, dimension and region:
 * - `agreed`: AWS has billed what the ledger has as metered;
 * - `in-doubt`: what differs, if anything does, is what the ledger has as in doubt or in conflict;
 * - `incomplete`: the report has less, and may not have all of the day yet;
 * - `other-day`: as much as is too little there is too much on the day before or after it;
 * - `less`: AWS has billed less than the ledger has as metered; `more`: more than that.
 */
export type UsageVerdict = 'agreed' | 'in-doubt' | 'incomplete' | 'other-day' | 'less' | 'more'

/**
 * @param billed what the report has, in hundredths of a unit
 * @param complete whether the report has all of the day
 */
export function usageVerdict(sum: LedgerSum, billed: number, complete: boolean): UsageVerdict {
  const { metered, inDoubt, inConflict } = sum
  const difference = billed - metered
  if (difference === 0 && inDoubt.length === 0 && inConflict === 0) return 'agreed'
  // What somebody else has sent for an hour can be any quantity.
  if (difference >= 0 && (inConflict > 0 || isSumOf(inDoubt, difference))) return 'in-doubt'
  const most = metered + inDoubt.reduce((all, one) => all + one, 0)
  if (!complete && (billed < most || inConflict > 0)) return 'incomplete'
  return difference < 0 ? 'less' : 'more'
}

/** How many sums are told apart. There can be more where many customers are in one. */
const MOST_SUMS = 10_000

/** Whether some of the quantities, all or none of them add up to one. */
function isSumOf(quantities: readonly number[], sum: number): boolean {
  const sums = new Set([0])
  for (const quantity of quantities) {
    if (sums.size > MOST_SUMS) return sum <= quantities.reduce((all, one) => all + one, 0)
    for (const one of [...sums]) sums.add(one + quantity)
  }
  return sums.has(sum)
}
