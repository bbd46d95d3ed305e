import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { UsageRecord } from '@aws-sdk/client-marketplace-metering'
import { MarketplaceSimulator } from '../../src/simulator/index.ts'
import {
  ACCOUNT,
  batch,
  HOUR,
  LICENCE,
  licensed,
  MINUTE,
  NOW,
  OTHER_ACCOUNT,
  OTHER_LICENCE,
  PRODUCT,
  record,
  refusedAs,
  running,
  statuses,
} from './support.ts'

test('takes a record and says what it has billed', async t => {
  const { sdk, simulator } = await running(t)
  const answer = await sdk().batchMeterUsage(batch(record()))
  assert.deepEqual(statuses(answer), ['Success'])
  assert.deepEqual(answer.UnprocessedRecords, [])
  assert.deepEqual(answer.Results?.[0]?.UsageRecord, record())
  assert.match(answer.Results?.[0]?.MeteringRecordId ?? '', /^[0-9a-f]{8}-0000-4000-8000-[0-9a-f]{12}$/)
  assert.deepEqual(simulator.billed(), [
    {
      region: 'us-east-1',
      product: PRODUCT,
      accountId: ACCOUNT,
      dimension: 'tokens',
      hour: '2026-06-10T11:00:00.000Z',
      timestamp: '2026-06-10T11:30:00.000Z',
      quantity: 5,
      meteringRecordId: answer.Results?.[0]?.MeteringRecordId,
      takenAt: '2026-06-10T12:30:00.000Z',
      foreign: false,
    },
  ])
})

test('the first write wins: equal again succeeds under the same id, another quantity is a duplicate', async t => {
  const { sdk, simulator } = await running(t)
  const client = sdk()
  const first = await client.batchMeterUsage(batch(record()))
  const again = await client.batchMeterUsage(batch(record()))
  assert.deepEqual(again.Results, first.Results)
  const elsewhere = await client.batchMeterUsage(batch(record({ Timestamp: new Date(NOW - HOUR - 30 * MINUTE) })))
  assert.deepEqual(statuses(elsewhere), ['Success'], 'the timestamp is rounded down to the hour')
  assert.equal(elsewhere.Results?.[0]?.MeteringRecordId, first.Results?.[0]?.MeteringRecordId)
  const other = await client.batchMeterUsage(batch(record({ Quantity: 6 })))
  assert.deepEqual(statuses(other), ['DuplicateRecord'])
  assert.equal(other.Results?.[0]?.MeteringRecordId, undefined)
  assert.deepEqual(
    simulator.totals().map(total => [total.records, total.quantity]),
    [[1, 5]],
  )
})

test('two quantities for one hour in one request: the first is billed', async t => {
  const { sdk, simulator } = await running(t)
  const answer = await sdk().batchMeterUsage(
    batch(record({ Quantity: 1 }), record({ Quantity: 2 }), record({ Quantity: 1 })),
  )
  assert.deepEqual(statuses(answer), ['Success', 'DuplicateRecord', 'Success'])
  assert.deepEqual(
    simulator.billed().map(billed => billed.quantity),
    [1],
  )
})

test('an hour is one of a customer, a dimension, a product or licence, and a region', async t => {
  const { sdk, simulator } = await running(t)
  const client = sdk()
  await client.batchMeterUsage(
    batch(
      record({ Quantity: 1 }),
      record({ Quantity: 2, CustomerAWSAccountId: OTHER_ACCOUNT }),
      record({ Quantity: 3, Dimension: 'requests' }),
      record({ Quantity: 4, Timestamp: new Date(NOW - 2 * HOUR) }),
      record({ Quantity: 5, CustomerAWSAccountId: undefined, CustomerIdentifier: ACCOUNT }),
    ),
  )
  await client.batchMeterUsage({ ProductCode: 'prod-other', UsageRecords: [record({ Quantity: 6 })] })
  await sdk({ region: 'eu-west-1' }).batchMeterUsage(batch(record({ Quantity: 7 })))
  // Under the product code and under the licence, the same customer is billed twice.
  await client.batchMeterUsage({
    UsageRecords: [licensed({ Quantity: 8 }), licensed({ Quantity: 9, LicenseArn: OTHER_LICENCE })],
  })
  assert.deepEqual(
    simulator
      .billed()
      .map(billed => billed.quantity)
      .sort(),
    [1, 2, 3, 4, 5, 6, 7, 8, 9],
  )
})

test('a declared customer is the same under both of its names', async t => {
  const { sdk, simulator } = await running(t, {
    catalogue: { customers: [{ accountId: ACCOUNT, customerIdentifier: 'customer-1' }] },
  })
  const client = sdk()
  const byIdentifier = record({ CustomerAWSAccountId: undefined, CustomerIdentifier: 'customer-1' })
  const first = await client.batchMeterUsage(batch(record()))
  const second = await client.batchMeterUsage(batch(byIdentifier))
  assert.equal(second.Results?.[0]?.MeteringRecordId, first.Results?.[0]?.MeteringRecordId)
  assert.deepEqual(statuses(await client.batchMeterUsage(batch({ ...byIdentifier, Quantity: 6 }))), ['DuplicateRecord'])
  assert.equal(simulator.billed({ customer: 'customer-1' }).length, 1)
  assert.equal(simulator.billed({ customer: ACCOUNT }).length, 1)
})

test('a missing quantity is 0, and 0 takes the hour', async t => {
  const { sdk } = await running(t)
  const client = sdk()
  assert.deepEqual(statuses(await client.batchMeterUsage(batch(record({ Quantity: undefined })))), ['Success'])
  assert.deepEqual(statuses(await client.batchMeterUsage(batch(record({ Quantity: 0 })))), ['Success'])
  assert.deepEqual(statuses(await client.batchMeterUsage(batch(record({ Quantity: 1 })))), ['DuplicateRecord'])
})

test('an hour can be metered before it is over, and is taken then', async t => {
  const { sdk } = await running(t)
  const client = sdk()
  assert.deepEqual(statuses(await client.batchMeterUsage(batch(record({ Timestamp: new Date(NOW) })))), ['Success'])
  const later = record({ Timestamp: new Date(NOW), Quantity: 9 })
  assert.deepEqual(statuses(await client.batchMeterUsage(batch(later))), ['DuplicateRecord'])
})

const sixKeys = Array.from({ length: 6 }, (_, n) => ({
  AllocatedUsageQuantity: 1,
  Tags: [{ Key: `k${n}`, Value: 'v' }],
}))

// One bad record among good ones: the request fails with the name, and nothing of it is billed.
const bad: Record<string, { name: string; record: UsageRecord; productCode?: undefined }> = {
  'both identities': {
    name: 'InvalidCustomerIdentifierException',
    record: record({ CustomerIdentifier: 'customer-1' }),
  },
  'no identity': { name: 'InvalidCustomerIdentifierException', record: record({ CustomerAWSAccountId: undefined }) },
  'an account id of 11 digits': {
    name: 'InvalidCustomerIdentifierException',
    record: record({ CustomerAWSAccountId: '12345678901' }),
  },
  'an account id with letters': {
    name: 'ValidationException',
    record: record({ CustomerAWSAccountId: '11112222333a' }),
  },
  'product code and licence': { name: 'ValidationException', record: licensed() },
  'neither product code nor licence': { name: 'ValidationException', record: record(), productCode: undefined },
  'a licence with a customer identifier': {
    name: 'InvalidCustomerIdentifierException',
    record: licensed({ CustomerAWSAccountId: undefined, CustomerIdentifier: 'customer-1' }),
    productCode: undefined,
  },
  'a licence that is no ARN': {
    name: 'ValidationException',
    record: licensed({ LicenseArn: 'lic-1' }),
    productCode: undefined,
  },
  'a negative quantity': { name: 'ValidationException', record: record({ Quantity: -1 }) },
  'a quantity above 2147483647': { name: 'ValidationException', record: record({ Quantity: 2_147_483_648 }) },
  'a fraction': { name: 'SerializationException', record: record({ Quantity: 1.5 }) },
  'a text for a quantity': { name: 'SerializationException', record: record({ Quantity: '5' as never }) },
  'no timestamp': { name: 'ValidationException', record: record({ Timestamp: undefined }) },
  'no dimension': { name: 'ValidationException', record: record({ Dimension: undefined }) },
  'an empty dimension': { name: 'ValidationException', record: record({ Dimension: '' }) },
  'a dimension of 256 characters': { name: 'ValidationException', record: record({ Dimension: 'd'.repeat(256) }) },
  'a customer identifier of 256 characters': {
    name: 'ValidationException',
    record: record({ CustomerAWSAccountId: undefined, CustomerIdentifier: 'c'.repeat(256) }),
  },
  'a timestamp in the future': {
    name: 'TimestampOutOfBoundsException',
    record: record({ Timestamp: new Date(NOW + 1000) }),
  },
  'a timestamp of 24 hours ago': {
    name: 'TimestampOutOfBoundsException',
    record: record({ Timestamp: new Date(NOW - 24 * HOUR) }),
  },
  'allocations that do not sum to the quantity': {
    name: 'InvalidUsageAllocationsException',
    record: record({ UsageAllocations: [{ AllocatedUsageQuantity: 4, Tags: [{ Key: 'k', Value: 'v' }] }] }),
  },
  'two allocations with the same tags': {
    name: 'InvalidUsageAllocationsException',
    record: record({
      UsageAllocations: [
        {
          AllocatedUsageQuantity: 4,
          Tags: [
            { Key: 'a', Value: '1' },
            { Key: 'b', Value: '2' },
          ],
        },
        {
          AllocatedUsageQuantity: 1,
          Tags: [
            { Key: 'b', Value: '2' },
            { Key: 'a', Value: '1' },
          ],
        },
      ],
    }),
  },
  'two allocations without tags': {
    name: 'InvalidUsageAllocationsException',
    record: record({ UsageAllocations: [{ AllocatedUsageQuantity: 4 }, { AllocatedUsageQuantity: 1 }] }),
  },
  'no allocations at all': { name: 'InvalidUsageAllocationsException', record: record({ UsageAllocations: [] }) },
  '2501 allocations': {
    name: 'InvalidUsageAllocationsException',
    record: record({
      Quantity: 2501,
      UsageAllocations: Array.from({ length: 2501 }, (_, n) => ({
        AllocatedUsageQuantity: 1,
        Tags: [{ Key: 'k', Value: `${n}` }],
      })),
    }),
  },
  'a negative allocation': {
    name: 'ValidationException',
    record: record({
      UsageAllocations: [
        { AllocatedUsageQuantity: 6 },
        { AllocatedUsageQuantity: -1, Tags: [{ Key: 'k', Value: 'v' }] },
      ],
    }),
  },
  '6 tags': {
    name: 'InvalidTagException',
    record: record({
      UsageAllocations: [
        { AllocatedUsageQuantity: 5, Tags: Array.from({ length: 6 }, (_, n) => ({ Key: `k${n}`, Value: 'v' })) },
      ],
    }),
  },
  'a tag key twice': {
    name: 'InvalidTagException',
    record: record({
      UsageAllocations: [
        {
          AllocatedUsageQuantity: 5,
          Tags: [
            { Key: 'k', Value: '1' },
            { Key: 'k', Value: '2' },
          ],
        },
      ],
    }),
  },
  'a tag without a value': {
    name: 'InvalidTagException',
    record: record({ UsageAllocations: [{ AllocatedUsageQuantity: 5, Tags: [{ Key: 'k', Value: '' }] }] }),
  },
  'a tag with a forbidden character': {
    name: 'InvalidTagException',
    record: record({ UsageAllocations: [{ AllocatedUsageQuantity: 5, Tags: [{ Key: 'k', Value: 'ü' }] }] }),
  },
  // Its pattern's range would take it.
  'a tag with a comma': {
    name: 'InvalidTagException',
    record: record({ UsageAllocations: [{ AllocatedUsageQuantity: 5, Tags: [{ Key: 'k', Value: 'a,b' }] }] }),
  },
  'a tag without a key': {
    name: 'InvalidTagException',
    record: record({ UsageAllocations: [{ AllocatedUsageQuantity: 5, Tags: [{ Key: '', Value: 'v' }] }] }),
  },
  'an empty set of tags': {
    name: 'InvalidTagException',
    record: record({ UsageAllocations: [{ AllocatedUsageQuantity: 5, Tags: [] }] }),
  },
  "a tag key that is AWS's": {
    name: 'InvalidTagException',
    record: record({ UsageAllocations: [{ AllocatedUsageQuantity: 5, Tags: [{ Key: 'AWS:team', Value: 'v' }] }] }),
  },
  '6 tag keys in a record': {
    name: 'InvalidTagException',
    record: record({ Quantity: 6, UsageAllocations: sixKeys }),
  },
  'a tag key of 101 characters': {
    name: 'InvalidTagException',
    record: record({ UsageAllocations: [{ AllocatedUsageQuantity: 5, Tags: [{ Key: 'k'.repeat(101), Value: 'v' }] }] }),
  },
  'a tag value of 257 characters': {
    name: 'InvalidTagException',
    record: record({ UsageAllocations: [{ AllocatedUsageQuantity: 5, Tags: [{ Key: 'k', Value: 'v'.repeat(257) }] }] }),
  },
}

for (const [what, { name, record: wrong, ...rest }] of Object.entries(bad)) {
  test(`refuses ${what} with ${name}, and bills nothing of the request`, async t => {
    const { sdk, simulator } = await running(t)
    const withProduct = !('productCode' in rest)
    const good = withProduct
      ? record({ CustomerAWSAccountId: OTHER_ACCOUNT })
      : licensed({ CustomerAWSAccountId: OTHER_ACCOUNT })
    const request = { ...(withProduct && { ProductCode: PRODUCT }), UsageRecords: [good, wrong] }
    await assert.rejects(sdk().batchMeterUsage(request), refusedAs(name))
    assert.deepEqual(simulator.billed(), [])
    assert.deepEqual(simulator.counters.refused, { [name]: 1 })
    assert.deepEqual(statuses(await sdk().batchMeterUsage({ ...request, UsageRecords: [good] })), ['Success'])
  })
}

test('takes allocations that obey the rules', async t => {
  const { sdk } = await running(t)
  const UsageAllocations = [
    { AllocatedUsageQuantity: 2 },
    {
      AllocatedUsageQuantity: 2,
      Tags: [
        { Key: 'team', Value: 'a b' },
        { Key: 'env', Value: 'test' },
      ],
    },
    { AllocatedUsageQuantity: 1, Tags: [{ Key: 'team', Value: 'c' }] },
  ]
  const answer = await sdk().batchMeterUsage(batch(record({ UsageAllocations })))
  assert.deepEqual(statuses(answer), ['Success'])
  assert.deepEqual(answer.Results?.[0]?.UsageRecord?.UsageAllocations, UsageAllocations)
})

test('takes the extremes of allocations, and a record of 0 with or without them', async t => {
  const { sdk } = await running(t)
  const characters = 'abcxyzABCXYZ0189 +-=._:/@'
  const UsageAllocations = Array.from({ length: 2500 }, (_, n) => ({
    AllocatedUsageQuantity: n === 0 ? 2_147_483_647 : 0,
    Tags: [
      { Key: characters.padEnd(100, 'k'), Value: `${n}`.padEnd(n === 0 ? 256 : 5, 'v') },
      ...['b', 'c', 'd', 'e'].map(Key => ({ Key, Value: characters })),
    ],
  }))
  const none = { Quantity: 0, Dimension: 'none' }
  const zeros = { Quantity: 0, Dimension: 'zeros', UsageAllocations: [{ AllocatedUsageQuantity: 0 }] }
  assert.deepEqual(
    statuses(
      await sdk().batchMeterUsage(
        batch(record({ Quantity: 2_147_483_647, UsageAllocations }), record(none), record(zeros)),
      ),
    ),
    ['Success', 'Success', 'Success'],
  )
})

test('an empty product code or customer identifier is none', async t => {
  const { sdk, simulator } = await running(t)
  const empty = { ProductCode: '', UsageRecords: [licensed({ CustomerIdentifier: '' })] }
  assert.deepEqual(statuses(await sdk().batchMeterUsage(empty)), ['Success'])
  assert.equal(simulator.billed()[0]?.licenseArn, LICENCE)
  await assert.rejects(
    sdk().batchMeterUsage(batch(record({ CustomerAWSAccountId: undefined, CustomerIdentifier: '' }))),
    refusedAs('InvalidCustomerIdentifierException'),
  )
})

test('takes the extremes that the limits allow', async t => {
  const { sdk } = await running(t)
  const records = Array.from({ length: 25 }, (_, n) =>
    record({
      Quantity: 2_147_483_647,
      Dimension: `${n}`.padStart(255, 'd'),
      Timestamp: new Date(NOW - 24 * HOUR + 1000),
    }),
  )
  const answer = await sdk().batchMeterUsage({ ProductCode: '-aZ0/=:_.@'.padEnd(255, 'p'), UsageRecords: records })
  assert.deepEqual(statuses(answer), Array(25).fill('Success'))
  assert.deepEqual(
    answer.Results?.map(result => result.UsageRecord?.Dimension),
    records.map(each => each.Dimension),
  )
})

test('refuses 26 records, and takes none', async t => {
  const { sdk } = await running(t)
  const client = sdk()
  const records = Array.from({ length: 26 }, (_, n) => record({ Dimension: `d${n}` }))
  await assert.rejects(client.batchMeterUsage(batch(...records)), refusedAs('ValidationException'))
  assert.deepEqual((await client.batchMeterUsage(batch())).Results, [])
})

test('refuses a product code that is malformed', async t => {
  const { sdk } = await running(t)
  for (const ProductCode of ['', 'a b', 'p'.repeat(256)]) {
    await assert.rejects(
      sdk().batchMeterUsage({ ProductCode, UsageRecords: [record()] }),
      refusedAs('ValidationException'),
    )
  }
})

test('refuses a request of 1 MB with few records', async t => {
  const { sdk, simulator } = await running(t)
  const heavy = (Dimension: string): UsageRecord =>
    record({
      Dimension,
      Quantity: 2500,
      UsageAllocations: Array.from({ length: 2500 }, (_, n) => ({
        AllocatedUsageQuantity: 1,
        Tags: [{ Key: 'k', Value: `${n}`.padStart(150, 'v') }],
      })),
    })
  const request = batch(heavy('a'), heavy('b'), heavy('c'), heavy('d'))
  assert.deepEqual(statuses(await sdk().batchMeterUsage(batch(heavy('a')))), ['Success'])
  await assert.rejects(sdk().batchMeterUsage(request), refusedAs('RequestEntityTooLargeException', 413))
  assert.throws(() => simulator.batchMeterUsage(request), { name: 'RequestEntityTooLargeException' })
  assert.equal(simulator.billed().length, 1)
})

test('a month closes at 06:00 UTC on the 1st', async t => {
  const { sdk, simulator } = await running(t)
  const client = sdk()
  const lastMonth = (Dimension: string) => record({ Dimension, Timestamp: new Date(Date.UTC(2026, 5, 30, 23, 59, 59)) })
  simulator.clock.set('2026-07-01T05:59:59Z')
  assert.deepEqual(statuses(await client.batchMeterUsage(batch(lastMonth('a')))), ['Success'])
  simulator.clock.set('2026-07-01T06:00:00Z')
  await assert.rejects(client.batchMeterUsage(batch(lastMonth('b'))), refusedAs('TimestampOutOfBoundsException'))
  // Not even what was taken is answered for.
  await assert.rejects(client.batchMeterUsage(batch(lastMonth('a'))), refusedAs('TimestampOutOfBoundsException'))
  const thisMonth = record({ Timestamp: new Date(Date.UTC(2026, 6, 1)) })
  assert.deepEqual(statuses(await client.batchMeterUsage(batch(thisMonth))), ['Success'])
})

test('a year closes as its last month does', async t => {
  const { sdk, simulator } = await running(t)
  const record31 = record({ Timestamp: new Date(Date.UTC(2026, 11, 31, 20)) })
  simulator.clock.set('2027-01-01T06:00:00Z')
  await assert.rejects(sdk().batchMeterUsage(batch(record31)), refusedAs('TimestampOutOfBoundsException'))
  simulator.clock.advance(-1)
  assert.deepEqual(statuses(await sdk().batchMeterUsage(batch(record31))), ['Success'])
})

test('ten requests a second for an operation and region, whatever the access key', async t => {
  const catalogue = { tokens: [{ token: 't', product: PRODUCT, accountId: ACCOUNT }] }
  const { sdk, simulator } = await running(t, { quota: 10, catalogue })
  const client = sdk()
  const request = batch(record())
  for (let n = 0; n < 10; n++) await client.batchMeterUsage(request)
  await assert.rejects(client.batchMeterUsage(request), refusedAs('ThrottlingException'))
  await assert.rejects(
    sdk({ accessKeyId: 'AKIDOTHER' }).batchMeterUsage(request),
    refusedAs('ThrottlingException'),
    'a role of the same account',
  )
  await sdk({ region: 'eu-west-1' }).batchMeterUsage(request)
  await client.resolveCustomer({ RegistrationToken: 't' })
  simulator.clock.advance(100)
  await client.batchMeterUsage(request)
  await assert.rejects(client.batchMeterUsage(request), refusedAs('ThrottlingException'))
  assert.equal(simulator.counters.throttled, 3)
  assert.equal(simulator.counters.requests, 16)
  simulator.quota = null
  await client.batchMeterUsage(request)
})

test('the quota is of time that passes, whatever the clock shows', () => {
  let now = NOW
  const simulator = new MarketplaceSimulator({ now: () => now, clock: NOW, quota: 10 })
  const taken = (): number => {
    for (let requests = 0; ; requests += 1) {
      const { type } = simulator.answer('BatchMeterUsage', batch(record()), {
        region: 'us-east-1',
        accessKeyId: 'AKIDEXAMPLE',
      })
      if (type === 'error') return requests
    }
  }
  assert.equal(taken(), 10)
  // The clock stands; its source goes on.
  now += 500
  assert.equal(taken(), 5)
  simulator.clock.set(NOW + 300)
  assert.equal(taken(), 3)
  simulator.clock.set(NOW)
  assert.equal(taken(), 0, 'set back')
  simulator.clock.reset()
  now += 100
  assert.equal(taken(), 1)
})

test('a region that is disabled refuses', async t => {
  const { sdk, simulator } = await running(t, { catalogue: { disabledRegions: ['eu-west-1'] } })
  const there = sdk({ region: 'eu-west-1' })
  await assert.rejects(there.batchMeterUsage(batch(record())), refusedAs('DisabledApiException'))
  await assert.rejects(there.resolveCustomer({ RegistrationToken: 't' }), refusedAs('DisabledApiException'))
  await sdk().batchMeterUsage(batch(record()))
  simulator.catalogue.enableRegion('eu-west-1')
  await there.batchMeterUsage(batch(record()))
})

test('another tool of the seller takes hours too', async t => {
  const { sdk, simulator } = await running(t)
  const foreign = simulator.meterForeign(batch(record({ Quantity: 4 })))
  assert.deepEqual(statuses(foreign), ['Success'])
  assert.deepEqual(statuses(await sdk().batchMeterUsage(batch(record()))), ['DuplicateRecord'])
  // Of equal quantities one share is lost without a trace.
  const equal = await sdk().batchMeterUsage(batch(record({ Quantity: 4 })))
  assert.equal(equal.Results?.[0]?.MeteringRecordId, foreign.Results[0]?.MeteringRecordId)
  assert.deepEqual(
    simulator.billed().map(({ quantity, foreign }) => [quantity, foreign]),
    [[4, true]],
  )
  assert.throws(() => simulator.meterForeign(batch(record({ Quantity: -4 }))), { name: 'ValidationException' })
})

test('what is not declared is accepted freely', async t => {
  const { sdk } = await running(t)
  assert.deepEqual(
    statuses(await sdk().batchMeterUsage({ UsageRecords: [licensed(), licensed({ LicenseArn: OTHER_LICENCE })] })),
    ['Success', 'Success'],
  )
})
