import { existsSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import * as v from 'valibot'
import { check, strictObject } from '../../check.ts'
import type { CustomerAccount } from '../../usage/account.ts'
import type { Dimension } from '../../usage/dimension.ts'
import { DamagedBackupError, LedgerError } from '../errors.ts'
import type {
  Agreement,
  AgreementNews,
  AgreementOptions,
  AgreementResult,
  AgreementsQuery,
  AuditEntry,
  AuditNote,
  AuditQuery,
  AuditVerdict,
  ClaimOptions,
  CloseOptions,
  CloseResult,
  CounterSources,
  CustomerEntitlement,
  Decision,
  DecisionResult,
  DueLanes,
  EntitlementNews,
  EntitlementsQuery,
  ExpireResult,
  FinalizeOptions,
  Included,
  IncludedDimension,
  Lane,
  LaneAnswer,
  Ledger,
  LedgerStatus,
  MeteringRecord,
  Note,
  Period,
  RecordDecision,
  RecordEntry,
  RecordsQuery,
  SettledRecord,
  Settlement,
  SharedClock,
  StatementLine,
  StatementQuery,
  UsageBatch,
} from '../ledger.ts'
import { termsUnlessLost } from '../loss.ts'
import { onlyResult } from '../rules/decisions.ts'
import { agreements, noteAgreement } from './agreements.ts'
import { auditEntries, noteSender, verifyAudit, writeAudit } from './audit.ts'
import { Batches } from './batches.ts'
import { closeHours } from './closing.ts'
import { takeTurns } from './counters.ts'
import { Database } from './database.ts'
import { attribute, decideAll, undo, writeOff } from './decisions.ts'
import { entitlements, includedDimensions, noteEntitlements, registerIncluded } from './entitlements.ts'
import { copyLedgerFile, openLedgerFile } from './file.ts'
import { forget } from './forgetting.ts'
import { doubtEverything, prune, replaceFile } from './maintenance.ts'
import { OpenFiles } from './open-files.ts'
import { realFile } from './place.ts'
import { checkFilePath } from './private-file.ts'
import { claim, dueLanes, expire, settle } from './records.ts'
import { closedThrough, dimensions, laneAnswers, records, statementLines, statusOf } from './reports.ts'

export interface SqliteLedgerOptions {
  /** The ledger's file; made where there is none. Its folder is on a disk of this machine that survives a restart. */
  path: string
  /** How long to wait for another process's lock, in milliseconds. It blocks the event loop. 250 by default. */
  busyTimeout?: number
  /** Only look, for statements beside a running exporter. */
  readOnly?: boolean
  /** Milliseconds since the epoch, for entries of the audit trail instead of this machine's clock. */
  now?: () => number
}

export interface RestoreOptions extends AuditNote {
  /** The backup. */
  from: string
  /** Where the ledger is to be; there must be no file yet. */
  to: string
}

const schema = strictObject({
  path: v.string("the path of the ledger's file"),
  busyTimeout: v.optional(
    v.pipe(
      v.number('milliseconds from 0'),
      v.check(time => time >= 0 && time < 2 ** 31, 'milliseconds from 0'),
    ),
    250,
  ),
  readOnly: v.optional(v.boolean(), false),
  now: v.optional(
    v.custom<() => number>(value => typeof value === 'function', 'a function'),
    () => Date.now,
  ),
})

/** The embedded ledger: one file on `node:sqlite`, which several processes of one machine may share. */
export class SqliteLedger implements Ledger {
  readonly path: string
  readonly folder: string | undefined
  readonly clock: SharedClock
  readonly #database: Database
  readonly #batches: Batches

  /**
   * @throws LedgerError when the file is not a ledger, damaged, newer, read-only or on a network file system
   * @throws ConfigurationError when an option is wrong, or this Node's SQLite is missing or too old
   */
  constructor(options: SqliteLedgerOptions) {
    const { path, busyTimeout, readOnly, now } = check(schema, options)
    const opened = openLedgerFile(path, { busyTimeout, readOnly })
    const files = path === ':memory:' ? undefined : new OpenFiles(path, readOnly)
    const database = new Database(opened, now, files)
    this.path = path
    this.folder = path === ':memory:' ? undefined : dirname(realFile(path))
    this.clock = {
      now: async here => here,
      takeTurns: async (...turns) => database.write('take turns of the quota', () => takeTurns(database, ...turns)),
    }
    this.#database = database
    this.#batches = new Batches(database)
  }

  async register(dimensions: readonly Dimension[], counters?: CounterSources): Promise<void> {
    this.#batches.register(dimensions, counters)
  }

  async append(batch: UsageBatch): Promise<void> {
    this.#batches.append(batch)
  }

  async lastOf(writer: string): Promise<number> {
    return this.#database.read('look for the last batch', () => this.#batches.lastOf(writer))
  }

  async closeHours(options: CloseOptions): Promise<CloseResult> {
    if (this.#batches.anyWaits(options.now)) await this.#batches.decideWaiting(options.now)
    return await closeHours(this.#database, options)
  }

  async finalize(customer: CustomerAccount, options: FinalizeOptions): Promise<CloseResult> {
    const { records, held } = await this.noteAgreement(customer, { what: 'ended', at: options.endedAt }, options)
    return { records, held }
  }

  async noteAgreement(
    customer: CustomerAccount,
    news: AgreementNews,
    options: AgreementOptions,
  ): Promise<AgreementResult> {
    if (news.what === 'ended') this.#batches.decideWaitingOf(customer.key, options.now)
    const terms = await termsUnlessLost(this, news, options)
    return noteAgreement(this.#database, customer, news, terms)
  }

  async agreements(query: AgreementsQuery = {}): Promise<Agreement[]> {
    return this.#database.read('read the agreements', () => agreements(this.#database, query))
  }

  async registerIncluded(product: string, included: Readonly<Record<string, Included>>, by: AuditNote): Promise<void> {
    registerIncluded(this.#database, product, included, by)
  }

  async included(): Promise<IncludedDimension[]> {
    return this.#database.read('read what contracts include', () => includedDimensions(this.#database))
  }

  async noteEntitlements(product: string, news: EntitlementNews, by: AuditNote): Promise<number> {
    return noteEntitlements(this.#database, product, news, by)
  }

  async entitlements(query: EntitlementsQuery = {}): Promise<CustomerEntitlement[]> {
    return this.#database.read('read the entitlements', () => entitlements(this.#database, query))
  }

  async due(now: number): Promise<DueLanes> {
    return this.#database.read('look for what is due', () => dueLanes(this.#database, now))
  }

  async claim(lane: Lane, options: ClaimOptions): Promise<MeteringRecord[]> {
    return claim(this.#database, lane, options)
  }

  async settle(settlements: readonly Settlement[], now: number): Promise<SettledRecord[]> {
    return settle(this.#database, settlements, now)
  }

  async expire(now: number): Promise<ExpireResult> {
    return await expire(this.#database, now)
  }

  async ping(): Promise<void> {
    this.#database.read('read the ledger', () => closedThrough(this.#database))
  }

  async status(): Promise<LedgerStatus> {
    return this.#database.read('read the status', () => statusOf(this.#database))
  }

  async answers(): Promise<LaneAnswer[]> {
    return this.#database.read('read the last answers', () => laneAnswers(this.#database))
  }

  async dimensions(): Promise<Dimension[]> {
    return this.knownDimensions()
  }

  /** The same at once. */
  knownDimensions(): Dimension[] {
    return this.#database.read('read the dimensions', () => dimensions(this.#database))
  }

  async statement(query: StatementQuery = {}): Promise<StatementLine[]> {
    return this.#database.read('read the statement', () => statementLines(this.#database, query))
  }

  async records(query: RecordsQuery = {}): Promise<RecordEntry[]> {
    return this.#database.read('read the records', () => records(this.#database, query))
  }

  async audit(query: AuditQuery = {}): Promise<AuditEntry[]> {
    return this.#database.read('read the audit trail', () => auditEntries(this.#database, query))
  }

  async verifyAudit(kept?: string): Promise<AuditVerdict> {
    return this.#database.read('verify the audit trail', () => verifyAudit(this.#database, kept))
  }

  async noteSender(sender: string, customers: readonly CustomerAccount[], now: number): Promise<void> {
    noteSender(this.#database, sender, customers, now)
  }

  async note(note: Note): Promise<void> {
    this.#database.write('write an entry of the audit trail', () => writeAudit(this.#database, note))
  }

  async decide(recordId: string, decision: Decision, by: AuditNote, quantity?: number): Promise<void> {
    onlyResult(await this.decideAll([{ recordId, decision, quantity }], by))
  }

  async decideAll(decisions: readonly RecordDecision[], by: AuditNote): Promise<DecisionResult[]> {
    return await decideAll(this.#database, decisions, by)
  }

  async attribute(
    accountKey: string,
    dimension: string,
    customer: CustomerAccount,
    by: AuditNote,
    period?: Period,
  ): Promise<bigint> {
    return attribute(this.#database, accountKey, dimension, customer, by, period)
  }

  async writeOff(accountKey: string, dimension: string, by: AuditNote): Promise<bigint> {
    return writeOff(this.#database, accountKey, dimension, by)
  }

  async undo(entries: readonly AuditEntry[], by: AuditNote): Promise<DecisionResult[]> {
    return await undo(this.#database, entries, by)
  }

  prune(before: number, by?: AuditNote): Promise<number> {
    return prune(this.#database, before, by)
  }

  async forget(now: number): Promise<void> {
    await forget(this.#database, now, () => this.#batches.forgetCounters())
  }

  async declareRestored(by: AuditNote): Promise<void> {
    await doubtEverything(this.#database, by)
  }

  /** Looks through the whole file. @throws LedgerError where anything in it is damaged */
  async checkWhole(): Promise<void> {
    this.#database.checkWhole(this.path)
  }

  /**
   * Writes a consistent copy while the ledger is in use.
   *
   * @throws LedgerError where the ledger is damaged: all of the copy is looked through, which blocks the event loop
   */
  async backup(path: string): Promise<void> {
    // A ledger that is closed says so.
    this.#database.read('back the ledger up', () => {})
    if (this.path === ':memory:' || resolve(path) === resolve(this.path)) {
      throw new LedgerError('ERR_LEDGER_INVALID', `Expected a ledger's file to copy to another, got ${path}.`)
    }
    try {
      await replaceFile(path, partial => copyLedgerFile(this.path, partial))
    } catch (error) {
      if (!isCorrupt(error)) throw error
      const message = `Nothing is backed up: the copy was not kept; the backups before are. ${error.message}`
      throw new LedgerError('ERR_LEDGER_CORRUPT', message, { cause: error })
    }
  }

  async close(): Promise<void> {
    this.#database.close()
  }

  /**
   * Makes a ledger of a backup. What was not billed when the backup was made may have been billed since, by the ledger
   * that was lost: so every balance is held as `restored`, what was pending counts as attempted, and only what is
   * recorded from the present hour on is billed by itself.
   */
  static async restore(options: RestoreOptions): Promise<SqliteLedger> {
    try {
      return await SqliteLedger.#restore(options)
    } catch (error) {
      throw isCorrupt(error) ? new DamagedBackupError(options.from, error) : error
    }
  }

  static async #restore({ from, to, ...by }: RestoreOptions): Promise<SqliteLedger> {
    await new SqliteLedger({ path: from, readOnly: true }).close()
    checkFilePath(to)
    if (existsSync(to) || !existsSync(dirname(to))) {
      throw new LedgerError('ERR_LEDGER_IO', `cannot restore to ${to}: expected a new file in a folder that exists`)
    }
    // Under its name there is only ever the whole: a mere copy would bill again.
    await replaceFile(to, async partial => {
      await copyLedgerFile(from, partial)
      const ledger = new SqliteLedger({ path: partial })
      try {
        await ledger.declareRestored(by)
        ledger.#database.checkpoint()
      } finally {
        await ledger.close()
      }
    })
    return new SqliteLedger({ path: to })
  }
}

function isCorrupt(error: unknown): error is LedgerError {
  return error instanceof LedgerError && error.code === 'ERR_LEDGER_CORRUPT'
}
