import type { Account } from '../../usage/account.ts'
import { LedgerError } from '../errors.ts'
import type { Observation, UsageEntry } from '../ledger.ts'
import type { Database, Transaction } from './database.ts'
import { lockLedger } from './ledger-row.ts'
import { observe } from './observing.ts'
import { unpackBatch } from './packing.ts'
import { addUsage, seriesIds, type WantedSeries } from './series.ts'

/** Folding the journal: its batches become usage of series, each once, since a batch goes in the same transaction. */

/** How much of the journal one transaction folds, in bytes, so that nobody waits for it long; one batch at least. */
const BYTES_PER_CHUNK = 4_000_000
const BATCHES_PER_CHUNK = 200

/** Brings all that was acknowledged until now into the tables. */
export async function foldJournal(database: Database): Promise<void> {
  const last = await database.read('look at the journal', lastBatch)
  // Not what comes meanwhile: there may be no end to it.
  for (let more = last !== null; more; ) {
    more = await database.write('fold the journal', transaction => foldSome(transaction, last as number))
  }
}

async function lastBatch(transaction: Transaction): Promise<number | null> {
  return (await transaction.get('SELECT max(id) AS id FROM journal'))?.id as number | null
}

/**
 * Reads from the tables when all is in them that was acknowledged until now.
 *
 * @param what of the journal the reader would miss: the status and the audit trail do not tell of most of it
 */
export async function readFolded<Result>(
  database: Database,
  doing: string,
  what: 'everything' | 'what the status tells',
  work: (transaction: Transaction) => Promise<Result>,
): Promise<Result> {
  const missed = what === 'everything' ? 'true' : 'in_status'
  const read = await database.read(doing, async transaction => {
    const folded = (await transaction.get(`SELECT FROM journal WHERE ${missed} LIMIT 1`)) === undefined
    return folded ? { result: await work(transaction) } : undefined
  })
  if (read !== undefined) return read.result
  await foldJournal(database)
  return await database.read(doing, work)
}

/** How much there is to fold. */
export async function journalBytes(transaction: Transaction): Promise<number> {
  const row = await transaction.get('SELECT coalesce(sum(octet_length(body)), 0) AS bytes FROM journal')
  return row?.bytes as number
}

/** Folds the oldest batches up to the one with this id. Returns whether there may be more. */
async function foldSome(transaction: Transaction, last: number): Promise<boolean> {
  const ledger = await lockLedger(transaction)
  const batches = await transaction.all(
    `SELECT id, writer, sequence, body FROM (
       SELECT id, writer, sequence, body, sum(octet_length(body)) OVER (ORDER BY id) - octet_length(body) AS before
       FROM (SELECT * FROM journal WHERE id <= $1 ORDER BY id LIMIT $2) AS oldest
     ) AS counted WHERE before < $3 ORDER BY id`,
    ...[last, BATCHES_PER_CHUNK, BYTES_PER_CHUNK],
  )
  if (batches.length === 0) return false
  const usage = new GatheredUsage()
  const points: (readonly Observation[])[] = []
  for (const { writer, sequence, body } of batches) {
    try {
      const observations = await usage.addBatch(body as Buffer)
      if (observations.length > 0) points.push(observations)
    } catch (cause) {
      if (cause instanceof LedgerError) throw cause
      const key = String(writer).replaceAll('-', '')
      throw new LedgerError('ERR_LEDGER_CORRUPT', `Batch ${sequence} of writer ${key} cannot be read.`, { cause })
    }
  }
  if (points.length > 0) {
    for (const entry of await observe(transaction, points, ledger)) usage.add(entry)
  }
  const { series } = usage
  const ids = await seriesIds(transaction, series)
  const rows = series.flatMap(({ amounts }, index) =>
    [...amounts].map(([hour, amount]) => ({ hour, series: ids[index] as number, amount })),
  )
  await addUsage(transaction, 'open_usage', rows)
  await transaction.run(
    'DELETE FROM journal WHERE id = ANY($1::bigint[])',
    batches.map(({ id }) => id as number),
  )
  return true
}

/** Usage of many batches, added up for each series and hour. */
class GatheredUsage {
  readonly #series = new Map<string, { account: Account; dimension: string; amounts: Map<number, bigint> }>()

  async addBatch(body: Buffer): Promise<readonly Observation[]> {
    const { accounts, dimensions, rows, usage, observations } = await unpackBatch(body)
    for (let row = 0; row < rows; row += 1) {
      const amounts = this.#amountsOf(accounts[row] as Account, dimensions[usage.dimension(row)] as string)
      add(amounts, usage.hour(row), usage.amount(row))
    }
    return observations
  }

  add({ account, dimension, hour, amount }: UsageEntry): void {
    add(this.#amountsOf(account, dimension), hour, amount)
  }

  #amountsOf(account: Account, dimension: string): Map<number, bigint> {
    const key = `${account.key}\n${dimension}`
    const amounts = this.#series.get(key)?.amounts ?? new Map<number, bigint>()
    // Of an account that is told in two ways, the later one holds.
    this.#series.set(key, { account, dimension, amounts })
    return amounts
  }

  get series(): (WantedSeries & { amounts: ReadonlyMap<number, bigint> })[] {
    return [...this.#series.values()].map(series => ({ ...series, hour: Math.min(...series.amounts.keys()) }))
  }
}

const add = (amounts: Map<number, bigint>, hour: number, amount: bigint): unknown =>
  amounts.set(hour, (amounts.get(hour) ?? 0n) + amount)
