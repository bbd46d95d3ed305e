import { untaggedAccount } from '../../usage/tagged-account.ts'
import { LedgerError, notFolded } from '../errors.ts'
import type { Observation, UsageEntry } from '../ledger.ts'
import { unpackBatch } from './batch.ts'
import { decideNext, FIRST_WAITING, observe, type WaitingPlace } from './counters.ts'
import type { Database, Transaction } from './database.ts'
import { lockLedger } from './ledger-row.ts'
import { addUsage, seriesIds } from './series.ts'
import { addOpenShares } from './shares.ts'

/** Folding the journal: its batches become usage of series, each once, since a batch goes in the same transaction. */

/**
 * How much of the journal one transaction folds, so that nobody waits for it long: batches, and entries and points once
 * they are added up. One batch at least.
 */
const BATCHES_PER_CHUNK = 200
const ENTRIES_PER_CHUNK = 200_000
/** How many entries one statement brings in, so that neither it nor this process's other work waits long. */
const ENTRIES_PER_STATEMENT = 50_000

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
  await foldJournal(database).catch(error => {
    throw error instanceof LedgerError && error.code === 'ERR_LEDGER_READ_ONLY' ? notFolded(doing, error) : error
  })
  return await database.read(doing, work)
}

/**
 * Decides what others' counters had waiting until `now`, or all that waits of an account. Each transaction takes some
 * and leaves them decided, so it does not matter how many processes do it at once, nor where one dies.
 */
export async function decideWaiting(database: Database, now: number, accountKey?: string): Promise<void> {
  for (let after: WaitingPlace | undefined = FIRST_WAITING; after !== undefined; ) {
    const from: WaitingPlace = after
    after = await database.write('decide what has waited', async transaction => {
      const ledger = await lockLedger(transaction)
      const { entries, last } = await decideNext(transaction, from, { ledger, now, accountKey })
      await addEntries(transaction, entries)
      return last
    })
  }
}

/** How much there is to fold. */
export async function journalBytes(transaction: Transaction): Promise<number> {
  const row = await transaction.get('SELECT coalesce(sum(octet_length(body)), 0) AS bytes FROM journal')
  return row?.bytes as number
}

/** Folds the oldest batches up to the one with this id. Returns whether there may be more. */
async function foldSome(transaction: Transaction, last: number): Promise<boolean> {
  const ledger = await lockLedger(transaction)
  const usage = new GatheredUsage()
  const points: (readonly Observation[])[] = []
  const folded: number[] = []
  let gathered = 0
  // One by one: on a slow machine the server would hear nothing for too long while many are unpacked. A writer's are in
  // their order: of each up to `last`, those before were committed before `last` was looked for.
  while (gathered < ENTRIES_PER_CHUNK && folded.length < BATCHES_PER_CHUNK) {
    const batch = await transaction.get(
      'SELECT id, writer, sequence, body FROM journal WHERE id > $1 AND id <= $2 ORDER BY id LIMIT 1',
      ...[folded.at(-1) ?? 0, last],
    )
    if (batch === undefined) break
    const { id, writer, sequence, body } = batch
    try {
      const observations = await usage.addBatch(body as Buffer)
      if (observations.length > 0) points.push(observations)
      gathered = usage.length + points.reduce((length, { length: more }) => length + more, 0)
    } catch (cause) {
      if (cause instanceof LedgerError) throw cause
      const key = String(writer).replaceAll('-', '')
      throw new LedgerError('ERR_LEDGER_CORRUPT', `Batch ${sequence} of writer ${key} cannot be read.`, { cause })
    }
    folded.push(id as number)
  }
  if (points.length > 0) {
    for (const entry of await observe(transaction, points, ledger)) usage.add(entry)
  }
  await addEntries(transaction, usage.entries())
  await transaction.run('DELETE FROM journal WHERE id = ANY($1::bigint[])', folded)
  return folded.length > 0
}

/** Adds usage to the hours that it is of. */
async function addEntries(transaction: Transaction, entries: readonly UsageEntry[]): Promise<void> {
  for (let start = 0; start < entries.length; start += ENTRIES_PER_STATEMENT) {
    const some = entries.slice(start, start + ENTRIES_PER_STATEMENT)
    const ids = await seriesIds(
      transaction,
      some.map(entry => ({ ...entry, account: untaggedAccount(entry.account) })),
    )
    const rows = some.map(({ hour, amount }, index) => ({ hour, series: ids[index] as number, amount }))
    const shares = some.flatMap(({ account }, index) => {
      const tags = account.kind === 'customer' ? account.tags : undefined
      return tags === undefined ? [] : [{ ...(rows[index] as UsageRow), tags }]
    })
    await addUsage(transaction, 'open_usage', shares.length === 0 ? rows : addedUp(rows))
    await addOpenShares(transaction, shares)
  }
}

interface UsageRow {
  readonly hour: number
  readonly series: number
  readonly amount: bigint
}

/** A series whose usage is for several tags comes several times. */
function addedUp(rows: readonly UsageRow[]): UsageRow[] {
  const sums = new Map<string, UsageRow>()
  for (const row of rows) {
    const key = `${row.hour} ${row.series}`
    sums.set(key, { ...row, amount: row.amount + (sums.get(key)?.amount ?? 0n) })
  }
  return [...sums.values()]
}

/** Usage of many batches, added up for each hour and series. */
class GatheredUsage {
  /** By hour and dimension. */
  readonly #groups = new Map<string, Group>()

  get length(): number {
    return [...this.#groups.values()].reduce((length, { entries }) => length + entries.size, 0)
  }

  async addBatch(body: Buffer): Promise<readonly Observation[]> {
    const { accounts, dimensions, rows, usage, observations } = await unpackBatch(body)
    let group: Group | undefined
    for (let row = 0; row < rows; row += 1) {
      const dimension = dimensions[usage.dimension(row)] as string
      const hour = usage.hour(row)
      // Mostly it is the same as before.
      if (group?.hour !== hour || group.dimension !== dimension) group = this.#group(hour, dimension)
      const { entries } = group
      const [amount, key] = [usage.amount(row), accounts.key(row)]
      const known = entries.get(key)
      if (known === undefined) {
        entries.set(key, { account: accounts.account(row), dimension, hour, amount })
        continue
      }
      known.amount += amount
      // Of an account that is told in two ways, the later one holds.
      if (known.account.product !== accounts.product(row)) known.account = accounts.account(row)
    }
    return observations
  }

  add({ account, dimension, hour, amount }: UsageEntry): void {
    const { entries } = this.#group(hour, dimension)
    const before = entries.get(account.key)?.amount ?? 0n
    entries.set(account.key, { account, dimension, hour, amount: before + amount })
  }

  #group(hour: number, dimension: string): Group {
    const key = `${hour} ${dimension}`
    const group = this.#groups.get(key) ?? { hour, dimension, entries: new Map() }
    this.#groups.set(key, group)
    return group
  }

  /** The oldest hour first: a series begins with it. */
  entries(): UsageEntry[] {
    const groups = [...this.#groups.values()].sort((a, b) => a.hour - b.hour)
    return groups.flatMap(({ entries }) => [...entries.values()])
  }
}

interface Group {
  readonly hour: number
  readonly dimension: string
  /** By the account's key. */
  readonly entries: Map<string, GatheredEntry>
}

type GatheredEntry = { -readonly [Member in keyof UsageEntry]: UsageEntry[Member] }
