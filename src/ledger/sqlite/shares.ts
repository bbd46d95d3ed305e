import { type Tags, textOfTags } from '../../usage/tags.ts'
import type { OpenShare, Piece } from '../sql/piece.ts'
import { type Database, LISTED } from './database.ts'
import type { OpenUsageQuery } from './open-usage.ts'

/** What of series' usage is for which tags: of hours that are open, and what of closed ones is not frozen. */

export function addOpenShares(database: Database, shares: readonly OpenShare[]): void {
  for (const { hour, series, tags, amount } of shares) {
    const key = [hour, series, textOfTags(tags)]
    const known = database.get('SELECT amount FROM open_share WHERE hour = ? AND series = ? AND tags = ?', ...key)
    const sum = BigInt((known?.amount as string | undefined) ?? 0) + amount
    database.run(
      'INSERT OR REPLACE INTO open_share (hour, series, tags, amount) VALUES (?, ?, ?, ?)',
      ...[...key, String(sum)],
    )
  }
}

/** Reads what the series of a piece have for some tags. */
export function readShares(database: Database, piece: Piece): void {
  if (!anyShares(database)) return
  const rows = database.all(
    `SELECT series, tags, balance FROM share WHERE series IN ${LISTED}`,
    JSON.stringify(piece.series.map(({ id }) => id)),
  )
  for (const { series, tags, balance } of rows) {
    piece.addShare(series as number, JSON.parse(tags as string), BigInt(balance as string), false)
  }
}

/** Brings the shares of open usage to their series, whose shares were read. */
export function takeOpenShares(database: Database, piece: Piece, { hours, series, last }: OpenUsageQuery): void {
  const of = series === undefined ? 'series <= ?' : `series IN ${LISTED}`
  const condition = `hour IN ${LISTED} AND ${of}`
  const values = [
    JSON.stringify(hours),
    series === undefined ? (last ?? Number.MAX_SAFE_INTEGER) : JSON.stringify(series),
  ]
  const rows = database.all(`SELECT series, tags, amount FROM open_share WHERE ${condition}`, ...values)
  if (rows.length === 0) return
  for (const { series, tags, amount } of rows) {
    piece.addShare(series as number, JSON.parse(tags as string), BigInt(amount as string), true)
  }
  database.run(`DELETE FROM open_share WHERE ${condition}`, ...values)
}

/** Who has no tags pays for none. */
function anyShares(database: Database): boolean {
  return database.get('SELECT 1 AS there FROM share LIMIT 1') !== undefined
}

/** Adds to what a series has for some tags. */
export function addShare(database: Database, series: number, tags: Tags, amount: bigint): void {
  const key = [series, textOfTags(tags)]
  const known = database.get('SELECT balance FROM share WHERE series = ? AND tags = ?', ...key)
  const sum = BigInt((known?.balance as string | undefined) ?? 0) + amount
  if (sum === 0n) database.run('DELETE FROM share WHERE series = ? AND tags = ?', ...key)
  else database.run('INSERT OR REPLACE INTO share (series, tags, balance) VALUES (?, ?, ?)', ...key, String(sum))
}
