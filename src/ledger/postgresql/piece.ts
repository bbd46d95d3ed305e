import { type Difference, type MadeRecord, Piece } from '../sql/piece.ts'
import { type PieceRecord, RECORDS } from '../sql/piece-rows.ts'
import type { Transaction, Value } from './database.ts'
import { addShares } from './shares.ts'
import { columnsOf } from './statements.ts'

/** Loading a piece of the PostgreSQL ledger, and writing what was changed of it: a statement for each table. */

/** The records that a condition names, with their series. Whoever calls has the ledger's lock. */
export async function loadRecords(transaction: Transaction, condition: string, ...values: Value[]): Promise<Piece> {
  const piece = new Piece()
  // Claims do not ask for the ledger's lock, so each record has its own.
  const rows = await transaction.all(`${RECORDS} WHERE ${condition} FOR UPDATE OF record`, ...values)
  for (const row of rows) piece.addRecord(row)
  return piece
}

/** How many records were made, and the ids of those that are held. */
export interface FrozenRecords {
  readonly records: number
  readonly held: readonly number[]
}

export const NONE: FrozenRecords = { records: 0, held: [] }

export const both = (some: FrozenRecords, others: FrozenRecords): FrozenRecords => ({
  records: some.records + others.records,
  held: [...some.held, ...others.held],
})

/** Writes what was changed. Returns what it made. */
export async function savePiece(transaction: Transaction, piece: Piece): Promise<FrozenRecords> {
  const { records, divided, made, drawn, shares, series, accounts } = piece.difference
  if (records.length > 0) await saveRecords(transaction, records)
  if (divided.length > 0) {
    await transaction.run(
      `UPDATE record SET quantity = now.quantity, size = now.size
       FROM unnest($1::bigint[], $2::integer[], $3::numeric[]) AS now (id, quantity, size) WHERE record.id = now.id`,
      ...columnsOf(divided, 'id', 'quantity', 'size'),
    )
  }
  const frozen = made.length === 0 ? NONE : await insertRecords(transaction, made)
  if (drawn.length > 0) await addDrawn(transaction, drawn)
  await addShares(transaction, shares)
  if (series.length > 0) await saveSeries(transaction, series)
  if (accounts.length > 0) await saveAccounts(transaction, accounts)
  return frozen
}

async function saveRecords(transaction: Transaction, records: readonly PieceRecord[]): Promise<void> {
  await transaction.run(
    `UPDATE record
     SET state = now.state, reason = now.reason, attempts = now.attempts, refusals = now.refusals,
         timestamp = now.at, deadline = now.deadline, next_attempt_at = now.next_attempt_at, claim = now.claim,
         claimed_until = now.claimed_until, answer = now.answer, metering_record_id = now.metering_record_id
     FROM unnest($1::bigint[], $2::text[], $3::text[], $4::integer[], $5::integer[], $6::bigint[], $7::bigint[],
                 $8::bigint[], $9::uuid[], $10::bigint[], $11::text[], $12::text[])
          AS now (id, state, reason, attempts, refusals, at, deadline, next_attempt_at, claim, claimed_until, answer,
                  metering_record_id)
     WHERE record.id = now.id`,
    ...columnsOf(records, 'id', 'state', 'reason', 'attempts', 'refusals', 'timestamp', 'deadline', 'nextAttemptAt'),
    ...columnsOf(records, 'claim', 'claimedUntil', 'answer', 'meteringRecordId'),
  )
}

async function insertRecords(transaction: Transaction, records: readonly MadeRecord[]): Promise<FrozenRecords> {
  const lanes = await laneIds(transaction, records)
  const row = await transaction.get(
    `WITH made AS (
       INSERT INTO record (series, hour, timestamp, deadline, lane, quantity, size, probe, state, reason, allocations)
       SELECT series, hour, at, deadline, lane, quantity, size, probe,
              CASE WHEN reason IS NULL THEN 'pending' ELSE 'held' END, reason, allocations
       FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::integer[], $6::integer[], $7::numeric[],
                   $8::boolean[], $9::text[], $10::text[])
            AS new (series, hour, at, deadline, lane, quantity, size, probe, reason, allocations)
       RETURNING id, state
     ) SELECT count(*) AS records, coalesce(array_agg(id) FILTER (WHERE state = 'held'), '{}') AS held FROM made`,
    ...[records.map(({ series }) => series.id), records.map(({ terms }) => terms.hour)],
    ...[...columnsOf(records, 'timestamp', 'deadline'), lanes],
    ...columnsOf(records, 'quantity', 'size', 'probe', 'held'),
    records.map(({ allocations }) => jsonOf(allocations)),
  )
  return row as unknown as FrozenRecords
}

/** The lanes of records, in their order, each of which is made where there is none. */
async function laneIds(transaction: Transaction, records: readonly MadeRecord[]): Promise<number[]> {
  const ids = new Map<string, number>()
  const lanes: number[] = []
  for (const { series, terms } of records) {
    const lane = [series.product, series.identity, terms.region]
    const key = lane.join('\n')
    const id = ids.get(key) ?? (await laneId(transaction, lane))
    ids.set(key, id)
    lanes.push(id)
  }
  return lanes
}

async function laneId(transaction: Transaction, lane: readonly string[]): Promise<number> {
  const find = 'SELECT id FROM lane WHERE (product, identity, region) = ($1, $2, $3)'
  const known = await transaction.get(find, ...lane)
  if (known !== undefined) return known.id as number
  const made = 'INSERT INTO lane (product, identity, region) VALUES ($1, $2, $3) RETURNING id'
  return (await transaction.get(made, ...lane))?.id as number
}

async function saveSeries(transaction: Transaction, series: Difference['series']): Promise<void> {
  await transaction.run(
    `UPDATE series
     SET recorded = now.recorded, metered = now.metered, balance = now.balance, approved = now.approved,
         unfrozen = now.unfrozen
     FROM unnest($1::bigint[], $2::numeric[], $3::numeric[], $4::numeric[], $5::integer[], $6::boolean[])
          AS now (id, recorded, metered, balance, approved, unfrozen)
     WHERE series.id = now.id`,
    ...columnsOf(series, 'id', 'recorded', 'metered', 'balance', 'approved', 'unfrozen'),
  )
}

async function saveAccounts(transaction: Transaction, accounts: Difference['accounts']): Promise<void> {
  await transaction.run(
    `UPDATE account
     SET blocked_at = now.blocked_at, probe_at = now.probe_at, probe_delay = now.probe_delay, agreement = now.agreement,
         entitlements = now.entitlements
     FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::text[])
          AS now (id, blocked_at, probe_at, probe_delay, agreement, entitlements)
     WHERE account.id = now.id`,
    ...columnsOf(accounts, 'id', 'blockedAt', 'probeAt', 'probeDelay'),
    ...[accounts.map(({ agreement }) => jsonOf(agreement)), accounts.map(({ entitlements }) => jsonOf(entitlements))],
  )
}

const jsonOf = (known: object | null | undefined): string | null => (known ? JSON.stringify(known) : null)

/** An hour that is looked at again may have more. */
async function addDrawn(transaction: Transaction, drawn: Difference['drawn']): Promise<void> {
  await transaction.run(
    `UPDATE series SET included = included + drawn.amount
     FROM (SELECT id, sum(amount) AS amount FROM unnest($1::bigint[], $2::numeric[]) AS now (id, amount) GROUP BY id) AS drawn
     WHERE series.id = drawn.id`,
    ...columnsOf(drawn, 'series', 'amount'),
  )
  await transaction.run(
    `INSERT INTO drawn (hour, series, amount) SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::numeric[])
     ON CONFLICT (hour, series) DO UPDATE SET amount = drawn.amount + excluded.amount`,
    ...columnsOf(drawn, 'hour', 'series', 'amount'),
  )
}
