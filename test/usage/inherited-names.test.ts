import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { GatewayConfigFile } from '../../src/gateway/config.ts'
import { type AWSMarketplaceMetricExporterOptions, parseOptions } from '../../src/metering/options.ts'
import { UsageMapper } from '../../src/usage/mapper.ts'
import type { DimensionOptions } from '../../src/usage/options.ts'
import { folder, run } from '../cli/support.ts'
import { map, measure } from './sdk.ts'

/** Names that every object of JavaScript has, or that libraries leave out, are names like others. */

const NAMES = ['constructor', '__proto__', 'prototype', 'toString', 'hasOwnProperty', '__defineGetter__', 'valueOf']
const ACCOUNT = '012345678901'
const M = 1_000_000n

test('dimensions and metrics', async () => {
  const { meter, collect } = measure()
  for (const name of NAMES.filter(name => !name.startsWith('_'))) {
    meter().createCounter(name).add(2, { 'marketplace.customer.account_id': ACCOUNT })
  }
  const named = (name: string): [string, DimensionOptions] => [name, { unit: '1', from: { metric: name } }]
  const mapper = new UsageMapper({ productCode: 'p', dimensions: Object.fromEntries(NAMES.map(named)) })
  assert.deepEqual(
    mapper.dimensions.map(({ name }) => name),
    NAMES,
  )
  const { amounts } = map(mapper, await collect())
  assert.equal(Object.keys(amounts).length, 5)
  assert.equal(amounts[`p,${ACCOUNT} → constructor`], 2n * M)
})

test('attributes that rules ask for, and that are not there', async () => {
  for (const name of NAMES) {
    for (const match of ['x', null]) {
      const attributes = Object.fromEntries([[name, match]])
      const mapper = new UsageMapper({
        productCode: 'p',
        dimensions: { d: { unit: '1', from: { metric: 'm', attributes } } },
      })
      const { meter, collect } = measure()
      const counter = meter().createCounter('m')
      const customer = { 'marketplace.customer.account_id': ACCOUNT }
      counter.add(1, customer)
      counter.add(10, Object.fromEntries([...Object.entries(customer), [name, 'x']]))
      const { amounts, report } = map(mapper, await collect())
      // The SDK itself leaves out what would change an object's prototype.
      if (name === '__proto__') continue
      assert.deepEqual([amounts, report.ignored], [{ [`p,${ACCOUNT} → d`]: (match === null ? 1n : 10n) * M }, 1], name)
    }
  }
})

test('attributes that say whose usage it is', async () => {
  for (const name of NAMES) {
    for (const source of [name, { attribute: name }, { resource: name }]) {
      const mapper = new UsageMapper({
        ...{ productCode: 'p', dimensions: { d: { unit: '1', from: { metric: 'm' } } } },
        customer: { accountId: source },
      })
      const { meter, collect } = measure()
      meter().createCounter('m').add(1, { tenant: 'a' })
      const { report } = map(mapper, await collect())
      assert.deepEqual(
        report.unattributed.map(({ reason }) => reason),
        ['no-customer'],
        name,
      )
    }
  }
})

test('options that there are not', () => {
  for (const name of NAMES) {
    const options = Object.fromEntries([
      ['productCode', 'p'],
      ['region', 'us-east-1'],
      [name, 5],
    ])
    assert.throws(() => parseOptions(options as unknown as AWSMarketplaceMetricExporterOptions), {
      message: new RegExp(`${name}: there is no such option`),
    })
  }
})

test('of a configuration file, of its payload and of its environment', async t => {
  const [path, payload] = [join(folder(t), 'gateway.yaml'), join(folder(t), 'payload.json')]
  const dimensions = NAMES.map(
    name => `  ${name}: { unit: '1', from: { metric: ${name}, attributes: { ${name}: ${name} } } }`,
  )
  writeFileSync(
    path,
    `productCode: p
region: us-east-1
ledger: l.sqlite
listen: { tokens: [ '\${env:constructor}' ] }
customer: { accountId: { value: '${ACCOUNT}' } }
dimensions:
${dimensions.join('\n')}
`,
  )
  const file = GatewayConfigFile.read(path, {})
  assert.deepEqual(Object.keys(file.config.usage.dimensions ?? {}), NAMES)
  assert.throws(() => file.readReferences({}), { message: /constructor is not set in the environment/ })
  const metrics = NAMES.map(name => ({
    ...{ name, unit: '1' },
    sum: {
      ...{ aggregationTemporality: 1, isMonotonic: true },
      dataPoints: ['0', '60'].map(second => ({
        attributes: second === '0' ? [] : [{ key: name, value: { stringValue: name } }],
        startTimeUnixNano: '1763715600000000000',
        ...{ timeUnixNano: `17637156${second.padStart(2, '0')}000000000`, asInt: '5' },
      })),
    },
  }))
  const request = JSON.stringify({ resourceMetrics: [{ scopeMetrics: [{ scope: { name: 's' }, metrics }] }] })
  writeFileSync(payload, request)
  const { stdout } = await run(['check', path, '--payload', payload, '--format', 'json'])
  const { bill } = JSON.parse(stdout).payload
  assert.deepEqual(
    bill.map(({ dimension, quantity }: { dimension: string; quantity: string }) => [dimension, quantity]),
    NAMES.map(name => [name, '5']),
  )
})
