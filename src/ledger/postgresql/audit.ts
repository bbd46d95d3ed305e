import type { AuditEntry, AuditNote } from '../ledger.ts'
import { AUDIT, auditEntryOf } from '../sql/rows.ts'
import type { Transaction } from './database.ts'

/** The audit trail: decisions of persons, and what the ledger noted of others' counters. */

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
  const rows = await transaction.all(`${AUDIT} ORDER BY audit.id DESC LIMIT $1`, limit)
  return rows.map(auditEntryOf)
}
