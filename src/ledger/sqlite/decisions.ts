import type { Account, CustomerAccount } from '../../usage/account.ts'
import { MAX_QUANTITY } from '../../usage/dimension.ts'
import { hourOf } from '../hours.ts'
import type { AuditEntry, AuditNote } from '../ledger.ts'
import { balanceEmpty, checkDoubtful, checkReleasable, noSuchUsage, otherKind } from '../rules/decisions.ts'
import type { Transition } from '../rules/transitions.ts'
import { factsOf } from '../sql/rows.ts'
import type { Database, Row } from './database.ts'
import { move, recordRow, unblock } from './records.ts'
import { ADD_TO_WHAT_IS_THERE, accountId, fold, saveSeries, seriesId, seriesWhere } from './series.ts'

/** What only a person can decide, each with an entry in the audit trail. */

const MILLION = 1_000_000n

export function release(database: Database, recordId: string, by: AuditNote): void {
  database.write(`release record ${recordId}`, () => {
    const row = recordRow(database, recordId)
    checkReleasable({ id: recordId, ...factsOf(row) })
    decide(database, row, 'returned', by)
    // The hindrance is what the person judged to be over.
    if (row.reason === 'not-subscribed') unblock(database, row.account as number)
    if (row.reason === 'agreement-ended') {
      database.run('UPDATE account SET ended_at = NULL WHERE id = ?', row.account as number)
    }
    if (row.reason === 'over-maximum') {
      database.run(
        'UPDATE series SET approved = min(approved + ?, ?) WHERE id = ?',
        ...[row.quantity as number, MAX_QUANTITY, row.series as number],
      )
    }
    writeAudit(database, 'release', by, { row, detail: row.reason as string })
  })
}

export function settleInDoubt(database: Database, recordId: string, billed: boolean, by: AuditNote): void {
  database.write(`settle record ${recordId}`, () => {
    const row = recordRow(database, recordId)
    checkDoubtful({ id: recordId, ...factsOf(row) })
    decide(database, row, billed ? 'metered' : 'returned', by)
    writeAudit(database, 'settle', by, { row, detail: billed ? 'billed' : 'not billed' })
  })
}

export function attribute(
  database: Database,
  accountKey: string,
  dimension: string,
  customer: CustomerAccount,
  by: AuditNote,
): bigint {
  return database.write(`attribute usage of ${accountKey}`, () => {
    const from = wholeBalance(database, accountKey, dimension, 'unattributed')
    const to = seriesId(database, accountId(database, customer), from.dimension, hourOf(by.now))
    adjust(database, from.id, -from.balance, by.now)
    // As usage of the present hour: in the balance, an earlier hour that is still to close could take it.
    addUsage(database, 'open_usage', to, from.balance, by.now)
    writeAudit(database, 'attribute', by, { series: from.id, amount: from.balance, detail: customer.key })
    return from.balance
  })
}

export function writeOff(database: Database, accountKey: string, dimension: string, by: AuditNote): bigint {
  return database.write(`write off the balance of ${accountKey}`, () => {
    const { id, balance } = wholeBalance(database, accountKey, dimension)
    adjust(database, id, -balance, by.now)
    writeAudit(database, 'write-off', by, { series: id, amount: balance })
    return balance
  })
}

/** Ends a held record. It keeps the reason for which it was held. */
function decide(database: Database, row: Row, state: 'metered' | 'returned', by: AuditNote): void {
  const { reason, refusals } = row as unknown as Pick<Transition, 'reason' | 'refusals'>
  move(database, row, { state, reason, refusals }, by.now)
}

/** A series with what it has of open hours brought into its balance. */
function wholeBalance(
  database: Database,
  accountKey: string,
  dimension: string,
  kind?: Account['kind'],
): { id: number; dimension: number; balance: bigint } {
  const found = database.get(
    `SELECT series.id, series.dimension, account.kind FROM series JOIN account ON account.id = series.account
     JOIN dimension ON dimension.id = series.dimension WHERE account.key = ? AND dimension.name = ?`,
    ...[accountKey, dimension],
  )
  if (found === undefined) throw noSuchUsage(accountKey, dimension)
  if (kind !== undefined && found.kind !== kind) throw otherKind(accountKey, kind)
  for (const series of fold(database, 'series = ?', found.id as number)) saveSeries(database, series)
  const [series] = seriesWhere(database, 'series.id = ?', found.id as number)
  if (series === undefined || series.balance <= 0n) throw balanceEmpty(accountKey, dimension)
  return { id: series.id, dimension: found.dimension as number, balance: series.balance }
}

/** Adds to what is recorded and to the balance, and says so in the usage of the present hour. */
function adjust(database: Database, series: number, amount: bigint, now: number): void {
  for (const one of seriesWhere(database, 'series.id = ?', series)) {
    one.recorded += amount
    one.balance += amount
    saveSeries(database, one)
  }
  addUsage(database, 'usage', series, amount, now)
}

function addUsage(
  database: Database,
  table: 'usage' | 'open_usage',
  series: number,
  amount: bigint,
  now: number,
): void {
  database.run(
    `INSERT INTO ${table} (hour, series, whole, millionths) VALUES (?, ?, ?, ?) ${ADD_TO_WHAT_IS_THERE}`,
    ...[hourOf(now), series, amount / MILLION, amount % MILLION],
  )
}

export function writeAudit(
  database: Database,
  action: AuditEntry['action'],
  by: AuditNote,
  what: { row?: Row; series?: number; amount?: bigint; detail?: string },
): void {
  const { row } = what
  const amount = row === undefined ? what.amount : BigInt(row.quantity as number) * BigInt(row.size as string)
  database.run(
    'INSERT INTO audit (at, who, why, action, series, record, amount, detail) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
    ...[by.now, by.who, by.why, action, (row?.series as number | undefined) ?? what.series ?? null],
    ...[(row?.id as number | undefined) ?? null, amount === undefined ? null : String(amount), what.detail ?? null],
  )
}
