import { randomUUID } from 'node:crypto'
import { hourOf } from '../hours.ts'
import type {
  ClaimOptions,
  DueLanes,
  ExpireResult,
  Lane,
  MeteringRecord,
  SettledRecord,
  Settlement,
} from '../ledger.ts'
import { expireRecords, isDue, settleRecord } from '../rules/decisions.ts'
import { ANY_UNANSWERED } from '../rules/transitions.ts'
import { change, type Part } from './change.ts'
import type { FrozenRecord } from './closing.ts'
import type { Database } from './database.ts'
import { recordEntries } from './entries.ts'
import { noteAnswers } from './lane-answers.ts'
import { parseLane } from './lanes.ts'
import { inParallel, shuffled } from './parallel.ts'
import { type Place, placeOfRecord } from './places.ts'
import type { Shard } from './shard.ts'
import { type Due, deadlineText, dueKey, pendingSheets, putSheet, readSheets, type Sheet } from './sheets.ts'
import { chunksOf } from './table.ts'
import { inTransactions } from './transaction.ts'

/** Records on their way: claimed and attempted, settled by an answer, expired with their window. */

const SHARDS_AT_ONCE = 16

/** How many sheets are looked through first for what is due, and how many then at once where it was not in these. */
const SHEETS_FIRST = 4
const SHEETS_THEN = 50

/** From how many sheets of one deadline a caller takes any. */
const SHEETS_TO_CHOOSE_FROM = 200

export async function dueLanes({ table }: Database, now: number): Promise<DueLanes> {
  const lanes = new Map<string, Due[]>()
  for await (const due of pendingSheets(table)) {
    if (due.deadline > deadlineText(now)) lanes.set(due.lane, [...(lanes.get(due.lane) ?? []), due])
  }
  let next = Number.POSITIVE_INFINITY
  const found = await inParallel([...lanes], SHARDS_AT_ONCE, async ([lane, dues]) => {
    for (const some of inChunks(dues)) {
      const records = (await readSheets(table, some)).flatMap(sheet => [...(sheet?.records.values() ?? [])])
      const ofLane = records.filter(record => record.lane === lane && record.state === 'pending')
      if (ofLane.some(record => isDue(record, now))) return [parseLane(lane)]
      // Where none is due, all were looked at.
      for (const { nextAttemptAt, claimedUntil, timestamp, deadline } of ofLane) {
        if (deadline > now) next = Math.min(next, Math.max(nextAttemptAt, claimedUntil, timestamp))
      }
    }
    return []
  })
  const due = found.flat()
  return { lanes: due, ...(due.length === 0 && next < Number.POSITIVE_INFINITY && { next }) }
}

export async function claim(database: Database, lane: Lane, options: ClaimOptions): Promise<MeteringRecord[]> {
  const claimed: FrozenRecord[] = []
  const claim = randomUUID()
  for await (const dues of dueInOrder(database, lane, options.now)) {
    const sheets = await readSheets(database.table, dues)
    for (const [index, due] of dues.entries()) {
      const limit = options.limit - claimed.length
      if (limit === 0) break
      claimed.push(...(await claimSheet(database, due, sheets[index], { ...options, limit }, claim)))
    }
    if (claimed.length === options.limit) break
  }
  return (await recordEntries(database, claimed)).map(
    ({ id, account, dimension, quantity, allocations, timestamp, deadline, attempts }, index) => {
      const unanswered = attempts - (claimed[index] as FrozenRecord).record.refusals
      const record = { id, claim, account, dimension, quantity, timestamp, deadline, attempts, unanswered }
      return allocations === undefined ? record : { ...record, allocations }
    },
  )
}

/**
 * A lane's pending sheets, the earliest deadline first, some at a time. Those of one deadline come in any order, so that
 * several callers take different ones.
 */
async function* dueInOrder({ table }: Database, lane: Lane, now: number): AsyncGenerator<Due[]> {
  let same: Due[] = []
  for await (const due of pendingSheets(table, SHEETS_TO_CHOOSE_FROM)) {
    if (due.lane !== lane.id || due.deadline <= deadlineText(now)) continue
    if (same.length === SHEETS_TO_CHOOSE_FROM || (same[0] ?? due).deadline !== due.deadline) {
      yield* inChunks(shuffled(same))
      same = []
    }
    same.push(due)
  }
  yield* inChunks(shuffled(same))
}

function inChunks<Element>(elements: readonly Element[]): Element[][] {
  const first = elements.slice(0, SHEETS_FIRST)
  return [...(first.length > 0 ? [first] : []), ...chunksOf(elements.slice(SHEETS_FIRST), SHEETS_THEN)]
}

/** Claims what is due of a sheet, of one lane and deadline. */
async function claimSheet(
  { table }: Database,
  due: Due,
  read: Sheet | undefined,
  { now, limit, claimedUntil, unanswered: { from, below } = ANY_UNANSWERED }: ClaimOptions,
  claim: string,
): Promise<FrozenRecord[]> {
  for (let sheet = read; sheet !== undefined; [sheet] = await readSheets(table, [due])) {
    const { hour, records } = sheet
    const some = [...records.values()]
      .filter(record => dueKey(due.shard, hour, record) === due.key && isDue(record, now))
      .filter(({ attempts, refusals }) => attempts - refusals >= from && attempts - refusals < below)
      .slice(0, limit)
    if (some.length === 0) return []
    for (const record of some) Object.assign(record, { attempts: record.attempts + 1, claim, claimedUntil })
    const written = await table.write('claim due records', [putSheet(due.shard, sheet)])
    if (written !== undefined) return some.map(record => ({ hour, record }))
    // Somebody else was faster; some may be left.
  }
  return []
}

export async function settle(
  database: Database,
  settlements: readonly Settlement[],
  now: number,
): Promise<SettledRecord[]> {
  const settled: (SettledRecord | undefined)[] = []
  const lanes: string[] = []
  const placed = settlements.flatMap((settlement, index) => {
    const place = placeOfRecord(settlement.record.id)
    return place === undefined ? [] : [{ settlement, index, place }]
  })
  await changeByShard(placed, some =>
    change(database, 'settle records', [partOf(some)], (shard: Shard) => {
      for (const { settlement, index, place } of some) {
        // One that is gone was settled by another process, and so long ago that it was pruned.
        const record = shard.sheet(place.hour).records.get(place.series)
        if (record !== undefined) lanes[index] = record.lane
        settled[index] = record === undefined ? undefined : settleRecord(shard, record, settlement, now)
      }
      return { result: undefined }
    }),
  )
  // The first of each lane: it was sent in any case, which those behind it may not have been.
  const answers = new Map(settlements.map(({ answer }, index) => [lanes[index], answer] as const).reverse())
  answers.delete(undefined)
  await noteAnswers(database, answers as ReadonlyMap<string, string>, now)
  return settled.filter(one => one !== undefined)
}

export async function expire(database: Database, now: number): Promise<ExpireResult> {
  const over: { readonly key: string; readonly place: Pick<Place, 'shard' | 'hour'> }[] = []
  for await (const { key, deadline, shard, hour } of pendingSheets(database.table)) {
    // One that is to come by more than an hour was frozen by a clock that was ahead.
    if (deadline <= deadlineText(now) || hour > hourOf(now)) over.push({ key, place: { shard, hour } })
  }
  const expired = await changeByShard(over, some =>
    change(database, 'expire records', [partOf(some)], (shard: Shard) => {
      const keys = new Set(some.map(({ key }) => key))
      return {
        result: [...shard.sheets.values()].flatMap(({ hour, records }) => {
          const ofKeys = [...records.values()].filter(record => keys.has(dueKey(shard.number, hour, record)))
          return expireRecords(shard, ofKeys, now).map(record => ({ hour, record }))
        }),
      }
    }),
  )
  const held = expired.flat().filter(({ record }) => record.state === 'held')
  return { returned: expired.flat().length - held.length, held: await recordEntries(database, held) }
}

interface Placed {
  readonly place: Pick<Place, 'shard' | 'hour'>
}

/** Changes what is at these places, shard by shard, in as few transactions as take it. */
async function changeByShard<One extends Placed, Result>(
  placed: readonly One[],
  work: (some: readonly One[]) => Promise<Result>,
): Promise<Result[]> {
  const byHour = [...placed].sort((a, b) => a.place.hour - b.place.hour)
  const shards = [...Map.groupBy(byHour, ({ place }) => place.shard).values()]
  return (await inParallel(shards, SHARDS_AT_ONCE, ofShard => inTransactions(ofShard, work))).flat()
}

function partOf(placed: readonly Placed[]): Part {
  return { shard: placed[0]?.place.shard ?? 0, hours: placed.map(({ place }) => place.hour) }
}
