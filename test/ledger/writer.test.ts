import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { UsageWriter } from '../../src/ledger/clients/writer.ts'
import { LedgerError } from '../../src/ledger/errors.ts'
import type { UsageBatch } from '../../src/ledger/ledger.ts'
import type { CustomerAccount } from '../../src/usage/account.ts'
import { MAX_AMOUNT } from '../../src/usage/amount.ts'
import type { Tally } from '../../src/usage/customer.ts'
import type { Dimension } from '../../src/usage/dimension.ts'
import { openSqlite } from './sqlite-under-test.ts'

const TOKENS: Dimension = { name: 'tokens', unit: '{token}', baseUnit: '1', size: 1_000_000n }
const NOON = Date.UTC(2026, 5, 10, 12)
const MANY = 25_001

const account = (number: number): CustomerAccount => {
  const accountId = String(100_000_000_000 + number)
  return { kind: 'customer', key: `prod,${accountId}`, product: 'prod', accountId }
}
const accounts = Array.from({ length: MANY }, (_, number) => account(number))

/** A writer to a real ledger, and the batches that it has tried. `appending` may fail before one gets there, or after. */
async function begin(
  test: TestContext,
  appending: (batch: UsageBatch, append: () => Promise<void>) => Promise<void> = (_, append) => append(),
) {
  const { ledger, dispose } = await openSqlite()
  test.after(dispose)
  await ledger.register([TOKENS])
  const tried: UsageBatch[] = []
  const writer = new UsageWriter(
    new Proxy(ledger, {
      get: (_, name) => {
        const other = { note: ledger.note, audit: ledger.audit, lastOf: ledger.lastOf, status: ledger.status }[
          String(name)
        ]
        if (other !== undefined) return other.bind(ledger)
        assert.equal(name, 'append')
        return (batch: UsageBatch) => {
          tried.push(structuredClone(batch))
          return appending(batch, () => ledger.append(batch))
        }
      },
    }),
  )
  const tallies = accounts.map(() => ({ source: 0, waiting: undefined }))
  const use = (number: number, amount: bigint) =>
    writer.add(accounts[number] as CustomerAccount, TOKENS.name, NOON, amount, tallies[number] as Tally)
  const recorded = async () => {
    const lines = await ledger.statement()
    return new Map(lines.map(line => [line.account.key, line.recorded]))
  }
  return { ledger, writer, use, tried, recorded }
}

const sequencesAndSizes = (batches: readonly UsageBatch[]) =>
  batches.map(({ sequence, entries }) => [sequence, entries.length])

test('a large flush is several batches, each unit in one of them', async t => {
  const { writer, use, tried, recorded } = await begin(t)
  for (const [number] of accounts.entries()) use(number, BigInt(number) + 1n)
  for (const [number] of accounts.entries()) use(number, 1_000_000n)
  await writer.flush()
  assert.deepEqual(sequencesAndSizes(tried), [
    [1, 10_000],
    [2, 10_000],
    [3, 5001],
  ])
  assert.equal(new Set(tried.map(batch => batch.writer)).size, 1)
  assert.deepEqual(
    await recorded(),
    new Map(accounts.map(({ key }, number) => [key, 1_000_000n + BigInt(number) + 1n])),
  )
  assert.deepEqual(writer.unwritten(), [])
})

test('what is kept back waits, also out of batches that were made when the month turned', async t => {
  const { writer, tried, use, recorded } = await begin(t)
  const [one, two] = accounts as [CustomerAccount, CustomerAccount]
  const tally = (): Tally => ({ source: 0, waiting: undefined })
  writer.add(two, 'other', NOON, 3n, tally())
  use(0, 5n)
  writer.add(one, TOKENS.name, Date.UTC(2026, 6, 1), 7n, tally())
  writer.keepBack(new Set(['other']))
  await writer.flush()
  writer.add(two, 'other', NOON, 4n, tally())
  await writer.flush()
  assert.deepEqual(sequencesAndSizes(tried), [
    [1, 1],
    [2, 1],
  ])
  assert.deepEqual(await recorded(), new Map([[one.key, 12n]]))
  assert.deepEqual(
    writer.unwritten().map(({ dimension, amount }) => [dimension, amount]),
    [
      ['other', 3n],
      ['other', 4n],
    ],
  )
})

test('timers have their turn between the batches of a large flush', async t => {
  let due = 0
  let fired = 0
  const { writer, use, tried } = await begin(t, async () => {
    assert.equal(fired, due)
    due += 1
    setTimeout(() => (fired += 1), 1)
    for (const begun = performance.now(); performance.now() < begun + 3; );
  })
  for (const [number] of accounts.entries()) use(number, 1n)
  await writer.flush()
  assert.equal(tried.length, 3)
})

for (const committed of [false, true]) {
  const when = committed ? 'after it committed' : 'before it committed'

  test(`where a batch of several fails ${when}, those behind it wait, and newer usage behind them`, async t => {
    let broken = true
    const { writer, use, tried, recorded } = await begin(t, async (batch, append) => {
      const fails = broken && batch.sequence === 2
      if (!fails || committed) await append()
      if (fails) throw new LedgerError('ERR_LEDGER_FULL', 'no space is left')
    })
    for (const [number] of accounts.entries()) use(number, 1n)
    await assert.rejects(writer.flush(), { code: 'ERR_LEDGER_FULL' })
    assert.equal(writer.unwritten().length, 15_001)
    for (const [number] of accounts.entries()) use(number, 2n)
    assert.equal(writer.unwritten().length, 15_001 + MANY)
    await assert.rejects(writer.flush(), { code: 'ERR_LEDGER_FULL' })
    assert.deepEqual(
      tried.map(({ sequence }) => sequence),
      [1, 2, 2],
    )
    assert.deepEqual(tried[2], tried[1])
    broken = false
    await writer.flush()
    assert.deepEqual(tried[3], tried[1])
    assert.deepEqual(sequencesAndSizes(tried.slice(4)), [
      [3, 5001],
      [4, 10_000],
      [5, 10_000],
      [6, 5001],
    ])
    assert.deepEqual(writer.unwritten(), [])
    assert.deepEqual(await recorded(), new Map(accounts.map(({ key }) => [key, 3n])))
  })
}

test('what is added while a large flush is under way is in it or behind it, once', async t => {
  let added = 0n
  const world = await begin(t, async (_, append) => {
    await append()
    for (const [number] of accounts.entries()) world.use(number, 1n)
    added += 1n
  })
  world.use(0, 1n)
  await world.writer.flush()
  assert.deepEqual(await world.recorded(), new Map([[accounts[0]?.key, 1n]]))
  await world.writer.flush()
  assert.equal(added, 4n)
  assert.equal(world.writer.unwritten().length, MANY)
  assert.deepEqual(await world.recorded(), new Map(accounts.map(({ key }, number) => [key, number === 0 ? 2n : 1n])))
})

test('amounts of a series add up where its tally is, and each month has its own', async t => {
  const { writer, tried, recorded } = await begin(t)
  const tally = { source: 0, waiting: undefined }
  const [known] = accounts as [CustomerAccount]
  for (const time of [NOON, NOON - 3_600_000, NOON]) writer.add(known, TOKENS.name, time, 5n, tally)
  const july = Date.UTC(2026, 6, 1)
  for (const time of [july, july + 60_000]) writer.add(known, TOKENS.name, time, 7n, tally)
  assert.equal(writer.unwritten().length, 2)
  await writer.flush()
  assert.deepEqual(
    tried.map(({ entries }) => entries),
    [
      [{ account: known, dimension: TOKENS.name, hour: NOON, amount: 15n }],
      [{ account: known, dimension: TOKENS.name, hour: july, amount: 14n }],
    ],
  )
  assert.deepEqual(await recorded(), new Map([[known.key, 29n]]))
})

test('the largest amounts stay exact', async t => {
  const { writer, use, recorded } = await begin(t)
  for (const amount of [MAX_AMOUNT, MAX_AMOUNT - 1n, 2n ** 53n + 1n]) {
    use(0, amount)
    await writer.flush()
  }
  assert.deepEqual(await recorded(), new Map([[accounts[0]?.key, 2n * MAX_AMOUNT + 2n ** 53n]]))
})

test('what has added up to more than one amount goes as several, and nobody else waits for it', async t => {
  let away = true
  const { writer, use, tried, recorded } = await begin(t, async (_, append) => {
    if (away) throw new LedgerError('ERR_LEDGER_BUSY', 'away')
    await append()
  })
  use(2, 1n)
  await assert.rejects(writer.flush(), { code: 'ERR_LEDGER_BUSY' })
  for (const amount of [MAX_AMOUNT, MAX_AMOUNT, 5n]) use(0, amount)
  use(1, 7n)
  away = false
  await writer.flush()
  const sums = [2n * MAX_AMOUNT + 5n, 7n, 1n]
  assert.deepEqual(await recorded(), new Map([0, 1, 2].map(n => [accounts[n]?.key, sums[n]])))
  assert.deepEqual(
    tried.at(-1)?.entries.map(({ amount }) => amount),
    [MAX_AMOUNT, MAX_AMOUNT, 5n, 7n],
  )
  assert.deepEqual(writer.unwritten(), [])
})

/** Acknowledges a batch for each amount, which is gone with a failover but for the first `kept`. */
async function lose(t: TestContext, amounts: readonly bigint[], kept: number) {
  let lost = false
  const world = await begin(t, async ({ sequence }, append) => {
    if (lost || sequence <= kept) await append()
  })
  for (const amount of amounts) {
    world.use(1, amount)
    await world.writer.flush()
  }
  lost = true
  world.tried.length = 0
  const notes = async () => (await world.ledger.audit({ actions: ['lost'] })).map(({ detail }) => detail)
  return { ...world, notes }
}

test('what a ledger has lost is brought in again under its keys, before what follows', async t => {
  const { writer, use, tried, recorded, notes } = await lose(t, [1n, 5n, 7n], 1)
  use(2, 2n)
  await writer.flush()
  use(2, 1n)
  await writer.flush()
  assert.deepEqual([...(await recorded()).values()], [13n, 3n])
  assert.deepEqual(
    tried.map(({ sequence }) => sequence),
    [4, 2, 3, 4, 5],
  )
  const [first] = tried
  assert.deepEqual(await notes(), [
    `writer ${first?.writer} has brought in again 2 of the 2 batches that it missed from 2 on`,
    `writer ${first?.writer} misses its batches from 2 on, 2 in all; 2 of them were kept and are brought in again`,
  ])
})

test('a writer without usage finds what the ledger has lost when it looks', async t => {
  const { writer, recorded, notes } = await lose(t, [1n, 5n], 0)
  await writer.look()
  await writer.look()
  assert.deepEqual([...(await recorded()).values()], [6n])
  assert.equal((await notes()).length, 2)
})

test('what of a loss is no longer here is told; the rest and what follows get new keys', async t => {
  const { writer, use, tried, recorded, notes } = await lose(t, Array(300).fill(1n), 10)
  use(2, 1n)
  await writer.flush()
  assert.deepEqual([...(await recorded()).values()], [266n, 1n])
  assert.equal(new Set(tried.map(batch => batch.writer)).size, 2)
  assert.deepEqual(
    (await notes()).map(detail => detail?.replace(/writer \S+ /, '')),
    [
      'has brought in again 256 of the 290 batches that it missed from 11 on',
      'misses its batches from 11 on, 290 in all; 256 of them were kept and are brought in again',
    ],
  )
})

test('where a loss cannot be noted nothing is done about it; where bringing in again fails, it goes on', async t => {
  const { ledger, writer, use, recorded, notes } = await lose(t, [1n, 5n], 0)
  const { note, append } = ledger
  ledger.note = async () => {
    throw new LedgerError('ERR_LEDGER_BUSY', 'away')
  }
  use(2, 2n)
  await assert.rejects(writer.flush(), { code: 'ERR_LEDGER_BUSY' })
  assert.deepEqual([...(await recorded()).values()], [])
  ledger.note = note
  ledger.append = async batch => {
    await append.call(ledger, batch)
    if (batch.sequence === 2) throw new LedgerError('ERR_LEDGER_IO', 'the answer was lost')
  }
  await assert.rejects(writer.flush(), { code: 'ERR_LEDGER_IO' })
  assert.deepEqual(
    writer.unwritten().map(({ amount }) => amount),
    [5n, 2n],
  )
  ledger.append = append
  await writer.flush()
  assert.deepEqual([...(await recorded()).values()], [6n, 2n])
  assert.equal((await notes()).length, 2)
})
