import type { Ledger } from '../ledger/ledger.ts'
import type { Dimension } from '../usage/dimension.ts'

/** A ledger's dimensions, by name. */
export async function readDimensions(ledger: Ledger): Promise<Map<string, Dimension>> {
  return new Map((await ledger.dimensions()).map(dimension => [dimension.name, dimension]))
}
