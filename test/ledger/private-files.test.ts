import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { DiagLogLevel, diag } from '@opentelemetry/api'
import { SqliteLedger } from '../../src/ledger/sqlite/ledger.ts'
import { ALICE, BY, DIMENSIONS, entry, REQUESTS, WRITER } from './scene.ts'
import { TemporaryFolder } from './sqlite-under-test.ts'

/** What customers used is for the ledger's owner alone. */

const SOURCE = new URL('../../src/ledger/', import.meta.url)

/** Everything that a ledger and a spool leave, listed while they are open. */
const MAKES_ALL = `
import { readdirSync, statSync } from 'node:fs'
import { SqliteLedger } from '${new URL('sqlite/ledger.ts', SOURCE)}'
import { spooled } from '${new URL('clients/spool.ts', SOURCE)}'
process.umask(Number(process.argv[1]))
const ledger = new SqliteLedger({ path: 'ledger.db' })
await ledger.register(${JSON.stringify([{ ...DIMENSIONS[0], size: 'SIZE' }]).replace('"SIZE"', '1n')})
await ledger.backup('backup.db')
const restored = await SqliteLedger.restore({ from: 'backup.db', to: 'restored.db', who: 'w', why: 'y', now: ${BY.now} })
await restored.register([])
const spool = spooled(ledger, { path: 'spool.db' })
console.log(JSON.stringify(readdirSync('.').sort().map(name => [name, statSync(name).mode & 0o777])))
await spool.close()
`

for (const umask of [0o022, 0]) {
  test(`ledger, log, backup, restored ledger and spool are the owner's, under umask ${umask.toString(8)}`, () => {
    using folder = new TemporaryFolder()
    const { stdout, stderr } = spawnSync(
      process.execPath,
      ['--input-type=module-typescript', '-e', MAKES_ALL, String(umask)],
      {
        ...{ cwd: folder.path, encoding: 'utf8' },
        // It would keep its compiled code there.
        env: { ...process.env, NODE_COMPILE_CACHE: '' },
      },
    )
    const names = ['backup', 'ledger', 'restored', 'spool'].flatMap(name =>
      ['', '-shm', '-wal'].map(end => `${name}.db${end}`),
    )
    assert.deepEqual(
      JSON.parse(stdout || stderr),
      names.sort().map(name => [name, 0o600]),
    )
  })
}

async function makeLedger(path: string): Promise<SqliteLedger> {
  const ledger = new SqliteLedger({ path })
  await ledger.register(DIMENSIONS)
  await ledger.append({ writer: WRITER, sequence: 1, entries: [entry(ALICE, REQUESTS, 0, 5)] })
  return ledger
}

test('one that everybody may read is told with the command that mends it, and left to be read by a group', async t => {
  const said: string[] = []
  const log = (text: string) => said.push(text)
  diag.setLogger({ error: log, warn: log, info: log, debug: log, verbose: log }, { logLevel: DiagLogLevel.WARN })
  t.after(() => diag.disable())
  using folder = new TemporaryFolder()
  await (await makeLedger(folder.file())).close()
  for (const mode of [0o660, 0o640, 0o600]) {
    chmodSync(folder.file(), mode)
    await new SqliteLedger({ path: folder.file() }).close()
    assert.equal(statSync(folder.file()).mode & 0o777, mode)
  }
  assert.deepEqual(said, [])
  chmodSync(folder.file(), 0o644)
  await new SqliteLedger({ path: folder.file(), readOnly: true }).close()
  assert.deepEqual(said, [])
  await new SqliteLedger({ path: folder.file() }).close()
  assert.deepEqual(said, [
    `${folder.file()} has customers' usage in it, and every user of this machine may open it (mode 644). ` +
      `Run: chmod 600 '${folder.file()}'* (660 where a group shares it).`,
  ])
  assert.equal(statSync(folder.file()).mode & 0o777, 0o644)
})

test('a link that leads nowhere is not followed', async () => {
  using folder = new TemporaryFolder()
  symlinkSync(folder.file('elsewhere.db'), folder.file())
  assert.throws(() => new SqliteLedger({ path: folder.file() }), {
    code: 'ERR_LEDGER_IO',
    message: /^cannot open the ledger .*: .*ledger\.db cannot be made, it is a link to what is not there;/,
  })
  assert.equal(existsSync(folder.file('elsewhere.db')), false)
})

test('a link in the place of what a backup is made in is replaced, and what it leads to stays', async () => {
  using folder = new TemporaryFolder()
  writeFileSync(folder.file('precious'), 'precious')
  const ledger = await makeLedger(folder.file())
  for (const [name, link] of [
    ['one.db', 'one.db.partial'],
    ['two.db', 'two.db'],
  ] as const) {
    symlinkSync(folder.file('precious'), folder.file(link))
    await ledger.backup(folder.file(name))
    assert.equal(readFileSync(folder.file('precious'), 'utf8'), 'precious')
    await new SqliteLedger({ path: folder.file(name), readOnly: true }).close()
  }
  await ledger.close()
  assert.deepEqual(
    readdirSync(folder.path).filter(name => name.includes('partial')),
    [],
  )
})
