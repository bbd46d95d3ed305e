import { dirname } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { deserialize, serialize } from 'node:v8'
import * as v from 'valibot'
import { check, strictObject } from '../../check.ts'
import { notice } from '../../notice.ts'
import { LedgerError, mayPass } from '../errors.ts'
import { SECOND } from '../hours.ts'
import type { Ledger, UsageBatch } from '../ledger.ts'
import { asLedgerError } from '../sqlite/file.ts'
import { nodeSqlite } from '../sqlite/node-sqlite.ts'
import { OpenFiles } from '../sqlite/open-files.ts'
import { refusePlace } from '../sqlite/place.ts'
import { checkFilePath, makePrivateFile, warnOfOthers } from '../sqlite/private-file.ts'
import { isMissingBatches, tellMissingBatches } from './lost-batches.ts'
import { newWriterId } from './writer-id.ts'

export interface SpoolOptions {
  /** The spool's file, on a disk of this machine that survives a restart. Each replica has its own. */
  readonly path: string
}

const schema = strictObject({ path: v.string("the path of the spool's file") })

/** How long to leave a ledger alone that could not take a batch. */
const RETRY_AFTER = 5 * SECOND

/**
 * A shared ledger with a file of this machine before it: usage is acknowledged when it is on the disk here, goes on to
 * the ledger at once where it can be reached, and otherwise later, also after a crash by whoever opens the file next.
 * Without it, what a process that dies had not brought into the ledger is lost: at most one export interval, and all
 * that it gathered while the ledger could not be reached.
 *
 * @throws ConfigurationError when an option is wrong
 * @throws LedgerError when the file cannot be used
 */
export function spooled(ledger: Ledger, options: SpoolOptions): Ledger {
  check(schema, options)
  const spool = new Spool(ledger, options)
  const own: Partial<Ledger> = {
    folder: dirname(options.path),
    // Usage is taken while the ledger cannot be reached.
    ping: () => spool.ping(),
    register: (dimensions, counters) => spool.register(dimensions, counters),
    append: batch => spool.append(batch),
    // What waits here belongs to the hours that are closed.
    closeHours: async given => {
      await spool.forward()
      return ledger.closeHours(given)
    },
    finalize: async (customer, given) => {
      await spool.forward()
      return ledger.finalize(customer, given)
    },
    close: () => spool.close(),
  }
  return new Proxy(ledger, {
    get: (target, name: keyof Ledger) => {
      const member: unknown = own[name] ?? target[name]
      return typeof member === 'function' ? member.bind(target) : member
    },
  })
}

class Spool {
  readonly #ledger: Ledger
  readonly #path: string
  readonly #database: DatabaseSync
  readonly #files: OpenFiles
  /** Those that the ledger does not know yet. */
  #unregistered: Parameters<Ledger['register']> | undefined
  #forwarding: Promise<void> = Promise.resolve()
  #timer: NodeJS.Timeout | undefined
  #closed = false
  #failing = false

  constructor(ledger: Ledger, { path }: SpoolOptions) {
    this.#ledger = ledger
    this.#path = path
    checkFilePath(path)
    this.#database = this.#try('open', () => {
      refusePlace(path, 'spool')
      const { DatabaseSync } = nodeSqlite()
      makePrivateFile(path, `cannot open the spool ${path}`)
      warnOfOthers(path)
      const database = new DatabaseSync(path, { timeout: SECOND })
      database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
        CREATE TABLE IF NOT EXISTS batch (
          id INTEGER PRIMARY KEY AUTOINCREMENT, -- never used again: another process may be deleting what it forwarded
          writer TEXT NOT NULL, sequence INTEGER NOT NULL, content BLOB NOT NULL,
          UNIQUE (writer, sequence)
        ) STRICT`)
      return database
    })
    this.#files = new OpenFiles(path, false)
    void this.#soon()
  }

  async register(...given: Parameters<Ledger['register']>): Promise<void> {
    try {
      await this.#ledger.register(...given)
    } catch (error) {
      if (!mayPass(error)) throw error
      this.#unregistered = given
    }
  }

  async append(batch: UsageBatch): Promise<void> {
    if (this.#closed) throw new LedgerError('ERR_LEDGER_CLOSED', `the spool ${this.#path} is closed`)
    this.#try('write to', () => {
      this.#files.check()
      // The same batch again is there already; the ledger tells whether it is the same.
      this.#database
        .prepare('INSERT OR IGNORE INTO batch (writer, sequence, content) VALUES (?, ?, ?)')
        .run(batch.writer, batch.sequence, serialize(batch))
    })
    void this.#soon()
  }

  async ping(): Promise<void> {
    this.#try('read', () => {
      this.#files.check()
      this.#database.prepare('SELECT id FROM batch LIMIT 1').get()
    })
  }

  /** Brings all that waits into the ledger, as it came. Rejects with the ledger's error. */
  forward(): Promise<void> {
    const forward = this.#forwarding.then(() => this.#forward())
    this.#forwarding = forward.catch(() => {})
    return forward
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer)
    await this.forward().catch(error => this.#say(error))
    this.#closed = true
    this.#database.close()
    await this.#ledger.close()
  }

  /** Forwards, and where that fails, later again. */
  async #soon(): Promise<void> {
    clearTimeout(this.#timer)
    try {
      await this.forward()
    } catch (error) {
      this.#say(error)
      if (this.#closed) return
      this.#timer = setTimeout(() => this.#soon(), RETRY_AFTER)
      this.#timer.unref()
    }
  }

  async #forward(): Promise<void> {
    if (this.#unregistered !== undefined) {
      await this.#ledger.register(...this.#unregistered)
      this.#unregistered = undefined
    }
    for (;;) {
      const row = this.#try('read', () =>
        this.#database.prepare('SELECT id, content FROM batch ORDER BY id LIMIT 1').get(),
      )
      if (row === undefined) {
        this.#failing = false
        return
      }
      const id = row.id as number
      const batch = deserialize(row.content as Uint8Array) as UsageBatch
      try {
        await this.#ledger.append(batch)
        this.#try('write to', () => this.#database.prepare('DELETE FROM batch WHERE id = ?').run(id))
      } catch (error) {
        if (!isMissingBatches(error)) throw error
        // It has refused the batch whole; it goes under a key of its own, which is on the disk before it is used.
        await tellMissingBatches(this.#ledger, batch, error)
        const content = serialize({ ...batch, writer: newWriterId(), sequence: 1 })
        this.#try('write to', () =>
          this.#database.prepare('UPDATE batch SET content = ? WHERE id = ?').run(content, id),
        )
      }
    }
  }

  #try<Result>(doing: string, work: () => Result): Result {
    try {
      return work()
    } catch (error) {
      throw asLedgerError(error, `cannot ${doing} the spool ${this.#path}`)
    }
  }

  /** Once for each time that the ledger fails. */
  #say(error: unknown): void {
    if (this.#failing) return
    this.#failing = true
    notice('warn', `Usage waits in the spool ${this.#path} until the ledger takes it: ${(error as Error).message}`)
  }
}
