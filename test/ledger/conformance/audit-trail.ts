import assert from 'node:assert/strict'
import { hostname } from 'node:os'
import { describe } from 'node:test'
import type { Ledger } from '../../../src/ledger/ledger.ts'
import { userName } from '../../../src/ledger/system-user.ts'
import type { CustomerAccount } from '../../../src/usage/account.ts'
import {
  ALICE,
  BOB,
  BY,
  CAROL,
  closeOptions,
  closing,
  DIMENSIONS,
  DORA,
  ERIN,
  GUARDED,
  hour,
  METERED,
  NOBODY,
  REQUESTS,
  TOKENS,
  UNIT,
} from '../scene.ts'
import { billedIn, type Scenario } from './scenario.ts'

/** The scene itself verifies each trail when it ends. */
export function auditTrail(name: string, scenario: Scenario): void {
  const said = async (ledger: Ledger) =>
    (await ledger.audit()).map(({ who, action, detail }) => [who, action, detail ?? ''])

  describe(`${name}: the audit trail`, () => {
    scenario('says who wrote it and when by the ledger, whatever was said', async scene => {
      const began = Math.floor(await scene.ledger.clock.now(Date.now()))
      await scene.use(NOBODY, REQUESTS, 0, 1)
      await scene.ledger.writeOff(NOBODY.key, 'requests', { who: 'ceo@example.com', why: 'approved', now: hour(0) })
      const [entry] = await scene.ledger.audit()
      assert.deepEqual([entry?.who, entry?.at, entry?.number], ['ceo@example.com', hour(0), 1])
      assert.equal(entry?.systemUser, `${userName()}@${hostname()}`)
      const written = entry?.writtenAt as number
      // DynamoDB tells its time to the second.
      assert.ok(written >= began - 2000 && written < began + 600_000, `${written} is not about ${began}`)
      assert.match(entry?.hash ?? '', /^[0-9a-f]{64}$/)
    })

    scenario('is a chain, over texts of any kind, by several processes', async scene => {
      const another = await scene.another()
      const odd = { ...ALICE, key: 'odd \ud800 \0', product: '{"\ud83d":"\0\u2028"}' }
      for (const ledger of [scene.ledger, another, scene.ledger]) {
        await ledger.note({
          action: 'set-aside',
          who: 'o\0ps \udfff',
          why: "'; DROP TABLE audit --",
          detail: '\0\n\u2028{}"\\',
        })
        await ledger.noteSender('\0\ud800', [odd], hour(1))
      }
      const { entries, hash, breaks } = await another.verifyAudit()
      assert.deepEqual([entries, breaks], [4, []])
      assert.equal((await scene.ledger.audit({ limit: 1 }))[0]?.hash, hash)
    })

    scenario('stays a chain when many write at once', async scene => {
      const ledgers = [scene.ledger, await scene.another(), await scene.another()]
      await Promise.all(
        ledgers.flatMap((ledger, index) =>
          [0, 1, 2].map(n =>
            ledger.note({ action: 'set-aside', who: `writer ${index}`, why: 'refused', detail: `batch ${n}` }),
          ),
        ),
      )
      const { entries, breaks } = await scene.ledger.verifyAudit()
      assert.deepEqual([entries, breaks], [9, []])
      assert.equal(new Set((await said(scene.ledger)).map(String)).size, 9)
    })

    scenario('has what a sender feeds once, whoever says it', async scene => {
      const another = await scene.another()
      await Promise.all([
        scene.ledger.noteSender('plant-a', [ALICE, BOB, ALICE], hour(1)),
        another.noteSender('plant-a', [BOB, CAROL], hour(1)),
      ])
      await scene.ledger.noteSender('plant-b', [ALICE], hour(2))
      await scene.reopen()
      await scene.ledger.noteSender('plant-a', [{ ...ALICE }, BOB, CAROL, DORA, ERIN], hour(3))
      await scene.ledger.noteSender('plant-a', [], hour(3))
      const fed = await scene.ledger.audit({ actions: ['fed'], who: 'plant-a' })
      const keys = [ALICE, BOB, CAROL, DORA, ERIN].map(({ key }) => key)
      assert.deepEqual(fed.map(({ account }) => account?.key).sort(), [...keys].sort())
      const [of] = await scene.ledger.audit({ actions: ['fed'], who: 'plant-a', customer: ALICE.accountId as string })
      assert.deepEqual([of?.account, of?.at, of?.amount, of?.dimension], [ALICE, hour(1), undefined, undefined])
      // Nothing of it is usage.
      assert.deepEqual(await scene.ledger.statement(), [])
    })

    scenario('has what a sender feeds of many customers', async scene => {
      const many = Array.from({ length: 130 }, (_, index): CustomerAccount => {
        const accountId = String(100_000_000_000 + index)
        return { kind: 'customer', key: `prod-1,${accountId}`, product: 'prod-1', accountId }
      })
      await scene.ledger.noteSender('plant', many.slice(0, 50), hour(1))
      await scene.ledger.noteSender('plant', many, hour(2))
      const fed = await scene.ledger.audit({ actions: ['fed'], limit: 1000 })
      assert.equal(fed.length, 130)
      assert.equal(fed.filter(({ at }) => at === hour(1)).length, 50)
    })

    scenario('is asked by action, by who and by customer', async scene => {
      for (const account of [ALICE, NOBODY]) await scene.use(account, REQUESTS, 0, 1)
      await scene.ledger.writeOff(ALICE.key, 'requests', { ...BY, who: 'one' })
      await scene.ledger.writeOff(NOBODY.key, 'requests', { ...BY, who: 'two' })
      await scene.ledger.noteSender('plant', [ALICE, DORA, ERIN], hour(6))
      const asked = async (query: Parameters<Ledger['audit']>[0]) =>
        (await scene.ledger.audit(query)).map(({ action, who, account }) => `${action} ${who} ${account?.key}`)
      assert.deepEqual(await asked({ actions: ['write-off'] }), [
        `write-off two ${NOBODY.key}`,
        `write-off one ${ALICE.key}`,
      ])
      assert.deepEqual(await asked({ actions: ['write-off', 'fed'], limit: 1 }), [
        `fed plant ${ERIN.key}`,
        `write-off two ${NOBODY.key}`,
      ])
      assert.deepEqual(await asked({ who: 'one' }), [`write-off one ${ALICE.key}`])
      assert.deepEqual(await asked({ customer: ALICE.accountId as string }), [
        `fed plant ${ALICE.key}`,
        `write-off one ${ALICE.key}`,
      ])
      assert.deepEqual(await asked({ customer: DORA.licenseArn as string }), [`fed plant ${DORA.key}`])
      assert.deepEqual(await asked({ customer: 'erin', actions: ['fed'] }), [`fed plant ${ERIN.key}`])
      assert.deepEqual(await asked({ actions: ['conflict'] }), [])
      assert.deepEqual(await asked({ actions: [] }), [])
    })

    scenario('has what was pruned, but not that nothing was', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 1)
      await scene.close(0)
      await scene.send(METERED, closing(0))
      await billedIn(scene, 30)
      await scene.ledger.prune(hour(0))
      assert.deepEqual(await scene.ledger.audit(), [])
      await scene.ledger.prune(hour(2), { who: 'retention', why: 'older than 90 days', now: hour(31) })
      await scene.ledger.prune(hour(2))
      const [entry, ...others] = await scene.ledger.audit()
      assert.deepEqual([entry?.who, entry?.action, entry?.at, others], ['retention', 'prune', hour(31), []])
      assert.equal(entry?.detail, 'settled records of hours before 2026-03-10T02:00:00.000Z')
    })

    scenario('has that nobody said who prunes', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 1)
      await scene.close(0)
      await scene.send(METERED, closing(0))
      await billedIn(scene, 30)
      await scene.ledger.prune(hour(2))
      const [entry] = await scene.ledger.audit()
      assert.deepEqual([entry?.who, entry?.at], ['ledger', entry?.writtenAt])
    })

    scenario('has whose agreement has ended', async scene => {
      const now = hour(1)
      await scene.use(ALICE, REQUESTS, 0, 1)
      await scene.ledger.finalize(ALICE, { ...closeOptions(now), endedAt: now, who: 'ops', why: 'it was cancelled' })
      await scene.ledger.finalize(BOB, { ...closeOptions(now), endedAt: now })
      const entries = await scene.ledger.audit()
      assert.deepEqual(
        entries.map(({ who, why, action, account, detail, at }) => [who, why, action, account, detail, at]),
        [
          ['ledger', 'its agreement has ended', 'finalize', BOB, 'ended at 2026-03-10T01:00:00.000Z', now],
          ['ops', 'it was cancelled', 'finalize', ALICE, 'ended at 2026-03-10T01:00:00.000Z', now],
        ],
      )
    })

    scenario('has what a dimension was registered as and is now', async scene => {
      await scene.ledger.register(DIMENSIONS)
      assert.deepEqual(await scene.ledger.audit(), [])
      await scene.ledger.register([{ ...TOKENS, size: 500n * UNIT }, REQUESTS])
      await scene.ledger.register([{ ...GUARDED, maxQuantity: 7, unit: '{request}' }])
      await scene.ledger.register([{ name: GUARDED.name, unit: '{request}', baseUnit: '1', size: UNIT }])
      assert.deepEqual(await said(scene.ledger), [
        ['configuration', 'register', 'maxQuantity 7 → none'],
        ['configuration', 'register', 'unit {job} → {request}, maxQuantity 100 → 7'],
        ['configuration', 'register', 'size 1000000000 → 500000000'],
      ])
      assert.equal((await scene.ledger.audit())[2]?.dimension, 'tokens')
    })

    scenario('has what was set aside', async scene => {
      await scene.ledger.note({ action: 'set-aside', who: 'writer', why: 'the ledger refused it', detail: 'batch 7' })
      const [entry] = await scene.ledger.audit()
      assert.deepEqual([entry?.action, entry?.who, entry?.at], ['set-aside', 'writer', entry?.writtenAt])
    })
  })
}
