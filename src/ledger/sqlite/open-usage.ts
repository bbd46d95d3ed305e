import { LedgerError } from '../errors.ts'
import { type Database, hoursIn, LISTED, type Row } from './database.ts'
import type { UsageRows } from './usage-rows.ts'

/**
 * The usage of open hours in the SQLite ledger. A row has that of 256 neighbouring series in an hour: an export changes
 * many of them at once, and with a row for each it would take three times as long. See `schema.ts`.
 */

const SERIES_PER_ROW = 256
const MILLION = 1_000_000

/** Which usage: of hours, and in them of some series, of those up to one, or of all. */
export interface OpenUsageQuery {
  readonly hours: readonly number[]
  readonly series?: readonly number[]
  readonly last?: number
}

export interface OpenUsage {
  readonly hour: number
  readonly series: number
  /** In millionths. */
  readonly amount: bigint
}

/** Whole units: a text where no number holds them. Of several, with spaces between them, they are the sum. */
type Whole = number | string

/** What a row holds: the place of a series in it, the whole units and the millionths of its amount, and so on, by place. */
type Amounts = (number | Whole)[]
const COLUMNS = 3

interface OpenRow {
  readonly hour: number
  readonly row: number
  readonly amounts: Amounts
}

/** Adds to what is there. */
export function addOpenUsage(database: Database, usage: UsageRows): void {
  for (const parts of Map.groupBy(partsOf(usage), ({ hour }) => hour).values()) addToHour(database, usage, parts)
}

/** The entries, from the first up to but not with the end, that are of one row. */
interface Part {
  readonly hour: number
  readonly row: number
  readonly first: number
  readonly end: number
}

function* partsOf(usage: UsageRows): Generator<Part> {
  for (let first = 0, end = 0; first < usage.length; first = end) {
    const hour = usage.hour(first)
    const row = rowOf(usage.series(first))
    while (end < usage.length && usage.hour(end) === hour && rowOf(usage.series(end)) === row) end += 1
    yield { hour, row, first, end }
  }
}

function addToHour(database: Database, usage: UsageRows, parts: readonly Part[]): void {
  const hour = parts[0]?.hour as number
  const rows = parts.map(({ row }) => row)
  const known = new Map(rowsNamed(database, hour, rows).map(({ row, amounts }) => [row, amounts]))
  const sums = parts.map(part => [hour, part.row, JSON.stringify(sumOf(known.get(part.row) ?? [], usage, part))])
  const instead = 'ON CONFLICT (hour, row) DO UPDATE SET amounts = excluded.amounts'
  database.insertRows('INSERT INTO open_usage (hour, row, amounts)', sums, instead)
}

/** Adds entries to a row's amounts, which it changes. Mostly each has one already. */
function sumOf(amounts: Amounts, usage: UsageRows, { row, first, end }: Part): Amounts {
  const added: Amounts = []
  let at = 0
  for (let entry = first; entry < end; entry += 1) {
    const place = usage.series(entry) - row * SERIES_PER_ROW
    while (at < amounts.length && (amounts[at] as number) < place) at += COLUMNS
    if (amounts[at] === place) addAt(amounts, at, usage, entry)
    else {
      if (added.at(-COLUMNS) !== place) added.push(place, 0, 0)
      addAt(added, added.length - COLUMNS, usage, entry)
    }
  }
  if (added.length === 0) return amounts
  if (amounts.length === 0) return added
  return [...each(amounts), ...each(added)].sort(([one], [other]) => one - other).flat()
}

function addAt(amounts: Amounts, at: number, usage: UsageRows, entry: number): void {
  const known = amounts[at + 1]
  const millionths = (amounts[at + 2] as number) + usage.millionths(entry)
  const carried = Math.trunc(millionths / MILLION)
  const whole = typeof known === 'number' ? known + usage.whole(entry) + carried : Number.NaN
  amounts[at + 1] = Number.isSafeInteger(whole)
    ? whole
    : String(wholeOf(known as Whole) + usage.amount(entry) / BigInt(MILLION) + BigInt(carried))
  amounts[at + 2] = millionths - carried * MILLION
}

const wholeOf = (whole: Whole): bigint =>
  typeof whole === 'number' ? BigInt(whole) : whole.split(' ').reduce((sum, part) => sum + BigInt(part), 0n)

export function* openUsage(database: Database, query: OpenUsageQuery): Generator<OpenUsage> {
  const isNamed = namedBy(query)
  for (const { hour, row, amounts } of rowsOf(database, query)) {
    for (const one of each(amounts)) {
      const series = row * SERIES_PER_ROW + one[0]
      if (isNamed(series)) yield { hour, series, amount: amountOf(one) }
    }
  }
}

/** Returns what it was. */
export function removeOpenUsage(database: Database, query: OpenUsageQuery): OpenUsage[] {
  const removed: OpenUsage[] = []
  const isNamed = namedBy(query)
  for (const { hour, row, amounts } of rowsOf(database, query)) {
    const left: Amounts = []
    for (const one of each(amounts)) {
      const series = row * SERIES_PER_ROW + one[0]
      if (isNamed(series)) removed.push({ hour, series, amount: amountOf(one) })
      else left.push(...one)
    }
    if (left.length === amounts.length) continue
    if (left.length === 0) database.run(`DELETE FROM ${OPEN_USAGE} WHERE hour = ? AND row = ?`, hour, row)
    else
      database.run(`UPDATE ${OPEN_USAGE} SET amounts = ? WHERE hour = ? AND row = ?`, JSON.stringify(left), hour, row)
  }
  return removed
}

type Each = [place: number, whole: Whole, millionths: number]

function* each(amounts: Amounts): Generator<Each> {
  for (let at = 0; at < amounts.length; at += COLUMNS) yield amounts.slice(at, at + COLUMNS) as Each
}

const amountOf = ([, whole, millionths]: Each): bigint => wholeOf(whole) * BigInt(MILLION) + BigInt(millionths)

function namedBy({ series, last = Number.MAX_SAFE_INTEGER }: OpenUsageQuery): (series: number) => boolean {
  const named = series && new Set(series)
  return one => named?.has(one) ?? one <= last
}

/** The hours with open usage, the oldest first. */
export function openHours(database: Database, from = 0, to = Number.MAX_SAFE_INTEGER): number[] {
  return database.all(hoursIn(OPEN_USAGE), from, to).map(({ hour }) => hour as number)
}

/**
 * The first series with usage in an hour, and the last of those that can be taken with it.
 *
 * @param most how many; a row is not divided
 */
export function nextSeries(
  database: Database,
  hour: number,
  most: number,
): { first: number; last: number } | undefined {
  let next: { first: number; last: number } | undefined
  for (let count = 0, from = 0; ; ) {
    const found = database.get(`${ROWS} WHERE hour = ? AND row >= ? ORDER BY row LIMIT 1`, hour, from)
    if (found === undefined) return next
    const { row, amounts } = openRowOf(found)
    count += amounts.length / COLUMNS
    if (next !== undefined && count > most) return next
    const [first, last] = [amounts[0], amounts.at(-COLUMNS)].map(place => row * SERIES_PER_ROW + (place as number))
    next = { first: next?.first ?? (first as number), last: last as number }
    from = row + 1
  }
}

/** By the hour, whatever ANALYZE has seen: where that was hardly any usage, SQLite would go through all of it. */
const OPEN_USAGE = 'open_usage INDEXED BY open_usage_hour'
const ROWS = `SELECT hour, row, amounts FROM ${OPEN_USAGE}`

function* rowsOf(
  database: Database,
  { hours, series, last = Number.MAX_SAFE_INTEGER }: OpenUsageQuery,
): Generator<OpenRow> {
  const rows = series && [...new Set(series.map(rowOf))]
  for (const hour of hours) {
    if (rows !== undefined) yield* rowsNamed(database, hour, rows)
    else yield* database.all(`${ROWS} WHERE hour = ? AND row <= ? ORDER BY row`, hour, rowOf(last)).map(openRowOf)
  }
}

function rowsNamed(database: Database, hour: number, rows: readonly number[]): OpenRow[] {
  return database.all(`${ROWS} WHERE hour = ? AND row IN ${LISTED}`, hour, JSON.stringify(rows)).map(openRowOf)
}

/** @throws LedgerError `ERR_LEDGER_CORRUPT` */
function openRowOf({ hour, row, amounts: text }: Row): OpenRow {
  const amounts = amountsOf(text as string)
  if (amounts === undefined) {
    const series = (row as number) * SERIES_PER_ROW
    throw new LedgerError(
      'ERR_LEDGER_CORRUPT',
      `The open usage of hour ${hour} is damaged, of the series from ${series} to ${series + SERIES_PER_ROW - 1}. Restore a backup.`,
    )
  }
  return { hour: hour as number, row: row as number, amounts }
}

/** Undefined where they are not as this package writes them: SQLite sees no damage in a text. */
function amountsOf(json: string): Amounts | undefined {
  let amounts: unknown
  try {
    amounts = JSON.parse(json)
  } catch {
    return undefined
  }
  if (!Array.isArray(amounts) || amounts.length === 0 || amounts.length % COLUMNS !== 0) return undefined
  let last = -1
  for (let at = 0; at < amounts.length; at += COLUMNS) {
    const [place, whole] = [amounts[at], amounts[at + 1]]
    if (!(Number.isInteger(place) && place > last && place < SERIES_PER_ROW)) return undefined
    if (!(Number.isSafeInteger(whole) || (typeof whole === 'string' && WHOLE.test(whole)))) return undefined
    if (!Number.isSafeInteger(amounts[at + 2])) return undefined
    last = place
  }
  return amounts
}

const WHOLE = /^-?\d+( -?\d+)*$/

const rowOf = (series: number): number => Math.floor(series / SERIES_PER_ROW)
