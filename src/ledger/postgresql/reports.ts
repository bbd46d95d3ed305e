import type { Dimension } from '../../usage/dimension.ts'
import type { Span } from '../hours.ts'
import type { LaneAnswer, LedgerStatus, RecordEntry, RecordsQuery, StatementLine, StatementQuery } from '../ledger.ts'
import {
  type FrozenRecords,
  hoursOf,
  isPeriod,
  limitOf,
  Statement,
  type UnsettledRecords,
  unsettledFigures,
} from '../rules/accounting.ts'
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
import type { Database, Transaction, Value } from './database.ts'
import { ledgerRow } from './ledger-row.ts'

/**
 * The PostgreSQL ledger's reports: statement, records and status. Callers fold the journal first, and give one
 * unchanging view.
 */

/** What record entries are made of. */
export const recordsFrom = (source: string) => `SELECT record.*, lane.region, dimension.name AS dimension, ${ACCOUNT}
  FROM ${source} AS record JOIN lane ON lane.id = record.lane JOIN series ON series.id = record.series
  JOIN account ON account.id = series.account JOIN dimension ON dimension.id = series.dimension`

/** The records that `condition` names. */
export async function recordEntries(
  transaction: Transaction,
  condition: string,
  ...values: Value[]
): Promise<RecordEntry[]> {
  return (await transaction.all(`${recordsFrom('record')} WHERE ${condition}`, ...values)).map(recordEntryOf)
}

/** The records with these ids. */
export async function entriesOf(database: Database, ids: readonly number[]): Promise<RecordEntry[]> {
  if (ids.length === 0) return []
  return await database.read('read records', transaction =>
    recordEntries(transaction, 'record.id = ANY($1::bigint[]) ORDER BY record.id', ids),
  )
}

export async function records(transaction: Transaction, query: RecordsQuery): Promise<RecordEntry[]> {
  const { customer = null, dimension = null, state = null, ids } = query
  const { from, to } = hoursOf(query)
  // With the sum the planner does not go through the hours by their index.
  const hour = ids === undefined ? 'record.hour' : '(record.hour + 0)'
  return await recordEntries(
    transaction,
    `${WHOSE} AND ($3::text IS NULL OR record.state = $3) AND ${hour} >= $4 AND ${hour} < $5
     ${ids === undefined ? '' : 'AND record.id = ANY($7::bigint[])'} ORDER BY ${hour} DESC, record.id DESC LIMIT $6`,
    ...[customer, dimension, state, from, to, limitOf(query), ...(ids === undefined ? [] : [ids.filter(isRecordId)])],
  )
}

export async function laneAnswers(transaction: Transaction): Promise<LaneAnswer[]> {
  return (await transaction.all(LANE_ANSWERS)).map(laneAnswerOf)
}

export async function dimensions(transaction: Transaction): Promise<Dimension[]> {
  return (await transaction.all('SELECT * FROM dimension ORDER BY id')).map(dimensionOf)
}

/** How many series are looked up one by one. */
const FEW_SERIES = 100

const WHOSE = `($1::text IS NULL OR $1 IN (account.key, account.account_id, account.customer_identifier, account.license_arn))
  AND ($2::text IS NULL OR dimension.name = $2)`

export async function statementLines(transaction: Transaction, query: StatementQuery): Promise<StatementLine[]> {
  const { customer = null, dimension = null } = query
  const period = isPeriod(query)
  const statement = new Statement(query)
  const series = await transaction.all(
    `SELECT series.id, series.recorded, series.included, series.metered, series.balance, ${ACCOUNT}, dimension.name, dimension.unit,
            dimension.base_unit, dimension.size, dimension.max_quantity
     FROM series JOIN account ON account.id = series.account JOIN dimension ON dimension.id = series.dimension
     WHERE ${WHOSE} ORDER BY account.kind, account.key, dimension.name`,
    ...[customer, dimension],
  )
  for (const row of series) {
    statement.addSeries(row.id as number, accountOf(row), dimensionOf(row), totalsOf(row))
  }
  const hours = hoursOf(query)
  const span = query.by === undefined ? '0::bigint' : SPANS[query.by]
  // A few are looked up one by one, and not found among those of all customers.
  const few = series.length <= FEW_SERIES ? series.map(row => row.id as number) : undefined
  for (const table of period ? (['usage', 'open_usage'] as const) : (['open_usage'] as const)) {
    const [condition, values] = await usageWithin(transaction, table, hours, few)
    const usage = await transaction.all(
      `SELECT series, ${span} AS span, sum(amount) AS amount FROM ${table} WHERE ${condition} GROUP BY 1, 2`,
      ...values,
    )
    for (const row of usage) statement.addUsage(row.series as number, row.span as number, row.amount as bigint)
  }
  const drawn = period
    ? await transaction.all(
        `SELECT series, ${span} AS span, sum(amount) AS amount FROM drawn
         WHERE hour >= $1 AND hour < $2 AND ($3::bigint[] IS NULL OR series = ANY($3)) GROUP BY 1, 2`,
        ...[hours.from, hours.to, few ?? null],
      )
    : []
  for (const row of drawn) statement.addIncluded(row.series as number, row.span as number, row.amount as bigint)
  // Each state by its own name, so that each finds its index and none reads the settled ones without need.
  const states = period ? ['metered', 'pending', 'held'] : ['pending', 'held']
  const records = await transaction.all(
    states
      .map(
        state => `SELECT series, state, reason, sum(quantity)::numeric AS quantity, sum(quantity * size) AS amount,
            CASE WHEN reason = 'restored' THEN hour ELSE ${span} END AS span
          FROM record WHERE state = '${state}' AND hour >= $1 AND hour < $2 AND ($3::bigint[] IS NULL OR series = ANY($3))
          GROUP BY series, state, reason, span`,
      )
      .join(' UNION ALL '),
    ...[hours.from, hours.to, few ?? null],
  )
  for (const { series, span: hour, ...rest } of records) {
    statement.addRecords(series as number, hour as number, rest as unknown as FrozenRecords)
  }
  return statement.lines()
}

/** The beginning of the hour, day or month of an hour. */
const SPANS: Readonly<Record<Span, string>> = {
  hour: 'hour',
  day: 'hour - hour % 86400000',
  month: "(extract(epoch FROM date_trunc('month', to_timestamp(hour / 1000) AT TIME ZONE 'UTC')) * 1000)::bigint",
}

/** Which usage is of a period, and of some series, each of whose hours is looked up: an hour has the usage of all. */
async function usageWithin(
  transaction: Transaction,
  table: 'usage' | 'open_usage',
  hours: { readonly from: number; readonly to: number },
  series: readonly number[] | undefined,
): Promise<[string, Value[]]> {
  if (series === undefined) return ['hour >= $1 AND hour < $2', [hours.from, hours.to]]
  const among = await hoursWithUsage(transaction, table, hours)
  return ['hour = ANY($1::bigint[]) AND series = ANY($2::bigint[])', [among, series]]
}

export async function statusOf(transaction: Transaction): Promise<LedgerStatus> {
  // Each state by its own name, so that each finds its index.
  const unsettled = await transaction.all(
    ['pending', 'held']
      .map(
        state => `SELECT state, dimension.name AS dimension, reason, count(*) AS records,
            sum(quantity * record.size) AS amount
          FROM record JOIN series ON series.id = record.series JOIN dimension ON dimension.id = series.dimension
          WHERE state = '${state}' GROUP BY state, dimension.name, reason`,
      )
      .join(' UNION ALL '),
  )
  const unattributed = await transaction.all(
    `SELECT dimension.name AS dimension, sum(series.balance + coalesce(open.amount, 0)) AS amount
     FROM account JOIN series ON series.account = account.id JOIN dimension ON dimension.id = series.dimension
     LEFT JOIN LATERAL (
       SELECT sum(amount) AS amount FROM open_usage
       WHERE open_usage.series = series.id AND open_usage.hour = ANY($1::bigint[])
     ) AS open ON true
     WHERE account.kind = 'unattributed' GROUP BY dimension.name ORDER BY dimension.name`,
    await openHours(transaction),
  )
  const oldest = (await transaction.get(OLDEST_PENDING))?.hour
  const { closedThrough } = await ledgerRow(transaction)
  return {
    ...unsettledFigures(unsettled as unknown as UnsettledRecords[]),
    unattributed: unattributed.map(row => ({ dimension: row.dimension as string, amount: row.amount as bigint })),
    ...(typeof oldest === 'number' && { oldestPendingHour: oldest }),
    ...(closedThrough !== undefined && { closedThrough }),
    waiting: await waitingUsage(transaction),
    notCounted: await notCounted(transaction),
  }
}

/** With the sum the planner does not look for the first among the settled ones, hour by hour since the ledger began. */
const OLDEST_PENDING = "SELECT min(hour + 0) AS hour FROM record WHERE state = 'pending'"

/** The hours with usage that is not in its series' totals yet, the oldest first. */
export async function openHours(transaction: Transaction): Promise<number[]> {
  return await hoursWithUsage(transaction, 'open_usage', hoursOf({}))
}

async function hoursWithUsage(
  transaction: Transaction,
  table: 'usage' | 'open_usage',
  { from, to }: { readonly from: number; readonly to: number },
): Promise<number[]> {
  // One look into the index for each hour, however many series it has.
  const rows = await transaction.all(
    `WITH RECURSIVE hours (hour) AS (
       SELECT min(hour) FROM ${table} WHERE hour >= $1
       UNION ALL SELECT (SELECT min(hour) FROM ${table} WHERE hour > hours.hour) FROM hours WHERE hour < $2
     ) SELECT hour FROM hours WHERE hour < $2`,
    ...[from, to],
  )
  return rows.map(row => row.hour as number)
}
