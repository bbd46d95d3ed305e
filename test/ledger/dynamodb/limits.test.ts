import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, describe, test } from 'node:test'
import { BatchWriteItemCommand, ScanCommand } from '@aws-sdk/client-dynamodb'
import { DynamoDBLedger } from '../../../src/ledger/dynamodb/ledger.ts'
import { pack, unpack } from '../../../src/ledger/dynamodb/packed-json.ts'
import { MINUTE } from '../../../src/ledger/hours.ts'
import type { Ledger } from '../../../src/ledger/ledger.ts'
import { type CustomerAccount, customerAccount } from '../../../src/usage/account.ts'
import type { Dimension } from '../../../src/usage/dimension.ts'
import { ALICE, BY, closeOptions, closing, DIMENSIONS, entry, hour, METERED, NOBODY, REFUSED, REQUESTS, UNIT } from '../scene.ts'
import { seeded } from './faults.ts'
import { claimAll, customers, settleAll } from './life.ts'
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
  const checkBooks = async (ledger: Ledger, expected: bigint) => {
    const lines = await ledger.statement()
    assert.equal(sum(lines.map(({ recorded }) => recorded)), expected)
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
      assert.equal((await ledger.due(closing(31))).lanes.length, 40 * 17)
      await ledger.declareRestored({ ...BY, now: closing(31) })
      await ledger.expire(hour(100))
      assert.deepEqual((await ledger.status()).pending, [])
      await checkBooks(ledger, used)
    })

    test('records of one hour in more lanes than one transaction takes', async () => {
      const { ledger } = await made()
      const sold = dimensions(8)
      await ledger.register(sold)
      const accounts = inProducts(16)
      for (const [n, dimension] of sold.entries()) {
        const entries = accounts.map(one => entry(one, dimension, 0, 3))
        await ledger.append({ writer: 'a'.repeat(32), sequence: n + 1, entries })
        // An end that is told again, by another time, freezes what came since.
        const end = { ...closeOptions(hour(0) + 40 * MINUTE), endedAt: hour(0) + (20 + n) * MINUTE }
        for (const one of accounts) await ledger.finalize(one, { ...end, region: `region-${n}` })
      }
      const { lanes } = await ledger.due(closing(0))
      assert.equal(lanes.length, 16 * 8)
      const records = await claimAll(ledger, closing(0))
      await settleAll(ledger, records, ({ dimension }) => (dimension === 'dimension-1' ? REFUSED : METERED), closing(0))
      await checkBooks(ledger, 16n * 8n * 3n * UNIT)
      assert.deepEqual((await ledger.status()).pending, [])
    })
  })
}
