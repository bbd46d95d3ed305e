import assert from 'node:assert/strict'
import { describe } from 'node:test'
import {
  ALICE,
  BOB,
  BY,
  closing,
  entry,
  GPU,
  GUARDED,
  hour,
  METERED,
  NOT_SUBSCRIBED,
  REQUESTS,
  ROLL_FORWARD,
  type Scene,
  TOKENS,
  UNIT,
} from '../scene.ts'
import type { Scenario } from './scenario.ts'

export function notSubscribed(name: string, scenario: Scenario): void {
  describe(`${name}: customers that are not subscribed`, () => {
    const blocked = async (scene: Scene) => {
      await scene.use(ALICE, REQUESTS, 0, 7)
      await scene.close(0)
      await scene.send(NOT_SUBSCRIBED, closing(0))
    }

    scenario(
      'each hour’s records ask again, and are held where AWS says no; with what is of before they are not sent',
      async scene => {
        await blocked(scene)
        await scene.append([entry(ALICE, REQUESTS, 1, 2), entry(ALICE, TOKENS, 1, 1500), entry(BOB, REQUESTS, 1, 3)])
        await scene.close(1)
        const ofAlice = (await scene.claim(closing(1))).filter(({ account }) => account.key === ALICE.key)
        assert.equal(ofAlice.length, 2)
        await scene.settle(ofAlice, NOT_SUBSCRIBED, closing(1))
        assert.deepEqual(await scene.history(ALICE, REQUESTS), ['1:2 held not-subscribed', '0:7 held not-subscribed'])
        assert.equal(await scene.equation(BOB, REQUESTS), '3 = 0 + 3 + 0 + 0')
        // Late for the hour before, together with this hour's. A fraction is no hindrance.
        await scene.append([entry(ALICE, REQUESTS, 1, 4), entry(ALICE, REQUESTS, 2, 1), entry(ALICE, TOKENS, 2, 700)])
        const { held } = await scene.close(2)
        assert.deepEqual(
          held.map(({ dimension, quantity, reason, attempts }) => [dimension, quantity, reason, attempts]),
          [[REQUESTS.name, 5, 'not-subscribed', 0]],
        )
        // By their other dimension they turn out to be back.
        await scene.send(METERED, closing(2))
        await scene.append([entry(ALICE, REQUESTS, 1, 2), entry(ALICE, REQUESTS, 3, 6), entry(ALICE, TOKENS, 3, 800)])
        await scene.close(3)
        assert.equal(await scene.equation(ALICE, REQUESTS), '22 = 0 + 8 + 14 + 0')
        assert.equal(await scene.equation(ALICE, TOKENS), '3000 = 1000 + 1000 + 1000 + 0')
      },
    )

    scenario('rolled forward: what comes stays in the balance, other customers go on', async scene => {
      await blocked(scene)
      await scene.append([entry(ALICE, REQUESTS, 1, 2), entry(BOB, REQUESTS, 1, 3)])
      await scene.close(1, ROLL_FORWARD)
      const records = await scene.claim(closing(1))
      await scene.settle(
        records.filter(record => record.account.key === ALICE.key),
        NOT_SUBSCRIBED,
        closing(1),
      )
      await scene.use(ALICE, REQUESTS, 2, 4)
      await scene.close(2, ROLL_FORWARD)
      assert.equal(await scene.equation(ALICE, REQUESTS), '13 = 0 + 0 + 7 + 6')
      assert.equal(await scene.equation(BOB, REQUESTS), '3 = 0 + 3 + 0 + 0')
      const [held] = (await scene.ledger.status()).held
      assert.deepEqual([held?.reason, held?.amount], ['not-subscribed', 7n * UNIT])
    })

    scenario.ofRules('rolled forward: it is probed after 1 hour, 2, 4, … up to a day, with one record', async scene => {
      await blocked(scene)
      const probes: number[] = []
      let used = 0
      // The hours of a probe and those around: one that came too early would be seen before the next.
      for (const n of [1, 2, 3, 4, 6, 7, 8, 14, 15, 16, 30, 31, 32, 54, 55, 56, 78, 79]) {
        const hours = Array.from({ length: n - used }, (_, index) => used + 1 + index)
        used = n
        await scene.append(
          hours.flatMap(one => [REQUESTS, TOKENS, GPU].map(dimension => entry(ALICE, dimension, one, 3600))),
        )
        await scene.close(n, ROLL_FORWARD)
        // Its answer comes some seconds after the closing: that must not make an hour two.
        const settled = await scene.send(NOT_SUBSCRIBED, closing(n) + 3000)
        assert.ok(settled.length <= 1, `${settled.length} probes at once`)
        if (settled.length > 0) probes.push(n)
      }
      assert.deepEqual(probes, [1, 3, 7, 15, 31, 55, 79])
      assert.equal(await scene.equation(ALICE, REQUESTS), '284407 = 0 + 0 + 7 + 284400')
    })

    scenario('while a probe is on its way there is no other', async scene => {
      await blocked(scene)
      await scene.use(ALICE, REQUESTS, 1, 5)
      for (const n of [1, 2, 3]) {
        await scene.use(ALICE, TOKENS, n, 5000)
        await scene.close(n, ROLL_FORWARD)
      }
      assert.equal((await scene.ledger.records({ state: 'pending' })).length, 1)
      await scene.ledger.expire(hour(30))
      assert.equal((await scene.ledger.records({ state: 'pending' })).length, 0)
    })

    scenario('Success ends it', async scene => {
      await blocked(scene)
      await scene.use(ALICE, REQUESTS, 1, 2)
      await scene.use(ALICE, GPU, 1, 3600)
      await scene.close(1, ROLL_FORWARD)
      await scene.send(METERED, closing(1))
      await scene.close(2, ROLL_FORWARD)
      await scene.send(METERED, closing(2))
      assert.equal(await scene.equation(ALICE, REQUESTS), '9 = 2 + 0 + 7 + 0')
      assert.equal(await scene.equation(ALICE, GPU), '3600 = 3600 + 0 + 0 + 0')
    })

    scenario('a person can end it', async scene => {
      await blocked(scene)
      await scene.use(ALICE, GPU, 0, 7200)
      await scene.ledger.decide((await scene.only('held')).id, 'release', BY)
      await scene.close(1, ROLL_FORWARD)
      assert.equal(await scene.equation(ALICE, REQUESTS), '7 = 0 + 7 + 0 + 0')
      assert.equal(await scene.equation(ALICE, GPU), '7200 = 0 + 7200 + 0 + 0')
    })

    scenario.ofRules('a probe that a guard holds does not stop the probing', async scene => {
      await blocked(scene)
      await scene.use(ALICE, GUARDED, 1, 500)
      await scene.close(1, ROLL_FORWARD)
      assert.equal(await scene.equation(ALICE, GUARDED), '500 = 0 + 0 + 500 + 0')
      await scene.use(ALICE, REQUESTS, 2, 1)
      await scene.close(2, ROLL_FORWARD)
      assert.equal((await scene.only('pending')).quantity, 1)
    })
  })
}
