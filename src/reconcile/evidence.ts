import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { HOUR } from '../ledger/hours.ts'
import { nodeSqlite } from '../ledger/sqlite/node-sqlite.ts'
import { type Caller, type EventSeries, type MeteringCall, type SightingOutcome, seriesKey } from './event.ts'

/** A usage record in a call, as it is held against the ledger. */
export interface Sighting {
  readonly series: EventSeries
  readonly hour: number
  readonly quantity: number
  readonly outcome: SightingOutcome
  readonly meteringRecordId: string | undefined
  readonly eventId: string
  readonly requestId: string
  /** When AWS was called, in milliseconds since the epoch. */
  readonly time: number
  readonly caller: Caller
}

const OUTCOMES: readonly SightingOutcome[] = [
  ...(['success', 'duplicate', 'not-subscribed', 'unprocessed', 'refused', 'unclear'] as const),
]

/** How many rows a transaction has: a temporary database writes nothing before. */
const CHUNK = 20_000

/**
 * What calls of `BatchMeterUsage` show, by hour, whatever the order in which it comes. It is in a temporary file of
 * SQLite's, which goes when it is closed: a month of two million records is more than fits into memory.
 */
export class Evidence {
  readonly #database: DatabaseSync
  readonly #addEvent: StatementSync
  readonly #addSighting: StatementSync
  readonly #ofHour: StatementSync
  readonly #series = new Names<EventSeries>()
  readonly #callers = new Names<Caller>()
  #rows = 0

  constructor() {
    this.#database = new (nodeSqlite().DatabaseSync)('')
    this.#database.exec(`
      PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -4000; PRAGMA temp_store = FILE;
      CREATE TABLE event (
        id INTEGER PRIMARY KEY, event TEXT NOT NULL UNIQUE, request TEXT, time INTEGER NOT NULL, caller INTEGER NOT NULL
      ) STRICT;
      CREATE TABLE sighting (
        hour INTEGER NOT NULL, series INTEGER NOT NULL, quantity INTEGER NOT NULL, outcome INTEGER NOT NULL,
        record TEXT, event INTEGER NOT NULL
      ) STRICT;
      CREATE INDEX sighting_hour ON sighting (hour, series);
      BEGIN`)
    this.#addEvent = this.#database.prepare(
      'INSERT OR IGNORE INTO event (event, request, time, caller) VALUES (?, ?, ?, ?)',
    )
    this.#ofHour = this.#database.prepare(
      `SELECT series, quantity, outcome, record, event.event, coalesce(event.request, event.event), event.time, event.caller
       FROM sighting JOIN event ON event.id = sighting.event
       WHERE hour >= ? AND hour < ? ORDER BY series, event.time, event.id`,
    )
    this.#ofHour.setReturnArrays(true)
    this.#addSighting = this.#database.prepare('INSERT INTO sighting VALUES (?, ?, ?, ?, ?, ?)')
  }

  /** Returns whether it is new: the same event comes in several files. */
  add({ eventId, requestId, caller, sightings }: MeteringCall, time: number): boolean {
    const { principal, arn, address, userAgent } = caller
    const who = this.#callers.number([principal, arn, address, userAgent].join('\n'), caller)
    const { changes, lastInsertRowid } = this.#addEvent.run(
      eventId,
      requestId === eventId ? null : requestId,
      time,
      who,
    )
    if (changes === 0) return false
    for (const { series, hour, quantity, outcome, meteringRecordId = null } of sightings) {
      const number = this.#series.number(seriesKey(series), series)
      this.#addSighting.run(hour, number, quantity, OUTCOMES.indexOf(outcome), meteringRecordId, lastInsertRowid)
    }
    this.#rows += sightings.length
    if (this.#rows >= CHUNK) {
      this.#rows = 0
      this.#database.exec('COMMIT; BEGIN')
    }
    return true
  }

  /** All has come: what follows reads. */
  complete(): void {
    this.#database.exec('COMMIT')
  }

  /** Who has called. */
  callers(): Caller[] {
    return this.#callers.things()
  }

  /** The hours that were metered, the oldest first. */
  hours(): number[] {
    const rows = this.#database
      .prepare(
        `WITH RECURSIVE hours (hour) AS (
           SELECT min(hour) FROM sighting
           UNION ALL SELECT (SELECT min(hour) FROM sighting WHERE hour > hours.hour) FROM hours WHERE hour IS NOT NULL
         ) SELECT hour FROM hours WHERE hour IS NOT NULL`,
      )
      .all()
    return rows.map(({ hour }) => hour as number)
  }

  /** What was seen of an hour, by the series' keys; of each in the order of the calls. */
  ofHour(hour: number): Map<string, Sighting[]> {
    const found = new Map<string, Sighting[]>()
    for (const row of this.#ofHour.all(hour, hour + HOUR) as unknown as Row[]) {
      const [number, quantity, outcome, record, eventId, requestId, time, caller] = row
      const [key, series] = this.#series.at(number)
      const sightings = found.get(key) ?? []
      found.set(key, sightings)
      sightings.push({
        ...{ series, hour, quantity, outcome: OUTCOMES[outcome] as SightingOutcome },
        ...{ meteringRecordId: record ?? undefined, eventId, requestId, time, caller: this.#callers.at(caller)[1] },
      })
    }
    return found
  }

  close(): void {
    this.#database.close()
  }
}

/** A row as a list: as an object it takes many times the memory. */
type Row = [
  series: number,
  quantity: number,
  outcome: number,
  record: string | null,
  event: string,
  request: string,
  time: number,
  caller: number,
]

/** Things by their keys, each with a number. */
class Names<Thing> {
  readonly #numbers = new Map<string, number>()
  readonly #things: [string, Thing][] = []

  number(key: string, thing: Thing): number {
    const known = this.#numbers.get(key)
    if (known !== undefined) return known
    this.#numbers.set(key, this.#things.length)
    this.#things.push([key, thing])
    return this.#things.length - 1
  }

  things(): Thing[] {
    return this.#things.map(([, thing]) => thing)
  }

  at(number: number): [string, Thing] {
    return this.#things[number] as [string, Thing]
  }
}
