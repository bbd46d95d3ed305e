import type { SQLInputValue } from 'node:sqlite'
import type { NotCounted, Observation, UsageEntry } from '../ledger.ts'
import {
  type CounterMemory,
  type CounterState,
  counterKey,
  DELTA_MEMORY,
  type ObservationNote,
  observeAll,
  packState,
  unpackState,
} from '../rules/counters.ts'
import { LONGEST_WAIT } from '../rules/retention.ts'
import type { Database, Row } from './database.ts'

/** Counters that others keep: what is remembered of each, so that every unit counts once. */

/** How many counters are kept in memory. */
const MOST_KNOWN = 1_000_000
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

/** A counter, and what is remembered of it. */
interface Known {
  readonly id: number
  state: CounterState
}

interface Saved {
  readonly counter: string
  readonly state: CounterState
  /** What was known of it before. */
  readonly known: Known | undefined
  id: number
}

export class Observing {
  readonly #database: Database
  /** As the ledger has them, while no other process writes it. */
  readonly #known = new Map<string, Known>()
  #version: unknown

  constructor(database: Database) {
    this.#database = database
  }

  /** Takes points, inside the transaction that adds what they come to. */
  observe(points: readonly Observation[]): Observed {
    this.#trust()
    let latest = 0
    for (const { receivedAt } of points) latest = Math.max(latest, receivedAt)
    const { entries, states, deltas, notes } = observeAll(points, this.#memory(latest))
    const saved = this.#saveStates(states)
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
        if (this.#known.size > MOST_KNOWN) this.#known.clear()
        for (const { counter, id, state, known } of saved) {
          if (known === undefined) this.#known.set(counter, { id, state })
          else known.state = state
        }
      },
    }
  }

  forget(): void {
    this.#known.clear()
  }

  /** Forgets what is in memory when another process has written to the file. */
  #trust(): void {
    const version = this.#database.get('PRAGMA data_version')?.data_version
    if (version !== this.#version) this.#known.clear()
    this.#version = version
  }

  #memory(now: number): CounterMemory {
    const since = new Map<string, number>()
    return {
      state: counter => (this.#known.get(counter) ?? this.#look(counter))?.state,
      delta: ({ counter, start, time }) => {
        const key = counterKey(counter)
        const row =
          this.#database.get(
            'SELECT CAST(value AS TEXT) AS value FROM delta WHERE time = ? AND counter = ? AND start = ?',
            ...[time, key, start],
          ) ??
          this.#database.get(
            'SELECT CAST(value AS TEXT) AS value FROM late_delta WHERE counter = ? AND start = ? AND time = ?',
            ...[key, start, time],
          )
        return row === undefined ? undefined : BigInt(row.value as string)
      },
      forgottenBefore: this.#forgottenBefore(),
      since: product => {
        let began = since.get(product)
        if (began === undefined) {
          began = meteredSince(this.#database, product, now)
          since.set(product, began)
        }
        return began
      },
    }
  }

  #look(counter: string): Known | undefined {
    const row = this.#database.get(
      `SELECT id, start, CAST(mark AS TEXT) AS mark, time, CAST(value AS TEXT) AS value, more
       FROM counter JOIN counter_state USING (id) WHERE key = ?`,
      counterKey(counter),
    )
    if (row === undefined) return undefined
    const known = { id: row.id as number, state: stateOf(row) }
    // It is as the ledger has it, whatever becomes of this transaction.
    this.#known.set(counter, known)
    return known
  }

  /** Returns what is to be known when it is durable. */
  #saveStates(states: ReadonlyMap<string, CounterState>): readonly Saved[] {
    const saved: Saved[] = []
    for (const [counter, state] of states) saved.push({ counter, state, known: this.#known.get(counter), id: 0 })
    for (const one of saved) {
      one.id = one.known?.id ?? this.#database.insert('INSERT INTO counter (key) VALUES (?)', counterKey(one.counter))
    }
    // In the order of the ids, so that neighbours share a page.
    saved.sort((a, b) => a.id - b.id)
    for (let first = 0; first < saved.length; first += ROWS_PER_INSERT) {
      const values: SQLInputValue[] = []
      const rows = saved.slice(first, first + ROWS_PER_INSERT)
      for (const { id, state } of rows) {
        values.push(id, state.start, state.mark, state.time, state.value, isPlain(state) ? null : packState(state))
      }
      this.#database.run(
        `INSERT OR REPLACE INTO counter_state (id, start, mark, time, value, more)
         VALUES ${rows.map(() => '(?, ?, ?, ?, ?, ?)').join(', ')}`,
        ...values,
      )
    }
    return saved
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
          ...some.flatMap(({ time, counter, start, value }) => [time, counterKey(counter), start, value]),
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

/** Whether a state is all in the columns. */
function isPlain({ earlier, forgotten, rest, doubted }: CounterState): boolean {
  return earlier.length === 0 && forgotten === 0 && rest === 0n && !doubted
}

function stateOf({ start, mark, time, value, more }: Row): CounterState {
  if (more !== null) return unpackState(more as string)
  return {
    ...{ start: start as number, mark: BigInt(mark as string), time: time as number, value: BigInt(value as string) },
    ...{ earlier: [], forgotten: 0, rest: 0n, doubted: false },
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
  const rows = database.all(
    'SELECT id, start, CAST(mark AS TEXT) AS mark, time, CAST(value AS TEXT) AS value, more FROM counter_state',
  )
  for (const row of rows) {
    const more = packState({ ...stateOf(row), doubted: true })
    database.run('UPDATE counter_state SET more = ? WHERE id = ?', more, row.id as number)
  }
  database.run('DELETE FROM delta')
  database.run('UPDATE ledger SET deltas_forgotten_before = max(deltas_forgotten_before, ?)', now * 1000)
}

/** The next turns of a region's quota; see `SharedClock`. */
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
