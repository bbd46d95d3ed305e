import type { Accounts } from './accounts.ts'
import type { Database } from './database.ts'
import { type SeriesNumbers, seriesKey, shardOf } from './places.ts'
import { Shard } from './shard.ts'
import type { Write } from './table.ts'

/**
 * The other identities of AWS accounts: one that has a licence and a product code has a series of each, in different
 * shards mostly, and shards are closed in any order, by several processes at once. Who freezes usage of such an account
 * looks at the records of its other identity, and writes an item that stands for the AWS account over the version that
 * was there before: of two at once one looks again. All others have no such item.
 */

const GUARDS = 'twins'

export class Twins {
  readonly #accounts: Accounts
  readonly #own: Shard
  /** Those of twins that are elsewhere. */
  readonly #others: ReadonlyMap<number, Shard>
  /** What is written together with records that are frozen. */
  readonly writes: readonly Write[]

  private constructor(accounts: Accounts, own: Shard, others: readonly Shard[], writes: readonly Write[]) {
    this.#accounts = accounts
    this.#own = own
    this.#others = new Map(others.map(shard => [shard.number, shard]))
    this.writes = writes
  }

  /** Reads what the twins of a shard's accounts have in some hours. */
  static async read(
    { table, accounts }: Database,
    own: Shard,
    some: Iterable<number>,
    hours: readonly number[],
  ): Promise<Twins> {
    const elsewhere = new Set<number>()
    const guards = new Set<string>()
    for (const account of hours.length === 0 ? [] : some) {
      for (const twin of accounts.twinsOf(account)) {
        const shard = shardOf(twin)
        if (shard === own.number || differ(codeOf(accounts, own, account), codeOf(accounts, undefined, twin))) continue
        elsewhere.add(shard)
        guards.add(`#${accounts.awsAccountOf(account)}`)
      }
    }
    if (guards.size === 0) return new Twins(accounts, own, [], [])
    const keys = [...guards].map(sk => ({ pk: GUARDS, sk }))
    // Before the records, so that none is made in between.
    const items = await table.get('look for other identities', keys)
    const versions = new Map(items.map(({ sk, version }) => [sk, version]))
    const others = await Shard.readAll(table, [...elsewhere], hours)
    const writes = keys.map(put => ({ put, over: versions.get(put.sk) }))
    return new Twins(accounts, own, others, writes)
  }

  /** Whether a series' AWS account has a record of an hour, and of some quantity, under its other identity. */
  has({ account, dimension }: SeriesNumbers, hour: number): boolean {
    return this.#accounts.twinsOf(account).some(twin => {
      const number = shardOf(twin)
      const shard = number === this.#own.number ? this.#own : this.#others.get(number)
      const record = shard?.sheets.get(hour)?.records.get(seriesKey({ account: twin, dimension }))
      if (record === undefined || record.quantity === 0 || record.state === 'returned') return false
      return !differ(codeOf(this.#accounts, this.#own, account), codeOf(this.#accounts, shard, twin))
    })
  }
}

/** The code of the product that an account is billed for, as far as is known. */
function codeOf(accounts: Accounts, shard: Shard | undefined, number: number): string | undefined {
  return accounts.hasLicence(number) ? shard?.account(number).agreement?.productCode : accounts.get(number).product
}

/** Whether two are known to be of different products, so that they have nothing to do with each other. */
function differ(code: string | undefined, other: string | undefined): boolean {
  return code !== undefined && other !== undefined && code !== other
}
