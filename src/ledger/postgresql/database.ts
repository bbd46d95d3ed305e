import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { LedgerError } from '../errors.ts'
import { asLedgerError, connectFaultOf, type Fault, faultOf, POOL_EXHAUSTED } from './faults.ts'
import type { PostgresqlClient, PostgresqlPool, PostgresqlQuery } from './pool.ts'

export type Row = Record<string, unknown>

/** What a statement can be given. An array becomes one of PostgreSQL's, for `unnest`. */
export type Value = string | number | bigint | boolean | Buffer | null | readonly Value[]

export interface DatabaseOptions {
  readonly schema: string
  /** How long one statement may take, in milliseconds. */
  readonly statementTimeout: number
  /** For how long what fails in passing is tried again, in milliseconds. */
  readonly retryTimeout: number
  /** Milliseconds since the epoch, instead of the server's clock. */
  readonly now?: (() => number) | undefined
}

/** How long the server waits for the next statement, in milliseconds: a process that is gone holds nobody up. */
const LONGEST_IDLE = 10_000
/** How much later than the server this process gives up on a statement. */
const ANSWER_SLACK = 5000
/** How long to wait before the second retry at most, since the first is made at once; twice as long each time. */
const FIRST_DELAY = 50
const LONGEST_DELAY = 2000

/** A PostgreSQL database, with transactions that end in a {@link LedgerError} or not at all. */
export class Database {
  readonly #pool: PostgresqlPool
  readonly #options: DatabaseOptions
  readonly #ownsPool: boolean
  #closed: Promise<void> | undefined

  constructor(pool: PostgresqlPool, ownsPool: boolean, options: DatabaseOptions) {
    this.#pool = pool
    this.#ownsPool = ownsPool
    this.#options = options
  }

  get schema(): string {
    return this.#options.schema
  }

  /**
   * Runs `work` in one transaction, and again where that fails in passing. Since a connection can be lost in the middle
   * of a commit, it may have been done before: `work` must be safe to repeat, or find out.
   */
  write<Result>(doing: string, work: (transaction: Transaction) => Promise<Result>): Promise<Result> {
    // An acknowledged batch survives a crash, whatever this database's default is.
    return this.#repeat(doing, 'BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL synchronous_commit TO on', work)
  }

  /**
   * As `write`, for what is not to be done twice: its result is kept beside what it did, and found there when the answer
   * to the commit was lost. The result is what JSON can say.
   */
  writeOnce<Result>(doing: string, work: (transaction: Transaction) => Promise<Result>): Promise<Result> {
    const id = randomUUID()
    let repeated = false
    return this.write(doing, async transaction => {
      if (repeated && !(await isFirst(transaction, id))) {
        const done = await transaction.get('SELECT result FROM operation WHERE id = $1', id)
        return JSON.parse(done?.result as string) as Result
      }
      repeated = true
      const result = await work(transaction)
      await transaction.run(
        'INSERT INTO operation (id, result) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET result = excluded.result',
        ...[id, JSON.stringify(result ?? null)],
      )
      return result
    })
  }

  /** Runs `work` on one unchanging view. */
  read<Result>(doing: string, work: (transaction: Transaction) => Promise<Result>): Promise<Result> {
    return this.#repeat(doing, 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY', work)
  }

  close(): Promise<void> {
    this.#closed ??= this.#ownsPool ? this.#pool.end() : Promise.resolve()
    return this.#closed
  }

  async #repeat<Result>(
    doing: string,
    begin: string,
    work: (transaction: Transaction) => Promise<Result>,
  ): Promise<Result> {
    const end = performance.now() + this.#options.retryTimeout
    for (let longest = 0; ; longest = Math.min(2 * longest || FIRST_DELAY, LONGEST_DELAY)) {
      if (this.#closed !== undefined)
        throw new LedgerError('ERR_LEDGER_CLOSED', `cannot ${doing}: the ledger is closed`)
      const attempt = await this.#attempt(begin, work, end - performance.now())
      if ('result' in attempt) return attempt.result
      const { error, fault } = attempt
      const delay = longest * Math.random()
      if (!fault?.passing || performance.now() + delay > end) throw asLedgerError(error, fault, doing)
      await sleep(delay)
    }
  }

  /**
   * For the transaction only: behind PgBouncer the next one may be on another connection, and a pool that is shared has
   * the application's settings.
   */
  get #settings(): string {
    const { schema, statementTimeout, retryTimeout } = this.#options
    // Temporary tables last: unless they are named, they come first.
    return `SET LOCAL search_path TO ${quoted(schema)}, pg_temp; SET LOCAL bytea_output TO hex;
      SET LOCAL statement_timeout TO ${statementTimeout}; SET LOCAL lock_timeout TO ${retryTimeout};
      SET LOCAL idle_in_transaction_session_timeout TO ${LONGEST_IDLE}; ${PLANNING}`
  }

  /** A connection, or an error when there was none for so long: a pool without a `connectionTimeoutMillis` waits for ever. */
  async #connect(longest: number): Promise<PostgresqlClient> {
    const connecting = this.#pool.connect()
    const { promise: late, reject } = Promise.withResolvers<never>()
    const timer = setTimeout(() => reject(new Error(POOL_EXHAUSTED)), longest)
    try {
      return await Promise.race([connecting, late])
    } catch (error) {
      // One that comes when nobody waits for it any more.
      connecting.then(
        client => client.release(),
        () => {},
      )
      throw error
    } finally {
      clearTimeout(timer)
    }
  }

  /** @param longest how long to wait for a connection, in milliseconds */
  async #attempt<Result>(
    begin: string,
    work: (transaction: Transaction) => Promise<Result>,
    longest: number,
  ): Promise<{ result: Result } | { error: unknown; fault: Fault | undefined }> {
    let client: PostgresqlClient
    try {
      client = await this.#connect(longest)
    } catch (error) {
      return { error, fault: connectFaultOf(error) }
    }
    let disconnected = false
    const lost = () => {
      disconnected = true
    }
    // Between two statements there is nobody else to hear of it.
    client.on('error', lost)
    const { statementTimeout, now } = this.#options
    const transaction = new Transaction(client, statementTimeout + ANSWER_SLACK, now)
    try {
      await transaction.run(`${begin}; ${this.#settings}`)
      const result = await work(transaction)
      await transaction.run('COMMIT')
      return { result }
    } catch (error) {
      const fault = faultOf(error)
      disconnected ||= fault?.disconnected ?? false
      if (!disconnected) await transaction.run('ROLLBACK').catch(lost)
      return { error, fault }
    } finally {
      client.off('error', lost)
      client.release(disconnected)
    }
  }
}

/**
 * Tables that have just grown, or are empty between two hours, seem empty to the planner: it would read all of them for
 * each row of another, or all that is left of an hour for each chunk of it. What has to read all does it all the same,
 * and is not worth compiling.
 */
const PLANNING = 'SET LOCAL enable_seqscan TO off; SET LOCAL enable_bitmapscan TO off; SET LOCAL jit TO off'

/**
 * Whether what a transaction repeats was not done before. One whose commit is still under way is waited for, as it would
 * be for the same key.
 */
async function isFirst(transaction: Transaction, id: string): Promise<boolean> {
  return (await transaction.run('INSERT INTO operation (id) VALUES ($1) ON CONFLICT DO NOTHING', id)) === 1
}

/** A transaction under way. */
export class Transaction {
  readonly #client: PostgresqlClient
  readonly #timeout: number
  /** Milliseconds since the epoch, where it is not the server's clock that counts. */
  readonly now: (() => number) | undefined

  constructor(client: PostgresqlClient, timeout: number, now: (() => number) | undefined) {
    this.#client = client
    this.#timeout = timeout
    this.now = now
  }

  async all(sql: string, ...values: Value[]): Promise<Row[]> {
    return (await this.#query(sql, values)).rows
  }

  /** The first row, or undefined. */
  async get(sql: string, ...values: Value[]): Promise<Row | undefined> {
    return (await this.all(sql, ...values))[0]
  }

  /** Returns how many rows changed. */
  async run(sql: string, ...values: Value[]): Promise<number> {
    return (await this.#query(sql, values)).rowCount
  }

  async #query(text: string, values: Value[]): Promise<{ rows: Row[]; rowCount: number }> {
    const query: PostgresqlQuery = {
      ...{ text, types: TYPES, query_timeout: this.#timeout },
      // Without values several statements may come at once.
      ...(values.length > 0 && { values: values.map(parameterOf) }),
    }
    return (await this.#client.query(query)) as { rows: Row[]; rowCount: number }
  }
}

/** PostgreSQL's types as the ledger has them: hours, ids and counts are numbers, amounts are bigint. */
const PARSERS: Record<number, (text: string) => unknown> = {
  16: text => text === 't',
  17: text => Buffer.from(text.slice(2), 'hex'),
  20: Number,
  21: Number,
  23: Number,
  701: Number,
  1016: text => (text === '{}' ? [] : text.slice(1, -1).split(',').map(Number)),
  1700: BigInt,
}
const asText = (text: string) => text
const TYPES = { getTypeParser: (type: number) => PARSERS[type] ?? asText }

/** A value as `pg` is given it, which would quote every element of an array: for a hundred thousand that takes a while. */
function parameterOf(value: Value): unknown {
  if (typeof value === 'string') return text(value)
  return Array.isArray(value) ? `{${value.map(elementOf).join()}}` : value
}

function elementOf(value: Value): string {
  if (value === null) return 'NULL'
  if (typeof value === 'string') return `"${SPECIAL.test(value) ? text(value).replace(/["\\]/g, '\\$&') : value}"`
  return Buffer.isBuffer(value) ? `"\\\\x${value.toString('hex')}"` : String(value)
}

/** Few have any of them, and to look is quicker than to replace. */
const SPECIAL = /["\\\0]/

/** The one character that PostgreSQL's text cannot have, as in an answer from somewhere, is no reason to stop. */
const text = (value: string) => value.replaceAll('\0', '\ufffd')

export const quoted = (name: string) => `"${name.replaceAll('"', '""')}"`
