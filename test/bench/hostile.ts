import { KINDS } from '../hostile/kinds.ts'
import { Stage } from '../hostile/stage.ts'
import { temporaryFolder } from './folder.ts'
import type { Benchmark } from './row.ts'
import { median, milliseconds } from './statistics.ts'

const NAME = 'gateway: answers beside bad senders'
const QUIET = 300
const LEAST = 30

/** How long a good sender waits for its answers while others do harm, beside how long it waits without them. */
export const hostile: Benchmark = {
  rows: [NAME],
  async run() {
    const ends: (() => unknown)[] = []
    const stage = await Stage.open(
      {
        after: (end: () => unknown) => {
          ends.push(end)
        },
      },
      { address: `${temporaryFolder()}/ledger.sqlite`, env: {} },
    )
    const nobody = { attack: async () => {} }
    await stage.beside(nobody, QUIET)
    const quiet = median((await stage.beside(nobody, QUIET)).answers)
    const beside: { name: string; answers: readonly number[] }[] = []
    for (const kind of KINDS) beside.push({ name: kind.name, answers: (await stage.beside(kind, LEAST)).answers })
    const after = median((await stage.beside(nobody, QUIET)).answers)
    await stage.close()
    for (const end of ends) await end()
    const all = median(beside.flatMap(({ answers }) => answers))
    const [worst] = beside.toSorted((a, b) => median(b.answers) - median(a.answers))
    const longest = Math.max(...beside.flatMap(({ answers }) => answers))
    return [
      {
        ...{ name: NAME, against: 'the same sender alone', ours: milliseconds(all), theirs: milliseconds(quiet) },
        ...{ ratio: all / quiet, limit: 2, aim: 1.2, better: 'lower' },
        note:
          `medians of single points over HTTP, ${KINDS.length} kinds of bad senders, each once; afterwards ` +
          `${milliseconds(after)}; slowest beside "${worst?.name}", ${milliseconds(median(worst?.answers ?? []))}; the longest ` +
          `${milliseconds(longest)}`,
      },
    ]
  },
}
