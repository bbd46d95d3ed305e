import { MINUTE } from '../hours.ts'
import type { Observation } from '../ledger.ts'
import type { CellBefore, Row, StoredCell, Tree } from './cells.ts'
import { inParallel } from './parallel.ts'
import { END, type Item, type Table } from './table.ts'

/** Deltas that were counted: a tree of cells for each minute, since they come and go in that order. */

const PARTITIONS_AT_ONCE = 16

/** Of one that came when its like were forgotten. */
export const LATE = ' late'

/** What tells a delta from others. */
export const deltaKey = ({ counter, start, time }: Pick<Observation, 'counter' | 'start' | 'time'>): string =>
  `${counter} ${start} ${time}`
const timeOf = (key: string): number => Number(key.slice(key.lastIndexOf(' ') + 1))
export const minuteOf = (key: string): number => Math.floor(timeOf(key) / 1000 / MINUTE)

export function treeOfMinute(minute: number, forgottenBefore: number): Tree {
  return {
    place: digits => ({ pk: partitionOf(digits.slice(0, 1)), sk: `${minuteText(minute)}#${digits}` }),
    rowsBefore: deltasBefore,
    isForgotten: (key, { text }) => timeOf(key) < forgottenBefore && !text.endsWith(LATE),
  }
}

const partitionOf = (digit: string): string => `deltas#${digit}`
const minuteText = (minute: number): string => String(minute).padStart(12, '0')

/** As the version before has written them. */
function deltasBefore(data: unknown): Map<string, Row> {
  const { deltas } = data as CellBefore
  return new Map(deltas.map(([key, value, late]) => [key, { text: `${value}${late ? LATE : ''}`, waits: null }]))
}

/** Deletes minutes that are forgotten. Deltas that came too late stay: they may come again, and are held once. */
export async function deleteForgotten(table: Table, forgottenBefore: number): Promise<void> {
  const to = `${minuteText(Math.floor(forgottenBefore / 1000 / MINUTE) - 1)}${END}`
  const partitions = ['', ...'0123456789abcdef'].map(partitionOf)
  const cells = await inParallel(partitions, PARTITIONS_AT_ONCE, pk => table.list('look for deltas', pk, { to }))
  const minutes = Map.groupBy(cells.flat(), ({ sk }) => sk.split('#')[0])
  const gone = [...minutes.values()].filter(ofMinute => !ofMinute.some(hasLate)).flat()
  // Parts before what they are parts of: one that was left behind would be in the way of a new one.
  const byDigits = [...Map.groupBy(gone, ({ sk }) => sk.length)].sort(([a], [b]) => b - a)
  for (const [, some] of byDigits) await table.delete('delete forgotten deltas', some)
}

function hasLate({ data }: Item): boolean {
  const { rows } = data as StoredCell
  const texts = rows?.text ?? [...deltasBefore(data).values()].map(({ text }) => text)
  return texts.some(text => (text as string).endsWith(LATE))
}
