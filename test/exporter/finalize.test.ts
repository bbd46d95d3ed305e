import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LedgerError } from '../../src/index.ts'
import {
  ACCOUNT,
  customer,
  exportTo,
  HOUR,
  inferenceCollection,
  LICENCE,
  M,
  MINUTE,
  OTHER_ACCOUNT,
  other,
  override,
  saidDuring,
  tokens,
  world,
} from './support.ts'

const TOKENS = `${ACCOUNT} tokens-processed`

test('a customer whose agreement has ended is billed for its open hour at once, and nobody else is', async t => {
  const { exporter, clock, billed, simulator } = world(t)
  await exportTo(exporter, tokens(3))
  await exportTo(exporter, tokens(4, other))
  const endedAt = clock.now
  clock.now += 10 * MINUTE
  await exporter.finalize({ accountId: ACCOUNT }, { endedAt })
  assert.deepEqual(billed(), { [TOKENS]: 3 })
  const [record] = simulator.billed()
  assert.ok(record && Date.parse(record.timestamp) <= endedAt)
  clock.now += HOUR
  await exporter.forceFlush()
  assert.deepEqual(billed(), { [TOKENS]: 3, [`${OTHER_ACCOUNT} tokens-processed`]: 4 })
})

test('it takes a licence, whole units only, and leaves the fraction in the balance', async t => {
  const { exporter, clock, billed, line } = world(t, { product: 'inference' })
  const attributes = { ...customer, 'marketplace.customer.license_arn': LICENCE }
  await exportTo(exporter, inferenceCollection({ seconds: 5400, requests: 1, attributes }))
  await exporter.finalize({ accountId: ACCOUNT, licenseArn: LICENCE }, { endedAt: clock.now })
  assert.deepEqual(billed(), { [`${ACCOUNT} gpu-hours`]: 1, [`${ACCOUNT} inference-requests`]: 1 })
  assert.equal((await line(ACCOUNT, 'gpu-hours'))?.balance, 1800n * M)
})

test('what comes too late for an agreement that has ended is held, and said', async t => {
  const { exporter, clock, billed, line } = world(t)
  await exportTo(exporter, tokens(3))
  const endedAt = clock.now
  clock.now += 2 * HOUR
  const messages = (await saidDuring(() => exporter.finalize({ accountId: ACCOUNT }, { endedAt }))).join('\n')
  assert.deepEqual(billed(), {})
  assert.equal((await line(ACCOUNT, 'tokens-processed'))?.held, 3n * M)
  assert.match(messages, /error: Record \d+ is held: 3 of tokens-processed\. The agreement ended/)
})

test('what an export could not bring in is billed with the rest', async t => {
  let broken = true
  const { exporter, clock, billed } = world(t, {
    wrap: ledger =>
      override(ledger, {
        append: async batch => {
          if (broken) throw new LedgerError('ERR_LEDGER_FULL', 'no space is left')
          await ledger.append(batch)
        },
      }),
  })
  assert.equal((await exportTo(exporter, tokens(3))).code, 1)
  broken = false
  await exporter.finalize({ accountId: ACCOUNT }, { endedAt: clock.now })
  assert.deepEqual(billed(), { [TOKENS]: 3 })
})

test('finalize refuses what is no customer and no time', async t => {
  const { exporter, clock, billed, ledger } = world(t)
  await exportTo(exporter, tokens(3))
  const endedAt = clock.now
  for (const identity of [{}, { accountId: '7' }, { accountId: ACCOUNT, licenseArn: LICENCE }]) {
    await assert.rejects(exporter.finalize(identity, { endedAt }), { code: 'ERR_CONFIGURATION', message: /customer/ })
  }
  const noTimes = [new Date(clock.now), clock.now - 0.5, Number.NaN, '2026-06-10', undefined]
  for (const time of [...noTimes, Math.floor(clock.now / 1000), clock.now + 2 * 3_600_000]) {
    const options = { endedAt: time } as { endedAt: number }
    await assert.rejects(exporter.finalize({ accountId: ACCOUNT }, options), {
      code: 'ERR_CONFIGURATION',
      message: /endedAt: expected whole milliseconds since the epoch, now or in the last 30 days, got/,
    })
  }
  assert.deepEqual(billed(), {})
  assert.deepEqual(await ledger.records(), [])
})

test('finalize rejects for no fault of AWS', async t => {
  const { exporter, clock, billed, simulator } = world(t)
  simulator.faults.add({ kind: 'internal-error', rate: 1 })
  await exportTo(exporter, tokens(3))
  await exporter.finalize({ accountId: ACCOUNT }, { endedAt: clock.now })
  assert.deepEqual(billed(), {})
  simulator.faults.clear()
  clock.now += 10 * MINUTE
  await exporter.forceFlush()
  assert.deepEqual(billed(), { [TOKENS]: 3 })
})
