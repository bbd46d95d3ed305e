import { HOUR } from '../hours.ts'
import {
  forgetNext,
  forgetSilent,
  isSilentStream,
  membersOfStream,
  namesOf,
  type StreamState,
  unpackState,
  unpackStream,
} from '../rules/counters/index.ts'
import { hexadecimal } from './counter-memory.ts'
import { saveStreams } from './counters.ts'
import type { Database, Transaction } from './database.ts'
import { lockLedger } from './ledger-row.ts'

/** Forgetting others' counters that have been silent for long. */

/** How many counters, or streams, one transaction looks at, so that nobody waits for it long. */
const ROWS_PER_LOOK = 5000
/** Before all keys. */
const FIRST = '0'.repeat(32)

/** See `Ledger.forget`. Where it dies halfway, the next one goes on; it may run in several processes at once. */
export async function forget(database: Database, now: number): Promise<void> {
  const before = await database.write('see how far silent counters are forgotten', transaction =>
    moveOn(transaction, now),
  )
  if (before === 0) return
  for (let after: string | undefined = FIRST; after !== undefined; ) {
    const from: string = after
    after = await database.write('forget silent counters', transaction => forgetSome(transaction, from, before))
  }
  for (let after: string | undefined = FIRST; after !== undefined; ) {
    const from: string = after
    after = await database.write('forget silent streams', transaction => forgetStreams(transaction, from, before))
  }
}

/** Returns what was silent since before, in microseconds, or 0 where nothing is to be forgotten now. It is written down before anything goes. */
async function moveOn(transaction: Transaction, now: number): Promise<number> {
  const { forgetting } = await lockLedger(transaction)
  const row = await transaction.get(
    `SELECT greatest((SELECT max(hour) FROM usage), (SELECT max(hour) FROM open_usage), 0) AS hour`,
  )
  const next = forgetNext(forgetting, now, (row?.hour as number) + HOUR)
  if (next === undefined) return 0
  await transaction.run('UPDATE ledger SET silent_before = $1, forgot_at = $2', next.before, next.at)
  return next.before
}

/** Returns the last counter that was looked at; undefined where there are no more. */
async function forgetSome(transaction: Transaction, after: string, before: number): Promise<string | undefined> {
  await lockLedger(transaction)
  const rows = await transaction.all(
    'SELECT key, state FROM counter WHERE key > $1::uuid AND wake_at = 0 ORDER BY key LIMIT $2',
    ...[after, ROWS_PER_LOOK],
  )
  const states = rows.map(({ key, state }) => [key as string, unpackState(state as string)] as const)
  const { keys } = forgetSilent(states, () => undefined, before)
  if (keys.length > 0) {
    const gone = new Set(keys)
    const silent = states.filter(([key]) => gone.has(key))
    const streams = await streamsOf(transaction, [...new Set(silent.flatMap(([, state]) => namesOf(state)))])
    await saveStreams(transaction, forgetSilent(silent, name => streams.get(name), before).streams)
    await transaction.run('DELETE FROM counter WHERE key = ANY($1::uuid[])', keys)
  }
  return rows.at(-1)?.key as string | undefined
}

async function streamsOf(transaction: Transaction, names: readonly string[]): Promise<Map<string, StreamState>> {
  const rows = await transaction.all('SELECT key, state FROM stream WHERE key = ANY($1::uuid[])', names)
  return new Map(rows.map(({ key, state }) => [hexadecimal(key as string), unpackStream(state as string)]))
}

/** Returns the last that was looked at; undefined where there are no more. */
async function forgetStreams(transaction: Transaction, after: string, before: number): Promise<string | undefined> {
  await lockLedger(transaction)
  const rows = await transaction.all(
    'SELECT key, state FROM stream WHERE key > $1::uuid ORDER BY key LIMIT $2',
    ...[after, ROWS_PER_LOOK],
  )
  const silent = rows
    .map(({ key, state }) => ({ key: key as string, stream: unpackStream(state as string) }))
    .filter(({ stream }) => isSilentStream(stream, before))
  const members = silent.flatMap(({ stream }) => membersOfStream(stream))
  const there = await transaction.all('SELECT key FROM counter WHERE key = ANY($1::uuid[])', members)
  const known = new Set(there.map(({ key }) => hexadecimal(key as string)))
  const gone = silent.filter(({ stream }) => !membersOfStream(stream).some(member => known.has(member)))
  await transaction.run(
    'DELETE FROM stream WHERE key = ANY($1::uuid[])',
    gone.map(({ key }) => key),
  )
  return rows.at(-1)?.key as string | undefined
}
