import { type Tags, textOfTags } from '../../usage/tags.ts'
import type { OpenShare, Piece, ShareChange } from '../sql/piece.ts'
import type { Transaction, Value } from './database.ts'
import { columnsOf } from './statements.ts'

/** What of series' usage is for which tags: of hours that are open, and what of closed ones is not frozen. */

/** Each series, hour and set of tags once. */
export async function addOpenShares(transaction: Transaction, shares: readonly OpenShare[]): Promise<void> {
  if (shares.length === 0) return
  await transaction.run(
    `INSERT INTO open_share (hour, series, tags, amount)
     SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::numeric[])
     ON CONFLICT (hour, series, tags) DO UPDATE SET amount = open_share.amount + excluded.amount`,
    ...columnsOf(shares.map(inColumns), 'hour', 'series', 'tags', 'amount'),
  )
}

const inColumns = <Share extends { readonly tags: Tags }>(share: Share) => ({ ...share, tags: textOfTags(share.tags) })

/** A share that was taken. */
export interface TakenShare {
  readonly series: number
  readonly tags: Tags
  readonly amount: bigint
}

/** Takes the open shares that a condition names, before the usage that it names is taken. */
export async function takeOpenShares(
  transaction: Transaction,
  hour: number,
  condition: string,
  ...values: Value[]
): Promise<TakenShare[]> {
  const any = await transaction.get('SELECT FROM open_share LIMIT 1')
  if (any === undefined) return []
  const rows = await transaction.all(
    `DELETE FROM open_share WHERE ${condition} AND $1::bigint IS NOT NULL RETURNING series, tags, amount`,
    hour,
    ...values,
  )
  return rows.map(({ series, tags, amount }) => ({
    ...{ series: series as number, tags: JSON.parse(tags as string) as Tags, amount: BigInt(amount as bigint) },
  }))
}

/** Reads what the series of a piece have for some tags. */
export async function readShares(transaction: Transaction, piece: Piece): Promise<void> {
  if (piece.series.length === 0) return
  const rows = await transaction.all(
    'SELECT series, tags, balance FROM share WHERE series = ANY($1::bigint[])',
    piece.series.map(({ id }) => id),
  )
  for (const { series, tags, balance } of rows) {
    piece.addShare(series as number, JSON.parse(tags as string), BigInt(balance as bigint), false)
  }
}

/** Adds to what series have for some tags. */
export async function addShares(transaction: Transaction, shares: readonly ShareChange[]): Promise<void> {
  if (shares.length === 0) return
  await transaction.run(
    `INSERT INTO share (series, tags, balance) SELECT * FROM unnest($1::bigint[], $2::text[], $3::numeric[])
     ON CONFLICT (series, tags) DO UPDATE SET balance = share.balance + excluded.balance`,
    ...columnsOf(shares.map(inColumns), 'series', 'tags', 'amount'),
  )
  const changed = [...new Set(shares.map(({ series }) => series))]
  await transaction.run('DELETE FROM share WHERE series = ANY($1::bigint[]) AND balance = 0', changed)
}
