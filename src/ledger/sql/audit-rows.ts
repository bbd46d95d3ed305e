import type { Account } from '../../usage/account.ts'
import { LedgerError } from '../errors.ts'
import type { AuditEntry, AuditQuery } from '../ledger.ts'
import { foreignEntry, unreadable } from '../rules/audit.ts'
import type { Row } from './rows.ts'

/** Rows of the audit trail. Each says itself whom and what it is about. */

/** The columns of an entry, in the order of `auditValues`. */
export const AUDIT_COLUMNS =
  'number, at, who, why, written_at, os_user, action, account, dimension, record, amount, detail, hash'

/** The same in a select. The amount comes as text: it may have become one that is no whole number. */
export const AUDIT_ROW = `id, ${AUDIT_COLUMNS.replace('amount', 'CAST(amount AS TEXT) AS amount')}`

/** @throws LedgerError where it is none that a ledger has written */
export function auditEntryOf(row: Row): AuditEntry {
  try {
    return entryOf(row)
  } catch (cause) {
    throw unreadable((row.number as number | null) ?? `of row ${row.id}`, cause)
  }
}

/**
 * An entry to be hashed.
 *
 * @param isAsWritten whether the ledger would store an entry as this row is
 */
export function hashedEntryOf(row: Row, isAsWritten: (entry: AuditEntry) => boolean): AuditEntry {
  try {
    const entry = entryOf(row)
    if (isAsWritten(entry)) return entry
  } catch {
    // Neither JSON nor a number: its hash tells.
  }
  return foreignEntry(entryOf({ ...row, account: null, amount: null }), row)
}

function entryOf(row: Row): AuditEntry {
  return {
    ...(row.number !== null && { number: row.number as number }),
    at: row.at as number,
    who: row.who as string,
    why: row.why as string,
    ...(row.written_at !== null && { writtenAt: row.written_at as number }),
    ...(row.os_user !== null && { systemUser: row.os_user as string }),
    action: row.action as AuditEntry['action'],
    ...(row.account !== null && { account: JSON.parse(row.account as string) as Account }),
    ...(row.dimension !== null && { dimension: row.dimension as string }),
    ...(row.record !== null && { recordId: String(row.record) }),
    ...(row.amount !== null && { amount: BigInt(row.amount as string | bigint) }),
    ...(row.detail !== null && { detail: row.detail as string }),
    ...(row.hash !== null && { hash: row.hash as string }),
  }
}

/** The values of a row, in the order of the columns. */
export function auditValues(entry: AuditEntry): (string | number | null)[] {
  const { number, at, who, why, writtenAt, systemUser, action, account, dimension, recordId, amount, detail } = entry
  return [
    ...[number ?? null, at, who, why, writtenAt ?? null, systemUser ?? null, action],
    ...[account === undefined ? null : JSON.stringify(account), dimension ?? null],
    ...[recordId === undefined ? null : Number(recordId), amount === undefined ? null : String(amount)],
    ...[detail ?? null, entry.hash ?? null],
  ]
}

/** All that is kept beside the trail, for who reads it from its beginning. */
export const CHAIN = `SELECT entries, hash, coalesce(hash_before, '') AS before, coalesce(id_before, 0) AS last
  FROM audit_chain`

/** The one row of what is kept beside the trail. */
export function wholeChain<Found extends Row>(row: Found | undefined): Found {
  if (row !== undefined) return row
  throw new LedgerError('ERR_LEDGER_CORRUPT', 'The ledger has no row in its table "audit_chain".')
}

/** The names that a person may call a customer by. */
const NAMES = ['key', 'accountId', 'customerIdentifier', 'licenseArn'].map(name => `account ->> '${name}'`).join(', ')

/**
 * One select for each action that is asked for, so that the index of actions finds the youngest of each.
 *
 * @param place what stands for the next value
 */
export function auditSelections(
  { limit = 100, actions, who, customer }: AuditQuery,
  place: (number: number) => string,
): { sql: string; values: (string | number)[] }[] {
  return (actions ?? [undefined]).map(action => {
    const conditions = ['true']
    const values: (string | number)[] = []
    const where = (condition: (place: string) => string, value: string | undefined) => {
      if (value === undefined) return
      values.push(value)
      conditions.push(condition(place(values.length)))
    }
    where(given => `action = ${given}`, action)
    where(given => `who = ${given}`, who)
    where(given => `${given} IN (${NAMES})`, customer)
    values.push(limit)
    const sql = `SELECT ${AUDIT_ROW} FROM audit WHERE ${conditions.join(' AND ')} ORDER BY id DESC LIMIT ${place(values.length)}`
    return { sql, values }
  })
}
