import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { spooled } from '../../../src/ledger/clients/spool.ts'
import { UsageWriter } from '../../../src/ledger/clients/writer.ts'
import { HOUR, MINUTE } from '../../../src/ledger/hours.ts'
import type { Ledger, UsageBatch } from '../../../src/ledger/ledger.ts'
import { formatAmount, MAX_AMOUNT } from '../../../src/usage/amount.ts'
import { MAX_QUANTITY } from '../../../src/usage/dimension.ts'
import {
  ALICE,
  BOB,
  BY,
  CAROL,
  closeOptions,
  closing,
  DORA,
  entry,
  hour,
  METERED,
  NOBODY,
  REQUESTS,
  TOKENS,
  UNIT,
  WRITER,
} from '../scene.ts'
import { TemporaryFolder } from '../sqlite-under-test.ts'
import { code, type Scenario } from './scenario.ts'

/** Its owner closes it. */
const openForSpool = (ledger: Ledger) =>
  new Proxy(ledger, {
    get: (target, name: keyof Ledger) => {
      const member: unknown = name === 'close' ? async () => {} : target[name]
      return typeof member === 'function' ? member.bind(target) : member
    },
  })

export function appends(name: string, scenario: Scenario): void {
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

    scenario('an account may be several objects, new ones and known ones in one batch', async scene => {
      const copy = (n: number) => ({ ...entry(ALICE, REQUESTS, n, 1), account: { ...ALICE } })
      const bob = (n: number) => [entry(BOB, REQUESTS, n, 10), { ...entry(BOB, TOKENS, n, 100), account: { ...BOB } }]
      await scene.append([copy(1), copy(0), ...bob(0), copy(1)])
      await scene.append([copy(0), ...bob(1), entry(NOBODY, REQUESTS, 0, 1000), copy(0)])
      assert.equal(await scene.equation(ALICE, REQUESTS), '5 = 0 + 0 + 0 + 5')
      assert.equal(await scene.equation(BOB, REQUESTS), '20 = 0 + 0 + 0 + 20')
      assert.equal(await scene.equation(BOB, TOKENS), '200 = 0 + 0 + 0 + 200')
      assert.equal((await scene.ledger.statement()).length, 4)
      await scene.reopen()
      await scene.append([entry(BOB, REQUESTS, 0, 1), entry(CAROL, REQUESTS, 0, 3), copy(0)])
      assert.equal(await scene.equation(ALICE, REQUESTS), '6 = 0 + 0 + 0 + 6')
      assert.equal(await scene.equation(BOB, REQUESTS), '21 = 0 + 0 + 0 + 21')
      assert.equal(await scene.equation(CAROL, REQUESTS), '3 = 0 + 0 + 0 + 3')
    })

    scenario('of several labels in one batch the last holds', async scene => {
      const called = (product: string) => ({ ...entry(DORA, REQUESTS, 0, 1), account: { ...DORA, product } })
      await scene.append([called('older'), called('old'), called('new')])
      const [line] = await scene.ledger.statement()
      assert.equal(line?.account.product, 'new')
    })

    scenario('hours of any clock, in centuries to come, are of their own customers', async scene => {
      const hours = [0, hour(0), Date.UTC(2449, 0), Date.UTC(9999, 0)]
      const entries = hours.flatMap((hour, index) => [
        { ...entry(ALICE, REQUESTS, 0, 1 + index), hour },
        { ...entry(BOB, REQUESTS, 0, 10 * (1 + index)), hour },
      ])
      await scene.append(entries)
      await scene.append(entries)
      for (const [index, from] of hours.entries()) {
        const lines = await scene.ledger.statement({ from, to: from + HOUR })
        const said = lines.map(({ account, recorded }) => [account.key, recorded])
        const units = 2n * BigInt(1 + index) * UNIT
        assert.deepEqual(
          said,
          [
            [ALICE.key, units],
            [BOB.key, 10n * units],
          ],
          new Date(from).toISOString(),
        )
      }
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
      await assert.rejects(scene.ledger.append(batch(other, 3)), { code: 'ERR_LEDGER_BATCH_MISSING', next: 2 })
      const lasts = [WRITER, other, 'e'.repeat(32)].map(writer => scene.ledger.lastOf(writer))
      assert.deepEqual(await Promise.all(lasts), [2, 1, 0])
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
        { ...good, amount: MAX_AMOUNT + 1n },
        { ...good, dimension: 'unheard-of' },
      ]) {
        const newcomer = { ...good, account: BOB }
        const batch = { writer: WRITER, sequence: 1, entries: [newcomer, good, bad] }
        const expected = bad.dimension === 'unheard-of' ? 'ERR_LEDGER_NOT_FOUND' : 'ERR_LEDGER_INVALID'
        await assert.rejects(scene.ledger.append(batch), code(expected))
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
      // Each is exact as a number, and their sums are not.
      for (const amount of [2n ** 53n - 1n, 2n, 2n]) await scene.use(BOB, REQUESTS, 0, amount)
      assert.equal(await scene.equation(BOB, REQUESTS), '9007199254.740995 = 0 + 0 + 0 + 9007199254.740995')
      for (let n = 0; n < 3; n += 1) await scene.use(ALICE, TOKENS, n, 2n ** 62n - 1n)
      for (let n = 0; n < 2; n += 1) await scene.use(ALICE, TOKENS, 4, 2n ** 62n)
      // 5 × 2^62 − 3 millionths.
      assert.equal(await scene.equation(ALICE, TOKENS), '23058430092136.939517 = 0 + 0 + 0 + 23058430092136.939517')
      await scene.close(5)
      // A quantity of 2147483647 × 1000 tokens is more than 2^60 millionths.
      const [record] = await scene.ledger.records({ customer: ALICE.key, dimension: 'tokens', limit: 1 })
      assert.equal(record?.quantity, MAX_QUANTITY)
      for (let n = 6; n < 17; n += 1) {
        await scene.close(n)
        await scene.send(METERED, closing(n))
      }
      assert.equal(await scene.equation(ALICE, TOKENS), '23058430092136.939517 = 23058430092000 + 0 + 0 + 136.939517')
    })

    scenario('one batch may have more of a series than fits in 64 bits', async scene => {
      const entries = Array.from({ length: 9 }, () => entry(ALICE, TOKENS, 0, 2n ** 62n))
      const batch: UsageBatch = { writer: WRITER, sequence: 1, entries: [...entries, entry(ALICE, TOKENS, 0, 1n)] }
      await scene.ledger.append(batch)
      await scene.ledger.append(batch)
      await scene.close(0)
      assert.match(await scene.equation(ALICE, TOKENS), /^41505174165846\.491137 = 0 \+ 2147483647000 \+ 0 /)
    })

    scenario('the largest amounts are exact in whatever becomes of them', async scene => {
      const amounts = [MAX_AMOUNT, MAX_AMOUNT, 10n ** 24n, 2n ** 72n, 10n ** 18n, 1n]
      const entries = [
        ...amounts.map(amount => entry(ALICE, TOKENS, 0, amount)),
        ...[entry(NOBODY, TOKENS, 0, MAX_AMOUNT), entry(BOB, REQUESTS, 0, 1)],
      ]
      const batch: UsageBatch = { writer: WRITER, sequence: 1, entries }
      await scene.ledger.append(batch)
      await scene.ledger.append({ ...batch, entries: entries.toReversed() })
      // No double tells these apart.
      const other = { ...batch, entries: [entry(ALICE, TOKENS, 0, MAX_AMOUNT - 1n), ...entries.slice(1)] }
      await assert.rejects(scene.ledger.append(other), code('ERR_LEDGER_KEY_REUSED'))
      const unattributed = async () => (await scene.ledger.status()).unattributed.map(({ amount }) => amount)
      assert.deepEqual(await unattributed(), [MAX_AMOUNT])
      const recorded = async (from: number, to: number) => {
        const lines = await scene.ledger.statement({ from: hour(from), to: hour(to), dimension: 'tokens' })
        return new Map(lines.map(line => [line.account.key, line.recorded]))
      }
      const total = 2n * MAX_AMOUNT + 10n ** 24n + 2n ** 72n + 10n ** 18n + 1n
      const both = new Map<string, bigint>([
        [ALICE.key, total],
        [NOBODY.key, MAX_AMOUNT],
      ])
      assert.deepEqual(await recorded(0, 1), both)
      await scene.close(0)
      assert.deepEqual(await recorded(0, 1), both)
      assert.deepEqual(await unattributed(), [MAX_AMOUNT])
      assert.equal(await scene.equation(BOB, REQUESTS), '1 = 0 + 1 + 0 + 0')
      const frozen = formatAmount(total - 2_147_483_647_000_000_000n)
      assert.equal(await scene.equation(ALICE, TOKENS), `${formatAmount(total)} = 0 + 2147483647000 + 0 + ${frozen}`)
      // What comes late for it adds up there, and the open hour of one who leaves is frozen.
      await scene.use(ALICE, TOKENS, 0, MAX_AMOUNT)
      await scene.use(ALICE, TOKENS, 1, 10n ** 18n)
      const endedAt = hour(1) + 30 * MINUTE
      assert.equal((await scene.ledger.finalize(ALICE, { ...BY, ...closeOptions(endedAt), endedAt })).records, 1)
      assert.equal((await scene.send(METERED, endedAt + MINUTE)).length, 3)
      assert.equal((await recorded(0, 1)).get(ALICE.key), total + MAX_AMOUNT)
      const left = total + MAX_AMOUNT + 10n ** 18n - 2n * 2_147_483_647_000_000_000n
      assert.equal(await scene.ledger.writeOff(ALICE.key, 'tokens', BY), left)
      assert.equal(await scene.ledger.attribute(NOBODY.key, 'tokens', BOB, BY), MAX_AMOUNT)
      assert.deepEqual(
        (await scene.ledger.audit({ limit: 2 })).map(({ amount }) => amount),
        [MAX_AMOUNT, left],
      )
      await scene.close(5)
      assert.match(await scene.equation(BOB, TOKENS), /^1329227995784915872903807060280\.344576 = 0 \+ 2147483647000 /)
      await scene.close(40)
      assert.equal((await scene.send(METERED, closing(40))).length, 1)
      await scene.ledger.prune(hour(5))
      assert.deepEqual(await recorded(0, 4), new Map())
    })

    scenario('whoever brings nothing in for more than a year is forgotten, and not taken for lost', async scene => {
      using folder = new TemporaryFolder()
      const spool = () => spooled(openForSpool(scene.ledger), { path: folder.file('spool') })
      const spooling = spool()
      const [looking, late, behind] = [scene.ledger, scene.ledger, spooling].map(ledger => new UsageWriter(ledger))
      const use = async (writer: UsageWriter | undefined, n: number) => {
        writer?.add(ALICE, REQUESTS.name, hour(n), UNIT, { source: 0, waiting: undefined })
        await writer?.flush()
      }
      for (const writer of [looking, late, behind]) await use(writer, 0)
      // What is in the spool goes on to the ledger first.
      await spooling.closeHours(closeOptions(closing(0)))
      const later = 401 * 24
      await scene.close(later)
      await looking?.look()
      for (const writer of [looking, late, behind]) await use(writer, later + 1)
      const another = spool()
      await another.closeHours(closeOptions(closing(later + 1)))
      for (const ledger of [spooling, another]) await ledger.close()
      assert.deepEqual(await scene.ledger.audit({ actions: ['lost'] }), [])
      const [line] = await scene.ledger.statement()
      assert.equal(line?.recorded, 6n * UNIT)
    })

    scenario('a thousand series in one batch', async scene => {
      const accounts = Array.from({ length: 1000 }, (_, n) => ({ ...ALICE, key: `prod-1,${n}`, accountId: String(n) }))
      await scene.append(accounts.flatMap(account => [entry(account, REQUESTS, 0, 2), entry(account, REQUESTS, 1, 1)]))
      assert.equal((await scene.close(1)).records, 2000)
      assert.equal((await scene.ledger.statement()).length, 1000)
    })
  })
}
