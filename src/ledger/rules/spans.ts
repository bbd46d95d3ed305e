import { HOUR } from '../hours.ts'

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
