import { MINUTE } from '../hours.ts'
import type { NotCounted, Observation, UsageEntry } from '../ledger.ts'
import {
  type CounterMemory,
  type CounterState,
  DELTA_MEMORY,
  type ObservationNote,
  observeAll,
  packState,
  unpackState,
} from '../observing.ts'
import type { Database } from './database.ts'

/** Counters that others keep: what is remembered of each, so that every unit counts once. */

/** How many counters' states are kept in memory. */
const MOST_STATES = 1_000_000
const ROWS_PER_INSERT = 100

/** What points come to, for the transaction that they came in. */
export interface Observed {
  readonly entries: readonly UsageEntry[]
  readonly notes: readonly ObservationNote[]
  /** When the last of the points came here. */
  readonly at: number
  /** For when the transaction is durable. Where it is not, `forget`. */
  committed(): void
}

export class Observing {
  readonly #database: Database
  /** As the ledger has them, while no other process writes it. */
  #states = new Map<string, CounterState>()
  #version: unknown

  constructor(database: Database) {
    this.#database = database
  }

  /** Takes points, inside the transaction that adds what they come to. */
  observe(points: readonly Observation[]): Observed {
    this.#trust()
    const latest = points.reduce((latest, { receivedAt }) => Math.max(latest, receivedAt), 0)
    const { entries, states, deltas, notes } = observeAll(points, this.#memory(latest))
    this.#saveStates(states)
    this.#saveDeltas(deltas, latest)
    for (const { verdict, points } of notes) {
      this.#database.run(
        `INSERT INTO not_counted (verdict, points) VALUES (?, ?)
         ON CONFLICT (verdict) DO UPDATE SET points = points + excluded.points`,
        ...[verdict, points],
      )
    }
    return {
      entries,
      notes,
      at: latest,
      committed: () => {
        if (this.#states.size > MOST_STATES) this.#states.clear()
        for (const [counter, state] of states) this.#states.set(counter, state)
      },
    }
  }

  forget(): void {
    this.#states.clear()
  }

  /** Forgets what is in memory when another process has written to the file. */
  #trust(): void {
    const version = this.#database.get('PRAGMA data_version')?.data_version
    if (version !== this.#version) this.#states.clear()
    this.#version = version
  }

  #memory(now: number): CounterMemory {
    return {
      state: counter => {
        const known = this.#states.get(counter)
        if (known !== undefined) return known
        const row = this.#database.get('SELECT state FROM counter WHERE key = ?', Buffer.from(counter, 'hex'))
        return row === undefined ? undefined : unpackState(row.state as string)
      },
      delta: ({ counter, start, time }) => {
        const key = Buffer.from(counter, 'hex')
        const row =
          this.#database.get(
            'SELECT CAST(value AS TEXT) AS value FROM delta WHERE time = ? AND counter = ? AND start = ?',
            time,
            key,
            start,
          ) ??
          this.#database.get(
            'SELECT CAST(value AS TEXT) AS value FROM late_delta WHERE counter = ? AND start = ? AND time = ?',
            key,
            start,
            time,
          )
        return row === undefined ? undefined : BigInt(row.value as string)
      },
      forgottenBefore: this.#forgottenBefore(),
      since: product => meteredSince(this.#database, product, now),
    }
  }

  #saveStates(states: ReadonlyMap<string, CounterState>): void {
    // In the order of the keys, so that neighbours share a page.
    const rows = [...states].sort(([a], [b]) => (a < b ? -1 : 1))
    for (let first = 0; first < rows.length; first += ROWS_PER_INSERT) {
      const some = rows.slice(first, first + ROWS_PER_INSERT)
      this.#database.run(
        `INSERT INTO counter (key, state) VALUES ${some.map(() => '(?, ?)').join(', ')}
         ON CONFLICT (key) DO UPDATE SET state = excluded.state`,
        ...some.flatMap(([counter, state]) => [Buffer.from(counter, 'hex'), packState(state)]),
      )
    }
  }

  /** Remembers deltas, and forgets those that are older than the memory goes back. */
  #saveDeltas(deltas: readonly Observation[], now: number): void {
    if (deltas.length === 0) return
    const forgottenBefore = this.#forgottenBefore()
    for (const late of [false, true]) {
      const rows = deltas.filter(({ time }) => time < forgottenBefore === late)
      for (let first = 0; first < rows.length; first += ROWS_PER_INSERT) {
        const some = rows.slice(first, first + ROWS_PER_INSERT)
        this.#database.run(
          `INSERT INTO ${late ? 'late_delta' : 'delta'} (time, counter, start, value)
           VALUES ${some.map(() => '(?, ?, ?, ?)').join(', ')}`,
          ...some.flatMap(({ time, counter, start, value }) => [time, Buffer.from(counter, 'hex'), start, value]),
        )
      }
    }
    const before = Math.max((now - DELTA_MEMORY) * 1000, forgottenBefore)
    this.#database.run('DELETE FROM delta WHERE time < ?', before)
    this.#database.run('UPDATE ledger SET deltas_forgotten_before = ?', before)
  }

  #forgottenBefore(): number {
    return this.#database.get('SELECT deltas_forgotten_before AS time FROM ledger')?.time as number
  }
}

/** When the product was first metered: `now`, where it was not before. */
export function meteredSince(database: Database, product: string, now: number): number {
  const known = database.get('SELECT metered_since AS since FROM product WHERE name = ?', product)
  if (known !== undefined) return known.since as number
  database.run('INSERT INTO product (name, metered_since) VALUES (?, ?)', product, now)
  return now
}

/** A backup's state is not what the lost ledger knew last: what comes next of each counter may have been billed. */
export function doubtCounters(database: Database, now: number): void {
  for (const { key, state } of database.all('SELECT key, state FROM counter')) {
    const doubted = packState({ ...unpackState(state as string), doubted: true })
    database.run('UPDATE counter SET state = ? WHERE key = ?', doubted, key as Uint8Array)
  }
  database.run('DELETE FROM delta')
  database.run('UPDATE ledger SET deltas_forgotten_before = max(deltas_forgotten_before, ?)', now * 1000)
}

/** A turn that is further away was taken by a clock that was ahead. */
const LONGEST_WAIT = MINUTE

/** The next turns of a region's quota; see `Ledger.takeTurns`. */
export function takeTurns(database: Database, region: string, turns: number, spacing: number, now: number): number {
  const next = database.get('SELECT next_turn FROM quota WHERE region = ?', region)?.next_turn as number | undefined
  const first = next !== undefined && next > now && next <= now + LONGEST_WAIT ? next : now
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
