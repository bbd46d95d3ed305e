import assert from 'node:assert/strict'
import { test } from 'node:test'
import { broken } from './chaos.ts'
import { liveThrough } from './month.ts'

test('in a tiny month of chaos nothing is lost and nothing is billed twice', async () => {
  const outcome = await liveThrough('this package', { seed: 1, days: 3, customers: 6 }, () => {})
  assert.deepEqual(broken(new Map([['this package', outcome]])), [])
})
