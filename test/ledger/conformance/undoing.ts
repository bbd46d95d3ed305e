import assert from 'node:assert/strict'
import { describe } from 'node:test'
import type { AuditEntry, DecisionResult } from '../../../src/ledger/ledger.ts'
import { customerAccount } from '../../../src/usage/account.ts'
import {
  ALICE,
  BOB,
  BY,
  closing,
  entry,
  GUARDED,
  hour,
  METERED,
  NOBODY,
  REFUSED,
  REQUESTS,
  type Scene,
  UNIT,
} from '../scene.ts'
import type { Scenario } from './scenario.ts'

/** Undoes the youngest of what was done. Returns what it was about, or why it was not undone. */
async function undo(scene: Scene, entry?: AuditEntry): Promise<bigint | string> {
  const [youngest] = await scene.ledger.audit({ limit: 1 })
  const [result] = await scene.ledger.undo([entry ?? (youngest as AuditEntry)], { ...BY, why: 'it was a mistake' })
  const { amount, error } = result as DecisionResult
  return amount ?? error?.message ?? ''
}

const youngest = async (scene: Scene) => (await scene.ledger.audit({ limit: 1 }))[0] as AuditEntry

export function undoing(name: string, scenario: Scenario): void {
  describe(`${name}: what persons take back`, () => {
    scenario('a release, once, while the amount is in the balance', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 7)
      await scene.close(0)
      await scene.send(REFUSED, closing(0))
      const { id } = await scene.only('held')
      await scene.ledger.decide(id, 'release', BY)
      const released = await youngest(scene)
      assert.equal(await undo(scene), 7n * UNIT)
      assert.equal(await scene.equation(ALICE, REQUESTS), '7 = 0 + 0 + 7 + 0')
      assert.equal((await scene.only('held')).reason, 'refused')
      const said = await youngest(scene)
      assert.deepEqual(
        [said.action, said.recordId, said.amount, said.detail, said.why],
        ['undo', id, 7n * UNIT, `entry ${released.number} (release)`, 'it was a mistake'],
      )
      // What undoes is not undone itself, and nothing twice: also where the record was released anew.
      assert.match(String(await undo(scene)), /cannot be undone/)
      await scene.ledger.decide(id, 'release', BY)
      assert.match(String(await undo(scene, released)), /is undone already/)
      const again = await youngest(scene)
      await scene.close(1)
      assert.match(String(await undo(scene, again)), /: of 7 .*, 0 are still in the balance/)
      assert.equal(await scene.equation(ALICE, REQUESTS), '7 = 0 + 7 + 0 + 0')
    })

    scenario('what a release let past the guard is guarded again', async scene => {
      await scene.use(ALICE, GUARDED, 0, 101)
      await scene.close(0)
      const { id } = await scene.only('held')
      await scene.ledger.decide(id, 'release', BY)
      await undo(scene)
      await scene.use(ALICE, GUARDED, 1, 150)
      await scene.close(1)
      assert.equal(await scene.equation(ALICE, GUARDED), '251 = 0 + 0 + 251 + 0')
    })

    scenario('of what was settled what is not metered', async scene => {
      await scene.append([entry(ALICE, REQUESTS, 0, 7), entry(BOB, REQUESTS, 0, 8)])
      await scene.close(0)
      await scene.claim(closing(0))
      await scene.ledger.expire(hour(24))
      for (const { id, account } of await scene.ledger.records({ state: 'held' })) {
        await scene.ledger.decide(id, account.key === ALICE.key ? 'not-billed' : 'billed', BY)
      }
      const entries = await scene.ledger.audit()
      const results = await scene.ledger.undo(entries, BY)
      assert.deepEqual(
        entries
          .map(({ account }, index) => [account?.key, results[index]?.amount ?? results[index]?.error?.code])
          .sort(),
        [
          [ALICE.key, 7n * UNIT],
          [BOB.key, 'ERR_LEDGER_STATE'],
        ],
      )
      assert.equal((await scene.only('held')).reason, 'in-doubt')
      assert.equal(await scene.equation(ALICE, REQUESTS), '7 = 0 + 0 + 7 + 0')
      assert.equal(await scene.equation(BOB, REQUESTS), '8 = 8 + 0 + 0 + 0')
    })

    scenario('write-offs of a record and of a balance', async scene => {
      await scene.append([entry(ALICE, GUARDED, 0, 101), entry(BOB, REQUESTS, 0, 8)])
      await scene.close(0)
      const { id } = await scene.only('held')
      await scene.ledger.decide(id, 'write-off', BY)
      assert.equal(await undo(scene), 101n * UNIT)
      assert.equal(await scene.equation(ALICE, GUARDED), '101 = 0 + 0 + 101 + 0')
      await scene.use(BOB, REQUESTS, 5, 3)
      await scene.ledger.writeOff(BOB.key, 'requests', BY)
      const written = await youngest(scene)
      assert.equal(await undo(scene, written), 3n * UNIT)
      assert.match(String(await undo(scene, written)), /undone already/)
      assert.equal(await scene.equation(BOB, REQUESTS), '11 = 0 + 8 + 0 + 3')
    })

    scenario('an attribution, as long as the customer still has it', async scene => {
      await scene.use(NOBODY, REQUESTS, 0, 12)
      await scene.close(0)
      await scene.append([entry(BOB, REQUESTS, 4, 2), entry(BOB, REQUESTS, 5, 1)])
      await scene.ledger.attribute(NOBODY.key, 'requests', BOB, BY, { to: hour(1) })
      const given = await youngest(scene)
      assert.equal(await scene.equation(BOB, REQUESTS), '15 = 0 + 0 + 0 + 15')
      assert.equal(await undo(scene, given), 12n * UNIT)
      assert.equal(await scene.equation(BOB, REQUESTS), '3 = 0 + 0 + 0 + 3')
      assert.equal(await scene.equation(NOBODY, REQUESTS), '12 = 0 + 0 + 0 + 12')
      assert.match(String(await undo(scene, given)), /undone already/)
      // It is given again, of the same hours.
      assert.equal(await scene.ledger.attribute(NOBODY.key, 'requests', BOB, BY, { to: hour(1) }), 12n * UNIT)
      const again = await youngest(scene)
      await scene.close(5)
      await scene.send(METERED, closing(5))
      await scene.use(BOB, REQUESTS, 6, 11.5)
      assert.match(String(await undo(scene, again)), /: of 12 .*, 11.5 are still in the balance/)
      await scene.use(BOB, REQUESTS, 6, 1)
      assert.equal(await undo(scene, again), 12n * UNIT)
      assert.equal(await scene.equation(BOB, REQUESTS), '15.5 = 15 + 0 + 0 + 0.5')
    })

    scenario('an attribution to a customer with a strange name, and to nobody else', async scene => {
      const named = (customerIdentifier: string) => customerAccount({ product: 'prod-1', customerIdentifier })
      const [victim, strange] = [named('erin'), named('erin; group ab\u0007')]
      await scene.append([entry(NOBODY, REQUESTS, 0, 12), entry(victim, REQUESTS, 0, 30)])
      await scene.ledger.attribute(NOBODY.key, 'requests', strange, BY)
      assert.equal(await undo(scene), 12n * UNIT)
      assert.equal(await scene.equation(victim, REQUESTS), '30 = 0 + 0 + 0 + 30')
      assert.equal(await scene.equation(strange, REQUESTS), '0 = 0 + 0 + 0 + 0')
    })

    scenario('two who undo the same at once undo it once', async scene => {
      await scene.append([entry(NOBODY, REQUESTS, 0, 12), entry(BOB, REQUESTS, 0, 30), entry(ALICE, GUARDED, 0, 101)])
      await scene.close(0)
      const { id } = await scene.only('held')
      await scene.ledger.decide(id, 'release', BY)
      await scene.ledger.attribute(NOBODY.key, 'requests', BOB, BY)
      const entries = await scene.ledger.audit()
      const other = await scene.another()
      scene.books.paused = true
      const [one, two] = await Promise.all([scene.ledger, other].map(ledger => ledger.undo(entries, BY)))
      scene.books.paused = false
      const done = [...(one ?? []), ...(two ?? [])].filter(({ error }) => error === undefined)
      assert.equal(done.length, 2)
      assert.equal((await scene.ledger.audit({ actions: ['undo'] })).length, 2)
      assert.equal(await scene.equation(NOBODY, REQUESTS), '12 = 0 + 0 + 0 + 12')
      assert.equal(await scene.equation(ALICE, GUARDED), '101 = 0 + 0 + 101 + 0')
    })
  })
}
