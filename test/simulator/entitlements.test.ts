import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MarketplaceEntitlementService, paginateGetEntitlements } from '@aws-sdk/client-marketplace-entitlement-service'
import { SmithyRpcV2CborProtocol } from '@smithy/core/cbor'
import { CONTROL_PATH, type EntitlementDeclaration, simulatorClient } from '../../src/simulator/index.ts'
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
  type Running,
  record,
  refusedAs,
  running,
  statuses,
} from './support.ts'

const DAY = 24 * HOUR
const EXPIRY = NOW + 30 * DAY
const LICENSED = { accountId: ACCOUNT, product: PRODUCT, licenseArn: LICENCE }
const LEGACY = { accountId: OTHER_ACCOUNT, customerIdentifier: 'customer-1', product: PRODUCT }

const tokens = (IntegerValue: number, expiresAt = EXPIRY): EntitlementDeclaration => ({
  dimension: 'tokens',
  value: { IntegerValue },
  expiresAt,
})

async function control(at: Running, path: string, body: object) {
  const headers = { 'content-type': 'application/json' }
  const response = await fetch(`${at.url}${CONTROL_PATH}${path}`, {
    method: 'POST',
    headers,
    body: JSON.stringify(body),
  })
  assert.ok(response.ok, await response.clone().text())
}

/** What is listed: the licence's number, dimension, value and days until it expires. */
async function listed(at: Running, Filter?: Parameters<MarketplaceEntitlementService['getEntitlements']>[0]['Filter']) {
  const { Entitlements = [] } = await at.entitlements().getEntitlements({ ProductCode: PRODUCT, Filter })
  return Entitlements.map(({ LicenseArn, Dimension, Value, ExpirationDate }) =>
    [LicenseArn?.at(-1), Dimension, ...Object.values(Value ?? {}), (Number(ExpirationDate) - NOW) / DAY].join(' '),
  )
}

const told = ({ simulator }: Running) =>
  simulator.queue.drain().map(body => {
    const { Message, 'detail-type': type, ...event } = JSON.parse(body)
    const at = (Date.parse(event.time ?? event.Timestamp) - NOW) / 1000
    return `${at} ${Message === undefined ? type : JSON.parse(Message).action}`
  })

test('entitlements are listed on the wire of the AWS SDK', async t => {
  const at = await running(t, {
    catalogue: {
      customers: [
        {
          accountId: ACCOUNT,
          subscriptions: [
            {
              product: PRODUCT,
              licenseArn: LICENCE,
              entitlements: [
                tokens(1_000_000),
                { dimension: 'tier', value: { StringValue: 'gold' }, expiresAt: EXPIRY },
              ],
            },
          ],
        },
        {
          accountId: OTHER_ACCOUNT,
          customerIdentifier: 'customer-1',
          subscriptions: [
            {
              product: PRODUCT,
              entitlements: [
                { dimension: 'gpu', value: { DoubleValue: 0.5 }, expiresAt: '2026-07-01T12:30:00Z' },
                { dimension: 'support', value: { BooleanValue: true }, expiresAt: EXPIRY },
              ],
            },
          ],
        },
      ],
    },
  })
  const { $metadata, ...answer } = await at.entitlements().getEntitlements({ ProductCode: PRODUCT })
  const [ofLicence, ofLegacy] = [
    { ProductCode: PRODUCT, CustomerAWSAccountId: ACCOUNT, LicenseArn: LICENCE },
    { ProductCode: PRODUCT, CustomerAWSAccountId: OTHER_ACCOUNT, CustomerIdentifier: 'customer-1' },
  ]
  const ExpirationDate = new Date(EXPIRY)
  assert.deepEqual(answer, {
    Entitlements: [
      { ...ofLicence, Dimension: 'tokens', Value: { IntegerValue: 1_000_000 }, ExpirationDate },
      { ...ofLicence, Dimension: 'tier', Value: { StringValue: 'gold' }, ExpirationDate },
      { ...ofLegacy, Dimension: 'gpu', Value: { DoubleValue: 0.5 }, ExpirationDate: new Date('2026-07-01T12:30:00Z') },
      { ...ofLegacy, Dimension: 'support', Value: { BooleanValue: true }, ExpirationDate },
    ],
  })
  assert.match($metadata.requestId ?? '', /^[0-9a-f-]{36}$/)
  const inProcess = await simulatorClient(at.simulator).getEntitlements({
    ProductCode: PRODUCT,
    Filter: { CUSTOMER_IDENTIFIER: undefined },
  })
  assert.deepEqual(inProcess.Entitlements, answer.Entitlements)
  assert.deepEqual(
    at.simulator.requests().map(({ operation, outcome }) => [operation, outcome]),
    [
      ['GetEntitlements', 'ok'],
      ['GetEntitlements', 'ok'],
    ],
  )

  assert.deepEqual(await listed(at, { DIMENSION: ['gpu', 'tier'] }), ['1 tier gold 30', ' gpu 0.5 21'])
  assert.deepEqual(await listed(at, { CUSTOMER_AWS_ACCOUNT_ID: [ACCOUNT], DIMENSION: ['gpu', 'tier'] }), [
    '1 tier gold 30',
  ])
  assert.equal((await listed(at, { CUSTOMER_AWS_ACCOUNT_ID: [ACCOUNT, OTHER_ACCOUNT] })).length, 4)
  assert.equal((await listed(at, { CUSTOMER_IDENTIFIER: ['customer-1'] })).length, 2)
  assert.equal((await listed(at, { LICENSE_ARN: [LICENCE, OTHER_LICENCE] })).length, 2)
  assert.deepEqual(await listed(at, { LICENSE_ARN: [OTHER_LICENCE] }), [])
})

test('a page has up to 25, and an empty one can have a NextToken', async t => {
  const at = await running(t)
  const names = Array.from({ length: 30 }, (_, n) => `d${n}`)
  const entitlements = names.map(dimension => ({ ...tokens(1), dimension }))
  at.simulator.catalogue.subscribe({ ...LICENSED, at: NOW, entitlements })
  const pages = async (pageSize?: number, Filter = {}) => {
    const all: string[][] = []
    const client = at.entitlements()
    for await (const page of paginateGetEntitlements(
      { client, ...(pageSize && { pageSize }) },
      { ProductCode: PRODUCT, Filter },
    )) {
      all.push((page.Entitlements ?? []).map(({ Dimension = '' }) => Dimension))
    }
    return all
  }
  assert.deepEqual(await pages(), [names.slice(0, 25), names.slice(25)])
  assert.deepEqual(await pages(10), [names.slice(0, 10), names.slice(10, 20), names.slice(20)])
  assert.deepEqual(await pages(1, { DIMENSION: ['d3', 'd29'] }), [['d3'], ['d29']])
  at.simulator.undocumented = { emptyPage: 'before-each' }
  assert.deepEqual(await pages(), [[], names.slice(0, 25), [], names.slice(25)])
  // A new entitlement neither shifts the others nor is left out.
  const client = at.entitlements()
  at.simulator.undocumented = { emptyPage: 'never' }
  const { NextToken } = await client.getEntitlements({ ProductCode: PRODUCT, MaxResults: 25 })
  at.simulator.catalogue.amend({ ...LICENSED, entitlements: [{ ...tokens(1, NOW), dimension: 'd1' }, tokens(1)] })
  const rest = await client.getEntitlements({ ProductCode: PRODUCT, NextToken })
  assert.deepEqual(
    rest.Entitlements?.map(({ Dimension }) => Dimension),
    [...names.slice(25), 'tokens'],
  )
  await assert.rejects(
    client.getEntitlements({ ProductCode: PRODUCT, NextToken, Filter: { DIMENSION: ['d1'] } }),
    refusedAs('InvalidParameterException'),
  )
})

test('a wrong request is refused', async t => {
  const at = await running(t, { catalogue: { products: [{ code: PRODUCT, dimensions: ['requests'] }] } })
  const ask = (request: object) => at.entitlements().getEntitlements({ ProductCode: PRODUCT, ...request })
  for (const wrong of [
    { ProductCode: undefined },
    { ProductCode: '' },
    { ProductCode: 'prod-unknown' },
    { MaxResults: 0 },
    { MaxResults: 26 },
    { NextToken: 'nonsense' },
    { Filter: { CUSTOMER: [ACCOUNT] } },
    { Filter: { DIMENSION: [] } },
    { Filter: { CUSTOMER_AWS_ACCOUNT_ID: [ACCOUNT], CUSTOMER_IDENTIFIER: ['customer-1'] } },
  ]) {
    await assert.rejects(ask(wrong), refusedAs('InvalidParameterException'), JSON.stringify(wrong))
  }
  for (const wrong of [{ ProductCode: 7 }, { Filter: { DIMENSION: 'tokens' } }, { MaxResults: '5' }]) {
    await assert.rejects(
      simulatorClient(at.simulator).getEntitlements({ ProductCode: PRODUCT, ...(wrong as object) }),
      refusedAs('SerializationException'),
    )
  }
  await assert.rejects(
    at.entitlements({ region: 'eu-central-1' }).getEntitlements({ ProductCode: PRODUCT }),
    refusedAs('InvalidSignatureException'),
  )
  assert.deepEqual((await ask({ MaxResults: 25 })).Entitlements, [])
  at.simulator.undocumented = { unknownEntitledProduct: 'none' }
  assert.deepEqual((await ask({ ProductCode: 'prod-unknown' })).Entitlements, [])
  const value = (value: object) => () =>
    at.simulator.catalogue.subscribe({ ...LICENSED, entitlements: [{ ...tokens(1), value }] })
  for (const wrong of [{}, { IntegerValue: 2 ** 31 }, { IntegerValue: 1, DoubleValue: 1 }, { DoubleValue: Infinity }]) {
    assert.throws(value(wrong), {
      code: 'ERR_SIMULATOR_CONFIGURATION',
      message: /entitlements\[0\]\.value/,
    })
  }
})

test('an SDK that speaks Smithy RPC v2 CBOR is told so in it', async t => {
  const { url, simulator } = await running(t)
  const client = new MarketplaceEntitlementService({
    endpoint: url,
    region: 'us-east-1',
    credentials: { accessKeyId: 'AKID', secretAccessKey: 'secret' },
    maxAttempts: 1,
    protocol: SmithyRpcV2CborProtocol,
  })
  t.after(() => client.destroy())
  await assert.rejects(client.getEntitlements({ ProductCode: PRODUCT }), {
    name: 'UnknownOperationException',
    message: 'The simulator speaks AWS JSON 1.1, not rpc-v2-cbor: have the SDK use another protocol',
  })
  assert.deepEqual(simulator.counters.refused, { UnknownOperationException: 1 })
})

test('a contract begins, is amended in its term, and is renewed under another licence', async t => {
  const at = await running(t)
  const { clock } = at.simulator
  await control(at, '/subscriptions', { ...LICENSED, entitlements: [tokens(1000)] })
  assert.deepEqual(await listed(at), ['1 tokens 1000 30'])
  clock.set(NOW + DAY)
  await control(at, '/subscriptions/amend', {
    ...LICENSED,
    entitlements: [tokens(5000), { ...tokens(7), dimension: 'seats' }],
  })
  assert.deepEqual(await listed(at), ['1 tokens 5000 30', '1 seats 7 30'])
  clock.set(NOW + 2 * DAY)
  await control(at, '/subscriptions/renew', {
    ...LICENSED,
    renewedAs: OTHER_LICENCE,
    entitlements: [tokens(2000, NOW + 60 * DAY)],
  })
  assert.deepEqual(await listed(at), ['2 tokens 2000 60'])
  at.simulator.undocumented = { endedEntitlement: 'until-expiry' }
  assert.deepEqual(await listed(at), ['1 tokens 5000 30', '1 seats 7 30', '2 tokens 2000 60'])
  at.simulator.undocumented = { endedEntitlement: 'unlisted' }
  clock.set(NOW + 60 * DAY - 1)
  assert.deepEqual(await listed(at), ['2 tokens 2000 60'])
  clock.advance(1)
  assert.deepEqual(await listed(at), [])
  const [day, UPDATED] = [DAY / 1000, 'License Updated - Manufacturer']
  assert.deepEqual(told(at), [
    '11 Purchase Agreement Created - Proposer',
    `72 ${UPDATED}`,
    `${day + 11} Purchase Agreement Amended - Proposer`,
    `${day + 72} ${UPDATED}`,
    `${2 * day - 31} Purchase Agreement Ended - Proposer`,
    `${2 * day} License Deprovisioned - Manufacturer`,
    `${2 * day + 11} Purchase Agreement Created - Proposer`,
    `${2 * day + 72} ${UPDATED}`,
    // Nothing of the expiry that the renewal came before.
    `${60 * day} ${UPDATED}`,
  ])
})

test('a contract is renewed under the same licence, or ends', async t => {
  const at = await running(t)
  const { catalogue, clock } = at.simulator
  catalogue.subscribe({ ...LICENSED, entitlements: [tokens(1000)] })
  catalogue.subscribe({ ...LEGACY, entitlements: [tokens(10)] })
  clock.set(EXPIRY - MINUTE)
  catalogue.renew({ ...LICENSED, entitlements: [tokens(1500, EXPIRY + 30 * DAY)] })
  catalogue.amend({ ...LEGACY, entitlements: [tokens(20, EXPIRY + 30 * DAY)] })
  clock.set(EXPIRY)
  assert.deepEqual(await listed(at), ['1 tokens 1500 60', ' tokens 20 60'])
  const seconds = (EXPIRY - MINUTE - NOW) / 1000
  assert.deepEqual(told(at), [
    '11 Purchase Agreement Created - Proposer',
    '72 License Updated - Manufacturer',
    '72 subscribe-success',
    '72 entitlement-updated',
    `${seconds} Purchase Agreement Ended - Proposer`,
    `${seconds} entitlement-updated`,
    `${seconds + 11} Purchase Agreement Created - Proposer`,
  ])
  await control(at, '/subscriptions/end', { ...LICENSED, status: 'EXPIRED' })
  catalogue.unsubscribe(LEGACY)
  assert.deepEqual(await listed(at), [])
  // Who comes back has what is agreed then.
  clock.advance(2 * HOUR)
  catalogue.subscribe(LICENSED)
  assert.deepEqual(await listed(at), [])
  catalogue.amend({ ...LICENSED, entitlements: [tokens(1, EXPIRY + DAY)] })
  assert.deepEqual(await listed(at), ['1 tokens 1 31'])
  // What is pending entitles to nothing yet.
  catalogue.subscribe({ ...LEGACY, pending: true, entitlements: [tokens(9, EXPIRY + DAY)] })
  assert.deepEqual(await listed(at), ['1 tokens 1 31'])
  catalogue.activate(LEGACY)
  assert.deepEqual(await listed(at), ['1 tokens 1 31', ' tokens 9 31'])
  catalogue.subscribe({ ...LICENSED, licenseArn: OTHER_LICENCE })
  assert.throws(() => catalogue.amend({ accountId: ACCOUNT, entitlements: [tokens(2)] }), {
    message: /Expected one to entitle but 2 are in force/,
  })
  catalogue.subscribe({ accountId: '777788889999' })
  assert.throws(() => catalogue.amend({ accountId: '777788889999', entitlements: [tokens(2)] }), {
    message: /Expected a subscription to one product/,
  })
})

test('an answer lags behind, comes late, is refused or throttled, and usage goes on', async t => {
  const waited: number[] = []
  const at = await running(t, { delay: async milliseconds => waited.push(milliseconds) })
  const { catalogue, clock, faults } = at.simulator
  catalogue.subscribe({ ...LICENSED, at: NOW - DAY, entitlements: [tokens(1000)] })
  catalogue.amend({ ...LICENSED, entitlements: [tokens(5000)] })
  faults.add({ kind: 'entitlements-stale', rate: 1, milliseconds: 5 * MINUTE })
  assert.deepEqual(statuses(await at.sdk().batchMeterUsage({ UsageRecords: [licensed()] })), ['Success'])
  assert.deepEqual(await listed(at), ['1 tokens 1000 30'])
  clock.advance(5 * MINUTE)
  assert.deepEqual(await listed(at), ['1 tokens 5000 30'])
  faults.clear()
  faults.add({ kind: 'throttling', next: 1, operation: 'GetEntitlements', customer: LICENCE })
  faults.add({ kind: 'access-denied', next: 1, operation: 'GetEntitlements', product: PRODUCT, dimension: 'tokens' })
  assert.deepEqual(statuses(await at.sdk().batchMeterUsage(batch(record()))), ['Success'])
  assert.deepEqual(await listed(at), ['1 tokens 5000 30'], 'of neither')
  await assert.rejects(listed(at, { LICENSE_ARN: [OTHER_LICENCE, LICENCE] }), refusedAs('ThrottlingException'))
  await assert.rejects(listed(at, { DIMENSION: ['tokens'] }), refusedAs('AccessDeniedException'))
  faults.add({ kind: 'latency', next: 1, milliseconds: 30_000 })
  assert.deepEqual(await listed(at), ['1 tokens 5000 30'])
  assert.deepEqual(waited, [30_000])
  assert.deepEqual(at.simulator.counters.faults, {
    'entitlements-stale': 2,
    throttling: 1,
    'access-denied': 1,
    latency: 1,
  })
  at.simulator.quota = 1
  await listed(at)
  await assert.rejects(listed(at), refusedAs('ThrottlingException'))
})

test('an entitlement takes nothing off the bill: each unit that is metered is billed', async t => {
  const at = await running(t)
  at.simulator.catalogue.subscribe({ ...LICENSED, at: NOW - DAY, entitlements: [tokens(1000)] })
  await at.sdk().batchMeterUsage({ UsageRecords: [licensed({ Quantity: 250 })] })
  assert.equal(at.simulator.totals({ customer: LICENCE, dimension: 'tokens' })[0]?.quantity, 250)
})
