import type { DatabaseSync, SQLInputValue, SQLOutputValue, StatementSync } from 'node:sqlite'
import { LedgerError } from '../errors.ts'
import { asLedgerError, refuseAnyDamage } from './file.ts'
import type { OpenFiles } from './open-files.ts'

export type Row = Record<string, SQLOutputValue>

/** A list that is bound as JSON. */
export const LISTED = '(SELECT value FROM json_each(?))'

/** The hours in a table, from the first up to but not with the end: one look for each, however many rows it has. */
export const hoursIn = (table: string): string => `WITH RECURSIVE hours (hour) AS (
    SELECT min(hour) FROM ${table} WHERE hour >= ?1
    UNION ALL SELECT (SELECT min(hour) FROM ${table} WHERE hour > hours.hour) FROM hours WHERE hour < ?2
  ) SELECT hour FROM hours WHERE hour < ?2`

/** How many rows one statement inserts: about where SQLite's cost for each row stops falling. */
const ROWS_PER_INSERT = 100

/** Work that waits for the transaction that it shares with others. */
interface Waiting {
  readonly doing: string
  readonly work: () => unknown
  readonly resolve: (result: unknown) => void
  readonly reject: (error: unknown) => void
}

interface Prepared {
  readonly statement: StatementSync
  /** Their names. */
  columns: string[]
  /** A row without its values. */
  shape: Row
}

/** A SQLite database with its prepared statements, and transactions that end in a {@link LedgerError} or not at all. */
export class Database {
  readonly #database: DatabaseSync
  readonly #files: OpenFiles | undefined
  /** Milliseconds since the epoch. */
  readonly now: () => number
  readonly #statements = new Map<string, Prepared>()
  #waiting: Waiting[] = []
  #inTransaction = false

  /** @param files those that the database is in, unless it is in memory */
  constructor(database: DatabaseSync, now: () => number = Date.now, files?: OpenFiles) {
    this.#database = database
    this.now = now
    this.#files = files
  }

  /** Runs `work` in one transaction that has the write lock from its start. */
  write<Result>(doing: string, work: () => Result): Result {
    return this.#transaction('BEGIN IMMEDIATE', doing, work)
  }

  /**
   * The same, but in one transaction with all that is given here until the event loop has turned twice, in that order:
   * waiting for the disk takes longer than most work. Work that fails is undone by itself and rejects; where the whole
   * fails, at the latest when it is committed, all of it rejects.
   */
  writeTogether<Result>(doing: string, work: () => Result): Promise<Result> {
    if (this.#waiting.length === 0) {
      // After one turn answers that came with this one's are still being read.
      setImmediate(() => setImmediate(() => this.#writeWaiting()))
    }
    return new Promise<Result>((resolve, reject) => {
      this.#waiting.push({ doing, work, resolve: resolve as Waiting['resolve'], reject })
    })
  }

  /** Runs `work` on one unchanging view. */
  read<Result>(doing: string, work: () => Result): Result {
    return this.#transaction('BEGIN', doing, work)
  }

  #writeWaiting(): void {
    const waiting = this.#waiting
    this.#waiting = []
    const doing = [...new Set(waiting.map(one => one.doing))].join(' and ')
    let answers: readonly (() => void)[]
    let working = false
    try {
      try {
        answers = this.write(doing, () =>
          waiting.map(({ work, resolve }) => {
            working = true
            const result = work()
            working = false
            return () => resolve(result)
          }),
        )
      } catch (error) {
        if (!working) throw error
        // All of it is undone, and done again without what fails. Mostly nothing does, and savepoints take time.
        answers = this.write(doing, () => waiting.map(one => this.#inSavepoint(one)))
      }
    } catch (error) {
      for (const { reject } of waiting) reject(error)
      return
    }
    // Not before: the commit may fail.
    for (const answer of answers) answer()
  }

  /** Returns what answers the caller. */
  #inSavepoint({ doing, work, resolve, reject }: Waiting): () => void {
    this.#database.exec('SAVEPOINT work')
    try {
      const result = work()
      this.#database.exec('RELEASE work')
      return () => resolve(result)
    } catch (error) {
      // Some errors, such as a full disk, make SQLite undo the whole transaction.
      if (!this.#database.isTransaction) throw error
      this.#database.exec('ROLLBACK TO work; RELEASE work')
      return () => reject(asLedgerError(error, `cannot ${doing}`, this.#files?.path))
    }
  }

  #transaction<Result>(begin: string, doing: string, work: () => Result): Result {
    // SQLite's own word for it would not do: by some errors it has ended the transaction already.
    this.#inTransaction = true
    try {
      this.#database.exec(begin)
      const result = work()
      this.#files?.check()
      this.#database.exec('COMMIT')
      return result
    } catch (error) {
      try {
        if (this.#database.isOpen && this.#database.isTransaction) this.#database.exec('ROLLBACK')
      } catch {
        // What went wrong first is what the caller has to know.
      }
      throw asLedgerError(error, `cannot ${doing}`, this.#files?.path)
    } finally {
      this.#inTransaction = false
    }
  }

  /** The first row, or undefined. */
  get(sql: string, ...values: SQLInputValue[]): Row | undefined {
    return this.#alone(() => {
      const prepared = this.#prepare(sql)
      const row = prepared.statement.get(...values) as unknown as SQLOutputValue[] | undefined
      return row && named(row, prepared)
    })
  }

  all(sql: string, ...values: SQLInputValue[]): Row[] {
    return this.#alone(() => {
      const prepared = this.#prepare(sql)
      const rows = prepared.statement.all(...values) as unknown as SQLOutputValue[][]
      return rows.map(row => named(row, prepared))
    })
  }

  /** Returns how many rows changed. */
  run(sql: string, ...values: SQLInputValue[]): number {
    return this.#alone(() => Number(this.#prepare(sql).statement.run(...values).changes))
  }

  /** Returns the new row's id. */
  insert(sql: string, ...values: SQLInputValue[]): number {
    return this.#alone(() => Number(this.#prepare(sql).statement.run(...values).lastInsertRowid))
  }

  /**
   * Inserts rows, many with each statement.
   *
   * @param into the statement up to its values
   * @param rows of as many values each
   * @param end what follows the values
   */
  insertRows(into: string, rows: readonly (readonly SQLInputValue[])[], end = ''): void {
    const columns = rows[0]?.length ?? 0
    const full = rows.length < ROWS_PER_INSERT ? '' : insertOf(into, ROWS_PER_INSERT, columns, end)
    for (let first = 0; first < rows.length; first += ROWS_PER_INSERT) {
      const some = rows.slice(first, first + ROWS_PER_INSERT)
      this.run(some.length === ROWS_PER_INSERT ? full : insertOf(into, some.length, columns, end), ...some.flat())
    }
  }

  /** @throws LedgerError where anything in the file is damaged */
  checkWhole(path: string): void {
    this.read('look through the ledger', () => refuseAnyDamage(this.#database, path))
  }

  /** Brings all of the write-ahead log into the file. */
  checkpoint(): void {
    const { busy } = this.get('PRAGMA wal_checkpoint(TRUNCATE)') as { busy: number }
    if (busy !== 0) throw new LedgerError('ERR_LEDGER_BUSY', 'another process is reading the ledger')
  }

  close(): void {
    this.#statements.clear()
    if (this.#database.isOpen) this.#database.close()
  }

  /** Errors in a transaction are told by who began it, which knows what it was for; those of a statement alone here. */
  #alone<Result>(work: () => Result): Result {
    try {
      return work()
    } catch (error) {
      throw this.#inTransaction ? error : asLedgerError(error, 'cannot use the ledger', this.#files?.path)
    }
  }

  #prepare(sql: string): Prepared {
    let prepared = this.#statements.get(sql)
    if (prepared === undefined) {
      if (!this.#database.isOpen) throw new LedgerError('ERR_LEDGER_CLOSED', 'the ledger is closed')
      const statement = this.#database.prepare(sql)
      // The objects that node:sqlite makes of rows take three times as long to be made and read.
      statement.setReturnArrays(true)
      prepared = { statement, ...columnsOf(statement) }
      this.#statements.set(sql, prepared)
    }
    return prepared
  }
}

function insertOf(into: string, rows: number, columns: number, end: string): string {
  const row = `(${Array(columns).fill('?').join(', ')})`
  return `${into} VALUES ${Array(rows).fill(row).join(', ')} ${end}`
}

function columnsOf(statement: StatementSync): Pick<Prepared, 'columns' | 'shape'> {
  const columns = statement.columns().map(({ name }) => name)
  // Made of a text: an object to which more than sixteen keys are given one by one becomes a slow one.
  const shape = JSON.parse(JSON.stringify(Object.fromEntries(columns.map(name => [name, null])))) as Row
  return { columns, shape }
}

function named(values: readonly SQLOutputValue[], prepared: Prepared): Row {
  // Another process may have brought the schema to a later version, and with it what a * means.
  if (values.length !== prepared.columns.length) Object.assign(prepared, columnsOf(prepared.statement))
  const { columns } = prepared
  const row = { ...prepared.shape }
  // Of each row and column: an iterator takes half as long again.
  for (let index = 0; index < columns.length; index += 1)
    row[columns[index] as string] = values[index] as SQLOutputValue
  return row
}

/** The two columns in which a table keeps an amount that SQL adds up, as one amount in millionths. */
export function amountOf(row: Row): bigint {
  return BigInt((row.whole as string | null) ?? 0) * 1_000_000n + BigInt((row.millionths as number | null) ?? 0)
}
