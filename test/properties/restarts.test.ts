import { test } from 'node:test'
import { SqliteLedger } from '../../src/ledger/sqlite/ledger.ts'
import { TemporaryFolder } from '../ledger/sqlite-under-test.ts'
import { assertMet, RUNS, SEED, trySequences } from './sequences.ts'

/** Half of those on one connection: what is decided is the same, and a file is slower. */
const HALF = Math.ceil(RUNS / 2)

test(`${HALF} sequences on a file that processes open again: the same (PROPERTY_SEED=${SEED})`, async t => {
  const met = await trySequences(
    () => {
      const folder = new TemporaryFolder()
      return {
        open: () => new SqliteLedger({ path: folder.file() }),
        dispose: () => folder[Symbol.dispose](),
      }
    },
    SEED + 1,
    HALF,
  )
  assertMet(t, met, HALF)
})
