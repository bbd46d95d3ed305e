import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { HOUR, MINUTE } from '../../../src/ledger/hours.ts'
import {
  ALICE,
  BOB,
  BY,
  bounced,
  closeOptions,
  closing,
  entry,
  hour,
  MARGIN,
  METERED,
  NOT_SUBSCRIBED,
  REQUESTS,
  type Scene,
  TOKENS,
} from '../scene.ts'
import type { Scenario } from './scenario.ts'

export function agreementEnds(name: string, scenario: Scenario): void {
  describe(`${name}: the end of an agreement`, () => {
    const finalize = (scene: Scene, now: number, endedAt = now) =>
      scene.ledger.finalize(ALICE, { ...closeOptions(now), endedAt })

    scenario('the open hour is frozen, not after the end, and goes first', async scene => {
      await scene.append([ALICE, BOB].map(account => entry(account, REQUESTS, 0, 1)))
      await scene.close(0)
      await scene.append([ALICE, BOB].map(account => entry(account, REQUESTS, 1, 2)))
      const endedAt = hour(1) + 30 * MINUTE + 500
      assert.equal((await finalize(scene, endedAt + MINUTE, endedAt)).records, 1)
      assert.equal(await scene.equation(ALICE, REQUESTS), '3 = 0 + 3 + 0 + 0')
      assert.equal(await scene.equation(BOB, REQUESTS), '3 = 0 + 1 + 0 + 2')
      const records = await scene.claim(endedAt + MINUTE)
      assert.deepEqual(
        records.map(record => record.account.key),
        [ALICE.key, ALICE.key, BOB.key],
      )
      assert.equal(records.find(record => record.quantity === 2)?.timestamp, endedAt - 500)
      assert.ok(records.slice(0, 2).every(record => record.deadline === endedAt + HOUR - MARGIN))
      await scene.settle(records, METERED, endedAt + MINUTE)
      await scene.close(1)
      assert.equal(await scene.equation(ALICE, REQUESTS), '3 = 3 + 0 + 0 + 0')
    })

    scenario('while commits are lost an end is known, and freezes nothing', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 1)
      await scene.ledger.note({ action: 'lost', who: 'ops', why: 'a failover', detail: '', now: closing(0) })
      assert.equal((await finalize(scene, closing(0))).records, 0)
      assert.equal((await scene.ledger.agreements())[0]?.state, 'ended')
      await scene.ledger.declareRestored({ ...BY, now: closing(0) })
      assert.equal((await finalize(scene, closing(0) + MINUTE)).records, 0)
      assert.equal(await scene.equation(ALICE, REQUESTS), '1 = 0 + 0 + 1 + 0')
      const [restored] = await scene.ledger.audit({ actions: ['restore'] })
      assert.equal(restored?.detail, 'closed through no hour at the backup')
    })

    scenario('a record waiting for its next attempt is tried again at once', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 1)
      await scene.close(0)
      await scene.send(bounced(closing(0) + 30 * MINUTE), closing(0))
      await finalize(scene, closing(0))
      assert.equal((await scene.claim(closing(0))).length, 1)
    })

    scenario('what comes after, and what the window no longer takes, is held', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 1)
      await scene.close(0)
      await finalize(scene, closing(0), closing(0))
      await scene.use(ALICE, REQUESTS, 1, 2)
      const { held } = await scene.close(1)
      assert.deepEqual(
        held.map(record => record.reason),
        ['agreement-ended'],
      )
      const expired = await scene.ledger.expire(closing(0) + HOUR - MARGIN)
      assert.deepEqual(
        expired.held.map(record => record.reason),
        ['agreement-ended'],
      )
      assert.equal(await scene.equation(ALICE, REQUESTS), '3 = 0 + 0 + 3 + 0')
    })

    scenario('told too late, all is held', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 4)
      const { held } = await finalize(scene, hour(3), hour(0) + MINUTE)
      assert.deepEqual(
        held.map(record => record.reason),
        ['agreement-ended'],
      )
      assert.equal(await scene.equation(ALICE, REQUESTS), '4 = 0 + 0 + 4 + 0')
    })

    scenario('twice changes nothing more', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 4)
      const now = hour(0) + 30 * MINUTE
      assert.equal((await finalize(scene, now)).records, 1)
      assert.equal((await finalize(scene, now + MINUTE, now)).records, 0)
      await scene.use(ALICE, REQUESTS, 0, 2)
      await finalize(scene, now + 2 * MINUTE, now)
      assert.equal(await scene.equation(ALICE, REQUESTS), '6 = 0 + 4 + 0 + 2')
      await scene.close(0)
      await scene.close(1)
      assert.equal(await scene.equation(ALICE, REQUESTS), '6 = 0 + 4 + 2 + 0')
    })

    scenario('for a customer without usage it does nothing', async scene => {
      assert.deepEqual(await finalize(scene, hour(1)), { records: 0, held: [] })
      assert.deepEqual(await scene.ledger.statement(), [])
    })

    scenario('a person who releases what it holds says that there is an agreement again', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 4)
      await finalize(scene, hour(3), hour(0) + MINUTE)
      await scene.ledger.decide((await scene.only('held')).id, 'release', BY)
      await scene.close(3)
      assert.equal(await scene.equation(ALICE, REQUESTS), '4 = 0 + 4 + 0 + 0')
    })

    scenario('one that AWS did not know is asked for once more; whole units end up held', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 4)
      await scene.close(0)
      await scene.send(NOT_SUBSCRIBED, closing(0))
      await scene.append([entry(ALICE, REQUESTS, 1, 1), entry(ALICE, TOKENS, 1, 2000)])
      await finalize(scene, hour(1) + MINUTE)
      assert.equal((await scene.send(NOT_SUBSCRIBED, hour(1) + MINUTE)).length, 2)
      await scene.use(ALICE, REQUESTS, 2, 3)
      await scene.close(2)
      assert.deepEqual(await scene.history(ALICE, REQUESTS), [
        '2:3 held agreement-ended',
        '1:1 held not-subscribed',
        '0:4 held not-subscribed',
      ])
      assert.equal(await scene.equation(ALICE, TOKENS), '2000 = 0 + 0 + 2000 + 0')
    })
  })
}
