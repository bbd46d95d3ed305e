import type { DatabaseSync, SQLInputValue } from 'node:sqlite'
import { deserialize, serialize } from 'node:v8'
import { LedgerError } from '../errors.ts'
import { SECOND } from '../hours.ts'
import type { UsageBatch } from '../ledger.ts'
import { asLedgerError } from '../sqlite/file.ts'
import { nodeSqlite } from '../sqlite/node-sqlite.ts'
import { OpenFiles } from '../sqlite/open-files.ts'
import { refusePlace } from '../sqlite/place.ts'
import { makePrivateFile, warnOfOthers } from '../sqlite/private-file.ts'
import type { LostBatches } from './lost-batches.ts'
import { newWriterId } from './writer-id.ts'

/** How many of the batches that the ledger has are kept at most, and how many bytes of them: what it loses is still here. */
const MOST_KEPT = 256
const MOST_BYTES = 32 * 1024 * 1024

/** @throws LedgerError where a file is something else than a spool: a ledger with a spool's tables in it is refused for ever. */
function refuseOthers(database: DatabaseSync, path: string): void {
  const isEmpty = database.prepare('SELECT 1 FROM sqlite_schema').get() === undefined
  const columns = database.prepare("SELECT name FROM pragma_table_info('batch')").all()
  if (isEmpty || ['id', 'writer', 'sequence', 'content'].every(column => columns.some(({ name }) => name === column)))
    return
  throw new LedgerError(
    'ERR_LEDGER_FOREIGN',
    `${path} is no spool, but a ledger or another application's database. It was left as it is: name a spool, or a file ` +
      'that is not there yet.',
  )
}

export interface SpooledBatch {
  readonly id: number
  readonly batch: UsageBatch
}

/** One that the ledger never takes as it is. */
export interface RefusedBatch extends SpooledBatch {
  readonly refusal: string
}

/**
 * A spool's file: batches in the order in which they came. Several processes may have it open: whoever changes a batch's key
 * does so where it is still as it was, in one transaction.
 */
export class SpoolFile {
  readonly path: string
  readonly #database: DatabaseSync
  readonly #files: OpenFiles

  /** @throws LedgerError when it cannot be used */
  constructor(path: string) {
    this.path = path
    this.#database = this.#try('open', () => {
      refusePlace(path, 'spool')
      const { DatabaseSync } = nodeSqlite()
      makePrivateFile(path, `cannot open the spool ${path}`)
      warnOfOthers(path)
      const database = new DatabaseSync(path, { timeout: SECOND })
      refuseOthers(database, path)
      database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
        CREATE TABLE IF NOT EXISTS batch (
          id INTEGER PRIMARY KEY AUTOINCREMENT, -- never used again: another process may be forwarding it
          writer TEXT NOT NULL, sequence INTEGER NOT NULL, -- as it came; the key that it has now is in the content
          content BLOB NOT NULL, UNIQUE (writer, sequence)
        ) STRICT;
        CREATE TABLE IF NOT EXISTS outcome (
          id INTEGER PRIMARY KEY, -- the batch's
          refusal TEXT -- why the ledger never takes it; NULL of one that the ledger has
        ) STRICT;
        CREATE TABLE IF NOT EXISTS renamed ( -- writers whose batches from a sequence on have another's keys, from 1 on
          writer TEXT PRIMARY KEY, before INTEGER NOT NULL, name TEXT NOT NULL
        ) STRICT;
        CREATE TABLE IF NOT EXISTS lost ( -- what the ledger has lost, until what is here of it is there again and told
          writer TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, kept INTEGER NOT NULL,
          PRIMARY KEY (writer, first)
        ) STRICT`)
      return database
    })
    this.#files = new OpenFiles(path, false)
  }

  /** @throws LedgerError unless it can be read, and is found under its name */
  check(): void {
    this.#try('read', () => {
      this.#files.check()
      this.#database.prepare('SELECT id FROM batch LIMIT 1').get()
    })
  }

  /** Makes a batch durable. The same again is there already; the ledger tells whether it is the same. */
  add(batch: UsageBatch): void {
    this.#write(() => {
      this.#files.check()
      this.#run(
        'INSERT OR IGNORE INTO batch (writer, sequence, content) VALUES (?, ?, ?)',
        ...[batch.writer, batch.sequence, serialize(this.keyed(batch))],
      )
    })
  }

  /** A batch under the key that it has here. */
  keyed(batch: UsageBatch): UsageBatch {
    const renaming = this.#renaming(batch.writer)
    if (renaming === undefined || batch.sequence <= renaming.before) return batch
    return this.keyed({ ...batch, writer: renaming.name, sequence: batch.sequence - renaming.before })
  }

  /** The first batch behind another that the ledger neither has nor refuses. */
  next(after: number): SpooledBatch | undefined {
    return this.#one(
      `SELECT id, content FROM batch
       WHERE id > ? AND NOT EXISTS (SELECT 1 FROM outcome WHERE outcome.id = batch.id) ORDER BY id LIMIT 1`,
      after,
    )
  }

  /** The last batch that the ledger was known to have. */
  lastForwarded(): UsageBatch | undefined {
    return this.#one('SELECT id, content FROM batch WHERE id = (SELECT max(id) FROM outcome WHERE refusal IS NULL)')
      ?.batch
  }

  /** Those of each writer. */
  lastsForwarded(): UsageBatch[] {
    return this.#try('read', () => {
      const sql = 'SELECT id, content FROM batch JOIN outcome USING (id) WHERE refusal IS NULL ORDER BY id'
      const batches = this.#database
        .prepare(sql)
        .all()
        .map(row => spooled(row).batch)
      return [...new Map(batches.map(batch => [batch.writer, batch])).values()]
    })
  }

  /** Those that the ledger refuses for good. */
  refused(): RefusedBatch[] {
    return this.#try('read', () => {
      const sql = 'SELECT id, content, refusal FROM batch JOIN outcome USING (id) WHERE refusal IS NOT NULL ORDER BY id'
      return this.#database
        .prepare(sql)
        .all()
        .map(row => ({ ...spooled(row), refusal: row.refusal as string }))
    })
  }

  /** How many wait for the ledger. */
  waiting(): number {
    const sql = 'SELECT count(*) AS count FROM batch WHERE id NOT IN (SELECT id FROM outcome)'
    return this.#try('read', () => this.#database.prepare(sql).get()?.count as number)
  }

  /** The ledger has these. */
  markForwarded(ids: Iterable<number>): void {
    this.#write(() => {
      for (const id of ids) this.#run('INSERT OR IGNORE INTO outcome (id) SELECT id FROM batch WHERE id = ?', id)
    })
  }

  /** The ledger never takes this one. Those behind it of its writer get other keys, since its own stays free. */
  setAside({ id, batch: { writer, sequence } }: SpooledBatch, refusal: string, keyIsFree: boolean): void {
    this.#write(() => {
      this.#run('INSERT OR IGNORE INTO outcome (id, refusal) VALUES (?, ?)', id, refusal)
      if (keyIsFree) this.#rename(writer, sequence + 1)
    })
  }

  /** Has those wait once more that the ledger has refused. Returns how many. */
  retry(): number {
    return this.#write(() => {
      const refused = this.refused()
      for (const { id, batch } of refused) {
        this.#renameAlone({ id, batch })
        this.#run('DELETE FROM outcome WHERE id = ?', id)
      }
      return refused.length
    })
  }

  /** What the ledger has lost, and nobody was told yet that it is there again. */
  lost(): LostBatches[] {
    return this.#try('read', () => {
      const rows = this.#database.prepare('SELECT writer, first, last, kept FROM lost ORDER BY rowid').all()
      return rows.map(({ writer, first, last, kept }) => ({ writer, from: first, to: last, kept }) as LostBatches)
    })
  }

  /** That was told. */
  markHealed({ writer, from }: LostBatches): void {
    this.#write(() => this.#run('DELETE FROM lost WHERE writer = ? AND first = ?', writer, from))
  }

  /** How many of a writer's batches are here, back from one without a gap and not before another. */
  kept(writer: string, from: number, to: number): number {
    return this.#try('read', () => to - this.#firstKept(writer, from, to) + 1)
  }

  /** The ledger has lost these: those that are here wait again. Where some are not, they and all behind them get other keys. */
  waitAgain({ writer, from, to, kept }: LostBatches): void {
    this.#write(() => {
      const values = [writer, from, to, kept]
      this.#run('INSERT OR REPLACE INTO lost (writer, first, last, kept) VALUES (?, ?, ?, ?)', ...values)
      const first = this.#firstKept(writer, from, to)
      for (const { id, batch } of this.#of(writer, first)) {
        if (batch.sequence <= to) this.#run('DELETE FROM outcome WHERE id = ?', id)
      }
      if (first !== from) this.#renameFrom(writer, first)
    })
  }

  /** A writer's batches from this one on get other keys: the ledger does not know the writer any more. */
  beginAnew({ writer, sequence }: UsageBatch): void {
    this.#write(() => this.#renameFrom(writer, sequence))
  }

  /** Deletes what the ledger has had for long. */
  forget(): void {
    const old = `SELECT id FROM (
      SELECT batch.id, row_number() OVER newest AS number, sum(length(content)) OVER newest AS bytes
      FROM batch JOIN outcome ON outcome.id = batch.id WHERE refusal IS NULL WINDOW newest AS (ORDER BY batch.id DESC)
    ) WHERE number > ${MOST_KEPT} OR (number > 1 AND bytes > ${MOST_BYTES})`
    this.#write(() => {
      this.#run(`DELETE FROM batch WHERE id IN (${old})`)
      this.#run('DELETE FROM outcome WHERE id NOT IN (SELECT id FROM batch)')
    })
  }

  close(): void {
    this.#database.close()
  }

  /** Where those begin that are here without a gap up to `to`. */
  #firstKept(writer: string, from: number, to: number): number {
    const refused = new Set(this.refused().map(({ id }) => id))
    const here = this.#of(writer, from).filter(({ id }) => !refused.has(id))
    const sequences = new Set(here.map(({ batch }) => batch.sequence))
    let first = to + 1
    while (first > from && sequences.has(first - 1)) first -= 1
    return first
  }

  /** The batches that have a writer's keys, from a sequence on. */
  #of(writer: string, from: number): SpooledBatch[] {
    const found: SpooledBatch[] = []
    for (const row of this.#database.prepare('SELECT id, content FROM batch ORDER BY id').iterate()) {
      const one = spooled(row)
      if (one.batch.writer === writer && one.batch.sequence >= from) found.push(one)
    }
    return found
  }

  /** Gives a writer's batches from a sequence on, and those that are to come, the keys of a new one. */
  #rename(writer: string, from: number): void {
    this.#run('INSERT INTO renamed (writer, before, name) VALUES (?, ?, ?)', writer, from - 1, newWriterId())
    for (const { id, batch } of this.#of(writer, from)) this.#setContent(id, this.keyed(batch))
  }

  #renameFrom(writer: string, from: number): void {
    if (this.#renaming(writer) === undefined) this.#rename(writer, from)
    else for (const one of this.#of(writer, from)) this.#renameAlone(one)
  }

  #renameAlone({ id, batch }: SpooledBatch): void {
    this.#setContent(id, { ...batch, writer: newWriterId(), sequence: 1 })
  }

  #renaming(writer: string): { readonly before: number; readonly name: string } | undefined {
    const row = this.#database.prepare('SELECT before, name FROM renamed WHERE writer = ?').get(writer)
    return row as { before: number; name: string } | undefined
  }

  #setContent(id: number, batch: UsageBatch): void {
    this.#run('UPDATE batch SET content = ? WHERE id = ?', serialize(batch), id)
  }

  #one(sql: string, ...values: SQLInputValue[]): SpooledBatch | undefined {
    const row = this.#try('read', () => this.#database.prepare(sql).get(...values))
    return row && spooled(row)
  }

  #run(sql: string, ...values: SQLInputValue[]): void {
    this.#database.prepare(sql).run(...values)
  }

  #write<Result>(work: () => Result): Result {
    return this.#try('write to', () => {
      this.#database.exec('BEGIN IMMEDIATE')
      try {
        const result = work()
        this.#database.exec('COMMIT')
        return result
      } catch (error) {
        if (this.#database.isTransaction) this.#database.exec('ROLLBACK')
        throw error
      }
    })
  }

  #try<Result>(doing: string, work: () => Result): Result {
    try {
      return work()
    } catch (error) {
      throw asLedgerError(error, `cannot ${doing} the spool ${this.path}`, this.path)
    }
  }
}

const spooled = (row: Record<string, unknown>): SpooledBatch => ({
  id: row.id as number,
  batch: deserialize(row.content as Uint8Array) as UsageBatch,
})
