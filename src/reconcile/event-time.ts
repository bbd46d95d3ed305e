import { SECOND } from '../ledger/hours.ts'

const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec']
/** `Nov 3, 2026 10:20:00 AM`, with a comma after the year or a narrow space before AM in newer Javas. */
const WORDS = /^([a-z]{3}) (\d{1,2}), (\d{4}),? (\d{1,2}):(\d\d):(\d\d)[\s\u202f]([ap])m$/i
const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?$/i
const MILLISECONDS = 1e11

/**
 * A time of an event, in milliseconds since the epoch. CloudTrail writes a usage record's as words; ISO 8601 and numbers
 * are not excluded by what AWS says. All are UTC where they name no other.
 *
 * @returns undefined where it is none of these
 */
export function eventTime(value: unknown): number | undefined {
  if (typeof value === 'number' || (typeof value === 'string' && /^\d{9,14}(\.\d+)?$/.test(value))) {
    const number = Number(value)
    if (!(number >= 0 && number < 8.64e15)) return undefined
    return number < MILLISECONDS ? Math.round(number * SECOND) : number
  }
  if (typeof value !== 'string') return undefined
  const text = value.trim()
  const words = WORDS.exec(text)
  if (words !== null) return wordsTime(words.slice(1))
  const iso = ISO.exec(text)
  if (iso === null) return undefined
  const time = Date.parse(iso[3] === undefined ? `${text}Z` : text)
  return Number.isNaN(time) ? undefined : time
}

function wordsTime([month = '', day, year, hour, minute, second, half = '']: string[]): number | undefined {
  const [monthNumber, dayNumber, hours] = [MONTHS.indexOf(month.toLowerCase()), Number(day), Number(hour)]
  if (monthNumber < 0 || hours < 1 || hours > 12 || Number(minute) > 59 || Number(second) > 59) return undefined
  const midday = half.toLowerCase() === 'p' ? 12 : 0
  const time = Date.UTC(Number(year), monthNumber, dayNumber, (hours % 12) + midday, Number(minute), Number(second))
  return new Date(time).getUTCDate() === dayNumber ? time : undefined
}
