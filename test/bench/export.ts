import { startChild } from './child.ts'
import type { Export } from './export-worker.ts'
import type { Benchmark, Row } from './row.ts'
import { median, medianRatio, milliseconds } from './statistics.ts'

const WORKER = new URL('./export-worker.ts', import.meta.url)
const RECEIVER = new URL('./export-receiver.ts', import.meta.url)
const AGAINST = 'OTLP exporter to a loopback receiver'
/** After these the compiler has seen all of it, in both. */
const WARM_UP = 4

/** `export()` until it is durable, beside OTLP's until it is answered. */
function exporting(points: number, rounds: number): Benchmark {
  const amount = points.toLocaleString('en')
  const names = { time: `export of ${amount} points`, stall: `longest stall, ${amount} points` }
  return {
    rows: points < 10_000 ? [names.time] : [names.time, names.stall],
    async run() {
      await using receiver = startChild<'url', string>(RECEIVER)
      const url = await receiver.ask('url')
      await using ours = startChild<'export', Export>(WORKER, ['ours', String(points)])
      await using theirs = startChild<'export', Export>(WORKER, ['theirs', String(points), url])
      const first = [await ours.ask('export'), await theirs.ask('export')] as const
      const taken: [Export[], Export[]] = [[], []]
      for (let round = 1 - WARM_UP; round < rounds; round++) {
        const [mine, yours] = [await ours.ask('export'), await theirs.ask('export')]
        if (round < 0) continue
        taken[0].push(mine)
        taken[1].push(yours)
      }
      const row = (name: string, what: keyof Export): Row => {
        const [mine, yours] = taken.map(exports => exports.map(each => each[what])) as [number[], number[]]
        return {
          name,
          against: AGAINST,
          ours: milliseconds(median(mine)),
          theirs: milliseconds(median(yours)),
          ratio: medianRatio(mine, yours),
          limit: 1,
          aim: 1 / 3,
          better: 'lower',
          note: `the first one, with series to make: ${milliseconds(first[0][what])} and ${milliseconds(first[1][what])}`,
        }
      }
      const rows = [row(names.time, 'time')]
      return points < 10_000 ? rows : [...rows, row(names.stall, 'stall')]
    },
  }
}

export const exports = [exporting(100, 41), exporting(10_000, 21), exporting(100_000, 11)]
