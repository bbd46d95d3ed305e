import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { ALICE, BY, closing, GUARDED } from '../scene.ts'
import { code, type Scenario } from './scenario.ts'

export function guards(name: string, scenario: Scenario): void {
  describe(`${name}: guards`, () => {
    scenario('what is above the maximum is held, and released it passes once', async scene => {
      await scene.use(ALICE, GUARDED, 0, 101)
      const { held } = await scene.close(0)
      assert.deepEqual(
        held.map(record => [record.reason, record.quantity]),
        [['over-maximum', 101]],
      )
      assert.deepEqual(await scene.claim(closing(0)), [])
      await scene.ledger.decide(held[0]?.id ?? '', 'release', BY)
      await scene.use(ALICE, GUARDED, 1, 100)
      await scene.close(1)
      assert.equal(await scene.equation(ALICE, GUARDED), '201 = 0 + 201 + 0 + 0')
      await scene.use(ALICE, GUARDED, 2, 101)
      assert.equal((await scene.close(2)).held.length, 1)
      await scene.use(ALICE, GUARDED, 3, 100)
      assert.equal((await scene.close(3)).held.length, 0)
      assert.equal(await scene.equation(ALICE, GUARDED), '402 = 0 + 301 + 101 + 0')
    })

    scenario.ofRules('what was released and written off lets nothing else past the guard', async scene => {
      await scene.use(ALICE, GUARDED, 0, 500)
      const { held } = await scene.close(0)
      await scene.ledger.decide(held[0]?.id ?? '', 'release', BY)
      await scene.ledger.writeOff(ALICE.key, GUARDED.name, BY)
      await scene.use(ALICE, GUARDED, 1, 400)
      assert.deepEqual(
        (await scene.close(1)).held.map(record => record.quantity),
        [400],
      )
    })

    scenario.ofRules('a release does not open the guard for more than was released', async scene => {
      await scene.use(ALICE, GUARDED, 0, 150)
      const { held } = await scene.close(0)
      await scene.ledger.decide(held[0]?.id ?? '', 'release', BY)
      await scene.use(ALICE, GUARDED, 1, 101)
      assert.deepEqual(
        (await scene.close(1)).held.map(record => record.quantity),
        [251],
      )
    })

    scenario.ofRules('what was never attempted is not counted as in doubt when it is released', async scene => {
      await scene.use(ALICE, GUARDED, 0, 150)
      await scene.close(0)
      assert.equal((await scene.only('held')).inDoubt, false)
      await assert.rejects(scene.ledger.decide((await scene.only('held')).id, 'billed', BY), code('ERR_LEDGER_STATE'))
    })
  })
}
