import { startChild } from './child.ts'
import type { Question } from './drain-worker.ts'
import type { Benchmark } from './row.ts'
import { median, medianRatio, milliseconds } from './statistics.ts'

const SIMULATOR = new URL('./drain-simulator.ts', import.meta.url)
const WORKER = new URL('./drain-worker.ts', import.meta.url)
const NAME = 'draining due records'
const BY_HAND = 'draining, beside a loop that remembers'
const EACH = ['ours', 'bare', 'by hand'] as const
const ROUNDS = 5
/** 100,000 take as long for each, and a run of the benchmarks minutes longer: neither side's cost depends on it. */
const RECORDS = 20_000

export const drain: Benchmark = {
  rows: [NAME, BY_HAND],
  async run() {
    await using simulator = startChild<'url', string>(SIMULATOR)
    await using worker = startChild<Question, number>(WORKER, [await simulator.ask('url')])
    const times: Record<Question['who'], number[]> = { ours: [], bare: [], 'by hand': [] }
    for (const who of EACH) await worker.ask({ who, records: RECORDS / 4 })
    for (let round = 0; round < ROUNDS; round++) {
      for (const who of EACH) times[who].push(await worker.ask({ who, records: RECORDS }))
    }
    const row = (who: Exclude<Question['who'], 'ours'>) => ({
      ours: milliseconds(median(times.ours)),
      theirs: milliseconds(median(times[who])),
      ratio: medianRatio(times.ours, times[who]),
      better: 'lower' as const,
    })
    return [
      {
        name: NAME,
        against: 'a bare loop of AWS SDK calls of 25, with the same concurrency',
        ...{ ...row('bare'), aim: 1.5 },
        note: `${RECORDS.toLocaleString('en')} records, to a simulator without quota in another process`,
      },
      {
        name: BY_HAND,
        against: 'the same loop, which writes down with node:sqlite what it tries and what came of it',
        ...{ ...row('by hand'), limit: 1, aim: 0.8 },
      },
    ]
  },
}
