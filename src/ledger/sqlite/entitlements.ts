import type {
  AuditNote,
  CustomerEntitlement,
  EntitlementNews,
  EntitlementsQuery,
  Included,
  IncludedDimension,
} from '../ledger.ts'
import { entitlementEntries, includedEntry } from '../rules/audit.ts'
import { noteEntitlementNews } from '../rules/decisions.ts'
import {
  changedIncluded,
  checkEntitlements,
  checkRegistered,
  IncludedDimensions,
  newsSince,
  storedIncluded,
  toldBy,
} from '../rules/entitlements.ts'
import { notRegistered } from '../rules/validation.ts'
import { BOOKED_ACCOUNT } from '../sql/agreement-rows.ts'
import { ENTITLED, entitlementsOfRows, INCLUDED, includedOf } from '../sql/entitlement-rows.ts'
import { Piece } from '../sql/piece.ts'
import { customerOf } from '../sql/rows.ts'
import { writeAudit } from './audit.ts'
import type { Database } from './database.ts'
import { savePiece } from './piece.ts'
import { accountId } from './series.ts'

/** What contracts include: of which dimensions, and for whom how much. */

export function registerIncluded(
  database: Database,
  product: string,
  included: Readonly<Record<string, Included>>,
  by: AuditNote,
): void {
  database.write('register what contracts include', () => {
    for (const { dimension, before, after } of changedIncluded(
      product,
      includedDimensions(database),
      included,
      by.now,
    )) {
      const id = database.get('SELECT id FROM dimension WHERE name = ?', dimension)?.id as number | undefined
      if (id === undefined) throw notRegistered(dimension)
      if (after === undefined) {
        database.run('DELETE FROM included WHERE product = ? AND dimension = ?', product, id)
      } else {
        database.run(
          'INSERT OR REPLACE INTO included (product, dimension, terms, since, known_until) VALUES (?, ?, ?, ?, ?)',
          ...[product, id, storedIncluded(after), after.since, after.knownUntil ?? null],
        )
      }
      writeAudit(database, includedEntry(product, dimension, before, after, by))
    }
  })
}

export function includedDimensions(database: Database): IncludedDimension[] {
  return database.all(INCLUDED).map(includedOf)
}

/** The same, by product and dimension. */
export function allIncluded(database: Database): IncludedDimensions {
  return new IncludedDimensions(includedDimensions(database))
}

export function noteEntitlements(database: Database, product: string, told: EntitlementNews, by: AuditNote): number {
  checkEntitlements(told)
  return database.write('note what contracts include', () => {
    const included = allIncluded(database)
    checkRegistered(product, told.dimensions, included)
    const news = newsSince(included, product, told, by)
    const customers = toldBy(news)
    for (const { account } of customers.values()) accountId(database, account)
    const rows = database.all(
      `${BOOKED_ACCOUNT} WHERE account.product = ? AND (account.entitlements IS NOT NULL OR account.key IN ${LISTED})`,
      ...[product, JSON.stringify([...customers.keys()])],
    )
    let changes = 0
    const piece = new Piece()
    for (const row of rows) {
      piece.addAccount(row)
      const [id, account] = [row.account as number, customerOf(row)]
      const changed = noteEntitlementNews(piece, id, customers.get(account.key)?.entitlements ?? [], news, by.now)
      changes += changed.length
      writeAudit(database, ...entitlementEntries(account, changed, by))
    }
    savePiece(database, piece)
    if (news.complete) {
      database.run(
        `UPDATE included SET known_until = ? WHERE product = ?
         AND dimension IN (SELECT id FROM dimension WHERE name IN ${LISTED})`,
        ...[news.at, product, JSON.stringify(news.dimensions)],
      )
    }
    return changes
  })
}

const LISTED = '(SELECT value FROM json_each(?))'

export function entitlements(database: Database, query: EntitlementsQuery): CustomerEntitlement[] {
  const { customer } = query
  const named = '? IN (account.key, account.account_id, account.customer_identifier, account.license_arn)'
  const rows = database.all(
    `${ENTITLED} ${customer === undefined ? '' : `AND ${named}`} ORDER BY account.id`,
    ...(customer === undefined ? [] : [customer]),
  )
  return entitlementsOfRows(rows, database.all(INCLUDED), query)
}
