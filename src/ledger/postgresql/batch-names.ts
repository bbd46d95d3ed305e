import { createHash } from 'node:crypto'
import { type Account, type CustomerAccount, type CustomerName, customerKey } from '../../usage/account.ts'
import { LedgerError } from '../errors.ts'

/** The accounts, products and dimensions that a batch names. */

/** An entry of an index of PostgreSQL's ends at about 2700 bytes. */
const LONGEST_KEY = 2000

/**
 * The names as JSON. The accounts are those of the entries, one after the other, then those of the
 * observations; the columns say what is there of each, and null where it is none of theirs.
 */
export interface PackedNames {
  readonly dimensions: readonly string[]
  readonly products: readonly string[]
  /** For each account the place of its product. */
  readonly product: readonly number[]
  readonly accountId: readonly (string | null)[]
  readonly customerIdentifier?: readonly (string | null)[] | undefined
  readonly licenseArn?: readonly (string | null)[] | undefined
  /** Those that columns cannot say, by their places: without a customer, or with a key of another make. */
  readonly others: readonly (readonly [place: number, account: Account])[]
}

/** Of what a batch has a row. */
interface Named {
  readonly account: Account
  readonly dimension: string
}

let lastNames: BatchNames | undefined

/**
 * The names of the rows of a batch: entries, and observations behind them. Mostly they are those of the batch before, in
 * its order: to make them again would take a third of what an append takes.
 */
export function namesOf(rows: readonly Named[]): BatchNames {
  if (!lastNames?.isOf(rows)) lastNames = new BatchNames(rows)
  return lastNames
}

/** The names of a batch that is being packed. */
export class BatchNames {
  readonly dimensions: string[] = []
  /** For each account, and each dimension, 64 bits that stand for its name, in two numbers. */
  readonly accountHashes: Int32Array
  readonly dimensionHashes: number[] = []
  readonly hasUnattributed: boolean
  /** Whether any of it is for some tags. */
  readonly hasTags: boolean
  /** `PackedNames` as JSON. */
  readonly text: string
  // Of its own: whoever appends may change a batch later, but no account.
  readonly #accounts: readonly Account[]
  readonly #dimensionOf: readonly string[]

  constructor(rows: readonly Named[]) {
    this.#accounts = rows.map(({ account }) => account)
    this.#dimensionOf = rows.map(({ dimension }) => dimension)
    for (const dimension of this.#dimensionOf) this.#addDimension(dimension)
    this.accountHashes = new Int32Array(rows.length * 2)
    const names = this.#packAccounts()
    this.hasUnattributed = names.others.some(([, { kind }]) => kind === 'unattributed')
    this.hasTags = names.others.some(([, account]) => account.kind === 'customer' && account.tags !== undefined)
    this.text = JSON.stringify(names)
  }

  /** Whether these are the names of some rows, as of the same accounts and dimensions in the same order. */
  isOf(rows: readonly Named[]): boolean {
    return (
      rows.length === this.#accounts.length &&
      rows.every(
        ({ account, dimension }, place) => account === this.#accounts[place] && dimension === this.#dimensionOf[place],
      )
    )
  }

  /** The place of a dimension that is in it. */
  dimension(dimension: string): number {
    return this.dimensions.indexOf(dimension)
  }

  #addDimension(dimension: string): void {
    if (this.dimensions.includes(dimension)) return
    this.dimensions.push(dimension)
    const { low, high } = hashOf(dimension)
    this.dimensionHashes.push(low, high)
  }

  #packAccounts(): PackedNames {
    const products: string[] = []
    const product: number[] = []
    const accountId: (string | null)[] = []
    let customerIdentifier: (string | null)[] | undefined
    let licenseArn: (string | null)[] | undefined
    const others: [place: number, account: Account][] = []
    for (const [place, account] of this.#accounts.entries()) {
      const { low, high, usual } = accountNames.get(account) ?? nameOf(account)
      this.accountHashes[place * 2] = low
      this.accountHashes[place * 2 + 1] = high
      product.push(placeOf(products, account.product))
      if (usual === undefined) others.push([place, account])
      accountId.push(usual?.accountId ?? null)
      if (usual?.customerIdentifier !== undefined) {
        customerIdentifier ??= this.#accounts.map(() => null)
        customerIdentifier[place] = usual.customerIdentifier
      }
      if (usual?.licenseArn !== undefined) {
        licenseArn ??= this.#accounts.map(() => null)
        licenseArn[place] = usual.licenseArn
      }
    }
    return { dimensions: this.dimensions, products, product, accountId, customerIdentifier, licenseArn, others }
  }
}

/** A list of a few is looked through in no time. */
function placeOf(list: string[], text: string): number {
  const place = list.indexOf(text)
  return place >= 0 ? place : list.push(text) - 1
}

/** The accounts of a batch by their places. Most are known from other batches, where their keys are enough. */
export class PackedAccounts {
  readonly #names: PackedNames
  readonly #others: ReadonlyMap<number, Account>

  constructor(names: PackedNames) {
    this.#names = names
    this.#others = new Map(names.others)
  }

  key(place: number): string {
    return this.#others.get(place)?.key ?? customerKey(this.#usual(place))
  }

  product(place: number): string {
    return this.#names.products[this.#names.product[place] as number] as string
  }

  account(place: number): Account {
    const other = this.#others.get(place)
    if (other !== undefined) return other
    const { product, accountId, customerIdentifier, licenseArn } = this.#usual(place)
    return {
      ...{ kind: 'customer', key: this.key(place), product },
      ...(accountId !== undefined && { accountId }),
      ...(customerIdentifier !== undefined && { customerIdentifier }),
      ...(licenseArn !== undefined && { licenseArn }),
    }
  }

  #usual(place: number): CustomerName {
    const { accountId, customerIdentifier, licenseArn } = this.#names
    return {
      product: this.product(place),
      accountId: accountId[place] ?? undefined,
      customerIdentifier: customerIdentifier?.[place] ?? undefined,
      licenseArn: licenseArn?.[place] ?? undefined,
    }
  }
}

/** 64 bits that stand for a name, in two numbers. */
interface NameHash {
  readonly low: number
  readonly high: number
}

/** What an account goes by in a batch; found once for each. */
interface AccountName extends NameHash {
  /** Itself, where its key need not be written since it can be made again. */
  readonly usual: CustomerAccount | undefined
}

const accountNames = new WeakMap<Account, AccountName>()

function nameOf(account: Account): AccountName {
  const length = Buffer.byteLength(account.key)
  if (length > LONGEST_KEY) {
    throw new LedgerError(
      'ERR_LEDGER_INVALID',
      `Expected an account's key of at most ${LONGEST_KEY} bytes, got one of ${length}.`,
    )
  }
  const usual = account.kind === 'customer' && account.key === customerKey(account) ? account : undefined
  const name = { ...hashOf(account.key), usual }
  accountNames.set(account, name)
  return name
}

function hashOf(text: string): NameHash {
  const hash = createHash('sha256').update(text).digest()
  return { low: hash.readInt32LE(0), high: hash.readInt32LE(4) }
}
