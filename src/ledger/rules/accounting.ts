import type { Account } from '../../usage/account.ts'
import { formatAmount } from '../../usage/amount.ts'
import type { Dimension } from '../../usage/dimension.ts'
import { LedgerError } from '../errors.ts'
import { HOUR, hourOf, spanOf } from '../hours.ts'
import type {
  HeldReason,
  LedgerStatus,
  Quantities,
  RecordsQuery,
  StatementLine,
  StatementQuery,
  StatementSpan,
  UnsettledFigure,
} from '../ledger.ts'
import { checkTime } from './validation.ts'

/** The arithmetic of the equation, in one place for every engine. */

export function addAmount<Key>(amounts: Map<Key, bigint>, key: Key, amount: bigint): void {
  amounts.set(key, (amounts.get(key) ?? 0n) + amount)
}

/** The six figures of a series. */
export interface Figures {
  readonly recorded: bigint
  readonly included: bigint
  readonly metered: bigint
  readonly pending: bigint
  readonly held: bigint
  readonly balance: bigint
}

export const NO_FIGURES: Figures = { recorded: 0n, included: 0n, metered: 0n, pending: 0n, held: 0n, balance: 0n }

/**
 * Refuses to write a series whose figures would not add up: what they change by has to. The change is what a loaded
 * piece can tell. To sum up all records of a series at each write would cost more than the write, and a ledger that was
 * broken by other means would stop billing for everybody. An engine that keeps all six figures asserts them from
 * nothing on, too; the others have the whole equation read by `verify`.
 *
 * @param before of the series and its loaded records, as they were read
 * @param after of the series as it is to be written, and of its records as they are to be written
 * @throws LedgerError `ERR_LEDGER_EQUATION`, before anything is written
 */
export function checkEquation(
  series: { readonly accountKey: string; readonly dimension: string },
  before: Figures,
  after: Figures,
): void {
  const change = (figure: keyof Figures) => after[figure] - before[figure]
  const parts = change('included') + change('metered') + change('pending') + change('held') + change('balance')
  if (change('recorded') === parts) return
  const told = (figure: keyof Figures) => `${figure} ${formatAmount(before[figure])} to ${formatAmount(after[figure])}`
  throw new LedgerError(
    'ERR_LEDGER_EQUATION',
    `The figures of ${series.dimension} of the account "${series.accountKey}" would not add up, expected a change of ` +
      `recorded = included + metered + pending + held + balance, got ${FIGURES.map(told).join(', ')}. Nothing was written; ` +
      'please report it.',
  )
}

const FIGURES = ['recorded', 'included', 'metered', 'pending', 'held', 'balance'] as const

/** The hours of a period: from the one that holds its beginning up to, but not with, its end. */
export function hoursOf({ from, to }: Pick<StatementQuery, 'from' | 'to'>): { from: number; to: number } {
  if (from !== undefined) checkTime('from', from)
  if (to !== undefined) checkTime('to', to)
  return {
    from: from === undefined ? 0 : hourOf(from),
    to: to === undefined ? Number.MAX_SAFE_INTEGER : Math.ceil(to / HOUR) * HOUR,
  }
}

export function isPeriod({ from, to, by }: StatementQuery): boolean {
  return from !== undefined || to !== undefined || by !== undefined
}

const MOST_RECORDS = 100

/** How many records a query is answered with at most. */
export function limitOf({ ids, limit = ids?.length ?? MOST_RECORDS }: RecordsQuery): number {
  return limit
}

/** Records without a final answer, of one dimension and state. An engine may have several of the same, by size. */
export interface UnsettledRecords extends UnsettledFigure {
  readonly state: 'pending' | 'held'
  readonly reason: HeldReason | null
}

/** One figure for each dimension, and of what is held for each reason. */
export function unsettledFigures(parts: readonly UnsettledRecords[]): Pick<LedgerStatus, 'pending' | 'held'> {
  const groups = Map.groupBy(parts, ({ state, dimension, reason }) => JSON.stringify([state, dimension, reason]))
  const inOrder = [...groups].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, group]) => group)
  const sums = inOrder.map(group => ({
    ...(group[0] as UnsettledRecords),
    records: group.reduce((sum, { records }) => sum + records, 0),
    amount: group.reduce((sum, { amount }) => sum + amount, 0n),
  }))
  return {
    pending: sums.flatMap(({ state, reason: _, ...figure }) => (state === 'pending' ? [figure] : [])),
    held: sums.flatMap(({ state, reason, ...figure }) =>
      state === 'held' ? [{ ...figure, reason: reason as HeldReason }] : [],
    ),
  }
}

type Writable<Members> = { -readonly [Member in keyof Members]: Members[Member] }
type Line = Writable<Omit<StatementLine, 'span'>> & {
  span?: Omit<StatementSpan, 'quantities'> & { quantities: Writable<Quantities> }
}

/** Records that are alike, or one. */
export interface FrozenRecords {
  readonly state: 'metered' | 'pending' | 'held'
  readonly reason: HeldReason | null
  readonly quantity: bigint
  /** In millionths of the base unit. */
  readonly amount: bigint
}

/**
 * How many units of a dimension AWS bills for a record. A restore holds balances in records of one: of them it is as many
 * units as are whole.
 *
 * @param size of the dimension
 */
export function billedQuantity({ reason, quantity, amount }: Omit<FrozenRecords, 'state'>, size: bigint): bigint {
  return reason === 'restored' ? amount / size : quantity
}

/** A statement while its figures are gathered: series first, then what is known of them. */
export class Statement {
  readonly #query: StatementQuery
  readonly #period: boolean
  readonly #hours: { readonly from: number; readonly to: number }
  readonly #series = new Map<number, Line>()
  /** By hours, days or months: by the beginning of each, and by series. */
  readonly #spans = new Map<number, Map<number, Line>>()

  constructor(query: StatementQuery) {
    this.#query = query
    this.#period = isPeriod(query)
    this.#hours = hoursOf(query)
  }

  /** @param totals what the series has of closed hours */
  addSeries(
    series: number,
    account: Account,
    dimension: Dimension,
    totals: Pick<Figures, 'recorded' | 'included' | 'metered' | 'balance'>,
  ): void {
    const { recorded, included, metered, balance } = this.#period ? NO_FIGURES : totals
    const line = { account, dimension, recorded, included, metered, pending: 0n, held: 0n, heldByReason: {}, balance }
    this.#series.set(series, line)
  }

  /**
   * Adds usage: of the period, or, without one, of hours that are not in the totals.
   *
   * @param hour any of its span, where there are spans
   */
  addUsage(series: number, hour: number, amount: bigint): void {
    const line = this.#lineOf(series, hour)
    if (line === undefined) return
    line.recorded += amount
    line.balance += amount
  }

  /**
   * Adds records: of the period, or, without one, those that are pending and held.
   *
   * @param hour any of their span, where there are spans
   * @param records alike; where there are spans, those that are `restored` one by one
   */
  addRecords(series: number, hour: number, records: FrozenRecords): void {
    const line = this.#lineOf(series, hour)
    if (line === undefined) return
    const { state, reason, amount } = records
    line[state] += amount
    if (state === 'held' && reason !== null) {
      line.heldByReason = { ...line.heldByReason, [reason]: (line.heldByReason[reason] ?? 0n) + amount }
    }
    if (this.#period) line.balance -= amount
    if (line.span !== undefined) line.span.quantities[state] += billedQuantity(records, line.dimension.size)
  }

  /**
   * Adds what contracts include: of the period.
   *
   * @param hour any of its span, where there are spans
   */
  addIncluded(series: number, hour: number, amount: bigint): void {
    const line = this.#lineOf(series, hour)
    if (line === undefined) return
    line.included += amount
    line.balance -= amount
    if (line.span !== undefined) line.span.quantities.included += amount / line.dimension.size
  }

  #lineOf(series: number, hour: number): Line | undefined {
    const named = this.#series.get(series)
    const { by } = this.#query
    if (named === undefined || by === undefined) return named
    const { from, to } = spanOf(hour, by)
    const lines = this.#spans.get(from) ?? new Map<number, Line>()
    this.#spans.set(from, lines)
    const hours = { from: Math.max(from, this.#hours.from), to: Math.min(to, this.#hours.to) }
    const quantities = { included: 0n, metered: 0n, pending: 0n, held: 0n }
    const line = lines.get(series) ?? { ...named, span: { ...hours, quantities } }
    lines.set(series, line)
    return line
  }

  lines(): StatementLine[] {
    return this.#inOrder().filter(line => !this.#period || line.recorded !== 0n || line.balance !== 0n)
  }

  #inOrder(): StatementLine[] {
    if (this.#query.by === undefined) return [...this.#series.values()]
    const series = [...this.#series.keys()]
    const spans = [...this.#spans].sort(([a], [b]) => a - b)
    return spans.flatMap(([, lines]) => series.flatMap(one => lines.get(one) ?? []))
  }
}
