import type { CustomerEntitlement, EntitlementsQuery, Included, IncludedDimension } from '../ledger.ts'
import { IncludedDimensions, toldEntitlements } from '../rules/entitlements.ts'
import { entitlementsOf } from './piece-rows.ts'
import { CUSTOMER, customerOf, type Row } from './rows.ts'

/** What contracts include in tables' rows, in one place for the engines that have tables. */

/** What contracts include of products' dimensions. */
export const INCLUDED = `SELECT included.product, dimension.name AS dimension, included.terms, included.since,
  included.known_until, dimension.size FROM included JOIN dimension ON dimension.id = included.dimension
  ORDER BY included.product, dimension.name`

/** A row of `INCLUDED`. */
export function includedOf({ product, dimension, terms, since, known_until: knownUntil }: Row): IncludedDimension {
  return {
    ...(JSON.parse(terms as string) as Included),
    ...({ product, dimension, since } as Pick<IncludedDimension, 'product' | 'dimension' | 'since'>),
    ...(knownUntil !== null && { knownUntil: knownUntil as number }),
  }
}

/** The customers of whose entitlements something is known; conditions follow. */
export const ENTITLED = `SELECT ${CUSTOMER}, account.entitlements FROM account WHERE account.entitlements IS NOT NULL`

/** What rows of `ENTITLED` tell, with those of `INCLUDED`. */
export function entitlementsOfRows(
  rows: readonly Row[],
  included: readonly Row[],
  { dimension }: EntitlementsQuery,
): CustomerEntitlement[] {
  const known = new IncludedDimensions(included.map(includedOf))
  const sizes = new Map(included.map(row => [row.dimension as string, BigInt(row.size as string | bigint)]))
  return rows
    .flatMap(row => toldEntitlements(customerOf(row), entitlementsOf(row), known, name => sizes.get(name) ?? 0n))
    .filter(told => dimension === undefined || told.dimension === dimension)
}
