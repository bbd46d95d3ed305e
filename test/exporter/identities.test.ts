import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AWSMarketplaceMetricExporter, InferenceMeter } from '../../src/index.ts'
import {
  ACCOUNT,
  exportTo,
  HOUR,
  LICENCE,
  M,
  measure,
  OTHER_ACCOUNT,
  PRODUCT,
  recorded,
  SDKS,
  saidDuring,
  tokens,
  world,
} from './support.ts'

/** The listing with product codes, and the new one with licences, each with its customers. */
const catalogue = {
  products: [{ code: PRODUCT }, { code: 'prod-licensed' }],
  customers: [
    {
      accountId: ACCOUNT,
      subscriptions: [{ product: 'prod-licensed', licenseArn: LICENCE }, { product: PRODUCT }],
    },
    { accountId: OTHER_ACCOUNT, subscriptions: [{ product: PRODUCT }] },
  ],
}
const LICENSED = { accountId: ACCOUNT, licenseArn: LICENCE }
const BY_CODE = { accountId: OTHER_ACCOUNT }

for (const [name, sdk] of Object.entries(SDKS)) {
  test(`a customer with a licence goes by it, one without by the product code (${name})`, async t => {
    const options = { product: 'inference', productCode: PRODUCT, simulator: { catalogue } }
    const { exporter, clock, simulator } = world(t, options)
    const { provider, collect } = measure(t, sdk, exporter)
    const meter = new InferenceMeter(provider)
    meter.recordTokensProcessed(LICENSED, 100)
    meter.recordTokensProcessed(BY_CODE, 50)
    await collect()
    clock.now += HOUR
    await collect()
    const billed = simulator.billed().map(({ accountId, product, licenseArn, quantity }) => {
      return [accountId, licenseArn === undefined ? product : licenseArn, quantity]
    })
    assert.deepEqual(billed.sort(), [
      [ACCOUNT, LICENCE, 100],
      [OTHER_ACCOUNT, PRODUCT, 50],
    ])
  })
}

test('an exporter for each identity beside each other: nobody is billed by both, and it is said', async t => {
  const { exporter, clock, client, ledger, simulator } = world(t, { simulator: { catalogue } })
  const other = new AWSMarketplaceMetricExporter({
    ...{ product: 'inference', region: 'us-east-1', client, ledger, now: () => clock.now, wakeInterval: HOUR },
  })
  t.after(() => other.shutdown())
  const usage = [
    tokens(100, { 'marketplace.customer.account_id': ACCOUNT, 'marketplace.customer.license_arn': LICENCE }),
    tokens(50, { 'marketplace.customer.account_id': OTHER_ACCOUNT }),
  ]
  const said = await saidDuring(async () => {
    for (const one of [exporter, other]) for (const metrics of usage) await exportTo(one, metrics)
  })
  clock.now += HOUR
  for (const one of [exporter, other]) await one.forceFlush()
  const billed = simulator.billed().map(({ accountId, licenseArn, quantity }) => [accountId, licenseArn, quantity])
  assert.deepEqual(billed.sort(), [
    [ACCOUNT, LICENCE, 100],
    [OTHER_ACCOUNT, undefined, 50],
  ])
  assert.equal((await recorded(ledger))['licence-without-product tokens-processed'], 100n * M)
  assert.match(said.join('\n'), /error: There is usage of customers with a licence, .* set the option product/)
})

test('what a resolver says is not ours is ignored, counted and said; what it does not know is kept', async t => {
  const customer = ({ tenant }: Record<string, unknown>) =>
    tenant === 'ours' ? { accountId: ACCOUNT } : tenant === 'theirs' ? null : undefined
  const { exporter, ledger } = world(t, { customer })
  const said = await saidDuring(async () => {
    for (const tenant of ['ours', 'theirs', 'theirs', 'nobody']) await exportTo(exporter, tokens(7, { tenant }))
  })
  assert.deepEqual(await recorded(ledger), {
    [`${ACCOUNT} tokens-processed`]: 7n * M,
    'no-customer tokens-processed': 7n * M,
  })
  const ignored = said.filter(message => message.includes('null'))
  assert.equal(ignored.length, 1)
  assert.match(ignored[0] ?? '', /^warn: .*not this product's.*return undefined/)
})
