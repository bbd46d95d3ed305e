import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { PutItemCommand } from '@aws-sdk/client-dynamodb'
import { DynamoDBLedger } from '../../../src/ledger/dynamodb/ledger.ts'
import { pack, unpack } from '../../../src/ledger/dynamodb/packed-json.ts'
import { HOUR, MINUTE } from '../../../src/ledger/hours.ts'
import type { Ledger, RecordEntry } from '../../../src/ledger/ledger.ts'
import { type CustomerAccount, customerAccount } from '../../../src/usage/account.ts'
import {
  ALICE,
  BOB,
  BY,
  closeOptions,
  closing,
  DIMENSIONS,
  entry,
  hour,
  NOT_SUBSCRIBED,
  REQUESTS,
  UNIT,
} from '../scene.ts'
import { ALL, dieEverywhere, LOSSES, later, SleepyClient } from './faults.ts'
import { claimAll, customers, settleAll } from './life.ts'
import { DynamoDBLocal, withoutJava } from './server.ts'

/** What agreements bring upon many shards and hours at once, wherever a process dies and whoever else is at work. */

const licensed = ({ accountId = '' }: CustomerAccount, label = 'label') =>
  customerAccount({ product: label, accountId, licenseArn: `arn:aws:license-manager::1:license:l-${accountId}` })
const customer = (n: number) => customers[n] as CustomerAccount
/** They come after all others: in another shard than their product codes, but for the last. */
const LICENCES = [0, 1, 2, 3, 4, 19].map(n => licensed(customer(n)))
/** Its licence is of another product. */
const OTHER_PRODUCT = LICENCES[4] as CustomerAccount
const textsOf = (records: readonly RecordEntry[] = []) =>
  records.map(({ quantity, state, reason = '' }) => `${quantity} ${state} ${reason}`.trim()).sort()
const TWINS = new Set(LICENCES.filter(one => one !== OTHER_PRODUCT).map(({ accountId }) => accountId))

if (withoutJava) {
  test('agreements on DynamoDB', { skip: withoutJava })
} else {
  const server = await DynamoDBLocal.shared()
  after(() => server[Symbol.asyncDispose]())

  const appending = (writer: string) => {
    let sequence = 0
    return (ledger: Ledger, n: number, accounts: readonly CustomerAccount[], amount = 5) => {
      sequence += 1
      const entries = accounts.map(one => entry(one, REQUESTS, n, amount))
      return ledger.append({ writer: writer.repeat(32), sequence, entries })
    }
  }
  const told = async (ledger: Ledger, wanted: Parameters<Ledger['records']>[0] = {}) => {
    return textsOf(await ledger.records({ limit: 10_000, ...wanted }))
  }

  describe('agreements on DynamoDB', { concurrency: 4 }, () => {
    for (const loss of LOSSES) {
      test(`after a day without a process, with the ${loss} lost: one identity of each AWS account, all idle hours`, async () => {
        const prepare = async (ledger: Ledger) => {
          await ledger.register(DIMENSIONS)
          await ledger.closeHours(closeOptions(closing(-1)))
          await appending('a')(ledger, 0, [...customers, ...LICENCES])
          const news = { what: 'active', at: hour(0), productCode: 'another' } as const
          await ledger.noteAgreement(OTHER_PRODUCT, news, closeOptions(hour(0)))
        }
        const close = (ledger: Ledger) => ledger.closeHours({ ...closeOptions(closing(20)), zeroQuantityRecords: true })
        const writes = await dieEverywhere(server, loss, prepare, close, async (other, write, another) => {
          await Promise.all([close(other), close(another)])
          const records = await other.records({ limit: 10_000 })
          const of = Map.groupBy(records, ({ account }) => account.key)
          for (const { key } of [...customers, ...LICENCES]) {
            const hours = (of.get(key) ?? []).map(one => (one.hour - hour(0)) / HOUR)
            assert.deepEqual(hours, [...Array(20).keys()].reverse(), `${key} at write ${write}`)
          }
          const used = Map.groupBy(
            records.filter(({ quantity }) => quantity > 0),
            ({ account }) => account.accountId,
          )
          for (const { accountId = '' } of customers) {
            const one = TWINS.has(accountId) ? ['5 held two-identities', '5 pending'] : ['5 pending']
            const both = accountId === OTHER_PRODUCT.accountId ? ['5 pending', '5 pending'] : one
            assert.deepEqual(textsOf(used.get(accountId)), both, `${accountId} at write ${write}`)
          }
        })
        assert.ok(writes >= 10, `${writes} writes`)
      })

      test(`while an agreement is told, with the ${loss} lost: told again, its records of all hours go out`, async () => {
        const DORA = LICENCES[0] as CustomerAccount
        const append = appending('b')
        const prepare = async (ledger: Ledger) => {
          await ledger.register(DIMENSIONS)
          for (let n = 0; n < 6; n += 1) {
            await append(ledger, n, [DORA], n + 1)
            await ledger.closeHours(closeOptions(closing(n)))
            await settleAll(ledger, await claimAll(ledger, closing(n)), () => NOT_SUBSCRIBED, closing(n))
          }
          await append(ledger, 6, [DORA], 7)
          assert.equal((await told(ledger, { state: 'held' })).length, 6)
        }
        const endedAt = hour(6) + 20 * MINUTE
        const options = { ...closeOptions(endedAt + MINUTE) }
        const tell = async (ledger: Ledger) => {
          const active = await ledger.noteAgreement(DORA, { what: 'active', at: hour(0), tenant: 'acme' }, options)
          const ended = await ledger.noteAgreement(DORA, { what: 'ended', at: endedAt }, options)
          return [active.changed, ended.changed, ended.records]
        }
        await dieEverywhere(server, loss, prepare, tell, async (other, write) => {
          await Promise.all([tell(other), tell(other)])
          assert.deepEqual(await tell(other), [false, false, 0])
          const pending = Array.from({ length: 7 }, (_, n) => `${n + 1} pending`).sort()
          assert.deepEqual(await told(other), pending, `died at write ${write}`)
          const actions = (await other.audit({ actions: ['agreement', 'finalize'] })).map(({ action }) => action)
          assert.deepEqual(actions.sort(), ['agreement', 'finalize'])
          assert.equal((await other.agreements({ tenant: 'acme' }))[0]?.until, endedAt)
        })
      })

      test(`while usage is given to another licence, with the ${loss} lost: all of it is given once`, async () => {
        const [from, to] = [licensed(ALICE), { ...licensed(ALICE), key: 'new', licenseArn: 'new' }]
        const append = appending('c')
        const prepare = async (ledger: Ledger) => {
          await ledger.register(DIMENSIONS)
          for (let n = 0; n < 10; n += 1) {
            await append(ledger, n, [from, BOB], n + 1)
            await ledger.closeHours(closeOptions(closing(n)))
            await settleAll(ledger, await claimAll(ledger, closing(n)), () => NOT_SUBSCRIBED, closing(n))
          }
          await append(ledger, 10, [from], 11)
        }
        const by = { ...BY, now: hour(10) }
        const give = (ledger: Ledger) => ledger.attribute(from.key, REQUESTS.name, to, by)
        await dieEverywhere(server, loss, prepare, give, async (other, write) => {
          await give(other).catch(error => assert.equal(error.code, 'ERR_LEDGER_STATE'))
          const [line] = await other.statement({ customer: to.key })
          assert.deepEqual([line?.recorded, line?.balance], [66n * UNIT, 66n * UNIT], `died at write ${write}`)
          const said = await other.audit({ actions: ['attribute'] })
          assert.equal(
            said.reduce((sum, { amount = 0n }) => sum + amount, 0n),
            66n * UNIT,
          )
          assert.equal((await other.statement({ customer: from.key }))[0]?.recorded, 0n)
          assert.equal((await told(other, { customer: BOB.key, state: 'held' })).length, 10)
        })
      })
    }

    test('at the end of an agreement its other identity is seen wherever it is, and what a person lets pass goes out', async () => {
      const client = server.client()
      const ledger = await DynamoDBLedger.open({ tableName: await server.table(client), client })
      await ledger.register(DIMENSIONS)
      const append = appending('d')
      await append(ledger, 0, [...customers, ...LICENCES])
      const [code, licence] = [customer(0), LICENCES[0] as CustomerAccount]
      const end = { ...closeOptions(hour(0) + 31 * MINUTE), endedAt: hour(0) + 30 * MINUTE }
      assert.equal((await ledger.finalize(licence, end)).held.length, 0)
      const { held } = await ledger.finalize(code, end)
      assert.deepEqual([held.map(({ reason }) => reason), held[0]?.account.key], [['two-identities'], code.key])
      await ledger.decide(held[0]?.id ?? '', 'release', BY)
      await ledger.noteAgreement(code, { what: 'active', at: hour(1) }, closeOptions(hour(1)))
      await append(ledger, 1, [licence])
      await ledger.closeHours(closeOptions(closing(1)))
      assert.deepEqual(await told(ledger, { customer: code.key }), ['5 pending', '5 returned two-identities'])
    })

    test('both identities of an AWS account end at once: one is billed, wherever one process sleeps', async () => {
      const [code, licence] = [customer(0), LICENCES[0] as CustomerAccount]
      const items = await server.itemsAfter(async ledger => {
        await ledger.register(DIMENSIONS)
        await appending('0')(ledger, 0, [...customers, licence])
        await ledger.closeHours(closeOptions(closing(-1)))
      })
      const end = { ...closeOptions(hour(0) + 31 * MINUTE), endedAt: hour(0) + 30 * MINUTE }
      const client = server.client()
      // Before the eighth it only opens the ledger and folds.
      for (let [request, slept] = [ALL ? 1 : 8, true]; slept; request += 1) {
        const tableName = await server.tableOf(client, items)
        const sleepy = new SleepyClient(server.client(), request)
        const ending = DynamoDBLedger.open({ tableName, client: sleepy.client }).then(one => one.finalize(code, end))
        slept = await Promise.race([sleepy.asleep.then(() => true), ending.then(() => false)])
        const other = await (await DynamoDBLedger.open({ tableName, client, now: later })).finalize(licence, end)
        sleepy.wake()
        const one = await ending
        const both = [one.records + other.records, one.held.length + other.held.length]
        assert.deepEqual(both, [2, 1], `it slept at request ${request}`)
      }
    })

    test('an end that the version before has noted is an end still', async () => {
      const END = hour(0) + 30 * MINUTE
      const items = await server.itemsAfter(async ledger => {
        await ledger.register(DIMENSIONS)
        await appending('e')(ledger, 0, [ALICE, BOB])
        await ledger.finalize(ALICE, { ...closeOptions(END + MINUTE), endedAt: END })
        // One that is blocked, of whose agreement nothing is known.
        await ledger.closeHours(closeOptions(closing(0)))
        await settleAll(ledger, await claimAll(ledger, closing(0)), () => NOT_SUBSCRIBED, closing(0))
      })
      const client = server.client()
      const tableName = await server.tableOf(client, items)
      // As the version before wrote them.
      for (const Item of items) {
        const [{ S: sk = '' } = {}, packed] = [Item.sk, Item.data?.B]
        if (packed === undefined || !['state', 'head'].includes(sk)) continue
        const data = unpack(packed) as { accounts: [number, { agreement: { marks: [[number]] } | null }][] }
        const accounts = data.accounts?.map(([number, { agreement, ...state }]) => {
          return [number, { ...state, endedAt: agreement === null ? null : agreement.marks[0][0] }]
        })
        const before = sk === 'head' ? { ...data, format: 3 } : { ...data, accounts }
        await client.send(new PutItemCommand({ TableName: tableName, Item: { ...Item, data: { B: pack(before) } } }))
      }
      const ledger = await DynamoDBLedger.open({ tableName, client })
      const known = (await ledger.agreements()).map(({ account, state, until }) => [account.key, state, until])
      assert.deepEqual(known, [[ALICE.key, 'ended', END]])
      await appending('f')(ledger, 1, [ALICE, BOB], 7)
      await ledger.closeHours(closeOptions(closing(1)))
      assert.ok((await told(ledger, { customer: ALICE.key })).includes('7 held agreement-ended'))
      assert.ok((await told(ledger, { customer: BOB.key })).includes('7 pending'))
    })
  })
}
