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
import { ALICE, BY, hour, NOBODY, REQUESTS } from './scene.ts'
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
  /** Gives an entry an amount that is none. */
  spoil(number: number): Promise<void>
  /** Takes an entry out of what finds it by its action; only where that can be done. */
  hide?(number: number): Promise<void>
  /** Takes what is kept beside the trail away. */
  removeEnd(): Promise<void>
  /** Copies an entry's number and hash into what is kept beside the trail. */
  turnBack(number: number): Promise<void>
}

/** A trail of five entries. */
async function writeTrail(ledger: Ledger): Promise<void> {
  await ledger.register([REQUESTS])
  for (let n = 1; n <= 5; n += 1) {
    const entries = [{ account: NOBODY, dimension: REQUESTS.name, hour: hour(n), amount: BigInt(n) }]
    await ledger.append({ writer: 'ab'.repeat(16), sequence: n, entries })
    await ledger.writeOff(NOBODY.key, REQUESTS.name, { ...BY, now: hour(n) })
  }
  assert.deepEqual((await ledger.verifyAudit()).breaks, [])
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
      await writeTrail(ledger)
      await tamper(tampering)
      const { breaks } = await ledger.verifyAudit()
      assert.deepEqual(breaks, expected)
      // It goes on all the same, and so does what is wrong.
      await ledger.note({ action: 'set-aside', who: 'writer', why: 'refused', detail: 'batch 1' })
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
  seen('an amount that is none is seen', one => one.spoil(2), { kind: 'changed', number: 2, at: hour(2) })
  seen(
    'an entry that is not found by its action is seen',
    async one => {
      await one.hide?.(2)
      if (one.hide === undefined) await one.change(2)
    },
    ...[{ kind: engine === 'PostgreSQL' ? ('changed' as const) : ('hidden' as const), number: 2, at: hour(2) }],
  )

  test(`${engine}: an entry that cannot be read is a damaged ledger`, async () => {
    await using opened = await open()
    const { ledger, tampering } = opened
    await writeTrail(ledger)
    await tampering.spoil(2)
    await assert.rejects(ledger.audit(), { code: 'ERR_LEDGER_CORRUPT', message: /^Entry 2 .*"verify"/ })
  })

  test(`${engine}: without its end nothing is added to the trail`, async () => {
    await using opened = await open()
    const { ledger, tampering } = opened
    await writeTrail(ledger)
    await tampering.removeEnd()
    const damaged = { name: 'LedgerError', code: 'ERR_LEDGER_CORRUPT' }
    await assert.rejects(
      ledger.note({ action: 'set-aside', who: 'writer', why: 'refused', detail: 'batch 1' }),
      damaged,
    )
    await assert.rejects(ledger.noteSender('plant-a', [ALICE], hour(6)), damaged)
    if (engine !== 'DynamoDB') await assert.rejects(ledger.verifyAudit(), damaged)
    else assert.deepEqual((await ledger.verifyAudit()).breaks, [{ kind: 'replaced', number: 5 }])
  })

  test(`${engine}: a trail that was cut off shows against a hash that was kept`, async () => {
    await using opened = await open()
    const { ledger, tampering } = opened
    await writeTrail(ledger)
    const { hash } = await ledger.verifyAudit()
    const earlier = (await ledger.audit()).find(({ number }) => number === 4)?.hash
    assert.equal((await ledger.verifyAudit(hash)).keptAt, 5)
    assert.equal((await ledger.verifyAudit(earlier)).keptAt, 4)
    await tampering.remove(5)
    await tampering.turnBack(4)
    assert.deepEqual((await ledger.verifyAudit()).breaks, [])
    const { keptAt, breaks } = await ledger.verifyAudit(hash)
    assert.deepEqual([keptAt, breaks], [undefined, [{ kind: 'not-kept' }]])
    assert.deepEqual((await ledger.verifyAudit(earlier)).keptAt, 4)
    // Neither does another entry in its place have it.
    await ledger.note({ action: 'set-aside', who: 'writer', why: 'refused', detail: 'batch 1' })
    assert.deepEqual((await ledger.verifyAudit(hash)).breaks, [{ kind: 'not-kept' }])
  })
}

/** Tests that a trail whose last hash was taken away is not begun anew: with tables that may be without one. */
function withoutHash(
  engine: string,
  open: () => Promise<{ ledger: Ledger; run: (sql: string) => unknown } & AsyncDisposable>,
) {
  for (const also of [
    '',
    'DELETE FROM audit WHERE number > 1',
    'DELETE FROM audit',
    'UPDATE audit_chain SET entries = 0',
  ]) {
    test(`${engine}: a trail without its last hash is not as it was written; ${also}`, async () => {
      await using opened = await open()
      const { ledger, run } = opened
      await writeTrail(ledger)
      const { hash } = await ledger.verifyAudit()
      await run(`UPDATE audit_chain SET hash = NULL, hash_before = NULL, id_before = NULL; ${also}`)
      assert.deepEqual((await ledger.verifyAudit()).breaks, [{ kind: 'replaced', number: 5 }])
      assert.deepEqual((await ledger.verifyAudit(hash)).breaks.at(-1), { kind: 'not-kept' })
      await ledger.note({ action: 'set-aside', who: 'writer', why: 'refused', detail: 'batch 1' })
      const after = await ledger.verifyAudit()
      assert.deepEqual([after.entries, after.breaks.length > 0], [6, true])
    })
  }
}

/** By statements, which engines with tables share. */
function bySql(run: (sql: string) => unknown, amount: string): Tampering {
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
    spoil: number => doing(`UPDATE audit SET amount = '${amount}' WHERE number = ${number}`),
    removeEnd: () => doing('DELETE FROM audit_chain'),
    turnBack: number =>
      doing(`UPDATE audit_chain SET entries = ${number}, hash = (SELECT hash FROM audit WHERE number = ${number})`),
  }
}

async function openSqlite() {
  const folder = new TemporaryFolder()
  const ledger = new SqliteLedger({ path: folder.file() })
  const database = new DatabaseSync(folder.file(), { defensive: false })
  return {
    ledger,
    tampering: {
      ...bySql(sql => database.exec(sql), '1 or 2'),
      hide: async (number: number) => {
        const define = (where: string) => {
          database.exec(`PRAGMA writable_schema = ON;
            UPDATE sqlite_schema SET sql = 'CREATE INDEX audit_action ON audit (action, id)${where}'
            WHERE name = 'audit_action'; PRAGMA writable_schema = RESET`)
        }
        define(` WHERE number <> ${number}`)
        database.exec('REINDEX audit_action')
        define('')
      },
    },
    database,
    run: (sql: string) => database.exec(sql),
    [Symbol.asyncDispose]: async () => {
      database.close()
      await ledger.close()
      folder[Symbol.dispose]()
    },
  }
}
auditTampering('SQLite', openSqlite)
withoutHash('SQLite', openSqlite)

test('SQLite: an entry of which SQL finds something else than is hashed is seen', async () => {
  const account = (text: string) => `account = replace(account, '{"kind"', '{${text}"kind"')`
  for (const [set, number] of [
    [account('"key":"x",'), 2],
    [account('"accountId":"111122223333","accountId":"0",'), 2],
    [account(' '), 2],
    ["account = 'x'", 2],
    ["amount = '0x' || amount", 2],
    ["amount = ' ' || amount", 2],
    ['dimension = upper(dimension)', 2],
    ['hash = upper(hash)', 5],
    // Read as what stands for a NUL, and not found as such.
    ["who = CAST(x'6fff7073' AS TEXT)", 6],
  ] as const) {
    await using opened = await openSqlite()
    const { ledger, database } = opened
    await writeTrail(ledger)
    await ledger.note({ action: 'set-aside', who: 'o\0ps', why: 'refused', detail: 'batch 1' })
    database.exec(`UPDATE audit SET ${set} WHERE number = ${number}`)
    const { breaks } = await ledger.verifyAudit()
    assert.deepEqual([set, breaks[0]?.kind, breaks[0]?.number], [set, 'changed', number])
  }
})

test('SQLite: a number that no ledger writes is a damaged ledger', async () => {
  await using opened = await openSqlite()
  const { ledger, database } = opened
  await writeTrail(ledger)
  database.exec('UPDATE audit SET record = 9223372036854775807 WHERE number = 2')
  await assert.rejects(ledger.verifyAudit(), { name: 'LedgerError', code: 'ERR_LEDGER_CORRUPT' })
})

const ledgers = await PostgresqlLedgers.shared()
after(() => ledgers[Symbol.asyncDispose]())
async function openPostgresql() {
  const schema = ledgers.schema()
  const ledger = await ledgers.open(schema)
  const run = (sql: string) => ledgers.pool.query(`BEGIN; SET LOCAL search_path TO "${schema}"; ${sql}; COMMIT`)
  return {
    ledger,
    tampering: bySql(run, '1.5'),
    run,
    [Symbol.asyncDispose]: () => ledger.close(),
  }
}
auditTampering('PostgreSQL', openPostgresql)
withoutHash('PostgreSQL', openPostgresql)

if (withoutJava) test('DynamoDB', { skip: withoutJava })
else {
  const server = await DynamoDBLocal.shared()
  after(() => server[Symbol.asyncDispose]())
  auditTampering('DynamoDB', async () => {
    const client = server.client()
    const TableName = await server.table(client)
    const END = { pk: { S: 'chain' }, sk: { S: 'audit' } }
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
      spoil: async number => put(keyOf(number), { ...(await read(number)), amount: '1 or 2' }),
      hide: async (number: number) => {
        const Key = { ...keyOf(number), pk: { S: 'audit#write-off' } }
        await client.send(new DeleteItemCommand({ TableName, Key }))
      },
      removeEnd: async () => {
        await client.send(new DeleteItemCommand({ TableName, Key: END }))
      },
      turnBack: async number => {
        const { Item } = await client.send(new GetItemCommand({ TableName, Key: END }))
        const { hash } = (await read(number)) as { hash: string }
        await put(END, { ...(unpack(Item?.data?.B as Uint8Array) as object), entries: number, hash })
      },
    }
    return { ledger, tampering, [Symbol.asyncDispose]: () => ledger.close() }
  })
}
