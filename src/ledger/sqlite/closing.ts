import { setImmediate as nextTurn } from 'node:timers/promises'
import type { CloseOptions, CloseResult } from '../ledger.ts'
import { hoursToClose, idleHours, lastClosed, latestHour, type Terms, termsToClose } from '../rules/closing.ts'
import { DIGESTS_KEPT } from '../rules/retention.ts'
import type { Piece } from '../sql/piece.ts'
import type { Database } from './database.ts'
import { allIncluded } from './entitlements.ts'
import { nextSeries, openHours } from './open-usage.ts'
import { type SavedRecord, savePiece } from './piece.ts'
import { closedThrough, entriesOf } from './reports.ts'
import { loadSeries, makeIdleSeries, takeOpenUsage } from './series.ts'

/** Closing hours: open usage goes into its series' balances, and what is whole there into records. */

/** How many series one transaction closes, so that no turn of the event loop takes long. */
const SERIES_PER_CHUNK = 300
/** And after so many sets of tags no other series; one has some thousands at most. */
const SHARES_PER_CHUNK = 10_000

export async function closeHours(database: Database, options: CloseOptions): Promise<CloseResult> {
  const closed = () => lastClosed(closedThrough(database), options.now)
  const frozen: SavedRecord[] = []
  if (latestHour(options) <= closed()) return { records: 0, held: [] }
  const { zeroQuantityRecords, sold } = options
  if (zeroQuantityRecords === true && sold !== undefined) {
    database.write('make series of idle customers', () => makeIdleSeries(database, sold))
  }
  for (const hour of hoursToClose(openHours(database), options)) {
    // Another process may have closed it meanwhile.
    // An hour may have more than a call takes as arguments.
    for (const one of await closeHour(database, hour, termsToClose(hour, closed(), options))) frozen.push(one)
  }
  return closeResult(database, frozen)
}

/**
 * Moves an hour's usage to the balances, and freezes what is whole into records (given terms). Each transaction
 * takes a chunk of series and leaves nothing of it to take again, so it does not matter how many processes do it at
 * once, nor where one dies.
 */
async function closeHour(database: Database, hour: number, terms: Terms | undefined): Promise<SavedRecord[]> {
  const doing = `close the hour ${new Date(hour).toISOString()}`
  const frozen: SavedRecord[] = []
  for (let more = true; more; await nextTurn()) {
    database.write(doing, () => {
      const last = lastOfChunk(database, hour)
      more = last !== undefined
      if (last === undefined) return
      const piece = takeOpenUsage(database, hour, { hours: [hour], last })
      if (terms !== undefined) piece.freeze(terms, allIncluded(database))
      frozen.push(...savePiece(database, piece))
    })
  }
  if (terms === undefined) return frozen
  // Then whoever has whole units in the balance without any new usage.
  await inChunks(database, doing, hour, 'series.unfrozen = 1', piece => {
    piece.freeze(terms, allIncluded(database))
    frozen.push(...savePiece(database, piece))
  })
  for (const idle of idleHours(hour, lastClosed(closedThrough(database), terms.now), terms)) {
    await inChunks(database, doing, idle.hour, "account.kind = 'customer'", piece => {
      piece.freezeIdle(idle)
      frozen.push(...savePiece(database, piece))
    })
  }
  database.write(doing, () => {
    if (hour <= lastClosed(closedThrough(database), terms.now)) return
    database.run('UPDATE ledger SET closed_through = ?', hour)
    database.run('DELETE FROM batch WHERE at < ?', hour - DIGESTS_KEPT)
  })
  return frozen
}

/** The last of the series whose usage of an hour is taken at once; undefined where there is none. */
function lastOfChunk(database: Database, hour: number): number | undefined {
  const next = nextSeries(database, hour, SERIES_PER_CHUNK)
  if (next === undefined) return undefined
  const { first, last } = next
  const shares = 'SELECT series FROM open_share WHERE hour = ? ORDER BY series LIMIT 1 OFFSET ?'
  const full = database.get(shares, hour, SHARES_PER_CHUNK)?.series as number | undefined
  return Math.max(first, Math.min(last, full ?? last))
}

/** Brings all usage of open hours into its series' totals. */
export async function takeAllUsage(database: Database): Promise<void> {
  for (const hour of openHours(database)) await closeHour(database, hour, undefined)
}

/**
 * Goes through the series that a condition names, a transaction for each chunk.
 *
 * @param hour of which they may have a record
 */
export async function inChunks(
  database: Database,
  doing: string,
  hour: number,
  condition: string,
  work: (piece: Piece) => void,
): Promise<void> {
  for (let after: number | undefined = 0; after !== undefined; await nextTurn()) {
    const from: number = after
    after = database.write(doing, () => {
      const next = `${condition} AND series.id > ? ORDER BY series.id LIMIT ?`
      const piece = loadSeries(database, hour, next, from, SERIES_PER_CHUNK)
      work(piece)
      return piece.series.at(-1)?.id
    })
  }
}

export function closeResult(database: Database, frozen: readonly SavedRecord[]): CloseResult {
  const held = frozen.filter(record => record.held).map(({ id }) => id)
  return { records: frozen.length, held: entriesOf(database, held) }
}
