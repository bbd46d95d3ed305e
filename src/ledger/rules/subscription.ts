import { DAY, HOUR, hourOf } from '../hours.ts'

/**
 * Customers that AWS says are not subscribed, in one place for every engine. Each hour's record asks AWS again, and is
 * held where it says no; what else is in the balance, of hours before, is held without asking. Where usage is to be
 * rolled forward instead, it stays in the balance, but for one record now and then that sees whether they are back.
 */

/** An account's state. Times are milliseconds since the epoch. */
export interface Blocking {
  /** When AWS first said that it is not subscribed; null while it is. */
  readonly blockedAt: number | null
  /** When to probe it, where usage is rolled forward; null while a probe is on its way. */
  readonly probeAt: number | null
  readonly probeDelay: number
}

export const SUBSCRIBED: Blocking = { blockedAt: null, probeAt: null, probeDelay: 0 }

/** It is probed after an hour, then after twice as long each time, up to a day. */
const FIRST_PROBE_DELAY = HOUR
const LAST_PROBE_DELAY = DAY

/** After AWS said that it is not subscribed. */
export function block(before: Blocking, now: number): Blocking {
  if (before.blockedAt !== null) return before
  return { blockedAt: now, probeAt: now + FIRST_PROBE_DELAY, probeDelay: FIRST_PROBE_DELAY }
}

/** After a probe ended in another way than `Success`. */
export function putOff(before: Blocking, now: number): Blocking {
  if (before.blockedAt === null) return before
  const probeDelay = Math.min(2 * before.probeDelay, LAST_PROBE_DELAY)
  return { ...before, probeAt: now + probeDelay, probeDelay }
}

/** Whether it is time for a probe. */
export function probeIsDue(probeAt: number | null, now: number): boolean {
  // A wait longer than the longest is from a clock that was ahead.
  return probeAt !== null && (hourOf(probeAt) <= now || probeAt > now + LAST_PROBE_DELAY)
}
