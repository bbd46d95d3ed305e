import { setImmediate as nextTurn } from 'node:timers/promises'
import type {
  AuditNote,
  CustomerEntitlement,
  EntitlementNews,
  EntitlementsQuery,
  Included,
  IncludedDimension,
} from '../ledger.ts'
import { includedEntry } from '../rules/audit.ts'
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
import { ENTITLED, entitlementsOfRows, INCLUDED, includedOf, noteInRows } from '../sql/entitlement-rows.ts'
import { writeAudit } from './audit.ts'
import { type Database, LISTED } from './database.ts'
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

/** How many customers one transaction looks at, so that no turn of the event loop takes long. */
const CUSTOMERS_PER_CHUNK = 1000

/**
 * Takes in what is told of customers, some in each transaction; then it is written down up to when all is known. Where a
 * process dies in between, whoever tells it again goes on.
 */
export async function noteEntitlements(
  database: Database,
  product: string,
  told: EntitlementNews,
  by: AuditNote,
): Promise<number> {
  checkEntitlements(told)
  const doing = 'note what contracts include'
  const customers = toldBy(told)
  // Each time: another process may have told of later ones meanwhile.
  const newest = (): EntitlementNews => newsSince(allIncluded(database), product, told, by)
  const entitled = database.read(doing, () => {
    checkRegistered(product, told.dimensions, allIncluded(database))
    return told.complete ? database.all(ENTITLED_KEYS, product).map(({ key }) => key as string) : []
  })
  const keys = [...new Set([...customers.keys(), ...entitled])]
  let changes = 0
  for (let start = 0; start < keys.length; start += CUSTOMERS_PER_CHUNK) {
    if (start > 0) await nextTurn()
    const some = keys.slice(start, start + CUSTOMERS_PER_CHUNK)
    changes += database.write(doing, () => {
      const news = newest()
      for (const account of some.flatMap(key => customers.get(key)?.account ?? [])) accountId(database, account)
      const rows = database.all(SOME_ACCOUNTS, product, JSON.stringify(some))
      const { piece, entries } = noteInRows(rows, customers, news, by)
      savePiece(database, piece)
      writeAudit(database, ...entries)
      return entries.length
    })
  }
  if (told.complete) {
    database.write(doing, () => {
      database.run(
        `UPDATE included SET known_until = ? WHERE product = ?
         AND dimension IN (SELECT id FROM dimension WHERE name IN ${LISTED})`,
        ...[told.at, product, JSON.stringify(newest().dimensions)],
      )
    })
  }
  return changes
}
const ENTITLED_KEYS = 'SELECT key FROM account WHERE product = ? AND entitlements IS NOT NULL'
const SOME_ACCOUNTS = `${BOOKED_ACCOUNT} WHERE account.product = ? AND account.key IN ${LISTED}`

export function entitlements(database: Database, query: EntitlementsQuery): CustomerEntitlement[] {
  const { customer } = query
  const named = '? IN (account.key, account.account_id, account.customer_identifier, account.license_arn)'
  const rows = database.all(
    `${ENTITLED} ${customer === undefined ? '' : `AND ${named}`} ORDER BY account.id`,
    ...(customer === undefined ? [] : [customer]),
  )
  return entitlementsOfRows(rows, database.all(INCLUDED), query)
}
