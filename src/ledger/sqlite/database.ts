import type { DatabaseSync, SQLInputValue, SQLOutputValue, StatementSync } from 'node:sqlite'
import { LedgerError } from '../errors.ts'
import { asLedgerError } from './file.ts'

export type Row = Record<string, SQLOutputValue>

/** A SQLite database with its prepared statements, and transactions that end in a {@link LedgerError} or not at all. */
export class Database {
  readonly #database: DatabaseSync
  readonly #statements = new Map<string, StatementSync>()

  constructor(database: DatabaseSync) {
    this.#database = database
  }

  /** Runs `work` in one transaction that has the write lock from its start. */
  write<Result>(doing: string, work: () => Result): Result {
    return this.#transaction('BEGIN IMMEDIATE', doing, work)
  }

  /** Runs `work` on one unchanging view. */
  read<Result>(doing: string, work: () => Result): Result {
    return this.#transaction('BEGIN', doing, work)
  }

  #transaction<Result>(begin: string, doing: string, work: () => Result): Result {
    try {
      this.#database.exec(begin)
      const result = work()
      this.#database.exec('COMMIT')
      return result
    } catch (error) {
      try {
        if (this.#database.isOpen && this.#database.isTransaction) this.#database.exec('ROLLBACK')
      } catch {
        // What went wrong first is what the caller has to know.
      }
      throw asLedgerError(error, `cannot ${doing}`)
    }
  }

  /** The first row, or undefined. */
  get(sql: string, ...values: SQLInputValue[]): Row | undefined {
    return this.#prepare(sql).get(...values)
  }

  all(sql: string, ...values: SQLInputValue[]): Row[] {
    return this.#prepare(sql).all(...values)
  }

  /** Returns how many rows changed. */
  run(sql: string, ...values: SQLInputValue[]): number {
    return Number(this.#prepare(sql).run(...values).changes)
  }

  /** Returns the new row's id. */
  insert(sql: string, ...values: SQLInputValue[]): number {
    return Number(this.#prepare(sql).run(...values).lastInsertRowid)
  }

  /** Brings all of the write-ahead log into the file. */
  checkpoint(): void {
    const { busy } = this.#database.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get() as { busy: number }
    if (busy !== 0) throw new LedgerError('ERR_LEDGER_BUSY', 'another process is reading the ledger')
  }

  close(): void {
    this.#statements.clear()
    if (this.#database.isOpen) this.#database.close()
  }

  #prepare(sql: string): StatementSync {
    let statement = this.#statements.get(sql)
    if (statement === undefined) {
      if (!this.#database.isOpen) throw new LedgerError('ERR_LEDGER_CLOSED', 'the ledger is closed')
      statement = this.#database.prepare(sql)
      this.#statements.set(sql, statement)
    }
    return statement
  }
}

/** The two columns in which a table keeps an amount that SQL adds up, as one amount in millionths. */
export function amountOf(row: Row): bigint {
  return BigInt((row.whole as string | null) ?? 0) * 1_000_000n + BigInt((row.millionths as number | null) ?? 0)
}
