import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { BatchMeterUsageRequest } from '../../src/marketplace/client.ts'
import {
  accountId,
  answering,
  awsError,
  Bench,
  customer,
  HOUR,
  licenceArn,
  licensed,
  MINUTE,
  NOW,
  PRODUCT,
  rejecting,
  TOKENS,
} from './support.ts'

const customers = Array.from({ length: 25 }, (_, index) => customer(index))
const isBad = (bad: ReadonlySet<string | undefined>) => (record: { CustomerAWSAccountId?: string }) =>
  bad.has(record.CustomerAWSAccountId)

/** Requests that finding `bad` of 25 by halving may take. */
const most = (bad: number) => Math.min(49, 1 + bad * 10)

for (const name of [
  'InvalidUsageDimensionException',
  'InvalidLicenseException',
  'InvalidCustomerIdentifierException',
  'InvalidTagException',
  'InvalidUsageAllocationsException',
  'ValidationException',
  'TimestampOutOfBoundsException',
]) {
  for (const count of [1, 2, 25]) {
    test(`${name} for ${count} of 25: exactly those stay, the others are billed`, async t => {
      const bad = new Set(customers.filter((_, index) => index % 25 < count).map(one => one.accountId))
      let mended = false
      const bench = new Bench(t, {
        send: send => async (request, options) => {
          if (!mended && request.UsageRecords.some(isBad(bad))) throw awsError(name)
          return send(request, options)
        },
      })
      await bench.use(customers, 4)
      await bench.pass()
      // Once more in the same pass, with an earlier second of its hour, in which a licence may have ended.
      const twice = name === 'InvalidLicenseException'
      const clock = name === 'TimestampOutOfBoundsException'
      const held = twice ? 'held not-subscribed' : 'held refused'
      assert.deepEqual(await bench.states(), {
        ...(count < 25 && { metered: 25 - count }),
        [clock ? 'pending refused' : held]: count,
      })
      for (const record of await bench.records()) {
        assert.equal(record.state !== 'metered', bad.has(record.account.accountId))
        assert.equal(record.inDoubt, false)
        assert.equal(record.attempts, twice && record.state !== 'metered' ? 2 : 1, 'all of it is one attempt')
        if (record.state !== 'metered') assert.match(record.lastAnswer ?? '', new RegExp(name))
      }
      assert.ok(bench.sent.length <= most(count) + (twice ? count : 0), `${bench.sent.length} requests`)
      assert.equal(bench.billed(), (25 - count) * 4)
      if (clock) {
        assert.ok(bench.eventsOf('fault').some(event => event.fault === 'timestamp'))
        const sent = bench.sent.length
        await bench.pass()
        assert.equal(bench.sent.length, sent, 'it backs off')
        mended = true
        await bench.passes(1, 15 * MINUTE)
        await bench.assertAllBilled()
      }
    })
  }
}

test('what AWS refuses each hour is sought once, and then sent alone and last, until it takes it', async t => {
  let ended = true
  const bad = new Set(customers.slice(0, 5).map(({ accountId }) => accountId))
  const bench = new Bench(t, {
    send: send => async (request, options) => {
      if (ended && request.UsageRecords.some(isBad(bad))) throw awsError('InvalidLicenseException')
      return send(request, options)
    },
  })
  const hour = async () => {
    const before = bench.sent.length
    await bench.use(customers, 4)
    await bench.pass()
    bench.now += HOUR
    return bench.sent.slice(before).map(({ request }) => request.UsageRecords.length)
  }
  assert.ok((await hour()).length > 10)
  assert.deepEqual(await hour(), [20, 1, 1, 1, 1, 1])
  assert.deepEqual(await hour(), [20, 1, 1, 1, 1, 1])
  ended = false
  assert.deepEqual(await hour(), [20, 1, 1, 1, 1, 1])
  assert.deepEqual(await hour(), [25])
  assert.deepEqual(await bench.states(), { metered: 5 * 20 + 2 * 5, 'held not-subscribed': 3 * 5 })
})

test('the simulator’s own rule: an unknown dimension of one customer does not hold up the others', async t => {
  const bench = new Bench(t, {
    simulator: { catalogue: { products: [{ code: PRODUCT, dimensions: ['requests'] }] } },
  })
  await bench.use(customers.slice(0, 10), 4)
  await bench.use(customer(7), 4, { dimension: TOKENS })
  await bench.pass()
  assert.deepEqual(await bench.states(), { metered: 10, 'held refused': 1 })
  assert.ok((bench.simulator.counters.refused.InvalidUsageDimensionException ?? 0) > 1)
})

test('TimestampOutOfBounds by AWS’s own clock: kept, with growing waits, and billed when the clocks agree', async t => {
  const bench = new Bench(t, { simulator: { clock: NOW - 2 * HOUR } })
  await bench.use(customers.slice(0, 3), 4)
  await bench.pass()
  assert.deepEqual(await bench.states(), { 'pending refused': 3 })
  const waits: number[] = []
  for (let pass = 0; pass < 6; pass++) {
    const next = await bench.cycle.nextPassAt()
    waits.push(next - bench.now)
    bench.now = next
    await bench.pass()
  }
  assert.deepEqual(
    waits,
    waits.toSorted((a, b) => a - b),
  )
  assert.ok((waits[0] ?? 0) >= 15_000 && (waits.at(-1) ?? 0) <= 15 * MINUTE)
  bench.simulator.clock.set(bench.now)
  await bench.passes(1, 15 * MINUTE)
  await bench.assertAllBilled()
})

for (const [what, clock] of [
  ['behind', NOW + 30 * HOUR],
  ['ahead', NOW - 2 * HOUR],
] as const) {
  test(`a clock that is ${what} by hours makes nothing look like usage of before a subscription`, async t => {
    let bench: Bench
    const answers = () => ({
      batchMeterUsage: (request: BatchMeterUsageRequest) => bench.client('us-east-1').batchMeterUsage(request),
      // What the answer's own time says of this machine's.
      clockSkew: bench.now - bench.simulator.clock.now(),
    })
    bench = new Bench(t, { simulator: { clock }, cycle: { clientFor: answers } })
    await bench.use(customers.slice(0, 3), 4)
    await bench.pass()
    assert.deepEqual(await bench.states(), { pending: 3 })
    await bench.passes(26, HOUR)
    const { 'returned expired': returned, 'held refused': held } = await bench.states()
    assert.deepEqual({ returned, held }, { returned: 3, held: undefined })
  })
}

test('usage of before a subscription by product code began is held, and not billed with a later hour', async t => {
  const bench = new Bench(t, {
    simulator: { catalogue: { customers: [{ accountId: accountId(1), subscriptions: [] }] } },
  })
  bench.simulator.catalogue.subscribe({ accountId: accountId(1), product: PRODUCT, at: NOW - 5 * MINUTE })
  await bench.use(customer(1), 4)
  await bench.pass()
  assert.deepEqual(await bench.states(), { 'pending refused': 1 })
  await bench.passes(26, HOUR)
  assert.deepEqual(await bench.states(), { 'held refused': 1 })
  assert.match((await bench.records())[0]?.lastAnswer ?? '', /TimestampOutOfBoundsException: .*subscription began/)
  await bench.use(customer(1), 3, { hoursAgo: 0 })
  await bench.passes(1, HOUR)
  assert.deepEqual(await bench.states(), { 'held refused': 1, metered: 1 })
  assert.equal(bench.billed(), 3)
})

test('a licence that becomes active late bills the hour in which its buyer registered, whatever AWS says before', async t => {
  for (const pendingLicence of ['InvalidLicenseException', 'CustomerNotSubscribed'] as const) {
    const bench = new Bench(t, { simulator: { undocumented: { pendingLicence } } })
    const agreement = { accountId: accountId(1), licenseArn: licenceArn(1), product: PRODUCT }
    bench.simulator.catalogue.subscribe({ ...agreement, pending: true, at: NOW - 40 * MINUTE })
    const tell = (what: 'registered' | 'active', at: number) =>
      bench.ledger.noteAgreement(licensed(1), { what, at }, { ...bench.cycle.closeOptions, now: bench.now })
    await tell('registered', NOW - 39 * MINUTE)
    await bench.use(licensed(1), 4)
    await bench.passes(2, 0)
    assert.deepEqual(await bench.states(), { 'pending not-subscribed': 1 })
    bench.now += 30 * MINUTE
    bench.simulator.catalogue.activate(agreement)
    await tell('active', bench.now)
    await bench.pass()
    await bench.assertAllBilled()
  }
})

test('what waits for its agreement is asked for once more before its window closes, and so is what AWS does not answer', async t => {
  const bench = new Bench(t)
  const { catalogue, faults } = bench.simulator
  await bench.ledger.noteAgreement(
    customer(1),
    { what: 'active', at: NOW - 2 * HOUR },
    { ...bench.cycle.closeOptions, now: bench.now },
  )
  catalogue.suspend({ accountId: accountId(1) })
  faults.add({ kind: 'internal-error', rate: 1, customer: accountId(2) })
  await bench.use(customer(1), 4)
  await bench.use(customer(2), 4, { dimension: TOKENS })
  const closes = NOW - 70 * MINUTE + 24 * HOUR
  while (bench.now < closes - 12 * MINUTE) {
    await bench.pass()
    bench.now = Math.min(Math.max(await bench.cycle.nextPassAt(), bench.now + MINUTE), closes - 12 * MINUTE)
  }
  catalogue.resume({ accountId: accountId(1) })
  faults.clear()
  await bench.passes(6, MINUTE)
  await bench.assertAllBilled()
})

test('what cannot be known of one half does not touch the other', async t => {
  const bench = new Bench(t, {
    cycle: { concurrency: 1 },
    send: answering(rejecting(awsError('InvalidTagException')), rejecting(awsError('InternalServiceErrorException'))),
  })
  await bench.use(customers, 4)
  await bench.pass()
  const records = await bench.records()
  const doubtful = records.filter(record => record.inDoubt)
  assert.equal(doubtful.length, 13)
  // The lane failed, so its other half waits; it was refused, so it is surely not taken.
  assert.ok(records.filter(record => !record.inDoubt).every(record => record.state === 'pending'))
  await bench.passes(3, HOUR / 4)
  await bench.assertAllBilled()
})

test('halving ends with the pass: no request is begun after its signal', async t => {
  const end = new AbortController()
  const bench = new Bench(t, {
    cycle: { concurrency: 1 },
    send: send => async (request, options) => {
      if (bench.sent.length === 1) {
        end.abort()
        throw awsError('InvalidTagException')
      }
      return send(request, options)
    },
  })
  await bench.use(customers, 4)
  await bench.pass(end.signal)
  assert.equal(bench.sent.length, 1)
  assert.ok((await bench.records()).every(record => record.state === 'pending' && !record.inDoubt))
  await bench.pass()
  await bench.assertAllBilled()
})
