import { DAY, HOUR } from '../ledger/hours.ts'

const LONGEST_AGO = 30 * DAY

/** What `isPlausibleEnd` takes. */
export const PLAUSIBLE_END = 'now or in the last 30 days'

/** Whether an agreement may have ended then: not at a Date, nor within a millisecond. Longer ago, or more than an hour ahead, is a mistake: seconds for milliseconds, say. */
export function isPlausibleEnd(endedAt: number, now: number): boolean {
  return Number.isInteger(endedAt) && endedAt <= now + HOUR && endedAt >= now - LONGEST_AGO
}
