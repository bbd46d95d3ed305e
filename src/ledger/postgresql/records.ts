import { randomUUID } from 'node:crypto'
import { hourOf } from '../hours.ts'
import type {
  ClaimOptions,
  DueLanes,
  ExpireResult,
  Lane,
  MeteringRecord,
  SettledRecord,
  Settlement,
} from '../ledger.ts'
import { expireRecords, settleRecord } from '../rules/decisions.ts'
import { ANY_UNANSWERED } from '../rules/transitions.ts'
import type { PieceRecord, PieceSeries } from '../sql/piece-rows.ts'
import { dueAt, isRecordId, overAt, recordEntryOf } from '../sql/rows.ts'
import type { Database, Transaction } from './database.ts'
import { lockLedger } from './ledger-row.ts'
import { loadRecords, savePiece } from './piece.ts'
import { entriesOf, recordsFrom } from './reports.ts'

/** Records on their way: claimed and attempted, settled by an answer, expired with their window. */

/** How many records one transaction expires, so that nobody waits for it long. */
const RECORDS_PER_CHUNK = 5000

const DUE = dueAt('$1::bigint')
const OVER = overAt('$1::bigint')

export async function dueLanes(transaction: Transaction, now: number): Promise<DueLanes> {
  const lanes = await transaction.all(
    `SELECT id::text, product, identity, region FROM lane
     WHERE EXISTS (SELECT FROM record WHERE lane = lane.id AND ${DUE}) ORDER BY id`,
    now,
  )
  if (lanes.length > 0) return { lanes: lanes as unknown as Lane[] }
  const row = await transaction.get(
    `SELECT min(greatest(next_attempt_at, claimed_until, timestamp)) AS at FROM record
     WHERE state = 'pending' AND deadline > $1`,
    now,
  )
  const next = row?.at as number | null
  return { lanes: [], ...(next !== null && { next }) }
}

/** The last record of a claim that found as many as it wanted. */
interface Place {
  readonly deadline: number
  readonly id: number
}

/**
 * Where this process's next claims go on in their lanes. What was settled before stays in the index for as long as any
 * transaction of the server is older, a backup perhaps: to pass it once is enough. Whoever looks what is due begins anew.
 */
export type ClaimPlaces = Map<string, Place>

export async function claim(
  database: Database,
  lane: Lane,
  options: ClaimOptions,
  places: ClaimPlaces,
): Promise<MeteringRecord[]> {
  const { limit, unanswered: { from, below } = ANY_UNANSWERED } = options
  const key = JSON.stringify([lane.product, lane.identity, lane.region, from, below])
  const after = places.get(key)
  const records = await claimAfter(database, lane, options, after)
  const last = records.at(-1)
  if (last !== undefined && records.length === limit) {
    places.set(key, { deadline: last.deadline, id: Number(last.id) })
    return records
  }
  places.delete(key)
  return records.length === 0 && after !== undefined ? await claimAfter(database, lane, options, undefined) : records
}

async function claimAfter(
  database: Database,
  lane: Lane,
  { now, limit, claimedUntil, unanswered: { from, below } = ANY_UNANSWERED }: ClaimOptions,
  after: Place = { deadline: 0, id: 0 },
): Promise<MeteringRecord[]> {
  const claim = randomUUID()
  return await database.writeOnce('claim due records', async transaction => {
    const rows = await transaction.all(
      `WITH due AS (
         SELECT id FROM record
         WHERE lane = (SELECT id FROM lane WHERE product = $2 AND identity = $3 AND region = $4) AND ${DUE}
           AND attempts - refusals >= $8 AND attempts - refusals < $9 AND (deadline, id) > ($10, $11)
         ORDER BY deadline, id LIMIT $5 FOR UPDATE SKIP LOCKED
       ),
       claimed AS (
         UPDATE record SET attempts = attempts + 1, claim = $6, claimed_until = $7
         FROM due WHERE record.id = due.id RETURNING record.*
       ) ${recordsFrom('claimed')} ORDER BY record.deadline, record.id`,
      ...[now, lane.product, lane.identity, lane.region, limit, claim, claimedUntil],
      ...[from, below, after.deadline, after.id],
    )
    return rows.map(row => {
      const { id, account, dimension, quantity, timestamp, deadline, attempts, allocations } = recordEntryOf(row)
      const unanswered = attempts - (row.refusals as number)
      const record = { id, claim, account, dimension, quantity, timestamp, deadline, attempts, unanswered }
      return allocations === undefined ? record : { ...record, allocations }
    })
  })
}

export async function settle(
  database: Database,
  settlements: readonly Settlement[],
  now: number,
): Promise<SettledRecord[]> {
  if (settlements.length === 0) return []
  const ids = settlements.map(({ record }) => record.id).filter(isRecordId)
  return await database.write('settle records', async transaction => {
    await lockLedger(transaction)
    const piece = await loadRecords(transaction, 'record.id = ANY($1::bigint[]) ORDER BY record.id', ids)
    const settled = settlements.flatMap(settlement => {
      const record = piece.record(settlement.record.id)
      // One that is gone was settled by another process, and so long ago that it was pruned.
      return record !== undefined && isSame(record, piece.seriesOf(record), settlement.record)
        ? [settleRecord(piece, record, settlement, now)]
        : []
    })
    await savePiece(transaction, piece)
    await noteAnswers(transaction, settlements, now)
    return settled
  })
}

/** The first of each lane: it was sent in any case, which those behind it may not have been. */
async function noteAnswers(transaction: Transaction, settlements: readonly Settlement[], now: number): Promise<void> {
  const known = settlements.filter(({ record }) => isRecordId(record.id))
  await transaction.run(
    `UPDATE lane SET answer = first.answer, answered_at = $3 FROM (
       SELECT DISTINCT ON (record.lane) record.lane, said.answer
       FROM unnest($1::bigint[], $2::text[]) WITH ORDINALITY AS said (id, answer, place) JOIN record ON record.id = said.id
       ORDER BY record.lane, said.place
     ) AS first WHERE lane.id = first.lane`,
    ...[known.map(({ record }) => record.id), known.map(({ answer }) => answer), now],
  )
}

/**
 * A server that takes over with the last transactions lost gives their ids to others: what was sent is told by more
 * than its id. Its second may have changed, its hour has not.
 */
function isSame(record: PieceRecord, series: PieceSeries, sent: MeteringRecord): boolean {
  return (
    series.accountKey === sent.account.key &&
    series.dimension === sent.dimension &&
    hourOf(record.timestamp) === hourOf(sent.timestamp) &&
    record.quantity === sent.quantity
  )
}

export async function expire(database: Database, now: number): Promise<ExpireResult> {
  const over = await database.read('look for records whose window has closed', transaction =>
    transaction.get(`SELECT FROM record WHERE ${OVER} LIMIT 1`, now),
  )
  const held: number[] = []
  let returned = 0
  for (let more = over !== undefined; more; ) {
    const expired = await database.writeOnce('expire records', transaction => expireSome(transaction, now))
    held.push(...expired.held)
    returned += expired.records - expired.held.length
    more = expired.records === RECORDS_PER_CHUNK
  }
  return { returned, held: await entriesOf(database, held) }
}

/** Returns how many records there were, and which of them are held. */
async function expireSome(transaction: Transaction, now: number): Promise<{ records: number; held: number[] }> {
  await lockLedger(transaction)
  const piece = await loadRecords(transaction, `${OVER} ORDER BY record.id LIMIT $2`, now, RECORDS_PER_CHUNK)
  const expired = expireRecords(piece, piece.records, now)
  await savePiece(transaction, piece)
  return { records: expired.length, held: expired.filter(({ state }) => state === 'held').map(({ id }) => id) }
}
