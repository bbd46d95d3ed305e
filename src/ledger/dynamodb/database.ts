import type { Accounts } from './accounts.ts'
import type { EngineClock } from './clock.ts'
import type { Dimensions } from './dimensions.ts'
import type { SeriesNumbers } from './places.ts'
import type { Table } from './table.ts'

/** What every part of the ledger works with. */
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
