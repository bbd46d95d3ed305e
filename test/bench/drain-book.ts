import { DatabaseSync } from 'node:sqlite'
import type { UsageRecordResult } from '@aws-sdk/client-marketplace-metering'

/**
 * The least that a loop has to write down so that it never bills twice: before a request that its records are being
 * tried, after it what came of each. As durable as the ledger, and nothing else.
 */
export class Book {
  readonly #database: DatabaseSync

  constructor(path: string, records: number) {
    this.#database = new DatabaseSync(path)
    this.#database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
      CREATE TABLE record (id INTEGER PRIMARY KEY, account TEXT NOT NULL, quantity INTEGER NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0, state TEXT NOT NULL DEFAULT 'pending', metering_record_id TEXT) STRICT;
      WITH RECURSIVE numbers (number) AS
        (SELECT 0 UNION ALL SELECT number + 1 FROM numbers WHERE number < ${records - 1})
      INSERT INTO record (id, account, quantity) SELECT number, 100000000000 + number, 1 + number % 1000 FROM numbers`)
  }

  before(start: number, end: number): void {
    this.#database.prepare('UPDATE record SET attempts = attempts + 1 WHERE id >= ? AND id < ?').run(start, end)
  }

  after(start: number, results: readonly UsageRecordResult[]): void {
    this.#database.exec('BEGIN IMMEDIATE')
    const settle = this.#database.prepare('UPDATE record SET state = ?, metering_record_id = ? WHERE id = ?')
    for (const [index, { Status, MeteringRecordId }] of results.entries()) {
      settle.run(Status as string, MeteringRecordId as string, start + index)
    }
    this.#database.exec('COMMIT')
  }

  close(): void {
    this.#database.close()
  }
}
