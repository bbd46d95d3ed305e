import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { rmSync } from 'node:fs'
import { dirname } from 'node:path'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { spooled } from '../../src/ledger/clients/spool.ts'
import { LedgerError } from '../../src/ledger/errors.ts'
import { MINUTE } from '../../src/ledger/hours.ts'
import type { Ledger, UsageBatch } from '../../src/ledger/ledger.ts'
import { SqliteLedger } from '../../src/ledger/sqlite/ledger.ts'
import { formatAmount } from '../../src/usage/amount.ts'
import { ALICE, closeOptions, closing, DIMENSIONS, entry, hour, REQUESTS } from './scene.ts'
import { TemporaryFolder } from './sqlite-under-test.ts'

/** A ledger that can be away, or lose its answers, and spools before it. */
class World implements AsyncDisposable {
  readonly folder = new TemporaryFolder()
  readonly ledger = new SqliteLedger({ path: this.folder.file('ledger.db') })
  fault: 'none' | 'away' | 'answer lost' = 'none'
  readonly #away: Ledger = new Proxy<Ledger>(this.ledger, {
    get: (_, name: keyof Ledger) => {
      // Its owner closes it.
      if (name === 'close') return async () => {}
      if (typeof this.ledger[name] !== 'function') return undefined
      return async (...given: never[]) => {
        if (this.fault === 'away') throw new LedgerError('ERR_LEDGER_IO', 'the database is away')
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

  batch(amount: number): UsageBatch {
    this.#sequence += 1
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

test('a ledger that has lost batches gets what follows, under keys of its own', async () => {
  await using world = new World()
  const ledger = await world.open()
  // Never brought into the ledger, as if a failover had taken it back.
  world.batch(5)
  await ledger.append(world.batch(7))
  await ledger.append(world.batch(2))
  await ledger.close()
  assert.equal(await world.recorded(), '9')
  const noted = await world.ledger.audit({ actions: ['set-aside'] })
  assert.ok(noted.length > 0 && noted.every(({ detail }) => detail?.endsWith('goes under another key')))
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
