import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { Attributes } from '@opentelemetry/api'
import { AWSMarketplaceMetricExporter, type MeteringClient, SqliteLedger } from '../../src/index.ts'
import { Metering } from '../../src/metering/metering.ts'
import { startSimulator } from '../../src/simulator/index.ts'
import {
  ACCOUNT,
  counted,
  exportTo,
  HOUR,
  M,
  MINUTE,
  makeGate,
  override,
  PRODUCT,
  recorded,
  START,
  SUCCESS,
  saidDuring,
  temporaryFolder,
  tokens,
  type World,
  world,
} from './support.ts'

const TOKENS = `${ACCOUNT} tokens-processed`
const ALL_BUT_SENT = { recorded: 5n * M, metered: 0n, pending: 5n * M, held: 0n, balance: 0n }

/** Resolves each time that a client has been asked. */
function watched(client: MeteringClient) {
  const asked: (() => void)[] = []
  const whenAsked = () => new Promise<void>(resolve => asked.push(resolve))
  return {
    whenAsked,
    client: {
      batchMeterUsage: async (...parameters) => {
        try {
          return await client.batchMeterUsage(...parameters)
        } finally {
          for (const resolve of asked.splice(0)) resolve()
        }
      },
    } satisfies MeteringClient,
  }
}

test('an idle exporter meters at the turn of an hour by itself', async t => {
  const { simulator, clock } = world(t)
  const { client, whenAsked } = watched({ batchMeterUsage: async request => simulator.batchMeterUsage(request) })
  let wakes = 0
  const awake = Promise.withResolvers<void>()
  const { exporter } = world(t, {
    now: () => clock.now,
    client,
    wakeInterval: 10,
    wrap: ledger =>
      override(ledger, {
        due: async now => {
          if (++wakes === 6) awake.resolve()
          return ledger.due(now)
        },
      }),
  })
  assert.deepEqual(await exportTo(exporter, tokens(5)), SUCCESS)
  // Past the looks that come with its making and with the export.
  await awake.promise
  const asked = whenAsked()
  clock.now += HOUR
  await asked
  assert.equal(simulator.totals()[0]?.quantity, 5)
})

test('an idle exporter sleeps until the next hour may be closed', async t => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const passes = new Set<number>()
  const { clock } = world(t, {
    wrap: ledger =>
      override(ledger, {
        due: async now => {
          passes.add((clock.now - START) / MINUTE)
          return await ledger.due(now)
        },
      }),
  })
  for (let minute = 0; minute <= 60; minute += 1) {
    clock.now = START + minute * MINUTE
    t.mock.timers.tick(minute === 0 ? 0 : MINUTE)
    for (let turn = 0; turn < 10; turn += 1) await new Promise(setImmediate)
  }
  // Half past twelve, and five minutes after the hour.
  assert.deepEqual([...passes], [0, 35])
})

test('a record whose answer was lost is sent again by itself when its time has come', async t => {
  const { simulator, clock } = world(t, { simulator: { faults: [{ kind: 'reset-after', next: 1 }] } })
  const { client, whenAsked } = watched({ batchMeterUsage: async request => simulator.batchMeterUsage(request) })
  const { exporter, line } = world(t, { now: () => clock.now, client, wakeInterval: 10 })
  await exportTo(exporter, tokens(5))
  const first = whenAsked()
  clock.now += HOUR
  await first
  // Until the first answer, or that there was none, is written down.
  await exporter.forceFlush()
  const second = whenAsked()
  clock.now += 60_000
  await second
  await exporter.forceFlush()
  assert.deepEqual(await line(ACCOUNT, 'tokens-processed'), { ...ALL_BUT_SENT, metered: 5n * M, pending: 0n })
  assert.equal(simulator.totals()[0]?.quantity, 5)
})

test('requests are sent in the turns that the ledger gives, which all its processes share', async t => {
  const gate = makeGate()
  const asked: unknown[][] = []
  const { exporter, clock, billed } = world(t, {
    wrap: ledger =>
      override(ledger, {
        clock: override(ledger.clock, {
          takeTurns: gate.before((...taken) => {
            asked.push(taken)
            return ledger.clock.takeTurns(...taken)
          }),
        }),
      }),
  })
  await exportTo(exporter, tokens(5))
  clock.now += HOUR
  const flushed = exporter.forceFlush()
  await Promise.race([gate.reached, flushed])
  assert.deepEqual(billed(), {})
  gate.open()
  await flushed
  assert.deepEqual(billed(), { [TOKENS]: 5 })
  assert.deepEqual(asked, [['us-east-1', 1, 100, clock.now]])
})

const FAULTS = ['throttling', 'internal-error', 'reset', 'html', 'expired-credentials', 'region-disabled'] as const
for (const kind of FAULTS) {
  test(`AWS that answers with ${kind} fails neither flush nor shutdown, and loses nothing`, async t => {
    const { exporter, simulator, client, clock, billed, line, ledger } = world(t)
    simulator.faults.add({ kind, rate: 1 })
    assert.deepEqual(await exportTo(exporter, tokens(5)), SUCCESS)
    clock.now += HOUR
    const messages = await saidDuring(async () => {
      await Promise.all([exporter.forceFlush(), exporter.forceFlush()])
      await exporter.forceFlush()
      await Promise.all([exporter.shutdown(), exporter.forceFlush(), exporter.shutdown()])
      await exporter.forceFlush()
      await exporter.shutdown()
    })
    assert.match(messages.join('\n'), /^error: (AWS|Nothing|It is not known)/m)
    assert.deepEqual(billed(), {})
    assert.deepEqual(await line(ACCOUNT, 'tokens-processed'), ALL_BUT_SENT)
    // Whoever opens the ledger next goes on.
    simulator.faults.clear()
    clock.now += HOUR
    const next = world(t, { now: () => clock.now, client, wrap: () => ledger })
    await next.exporter.forceFlush()
    assert.deepEqual(billed(), { [TOKENS]: 5 })
  })
}

test('a fault that lasts for a moment is waited out while there is time, by flush and by shutdown', async t => {
  // The one clock here that goes on by itself: without it no pause is over.
  const running = () => Math.floor(START + performance.now())
  await Promise.all(
    (['forceFlush', 'shutdown'] as const).map(async end => {
      let ahead = 0
      const now = () => running() + ahead
      const { exporter, simulator, billed } = world(t, { now, simulator: { now } })
      const customers = Array.from({ length: 100 }, (_, index) => {
        return [1, { 'marketplace.customer.account_id': String(999_900_000_000 + index) }] as [number, Attributes]
      })
      assert.deepEqual(await exportTo(exporter, counted('marketplace.inference.tokens', ...customers)), SUCCESS)
      simulator.faults.add({ kind: 'reset', next: 1 })
      ahead = HOUR
      await exporter[end]()
      assert.equal(Object.keys(billed()).length, 100)
    }),
  )
})

test('AWS that is down, over a socket, or without credentials, fails neither flush nor shutdown', async t => {
  const { url, close } = await startSimulator()
  await close()
  setEnvironment(t, { AWS_ENDPOINT_URL_MARKETPLACE_METERING: url, AWS_EC2_METADATA_DISABLED: 'true' })
  for (const credentials of [{ AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: '' }, KEYS]) {
    setEnvironment(t, credentials)
    const folder = temporaryFolder(t)
    const clock = { now: START }
    const ledger = new SqliteLedger({ path: join(folder, 'ledger.sqlite') })
    t.after(() => ledger.close())
    const exporter = new AWSMarketplaceMetricExporter({
      productCode: PRODUCT,
      region: 'us-east-1',
      ledger,
      now: () => clock.now,
      wakeInterval: HOUR,
    })
    await exportTo(exporter, tokens(5))
    clock.now += HOUR
    const messages = (await saidDuring(() => exporter.shutdown())).join('\n')
    assert.match(messages, credentials === KEYS ? /AWS cannot be reached.*ECONNREFUSED/ : /credentials/i)
    const [record] = await ledger.records()
    assert.deepEqual([record?.state, record?.inDoubt], ['pending', false], 'nothing was sent, so nothing is in doubt')
  }
})

test('the default client meters over a socket, with credentials from the environment', async t => {
  const clock = { now: START }
  await using aws = await startSimulator({ now: () => clock.now })
  setEnvironment(t, { AWS_ENDPOINT_URL_MARKETPLACE_METERING: aws.url, AWS_REGION: 'eu-west-1', ...KEYS })
  const ledger = join(temporaryFolder(t), 'ledger.sqlite')
  const exporter = new AWSMarketplaceMetricExporter({ productCode: PRODUCT, ledger, now: () => clock.now })
  await exportTo(exporter, tokens(5))
  clock.now += HOUR
  await exporter.shutdown()
  assert.deepEqual(
    aws.simulator.totals().map(({ region, quantity }) => [region, quantity]),
    [['eu-west-1', 5]],
  )
})

test('the default client sends each record to the region that it was frozen for', async t => {
  const clock = { now: START }
  await using aws = await startSimulator({ now: () => clock.now })
  setEnvironment(t, { AWS_ENDPOINT_URL_MARKETPLACE_METERING: aws.url, ...KEYS })
  const ledger = join(temporaryFolder(t), 'ledger.sqlite')
  const options = { productCode: PRODUCT, ledger, now: () => clock.now }
  aws.simulator.faults.add({ kind: 'throttling', next: 1 })
  for (const [region, amount] of [
    ['eu-west-1', 5],
    ['us-east-1', 7],
  ] as const) {
    const exporter = new AWSMarketplaceMetricExporter({ ...options, region })
    await exportTo(exporter, tokens(amount))
    clock.now += HOUR
    await exporter.shutdown()
  }
  assert.deepEqual(
    aws.simulator
      .totals()
      .map(({ region, quantity }) => [region, quantity])
      .sort(),
    [
      ['eu-west-1', 5],
      ['us-east-1', 7],
    ],
  )
})

test('AWS that hangs holds neither flush nor shutdown beyond flushTimeout', async t => {
  const gate = makeGate()
  const { clock, simulator } = world(t)
  const client = { batchMeterUsage: gate.before(async request => simulator.batchMeterUsage(request)) } as MeteringClient
  const path = join(temporaryFolder(t), 'own.sqlite')
  const exporter = new AWSMarketplaceMetricExporter({
    productCode: PRODUCT,
    region: 'us-east-1',
    client,
    ledger: path,
    now: () => clock.now,
    flushTimeout: 20,
    wakeInterval: HOUR,
  })
  await exportTo(exporter, tokens(5))
  clock.now += HOUR
  await exporter.forceFlush()
  await gate.reached
  await exporter.forceFlush()
  await exporter.shutdown()
  gate.open()
  const ledger = new SqliteLedger({ path })
  const [record] = await ledger.records()
  await ledger.close()
  assert.deepEqual([record?.state, record?.inDoubt], ['pending', true])
})

test('a shutdown right after a flush waits no second time for AWS, and after an export or an hour it does', async t => {
  const send = t.mock.method(Metering.prototype, 'send')
  const gate = makeGate()
  const client = { batchMeterUsage: gate.before(async () => ({ Results: [], UnprocessedRecords: [] })) }
  const hanging = client as unknown as MeteringClient
  const flushed = async (before: (one: World) => unknown) => {
    const one = world(t, { client: hanging, flushTimeout: 20 })
    await exportTo(one.exporter, tokens(5))
    one.clock.now += HOUR
    await one.exporter.forceFlush()
    await one.exporter.forceFlush()
    await before(one)
    send.mock.resetCalls()
    await one.exporter.shutdown()
    return send.mock.callCount()
  }
  assert.equal(await flushed(() => {}), 0)
  assert.equal(await flushed(({ exporter }) => exportTo(exporter, tokens(5))), 1)
  assert.equal(
    await flushed(({ clock }) => {
      clock.now += HOUR
    }),
    1,
  )
  gate.open()
})

test('flush and shutdown before any export, and export after shutdown', async t => {
  const { exporter, ledger } = world(t)
  await Promise.all([exporter.forceFlush(), exporter.shutdown(), exporter.forceFlush(), exporter.shutdown()])
  const { code, error } = await exportTo(exporter, tokens(5))
  assert.equal(code, 1)
  assert.match(String(error), /shut down/)
  assert.deepEqual(await recorded(ledger), {})
  assert.deepEqual((await ledger.status()).pending, [], 'a ledger that was passed in is left open')
})

test('a shutdown in the middle of an export takes its usage along', async t => {
  const gate = makeGate()
  const { exporter, ledger } = world(t, { wrap: ledger => override(ledger, { append: gate.before(ledger.append) }) })
  const results = [exportTo(exporter, tokens(1)), exportTo(exporter, tokens(2))]
  await gate.reached
  const shutdown = exporter.shutdown()
  gate.open()
  assert.deepEqual(await Promise.all(results), [SUCCESS, SUCCESS])
  await shutdown
  assert.deepEqual(await recorded(ledger), { [TOKENS]: 3n * M })
})

for (const [situation, later] of [['is to be metered', HOUR] as const, ['waits for its hour to end', 0] as const]) {
  test(`usage that ${situation} keeps no program alive that is done`, async t => {
    const folder = temporaryFolder(t)
    const code = `
      import { AWSMarketplaceMetricExporter } from '${import.meta.resolve('../../src/index.ts')}'
      let now = ${START}
      const exporter = new AWSMarketplaceMetricExporter({
        productCode: 'p', region: 'us-east-1', ledger: ${JSON.stringify(join(folder, 'ledger.sqlite'))}, now: () => now,
        client: { batchMeterUsage: async () => { throw new Error('down') } },
      })
      exporter.export(${JSON.stringify(tokens(5))}, ({ code }) => {
        now += ${later}
        console.log('exported', code)
      })`
    const child = spawn(process.execPath, ['--input-type=module', '--eval', code], {
      stdio: ['ignore', 'pipe', 'inherit'],
      signal: t.signal,
    })
    let output = ''
    child.stdout.on('data', chunk => {
      output += chunk
    })
    const [status] = await once(child, 'close')
    assert.deepEqual([status, output], [0, 'exported 0\n'])
  })
}

const KEYS = { AWS_ACCESS_KEY_ID: 'key', AWS_SECRET_ACCESS_KEY: 'top-secret' }

/** Sets environment variables for a test; an empty one is removed. */
function setEnvironment(test: TestContext, variables: Record<string, string>): void {
  for (const [name, value] of Object.entries(variables)) {
    const before = process.env[name]
    test.after(() => {
      if (before === undefined) delete process.env[name]
      else process.env[name] = before
    })
    if (value === '') delete process.env[name]
    else process.env[name] = value
  }
}
