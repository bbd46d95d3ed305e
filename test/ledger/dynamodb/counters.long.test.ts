import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, describe, test } from 'node:test'
import { type DynamoDBClient, GetItemCommand, PutItemCommand } from '@aws-sdk/client-dynamodb'
import { packBatch, unpackBatch } from '../../../src/ledger/dynamodb/batch.ts'
import { DynamoDBLedger } from '../../../src/ledger/dynamodb/ledger.ts'
import { pack, unpack } from '../../../src/ledger/dynamodb/packed-json.ts'
import { GatheredUsage } from '../../../src/ledger/dynamodb/usage.ts'
import { HOUR, MINUTE } from '../../../src/ledger/hours.ts'
import type { Ledger, Observation } from '../../../src/ledger/ledger.ts'
import type { CustomerAccount } from '../../../src/usage/account.ts'
import { ALICE, BOB, closeOptions, closing, DIMENSIONS, REQUESTS, START, UNIT } from '../scene.ts'
import { LONG, later, MortalClient, SleepyClient, seeded } from './faults.ts'
import { type Books, micros, point, read, SOURCES } from './life.ts'
import { DynamoDBLocal, type Items, withoutJava } from './server.ts'

const digest = (text: string): string => createHash('md5').update(text).digest('hex')

/** A point as a gateway makes it: of a measurement, of what counts it, in its stream. */
function told(
  target: string,
  customer: CustomerAccount,
  minute: number,
  value: number,
  more: Partial<Observation> = {},
) {
  return point(`${target} ${customer.key}`, minute, value, {
    ...{ account: customer, series: digest(customer.key), start: micros(-500) },
    stream: { key: digest(target), target: digest(target).slice(0, 12), metric: 'm', attributes: `{"t":"${target}"}` },
    ...more,
  })
}

const scraped = { kind: 'scraped', start: 0 } as const
const SOURCES_OF_M = { ...SOURCES, metrics: [{ dimension: REQUESTS.name, metric: 'm' }] }

/** Two hours of a process that is older than the ledger, of one that is scraped and falls, and of one that is renamed. */
function* collections(): Generator<Observation[]> {
  for (let minute = 1; minute < 120; minute += 1) {
    const fallen = minute < 100 ? 1000 + 10 * minute : minute === 100 ? 30 : 30 + minute
    yield [
      told('old', ALICE, minute, 5000 + 3 * minute),
      // A customer who comes later counts whole.
      ...(minute > 20 ? [told('old', BOB, minute, 7 * (minute - 20))] : []),
      ...(minute < 102 ? [told('scraped', ALICE, minute, fallen, scraped)] : []),
      // Whose clock is hours ahead: believed in its own order, once it is known.
      ...(minute > 105
        ? [told('ahead', ALICE, minute, minute, { start: micros(106), time: micros(minute + 200) + minute })]
        : []),
      told(minute < 50 ? 'new' : 'new, renamed', BOB, minute, minute, {
        ...{ start: micros(0) + 5 },
        stream: {
          ...{ key: digest(minute < 50 ? 'new' : 'renamed'), target: '0'.repeat(12), metric: 'm' },
          attributes: minute < 50 ? '{"a":1}' : '{"a":1,"b":2}',
        },
      }),
    ]
  }
}

const NEXT = (120 + 60) * MINUTE + START

/** Of the requests at which a process sleeps, and of the writes at which it dies, each so many-th is tried. */
const [EACH, EACH_WRITE, EACH_FORGETTING] = process.env.LEDGER_FAULTS === 'all' ? [1, 1, 1] : [29, 11, 3]

const lineOf = async (ledger: Ledger, customer: CustomerAccount) =>
  (await ledger.statement({ customer: customer.key, dimension: REQUESTS.name }))[0]?.recorded

/** So many collections come in one batch. */
const TOGETHER = 6

/** Appends these collections; after so many batches all of before is folded. */
async function begin(ledger: Ledger, fold = 0): Promise<void> {
  await ledger.register(DIMENSIONS, SOURCES_OF_M)
  const all = [...collections()]
  for (let sequence = 1; all.length > 0; sequence += 1) {
    const observations = all.splice(0, TOGETHER).flat()
    await ledger.append({ writer: 'a'.repeat(32), sequence, entries: [], observations })
    if (sequence === fold) await ledger.audit()
  }
}

if (withoutJava) {
  test('counters on DynamoDB', { skip: withoutJava })
} else {
  const server = await DynamoDBLocal.shared()
  after(() => server[Symbol.asyncDispose]())
  const healthy = server.client()
  const open = async (tableName: string, client: DynamoDBClient = healthy, now?: () => number) =>
    await DynamoDBLedger.open({ tableName, client, ...(now && { now }) })

  describe('counters on DynamoDB', { concurrency: 3 }, () => {
    test('hours in one cut tell as much as a cut for each collection', async () => {
      const [one, many] = [await open(await server.table(healthy)), await open(await server.table(healthy))]
      await begin(one)
      await many.register(DIMENSIONS, SOURCES_OF_M)
      let sequence = 0
      for (const observations of collections()) {
        sequence += 1
        await many.append({ writer: 'a'.repeat(32), sequence, entries: [], observations })
        if (sequence % 7 === 0) await many.audit()
      }
      for (const ledger of [one, many]) {
        assert.equal(await lineOf(ledger, ALICE), (3n * 118n + 10n * 98n + 119n) * UNIT)
        assert.equal(await lineOf(ledger, BOB), (7n * 99n + 119n) * UNIT)
        assert.deepEqual((await ledger.status()).waiting, [{ dimension: REQUESTS.name, amount: 131n * UNIT }])
      }
    })

    test('what waits is decided when an hour is closed, or its customer has its end', async () => {
      const [closed, ended, other] = [
        await open(await server.table(healthy)),
        await open(await server.table(healthy)),
        await open(await server.table(healthy)),
      ]
      const known = (3n * 118n + 10n * 98n + 119n) * UNIT
      await begin(closed)
      await closed.closeHours(closeOptions(closing(1)))
      assert.equal(await lineOf(closed, ALICE), known)
      await closed.closeHours(closeOptions(closing(2)))
      assert.equal(await lineOf(closed, ALICE), known + 131n * UNIT)
      assert.deepEqual((await closed.status()).waiting, [])
      await begin(ended)
      const end = { ...closeOptions(closing(1)), endedAt: closing(1) }
      await ended.finalize(ALICE, end)
      const [line] = await ended.statement({ customer: ALICE.key })
      assert.deepEqual([line?.recorded, line?.pending], [known + 131n * UNIT, known + 131n * UNIT])
      assert.deepEqual((await ended.status()).waiting, [])
      await begin(other)
      await other.finalize(BOB, end)
      assert.equal(await lineOf(other, ALICE), known)
      assert.equal((await other.status()).waiting[0]?.amount, 131n * UNIT)
    })

    const close = (ledger: Ledger) => ledger.closeHours(closeOptions(NEXT))
    /** With what waits, streams and clocks that are known before, and others that are new. */
    const KNOWN = 102 / TOGETHER
    const booksOf = async (): Promise<Books> => {
      const ledger = await open(await server.table(healthy))
      await begin(ledger, KNOWN)
      await close(ledger)
      return await read(ledger)
    }

    let begun: Promise<Items> | undefined
    const tableBegun = async () => {
      begun ??= server.itemsAfter(ledger => begin(ledger, KNOWN))
      return await server.tableOf(healthy, await begun)
    }

    test('dead at any write of a cut that decides: another does it again, with the same result', async () => {
      const expected = await booksOf()
      for (let write = 1, dead = true; dead; write += EACH_WRITE) {
        const tableName = await tableBegun()
        const other = await open(tableName, healthy, later)
        const mortal = new MortalClient(server.client(), write, 'answer')
        await close(await open(tableName, mortal.client)).catch(() => {})
        dead = mortal.dead
        await close(other)
        assert.deepEqual(await read(other), expected, `it died at write ${write}`)
      }
    })

    test('asleep at any request, while another does it: what it does when it wakes changes nothing', async () => {
      const expected = await booksOf()
      for (let request = 1, slept = true; slept; request += EACH) {
        const tableName = await tableBegun()
        const other = await open(tableName, healthy, later)
        const sleepy = new SleepyClient(server.client(), request)
        const closing = open(tableName, sleepy.client).then(close)
        slept = await Promise.race([sleepy.asleep.then(() => true), closing.then(() => false)])
        await close(other)
        sleepy.wake()
        await closing
        assert.deepEqual(await read(other), expected, `it slept at request ${request}`)
      }
    })

    test('killed at any write while it forgets: another goes on, and what speaks again is held', async () => {
      const expected = await spokenAgain(await silentFor60Days(), other => other.forget(days(60)))
      assert.deepEqual([...expected.values()].map(Number), [65_000_000, 50_000_000, 75_000_000])
      for (let write = 1, dead = true; dead; write += EACH_FORGETTING) {
        const tableName = await silentFor60Days()
        const mortal = new MortalClient(server.client(), write, write % 2 === 0 ? 'answer' : 'request')
        await (await open(tableName, mortal.client)).forget(days(60)).catch(() => {})
        dead = mortal.dead
        const found = await spokenAgain(tableName, other => other.forget(days(61)))
        assert.deepEqual(found, expected, `it died at write ${write}`)
      }
    })

    test('asleep at any request while it forgets, and another does it: it changes nothing', LONG, async () => {
      const expected = await spokenAgain(await silentFor60Days(), other => other.forget(days(60)))
      for (let request = 1, slept = true; slept; request += 4 * EACH) {
        const tableName = await silentFor60Days()
        const sleepy = new SleepyClient(server.client(), request)
        const forgetting = open(tableName, sleepy.client).then(ledger => ledger.forget(days(60)))
        slept = await Promise.race([sleepy.asleep.then(() => true), forgetting.then(() => false)])
        const found = await spokenAgain(tableName, async other => {
          await other.forget(days(61))
          sleepy.wake()
          await forgetting
        })
        assert.deepEqual(found, expected, `it slept at request ${request}`)
      }
    })

    const days = (day: number) => START + day * 24 * HOUR
    const spoke = (name: string, customer: CustomerAccount, day: number, value: number, start = micros(0) + 5) =>
      told('old', customer, day * 24 * 60, value, { series: digest(name), counter: digest(name), start })

    let silent: Promise<Items> | undefined
    /** A table of which one counter has spoken each day, and another only at first. */
    async function silentFor60Days(): Promise<string> {
      silent ??= server.itemsAfter(async ledger => {
        await ledger.register(DIMENSIONS, SOURCES_OF_M)
        for (const [index, day] of [1, 20, 39, 60].entries()) {
          const first = index === 0 ? [spoke('silent', BOB, 1, 50)] : []
          const observations = [spoke('goes on', ALICE, day, day), ...first]
          await ledger.append({ writer: 'c'.repeat(32), sequence: index + 1, entries: [], observations })
          await ledger.audit()
          if (day === 39) await ledger.forget(days(39))
        }
      })
      return await server.tableOf(healthy, await silent)
    }

    /** What is recorded in the end, where it speaks again, and others are new. */
    async function spokenAgain(tableName: string, forget: (ledger: Ledger) => Promise<void>) {
      const ledger = await open(tableName, healthy, later)
      await forget(ledger)
      const observations = [
        ...[spoke('goes on', ALICE, 61, 61), spoke('silent', BOB, 61, 70), spoke('new', BOB, 61, 5)],
        spoke('newer', ALICE, 61, 4, micros(60 * 24 * 60)),
      ]
      await ledger.append({ writer: 'd'.repeat(32), sequence: 1, entries: [], observations })
      const lines = await ledger.statement()
      return new Map(lines.map(({ account, recorded }) => [account.key, recorded]))
    }

    test('one series of so many processes that no item has room for their states', async () => {
      const ledger = await open(await server.table(healthy))
      await ledger.register(DIMENSIONS, SOURCES_OF_M)
      const { stream } = told('one', ALICE, 1, 1)
      const random = seeded(7)
      const starts = Array.from({ length: 16_000 }, (_, n) => micros(0) + Math.floor((n + random()) * 3749))
      const values = starts.map(() => BigInt(Math.floor(random() * 2 ** 50)))
      for (const index of [1, 2]) {
        const observations = starts.map((start, n) => {
          const value = BigInt(index) * (values[n] as bigint)
          return {
            ...told('one', ALICE, index, 0, { start, value, counter: digest(`${n}`) }),
            ...(stream && { stream }),
          }
        })
        await ledger.append({ writer: 'b'.repeat(32), sequence: index, entries: [], observations })
        assert.equal(await lineOf(ledger, ALICE), BigInt(index) * values.reduce((sum, value) => sum + value))
      }
    })

    test('a sender that is restarted all the time: its states are there once', async () => {
      const ledger = await open(await server.table(healthy))
      await ledger.register(DIMENSIONS, SOURCES_OF_M)
      const restarts = Array.from({ length: 30 }, (_, n) => told('one', ALICE, n + 1, 4, { start: micros(n) + 1 }))
      for (const [index, observation] of restarts.entries()) {
        await ledger.append({
          ...{ writer: 'b'.repeat(32), sequence: index + 1, entries: [] },
          observations: [observation, told('one', ALICE, index + 1.5, 7, { start: observation.start })],
        })
      }
      assert.equal(await lineOf(ledger, ALICE), 30n * 7n * UNIT)
    })
  })

  describe('a table of the version before', { concurrency: 3 }, () => {
    const put = async (tableName: string, pk: string, sk: string, data: unknown) => {
      const Item = { pk: { S: pk }, sk: { S: sk }, v: { S: 'before' }, data: { B: pack(data) } }
      await healthy.send(new PutItemCommand({ TableName: tableName, Item }))
    }
    const headOf = async (tableName: string) => {
      const Key = { pk: { S: 'ledger' }, sk: { S: 'head' } }
      const { Item } = await healthy.send(new GetItemCommand({ TableName: tableName, Key }))
      return unpack(Item?.data?.B as Uint8Array) as Record<string, unknown>
    }
    const counter = told('one', ALICE, 1, 1).counter
    const started = { start: micros(0) + 1 }
    /** Its counter had 100 at minute 1, its delta of minute 2 was counted; a later point of its own waits. */
    const made = async (more: Record<string, unknown> = {}): Promise<string> => {
      const tableName = await server.table(healthy)
      const ledger = await open(tableName)
      await ledger.register(DIMENSIONS)
      const observations = [
        point('one', 3, 130, { counter, ...started }),
        point('delta', 2, 6, { kind: 'delta' }),
        point('new', 3, 8),
      ]
      await ledger.append({ writer: 'c'.repeat(32), sequence: 1, entries: [], observations })
      const { restored: _, deciding: __, begunBefore: ___, ...head } = await headOf(tableName)
      await put(tableName, 'ledger', 'head', { ...head, format: 1, ...more })
      await put(tableName, 'products', `#${ALICE.product}`, START)
      const state = [counter, `${micros(1)} ${100n * UNIT} 0 0 0 ${started.start}:${100n * UNIT}`]
      const cell = { cut: 0, found: { usage: [], notes: [] }, divided: false, states: [], deltas: [] }
      await put(tableName, 'counters#', 'cell', { ...cell, divided: true })
      await put(tableName, `counters#${counter.slice(0, 1)}`, 'cell', { ...cell, states: [state] })
      const { counter: delta, start, time } = point('delta', 2, 6)
      const minute = String(time / 1000 / MINUTE).padStart(12, '0')
      await put(tableName, 'deltas#', `${minute}#`, {
        ...cell,
        deltas: [[`${delta} ${start} ${time}`, `${6n * UNIT}`, false]],
      })
      return tableName
    }
    const go = async (ledger: Ledger, sequence: number, minute: number, value: number) => {
      const observations = [told('one', ALICE, minute, value, started)]
      await ledger.append({ writer: 'd'.repeat(32), sequence, entries: [], observations })
    }

    test('goes on from its marks, deltas and products, with what waits in its journal', async () => {
      const tableName = await made()
      const ledger = await open(tableName)
      assert.equal((await headOf(tableName)).format, 4)
      await ledger.register(DIMENSIONS, SOURCES_OF_M)
      // 30 of the journal, 8 of its new counter.
      assert.equal(await lineOf(ledger, ALICE), 38n * UNIT)
      await go(ledger, 1, 1, 1)
      await go(ledger, 2, 4, 142)
      assert.equal(await lineOf(ledger, ALICE), (38n + 12n) * UNIT)
      assert.deepEqual((await ledger.status()).notCounted, {})
    })

    test('the same where the journal is folded together with new points', async () => {
      const ledger = await open(await made())
      await ledger.register(DIMENSIONS, SOURCES_OF_M)
      await go(ledger, 1, 4, 142)
      assert.equal(await lineOf(ledger, ALICE), (38n + 12n) * UNIT)
    })

    test('with a cut that is begun: what was found of it counts once', async () => {
      const tableName = await made({ cut: 7, applied: false, batches: { ['c'.repeat(32)]: [1, 1] } })
      // It has counted the points of the first digit's cell, and then died.
      const state = [counter, `${micros(3)} ${130n * UNIT} 0 0 0 ${started.start}:${130n * UNIT}`]
      const found = { usage: [[0, 0, START / HOUR, String(31n * UNIT)]], notes: [] }
      await put(tableName, `counters#${counter.slice(0, 1)}`, 'cell', {
        ...{ cut: 7, divided: false, states: [state], deltas: [], found },
      })
      const ledger = await open(tableName)
      await ledger.register(DIMENSIONS, SOURCES_OF_M)
      assert.equal(await lineOf(ledger, ALICE), (31n + 8n) * UNIT)
      await go(ledger, 1, 4, 142)
      assert.equal(await lineOf(ledger, ALICE), (31n + 8n + 12n) * UNIT)
    })
  })

  describe('a batch', () => {
    const ofLayout = (points: readonly Observation[]) => points.map(one => ({ ...one, account: 4, dimension: 1 }))

    test('says each stream once', async () => {
      const one = told('one', ALICE, 1, 3)
      const points = ofLayout([one, { ...told('two', BOB, 2, 4), stream: one.stream as never }, point('plain', 3, 5)])
      const many = ofLayout(Array.from({ length: 500 }, (_, n) => ({ ...one, value: 2n ** 120n - BigInt(n) })))
      for (const given of [points, many]) {
        const { body } = await packBatch(new GatheredUsage(), given)
        const unpacked = await unpackBatch(body, new GatheredUsage())
        assert.deepEqual(
          unpacked,
          given.map(point => ({ ...point, maxGap: 0 })),
        )
      }
      const { body } = await packBatch(new GatheredUsage(), many)
      assert.ok(body.length < 3000, `${body.length} bytes`)
    })

    test('without streams is as the version before has made it, so that it is known again', async () => {
      const { digest } = await packBatch(new GatheredUsage(), ofLayout([point('plain', 3, 5), point('other', 4, 6)]))
      assert.equal(digest, 'UOH/XbfzwqscBPUtm427WVjvgUL4oGhYud7ZXEf60HY=')
    })
  })
}
