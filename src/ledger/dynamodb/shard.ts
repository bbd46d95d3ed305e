import { LedgerError } from '../errors.ts'
import { HOUR } from '../hours.ts'
import type { HeldReason, RecordState } from '../ledger.ts'
import { type Blocking, putOff, SUBSCRIBED } from '../rules/subscription.ts'
import type { Transition } from '../rules/transitions.ts'
import { textOf, toColumns, toRows } from './packed-json.ts'
import { END, type Item, type Key, type Range, type Table, type Write } from './table.ts'
import { addAmount, type SeriesUsage } from './usage.ts'

/**
 * The series of a few accounts together, in one item, and beside it an item for each hour with the records of all these
 * series: small enough to be written again for each change, large enough that few writes change many series. What
 * changes together is written together, and only over what was read.
 */

/** How many accounts share a shard: with three dimensions, their series take one or two kilobytes. */
const ACCOUNTS_PER_SHARD = 16

export interface Series {
  readonly account: number
  readonly dimension: number
  readonly firstHour: number
  /** Of closed hours; `open` has the rest. */
  recorded: bigint
  metered: bigint
  pending: bigint
  held: Map<HeldReason, bigint>
  /** Of closed hours and not frozen; `open` has the rest. */
  balance: bigint
  /** The quantity that a person let past the guard. */
  approved: number
  /** Usage that is not in the totals, by hour. */
  open: Map<number, bigint>
}

export interface AccountState extends Blocking {
  /** When its agreement ended. */
  readonly endedAt: number | null
}

export interface StoredRecord {
  readonly account: number
  readonly dimension: number
  readonly lane: string
  readonly timestamp: number
  deadline: number
  readonly quantity: number
  readonly size: bigint
  readonly probe: boolean
  state: RecordState
  reason: HeldReason | 'expired' | null
  attempts: number
  refusals: number
  nextAttemptAt: number
  claim: string | null
  claimedUntil: number
  answer: string | null
  meteringRecordId: string | null
}

/** The records of a shard's series of one hour, by series. */
export class Page {
  readonly hour: number
  readonly version: string | undefined
  readonly records: Map<string, StoredRecord>

  constructor(hour: number, item: Item | undefined) {
    this.hour = hour
    this.version = item?.version
    const rows = toRows((item?.data as Record<string, unknown[]> | undefined) ?? {})
    this.records = new Map(
      rows.map(row => {
        const record = { ...row, size: BigInt(row.size as string) } as unknown as StoredRecord
        return [seriesKey(record), record]
      }),
    )
  }
}

/** The number of an account's shard. As with accounts, those of customers are even. */
export function shardOf(account: number): number {
  return 2 * Math.floor(Math.floor(account / 2) / ACCOUNTS_PER_SHARD) + (account % 2)
}

/** The shards of the first so many accounts of a kind. */
export function shardsOf({ customers = 0, unattributed = 0 }: { customers?: number; unattributed?: number }): number[] {
  const of = (accounts: number, odd: number) =>
    Array.from({ length: Math.ceil(accounts / ACCOUNTS_PER_SHARD) }, (_, index) => 2 * index + odd)
  return [...of(customers, 0), ...of(unattributed, 1)]
}

const partitionOf = (shard: number): string =>
  `${shard % 2 === 0 ? 'customers' : 'unattributed'}#${Math.floor(shard / 2)}`
const hourText = (hour: number): string => String(hour / HOUR).padStart(10, '0')
const stateKey = (shard: number): Key => ({ pk: partitionOf(shard), sk: 'state' })
const pageKey = (shard: number, hour: number): Key => ({
  pk: partitionOf(shard),
  sk: `records#${hourText(hour)}`,
})
const hourOfPlace = (sk: string): number => Number(sk.split('#')[1]) * HOUR

export const seriesKey = ({ account, dimension }: Pick<Series, 'account' | 'dimension'>): string =>
  `${account}-${dimension}`

/** What a record is called: its hour, account and dimension, of which there is one record at most. */
export const recordId = (hour: number, record: Pick<Series, 'account' | 'dimension'>): string =>
  `${hour / HOUR}-${seriesKey(record)}`

export interface Place {
  readonly hour: number
  readonly series: string
  readonly shard: number
}

/** Where a record is, if it is anywhere. */
export function placeOfRecord(id: string): Place | undefined {
  const [, hour, account, dimension] = /^(\d{1,10})-(\d{1,15})-(\d{1,6})$/.exec(id) ?? []
  if (hour === undefined) return undefined
  return { hour: Number(hour) * HOUR, series: `${account}-${dimension}`, shard: shardOf(Number(account)) }
}

const DUE = 'due'
const HELD = 'held'

/** An entry of the index of what is pending: the earliest deadline first. */
export interface Due {
  readonly key: string
  readonly deadline: string
  readonly hour: number
  readonly shard: number
  readonly lane: string
}

/** The key by which records of a page are found that are pending. */
export function dueKey(shard: number, hour: number, { deadline, lane }: StoredRecord): string {
  return [deadlineText(deadline), hourText(hour), shard, lane].join('#')
}

export const deadlineText = (deadline: number): string => String(Math.max(0, Math.ceil(deadline))).padStart(16, '0')

function dueOf(sk: string): Due {
  const [, deadline = '', hour, shard, lane = ''] = /^(\d+)#(\d+)#(\d+)#(.*)$/s.exec(sk) ?? []
  return { key: sk, deadline, hour: Number(hour) * HOUR, shard: Number(shard), lane }
}

/** What is pending, the earliest deadline first. */
export async function* pendingPages(table: Table, pageSize?: number): AsyncGenerator<Due> {
  const range = pageSize === undefined ? {} : { pageSize }
  for await (const { sk } of table.query('look for pending records', DUE, range)) yield dueOf(sk)
}

/** Where records are held. */
export async function heldPages(table: Table): Promise<{ shard: number; hour: number }[]> {
  return (await table.list('look for held records', HELD)).map(({ sk }) => {
    const [hour, shard] = sk.split('#').map(Number) as [number, number]
    return { hour: hour * HOUR, shard }
  })
}

/** The pages at these places, as far as they are there. */
export async function readPages(
  table: Table,
  places: readonly Pick<Place, 'shard' | 'hour'>[],
): Promise<(Page | undefined)[]> {
  const keys = places.map(({ shard, hour }) => pageKey(shard, hour))
  const name = ({ pk, sk }: Key) => `${pk} ${sk}`
  // One page may be asked for by several names.
  const items = await table.get('read records', [...new Map(keys.map(key => [name(key), key])).values()])
  const found = new Map(items.map(item => [name(item), item]))
  return places.map(({ hour }, index) => {
    const item = found.get(name(keys[index] as Key))
    return item === undefined ? undefined : new Page(hour, item)
  })
}

/** Hours from one on up to, but not with, another. */
export interface Hours {
  readonly from: number
  readonly to: number
}

/** The places of what is kept by hours. */
function rangeOf(kept: 'records' | 'usage', { from, to }: Hours): Range {
  const last = Math.ceil(Math.min(to, LAST_HOUR) / HOUR) - 1
  return { from: `${kept}#${hourText(from)}`, to: last < 0 ? kept : `${kept}#${hourText(last * HOUR)}${END}` }
}

const LAST_HOUR = 9_999_999_999 * HOUR

/** A shard's pages of a period, the youngest hour first. */
export async function* pagesOf(table: Table, shard: number, hours: Hours, pageSize?: number): AsyncGenerator<Page> {
  const range = { ...rangeOf('records', hours), newestFirst: true, ...(pageSize !== undefined && { pageSize }) }
  for await (const item of table.query('read records', partitionOf(shard), range)) {
    yield new Page(hourOfPlace(item.sk), item)
  }
}

/** What a shard's series used in a period's closed hours. */
export async function usageOf(table: Table, shard: number, hours: Hours): Promise<SeriesUsage[]> {
  const items = await table.list('read usage', partitionOf(shard), rangeOf('usage', hours))
  return items.flatMap(({ sk, data }) =>
    toRows(data as Record<string, unknown[]>).map(({ account, dimension, amount }) => ({
      ...{ account: account as number, dimension: dimension as number, hour: hourOfPlace(sk) },
      amount: BigInt(amount as string),
    })),
  )
}

/** Where that is. */
export async function usageKeys(table: Table, shard: number, hours: Hours): Promise<Key[]> {
  return await table.list('look for usage', partitionOf(shard), rangeOf('usage', hours))
}

/** Takes records from a page. False where somebody else has changed it since. */
export async function removeRecords(
  table: Table,
  shard: number,
  page: Page,
  series: readonly string[],
): Promise<boolean> {
  for (const one of series) page.records.delete(one)
  const over = page.version ?? ''
  const write = page.records.size === 0 ? { remove: pageKey(shard, page.hour), over } : putPage(shard, page)
  return (await table.write('delete what is settled and old', [write])) !== undefined
}

/** A shard as it was read, to be changed and written back. */
export class Shard {
  readonly number: number
  /** The last cut whose usage is in it. */
  cut: number
  readonly series: Map<string, Series>
  readonly pages = new Map<number, Page>()
  readonly #accounts: Map<number, AccountState>
  /** Usage that went into the totals, by hour. */
  readonly #counted = new Map<number, SeriesUsage[]>()
  readonly #version: string | undefined
  readonly #stateBefore: string
  readonly #pagesBefore = new Map<number, { text: string; marks: ReadonlySet<string> }>()

  constructor(number: number, item: Item | undefined) {
    this.number = number
    this.#version = item?.version
    const { cut, series, accounts } = (item?.data as StoredState | undefined) ?? EMPTY
    this.cut = cut
    this.series = new Map(toRows(series).map(row => [seriesKey(row as unknown as Series), seriesOf(row)]))
    this.#accounts = new Map(accounts)
    this.#stateBefore = textOf(this.#state)
  }

  /** Reads shards, with their records of these hours. */
  static async read(table: Table, number: number, hours: Iterable<number> = []): Promise<Shard> {
    const keys = [...new Set(hours)].map(hour => pageKey(number, hour))
    const items = new Map((await table.get('read series', [stateKey(number), ...keys])).map(item => [item.sk, item]))
    const shard = new Shard(number, items.get('state'))
    for (const { sk } of keys) shard.#addPage(new Page(hourOfPlace(sk), items.get(sk)))
    return shard
  }

  /** Only the series of shards, those that are there. */
  static async readSeries(table: Table, numbers: readonly number[]): Promise<Shard[]> {
    const items = new Map((await table.get('read series', numbers.map(stateKey))).map(item => [item.pk, item]))
    return numbers.flatMap(number => {
      const item = items.get(partitionOf(number))
      return item === undefined ? [] : [new Shard(number, item)]
    })
  }

  /** Reads the records of more hours. */
  async readPages(table: Table, hours: Iterable<number>): Promise<void> {
    const missing = [...new Set(hours)].filter(hour => !this.pages.has(hour))
    if (missing.length === 0) return
    const items = await table.get(
      'read records',
      missing.map(hour => pageKey(this.number, hour)),
    )
    const found = new Map(items.map(item => [hourOfPlace(item.sk), item]))
    for (const hour of missing) this.#addPage(new Page(hour, found.get(hour)))
  }

  #addPage(page: Page): void {
    this.pages.set(page.hour, page)
    this.#pagesBefore.set(page.hour, { text: textOfPage(page), marks: this.#marksOf(page) })
  }

  page(hour: number): Page {
    const page = this.pages.get(hour)
    if (page === undefined) throw new Error(`the records of hour ${hour} were not read`)
    return page
  }

  account(account: number): AccountState {
    return this.#accounts.get(account) ?? UNMARKED
  }

  setAccount(account: number, state: Partial<AccountState>): void {
    this.#accounts.set(account, { ...this.account(account), ...state })
  }

  /** A series; a new one where there is none. */
  seriesOf(account: number, dimension: number, hour: number): Series {
    const key = seriesKey({ account, dimension })
    let series = this.series.get(key)
    if (series === undefined) {
      series = newSeries(account, dimension, hour)
      this.series.set(key, series)
    }
    return series
  }

  addOpenUsage({ account, dimension, hour, amount }: SeriesUsage): void {
    addAmount(this.seriesOf(account, dimension, hour).open, hour, amount)
  }

  /** Brings a series' usage of an open hour into its totals. */
  count(series: Series, hour: number): void {
    const amount = series.open.get(hour)
    if (amount === undefined) return
    series.open.delete(hour)
    this.adjust(series, hour, amount)
  }

  /** Adds to what is recorded and to the balance, and says so in the usage of an hour. */
  adjust(series: Series, hour: number, amount: bigint): void {
    series.recorded += amount
    series.balance += amount
    const { account, dimension } = series
    this.#counted.set(hour, [...(this.#counted.get(hour) ?? []), { account, dimension, hour, amount }])
  }

  /** Makes what was taken from the balance a record. */
  addRecord(page: Page, record: StoredRecord): void {
    page.records.set(seriesKey(record), record)
    this.#give(record, 1n)
  }

  /** Gives a record its new state, and its amount to whom it now belongs. */
  move(record: StoredRecord, { state, reason, refusals }: Transition, now: number): void {
    const changed = record.state !== state
    if (changed || record.reason !== (reason ?? null)) {
      this.#give(record, -1n)
      Object.assign(record, { state, reason: reason ?? null })
      this.#give(record, 1n)
    }
    record.refusals = refusals
    if (changed && record.probe && state !== 'metered') {
      this.setAccount(record.account, putOff(this.account(record.account), now))
    }
  }

  unblock(account: number): void {
    if (this.account(account).blockedAt !== null) this.setAccount(account, SUBSCRIBED)
  }

  #give(record: StoredRecord, times: bigint): void {
    const series = this.series.get(seriesKey(record))
    if (series === undefined) {
      throw new LedgerError(
        'ERR_LEDGER_CORRUPT',
        `There is a record of series ${seriesKey(record)}, which is not there.`,
      )
    }
    const amount = times * BigInt(record.quantity) * record.size
    if (record.state === 'returned') series.balance += amount
    else if (record.state === 'held') addAmount(series.held, record.reason as HeldReason, amount)
    else series[record.state] += amount
  }

  /** What is to be written, nothing where nothing changed. */
  get writes(): Write[] {
    const writes: Write[] = []
    if (textOf(this.#state) !== this.#stateBefore) {
      writes.push({ put: stateKey(this.number), over: this.#version, data: this.#state })
    }
    for (const page of this.pages.values()) writes.push(...this.#writesOf(page))
    for (const [hour, usage] of this.#counted) {
      const rows = usage.map(({ account, dimension, amount }) => ({ account, dimension, amount }))
      // By the version of the series that it comes with, there is nothing yet.
      const sk = `usage#${hourText(hour)}#${this.#version ?? ''}`
      writes.push({ put: { pk: partitionOf(this.number), sk }, over: undefined, data: toColumns(rows) })
    }
    return writes
  }

  #writesOf(page: Page): Write[] {
    const before = this.#pagesBefore.get(page.hour)
    if (before === undefined || textOfPage(page) === before.text) return []
    const marks = this.#marksOf(page)
    return [
      putPage(this.number, page),
      ...[...marks].filter(mark => !before.marks.has(mark)).map(mark => ({ mark: keyOfMark(mark) })),
      ...[...before.marks].filter(mark => !marks.has(mark)).map(mark => ({ unmark: keyOfMark(mark) })),
    ]
  }

  /** The entries of the indexes that the pages have which were read: all of them, whether they are there or not. */
  get marks(): Write[] {
    return [...this.pages.values()].flatMap(page => [...this.#marksOf(page)].map(mark => ({ mark: keyOfMark(mark) })))
  }

  /** The entries of the indexes that a page has. */
  #marksOf(page: Page): ReadonlySet<string> {
    const marks = new Set<string>()
    for (const record of page.records.values()) {
      if (record.state === 'pending') marks.add(`${DUE} ${dueKey(this.number, page.hour, record)}`)
      if (record.state === 'held') marks.add(`${HELD} ${hourText(page.hour)}#${this.number}`)
    }
    return marks
  }

  get #state(): StoredState {
    const rows = [...this.series.values()].map(series => ({
      ...series,
      held: [...series.held].filter(([, amount]) => amount !== 0n),
      open: [...series.open],
    }))
    return { cut: this.cut, series: toColumns(rows), accounts: [...this.#accounts] }
  }
}

interface StoredState {
  readonly cut: number
  readonly series: Record<string, unknown[]>
  readonly accounts: readonly (readonly [number, AccountState])[]
}

const EMPTY: StoredState = { cut: 0, series: {}, accounts: [] }
const UNMARKED: AccountState = { ...SUBSCRIBED, endedAt: null }

function newSeries(account: number, dimension: number, firstHour: number): Series {
  return {
    ...{ account, dimension, firstHour, recorded: 0n, metered: 0n, pending: 0n, held: new Map() },
    ...{ balance: 0n, approved: 0, open: new Map() },
  }
}

function seriesOf(row: Record<string, unknown>): Series {
  const amounts = <Key>(pairs: unknown) => new Map((pairs as [Key, string][]).map(([key, text]) => [key, BigInt(text)]))
  return {
    ...(row as unknown as Series),
    ...{ recorded: BigInt(row.recorded as string), metered: BigInt(row.metered as string) },
    ...{ pending: BigInt(row.pending as string), balance: BigInt(row.balance as string) },
    ...{ held: amounts<HeldReason>(row.held), open: amounts<number>(row.open) },
  }
}

/** Writes a page's records; by itself only what changes neither their state nor their deadline. */
export function putPage(shard: number, page: Page): Write {
  return { put: pageKey(shard, page.hour), over: page.version, data: toColumns([...page.records.values()]) }
}

const textOfPage = (page: Page): string => textOf([...page.records.values()])

function keyOfMark(mark: string): Key {
  const space = mark.indexOf(' ')
  return { pk: mark.slice(0, space), sk: mark.slice(space + 1) }
}
