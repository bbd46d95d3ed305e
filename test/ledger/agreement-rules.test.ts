import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MINUTE } from '../../src/ledger/hours.ts'
import { afterNews, type BookedAgreement } from '../../src/ledger/rules/agreement.ts'
import { type BookedAccount, noteNews, UNMARKED } from '../../src/ledger/rules/decisions.ts'
import { customerAccount } from '../../src/usage/account.ts'
import { closeOptions, closing, hour, NOT_SUBSCRIBED, REQUESTS, Scene } from './scene.ts'
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
