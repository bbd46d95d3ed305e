import type { Account, CustomerAccount } from '../../usage/account.ts'
import { LedgerError } from '../errors.ts'
import { pause, type Table } from './table.ts'

/**
 * The accounts that have ever been metered, numbered in the order in which they came: a number is what batches, series
 * and records name an account by. They are in an append-only log: each process reads on from where it was, and adds at
 * the end where nothing is yet. Customers have even numbers and unattributed accounts odd ones, so that the few of
 * these can be looked through by themselves.
 */

const PARTITION = 'accounts'

/** How many accounts one item of the log has: below 390 KB with the longest names, whatever their characters. */
const ACCOUNTS_PER_ITEM = 300

export const isCustomer = (account: number): boolean => account % 2 === 0

/** How many accounts of each kind there are, and how far the log says of them. */
export interface KnownAccounts {
  readonly customers: number
  readonly unattributed: number
  readonly log: number
}

/** How many accounts there are at least, where there are these. */
export function countAccounts<Counts extends Pick<KnownAccounts, 'customers' | 'unattributed'>>(
  counts: Counts,
  accounts: Iterable<number>,
): Counts {
  let { customers, unattributed } = counts
  for (const account of accounts) {
    if (isCustomer(account)) customers = Math.max(customers, account / 2 + 1)
    else unattributed = Math.max(unattributed, (account - 1) / 2 + 1)
  }
  return { ...counts, customers, unattributed }
}

export class Accounts {
  readonly #table: Table
  /** By number. */
  readonly #accounts: Account[] = []
  readonly #numbers = new Map<string, number>()
  /** By the ids of their AWS accounts: most have one. */
  readonly #ofAwsAccount = new Map<string, number | readonly number[]>()
  #counts = { customers: 0, unattributed: 0 }
  /** Where the log goes on. */
  #next = 0
  /** Those that this process has said the product of: one label is said once, also where replicas disagree. */
  #told = new WeakMap<Account, number>()
  #adding: Promise<unknown> = Promise.resolve()

  constructor(table: Table) {
    this.#table = table
  }

  /** The log is not as it was: it is read anew. */
  forget(): void {
    this.#accounts.length = 0
    this.#numbers.clear()
    this.#ofAwsAccount.clear()
    this.#counts = { customers: 0, unattributed: 0 }
    this.#next = 0
    this.#told = new WeakMap()
  }

  /** What is known here. */
  get known(): KnownAccounts {
    return { ...this.#counts, log: this.#next }
  }

  /** Reads on, where the log is not known so far. */
  async readUpTo(log: number): Promise<void> {
    if (log > this.#next) await this.refresh()
  }

  /** Reads on, where one of these accounts is not known. */
  async readThose(accounts: Iterable<number>): Promise<void> {
    for (const account of accounts) if (this.#accounts[account] === undefined) return await this.refresh()
  }

  async refresh(): Promise<void> {
    const from = placeOf(this.#next)
    for await (const { sk, data } of this.#table.query('read the accounts', PARTITION, { from })) {
      // Another look may have come here first.
      if (sk === placeOf(this.#next)) this.#take(data as Account[])
    }
  }

  #take(accounts: readonly Account[]): void {
    for (const account of accounts) {
      const known = this.#numbers.get(account.key)
      const number = known ?? this.#newNumber(account)
      this.#accounts[number] = account
      this.#numbers.set(account.key, number)
      const id = this.awsAccountOf(number)
      if (known !== undefined || id === undefined) continue
      const others = this.#ofAwsAccount.get(id)
      this.#ofAwsAccount.set(id, others === undefined ? number : [others, number].flat())
    }
    this.#next += 1
  }

  #newNumber({ kind }: Account): number {
    if (kind === 'customer') {
      const { customers } = this.#counts
      this.#counts = { ...this.#counts, customers: customers + 1 }
      return 2 * customers
    }
    const { unattributed } = this.#counts
    this.#counts = { ...this.#counts, unattributed: unattributed + 1 }
    return 2 * unattributed + 1
  }

  get(number: number): Account {
    const account = this.#accounts[number]
    if (account === undefined) {
      throw new LedgerError('ERR_LEDGER_CORRUPT', `The ledger names account ${number}, which is not in its log.`)
    }
    return account
  }

  /** For messages. */
  keyOf(number: number): string {
    return this.#accounts[number]?.key ?? `number ${number}`
  }

  /** The numbers of the accounts with this key, account id, identifier or licence, as far as they are known here. */
  find(name: string): number[] {
    return [...this.#accounts.entries()].flatMap(([number, account]) => {
      if (account === undefined) return []
      const { key, accountId, customerIdentifier, licenseArn } = account as Partial<CustomerAccount>
      return [key, accountId, customerIdentifier, licenseArn].includes(name) ? [number] : []
    })
  }

  /** The id of an account's AWS account, where it has one. */
  awsAccountOf(number: number): string | undefined {
    const account = this.#accounts[number]
    return account?.kind === 'customer' ? account.accountId : undefined
  }

  hasLicence(number: number): boolean {
    const account = this.#accounts[number]
    return account?.kind === 'customer' && account.licenseArn !== undefined
  }

  /** The accounts that are the same AWS account under its other identity, licence or product code. */
  twinsOf(number: number): readonly number[] {
    const id = this.awsAccountOf(number)
    const all = id === undefined ? number : this.#ofAwsAccount.get(id)
    if (all === undefined || typeof all === 'number') return []
    return all.filter(other => this.hasLicence(other) !== this.hasLicence(number))
  }

  /** The number of an account with this key. */
  async numberOfKey(key: string): Promise<number | undefined> {
    if (!this.#numbers.has(key)) await this.refresh()
    return this.#numbers.get(key)
  }

  /** Their numbers; those that are new get one. */
  async numbersOf(accounts: readonly Account[]): Promise<number[]> {
    const unsaid = accounts.filter(account => !this.#told.has(account))
    if (unsaid.length > 0) {
      // One after another, so that none of this process is in its own way.
      const adding = this.#adding.then(() => this.#add(unsaid))
      this.#adding = adding.catch(() => {})
      await adding
    }
    return accounts.map(account => this.#told.get(account) as number)
  }

  async #add(accounts: readonly Account[]): Promise<void> {
    for (let failures = 0; ; failures += 1) {
      // Our label of a licence's product may change; what AWS bills by stays.
      const others = new Map(accounts.map(account => [account.key, account]))
      const unsaid = [...others.values()].filter(account => !this.#says(account))
      if (unsaid.length === 0) break
      if (failures === 0) await this.refresh()
      else {
        const some = unsaid.slice(0, ACCOUNTS_PER_ITEM)
        const put = { pk: PARTITION, sk: placeOf(this.#next) }
        const added = await this.#table.write('add accounts', [{ put, over: undefined, data: some }])
        if (added !== undefined) this.#take(some)
        else {
          await pause(failures)
          await this.refresh()
        }
      }
    }
    for (const account of accounts) this.#told.set(account, this.#numbers.get(account.key) as number)
  }

  #says({ key, product }: Account): boolean {
    const number = this.#numbers.get(key)
    return number !== undefined && this.#accounts[number]?.product === product
  }
}

const placeOf = (position: number): string => String(position).padStart(12, '0')
