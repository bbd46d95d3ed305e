import { hourOf } from '../hours.ts'
import type { NotCounted, Observation, UsageEntry } from '../ledger.ts'
import {
  type CounterMemory,
  type CounterState,
  DELTA_MEMORY,
  explain,
  observeAll,
  packState,
  unpackState,
} from '../rules/counters/index.ts'
import { writeAudit } from './audit.ts'
import type { Transaction } from './database.ts'
import type { LedgerRow } from './ledger-row.ts'
import { seriesIds } from './series.ts'

/** Counters that others keep: what is remembered of each, so that every unit counts once. */

/**
 * Takes the points of batches, and returns what they add to usage.
 *
 * @param batches the points of each, in the order of the journal
 */
export async function observe(
  transaction: Transaction,
  batches: readonly (readonly Observation[])[],
  ledger: LedgerRow,
): Promise<readonly UsageEntry[]> {
  const points = batches.flat()
  const latest = points.reduce((latest, { receivedAt }) => Math.max(latest, receivedAt), 0)
  const { entries, states, deltas, notes } = observeAll(points, await remember(transaction, batches, ledger))
  await saveStates(transaction, states)
  await saveDeltas(transaction, deltas, latest, ledger)
  if (notes.length > 0) {
    await transaction.run(
      `INSERT INTO not_counted (verdict, points)
       SELECT verdict, sum(points) FROM unnest($1::text[], $2::bigint[]) AS noted (verdict, points) GROUP BY verdict
       ON CONFLICT (verdict) DO UPDATE SET points = not_counted.points + excluded.points`,
      ...[notes.map(({ verdict }) => verdict), notes.map(({ points }) => points)],
    )
    const ids = await seriesIds(
      transaction,
      notes.map(({ account, dimension }) => ({ account, dimension, hour: hourOf(latest) })),
    )
    await writeAudit(
      transaction,
      notes.map((note, index) => ({
        ...{ who: 'ledger', why: explain(note), now: latest, action: note.verdict },
        ...{ series: ids[index] as number, amount: note.amount, detail: `${note.points} data points` },
      })),
    )
  }
  return entries
}

/** All that is remembered of the counters that points are of. */
async function remember(
  transaction: Transaction,
  batches: readonly (readonly Observation[])[],
  { deltasForgottenBefore }: LedgerRow,
): Promise<CounterMemory> {
  const points = batches.flat()
  const states = await transaction.all('SELECT key, state FROM counter WHERE key = ANY($1::uuid[])', [
    ...new Set(points.filter(({ kind }) => kind !== 'delta').map(({ counter }) => counter)),
  ])
  const deltas = points.filter(({ kind }) => kind === 'delta')
  const sameDeltas = await transaction.all(
    `SELECT counter, start, time, coalesce(delta.value, late_delta.value) AS value
     FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS wanted (counter, start, time)
     LEFT JOIN delta USING (time, counter, start) LEFT JOIN late_delta USING (counter, start, time)
     WHERE coalesce(delta.value, late_delta.value) IS NOT NULL`,
    ...[deltas.map(({ counter }) => counter), deltas.map(({ start }) => start), deltas.map(({ time }) => time)],
  )
  const since = new Map<string, number>()
  for (const batch of batches) {
    const latest = batch.reduce((latest, { receivedAt }) => Math.max(latest, receivedAt), 0)
    for (const { account, kind } of batch) {
      if (kind === 'delta' || since.has(account.product)) continue
      since.set(account.product, await meteredSince(transaction, account.product, latest))
    }
  }
  const stateOf = new Map(states.map(({ key, state }) => [hexadecimal(key as string), unpackState(state as string)]))
  const deltaOf = new Map(sameDeltas.map(row => [keyOf(row as unknown as Delta), row.value as bigint]))
  return {
    state: counter => stateOf.get(counter),
    delta: point => deltaOf.get(keyOf(point)),
    forgottenBefore: deltasForgottenBefore,
    since: product => since.get(product) as number,
  }
}

type Delta = Pick<Observation, 'counter' | 'start' | 'time'>

/** A UUID as PostgreSQL writes it, without its dashes. */
const hexadecimal = (uuid: string) => uuid.replaceAll('-', '')
const keyOf = ({ counter, start, time }: Delta) => `${hexadecimal(counter)} ${start} ${time}`

async function saveStates(transaction: Transaction, states: ReadonlyMap<string, CounterState>): Promise<void> {
  if (states.size === 0) return
  // In the order of the keys, so that neighbours share a page.
  const sorted = [...states].sort(([a], [b]) => (a < b ? -1 : 1))
  await transaction.run(
    `INSERT INTO counter (key, state) SELECT * FROM unnest($1::uuid[], $2::text[])
     ON CONFLICT (key) DO UPDATE SET state = excluded.state`,
    ...[sorted.map(([counter]) => counter), sorted.map(([, state]) => packState(state))],
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
    const some = deltas.filter(({ time }) => time < deltasForgottenBefore === late)
    await transaction.run(
      `INSERT INTO ${late ? 'late_delta' : 'delta'} (time, counter, start, value)
       SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::numeric[])`,
      ...[some.map(({ time }) => time), some.map(({ counter }) => counter)],
      ...[some.map(({ start }) => start), some.map(({ value }) => value)],
    )
  }
  const before = Math.max((now - DELTA_MEMORY) * 1000, deltasForgottenBefore)
  await transaction.run('DELETE FROM delta WHERE time < $1', before)
  await transaction.run('UPDATE ledger SET deltas_forgotten_before = $1', before)
}

/** When the product was first metered: `now`, where it was not before. */
export async function meteredSince(transaction: Transaction, product: string, now: number): Promise<number> {
  await transaction.run(
    'INSERT INTO product (name, metered_since) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING',
    product,
    now,
  )
  const row = await transaction.get('SELECT metered_since AS since FROM product WHERE name = $1', product)
  return row?.since as number
}

/** How many points were not simply counted, by why. */
export async function notCounted(transaction: Transaction): Promise<Partial<Record<NotCounted, number>>> {
  const rows = await transaction.all('SELECT verdict, points FROM not_counted')
  return Object.fromEntries(rows.map(({ verdict, points }) => [verdict, points]))
}

/** A backup's state is not what the lost ledger knew last: what comes next of each counter may have been billed. */
export async function doubtCounters(transaction: Transaction, now: number): Promise<void> {
  const rows = await transaction.all('SELECT key, state FROM counter')
  await saveStates(
    transaction,
    new Map(rows.map(({ key, state }) => [key as string, { ...unpackState(state as string), doubted: true }])),
  )
  await transaction.run('DELETE FROM delta')
  await transaction.run('UPDATE ledger SET deltas_forgotten_before = greatest(deltas_forgotten_before, $1)', now * 1000)
}
