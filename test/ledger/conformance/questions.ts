import assert from 'node:assert/strict'
import { describe } from 'node:test'
import type { Span } from '../../../src/ledger/hours.ts'
import { HOUR } from '../../../src/ledger/hours.ts'
import type { StatementQuery } from '../../../src/ledger/ledger.ts'
import { seeded } from '../../../src/simulator/random.ts'
import type { Dimension } from '../../../src/usage/dimension.ts'
import {
  ALICE,
  BOB,
  BY,
  CONFLICT,
  closing,
  DIMENSIONS,
  DORA,
  ERIN,
  entry,
  hour,
  lost,
  MARGIN,
  METERED,
  NOBODY,
  REFUSED,
  REQUESTS,
  ROLLED_FORWARD,
  type Scene,
  TOKENS,
  UNIT,
} from '../scene.ts'
import { billedIn, type Scenario } from './scenario.ts'

export function questions(name: string, scenario: Scenario): void {
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

    scenario('the statement by hours, days or months, and of one customer alone', async scene => {
      await life(scene)
      await scene.use(ALICE, REQUESTS, 24 * 23, 5)
      const by = async (by: Span, query: StatementQuery = {}) => {
        const lines = await scene.ledger.statement({ dimension: 'tokens', customer: ALICE.key, by, ...query })
        return lines.map(({ span, ...line }) => {
          const figures = [line.recorded, line.metered, line.pending, line.held, line.balance]
          const { metered, pending, held } = span?.quantities ?? {}
          const hours = [span?.from, span?.to].map(time => ((time ?? Number.NaN) - hour(0)) / HOUR)
          return [hours, figures.map(amount => Number(amount / UNIT)), [metered, pending, held]]
        })
      }
      const hours = [
        [
          [0, 1],
          [1500, 1000, 0, 0, 500],
          [1n, 0n, 0n],
        ],
        [
          [1, 2],
          [1500, 0, 0, 2000, -500],
          [0n, 0n, 2n],
        ],
        [
          [2, 3],
          [1500, 0, 1000, 0, 500],
          [0n, 1n, 0n],
        ],
      ]
      assert.deepEqual(await by('hour'), hours)
      assert.deepEqual(await by('hour', { customer: '111111111111', from: hour(1), to: hour(2) }), [hours[1]])
      assert.deepEqual(await by('hour', { from: hour(5), to: hour(9) }), [])
      assert.deepEqual(await by('day', { from: hour(1) }), [
        [
          [1, 24],
          [3000, 0, 1000, 2000, 0],
          [0n, 1n, 2n],
        ],
      ])
      const months = await by('month', { dimension: 'requests', to: hour(24 * 40) })
      const march = [-9 * 24, 22 * 24]
      assert.deepEqual(months, [
        [march, [34, 10, 10, 10, 4], [10n, 10n, 10n]],
        [
          [22 * 24, 24 * 40],
          [5, 0, 0, 0, 5],
          [0n, 0n, 0n],
        ],
      ])
      // Of all, in the order of time and then of the statement.
      const all = await scene.ledger.statement({ by: 'month' })
      assert.deepEqual(
        all.map(({ account, dimension }) => `${account.key} ${dimension.name}`),
        [ALICE, ERIN].flatMap(one => [`${one.key} requests`, `${one.key} tokens`]).concat(`${ALICE.key} requests`),
      )
    })

    scenario(
      'quantities are as AWS bills them, whatever a unit was worth, and of what a restore holds',
      async scene => {
        for (const [n, size] of [1000n, 500n].entries()) {
          await scene.ledger.register([{ ...TOKENS, size: size * UNIT }])
          await scene.use(ALICE, TOKENS, n, 1500)
          await scene.close(n)
          await scene.send(METERED, closing(n))
        }
        await scene.use(ALICE, TOKENS, 2, 1750)
        await scene.ledger.declareRestored({ ...BY, now: closing(2) })
        const quantities = async () =>
          (await scene.ledger.statement({ by: 'month' })).map(({ span }) => Object.values(span?.quantities ?? {}))
        assert.deepEqual(await quantities(), [[0n, 5n, 0n, 3n]])
        await scene.ledger.decide((await scene.only('held')).id, 'billed', BY, 2)
        assert.deepEqual(await quantities(), [[0n, 7n, 0n, 0n]])
      },
    )

    scenario('hours, days and months of any history add up to its statement', async scene => {
      const random = seeded(20_260_310)
      const below = (most: number) => Math.floor(random() * most)
      const outcomes = [METERED, METERED, REFUSED, CONFLICT, ROLLED_FORWARD, lost(0)]
      // Around a day's and a month's end.
      for (const n of [0, 22, 23, 24, 22 * 24 - 1, 22 * 24]) {
        await scene.append(
          [ALICE, DORA, NOBODY].flatMap(account =>
            [REQUESTS, TOKENS].map(dimension =>
              entry(account, dimension, Math.max(0, n - below(3)), BigInt(1 + below(3_000_000_000))),
            ),
          ),
        )
        await scene.close(n)
        for (const record of await scene.claim(closing(n))) {
          await scene.settle([record], outcomes[below(outcomes.length)] ?? METERED, closing(n))
        }
        await scene.ledger.expire(closing(n))
        if (n === 23) await scene.ledger.register([{ ...TOKENS, size: 300n * UNIT }])
      }
      await scene.ledger.attribute(NOBODY.key, TOKENS.name, BOB, { ...BY, now: closing(22 * 24) })
      await scene.ledger.writeOff(NOBODY.key, REQUESTS.name, { ...BY, now: closing(22 * 24) })
      await scene.books.check(scene.ledger)
      for (const by of ['hour', 'day', 'month'] as const) await scene.books.checkSpans(scene.ledger, by)
      const states = new Set((await scene.ledger.records({ limit: 1000 })).map(({ state }) => state))
      assert.ok(states.size >= 3, [...states].join())
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
      // As many as there are, of a period, too.
      const all = await ledger.records({ limit: Number.MAX_SAFE_INTEGER })
      assert.deepEqual(await ledger.records({ from: 0, to: hour(100), limit: Number.MAX_SAFE_INTEGER }), all)
      assert.deepEqual(all, await ledger.records({ limit: 1000 }))
    })

    scenario('records by their ids', async scene => {
      await life(scene)
      const { ledger } = scene
      const all = await ledger.records()
      const [oldest, youngest] = [all.at(-1)?.id ?? '', all[0]?.id ?? '']
      assert.deepEqual(await ledger.records({ ids: [oldest, youngest, oldest] }), [all[0], all.at(-1)])
      assert.deepEqual(await ledger.records({ ids: [oldest, youngest], state: 'pending' }), [all[0]])
      assert.deepEqual(await ledger.records({ ids: [oldest, youngest], to: hour(1) }), [all.at(-1)])
      assert.deepEqual(await ledger.records({ ids: [oldest, youngest], limit: 1 }), [all[0]])
      assert.equal((await ledger.records({ ids: all.map(({ id }) => id), dimension: 'tokens' })).length, 6)
      for (const ids of [[], ['0'], ['99999'], ['9-9-9'], ['nothing'], [`0${youngest}`], [` ${youngest}`], ['1e0']]) {
        assert.deepEqual(await ledger.records({ ids }), [], `${ids}`)
      }
    })

    scenario('its dimensions, as they were registered last', async scene => {
      assert.deepEqual(await scene.ledger.dimensions(), DIMENSIONS)
      const changed = { ...DIMENSIONS[1], size: 7n } as Dimension
      await scene.ledger.register([changed, { ...REQUESTS, name: 'new' }])
      await (await scene.another()).register([{ ...REQUESTS, name: 'another' }])
      assert.deepEqual(await scene.ledger.dimensions(), [
        ...[DIMENSIONS[0], changed, DIMENSIONS[2], DIMENSIONS[3]],
        ...['new', 'another'].map(name => ({ ...REQUESTS, name })),
      ])
    })

    scenario('the status', async scene => {
      const nothing = { pending: [], held: [], unattributed: [], waiting: [], notCounted: {} }
      assert.deepEqual(await scene.ledger.status(), nothing)
      await life(scene)
      assert.deepEqual(await scene.ledger.status(), {
        pending: [
          { dimension: 'requests', records: 2, amount: 20n * UNIT },
          { dimension: 'tokens', records: 2, amount: 2000n * UNIT },
        ],
        held: [
          { dimension: 'requests', reason: 'refused', records: 2, amount: 20n * UNIT },
          { dimension: 'tokens', reason: 'refused', records: 2, amount: 4000n * UNIT },
        ],
        ...{ unattributed: [], waiting: [], notCounted: {}, oldestPendingHour: hour(2), closedThrough: hour(2) },
      })
    })

    scenario('the status has one figure for each dimension and reason, whatever their sizes', async scene => {
      for (const [n, size] of [1000n, 500n, 2000n, 3000n].entries()) {
        await scene.ledger.register([{ ...TOKENS, size: size * UNIT }])
        await scene.use(ALICE, TOKENS, n, 4000)
        await scene.use(NOBODY, TOKENS, n, 7)
        await scene.close(n)
        if (n < 2) await scene.send(REFUSED, closing(n))
      }
      const { pending, held, unattributed } = await scene.ledger.status()
      assert.deepEqual(held, [{ dimension: 'tokens', reason: 'refused', records: 2, amount: 8000n * UNIT }])
      assert.deepEqual(pending, [{ dimension: 'tokens', records: 2, amount: 7000n * UNIT }])
      assert.deepEqual(unattributed, [{ dimension: 'tokens', amount: 28n * UNIT }])
    })

    scenario('a restored ledger has one figure for what it holds of a dimension', async scene => {
      for (const [index, account] of [ALICE, BOB, ERIN].entries()) await scene.use(account, TOKENS, 0, 10.5 + index)
      await scene.ledger.declareRestored(BY)
      const { held } = await scene.ledger.status()
      assert.deepEqual(
        held.map(({ dimension, records, amount }) => ({ dimension, records, amount })),
        [{ dimension: 'tokens', records: 3, amount: 34_500_000n }],
      )
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
      await billedIn(scene, 25, 1000)
      const before = await scene.ledger.statement()
      assert.equal(await scene.ledger.prune(hour(1)), 4)
      assert.equal(await scene.ledger.prune(hour(50)), 0)
      assert.deepEqual(await scene.ledger.statement(), before)
      assert.deepEqual((await scene.ledger.records()).map(record => record.state).sort(), [
        ...Array(4).fill('held'),
        'metered',
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
      await billedIn(scene, 99)
      assert.equal(await scene.ledger.prune(hour(1)), 1)
      await scene.reopen()
      await scene.use(BOB, REQUESTS, 100, 1)
      await scene.close(100)
      assert.notEqual((await scene.only('pending')).id, id)
    })
  })
}
