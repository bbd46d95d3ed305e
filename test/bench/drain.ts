import { startChild } from './child.ts'
import type { Question } from './drain-worker.ts'
import type { Benchmark } from './row.ts'
import { median, medianRatio, milliseconds } from './statistics.ts'

const SIMULATOR = new URL('./drain-simulator.ts', import.meta.url)
const WORKER = new URL('./drain-worker.ts', import.meta.url)
const NAME = 'draining due records'
const ROUNDS = 3
/** 100,000 take as long for each, and a run of the benchmarks minutes longer: neither side's cost depends on it. */
const RECORDS = 20_000

export const drain: Benchmark = {
  rows: [NAME],
  async run() {
    await using simulator = startChild<'url', string>(SIMULATOR)
    await using worker = startChild<Question, number>(WORKER, [await simulator.ask('url')])
    for (const who of ['ours', 'bare'] as const) await worker.ask({ who, records: RECORDS / 4 })
    const ours: number[] = []
    const theirs: number[] = []
    for (let round = 0; round < ROUNDS; round++) {
      ours.push(await worker.ask({ who: 'ours', records: RECORDS }))
      theirs.push(await worker.ask({ who: 'bare', records: RECORDS }))
    }
    return [
      {
        name: NAME,
        against: 'a bare loop of AWS SDK calls of 25, with the same concurrency',
        ours: milliseconds(median(ours)),
        theirs: milliseconds(median(theirs)),
        ratio: medianRatio(ours, theirs),
        limit: 1.5,
        aim: 1.1,
        better: 'lower',
        note: `${RECORDS.toLocaleString('en')} records, to a simulator without quota in another process`,
      },
    ]
  },
}
