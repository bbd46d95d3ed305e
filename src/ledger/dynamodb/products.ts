import type { Dimension } from '../../usage/dimension.ts'
import type { CounterSources } from '../ledger.ts'
import { FURTHEST_TURN, LONGEST_WAIT } from '../rules/quota.ts'
import type { Database } from './database.ts'
import { textOf } from './packed-json.ts'
import { type Item, pause, type Table } from './table.ts'

/** What all processes agree on besides usage: since when metrics are metered, and whose turn it is at AWS. */

/** Since when metrics are metered as a product's dimensions, in milliseconds since the epoch. */
export type Sources = readonly (readonly [dimension: string, metric: string, since: number])[]

/** Writes down since when metrics are metered: `now`, where they were not before. */
export async function registerSources(database: Database, { product, now, metrics }: CounterSources): Promise<void> {
  // What the version before said of any metric was of those that are named now.
  const named = new Set(metrics.filter(({ metric }) => metric !== '').map(({ dimension }) => dimension))
  await changeSources(database, product, sources => {
    return withMetrics(sources, metrics, now).filter(([dimension, metric]) => metric !== '' || !named.has(dimension))
  })
}

/** Since when metrics are metered: `now`, where they were not before. */
export async function meteredSince(database: Database, { product, now, metrics }: CounterSources): Promise<Sources> {
  return await changeSources(database, product, sources => withMetrics(sources, metrics, now))
}

async function changeSources(
  { table, dimensions }: Database,
  product: string,
  change: (sources: Sources) => Sources,
): Promise<Sources> {
  const put = { pk: 'products', sk: `#${product}` }
  for (let failures = 1; ; failures += 1) {
    const [item] = await table.get('look since when a product is metered', [put])
    const before = sourcesOf(item, typeof item?.data === 'number' ? await dimensions.all() : [])
    const after = change(before)
    if (textOf(after) === textOf(item?.data)) return after
    const write = { put, over: item?.version, data: after }
    if ((await table.write('begin to meter a product', [write])) !== undefined) return after
    await pause(failures)
  }
}

/** The version before said of a product as a whole since when it was metered, by any metric. */
function sourcesOf(item: Item | undefined, dimensions: readonly Dimension[]): Sources {
  if (typeof item?.data !== 'number') return (item?.data as Sources | undefined) ?? []
  const since = item.data
  return dimensions.map(({ name }) => [name, '', since] as const)
}

function withMetrics(sources: Sources, metrics: CounterSources['metrics'], now: number): Sources {
  const all = [...sources]
  for (const { dimension, metric } of metrics) {
    if (all.some(one => one[0] === dimension && one[1] === metric)) continue
    all.push([dimension, metric, sinceOf(all, dimension, metric) ?? now])
  }
  return all
}

function sinceOf(sources: Sources, dimension: string, metric: string): number | undefined {
  const of = sources.filter(one => one[0] === dimension)
  const known = of.find(one => one[1] === metric) ?? of.find(one => one[1] === '')
  // A point that came to the version before does not say its metric.
  if (known === undefined && metric === '' && of.length > 0) return Math.min(...of.map(([, , since]) => since))
  return known?.[2]
}

/** The next turns of a region's quota; undefined where too many wait. See `firstTurn`. */
export async function takeTurns(
  table: Table,
  region: string,
  turns: number,
  spacing: number,
  now: number,
): Promise<number | undefined> {
  const key = { pk: 'turns', sk: `#${region}` }
  const number = (value: number) => ({ N: String(value) })
  const take = (UpdateExpression: string, ConditionExpression: string, values: Record<string, { N: string }>) =>
    table.update('take turns of the quota', key, {
      ...{ UpdateExpression, ConditionExpression, ExpressionAttributeNames: { '#next': 'next' } },
      ExpressionAttributeValues: { ':now': number(now), ...values },
    })
  const [taken, after] = [number(turns * spacing), number(now + turns * spacing)]
  // Twice: between the two of them others may have begun anew.
  for (const _ of [1, 2]) {
    // After those that others have taken, in one step: whoever is in the way only comes before.
    const behind = await take('SET #next = #next + :taken', '#next BETWEEN :now AND :latest', {
      ...{ ':taken': taken, ':latest': number(now + LONGEST_WAIT) },
    })
    if (behind !== undefined) return Number(behind.next?.N) - turns * spacing
    const first = await take(
      'SET #next = :after',
      'attribute_not_exists(#next) OR NOT #next BETWEEN :now AND :furthest',
      {
        ...{ ':after': after, ':furthest': number(now + FURTHEST_TURN) },
      },
    )
    if (first !== undefined) return now
  }
  return undefined
}
