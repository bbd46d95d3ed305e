import { WRITERS_KEPT } from '../hours.ts'
import type { CloseOptions, CloseResult } from '../ledger.ts'
import { hoursToClose, idleHours, lastClosed, latestHour, type Terms, termsToClose } from '../rules/closing.ts'
import { DIGESTS_KEPT } from '../rules/retention.ts'
import type { Piece } from '../sql/piece.ts'
import { anyWaits } from './counters.ts'
import type { Database, Transaction } from './database.ts'
import { allIncluded } from './entitlements.ts'
import { decideWaiting, foldJournal, journalBytes } from './fold.ts'
import { ledgerRow, lockLedger } from './ledger-row.ts'
import { both, type FrozenRecords, NONE, savePiece } from './piece.ts'
import { entriesOf, openHours } from './reports.ts'
import { loadSeries, makeIdleSeries, takeOpenUsage } from './series.ts'

/** Closing hours: open usage goes into its series' balances, and what is whole there into records. */

/** How many series one transaction closes, so that nobody waits for it long. */
const SERIES_PER_CHUNK = 5000
/** And after so many sets of tags no other series; one has some thousands at most. */
const SHARES_PER_CHUNK = 20_000

/** How much the journal gathers before it is folded in the middle of an hour, in bytes. */
const MUCH = 32_000_000

/** What one transaction did, and the last series that it came to; null when there was none. */
interface Chunk {
  readonly frozen: FrozenRecords
  readonly last: number | null
}

export async function closeHours(database: Database, options: CloseOptions): Promise<CloseResult> {
  const [before, gathered, waits] = await database.read('look which hours are closed', async transaction => {
    const { closedThrough } = await ledgerRow(transaction)
    const waits = await anyWaits(transaction, options.now)
    return [lastClosed(closedThrough, options.now), await journalBytes(transaction), waits] as const
  })
  const due = latestHour(options) > before
  // In time between two hours, too, so that none has too much to do.
  if (due || waits || gathered > MUCH) await foldJournal(database)
  if (due || waits) await decideWaiting(database, options.now)
  if (!due) return { records: 0, held: [] }
  const { zeroQuantityRecords, sold } = options
  if (zeroQuantityRecords === true && sold !== undefined) {
    await database.write('make series of idle customers', async transaction => {
      await lockLedger(transaction)
      await makeIdleSeries(transaction, sold)
    })
  }
  const open = await database.read('look which hours are open', openHours)
  let [frozen, closed] = [NONE, before]
  for (const hour of hoursToClose(open, options)) {
    const terms = termsToClose(hour, closed, options)
    frozen = both(frozen, await closeHour(database, hour, closed, terms))
    if (terms !== undefined) closed = Math.max(closed, hour)
  }
  return await closeResult(database, frozen)
}

/**
 * Moves an hour's usage to the balances, and freezes what is whole into records (given terms). Each transaction takes
 * a chunk of series and leaves nothing of it to take again, so it does not matter how many processes do it at once,
 * nor where one dies.
 *
 * @param closed the last hour that was closed before
 */
async function closeHour(
  database: Database,
  hour: number,
  closed: number,
  terms: Terms | undefined,
): Promise<FrozenRecords> {
  const doing = `close the hour ${new Date(hour).toISOString()}`
  let frozen = NONE
  /** Goes through the series from the first on. */
  const through = async (work: (transaction: Transaction, after: number) => Promise<Chunk>): Promise<void> => {
    for (let after: number | null = 0; after !== null; ) {
      const from: number = after
      const chunk = await database.writeOnce(doing, async transaction => {
        await lockLedger(transaction)
        return await work(transaction, from)
      })
      frozen = both(frozen, chunk.frozen)
      after = chunk.last
    }
  }
  await through((transaction, after) => closeUsage(transaction, hour, after, terms))
  if (terms === undefined) return frozen
  await through((transaction, after) => closeUnfrozen(transaction, after, terms))
  for (const idle of idleHours(hour, closed, terms)) {
    await through((transaction, after) => closeIdle(transaction, after, idle))
  }
  await database.write(doing, async transaction => {
    const { closedThrough } = await lockLedger(transaction)
    if (hour <= lastClosed(closedThrough, terms.now)) return
    await transaction.run('UPDATE ledger SET closed_through = $1', hour)
    await forgetDigests(transaction, hour, closedThrough)
    await transaction.run("DELETE FROM operation WHERE at < now() - interval '1 hour'")
  })
  return frozen
}

/** The next series that have open usage of the hour. */
async function closeUsage(
  transaction: Transaction,
  hour: number,
  after: number,
  terms: Terms | undefined,
): Promise<Chunk> {
  const last = await lastOfChunk(transaction, hour, after)
  if (last === null) return { frozen: NONE, last }
  const used = await takeOpenUsage(transaction, hour, 'hour = $1 AND series > $2 AND series <= $3', ...[after, last])
  if (terms !== undefined) used.freeze(terms, await allIncluded(transaction))
  return await saveChunk(transaction, used)
}

/** The last of the series whose usage of an hour is taken at once; null where there is none. */
async function lastOfChunk(transaction: Transaction, hour: number, after: number): Promise<number | null> {
  const row = await transaction.get(
    `SELECT min(series) AS first, max(series) AS last FROM (
       SELECT series FROM open_usage WHERE hour = $1 AND series > $2 ORDER BY series LIMIT $3
     ) AS next`,
    ...[hour, after, SERIES_PER_CHUNK],
  )
  const [first, last] = [row?.first as number | null, row?.last as number | null]
  if (first === null || last === null) return null
  const full = await transaction.get(
    'SELECT series FROM open_share WHERE hour = $1 AND series > $2 ORDER BY series OFFSET $3 LIMIT 1',
    ...[hour, after, SHARES_PER_CHUNK],
  )
  return Math.max(first, Math.min(last, (full?.series as number | undefined) ?? last))
}

/** The next series that may have whole units in the balance without any new usage. */
async function closeUnfrozen(transaction: Transaction, after: number, terms: Terms): Promise<Chunk> {
  const piece = await loadSeries(
    transaction,
    terms.hour,
    'series.unfrozen AND series.id > $2 ORDER BY series.id LIMIT $3',
    ...[after, SERIES_PER_CHUNK],
  )
  piece.freeze(terms, await allIncluded(transaction))
  return await saveChunk(transaction, piece)
}

/** The next series, which get records of quantity 0 where they are idle. */
async function closeIdle(transaction: Transaction, after: number, terms: Terms): Promise<Chunk> {
  const piece = await loadSeries(
    transaction,
    terms.hour,
    `account.kind = 'customer' AND series.first_hour <= $1
     AND NOT EXISTS (SELECT FROM record WHERE record.series = series.id AND record.hour = $1)
     AND series.id > $2 ORDER BY series.id LIMIT $3`,
    ...[after, SERIES_PER_CHUNK],
  )
  piece.freezeIdle(terms)
  return await saveChunk(transaction, piece)
}

async function saveChunk(transaction: Transaction, piece: Piece): Promise<Chunk> {
  return { frozen: await savePiece(transaction, piece), last: piece.series.at(-1)?.id ?? null }
}

/**
 * Digests that are older. A writer's last batch stays while the writer may live: it tells its next from a repeated one.
 * Those that stay are not looked at again, or each hour would take longer than the one before.
 */
async function forgetDigests(transaction: Transaction, hour: number, closedBefore = 0): Promise<void> {
  await transaction.run(
    `DELETE FROM batch WHERE at < $1 AND at >= $2 AND EXISTS (
       SELECT FROM batch AS later WHERE later.writer = batch.writer AND later.sequence > batch.sequence
     )`,
    ...[hour - DIGESTS_KEPT, closedBefore - 2 * DIGESTS_KEPT],
  )
  await transaction.run('DELETE FROM batch WHERE at < $1', hour - WRITERS_KEPT)
}

export async function closeResult(database: Database, { records, held }: FrozenRecords): Promise<CloseResult> {
  return { records, held: await entriesOf(database, held) }
}
