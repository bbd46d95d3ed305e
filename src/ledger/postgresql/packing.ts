import { createHash } from 'node:crypto'
import { promisify } from 'node:util'
import { brotliCompress, brotliDecompress, constants } from 'node:zlib'
import type { Account, CustomerAccount, UnattributedAccount } from '../../usage/account.ts'
import { LedgerError } from '../errors.ts'
import { HOUR } from '../hours.ts'
import type { Observation, UsageBatch, UsageEntry } from '../ledger.ts'
import { bytesOf, checkObservations } from '../observing.ts'
import { checkEntry, LAST_INSTANT } from '../validation.ts'

/**
 * A batch as one value of the journal, with all that is needed to make sense of it: what it would refer to might be
 * missing in a server that takes over. Accounts and dimensions are listed once, as JSON; then come the entries, column
 * by column, and the observations, in little-endian numbers.
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
const ENTRY_BYTES = 18
const OBSERVATION_BYTES = 63

/** One integer of 64 bits holds it; a larger amount goes in several pieces. */
const LARGEST_PIECE = 2n ** 62n

/** An entry of an index of PostgreSQL's ends at about 2700 bytes. */
const LONGEST_KEY = 2000

const KINDS = ['cumulative', 'scraped', 'delta', 'gauge'] as const satisfies Observation['kind'][]

const compress = promisify(brotliCompress)
const decompress = promisify(brotliDecompress)
const QUICKLY = { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } }
/** What is unpacked comes in pieces of so many bytes, each with a call back. */
const PIECE = 256 * 1024

/** @throws LedgerError when an entry or observation is not what it has to be */
export async function packBatch({ entries, observations = [] }: UsageBatch): Promise<PackedBatch> {
  let at = Number.POSITIVE_INFINITY
  let large = false
  for (const entry of entries) {
    checkEntry(entry)
    at = Math.min(at, entry.hour)
    large ||= entry.amount > LARGEST_PIECE
  }
  checkPoints(observations)
  for (const { receivedAt } of observations) at = Math.min(at, receivedAt)
  const pieces = large ? entries.flatMap(divide) : entries
  const lists = new Lists()
  const bytes = Buffer.alloc(pieces.length * ENTRY_BYTES)
  const usage = new UsageColumns(bytes, pieces.length)
  let row = 0
  for (const { account, dimension, hour, amount } of pieces) {
    usage.set(row, lists.account(account), lists.dimension(dimension), hour, amount)
    row += 1
  }
  const points = packPoints(observations, lists)
  const text = lists.pack()
  const head = Buffer.alloc(HEAD_BYTES)
  head.writeUInt8(LAYOUT)
  for (const [index, length] of [text.length, pieces.length, observations.length].entries()) {
    head.writeUInt32LE(length, 1 + index * 4)
  }
  const digest = createHash('sha256').update(usage.sum(lists))
  for (const part of bytesOf(observations)) digest.update(part)
  const whole = Buffer.concat([head, text, bytes, points])
  return {
    // In one piece.
    body: await compress(whole, { ...QUICKLY, chunkSize: Math.max(whole.length, 1024) }),
    digest: digest.digest(),
    dimensions: lists.dimensions,
    at: Number.isFinite(at) ? at : 0,
    inStatus: observations.length > 0 || lists.unattributed,
  }
}

/** What is in a body. */
export interface UnpackedBatch {
  readonly accounts: readonly Account[]
  readonly dimensions: readonly string[]
  /** How many entries there are, and each of them. */
  readonly rows: number
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
  const [listsLength, rows, points] = [bytes.readUInt32LE(1), bytes.readUInt32LE(5), bytes.readUInt32LE(9)]
  const usageAt = HEAD_BYTES + listsLength
  const pointsAt = usageAt + rows * ENTRY_BYTES
  const { accounts, dimensions } = unpackLists(bytes.toString('utf8', HEAD_BYTES, usageAt))
  return {
    ...{ accounts, dimensions, rows, usage: new UsageColumns(bytes.subarray(usageAt, pointsAt), rows) },
    observations: unpackPoints(bytes.subarray(pointsAt), points, accounts, dimensions),
  }
}

/** Entries as columns: the places of accounts and dimensions in their lists, hours since the epoch, amounts. */
class UsageColumns {
  readonly #view: DataView
  readonly #rows: number

  constructor(bytes: Buffer, rows: number) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#rows = rows
  }

  set(row: number, account: number, dimension: number, hour: number, amount: bigint): void {
    this.#view.setUint32(row * 4, account, true)
    this.#view.setUint16(this.#rows * 4 + row * 2, dimension, true)
    this.#view.setUint32(this.#rows * 6 + row * 4, hour / HOUR, true)
    this.#view.setBigInt64(this.#rows * 10 + row * 8, amount, true)
  }

  account(row: number): number {
    return this.#view.getUint32(row * 4, true)
  }

  dimension(row: number): number {
    return this.#view.getUint16(this.#rows * 4 + row * 2, true)
  }

  hour(row: number): number {
    return this.#view.getUint32(this.#rows * 6 + row * 4, true) * HOUR
  }

  amount(row: number): bigint {
    return this.#view.getBigInt64(this.#rows * 10 + row * 8, true)
  }

  /**
   * 64 bits that stand for the entries in any order: each is hashed, and the hashes are added up. To sort them first
   * would take longer than all else.
   */
  sum(lists: Lists): Uint32Array {
    const sum = new Uint32Array(2)
    for (let row = 0; row < this.#rows; row += 1) {
      const account = lists.accountPrint(this.account(row))
      const dimension = lists.dimensionPrint(this.dimension(row))
      const hour = this.#view.getUint32(this.#rows * 6 + row * 4, true)
      const low = this.#view.getUint32(this.#rows * 10 + row * 8, true)
      const high = this.#view.getUint32(this.#rows * 10 + row * 8 + 4, true)
      for (let half = 0; half < 2; half += 1) {
        const series = mix(account[half] as number, dimension[half] as number)
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

function packPoints(points: readonly Observation[], lists: Lists): Buffer {
  const bytes = Buffer.alloc(points.length * OBSERVATION_BYTES)
  for (const [index, point] of points.entries()) {
    const at = index * OBSERVATION_BYTES
    bytes.write(point.counter, at, 'hex')
    bytes.writeUInt8(KINDS.indexOf(point.kind), at + 16)
    bytes.writeUInt32LE(lists.account(point.account), at + 17)
    bytes.writeUInt16LE(lists.dimension(point.dimension), at + 21)
    bytes.writeDoubleLE(point.start, at + 23)
    bytes.writeDoubleLE(point.time, at + 31)
    bytes.writeDoubleLE(point.receivedAt, at + 39)
    bytes.writeDoubleLE(point.maxGap ?? 0, at + 47)
    bytes.writeBigInt64LE(point.value, at + 55)
  }
  return bytes
}

function unpackPoints(
  bytes: Buffer,
  points: number,
  accounts: readonly Account[],
  dimensions: readonly string[],
): Observation[] {
  return Array.from({ length: points }, (_, index) => {
    const at = index * OBSERVATION_BYTES
    return {
      counter: bytes.toString('hex', at, at + 16),
      kind: KINDS[bytes.readUInt8(at + 16)] as Observation['kind'],
      account: accounts[bytes.readUInt32LE(at + 17)] as Account,
      dimension: dimensions[bytes.readUInt16LE(at + 21)] as string,
      start: bytes.readDoubleLE(at + 23),
      time: bytes.readDoubleLE(at + 31),
      receivedAt: bytes.readDoubleLE(at + 39),
      maxGap: bytes.readDoubleLE(at + 47),
      value: bytes.readBigInt64LE(at + 55),
    }
  })
}

/** What no column could hold would be in the way of all that comes after it when the journal is folded. */
function checkPoints(points: readonly Observation[]): void {
  checkObservations(points)
  for (const { counter, start, time, receivedAt, maxGap = 0 } of points) {
    const whole = [start, time, receivedAt, maxGap].every(Number.isSafeInteger)
    if (whole && receivedAt <= LAST_INSTANT && /^[0-9a-f]{32}$/.test(counter)) continue
    const got = JSON.stringify({ counter, start, time, receivedAt, maxGap })
    throw new LedgerError(
      'ERR_LEDGER_INVALID',
      `Expected an observation with a counter of 32 hexadecimal digits and times in whole numbers, got ${got}.`,
    )
  }
}

/** How many batches were packed. */
let batches = 0

/** What a batch is about, each with its place in a list. */
class Lists {
  readonly products: string[] = []
  readonly dimensions: string[] = []
  unattributed = false
  readonly #batch = ++batches
  readonly #accounts: KnownAccount[] = []
  readonly #dimensionPrints: Uint32Array[] = []

  account(account: Account): number {
    const known = knownAccounts.get(account) ?? know(account)
    if (known.batch !== this.#batch) {
      known.batch = this.#batch
      known.place = this.#accounts.push(known) - 1
      this.unattributed ||= account.kind === 'unattributed'
      const product = placeIn(this.products, account.product)
      if (known.product !== product) {
        known.product = product
        known.text = JSON.stringify(packAccount(account, product))
      }
    }
    return known.place
  }

  dimension(dimension: string): number {
    const place = placeIn(this.dimensions, dimension)
    this.#dimensionPrints[place] ??= printOf(dimension)
    return place
  }

  accountPrint(place: number): Uint32Array {
    return (this.#accounts[place] as KnownAccount).print
  }

  dimensionPrint(place: number): Uint32Array {
    return this.#dimensionPrints[place] as Uint32Array
  }

  pack(): Buffer {
    const accounts = this.#accounts.map(({ text }) => text).join()
    return Buffer.from(`[${JSON.stringify(this.products)},${JSON.stringify(this.dimensions)},[${accounts}]]`)
  }
}

/** A list of a few is looked through in no time. */
function placeIn(list: string[], text: string): number {
  const place = list.indexOf(text)
  return place >= 0 ? place : list.push(text) - 1
}

function unpackLists(text: string): { accounts: Account[]; dimensions: string[] } {
  const [products, dimensions, rows] = JSON.parse(text) as [string[], string[], AccountRow[]]
  return { accounts: rows.map(row => unpackAccount(row, products)), dimensions }
}

/** An account with what batches say of it. */
interface KnownAccount {
  /** 64 bits that stand for its key. */
  readonly print: Uint32Array
  text: string
  /** The place of its product, as the text has it. */
  product: number
  /** Its own place, in the batch that it was last in. */
  place: number
  batch: number
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
  const known: KnownAccount = { print: printOf(account.key), text: '', product: -1, place: 0, batch: 0 }
  knownAccounts.set(account, known)
  return known
}

/** An unattributed account as it is; of a customer what tells it, without what is not there at the end. */
type AccountRow = UnattributedAccount | CustomerRow
type CustomerRow = [product: number, accountId?: Text, customerIdentifier?: Text, licenseArn?: Text, key?: Text]
type Text = string | undefined | null

function packAccount(account: Account, product: number): AccountRow {
  if (account.kind === 'unattributed') return account
  const { key, accountId, customerIdentifier, licenseArn } = account
  const row: CustomerRow = [product, accountId, customerIdentifier, licenseArn]
  // Most keys are made of what is there already.
  if (key !== usualKey(account)) row.push(key)
  while (row.at(-1) === undefined) row.pop()
  return row
}

function unpackAccount(row: AccountRow, products: readonly string[]): Account {
  if ('kind' in row) return row
  const [product, accountId, customerIdentifier, licenseArn, key] = row
  const customer: Unkeyed = {
    kind: 'customer',
    product: products[product] as string,
    ...(accountId && { accountId }),
    ...(customerIdentifier && { customerIdentifier }),
    ...(licenseArn && { licenseArn }),
  }
  return { ...customer, key: key ?? usualKey(customer) }
}

type Unkeyed = Omit<CustomerAccount, 'key'>

function usualKey({ product, accountId, customerIdentifier, licenseArn }: Unkeyed): string {
  if (customerIdentifier !== undefined) return `${product},customer=${customerIdentifier}`
  return licenseArn === undefined ? `${product},${accountId}` : `${accountId},${licenseArn}`
}

function printOf(text: string): Uint32Array {
  const hash = createHash('sha256').update(text).digest()
  return Uint32Array.of(hash.readUInt32LE(0), hash.readUInt32LE(4))
}
