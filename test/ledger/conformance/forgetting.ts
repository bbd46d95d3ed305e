import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe } from 'node:test'
import { MINUTE } from '../../../src/ledger/hours.ts'
import type { Ledger, Observation } from '../../../src/ledger/ledger.ts'
import { type Account, type UnattributedAccount, unattributedAccount } from '../../../src/usage/account.ts'
import { ALICE, BOB, DIMENSIONS, ERIN, GPU, REQUESTS, type Scene, START, sources, UNIT } from '../scene.ts'
import { counting, DAY, type Scenario } from './scenario.ts'

/** Counters that were silent for long are forgotten; what they say later counts neither twice nor in silence. */
export function forgetting(name: string, scenario: Scenario): void {
  const one = counting(scenario)
  describe(`${name}: counters that are forgotten`, () => {
    one('one that speaks again after 40 days is held, once, and goes on from there', async scene => {
      await scene.observe([point('a', 0.1, 100)], [ALICE, REQUESTS, 100])
      await scene.observe([point('a', 0.2, 110)], [ALICE, REQUESTS, 10])
      await passUntil(scene, 40)
      await scene.observe([point('a', 40, 130)], [held(ALICE), REQUESTS, 130])
      await scene.observe([point('a', 40, 130), point('a', 0.2, 110), point('a', 0.1, 100)])
      await scene.observe([point('a', 40.1, 137)], [ALICE, REQUESTS, 7])
      await scene.reopen()
      await scene.observe([point('a', 40.2, 140)], [ALICE, REQUESTS, 3])
      assert.deepEqual((await scene.ledger.status()).notCounted, { 'old-counter': 1 })
    })

    one.ofRules('one that is forgotten twice is held each time', async scene => {
      await scene.observe([point('a', 0.1, 100)], [ALICE, REQUESTS, 100])
      await passUntil(scene, 40)
      await scene.observe([point('a', 40, 130)], [held(ALICE), REQUESTS, 130])
      await passUntil(scene, 80)
      await scene.observe([point('a', 80, 150)], [held(ALICE), REQUESTS, 150])
    })

    one.ofRules('one that was silent for 30 days goes on', async scene => {
      await scene.observe([point('a', 0.1, 100)], [ALICE, REQUESTS, 100])
      await passUntil(scene, 30)
      await scene.observe([point('a', 30, 130)], [ALICE, REQUESTS, 30])
    })

    one.ofRules('one that has begun anew meanwhile is billed', async scene => {
      await scene.observe([point('a', 0.1, 100)], [ALICE, REQUESTS, 100])
      await passUntil(scene, 40)
      await scene.observe([point('a', 40, 30, { from: 39 })], [ALICE, REQUESTS, 30])
      await scene.observe([point('a', 40.1, 32, { from: 39 })], [ALICE, REQUESTS, 2])
    })

    one.ofRules('one that speaks is kept, and a customer who is new in its old process is billed', async scene => {
      const process = { stream: STREAM }
      await scene.observe([point('a', 0.1, 100, process)], [ALICE, REQUESTS, 100])
      for (let day = 10; day <= 60; day += 10) {
        await scene.observe([point('a', day, 100 + day, process)], [ALICE, REQUESTS, 10])
        if (day === 40 || day === 60) await passUntil(scene, day)
      }
      await scene.observe(
        [point('a', 60.1, 165, process), point('b', 60.1, 5, { ...process, account: BOB })],
        [ALICE, REQUESTS, 5],
        [BOB, REQUESTS, 5],
      )
    })

    one.ofRules(
      'where a process has left one out until it is forgotten, it is held, and so is one that is new',
      async scene => {
        const process = { stream: STREAM }
        const ofBob = { ...process, account: BOB }
        await scene.observe(
          [point('a', 0.1, 100, process), point('b', 0.1, 50, ofBob)],
          [ALICE, REQUESTS, 100],
          [BOB, REQUESTS, 50],
        )
        for (let day = 10; day <= 60; day += 10) {
          await scene.observe([point('a', day, 100 + day, process)], [ALICE, REQUESTS, 10])
          if (day === 40 || day === 60) await passUntil(scene, day)
        }
        await scene.observe([point('b', 60.1, 70, ofBob)], [held(BOB), REQUESTS, 70])
        await scene.observe([point('c', 60.2, 3, ofBob)], [held(BOB), REQUESTS, 3])
        await scene.observe([point('b', 60.3, 72, ofBob), point('c', 60.3, 4, ofBob)], [BOB, REQUESTS, 3])
        // With its next start nothing is in doubt.
        await scene.observe(
          [point('b', 60.5, 9, { ...ofBob, from: 60.4 }), point('d', 60.5, 1, { ...ofBob, from: 60.4 })],
          [BOB, REQUESTS, 10],
        )
      },
    )

    one.ofRules('an old process of before metering is held where it was forgotten', async scene => {
      const old = { stream: STREAM, from: -5 }
      await scene.observe([point('a', 0.1, 100, old)])
      await scene.observe([point('a', 0.2, 110, old)], [ALICE, REQUESTS, 10])
      await scene.observe([point('b', 0.3, 7, { ...old, from: 0.25 })], [ALICE, REQUESTS, 7])
      for (let day = 10; day <= 60; day += 10) {
        await scene.observe([point('b', day, 7 + day, { ...old, from: 0.25 })], [ALICE, REQUESTS, 10])
        if (day === 40 || day === 60) await passUntil(scene, day)
      }
      await scene.observe([point('a', 60.1, 150, old)], [held(ALICE), REQUESTS, 150])
      await scene.observe([point('a', 60.2, 155, old)], [ALICE, REQUESTS, 5])
      await scene.observe([point('a', 60.3, 156, old)], [ALICE, REQUESTS, 1])
    })

    one.ofRules('one without a start is remembered for 400 days', async scene => {
      await scene.observe([scraped('a', 0.1, 100), scraped('b', 0.1, 200)])
      await scene.observe([scraped('a', 0.2, 103), scraped('b', 0.2, 210)], [ALICE, REQUESTS, 13])
      await passUntil(scene, 300)
      await scene.observe([scraped('a', 300, 108)], [ALICE, REQUESTS, 5])
      await passUntil(scene, 410)
      await scene.observe([scraped('a', 410, 110)], [ALICE, REQUESTS, 2])
      // Its height is no lower, so it may be what was forgotten.
      await scene.observe([scraped('a', 410.1, 110), scraped('b', 410.1, 230)], [held(ALICE), REQUESTS, 230])
      await scene.observe([scraped('a', 410.2, 111), scraped('b', 410.2, 231)], [ALICE, REQUESTS, 2])
      // One that is lower is new, or has begun anew.
      scene.books.paused = true
      await scene.observe([scraped('a', 410.3, 111), scraped('c', 410.3, 4)])
      await scene.observe([scraped('a', 410.4, 111), scraped('c', 410.4, 5)])
      await scene.observe([scraped('a', 410.5, 111), scraped('c', 410.5, 6)])
      scene.books.expect(ALICE, REQUESTS.name, 6n * UNIT)
      scene.books.paused = false
    })

    one.ofRules('of one whose exposed start is of before what is forgotten, all is held', async scene => {
      const exposed = { from: 0.05 }
      await scene.observe([scraped('a', 0.1, 100, exposed)], [ALICE, REQUESTS, 100])
      await passUntil(scene, 410)
      await scene.observe([scraped('a', 410, 130, exposed)], [held(ALICE), REQUESTS, 130])
      await scene.observe([scraped('b', 410.1, 5, { from: 410.05 })], [ALICE, REQUESTS, 5])
    })

    one.ofRules('a gauge bridges nothing after it was forgotten', async scene => {
      await scene.observe([level(0), level(1), level(2)], [ALICE, GPU, 120])
      await passUntil(scene, 40)
      const later = (minute: number) => level((40 * DAY) / MINUTE + minute)
      await scene.observe([later(0), later(1), later(2)], [ALICE, GPU, 120])
    })

    one.ofRules('a clock that is ahead once forgets nothing, even where usage is ahead with it', async scene => {
      await scene.observe([point('a', 0.1, 100)], [ALICE, REQUESTS, 100])
      await passUntil(scene, 1)
      await scene.use(ERIN, REQUESTS, 400 * 24, 1)
      await scene.ledger.forget(START + 400 * DAY)
      await scene.observe([point('a', 1.1, 101)], [ALICE, REQUESTS, 1])
      await passUntil(scene, 2)
      await scene.observe([point('a', 2.1, 102)], [ALICE, REQUESTS, 1])
    })

    one('nothing is forgotten while the ledger hears of nothing', async scene => {
      await scene.observe([point('a', 0.1, 100)], [ALICE, REQUESTS, 100])
      for (const day of [100, 101, 102]) await scene.ledger.forget(START + day * DAY)
      await scene.observe([point('a', 102, 103)], [ALICE, REQUESTS, 3])
    })

    one.ofRules('a sender whose clock is 100 days behind is not silent', async scene => {
      await scene.ledger.register(DIMENSIONS, sources(ALICE.product, START))
      for (let day = 110; day <= 170; day += 10) {
        const late = point('a', day - 100, day, { received: day })
        await scene.observe([late], [ALICE, REQUESTS, day === 110 ? 110 : 10])
        if (day === 110 || day === 160) await passUntil(scene, day)
      }
    })

    one('what another process has forgotten is held by one that knew it', async scene => {
      const other = await scene.another()
      await scene.observe([point('a', 0.1, 100), point('b', 0.1, 10)], [ALICE, REQUESTS, 110])
      await scene.observe([point('a', 0.2, 101), point('b', 0.2, 11)], [ALICE, REQUESTS, 2])
      await passUntil(scene, 40, other)
      await scene.observe([point('n', 40, 1, { from: 39 })], [ALICE, REQUESTS, 1])
      await scene.observe([point('a', 40, 130)], [held(ALICE), REQUESTS, 130])
      await scene.observe(
        [point('b', 40, 20), point('a', 40.1, 131)],
        [held(ALICE), REQUESTS, 20],
        [ALICE, REQUESTS, 1],
      )
      await scene.observe(
        [point('b', 40.2, 21), point('a', 40.2, 132), point('n', 40.2, 2, { from: 39 })],
        [ALICE, REQUESTS, 3],
      )
    })
  })
}

const STREAM = { key: 'ab'.repeat(16), target: 'ab'.repeat(6), metric: '', attributes: '{}' }

/** Days go by in which somebody else is metered, and the ledger forgets what is silent. */
async function passUntil(scene: Scene, day: number, ledger: Ledger = scene.ledger): Promise<void> {
  for (const one of [day - 1, day]) {
    if (one <= 0) continue
    await scene.use(ERIN, REQUESTS, one * 24, 1)
    // What is heard of counts once somebody looks.
    await scene.books.check(ledger)
    await ledger.forget(START + one * DAY)
  }
}

interface Given {
  readonly account?: Account
  readonly stream?: typeof STREAM
  /** When it began, and when the point came: in days. */
  readonly from?: number
  readonly received?: number
}

const microseconds = (day: number): number => Math.round(START + day * DAY) * 1000

/** A cumulative counter of requests, at a time in days after metering began. */
function point(counter: string, day: number, value: number, given: Given = {}): Observation {
  const { account = ALICE, stream, from = 0.01, received = day } = given
  return {
    counter: createHash('md5').update(counter).digest('hex'),
    ...{ kind: 'cumulative', account, dimension: REQUESTS.name, ...(stream && { stream }) },
    ...{ start: microseconds(from) + 1, time: microseconds(day), receivedAt: Math.round(START + received * DAY) },
    value: BigInt(value) * UNIT,
  }
}

function scraped(counter: string, day: number, value: number, { from }: Given = {}): Observation {
  return {
    ...point(counter, day, value, { stream: STREAM }),
    ...{ kind: 'scraped', start: from === undefined ? 0 : microseconds(from) + 1 },
  }
}

function level(minute: number): Observation {
  const one = point('g', (minute * MINUTE) / DAY, 1)
  return { ...one, kind: 'gauge', dimension: GPU.name, start: 0, maxGap: 300_000_000 }
}

function held(account: Account): UnattributedAccount {
  return unattributedAccount(account.product, 'old-counter', JSON.stringify({ customer: account.key }))
}
