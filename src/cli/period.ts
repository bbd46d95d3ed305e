import { DAY, HOUR, hourOf, MINUTE } from '../ledger/hours.ts'
import { CommandLineError } from './errors.ts'

/** Whole hours: from the first millisecond of one up to, but not with, the first of another. */
export interface Period {
  readonly from?: number
  readonly to?: number
}

interface Span {
  readonly start: number
  readonly end: number
}

const BACK = { m: MINUTE, h: HOUR, d: DAY, w: 7 * DAY }

export const TIME_HELP = '2026-11, 2026-11-21, 2026-11-21T09, 2026-11-21T09:30Z (UTC), or 24h, 7d (ago)'

/**
 * From the beginning of what `from` names to the end of what `to` names, so that from 2026-11 to 2026-11 is all of
 * November. A ledger counts in hours: those that the period touches count whole.
 */
export function parsePeriod(from: string | undefined, to: string | undefined, now: number): Period {
  const start = from === undefined ? undefined : hourOf(parseSpan(from, now).start)
  const end = to === undefined ? undefined : Math.ceil(parseSpan(to, now).end / HOUR) * HOUR
  if (start !== undefined && end !== undefined && start >= end) {
    throw new CommandLineError(`Expected --from to be before --to, got ${from} and ${to}.`)
  }
  return { ...(start !== undefined && { from: start }), ...(end !== undefined && { to: end }) }
}

/** The first instant of what a text names. */
export function parseTime(text: string, now: number): number {
  return parseSpan(text, now).start
}

function parseSpan(text: string, now: number): Span {
  const [, count, unit] = /^(\d{1,6})([mhdw])$/.exec(text) ?? []
  if (count !== undefined) return instant(now - Number(count) * BACK[unit as keyof typeof BACK])
  const span = calendarSpan(text) ?? clockTime(text)
  if (span === undefined)
    throw new CommandLineError(`Expected a time such as ${TIME_HELP}, got ${JSON.stringify(text)}.`)
  return span
}

const instant = (time: number): Span => ({ start: time, end: time })

/** A year, month, day or hour. */
function calendarSpan(text: string): Span | undefined {
  const parts = /^(\d{4})(?:-(\d\d)(?:-(\d\d)(?:[T ](\d\d)Z?)?)?)?$/.exec(text)?.slice(1)
  if (parts === undefined) return undefined
  const [year = 0, month, day, hour] = parts.map(part => (part === undefined ? undefined : Number(part)))
  const at = (years: number, months: number, days: number, hours: number) =>
    Date.UTC(year + years, (month ?? 1) - 1 + months, (day ?? 1) + days, (hour ?? 0) + hours)
  const start = at(0, 0, 0, 0)
  // Date would take the 30th of February for the 2nd of March.
  if (!new Date(start).toISOString().replace('T', ' ').startsWith(text.replace('T', ' ').replace('Z', ''))) {
    return undefined
  }
  if (hour !== undefined) return { start, end: at(0, 0, 0, 1) }
  if (day !== undefined) return { start, end: at(0, 0, 1, 0) }
  return { start, end: month === undefined ? at(1, 0, 0, 0) : at(0, 1, 0, 0) }
}

function clockTime(text: string): Span | undefined {
  const [, date, clock, zone = 'Z'] =
    /^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?)(Z|[+-]\d\d:\d\d)?$/.exec(text) ?? []
  if (date === undefined || calendarSpan(date) === undefined) return undefined
  const time = Date.parse(`${date}T${clock}${zone}`)
  return Number.isNaN(time) ? undefined : instant(time)
}
