import type { Dimension } from '../../usage/dimension.ts'
import type { AuditEntry, AuditNote } from '../ledger.ts'
import type { Database } from './database.ts'
import type { Key, Write } from './table.ts'

/** The audit trail: an item for each entry, in the order in which they were made by DynamoDB's clock. */

const PARTITION = 'audit'

export interface StoredAudit {
  readonly at: number
  readonly who: string
  readonly why: string
  readonly action: AuditEntry['action']
  readonly account: number | null
  readonly dimension: number | null
  readonly recordId: string | null
  readonly amount: string | null
  readonly detail: string | null
}

/** @param name tells it from others of the same instant */
export function auditKey(at: number, name: string): Key {
  return { pk: PARTITION, sk: `${String(Math.round(at)).padStart(16, '0')}#${name}` }
}

/** How many entries this process has made. */
let made = 0

/** Writes down what a person did, together with it. */
export function auditWrite(
  { clock }: Database,
  action: AuditEntry['action'],
  { who, why, now }: AuditNote,
  what: {
    readonly account?: number
    readonly dimension?: number
    readonly recordId?: string
    readonly amount?: bigint
    readonly detail?: string
  } = {},
): Write {
  made += 1
  const { account = null, dimension = null, recordId = null, amount, detail = null } = what
  const data: StoredAudit = {
    ...{ at: now, who, why, action, account, dimension, recordId, detail },
    amount: amount === undefined ? null : String(amount),
  }
  const name = `${String(made).padStart(8, '0')}-${Math.random().toString(36).slice(2)}`
  return { put: auditKey(clock.now(), name), over: undefined, data }
}

export async function auditEntries({ table, accounts, dimensions }: Database, limit: number): Promise<AuditEntry[]> {
  const items = await table.list('read the audit trail', PARTITION, { newestFirst: true, limit })
  const entries = items.map(({ data }) => data as StoredAudit)
  await accounts.refresh()
  const all = await dimensions.upTo(entries.map(({ dimension }) => dimension ?? -1))
  return entries.map(({ at, who, why, action, account, dimension, recordId, amount, detail }) => ({
    ...{ at, who, why, action },
    ...(account !== null && { account: accounts.get(account) }),
    ...(dimension !== null && { dimension: (all[dimension] as Dimension).name }),
    ...(recordId !== null && { recordId }),
    ...(amount !== null && { amount: BigInt(amount) }),
    ...(detail !== null && { detail }),
  }))
}
