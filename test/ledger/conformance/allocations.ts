import assert from 'node:assert/strict'
import { describe } from 'node:test'
import type { Allocation, Ledger, Observation } from '../../../src/ledger/ledger.ts'
import type { CustomerAccount } from '../../../src/usage/account.ts'
import { taggedAccount } from '../../../src/usage/tagged-account.ts'
import type { Tags } from '../../../src/usage/tags.ts'
import {
  ALICE,
  BOB,
  BY,
  closeOptions,
  closing,
  DIMENSIONS,
  DORA,
  entry,
  GUARDED,
  hour,
  lost,
  METERED,
  NOBODY,
  REFUSED,
  REQUESTS,
  ROLLED_FORWARD,
  type Scene,
  sources,
  TOKENS,
  UNIT,
} from '../scene.ts'
import { code, DAY, type Scenario } from './scenario.ts'

const model = (value: string): Tags => [['model', value]]
const [SMALL, LARGE] = [model('small'), model('large')]
const tagged = (tags: Tags, customer: CustomerAccount = ALICE) => taggedAccount(customer, tags)

/** The split of a customer's records, the youngest first: `small 3, large 2, 1` with the untagged rest at the end. */
async function splits(ledger: Ledger, customer = ALICE, dimension = REQUESTS): Promise<string[]> {
  const records = await ledger.records({ customer: customer.key, dimension: dimension.name })
  return records.map(({ quantity, allocations = [] }) => {
    const sum = allocations.reduce((all, [units]) => all + units, 0)
    if (allocations.length > 0) assert.equal(sum, quantity, 'the split sums to the quantity')
    return allocations.map(told).join(', ')
  })
}

const told = ([units, tags]: Allocation) => `${tags?.map(([, value]) => value).join('/') ?? 'rest'} ${units}`

async function use(scene: Scene, n: number, dimension = REQUESTS, ...usage: [Tags | undefined, number][]) {
  await scene.append(
    usage.map(([tags, amount]) => entry(tags === undefined ? ALICE : tagged(tags), dimension, n, amount)),
  )
}

export function allocations(name: string, scenario: Scenario): void {
  describe(`${name}: allocations`, () => {
    scenario('a record is split by what its usage was for, and the rest has no tags', async scene => {
      await use(scene, 0, REQUESTS, [SMALL, 3], [LARGE, 5], [undefined, 2], [SMALL, 1])
      await use(scene, 0, REQUESTS, [LARGE, 1])
      await scene.close(0)
      assert.deepEqual(await splits(scene.ledger), ['large 6, small 4, rest 2'])
      const [record] = await scene.claim(closing(0))
      assert.deepEqual(record?.allocations, [[6, LARGE], [4, SMALL], [2]])
      assert.equal(record?.account.key, ALICE.key)
      assert.equal(await scene.equation(ALICE, REQUESTS), '12 = 0 + 12 + 0 + 0')
    })

    scenario.ofRules('usage without tags has no split, nor has a record of nothing', async scene => {
      await use(scene, 0, REQUESTS, [undefined, 2])
      await scene.close(0, { zeroQuantityRecords: true })
      await use(scene, 2, REQUESTS, [SMALL, 2])
      for (const n of [1, 2]) await scene.close(n, { zeroQuantityRecords: true })
      assert.deepEqual(await splits(scene.ledger), ['small 2', '', ''])
    })

    scenario.ofRules('of fractions each gets its units in time, and no tag set is a unit off', async scene => {
      for (const n of [0, 1, 2, 3, 4, 5, 6]) {
        await use(scene, n, TOKENS, [SMALL, 700], [LARGE, 800])
        await scene.close(n)
        const records = await scene.ledger.records({ dimension: TOKENS.name })
        for (const [tags, amount] of [
          [SMALL, 700],
          [LARGE, 800],
        ] as const) {
          const units = records.flatMap(({ allocations = [] }) => allocations)
          const got = units.filter(([, of]) => of?.[0]?.[1] === tags[0]?.[1]).reduce((sum, [one]) => sum + one, 0)
          assert.ok(Math.abs(got - ((n + 1) * amount) / 1000) < 1, `${tags} has ${got} after hour ${n}`)
        }
      }
      assert.equal(await scene.equation(ALICE, TOKENS), '10500 = 0 + 10000 + 0 + 500')
    })

    scenario('it is frozen with the record, and handed out as it is whatever comes', async scene => {
      await use(scene, 0, REQUESTS, [SMALL, 3], [LARGE, 5])
      await scene.close(0)
      const [first] = await scene.claim(closing(0))
      await scene.settle(first === undefined ? [] : [first], lost(closing(1)), closing(0))
      await use(scene, 0, REQUESTS, [SMALL, 30])
      await scene.reopen()
      await scene.close(1)
      const again = (await scene.claim(closing(1))).find(({ id }) => id === first?.id)
      assert.deepEqual(again?.allocations, [
        [5, LARGE],
        [3, SMALL],
      ])
    })

    scenario.ofRules('what returns is split as it was, with what is new', async scene => {
      await use(scene, 0, REQUESTS, [SMALL, 3], [LARGE, 5], [undefined, 1])
      await scene.close(0)
      await scene.send(ROLLED_FORWARD, closing(0))
      await use(scene, 1, REQUESTS, [SMALL, 4])
      await scene.close(1)
      assert.deepEqual(await splits(scene.ledger), ['small 7, large 5, rest 1', 'large 5, small 3, rest 1'])
      await scene.ledger.expire(hour(1) + 2 * DAY)
      await scene.close(50)
      assert.equal((await splits(scene.ledger))[0], 'small 7, large 5, rest 1')
    })

    scenario.ofRules('late usage is split with the hour that takes it', async scene => {
      await use(scene, 0, REQUESTS, [SMALL, 3])
      await scene.close(0)
      await use(scene, 0, REQUESTS, [LARGE, 2])
      await use(scene, 1, REQUESTS, [SMALL, 1])
      await scene.close(1)
      assert.deepEqual(await splits(scene.ledger), ['large 2, small 1', 'small 3'])
    })

    scenario('a batch that is repeated is split once, and another split is another batch', async scene => {
      const batch = { writer: 'ab'.repeat(16), sequence: 1, entries: [entry(tagged(SMALL), REQUESTS, 0, 3)] }
      await scene.ledger.append(batch)
      await scene.ledger.append(batch)
      await assert.rejects(
        scene.ledger.append({ ...batch, entries: [entry(tagged(LARGE), REQUESTS, 0, 3)] }),
        code('ERR_LEDGER_KEY_REUSED'),
      )
      await scene.close(0)
      assert.deepEqual(await splits(scene.ledger), ['small 3'])
    })

    scenario('a guard, a release and a refusal keep the split', async scene => {
      await use(scene, 0, GUARDED, [SMALL, 90], [LARGE, 60])
      await scene.close(0)
      const { id } = await scene.only('held')
      await scene.ledger.decide(id, 'release', BY)
      await scene.close(1)
      assert.deepEqual(await splits(scene.ledger, ALICE, GUARDED), ['small 90, large 60', 'small 90, large 60'])
    })

    scenario('what AWS has refused for its tags goes out without them when it is released', async scene => {
      await use(scene, 0, REQUESTS, [SMALL, 3], [LARGE, 5])
      await scene.close(0)
      const answer = 'InvalidTagException: Tag value large is invalid'
      const refused = (await scene.claim(closing(0))).map(record => ({ record, outcome: REFUSED, answer }))
      await scene.ledger.settle(refused, closing(0))
      const { id } = await scene.only('held')
      await scene.ledger.decide(id, 'release', BY)
      await use(scene, 1, REQUESTS, [SMALL, 1])
      await scene.close(1)
      assert.deepEqual(await splits(scene.ledger), ['small 1, rest 8', 'large 5, small 3'])
    })

    scenario('what is written off, given away or restored is split no more', async scene => {
      await use(scene, 0, REQUESTS, [SMALL, 3], [LARGE, 5])
      await scene.ledger.writeOff(ALICE.key, REQUESTS.name, BY)
      await use(scene, 1, REQUESTS, [SMALL, 2])
      await scene.close(1)
      assert.deepEqual(await splits(scene.ledger), ['small 2'])
      await scene.use(NOBODY, REQUESTS, 2, 4)
      await scene.ledger.attribute(NOBODY.key, REQUESTS.name, ALICE, { ...BY, now: hour(2) })
      await use(scene, 2, REQUESTS, [SMALL, 1])
      await scene.close(2)
      assert.deepEqual(await splits(scene.ledger), ['small 1, rest 4', 'small 2'])
      await scene.send(METERED, closing(2))
      await use(scene, 3, REQUESTS, [LARGE, 6])
      await scene.ledger.declareRestored({ ...BY, now: hour(4) })
      await use(scene, 4, REQUESTS, [LARGE, 1])
      await scene.close(4)
      const restored = await scene.only('held')
      assert.equal(restored.allocations, undefined)
      await scene.ledger.decide(restored.id, 'not-billed', { ...BY, now: hour(5) })
      await scene.close(5)
      const [back, after] = await scene.ledger.records({ customer: ALICE.key, state: 'pending' })
      assert.deepEqual([back?.quantity, back?.allocations, after?.quantity], [6, undefined, 1])
      assert.deepEqual(after?.allocations, [[1, LARGE]])
    })

    scenario('what a person writes off of a held record goes, and comes again with its split', async scene => {
      await use(scene, 0, GUARDED, [SMALL, 90], [LARGE, 60])
      await scene.close(0)
      const { id } = await scene.only('held')
      await scene.ledger.decide(id, 'write-off', BY)
      await use(scene, 1, GUARDED, [SMALL, 7])
      await scene.close(1)
      assert.equal((await splits(scene.ledger, ALICE, GUARDED))[0], 'small 7')
      const [written] = await scene.ledger.audit({ actions: ['write-off'] })
      await scene.ledger.undo(written === undefined ? [] : [written], BY)
      await scene.ledger.decide(id, 'release', BY)
      await scene.close(2)
      assert.equal((await splits(scene.ledger, ALICE, GUARDED))[0], 'small 90, large 60')
    })

    scenario('at the end of an agreement all is split that is owed', async scene => {
      await use(scene, 0, REQUESTS, [SMALL, 3])
      await scene.close(0)
      await use(scene, 1, REQUESTS, [SMALL, 1], [LARGE, 2])
      const endedAt = hour(1) + 600_000
      await scene.ledger.finalize(ALICE, { ...closeOptions(endedAt), endedAt })
      assert.deepEqual(await splits(scene.ledger), ['large 2, small 1', 'small 3'])
    })

    scenario.ofRules(
      'a contract includes of each what it has, and what is metered is split by the same',
      async scene => {
        const included = { per: 'month', quantity: 6, unknown: { after: DAY, outcome: 'hold' } } as const
        await scene.ledger.registerIncluded(ALICE.product, { [REQUESTS.name]: included }, BY)
        await use(scene, 0, REQUESTS, [SMALL, 4], [LARGE, 8])
        await scene.close(0)
        assert.deepEqual(await splits(scene.ledger), ['large 4, small 2'])
        await use(scene, 1, REQUESTS, [SMALL, 1])
        await scene.close(1)
        assert.deepEqual(await splits(scene.ledger), ['small 1', 'large 4, small 2'])
      },
    )

    scenario.ofRules('a changed size splits what is left by what it is', async scene => {
      await use(scene, 0, TOKENS, [SMALL, 1400], [LARGE, 1700])
      await scene.close(0)
      await scene.ledger.register([{ ...TOKENS, size: 100n * UNIT }])
      await scene.close(1)
      assert.deepEqual(await splits(scene.ledger, ALICE, TOKENS), ['small 1', 'large 2, small 1'])
      assert.equal(await scene.equation(ALICE, TOKENS), '3100 = 0 + 3100 + 0 + 0')
    })

    scenario('more keys or tag sets than AWS takes go into the rest, the smallest of them', async scene => {
      const many = Array.from({ length: 2600 }, (_, n) => [[['key', `k${n}`]], n < 100 ? 1 : 2] as [Tags, number])
      await use(scene, 0, REQUESTS, ...many)
      await scene.close(0)
      const [record] = await scene.ledger.records({ customer: ALICE.key })
      const split = record?.allocations ?? []
      assert.ok(split.length <= 2500)
      assert.equal(
        split.reduce((sum, [units]) => sum + units, 0),
        5100,
      )
      assert.ok(split.slice(0, -1).every(([units]) => units === 2))
      const keys = Array.from({ length: 7 }, (_, n) => [[[`key${n}`, 'a']], 9 - n] as [Tags, number])
      await use(scene, 1, REQUESTS, ...keys)
      await scene.close(1)
      assert.equal((await splits(scene.ledger))[0], 'a 9, a 8, a 7, a 6, a 5, rest 7')
    })

    scenario('two that close at once split once', async scene => {
      await use(scene, 0, REQUESTS, [SMALL, 3], [LARGE, 5])
      const other = await scene.another()
      await Promise.all([scene.close(0), other.closeHours(closeOptions(closing(0)))])
      await use(scene, 1, REQUESTS, [SMALL, 1])
      await scene.close(1)
      assert.deepEqual(await splits(scene.ledger), ['small 1', 'large 5, small 3'])
    })

    scenario('each customer is split by its own, licences too', async scene => {
      const some = [ALICE, BOB, DORA]
      await scene.append(some.map((customer, n) => entry(tagged(SMALL, customer), REQUESTS, 0, n + 1)))
      await scene.close(0)
      for (const [n, customer] of some.entries()) {
        assert.deepEqual(await splits(scene.ledger, customer), [`small ${n + 1}`])
      }
      assert.equal((await scene.ledger.statement()).length, 3)
    })

    scenario("points of others' counters are split as they come", async scene => {
      const point = (tags: Tags, counter: string, minutes: number, value: number): Observation => ({
        ...{ counter: counter.repeat(16), kind: 'delta', account: tagged(tags), dimension: REQUESTS.name },
        ...{ start: (hour(0) + minutes * 60_000 - 60_000) * 1000, time: (hour(0) + minutes * 60_000) * 1000 },
        ...{ receivedAt: hour(0) + minutes * 60_000, value: BigInt(value) * UNIT },
      })
      await scene.ledger.register(DIMENSIONS, sources(ALICE.product, hour(0)))
      await scene.observe(
        [point(SMALL, 'aa', 1, 3), point(LARGE, 'bb', 1, 5), point(SMALL, 'aa', 2, 2)],
        [ALICE, REQUESTS, 10],
      )
      await scene.close(0)
      assert.deepEqual(await splits(scene.ledger), ['large 5, small 5'])
    })
  })
}
