import type { LedgerStatus, NotCounted, Observation, UsageEntry } from '../ledger.ts'
import {
  DELTA_MEMORY,
  type KeptState,
  noteEntry,
  type ObservationNote,
  type ObservedSet,
  observeAll,
  packState,
  packStream,
  type SharedStart,
  type StreamState,
  unpackState,
  waitsFor,
  wakeAll,
} from '../rules/counters/index.ts'
import { writeAudit } from './audit.ts'
import { hexadecimal, LoadedCounters, latestOf } from './counter-memory.ts'
import type { Transaction } from './database.ts'
import type { LedgerRow } from './ledger-row.ts'
import { columnsOf, inChunks } from './statements.ts'

/** Counters that others keep: what is remembered of each, so that every unit counts once. */

/** How many that wait one transaction looks at, so that nobody waits for it long. */
const WAITING_PER_CHUNK = 1000

/**
 * Takes the points of batches, and returns what they add to usage. One batch after the other, since what some tell of
 * their stream holds for the next.
 *
 * @param batches the points of each, in the order of the journal
 */
export async function observe(
  transaction: Transaction,
  batches: readonly (readonly Observation[])[],
  ledger: LedgerRow,
): Promise<readonly UsageEntry[]> {
  const memory = new LoadedCounters(transaction, ledger)
  await memory.load(batches)
  const sets: ObservedSet[] = []
  for (const points of batches) {
    if (memory.outdated) await memory.load([points])
    const set = observeAll(points, memory)
    memory.take(set)
    sets.push(set)
  }
  const latest = latestOf(batches.flat())
  const set = merged(sets)
  await saveDeltas(transaction, set.deltas, latest, ledger)
  await saveSet(transaction, set, latest)
  return set.entries
}

/** What sets of points come to, one after the other. */
function merged(sets: readonly ObservedSet[]): ObservedSet {
  const notes = new Map<string, ObservationNote>()
  for (const note of sets.flatMap(({ notes }) => notes)) {
    const key = `${note.account.key} ${note.dimension} ${note.verdict}`
    const before = notes.get(key)
    if (before === undefined) notes.set(key, { ...note })
    else {
      before.points += note.points
      before.amount += note.amount
    }
  }
  return {
    entries: sets.flatMap(({ entries }) => entries),
    states: new Map(sets.flatMap(({ states }) => [...states])),
    streams: new Map(sets.flatMap(({ streams }) => [...streams])),
    sharedStarts: new Map(sets.flatMap(({ sharedStarts }) => [...sharedStarts])),
    deltas: sets.flatMap(({ deltas }) => deltas),
    notes: [...notes.values()],
  }
}

/** A place in what waits: when it is to be decided, and the counter's key. */
export interface WaitingPlace {
  readonly wakeAt: number
  readonly key: string
}

/** Before all that waits. */
export const FIRST_WAITING: WaitingPlace = { wakeAt: 0, key: '0'.repeat(32) }

/** Whether anything has waited until `now`. */
export async function anyWaits(transaction: Transaction, now: number): Promise<boolean> {
  return (await transaction.get('SELECT FROM counter WHERE wake_at > 0 AND wake_at <= $1 LIMIT 1', now)) !== undefined
}

/**
 * Decides the next of what has waited until `now`, or waits of an account. Returns what that adds to usage, and the last
 * place that it came to; undefined when there was none.
 */
export async function decideNext(
  transaction: Transaction,
  after: WaitingPlace,
  { ledger, now, accountKey }: { ledger: LedgerRow; now: number; accountKey: string | undefined },
): Promise<{ entries: readonly UsageEntry[]; last: WaitingPlace | undefined }> {
  const rows = await transaction.all(
    `SELECT key, state, (SELECT name FROM dimension WHERE id = counter.dimension) AS dimension, wake_at FROM counter
     WHERE wake_at > 0 AND wake_at <= $1 AND (wake_at, key) > ($2::bigint, $3::uuid) ORDER BY wake_at, key LIMIT $4`,
    ...[accountKey === undefined ? now : Number.MAX_SAFE_INTEGER, after.wakeAt, after.key, WAITING_PER_CHUNK],
  )
  const waiting = rows
    .map(row => [hexadecimal(row.key as string), unpackState(row.state as string), row.dimension as string] as const)
    .filter(([, state]) => accountKey === undefined || waitsFor(state, accountKey))
  const memory = new LoadedCounters(transaction, ledger)
  await memory.loadBeside(waiting.map(([, state]) => state))
  const set = wakeAll(waiting, memory, now)
  await saveSet(transaction, set, now)
  const last = rows.at(-1)
  return { entries: set.entries, last: last && { wakeAt: last.wake_at as number, key: last.key as string } }
}

/** Writes down all but the usage and the deltas. */
async function saveSet(
  transaction: Transaction,
  { states, streams, sharedStarts, notes }: ObservedSet,
  at: number,
): Promise<void> {
  await saveStates(transaction, states)
  await saveStreams(transaction, streams)
  await saveSharedStarts(transaction, sharedStarts)
  if (notes.length > 0) await saveNotes(transaction, notes, at)
}

/** In the order of the keys, so that neighbours share a page. */
const byKey = <Value>(map: ReadonlyMap<string, Value>) => [...map].sort(([a], [b]) => (a < b ? -1 : 1))

async function saveStates(transaction: Transaction, states: ReadonlyMap<string, KeptState>): Promise<void> {
  await inChunks(byKey(states), some =>
    transaction.run(
      `INSERT INTO counter (key, state, dimension, wake_at, waiting)
       SELECT key, state, (SELECT id FROM dimension WHERE name = kept.dimension), wake_at, waiting
       FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[], $5::numeric[])
            AS kept (key, state, dimension, wake_at, waiting)
       ON CONFLICT (key) DO UPDATE SET state = excluded.state, dimension = excluded.dimension,
         wake_at = excluded.wake_at, waiting = excluded.waiting`,
      ...[some.map(([key]) => key), some.map(([, { state }]) => packState(state))],
      ...[some.map(([, { dimension }]) => dimension), some.map(([, { wakeAt }]) => wakeAt)],
      some.map(([, { waiting }]) => waiting),
    ),
  )
}

export async function saveStreams(transaction: Transaction, streams: ReadonlyMap<string, StreamState>): Promise<void> {
  await inChunks(byKey(streams), some =>
    transaction.run(
      `INSERT INTO stream (key, state) SELECT * FROM unnest($1::uuid[], $2::text[])
       ON CONFLICT (key) DO UPDATE SET state = excluded.state`,
      ...[some.map(([key]) => key), some.map(([, state]) => packStream(state))],
    ),
  )
}

async function saveSharedStarts(transaction: Transaction, starts: ReadonlyMap<number, SharedStart>): Promise<void> {
  await inChunks([...starts], some =>
    transaction.run(
      `INSERT INTO shared_start (start, targets) SELECT * FROM unnest($1::bigint[], $2::text[])
       ON CONFLICT (start) DO UPDATE SET targets = excluded.targets`,
      ...[some.map(([start]) => start), some.map(([, { targets }]) => JSON.stringify(targets))],
    ),
  )
}

async function saveNotes(transaction: Transaction, notes: readonly ObservationNote[], at: number): Promise<void> {
  await transaction.run(
    `INSERT INTO not_counted (verdict, points)
     SELECT verdict, sum(points) FROM unnest($1::text[], $2::bigint[]) AS noted (verdict, points) GROUP BY verdict
     ON CONFLICT (verdict) DO UPDATE SET points = not_counted.points + excluded.points`,
    ...columnsOf(notes, 'verdict', 'points'),
  )
  await writeAudit(
    transaction,
    notes.map(note => noteEntry(note, at)),
  )
}

/** Remembers deltas, and forgets those that are older than the memory goes back. */
async function saveDeltas(
  transaction: Transaction,
  deltas: readonly Observation[],
  now: number,
  { deltasForgottenBefore }: LedgerRow,
): Promise<void> {
  if (deltas.length === 0) return
  for (const late of [false, true]) {
    await inChunks(
      deltas.filter(({ time }) => time < deltasForgottenBefore === late),
      some =>
        transaction.run(
          `INSERT INTO ${late ? 'late_delta' : 'delta'} (time, counter, start, value)
           SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::numeric[])`,
          ...columnsOf(some, 'time', 'counter', 'start', 'value'),
        ),
    )
  }
  const before = Math.max((now - DELTA_MEMORY) * 1000, deltasForgottenBefore)
  await transaction.run('DELETE FROM delta WHERE time < $1', before)
  await transaction.run('UPDATE ledger SET deltas_forgotten_before = $1', before)
}

/** How many points were not simply counted, by why. */
export async function notCounted(transaction: Transaction): Promise<Partial<Record<NotCounted, number>>> {
  const rows = await transaction.all('SELECT verdict, points FROM not_counted')
  return Object.fromEntries(rows.map(({ verdict, points }) => [verdict, points]))
}

/** How much waits to be decided, by dimension. */
export async function waitingUsage(transaction: Transaction): Promise<LedgerStatus['waiting']> {
  const rows = await transaction.all(
    `SELECT name AS dimension, sum(waiting) AS amount FROM counter JOIN dimension ON dimension.id = counter.dimension
     WHERE wake_at > 0 GROUP BY name HAVING sum(waiting) > 0 ORDER BY name`,
  )
  return rows.map(({ dimension, amount }) => ({ dimension: dimension as string, amount: amount as bigint }))
}

/** A backup's state is not what the lost ledger knew last: what comes next of each counter may have been billed. */
export async function doubtCounters(transaction: Transaction, now: number): Promise<void> {
  await transaction.run('DELETE FROM delta')
  await transaction.run(
    `UPDATE ledger SET deltas_forgotten_before = greatest(deltas_forgotten_before, $1),
       restored_at = greatest(restored_at, $2)`,
    ...[now * 1000, now],
  )
}
