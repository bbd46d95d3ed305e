import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { HOUR, MINUTE } from '../../../src/ledger/hours.ts'
import type { Entitlement, EntitlementNews, Included, Ledger } from '../../../src/ledger/ledger.ts'
import type { CustomerAccount } from '../../../src/usage/account.ts'
import {
  ALICE,
  BOB,
  BY,
  CAROL,
  CONFLICT,
  closeOptions,
  closing,
  DORA,
  entry,
  GPU,
  GUARDED,
  hour,
  METERED,
  NOT_SUBSCRIBED,
  REQUESTS,
  type Scene,
  TOKENS,
  UNIT,
} from '../scene.ts'
import { code, DAY, type Scenario } from './scenario.ts'

const UNKNOWN = { after: 6 * 60 * MINUTE, outcome: 'hold' } as const
/** As AWS says. */
const ENTITLED: Included = { per: 'term', entitlement: 'committed', unknown: UNKNOWN }
/** The same for all. */
const HUNDRED: Included = { per: 'month', quantity: 100, unknown: UNKNOWN }
const PRODUCT = ALICE.product

const of = (account: CustomerAccount, amount: number, until?: number): Entitlement => ({
  ...{ account, dimension: REQUESTS.name, amount: BigInt(amount) * UNIT },
  ...(until !== undefined && { until }),
})

/** All that AWS says of the dimension, so long after the n-th hour began. */
const all = (n: number, minutes: number, ...entitlements: Entitlement[]): EntitlementNews => ({
  ...{ at: hour(n) + minutes * MINUTE, dimensions: [REQUESTS.name], entitlements, complete: true },
})

async function contract(ledger: Ledger, included: Included = ENTITLED, dimension = REQUESTS.name): Promise<void> {
  await ledger.registerIncluded(PRODUCT, { [dimension]: included }, BY)
}

/** Records usage of an hour, is told just after it what AWS says, and closes it. */
async function hourOf(scene: Scene, n: number, amount: number, ...entitlements: Entitlement[]): Promise<void> {
  await scene.use(ALICE, REQUESTS, n, amount)
  await scene.ledger.noteEntitlements(PRODUCT, all(n + 1, 1, ...entitlements), BY)
  await scene.close(n)
}

export function entitlements(name: string, scenario: Scenario): void {
  describe(`${name}: what contracts include`, () => {
    scenario('an included quantity is used up first, and only what is beyond it is metered', async scene => {
      await contract(scene.ledger)
      await hourOf(scene, 0, 60, of(ALICE, 100))
      assert.equal(await scene.equation(ALICE, REQUESTS), '60 = 60 included + 0 + 0 + 0 + 0')
      await hourOf(scene, 1, 70, of(ALICE, 100))
      assert.equal(await scene.equation(ALICE, REQUESTS), '130 = 100 included + 0 + 30 + 0 + 0')
      await hourOf(scene, 2, 5, of(ALICE, 100))
      await scene.send(METERED, closing(2))
      assert.equal(await scene.equation(ALICE, REQUESTS), '135 = 100 included + 35 + 0 + 0 + 0')
      assert.deepEqual(await scene.history(ALICE, REQUESTS), ['2:5 metered', '1:30 metered'])
      const [told] = await scene.ledger.entitlements()
      assert.deepEqual([told?.account.key, told?.amount, told?.used], [ALICE.key, 100n * UNIT, 100n * UNIT])
    })

    scenario('usage waits until it is known what was included in its hour', async scene => {
      await contract(scene.ledger)
      await scene.use(ALICE, REQUESTS, 0, 60)
      await scene.close(0)
      assert.equal(await scene.equation(ALICE, REQUESTS), '60 = 0 + 0 + 0 + 60')
      // What was so before the hour's end says nothing of all of it.
      await scene.ledger.noteEntitlements(PRODUCT, all(1, 59, of(ALICE, 50)), BY)
      await scene.close(1)
      assert.equal(await scene.equation(ALICE, REQUESTS), '60 = 0 + 0 + 0 + 60')
      await scene.ledger.noteEntitlements(PRODUCT, all(3, 0, of(ALICE, 50)), BY)
      await scene.close(2)
      assert.equal(await scene.equation(ALICE, REQUESTS), '60 = 50 included + 0 + 10 + 0 + 0')
    })

    scenario('what waited draws on the term of its own hour, though another has begun since', async scene => {
      const [end, next] = [hour(2), hour(2) + 365 * DAY]
      await contract(scene.ledger)
      await hourOf(scene, 0, 10, of(ALICE, 100, end))
      await scene.use(ALICE, REQUESTS, 1, 70)
      await scene.close(1)
      await scene.use(ALICE, REQUESTS, 2, 50)
      await scene.close(2)
      assert.equal(await scene.equation(ALICE, REQUESTS), '130 = 10 included + 0 + 0 + 0 + 120')
      await hourOf(scene, 3, 5, of(ALICE, 30, next))
      // 80 of the first term's 100, and all of the second's: that has 55.
      assert.equal(await scene.equation(ALICE, REQUESTS), '135 = 110 included + 0 + 25 + 0 + 0')
      const told = await scene.ledger.entitlements()
      assert.deepEqual(
        told.map(({ used }) => used),
        [80n * UNIT, 30n * UNIT],
      )
      // It waits no more: what returns of it is metered again.
      await scene.ledger.expire(hour(3) + DAY)
      assert.equal(await scene.equation(ALICE, REQUESTS), '135 = 110 included + 0 + 0 + 0 + 25')
      await hourOf(scene, 27, 5, of(ALICE, 30, next))
      assert.equal(await scene.equation(ALICE, REQUESTS), '140 = 110 included + 0 + 30 + 0 + 0')
    })

    scenario.ofRules('what waited over the turn of a month draws on the month of its own hour', async scene => {
      await contract(scene.ledger, { ...ENTITLED, per: 'month' })
      // The last of March.
      const last = (Date.UTC(2026, 3, 1) - hour(0)) / HOUR - 1
      await hourOf(scene, last - 1, 10, of(ALICE, 100))
      await scene.use(ALICE, REQUESTS, last, 70)
      await scene.close(last)
      await scene.use(ALICE, REQUESTS, last + 1, 120)
      await scene.close(last + 1)
      await hourOf(scene, last + 2, 20, of(ALICE, 100))
      // 80 of March, 100 of April.
      assert.equal(await scene.equation(ALICE, REQUESTS), '220 = 180 included + 0 + 40 + 0 + 0')
      await hourOf(scene, last + 3, 1, of(ALICE, 100))
      assert.equal(await scene.equation(ALICE, REQUESTS), '221 = 180 included + 0 + 41 + 0 + 0')
    })

    scenario.ofRules('of what waits, what is gone meanwhile draws on nothing', async scene => {
      const [end, next] = [hour(2), hour(2) + 365 * DAY]
      await contract(scene.ledger)
      await hourOf(scene, 0, 10, of(ALICE, 100, end))
      await scene.use(ALICE, REQUESTS, 1, 70)
      await scene.close(1)
      await scene.ledger.writeOff(ALICE.key, REQUESTS.name, BY)
      await hourOf(scene, 3, 50, of(ALICE, 30, next))
      assert.equal(await scene.equation(ALICE, REQUESTS), '60 = 40 included + 0 + 20 + 0 + 0')
    })

    for (const [outcome, expected] of [
      ['hold', '60 = 0 + 0 + 60 + 0'],
      ['meter', '60 = 20 included + 0 + 40 + 0 + 0'],
    ] as const) {
      scenario(`what is not known in time is what was asked for: ${outcome}`, async scene => {
        await contract(scene.ledger, { ...ENTITLED, unknown: { ...UNKNOWN, outcome } })
        await scene.ledger.noteEntitlements(PRODUCT, all(0, 1, of(ALICE, 20)), BY)
        await scene.use(ALICE, REQUESTS, 0, 60)
        for (const n of [0, 1, 2, 3, 4]) await scene.close(n)
        assert.equal(await scene.equation(ALICE, REQUESTS), '60 = 0 + 0 + 0 + 60')
        await scene.close(5)
        assert.equal(await scene.equation(ALICE, REQUESTS), expected)
        if (outcome === 'meter') return
        const held = await scene.only('held')
        assert.equal(held.reason, 'entitlement-unknown')
        await scene.ledger.noteEntitlements(PRODUCT, all(7, 1, of(ALICE, 20)), BY)
        await scene.ledger.decide(held.id, 'release', { ...BY, now: closing(6) })
        await scene.close(6)
        assert.equal(await scene.equation(ALICE, REQUESTS), '60 = 20 included + 0 + 40 + 0 + 0')
      })
    }

    scenario('who has no entitlement is metered, and other products and dimensions are as ever', async scene => {
      await contract(scene.ledger)
      await scene.append([
        ...[ALICE, BOB, CAROL, DORA].map(account => entry(account, REQUESTS, 0, 10)),
        entry(ALICE, TOKENS, 0, 5000),
      ])
      await scene.ledger.noteEntitlements(PRODUCT, all(1, 1, of(ALICE, 100)), BY)
      await scene.close(0)
      assert.equal(await scene.equation(ALICE, REQUESTS), '10 = 10 included + 0 + 0 + 0 + 0')
      for (const other of [BOB, CAROL, DORA]) assert.equal(await scene.equation(other, REQUESTS), '10 = 0 + 10 + 0 + 0')
      assert.equal(await scene.equation(ALICE, TOKENS), '5000 = 0 + 5000 + 0 + 0')
    })

    scenario('late usage is included too, fractions stay, and what returns is metered again', async scene => {
      await contract(scene.ledger, ENTITLED, TOKENS.name)
      const told = (n: number): EntitlementNews => ({
        ...{ at: hour(n) + MINUTE, dimensions: [TOKENS.name], complete: true },
        entitlements: [{ account: ALICE, dimension: TOKENS.name, amount: 2500n * UNIT }],
      })
      await scene.use(ALICE, TOKENS, 0, 1700)
      await scene.ledger.noteEntitlements(PRODUCT, told(1), BY)
      await scene.close(0)
      assert.equal(await scene.equation(ALICE, TOKENS), '1700 = 1000 included + 0 + 0 + 0 + 700')
      await scene.use(ALICE, TOKENS, 0, 1800)
      await scene.ledger.noteEntitlements(PRODUCT, told(2), BY)
      await scene.close(1)
      // 1,500 are left: one whole unit, and the other is beyond it.
      assert.equal(await scene.equation(ALICE, TOKENS), '3500 = 2000 included + 0 + 1000 + 0 + 500')
      await scene.ledger.expire(hour(1) + DAY)
      assert.equal(await scene.equation(ALICE, TOKENS), '3500 = 2000 included + 0 + 0 + 0 + 1500')
      await scene.ledger.noteEntitlements(PRODUCT, told(26), BY)
      await scene.close(25)
      assert.equal(await scene.equation(ALICE, TOKENS), '3500 = 2000 included + 0 + 1000 + 0 + 500')
    })

    scenario.ofRules('each month begins anew, by the hours that usage is closed in', async scene => {
      await contract(scene.ledger, HUNDRED)
      // The tests' hours begin in the middle of March; the last of the month is the 527th.
      const last = (Date.UTC(2026, 3, 1) - hour(0)) / (60 * MINUTE) - 1
      await scene.use(ALICE, REQUESTS, last, 80)
      await scene.close(last)
      await scene.use(ALICE, REQUESTS, last + 1, 80)
      await scene.close(last + 1)
      assert.equal(await scene.equation(ALICE, REQUESTS), '160 = 160 included + 0 + 0 + 0 + 0')
      await scene.use(ALICE, REQUESTS, last + 2, 80)
      await scene.close(last + 2)
      assert.equal(await scene.equation(ALICE, REQUESTS), '240 = 180 included + 0 + 60 + 0 + 0')
      const [told] = await scene.ledger.entitlements({ customer: ALICE.accountId as string })
      assert.deepEqual([told?.amount, told?.used, told?.usedSince], [100n * UNIT, 100n * UNIT, Date.UTC(2026, 3, 1)])
    })

    scenario.ofRules('an amendment changes what is left, and never takes back what was used', async scene => {
      await contract(scene.ledger)
      await hourOf(scene, 0, 60, of(ALICE, 100, hour(500)))
      await hourOf(scene, 1, 60, of(ALICE, 150, hour(500)))
      assert.equal(await scene.equation(ALICE, REQUESTS), '120 = 120 included + 0 + 0 + 0 + 0')
      await hourOf(scene, 2, 60, of(ALICE, 50, hour(700)))
      assert.equal(await scene.equation(ALICE, REQUESTS), '180 = 120 included + 0 + 60 + 0 + 0')
      await hourOf(scene, 3, 60, of(ALICE, 200, hour(700)))
      assert.equal(await scene.equation(ALICE, REQUESTS), '240 = 180 included + 0 + 60 + 0 + 0')
    })

    scenario.ofRules('a renewal begins a new term, whether AWS tells before or after it', async scene => {
      await contract(scene.ledger)
      const [first, second, third] = [hour(2), hour(2) + 365 * DAY, hour(2) + 730 * DAY]
      await hourOf(scene, 0, 90, of(ALICE, 100, first))
      // Told an hour before its end.
      await hourOf(scene, 1, 90, of(ALICE, 100, second))
      assert.equal(await scene.equation(ALICE, REQUESTS), '180 = 100 included + 0 + 80 + 0 + 0')
      await hourOf(scene, 2, 90, of(ALICE, 100, second))
      assert.equal(await scene.equation(ALICE, REQUESTS), '270 = 190 included + 0 + 80 + 0 + 0')
      // Moved by half a year in the middle of the term, it is the same.
      await hourOf(scene, 3, 90, of(ALICE, 100, third))
      assert.equal(await scene.equation(ALICE, REQUESTS), '360 = 200 included + 0 + 160 + 0 + 0')
    })

    scenario.ofRules(
      'an entitlement that AWS lists beyond its date goes on, and its renewal begins with that date',
      async scene => {
        await contract(scene.ledger)
        await hourOf(scene, 0, 60, of(ALICE, 100, hour(1)))
        await hourOf(scene, 1, 30, of(ALICE, 100, hour(1)))
        assert.equal(await scene.equation(ALICE, REQUESTS), '90 = 90 included + 0 + 0 + 0 + 0')
        await hourOf(scene, 2, 90, of(ALICE, 100, hour(1) + 365 * DAY))
        assert.equal(await scene.equation(ALICE, REQUESTS), '180 = 180 included + 0 + 0 + 0 + 0')
        // Without a renewal it ends when AWS lists it no more.
        await hourOf(scene, 0, 1, of(BOB, 100, hour(3)))
        await hourOf(scene, 3, 1, of(BOB, 100, hour(3)))
        await hourOf(scene, 4, 1)
        await scene.use(BOB, REQUESTS, 6, 60)
        await hourOf(scene, 6, 1)
        assert.equal(await scene.equation(BOB, REQUESTS), '60 = 0 + 60 + 0 + 0')
      },
    )

    scenario.ofRules('an entitlement that vanishes covers what it did; as it was before, it goes on', async scene => {
      await contract(scene.ledger)
      await hourOf(scene, 0, 60, of(ALICE, 100, hour(500)))
      await hourOf(scene, 1, 10)
      // It was there in the beginning of that hour.
      assert.equal(await scene.equation(ALICE, REQUESTS), '70 = 70 included + 0 + 0 + 0 + 0')
      await hourOf(scene, 3, 10)
      assert.equal(await scene.equation(ALICE, REQUESTS), '80 = 70 included + 0 + 10 + 0 + 0')
      await hourOf(scene, 4, 60, of(ALICE, 100, hour(500)))
      assert.equal(await scene.equation(ALICE, REQUESTS), '140 = 100 included + 0 + 40 + 0 + 0')
    })

    scenario('news that are late, doubled or older say nothing', async scene => {
      await contract(scene.ledger)
      const note = (news: EntitlementNews) => scene.ledger.noteEntitlements(PRODUCT, news, BY)
      assert.equal(await note(all(1, 1, of(ALICE, 100))), 1)
      assert.equal(await note(all(1, 1, of(ALICE, 100))), 0)
      assert.equal(await note(all(1, 2, of(ALICE, 100), of(BOB, 5))), 1)
      assert.equal(await note(all(1, 0, of(ALICE, 7))), 0)
      assert.deepEqual(
        (await scene.ledger.entitlements()).map(({ account, amount }) => [account.key, amount]),
        [
          [ALICE.key, 100n * UNIT],
          [BOB.key, 5n * UNIT],
        ],
      )
      const [known] = await scene.ledger.included()
      assert.equal(known?.knownUntil, hour(1) + 2 * MINUTE)
    })

    scenario('an older list says nothing of whom a later one has not', async scene => {
      await contract(scene.ledger)
      assert.equal(await scene.ledger.noteEntitlements(PRODUCT, all(1, 2), BY), 0)
      assert.equal(await scene.ledger.noteEntitlements(PRODUCT, all(1, 1, of(ALICE, 100)), BY), 0)
      await scene.use(ALICE, REQUESTS, 0, 60)
      await scene.close(0)
      assert.equal(await scene.equation(ALICE, REQUESTS), '60 = 0 + 60 + 0 + 0')
    })

    scenario('what a clock that was ahead has read says nothing when it is right again', async scene => {
      await contract(scene.ledger)
      const note = (n: number, amount: number) =>
        scene.ledger.noteEntitlements(PRODUCT, all(n, 1, of(ALICE, amount)), { ...BY, now: hour(n) + MINUTE })
      await note(400, 100)
      await scene.use(ALICE, REQUESTS, 0, 60)
      await scene.close(0)
      assert.equal(await scene.equation(ALICE, REQUESTS), '60 = 0 + 0 + 0 + 60')
      assert.equal(await note(2, 20), 1)
      await scene.close(1)
      assert.equal(await scene.equation(ALICE, REQUESTS), '60 = 20 included + 0 + 40 + 0 + 0')
      assert.equal((await scene.ledger.included())[0]?.knownUntil, hour(2) + MINUTE)
    })

    scenario('what somebody tells of one customer is of nobody else', async scene => {
      await contract(scene.ledger, HUNDRED)
      const one = { ...all(0, 1, of(ALICE, 7)), complete: false }
      await scene.ledger.noteEntitlements(PRODUCT, one, BY)
      await scene.append([ALICE, BOB].map(account => entry(account, REQUESTS, 0, 200)))
      await scene.close(0)
      assert.equal(await scene.equation(ALICE, REQUESTS), '200 = 7 included + 0 + 193 + 0 + 0')
      assert.equal(await scene.equation(BOB, REQUESTS), '200 = 100 included + 0 + 100 + 0 + 0')
    })

    scenario.ofRules('what was used of what all have is used of what a customer has instead', async scene => {
      await contract(scene.ledger, HUNDRED)
      await scene.use(ALICE, REQUESTS, 0, 30)
      await scene.close(0)
      await scene.ledger.noteEntitlements(PRODUCT, { ...all(1, 1, of(ALICE, 150)), complete: false }, BY)
      await scene.use(ALICE, REQUESTS, 1, 200)
      await scene.close(1)
      assert.equal(await scene.equation(ALICE, REQUESTS), '230 = 150 included + 0 + 80 + 0 + 0')
      assert.equal((await scene.ledger.entitlements()).length, 1)
    })

    scenario.ofRules(
      'what AWS said of an entitlement says nothing of a quantity that all have instead',
      async scene => {
        await contract(scene.ledger)
        await hourOf(scene, 0, 10, of(ALICE, 10))
        await contract(scene.ledger, HUNDRED)
        await scene.append([ALICE, BOB].map(account => entry(account, REQUESTS, 1, 70)))
        await scene.close(1)
        assert.equal(await scene.equation(BOB, REQUESTS), '70 = 70 included + 0 + 0 + 0 + 0')
        assert.equal(await scene.equation(ALICE, REQUESTS), '80 = 80 included + 0 + 0 + 0 + 0')
        const told = await scene.ledger.entitlements({ customer: ALICE.key })
        assert.deepEqual(
          told.map(({ amount, used }) => [amount, used]),
          [[100n * UNIT, 70n * UNIT]],
        )
        // What a person says of the customer counts what was used of that, and AWS's answers count again with its entitlement.
        await scene.ledger.noteEntitlements(PRODUCT, { ...all(2, 1, of(ALICE, 90)), complete: false }, BY)
        await scene.use(ALICE, REQUESTS, 2, 30)
        await scene.close(2)
        assert.equal(await scene.equation(ALICE, REQUESTS), '110 = 100 included + 0 + 10 + 0 + 0')
        await contract(scene.ledger)
        await hourOf(scene, 3, 60, of(ALICE, 50))
        assert.equal(await scene.equation(ALICE, REQUESTS), '170 = 140 included + 0 + 30 + 0 + 0')
      },
    )

    scenario.ofRules(
      'what is used of what all have is remembered, however often a contract was renewed before',
      async scene => {
        await contract(scene.ledger)
        for (const n of [1, 2, 3, 4, 5]) {
          await scene.ledger.noteEntitlements(PRODUCT, all(n, 1, of(ALICE, 10, hour(n + 1))), BY)
        }
        await contract(scene.ledger, HUNDRED)
        for (const n of [7, 8]) {
          await scene.use(ALICE, REQUESTS, n, 80)
          await scene.close(n)
        }
        assert.equal(await scene.equation(ALICE, REQUESTS), '160 = 100 included + 0 + 60 + 0 + 0')
        await scene.ledger.noteEntitlements(PRODUCT, { ...all(9, 1, of(ALICE, 120)), complete: false }, BY)
        await scene.use(ALICE, REQUESTS, 9, 80)
        await scene.close(9)
        assert.equal(await scene.equation(ALICE, REQUESTS), '240 = 120 included + 0 + 120 + 0 + 0')
      },
    )

    scenario('at the end of an agreement what is owed is divided by what is known', async scene => {
      await contract(scene.ledger)
      await scene.use(ALICE, REQUESTS, 0, 60)
      await scene.ledger.noteEntitlements(PRODUCT, all(0, 10, of(ALICE, 40)), BY)
      const endedAt = hour(0) + 20 * MINUTE
      await scene.ledger.finalize(ALICE, { ...closeOptions(endedAt + MINUTE), endedAt })
      assert.equal(await scene.equation(ALICE, REQUESTS), '60 = 40 included + 0 + 20 + 0 + 0')
    })

    scenario('usage of an hour outside the agreement is not included', async scene => {
      await contract(scene.ledger, HUNDRED)
      const endedAt = hour(1)
      await scene.ledger.noteAgreement(ALICE, { what: 'ended', at: endedAt }, closeOptions(endedAt + MINUTE))
      await scene.use(ALICE, REQUESTS, 1, 10)
      await scene.close(1)
      assert.equal(await scene.equation(ALICE, REQUESTS), '10 = 0 + 0 + 10 + 0')
    })

    scenario('what was held as of after the agreement is divided where an agreement is told late', async scene => {
      await contract(scene.ledger, HUNDRED)
      const news = (what: 'ended' | 'active', at: number, now: number) =>
        scene.ledger.noteAgreement(ALICE, { what, at }, closeOptions(now))
      await news('ended', hour(1), hour(1) + MINUTE)
      await scene.append([entry(ALICE, REQUESTS, 1, 70), entry(ALICE, TOKENS, 1, 5000)])
      await scene.close(1)
      assert.equal(await scene.equation(ALICE, REQUESTS), '70 = 0 + 0 + 70 + 0')
      // AWS told of the end before the renewal, and out of order.
      await news('active', hour(1) + 1000, closing(1) + MINUTE)
      assert.equal(await scene.equation(ALICE, REQUESTS), '70 = 0 + 0 + 0 + 70')
      assert.equal(await scene.equation(ALICE, TOKENS), '5000 = 0 + 5000 + 0 + 0')
      await scene.use(ALICE, REQUESTS, 2, 70)
      await scene.close(2)
      assert.equal(await scene.equation(ALICE, REQUESTS), '140 = 100 included + 0 + 40 + 0 + 0')
    })

    scenario.ofRules('an agreement after another is another term', async scene => {
      await contract(scene.ledger)
      await hourOf(scene, 0, 100, of(ALICE, 100))
      const news = (what: 'ended' | 'active', at: number) =>
        scene.ledger.noteAgreement(ALICE, { what, at }, closeOptions(at + MINUTE))
      await news('ended', hour(1) + 10 * MINUTE)
      await news('active', hour(1) + 20 * MINUTE)
      await hourOf(scene, 1, 30, of(ALICE, 100))
      await hourOf(scene, 2, 30, of(ALICE, 100))
      // The hour that both are in is the first's.
      assert.equal(await scene.equation(ALICE, REQUESTS), '160 = 130 included + 0 + 30 + 0 + 0')
    })

    scenario('what a guard holds is not taken from the contract until it is released', async scene => {
      await contract(scene.ledger, { ...HUNDRED, quantity: 1000 }, GUARDED.name)
      await scene.use(ALICE, GUARDED, 0, 250)
      await scene.close(0)
      assert.equal(await scene.equation(ALICE, GUARDED), '250 = 0 + 0 + 250 + 0')
      const { id } = await scene.only('held')
      await scene.ledger.decide(id, 'release', BY)
      await scene.close(1)
      assert.equal(await scene.equation(ALICE, GUARDED), '250 = 250 included + 0 + 0 + 0 + 0')
    })

    scenario.ofRules('a smaller size does not change what was included', async scene => {
      await contract(scene.ledger, { ...HUNDRED, quantity: 2 }, GPU.name)
      await scene.use(ALICE, GPU, 0, 3600)
      await scene.close(0)
      await scene.ledger.register([{ ...GPU, size: 1800n * UNIT }])
      await scene.use(ALICE, GPU, 1, 3600)
      await scene.close(1)
      // Two units of the size that is in force now: all of them are used.
      assert.equal(await scene.equation(ALICE, GPU), '7200 = 3600 included + 0 + 3600 + 0 + 0')
    })

    scenario('a record beside it keeps what happens to records', async scene => {
      await contract(scene.ledger, { ...HUNDRED, quantity: 10 })
      await scene.use(ALICE, REQUESTS, 0, 30)
      await scene.close(0)
      await scene.send(CONFLICT, closing(0))
      assert.equal(await scene.equation(ALICE, REQUESTS), '30 = 10 included + 0 + 0 + 20 + 0')
      await scene.use(BOB, REQUESTS, 1, 30)
      await scene.close(1)
      await scene.send(NOT_SUBSCRIBED, closing(1))
      assert.equal(await scene.equation(BOB, REQUESTS), '30 = 10 included + 0 + 0 + 20 + 0')
    })

    scenario('an hour in which all is included is idle for AWS', async scene => {
      await contract(scene.ledger, HUNDRED)
      const zero = { zeroQuantityRecords: true }
      await scene.use(ALICE, REQUESTS, 0, 30)
      await scene.close(0, zero)
      await scene.close(1, zero)
      assert.deepEqual(await scene.history(ALICE, REQUESTS), ['0:0 pending'])
      assert.equal(await scene.equation(ALICE, REQUESTS), '30 = 30 included + 0 + 0 + 0 + 0')
    })

    scenario('two that close at once draw once, and so does one that opens the ledger again', async scene => {
      await contract(scene.ledger, { ...HUNDRED, quantity: 50 })
      await scene.use(ALICE, REQUESTS, 0, 80)
      const other = await scene.another()
      await Promise.all([scene.close(0), other.closeHours(closeOptions(closing(0)))])
      await scene.reopen()
      await scene.close(0)
      assert.equal(await scene.equation(ALICE, REQUESTS), '80 = 50 included + 0 + 30 + 0 + 0')
      await scene.use(ALICE, REQUESTS, 1, 20)
      await scene.close(1)
      assert.equal(await scene.equation(ALICE, REQUESTS), '100 = 50 included + 0 + 50 + 0 + 0')
    })

    scenario('what is registered holds for whoever closes, and is said in the audit trail', async scene => {
      await contract(scene.ledger)
      await contract(scene.ledger)
      await contract(scene.ledger, HUNDRED)
      await scene.ledger.registerIncluded('other', {}, BY)
      const [known, ...more] = await scene.ledger.included()
      assert.deepEqual(more, [])
      const { since, ...said } = known ?? { since: 0 }
      assert.deepEqual(said, { ...HUNDRED, product: PRODUCT, dimension: REQUESTS.name })
      assert.equal(since, BY.now)
      // Who says nothing of it, such as a process with older options, takes nothing back.
      await scene.ledger.registerIncluded(PRODUCT, {}, BY)
      assert.equal((await scene.ledger.included()).length, 1)
      await scene.ledger.registerIncluded(PRODUCT, { [REQUESTS.name]: null }, BY)
      assert.deepEqual(await scene.ledger.included(), [])
      const details = (await scene.ledger.audit({ actions: ['entitlement'] })).map(({ detail }) => detail)
      assert.equal(details.length, 3)
      assert.match(details[0] ?? '', /→ nothing$/)
      await scene.use(ALICE, REQUESTS, 0, 10)
      await scene.close(0)
      assert.equal(await scene.equation(ALICE, REQUESTS), '10 = 0 + 10 + 0 + 0')
    })

    scenario('a period says what was included in it, and a pruned hour stays in the totals', async scene => {
      await contract(scene.ledger, { ...HUNDRED, quantity: 40 })
      for (const n of [0, 1]) {
        await scene.use(ALICE, REQUESTS, n, 30)
        await scene.close(n)
      }
      const [first] = await scene.ledger.statement({ from: hour(0), to: hour(1), by: 'hour' })
      assert.deepEqual([first?.included, first?.balance, first?.span?.quantities.included], [30n * UNIT, 0n, 30n])
      const [second] = await scene.ledger.statement({ from: hour(1), to: hour(2) })
      assert.deepEqual([second?.included, second?.pending, second?.balance], [10n * UNIT, 20n * UNIT, 0n])
      await scene.send(METERED, closing(1))
      await scene.use(CAROL, REQUESTS, 60, 1)
      await scene.close(60)
      await scene.send(METERED, closing(60))
      await scene.ledger.prune(hour(30), BY)
      assert.equal(await scene.equation(ALICE, REQUESTS), '60 = 40 included + 20 + 0 + 0 + 0')
    })

    scenario('news that cannot be so are refused', async scene => {
      const refused = code('ERR_LEDGER_INVALID')
      await assert.rejects(scene.ledger.noteEntitlements(PRODUCT, all(0, 1, of(ALICE, 1)), BY), refused)
      await contract(scene.ledger)
      await assert.rejects(scene.ledger.noteEntitlements(PRODUCT, all(0, 1, of(ALICE, -1)), BY), refused)
      const other = { ...of(ALICE, 1), dimension: TOKENS.name }
      await assert.rejects(scene.ledger.noteEntitlements(PRODUCT, all(0, 1, other), BY), refused)
      await assert.rejects(
        scene.ledger.registerIncluded(PRODUCT, { unheard: HUNDRED }, BY),
        /"?unheard"? is not registered|unheard/,
      )
    })
  })
}
