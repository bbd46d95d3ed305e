import type { Accounts } from './accounts.ts'
import type { EngineClock } from './clock.ts'
import type { Dimensions } from './dimensions.ts'
import type { SeriesNumbers } from './places.ts'
import type { Table } from './table.ts'

/** The table, and what this process knows of its accounts, dimensions and clock: every part of the ledger gets it. */
export interface Database {
  readonly table: Table
  readonly accounts: Accounts
  readonly dimensions: Dimensions
  readonly clock: EngineClock
}

/** A series for a person, by its numbers where this process does not know more. */
export function nameOf(
  { accounts, dimensions }: Database,
  { account, dimension }: SeriesNumbers,
): { accountKey: string; dimension: string } {
  return { accountKey: accounts.keyOf(account), dimension: dimensions.nameOf(dimension) }
}
