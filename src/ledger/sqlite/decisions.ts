import { setTimeout as sleep } from 'node:timers/promises'
import type { Account, CustomerAccount } from '../../usage/account.ts'
import { hourOf } from '../hours.ts'
import type { AuditEntry, AuditNote, DecisionResult, Period, RecordDecision } from '../ledger.ts'
import {
  type AboutRecord,
  attempt,
  checkAttribution,
  type Decided,
  decideRecord,
  giveBack,
  noSuchUsage,
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
import type { Database, Row } from './database.ts'
import { addOpenUsage, openHours, openUsage } from './open-usage.ts'
import { loadRecords, loadRecordsOf, savePiece } from './piece.ts'
import { accountId, addUsage, loadSeries, seriesId, takeOpenUsage, usageBySpan } from './series.ts'
import { UsageRows } from './usage-rows.ts'

/** Decisions that only a person can make, each with an entry in the audit trail. */

/** How many records one transaction decides, so that nobody waits for it long. */
const RECORDS_PER_CHUNK = 250
/** How long others get the lock after each, in milliseconds: who waits for it in SQLite looks only now and then. */
const PAUSE = 20

export async function decideAll(
  database: Database,
  decisions: readonly RecordDecision[],
  by: AuditNote,
): Promise<DecisionResult[]> {
  return await changeRecords(database, decisions, by, piece => (decision, record) => {
    return decideRecord(piece, decision, record, piece.seriesOf(record).size, by)
  })
}

/** Begins in a transaction what is done to each of its records. */
type Begin<Wanted> = (piece: Piece) => (wanted: Wanted, record: PieceRecord) => Decided

/** Changes records, some in each transaction. */
async function changeRecords<Wanted extends AboutRecord>(
  database: Database,
  wanted: readonly Wanted[],
  by: AuditNote,
  begin: Begin<Wanted>,
): Promise<DecisionResult[]> {
  const results: DecisionResult[] = []
  for (let start = 0; start < wanted.length; start += RECORDS_PER_CHUNK) {
    if (start > 0) await sleep(PAUSE)
    const some = wanted.slice(start, start + RECORDS_PER_CHUNK)
    const doing = wanted.length === 1 ? `decide about record ${some[0]?.recordId}` : 'decide about records'
    results.push(...database.write(doing, () => changeSome(database, some, by, begin)))
  }
  return results
}

function changeSome<Wanted extends AboutRecord>(
  database: Database,
  some: readonly Wanted[],
  by: AuditNote,
  begin: Begin<Wanted>,
): DecisionResult[] {
  const piece = loadRecordsOf(
    database,
    some
      .map(({ recordId }) => recordId)
      .filter(isRecordId)
      .map(Number),
  )
  const attempts = attemptEach(piece, some, by, begin(piece))
  savePiece(database, piece)
  const done = attempts.flatMap(one => ('done' in one ? [one.done] : []))
  const entries = done.map(({ series, recorded, ...decided }) => {
    if (recorded !== 0n) addUsage(database, [{ hour: hourOf(by.now), series, amount: recorded }])
    return { ...by, ...decided, ...namesOf(database, series) }
  })
  writeAudit(database, ...entries)
  return attempts.map(one => ('done' in one ? { amount: one.done.amount } : one))
}

export function attribute(
  database: Database,
  accountKey: string,
  dimension: string,
  customer: CustomerAccount,
  by: AuditNote,
  period?: Period,
): bigint {
  return database.write(`attribute usage of ${accountKey}`, () => {
    const { id, account, dimension: number } = seriesNamed(database, accountKey, dimension)
    checkAttribution(account, customer)
    const hours = hoursToAttribute(account, period, by)
    const held = loadRecords(database, "record.state = 'held' AND record.series = ?", id)
    giveBack(held, held.records, by.now)
    savePiece(database, held)
    const wanted = hours && ((total: bigint) => amountOfHours(recordedSince(database, id, hours), hours, total))
    const amount = takeFromBalance(database, id, by, wanted, hours?.hour)
    const to = seriesId(database, accountId(database, customer), number, hourOf(by.now))
    // As usage of the present hour: in the balance, an earlier hour that is still to close could take it.
    addOpenUsage(database, UsageRows.of(hourOf(by.now), to, amount))
    const detail = attributionDetail(customer, hours)
    writeAudit(database, { ...by, action: 'attribute', account, dimension, amount, detail })
    return amount
  })
}

export function writeOff(database: Database, accountKey: string, dimension: string, by: AuditNote): bigint {
  return database.write(`write off the balance of ${accountKey}`, () => {
    const { id, account } = seriesNamed(database, accountKey, dimension)
    const amount = takeFromBalance(database, id, by)
    writeAudit(database, { ...by, action: 'write-off', account, dimension, amount })
    return amount
  })
}

export async function undo(
  database: Database,
  entries: readonly AuditEntry[],
  by: AuditNote,
): Promise<DecisionResult[]> {
  const { records, balances, results } = sorted(entries)
  const changed = await changeRecords(database, records, by, piece => {
    const undone = undoneEntries(database)
    return ({ entry }, record) => {
      refuseUndone(entry, undone)
      return undoRecord(piece, entry, record, piece.seriesOf(record).size, by)
    }
  })
  for (const [index, { place }] of records.entries()) results[place] = changed[index] as DecisionResult
  for (const { place, entry } of balances) {
    const undone = attempt(() => undoBalance(database, entry, by))
    results[place] = 'done' in undone ? { amount: undone.done } : undone
  }
  return results
}

function undoBalance(database: Database, entry: UndoableEntry, by: AuditNote): bigint {
  const { number, action, account, dimension, amount } = entry
  return database.write(`undo entry ${number} of the audit trail`, () => {
    refuseUndone(entry, undoneEntries(database))
    const given = action === 'attribute' ? attributionOf(entry) : undefined
    if (given !== undefined) {
      const { id } = seriesNamed(database, given.key, dimension)
      takeFromBalance(database, id, by, left => {
        checkLeft(entry, left)
        return amount
      })
    }
    const { id } = seriesNamed(database, account.key, dimension)
    addOpenUsage(database, UsageRows.of(given?.hour ?? hourOf(by.now), id, amount))
    writeAudit(database, undoEntry(entry, by))
    return amount
  })
}

/** The numbers of the entries that are undone. */
function undoneEntries(database: Database): ReadonlySet<number | undefined> {
  const rows = database.all("SELECT action, detail FROM audit WHERE action = 'undo'")
  return new Set(rows.map(row => undoneBy(row as unknown as AuditEntry)))
}

/**
 * Takes what a series has, of open hours too, from what is recorded, and says so in an hour's usage.
 *
 * @param wanted how much of all that there is; without it, all
 * @param hour the present one by default
 */
function takeFromBalance(
  database: Database,
  id: number,
  { now }: AuditNote,
  wanted?: (total: bigint) => bigint,
  hour = hourOf(now),
): bigint {
  let piece = loadSeries(database, 0, 'series.id = ?', id)
  const [closed] = piece.series
  if (closed === undefined) throw new Error(`there is no series ${id}`)
  const query = { hours: openHours(database), series: [id] }
  const open = [...openUsage(database, query)].reduce((sum, { amount }) => sum + amount, 0n)
  const amount = wanted?.(closed.balance + open)
  if (amount !== undefined && amount <= closed.balance) {
    takePart(closed, amount)
    savePiece(database, piece)
    addUsage(database, [{ hour, series: id, amount: -amount }])
    return amount
  }
  const used = takeOpenUsage(database, 0, query)
  if (used.series.length > 0) piece = used
  const [series = closed] = piece.series
  const whole = takeBalance(series, series)
  savePiece(database, piece)
  const taken = amount ?? whole
  addUsage(database, [{ hour, series: id, amount: -taken }])
  if (taken < whole) {
    addUsage(database, [{ hour: hourOf(now), series: id, amount: taken - whole }])
    addOpenUsage(database, UsageRows.of(hourOf(now), id, whole - taken))
  }
  return taken
}

/** What was recorded of a series in the hours from the beginning of a period on. */
function recordedSince(database: Database, id: number, { from = 0 }: Period): [hour: number, amount: bigint][] {
  const amounts: [hour: number, amount: bigint][] = []
  for (const { span, amount } of usageBySpan(database, 'hour', 'series = ? AND hour >= ?', id, from)) {
    amounts.push([span, amount])
  }
  for (const { hour, amount } of openUsage(database, { hours: openHours(database, from), series: [id] })) {
    amounts.push([hour, amount])
  }
  return amounts
}

interface NamedSeries {
  readonly id: number
  readonly account: Account
  /** Its number. */
  readonly dimension: number
}

function seriesNamed(database: Database, accountKey: string, dimension: string): NamedSeries {
  const found = database.get(
    `SELECT series.id, series.dimension, ${ACCOUNT} FROM series JOIN account ON account.id = series.account
     JOIN dimension ON dimension.id = series.dimension WHERE account.key = ? AND dimension.name = ?`,
    ...[accountKey, dimension],
  )
  if (found === undefined) throw noSuchUsage(accountKey, dimension)
  return { id: found.id as number, account: accountOf(found), dimension: found.dimension as number }
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
