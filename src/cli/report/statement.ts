import type { Agreement, HeldReason, StatementLine } from '../../ledger/ledger.ts'
import type { ReconciledRegion } from '../../reconcile/notes.ts'
import type { Period } from '../period.ts'

/** What a statement shows. */
export interface StatementReport {
  /** When it was asked. */
  readonly now: number
  readonly period: Period
  /** The lines of the period. */
  readonly lines: readonly StatementLine[]
  /** What is known of customers' agreements, by the keys of their accounts. */
  readonly agreements: ReadonlyMap<string, Agreement>
  /** The lines of all time, of the same customers and dimensions: what the equation is about. */
  readonly allTime: readonly StatementLine[]
  /** Up to when the ledger was reconciled with AWS, all of it. */
  readonly reconciled?: readonly ReconciledRegion[]
}

/** What is summed for a dimension. */
export type Figures = Pick<StatementLine, 'recorded' | 'metered' | 'pending' | 'held' | 'heldByReason' | 'balance'>

/** The lines of each dimension, by its name. */
export function byDimension(lines: readonly StatementLine[]): StatementLine[][] {
  return [...Map.groupBy(lines, line => line.dimension.name)]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, group]) => group)
}

/** The sum of lines of one dimension. */
export function sumOf(lines: readonly StatementLine[]): Figures {
  const sum = (name: 'recorded' | 'metered' | 'pending' | 'held' | 'balance') =>
    lines.reduce((total, line) => total + line[name], 0n)
  const heldByReason: Partial<Record<HeldReason, bigint>> = {}
  for (const line of lines) {
    for (const [reason, amount] of reasonsOf(line.heldByReason)) {
      heldByReason[reason] = (heldByReason[reason] ?? 0n) + amount
    }
  }
  return {
    recorded: sum('recorded'),
    metered: sum('metered'),
    pending: sum('pending'),
    held: sum('held'),
    heldByReason,
    balance: sum('balance'),
  }
}

/** Why quantities are held, without reasons of nothing. */
export function reasonsOf(heldByReason: Figures['heldByReason']): [HeldReason, bigint][] {
  return (Object.entries(heldByReason) as [HeldReason, bigint][]).filter(([, amount]) => amount !== 0n)
}
