import { randomUUID } from 'node:crypto'
import { HOUR } from '../hours.ts'
import type {
  ClaimOptions,
  DueLanes,
  ExpireResult,
  Lane,
  MeteringRecord,
  RecordEntry,
  RecordState,
  SettledRecord,
  Settlement,
} from '../ledger.ts'
import { effectOf } from '../rules/accounting.ts'
import { noSuchRecord } from '../rules/decisions.ts'
import { type Blocking, block, putOff, SUBSCRIBED } from '../rules/subscription.ts'
import { afterAnswer, afterWindow, type Transition } from '../rules/transitions.ts'
import { blockingOf, CUSTOMER, customerOf, factsOf } from '../sql/rows.ts'
import type { Database, Row } from './database.ts'
import { recordEntry } from './reports.ts'

/** Records on their way: claimed and attempted, settled by an answer, expired with their window. */

/** What may be sent at an instant. */
const DUE = `state = 'pending' AND next_attempt_at NOT BETWEEN ? AND ? AND claimed_until NOT BETWEEN ? AND ?
  AND timestamp <= ? AND deadline > ?`
// No wait is longer than an hour; what seems to be is from a clock that was ahead.
const dueAt = (now: number) => [now + 1, now + HOUR, now + 1, now + HOUR, now, now]

export function dueLanes(database: Database, now: number): DueLanes {
  const lanes = database.all(
    `SELECT id, product, identity, region FROM lane
     WHERE EXISTS (SELECT 1 FROM record WHERE lane = lane.id AND ${DUE})`,
    ...dueAt(now),
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
  return database.writeTogether('claim due records', () => {
    const due = database.all(
      `SELECT record.id, record.quantity, record.timestamp, record.deadline, record.attempts,
              dimension.name AS dimension, ${CUSTOMER}
       FROM record JOIN series ON series.id = record.series
       JOIN account ON account.id = series.account JOIN dimension ON dimension.id = series.dimension
       WHERE lane = ? AND ${DUE} ORDER BY deadline, record.id LIMIT ?`,
      ...[Number(lane.id), ...dueAt(options.now), options.limit],
    )
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
      timestamp: row.timestamp as number,
      deadline: row.deadline as number,
      attempts: (row.attempts as number) + 1,
    }))
  })
}

export function settle(database: Database, settlements: readonly Settlement[], now: number): Promise<SettledRecord[]> {
  return database.writeTogether('settle records', () => {
    const ids = settlements.map(({ record }) => Number(record.id))
    const rows = new Map(findRecords(database, ids).map(row => [row.id, row]))
    const settledAccounts = new Set<unknown>()
    return settlements.flatMap(settlement => {
      const found = rows.get(Number(settlement.record.id))
      // One that is gone was settled by another process, and so long ago that it was pruned.
      if (found === undefined) return []
      // What was settled just before may have changed the record, or what it shares with others of its account.
      const row = settledAccounts.has(found.account) ? recordRow(database, settlement.record.id) : found
      settledAccounts.add(found.account)
      return [settleOne(database, row, settlement, now)]
    })
  })
}

function settleOne(database: Database, row: Row, { record, outcome, answer }: Settlement, now: number): SettledRecord {
  const transition = afterAnswer(factsOf(row), outcome, row.claim === record.claim)
  applyState(database, row, transition.state, now)
  database.run(
    `UPDATE record SET state = ?, reason = ?, refusals = ?, answer = ?,
            metering_record_id = coalesce(?, metering_record_id), next_attempt_at = coalesce(?, next_attempt_at),
            claimed_until = iif(claim = ?, 0, claimed_until), claim = iif(claim = ?, NULL, claim)
     WHERE id = ?`,
    ...[transition.state, transition.reason ?? null, transition.refusals, answer],
    ...[outcome.type === 'metered' ? (outcome.meteringRecordId ?? null) : null],
    ...[outcome.type === 'retry' ? outcome.at : null, record.claim, record.claim, row.id as number],
  )
  if (outcome.type === 'not-subscribed') {
    // The record may have been a probe that was just put off.
    const before = readBlocking(database, row.account as number)
    setBlocking(database, row.account as number, before, block(before, now))
  }
  if (outcome.type === 'metered' && row.blocked_at !== null) unblock(database, row.account as number)
  return { record, state: transition.state, ...(transition.reason && { reason: transition.reason }) } as SettledRecord
}

export function expire(database: Database, now: number): ExpireResult {
  return database.write('expire records', () => {
    const late = database.all(
      `SELECT id FROM record WHERE state = 'pending' AND claimed_until NOT BETWEEN ? AND ?
       AND (deadline <= ? OR (timestamp > ? AND attempts = refusals) OR timestamp > ?)`,
      // One that is to come by more than an hour was frozen by a clock that was ahead. Where AWS may have taken it,
      // it can be asked again when its time comes, if that is soon.
      ...[now + 1, now + HOUR, now, now + HOUR, now + 24 * HOUR],
    )
    const held: RecordEntry[] = []
    for (const { id } of late) {
      const row = recordRow(database, String(id))
      const transition = afterWindow(factsOf(row))
      move(database, row, transition, now)
      if (transition.state === 'held') held.push(...recordEntry(database, id as number))
    }
    return { returned: late.length - held.length, held }
  })
}

export function recordRow(database: Database, id: string): Row {
  const [row] = findRecords(database, [Number(id)])
  if (row === undefined) throw noSuchRecord(id)
  return row
}

function findRecords(database: Database, ids: readonly number[]): Row[] {
  return database.all(
    `SELECT record.id, record.series, record.quantity, record.size, record.probe, record.state, record.reason,
            record.attempts, record.refusals, record.claim, series.account, series.metered, series.balance,
            account.blocked_at, account.ended_at
     FROM record JOIN series ON series.id = record.series JOIN account ON account.id = series.account
     WHERE record.id IN (SELECT value FROM json_each(?))`,
    JSON.stringify(ids),
  )
}

/** Gives a record its new state, and its amount to whom it now belongs. */
export function move(database: Database, row: Row, { state, reason, refusals }: Transition, now: number): void {
  applyState(database, row, state, now)
  database.run(
    'UPDATE record SET state = ?, reason = ?, refusals = ? WHERE id = ?',
    ...[state, reason ?? null, refusals, row.id as number],
  )
}

/** Brings the totals of a record's series, and its customer's next probe, in line with its new state. */
function applyState(database: Database, row: Row, state: RecordState, now: number): void {
  if (state === row.state) return
  const amount = BigInt(row.quantity as number) * BigInt(row.size as string)
  const { metered, balance } = effectOf(row.state as RecordState, state, amount)
  if (metered !== 0n) {
    const sum = BigInt(row.metered as string) + metered
    database.run('UPDATE series SET metered = ? WHERE id = ?', String(sum), row.series as number)
  }
  if (balance !== 0n) {
    const sum = BigInt(row.balance as string) + balance
    database.run('UPDATE series SET balance = ?, unfrozen = 1 WHERE id = ?', String(sum), row.series as number)
  }
  if (row.probe === 1 && state !== 'metered') {
    const before = readBlocking(database, row.account as number)
    setBlocking(database, row.account as number, before, putOff(before, now))
  }
}

export function unblock(database: Database, account: number): void {
  const before = readBlocking(database, account)
  if (before.blockedAt === null) return
  setBlocking(database, account, before, SUBSCRIBED)
  database.run('UPDATE series SET unfrozen = 1 WHERE account = ?', account)
}

function readBlocking(database: Database, account: number): Blocking {
  return blockingOf(database.get('SELECT blocked_at, probe_at, probe_delay FROM account WHERE id = ?', account) as Row)
}

function setBlocking(database: Database, account: number, before: Blocking, after: Blocking): void {
  if (after === before) return
  database.run(
    'UPDATE account SET blocked_at = ?, probe_at = ?, probe_delay = ? WHERE id = ?',
    ...[after.blockedAt, after.probeAt, after.probeDelay, account],
  )
}
