import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, mock, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { LedgerError, type LedgerErrorCode } from '../../src/ledger/errors.ts'
import { HOUR, MINUTE } from '../../src/ledger/hours.ts'
import type { Ledger } from '../../src/ledger/ledger.ts'
import type { Piece } from '../../src/ledger/sql/piece.ts'
import { type PieceRecord, twinAt } from '../../src/ledger/sql/piece-rows.ts'
import { Database } from '../../src/ledger/sqlite/database.ts'
import { openLedgerFile } from '../../src/ledger/sqlite/file.ts'
import { SqliteLedger } from '../../src/ledger/sqlite/ledger.ts'
import { loadRecords, savePiece } from '../../src/ledger/sqlite/piece.ts'
import { MIGRATIONS } from '../../src/ledger/sqlite/schema.ts'
import type { CustomerAccount } from '../../src/usage/account.ts'
import { audited, Books, sum } from './books.ts'
import { checkRestored, useBeforeBackup } from './restored.ts'
import {
  ALICE,
  BOB,
  BY,
  CAROL,
  closeOptions,
  closing,
  DIMENSIONS,
  entry,
  hour,
  lost,
  METERED,
  NOBODY,
  observing,
  REFUSED,
  REQUESTS,
  sources,
  TOKENS,
  taggedEntries,
  UNIT,
  WRITER,
} from './scene.ts'
import { TemporaryFolder } from './sqlite-under-test.ts'
import { runJob, startJob } from './worker.ts'

/** A ledger with a little of everything, closed. */
async function makeLedger(path: string): Promise<void> {
  const ledger = new SqliteLedger({ path })
  await ledger.register(DIMENSIONS)
  const customers = Array.from({ length: 500 }, (_, n): CustomerAccount => ({ ...ALICE, key: `prod-1,${n}` }))
  for (const sequence of [1, 2]) {
    await ledger.append({ writer: WRITER, sequence, entries: customers.map(one => entry(one, REQUESTS, sequence, 3)) })
  }
  await ledger.closeHours(closeOptions(closing(1)))
  await ledger.close()
}

/** Leaves a ledger as a process that was killed does: the last transactions are in the write-ahead log only. */
async function leaveBehind(path: string, to: string): Promise<void> {
  const ledger = new SqliteLedger({ path })
  await ledger.append({ writer: WRITER, sequence: 3, entries: [entry(ALICE, REQUESTS, 5, 1)] })
  for (const end of ['', '-wal']) copyFileSync(`${path}${end}`, `${to}${end}`)
  await ledger.close()
}

/** What is in a folder, but for the index of a write-ahead log, which SQLite makes anew for every reader. */
function contentsOf(folder: TemporaryFolder): Record<string, string> {
  const names = readdirSync(folder.path).filter(name => !name.endsWith('-shm'))
  const contents = names.map(name => [name, readFileSync(join(folder.path, name))] as const)
  return Object.fromEntries(
    contents
      .filter(([name, bytes]) => !(name.endsWith('-wal') && bytes.length === 0))
      .map(([name, bytes]) => [name, createHash('sha256').update(bytes).digest('hex')]),
  )
}

/** A hex digest for each file stays the same while `act` fails with a code. */
function refused(folder: TemporaryFolder, code: LedgerErrorCode, act: () => unknown): void {
  const before = contentsOf(folder)
  assert.throws(act, (error: unknown) => error instanceof LedgerError && assert.equal(error.code, code) === undefined)
  assert.deepEqual(contentsOf(folder), before)
}

describe('a file that is not a ledger', () => {
  for (const [what, text] of [
    ['text', 'dear diary'],
    ['a long text', 'dear diary\n'.repeat(1000)],
    ['zeros', '\0'.repeat(8192)],
    ['the beginning of a header', 'SQLite format 3'],
  ] as const) {
    test(`${what} is refused and left as it is`, () => {
      using folder = new TemporaryFolder()
      writeFileSync(folder.file(), text)
      refused(folder, 'ERR_LEDGER_FOREIGN', () => new SqliteLedger({ path: folder.file() }))
    })
  }

  for (const journal of ['delete', 'wal']) {
    test(`a database of another application (${journal}) is refused and left as it is`, () => {
      using folder = new TemporaryFolder()
      const other = new DatabaseSync(folder.file('other.db'))
      other.exec(`PRAGMA journal_mode = ${journal}; CREATE TABLE account (id); INSERT INTO account VALUES (1)`)
      // Not closed before it is copied: its last transactions are in its log.
      for (const name of readdirSync(folder.path).filter(name => !name.endsWith('-shm'))) {
        copyFileSync(folder.file(name), folder.file(name.replace('other', 'ledger')))
      }
      other.close()
      refused(folder, 'ERR_LEDGER_FOREIGN', () => new SqliteLedger({ path: folder.file() }))
      assert.ok(journal === 'delete' || existsSync(folder.file('ledger.db-wal')))
    })
  }

  test('a folder, and a path through a file or a folder that is not there, cannot be opened', () => {
    using folder = new TemporaryFolder()
    writeFileSync(folder.file('file'), '')
    for (const path of [folder.path, folder.file('file/ledger.db'), folder.file('missing/ledger.db')]) {
      refused(folder, 'ERR_LEDGER_IO', () => new SqliteLedger({ path }))
    }
  })

  test('an empty file becomes a ledger: SQLite leaves one where a first start was cut short', async () => {
    using folder = new TemporaryFolder()
    writeFileSync(folder.file(), '')
    await makeLedger(folder.file())
  })
})

describe('a damaged ledger', () => {
  for (const log of [false, true]) {
    const after = log ? ', after a process was killed' : ''

    test(`overwritten in the middle: refused or, in the history, read with an error${after}`, async () => {
      using original = new TemporaryFolder()
      await makeLedger(original.file('original.db'))
      await leaveBehind(original.file('original.db'), original.file())
      if (!log) rmSync(original.file('ledger.db-wal'))
      const bytes = readFileSync(original.file())
      let refusals = 0
      for (let page = 1; page < bytes.length / 4096; page += 1) {
        using folder = new TemporaryFolder()
        const damaged = Buffer.from(bytes)
        damaged.fill(0xa5, page * 4096, (page + 1) * 4096)
        writeFileSync(folder.file(), damaged)
        if (log) copyFileSync(original.file('ledger.db-wal'), folder.file('ledger.db-wal'))
        const before = contentsOf(folder)
        try {
          await new SqliteLedger({ path: folder.file() }).close()
        } catch (error) {
          assert.equal((error as LedgerError).code, 'ERR_LEDGER_CORRUPT')
          assert.deepEqual(contentsOf(folder), before)
          refusals += 1
        }
      }
      assert.ok(refusals > 5, `${refusals} of ${bytes.length / 4096} pages were missed`)
    })

    test(`truncated: refused${after}`, async () => {
      using folder = new TemporaryFolder()
      await makeLedger(folder.file('original.db'))
      await leaveBehind(folder.file('original.db'), folder.file())
      if (!log) rmSync(folder.file('ledger.db-wal'))
      truncateSync(folder.file(), 4096 * 4)
      refused(folder, 'ERR_LEDGER_CORRUPT', () => new SqliteLedger({ path: folder.file() }))
    })

    test(`of a newer version: refused${after}`, async () => {
      using folder = new TemporaryFolder()
      await makeLedger(folder.file('original.db'))
      const newer = new DatabaseSync(folder.file('original.db'))
      newer.exec(`PRAGMA user_version = ${MIGRATIONS.length + 1}`)
      for (const end of log ? ['', '-wal'] : []) {
        copyFileSync(folder.file(`original.db${end}`), folder.file(`ledger.db${end}`))
      }
      newer.close()
      if (!log) copyFileSync(folder.file('original.db'), folder.file())
      refused(folder, 'ERR_LEDGER_NEWER', () => new SqliteLedger({ path: folder.file() }))
      refused(folder, 'ERR_LEDGER_NEWER', () => new SqliteLedger({ path: folder.file(), readOnly: true }))
    })
  }
})

describe('where the file is', () => {
  const OPEN = { busyTimeout: 0, readOnly: false }
  const disk = () => 0xef53

  test('a file system whose locks cannot be trusted is refused before anything is written', () => {
    using folder = new TemporaryFolder()
    const asked: string[] = []
    for (const type of [0x6969, 0xff534d42, -0xacb2be, 0x65735546, 0x01161970, 0x7461636f, 0x786f4256]) {
      const fileSystemType = (path: string) => asked.push(path) && type
      refused(folder, 'ERR_LEDGER_NETWORK_FILE_SYSTEM', () =>
        openLedgerFile(folder.file(), { ...OPEN, fileSystemType }),
      )
    }
    assert.deepEqual(new Set(asked), new Set([folder.path]))
    openLedgerFile(folder.file(), { ...OPEN, fileSystemType: disk }).close()
  })

  test('one that somebody insists on is taken, and no other', t => {
    using folder = new TemporaryFolder()
    process.env.MARKETPLACE_LEDGER_FILE_SYSTEM = 'FUSE'
    t.after(() => delete process.env.MARKETPLACE_LEDGER_FILE_SYSTEM)
    const openOn = (type: number) => openLedgerFile(folder.file(), { ...OPEN, fileSystemType: () => type })
    refused(folder, 'ERR_LEDGER_NETWORK_FILE_SYSTEM', () => openOn(0x6969))
    openOn(0x65735546).close()
  })

  test('it is the file system that a link leads to', () => {
    using folder = new TemporaryFolder()
    using other = new TemporaryFolder()
    openLedgerFile(other.file(), OPEN).close()
    symlinkSync(other.file(), folder.file())
    const fileSystemType = (path: string) => (path === other.path ? 0x6969 : 0xef53)
    refused(folder, 'ERR_LEDGER_NETWORK_FILE_SYSTEM', () => openLedgerFile(folder.file(), { ...OPEN, fileSystemType }))
  })

  test('a file that is mounted by itself is refused: its log is not beside it', () => {
    using folder = new TemporaryFolder()
    const path = folder.file('my ledger.db')
    openLedgerFile(path, OPEN).close()
    const line = (where: string) => `36 35 98:0 /volume/x ${where} rw,noatime shared:1 - ext4 /dev/sda rw\n`
    const mountedAt = (where: string) => ({ ...OPEN, mounts: () => line('/') + line(where) })
    refused(folder, 'ERR_LEDGER_FILE_ALONE', () => openLedgerFile(path, mountedAt(`${folder.path}/my\\040ledger.db`)))
    openLedgerFile(path, mountedAt(folder.path)).close()
    // Where the system does not tell, the file and its folder are on one device.
    const untold = () => {
      throw new Error('no /proc')
    }
    openLedgerFile(path, { ...OPEN, mounts: untold }).close()
  })

  test('a file with a second name is refused: by that it has another log', () => {
    using folder = new TemporaryFolder()
    openLedgerFile(folder.file(), OPEN).close()
    linkSync(folder.file(), folder.file('other.db'))
    refused(folder, 'ERR_LEDGER_FILE_ALONE', () => openLedgerFile(folder.file('other.db'), OPEN))
    rmSync(folder.file('other.db'))
    openLedgerFile(folder.file(), OPEN).close()
  })
})

describe('a file that is not there any more while it is open', () => {
  const ENDS = ['', '-wal', '-shm']
  const batch = (sequence: number) => ({ writer: WRITER, sequence, entries: [entry(ALICE, REQUESTS, 1, 10)] })
  const REPLACED = { code: 'ERR_LEDGER_REPLACED' }

  const FATES: Record<string, (folder: TemporaryFolder) => void> = {
    deleted: ({ path }) => {
      for (const name of readdirSync(path)) rmSync(join(path, name))
    },
    'moved to another folder': folder => {
      mkdirSync(folder.file('elsewhere'))
      for (const end of ENDS) renameSync(folder.file() + end, folder.file(`elsewhere/ledger.db${end}`))
    },
    'moved, and a link to it left in its place': folder => {
      renameSync(folder.file(), folder.file('moved.db'))
      symlinkSync('moved.db', folder.file())
    },
    'replaced by a copy': folder => {
      copyFileSync(folder.file(), folder.file('copy.db'))
      renameSync(folder.file('copy.db'), folder.file())
    },
    'without its log': folder => rmSync(folder.file('ledger.db-wal')),
    'without its locks': folder => rmSync(folder.file('ledger.db-shm')),
  }
  for (const [fate, befall] of Object.entries(FATES)) {
    test(`${fate}: nothing more is acknowledged, closed or reported`, async () => {
      using folder = new TemporaryFolder()
      const ledger = new SqliteLedger({ path: folder.file() })
      await ledger.register(DIMENSIONS)
      await ledger.append(batch(1))
      befall(folder)
      await assert.rejects(ledger.append(batch(2)), REPLACED)
      await assert.rejects(ledger.closeHours(closeOptions(closing(1))), REPLACED)
      await assert.rejects(ledger.due(closing(1)), REPLACED)
      await assert.rejects(ledger.ping(), REPLACED)
      await ledger.close()
    })
  }

  test('moved back, it goes on, and nothing is missing', async () => {
    using folder = new TemporaryFolder()
    const ledger = new SqliteLedger({ path: folder.file() })
    await ledger.register(DIMENSIONS)
    await ledger.append(batch(1))
    for (const end of ENDS) renameSync(folder.file() + end, `${folder.file('away.db')}${end}`)
    await assert.rejects(ledger.append(batch(2)), REPLACED)
    for (const end of ENDS) renameSync(`${folder.file('away.db')}${end}`, folder.file() + end)
    await ledger.append(batch(2))
    assert.equal((await ledger.statement())[0]?.recorded, 20n * UNIT)
    await ledger.close()
  })

  test('a link that comes to lead to another ledger', async () => {
    using folder = new TemporaryFolder()
    for (const name of ['one.db', 'two.db']) await makeLedger(folder.file(name))
    symlinkSync('one.db', folder.file())
    const ledger = new SqliteLedger({ path: folder.file() })
    await ledger.ping()
    rmSync(folder.file())
    symlinkSync('two.db', folder.file())
    await assert.rejects(ledger.ping(), REPLACED)
    await ledger.close()
  })

  test('who only looks is told too', async () => {
    using folder = new TemporaryFolder()
    await makeLedger(folder.file())
    const ledger = new SqliteLedger({ path: folder.file(), readOnly: true })
    await ledger.status()
    FATES['replaced by a copy']?.(folder)
    await assert.rejects(ledger.status(), REPLACED)
    await ledger.close()
  })
})

describe('opening', () => {
  test('a ledger that was left behind by a killed process has all that was acknowledged', async () => {
    using folder = new TemporaryFolder()
    await makeLedger(folder.file('original.db'))
    await leaveBehind(folder.file('original.db'), folder.file())
    const ledger = new SqliteLedger({ path: folder.file() })
    const lines = await ledger.statement()
    assert.equal(
      lines.reduce((total, line) => total + line.recorded, 0n),
      3001n * UNIT,
    )
    await ledger.close()
  })

  test('an acknowledged batch survives a power cut: WAL with synchronous = FULL', () => {
    using folder = new TemporaryFolder()
    for (const _ of ['new', 'again']) {
      const database = openLedgerFile(folder.file(), { busyTimeout: 0, readOnly: false })
      assert.deepEqual({ ...database.prepare('PRAGMA synchronous').get() }, { synchronous: 2 })
      assert.deepEqual({ ...database.prepare('PRAGMA journal_mode').get() }, { journal_mode: 'wal' })
      database.close()
    }
  })

  test('an older schema is brought forward with all that is in it', async () => {
    using folder = new TemporaryFolder()
    await makeLedger(folder.file())
    const migrations = MIGRATIONS as string[]
    migrations.push('CREATE TABLE later (id INTEGER PRIMARY KEY) STRICT; INSERT INTO later VALUES (1)')
    try {
      refused(folder, 'ERR_LEDGER_READ_ONLY', () => new SqliteLedger({ path: folder.file(), readOnly: true }))
      for (const _ of ['once', 'and not again']) {
        const ledger = new SqliteLedger({ path: folder.file() })
        assert.equal((await ledger.statement()).length, 500)
        await ledger.close()
      }
    } finally {
      migrations.pop()
    }
    refused(folder, 'ERR_LEDGER_NEWER', () => new SqliteLedger({ path: folder.file() }))
  })

  test('of a ledger that an earlier version let grow to the end of its integers, all is read and goes on', async () => {
    using folder = new TemporaryFolder()
    const before = new DatabaseSync(folder.file())
    // As that version has it: of entries of 2^72 and 5.5 units, each hour, series, whole units and millionths.
    const row = (amount: bigint) => [hour(1), 1, Number(amount / UNIT), Number(amount % UNIT)]
    const entries = [entry(ALICE, REQUESTS, 1, 5.5), entry(ALICE, REQUESTS, 1, 2n ** 72n)]
    const digest = createHash('sha256').update(Float64Array.from(entries.flatMap(({ amount }) => row(amount))))
    before.exec(`${MIGRATIONS.slice(0, 5).join('')}
      INSERT INTO dimension (name, unit, base_unit, size) VALUES ('requests', '{request}', '1', '1000000');
      INSERT INTO account (id, key, kind, product, account_id)
        VALUES (1, '${ALICE.key}', 'customer', 'prod-1', '111111111111');
      INSERT INTO series (id, account, dimension, first_hour, recorded, balance)
        VALUES (1, 1, 1, ${hour(-2)}, '14000000000000000002000000', '14000000000000000002000000');
      INSERT INTO usage VALUES (${hour(-2)}, 1, 7000000000000000000, 0), (${hour(-1)}, 1, 7000000000000000000, 0),
                               (${hour(0)}, 1, 2, 0), (${hour(-9)}, 1, 2000000000000, -500000),
                               (${hour(-8)}, 1, -7000000000000000000, -250000),
                               (${hour(-7)}, 1, -7000000000000000000, 250000);
      INSERT INTO open_usage VALUES (${hour(1)}, 1, ${2n ** 63n - 1n}, 999999), (${hour(2)}, 1, 3, 500000);
      INSERT INTO writer VALUES (1, '${WRITER}', 1);
      INSERT INTO batch VALUES (1, 1, x'${digest.digest('hex')}', ${hour(1)});
      PRAGMA application_id = 1095585100; PRAGMA user_version = 5`)
    before.close()
    const ledger = new SqliteLedger({ path: folder.file() })
    const closed = 14_000_000_000_000_000_002n * UNIT
    const open = (2n ** 63n - 1n) * UNIT + 999_999n
    const recorded = async (query = {}) => (await ledger.statement(query)).map(line => line.recorded)
    assert.deepEqual(await recorded(), [closed + open + 3_500_000n])
    assert.deepEqual(await recorded({ from: hour(-2), to: hour(1) }), [closed])
    // Beside what a person had written off in the hour, and that alone.
    assert.deepEqual(await recorded({ from: hour(-9), to: hour(-8) }), [1_999_999_999_999_500_000n])
    assert.deepEqual(await recorded({ from: hour(-8), to: hour(-6) }), [-14_000_000_000_000_000_000n * UNIT])
    await ledger.append({ writer: WRITER, sequence: 1, entries })
    await ledger.append({ writer: WRITER, sequence: 2, entries: [entry(ALICE, REQUESTS, 1, 8)] })
    await ledger.closeHours(closeOptions(closing(2)))
    assert.deepEqual(await recorded(), [closed + open + 11_500_000n])
    assert.deepEqual(await recorded({ from: hour(1), to: hour(2) }), [open + 8_000_000n])
    await ledger.close()
  })

  test('of a ledger that an earlier version restored, what is held has its reason, and can be settled in part', async () => {
    using folder = new TemporaryFolder()
    const before = new DatabaseSync(folder.file())
    before.exec(`${MIGRATIONS.slice(0, 2).join('')}
      INSERT INTO dimension (name, unit, base_unit, size) VALUES ('requests', '{request}', '1', '1000000');
      INSERT INTO account (id, key, kind, product, account_id)
        VALUES (1, '${ALICE.key}', 'customer', 'prod-1', '111111111111'), (2, '${BOB.key}', 'customer', 'prod-1', '222222222222');
      INSERT INTO series (id, account, dimension, first_hour, recorded)
        VALUES (1, 1, 1, ${hour(0)}, '5500000'), (2, 2, 1, ${hour(0)}, '7000000');
      INSERT INTO lane (id, product, identity, region)
        VALUES (1, 'prod-1', 'product-code', 'restored'), (2, 'prod-1', 'product-code', 'us-east-1');
      INSERT INTO record (id, series, hour, timestamp, deadline, lane, quantity, size, state, reason, attempts)
        VALUES (1, 1, ${hour(0)}, ${hour(1) - 1000}, ${hour(24)}, 1, 1, '5500000', 'held', 'in-doubt', 1),
               (2, 2, ${hour(0)}, ${hour(1) - 1000}, ${hour(24)}, 2, 7, '1000000', 'held', 'in-doubt', 1);
      PRAGMA application_id = 1095585100; PRAGMA user_version = 2`)
    before.close()
    const books = new Books()
    books.expect(ALICE, 'requests', 5_500_000n)
    books.expect(BOB, 'requests', 7n * UNIT)
    const ledger = audited(new SqliteLedger({ path: folder.file() }), books)
    const held = await ledger.records({ state: 'held' })
    assert.deepEqual(held.map(({ id, reason }) => [id, reason]).sort(), [
      ['1', 'restored'],
      ['2', 'in-doubt'],
    ])
    await ledger.decide('1', 'billed', BY, 2)
    await ledger.append({ writer: WRITER, sequence: 1, entries: [entry(ALICE, REQUESTS, 1, 1)] })
    await ledger.closeHours(closeOptions(closing(1)))
    const [line] = await ledger.statement({ customer: ALICE.key })
    assert.deepEqual([line?.metered, line?.pending, line?.balance], [2n * UNIT, 4n * UNIT, UNIT / 2n])
    await ledger.close()
  })

  test('an agreement that an earlier version knew to have ended is known', async () => {
    using folder = new TemporaryFolder()
    const before = new DatabaseSync(folder.file())
    before.exec(`${MIGRATIONS.slice(0, 7).join('')}
      INSERT INTO account (key, kind, product, account_id, ended_at)
        VALUES ('${ALICE.key}', 'customer', 'prod-1', '111111111111', ${hour(3)}),
               ('${BOB.key}', 'customer', 'prod-1', '222222222222', NULL);
      PRAGMA application_id = 1095585100; PRAGMA user_version = 7`)
    before.close()
    const ledger = new SqliteLedger({ path: folder.file() })
    assert.deepEqual(await ledger.agreements(), [{ account: ALICE, state: 'ended', until: hour(3) }])
    await ledger.close()
  })

  test('usage of open hours that an earlier version had a row for each of is there, to the millionth', async () => {
    using folder = new TemporaryFolder()
    const before = new DatabaseSync(folder.file())
    const id = (at: number, series: number) => (BigInt(hour(at) / HOUR) << 31n) + BigInt(series)
    before.exec(`${MIGRATIONS.slice(0, 10).join('')}
      INSERT INTO dimension (name, unit, base_unit, size) VALUES ('requests', '{request}', '1', '1000000');
      WITH RECURSIVE number (one) AS (SELECT 1 UNION ALL SELECT one + 1 FROM number WHERE one < 600)
      INSERT INTO account (id, key, kind, product, account_id)
      SELECT one, 'prod-1,' || (100000000000 + one), 'customer', 'prod-1', 100000000000 + one FROM number;
      INSERT INTO series (id, account, dimension, first_hour) SELECT id, id, 1, ${hour(0)} FROM account;
      INSERT INTO open_usage (id, whole, millionths) VALUES
        (${id(0, 1)}, 5, 500000), (${id(0, 255)}, 9000000000, 999999), (${id(0, 256)}, 9000000001, 1),
        (${id(0, 600)}, -3, -250000), (${id(1, 1)}, 7, -250000), (${id(1, 511)}, ${2n ** 62n}, -1);
      INSERT INTO large_usage VALUES (1, ${hour(0)}, 1, '${2n ** 90n}'), (1, ${hour(1)}, 2, '${2n ** 80n}'),
        (0, ${hour(-1)}, 2, '${2n ** 70n}');
      PRAGMA application_id = 1095585100; PRAGMA user_version = 10`)
    before.close()
    const ledger = new SqliteLedger({ path: folder.file() })
    const recorded = async (at: number) =>
      (await ledger.statement({ from: hour(at), to: hour(at + 1) })).map(({ account, recorded }) => [
        Number(account.key.slice(-3)),
        recorded,
      ])
    assert.deepEqual(await recorded(-1), [[2, 2n ** 70n]])
    assert.deepEqual(await recorded(0), [
      [1, 2n ** 90n + 5_500_000n],
      [255, 9_000_000_000_999_999n],
      [256, 9_000_000_001_000_001n],
      [600, -3_250_000n],
    ])
    assert.deepEqual(await recorded(1), [
      [1, 6_750_000n],
      [2, 2n ** 80n],
      [511, 2n ** 62n * UNIT - 1n],
    ])
    await ledger.closeHours(closeOptions(closing(1)))
    assert.deepEqual((await recorded(0)).length, 4)
    assert.deepEqual(
      (await ledger.statement()).reduce((sum, { recorded }) => sum + recorded, 0n),
      2n ** 90n + 2n ** 80n + 2n ** 62n * UNIT + 18_000_000_010_999_999n,
    )
    await ledger.close()
  })

  test("an AWS account's other identity is looked up, and not looked for in all of the hour", async () => {
    using folder = new TemporaryFolder()
    await makeLedger(folder.file())
    const database = new DatabaseSync(folder.file())
    const series = `SELECT ${twinAt('?1')} AS twin FROM series JOIN account ON account.id = series.account`
    const plan = database.prepare(`EXPLAIN QUERY PLAN ${series}`).all(0)
    database.close()
    const ways = plan.map(({ detail }) => String(detail)).filter(step => / (other|its|record) /.test(step))
    const expected = ['(account=? AND dimension=?)', '(account_id=?)', '(series=? AND hour=?)']
    assert.deepEqual([...new Set(ways.map(step => /\(.*\)$/.exec(step)?.[0]))].sort(), expected)
  })

  test('a migration that fails changes nothing', async () => {
    using folder = new TemporaryFolder()
    await makeLedger(folder.file())
    const migrations = MIGRATIONS as string[]
    migrations.push('CREATE TABLE later (id INTEGER) STRICT; CREATE TABLE later (id INTEGER) STRICT')
    try {
      refused(folder, 'ERR_LEDGER_IO', () => new SqliteLedger({ path: folder.file() }))
    } finally {
      migrations.pop()
    }
    await new SqliteLedger({ path: folder.file() }).close()
  })

  test('once closed it says so, and closing again does nothing', async () => {
    const ledger = new SqliteLedger({ path: ':memory:' })
    await ledger.close()
    await ledger.close()
    const closed = { code: 'ERR_LEDGER_CLOSED' }
    await assert.rejects(ledger.statement(), closed)
    await assert.rejects(ledger.due(0), closed)
    await assert.rejects(ledger.ping(), closed)
    await assert.rejects(ledger.closeHours(closeOptions(0)), closed)
    await assert.rejects(ledger.append({ writer: WRITER, sequence: 1, entries: [] }), closed)
    await assert.rejects(ledger.backup('/nowhere'), closed)
  })
})

describe('a ledger that cannot be written', () => {
  const WHO_MAY =
    /: \S+ledger\.db (belongs to uid 0 \(mode 444\): run this as that user|may not be written \(mode 444\): run chmod)/

  test('opened to look only, it shows and refuses', async () => {
    using folder = new TemporaryFolder()
    refused(folder, 'ERR_LEDGER_NOT_FOUND', () => new SqliteLedger({ path: folder.file(), readOnly: true }))
    await makeLedger(folder.file())
    const before = contentsOf(folder)
    const ledger = new SqliteLedger({ path: folder.file(), readOnly: true })
    assert.equal((await ledger.statement()).length, 500)
    await assert.rejects(ledger.append({ writer: WRITER, sequence: 3, entries: [entry(ALICE, REQUESTS, 0, 1)] }), {
      code: 'ERR_LEDGER_READ_ONLY',
    })
    await assert.rejects(ledger.closeHours(closeOptions(closing(5))), { code: 'ERR_LEDGER_READ_ONLY' })
    await ledger.close()
    assert.deepEqual(contentsOf(folder), before)
  })

  for (const [what, fileMode, folderMode] of [
    ['file', 0o444, 0o777],
    ['folder', 0o444, 0o555],
  ] as const) {
    test(`a ${what} without write permission`, async () => {
      using folder = new TemporaryFolder()
      await makeLedger(folder.file())
      chmodSync(folder.file(), fileMode)
      chmodSync(folder.path, folderMode)
      const before = contentsOf(folder)
      const { code, message } = await runJob('as-nobody', [folder.file()])
      chmodSync(folder.path, 0o755)
      assert.equal(code, 'ERR_LEDGER_READ_ONLY')
      assert.match(String(message), WHO_MAY)
      assert.deepEqual(contentsOf(folder), before)
    })
  }

  test('a file, or a folder, that another user has for itself says whose it is', async t => {
    if (process.getuid?.() !== 0) return t.skip('only root can be another user')
    using folder = new TemporaryFolder()
    await makeLedger(folder.file())
    const whose = `: ${folder.file()} belongs to uid 0 (mode 600): run this as that user, or `
    const where = `: its folder ${folder.path} cannot be read (the system says EACCES); run this as a user who may`
    for (const [job, folderMode, expected] of [
      ['as-nobody', 0o777, whose],
      ['look-as-nobody', 0o777, whose],
      ['look-as-nobody', 0o700, where],
    ] as const) {
      chmodSync(folder.path, folderMode)
      const { code, message } = await runJob(job, [folder.file()])
      assert.equal(code, 'ERR_LEDGER_IO')
      assert.ok(String(message).includes(expected), String(message))
    }
  })

  test('what a look at a file without write permission left denies writing, and is named', async () => {
    using folder = new TemporaryFolder()
    await makeLedger(folder.file())
    chmodSync(folder.path, 0o777)
    chmodSync(folder.file(), 0o444)
    if (process.getuid?.() === 0) chownSync(folder.file(), 65534, 65534)
    assert.deepEqual(await runJob('look-as-nobody', [folder.file()]), { series: 500 })
    chmodSync(folder.file(), 0o600)
    const left = folder.file('ledger.db-shm')
    const denied = `: ${left} may not be written (mode 444): run chmod u+rw '${left}'`
    const { found } = await runJob('doctor-as-nobody', [folder.file()])
    assert.ok(String(found).includes(denied), String(found))
    const { code, message } = await runJob('as-nobody', [folder.file()])
    assert.equal(code, 'ERR_LEDGER_READ_ONLY')
    assert.ok(String(message).includes(denied), String(message))
  })

  test('a file system that is read-only says so, and how to look', async t => {
    const mount =
      'mount -t tmpfs -o size=16m none "$0" && cp "$1" "$0" && mount -o remount,ro none "$0" && shift && exec "$@"'
    using folder = new TemporaryFolder()
    await makeLedger(folder.file())
    mkdirSync(folder.file('disk'))
    const command = ['unshare', '--map-root-user', '--mount', 'sh', '-c', mount, folder.file('disk'), folder.file()]
    if (spawnSync(command[0] ?? '', [...command.slice(1), 'true']).status !== 0) {
      return t.skip('this machine does not let us mount a small disk')
    }
    for (const job of ['append', 'look']) {
      const { code, message } = await runJob(job, [folder.file('disk/ledger.db')], command)
      assert.match(String(code), /^ERR_LEDGER_(IO|READ_ONLY)$/)
      assert.match(
        String(message),
        /^cannot open the ledger .*: its file system is read-only; to look only, copy the file with its -wal to another folder /,
      )
    }
  })

  test('a full disk: refused, and the same batch goes in when there is room', async t => {
    // A disk of 4 MB of its own, where the machine lets us have one.
    const mount = 'mount -t tmpfs -o size=4m none "$0" && head -c 1000000 /dev/zero > "$0/filler" && exec "$@"'
    using folder = new TemporaryFolder()
    const command = ['unshare', '--map-root-user', '--mount', 'sh', '-c', mount, folder.path]
    if (spawnSync(command[0] ?? '', [...command.slice(1), 'true']).status !== 0) {
      return t.skip('this machine does not let us mount a small disk')
    }
    const { failed, appended, recorded } = await runJob(
      'fill',
      [folder.file(), folder.file('filler')],
      [...command, 'sh', '-c', '"$@"', 'sh'],
    )
    assert.equal(failed, 'ERR_LEDGER_FULL')
    assert.equal(recorded, appended)
  })

  test('a file that may not grow: an error, and nothing that was acknowledged is lost', async t => {
    if (process.platform === 'win32') return t.skip('no ulimit')
    using folder = new TemporaryFolder()
    await makeLedger(folder.file())
    const { code } = await runJob('fill', [folder.file()], ['bash', '-c', 'ulimit -f 512; exec "$@"', 'bash'])
    assert.equal(code, 'ERR_LEDGER_IO')
    const ledger = new SqliteLedger({ path: folder.file() })
    const lines = await ledger.statement()
    for (const line of lines) assert.equal(line.recorded, line.pending + line.balance)
    await ledger.close()
  })
})

describe('several processes', () => {
  test('while another holds the write lock: busy, and nothing is lost when it lets go', async () => {
    using folder = new TemporaryFolder()
    await makeLedger(folder.file())
    const ledger = new SqliteLedger({ path: folder.file(), busyTimeout: 1 })
    const { child, result } = startJob('lock', [folder.file()])
    await once(child.stdout, 'data')
    const batch = { writer: WRITER, sequence: 3, entries: [entry(BOB, REQUESTS, 2, 1)] }
    await assert.rejects(ledger.append(batch), { code: 'ERR_LEDGER_BUSY' })
    await assert.rejects(ledger.closeHours(closeOptions(closing(2))), { code: 'ERR_LEDGER_BUSY' })
    assert.equal((await ledger.statement()).length, 500, 'it can be read meanwhile')
    child.stdin.end()
    assert.deepEqual(await result, { released: true })
    await ledger.append(batch)
    assert.equal((await ledger.statement({ customer: BOB.key }))[0]?.recorded, UNIT)
    await ledger.close()
  })

  test('one that opens the ledger twice keeps its locks', async t => {
    if (!existsSync('/proc/self/fdinfo')) return t.skip('this machine does not list the locks of a process')
    using folder = new TemporaryFolder()
    await makeLedger(folder.file())
    const ledger = new SqliteLedger({ path: folder.file() })
    const { ino } = statSync(folder.file())
    const locks = () => {
      const lines = readdirSync('/proc/self/fdinfo').flatMap(descriptor => {
        const path = `/proc/self/fdinfo/${descriptor}`
        return existsSync(path) ? readFileSync(path, 'utf8').split('\n') : []
      })
      // A lock stands at each descriptor of its file, with a number of its own.
      const ofFile = lines.filter(line => line.startsWith('lock:') && line.includes(`:${ino} `))
      return new Set(ofFile.map(line => line.replace(/\d+: /, ''))).size
    }
    assert.equal(locks(), 1)
    const second = new SqliteLedger({ path: folder.file(), readOnly: true })
    assert.equal(locks(), 1)
    await second.close()
    assert.equal(locks(), 1)
    await ledger.close()
  })

  test('busy in the middle of closing an hour: the next time it goes on where it stopped', async () => {
    using folder = new TemporaryFolder()
    const path = folder.file()
    const ledger = new SqliteLedger({ path, busyTimeout: 0 })
    await ledger.register(DIMENSIONS)
    const customers = Array.from({ length: 5000 }, (_, n): CustomerAccount => ({ ...ALICE, key: `prod-1,${n}` }))
    await ledger.append({ writer: WRITER, sequence: 1, entries: customers.map(one => entry(one, REQUESTS, 0, 2)) })
    const other = new DatabaseSync(path)
    const closed = ledger.closeHours(closeOptions(closing(0)))
    other.exec('BEGIN IMMEDIATE')
    await assert.rejects(closed, { code: 'ERR_LEDGER_BUSY' })
    other.exec('COMMIT')
    other.close()
    const begun = (await ledger.status()).pending[0]?.records ?? 0
    assert.ok(begun > 0 && begun < 5000, `${begun} were frozen before`)
    assert.equal((await ledger.closeHours(closeOptions(closing(0)))).records, 5000 - begun)
    await ledger.close()
  })

  test('all at once end exact', async () => {
    using folder = new TemporaryFolder()
    const path = folder.file()
    // Nobody made the file for them: they all do.
    const results = await Promise.all(['1', '2', '3'].map(from => runJob('live', [path, from])))
    assert.deepEqual(
      results.map(result => typeof result.sent),
      ['number', 'number', 'number'],
      JSON.stringify(results),
    )
    const ledger = new SqliteLedger({ path })
    const total = 3 * 60 * 30 + 3 * 30
    for (let n = 10; n < 14; n += 1) {
      await ledger.closeHours(closeOptions(closing(n)))
      for (const lane of (await ledger.due(closing(n))).lanes) {
        const records = await ledger.claim(lane, { now: closing(n), limit: 1000, claimedUntil: closing(n) })
        await ledger.settle(
          records.map(record => ({ record, outcome: METERED, answer: '' })),
          closing(n),
        )
      }
    }
    const [requests] = await ledger.statement({ dimension: 'requests' })
    const [tokens] = await ledger.statement({ dimension: 'tokens' })
    assert.deepEqual([requests?.recorded, requests?.metered], [BigInt(total) * UNIT, BigInt(total) * UNIT])
    assert.deepEqual([tokens?.recorded, tokens?.metered], [126_000n * UNIT, 126_000n * UNIT])
    const metered = await ledger.records({ state: 'metered', limit: 1000 })
    assert.equal(
      metered.filter(one => one.dimension === 'requests').reduce((sum, one) => sum + one.quantity, 0),
      total,
    )
    assert.ok(
      metered.every(record => record.attempts === 1),
      'none was sent by two',
    )
    await ledger.close()
  })

  test('one that is killed leaves all that it acknowledged, and at most one batch more', async () => {
    using folder = new TemporaryFolder()
    const { child, result } = startJob('endless', [folder.file()])
    let acknowledged = 0
    child.stdout.on('data', (lines: string) => {
      acknowledged = Number(lines.trim().split('\n').at(-1))
      if (acknowledged >= 20) child.kill('SIGKILL')
    })
    await result
    const ledger = new SqliteLedger({ path: folder.file() })
    for (const line of await ledger.statement()) {
      assert.equal(line.recorded, line.metered + line.pending + line.held + line.balance)
    }
    const recorded = Number(((await ledger.statement())[0]?.recorded ?? 0n) / UNIT)
    assert.ok(recorded >= acknowledged && recorded <= acknowledged + 1, `${recorded} of ${acknowledged}`)
    await ledger.close()
  })
})

test('a ledger whose making was cut short is made anew', async () => {
  using folder = new TemporaryFolder()
  const path = folder.file()
  // What is there when the process dies as SQLite brings the first page of a new file to WAL mode: that page, and the
  // journal that says there was none.
  const database = new DatabaseSync(path)
  database.exec('PRAGMA journal_mode = WAL')
  database.close()
  const journal = Buffer.alloc(512)
  journal.write('d9d505f920a163d7', 'hex')
  journal.writeUInt32BE(512, 20)
  journal.writeUInt32BE(4096, 24)
  writeFileSync(`${path}-journal`, journal)
  const ledger = new SqliteLedger({ path })
  await ledger.register(DIMENSIONS)
  await ledger.append({ writer: WRITER, sequence: 1, entries: [entry(ALICE, REQUESTS, 0, 1)] })
  assert.equal((await ledger.statement())[0]?.recorded, UNIT)
  await ledger.close()
})

describe('backup and restore', () => {
  test('a backup is consistent while the ledger is in use', async () => {
    using folder = new TemporaryFolder()
    const path = folder.file()
    await makeLedger(path)
    const ledger = new SqliteLedger({ path })
    const backup = ledger.backup(folder.file('backup.db'))
    let done = false
    backup.finally(() => {
      done = true
    })
    for (let sequence = 3; sequence < 200 && !done; sequence += 1) {
      await ledger.append({ writer: WRITER, sequence, entries: [entry(ALICE, REQUESTS, 0, 1)] })
      await nextTurn()
    }
    await backup
    const copy = new SqliteLedger({ path: folder.file('backup.db'), readOnly: true })
    const lines = await copy.statement()
    assert.equal(lines.length >= 500, true)
    for (const line of lines) assert.equal(line.recorded, line.metered + line.pending + line.held + line.balance)
    await copy.close()
    await ledger.close()
  })

  test('a backup that cannot be written says so', async () => {
    using folder = new TemporaryFolder()
    const ledger = new SqliteLedger({ path: folder.file() })
    await assert.rejects(ledger.backup(folder.file('missing/backup.db')), { code: 'ERR_LEDGER_IO' })
    await ledger.close()
  })

  test('what the lost ledger may have billed is held in doubt, the rest goes on', async () => {
    using folder = new TemporaryFolder()
    const [path, from, to] = [folder.file(), folder.file('backup.db'), folder.file('restored.db')]
    const books = new Books()
    const ledger = audited(new SqliteLedger({ path }), books)
    await ledger.register(DIMENSIONS)
    await useBeforeBackup(ledger)
    await ledger.backup(from)

    const now = hour(5) + 20 * MINUTE
    await (await SqliteLedger.restore({ ...BY, from, to, now })).close()
    const restored = audited(new SqliteLedger({ path: to }), books)
    await checkRestored(restored, now)
    await restored.close()
    await ledger.close()
  })

  test("what others' counters added since the backup may have been billed, and is held", async () => {
    using folder = new TemporaryFolder()
    const [path, from, to] = [folder.file(), folder.file('backup.db'), folder.file('restored.db')]
    const ledger = new SqliteLedger({ path })
    await ledger.register(DIMENSIONS, sources(ALICE.product, hour(0)))
    const observe = observing(WRITER)
    await observe(ledger, 1, 100, 'cumulative')
    await ledger.backup(from)
    await (await SqliteLedger.restore({ ...BY, from, to, now: hour(5) })).close()
    const restored = new SqliteLedger({ path: to })
    const recorded = async () => {
      const lines = await restored.statement()
      const of = (kind: string) => sum(lines.filter(({ account }) => account.kind === kind).map(line => line.recorded))
      return { customer: Number(of('customer') / UNIT), unattributed: Number(of('unattributed') / UNIT) }
    }
    await observe(restored, 1, 100, 'cumulative')
    await observe(restored, 301, 160, 'cumulative')
    assert.deepEqual(await recorded(), { customer: 100, unattributed: 60 })
    await observe(restored, 302, 165, 'cumulative')
    await observe(restored, 303, 1, 'delta')
    assert.deepEqual(await recorded(), { customer: 106, unattributed: 60 })
    await observe(restored, 299, 7, 'delta')
    assert.deepEqual(await recorded(), { customer: 106, unattributed: 60 + 7 })
    await restored.close()
    await ledger.close()
  })

  test('within the hour of the backup too, what was not frozen is held', async () => {
    using folder = new TemporaryFolder()
    const [path, from, to] = [folder.file(), folder.file('backup.db'), folder.file('restored.db')]
    const ledger = new SqliteLedger({ path })
    await ledger.register(DIMENSIONS)
    await ledger.append({ writer: WRITER, sequence: 1, entries: [entry(ALICE, REQUESTS, 0, 5.5)] })
    await ledger.closeHours(closeOptions(closing(0)))
    await ledger.append({ writer: WRITER, sequence: 2, entries: [entry(ALICE, REQUESTS, 1, 1)] })
    await ledger.backup(from)
    await ledger.close()
    const restored = await SqliteLedger.restore({ ...BY, from, to, now: closing(0) })
    await restored.append({ writer: WRITER, sequence: 3, entries: [entry(ALICE, REQUESTS, 1, 2)] })
    await restored.closeHours(closeOptions(closing(1)))
    await restored.closeHours(closeOptions(closing(2)))
    const [line] = await restored.statement()
    assert.deepEqual([line?.pending, line?.held, line?.balance], [7n * UNIT, 1_500_000n, 0n])
    await restored.close()
  })

  test('what was held may have been released and billed since: it cannot just be released again', async () => {
    using folder = new TemporaryFolder()
    const [path, from, to] = [folder.file(), folder.file('backup.db'), folder.file('restored.db')]
    const ledger = new SqliteLedger({ path })
    await ledger.register(DIMENSIONS.map(dimension => ({ ...dimension, maxQuantity: 1 })))
    await ledger.append({ writer: WRITER, sequence: 1, entries: [entry(ALICE, REQUESTS, 0, 5)] })
    await ledger.closeHours(closeOptions(closing(0)))
    assert.deepEqual(
      (await ledger.records()).map(({ reason }) => reason),
      ['over-maximum'],
    )
    await ledger.backup(from)
    await ledger.close()
    const restored = await SqliteLedger.restore({ ...BY, from, to, now: closing(1) })
    const [record] = await restored.records()
    assert.deepEqual([record?.state, record?.reason], ['held', 'restored'])
    await assert.rejects(restored.decide(record?.id ?? '', 'release', BY), { code: 'ERR_LEDGER_STATE' })
    await restored.close()
  })

  test('a ledger with its log restores whole, as a disk that was saved has it', async () => {
    using folder = new TemporaryFolder()
    await makeLedger(folder.file('original.db'))
    await leaveBehind(folder.file('original.db'), folder.file('saved.db'))
    const restored = await SqliteLedger.restore({
      ...BY,
      ...{ from: folder.file('saved.db'), to: folder.file(), now: hour(8) },
    })
    const [line] = await restored.statement({ customer: ALICE.key })
    assert.deepEqual([line?.recorded, line?.held], [UNIT, UNIT])
    await restored.close()
  })

  test('nothing is restored onto a file, or from what is not a ledger', async () => {
    using folder = new TemporaryFolder()
    await makeLedger(folder.file())
    writeFileSync(folder.file('notes.txt'), 'notes')
    const before = contentsOf(folder)
    for (const [from, to, code] of [
      [folder.file(), folder.file('notes.txt'), 'ERR_LEDGER_IO'],
      [folder.file(), folder.file(), 'ERR_LEDGER_IO'],
      [folder.file(), folder.file('missing/ledger.db'), 'ERR_LEDGER_IO'],
      [folder.file('notes.txt'), folder.file('new.db'), 'ERR_LEDGER_FOREIGN'],
      [folder.file('missing.db'), folder.file('new.db'), 'ERR_LEDGER_NOT_FOUND'],
    ] as const) {
      await assert.rejects(SqliteLedger.restore({ ...BY, from, to }), { code })
    }
    assert.deepEqual(contentsOf(folder), before)
  })

  test('a restore that does not come to its end leaves no ledger that would bill again', async () => {
    using folder = new TemporaryFolder()
    await makeLedger(folder.file())
    const backup = new DatabaseSync(folder.file())
    backup.exec("CREATE TRIGGER failing BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'failed'); END")
    backup.close()
    const restore = () => SqliteLedger.restore({ ...BY, from: folder.file(), to: folder.file('restored.db') })
    await assert.rejects(restore())
    assert.deepEqual(Object.keys(contentsOf(folder)), ['ledger.db'])
    const mended = new DatabaseSync(folder.file())
    mended.exec('DROP TRIGGER failing')
    mended.close()
    await (await restore()).close()
  })
})

test('an hour of many tag sets is closed in several turns', async () => {
  using folder = new TemporaryFolder()
  const path = folder.file()
  const [ledger, other] = [new SqliteLedger({ path }), new SqliteLedger({ path })]
  await ledger.register(DIMENSIONS)
  await ledger.append({ writer: WRITER, sequence: 1, entries: taggedEntries(8, 2000) })
  const closed = ledger.closeHours(closeOptions(closing(0)))
  // What the first turn has done.
  assert.equal((await other.records()).length, 6)
  await closed
  const split = (await other.records()).map(({ allocations = [] }) => allocations.length)
  assert.deepEqual(split, Array(8).fill(2000))
  for (const one of [ledger, other]) await one.close()
})

test('damaged open usage is told of, and neither added to nor closed', async () => {
  const damaged = [
    '[1,5',
    '',
    'null',
    '5',
    '{}',
    '[]',
    '"abc"',
    '[1,5]',
    '["x",5,0]',
    '[-1,5,0]',
    '[256,5,0]',
    '[1.5,5,0]',
  ]
  const others = [
    '[1,5,0,1,7,0]',
    '[2,5,0,1,7,0]',
    '[1,1.5,0]',
    '[1,"x",0]',
    '[1,"0x10",0]',
    '[1,null,0]',
    '[1,5,null]',
  ]
  for (const amounts of [...damaged, ...others]) {
    using folder = new TemporaryFolder()
    const ledger = new SqliteLedger({ path: folder.file() })
    await ledger.register(DIMENSIONS)
    await ledger.append({ writer: WRITER, sequence: 1, entries: [entry(ALICE, REQUESTS, 0, 5)] })
    const other = new DatabaseSync(folder.file())
    other.prepare('UPDATE open_usage SET amounts = ?').run(amounts)
    const corrupt = { code: 'ERR_LEDGER_CORRUPT', message: /open usage of hour 1773100800000 is damaged/ }
    await assert.rejects(ledger.append({ writer: WRITER, sequence: 2, entries: [entry(BOB, REQUESTS, 0, 7)] }), corrupt)
    await assert.rejects(ledger.statement(), corrupt)
    await assert.rejects(ledger.closeHours(closeOptions(closing(0))), corrupt)
    assert.deepEqual({ ...other.prepare('SELECT amounts FROM open_usage').get() }, { amounts })
    other.close()
    await ledger.close()
  }
})

test('of keys with half a character, all is found again', async () => {
  using folder = new TemporaryFolder()
  const keys = ['half \ud83d', 'half \ud83c', '\0', '\0\0', '"\\', '😀']
  for (const sequence of [1, 2]) {
    const ledger = new SqliteLedger({ path: folder.file() })
    await ledger.register(DIMENSIONS)
    const entries = keys.flatMap(key => {
      const account = { ...ALICE, key }
      return [entry(account, REQUESTS, 0, 1), entry(account, TOKENS, 0, 1), entry({ ...account }, REQUESTS, 0, 1)]
    })
    await ledger.append({ writer: WRITER, sequence, entries })
    const found = (await ledger.statement({ dimension: REQUESTS.name })).map(({ account, recorded }) => [
      account.key,
      Number(recorded / UNIT) / sequence,
    ])
    // As SQLite is given texts, both halves are one.
    const expected = { '\0': 2, '\0\0': 2, '"\\': 2, 'half \ufffd': 4, '😀': 2 }
    assert.deepEqual(Object.fromEntries(found), expected)
    await ledger.close()
  }
})

test("no query's cost grows with history", async () => {
  const prepared = new Set<string>()
  const prepare = DatabaseSync.prototype.prepare
  const spy = mock.method(DatabaseSync.prototype, 'prepare', function (this: DatabaseSync, sql: string) {
    prepared.add(sql)
    return prepare.call(this, sql)
  })
  // Every kind of thing happens once, in ledgers that have prepared nothing yet.
  using folder = new TemporaryFolder()
  const ledger = new SqliteLedger({ path: folder.file() })
  await ledger.register(DIMENSIONS)
  const accounts = [ALICE, BOB, CAROL, NOBODY]
  for (let n = 0; n < 4; n += 1) {
    const entries = accounts.map(account => entry(account, REQUESTS, n, 5))
    await ledger.append({ writer: WRITER, sequence: n + 1, entries })
    await ledger.closeHours({ ...closeOptions(closing(n)), zeroQuantityRecords: true })
    for (const lane of (await ledger.due(closing(n))).lanes) {
      const records = await ledger.claim(lane, { now: closing(n), limit: 25, claimedUntil: closing(n) + MINUTE })
      const outcome = [METERED, REFUSED, lost(0), { type: 'not-subscribed' } as const][n] ?? METERED
      await ledger.settle(
        records.map(record => ({ record, outcome, answer: '' })),
        closing(n),
      )
    }
    await ledger.expire(closing(n) + n * 10 * HOUR)
    await ledger.due(closing(n))
    await ledger.ping()
    await ledger.status()
    await ledger.statement()
    await ledger.statement({ customer: ALICE.key, from: hour(0), to: hour(3), by: 'hour' })
    await ledger.records({ state: 'held' })
    await ledger.records({ state: 'pending' })
    await ledger.records({ ids: ['1', '2'], state: 'held' })
    await ledger.records({ ids: ['1', '2'] })
    await ledger.records({ customer: ALICE.key })
    await ledger.records({ customer: ALICE.key, from: hour(0), to: hour(3), state: 'metered' })
  }
  await ledger.finalize(ALICE, { ...closeOptions(closing(4)), endedAt: closing(4) })
  await ledger.append({ writer: WRITER, sequence: 5, entries: [entry(NOBODY, REQUESTS, 5, 5)] })
  await ledger.writeOff(NOBODY.key, REQUESTS.name, BY)
  await ledger.close()
  spy.mock.restore()
  assert.ok(prepared.size > 40)

  const database = new DatabaseSync(folder.file())
  for (const sql of prepared) {
    if (/^PRAGMA/.test(sql)) continue
    const plan = database.prepare(`EXPLAIN QUERY PLAN ${sql}`).all() as { detail: string }[]
    for (const { detail } of plan) {
      // History is in `record` and `usage` (what is settled), `audit`, `batch` and `writer`.
      const scanned = /^SCAN (record|usage|audit|batch|writer)\b(?!.*record_(pending|held))/.test(detail)
      // An hour's are those of all customers.
      const byHour = /record USING (COVERING )?INDEX record_hour|^SEARCH usage .*\(hour>\? AND hour<\?\)/.test(detail)
      assert.ok(!scanned && !byHour, `${detail}\n${sql}`)
    }
  }
  // Somebody has looked how a ledger is read that had hardly any open usage then.
  database.exec("INSERT INTO open_usage VALUES (1, 1, '[1,1]'); ANALYZE open_usage")
  for (const sql of [...prepared].filter(sql => /open_usage/.test(sql) && !/^PRAGMA/.test(sql))) {
    const plan = database.prepare(`EXPLAIN QUERY PLAN ${sql}`).all() as { detail: string }[]
    for (const { detail } of plan) assert.doesNotMatch(detail, /^SCAN open_usage/, sql)
  }
  database.close()
})

describe('a write that would not add up', () => {
  test('fails, and leaves everything as it was', async () => {
    using folder = new TemporaryFolder()
    const ledger = new SqliteLedger({ path: folder.file() })
    await ledger.register(DIMENSIONS)
    await ledger.append({ writer: WRITER, sequence: 1, entries: [entry(ALICE, REQUESTS, 0, 7)] })
    await ledger.closeHours(closeOptions(closing(0)))
    const before = [await ledger.statement(), await ledger.records()]
    const database = new Database(openLedgerFile(folder.file(), { busyTimeout: 0, readOnly: false }))
    const seriesOf = (piece: Piece): object => piece.seriesOf(piece.records[0] as PieceRecord)
    const faults: ((piece: Piece) => unknown)[] = [
      ({ records }) => Object.assign(records[0] as object, { state: 'metered' }),
      ({ records }) => Object.assign(records[0] as object, { state: 'returned', reason: 'expired' }),
      piece => Object.assign(seriesOf(piece), { balance: 1n }),
      piece => Object.assign(seriesOf(piece), { recorded: 0n }),
      piece => Object.assign(seriesOf(piece), { metered: 7n * UNIT }),
    ]
    for (const fault of faults) {
      const write = () =>
        database.write('break the equation', () => {
          const piece = loadRecords(database, 'true')
          fault(piece)
          savePiece(database, piece)
        })
      assert.throws(write, (error: LedgerError) => {
        assert.equal(error.code, 'ERR_LEDGER_EQUATION')
        assert.match(
          error.message,
          /requests of the account "prod-1,111111111111" .* recorded 7 to \d+, included 0 to 0, metered 0 to /,
        )
        return true
      })
    }
    database.close()
    assert.deepEqual([await ledger.statement(), await ledger.records()], before)
    await ledger.close()
  })
})

describe('what goes through all series', () => {
  const SERIES = 4500
  const customers = Array.from({ length: SERIES }, (_, n): CustomerAccount => ({ ...ALICE, key: `prod-1,${n}` }))
  const zero = { zeroQuantityRecords: true }
  const works: Record<string, { die: string; work: (ledger: Ledger) => Promise<unknown>; after: unknown }> = {
    'idle hours': {
      die: 'BEFORE INSERT ON record WHEN new.series = 4200',
      work: ledger => ledger.closeHours({ ...closeOptions(closing(2)), ...zero }),
      after: ['pending 0', SERIES, 'pending 2', SERIES],
    },
    expiry: {
      die: 'BEFORE UPDATE ON record WHEN new.series = 4200',
      work: ledger => ledger.expire(hour(24)),
      after: ['returned 2', SERIES],
    },
    'a restore': {
      die: 'BEFORE INSERT ON record WHEN new.series = 4200',
      work: ledger => ledger.declareRestored({ ...BY, now: hour(5) }),
      after: ['held 1', SERIES, 'pending 2', SERIES],
    },
  }
  for (const [what, { die, work, after }] of Object.entries(works)) {
    test(`${what}: lets others have their turn, dies anywhere, and is done once`, async () => {
      using folder = new TemporaryFolder()
      const ledger = new SqliteLedger({ path: folder.file() })
      await ledger.register(DIMENSIONS)
      const entries = customers.map(one => entry(one, REQUESTS, 0, 2.5))
      await ledger.append({ writer: WRITER, sequence: 1, entries })
      await ledger.closeHours({ ...closeOptions(closing(0)), ...zero })
      const beside = new DatabaseSync(folder.file())
      beside.exec(`CREATE TRIGGER death ${die} BEGIN SELECT RAISE(ABORT, 'died'); END`)
      let [turns, done] = [0, false]
      const turn = () => {
        turns += 1
        if (!done) setImmediate(turn)
      }
      setImmediate(turn)
      await assert.rejects(work(ledger), /died/)
      done = true
      assert.ok(turns >= 3, `${turns} turns`)
      beside.exec('DROP TRIGGER death')
      beside.close()
      for (const _ of ['goes on', 'once']) await work(ledger)
      const records = await ledger.records({ limit: 3 * SERIES })
      const groups = Map.groupBy(records, ({ state, quantity }) => `${state} ${quantity}`)
      assert.deepEqual(
        [...groups]
          .map(([name, { length }]) => [name, length])
          .sort()
          .flat(),
        after,
      )
      for (const line of await ledger.statement()) {
        assert.equal(line.recorded, line.metered + line.pending + line.held + line.balance)
        assert.equal(line.recorded, 2_500_000n)
      }
      await ledger.close()
    })
  }
})
