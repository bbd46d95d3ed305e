import type { SQLInputValue } from 'node:sqlite'
import type { Dimension } from '../../usage/dimension.ts'
import type { Span } from '../hours.ts'
import type {
  HeldReason,
  LaneAnswer,
  LedgerStatus,
  RecordEntry,
  RecordState,
  RecordsQuery,
  StatementLine,
  StatementQuery,
} from '../ledger.ts'
import { addAmount, hoursOf, isPeriod, limitOf, Statement, unsettledFigures } from '../rules/accounting.ts'
import {
  ACCOUNT,
  accountOf,
  dimensionOf,
  isRecordId,
  LANE_ANSWERS,
  laneAnswerOf,
  recordEntryOf,
  totalsOf,
} from '../sql/rows.ts'
import { notCounted, waitingUsage } from './counters.ts'
import { type Database, hoursIn, LISTED } from './database.ts'
import { openHours, openUsage } from './open-usage.ts'
import { usageBySpan } from './series.ts'

/** The SQLite ledger's reports: statement, records and status. Callers give one unchanging view. */

// The * last: when another process adds a column, Node 22 and some later ones read as many as before once more.
const RECORD = `SELECT lane.region, dimension.name AS dimension, ${ACCOUNT}, record.*
  FROM record JOIN lane ON lane.id = record.lane JOIN series ON series.id = record.series
  JOIN account ON account.id = series.account JOIN dimension ON dimension.id = series.dimension`

/** The records that `condition` names. */
function recordEntries(database: Database, condition: string, ...values: SQLInputValue[]): RecordEntry[] {
  return database.all(`${RECORD} WHERE ${condition}`, ...values).map(recordEntryOf)
}

/** The records with these ids. */
export function entriesOf(database: Database, ids: readonly number[]): RecordEntry[] {
  if (ids.length === 0) return []
  const among = `record.id IN ${LISTED} ORDER BY record.id`
  return recordEntries(database, among, JSON.stringify(ids))
}

export function records(database: Database, query: RecordsQuery): RecordEntry[] {
  const [condition, values] = conditionOf(query, 'record')
  const state = query.state === undefined ? '' : ` AND ${UNSETTLED[query.state] ?? 'record.state = ?'}`
  return recordEntries(
    database,
    `${condition}${state} ORDER BY record.hour DESC, record.id DESC LIMIT ?`,
    ...[...values, ...(state.endsWith('?') && query.state ? [query.state] : []), limitOf(query)],
  )
}

/** By the index of the state, so that the settled ones are not gone through. */
const UNSETTLED: Partial<Record<RecordState, string>> = {
  pending: "record.id IN (SELECT id FROM record WHERE state = 'pending')",
  held: "record.id IN (SELECT id FROM record WHERE state = 'held')",
}

export function laneAnswers(database: Database): LaneAnswer[] {
  return database.all(LANE_ANSWERS).map(row => laneAnswerOf(row))
}

export function dimensions(database: Database): Dimension[] {
  return database.all('SELECT * FROM dimension ORDER BY id').map(dimensionOf)
}

export function statementLines(database: Database, query: StatementQuery): StatementLine[] {
  const period = isPeriod(query)
  const statement = new Statement(query)
  const [whose, names] = conditionOf(query, 'series')
  const known: number[] = []
  for (const row of database.all(
    `SELECT series.id, series.recorded, series.included, series.metered, series.balance, ${ACCOUNT}, dimension.name, dimension.unit,
            dimension.base_unit, dimension.size, dimension.max_quantity
     FROM series JOIN account ON account.id = series.account JOIN dimension ON dimension.id = series.dimension
     WHERE ${whose} ORDER BY account.kind, account.key, dimension.name`,
    ...names,
  )) {
    statement.addSeries(row.id as number, accountOf(row), dimensionOf(row), totalsOf(row))
    known.push(row.id as number)
  }
  const span = query.by === undefined ? '0' : SPANS[query.by]
  const few = query.customer === undefined ? undefined : known
  const { from, to } = hoursOf(query)
  const open = { hours: openHours(database, from, to), ...(few !== undefined && { series: few }) }
  for (const { series, hour, amount } of openUsage(database, open)) statement.addUsage(series, hour, amount)
  if (period) {
    const [condition, values] = usageWithin(database, query, few)
    for (const { series, span: hour, amount } of usageBySpan(database, span, condition, ...values)) {
      statement.addUsage(series, hour, amount)
    }
  }
  const [condition, values] = period ? recordsWithin(query, few) : ['true', []]
  if (period) {
    for (const row of database.all(`SELECT series, ${span} AS span, amount FROM drawn WHERE ${condition}`, ...values)) {
      statement.addIncluded(row.series as number, row.span as number, BigInt(row.amount as string))
    }
  }
  // Each state by its own name, so that each finds its index and none reads the settled ones without need.
  for (const state of period ? (['metered', 'pending', 'held'] as const) : (['pending', 'held'] as const)) {
    for (const row of database.all(
      `SELECT series, reason, size, sum(quantity) AS quantity, iif(reason IS 'restored', hour, ${span}) AS span
       FROM record WHERE state = '${state}' AND ${condition} GROUP BY series, reason, size, span`,
      ...values,
    )) {
      const { series, span: hour, reason } = row as { series: number; span: number; reason: HeldReason | null }
      const quantity = BigInt(row.quantity as number)
      statement.addRecords(series, hour, { state, reason, quantity, amount: quantity * BigInt(row.size as string) })
    }
  }
  return statement.lines()
}

/** The beginning of the hour, day or month of an hour. */
const SPANS: Readonly<Record<Span, string>> = {
  hour: 'hour',
  day: 'hour - hour % 86400000',
  month: "unixepoch(hour / 1000, 'unixepoch', 'start of month') * 1000",
}

export function statusOf(database: Database): LedgerStatus {
  // By size, since amounts are more than SQLite can add up.
  const unsettled = (['pending', 'held'] as const).flatMap(state =>
    database
      .all(
        `SELECT dimension.name AS dimension, reason, record.size, count(*) AS records, sum(quantity) AS quantity
         FROM record JOIN series ON series.id = record.series JOIN dimension ON dimension.id = series.dimension
         WHERE state = '${state}' GROUP BY dimension.name, reason, record.size`,
      )
      .map(row => ({
        ...{ state, dimension: row.dimension as string, reason: row.reason as HeldReason | null },
        records: row.records as number,
        amount: BigInt(row.quantity as number) * BigInt(row.size as string),
      })),
  )
  const unattributed = new Map<string, bigint>()
  const named = new Map<number, string>()
  for (const { id, dimension, balance } of database.all(
    `SELECT series.id, dimension.name AS dimension, balance
     FROM account JOIN series ON series.account = account.id JOIN dimension ON dimension.id = series.dimension
     WHERE account.kind = 'unattributed' ORDER BY dimension.name`,
  )) {
    named.set(id as number, dimension as string)
    addAmount(unattributed, dimension as string, BigInt(balance as string))
  }
  for (const { series, amount } of openUsage(database, { hours: openHours(database), series: [...named.keys()] })) {
    addAmount(unattributed, named.get(series) as string, amount)
  }
  // By the index of what is pending: the plus keeps SQLite from going through all hours from the first.
  const oldest = database.get("SELECT min(+hour) AS hour FROM record WHERE state = 'pending'")?.hour
  const closed = closedThrough(database)
  return {
    ...unsettledFigures(unsettled),
    unattributed: [...unattributed].map(([dimension, amount]) => ({ dimension, amount })),
    ...(typeof oldest === 'number' && { oldestPendingHour: oldest }),
    ...(closed !== undefined && { closedThrough: closed }),
    waiting: waitingUsage(database),
    notCounted: notCounted(database),
  }
}

/** The last hour that was closed, be it by a clock that was ahead. */
export function closedThrough(database: Database): number | undefined {
  const closed = database.get('SELECT closed_through FROM ledger')?.closed_through
  return typeof closed === 'number' ? closed : undefined
}

/** The hours with usage in its series' totals, the oldest first. */
function closedHours(database: Database, { from, to }: { from: number; to: number }): number[] {
  const rows = database.all(
    `${hoursIn('usage')}
     UNION SELECT hour FROM large_usage WHERE hour >= ?1 AND hour < ?2 ORDER BY hour`,
    ...[from, to],
  )
  return rows.map(row => row.hour as number)
}

/** Which usage is of a period, and of some series, each of whose hours is looked up: an hour has the usage of all. */
function usageWithin(
  database: Database,
  query: StatementQuery,
  series: readonly number[] | undefined,
): [string, SQLInputValue[]] {
  if (series === undefined) return withinHours(query)
  const hours = closedHours(database, hoursOf(query))
  return [`hour IN ${LISTED} AND series IN ${LISTED}`, [JSON.stringify(hours), JSON.stringify(series)]]
}

/** Which records are of a period, and of some series. */
function recordsWithin(query: StatementQuery, series: readonly number[] | undefined): [string, SQLInputValue[]] {
  const [hours, bounds] = withinHours(query)
  return series === undefined
    ? [hours, bounds]
    : [`${hours} AND series IN ${LISTED}`, [...bounds, JSON.stringify(series)]]
}

function conditionOf(query: RecordsQuery, table: 'record' | 'series'): [string, SQLInputValue[]] {
  const conditions = ['true']
  const values: SQLInputValue[] = []
  if (query.customer !== undefined) {
    const whose = '? IN (account.key, account.account_id, account.customer_identifier, account.license_arn)'
    // By the index of series and hours: else all customers' records of each hour are gone through.
    const series = `SELECT series.id FROM account JOIN series ON series.account = account.id WHERE ${whose}`
    conditions.push(table === 'record' ? `record.series IN (${series})` : whose)
    values.push(query.customer)
  }
  if (query.dimension !== undefined) {
    conditions.push('dimension.name = ?')
    values.push(query.dimension)
  }
  if (table === 'record') {
    const [hours, bounds] = withinHours(query)
    const found = query.ids !== undefined || (query.state !== undefined && UNSETTLED[query.state] !== undefined)
    // With the plus SQLite does not go through the hours by their index.
    conditions.push(found ? hours.replaceAll('hour', '+hour') : hours)
    values.push(...bounds)
    if (query.ids !== undefined) {
      conditions.push(`record.id IN ${LISTED}`)
      values.push(JSON.stringify(query.ids.filter(isRecordId).map(Number)))
    }
  }
  return [conditions.join(' AND '), values]
}

function withinHours(query: Pick<StatementQuery, 'from' | 'to'>): [string, number[]] {
  const { from, to } = hoursOf(query)
  return ['hour >= ? AND hour < ?', [from, to]]
}
