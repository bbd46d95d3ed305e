import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import {
  type AttributeValue,
  type BatchGetItemCommandInput,
  CreateTableCommand,
  DeleteItemCommand,
  DescribeTableCommand,
  type DescribeTableCommandOutput,
  DescribeTimeToLiveCommand,
  type DynamoDBClient,
  GetItemCommand,
  type GetItemCommandInput,
  PutItemCommand,
  QueryCommand,
  type QueryCommandInput,
  ScanCommand,
} from '@aws-sdk/client-dynamodb'
import { LedgerClock } from '../../../src/ledger/clients/clock.ts'
import { Accounts } from '../../../src/ledger/dynamodb/accounts.ts'
import { change } from '../../../src/ledger/dynamodb/change.ts'
import { loadSdk } from '../../../src/ledger/dynamodb/client.ts'
import { EngineClock } from '../../../src/ledger/dynamodb/clock.ts'
import type { Database } from '../../../src/ledger/dynamodb/database.ts'
import { Dimensions } from '../../../src/ledger/dynamodb/dimensions.ts'
import { createLedgerTable, DynamoDBLedger } from '../../../src/ledger/dynamodb/ledger.ts'
import { deleteLeft } from '../../../src/ledger/dynamodb/left-bodies.ts'
import { pack, unpack } from '../../../src/ledger/dynamodb/packed-json.ts'
import type { Shard } from '../../../src/ledger/dynamodb/shard.ts'
import { Table } from '../../../src/ledger/dynamodb/table.ts'
import { LedgerError } from '../../../src/ledger/errors.ts'
import { HOUR, MINUTE } from '../../../src/ledger/hours.ts'
import type { Ledger, MeteringRecord, RecordEntry, StatementLine, UsageBatch } from '../../../src/ledger/ledger.ts'
import type { Account } from '../../../src/usage/account.ts'
import {
  ALICE,
  BOB,
  BY,
  closeOptions,
  closing,
  DIMENSIONS,
  entry,
  GPU,
  GUARDED,
  hour,
  METERED,
  NOBODY,
  REFUSED,
  REQUESTS,
  TOKENS,
  UNIT,
} from '../scene.ts'
import {
  ALL,
  Connection,
  dieEverywhere,
  disturb,
  fail,
  failCommand,
  LOSSES,
  later,
  loseAnswers,
  pageByPage,
  SleepyClient,
  seeded,
  serviceError,
} from './faults.ts'
import {
  BATCHES,
  type Books,
  begin,
  claimAll,
  customers,
  live,
  micros,
  point,
  read,
  SOURCES,
  settleAll,
} from './life.ts'
import { DynamoDBLocal, withoutJava } from './server.ts'

/** Of the requests at which a process sleeps, each so many-th is tried. */
const EACH = ALL ? 1 : 19

if (withoutJava) {
  test('a ledger that many processes share, on DynamoDB', { skip: withoutJava })
} else {
  const server = await DynamoDBLocal.shared()
  after(() => server[Symbol.asyncDispose]())
  const healthy = server.client()
  const open = async (tableName: string, client: DynamoDBClient = healthy, now?: () => number) =>
    await DynamoDBLedger.open({ tableName, client, ...(now && { now }) })
  const made = async (): Promise<DynamoDBLedger> => await open(await server.table(healthy))

  /** What a ledger says after this when nothing goes wrong. */
  const booksAfter = async (work: (ledger: Ledger) => Promise<unknown>): Promise<Books> => {
    const ledger = await made()
    await work(ledger)
    return await read(ledger)
  }

  const sdk = await loadSdk()
  const databaseOf = (tableName: string, client: DynamoDBClient) => {
    const clock = new EngineClock()
    const table = new Table({ sdk, client, name: tableName, clock, retryTimeout: 1000 })
    return { client, table, clock, accounts: new Accounts(table), dimensions: new Dimensions(table) }
  }

  describe('processes that die or sleep', { concurrency: 4 }, () => {
    const close = (ledger: Ledger) => ledger.closeHours(closeOptions(closing(1)))
    /** Usage that comes when somebody else has closed the first hours. */
    const goOn = async (ledger: Ledger) => {
      const entries = customers.map(one => entry(one, REQUESTS, 2, 2))
      await ledger.append({ writer: 'c'.repeat(32), sequence: 1, entries, observations: [point('known', 130, 17)] })
      await ledger.closeHours(closeOptions(closing(2)))
    }
    let books: Promise<Books> | undefined
    const closed = () => {
      books ??= booksAfter(async ledger => {
        await begin(ledger)
        await close(ledger)
        await goOn(ledger)
      })
      return books
    }

    test('the books of it are what the batches say', async () => {
      const { lines, records } = await closed()
      const recorded = (key: string, dimension: string) =>
        lines.find(({ account, dimension: { name } }) => account.key === key && name === dimension)?.recorded
      assert.equal(records.length, 20 + 3 + 20 + 1)
      assert.equal(recorded(ALICE.key, 'requests'), (3n + 17n + 6n + 300n + 300n) * UNIT)
      assert.equal(recorded(ALICE.key, 'gpu'), 4120n * UNIT)
      assert.equal(recorded(NOBODY.key, 'requests'), 5n * UNIT)
    })

    test('asleep at any request, while others close the next hour: what it does when it wakes changes nothing', async () => {
      const expected = await closed()
      const begun = await server.itemsAfter(begin)
      let slept = true
      for (let request = 1; slept; request += EACH) {
        const tableName = await server.tableOf(healthy, begun)
        const other = await open(tableName, healthy, later)
        const sleepy = new SleepyClient(server.client(), request)
        const closing = open(tableName, sleepy.client).then(close)
        slept = await Promise.race([sleepy.asleep.then(() => true), closing.then(() => false)])
        await goOn(other)
        sleepy.wake()
        await closing
        assert.deepEqual(await read(other), expected, `it slept at request ${request}`)
      }
    })

    for (const loss of LOSSES) {
      test(`while hours are closed, with the ${loss} lost: another does it again, with the same result`, async () => {
        const expected = await closed()
        const writes = await dieEverywhere(server, loss, begin, close, async (other, write) => {
          await goOn(other)
          assert.deepEqual(await read(other), expected, `it died at write ${write}`)
        })
        assert.ok(writes >= 11, `${writes} writes`)
      })

      test(`while a batch is appended, with the ${loss} lost: it is appended again`, async () => {
        const [batch] = BATCHES as [UsageBatch]
        await dieEverywhere(
          server,
          loss,
          other => other.register(DIMENSIONS),
          mortal => mortal.append(batch),
          async other => {
            await other.append(batch)
            await assert.rejects(other.append({ ...batch, entries: [] }), { code: 'ERR_LEDGER_KEY_REUSED' })
            const lines = await other.statement()
            assert.deepEqual(
              lines.map(({ recorded }) => recorded / UNIT).sort(),
              customers.map((_, n) => BigInt(n + 1)).sort(),
            )
          },
        )
      })

      test(`while many records are decided, with the ${loss} lost: each is decided once`, async () => {
        const hours = [0, 1, 2, 3, 4]
        const prepare = async (ledger: Ledger) => {
          await ledger.register(DIMENSIONS)
          for (const n of hours) {
            const entries = customers.map(one => entry(one, GUARDED, n, 101))
            await ledger.append({ writer: '7'.repeat(32), sequence: n + 1, entries })
            await ledger.closeHours(closeOptions(closing(n)))
          }
        }
        const decide = async (ledger: Ledger) => {
          const held = await ledger.records({ state: 'held', limit: 1000 })
          return await ledger.decideAll(
            held.map(({ id, hour: at }) => ({ recordId: id, decision: at === hour(0) ? 'release' : 'write-off' })),
            BY,
          )
        }
        const writes = await dieEverywhere(server, loss, prepare, decide, async (other, write) => {
          const results = await decide(other)
          assert.ok(results.every(({ error }) => error === undefined))
          if (loss === 'answer')
            assert.ok(results.length < customers.length * hours.length, `it died at write ${write}`)
          const lines = await other.statement()
          assert.ok(lines.every(line => line.recorded === 101n * UNIT && line.balance === line.recorded))
          const entries = await other.audit({ actions: ['release', 'write-off'], limit: 1000 })
          assert.equal(new Set(entries.map(({ recordId }) => recordId)).size, entries.length)
          assert.equal(entries.length, customers.length * hours.length)
        })
        assert.ok(writes > 0)
      })

      test(`while records are sent, with the ${loss} lost: each is billed once`, async () => {
        const billed = new Map<string, number>()
        const send = async (ledger: Ledger, now: number) => {
          const records = await claimAll(ledger, now)
          // AWS takes a record that is sent again as the same.
          for (const { id, quantity } of records) billed.set(id, quantity)
          await settleAll(ledger, records, () => METERED, now)
        }
        const prepare = async (other: Ledger) => {
          await other.register(DIMENSIONS)
          await other.append({
            writer: 'c'.repeat(32),
            sequence: 1,
            entries: customers.map(one => entry(one, REQUESTS, 0, 3)),
          })
          await close(other)
        }
        await dieEverywhere(
          server,
          loss,
          prepare,
          mortal => {
            billed.clear()
            return send(mortal, closing(1))
          },
          async other => {
            await send(other, closing(1) + MINUTE)
            assert.deepEqual(
              [...billed.values()],
              customers.map(() => 3),
            )
            for (const line of await other.statement()) assert.equal(line.metered, 3n * UNIT)
          },
        )
      })
    }
  })

  describe('bodies without a key, of a process that died between the two or sleeps', { concurrency: 4 }, () => {
    const W = '4'.repeat(32)
    /** So many that its body is an item of its own. */
    const batch = (sequence: number): UsageBatch => {
      const entries = Array.from({ length: 400 }, (_, n) =>
        entry({ ...ALICE, key: `prod-1,${n}`, accountId: `${n}` }, REQUESTS, 0, 1 + ((n * n * 7919) % 100_003)),
      )
      return { writer: W, sequence, entries }
    }
    const amount = batch(1).entries.reduce((sum, { amount }) => sum + amount, 0n)
    const bodiesIn = async (tableName: string) => {
      const filter = {
        FilterExpression: 'begins_with(pk, :pk)',
        ExpressionAttributeValues: { ':pk': { S: 'bodies#' } },
      }
      return (await healthy.send(new ScanCommand({ TableName: tableName, ...filter }))).Items?.length
    }
    /** Days go by, and others use the ledger. */
    const prepared = async () => {
      const tableName = await server.table(healthy)
      let [days, sequence] = [0, 1]
      const now = () => Date.now() + days * 24 * HOUR
      const other = await open(tableName, healthy, now)
      await other.register(DIMENSIONS)
      await other.append({ writer: '5'.repeat(32), sequence: 1, entries: [entry(BOB, REQUESTS, 0, 1)] })
      const daysLater = async (more: number) => {
        days += more
        sequence += 1
        const entries = [entry(BOB, REQUESTS, days * 24, 1)]
        await other.append({ writer: '5'.repeat(32), sequence, entries })
        await other.closeHours(closeOptions(closing(days * 24)))
        await other.forget(closing(days * 24))
      }
      return { tableName, other, daysLater }
    }
    const daysAhead = (days: number, database: Database): Database => {
      return { ...database, clock: new EngineClock(() => Date.now() + days * 24 * HOUR) }
    }
    const recordedOf = async (ledger: Ledger) =>
      (await ledger.statement()).reduce(
        (sum, { account, recorded }) => sum + (account.key === BOB.key ? 0n : recorded),
        0n,
      )

    test('they are deleted after two days, and what was acknowledged is there', async () => {
      const { tableName, other, daysLater } = await prepared()
      const client = server.client()
      const mortal = await open(tableName, client)
      await mortal.append(batch(1))
      failCommand(client, 'TransactWriteItemsCommand', [serviceError('AccessDeniedException', 400)])
      await assert.rejects(mortal.append(batch(2)))
      await daysLater(1)
      assert.equal(await bodiesIn(tableName), 2, 'its note and one body')
      await daysLater(1)
      assert.equal(await bodiesIn(tableName), 0)
      assert.equal(await other.lastOf(W), 1)
      assert.equal(await recordedOf(other), amount)
      // Who brings it again is not refused, also with other content: it was never acknowledged.
      const { entries } = batch(2)
      await other.append({ writer: W, sequence: 2, entries: entries.slice(1) })
      await daysLater(1)
      assert.equal(await recordedOf(other), 2n * amount - (entries[0]?.amount ?? 0n))
      assert.equal(await other.lastOf(W), 2)
    })

    test('its writer wakes before its key is written, at any request: the batch is there once, and whole', async () => {
      // Before that it only opens the ledger.
      for (let [request, slept] = [3, true]; slept; request += ALL ? 1 : 2) {
        const { tableName, other } = await prepared()
        const sleepy = new SleepyClient(server.client(), request)
        const appending = open(tableName, sleepy.client).then(ledger => ledger.append(batch(1)))
        slept = await Promise.race([sleepy.asleep.then(() => true), appending.then(() => false)])
        await deleteLeft(daysAhead(3, databaseOf(tableName, healthy)))
        sleepy.wake()
        await appending
        await other.append(batch(1))
        assert.equal(await recordedOf(other), amount, `it slept at request ${request}`)
        assert.equal(await other.lastOf(W), 1)
        await other.closeHours(closeOptions(closing(0)))
        await deleteLeft(daysAhead(3, databaseOf(tableName, healthy)))
        assert.equal(await recordedOf(other), amount)
        assert.equal(await bodiesIn(tableName), 0)
      }
    })

    test('its writer wakes while they are deleted: the batch is there once, and whole', async () => {
      for (let [request, slept] = [1, true]; slept; request += 1) {
        const { tableName, other } = await prepared()
        const client = server.client()
        failCommand(client, 'TransactWriteItemsCommand', [serviceError('AccessDeniedException', 400)])
        const mortal = await open(tableName, client)
        await mortal.append(batch(1)).catch(() => {})
        const database = databaseOf(tableName, server.client())
        const sleepy = new SleepyClient(database.client, request)
        const deleting = deleteLeft(daysAhead(3, database))
        slept = await Promise.race([sleepy.asleep.then(() => true), deleting.then(() => false)])
        await mortal.append(batch(1))
        sleepy.wake()
        await deleting
        await other.closeHours(closeOptions(closing(0)))
        assert.equal(await recordedOf(other), amount, `it slept at request ${request}`)
      }
    })

    test('what was acknowledged and that nobody has folded for days stays', async () => {
      const { tableName, other } = await prepared()
      await other.append(batch(1))
      await deleteLeft(daysAhead(9, databaseOf(tableName, healthy)))
      assert.equal(await bodiesIn(tableName), 2)
      assert.equal(await recordedOf(other), amount)
    })
  })

  describe('processes at once', { concurrency: 4 }, () => {
    test('that append and close lose nothing and count nothing twice', async () => {
      const tableName = await server.table(healthy)
      const ledgers = await Promise.all([1, 2, 3, 4].map(() => open(tableName)))
      await ledgers[0]?.register(DIMENSIONS)
      await Promise.all(
        ledgers.map(async (ledger, n) => {
          for (let sequence = 1; sequence <= 12; sequence += 1) {
            const entries = customers.map(one => entry(one, REQUESTS, Math.floor(sequence / 4), n + 1))
            await ledger.append({ writer: String(n).repeat(32), sequence, entries })
            if (sequence % 3 === 0) await ledger.closeHours(closeOptions(closing(sequence / 3 - 1)))
          }
        }),
      )
      await ledgers[0]?.closeHours(closeOptions(closing(9)))
      const lines = (await ledgers[1]?.statement()) ?? []
      assert.equal(lines.length, 20)
      for (const { recorded, pending } of lines) assert.deepEqual([recorded, pending], [120n * UNIT, 120n * UNIT])
    })

    test('that close the same hour: one reads the journal, the others look until it is done', async () => {
      const tableName = await server.table(healthy)
      await begin(await open(tableName))
      const client = server.client()
      const reads = keysRead(client)
      const ledgers = await Promise.all([1, 2, 3, 4, 5, 6].map(() => open(tableName, client)))
      const results = await Promise.all(ledgers.map(ledger => ledger.closeHours(closeOptions(closing(1)))))
      assert.equal(reads.filter(key => key === 'journal').length, 1)
      assert.deepEqual(
        results
          .map(({ records }) => records)
          .sort()
          .slice(0, 5),
        [0, 0, 0, 0, 0],
      )
      for (const ledger of ledgers) assert.equal((await ledger.status()).closedThrough, hour(1))
      const all = await Promise.all(ledgers.map(read))
      for (const books of all) assert.deepEqual(books, all[0])
    })

    test('of which one sleeps while it folds: it is waited for, but no longer than it says', async () => {
      const tableName = await server.table(healthy)
      const other = server.client()
      const looks = keysRead(other)
      let ahead = 0
      const waiting = await open(tableName, other, () => Date.now() + ahead)
      await begin(waiting)
      // It has the lease, and reads the journal next.
      const sleepy = new SleepyClient(server.client(), 5)
      const closing1 = open(tableName, sleepy.client).then(ledger => ledger.closeHours(closeOptions(closing(1))))
      await sleepy.asleep
      looks.length = 0
      const closed = waiting.closeHours(closeOptions(closing(1)))
      const looked = (times: number) => looks.filter(key => key === 'ledger lease').length >= times
      while (!looked(3)) await setImmediate()
      assert.ok(!looks.includes('journal'))
      ahead = MINUTE
      assert.ok((await closed).records > 0)
      sleepy.wake()
      assert.equal((await closing1).records, 0)
    })

    test('one that closes an hour while others append: no batch comes before those that it comes after', async () => {
      const tableName = await server.table(healthy)
      const other = await open(tableName)
      await other.register(DIMENSIONS)
      const append = (writer: string, sequence: number, account: Account) =>
        other.append({ writer: writer.repeat(32), sequence, entries: [entry(account, REQUESTS, 0, 1)] })
      await append('1', 1, ALICE)
      const client = server.client()
      // The first is in a part of the journal that was looked at already, the second in one that was not.
      pageByPage(client, 'journal', 1, async () => {
        await append('0', 1, ALICE)
        await append('0', 2, NOBODY)
      })
      await (await open(tableName, client)).closeHours(closeOptions(closing(0)))
      await other.closeHours(closeOptions(closing(1)))
      const recorded = (await other.statement()).map(line => [line.account.key, line.recorded])
      assert.deepEqual(recorded, [
        [ALICE.key, 2n * UNIT],
        [NOBODY.key, 1n * UNIT],
      ])
    })

    test('that send claim no record twice, and bill each once', async () => {
      const tableName = await server.table(healthy)
      const ledgers = await Promise.all([1, 2, 3, 4].map(() => open(tableName)))
      const [first] = ledgers as [DynamoDBLedger]
      await begin(first)
      const { records } = await first.closeHours(closeOptions(closing(1)))
      const now = closing(1)
      const claimed: string[] = []
      await Promise.all(
        ledgers.map(async ledger => {
          for (let some = true; some; ) {
            some = false
            for (const lane of (await ledger.due(now)).lanes) {
              const batch = await ledger.claim(lane, { now, limit: 5, claimedUntil: now + MINUTE })
              some ||= batch.length > 0
              claimed.push(...batch.map(({ id }) => id))
              await settleAll(ledger, batch, () => METERED, now)
            }
          }
        }),
      )
      assert.equal(claimed.length, records)
      assert.equal(new Set(claimed).size, records)
      const lines = await first.statement()
      assert.ok(lines.every(({ pending, held }) => pending === 0n && held === 0n))
    })

    test('that are the same one, cloned: the same key with other entries is refused, also after it is folded', async () => {
      const tableName = await server.table(healthy)
      const [one, clone] = [await open(tableName), await open(tableName)]
      await one.register(DIMENSIONS)
      const batch = (sequence: number, amount: number): UsageBatch => {
        return { writer: 'd'.repeat(32), sequence, entries: [entry(ALICE, REQUESTS, 0, amount)] }
      }
      for (const ledger of [one, clone]) await ledger.append(batch(1, 1))
      await one.append(batch(2, 2))
      await one.closeHours(closeOptions(closing(0)))
      await assert.rejects(clone.append(batch(2, 3)), { code: 'ERR_LEDGER_KEY_REUSED' })
      await clone.append(batch(2, 2))
      await clone.append(batch(3, 4))
      assert.equal((await clone.statement())[0]?.recorded, 7n * UNIT)
    })
  })

  describe('faults that pass', { concurrency: 4 }, () => {
    test('throttling, errors and lost answers: a life among them ends as one without', async () => {
      const expected = await booksAfter(live)
      for (const seed of [1, 2]) {
        const client = server.client()
        const count = disturb(client, seeded(seed), 0.2)
        const ledger = await open(await server.table(healthy), client)
        await live(ledger)
        assert.deepEqual(await read(ledger), expected, `seed ${seed}`)
        assert.ok(count.faults > 20, `${count.faults} faults`)
      }
    })

    for (const [error, code] of [
      [serviceError('ThrottlingException', 400), 'ERR_LEDGER_BUSY'],
      [serviceError('InternalServerError', 500), 'ERR_LEDGER_IO'],
      [Object.assign(new Error('connect'), { code: 'ECONNREFUSED' }), 'ERR_LEDGER_IO'],
    ] as const) {
      test(`${error.message} without an end is given up within the timeout, and said so`, async () => {
        const client = server.client()
        const tableName = await server.table(healthy)
        const ledger = await DynamoDBLedger.open({ tableName, client, retryTimeout: 200 })
        await ledger.register(DIMENSIONS)
        const failing = fail(client, error)
        await assert.rejects(ledger.append(BATCHES[0] as UsageBatch), { code })
        assert.ok(failing.requests > 2, `${failing.requests} tries`)
        failing.over = true
        await ledger.append(BATCHES[0] as UsageBatch)
        assert.equal((await ledger.statement()).length, 20)
      })
    }

    test('a decision whose answer is lost is made once', async () => {
      const client = server.client()
      const ledger = await open(await server.table(healthy), client)
      await begin(ledger)
      await ledger.closeHours(closeOptions(closing(1)))
      const refuse = { type: 'refused' } as const
      await settleAll(ledger, await claimAll(ledger, closing(1)), () => refuse, closing(1))
      const [held] = await ledger.records({ state: 'held' })
      const losing = loseAnswers(client, 'TransactWriteItemsCommand')
      await ledger.decide(held?.id ?? '', 'release', BY)
      await ledger.attribute(NOBODY.key, REQUESTS.name, ALICE, BY)
      await ledger.writeOff(customers[3]?.key ?? '', TOKENS.name, BY)
      await ledger.append({ writer: '5'.repeat(32), sequence: 1, entries: [entry(ALICE, REQUESTS, 2, 1)] })
      assert.equal(losing.lost, 4)
      const actions = (await ledger.audit()).map(({ action }) => action)
      assert.deepEqual(actions.filter(action => ['release', 'attribute', 'write-off'].includes(action)).sort(), [
        'attribute',
        'release',
        'write-off',
      ])
    })

    test('what does not pass is not tried again', async () => {
      const client = server.client()
      const ledger = await open(await server.table(healthy), client)
      const failing = fail(client, serviceError('AccessDeniedException', 400))
      await assert.rejects(ledger.status(), { code: 'ERR_LEDGER_IO' })
      assert.ok(failing.requests <= 4)
    })
  })

  describe('sizes', { concurrency: 4 }, () => {
    test('a batch of 50,000 series', async () => {
      const ledger = await made()
      await ledger.register(DIMENSIONS)
      const random = seeded(5)
      const entries = Array.from({ length: 50_000 }, (_, n) => {
        const account = { ...ALICE, key: `prod-1,${n}`, accountId: String(n) }
        return entry(account, TOKENS, 0, BigInt(Math.floor(random() * 2 ** 52)) * 512n + BigInt(n))
      })
      const batch = { writer: 'e'.repeat(32), sequence: 1, entries }
      await ledger.append(batch)
      await ledger.append(batch)
      const lines = await ledger.statement()
      assert.equal(lines.length, 50_000)
      const sum = (amounts: readonly bigint[]) => amounts.reduce((total, amount) => total + amount, 0n)
      assert.equal(sum(lines.map(({ recorded }) => recorded)), sum(entries.map(({ amount }) => amount)))
    })

    test('bodies of several items, from several writers, are folded and deleted', async () => {
      const ledger = await made()
      await ledger.register(DIMENSIONS)
      const random = seeded(6)
      const total = { amount: 0n }
      for (const writer of ['1', '2']) {
        for (const sequence of [1, 2]) {
          const entries = Array.from({ length: 200 }, (_, n) => n).flatMap(n =>
            [REQUESTS, TOKENS].flatMap(dimension =>
              customers.map(one => entry(one, dimension, n, BigInt(Math.floor(random() * 2 ** 52)) * 99_999n + 1n)),
            ),
          )
          for (const { amount } of entries) total.amount += amount
          await ledger.append({ writer: writer.repeat(32), sequence, entries })
        }
      }
      // It folds.
      await assert.rejects(ledger.writeOff('nobody', 'requests', BY), { code: 'ERR_LEDGER_NOT_FOUND' })
      const lines = await ledger.statement()
      assert.equal(
        lines.reduce((sum, { recorded }) => sum + recorded, 0n),
        total.amount,
      )
    })

    test('so many counters that their states are divided, twice told', async () => {
      const ledger = await made()
      await ledger.register(DIMENSIONS, SOURCES)
      const stream = { target: '0'.repeat(12), metric: '', attributes: '{}' }
      let sequence = 0
      const tell = async (minute: number, value: number, kind: 'cumulative' | 'delta') => {
        sequence += 1
        // Of one stream: how many have one each is seen below.
        const observations = Array.from({ length: 5000 }, (_, n) =>
          point(`${kind} ${n}`, minute, value + n, {
            kind,
            stream: { ...stream, key: (kind === 'delta' ? 'd' : 'c').repeat(32) },
          }),
        )
        await ledger.append({ writer: 'f'.repeat(32), sequence, entries: [], observations })
        return (await ledger.statement())[0]?.recorded ?? 0n
      }
      const each = (value: number) => 5000n * BigInt(value) * UNIT + (4999n * 5000n * UNIT) / 2n
      const first = await tell(1, 10, 'cumulative')
      assert.equal(first, each(10))
      assert.equal(await tell(1, 10, 'cumulative'), first)
      assert.equal(await tell(2, 17, 'cumulative'), first + 35_000n * UNIT)
      const deltas = await tell(3, 4, 'delta')
      assert.equal(deltas, first + 35_000n * UNIT + each(4))
      assert.equal(await tell(3, 4, 'delta'), deltas)
    })

    test('so many new counters at once that no item has room for what they come to', async () => {
      const ledger = await made()
      await ledger.register(DIMENSIONS, SOURCES)
      const random = seeded(8)
      const accounts = Array.from({ length: 2000 }, (_, n) => ({ ...ALICE, key: `${n}`, accountId: `${n}` }))
      for (let sequence = 1; sequence <= 40; sequence += 1) {
        const observations = accounts.map((account, n) => {
          const value = sequence * 1e6 + Math.floor(random() * 1e6)
          return point(account.key, sequence * 60, value, { account, start: micros(55) + n })
        })
        await ledger.append({ writer: 'f'.repeat(32), sequence, entries: [], observations })
      }
      const lines = await ledger.statement()
      assert.equal(lines.length, 2000)
      assert.ok(lines.every(({ recorded }) => recorded >= 40_000_000n * UNIT && recorded < 41_000_000n * UNIT))
    })

    test('one counter with so many points at once, and nothing to divide it by', async () => {
      const ledger = await made()
      await ledger.register(DIMENSIONS, SOURCES)
      for (const kind of ['cumulative', 'delta'] as const) {
        const observations = Array.from({ length: 5000 }, (_, n) => {
          return { ...point(kind, 1, 1 + n, { kind }), time: micros(1) + n }
        })
        await ledger.append({
          writer: (kind === 'delta' ? 'd' : 'c').repeat(32),
          sequence: 1,
          entries: [],
          observations,
        })
      }
      await ledger.closeHours(closeOptions(closing(0)))
      assert.equal((await ledger.statement())[0]?.recorded, (5000n + (5000n * 5001n) / 2n) * UNIT)
    })

    test('a thousand accounts that nobody knows, each with as much to say as there may be', async () => {
      const ledger = await made()
      await ledger.register(DIMENSIONS)
      const random = seeded(9)
      const entries = Array.from({ length: 1000 }, () => {
        const evidence = String.fromCodePoint(
          ...Array.from({ length: 256 }, () => 0x4e00 + Math.floor(random() * 20_000)),
        )
        const { product } = NOBODY
        return entry({ ...NOBODY, key: `${product},unattributed=no-customer,${evidence}`, evidence }, REQUESTS, 0, 1)
      })
      await ledger.append({ writer: '3'.repeat(32), sequence: 1, entries })
      assert.equal((await ledger.status()).unattributed[0]?.amount, 1000n * UNIT)
    })

    test('hundreds of hours that came late, of customers about whom something is decided before they are closed', async () => {
      const ledger = await made()
      await ledger.register(DIMENSIONS)
      const entries = Array.from({ length: 120 }, (_, n) => [NOBODY, ALICE, BOB].map(one => entry(one, GPU, n, 3600)))
      const late = (sequence: number) => ledger.append({ writer: '2'.repeat(32), sequence, entries: entries.flat() })
      const amount = 120n * 3600n * UNIT
      await late(1)
      assert.equal(await ledger.writeOff(NOBODY.key, GPU.name, BY), amount)
      const options = { ...closeOptions(closing(200)), endedAt: closing(200) }
      assert.equal((await ledger.finalize(BOB, options)).records, 1)
      assert.equal((await ledger.statement({ customer: BOB.key }))[0]?.pending, amount)
      await late(2)
      assert.equal(await ledger.attribute(NOBODY.key, GPU.name, BOB, BY), amount)
      await late(3)
      await ledger.declareRestored({ ...BY, now: closing(200) })
      for (const { account, recorded, held, pending, balance } of await ledger.statement()) {
        assert.equal(recorded, held + pending + balance)
        if (account.kind === 'customer') assert.equal(balance, 0n)
      }
    })

    test('a hundred hours that nobody closed', async () => {
      const ledger = await made()
      await ledger.register(DIMENSIONS)
      const entries = Array.from({ length: 100 }, (_, n) => customers.map(one => entry(one, REQUESTS, n, 1))).flat()
      await ledger.append({ writer: '9'.repeat(32), sequence: 1, entries })
      await ledger.closeHours(closeOptions(closing(99)))
      const lines = await ledger.statement()
      for (const { recorded, pending } of lines) assert.deepEqual([recorded, pending], [100n * UNIT, 100n * UNIT])
      assert.equal((await ledger.records({ customer: customers[0]?.key ?? '', limit: 1000 })).length, 23)
    })
  })

  describe('the table', () => {
    test('is made with all that protects it, once', async () => {
      const tableName = 'made-by-the-ledger'
      await createLedgerTable({ tableName, client: healthy })
      await createLedgerTable({ tableName, client: healthy })
      const { Table } = await healthy.send(new DescribeTableCommand({ TableName: tableName }))
      assert.equal(Table?.BillingModeSummary?.BillingMode, 'PAY_PER_REQUEST')
      assert.equal(Table?.DeletionProtectionEnabled, true)
      const { TimeToLiveDescription } = await healthy.send(new DescribeTimeToLiveCommand({ TableName: tableName }))
      assert.equal(TimeToLiveDescription?.AttributeName, 'expires')
      await begin(await open(tableName))
    })

    test('that is there without protection is protected', async () => {
      const tableName = await server.table(healthy)
      const protection = async () =>
        (await healthy.send(new DescribeTableCommand({ TableName: tableName }))).Table?.DeletionProtectionEnabled
      assert.equal(await protection(), false)
      await createLedgerTable({ tableName, client: healthy })
      assert.equal(await protection(), true)
    })

    test('whose backups are not ready yet is waited for', async () => {
      const client = server.client()
      const unready = [1, 2].map(() => serviceError('ContinuousBackupsUnavailableException', 400))
      failCommand(client, 'UpdateContinuousBackupsCommand', unready)
      await createLedgerTable({ tableName: 'backups-come-later', client })
      assert.equal(unready.length, 0)
    })

    test('that is not there, or has other keys, is refused', async () => {
      await assert.rejects(open('nowhere'), { code: 'ERR_LEDGER_NOT_FOUND' })
      await healthy.send(
        new CreateTableCommand({
          ...{ TableName: 'foreign', BillingMode: 'PAY_PER_REQUEST' },
          AttributeDefinitions: [{ AttributeName: 'id', AttributeType: 'S' }],
          KeySchema: [{ AttributeName: 'id', KeyType: 'HASH' }],
        }),
      )
      const message =
        "The table foreign is none of a ledger's: expected the keys pk (HASH, S) and sk (RANGE, S), got id (HASH, S). Give " +
        'the ledger a table of its own (see createLedgerTable).'
      await assert.rejects(open('foreign'), { code: 'ERR_LEDGER_FOREIGN', message })
      await assert.rejects(createLedgerTable({ tableName: 'foreign', client: healthy }), {
        code: 'ERR_LEDGER_FOREIGN',
        message,
      })
      // Who may not ask what table it is is told by its items.
      const blind = server.client()
      blind.middlewareStack.add(
        (next, { commandName }) =>
          async args => {
            if (commandName === 'DescribeTableCommand') throw serviceError('AccessDeniedException', 400)
            return await next(args)
          },
        { step: 'initialize' },
      )
      await assert.rejects(DynamoDBLedger.open({ tableName: 'foreign', client: blind }), { code: 'ERR_LEDGER_FOREIGN' })
      const tableName = await server.table(healthy)
      await DynamoDBLedger.open({ tableName, client: blind })
    })

    test('of another application whose keys have the same names is left as it is', async () => {
      const tableName = await server.table(healthy)
      await healthy.send(
        new PutItemCommand({ TableName: tableName, Item: { pk: { S: 'user#1' }, sk: { S: 'profile' } } }),
      )
      const refused = {
        code: 'ERR_LEDGER_FOREIGN',
        message: /has 1 items, and none of them begins a ledger: it is another/,
      }
      await assert.rejects(open(tableName), refused)
      await assert.rejects(createLedgerTable({ tableName, client: healthy }), refused)
      const { Count } = await healthy.send(new ScanCommand({ TableName: tableName }))
      assert.equal(Count, 1)
      const { TimeToLiveDescription } = await healthy.send(new DescribeTimeToLiveCommand({ TableName: tableName }))
      assert.equal(TimeToLiveDescription?.AttributeName, undefined, 'none of its items expires')
    })

    test('that replicates to another region is refused, by open and by who makes it', async () => {
      const tableName = await server.table(healthy)
      const client = server.client()
      // As AWS describes a global table, which DynamoDB Local does not have.
      client.middlewareStack.add(
        (next, { commandName }) =>
          async args => {
            const result = await next(args)
            if (commandName === 'DescribeTableCommand') {
              const { Table } = result.output as DescribeTableCommandOutput
              if (Table) Table.Replicas = [{ RegionName: 'eu-west-1', ReplicaStatus: 'ACTIVE' }]
            }
            return result
          },
        { step: 'initialize' },
      )
      const refused = { code: 'ERR_LEDGER_INVALID', message: /is a global table, with replicas in eu-west-1: expected/ }
      await assert.rejects(DynamoDBLedger.open({ tableName, client }), refused)
      await assert.rejects(DynamoDBLedger.open({ tableName, client, readOnly: true }), refused)
      await assert.rejects(createLedgerTable({ tableName, client }), refused)
      assert.equal((await healthy.send(new ScanCommand({ TableName: tableName }))).Count, 0)
    })

    test('of a ledger that is closed says so', async () => {
      const ledger = await made()
      await ledger.close()
      await assert.rejects(ledger.ping(), { code: 'ERR_LEDGER_CLOSED' })
      await assert.rejects(ledger.statement(), { code: 'ERR_LEDGER_CLOSED' })
    })

    test('that a newer version has written is refused', async () => {
      const tableName = await server.table(healthy)
      const ledger = await open(tableName)
      const head = { pk: { S: 'ledger' }, sk: { S: 'head' }, v: { S: 'x' }, data: { B: pack({ format: 6 }) } }
      await healthy.send(new PutItemCommand({ TableName: tableName, Item: head }))
      await assert.rejects(open(tableName), { code: 'ERR_LEDGER_NEWER' })
      await assert.rejects(ledger.statement(), { code: 'ERR_LEDGER_NEWER' })
    })

    test('is asked whether it can be read by one read of one item, and nothing in it changes', async () => {
      const client = server.client()
      const tableName = await server.table(healthy)
      const ledger = await open(tableName, client)
      await ledger.register(DIMENSIONS, SOURCES)
      for (let sequence = 1; sequence <= 3; sequence += 1) {
        const observations = Array.from({ length: 100 }, (_, n) => point(`${n}`, sequence, sequence))
        const entries = [entry(NOBODY, REQUESTS, 0, 1)]
        await ledger.append({ writer: 'f'.repeat(32), sequence, entries, observations })
      }
      const items = async () => (await healthy.send(new ScanCommand({ TableName: tableName }))).Items
      const before = await items()
      const commands: string[] = []
      client.middlewareStack.add(
        (next, { commandName = '' }) =>
          async args => {
            commands.push(commandName)
            return await next(args)
          },
        { step: 'build', name: 'count' },
      )
      for (let times = 0; times < 100; times += 1) await ledger.ping()
      assert.deepEqual(commands, Array(100).fill('GetItemCommand'))
      assert.deepEqual(await items(), before)
    })

    test("tells DynamoDB's time, whatever this process's clock says", async t => {
      const now = Date.now
      let ahead = -3 * HOUR
      t.mock.method(Date, 'now', () => now() + ahead)
      const ledger = await made()
      const clock = new LedgerClock(ledger.clock, Date.now)
      // It was three hours behind and is set right, and jumps a day ahead for a while.
      for (const next of [-3 * HOUR, 0, 26 * HOUR, 26 * HOUR, 0]) {
        ahead = next
        await clock.sync()
        const off = clock.now() - now()
        assert.ok(Math.abs(off) < 2000, `${off} ms off with a clock that is ${ahead} ms ahead`)
      }
    })
  })

  describe("DynamoDB's clock", () => {
    /** DynamoDB's time, and what this process's clocks say: the one that is set is three hours behind. */
    const begun = () => {
      const time = { there: Date.UTC(2026, 2, 10), here: Date.UTC(2026, 2, 9, 21), elapsed: 1000 }
      const clock = new EngineClock(undefined, () => ({ ...time }))
      const pass = (there: number, { here = there, elapsed = there } = {}) => {
        time.there += there
        time.here += here
        time.elapsed += elapsed
      }
      /** A request whose answer is on its way for a tenth of a second, or longer. */
      const ask = (onItsWay = () => pass(100)) => {
        const answered = clock.request()
        const date = new Date(time.there).toUTCString()
        onItsWay()
        answered(date)
      }
      const isRight = () => Math.abs(clock.now() - time.there) <= 1100
      return { clock, pass, ask, isRight }
    }

    test('goes on as time passes, and not as this clock is set', () => {
      const { clock, pass, ask, isRight } = begun()
      assert.ok(!clock.known)
      ask()
      assert.ok(clock.known && isRight())
      for (const here of [3 * HOUR, 26 * HOUR, -26 * HOUR]) {
        pass(1000, { here })
        assert.ok(!clock.known && isRight())
        ask()
        assert.ok(clock.known && isRight())
      }
    })

    test('is asked for again after a while, and where this process was stopped', () => {
      const { clock, pass, ask, isRight } = begun()
      ask()
      pass(5000)
      assert.ok(!clock.known && isRight())
      ask()
      pass(3 * HOUR, { elapsed: 0 })
      assert.ok(!clock.known)
      ask()
      assert.ok(clock.known && isRight())
      // While the answer was on its way, which is of before.
      pass(10_000)
      ask(() => pass(3 * HOUR, { elapsed: 0 }))
      assert.ok(!clock.known)
      ask()
      assert.ok(clock.known && isRight())
    })
  })

  test('a restored ledger bills nothing by itself that may have been billed', async () => {
    const ledger = await made()
    await begin(ledger)
    await ledger.closeHours(closeOptions(closing(0)))
    const before = await ledger.statement()
    await ledger.declareRestored({ who: 'ops', why: 'restored', now: closing(1) })
    await ledger.declareRestored({ who: 'ops', why: 'restored', now: closing(1) })
    const lines = await ledger.statement()
    assert.deepEqual(
      lines.map(({ recorded }) => recorded),
      before.map(({ recorded }) => recorded),
    )
    for (const { account, recorded, pending, held, balance } of lines) {
      assert.equal(recorded, pending + held + balance)
      if (account.kind === 'customer') assert.equal(balance, 0n)
    }
    const records = await ledger.records({ limit: 1000 })
    const isDoubted = ({ state, inDoubt, reason }: RecordEntry) =>
      state === 'pending' ? inDoubt : state === 'held' && reason === 'restored'
    assert.ok(records.every(isDoubted))
    await ledger.append({
      ...{ writer: '7'.repeat(32), sequence: 1, entries: [entry(ALICE, GPU, 2, 7200)] },
      observations: [point('known', 130, 20)],
    })
    await ledger.closeHours(closeOptions(closing(2)))
    const [line] = await ledger.statement({ customer: ALICE.key, dimension: GPU.name })
    assert.equal(line?.pending, (3600n + 7200n) * UNIT)
    const nobody = (await ledger.status()).unattributed.find(({ dimension }) => dimension === 'requests')
    assert.equal(nobody?.amount, (5n + 6n) * UNIT, 'what a counter adds next may have been billed')
    assert.deepEqual((await ledger.audit()).filter(({ action }) => action === 'restore').length, 2)
    await ledger.expire(hour(60))
    assert.equal((await ledger.status()).pending.length, 0)
  })

  test('a restored ledger in which parts of transactions are missing adds up again, and nothing in it is forgotten', async () => {
    const tableName = await server.table(healthy)
    const ledger = await open(tableName)
    await ledger.register(DIMENSIONS)
    const use = async (sequence: number) => {
      const entries = customers.map((one, n) => entry(one, REQUESTS, sequence, n + 1))
      await ledger.append({ writer: 'a'.repeat(32), sequence, entries })
    }
    const shardItem = async (shard: number, sk: string) => {
      const Key = { pk: { S: `customers#${shard}` }, sk: { S: sk } }
      return (await healthy.send(new GetItemCommand({ TableName: tableName, Key }))).Item
    }
    const putBack = async (...items: (Record<string, AttributeValue> | undefined)[]) => {
      for (const Item of items) await healthy.send(new PutItemCommand({ TableName: tableName, Item }))
    }
    await use(1)
    await ledger.closeHours(closeOptions(closing(1)))
    await use(2)
    const sheet = `records#${String(hour(1) / HOUR).padStart(10, '0')}`
    const before = [await shardItem(0, sheet), await shardItem(1, 'state')]
    const records = await claimAll(ledger, closing(1))
    const answerOf = ({ quantity }: MeteringRecord) => (quantity % 5 === 0 ? REFUSED : METERED)
    await settleAll(ledger, records, answerOf, closing(1))
    await ledger.statement()
    // Of one shard the records are as they were before the answers, of the other one the totals.
    await putBack(...before)
    for (const pk of ['due', 'held']) {
      const values = { ':pk': { S: pk } }
      const query = { TableName: tableName, KeyConditionExpression: 'pk = :pk', ExpressionAttributeValues: values }
      for (const { pk, sk } of (await healthy.send(new QueryCommand(query))).Items ?? []) {
        await healthy.send(new DeleteItemCommand({ TableName: tableName, Key: { pk, sk } as never }))
      }
    }
    await ledger.declareRestored({ ...BY, now: closing(1) })
    const check = async (done: (line: StatementLine) => boolean) => {
      for (const line of await ledger.statement()) {
        const { account, recorded, metered, pending, held, balance } = line
        assert.equal(recorded, metered + pending + held + balance)
        assert.equal(recorded, 2n * UNIT * BigInt(1 + customers.findIndex(({ key }) => key === account.key)))
        assert.ok(metered >= 0n && balance === 0n && done(line), account.key)
      }
    }
    await check(({ account: { key }, pending }) => pending > 0n || customers.findIndex(one => one.key === key) >= 16)
    const pending = await claimAll(ledger, closing(1) + 2 * MINUTE)
    assert.equal(pending.length, 16)
    await settleAll(ledger, pending, () => METERED, closing(1))
    await check(({ pending }) => pending === 0n)
    const { held } = await ledger.status()
    const amount = held.reduce((sum, { amount }) => sum + amount, 0n)
    assert.equal(
      amount,
      (await ledger.statement()).reduce((sum, { held }) => sum + held, 0n),
    )
  })

  test('of a ledger that an earlier version restored, what is held has its reason, and can be settled in part', async () => {
    const tableName = await server.table(healthy)
    const ledger = await open(tableName)
    await ledger.register(DIMENSIONS)
    await ledger.append({ writer: 'a'.repeat(32), sequence: 1, entries: [entry(ALICE, REQUESTS, 0, 5.5)] })
    await ledger.declareRestored({ ...BY, now: hour(3) })
    // As the version before wrote them.
    const query = {
      ...{ TableName: tableName, KeyConditionExpression: 'pk = :pk' },
      ExpressionAttributeValues: { ':pk': { S: 'customers#0' } },
    }
    for (const Item of (await healthy.send(new QueryCommand(query))).Items ?? []) {
      if (Item.data?.B === undefined) continue
      const data = JSON.parse(JSON.stringify(unpack(Item.data.B)).replaceAll('"restored"', '"in-doubt"'))
      await healthy.send(new PutItemCommand({ TableName: tableName, Item: { ...Item, data: { B: pack(data) } } }))
    }
    const [before] = await (await open(tableName)).statement()
    assert.deepEqual(before?.heldByReason, { restored: 5_500_000n })
    const [held] = await ledger.records({ state: 'held' })
    assert.equal(held?.reason, 'restored')
    await ledger.decide(held?.id ?? '', 'billed', BY, 2)
    const [line] = await ledger.statement()
    assert.deepEqual([line?.metered, line?.held, line?.balance], [2n * UNIT, 0n, 3_500_000n])
    assert.deepEqual(line?.heldByReason, {})
  })

  test('a write that would not add up fails, and leaves everything as it was', async () => {
    const tableName = await server.table(healthy)
    const ledger = await open(tableName)
    await ledger.register(DIMENSIONS)
    await ledger.append({ writer: 'a'.repeat(32), sequence: 1, entries: [entry(ALICE, REQUESTS, 0, 7)] })
    await ledger.closeHours(closeOptions(closing(0)))
    const before = [await ledger.statement(), await ledger.records()]
    const engine = databaseOf(tableName, healthy)
    await engine.accounts.refresh()
    await engine.dimensions.all()
    const faults: ((shard: Shard) => unknown)[] = [
      // The totals say so, the records do not; the other way round; the totals by themselves.
      shard => Object.assign(seriesIn(shard), { pending: 0n, metered: 7n * UNIT }),
      shard => Object.assign(recordIn(shard), { state: 'metered' }),
      shard => Object.assign(seriesIn(shard), { balance: 1n }),
    ]
    for (const fault of faults) {
      const write = change(engine, 'break the equation', [{ shard: 0, hours: [hour(0)] }], shard => {
        return { result: fault(shard) }
      })
      await assert.rejects(write, (error: LedgerError) => {
        assert.equal(error.code, 'ERR_LEDGER_EQUATION')
        assert.match(error.message, /requests of the account "prod-1,111111111111" .* recorded .* balance /)
        return true
      })
    }
    assert.deepEqual([await ledger.statement(), await ledger.records()], before)
  })

  test('the server killed and started again: what was acknowledged is there once', async t => {
    const folder = temporaryFolder()
    const mortal = await DynamoDBLocal.start(folder)
    t.after(async () => {
      await mortal[Symbol.asyncDispose]()
      rmSync(folder, { recursive: true, force: true })
    })
    const client = mortal.client()
    const connection = new Connection(client)
    const healthy = mortal.client()
    const tableName = await mortal.table(healthy)
    const ledger = await DynamoDBLedger.open({ tableName, client, retryTimeout: 300 })
    await ledger.register(DIMENSIONS)
    const restart = async () => {
      connection.connected = false
      await mortal.written(healthy, tableName)
      await mortal.kill()
      connection.connected = true
      await mortal.start()
    }
    const untilDone = async (work: () => Promise<unknown>) => {
      for (;;) {
        try {
          return await work()
        } catch (error) {
          assert.ok(error instanceof LedgerError && error.code === 'ERR_LEDGER_IO', `${error}`)
        }
      }
    }
    let restarted: Promise<void> = Promise.resolve()
    for (let sequence = 1; sequence <= 12; sequence += 1) {
      if (sequence === 6) {
        connection.duringNextWrite(() => {
          restarted = restart()
        })
      }
      const entries = customers.map(one => entry(one, REQUESTS, Math.floor(sequence / 3), 1))
      await untilDone(() => ledger.append({ writer: '8'.repeat(32), sequence, entries }))
      await untilDone(() => ledger.closeHours(closeOptions(closing(Math.floor(sequence / 3) - 1))))
    }
    await restarted
    const lines = await ledger.statement()
    assert.equal(lines.length, 20)
    for (const { recorded } of lines) assert.equal(recorded, 12n * UNIT)
  })
}

/** The partitions that are read, and the keys of single items. */
function keysRead(client: DynamoDBClient): string[] {
  const keys: string[] = []
  client.middlewareStack.add(
    next => async args => {
      const {
        Key,
        RequestItems = {},
        ExpressionAttributeValues: values,
      } = args.input as Partial<BatchGetItemCommandInput> & Partial<GetItemCommandInput> & Partial<QueryCommandInput>
      const items = [Key, ...Object.values(RequestItems).flatMap(({ Keys = [] }) => Keys)]
      for (const item of items) if (item !== undefined) keys.push(`${item.pk?.S} ${item.sk?.S}`)
      if (values?.[':pk']?.S !== undefined) keys.push(values[':pk'].S)
      return await next(args)
    },
    { step: 'build', name: 'keysRead' },
  )
  return keys
}

const seriesIn = ({ series }: Shard): object => series.values().next().value as object
const recordIn = ({ sheets }: Shard): object => sheets.values().next().value?.records.values().next().value as object

function temporaryFolder(): string {
  return mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'dynamodb-'))
}
