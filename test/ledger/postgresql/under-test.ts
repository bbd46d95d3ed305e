import pg from 'pg'
import { PostgresqlLedger, type PostgresqlLedgerOptions } from '../../../src/ledger/postgresql/ledger.ts'
import type { PostgresqlPool } from '../../../src/ledger/postgresql/pool.ts'
import { type LedgerUnderTest, ledgerUnderTest } from '../scene.ts'
import { losingAnswers } from './flaky-pool.ts'
import { type PostgresqlDatabase, sharedPostgresql } from './server.ts'

/** A database that a file's tests share, with a schema for each ledger; emptied, it serves for the next. */
export class PostgresqlLedgers implements AsyncDisposable {
  readonly connectionString: string
  /** For what is looked at and done beside the ledgers. */
  readonly pool: pg.Pool
  readonly #database: PostgresqlDatabase
  readonly #losing: PostgresqlPool
  readonly #free: string[] = []
  #made = 0

  constructor(database: PostgresqlDatabase) {
    this.connectionString = database.connectionString
    this.#database = database
    this.pool = new pg.Pool({ connectionString: this.connectionString, max: 50 })
    this.pool.on('error', () => {})
    this.#losing = losingAnswers(this.pool, 3)
  }

  static async shared(): Promise<PostgresqlLedgers> {
    return new PostgresqlLedgers(await sharedPostgresql())
  }

  /** A schema that no other test has. */
  schema(): string {
    this.#made += 1
    return `ledger ${this.#made}`
  }

  async open(schema: string, options: PostgresqlLedgerOptions = {}): Promise<PostgresqlLedger> {
    return await PostgresqlLedger.open({ connectionString: this.connectionString, schema, ...options })
  }

  /** An empty ledger, as the conformance suite wants it, of which now and then the answer to a commit is lost. */
  readonly underTest = async (): Promise<LedgerUnderTest> => {
    const schema = this.#free.pop() ?? this.schema()
    // Without connections of their own ledgers are quickly opened.
    const open = () => this.open(schema, { pool: this.#losing })
    const dispose = async () => {
      await this.#empty(schema)
      this.#free.push(schema)
    }
    return { ...(await ledgerUnderTest(open, dispose)), remote: true }
  }

  async #empty(schema: string): Promise<void> {
    const tables = await this.pool.query(
      "SELECT format('DELETE FROM %I.%I', schemaname, tablename) AS sql FROM pg_tables WHERE schemaname = $1",
      [schema],
    )
    const rows = `INSERT INTO "${schema}".ledger (id, version, schema_version) SELECT 1, version, schema_version FROM kept;
      INSERT INTO "${schema}".audit_chain (id, hash, hash_before, id_before) VALUES (1, repeat('0', 64), repeat('0', 64), 0)`
    await this.pool.query(
      `BEGIN; SET LOCAL session_replication_role TO replica;
       CREATE TEMP TABLE kept ON COMMIT DROP AS SELECT version, schema_version FROM "${schema}".ledger;
       ${tables.rows.map(({ sql }) => sql).join(';')}; ${rows}; COMMIT`,
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.pool.end()
    await this.#database[Symbol.asyncDispose]()
  }
}
