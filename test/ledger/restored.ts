import assert from 'node:assert/strict'
import type { Ledger } from '../../src/ledger/ledger.ts'
import { ALICE, BOB, BY, closeOptions, closing, entry, hour, NOBODY, REQUESTS, TOKENS, UNIT, WRITER } from './scene.ts'

/** What a restore does, whatever the engine and however its backup was made. */

/** The five figures of each series, in base units: recorded, metered, pending, held, balance. */
export const equations = async (ledger: Ledger): Promise<Record<string, number[]>> =>
  Object.fromEntries(
    (await ledger.statement()).map(({ account, dimension, recorded, metered, pending, held, balance }) => [
      `${account.key} ${dimension.name}`,
      [recorded, metered, pending, held, balance].map(amount => Number(amount / UNIT)),
    ]),
  )

/** The usage of an hour: of two customers, and of nobody. */
async function use(ledger: Ledger, sequence: number, n: number): Promise<void> {
  const entries = [entry(ALICE, REQUESTS, n, 5), entry(BOB, TOKENS, n, 1500), entry(NOBODY, REQUESTS, n, 2)]
  await ledger.append({ writer: WRITER, sequence, entries })
}

/** What a ledger has when its backup is made: an hour that is closed, and one that is open. */
export async function useBeforeBackup(ledger: Ledger, beforeTheLast: () => void = () => {}): Promise<void> {
  await use(ledger, 1, 0)
  await ledger.closeHours(closeOptions(closing(0)))
  beforeTheLast()
  await use(ledger, 2, 1)
}

/** Checks a ledger that was restored to that, at `now` in the fifth hour: what the lost one may have billed is held. */
export async function checkRestored(restored: Ledger, now: number): Promise<void> {
  const [alice, bob, nobody] = [`${ALICE.key} requests`, `${BOB.key} tokens`, `${NOBODY.key} requests`]
  assert.deepEqual(await equations(restored), {
    ...{ [alice]: [10, 0, 5, 5, 0], [bob]: [3000, 0, 1000, 2000, 0], [nobody]: [4, 0, 0, 0, 4] },
  })
  const held = await restored.records({ state: 'held' })
  assert.deepEqual(held.map(({ reason, quantity, size }) => [reason, quantity, size]).sort(), [
    ['restored', 1, 2000n * UNIT],
    ['restored', 1, 5n * UNIT],
  ])
  for (const record of await restored.records({ state: 'pending' })) assert.equal(record.inDoubt, true)
  assert.equal((await restored.audit())[0]?.action, 'restore')

  // The hours since are not frozen; usage of the present one is billed as ever.
  assert.equal((await restored.closeHours(closeOptions(now))).records, 0)
  await use(restored, 3, 3)
  await use(restored, 4, 5)
  assert.equal((await restored.closeHours(closeOptions(closing(5)))).records, 2)
  assert.deepEqual((await equations(restored))[alice], [20, 0, 15, 5, 0])
  await restored.expire(hour(24))
  assert.deepEqual((await equations(restored))[alice], [20, 0, 10, 10, 0])
  for (const { id, dimension } of await restored.records({ state: 'held' })) {
    await restored.decide(id, dimension === 'tokens' ? 'billed' : 'not-billed', BY)
  }
  assert.deepEqual((await equations(restored))[alice], [20, 0, 10, 0, 10])
  assert.deepEqual((await equations(restored))[bob], [6000, 3000, 3000, 0, 0])
}
