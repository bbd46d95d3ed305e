import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { MINUTE } from '../../../src/ledger/hours.ts'
import {
  ALICE,
  BOB,
  CAROL,
  CONFLICT,
  closeOptions,
  closing,
  entry,
  hour,
  lost,
  METERED,
  NOBODY,
  NOT_SUBSCRIBED,
  REFUSED,
  REQUESTS,
} from '../scene.ts'
import type { Scenario } from './scenario.ts'

export function zeroQuantities(name: string, scenario: Scenario): void {
  describe(`${name}: records of quantity 0`, () => {
    const zero = { zeroQuantityRecords: true }

    scenario('an idle hour gets one when late usage has had an hour to come', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 1)
      await scene.close(0, zero)
      await scene.close(1, zero)
      assert.deepEqual(await scene.history(ALICE, REQUESTS), ['0:1 pending'])
      await scene.close(2, zero)
      assert.deepEqual(await scene.history(ALICE, REQUESTS), ['1:0 pending', '0:1 pending'])
      await scene.send(METERED, closing(2))
      assert.equal((await scene.ledger.records({ state: 'metered' })).length, 2)
      assert.equal(await scene.equation(ALICE, REQUESTS), '1 = 1 + 0 + 0 + 0')
    })

    scenario('not for hours before the first usage, nor unless it is asked for', async scene => {
      await scene.use(ALICE, REQUESTS, 2, 1)
      await scene.close(1, zero)
      await scene.close(2, zero)
      await scene.close(3)
      await scene.close(4)
      assert.deepEqual(await scene.history(ALICE, REQUESTS), ['2:1 pending'])
    })

    scenario('not for whom AWS does not know or whose agreement has ended, nor for nobody', async scene => {
      await scene.append([ALICE, BOB, NOBODY].map(account => entry(account, REQUESTS, 0, 1)))
      await scene.close(0, zero)
      const records = await scene.claim(closing(0))
      await scene.settle(
        records.filter(record => record.account.key === ALICE.key),
        NOT_SUBSCRIBED,
        closing(0),
      )
      await scene.ledger.finalize(BOB, { ...closeOptions(closing(0)), endedAt: closing(0) })
      for (const n of [1, 2, 3]) await scene.close(n, zero)
      assert.ok((await scene.ledger.records()).every(record => record.quantity > 0))
    })

    scenario('nothing is held of nothing', async scene => {
      await scene.append([ALICE, BOB, CAROL].map(account => entry(account, REQUESTS, 0, 1)))
      await scene.close(0, zero)
      await scene.send(METERED, closing(0))
      await scene.close(1, zero)
      await scene.close(2, zero)
      const records = await scene.claim(closing(2))
      assert.deepEqual(
        records.map(record => record.quantity),
        [0, 0, 0],
      )
      const [alice, bob, carol] = [ALICE, BOB, CAROL].map(account =>
        records.filter(record => record.account.key === account.key),
      )
      await scene.settle(alice ?? [], CONFLICT, closing(2))
      await scene.settle(bob ?? [], REFUSED, closing(2))
      await scene.settle(carol ?? [], lost(closing(2) + MINUTE), closing(2))
      const { held } = await scene.ledger.expire(hour(30))
      assert.deepEqual(held, [])
      assert.deepEqual(await scene.ledger.records({ state: 'held' }), [])
      assert.deepEqual(await scene.ledger.records({ state: 'pending' }), [])
    })
  })
}
