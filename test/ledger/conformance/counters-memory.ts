import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe } from 'node:test'
import { MINUTE } from '../../../src/ledger/hours.ts'
import type { Ledger, Observation } from '../../../src/ledger/ledger.ts'
import type { Account } from '../../../src/usage/account.ts'
import { formatAmount } from '../../../src/usage/amount.ts'
import { ALICE, BOB, BY, GPU, hour, REQUESTS, START, UNIT } from '../scene.ts'
import { counting, type Scenario } from './scenario.ts'

/** What has to be remembered of a counter, and of which: each scene has a second start, or a second counter. */
export function countersMemory(name: string, scenario: Scenario): void {
  const one = counting(scenario)
  describe(`${name}: what is remembered of counters`, () => {
    one.ofRules(
      'a late point of an earlier start counts what it adds, and nothing when it comes again',
      async scene => {
        await scene.observe([point('a', { from: 0, at: 5 }, 50)], [ALICE, REQUESTS, 50])
        // A start at 0 has begun, too.
        await scene.observe([point('a', { from: 20, at: 21 }, 0)])
        await scene.observe([point('a', { from: 20, at: 22 }, 3)], [ALICE, REQUESTS, 3])
        const late = point('a', { from: 0, at: 9 }, 60)
        await scene.observe([late], [ALICE, REQUESTS, 10])
        await scene.observe([late])
        await scene.observe([late, point('a', { from: 20, at: 22 }, 3), point('a', { from: 0, at: 7 }, 55)])
        await scene.observe([late])
      },
    )

    one.ofRules(
      'a lower value of an earlier start takes nothing back, and what follows is not billed again',
      async scene => {
        await scene.observe([point('a', { from: 0, at: 5 }, 60)], [ALICE, REQUESTS, 60])
        await scene.observe([point('a', { from: 20, at: 21 }, 3)], [ALICE, REQUESTS, 3])
        await scene.observe([point('a', { from: 0, at: 22 }, 55)])
        await scene.observe([point('a', { from: 0, at: 23 }, 60)])
      },
    )

    one.ofRules('a dozen starts that come out of order count once each', async scene => {
      const starts = [8, 7, 6, 5, 4, 3, 2, 1, 10, 9, 12, 11]
      const points = starts.map(n => point('a', { from: n * 10, at: n * 10 + 1 }, 20 - n))
      for (const [index, one] of points.entries())
        await scene.observe([one], [ALICE, REQUESTS, 20 - (starts[index] ?? 0)])
      for (const one of [0, 7, 11]) await scene.observe(points.slice(one, one + 1))
      await scene.observe(points)
      await scene.observe([point('a', { from: 120, at: 125 }, 9)], [ALICE, REQUESTS, 1])
    })

    one('each start has its mark across a restart', async scene => {
      await scene.observe([point('a', { from: 0, at: 5 }, 50)], [ALICE, REQUESTS, 50])
      await scene.reopen()
      await scene.observe([point('a', { from: 20, at: 21 }, 3)], [ALICE, REQUESTS, 3])
      await scene.reopen()
      await scene.observe([point('a', { from: 0, at: 5 }, 50)])
      await scene.observe([point('a', { from: 0, at: 9 }, 60)], [ALICE, REQUESTS, 10])
      await scene.reopen()
      await scene.observe(
        [point('a', { from: 0, at: 9 }, 60), point('a', { from: 20, at: 22 }, 4)],
        [ALICE, REQUESTS, 1],
      )
    })

    one('starts that move with each export are followed by their values, also when each comes twice', async scene => {
      // What waits at first is in the total at the latest when they are found to be none.
      scene.books.paused = true
      for (const n of [1, 2, 3, 4, 5, 6]) {
        const exported = point('a', { from: n, at: n + 1 }, 10 * n)
        await scene.observe([exported])
        await scene.observe([exported])
      }
      scene.books.expect(ALICE, REQUESTS.name, 60n * UNIT)
      scene.books.paused = false
    })

    one("nothing of a gauge's integral is lost to a restart in its middle", async scene => {
      // A thousandth of a millionth each, a thousand times.
      const tick = (n: number): Observation => ({
        ...point('g', { from: 0, at: 1 }, 0),
        ...{ kind: 'gauge', dimension: GPU.name, start: 0, time: START * 1000 + 1 + n * 1000 },
        ...{ receivedAt: START + MINUTE, value: 1n, maxGap: 120_000_000 },
      })
      await scene.observe(Array.from({ length: 500 }, (_, n) => tick(n)))
      await scene.reopen()
      await scene.observe(
        Array.from({ length: 501 }, (_, n) => tick(500 + n)),
        [ALICE, GPU, 0.000001],
      )
    })

    one('more deltas than a statement takes come in one batch', async scene => {
      const deltas = Array.from({ length: 700 }, (_, n) => ({
        ...point('d', { from: 0, at: 1 }, n),
        ...{ kind: 'delta' as const, start: START * 1000 + n, time: START * 1000 + n + 1 },
      }))
      await scene.observe(deltas, [ALICE, REQUESTS, (700 * 699) / 2])
      await scene.observe(deltas)
      await scene.reopen()
      await scene.observe(deltas)
    })

    one("usage is of the hour of its point's time, however late it arrives, and never of one to come", async scene => {
      const late = point('a', { from: 1, at: 2, received: 200 }, 5)
      const ahead = { ...point('b', { from: 58, at: 61, received: 59 }, 7), account: BOB }
      await scene.observe([late, ahead], [ALICE, REQUESTS, 5], [BOB, REQUESTS, 7])
      assert.deepEqual(await byHour(scene.ledger, ALICE), ['5', '0', '0', '0'])
      assert.deepEqual(await byHour(scene.ledger, BOB), ['7', '0', '0', '0'])
    })

    one('a ledger that is restored keeps what it knew of each counter', async scene => {
      const known = [
        point('a', { from: 0, at: 5 }, 100),
        point('b', { from: 1, at: 6 }, 7),
        point('c', { from: 2, at: 7 }, 40),
      ]
      await scene.observe(known, [ALICE, REQUESTS, 147])
      await scene.ledger.declareRestored({ ...BY, now: hour(5) })
      await scene.reopen()
      for (const one of known) await scene.observe([one])
      await scene.observe(known)
    })
  })
}

/** A cumulative counter of Alice's requests; times in minutes after the tests' first hour began. */
function point(
  name: string,
  { from, at, received = at }: { from: number; at: number; received?: number },
  value: number,
): Observation {
  return {
    counter: createHash('md5').update(name).digest('hex'),
    ...{ kind: 'cumulative', account: ALICE, dimension: REQUESTS.name },
    // No start is the hour's beginning itself, which is when metering began.
    ...{ start: (START + from * MINUTE) * 1000 + 1, time: (START + at * MINUTE) * 1000 },
    ...{ receivedAt: START + received * MINUTE, value: BigInt(value) * UNIT },
  }
}

/** What was recorded of an account's requests in each of the first hours. */
async function byHour(ledger: Ledger, account: Account): Promise<string[]> {
  const amounts: string[] = []
  for (const n of [0, 1, 2, 3]) {
    const query = { customer: account.key, dimension: REQUESTS.name, from: hour(n), to: hour(n + 1) }
    const [line] = await ledger.statement(query)
    amounts.push(formatAmount(line?.recorded ?? 0n))
  }
  return amounts
}
