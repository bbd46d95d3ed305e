import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { MINUTE } from '../../../src/ledger/hours.ts'
import {
  ALICE,
  BOB,
  bounced,
  CAROL,
  closing,
  DORA,
  ERIN,
  entry,
  hour,
  lost,
  MARGIN,
  METERED,
  REQUESTS,
  TOKENS,
  UNIT,
} from '../scene.ts'
import type { Scenario } from './scenario.ts'

export function claims(name: string, scenario: Scenario): void {
  describe(`${name}: claims`, () => {
    scenario('a record is with one caller at a time, until the claim expires', async scene => {
      const another = await scene.another()
      await scene.append([ALICE, BOB, ERIN].map(account => entry(account, REQUESTS, 0, 1)))
      await scene.close(0)
      const now = closing(0)
      const [lane] = (await scene.ledger.due(now)).lanes
      assert.ok(lane)
      const options = { now, limit: 2, claimedUntil: now + MINUTE }
      const claims = await Promise.all([scene.ledger.claim(lane, options), another.claim(lane, options)])
      assert.equal(new Set(claims.flat().map(record => record.id)).size, 3)
      assert.equal(claims.flat().length, 3)
      assert.deepEqual((await scene.ledger.due(now + MINUTE - 1)).lanes, [])
      assert.deepEqual(await another.claim(lane, { ...options, now: now + MINUTE - 1 }), [])
      const again = await another.claim(lane, { now: now + MINUTE, limit: 25, claimedUntil: now + 2 * MINUTE })
      assert.deepEqual(
        again.map(record => record.attempts),
        [2, 2, 2],
      )
    })

    scenario('attempts are counted before they are made', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 1)
      await scene.close(0)
      assert.equal((await scene.only('pending')).attempts, 0)
      const [record] = await scene.claim(closing(0))
      assert.equal(record?.attempts, 1)
      await scene.reopen()
      const { attempts, inDoubt } = await scene.only('pending')
      assert.deepEqual({ attempts, inDoubt }, { attempts: 1, inDoubt: true })
    })

    const ANY = { claim: '', attempts: 0, unanswered: 0 }
    scenario('what was sent can be sent again, identically', async scene => {
      await scene.use(DORA, TOKENS, 0, 5000)
      await scene.close(0)
      const [first] = await scene.claim(closing(0))
      await scene.settle(first ? [first] : [], lost(closing(0) + MINUTE), closing(0))
      await scene.use(DORA, TOKENS, 0, 5000)
      await scene.ledger.register([{ ...TOKENS, size: UNIT }])
      await scene.reopen()
      const [second] = await scene.claim(closing(0) + MINUTE)
      assert.deepEqual({ ...second, ...ANY }, { ...first, ...ANY })
      assert.deepEqual(second?.account, DORA)
    })

    scenario('a claim may be of what was left without an answer so often', async scene => {
      for (const n of [0, 1, 2]) await scene.use(ALICE, REQUESTS, n, 1)
      await scene.close(2)
      const now = closing(2)
      const unanswered = async (from: number, below: number) => {
        const { lanes } = await scene.ledger.due(now)
        const options = { now, limit: 25, claimedUntil: now, unanswered: { from, below } }
        const claims = await Promise.all(lanes.map(lane => scene.ledger.claim(lane, options)))
        return claims.flat().map(record => [record.timestamp, record.unanswered])
      }
      const [first, second] = await scene.claim(now, { limit: 2 })
      await scene.settle(first ? [first] : [], lost(now), now)
      await scene.settle(second ? [second] : [], { type: 'retry', at: now, notTaken: true }, now)
      assert.deepEqual(await unanswered(1, 2), [[hour(1) - 1000, 2]])
      assert.deepEqual(await unanswered(1, 2), [])
      assert.deepEqual(await unanswered(0, 1), [
        [hour(2) - 1000, 1],
        [hour(3) - 1000, 1],
      ])
      assert.deepEqual((await unanswered(0, 9)).length, 3)
    })

    scenario('the earliest deadline goes first, as many as are asked for', async scene => {
      for (const n of [2, 0, 1]) await scene.use(ALICE, REQUESTS, n, 1)
      await scene.close(2)
      const now = closing(2)
      const first = await scene.claim(now, { limit: 2 })
      const rest = await scene.claim(now, { limit: 2 })
      assert.deepEqual(
        [...first, ...rest].map(record => record.timestamp),
        [1, 2, 3].map(n => hour(n) - 1000),
      )
    })

    scenario('lanes are by product, identity and region', async scene => {
      await scene.append([ALICE, BOB, CAROL, DORA, ERIN].map(account => entry(account, REQUESTS, 0, 1)))
      await scene.use(ALICE, REQUESTS, 1, 1)
      await scene.close(0)
      await scene.close(1, { region: 'eu-west-1' })
      const lanes = (await scene.ledger.due(closing(1))).lanes
      const named = lanes.map(({ product, identity, region }) => `${product} ${identity} ${region}`)
      assert.deepEqual(named.sort(), [
        'label licence us-east-1',
        'prod-1 product-code eu-west-1',
        'prod-1 product-code us-east-1',
        'prod-2 product-code us-east-1',
      ])
      for (const lane of lanes) {
        const records = await scene.ledger.claim(lane, { now: closing(1), limit: 25, claimedUntil: closing(2) })
        assert.ok(records.every(record => record.account.product === lane.product))
        assert.equal(records.length, lane.product === 'prod-1' && lane.region === 'us-east-1' ? 3 : 1)
      }
    })

    scenario('a record waits for its next attempt, and is not sent after its deadline', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 1)
      await scene.close(0)
      const now = closing(0)
      await scene.send(bounced(now + 20 * MINUTE), now)
      assert.deepEqual(await scene.ledger.due(now), { lanes: [], next: now + 20 * MINUTE })
      assert.deepEqual(await scene.claim(now + 20 * MINUTE - 1), [])
      await scene.send(bounced(hour(24) - 2 * MARGIN), now + 20 * MINUTE)
      assert.equal((await scene.claim(hour(24) - MARGIN)).length, 0)
      assert.equal((await scene.claim(hour(24) - MARGIN - 1)).length, 1)
    })

    scenario('there is a lane that is due, or a next attempt, as long as something is pending', async scene => {
      const now = closing(0)
      assert.deepEqual(await scene.ledger.due(now), { lanes: [] })
      await scene.append([entry(ALICE, REQUESTS, 0, 1), entry(CAROL, REQUESTS, 0, 1)])
      await scene.close(0)
      const named = async (now: number) => {
        const { lanes, next } = await scene.ledger.due(now)
        return { products: lanes.map(({ product }) => product).sort(), next }
      }
      assert.deepEqual(await named(now), { products: ['prod-1', 'prod-2'], next: undefined })
      const [lane] = (await scene.ledger.due(now)).lanes
      assert.ok(lane)
      const [first] = await scene.ledger.claim(lane, { now, limit: 25, claimedUntil: now + 9 * MINUTE })
      // One of them is due.
      assert.equal((await named(now)).products.length, 1)
      const rest = await scene.claim(now, { claimedUntil: now + 3 * MINUTE })
      assert.deepEqual(await named(now), { products: [], next: now + 3 * MINUTE })
      await scene.settle(rest, METERED, now)
      assert.deepEqual(await named(now), { products: [], next: now + 9 * MINUTE })
      assert.equal((await named(now + 9 * MINUTE)).products.length, 1)
      // After its deadline it is not sent any more.
      assert.deepEqual(await scene.ledger.due(hour(24)), { lanes: [] })
      await scene.settle(first ? [first] : [], METERED, now)
      assert.deepEqual(await scene.ledger.due(now), { lanes: [] })
    })
  })
}
