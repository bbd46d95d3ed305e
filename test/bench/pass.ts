import { startChild } from './child.ts'
import type { Passes } from './pass-worker.ts'
import type { Benchmark } from './row.ts'
import { median, medianRatio, milliseconds } from './statistics.ts'

const WORKER = new URL('./pass-worker.ts', import.meta.url)
const NAME = 'metering pass with a million settled records'
const WARM_UP = 5
const ROUNDS = 41

/** A pass that meters 100 customers' hour, in a ledger with a long history and in one without. */
export const pass: Benchmark = {
  rows: [NAME],
  async run() {
    await using long = startChild<'pass', Passes>(WORKER, ['1000000'])
    await using none = startChild<'pass', Passes>(WORKER, ['0'])
    const taken: [Passes[], Passes[]] = [[], []]
    for (let round = -WARM_UP; round < ROUNDS; round++) {
      const [mine, yours] = [await long.ask('pass'), await none.ask('pass')]
      if (round < 0) continue
      taken[0].push(mine)
      taken[1].push(yours)
    }
    const of = (what: keyof Passes) => taken.map(passes => passes.map(pass => pass[what])) as [number[], number[]]
    const [mine, yours] = of('metering')
    const [idleLong, idleNone] = of('idle')
    return [
      {
        name: NAME,
        against: 'the same without history',
        ours: milliseconds(median(mine)),
        theirs: milliseconds(median(yours)),
        ratio: medianRatio(mine, yours),
        limit: 1.2,
        aim: 1.05,
        better: 'lower',
        note:
          'passes that freeze, send and settle 100 records; with nothing to do ' +
          `${milliseconds(median(idleLong))} and ${milliseconds(median(idleNone))}`,
      },
    ]
  },
}
