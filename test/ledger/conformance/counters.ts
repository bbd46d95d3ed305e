import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, test } from 'node:test'
import { HOUR, MINUTE, SECOND } from '../../../src/ledger/hours.ts'
import type { Observation } from '../../../src/ledger/ledger.ts'
import type { Account } from '../../../src/usage/account.ts'
import { MAX_AMOUNT } from '../../../src/usage/amount.ts'
import type { Dimension } from '../../../src/usage/dimension.ts'
import {
  ALICE,
  BOB,
  BY,
  CAROL,
  closeOptions,
  closing,
  DIMENSIONS,
  GPU,
  hour,
  type LedgerUnderTest,
  METERED,
  NOBODY,
  REQUESTS,
  Scene,
  START,
  sources,
  UNIT,
} from '../scene.ts'

const PRODUCT = ALICE.product

/**
 * What every ledger has to make of counters that others keep, whatever the engine.
 *
 * @param every each so many-th is played: what a point adds is decided in one place for all engines
 */
export function countersConformance(name: string, open: () => Promise<LedgerUnderTest>, every = 1): void {
  let number = 0
  const scenario = (title: string, play: (scene: Scene) => Promise<void>): void => {
    number += 1
    if (number % every !== 0) return
    test(title, async () => {
      await using scene = await Scene.begin(open)
      await scene.ledger.register(DIMENSIONS, sources(PRODUCT, START))
      await play(scene)
    })
  }

  describe(`${name}: cumulative counters`, () => {
    scenario('a counter that began after the metering counts from its first point on', async scene => {
      await scene.observe([point('a', 0, 1, 5)], [ALICE, REQUESTS, 5])
      await scene.observe([point('a', 0, 2, 12)], [ALICE, REQUESTS, 7])
      assert.equal(await scene.equation(ALICE, REQUESTS), '12 = 0 + 0 + 0 + 12')
    })

    scenario('replayed and out of order, it counts the highest value', async scene => {
      await scene.observe([point('a', 0, 1, 100)], [ALICE, REQUESTS, 100])
      await scene.observe([point('a', 0, 3, 300)], [ALICE, REQUESTS, 200])
      await scene.observe([point('a', 0, 2, 200)])
      await scene.observe([point('a', 0, 4, 400), point('a', 0, 1, 100), point('a', 0, 3, 300)], [ALICE, REQUESTS, 100])
      await scene.observe([point('a', 0, 4, 400)])
      assert.equal(await scene.equation(ALICE, REQUESTS), '400 = 0 + 0 + 0 + 400')
    })

    scenario('a lower value between two of the same counts nothing', async scene => {
      await scene.observe([point('a', 0, 1, 100)], [ALICE, REQUESTS, 100])
      await scene.observe([point('a', 0, 2, 60)])
      await scene.observe([point('a', 0, 3, 100)])
      await scene.observe([point('a', 0, 4, 110)], [ALICE, REQUESTS, 10])
    })

    scenario('workers that share a name and a start are told of, and again an hour later', async scene => {
      const fall = (minute: number) => [point('a', 0, minute, 100), point('a', 0, minute + 1, 60)]
      await scene.observe(fall(1), [ALICE, REQUESTS, 100])
      await scene.observe(fall(30))
      assert.deepEqual((await scene.ledger.status()).notCounted, { 'shared-identity': 1 })
      await scene.observe(fall(62))
      assert.deepEqual((await scene.ledger.status()).notCounted, { 'shared-identity': 2 })
    })

    scenario('each start counts for itself, whatever their order', async scene => {
      await scene.observe([point('a', 0, 5, 50)], [ALICE, REQUESTS, 50])
      await scene.observe([point('a', 20, 21, 3)], [ALICE, REQUESTS, 3])
      await scene.observe([point('a', 0, 9, 60)], [ALICE, REQUESTS, 10])
      await scene.observe([point('a', 10, 11, 7), point('a', 20, 22, 4)], [ALICE, REQUESTS, 8])
      assert.equal(await scene.equation(ALICE, REQUESTS), '71 = 0 + 0 + 0 + 71')
    })

    scenario('what one had counted before the metering began is a baseline, and said so', async scene => {
      await scene.observe([point('a', -100, 1, 1000)])
      await scene.observe([point('a', -100, 2, 1005)], [ALICE, REQUESTS, 5])
      assert.deepEqual((await scene.ledger.status()).notCounted, { baseline: 1 })
      const [entry] = await scene.ledger.audit()
      assert.deepEqual(
        [entry?.action, entry?.who, entry?.account, entry?.dimension, entry?.amount],
        ['baseline', 'ledger', ALICE, REQUESTS.name, 1000n * UNIT],
      )
      assert.equal(await scene.equation(ALICE, REQUESTS), '5 = 0 + 0 + 0 + 5')
    })

    scenario('a new one that began long before its first point counts whole', async scene => {
      await scene.observe([point('a', 10, 90, 1000)], [ALICE, REQUESTS, 1000])
      await scene.observe([point('a', 10, 91, 1004)], [ALICE, REQUESTS, 4])
      assert.deepEqual((await scene.ledger.status()).notCounted, {})
    })

    scenario('one that is known may begin anew at any age', async scene => {
      await scene.observe([point('a', 0, 1, 5)], [ALICE, REQUESTS, 5])
      await scene.observe([point('a', 30, 90, 3)], [ALICE, REQUESTS, 3])
      assert.equal(await scene.equation(ALICE, REQUESTS), '8 = 0 + 0 + 0 + 8')
    })

    scenario('a start that may be one of those that move waits for a second point', async scene => {
      await scene.observe([point('a', 0, 1, 5)], [ALICE, REQUESTS, 5])
      await scene.observe([point('a', 30, 90, 8)])
      assert.deepEqual((await scene.ledger.status()).waiting, [{ dimension: 'requests', amount: 8n * UNIT }])
      await scene.observe([point('a', 30, 91, 9)], [ALICE, REQUESTS, 9])
      assert.deepEqual((await scene.ledger.status()).waiting, [])
    })

    scenario('runs of one export each, of unequal length, are no start that moves', async scene => {
      await scene.observe([point('a', 10, 13, 5)], [ALICE, REQUESTS, 5])
      await scene.observe([point('a', 20, 31, 8)])
      await scene.observe([point('a', 40, 59, 9)])
      scene.books.expect(ALICE, REQUESTS.name, 17n * UNIT)
      await scene.close(1)
    })

    scenario('one that came beside others counts when these have gone on, be it when its wait ends', async scene => {
      const beside = (name: string, minute: number, value: number) => ({
        ...point(name, 0, minute, value),
        stream: STREAM,
      })
      await scene.observe([beside('a', 1, 5)], [ALICE, REQUESTS, 5])
      await scene.observe([beside('b', 2, 7)])
      await scene.observe([beside('a', 3, 6)], [ALICE, REQUESTS, 1])
      assert.deepEqual((await scene.ledger.status()).waiting, [{ dimension: 'requests', amount: 7n * UNIT }])
      scene.books.expect(ALICE, REQUESTS.name, 7n * UNIT)
      await scene.ledger.closeHours(closeOptions(closing(0)))
      assert.deepEqual(await scene.history(ALICE, REQUESTS), ['0:13 pending'])
    })

    scenario('a start is not forgotten for others that came after it', async scene => {
      for (let n = 1; n <= 12; n += 1) {
        const points = [1, 2].map(minute => point('a', n * 10, n * 10 + minute, 5))
        await scene.observe(points, [ALICE, REQUESTS, 5])
      }
      await scene.observe([point('a', 10, 15, 9)], [ALICE, REQUESTS, 4])
      await scene.observe([point('a', 120, 125, 9)], [ALICE, REQUESTS, 4])
    })

    scenario('many counters of a series add up', async scene => {
      const points = Array.from({ length: 700 }, (_, index) => point(`counter-${index}`, 1, 2, index))
      await scene.observe(points, [ALICE, REQUESTS, (700 * 699) / 2])
      await scene.observe(points)
      const more = points.map(one => ({ ...one, time: one.time + 60_000_000, value: one.value + UNIT }))
      await scene.observe(more, [ALICE, REQUESTS, 700])
    })

    scenario('usage goes to the hour of the point, and who pays may change', async scene => {
      await scene.observe([{ ...point('a', 0, 1, 5), receivedAt: hour(1) + MINUTE }], [ALICE, REQUESTS, 5])
      await scene.observe([{ ...point('a', 0, 61, 12), account: BOB }], [BOB, REQUESTS, 7])
      await scene.close(0)
      await scene.send(METERED, closing(0))
      await scene.close(1)
      assert.deepEqual(await scene.history(ALICE, REQUESTS), ['0:5 metered'])
      assert.deepEqual(await scene.history(BOB, REQUESTS), ['1:7 pending'])
    })

    scenario('a total may be far above what an hour can bill', async scene => {
      const total = 2n ** 119n + 1n
      await scene.observe([{ ...point('a', -100, 1, 0), value: total }])
      await scene.observe([{ ...point('a', -100, 2, 0), value: total + 3n * UNIT }], [ALICE, REQUESTS, 3])
    })

    scenario('a counter may rise to the largest total at once, and goes on', async scene => {
      scene.books.expect(ALICE, REQUESTS.name, MAX_AMOUNT - 3n * UNIT)
      await scene.observe([{ ...point('a', 0, 1, 0), value: MAX_AMOUNT - 3n * UNIT }])
      await scene.observe([{ ...point('a', 0, 2, 0), value: MAX_AMOUNT }], [ALICE, REQUESTS, 3])
      assert.deepEqual((await scene.ledger.status()).notCounted, {})
    })

    scenario('a time that has not come is told, and counts in the hour of its receipt', async scene => {
      await scene.observe([{ ...point('a', 0, 121, 5), receivedAt: hour(0) + MINUTE }], [ALICE, REQUESTS, 5])
      assert.deepEqual((await scene.ledger.status()).notCounted, { 'clock-ahead': 1 })
      // Clocks differ by some minutes.
      await scene.observe([{ ...point('b', 0, 61, 2), receivedAt: hour(1) - MINUTE }], [ALICE, REQUESTS, 2])
      await scene.close(0)
      assert.deepEqual(await scene.history(ALICE, REQUESTS), ['0:7 pending'])
    })

    scenario('of each counter that a lost ledger may have counted, the next rise is held', async scene => {
      for (const minute of [1, 2]) await scene.observe([point('known', 0, minute, 50 * minute)], [ALICE, REQUESTS, 50])
      await scene.ledger.declareRestored({ ...BY, now: hour(1) })
      await scene.observe([point('known', 0, 61, 130)], [heldAs('old-counter'), REQUESTS, 30])
      await scene.observe([point('known', 0, 62, 131)], [ALICE, REQUESTS, 1])
      await scene.observe([point('unknown', 5, 61, 40)], [heldAs('old-counter'), REQUESTS, 40])
      await scene.observe([point('young', 61, 62, 7)], [ALICE, REQUESTS, 7])
      assert.deepEqual((await scene.ledger.status()).notCounted, { 'old-counter': 2 })
    })

    scenario('after a restore, collections of before prove nothing', async scene => {
      const of = (name: string, minute: number, value: number) => ({
        ...point(name, -100, minute, value),
        stream: STREAM,
      })
      await scene.observe([of('a', 1, 1000)])
      await scene.ledger.declareRestored({ ...BY, now: hour(1) })
      // The first rise of the one may have been billed; the other may have come before.
      await scene.observe([of('a', 61, 1010), of('b', 61, 500)], [heldAs('old-counter'), REQUESTS, 10])
      await scene.observe([of('a', 62, 1020), of('b', 62, 501)], [ALICE, REQUESTS, 11])
      await scene.observe([of('a', 63, 1030), of('b', 63, 502)], [ALICE, REQUESTS, 11])
      await scene.observe([of('b', 64, 503)], [ALICE, REQUESTS, 1])
    })

    scenario('of services that share a start each counts for itself, at once', async scene => {
      const of = (service: string, minute: number, value: number) => {
        const counter = createHash('md5').update(service).digest('hex')
        const attributes = JSON.stringify({ 'resource service.name': service, 'resource service.instance.id': '1' })
        const stream = { ...STREAM, key: counter, attributes }
        return { ...point('a', 0, minute, value), counter, series: '5e'.repeat(16), stream }
      }
      await scene.observe([of('chat', 1, 5)], [ALICE, REQUESTS, 5])
      await scene.observe([of('search', 2, 7)], [ALICE, REQUESTS, 7])
      await scene.observe([of('chat', 3, 6), of('search', 3, 8)], [ALICE, REQUESTS, 2])
    })

    scenario('one that did not say its stream goes on when it does', async scene => {
      await scene.observe([point('a', 0, 1, 5), point('b', -100, 1, 50)], [ALICE, REQUESTS, 5])
      const said = (name: string, start: number, value: number) => ({
        ...point(name, start, 2, value),
        ...{ series: createHash('md5').update(`series ${name}`).digest('hex'), stream: STREAM },
      })
      await scene.observe([said('a', 0, 7), said('b', -100, 53)], [ALICE, REQUESTS, 5])
    })

    scenario('usage of nobody is kept as such', async scene => {
      await scene.observe([{ ...point('a', 0, 1, 5), account: NOBODY }], [NOBODY, REQUESTS, 5])
      await scene.observe([{ ...point('b', 5, 99, 7), account: NOBODY }], [NOBODY, REQUESTS, 7])
      assert.equal(await scene.equation(NOBODY, REQUESTS), '12 = 0 + 0 + 0 + 12')
    })

    scenario('several processes that see parts of it count each unit once', async scene => {
      const other = await scene.another()
      let sequence = 0
      const there = async (value: number, minute: number, adds: number) => {
        scene.books.expect(ALICE, REQUESTS.name, BigInt(adds) * UNIT)
        sequence += 1
        const observations = [point('a', 0, minute, value)]
        await other.append({ writer: 'ab'.repeat(16), sequence, entries: [], observations })
      }
      await scene.observe([point('a', 0, 1, 10)], [ALICE, REQUESTS, 10])
      await there(25, 2, 15)
      await scene.observe([point('a', 0, 2, 25)])
      await there(30, 4, 5)
      await scene.observe([point('a', 0, 3, 28)])
      await scene.observe([point('a', 0, 5, 31)], [ALICE, REQUESTS, 1])
      await there(31, 5, 0)
    })

    scenario('it is remembered across a restart', async scene => {
      await scene.observe([point('a', 0, 1, 10)], [ALICE, REQUESTS, 10])
      await scene.reopen()
      await scene.observe([point('a', 0, 1, 10)])
      await scene.observe([point('a', 0, 2, 11)], [ALICE, REQUESTS, 1])
    })

    scenario('one that rises for long, falls and rises again is remembered after each point', async scene => {
      const values = [10, 20, 30, 40, 50, 45, 60, 70, 2 ** 33, 2 ** 34, 2 ** 34 + 10]
      let mark = 0
      for (const [index, value] of values.entries()) {
        const rise = Math.max(0, value - mark)
        const expected = rise === 0 ? [] : [[ALICE, REQUESTS, rise] as const]
        await scene.observe([point('a', 0, index + 1, value)], ...expected)
        await scene.reopen()
        mark = Math.max(mark, value)
      }
      await scene.observe([point('a', 0, values.length, mark)])
    })

    scenario('a mark that no number holds is remembered to the millionth', async scene => {
      const mark = 2n ** 53n + 1n
      const at = (minute: number, value: bigint): Observation => ({ ...point('a', 0, minute, 0), value })
      scene.books.expect(ALICE, REQUESTS.name, mark)
      for (const minute of [1, 2, 3, 4]) await scene.observe([at(minute, mark)])
      scene.books.expect(ALICE, REQUESTS.name, 1n)
      await scene.observe([at(5, mark + 1n)])
    })

    scenario('a batch with points is known again, and refused under a used key', async scene => {
      const batch = { writer: 'cd'.repeat(16), sequence: 1, entries: [], observations: [point('a', 0, 1, 10)] }
      scene.books.expect(ALICE, REQUESTS.name, 10n * UNIT)
      await scene.ledger.append(batch)
      await scene.ledger.append(batch)
      const other = { ...batch, observations: [point('a', 0, 1, 11)] }
      await assert.rejects(scene.ledger.append(other), { code: 'ERR_LEDGER_KEY_REUSED' })
    })

    scenario('a batch with a point that is not what it has to be is refused whole', async scene => {
      const good = point('a', 0, 1, 5)
      const bad: Partial<Record<keyof Observation, unknown>>[] = [
        { counter: 'xyz' },
        { kind: 'other' },
        { start: -1 },
        { time: Number.NaN },
        { time: good.time + 0.5 },
        { start: 0.1 },
        { maxGap: 0.5 },
        { receivedAt: 8.64e15 + 1 },
        { counter: 'z'.repeat(32) },
        { counter: 'C0'.repeat(16) },
        { time: 0 },
        { receivedAt: Number.POSITIVE_INFINITY },
        { value: -1n },
        { value: MAX_AMOUNT + 1n },
        { value: 5 },
        { dimension: 'unknown' },
      ]
      for (const change of bad) {
        const observations = [good, { ...good, ...change } as Observation]
        const batch = { writer: 'ef'.repeat(16), sequence: 1, entries: [], observations }
        await assert.rejects(
          scene.ledger.append(batch),
          // A dimension that was never registered is no fault of the point.
          { code: 'dimension' in change ? 'ERR_LEDGER_NOT_FOUND' : 'ERR_LEDGER_INVALID' },
          Object.keys(change)[0],
        )
      }
      await scene.observe([good], [ALICE, REQUESTS, 5])
    })
  })

  describe(`${name}: counters of unknown start`, () => {
    const scraped = (minute: number, value: number, start = 0) => ({
      ...point('s', 0, minute, value),
      ...{ kind: 'scraped' as const, start: start === 0 ? 0 : micros(start) },
    })

    scenario('what begins anew after quiet minutes comes to its old height, and counts', async scene => {
      const before = Array.from({ length: 42 }, (_, n) => scraped(n + 1, 2300 * (n + 1)))
      const quiet = [scraped(43, 96_773), scraped(44, 96_995)]
      const after = Array.from({ length: 35 }, (_, n) => scraped(n + 46, 3154 + 2900 * n))
      await scene.observe([...before, ...quiet, ...after], [ALICE, REQUESTS, 96_995 - 2300 + 101_754])
    })

    scenario('the first point is a baseline, then increases count, and a decrease begins anew', async scene => {
      await scene.observe([scraped(1, 1000)])
      await scene.observe([scraped(2, 1010)], [ALICE, REQUESTS, 10])
      await scene.observe([scraped(3, 1020)], [ALICE, REQUESTS, 10])
      // Two more tell that the old height does not come back.
      await scene.observe([scraped(4, 4)])
      await scene.observe([scraped(5, 6)])
      await scene.observe([scraped(6, 9)], [ALICE, REQUESTS, 9])
      assert.deepEqual((await scene.ledger.status()).notCounted, { baseline: 1 })
    })

    /** Falls to half, which the next points have to explain. */
    const fallen = async (scene: Scene) => {
      const points = [1000, 1010, 1020, 498, 499, 500].map((value, n) => scraped(n + 1, value))
      await scene.observe(points, [ALICE, REQUESTS, 20])
      assert.deepEqual((await scene.ledger.status()).waiting, [{ dimension: 'requests', amount: 500n * UNIT }])
    }

    scenario('what waits is decided in time for the records of its hour, by whoever closes it', async scene => {
      await fallen(scene)
      await scene.ledger.closeHours({ ...closeOptions(hour(1) - MINUTE) })
      assert.equal((await scene.ledger.status()).waiting.length, 1)
      scene.books.expect(ALICE, REQUESTS.name, 500n * UNIT)
      await Promise.all([closing(0), closing(0)].map(now => scene.ledger.closeHours(closeOptions(now))))
      assert.deepEqual((await scene.ledger.status()).waiting, [])
      assert.deepEqual(await scene.history(ALICE, REQUESTS), ['0:520 pending'])
      await scene.observe([scraped(70, 503)], [ALICE, REQUESTS, 3])
    })

    scenario("what waits of a customer is decided when its agreement ends, and others' still waits", async scene => {
      await fallen(scene)
      const bobs = [700, 710, 720, 40].map((value, n) => ({
        ...scraped(n + 1, value),
        account: BOB,
        counter: 'b0'.repeat(16),
      }))
      await scene.observe(bobs, [BOB, REQUESTS, 20])
      scene.books.expect(ALICE, REQUESTS.name, 500n * UNIT)
      await scene.ledger.finalize(ALICE, { ...closeOptions(hour(0) + 5 * MINUTE), endedAt: hour(0) + 4 * MINUTE })
      assert.deepEqual(await scene.history(ALICE, REQUESTS), ['0:520 pending'])
      assert.deepEqual((await scene.ledger.status()).waiting, [{ dimension: 'requests', amount: 40n * UNIT }])
    })

    scenario('a fall that is not likely waits for more than its hour', async scene => {
      await scene.observe(
        [1000, 1010, 1020, 498].map((value, n) => scraped(n + 1, value)),
        [ALICE, REQUESTS, 20],
      )
      await scene.close(0)
      assert.deepEqual((await scene.ledger.status()).waiting, [{ dimension: 'requests', amount: 498n * UNIT }])
      scene.books.expect(ALICE, REQUESTS.name, 498n * UNIT)
      await scene.close(19)
    })

    scenario(
      'an old height that comes back in a jump is of another: what rises is held, until one is alone',
      async scene => {
        await scene.observe(
          [1000, 1010, 1020, 500, 1030].map((value, n) => scraped(n + 1, value)),
          [ALICE, REQUESTS, 20],
        )
        assert.deepEqual((await scene.ledger.status()).notCounted, { baseline: 1, 'shared-identity': 1 })
        const held = heldAs('several-writers')
        await scene.observe([scraped(6, 1040)], [held, REQUESTS, 10])
        await scene.observe([scraped(7, 505)])
        await scene.observe(
          [20, 40, 60, 68].map((minute, n) => scraped(minute, 510 + 5 * n)),
          [held, REQUESTS, 20],
        )
        await scene.observe([scraped(69, 530)], [ALICE, REQUESTS, 5])
      },
    )

    scenario('of many points those are remembered that a fall is between', async scene => {
      const values = Array.from({ length: 50 }, (_, n) => (n < 3 ? 1000 + 10 * n : n))
      await scene.observe(
        values.map((value, n) => scraped(n + 1, value)),
        [ALICE, REQUESTS, 20 + 49],
      )
    })

    scenario('a clock that is always ahead is believed in its own order', async scene => {
      const ahead = (minute: number, value: number, received = minute) => ({
        ...scraped(minute + 120, value),
        receivedAt: START + received * MINUTE,
      })
      const points = [ahead(1, 1000), ahead(2, 1010), ahead(3, 1020), ahead(4, 1030)]
      // A restart, of which the second point comes first: where it came, the counter would have fallen twice.
      points.push(ahead(6, 95), ahead(5, 5, 6.5), ahead(7, 180), ahead(8, 185))
      await scene.observe(points.toReversed(), [ALICE, REQUESTS, 30 + 185])
    })

    scenario('points that are not younger are left out', async scene => {
      await scene.observe([scraped(1, 100)])
      await scene.observe([scraped(3, 130)], [ALICE, REQUESTS, 30])
      await scene.observe([scraped(2, 110), scraped(3, 130), scraped(1, 100)])
      await scene.observe([scraped(4, 131)], [ALICE, REQUESTS, 1])
    })

    scenario('a start that is the time of the first point after a restart loses and repeats nothing', async scene => {
      await scene.observe([scraped(1, 100, 1)])
      await scene.observe([scraped(2, 110, 1)], [ALICE, REQUESTS, 10])
      // The scraper begins again: for it, the counter starts now.
      await scene.observe([scraped(5, 150, 5)], [ALICE, REQUESTS, 40])
      await scene.observe([scraped(6, 155, 5)], [ALICE, REQUESTS, 5])
      // Its first point was lost.
      await scene.observe([scraped(9, 170, 8)], [ALICE, REQUESTS, 15])
      await scene.observe([scraped(10, 171, 8)], [ALICE, REQUESTS, 1])
      // And the server begins again.
      await scene.observe([scraped(12, 3, 12)])
      await scene.observe([scraped(13, 4, 12)])
      await scene.observe([scraped(14, 5, 12)], [ALICE, REQUESTS, 5])
    })

    scenario('one that comes without its start, then with it, is the same', async scene => {
      await scene.observe([scraped(1, 100)])
      await scene.observe([scraped(2, 110, -50)], [ALICE, REQUESTS, 10])
      await scene.observe([scraped(3, 115, -50)], [ALICE, REQUESTS, 5])
    })
  })

  describe(`${name}: starts of a target`, () => {
    const of = (name: string, start: number, minute: number, value: number) => ({
      ...point(name, 0, minute, value),
      ...{ kind: 'scraped' as const, start: micros(start) + 1, stream: STREAM },
    })

    scenario('one under which two that are known go on is none', async scene => {
      for (const [minute, adds] of [0, 20, 20].entries()) {
        const points = ['s', 't'].map(name => of(name, -100, minute + 1, 100 + 10 * minute))
        await scene.observe(points, [ALICE, REQUESTS, adds])
      }
      for (const minute of [11, 12, 13, 14]) {
        const points = ['s', 't'].map(name => of(name, 10, minute, 119 + minute - 10))
        await scene.observe(points, [ALICE, REQUESTS, minute === 11 ? 0 : 2])
      }
    })

    scenario('one in whole seconds that only this target says is real', async scene => {
      const read = (minute: number) => ['s', 't'].map(name => ({ ...of(name, 10, minute, 50), start: micros(10) }))
      await scene.observe(read(11))
      await scene.observe(read(12))
      await scene.observe(read(13), [ALICE, REQUESTS, 100])
    })

    scenario('one that another fell under is real, also where a counter is higher than it was', async scene => {
      const values = { s: [100, 5], t: [100, 150], u: [100, 160] } as const
      const read = (start: number, minute: number, run: 0 | 1) =>
        Object.entries(values).map(([name, heights]) => of(name, start, minute, heights[run]))
      await scene.observe(read(-100, 1, 0))
      await scene.observe(read(-100, 2, 0))
      await scene.observe(read(10, 11, 1), [ALICE, REQUESTS, 5 + 50 + 60])
      await scene.observe(read(10, 12, 1))
      await scene.observe(read(10, 13, 1), [ALICE, REQUESTS, 200])
    })
  })

  describe(`${name}: what is old is summed up, or forgotten`, () => {
    const DAYS = 28 * 60
    const scraped = (minute: number, value: number, start = 0) => ({
      ...point('s', 0, minute, value),
      ...{ kind: 'scraped' as const, start: start === 0 ? 0 : micros(start) + 1 },
    })

    scenario('what was before an old restart stays counted', async scene => {
      const minutes = Array.from({ length: 20 }, (_, n) => (n < 19 ? n + 4 : DAYS))
      const points = [
        scraped(1, 1000),
        scraped(2, 1010),
        scraped(3, 1020),
        ...minutes.map((at, n) => scraped(at, n + 1)),
      ]
      await scene.observe(points, [ALICE, REQUESTS, 40])
      await scene.observe([scraped(DAYS + 1, 25)], [ALICE, REQUESTS, 5])
    })

    scenario('so does what a gauge came to more than a day ago', async scene => {
      const levels = [1, 2, 3, DAYS, DAYS + 1].map(minute => ({
        ...{ ...point('g', 0, minute, 1, GPU), kind: 'gauge' as const, start: 0 },
        ...{ maxGap: 120_000_000 },
      }))
      scene.books.expect(ALICE, GPU.name, 180n * UNIT)
      await scene.observe(levels)
      scene.books.expect(ALICE, GPU.name, 120n * UNIT)
      await scene.close(DAYS / 60 + 1)
    })

    scenario('a start of a target that speaks after it was forgotten is held', async scene => {
      await scene.observe(
        [2, 3, 4].map(minute => scraped(minute, 10 * minute, 1)),
        [ALICE, REQUESTS, 40],
      )
      await scene.observe(
        [101, 102, 103].map(minute => scraped(minute, minute, 100)),
        [ALICE, REQUESTS, 103],
      )
      await scene.observe(
        [1, 2, 3].map(n => scraped(DAYS + n, n, DAYS)),
        [ALICE, REQUESTS, 3],
      )
      await scene.observe([scraped(DAYS + 5, 50, 1)], [heldAs('old-counter'), REQUESTS, 50])
    })
  })

  describe(`${name}: deltas`, () => {
    const delta = (from: number, to: number, value: number) => ({
      ...point('d', from, to, value),
      kind: 'delta' as const,
    })
    const later = (one: Observation) => ({ ...one, time: one.time + 10_000 })

    scenario('each counts once, in any order', async scene => {
      await scene.observe([delta(0, 1, 5)], [ALICE, REQUESTS, 5])
      await scene.observe([delta(2, 3, 2), delta(0, 1, 5)], [ALICE, REQUESTS, 2])
      await scene.observe([delta(1, 2, 7), delta(1, 2, 7)], [ALICE, REQUESTS, 7])
      await scene.reopen()
      await scene.observe([delta(2, 3, 2), delta(1, 2, 7), delta(0, 1, 5)])
      assert.deepEqual((await scene.ledger.status()).notCounted, {})
    })

    // Without books: there are too many to check after each.
    test('deltas that add up to more than any amount are exact, and in the way of nothing', async () => {
      const { ledger, dispose } = await open()
      await ledger.register(DIMENSIONS, sources(PRODUCT, START))
      const value = MAX_AMOUNT
      const points = Array.from({ length: 300 }, (_, n) => ({ ...delta(0, 1, 1), time: micros(1) + n, value }))
      let sequence = 0
      const take = async (...observations: Observation[]) => {
        sequence += 1
        await ledger.append({ writer: 'cd'.repeat(16), sequence, entries: [], observations })
      }
      await take(...points)
      await take(...points.map(later))
      await take({ ...delta(0, 1, 5), account: BOB, counter: 'b0'.repeat(16) })
      await ledger.closeHours(closeOptions(closing(1)))
      await take(...points.map(later).map(later))
      await ledger.closeHours(closeOptions(closing(2)))
      await ledger.status()
      const recorded = new Map((await ledger.statement()).map(({ account, recorded }) => [account.key, recorded]))
      assert.equal(recorded.get(BOB.key), 5n * UNIT)
      assert.equal(recorded.get(ALICE.key), 900n * MAX_AMOUNT)
      await dispose()
    })

    scenario('the same one with another value is a conflict', async scene => {
      await scene.observe([delta(0, 1, 5)], [ALICE, REQUESTS, 5])
      await scene.observe([delta(0, 1, 6)])
      const [entry] = await scene.ledger.audit()
      assert.deepEqual([entry?.action, entry?.amount], ['conflict', 6n * UNIT])
      assert.deepEqual((await scene.ledger.status()).notCounted, { conflict: 1 })
    })

    scenario('two producers under one identity that overlap both count', async scene => {
      await scene.observe([delta(0, 2, 5), delta(1, 3, 7), delta(2, 4, 1)], [ALICE, REQUESTS, 13])
    })

    scenario('those that all come twice are told, once an hour, and a retry is not', async scene => {
      const of = (minute: number) => ({ ...delta(minute, minute + 1, 5), stream: STREAM })
      const told = async () => (await scene.ledger.status()).notCounted['sent-twice'] ?? 0
      const twice = async (minute: number) => {
        await scene.observe([of(minute)], [ALICE, REQUESTS, 5])
        await scene.observe([of(minute)])
      }
      for (const minute of [0, 1]) await twice(minute)
      await scene.observe([of(2)], [ALICE, REQUESTS, 5])
      for (const minute of [3, 4, 5]) await twice(minute)
      assert.equal(await told(), 0)
      for (const minute of [6, 7, 8]) await twice(minute)
      assert.equal(await told(), 1)
      for (const minute of [66, 67]) await twice(minute)
      assert.equal(await told(), 2)
    })

    scenario('one from longer ago than deltas are remembered is held for a person, once', async scene => {
      const day = 24 * 60
      await scene.observe([delta(0, 1, 5)], [ALICE, REQUESTS, 5])
      await scene.observe([delta(3 * day, 3 * day + 1, 2)], [ALICE, REQUESTS, 2])
      const again = { ...delta(0, 1, 5), receivedAt: START + 73 * HOUR }
      await scene.observe([again], [heldAs('too-late'), REQUESTS, 5])
      await scene.observe([again])
      await scene.observe([{ ...delta(3 * day, 3 * day + 1, 2) }])
      assert.deepEqual((await scene.ledger.status()).notCounted, { 'too-late': 1 })
    })

    scenario('what was forgotten stays so when a clock goes back', async scene => {
      await scene.observe([delta(0, 1, 5)], [ALICE, REQUESTS, 5])
      await scene.observe([{ ...delta(1, 2, 1), receivedAt: START + 400 * HOUR }], [ALICE, REQUESTS, 1])
      await scene.observe([delta(0, 1, 5)], [heldAs('too-late'), REQUESTS, 5])
    })
  })

  describe(`${name}: gauges`, () => {
    const level = (second: number, value: number) => ({
      ...point('g', 0, 1, 0, GPU),
      ...{
        kind: 'gauge' as const,
        start: 0,
        time: (START + second * SECOND) * 1000,
        receivedAt: START + second * SECOND,
      },
      ...{ value: BigInt(value * 1e6), maxGap: 120_000_000 },
    })

    scenario('a level that comes to more than any amount is told, and what follows counts', async scene => {
      await scene.observe([{ ...level(10, 0), value: MAX_AMOUNT / 20n }, level(40, 2)])
      assert.deepEqual((await scene.ledger.status()).notCounted, { 'out-of-range': 1 })
      await scene.observe([level(70, 0)], [ALICE, GPU, 60])
    })

    scenario('a level counts for as long as it holds', async scene => {
      await scene.observe([level(10, 2)])
      await scene.observe([level(40, 0.5)], [ALICE, GPU, 60])
      await scene.observe([level(70, 0), level(40, 0.5), level(10, 9)], [ALICE, GPU, 15])
      await scene.observe([level(100, 1)])
      assert.equal(await scene.equation(ALICE, GPU), '75 = 0 + 0 + 0 + 75')
    })

    scenario('a level of before metering began counts from then on', async scene => {
      await scene.observe([level(-30, 2), level(-10, 2), level(20, 2)], [ALICE, GPU, 40])
    })

    scenario('a late level divides its interval', async scene => {
      for (const second of [10, 40, 70]) await scene.observe([level(second, 2)], [ALICE, GPU, second === 10 ? 0 : 60])
      await scene.observe([level(50, 5)], [ALICE, GPU, 60])
      // One that is longer than usual waits for it.
      await scene.observe([level(160, 2)])
      assert.deepEqual((await scene.ledger.status()).waiting, [{ dimension: 'gpu', amount: 180n * UNIT }])
      await scene.observe([level(100, 0)], [ALICE, GPU, 60])
    })

    scenario('a silent level holds for as long as it may, and the rest is said', async scene => {
      await scene.observe([level(10, 2)])
      await scene.observe([level(131, 2)])
      await scene.observe([level(141, 2)], [ALICE, GPU, 20])
      // What is late may still fill the silence.
      assert.deepEqual((await scene.ledger.status()).waiting, [{ dimension: GPU.name, amount: 240n * UNIT }])
      scene.books.expect(ALICE, GPU.name, 240n * UNIT)
      await scene.close(1)
      assert.deepEqual((await scene.ledger.status()).notCounted, { gap: 1 })
    })

    scenario('nothing is lost to rounding', async scene => {
      // A thousandth of a millionth each, a thousand times.
      const tick = (n: number) => ({ ...level(10, 0), time: START * 1000 + 1 + n * 1000, value: 1n })
      await scene.observe(Array.from({ length: 1000 }, (_, n) => tick(n)))
      await scene.observe([tick(1000)], [ALICE, GPU, 0.000001])
    })
  })

  describe(`${name}: what all processes share`, () => {
    scenario('the metering of a product began once', async scene => {
      const [before, after] = [point('a', 170, 190, 5), point('b', 181, 190, 7)]
      await scene.ledger.register(DIMENSIONS, sources(PRODUCT, hour(3)))
      await scene.ledger.register(DIMENSIONS, sources(CAROL.product, hour(3)))
      await (await scene.another()).register(DIMENSIONS, sources(CAROL.product, hour(4)))
      await scene.reopen()
      await scene.ledger.register(DIMENSIONS, sources(CAROL.product, hour(5)))
      await scene.observe([before, after], [ALICE, REQUESTS, 12])
      const carols = [before, after].map(one => ({ ...one, account: CAROL, counter: one.counter.replace(/../, 'ca') }))
      await scene.observe(carols, [CAROL, REQUESTS, 7])
      assert.deepEqual((await scene.ledger.status()).notCounted, { baseline: 1 })
    })

    scenario('turns of the quota follow each other, whoever takes them', async scene => {
      const other = await scene.another()
      assert.equal(await scene.ledger.clock.takeTurns('us-east-1', 2, 100, START), START)
      assert.equal(await other.clock.takeTurns('us-east-1', 1, 100, START), START + 200)
      assert.equal(await other.clock.takeTurns('eu-west-1', 1, 100, START), START)
      assert.equal(await scene.ledger.clock.takeTurns('us-east-1', 5, 100, START + 50), START + 300)
      assert.equal(await scene.ledger.clock.takeTurns('us-east-1', 1, 100, START + 5000), START + 5000)
    })

    scenario(
      'a turn that a clock ahead has taken holds nobody up, or for as long as others wait for theirs',
      async scene => {
        const { clock } = scene.ledger
        await clock.takeTurns('us-east-1', 1, 100, START + HOUR)
        assert.equal(await clock.takeTurns('us-east-1', 1, 100, START), START)
        await clock.takeTurns('us-east-1', 1, 100, START + 62_000)
        assert.equal(await clock.takeTurns('us-east-1', 1, 100, START + 1000), undefined)
        assert.equal(await clock.takeTurns('us-east-1', 1, 100, START + 3000), START + 62_100)
        await clock.takeTurns('us-east-1', 1, 100, START + 75_000)
        assert.equal(await clock.takeTurns('us-east-1', 1, 100, START + 10_000), START + 10_000)
      },
    )

    scenario('however many ask, at the turn of an hour, no second has more turns than AWS takes', async scene => {
      const ledgers = [scene.ledger, await scene.another(), await scene.another()]
      const turns: number[] = []
      // 2,000 turns, by 50 who ask for 40, and again 40 seconds later where they get none.
      let [waiting, now, refused] = [50, START, 0]
      for (; waiting > 0; now += 40_000) {
        let given = 0
        for (let n = 0; n < waiting; n += 1) {
          const first = await ledgers[n % 3]?.clock.takeTurns('us-east-1', 40, 100, now)
          if (first === undefined) continue
          given += 1
          turns.push(...Array.from({ length: 40 }, (_, n) => first + n * 100))
        }
        waiting -= given
        refused += waiting
      }
      assert.ok(refused > 0)
      assert.deepEqual(
        turns.sort((a, b) => a - b),
        Array.from({ length: 2000 }, (_, n) => START + n * 100),
      )
    })

    scenario('a turn is a number of milliseconds that AWS has not promised yet', async scene => {
      const turns: number[] = []
      const ledgers = [scene.ledger, await scene.another(), await scene.another()]
      await Promise.all(
        Array.from({ length: 30 }, async (_, n) => {
          turns.push((await ledgers[n % 3]?.clock.takeTurns('us-east-1', 1, 100, START)) as number)
        }),
      )
      assert.deepEqual(
        turns.sort((a, b) => a - b),
        Array.from({ length: 30 }, (_, n) => START + n * 100),
      )
    })
  })
}

const STREAM = { key: '5e'.repeat(16), target: '5e'.repeat(6), metric: '', attributes: '{}' }

const micros = (minute: number) => (START + minute * MINUTE) * 1000

/** A point of a cumulative counter of requests, of minutes after the tests' first hour began. */
function point(
  name: string,
  start: number,
  minute: number,
  value: number,
  dimension: Dimension = REQUESTS,
): Observation {
  return {
    counter: createHash('md5').update(name).digest('hex'),
    ...{ kind: 'cumulative', account: ALICE, dimension: dimension.name },
    ...{ start: start === 0 ? micros(0) + 1 : micros(start), time: micros(minute) },
    ...{ receivedAt: START + minute * MINUTE, value: BigInt(value) * UNIT },
  }
}

/** Where usage of Alice's waits for a person. */
function heldAs(reason: 'too-late' | 'old-counter' | 'several-writers'): Account {
  const evidence = JSON.stringify({ customer: ALICE.key })
  return {
    ...{ kind: 'unattributed', product: PRODUCT, reason, evidence },
    key: `${PRODUCT},unattributed=${reason},${evidence}`,
  }
}
