import type { Dimension } from '../../usage/dimension.ts'
import type { HeldReason, LedgerStatus, RecordEntry, RecordsQuery, StatementLine, StatementQuery } from '../ledger.ts'
import { addAmount, hoursOf, isPeriod, limitOf, Statement, unsettledFigures } from '../rules/accounting.ts'
import { amountOf } from '../rules/decisions.ts'
import { waitingUsage } from './cells.ts'
import type { FrozenRecord } from './closing.ts'
import type { Engine } from './engine.ts'
import { recordEntries } from './entries.ts'
import { fold, isFolded, readBodies, waiting } from './fold.ts'
import { readHead, readUnattributedBatches, readView, SupersededError, type View } from './head.ts'
import { heldPages, pagesOf, pendingPages, readPages, reasonOf, type StoredRecord } from './pages.ts'
import { inParallel } from './parallel.ts'
import { type Hours, type Place, placeOfRecord, recordId, seriesKey, shardOf, shardsOf } from './places.ts'
import { Shard } from './shard.ts'
import { chunksOf, type Table } from './table.ts'
import { type GatheredUsage, type SeriesUsage, usageOf } from './usage.ts'

/** What the DynamoDB ledger can be asked. */

const SHARDS_AT_ONCE = 32
const PAGES_AT_ONCE = 100

/** About how many records a page has that a query wants. */
const RECORDS_PER_PAGE = 16

interface Books {
  readonly view: View
  readonly shards: readonly Shard[]
  /** Usage of batches that are not folded. */
  readonly waiting: GatheredUsage
}

/** The series of some accounts or of all, and what is not folded, as they are together at one instant. */
async function readBooks(engine: Engine, accounts: (engine: Engine) => readonly number[] | undefined): Promise<Books> {
  for (;;) {
    const view = await readView(engine.table)
    const batches = waiting(view)
    if (!view.head.applied || batches.some(({ observed }) => observed)) {
      await fold(engine)
      continue
    }
    await engine.accounts.readUpTo(batches.reduce((most, { log }) => Math.max(most, log), view.head.log))
    const usage = await readBodies(engine, batches).catch(error => {
      if (error instanceof SupersededError) return undefined
      throw error
    })
    const some = accounts(engine)
    const shards = await Shard.readSeries(
      engine.table,
      some === undefined ? shardsOf(view.head) : [...new Set(some.map(shardOf))],
    )
    // Where others have folded meanwhile, what was waiting may be in the series by now.
    if (usage === undefined || shards.some(({ cut }) => cut > view.head.cut)) continue
    return { view, shards, waiting: usage.usage }
  }
}

const accountsOf =
  ({ customer }: StatementQuery) =>
  (engine: Engine) =>
    customer === undefined ? undefined : engine.accounts.find(customer)

export async function statementLines(engine: Engine, query: StatementQuery): Promise<StatementLine[]> {
  const period = isPeriod(query)
  const { from, to } = hoursOf(query)
  const books = await readBooks(engine, accountsOf(query))
  const wanted = await wantedBy(engine, query)
  const statement = new Statement(period)
  const numbers = new Map<string, number>()
  const numberOf = (series: { account: number; dimension: number }) => numbers.get(seriesKey(series)) ?? Number.NaN
  for (const { account, dimension, ...totals } of seriesIn(engine, books)) {
    if (!wanted({ account, dimension })) continue
    numbers.set(seriesKey({ account, dimension }), numbers.size)
    const named = books.view.dimensions[dimension] as Dimension
    statement.addSeries(numbers.size - 1, engine.accounts.get(account), named, totals)
  }
  const open = books.shards.flatMap(shard =>
    [...shard.series.values()].flatMap(({ account, dimension, open }) =>
      [...open].map(([hour, amount]) => ({ account, dimension, hour, amount })),
    ),
  )
  const closed = period ? await usageOfPeriod(engine, books.shards, { from, to }) : []
  for (const usage of [...open, ...books.waiting, ...closed]) {
    if (usage.hour >= from && usage.hour < to) statement.addUsage(numberOf(usage), usage.amount)
  }
  if (period) {
    for (const { record } of await recordsOf(
      engine,
      books.shards,
      { from, to },
      Number.POSITIVE_INFINITY,
      () => true,
    )) {
      const { state } = record
      if (state === 'returned') continue
      statement.addRecords(numberOf(record), state, reasonOf(record) as HeldReason | null, amountOf(record))
    }
  } else {
    await nameRestored(engine, books.shards)
    for (const { series } of books.shards) {
      for (const one of series.values()) {
        statement.addRecords(numberOf(one), 'pending', null, one.pending)
        for (const [reason, amount] of one.held) {
          if (amount > 0n) statement.addRecords(numberOf(one), 'held', reason, amount)
        }
      }
    }
  }
  return statement.lines()
}

/** What an earlier version's restore holds stands in the totals as in doubt, until its page is written again. */
async function nameRestored(engine: Engine, shards: readonly Shard[]): Promise<void> {
  const all = new Map(shards.flatMap(({ series }) => [...series]))
  if (![...all.values()].some(({ held }) => (held.get('in-doubt') ?? 0n) > 0n)) return
  for (const { record } of await unsettledRecords(engine, 'held')) {
    const series = all.get(seriesKey(record))
    if (series === undefined || reasonOf(record) === record.reason) continue
    addAmount(series.held, 'in-doubt', -amountOf(record))
    addAmount(series.held, 'restored', amountOf(record))
  }
}

/** The series with their totals, in the order in which they are told. */
function seriesIn({ accounts }: Engine, { view, shards, waiting }: Books) {
  const series = new Map(
    [...waiting].map(({ account, dimension }) => {
      const none = { account, dimension, recorded: 0n, metered: 0n, balance: 0n }
      return [seriesKey(none), none]
    }),
  )
  for (const shard of shards) {
    for (const [key, { account, dimension, recorded, metered, balance }] of shard.series) {
      series.set(key, { account, dimension, recorded, metered, balance })
    }
  }
  const named = [...series.values()].map(one => {
    const { kind, key } = accounts.get(one.account)
    return { one, text: `${kind} ${key} ${view.dimensions[one.dimension]?.name}` }
  })
  return named.sort((a, b) => (a.text < b.text ? -1 : 1)).map(({ one }) => one)
}

async function wantedBy(
  { accounts, dimensions }: Engine,
  { customer, dimension }: StatementQuery,
): Promise<(series: { account: number; dimension: number }) => boolean> {
  const numbers = customer === undefined ? undefined : new Set(accounts.find(customer))
  const number = dimension === undefined ? undefined : ((await dimensions.find(dimension)) ?? -1)
  return series =>
    (numbers === undefined || numbers.has(series.account)) && (number === undefined || number === series.dimension)
}

async function usageOfPeriod({ table }: Engine, shards: readonly Shard[], hours: Hours): Promise<SeriesUsage[]> {
  return (await inParallel(shards, SHARDS_AT_ONCE, ({ number }) => usageOf(table, number, hours))).flat()
}

/** Records of a period, the youngest hour first; of each shard not many more than are wanted. */
async function recordsOf(
  { table }: Engine,
  shards: readonly Pick<Shard, 'number'>[],
  hours: Hours,
  limit: number,
  wanted: (record: StoredRecord) => boolean,
): Promise<FrozenRecord[]> {
  const pageSize = Math.ceil(limit / RECORDS_PER_PAGE)
  const found = await inParallel(shards, SHARDS_AT_ONCE, async ({ number }) => {
    const records: FrozenRecord[] = []
    for await (const { hour, records: ofHour } of pagesOf(table, number, hours, pageSize)) {
      for (const record of ofHour.values()) if (wanted(record)) records.push({ hour, record })
      if (records.length >= limit) break
    }
    return records
  })
  return found.flat()
}

export async function records(engine: Engine, query: RecordsQuery): Promise<RecordEntry[]> {
  const { state, ids } = query
  const limit = limitOf(query)
  const { from, to } = hoursOf(query)
  const { head } = await readHead(engine.table)
  await engine.accounts.readUpTo(head.log)
  const ofSeries = await wantedBy(engine, query)
  const wanted = (record: StoredRecord) => (state === undefined || record.state === state) && ofSeries(record)
  if (ids !== undefined) {
    const found = (await recordsAt(engine, ids)).filter(
      ({ hour, record }) => hour >= from && hour < to && wanted(record),
    )
    return await recordEntries(engine, found.sort(youngestFirst).slice(0, limit))
  }
  const accounts = accountsOf(query)(engine)
  const shards = accounts === undefined ? shardsOf({ customers: head.customers }) : [...new Set(accounts.map(shardOf))]
  const found =
    state === 'pending' || state === 'held'
      ? await unsettled(engine, state, new Set(shards), { from, to }, limit, wanted)
      : await recordsOf(
          engine,
          shards.map(number => ({ number })),
          { from, to },
          limit,
          wanted,
        )
  return await recordEntries(engine, found.sort(youngestFirst).slice(0, limit))
}

const youngestFirst = (a: FrozenRecord, b: FrozenRecord) =>
  b.hour - a.hour || b.record.account - a.record.account || b.record.dimension - a.record.dimension

/** Those with these ids that are there, each once. */
async function recordsAt({ table }: Engine, ids: readonly string[]): Promise<FrozenRecord[]> {
  const wanted = new Set(ids)
  const places = [...wanted].flatMap(id => placeOfRecord(id) ?? [])
  const pages = await readPages(table, places)
  return places.flatMap(({ hour, series }, index) => {
    const record = pages[index]?.records.get(series)
    // A place can be written in several ways, an id in one.
    return record !== undefined && wanted.has(recordId(hour, record)) ? [{ hour, record }] : []
  })
}

/** By the indexes, so that the settled ones are not gone through. */
async function unsettled(
  { table }: Engine,
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
    PAGES_AT_ONCE,
  )) {
    for (const page of await readPages(table, some)) {
      for (const record of page?.records.values() ?? []) {
        if (wanted(record)) found.push({ hour: page?.hour ?? 0, record })
      }
    }
    if (found.length >= limit) break
  }
  return found
}

async function unsettledPlaces(table: Table, state: 'pending' | 'held'): Promise<Pick<Place, 'shard' | 'hour'>[]> {
  if (state === 'held') return await heldPages(table)
  const places = new Map<string, Pick<Place, 'shard' | 'hour'>>()
  for await (const { shard, hour } of pendingPages(table)) places.set(`${shard} ${hour}`, { shard, hour })
  return [...places.values()]
}

/**
 * The figures to watch. What others' counters add, and what of it is not counted, is in them when it is folded: when an
 * hour is closed, at the latest.
 */
export async function statusOf(engine: Engine): Promise<LedgerStatus> {
  const [pending, held, unattributed, waiting] = await Promise.all([
    unsettledRecords(engine, 'pending'),
    unsettledRecords(engine, 'held'),
    unattributedAmounts(engine),
    waitingUsage(engine.table),
  ])
  const numbers = [...pending, ...held].map(({ record }) => record.dimension)
  const dimensions = await engine.dimensions.upTo([...numbers, ...unattributed.amounts.keys(), ...waiting.keys()])
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

async function unsettledRecords({ table }: Engine, state: 'pending' | 'held'): Promise<FrozenRecord[]> {
  const pages = await readPages(table, await unsettledPlaces(table, state))
  return pages.flatMap(page =>
    [...(page?.records.values() ?? [])]
      .filter(record => record.state === state)
      .map(record => ({ hour: page?.hour ?? 0, record })),
  )
}

/** What nobody can be billed for, by dimension, with the head of that instant. */
async function unattributedAmounts(
  engine: Engine,
): Promise<Pick<View['head'], 'closedThrough' | 'notCounted'> & { amounts: Map<number, bigint> }> {
  for (;;) {
    const { head } = await readHead(engine.table)
    const batches = (await readUnattributedBatches(engine.table)).filter(batch => !isFolded(head, batch))
    const shards = await Shard.readSeries(engine.table, shardsOf({ unattributed: head.unattributed }))
    if (!head.applied) await fold(engine)
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
