import type { Account } from '../../usage/account.ts'
import { LedgerError } from '../errors.ts'
import { hourOf } from '../hours.ts'
import type { Sold } from '../ledger.ts'
import { idleSince } from '../rules/agreement.ts'
import { notRegistered } from '../rules/validation.ts'
import { Piece } from '../sql/piece.ts'
import { agreementOf, SERIES, twinAt } from '../sql/piece-rows.ts'
import { CUSTOMER, customerOf } from '../sql/rows.ts'
import type { Row, Transaction, Value } from './database.ts'
import { readShares, takeOpenShares } from './shares.ts'
import { columnsOf } from './statements.ts'

/** Accounts, series and their totals, many at a time. Whoever calls has the ledger's lock. */

/** A series, which is made where there is none. */
export interface WantedSeries {
  readonly account: Account
  readonly dimension: string
  /** The first hour of its usage. */
  readonly hour: number
}

/** The ids of series, in their order; one may be there several times. */
export async function seriesIds(transaction: Transaction, wanted: readonly WantedSeries[]): Promise<number[]> {
  const ids = await findSeries(transaction, wanted)
  const missing = wanted.filter((_, index) => ids[index] === 0)
  if (missing.length === 0) return ids
  const accounts = missing.map(({ account }) => account)
  await makeAccounts(transaction, accounts)
  await transaction.run(
    `INSERT INTO series (account, dimension, first_hour)
     SELECT account.id, dimension.id, min(wanted.hour)
     FROM unnest($1::text[], $2::text[], $3::bigint[]) WITH ORDINALITY AS wanted (key, dimension, hour, place)
     JOIN account ON account.key = wanted.key JOIN dimension ON dimension.name = wanted.dimension
     GROUP BY account.id, dimension.id ORDER BY min(wanted.place)`,
    ...[...columnsOf(accounts, 'key'), ...columnsOf(missing, 'dimension', 'hour')],
  )
  const made = await findSeries(transaction, missing)
  if (made.includes(0)) throw notRegistered(missing[made.indexOf(0)]?.dimension ?? '')
  let next = 0
  return ids.map(id => (id === 0 ? (made[next++] as number) : id))
}

/** The ids of series, 0 where there is none. Accounts whose label has changed get the new one. */
async function findSeries(transaction: Transaction, wanted: readonly WantedSeries[]): Promise<number[]> {
  const found = await transaction.get(
    `SELECT array_agg(coalesce(series.id, 0) ORDER BY wanted.place) AS ids,
            array_agg(wanted.place - 1) FILTER (WHERE account.product <> wanted.product) AS relabelled
     FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS wanted (key, product, dimension, place)
     LEFT JOIN account ON account.key = wanted.key LEFT JOIN dimension ON dimension.name = wanted.dimension
     LEFT JOIN series ON series.account = account.id AND series.dimension = dimension.id`,
    wanted.map(({ account }) => account.key),
    wanted.map(({ account }) => account.product),
    wanted.map(({ dimension }) => dimension),
  )
  const { ids, relabelled } = found as { ids: number[] | null; relabelled: number[] | null }
  if (relabelled !== null) {
    await relabel(
      transaction,
      relabelled.map(place => wanted[place]?.account as Account),
    )
  }
  return ids ?? []
}

/** Our label of a licence's product may change; what AWS bills by stays. */
async function relabel(transaction: Transaction, accounts: readonly Account[]): Promise<void> {
  const products = new Map(accounts.map(({ key, product }) => [key, product]))
  await transaction.run(
    `UPDATE account SET product = told.product FROM unnest($1::text[], $2::text[]) AS told (key, product)
     WHERE account.key = told.key AND account.product <> told.product`,
    ...[[...products.keys()], [...products.values()]],
  )
}

async function makeAccounts(transaction: Transaction, told: readonly Account[]): Promise<void> {
  const accounts = [...new Map(told.map(account => [account.key, account])).values()]
  const ofCustomer = (name: 'accountId' | 'customerIdentifier' | 'licenseArn') =>
    accounts.map(account => (account.kind === 'customer' ? (account[name] ?? null) : null))
  const unattributed = (name: 'reason' | 'evidence') =>
    accounts.map(account => (account.kind === 'unattributed' ? account[name] : null))
  await transaction.run(
    `INSERT INTO account
     (key, kind, product, account_id, customer_identifier, license_arn, unattributed_reason, evidence)
     SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[])
     AS told (key) WHERE NOT EXISTS (SELECT FROM account WHERE account.key = told.key)`,
    ...columnsOf(accounts, 'key', 'kind', 'product'),
    ...[ofCustomer('accountId'), ofCustomer('customerIdentifier'), ofCustomer('licenseArn')],
    ...[unattributed('reason'), unattributed('evidence')],
  )
}

/** Makes the accounts that are not there, and gives the others their label. */
export async function takeAccounts(transaction: Transaction, accounts: readonly Account[]): Promise<void> {
  await makeAccounts(transaction, accounts)
  await relabel(transaction, accounts)
}

/** The id of an account, which is made where there is none. */
export async function accountId(transaction: Transaction, account: Account): Promise<number> {
  await takeAccounts(transaction, [account])
  return (await transaction.get('SELECT id FROM account WHERE key = $1', account.key))?.id as number
}

/** Adds usage of hours, each series and hour once. */
export async function addUsage(
  transaction: Transaction,
  table: 'usage' | 'open_usage',
  usage: readonly { readonly hour: number; readonly series: number; readonly amount: bigint }[],
): Promise<void> {
  // In the order of the table, so that neighbours share a page.
  const rows = [...usage].sort((a, b) => a.hour - b.hour || a.series - b.series)
  await transaction.run(
    `INSERT INTO ${table} (hour, series, amount) SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::numeric[])
     ON CONFLICT (hour, series) DO UPDATE SET amount = ${table}.amount + excluded.amount`,
    ...columnsOf(rows, 'hour', 'series', 'amount'),
  )
}

const TWIN = twinAt('$1', '::jsonb')

/** What a series is made of; $1 is the hour of which it may have a record. */
const seriesFrom = (source: string) =>
  `SELECT ${SERIES}, EXISTS (SELECT FROM record WHERE record.series = series.id AND record.hour = $1) AS taken,
     ${TWIN} AS twin
   FROM ${source} LEFT JOIN account ON account.id = series.account
   LEFT JOIN dimension ON dimension.id = series.dimension`

/**
 * The series that a condition names.
 *
 * @param hour of which they may have a record; $1 in the condition
 */
export async function loadSeries(
  transaction: Transaction,
  hour: number,
  condition: string,
  ...values: Value[]
): Promise<Piece> {
  const piece = new Piece()
  const rows = await transaction.all(`${seriesFrom('series')} WHERE ${condition}`, hour, ...values)
  for (const row of rows) addWhole(piece, row)
  await readShares(transaction, piece)
  return piece
}

/**
 * Brings the open usage that a condition names into its series' totals, which whoever calls saves.
 *
 * @param hour of which they may have a record; $1 in the condition
 */
export async function takeOpenUsage(
  transaction: Transaction,
  hour: number,
  condition: string,
  ...values: Value[]
): Promise<Piece> {
  const shares = await takeOpenShares(transaction, hour, condition, ...values)
  const rows = await transaction.all(
    `WITH taken AS (DELETE FROM open_usage WHERE ${condition} RETURNING hour, series, amount),
     kept AS (
       INSERT INTO usage (hour, series, amount) SELECT * FROM taken
       ON CONFLICT (hour, series) DO UPDATE SET amount = usage.amount + excluded.amount
     ),
     added AS (SELECT series, sum(amount) AS amount FROM taken GROUP BY series)
     ${seriesFrom('added LEFT JOIN series ON series.id = added.series').replace('SELECT', 'SELECT added.amount, added.series AS used,')}
     ORDER BY series.id`,
    hour,
    ...values,
  )
  const piece = new Piece()
  for (const row of rows) {
    addWhole(piece, row)
    piece.addUsage(row.used as number, row.amount as bigint)
  }
  await readShares(transaction, piece)
  for (const { series, tags, amount } of shares) piece.addShare(series, tags, amount, true)
  return piece
}

/** A series that is there, with its account and dimension. */
function addWhole(piece: Piece, row: Row): void {
  if (row.series !== null && row.kind !== null && row.dimension_size !== null) piece.addSeries(row)
  else
    throw new LedgerError(
      'ERR_LEDGER_CORRUPT',
      `There is usage of series ${row.used ?? row.series}, which is not whole.`,
    )
}

/** Customers whose agreements are in force have a series of all that they may use: what is idle is told to AWS, too. */
export async function makeIdleSeries(transaction: Transaction, { products, dimensions }: Sold): Promise<void> {
  const missing = await transaction.all(MISSING, products, dimensions)
  const idle = missing.flatMap(row => {
    const since = idleSince(agreementOf(row))
    return since === undefined
      ? []
      : [{ account: customerOf(row), dimension: row.dimension as string, hour: hourOf(since) }]
  })
  if (idle.length > 0) await seriesIds(transaction, idle)
}

const MISSING = `SELECT ${CUSTOMER}, account.agreement, dimension.name AS dimension FROM account, dimension
  WHERE account.agreement IS NOT NULL AND account.product = ANY($1::text[]) AND dimension.name = ANY($2::text[])
  AND NOT EXISTS (SELECT FROM series WHERE series.account = account.id AND series.dimension = dimension.id)`
