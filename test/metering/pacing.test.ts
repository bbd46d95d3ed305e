import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { firstTurn } from '../../src/ledger/rules/quota.ts'
import { backoff } from '../../src/metering/backoff.ts'
import { Pacer, type TakeTurns } from '../../src/metering/pacer.ts'
import { Bench, customer, VirtualClock } from './support.ts'

test('turns are spaced evenly, however many ask at once', async () => {
  const clock = new VirtualClock()
  const pacer = new Pacer(10, clock)
  const turns: number[] = []
  await Promise.all(
    Array.from({ length: 50 }, async () => {
      await pacer.turn()
      turns.push(clock.now())
    }),
  )
  assert.deepEqual(
    turns,
    Array.from({ length: 50 }, (_, index) => index * 100),
  )
})

test('no second has more turns than the rate, and what was not used is not saved up', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 0, max: 700 }), { minLength: 1, maxLength: 60 }),
      fc.constantFrom(1, 3, 10, 25),
      async (pauses, rate) => {
        const clock = new VirtualClock()
        const pacer = new Pacer(rate, clock)
        const turns: number[] = []
        const asked: Promise<void>[] = []
        for (const pause of pauses) {
          if (pause > 500) await clock.sleep(pause * 3)
          asked.push(pacer.turn().then(() => void turns.push(clock.now())))
        }
        await Promise.all(asked)
        assert.equal(turns.length, pauses.length)
        for (const [index, start] of turns.entries()) {
          const end = turns[index + rate]
          assert.ok(
            end === undefined || end - start >= 1000 - 1e-6,
            `${rate + 1} turns within ${(end ?? 0) - start} ms`,
          )
        }
      },
    ),
    { numRuns: 50 },
  )
})

test('several processes share the turns of a region', async () => {
  const clock = new VirtualClock()
  const next = new Map<string, number>()
  let taken = 0
  const take: TakeTurns = async (region, turns, spacing) => {
    taken += 1
    const first = Math.max(next.get(region) ?? 0, clock.now())
    next.set(region, first + turns * spacing)
    return first - clock.now()
  }
  const pacers = Array.from({ length: 3 }, () => new Pacer(10, clock, take))
  const times: Record<string, number[]> = { a: [], b: [] }
  await Promise.all(
    pacers.flatMap(pacer =>
      Array.from({ length: 40 }, async (_, index) => {
        const region = index % 4 === 0 ? 'b' : 'a'
        await pacer.turn(region)
        times[region]?.push(clock.now())
      }),
    ),
  )
  for (const [region, count] of [
    ['a', 90],
    ['b', 30],
  ] as const) {
    const sorted = times[region]?.toSorted((one, other) => one - other) ?? []
    assert.equal(sorted.length, count)
    for (const [index, time] of sorted.entries()) {
      assert.ok(index === 0 || time - (sorted[index - 1] as number) >= 100 - 1e-6, `${region}: ${sorted}`)
    }
    // At most what each has taken in vain at its end.
    assert.ok((sorted.at(-1) as number) <= (count + 3 * 8) * 100, `${region} took until ${sorted.at(-1)}`)
  }
  assert.ok(taken < 60, `asked ${taken} times for 120 turns`)
})

/** The most turns in any second. */
function mostInASecond(turns: readonly number[]): number {
  const sorted = turns.toSorted((one, other) => one - other)
  let [most, from] = [0, 0]
  for (const [index, at] of sorted.entries()) {
    while (at - (sorted[from] as number) >= 1000 - 1e-6) from += 1
    most = Math.max(most, index + 1 - from)
  }
  return most
}

/** As ledgers hand turns out, to who asks at a time of the clock. */
function shared(now: () => number): TakeTurns {
  let next: number | undefined
  return async (_, turns, spacing) => {
    const first = firstTurn(next, now())
    if (first === undefined) return undefined
    next = first + turns * spacing
    return first - now()
  }
}

test('2,000 replicas at the turn of an hour: 10 turns in any second, and each has its own in time', async () => {
  const clock = new VirtualClock()
  const take = shared(() => clock.now())
  let chance = 0
  const random = () => {
    chance = (chance + 0.618) % 1
    return chance
  }
  let asked = 0
  const turns: number[] = []
  await Promise.all(
    Array.from({ length: 2000 }, async () => {
      const pacer = new Pacer(
        10,
        clock,
        async (...wanted) => {
          asked += 1
          return await take(...wanted)
        },
        random,
      )
      await pacer.turn()
      turns.push(clock.now())
    }),
  )
  assert.equal(mostInASecond(turns), 10)
  const last = Math.max(...turns) / 1000
  assert.ok(last < 230, `${last} s; at 10 a second they take 200`)
  assert.ok(asked < 12_000, `${asked} times`)
})

test('a turn that nobody waited for until it came is the next one that is asked for', async () => {
  const clock = new VirtualClock()
  const take = shared(() => clock.now())
  for (let n = 0; n < 300; n += 1) await take('', 1, 100)
  const pacer = new Pacer(10, clock, take)
  const end = new AbortController()
  const waiting = [pacer.turn('', end.signal), pacer.turn('', end.signal)]
  await clock.sleep(10_000)
  end.abort()
  await Promise.all(waiting)
  assert.equal(clock.now(), 10_000, 'who gives up does not wait')
  await pacer.turn()
  assert.equal(clock.now(), 30_000)
  await pacer.turn()
  assert.equal(clock.now(), 30_100)
  // Where there are none, it gives up as well, and who asks then does not ask the ledger again at once.
  let asked = 0
  const crowded = new Pacer(10, clock, async () => {
    asked += 1
    return undefined
  })
  const first = new AbortController()
  const given = crowded.turn('', first.signal)
  await clock.sleep(1000)
  first.abort()
  await given
  const second = new AbortController()
  const again = crowded.turn('', second.signal)
  await clock.sleep(1000)
  second.abort()
  await again
  assert.equal(asked, 1)
})

test('turns that went by while there was nothing to send are not made up for', async () => {
  const clock = new VirtualClock()
  const pacer = new Pacer(10, clock, async () => 0)
  for (let n = 0; n < 4; n += 1) await pacer.turn()
  await clock.sleep(10_000)
  const begun = clock.now()
  for (let n = 0; n < 3; n += 1) await pacer.turn()
  assert.ok(clock.now() - begun >= 100)
})

test('a quota that cannot be asked for is an error, and the next turn asks again', async () => {
  let fails = true
  const pacer = new Pacer(10, new VirtualClock(), async () => {
    if (fails) throw new Error('the ledger is locked')
    return 0
  })
  await assert.rejects(pacer.turn(), /the ledger is locked/)
  fails = false
  await pacer.turn()
})

test('1,000 due records drain at the quota, in full batches, and no request is throttled', async t => {
  const bench = new Bench(t)
  const start = bench.now
  bench.simulator.quota = 10
  await bench.use(
    Array.from({ length: 1000 }, (_, index) => customer(index)),
    1,
  )
  // The simulator's time goes on as the pacer's does.
  Object.defineProperty(bench, 'now', { get: () => start + bench.clock.now() })
  await bench.cycle.pass()
  await bench.assertAllBilled()
  assert.deepEqual(
    bench.sent.map(({ request }) => request.UsageRecords.length),
    Array(40).fill(25),
  )
  assert.equal(bench.simulator.counters.throttled, 0)
  for (const [index, { at }] of bench.sent.entries()) assert.equal(at - start, index * 100)
})

test('1,000 due records of 5 products share the quota', async t => {
  const bench = new Bench(t)
  const start = bench.now
  bench.simulator.quota = 10
  const products = ['a', 'b', 'c', 'd', 'e']
  await bench.use(
    products.flatMap(product => Array.from({ length: 200 }, (_, index) => customer(index, product))),
    1,
  )
  Object.defineProperty(bench, 'now', { get: () => start + bench.clock.now() })
  await bench.cycle.pass()
  await bench.assertAllBilled()
  assert.equal(bench.sent.length, 40)
  assert.equal(bench.simulator.counters.throttled, 0)
})

test('a wait is between half and all of what doubles each time, up to the longest', () => {
  const [shortest, longest] = [1000, 300_000]
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5000 }), fc.double({ min: 0, max: 1, noNaN: true }), (failures, chance) => {
      const whole = Math.min(longest, shortest * 2 ** (failures - 1))
      const wait = backoff(failures, shortest, longest, () => chance)
      assert.ok(Number.isInteger(wait) && wait >= Math.floor(whole / 2) && wait <= whole)
    }),
  )
  const waits = Array.from({ length: 12 }, (_, index) => backoff(index + 1, shortest, longest, () => 0))
  assert.deepEqual(waits.slice(0, 4), [500, 1000, 2000, 4000])
  assert.equal(waits.at(-1), longest / 2)
  assert.equal(new Set(Array.from({ length: 100 }, () => backoff(5, shortest, longest, Math.random))).size > 50, true)
})
