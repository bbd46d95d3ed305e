import type {
  AuditNote,
  CustomerEntitlement,
  EntitlementNews,
  EntitlementsQuery,
  Included,
  IncludedDimension,
} from '../ledger.ts'
import { entitlementEntries, type NewEntry } from '../rules/audit.ts'
import { noteEntitlementNews } from '../rules/decisions.ts'
import { IncludedDimensions, type toldBy, toldEntitlements } from '../rules/entitlements.ts'
import { Piece } from './piece.ts'
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

/**
 * Takes in what is told of customers, in a piece of their rows of `BOOKED_ACCOUNT`; with what the audit trail says of it.
 *
 * @param customers what the news say of each
 */
export function noteInRows(
  rows: readonly Row[],
  customers: ReturnType<typeof toldBy>,
  news: EntitlementNews,
  by: AuditNote,
): { readonly piece: Piece; readonly entries: readonly NewEntry[] } {
  const piece = new Piece()
  const entries = rows.flatMap(row => {
    piece.addAccount(row)
    const [id, account] = [row.account as number, customerOf(row)]
    const changed = noteEntitlementNews(piece, id, customers.get(account.key)?.entitlements ?? [], news, by.now)
    return entitlementEntries(account, changed, by)
  })
  return { piece, entries }
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
