import type { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import * as v from 'valibot'
import { check, strictObject } from '../../check.ts'
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
import { lastClosed, latestHour } from '../rules/closing.ts'
import { onlyResult } from '../rules/decisions.ts'
import { Accounts } from './accounts.ts'
import { agreements, noteAgreement } from './agreements.ts'
import { auditEntries, auditWrites, noteSender, verifyAudit, writeAudit } from './audit.ts'
import { type ClientOptions, loadSdk, makeClient } from './client.ts'
import { EngineClock } from './clock.ts'
import type { FrozenRecord } from './closing.ts'
import type { Database } from './database.ts'
import { attribute, decideAll, undo, writeOff } from './decisions.ts'
import { createTable, refuseTable } from './definition.ts'
import { Dimensions } from './dimensions.ts'
import { entitlements, includedDimensions, noteEntitlements, registerIncluded } from './entitlements.ts'
import { recordEntries } from './entries.ts'
import { fold, foldForgetting, foldObserved } from './fold.ts'
import { begin, NOTHING, readHead, refuseOther } from './head.ts'
import { Journal } from './journal.ts'
import { laneAnswers } from './lane-answers.ts'
import { doubtEverything, prune } from './maintenance.ts'
import { registerSources, takeTurns } from './products.ts'
import { claim, dueLanes, expire, settle } from './records.ts'
import { records, statementLines, statusOf } from './reports.ts'
import { Table } from './table.ts'

export interface DynamoDBLedgerOptions extends ClientOptions {
  tableName: string
  /** By default one of its own, with credentials from the AWS SDK's usual chain. It is not closed with the ledger. */
  client?: DynamoDBClient
  /** For how long what fails in passing is tried again: throttling, a lost connection. 10 seconds by default. */
  retryTimeout?: number
  /** Only look: a ledger is neither made in the table nor brought up to date. Off by default. */
  readOnly?: boolean
  /** Milliseconds since the epoch, instead of DynamoDB's clock. */
  now?: () => number
}

const RETRY_TIMEOUT = 10_000

const place = {
  tableName: v.string("the table's name"),
  client: v.optional(
    v.custom(value => typeof (value as DynamoDBClient | null)?.send === 'function', 'a DynamoDBClient of the AWS SDK'),
  ),
  region: v.optional(v.string()),
  endpoint: v.optional(v.string()),
}
const tableSchema = strictObject(place)
const schema = strictObject({
  ...place,
  readOnly: v.optional(v.boolean()),
  retryTimeout: v.optional(
    v.pipe(
      v.number('milliseconds from 0'),
      v.check(time => time >= 0, 'milliseconds from 0'),
    ),
  ),
  now: v.optional(v.custom(value => typeof value === 'function', 'a function')),
})

/**
 * A ledger that any number of machines share: one DynamoDB table and nothing to operate. No process leads: what has to
 * be decided once is a conditional write.
 */
export class DynamoDBLedger implements Ledger {
  readonly folder = undefined
  readonly clock: SharedClock
  readonly #database: Database
  readonly #journal: Journal
  readonly #end: () => void
  /** The last hour that is closed, as far as this process knows. */
  #closedThrough: number | undefined

  private constructor(database: Database, end: () => void) {
    const { table, clock } = database
    this.clock = {
      // To within a second: as DynamoDB's answers tell it.
      now: async () => {
        if (!clock.known) await table.get('ask for the time', [NOTHING])
        return clock.now()
      },
      takeTurns: (...turns) => takeTurns(table, ...turns),
    }
    this.#database = database
    this.#journal = new Journal(database)
    this.#end = end
  }

  /**
   * Opens the ledger in a table, see `createLedgerTable`.
   *
   * @throws ConfigurationError when an option is wrong, or the package `@aws-sdk/client-dynamodb` is not installed
   * @throws LedgerError when there is no such table, or a newer version of this package has written it
   */
  static async open(given: DynamoDBLedgerOptions): Promise<DynamoDBLedger> {
    check(schema, given)
    const { tableName, client, retryTimeout = RETRY_TIMEOUT, readOnly = false, now, ...options } = given
    const sdk = await loadSdk()
    const own = client ?? makeClient(sdk, options)
    const end = client === undefined ? () => own.destroy() : () => {}
    const clock = new EngineClock(now)
    const table = new Table({ sdk, client: own, name: tableName, clock, retryTimeout })
    try {
      const description = await table.describe('open the ledger')
      if (description !== undefined) refuseTable(description)
      await (readOnly ? refuseOther(table) : begin(table, description?.ItemCount ?? 0))
    } catch (error) {
      end()
      throw error
    }
    const database = { table, clock, accounts: new Accounts(table), dimensions: new Dimensions(table) }
    return new DynamoDBLedger(database, end)
  }

  async register(dimensions: readonly Dimension[], counters?: CounterSources): Promise<void> {
    // Before: a dimension that is new was not sold when the version before began to meter the product.
    if (counters !== undefined) await registerSources(this.#database, counters)
    await this.#database.dimensions.register(dimensions, entries => auditWrites(this.#database, entries))
  }

  async append(batch: UsageBatch): Promise<void> {
    await this.#journal.append(batch)
  }

  async lastOf(writer: string): Promise<number> {
    return await this.#journal.lastOf(writer)
  }

  async closeHours(options: CloseOptions): Promise<CloseResult> {
    // Closed hours stay closed, so that most passes of a cycle need not ask.
    if (latestHour(options) <= lastClosed(this.#closedThrough, options.now)) return { records: 0, held: [] }
    const { frozen, closedThrough } = await fold(this.#database, options)
    this.#closedThrough = closedThrough ?? undefined
    return await this.#closeResult(frozen)
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
    const { changed, frozen } = await noteAgreement(this.#database, customer, news, terms)
    return { ...(await this.#closeResult(frozen)), changed }
  }

  async agreements(query: AgreementsQuery = {}): Promise<Agreement[]> {
    return await agreements(this.#database, query)
  }

  async #closeResult(frozen: readonly FrozenRecord[]): Promise<CloseResult> {
    const held = frozen.filter(({ record }) => record.state === 'held')
    return { records: frozen.length, held: await recordEntries(this.#database, held) }
  }

  async registerIncluded(product: string, included: Readonly<Record<string, Included>>, by: AuditNote): Promise<void> {
    await registerIncluded(this.#database, product, included, by)
  }

  async included(): Promise<IncludedDimension[]> {
    return await includedDimensions(this.#database)
  }

  async noteEntitlements(product: string, news: EntitlementNews, by: AuditNote): Promise<number> {
    return await noteEntitlements(this.#database, product, news, by)
  }

  async entitlements(query: EntitlementsQuery = {}): Promise<CustomerEntitlement[]> {
    return await entitlements(this.#database, query)
  }

  async due(now: number): Promise<DueLanes> {
    return await dueLanes(this.#database, now)
  }

  async claim(lane: Lane, options: ClaimOptions): Promise<MeteringRecord[]> {
    return await claim(this.#database, lane, options)
  }

  async settle(settlements: readonly Settlement[], now: number): Promise<SettledRecord[]> {
    return await settle(this.#database, settlements, now)
  }

  async expire(now: number): Promise<ExpireResult> {
    return await expire(this.#database, now)
  }

  async ping(): Promise<void> {
    await readHead(this.#database.table)
  }

  /**
   * The figures to watch. What others' counters add, and what of it is not counted, is in them when it is folded: when
   * the next hour is closed, or a statement is read.
   */
  async status(): Promise<LedgerStatus> {
    return await statusOf(this.#database)
  }

  async answers(): Promise<LaneAnswer[]> {
    return await laneAnswers(this.#database)
  }

  async dimensions(): Promise<Dimension[]> {
    return [...(await this.#database.dimensions.all())]
  }

  async statement(query: StatementQuery = {}): Promise<StatementLine[]> {
    return await statementLines(this.#database, query)
  }

  async records(query: RecordsQuery = {}): Promise<RecordEntry[]> {
    return await records(this.#database, query)
  }

  async audit(query: AuditQuery = {}): Promise<AuditEntry[]> {
    if (tellsOfFolded(query)) await foldObserved(this.#database)
    return await auditEntries(this.#database, query)
  }

  async verifyAudit(kept?: string): Promise<AuditVerdict> {
    return await verifyAudit(this.#database, kept)
  }

  async noteSender(sender: string, customers: readonly CustomerAccount[], now: number): Promise<void> {
    await noteSender(this.#database, sender, customers, now)
  }

  async note(note: Note): Promise<void> {
    await writeAudit(this.#database, [note])
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
    await foldForgetting(this.#database, now)
  }

  /**
   * For a ledger in a table that was restored. What was not billed at that instant may have been billed since, by the
   * ledger that was lost: so every balance is held as `restored`, what was pending counts as attempted, and only what
   * is recorded from the present hour on is billed by itself. No other process may use the table meanwhile.
   */
  async declareRestored(by: AuditNote): Promise<void> {
    await doubtEverything(this.#database, by)
  }

  async close(): Promise<void> {
    this.#database.table.close()
    this.#end()
  }
}

/**
 * Makes a ledger's table: paid by request, with point-in-time recovery, deletion protection and time to live. Where it
 * is there already, these three are switched on. In production it is better made by the template that makes everything
 * else.
 */
export async function createLedgerTable(
  given: ClientOptions & Pick<DynamoDBLedgerOptions, 'tableName' | 'client'>,
): Promise<void> {
  check(tableSchema, given)
  const { tableName, client, ...options } = given
  const sdk = await loadSdk()
  const own = client ?? makeClient(sdk, options)
  try {
    await createTable(sdk, own, tableName)
  } finally {
    if (client === undefined) own.destroy()
  }
}
