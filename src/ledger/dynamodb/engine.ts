import type { Accounts } from './accounts.ts'
import type { EngineClock } from './clock.ts'
import type { Dimensions } from './dimensions.ts'
import type { Table } from './table.ts'

/** What every part of the ledger works with. */
export interface Engine {
  readonly table: Table
  readonly accounts: Accounts
  readonly dimensions: Dimensions
  readonly clock: EngineClock
}
