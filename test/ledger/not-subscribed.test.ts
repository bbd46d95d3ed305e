import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HOUR, MINUTE } from '../../src/ledger/hours.ts'
import {
  ALICE,
  BY,
  closeOptions,
  closing,
  entry,
  GUARDED,
  hour,
  lost,
  METERED,
  NOT_SUBSCRIBED,
  REQUESTS,
  ROLL_FORWARD,
  Scene,
  TOKENS,
} from './scene.ts'
import { openSqlite } from './sqlite-under-test.ts'

/** What the rules make of a customer that is not subscribed, in what can happen meanwhile; the engines are alike in it. */

/** A scene in which AWS has refused Alice's 7 of the first hour. */
async function blocked(): Promise<Scene> {
  const scene = await Scene.begin(openSqlite)
  await scene.use(ALICE, REQUESTS, 0, 7)
  await scene.close(0)
  await scene.send(NOT_SUBSCRIBED, closing(0))
  return scene
}

const release = async (scene: Scene, n: number) => {
  const held = await scene.ledger.records({ state: 'held', from: hour(n), to: hour(n + 1) })
  for (const { id } of held) await scene.ledger.decide(id, 'release', BY)
}

test('a balance of days, from before or from rolling forward, is held in one record and not sent; the next hour asks', async () => {
  await using scene = await blocked()
  for (const n of [1, 2, 3, 4, 5, 6]) await scene.use(ALICE, REQUESTS, n, 10)
  await scene.close(6, ROLL_FORWARD)
  // Its probe was refused, and waits for the next.
  await scene.send(NOT_SUBSCRIBED, closing(6))
  assert.equal(await scene.equation(ALICE, REQUESTS), '67 = 0 + 0 + 7 + 60')
  await scene.use(ALICE, REQUESTS, 10, 5)
  const { held } = await scene.close(10)
  assert.deepEqual(
    held.map(({ quantity, reason }) => [quantity, reason]),
    [[65, 'not-subscribed']],
  )
  await scene.use(ALICE, REQUESTS, 11, 5)
  await scene.close(11)
  await scene.send(METERED, closing(11))
  assert.equal(await scene.equation(ALICE, REQUESTS), '77 = 5 + 0 + 72 + 0')
})

test('hours that close together after a process was away ask each by itself', async () => {
  await using scene = await blocked()
  for (const n of [1, 2, 3]) await scene.append([entry(ALICE, REQUESTS, n, n), entry(ALICE, TOKENS, n, 1000 * n)])
  await scene.close(3)
  const records = await scene.claim(closing(3))
  const before = records.filter(({ timestamp }) => timestamp < hour(3))
  await scene.settle(before, NOT_SUBSCRIBED, closing(3))
  const since = records.filter(record => !before.includes(record))
  await scene.settle(since, METERED, closing(3))
  assert.deepEqual(await scene.history(ALICE, REQUESTS), [
    '3:3 metered',
    '2:2 held not-subscribed',
    '1:1 held not-subscribed',
    '0:7 held not-subscribed',
  ])
  assert.equal(await scene.equation(ALICE, TOKENS), '6000 = 3000 + 0 + 3000 + 0')
})

test('what could not be sent in time is held, also where the next hour shows that they are back; what was in doubt stays so', async () => {
  await using scene = await blocked()
  await scene.append([entry(ALICE, REQUESTS, 1, 2), entry(ALICE, TOKENS, 1, 1000)])
  await scene.close(1)
  const records = await scene.claim(closing(1))
  const sent = records.filter(({ dimension }) => dimension === TOKENS.name)
  const unsent = records.filter(record => !sent.includes(record))
  await scene.settle(sent, lost(closing(1) + MINUTE), closing(1))
  await scene.settle(unsent, { type: 'retry', at: closing(1) + MINUTE, notTaken: true }, closing(1))
  const later = await scene.claim(closing(2))
  await scene.settle(
    later.filter(({ dimension }) => dimension === TOKENS.name),
    NOT_SUBSCRIBED,
    closing(2),
  )
  await scene.settle(
    later.filter(({ dimension }) => dimension === REQUESTS.name),
    { type: 'retry', at: closing(2), notTaken: true },
    closing(2),
  )
  await scene.use(ALICE, REQUESTS, 25, 4)
  // In this order a pass does it.
  await scene.close(25)
  assert.deepEqual(
    (await scene.ledger.expire(closing(25))).held.map(({ quantity, reason }) => [quantity, reason]),
    [[2, 'not-subscribed']],
  )
  await scene.send(METERED, closing(25))
  await scene.use(ALICE, REQUESTS, 26, 1)
  await scene.close(26)
  assert.deepEqual(await scene.history(ALICE, REQUESTS), [
    '26:1 pending',
    '25:4 metered',
    '1:2 held not-subscribed',
    '0:7 held not-subscribed',
  ])
  assert.deepEqual(await scene.history(ALICE, TOKENS), ['1:1 held in-doubt'])
})

test('what a clock ahead has frozen goes back, and is held with the next hour', async () => {
  await using scene = await blocked()
  await scene.use(ALICE, REQUESTS, 4, 2)
  await scene.close(4)
  await scene.ledger.expire(closing(1))
  await scene.use(ALICE, REQUESTS, 1, 4)
  await scene.close(1)
  assert.deepEqual(await scene.history(ALICE, REQUESTS), [
    '4:2 returned expired',
    '1:6 held not-subscribed',
    '0:7 held not-subscribed',
  ])
})

test('a release while AWS still says no goes out once and is held again, whole', async () => {
  await using scene = await blocked()
  for (const n of [1, 2]) {
    await scene.use(ALICE, REQUESTS, n, 10)
    await scene.close(n)
    await scene.send(NOT_SUBSCRIBED, closing(n))
  }
  await release(scene, 0)
  await release(scene, 1)
  assert.equal(await scene.equation(ALICE, REQUESTS), '27 = 0 + 0 + 10 + 17')
  await scene.close(3)
  assert.equal((await scene.send(NOT_SUBSCRIBED, closing(3))).length, 1)
  for (const n of [4, 5]) {
    await scene.close(n)
    assert.deepEqual(await scene.claim(closing(n)), [])
  }
  assert.deepEqual(await scene.history(ALICE, REQUESTS), [
    '3:17 held not-subscribed',
    '2:10 held not-subscribed',
    '1:10 returned not-subscribed',
    '0:7 returned not-subscribed',
  ])
})

test('a guard holds what is of the hour; of hours before, the customer is the first reason', async () => {
  await using scene = await blocked()
  await scene.use(ALICE, GUARDED, 1, 500)
  await scene.close(1)
  await scene.append([entry(ALICE, GUARDED, 1, 300), entry(ALICE, GUARDED, 2, 300)])
  await scene.close(2)
  assert.deepEqual(await scene.history(ALICE, GUARDED), ['2:600 held not-subscribed', '1:500 held over-maximum'])
})

test('a probe that was under way when rolling forward was switched off is held with the next hour', async () => {
  await using scene = await blocked()
  await scene.use(ALICE, REQUESTS, 1, 2)
  await scene.close(1, ROLL_FORWARD)
  await scene.send(NOT_SUBSCRIBED, closing(1))
  await scene.close(2)
  assert.deepEqual(await scene.history(ALICE, REQUESTS), [
    '2:2 held not-subscribed',
    '1:2 returned not-subscribed',
    '0:7 held not-subscribed',
  ])
})

test('what an agreement that has ended can no longer take is held as that, and idle hours get no zeros', async () => {
  await using scene = await blocked()
  const zeros = { zeroQuantityRecords: true }
  for (const n of [1, 2]) await scene.close(n, zeros)
  assert.equal((await scene.ledger.records()).length, 1)
  await scene.ledger.finalize(ALICE, { ...closeOptions(closing(2)), endedAt: hour(1) })
  await scene.use(ALICE, REQUESTS, 3, 4)
  await scene.close(3, zeros)
  assert.deepEqual(await scene.history(ALICE, REQUESTS), ['3:4 held agreement-ended', '0:7 held not-subscribed'])
  assert.ok(closing(3) > hour(1) + HOUR)
})
