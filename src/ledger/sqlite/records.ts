import { randomUUID } from 'node:crypto'
import type {
  ClaimOptions,
  DueLanes,
  ExpireResult,
  Lane,
  MeteringRecord,
  RecordEntry,
  SettledRecord,
  Settlement,
} from '../ledger.ts'
import { expireRecords, settleRecord } from '../rules/decisions.ts'
import { ANY_UNANSWERED } from '../rules/transitions.ts'
import { CUSTOMER, customerOf, dueAt, overAt, splitOf } from '../sql/rows.ts'
import type { Database } from './database.ts'
import { inTurns, loadRecordsOf, savePiece } from './piece.ts'
import { entriesOf } from './reports.ts'

/** Records on their way: claimed and attempted, settled by an answer, expired with their window. */

const DUE = dueAt('?1')
const OVER = overAt('?1')
const CLAIMABLE = `SELECT record.id, record.quantity, record.allocations, record.timestamp, record.deadline, record.attempts, record.refusals,
    dimension.name AS dimension, ${CUSTOMER}
  FROM record JOIN series ON series.id = record.series JOIN account ON account.id = series.account
  JOIN dimension ON dimension.id = series.dimension
  WHERE lane = ?2 AND ${DUE} AND attempts - refusals >= ?4 AND attempts - refusals < ?5 ORDER BY deadline, record.id LIMIT ?3`

export function dueLanes(database: Database, now: number): DueLanes {
  const lanes = database.all(
    `SELECT id, product, identity, region FROM lane
     WHERE EXISTS (SELECT 1 FROM record WHERE lane = lane.id AND ${DUE}) ORDER BY id`,
    now,
  )
  if (lanes.length > 0) {
    return {
      lanes: lanes.map(({ id, product, identity, region }) => ({
        id: String(id),
        product: product as string,
        identity: identity as Lane['identity'],
        region: region as string,
      })),
    }
  }
  const next = database.get(
    `SELECT min(max(next_attempt_at, claimed_until, timestamp)) AS at FROM record
     WHERE state = 'pending' AND deadline > ?`,
    now,
  )?.at
  return { lanes: [], ...(typeof next === 'number' && { next }) }
}

export function claim(database: Database, lane: Lane, options: ClaimOptions): Promise<MeteringRecord[]> {
  const claim = randomUUID()
  const { from, below } = options.unanswered ?? ANY_UNANSWERED
  return database.writeTogether('claim due records', () => {
    const due = database.all(CLAIMABLE, ...[options.now, Number(lane.id), options.limit, from, below])
    database.run(
      `UPDATE record SET attempts = attempts + 1, claim = ?, claimed_until = ?
       WHERE id IN (SELECT value FROM json_each(?))`,
      ...[claim, options.claimedUntil, JSON.stringify(due.map(row => row.id))],
    )
    return due.map(row => ({
      id: String(row.id),
      claim,
      account: customerOf(row),
      dimension: row.dimension as string,
      quantity: row.quantity as number,
      ...splitOf(row),
      timestamp: row.timestamp as number,
      deadline: row.deadline as number,
      attempts: (row.attempts as number) + 1,
      unanswered: (row.attempts as number) + 1 - (row.refusals as number),
    }))
  })
}

export function settle(database: Database, settlements: readonly Settlement[], now: number): Promise<SettledRecord[]> {
  return database.writeTogether('settle records', () => {
    const ids = settlements.map(({ record }) => Number(record.id))
    const piece = loadRecordsOf(database, ids)
    const settled = settlements.flatMap(settlement => {
      const record = piece.record(settlement.record.id)
      // One that is gone was settled by another process, and so long ago that it was pruned.
      return record === undefined ? [] : [settleRecord(piece, record, settlement, now)]
    })
    savePiece(database, piece)
    noteAnswers(database, settlements, now)
    return settled
  })
}

/** The first of each lane: it was sent in any case, which those behind it may not have been. */
function noteAnswers(database: Database, settlements: readonly Settlement[], now: number): void {
  const lanes = new Map(
    database
      .all(
        'SELECT id, lane FROM record WHERE id IN (SELECT value FROM json_each(?))',
        JSON.stringify(settlements.map(({ record }) => Number(record.id))),
      )
      .map(({ id, lane }) => [String(id), lane as number]),
  )
  const noted = new Set<number>()
  for (const { record, answer } of settlements) {
    const lane = lanes.get(record.id)
    if (lane === undefined || noted.has(lane)) continue
    noted.add(lane)
    database.run('UPDATE lane SET answer = ?, answered_at = ? WHERE id = ?', answer, now, lane)
  }
}

export async function expire(database: Database, now: number): Promise<ExpireResult> {
  const held: RecordEntry[] = []
  let returned = 0
  for await (const some of inTurns(database, OVER, now)) {
    const expired = database.write('expire records', () => {
      const piece = loadRecordsOf(database, some)
      // Others may have settled or expired some of them meanwhile.
      const expired = expireRecords(piece, piece.records, now)
      savePiece(database, piece)
      return expired
    })
    const kept = expired.filter(({ state }) => state === 'held').map(({ id }) => id)
    held.push(...entriesOf(database, kept))
    returned += expired.length - kept.length
  }
  return { returned, held }
}
