import assert from 'node:assert/strict'
import { request } from 'node:http'
import { test } from 'node:test'
import {
  ACCOUNT,
  batch,
  HOUR,
  LICENCE,
  licensed,
  NOW,
  OTHER_ACCOUNT,
  PRODUCT,
  type Running,
  record,
  refusedAs,
  running,
  statuses,
} from './support.ts'

async function ask(at: Running, method: string, path: string, body?: unknown) {
  const response = await fetch(`${at.url}/_simulator${path}`, {
    method,
    ...(body !== undefined && {
      headers: { 'content-type': 'application/json' },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    }),
  })
  const text = await response.text()
  return { status: response.status, body: text === '' ? undefined : JSON.parse(text) }
}

test('the clock can be set, advanced and reset', async t => {
  const at = await running(t)
  assert.deepEqual((await ask(at, 'GET', '/clock')).body, { now: '2026-06-10T12:30:00.000Z' })
  assert.deepEqual((await ask(at, 'POST', '/clock/advance', { milliseconds: HOUR })).body, {
    now: '2026-06-10T13:30:00.000Z',
  })
  assert.deepEqual((await ask(at, 'PUT', '/clock', { now: '2026-07-01T02:00:00+02:00' })).body, {
    now: '2026-07-01T00:00:00.000Z',
  })
  assert.deepEqual((await ask(at, 'POST', '/clock/advance', { milliseconds: -1000 })).body, {
    now: '2026-06-30T23:59:59.000Z',
  })
  assert.deepEqual((await ask(at, 'DELETE', '/clock')).body, { now: '2026-06-10T12:30:00.000Z' })
})

test('what was billed can be asked for by customer, dimension, hour, region and product', async t => {
  const at = await running(t)
  await at
    .sdk()
    .batchMeterUsage(
      batch(
        record({ Quantity: 1 }),
        record({ Quantity: 2, Timestamp: new Date(NOW - 2 * HOUR) }),
        record({ Quantity: 4, Dimension: 'requests' }),
      ),
    )
  await at.sdk({ region: 'eu-west-1' }).batchMeterUsage({
    ProductCode: 'prod-other',
    UsageRecords: [record({ Quantity: 8, CustomerAWSAccountId: OTHER_ACCOUNT })],
  })
  await at.sdk().batchMeterUsage({ UsageRecords: [licensed({ Quantity: 16 })] })
  const billed = async (query: string) => {
    const { status, body } = await ask(at, 'GET', `/billed${query}`)
    assert.equal(status, 200)
    return body.reduce((sum: number, each: { quantity: number }) => sum + each.quantity, 0)
  }
  assert.equal(await billed(''), 31)
  assert.equal(await billed(`?customer=${ACCOUNT}`), 23)
  assert.equal(await billed(`?customer=${LICENCE}`), 16)
  assert.equal(await billed(`?customer=${ACCOUNT}&dimension=tokens&product=${PRODUCT}`), 3)
  assert.equal(await billed('?region=eu-west-1'), 8)
  assert.equal(await billed('?product=prod-other'), 8)
  assert.equal(await billed('?hour=2026-06-10T10:59:00Z'), 2)
  assert.equal(await billed('?from=2026-06-10T11:00:00Z'), 29)
  assert.equal(await billed('?to=2026-06-10T11:00:00Z'), 2)
  assert.deepEqual((await ask(at, 'GET', `/totals?customer=${ACCOUNT}&product=${PRODUCT}`)).body, [
    { region: 'us-east-1', dimension: 'tokens', product: PRODUCT, accountId: ACCOUNT, records: 2, quantity: 3 },
    { region: 'us-east-1', dimension: 'requests', product: PRODUCT, accountId: ACCOUNT, records: 1, quantity: 4 },
  ])
  const wrong = await ask(at, 'GET', '/billed?customr=x')
  assert.equal(wrong.status, 400)
  assert.match(wrong.body.error.message, /^query\.customr: /)
})

test('the bill is split by the tags that usage was sent with, and another split of it is counted', async t => {
  const at = await running(t)
  const client = at.sdk()
  const tagged = (AllocatedUsageQuantity: number, tags: Record<string, string>) => ({
    AllocatedUsageQuantity,
    Tags: Object.entries(tags).map(([Key, Value]) => ({ Key, Value })),
  })
  const split = [
    tagged(3, { team: 'search', model: 'small' }),
    tagged(1, { team: 'ads' }),
    { AllocatedUsageQuantity: 1 },
  ]
  await client.batchMeterUsage(
    batch(
      record({ UsageAllocations: split }),
      record({ Timestamp: new Date(NOW - 2 * HOUR), Quantity: 7 }),
      record({
        Timestamp: new Date(NOW - 3 * HOUR),
        Quantity: 10,
        UsageAllocations: [tagged(10, { model: 'small', team: 'search' })],
      }),
      record({ Dimension: 'requests', Quantity: 0, UsageAllocations: [tagged(0, { team: 'ads' })] }),
      record({ CustomerAWSAccountId: OTHER_ACCOUNT, Quantity: 100 }),
    ),
  )
  const series = { region: 'us-east-1', product: PRODUCT, accountId: ACCOUNT, dimension: 'tokens' }
  const [model, team] = ['aws:marketplace:isv:model', 'aws:marketplace:isv:team']
  const bill = async (query: string) => (await ask(at, 'GET', `/totals/by-tags${query}`)).body
  const query = `?customer=${ACCOUNT}&dimension=tokens`
  const whole = [
    { ...series, tags: { [team]: 'search', [model]: 'small' }, quantity: 13 },
    { ...series, tags: { [team]: 'ads' }, quantity: 1 },
    { ...series, tags: {}, quantity: 8 },
  ]
  assert.deepEqual(await bill(query), whole)
  assert.deepEqual(at.simulator.totalsByTags({ customer: ACCOUNT, dimension: 'tokens' }), whole)
  assert.deepEqual(await bill(`${query}&to=2026-06-10T10:00:00Z`), [{ ...whole[0], quantity: 10 }])
  assert.deepEqual(at.simulator.billed()[0]?.allocations, split)

  const resplits = async () => (await ask(at, 'GET', '/counters')).body.resplits
  const again = async (quantity: number, UsageAllocations?: typeof split) =>
    statuses(
      await client.batchMeterUsage(
        batch(record({ Quantity: quantity, ...(UsageAllocations && { UsageAllocations }) })),
      ),
    )
  assert.deepEqual(await again(5, split.toReversed()), ['Success'])
  assert.deepEqual(await again(6), ['DuplicateRecord'])
  assert.equal(await resplits(), 0, 'the same in another order; and another quantity')
  const other = [tagged(5, { team: 'search', model: 'small' })]
  assert.deepEqual(await again(5, other), ['Success'])
  assert.deepEqual(await again(5), ['Success'])
  assert.equal(await resplits(), 2)
  assert.deepEqual(await bill(query), whole, 'the first write wins')
  at.simulator.undocumented = { resplit: 'DuplicateRecord' }
  assert.deepEqual(await again(5, other), ['DuplicateRecord'])
  assert.deepEqual(await again(5, split), ['Success'])
  assert.equal(await resplits(), 3)

  const next = await running(t, { seed: 8 })
  assert.equal((await ask(next, 'PUT', '/billed', (await ask(at, 'GET', '/billed')).body)).status, 204)
  assert.deepEqual(next.simulator.totalsByTags(), at.simulator.totalsByTags())
})

test('what one simulator billed, another can take over', async t => {
  const [first, second] = [await running(t), await running(t, { seed: 8 })]
  const before = await first.sdk().batchMeterUsage(batch(record()))
  await first.sdk().batchMeterUsage({ UsageRecords: [licensed()] })
  const { body } = await ask(first, 'GET', '/billed')
  assert.equal((await ask(second, 'PUT', '/billed', body)).status, 204)
  assert.deepEqual((await ask(second, 'GET', '/billed')).body, body)
  const after = await second.sdk().batchMeterUsage(batch(record()))
  assert.deepEqual(after.Results, before.Results)
  assert.deepEqual(statuses(await second.sdk().batchMeterUsage({ UsageRecords: [licensed({ Quantity: 6 })] })), [
    'DuplicateRecord',
  ])
  assert.equal((await ask(second, 'PUT', '/billed', [{ quantity: 1 }])).status, 400)
})

test('faults are switched on and off', async t => {
  const at = await running(t)
  assert.equal((await ask(at, 'POST', '/faults', { kind: 'throttling', next: 1 })).status, 200)
  await ask(at, 'POST', '/faults', { kind: 'reset', rate: 1, region: 'eu-west-1' })
  await assert.rejects(at.sdk().batchMeterUsage(batch(record())), refusedAs('ThrottlingException'))
  assert.deepEqual((await ask(at, 'GET', '/faults')).body, [
    { kind: 'reset', rate: 1, region: 'eu-west-1', share: 0.5, milliseconds: 1000 },
  ])
  assert.deepEqual((await ask(at, 'DELETE', '/faults?kind=html')).body.length, 1)
  assert.deepEqual((await ask(at, 'DELETE', '/faults')).body, [])
  assert.equal((await ask(at, 'DELETE', '/faults?kind=nonsense')).status, 400)
})

test('the quota and regions can be changed', async t => {
  const at = await running(t)
  assert.deepEqual((await ask(at, 'PUT', '/quota', { perSecond: 1 })).body, { perSecond: 1 })
  await at.sdk().batchMeterUsage(batch(record()))
  await assert.rejects(at.sdk().batchMeterUsage(batch(record())), refusedAs('ThrottlingException'))
  assert.equal((await ask(at, 'PUT', '/quota', { perSecond: 0 })).status, 400)
  assert.deepEqual((await ask(at, 'PUT', '/quota', { perSecond: null })).body, { perSecond: null })
  await ask(at, 'PUT', '/regions', { region: 'us-east-1', disabled: true })
  await assert.rejects(at.sdk().batchMeterUsage(batch(record())), refusedAs('DisabledApiException'))
  await ask(at, 'PUT', '/regions', { region: 'us-east-1', disabled: false })
  await at.sdk().batchMeterUsage(batch(record()))
})

test('products, customers, subscriptions and tokens can be declared', async t => {
  const at = await running(t)
  const meter = async (Dimension: string) => statuses(await at.sdk().batchMeterUsage(batch(record({ Dimension }))))
  assert.equal((await ask(at, 'POST', '/products', { code: PRODUCT, dimensions: ['a', 'b', 'c'] })).status, 204)
  await assert.rejects(meter('d'), refusedAs('InvalidUsageDimensionException'))
  assert.equal((await ask(at, 'POST', '/customers', { accountId: ACCOUNT, subscriptions: [] })).status, 204)
  assert.deepEqual(await meter('a'), ['CustomerNotSubscribed'])
  const subscription = { accountId: ACCOUNT, product: PRODUCT }
  assert.equal((await ask(at, 'POST', '/subscriptions', { ...subscription, at: '2026-06-10T11:00:00Z' })).status, 204)
  assert.deepEqual(await meter('a'), ['Success'])
  assert.equal((await ask(at, 'POST', '/subscriptions/end', subscription)).status, 204)
  await ask(at, 'POST', '/clock/advance', { milliseconds: HOUR + 1 })
  assert.deepEqual(await meter('b'), ['CustomerNotSubscribed'])
  const { token } = (await ask(at, 'POST', '/tokens', { product: PRODUCT, accountId: ACCOUNT })).body
  assert.equal((await at.sdk().resolveCustomer({ RegistrationToken: token })).CustomerAWSAccountId, ACCOUNT)
})

test('another tool can meter, in any region', async t => {
  const at = await running(t)
  const foreign = {
    region: 'eu-west-1',
    ProductCode: PRODUCT,
    UsageRecords: [{ Timestamp: NOW / 1000, Dimension: 'tokens', Quantity: 4, CustomerAWSAccountId: ACCOUNT }],
  }
  const answer = await ask(at, 'POST', '/foreign', foreign)
  assert.deepEqual(answer.body.Results[0].Status, 'Success')
  const own = record({ Timestamp: new Date(NOW) })
  assert.deepEqual(statuses(await at.sdk({ region: 'eu-west-1' }).batchMeterUsage(batch(own))), ['DuplicateRecord'])
  assert.deepEqual(statuses(await at.sdk().batchMeterUsage(batch(own))), ['Success'])
  const refused = await ask(at, 'POST', '/foreign', { ...foreign, ProductCode: 'a b' })
  assert.deepEqual([refused.status, refused.body.error.code], [400, 'ValidationException'])
})

test('requests are counted and logged', async t => {
  const at = await running(t, { logSize: 3, quota: 3 })
  const { simulator } = at
  const client = at.sdk()
  await client.batchMeterUsage(batch(record(), record({ Quantity: 6 })))
  await assert.rejects(client.batchMeterUsage(batch(record({ Dimension: '' }))))
  simulator.faults.add({ kind: 'reset-after', next: 1 })
  await assert.rejects(client.batchMeterUsage(batch(record({ Dimension: 'b' }))))
  await assert.rejects(client.resolveCustomer({ RegistrationToken: 't' }))
  await assert.rejects(client.batchMeterUsage(batch(record())))
  assert.deepEqual((await ask(at, 'GET', '/counters')).body, {
    requests: 5,
    throttled: 1,
    faults: { 'reset-after': 1 },
    refused: { ValidationException: 1, InvalidTokenException: 1 },
    records: { Success: 2, DuplicateRecord: 1, CustomerNotSubscribed: 0, unprocessed: 0 },
    resplits: 0,
  })
  const common = { at: NOW, region: 'us-east-1', accessKeyId: 'AKIDEXAMPLE', faults: [] }
  assert.deepEqual((await ask(at, 'GET', '/requests')).body, [
    { ...common, operation: 'BatchMeterUsage', records: 1, outcome: 'reset', faults: ['reset-after'] },
    { ...common, operation: 'ResolveCustomer', records: 0, outcome: 'InvalidTokenException' },
    { ...common, operation: 'BatchMeterUsage', records: 1, outcome: 'ThrottlingException' },
  ])
})

test('control requests that make no sense get a clear answer', async t => {
  const at = await running(t)
  const refused = async (status: number, message: RegExp, ...sent: [string, string, unknown?]) => {
    const answer = await ask(at, ...sent)
    assert.equal(answer.status, status)
    assert.match(answer.body.error.message, message)
    assert.match(answer.body.error.code, /^ERR_/)
  }
  await refused(404, /no \/_simulator\/nonsense, but \/clock/, 'GET', '/nonsense')
  await refused(404, /no \/_simulator\/toString/, 'GET', '/toString')
  await refused(405, /\/clock takes GET, PUT, DELETE, not POST/, 'POST', '/clock', {})
  await refused(400, /not JSON/, 'PUT', '/clock', '{')
  await refused(400, /^body\.now: .*received "noon"/, 'PUT', '/clock', { now: 'noon' })
  await refused(400, /^body\.now: .*zone.*received "2026-06-10T12:00:00"/, 'PUT', '/clock', {
    now: '2026-06-10T12:00:00',
  })
  await refused(400, /^body: /, 'PUT', '/clock')
  await refused(400, /^body\.milliseconds: /, 'POST', '/clock/advance', { milliseconds: '5' })
  await refused(400, /^customer\.accountId: .*12 digits.*"12"/, 'POST', '/customers', { accountId: '12' })
  await refused(400, /accountId or customerIdentifier/, 'POST', '/subscriptions', { product: PRODUCT })
  await refused(400, /^body\.region: .*received "mars"/, 'PUT', '/regions', { region: 'mars', disabled: true })
})

test('a web site can neither steer it nor read it', async t => {
  const at = await running(t)
  const { port, host } = new URL(at.url)
  const send = (method: string, headers: Record<string, string>, body = '') =>
    new Promise<number | undefined>((resolve, reject) => {
      const path = method === 'GET' ? '/_simulator/clock' : '/_simulator/clock/advance'
      request({ port, method, path, headers }, response => {
        response.resume()
        resolve(response.statusCode)
      })
        .on('error', reject)
        .end(body)
    })
  const json = { 'content-type': 'application/json' }
  const body = '{"milliseconds":86400000}'
  for (const headers of [
    { ...json, origin: 'http://evil.test' },
    { ...json, origin: 'null' },
    { ...json, origin: `https://${host}` },
    { ...json, 'sec-fetch-site': 'cross-site' },
    { ...json, 'sec-fetch-site': 'same-site' },
    { ...json, host: 'evil.test' },
    { ...json, host: `evil.test:${port}`, origin: `http://evil.test:${port}` },
    { ...json, host: '127.0.0.1.evil.test' },
    { 'content-type': 'text/plain' },
    { 'content-type': 'application/x-www-form-urlencoded' },
    {},
  ] as Record<string, string>[]) {
    assert.equal(await send('POST', headers, body), 403, JSON.stringify(headers))
  }
  assert.equal(await send('GET', { host: 'evil.test' }), 403)
  assert.equal(at.simulator.clock.now(), NOW)
  for (const name of ['localhost', 'simulator:8480', '10.0.0.1', '[::1]:80']) {
    assert.equal(await send('GET', { host: name }), 200, name)
  }
  assert.equal(
    await send('POST', { ...json, host, origin: `http://${host}`, 'sec-fetch-site': 'same-origin' }, body),
    200,
  )
})
