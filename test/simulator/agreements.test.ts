import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CatalogueDeclaration } from '../../src/simulator/index.ts'
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

const PRODUCTS = [
  { code: PRODUCT, dimensions: ['tokens', 'requests'] },
  { code: 'prod-other', dimensions: ['pages'] },
]

const customer = (subscription: { from?: number; to?: number; licenseArn?: string; product?: string } = {}) => ({
  accountId: ACCOUNT,
  subscriptions: [{ product: PRODUCT, ...subscription }],
})

test('only declared products and their dimensions exist', async t => {
  const { sdk, simulator } = await running(t, { catalogue: { products: PRODUCTS } })
  const client = sdk()
  await assert.rejects(
    client.batchMeterUsage({ ProductCode: 'prod-unknown', UsageRecords: [record()] }),
    refusedAs('InvalidProductCodeException'),
  )
  await assert.rejects(
    client.batchMeterUsage(batch(record(), record({ Dimension: 'pages' }))),
    refusedAs('InvalidUsageDimensionException'),
  )
  assert.deepEqual(simulator.billed(), [])
  assert.deepEqual(statuses(await client.batchMeterUsage(batch(record()))), ['Success'])
  simulator.catalogue.declareProduct({ code: PRODUCT, dimensions: ['pages'] })
  assert.deepEqual(statuses(await client.batchMeterUsage(batch(record({ Dimension: 'pages' })))), ['Success'])
  simulator.catalogue.declareProduct({ code: PRODUCT })
  assert.deepEqual(statuses(await client.batchMeterUsage(batch(record({ Dimension: 'any' })))), ['Success'])
})

test("a licence's dimensions are its product's", async t => {
  const { sdk } = await running(t, {
    catalogue: { products: PRODUCTS, customers: [customer({ licenseArn: LICENCE })] },
  })
  await assert.rejects(
    sdk().batchMeterUsage({ UsageRecords: [licensed({ Dimension: 'pages' })] }),
    refusedAs('InvalidUsageDimensionException'),
  )
  assert.deepEqual(statuses(await sdk().batchMeterUsage({ UsageRecords: [licensed()] })), ['Success'])
})

test("a licence that nobody declared has any declared product's dimensions", async t => {
  const { sdk } = await running(t, { catalogue: { products: PRODUCTS } })
  assert.deepEqual(statuses(await sdk().batchMeterUsage({ UsageRecords: [licensed({ Dimension: 'pages' })] })), [
    'Success',
  ])
  await assert.rejects(
    sdk().batchMeterUsage({ UsageRecords: [licensed({ Dimension: 'unknown' })] }),
    refusedAs('InvalidUsageDimensionException'),
  )
})

test('once customers are declared, others are not subscribed; the rest of the request is billed', async t => {
  const { sdk, simulator } = await running(t, { catalogue: { customers: [customer()] } })
  const answer = await sdk().batchMeterUsage(
    batch(
      record({ CustomerAWSAccountId: OTHER_ACCOUNT }),
      record(),
      record({ CustomerAWSAccountId: undefined, CustomerIdentifier: 'customer-1' }),
    ),
  )
  assert.deepEqual(statuses(answer), ['CustomerNotSubscribed', 'Success', 'CustomerNotSubscribed'])
  assert.equal(answer.Results?.[0]?.MeteringRecordId, undefined)
  assert.equal(simulator.billed().length, 1)
  const elsewhere = await sdk().batchMeterUsage({ ProductCode: 'prod-other', UsageRecords: [record()] })
  assert.deepEqual(statuses(elsewhere), ['CustomerNotSubscribed'])
})

test('one request is for one product: licences of two products fail it', async t => {
  const catalogue: CatalogueDeclaration = {
    customers: [
      customer({ licenseArn: LICENCE }),
      { accountId: OTHER_ACCOUNT, subscriptions: [{ product: 'prod-other', licenseArn: OTHER_LICENCE }] },
    ],
  }
  const { sdk, simulator } = await running(t, { catalogue })
  const other = licensed({ CustomerAWSAccountId: OTHER_ACCOUNT, LicenseArn: OTHER_LICENCE })
  await assert.rejects(
    sdk().batchMeterUsage({ UsageRecords: [licensed(), other] }),
    refusedAs('InvalidLicenseException'),
  )
  assert.deepEqual(simulator.billed(), [])
  assert.deepEqual(statuses(await sdk().batchMeterUsage({ UsageRecords: [licensed()] })), ['Success'])
  assert.deepEqual(statuses(await sdk().batchMeterUsage({ UsageRecords: [other] })), ['Success'])
  assert.deepEqual(
    simulator.billed().map(({ product, licenseArn }) => [product, licenseArn]),
    [
      [PRODUCT, LICENCE],
      ['prod-other', OTHER_LICENCE],
    ],
  )
})

test('a licence must exist and be the customer’s', async t => {
  const { sdk } = await running(t, {
    catalogue: { customers: [customer({ licenseArn: LICENCE }), { accountId: OTHER_ACCOUNT }] },
  })
  for (const wrong of [licensed({ LicenseArn: OTHER_LICENCE }), licensed({ CustomerAWSAccountId: OTHER_ACCOUNT })]) {
    await assert.rejects(sdk().batchMeterUsage({ UsageRecords: [wrong] }), refusedAs('InvalidLicenseException'))
  }
})

test('usage of before the subscription began is refused', async t => {
  const from = NOW - 30 * MINUTE
  const { sdk } = await running(t, { catalogue: { customers: [customer({ from })] } })
  const at = (Timestamp: Date) => batch(record({ Timestamp }))
  await assert.rejects(sdk().batchMeterUsage(at(new Date(from - 1000))), refusedAs('TimestampOutOfBoundsException'))
  assert.deepEqual(statuses(await sdk().batchMeterUsage(at(new Date(from)))), ['Success'])
})

test('usage outside the activation period of a licence is refused', async t => {
  const from = NOW - 90 * MINUTE
  const to = NOW - 30 * MINUTE
  const { sdk } = await running(t, { catalogue: { customers: [customer({ licenseArn: LICENCE, from, to })] } })
  const at = (timestamp: number) => ({ UsageRecords: [licensed({ Timestamp: new Date(timestamp) })] })
  await assert.rejects(sdk().batchMeterUsage(at(from - 1000)), refusedAs('InvalidLicenseException'))
  await assert.rejects(sdk().batchMeterUsage(at(to + 1000)), refusedAs('InvalidLicenseException'))
  assert.deepEqual(statuses(await sdk().batchMeterUsage(at(from))), ['Success'])
  assert.deepEqual(statuses(await sdk().batchMeterUsage(at(to))), ['Success'])
})

test('after its end an agreement has an hour; then the customer is not subscribed, nor for what was taken', async t => {
  const { sdk, simulator } = await running(t, {
    catalogue: {
      customers: [
        customer({ licenseArn: LICENCE, to: NOW }),
        { accountId: OTHER_ACCOUNT, subscriptions: [{ product: PRODUCT, to: NOW }] },
      ],
    },
  })
  const byLicence = (Dimension: string) => ({ UsageRecords: [licensed({ Dimension, Timestamp: new Date(NOW) })] })
  const byProduct = (Dimension: string) =>
    batch(record({ Dimension, CustomerAWSAccountId: OTHER_ACCOUNT, Timestamp: new Date(NOW) }))
  simulator.clock.set(NOW + HOUR)
  assert.deepEqual(statuses(await sdk().batchMeterUsage(byLicence('tokens'))), ['Success'])
  assert.deepEqual(statuses(await sdk().batchMeterUsage(byProduct('tokens'))), ['Success'])
  const after = batch(record({ CustomerAWSAccountId: OTHER_ACCOUNT, Timestamp: new Date(NOW + 1000) }))
  assert.deepEqual(statuses(await sdk().batchMeterUsage(after)), ['CustomerNotSubscribed'])
  simulator.clock.advance(1)
  for (const dimension of ['requests', 'tokens']) {
    assert.deepEqual(statuses(await sdk().batchMeterUsage(byLicence(dimension))), ['CustomerNotSubscribed'])
    assert.deepEqual(statuses(await sdk().batchMeterUsage(byProduct(dimension))), ['CustomerNotSubscribed'])
  }
  assert.equal(simulator.billed().length, 2)
})

test('a customer unsubscribes and subscribes again', async t => {
  const { sdk, simulator } = await running(t, { catalogue: { customers: [customer({ from: NOW - 20 * HOUR })] } })
  const { catalogue, clock } = simulator
  const usage = (timestamp: number, Dimension: string) => batch(record({ Dimension, Timestamp: new Date(timestamp) }))
  catalogue.unsubscribe({ accountId: ACCOUNT, product: PRODUCT, at: NOW })
  clock.set(NOW + 2 * HOUR)
  assert.deepEqual(statuses(await sdk().batchMeterUsage(usage(NOW, 'a'))), ['CustomerNotSubscribed'])
  catalogue.subscribe({ accountId: ACCOUNT, product: PRODUCT })
  assert.deepEqual(statuses(await sdk().batchMeterUsage(usage(clock.now(), 'a'))), ['Success'])
  await assert.rejects(sdk().batchMeterUsage(usage(NOW + HOUR, 'a')), refusedAs('TimestampOutOfBoundsException'))
  // What is left of the earlier subscription can go no more.
  await assert.rejects(sdk().batchMeterUsage(usage(NOW, 'a')), refusedAs('TimestampOutOfBoundsException'))
  assert.throws(() => catalogue.subscribe({ accountId: ACCOUNT, product: PRODUCT }), {
    code: 'ERR_SIMULATOR_CONFIGURATION',
  })
})

test('between two subscriptions the grace of the first still runs', async t => {
  const { sdk, simulator } = await running(t, { catalogue: { customers: [customer()] } })
  simulator.catalogue.unsubscribe({ accountId: ACCOUNT, at: NOW - 40 * MINUTE })
  simulator.catalogue.subscribe({ accountId: ACCOUNT, product: PRODUCT, at: NOW - 20 * MINUTE })
  const at = (minutes: number) =>
    batch(record({ Dimension: `d${minutes}`, Timestamp: new Date(NOW - minutes * MINUTE) }))
  assert.deepEqual(statuses(await sdk().batchMeterUsage(at(41))), ['Success'])
  assert.deepEqual(statuses(await sdk().batchMeterUsage(at(10))), ['Success'])
  assert.deepEqual(statuses(await sdk().batchMeterUsage(at(30))), ['CustomerNotSubscribed'])
})

test('who was accepted freely can unsubscribe, and others stay accepted', async t => {
  const { sdk, simulator } = await running(t)
  const both = (Dimension: string) =>
    batch(record({ Dimension }), record({ Dimension, CustomerAWSAccountId: OTHER_ACCOUNT }))
  await sdk().batchMeterUsage(both('a'))
  simulator.catalogue.unsubscribe({ accountId: ACCOUNT })
  assert.deepEqual(statuses(await sdk().batchMeterUsage(both('b'))), ['Success', 'Success'], 'there is an hour left')
  simulator.clock.set(NOW + HOUR + 1)
  assert.deepEqual(statuses(await sdk().batchMeterUsage(both('c'))), ['CustomerNotSubscribed', 'Success'])
})

test('a freely accepted licence can end too', async t => {
  const { sdk, simulator } = await running(t)
  const both = { UsageRecords: [licensed(), licensed({ LicenseArn: OTHER_LICENCE })] }
  simulator.catalogue.unsubscribe({ accountId: ACCOUNT, licenseArn: LICENCE, at: NOW - 2 * HOUR })
  assert.deepEqual(statuses(await sdk().batchMeterUsage(both)), ['CustomerNotSubscribed', 'Success'])
})

test('a registration token is resolved, for four hours', async t => {
  const { sdk, simulator } = await running(t, {
    catalogue: {
      customers: [{ accountId: ACCOUNT, customerIdentifier: 'customer-1' }],
      tokens: [
        { token: 'older', product: PRODUCT, accountId: ACCOUNT },
        { token: 'newer', product: PRODUCT, accountId: ACCOUNT, licenseArn: LICENCE },
      ],
    },
  })
  const client = sdk()
  const resolve = async (RegistrationToken: string) => {
    const { $metadata: _, ...answer } = await client.resolveCustomer({ RegistrationToken })
    return answer
  }
  const older = { CustomerAWSAccountId: ACCOUNT, CustomerIdentifier: 'customer-1', ProductCode: PRODUCT }
  assert.deepEqual(await resolve('older'), older)
  assert.deepEqual(await resolve('newer'), { CustomerAWSAccountId: ACCOUNT, LicenseArn: LICENCE, ProductCode: PRODUCT })
  await assert.rejects(resolve('unknown'), refusedAs('InvalidTokenException'))
  await assert.rejects(resolve(''), refusedAs('ValidationException'))
  simulator.clock.set(NOW + 4 * HOUR - 1)
  assert.deepEqual(await resolve('older'), older)
  const made = simulator.catalogue.createToken({ product: PRODUCT, customerIdentifier: 'customer-1' })
  simulator.clock.advance(1)
  await assert.rejects(resolve('older'), refusedAs('ExpiredTokenException'))
  assert.deepEqual(await resolve(made), older)
})
