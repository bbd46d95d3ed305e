import type { ConnectionOptions } from 'node:tls'
import * as v from 'valibot'
import { check, configurationError, show, strictObject } from '../../check.ts'
import type { CustomerAccount } from '../../usage/account.ts'
import type { Dimension } from '../../usage/dimension.ts'
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
import { tellsOfFolded } from '../rules/audit.ts'
import { onlyResult } from '../rules/decisions.ts'
import { agreements, noteAgreement } from './agreements.ts'
import { auditEntries, noteSender, verifyAudit, writeAudit } from './audit.ts'
import { closeHours } from './closing.ts'
import { expectedOfConnectionString, isSchema, SCHEMA_EXPECTED, schemaOf } from './connection-string.ts'
import { Database, type Transaction } from './database.ts'
import { attribute, decideAll, undo, writeOff } from './decisions.ts'
import { entitlements, includedDimensions, noteEntitlements, registerIncluded } from './entitlements.ts'
import { readFolded } from './fold.ts'
import { forget } from './forgetting.ts'
import { append, lastOf, register } from './journal.ts'
import { ledgerRow } from './ledger-row.ts'
import { doubtEverything, prune } from './maintenance.ts'
import { migrate, migrationSql, refuseOther, SCHEMA } from './migration.ts'
import { makePool, type PostgresqlPool } from './pool.ts'
import { type ClaimPlaces, claim, dueLanes, expire, settle } from './records.ts'
import { dimensions, laneAnswers, records, statementLines, statusOf } from './reports.ts'
import { ServerClock } from './server-clock.ts'
import { takeTurns } from './turns.ts'

export interface PostgresqlLedgerOptions {
  /**
   * `postgresql://user:password@host/database`, and after `?` what else `pg` reads, and `schema`. Without it, the
   * environment's `PGHOST`, `PGUSER`, … hold.
   */
  connectionString?: string
  /** A pool of `pg`'s that the application has anyway. It is not closed with the ledger. */
  pool?: PostgresqlPool
  /** TLS, as `pg` takes it. */
  ssl?: boolean | ConnectionOptions
  /** The schema of the ledger's tables: one for each ledger. `marketplace_ledger` by default. */
  schema?: string
  /** How many connections it has at most. 5 by default. */
  connections?: number
  /** What the server's list of sessions says. The package's name by default. */
  applicationName?: string
  /** How long one statement may take, in milliseconds. 30 seconds by default. */
  statementTimeout?: number
  /** For how long what fails in passing is tried again: a lost connection, a failover, a lock. 10 seconds by default. */
  retryTimeout?: number
  /** Only look: its tables are neither made nor brought up to date. Off by default. */
  readOnly?: boolean
  /** Milliseconds since the epoch, instead of the server's clock. */
  now?: () => number
}

const CONNECTIONS = 5
const STATEMENT_TIMEOUT = 30_000
const RETRY_TIMEOUT = 10_000

const milliseconds = v.custom<number>(
  value => Number.isSafeInteger(value) && (value as number) > 0 && (value as number) < 2 ** 31,
  'milliseconds from 1',
)
const name = v.custom<string>(isSchema, SCHEMA_EXPECTED)

const optionsSchema = strictObject({
  // There may be a password in it, which is not to be shown.
  connectionString: v.optional(v.any()),
  pool: v.optional(
    v.custom(value => typeof (value as PostgresqlPool | null)?.connect === 'function', "a Pool of pg's"),
  ),
  ssl: v.optional(v.any()),
  schema: v.optional(name),
  connections: v.optional(
    v.custom(value => Number.isSafeInteger(value) && (value as number) > 0, 'a whole number from 1'),
  ),
  applicationName: v.optional(v.string()),
  readOnly: v.optional(v.boolean()),
  statementTimeout: v.optional(milliseconds, STATEMENT_TIMEOUT),
  retryTimeout: v.optional(milliseconds, RETRY_TIMEOUT),
  now: v.optional(v.custom(value => typeof value === 'function', 'a function')),
})
const migrationSchema = strictObject({ schema: v.optional(name, SCHEMA), from: v.optional(v.number(), 0) })

/**
 * A ledger that any number of machines share, on PostgreSQL from version 14 on, or Aurora. It needs the package `pg`.
 *
 * What it has acknowledged is as durable as the server makes its transactions: a replica that takes over without having
 * got the last of them has lost usage, as a restored backup has.
 */
export class PostgresqlLedger implements Ledger {
  readonly folder = undefined
  readonly clock: SharedClock
  readonly #database: Database
  readonly #places: ClaimPlaces = new Map()

  private constructor(database: Database, now: (() => number) | undefined) {
    this.#database = database
    const server = new ServerClock(database)
    this.clock = {
      now: now === undefined ? here => server.now(here) : async () => now(),
      takeTurns: async (...turns) =>
        (await database.writeOnce('take turns of the quota', transaction => takeTurns(transaction, ...turns))) ??
        undefined,
    }
  }

  /**
   * Opens a ledger, and makes its tables where there are none, or brings them up to date.
   *
   * @throws ConfigurationError when an option is wrong, or `pg` is not installed
   * @throws LedgerError when the server cannot be reached, its tables are newer or not to be changed by this role
   */
  static async open(options: PostgresqlLedgerOptions = {}): Promise<PostgresqlLedger> {
    const { schema: named, statementTimeout, retryTimeout } = check(optionsSchema, options)
    const { pool } = options
    const schema = schemaIn(options.connectionString, named)
    const database = new Database(pool ?? (await makePool(poolOptions(options, retryTimeout))), pool === undefined, {
      ...{ schema, statementTimeout, retryTimeout, now: options.now },
    })
    try {
      await (options.readOnly ? refuseOther(database) : migrate(database))
    } catch (error) {
      await database.close()
      throw error
    }
    return new PostgresqlLedger(database, options.now)
  }

  /**
   * SQL that makes the ledger's tables, or brings them from the version `from` to the present one, for an administrator
   * to run where the ledger's own role may not. That role needs USAGE of the schema, and SELECT, INSERT, UPDATE and
   * DELETE on its tables.
   */
  static migration(options: { schema?: string; from?: number } = {}): string {
    const { schema, from } = check(migrationSchema, options)
    return migrationSql(schema, from)
  }

  async register(dimensions: readonly Dimension[], counters?: CounterSources): Promise<void> {
    await register(this.#database, dimensions, counters)
  }

  async append(batch: UsageBatch): Promise<void> {
    await append(this.#database, batch)
  }

  async lastOf(writer: string): Promise<number> {
    return await this.#database.read('look for the last batch', transaction => lastOf(transaction, writer))
  }

  async closeHours(options: CloseOptions): Promise<CloseResult> {
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
    const terms = await termsUnlessLost(this, news, options)
    return await noteAgreement(this.#database, customer, news, terms)
  }

  async agreements(query: AgreementsQuery = {}): Promise<Agreement[]> {
    return await this.#database.read('read the agreements', transaction => agreements(transaction, query))
  }

  async registerIncluded(product: string, included: Readonly<Record<string, Included>>, by: AuditNote): Promise<void> {
    await registerIncluded(this.#database, product, included, by)
  }

  async included(): Promise<IncludedDimension[]> {
    return await this.#database.read('read what contracts include', includedDimensions)
  }

  async noteEntitlements(product: string, news: EntitlementNews, by: AuditNote): Promise<number> {
    return await noteEntitlements(this.#database, product, news, by)
  }

  async entitlements(query: EntitlementsQuery = {}): Promise<CustomerEntitlement[]> {
    return await this.#database.read('read the entitlements', transaction => entitlements(transaction, query))
  }

  async due(now: number): Promise<DueLanes> {
    this.#places.clear()
    return await this.#database.read('look for what is due', transaction => dueLanes(transaction, now))
  }

  async claim(lane: Lane, options: ClaimOptions): Promise<MeteringRecord[]> {
    return await claim(this.#database, lane, options, this.#places)
  }

  async settle(settlements: readonly Settlement[], now: number): Promise<SettledRecord[]> {
    return await settle(this.#database, settlements, now)
  }

  async expire(now: number): Promise<ExpireResult> {
    return await expire(this.#database, now)
  }

  async ping(): Promise<void> {
    await this.#database.read('read the ledger', transaction => ledgerRow(transaction))
  }

  async status(): Promise<LedgerStatus> {
    return await readFolded(this.#database, 'read the status', 'what the status tells', statusOf)
  }

  async answers(): Promise<LaneAnswer[]> {
    return await this.#database.read('read the last answers', laneAnswers)
  }

  async dimensions(): Promise<Dimension[]> {
    return await this.#database.read('read the dimensions', dimensions)
  }

  async statement(query: StatementQuery = {}): Promise<StatementLine[]> {
    return await readFolded(this.#database, 'read the statement', 'everything', transaction =>
      statementLines(transaction, query),
    )
  }

  async records(query: RecordsQuery = {}): Promise<RecordEntry[]> {
    return await this.#database.read('read the records', transaction => records(transaction, query))
  }

  async audit(query: AuditQuery = {}): Promise<AuditEntry[]> {
    const doing = 'read the audit trail'
    const work = (transaction: Transaction) => auditEntries(transaction, query)
    if (!tellsOfFolded(query)) return await this.#database.read(doing, work)
    return await readFolded(this.#database, doing, 'what the status tells', work)
  }

  async verifyAudit(kept?: string): Promise<AuditVerdict> {
    return await this.#database.read('verify the audit trail', transaction => verifyAudit(transaction, kept))
  }

  async noteSender(sender: string, customers: readonly CustomerAccount[], now: number): Promise<void> {
    await noteSender(this.#database, sender, customers, now)
  }

  async note(note: Note): Promise<void> {
    const doing = 'write an entry of the audit trail'
    await this.#database.writeOnce(doing, transaction => writeAudit(transaction, [note]))
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
    return await attribute(this.#database, accountKey, dimension, customer, by, period)
  }

  async writeOff(accountKey: string, dimension: string, by: AuditNote): Promise<bigint> {
    return await writeOff(this.#database, accountKey, dimension, by)
  }

  async undo(entries: readonly AuditEntry[], by: AuditNote): Promise<DecisionResult[]> {
    return await undo(this.#database, entries, by)
  }

  async prune(before: number, by?: AuditNote): Promise<number> {
    return await prune(this.#database, before, by)
  }

  async forget(now: number): Promise<void> {
    await forget(this.#database, now)
  }

  /**
   * To be called once after this database was restored from a backup or to a point in time, while no exporter or gateway
   * runs on it. What was not billed then may have been billed since, by the database that was lost: so every balance is
   * held as `restored`, what was pending counts as attempted, and only what is recorded from the present hour on is
   * billed by itself.
   */
  async declareRestored(by: AuditNote): Promise<void> {
    await doubtEverything(this.#database, by)
  }

  async close(): Promise<void> {
    await this.#database.close()
  }
}

/** In a connection string of another kind. */
const NAMES_SCHEMA = /[?&](current)?schema=|search_path/i

/** The schema by an address and the option, of which one at most says it. */
function schemaIn(text: unknown = '', named: string | undefined): string {
  if (typeof text !== 'string') throw configurationError([`connectionString: expected a string, got a ${typeof text}`])
  // Others, such as the path of a socket, are for `pg` to read.
  const isAddress = /^postgres(ql)?:/.test(text)
  const expected = isAddress
    ? expectedOfConnectionString(text)
    : NAMES_SCHEMA.test(text)
      ? 'postgresql://…, or the option schema, where it names one'
      : undefined
  if (expected !== undefined) throw configurationError([`connectionString: expected ${expected}`])
  const ofAddress = isAddress ? schemaOf(text) : undefined
  if (ofAddress !== undefined && named !== undefined && ofAddress !== named)
    throw configurationError([`schema: expected that of connectionString, ${show(ofAddress)}, got ${show(named)}`])
  return ofAddress ?? named ?? SCHEMA
}

function poolOptions(options: PostgresqlLedgerOptions, connectTimeout: number) {
  const { connectionString, ssl, connections = CONNECTIONS } = options
  const { applicationName = 'opentelemetry-exporter-aws-marketplace' } = options
  return { connectionString, ssl, connections, applicationName, connectTimeout }
}
