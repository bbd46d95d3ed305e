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
import type { Database, Transaction } from './database.ts'
import { lockLedger, requireVersion } from './ledger-row.ts'
import { savePiece } from './piece.ts'
import { takeAccounts } from './series.ts'

/** What contracts include: of which dimensions, and for whom how much. */

export async function registerIncluded(
  database: Database,
  product: string,
  included: Readonly<Record<string, Included>>,
  by: AuditNote,
): Promise<void> {
  const changesIn = async (transaction: Transaction) =>
    changedIncluded(product, await includedDimensions(transaction), included, by.now)
  // A role that only records may not change what is included, nor need it.
  const known = await database.read('look what contracts include', changesIn)
  if (known.length === 0) return
  await database.write('register what contracts include', async transaction => {
    await lockLedger(transaction)
    await requireVersion(transaction)
    for (const { dimension, before, after } of await changesIn(transaction)) {
      const found = await transaction.get('SELECT id FROM dimension WHERE name = $1', dimension)
      if (found === undefined) throw notRegistered(dimension)
      const key = [product, found.id as number]
      if (after === undefined) {
        await transaction.run('DELETE FROM included WHERE product = $1 AND dimension = $2', ...key)
      } else {
        await transaction.run(
          `INSERT INTO included (product, dimension, terms, since, known_until) VALUES ($1, $2, $3, $4, $5)
           ON CONFLICT (product, dimension) DO UPDATE
           SET terms = excluded.terms, since = excluded.since, known_until = excluded.known_until`,
          ...[...key, storedIncluded(after), after.since, after.knownUntil ?? null],
        )
      }
      await writeAudit(transaction, [includedEntry(product, dimension, before, after, by)])
    }
  })
}

export async function includedDimensions(transaction: Transaction): Promise<IncludedDimension[]> {
  return (await transaction.all(INCLUDED)).map(includedOf)
}

/** The same, by product and dimension. */
export async function allIncluded(transaction: Transaction): Promise<IncludedDimensions> {
  return new IncludedDimensions(await includedDimensions(transaction))
}

export async function noteEntitlements(
  database: Database,
  product: string,
  told: EntitlementNews,
  by: AuditNote,
): Promise<number> {
  checkEntitlements(told)
  return await database.writeOnce('note what contracts include', async transaction => {
    await lockLedger(transaction)
    const included = await allIncluded(transaction)
    checkRegistered(product, told.dimensions, included)
    const news = newsSince(included, product, told, by)
    const customers = toldBy(news)
    await takeAccounts(
      transaction,
      [...customers.values()].map(({ account }) => account),
    )
    const rows = await transaction.all(
      `${BOOKED_ACCOUNT} WHERE account.product = $1 AND (account.entitlements IS NOT NULL OR account.key = ANY($2::text[]))
       ORDER BY account.id`,
      ...[product, [...customers.keys()]],
    )
    const { piece, entries } = noteInRows(rows, customers, news, by)
    await writeAudit(transaction, entries)
    await savePiece(transaction, piece)
    if (news.complete) {
      await transaction.run(
        `UPDATE included SET known_until = $1 WHERE product = $2
         AND dimension IN (SELECT id FROM dimension WHERE name = ANY($3::text[]))`,
        ...[news.at, product, news.dimensions],
      )
    }
    return entries.length
  })
}

export async function entitlements(transaction: Transaction, query: EntitlementsQuery): Promise<CustomerEntitlement[]> {
  const rows = await transaction.all(
    `${ENTITLED} AND ($1::text IS NULL
       OR $1 IN (account.key, account.account_id, account.customer_identifier, account.license_arn)) ORDER BY account.id`,
    query.customer ?? null,
  )
  return entitlementsOfRows(rows, await transaction.all(INCLUDED), query)
}
