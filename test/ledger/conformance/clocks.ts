import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { HOUR, MINUTE } from '../../../src/ledger/hours.ts'
import {
  ALICE,
  BOB,
  BY,
  bounced,
  CAROL,
  closeOptions,
  closing,
  entry,
  hour,
  lost,
  METERED,
  NOT_SUBSCRIBED,
  REQUESTS,
  ROLL_FORWARD,
} from '../scene.ts'
import { billedIn, code, DAY, type Scenario } from './scenario.ts'

export function clocks(name: string, scenario: Scenario): void {
  describe(`${name}: clocks that jump`, () => {
    scenario.ofRules('a day ahead and back: nothing is lost, and nothing waits longer than an hour', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 5)
      await scene.close(0)
      await scene.use(ALICE, REQUESTS, 1, 3)
      // The clock goes ahead: usage is recorded a day ahead, and hours are closed that have not been.
      const ahead = closing(1) + DAY
      await scene.use(ALICE, REQUESTS, 25, 2)
      await scene.use(BOB, REQUESTS, 26, 8)
      await scene.close(25)
      // AWS refuses a timestamp that is to come.
      await scene.send(bounced(ahead + 5 * MINUTE), ahead)
      await scene.ledger.expire(ahead)
      await scene.use(ALICE, REQUESTS, 26, 1)
      // The clock is right again.
      for (const n of [1, 2]) {
        await scene.close(n)
        await scene.ledger.expire(closing(n))
        await scene.send(METERED, closing(n))
      }
      assert.equal(await scene.equation(ALICE, REQUESTS), '11 = 11 + 0 + 0 + 0')
      assert.equal(await scene.equation(BOB, REQUESTS), '8 = 8 + 0 + 0 + 0')
    })

    scenario(
      'what may have been taken for a time that is days ahead is held in doubt, for a person to see',
      async scene => {
        const ahead = closing(0) + 40 * DAY
        await scene.use(ALICE, REQUESTS, 40 * 24, 5)
        await scene.close(40 * 24)
        await scene.send(lost(ahead + MINUTE), ahead)
        await scene.ledger.expire(closing(0))
        const held = await scene.only('held')
        assert.deepEqual([held.reason, held.inDoubt], ['in-doubt', true])
      },
    )

    scenario('a clock that is ahead, by days or by years, prunes nothing of what AWS may still take', async scene => {
      for (const n of [0, 1, 10, 30]) await billedIn(scene, n)
      const kept = () => scene.ledger.records({ state: 'metered' }).then(records => records.length)
      for (const ahead of [3 * DAY, 800 * DAY]) {
        // What it records and freezes is to come; that says nothing about the time.
        await scene.use(ALICE, REQUESTS, 30 + ahead / HOUR, 5)
        await scene.close(30 + ahead / HOUR)
        await scene.send(bounced(closing(30) + ahead + MINUTE), closing(30) + ahead)
        await scene.ledger.prune(hour(30) + ahead - 2 * DAY)
        assert.equal(await kept(), 2, `${ahead / DAY} days ahead`)
      }
    })

    scenario.ofRules('what a person has settled as billed says nothing about the time', async scene => {
      for (const n of [0, 1]) await billedIn(scene, n)
      await scene.use(ALICE, REQUESTS, 40 * 24, 5)
      await scene.close(40 * 24)
      await scene.send(lost(closing(40 * 24) + MINUTE), closing(40 * 24))
      await scene.ledger.expire(closing(1))
      await scene.ledger.decide((await scene.only('held')).id, 'billed', BY)
      assert.equal(await scene.ledger.prune(hour(39 * 24)), 0)
    })

    scenario('a Date, a fraction and what is no time are refused where a time is taken', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 5)
      const { ledger } = scene
      for (const time of [new Date(hour(1)), hour(1) + 0.5, Number.NaN, String(hour(1)), 8.7e15] as number[]) {
        const options = { ...closeOptions(closing(0)), endedAt: hour(1) }
        for (const act of [
          () => ledger.finalize(ALICE, { ...options, endedAt: time }),
          () => ledger.finalize(ALICE, { ...options, now: time }),
          () => ledger.closeHours({ ...options, now: time }),
          () => ledger.prune(time),
          () => ledger.statement({ from: time }),
          () => ledger.statement({ to: time }),
          () => ledger.records({ from: time }),
          () => ledger.writeOff(ALICE.key, REQUESTS.name, { ...BY, now: Number.NaN }),
        ]) {
          await assert.rejects(act, code('ERR_LEDGER_INVALID'), `${act}`)
        }
      }
      assert.equal(await scene.equation(ALICE, REQUESTS), '5 = 0 + 0 + 0 + 5')
    })

    scenario('a claim and a wait from a clock that was ahead do not count', async scene => {
      await scene.append([ALICE, CAROL].map(account => entry(account, REQUESTS, 0, 1)))
      await scene.close(0)
      const ahead = closing(0) + 20 * HOUR
      const records = await scene.claim(ahead)
      await scene.settle(records.slice(0, 1), bounced(ahead + MINUTE), ahead)
      assert.equal((await scene.claim(closing(0))).length, 2)
    })

    scenario.ofRules('a probe that a clock ahead put off comes within its longest wait', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 7)
      await scene.close(0)
      await scene.send(NOT_SUBSCRIBED, closing(0) + 20 * HOUR)
      await scene.use(ALICE, REQUESTS, 1, 2)
      const far = await scene.claim(closing(1))
      assert.deepEqual(far, [])
      for (const n of [1, 2, 12, 24, 25]) await scene.close(n, ROLL_FORWARD)
      assert.equal((await scene.ledger.records({ state: 'pending' })).length, 1)
    })

    scenario.ofRules('a probe that a clock a year ahead put off is made', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 7)
      await scene.close(0)
      const records = await scene.claim(closing(0))
      await scene.settle(records, NOT_SUBSCRIBED, closing(365 * 24))
      await scene.use(ALICE, REQUESTS, 1, 2)
      await scene.close(1, ROLL_FORWARD)
      assert.equal((await scene.ledger.records({ state: 'pending' })).length, 1)
    })

    scenario('what AWS may have taken under a clock ahead is not given back', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 5)
      await scene.close(24)
      await scene.send(lost(closing(24) + MINUTE), closing(24))
      assert.deepEqual(await scene.ledger.expire(closing(0)), { returned: 0, held: [] })
      await scene.close(1)
      assert.equal(await scene.equation(ALICE, REQUESTS), '5 = 0 + 5 + 0 + 0')
    })

    scenario.ofRules('a day back and right again: nothing is sent twice', async scene => {
      await scene.use(ALICE, REQUESTS, 30, 5)
      await scene.close(30)
      await scene.send(METERED, closing(30))
      await scene.use(ALICE, REQUESTS, 7, 2)
      await scene.close(7)
      await scene.send(bounced(closing(7) + MINUTE), closing(7))
      await scene.use(ALICE, REQUESTS, 31, 1)
      await scene.close(31)
      await scene.ledger.expire(closing(31))
      await scene.close(32)
      await scene.send(METERED, closing(32))
      assert.equal(await scene.equation(ALICE, REQUESTS), '8 = 8 + 0 + 0 + 0')
    })
  })
}
