import type { Observation } from '../ledger.ts'
import {
  type CounterMemory,
  type CounterState,
  keysOf,
  type LegacyState,
  membersOf,
  type ObservedSet,
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
import { columnsOf, inChunks } from './statements.ts'

/**
 * What is remembered of others' counters, in one transaction: of the tables what was loaded, with what was found since.
 * What is not there is undefined, so that it is looked for once.
 */
export class LoadedCounters implements CounterMemory {
  readonly forgottenBefore: number
  readonly silentBefore: number
  readonly restored: number
  readonly #transaction: Transaction
  readonly #states = new Map<string, CounterState | undefined>()
  readonly #streams = new Map<string, StreamState | undefined>()
  readonly #sharedStarts = new Map<number, SharedStart | undefined>()
  readonly #legacy = new Map<string, LegacyState | undefined>()
  readonly #deltas = new Map<string, bigint | undefined>()
  readonly #since = new Map<string, number>()
  /** Whether streams are known better than when points' states were loaded, so that they may ask for others. */
  outdated = false
  #hasLegacy: boolean | undefined
  /** By counters' names, where their states are that points of the version before have made. */
  readonly #formerKeys = new Map<string, Set<string>>()

  constructor(transaction: Transaction, { deltasForgottenBefore, forgetting, restoredAt }: LedgerRow) {
    this.#transaction = transaction
    this.forgottenBefore = deltasForgottenBefore
    this.silentBefore = forgetting.before
    this.restored = restoredAt * 1000
  }

  /**
   * Loads what counting these points may ask for, as far as is known of their streams.
   *
   * @param batches the points of each, in the order of the journal
   */
  async load(batches: readonly (readonly Observation[])[]): Promise<void> {
    const points = batches.flat()
    const counted = points.filter(({ kind }) => kind !== 'delta')
    await this.#loadStreams(points.map(point => streamOf(point).key))
    const keys = keysOf(points, key => this.stream(key))
    await this.#loadRows('counter', keys, unpackState, this.#states)
    await this.loadBeside([...keys].flatMap(key => this.#states.get(key) ?? []))
    const unknown = counted.filter(
      point => this.#states.get(stateKey(point, this.stream(streamOf(point).key))) === undefined,
    )
    await this.#loadLegacy(unknown)
    await this.#loadSharedStarts(counted)
    await this.#loadDeltas(points)
    await this.#loadSince(batches)
  }

  /** Loads what deciding on states may ask for: their streams, and what they wait for. */
  async loadBeside(states: readonly CounterState[]): Promise<void> {
    await this.#loadStreams(streamsOf(states))
    const members = membersOf(states, key => this.stream(key))
    await this.#loadRows('counter', members, unpackState, this.#states)
  }

  async #loadStreams(keys: Iterable<string>): Promise<void> {
    await this.#loadRows('stream', keys, unpackStream, this.#streams)
  }

  /** Takes over what points came to, for those that follow. */
  take({ states, streams, sharedStarts, deltas }: ObservedSet): void {
    for (const [key, { state }] of states) this.#states.set(key, state)
    for (const [key, stream] of streams) {
      const before = this.#streams.get(key)
      this.outdated ||= stream.startless !== before?.startless || stream.starts !== before.starts
      this.#streams.set(key, stream)
    }
    for (const [start, targets] of sharedStarts) this.#sharedStarts.set(start, targets)
    for (const delta of deltas) this.#deltas.set(deltaKey(delta), delta.value)
  }

  state(key: string): CounterState | undefined {
    return this.#states.get(key)
  }

  stream(key: string): StreamState | undefined {
    return this.#streams.get(key)
  }

  sharedStart(start: number): SharedStart | undefined {
    return this.#sharedStarts.get(start)
  }

  /**
   * How a counter goes on that the version before knew: as it left it, or as it is by those of its points that were in
   * the journal still, without what names it now.
   */
  legacy(counter: string): LegacyState | undefined {
    let legacy = this.#legacy.get(counter)
    for (const key of this.#formerKeys.get(counter) ?? []) {
      const state = this.#states.get(key)
      if (state !== undefined) legacy = legacyOf(state, legacy)
    }
    return legacy
  }

  delta(point: Observation): bigint | undefined {
    return this.#deltas.get(deltaKey(point))
  }

  since(product: string, dimension: string, metric: string): number {
    return this.#since.get(metricKey({ product, dimension, metric })) as number
  }

  async #loadRows<State>(
    table: 'counter' | 'legacy_counter' | 'stream',
    keys: Iterable<string>,
    unpack: (text: string) => State,
    known: Map<string, State | undefined>,
  ): Promise<void> {
    await inChunks(missing(keys, known), async some => {
      const sql = `SELECT key, state FROM ${table} WHERE key = ANY($1::uuid[])`
      for (const { key, state } of await this.#transaction.all(sql, some)) {
        known.set(hexadecimal(key as string), unpack(state as string))
      }
    })
  }

  async #loadLegacy(points: readonly Observation[]): Promise<void> {
    if (points.length === 0) return
    this.#hasLegacy ??= (await this.#transaction.get('SELECT FROM legacy_counter LIMIT 1')) !== undefined
    if (this.#hasLegacy) {
      const counters = points.map(({ counter }) => counter)
      await this.#loadRows('legacy_counter', counters, unpackLegacy, this.#legacy)
    }
    const former: string[] = []
    for (const { series, stream, ...point } of points) {
      if (series === undefined || series === point.counter) continue
      const key = stateKey(point)
      this.#formerKeys.set(point.counter, (this.#formerKeys.get(point.counter) ?? new Set()).add(key))
      former.push(key)
    }
    await this.#loadRows('counter', former, unpackState, this.#states)
  }

  /** The targets of starts in whole seconds. */
  async #loadSharedStarts(points: readonly Observation[]): Promise<void> {
    const starts = points.filter(({ kind, start }) => kind === 'scraped' && start !== 0 && start % 1_000_000 === 0)
    const wanted = missing(
      starts.map(({ start }) => start),
      this.#sharedStarts,
    )
    await inChunks(wanted, async some => {
      const sql = 'SELECT start, targets FROM shared_start WHERE start = ANY($1::bigint[])'
      for (const { start, targets } of await this.#transaction.all(sql, some)) {
        this.#sharedStarts.set(start as number, { targets: JSON.parse(targets as string) })
      }
    })
  }

  /** The values that the same deltas were counted with. */
  async #loadDeltas(points: readonly Observation[]): Promise<void> {
    const deltas = points.filter(point => point.kind === 'delta' && !this.#deltas.has(deltaKey(point)))
    for (const delta of deltas) this.#deltas.set(deltaKey(delta), undefined)
    await inChunks(deltas, async some => {
      const rows = await this.#transaction.all(
        `SELECT counter, start, time, coalesce(delta.value, late_delta.value) AS value
         FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS wanted (counter, start, time)
         LEFT JOIN delta USING (time, counter, start) LEFT JOIN late_delta USING (counter, start, time)
         WHERE coalesce(delta.value, late_delta.value) IS NOT NULL`,
        ...columnsOf(some, 'counter', 'start', 'time'),
      )
      for (const row of rows) this.#deltas.set(deltaKey(row as unknown as Delta), row.value as bigint)
    })
  }

  /** Since when the metrics of points are metered: of a new one, since its first batch came. */
  async #loadSince(batches: readonly (readonly Observation[])[]): Promise<void> {
    const metrics = new Map<string, MeteredMetric>()
    for (const batch of batches) {
      const now = latestOf(batch)
      for (const point of batch) {
        const { account, dimension } = point
        const metric = { product: account.product, dimension, metric: streamOf(point).metric, now }
        const key = metricKey(metric)
        if (!this.#since.has(key) && !metrics.has(key)) metrics.set(key, metric)
      }
    }
    if (metrics.size === 0) return
    const since = await meteredSince(this.#transaction, [...metrics.values()])
    for (const [index, key] of [...metrics.keys()].entries()) this.#since.set(key, since[index] as number)
  }
}

/** Keys that nobody has looked for, each once; they are known from now on. */
function missing<Key, Value>(keys: Iterable<Key>, known: Map<Key, Value | undefined>): Key[] {
  const wanted: Key[] = []
  for (const key of keys) {
    if (known.has(key)) continue
    known.set(key, undefined)
    wanted.push(key)
  }
  return wanted
}

function legacyOf(state: CounterState, before: LegacyState | undefined): LegacyState {
  const [start, { time, value }] = lastOf(state)
  const marks = new Map(before?.marks).set(start, value)
  return { start, mark: value, marks, time, value, rest: 0n, forgotten: 0, doubted: before?.doubted ?? false }
}

/** The youngest point of a state, and the start that it is of. */
function lastOf(state: CounterState): [start: number, last: { readonly time: number; readonly value: bigint }] {
  if (state.kind === 'values') return [0, state.knots.at(-1) as (typeof state.knots)[0]]
  if (state.kind === 'levels') return [0, state.levels.at(-1) as (typeof state.levels)[0]]
  const { counters, start } = state
  const last = counters.reduce((last, one) => (one.time > last.time ? one : last))
  return [start, { time: last.time, value: last.mark }]
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
