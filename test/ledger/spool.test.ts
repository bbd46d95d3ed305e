import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { copyFileSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { spooled } from '../../src/ledger/clients/spool.ts'
import { SpoolFile } from '../../src/ledger/clients/spool-file.ts'
import { LedgerError } from '../../src/ledger/errors.ts'
import { MINUTE } from '../../src/ledger/hours.ts'
import type { Ledger, UsageBatch, UsageEntry } from '../../src/ledger/ledger.ts'
import { SqliteLedger } from '../../src/ledger/sqlite/ledger.ts'
import { formatAmount } from '../../src/usage/amount.ts'
import type { Dimension } from '../../src/usage/dimension.ts'
import { ALICE, closeOptions, closing, DIMENSIONS, entry, hour, REQUESTS } from './scene.ts'
import { TemporaryFolder } from './sqlite-under-test.ts'

/** A ledger that can be away, or lose its answers, and spools before it. */
class World implements AsyncDisposable {
  readonly folder = new TemporaryFolder()
  ledger = new SqliteLedger({ path: this.folder.file('ledger.db') })
  fault: 'none' | 'away' | 'takes nothing' | 'answer lost' = 'none'
  readonly #away: Ledger = new Proxy<Ledger>(this.ledger, {
    get: (_, name: keyof Ledger) => {
      // Its owner closes it.
      if (name === 'close') return async () => {}
      if (typeof this.ledger[name] !== 'function') return undefined
      return async (...given: never[]) => {
        if (this.fault === 'away' || (this.fault === 'takes nothing' && name === 'append'))
          throw new LedgerError('ERR_LEDGER_IO', 'the database is away')
        const result = await (this.ledger[name] as (...given: never[]) => Promise<unknown>)(...given)
        if (this.fault === 'answer lost') throw new LedgerError('ERR_LEDGER_IO', 'the connection was lost')
        return result
      }
    },
  })
  readonly #writer = randomBytes(16).toString('hex')
  #sequence = 0

  async open(): Promise<Ledger> {
    const ledger = spooled(this.#away, { path: this.folder.file('spool.db') })
    await ledger.register(DIMENSIONS)
    return ledger
  }

  batch(amount: number, sequence?: number): UsageBatch {
    this.#sequence = sequence ?? this.#sequence + 1
    return { writer: this.#writer, sequence: this.#sequence, entries: [entry(ALICE, REQUESTS, 0, amount)] }
  }

  async recorded(): Promise<string> {
    const [line] = await this.ledger.statement()
    return formatAmount(line?.recorded ?? 0n)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.ledger.close()
    this.folder[Symbol.dispose]()
  }
}

test('usage is taken as long as the spool can be read, and the disk that counts is its own', async () => {
  await using world = new World()
  const ledger = await world.open()
  world.fault = 'away'
  await ledger.ping()
  assert.equal(ledger.folder, dirname(world.folder.file('spool.db')))
  world.fault = 'none'
  await ledger.close()
})

test('usage goes on to the ledger', async () => {
  await using world = new World()
  const ledger = await world.open()
  await ledger.append(world.batch(5))
  await ledger.append(world.batch(7))
  await ledger.close()
  assert.equal(await world.recorded(), '12')
})

test('while the ledger is away usage is acknowledged, and goes on later in its order', async () => {
  await using world = new World()
  world.fault = 'away'
  const ledger = await world.open()
  await ledger.append(world.batch(5))
  await ledger.append(world.batch(7))
  world.fault = 'none'
  assert.equal(await world.recorded(), '0')
  // Whatever closes the hour brings it in before.
  const { records } = await ledger.closeHours(closeOptions(closing(0)))
  assert.deepEqual([records, await world.recorded()], [1, '12'])
  await ledger.close()
})

test('what a process left that died goes on with the next that opens the spool', async () => {
  await using world = new World()
  world.fault = 'away'
  const dead = await world.open()
  await dead.append(world.batch(5))
  world.fault = 'none'
  const next = await world.open()
  await next.append(world.batch(2))
  await next.close()
  assert.equal(await world.recorded(), '7')
})

test('what the ledger took without an answer counts once', async () => {
  await using world = new World()
  const ledger = await world.open()
  world.fault = 'answer lost'
  const batch = world.batch(5)
  await ledger.append(batch)
  await ledger.append(batch)
  await ledger.append(world.batch(2))
  world.fault = 'none'
  await ledger.close()
  assert.equal(await world.recorded(), '7')
})

test('an hour is not closed while usage of it cannot be brought in', async () => {
  await using world = new World()
  const ledger = await world.open()
  world.fault = 'away'
  await ledger.append(world.batch(5))
  await assert.rejects(ledger.closeHours(closeOptions(closing(0))), { code: 'ERR_LEDGER_IO' })
  await ledger.close()
})

test('an agreement does not end without the usage of it that waits', async () => {
  await using world = new World()
  world.fault = 'away'
  const ledger = await world.open()
  await ledger.append(world.batch(5))
  const finalize = () => ledger.finalize(ALICE, { ...closeOptions(hour(0) + MINUTE), endedAt: hour(0) + MINUTE })
  await assert.rejects(finalize(), { code: 'ERR_LEDGER_IO' })
  world.fault = 'none'
  assert.equal((await finalize()).records, 1)
  assert.deepEqual(
    (await world.ledger.records()).map(({ quantity }) => quantity),
    [5],
  )
  await ledger.close()
})

test('what waits is tried again by itself', async t => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  await using world = new World()
  world.fault = 'away'
  const ledger = await world.open()
  for (let attempts = 1; attempts <= 3; attempts += 1) {
    await ledger.append(world.batch(attempts))
    await nextTurn()
    t.mock.timers.tick(5000)
    await nextTurn()
  }
  world.fault = 'none'
  t.mock.timers.tick(5000)
  await nextTurn()
  assert.equal(await world.recorded(), '6')
  await ledger.close()
})

test("a ledger's own methods are called on it", async () => {
  await using world = new World()
  const ledger = spooled(world.ledger, { path: world.folder.file('spool.db') })
  await ledger.register(DIMENSIONS)
  assert.deepEqual(await ledger.records(), [])
  await ledger.close()
})

/** The ledger as it was, under the name that it has. */
async function lose(world: World, lost: () => Promise<unknown>): Promise<void> {
  const backup = world.folder.file('backup.db')
  await world.ledger.backup(backup)
  await lost()
  await world.ledger.close()
  for (const end of ['', '-wal', '-shm']) rmSync(world.folder.file(`ledger.db${end}`), { force: true })
  copyFileSync(backup, world.folder.file('ledger.db'))
  world.ledger = new SqliteLedger({ path: world.folder.file('ledger.db') })
}

const lossesOf = async ({ ledger }: World) =>
  (await ledger.audit({ actions: ['lost'] })).map(({ detail }) => detail?.replace(/writer \S+ /, ''))

test('what a ledger has lost goes there again, also of writers before, and no hour is closed', async () => {
  await using world = new World()
  const before = await world.open()
  await before.append(world.batch(1))
  await before.close()
  const ledger = await world.open()
  const other = { ...world.batch(4), writer: 'f'.repeat(32), sequence: 1 }
  await lose(world, async () => {
    await ledger.append(world.batch(2, 2))
    await ledger.append(other)
    await ledger.close()
  })
  const next = await world.open()
  assert.deepEqual(await next.closeHours(closeOptions(closing(0))), { records: 0, held: [] })
  assert.equal(await world.recorded(), '7')
  assert.deepEqual(await lossesOf(world), [
    'has brought in again 1 of the 1 batches that it missed from 2 on',
    'has brought in again 1 of the 1 batches that it missed from 1 on',
    'misses its batches from 2 on, 1 in all; 1 of them were kept and are brought in again',
    'misses its batches from 1 on, 1 in all; 1 of them were kept and are brought in again',
  ])
  await next.append(world.batch(8, 3))
  await next.close()
  assert.equal(await world.recorded(), '15')
})

test('what comes in again only after the ledger was declared restored is told again, also by the next process', async () => {
  await using world = new World()
  const ledger = await world.open()
  await lose(world, async () => {
    await ledger.append(world.batch(7))
    await ledger.close()
  })
  world.fault = 'takes nothing'
  const found = await world.open()
  await assert.rejects(found.closeHours(closeOptions(closing(0))), { code: 'ERR_LEDGER_IO' })
  await found.close()
  await world.ledger.declareRestored({ who: 'ops', why: 'a failover', now: hour(1) })
  world.fault = 'none'
  const next = await world.open()
  // The lost ledger may have billed it.
  assert.deepEqual(await next.closeHours(closeOptions(closing(1))), { records: 0, held: [] })
  assert.equal(await world.recorded(), '7')
  await next.close()
  await world.ledger.declareRestored({ who: 'ops', why: 'once more', now: closing(1) })
  const after = await world.open()
  await after.closeHours(closeOptions(closing(2)))
  await after.close()
  assert.deepEqual(
    (await world.ledger.records()).map(({ state, reason }) => [state, reason]),
    [['held', 'restored']],
  )
})

test('a ledger that has lost batches which are not here gets what follows, under keys of their own, told once', async () => {
  await using world = new World()
  const ledger = await world.open()
  // Never brought into the ledger, as if a failover had taken it back.
  world.batch(5)
  for (const amount of [7, 2]) await ledger.append(world.batch(amount))
  await ledger.close()
  const next = await world.open()
  for (const amount of [3, 4]) await next.append(world.batch(amount))
  await next.close()
  assert.equal(await world.recorded(), '16')
  assert.deepEqual(await lossesOf(world), [
    'misses its batches from 1 on, 1 in all; 0 of them were kept and are brought in again',
  ])
})

test('two processes with one spool give a batch that the ledger misses something before one new key', async () => {
  await using world = new World()
  world.fault = 'away'
  const [one, two] = [await world.open(), await world.open()]
  world.batch(1)
  for (const amount of [100, 20]) await one.append(world.batch(amount))
  world.fault = 'none'
  for (let first = 0; first < 2; first += 1) {
    const both = [one, two].map(ledger => ledger.closeHours(closeOptions(closing(0))))
    await Promise.all(both)
    await two.append(world.batch(3))
  }
  await Promise.all([one.close(), two.close()])
  assert.equal(await world.recorded(), '126')
})

test('a batch that the ledger refuses for good is set aside in sight, and holds up no other', async () => {
  await using world = new World()
  world.fault = 'away'
  const ledger = await world.open()
  const misspelt = world.batch(7)
  const [first] = misspelt.entries
  await ledger.append({ ...misspelt, entries: [{ ...first, dimension: 'reqests' } as UsageEntry] })
  await ledger.append(world.batch(5))
  world.fault = 'none'
  await ledger.append({ ...world.batch(11, 2), writer: 'f'.repeat(32), sequence: 1 })
  assert.equal((await ledger.closeHours(closeOptions(closing(0)))).records, 1)
  assert.equal(await world.recorded(), '16')
  const [noted, ...others] = await world.ledger.audit({ actions: ['set-aside'] })
  assert.match(noted?.detail ?? '', /^batch 1 of writer \w+ \(7 of reqests\) is set aside in the spool .*spool\.db$/)
  assert.deepEqual([others.length, await world.ledger.audit({ actions: ['lost'] })], [0, []])

  const file = new SpoolFile(world.folder.file('spool.db'))
  assert.deepEqual(
    file.refused().map(({ refusal }) => refusal),
    ['Expected a registered dimension, got "reqests".'],
  )
  await world.ledger.register([{ ...(DIMENSIONS[0] as Dimension), name: 'reqests' }])
  assert.equal(file.retry(), 1)
  await ledger.append(world.batch(1))
  await ledger.closeHours(closeOptions(closing(0)))
  assert.deepEqual([file.refused(), file.waiting()], [[], 0])
  const lines = await world.ledger.statement()
  assert.deepEqual(lines.map(({ recorded }) => formatAmount(recorded)).sort(), ['17', '7'])
  file.close()
  await ledger.close()
})

test('a spool that cannot be written says so', async () => {
  await using world = new World()
  assert.throws(() => spooled(world.ledger, { path: world.folder.file('missing/spool.db') }), {
    code: 'ERR_LEDGER_IO',
    message: /cannot open the spool .*missing\/spool\.db/,
  })
})

test('a spool whose file was deleted takes nothing more, and brings in what it has', async () => {
  await using world = new World()
  world.fault = 'away'
  const ledger = await world.open()
  await ledger.append(world.batch(1))
  for (const end of ['', '-wal', '-shm']) rmSync(world.folder.file(`spool.db${end}`))
  await assert.rejects(ledger.append(world.batch(2)), { code: 'ERR_LEDGER_REPLACED' })
  await assert.rejects(ledger.ping(), { code: 'ERR_LEDGER_REPLACED' })
  world.fault = 'none'
  await ledger.closeHours(closeOptions(closing(0)))
  assert.equal(await world.recorded(), '1')
  await ledger.close()
})
