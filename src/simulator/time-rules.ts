const HOUR = 3_600_000
const WINDOW = 24 * HOUR
const MONTH_GRACE = 6 * HOUR

/** The start of the hour that a timestamp is rounded down to. Milliseconds, as all times here. */
export const hourOf = (timestamp: number): number => Math.floor(timestamp / HOUR) * HOUR

/** When the month of `timestamp` closes: 06:00 UTC on the 1st of the next. */
export function monthCloses(timestamp: number): number {
  const date = new Date(timestamp)
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1) + MONTH_GRACE
}

/** Why usage of `timestamp` is not accepted at `now`, or nothing if it is. */
export function timestampRefusal(timestamp: number, now: number): string | undefined {
  if (timestamp > now) return 'is in the future'
  // AWS: not accepted "24 hours or more after an event".
  if (now - timestamp >= WINDOW) return 'is 24 hours or more in the past'
  if (now >= monthCloses(timestamp)) return 'is in a billing month that closed at 06:00 UTC on the 1st'
  return undefined
}

/** How long after the end of an agreement its usage is still accepted. */
export const AGREEMENT_GRACE = HOUR
