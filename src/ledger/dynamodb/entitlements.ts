import type { CustomerAccount } from '../../usage/account.ts'
import type {
  AuditNote,
  CustomerEntitlement,
  EntitlementNews,
  EntitlementsQuery,
  Included,
  IncludedDimension,
} from '../ledger.ts'
import { entitlementEntries, includedEntry } from '../rules/audit.ts'
import { noteEntitlementNews } from '../rules/decisions.ts'
import {
  changedIncluded,
  checkEntitlements,
  checkRegistered,
  IncludedDimensions,
  newsSince,
  toldBy,
  toldEntitlements,
} from '../rules/entitlements.ts'
import { auditWrites } from './audit.ts'
import { change } from './change.ts'
import type { Database } from './database.ts'
import { countInHead, readHead, requireFormat } from './head.ts'
import { inParallel } from './parallel.ts'
import { shardOf, shardsOf } from './places.ts'
import { Shard } from './shard.ts'
import { type Item, type Key, pause, type Table } from './table.ts'
import { inTransactions } from './transaction.ts'

/** What contracts include: of which dimensions, in one item, and for whom how much, with their accounts. */

const INCLUDED: Key = { pk: 'ledger', sk: 'included' }
const SHARDS_AT_ONCE = 16

export async function registerIncluded(
  database: Database,
  product: string,
  included: Readonly<Record<string, Included>>,
  by: AuditNote,
): Promise<void> {
  const { table, dimensions } = database
  for (let failures = 1; ; failures += 1) {
    const { item, known } = await readIncluded(table)
    const changes = changedIncluded(product, known, included, by.now)
    if (changes.length === 0) return
    await dimensions.numbersOf(new Set(changes.map(({ dimension }) => dimension)))
    await requireFormat(table)
    const changed = new Set(changes.map(({ dimension }) => dimension))
    const others = known.filter(one => one.product !== product || !changed.has(one.dimension))
    const data = inOrder([...others, ...changes.flatMap(({ after }) => after ?? [])])
    const entries = changes.map(({ dimension, before, after }) => {
      return includedEntry(product, dimension, before, after, by)
    })
    const said = await auditWrites(database, entries)
    if (said !== undefined) {
      const put = { put: INCLUDED, over: item?.version, data }
      if ((await table.write('register what contracts include', [put, ...said])) !== undefined) return
    }
    await pause(failures)
  }
}

const inOrder = (known: readonly IncludedDimension[]): IncludedDimension[] =>
  [...known].sort((a, b) =>
    a.product === b.product ? (a.dimension < b.dimension ? -1 : 1) : a.product < b.product ? -1 : 1,
  )

async function readIncluded(table: Table): Promise<{ item: Item | undefined; known: readonly IncludedDimension[] }> {
  const [item] = await table.get('read what contracts include', [INCLUDED])
  return { item, known: (item?.data as IncludedDimension[] | undefined) ?? [] }
}

export async function includedDimensions({ table }: Database): Promise<IncludedDimension[]> {
  return [...(await readIncluded(table)).known]
}

/** The same, by product and dimension. */
export async function allIncluded(database: Database): Promise<IncludedDimensions> {
  return new IncludedDimensions(await includedDimensions(database))
}

/**
 * Takes in what is told of customers, shard by shard; then it is written down up to when all is known. Where a process
 * dies in between, whoever tells it again goes on.
 */
export async function noteEntitlements(
  database: Database,
  product: string,
  said: EntitlementNews,
  by: AuditNote,
): Promise<number> {
  checkEntitlements(said)
  const { accounts } = database
  const included = await allIncluded(database)
  checkRegistered(product, said.dimensions, included)
  const news = newsSince(included, product, said, by)
  const told = toldBy(news)
  const customers = [...told.values()].map(({ account }) => account)
  const numbers = await accounts.numbersOf(customers)
  const { customers: count } = await countInHead(database, Math.max(0, ...numbers))
  const entitled = news.complete ? await entitledAccounts(database, product, count) : []
  const ofShards = Map.groupBy(new Set([...numbers, ...entitled]), shardOf)
  const changes = await inParallel([...ofShards], SHARDS_AT_ONCE, async ([number, some]) => {
    return await inTransactions(some, part =>
      change(database, 'note what contracts include', [{ shard: number }], (shard: Shard) => {
        const audit = part.flatMap(account => {
          const customer = accounts.get(account) as CustomerAccount
          if (customer.product !== product) return []
          const changed = noteEntitlementNews(shard, account, told.get(customer.key)?.entitlements ?? [], news, by.now)
          return entitlementEntries(customer, changed, by)
        })
        return { result: audit.length, audit }
      }),
    )
  })
  if (news.complete) await noteKnown(database, product, news, by)
  return changes.flat().reduce((sum, one) => sum + one, 0)
}

/** The customers of a product of whose entitlements something is known. */
async function entitledAccounts({ table, accounts }: Database, product: string, customers: number): Promise<number[]> {
  const shards = await Shard.readSeries(table, shardsOf({ customers }))
  const all = shards.flatMap(shard => [...shard.accounts])
  await accounts.readThose(all.map(([number]) => number))
  return all.flatMap(([number, { entitlements }]) => {
    return entitlements !== null && accounts.get(number).product === product ? [number] : []
  })
}

async function noteKnown({ table }: Database, product: string, news: EntitlementNews, by: AuditNote): Promise<void> {
  for (let failures = 1; ; failures += 1) {
    const { item, known } = await readIncluded(table)
    const { at, dimensions } = newsSince(new IncludedDimensions(known), product, news, by)
    const data = known.map(one =>
      one.product === product && dimensions.includes(one.dimension) ? { ...one, knownUntil: at } : one,
    )
    const put = { put: INCLUDED, over: item?.version, data }
    if ((await table.write('note what contracts include', [put])) !== undefined) return
    await pause(failures)
  }
}

export async function entitlements(
  database: Database,
  { customer, dimension }: EntitlementsQuery,
): Promise<CustomerEntitlement[]> {
  const { table, accounts, dimensions } = database
  const { head } = await readHead(table)
  await accounts.readUpTo(head.log)
  const named = customer === undefined ? undefined : new Set(accounts.find(customer))
  const shards = named === undefined ? shardsOf(head) : [...new Set([...named].map(shardOf))]
  const found = (await Shard.readSeries(table, shards))
    .flatMap(shard => [...shard.accounts])
    .filter(([number, { entitlements }]) => entitlements !== null && (named === undefined || named.has(number)))
    .sort(([a], [b]) => a - b)
  await accounts.readThose(found.map(([number]) => number))
  const included = await allIncluded(database)
  const sizes = new Map((await dimensions.all()).map(({ name, size }) => [name, size]))
  return found
    .flatMap(([number, { entitlements }]) =>
      toldEntitlements(accounts.get(number) as CustomerAccount, entitlements, included, name => sizes.get(name) ?? 0n),
    )
    .filter(told => dimension === undefined || told.dimension === dimension)
}
