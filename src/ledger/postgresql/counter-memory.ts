import type { Observation } from '../ledger.ts'
import {
  type CounterMemory,
  type CounterState,
  keysOf,
  type LegacyState,
  type SharedStart,
  type StreamState,
  stateKey,
  streamOf,
  streamsOf,
  unpackLegacy,
  unpackState,
  unpackStream,
} from '../rules/counters/index.ts'
import type { Transaction } from './database.ts'
import type { LedgerRow } from './ledger-row.ts'
import { type MeteredMetric, meteredSince } from './metered.ts'
import { inChunks } from './statements.ts'

/** What is remembered of others' counters, as far as the points of a transaction may ask for it. */

/** @param batches the points of each, in the order of the journal */
export async function rememberFor(
  transaction: Transaction,
  batches: readonly (readonly Observation[])[],
  ledger: LedgerRow,
): Promise<CounterMemory> {
  const points = batches.flat()
  const counted = points.filter(({ kind }) => kind !== 'delta')
  const streams = new Map<string, StreamState>()
  await load(transaction, 'stream', new Set(counted.map(point => streamOf(point).key)), unpackStream, streams)
  const states = new Map<string, CounterState>()
  const known = (key: string) => streams.get(key)
  await load(transaction, 'counter', keysOf(points, known), unpackState, states)
  await load(transaction, 'stream', streamsOf(states.values()), unpackStream, streams)
  const unknown = counted.filter(point => !states.has(stateKey(point, known(streamOf(point).key))))
  const legacy = await loadLegacy(transaction, unknown)
  const sharedStarts = await loadSharedStarts(transaction, counted)
  const deltas = await loadDeltas(transaction, points)
  const since = await loadSince(transaction, batches)
  return {
    ...memoryOf(ledger, streams),
    state: key => states.get(key),
    sharedStart: start => sharedStarts.get(start),
    legacy: counter => legacy.get(counter),
    delta: point => deltas.get(deltaKey(point)),
    since: (product, dimension, metric) => since.get(metricKey({ product, dimension, metric })) as number,
  }
}

/** What states that have waited may ask for. */
export async function rememberOf(
  transaction: Transaction,
  states: Iterable<CounterState>,
  ledger: LedgerRow,
): Promise<CounterMemory> {
  const streams = new Map<string, StreamState>()
  await load(transaction, 'stream', streamsOf(states), unpackStream, streams)
  return memoryOf(ledger, streams)
}

function memoryOf(
  { deltasForgottenBefore, restoredAt }: LedgerRow,
  streams: ReadonlyMap<string, StreamState>,
): CounterMemory {
  return {
    state: () => undefined,
    stream: key => streams.get(key),
    sharedStart: () => undefined,
    legacy: () => undefined,
    delta: () => undefined,
    forgottenBefore: deltasForgottenBefore,
    restored: restoredAt * 1000,
    since: () => 0,
  }
}

/** Adds the states that are kept under keys to those that are known. */
async function load<State>(
  transaction: Transaction,
  table: 'counter' | 'legacy_counter' | 'stream',
  keys: Iterable<string>,
  unpack: (text: string) => State,
  known: Map<string, State>,
): Promise<void> {
  const wanted = [...keys].filter(key => !known.has(key))
  await inChunks(wanted, async some => {
    const rows = await transaction.all(`SELECT key, state FROM ${table} WHERE key = ANY($1::uuid[])`, some)
    for (const { key, state } of rows) known.set(hexadecimal(key as string), unpack(state as string))
  })
}

/**
 * How counters go on that the version before knew: as it left them, or as they are by those of its points that were in
 * the journal still, under names of that version.
 */
async function loadLegacy(
  transaction: Transaction,
  points: readonly Observation[],
): Promise<ReadonlyMap<string, LegacyState>> {
  const legacy = new Map<string, LegacyState>()
  if (points.length === 0) return legacy
  if ((await transaction.get('SELECT FROM legacy_counter LIMIT 1')) !== undefined) {
    await load(transaction, 'legacy_counter', new Set(points.map(({ counter }) => counter)), unpackLegacy, legacy)
  }
  const named = points
    .filter(({ counter, series }) => series !== undefined && series !== counter)
    .map(({ series, stream, ...point }) => point)
  const states = new Map<string, CounterState>()
  await load(transaction, 'counter', new Set(named.map(point => stateKey(point))), unpackState, states)
  for (const point of named) {
    const state = states.get(stateKey(point))
    if (state !== undefined) legacy.set(point.counter, legacyOf(state, legacy.get(point.counter)))
  }
  return legacy
}

function legacyOf(state: CounterState, before: LegacyState | undefined): LegacyState {
  const [start, { time, value }] = lastOf(state)
  const marks = new Map(before?.marks).set(start, value)
  return { start, mark: value, marks, time, value, rest: 0n, forgotten: 0, doubted: before?.doubted ?? false }
}

function lastOf(state: CounterState): [start: number, last: { readonly time: number; readonly value: bigint }] {
  switch (state.kind) {
    case 'started': {
      const [{ time, mark }] = state.counters.toSorted((a, b) => b.time - a.time) as [(typeof state.counters)[0]]
      return [state.start, { time, value: mark }]
    }
    case 'values':
      return [0, state.knots.at(-1) as (typeof state.knots)[0]]
    case 'levels':
      return [0, state.levels.at(-1) as (typeof state.levels)[0]]
  }
}

/** The targets of starts in whole seconds. */
async function loadSharedStarts(
  transaction: Transaction,
  points: readonly Observation[],
): Promise<ReadonlyMap<number, SharedStart>> {
  const known = new Map<number, SharedStart>()
  const starts = points.filter(({ kind, start }) => kind === 'scraped' && start !== 0 && start % 1_000_000 === 0)
  await inChunks([...new Set(starts.map(({ start }) => start))], async some => {
    const rows = await transaction.all('SELECT start, targets FROM shared_start WHERE start = ANY($1::bigint[])', some)
    for (const { start, targets } of rows) known.set(start as number, { targets: JSON.parse(targets as string) })
  })
  return known
}

/** The values that the same deltas were counted with. */
async function loadDeltas(
  transaction: Transaction,
  points: readonly Observation[],
): Promise<ReadonlyMap<string, bigint>> {
  const known = new Map<string, bigint>()
  await inChunks(
    points.filter(({ kind }) => kind === 'delta'),
    async some => {
      const rows = await transaction.all(
        `SELECT counter, start, time, coalesce(delta.value, late_delta.value) AS value
         FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS wanted (counter, start, time)
         LEFT JOIN delta USING (time, counter, start) LEFT JOIN late_delta USING (counter, start, time)
         WHERE coalesce(delta.value, late_delta.value) IS NOT NULL`,
        ...[some.map(({ counter }) => counter), some.map(({ start }) => start), some.map(({ time }) => time)],
      )
      for (const row of rows) known.set(deltaKey(row as unknown as Delta), row.value as bigint)
    },
  )
  return known
}

/** Since when the metrics of points are metered. */
async function loadSince(
  transaction: Transaction,
  batches: readonly (readonly Observation[])[],
): Promise<ReadonlyMap<string, number>> {
  const metrics = new Map<string, MeteredMetric>()
  for (const batch of batches) {
    const now = latestOf(batch)
    for (const point of batch) {
      const { account, dimension } = point
      const metric = { product: account.product, dimension, metric: streamOf(point).metric, now }
      const key = metricKey(metric)
      if (!metrics.has(key)) metrics.set(key, metric)
    }
  }
  const since = await meteredSince(transaction, [...metrics.values()])
  return new Map([...metrics.keys()].map((key, index) => [key, since[index] as number]))
}

/** When the last of points came here. */
export const latestOf = (points: readonly Observation[]): number =>
  points.reduce((latest, { receivedAt }) => Math.max(latest, receivedAt), 0)

type Delta = Pick<Observation, 'counter' | 'start' | 'time'>

const deltaKey = ({ counter, start, time }: Delta) => `${hexadecimal(counter)} ${start} ${time}`
const metricKey = ({ product, dimension, metric }: Omit<MeteredMetric, 'now'>) =>
  JSON.stringify([product, dimension, metric])

/** A UUID as PostgreSQL writes it, without its dashes. */
export const hexadecimal = (uuid: string) => uuid.replaceAll('-', '')
