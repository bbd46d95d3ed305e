import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hourOf } from '../../src/ledger/hours.ts'
import type { UsageRecord } from '../../src/marketplace/client.ts'
import type { FaultKind } from '../../src/simulator/index.ts'
import {
  answering,
  awsError,
  Bench,
  customer,
  HOUR,
  licenceArn,
  MINUTE,
  PRODUCT,
  REQUESTS,
  rejecting,
  SECOND,
  TOKENS,
  wired,
} from './support.ts'

const five = [1, 2, 3, 4, 5].map(number => customer(number))

test('Success: metered with its id after one request, and never sent again', async t => {
  const bench = new Bench(t)
  await bench.use(five, 3.7)
  await bench.pass()
  assert.deepEqual(await bench.states(), { metered: 5 })
  assert.equal(bench.billed(), 15)
  assert.deepEqual(bench.faults(), ['ok'])
  const billed = new Map(bench.simulator.billed().map(record => [record.accountId, record.meteringRecordId]))
  for (const record of await bench.records()) {
    assert.equal(record.meteringRecordId, billed.get(record.account.accountId))
    assert.equal(record.lastAnswer, 'Success')
    assert.equal(record.timestamp % SECOND, 0)
    assert.equal(Math.floor(record.timestamp / HOUR), Math.floor(record.hour / HOUR))
  }
  assert.deepEqual(
    bench.eventsOf('settled').flatMap(event => event.records.map(record => record.state)),
    Array(5).fill('metered'),
  )
  assert.deepEqual(
    bench.eventsOf('frozen').map(event => event.records),
    [5],
  )
  await bench.passes(3, MINUTE)
  assert.equal(bench.sent.length, 1)
  assert.equal(await bench.cycle.nextPassAt(), Number.POSITIVE_INFINITY)
})

/** How the answer of a request is hidden, whether its records were taken, and what the cycle makes of it. */
const hidden: [FaultKind, number, string, string][] = [
  ['internal-error', 0, 'unknown', 'InternalServiceErrorException'],
  ['internal-error-after', 15, 'unknown', 'InternalServiceErrorException'],
  ['reset', 0, 'unknown', 'ECONNRESET'],
  ['reset-after', 15, 'unknown', 'ECONNRESET'],
  ['html', 0, 'unknown', 'SyntaxError'],
  ['html-after', 15, 'unknown', 'SyntaxError'],
  ['truncated', 15, 'unknown', 'SyntaxError'],
  ['throttling', 0, 'throttled', 'ThrottlingException'],
  ['expired-credentials', 0, 'configuration', 'ExpiredTokenException'],
  ['access-denied', 0, 'configuration', 'AccessDeniedException'],
  ['unrecognized-client', 0, 'configuration', 'UnrecognizedClientException'],
  ['region-disabled', 0, 'configuration', 'DisabledApiException'],
]

for (const [kind, taken, fault, message] of hidden) {
  test(`${kind}: pending, ${fault === 'unknown' ? 'in doubt' : 'surely not taken'}, then the identical request again`, async t => {
    const bench = new Bench(t, { simulator: { faults: [{ kind, next: 1 }] } })
    await bench.use(five, 3)
    await bench.pass()
    assert.equal(bench.billed(), taken)
    assert.deepEqual(await bench.states(), { pending: 5 })
    for (const record of await bench.records()) {
      assert.equal(record.inDoubt, fault === 'unknown')
      assert.match(record.lastAnswer ?? '', new RegExp(message))
      assert.ok(record.nextAttemptAt !== undefined && record.nextAttemptAt > bench.now)
    }
    assert.deepEqual(bench.faults(), [fault])
    assert.match(bench.eventsOf('fault')[0]?.message ?? '', new RegExp(message))
    await bench.pass()
    assert.equal(bench.sent.length, 1, 'not before its time')
    // Whoever retries a failing lane does it with the record that comes first; then come the others.
    await bench.passes(2, HOUR / 2)
    await bench.assertAllBilled()
    assert.equal(bench.billed(), 15)
    const sent = bench.sent.map(({ request }) => request.UsageRecords)
    assert.deepEqual(sent.slice(1).flat(), sent[0], 'the identical records, each once more')
  })
}

test('empty: an answer without lists leaves its records in doubt', async t => {
  const bench = new Bench(t, { simulator: { faults: [{ kind: 'empty', next: 1 }] } })
  await bench.use(five, 3)
  await bench.pass()
  assert.ok((await bench.records()).every(record => record.state === 'pending' && record.inDoubt))
  assert.match(bench.eventsOf('nonsense')[0]?.message ?? '', /without an answer/)
  await bench.passes(2, HOUR / 2)
  await bench.assertAllBilled()
  assert.equal(bench.billed(), 15)
})

test('UnprocessedRecords: those alone are sent again, and are not in doubt', async t => {
  const bench = new Bench(t, {
    simulator: { faults: [{ kind: 'unprocessed', next: 1, customer: customer(2).accountId as string, share: 1 }] },
  })
  await bench.use(five, 3)
  await bench.pass()
  assert.deepEqual(await bench.states(), { metered: 4, pending: 1 })
  const left = (await bench.records()).find(record => record.state === 'pending')
  assert.equal(left?.account.accountId, customer(2).accountId)
  assert.deepEqual([left?.inDoubt, left?.lastAnswer], [false, 'unprocessed'])
  await bench.passes(1, MINUTE)
  await bench.assertAllBilled()
  assert.equal(bench.sent.length, 2)
  assert.deepEqual(
    bench.sent[1]?.request.UsageRecords,
    bench.sent[0]?.request.UsageRecords.filter(record => record.CustomerAWSAccountId === customer(2).accountId),
  )
})

test('UnprocessedRecords, after a client tried more than once by itself: in doubt', async t => {
  const bench = new Bench(t, {
    send: () => async request => ({ UnprocessedRecords: request.UsageRecords, $metadata: { attempts: 2 } }),
  })
  await bench.use(five, 3)
  await bench.pass()
  assert.ok((await bench.records()).every(record => record.state === 'pending' && record.inDoubt))
})

test('missing in both lists: in doubt, though taken, and sent again', async t => {
  const bench = new Bench(t, {
    simulator: { faults: [{ kind: 'missing', next: 1, customer: customer(4).accountId as string, share: 1 }] },
  })
  await bench.use(five, 3)
  await bench.pass()
  assert.deepEqual(await bench.states(), { metered: 4, pending: 1 })
  assert.equal((await bench.records()).find(record => record.state === 'pending')?.inDoubt, true)
  assert.equal(bench.billed(), 15)
  await bench.passes(1, MINUTE)
  await bench.assertAllBilled()
  assert.equal(bench.billed(), 15)
})

test('results in another order are told apart', async t => {
  const bench = new Bench(t, { simulator: { faults: [{ kind: 'shuffled', rate: 1 }] } })
  for (const number of [1, 2, 3, 4, 5]) await bench.use(customer(number), number)
  await bench.pass()
  await bench.assertAllBilled()
  const ids = new Map(bench.simulator.billed().map(record => [record.accountId, record.meteringRecordId]))
  for (const { account, meteringRecordId } of await bench.records())
    assert.equal(meteringRecordId, ids.get(account.accountId))
})

/** Another tool of the seller meters the hour of customer 1 with another quantity. */
function meterForeign(bench: Bench, quantity: number): void {
  bench.simulator.meterForeign({
    ProductCode: PRODUCT,
    UsageRecords: [
      {
        Timestamp: new Date(bench.now - HOUR),
        Dimension: REQUESTS.name,
        Quantity: quantity,
        CustomerAWSAccountId: customer(1).accountId,
      },
    ],
  })
}

test('DuplicateRecord: the hour is somebody else’s, so the quantity is held as a conflict', async t => {
  const bench = new Bench(t)
  await bench.use([customer(1), customer(2)], 5)
  meterForeign(bench, 8)
  await bench.pass()
  assert.deepEqual(await bench.states(), { 'held conflict': 1, metered: 1 })
  assert.equal((await bench.records()).find(record => record.state === 'held')?.inDoubt, false)
  assert.equal(bench.billed(), 5)
  await bench.passes(3, HOUR)
  assert.equal(bench.sent.length, 1, 'a held record is never sent again by itself')
})

test('DuplicateRecord with roll-forward: the quantity goes out with the next hour', async t => {
  const bench = new Bench(t, { cycle: { onConflict: 'roll-forward' } })
  await bench.use([customer(1), customer(2)], 5)
  meterForeign(bench, 8)
  await bench.pass()
  assert.deepEqual(await bench.states(), { 'returned conflict': 1, metered: 1 })
  await bench.passes(1, HOUR)
  await bench.assertAllBilled()
  assert.deepEqual(await bench.states(), { 'returned conflict': 1, metered: 2 })
  assert.equal(bench.billed(), 10)
})

test('an identical resend that is answered DuplicateRecord is billed once, whatever is wanted of conflicts', async t => {
  for (const onConflict of ['hold', 'roll-forward'] as const) {
    const bench = new Bench(t, { cycle: { onConflict } })
    // As one sentence of AWS's guidance has it.
    bench.simulator.undocumented = { resend: 'DuplicateRecord' }
    await bench.use(customer(1), 5)
    bench.simulator.faults.add({ kind: 'reset-after', next: 1 })
    await bench.passes(2, MINUTE)
    assert.deepEqual(await bench.states(), { 'held in-doubt': 1 })
    await bench.passes(2, HOUR)
    assert.equal(bench.billed(), 5)
  }
})

test('DuplicateRecord after an attempt that never reached AWS is held too, since that cannot be told apart', async t => {
  const bench = new Bench(t, { cycle: { onConflict: 'roll-forward' } })
  await bench.use(customer(1), 5)
  bench.simulator.faults.add({ kind: 'reset', next: 1 })
  await bench.pass()
  meterForeign(bench, 8)
  await bench.passes(1, MINUTE)
  assert.deepEqual(await bench.states(), { 'held in-doubt': 1 })
})

test('CustomerNotSubscribed: each hour asks and is held; on return new usage goes out, and nothing of before', async t => {
  const bench = new Bench(t)
  const gone = five.slice(0, 3)
  const subscribe = (at: number, how: 'subscribe' | 'unsubscribe' = 'subscribe') => {
    for (const { accountId } of gone)
      bench.simulator.catalogue[how]({ accountId: accountId as string, product: PRODUCT, at })
  }
  subscribe(bench.now - 100 * HOUR)
  subscribe(bench.now - 10 * HOUR, 'unsubscribe')
  const days = 2
  for (let hour = 0; hour < 24 * days; hour++) {
    await bench.use(five, 100)
    await bench.pass()
    bench.now += HOUR
  }
  // They share the requests of the others, and hold up none of them.
  assert.equal(bench.sent.length, 24 * days)
  assert.deepEqual(await bench.states(), { 'held not-subscribed': 3 * 24 * days, metered: 2 * 24 * days })
  subscribe(bench.now - HOUR)
  const back = bench.now - HOUR
  for (let hour = 0; hour < 26; hour++) {
    await bench.use(five, 1)
    await bench.pass()
    bench.now += HOUR
  }
  const billed = bench.simulator.billed().filter(({ accountId }) => accountId === gone[0]?.accountId)
  assert.deepEqual([...new Set(billed.map(({ quantity }) => quantity))], [1])
  assert.equal(billed.length, 26)
  assert.ok(billed.every(({ timestamp }) => Date.parse(timestamp) >= back))
  for (const { key } of gone) {
    const [line] = await bench.ledger.statement({ customer: key })
    assert.deepEqual([line?.metered, line?.held, line?.balance], [26_000_000n, 4_800_000_000n, 0n])
  }
})

test('CustomerNotSubscribed with roll-forward: later usage waits and is probed, and all of it goes out on return', async t => {
  const bench = new Bench(t, { cycle: { onNotSubscribed: 'roll-forward' } })
  const ids = { accountId: customer(1).accountId as string, product: PRODUCT }
  bench.simulator.catalogue.subscribe({ ...ids, at: bench.now - 100 * HOUR })
  bench.simulator.catalogue.unsubscribe({ ...ids, at: bench.now - 10 * HOUR })
  await bench.use([customer(1), customer(2)], 5)
  await bench.pass()
  assert.deepEqual(await bench.states(), { 'held not-subscribed': 1, metered: 1 })
  const sentFor = () =>
    bench.sent.filter(({ request }) => request.UsageRecords.some(r => r.CustomerAWSAccountId === ids.accountId)).length
  for (let hour = 0; hour < 12; hour++) {
    bench.now += HOUR
    await bench.use([customer(1), customer(2)], 1)
    await bench.pass()
  }
  // Probed after 1, 2, 4 and 8 hours or so, not every hour; what a probe carried returns.
  assert.ok(sentFor() >= 4 && sentFor() <= 6, `${sentFor()} requests`)
  const [line] = await bench.ledger.statement({ customer: ids.accountId })
  assert.deepEqual([line?.metered, line?.pending, line?.held, line?.balance], [0n, 0n, 5_000_000n, 12_000_000n])
  bench.simulator.catalogue.subscribe({ ...ids, at: bench.now - 2 * HOUR })
  for (let hour = 0; hour < 20; hour++) await bench.passes(1, HOUR)
  const [after] = await bench.ledger.statement({ customer: ids.accountId })
  assert.deepEqual([after?.metered, after?.held, after?.balance], [12_000_000n, 5_000_000n, 0n])
})

test('CustomerNotSubscribed after an attempt without an answer proves nothing: in doubt', async t => {
  const bench = new Bench(t)
  const ids = { accountId: customer(1).accountId as string, product: PRODUCT }
  bench.simulator.catalogue.subscribe({ ...ids, at: bench.now - 100 * HOUR })
  bench.simulator.faults.add({ kind: 'reset-after', next: 1 })
  await bench.use(customer(1), 5)
  await bench.pass()
  bench.simulator.catalogue.unsubscribe({ ...ids, at: bench.now - 2 * HOUR })
  await bench.passes(1, MINUTE)
  assert.deepEqual(await bench.states(), { 'held in-doubt': 1 })
  assert.equal(bench.billed(), 5)
})

for (const [what, answer] of [
  ['CustomerNotSubscribed', 'not-subscribed'],
  ['DuplicateRecord', 'conflict'],
  ['InvalidLicenseException', 'refused'],
] as const) {
  test(`${what} to the second attempt of a client that tries again by itself proves nothing of its first`, async t => {
    // The first attempt was taken and its answer lost; then the agreement ended.
    const bench = new Bench(t, {
      send: send => async (request, options) => {
        if (bench.sent.length === 1) await send(request, options)
        const attempts = bench.sent.length === 1 ? 2 : 1
        if (answer === 'refused') throw awsError(what, { $metadata: { attempts } })
        return {
          Results: request.UsageRecords.map(UsageRecord => ({ UsageRecord, Status: what })),
          $metadata: { attempts },
        }
      },
    })
    await bench.use([customer(1), customer(2), customer(3)], 5)
    await bench.pass()
    await bench.passes(3, HOUR)
    assert.deepEqual(await bench.states(), { 'held in-doubt': 3 })
    assert.equal(bench.billed(), 15)
  })
}

test('a client that never answers and does not listen: given up after requestTimeout, in doubt', async t => {
  let signal: AbortSignal | undefined
  const bench = new Bench(t, {
    cycle: { requestTimeout: 20, concurrency: 1 },
    send: answering(async (_request, options) => {
      signal = options?.abortSignal
      return new Promise(() => {})
    }),
  })
  await bench.use(five, 3)
  await bench.pass()
  assert.equal(signal?.aborted, true)
  assert.ok(
    (await bench.records()).every(record => record.inDoubt && /^TimeoutError: no answer/.test(record.lastAnswer ?? '')),
  )
  assert.deepEqual(bench.faults(), ['unknown'])
  await bench.passes(2, HOUR / 2)
  await bench.assertAllBilled()
})

test('an answer that comes after the time is up is not lost: the identical resend gets it', async t => {
  const bench = new Bench(t, {
    cycle: { requestTimeout: 20 },
    simulator: { faults: [{ kind: 'latency', next: 1, milliseconds: 200 }] },
  })
  await bench.use(five, 3)
  await bench.pass()
  assert.equal(bench.billed(), 15)
  assert.deepEqual(await bench.states(), { pending: 5 })
  await bench.passes(2, HOUR / 2)
  await bench.assertAllBilled()
  assert.equal(bench.billed(), 15)
})

test('a client without credentials: nothing is taken, and everything goes out when they are there', async t => {
  const error = awsError('CredentialsProviderError', { tryNextLink: false })
  const bench = new Bench(t, { send: answering(rejecting(error), rejecting(error)) })
  await bench.use(five, 3)
  await bench.pass()
  assert.deepEqual(bench.faults(), ['configuration'])
  assert.ok((await bench.records()).every(record => record.state === 'pending' && !record.inDoubt))
  await bench.passes(3, 20 * MINUTE)
  await bench.assertAllBilled()
})

const connecting = (code: string, syscall: string) => awsError('Error', { code, syscall })
const unreachable: [string, unknown, boolean][] = [
  ['ECONNREFUSED', connecting('ECONNREFUSED', 'connect'), false],
  ['ENOTFOUND', connecting('ENOTFOUND', 'getaddrinfo'), false],
  [
    'ECONNREFUSED at every address',
    Object.assign(new AggregateError([connecting('ECONNREFUSED', 'connect'), connecting('ETIMEDOUT', 'connect')]), {
      code: 'ECONNREFUSED',
    }),
    false,
  ],
  ['EHOSTUNREACH while connecting', connecting('EHOSTUNREACH', 'connect'), false],
  // Linux says so of an open connection too, whose request may have arrived.
  ['EHOSTUNREACH while reading', connecting('EHOSTUNREACH', 'read'), true],
  ['ECONNRESET', connecting('ECONNRESET', 'read'), true],
  [
    'ECONNREFUSED at the last of three attempts',
    awsError('Error', { ...connecting('ECONNREFUSED', 'connect'), $metadata: { attempts: 3 } }),
    true,
  ],
]
for (const [what, error, inDoubt] of unreachable) {
  test(`${what}: ${inDoubt ? 'in doubt' : 'surely not sent, so that it rolls forward when the window closes'}`, async t => {
    const bench = new Bench(t, {
      send: send => async (request, options) => {
        if (bench.now < NOW_AGAIN) throw error
        return send(request, options)
      },
    })
    const NOW_AGAIN = bench.now + 25 * HOUR
    await bench.use(five, 3)
    await bench.pass()
    const records = await bench.records()
    assert.ok(records.every(record => record.state === 'pending' && record.inDoubt === inDoubt))
    await bench.passes(26, HOUR)
    assert.deepEqual(await bench.states(), inDoubt ? { 'held in-doubt': 5 } : { 'returned expired': 5, metered: 5 })
    assert.equal(bench.billed(), inDoubt ? 0 : 15)
  })
}

test('one product that cannot be metered does not hold up another', async t => {
  const bench = new Bench(t, { simulator: { catalogue: { products: [{ code: PRODUCT }] } } })
  await bench.use([customer(1), customer(2, 'prod-unknown')], 5)
  await bench.pass()
  assert.deepEqual(await bench.states(), { metered: 1, pending: 1 })
  assert.deepEqual(bench.faults().sort(), ['configuration', 'ok'])
  assert.deepEqual(
    bench.eventsOf('fault').map(event => [event.lane.product, event.fault]),
    [['prod-unknown', 'configuration']],
  )
  const before = bench.sent.length
  bench.now += 10 * SECOND
  await bench.use(customer(3), 1, { hoursAgo: 0 })
  await bench.pass()
  assert.equal(bench.sent.length, before, 'the lane is left alone')
  bench.simulator.catalogue.declareProduct({ code: 'prod-unknown' })
  await bench.passes(1, HOUR)
  await bench.assertAllBilled()
})

test('quantities of several dimensions and fractions: what is metered times the size is what was used', async t => {
  const bench = new Bench(t)
  await bench.use(five, 2.4, { dimension: TOKENS })
  await bench.use(five, 7)
  await bench.pass()
  bench.now += HOUR
  await bench.use(five, 2.8, { dimension: TOKENS })
  await bench.pass()
  await bench.assertAllBilled()
  for (const { dimension, quantity, records } of bench.simulator.totals()) {
    assert.deepEqual([quantity, records], dimension === 'tokens' ? [5, 2] : [7, 1])
  }
  assert.equal(new Set(wired(bench.sent)).size, bench.sent.length)
})

/** What AWS may say beside what it was asked, or less exactly, of a record that is the same for it. */
const echoes: [string, (record: UsageRecord) => object][] = [
  ['its time rounded to the hour', record => ({ ...record, Timestamp: new Date(hourOf(record.Timestamp.getTime())) })],
  ['the older identifier beside the account', record => ({ ...record, CustomerIdentifier: 'abc' })],
  ['the licence beside the account', record => ({ ...record, LicenseArn: licenceArn(1) })],
  ['a member that is not known yet', record => ({ ...record, UsageAllocations: [], Currency: 'USD' })],
]
for (const [what, echo] of echoes) {
  test(`${what} is still the answer`, async t => {
    const bench = new Bench(t, {
      send: send => async (request, options) => {
        const { Results = [] } = await send(request, options)
        return {
          Results: Results.map(one => ({ ...one, UsageRecord: echo(one.UsageRecord as UsageRecord) as UsageRecord })),
        }
      },
    })
    await bench.use(five, 3)
    await bench.pass()
    assert.deepEqual(await bench.states(), { metered: 5 })
    assert.deepEqual(bench.eventsOf('nonsense'), [])
  })
}

test('a record that AWS never answers holds up no other, in its request and in those of processes to come', async t => {
  const all = Array.from({ length: 60 }, (_, number) => customer(number))
  const bad = all[3]?.accountId
  const bench = new Bench(t, {
    send: send => async (request, options) => {
      if (request.UsageRecords.some(({ CustomerAWSAccountId }) => CustomerAWSAccountId === bad)) {
        throw awsError('InternalServiceErrorException', { $metadata: { httpStatusCode: 500 } })
      }
      return send(request, options)
    },
  })
  for (let hour = 1; hour <= 12; hour++) {
    await bench.use(all, 10)
    // A process that sends for some seconds, and ends.
    bench.cycle = bench.newCycle()
    await bench.passes(4, 2 * SECOND)
    const lines = await bench.ledger.statement()
    const others = lines.filter(({ account }) => account.kind === 'customer' && account.accountId !== bad)
    assert.equal(
      others.reduce((sum, line) => sum + line.metered, 0n),
      BigInt(59 * 10 * hour) * 1_000_000n,
    )
    await bench.passes(0, 0)
    bench.now += HOUR - 8 * SECOND
  }
})

test('where AWS fails over everything, a request is not divided for long', async t => {
  let failing = false
  const bench = new Bench(t, {
    send: send => async (request, options) => {
      if (failing) throw awsError('InternalServiceErrorException', { $metadata: { httpStatusCode: 500 } })
      return send(request, options)
    },
  })
  await bench.use([customer(0)], 1)
  await bench.pass()
  failing = true
  bench.now += HOUR
  await bench.use(
    Array.from({ length: 100 }, (_, number) => customer(number)),
    1,
  )
  bench.now += HOUR
  bench.sent.length = 0
  await bench.pass()
  assert.ok(bench.sent.length <= 10, `${bench.sent.length} requests`)
  failing = false
  await bench.passes(8, 20 * MINUTE)
  await bench.assertAllBilled()
})
