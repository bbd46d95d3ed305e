import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { MINUTE } from '../../../src/ledger/hours.ts'
import type { UnattributedAccount } from '../../../src/usage/account.ts'
import {
  ALICE,
  BOB,
  BY,
  bounced,
  CAROL,
  closeOptions,
  closing,
  DORA,
  entry,
  GUARDED,
  hour,
  METERED,
  NOBODY,
  NOT_SUBSCRIBED,
  REFUSED,
  REQUESTS,
  ROLL_FORWARD,
  type Scene,
  TOKENS,
  UNIT,
} from '../scene.ts'
import { billedIn, type Scenario } from './scenario.ts'

const SOMEBODY: UnattributedAccount = {
  ...{
    kind: 'unattributed',
    key: 'prod-1,unknown-customer',
    product: 'prod-1',
    reason: 'no-customer',
    evidence: '{"x":1}',
  },
}

/** What is decided of one customer leaves the customer beside it as it was. */
export function bystanders(name: string, scenario: Scenario): void {
  describe(`${name}: bystanders`, () => {
    const both = (amount: number, n: number, dimension = REQUESTS) =>
      [ALICE, BOB].map(account => entry(account, dimension, n, amount))
    const heldOf = async ({ ledger }: Scene, customer = ALICE) => {
      const [record] = await ledger.records({ state: 'held', customer: customer.key })
      assert.ok(record)
      return record.id
    }

    scenario('a guard that is lifted for one holds for the other', async scene => {
      await scene.append(both(150, 0, GUARDED))
      await scene.close(0)
      await scene.ledger.decide(await heldOf(scene), 'release', BY)
      await scene.use(BOB, GUARDED, 1, 101)
      await scene.close(1)
      assert.deepEqual(await scene.history(ALICE, GUARDED), ['1:150 pending', '0:150 returned over-maximum'])
      assert.deepEqual(await scene.history(BOB, GUARDED), ['1:101 held over-maximum', '0:150 held over-maximum'])
    })

    scenario('an agreement that goes on after all is the only one', async scene => {
      await scene.append(both(4, 0))
      for (const customer of [ALICE, BOB]) {
        await scene.ledger.finalize(customer, { ...closeOptions(hour(3)), endedAt: hour(0) + MINUTE })
      }
      await scene.ledger.decide(await heldOf(scene), 'release', BY)
      await scene.append(both(2, 3))
      await scene.close(3)
      assert.deepEqual(await scene.history(ALICE, REQUESTS), ['3:6 pending', '0:4 returned agreement-ended'])
      assert.deepEqual(await scene.history(BOB, REQUESTS), ['3:2 held agreement-ended', '0:4 held agreement-ended'])
    })

    scenario('a customer that AWS knows again is the only one', async scene => {
      await scene.append(both(4, 0))
      await scene.close(0)
      // So lately that the next hour does not probe who is still unknown.
      await scene.send(NOT_SUBSCRIBED, closing(1))
      await scene.ledger.decide(await heldOf(scene), 'release', BY)
      await scene.append(both(2, 1))
      await scene.close(1, ROLL_FORWARD)
      assert.deepEqual(await scene.history(ALICE, REQUESTS), ['1:6 pending', '0:4 returned not-subscribed'])
      assert.deepEqual(await scene.equation(BOB, REQUESTS), '6 = 0 + 0 + 4 + 2')
    })

    scenario('records that AWS refuses together put off the probe of their customer once', async scene => {
      await scene.append([entry(ALICE, REQUESTS, 0, 4), entry(ALICE, TOKENS, 0, 4000)])
      await scene.close(0)
      assert.equal((await scene.send(NOT_SUBSCRIBED, closing(0))).length, 2)
      await scene.use(ALICE, REQUESTS, 1, 2)
      await scene.close(1, ROLL_FORWARD)
      assert.deepEqual(await scene.history(ALICE, REQUESTS), ['1:2 pending', '0:4 held not-subscribed'])
    })

    scenario('what is released or settled of one stays held of the other', async scene => {
      await scene.append(both(7, 0))
      await scene.close(0)
      await scene.send(REFUSED, closing(0))
      await scene.ledger.decide(await heldOf(scene), 'release', BY)
      assert.equal(await scene.equation(ALICE, REQUESTS), '7 = 0 + 0 + 0 + 7')
      assert.equal(await scene.equation(BOB, REQUESTS), '7 = 0 + 0 + 7 + 0')
    })

    for (const billed of [true, false]) {
      scenario(`what is ${billed ? '' : 'not '}billed of one stays in doubt of the other`, async scene => {
        await scene.append(both(7, 0))
        await scene.close(0)
        await scene.claim(closing(0))
        await scene.ledger.expire(hour(24))
        await scene.ledger.decide(await heldOf(scene), billed ? 'billed' : 'not-billed', BY)
        assert.equal(await scene.equation(ALICE, REQUESTS), billed ? '7 = 7 + 0 + 0 + 0' : '7 = 0 + 0 + 0 + 7')
        assert.equal(await scene.equation(BOB, REQUESTS), '7 = 0 + 0 + 7 + 0')
      })
    }

    scenario('usage of an hour that is open stays in it when the balance of another is written off', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 5)
      await scene.use(BOB, REQUESTS, 1, 3)
      assert.equal(await scene.ledger.writeOff(ALICE.key, REQUESTS.name, BY), 5n * UNIT)
      await scene.close(0)
      assert.deepEqual(await scene.history(BOB, REQUESTS), [])
      await scene.close(1)
      assert.deepEqual(await scene.history(BOB, REQUESTS), ['1:3 pending'])
    })

    scenario('usage of an hour that is open stays in it when that of nobody finds its customer', async scene => {
      await scene.use(NOBODY, REQUESTS, 0, 5)
      await scene.use(SOMEBODY, REQUESTS, 0, 2)
      await scene.use(BOB, REQUESTS, 1, 3)
      await scene.ledger.attribute(NOBODY.key, REQUESTS.name, ALICE, BY)
      await scene.close(0)
      assert.deepEqual(await scene.history(BOB, REQUESTS), [])
      assert.equal(await scene.equation(SOMEBODY, REQUESTS), '2 = 0 + 0 + 0 + 2')
    })

    scenario('the status adds up the usage of all that nobody is known for', async scene => {
      await scene.append([entry(NOBODY, REQUESTS, 0, 5), entry(SOMEBODY, REQUESTS, 0, 2)])
      await scene.close(0)
      await scene.append([entry(NOBODY, REQUESTS, 1, 0.5), entry(SOMEBODY, REQUESTS, 1, 1)])
      const { unattributed } = await scene.ledger.status()
      assert.deepEqual(unattributed, [{ dimension: REQUESTS.name, amount: 8_500_000n }])
    })

    scenario("a licence's other label is the label of no other customer", async scene => {
      await scene.append([ALICE, CAROL, DORA].map(account => entry(account, REQUESTS, 0, 1)))
      await scene.use({ ...DORA, product: 'another label' }, REQUESTS, 0, 1)
      await scene.close(0)
      const products = (await scene.claim(closing(0))).map(({ account }) => `${account.accountId} ${account.product}`)
      assert.deepEqual(products.sort(), ['111111111111 prod-1', '333333333333 prod-2', '444444444444 another label'])
    })

    scenario('what is claimed for minutes, or waits for them, is with nobody else meanwhile', async scene => {
      const another = await scene.another()
      await scene.append(both(1, 0))
      await scene.close(0)
      const now = closing(0)
      const [waiting, claimed] = await scene.claim(now, { claimedUntil: now + 10 * MINUTE })
      assert.ok(waiting && claimed)
      await scene.settle([waiting], bounced(now + 20 * MINUTE), now)
      const [lane] = (await scene.ledger.due(now + 10 * MINUTE)).lanes
      assert.ok(lane)
      for (const [minutes, due] of [
        [0, 0],
        [5, 0],
        [9, 0],
        [10, 1],
      ] as const) {
        const at = now + minutes * MINUTE
        assert.equal((await scene.ledger.due(at)).lanes.length, due, `${minutes} minutes later`)
        const records = await another.claim(lane, { now: at, limit: 25, claimedUntil: at + 30 * MINUTE })
        assert.deepEqual(
          records.map(({ id }) => id),
          due === 0 ? [] : [claimed.id],
        )
      }
    })

    scenario('a restored balance is held at an hour that has no record, though the next one has', async scene => {
      await scene.append(both(1, 0))
      await scene.close(0)
      await scene.append(both(2, 1))
      const now = hour(1) + 30 * MINUTE
      await scene.ledger.finalize(ALICE, { ...closeOptions(now), endedAt: now })
      await scene.use(ALICE, REQUESTS, 1, 3)
      await scene.ledger.declareRestored({ ...BY, now: now + MINUTE })
      const hours = async (account: typeof ALICE) => {
        const records = await scene.ledger.records({ customer: account.key })
        return records.map(({ hour: at, state }) => `${(at - hour(0)) / (60 * MINUTE)} ${state}`)
      }
      assert.deepEqual(await hours(ALICE), ['2 held', '1 pending', '0 pending'])
      assert.deepEqual(await hours(BOB), ['1 held', '0 pending'])
    })
  })

  describe(`${name}: history`, () => {
    scenario('prune leaves what is younger than was asked for, and statements of its hours', async scene => {
      for (const n of [0, 1, 2, 3]) {
        await scene.append([entry(ALICE, REQUESTS, n, 10 + n), entry(BOB, REQUESTS, n, 20)])
        await scene.close(n)
        await scene.send(METERED, closing(n))
      }
      await billedIn(scene, 99, 1)
      const since = () => scene.ledger.statement({ from: hour(2) })
      const [whole, younger] = [await scene.ledger.statement(), await since()]
      assert.deepEqual(
        younger.map(line => line.recorded / UNIT),
        [25n, 40n, 1n],
      )
      assert.equal(await scene.ledger.prune(hour(2)), 4)
      assert.deepEqual(await since(), younger)
      assert.deepEqual(await scene.ledger.statement(), whole)
      assert.deepEqual(await scene.history(ALICE, REQUESTS), ['3:13 metered', '2:12 metered'])
      assert.equal(await scene.ledger.prune(hour(2)), 0)
    })

    scenario('a statement may have an end and no beginning', async scene => {
      await scene.append([entry(ALICE, REQUESTS, 0, 1), entry(ALICE, REQUESTS, 1, 2)])
      await scene.close(0)
      await scene.use(ALICE, REQUESTS, 2, 4)
      const upTo = async (n: number) => {
        const [line] = await scene.ledger.statement({ to: hour(n) })
        return line && [line.recorded / UNIT, line.pending / UNIT, line.balance / UNIT]
      }
      assert.deepEqual(await upTo(0), undefined)
      assert.deepEqual(await upTo(1), [1n, 1n, 0n])
      assert.deepEqual(await upTo(2), [3n, 1n, 2n])
    })
  })
}
