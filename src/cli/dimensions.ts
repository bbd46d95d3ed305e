import type { Ledger } from '../ledger/ledger.ts'
import type { Dimension } from '../usage/dimension.ts'

/** The dimensions that a ledger has usage of, by name. */
export async function readDimensions(ledger: Ledger): Promise<Map<string, Dimension>> {
  return new Map((await ledger.statement()).map(line => [line.dimension.name, line.dimension]))
}
