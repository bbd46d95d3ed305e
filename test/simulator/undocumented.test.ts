import assert from 'node:assert/strict'
import { test } from 'node:test'
import { UNDOCUMENTED } from '../../src/simulator/index.ts'
import {
  ACCOUNT,
  batch,
  HOUR,
  LICENCE,
  licensed,
  NOW,
  PRODUCT,
  record,
  refusedAs,
  running,
  statuses,
} from './support.ts'

/** A product that has its dimensions declared. */
const other = { catalogue: { products: [{ code: PRODUCT, dimensions: ['tokens'] }] } }

test('the identical record again', async t => {
  const { sdk, simulator } = await running(t)
  const request = batch(record())
  await sdk().batchMeterUsage(request)
  assert.deepEqual(statuses(await sdk().batchMeterUsage(request)), ['Success'])
  simulator.undocumented = { resend: 'DuplicateRecord' }
  assert.deepEqual(statuses(await sdk().batchMeterUsage(request)), ['DuplicateRecord'])
  assert.equal(simulator.billed().length, 1)
})

test('a customer that is not declared', async t => {
  const catalogue = { customers: [{ accountId: ACCOUNT }] }
  const { sdk, simulator } = await running(t, { catalogue })
  const stranger = { CustomerAWSAccountId: undefined, CustomerIdentifier: 'nobody' }
  assert.deepEqual(statuses(await sdk().batchMeterUsage(batch(record(stranger)))), ['CustomerNotSubscribed'])
  simulator.undocumented = { unknownCustomer: 'InvalidCustomerIdentifierException' }
  await assert.rejects(
    sdk().batchMeterUsage(batch(record(), record(stranger))),
    refusedAs('InvalidCustomerIdentifierException'),
  )
  assert.deepEqual(statuses(await sdk().batchMeterUsage(batch(record()))), ['Success'])
})

test('a licence that has ended more than an hour ago', async t => {
  const ended = { product: PRODUCT, licenseArn: LICENCE, to: NOW - 2 * HOUR }
  const catalogue = { customers: [{ accountId: ACCOUNT, subscriptions: [ended] }] }
  const { sdk, simulator } = await running(t, { catalogue })
  const request = { UsageRecords: [licensed({ Timestamp: new Date(NOW - 3 * HOUR) })] }
  assert.deepEqual(statuses(await sdk().batchMeterUsage(request)), ['CustomerNotSubscribed'])
  simulator.undocumented = { endedLicence: 'InvalidLicenseException' }
  await assert.rejects(sdk().batchMeterUsage(request), refusedAs('InvalidLicenseException'))
})

test('a dimension that the product does not have', async t => {
  const { sdk, simulator } = await running(t, other)
  const request = batch(record({ Dimension: 'tokns' }))
  await assert.rejects(sdk().batchMeterUsage(request), refusedAs('InvalidUsageDimensionException'))
  simulator.undocumented = { unknownDimension: 'Success' }
  assert.deepEqual(statuses(await sdk().batchMeterUsage(request)), ['Success'])
})

test('the identifier of a customer with a licence', async t => {
  const tokens = [{ token: 't', product: PRODUCT, accountId: ACCOUNT, licenseArn: LICENCE }]
  const { url } = await running(t, { catalogue: { tokens }, undocumented: { licensedIdentifier: 'null' } })
  const resolve = async () => {
    const response = await fetch(url, {
      method: 'POST',
      headers: {
        'content-type': 'application/x-amz-json-1.1',
        'x-amz-target': 'AWSMPMeteringService.ResolveCustomer',
        authorization:
          'AWS4-HMAC-SHA256 Credential=AKID/20260610/us-east-1/aws-marketplace/aws4_request, SignedHeaders=host, Signature=0',
      },
      body: JSON.stringify({ RegistrationToken: 't' }),
    })
    return (await response.json()) as object
  }
  const answer = { CustomerAWSAccountId: ACCOUNT, LicenseArn: LICENCE, ProductCode: PRODUCT }
  assert.deepEqual(await resolve(), { ...answer, CustomerIdentifier: null })
  for (const [said, CustomerIdentifier] of [
    ['empty', { CustomerIdentifier: '' }],
    ['missing', {}],
  ] as const) {
    const change = await fetch(`${url}/_simulator/undocumented`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ licensedIdentifier: said }),
    })
    assert.deepEqual(await change.json(), { ...first(), licensedIdentifier: said })
    assert.deepEqual(await resolve(), { ...answer, ...CustomerIdentifier })
  }
})

test('a tag without a value', async t => {
  const { sdk } = await running(t, { undocumented: { emptyTagValue: 'Success' } })
  const UsageAllocations = [{ AllocatedUsageQuantity: 5, Tags: [{ Key: 'team', Value: '' }] }]
  assert.deepEqual(statuses(await sdk().batchMeterUsage(batch(record({ UsageAllocations })))), ['Success'])
})

test('tags that AWS may take', async t => {
  const { sdk, simulator } = await running(t)
  const of = (...tags: [string, string][]) => ({
    Quantity: tags.length,
    UsageAllocations: tags.map(([Key, Value]) => ({ AllocatedUsageQuantity: 1, Tags: [{ Key, Value }] })),
  })
  const six = Array.from({ length: 6 }, (_, n): [string, string] => [`k${n}`, 'v'])
  for (const [Dimension, taken, changes] of [
    ['comma', { tagCharacters: 'range' }, of(['k', 'a,b"&'])],
    ['aws', { awsTagKey: 'Success' }, of(['aws:team', 'v'])],
    ['keys', { tagKeys: 'of-allocation' }, of(...six)],
  ] as const) {
    const request = batch(record({ Dimension, ...changes }))
    await assert.rejects(sdk().batchMeterUsage(request), refusedAs('InvalidTagException'))
    simulator.undocumented = taken
    assert.deepEqual(statuses(await sdk().batchMeterUsage(request)), ['Success'])
  }
})

test('what is no question and no answer is refused', async t => {
  const { simulator } = await running(t)
  for (const [answers, message] of [
    [{ resent: 'Success' }, /undocumented\.resent/],
    [{ resend: 'Failure' }, /undocumented\.resend: .*"Success" \| "DuplicateRecord".*"Failure"/],
  ] as const) {
    assert.throws(
      () => {
        simulator.undocumented = answers as object
      },
      { code: 'ERR_SIMULATOR_CONFIGURATION', message },
    )
  }
})

/** What it answers where nothing was said. */
const first = () => Object.fromEntries(Object.entries(UNDOCUMENTED).map(([name, [answer]]) => [name, answer]))
