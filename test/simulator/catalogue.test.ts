import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { MarketplaceSimulator, readCatalogue, type SimulatorOptions } from '../../src/simulator/index.ts'
import { ACCOUNT, batch, LICENCE, NOW, OTHER_ACCOUNT, PRODUCT, record, statuses } from './support.ts'

test('a catalogue is read from a file', t => {
  const folder = mkdtempSync(join(tmpdir(), 'catalogue-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'catalogue.json')
  const read = (content: string) => {
    writeFileSync(file, content)
    return readCatalogue(file)
  }
  const catalogue = read(
    JSON.stringify({
      products: [{ code: PRODUCT, dimensions: ['tokens'] }],
      customers: [{ accountId: ACCOUNT, subscriptions: [{ product: PRODUCT, from: '2026-06-10' }] }],
    }),
  )
  const simulator = new MarketplaceSimulator({ now: () => NOW, catalogue })
  assert.deepEqual(
    statuses(simulator.batchMeterUsage(batch(record(), record({ CustomerAWSAccountId: OTHER_ACCOUNT })))),
    ['Success', 'CustomerNotSubscribed'],
  )
  const refused = (content: string, message: RegExp) =>
    assert.throws(() => read(content), { code: 'ERR_SIMULATOR_CONFIGURATION', message })
  refused('{', /^catalogue .*catalogue\.json: Expected a JSON file but /)
  refused('[]', /Expected Object but received Array/)
  refused('{"product": []}', /catalogue\.json\.product: /)
  refused('{"customers": [{"accountId": 12}]}', /\.customers\[0\]\.accountId: .*string but received 12/)
  refused('{"products": [{"code": "a b"}]}', /\.products\[0\]\.code: .*product code.*"a b"/)
  refused('{"disabledRegions": ["Mars"]}', /\.disabledRegions\[0\]: .*"Mars"/)
  assert.throws(() => readCatalogue(join(folder, 'none.json')), {
    code: 'ERR_SIMULATOR_CONFIGURATION',
    message: /ENOENT/,
  })
})

test('options and catalogues that contradict themselves are refused', () => {
  const refused = (options: SimulatorOptions, message: RegExp) =>
    assert.throws(() => new MarketplaceSimulator(options), { code: 'ERR_SIMULATOR_CONFIGURATION', message })
  const subscriptions = [{ product: PRODUCT, licenseArn: LICENCE }]
  refused({ catalogue: { customers: [{ accountId: ACCOUNT }, { accountId: ACCOUNT }] } }, /customers\[1\]: .*again/)
  refused(
    {
      catalogue: {
        customers: [
          { accountId: ACCOUNT, subscriptions },
          { accountId: OTHER_ACCOUNT, subscriptions },
        ],
      },
    },
    /customers\[1\]\.subscriptions\[0\]\.licenseArn: .*again/,
  )
  refused(
    { catalogue: { products: [{ code: 'prod-other' }], customers: [{ accountId: ACCOUNT, subscriptions }] } },
    /customers\[0\]\.subscriptions\[0\]\.product: .*\(prod-other\).*prod-inference/,
  )
  refused({ catalogue: { tokens: [{ product: PRODUCT }] } }, /tokens\[0\]: .*accountId or customerIdentifier/)
  refused({ quota: -1 }, /options\.quota: .*above 0.*-1/)
  refused({ quota: Number.NaN }, /options\.quota: /)
  refused({ seed: 1.5 }, /options\.seed: .*1\.5/)
  refused({ logSize: -1 }, /options\.logSize: .*-1/)
  refused({ now: 5 as never }, /options\.now: .*5/)
  refused({ quotas: 5 } as never, /options\.quotas: /)
  refused({ faults: [{ kind: 'reset' }] }, /fault: .*rate or next/)
})

test('a clock goes on from where it was advanced to, and stands where it was set', () => {
  let source = NOW
  const { clock } = new MarketplaceSimulator({ now: () => source })
  clock.advance(1000)
  source += 5
  assert.equal(clock.now(), NOW + 1005)
  clock.set(NOW)
  source += 5
  assert.equal(clock.now(), NOW)
  clock.advance(7)
  assert.equal(clock.now(), NOW + 7)
  clock.reset()
  assert.equal(clock.now(), NOW + 10)
  assert.throws(() => clock.advance(Number.NaN), { code: 'ERR_SIMULATOR_CONFIGURATION', message: /NaN/ })
  assert.throws(() => clock.set('tomorrow'), { code: 'ERR_SIMULATOR_CONFIGURATION', message: /tomorrow/ })
})
