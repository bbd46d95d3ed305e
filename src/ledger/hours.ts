/** Hours and windows, as AWS Marketplace counts them: in UTC. Times are milliseconds since the epoch. */

export const SECOND = 1000
export const MINUTE = 60 * SECOND
export const HOUR = 60 * MINUTE
export const DAY = 24 * HOUR

/** The first millisecond of the hour that holds `time`. */
export function hourOf(time: number): number {
  return Math.floor(time / HOUR) * HOUR
}

/** `time` without its fraction of a second: the wire has whole seconds. */
export function wholeSecond(time: number): number {
  return Math.floor(time / SECOND) * SECOND
}

/**
 * When AWS stops taking usage of an hour: after 24 hours, or when the billing month closes, at 06:00 UTC on the 1st.
 * The 24 hours are counted from the start of the hour, since AWS rounds a timestamp down to it.
 */
export function windowClosesAt(hour: number): number {
  const date = new Date(hour)
  return Math.min(hour + DAY, Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1, 6))
}

/** What a statement is divided by, in UTC. */
export type Span = 'hour' | 'day' | 'month'

/** The hour, day or month that an hour is in: from its first millisecond up to, but not with, its end. */
export function spanOf(hour: number, by: Span): { from: number; to: number } {
  const date = new Date(hour)
  const [year, month, day] = [date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate()]
  switch (by) {
    case 'hour':
      return { from: hour, to: hour + HOUR }
    case 'day':
      return { from: Date.UTC(year, month, day), to: Date.UTC(year, month, day + 1) }
    case 'month':
      return { from: Date.UTC(year, month), to: Date.UTC(year, month + 1) }
  }
}

/** How long a writer is known that brings nothing in, where each that ever was would make the ledger slower. */
export const WRITERS_KEPT = 400 * DAY
