import type { SQLInputValue } from 'node:sqlite'
import { RecentMap } from '../../usage/recent-map.ts'
import type { CounterSources, NotCounted, Observation, UsageEntry } from '../ledger.ts'
import {
  type CounterMemory,
  type CounterState,
  counterKey,
  DELTA_MEMORY,
  type KeptState,
  type LegacyState,
  type ObservationNote,
  type ObservedSet,
  observeAll,
  packState,
  packStream,
  risenTo,
  type StreamState,
  sizeOfStream,
  unpackLegacy,
  unpackState,
  unpackStream,
  waitsFor,
  wakeAll,
} from '../rules/counters/index.ts'
import { firstTurn } from '../rules/quota.ts'
import type { Database, Row } from './database.ts'
import { KnownCounter } from './known-counter.ts'

/** Counters that others keep: what is remembered of each, so that every unit counts once. */

/**
 * How many bytes of counters, and how many of streams, are kept in memory, both at most twice over: of those that spoke
 * last. The others are read again.
 */
const MOST_KNOWN = 40e6
const MOST_STREAMS = 8e6
/** How many that have waited long enough one transaction decides. */
const WAKES_PER_CHUNK = 1000

/** What points come to, for the transaction that they came in. */
export interface Observed {
  readonly entries: readonly UsageEntry[]
  readonly notes: readonly ObservationNote[]
  /** When the last of the points came here. */
  readonly at: number
  /** How many counters were looked at. */
  readonly counters: number
  /** For when the transaction is durable. Where it is not, `forget`. */
  committed(): void
}

/**
 * New counters wait, and there is no end to those that somebody may make up: they are kept in memory when they have
 * spoken often enough to be counted.
 */
const isKept = (state: CounterState): boolean => state.kind !== 'started' || state.wakeAt === 0

interface Saved {
  readonly counter: string
  readonly kept: KeptState
  /** What was known of it before. */
  readonly known: KnownCounter | undefined
  id: number
}

export class Observing {
  readonly #database: Database
  /** As the ledger has them, while no other process writes it. */
  readonly #known = new RecentMap<string, KnownCounter>(MOST_KNOWN, ({ size }) => size)
  /** Null of those that are not there. */
  readonly #streams = new RecentMap<string, StreamState | null>(MOST_STREAMS, state =>
    state === null ? 100 : sizeOfStream(state),
  )
  readonly #since = new Map<string, number>()
  /** Whether the first schema knew of counters. */
  #legacy: boolean | undefined
  #version: unknown

  constructor(database: Database) {
    this.#database = database
  }

  /** Takes points, inside the transaction that adds what they come to. */
  observe(points: readonly Observation[], dimensionId: (name: string) => number): Observed {
    this.#trust()
    let latest = 0
    for (const { receivedAt } of points) latest = Math.max(latest, receivedAt)
    const set = observeAll(points, this.#memory(latest))
    this.#saveDeltas(set.deltas, latest)
    return this.#save(set, latest, points.length, dimensionId)
  }

  /** Whether anything has waited until `now`, or waits of an account. */
  anyWaits(now: number, accountKey?: string): boolean {
    const until = accountKey === undefined ? now : Number.MAX_SAFE_INTEGER
    return (
      this.#database.get('SELECT 1 AS there FROM counter_state WHERE wake_at > 0 AND wake_at <= ? LIMIT 1', until) !==
      undefined
    )
  }

  /** Decides what has waited until `now`, a part of it where it is much; or all that waits of an account. */
  decide(now: number, dimensionId: (name: string) => number, accountKey?: string): Observed {
    this.#trust()
    const until = accountKey === undefined ? now : Number.MAX_SAFE_INTEGER
    const rows = this.#database.all(
      `SELECT lower(hex(key)) AS key, state, dimension.name AS dimension
       FROM counter_state JOIN counter USING (id) JOIN dimension ON dimension.id = counter_state.dimension
       WHERE wake_at > 0 AND wake_at <= ? ORDER BY wake_at LIMIT ?`,
      ...[until, accountKey === undefined ? WAKES_PER_CHUNK : -1],
    )
    const waiting = rows
      .map(({ key, state, dimension }) => [key as string, unpackState(state as string), dimension as string] as const)
      .filter(([, state]) => accountKey === undefined || waitsFor(state, accountKey))
    return this.#save(wakeAll(waiting, this.#memory(now), now), now, waiting.length, dimensionId)
  }

  forget(): void {
    this.#known.clear()
    this.#streams.clear()
    this.#since.clear()
  }

  #save(set: ObservedSet, at: number, counters: number, dimensionId: (name: string) => number): Observed {
    const { entries, states, streams, sharedStarts, notes } = set
    const saved = this.#saveStates(states, dimensionId)
    for (const [key, state] of streams) {
      this.#database.run('INSERT OR REPLACE INTO stream (key, state) VALUES (?, ?)', counterKey(key), packStream(state))
    }
    for (const [start, { targets }] of sharedStarts) {
      this.#database.run(
        'INSERT OR REPLACE INTO shared_start (start, targets) VALUES (?, ?)',
        ...[start, JSON.stringify(targets)],
      )
    }
    for (const { verdict, points } of notes) {
      this.#database.run(
        `INSERT INTO not_counted (verdict, points) VALUES (?, ?)
         ON CONFLICT (verdict) DO UPDATE SET points = points + excluded.points`,
        ...[verdict, points],
      )
    }
    return {
      ...{ entries, notes, at, counters },
      committed: () => {
        for (const { counter, id, kept, known } of saved) {
          const { state } = kept
          if (!isKept(state)) this.#known.delete(counter)
          // What takes as much room as before stays where it is, and so do most.
          else if (!known?.replace(state)) this.#known.set(counter, new KnownCounter(id, state))
        }
        for (const [key, state] of streams) this.#streams.set(key, state)
      },
    }
  }

  /** Forgets what is in memory when another process has written to the file. */
  #trust(): void {
    const version = this.#database.get('PRAGMA data_version')?.data_version
    if (version !== this.#version) this.forget()
    this.#version = version
  }

  #memory(now: number): CounterMemory {
    const { restored, forgotten, silentBefore } = this.#database.get(
      `SELECT restored_at AS restored, deltas_forgotten_before AS forgotten, silent_before AS silentBefore
       FROM ledger`,
    ) as { restored: number; forgotten: number; silentBefore: number }
    return {
      state: key => (this.#known.get(key) ?? this.#look(key))?.state,
      stream: key => this.#stream(key),
      sharedStart: start => {
        const row = this.#database.get('SELECT targets FROM shared_start WHERE start = ?', start)
        return row && { targets: JSON.parse(row.targets as string) }
      },
      legacy: counter => this.#legacyOf(counter),
      delta: ({ counter, start, time }) => {
        const key = counterKey(counter)
        const row =
          this.#database.get(
            'SELECT value FROM delta WHERE time = ? AND counter = ? AND start = ?',
            ...[time, key, start],
          ) ??
          this.#database.get(
            'SELECT value FROM late_delta WHERE counter = ? AND start = ? AND time = ?',
            ...[key, start, time],
          )
        return row === undefined ? undefined : BigInt(row.value as string)
      },
      forgottenBefore: forgotten,
      silentBefore,
      restored: restored * 1000,
      since: (product, dimension, metric) => {
        const key = JSON.stringify([product, dimension, metric])
        let since = this.#since.get(key)
        if (since === undefined) {
          since = meteredSince(this.#database, product, dimension, metric, now)
          this.#since.set(key, since)
        }
        return since
      },
    }
  }

  #look(key: string): KnownCounter | undefined {
    const row = this.#database.get(
      `SELECT id, state, mark, time FROM counter JOIN counter_state USING (id) LEFT JOIN counter_mark USING (id)
       WHERE key = ?`,
      counterKey(key),
    )
    if (row === undefined) return undefined
    const state = unpackState(row.state as string)
    const { mark, time } = row as { mark: number | null; time: number }
    const risen = mark === null ? state : risenTo(state, { mark: BigInt(mark), time })
    const known = new KnownCounter(row.id as number, risen)
    // It is as the ledger has it, whatever becomes of this transaction.
    if (isKept(risen)) this.#known.set(key, known)
    return known
  }

  #stream(key: string): StreamState | undefined {
    if (key === '') return undefined
    const known = this.#streams.get(key)
    if (known !== undefined) return known ?? undefined
    const row = this.#database.get('SELECT state FROM stream WHERE key = ?', counterKey(key))
    const state = row && unpackStream(row.state as string)
    this.#streams.set(key, state ?? null)
    return state
  }

  #legacyOf(counter: string): LegacyState | undefined {
    this.#legacy ??= this.#database.get('SELECT 1 AS there FROM legacy_counter LIMIT 1') !== undefined
    if (!this.#legacy) return undefined
    const row = this.#database.get(
      `SELECT start, CAST(mark AS TEXT) AS mark, time, CAST(value AS TEXT) AS value, more
       FROM legacy_counter JOIN legacy_counter_state USING (id) WHERE key = ?`,
      counterKey(counter),
    )
    return row && legacyOf(row)
  }

  /** Returns what is to be known when it is durable. */
  #saveStates(states: ReadonlyMap<string, KeptState>, dimensionId: (name: string) => number): readonly Saved[] {
    const saved: Saved[] = []
    for (const [counter, kept] of states) saved.push({ counter, kept, known: this.#known.get(counter), id: 0 })
    for (const one of saved) {
      one.id = one.known?.id ?? this.#idOf(one.counter)
    }
    // In the order of the ids, so that neighbours share a page.
    saved.sort((a, b) => a.id - b.id)
    const marks: number[][] = []
    const whole: Saved[] = []
    for (const one of saved) {
      const risen = one.kept.risen ? markOf(one.kept.state) : undefined
      if (risen === undefined) whole.push(one)
      else marks.push([one.id, Number(risen.mark), risen.time])
    }
    this.#database.insertRows('INSERT OR REPLACE INTO counter_mark (id, mark, time)', marks)
    const rows = whole.map(({ id, kept: { state, dimension, wakeAt, waiting } }): SQLInputValue[] => [
      ...[id, packState(state), dimensionId(dimension), wakeAt, waiting === 0n ? null : String(waiting)],
    ])
    this.#database.insertRows('INSERT OR REPLACE INTO counter_state (id, state, dimension, wake_at, waiting)', rows)
    if (whole.length > 0) {
      const ids = JSON.stringify(whole.map(({ id }) => id))
      this.#database.run('DELETE FROM counter_mark WHERE id IN (SELECT value FROM json_each(?))', ids)
    }
    return saved
  }

  #idOf(counter: string): number {
    const key = counterKey(counter)
    const found = this.#database.get('SELECT id FROM counter WHERE key = ?', key)
    return (found?.id as number | undefined) ?? this.#database.insert('INSERT INTO counter (key) VALUES (?)', key)
  }

  /** Remembers deltas, and forgets those that are older than the memory goes back. */
  #saveDeltas(deltas: readonly Observation[], now: number): void {
    if (deltas.length === 0) return
    const forgottenBefore = this.#database.get('SELECT deltas_forgotten_before AS time FROM ledger')?.time as number
    for (const late of [false, true]) {
      const rows = deltas.filter(({ time }) => time < forgottenBefore === late)
      this.#database.insertRows(
        `INSERT INTO ${late ? 'late_delta' : 'delta'} (time, counter, start, value)`,
        rows.map(({ time, counter, start, value }) => [time, counterKey(counter), start, String(value)]),
      )
    }
    const before = Math.max((now - DELTA_MEMORY) * 1000, forgottenBefore)
    this.#database.run('DELETE FROM delta WHERE time < ?', before)
    this.#database.run('UPDATE ledger SET deltas_forgotten_before = ?', before)
  }
}

/** What a counter has risen to, where SQLite's integers and JavaScript's numbers hold it. */
function markOf(state: CounterState): { mark: bigint; time: number } | undefined {
  const counter = state.kind === 'started' ? state.counters[0] : undefined
  return counter !== undefined && counter.mark <= Number.MAX_SAFE_INTEGER ? counter : undefined
}

function legacyOf({ start, mark, time, value, more }: Row): LegacyState {
  if (more !== null) return unpackLegacy(more as string)
  return unpackLegacy(`${time} ${value} 0 0 0 ${start}:${mark}`)
}

/** Writes down since when metrics are metered: `now`, where they were not before. */
export function registerSources(database: Database, { product, now, metrics }: CounterSources): void {
  for (const { dimension, metric } of metrics) meteredSince(database, product, dimension, metric, now)
  for (const { dimension, metric } of metrics) {
    // What the first schema said of any metric was of those that are named now.
    if (metric !== '') {
      database.run("DELETE FROM metered WHERE product = ? AND dimension = ? AND metric = ''", product, dimension)
    }
  }
}

function meteredSince(database: Database, product: string, dimension: string, metric: string, now: number): number {
  const known = database.get(
    `SELECT since, metric FROM metered WHERE product = ? AND dimension = ? AND metric IN (?, '') ORDER BY metric DESC`,
    ...[product, dimension, metric],
  )
  const since = (known?.since as number | undefined) ?? now
  if (known?.metric !== metric) {
    database.run(
      'INSERT INTO metered (product, dimension, metric, since) VALUES (?, ?, ?, ?)',
      ...[product, dimension, metric, since],
    )
  }
  return since
}

/** A backup's state is not what the lost ledger knew last: what comes next of each counter may have been billed. */
export function doubtCounters(database: Database, now: number): void {
  database.run('DELETE FROM delta')
  database.run(
    `UPDATE ledger SET deltas_forgotten_before = max(deltas_forgotten_before, ?), restored_at = max(restored_at, ?)`,
    ...[now * 1000, now],
  )
}

/** The next turns of a region's quota; see `SharedClock`. */
export function takeTurns(
  database: Database,
  region: string,
  turns: number,
  spacing: number,
  now: number,
): number | undefined {
  const next = database.get('SELECT next_turn FROM quota WHERE region = ?', region)?.next_turn as number | undefined
  const first = firstTurn(next, now)
  if (first === undefined) return undefined
  database.run(
    `INSERT INTO quota (region, next_turn) VALUES (?, ?)
     ON CONFLICT (region) DO UPDATE SET next_turn = excluded.next_turn`,
    ...[region, first + turns * spacing],
  )
  return first
}

/** How many points were not simply counted, by why. */
export function notCounted(database: Database): Partial<Record<NotCounted, number>> {
  return Object.fromEntries(
    database.all('SELECT verdict, points FROM not_counted').map(({ verdict, points }) => [verdict, points]),
  )
}

/** How much waits to be decided, by dimension. */
export function waitingUsage(database: Database): { dimension: string; amount: bigint }[] {
  // Added up there, since there may be hundreds of thousands: in parts of so many digits as an integer holds the sum of.
  const rows = database.all(
    `SELECT name AS dimension,
       CAST(sum(CAST(substr(waiting, -12) AS INTEGER)) AS TEXT) AS low,
       CAST(sum(CAST(substr(waiting, -24, 12) AS INTEGER)) AS TEXT) AS middle,
       CAST(sum(CAST(substr(waiting, -48, 24) AS INTEGER)) AS TEXT) AS high
     FROM counter_state JOIN dimension ON dimension.id = counter_state.dimension
     WHERE wake_at > 0 AND waiting IS NOT NULL GROUP BY dimension.id`,
  )
  const part = (digits: unknown, of: bigint) => BigInt(digits as string) * of
  return rows
    .map(({ dimension, low, middle, high }) => ({
      dimension: dimension as string,
      amount: part(low, 1n) + part(middle, 10n ** 12n) + part(high, 10n ** 24n),
    }))
    .filter(({ amount }) => amount > 0n)
}
