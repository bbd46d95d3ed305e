import assert from 'node:assert/strict'
import { test } from 'node:test'
import { afterNews, type BookedAgreement } from '../../src/ledger/rules/agreement.ts'
import { type BookedAccount, noteNews, UNMARKED } from '../../src/ledger/rules/decisions.ts'
import { hour } from './scene.ts'

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
