import type { NotCounted } from '../ledger.ts'
import { addAmount } from '../rules/accounting.ts'
import { SupersededError } from './head.ts'
import { pack, textOf, toColumns, toRows } from './packed-json.ts'
import { inParallel } from './parallel.ts'
import { type Item, type Key, pause, type Table, type Write } from './table.ts'

/**
 * Trees of cells: each cell has what is remembered under keys that begin with the same digits. One that gets large is
 * divided by the next digit. Of each row that the last cut has changed there is what it was before, so that whoever
 * folds that cut again begins with the same, whatever is written already.
 */

/** Up to which size a cell takes more, in bytes as it is stored; and what surely is smaller than an item, in characters. */
const LARGEST_CELL = 100 * 1024
const SMALL_TEXT = 300_000
const CELLS_AT_ONCE = 16

export interface Row {
  readonly text: string
  /** What of it waits to be decided, see `waitingUsage`. */
  readonly waits: Waits | null
}

/** When it is decided, in milliseconds since the epoch, of which dimension it is, and how much. */
export type Waits = readonly [until: number, dimension: number, amount: string]

export interface Tree {
  readonly place: (digits: string) => Key
  /** Where it is said what of a cell waits, in a tree of which anything may wait. */
  readonly waitingPlace?: (digits: string) => Key
  /** Rows as the version before has stored them. */
  readonly rowsBefore?: (data: unknown) => ReadonlyMap<string, Row>
  /** Whether a row is forgotten. */
  readonly isForgotten?: (key: string, row: Row) => boolean
}

export interface StoredCell {
  /** The last cut that has changed it. */
  readonly cut: number
  /** Whether its rows are in the cells of the next digit. */
  readonly divided: boolean
  readonly rows?: Record<string, unknown[]>
}

/** A cell as the version before has written it: what is remembered, and what its points added. */
export interface CellBefore {
  readonly cut: number
  readonly divided: boolean
  readonly found?: {
    readonly usage: readonly (readonly [number, number, number, string])[]
    readonly notes: readonly (readonly [number, number, NotCounted, number, string])[]
  }
  readonly states: readonly (readonly [string, string])[]
  readonly deltas: readonly (readonly [string, string, boolean])[]
}

/** A row, and what it was before the cell's last cut: '' where there was none, null where it is the same. */
interface CellRow extends Row {
  readonly before: string | null
  readonly waited: Waits | null
}

interface Cell {
  readonly cut: number
  readonly divided: boolean
  readonly rows: ReadonlyMap<string, CellRow>
  readonly version: string | undefined
  /** What is said of what waits of it. */
  readonly waiting: Item | undefined
}

interface Part<Wanted> {
  readonly digits: string
  readonly wanted: Wanted
}

/** What was remembered under these keys before a cut. */
export async function readRows(
  table: Table,
  cut: number,
  tree: Tree,
  keys: readonly string[],
): Promise<Map<string, Row>> {
  const found = new Map<string, Row>()
  for (let level: Part<readonly string[]>[] = [{ digits: '', wanted: keys }]; level.length > 0; ) {
    level = (
      await inParallel(level, CELLS_AT_ONCE, async ({ digits, wanted }) => {
        const cell = await readCell(table, cut, tree, digits)
        if (cell.divided) return parts([...wanted], key => key, digits)
        for (const key of wanted) {
          const row = rowBefore(cell, cut, key)
          if (row !== undefined && tree.isForgotten?.(key, row) !== true) found.set(key, row)
        }
        return []
      })
    ).flat()
  }
  return found
}

/** Writes what a cut has made of rows, once. */
export async function keepRows(table: Table, cut: number, tree: Tree, rows: ReadonlyMap<string, Row>): Promise<void> {
  for (
    let level: Part<readonly (readonly [string, Row])[]>[] = [{ digits: '', wanted: [...rows] }];
    level.length > 0;
  ) {
    level = (
      await inParallel(level, CELLS_AT_ONCE, async ({ digits, wanted }) => {
        const divided = await keepInCell(table, cut, tree, digits, wanted)
        return divided ? parts(wanted, ([key]) => key, digits) : []
      })
    ).flat()
  }
}

/** All cells of a tree that have rows, in no order. What is divided meanwhile is told by its parts. */
export async function* cellsOf(
  table: Table,
  cut: number,
  tree: Tree,
): AsyncGenerator<{ digits: string; rows: ReadonlyMap<string, Row> }> {
  for (let level = ['']; level.length > 0; ) {
    const divided: string[] = []
    for (let next = 0; next < level.length; next += CELLS_AT_ONCE) {
      const some = level.slice(next, next + CELLS_AT_ONCE)
      const cells = await inParallel(some, CELLS_AT_ONCE, digits => readCell(table, cut, tree, digits))
      for (const [index, cell] of cells.entries()) {
        const digits = some[index] as string
        if (cell.divided) divided.push(...[...HEXADECIMAL].map(digit => digits + digit))
        else if (cell.rows.size > 0) yield { digits, rows: cell.rows }
      }
    }
    level = divided
  }
}

const HEXADECIMAL = '0123456789abcdef'

/** Leaves out of a cell what is forgotten, once for a cut. */
export async function forgetRows(table: Table, cut: number, tree: Tree, digits: string): Promise<void> {
  await keepInCell(table, cut, tree, digits, [])
}

function parts<Wanted>(wanted: readonly Wanted[], keyOf: (one: Wanted) => string, { length }: string) {
  const byDigit = Map.groupBy(wanted, one => keyOf(one).slice(0, length + 1))
  return [...byDigit].map(([digits, wanted]) => ({ digits, wanted }))
}

/** Returns whether the cell is divided, so that the rows belong elsewhere. */
async function keepInCell(
  table: Table,
  cut: number,
  tree: Tree,
  digits: string,
  changed: readonly (readonly [string, Row])[],
): Promise<boolean> {
  for (let failures = 1; ; failures += 1) {
    const cell = await readCell(table, cut, tree, digits, tree.waitingPlace?.(digits))
    // Whoever has written it for this cut has written the same.
    if (cell.divided || cell.cut === cut) return cell.divided
    const rows = new Map<string, CellRow>()
    for (const [key, { text, waits }] of cell.rows) {
      const row = { text, waits, before: null, waited: null }
      if (tree.isForgotten?.(key, row) !== true) rows.set(key, row)
    }
    for (const [key, row] of changed) {
      const { text = '', waits = null } = rows.get(key) ?? {}
      rows.set(key, { ...row, before: text, waited: waits })
    }
    const data = stored(cut, rows)
    const large = rows.size > 1 && isLarge(data)
    const put = { put: tree.place(digits), over: cell.version, data }
    const writes = large
      ? division(tree, digits, cell)
      : [put, ...waitingWrites(tree, digits, cell.waiting, waitingOf(cut, rows))]
    if ((await table.write(large ? 'divide counters' : 'count points', writes)) === undefined) await pause(failures)
    else if (large) return true
    else return false
  }
}

function isLarge(cell: StoredCell): boolean {
  return textOf(cell).length > SMALL_TEXT && pack(cell).length > LARGEST_CELL
}

/** Moves what is remembered into the cells of the next digit. */
function division(tree: Tree, digits: string, { cut, rows, version, waiting }: Cell): Write[] {
  return [
    { put: tree.place(digits), over: version, data: { ...stored(cut, new Map()), divided: true } },
    ...waitingWrites(tree, digits, waiting, undefined),
    ...parts([...rows], ([key]) => key, digits).flatMap(({ digits, wanted }) => {
      const some = new Map(wanted)
      const put = { put: tree.place(digits), over: undefined, data: stored(cut, some) }
      return [put, ...waitingWrites(tree, digits, undefined, waitingOf(cut, some))]
    }),
  ]
}

async function readCell(
  table: Table,
  cut: number,
  tree: Tree,
  digits: string,
  waitingPlace?: Key | undefined,
): Promise<Cell> {
  const place = tree.place(digits)
  const items = await table.get('read counters', waitingPlace === undefined ? [place] : [place, waitingPlace])
  const item = items.find(({ pk }) => pk === place.pk)
  const data = item?.data as StoredCell | undefined
  if (data !== undefined && data.cut > cut) throw new SupersededError()
  return {
    ...{ cut: data?.cut ?? 0, divided: data?.divided ?? false, rows: rowsOf(tree, data), version: item?.version },
    waiting: items.find(({ pk }) => pk !== place.pk),
  }
}

function rowsOf(tree: Tree, data: StoredCell | undefined): ReadonlyMap<string, CellRow> {
  if (data === undefined) return new Map()
  if (data.rows === undefined) {
    const rows = [...(tree.rowsBefore?.(data) ?? [])]
    return new Map(rows.map(([key, row]) => [key, { ...row, before: null, waited: null }]))
  }
  return new Map(toRows(data.rows).map(({ key, ...row }) => [key as string, row as unknown as CellRow]))
}

/** In the order of their keys, so that neighbours are alike. */
function stored(cut: number, rows: ReadonlyMap<string, CellRow>): StoredCell {
  const sorted = [...rows].sort(([a], [b]) => (a < b ? -1 : 1))
  const columns = sorted.map(([key, { text, before, waits, waited }]) => ({ key, text, before, waits, waited }))
  return { cut, divided: false, rows: toColumns(columns) }
}

/** A row as it was before a cut. */
function rowBefore({ cut: last, rows }: Cell, cut: number, key: string): Row | undefined {
  const row = rows.get(key)
  if (row === undefined || last < cut || row.before === null) return row
  return row.before === '' ? undefined : { text: row.before, waits: row.waited }
}

/** What waits of a cell: an item of its own, so that it is found without looking at all cells. */
interface StoredWaiting {
  readonly cut: number
  /** The earliest time until which something waits, in milliseconds, now and before the cut; 0 where nothing does. */
  readonly until: number
  readonly untilBefore: number
  /** By dimension. */
  readonly amounts: readonly (readonly [number, string])[]
}

const WAITING = 'waiting'
export const waitingPlace = (digits: string): Key => ({ pk: WAITING, sk: `#${digits}` })

function waitingOf(cut: number, rows: ReadonlyMap<string, CellRow>): StoredWaiting | undefined {
  let [until, untilBefore] = [0, 0]
  const amounts = new Map<number, bigint>()
  const earlier = (one: number, waits: Waits | null) =>
    waits === null || (one > 0 && one <= waits[0]) ? one : waits[0]
  for (const { waits, before, waited } of rows.values()) {
    until = earlier(until, waits)
    untilBefore = earlier(untilBefore, before === null ? waits : waited)
    if (waits !== null) amounts.set(waits[1], (amounts.get(waits[1]) ?? 0n) + BigInt(waits[2]))
  }
  if (until === 0 && untilBefore === 0) return undefined
  return { cut, until, untilBefore, amounts: [...amounts].map(([dimension, sum]) => [dimension, String(sum)]) }
}

/** Says what waits of a cell now, together with the cell, whose version is checked. */
function waitingWrites(
  tree: Tree,
  digits: string,
  item: Item | undefined,
  waiting: StoredWaiting | undefined,
): Write[] {
  if (tree.waitingPlace === undefined) return []
  const put = tree.waitingPlace(digits)
  if (waiting === undefined) return item === undefined ? [] : [{ remove: put, over: item.version }]
  const known = item?.data as StoredWaiting | undefined
  const same = known?.until === waiting.until && textOf(known.amounts) === textOf(waiting.amounts)
  return same ? [] : [{ put, over: item?.version, data: waiting }]
}

/** What waited before a cut until `now`, by key. */
export async function readWaiting(table: Table, cut: number, tree: Tree, now: number): Promise<Map<string, Row>> {
  for (;;) {
    const items = await table.list('look for what waits', WAITING)
    const places = items.filter(({ data }) => {
      const waiting = data as StoredWaiting
      if (waiting.cut > cut) throw new SupersededError()
      const until = waiting.cut === cut ? waiting.untilBefore : waiting.until
      return until > 0 && until <= now
    })
    const cells = await inParallel(
      places,
      CELLS_AT_ONCE,
      async ({ sk }) => await readCell(table, cut, tree, sk.slice(1)),
    )
    // What is divided meanwhile says so elsewhere.
    if (cells.some(({ divided }) => divided)) continue
    const rows = cells.flatMap(cell => [...cell.rows.keys()].map(key => [key, rowBefore(cell, cut, key)] as const))
    return new Map(
      rows.filter((one): one is [string, Row] => {
        const waits = one[1]?.waits ?? null
        return waits !== null && waits[0] <= now
      }),
    )
  }
}

/** Whether anything waits. */
export async function anythingWaits(table: Table): Promise<boolean> {
  return (await waitingUsage(table)).size > 0
}

/** How much waits, by dimension. */
export async function waitingUsage(table: Table): Promise<Map<number, bigint>> {
  const amounts = new Map<number, bigint>()
  for (const { data } of await table.list('look for what waits', WAITING)) {
    for (const [dimension, amount] of (data as StoredWaiting).amounts) {
      addAmount(amounts, dimension, BigInt(amount))
    }
  }
  return amounts
}
