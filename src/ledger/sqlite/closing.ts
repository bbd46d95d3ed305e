import { setImmediate as nextTurn } from 'node:timers/promises'
import type { CustomerAccount } from '../../usage/account.ts'
import { HOUR } from '../hours.ts'
import type { CloseOptions, CloseResult, FinalizeOptions } from '../ledger.ts'
import {
  type ClosedSeries,
  closeSeries,
  closingTerms,
  finalTerms,
  hoursToClose,
  lastClosed,
  latestHour,
  type Terms,
  termsToClose,
  unclosed,
} from '../rules/closing.ts'
import { DIGESTS_KEPT } from '../rules/retention.ts'
import type { Database } from './database.ts'
import { closedThrough, openHours, recordEntry } from './reports.ts'
import { accountId, fold, type Series, saveSeries, seriesWhere } from './series.ts'

/** Closing hours: open usage goes into its series' balances, and what is whole there into records. */

/** How many series one transaction closes, so that no turn of the event loop takes long. */
const SERIES_PER_CHUNK = 2000

interface FrozenRecord {
  readonly id: number
  readonly held: boolean
}

export async function closeHours(database: Database, options: CloseOptions): Promise<CloseResult> {
  const closed = () => lastClosed(closedThrough(database), options.now)
  const frozen: FrozenRecord[] = []
  if (latestHour(options) <= closed()) return { records: 0, held: [] }
  for (const hour of hoursToClose(openHours(database), options)) {
    // Another process may have closed it meanwhile.
    frozen.push(...(await closeHour(database, hour, termsToClose(hour, closed(), options))))
  }
  return closeResult(database, frozen)
}

export function finalize(database: Database, customer: CustomerAccount, options: FinalizeOptions): CloseResult {
  const terms = finalTerms(options)
  return database.write('finalize a customer', () => {
    const account = accountId(database, customer)
    database.run('UPDATE account SET ended_at = ? WHERE id = ?', options.endedAt, account)
    const ofAccount = 'series IN (SELECT id FROM series WHERE account = ?)'
    for (const series of fold(database, `hour <= ? AND ${ofAccount}`, terms.hour, account)) saveSeries(database, series)
    const frozen = seriesWhere(database, 'series.account = ?', account).flatMap(series =>
      freezeSeries(database, series, terms),
    )
    database.run(
      `UPDATE record SET deadline = min(deadline, ?), next_attempt_at = 0 WHERE state = 'pending' AND ${ofAccount}`,
      ...[terms.deadline, account],
    )
    return closeResult(database, frozen)
  })
}

/**
 * Moves an hour's usage to the balances, and freezes what is whole into records (given terms). Each transaction
 * takes a chunk of series and leaves nothing of it to take again, so it does not matter how many processes do it at
 * once, nor where one dies.
 */
async function closeHour(database: Database, hour: number, terms: Terms | undefined): Promise<FrozenRecord[]> {
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
        if (terms === undefined) saveSeries(database, series)
        else frozen.push(...freezeSeries(database, series, terms))
      }
    })
  }
  if (terms === undefined) return frozen
  // Then whoever has whole units in the balance without any new usage.
  for (let after = -1, more = true; more; await nextTurn()) {
    database.write(doing, () => {
      const unfrozen = seriesWhere(
        database,
        'series.unfrozen = 1 AND series.id > ? ORDER BY series.id LIMIT ?',
        ...[after, SERIES_PER_CHUNK],
      )
      for (const series of unfrozen) frozen.push(...freezeSeries(database, series, terms))
      after = unfrozen.at(-1)?.id ?? after
      more = unfrozen.length > 0
    })
  }
  database.write(doing, () => {
    if (hour <= lastClosed(closedThrough(database), terms.now)) return
    if (terms.zeroQuantityRecords === true) frozen.push(...freezeIdle(database, closingTerms(hour - HOUR, terms)))
    database.run('UPDATE ledger SET closed_through = ?', hour)
    database.run('DELETE FROM batch WHERE at < ?', hour - DIGESTS_KEPT)
  })
  return frozen
}

/** Makes the whole units of a series' balance a record, where that may be, and saves the series. */
function freezeSeries(database: Database, series: Series, terms: Terms): FrozenRecord[] {
  const probeAt = series.blocked ? probeAtOf(database, series) : null
  const closed = closeSeries({ ...series, probeAt, taken: false }, terms)
  const { record } = closed
  const id = record && insertRecord(database, series, terms, record)
  // Where it has a record of the hour already, which only inserting tells, its units stay.
  saveSeries(database, series, id === undefined ? unclosed(series) : closed)
  if (record === undefined || id === undefined) return []
  if (record.probe) database.run('UPDATE account SET probe_at = NULL WHERE id = ?', series.account)
  return [{ id, held: record.held !== null }]
}

/** Asked for each series, since another one of the account may just have become the probe. */
function probeAtOf(database: Database, { account }: Series): number | null {
  return (database.get('SELECT probe_at FROM account WHERE id = ?', account)?.probe_at ?? null) as number | null
}

/** Undefined where the series has a record of the hour already. */
export function insertRecord(
  database: Database,
  series: Series,
  terms: Terms,
  { quantity, held, probe }: NonNullable<ClosedSeries['record']>,
): number | undefined {
  const row = database.get(
    `INSERT INTO record (series, hour, timestamp, deadline, lane, quantity, size, probe, state, reason)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (series, hour) DO NOTHING RETURNING id`,
    ...[series.id, terms.hour, terms.timestamp, terms.deadline, laneId(database, series, terms.region)],
    ...[quantity, String(series.size), probe ? 1 : 0],
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
function freezeIdle(database: Database, terms: Terms): FrozenRecord[] {
  if (terms.deadline <= terms.now) return []
  const idle = seriesWhere(
    database,
    `account.kind = 'customer' AND account.blocked_at IS NULL AND account.ended_at IS NULL AND series.first_hour <= ?
     AND NOT EXISTS (SELECT 1 FROM record WHERE record.series = series.id AND record.hour = ?)`,
    ...[terms.hour, terms.hour],
  )
  return idle.flatMap(series => {
    const id = insertRecord(database, series, terms, { quantity: 0, held: null, probe: false })
    return id === undefined ? [] : [{ id, held: false }]
  })
}

function closeResult(database: Database, frozen: FrozenRecord[]): CloseResult {
  const held = frozen.filter(record => record.held)
  return { records: frozen.length, held: held.flatMap(({ id }) => recordEntry(database, id)) }
}
