import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { HOUR, MINUTE } from '../../../src/ledger/hours.ts'
import { MAX_QUANTITY } from '../../../src/usage/dimension.ts'
import {
  ALICE,
  BOB,
  CAROL,
  closeOptions,
  closing,
  DORA,
  ERIN,
  entry,
  GPU,
  hour,
  MARGIN,
  METERED,
  NOBODY,
  REQUESTS,
  UNIT,
} from '../scene.ts'
import type { Scenario } from './scenario.ts'

export function closingHours(name: string, scenario: Scenario): void {
  describe(`${name}: closing hours`, () => {
    scenario('an hour is closed when it is over for as long as the delay, not before', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 3)
      assert.equal((await scene.close(0, { now: closing(0) - 1 })).records, 0)
      assert.equal(await scene.equation(ALICE, REQUESTS), '3 = 0 + 0 + 0 + 3')
      assert.equal((await scene.close(0)).records, 1)
      const record = await scene.only('pending')
      assert.equal(record.timestamp, hour(1) - 1000)
      assert.equal(record.deadline, hour(24) - MARGIN)
      assert.equal(record.region, 'us-east-1')
      assert.equal((await scene.ledger.status()).closedThrough, hour(0))
    })

    scenario('closing twice, or at once from two processes, freezes once', async scene => {
      const another = await scene.another()
      await scene.append([ALICE, BOB, CAROL, DORA, ERIN].flatMap(account => [entry(account, REQUESTS, 0, 4)]))
      const results = await Promise.all(
        [scene.ledger, another, scene.ledger, another].map(ledger => ledger.closeHours(closeOptions(closing(0)))),
      )
      assert.equal(
        results.reduce((total, result) => total + result.records, 0),
        5,
      )
      assert.equal((await scene.close(0)).records, 0)
      for (const account of [ALICE, BOB, CAROL, DORA, ERIN]) {
        assert.equal(await scene.equation(account, REQUESTS), '4 = 0 + 4 + 0 + 0')
      }
    })

    scenario('late usage goes into the next hour', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 3)
      await scene.close(0)
      await scene.use(ALICE, REQUESTS, 0, 2)
      assert.equal((await scene.close(0)).records, 0)
      await scene.use(ALICE, REQUESTS, 1, 1)
      await scene.close(1)
      assert.deepEqual(await scene.history(ALICE, REQUESTS), ['1:3 pending', '0:3 pending'])
    })

    scenario.ofRules('late usage of a series that is idle goes out with the next hour too', async scene => {
      await scene.close(0)
      await scene.use(ALICE, REQUESTS, 0, 2)
      await scene.close(1)
      assert.deepEqual(await scene.history(ALICE, REQUESTS), ['1:2 pending'])
    })

    scenario.ofRules('fractions add up to units, each billed once', async scene => {
      for (let n = 0; n < 10; n += 1) {
        await scene.use(ALICE, GPU, n, 1000)
        await scene.close(n)
      }
      await scene.send(METERED, closing(9))
      assert.equal(await scene.equation(ALICE, GPU), '10000 = 7200 + 0 + 0 + 2800')
      assert.deepEqual(await scene.history(ALICE, GPU), ['7:1 metered', '3:1 metered'])
      await scene.use(ALICE, REQUESTS, 10, 2_999_999n)
      await scene.close(10)
      assert.equal(await scene.equation(ALICE, REQUESTS), '2.999999 = 0 + 2 + 0 + 0.999999')
    })

    scenario.ofRules('what is above the largest quantity goes out with the next hours', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 2 * MAX_QUANTITY + 1)
      for (const n of [0, 1, 2, 3]) await scene.close(n)
      assert.deepEqual(await scene.history(ALICE, REQUESTS), [
        '2:1 pending',
        `1:${MAX_QUANTITY} pending`,
        `0:${MAX_QUANTITY} pending`,
      ])
    })

    scenario('after an outage each hour is closed for itself', async scene => {
      for (const n of [0, 1, 2, 5]) await scene.use(ALICE, REQUESTS, n, n + 1)
      await scene.use(BOB, REQUESTS, 1, 9)
      assert.equal((await scene.close(7)).records, 5)
      assert.deepEqual(await scene.history(ALICE, REQUESTS), [
        '5:6 pending',
        '2:3 pending',
        '1:2 pending',
        '0:1 pending',
      ])
      assert.equal((await scene.ledger.status()).closedThrough, hour(7))
    })

    scenario('hours that AWS no longer takes go out with the next that it does', async scene => {
      for (const n of [0, 1, 2, 3]) await scene.use(ALICE, REQUESTS, n, 10 ** n)
      // The window of hour 1 closes at 25:00; 10 minutes before it is out.
      await scene.close(24, { now: hour(25) - MARGIN, closeDelay: 5 * MINUTE })
      assert.deepEqual(await scene.history(ALICE, REQUESTS), ['3:1000 pending', '2:111 pending'])
    })

    scenario.ofRules("a month's hours are taken until 06:00 UTC on the 1st", async scene => {
      const april = (Date.UTC(2026, 3, 1) - hour(0)) / HOUR
      await scene.use(ALICE, REQUESTS, april - 3, 1)
      await scene.use(BOB, REQUESTS, april - 2, 2)
      await scene.close(april - 3)
      await scene.close(april - 2)
      const [later, earlier] = await scene.ledger.records()
      assert.equal(later?.deadline, hour(april + 6) - MARGIN)
      assert.equal(earlier?.deadline, hour(april + 6) - MARGIN)
      await scene.use(CAROL, REQUESTS, april, 3)
      await scene.close(april)
      assert.equal((await scene.ledger.records({ customer: CAROL.key }))[0]?.deadline, hour(april + 24) - MARGIN)
      // Too late for March: the usage goes into April rather than nowhere.
      await scene.use(ALICE, REQUESTS, april - 1, 4)
      await scene.close(april + 6)
      assert.deepEqual(await scene.history(ALICE, REQUESTS), [`${april + 6}:4 pending`, `${april - 3}:1 pending`])
    })

    scenario('usage without a customer is never frozen', async scene => {
      await scene.use(NOBODY, REQUESTS, 0, 12)
      assert.equal((await scene.close(3)).records, 0)
      assert.equal(await scene.equation(NOBODY, REQUESTS), '12 = 0 + 0 + 0 + 12')
      await scene.use(NOBODY, REQUESTS, 4, 3)
      assert.deepEqual((await scene.ledger.status()).unattributed, [{ dimension: 'requests', amount: 15n * UNIT }])
    })
  })
}
