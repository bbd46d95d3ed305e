import { DAY, HOUR } from '../hours.ts'
import { lastBilled } from '../last-billed.ts'
import type { RecordEntry } from '../ledger.ts'
import { checkTime } from './validation.ts'

/** How long ledgers keep records and digests, in one place for every engine. */

/** How long the digests of batches are kept; the sequence that tells a repeated batch is kept for longer. */
export const DIGESTS_KEPT = 48 * HOUR

/** How long after an hour its records stay at least: as long as AWS takes it. */
const PRUNED_AFTER = DAY

/**
 * The hour before which records may be deleted: `wanted`, or an earlier one.
 *
 * @param youngest what a ledger has for `YOUNGEST_METERED`
 */
export function prunableBefore(
  wanted: number,
  closedThrough: number | undefined,
  youngest: readonly RecordEntry[],
): number {
  checkTime('before', wanted)
  const billed = lastBilled(youngest)
  if (closedThrough === undefined || billed === undefined) return 0
  // An hour that AWS may still take stays: without its record it could be frozen and billed once more. Which hours are
  // closed a clock that is ahead says, too.
  return Math.min(wanted, closedThrough - PRUNED_AFTER, billed - PRUNED_AFTER)
}
