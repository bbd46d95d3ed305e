import { WAYS } from './append-bare.ts'
import type { Question } from './append-worker.ts'
import { startChild } from './child.ts'
import type { Benchmark } from './row.ts'
import { median, medianRatio, milliseconds } from './statistics.ts'

const WORKER = new URL('./append-worker.ts', import.meta.url)
const ROUNDS = 9
const SERIES = 100_000
const MANY = 300_000
const FEW = 1_000
const NAMES = ['append of 100,000 series', 'cost per series, 300,000 against 1,000'] as const

/** The ledger's durable append, beside the fastest way to write the same rows that SQLite has from Node. */
export const append: Benchmark = {
  rows: NAMES,
  async run() {
    await using worker = startChild<Question, number>(WORKER)
    const trials = new Map(WAYS.map(way => [way, [] as number[]]))
    for (let round = 0; round < 4; round++) {
      for (const [way, times] of trials) times.push(await worker.ask({ way, series: SERIES }))
    }
    // The first of each inserts, the others add; an hour has one of the one and many of the other.
    const ranked = [...trials].map(([way, times]) => ({ way, time: median(times.slice(1)) }))
    ranked.sort((a, b) => a.time - b.time)
    const fastest = ranked[0]?.way ?? 'single'

    for (let warmUp = 0; warmUp < 3; warmUp++) await worker.ask({ way: 'ledger', series: SERIES })
    const ours: number[] = []
    const theirs: number[] = []
    for (let round = 0; round < ROUNDS; round++) {
      ours.push(await worker.ask({ way: 'ledger', series: SERIES }))
      theirs.push(await worker.ask({ way: fastest, series: SERIES }))
    }

    const many: number[] = []
    const few: number[] = []
    for (const series of [MANY, FEW]) await worker.ask({ way: 'ledger', series })
    for (let round = 0; round < ROUNDS; round++) {
      many.push(((await worker.ask({ way: 'ledger', series: MANY })) / MANY) * 1000)
      few.push(((await worker.ask({ way: 'ledger', series: FEW })) / FEW) * 1000)
    }
    const microseconds = (value: number) => `${value.toFixed(3)} µs`
    return [
      {
        name: NAMES[0],
        against: `node:sqlite alone, "${fastest}"`,
        ours: milliseconds(median(ours)),
        theirs: milliseconds(median(theirs)),
        ratio: medianRatio(ours, theirs),
        limit: 2,
        aim: 1.2,
        better: 'lower',
        note: `ways tried: ${ranked.map(({ way, time }) => `${way} ${milliseconds(time)}`).join(', ')}`,
      },
      {
        name: NAMES[1],
        against: 'itself',
        ours: microseconds(median(many)),
        theirs: microseconds(median(few)),
        ratio: medianRatio(many, few),
        limit: 1.5,
        aim: 1.2,
        better: 'lower',
        note: 'the sync to disk included, which few series share',
      },
    ]
  },
}
