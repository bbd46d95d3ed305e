import type { Lane, RecordState } from '../ledger.ts'
import type { BookedAgreement } from '../rules/agreement.ts'
import type { BookedAccount, BookedRecord, BookedSeries } from '../rules/decisions.ts'
import type { BookedEntitlements } from '../rules/entitlements.ts'
import { allocationsOf, type Row } from './rows.ts'

/** The rows of a loaded piece of the ledger. */

/** A record as a row told it. */
export interface PieceRecord extends BookedRecord {
  readonly id: number
  readonly series: number
  /** As it was read. */
  readonly storedSize: bigint
}

/** What a series has, as a row told it, with its account. */
export interface PieceSeries extends BookedSeries {
  readonly id: number
  readonly accountKey: string
  /** Whether there is a customer to bill. */
  readonly billable: boolean
  readonly dimension: string
  readonly size: bigint
}

/** A series with all that its usage is sold by. */
export interface SoldSeries extends PieceSeries {
  readonly product: string
  readonly identity: Lane['identity']
  readonly maxQuantity: number | null
  /** Whether it has a record of the hour that it was asked for. */
  readonly taken: boolean
  /** Whether its AWS account has one of some quantity under its other identity. */
  readonly twin: boolean
  /** By what its twin is told, where it may have one. */
  readonly accountId: string | null
  /** Of the product that its licence is of, as far as is known. */
  readonly productCode: string | null
}

/** The columns of what a series of a loaded piece has, in a select that joins its account and dimension. */
const FIGURES = `series.id AS series, series.account, series.first_hour, series.recorded, series.metered,
  series.balance, series.approved, series.unfrozen, dimension.name AS dimension, dimension.size AS dimension_size,
  account.key AS account_key, account.kind, account.blocked_at, account.probe_at, account.probe_delay, account.agreement,
  account.entitlements`

/** The same, and by what it is sold. */
export const SERIES = `${FIGURES}, dimension.max_quantity, account.product, account.account_id, account.license_arn`

/** A row with `FIGURES`. */
export function figuresOf(row: Row): PieceSeries {
  const balance = BigInt(row.balance as string | bigint)
  return {
    id: row.series as number,
    account: row.account as number,
    accountKey: row.account_key as string,
    firstHour: row.first_hour as number,
    recorded: BigInt(row.recorded as string | bigint),
    // What is drawn from now on: who draws nothing pays for no column of it.
    included: 0n,
    metered: BigInt(row.metered as string | bigint),
    pending: 0n,
    held: new Map(),
    balance,
    carried: balance,
    shares: undefined,
    approved: row.approved as number,
    billable: row.kind === 'customer',
    dimension: row.dimension as string,
    size: BigInt(row.dimension_size as string | bigint),
  }
}

/** A row with `SERIES`, and, where that is asked, what it and its twin have of an hour as `taken` and `twin`. */
export function soldOf(row: Row): SoldSeries {
  const { account_id: accountId, license_arn: licence, product } = row as Readonly<Record<string, string | null>>
  return {
    ...figuresOf(row),
    product: product as string,
    identity: licence === null ? 'product-code' : 'licence',
    accountId: accountId ?? null,
    productCode: licence === null ? (product as string) : (agreementOf(row)?.productCode ?? null),
    maxQuantity: row.max_quantity as number | null,
    taken: Boolean(row.taken),
    twin: Boolean(row.twin),
  }
}

/** The account of a row with `FIGURES`. */
export function bookedAccountOf(row: Row): BookedAccount {
  const { blocked_at: blockedAt, probe_at: probeAt, probe_delay: probeDelay } = row
  const [agreement, entitlements] = [agreementOf(row), entitlementsOf(row)]
  return { blockedAt, probeAt, probeDelay, agreement, entitlements } as BookedAccount
}

/** What is known of an account's agreement. */
export function agreementOf({ agreement }: Row): BookedAgreement | null {
  return typeof agreement === 'string' ? (JSON.parse(agreement) as BookedAgreement) : null
}

/** What is known of what an account's contract includes. */
export function entitlementsOf({ entitlements }: Row): BookedEntitlements | null {
  return typeof entitlements === 'string' ? (JSON.parse(entitlements) as BookedEntitlements) : null
}

/**
 * Whether a series' AWS account has a record of an hour, and of some quantity, under its other identity: AWS bills what
 * is sent under both. Where a licence is known to be of another product than the code, they have nothing to do with each
 * other.
 *
 * It is asked of each series of an hour: so first, and once, whether any account has the other identity, and then without
 * a join whose order a planner could choose.
 *
 * @param json what makes JSON of a text, behind it
 */
export function twinAt(hour: string, json = ''): string {
  const code = (licensed: string) => `${licensed}.agreement${json} ->> 'productCode'`
  const other = (identity: string, codeOfLicence: string, product: string) => `
    EXISTS (SELECT 1 FROM account WHERE ${identity}) AND EXISTS (
      SELECT 1 FROM account AS other
      WHERE other.account_id = account.account_id AND other.${identity}
      AND coalesce(${codeOfLicence}, ${product}) = ${product}
      AND (
        SELECT record.quantity > 0 AND record.state <> 'returned' FROM record
        WHERE record.hour = ${hour} AND record.series = (
          SELECT its.id FROM series AS its WHERE its.account = other.id AND its.dimension = series.dimension
        )
      ))`
  return `CASE WHEN account.license_arn IS NULL
    THEN ${other('license_arn IS NOT NULL', code('other'), 'account.product')}
    ELSE ${other('license_arn IS NULL', code('account'), 'other.product')} END`
}

/** Records of a loaded piece, with `FIGURES`. What is to be loaded follows. */
export const RECORDS = `SELECT record.id, record.quantity, record.size, record.allocations, record.timestamp, record.deadline, record.probe,
  record.state, record.reason, record.attempts, record.refusals, record.next_attempt_at, record.claim,
  record.claimed_until, record.answer, record.metering_record_id, ${FIGURES}
  FROM record JOIN series ON series.id = record.series JOIN account ON account.id = series.account
  JOIN dimension ON dimension.id = series.dimension`

/** A row of `RECORDS`. */
export function recordOf(row: Row): PieceRecord {
  const size = BigInt(row.size as string | bigint)
  return {
    id: row.id as number,
    series: row.series as number,
    account: row.account as number,
    timestamp: row.timestamp as number,
    deadline: row.deadline as number,
    quantity: row.quantity as number,
    size,
    storedSize: size,
    allocations: allocationsOf(row),
    probe: Boolean(row.probe),
    state: row.state as RecordState,
    reason: row.reason as PieceRecord['reason'],
    attempts: row.attempts as number,
    refusals: row.refusals as number,
    nextAttemptAt: row.next_attempt_at as number,
    claim: row.claim as string | null,
    claimedUntil: row.claimed_until as number,
    answer: row.answer as string | null,
    meteringRecordId: row.metering_record_id as string | null,
  }
}
