import type { Account, CustomerAccount } from '../../usage/account.ts'
import { MAX_QUANTITY } from '../../usage/dimension.ts'
import { hourOf } from '../hours.ts'
import type { AuditEntry, AuditNote } from '../ledger.ts'
import {
  balanceEmpty,
  checkDoubtful,
  checkReleasable,
  noSuchRecord,
  noSuchUsage,
  otherKind,
} from '../rules/decisions.ts'
import type { Transition } from '../rules/transitions.ts'
import { isRecordId } from '../sql/rows.ts'
import { writeAudit } from './audit.ts'
import type { Database, Transaction } from './database.ts'
import { foldJournal } from './fold.ts'
import { lockLedger } from './ledger-row.ts'
import { type MovedRecord, Moves } from './moves.ts'
import { openHours } from './reports.ts'
import { addUsage, type Series, saveSeries, seriesIds, seriesWhere, takeOpenUsage, unclosed } from './series.ts'

/** What only a person can decide, each with an entry in the audit trail. */

export async function release(database: Database, recordId: string, by: AuditNote): Promise<void> {
  await decide(database, 'release', recordId, by, async (transaction, record, moves) => {
    checkReleasable(judged(record))
    const { reason, quantity } = record.facts
    moves.move(record, { ...record.facts, state: 'returned' } as Transition, by.now)
    // The hindrance is what the person judged to be over.
    if (reason === 'not-subscribed') moves.unblock(record.account)
    if (reason === 'agreement-ended') {
      await transaction.run('UPDATE account SET ended_at = NULL WHERE id = $1', record.account)
    }
    if (reason === 'over-maximum') {
      await transaction.run(
        'UPDATE series SET approved = least(approved::bigint + $1, $2) WHERE id = $3',
        ...[quantity, MAX_QUANTITY, record.series],
      )
    }
    return reason ?? ''
  })
}

export async function settleInDoubt(
  database: Database,
  recordId: string,
  billed: boolean,
  by: AuditNote,
): Promise<void> {
  await decide(database, 'settle', recordId, by, async (_, record, moves) => {
    checkDoubtful(judged(record))
    moves.move(record, { ...record.facts, state: billed ? 'metered' : 'returned' } as Transition, by.now)
    return billed ? 'billed' : 'not billed'
  })
}

const judged = ({ id, facts }: MovedRecord) => ({ id: String(id), state: facts.state, reason: facts.reason })

/** Does with a held record what `work` does, which keeps the reason for which it was held and says what it did. */
async function decide(
  database: Database,
  action: AuditEntry['action'],
  recordId: string,
  by: AuditNote,
  work: (transaction: Transaction, record: MovedRecord, moves: Moves) => Promise<string>,
): Promise<void> {
  await database.once(`${action} record ${recordId}`, async transaction => {
    if (!isRecordId(recordId)) throw noSuchRecord(recordId)
    await lockLedger(transaction)
    const moves = await Moves.begin(transaction, 'record.id = $1', Number(recordId))
    const record = moves.record(recordId)
    if (record === undefined) throw noSuchRecord(recordId)
    const detail = await work(transaction, record, moves)
    await moves.save(transaction)
    const { id, series, amount } = record
    await writeAudit(transaction, [{ ...by, action, series, record: id, amount, detail }])
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
    const from = await wholeBalance(transaction, accountKey, dimension, 'unattributed')
    const [to] = await seriesIds(transaction, [{ account: customer, dimension, hour: hourOf(by.now) }])
    await empty(transaction, from, by.now)
    // As usage of the present hour: in the balance, an earlier hour that is still to close could take it.
    await addUsage(transaction, 'open_usage', [{ hour: hourOf(by.now), series: to as number, amount: from.balance }])
    const what = { series: from.id, amount: from.balance, detail: customer.key }
    await writeAudit(transaction, [{ ...by, action: 'attribute', ...what }])
    return from
  })
}

export async function writeOff(
  database: Database,
  accountKey: string,
  dimension: string,
  by: AuditNote,
): Promise<bigint> {
  return await decideBalance(database, 'write off a balance', async transaction => {
    const series = await wholeBalance(transaction, accountKey, dimension)
    await empty(transaction, series, by.now)
    const what = { series: series.id, amount: series.balance }
    await writeAudit(transaction, [{ ...by, action: 'write-off', ...what }])
    return series
  })
}

/** Decides once what becomes of a series' balance, with all in it that was acknowledged. Returns the balance it had. */
async function decideBalance(
  database: Database,
  doing: string,
  work: (transaction: Transaction) => Promise<Series>,
): Promise<bigint> {
  await foldJournal(database)
  const balance = await database.once(doing, async transaction => {
    await lockLedger(transaction)
    return String((await work(transaction)).balance)
  })
  return BigInt(balance)
}

/** A series with what it has of open hours in its balance. Whoever calls saves it. */
async function wholeBalance(
  transaction: Transaction,
  accountKey: string,
  dimension: string,
  kind?: Account['kind'],
): Promise<Series> {
  const found = await transaction.get(
    `SELECT series.id, account.kind FROM series JOIN account ON account.id = series.account
     JOIN dimension ON dimension.id = series.dimension WHERE account.key = $1 AND dimension.name = $2`,
    ...[accountKey, dimension],
  )
  if (found === undefined) throw noSuchUsage(accountKey, dimension)
  if (kind !== undefined && found.kind !== kind) throw otherKind(accountKey, kind)
  const id = found.id as number
  const hours = await openHours(transaction)
  const [used] = await takeOpenUsage(transaction, 0, 'hour = ANY($2::bigint[]) AND series = $3', hours, id)
  const series = used ?? (await seriesWhere(transaction, 0, 'series.id = $2', id))[0]
  if (series === undefined || series.balance <= 0n) throw balanceEmpty(accountKey, dimension)
  return series
}

/** Takes a balance away from what is recorded, and says so in the usage of the present hour. */
async function empty(transaction: Transaction, series: Series, now: number): Promise<void> {
  const { id, balance, recorded } = series
  await saveSeries(transaction, [unclosed({ ...series, recorded: recorded - balance, balance: 0n })])
  await addUsage(transaction, 'usage', [{ hour: hourOf(now), series: id, amount: -balance }])
}
