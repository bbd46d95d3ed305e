import { createHash, randomUUID } from 'node:crypto'
import { existsSync, renameSync, rmSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import type { SQLInputValue } from 'node:sqlite'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Account, CustomerAccount } from '../usage/account.ts'
import { type Dimension, MAX_QUANTITY } from '../usage/dimension.ts'
import { LedgerError } from './errors.ts'
import { freeze } from './freeze.ts'
import { HOUR, hourOf, SECOND, wholeSecond, windowClosesAt } from './hours.ts'
import type {
  AuditEntry,
  AuditNote,
  ClaimOptions,
  CloseOptions,
  CloseResult,
  ExpireResult,
  FinalizeOptions,
  Lane,
  Ledger,
  LedgerStatus,
  MeteringRecord,
  RecordEntry,
  RecordsQuery,
  SettledRecord,
  Settlement,
  StatementLine,
  StatementQuery,
  UsageBatch,
} from './ledger.ts'
import { amountOf, Database, type Row } from './sqlite-database.ts'
import { copyLedgerFile, openLedgerFile } from './sqlite-file.ts'
import {
  auditEntries,
  openHours,
  recordEntries,
  recordEntry,
  records,
  statementLines,
  statusOf,
} from './sqlite-reports.ts'
import { afterAnswer, afterWindow, type RecordFacts, type Transition } from './transitions.ts'

export interface SqliteLedgerOptions {
  /** The ledger's file; made where there is none. Its folder is on a disk of this machine that survives a restart. */
  path: string
  /** How long to wait for another process's lock, in milliseconds. It blocks the event loop. 250 by default. */
  busyTimeout?: number
  /** Only look, for statements beside a running exporter. */
  readOnly?: boolean
}

export interface RestoreOptions extends AuditNote {
  /** The backup. */
  from: string
  /** Where the ledger is to be; there must be no file yet. */
  to: string
}

/** The largest amount that is bound as one integer of 64 bits; a larger one goes in several pieces. */
const LARGEST_PIECE = 2n ** 62n
/** Nothing real comes near it, even when an outage has gathered it. */
const LARGEST_AMOUNT = 2n ** 72n
/** The last that a Date can hold. */
const LAST_INSTANT = 8.64e15
/** How many rows one statement inserts: about where SQLite's cost for each row stops falling. */
const ROWS_PER_INSERT = 500
/** How many series one transaction closes, so that no turn of the event loop takes long. */
const SERIES_PER_CHUNK = 2000
/** How many settled rows one transaction deletes. */
const ROWS_PER_PRUNE = 5000
/** How long after an hour its records stay at least: as long as AWS takes it. */
const PRUNED_AFTER = 24 * HOUR
/** How long the digests of batches are kept; the sequence that tells a repeated batch is kept for good. */
const DIGESTS_KEPT = 48 * HOUR
/** A customer that is not subscribed is probed after an hour, then after twice as long each time, up to a day. */
const FIRST_PROBE_DELAY = HOUR
const LAST_PROBE_DELAY = 24 * HOUR

/** The embedded ledger: one file on `node:sqlite`, which several processes of one machine may share. */
export class SqliteLedger implements Ledger {
  readonly path: string
  readonly #database: Database
  readonly #dimensions = new Map<string, number>()
  /** For each dimension, the series of each account key. */
  readonly #series = new Map<string, Map<string, number>>()

  /** @throws LedgerError when the file is not a ledger, damaged, newer, read-only or on a network file system */
  constructor(options: SqliteLedgerOptions) {
    this.path = options.path
    const { path, busyTimeout = 250, readOnly = false } = options
    this.#database = new Database(openLedgerFile(path, { busyTimeout, readOnly }))
  }

  // Usage

  async register(dimensions: readonly Dimension[]): Promise<void> {
    this.#database.write('register the dimensions', () => {
      for (const dimension of dimensions) this.#registerOne(dimension)
    })
  }

  #registerOne(dimension: Dimension): void {
    if (dimension.size <= 0n) {
      throw new LedgerError(
        'ERR_LEDGER_INVALID',
        `Expected a size of dimension ${dimension.name} above 0, got ${dimension.size}.`,
      )
    }
    const known = this.#database.get('SELECT base_unit, size FROM dimension WHERE name = ?', dimension.name)
    if (known !== undefined && known.base_unit !== dimension.baseUnit) {
      throw new LedgerError(
        'ERR_LEDGER_INVALID',
        `Dimension ${dimension.name} is recorded in the base unit "${known.base_unit}" in this ledger; expected the ` +
          `same, got "${dimension.baseUnit}" (unit "${dimension.unit}"). Sell it under the name of a new dimension.`,
      )
    }
    const { id } = this.#database.get(
      `INSERT INTO dimension (name, unit, base_unit, size, max_quantity) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT (name) DO UPDATE
       SET unit = excluded.unit, size = excluded.size, max_quantity = excluded.max_quantity
       RETURNING id`,
      ...[dimension.name, dimension.unit, dimension.baseUnit, String(dimension.size), dimension.maxQuantity ?? null],
    ) as { id: number }
    // With a smaller size, what was a fraction may be whole units.
    if (known !== undefined && BigInt(known.size as string) > dimension.size) {
      this.#database.run('UPDATE series SET unfrozen = 1 WHERE dimension = ?', id)
    }
  }

  async append(batch: UsageBatch): Promise<void> {
    if (!/^[0-9a-f]{32}$/.test(batch.writer) || !(Number.isSafeInteger(batch.sequence) && batch.sequence > 0)) {
      throw new LedgerError(
        'ERR_LEDGER_INVALID',
        `Expected a key of 32 hexadecimal digits and a sequence from 1, got "${batch.writer}" and ${batch.sequence}.`,
      )
    }
    const made: { accounts: Map<string, number>; key: string }[] = []
    try {
      this.#database.write(`append batch ${batch.sequence}`, () => {
        const rows = this.#rowsOf(batch, made)
        if (this.#acknowledge(batch, rows)) this.#addOpenUsage(rows)
      })
    } catch (error) {
      // The series that this batch brought went with its transaction.
      for (const { accounts, key } of made) accounts.delete(key)
      throw error
    }
  }

  /** A batch as (hour, series, amount) after one another, sorted, so that the order of its entries does not matter. */
  #rowsOf(batch: UsageBatch, made: { accounts: Map<string, number>; key: string }[]): BigInt64Array {
    const rows: { hour: number; series: number; amount: bigint }[] = []
    for (const { account, dimension, hour, amount } of batch.entries) {
      if (!(hour >= 0 && hour <= LAST_INSTANT && hour % HOUR === 0)) {
        throw new LedgerError('ERR_LEDGER_INVALID', `Expected an hour's first millisecond, got ${hour}.`)
      }
      if (typeof amount !== 'bigint' || amount <= 0n || amount > LARGEST_AMOUNT) {
        throw new LedgerError(
          'ERR_LEDGER_INVALID',
          `Expected an amount above 0 and up to 2^72 as a bigint, got ${amount}.`,
        )
      }
      const series = this.#seriesOf(account, dimension, hour, made)
      let rest = amount
      for (; rest > LARGEST_PIECE; rest -= LARGEST_PIECE) rows.push({ hour, series, amount: LARGEST_PIECE })
      rows.push({ hour, series, amount: rest })
    }
    rows.sort((a, b) => a.hour - b.hour || a.series - b.series || (a.amount < b.amount ? -1 : 1))
    const packed = new BigInt64Array(rows.length * 3)
    for (const [index, { hour, series, amount }] of rows.entries()) {
      packed[index * 3] = BigInt(hour)
      packed[index * 3 + 1] = BigInt(series)
      packed[index * 3 + 2] = amount
    }
    return packed
  }

  /** Writes the batch's key down. False when it is there already, with the same entries. */
  #acknowledge(batch: UsageBatch, rows: BigInt64Array): boolean {
    const digest = createHash('sha256').update(rows).digest()
    const writer = this.#database.get('SELECT id, last_sequence FROM writer WHERE key = ?', batch.writer)
    const next = ((writer?.last_sequence as number | undefined) ?? 0) + 1
    if (batch.sequence > next) {
      throw new LedgerError(
        'ERR_LEDGER_INVALID',
        `Expected batch ${next} of writer ${batch.writer}, got ${batch.sequence}: what is between is missing.`,
      )
    }
    if (batch.sequence < next) {
      const known = this.#database.get(
        'SELECT digest FROM batch WHERE writer = ? AND sequence = ?',
        ...[writer?.id as number, batch.sequence],
      )
      if (known === undefined || digest.equals(known.digest as Uint8Array)) return false
      throw new LedgerError(
        'ERR_LEDGER_KEY_REUSED',
        `Batch ${batch.sequence} of writer ${batch.writer} was acknowledged before, with other entries.`,
      )
    }
    const { id } = this.#database.get(
      `INSERT INTO writer (key, last_sequence) VALUES (?, ?)
       ON CONFLICT (key) DO UPDATE SET last_sequence = excluded.last_sequence RETURNING id`,
      ...[batch.writer, batch.sequence],
    ) as { id: number }
    this.#database.run(
      'INSERT INTO batch (writer, sequence, digest, at) VALUES (?, ?, ?, ?)',
      ...[id, batch.sequence, digest, rows[0] ?? 0n],
    )
    return true
  }

  #addOpenUsage(rows: BigInt64Array): void {
    for (let start = 0; start < rows.length; start += ROWS_PER_INSERT * 3) {
      const values = rows.subarray(start, start + ROWS_PER_INSERT * 3)
      const places = Array(values.length / 3)
        .fill('(?, ?, ?)')
        .join(', ')
      this.#database.run(
        `INSERT INTO open_usage (hour, series, whole, millionths)
         SELECT column1, column2, column3 / 1000000, column3 % 1000000 FROM (VALUES ${places}) WHERE true
         ${ADD_TO_WHAT_IS_THERE}`,
        ...values,
      )
    }
  }

  #seriesOf(account: Account, dimension: string, hour: number, made: { accounts: Map<string, number>; key: string }[]) {
    let accounts = this.#series.get(dimension)
    if (accounts === undefined) {
      accounts = new Map()
      this.#series.set(dimension, accounts)
    }
    let series = accounts.get(account.key)
    if (series === undefined) {
      series = this.#seriesId(this.#accountId(account), this.#dimensionId(dimension), hour)
      accounts.set(account.key, series)
      made.push({ accounts, key: account.key })
    }
    return series
  }

  #seriesId(account: number, dimension: number, hour: number): number {
    const found = this.#database.get('SELECT id FROM series WHERE account = ? AND dimension = ?', account, dimension)
    return (
      (found?.id as number | undefined) ??
      this.#database.insert(
        'INSERT INTO series (account, dimension, first_hour) VALUES (?, ?, ?)',
        ...[account, dimension, hour],
      )
    )
  }

  #accountId(account: Account): number {
    const found = this.#database.get('SELECT id, product FROM account WHERE key = ?', account.key)
    if (found !== undefined) {
      // Our label of a licence's product may change; what AWS bills by stays.
      if (found.product !== account.product) {
        this.#database.run('UPDATE account SET product = ? WHERE id = ?', account.product, found.id as number)
      }
      return found.id as number
    }
    const customer = account.kind === 'customer' ? account : undefined
    const unattributed = account.kind === 'unattributed' ? account : undefined
    return this.#database.insert(
      `INSERT INTO account
       (key, kind, product, account_id, customer_identifier, license_arn, unattributed_reason, evidence)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
      ...[account.key, account.kind, account.product],
      ...[customer?.accountId ?? null, customer?.customerIdentifier ?? null, customer?.licenseArn ?? null],
      ...[unattributed?.reason ?? null, unattributed?.evidence ?? null],
    )
  }

  #dimensionId(name: string): number {
    let id = this.#dimensions.get(name)
    if (id === undefined) {
      id = this.#database.get('SELECT id FROM dimension WHERE name = ?', name)?.id as number | undefined
      if (id === undefined) {
        throw new LedgerError('ERR_LEDGER_INVALID', `Expected a registered dimension, got "${name}".`)
      }
      this.#dimensions.set(name, id)
    }
    return id
  }

  // Hours

  async closeHours(options: CloseOptions): Promise<CloseResult> {
    const latest = hourOf(options.now - options.closeDelay) - HOUR
    const frozen: FrozenRecord[] = []
    if (latest <= this.#closedThrough(options.now)) return { records: 0, held: [] }
    const open = openHours(this.#database)
    // Usage of an hour that is to come is from a clock that was ahead.
    const early = open.filter(hour => hour > hourOf(options.now))
    for (const hour of [...open.filter(hour => hour < latest), ...early, latest]) {
      const freezer = closedHour(hour, options)
      const late = hour > latest || hour <= this.#closedThrough(options.now) || freezer.deadline <= options.now
      // What came late for an hour that is closed, or can no longer be sent, goes into the latest one.
      frozen.push(...(await this.#closeHour(hour, late && hour !== latest ? undefined : freezer)))
    }
    return this.#closeResult(frozen)
  }

  /** The last hour that is closed. One that is still to come was closed by a clock that was ahead: it does not count. */
  #closedThrough(now: number): number {
    const closed = this.#database.get('SELECT closed_through FROM ledger')?.closed_through
    return typeof closed === 'number' && closed <= now ? closed : Number.NEGATIVE_INFINITY
  }

  /**
   * Moves an hour's usage to the balances, and freezes what is whole into records (given a freezer). Each transaction
   * takes a chunk of series and leaves nothing of it to take again, so it does not matter how many processes do it at
   * once, nor where one dies.
   */
  async #closeHour(hour: number, freezer: Freezer | undefined): Promise<FrozenRecord[]> {
    const doing = `close the hour ${new Date(hour).toISOString()}`
    const frozen: FrozenRecord[] = []
    for (let more = true; more; await nextTurn()) {
      this.#database.write(doing, () => {
        const last = this.#database.get(
          'SELECT max(series) AS series FROM (SELECT series FROM open_usage WHERE hour = ? ORDER BY series LIMIT ?)',
          ...[hour, SERIES_PER_CHUNK],
        )?.series as number | null
        more = last !== null
        for (const series of this.#fold('hour = ? AND series <= ?', hour, last))
          frozen.push(...this.#freeze(series, freezer))
      })
    }
    if (freezer === undefined) return frozen
    // Then whoever has whole units in the balance without any new usage.
    for (let after = -1, more = true; more; await nextTurn()) {
      this.#database.write(doing, () => {
        const unfrozen = this.#seriesWhere(
          'series.unfrozen = 1 AND series.id > ? ORDER BY series.id LIMIT ?',
          ...[after, SERIES_PER_CHUNK],
        )
        for (const series of unfrozen) frozen.push(...this.#freeze(series, freezer))
        after = unfrozen.at(-1)?.id ?? after
        more = unfrozen.length > 0
      })
    }
    this.#database.write(doing, () => {
      if (hour <= this.#closedThrough(freezer.now)) return
      if (freezer.zeroQuantityRecords === true) frozen.push(...this.#freezeIdle(closedHour(hour - HOUR, freezer)))
      this.#database.run('UPDATE ledger SET closed_through = ?', hour)
      this.#database.run('DELETE FROM batch WHERE at < ?', hour - DIGESTS_KEPT)
    })
    return frozen
  }

  /** Brings open usage into its series' totals. Returns those series; whoever calls saves them. */
  #fold(condition: string, ...values: SQLInputValue[]): Series[] {
    const amounts = this.#database.all(
      `SELECT series, CAST(sum(whole) AS TEXT) AS whole, sum(millionths) AS millionths FROM open_usage
       WHERE ${condition} GROUP BY series`,
      ...values,
    )
    if (amounts.length === 0) return []
    const found = this.#seriesWhere(`series.id IN (SELECT series FROM open_usage WHERE ${condition})`, ...values)
    const byId = new Map(found.map(series => [series.id, series]))
    for (const row of amounts) {
      const series = byId.get(row.series as number)
      if (series === undefined) {
        throw new LedgerError('ERR_LEDGER_CORRUPT', `There is usage of series ${row.series}, which is not there.`)
      }
      series.recorded += amountOf(row)
      series.balance += amountOf(row)
    }
    this.#database.run(
      `INSERT INTO usage (hour, series, whole, millionths)
       SELECT hour, series, whole, millionths FROM open_usage WHERE ${condition} ${ADD_TO_WHAT_IS_THERE}`,
      ...values,
    )
    this.#database.run(`DELETE FROM open_usage WHERE ${condition}`, ...values)
    return found
  }

  #seriesWhere(condition: string, ...values: SQLInputValue[]): Series[] {
    const rows = this.#database.all(
      `SELECT series.id, series.recorded, series.balance, series.approved, account.id AS account, account.kind,
              account.product, account.license_arn, account.blocked_at, account.ended_at, dimension.size,
              dimension.max_quantity
       FROM series JOIN account ON account.id = series.account JOIN dimension ON dimension.id = series.dimension
       WHERE ${condition}`,
      ...values,
    )
    return rows.map(row => ({
      id: row.id as number,
      recorded: BigInt(row.recorded as string),
      balance: BigInt(row.balance as string),
      approved: row.approved as number,
      account: row.account as number,
      billable: row.kind === 'customer',
      product: row.product as string,
      identity: row.license_arn === null ? 'product-code' : 'licence',
      blocked: row.blocked_at !== null,
      ended: row.ended_at !== null,
      size: BigInt(row.size as string),
      maxQuantity: row.max_quantity as number | null,
    }))
  }

  /** Makes the whole units of a series' balance a record, where it may be, and saves the series. */
  #freeze(series: Series, freezer: Freezer | undefined): FrozenRecord[] {
    const frozen: FrozenRecord[] = []
    if (series.billable && freezer !== undefined && this.#mayFreeze(series, freezer)) {
      const { quantity, held } = freeze({ ...series, ended: series.ended && freezer.final !== true })
      const id = quantity > 0 ? this.#insertRecord(series, freezer, quantity, held) : undefined
      if (id !== undefined) {
        frozen.push({ id, held: held !== null })
        series.balance -= BigInt(quantity) * series.size
        if (held !== 'over-maximum') series.approved = 0
        // One that is held from the start is not sent, so it says nothing about the customer.
        if (series.blocked && held === null) {
          this.#database.run('UPDATE account SET probe_at = NULL WHERE id = ?', series.account)
        }
      }
    }
    const unfrozen = series.billable && series.balance >= series.size
    this.#database.run(
      'UPDATE series SET recorded = ?, balance = ?, approved = ?, unfrozen = ? WHERE id = ?',
      ...[String(series.recorded), String(series.balance), series.approved, unfrozen ? 1 : 0, series.id],
    )
    return frozen
  }

  /** A customer that is not subscribed keeps its usage in the balance, but for one record now and then, to see. */
  #mayFreeze(series: Series, freezer: Freezer): boolean {
    if (!series.blocked || series.balance < series.size) return true
    // Asked again, since another series of the account may just have become the probe.
    const probeAt = this.#database.get('SELECT probe_at FROM account WHERE id = ?', series.account)?.probe_at
    // A wait longer than the longest is from a clock that was ahead.
    return typeof probeAt === 'number' && (hourOf(probeAt) <= freezer.now || probeAt > freezer.now + LAST_PROBE_DELAY)
  }

  /** Undefined where the series has a record of the hour already. */
  #insertRecord(series: Series, freezer: Freezer, quantity: number, held: string | null): number | undefined {
    const row = this.#database.get(
      `INSERT INTO record (series, hour, timestamp, deadline, lane, quantity, size, probe, state, reason)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (series, hour) DO NOTHING RETURNING id`,
      ...[series.id, freezer.hour, freezer.timestamp, freezer.deadline, this.#laneId(series, freezer.region)],
      ...[quantity, String(series.size), series.blocked && held === null ? 1 : 0],
      ...[held === null ? 'pending' : 'held', held],
    )
    return row?.id as number | undefined
  }

  #laneId(series: Series, region: string): number {
    const lane = [series.product, series.identity, region]
    const found = this.#database.get('SELECT id FROM lane WHERE product = ? AND identity = ? AND region = ?', ...lane)
    return (
      (found?.id as number | undefined) ??
      this.#database.insert('INSERT INTO lane (product, identity, region) VALUES (?, ?, ?)', ...lane)
    )
  }

  /** Records of quantity 0 for the series that have none of the hour: late usage has had an hour to come. */
  #freezeIdle(freezer: Freezer): FrozenRecord[] {
    if (freezer.deadline <= freezer.now) return []
    const idle = this.#seriesWhere(
      `account.kind = 'customer' AND account.blocked_at IS NULL AND account.ended_at IS NULL AND series.first_hour <= ?
       AND NOT EXISTS (SELECT 1 FROM record WHERE record.series = series.id AND record.hour = ?)`,
      ...[freezer.hour, freezer.hour],
    )
    return idle.flatMap(series => {
      const id = this.#insertRecord(series, freezer, 0, null)
      return id === undefined ? [] : [{ id, held: false }]
    })
  }

  #closeResult(frozen: FrozenRecord[]): CloseResult {
    const held = frozen.filter(record => record.held)
    return { records: frozen.length, held: held.flatMap(({ id }) => recordEntry(this.#database, id)) }
  }

  async finalize(customer: CustomerAccount, options: FinalizeOptions): Promise<CloseResult> {
    const timestamp = wholeSecond(Math.min(options.endedAt, options.now))
    const hour = hourOf(timestamp)
    // AWS takes what is left for about an hour after the end of an agreement.
    const deadline = Math.min(options.endedAt + HOUR, windowClosesAt(hour)) - options.deadlineMargin
    const final = deadline > options.now
    return this.#database.write(`finalize ${customer.key}`, () => {
      const account = this.#accountId(customer)
      this.#database.run('UPDATE account SET ended_at = ? WHERE id = ?', options.endedAt, account)
      const ofAccount = 'series IN (SELECT id FROM series WHERE account = ?)'
      for (const series of this.#fold(`hour <= ? AND ${ofAccount}`, hour, account)) this.#freeze(series, undefined)
      const frozen = this.#seriesWhere('series.account = ?', account).flatMap(series =>
        this.#freeze(series, { ...options, hour, timestamp, deadline, final }),
      )
      this.#database.run(
        `UPDATE record SET deadline = min(deadline, ?), next_attempt_at = 0 WHERE state = 'pending' AND ${ofAccount}`,
        ...[deadline, account],
      )
      return this.#closeResult(frozen)
    })
  }

  // Sending

  async dueLanes(now: number): Promise<Lane[]> {
    const lanes = this.#database.all(
      `SELECT id, product, identity, region FROM lane
       WHERE EXISTS (SELECT 1 FROM record WHERE lane = lane.id AND ${DUE})`,
      ...dueAt(now),
    )
    return lanes.map(({ id, product, identity, region }) => ({
      id: String(id),
      product: product as string,
      identity: identity as Lane['identity'],
      region: region as string,
    }))
  }

  async claim(lane: Lane, options: ClaimOptions): Promise<MeteringRecord[]> {
    const claim = randomUUID()
    return this.#database.write('claim due records', () => {
      const due = recordEntries(
        this.#database,
        `record.id IN (SELECT id FROM record WHERE lane = ? AND ${DUE} ORDER BY deadline, id LIMIT ?)
         ORDER BY record.deadline, record.id`,
        ...[Number(lane.id), ...dueAt(options.now), options.limit],
      )
      for (const { id } of due) {
        this.#database.run(
          'UPDATE record SET attempts = attempts + 1, claim = ?, claimed_until = ? WHERE id = ?',
          ...[claim, options.claimedUntil, Number(id)],
        )
      }
      return due.map(({ id, account, dimension, quantity, timestamp, deadline, attempts }) => {
        return { id, claim, account, dimension, quantity, timestamp, deadline, attempts: attempts + 1 }
      })
    })
  }

  async settle(settlements: readonly Settlement[], now: number): Promise<SettledRecord[]> {
    return this.#database.write('settle records', () =>
      settlements.flatMap(settlement => {
        // One that is gone was settled by another process, and so long ago that it was pruned.
        const row = this.#findRecord(settlement.record.id)
        return row === undefined ? [] : [this.#settleOne(row, settlement, now)]
      }),
    )
  }

  #settleOne(row: Row, { record, outcome, answer }: Settlement, now: number): SettledRecord {
    const transition = afterAnswer(factsOf(row), outcome, row.claim === record.claim)
    this.#move(row, transition, now)
    this.#database.run(
      `UPDATE record SET answer = ?, metering_record_id = coalesce(?, metering_record_id),
              next_attempt_at = coalesce(?, next_attempt_at),
              claimed_until = iif(claim = ?, 0, claimed_until), claim = iif(claim = ?, NULL, claim)
       WHERE id = ?`,
      ...[answer, outcome.type === 'metered' ? (outcome.meteringRecordId ?? null) : null],
      ...[outcome.type === 'retry' ? outcome.at : null, record.claim, record.claim, row.id as number],
    )
    if (outcome.type === 'not-subscribed') {
      this.#database.run(
        'UPDATE account SET blocked_at = ?, probe_at = ?, probe_delay = ? WHERE id = ? AND blocked_at IS NULL',
        ...[now, now + FIRST_PROBE_DELAY, FIRST_PROBE_DELAY, row.account as number],
      )
    }
    if (outcome.type === 'metered') this.#unblock(row.account as number)
    return { record, state: transition.state, ...(transition.reason && { reason: transition.reason }) } as SettledRecord
  }

  async expire(now: number): Promise<ExpireResult> {
    return this.#database.write('expire records', () => {
      const late = this.#database.all(
        `SELECT id FROM record WHERE state = 'pending' AND claimed_until NOT BETWEEN ? AND ?
         AND (deadline <= ? OR (timestamp > ? AND attempts = refusals))`,
        // One that is to come by more than an hour was frozen by a clock that was ahead.
        ...[now + 1, now + HOUR, now, now + HOUR],
      )
      const held: RecordEntry[] = []
      for (const { id } of late) {
        const row = this.#recordRow(String(id))
        const transition = afterWindow(factsOf(row))
        this.#move(row, transition, now)
        if (transition.state === 'held') held.push(...recordEntry(this.#database, id as number))
      }
      return { returned: late.length - held.length, held }
    })
  }

  #recordRow(id: string): Row {
    const row = this.#findRecord(id)
    if (row === undefined) throw new LedgerError('ERR_LEDGER_NOT_FOUND', `There is no record ${id}.`)
    return row
  }

  #findRecord(id: string): Row | undefined {
    return this.#database.get(
      `SELECT record.*, series.account, series.metered, series.balance, account.ended_at
       FROM record JOIN series ON series.id = record.series JOIN account ON account.id = series.account
       WHERE record.id = ?`,
      Number(id),
    )
  }

  /** Gives a record its new state, and its amount to whom it now belongs. */
  #move(row: Row, { state, reason, refusals }: Transition, now: number): void {
    const amount = BigInt(row.quantity as number) * BigInt(row.size as string)
    let metered = BigInt(row.metered as string)
    let balance = BigInt(row.balance as string)
    if (state !== row.state) {
      if (row.state === 'returned') balance -= amount
      if (state === 'returned') balance += amount
      if (state === 'metered') metered += amount
      this.#database.run(
        'UPDATE series SET metered = ?, balance = ?, unfrozen = 1 WHERE id = ?',
        ...[String(metered), String(balance), row.series as number],
      )
      if (row.probe === 1 && state !== 'metered') {
        this.#database.run(
          `UPDATE account SET probe_delay = min(probe_delay * 2, ?), probe_at = ? + min(probe_delay * 2, ?)
           WHERE id = ? AND blocked_at IS NOT NULL`,
          ...[LAST_PROBE_DELAY, now, LAST_PROBE_DELAY, row.account as number],
        )
      }
    }
    this.#database.run(
      'UPDATE record SET state = ?, reason = ?, refusals = ? WHERE id = ?',
      ...[state, reason ?? null, refusals, row.id as number],
    )
  }

  #unblock(account: number): void {
    const blocked = this.#database.run(
      'UPDATE account SET blocked_at = NULL, probe_at = NULL, probe_delay = 0 WHERE id = ? AND blocked_at IS NOT NULL',
      account,
    )
    if (blocked > 0) this.#database.run('UPDATE series SET unfrozen = 1 WHERE account = ?', account)
  }

  async nextAttemptAt(): Promise<number | undefined> {
    const next = this.#database.get(
      "SELECT min(max(next_attempt_at, claimed_until, timestamp)) AS at FROM record WHERE state = 'pending'",
    )?.at
    return typeof next === 'number' ? next : undefined
  }

  // What can be asked

  async status(): Promise<LedgerStatus> {
    return this.#database.read('read the status', () => statusOf(this.#database))
  }

  async statement(query: StatementQuery = {}): Promise<StatementLine[]> {
    return this.#database.read('read the statement', () => statementLines(this.#database, query))
  }

  async records(query: RecordsQuery = {}): Promise<RecordEntry[]> {
    return this.#database.read('read the records', () => records(this.#database, query))
  }

  async audit({ limit = 100 }: { limit?: number } = {}): Promise<AuditEntry[]> {
    return this.#database.read('read the audit trail', () => auditEntries(this.#database, limit))
  }

  // What persons do

  async release(recordId: string, by: AuditNote): Promise<void> {
    this.#database.write(`release record ${recordId}`, () => {
      const row = this.#heldRow(recordId)
      if (row.reason === 'in-doubt') {
        throw new LedgerError(
          'ERR_LEDGER_STATE',
          `Record ${recordId} is in doubt: AWS may have billed it, and releasing it could bill it twice. Look in ` +
            'CloudTrail whether it was taken, and settle it as billed or as not billed.',
        )
      }
      this.#move(
        row,
        { state: 'returned', reason: row.reason as Transition['reason'], refusals: row.refusals as number },
        by.now,
      )
      // The hindrance is what the person judged to be over.
      if (row.reason === 'not-subscribed') this.#unblock(row.account as number)
      if (row.reason === 'agreement-ended') {
        this.#database.run('UPDATE account SET ended_at = NULL WHERE id = ?', row.account as number)
      }
      if (row.reason === 'over-maximum') {
        this.#database.run(
          'UPDATE series SET approved = min(approved + ?, ?) WHERE id = ?',
          ...[row.quantity as number, MAX_QUANTITY, row.series as number],
        )
      }
      this.#writeAudit('release', by, { row, detail: row.reason as string })
    })
  }

  async settleInDoubt(recordId: string, billed: boolean, by: AuditNote): Promise<void> {
    this.#database.write(`settle record ${recordId}`, () => {
      const row = this.#heldRow(recordId)
      if (row.reason !== 'in-doubt' && row.reason !== 'conflict') {
        throw new LedgerError(
          'ERR_LEDGER_STATE',
          `Record ${recordId} is held as ${row.reason}: AWS has not billed it. Release it when the hindrance is over.`,
        )
      }
      const state = billed ? 'metered' : 'returned'
      this.#move(row, { state, reason: row.reason as Transition['reason'], refusals: row.refusals as number }, by.now)
      this.#writeAudit('settle', by, { row, detail: billed ? 'billed' : 'not billed' })
    })
  }

  #heldRow(recordId: string): Row {
    const row = this.#recordRow(recordId)
    if (row.state === 'held') return row
    throw new LedgerError('ERR_LEDGER_STATE', `Record ${recordId} is ${row.state}; expected one that is held.`)
  }

  async attribute(accountKey: string, dimension: string, customer: CustomerAccount, by: AuditNote): Promise<bigint> {
    return this.#database.write(`attribute usage of ${accountKey}`, () => {
      const from = this.#wholeBalance(accountKey, dimension, 'unattributed')
      const to = this.#seriesId(this.#accountId(customer), this.#dimensionId(dimension), hourOf(by.now))
      this.#adjust(from.id, -from.balance, by.now)
      this.#adjust(to, from.balance, by.now)
      this.#writeAudit('attribute', by, { series: from.id, amount: from.balance, detail: customer.key })
      return from.balance
    })
  }

  async writeOff(accountKey: string, dimension: string, by: AuditNote): Promise<bigint> {
    return this.#database.write(`write off the balance of ${accountKey}`, () => {
      const { id, balance } = this.#wholeBalance(accountKey, dimension)
      this.#adjust(id, -balance, by.now)
      this.#writeAudit('write-off', by, { series: id, amount: balance })
      return balance
    })
  }

  /** A series with what it has of open hours brought into its balance. */
  #wholeBalance(accountKey: string, dimension: string, kind?: Account['kind']): { id: number; balance: bigint } {
    const found = this.#database.get(
      `SELECT series.id, account.kind FROM series JOIN account ON account.id = series.account
       JOIN dimension ON dimension.id = series.dimension WHERE account.key = ? AND dimension.name = ?`,
      ...[accountKey, dimension],
    )
    if (found === undefined) {
      throw new LedgerError('ERR_LEDGER_NOT_FOUND', `There is no usage of ${dimension} by the account "${accountKey}".`)
    }
    if (kind !== undefined && found.kind !== kind) {
      throw new LedgerError('ERR_LEDGER_STATE', `Expected an account that is ${kind}, got "${accountKey}".`)
    }
    for (const series of this.#fold('series = ?', found.id as number)) this.#freeze(series, undefined)
    const [series] = this.#seriesWhere('series.id = ?', found.id as number)
    if (series === undefined || series.balance <= 0n) {
      throw new LedgerError('ERR_LEDGER_STATE', `The balance of ${dimension} of the account "${accountKey}" is empty.`)
    }
    return series
  }

  /** Adds to what is recorded and to the balance, and says so in the usage of the present hour. */
  #adjust(series: number, amount: bigint, now: number): void {
    for (const one of this.#seriesWhere('series.id = ?', series)) {
      one.recorded += amount
      one.balance += amount
      this.#freeze(one, undefined)
    }
    this.#database.run(
      `INSERT INTO usage (hour, series, whole, millionths) VALUES (?, ?, ?, ?) ${ADD_TO_WHAT_IS_THERE}`,
      ...[hourOf(now), series, amount / MILLION, amount % MILLION],
    )
  }

  #writeAudit(
    action: AuditEntry['action'],
    by: AuditNote,
    what: { row?: Row; series?: number; amount?: bigint; detail?: string },
  ): void {
    const { row } = what
    const amount = row === undefined ? what.amount : BigInt(row.quantity as number) * BigInt(row.size as string)
    this.#database.run(
      'INSERT INTO audit (at, who, why, action, series, record, amount, detail) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
      ...[by.now, by.who, by.why, action, (row?.series as number | undefined) ?? what.series ?? null],
      ...[(row?.id as number | undefined) ?? null, amount === undefined ? null : String(amount), what.detail ?? null],
    )
  }

  // The file

  async prune(wanted: number): Promise<number> {
    // An hour that AWS may still take stays: without its record it could be frozen and billed once more.
    const closed = this.#database.get('SELECT closed_through FROM ledger')?.closed_through
    const before = typeof closed === 'number' ? Math.min(wanted, closed - PRUNED_AFTER) : 0
    let pruned = 0
    for (let changes = ROWS_PER_PRUNE; changes > 0; await nextTurn()) {
      changes = this.#database.write('delete what is settled and old', () =>
        this.#database.run(
          `DELETE FROM record WHERE id IN
           (SELECT id FROM record WHERE hour < ? AND state IN ('metered', 'returned') ORDER BY hour LIMIT ?)`,
          ...[before, ROWS_PER_PRUNE],
        ),
      )
      pruned += changes
    }
    for (let changes = ROWS_PER_PRUNE; changes > 0; await nextTurn()) {
      changes = this.#database.write('delete old usage', () =>
        this.#database.run(
          `DELETE FROM usage WHERE (hour, series) IN (SELECT hour, series FROM usage WHERE hour < ? LIMIT ?)`,
          ...[before, ROWS_PER_PRUNE],
        ),
      )
    }
    return pruned
  }

  async backup(path: string): Promise<void> {
    // A ledger that is closed says so.
    this.#database.read('back the ledger up', () => {})
    if (this.path === ':memory:' || resolve(path) === resolve(this.path)) {
      throw new LedgerError('ERR_LEDGER_INVALID', `Expected a ledger's file to copy to another, got ${path}.`)
    }
    await replaceFile(path, partial => copyLedgerFile(this.path, partial))
  }

  async close(): Promise<void> {
    this.#database.close()
  }

  /**
   * Makes a ledger of a backup. What was not billed when the backup was made may have been billed since, by the ledger
   * that was lost: so every balance is held in doubt, what was pending counts as attempted, and only what is recorded
   * from the present hour on is billed by itself.
   */
  static async restore({ from, to, ...by }: RestoreOptions): Promise<SqliteLedger> {
    new SqliteLedger({ path: from, readOnly: true }).#database.close()
    if (existsSync(to) || !existsSync(dirname(to))) {
      throw new LedgerError('ERR_LEDGER_IO', `cannot restore to ${to}: expected a new file in a folder that exists`)
    }
    // Under its name there is only ever the whole: a mere copy would bill again.
    await replaceFile(to, async partial => {
      await copyLedgerFile(from, partial)
      const ledger = new SqliteLedger({ path: partial })
      try {
        ledger.#doubtEverything(by)
        ledger.#database.checkpoint()
      } finally {
        ledger.#database.close()
      }
    })
    return new SqliteLedger({ path: to })
  }

  #doubtEverything(by: AuditNote): void {
    this.#database.write('restore the ledger', () => {
      for (const series of this.#fold('true')) this.#freeze(series, undefined)
      const closed = this.#closedThrough(by.now)
      const present = hourOf(by.now)
      const terms = { now: by.now, closeDelay: 0, deadlineMargin: 0, region: 'restored' }
      for (const series of this.#seriesWhere("account.kind = 'customer'")) {
        if (series.balance <= 0n) continue
        // The fraction may have been billed in a later whole, so all of the balance is one quantity.
        const whole = { ...series, size: series.balance }
        for (let hour = Math.max(closed + HOUR, present - 24 * HOUR); ; hour += HOUR) {
          if (this.#insertRecord(whole, closedHour(hour, terms), 1, 'in-doubt') !== undefined) break
        }
        series.balance = 0n
        this.#freeze(series, undefined)
      }
      // What was pending may have been sent since, and what was held released and sent again.
      this.#database.run(
        `UPDATE record SET attempts = refusals + 1 WHERE state IN ('pending', 'held') AND attempts = refusals`,
      )
      this.#database.run("UPDATE record SET reason = 'in-doubt' WHERE state = 'held'")
      this.#database.run('UPDATE ledger SET closed_through = ?', Math.max(closed, present - HOUR))
      this.#writeAudit('restore', by, {})
    })
  }
}

/** Makes a file whole before it gets its name. */
async function replaceFile(path: string, write: (partial: string) => Promise<void>): Promise<void> {
  const partial = `${path}.partial`
  const clear = () => {
    for (const end of ['', '-wal', '-shm', '-journal']) rmSync(`${partial}${end}`, { force: true })
  }
  clear()
  try {
    await write(partial)
    renameSync(partial, path)
  } finally {
    clear()
  }
}

const MILLION = 1_000_000n

const ADD_TO_WHAT_IS_THERE = `
  ON CONFLICT (hour, series) DO UPDATE
  SET whole = whole + excluded.whole + (millionths + excluded.millionths) / 1000000,
      millionths = (millionths + excluded.millionths) % 1000000`

/** What may be sent at an instant. */
const DUE = `state = 'pending' AND next_attempt_at NOT BETWEEN ? AND ? AND claimed_until NOT BETWEEN ? AND ?
  AND timestamp <= ? AND deadline > ?`
// No wait is longer than an hour; what seems to be is from a clock that was ahead.
const dueAt = (now: number) => [now + 1, now + HOUR, now + 1, now + HOUR, now, now]

interface Series {
  readonly id: number
  recorded: bigint
  balance: bigint
  approved: number
  readonly account: number
  readonly billable: boolean
  readonly product: string
  readonly identity: Lane['identity']
  readonly blocked: boolean
  readonly ended: boolean
  readonly size: bigint
  readonly maxQuantity: number | null
}

/** The hour that usage is frozen into, and the terms. */
interface Freezer extends CloseOptions {
  readonly hour: number
  readonly timestamp: number
  readonly deadline: number
  /** Whether it is the last that an agreement which has ended takes. */
  readonly final?: boolean
}

interface FrozenRecord {
  readonly id: number
  readonly held: boolean
}

/** The last second of an hour: not before any usage of it, and AWS's window closes latest. */
function closedHour(hour: number, options: CloseOptions): Freezer {
  const deadline = windowClosesAt(hour) - options.deadlineMargin
  return { ...options, hour, timestamp: hour + HOUR - SECOND, deadline }
}

function factsOf(row: Row): RecordFacts {
  return {
    state: row.state as RecordFacts['state'],
    reason: (row.reason as string | null) ?? undefined,
    quantity: row.quantity as number,
    attempts: row.attempts as number,
    refusals: row.refusals as number,
    probe: row.probe === 1,
    ended: row.ended_at !== null,
  }
}
