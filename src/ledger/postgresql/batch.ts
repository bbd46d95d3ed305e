import { createHash } from 'node:crypto'
import { promisify } from 'node:util'
import { brotliCompress, brotliDecompress, constants } from 'node:zlib'
import type { Account, CustomerAccount } from '../../usage/account.ts'
import { LedgerError } from '../errors.ts'
import { HOUR } from '../hours.ts'
import type { Observation, UsageBatch, UsageEntry } from '../ledger.ts'
import { bytesOf, checkObservations } from '../rules/counters.ts'
import { checkEntry } from '../rules/validation.ts'

/**
 * A batch as one value of the journal, with all that is needed to make sense of it: what it would refer to might be
 * missing in a server that takes over. What it is about comes first, as JSON; then the entries, column by column, and the
 * observations, in little-endian numbers.
 */
export interface PackedBatch {
  readonly body: Buffer
  /** The same for the same entries in any order, and the same observations in the same order. */
  readonly digest: Buffer
  /** The names of the dimensions in it. */
  readonly dimensions: readonly string[]
  /** The earliest time in it, in milliseconds since the epoch; 0 where there is none. */
  readonly at: number
  /** Whether it has what the status tells: usage without a customer, or points of others' counters. */
  readonly inStatus: boolean
}

/** The first byte of a body: another layout gets another one. */
const LAYOUT = 1
const HEAD_BYTES = 13
const ENTRY_BYTES = 14
const OBSERVATION_BYTES = 59

/** One integer of 64 bits holds it; a larger amount goes in several pieces. */
const LARGEST_PIECE = 2n ** 62n

/** An entry of an index of PostgreSQL's ends at about 2700 bytes. */
const LONGEST_KEY = 2000

const KINDS = ['cumulative', 'scraped', 'delta', 'gauge'] as const satisfies Observation['kind'][]

const compress = promisify(brotliCompress)
const decompress = promisify(brotliDecompress)
/** It comes in pieces of so many bytes, each with a call back. */
const PIECE = 64 * 1024
const QUICKLY = { params: { [constants.BROTLI_PARAM_QUALITY]: 1 }, chunkSize: PIECE }

/** @throws LedgerError when an entry or observation is not what it has to be */
export async function packBatch({ entries, observations = [] }: UsageBatch): Promise<PackedBatch> {
  let at = Number.POSITIVE_INFINITY
  let large = false
  for (const entry of entries) {
    checkEntry(entry)
    at = Math.min(at, entry.hour)
    large ||= entry.amount > LARGEST_PIECE
  }
  checkObservations(observations)
  for (const { receivedAt } of observations) at = Math.min(at, receivedAt)
  const pieces = large ? entries.flatMap(divide) : entries
  const lists = new Lists(pieces.length + observations.length)
  for (const { account, dimension } of pieces) lists.add(account, dimension)
  for (const { account, dimension } of observations) lists.add(account, dimension)
  const text = JSON.stringify(lists.pack())
  const usageAt = HEAD_BYTES + Buffer.byteLength(text)
  const pointsAt = usageAt + pieces.length * ENTRY_BYTES
  const whole = Buffer.alloc(pointsAt + observations.length * OBSERVATION_BYTES)
  whole.writeUInt8(LAYOUT)
  for (const [index, figure] of [usageAt, pieces.length, observations.length].entries()) {
    whole.writeUInt32LE(figure, 1 + index * 4)
  }
  whole.write(text, HEAD_BYTES)
  const usage = new UsageColumns(whole.subarray(usageAt, pointsAt), pieces.length)
  let row = 0
  for (const { dimension, hour, amount } of pieces) {
    usage.set(row, lists.dimension(dimension), hour, amount)
    row += 1
  }
  packPoints(whole.subarray(pointsAt), observations, lists)
  const digest = createHash('sha256').update(usage.sum(lists))
  for (const part of bytesOf(observations)) digest.update(part)
  return {
    body: await compress(whole, QUICKLY),
    digest: digest.digest(),
    dimensions: lists.dimensions,
    at: Number.isFinite(at) ? at : 0,
    inStatus: observations.length > 0 || lists.hasUnattributed,
  }
}

/** What is in a body. */
export interface UnpackedBatch {
  readonly dimensions: readonly string[]
  /** How many entries there are, and each of them: its account, and the rest. */
  readonly rows: number
  readonly accounts: PackedAccounts
  readonly usage: UsageColumns
  readonly observations: readonly Observation[]
}

export async function unpackBatch(body: Buffer): Promise<UnpackedBatch> {
  const bytes = await decompress(body, { chunkSize: PIECE })
  if (bytes[0] !== LAYOUT) {
    throw new LedgerError(
      'ERR_LEDGER_NEWER',
      `A batch in the ledger has layout ${bytes[0]}; this version of the package knows ${LAYOUT}. ` +
        'Use the version that wrote it, or a later one.',
    )
  }
  const [usageAt, rows, points] = [bytes.readUInt32LE(1), bytes.readUInt32LE(5), bytes.readUInt32LE(9)]
  const pointsAt = usageAt + rows * ENTRY_BYTES
  const lists = JSON.parse(bytes.toString('utf8', HEAD_BYTES, usageAt)) as PackedLists
  const [accounts, { dimensions }] = [new PackedAccounts(lists), lists]
  return {
    ...{ accounts, dimensions, rows, usage: new UsageColumns(bytes.subarray(usageAt, pointsAt), rows) },
    observations: unpackPoints(bytes.subarray(pointsAt), points, place => accounts.account(rows + place), dimensions),
  }
}

/** Entries as columns: the places of dimensions in their list, hours since the epoch, amounts. */
class UsageColumns {
  readonly #view: DataView
  readonly #rows: number

  constructor(bytes: Buffer, rows: number) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#rows = rows
  }

  set(row: number, dimension: number, hour: number, amount: bigint): void {
    this.#view.setUint16(row * 2, dimension, true)
    this.#view.setUint32(this.#rows * 2 + row * 4, hour / HOUR, true)
    this.#view.setBigInt64(this.#rows * 6 + row * 8, amount, true)
  }

  dimension(row: number): number {
    return this.#view.getUint16(row * 2, true)
  }

  hour(row: number): number {
    return this.#view.getUint32(this.#rows * 2 + row * 4, true) * HOUR
  }

  amount(row: number): bigint {
    return this.#view.getBigInt64(this.#rows * 6 + row * 8, true)
  }

  /**
   * 64 bits that stand for the entries in any order: each is hashed, and the hashes are added up. To sort them first
   * would take longer than all else.
   */
  sum({ accountPrints, dimensionPrints }: Lists): Uint32Array {
    const sum = new Uint32Array(2)
    for (let row = 0; row < this.#rows; row += 1) {
      const account = 2 * row
      const dimension = 2 * this.dimension(row)
      const hour = this.#view.getUint32(this.#rows * 2 + row * 4, true)
      const low = this.#view.getUint32(this.#rows * 6 + row * 8, true)
      const high = this.#view.getUint32(this.#rows * 6 + row * 8 + 4, true)
      for (let half = 0; half < 2; half += 1) {
        const series = mix(accountPrints[account + half] as number, dimensionPrints[dimension + half] as number)
        sum[half] = (sum[half] as number) + finish(mix(mix(mix(series, hour), low), high))
      }
    }
    return sum
  }
}

/** A round, and the end, of MurmurHash3. */
function mix(hash: number, word: number): number {
  const scrambled = Math.imul(word, 0xcc9e2d51)
  const mixed = hash ^ Math.imul((scrambled << 15) | (scrambled >>> 17), 0x1b873593)
  return Math.imul((mixed << 13) | (mixed >>> 19), 5) + 0xe6546b64
}

function finish(hash: number): number {
  const first = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  const second = Math.imul(first ^ (first >>> 13), 0xc2b2ae35)
  return (second ^ (second >>> 16)) >>> 0
}

function divide(entry: UsageEntry): UsageEntry[] {
  const pieces: UsageEntry[] = []
  let rest = entry.amount
  for (; rest > LARGEST_PIECE; rest -= LARGEST_PIECE) pieces.push({ ...entry, amount: LARGEST_PIECE })
  return [...pieces, { ...entry, amount: rest }]
}

function packPoints(bytes: Buffer, points: readonly Observation[], lists: Lists): void {
  for (const [index, point] of points.entries()) {
    const at = index * OBSERVATION_BYTES
    bytes.write(point.counter, at, 'hex')
    bytes.writeUInt8(KINDS.indexOf(point.kind), at + 16)
    bytes.writeUInt16LE(lists.dimension(point.dimension), at + 17)
    bytes.writeDoubleLE(point.start, at + 19)
    bytes.writeDoubleLE(point.time, at + 27)
    bytes.writeDoubleLE(point.receivedAt, at + 35)
    bytes.writeDoubleLE(point.maxGap ?? 0, at + 43)
    bytes.writeBigInt64LE(point.value, at + 51)
  }
}

function unpackPoints(
  bytes: Buffer,
  points: number,
  accountAt: (place: number) => Account,
  dimensions: readonly string[],
): Observation[] {
  return Array.from({ length: points }, (_, index) => {
    const at = index * OBSERVATION_BYTES
    return {
      counter: bytes.toString('hex', at, at + 16),
      kind: KINDS[bytes.readUInt8(at + 16)] as Observation['kind'],
      account: accountAt(index),
      dimension: dimensions[bytes.readUInt16LE(at + 17)] as string,
      start: bytes.readDoubleLE(at + 19),
      time: bytes.readDoubleLE(at + 27),
      receivedAt: bytes.readDoubleLE(at + 35),
      maxGap: bytes.readDoubleLE(at + 43),
      value: bytes.readBigInt64LE(at + 51),
    }
  })
}

/**
 * What a batch is about, as JSON. The accounts are those of the entries, one after the other, then those of the
 * observations; the columns say what is there of each, and null where it is none of theirs.
 */
interface PackedLists {
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

class Lists {
  readonly dimensions: string[] = []
  /** For each account, and each dimension, 64 bits that stand for its name, in two numbers. */
  readonly accountPrints: Int32Array
  readonly dimensionPrints: number[] = []
  readonly #products: string[] = []
  readonly #product: number[]
  readonly #accountIds: (string | null)[]
  #identifiers: (string | null)[] | undefined
  #licences: (string | null)[] | undefined
  readonly #others: [place: number, account: Account][] = []
  #length = 0

  /** @param accounts how many there will be */
  constructor(accounts: number) {
    this.accountPrints = new Int32Array(accounts * 2)
    this.#product = new Array(accounts)
    this.#accountIds = new Array(accounts)
  }

  /** Adds the next account, and makes the dimension known. */
  add(account: Account, dimension: string): void {
    this.dimension(dimension)
    const place = this.#length
    this.#length += 1
    const { low, high, usual } = knownAccounts.get(account) ?? know(account)
    this.accountPrints[place * 2] = low
    this.accountPrints[place * 2 + 1] = high
    this.#product[place] = placeOf(this.#products, account.product)
    if (usual === undefined) this.#others.push([place, account])
    this.#accountIds[place] = usual?.accountId ?? null
    if (usual?.customerIdentifier !== undefined) {
      this.#identifiers ??= this.#accountIds.map(() => null)
      this.#identifiers[place] = usual.customerIdentifier
    }
    if (usual?.licenseArn !== undefined) {
      this.#licences ??= this.#accountIds.map(() => null)
      this.#licences[place] = usual.licenseArn
    }
  }

  /** The place of a dimension. */
  dimension(dimension: string): number {
    const place = placeOf(this.dimensions, dimension)
    if (this.dimensionPrints.length <= place * 2) {
      const { low, high } = printOf(dimension)
      this.dimensionPrints.push(low, high)
    }
    return place
  }

  get hasUnattributed(): boolean {
    return this.#others.some(([, { kind }]) => kind === 'unattributed')
  }

  pack(): PackedLists {
    return {
      dimensions: this.dimensions,
      products: this.#products,
      product: this.#product,
      accountId: this.#accountIds,
      customerIdentifier: this.#identifiers,
      licenseArn: this.#licences,
      others: this.#others,
    }
  }
}

/** A list of a few is looked through in no time. */
function placeOf(list: string[], text: string): number {
  const place = list.indexOf(text)
  return place >= 0 ? place : list.push(text) - 1
}

/** The accounts of a batch by their places. Most are known from other batches, where their keys are enough. */
class PackedAccounts {
  readonly #lists: PackedLists
  readonly #others: ReadonlyMap<number, Account>

  constructor(lists: PackedLists) {
    this.#lists = lists
    this.#others = new Map(lists.others)
  }

  key(place: number): string {
    return this.#others.get(place)?.key ?? usualKey(this.#usual(place))
  }

  product(place: number): string {
    return this.#lists.products[this.#lists.product[place] as number] as string
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

  #usual(place: number): Identity {
    const { accountId, customerIdentifier, licenseArn } = this.#lists
    return {
      product: this.product(place),
      accountId: accountId[place] ?? undefined,
      customerIdentifier: customerIdentifier?.[place] ?? undefined,
      licenseArn: licenseArn?.[place] ?? undefined,
    }
  }
}

/** What tells a customer from another. */
interface Identity {
  readonly product: string
  readonly accountId?: string | undefined
  readonly customerIdentifier?: string | undefined
  readonly licenseArn?: string | undefined
}

/** How keys are made, mostly. */
function usualKey({ product, accountId, customerIdentifier, licenseArn }: Identity): string {
  if (customerIdentifier !== undefined) return `${product},customer=${customerIdentifier}`
  return licenseArn === undefined ? `${product},${accountId}` : `${accountId},${licenseArn}`
}

/** 64 bits that stand for a name, in two numbers. */
interface Print {
  readonly low: number
  readonly high: number
}

/** What is found of an account once. */
interface KnownAccount extends Print {
  /** Itself, where its key need not be written since it can be made again. */
  readonly usual: CustomerAccount | undefined
}

const knownAccounts = new WeakMap<Account, KnownAccount>()

function know(account: Account): KnownAccount {
  const length = Buffer.byteLength(account.key)
  if (length > LONGEST_KEY) {
    throw new LedgerError(
      'ERR_LEDGER_INVALID',
      `Expected an account's key of at most ${LONGEST_KEY} bytes, got one of ${length}.`,
    )
  }
  const usual = account.kind === 'customer' && account.key === usualKey(account) ? account : undefined
  const known = { ...printOf(account.key), usual }
  knownAccounts.set(account, known)
  return known
}

function printOf(text: string): Print {
  const hash = createHash('sha256').update(text).digest()
  return { low: hash.readInt32LE(0), high: hash.readInt32LE(4) }
}
