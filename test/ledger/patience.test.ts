import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Patience } from '../../src/ledger/clients/patience.ts'

const SILENT = { code: 'ERR_LEDGER_BUSY', message: 'the ledger does not answer' }

test('who waits for a ledger that is silent is told in time, and who comes then at once, until it answers', async t => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const patience = new Patience()
  const answers = Array.from({ length: 4 }, () => Promise.withResolvers<void>())
  const told: string[] = []
  const wait = (index: number) =>
    patience.wait((answers[index] as PromiseWithResolvers<void>).promise, 1000).then(
      () => told.push(`${index} answered`),
      error => {
        assert.deepEqual({ code: error.code, message: error.message }, SILENT)
        told.push(`${index} silent`)
      },
    )
  const noted = [wait(0)]
  t.mock.timers.tick(600)
  noted.push(wait(1))
  t.mock.timers.tick(399)
  await new Promise(setImmediate)
  assert.deepEqual(told, [])
  t.mock.timers.tick(1)
  await Promise.all(noted)
  assert.deepEqual(told.splice(0), ['0 silent', '1 silent'])
  await wait(2)
  assert.deepEqual(told.splice(0), ['2 silent'])
  // It has answered one of those who gave up: whoever comes waits again, though others are still unanswered.
  answers[0]?.resolve()
  await new Promise(setImmediate)
  const last = wait(3)
  t.mock.timers.tick(999)
  await new Promise(setImmediate)
  assert.deepEqual(told, [])
  answers[3]?.resolve()
  await last
  assert.deepEqual(told, ['3 answered'])
})

test('an error of the ledger is an answer, and passed on', async () => {
  const patience = new Patience()
  await assert.rejects(patience.wait(Promise.reject(new Error('full')), 1000), { message: 'full' })
})
