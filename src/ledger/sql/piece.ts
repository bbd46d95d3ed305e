import { LedgerError } from '../errors.ts'
import type { HeldReason } from '../ledger.ts'
import { addAmount, checkEquation, type Figures } from '../rules/accounting.ts'
import { hasWholeUnits, type Terms } from '../rules/closing.ts'
import {
  addUsage,
  amountOf,
  type Book,
  type BookedAccount,
  freeze,
  freezeIdle,
  type NewRecord,
} from '../rules/decisions.ts'
import { type PieceRecord, type PieceSeries, recordOf, seriesOf } from './piece-rows.ts'
import type { Row } from './rows.ts'

export interface MadeRecord extends NewRecord {
  readonly series: PieceSeries
  readonly terms: Terms
}

/** What is to be written of a piece. */
export interface Difference {
  readonly records: readonly PieceRecord[]
  /** Those of them that keep only a part of what they held. */
  readonly divided: readonly PieceRecord[]
  readonly made: readonly MadeRecord[]
  readonly series: readonly (PieceSeries & { readonly unfrozen: boolean })[]
  readonly accounts: readonly (BookedAccount & { readonly id: number })[]
}

/**
 * A piece of the ledger in memory, for the engines that have tables: series with their accounts, and records. What is
 * decided changes it, and its engine writes the difference. Whoever loads one keeps others from changing it meanwhile.
 */
export class Piece implements Book<PieceRecord> {
  readonly #records = new Map<number, PieceRecord>()
  readonly #series = new Map<number, PieceSeries>()
  readonly #accounts = new Map<number, BookedAccount>()
  readonly #made: MadeRecord[] = []
  readonly #sizesBefore = new Map<number, bigint>()
  readonly #seriesBefore = new Map<number, SeriesBefore>()
  readonly #accountsBefore = new Map<number, BookedAccount>()

  /** Takes a series in, once; see `SERIES`. */
  addSeries(row: Row): PieceSeries {
    const known = this.#series.get(row.series as number)
    if (known !== undefined) return known
    const { series, account, unfrozen } = seriesOf(row)
    if (!this.#accounts.has(series.account)) {
      this.#accounts.set(series.account, account)
      this.#accountsBefore.set(series.account, account)
    }
    this.#series.set(series.id, series)
    const { recorded, metered, balance, approved } = series
    this.#seriesBefore.set(series.id, { recorded, metered, pending: 0n, held: 0n, balance, approved, unfrozen })
    return series
  }

  /** Takes a record in, with its series; see `RECORD`. */
  addRecord(row: Row): void {
    const series = this.addSeries(row)
    const record = recordOf(row)
    this.#records.set(record.id, record)
    this.#sizesBefore.set(record.id, record.size)
    const { state } = record
    if (state !== 'pending' && state !== 'held') return
    const before = this.#seriesBefore.get(series.id) as SeriesBefore
    before[state] += amountOf(record)
    if (state === 'pending') series.pending += amountOf(record)
    else addAmount(series.held, record.reason as HeldReason, amountOf(record))
  }

  get records(): PieceRecord[] {
    return [...this.#records.values()]
  }

  record(id: string): PieceRecord | undefined {
    return this.#records.get(Number(id))
  }

  get series(): PieceSeries[] {
    return [...this.#series.values()]
  }

  seriesOf({ series }: PieceRecord): PieceSeries {
    return this.#series.get(series) as PieceSeries
  }

  account(number: number): BookedAccount {
    return this.#accounts.get(number) as BookedAccount
  }

  setAccount(number: number, state: BookedAccount): void {
    this.#accounts.set(number, state)
  }

  /** Brings usage of open hours into the totals of its series. */
  addUsage(id: number, amount: bigint): void {
    const series = this.#series.get(id)
    if (series === undefined) {
      throw new LedgerError('ERR_LEDGER_CORRUPT', `There is usage of series ${id}, which is not whole.`)
    }
    addUsage(series, amount)
  }

  /** Makes the whole units of the series' balances records, where they may be. */
  freeze(terms: Terms): void {
    for (const series of this.series) this.make(series, terms, freeze(this, series, series, terms))
  }

  /** Makes records of quantity 0 for the series that are idle. */
  freezeIdle(terms: Terms): void {
    for (const series of this.series) this.make(series, terms, freezeIdle(this, series, series, terms))
  }

  make(series: PieceSeries, terms: Terms, record: NewRecord | undefined): void {
    if (record !== undefined) this.#made.push({ ...record, series, terms })
  }

  /** @throws LedgerError `ERR_LEDGER_EQUATION` where what was decided does not add up */
  get difference(): Difference {
    const unsettled = this.#unsettled()
    const series = this.series.flatMap(one => {
      const before = this.#seriesBefore.get(one.id) as SeriesBefore
      const { recorded, metered, balance } = one
      checkEquation(one, before, { recorded, metered, balance, ...(unsettled.get(one.id) ?? NONE) })
      const unfrozen = hasWholeUnits(one)
      return unfrozen === before.unfrozen && isUnchanged(one, before) ? [] : [{ ...one, unfrozen }]
    })
    return {
      records: this.records,
      divided: this.records.filter(({ id, size }) => size !== this.#sizesBefore.get(id)),
      made: this.#made,
      series,
      accounts: [...this.#accounts].flatMap(([id, account]) =>
        account === this.#accountsBefore.get(id) ? [] : [{ ...account, id }],
      ),
    }
  }

  /** What the records have of each series that has no end yet. */
  #unsettled(): Map<number, { pending: bigint; held: bigint }> {
    const sums = new Map<number, { pending: bigint; held: bigint }>()
    const add = (series: number, state: 'pending' | 'held', amount: bigint) => {
      const sum = sums.get(series) ?? { ...NONE }
      sum[state] += amount
      sums.set(series, sum)
    }
    for (const record of this.#records.values()) {
      const { series, state } = record
      if (state === 'pending' || state === 'held') add(series, state, amountOf(record))
    }
    for (const record of this.#made) add(record.series.id, record.held === null ? 'pending' : 'held', amountOf(record))
    return sums
  }
}

type SeriesBefore = { -readonly [Figure in keyof Figures]: bigint } & { approved: number; unfrozen: boolean }

const NONE = { pending: 0n, held: 0n }

function isUnchanged(series: PieceSeries, before: SeriesBefore): boolean {
  const { recorded, metered, balance, approved } = before
  return (
    series.recorded === recorded &&
    series.metered === metered &&
    series.balance === balance &&
    series.approved === approved
  )
}
