import { setImmediate as nextTurn } from 'node:timers/promises'
import type { CustomerAccount } from '../../usage/account.ts'
import { freeze } from '../freeze.ts'
import { HOUR, hourOf, SECOND, wholeSecond, windowClosesAt } from '../hours.ts'
import type { CloseOptions, CloseResult, FinalizeOptions } from '../ledger.ts'
import type { Database } from './database.ts'
import { openHours, recordEntry } from './reports.ts'
import { LAST_PROBE_DELAY } from './sending.ts'
import { accountId, fold, type Series, saveSeries, seriesWhere } from './series.ts'

/** Closing hours: open usage goes into its series' balances, and what is whole there into records. */

/** How many series one transaction closes, so that no turn of the event loop takes long. */
const SERIES_PER_CHUNK = 2000

/** How long the digests of batches are kept; the sequence that tells a repeated batch is kept for good. */
const DIGESTS_KEPT = 48 * HOUR

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

export async function closeHours(database: Database, options: CloseOptions): Promise<CloseResult> {
  const latest = hourOf(options.now - options.closeDelay) - HOUR
  const frozen: FrozenRecord[] = []
  if (latest <= closedThrough(database, options.now)) return { records: 0, held: [] }
  const open = openHours(database)
  // Usage of an hour that is to come is from a clock that was ahead.
  const early = open.filter(hour => hour > hourOf(options.now))
  for (const hour of [...open.filter(hour => hour < latest), ...early, latest]) {
    const freezer = closedHour(hour, options)
    const late = hour > latest || hour <= closedThrough(database, options.now) || freezer.deadline <= options.now
    // What came late for an hour that is closed, or can no longer be sent, goes into the latest one.
    frozen.push(...(await closeHour(database, hour, late && hour !== latest ? undefined : freezer)))
  }
  return closeResult(database, frozen)
}

export function finalize(database: Database, customer: CustomerAccount, options: FinalizeOptions): CloseResult {
  const timestamp = wholeSecond(Math.min(options.endedAt, options.now))
  const hour = hourOf(timestamp)
  // AWS takes what is left for about an hour after the end of an agreement.
  const deadline = Math.min(options.endedAt + HOUR, windowClosesAt(hour)) - options.deadlineMargin
  const final = deadline > options.now
  return database.write('finalize a customer', () => {
    const account = accountId(database, customer)
    database.run('UPDATE account SET ended_at = ? WHERE id = ?', options.endedAt, account)
    const ofAccount = 'series IN (SELECT id FROM series WHERE account = ?)'
    for (const series of fold(database, `hour <= ? AND ${ofAccount}`, hour, account)) saveSeries(database, series)
    const frozen = seriesWhere(database, 'series.account = ?', account).flatMap(series =>
      freezeSeries(database, series, { ...options, hour, timestamp, deadline, final }),
    )
    database.run(
      `UPDATE record SET deadline = min(deadline, ?), next_attempt_at = 0 WHERE state = 'pending' AND ${ofAccount}`,
      ...[deadline, account],
    )
    return closeResult(database, frozen)
  })
}

/** The last hour that is closed. One that is still to come was closed by a clock that was ahead: it does not count. */
export function closedThrough(database: Database, now: number): number {
  const closed = database.get('SELECT closed_through FROM ledger')?.closed_through
  return typeof closed === 'number' && closed <= now ? closed : Number.NEGATIVE_INFINITY
}

/**
 * Moves an hour's usage to the balances, and freezes what is whole into records (given a freezer). Each transaction
 * takes a chunk of series and leaves nothing of it to take again, so it does not matter how many processes do it at
 * once, nor where one dies.
 */
async function closeHour(database: Database, hour: number, freezer: Freezer | undefined): Promise<FrozenRecord[]> {
  const doing = `close the hour ${new Date(hour).toISOString()}`
  const frozen: FrozenRecord[] = []
  for (let more = true; more; await nextTurn()) {
    database.write(doing, () => {
      const last = database.get(
        'SELECT max(series) AS series FROM (SELECT series FROM open_usage WHERE hour = ? ORDER BY series LIMIT ?)',
        ...[hour, SERIES_PER_CHUNK],
      )?.series as number | null
      more = last !== null
      for (const series of fold(database, 'hour = ? AND series <= ?', hour, last)) {
        if (freezer === undefined) saveSeries(database, series)
        else frozen.push(...freezeSeries(database, series, freezer))
      }
    })
  }
  if (freezer === undefined) return frozen
  // Then whoever has whole units in the balance without any new usage.
  for (let after = -1, more = true; more; await nextTurn()) {
    database.write(doing, () => {
      const unfrozen = seriesWhere(
        database,
        'series.unfrozen = 1 AND series.id > ? ORDER BY series.id LIMIT ?',
        ...[after, SERIES_PER_CHUNK],
      )
      for (const series of unfrozen) frozen.push(...freezeSeries(database, series, freezer))
      after = unfrozen.at(-1)?.id ?? after
      more = unfrozen.length > 0
    })
  }
  database.write(doing, () => {
    if (hour <= closedThrough(database, freezer.now)) return
    if (freezer.zeroQuantityRecords === true) frozen.push(...freezeIdle(database, closedHour(hour - HOUR, freezer)))
    database.run('UPDATE ledger SET closed_through = ?', hour)
    database.run('DELETE FROM batch WHERE at < ?', hour - DIGESTS_KEPT)
  })
  return frozen
}

/** Makes the whole units of a series' balance a record, where it may be, and saves the series. */
function freezeSeries(database: Database, series: Series, freezer: Freezer): FrozenRecord[] {
  const frozen: FrozenRecord[] = []
  if (series.billable && mayFreeze(database, series, freezer)) {
    const { quantity, held } = freeze({ ...series, ended: series.ended && freezer.final !== true })
    const id = quantity > 0 ? insertRecord(database, series, freezer, quantity, held) : undefined
    if (id !== undefined) {
      frozen.push({ id, held: held !== null })
      series.balance -= BigInt(quantity) * series.size
      if (held !== 'over-maximum') series.approved = 0
      // One that is held from the start is not sent, so it says nothing about the customer.
      if (series.blocked && held === null) {
        database.run('UPDATE account SET probe_at = NULL WHERE id = ?', series.account)
      }
    }
  }
  saveSeries(database, series)
  return frozen
}

/** A customer that is not subscribed keeps its usage in the balance, but for one record now and then, to see. */
function mayFreeze(database: Database, series: Series, freezer: Freezer): boolean {
  if (!series.blocked || series.balance < series.size) return true
  // Asked again, since another series of the account may just have become the probe.
  const probeAt = database.get('SELECT probe_at FROM account WHERE id = ?', series.account)?.probe_at
  // A wait longer than the longest is from a clock that was ahead.
  return typeof probeAt === 'number' && (hourOf(probeAt) <= freezer.now || probeAt > freezer.now + LAST_PROBE_DELAY)
}

/** Undefined where the series has a record of the hour already. */
export function insertRecord(
  database: Database,
  series: Series,
  freezer: Freezer,
  quantity: number,
  held: string | null,
): number | undefined {
  const row = database.get(
    `INSERT INTO record (series, hour, timestamp, deadline, lane, quantity, size, probe, state, reason)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (series, hour) DO NOTHING RETURNING id`,
    ...[series.id, freezer.hour, freezer.timestamp, freezer.deadline, laneId(database, series, freezer.region)],
    ...[quantity, String(series.size), series.blocked && held === null ? 1 : 0],
    ...[held === null ? 'pending' : 'held', held],
  )
  return row?.id as number | undefined
}

function laneId(database: Database, series: Series, region: string): number {
  const lane = [series.product, series.identity, region]
  const found = database.get('SELECT id FROM lane WHERE product = ? AND identity = ? AND region = ?', ...lane)
  return (
    (found?.id as number | undefined) ??
    database.insert('INSERT INTO lane (product, identity, region) VALUES (?, ?, ?)', ...lane)
  )
}

/** Records of quantity 0 for the series that have none of the hour: late usage has had an hour to come. */
function freezeIdle(database: Database, freezer: Freezer): FrozenRecord[] {
  if (freezer.deadline <= freezer.now) return []
  const idle = seriesWhere(
    database,
    `account.kind = 'customer' AND account.blocked_at IS NULL AND account.ended_at IS NULL AND series.first_hour <= ?
     AND NOT EXISTS (SELECT 1 FROM record WHERE record.series = series.id AND record.hour = ?)`,
    ...[freezer.hour, freezer.hour],
  )
  return idle.flatMap(series => {
    const id = insertRecord(database, series, freezer, 0, null)
    return id === undefined ? [] : [{ id, held: false }]
  })
}

function closeResult(database: Database, frozen: FrozenRecord[]): CloseResult {
  const held = frozen.filter(record => record.held)
  return { records: frozen.length, held: held.flatMap(({ id }) => recordEntry(database, id)) }
}

/** The last second of an hour: not before any usage of it, and AWS's window closes latest. */
export function closedHour(hour: number, options: CloseOptions): Freezer {
  const deadline = windowClosesAt(hour) - options.deadlineMargin
  return { ...options, hour, timestamp: hour + HOUR - SECOND, deadline }
}
