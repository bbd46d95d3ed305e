import type { Dimension } from '../../usage/dimension.ts'
import { LedgerError, notFolded } from '../errors.ts'
import { HOUR, windowClosesAt } from '../hours.ts'
import type { CloseOptions, NotCounted } from '../ledger.ts'
import type { NewEntry } from '../rules/audit.ts'
import { lastClosed, latestHour } from '../rules/closing.ts'
import { DELTA_MEMORY, forgetNext, noteEntry } from '../rules/counters/index.ts'
import { FARTHEST_AHEAD } from '../rules/decisions.ts'
import { IncludedDimensions } from '../rules/entitlements.ts'
import { countAccounts, type KnownAccounts } from './accounts.ts'
import { writeNotes } from './audit.ts'
import { type Point, unpackBatch } from './batch.ts'
import { anythingWaits } from './cells.ts'
import {
  accountsToFreeze,
  type Closing,
  closeHours,
  type FrozenRecord,
  hoursOfRecords,
  makeIdleSeries,
  nextHours,
} from './closing.ts'
import type { CountResult } from './count-result.ts'
import { countPoints } from './counters.ts'
import { type Database, nameOf } from './database.ts'
import { deleteForgotten } from './deltas.ts'
import { allIncluded } from './entitlements.ts'
import { isDenied } from './faults.ts'
import { forgetCounters } from './forgetting.ts'
import {
  type Batch,
  type Deciding,
  HEAD,
  type Head,
  placeOf,
  readHead,
  readView,
  SupersededError,
  type View,
  viewFrom,
} from './head.ts'
import { bodiesOf, chunksOfBody } from './journal.ts'
import { Lease } from './lease.ts'
import { deleteLeft } from './left-bodies.ts'
import { inParallel, shuffled } from './parallel.ts'
import { shardOf, shardsOf } from './places.ts'
import { Shard } from './shard.ts'
import type { ShareUsage } from './shares.ts'
import { END, type Item, pause } from './table.ts'
import { fewer } from './transaction.ts'
import { Twins } from './twins.ts'
import { GatheredUsage, type SeriesUsage } from './usage.ts'

/**
 * Folding: the usage of batches goes into the series, each once. A cut is made first, see `Head`; then each shard of
 * series takes in what the cut brings it; then the cut is written down as applied, and its batches are deleted.
 */

const SHARDS_AT_ONCE = 16
const BODIES_AT_ONCE = 8

/**
 * How much one cut folds, in bytes as they are stored, so that it fits in memory; one batch at least. Of points it is
 * about 300,000, which take half a gigabyte.
 */
const BYTES_PER_CUT = 12_000_000

/** How many writers one cut has batches of: the head names each of them. */
const WRITERS_PER_CUT = 4000

/** How many hours of a shard one transaction brings in or closes at most. */
const HOURS_AT_ONCE = 24

/**
 * How many hours' usage a shard has open at most that no record waits for, as it came too late: what is beyond goes into
 * the totals when it is folded.
 */
const LATE_HOURS = 24

/** How often a cut is begun anew that nobody else is at work on. */
const MOST_TRIES = 5

export interface Folded {
  /** What was frozen by this process. */
  readonly frozen: readonly FrozenRecord[]
  /** The last hour that is closed. */
  readonly closedThrough: number | null
}

/** Brings all that was acknowledged before into the series and, on these terms, closes hours. */
export async function fold(database: Database, closing?: CloseOptions): Promise<Folded> {
  const closed = (head: Head) => closing !== undefined && head.applied && !isDue(head, closing)
  return await foldUnless(database, closed, { closing })
}

/** Does so, and decides what counters have waiting. */
export async function foldDeciding(database: Database, deciding: Deciding): Promise<void> {
  await foldUnless(database, () => false, { deciding })
}

/**
 * Folds: one process after the other.
 *
 * @param isDone whether others have done meanwhile what this is for
 */
async function foldUnless(database: Database, isDone: (head: Head) => boolean, wanted: Wanted = {}): Promise<Folded> {
  const lease = new Lease(database)
  try {
    const folded = await foldAlone(database, lease, isDone, wanted)
    await lease.release()
    return folded
  } catch (error) {
    // Who is told of the fault need not wait.
    void lease.release()
    throw error
  }
}

async function foldAlone(
  database: Database,
  lease: Lease,
  isDone: (head: Head) => boolean,
  wanted: Wanted,
): Promise<Folded> {
  const { table } = database
  const frozen: FrozenRecord[] = []
  const tries = new Map<string, number>()
  for (;;) {
    const read = await lease.readHead()
    if (isDone(read.head)) return { frozen, closedThrough: read.head.closedThrough }
    if (!(await lease.take())) continue
    const view = await viewFrom(table, read)
    if (view === undefined) continue
    try {
      const head = await foldSome(database, view, wanted, frozen)
      if (head !== undefined) return { frozen, closedThrough: head.closedThrough }
    } catch (error) {
      if (!(error instanceof SupersededError)) throw error
      const failures = (tries.get(view.version) ?? 0) + 1
      if (failures > MOST_TRIES) {
        const what = `Batches or series of cut ${view.head.cut} are missing or ahead of it`
        throw new LedgerError('ERR_LEDGER_CORRUPT', `${what}.`, { cause: error })
      }
      tries.set(view.version, failures)
      await pause(failures)
    }
  }
}

/** Forgets counters that were silent for long; see `Ledger.forget`. */
export async function foldForgetting(database: Database, now: number): Promise<void> {
  const { table } = database
  // Of a day in which others have done it, whatever has come since.
  const isDone = ({ applied, silent }: Head) =>
    applied && forgetNext(silent, now, Number.POSITIVE_INFINITY) === undefined
  for (;;) {
    await foldUnless(database, isDone)
    const read = await readHead(table)
    const { head } = read
    if (isDone(head)) return
    const view = head.applied ? await viewFrom(table, read) : undefined
    if (view === undefined) continue
    await sweep(database, view)
    const forgetting = forgetNext(head.silent, now, head.youngest + HOUR)
    if (forgetting === undefined) return
    const next =
      forgetting.before === head.silent.before
        ? { ...head, silent: forgetting }
        : { ...head, cut: head.cut + 1, applied: false, batches: {}, closing: null, deciding: null, forgetting }
    if ((await table.write('forget silent counters', [{ put: HEAD, over: view.version, data: next }])) === undefined)
      continue
    await foldUnless(database, isDone)
    await deleteLeft(database)
    return
  }
}

/** Folds for the audit trail, where points of others' counters wait: what it says of them is known when they are folded. */
export async function foldObserved(database: Database): Promise<void> {
  const view = await readView(database.table)
  if (!view.head.applied || waiting(view).some(({ observed }) => observed))
    await foldForReport(database, view.head, 'read the audit trail')
}

/**
 * Folds, for a report that would miss something of what was read: the cut that is begun, or else the next one.
 *
 * @throws LedgerError `ERR_LEDGER_READ_ONLY` where that is not permitted
 */
export async function foldForReport(database: Database, read: Head, doing: string): Promise<void> {
  const isDone = ({ applied, cut }: Head) => applied && cut >= read.cut + (read.applied ? 1 : 0)
  await foldUnless(database, isDone).catch(error => {
    throw error instanceof LedgerError && isDenied(error.cause) ? notFolded(doing, error) : error
  })
}

interface Wanted {
  readonly closing?: CloseOptions | undefined
  readonly deciding?: Deciding
}

/** Does what is next. Returns the head when all is done. */
async function foldSome(
  database: Database,
  view: View,
  wanted: Wanted,
  frozen: FrozenRecord[],
): Promise<Head | undefined> {
  if (!view.head.applied) {
    await apply(database, view, frozen)
    return undefined
  }
  const next = await nextCut(database, view, wanted)
  if (next === undefined) return view.head
  // What is left of the last cut, where the process has died that finished it: the next one does not name it.
  await sweep(database, view)
  const version = await database.table.write('make a cut', [{ put: HEAD, over: view.version, data: next.head }])
  if (version === undefined) return undefined
  const head = await apply(database, { ...view, head: next.head, version }, frozen)
  if (head === undefined) return undefined
  await sweep(database, { ...view, head })
  return next.last ? head : undefined
}

/** The batches that are not folded; of each writer those without a gap before. */
export function waiting({ head, batches }: Pick<View, 'head' | 'batches'>): Batch[] {
  const next = new Map(Object.entries(head.batches).map(([writer, [, to]]) => [writer, to + 1]))
  return batches.filter(({ writer, sequence }) => {
    // Of a writer that the last cut has not named, all that is before its first batch is folded and deleted.
    const expected = next.get(writer) ?? sequence
    if (sequence === expected) next.set(writer, sequence + 1)
    return sequence === expected
  })
}

/** Whether a batch that is still there is of the last cut. */
export function isFolded({ batches }: Head, { writer, sequence }: Batch): boolean {
  return sequence <= (batches[writer]?.[1] ?? 0)
}

function isDue({ closedThrough }: Head, closing: CloseOptions): boolean {
  return latestHour(closing) > lastClosed(closedThrough ?? undefined, closing.now)
}

/** The next cut, and whether it has all that is wanted. */
async function nextCut(
  { table, clock }: Database,
  view: View,
  { closing, deciding }: Wanted,
): Promise<{ head: Head; last: boolean } | undefined> {
  const { head } = view
  const all = waiting(view)
  let bytes = 0
  const writers = new Set<string>()
  const some = all.filter((batch, index) => {
    bytes += batch.bytes
    writers.add(batch.writer)
    return index === 0 || (bytes <= BYTES_PER_CUT && writers.size <= WRITERS_PER_CUT)
  })
  const due = closing !== undefined && isDue(head, closing)
  const wanted = some.length > 0 || (deciding !== undefined && (await anythingWaits(table)))
  if (closing === undefined ? !wanted : !due) return undefined
  const batches: Record<string, [number, number]> = {}
  for (const { writer, sequence } of some) batches[writer] = [batches[writer]?.[0] ?? sequence, sequence]
  const last = some.length === all.length
  const most = (of: keyof KnownAccounts) => some.reduce((most, batch) => Math.max(most, batch[of]), head[of])
  return {
    last,
    head: {
      ...{ ...head, cut: head.cut + 1, applied: false, batches, at: clock.now() },
      ...{ customers: most('customers'), unattributed: most('unattributed'), log: most('log') },
      // All that was acknowledged before an hour is closed goes into it.
      closing: due && last ? closing : null,
      deciding: deciding !== undefined && last ? deciding : null,
    },
  }
}

/** Brings what a cut says where it belongs, whoever has begun with it. Returns the head when it is done. */
async function apply(database: Database, view: View, frozen: FrozenRecord[]): Promise<Head | undefined> {
  const { head, dimensions } = view
  const batches = batchesOf(view)
  if (head.forgetting !== null) {
    await forgetCounters(database.table, head.cut, head.forgetting.before)
    const data = { ...head, applied: true, silent: head.forgetting, forgetting: null }
    const version = await database.table.write('finish a cut', [{ put: HEAD, over: view.version, data }])
    return version === undefined ? undefined : data
  }
  await database.accounts.readUpTo(head.log)
  const { usage, points } = await readBodies(database, batches)
  const found = await countPoints(database, view, points)
  const bySeries = Map.groupBy([...usage, ...found.usage], ({ account }) => shardOf(account))
  const tagged = found.usage.flatMap(({ tags, ...one }) => (tags === undefined ? [] : [{ ...one, tags }]))
  const shares = Map.groupBy([...usage.shares, ...tagged], ({ account }) => shardOf(account))
  const closing = head.closing === null ? undefined : { options: head.closing, closedThrough: head.closedThrough }
  const included = closing === undefined ? new IncludedDimensions([]) : await allIncluded(database)
  const shards = new Set([...bySeries.keys(), ...(closing === undefined ? [] : shardsOf(head))])
  await inParallel(shuffled(shards), SHARDS_AT_ONCE, async shard => {
    const brought = { usage: bySeries.get(shard) ?? [], shares: shares.get(shard) ?? [] }
    await applyToShard(database, shard, brought, { head, dimensions, closing, included }, frozen)
  })
  let { youngest } = head
  for (const some of bySeries.values()) for (const { hour } of some) youngest = Math.max(youngest, hour)
  await writeNotes(database, head.cut, noteEntries(database, view, found))
  const next = { ...applied(database, head, found), youngest }
  const version = await database.table.write('finish a cut', [{ put: HEAD, over: view.version, data: next }])
  if (next.forgottenBefore > head.forgottenBefore) await deleteForgotten(database.table, next.forgottenBefore)
  return version === undefined ? undefined : next
}

/** The cut's batches, which are there until it is applied. */
function batchesOf({ head, batches }: View): Batch[] {
  const wanted = batches.filter(({ writer, sequence }) => {
    const [from = Number.POSITIVE_INFINITY, to = 0] = head.batches[writer] ?? []
    return sequence >= from && sequence <= to
  })
  const count = Object.values(head.batches).reduce((count, [from, to]) => count + to - from + 1, 0)
  if (wanted.length < count) throw new SupersededError()
  return wanted
}

/** Adds up the usage of batches, and gathers the points in each of them. */
export async function readBodies(
  database: Database,
  batches: readonly Batch[],
): Promise<{ usage: GatheredUsage; points: (readonly Point[])[] }> {
  const usage = new GatheredUsage()
  const points: (readonly Point[])[] = []
  const byWriter = [...Map.groupBy(batches.entries(), ([, { writer }]) => writer).values()]
  await inParallel(byWriter, BODIES_AT_ONCE, async numbered => {
    for await (const { index, batch, body } of bodiesOfWriter(database, numbered)) {
      try {
        points[index] = await unpackBatch(body, usage)
      } catch (cause) {
        const what = `Batch ${batch.sequence} of writer ${batch.writer}`
        throw new LedgerError('ERR_LEDGER_CORRUPT', `${what} cannot be read.`, { cause })
      }
    }
  })
  return { usage, points }
}

/** The bodies of a writer's batches, one after the other. */
async function* bodiesOfWriter(
  { table }: Database,
  numbered: readonly [number, Batch][],
): AsyncGenerator<{ index: number; batch: Batch; body: Uint8Array }> {
  const elsewhere = numbered.filter(([, { chunks }]) => chunks > 0)
  for (const [index, batch] of numbered) {
    if (batch.chunks === 0) yield { index, batch, body: batch.body as Uint8Array }
  }
  const [first, last] = [elsewhere[0]?.[1], elsewhere.at(-1)?.[1]]
  if (first === undefined || last === undefined) return
  const range = { from: placeOf(first.sequence), to: `${placeOf(last.sequence)}#${END}` }
  const items = table.query('read the journal', bodiesOf(first.writer), range)
  for (const [index, batch] of elsewhere) {
    const parts: Uint8Array[] = []
    for (const { sk } of chunksOfBody(batch)) {
      let item: Item | undefined
      // What a process left that died before its batch was acknowledged is passed over.
      do item = (await items.next()).value
      while (item !== undefined && item.sk !== sk)
      // Deleted: others have folded it.
      if (item?.body === undefined) throw new SupersededError()
      parts.push(item.body)
    }
    yield { index, batch, body: Buffer.concat(parts) }
  }
}

interface Applying {
  readonly head: Head
  readonly dimensions: readonly Dimension[]
  readonly closing: Closing | undefined
  readonly included: IncludedDimensions
}

/** What a cut brings a shard. */
interface Brought {
  readonly usage: readonly SeriesUsage[]
  /** What of it is for some tags. */
  readonly shares: readonly ShareUsage[]
}

/** Brings a shard its part of a cut, some hours in each transaction. Adds what is frozen here. */
async function applyToShard(
  database: Database,
  number: number,
  { usage, shares }: Brought,
  { head, dimensions, closing, included }: Applying,
  frozen: FrozenRecord[],
): Promise<void> {
  const { table, accounts } = database
  const latest = closing === undefined ? [] : [latestHour(closing.options)]
  const hours = [...Map.groupBy(usage, ({ hour }) => hour)].sort(([a], [b]) => a - b).map(([, ofHour]) => ofHour)
  const sharesByHour = Map.groupBy(shares, ({ hour }) => hour)
  for (let [failures, idle, most, more] = [0, 0, HOURS_AT_ONCE, true]; more; ) {
    const shard = await Shard.read(table, number, latest)
    if (shard.cut > head.cut) throw new SupersededError()
    const all = shard.addHours(head.cut, hours, sharesByHour, most)
    const late = lateHours(shard, head)
    for (const hour of late.slice(0, Math.max(0, late.length - LATE_HOURS)).slice(0, most)) shard.takeHour(hour)
    // An hour's record has all that was used before it.
    const closingNow = all ? closing : undefined
    if (closingNow !== undefined) makeIdleSeries(shard, closingNow.options, { accounts, dimensions })
    const next = closingNow === undefined ? { hours: [], more: !all } : nextHours(shard, closingNow, idle, most)
    await shard.readSheets(table, hoursOfRecords(next.hours))
    const used = hoursOfRecords(next.hours.filter(({ idle }) => !idle))
    const twins = await Twins.read(database, shard, accountsToFreeze(shard.series.values(), dimensions), used)
    const records = closeHours(shard, next.hours, { accounts, dimensions, twins, included })
    const writes = shard.writes(series => nameOf(database, series))
    if (writes.length > 0) writes.push(...twins.writes)
    try {
      if (writes.length > 0 && (await table.write('bring a cut to series', writes)) === undefined) {
        failures += 1
        await pause(failures)
        continue
      }
    } catch (error) {
      most = fewer(error, most)
      continue
    }
    frozen.push(...records)
    more = next.more
    idle += next.hours.filter(({ idle }) => idle).length
  }
}

/**
 * The hours of a shard's open usage that get no record of their own, the oldest first: they are closed, AWS takes nothing
 * of them any more, or they are far ahead.
 */
function lateHours(shard: Shard, { at, closedThrough }: Head): number[] {
  const closed = lastClosed(closedThrough ?? undefined, at)
  return shard.openHours.filter(hour => hour <= closed || windowClosesAt(hour) <= at || hour > at + FARTHEST_AHEAD)
}

/** What the audit trail says of what was not simply counted: whoever applies the cut, the same in the same order. */
function noteEntries({ accounts }: Database, { dimensions }: View, found: CountResult): NewEntry[] {
  const text = ({ account, dimension, verdict, points, amount }: CountResult['notes'][number]) =>
    [account, dimension, verdict, points, amount].join(' ')
  const notes = [...found.notes].sort((a, b) => (text(a) < text(b) ? -1 : 1))
  return notes.map(({ account, dimension, ...note }) => {
    const names = { account: accounts.get(account), dimension: (dimensions[dimension] as Dimension).name }
    return noteEntry({ ...note, ...names }, found.at)
  })
}

/** The head when a cut is applied. */
function applied({ accounts }: Database, head: Head, { usage, notes, deltasAt }: CountResult): Head {
  const { closing, closedThrough, forgottenBefore, log } = head
  const notCounted: Partial<Record<NotCounted, number>> = { ...head.notCounted }
  for (const { verdict, points } of notes) notCounted[verdict] = (notCounted[verdict] ?? 0) + points
  const found = [...usage, ...notes]
  return {
    ...countAccounts(
      head,
      found.map(({ account }) => account),
    ),
    ...{ applied: true, closing: null, deciding: null, notCounted },
    log: found.length === 0 ? log : Math.max(log, accounts.known.log),
    closedThrough: closing === null ? closedThrough : latestHour(closing),
    forgottenBefore: Math.max(forgottenBefore, (deltasAt - DELTA_MEMORY) * 1000),
  }
}

/** Deletes the batches of a cut that is applied: the bodies first, so that none is forgotten. */
async function sweep({ table }: Database, { head, batches }: Pick<View, 'head' | 'batches'>): Promise<void> {
  const folded = batches.filter(batch => isFolded(head, batch))
  if (folded.length === 0) return
  await table.delete('delete folded batches', folded.flatMap(chunksOfBody))
  await table.delete('delete folded batches', folded)
}
