import type { StatementLine } from '../ledger.ts'

type Figures = Pick<StatementLine, 'recorded' | 'included' | 'metered' | 'pending' | 'held' | 'balance'>

/** recorded − (included + metered + pending + held + balance), in millionths of the base unit; 0 unless the ledger is damaged. */
export function difference({ recorded, included, metered, pending, held, balance }: Figures): bigint {
  return recorded - (included + metered + pending + held + balance)
}

/** The series for which recorded = included + metered + pending + held + balance does not hold. */
export function breaches(lines: readonly StatementLine[]): StatementLine[] {
  return lines.filter(line => difference(line) !== 0n)
}
