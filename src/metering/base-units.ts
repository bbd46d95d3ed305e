import { show } from '../check.ts'
import type { Dimension } from '../usage/dimension.ts'

/** Dimensions that a ledger has in another base unit, and what is wrong with each. */
export function otherBaseUnits(dimensions: readonly Dimension[], known: readonly Dimension[]): Map<string, string> {
  const before = new Map(known.map(dimension => [dimension.name, dimension]))
  return new Map(
    dimensions.flatMap(({ name, unit, baseUnit }) => {
      const base = before.get(name)?.baseUnit ?? baseUnit
      if (base === baseUnit) return []
      const problem =
        `dimensions.${name}.unit: expected one that converts to ${show(base)}, in which the ledger has its usage, ` +
        `got ${show(unit)}. Sell it under the name of a new dimension`
      return [[name, problem] as const]
    }),
  )
}
