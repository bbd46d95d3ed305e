import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { HOUR, MINUTE, SECOND } from '../../../src/ledger/hours.ts'
import type { AgreementNews, AgreementOptions, Outcome } from '../../../src/ledger/ledger.ts'
import { type CustomerAccount, customerAccount } from '../../../src/usage/account.ts'
import {
  ALICE,
  BY,
  bounced,
  closeOptions,
  closing,
  DORA,
  hour,
  lost,
  MARGIN,
  METERED,
  NOT_SUBSCRIBED,
  REQUESTS,
  type Scene,
  TOKENS,
} from '../scene.ts'
import { code, type Scenario } from './scenario.ts'

/** AWS says of a record alone that it is out of its licence's time. */
const OUT_OF_LICENCE: Outcome = { type: 'not-subscribed', licence: true }

const arn = (n: number) => `arn:aws:license-manager::555555555555:license:l-${n}`
const licensed = (n: number) => customerAccount({ product: 'label', accountId: '444444444444', licenseArn: arn(n) })
/** The same AWS account by a product code. */
const coded = (product: string) => customerAccount({ product, accountId: '444444444444' })

export function agreements(name: string, scenario: Scenario): void {
  describe(`${name}: agreements`, () => {
    const tell = (
      scene: Scene,
      customer: CustomerAccount,
      what: AgreementNews['what'],
      at: number,
      now = at,
      options: Partial<AgreementOptions & AgreementNews> = {},
    ) => {
      const { tenant, productCode, customerIdentifier, ...terms } = options
      const names = {
        ...(tenant !== undefined && { tenant }),
        ...(productCode !== undefined && { productCode }),
        ...(customerIdentifier !== undefined && { customerIdentifier }),
      }
      return scene.ledger.noteAgreement(customer, { what, at, ...names }, { ...closeOptions(now), ...terms })
    }

    scenario('what is told late, twice and out of order is the same in the end', async scene => {
      const told = [
        ['registered', hour(0)],
        ['active', hour(0) + 73 * SECOND],
        ['ended', hour(3)],
        ['active', hour(4)],
        ['active', hour(5)],
      ] as const
      for (const at of [2, 4, 0, 2, 3, 1, 0]) {
        const [what, time] = told[at] as (typeof told)[number]
        await tell(scene, DORA, what, time, hour(6), { ...(at === 0 && { tenant: 'acme' }) })
      }
      const known = { account: DORA, state: 'active', since: hour(4), tenant: 'acme' }
      assert.deepEqual(await scene.ledger.agreements(), [known])
      await scene.reopen()
      assert.deepEqual(await scene.ledger.agreements({ tenant: 'acme' }), [known])
      assert.deepEqual(await scene.ledger.agreements({ customer: arn(1) }), [known])
      assert.deepEqual(await scene.ledger.agreements({ tenant: 'other' }), [])
      await tell(scene, ALICE, 'active', hour(0), hour(6), { customerIdentifier: 'acme' })
      assert.deepEqual(
        (await scene.ledger.agreements({ customer: 'acme' })).map(({ account }) => account),
        [ALICE],
      )
      const said = await scene.ledger.audit({ customer: DORA.key })
      assert.equal(said.filter(({ action }) => action === 'agreement').length, 4)
      assert.equal(said.filter(({ action }) => action === 'finalize').length, 1)
      // No older news revives what has ended since.
      await tell(scene, DORA, 'ended', hour(6))
      const { changed } = await tell(scene, DORA, 'active', hour(5) + MINUTE, hour(6))
      assert.ok(changed)
      const [agreement] = await scene.ledger.agreements()
      assert.deepEqual([agreement?.state, agreement?.since, agreement?.until], ['ended', hour(4), hour(6)])
      await assert.rejects(tell(scene, DORA, 'active', new Date(hour(6)) as never), code('ERR_LEDGER_INVALID'))
    })

    scenario('what is used inside an agreement waits until AWS takes it, each in its own hour', async scene => {
      await tell(scene, DORA, 'registered', hour(0) + MINUTE)
      for (const n of [0, 1]) {
        await scene.use(DORA, REQUESTS, n, n + 1)
        await scene.close(n)
        const [settled] = await scene.send(NOT_SUBSCRIBED, closing(n))
        assert.deepEqual([settled?.state, settled?.reason], ['pending', 'not-subscribed'])
      }
      assert.equal((await scene.ledger.agreements())[0]?.refusedSince, closing(0))
      // Seldom, while nobody tells anything; at once when it is said to be active.
      assert.equal((await scene.claim(closing(1) + 4 * MINUTE)).length, 0)
      await tell(scene, DORA, 'active', closing(1) + 4 * MINUTE)
      const taken = await scene.send(METERED, closing(1) + 4 * MINUTE)
      assert.deepEqual(taken.map(({ record }) => record.timestamp).sort(), [hour(1) - SECOND, hour(2) - SECOND])
      assert.equal((await scene.ledger.agreements())[0]?.refusedSince, undefined)
      assert.equal(await scene.equation(DORA, REQUESTS), '3 = 3 + 0 + 0 + 0')
    })

    scenario.ofRules('what AWS did not take in time is held, and not billed with a later hour', async scene => {
      await tell(scene, DORA, 'active', hour(0))
      await scene.use(DORA, REQUESTS, 0, 1)
      await scene.use(DORA, REQUESTS, 1, 1)
      await scene.close(0)
      await scene.send(NOT_SUBSCRIBED, closing(0))
      await scene.close(1)
      const [first, second] = await scene.claim(closing(1))
      assert.ok(first !== undefined && second !== undefined)
      await scene.settle([first], NOT_SUBSCRIBED, closing(1))
      await scene.settle([second], METERED, closing(1))
      const { held, returned } = await scene.ledger.expire(hour(24))
      assert.deepEqual([held.map(({ reason }) => reason), returned], [['not-subscribed'], 0])
    })

    scenario.ofRules('a wait that is in doubt ends in doubt, and a late Success wins', async scene => {
      await tell(scene, DORA, 'active', hour(0))
      await scene.use(DORA, REQUESTS, 0, 1)
      await scene.close(0)
      await scene.send(lost(closing(0)), closing(0))
      const [waiting] = await scene.send(NOT_SUBSCRIBED, closing(0))
      assert.equal(waiting?.state, 'pending')
      const { held } = await scene.ledger.expire(hour(24))
      assert.deepEqual(
        held.map(({ reason }) => reason),
        ['in-doubt'],
      )
    })

    scenario.ofRules('a record out of its licence is stamped with an earlier second of its hour, once', async scene => {
      await scene.use(DORA, REQUESTS, 0, 1)
      await scene.close(0)
      const sent = await scene.claim(closing(0))
      assert.equal(sent[0]?.timestamp, hour(1) - SECOND)
      const [again] = await scene.settle(sent, OUT_OF_LICENCE, closing(0))
      assert.equal(again?.state, 'pending')
      // The same answer, written down again, moves nothing.
      const [repeated] = await scene.settle(sent, OUT_OF_LICENCE, closing(0))
      assert.equal(repeated?.state, 'pending')
      const earlier = await scene.claim(closing(0))
      assert.equal(earlier[0]?.timestamp, hour(0))
      const [held] = await scene.settle(earlier, OUT_OF_LICENCE, closing(0))
      assert.deepEqual([held?.state, held?.reason], ['held', 'not-subscribed'])
    })

    scenario.ofRules('one that AWS may have taken keeps its second', async scene => {
      await scene.use(DORA, REQUESTS, 0, 1)
      await scene.close(0)
      await scene.send(lost(closing(0)), closing(0))
      const [doubted] = await scene.send(OUT_OF_LICENCE, closing(0))
      assert.deepEqual([doubted?.state, doubted?.reason], ['held', 'in-doubt'])
      assert.equal((await scene.only('held')).timestamp, hour(1) - SECOND)
    })

    scenario.ofRules('an end that is told fifty minutes late still bills its hour', async scene => {
      const endedAt = hour(1) + 30 * MINUTE
      const told = endedAt + 50 * MINUTE - SECOND
      await scene.use(DORA, REQUESTS, 1, 2)
      await scene.use(DORA, TOKENS, 1, 1000)
      await scene.close(1)
      const [requests, tokens] = await scene.claim(closing(1))
      assert.ok(requests !== undefined && tokens !== undefined)
      await scene.settle([requests], NOT_SUBSCRIBED, closing(1))
      await scene.settle([tokens], bounced(closing(1) + 30 * MINUTE), closing(1))
      await tell(scene, DORA, 'ended', endedAt, told)
      const records = await scene.claim(told)
      assert.deepEqual(
        records.map(({ timestamp }) => timestamp),
        [endedAt - SECOND, endedAt - SECOND],
      )
      assert.ok(records.every(({ deadline }) => deadline === endedAt + HOUR - MARGIN))
      await scene.settle(records, METERED, told)
      // What is used after it, in the same hour or later, is not billed.
      await scene.use(DORA, REQUESTS, 2, 1)
      await scene.close(2)
      assert.deepEqual(await scene.history(DORA, REQUESTS), ['2:1 held agreement-ended', '1:2 metered'])
      for (const asked of [scene.ledger.records({ customer: arn(1) }), scene.ledger.statement({ customer: arn(1) })]) {
        assert.ok((await asked).length > 1 && (await asked).every(({ account }) => account.key === DORA.key))
      }
    })

    scenario.ofRules('at an end just after the turn of an hour, each hour keeps its own record', async scene => {
      await scene.use(DORA, REQUESTS, 0, 3)
      await scene.use(DORA, REQUESTS, 1, 4)
      await tell(scene, DORA, 'ended', hour(1) + 2 * SECOND, hour(1) + MINUTE)
      assert.deepEqual(await scene.history(DORA, REQUESTS), ['1:4 pending', '0:3 pending'])
      const stamps = (await scene.claim(hour(1) + MINUTE)).map(({ timestamp }) => timestamp)
      assert.deepEqual(stamps.sort(), [hour(1) - SECOND, hour(1) + SECOND])
    })

    scenario('an end that is told again, by another time, freezes what came since', async scene => {
      const endedAt = hour(1) + 5 * MINUTE
      await tell(scene, DORA, 'ended', endedAt)
      // Of before the end; it was under way.
      await scene.use(DORA, REQUESTS, 1, 3)
      await tell(scene, DORA, 'ended', endedAt + 2 * MINUTE)
      const [record] = await scene.claim(endedAt + 2 * MINUTE)
      assert.deepEqual([record?.quantity, record?.timestamp], [3, endedAt - SECOND])
    })

    scenario('usage between two agreements is held; late news of one brings it out', async scene => {
      await tell(scene, DORA, 'ended', hour(0) + MINUTE)
      await scene.use(DORA, REQUESTS, 1, 1)
      await scene.use(DORA, REQUESTS, 2, 2)
      await scene.close(1)
      await scene.close(2)
      assert.deepEqual(await scene.history(DORA, REQUESTS), ['2:2 held agreement-ended', '1:1 held agreement-ended'])
      await tell(scene, DORA, 'active', hour(2) + MINUTE, closing(2))
      assert.deepEqual(await scene.history(DORA, REQUESTS), ['2:2 pending', '1:1 held agreement-ended'])
      await scene.send(METERED, closing(2))
      assert.equal(await scene.equation(DORA, REQUESTS), '3 = 2 + 0 + 1 + 0')
    })

    scenario('a second identity of an AWS account is not billed beside the first', async scene => {
      const [legacy, licence] = [coded('code-1'), licensed(1)]
      await scene.use(legacy, REQUESTS, 0, 5)
      await scene.use(licence, REQUESTS, 0, 5)
      await scene.use(licence, TOKENS, 0, 1000)
      await scene.close(0)
      const held = await scene.only('held')
      assert.deepEqual([held.reason, held.quantity, held.dimension], ['two-identities', 5, REQUESTS.name])
      await scene.send(METERED, closing(0))
      // Also of one that is frozen by itself.
      const other = held.account.key === legacy.key ? licence : legacy
      await scene.use(other, REQUESTS, 1, 1)
      await tell(scene, other, 'ended', hour(1) + MINUTE)
      await scene.use(held.account, REQUESTS, 1, 1)
      await scene.close(1)
      assert.equal((await scene.ledger.records({ state: 'held' })).length, 2)
      // A person may let it pass.
      await scene.ledger.decide(held.id, 'release', BY)
      await scene.use(licensed(2), REQUESTS, 2, 7)
      await scene.use(other, REQUESTS, 2, 1)
      await scene.close(2)
      assert.equal((await scene.ledger.records({ customer: held.account.key, state: 'pending' })).length, 1)
    })

    scenario('a licence of another product is no second identity', async scene => {
      await tell(scene, licensed(1), 'active', hour(0), hour(0), { productCode: 'code-2' })
      await scene.use(coded('code-1'), REQUESTS, 0, 5)
      await scene.use(licensed(1), REQUESTS, 0, 5)
      // Two licences are two agreements.
      await scene.use(licensed(2), REQUESTS, 0, 5)
      await tell(scene, licensed(2), 'active', hour(0), hour(0), { productCode: 'code-2' })
      await scene.close(0)
      assert.equal((await scene.ledger.records({ state: 'pending' })).length, 3)
    })

    scenario('a person gives what one licence has to another of the same account', async scene => {
      await scene.use(licensed(1), REQUESTS, 0, 5)
      await scene.close(0)
      await scene.send(NOT_SUBSCRIBED, closing(0))
      await scene.use(licensed(1), REQUESTS, 1, 2)
      await scene.close(1)
      await scene.send(lost(closing(1)), closing(1))
      await scene.send({ type: 'refused' }, closing(1))
      await scene.use(licensed(1), REQUESTS, 2, 0.5)
      assert.deepEqual(await scene.history(licensed(1), REQUESTS), ['1:2 held in-doubt', '0:5 held not-subscribed'])
      const by = { ...BY, now: closing(2) }
      const give = (to: CustomerAccount) => scene.ledger.attribute(licensed(1).key, REQUESTS.name, to, by)
      await assert.rejects(give(ALICE), code('ERR_LEDGER_STATE'))
      await assert.rejects(give(licensed(1)), code('ERR_LEDGER_STATE'))
      assert.equal(await give(licensed(2)), 5_500_000n)
      assert.equal(await scene.equation(licensed(1), REQUESTS), '2 = 0 + 0 + 2 + 0')
      await scene.close(3)
      assert.equal(await scene.equation(licensed(2), REQUESTS), '5.5 = 0 + 5 + 0 + 0.5')
      const [said] = await scene.ledger.audit({ actions: ['attribute'] })
      assert.deepEqual([said?.account?.key, said?.detail, said?.amount], [licensed(1).key, licensed(2).key, 5_500_000n])
    })

    scenario(
      'an active customer gets records of quantity 0, used or not, also for hours without a process',
      async scene => {
        const sold = { products: [DORA.product], dimensions: [REQUESTS.name, TOKENS.name] }
        const zero = { zeroQuantityRecords: true, sold }
        await scene.close(-1, zero)
        await tell(scene, DORA, 'active', hour(0) + MINUTE, hour(0) + MINUTE, zero)
        await scene.close(0, zero)
        // Nobody is there for hours.
        await scene.use(DORA, TOKENS, 2, 1000)
        await scene.close(4, zero)
        assert.deepEqual(
          await scene.history(DORA, REQUESTS),
          ['3:0', '2:0', '1:0', '0:0'].map(one => `${one} pending`),
        )
        assert.deepEqual(
          await scene.history(DORA, TOKENS),
          ['3:0', '2:1', '1:0', '0:0'].map(one => `${one} pending`),
        )
        await tell(scene, DORA, 'ended', hour(5) + 30 * MINUTE, hour(5) + 31 * MINUTE, zero)
        for (const n of [5, 6, 7]) await scene.close(n, zero)
        const [last] = await scene.ledger.records({ customer: DORA.key, dimension: REQUESTS.name })
        assert.deepEqual([last?.hour, last?.timestamp], [hour(4), hour(5) - SECOND])
      },
    )
  })
}
