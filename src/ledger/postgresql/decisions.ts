import type { Account, CustomerAccount } from '../../usage/account.ts'
import { LedgerError, type LedgerErrorCode } from '../errors.ts'
import { hourOf } from '../hours.ts'
import type { AuditEntry, AuditNote, DecisionResult, Period, RecordDecision } from '../ledger.ts'
import { addAmount } from '../rules/accounting.ts'
import {
  type AboutRecord,
  checkAttribution,
  type Decided,
  decideRecord,
  giveBack,
  noSuchUsage,
  refused,
  takeBalance,
  takePart,
} from '../rules/decisions.ts'
import {
  amountOfHours,
  attributionDetail,
  attributionOf,
  checkLeft,
  hoursToAttribute,
  refuseUndone,
  sorted,
  type UndoableEntry,
  undoEntry,
  undoneBy,
  undoRecord,
} from '../rules/undo.ts'
import { attemptEach } from '../sql/decisions.ts'
import type { Piece } from '../sql/piece.ts'
import type { PieceRecord } from '../sql/piece-rows.ts'
import { ACCOUNT, accountOf, isRecordId } from '../sql/rows.ts'
import { writeAudit } from './audit.ts'
import type { Database, Transaction, Value } from './database.ts'
import { foldJournal } from './fold.ts'
import { lockLedger } from './ledger-row.ts'
import { loadRecords, savePiece } from './piece.ts'
import { openHours } from './reports.ts'
import { addUsage, loadSeries, seriesIds, takeOpenUsage } from './series.ts'

/** Decisions that only a person can make, each with an entry in the audit trail. */

/** How many records one transaction decides, so that nobody waits for it long. */
const RECORDS_PER_CHUNK = 500

export async function decideAll(
  database: Database,
  decisions: readonly RecordDecision[],
  by: AuditNote,
): Promise<DecisionResult[]> {
  return await changeRecords(database, decisions, by, async (_, piece) => (decision, record) => {
    return decideRecord(piece, decision, record, piece.seriesOf(record).size, by)
  })
}

/** Begins in a transaction what is done to each of its records. */
type Begin<Wanted> = (
  transaction: Transaction,
  piece: Piece,
) => Promise<(wanted: Wanted, record: PieceRecord) => Decided>

/** Changes records, some in each transaction. */
async function changeRecords<Wanted extends AboutRecord>(
  database: Database,
  wanted: readonly Wanted[],
  by: AuditNote,
  begin: Begin<Wanted>,
): Promise<DecisionResult[]> {
  const results: DecisionResult[] = []
  for (let start = 0; start < wanted.length; start += RECORDS_PER_CHUNK) {
    const some = wanted.slice(start, start + RECORDS_PER_CHUNK)
    const doing = wanted.length === 1 ? `decide about record ${some[0]?.recordId}` : 'decide about records'
    const kept = await database.writeOnce(doing, transaction => changeSome(transaction, some, by, begin))
    results.push(...kept.map(resultOf))
  }
  return results
}

/** A result as JSON keeps it. */
type KeptResult = { readonly amount: string } | { readonly code: LedgerErrorCode; readonly message: string }

const resultOf = (kept: KeptResult): DecisionResult =>
  'amount' in kept ? { amount: BigInt(kept.amount) } : { error: new LedgerError(kept.code, kept.message) }

async function changeSome<Wanted extends AboutRecord>(
  transaction: Transaction,
  some: readonly Wanted[],
  by: AuditNote,
  begin: Begin<Wanted>,
): Promise<KeptResult[]> {
  await lockLedger(transaction)
  const ids = some.map(({ recordId }) => recordId).filter(isRecordId)
  const piece = await loadRecords(transaction, 'record.id = ANY($1::bigint[]) ORDER BY record.id', ids)
  const attempts = attemptEach(piece, some, by, await begin(transaction, piece))
  await savePiece(transaction, piece)
  const done = attempts.flatMap(one => ('done' in one ? [one.done] : []))
  const recorded = new Map<number, bigint>()
  for (const one of done) if (one.recorded !== 0n) addAmount(recorded, one.series, one.recorded)
  const usage = [...recorded].map(([series, amount]) => ({ hour: hourOf(by.now), series, amount }))
  if (usage.length > 0) await addUsage(transaction, 'usage', usage)
  const names = await namesOf(
    transaction,
    done.map(({ series }) => series),
  )
  await writeAudit(
    transaction,
    done.map(({ series, recorded: _, ...decided }) => ({ ...by, ...decided, ...(names.get(series) as SeriesNames) })),
  )
  return attempts.map(one =>
    'done' in one ? { amount: String(one.done.amount) } : { code: one.error.code, message: one.error.message },
  )
}

export async function attribute(
  database: Database,
  accountKey: string,
  dimension: string,
  customer: CustomerAccount,
  by: AuditNote,
  period?: Period,
): Promise<bigint> {
  return await decideBalance(database, 'attribute usage', async transaction => {
    const { id, account } = await seriesNamed(transaction, accountKey, dimension)
    checkAttribution(account, customer)
    const hours = hoursToAttribute(account, period, by)
    const held = await loadRecords(transaction, "record.state = 'held' AND record.series = $1", id)
    giveBack(held, held.records, by.now)
    await savePiece(transaction, held)
    const recorded = hours && (await recordedSince(transaction, id, hours))
    const wanted = recorded && ((total: bigint) => amountOfHours(recorded, hours, total))
    const amount = await takeFromBalance(transaction, id, by, wanted, hours?.hour)
    const [to] = await seriesIds(transaction, [{ account: customer, dimension, hour: hourOf(by.now) }])
    // As usage of the present hour: in the balance, an earlier hour that is still to close could take it.
    await addUsage(transaction, 'open_usage', [{ hour: hourOf(by.now), series: to as number, amount }])
    const detail = attributionDetail(customer, hours)
    await writeAudit(transaction, [{ ...by, action: 'attribute', account, dimension, amount, detail }])
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
    const { id, account } = await seriesNamed(transaction, accountKey, dimension)
    const amount = await takeFromBalance(transaction, id, by)
    await writeAudit(transaction, [{ ...by, action: 'write-off', account, dimension, amount }])
    return amount
  })
}

export async function undo(
  database: Database,
  entries: readonly AuditEntry[],
  by: AuditNote,
): Promise<DecisionResult[]> {
  const { records, balances, results } = sorted(entries)
  const changed = await changeRecords(database, records, by, async (transaction, piece) => {
    const undone = await undoneEntries(transaction)
    return ({ entry }, record) => {
      refuseUndone(entry, undone)
      return undoRecord(piece, entry, record, piece.seriesOf(record).size, by)
    }
  })
  for (const [index, { place }] of records.entries()) results[place] = changed[index] as DecisionResult
  for (const { place, entry } of balances) {
    const doing = `undo entry ${entry.number} of the audit trail`
    const undone = decideBalance(database, doing, transaction => undoBalance(transaction, entry, by))
    results[place] = await undone.then(amount => ({ amount }), refused)
  }
  return results
}

async function undoBalance(transaction: Transaction, entry: UndoableEntry, by: AuditNote): Promise<bigint> {
  const { action, account, dimension, amount } = entry
  refuseUndone(entry, await undoneEntries(transaction))
  const given = action === 'attribute' ? attributionOf(entry) : undefined
  if (given !== undefined) {
    const { id } = await seriesNamed(transaction, given.key, dimension)
    await takeFromBalance(transaction, id, by, left => {
      checkLeft(entry, left)
      return amount
    })
  }
  const { id } = await seriesNamed(transaction, account.key, dimension)
  await addUsage(transaction, 'open_usage', [{ hour: given?.hour ?? hourOf(by.now), series: id, amount }])
  await writeAudit(transaction, [undoEntry(entry, by)])
  return amount
}

/** The numbers of the entries that are undone. */
async function undoneEntries(transaction: Transaction): Promise<ReadonlySet<number | undefined>> {
  const rows = await transaction.all("SELECT action, detail FROM audit WHERE action = 'undo'")
  return new Set(rows.map(row => undoneBy(row as unknown as AuditEntry)))
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
 * Takes what a series has, of open hours too, from what is recorded, and says so in an hour's usage.
 *
 * @param wanted how much of all that there is; without it, all
 * @param hour the present one by default
 */
async function takeFromBalance(
  transaction: Transaction,
  id: number,
  { now }: AuditNote,
  wanted?: (total: bigint) => bigint,
  hour = hourOf(now),
): Promise<bigint> {
  let piece = await loadSeries(transaction, 0, 'series.id = $2', id)
  const [closed] = piece.series
  if (closed === undefined) throw new Error(`there is no series ${id}`)
  const hours = await openHours(transaction)
  const open = await amountIn(transaction, 'open_usage', 'hour = ANY($1::bigint[]) AND series = $2', hours, id)
  const amount = wanted?.(closed.balance + open)
  if (amount !== undefined && amount <= closed.balance) {
    takePart(closed, amount)
    await savePiece(transaction, piece)
    await addUsage(transaction, 'usage', [{ hour, series: id, amount: -amount }])
    return amount
  }
  const used = await takeOpenUsage(transaction, 0, 'hour = ANY($2::bigint[]) AND series = $3', hours, id)
  if (used.series.length > 0) piece = used
  const [series = closed] = piece.series
  const whole = takeBalance(series, series)
  await savePiece(transaction, piece)
  const taken = amount ?? whole
  await addUsage(transaction, 'usage', [{ hour, series: id, amount: -taken }])
  if (taken < whole) {
    const rest = { hour: hourOf(now), series: id, amount: whole - taken }
    await addUsage(transaction, 'usage', [{ ...rest, amount: -rest.amount }])
    await addUsage(transaction, 'open_usage', [rest])
  }
  return taken
}

/** What was recorded of a series in the hours from the beginning of a period on. */
async function recordedSince(
  transaction: Transaction,
  id: number,
  { from = 0 }: Period,
): Promise<[hour: number, amount: bigint][]> {
  const rows = await transaction.all(
    `SELECT hour, amount FROM usage WHERE series = $1 AND hour >= $2
     UNION ALL SELECT hour, amount FROM open_usage WHERE series = $1 AND hour >= $2`,
    ...[id, from],
  )
  return rows.map(({ hour, amount }) => [hour as number, BigInt(amount as bigint)])
}

async function amountIn(
  transaction: Transaction,
  table: 'usage' | 'open_usage',
  condition: string,
  ...values: Value[]
): Promise<bigint> {
  const row = await transaction.get(
    `SELECT coalesce(sum(amount), 0) AS amount FROM ${table} WHERE ${condition}`,
    ...values,
  )
  return row?.amount as bigint
}

interface SeriesNames {
  readonly account: Account
  readonly dimension: string
}

async function seriesNamed(
  transaction: Transaction,
  accountKey: string,
  dimension: string,
): Promise<{ id: number; account: Account }> {
  const found = await transaction.get(
    `SELECT series.id, ${ACCOUNT} FROM series JOIN account ON account.id = series.account
     JOIN dimension ON dimension.id = series.dimension WHERE account.key = $1 AND dimension.name = $2`,
    ...[accountKey, dimension],
  )
  if (found === undefined) throw noSuchUsage(accountKey, dimension)
  return { id: found.id as number, account: accountOf(found) }
}

async function namesOf(transaction: Transaction, series: readonly number[]): Promise<Map<number, SeriesNames>> {
  const rows = await transaction.all(
    `SELECT series.id, dimension.name AS dimension, ${ACCOUNT} FROM series JOIN account ON account.id = series.account
     JOIN dimension ON dimension.id = series.dimension WHERE series.id = ANY($1::bigint[])`,
    series,
  )
  return new Map(
    rows.map(row => [row.id as number, { account: accountOf(row), dimension: row.dimension as string }] as const),
  )
}
