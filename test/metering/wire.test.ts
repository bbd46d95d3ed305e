import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { type TestContext, test } from 'node:test'
import { MarketplaceMetering, type MarketplaceMeteringClientConfig } from '@aws-sdk/client-marketplace-metering'
import { awsClient } from '../../src/marketplace/aws-client.ts'
import type { MeteringClient } from '../../src/marketplace/client.ts'
import { HttpMeteringClient } from '../../src/marketplace/http-client.ts'
import { type FaultKind, startSimulator } from '../../src/simulator/index.ts'
import { taggedAccount } from '../../src/usage/tagged-account.ts'
import type { Tags } from '../../src/usage/tags.ts'
import { freePort } from '../free-port.ts'
import { Bench, customer, HOUR, identified, licensed, MINUTE, NOW, PRODUCT, REGION, TOKENS } from './support.ts'

/** The AWS SDK's own client, unmodified, with as many attempts as it makes by itself. */
function sdk(t: TestContext, endpoint: string, config: MarketplaceMeteringClientConfig = {}): MarketplaceMetering {
  const client = new MarketplaceMetering({
    endpoint,
    region: REGION,
    credentials: { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'secret' },
    ...config,
  })
  t.after(() => client.destroy())
  return client
}

/** Our own client for a region, which finds everything in the environment as the AWS SDK does. */
function own(t: TestContext, endpoint: string, requestTimeout: number): MeteringClient {
  const variables = {
    AWS_ENDPOINT_URL_MARKETPLACE_METERING: endpoint,
    AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE',
    AWS_SECRET_ACCESS_KEY: 'secret',
  }
  const before = Object.keys(variables).map(name => [name, process.env[name]] as const)
  Object.assign(process.env, variables)
  t.after(() => {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    }
  })
  return awsClient(REGION, requestTimeout)
}

/** A bench whose cycle meters through a client over a socket. Nothing else than the bench's books is its simulator's. */
async function wired(t: TestContext, clientOf: (t: TestContext, url: string) => MeteringClient): Promise<Bench> {
  let now = NOW
  const running = await startSimulator({ now: () => now, seed: 7, quota: null })
  t.after(() => running.close())
  const client = clientOf(t, running.url)
  const bench = new Bench(t, { send: () => (request, options) => client.batchMeterUsage(request, options) })
  Object.defineProperties(bench, {
    simulator: { value: running.simulator },
    now: { get: () => now, set: (time: number) => (now = time) },
  })
  return bench
}

const accounts = [customer(1), identified(2), licensed(3), licensed(4), customer(5)]
const oneAttempt = (t: TestContext, url: string) => sdk(t, url, { maxAttempts: 1 })
const ours = (t: TestContext, url: string) => own(t, url, 5000)

for (const [name, clientOf] of [
  ['the AWS SDK’s client', (t: TestContext, url: string) => sdk(t, url)],
  ['our client', ours],
] as const) {
  test(`${name} meters both identities, over a socket`, async t => {
    const bench = await wired(t, clientOf)
    await bench.use(accounts, 3)
    await bench.pass()
    await bench.assertAllBilled()
    assert.deepEqual(bench.faults(), ['ok', 'ok'])
    assert.deepEqual(await bench.states(), { metered: 5 })
    await bench.use(accounts, 4, { hoursAgo: 0 })
    await bench.passes(1, HOUR)
    await bench.assertAllBilled()
    assert.equal(bench.billed(), 35)
  })

  test(`${name}: one bad record of ten is found over a socket`, async t => {
    const bench = await wired(t, clientOf)
    bench.simulator.catalogue.declareProduct({ code: PRODUCT, dimensions: ['requests'] })
    await bench.use(
      Array.from({ length: 9 }, (_, index) => customer(index)),
      2,
    )
    await bench.use(customer(4), 2, { dimension: TOKENS })
    await bench.pass()
    assert.deepEqual(await bench.states(), { metered: 9, 'held refused': 1 })
    assert.match((await bench.records()).find(r => r.state === 'held')?.lastAnswer ?? '', /InvalidUsageDimension/)
  })

  test(`${name}: somebody else’s hour, and a customer who left, over a socket`, async t => {
    const bench = await wired(t, clientOf)
    bench.simulator.catalogue.unsubscribe({ accountId: customer(5).accountId as string, at: NOW - 5 * HOUR })
    bench.simulator.meterForeign({
      ProductCode: PRODUCT,
      UsageRecords: [
        {
          Timestamp: new Date(NOW - HOUR),
          Dimension: 'requests',
          Quantity: 9,
          CustomerAWSAccountId: customer(1).accountId,
        },
      ],
    })
    await bench.use(accounts, 3)
    await bench.pass()
    assert.deepEqual(await bench.states(), { metered: 3, 'held conflict': 1, 'held not-subscribed': 1 })
  })
}

/** What each fault of the wire is to a client that tries once. */
const faults: [FaultKind, string, boolean][] = [
  ['throttling', 'throttled', false],
  ['internal-error-after', 'unknown', true],
  ['reset', 'unknown', true],
  ['reset-after', 'unknown', true],
  ['html', 'unknown', true],
  ['html-after', 'unknown', true],
  ['truncated', 'unknown', true],
  ['empty', 'ok', true],
  ['expired-credentials', 'configuration', false],
  ['access-denied', 'configuration', false],
  ['unrecognized-client', 'configuration', false],
  ['region-disabled', 'configuration', false],
]

test('each fault of the wire, as the AWS SDK’s client and ours tell it', async t => {
  for (const clientOf of [oneAttempt, ours]) {
    for (const [kind, fault, inDoubt] of faults) {
      await t.test(`${kind} with ${clientOf.name}`, async t => {
        const bench = await wired(t, clientOf)
        bench.simulator.faults.add({ kind, next: 1 })
        await bench.use([customer(1), customer(2)], 3)
        await bench.pass()
        assert.deepEqual(bench.faults(), [fault])
        assert.equal(bench.simulator.counters.requests, 1, 'one attempt')
        assert.ok((await bench.records()).every(record => record.state === 'pending' && record.inDoubt === inDoubt))
        await bench.passes(2, 20 * MINUTE)
        await bench.assertAllBilled()
        assert.equal(bench.billed(), 6)
      })
    }
  }
})

test('an AWS SDK’s client that tries again by itself does not hide that an attempt was lost', async t => {
  const bench = await wired(t, (t, url) => sdk(t, url, { maxAttempts: 2 }))
  bench.simulator.faults.add({ kind: 'reset-after', next: 1 })
  bench.simulator.faults.add({ kind: 'throttling', next: 1 })
  await bench.use([customer(1), customer(2)], 3)
  await bench.pass()
  assert.equal(bench.simulator.counters.requests, 2)
  assert.deepEqual(bench.faults(), ['throttled'])
  assert.ok((await bench.records()).every(record => record.state === 'pending' && record.inDoubt))
  await bench.passes(2, 20 * MINUTE)
  await bench.assertAllBilled()
  assert.equal(bench.billed(), 6)
})

test('nobody listens: known not to be sent, so nothing is in doubt', async t => {
  const url = `http://127.0.0.1:${await freePort()}`
  for (const clientOf of [oneAttempt, ours]) {
    const bench = await wired(t, t => clientOf(t, url))
    await bench.use([customer(1), customer(2)], 3)
    await bench.pass()
    assert.deepEqual(bench.faults(), ['not-sent'])
    assert.ok((await bench.records()).every(record => record.state === 'pending' && !record.inDoubt))
  }
})

test('no credentials anywhere: nothing is sent, nothing is in doubt', async t => {
  const bench = await wired(t, (t, url) =>
    sdk(t, url, {
      credentials: async () => {
        throw Object.assign(new Error('Could not load credentials from any providers'), {
          name: 'CredentialsProviderError',
        })
      },
    }),
  )
  await bench.use([customer(1), customer(2)], 3)
  await bench.pass()
  assert.deepEqual(bench.faults(), ['configuration'])
  assert.equal(bench.simulator.counters.requests, 0)
  assert.ok((await bench.records()).every(record => record.state === 'pending' && !record.inDoubt))
})

test('our client gives a silent server up after requestTimeout, by itself', async t => {
  const sockets = new Set<{ destroy(): void }>()
  const server = createServer(socket => {
    sockets.add(socket)
    socket.on('error', () => {})
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const { port } = server.address() as { port: number }
  const client = own(t, `http://127.0.0.1:${port}`, 100)
  await assert.rejects(client.batchMeterUsage({ ProductCode: PRODUCT, UsageRecords: [] }), { name: 'TimeoutError' })
  assert.equal(sockets.size, 1, 'one attempt')
})

/** Both clients, and how many bytes each request's body has that they send. */
const measuring: Record<string, (t: TestContext, url: string, sizes: number[]) => MeteringClient> = {
  'the AWS SDK’s client': (t, url, sizes) => {
    const client = sdk(t, url)
    client.middlewareStack.add(
      next => async args => {
        sizes.push(Buffer.byteLength((args.request as { body: string }).body))
        return next(args)
      },
      { step: 'finalizeRequest' },
    )
    return client
  },
  'the client without it': (_, endpoint, sizes) =>
    new HttpMeteringClient({
      ...{ endpoint, region: REGION, credentials: { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'secret' } },
      fetch: async (url, init) => {
        sizes.push(Buffer.byteLength(init?.body as string))
        return fetch(url, init)
      },
    }),
}

for (const [index, [name, clientOf]] of Object.entries(measuring).entries()) {
  const records = index === 0 ? 25 : 8
  test(`${name}: ${records} records with 2,000 allocations each go in requests under 1 MB, under one claim`, async t => {
    const sizes: number[] = []
    const bench = await wired(t, (t, url) => clientOf(t, url, sizes))
    const quantity = (n: number) => (n < 1000 ? 1 : 2)
    const tagged = Array.from({ length: 2000 }, (_, n): Tags => [['gen_ai.request.model', `model-${n}`]])
    for (let number = 0; number < records; number++) {
      const shares = tagged.map(tags => taggedAccount(customer(number), tags))
      await bench.use(shares.slice(0, 1000), 1)
      await bench.use(shares.slice(1000), 2)
    }
    await bench.use(customer(records - 1), 5)
    bench.simulator.faults.add({ kind: 'reset-after', next: 1 })
    bench.simulator.faults.add({ kind: 'unprocessed', next: 3 })
    await bench.pass()
    await bench.passes(3, 20 * MINUTE)
    await bench.assertAllBilled()
    assert.ok(
      sizes.every(size => size < 1_000_000),
      `${Math.max(...sizes)} bytes`,
    )
    assert.ok(Math.max(...sizes) > 700_000, 'and as many records in each as it takes')
    assert.equal(bench.simulator.counters.resplits, 0)
    const shares = bench.simulator.totalsByTags({ customer: customer(records - 1).accountId })
    assert.equal(shares.length, 2001)
    for (const { tags, quantity: billed } of shares) {
      const model = tags['aws:marketplace:isv:gen_ai.request.model']
      assert.equal(billed, model === undefined ? 5 : quantity(Number(model.slice('model-'.length))))
    }
  })
}

test('whom AWS refuses for tags is found, held with its words, and the others are billed', async t => {
  const bench = await wired(t, oneAttempt)
  const bad = taggedAccount(customer(6), [['aws:model', 'small']])
  await bench.use([...accounts.map(account => taggedAccount(account, [['model', 'small']])), bad], 2)
  await bench.pass()
  assert.deepEqual(await bench.states(), { metered: 5, 'held refused': 1 })
  const held = (await bench.records()).find(({ state }) => state === 'held')
  assert.equal(held?.account.key, customer(6).key)
  assert.match(held?.lastAnswer ?? '', /^InvalidTagException: .*aws:/)
  assert.equal(held?.inDoubt, false)
})
