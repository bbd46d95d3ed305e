import type { Account, CustomerAccount } from '../../usage/account.ts'
import { hourOf } from '../hours.ts'
import type { AuditNote, Decision } from '../ledger.ts'
import { checkAttribution, decideRecord, giveBack, noSuchRecord, noSuchUsage, takeBalance } from '../rules/decisions.ts'
import type { Piece } from '../sql/piece.ts'
import { ACCOUNT, accountOf } from '../sql/rows.ts'
import { writeAudit } from './audit.ts'
import type { Database, Row } from './database.ts'
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
    const decided = decideRecord(piece, recordId, record, { decision, quantity, size }, by)
    savePiece(database, piece)
    writeAudit(database, { ...by, ...decided, ...namesOf(database, record.series), recordId })
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
    const from = takeWholeBalance(database, accountKey, dimension, by, customer)
    const hour = hourOf(by.now)
    const to = seriesId(database, accountId(database, customer), from.dimension, hour)
    // As usage of the present hour: in the balance, an earlier hour that is still to close could take it.
    addUsage(database, 'open_usage', to, hour, from.amount)
    const { amount, names } = from
    writeAudit(database, { ...by, action: 'attribute', ...names, amount, detail: customer.key })
    return from.amount
  })
}

export function writeOff(database: Database, accountKey: string, dimension: string, by: AuditNote): bigint {
  return database.write(`write off the balance of ${accountKey}`, () => {
    const { names, amount } = takeWholeBalance(database, accountKey, dimension, by)
    writeAudit(database, { ...by, action: 'write-off', ...names, amount })
    return amount
  })
}

/**
 * Takes what a series has, of open hours too, from what is recorded, and says so in the usage of the present hour.
 *
 * @param to whom it is given to, if to anybody: with what is held that is surely not billed
 */
function takeWholeBalance(
  database: Database,
  accountKey: string,
  dimension: string,
  { now }: AuditNote,
  to?: CustomerAccount,
): { names: SeriesNames; dimension: number; amount: bigint } {
  const found = database.get(
    `SELECT series.id, series.dimension, ${ACCOUNT} FROM series JOIN account ON account.id = series.account
     JOIN dimension ON dimension.id = series.dimension WHERE account.key = ? AND dimension.name = ?`,
    ...[accountKey, dimension],
  )
  if (found === undefined) throw noSuchUsage(accountKey, dimension)
  const id = found.id as number
  if (to !== undefined) {
    checkAttribution(accountOf(found), to)
    const held = loadRecords(database, "record.state = 'held' AND record.series = ?", id)
    giveBack(held, held.records, now)
    savePiece(database, held)
  }
  const used = takeOpenUsage(database, 0, 'series = ?', id)
  const piece: Piece = used.series.length > 0 ? used : loadSeries(database, 0, 'series.id = ?', id)
  const [series] = piece.series
  if (series === undefined) throw noSuchUsage(accountKey, dimension)
  const amount = takeBalance(series, series)
  savePiece(database, piece)
  addUsage(database, 'usage', id, hourOf(now), -amount)
  return { names: namesOf(database, id), dimension: found.dimension as number, amount }
}

interface SeriesNames {
  readonly account: Account
  readonly dimension: string
}

function namesOf(database: Database, series: number): SeriesNames {
  const row = database.get(
    `SELECT dimension.name AS dimension, ${ACCOUNT} FROM series JOIN account ON account.id = series.account
     JOIN dimension ON dimension.id = series.dimension WHERE series.id = ?`,
    series,
  ) as Row
  return { account: accountOf(row), dimension: row.dimension as string }
}
