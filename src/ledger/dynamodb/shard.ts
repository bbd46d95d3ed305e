import { isDeepStrictEqual } from 'node:util'
import { LedgerError } from '../errors.ts'
import type { HeldReason } from '../ledger.ts'
import { addAmount, checkEquation, type Figures, NO_FIGURES } from '../rules/accounting.ts'
import { Shares } from '../rules/allocations.ts'
import { addUsage, amountOf, type Book, type BookedAccount, type BookedSeries, UNMARKED } from '../rules/decisions.ts'
import { pack, textOf, toColumns, toRows } from './packed-json.ts'
import { hourOfPlace, hourText, partitionOf, type SeriesNumbers, seriesKey, sheetKey, stateKey } from './places.ts'
import {
  addOpenShare,
  halveShares,
  lengthOf,
  type OpenShares,
  readOpen,
  readShares,
  type ShareUsage,
  storedOpen,
  storedShares,
} from './shares.ts'
import { entriesOfSheet, keyOfEntry, putSheet, reasonOf, Sheet, type StoredRecord, textOfSheet } from './sheets.ts'
import type { Item, Table, Write } from './table.ts'
import type { SeriesUsage } from './usage.ts'

/**
 * The series of a few accounts together, in one item: small enough to be written again for each change, large enough
 * that few writes change many series. What changes together is written together, and only over what was read.
 */

export interface Series extends BookedSeries, SeriesNumbers {
  readonly account: number
  /** Usage that is not in the totals, by hour. */
  readonly open: Map<number, bigint>
  /** What of it is for some tags. */
  readonly openShares: Map<number, OpenShares>
}

/** A shard as it was read, to be changed and written back. */
export class Shard implements Book<StoredRecord> {
  readonly number: number
  /** The last cut whose usage is in it: all of it, or of so many of its hours. */
  cut: number
  #hoursTaken: number | undefined
  readonly series: Map<string, Series>
  readonly sheets = new Map<number, Sheet>()
  readonly #accounts: Map<number, BookedAccount>
  /** Usage that went into the totals, by hour. */
  readonly #usage = new Map<number, SeriesUsage[]>()
  /** What contracts included, by hour. */
  readonly #drawn = new Map<number, SeriesUsage[]>()
  readonly #version: string | undefined
  readonly #stateBefore: string
  readonly #sheetsBefore = new Map<number, { text: string; entries: ReadonlySet<string> }>()
  /** What the series had, and their records on the sheets that were read. */
  readonly #totalsBefore: Map<string, Figures>
  readonly #recordsBefore = new Map<string, Unsettled>()

  constructor(number: number, item: Item | undefined) {
    this.number = number
    this.#version = item?.version
    const { cut, series, accounts } = (item?.data as StoredState | undefined) ?? EMPTY
    this.cut = Math.floor(cut)
    this.#hoursTaken = this.cut === cut ? undefined : (cut - this.cut) * MOST_HOURS
    this.series = new Map(toRows(series).map(row => [seriesKey(row as unknown as Series), storedSeries(row)]))
    this.#accounts = new Map(accounts.map(([account, state]) => [account, bookedAccount(state)]))
    this.#stateBefore = textOf(this.#state)
    this.#totalsBefore = new Map([...this.series].map(([key, one]) => [key, totalsOf(one)]))
  }

  /** Reads a shard, with its records of these hours. */
  static async read(table: Table, number: number, hours: Iterable<number> = []): Promise<Shard> {
    const [shard] = await Shard.readAll(table, [number], hours)
    return shard as Shard
  }

  /** Reads several. */
  static async readAll(table: Table, numbers: readonly number[], hours: Iterable<number>): Promise<Shard[]> {
    const wanted = [...new Set(hours)]
    const keys = numbers.flatMap(number => [stateKey(number), ...wanted.map(hour => sheetKey(number, hour))])
    const items = Map.groupBy(await table.get('read series', keys), ({ pk }) => pk)
    return numbers.map(number => {
      const own = new Map(items.get(partitionOf(number))?.map(item => [item.sk, item]))
      const shard = new Shard(number, own.get('state'))
      for (const hour of wanted) shard.#addSheet(new Sheet(hour, own.get(sheetKey(number, hour).sk)))
      return shard
    })
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
  async readSheets(table: Table, hours: Iterable<number>): Promise<void> {
    const missing = [...new Set(hours)].filter(hour => !this.sheets.has(hour))
    if (missing.length === 0) return
    const items = await table.get(
      'read records',
      missing.map(hour => sheetKey(this.number, hour)),
    )
    const found = new Map(items.map(item => [hourOfPlace(item.sk), item]))
    for (const hour of missing) this.#addSheet(new Sheet(hour, found.get(hour)))
  }

  #addSheet(sheet: Sheet): void {
    this.sheets.set(sheet.hour, sheet)
    this.#sheetsBefore.set(sheet.hour, { text: textOfSheet(sheet), entries: entriesOfSheet(this.number, sheet) })
    addUnsettled(this.#recordsBefore, sheet)
    for (const record of sheet.records.values()) {
      if (record.state !== 'held' || reasonOf(record) === record.reason) continue
      const { held } = this.seriesOf(record)
      addAmount(held, 'in-doubt', -amountOf(record))
      record.reason = 'restored'
      addAmount(held, 'restored', amountOf(record))
    }
  }

  sheet(hour: number): Sheet {
    const sheet = this.sheets.get(hour)
    if (sheet === undefined) throw new Error(`the records of hour ${hour} were not read`)
    return sheet
  }

  account(number: number): BookedAccount {
    return this.#accounts.get(number) ?? UNMARKED
  }

  setAccount(number: number, state: BookedAccount): void {
    this.#accounts.set(number, state)
  }

  /** The accounts about which anything is known, with their numbers. */
  get accounts(): ReadonlyMap<number, BookedAccount> {
    return this.#accounts
  }

  /** The series of a record. */
  seriesOf(record: StoredRecord): Series {
    const series = this.series.get(seriesKey(record))
    if (series !== undefined) return series
    const what = `There is a record of series ${seriesKey(record)}, which is not there.`
    throw new LedgerError('ERR_LEDGER_CORRUPT', what)
  }

  /**
   * Adds the usage of some hours of a cut that are not in it yet.
   *
   * @param hours the usage of the cut's hours, the oldest first
   * @param shares what of it is for some tags
   * @returns whether all of it is in
   */
  addHours(
    cut: number,
    hours: readonly (readonly SeriesUsage[])[],
    shares: ReadonlyMap<number, readonly ShareUsage[]>,
    most: number,
  ): boolean {
    const done = this.cut < cut ? 0 : (this.#hoursTaken ?? hours.length)
    for (const usage of hours.slice(done, done + most)) {
      for (const one of usage) this.addOpenUsage(one)
      for (const share of shares.get(usage[0]?.hour ?? 0) ?? []) {
        addOpenShare(this.makeSeries(share, share.hour).openShares, share)
      }
    }
    const rest = done + most < hours.length
    // Of a cut that brings nothing it does not know.
    if (hours.length > 0) this.cut = cut
    this.#hoursTaken = rest ? done + most : undefined
    return !rest
  }

  addOpenUsage({ account, dimension, hour, amount }: SeriesUsage): void {
    addAmount(this.makeSeries({ account, dimension }, hour).open, hour, amount)
  }

  /** A series; it is made where there is none. */
  makeSeries({ account, dimension }: SeriesNumbers, firstHour: number): Series {
    const key = seriesKey({ account, dimension })
    const series = this.series.get(key) ?? newSeries(account, dimension, firstHour)
    this.series.set(key, series)
    return series
  }

  /** The hours of open usage, the oldest first. */
  get openHours(): number[] {
    const hours = new Set([...this.series.values()].flatMap(({ open }) => [...open.keys()]))
    return [...hours].sort((a, b) => a - b)
  }

  /** Brings the usage of an open hour into the totals of all series. */
  takeHour(hour: number): void {
    for (const series of this.series.values()) {
      series.carried = series.balance
      this.takeOpenUsage(series, hour)
    }
  }

  /** Brings a series' usage of an open hour into its totals. */
  takeOpenUsage(series: Series, hour: number): void {
    const amount = series.open.get(hour)
    if (amount === undefined) return
    series.open.delete(hour)
    addUsage(series, amount)
    for (const { tags, amount } of series.openShares.get(hour)?.values() ?? []) {
      series.shares ??= new Shares()
      series.shares.add(tags, amount)
    }
    series.openShares.delete(hour)
    this.noteUsage(series, hour, amount)
  }

  /** Says in the usage of an hour what the totals have got, or given back. */
  noteUsage({ account, dimension }: SeriesNumbers, hour: number, amount: bigint): void {
    this.#usage.set(hour, [...(this.#usage.get(hour) ?? []), { account, dimension, hour, amount }])
  }

  /** Says what of an hour's usage the contract includes. */
  noteDrawn({ account, dimension }: SeriesNumbers, hour: number, amount: bigint): void {
    if (amount > 0n) this.#drawn.set(hour, [...(this.#drawn.get(hour) ?? []), { account, dimension, hour, amount }])
  }

  /** Makes a series' totals what its records say, on all of its sheets. */
  restate(series: Series, { pending, held }: Unsettled): void {
    const heldBefore = totalsOf(series).held
    series.balance += series.pending - pending + heldBefore - held
    series.pending = pending
    series.held.clear()
    series.held.set('restored', held)
    if (series.balance < 0n) {
      // What is answered in the totals only is asked again.
      series.metered += series.balance
      series.balance = 0n
    }
    this.#totalsBefore.set(seriesKey(series), totalsOf(series))
  }

  /**
   * The writes of what was changed.
   *
   * @param nameOf for the person who reads of a series that does not add up
   * @throws LedgerError `ERR_LEDGER_EQUATION`
   */
  writes(nameOf: (series: SeriesNumbers) => { accountKey: string; dimension: string }): Write[] {
    this.#checkSeries(nameOf)
    this.#leaveOutShares()
    const writes: Write[] = []
    if (textOf(this.#state) !== this.#stateBefore) {
      writes.push({ put: stateKey(this.number), over: this.#version, data: this.#state })
    }
    for (const sheet of this.sheets.values()) writes.push(...this.#writesOf(sheet))
    writes.push(...this.#writesByHour('usage', this.#usage), ...this.#writesByHour('drawn', this.#drawn))
    return writes
  }

  #writesByHour(kept: 'usage' | 'drawn', byHour: ReadonlyMap<number, readonly SeriesUsage[]>): Write[] {
    return [...byHour].map(([hour, usage]) => {
      const rows = usage.map(({ account, dimension, amount }) => ({ account, dimension, amount }))
      // By the version of the series that it comes with, there is nothing yet.
      const sk = `${kept}#${hourText(hour)}#${this.#version ?? ''}`
      return { put: { pk: partitionOf(this.number), sk }, over: undefined, data: toColumns(rows) }
    })
  }

  /** All six figures are in the totals; what these have of records is compared with the sheets that were read, too. */
  #checkSeries(nameOf: (series: SeriesNumbers) => { accountKey: string; dimension: string }): void {
    const records = new Map<string, Unsettled>()
    for (const sheet of this.sheets.values()) addUnsettled(records, sheet)
    for (const [key, series] of this.series) {
      const [before, after] = [this.#totalsBefore.get(key) ?? NO_FIGURES, totalsOf(series)]
      const [recordsBefore, recordsAfter] = [this.#recordsBefore.get(key) ?? NONE, records.get(key) ?? NONE]
      if (isDeepStrictEqual([before, recordsBefore], [after, recordsAfter])) continue
      checkEquation(nameOf(series), NO_FIGURES, after)
      checkEquation(nameOf(series), { ...before, ...recordsBefore }, { ...after, ...recordsAfter })
    }
  }

  #writesOf(sheet: Sheet): Write[] {
    const before = this.#sheetsBefore.get(sheet.hour)
    if (before === undefined || textOfSheet(sheet) === before.text) return []
    const entries = entriesOfSheet(this.number, sheet)
    return [
      putSheet(this.number, sheet),
      ...[...entries].filter(entry => !before.entries.has(entry)).map(entry => ({ index: keyOfEntry(entry) })),
      ...[...before.entries].filter(entry => !entries.has(entry)).map(entry => ({ unindex: keyOfEntry(entry) })),
    ]
  }

  /** Where all that is told apart has no room beside the rest, those who tell most apart tell half. */
  #leaveOutShares(): void {
    for (;;) {
      const tagged = [...this.series.values()]
        .map(series => ({ series, length: lengthOf(series) }))
        .filter(({ length }) => length > 0)
      if (tagged.length === 0) return
      const state = this.#state
      const { length } = textOf(state)
      const packed = length <= LARGEST_STATE ? length : pack(state).length
      let tooMuch = Math.ceil(length - (length * LARGEST_STATE) / packed)
      if (packed <= LARGEST_STATE) return
      while (tooMuch > 0) {
        const [most] = tagged.sort((a, b) => b.length - a.length)
        if (most === undefined || most.length === 0) break
        halveShares(most.series)
        const left = lengthOf(most.series)
        tooMuch -= most.length - left
        most.length = left
      }
    }
  }

  get #state(): StoredState {
    const all = [...this.series.values()]
    // Who tells nothing apart has no columns for it.
    const tagged = all.some(({ shares, openShares }) => shares !== undefined || openShares.size > 0)
    const rows = all.map(({ carried: _, shares, openShares, ...series }) => ({
      ...series,
      held: [...series.held].filter(([, amount]) => amount !== 0n),
      open: [...series.open],
      ...(tagged && { shares: storedShares(shares), openShares: storedOpen(openShares) }),
    }))
    const cut = this.cut + (this.#hoursTaken ?? 0) / MOST_HOURS
    return { cut, series: toColumns(rows), accounts: [...this.#accounts] }
  }
}

/** How many bytes the series of a shard may take with what is told apart: a transaction has their records beside them. */
const LARGEST_STATE = 1_200_000

/** More hours than there are. */
const MOST_HOURS = 2 ** 20

interface StoredState {
  /**
   * Beyond a whole number where some hours are in it of that cut: for a version before it is ahead then, so that it
   * leaves the cut to others.
   */
  readonly cut: number
  readonly series: Record<string, unknown[]>
  readonly accounts: readonly (readonly [number, StoredAccount])[]
}

type StoredAccount = BookedAccount & { readonly endedAt?: number | null }

const EMPTY: StoredState = { cut: 0, series: {}, accounts: [] }

/** The version before said of an agreement when it ended. */
function bookedAccount({ endedAt, ...state }: StoredAccount): BookedAccount {
  const known = { ...state, entitlements: state.entitlements ?? null }
  if (endedAt === undefined) return known
  return { ...known, agreement: endedAt === null ? null : { marks: [[endedAt, 'ended']] } }
}

/** What records have that have no end yet. */
export interface Unsettled {
  readonly pending: bigint
  readonly held: bigint
}

export const NONE: Unsettled = { pending: 0n, held: 0n }

/** Adds what the records of a sheet have, by series. */
export function addUnsettled(sums: Map<string, Unsettled>, sheet: Sheet): void {
  for (const [series, record] of sheet.records) {
    const { state } = record
    if (state !== 'pending' && state !== 'held') continue
    const sum = sums.get(series) ?? NONE
    sums.set(series, { ...sum, [state]: sum[state] + amountOf(record) })
  }
}

function totalsOf({ recorded, included, metered, pending, held, balance }: Series): Figures {
  const all = [...held.values()].reduce((sum, amount) => sum + amount, 0n)
  return { recorded, included, metered, pending, held: all, balance }
}

function newSeries(account: number, dimension: number, firstHour: number): Series {
  return {
    ...{ account, dimension, firstHour, recorded: 0n, included: 0n, metered: 0n, pending: 0n, held: new Map() },
    ...{ balance: 0n, carried: 0n, shares: undefined, approved: 0, open: new Map(), openShares: new Map() },
  }
}

function storedSeries(row: Record<string, unknown>): Series {
  const amounts = <Key>(pairs: unknown) => new Map((pairs as [Key, string][]).map(([key, text]) => [key, BigInt(text)]))
  const balance = BigInt(row.balance as string)
  return {
    ...(row as unknown as Series),
    ...{ recorded: BigInt(row.recorded as string), metered: BigInt(row.metered as string) },
    included: BigInt((row.included as string | undefined) ?? 0),
    ...{ pending: BigInt(row.pending as string), balance, carried: balance },
    ...{ held: amounts<HeldReason>(row.held), open: amounts<number>(row.open) },
    ...{ shares: readShares(row.shares), openShares: readOpen(row.openShares) },
  }
}
