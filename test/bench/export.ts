import { startChild } from './child.ts'
import type { Export } from './export-worker.ts'
import type { Benchmark, Row } from './row.ts'
import { median, medianRatio, milliseconds } from './statistics.ts'

const WORKER = new URL('./export-worker.ts', import.meta.url)
const RECEIVER = new URL('./export-receiver.ts', import.meta.url)
/** After these the compiler has seen all of it, in both. */
const WARM_UP = 4

/** How many processes export for the first time. */
const FIRST_ROUNDS = 5

interface Bounds {
  readonly limit: number
  readonly aim: number
}

/** What must be reached and is wanted, by what is measured. */
interface Goals {
  readonly time: Bounds
  readonly stall?: Bounds
}

/** `export()` until it is durable, beside OTLP's until it is answered. */
function exporting(points: number, rounds: number, goals: Goals): Benchmark {
  const names = namesOf(`export of ${points.toLocaleString('en')} points`, goals)
  return {
    rows: Object.values(names),
    async run() {
      await using receiver = startChild<'url', string>(RECEIVER)
      const url = await receiver.ask('url')
      await using ours = startChild<'export', Export>(WORKER, ['ours', String(points)])
      await using theirs = startChild<'export', Export>(WORKER, ['theirs', String(points), url])
      const taken: [Export[], Export[]] = [[], []]
      for (let round = -WARM_UP; round < rounds; round++) {
        const [mine, yours] = [await ours.ask('export'), await theirs.ask('export')]
        if (round < 0) continue
        taken[0].push(mine)
        taken[1].push(yours)
      }
      return rowsOf(names, goals, taken)
    },
  }
}

/** The same of processes that have just started: all series are new, to the ledger too. */
function exportingFirst(points: number, goals: Goals): Benchmark {
  const names = namesOf(`first export of ${points.toLocaleString('en')} points`, goals)
  return {
    rows: Object.values(names),
    async run() {
      await using receiver = startChild<'url', string>(RECEIVER)
      const url = await receiver.ask('url')
      const taken: [Export[], Export[]] = [[], []]
      for (let round = 0; round < FIRST_ROUNDS; round++) {
        await using ours = startChild<'export', Export>(WORKER, ['ours', String(points)])
        await using theirs = startChild<'export', Export>(WORKER, ['theirs', String(points), url])
        taken[0].push(await ours.ask('export'))
        taken[1].push(await theirs.ask('export'))
      }
      return rowsOf(names, goals, taken)
    },
  }
}

function namesOf(what: string, goals: Goals): Partial<Record<keyof Export, string>> {
  return { time: what, ...(goals.stall && { stall: `longest stall, ${what}` }) }
}

function rowsOf(names: Partial<Record<keyof Export, string>>, goals: Goals, taken: [Export[], Export[]]): Row[] {
  return Object.entries(names).map(([figure, name]): Row => {
    const what = figure as keyof Export
    const [mine, yours] = taken.map(exports => exports.map(each => each[what])) as [number[], number[]]
    return {
      ...{ name, against: 'OTLP exporter to a loopback receiver', better: 'lower' },
      ...{ ours: milliseconds(median(mine)), theirs: milliseconds(median(yours)), ratio: medianRatio(mine, yours) },
      ...(goals[what] as Bounds),
    }
  })
}

export const exports = [
  exporting(100, 41, { time: { limit: 0.5, aim: 1 / 3 } }),
  exporting(10_000, 21, { time: { limit: 0.4, aim: 1 / 3 } }),
  exporting(100_000, 11, { time: { limit: 0.75, aim: 0.5 }, stall: { limit: 0.6, aim: 0.3 } }),
  exportingFirst(10_000, { time: { limit: 1, aim: 0.7 } }),
  exportingFirst(100_000, { time: { limit: 1.5, aim: 1 }, stall: { limit: 0.6, aim: 0.3 } }),
]
