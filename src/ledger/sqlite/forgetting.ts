import { setImmediate as nextTurn } from 'node:timers/promises'
import { HOUR } from '../hours.ts'
import {
  counterKey,
  type Forgetting,
  forgetNext,
  forgetSilent,
  isSilentStream,
  membersOfStream,
  packStream,
  risenTo,
  unpackState,
  unpackStream,
} from '../rules/counters/index.ts'
import type { Database } from './database.ts'

/** Forgetting others' counters that have been silent for long. */

/** How many counters, or streams, one transaction looks at. */
const ROWS_PER_LOOK = 1000

/**
 * See `Ledger.forget`. Where it dies halfway, the next one goes on.
 *
 * @param changed told after each transaction in which anything was forgotten, before others have their turn
 */
export async function forget(database: Database, now: number, changed: () => void): Promise<void> {
  const before = database.write('see how far silent counters are forgotten', () => moveOn(database, now))
  if (before === 0) return
  for (let after: number | undefined = 0; after !== undefined; await nextTurn()) {
    const from: number = after
    const [some, last] = database.write('forget silent counters', () => forgetSome(database, from, before))
    if (some > 0) changed()
    after = last
  }
  for (let after: Uint8Array | undefined = new Uint8Array(0); after !== undefined; await nextTurn()) {
    const from: Uint8Array = after
    const [some, last] = database.write('forget silent streams', () => forgetStreams(database, from, before))
    if (some > 0) changed()
    after = last
  }
}

/** Returns what was silent since before, in microseconds, or 0 where nothing is to be forgotten now. It is written down before anything goes. */
function moveOn(database: Database, now: number): number {
  const known = database.get('SELECT silent_before AS before, forgot_at AS at FROM ledger') as unknown as Forgetting
  const youngest = database.get(
    `SELECT max((SELECT coalesce(max(hour), 0) FROM usage), (SELECT coalesce(max(hour), 0) FROM open_usage),
                (SELECT coalesce(max(hour), 0) FROM large_usage)) AS hour`,
  )?.hour as number
  const next = forgetNext(known, now, youngest + HOUR)
  if (next === undefined) return 0
  database.run('UPDATE ledger SET silent_before = ?, forgot_at = ?', next.before, next.at)
  return next.before
}

/** Returns how many are forgotten, and the last counter that was looked at; undefined where there are no more. */
function forgetSome(database: Database, after: number, before: number): [forgotten: number, last: number | undefined] {
  const rows = database.all(
    `SELECT id, state, mark, time FROM counter_state LEFT JOIN counter_mark USING (id)
     WHERE id > ? AND wake_at = 0 ORDER BY id LIMIT ?`,
    ...[after, ROWS_PER_LOOK],
  )
  const states = rows.map(({ id, state, mark, time }) => {
    const written = unpackState(state as string)
    const risen = mark === null ? written : risenTo(written, { mark: BigInt(mark as number), time: time as number })
    return [String(id), risen] as const
  })
  const { keys, streams } = forgetSilent(states, name => streamOf(database, name), before)
  for (const [name, stream] of streams) {
    database.run('UPDATE stream SET state = ? WHERE key = ?', packStream(stream), counterKey(name))
  }
  if (keys.length > 0) {
    const ids = `[${keys}]`
    for (const table of ['counter_mark', 'counter_state', 'counter']) {
      database.run(`DELETE FROM ${table} WHERE id IN (SELECT value FROM json_each(?))`, ids)
    }
  }
  return [keys.length, rows.at(-1)?.id as number | undefined]
}

function streamOf(database: Database, name: string) {
  const row = database.get('SELECT state FROM stream WHERE key = ?', counterKey(name))
  return row && unpackStream(row.state as string)
}

/** Returns how many are forgotten, and the last that was looked at; undefined where there are no more. */
function forgetStreams(
  database: Database,
  after: Uint8Array,
  before: number,
): [forgotten: number, last: Uint8Array | undefined] {
  let forgotten = 0
  const rows = database.all('SELECT key, state FROM stream WHERE key > ? ORDER BY key LIMIT ?', after, ROWS_PER_LOOK)
  for (const { key, state } of rows) {
    const stream = unpackStream(state as string)
    if (!isSilentStream(stream, before)) continue
    const members = membersOfStream(stream).map(counterKey)
    const speaks = members.some(
      member => database.get('SELECT 1 AS there FROM counter WHERE key = ?', member) !== undefined,
    )
    if (!speaks) forgotten += database.run('DELETE FROM stream WHERE key = ?', key as Uint8Array)
  }
  return [forgotten, rows.at(-1)?.key as Uint8Array | undefined]
}
