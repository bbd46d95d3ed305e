import type { CustomerAccount } from '../../usage/account.ts'
import {
  closeSeries,
  closingTerms,
  finalTerms,
  hoursToClose,
  lastClosed,
  latestHour,
  type Terms,
  termsToClose,
} from '../closing.ts'
import { HOUR } from '../hours.ts'
import type { CloseOptions, CloseResult, FinalizeOptions, HeldReason } from '../ledger.ts'
import { DIGESTS_KEPT } from '../retention.ts'
import type { Database, Transaction } from './database.ts'
import { foldJournal, journalBytes } from './folding.ts'
import { ledgerRow, lockLedger } from './ledger-row.ts'
import { entriesOf, openHours } from './reports.ts'
import { accountId, type Series, saveSeries, seriesWhere, takeOpenUsage, unclosed } from './series.ts'

/** Closing hours: open usage goes into its series' balances, and what is whole there into records. */

/** How many series one transaction closes, so that nobody waits for it long. */
const SERIES_PER_CHUNK = 5000

/** How much the journal gathers before it is folded in the middle of an hour, in bytes. */
const MUCH = 32_000_000

interface FrozenRecord {
  readonly id: number
  readonly held: boolean
}

/** What one transaction did, and the last series that it came to; null when there was none. */
interface Chunk {
  readonly frozen: readonly FrozenRecord[]
  readonly last: number | null
}

export async function closeHours(database: Database, options: CloseOptions): Promise<CloseResult> {
  const [closed, gathered] = await database.read('look which hours are closed', async transaction => {
    const { closedThrough } = await ledgerRow(transaction)
    return [lastClosed(closedThrough, options.now), await journalBytes(transaction)] as const
  })
  const due = latestHour(options) > closed
  // In time between two hours, too, so that none has too much to do.
  if (due || gathered > MUCH) await foldJournal(database)
  if (!due) return { records: 0, held: [] }
  const open = await database.read('look which hours are open', openHours)
  const frozen: FrozenRecord[] = []
  for (const hour of hoursToClose(open, options)) {
    frozen.push(...(await closeHour(database, hour, termsToClose(hour, closed, options))))
  }
  return await closeResult(database, frozen)
}

export async function finalize(
  database: Database,
  customer: CustomerAccount,
  options: FinalizeOptions,
): Promise<CloseResult> {
  await foldJournal(database)
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
async function closeHour(database: Database, hour: number, terms: Terms | undefined): Promise<FrozenRecord[]> {
  const doing = `close the hour ${new Date(hour).toISOString()}`
  const frozen: FrozenRecord[] = []
  /** Goes through the series from the first on. */
  const through = async (work: (transaction: Transaction, after: number) => Promise<Chunk>): Promise<void> => {
    for (let after: number | null = 0; after !== null; ) {
      const from: number = after
      const chunk = await database.once(doing, async transaction => {
        await lockLedger(transaction)
        return await work(transaction, from)
      })
      frozen.push(...chunk.frozen)
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
  return { frozen: [], last }
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
async function freezeAll(transaction: Transaction, all: readonly Series[], terms: Terms): Promise<FrozenRecord[]> {
  if (all.length === 0) return []
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

export async function insertRecords(transaction: Transaction, records: readonly NewRecord[]): Promise<FrozenRecord[]> {
  if (records.length === 0) return []
  const ofSeries = <Name extends keyof Series>(name: Name) => records.map(({ series }) => series[name])
  const ofTerms = <Name extends keyof Terms>(name: Name) => records.map(({ terms }) => terms[name])
  await makeLanes(transaction, records)
  const rows = await transaction.all(
    `INSERT INTO record (series, hour, timestamp, deadline, lane, quantity, size, probe, state, reason)
     SELECT new.series, new.hour, new.at, new.deadline, lane.id, new.quantity, new.size, new.probe,
            CASE WHEN new.held IS NULL THEN 'pending' ELSE 'held' END, new.held
     FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
                 $8::integer[], $9::numeric[], $10::boolean[], $11::text[])
          AS new (product, identity, region, series, hour, at, deadline, quantity, size, probe, held)
     JOIN lane USING (product, identity, region)
     RETURNING id, state = 'held' AS held`,
    ...[
      ofSeries('product'),
      ofSeries('identity'),
      ofTerms('region'),
      ofSeries('id'),
      ofTerms('hour'),
      ofTerms('timestamp'),
      ofTerms('deadline'),
    ],
    ...[records.map(({ quantity }) => quantity), records.map(({ size }) => size)],
    ...[records.map(({ probe }) => probe), records.map(({ held }) => held)],
  )
  return rows.map(({ id, held }) => ({ id: id as number, held: held as boolean }))
}

async function makeLanes(transaction: Transaction, records: readonly NewRecord[]): Promise<void> {
  const lanes = new Map(
    records.map(({ series: { product, identity }, terms: { region } }) => {
      return [`${product} ${identity} ${region}`, { product, identity, region }]
    }),
  )
  for (const { product, identity, region } of lanes.values()) {
    await transaction.run(
      'INSERT INTO lane (product, identity, region) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING',
      ...[product, identity, region],
    )
  }
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

async function closeResult(database: Database, frozen: readonly FrozenRecord[]): Promise<CloseResult> {
  const held = frozen.filter(record => record.held).map(({ id }) => id)
  return { records: frozen.length, held: await entriesOf(database, held) }
}
