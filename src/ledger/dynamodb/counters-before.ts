import { HOUR } from '../hours.ts'
import type { Point } from './batch.ts'
import type { CellBefore, Tree } from './cells.ts'
import type { CountResult } from './count-result.ts'
import { deltaKey, minuteOf, treeOfMinute } from './deltas.ts'
import { inParallel } from './parallel.ts'
import type { Table } from './table.ts'

/** Counters as the version before has kept them: how those that it had go on. */

const CELLS_AT_ONCE = 4

/** What it knew of counters; it is only read. */
export const LEGACY: Tree = {
  place: digits => ({ pk: `counters#${digits}`, sk: 'cell' }),
  rowsBefore: data => new Map((data as CellBefore).states.map(([key, text]) => [key, { text, waits: null }])),
}

/** What it has found of a cut that it had begun with, and the points that it has left. */
export async function foundBefore(
  table: Table,
  cut: number,
  batches: readonly (readonly Point[])[],
): Promise<{ found: Pick<CountResult, 'usage' | 'notes'>; left: (readonly Point[])[] }> {
  const taken = new Set<Point>()
  const found: CellBefore['found'][] = []
  const look = async (tree: Tree, digits: string, points: readonly Point[]): Promise<void> => {
    const [item] = await table.get('read counters', [tree.place(digits)])
    const cell = item?.data as CellBefore | undefined
    if (cell?.divided) {
      const parts = [...Map.groupBy(points, point => deltaKey(point).slice(0, digits.length + 1))]
      await inParallel(parts, CELLS_AT_ONCE, ([longer, some]) => look(tree, longer, some))
    } else if (cell?.cut === cut && cell.found !== undefined) {
      found.push(cell.found)
      for (const point of points) taken.add(point)
    }
  }
  const trees = Map.groupBy(batches.flat(), point => (point.kind === 'delta' ? minuteOf(deltaKey(point)) : undefined))
  for (const [minute, points] of trees) await look(minute === undefined ? LEGACY : treeOfMinute(minute, 0), '', points)
  return {
    found: {
      usage: found.flatMap(one =>
        (one?.usage ?? []).map(([account, dimension, hour, amount]) => {
          return { account, dimension, hour: hour * HOUR, amount: BigInt(amount) }
        }),
      ),
      notes: found.flatMap(one =>
        (one?.notes ?? []).map(([account, dimension, verdict, points, amount]) => {
          return { account, dimension, verdict, points, amount: BigInt(amount) }
        }),
      ),
    },
    left: batches.map(points => points.filter(point => !taken.has(point))),
  }
}
