import type { Span } from '../../ledger/hours.ts'
import type { Agreement, HeldReason, Quantities, StatementLine } from '../../ledger/ledger.ts'
import type { ReconciledRegion } from '../../reconcile/notes.ts'
import { printable } from '../../text/printable.ts'
import type { Period } from '../period.ts'
import type { RateCard } from '../rate-card.ts'

/** What a statement shows. */
export interface StatementReport {
  /** When it was asked. */
  readonly now: number
  readonly period: Period
  /** The lines of the period. */
  readonly lines: readonly StatementLine[]
  /** What the lines are of, where they are of parts of the period. */
  readonly by?: Span
  /** What they are priced by. */
  readonly rateCard?: RateCard
  /** What is known of customers' agreements, by the keys of their accounts. */
  readonly agreements: ReadonlyMap<string, Agreement>
  /** The lines of all time, of the same customers and dimensions: what the equation is about. */
  readonly allTime: readonly StatementLine[]
  /** Up to when the ledger was reconciled with AWS, all of it. */
  readonly reconciled?: readonly ReconciledRegion[]
}

/** What is summed for a dimension. */
export type Figures = Pick<
  StatementLine,
  'recorded' | 'included' | 'metered' | 'pending' | 'held' | 'heldByReason' | 'balance'
>

/** The lines of each dimension, by its name. */
export function byDimension(lines: readonly StatementLine[]): StatementLine[][] {
  return [...Map.groupBy(lines, line => line.dimension.name)]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, group]) => group)
}

/** The sum of lines of one dimension. */
export function sumOf(lines: readonly StatementLine[]): Figures {
  const sum = (name: 'recorded' | 'included' | 'metered' | 'pending' | 'held' | 'balance') =>
    lines.reduce((total, line) => total + line[name], 0n)
  const heldByReason: Partial<Record<HeldReason, bigint>> = {}
  for (const line of lines) {
    for (const [reason, amount] of reasonsOf(line.heldByReason)) {
      heldByReason[reason] = (heldByReason[reason] ?? 0n) + amount
    }
  }
  return {
    recorded: sum('recorded'),
    included: sum('included'),
    metered: sum('metered'),
    pending: sum('pending'),
    held: sum('held'),
    heldByReason,
    balance: sum('balance'),
  }
}

/** What the records of lines carry, as AWS counts it. */
export function quantitiesOf(lines: readonly StatementLine[]): Quantities {
  const sum = (state: keyof Quantities) =>
    lines.reduce((total, { span }) => total + (span?.quantities[state] ?? 0n), 0n)
  return { included: sum('included'), metered: sum('metered'), pending: sum('pending'), held: sum('held') }
}

/** What AWS bills of a line by the rate card, in hundred-millionths of its currency; nothing where it has no price. */
export interface Charge {
  readonly price: bigint
  readonly charge: bigint
}

export function chargeOf(
  { account, dimension, span }: StatementLine,
  { rateCard, agreements }: StatementReport,
): Charge | undefined {
  const price = rateCard?.priceOf(dimension.name, account, agreements.get(account.key))
  return price === undefined ? undefined : { price, charge: price * (span?.quantities.metered ?? 0n) }
}

/** The sum of what lines are charged with; nothing where one of them that is metered has no price. */
export function chargeOfAll(lines: readonly StatementLine[], report: StatementReport): bigint | undefined {
  const billed = lines.filter(({ span }) => (span?.quantities.metered ?? 0n) > 0n)
  const charges = billed.map(line => chargeOf(line, report)?.charge)
  return charges.includes(undefined) ? undefined : charges.reduce((sum: bigint, charge) => sum + (charge ?? 0n), 0n)
}

/** The dimensions of which something is metered that has no price. */
export function unpriced(report: StatementReport): string[] {
  const { lines, rateCard } = report
  if (rateCard === undefined) return []
  const missing = lines.filter(
    line => (line.span?.quantities.metered ?? 0n) > 0n && chargeOf(line, report) === undefined,
  )
  return [...new Set(missing.map(({ dimension }) => dimension.name))]
}

/** What a person is told where there are some. */
export function unpricedText(report: StatementReport): string {
  return `No charge is told of ${unpriced(report)
    .map(name => printable(name))
    .join(', ')}: the rate card has no price for all of it.`
}

/** Why quantities are held, without reasons of nothing. */
export function reasonsOf(heldByReason: Figures['heldByReason']): [HeldReason, bigint][] {
  return (Object.entries(heldByReason) as [HeldReason, bigint][]).filter(([, amount]) => amount !== 0n)
}
