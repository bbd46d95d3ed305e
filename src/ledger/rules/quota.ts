import { MINUTE, SECOND } from '../hours.ts'

/**
 * The turns of what AWS allows an account in a region. A ledger keeps the next one, and whoever asks gets those from it on.
 * Nobody gets one that is more than a minute away: who waits for it would have given up by then, and it would be lost. They
 * ask again. So a next turn that is further away than any that is given was taken by a clock that was ahead: it is
 * forgotten, or it would hold everybody up.
 */

/** In milliseconds. */
export const LONGEST_WAIT = MINUTE
/** Several are taken at once, by clocks that differ a little. */
export const FURTHEST_TURN = LONGEST_WAIT + 5 * SECOND

/**
 * The first turn for whoever asks at `now`, or undefined where too many wait. The two engines that decide it in one
 * statement have the same there.
 *
 * @param next the next turn that is kept
 */
export function firstTurn(next: number | undefined, now: number): number | undefined {
  if (next === undefined || next <= now || next > now + FURTHEST_TURN) return now
  return next <= now + LONGEST_WAIT ? next : undefined
}
