import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MINUTE, SECOND } from '../../src/ledger/hours.ts'
import type { AgreementNews } from '../../src/ledger/ledger.ts'
import { afterNews, type BookedAgreement } from '../../src/ledger/rules/agreement.ts'
import { type BookedAccount, noteNews, UNMARKED } from '../../src/ledger/rules/decisions.ts'
import { type CustomerAccount, customerAccount } from '../../src/usage/account.ts'
import {
  ALICE,
  BY,
  bounced,
  closeOptions,
  closing,
  DORA,
  GUARDED,
  hour,
  METERED,
  NOT_SUBSCRIBED,
  REQUESTS,
  Scene,
} from './scene.ts'
import { openSqlite } from './sqlite-under-test.ts'

/** What the rules make of customers' agreements; the engines are alike in it. */

/** An account of which so much was told, an hour apart. */
function told(times: number): BookedAgreement {
  let agreement: BookedAgreement | null = null
  for (let n = 0; n < times; n += 1) agreement = afterNews(agreement, { what: 'active', at: hour(n) })
  return agreement as BookedAgreement
}

test('of an agreement of which much was told, news ends what AWS has refused, and old ones change nothing', () => {
  let account: BookedAccount = { ...UNMARKED, agreement: told(100), blockedAt: hour(99), probeAt: hour(101) }
  const book = {
    account: () => account,
    setAccount: (_: number, state: BookedAccount) => {
      account = state
    },
  }
  assert.equal(noteNews(book, 0, { what: 'active', at: hour(1) }), false)
  assert.equal(account.blockedAt, hour(99))
  assert.ok(noteNews(book, 0, { what: 'active', at: hour(1), tenant: 'acme' }))
  assert.deepEqual([account.blockedAt, account.agreement?.tenant], [hour(99), 'acme'])
  assert.ok(noteNews(book, 0, { what: 'active', at: hour(100) }))
  assert.deepEqual([account.blockedAt, account.agreement?.marks.length], [null, 64])
})

test('a second identity without an agreement is held for being the second: news of one does not bring it out', async () => {
  await using scene = await Scene.begin(openSqlite)
  const code = customerAccount({ product: 'prod-1', accountId: '444444444444' })
  for (const [first, how] of [
    [0, 'ended'],
    [2, 'blocked'],
  ] as const) {
    const licence = customerAccount({ product: 'label', accountId: '444444444444', licenseArn: how })
    const over = { what: 'ended', at: hour(first) } as const
    if (how === 'ended') await scene.ledger.noteAgreement(licence, over, closeOptions(hour(first)))
    else {
      // What gathers while AWS refuses is held without asking.
      await scene.use(licence, REQUESTS, first, 1)
      await scene.close(first)
      await scene.send(NOT_SUBSCRIBED, closing(first))
      await scene.use(licence, REQUESTS, first, 5)
    }
    await scene.use(code, REQUESTS, first + 1, 5)
    await scene.use(licence, REQUESTS, first + 1, 5)
    // The code's is there first.
    await scene.ledger.finalize(code, { ...closeOptions(hour(first + 2) - MINUTE), endedAt: hour(first + 2) - MINUTE })
    await scene.close(first + 1)
    await scene.ledger.noteAgreement(licence, { what: 'active', at: hour(first) + 1 }, closeOptions(closing(first + 1)))
    const [last] = await scene.ledger.records({ customer: licence.key, from: hour(first + 1) })
    assert.deepEqual([last?.state, last?.reason], ['held', 'two-identities'], how)
    const began = { what: 'active', at: hour(first + 2) } as const
    await scene.ledger.noteAgreement(code, began, closeOptions(closing(first + 1)))
  }
})

const tell = (scene: Scene, customer: CustomerAccount, what: AgreementNews['what'], at: number, now = at) =>
  scene.ledger.noteAgreement(customer, { what, at }, closeOptions(now))

test('what is released beside another identity lets nothing past that came since, however often it is released', async () => {
  await using scene = await Scene.begin(openSqlite)
  const code = customerAccount({ product: 'prod-1', accountId: '444444444444' })
  const use = async (n: number) => {
    for (const customer of [code, DORA]) await scene.use(customer, REQUESTS, n, 5)
    await scene.close(n)
    await scene.send(METERED, closing(n))
  }
  await use(0)
  // With what a release brings back, there is more in the next hour than in the other's.
  for (const n of [1, 2, 3]) {
    const { id } = await scene.only('held')
    await scene.ledger.decide(id, 'release', BY)
    await use(n)
  }
  assert.deepEqual([(await scene.only('held')).reason, (await scene.only('held')).quantity], ['two-identities', 20])
})

test('what is released as above the maximum does not pass beside another identity', async () => {
  await using scene = await Scene.begin(openSqlite)
  await scene.use(DORA, GUARDED, 0, 101)
  await scene.close(0)
  await scene.ledger.decide((await scene.only('held')).id, 'release', BY)
  await scene.use(customerAccount({ product: 'prod-1', accountId: DORA.accountId }), GUARDED, 1, 2)
  await scene.close(1)
  assert.equal((await scene.history(DORA, GUARDED))[0], '1:101 held two-identities')
  // It passes both at once.
  await scene.ledger.decide((await scene.only('held')).id, 'release', BY)
  await scene.use(customerAccount({ product: 'prod-1', accountId: DORA.accountId }), GUARDED, 2, 2)
  await scene.close(2)
  assert.equal((await scene.history(DORA, GUARDED))[0], '2:101 pending')
})

test('what is released lets no more past when the dimension is sold in other units since', async () => {
  await using scene = await Scene.begin(openSqlite)
  await scene.use(ALICE, GUARDED, 0, 500)
  await scene.close(0)
  await scene.ledger.register([{ ...GUARDED, size: 100n * GUARDED.size }])
  await scene.ledger.decide((await scene.only('held')).id, 'release', BY)
  await scene.use(ALICE, GUARDED, 1, 20_000)
  await scene.close(1)
  assert.equal((await scene.history(ALICE, GUARDED))[0], '1:205 held over-maximum')
})

test('what may be counted under another identity is not given to a third', async () => {
  await using scene = await Scene.begin(openSqlite)
  const code = customerAccount({ product: 'prod-1', accountId: DORA.accountId })
  const next = customerAccount({ product: 'label', accountId: DORA.accountId, licenseArn: `${DORA.licenseArn}2` })
  await scene.use(code, REQUESTS, 0, 5)
  await scene.ledger.finalize(code, { ...closeOptions(hour(1) - MINUTE), endedAt: hour(1) - MINUTE })
  await scene.use(DORA, REQUESTS, 0, 5)
  await scene.close(0)
  await scene.use(DORA, REQUESTS, 1, 2)
  await scene.ledger.attribute(DORA.key, REQUESTS.name, next, BY)
  assert.equal(await scene.equation(DORA, REQUESTS), '5 = 0 + 0 + 5 + 0')
  assert.equal(await scene.equation(next, REQUESTS), '2 = 0 + 0 + 0 + 2')
})

test('what is above the maximum when an agreement is over does not go out by news of another', async () => {
  await using scene = await Scene.begin(openSqlite)
  await tell(scene, DORA, 'ended', hour(0))
  await scene.use(DORA, GUARDED, 1, 500)
  await scene.close(1)
  await tell(scene, DORA, 'active', hour(1), closing(1))
  assert.deepEqual(await scene.history(DORA, GUARDED), ['1:500 held over-maximum'])
})

test('what was held without asking AWS, of hours before an agreement, does not go out by news of it', async () => {
  await using scene = await Scene.begin(openSqlite)
  await scene.use(DORA, REQUESTS, 0, 1)
  await scene.close(0)
  await scene.send(NOT_SUBSCRIBED, closing(0))
  // It comes late.
  await scene.use(DORA, REQUESTS, 0, 100)
  await scene.use(DORA, REQUESTS, 1, 1)
  await scene.close(1)
  await scene.use(DORA, REQUESTS, 0, 100)
  await scene.use(DORA, REQUESTS, 2, 1)
  await scene.close(2)
  await tell(scene, DORA, 'active', hour(2), closing(2))
  assert.equal((await scene.history(DORA, REQUESTS))[0], '2:101 held not-subscribed')
})

test('a record that got an earlier second is sent with a later one when an agreement turns out to begin in its hour', async () => {
  await using scene = await Scene.begin(openSqlite)
  await scene.use(DORA, REQUESTS, 0, 5)
  await scene.close(0)
  const now = closing(0)
  await scene.send({ type: 'not-subscribed', licence: true }, now)
  // AWS throttles before it can refuse that second.
  const [throttled] = await scene.send(bounced(now + MINUTE), now)
  assert.equal(throttled?.record.timestamp, hour(0))
  await tell(scene, DORA, 'active', hour(0) + 30 * MINUTE, now + MINUTE)
  assert.deepEqual(
    (await scene.claim(now + MINUTE)).map(({ timestamp }) => timestamp),
    [hour(1) - SECOND],
  )
})

test('a release counts an agreement as running again after all that told of its end', async () => {
  await using scene = await Scene.begin(openSqlite)
  // By SNS: it is about to end, and has ended.
  for (const n of [1, 2]) await tell(scene, ALICE, 'ended', hour(n))
  await scene.use(ALICE, REQUESTS, 3, 5)
  await scene.close(3)
  await scene.ledger.decide((await scene.only('held')).id, 'release', BY)
  await scene.close(4)
  assert.equal((await scene.history(ALICE, REQUESTS))[0], '4:5 pending')
})
