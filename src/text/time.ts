import { HOUR, MINUTE } from '../ledger/hours.ts'

/** `2026-11-21T09:30:00.000Z` */
export function iso(time: number): string {
  return new Date(time).toISOString()
}

/** As short as it is exact: an hour is `2026-11-21T09Z`, other times have minutes or seconds. */
export function shortTime(time: number): string {
  const text = iso(time)
  if (time % HOUR === 0) return `${text.slice(0, 13)}Z`
  if (time % MINUTE === 0) return `${text.slice(0, 16)}Z`
  return `${text.slice(0, 19)}Z`
}

/** How long it is from `now` to `time`: `3 h ago`, `in 25 min`. */
export function distance(time: number, now: number): string {
  const minutes = Math.round(Math.abs(time - now) / MINUTE)
  const text = minutes < 120 ? `${minutes} min` : minutes < 48 * 60 ? `${Math.round(minutes / 60)} h` : days(minutes)
  return time > now ? `in ${text}` : `${text} ago`
}

const days = (minutes: number) => `${Math.round(minutes / 60 / 24)} days`

/** The same time where this machine is, ` (Sat 10:05 CET here)`; nothing where that is UTC. */
export function here(time: number): string {
  if (new Date(time).getTimezoneOffset() === 0) return ''
  const parts = { weekday: 'short', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' } as const
  const text = new Intl.DateTimeFormat('en-GB', { ...parts, timeZoneName: 'short' }).format(time)
  return ` (${text.replace(',', '')} here)`
}
