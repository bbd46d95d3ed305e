import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { type TestContext, test } from 'node:test'
import { MarketplaceEntitlementService } from '@aws-sdk/client-marketplace-entitlement-service'
import { MarketplaceMetering } from '@aws-sdk/client-marketplace-metering'
import { batch, record, refusedAs } from './support.ts'

const ENTRY = `
  const { simulateCommand } = await import(${JSON.stringify(new URL('../../src/cli/simulate.ts', import.meta.url).href)})
  await simulateCommand().parseAsync(process.argv.slice(1), { from: 'user' })
`

function command(t: TestContext, ...args: string[]) {
  const child = spawn(process.execPath, ['--input-type=module', '--eval', ENTRY, '--', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  t.after(() => child.kill('SIGKILL'))
  return child
}

async function failure(t: TestContext, ...args: string[]) {
  const child = command(t, ...args)
  let text = ''
  child.stderr.setEncoding('utf8').on('data', chunk => {
    text += chunk
  })
  const [status] = await once(child, 'close')
  return { status, text }
}

test('the command runs until it is told to stop', async t => {
  const child = command(
    t,
    '--port',
    '0',
    '--fault',
    'expired-credentials=1',
    '--quota',
    'off',
    '--clock',
    '2026-06-10T12:30:00Z',
    '--seed',
    '3',
  )
  for await (const line of createInterface(child.stdout)) {
    const [, name, url] = /(AWS_ENDPOINT_URL_\w+)=(\S+)/.exec(line) ?? []
    // As the command's output says to.
    if (name !== undefined) process.env[name] = url
    if (name === 'AWS_ENDPOINT_URL_CLOUDTRAIL') break
  }
  const configuration = {
    region: 'us-east-1',
    credentials: { accessKeyId: 'AKID', secretAccessKey: 'secret' },
    maxAttempts: 1,
  }
  const client = new MarketplaceMetering(configuration)
  const entitlements = new MarketplaceEntitlementService(configuration)
  t.after(() => [client, entitlements].map(each => each.destroy()))
  await assert.rejects(entitlements.getEntitlements({ ProductCode: 'code' }), refusedAs('ExpiredTokenException'))
  await assert.rejects(client.batchMeterUsage(batch(record())), refusedAs('ExpiredTokenException'))
  await fetch(`${process.env.AWS_ENDPOINT_URL_CLOUDTRAIL}/_simulator/faults`, { method: 'DELETE' })
  assert.equal((await client.batchMeterUsage(batch(record()))).Results?.[0]?.Status, 'Success')
  child.kill('SIGTERM')
  assert.deepEqual(await once(child, 'close'), [0, null])
})

test('bad arguments are named', async t => {
  const cases: [string[], RegExp][] = [
    [['--port', 'x'], /--port.*integer from 0 to 65535 but received x/],
    [['--quota', '0'], /--quota.*above 0, or off, but received 0/],
    [['--fault', 'nonsense=1'], /--fault.*nonsense/],
    [['--catalogue', '/nowhere.json'], /\/nowhere\.json.*ENOENT/],
    [['--clock', 'noon', '--port', '0'], /clock: .*noon/],
  ]
  const failures = await Promise.all(cases.map(([args]) => failure(t, ...args)))
  failures.forEach(({ status, text }, index) => {
    assert.equal(status, 1)
    assert.match(text, cases[index]?.[1] as RegExp)
    assert.doesNotMatch(text, /\n {4}at /, 'no stack')
  })
})
