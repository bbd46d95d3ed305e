import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CachedValue } from '../../../src/gateway/operations/cached-value.ts'

function counting(work: () => Promise<void> | void = () => {}) {
  const clock = { now: 1_000_000 }
  let reads = 0
  const value = new CachedValue(
    async () => {
      reads += 1
      const read = reads
      await work()
      return read
    },
    { now: () => clock.now, lifetime: 1000, share: 0.02 },
  )
  return { clock, value, reads: () => reads }
}

test('it is read once for all who ask within its lifetime, and again after it', async () => {
  const { clock, value } = counting()
  assert.deepEqual(await Promise.all([value.get(), value.get(), value.get()]), [1, 1, 1])
  clock.now += 999
  assert.equal(await value.get(), 1)
  clock.now += 1
  assert.equal(await value.get(), 2)
})

test('what is dear to read is read more rarely: reading takes no more than its share of the time', async () => {
  const { clock, value } = counting(() => {
    const end = performance.now() + 40
    while (performance.now() < end);
  })
  await value.get()
  clock.now += 1999
  assert.equal(await value.get(), 1)
  // However slow this machine was, so much it did not take.
  clock.now += 60_000
  assert.equal(await value.get(), 2)
})

test('a read that fails is not remembered, and a clock that is set back makes nothing last for ever', async () => {
  let fails = true
  const { clock, value, reads } = counting(() => {
    if (fails) throw new Error('no')
  })
  await assert.rejects(value.get(), /no/)
  await assert.rejects(value.get(), /no/)
  fails = false
  assert.equal(await value.get(), 3)
  clock.now -= 3_600_000
  assert.equal(await value.get(), 4)
  assert.equal(reads(), 4)
})
