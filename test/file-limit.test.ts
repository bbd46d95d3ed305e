import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { TemporaryFolder } from './ledger/sqlite-under-test.ts'

test('a test file that spins for ever ends the run with its name, and the others are heard', () => {
  using folder = new TemporaryFolder()
  const files = {
    // It has no turn for the runner's own timeout, nor for a signal that it listens to.
    'spinning.test.mjs': "process.on('SIGTERM', () => {}); test('spins', () => { for (;;) {} })",
    'fine.test.mjs': "test('is heard', () => {})",
  }
  for (const [name, code] of Object.entries(files)) {
    writeFileSync(folder.file(name), `import { test } from 'node:test'\n${code}\n`)
  }
  writeFileSync(
    folder.file('setup.mjs'),
    `import { spawn } from 'node:child_process'
     import ${JSON.stringify(import.meta.resolve('./file-limit.ts'))}
     let server
     export const globalSetup = () => { server = spawn('sh', ['-c', 'read line'], { stdio: ['pipe', 'ignore', 'ignore'] }) }
     export const globalTeardown = () => { console.error('the server:', server.exitCode, server.signalCode); server.kill() }`,
  )
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [
      ...['--test', '--test-reporter=tap', '--test-timeout=2000'],
      ...[`--test-global-setup=${folder.file('setup.mjs')}`, ...Object.keys(files)],
    ],
    {
      ...{ cwd: folder.path, encoding: 'utf8', timeout: 60_000 },
      env: { ...process.env, NODE_TEST_CONTEXT: undefined, TEST_FILE_LIMIT: '3000' },
    },
  )
  assert.equal(status, 1)
  assert.match(stdout, /^not ok \d+ - .*spinning\.test\.mjs$/m)
  assert.match(stdout, /^ok \d+ - is heard$/m)
  // What serves all files is none.
  assert.match(stderr, /^the server: null null$/m)
  assert.match(stderr, /spinning\.test\.mjs was ended: it took longer than 3 s/)
})
