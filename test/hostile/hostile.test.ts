import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openLedger } from '../../src/ledger/open.ts'
import { formatAmount } from '../../src/usage/amount.ts'
import { KINDS } from './kinds.ts'
import { PLACES } from './places.ts'
import { GOOD_CUSTOMER, Stage } from './stage.ts'

const MEBIBYTE = 1024 * 1024

for (const [engine, begin] of Object.entries(PLACES)) {
  // What is turned away is the same for all engines.
  const kinds = engine === 'sqlite' ? KINDS : KINDS.filter(({ counted }) => counted)
  test(`a good sender is billed to the unit beside ${kinds.length} bad ones (${engine})`, async t => {
    const place = await begin(t)
    const stage = await Stage.open(t, place)
    for (const kind of kinds) {
      await stage.beside(kind, 3, 10)
      await stage.logged(kind.told)
    }
    assert.ok(stage.peak < 512 * MEBIBYTE, `it took ${Math.round(stage.peak / MEBIBYTE)} MiB`)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: those are looked for
    assert.doesNotMatch(stage.log, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/)
    assert.equal(await stage.close(), 0)
    Object.assign(process.env, place.env)
    const ledger = await openLedger(place.address)
    try {
      const [line] = await ledger.statement({ customer: GOOD_CUSTOMER })
      assert.equal(formatAmount(line?.recorded ?? 0n), String(stage.used))
    } finally {
      await ledger.close()
    }
  })
}
