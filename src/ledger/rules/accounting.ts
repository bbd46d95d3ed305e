import type { Account } from '../../usage/account.ts'
import type { Dimension } from '../../usage/dimension.ts'
import { HOUR, hourOf } from '../hours.ts'
import type {
  HeldReason,
  LedgerStatus,
  RecordState,
  RecordsQuery,
  StatementLine,
  StatementQuery,
  UnsettledFigure,
} from '../ledger.ts'

/** The arithmetic of the equation, in one place for every engine. */

/** What a record's way from one state to another adds to its series. */
export function effectOf(from: RecordState, to: RecordState, amount: bigint): { metered: bigint; balance: bigint } {
  if (from === to) return { metered: 0n, balance: 0n }
  const balance = (to === 'returned' ? amount : 0n) - (from === 'returned' ? amount : 0n)
  return { metered: to === 'metered' ? amount : 0n, balance }
}

/** The hours of a period: from the one that holds its beginning up to, but not with, its end. */
export function hoursOf({ from, to }: Pick<StatementQuery, 'from' | 'to'>): { from: number; to: number } {
  return {
    from: from === undefined ? 0 : hourOf(from),
    to: to === undefined ? Number.MAX_SAFE_INTEGER : Math.ceil(to / HOUR) * HOUR,
  }
}

export function isPeriod({ from, to }: StatementQuery): boolean {
  return from !== undefined || to !== undefined
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

/** A statement while its figures are gathered: series first, then what is known of them. */
export class Statement {
  readonly #period: boolean
  readonly #lines = new Map<number, { -readonly [Member in keyof StatementLine]: StatementLine[Member] }>()

  /** @param period whether it is of some hours only, and not of everything since the ledger began */
  constructor(period: boolean) {
    this.#period = period
  }

  /** @param totals what the series has of closed hours */
  addSeries(
    series: number,
    account: Account,
    dimension: Dimension,
    totals: { readonly recorded: bigint; readonly metered: bigint; readonly balance: bigint },
  ): void {
    const { recorded, metered, balance } = this.#period ? { recorded: 0n, metered: 0n, balance: 0n } : totals
    const line = { account, dimension, recorded, metered, pending: 0n, held: 0n, heldByReason: {}, balance }
    this.#lines.set(series, line)
  }

  /** Adds usage: of the period, or, without one, of hours that are not in the totals. */
  addUsage(series: number, amount: bigint): void {
    const line = this.#lines.get(series)
    if (line === undefined) return
    line.recorded += amount
    line.balance += amount
  }

  /** Adds records: of the period, or, without one, those that are pending and held. */
  addRecords(series: number, state: 'metered' | 'pending' | 'held', reason: HeldReason | null, amount: bigint): void {
    const line = this.#lines.get(series)
    if (line === undefined) return
    line[state] += amount
    if (state === 'held' && reason !== null) {
      line.heldByReason = { ...line.heldByReason, [reason]: (line.heldByReason[reason] ?? 0n) + amount }
    }
    if (this.#period) line.balance -= amount
  }

  lines(): StatementLine[] {
    return [...this.#lines.values()].filter(line => !this.#period || line.recorded !== 0n || line.balance !== 0n)
  }
}
