import type { Account, CustomerAccount } from '../../usage/account.ts'
import { hourOf } from '../hours.ts'
import type { AuditNote, Decision } from '../ledger.ts'
import { checkAttribution, decideRecord, giveBack, noSuchRecord, noSuchUsage, takeBalance } from '../rules/decisions.ts'
import { ACCOUNT, accountOf, isRecordId } from '../sql/rows.ts'
import { writeAudit } from './audit.ts'
import type { Database, Row, Transaction } from './database.ts'
import { foldJournal } from './fold.ts'
import { lockLedger } from './ledger-row.ts'
import { loadRecords, savePiece } from './piece.ts'
import { openHours } from './reports.ts'
import { addUsage, loadSeries, seriesIds, takeOpenUsage } from './series.ts'

/** Decisions that only a person can make, each with an entry in the audit trail. */

export async function decide(
  database: Database,
  recordId: string,
  decision: Decision,
  by: AuditNote,
  quantity?: number,
): Promise<void> {
  if (!isRecordId(recordId)) throw noSuchRecord(recordId)
  await database.writeOnce(`decide about record ${recordId}`, async transaction => {
    await lockLedger(transaction)
    const piece = await loadRecords(transaction, 'record.id = $1', Number(recordId))
    const record = piece.record(recordId)
    if (record === undefined) throw noSuchRecord(recordId)
    const { size } = piece.seriesOf(record)
    const decided = decideRecord(piece, recordId, record, { decision, quantity, size }, by)
    await savePiece(transaction, piece)
    await writeAudit(transaction, [{ ...by, ...decided, ...(await namesOf(transaction, record.series)), recordId }])
  })
}

export async function attribute(
  database: Database,
  accountKey: string,
  dimension: string,
  customer: CustomerAccount,
  by: AuditNote,
): Promise<bigint> {
  return await decideBalance(database, 'attribute usage', async transaction => {
    const { names, amount } = await takeWholeBalance(transaction, accountKey, dimension, by, customer)
    const [to] = await seriesIds(transaction, [{ account: customer, dimension, hour: hourOf(by.now) }])
    // As usage of the present hour: in the balance, an earlier hour that is still to close could take it.
    await addUsage(transaction, 'open_usage', [{ hour: hourOf(by.now), series: to as number, amount }])
    await writeAudit(transaction, [{ ...by, action: 'attribute', ...names, amount, detail: customer.key }])
    return amount
  })
}

export async function writeOff(
  database: Database,
  accountKey: string,
  dimension: string,
  by: AuditNote,
): Promise<bigint> {
  return await decideBalance(database, 'write off a balance', async transaction => {
    const { names, amount } = await takeWholeBalance(transaction, accountKey, dimension, by)
    await writeAudit(transaction, [{ ...by, action: 'write-off', ...names, amount }])
    return amount
  })
}

/** Decides once about a series' balance, with all in it that was acknowledged. Returns the balance it had. */
async function decideBalance(
  database: Database,
  doing: string,
  work: (transaction: Transaction) => Promise<bigint>,
): Promise<bigint> {
  await foldJournal(database)
  const balance = await database.writeOnce(doing, async transaction => {
    await lockLedger(transaction)
    return String(await work(transaction))
  })
  return BigInt(balance)
}

/**
 * Takes what a series has, of open hours too, from what is recorded, and says so in the usage of the present hour.
 *
 * @param to whom it is given to, if to anybody: with what is held that is surely not billed
 */
async function takeWholeBalance(
  transaction: Transaction,
  accountKey: string,
  dimension: string,
  { now }: AuditNote,
  to?: CustomerAccount,
): Promise<{ names: SeriesNames; amount: bigint }> {
  const found = await transaction.get(
    `SELECT series.id, ${ACCOUNT} FROM series JOIN account ON account.id = series.account
     JOIN dimension ON dimension.id = series.dimension WHERE account.key = $1 AND dimension.name = $2`,
    ...[accountKey, dimension],
  )
  if (found === undefined) throw noSuchUsage(accountKey, dimension)
  const id = found.id as number
  if (to !== undefined) {
    checkAttribution(accountOf(found), to)
    const held = await loadRecords(transaction, "record.state = 'held' AND record.series = $1", id)
    giveBack(held, held.records, now)
    await savePiece(transaction, held)
  }
  const hours = await openHours(transaction)
  const used = await takeOpenUsage(transaction, 0, 'hour = ANY($2::bigint[]) AND series = $3', hours, id)
  const piece = used.series.length > 0 ? used : await loadSeries(transaction, 0, 'series.id = $2', id)
  const [series] = piece.series
  if (series === undefined) throw noSuchUsage(accountKey, dimension)
  const amount = takeBalance(series, series)
  await savePiece(transaction, piece)
  await addUsage(transaction, 'usage', [{ hour: hourOf(now), series: id, amount: -amount }])
  return { names: await namesOf(transaction, id), amount }
}

interface SeriesNames {
  readonly account: Account
  readonly dimension: string
}

async function namesOf(transaction: Transaction, series: number): Promise<SeriesNames> {
  const row = await transaction.get(
    `SELECT dimension.name AS dimension, ${ACCOUNT} FROM series JOIN account ON account.id = series.account
     JOIN dimension ON dimension.id = series.dimension WHERE series.id = $1`,
    series,
  )
  return { account: accountOf(row as Row), dimension: row?.dimension as string }
}
