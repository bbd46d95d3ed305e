import type { SQLInputValue } from 'node:sqlite'
import type { Account } from '../../usage/account.ts'
import { LedgerError } from '../errors.ts'
import type { Lane } from '../ledger.ts'
import { type ClosedSeries, type ClosingSeries, unclosed } from '../rules/closing.ts'
import { SERIES, seriesOf } from '../sql/rows.ts'
import { amountOf, type Database } from './database.ts'

/** Accounts, dimensions and series in the SQLite ledger: their ids, and their running totals. */

/** A series, with what closing and deciding need to know of its account and dimension. */
export interface Series extends Omit<ClosingSeries, 'probeAt' | 'taken'> {
  readonly id: number
  recorded: bigint
  balance: bigint
  readonly account: number
  readonly product: string
  readonly identity: Lane['identity']
}

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

export function seriesWhere(database: Database, condition: string, ...values: SQLInputValue[]): Series[] {
  const rows = database.all(
    `SELECT ${SERIES} FROM series JOIN account ON account.id = series.account
     JOIN dimension ON dimension.id = series.dimension WHERE ${condition}`,
    ...values,
  )
  return rows.map(seriesOf)
}

/** Brings open usage into its series' totals. Returns those series; whoever calls saves them. */
export function fold(database: Database, condition: string, ...values: SQLInputValue[]): Series[] {
  const amounts = database.all(
    `SELECT series, CAST(sum(whole) AS TEXT) AS whole, sum(millionths) AS millionths FROM open_usage
     WHERE ${condition} GROUP BY series`,
    ...values,
  )
  if (amounts.length === 0) return []
  const found = seriesWhere(database, `series.id IN (SELECT series FROM open_usage WHERE ${condition})`, ...values)
  const byId = new Map(found.map(series => [series.id, series]))
  for (const row of amounts) {
    const series = byId.get(row.series as number)
    if (series === undefined) {
      throw new LedgerError('ERR_LEDGER_CORRUPT', `There is usage of series ${row.series}, which is not there.`)
    }
    series.recorded += amountOf(row)
    series.balance += amountOf(row)
  }
  database.run(
    `INSERT INTO usage (hour, series, whole, millionths)
     SELECT hour, series, whole, millionths FROM open_usage WHERE ${condition} ${ADD_TO_WHAT_IS_THERE}`,
    ...values,
  )
  database.run(`DELETE FROM open_usage WHERE ${condition}`, ...values)
  return found
}

/** Writes a series' totals down. */
export function saveSeries(database: Database, series: Series, closed: ClosedSeries = unclosed(series)): void {
  const { balance, approved, unfrozen } = closed
  database.run(
    'UPDATE series SET recorded = ?, balance = ?, approved = ?, unfrozen = ? WHERE id = ?',
    ...[String(series.recorded), String(balance), approved, unfrozen ? 1 : 0, series.id],
  )
}
