import {
  bothForgotten,
  forgetSilent,
  isSilent,
  isSilentStream,
  membersOfStream,
  type StreamState,
  unpackState,
} from '../rules/counters/index.ts'
import { cellsOf, forgetRows, readRows, type Tree } from './cells.ts'
import { placeOfStream, STATES, type StoredItem } from './counters.ts'
import { SupersededError } from './head.ts'
import { inParallel } from './parallel.ts'
import { type Item, type Key, pause, type Table } from './table.ts'

/**
 * Forgetting others' counters that have been silent for long. It is a cut of its own, which brings no usage: whoever is
 * late with the cut before finds that it is superseded, and any process can finish it.
 */

const AT_ONCE = 16
/** The first two digits of streams' keys. */
const STREAM_PARTITIONS = Array.from({ length: 256 }, (_, index) => index.toString(16).padStart(2, '0'))

export async function forgetCounters(table: Table, cut: number, before: number): Promise<void> {
  const tree: Tree = { ...STATES, isForgotten: (_, { text }) => isSilent(unpackState(text), before) }
  for await (const { digits, rows } of cellsOf(table, cut, tree)) {
    const silent = [...rows].filter(([key, row]) => tree.isForgotten?.(key, row))
    if (silent.length === 0) continue
    const states = silent.map(([key, { text }]) => [key, unpackState(text)] as const)
    const names = new Set<string>()
    forgetSilent(states, name => void names.add(name), before)
    const items = await table.get('read streams', [...names].map(placeOfStream))
    const known = new Map(items.map(item => [item.sk, (item.data as StoredItem).value as StreamState | null]))
    // First, so that none of it is lost when the rows are gone.
    const { streams } = forgetSilent(states, name => known.get(name) ?? undefined, before)
    await inParallel([...streams], AT_ONCE, ([name, stream]) => tell(table, cut, placeOfStream(name), stream))
    await forgetRows(table, cut, tree, digits)
  }
  await inParallel(STREAM_PARTITIONS, AT_ONCE, digits => forgetStreams(table, cut, `streams#${digits}`, before))
}

/** Says of a stream what of it is forgotten. */
async function tell(table: Table, cut: number, put: Key, forgotten: StreamState): Promise<void> {
  for (let failures = 1; ; failures += 1) {
    const [item] = await table.get('read streams', [put])
    const stream = item && streamOf(item, cut)
    if (item === undefined || stream === undefined) return
    const value = bothForgotten(stream, forgotten)
    const data: StoredItem = { cut, value, before: value }
    if ((await table.write('keep streams', [{ put, over: item.version, data }])) !== undefined) return
    await pause(failures)
  }
}

function streamOf({ data }: Item, cut: number): StreamState | undefined {
  const { cut: last, value } = data as StoredItem
  if (last > cut) throw new SupersededError()
  return (value as StreamState | null) ?? undefined
}

async function forgetStreams(table: Table, cut: number, partition: string, before: number): Promise<void> {
  const items = await table.list('look for silent streams', partition)
  const silent = items.filter(item => {
    const stream = streamOf(item, cut)
    return stream !== undefined && isSilentStream(stream, before)
  })
  if (silent.length === 0) return
  const membersOf = (item: Item) => membersOfStream(streamOf(item, cut) as StreamState)
  const there = await readRows(table, cut, STATES, silent.flatMap(membersOf))
  const gone = silent.filter(item => !membersOf(item).some(member => there.has(member)))
  await inParallel(gone, AT_ONCE, ({ version, ...item }) => {
    return table.write('forget silent streams', [{ remove: { pk: item.pk, sk: item.sk }, over: version }])
  })
}
