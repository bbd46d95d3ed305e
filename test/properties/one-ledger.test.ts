import { test } from 'node:test'
import { SqliteLedger } from '../../src/ledger/sqlite/ledger.ts'
import { assertMet, RUNS, SEED, trySequences } from './sequences.ts'

test(`${RUNS} sequences on one connection: each unit is billed once or held in sight (PROPERTY_SEED=${SEED})`, async t => {
  const met = await trySequences(() => {
    const ledger = new SqliteLedger({ path: ':memory:' })
    // In memory a ledger is gone when it is closed.
    const shared = new Proxy(ledger, {
      get: (_, name: keyof SqliteLedger) => {
        if (name === 'close') return async () => {}
        const member = ledger[name]
        return typeof member === 'function' ? member.bind(ledger) : member
      },
    })
    return { open: () => shared, dispose: () => ledger.close() }
  }, SEED)
  assertMet(t, met)
})
