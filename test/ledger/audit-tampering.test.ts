import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { DatabaseSync } from 'node:sqlite'
import { after, test } from 'node:test'
import { type AttributeValue, DeleteItemCommand, GetItemCommand, PutItemCommand } from '@aws-sdk/client-dynamodb'
import { DynamoDBLedger } from '../../src/ledger/dynamodb/ledger.ts'
import { pack, unpack } from '../../src/ledger/dynamodb/packed-json.ts'
import type { AuditBreak, Ledger } from '../../src/ledger/ledger.ts'
import { SqliteLedger } from '../../src/ledger/sqlite/ledger.ts'
import { DynamoDBLocal, withoutJava } from './dynamodb/server.ts'
import { PostgresqlLedgers } from './postgresql/under-test.ts'
import { BY, hour, NOBODY, REQUESTS } from './scene.ts'
import { TemporaryFolder } from './sqlite-under-test.ts'

/** What is done to a trail past its ledger, by numbers in the chain. */
interface Tampering {
  /** Gives an entry another who. */
  change(number: number, hash?: string): Promise<void>
  remove(number: number): Promise<void>
  /** Puts in an entry that is not chained. */
  insert(): Promise<void>
  /** Exchanges what two entries say, but for their numbers. */
  exchange(one: number, other: number): Promise<void>
}

/** Tests that whatever is done to the trail of five entries is seen. */
function auditTampering(
  engine: string,
  open: () => Promise<{ ledger: Ledger; tampering: Tampering } & AsyncDisposable>,
): void {
  const seen = (title: string, tamper: (one: Tampering) => Promise<void>, ...expected: readonly AuditBreak[]) => {
    test(`${engine}: ${title}`, async () => {
      await using opened = await open()
      const { ledger, tampering } = opened
      await ledger.register([REQUESTS])
      for (let n = 1; n <= 5; n += 1) {
        const entries = [{ account: NOBODY, dimension: REQUESTS.name, hour: hour(n), amount: BigInt(n) }]
        await ledger.append({ writer: 'ab'.repeat(16), sequence: n, entries })
        await ledger.writeOff(NOBODY.key, REQUESTS.name, { ...BY, now: hour(n) })
      }
      assert.deepEqual((await ledger.verifyAudit()).breaks, [])
      await tamper(tampering)
      const { breaks } = await ledger.verifyAudit()
      assert.deepEqual(breaks, expected)
      // It goes on all the same, and so does what is wrong.
      await ledger.noteSetAside('writer', 'refused', 'batch 1')
      const after = await ledger.verifyAudit()
      assert.deepEqual([after.entries > 0, after.breaks.length > 0], [true, true])
    })
  }
  seen('an entry that was changed is seen', one => one.change(2), { kind: 'changed', number: 2, at: hour(2) })
  seen('the last entry changed is seen', one => one.change(5), { kind: 'changed', number: 5, at: hour(5) })
  seen(
    'an entry that was changed and hashed anew is seen',
    one => one.change(2, createHash('sha256').update('anew').digest('hex')),
    { kind: 'changed', number: 2, at: hour(2) },
    { kind: 'changed', number: 3, at: hour(3) },
  )
  seen('an entry that was removed is seen', one => one.remove(3), { kind: 'missing', from: 3, number: 3 })
  seen('the first removed is seen', one => one.remove(1), { kind: 'missing', from: 1, number: 1 })
  seen('the last removed is seen', one => one.remove(5), { kind: 'missing', from: 5, number: 5 })
  seen('an entry that was put in is seen', one => one.insert(), { kind: 'inserted', at: hour(9) })
  seen(
    'entries that were exchanged are seen',
    one => one.exchange(2, 3),
    ...[2, 3, 4].map(number => ({ kind: 'changed' as const, number, at: hour(number === 4 ? 4 : 5 - number) })),
  )
}

/** By statements, which engines with tables share. */
function bySql(run: (sql: string) => unknown): Tampering {
  const doing = async (sql: string) => void (await run(sql))
  return {
    change: (number, hash) =>
      doing(
        `UPDATE audit SET who = 'nobody' ${hash === undefined ? '' : `, hash = '${hash}'`} WHERE number = ${number}`,
      ),
    remove: number => doing(`DELETE FROM audit WHERE number = ${number}`),
    insert: () =>
      doing(`INSERT INTO audit (at, who, why, action) VALUES (${hour(9)}, 'ceo@example.com', 'approved', 'write-off')`),
    exchange: (one, other) =>
      doing(
        `UPDATE audit SET at = other.at, amount = other.amount, hash = other.hash
         FROM (SELECT number, at, amount, hash FROM audit) AS other
         WHERE audit.number IN (${one}, ${other}) AND other.number = ${one} + ${other} - audit.number`,
      ),
  }
}

auditTampering('SQLite', async () => {
  const folder = new TemporaryFolder()
  const ledger = new SqliteLedger({ path: folder.file() })
  const database = new DatabaseSync(folder.file())
  return {
    ledger,
    tampering: bySql(sql => database.exec(sql)),
    [Symbol.asyncDispose]: async () => {
      database.close()
      await ledger.close()
      folder[Symbol.dispose]()
    },
  }
})

const ledgers = await PostgresqlLedgers.start()
after(() => ledgers[Symbol.asyncDispose]())
auditTampering('PostgreSQL', async () => {
  const schema = ledgers.schema()
  const ledger = await ledgers.open(schema)
  return {
    ledger,
    tampering: bySql(sql => ledgers.pool.query(`BEGIN; SET LOCAL search_path TO "${schema}"; ${sql}; COMMIT`)),
    [Symbol.asyncDispose]: () => ledger.close(),
  }
})

if (withoutJava) test('DynamoDB', { skip: withoutJava })
else {
  const server = await DynamoDBLocal.start()
  after(() => server[Symbol.asyncDispose]())
  auditTampering('DynamoDB', async () => {
    const client = server.client()
    const TableName = await server.table(client)
    const keyOf = (number: number) => ({ pk: { S: 'audit' }, sk: { S: `1${String(number).padStart(15, '0')}` } })
    const read = async (number: number) => {
      const { Item } = await client.send(new GetItemCommand({ TableName, Key: keyOf(number) }))
      return unpack(Item?.data?.B as Uint8Array) as object
    }
    const put = async (Key: Record<string, AttributeValue>, data: object) => {
      const Item = { ...Key, v: { S: 'another' }, data: { B: pack(data) } }
      await client.send(new PutItemCommand({ TableName, Item }))
    }
    const ledger = await DynamoDBLedger.open({ tableName: TableName, client })
    const tampering: Tampering = {
      change: async (number, hash) =>
        put(keyOf(number), { ...(await read(number)), who: 'nobody', ...(hash !== undefined && { hash }) }),
      remove: async number => {
        await client.send(new DeleteItemCommand({ TableName, Key: keyOf(number) }))
      },
      insert: async () => {
        const { number, hash, ...entry } = (await read(1)) as { number: number; hash: string }
        await put({ pk: { S: 'audit' }, sk: { S: `000${hour(9)}#1` } }, { ...entry, at: hour(9) })
      },
      exchange: async (one, other) => {
        const entries = [await read(one), await read(other)]
        await put(keyOf(one), { ...entries[1], number: one })
        await put(keyOf(other), { ...entries[0], number: other })
      },
    }
    return { ledger, tampering, [Symbol.asyncDispose]: () => ledger.close() }
  })
}
