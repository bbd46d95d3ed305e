import type { SQLInputValue } from 'node:sqlite'
import type { Account } from '../../usage/account.ts'
import { hourOf } from '../hours.ts'
import type { Sold } from '../ledger.ts'
import { idleSince } from '../rules/agreement.ts'
import { Piece } from '../sql/piece.ts'
import { agreementOf, SERIES, twinAt } from '../sql/piece-rows.ts'
import { amountOf, type Database } from './database.ts'
import { readShares, takeOpenShares } from './shares.ts'

/** Accounts, dimensions and series in the SQLite ledger: their ids, and their running totals. */

const MILLION = 1_000_000n

/**
 * Amounts from so many whole units on are kept as text. Of smaller ones integers of 64 bits hold nine million in one
 * hour of a series; a sum that passed them would be in the way of all that comes after it.
 */
export const LARGE = 1_000_000_000_000

/** Where usage is: of hours that are open, and what is in its series' totals. */
export type UsageTable = 'open_usage' | 'usage'

export const ADD_TO_WHAT_IS_THERE = `
  ON CONFLICT (hour, series) DO UPDATE
  SET whole = whole + excluded.whole + (millionths + excluded.millionths) / 1000000,
      millionths = (millionths + excluded.millionths) % 1000000`

export function accountId(database: Database, account: Account): number {
  const found = database.get('SELECT id, product FROM account WHERE key = ?', account.key)
  if (found !== undefined) {
    // Our label of a licence's product may change; what AWS bills by stays.
    if (found.product !== account.product) {
      database.run('UPDATE account SET product = ? WHERE id = ?', account.product, found.id as number)
    }
    return found.id as number
  }
  const customer = account.kind === 'customer' ? account : undefined
  const unattributed = account.kind === 'unattributed' ? account : undefined
  return database.insert(
    `INSERT INTO account
     (key, kind, product, account_id, customer_identifier, license_arn, unattributed_reason, evidence)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
    ...[account.key, account.kind, account.product],
    ...[customer?.accountId ?? null, customer?.customerIdentifier ?? null, customer?.licenseArn ?? null],
    ...[unattributed?.reason ?? null, unattributed?.evidence ?? null],
  )
}

export function seriesId(database: Database, account: number, dimension: number, hour: number): number {
  const found = database.get('SELECT id FROM series WHERE account = ? AND dimension = ?', account, dimension)
  return (
    (found?.id as number | undefined) ??
    database.insert(
      'INSERT INTO series (account, dimension, first_hour) VALUES (?, ?, ?)',
      ...[account, dimension, hour],
    )
  )
}

const TWIN = twinAt('?1')

/**
 * The series that a condition names.
 *
 * @param hour of which they may have a record
 */
export function loadSeries(database: Database, hour: number, condition: string, ...values: SQLInputValue[]): Piece {
  const piece = new Piece()
  const rows = database.all(
    `SELECT ${SERIES}, EXISTS (SELECT 1 FROM record WHERE record.series = series.id AND record.hour = ?1) AS taken,
       ${TWIN} AS twin
     FROM series JOIN account ON account.id = series.account JOIN dimension ON dimension.id = series.dimension
     WHERE ${condition}`,
    ...[hour, ...values],
  )
  for (const row of rows) piece.addSeries(row)
  readShares(database, piece)
  return piece
}

/**
 * Brings the open usage that a condition names into its series' totals, which whoever calls saves.
 *
 * @param hour of which they may have a record
 */
export function takeOpenUsage(database: Database, hour: number, condition: string, ...values: SQLInputValue[]): Piece {
  const amounts = [...usageOf(database, 'open_usage', condition, ...values)]
  if (amounts.length === 0) return new Piece()
  const ofUsage = `series.id IN (SELECT series FROM open_usage WHERE ${condition}
    UNION ALL SELECT series FROM large_usage WHERE open = 1 AND ${condition})`
  const piece = loadSeries(database, hour, ofUsage, ...values, ...values)
  for (const [series, amount] of amounts) piece.addUsage(series, amount)
  takeOpenShares(database, piece, condition, ...values)
  database.run(
    `INSERT INTO usage (hour, series, whole, millionths)
     SELECT hour, series, whole, millionths FROM open_usage WHERE ${condition} ${ADD_TO_WHAT_IS_THERE}`,
    ...values,
  )
  database.run(`DELETE FROM open_usage WHERE ${condition}`, ...values)
  const large = database.all(`SELECT * FROM large_usage WHERE open = 1 AND ${condition}`, ...values)
  for (const { series, hour, amount } of large) {
    addLargeUsage(database, 'usage', series as number, hour as number, BigInt(amount as string))
  }
  if (large.length > 0) database.run(`DELETE FROM large_usage WHERE open = 1 AND ${condition}`, ...values)
  return piece
}

/** The usage that a condition names, in millionths. A series may come twice, with a part each time. */
export function* usageOf(
  database: Database,
  table: UsageTable,
  condition: string,
  ...values: SQLInputValue[]
): Generator<[series: number, amount: bigint]> {
  for (const { series, amount } of usageBySpan(database, table, '0', condition, ...values)) yield [series, amount]
}

export interface SpanUsage {
  readonly series: number
  readonly span: number
  readonly amount: bigint
}

/** The same, for the values of an expression of the hour apart. */
export function* usageBySpan(
  database: Database,
  table: UsageTable,
  span: string,
  condition: string,
  ...values: SQLInputValue[]
): Generator<SpanUsage> {
  for (const row of database.all(
    `SELECT series, ${span} AS span, CAST(sum(whole) AS TEXT) AS whole, sum(millionths) AS millionths FROM ${table}
     WHERE ${condition} GROUP BY series, span`,
    ...values,
  )) {
    yield { series: row.series as number, span: row.span as number, amount: amountOf(row) }
  }
  for (const { series, span: at, amount } of database.all(
    `SELECT series, ${span} AS span, amount FROM large_usage WHERE open = ? AND ${condition}`,
    ...[isOpen(table), ...values],
  )) {
    yield { series: series as number, span: at as number, amount: BigInt(amount as string) }
  }
}

export const isOpen = (table: UsageTable): number => (table === 'open_usage' ? 1 : 0)

/** Adds an amount of any size to an hour's usage, in millionths. */
export function addLargeUsage(
  database: Database,
  table: UsageTable,
  series: number,
  hour: number,
  amount: bigint,
): void {
  const key = [isOpen(table), hour, series]
  const known = database.get('SELECT amount FROM large_usage WHERE open = ? AND hour = ? AND series = ?', ...key)
  database.run(
    'INSERT OR REPLACE INTO large_usage (open, hour, series, amount) VALUES (?, ?, ?, ?)',
    ...[...key, String(BigInt((known?.amount as string | undefined) ?? 0) + amount)],
  )
}

/** Adds usage of an hour, in millionths. */
export function addUsage(database: Database, table: UsageTable, series: number, hour: number, amount: bigint): void {
  const whole = amount / MILLION
  if (whole >= LARGE || whole <= -LARGE) {
    addLargeUsage(database, table, series, hour, amount)
    return
  }
  database.run(
    `INSERT INTO ${table} (hour, series, whole, millionths) VALUES (?, ?, ?, ?) ${ADD_TO_WHAT_IS_THERE}`,
    ...[hour, series, whole, amount % MILLION],
  )
}

/** Customers whose agreements are in force have a series of all that they may use: what is idle is told to AWS, too. */
export function makeIdleSeries(database: Database, { products, dimensions }: Sold): void {
  const missing = database.all(MISSING, JSON.stringify(products), JSON.stringify(dimensions))
  for (const row of missing) {
    const since = idleSince(agreementOf(row))
    if (since !== undefined) seriesId(database, row.account as number, row.dimension as number, hourOf(since))
  }
}

const MISSING = `SELECT account.id AS account, account.agreement, dimension.id AS dimension FROM account, dimension
  WHERE account.agreement IS NOT NULL AND account.product IN (SELECT value FROM json_each(?1))
  AND dimension.name IN (SELECT value FROM json_each(?2))
  AND NOT EXISTS (SELECT 1 FROM series WHERE series.account = account.id AND series.dimension = dimension.id)`
