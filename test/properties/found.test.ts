import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MINUTE } from '../../src/ledger/hours.ts'
import { ALICE, BY, hour, NOBODY, REQUESTS, Scene } from '../ledger/scene.ts'
import { openSqlite } from '../ledger/sqlite-under-test.ts'

/** What the sequences have found, each as short as it can be. */

test('usage that is given to a customer is not billed before its hour', async () => {
  await using scene = await Scene.begin(openSqlite)
  await scene.use(NOBODY, REQUESTS, 1, 5)
  // The hour before is not closed yet.
  await scene.ledger.attribute(NOBODY.key, REQUESTS.name, ALICE, { ...BY, now: hour(1) + 2 * MINUTE })
  await scene.close(0)
  assert.deepEqual(await scene.history(ALICE, REQUESTS), [])
  await scene.close(1)
  assert.deepEqual(await scene.history(ALICE, REQUESTS), ['1:5 pending'])
})
