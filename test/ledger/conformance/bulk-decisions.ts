import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { LedgerError } from '../../../src/ledger/errors.ts'
import { HOUR, MINUTE } from '../../../src/ledger/hours.ts'
import type { DecisionResult, Ledger, RecordDecision } from '../../../src/ledger/ledger.ts'
import { groupOf } from '../../../src/ledger/rules/audit.ts'
import { type CustomerAccount, customerAccount } from '../../../src/usage/account.ts'
import {
  ALICE,
  BOB,
  BY,
  CAROL,
  closing,
  entry,
  GUARDED,
  hour,
  METERED,
  NOBODY,
  REFUSED,
  REQUESTS,
  UNIT,
} from '../scene.ts'
import { code, type Scenario } from './scenario.ts'

const GROUP = { ...BY, now: hour(5), group: '0123abcdef' }

/** Customers of whom a restored ledger holds two records each: more than one transaction decides. */
const MANY: CustomerAccount[] = Array.from({ length: 260 }, (_, n) =>
  customerAccount({ product: 'prod-1', accountId: String(200_000_000_000 + n) }),
)

/** Each record's own answer, or why there is none. */
const told = (results: readonly DecisionResult[]) => results.map(({ amount, error }) => amount ?? error?.code)

export function bulkDecisions(name: string, scenario: Scenario): void {
  describe(`${name}: many decisions`, () => {
    scenario('are made together, and what may not be is left and told', async scene => {
      await scene.append([
        entry(ALICE, REQUESTS, 0, 7),
        entry(BOB, REQUESTS, 0, 8),
        entry(BOB, GUARDED, 0, 101),
        entry(CAROL, REQUESTS, 0, 3),
      ])
      await scene.close(0)
      const sent = await scene.claim(closing(0))
      const idOf = async (account: CustomerAccount, dimension = REQUESTS.name) =>
        (await scene.ledger.records({ customer: account.key, dimension }))[0]?.id as string
      const carols = await idOf(CAROL)
      // Alice's and Bob's are refused; Carol's has no answer.
      await scene.settle(
        sent.filter(({ id }) => id !== carols),
        REFUSED,
        closing(0),
      )
      await scene.ledger.expire(hour(24))
      const [alices, bobs, guarded] = [await idOf(ALICE), await idOf(BOB), await idOf(BOB, GUARDED.name)]
      const decisions: RecordDecision[] = [
        { recordId: alices, decision: 'release', why: 'of its own' },
        { recordId: carols, decision: 'write-off' },
        { recordId: 'unknown', decision: 'release' },
        { recordId: bobs, decision: 'billed' },
        { recordId: alices, decision: 'write-off' },
        { recordId: guarded, decision: 'write-off' },
      ]
      assert.deepEqual(told(await scene.ledger.decideAll(decisions, GROUP)), [
        ...[7n * UNIT, 'ERR_LEDGER_STATE', 'ERR_LEDGER_NOT_FOUND', 'ERR_LEDGER_STATE', 'ERR_LEDGER_STATE', 101n * UNIT],
      ])
      assert.equal(await scene.equation(ALICE, REQUESTS), '7 = 0 + 0 + 0 + 7')
      assert.equal(await scene.equation(BOB, REQUESTS), '8 = 0 + 0 + 8 + 0')
      assert.equal(await scene.equation(BOB, GUARDED), '0 = 0 + 0 + 0 + 0')
      assert.equal(await scene.equation(CAROL, REQUESTS), '3 = 0 + 0 + 3 + 0')
      const entries = (await scene.ledger.audit()).reverse()
      assert.deepEqual(
        entries.map(({ action, recordId, amount, why, detail }) => [action, recordId, amount, why, detail]),
        [
          ['release', alices, 7n * UNIT, 'of its own', 'refused; group 0123abcdef'],
          ['write-off', guarded, 101n * UNIT, BY.why, 'over-maximum; group 0123abcdef'],
        ],
      )
      assert.ok(entries.every(entry => groupOf(entry) === '0123abcdef'))
      assert.deepEqual(await scene.ledger.decideAll([], GROUP), [])
    })

    scenario('a record that is written off is never billed, and says so in the present hour', async scene => {
      await scene.use(ALICE, GUARDED, 0, 101)
      await scene.close(0)
      const { id } = await scene.only('held')
      await scene.ledger.decide(id, 'write-off', BY)
      assert.deepEqual(await scene.history(ALICE, GUARDED), ['0:101 returned over-maximum'])
      const recorded = async (n: number) =>
        (await scene.ledger.statement({ from: hour(n), to: hour(n + 1) }))[0]?.recorded
      assert.deepEqual([await recorded(0), await recorded(5)], [101n * UNIT, -101n * UNIT])
      // Nor does it let anything past the guard.
      await scene.use(ALICE, GUARDED, 5, 101)
      await scene.close(5)
      assert.equal(await scene.equation(ALICE, GUARDED), '101 = 0 + 0 + 101 + 0')
    })

    scenario('what may be billed already is not written off', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 7)
      await scene.ledger.declareRestored({ ...BY, now: hour(3) + MINUTE })
      const { id } = await scene.only('held')
      await assert.rejects(scene.ledger.decide(id, 'write-off', BY), error => {
        assert.match((error as Error).message, /settle it as billed or as not billed; what was not is in the balance/)
        return code('ERR_LEDGER_STATE')(error)
      })
    })

    scenario('die halfway, are made by two at once, and beside one who meters: each is made once', async scene => {
      // More than one transaction decides.
      const some = scene.dear ? MANY.slice(0, 60) : MANY
      await scene.append(some.flatMap(account => [entry(account, REQUESTS, 0, 7), entry(account, GUARDED, 0, 101)]))
      const now = hour(3) + MINUTE
      await scene.ledger.declareRestored({ ...BY, now })
      await scene.append(some.map(account => entry(account, REQUESTS, 3, 1)))
      await scene.close(3)
      const held = await scene.ledger.records({ state: 'held', limit: 10_000 })
      assert.equal(held.length, 2 * some.length)
      const decisions = held.map(({ id, dimension }): RecordDecision => {
        if (dimension === GUARDED.name) return { recordId: id, decision: 'not-billed' }
        return { recordId: id, decision: 'billed', quantity: 5 }
      })
      // Nothing is to be compared while several are at work.
      scene.books.paused = true
      const dying = await scene.another()
      const died = dying.decideAll(decisions, GROUP).catch(code('ERR_LEDGER_CLOSED'))
      await dying.close()
      await died
      const [one, other] = [await scene.another(), await scene.another()]
      const decide = async (ledger: Ledger) => await ledger.decideAll(decisions, { ...GROUP, group: 'ab' })
      const [, first, second] = await Promise.all([scene.send(METERED, closing(3)), decide(one), decide(other)])
      scene.books.paused = false
      for (const [index, { error }] of [...first.entries()].filter(([, { error }]) => error !== undefined)) {
        assert.ok(error instanceof LedgerError && error.code === 'ERR_LEDGER_STATE', `${index}: ${error}`)
      }
      const both = first.filter((result, index) => !result.error && !second[index]?.error)
      assert.deepEqual(both, [])
      assert.deepEqual(await scene.ledger.records({ state: 'held' }), [])
      for (const account of [some[0], some.at(-1)] as CustomerAccount[]) {
        assert.equal(await scene.equation(account, REQUESTS), '8 = 6 + 0 + 0 + 2')
        assert.equal(await scene.equation(account, GUARDED), '101 = 0 + 0 + 0 + 101')
      }
      const entries = await scene.ledger.audit({ actions: ['settle'], limit: 10_000 })
      assert.equal(entries.length, 2 * some.length)
      assert.equal(new Set(entries.map(({ recordId }) => recordId)).size, 2 * some.length)
      // And they are undone together.
      const undone = await scene.ledger.undo(entries, { ...GROUP, group: 'cd' })
      assert.equal(undone.filter(({ error }) => error === undefined).length, some.length)
      assert.equal(await scene.equation(MANY[7] as CustomerAccount, GUARDED), '101 = 0 + 0 + 101 + 0')
      assert.equal((await scene.ledger.records({ state: 'held', limit: 10_000 })).length, some.length)
    })

    scenario('usage without a customer is attributed by the hours in which it was recorded', async scene => {
      await scene.append([0, 1, 2, 5].map(n => entry(NOBODY, REQUESTS, n, n + 1)))
      await scene.close(0)
      const give = (to: CustomerAccount, from?: number, before?: number) =>
        scene.ledger.attribute(NOBODY.key, 'requests', to, BY, {
          ...(from !== undefined && { from: hour(from) }),
          ...(before !== undefined && { to: hour(before) }),
        })
      assert.equal(await give(ALICE, 1, 3), 5n * UNIT)
      const [said] = await scene.ledger.audit()
      assert.match(
        said?.detail ?? '',
        /^prod-1,111111111111; hours from 2026-03-10T01:.*Z to 2026-03-10T03:00:00.000Z$/,
      )
      assert.equal(await scene.equation(NOBODY, REQUESTS), '7 = 0 + 0 + 0 + 7')
      // The same again, by somebody else perhaps, gives nothing twice.
      await assert.rejects(give(BOB, 1, 3), code('ERR_LEDGER_STATE'))
      assert.equal(await give(BOB, undefined, 3), UNIT)
      assert.equal(await give(BOB), 6n * UNIT)
      await assert.rejects(give(BOB, 0, 9), code('ERR_LEDGER_STATE'))
      assert.equal(await scene.equation(ALICE, REQUESTS), '5 = 0 + 0 + 0 + 5')
      assert.equal(await scene.equation(BOB, REQUESTS), '7 = 0 + 0 + 0 + 7')
      await assert.rejects(
        scene.ledger.attribute(ALICE.key, 'requests', { ...ALICE, key: 'other' }, BY, { from: hour(5) }),
        code('ERR_LEDGER_INVALID'),
      )
      // What was recorded in these hours may be written off by now.
      await scene.append([entry(NOBODY, REQUESTS, 6, 4), entry(NOBODY, REQUESTS, 7, 9)])
      await scene.ledger.writeOff(NOBODY.key, 'requests', { ...BY, now: hour(8) })
      await scene.use(NOBODY, REQUESTS, 8, 2)
      const late = { ...BY, now: hour(8) + HOUR }
      assert.equal(
        await scene.ledger.attribute(NOBODY.key, 'requests', ALICE, late, { from: hour(6), to: hour(8) }),
        2n * UNIT,
      )
    })

    scenario('usage of other hours is not attributed for that which was given away or written off', async scene => {
      const give = (n: number, to?: number) =>
        scene.ledger.attribute(NOBODY.key, 'requests', BOB, { ...BY, now: hour(n) }, { to: hour(to ?? n) })
      const nothing = code('ERR_LEDGER_STATE')
      await scene.use(NOBODY, REQUESTS, 0, 5)
      assert.equal(await give(4), 5n * UNIT)
      await scene.use(NOBODY, REQUESTS, 5, 7)
      // It went with a period that was longer.
      await assert.rejects(give(6, 1), nothing)
      await scene.ledger.attribute(NOBODY.key, 'requests', ALICE, { ...BY, now: hour(6) })
      await scene.use(NOBODY, REQUESTS, 7, 11)
      // With all.
      await assert.rejects(give(8, 6), nothing)
      await scene.ledger.writeOff(NOBODY.key, 'requests', { ...BY, now: hour(8) })
      await scene.use(NOBODY, REQUESTS, 9, 13)
      await assert.rejects(give(10, 8), nothing)
      assert.equal(await scene.equation(NOBODY, REQUESTS), '13 = 0 + 0 + 0 + 13')
      assert.equal(await scene.equation(BOB, REQUESTS), '5 = 0 + 0 + 0 + 5')
      assert.equal(await give(10), 13n * UNIT)
    })
  })
}
