import type { Account, CustomerAccount } from '../../usage/account.ts'
import { hourOf } from '../hours.ts'
import type { AuditEntry, AuditNote, Decision } from '../ledger.ts'
import { decideRecord, noSuchRecord, noSuchUsage, otherKind, takeBalance } from '../rules/decisions.ts'
import type { Piece } from '../sql/piece.ts'
import type { Database } from './database.ts'
import { loadRecords, savePiece } from './piece.ts'
import { accountId, addUsage, loadSeries, seriesId, takeOpenUsage } from './series.ts'

/** Decisions that only a person can make, each with an entry in the audit trail. */

export function decide(
  database: Database,
  recordId: string,
  decision: Decision,
  by: AuditNote,
  quantity?: number,
): void {
  database.write(`decide about record ${recordId}`, () => {
    const piece = loadRecords(database, 'record.id = ?', Number(recordId))
    const record = piece.record(recordId)
    if (record === undefined) throw noSuchRecord(recordId)
    const { size } = piece.seriesOf(record)
    const { action, ...said } = decideRecord(piece, recordId, record, { decision, quantity, size }, by)
    savePiece(database, piece)
    writeAudit(database, action, by, { series: record.series, record: record.id, ...said })
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
    const from = takeWholeBalance(database, accountKey, dimension, by, 'unattributed')
    const hour = hourOf(by.now)
    const to = seriesId(database, accountId(database, customer), from.dimension, hour)
    // As usage of the present hour: in the balance, an earlier hour that is still to close could take it.
    addUsage(database, 'open_usage', to, hour, from.amount)
    writeAudit(database, 'attribute', by, { series: from.series, amount: from.amount, detail: customer.key })
    return from.amount
  })
}

export function writeOff(database: Database, accountKey: string, dimension: string, by: AuditNote): bigint {
  return database.write(`write off the balance of ${accountKey}`, () => {
    const { series, amount } = takeWholeBalance(database, accountKey, dimension, by)
    writeAudit(database, 'write-off', by, { series, amount })
    return amount
  })
}

/** Takes what a series has, of open hours too, from what is recorded, and says so in the usage of the present hour. */
function takeWholeBalance(
  database: Database,
  accountKey: string,
  dimension: string,
  { now }: AuditNote,
  kind?: Account['kind'],
): { series: number; dimension: number; amount: bigint } {
  const found = database.get(
    `SELECT series.id, series.dimension, account.kind FROM series JOIN account ON account.id = series.account
     JOIN dimension ON dimension.id = series.dimension WHERE account.key = ? AND dimension.name = ?`,
    ...[accountKey, dimension],
  )
  if (found === undefined) throw noSuchUsage(accountKey, dimension)
  if (kind !== undefined && found.kind !== kind) throw otherKind(accountKey, kind)
  const id = found.id as number
  const used = takeOpenUsage(database, 0, 'series = ?', id)
  const piece: Piece = used.series.length > 0 ? used : loadSeries(database, 0, 'series.id = ?', id)
  const [series] = piece.series
  if (series === undefined) throw noSuchUsage(accountKey, dimension)
  const amount = takeBalance(series, series)
  savePiece(database, piece)
  addUsage(database, 'usage', id, hourOf(now), -amount)
  return { series: id, dimension: found.dimension as number, amount }
}

export function writeAudit(
  database: Database,
  action: AuditEntry['action'],
  by: AuditNote,
  what: { series?: number; record?: number; amount?: bigint; detail?: string },
): void {
  const { series = null, record = null, amount, detail = null } = what
  database.run(
    'INSERT INTO audit (at, who, why, action, series, record, amount, detail) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
    ...[by.now, by.who, by.why, action, series, record, amount === undefined ? null : String(amount), detail],
  )
}
