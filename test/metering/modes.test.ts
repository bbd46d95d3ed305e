import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AuditEntry } from '../../src/ledger/ledger.ts'
import { MAX_RECORDS } from '../../src/marketplace/client.ts'
import { HttpMeteringClient } from '../../src/marketplace/index.ts'
import { decideEndpoint } from '../../src/metering/endpoints.ts'
import { recentQuantityAlert } from '../../src/metering/quantity-alert.ts'
import { MarketplaceSimulator, simulatorClient, startSimulator } from '../../src/simulator/index.ts'
import {
  accountId,
  awsError,
  Bench,
  customer,
  HOUR,
  identified,
  licenceArn,
  licensed,
  MINUTE,
  NOW,
  REGION,
  SECOND,
  TOKENS,
} from './support.ts'

const customers = (count: number) => Array.from({ length: count }, (_, index) => customer(index))

test('a request has one product and one identity, in full, and at most 25 records', async t => {
  const bench = new Bench(t, {
    simulator: {
      catalogue: {
        products: [{ code: 'prod-a' }, { code: 'prod-b' }],
        customers: Array.from({ length: 130 }, (_, index) => ({
          accountId: accountId(index),
          customerIdentifier: `customer-${index}`,
          subscriptions: [
            { product: 'prod-a' },
            { product: 'prod-b' },
            { product: index < 100 ? 'prod-a' : 'prod-b', licenseArn: licenceArn(index) },
          ],
        })),
      },
    },
  })
  const numbers = Array.from({ length: 30 }, (_, index) => index)
  await bench.use(
    [
      ...numbers.flatMap(number => [customer(number, 'prod-a'), customer(number, 'prod-b')]),
      ...numbers.map(number => identified(30 + number, 'prod-a')),
      ...numbers.flatMap(number => [licensed(60 + number, 'prod-a'), licensed(100 + number, 'prod-b')]),
    ],
    3,
  )
  await bench.cycle.pass()
  assert.deepEqual(await bench.states(), { metered: 150 })
  assert.equal(bench.billed(), 450)
  for (const { request } of bench.sent) {
    assert.ok(request.UsageRecords.length <= MAX_RECORDS)
    for (const record of request.UsageRecords) {
      const { CustomerAWSAccountId, CustomerIdentifier, LicenseArn } = record
      assert.equal(LicenseArn === undefined, request.ProductCode !== undefined)
      assert.ok((CustomerAWSAccountId === undefined) !== (CustomerIdentifier === undefined))
      assert.deepEqual(
        Object.keys(record).filter(name => record[name as keyof typeof record] === undefined),
        [],
      )
    }
    if (request.ProductCode !== undefined) continue
    const products = request.UsageRecords.map(record => Number((record.LicenseArn ?? '').slice(-3)) >= 100)
    assert.equal(new Set(products).size, 1, 'licences of two products never meet in a request')
  }
})

test('a record stays in the region it was frozen for', async t => {
  const bench = new Bench(t)
  await bench.use(customers(3), 2)
  await bench.newCycle({ dryRun: true }).pass()
  bench.cycle = bench.newCycle({ region: 'eu-west-1' })
  bench.now += HOUR
  await bench.use(customers(3), 5)
  await bench.pass()
  await bench.assertAllBilled()
  assert.deepEqual(bench.sent.map(({ region }) => region).sort(), ['eu-west-1', REGION])
  assert.deepEqual(
    bench.simulator.totals().map(({ region, quantity }) => [region, quantity]),
    [...Array(3).fill([REGION, 2]), ...Array(3).fill(['eu-west-1', 5])],
  )
})

test('a region without a client: reported, not attempted, and nobody is woken for it', async t => {
  const bench = new Bench(t)
  bench.cycle = bench.newCycle({ clientFor: () => undefined })
  await bench.use(customers(3), 2)
  await bench.pass()
  assert.equal(bench.eventsOf('no-client')[0]?.lane.region, REGION)
  assert.ok((await bench.records()).every(record => record.attempts === 0))
  assert.equal(await bench.cycle.nextPassAt(), Number.POSITIVE_INFINITY)
})

test('a second process whose client is a simulator takes nothing, until a person decides', async t => {
  const bench = new Bench(t)
  const simulator = new MarketplaceSimulator({ now: () => bench.now, quota: null })
  const simulated = (region: string) => simulatorClient(simulator, { region })
  const elsewhere = bench.newCycle({ clientFor: simulated })
  // Of another region, too: what it froze would be sent there for good.
  const abroad = bench.newCycle({ clientFor: simulated, region: 'eu-west-1' })
  await bench.use(customers(3), 2)
  await bench.pass()
  bench.now += HOUR
  await bench.use(customers(50), 5)
  await Promise.all([elsewhere.pass(), abroad.pass()])
  assert.deepEqual(await bench.states(), { metered: 3 }, 'nothing is frozen, either')
  await Promise.all([elsewhere.pass(), bench.pass(), abroad.pass()])
  await bench.assertAllBilled()
  assert.equal(bench.billed(), 256)
  assert.deepEqual(simulator.requests(), [])
  const findings = bench.eventsOf('endpoint').filter(({ region }) => region === REGION)
  assert.match(
    findings[0]?.finding?.message ?? '',
    /^This ledger's records of us-east-1 go to AWS \(metering, 2026-06-10T12:10Z\)\. This process sends to localhost: so it freezes and sends none\.$/,
  )
  assert.match(findings[0]?.finding?.advice ?? '', /: marketplace-meter endpoint localhost --why "…"$/)
  // It is in the audit trail once.
  const trail = async () => (await bench.ledger.audit({ actions: ['endpoint'] })).map(({ detail }) => detail).toSorted()
  const refused = ['eu-west-1 localhost refused', 'us-east-1 aws', 'us-east-1 localhost refused']
  assert.deepEqual(await trail(), refused)
  bench.now += HOUR
  await bench.use(customers(3), 1)
  await bench.cycle.pass()
  bench.now += HOUR
  await bench.use(customers(3), 7)
  await elsewhere.pass()
  assert.equal(await elsewhere.nextPassAt(), Number.POSITIVE_INFINITY, 'nobody is woken for it')

  // Nobody has to start anything again: who meters goes on to freeze, and does not send.
  await decideEndpoint(bench.ledger, 'localhost', undefined, { who: 'ops', why: 'a test', now: bench.now })
  await bench.cycle.pass()
  assert.deepEqual(await bench.states(), { metered: 56, pending: 3 })
  assert.equal(bench.eventsOf('endpoint').at(-1)?.finding?.name, 'endpoint')
  await bench.cycle.pass()
  await elsewhere.pass()
  assert.deepEqual(await bench.states(), { metered: 59 })
  assert.equal(bench.eventsOf('endpoint').at(-1)?.finding, undefined)
  assert.equal(bench.billed(), 259)
  assert.equal(
    simulator.totals().reduce((sum, { quantity }) => sum + quantity, 0),
    21,
  )
})

test('the other way round: AWS gets nothing of what is metered to a simulator', async t => {
  const bench = new Bench(t)
  const simulator = new MarketplaceSimulator({ now: () => bench.now, quota: null })
  await bench.use(customers(3), 2)
  // Who sends nothing is no memory.
  await bench.newCycle({ dryRun: true }).pass()
  assert.deepEqual(await bench.ledger.audit({ actions: ['endpoint'] }), [])
  await bench.newCycle({ clientFor: region => simulatorClient(simulator, { region }) }).pass()
  bench.now += HOUR
  await bench.use(customers(3), 2)
  // A client that does not say where it sends is taken for AWS's.
  await bench.cycle.pass()
  assert.equal(bench.sent.length, 0)
  assert.match(bench.eventsOf('endpoint')[0]?.finding?.message ?? '', /go to localhost .* sends to AWS: /)
  const again = await startSimulator({ now: () => bench.now, quota: null })
  t.after(() => again.close())
  const client = new HttpMeteringClient({
    ...{ region: REGION, endpoint: again.url, credentials: { accessKeyId: 'A', secretAccessKey: 'x' } },
  })
  await bench.newCycle({ clientFor: () => client }).pass()
  assert.deepEqual(await bench.states(), { metered: 6 }, 'a simulator that was started again has another port')
})

test('a client that cannot tell where it sends fails in its own words', async t => {
  const bench = new Bench(t)
  const failing = async () => {
    throw awsError('CredentialsProviderError')
  }
  bench.cycle = bench.newCycle({ clientFor: () => ({ endpoint: failing, batchMeterUsage: failing }) })
  await bench.use(customers(3), 2)
  await bench.pass()
  assert.deepEqual(bench.faults(), ['configuration'])
  assert.deepEqual(await bench.ledger.audit({ actions: ['endpoint'] }), [])
})

test('a dry run freezes and reports what would be sent, and sends nothing', async t => {
  const bench = new Bench(t, { cycle: { dryRun: true } })
  await bench.use(customers(30), 2)
  await bench.pass()
  const [event] = bench.eventsOf('dry-run')
  assert.equal(event?.records.length, 30)
  assert.deepEqual([...new Set(event?.records.map(record => record.quantity))], [2])
  await bench.passes(3, HOUR)
  assert.equal(bench.sent.length, 0)
  assert.equal(bench.eventsOf('dry-run').length, 1)
  assert.equal(await bench.cycle.nextPassAt(), Number.POSITIVE_INFINITY, 'nothing to wake up for')
  bench.cycle = bench.newCycle({ dryRun: false })
  await bench.pass()
  await bench.assertAllBilled()
})

test('the next pass is when something can be sent, not before', async t => {
  const bench = new Bench(t, { cycle: { concurrency: 1 } })
  bench.simulator.faults.add({ kind: 'access-denied', rate: 1 })
  await bench.use(customers(60), 2)
  await bench.pass()
  // 35 records were never tried and are due, but their lane is left alone.
  const next = await bench.cycle.nextPassAt()
  assert.ok(next >= bench.now + 10 * SECOND, `${next - bench.now} ms`)
  bench.simulator.faults.clear()
  bench.now = next
  await bench.pass()
  assert.ok(bench.billed() > 0)
})

test('what an ended agreement owes goes out before all else', async t => {
  const bench = new Bench(t, { cycle: { concurrency: 1 } })
  await bench.use(customers(60), 2)
  bench.now += 20 * MINUTE
  await bench.use(customer(99), 4, { hoursAgo: 0 })
  await bench.newCycle({ dryRun: true }).pass()
  const endedAt = bench.now - MINUTE
  await bench.ledger.finalize(customer(99), { ...bench.cycle.closeOptions, endedAt })
  await bench.pass()
  await bench.assertAllBilled()
  const [first] = bench.sent[0]?.request.UsageRecords ?? []
  assert.equal(first?.CustomerAWSAccountId, customer(99).accountId)
  assert.ok(first !== undefined && first.Timestamp.getTime() <= endedAt)
})

test('idle hours of known customers get a quantity of 0, an hour after the others', async t => {
  const bench = new Bench(t, { cycle: { zeroQuantityRecords: true } })
  await bench.use(customers(2), 3)
  await bench.pass()
  for (let hour = 0; hour < 3; hour++) {
    await bench.use(customer(0), 1, { hoursAgo: 0 })
    await bench.passes(1, HOUR)
  }
  assert.deepEqual(
    bench.simulator
      .billed({ customer: customer(1).accountId as string })
      .map(({ hour, quantity }) => [Date.parse(hour), quantity]),
    [-1, 0, 1].map(hour => [NOW - 10 * MINUTE + hour * HOUR, hour === -1 ? 3 : 0]),
  )
  await bench.assertAllBilled()
})

test('history older than the retention goes, now and then, and totals stay', async t => {
  const prunes: number[] = []
  const bench = new Bench(t, {
    cycle: { retention: 48 * HOUR },
    wrap: ledger =>
      new Proxy(ledger, {
        get(target, name: keyof typeof ledger) {
          if (name === 'prune') {
            return (before: number) => {
              prunes.push(bench.now)
              return target.prune(before)
            }
          }
          const member = target[name]
          return typeof member === 'function' ? member.bind(target) : member
        },
      }),
  })
  for (let hour = 0; hour < 60; hour++) {
    await bench.use(customers(3), 2)
    bench.now += HOUR
    await bench.cycle.pass()
  }
  assert.ok(prunes.length >= 9 && prunes.length <= 10, `${prunes.length} times in 60 hours`)
  assert.ok(prunes[0] === NOW + 7 * HOUR, 'never in the first pass')
  const kept = (await bench.records()).length / 3
  assert.ok(kept >= 48 && kept <= 48 + 6, `of ${kept} hours`)
  for (const line of await bench.ledger.statement()) assert.equal(line.metered, 120_000_000n)
})

test('a clock that is ahead for a while deletes nothing younger than the retention, and is not waited for', async t => {
  let ahead = 0
  const bench: Bench = new Bench(t, {
    cycle: { retention: 48 * HOUR },
    simulator: { now: () => bench.now - ahead },
  })
  const hours = async (count: number) => {
    for (let hour = 0; hour < count; hour++) {
      await bench.use(customers(1), 2)
      bench.now += HOUR
      await bench.cycle.pass()
    }
  }
  await hours(50)
  const before = (await bench.records()).length
  for (const days of [3, 800]) {
    ahead = days * 24 * HOUR
    bench.now += ahead
    await bench.cycle.pass()
    bench.now -= ahead
    ahead = 0
    await bench.cycle.pass()
  }
  assert.ok((await bench.records()).length >= Math.min(before, 48))
  await hours(30)
  assert.ok((await bench.records()).length <= 48 + 6, 'it goes on as before')
  const [line] = await bench.ledger.statement()
  assert.equal(line?.metered, 160_000_000n)
})

test('more in an hour than a record takes is told, with how many hours it will take, until it is over', async t => {
  const bench = new Bench(t)
  const most = 2_147_483_647
  // Two hours are over at the first pass.
  await bench.use(customers(1), 5 * most)
  await bench.use([customer(7)], most + 5)
  const behind = async () => {
    const before = bench.eventsOf('overflow').length
    await bench.passes(1, HOUR)
    return bench
      .eventsOf('overflow')
      .slice(before)
      .map(({ hours, amount }) => [hours, amount / 1_000_000n / BigInt(most)])
  }
  assert.deepEqual([await behind(), await behind(), await behind(), await behind()], [[[3, 3n]], [[2, 2n]], [], []])
  assert.equal(bench.billed(), 6 * most + 5)
})

test('silent counters are forgotten once a day, never in the first pass, and after a clock was set', async t => {
  const times: number[] = []
  const bench = new Bench(t, {
    wrap: ledger =>
      new Proxy(ledger, {
        get(target, name: keyof typeof ledger) {
          if (name === 'forget') return async (now: number) => void times.push((now - NOW) / HOUR)
          const member = target[name]
          return typeof member === 'function' ? member.bind(target) : member
        },
      }),
  })
  for (const hour of [0, 1, 23, 24, 25, 47, 48, 5000, 50, 51, 73, 74]) {
    bench.now = NOW + hour * HOUR
    await bench.cycle.pass()
  }
  assert.deepEqual(times, [24, 48, 5000, 50, 74])
})

test('a pass that is called off begins no more requests, but settles those under way', async t => {
  const end = new AbortController()
  const bench = new Bench(t, {
    cycle: { concurrency: 2 },
    send: send => async (request, options) => {
      if (bench.sent.length === 3) end.abort()
      return send(request, options)
    },
  })
  await bench.use(customers(250), 1)
  await bench.pass(end.signal)
  assert.ok(bench.sent.length <= 4)
  assert.equal((await bench.states()).metered, bench.sent.length * 25)
  assert.ok((await bench.records()).every(record => record.state === 'metered' || record.attempts === 0))
  await bench.pass()
  await bench.assertAllBilled()
})

test('a pass that is called off before it begins still closes hours', async t => {
  const bench = new Bench(t)
  await bench.use(customers(3), 2)
  await bench.pass(AbortSignal.abort())
  assert.deepEqual(await bench.states(), { pending: 3 })
  assert.equal(bench.sent.length, 0)
})

test('passes of a process come one after another, also after one that failed', async t => {
  const order: string[] = []
  let fail = true
  const bench = new Bench(t, {
    wrap: ledger =>
      new Proxy(ledger, {
        get(target, name: keyof typeof ledger) {
          if (name === 'closeHours') {
            return async (options: Parameters<typeof ledger.closeHours>[0]) => {
              order.push('begins')
              if (fail) {
                fail = false
                throw new Error('disk full')
              }
              return target.closeHours(options)
            }
          }
          if (name === 'due') {
            return async (now: number) => {
              for (let turn = 0; turn < 10; turn++) await new Promise(setImmediate)
              order.push('sends')
              return target.due(now)
            }
          }
          const member = target[name]
          return typeof member === 'function' ? member.bind(target) : member
        },
      }),
  })
  await bench.use(customers(3), 2)
  const results = await Promise.allSettled([bench.cycle.pass(), bench.cycle.pass(), bench.cycle.pass()])
  assert.deepEqual(
    results.map(result => result.status),
    ['rejected', 'fulfilled', 'fulfilled'],
  )
  assert.deepEqual(order, ['begins', 'begins', 'sends', 'begins', 'sends'])
  await bench.assertAllBilled()
})

test('a quantity above the guard is held and never sent; what is released is', async t => {
  const bench = new Bench(t)
  await bench.use(customer(1), 500, { dimension: TOKENS })
  await bench.ledger.register([{ ...TOKENS, maxQuantity: 100 }])
  await bench.pass()
  assert.deepEqual(await bench.states(), { 'held over-maximum': 1 })
  assert.equal(bench.eventsOf('held')[0]?.records.length, 1)
  assert.equal(bench.sent.length, 0)
  const [record] = await bench.records()
  await bench.ledger.decide(record?.id as string, 'release', { who: 'a person', why: 'it is right', now: bench.now })
  await bench.passes(1, HOUR)
  await bench.assertAllBilled()
  assert.equal(bench.billed(), 500)
})

test('a quantity above the alert is told once, to all who look at the ledger, and billed', async t => {
  const bench = new Bench(t)
  bench.cycle = bench.newCycle({ dimensions: [{ ...TOKENS, alertQuantity: 100 }] })
  await bench.use([customer(1), customer(2)], 101, { dimension: TOKENS })
  await bench.use(customer(3), 100, { dimension: TOKENS })
  await bench.use(customer(1), 500)
  bench.simulator.faults.add({ kind: 'throttling', next: 1 })
  await bench.passes(2, HOUR)
  await bench.assertAllBilled()
  const alerts = bench.eventsOf('above-alert')
  assert.deepEqual(
    alerts.map(({ record, alertQuantity }) => [record.dimension, record.quantity, alertQuantity]),
    Array(2).fill([TOKENS.name, 101, 100]),
  )
  const noted = () => bench.ledger.audit({ actions: ['above-alert'] })
  const [{ who, why, detail = '' } = {} as AuditEntry, ...others] = await noted()
  assert.deepEqual([others.length, who, why], [0, 'metering', `more than the alertQuantity of ${TOKENS.name}, 100`])
  assert.match(detail, new RegExp(`^2 records, the largest \\d+: 101 of ${TOKENS.name}$`))
  // As often as not in an hour, and again in the next.
  await bench.use(customer(1), 200, { dimension: TOKENS })
  await bench.passes(2, HOUR)
  assert.match((await noted())[0]?.detail ?? '', /^record \d+: 200 of /)
  assert.equal((await recentQuantityAlert(bench.ledger, bench.now))?.action, 'above-alert')
  assert.equal(await recentQuantityAlert(bench.ledger, bench.now + 25 * HOUR), undefined)
})

test('what a dry run would send above the alert is told, too', async t => {
  const bench = new Bench(t, { cycle: { dryRun: true, dimensions: [{ ...TOKENS, alertQuantity: 100 }] } })
  await bench.use(customer(1), 101, { dimension: TOKENS })
  await bench.pass()
  await bench.pass()
  assert.equal(bench.eventsOf('above-alert').length, 1)
})
