import type { Dimension } from '../../usage/dimension.ts'
import type { HeldReason, LedgerStatus, RecordEntry, RecordsQuery, StatementLine, StatementQuery } from '../ledger.ts'
import { addAmount, hoursOf, isPeriod, limitOf, Statement, unsettledFigures } from '../rules/accounting.ts'
import { amountOf } from '../rules/decisions.ts'
import { waitingUsage } from './cells.ts'
import type { FrozenRecord } from './closing.ts'
import type { Database } from './database.ts'
import { recordEntries } from './entries.ts'
import { foldForReport, isFolded, readBodies, waiting } from './fold.ts'
import { readHead, readUnattributedBatches, readView, SupersededError, type View } from './head.ts'
import { inParallel } from './parallel.ts'
import { type Hours, type Place, placeOfRecord, recordId, seriesKey, shardOf, shardsOf } from './places.ts'
import { Shard } from './shard.ts'
import { heldSheets, pendingSheets, readSheets, reasonOf, type StoredRecord, sheetsOf } from './sheets.ts'
import { chunksOf, type Table } from './table.ts'
import { type GatheredUsage, type SeriesUsage, usageOf } from './usage.ts'

/** The DynamoDB ledger's reports: statement, records and status. */

const SHARDS_AT_ONCE = 32
const SHEETS_AT_ONCE = 100

/** About how many records a sheet has that a query wants. */
const RECORDS_PER_SHEET = 16

interface Books {
  readonly view: View
  readonly shards: readonly Shard[]
  /** Usage of batches that are not folded. */
  readonly waiting: GatheredUsage
}

/** The series of some accounts or of all, and what is not folded, as they are together at one instant. */
async function readBooks(
  database: Database,
  accounts: (database: Database) => readonly number[] | undefined,
): Promise<Books> {
  for (;;) {
    const view = await readView(database.table)
    const batches = waiting(view)
    if (!view.head.applied || batches.some(({ observed }) => observed)) {
      await foldForReport(database, view.head, 'read the statement')
      continue
    }
    await database.accounts.readUpTo(batches.reduce((most, { log }) => Math.max(most, log), view.head.log))
    const usage = await readBodies(database, batches).catch(error => {
      if (error instanceof SupersededError) return undefined
      throw error
    })
    const some = accounts(database)
    const shards = await Shard.readSeries(
      database.table,
      some === undefined ? shardsOf(view.head) : [...new Set(some.map(shardOf))],
    )
    // Where others have folded meanwhile, what was waiting may be in the series by now.
    if (usage === undefined || shards.some(({ cut }) => cut > view.head.cut)) continue
    return { view, shards, waiting: usage.usage }
  }
}

const accountsOf =
  ({ customer }: StatementQuery) =>
  (database: Database) =>
    customer === undefined ? undefined : database.accounts.find(customer)

export async function statementLines(database: Database, query: StatementQuery): Promise<StatementLine[]> {
  const period = isPeriod(query)
  const { from, to } = hoursOf(query)
  const books = await readBooks(database, accountsOf(query))
  const wanted = await wantedBy(database, query)
  const statement = new Statement(query)
  const numbers = new Map<string, number>()
  const numberOf = (series: { account: number; dimension: number }) => numbers.get(seriesKey(series)) ?? Number.NaN
  for (const { account, dimension, ...totals } of seriesIn(database, books)) {
    if (!wanted({ account, dimension })) continue
    numbers.set(seriesKey({ account, dimension }), numbers.size)
    const named = books.view.dimensions[dimension] as Dimension
    statement.addSeries(numbers.size - 1, database.accounts.get(account), named, totals)
  }
  const open = books.shards.flatMap(shard =>
    [...shard.series.values()].flatMap(({ account, dimension, open }) =>
      [...open].map(([hour, amount]) => ({ account, dimension, hour, amount })),
    ),
  )
  const closed = period ? await usageOfPeriod(database, books.shards, { from, to }) : []
  for (const usage of [...open, ...books.waiting, ...closed]) {
    if (usage.hour >= from && usage.hour < to) statement.addUsage(numberOf(usage), usage.hour, usage.amount)
  }
  if (period) {
    for (const drawn of await usageOfPeriod(database, books.shards, { from, to }, 'drawn')) {
      statement.addIncluded(numberOf(drawn), drawn.hour, drawn.amount)
    }
    for (const { hour, record } of await recordsOf(
      database,
      books.shards,
      { from, to },
      Number.POSITIVE_INFINITY,
      () => true,
    )) {
      const { state, quantity } = record
      if (state === 'returned') continue
      const reason = reasonOf(record) as HeldReason | null
      statement.addRecords(numberOf(record), hour, {
        ...{ state, reason, quantity: BigInt(quantity), amount: amountOf(record) },
      })
    }
  } else {
    await nameRestored(database, books.shards)
    for (const { series } of books.shards) {
      for (const one of series.values()) {
        // In the totals quantities are not told apart.
        const add = (state: 'pending' | 'held', reason: HeldReason | null, amount: bigint) =>
          statement.addRecords(numberOf(one), 0, { state, reason, quantity: 0n, amount })
        add('pending', null, one.pending)
        for (const [reason, amount] of one.held) if (amount > 0n) add('held', reason, amount)
      }
    }
  }
  return statement.lines()
}

/** What an earlier version's restore holds stands in the totals as in doubt, until its page is written again. */
async function nameRestored(database: Database, shards: readonly Shard[]): Promise<void> {
  const all = new Map(shards.flatMap(({ series }) => [...series]))
  if (![...all.values()].some(({ held }) => (held.get('in-doubt') ?? 0n) > 0n)) return
  for (const { record } of await unsettledRecords(database, 'held')) {
    const series = all.get(seriesKey(record))
    if (series === undefined || reasonOf(record) === record.reason) continue
    addAmount(series.held, 'in-doubt', -amountOf(record))
    addAmount(series.held, 'restored', amountOf(record))
  }
}

/** The series with their totals, in the order in which they are told. */
function seriesIn({ accounts }: Database, { view, shards, waiting }: Books) {
  const series = new Map(
    [...waiting].map(({ account, dimension }) => {
      const none = { account, dimension, recorded: 0n, included: 0n, metered: 0n, balance: 0n }
      return [seriesKey(none), none]
    }),
  )
  for (const shard of shards) {
    for (const [key, { account, dimension, recorded, included, metered, balance }] of shard.series) {
      series.set(key, { account, dimension, recorded, included, metered, balance })
    }
  }
  const named = [...series.values()].map(one => {
    const { kind, key } = accounts.get(one.account)
    return { one, text: `${kind} ${key} ${view.dimensions[one.dimension]?.name}` }
  })
  return named.sort((a, b) => (a.text < b.text ? -1 : 1)).map(({ one }) => one)
}

async function wantedBy(
  { accounts, dimensions }: Database,
  { customer, dimension }: StatementQuery,
): Promise<(series: { account: number; dimension: number }) => boolean> {
  const numbers = customer === undefined ? undefined : new Set(accounts.find(customer))
  const number = dimension === undefined ? undefined : ((await dimensions.find(dimension)) ?? -1)
  return series =>
    (numbers === undefined || numbers.has(series.account)) && (number === undefined || number === series.dimension)
}

async function usageOfPeriod(
  { table }: Database,
  shards: readonly Shard[],
  hours: Hours,
  kept: 'usage' | 'drawn' = 'usage',
): Promise<SeriesUsage[]> {
  return (await inParallel(shards, SHARDS_AT_ONCE, ({ number }) => usageOf(table, number, hours, kept))).flat()
}

/** Records of a period, the youngest hour first; of each shard not many more than are wanted. */
async function recordsOf(
  { table }: Database,
  shards: readonly Pick<Shard, 'number'>[],
  hours: Hours,
  limit: number,
  wanted: (record: StoredRecord) => boolean,
): Promise<FrozenRecord[]> {
  const pageSize = Math.ceil(limit / RECORDS_PER_SHEET)
  const found = await inParallel(shards, SHARDS_AT_ONCE, async ({ number }) => {
    const records: FrozenRecord[] = []
    for await (const { hour, records: ofHour } of sheetsOf(table, number, hours, pageSize)) {
      for (const record of ofHour.values()) if (wanted(record)) records.push({ hour, record })
      if (records.length >= limit) break
    }
    return records
  })
  return found.flat()
}

export async function records(database: Database, query: RecordsQuery): Promise<RecordEntry[]> {
  const { state, ids } = query
  const limit = limitOf(query)
  const { from, to } = hoursOf(query)
  const { head } = await readHead(database.table)
  await database.accounts.readUpTo(head.log)
  const ofSeries = await wantedBy(database, query)
  const wanted = (record: StoredRecord) => (state === undefined || record.state === state) && ofSeries(record)
  if (ids !== undefined) {
    const found = (await recordsAt(database, ids)).filter(
      ({ hour, record }) => hour >= from && hour < to && wanted(record),
    )
    return await recordEntries(database, found.sort(youngestFirst).slice(0, limit))
  }
  const accounts = accountsOf(query)(database)
  const shards = accounts === undefined ? shardsOf({ customers: head.customers }) : [...new Set(accounts.map(shardOf))]
  const found =
    state === 'pending' || state === 'held'
      ? await unsettled(database, state, new Set(shards), { from, to }, limit, wanted)
      : await recordsOf(
          database,
          shards.map(number => ({ number })),
          { from, to },
          limit,
          wanted,
        )
  return await recordEntries(database, found.sort(youngestFirst).slice(0, limit))
}

const youngestFirst = (a: FrozenRecord, b: FrozenRecord) =>
  b.hour - a.hour || b.record.account - a.record.account || b.record.dimension - a.record.dimension

/** Those with these ids that are there, each once. */
async function recordsAt({ table }: Database, ids: readonly string[]): Promise<FrozenRecord[]> {
  const wanted = new Set(ids)
  const places = [...wanted].flatMap(id => placeOfRecord(id) ?? [])
  const sheets = await readSheets(table, places)
  return places.flatMap(({ hour, series }, index) => {
    const record = sheets[index]?.records.get(series)
    // A place can be written in several ways, an id in one.
    return record !== undefined && wanted.has(recordId(hour, record)) ? [{ hour, record }] : []
  })
}

/** By the indexes, so that the settled ones are not gone through. */
async function unsettled(
  { table }: Database,
  state: 'pending' | 'held',
  shards: ReadonlySet<number>,
  { from, to }: Hours,
  limit: number,
  wanted: (record: StoredRecord) => boolean,
): Promise<FrozenRecord[]> {
  const places = (await unsettledPlaces(table, state)).filter(({ shard, hour }) => {
    return shards.has(shard) && hour >= from && hour < to
  })
  const found: FrozenRecord[] = []
  for (const some of chunksOf(
    places.sort((a, b) => b.hour - a.hour),
    SHEETS_AT_ONCE,
  )) {
    for (const sheet of await readSheets(table, some)) {
      for (const record of sheet?.records.values() ?? []) {
        if (wanted(record)) found.push({ hour: sheet?.hour ?? 0, record })
      }
    }
    if (found.length >= limit) break
  }
  return found
}

async function unsettledPlaces(table: Table, state: 'pending' | 'held'): Promise<Pick<Place, 'shard' | 'hour'>[]> {
  if (state === 'held') return await heldSheets(table)
  const places = new Map<string, Pick<Place, 'shard' | 'hour'>>()
  for await (const { shard, hour } of pendingSheets(table)) places.set(`${shard} ${hour}`, { shard, hour })
  return [...places.values()]
}

/**
 * The figures to watch. What others' counters add, and what of it is not counted, is in them when it is folded: when an
 * hour is closed, at the latest.
 */
export async function statusOf(database: Database): Promise<LedgerStatus> {
  const [pending, held, unattributed, waiting] = await Promise.all([
    unsettledRecords(database, 'pending'),
    unsettledRecords(database, 'held'),
    unattributedAmounts(database),
    waitingUsage(database.table),
  ])
  const numbers = [...pending, ...held].map(({ record }) => record.dimension)
  const dimensions = await database.dimensions.upTo([...numbers, ...unattributed.amounts.keys(), ...waiting.keys()])
  const name = (number: number) => (dimensions[number] as Dimension).name
  const unsettled = [...pending, ...held].map(({ record }) => ({
    ...{ state: record.state as 'pending' | 'held', dimension: name(record.dimension) },
    ...{ reason: reasonOf(record) as HeldReason | null, records: 1, amount: amountOf(record) },
  }))
  const named = [...unattributed.amounts].map(([dimension, amount]) => ({ dimension: name(dimension), amount }))
  const hours = pending.map(({ hour }) => hour)
  return {
    ...unsettledFigures(unsettled),
    unattributed: named.sort((a, b) => (a.dimension < b.dimension ? -1 : 1)),
    ...(hours.length > 0 && { oldestPendingHour: hours.reduce((oldest, hour) => Math.min(oldest, hour)) }),
    ...(unattributed.closedThrough !== null && { closedThrough: unattributed.closedThrough }),
    waiting: [...waiting].flatMap(([dimension, amount]) =>
      amount > 0n ? [{ dimension: name(dimension), amount }] : [],
    ),
    notCounted: unattributed.notCounted,
  }
}

async function unsettledRecords({ table }: Database, state: 'pending' | 'held'): Promise<FrozenRecord[]> {
  const sheets = await readSheets(table, await unsettledPlaces(table, state))
  return sheets.flatMap(sheet =>
    [...(sheet?.records.values() ?? [])]
      .filter(record => record.state === state)
      .map(record => ({ hour: sheet?.hour ?? 0, record })),
  )
}

/** What nobody can be billed for, by dimension, with the head of that instant. */
async function unattributedAmounts(
  database: Database,
): Promise<Pick<View['head'], 'closedThrough' | 'notCounted'> & { amounts: Map<number, bigint> }> {
  for (;;) {
    const { head } = await readHead(database.table)
    const batches = (await readUnattributedBatches(database.table)).filter(batch => !isFolded(head, batch))
    const shards = await Shard.readSeries(database.table, shardsOf({ unattributed: head.unattributed }))
    if (!head.applied) await foldForReport(database, head, 'read the status')
    if (!head.applied || shards.some(({ cut }) => cut > head.cut)) continue
    const amounts = new Map<number, bigint>()
    for (const shard of shards) {
      for (const { dimension, balance, open } of shard.series.values()) {
        addAmount(
          amounts,
          dimension,
          [...open.values()].reduce((sum, amount) => sum + amount, balance),
        )
      }
    }
    for (const [dimension, amount] of batches.flatMap(batch => batch.unattributedAmounts)) {
      addAmount(amounts, dimension, BigInt(amount))
    }
    return { ...head, amounts }
  }
}
