import type { CounterSources } from '../ledger.ts'
import type { Transaction } from './database.ts'
import { columnsOf } from './statements.ts'

/** Since when metrics are metered as dimensions of products. Whoever calls has the ledger's lock. */

export interface MeteredMetric {
  readonly product: string
  readonly dimension: string
  readonly metric: string
  /** Since when it is metered where it was not before, in milliseconds since the epoch. */
  readonly now: number
}

/** Writes down since when metrics are metered: `now`, where they were not before. */
export async function registerSources(
  transaction: Transaction,
  { product, now, metrics }: CounterSources,
): Promise<void> {
  await meteredSince(
    transaction,
    metrics.map(({ dimension, metric }) => ({ product, dimension, metric, now })),
  )
  // What the first schema said of any metric was of those that are named now.
  await transaction.run(
    "DELETE FROM metered WHERE product = $1 AND dimension = ANY($2::text[]) AND metric = ''",
    ...[product, metrics.filter(({ metric }) => metric !== '').map(({ dimension }) => dimension)],
  )
}

/** Whether there is nothing to write down of these metrics. */
export async function areMetered(transaction: Transaction, { product, metrics }: CounterSources): Promise<boolean> {
  const rows = await transaction.all('SELECT dimension, metric FROM metered WHERE product = $1', product)
  const known = (dimension: string, metric: string) =>
    rows.some(row => row.dimension === dimension && row.metric === metric)
  return metrics.every(({ dimension, metric }) => {
    if (metric === '') return rows.some(row => row.dimension === dimension)
    return known(dimension, metric) && !known(dimension, '')
  })
}

/**
 * Since when each of these is metered, in their order. The version before did not know metrics: what is without its
 * name is of the first that its dimension was metered by.
 */
export async function meteredSince(transaction: Transaction, metrics: readonly MeteredMetric[]): Promise<number[]> {
  await transaction.run(
    `INSERT INTO metered (product, dimension, metric, since)
     SELECT product, dimension, wanted.metric, coalesce(any_metric.since, wanted.now)
     FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) AS wanted (product, dimension, metric, now)
     LEFT JOIN (SELECT * FROM metered WHERE metric = '') AS any_metric USING (product, dimension)
     WHERE wanted.metric <> '' OR NOT EXISTS (
       SELECT FROM metered WHERE metered.product = wanted.product AND metered.dimension = wanted.dimension
     )
     ON CONFLICT (product, dimension, metric) DO NOTHING`,
    ...columnsOf(metrics, 'product', 'dimension', 'metric', 'now'),
  )
  const rows = await transaction.all(
    `SELECT (
       SELECT min(since) FROM metered
       WHERE metered.product = wanted.product AND metered.dimension = wanted.dimension
         AND (wanted.metric = '' OR metered.metric = wanted.metric)
     ) AS since
     FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS wanted (product, dimension, metric, place)
     ORDER BY place`,
    ...columnsOf(metrics, 'product', 'dimension', 'metric'),
  )
  return rows.map(({ since }) => since as number)
}
