import type { StatementLine } from '../../ledger/ledger.ts'

/** What is recorded and cannot be found; 0 where the ledger is right. */
export function difference({ recorded, metered, pending, held, balance }: StatementLine): bigint {
  return recorded - (metered + pending + held + balance)
}

/** The series for which recorded = metered + pending + held + balance does not hold. */
export function breaches(lines: readonly StatementLine[]): StatementLine[] {
  return lines.filter(line => difference(line) !== 0n)
}
