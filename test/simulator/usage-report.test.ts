import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parse } from 'csv-parse/sync'
import { MarketplaceSimulator, type UsageReportOptions } from '../../src/simulator/index.ts'
import {
  ACCOUNT,
  batch,
  HOUR,
  LICENCE,
  licensed,
  NOW,
  OTHER_ACCOUNT,
  OTHER_LICENCE,
  PRODUCT,
  record,
  running,
} from './support.ts'

type Row = Record<string, string>

const rows = (text: string): Row[] => parse(text, { columns: true })
const at = (hours: number) => new Date(NOW + hours * HOUR)

/** Two licences and a tool of somebody else, an older customer, a dimension whose name has to be quoted, two days. */
function metered(): MarketplaceSimulator {
  const subscriptions = [
    { product: PRODUCT, licenseArn: LICENCE },
    { product: PRODUCT, licenseArn: OTHER_LICENCE },
    { product: 'prod-other' },
  ]
  const customers = [
    { accountId: ACCOUNT, subscriptions },
    { accountId: OTHER_ACCOUNT, subscriptions: [{ product: PRODUCT }] },
    { customerIdentifier: 'c-1', subscriptions: [{ product: PRODUCT }] },
  ]
  const simulator = new MarketplaceSimulator({ now: () => NOW, quota: null, seed: 7, catalogue: { customers } })
  const { clock } = simulator
  clock.set(at(20))
  for (const Timestamp of [at(0), at(1), at(12)]) {
    simulator.batchMeterUsage({ UsageRecords: [licensed({ Timestamp, Quantity: 100 })] })
  }
  simulator.batchMeterUsage({ UsageRecords: [licensed({ Timestamp: at(1), Quantity: 1, LicenseArn: OTHER_LICENCE })] })
  simulator.meterForeign(batch(record({ Timestamp: at(2), Quantity: 7, CustomerAWSAccountId: OTHER_ACCOUNT })))
  const legacy = { Timestamp: at(2), Quantity: 9, CustomerIdentifier: 'c-1', Dimension: 'a "b", c' }
  simulator.batchMeterUsage(batch(legacy), { region: 'eu-west-1' })
  clock.set(at(48))
  return simulator
}

/** What the feed comes to, by the rule that AWS gives for its revisions. */
function feedSums(usage: Row[]): string[] {
  const latest = (name: string, group: (row: Row) => string, all: Row[]) => {
    const kept = new Map<string, Row>()
    for (const row of all) {
      const known = kept.get(group(row))
      if (known === undefined || (row[name] as string) > (known[name] as string)) kept.set(group(row), row)
    }
    return [...kept.values()]
  }
  const versions = latest('update_date', row => `${row.usage_feed_id} ${row.valid_from}`, usage)
  return latest('valid_from', row => row.usage_feed_id as string, versions)
    .filter(row => row.delete_date === '')
    .map(row => [row.usage_date, row.region, row.dimension_key, row.usage_quantity].join(' '))
    .sort()
}

function datasetSums(dataset: Row[]): string[] {
  const lines = new Map<string, Row>()
  const modified = (row: Row) => row.row_modified_date as string
  for (const row of dataset.toSorted((one, other) => (modified(one) < modified(other) ? -1 : 1))) {
    const id = row.internal_usage_line_item_id as string
    if (row.row_type === 'DELETE') lines.delete(id)
    else lines.set(id, row)
  }
  return [...lines.values()]
    .map(row => [row.usage_date, row.region, row.dimension_key, row.estimated_usage_units].join(' '))
    .sort()
}

const SUMS = [
  '2026-06-10T00:00:00Z eu-west-1 a "b", c 9.00',
  '2026-06-10T00:00:00Z us-east-1 tokens 201.00',
  '2026-06-10T00:00:00Z us-east-1 tokens 7.00',
  '2026-06-11T00:00:00Z us-east-1 tokens 100.00',
]

test('what was billed is summed by day, region, dimension, product and account, for who joins the accounts', () => {
  const simulator = metered()
  const report = simulator.usageReport({ rates: { tokens: '0.002' } })
  assert.match(report.usage, /^"valid_from","insert_date",.*"charge_item_description"\r\n"/)
  const usage = rows(report.usage)
  assert.deepEqual(feedSums(usage), SUMS)
  const accounts = new Map(rows(report.accounts).map(row => [row.account_id, row]))
  const [shared, other] = ['201.00', '7.00'].map(quantity => usage.find(row => row.usage_quantity === quantity))
  assert.equal(accounts.get(shared?.end_user_account_id)?.aws_account_id, ACCOUNT)
  assert.equal(accounts.get(other?.end_user_account_id)?.aws_account_id, OTHER_ACCOUNT)
  const legacy = usage.find(row => row.region === 'eu-west-1')
  assert.equal(accounts.get(legacy?.end_user_account_id)?.encrypted_account_id, 'c-1')
  assert.equal(accounts.size, 3)
  assert.ok(!report.usage.includes(ACCOUNT), 'accounts are hashes')
  assert.equal(shared?.agreement_id, '', 'of two agreements in one sum')
  assert.match(other?.agreement_id ?? '', /^agmt-/)
  assert.deepEqual(
    [shared?.estimated_revenue_in_pricing_currency, shared?.usage_rate_per_unit_in_pricing_currency],
    ['0.402', '0.002'],
  )
  assert.match(shared?.product_id ?? '', /^prod-/)
  const dataset = rows(report.dataset)
  assert.deepEqual(datasetSums(dataset), SUMS)
  const line = dataset.find(row => row.estimated_usage_units === '201.00')
  assert.deepEqual(
    [line?.end_user_aws_account_id, line?.product_code, line?.row_type, line?.estimated_revenue],
    [ACCOUNT, PRODUCT, 'INSERT', '0.402'],
  )
})

test('a day is in the reports six hours after it', () => {
  const simulator = metered()
  const sums = (options?: UsageReportOptions) => feedSums(rows(simulator.usageReport(options).usage))
  assert.deepEqual(sums({ to: '2026-06-11' }), SUMS.slice(0, 3))
  assert.deepEqual(sums({ from: '2026-06-11' }), SUMS.slice(3))
  simulator.clock.set('2026-06-12T05:59:59Z')
  assert.deepEqual(sums(), SUMS.slice(0, 3))
  simulator.clock.set('2026-06-11T05:59:59Z')
  assert.deepEqual(sums(), [])
})

test('revisions change rows, and nothing that they come to', () => {
  const simulator = metered()
  const kinds = new Set<string>()
  for (let hour = 0; hour < 12; hour++) {
    simulator.clock.set(at(hour + 49))
    const Dimension = `d${hour}`
    simulator.batchMeterUsage({ UsageRecords: [licensed({ Timestamp: at(hour + 48), Quantity: 3, Dimension })] })
  }
  simulator.clock.set(at(100))
  const plain = simulator.usageReport()
  const revised = simulator.usageReport({ revisions: 1 })
  assert.deepEqual(simulator.usageReport({ revisions: 1 }), revised, 'the same each time')
  const [usage, dataset] = [rows(revised.usage), rows(revised.dataset)]
  assert.equal(rows(plain.usage).length, 16)
  assert.ok(usage.length >= 32 && dataset.length >= 32)
  assert.deepEqual(feedSums(usage), feedSums(rows(plain.usage)))
  assert.deepEqual(datasetSums(dataset), feedSums(usage))
  for (const { row_type = '' } of dataset) kinds.add(row_type)
  assert.deepEqual([...kinds].sort(), ['DELETE', 'INSERT', 'UPDATE'])
  assert.ok(usage.some(row => row.delete_date !== ''))
  assert.ok(new Set(usage.map(row => row.valid_from)).size > new Set(rows(plain.usage).map(row => row.valid_from)).size)
})

test('the control API gives the reports as CSV', async t => {
  const { url, simulator } = await running(t)
  simulator.batchMeterUsage(batch(record({ Dimension: 'größe' })))
  simulator.clock.set(at(48))
  const get = (path: string) => fetch(`${url}/_simulator/usage-report/${path}`)
  const report = simulator.usageReport({ revisions: 1 })
  for (const name of ['usage', 'accounts', 'dataset'] as const) {
    const response = await get(`${name}.csv?revisions=1`)
    assert.equal(response.headers.get('content-type'), 'text/csv; charset=utf-8')
    assert.equal(await response.text(), report[name])
  }
  assert.equal(rows(await (await get('usage.csv?from=2026-06-11')).text()).length, 0)
  for (const query of ['revisions=2', 'revisions=x', 'since=1']) {
    assert.equal((await get(`usage.csv?${query}`)).status, 400, query)
  }
  assert.throws(() => simulator.usageReport({ rates: { tokens: '1,5' } }), /rates\.tokens: .*decimal.*"1,5"/)
})
