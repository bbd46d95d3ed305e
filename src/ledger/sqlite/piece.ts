import type { SQLInputValue } from 'node:sqlite'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { type DrawnAmount, type MadeRecord, Piece } from '../sql/piece.ts'
import { type PieceRecord, RECORDS } from '../sql/piece-rows.ts'
import type { Database, Row } from './database.ts'
import { addShare } from './shares.ts'

/** Loading a piece of the SQLite ledger, and writing what was changed of it: a statement for each row. */

/** The records that a condition names, with their series. Whoever calls writes in the same transaction. */
export function loadRecords(database: Database, condition: string, ...values: SQLInputValue[]): Piece {
  return pieceOf(database.all(`${RECORDS} WHERE ${condition}`, ...values))
}

/** The records with these ids, as far as they are there. */
export function loadRecordsOf(database: Database, ids: readonly number[]): Piece {
  return pieceOf(database.all(RECORDS_OF, JSON.stringify(ids)))
}

// Always the same text: to find the statement by one that is put together anew takes longer than to run it.
const RECORDS_OF = `${RECORDS} WHERE record.id IN (SELECT value FROM json_each(?))`

function pieceOf(records: readonly Row[]): Piece {
  const piece = new Piece()
  for (const row of records) piece.addRecord(row)
  return piece
}

/** How many records one transaction changes, so that no turn of the event loop takes long. */
const RECORDS_PER_CHUNK = 300

/**
 * Ids of the records that a condition names, in parts, each in a turn of the event loop of its own. They are read as one
 * text: to make a row of each takes longer than all else in this turn.
 */
export async function* inTurns(
  database: Database,
  condition: string,
  ...values: SQLInputValue[]
): AsyncGenerator<readonly number[]> {
  const found = database.get(`SELECT json_group_array(id) AS ids FROM record WHERE ${condition}`, ...values)
  const ids = JSON.parse(found?.ids as string) as number[]
  for (let start = 0; start < ids.length; start += RECORDS_PER_CHUNK) {
    if (start > 0) await nextTurn()
    yield ids.slice(start, start + RECORDS_PER_CHUNK)
  }
}

/** Writes what was changed. Returns the records that it made. */
export function savePiece(database: Database, piece: Piece): SavedRecord[] {
  const { records, divided, made, drawn, shares, series, accounts } = piece.difference
  for (const record of records) saveRecord(database, record)
  for (const { id, quantity, size } of divided) {
    database.run('UPDATE record SET quantity = ?, size = ? WHERE id = ?', quantity, String(size), id)
  }
  const lanes = new Map<string, number>()
  const saved = made.map(record => {
    const { series, terms, held } = record
    const lane = [series.product, series.identity, terms.region] as const
    const key = lane.join('\n')
    const id = lanes.get(key) ?? laneId(database, lane)
    lanes.set(key, id)
    return { id: insertRecord(database, record, id), held: held !== null }
  })
  for (const one of drawn) addDrawn(database, one)
  for (const { series, tags, amount } of shares) addShare(database, series, tags, amount)
  for (const { id, recorded, metered, balance, approved, unfrozen } of series) {
    database.run(
      'UPDATE series SET recorded = ?, metered = ?, balance = ?, approved = ?, unfrozen = ? WHERE id = ?',
      ...[String(recorded), String(metered), String(balance), approved, unfrozen ? 1 : 0, id],
    )
  }
  for (const { id, blockedAt, probeAt, probeDelay, agreement, entitlements } of accounts) {
    database.run(
      `UPDATE account SET blocked_at = ?, probe_at = ?, probe_delay = ?, agreement = ?, entitlements = ? WHERE id = ?`,
      ...[blockedAt, probeAt, probeDelay, jsonOf(agreement), jsonOf(entitlements), id],
    )
  }
  return saved
}

const jsonOf = (known: object | null): string | null => (known === null ? null : JSON.stringify(known))

/** An hour that is looked at again may have more. */
function addDrawn(database: Database, { hour, series, amount }: DrawnAmount): void {
  const before = database.get('SELECT included FROM series WHERE id = ?', series)?.included as string
  database.run('UPDATE series SET included = ? WHERE id = ?', String(BigInt(before) + amount), series)
  const known = database.get('SELECT amount FROM drawn WHERE hour = ? AND series = ?', hour, series)
  const sum = BigInt((known?.amount as string | undefined) ?? 0) + amount
  database.run('INSERT OR REPLACE INTO drawn (hour, series, amount) VALUES (?, ?, ?)', hour, series, String(sum))
}

export interface SavedRecord {
  readonly id: number
  readonly held: boolean
}

function saveRecord(database: Database, record: PieceRecord): void {
  database.run(
    `UPDATE record SET state = ?, reason = ?, attempts = ?, refusals = ?, timestamp = ?, deadline = ?,
            next_attempt_at = ?, claim = ?, claimed_until = ?, answer = ?, metering_record_id = ?
     WHERE id = ?`,
    ...[record.state, record.reason, record.attempts, record.refusals, record.timestamp],
    ...[
      record.deadline,
      record.nextAttemptAt,
      record.claim,
      record.claimedUntil,
      record.answer,
      record.meteringRecordId,
      record.id,
    ],
  )
}

function insertRecord(
  database: Database,
  { series, terms, timestamp, deadline, quantity, size, allocations, held, probe }: MadeRecord,
  lane: number,
): number {
  const id = database.insert(
    `INSERT INTO record (series, hour, timestamp, deadline, lane, quantity, size, probe, state, reason)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ...[series.id, terms.hour, timestamp, deadline, lane, quantity, String(size), probe ? 1 : 0],
    ...[held === null ? 'pending' : 'held', held],
  )
  if (allocations !== undefined) {
    database.run('UPDATE record SET allocations = ? WHERE id = ?', JSON.stringify(allocations), id)
  }
  return id
}

/** A lane's id; it is made where there is none. */
function laneId(database: Database, lane: readonly [product: string, identity: string, region: string]): number {
  const found = database.get('SELECT id FROM lane WHERE product = ? AND identity = ? AND region = ?', ...lane)
  return (
    (found?.id as number | undefined) ??
    database.insert('INSERT INTO lane (product, identity, region) VALUES (?, ?, ?)', ...lane)
  )
}
