import { LONGEST_WAIT } from '../rules/retention.ts'

import type { Table } from './table.ts'

/** What all processes agree on besides usage: since when products are metered, and whose turn it is at AWS. */

/** When the product was first metered: `now`, where it was not before. */
export async function meteredSince(table: Table, product: string, now: number): Promise<number> {
  const put = { pk: PRODUCTS, sk: `#${product}` }
  for (;;) {
    const [item] = await table.get('look when a product was first metered', [put])
    if (item !== undefined) return item.data as number
    const written = await table.write('begin to meter a product', [{ put, over: undefined, data: now }])
    if (written !== undefined) return now
  }
}

const PRODUCTS = 'products'

/** The next turns of a region's quota; see `SharedClock`. */
export async function takeTurns(
  table: Table,
  region: string,
  turns: number,
  spacing: number,
  now: number,
): Promise<number> {
  const key = { pk: 'turns', sk: `#${region}` }
  const values = { ':now': { N: String(now) }, ':latest': { N: String(now + LONGEST_WAIT) } }
  for (;;) {
    // After those that others have taken, in one step: whoever is in the way only comes before.
    const taken = await table.update('take turns of the quota', key, {
      UpdateExpression: 'SET #next = #next + :taken',
      ConditionExpression: '#next BETWEEN :now AND :latest',
      ExpressionAttributeNames: { '#next': 'next' },
      ExpressionAttributeValues: { ...values, ':taken': { N: String(turns * spacing) } },
    })
    if (taken !== undefined) return Number(taken.next?.N) - turns * spacing
    // Nobody waits. A turn that is further away was taken by a clock that was ahead.
    const first = await table.update('take turns of the quota', key, {
      UpdateExpression: 'SET #next = :after',
      ConditionExpression: 'attribute_not_exists(#next) OR NOT #next BETWEEN :now AND :latest',
      ExpressionAttributeNames: { '#next': 'next' },
      ExpressionAttributeValues: { ...values, ':after': { N: String(now + turns * spacing) } },
    })
    if (first !== undefined) return now
  }
}
