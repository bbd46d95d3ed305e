import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { nodeSqlite } from '../../ledger/sqlite/node-sqlite.ts'
import { type ReportedSum, type ReportRow, TAKEN_BACK } from './report-rows.ts'

/** How many rows a transaction has: a temporary database writes nothing before. */
const CHUNK = 20_000

/**
 * What a usage report comes to when its revisions are applied, whatever the order of its rows. It is in a temporary file of
 * SQLite's, which goes when it is closed.
 */
export class ReportedUsage {
  readonly #database: DatabaseSync
  readonly #add: StatementSync
  readonly #ofDay: StatementSync
  /** The products that any row names. */
  readonly products = new Set<string>()
  rows = 0
  /** When the first and the youngest row were written: the report has what AWS came to know between them. */
  writtenFrom = Number.POSITIVE_INFINITY
  writtenUntil = Number.NEGATIVE_INFINITY

  constructor() {
    this.#database = new (nodeSqlite().DatabaseSync)('')
    this.#database.exec(`
      PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -4000; PRAGMA temp_store = FILE;
      CREATE TABLE line (
        id TEXT NOT NULL, valid_from INTEGER NOT NULL, updated INTEGER NOT NULL, rank INTEGER NOT NULL,
        day INTEGER, region TEXT, product TEXT, account TEXT, dimension TEXT, quantity INTEGER,
        PRIMARY KEY (id, valid_from)
      ) STRICT, WITHOUT ROWID;
      CREATE TABLE billed (
        day INTEGER NOT NULL, region TEXT NOT NULL, product TEXT NOT NULL, account TEXT NOT NULL, dimension TEXT NOT NULL,
        quantity INTEGER NOT NULL, PRIMARY KEY (day, region, product, account, dimension)
      ) STRICT, WITHOUT ROWID;
      BEGIN`)
    this.#add = this.#database.prepare(`
      INSERT INTO line VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
        updated = excluded.updated, rank = excluded.rank, day = excluded.day, region = excluded.region,
        product = excluded.product, account = excluded.account, dimension = excluded.dimension, quantity = excluded.quantity
      WHERE (excluded.updated, excluded.rank) >= (line.updated, line.rank)`)
    this.#ofDay = this.#database.prepare('SELECT * FROM billed WHERE day = ?')
  }

  add({ id, validFrom, updated, rank, usage }: ReportRow): void {
    const { day = null, region = null, product = null, account = null, dimension = null, quantity = null } = usage ?? {}
    this.#add.run(id, validFrom, updated, rank, day, region, product, account, dimension, quantity)
    if (product !== null) this.products.add(product)
    this.writtenFrom = Math.min(this.writtenFrom, updated)
    this.writtenUntil = Math.max(this.writtenUntil, updated)
    this.rows++
    if (this.rows % CHUNK === 0) this.#database.exec('COMMIT; BEGIN')
  }

  /** All has come: what follows reads. As in AWS's own queries, a version that was taken back leaves the one before. */
  complete(): void {
    this.#database.exec(`
      INSERT INTO billed
        SELECT day, region, product, account, dimension, sum(quantity)
        FROM (SELECT max(valid_from), * FROM line WHERE rank <> ${TAKEN_BACK} GROUP BY id)
        GROUP BY day, region, product, account, dimension;
      COMMIT`)
  }

  /** The days with usage, and how much it is, of whatever. */
  days(): { readonly day: number; readonly quantity: number }[] {
    const days = 'SELECT day, sum(quantity) AS quantity FROM billed GROUP BY day'
    return this.#database.prepare(days).all() as unknown as ReturnType<ReportedUsage['days']>
  }

  ofDay(day: number): ReportedSum[] {
    return this.#ofDay.all(day) as unknown as ReportedSum[]
  }

  close(): void {
    this.#database.close()
  }
}
