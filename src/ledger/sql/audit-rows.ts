import type { Account } from '../../usage/account.ts'
import type { AuditEntry, AuditQuery } from '../ledger.ts'
import type { ChainedEntry } from '../rules/audit.ts'
import type { Row } from './rows.ts'

/** Rows of the audit trail. Each says itself whom and what it is about. */

export function auditEntryOf(row: Row): AuditEntry {
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
export function auditValues(entry: ChainedEntry): (string | number | null)[] {
  const { number, at, who, why, writtenAt, systemUser, action, account, dimension, recordId, amount, detail } = entry
  return [
    ...[number, at, who, why, writtenAt, systemUser, action, account === undefined ? null : JSON.stringify(account)],
    ...[dimension ?? null, recordId === undefined ? null : Number(recordId)],
    ...[amount === undefined ? null : String(amount), detail ?? null, entry.hash],
  ]
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
    const sql = `SELECT * FROM audit WHERE ${conditions.join(' AND ')} ORDER BY id DESC LIMIT ${place(values.length)}`
    return { sql, values }
  })
}
