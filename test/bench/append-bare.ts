import { DatabaseSync, type StatementSync } from 'node:sqlite'

/** A row as whoever writes has it: the series is an integer already. */
export interface BareRow {
  readonly hour: number
  readonly series: number
  readonly amount: bigint
}

/** Ways to write the same rows with `node:sqlite` alone; the fastest is the peer. */
export const WAYS = ['single', 'json', 'text 500', 'values 50', 'values 100', 'values 500', 'values 1000'] as const
export type Way = (typeof WAYS)[number]

const ADD = `ON CONFLICT (hour, series) DO UPDATE
  SET whole = whole + excluded.whole + (millionths + excluded.millionths) / 1000000,
      millionths = (millionths + excluded.millionths) % 1000000`
const INTO = 'INSERT INTO open_usage (hour, series, whole, millionths)'
const MILLION = 1_000_000n

/** A table as the ledger's, as durable and with the same settings, and nothing else: no keys, no digests, no checks. */
export class Bare {
  readonly #database: DatabaseSync
  readonly #statements = new Map<string, StatementSync>()
  readonly #insert: (rows: readonly BareRow[]) => void

  constructor(path: string, way: Way) {
    this.#database = new DatabaseSync(path)
    this.#database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY;
      PRAGMA cache_size = -32768;
      CREATE TABLE open_usage (hour INTEGER NOT NULL, series INTEGER NOT NULL, whole INTEGER NOT NULL,
        millionths INTEGER NOT NULL, PRIMARY KEY (hour, series)) STRICT, WITHOUT ROWID`)
    const [kind, size] = way.split(' ') as ['single' | 'json' | 'values' | 'text', string?]
    const kinds = {
      single: (rows: readonly BareRow[]) => this.#single(rows),
      json: (rows: readonly BareRow[]) => this.#json(rows),
      values: (rows: readonly BareRow[]) => this.#values(rows, Number(size)),
      text: (rows: readonly BareRow[]) => this.#text(rows, Number(size)),
    }
    this.#insert = kinds[kind]
  }

  write(rows: readonly BareRow[]): void {
    this.#database.exec('BEGIN IMMEDIATE')
    this.#insert(rows)
    this.#database.exec('COMMIT')
  }

  #single(rows: readonly BareRow[]): void {
    const statement = this.#prepare(`${INTO} VALUES (?, ?, ?, ?) ${ADD}`)
    for (const { hour, series, amount } of rows) {
      statement.run(hour, series, Number(amount / MILLION), Number(amount % MILLION))
    }
  }

  #json(rows: readonly BareRow[]): void {
    const packed = rows.map(({ hour, series, amount }) => [
      hour,
      series,
      Number(amount / MILLION),
      Number(amount % MILLION),
    ])
    this.#prepare(
      `${INTO} SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each(?) WHERE true ${ADD}`,
    ).run(JSON.stringify(packed))
  }

  #values(rows: readonly BareRow[], size: number): void {
    for (let start = 0; start < rows.length; start += size) {
      const chunk = rows.slice(start, start + size)
      const values: number[] = []
      for (const { hour, series, amount } of chunk) {
        values.push(hour, series, Number(amount / MILLION), Number(amount % MILLION))
      }
      this.#prepare(`${INTO} VALUES ${Array(chunk.length).fill('(?,?,?,?)').join()} ${ADD}`).run(...values)
    }
  }

  #text(rows: readonly BareRow[], size: number): void {
    for (let start = 0; start < rows.length; start += size) {
      const values = rows
        .slice(start, start + size)
        .map(({ hour, series, amount }) => `(${hour},${series},${amount / MILLION},${amount % MILLION})`)
      this.#database.exec(`${INTO} VALUES ${values.join()} ${ADD}`)
    }
  }

  #prepare(sql: string): StatementSync {
    let statement = this.#statements.get(sql)
    if (statement === undefined) {
      statement = this.#database.prepare(sql)
      this.#statements.set(sql, statement)
    }
    return statement
  }
}
