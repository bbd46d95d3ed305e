import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { HOUR, MINUTE } from '../../../src/ledger/hours.ts'
import type { AuditEntry } from '../../../src/ledger/ledger.ts'
import {
  ALICE,
  BOB,
  BY,
  CAROL,
  CONFLICT,
  closing,
  entry,
  GPU,
  GUARDED,
  hour,
  METERED,
  NOBODY,
  REFUSED,
  REQUESTS,
  UNIT,
} from '../scene.ts'
import { code, type Scenario } from './scenario.ts'

export function decisions(name: string, scenario: Scenario): void {
  describe(`${name}: what persons do`, () => {
    scenario('release puts back what was surely not billed', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 7)
      await scene.close(0)
      await scene.send(REFUSED, closing(0))
      const { id } = await scene.only('held')
      await scene.ledger.decide(id, 'release', BY)
      assert.equal(await scene.equation(ALICE, REQUESTS), '7 = 0 + 0 + 0 + 7')
      await assert.rejects(scene.ledger.decide(id, 'release', BY), code('ERR_LEDGER_STATE'))
      const { number, writtenAt, systemUser, hash, ...entry } = (await scene.ledger.audit())[0] as AuditEntry
      assert.deepEqual(entry, {
        ...{ at: BY.now, who: BY.who, why: BY.why, action: 'release', account: ALICE, dimension: 'requests' },
        ...{ recordId: id, amount: 7n * UNIT, detail: 'refused' },
      })
      await scene.close(1)
      await scene.send(METERED, closing(1))
      assert.equal(await scene.equation(ALICE, REQUESTS), '7 = 7 + 0 + 0 + 0')
    })

    for (const billed of [true, false]) {
      scenario(`in doubt: ${billed ? '' : 'not '}billed`, async scene => {
        await scene.use(ALICE, REQUESTS, 0, 7)
        await scene.close(0)
        await scene.claim(closing(0))
        await scene.ledger.expire(hour(24))
        const { id } = await scene.only('held')
        await assert.rejects(scene.ledger.decide(id, 'release', BY), code('ERR_LEDGER_STATE'))
        await scene.ledger.decide(id, billed ? 'billed' : 'not-billed', BY)
        assert.equal(await scene.equation(ALICE, REQUESTS), billed ? '7 = 7 + 0 + 0 + 0' : '7 = 0 + 0 + 0 + 7')
        await assert.rejects(scene.ledger.decide(id, billed ? 'billed' : 'not-billed', BY), code('ERR_LEDGER_STATE'))
        const [entry] = await scene.ledger.audit()
        assert.deepEqual([entry?.action, entry?.recordId, entry?.amount], ['settle', id, 7n * UNIT])
        assert.equal(entry?.detail, billed ? 'billed' : 'not billed')
      })
    }

    scenario('a conflict can be settled either way', async scene => {
      await scene.append([ALICE, BOB].map(account => entry(account, REQUESTS, 0, 7)))
      await scene.close(0)
      const [first, second] = await scene.send(CONFLICT, closing(0))
      await scene.ledger.decide(first?.record.id ?? '', 'billed', BY)
      // Whoever metered the hour may have billed this usage.
      await assert.rejects(scene.ledger.decide(second?.record.id ?? '', 'release', BY), code('ERR_LEDGER_STATE'))
      await scene.ledger.decide(second?.record.id ?? '', 'not-billed', BY)
      const equations = [await scene.equation(ALICE, REQUESTS), await scene.equation(BOB, REQUESTS)]
      assert.deepEqual(equations.sort(), ['7 = 0 + 0 + 0 + 7', '7 = 7 + 0 + 0 + 0'])
    })

    scenario('only what is held can be settled', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 7)
      await scene.close(0)
      const { id } = await scene.only('pending')
      await assert.rejects(scene.ledger.decide(id, 'release', BY), code('ERR_LEDGER_STATE'))
      await assert.rejects(scene.ledger.decide(id, 'billed', BY), code('ERR_LEDGER_STATE'))
      for (const unknown of ['4711', '', 'x', '1.5']) {
        await assert.rejects(scene.ledger.decide(unknown, 'release', BY), code('ERR_LEDGER_NOT_FOUND'))
        await assert.rejects(scene.ledger.decide(unknown, 'billed', BY), code('ERR_LEDGER_NOT_FOUND'))
      }
      assert.deepEqual(await scene.ledger.audit(), [])
    })

    scenario('attribute gives a customer what had none, also of the open hour', async scene => {
      await scene.use(NOBODY, REQUESTS, 0, 12)
      await scene.close(0)
      await scene.use(NOBODY, REQUESTS, 1, 3.5)
      assert.equal(await scene.ledger.attribute(NOBODY.key, 'requests', BOB, BY), 15_500_000n)
      assert.equal(await scene.equation(NOBODY, REQUESTS), '0 = 0 + 0 + 0 + 0')
      assert.equal(await scene.equation(BOB, REQUESTS), '15.5 = 0 + 0 + 0 + 15.5')
      await scene.close(5)
      assert.equal(await scene.equation(BOB, REQUESTS), '15.5 = 0 + 15 + 0 + 0.5')
      await scene.use(NOBODY, REQUESTS, 6, 1)
      assert.equal(await scene.equation(NOBODY, REQUESTS), '1 = 0 + 0 + 0 + 1')
      const [entry] = await scene.ledger.audit()
      assert.deepEqual([entry?.action, entry?.account, entry?.amount], ['attribute', NOBODY, 15_500_000n])
      assert.match(entry?.detail ?? '', /222222222222/)
    })

    scenario('attribute refuses what it cannot do', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 1)
      await scene.use(NOBODY, REQUESTS, 0, 1)
      const { ledger } = scene
      await assert.rejects(ledger.attribute('x', 'requests', BOB, BY), code('ERR_LEDGER_NOT_FOUND'))
      await assert.rejects(ledger.attribute(NOBODY.key, 'tokens', BOB, BY), code('ERR_LEDGER_NOT_FOUND'))
      await assert.rejects(ledger.attribute(ALICE.key, 'requests', BOB, BY), code('ERR_LEDGER_STATE'))
      await ledger.attribute(NOBODY.key, 'requests', BOB, BY)
      await assert.rejects(ledger.attribute(NOBODY.key, 'requests', BOB, BY), code('ERR_LEDGER_STATE'))
      assert.equal((await ledger.audit()).length, 1)
    })

    scenario('write-off ends a balance, and only it', async scene => {
      await scene.use(ALICE, GPU, 0, 4000)
      await scene.close(0)
      await scene.use(ALICE, GPU, 1, 100)
      assert.equal(await scene.ledger.writeOff(ALICE.key, 'gpu', BY), 500n * UNIT)
      assert.equal(await scene.equation(ALICE, GPU), '3600 = 0 + 3600 + 0 + 0')
      await assert.rejects(scene.ledger.writeOff(ALICE.key, 'gpu', BY), code('ERR_LEDGER_STATE'))
      await assert.rejects(scene.ledger.writeOff(BOB.key, 'gpu', BY), code('ERR_LEDGER_NOT_FOUND'))
      const [entry] = await scene.ledger.audit()
      assert.deepEqual([entry?.action, entry?.amount], ['write-off', 500n * UNIT])
    })

    scenario('a ledger that was restored holds what may have been billed since', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 5)
      await scene.close(0)
      await scene.append([entry(ALICE, REQUESTS, 1, 3), entry(NOBODY, REQUESTS, 1, 2)])
      const now = hour(3) + MINUTE
      await scene.ledger.declareRestored({ ...BY, now })
      assert.equal(await scene.equation(ALICE, REQUESTS), '8 = 0 + 5 + 3 + 0')
      assert.equal(await scene.equation(NOBODY, REQUESTS), '2 = 0 + 0 + 0 + 2')
      assert.equal((await scene.only('pending')).inDoubt, true)
      const restored = await scene.only('held')
      assert.deepEqual([restored.reason, restored.attempts, restored.region], ['restored', 0, 'restored'])
      await assert.rejects(scene.ledger.decide(restored.id, 'release', BY), code('ERR_LEDGER_STATE'))
      assert.equal((await scene.ledger.audit())[0]?.action, 'restore')
      await scene.use(ALICE, REQUESTS, 3, 7)
      await scene.close(3)
      assert.equal(await scene.equation(ALICE, REQUESTS), '15 = 0 + 12 + 3 + 0')
      await scene.ledger.decide(restored.id, 'billed', BY)
      assert.equal(await scene.equation(ALICE, REQUESTS), '15 = 3 + 12 + 0 + 0')
    })

    for (const [quantity, metered, detail] of [
      [1, 3600, 'billed: 3600 of 9000'],
      [2, 7200, 'billed: 7200 of 9000'],
      [3, 9000, 'billed'],
      [1000, 9000, 'billed'],
    ] as const) {
      const played = quantity === 1 ? scenario : scenario.ofRules
      played(`of what a restore holds, AWS may have billed a part: ${quantity} units`, async scene => {
        await scene.use(ALICE, GPU, 0, 9000)
        const now = hour(3) + MINUTE
        await scene.ledger.declareRestored({ ...BY, now })
        const { id, hour: held } = await scene.only('held')
        assert.equal(await scene.equation(ALICE, GPU), '9000 = 0 + 0 + 9000 + 0')
        for (const wrong of [0, -1, 1.5, Number.NaN]) {
          await assert.rejects(scene.ledger.decide(id, 'billed', BY, wrong), code('ERR_LEDGER_INVALID'))
        }
        await assert.rejects(scene.ledger.decide(id, 'not-billed', BY, quantity), code('ERR_LEDGER_STATE'))
        await scene.ledger.decide(id, 'billed', BY, quantity)
        assert.equal(await scene.equation(ALICE, GPU), `9000 = ${metered} + 0 + 0 + ${9000 - metered}`)
        const record = await scene.only('metered')
        assert.deepEqual([record.id, BigInt(record.quantity) * record.size], [id, BigInt(metered) * UNIT])
        const [line] = await scene.ledger.statement({ from: held, to: held + HOUR })
        assert.equal(line?.metered, BigInt(metered) * UNIT)
        const [entry] = await scene.ledger.audit()
        assert.deepEqual([entry?.action, entry?.amount, entry?.detail], ['settle', 9000n * UNIT, detail])
        await assert.rejects(scene.ledger.decide(id, 'billed', BY, quantity), code('ERR_LEDGER_STATE'))
        // What was not billed goes out with usage to come.
        await scene.use(ALICE, GPU, 3, 7200)
        await scene.close(3)
        const whole = Math.floor((9000 - metered + 7200) / 3600) * 3600
        assert.equal(
          await scene.equation(ALICE, GPU),
          `16200 = ${metered} + ${whole} + 0 + ${16_200 - metered - whole}`,
        )
      })
    }

    scenario('what was held before a restore may have been released and billed since', async scene => {
      await scene.append([entry(ALICE, GUARDED, 0, 101), entry(BOB, REQUESTS, 0, 7)])
      await scene.close(0)
      await scene.send(REFUSED, closing(0))
      await scene.ledger.declareRestored({ ...BY, now: hour(3) + MINUTE })
      const held = await scene.ledger.records({ state: 'held' })
      assert.deepEqual(
        held.map(({ reason }) => reason),
        ['restored', 'restored'],
      )
      for (const { id } of held) {
        await assert.rejects(scene.ledger.decide(id, 'release', BY), code('ERR_LEDGER_STATE'))
        await scene.ledger.decide(id, 'billed', BY, 3)
      }
      assert.equal(await scene.equation(ALICE, GUARDED), '101 = 3 + 0 + 0 + 98')
      assert.equal(await scene.equation(BOB, REQUESTS), '7 = 3 + 0 + 0 + 4')
    })

    scenario('a restore that is declared again holds nothing twice', async scene => {
      await scene.append([entry(ALICE, REQUESTS, 0, 3.5), entry(BOB, GUARDED, 0, 101)])
      await scene.close(0)
      await scene.use(ALICE, REQUESTS, 1, 2)
      const now = hour(3) + MINUTE
      await scene.ledger.declareRestored({ ...BY, now })
      const before = await scene.ledger.records()
      await scene.ledger.declareRestored({ ...BY, now })
      assert.deepEqual(await scene.ledger.records(), before)
      assert.equal(await scene.equation(ALICE, REQUESTS), '5.5 = 0 + 3 + 2.5 + 0')
    })

    scenario('a part is told only of what a restore holds', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 7)
      await scene.close(0)
      await scene.claim(closing(0))
      await scene.ledger.expire(hour(24))
      const { id } = await scene.only('held')
      await assert.rejects(scene.ledger.decide(id, 'billed', BY, 3), code('ERR_LEDGER_STATE'))
    })

    scenario('the audit trail has the youngest first', async scene => {
      for (const account of [ALICE, BOB, CAROL]) {
        await scene.use(account, REQUESTS, 0, 1)
        await scene.ledger.writeOff(account.key, 'requests', { ...BY, why: account.key })
      }
      const whys = (await scene.ledger.audit({ limit: 2 })).map(entry => entry.why)
      assert.deepEqual(whys, [CAROL.key, BOB.key])
    })
  })
}
