import { HOUR } from '../hours.ts'
import { RESTORED } from '../rules/closing.ts'
import type { BookedRecord } from '../rules/decisions.ts'
import { parseLane } from './lanes.ts'
import { textOf, toColumns, toRows } from './packed-json.ts'
import {
  type Hours,
  hourOfPlace,
  hourText,
  type Place,
  pageKey,
  partitionOf,
  rangeOf,
  type SeriesNumbers,
  seriesKey,
} from './places.ts'
import type { Item, Key, Table, Write } from './table.ts'

/** The records of a shard, a page for each hour, and the indexes by which those without an end are found. */

export interface StoredRecord extends BookedRecord, SeriesNumbers {
  readonly account: number
  readonly lane: string
}

/** Why a record is held, or why its quantity returned. Before, what a restore holds was told as in doubt. */
export function reasonOf({ reason, lane }: StoredRecord): StoredRecord['reason'] {
  return reason === 'in-doubt' && parseLane(lane).region === RESTORED ? 'restored' : reason
}

/** The records of a shard's series of one hour, by series. */
export class Page {
  readonly hour: number
  readonly version: string | undefined
  readonly records: Map<string, StoredRecord>

  constructor(hour: number, item: Item | undefined) {
    this.hour = hour
    this.version = item?.version
    const rows = toRows((item?.data as Record<string, unknown[]> | undefined) ?? {})
    this.records = new Map(
      rows.map(row => {
        const record = { ...row, size: BigInt(row.size as string) } as unknown as StoredRecord
        return [seriesKey(record), record]
      }),
    )
  }
}

const DUE = 'due'
const HELD = 'held'

/** An entry of the index of what is pending: the earliest deadline first. */
export interface Due {
  readonly key: string
  readonly deadline: string
  readonly hour: number
  readonly shard: number
  readonly lane: string
}

/** The key by which records of a page are found that are pending. */
export function dueKey(shard: number, hour: number, { deadline, lane }: StoredRecord): string {
  return [deadlineText(deadline), hourText(hour), shard, lane].join('#')
}

export const deadlineText = (deadline: number): string => String(Math.max(0, Math.ceil(deadline))).padStart(16, '0')

function dueOf(sk: string): Due {
  const [, deadline = '', hour, shard, lane = ''] = /^(\d+)#(\d+)#(\d+)#(.*)$/s.exec(sk) ?? []
  return { key: sk, deadline, hour: Number(hour) * HOUR, shard: Number(shard), lane }
}

/** What is pending, the earliest deadline first. */
export async function* pendingPages(table: Table, pageSize?: number): AsyncGenerator<Due> {
  const range = pageSize === undefined ? {} : { pageSize }
  for await (const { sk } of table.query('look for pending records', DUE, range)) yield dueOf(sk)
}

/** Where records are held. */
export async function heldPages(table: Table): Promise<{ shard: number; hour: number }[]> {
  return (await table.list('look for held records', HELD)).map(({ sk }) => {
    const [hour, shard] = sk.split('#').map(Number) as [number, number]
    return { hour: hour * HOUR, shard }
  })
}

/** The pages at these places, as far as they are there. */
export async function readPages(
  table: Table,
  places: readonly Pick<Place, 'shard' | 'hour'>[],
): Promise<(Page | undefined)[]> {
  const keys = places.map(({ shard, hour }) => pageKey(shard, hour))
  const name = ({ pk, sk }: Key) => `${pk} ${sk}`
  // One page may be asked for by several names.
  const items = await table.get('read records', [...new Map(keys.map(key => [name(key), key])).values()])
  const found = new Map(items.map(item => [name(item), item]))
  return places.map(({ hour }, index) => {
    const item = found.get(name(keys[index] as Key))
    return item === undefined ? undefined : new Page(hour, item)
  })
}

/** A shard's pages of a period, the youngest hour first. */
export async function* pagesOf(table: Table, shard: number, hours: Hours, pageSize?: number): AsyncGenerator<Page> {
  const range = { ...rangeOf('records', hours), newestFirst: true, ...(pageSize !== undefined && { pageSize }) }
  for await (const item of table.query('read records', partitionOf(shard), range)) {
    yield new Page(hourOfPlace(item.sk), item)
  }
}

/** Takes records from a page. False where somebody else has changed it since. */
export async function removeRecords(
  table: Table,
  shard: number,
  page: Page,
  series: readonly string[],
): Promise<boolean> {
  for (const one of series) page.records.delete(one)
  const over = page.version ?? ''
  const write = page.records.size === 0 ? { remove: pageKey(shard, page.hour), over } : putPage(shard, page)
  return (await table.write('delete what is settled and old', [write])) !== undefined
}

/** Writes a page's records; by itself only what changes neither their state nor their deadline. */
export function putPage(shard: number, page: Page): Write {
  return { put: pageKey(shard, page.hour), over: page.version, data: toColumns([...page.records.values()]) }
}

export const textOfPage = (page: Page): string => textOf([...page.records.values()])

/** The entries of the indexes that a page has. */
export function entriesOfPage(shard: number, page: Page): ReadonlySet<string> {
  const entries = new Set<string>()
  for (const record of page.records.values()) {
    if (record.state === 'pending') entries.add(`${DUE} ${dueKey(shard, page.hour, record)}`)
    if (record.state === 'held') entries.add(`${HELD} ${hourText(page.hour)}#${shard}`)
  }
  return entries
}

export function keyOfEntry(entry: string): Key {
  const space = entry.indexOf(' ')
  return { pk: entry.slice(0, space), sk: entry.slice(space + 1) }
}
