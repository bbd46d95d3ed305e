import { randomUUID } from 'node:crypto'
import { LedgerError } from '../errors.ts'
import { HOUR } from '../hours.ts'
import type {
  ClaimOptions,
  ExpireResult,
  Lane,
  MeteringRecord,
  RecordEntry,
  SettledRecord,
  Settlement,
} from '../ledger.ts'
import { afterAnswer, afterWindow, type RecordFacts, type Transition } from '../transitions.ts'
import type { Database, Row } from './database.ts'
import { recordEntries, recordEntry } from './reports.ts'

/** Records on their way: claimed and attempted, settled by an answer, expired with their window. */

/** A customer that is not subscribed is probed after an hour, then after twice as long each time, up to a day. */
const FIRST_PROBE_DELAY = HOUR
export const LAST_PROBE_DELAY = 24 * HOUR

/** What may be sent at an instant. */
const DUE = `state = 'pending' AND next_attempt_at NOT BETWEEN ? AND ? AND claimed_until NOT BETWEEN ? AND ?
  AND timestamp <= ? AND deadline > ?`
// No wait is longer than an hour; what seems to be is from a clock that was ahead.
const dueAt = (now: number) => [now + 1, now + HOUR, now + 1, now + HOUR, now, now]

export function dueLanes(database: Database, now: number): Lane[] {
  const lanes = database.all(
    `SELECT id, product, identity, region FROM lane
     WHERE EXISTS (SELECT 1 FROM record WHERE lane = lane.id AND ${DUE})`,
    ...dueAt(now),
  )
  return lanes.map(({ id, product, identity, region }) => ({
    id: String(id),
    product: product as string,
    identity: identity as Lane['identity'],
    region: region as string,
  }))
}

export function claim(database: Database, lane: Lane, options: ClaimOptions): MeteringRecord[] {
  const claim = randomUUID()
  return database.write('claim due records', () => {
    const due = recordEntries(
      database,
      `record.id IN (SELECT id FROM record WHERE lane = ? AND ${DUE} ORDER BY deadline, id LIMIT ?)
       ORDER BY record.deadline, record.id`,
      ...[Number(lane.id), ...dueAt(options.now), options.limit],
    )
    for (const { id } of due) {
      database.run(
        'UPDATE record SET attempts = attempts + 1, claim = ?, claimed_until = ? WHERE id = ?',
        ...[claim, options.claimedUntil, Number(id)],
      )
    }
    return due.map(({ id, account, dimension, quantity, timestamp, deadline, attempts }) => {
      return { id, claim, account, dimension, quantity, timestamp, deadline, attempts: attempts + 1 }
    })
  })
}

export function settle(database: Database, settlements: readonly Settlement[], now: number): SettledRecord[] {
  return database.write('settle records', () =>
    settlements.flatMap(settlement => {
      // One that is gone was settled by another process, and so long ago that it was pruned.
      const row = findRecord(database, settlement.record.id)
      return row === undefined ? [] : [settleOne(database, row, settlement, now)]
    }),
  )
}

function settleOne(database: Database, row: Row, { record, outcome, answer }: Settlement, now: number): SettledRecord {
  const transition = afterAnswer(factsOf(row), outcome, row.claim === record.claim)
  move(database, row, transition, now)
  database.run(
    `UPDATE record SET answer = ?, metering_record_id = coalesce(?, metering_record_id),
            next_attempt_at = coalesce(?, next_attempt_at),
            claimed_until = iif(claim = ?, 0, claimed_until), claim = iif(claim = ?, NULL, claim)
     WHERE id = ?`,
    ...[answer, outcome.type === 'metered' ? (outcome.meteringRecordId ?? null) : null],
    ...[outcome.type === 'retry' ? outcome.at : null, record.claim, record.claim, row.id as number],
  )
  if (outcome.type === 'not-subscribed') {
    database.run(
      'UPDATE account SET blocked_at = ?, probe_at = ?, probe_delay = ? WHERE id = ? AND blocked_at IS NULL',
      ...[now, now + FIRST_PROBE_DELAY, FIRST_PROBE_DELAY, row.account as number],
    )
  }
  if (outcome.type === 'metered') unblock(database, row.account as number)
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

export function nextAttemptAt(database: Database): number | undefined {
  const next = database.get(
    "SELECT min(max(next_attempt_at, claimed_until, timestamp)) AS at FROM record WHERE state = 'pending'",
  )?.at
  return typeof next === 'number' ? next : undefined
}

export function recordRow(database: Database, id: string): Row {
  const row = findRecord(database, id)
  if (row === undefined) throw new LedgerError('ERR_LEDGER_NOT_FOUND', `There is no record ${id}.`)
  return row
}

function findRecord(database: Database, id: string): Row | undefined {
  return database.get(
    `SELECT record.*, series.account, series.metered, series.balance, account.ended_at
     FROM record JOIN series ON series.id = record.series JOIN account ON account.id = series.account
     WHERE record.id = ?`,
    Number(id),
  )
}

/** Gives a record its new state, and its amount to whom it now belongs. */
export function move(database: Database, row: Row, { state, reason, refusals }: Transition, now: number): void {
  const amount = BigInt(row.quantity as number) * BigInt(row.size as string)
  let metered = BigInt(row.metered as string)
  let balance = BigInt(row.balance as string)
  if (state !== row.state) {
    if (row.state === 'returned') balance -= amount
    if (state === 'returned') balance += amount
    if (state === 'metered') metered += amount
    database.run(
      'UPDATE series SET metered = ?, balance = ?, unfrozen = 1 WHERE id = ?',
      ...[String(metered), String(balance), row.series as number],
    )
    if (row.probe === 1 && state !== 'metered') {
      database.run(
        `UPDATE account SET probe_delay = min(probe_delay * 2, ?), probe_at = ? + min(probe_delay * 2, ?)
         WHERE id = ? AND blocked_at IS NOT NULL`,
        ...[LAST_PROBE_DELAY, now, LAST_PROBE_DELAY, row.account as number],
      )
    }
  }
  database.run(
    'UPDATE record SET state = ?, reason = ?, refusals = ? WHERE id = ?',
    ...[state, reason ?? null, refusals, row.id as number],
  )
}

export function unblock(database: Database, account: number): void {
  const blocked = database.run(
    'UPDATE account SET blocked_at = NULL, probe_at = NULL, probe_delay = 0 WHERE id = ? AND blocked_at IS NOT NULL',
    account,
  )
  if (blocked > 0) database.run('UPDATE series SET unfrozen = 1 WHERE account = ?', account)
}

function factsOf(row: Row): RecordFacts {
  return {
    state: row.state as RecordFacts['state'],
    reason: (row.reason as string | null) ?? undefined,
    quantity: row.quantity as number,
    attempts: row.attempts as number,
    refusals: row.refusals as number,
    probe: row.probe === 1,
    ended: row.ended_at !== null,
  }
}
