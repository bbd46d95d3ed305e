import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LedgerError } from '../../src/ledger/errors.ts'
import type { Ledger } from '../../src/ledger/ledger.ts'
import { SqliteLedger } from '../../src/ledger/sqlite/ledger.ts'
import { answering, awsError, Bench, customer, HOUR, MINUTE, rejecting, SECOND } from './support.ts'

const customers = (count: number) => Array.from({ length: count }, (_, index) => customer(index))

test('an outage of 27 hours: what was never attempted rolls forward, and little is in doubt', async t => {
  const bench = new Bench(t)
  bench.simulator.faults.add({ kind: 'reset', rate: 1 })
  for (let hour = 0; hour < 27; hour++) {
    await bench.use(customers(110), 1)
    await bench.pass()
    for (let pass = 0; pass < 6; pass++) {
      bench.now += 10 * MINUTE
      await bench.cycle.pass()
    }
  }
  bench.simulator.faults.clear()
  await bench.use(customers(110), 1)
  await bench.passes(4, HOUR / 2)
  const states = await bench.states()
  const lost = states['held in-doubt'] ?? 0
  assert.ok(lost > 0, 'what was attempted without an answer is held')
  // A pass that does not know yet sends one request; then one record at a time tries the lane.
  assert.ok(lost <= 25 + 30, `${lost} in doubt`)
  assert.equal(states.pending, undefined)
  assert.ok((states['returned expired'] ?? 0) > 100)
  const held = (await bench.ledger.statement()).reduce((sum, line) => sum + line.held, 0n)
  assert.equal(BigInt(bench.billed()) * 1_000_000n + held, 110n * 28n * 1_000_000n)
})

test('an outage in which the records were taken: in doubt, and never billed a second time', async t => {
  const bench = new Bench(t)
  bench.simulator.faults.add({ kind: 'reset-after', rate: 1 })
  await bench.use(customers(10), 7)
  await bench.pass()
  await bench.passes(30, HOUR)
  bench.simulator.faults.clear()
  await bench.passes(3, HOUR)
  assert.deepEqual(await bench.states(), { 'held in-doubt': 10 })
  assert.equal(bench.billed(), 70)
  for (const { id } of await bench.records()) {
    await bench.ledger.decide(id, 'billed', { who: 'a person', why: 'CloudTrail', now: bench.now })
  }
  await bench.passes(3, HOUR)
  await bench.assertAllBilled()
  assert.equal(bench.billed(), 70)
})

test('an outage with throttling only: nothing is in doubt, all of it rolls forward', async t => {
  const bench = new Bench(t)
  bench.simulator.faults.add({ kind: 'throttling', rate: 1 })
  await bench.use(customers(40), 7)
  await bench.pass()
  await bench.passes(30, HOUR)
  bench.simulator.faults.clear()
  await bench.passes(2, HOUR)
  await bench.assertAllBilled()
  assert.deepEqual(await bench.states(), { 'returned expired': 40, metered: 40 })
})

test('a month closes at 06:00 UTC on the 1st: what could not be sent until then goes into the next', async t => {
  const first = Date.UTC(2026, 6, 1)
  const bench = new Bench(t, { now: first - 2 * HOUR + 10 * MINUTE })
  bench.simulator.faults.add({ kind: 'throttling', rate: 1 })
  await bench.use(customers(3), 5)
  await bench.pass()
  bench.now = first + 6 * HOUR - 6 * MINUTE
  await bench.pass()
  assert.equal((await bench.states()).pending, 3)
  bench.now = first + 6 * HOUR - 5 * MINUTE
  const sent = bench.sent.length
  await bench.pass()
  assert.deepEqual(await bench.states(), { 'returned expired': 3 }, 'a margin before the month closes')
  assert.equal(bench.sent.length, sent)
  bench.simulator.faults.clear()
  await bench.passes(2, HOUR)
  await bench.assertAllBilled()
  for (const { hour } of bench.simulator.billed()) assert.match(hour, /^2026-07-01T0[567]/)
})

test('the last hours of a month go out before it closes', async t => {
  const first = Date.UTC(2026, 6, 1)
  const bench = new Bench(t, { now: first - 50 * MINUTE })
  bench.simulator.faults.add({ kind: 'reset', rate: 1 })
  await bench.use(customers(3), 5, { hoursAgo: 0 })
  await bench.passes(6, HOUR)
  bench.simulator.faults.clear()
  bench.now = first + 6 * HOUR - 6 * MINUTE
  await bench.pass()
  await bench.assertAllBilled()
  for (const { hour } of bench.simulator.billed()) assert.equal(hour, '2026-06-30T23:00:00.000Z')
})

test('while AWS has not answered at all, no second request is sent', async t => {
  const bench = new Bench(t, { send: () => () => new Promise(() => {}), cycle: { requestTimeout: 50 } })
  await bench.use(customers(400), 1)
  await bench.pass()
  assert.equal(bench.sent.length, 1)
})

test('where AWS answers, as many requests are under way as there may be', async t => {
  let underWay = 0
  let most = 0
  const bench = new Bench(t, {
    send: send => async (request, options) => {
      underWay += 1
      most = Math.max(most, underWay)
      await bench.clock.sleep(SECOND)
      underWay -= 1
      return send(request, options)
    },
  })
  await bench.use(customers(400), 1)
  await bench.pass()
  await bench.assertAllBilled()
  assert.equal(most, 4)
})

test('one record that AWS can never answer does not hold up the others of its product', async t => {
  const bench = new Bench(t, {
    send: send => async (request, options) => {
      if (request.UsageRecords.some(record => record.CustomerAWSAccountId === customer(0).accountId))
        throw awsError('InternalServiceErrorException')
      return send(request, options)
    },
  })
  await bench.use(customers(60), 2)
  await bench.pass()
  for (let pass = 0; pass < 80; pass++) await bench.passes(1, 3 * MINUTE)
  assert.deepEqual(await bench.states(), { metered: 59, pending: 1 })
})

test('a crash after AWS took a batch and before the ledger knows: billed once', async t => {
  const bench = new Bench(t)
  await bench.use(customers(30), 4)
  // The process ends where it would settle.
  const crashing = overriding(bench.ledger, { settle: () => new Promise(() => {}) })
  void bench.newCycle({ ledger: crashing }).pass()
  while (bench.billed() < 120) await new Promise(setImmediate)
  await bench.ledger.close()
  bench.ledger = new SqliteLedger({ path: bench.path })
  bench.cycle = bench.newCycle()
  await bench.audit()
  await bench.pass()
  assert.equal(bench.sent.length, 2, 'what another process claimed is left to it')
  assert.ok((await bench.records()).every(record => record.state === 'pending' && record.inDoubt))
  await bench.passes(1, 2 * MINUTE)
  await bench.assertAllBilled()
  assert.equal(bench.billed(), 120)
  assert.deepEqual(bench.sent[2]?.request, bench.sent[0]?.request)
  assert.deepEqual(bench.sent[3]?.request, bench.sent[1]?.request)
})

const busy = () => new LedgerError('ERR_LEDGER_BUSY', 'locked')

test('a ledger that cannot settle: the answers are kept and written later, and nothing is sent meanwhile', async t => {
  let failures = 5
  const bench = new Bench(t, {
    wrap: ledger =>
      overriding(ledger, {
        settle: async (settlements, now) => {
          if (failures-- > 0) throw busy()
          return ledger.settle(settlements, now)
        },
      }),
    cycle: { concurrency: 2 },
  })
  await bench.use(customers(40), 4)
  await assert.rejects(bench.cycle.pass(), { code: 'ERR_LEDGER_BUSY' })
  const sent = bench.sent.length
  assert.equal(sent, 2)
  for (let pass = 0; pass < 3; pass++) {
    // Much longer than a claim holds.
    bench.now += 10 * MINUTE
    await assert.rejects(bench.cycle.pass(), { code: 'ERR_LEDGER_BUSY' })
    await bench.audit()
  }
  assert.equal(bench.sent.length, sent)
  await bench.pass()
  await bench.assertAllBilled()
  assert.equal(bench.sent.length, sent, 'the answers were kept')
  assert.deepEqual(
    bench.eventsOf('settled').map(event => event.records.length),
    [40],
  )
})

test('answers that cannot be written while the next batch is claimed: that one is sent, and none after it', async t => {
  let failing = true
  const bench = new Bench(t, {
    wrap: ledger =>
      overriding(ledger, {
        settle: async (settlements, now) => {
          if (failing) throw busy()
          return ledger.settle(settlements, now)
        },
      }),
    cycle: { concurrency: 1 },
  })
  await bench.use(customers(100), 4)
  await assert.rejects(bench.cycle.pass(), { code: 'ERR_LEDGER_BUSY' })
  await bench.audit()
  assert.equal(bench.sent.length, 2)
  failing = false
  await bench.pass()
  await bench.assertAllBilled()
  assert.equal(bench.sent.length, 4)
  assert.ok((await bench.records()).every(record => record.attempts === 1))
})

test('an answer is written once, even where reporting it fails', async t => {
  let settles = 0
  const bench = new Bench(t, {
    wrap: ledger =>
      overriding(ledger, {
        settle: (settlements, now) => {
          settles++
          return ledger.settle(settlements, now)
        },
      }),
    cycle: {
      report: event => {
        if (event.type === 'settled' && settles === 1) throw new Error('the reporter is broken')
      },
    },
  })
  bench.simulator.faults.add({ kind: 'throttling', next: 1 })
  bench.simulator.faults.add({ kind: 'reset-after', next: 1 })
  await bench.use(customer(1), 4)
  await assert.rejects(bench.cycle.pass(), /broken/)
  await bench.passes(1, MINUTE)
  assert.equal((await bench.records())[0]?.inDoubt, true)
  await bench.passes(1, MINUTE)
  await bench.assertAllBilled()
  assert.deepEqual([settles, bench.sent.length], [3, 3])
})

test('a fault of the ledger in one lane: the pass ends when the others have ended too', async t => {
  const working = new Set<string>()
  let overlaps = 0
  const bench = new Bench(t, {
    wrap: ledger =>
      overriding(ledger, {
        claim: async (lane, options) => {
          if (lane.product === 'prod-a' && bench.now === started) {
            while (working.size === 0) await new Promise(setImmediate)
            throw busy()
          }
          return ledger.claim(lane, options)
        },
        closeHours: async options => {
          if (working.size > 0) overlaps++
          return ledger.closeHours(options)
        },
      }),
    send: send => async (request, options) => {
      working.add(request.ProductCode ?? '')
      for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate)
      working.delete(request.ProductCode ?? '')
      return send(request, options)
    },
  })
  const started = bench.now
  await bench.use([customer(1, 'prod-a'), customer(1, 'prod-b')], 4)
  await assert.rejects(bench.cycle.pass(), { code: 'ERR_LEDGER_BUSY' })
  assert.deepEqual([...working], [])
  bench.now += SECOND
  await bench.pass()
  assert.equal(overlaps, 0)
  await bench.assertAllBilled()
})

test('two processes on one ledger at once: each record is billed once, and sent once', async t => {
  const bench = new Bench(t)
  await bench.use(customers(200), 3)
  const other = new SqliteLedger({ path: bench.path })
  t.after(() => other.close())
  const cycles = [bench.cycle, bench.newCycle({ ledger: other })]
  await Promise.all(cycles.map(cycle => cycle.pass()))
  await bench.assertAllBilled()
  assert.equal(bench.billed(), 600)
  assert.equal(bench.sent.flatMap(({ request }) => request.UsageRecords).length, 200)
})

test('a claim that expires while its request is under way: sent twice, billed once, and the later word stands', async t => {
  let answer: (() => void) | undefined
  const bench = new Bench(t, {
    cycle: { concurrency: 1 },
    send: answering(async () => {
      await new Promise<void>(resolve => {
        answer = resolve
      })
      throw awsError('InternalServiceErrorException')
    }),
  })
  await bench.use(customers(5), 3)
  const slow = bench.cycle.pass()
  while (answer === undefined) await new Promise(setImmediate)
  const other = new SqliteLedger({ path: bench.path })
  t.after(() => other.close())
  bench.now += 5 * MINUTE
  await bench.newCycle({ ledger: other }).pass()
  assert.deepEqual(await bench.states(), { metered: 5 })
  answer()
  await slow
  await bench.assertAllBilled()
  assert.equal(bench.billed(), 15)
  assert.deepEqual(bench.sent[0]?.request, bench.sent[1]?.request)
})

test('an answer that comes after the window closed: a Success still wins', async t => {
  let answer: (() => void) | undefined
  const bench = new Bench(t, {
    cycle: { concurrency: 1 },
    send: send => async (request, options) => {
      const result = await send(request, options)
      await new Promise<void>(resolve => {
        answer = resolve
      })
      return result
    },
  })
  await bench.use(customers(5), 3)
  const slow = bench.cycle.pass()
  while (answer === undefined) await new Promise(setImmediate)
  bench.now += 30 * HOUR
  await bench.newCycle({ dryRun: true }).pass()
  assert.deepEqual(await bench.states(), { 'held in-doubt': 5 })
  answer()
  await slow
  await bench.assertAllBilled()
})

test('while a lane fails, its own failures space the requests, and one record is risked at a time', async t => {
  const bench = new Bench(t, { cycle: { concurrency: 4 } })
  bench.simulator.faults.add({ kind: 'reset', rate: 1 })
  await bench.use(customers(500), 1)
  await bench.pass()
  const sent = bench.sent.length
  assert.ok(sent <= 4)
  for (let second = 0; second < 600; second++) {
    bench.now += SECOND
    await bench.cycle.pass()
  }
  const sizes = bench.sent.slice(sent).map(({ request }) => request.UsageRecords.length)
  assert.ok(sizes.length >= 2 && sizes.length <= 20, `${sizes.length} requests in ten minutes`)
  assert.deepEqual([...new Set(sizes)], [1])
  bench.simulator.faults.clear()
  await bench.passes(2, 15 * MINUTE)
  await bench.assertAllBilled()
})

test('answers that say nothing of any record do not make the cycle risk others', async t => {
  const bench = new Bench(t, { send: () => async () => ({}), cycle: { concurrency: 1 } })
  await bench.use(customers(500), 1)
  for (let pass = 0; pass < 20; pass++) await bench.passes(1, 10 * SECOND)
  const risked = (await bench.records()).filter(record => record.inDoubt).length
  assert.ok(risked <= 40, `${risked} in doubt`)
})

test('a clock that was a day ahead holds nothing up once it is right', async t => {
  const bench = new Bench(t, { send: answering(rejecting(awsError('ThrottlingException'))), cycle: { concurrency: 1 } })
  bench.now += 20 * HOUR
  await bench.use(customers(3), 4, { hoursAgo: 21 })
  await bench.pass()
  assert.deepEqual(await bench.states(), { pending: 3 })
  const frozen = (await bench.records())[0]?.timestamp as number
  bench.now = frozen + HOUR
  await bench.pass()
  assert.ok((await bench.states()).metered !== undefined)
  await bench.passes(1, MINUTE)
  await bench.assertAllBilled()
})

/** The ledger with some of its methods replaced. */
function overriding(ledger: Ledger, methods: Partial<Ledger>): Ledger {
  return new Proxy(ledger, {
    get(target, name) {
      const method = methods[name as keyof Ledger] ?? target[name as keyof Ledger]
      return typeof method === 'function' ? method.bind(target) : method
    },
  })
}
