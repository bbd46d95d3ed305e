import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, describe, test } from 'node:test'
import { BatchWriteItemCommand, GetItemCommand, PutItemCommand, ScanCommand } from '@aws-sdk/client-dynamodb'
import fc from 'fast-check'
import { loadSdk } from '../../../src/ledger/dynamodb/client.ts'
import { EngineClock } from '../../../src/ledger/dynamodb/clock.ts'
import { DynamoDBLedger } from '../../../src/ledger/dynamodb/ledger.ts'
import { pack, unpack } from '../../../src/ledger/dynamodb/packed-json.ts'
import { inParallel } from '../../../src/ledger/dynamodb/parallel.ts'
import { chunksOf, Table } from '../../../src/ledger/dynamodb/table.ts'
import type { LedgerError } from '../../../src/ledger/errors.ts'
import type { Ledger, Outcome } from '../../../src/ledger/ledger.ts'
import { type Account, type CustomerAccount, customerAccount, unattributedAccount } from '../../../src/usage/account.ts'
import type { Dimension } from '../../../src/usage/dimension.ts'
import { taggedAccount } from '../../../src/usage/tagged-account.ts'
import type { Tags } from '../../../src/usage/tags.ts'
import {
  ALICE,
  BY,
  bounced,
  closeOptions,
  closing,
  DIMENSIONS,
  entry,
  GPU,
  hour,
  lost,
  METERED,
  NOBODY,
  NOT_SUBSCRIBED,
  REFUSED,
  REQUESTS,
  TOKENS,
  UNIT,
} from '../scene.ts'
import { dieEverywhere, LOSSES, seeded } from './faults.ts'
import { customers, point, settleAll } from './life.ts'
import { DynamoDBLocal, withoutJava } from './server.ts'

/** Whatever a ledger has to keep, no request is larger than DynamoDB takes: each is measured (`server.client`). */

const dimensions = (count: number): Dimension[] =>
  Array.from({ length: count }, (_, n) => ({ name: `dimension-${n}`, unit: '{one}', baseUnit: '1', size: UNIT }))
const inProducts = (count: number): CustomerAccount[] =>
  Array.from({ length: count }, (_, n) => {
    const [product, accountId] = [`${'a-long-name-'.repeat(20)}${n}`, String(n).padStart(12, '0')]
    const licenseArn = `arn:aws:license-manager::1:license:l-${n}`
    return customerAccount({ product, accountId, ...(n % 2 === 0 && { licenseArn }) })
  })
const sum = (amounts: readonly bigint[]) => amounts.reduce((total, amount) => total + amount, 0n)

const SEED = Number(process.env.LEDGER_SEED ?? Math.floor(Math.random() * 2 ** 31))

/** What may come upon a ledger, each by three numbers. */
class Life {
  readonly #ledger: Ledger
  readonly #writer = randomBytes(16).toString('hex')
  readonly #random = seeded(SEED)
  #sequence = 0
  #dimensions: Dimension[] = []

  constructor(ledger: Ledger) {
    this.#ledger = ledger
  }

  /** Names as long as they may be, of characters that take most room. */
  #text(length: number): string {
    return String.fromCodePoint(...Array.from({ length }, () => 0x4e00 + Math.floor(this.#random() * 20_000)))
  }

  #some<One>(all: readonly One[], count: number): One[] {
    const from = Math.floor(this.#random() * all.length)
    return Array.from({ length: Math.min(count, all.length) }, (_, n) => all[(from + n) % all.length] as One)
  }

  #options(n: number, region = 0) {
    return { ...closeOptions(closing(n)), region: `region-${region % 16}` }
  }

  async register(count: number, length: number): Promise<void> {
    const news = dimensions(count).map(one => ({ ...one, name: `${this.#text(length)}${one.name}` }))
    this.#dimensions = [...this.#dimensions, ...news]
    const size = BigInt(1 + Math.floor(this.#random() * 5)) * UNIT
    await this.#ledger.register(this.#dimensions.map(one => ({ ...one, size })))
  }

  async append(customers: number, back: number, count: number): Promise<void> {
    this.#sequence += 1
    const accounts: Account[] = this.#some(POOL, customers)
    const evidence = this.#text(256)
    accounts.push(unattributedAccount('a product', 'no-customer', evidence))
    const sold = this.#some(this.#dimensions, 1 + count)
    const entries = Array.from({ length: 1 + back }, (_, n) => n - back).flatMap(n =>
      accounts.flatMap(one => sold.map(dimension => entry(one, dimension, n, this.#amount()))),
    )
    await this.#ledger.append({ writer: this.#writer, sequence: this.#sequence, entries })
  }

  #amount(): bigint {
    return 1n + BigInt(Math.floor(this.#random() * 2 ** 52)) * 2n ** BigInt(Math.floor(this.#random() * 40))
  }

  async observe(count: number, minute: number, kinds: number): Promise<void> {
    this.#sequence += 1
    const kind = (['cumulative', 'delta', 'scraped', 'gauge'] as const)[kinds % 4] as 'gauge'
    const observations = Array.from({ length: 1 + count * 10 }, (_, n) => {
      const dimension = this.#some(this.#dimensions, 1)[0]?.name as string
      const [account] = this.#some(POOL, 1) as [CustomerAccount]
      const gauge = kind === 'gauge' ? { start: 0, maxGap: 120_000_000 } : {}
      return point(`${kind} ${n}`, minute, n, { kind, dimension, account, ...gauge })
    })
    await this.#ledger.append({ writer: this.#writer, sequence: this.#sequence, entries: [], observations })
  }

  async close(n: number, region: number, zero: number): Promise<void> {
    const sold = { products: POOL.map(({ product }) => product), dimensions: this.#dimensions.map(({ name }) => name) }
    await this.#ledger.closeHours({ ...this.#options(n, region), zeroQuantityRecords: zero % 2 === 0, sold })
  }

  async news(what: number, n: number, region: number): Promise<void> {
    const [customer] = this.#some(POOL, 1) as [CustomerAccount]
    const news = { what: (['registered', 'active', 'ended'] as const)[what % 3] as 'active', at: hour(n) }
    await this.#ledger.noteAgreement(customer, { ...news, tenant: this.#text(1000) }, this.#options(n, region))
  }

  async send(n: number, outcome: number): Promise<void> {
    const records = await this.#ledger.records({ state: 'pending', limit: 1000 })
    const answers = [METERED, REFUSED, NOT_SUBSCRIBED, lost(closing(n)), bounced(closing(n))]
    const settlements = records.map(({ ...record }, index) => ({
      record: { ...record, claim: 'late', unanswered: 1 },
      outcome: answers[(outcome + index) % answers.length] as Outcome,
      answer: this.#text(100),
    }))
    await this.#ledger.settle(settlements, closing(n))
  }

  async expire(n: number): Promise<void> {
    await this.#ledger.expire(closing(n))
  }

  async attribute(n: number): Promise<void> {
    const lines = (await this.#ledger.statement()).filter(({ account }) => account.kind === 'unattributed')
    const [line] = this.#some(lines, 1)
    const [customer] = this.#some(POOL, 1) as [CustomerAccount]
    if (line === undefined) return
    await this.#ledger.attribute(line.account.key, line.dimension.name, customer, { ...BY, now: closing(n) })
  }

  async decide(n: number): Promise<void> {
    for (const { id, reason } of await this.#ledger.records({ state: 'held', limit: 5 })) {
      const decision =
        reason === 'in-doubt' || reason === 'restored' || reason === 'conflict' ? 'not-billed' : 'release'
      await this.#ledger.decide(id, decision, { ...BY, why: this.#text(2000), now: closing(n) })
    }
  }

  async restore(n: number): Promise<void> {
    await this.#ledger.declareRestored({ ...BY, now: closing(n) })
  }

  async forget(n: number): Promise<void> {
    await this.#ledger.forget(hour(n * 50))
    await this.#ledger.prune(hour(n))
  }

  async feed(count: number): Promise<void> {
    await this.#ledger.noteSender(this.#text(100), this.#some(POOL, count), hour(0))
  }
}

/** In two shards and a part of a third, some of them the same AWS account twice. */
const POOL = [...inProducts(36), ...inProducts(40).map(one => ({ ...one, licenseArn: undefined }))]
  .map(({ product, accountId = '', licenseArn }) => customerAccount({ product, accountId, licenseArn }))
  .filter((one, index, all) => all.findIndex(({ key }) => key === one.key) === index)

type Step = [Exclude<keyof Life, 'register'> | 'register', ...number[]]
const natural = (max: number) => fc.integer({ min: 0, max })
const step = (weight: number, name: Step[0], ...given: fc.Arbitrary<number>[]) => ({
  arbitrary: fc.tuple(...given).map(numbers => [name, ...numbers] as Step),
  weight,
})
const steps = fc.array(
  fc.oneof(
    step(1, 'register', natural(80), natural(200)),
    step(4, 'append', natural(76), natural(3), natural(9)),
    step(2, 'append', natural(4), natural(900), natural(2)),
    step(1, 'append', natural(20), natural(2), natural(100)),
    step(2, 'observe', natural(50), natural(300), natural(3)),
    step(5, 'close', natural(40), natural(15), natural(1)),
    step(3, 'news', natural(2), natural(40), natural(15)),
    step(3, 'send', natural(40), natural(4)),
    step(1, 'expire', natural(60)),
    step(2, 'attribute', natural(40)),
    step(2, 'decide', natural(40)),
    step(1, 'restore', natural(40)),
    step(1, 'forget', natural(60)),
    step(1, 'feed', natural(76)),
  ),
  { minLength: 5, maxLength: 14 },
)

if (withoutJava) {
  test("DynamoDB's limits", { skip: withoutJava })
} else {
  const server = await DynamoDBLocal.shared()
  after(() => server[Symbol.asyncDispose]())
  const made = async () => {
    const client = server.client()
    const tableName = await server.table(client)
    return { client, tableName, ledger: await DynamoDBLedger.open({ tableName, client }) }
  }
  const checkBooks = async (ledger: Ledger, expected?: bigint) => {
    const lines = await ledger.statement()
    if (expected !== undefined) assert.equal(sum(lines.map(({ recorded }) => recorded)), expected)
    for (const { recorded, metered, pending, held, balance } of lines) {
      assert.equal(recorded, metered + pending + held + balance)
    }
  }

  describe("DynamoDB's limits", { concurrency: 4 }, () => {
    test('40 products in 16 regions, with gaps, idle hours and ends', async () => {
      const { ledger } = await made()
      await ledger.register(DIMENSIONS)
      const accounts = inProducts(40)
      const close = (n: number) =>
        ledger.closeHours({ ...closeOptions(closing(n)), region: `region-${n}`, zeroQuantityRecords: true })
      let sequence = 0
      let used = 0n
      const use = async (n: number) => {
        sequence += 1
        used += 40n * 3n * UNIT
        const entries = accounts.map(one => entry(one, REQUESTS, n, 3))
        await ledger.append({ writer: 'a'.repeat(32), sequence, entries })
      }
      await use(0)
      await close(0)
      for (const n of [2, 4, 5, 9, 12, 15]) await use(n)
      await close(15)
      for (let n = 16; n < 32; n += 1) {
        await use(n)
        await close(n)
      }
      await checkBooks(ledger, used)
      const records = await ledger.records({ limit: 10_000 })
      // The first hour, those with usage of the others, and those without, whose late usage had its hour.
      assert.equal(records.length, 40 * 32)
      assert.equal(new Set(records.map(({ region, account }) => region + account.product)).size, 40 * 18)
      await ledger.declareRestored({ ...BY, now: closing(31) })
      await ledger.expire(hour(100))
      assert.deepEqual((await ledger.status()).pending, [])
      await checkBooks(ledger, used)
    })

    test('records of one hour in more lanes than one transaction takes', async () => {
      const { ledger, client, tableName } = await made()
      const sold = dimensions(7)
      await ledger.register(sold)
      const entries = inProducts(16).flatMap(one => sold.map(dimension => entry(one, dimension, 0, 3)))
      await ledger.append({ writer: 'a'.repeat(32), sequence: 1, entries })
      await ledger.closeHours(closeOptions(closing(0)))
      // As ends that are told again and again from other regions freeze what has come since, each some of it.
      const sheets = { TableName: tableName, FilterExpression: 'begins_with(sk, :sk)' }
      const values = { ExpressionAttributeValues: { ':sk': { S: 'records#' } } }
      const [Item] = (await client.send(new ScanCommand({ ...sheets, ...values }))).Items ?? []
      const columns = unpack(Item?.data?.B ?? Buffer.of()) as { lane: string[]; dimension: number[] }
      const lane = columns.lane.map((one, n) => one.replace('us-east-1', `region-${columns.dimension[n]}`))
      await client.send(
        new PutItemCommand({ TableName: tableName, Item: { ...Item, data: { B: pack({ ...columns, lane }) } } }),
      )
      const records = (await ledger.records({ limit: 1000 })).map(one => ({ ...one, claim: 'late', unanswered: 1 }))
      assert.equal(new Set(records.map(({ region, account }) => region + account.product)).size, 16 * 7)
      await settleAll(ledger, records, ({ dimension }) => (dimension === 'dimension-1' ? REFUSED : METERED), closing(0))
      await checkBooks(ledger, 16n * 7n * 3n * UNIT)
      assert.equal((await ledger.records({ state: 'held' })).length, 16)
    })

    test('writers, more than a cut has, between two closings', async () => {
      const { ledger, client, tableName } = await made()
      await ledger.register([REQUESTS])
      await ledger.append({ writer: 'a'.repeat(32), sequence: 1, entries: [entry(ALICE, REQUESTS, 0, 1)] })
      const journal = { TableName: tableName, FilterExpression: 'pk = :pk' }
      const values = { ExpressionAttributeValues: { ':pk': { S: 'journal' } } }
      const [batch] = (await client.send(new ScanCommand({ ...journal, ...values }))).Items ?? []
      const header = unpack(batch?.data?.B ?? Buffer.of()) as object
      const others = Array.from({ length: 4100 }, () => {
        const writer = randomBytes(16).toString('hex')
        const sk = { S: batch?.sk?.S?.replace('a'.repeat(32), writer) ?? '' }
        return { PutRequest: { Item: { ...batch, sk, data: { B: pack({ ...header, writer }) } } } }
      })
      await inParallel(chunksOf(others, 25), 8, some =>
        client.send(new BatchWriteItemCommand({ RequestItems: { [tableName]: some } })),
      )
      assert.equal((await ledger.closeHours(closeOptions(closing(0)))).records, 1)
      await checkBooks(ledger, 4101n * UNIT)
      const [record] = await ledger.records()
      assert.equal(record?.quantity, 4101)
      const Key = { pk: { S: 'ledger' }, sk: { S: 'head' } }
      const { Item } = await client.send(new GetItemCommand({ TableName: tableName, Key }))
      const { cut, batches } = unpack(Item?.data?.B ?? Buffer.of()) as { cut: number; batches: object }
      assert.deepEqual([cut, Object.keys(batches).length], [2, 101])
    })

    const random = seeded(11)
    /** Amounts that nothing can be packed by. */
    const some = () => 1n + BigInt(Math.floor(random() * 2 ** 52)) * BigInt(Math.floor(random() * 2 ** 52))

    test('usage of 35 days that comes late', async () => {
      const { ledger } = await made()
      await ledger.register(DIMENSIONS)
      const now = closing(0)
      await ledger.closeHours(closeOptions(now))
      const entries = Array.from({ length: 35 * 24 }, (_, n) =>
        [...customers.slice(0, 16), NOBODY].flatMap(one =>
          [REQUESTS, TOKENS].map(dimension => entry(one, dimension, -n, some())),
        ),
      ).flat()
      await ledger.append({ writer: 'a'.repeat(32), sequence: 1, entries })
      const expected = sum(entries.map(({ amount }) => amount))
      await checkBooks(ledger, expected)
      await ledger.closeHours(closeOptions(closing(1)))
      await checkBooks(ledger, expected)
      const period = await ledger.statement({ from: hour(-800), to: hour(-799) })
      const ofHour = entries.filter(({ hour: used }) => used === hour(-800))
      assert.equal(sum(period.map(({ recorded }) => recorded)), sum(ofHour.map(({ amount }) => amount)))
    })

    for (const loss of LOSSES) {
      test(`while it is brought in by parts, with the ${loss} lost: all of it is there once`, async () => {
        const accounts = customers.slice(14, 18)
        const entries = Array.from({ length: 80 }, (_, n) => accounts.map(one => entry(one, REQUESTS, -n, n + 1)))
        const prepare = async (ledger: Ledger) => {
          await ledger.register(DIMENSIONS)
          await ledger.closeHours(closeOptions(closing(0)))
          await ledger.append({ writer: 'a'.repeat(32), sequence: 1, entries: entries.flat() })
        }
        const close = (ledger: Ledger) => ledger.closeHours(closeOptions(closing(1)))
        await dieEverywhere(server, loss, prepare, close, async (other, write, another) => {
          await Promise.all([close(other), close(another)])
          for (const { recorded, pending } of await other.statement()) {
            assert.deepEqual([recorded, pending], [3240n * UNIT, 3240n * UNIT], `it died at write ${write}`)
          }
          const [used] = await other.statement({ from: hour(-7), to: hour(-6), customer: accounts[0]?.key ?? '' })
          assert.equal(used?.recorded, 8n * UNIT)
        })
      })
    }

    test('more dimensions than an item has room for, while nobody closes', async () => {
      const { ledger, client, tableName } = await made()
      const sold = dimensions(200)
      await ledger.register(sold)
      // Other terms of all of them.
      await ledger.register(sold.map(dimension => ({ ...dimension, size: 7n * UNIT })))
      assert.equal((await ledger.audit({ actions: ['register'], limit: 1000 })).length, 200)
      let expected = 0n
      for (let n = 0; n < 9; n += 1) {
        const entries = customers.slice(0, 16).flatMap(one => sold.map(dimension => entry(one, dimension, n, some())))
        expected += sum(entries.map(({ amount }) => amount))
        await ledger.append({ writer: 'a'.repeat(32), sequence: n + 1, entries })
      }
      // Folds, without closing.
      await assert.rejects(ledger.writeOff('nobody', 'requests', BY), { code: 'ERR_LEDGER_NOT_FOUND' })
      const Key = { pk: { S: 'customers#0' }, sk: { S: 'state' } }
      const { Item } = await client.send(new GetItemCommand({ TableName: tableName, Key }))
      assert.equal(Item?.parts?.N, '1')
      // A version before leaves it as it is.
      assert.throws(() => unpack(Item?.data?.B ?? Buffer.of()), { code: 'Z_BUF_ERROR' })
      await checkBooks(ledger, expected)
      await ledger.closeHours(closeOptions(closing(8)))
      await checkBooks(ledger, expected)
      await ledger.declareRestored({ ...BY, now: closing(9) })
      await checkBooks(ledger, expected)
    })

    test('more tag sets than a transaction has room for: all is billed, and one customer leaves no other untagged', async () => {
      const { ledger } = await made()
      await ledger.register([GPU, TOKENS])
      const [greedy, ...modest] = customers.slice(0, 16) as [CustomerAccount, ...CustomerAccount[]]
      const text = (bytes: number) => randomBytes(bytes).toString('base64').replaceAll('+', '-')
      let [sequence, expected] = [0, 0n]
      const use = async (some: readonly CustomerAccount[], tagSets: readonly Tags[]) => {
        const tagged = some.flatMap(one => tagSets.map(tags => taggedAccount(one, tags)))
        const entries = [GPU, TOKENS].flatMap(dimension => tagged.map(one => entry(one, dimension, 0, 1700)))
        expected += sum(entries.map(({ amount }) => amount))
        sequence += 1
        await ledger.append({ writer: 'a'.repeat(32), sequence, entries })
      }
      const many = (count: number, keys: number): Tags[] =>
        Array.from({ length: count }, () =>
          Array.from({ length: keys }, (_, key) => [`key-${key}`, text(190)] as const),
        )
      await use(modest, many(20, 1))
      await use([greedy], many(2500, 5))
      // Folded before it is closed.
      await assert.rejects(ledger.writeOff('nobody', TOKENS.name, BY), { code: 'ERR_LEDGER_NOT_FOUND' })
      await checkBooks(ledger, expected)
      await ledger.closeHours(closeOptions(closing(0)))
      await checkBooks(ledger, expected)
      const records = await ledger.records({ limit: 1000 })
      assert.equal(records.length, 32)
      for (const { account, allocations = [], quantity } of records) {
        assert.equal(sum(allocations.map(([units]) => BigInt(units))), BigInt(quantity))
        assert.ok(allocations.length >= (account.key === greedy.key ? 100 : 9), `${allocations.length}`)
      }
      await ledger.finalize(greedy, { ...closeOptions(hour(2)), endedAt: hour(2) })
      for (const lane of (await ledger.due(hour(2))).lanes) {
        const claimed = await ledger.claim(lane, { now: hour(2), limit: 1000, claimedUntil: hour(3) })
        await settleAll(ledger, claimed, () => METERED, hour(2))
      }
      await checkBooks(ledger, expected)
    })

    test('an item in parts, read while it is written again and again, is whole each time', async () => {
      const { client, tableName } = await made()
      const clock = new EngineClock()
      const table = new Table({ sdk: await loadSdk(), client, name: tableName, clock, retryTimeout: 1000 })
      const put = { pk: 'customers#0', sk: 'state' }
      const text = () => randomBytes(Math.floor(400_000 + random() * 800_000)).toString('base64')
      const written = new Set<string>()
      const write = async (over: string | undefined) => {
        const data = text()
        written.add(data)
        return await table.write('write', [{ put, over, data }])
      }
      let version = await write(undefined)
      let writing = true
      const read = async () => {
        for (let reads = 0; writing || reads === 0; reads += 1) {
          for (const { data } of await table.list('read', put.pk)) assert.ok(written.has(data as string))
          for (const { data } of await table.get('read', [put])) assert.ok(written.has(data as string))
        }
      }
      const reading = read()
      for (let times = 0; times < 8; times += 1) version = await write(version)
      writing = false
      await reading
      assert.ok(version !== undefined)
    })

    test(`whatever a ledger is given (LEDGER_SEED=${SEED})`, async () => {
      await fc.assert(
        fc.asyncProperty(steps, async script => {
          const { ledger } = await made()
          const life = new Life(ledger)
          await life.register(9, 20)
          for (const [name, ...given] of script) {
            await life[name](...(given as [number, number, number])).catch((error: LedgerError) => {
              assert.match(
                error.code ?? `${error.stack}`,
                /^ERR_LEDGER_(STATE|NOT_FOUND)$/,
                `${name}: ${error.message}`,
              )
            })
          }
          await checkBooks(ledger)
        }),
        { seed: SEED, numRuns: process.env.LEDGER_CHECKS === 'all' ? 20 : 1 },
      )
    })
  })
}
