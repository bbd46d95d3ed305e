import { HOUR } from '../hours.ts'
import type { Allocation } from '../ledger.ts'
import { RESTORED } from '../rules/closing.ts'
import type { BookedRecord } from '../rules/decisions.ts'
import { parseLane } from './lanes.ts'
import { pack, textOf, toColumns, toRows } from './packed-json.ts'
import {
  type Hours,
  hourOfPlace,
  hourText,
  type Place,
  partitionOf,
  rangeOf,
  type SeriesNumbers,
  seriesKey,
  sheetKey,
} from './places.ts'
import type { Item, Key, Table, Write } from './table.ts'

/** The records of a shard, a sheet for each hour, and the indexes by which those without an end are found. */

export interface StoredRecord extends BookedRecord, SeriesNumbers {
  readonly account: number
  readonly lane: string
}

/** Why a record is held, or why its quantity returned. Before, what a restore holds was told as in doubt. */
export function reasonOf({ reason, lane }: StoredRecord): StoredRecord['reason'] {
  return reason === 'in-doubt' && parseLane(lane).region === RESTORED ? 'restored' : reason
}

/** The records of a shard's series of one hour, by series. */
export class Sheet {
  readonly hour: number
  readonly version: string | undefined
  readonly records: Map<string, StoredRecord>

  constructor(hour: number, item: Item | undefined) {
    this.hour = hour
    this.version = item?.version
    const rows = toRows((item?.data as Record<string, unknown[]> | undefined) ?? {})
    this.records = new Map(
      rows.map(row => {
        const size = BigInt(row.size as string)
        const record = { ...row, size, allocations: row.allocations ?? null } as unknown as StoredRecord
        return [seriesKey(record), record]
      }),
    )
  }
}

/** How many bytes the splits of a sheet's records may take, packed: a transaction has two sheets and their series. */
const MOST_ALLOCATED = 1_000_000

const packedSizes = new WeakMap<readonly Allocation[], number>()

function packedSize(allocations: readonly Allocation[]): number {
  const size = packedSizes.get(allocations) ?? pack(allocations).length
  packedSizes.set(allocations, size)
  return size
}

/** How a new record of a sheet is split: not at all where there is no room for it. */
export function allocationsIn({ records }: Sheet, wanted: readonly Allocation[] = []): readonly Allocation[] | null {
  if (wanted.length === 0) return null
  const others = [...records.values()].flatMap(({ allocations }) => (allocations === null ? [] : [allocations]))
  const size = [...others, wanted].reduce((sum, one) => sum + packedSize(one), 0)
  return size <= MOST_ALLOCATED ? wanted : null
}

const DUE = 'due'
const HELD = 'held'

/** An entry of the index of pending records: the earliest deadline first. */
export interface Due {
  readonly key: string
  readonly deadline: string
  readonly hour: number
  readonly shard: number
  readonly lane: string
}

/** The key by which records of a sheet are found that are pending. */
export function dueKey(shard: number, hour: number, { deadline, lane }: StoredRecord): string {
  return [deadlineText(deadline), hourText(hour), shard, lane].join('#')
}

export const deadlineText = (deadline: number): string => String(Math.max(0, Math.ceil(deadline))).padStart(16, '0')

function dueOf(sk: string): Due {
  const [, deadline = '', hour, shard, lane = ''] = /^(\d+)#(\d+)#(\d+)#(.*)$/s.exec(sk) ?? []
  return { key: sk, deadline, hour: Number(hour) * HOUR, shard: Number(shard), lane }
}

/** The sheets that have pending records, the earliest deadline first. */
export async function* pendingSheets(table: Table, pageSize?: number): AsyncGenerator<Due> {
  const range = pageSize === undefined ? {} : { pageSize }
  for await (const { sk } of table.query('look for pending records', DUE, range)) yield dueOf(sk)
}

/** The sheets that have held records. */
export async function heldSheets(table: Table): Promise<{ shard: number; hour: number }[]> {
  return (await table.list('look for held records', HELD)).map(({ sk }) => {
    const [hour, shard] = sk.split('#').map(Number) as [number, number]
    return { hour: hour * HOUR, shard }
  })
}

/** The sheets at these places, as far as they are there. */
export async function readSheets(
  table: Table,
  places: readonly Pick<Place, 'shard' | 'hour'>[],
): Promise<(Sheet | undefined)[]> {
  const keys = places.map(({ shard, hour }) => sheetKey(shard, hour))
  const name = ({ pk, sk }: Key) => `${pk} ${sk}`
  // One sheet may be asked for by several names.
  const items = await table.get('read records', [...new Map(keys.map(key => [name(key), key])).values()])
  const found = new Map(items.map(item => [name(item), item]))
  return places.map(({ hour }, index) => {
    const item = found.get(name(keys[index] as Key))
    return item === undefined ? undefined : new Sheet(hour, item)
  })
}

/** A shard's sheets of a period, the youngest hour first. */
export async function* sheetsOf(table: Table, shard: number, hours: Hours, pageSize?: number): AsyncGenerator<Sheet> {
  const range = { ...rangeOf('records', hours), newestFirst: true, ...(pageSize !== undefined && { pageSize }) }
  for await (const item of table.query('read records', partitionOf(shard), range)) {
    yield new Sheet(hourOfPlace(item.sk), item)
  }
}

/** Takes records from a sheet. False where somebody else has changed it since. */
export async function removeRecords(
  table: Table,
  shard: number,
  sheet: Sheet,
  series: readonly string[],
): Promise<boolean> {
  for (const one of series) sheet.records.delete(one)
  const over = sheet.version ?? ''
  const write = sheet.records.size === 0 ? { remove: sheetKey(shard, sheet.hour), over } : putSheet(shard, sheet)
  return (await table.write('delete what is settled and old', [write])) !== undefined
}

/** Writes a sheet's records; by itself only what changes neither their state nor their deadline. */
export function putSheet(shard: number, sheet: Sheet): Write {
  const records = [...sheet.records.values()]
  // Who tells nothing apart has no column for it.
  const rows = records.some(({ allocations }) => allocations !== null)
    ? records
    : records.map(({ allocations: _, ...record }) => record)
  return { put: sheetKey(shard, sheet.hour), over: sheet.version, data: toColumns(rows) }
}

export const textOfSheet = (sheet: Sheet): string => textOf([...sheet.records.values()])

/** The entries of the indexes that a sheet has. */
export function entriesOfSheet(shard: number, { hour, records }: Sheet): ReadonlySet<string> {
  return entriesOf(shard, hour, records.values())
}

/** The entries that some records of an hour have. */
export function entriesOf(shard: number, hour: number, records: Iterable<StoredRecord>): ReadonlySet<string> {
  const entries = new Set<string>()
  for (const record of records) {
    if (record.state === 'pending') entries.add(`${DUE} ${dueKey(shard, hour, record)}`)
    if (record.state === 'held') entries.add(`${HELD} ${hourText(hour)}#${shard}`)
  }
  return entries
}

export function keyOfEntry(entry: string): Key {
  const space = entry.indexOf(' ')
  return { pk: entry.slice(0, space), sk: entry.slice(space + 1) }
}
