import { effectOf } from '../rules/accounting.ts'
import { type Blocking, block, putOff, SUBSCRIBED } from '../rules/subscription.ts'
import type { RecordFacts, Transition } from '../rules/transitions.ts'
import { blockingOf, factsOf } from '../sql/rows.ts'
import type { Row, Transaction, Value } from './database.ts'

/** A record as a transaction changes it. */
export interface MovedRecord {
  readonly id: number
  readonly series: number
  readonly account: number
  readonly accountKey: string
  readonly dimension: string
  readonly timestamp: number
  readonly amount: bigint
  facts: RecordFacts
  claim: string | null
  claimedUntil: number
  nextAttemptAt: number
  answer: string | null
  meteringRecordId: string | null
}

/** Records on their way from state to state, with what that does to their series and accounts. */
export class Moves {
  readonly #records: ReadonlyMap<number, MovedRecord>
  readonly #series = new Map<number, { metered: bigint; balance: bigint }>()
  readonly #blocking: Map<number, Blocking>
  readonly #changedAccounts = new Set<number>()
  readonly #unblocked = new Set<number>()

  private constructor(rows: readonly Row[]) {
    this.#records = new Map(rows.map(row => [row.id as number, movedRecord(row)]))
    this.#blocking = new Map(rows.map(row => [row.account as number, blockingOf(row)]))
  }

  /** Takes the records that a condition names. Whoever calls has the ledger's lock. */
  static async begin(transaction: Transaction, condition: string, ...values: Value[]): Promise<Moves> {
    // Claims do not ask for the ledger's lock, so each record has its own.
    const rows = await transaction.all(
      `SELECT record.*, account.id AS account, account.key AS account_key, account.ended_at, account.blocked_at,
              account.probe_at, account.probe_delay, dimension.name AS dimension
       FROM record JOIN series ON series.id = record.series JOIN account ON account.id = series.account
       JOIN dimension ON dimension.id = series.dimension WHERE ${condition} FOR UPDATE OF record`,
      ...values,
    )
    return new Moves(rows)
  }

  get records(): MovedRecord[] {
    return [...this.#records.values()]
  }

  record(id: string): MovedRecord | undefined {
    return this.#records.get(Number(id))
  }

  /** Gives a record its new state, and its amount to whom it now belongs. */
  move(record: MovedRecord, { state, reason, refusals }: Transition, now: number): void {
    const { facts, series, amount, account } = record
    record.facts = { ...facts, state, reason, refusals }
    if (state === facts.state) return
    const effect = effectOf(facts.state, state, amount)
    const before = this.#series.get(series) ?? { metered: 0n, balance: 0n }
    this.#series.set(series, {
      metered: before.metered + effect.metered,
      balance: before.balance + effect.balance,
    })
    if (facts.probe && state !== 'metered') this.#set(account, putOff(this.#blockingOf(account), now))
  }

  /** AWS does not know the customer. */
  block(account: number, now: number): void {
    this.#set(account, block(this.#blockingOf(account), now))
  }

  /** It does again. */
  unblock(account: number): void {
    if (this.#blockingOf(account).blockedAt === null) return
    this.#set(account, SUBSCRIBED)
    this.#unblocked.add(account)
  }

  async save(transaction: Transaction): Promise<void> {
    await this.#saveRecords(transaction)
    const series = [...this.#series]
    await transaction.run(
      `UPDATE series
       SET metered = series.metered + moved.metered, balance = series.balance + moved.balance,
           unfrozen = series.unfrozen OR moved.balance > 0
       FROM unnest($1::bigint[], $2::numeric[], $3::numeric[]) AS moved (id, metered, balance)
       WHERE series.id = moved.id`,
      ...[series.map(([id]) => id), series.map(([, { metered }]) => metered), series.map(([, { balance }]) => balance)],
    )
    if (this.#changedAccounts.size > 0) await this.#saveAccounts(transaction)
    if (this.#unblocked.size > 0) {
      await transaction.run('UPDATE series SET unfrozen = true WHERE account = ANY($1::bigint[])', [...this.#unblocked])
    }
  }

  async #saveRecords(transaction: Transaction): Promise<void> {
    const column = <Column>(of: (record: MovedRecord) => Column) => this.records.map(of)
    await transaction.run(
      `UPDATE record
       SET state = moved.state, reason = moved.reason, refusals = moved.refusals, claim = moved.claim,
           claimed_until = moved.claimed_until, next_attempt_at = moved.next_attempt_at, answer = moved.answer,
           metering_record_id = moved.metering_record_id
       FROM unnest($1::bigint[], $2::text[], $3::text[], $4::integer[], $5::uuid[], $6::bigint[], $7::bigint[],
                   $8::text[], $9::text[])
            AS moved (id, state, reason, refusals, claim, claimed_until, next_attempt_at, answer, metering_record_id)
       WHERE record.id = moved.id`,
      ...[column(({ id }) => id), column(({ facts }) => facts.state), column(({ facts }) => facts.reason ?? null)],
      ...[column(({ facts }) => facts.refusals), column(({ claim }) => claim)],
      ...[column(({ claimedUntil }) => claimedUntil), column(({ nextAttemptAt }) => nextAttemptAt)],
      ...[column(({ answer }) => answer), column(({ meteringRecordId }) => meteringRecordId)],
    )
  }

  async #saveAccounts(transaction: Transaction): Promise<void> {
    const accounts = [...this.#changedAccounts]
    const column = (name: keyof Blocking) => accounts.map(account => this.#blockingOf(account)[name])
    await transaction.run(
      `UPDATE account SET blocked_at = now.blocked_at, probe_at = now.probe_at, probe_delay = now.probe_delay
       FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[])
            AS now (id, blocked_at, probe_at, probe_delay)
       WHERE account.id = now.id`,
      ...[accounts, column('blockedAt'), column('probeAt'), column('probeDelay')],
    )
  }

  #blockingOf(account: number): Blocking {
    return this.#blocking.get(account) ?? SUBSCRIBED
  }

  #set(account: number, blocking: Blocking): void {
    this.#blocking.set(account, blocking)
    this.#changedAccounts.add(account)
  }
}

function movedRecord(row: Row): MovedRecord {
  return {
    id: row.id as number,
    series: row.series as number,
    account: row.account as number,
    accountKey: row.account_key as string,
    dimension: row.dimension as string,
    timestamp: row.timestamp as number,
    amount: BigInt(row.quantity as number) * (row.size as bigint),
    facts: factsOf(row),
    claim: row.claim as string | null,
    claimedUntil: row.claimed_until as number,
    nextAttemptAt: row.next_attempt_at as number,
    answer: row.answer as string | null,
    meteringRecordId: row.metering_record_id as string | null,
  }
}
