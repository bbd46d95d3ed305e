import type { AuditEntry, AuditNote } from '../ledger.ts'
import { ACCOUNT, accountOf } from '../rows.ts'
import type { Transaction } from './database.ts'

/** What persons did, and what the ledger found of others' counters. */

export interface NewAudit extends AuditNote {
  readonly action: AuditEntry['action']
  readonly series?: number
  readonly record?: number
  readonly amount?: bigint
  readonly detail?: string
}

export async function writeAudit(transaction: Transaction, entries: readonly NewAudit[]): Promise<void> {
  const column = <Name extends keyof NewAudit>(name: Name) => entries.map(entry => entry[name] ?? null)
  await transaction.run(
    `INSERT INTO audit (at, who, why, action, series, record, amount, detail)
     SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::numeric[],
                          $8::text[])`,
    ...[column('now'), column('who'), column('why'), column('action'), column('series'), column('record')],
    ...[column('amount'), column('detail')],
  )
}

export async function auditEntries(transaction: Transaction, limit: number): Promise<AuditEntry[]> {
  const rows = await transaction.all(
    `SELECT audit.*, dimension.name AS dimension, ${ACCOUNT} FROM audit LEFT JOIN series ON series.id = audit.series
     LEFT JOIN account ON account.id = series.account LEFT JOIN dimension ON dimension.id = series.dimension
     ORDER BY audit.id DESC LIMIT $1`,
    limit,
  )
  return rows.map(row => ({
    at: row.at as number,
    who: row.who as string,
    why: row.why as string,
    action: row.action as AuditEntry['action'],
    ...(row.account_key !== null && { account: accountOf(row), dimension: row.dimension as string }),
    ...(row.record !== null && { recordId: String(row.record) }),
    ...(row.amount !== null && { amount: row.amount as bigint }),
    ...(row.detail !== null && { detail: row.detail as string }),
  }))
}
