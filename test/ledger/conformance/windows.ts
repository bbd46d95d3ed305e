import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { MINUTE } from '../../../src/ledger/hours.ts'
import { ALICE, bounced, closing, hour, lost, MARGIN, REQUESTS } from '../scene.ts'
import type { Scenario } from './scenario.ts'

export function windows(name: string, scenario: Scenario): void {
  describe(`${name}: windows`, () => {
    const over = hour(24) - MARGIN

    scenario('a record that was never attempted returns and goes out with the next hour', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 7)
      await scene.close(0)
      assert.equal((await scene.ledger.expire(over - 1)).returned, 0)
      assert.deepEqual(await scene.ledger.expire(over), { returned: 1, held: [] })
      assert.deepEqual(await scene.ledger.expire(over), { returned: 0, held: [] })
      assert.equal(await scene.equation(ALICE, REQUESTS), '7 = 0 + 0 + 0 + 7')
      await scene.close(24)
      assert.deepEqual(await scene.history(ALICE, REQUESTS), ['24:7 pending', '0:7 returned expired'])
    })

    scenario.ofRules('so does one whose attempts were all surely not taken', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 7)
      await scene.close(0)
      for (const n of [1, 2, 3]) await scene.send(bounced(closing(n)), closing(n))
      assert.equal((await scene.ledger.expire(over)).returned, 1)
      assert.equal(await scene.equation(ALICE, REQUESTS), '7 = 0 + 0 + 0 + 7')
    })

    scenario('one with an unanswered attempt is held in doubt', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 7)
      await scene.close(0)
      await scene.send(lost(closing(1)), closing(0))
      const { returned, held } = await scene.ledger.expire(over)
      assert.equal(returned, 0)
      assert.deepEqual(
        held.map(({ reason, quantity, inDoubt }) => ({ reason, quantity, inDoubt })),
        [{ reason: 'in-doubt', quantity: 7, inDoubt: true }],
      )
      for (const n of [24, 25, 26]) await scene.close(n)
      assert.equal(await scene.equation(ALICE, REQUESTS), '7 = 0 + 0 + 7 + 0')
    })

    scenario('one that somebody is just sending is left alone until the claim expires', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 7)
      await scene.close(0)
      const records = await scene.claim(over - 1, { claimedUntil: over + MINUTE })
      assert.deepEqual(await scene.ledger.expire(over), { returned: 0, held: [] })
      await scene.settle(records, bounced(over + MINUTE), over)
      assert.deepEqual(await scene.ledger.expire(over), { returned: 1, held: [] })
    })

    scenario('an hour that was used is not used again', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 7)
      await scene.close(0)
      await scene.ledger.expire(over)
      // A clock that is back by a day closes the same hour again.
      await scene.close(0)
      assert.deepEqual(await scene.history(ALICE, REQUESTS), ['0:7 returned expired'])
    })
  })
}
