import { startChild } from './child.ts'
import type { Benchmark } from './row.ts'
import { median } from './statistics.ts'

const WORKER = new URL('./memory-worker.ts', import.meta.url)
const NAME = 'memory for each live series'
/** Its tables are as full with all of them as with half. */
const SERIES = 120_000

export const memory: Benchmark = {
  rows: [NAME],
  async run() {
    const bytes: number[] = []
    for (let round = 0; round < 3; round++) {
      await using worker = startChild<number, number>(WORKER)
      bytes.push(await worker.ask(SERIES))
    }
    const each = median(bytes)
    return [
      {
        name: NAME,
        against: 'a number of bytes',
        ours: `${each.toFixed(0)} B`,
        theirs: '–',
        ratio: each,
        limit: 400,
        aim: 250,
        better: 'lower',
        note: `of those beyond the first ${(SERIES / 2).toLocaleString('en')}, their strings included, without SQLite's page cache (at most 32 MB)`,
      },
    ]
  },
}
