import type { SQLInputValue, SQLOutputValue } from 'node:sqlite'
import type { Account } from '../../usage/account.ts'
import { hourOf } from '../hours.ts'
import type { Sold } from '../ledger.ts'
import { idleSince } from '../rules/agreement.ts'
import { Piece } from '../sql/piece.ts'
import { agreementOf, SERIES, twinAt } from '../sql/piece-rows.ts'
import { amountOf, type Database, LISTED } from './database.ts'
import { type OpenUsage, type OpenUsageQuery, removeOpenUsage } from './open-usage.ts'
import { readShares, takeOpenShares } from './shares.ts'

/** Accounts, dimensions and series in the SQLite ledger: their ids, and their running totals. */

const MILLION = 1_000_000n

/**
 * Amounts from so many whole units on are kept as text. Of smaller ones integers of 64 bits hold nine million in one
 * hour of a series; a sum that passed them would be in the way of all that comes after it.
 */
const LARGE = 1_000_000_000_000

const ADD_TO_WHAT_IS_THERE = `
  ON CONFLICT DO UPDATE
  SET whole = whole + excluded.whole + (millionths + excluded.millionths) / 1000000,
      millionths = (millionths + excluded.millionths) % 1000000`

export function accountId(database: Database, account: Account): number {
  return accountIds(database, [account]).ids[0] as number
}

/** An account's key as it is bound: in JSON half a character would be another than that. */
export const storedKey = ({ key }: Account): string => key.toWellFormed()

/**
 * The ids of accounts with different keys, in their order. Those that are missing are made, many with each statement.
 *
 * @returns with the places of those that were there
 */
function accountIds(
  database: Database,
  accounts: readonly Account[],
): { readonly ids: readonly number[]; readonly known: readonly number[] } {
  const ids: number[] = Array(accounts.length).fill(0)
  // As texts: to make a row of each takes longer.
  const row = database.get(
    `SELECT json_group_array(wanted.key) AS places, json_group_array(account.id) AS ids,
            json_group_array(account.product) AS products
     FROM json_each(?) AS wanted CROSS JOIN account ON account.key = wanted.value`,
    JSON.stringify(accounts.map(storedKey)),
  )
  const known = listOf<number>(row?.places)
  const knownIds = listOf<number>(row?.ids)
  const products = listOf<string>(row?.products)
  for (const [index, place] of known.entries()) {
    const id = knownIds[index] as number
    ids[place] = id
    // Our label of a licence's product may change; what AWS bills by stays.
    const { product } = accounts[place] as Account
    if (products[index] !== product) database.run('UPDATE account SET product = ? WHERE id = ?', product, id)
  }
  if (known.length === accounts.length) return { ids, known }
  let last = lastId(database, 'account')
  const made: SQLInputValue[][] = []
  // A first export is over before anything of it is compiled: its loops are as plain as can be.
  for (let place = 0; place < accounts.length; place += 1) {
    if (ids[place] !== 0) continue
    last += 1
    ids[place] = last
    made.push(accountRow(last, accounts[place] as Account))
  }
  const into = `INSERT INTO account
    (id, key, kind, product, account_id, customer_identifier, license_arn, unattributed_reason, evidence)`
  database.insertRows(into, made)
  return { ids, known }
}

function accountRow(id: number, account: Account): SQLInputValue[] {
  const { key, kind, product } = account
  if (account.kind === 'unattributed')
    return [id, key, kind, product, null, null, null, account.reason, account.evidence]
  const { accountId = null, customerIdentifier = null, licenseArn = null } = account
  return [id, key, kind, product, accountId, customerIdentifier, licenseArn, null, null]
}

/**
 * The series that accounts with different keys have of a dimension, in the accounts' order. Those that are missing are
 * made, many with each statement: a first batch has nothing else.
 *
 * @param accounts each with the hour of its first usage at the same place
 */
export function seriesIds(
  database: Database,
  dimension: number,
  accounts: readonly Account[],
  hours: readonly number[],
): readonly number[] {
  const { ids: owners, known } = accountIds(database, accounts)
  const ids: number[] = Array(accounts.length).fill(0)
  // An account that has only now been made has none.
  const row = database.get(
    `SELECT json_group_array(wanted.key) AS places, json_group_array(series.id) AS ids
     FROM json_each(?) AS wanted CROSS JOIN series ON series.account = wanted.value AND series.dimension = ?`,
    ...[JSON.stringify(known.map(place => owners[place])), dimension],
  )
  const knownIds = listOf<number>(row?.ids)
  for (const [index, place] of listOf<number>(row?.places).entries()) {
    ids[known[place] as number] = knownIds[index] as number
  }
  const made: number[][] = []
  let last = lastId(database, 'series')
  for (let place = 0; place < ids.length; place += 1) {
    if (ids[place] !== 0) continue
    last += 1
    ids[place] = last
    made.push([last, owners[place] as number, dimension, hours[place] as number])
  }
  database.insertRows('INSERT INTO series (id, account, dimension, first_hour)', made)
  return ids
}

const listOf = <Value>(json: SQLOutputValue | undefined): Value[] => JSON.parse(json as string)

/** What the next ids follow, for who makes many rows in a transaction that has the write lock. */
function lastId(database: Database, table: 'account' | 'series'): number {
  return (database.get(`SELECT max(id) AS id FROM ${table}`)?.id as number | null) ?? 0
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
 * Brings open usage into its series' totals, which whoever calls saves.
 *
 * @param hour of which they may have a record
 */
export function takeOpenUsage(database: Database, hour: number, query: OpenUsageQuery): Piece {
  const removed = removeOpenUsage(database, query)
  if (removed.length === 0) return new Piece()
  const series = JSON.stringify([...new Set(removed.map(({ series }) => series))])
  const piece = loadSeries(database, hour, `series.id IN ${LISTED}`, series)
  for (const { series, amount } of removed) piece.addUsage(series, amount)
  takeOpenShares(database, piece, query)
  addUsage(database, removed)
  return piece
}

export interface SpanUsage {
  readonly series: number
  readonly span: number
  /** In millionths. */
  readonly amount: bigint
}

/**
 * The usage of closed hours that a condition names, for the values of an expression of the hour apart. A series may come
 * twice, with a part each time.
 */
export function* usageBySpan(
  database: Database,
  span: string,
  condition: string,
  ...values: SQLInputValue[]
): Generator<SpanUsage> {
  for (const row of database.all(
    `SELECT series, ${span} AS span, CAST(sum(whole) AS TEXT) AS whole, sum(millionths) AS millionths
     FROM usage WHERE ${condition} GROUP BY series, span`,
    ...values,
  )) {
    yield { series: row.series as number, span: row.span as number, amount: amountOf(row) }
  }
  for (const { series, span: at, amount } of database.all(
    `SELECT series, ${span} AS span, amount FROM large_usage WHERE ${condition}`,
    ...values,
  )) {
    yield { series: series as number, span: at as number, amount: BigInt(amount as string) }
  }
}

/** Adds to the usage of closed hours. */
export function addUsage(database: Database, usage: readonly OpenUsage[]): void {
  const rows: SQLInputValue[][] = []
  for (const { hour, series, amount } of usage) {
    const whole = amount / MILLION
    if (whole >= LARGE || whole <= -LARGE) addLargeUsage(database, series, hour, amount)
    else rows.push([hour, series, whole, amount % MILLION])
  }
  database.insertRows('INSERT INTO usage (hour, series, whole, millionths)', rows, ADD_TO_WHAT_IS_THERE)
}

function addLargeUsage(database: Database, series: number, hour: number, amount: bigint): void {
  const known = database.get('SELECT amount FROM large_usage WHERE hour = ? AND series = ?', hour, series)
  database.run(
    'INSERT OR REPLACE INTO large_usage (hour, series, amount) VALUES (?, ?, ?)',
    ...[hour, series, String(BigInt((known?.amount as string | undefined) ?? 0) + amount)],
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
