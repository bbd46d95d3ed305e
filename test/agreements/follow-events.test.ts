import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { type TestContext, test } from 'node:test'
import { type AgreementReport, followAgreementEvents } from '../../src/agreements/index.ts'
import { Gateway } from '../../src/gateway/index.ts'
import { HOUR, MINUTE, SECOND } from '../../src/ledger/hours.ts'
import { SqliteLedger } from '../../src/ledger/sqlite/ledger.ts'
import { startSimulator } from '../../src/simulator/index.ts'
import { customerAccount } from '../../src/usage/account.ts'
import { MAIN } from '../cli/support.ts'

const START = Date.UTC(2026, 10, 5, 10)
const CODE = 'samplecode01'
const ACCOUNT = '111122223333'
const ARN = 'arn:aws:license-manager::294406891311:license:l-00112233445566778899aabbccddeeff'
const customer = customerAccount({ product: 'chat', accountId: ACCOUNT, licenseArn: ARN })
const CREDENTIALS = { AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test', AWS_REGION: 'us-east-1' }
Object.assign(process.env, CREDENTIALS)

async function begin(t: TestContext) {
  const aws = await startSimulator({ now: () => START })
  t.after(() => aws.close())
  aws.simulator.clock.set(START)
  const folder = mkdtempSync(join(tmpdir(), 'events-'))
  t.after(() => rmSync(folder, { recursive: true }))
  return { aws, path: join(folder, 'ledger.sqlite') }
}

/** Waits for something that comes over sockets. */
async function until(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) await new Promise(resolve => setTimeout(resolve, 5))
}

test('a buyer who comes and goes is known, finalized and billed to the last unit by a gateway, nobody calling anything', async t => {
  const { aws, path } = await begin(t)
  const ledger = new SqliteLedger({ path })
  const { clock, catalogue } = aws.simulator
  process.env.AWS_ENDPOINT_URL_MARKETPLACE_METERING = aws.url
  const gateway = await Gateway.start({
    ...{
      ledger,
      region: 'eu-central-1',
      product: 'chat',
      http: { host: '127.0.0.1', port: 0 },
      now: () => clock.now(),
    },
    events: { queue: aws.queueUrl, productCode: CODE },
    dimensions: { requests: { unit: '{request}', from: { metric: 'calls' } } },
    consoleWarnings: false,
  })
  t.after(async () => {
    await gateway.close()
    await ledger.close()
  })
  catalogue.declareProduct({ code: CODE, dimensions: ['requests'] })
  const subscription = { accountId: ACCOUNT, product: CODE, licenseArn: ARN }
  catalogue.subscribe(subscription)
  clock.advance(2 * MINUTE)
  await until(async () => (await ledger.agreements())[0]?.state === 'active')
  const usage = { account: customer, dimension: 'requests', hour: START, amount: 7_000_000n }
  await ledger.append({ writer: '0'.repeat(32), sequence: 1, entries: [usage] })
  clock.advance(28 * MINUTE)
  catalogue.unsubscribe(subscription)
  clock.advance(MINUTE)
  await until(async () => (await ledger.agreements())[0]?.state === 'ended')
  // What was used in the last minute comes after the event.
  const last = { ...usage, amount: 2_000_000n }
  await ledger.append({ writer: '0'.repeat(32), sequence: 2, entries: [last] })
  assert.deepEqual(await ledger.records(), [])
  clock.advance(5 * MINUTE)
  await until(async () => aws.simulator.billed().length > 0)
  const [billed] = aws.simulator.billed()
  assert.deepEqual([billed?.quantity, billed?.region, billed?.hour], [9, 'eu-central-1', new Date(START).toISOString()])
  const metrics = await (await fetch(`http://${gateway.addresses.http}/metrics`)).text()
  assert.match(metrics, /marketplace_agreement_events_total\{[^}]*outcome="noted"[^}]*type="licence-ended"[^}]*\} 2/)
  assert.equal((await ledger.agreements())[0]?.state, 'ended')
})

test('events that are late, doubled and out of order, and one that is none, end in the same', async t => {
  const { aws, path } = await begin(t)
  const ledger = new SqliteLedger({ path })
  const { clock, catalogue, faults } = aws.simulator
  faults.add({ kind: 'event-duplicate', rate: 1, milliseconds: 30 * SECOND })
  faults.add({ kind: 'event-shuffled', rate: 1, milliseconds: 90 * MINUTE })
  const reports: AgreementReport[] = []
  const consumer = await followAgreementEvents({
    ...{
      ledger,
      queue: aws.queueUrl,
      productCode: CODE,
      product: 'chat',
      region: 'eu-central-1',
      now: () => clock.now(),
    },
    report: report => reports.push(report),
  })
  t.after(async () => {
    await consumer.stop()
    await ledger.close()
  })
  catalogue.declareProduct({ code: CODE })
  const subscription = { accountId: ACCOUNT, product: CODE, licenseArn: ARN }
  catalogue.subscribe(subscription)
  clock.advance(HOUR)
  catalogue.unsubscribe(subscription)
  clock.advance(3 * HOUR)
  await until(async () => consumer.counts.handled >= 8)
  const [agreement, ...others] = await ledger.agreements()
  assert.deepEqual([agreement?.since, agreement?.until, others], [START + 72 * SECOND, START + HOUR, []])
  const outcomes = reports.map(report => (report.type === 'event' ? report.outcome : report.type))
  assert.deepEqual(new Set(outcomes), new Set(['noted', 'told']))
  assert.ok(reports.every(({ message }) => !message.includes(ACCOUNT) && !message.includes('l-0011')))
})

test('the command takes events in beside an exporter, until it is asked to stop', async t => {
  const { aws, path } = await begin(t)
  const options = ['--product-code', CODE, '--product', 'chat', '--ledger', path, '--region', 'eu-central-1']
  const child = spawn(process.execPath, [MAIN, 'events', '--queue', aws.queueUrl, ...options], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, ...CREDENTIALS },
  })
  t.after(() => child.kill('SIGKILL'))
  const lines: string[] = []
  createInterface({ input: child.stderr }).on('line', line => lines.push(line))
  const heard = (text: string) => until(async () => lines.some(line => line.includes(text)))
  await heard('Takes in agreement events')
  aws.simulator.catalogue.declareProduct({ code: CODE })
  aws.simulator.catalogue.subscribe({ accountId: ACCOUNT, product: CODE, licenseArn: ARN })
  aws.simulator.clock.advance(2 * MINUTE)
  await heard('an agreement is active')
  const exit = once(child, 'exit')
  child.kill('SIGTERM')
  assert.deepEqual(await exit, [0, null])
  const ledger = new SqliteLedger({ path, readOnly: true })
  assert.deepEqual(
    (await ledger.agreements()).map(({ account, state }) => [account.key, state]),
    [[customer.key, 'active']],
  )
  await ledger.close()
})
