import type { CustomerAccount } from '../../usage/account.ts'
import { HOUR } from '../hours.ts'
import type { CloseOptions, CloseResult, FinalizeOptions, HeldReason } from '../ledger.ts'
import {
  closeSeries,
  closingTerms,
  finalTerms,
  hoursToClose,
  lastClosed,
  latestHour,
  type Terms,
  termsToClose,
} from '../rules/closing.ts'
import { DIGESTS_KEPT } from '../rules/retention.ts'
import { anyWaits } from './counters.ts'
import type { Database, Transaction } from './database.ts'
import { decideWaiting, foldJournal, journalBytes } from './fold.ts'
import { ledgerRow, lockLedger } from './ledger-row.ts'
import { entriesOf, openHours } from './reports.ts'
import { accountId, type Series, saveSeries, seriesWhere, takeOpenUsage, unclosed } from './series.ts'

/** Closing hours: open usage goes into its series' balances, and what is whole there into records. */

/** How many series one transaction closes, so that nobody waits for it long. */
const SERIES_PER_CHUNK = 5000

/** How much the journal gathers before it is folded in the middle of an hour, in bytes. */
const MUCH = 32_000_000

/** How many records were made, and the ids of those that are held. */
interface FrozenRecords {
  readonly records: number
  readonly held: readonly number[]
}

const NONE: FrozenRecords = { records: 0, held: [] }

const both = (some: FrozenRecords, others: FrozenRecords): FrozenRecords => ({
  records: some.records + others.records,
  held: [...some.held, ...others.held],
})

/** What one transaction did, and the last series that it came to; null when there was none. */
interface Chunk {
  readonly frozen: FrozenRecords
  readonly last: number | null
}

export async function closeHours(database: Database, options: CloseOptions): Promise<CloseResult> {
  const [closed, gathered, waits] = await database.read('look which hours are closed', async transaction => {
    const { closedThrough } = await ledgerRow(transaction)
    const waits = await anyWaits(transaction, options.now)
    return [lastClosed(closedThrough, options.now), await journalBytes(transaction), waits] as const
  })
  const due = latestHour(options) > closed
  // In time between two hours, too, so that none has too much to do.
  if (due || waits || gathered > MUCH) await foldJournal(database)
  if (due || waits) await decideWaiting(database, options.now)
  if (!due) return { records: 0, held: [] }
  const open = await database.read('look which hours are open', openHours)
  let frozen = NONE
  for (const hour of hoursToClose(open, options)) {
    frozen = both(frozen, await closeHour(database, hour, termsToClose(hour, closed, options)))
  }
  return await closeResult(database, frozen)
}

export async function finalize(
  database: Database,
  customer: CustomerAccount,
  options: FinalizeOptions,
): Promise<CloseResult> {
  await foldJournal(database)
  await decideWaiting(database, options.now, customer.key)
  const frozen = await database.once('finalize a customer', async transaction => {
    await lockLedger(transaction)
    const account = await accountId(transaction, customer)
    await transaction.run('UPDATE account SET ended_at = $1 WHERE id = $2', options.endedAt, account)
    const terms = finalTerms(options)
    const used = await takeOpenUsage(
      transaction,
      terms.hour,
      'hour = ANY($2::bigint[]) AND hour <= $1 AND series IN (SELECT id FROM series WHERE account = $3)',
      ...[await openHours(transaction), account],
    )
    await saveSeries(transaction, used.map(unclosed))
    const records = await freezeAll(
      transaction,
      await seriesWhere(transaction, terms.hour, 'account.id = $2 ORDER BY series.id', account),
      terms,
    )
    await transaction.run(
      `UPDATE record SET deadline = least(deadline, $1), next_attempt_at = 0
       WHERE state = 'pending' AND series IN (SELECT id FROM series WHERE account = $2)`,
      ...[terms.deadline, account],
    )
    return records
  })
  return await closeResult(database, frozen)
}

/**
 * Moves an hour's usage to the balances, and freezes what is whole into records (given terms). Each transaction takes
 * a chunk of series and leaves nothing of it to take again, so it does not matter how many processes do it at once,
 * nor where one dies.
 */
async function closeHour(database: Database, hour: number, terms: Terms | undefined): Promise<FrozenRecords> {
  const doing = `close the hour ${new Date(hour).toISOString()}`
  let frozen = NONE
  /** Goes through the series from the first on. */
  const through = async (work: (transaction: Transaction, after: number) => Promise<Chunk>): Promise<void> => {
    for (let after: number | null = 0; after !== null; ) {
      const from: number = after
      const chunk = await database.once(doing, async transaction => {
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
  const idle = closingTerms(hour - HOUR, terms)
  if (terms.zeroQuantityRecords === true && idle.deadline > terms.now) {
    await through((transaction, after) => freezeIdle(transaction, after, idle))
  }
  await database.write(doing, async transaction => {
    const { closedThrough } = await lockLedger(transaction)
    if (hour <= lastClosed(closedThrough, terms.now)) return
    await transaction.run('UPDATE ledger SET closed_through = $1', hour)
    await forgetDigests(transaction, hour - DIGESTS_KEPT)
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
  const used = await takeOpenUsage(
    transaction,
    hour,
    `hour = $1 AND series > $2 AND series <= (
       SELECT max(series) FROM (
         SELECT series FROM open_usage WHERE hour = $1 AND series > $2 ORDER BY series LIMIT $3
       ) AS next
     )`,
    ...[after, SERIES_PER_CHUNK],
  )
  const last = used.at(-1)?.id ?? null
  if (terms !== undefined) return { frozen: await freezeAll(transaction, used, terms), last }
  await saveSeries(transaction, used.map(unclosed))
  return { frozen: NONE, last }
}

/** The next series that may have whole units in the balance without any new usage. */
async function closeUnfrozen(transaction: Transaction, after: number, terms: Terms): Promise<Chunk> {
  const series = await seriesWhere(
    transaction,
    terms.hour,
    'series.unfrozen AND series.id > $2 ORDER BY series.id LIMIT $3',
    ...[after, SERIES_PER_CHUNK],
  )
  return { frozen: await freezeAll(transaction, series, terms), last: series.at(-1)?.id ?? null }
}

/** Records of quantity 0 for the next series that have none of the hour: late usage has had an hour to come. */
async function freezeIdle(transaction: Transaction, after: number, terms: Terms): Promise<Chunk> {
  const idle = await seriesWhere(
    transaction,
    terms.hour,
    `account.kind = 'customer' AND account.blocked_at IS NULL AND account.ended_at IS NULL AND series.first_hour <= $1
     AND NOT EXISTS (SELECT FROM record WHERE record.series = series.id AND record.hour = $1)
     AND series.id > $2 ORDER BY series.id LIMIT $3`,
    ...[after, SERIES_PER_CHUNK],
  )
  const records = idle.map(series => ({ series, terms, quantity: 0, size: series.size, held: null, probe: false }))
  return { frozen: await insertRecords(transaction, records), last: idle.at(-1)?.id ?? null }
}

/** Makes the whole units of series' balances records, where they may be, and saves the series. */
async function freezeAll(transaction: Transaction, all: readonly Series[], terms: Terms): Promise<FrozenRecords> {
  if (all.length === 0) return NONE
  const probed = new Set<number>()
  const closed = all.map(series => {
    const probeAt = probed.has(series.account) ? null : series.probeAt
    const one = closeSeries({ ...series, probeAt }, terms)
    if (one.record?.probe) probed.add(series.account)
    return { ...series, ...one }
  })
  const records = closed.flatMap(series =>
    series.record === undefined ? [] : [{ series, terms, size: series.size, ...series.record }],
  )
  const frozen = await insertRecords(transaction, records)
  await saveSeries(transaction, closed)
  if (probed.size > 0) {
    await transaction.run('UPDATE account SET probe_at = NULL WHERE id = ANY($1::bigint[])', [...probed])
  }
  return frozen
}

export interface NewRecord {
  readonly series: Series
  readonly terms: Terms
  readonly quantity: number
  readonly size: bigint
  readonly held: HeldReason | null
  readonly probe: boolean
}

export async function insertRecords(transaction: Transaction, records: readonly NewRecord[]): Promise<FrozenRecords> {
  if (records.length === 0) return NONE
  const lanes = await laneIds(transaction, records)
  const ofTerms = <Name extends keyof Terms>(name: Name) => records.map(({ terms }) => terms[name])
  const row = await transaction.get(
    `WITH made AS (
       INSERT INTO record (series, hour, timestamp, deadline, lane, quantity, size, probe, state, reason)
       SELECT series, hour, at, deadline, lane, quantity, size, probe,
              CASE WHEN reason IS NULL THEN 'pending' ELSE 'held' END, reason
       FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::integer[], $6::integer[], $7::numeric[],
                   $8::boolean[], $9::text[])
            AS new (series, hour, at, deadline, lane, quantity, size, probe, reason)
       RETURNING id, state
     ) SELECT count(*) AS records, coalesce(array_agg(id) FILTER (WHERE state = 'held'), '{}') AS held FROM made`,
    ...[records.map(({ series }) => series.id), ofTerms('hour'), ofTerms('timestamp'), ofTerms('deadline'), lanes],
    ...[records.map(({ quantity }) => quantity), records.map(({ size }) => size)],
    ...[records.map(({ probe }) => probe), records.map(({ held }) => held)],
  )
  return row as unknown as FrozenRecords
}

/** The lanes of records, in their order, each of which is made where there is none. */
async function laneIds(transaction: Transaction, records: readonly NewRecord[]): Promise<number[]> {
  const ids = new Map<string, number>()
  const lanes: number[] = []
  for (const { series, terms } of records) {
    const lane = [series.product, series.identity, terms.region]
    const key = lane.join('\n')
    const id = ids.get(key) ?? (await laneId(transaction, lane))
    ids.set(key, id)
    lanes.push(id)
  }
  return lanes
}

async function laneId(transaction: Transaction, lane: readonly string[]): Promise<number> {
  const find = 'SELECT id FROM lane WHERE (product, identity, region) = ($1, $2, $3)'
  const known = await transaction.get(find, ...lane)
  if (known !== undefined) return known.id as number
  const made = 'INSERT INTO lane (product, identity, region) VALUES ($1, $2, $3) RETURNING id'
  return (await transaction.get(made, ...lane))?.id as number
}

/** Digests that are older. A writer's last batch stays: it tells its next from a repeated one. */
async function forgetDigests(transaction: Transaction, before: number): Promise<void> {
  await transaction.run(
    `DELETE FROM batch WHERE at < $1 AND EXISTS (
       SELECT FROM batch AS later WHERE later.writer = batch.writer AND later.sequence > batch.sequence
     )`,
    before,
  )
}

async function closeResult(database: Database, { records, held }: FrozenRecords): Promise<CloseResult> {
  return { records, held: await entriesOf(database, held) }
}
