import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { MINUTE } from '../../../src/ledger/hours.ts'
import type { LaneAnswer } from '../../../src/ledger/ledger.ts'
import {
  ALICE,
  BY,
  bounced,
  CONFLICT,
  closing,
  entry,
  hour,
  lost,
  MARGIN,
  METERED,
  NOT_SUBSCRIBED,
  REFUSED,
  REQUESTS,
  ROLLED_FORWARD,
  type Scene,
  TOKENS,
} from '../scene.ts'
import { code, type Scenario } from './scenario.ts'

export function answers(name: string, scenario: Scenario): void {
  describe(`${name}: answers`, () => {
    /** A record of 7 requests of hour 0, claimed. */
    const claimed = async (scene: Scene) => {
      await scene.use(ALICE, REQUESTS, 0, 7)
      await scene.close(0)
      return await scene.claim(closing(0))
    }
    /** When the record's window has closed. */
    const over = hour(24) - MARGIN

    scenario('Success: metered, with its id', async scene => {
      const [settled] = await scene.settle(await claimed(scene), METERED, closing(0))
      assert.equal(settled?.state, 'metered')
      assert.equal(await scene.equation(ALICE, REQUESTS), '7 = 7 + 0 + 0 + 0')
      const { meteringRecordId, lastAnswer, inDoubt } = await scene.only('metered')
      assert.deepEqual([meteringRecordId, lastAnswer, inDoubt], ['id-1', 'metered', false])
      const { product, identity, region } = (await scene.ledger.answers())[0] as LaneAnswer
      assert.deepEqual([product, identity, region], [ALICE.product, 'product-code', 'us-east-1'])
    })

    scenario.ofRules('DuplicateRecord: held as a conflict', async scene => {
      const [settled] = await scene.settle(await claimed(scene), CONFLICT, closing(0))
      assert.deepEqual([settled?.state, settled?.reason], ['held', 'conflict'])
      assert.equal(await scene.equation(ALICE, REQUESTS), '7 = 0 + 0 + 7 + 0')
    })

    scenario('DuplicateRecord: rolled forward where that is wanted', async scene => {
      await scene.settle(await claimed(scene), ROLLED_FORWARD, closing(0))
      assert.equal(await scene.equation(ALICE, REQUESTS), '7 = 0 + 0 + 0 + 7')
      await scene.close(1)
      assert.deepEqual(await scene.history(ALICE, REQUESTS), ['1:7 pending', '0:7 returned conflict'])
    })

    scenario.ofRules('DuplicateRecord after an unanswered attempt leaves that one in doubt', async scene => {
      assert.deepEqual(await scene.ledger.answers(), [])
      const told = async () => (await scene.ledger.answers()).map(({ answer, at }) => [answer, at])
      await scene.settle(await claimed(scene), lost(closing(0)), closing(0))
      assert.deepEqual(await told(), [['retry', closing(0)]])
      await scene.send(ROLLED_FORWARD, closing(0) + MINUTE)
      assert.deepEqual(await told(), [['conflict', closing(0) + MINUTE]])
      assert.equal(await scene.equation(ALICE, REQUESTS), '7 = 0 + 0 + 7 + 0')
      const { reason, inDoubt } = await scene.only('held')
      assert.deepEqual({ reason, inDoubt }, { reason: 'in-doubt', inDoubt: true })
    })

    scenario.ofRules('DuplicateRecord after attempts that were surely not taken is rolled forward', async scene => {
      await scene.settle(await claimed(scene), bounced(closing(0)), closing(0))
      await scene.send(ROLLED_FORWARD, closing(0) + MINUTE)
      assert.equal(await scene.equation(ALICE, REQUESTS), '7 = 0 + 0 + 0 + 7')
    })

    scenario.ofRules('DuplicateRecord also ends the doubt of a record that is held', async scene => {
      const records = await claimed(scene)
      await scene.ledger.expire(over)
      await scene.settle(records, CONFLICT, over)
      const { reason, inDoubt } = await scene.only('held')
      assert.deepEqual({ reason, inDoubt }, { reason: 'conflict', inDoubt: false })
      await scene.ledger.decide((await scene.only('held')).id, 'not-billed', BY)
      assert.equal(await scene.equation(ALICE, REQUESTS), '7 = 0 + 0 + 0 + 7')
    })

    scenario.ofRules('refused: held', async scene => {
      const [settled] = await scene.settle(await claimed(scene), REFUSED, closing(0))
      assert.deepEqual([settled?.state, settled?.reason], ['held', 'refused'])
      assert.equal(await scene.equation(ALICE, REQUESTS), '7 = 0 + 0 + 7 + 0')
    })

    scenario('retry: pending, and due when it is said', async scene => {
      for (const outcome of [bounced, lost]) {
        const records = outcome === bounced ? await claimed(scene) : await scene.claim(closing(0) + MINUTE)
        const [settled] = await scene.settle(records, outcome(closing(0) + MINUTE), closing(0))
        assert.equal(settled?.state, 'pending')
        assert.equal((await scene.only('pending')).inDoubt, outcome === lost)
      }
      assert.equal(await scene.equation(ALICE, REQUESTS), '7 = 0 + 7 + 0 + 0')
    })

    for (const [what, outcome] of [
      ['not subscribed', NOT_SUBSCRIBED],
      ['refused', REFUSED],
    ] as const) {
      scenario.ofRules(`${what}, after an unanswered attempt: held in doubt`, async scene => {
        await scene.settle(await claimed(scene), lost(closing(0)), closing(0))
        const [settled] = await scene.send(outcome, closing(0))
        assert.deepEqual([settled?.state, settled?.reason], ['held', 'in-doubt'])
        await assert.rejects(scene.ledger.decide(settled?.record.id ?? '', 'release', BY), code('ERR_LEDGER_STATE'))
      })
    }

    scenario.ofRules('one unanswered attempt among answered ones leaves the doubt', async scene => {
      await scene.settle(await claimed(scene), bounced(closing(0)), closing(0))
      await scene.send(lost(closing(0)), closing(0))
      await scene.send(bounced(closing(0)), closing(0))
      assert.equal((await scene.ledger.expire(over)).held[0]?.reason, 'in-doubt')
    })

    scenario('an answer that is written down twice counts once', async scene => {
      const records = await claimed(scene)
      await scene.settle(records, bounced(closing(0)), closing(0))
      await scene.settle(records, bounced(closing(0)), closing(0))
      await scene.send(lost(closing(0)), closing(0))
      assert.equal((await scene.ledger.expire(over)).held[0]?.reason, 'in-doubt')
    })

    scenario.ofRules('Success twice meters once', async scene => {
      const records = await claimed(scene)
      await scene.settle(records, METERED, closing(0))
      await scene.settle(records, METERED, closing(0))
      await scene.settle([...records, ...records], METERED, closing(0))
      assert.equal(await scene.equation(ALICE, REQUESTS), '7 = 7 + 0 + 0 + 0')
    })

    scenario('of one series several hours are settled at once, and one of them twice', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 7)
      await scene.close(0)
      await scene.use(ALICE, REQUESTS, 1, 5)
      await scene.close(1)
      const records = await scene.claim(closing(1))
      await scene.settle([...records, ...records.slice(0, 1)], METERED, closing(1))
      assert.equal(await scene.equation(ALICE, REQUESTS), '12 = 12 + 0 + 0 + 0')
    })

    scenario('a customer refused and taken at once is there: its next hour is frozen', async scene => {
      await scene.append([entry(ALICE, REQUESTS, 0, 7), entry(ALICE, TOKENS, 0, 5000)])
      await scene.close(0)
      const [refused, taken] = await scene.claim(closing(0))
      assert.ok(refused && taken)
      await scene.ledger.settle(
        [
          { record: refused, outcome: NOT_SUBSCRIBED, answer: '' },
          { record: taken, outcome: METERED, answer: '' },
        ],
        closing(0),
      )
      await scene.append([entry(ALICE, REQUESTS, 1, 3), entry(ALICE, TOKENS, 1, 2000)])
      assert.equal((await scene.close(1)).records, 2)
    })

    scenario.ofRules('nothing that comes after Success changes it', async scene => {
      const records = await claimed(scene)
      await scene.settle(records, METERED, closing(0))
      for (const outcome of [CONFLICT, ROLLED_FORWARD, NOT_SUBSCRIBED, REFUSED, lost(0), bounced(0)]) {
        const [settled] = await scene.settle(records, outcome, closing(0))
        assert.equal(settled?.state, 'metered')
      }
      assert.equal(await scene.equation(ALICE, REQUESTS), '7 = 7 + 0 + 0 + 0')
    })

    scenario.ofRules('a late Success wins over held', async scene => {
      const records = await claimed(scene)
      await scene.ledger.expire(over)
      assert.equal(await scene.equation(ALICE, REQUESTS), '7 = 0 + 0 + 7 + 0')
      await scene.settle(records, METERED, over)
      assert.equal(await scene.equation(ALICE, REQUESTS), '7 = 7 + 0 + 0 + 0')
    })

    scenario('a late Success wins over returned: the balance owes it, and is paid by usage to come', async scene => {
      const records = await claimed(scene)
      await scene.settle(records, ROLLED_FORWARD, closing(0))
      await scene.close(1)
      await scene.settle(records, METERED, closing(1))
      assert.equal(await scene.equation(ALICE, REQUESTS), '7 = 7 + 7 + 0 + -7')
      await scene.use(ALICE, REQUESTS, 2, 9)
      await scene.close(2)
      await scene.send(METERED, closing(2))
      assert.equal(await scene.equation(ALICE, REQUESTS), '16 = 16 + 0 + 0 + 0')
    })

    scenario.ofRules('a late Success wins over what a person said', async scene => {
      const records = await claimed(scene)
      await scene.ledger.expire(over)
      await scene.ledger.decide(records[0]?.id ?? '', 'not-billed', BY)
      assert.equal(await scene.equation(ALICE, REQUESTS), '7 = 0 + 0 + 0 + 7')
      await scene.settle(records, METERED, over)
      assert.equal(await scene.equation(ALICE, REQUESTS), '7 = 7 + 0 + 0 + 0')
    })

    scenario.ofRules('a late refusal does not move what is returned or held', async scene => {
      const records = await claimed(scene)
      await scene.settle(records, ROLLED_FORWARD, closing(0))
      await scene.settle(records, REFUSED, closing(0))
      await scene.settle(records, CONFLICT, closing(0))
      assert.equal(await scene.equation(ALICE, REQUESTS), '7 = 0 + 0 + 0 + 7')
    })

    scenario('an answer under a claim that has expired leaves the next claim alone', async scene => {
      const first = await claimed(scene)
      const now = closing(0) + MINUTE
      const second = await scene.claim(now)
      await scene.settle(first, bounced(now), now)
      assert.deepEqual(await scene.claim(now), [], 'it is with the second caller')
      await scene.settle(second, METERED, now)
      assert.equal(await scene.equation(ALICE, REQUESTS), '7 = 7 + 0 + 0 + 0')
    })

    scenario('an answer to a record that was pruned meanwhile holds up no other', async scene => {
      const [record] = await claimed(scene)
      assert.ok(record)
      await scene.settle([{ ...record, id: '999999' }, record], METERED, 0)
      assert.equal(await scene.equation(ALICE, REQUESTS), '7 = 7 + 0 + 0 + 0')
    })
  })
}
