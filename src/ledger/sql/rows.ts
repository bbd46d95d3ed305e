import type { Account, CustomerAccount, UnattributedReason } from '../../usage/account.ts'
import type { Dimension } from '../../usage/dimension.ts'
import { HOUR } from '../hours.ts'
import type { Allocation, LaneAnswer, RecordEntry, RecordState } from '../ledger.ts'
import type { Figures } from '../rules/accounting.ts'
import { FARTHEST_AHEAD, LONGEST_PAUSE } from '../rules/decisions.ts'
import { inDoubt } from '../rules/transitions.ts'

/** Values of tables' rows, in one place for the engines that have tables. Sizes and amounts are decimal text or bigint. */
export type Row = Readonly<Record<string, unknown>>

/** The columns of a customer's account, in a select that joins it. */
export const CUSTOMER = `account.key AS account_key, account.product, account.account_id, account.customer_identifier,
  account.license_arn`

/** The columns of any account. */
export const ACCOUNT = `${CUSTOMER}, account.kind, account.unattributed_reason, account.evidence`

export function accountOf(row: Row): Account {
  if (row.kind !== 'unattributed') return customerOf(row)
  const { account_key: key, product } = row as { account_key: string; product: string }
  const reason = row.unattributed_reason as UnattributedReason
  return { kind: 'unattributed', key, product, reason, evidence: row.evidence as string }
}

export function customerOf(row: Row): CustomerAccount {
  const { account_key: key, product } = row as { account_key: string; product: string }
  return {
    ...{ kind: 'customer', key, product },
    ...(row.account_id !== null && { accountId: row.account_id as string }),
    ...(row.customer_identifier !== null && { customerIdentifier: row.customer_identifier as string }),
    ...(row.license_arn !== null && { licenseArn: row.license_arn as string }),
  }
}

export function dimensionOf(row: Row): Dimension {
  return {
    name: row.name as string,
    unit: row.unit as string,
    baseUnit: row.base_unit as Dimension['baseUnit'],
    size: BigInt(row.size as string | bigint),
    ...(row.max_quantity !== null && { maxQuantity: row.max_quantity as number }),
  }
}

/** The totals of a series, of closed hours. */
export function totalsOf(row: Row): Pick<Figures, 'recorded' | 'included' | 'metered' | 'balance'> {
  const total = (name: string) => BigInt(row[name] as string | bigint)
  const [recorded, included] = [total('recorded'), total('included')]
  return { recorded, included, metered: total('metered'), balance: total('balance') }
}

/** How a record's quantity is split. */
export function allocationsOf({ allocations }: Row): readonly Allocation[] | null {
  return typeof allocations === 'string' ? (JSON.parse(allocations) as Allocation[]) : null
}

/** The same as a member of what is told of a record. */
export function splitOf(row: Row): { allocations?: readonly Allocation[] } {
  const allocations = allocationsOf(row)
  return allocations === null ? {} : { allocations }
}

/** Whether a text can be the id of a record. */
export const isRecordId = (id: string) => /^[1-9]\d{0,14}$/.test(id)

/** A record with its account's columns, its lane's region and its dimension's name. */
export function recordEntryOf(row: Row): RecordEntry {
  return {
    id: String(row.id),
    account: customerOf(row),
    dimension: row.dimension as string,
    hour: row.hour as number,
    timestamp: row.timestamp as number,
    deadline: row.deadline as number,
    region: row.region as string,
    quantity: row.quantity as number,
    ...splitOf(row),
    size: BigInt(row.size as string | bigint),
    state: row.state as RecordState,
    ...(row.reason !== null && { reason: row.reason as string }),
    attempts: row.attempts as number,
    inDoubt: inDoubt({ attempts: row.attempts as number, refusals: row.refusals as number }) && row.state !== 'metered',
    ...(row.state === 'pending' && { nextAttemptAt: row.next_attempt_at as number }),
    ...(row.answer !== null && { lastAnswer: row.answer as string }),
    ...(row.metering_record_id !== null && { meteringRecordId: row.metering_record_id as string }),
  }
}

/** `isDue` as a condition, at an instant that is a parameter. */
export const dueAt = (now: string) => `state = 'pending' AND timestamp <= ${now} AND deadline > ${now}
  AND next_attempt_at NOT BETWEEN ${now} + 1 AND ${now} + ${LONGEST_PAUSE}
  AND claimed_until NOT BETWEEN ${now} + 1 AND ${now} + ${LONGEST_PAUSE}`

/** `isOver` as a condition, at an instant that is a parameter. */
export const overAt = (now: string) => `state = 'pending'
  AND claimed_until NOT BETWEEN ${now} + 1 AND ${now} + ${LONGEST_PAUSE}
  AND (deadline <= ${now} OR (timestamp > ${now} + ${HOUR} AND attempts = refusals)
       OR timestamp > ${now} + ${FARTHEST_AHEAD})`

/** What was answered last in each lane. */
export const LANE_ANSWERS = `SELECT product, identity, region, answer, answered_at FROM lane
  WHERE answer IS NOT NULL ORDER BY product, region, identity`

export function laneAnswerOf(row: Row): LaneAnswer {
  const { product, identity, region, answer, answered_at: at } = row
  return { product, identity, region, answer, at } as LaneAnswer
}
