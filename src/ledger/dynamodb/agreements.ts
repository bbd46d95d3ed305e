import { createHash } from 'node:crypto'
import type { CustomerAccount } from '../../usage/account.ts'
import { hourOf } from '../hours.ts'
import type { Agreement, AgreementNews, AgreementOptions, AgreementsQuery } from '../ledger.ts'
import { afterNews, type BookedAgreement, toldAgreement } from '../rules/agreement.ts'
import { agreementEntry } from '../rules/audit.ts'
import { closingTerms, finalHours } from '../rules/closing.ts'
import { noteNews, RECONSIDERED, reconsider } from '../rules/decisions.ts'
import { IncludedDimensions } from '../rules/entitlements.ts'
import { change, takeLateUsage } from './change.ts'
import { type FrozenRecord, freezeSeries } from './closing.ts'
import type { Database } from './database.ts'
import { allIncluded } from './entitlements.ts'
import { foldDeciding } from './fold.ts'
import { countInHead, readHead } from './head.ts'
import { shardOf, shardsOf } from './places.ts'
import { Shard } from './shard.ts'
import { sheetsOf } from './sheets.ts'
import { END, type Key, type Write } from './table.ts'
import { inTransactions } from './transaction.ts'
import { Twins } from './twins.ts'

/** Customers' agreements: what is told of them, and what that changes. */

/**
 * Takes in what is told of a customer's agreement. It is written down together with what it ends; then, in parts, its
 * records are looked at again. Where a process dies in between, whoever tells it again goes on.
 */
export async function noteAgreement(
  database: Database,
  customer: CustomerAccount,
  news: AgreementNews,
  options: AgreementOptions,
): Promise<{ changed: boolean; frozen: FrozenRecord[] }> {
  // Before anything of it is written.
  afterNews(null, news)
  const { table } = database
  const { now } = options
  const ended = news.what === 'ended'
  if (ended) await foldDeciding(database, { accountKey: customer.key, now })
  const [account = 0] = await database.accounts.numbersOf([customer])
  const { closedThrough } = await countInHead(database, account)
  const number = shardOf(account)
  const finalHoursOf = (agreement: BookedAgreement) => finalHours(agreement, news, closedThrough ?? undefined, options)
  const known = (await Shard.read(table, number)).account(account).agreement
  const part = { shard: number, hours: finalHoursOf(afterNews(known, news)) }
  const [first] = part.hours
  if (first !== undefined) await takeLateUsage(database, number, series => series.account === account, first)
  const dimensions = ended ? await database.dimensions.all() : []
  const included = ended ? await allIncluded(database) : new IncludedDimensions([])
  const result = await change(database, 'note an agreement', [part], async (shard: Shard) => {
    const before = shard.account(account).agreement
    const changed = noteNews(shard, account, news)
    const agreement = shard.account(account).agreement as BookedAgreement
    // Others may have told of it meanwhile.
    const hours = finalHoursOf(agreement)
    await shard.readSheets(table, hours)
    const twins = await Twins.read(database, shard, [account], hours)
    const frozen: FrozenRecord[] = []
    for (const hour of hours) {
      const all = [...shard.series.values()].filter(series => series.account === account)
      for (const series of all) {
        series.carried = series.balance
        for (const open of [...series.open.keys()]) if (open <= hour) shard.takeOpenUsage(series, open)
      }
      const knowledge = { accounts: database.accounts, dimensions, twins, included }
      frozen.push(...freezeSeries(shard, all, closingTerms(hour, options), knowledge))
    }
    const also: Write[] = frozen.length > 0 ? [...twins.writes] : []
    const named = agreement.tenant
    if (named !== undefined && named !== before?.tenant) also.push({ index: placeOfTenant(named, account) })
    const { customerIdentifier: alias } = agreement
    if (alias !== undefined && alias !== before?.customerIdentifier) {
      also.push({ index: placeOfTenant(aliasOf(alias), account) })
    }
    const said = changed || frozen.length > 0 ? [agreementEntry(customer, news, options)] : []
    return { result: { changed, frozen }, also, audit: said }
  })
  await reconsiderAll(database, customer, account, options)
  return result
}

/** Looks again at a customer's records that AWS may still take. */
async function reconsiderAll(
  database: Database,
  { product }: CustomerAccount,
  account: number,
  options: AgreementOptions,
): Promise<void> {
  const shard = shardOf(account)
  const hours: number[] = []
  const late = { from: hourOf(options.now - RECONSIDERED), to: Number.MAX_SAFE_INTEGER }
  for await (const { hour, records } of sheetsOf(database.table, shard, late)) {
    const unsettled = [...records.values()].some(record => {
      return record.account === account && (record.state === 'pending' || record.state === 'held')
    })
    if (unsettled) hours.push(hour)
  }
  if (hours.length === 0) return
  const [included, dimensions] = [await allIncluded(database), await database.dimensions.all()]
  await inTransactions(hours, some =>
    change(database, 'look at records again', [{ shard, hours: some }], (shard: Shard) => {
      for (const sheet of shard.sheets.values()) {
        for (const record of sheet.records.values()) {
          if (record.account !== account) continue
          const name = dimensions[record.dimension]?.name ?? ''
          reconsider(shard, record, included.of(product, name), options)
        }
      }
      return { result: undefined }
    }),
  )
}

const TENANTS = 'tenants'

/** Where a tenant's accounts are found, those also that were its before. A tenant's name may have any length. */
function placeOfTenant(tenant: string, account: number): Key {
  return { pk: TENANTS, sk: `${digestOf(tenant)}#${account}` }
}

/** An older identifier of a customer that is known by its AWS account: beside the tenants, under what none is called. */
const aliasOf = (customerIdentifier: string): string => `\0${customerIdentifier}`

const digestOf = (tenant: string): string => createHash('sha256').update(tenant).digest('hex')

export async function agreements(database: Database, { tenant, customer }: AgreementsQuery): Promise<Agreement[]> {
  const { head } = await readHead(database.table)
  const { accounts, table } = database
  await accounts.readUpTo(head.log)
  const ofTenant = tenant === undefined ? undefined : await accountsOfTenant(database, tenant)
  const named =
    customer === undefined
      ? undefined
      : new Set([...accounts.find(customer), ...(await accountsOfTenant(database, aliasOf(customer)))])
  const some = ofTenant ?? named
  const { customers } = head
  const shards = some === undefined ? shardsOf({ customers }) : [...new Set([...some].map(shardOf))]
  const known = (await Shard.readSeries(table, shards)).flatMap(shard => [...shard.accounts])
  const found = known.flatMap(([number, { agreement, blockedAt }]) => {
    if (agreement === null || (tenant !== undefined && agreement.tenant !== tenant)) return []
    return named?.has(number) === false ? [] : [{ number, agreement, blockedAt }]
  })
  await accounts.readThose(found.map(({ number }) => number))
  return found
    .sort((a, b) => a.number - b.number)
    .map(({ number, agreement, blockedAt }) => {
      return toldAgreement(accounts.get(number) as CustomerAccount, agreement, blockedAt)
    })
}

async function accountsOfTenant({ table }: Database, tenant: string): Promise<number[]> {
  const digest = digestOf(tenant)
  const range = { from: `${digest}#`, to: `${digest}#${END}` }
  const items = await table.list('look for a tenant', TENANTS, range)
  return items.map(({ sk }) => Number(sk.slice(digest.length + 1)))
}
