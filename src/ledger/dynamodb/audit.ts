import type { Account, CustomerAccount } from '../../usage/account.ts'
import type { Dimension } from '../../usage/dimension.ts'
import { LedgerError } from '../errors.ts'
import type { AuditAction, AuditEntry, AuditQuery, AuditVerdict } from '../ledger.ts'
import {
  type ChainEnd,
  type ChainedEntry,
  chain,
  endWithoutHash,
  feedEntries,
  foreignEntry,
  HASHED_BEFORE,
  HashBefore,
  type NewEntry,
  NOTHING,
  storable,
  TrailCheck,
  unreadable,
  verdictWithoutHash,
} from '../rules/audit.ts'
import { undoneBy } from '../rules/undo.ts'
import { systemUser } from '../system-user.ts'
import type { Database } from './database.ts'
import { type Item, type Key, pause, type Range, type Table, type Write } from './table.ts'
import { fewer, inTransactions } from './transaction.ts'

/**
 * The audit trail; see `rules/audit`. An item for each entry, in the order of the chain, and one for its end, over whose
 * version everything is written that adds to it: two who do so at once are in each other's way, and one looks again.
 * Beside each entry is one that finds it by its action.
 */

const PARTITION = 'audit'
/** The end of the chain: in a partition of its own, since rights are granted by partitions, and who only records adds to it. */
const CHAIN: Key = { pk: 'chain', sk: 'audit' }
/** Entries of before there was a chain are by their time in 16 digits, which begin with a 0; those of the chain after it. */
const OF_CHAIN = '1'
const BEFORE_CHAIN: Range = { to: OF_CHAIN }

const ENTRIES_PER_PAGE = 1000

interface StoredChain extends ChainEnd {
  /** The hash of those before the chain. */
  readonly before: string
  /** The place of the last of those, empty where there was none. */
  readonly last: string
  /** The last cut of which notes were added, and how many: so that each is there once, whoever applies the cut. */
  readonly cut: number
  readonly notes: number
}

type Stored = Omit<AuditEntry, 'account' | 'dimension' | 'recordId' | 'amount' | 'detail'> & {
  readonly recordId: string | null
  readonly amount: string | null
  readonly detail: string | null
  /** Numbers before there was a chain. */
  readonly account: Account | number | null
  readonly dimension: string | number | null
}

const placeOf = (number: number): string => OF_CHAIN + String(number).padStart(15, '0')
const numberOf = (sk: string): number => Number(sk.slice(OF_CHAIN.length))

/** Where entries are found by their action, by their places in the trail. */
const indexOf = (action: AuditAction): string => `audit#${action}`

/** What adds entries to the trail, together with what they are about: over the end of the chain as it is now. */
export async function auditWrites(database: Database, entries: readonly NewEntry[]): Promise<Write[]>
/** @param check whether they may be added, by what the trail says up to that end; undefined where not */
export async function auditWrites(
  database: Database,
  entries: readonly NewEntry[],
  check: (() => Promise<boolean>) | undefined,
): Promise<Write[] | undefined>
export async function auditWrites(
  database: Database,
  entries: readonly NewEntry[],
  check?: () => Promise<boolean>,
): Promise<Write[] | undefined> {
  if (entries.length === 0) return []
  const end = await endOfChain(database.table)
  return check === undefined || (await check()) ? added(database, end, entries) : undefined
}

/** Adds entries to the trail, of which nothing else depends. */
export async function writeAudit(database: Database, entries: readonly NewEntry[]): Promise<void> {
  for (let failures = 1; ; failures += 1) {
    const writes = await auditWrites(database, entries)
    if ((await database.table.write('write to the audit trail', writes)) !== undefined) return
    await pause(failures)
  }
}

/** Adds the notes of a cut, those that nobody has added yet. */
export async function writeNotes(database: Database, cut: number, notes: readonly NewEntry[]): Promise<void> {
  for (let [failures, most] = [1, notes.length]; notes.length > 0; ) {
    const end = await endOfChain(database.table)
    const { data } = end
    if (data.cut > cut) return
    const done = data.cut === cut ? data.notes : 0
    const some = notes.slice(done, done + most)
    if (some.length === 0) return
    const writes = added(database, end, some, { cut, notes: done + some.length })
    try {
      if ((await database.table.write('write to the audit trail', writes)) !== undefined) continue
      await pause(failures)
      failures += 1
    } catch (error) {
      most = fewer(error, some.length)
    }
  }
}

interface FoundEnd {
  readonly data: StoredChain
  readonly version: string | undefined
}

function added(
  { clock }: Database,
  { data, version }: FoundEnd,
  entries: readonly NewEntry[],
  noted?: Pick<StoredChain, 'cut' | 'notes'>,
): Write[] {
  const { chained, end } = chain(data, entries, { systemUser: systemUser(), writtenAt: clock.now() })
  return [
    { put: CHAIN, over: version, data: { ...data, ...end, ...noted } },
    ...chained.flatMap((entry): Write[] => {
      const sk = placeOf(entry.number)
      return [
        { put: { pk: PARTITION, sk }, over: undefined, data: storedOf(entry) },
        { index: { pk: indexOf(entry.action), sk } },
      ]
    }),
  ]
}

/**
 * The end of the chain. It begins after what was there before there was one. In a table that was put back, entries may
 * be there that its end does not know of: it goes on after them.
 *
 * @throws LedgerError where entries are chained and the item is gone, or is none that a ledger has written
 */
async function endOfChain(table: Table): Promise<FoundEnd> {
  const doing = 'read the audit trail'
  // Before the end, which is written with each entry: in this order it is there where an entry is.
  const [last] = await table.list(doing, PARTITION, { newestFirst: true, limit: 1 })
  const [item] = await table.get(doing, [CHAIN])
  const highest = highestOf(last)
  if (item === undefined && highest === 0) return { data: await beginning(table, last?.sk ?? ''), version: undefined }
  const data = chainOf(item)
  if (data === undefined) {
    const what = 'The item "audit" of the partition "chain", the end of the audit trail, is gone or cannot be read'
    throw new LedgerError('ERR_LEDGER_CORRUPT', `${what}.`)
  }
  const version = item?.version
  if (highest <= data.entries) return { data, version }
  return { data: { ...data, entries: highest, hash: (last?.data as Stored | undefined)?.hash ?? NOTHING }, version }
}

/** What an item says of the end; undefined where it is none that a ledger has written. */
function chainOf(item: Item | undefined): StoredChain | undefined {
  const data = item?.data as StoredChain | undefined
  const { entries, hash, before, last } = data ?? {}
  return Number.isSafeInteger(entries) && [hash, before, last].every(one => typeof one === 'string') ? data : undefined
}

/** The highest number of an entry, 0 where none is chained. */
const highestOf = (last: Item | undefined): number => (last?.sk.startsWith(OF_CHAIN) ? numberOf(last.sk) : 0)

async function beginning(table: Table, last: string): Promise<StoredChain> {
  const before = await hashBefore(table, last)
  return { entries: 0, hash: before, before, last, cut: 0, notes: 0 }
}

/** The hash of what was there before the chain, up to a place. */
async function hashBefore(table: Table, last: string): Promise<string> {
  const hash = new HashBefore()
  const range = { to: last, newestFirst: true, limit: HASHED_BEFORE }
  for await (const item of table.query('read the audit trail', PARTITION, range)) {
    hash.add(hashed(item, entryBefore))
  }
  return hash.digest()
}

/** An entry to be hashed. */
function hashed({ data }: Item, read: (stored: Stored) => AuditEntry): AuditEntry {
  const stored = data as Stored
  try {
    return read(stored)
  } catch {
    // Its amount is no number, or there is nothing in it.
    return foreignEntry(entryOf({ ...stored, amount: null }), stored)
  }
}

/** An entry of before there was a chain, with the numbers that it has for names. */
function entryBefore(stored: Stored): AuditEntry {
  const { account, dimension } = stored
  return {
    ...entryOf({ ...stored, account: null, dimension: null }),
    detail: JSON.stringify([account, dimension, stored.detail]),
  }
}

function storedOf({ account, dimension, recordId, amount, detail, ...entry }: ChainedEntry): Stored {
  return {
    ...entry,
    ...{ account: account ?? null, dimension: dimension ?? null, recordId: recordId ?? null, detail: detail ?? null },
    amount: amount === undefined ? null : String(amount),
  }
}

function entryOf({ account, dimension, recordId, amount, detail, ...entry }: Stored): AuditEntry {
  return {
    ...entry,
    ...(account !== null && { account: account as Account }),
    ...(dimension !== null && { dimension: dimension as string }),
    ...(recordId !== null && { recordId }),
    ...(amount !== null && { amount: amountOf(entry, amount) }),
    ...(detail !== null && { detail }),
  }
}

function amountOf({ number, at }: Pick<Stored, 'number' | 'at'>, amount: string): bigint {
  try {
    return BigInt(amount)
  } catch (cause) {
    throw unreadable(number ?? `of ${at}`, cause)
  }
}

/** Entries with the names of what those of before the chain have numbers for. */
async function named({ accounts, dimensions }: Database, stored: readonly Stored[]): Promise<AuditEntry[]> {
  const numbers = stored.flatMap(({ account }) => (typeof account === 'number' ? [account] : []))
  await accounts.readThose(numbers)
  const all = await dimensions.upTo(stored.map(({ dimension }) => (typeof dimension === 'number' ? dimension : -1)))
  return stored.map(one => {
    const { account, dimension } = one
    return entryOf({
      ...one,
      account: typeof account === 'number' ? accounts.get(account) : account,
      dimension: typeof dimension === 'number' ? (all[dimension] as Dimension).name : dimension,
    })
  })
}

/** The numbers of the entries that are undone, as far as was read: what was read once stays. */
export class UndoneEntries {
  readonly numbers = new Set<number | undefined>()
  readonly #table: Table
  #read = OF_CHAIN

  constructor({ table }: Database) {
    this.#table = table
  }

  /** Reads what is new. */
  async read(): Promise<ReadonlySet<number | undefined>> {
    const doing = 'read the audit trail'
    const places = await this.#table.list(doing, indexOf('undo'), { from: `${this.#read} ` })
    const keys = places.map(({ sk }) => ({ pk: PARTITION, sk }))
    for (const { data } of await this.#table.get(doing, keys)) this.numbers.add(undoneBy(entryOf(data as Stored)))
    this.#read = places.at(-1)?.sk ?? this.#read
    return this.numbers
  }
}

export async function auditEntries(database: Database, query: AuditQuery): Promise<AuditEntry[]> {
  const { actions } = query
  if (actions === undefined) return await youngest(database, pagesOf(database.table), query)
  const found: AuditEntry[] = []
  for (const action of actions) found.push(...(await youngest(database, pagesOfAction(database.table, action), query)))
  return found.sort((a, b) => (b.number ?? 0) - (a.number ?? 0) || b.at - a.at)
}

/** The first of these entries that are asked for. */
async function youngest(
  database: Database,
  pages: AsyncGenerator<readonly Stored[]>,
  { limit = 100, who, customer }: AuditQuery,
): Promise<AuditEntry[]> {
  const found: AuditEntry[] = []
  for await (const page of pages) {
    const entries = await named(database, page)
    const wanted = entries.filter(entry => {
      return (who === undefined || entry.who === who) && (customer === undefined || isNamed(entry.account, customer))
    })
    found.push(...wanted)
    if (found.length >= limit) break
  }
  return found.slice(0, limit)
}

function isNamed(account: Account | undefined, name: string): boolean {
  if (account?.kind !== 'customer') return account?.key === name
  const { key, accountId, customerIdentifier, licenseArn } = account
  return [key, accountId, customerIdentifier, licenseArn].includes(name)
}

/** The trail from its youngest entry on. */
async function* pagesOf(table: Table, range: Range = {}): AsyncGenerator<readonly Stored[]> {
  let page: Stored[] = []
  const youngestFirst = { ...range, newestFirst: true, pageSize: ENTRIES_PER_PAGE }
  for await (const { data } of table.query('read the audit trail', PARTITION, youngestFirst)) {
    page.push(data as Stored)
    if (page.length < ENTRIES_PER_PAGE) continue
    yield page
    page = []
  }
  yield page
}

/** The entries of an action, from the youngest on. Those of before the chain are found by none. */
async function* pagesOfAction(table: Table, action: AuditAction): AsyncGenerator<readonly Stored[]> {
  const read = async (places: readonly string[]) => {
    const keys = places.map(sk => ({ pk: PARTITION, sk }))
    const items = await table.get('read the audit trail', keys)
    const entries = items.sort((a, b) => (a.sk < b.sk ? 1 : -1)).map(({ data }) => data as Stored)
    return entries.filter(entry => entry.action === action)
  }
  let places: string[] = []
  const youngestFirst = { newestFirst: true, pageSize: ENTRIES_PER_PAGE }
  for await (const { sk } of table.query('read the audit trail', indexOf(action), youngestFirst)) {
    places.push(sk)
    if (places.length < ENTRIES_PER_PAGE) continue
    yield await read(places)
    places = []
  }
  yield await read(places)
  for await (const page of pagesOf(table, BEFORE_CHAIN)) yield page.filter(entry => entry.action === action)
}

export async function verifyAudit({ table }: Database, kept: string | undefined): Promise<AuditVerdict> {
  const doing = 'verify the audit trail'
  const readEnd = async () => chainOf((await table.get(doing, [CHAIN]))[0])
  let end = await readEnd()
  if (end === undefined) {
    const [last] = await table.list(doing, PARTITION, { newestFirst: true, limit: 1 })
    return verdictWithoutHash(endWithoutHash(0, highestOf(last)), kept)
  }
  const check = new TrailCheck(end.before, await hashBefore(table, end.last), kept)
  const addAll = async (page: readonly Item[]) => {
    const entries = page.map(item => hashed(item, entryOf))
    const places = page.map(({ sk }, index) => ({ pk: indexOf((entries[index] as AuditEntry).action), sk }))
    const found = new Set((await table.get(doing, places)).map(({ sk }) => sk))
    for (const [index, entry] of entries.entries()) check.add(entry, found.has((places[index] as Key).sk))
  }
  // Others may add to it meanwhile: until it is read as far as its end was when that was looked at.
  for (let from = `${end.last} `; ; ) {
    let more = false
    let page: Item[] = []
    for await (const item of table.query(doing, PARTITION, { from, pageSize: ENTRIES_PER_PAGE })) {
      page.push(item)
      from = `${item.sk} `
      more = true
      if (page.length < ENTRIES_PER_PAGE) continue
      await addAll(page)
      page = []
    }
    await addAll(page)
    end = (await readEnd()) ?? end
    if (!more || check.number >= end.entries) return check.end(end)
  }
}

export async function noteSender(
  database: Database,
  sender: string,
  customers: readonly CustomerAccount[],
  now: number,
): Promise<void> {
  const { table } = database
  const entries = feedEntries(sender, customers, now)
  const keyOf = (customer: string): Key => ({ pk: `fed#${storable(sender)}`, sk: `#${customer}` })
  const doing = 'note what a sender feeds'
  await inTransactions([...entries], async some => {
    for (let failures = 1; ; failures += 1) {
      const items = await table.get(
        doing,
        some.map(([customer]) => keyOf(customer)),
      )
      const said = new Set(items.map(({ sk }) => sk))
      const unsaid = some.filter(([customer]) => !said.has(keyOf(customer).sk))
      if (unsaid.length === 0) return
      const writes: Write[] = await auditWrites(
        database,
        unsaid.map(([, entry]) => entry),
      )
      // So that it is said once.
      for (const [customer] of unsaid) writes.push({ put: keyOf(customer), over: undefined })
      if ((await table.write(doing, writes)) !== undefined) return
      await pause(failures)
    }
  })
}
