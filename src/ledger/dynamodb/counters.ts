import { setImmediate as nextTurn } from 'node:timers/promises'
import type { CustomerAccount } from '../../usage/account.ts'
import type { Dimension } from '../../usage/dimension.ts'
import { taggedAccount, untaggedAccount } from '../../usage/tagged-account.ts'
import type { Observation, UsageEntry } from '../ledger.ts'
import {
  type CounterMemory,
  type CounterState,
  type KeptState,
  keysOf,
  type LegacyState,
  type ObservationNote,
  type ObservedSet,
  observeAll,
  packState,
  type SharedStart,
  type StreamState,
  stateKey,
  streamOf,
  streamsOf,
  unpackLegacy,
  unpackState,
  waitsFor,
  wakeAll,
  withoutStream,
} from '../rules/counters/index.ts'
import type { Point } from './batch.ts'
import { keepRows, type Row, readRows, readWaiting, type Tree, waitingPlace } from './cells.ts'
import type { CountResult } from './count-result.ts'
import { foundBefore, LEGACY } from './counters-before.ts'
import type { Database } from './database.ts'
import { deltaKey, LATE, minuteOf, treeOfMinute } from './deltas.ts'
import { type Head, SupersededError, type View } from './head.ts'
import { inParallel } from './parallel.ts'
import { meteredSince, type Sources } from './products.ts'
import { type Item, type Key, pause, type Table } from './table.ts'

/**
 * Counters that others keep. The usage of a cut's points is found in memory, batch after batch, out of what was
 * remembered before the cut: of counters and deltas in trees of cells, of streams in items of their own. Then it is
 * written, each with the number of the cut and with what it was before. So a fold that is done again, or by several at
 * once, finds the same, however much is written already.
 */

const AT_ONCE = 16

const latestOf = (points: readonly Pick<Observation, 'receivedAt'>[]): number =>
  points.reduce((latest, { receivedAt }) => Math.max(latest, receivedAt), 0)

/** Takes the points of a cut's batches, and decides what has waited. However often that is done, it counts once. */
export async function countPoints(
  database: Database,
  view: Pick<View, 'head' | 'dimensions'>,
  batches: readonly (readonly Point[])[],
): Promise<CountResult> {
  const { head, dimensions } = view
  const latest = latestOf(batches.flat())
  const deltasAt = latestOf(batches.filter(points => points.some(({ kind }) => kind === 'delta')).flat())
  if (head.begunBefore === head.cut) {
    const { found, left } = await foundBefore(database.table, head.cut, batches)
    await database.accounts.refresh()
    const rest = await countPoints(database, { ...view, head: { ...head, begunBefore: 0 } }, left)
    return {
      ...rest,
      usage: [...found.usage, ...rest.usage],
      notes: [...found.notes, ...rest.notes],
      at: Math.max(latest, rest.at),
      deltasAt,
    }
  }
  const rounds = batches
    .filter(points => points.length > 0)
    .map(points => named(database, dimensions, points))
    .sort((a, b) => latestOf(a) - latestOf(b))
  const points = rounds.flat()
  const memory = new Memory(database.table, view, await sourcesOf(database, points, latestOf(rounds[0] ?? [])))
  const waiting = await memory.prepare(points)
  const now = head.closing?.now ?? head.deciding?.now ?? 0
  for (;;) {
    memory.begin()
    const sum = new Sum()
    for (const some of rounds) {
      sum.add(memory.take(observeAll(some, memory)))
      await nextTurn()
    }
    const due = memory.dueOf(waiting)
    if (due.length > 0) sum.add(memory.take(wakeAll(due, memory, now)))
    // What was asked for and is not known here is read, and all is counted again.
    if (await memory.isComplete()) {
      await memory.keep()
      const at = due.length > 0 ? Math.max(latest, now) : latest
      return { ...(await numbered(database, sum)), at, deltasAt }
    }
  }
}

function named({ accounts }: Database, dimensions: readonly Dimension[], points: readonly Point[]): Observation[] {
  return points.map(({ tags, ...point }) => {
    const account = accounts.get(point.account)
    return {
      ...point,
      account: tags === undefined ? account : taggedAccount(account as CustomerAccount, tags),
      dimension: (dimensions[point.dimension] as Dimension).name,
    }
  })
}

/** Since when the metrics of points are metered, by product. */
async function sourcesOf(
  database: Database,
  points: readonly Observation[],
  now: number,
): Promise<ReadonlyMap<string, Sources>> {
  const products = new Map<string, Map<string, { dimension: string; metric: string }>>()
  for (const point of points) {
    const { account, dimension } = point
    const { metric } = streamOf(point)
    const metrics = products.get(account.product) ?? new Map()
    products.set(account.product, metrics.set(`${dimension} ${metric}`, { dimension, metric }))
  }
  const sources = await inParallel([...products], AT_ONCE, async ([product, metrics]) => {
    return [product, await meteredSince(database, { product, now, metrics: [...metrics.values()] })] as const
  })
  return new Map(sources)
}

/** The sum of several sets of points. */
class Sum {
  readonly entries = new Map<string, UsageEntry>()
  readonly notes = new Map<string, ObservationNote>()

  add({ entries, notes }: ObservedSet): void {
    for (const entry of entries) {
      const key = `${entry.account.key} ${entry.dimension} ${entry.hour}`
      const amount = (this.entries.get(key)?.amount ?? 0n) + entry.amount
      this.entries.set(key, { ...entry, amount })
    }
    for (const note of notes) {
      const key = `${note.account.key} ${note.dimension} ${note.verdict}`
      const known = this.notes.get(key) ?? { points: 0, amount: 0n }
      this.notes.set(key, { ...note, points: known.points + note.points, amount: known.amount + note.amount })
    }
  }
}

/** A sum with accounts by number: those that usage is held for may be new. */
async function numbered({ accounts, dimensions }: Database, sum: Sum): Promise<Pick<CountResult, 'usage' | 'notes'>> {
  const [entries, notes] = [[...sum.entries.values()], [...sum.notes.values()]]
  const numbers = await accounts.numbersOf(entries.map(({ account }) => untaggedAccount(account)))
  const noted = await accounts.numbersOf(notes.map(({ account }) => account))
  const names = await dimensions.numbersOf(new Set([...entries, ...notes].map(({ dimension }) => dimension)))
  return {
    usage: entries.map(({ account, dimension, hour, amount }, index) => {
      const tags = account.kind === 'customer' ? account.tags : undefined
      return { account: numbers[index] as number, dimension: names.get(dimension) as number, hour, amount, tags }
    }),
    notes: notes.map(({ dimension, verdict, points, amount }, index) => {
      return { account: noted[index] as number, dimension: names.get(dimension) as number, verdict, points, amount }
    }),
  }
}

/** What was known before a cut under some keys, and what the cut makes of it. */
class Known<Value> {
  readonly #before = new Map<string, Value | undefined>()
  readonly changed = new Map<string, Value>()
  /** What was asked for, and has to be read. */
  readonly unknown = new Set<string>()

  get(key: string): Value | undefined {
    const changed = this.changed.get(key)
    if (changed !== undefined) return changed
    const before = this.#before.get(key)
    if (before === undefined && !this.#before.has(key)) this.unknown.add(key)
    return before
  }

  /** Takes what was read of that. Returns whether it was anything. */
  async read(read: (keys: readonly string[]) => Promise<ReadonlyMap<string, Value>>): Promise<boolean> {
    if (this.unknown.size === 0) return false
    const found = await read([...this.unknown])
    for (const key of this.unknown) this.#before.set(key, found.get(key))
    this.unknown.clear()
    return true
  }

  learn(key: string, value: Value): void {
    this.#before.set(key, value)
  }
}

/** A counter's state; of one that waits, what the engine is told beside it. */
type KnownState = Pick<KeptState, 'state'> & Partial<KeptState>

/** What an engine remembers, as it was before a cut and as the cut makes it. */
class Memory implements CounterMemory {
  readonly #table: Table
  readonly #head: Head
  readonly #dimensions: readonly Dimension[]
  readonly #sources: ReadonlyMap<string, Sources>
  readonly #states = new Known<KnownState>()
  readonly #streams = new Known<StreamState>()
  readonly #sharedStarts = new Known<SharedStart>()
  readonly #deltas = new Known<Row>()
  readonly #legacy = new Known<LegacyState>()
  /** Of streams and starts, as they were read. */
  readonly #items = new Map<string, Item>()

  constructor(
    table: Table,
    { head, dimensions }: Pick<View, 'head' | 'dimensions'>,
    sources: ReadonlyMap<string, Sources>,
  ) {
    this.#table = table
    this.#head = head
    this.#dimensions = dimensions
    this.#sources = sources
  }

  get forgottenBefore(): number {
    return this.#head.forgottenBefore
  }

  get silentBefore(): number {
    return this.#head.silent.before
  }

  get restored(): number {
    return this.#head.restored * 1000
  }

  state(key: string): CounterState | undefined {
    return this.#states.get(key)?.state
  }

  stream(key: string): StreamState | undefined {
    return key === '' ? undefined : this.#streams.get(key)
  }

  sharedStart(start: number): SharedStart | undefined {
    return this.#sharedStarts.get(String(start))
  }

  legacy(counter: string): LegacyState | undefined {
    return this.#legacy.get(counter)
  }

  delta(point: Observation): bigint | undefined {
    const row = this.#deltas.get(deltaKey(point))
    return row && BigInt(row.text.replace(LATE, ''))
  }

  since(product: string, dimension: string, metric: string): number {
    const found = this.#sources.get(product)?.find(one => one[0] === dimension && one[1] === metric)
    return (found as Sources[number])[2]
  }

  /** Reads what these points will ask for, as far as that is known before. Returns the counters that wait. */
  async prepare(points: readonly Observation[]): Promise<readonly string[]> {
    for (const point of points) {
      if (point.kind === 'delta') this.delta(point)
      this.stream(streamOf(point).key)
      if (point.kind === 'scraped' && point.start % SECOND_OF_STARTS === 0) this.sharedStart(point.start)
    }
    await this.isComplete()
    for (const key of keysOf(points, key => this.stream(key))) this.state(key)
    await this.isComplete()
    for (const point of points) {
      if (point.kind === 'delta') continue
      const state = this.state(stateKey(point, this.stream(streamOf(point).key)))
      if (state === undefined) {
        this.legacy(point.counter)
        this.state(stateKey(withoutStream(point)))
      } else for (const key of streamsOf([state])) this.stream(key)
    }
    const waiting = await this.#readWaiting()
    await this.isComplete()
    return waiting
  }

  async #readWaiting(): Promise<string[]> {
    const { closing, deciding, cut } = this.#head
    if (closing === null && deciding === null) return []
    const until = deciding === null ? (closing?.now ?? 0) : Number.POSITIVE_INFINITY
    const waiting = [...(await readWaiting(this.#table, cut, STATES, until))]
    const states = waiting.map(([key, row]) => {
      const known = this.#stateOf(row)
      this.#states.learn(key, known)
      return known.state
    })
    for (const key of streamsOf(states)) this.stream(key)
    return waiting.map(([key]) => key)
  }

  /** Begins anew with what was before the cut. */
  begin(): void {
    for (const one of this.#all) one.changed.clear()
  }

  /** Reads what was asked for in vain. Returns whether there was nothing of that. */
  async isComplete(): Promise<boolean> {
    const { cut } = this.#head
    const read = await Promise.all([
      this.#states.read(async keys => {
        const rows = await readRows(this.#table, cut, STATES, keys)
        return new Map([...rows].map(([key, row]) => [key, this.#stateOf(row)]))
      }),
      this.#streams.read(keys => this.#readItems(keys.map(placeOfStream))),
      this.#sharedStarts.read(keys => this.#readItems(keys.map(placeOfStart))),
      this.#deltas.read(async keys => {
        const minutes = [...Map.groupBy(keys, minuteOf)]
        const rows = await inParallel(minutes, AT_ONCE, ([minute, some]) => {
          return readRows(this.#table, cut, treeOfMinute(minute, this.forgottenBefore), some)
        })
        return new Map(rows.flatMap(some => [...some]))
      }),
      this.#legacy.read(async keys => {
        const rows = await readRows(this.#table, cut, LEGACY, keys)
        return new Map([...rows].map(([key, { text }]) => [key, unpackLegacy(text)]))
      }),
    ])
    return !read.includes(true)
  }

  take(set: ObservedSet): ObservedSet {
    for (const [key, kept] of set.states) this.#states.changed.set(key, kept)
    for (const [key, state] of set.streams) this.#streams.changed.set(key, state)
    for (const [start, shared] of set.sharedStarts) this.#sharedStarts.changed.set(String(start), shared)
    for (const delta of set.deltas) {
      const text = `${delta.value}${delta.time < this.forgottenBefore ? LATE : ''}`
      this.#deltas.changed.set(deltaKey(delta), { text, waits: null })
    }
    return set
  }

  /** Of those that waited before, and of those that do now, what the cut decides. */
  dueOf(waiting: readonly string[]): (readonly [string, CounterState, string])[] {
    const { closing, deciding } = this.#head
    const isDue = ({ state, wakeAt = 0 }: KnownState) =>
      wakeAt > 0 && (deciding === null ? wakeAt <= (closing?.now ?? 0) : waitsFor(state, deciding.accountKey))
    return [...new Set([...waiting, ...this.#states.changed.keys()])].flatMap(key => {
      const known = this.#states.get(key) as KnownState
      return isDue(known) ? [[key, known.state, known.dimension as string] as const] : []
    })
  }

  /** Writes what the cut has changed. */
  async keep(): Promise<void> {
    const { cut, forgottenBefore } = this.#head
    const states = [...this.#states.changed].map(([key, { state, ...kept }]): [string, Row] => {
      const { dimension, wakeAt, waiting } = kept as KeptState
      const number = this.#dimensions.findIndex(({ name }) => name === dimension)
      return [key, { text: packState(state), waits: wakeAt > 0 ? [wakeAt, number, String(waiting)] : null }]
    })
    await keepRows(this.#table, cut, STATES, new Map(states))
    const minutes = [...Map.groupBy(this.#deltas.changed, ([key]) => minuteOf(key))]
    await inParallel(minutes, AT_ONCE, ([minute, deltas]) => {
      return keepRows(this.#table, cut, treeOfMinute(minute, forgottenBefore), new Map(deltas))
    })
    const streams = [...this.#streams.changed].map(([key, state]) => [placeOfStream(key), state] as const)
    const starts = [...this.#sharedStarts.changed].map(([start, shared]) => [placeOfStart(start), shared] as const)
    await inParallel([...streams, ...starts], AT_ONCE, ([place, value]) => this.#keepItem(place, value))
  }

  get #all(): readonly { readonly changed: Map<string, unknown> }[] {
    return [this.#states, this.#streams, this.#sharedStarts, this.#deltas]
  }

  #stateOf({ text, waits }: Row): KnownState {
    const state = unpackState(text)
    if (waits === null) return { state }
    const [wakeAt, dimension, waiting] = waits
    return { state, wakeAt, dimension: (this.#dimensions[dimension] as Dimension).name, waiting: BigInt(waiting) }
  }

  async #readItems<Value>(places: readonly Key[]): Promise<Map<string, Value>> {
    const found = new Map<string, Value>()
    for (const item of await this.#table.get('read streams', places)) {
      this.#items.set(textOfKey(item), item)
      const value = this.#before(item) as Value | null
      if (value !== null) found.set(item.sk, value)
    }
    return found
  }

  #before({ data }: Item): unknown {
    const { cut, value, before } = data as StoredItem
    if (cut > this.#head.cut) throw new SupersededError()
    return cut === this.#head.cut ? before : value
  }

  async #keepItem(put: Key, value: unknown): Promise<void> {
    const { cut } = this.#head
    let item = this.#items.get(textOfKey(put))
    for (let failures = 1; ; failures += 1) {
      const before = item === undefined ? null : this.#before(item)
      // Whoever has written it for this cut has written the same.
      if ((item?.data as StoredItem | undefined)?.cut === cut) return
      const data: StoredItem = { cut, value, before }
      if ((await this.#table.write('keep streams', [{ put, over: item?.version, data }])) !== undefined) return
      await pause(failures)
      item = (await this.#table.get('read streams', [put]))[0]
    }
  }
}

/** A stream, or a start in whole seconds, with what it was before the last cut that changed it. */
export interface StoredItem {
  readonly cut: number
  readonly value: unknown
  readonly before: unknown
}

export const placeOfStream = (key: string): Key => ({ pk: `streams#${key.slice(0, 2)}`, sk: key })
const placeOfStart = (start: string): Key => ({ pk: 'starts', sk: start })
const textOfKey = ({ pk, sk }: Key): string => `${pk} ${sk}`

/** Starts are in microseconds. */
const SECOND_OF_STARTS = 1_000_000

export const STATES: Tree = { place: digits => ({ pk: `states#${digits}`, sk: 'cell' }), waitingPlace }
