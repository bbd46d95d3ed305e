import type { Tags } from '../../usage/tags.ts'
import { LedgerError } from '../errors.ts'
import type { HeldReason } from '../ledger.ts'
import { addAmount, checkEquation, type Figures } from '../rules/accounting.ts'
import { Shares } from '../rules/allocations.ts'
import { hasWholeUnits, type Terms } from '../rules/closing.ts'
import {
  addUsage,
  amountOf,
  type Book,
  type BookedAccount,
  type Frozen,
  freeze,
  freezeIdle,
  type NewRecord,
} from '../rules/decisions.ts'
import type { IncludedDimensions } from '../rules/entitlements.ts'
import {
  bookedAccountOf,
  figuresOf,
  type PieceRecord,
  type PieceSeries,
  recordOf,
  type SoldSeries,
  soldOf,
} from './piece-rows.ts'
import type { Row } from './rows.ts'

export interface MadeRecord extends NewRecord {
  readonly series: SoldSeries
  readonly terms: Terms
}

/** What a series' contract includes of an hour. */
export interface DrawnAmount {
  readonly series: number
  readonly hour: number
  readonly amount: bigint
}

/** Usage of an hour for some tags. */
export interface OpenShare {
  readonly hour: number
  readonly series: number
  readonly tags: Tags
  readonly amount: bigint
}

/** What was added to what a series has for some tags. */
export interface ShareChange {
  readonly series: number
  readonly tags: Tags
  readonly amount: bigint
}

/** The rows of a piece that were changed or made. */
export interface Difference {
  readonly records: readonly PieceRecord[]
  /** Those of them that keep only a part of what they held. */
  readonly divided: readonly PieceRecord[]
  readonly made: readonly MadeRecord[]
  readonly drawn: readonly DrawnAmount[]
  readonly shares: readonly ShareChange[]
  readonly series: readonly (PieceSeries & { readonly unfrozen: boolean })[]
  readonly accounts: readonly (BookedAccount & { readonly id: number })[]
}

/**
 * A piece of the ledger in memory, for the engines that have tables: series with their accounts, and records. What is
 * decided changes it, and its engine writes the difference. Whoever loads one keeps others from changing it meanwhile.
 */
export class Piece implements Book<PieceRecord> {
  readonly #records = new Map<number, PieceRecord>()
  readonly #series = new Map<number, LoadedSeries>()
  readonly #sold: SoldSeries[] = []
  readonly #accounts = new Map<number, LoadedAccount>()
  readonly #made: MadeRecord[] = []
  readonly #drawn: DrawnAmount[] = []

  /** Takes a series in, once; see `SERIES`. */
  addSeries(row: Row): void {
    if (this.#series.has(row.series as number)) return
    const sold = soldOf(row)
    this.#sold.push(sold)
    this.#take(sold, row)
  }

  /** Takes an account in, without any series. */
  addAccount(row: Row): void {
    const account = bookedAccountOf(row)
    this.#accounts.set(row.account as number, { before: account, now: account })
  }

  /** Takes a record in, with its series; see `RECORDS`. */
  addRecord(row: Row): void {
    const { series, before } = this.#series.get(row.series as number) ?? this.#take(figuresOf(row), row)
    const record = recordOf(row)
    this.#records.set(record.id, record)
    const { state } = record
    if (state !== 'pending' && state !== 'held') return
    const amount = amountOf(record)
    before[state] += amount
    if (state === 'pending') series.pending += amount
    else addAmount(series.held, record.reason as HeldReason, amount)
  }

  #take(series: PieceSeries, row: Row): LoadedSeries {
    if (!this.#accounts.has(series.account)) {
      const account = bookedAccountOf(row)
      this.#accounts.set(series.account, { before: account, now: account })
    }
    const { recorded, included, metered, balance, approved } = series
    const figures = { recorded, included, metered, pending: 0n, held: 0n, balance }
    const before = { ...figures, approved, unfrozen: Boolean(row.unfrozen) }
    const loaded = { series, before, records: { pending: 0n, held: 0n } }
    this.#series.set(series.id, loaded)
    return loaded
  }

  get records(): PieceRecord[] {
    return [...this.#records.values()]
  }

  record(id: string): PieceRecord | undefined {
    return this.#records.get(Number(id))
  }

  /** Those that were taken in by themselves. */
  get series(): readonly SoldSeries[] {
    return this.#sold
  }

  seriesOf({ series }: PieceRecord): PieceSeries {
    return (this.#series.get(series) as LoadedSeries).series
  }

  account(number: number): BookedAccount {
    return (this.#accounts.get(number) as LoadedAccount).now
  }

  setAccount(number: number, state: BookedAccount): void {
    const account = this.#accounts.get(number) as LoadedAccount
    account.now = state
  }

  /** Takes in what a series has for some tags: of closed hours, and, where `isNew`, of those that are being closed. */
  addShare(id: number, tags: Tags, amount: bigint, isNew: boolean): void {
    const loaded = this.#series.get(id)
    if (loaded === undefined) return
    const { series } = loaded
    series.shares ??= new Shares()
    if (isNew) series.shares.add(tags, amount)
    else series.shares.read(tags, amount)
  }

  /** Brings usage of open hours into the totals of its series. */
  addUsage(id: number, amount: bigint): void {
    const loaded = this.#series.get(id)
    if (loaded === undefined) {
      throw new LedgerError('ERR_LEDGER_CORRUPT', `There is usage of series ${id}, which is not whole.`)
    }
    addUsage(loaded.series, amount)
  }

  /**
   * Takes the whole units of the series' balances: what contracts include, and what is beyond it as records, where they may be.
   */
  freeze(terms: Terms, included: IncludedDimensions): void {
    // Mostly all have the same identity, and none has another beside it.
    const mixed = this.series.some(({ identity }) => identity !== this.series[0]?.identity)
    const frozen = mixed ? new Twins() : undefined
    for (const series of this.series) {
      const sold = frozen?.has(series) ? { ...series, twin: true } : series
      const taken = freeze(this, series, sold, terms, included.of(series.product, series.dimension))
      if (taken.record !== undefined) frozen?.add(series)
      this.#keep(series, terms, taken)
    }
  }

  /** Makes records of quantity 0 for the series that are idle. */
  freezeIdle(terms: Terms): void {
    for (const series of this.series) this.#keep(series, terms, freezeIdle(this, series, series, terms))
  }

  #keep(series: SoldSeries, terms: Terms, { drawn, record }: Frozen): void {
    if (drawn > 0n) this.#drawn.push({ series: series.id, hour: terms.hour, amount: drawn })
    this.make(series, terms, record)
  }

  make(series: SoldSeries, terms: Terms, record: NewRecord | undefined): void {
    if (record !== undefined) this.#made.push({ ...record, series, terms })
  }

  /** @throws LedgerError `ERR_LEDGER_EQUATION` where what was decided does not add up */
  get difference(): Difference {
    this.#addUpRecords()
    const series: (PieceSeries & { unfrozen: boolean })[] = []
    for (const { series: one, before, records } of this.#series.values()) {
      const { recorded, included, metered, balance } = one
      const { pending, held } = records
      checkEquation(one, before, { recorded, included, metered, pending, held, balance })
      const unfrozen = hasWholeUnits(one)
      if (unfrozen !== before.unfrozen || !isUnchanged(one, before)) series.push({ ...one, unfrozen })
    }
    return {
      records: this.records,
      divided: this.records.filter(({ size, storedSize }) => size !== storedSize),
      made: this.#made,
      drawn: this.#drawn,
      shares: [...this.#series.values()].flatMap(
        ({ series: { id, shares } }) => shares?.changes.map(change => ({ series: id, ...change })) ?? [],
      ),
      series,
      accounts: [...this.#accounts].flatMap(([id, { before, now }]) => (now === before ? [] : [{ ...now, id }])),
    }
  }

  /** By themselves, and not by what was given to the series for them. */
  #addUpRecords(): void {
    for (const { records } of this.#series.values()) records.pending = records.held = 0n
    for (const record of this.#records.values()) {
      const { series, state } = record
      if (state === 'pending' || state === 'held') this.#add(series, state, amountOf(record))
    }
    for (const record of this.#made) {
      this.#add(record.series.id, record.held === null ? 'pending' : 'held', amountOf(record))
    }
  }

  #add(series: number, state: 'pending' | 'held', amount: bigint): void {
    const { records } = this.#series.get(series) as LoadedSeries
    records[state] += amount
  }
}

/** The series that had a record frozen, by what the other identity of their AWS accounts is told by. */
class Twins {
  readonly #frozen = new Map<string, SoldSeries[]>()

  /** Whether the AWS account had one frozen under its other identity; see `twinAt`. */
  has(series: SoldSeries): boolean {
    const { accountId, identity, productCode } = series
    if (accountId === null) return false
    return (this.#frozen.get(nameOf(series)) ?? []).some(
      other => other.identity !== identity && (other.productCode ?? productCode) === (productCode ?? other.productCode),
    )
  }

  add(series: SoldSeries): void {
    if (series.accountId === null) return
    const name = nameOf(series)
    this.#frozen.set(name, [...(this.#frozen.get(name) ?? []), series])
  }
}

const nameOf = ({ accountId, dimension }: SoldSeries): string => `${accountId} ${dimension}`

/** A series, what it and its records had, and what its records have now. */
interface LoadedSeries {
  readonly series: PieceSeries
  readonly before: { -readonly [Figure in keyof Figures]: bigint } & {
    readonly approved: number
    readonly unfrozen: boolean
  }
  readonly records: { pending: bigint; held: bigint }
}

interface LoadedAccount {
  readonly before: BookedAccount
  now: BookedAccount
}

function isUnchanged(series: PieceSeries, before: LoadedSeries['before']): boolean {
  const { recorded, included, metered, balance, approved } = before
  return (
    series.recorded === recorded &&
    series.included === included &&
    series.metered === metered &&
    series.balance === balance &&
    series.approved === approved
  )
}
