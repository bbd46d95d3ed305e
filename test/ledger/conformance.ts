import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { LedgerError, type LedgerErrorCode } from '../../src/ledger/errors.ts'
import { HOUR, MINUTE } from '../../src/ledger/hours.ts'
import type { UsageBatch } from '../../src/ledger/ledger.ts'
import { MAX_QUANTITY } from '../../src/usage/dimension.ts'
import { observingConformance } from './observing-conformance.ts'
import {
  ALICE,
  BOB,
  BY,
  bounced,
  CAROL,
  CONFLICT,
  closeOptions,
  closing,
  DIMENSIONS,
  DORA,
  ERIN,
  entry,
  GPU,
  GUARDED,
  hour,
  type LedgerUnderTest,
  lost,
  MARGIN,
  METERED,
  NOBODY,
  NOT_SUBSCRIBED,
  REFUSED,
  REQUESTS,
  ROLLED_FORWARD,
  Scene,
  TOKENS,
  UNIT,
} from './scene.ts'

const DAY = 24 * HOUR
const WRITER = '0123456789abcdef0123456789abcdef'

const code = (code: LedgerErrorCode) => (error: unknown) => {
  assert.ok(error instanceof LedgerError, `expected a LedgerError, got ${error}`)
  assert.equal(error.code, code)
  return true
}

/**
 * What every ledger has to do, whatever the engine. Equations read `recorded = metered + pending + held + balance`;
 * that they hold, for every series and after every call, is checked by the scene itself.
 */
export function ledgerConformance(name: string, open: () => Promise<LedgerUnderTest>): void {
  const scenario = (title: string, play: (scene: Scene) => Promise<void>): void => {
    test(title, async () => {
      await using scene = await Scene.begin(open)
      await play(scene)
    })
  }

  describe(`${name}: appending`, () => {
    scenario('the same batch again changes nothing, in any order of its entries', async scene => {
      const entries = [entry(ALICE, REQUESTS, 0, 5), entry(BOB, TOKENS, 0, 7), entry(ALICE, REQUESTS, 1, 1)]
      const batch: UsageBatch = { writer: WRITER, sequence: 1, entries }
      await scene.ledger.append(batch)
      await scene.ledger.append(batch)
      await scene.ledger.append({ ...batch, entries: entries.toReversed() })
      await (await scene.another()).append({ ...batch, entries: structuredClone(entries) })
      await scene.reopen()
      await scene.ledger.append(batch)
      assert.equal(await scene.equation(ALICE, REQUESTS), '6 = 0 + 0 + 0 + 6')
      assert.equal(await scene.equation(BOB, TOKENS), '7 = 0 + 0 + 0 + 7')
    })

    scenario('a batch is known for good: after its hours are closed, and after days', async scene => {
      const batch: UsageBatch = { writer: WRITER, sequence: 1, entries: [entry(ALICE, REQUESTS, 0, 5)] }
      await scene.ledger.append(batch)
      await scene.close(0)
      await scene.ledger.append(batch)
      for (const day of [1, 2, 3]) await scene.close(day * 24)
      await scene.ledger.prune(hour(60))
      await scene.ledger.append(batch)
      assert.match(await scene.equation(ALICE, REQUESTS), /^5 = /)
    })

    scenario('the same key with other entries is refused', async scene => {
      const batch: UsageBatch = { writer: WRITER, sequence: 1, entries: [entry(ALICE, REQUESTS, 0, 5)] }
      await scene.ledger.append(batch)
      for (const entries of [
        [],
        [entry(ALICE, REQUESTS, 0, 6)],
        [entry(ALICE, REQUESTS, 1, 5)],
        [entry(BOB, REQUESTS, 0, 5)],
        [entry(ALICE, TOKENS, 0, 5)],
        [...batch.entries, ...batch.entries],
      ]) {
        await assert.rejects(scene.ledger.append({ ...batch, entries }), code('ERR_LEDGER_KEY_REUSED'))
      }
      assert.equal(await scene.equation(ALICE, REQUESTS), '5 = 0 + 0 + 0 + 5')
    })

    scenario('each writer counts for itself, without gaps', async scene => {
      const batch = (writer: string, sequence: number): UsageBatch => {
        return { writer, sequence, entries: [entry(ALICE, REQUESTS, 0, 1)] }
      }
      const other = WRITER.replaceAll('0', 'f')
      await scene.ledger.append(batch(WRITER, 1))
      await scene.ledger.append(batch(WRITER, 2))
      await scene.ledger.append(batch(other, 1))
      await assert.rejects(scene.ledger.append(batch(other, 3)), code('ERR_LEDGER_BATCH_MISSING'))
      await scene.ledger.append(batch(other, 2))
      await scene.ledger.append(batch(other, 3))
      assert.equal(await scene.equation(ALICE, REQUESTS), '5 = 0 + 0 + 0 + 5')
    })

    scenario('a batch that is not what it has to be is refused whole, and its key stays free', async scene => {
      const good = entry(ALICE, REQUESTS, 0, 1)
      for (const bad of [
        { ...good, hour: hour(0) + 1 },
        { ...good, hour: -HOUR },
        { ...good, hour: Number.NaN },
        { ...good, hour: Number.POSITIVE_INFINITY },
        { ...good, hour: HOUR * 2 ** 60 },
        { ...good, amount: 0n },
        { ...good, amount: -1n },
        { ...good, amount: 5 as unknown as bigint },
        { ...good, amount: 2n ** 80n },
        { ...good, dimension: 'unheard-of' },
      ]) {
        const newcomer = { ...good, account: BOB }
        const batch = { writer: WRITER, sequence: 1, entries: [newcomer, good, bad] }
        await assert.rejects(scene.ledger.append(batch), code('ERR_LEDGER_INVALID'))
      }
      for (const [writer, sequence] of [
        ['abc', 1],
        [WRITER.toUpperCase(), 1],
        [WRITER, 0],
        [WRITER, 1.5],
        [WRITER, Number.NaN],
      ] as const) {
        await assert.rejects(scene.ledger.append({ writer, sequence, entries: [good] }), code('ERR_LEDGER_INVALID'))
      }
      assert.deepEqual(await scene.ledger.statement(), [])
      await scene.ledger.append({ writer: WRITER, sequence: 1, entries: [good, { ...good, account: BOB }] })
      assert.equal(await scene.equation(BOB, REQUESTS), '1 = 0 + 0 + 0 + 1')
    })

    scenario('an empty batch uses its key', async scene => {
      await scene.ledger.append({ writer: WRITER, sequence: 1, entries: [] })
      await scene.ledger.append({ writer: WRITER, sequence: 2, entries: [entry(ALICE, REQUESTS, 0, 1)] })
      await scene.ledger.append({ writer: WRITER, sequence: 1, entries: [] })
      assert.equal(await scene.equation(ALICE, REQUESTS), '1 = 0 + 0 + 0 + 1')
    })

    scenario('amounts past 2^53 and 2^63 stay exact', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 2n ** 53n + 1n)
      assert.equal(await scene.equation(ALICE, REQUESTS), '9007199254.740993 = 0 + 0 + 0 + 9007199254.740993')
      for (let n = 0; n < 5; n += 1) await scene.use(ALICE, TOKENS, n, 2n ** 62n - 1n)
      for (let n = 0; n < 5; n += 1) await scene.use(ALICE, TOKENS, 4, 2n ** 62n)
      // 10 × 2^62 − 5 millionths.
      assert.equal(await scene.equation(ALICE, TOKENS), '46116860184273.879035 = 0 + 0 + 0 + 46116860184273.879035')
      await scene.close(5)
      // A quantity of 2147483647 × 1000 tokens is more than 2^60 millionths.
      const [record] = await scene.ledger.records({ customer: ALICE.key, dimension: 'tokens', limit: 1 })
      assert.equal(record?.quantity, MAX_QUANTITY)
      for (let n = 6; n < 40; n += 1) {
        await scene.close(n)
        await scene.send(METERED, closing(n))
      }
      assert.equal(await scene.equation(ALICE, TOKENS), '46116860184273.879035 = 46116860184000 + 0 + 0 + 273.879035')
    })

    scenario('one batch may have more of a series than fits in 64 bits', async scene => {
      const entries = Array.from({ length: 9 }, () => entry(ALICE, TOKENS, 0, 2n ** 62n))
      const batch: UsageBatch = { writer: WRITER, sequence: 1, entries: [...entries, entry(ALICE, TOKENS, 0, 1n)] }
      await scene.ledger.append(batch)
      await scene.ledger.append(batch)
      await scene.close(0)
      assert.match(await scene.equation(ALICE, TOKENS), /^41505174165846\.491137 = 0 \+ 2147483647000 \+ 0 /)
    })

    scenario('a thousand series in one batch', async scene => {
      const accounts = Array.from({ length: 1000 }, (_, n) => ({ ...ALICE, key: `prod-1,${n}`, accountId: String(n) }))
      await scene.append(accounts.flatMap(account => [entry(account, REQUESTS, 0, 2), entry(account, REQUESTS, 1, 1)]))
      assert.equal((await scene.close(1)).records, 2000)
      assert.equal((await scene.ledger.statement()).length, 1000)
    })
  })

  describe(`${name}: dimensions`, () => {
    scenario('a changed size never rebills', async scene => {
      await scene.use(ALICE, TOKENS, 0, 2700)
      await scene.close(0)
      await scene.ledger.register([{ ...TOKENS, size: 100n * UNIT }])
      assert.equal(await scene.equation(ALICE, TOKENS), '2700 = 0 + 2000 + 0 + 700')
      await scene.close(1)
      assert.deepEqual(await scene.history(ALICE, TOKENS), ['1:7 pending', '0:2 pending'])
      await scene.ledger.register([{ ...TOKENS, size: 5000n * UNIT }])
      await scene.use(ALICE, TOKENS, 2, 5300)
      await scene.close(2)
      await scene.send(METERED, closing(2))
      assert.equal(await scene.equation(ALICE, TOKENS), '8000 = 7700 + 0 + 0 + 300')
    })

    scenario('a changed size does not change what a held record is worth', async scene => {
      await scene.use(ALICE, TOKENS, 0, 3000)
      await scene.close(0)
      await scene.send(REFUSED, closing(0))
      await scene.ledger.register([{ ...TOKENS, size: 1n * UNIT }])
      await scene.ledger.release((await scene.only('held')).id, BY)
      await scene.close(1)
      assert.deepEqual(await scene.history(ALICE, TOKENS), ['1:3000 pending', '0:3 returned refused'])
    })

    scenario('a changed base unit is refused, and nothing of that call is taken', async scene => {
      const changed = { ...GPU, unit: '{request}', baseUnit: '1' } as const
      await assert.rejects(scene.ledger.register([{ ...TOKENS, size: 1n }, changed]), code('ERR_LEDGER_INVALID'))
      await scene.use(ALICE, TOKENS, 0, 1)
      const [line] = await scene.ledger.statement()
      assert.deepEqual(line?.dimension, TOKENS)
    })

    scenario('a size of nothing is refused', async scene => {
      for (const size of [0n, -1n]) {
        await assert.rejects(scene.ledger.register([{ ...TOKENS, size }]), code('ERR_LEDGER_INVALID'))
      }
    })
  })

  describe(`${name}: closing hours`, () => {
    scenario('an hour is closed when it is over for as long as the delay, not before', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 3)
      assert.equal((await scene.close(0, { now: closing(0) - 1 })).records, 0)
      assert.equal(await scene.equation(ALICE, REQUESTS), '3 = 0 + 0 + 0 + 3')
      assert.equal((await scene.close(0)).records, 1)
      const record = await scene.only('pending')
      assert.equal(record.timestamp, hour(1) - 1000)
      assert.equal(record.deadline, hour(24) - MARGIN)
      assert.equal(record.region, 'us-east-1')
      assert.equal((await scene.ledger.status()).closedThrough, hour(0))
    })

    scenario('closing twice, or at once from two processes, freezes once', async scene => {
      const another = await scene.another()
      await scene.append([ALICE, BOB, CAROL, DORA, ERIN].flatMap(account => [entry(account, REQUESTS, 0, 4)]))
      const results = await Promise.all(
        [scene.ledger, another, scene.ledger, another].map(ledger => ledger.closeHours(closeOptions(closing(0)))),
      )
      assert.equal(
        results.reduce((total, result) => total + result.records, 0),
        5,
      )
      assert.equal((await scene.close(0)).records, 0)
      for (const account of [ALICE, BOB, CAROL, DORA, ERIN]) {
        assert.equal(await scene.equation(account, REQUESTS), '4 = 0 + 4 + 0 + 0')
      }
    })

    scenario('late usage goes into the next hour', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 3)
      await scene.close(0)
      await scene.use(ALICE, REQUESTS, 0, 2)
      assert.equal((await scene.close(0)).records, 0)
      await scene.use(ALICE, REQUESTS, 1, 1)
      await scene.close(1)
      assert.deepEqual(await scene.history(ALICE, REQUESTS), ['1:3 pending', '0:3 pending'])
    })

    scenario('late usage of a series that is idle goes out with the next hour too', async scene => {
      await scene.close(0)
      await scene.use(ALICE, REQUESTS, 0, 2)
      await scene.close(1)
      assert.deepEqual(await scene.history(ALICE, REQUESTS), ['1:2 pending'])
    })

    scenario('fractions add up to units, each billed once', async scene => {
      for (let n = 0; n < 10; n += 1) {
        await scene.use(ALICE, GPU, n, 1000)
        await scene.close(n)
      }
      await scene.send(METERED, closing(9))
      assert.equal(await scene.equation(ALICE, GPU), '10000 = 7200 + 0 + 0 + 2800')
      assert.deepEqual(await scene.history(ALICE, GPU), ['7:1 metered', '3:1 metered'])
      await scene.use(ALICE, REQUESTS, 10, 2_999_999n)
      await scene.close(10)
      assert.equal(await scene.equation(ALICE, REQUESTS), '2.999999 = 0 + 2 + 0 + 0.999999')
    })

    scenario('what is above the largest quantity goes out with the next hours', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 2 * MAX_QUANTITY + 1)
      for (const n of [0, 1, 2, 3]) await scene.close(n)
      assert.deepEqual(await scene.history(ALICE, REQUESTS), [
        '2:1 pending',
        `1:${MAX_QUANTITY} pending`,
        `0:${MAX_QUANTITY} pending`,
      ])
    })

    scenario('after an outage each hour is closed for itself', async scene => {
      for (const n of [0, 1, 2, 5]) await scene.use(ALICE, REQUESTS, n, n + 1)
      await scene.use(BOB, REQUESTS, 1, 9)
      assert.equal((await scene.close(7)).records, 5)
      assert.deepEqual(await scene.history(ALICE, REQUESTS), [
        '5:6 pending',
        '2:3 pending',
        '1:2 pending',
        '0:1 pending',
      ])
      assert.equal((await scene.ledger.status()).closedThrough, hour(7))
    })

    scenario('hours that AWS no longer takes go out with the next that it does', async scene => {
      for (const n of [0, 1, 2, 3]) await scene.use(ALICE, REQUESTS, n, 10 ** n)
      // The window of hour 1 closes at 25:00; 10 minutes before it is out.
      await scene.close(24, { now: hour(25) - MARGIN, closeDelay: 5 * MINUTE })
      assert.deepEqual(await scene.history(ALICE, REQUESTS), ['3:1000 pending', '2:111 pending'])
    })

    scenario("a month's hours are taken until 06:00 UTC on the 1st", async scene => {
      const april = (Date.UTC(2026, 3, 1) - hour(0)) / HOUR
      await scene.use(ALICE, REQUESTS, april - 3, 1)
      await scene.use(BOB, REQUESTS, april - 2, 2)
      await scene.close(april - 3)
      await scene.close(april - 2)
      const [later, earlier] = await scene.ledger.records()
      assert.equal(later?.deadline, hour(april + 6) - MARGIN)
      assert.equal(earlier?.deadline, hour(april + 6) - MARGIN)
      await scene.use(CAROL, REQUESTS, april, 3)
      await scene.close(april)
      assert.equal((await scene.ledger.records({ customer: CAROL.key }))[0]?.deadline, hour(april + 24) - MARGIN)
      // Too late for March: the usage goes into April rather than nowhere.
      await scene.use(ALICE, REQUESTS, april - 1, 4)
      await scene.close(april + 6)
      assert.deepEqual(await scene.history(ALICE, REQUESTS), [`${april + 6}:4 pending`, `${april - 3}:1 pending`])
    })

    scenario('usage without a customer is never frozen', async scene => {
      await scene.use(NOBODY, REQUESTS, 0, 12)
      assert.equal((await scene.close(3)).records, 0)
      assert.equal(await scene.equation(NOBODY, REQUESTS), '12 = 0 + 0 + 0 + 12')
      await scene.use(NOBODY, REQUESTS, 4, 3)
      assert.deepEqual((await scene.ledger.status()).unattributed, [{ dimension: 'requests', amount: 15n * UNIT }])
    })
  })

  describe(`${name}: records of quantity 0`, () => {
    const zero = { zeroQuantityRecords: true }

    scenario('an idle hour gets one when late usage has had an hour to come', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 1)
      await scene.close(0, zero)
      await scene.close(1, zero)
      assert.deepEqual(await scene.history(ALICE, REQUESTS), ['0:1 pending'])
      await scene.close(2, zero)
      assert.deepEqual(await scene.history(ALICE, REQUESTS), ['1:0 pending', '0:1 pending'])
      await scene.send(METERED, closing(2))
      assert.equal((await scene.ledger.records({ state: 'metered' })).length, 2)
      assert.equal(await scene.equation(ALICE, REQUESTS), '1 = 1 + 0 + 0 + 0')
    })

    scenario('not for hours before the first usage, nor unless it is asked for', async scene => {
      await scene.use(ALICE, REQUESTS, 2, 1)
      await scene.close(1, zero)
      await scene.close(2, zero)
      await scene.close(3)
      await scene.close(4)
      assert.deepEqual(await scene.history(ALICE, REQUESTS), ['2:1 pending'])
    })

    scenario('not for whom AWS does not know or whose agreement has ended, nor for nobody', async scene => {
      await scene.append([ALICE, BOB, NOBODY].map(account => entry(account, REQUESTS, 0, 1)))
      await scene.close(0, zero)
      const records = await scene.claim(closing(0))
      await scene.settle(
        records.filter(record => record.account.key === ALICE.key),
        NOT_SUBSCRIBED,
        closing(0),
      )
      await scene.ledger.finalize(BOB, { ...closeOptions(closing(0)), endedAt: closing(0) })
      for (const n of [1, 2, 3]) await scene.close(n, zero)
      assert.ok((await scene.ledger.records()).every(record => record.quantity > 0))
    })

    scenario('nothing is held of nothing', async scene => {
      await scene.append([ALICE, BOB, CAROL].map(account => entry(account, REQUESTS, 0, 1)))
      await scene.close(0, zero)
      await scene.send(METERED, closing(0))
      await scene.close(1, zero)
      await scene.close(2, zero)
      const records = await scene.claim(closing(2))
      assert.deepEqual(
        records.map(record => record.quantity),
        [0, 0, 0],
      )
      const [alice, bob, carol] = [ALICE, BOB, CAROL].map(account =>
        records.filter(record => record.account.key === account.key),
      )
      await scene.settle(alice ?? [], CONFLICT, closing(2))
      await scene.settle(bob ?? [], REFUSED, closing(2))
      await scene.settle(carol ?? [], lost(closing(2) + MINUTE), closing(2))
      const { held } = await scene.ledger.expire(hour(30))
      assert.deepEqual(held, [])
      assert.deepEqual(await scene.ledger.records({ state: 'held' }), [])
      assert.deepEqual(await scene.ledger.records({ state: 'pending' }), [])
    })
  })

  describe(`${name}: claims`, () => {
    scenario('a record is with one caller at a time, until the claim expires', async scene => {
      const another = await scene.another()
      await scene.append([ALICE, BOB, ERIN].map(account => entry(account, REQUESTS, 0, 1)))
      await scene.close(0)
      const now = closing(0)
      const [lane] = await scene.ledger.dueLanes(now)
      assert.ok(lane)
      const options = { now, limit: 2, claimedUntil: now + MINUTE }
      const claims = await Promise.all([scene.ledger.claim(lane, options), another.claim(lane, options)])
      assert.equal(new Set(claims.flat().map(record => record.id)).size, 3)
      assert.equal(claims.flat().length, 3)
      assert.deepEqual(await scene.ledger.dueLanes(now + MINUTE - 1), [])
      assert.deepEqual(await another.claim(lane, { ...options, now: now + MINUTE - 1 }), [])
      const again = await another.claim(lane, { now: now + MINUTE, limit: 25, claimedUntil: now + 2 * MINUTE })
      assert.deepEqual(
        again.map(record => record.attempts),
        [2, 2, 2],
      )
    })

    scenario('attempts are counted before they are made', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 1)
      await scene.close(0)
      assert.equal((await scene.only('pending')).attempts, 0)
      const [record] = await scene.claim(closing(0))
      assert.equal(record?.attempts, 1)
      await scene.reopen()
      const { attempts, inDoubt } = await scene.only('pending')
      assert.deepEqual({ attempts, inDoubt }, { attempts: 1, inDoubt: true })
    })

    scenario('what was sent can be sent again, identically', async scene => {
      await scene.use(DORA, TOKENS, 0, 5000)
      await scene.close(0)
      const [first] = await scene.claim(closing(0))
      await scene.settle(first ? [first] : [], lost(closing(0) + MINUTE), closing(0))
      await scene.use(DORA, TOKENS, 0, 5000)
      await scene.ledger.register([{ ...TOKENS, size: UNIT }])
      await scene.reopen()
      const [second] = await scene.claim(closing(0) + MINUTE)
      assert.deepEqual({ ...second, claim: '', attempts: 0 }, { ...first, claim: '', attempts: 0 })
      assert.deepEqual(second?.account, DORA)
    })

    scenario('the earliest deadline goes first, as many as are asked for', async scene => {
      for (const n of [2, 0, 1]) await scene.use(ALICE, REQUESTS, n, 1)
      await scene.close(2)
      const now = closing(2)
      const first = await scene.claim(now, { limit: 2 })
      const rest = await scene.claim(now, { limit: 2 })
      assert.deepEqual(
        [...first, ...rest].map(record => record.timestamp),
        [1, 2, 3].map(n => hour(n) - 1000),
      )
    })

    scenario('lanes are by product, identity and region', async scene => {
      await scene.append([ALICE, BOB, CAROL, DORA, ERIN].map(account => entry(account, REQUESTS, 0, 1)))
      await scene.use(ALICE, REQUESTS, 1, 1)
      await scene.close(0)
      await scene.close(1, { region: 'eu-west-1' })
      const lanes = await scene.ledger.dueLanes(closing(1))
      const named = lanes.map(({ product, identity, region }) => `${product} ${identity} ${region}`)
      assert.deepEqual(named.sort(), [
        'label licence us-east-1',
        'prod-1 product-code eu-west-1',
        'prod-1 product-code us-east-1',
        'prod-2 product-code us-east-1',
      ])
      for (const lane of lanes) {
        const records = await scene.ledger.claim(lane, { now: closing(1), limit: 25, claimedUntil: closing(2) })
        assert.ok(records.every(record => record.account.product === lane.product))
        assert.equal(records.length, lane.product === 'prod-1' && lane.region === 'us-east-1' ? 3 : 1)
      }
    })

    scenario('a record waits for its next attempt, and is not sent after its deadline', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 1)
      await scene.close(0)
      const now = closing(0)
      await scene.send(bounced(now + 20 * MINUTE), now)
      assert.equal(await scene.ledger.nextAttemptAt(), now + 20 * MINUTE)
      assert.deepEqual(await scene.claim(now + 20 * MINUTE - 1), [])
      await scene.send(bounced(hour(24) - 2 * MARGIN), now + 20 * MINUTE)
      assert.equal((await scene.claim(hour(24) - MARGIN)).length, 0)
      assert.equal((await scene.claim(hour(24) - MARGIN - 1)).length, 1)
    })

    scenario('there is a next attempt as long as something is pending', async scene => {
      assert.equal(await scene.ledger.nextAttemptAt(), undefined)
      await scene.use(ALICE, REQUESTS, 0, 1)
      await scene.close(0)
      assert.ok(((await scene.ledger.nextAttemptAt()) ?? Number.NaN) <= closing(0))
      const records = await scene.claim(closing(0), { claimedUntil: closing(0) + 3 * MINUTE })
      assert.equal(await scene.ledger.nextAttemptAt(), closing(0) + 3 * MINUTE)
      await scene.settle(records, METERED, closing(0))
      assert.equal(await scene.ledger.nextAttemptAt(), undefined)
    })
  })

  describe(`${name}: answers`, () => {
    /** A record of 7 requests of hour 0, claimed. */
    const claimed = async (scene: Scene) => {
      await scene.use(ALICE, REQUESTS, 0, 7)
      await scene.close(0)
      return await scene.claim(closing(0))
    }
    /** When the record's window has closed. */
    const over = hour(24) - MARGIN

    scenario('Success: metered, with its id', async scene => {
      const [settled] = await scene.settle(await claimed(scene), METERED, closing(0))
      assert.equal(settled?.state, 'metered')
      assert.equal(await scene.equation(ALICE, REQUESTS), '7 = 7 + 0 + 0 + 0')
      const { meteringRecordId, lastAnswer, inDoubt } = await scene.only('metered')
      assert.deepEqual([meteringRecordId, lastAnswer, inDoubt], ['id-1', 'metered', false])
    })

    scenario('DuplicateRecord: held as a conflict', async scene => {
      const [settled] = await scene.settle(await claimed(scene), CONFLICT, closing(0))
      assert.deepEqual([settled?.state, settled?.reason], ['held', 'conflict'])
      assert.equal(await scene.equation(ALICE, REQUESTS), '7 = 0 + 0 + 7 + 0')
    })

    scenario('DuplicateRecord: rolled forward where that is wanted', async scene => {
      await scene.settle(await claimed(scene), ROLLED_FORWARD, closing(0))
      assert.equal(await scene.equation(ALICE, REQUESTS), '7 = 0 + 0 + 0 + 7')
      await scene.close(1)
      assert.deepEqual(await scene.history(ALICE, REQUESTS), ['1:7 pending', '0:7 returned conflict'])
    })

    scenario('DuplicateRecord after an unanswered attempt proves that none was taken', async scene => {
      await scene.settle(await claimed(scene), lost(closing(0)), closing(0))
      await scene.send(ROLLED_FORWARD, closing(0))
      assert.equal(await scene.equation(ALICE, REQUESTS), '7 = 0 + 0 + 0 + 7')
      assert.equal((await scene.only('returned')).inDoubt, false)
    })

    scenario('DuplicateRecord also ends the doubt of a record that is held', async scene => {
      const records = await claimed(scene)
      await scene.ledger.expire(over)
      await scene.settle(records, CONFLICT, over)
      const { reason, inDoubt } = await scene.only('held')
      assert.deepEqual({ reason, inDoubt }, { reason: 'conflict', inDoubt: false })
      await scene.ledger.release((await scene.only('held')).id, BY)
      assert.equal(await scene.equation(ALICE, REQUESTS), '7 = 0 + 0 + 0 + 7')
    })

    scenario('refused: held', async scene => {
      const [settled] = await scene.settle(await claimed(scene), REFUSED, closing(0))
      assert.deepEqual([settled?.state, settled?.reason], ['held', 'refused'])
      assert.equal(await scene.equation(ALICE, REQUESTS), '7 = 0 + 0 + 7 + 0')
    })

    scenario('retry: pending, and due when it is said', async scene => {
      for (const outcome of [bounced, lost]) {
        const records = outcome === bounced ? await claimed(scene) : await scene.claim(closing(0) + MINUTE)
        const [settled] = await scene.settle(records, outcome(closing(0) + MINUTE), closing(0))
        assert.equal(settled?.state, 'pending')
        assert.equal((await scene.only('pending')).inDoubt, outcome === lost)
      }
      assert.equal(await scene.equation(ALICE, REQUESTS), '7 = 0 + 7 + 0 + 0')
    })

    for (const [what, outcome] of [
      ['not subscribed', NOT_SUBSCRIBED],
      ['refused', REFUSED],
    ] as const) {
      scenario(`${what}, after an unanswered attempt: held in doubt`, async scene => {
        await scene.settle(await claimed(scene), lost(closing(0)), closing(0))
        const [settled] = await scene.send(outcome, closing(0))
        assert.deepEqual([settled?.state, settled?.reason], ['held', 'in-doubt'])
        await assert.rejects(scene.ledger.release(settled?.record.id ?? '', BY), code('ERR_LEDGER_STATE'))
      })
    }

    scenario('one unanswered attempt among answered ones leaves the doubt', async scene => {
      await scene.settle(await claimed(scene), bounced(closing(0)), closing(0))
      await scene.send(lost(closing(0)), closing(0))
      await scene.send(bounced(closing(0)), closing(0))
      assert.equal((await scene.ledger.expire(over)).held[0]?.reason, 'in-doubt')
    })

    scenario('an answer that is written down twice counts once', async scene => {
      const records = await claimed(scene)
      await scene.settle(records, bounced(closing(0)), closing(0))
      await scene.settle(records, bounced(closing(0)), closing(0))
      await scene.send(lost(closing(0)), closing(0))
      assert.equal((await scene.ledger.expire(over)).held[0]?.reason, 'in-doubt')
    })

    scenario('Success twice meters once', async scene => {
      const records = await claimed(scene)
      await scene.settle(records, METERED, closing(0))
      await scene.settle(records, METERED, closing(0))
      await scene.settle([...records, ...records], METERED, closing(0))
      assert.equal(await scene.equation(ALICE, REQUESTS), '7 = 7 + 0 + 0 + 0')
    })

    scenario('of one series several hours are settled at once, and one of them twice', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 7)
      await scene.close(0)
      await scene.use(ALICE, REQUESTS, 1, 5)
      await scene.close(1)
      const records = await scene.claim(closing(1))
      await scene.settle([...records, ...records.slice(0, 1)], METERED, closing(1))
      assert.equal(await scene.equation(ALICE, REQUESTS), '12 = 12 + 0 + 0 + 0')
    })

    scenario('a customer refused and taken at once is there: its next hour is frozen', async scene => {
      await scene.append([entry(ALICE, REQUESTS, 0, 7), entry(ALICE, TOKENS, 0, 5000)])
      await scene.close(0)
      const [refused, taken] = await scene.claim(closing(0))
      assert.ok(refused && taken)
      await scene.ledger.settle(
        [
          { record: refused, outcome: NOT_SUBSCRIBED, answer: '' },
          { record: taken, outcome: METERED, answer: '' },
        ],
        closing(0),
      )
      await scene.append([entry(ALICE, REQUESTS, 1, 3), entry(ALICE, TOKENS, 1, 2000)])
      assert.equal((await scene.close(1)).records, 2)
    })

    scenario('nothing that comes after Success changes it', async scene => {
      const records = await claimed(scene)
      await scene.settle(records, METERED, closing(0))
      for (const outcome of [CONFLICT, ROLLED_FORWARD, NOT_SUBSCRIBED, REFUSED, lost(0), bounced(0)]) {
        const [settled] = await scene.settle(records, outcome, closing(0))
        assert.equal(settled?.state, 'metered')
      }
      assert.equal(await scene.equation(ALICE, REQUESTS), '7 = 7 + 0 + 0 + 0')
    })

    scenario('a late Success wins over held', async scene => {
      const records = await claimed(scene)
      await scene.ledger.expire(over)
      assert.equal(await scene.equation(ALICE, REQUESTS), '7 = 0 + 0 + 7 + 0')
      await scene.settle(records, METERED, over)
      assert.equal(await scene.equation(ALICE, REQUESTS), '7 = 7 + 0 + 0 + 0')
    })

    scenario('a late Success wins over returned: the balance owes it, and is paid by usage to come', async scene => {
      const records = await claimed(scene)
      await scene.settle(records, ROLLED_FORWARD, closing(0))
      await scene.close(1)
      await scene.settle(records, METERED, closing(1))
      assert.equal(await scene.equation(ALICE, REQUESTS), '7 = 7 + 7 + 0 + -7')
      await scene.use(ALICE, REQUESTS, 2, 9)
      await scene.close(2)
      await scene.send(METERED, closing(2))
      assert.equal(await scene.equation(ALICE, REQUESTS), '16 = 16 + 0 + 0 + 0')
    })

    scenario('a late Success wins over what a person said', async scene => {
      const records = await claimed(scene)
      await scene.ledger.expire(over)
      await scene.ledger.settleInDoubt(records[0]?.id ?? '', false, BY)
      assert.equal(await scene.equation(ALICE, REQUESTS), '7 = 0 + 0 + 0 + 7')
      await scene.settle(records, METERED, over)
      assert.equal(await scene.equation(ALICE, REQUESTS), '7 = 7 + 0 + 0 + 0')
    })

    scenario('a late refusal does not move what is returned or held', async scene => {
      const records = await claimed(scene)
      await scene.settle(records, ROLLED_FORWARD, closing(0))
      await scene.settle(records, REFUSED, closing(0))
      await scene.settle(records, CONFLICT, closing(0))
      assert.equal(await scene.equation(ALICE, REQUESTS), '7 = 0 + 0 + 0 + 7')
    })

    scenario('an answer under a claim that has expired leaves the next claim alone', async scene => {
      const first = await claimed(scene)
      const now = closing(0) + MINUTE
      const second = await scene.claim(now)
      await scene.settle(first, bounced(now), now)
      assert.deepEqual(await scene.claim(now), [], 'it is with the second caller')
      await scene.settle(second, METERED, now)
      assert.equal(await scene.equation(ALICE, REQUESTS), '7 = 7 + 0 + 0 + 0')
    })

    scenario('an answer to a record that was pruned meanwhile holds up no other', async scene => {
      const [record] = await claimed(scene)
      assert.ok(record)
      await scene.settle([{ ...record, id: '999999' }, record], METERED, 0)
      assert.equal(await scene.equation(ALICE, REQUESTS), '7 = 7 + 0 + 0 + 0')
    })
  })

  describe(`${name}: windows`, () => {
    const over = hour(24) - MARGIN

    scenario('a record that was never attempted returns and goes out with the next hour', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 7)
      await scene.close(0)
      assert.equal((await scene.ledger.expire(over - 1)).returned, 0)
      assert.deepEqual(await scene.ledger.expire(over), { returned: 1, held: [] })
      assert.deepEqual(await scene.ledger.expire(over), { returned: 0, held: [] })
      assert.equal(await scene.equation(ALICE, REQUESTS), '7 = 0 + 0 + 0 + 7')
      await scene.close(24)
      assert.deepEqual(await scene.history(ALICE, REQUESTS), ['24:7 pending', '0:7 returned expired'])
    })

    scenario('so does one whose attempts were all surely not taken', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 7)
      await scene.close(0)
      for (const n of [1, 2, 3]) await scene.send(bounced(closing(n)), closing(n))
      assert.equal((await scene.ledger.expire(over)).returned, 1)
      assert.equal(await scene.equation(ALICE, REQUESTS), '7 = 0 + 0 + 0 + 7')
    })

    scenario('one with an unanswered attempt is held in doubt', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 7)
      await scene.close(0)
      await scene.send(lost(closing(1)), closing(0))
      const { returned, held } = await scene.ledger.expire(over)
      assert.equal(returned, 0)
      assert.deepEqual(
        held.map(({ reason, quantity, inDoubt }) => ({ reason, quantity, inDoubt })),
        [{ reason: 'in-doubt', quantity: 7, inDoubt: true }],
      )
      for (const n of [24, 25, 26]) await scene.close(n)
      assert.equal(await scene.equation(ALICE, REQUESTS), '7 = 0 + 0 + 7 + 0')
    })

    scenario('one that somebody is just sending is left alone until the claim expires', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 7)
      await scene.close(0)
      const records = await scene.claim(over - 1, { claimedUntil: over + MINUTE })
      assert.deepEqual(await scene.ledger.expire(over), { returned: 0, held: [] })
      await scene.settle(records, bounced(over + MINUTE), over)
      assert.deepEqual(await scene.ledger.expire(over), { returned: 1, held: [] })
    })

    scenario('an hour that was used is not used again', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 7)
      await scene.close(0)
      await scene.ledger.expire(over)
      // A clock that is back by a day closes the same hour again.
      await scene.close(0)
      assert.deepEqual(await scene.history(ALICE, REQUESTS), ['0:7 returned expired'])
    })
  })

  describe(`${name}: customers that are not subscribed`, () => {
    const blocked = async (scene: Scene) => {
      await scene.use(ALICE, REQUESTS, 0, 7)
      await scene.close(0)
      await scene.send(NOT_SUBSCRIBED, closing(0))
    }

    scenario('what AWS refused is held, what comes stays in the balance, other customers go on', async scene => {
      await blocked(scene)
      await scene.append([entry(ALICE, REQUESTS, 1, 2), entry(BOB, REQUESTS, 1, 3)])
      await scene.close(1)
      const records = await scene.claim(closing(1))
      await scene.settle(
        records.filter(record => record.account.key === ALICE.key),
        NOT_SUBSCRIBED,
        closing(1),
      )
      await scene.use(ALICE, REQUESTS, 2, 4)
      await scene.close(2)
      assert.equal(await scene.equation(ALICE, REQUESTS), '13 = 0 + 0 + 7 + 6')
      assert.equal(await scene.equation(BOB, REQUESTS), '3 = 0 + 3 + 0 + 0')
      const [held] = (await scene.ledger.status()).held
      assert.deepEqual([held?.reason, held?.quantity, held?.amount], ['not-subscribed', 7n, 7n * UNIT])
    })

    scenario('it is probed after 1 hour, 2, 4, … up to a day, with one record', async scene => {
      await blocked(scene)
      const probes: number[] = []
      for (let n = 1; n < 100; n += 1) {
        await scene.append([REQUESTS, TOKENS, GPU].map(dimension => entry(ALICE, dimension, n, 3600)))
        await scene.close(n)
        // Its answer comes some seconds after the closing: that must not make an hour two.
        const settled = await scene.send(NOT_SUBSCRIBED, closing(n) + 3000)
        assert.ok(settled.length <= 1, `${settled.length} probes at once`)
        if (settled.length > 0) probes.push(n)
      }
      assert.deepEqual(probes, [1, 3, 7, 15, 31, 55, 79])
      assert.equal(await scene.equation(ALICE, REQUESTS), '356407 = 0 + 0 + 7 + 356400')
    })

    scenario('while a probe is on its way there is no other', async scene => {
      await blocked(scene)
      await scene.use(ALICE, REQUESTS, 1, 5)
      for (const n of [1, 2, 3]) {
        await scene.use(ALICE, TOKENS, n, 5000)
        await scene.close(n)
      }
      assert.equal((await scene.ledger.records({ state: 'pending' })).length, 1)
      await scene.ledger.expire(hour(30))
      assert.equal((await scene.ledger.records({ state: 'pending' })).length, 0)
    })

    scenario('Success ends it', async scene => {
      await blocked(scene)
      await scene.use(ALICE, REQUESTS, 1, 2)
      await scene.use(ALICE, GPU, 1, 3600)
      await scene.close(1)
      await scene.send(METERED, closing(1))
      await scene.close(2)
      await scene.send(METERED, closing(2))
      assert.equal(await scene.equation(ALICE, REQUESTS), '9 = 2 + 0 + 7 + 0')
      assert.equal(await scene.equation(ALICE, GPU), '3600 = 3600 + 0 + 0 + 0')
    })

    scenario('a person can end it', async scene => {
      await blocked(scene)
      await scene.use(ALICE, GPU, 0, 7200)
      await scene.ledger.release((await scene.only('held')).id, BY)
      await scene.close(1)
      assert.equal(await scene.equation(ALICE, REQUESTS), '7 = 0 + 7 + 0 + 0')
      assert.equal(await scene.equation(ALICE, GPU), '7200 = 0 + 7200 + 0 + 0')
    })

    scenario('a probe that a guard holds does not stop the probing', async scene => {
      await blocked(scene)
      await scene.use(ALICE, GUARDED, 1, 500)
      await scene.close(1)
      assert.equal(await scene.equation(ALICE, GUARDED), '500 = 0 + 0 + 500 + 0')
      await scene.use(ALICE, REQUESTS, 2, 1)
      await scene.close(2)
      assert.equal((await scene.only('pending')).quantity, 1)
    })
  })

  describe(`${name}: guards`, () => {
    scenario('what is above the maximum is held, and released it passes once', async scene => {
      await scene.use(ALICE, GUARDED, 0, 101)
      const { held } = await scene.close(0)
      assert.deepEqual(
        held.map(record => [record.reason, record.quantity]),
        [['over-maximum', 101]],
      )
      assert.deepEqual(await scene.claim(closing(0)), [])
      await scene.ledger.release(held[0]?.id ?? '', BY)
      await scene.use(ALICE, GUARDED, 1, 100)
      await scene.close(1)
      assert.equal(await scene.equation(ALICE, GUARDED), '201 = 0 + 201 + 0 + 0')
      await scene.use(ALICE, GUARDED, 2, 101)
      assert.equal((await scene.close(2)).held.length, 1)
      await scene.use(ALICE, GUARDED, 3, 100)
      assert.equal((await scene.close(3)).held.length, 0)
      assert.equal(await scene.equation(ALICE, GUARDED), '402 = 0 + 301 + 101 + 0')
    })

    scenario('a release does not open the guard for more than was released', async scene => {
      await scene.use(ALICE, GUARDED, 0, 150)
      const { held } = await scene.close(0)
      await scene.ledger.release(held[0]?.id ?? '', BY)
      await scene.use(ALICE, GUARDED, 1, 101)
      assert.deepEqual(
        (await scene.close(1)).held.map(record => record.quantity),
        [251],
      )
    })

    scenario('what was never attempted is not counted as in doubt when it is released', async scene => {
      await scene.use(ALICE, GUARDED, 0, 150)
      await scene.close(0)
      assert.equal((await scene.only('held')).inDoubt, false)
      await assert.rejects(
        scene.ledger.settleInDoubt((await scene.only('held')).id, true, BY),
        code('ERR_LEDGER_STATE'),
      )
    })
  })

  describe(`${name}: the end of an agreement`, () => {
    const finalize = (scene: Scene, now: number, endedAt = now) =>
      scene.ledger.finalize(ALICE, { ...closeOptions(now), endedAt })

    scenario('the open hour is frozen, not after the end, and goes first', async scene => {
      await scene.append([ALICE, BOB].map(account => entry(account, REQUESTS, 0, 1)))
      await scene.close(0)
      await scene.append([ALICE, BOB].map(account => entry(account, REQUESTS, 1, 2)))
      const endedAt = hour(1) + 30 * MINUTE + 500
      assert.equal((await finalize(scene, endedAt + MINUTE, endedAt)).records, 1)
      assert.equal(await scene.equation(ALICE, REQUESTS), '3 = 0 + 3 + 0 + 0')
      assert.equal(await scene.equation(BOB, REQUESTS), '3 = 0 + 1 + 0 + 2')
      const records = await scene.claim(endedAt + MINUTE)
      assert.deepEqual(
        records.map(record => record.account.key),
        [ALICE.key, ALICE.key, BOB.key],
      )
      assert.equal(records.find(record => record.quantity === 2)?.timestamp, endedAt - 500)
      assert.ok(records.slice(0, 2).every(record => record.deadline === endedAt + HOUR - MARGIN))
      await scene.settle(records, METERED, endedAt + MINUTE)
      await scene.close(1)
      assert.equal(await scene.equation(ALICE, REQUESTS), '3 = 3 + 0 + 0 + 0')
    })

    scenario('a record waiting for its next attempt is tried again at once', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 1)
      await scene.close(0)
      await scene.send(bounced(closing(0) + 30 * MINUTE), closing(0))
      await finalize(scene, closing(0))
      assert.equal((await scene.claim(closing(0))).length, 1)
    })

    scenario('what comes after, and what the window no longer takes, is held', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 1)
      await scene.close(0)
      await finalize(scene, closing(0), closing(0))
      await scene.use(ALICE, REQUESTS, 1, 2)
      const { held } = await scene.close(1)
      assert.deepEqual(
        held.map(record => record.reason),
        ['agreement-ended'],
      )
      const expired = await scene.ledger.expire(closing(0) + HOUR - MARGIN)
      assert.deepEqual(
        expired.held.map(record => record.reason),
        ['agreement-ended'],
      )
      assert.equal(await scene.equation(ALICE, REQUESTS), '3 = 0 + 0 + 3 + 0')
    })

    scenario('told too late, all is held', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 4)
      const { held } = await finalize(scene, hour(3), hour(0) + MINUTE)
      assert.deepEqual(
        held.map(record => record.reason),
        ['agreement-ended'],
      )
      assert.equal(await scene.equation(ALICE, REQUESTS), '4 = 0 + 0 + 4 + 0')
    })

    scenario('twice changes nothing more', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 4)
      const now = hour(0) + 30 * MINUTE
      assert.equal((await finalize(scene, now)).records, 1)
      assert.equal((await finalize(scene, now + MINUTE, now)).records, 0)
      await scene.use(ALICE, REQUESTS, 0, 2)
      await finalize(scene, now + 2 * MINUTE, now)
      assert.equal(await scene.equation(ALICE, REQUESTS), '6 = 0 + 4 + 0 + 2')
      await scene.close(0)
      await scene.close(1)
      assert.equal(await scene.equation(ALICE, REQUESTS), '6 = 0 + 4 + 2 + 0')
    })

    scenario('for a customer without usage it does nothing', async scene => {
      assert.deepEqual(await finalize(scene, hour(1)), { records: 0, held: [] })
      assert.deepEqual(await scene.ledger.statement(), [])
    })

    scenario('a person who releases what it holds says that there is an agreement again', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 4)
      await finalize(scene, hour(3), hour(0) + MINUTE)
      await scene.ledger.release((await scene.only('held')).id, BY)
      await scene.close(3)
      assert.equal(await scene.equation(ALICE, REQUESTS), '4 = 0 + 4 + 0 + 0')
    })

    scenario('of one that AWS does not know either, whole units end up held', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 4)
      await scene.close(0)
      await scene.send(NOT_SUBSCRIBED, closing(0))
      await scene.append([entry(ALICE, REQUESTS, 1, 1), entry(ALICE, TOKENS, 1, 2000)])
      await finalize(scene, hour(1) + MINUTE)
      for (let n = 1; n < 60; n += 1) await scene.close(n)
      assert.equal(await scene.equation(ALICE, REQUESTS), '5 = 0 + 0 + 5 + 0')
      assert.equal(await scene.equation(ALICE, TOKENS), '2000 = 0 + 0 + 2000 + 0')
    })
  })

  describe(`${name}: what persons do`, () => {
    scenario('release puts back what was surely not billed', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 7)
      await scene.close(0)
      await scene.send(REFUSED, closing(0))
      const { id } = await scene.only('held')
      await scene.ledger.release(id, BY)
      assert.equal(await scene.equation(ALICE, REQUESTS), '7 = 0 + 0 + 0 + 7')
      await assert.rejects(scene.ledger.release(id, BY), code('ERR_LEDGER_STATE'))
      const [entry] = await scene.ledger.audit()
      assert.deepEqual(entry, {
        ...{ at: BY.now, who: BY.who, why: BY.why, action: 'release', account: ALICE, dimension: 'requests' },
        ...{ recordId: id, amount: 7n * UNIT, detail: 'refused' },
      })
      await scene.close(1)
      await scene.send(METERED, closing(1))
      assert.equal(await scene.equation(ALICE, REQUESTS), '7 = 7 + 0 + 0 + 0')
    })

    for (const billed of [true, false]) {
      scenario(`in doubt: ${billed ? '' : 'not '}billed`, async scene => {
        await scene.use(ALICE, REQUESTS, 0, 7)
        await scene.close(0)
        await scene.claim(closing(0))
        await scene.ledger.expire(hour(24))
        const { id } = await scene.only('held')
        await assert.rejects(scene.ledger.release(id, BY), code('ERR_LEDGER_STATE'))
        await scene.ledger.settleInDoubt(id, billed, BY)
        assert.equal(await scene.equation(ALICE, REQUESTS), billed ? '7 = 7 + 0 + 0 + 0' : '7 = 0 + 0 + 0 + 7')
        await assert.rejects(scene.ledger.settleInDoubt(id, billed, BY), code('ERR_LEDGER_STATE'))
        const [entry] = await scene.ledger.audit()
        assert.deepEqual([entry?.action, entry?.recordId, entry?.amount], ['settle', id, 7n * UNIT])
        assert.equal(entry?.detail, billed ? 'billed' : 'not billed')
      })
    }

    scenario('a conflict can be settled either way', async scene => {
      await scene.append([ALICE, BOB].map(account => entry(account, REQUESTS, 0, 7)))
      await scene.close(0)
      const [first, second] = await scene.send(CONFLICT, closing(0))
      await scene.ledger.settleInDoubt(first?.record.id ?? '', true, BY)
      await scene.ledger.release(second?.record.id ?? '', BY)
      const equations = [await scene.equation(ALICE, REQUESTS), await scene.equation(BOB, REQUESTS)]
      assert.deepEqual(equations.sort(), ['7 = 0 + 0 + 0 + 7', '7 = 7 + 0 + 0 + 0'])
    })

    scenario('only what is held can be settled', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 7)
      await scene.close(0)
      const { id } = await scene.only('pending')
      await assert.rejects(scene.ledger.release(id, BY), code('ERR_LEDGER_STATE'))
      await assert.rejects(scene.ledger.settleInDoubt(id, true, BY), code('ERR_LEDGER_STATE'))
      for (const unknown of ['4711', '', 'x', '1.5']) {
        await assert.rejects(scene.ledger.release(unknown, BY), code('ERR_LEDGER_NOT_FOUND'))
        await assert.rejects(scene.ledger.settleInDoubt(unknown, true, BY), code('ERR_LEDGER_NOT_FOUND'))
      }
      assert.deepEqual(await scene.ledger.audit(), [])
    })

    scenario('attribute gives a customer what had none, also of the open hour', async scene => {
      await scene.use(NOBODY, REQUESTS, 0, 12)
      await scene.close(0)
      await scene.use(NOBODY, REQUESTS, 1, 3.5)
      assert.equal(await scene.ledger.attribute(NOBODY.key, 'requests', BOB, BY), 15_500_000n)
      assert.equal(await scene.equation(NOBODY, REQUESTS), '0 = 0 + 0 + 0 + 0')
      assert.equal(await scene.equation(BOB, REQUESTS), '15.5 = 0 + 0 + 0 + 15.5')
      await scene.close(5)
      assert.equal(await scene.equation(BOB, REQUESTS), '15.5 = 0 + 15 + 0 + 0.5')
      await scene.use(NOBODY, REQUESTS, 6, 1)
      assert.equal(await scene.equation(NOBODY, REQUESTS), '1 = 0 + 0 + 0 + 1')
      const [entry] = await scene.ledger.audit()
      assert.deepEqual([entry?.action, entry?.account, entry?.amount], ['attribute', NOBODY, 15_500_000n])
      assert.match(entry?.detail ?? '', /222222222222/)
    })

    scenario('attribute refuses what it cannot do', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 1)
      await scene.use(NOBODY, REQUESTS, 0, 1)
      const { ledger } = scene
      await assert.rejects(ledger.attribute('x', 'requests', BOB, BY), code('ERR_LEDGER_NOT_FOUND'))
      await assert.rejects(ledger.attribute(NOBODY.key, 'tokens', BOB, BY), code('ERR_LEDGER_NOT_FOUND'))
      await assert.rejects(ledger.attribute(ALICE.key, 'requests', BOB, BY), code('ERR_LEDGER_STATE'))
      await ledger.attribute(NOBODY.key, 'requests', BOB, BY)
      await assert.rejects(ledger.attribute(NOBODY.key, 'requests', BOB, BY), code('ERR_LEDGER_STATE'))
      assert.equal((await ledger.audit()).length, 1)
    })

    scenario('write-off ends a balance, and only it', async scene => {
      await scene.use(ALICE, GPU, 0, 4000)
      await scene.close(0)
      await scene.use(ALICE, GPU, 1, 100)
      assert.equal(await scene.ledger.writeOff(ALICE.key, 'gpu', BY), 500n * UNIT)
      assert.equal(await scene.equation(ALICE, GPU), '3600 = 0 + 3600 + 0 + 0')
      await assert.rejects(scene.ledger.writeOff(ALICE.key, 'gpu', BY), code('ERR_LEDGER_STATE'))
      await assert.rejects(scene.ledger.writeOff(BOB.key, 'gpu', BY), code('ERR_LEDGER_NOT_FOUND'))
      const [entry] = await scene.ledger.audit()
      assert.deepEqual([entry?.action, entry?.amount], ['write-off', 500n * UNIT])
    })

    scenario('a ledger that was restored holds what may have been billed since', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 5)
      await scene.close(0)
      await scene.append([entry(ALICE, REQUESTS, 1, 3), entry(NOBODY, REQUESTS, 1, 2)])
      const now = hour(3) + MINUTE
      await scene.ledger.declareRestored({ ...BY, now })
      assert.equal(await scene.equation(ALICE, REQUESTS), '8 = 0 + 5 + 3 + 0')
      assert.equal(await scene.equation(NOBODY, REQUESTS), '2 = 0 + 0 + 0 + 2')
      for (const { state, inDoubt } of await scene.ledger.records()) assert.equal(inDoubt, true, state)
      assert.equal((await scene.ledger.audit())[0]?.action, 'restore')
      await scene.use(ALICE, REQUESTS, 3, 7)
      await scene.close(3)
      assert.equal(await scene.equation(ALICE, REQUESTS), '15 = 0 + 12 + 3 + 0')
      const { id } = await scene.only('held')
      await scene.ledger.settleInDoubt(id, true, BY)
      assert.equal(await scene.equation(ALICE, REQUESTS), '15 = 3 + 12 + 0 + 0')
    })

    scenario('the audit trail has the youngest first', async scene => {
      for (const account of [ALICE, BOB, CAROL]) {
        await scene.use(account, REQUESTS, 0, 1)
        await scene.ledger.writeOff(account.key, 'requests', { ...BY, why: account.key })
      }
      const whys = (await scene.ledger.audit({ limit: 2 })).map(entry => entry.why)
      assert.deepEqual(whys, [CAROL.key, BOB.key])
    })
  })

  describe(`${name}: what can be asked`, () => {
    /** Hours 0 to 3 of two customers: metered, held, pending, open. */
    const life = async (scene: Scene) => {
      for (const n of [0, 1, 2]) {
        await scene.append([ALICE, ERIN].flatMap(one => [entry(one, REQUESTS, n, 10), entry(one, TOKENS, n, 1500)]))
        await scene.close(n)
        if (n < 2) await scene.send(n === 0 ? METERED : REFUSED, closing(n))
      }
      await scene.use(ALICE, REQUESTS, 3, 4)
    }

    scenario('the statement of the whole life', async scene => {
      await life(scene)
      assert.equal((await scene.ledger.statement()).length, 4)
      assert.equal(await scene.equation(ALICE, REQUESTS), '34 = 10 + 10 + 10 + 4')
      assert.equal(await scene.equation(ALICE, TOKENS), '4500 = 1000 + 1000 + 2000 + 500')
      const [line] = await scene.ledger.statement({ customer: ALICE.key, dimension: 'requests' })
      assert.deepEqual(line?.heldByReason, { refused: 10n * UNIT })
      assert.deepEqual(line?.account, ALICE)
      assert.deepEqual(line?.dimension, REQUESTS)
    })

    scenario('the statement of a customer, by key, account id or identifier, and of a dimension', async scene => {
      await life(scene)
      for (const customer of [ALICE.key, ALICE.accountId, 'erin', ERIN.key]) {
        assert.equal((await scene.ledger.statement({ customer: customer ?? '' })).length, 2)
      }
      assert.equal((await scene.ledger.statement({ dimension: 'tokens' })).length, 2)
      assert.equal((await scene.ledger.statement({ customer: 'erin', dimension: 'tokens' })).length, 1)
      assert.deepEqual(await scene.ledger.statement({ customer: 'nobody' }), [])
    })

    scenario('the statement of a period has what happened in it', async scene => {
      await life(scene)
      const period = async (from: number | undefined, to: number | undefined) => {
        const lines = await scene.ledger.statement({
          ...{ customer: ALICE.key, dimension: 'tokens' },
          ...(from !== undefined && { from: hour(from) }),
          ...(to !== undefined && { to: hour(to) }),
        })
        return lines.map(line => {
          assert.equal(line.recorded, line.metered + line.pending + line.held + line.balance)
          return [line.recorded, line.metered, line.pending, line.held, line.balance].map(amount =>
            Number(amount / UNIT),
          )
        })
      }
      assert.deepEqual(await period(0, 1), [[1500, 1000, 0, 0, 500]])
      assert.deepEqual(await period(1, 2), [[1500, 0, 0, 2000, -500]])
      assert.deepEqual(await period(2, undefined), [[1500, 0, 1000, 0, 500]])
      assert.deepEqual(await period(undefined, undefined), [[4500, 1000, 1000, 2000, 500]])
      assert.deepEqual(await period(undefined, 10), [[4500, 1000, 1000, 2000, 500]])
      assert.deepEqual(await period(5, 9), [])
      const open = await scene.ledger.statement({ from: hour(3) })
      assert.deepEqual(
        open.map(line => line.recorded),
        [4n * UNIT],
      )
    })

    scenario('records, the youngest hour first', async scene => {
      await life(scene)
      const { ledger } = scene
      assert.equal((await ledger.records()).length, 12)
      assert.deepEqual(
        (await ledger.records({ limit: 5 })).map(record => record.hour),
        [2, 2, 2, 2, 1].map(hour),
      )
      assert.equal((await ledger.records({ state: 'held' })).length, 4)
      assert.equal((await ledger.records({ state: 'held', customer: 'erin' })).length, 2)
      assert.equal((await ledger.records({ from: hour(1), to: hour(2) })).length, 4)
      assert.equal((await ledger.records({ dimension: 'tokens', from: hour(1) })).length, 4)
      const [record] = await ledger.records({ state: 'metered', dimension: 'tokens', customer: ALICE.key })
      assert.deepEqual(
        { ...record, id: '' },
        {
          ...{ id: '', account: ALICE, dimension: 'tokens', hour: hour(0), timestamp: hour(1) - 1000 },
          ...{ deadline: hour(24) - MARGIN, region: 'us-east-1', quantity: 1, size: 1000n * UNIT, state: 'metered' },
          ...{ attempts: 1, inDoubt: false, lastAnswer: 'metered', meteringRecordId: 'id-1' },
        },
      )
    })

    scenario('the status', async scene => {
      assert.deepEqual(await scene.ledger.status(), { pending: [], held: [], unattributed: [], notCounted: {} })
      await life(scene)
      const { pending, held, oldestPendingHour, closedThrough } = await scene.ledger.status()
      const figure = (dimension: string, records: number, quantity: bigint, amount: bigint) => {
        return { dimension, records, quantity, amount: amount * UNIT }
      }
      assert.deepEqual(
        pending.toSorted((a, b) => a.dimension.localeCompare(b.dimension)),
        [figure('requests', 2, 20n, 20n), figure('tokens', 2, 2n, 2000n)],
      )
      assert.deepEqual(
        held.toSorted((a, b) => a.dimension.localeCompare(b.dimension)),
        [
          { ...figure('requests', 2, 20n, 20n), reason: 'refused' },
          { ...figure('tokens', 2, 4n, 4000n), reason: 'refused' },
        ],
      )
      assert.deepEqual([oldestPendingHour, closedThrough], [hour(2), hour(2)])
    })

    scenario('another process sees the same', async scene => {
      await life(scene)
      const another = await scene.another()
      assert.deepEqual(await another.statement(), await scene.ledger.statement())
      assert.deepEqual(await another.records(), await scene.ledger.records())
      assert.deepEqual(await another.status(), await scene.ledger.status())
      await scene.reopen()
      assert.deepEqual(await another.statement(), await scene.ledger.statement())
    })

    scenario('prune deletes what is settled and older; totals and what is open stay', async scene => {
      await life(scene)
      assert.equal(await scene.ledger.prune(hour(1)), 0, 'an hour that AWS may still take stays')
      // So that closing a later hour freezes nothing.
      await scene.ledger.register(DIMENSIONS.map(dimension => ({ ...dimension, size: 1000n * dimension.size })))
      await scene.close(25)
      const before = await scene.ledger.statement()
      assert.equal(await scene.ledger.prune(hour(1)), 4)
      assert.equal(await scene.ledger.prune(hour(50)), 0)
      assert.deepEqual(await scene.ledger.statement(), before)
      assert.deepEqual((await scene.ledger.records()).map(record => record.state).sort(), [
        ...Array(4).fill('held'),
        ...Array(4).fill('pending'),
      ])
      await scene.send(METERED, closing(2))
      assert.equal(await scene.equation(ALICE, REQUESTS), '34 = 20 + 0 + 10 + 4')
    })

    scenario('no record gets the id of one that was pruned, which the audit trail may name', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 1)
      await scene.close(0)
      await scene.send(METERED, closing(0))
      const { id } = await scene.only('metered')
      await scene.close(99)
      assert.equal(await scene.ledger.prune(hour(1)), 1)
      await scene.reopen()
      await scene.use(BOB, REQUESTS, 100, 1)
      await scene.close(100)
      assert.notEqual((await scene.only('pending')).id, id)
    })
  })

  describe(`${name}: clocks that jump`, () => {
    scenario('a day ahead and back: nothing is lost, and nothing waits longer than an hour', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 5)
      await scene.close(0)
      await scene.use(ALICE, REQUESTS, 1, 3)
      // The clock goes ahead: usage is recorded a day ahead, and hours are closed that have not been.
      const ahead = closing(1) + DAY
      await scene.use(ALICE, REQUESTS, 25, 2)
      await scene.use(BOB, REQUESTS, 26, 8)
      await scene.close(25)
      // AWS refuses a timestamp that is to come.
      await scene.send(bounced(ahead + 5 * MINUTE), ahead)
      await scene.ledger.expire(ahead)
      await scene.use(ALICE, REQUESTS, 26, 1)
      // The clock is right again.
      for (const n of [1, 2]) {
        await scene.close(n)
        await scene.ledger.expire(closing(n))
        await scene.send(METERED, closing(n))
      }
      assert.equal(await scene.equation(ALICE, REQUESTS), '11 = 11 + 0 + 0 + 0')
      assert.equal(await scene.equation(BOB, REQUESTS), '8 = 8 + 0 + 0 + 0')
    })

    scenario(
      'what may have been taken for a time that is days ahead is held in doubt, for a person to see',
      async scene => {
        const ahead = closing(0) + 40 * DAY
        await scene.use(ALICE, REQUESTS, 40 * 24, 5)
        await scene.close(40 * 24)
        await scene.send(lost(ahead + MINUTE), ahead)
        await scene.ledger.expire(closing(0))
        const held = await scene.only('held')
        assert.deepEqual([held.reason, held.inDoubt], ['in-doubt', true])
      },
    )

    scenario('a claim and a wait from a clock that was ahead do not count', async scene => {
      await scene.append([ALICE, CAROL].map(account => entry(account, REQUESTS, 0, 1)))
      await scene.close(0)
      const ahead = closing(0) + 20 * HOUR
      const records = await scene.claim(ahead)
      await scene.settle(records.slice(0, 1), bounced(ahead + MINUTE), ahead)
      assert.equal((await scene.claim(closing(0))).length, 2)
    })

    scenario('a probe that a clock ahead put off comes within its longest wait', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 7)
      await scene.close(0)
      await scene.send(NOT_SUBSCRIBED, closing(0) + 20 * HOUR)
      await scene.use(ALICE, REQUESTS, 1, 2)
      const far = await scene.claim(closing(1))
      assert.deepEqual(far, [])
      for (let n = 1; n <= 25; n += 1) await scene.close(n)
      assert.equal((await scene.ledger.records({ state: 'pending' })).length, 1)
    })

    scenario('a probe that a clock a year ahead put off is made', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 7)
      await scene.close(0)
      const records = await scene.claim(closing(0))
      await scene.settle(records, NOT_SUBSCRIBED, closing(365 * 24))
      await scene.use(ALICE, REQUESTS, 1, 2)
      await scene.close(1)
      assert.equal((await scene.ledger.records({ state: 'pending' })).length, 1)
    })

    scenario('what AWS may have taken under a clock ahead is not given back', async scene => {
      await scene.use(ALICE, REQUESTS, 0, 5)
      await scene.close(24)
      await scene.send(lost(closing(24) + MINUTE), closing(24))
      assert.deepEqual(await scene.ledger.expire(closing(0)), { returned: 0, held: [] })
      await scene.close(1)
      assert.equal(await scene.equation(ALICE, REQUESTS), '5 = 0 + 5 + 0 + 0')
    })

    scenario('a day back and right again: nothing is sent twice', async scene => {
      await scene.use(ALICE, REQUESTS, 30, 5)
      await scene.close(30)
      await scene.send(METERED, closing(30))
      await scene.use(ALICE, REQUESTS, 7, 2)
      await scene.close(7)
      await scene.send(bounced(closing(7) + MINUTE), closing(7))
      await scene.use(ALICE, REQUESTS, 31, 1)
      await scene.close(31)
      await scene.ledger.expire(closing(31))
      await scene.close(32)
      await scene.send(METERED, closing(32))
      assert.equal(await scene.equation(ALICE, REQUESTS), '8 = 8 + 0 + 0 + 0')
    })
  })

  observingConformance(name, open)
}
