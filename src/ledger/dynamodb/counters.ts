import type { Dimension } from '../../usage/dimension.ts'
import { HOUR, hourOf, MINUTE } from '../hours.ts'
import type { NotCounted, Observation } from '../ledger.ts'
import {
  type CounterMemory,
  type CounterState,
  type ObservedSet,
  observeAll,
  packState,
  unpackState,
} from '../rules/counters/index.ts'
import type { Point } from './batch.ts'
import type { Engine } from './engine.ts'
import { SupersededError } from './head.ts'
import { pack } from './packed-json.ts'
import { inParallel } from './parallel.ts'
import { END, type Item, type Key, pause, type Table, type Write } from './table.ts'
import type { SeriesUsage } from './usage.ts'

/**
 * Counters that others keep, in cells: each has what is remembered of some counters, and what the points of the last
 * cut added to usage. Both are written at once, so that a fold that is done again finds what it has found before.
 *
 * All states are in one tree of cells, and the deltas of each minute in another, since they come and go in that order.
 * A cell that is large, or is to take much at once, is divided first by the next digit of the counters in it.
 */

/** Up to which size a cell takes more points, in bytes as it is stored. */
const LARGEST_CELL = 100 * 1024
/** How much a cell takes at once, in hours of counters or in deltas: what it comes to is in it, too. */
const MOST_AT_ONCE = 2000
/** A counter's name has no more, so that then there is one counter. */
const DIGITS_OF_COUNTER = 32

const CELLS_AT_ONCE = 16

/** What points added, and what of them was not simply counted. */
export interface Found {
  readonly usage: readonly SeriesUsage[]
  readonly notes: readonly FoundNote[]
}

export interface FoundNote {
  readonly account: number
  readonly dimension: number
  readonly verdict: NotCounted
  readonly points: number
  readonly amount: bigint
}

/** What a fold knows when it looks at points. */
export interface Observing {
  readonly engine: Engine
  readonly cut: number
  readonly forgottenBefore: number
  readonly dimensions: readonly Dimension[]
  /** When each product began to be metered. */
  readonly since: ReadonlyMap<string, number>
}

/** Takes the points of a cut, each once however often this is done. */
export async function observePoints(observing: Observing, points: readonly Point[]): Promise<Found[]> {
  const trees = [...Map.groupBy(points, treeOf)]
  return (await inParallel(trees, CELLS_AT_ONCE, ([tree, some]) => observeIn(observing, tree, '', some))).flat()
}

interface StoredCell {
  /** The last cut whose points are in it. */
  readonly cut: number
  readonly found: StoredFound
  /** Whether what is remembered is in the cells of the next digit. */
  readonly divided: boolean
  /** Counters and their states. */
  readonly states: readonly (readonly [string, string])[]
  /** What tells a delta, its value, and whether it came when its like were forgotten. */
  readonly deltas: readonly (readonly [string, string, boolean])[]
}

interface StoredFound {
  readonly usage: readonly (readonly [number, number, number, string])[]
  readonly notes: readonly (readonly [number, number, NotCounted, number, string])[]
}

const EMPTY: StoredCell = { cut: 0, found: { usage: [], notes: [] }, divided: false, states: [], deltas: [] }

/** The states' tree, or a minute's. */
type Tree = 'states' | number

const treeOf = ({ kind, time }: Point): Tree => (kind === 'delta' ? Math.floor(time / 1000 / MINUTE) : 'states')

/** Where the cell of the counters that begin with these digits is. */
function cellKey(tree: Tree, digits: string): Key {
  if (tree === 'states') return { pk: `counters#${digits}`, sk: 'cell' }
  return { pk: deltasOf(digits.slice(0, 1)), sk: `${minuteText(tree)}#${digits}` }
}

const deltasOf = (digit: string): string => `deltas#${digit}`
const minuteText = (minute: number): string => String(minute).padStart(12, '0')

/** Takes points of counters that begin with these digits. */
async function observeIn(observing: Observing, tree: Tree, digits: string, points: readonly Point[]): Promise<Found[]> {
  const { engine, cut, forgottenBefore } = observing
  for (let failures = 1; ; failures += 1) {
    const [item] = await engine.table.get('read counters', [cellKey(tree, digits)])
    const cell = item?.data as StoredCell | undefined
    if (cell !== undefined && cell.cut > cut) throw new SupersededError()
    if (cell?.cut === cut) return [foundOf(cell.found)]
    if (cell?.divided) {
      const parts = [...Map.groupBy(points, ({ counter }) => counter.slice(0, digits.length + 1))]
      return (await Promise.all(parts.map(([longer, some]) => observeIn(observing, tree, longer, some)))).flat()
    }
    if (digits.length < DIGITS_OF_COUNTER && isLarge(tree, cell, points)) {
      const writes = division(tree, digits, item?.version, cell)
      if ((await engine.table.write('divide counters', writes)) === undefined) await pause(failures)
      continue
    }
    const states = new Map((cell?.states ?? []).map(([counter, text]) => [counter, unpackState(text)]))
    const deltas = (cell?.deltas ?? []).filter(([name, , late]) => late || timeOf(name) >= forgottenBefore)
    const set = observeAll(named(observing, points), memoryOf(observing, states, deltas))
    for (const [counter, state] of set.states) states.set(counter, state)
    for (const delta of set.deltas) deltas.push([deltaName(delta), String(delta.value), delta.time < forgottenBefore])
    const found = await storedFound(engine, set)
    const packed = [...states].map(([counter, state]) => [counter, packState(state)] as const)
    const data: StoredCell = { cut, found, divided: false, states: sorted(packed), deltas: sorted(deltas) }
    const write = { put: cellKey(tree, digits), over: item?.version, data }
    if ((await engine.table.write('count points', [write])) !== undefined) return [foundOf(found)]
    await pause(failures)
  }
}

function isLarge(tree: Tree, cell: StoredCell = EMPTY, points: readonly Point[]): boolean {
  if (pack(cell).length > LARGEST_CELL) return true
  if (points.length <= MOST_AT_ONCE || points.every(({ counter }) => counter === points[0]?.counter)) return false
  const hours = points.map(({ counter, time, receivedAt }) => `${counter} ${hourOf(Math.min(time / 1000, receivedAt))}`)
  return tree !== 'states' || new Set(hours).size > MOST_AT_ONCE
}

/** Moves what is remembered into the cells of the next digit. */
function division(tree: Tree, digits: string, over: string | undefined, cell: StoredCell = EMPTY): Write[] {
  const longer = ([name]: readonly [string, ...unknown[]]) => name.slice(0, digits.length + 1)
  const [states, deltas] = [Map.groupBy(cell.states, longer), Map.groupBy(cell.deltas, longer)]
  const parts = [...new Set([...states.keys(), ...deltas.keys()])]
  return [
    { put: cellKey(tree, digits), over, data: { ...EMPTY, cut: cell.cut, divided: true } },
    ...parts.map(part => ({
      put: cellKey(tree, part),
      over: undefined,
      data: { ...EMPTY, cut: cell.cut, states: states.get(part) ?? [], deltas: deltas.get(part) ?? [] },
    })),
  ]
}

const deltaName = ({ counter, start, time }: Pick<Observation, 'counter' | 'start' | 'time'>): string =>
  `${counter} ${start} ${time}`
const timeOf = (name: string): number => Number(name.slice(name.lastIndexOf(' ') + 1))

/** In the order of their names, so that neighbours are alike. */
function sorted<Row extends readonly [string, ...unknown[]]>(rows: readonly Row[]): Row[] {
  return [...rows].sort(([a], [b]) => (a < b ? -1 : 1))
}

/** Deletes minutes that are forgotten. Deltas that came too late stay: they may come again, and are held once. */
export async function deleteForgotten(table: Table, forgottenBefore: number): Promise<void> {
  const to = `${minuteText(Math.floor(forgottenBefore / 1000 / MINUTE) - 1)}${END}`
  const partitions = ['', ...DIGITS].map(deltasOf)
  const cells = await inParallel(partitions, CELLS_AT_ONCE, pk => table.list('look for deltas', pk, { to }))
  const minutes = Map.groupBy(cells.flat(), ({ sk }) => sk.split('#')[0])
  const isLate = ({ data }: Item) => (data as StoredCell).deltas.some(([, , late]) => late)
  const gone = [...minutes.values()].filter(ofMinute => !ofMinute.some(isLate)).flat()
  // Parts before what they are parts of: one that was left behind would be in the way of a new one.
  const byDigits = [...Map.groupBy(gone, ({ sk }) => sk.length)].sort(([a], [b]) => b - a)
  for (const [, some] of byDigits) await table.delete('delete forgotten deltas', some)
}

const DIGITS = [...'0123456789abcdef']

/** A backup's state is not what the lost ledger knew last: what comes next of each counter may have been billed. */
export async function doubtCounters(table: Table, digits = ''): Promise<void> {
  for (let failures = 1; ; failures += 1) {
    const [item] = await table.get('read counters', [cellKey('states', digits)])
    if (item === undefined) return
    const cell = item.data as StoredCell
    if (cell.divided) {
      await inParallel(DIGITS, CELLS_AT_ONCE, digit => doubtCounters(table, digits + digit))
      return
    }
    const states = cell.states.map(([counter, text]) => {
      return [counter, packState({ ...unpackState(text), doubted: true })] as const
    })
    const write = { put: cellKey('states', digits), over: item.version, data: { ...cell, states } }
    if ((await table.write('doubt counters', [write])) !== undefined) return
    await pause(failures)
  }
}

function memoryOf(
  { forgottenBefore, since }: Observing,
  states: ReadonlyMap<string, CounterState>,
  deltas: StoredCell['deltas'],
): CounterMemory {
  const values = new Map(deltas.map(([name, value]) => [name, BigInt(value)]))
  return {
    state: counter => states.get(counter),
    delta: point => values.get(deltaName(point)),
    forgottenBefore,
    since: product => since.get(product) as number,
  }
}

function named({ engine, dimensions }: Observing, points: readonly Point[]): Observation[] {
  return points.map(point => ({
    ...point,
    account: engine.accounts.get(point.account),
    dimension: (dimensions[point.dimension] as Dimension).name,
  }))
}

/** What points came to, with accounts by number: those that it is held for may be new. */
async function storedFound({ accounts, dimensions }: Engine, { entries, notes }: ObservedSet): Promise<StoredFound> {
  const numbers = await accounts.numbersOf(entries.map(({ account }) => account))
  const noted = await accounts.numbersOf(notes.map(({ account }) => account))
  const names = await dimensions.numbersOf(new Set([...entries, ...notes].map(({ dimension }) => dimension)))
  return {
    usage: entries.map(({ dimension, hour, amount }, index) => {
      return [numbers[index] as number, names.get(dimension) as number, hour / HOUR, String(amount)] as const
    }),
    notes: notes.map(({ dimension, verdict, points, amount }, index) => {
      return [noted[index] as number, names.get(dimension) as number, verdict, points, String(amount)] as const
    }),
  }
}

function foundOf({ usage, notes }: StoredFound): Found {
  return {
    usage: usage.map(([account, dimension, hour, amount]) => {
      return { account, dimension, hour: hour * HOUR, amount: BigInt(amount) }
    }),
    notes: notes.map(([account, dimension, verdict, points, amount]) => {
      return { account, dimension, verdict, points, amount: BigInt(amount) }
    }),
  }
}
