import { startChild } from './child.ts'
import type { Benchmark } from './row.ts'
import { median, milliseconds } from './statistics.ts'
import type { Turns } from './turns-worker.ts'

const WORKER = new URL('./turns-worker.ts', import.meta.url)
const SERIES = 50_000
const ROUNDS = 3
const NAMES = {
  closing: 'longest turn, closing',
  idle: 'longest turn, idle hours',
  expire: 'longest turn, expiry',
  restore: 'longest turn, restore',
}

/** How long the event loop turns to nothing else while a SQLite ledger of many series works through all of them. */
export const turns: Benchmark = {
  rows: Object.values(NAMES),
  async run() {
    await using worker = startChild<number, Turns>(WORKER)
    await worker.ask(SERIES / 10)
    const taken: Turns[] = []
    for (let round = 0; round < ROUNDS; round++) taken.push(await worker.ask(SERIES))
    return Object.entries(NAMES).map(([what, name]) => {
      const longest = median(taken.map(turns => turns[what as keyof Turns]))
      return {
        name,
        against: 'a number of milliseconds',
        ours: milliseconds(longest),
        theirs: '–',
        ratio: longest,
        limit: 50,
        aim: 20,
        better: 'lower',
        note: `${SERIES.toLocaleString('en')} series, each with a record`,
      }
    })
  },
}
