import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { CustomersReport } from '../../../src/gateway/operations/customers.ts'
import { formatAmount } from '../../../src/usage/amount.ts'
import {
  customer,
  HOUR,
  identified,
  licenceArn,
  licensed,
  MINUTE,
  NOW,
  PRODUCT,
  TOKENS,
} from '../../metering/support.ts'
import { GPU, GUARDED, restored, Scene, trouble } from './support.ts'

const find = async (scene: Scene, text: string) =>
  (await (await scene.get(`/customers.json?find=${encodeURIComponent(text)}`)).json()) as CustomersReport

const names = ({ customers }: CustomersReport) => customers.map(({ key }) => key)

/** Customers under each identity, one of them with an agreement and no usage. */
async function named(t: TestContext): Promise<Scene> {
  const scene = await Scene.start(t, { bench: { now: NOW } })
  const { ledger } = scene.bench
  await ledger.register([TOKENS, GPU])
  await scene.append([customer(17), licensed(25), identified(8)].map(account => scene.use(account, TOKENS, 2)))
  const terms = { region: 'us-east-1', closeDelay: 5 * MINUTE, deadlineMargin: 5 * MINUTE, now: NOW }
  const news = { what: 'active', at: NOW - HOUR } as const
  await ledger.noteAgreement(licensed(25), { ...news, tenant: 'Acme GmbH', customerIdentifier: 'oLdEr25' }, terms)
  await ledger.noteAgreement(licensed(26), { ...news, tenant: 'acme.test' }, terms)
  return scene
}

test('a customer is found by a part of any of its names, and by its key alone', async t => {
  const scene = await named(t)
  for (const [text, ...keys] of [
    ['100000000017', customer(17).key],
    [' 00017 ', customer(17).key],
    ['0000000002', licensed(25).key, licensed(26).key],
    [licenceArn(25), licensed(25).key],
    // As AWS's examples write it.
    [`aws:license-manager:us-east-1:1:license:l-${'25'.padStart(32, '0')}`, licensed(25).key],
    [`l-${'26'.padStart(32, '0')}`, licensed(26).key],
    ['acme', licensed(25).key, licensed(26).key],
    ['ACME G', licensed(25).key],
    ['older25', licensed(25).key],
    ['customer-8', identified(8).key],
    [identified(8).key, identified(8).key],
    [customer(17).key, customer(17).key],
    [PRODUCT],
    ['%_'],
  ] as const) {
    const report = await find(scene, text)
    assert.deepEqual(names(report), keys, text)
    assert.equal(report.found, keys.length)
    assert.equal(report.customer !== null, keys.length === 1, text)
  }
  const { customers, customer: shown } = await find(scene, 'acme.test')
  assert.deepEqual(customers, [
    {
      ...{ key: licensed(26).key, customer: '100000000026', licence: `l-${'26'.padStart(32, '0')}`, product: PRODUCT },
      ...{ tenant: 'acme.test', agreement: 'active since 2026-06-10T11:10Z' },
    },
  ])
  assert.deepEqual([shown?.dimensions, shown?.hours, shown?.records], [[], [], []])
})

test('who is called exactly so comes first, and not more are named than a person reads', async t => {
  const scene = await Scene.start(t, { bench: { now: NOW } })
  await scene.bench.ledger.register([TOKENS])
  const own = { ...identified(1), customerIdentifier: '1', key: `${PRODUCT},customer=1` }
  const others = Array.from({ length: 30 }, (_, number) => customer(number))
  await scene.append([own, ...others].map(account => scene.use(account, TOKENS, 1)))
  const report = await find(scene, '1')
  assert.deepEqual([report.found, report.customers.length, report.customer], [31, 20, null])
  assert.deepEqual(names(report).slice(0, 2), [own.key, customer(0).key])
})

test('where a customer’s units stand: each figure is the ledger’s, by dimension and hour', async t => {
  const scene = await trouble(t)
  const { bench } = scene
  for (const number of [1, 2, 3, 4, 5]) {
    const { key } = number === 5 ? licensed(5) : customer(number)
    const { customer: report } = await find(scene, key)
    assert.ok(report)
    const lines = await bench.ledger.statement({ customer: key })
    assert.deepEqual(
      report.dimensions.map(({ name }) => name),
      ['tokens', 'requests', 'gpu-hours'],
    )
    for (const dimension of report.dimensions) {
      const line = lines.find(one => one.dimension.name === dimension.name)
      for (const figure of ['recorded', 'included', 'metered', 'pending', 'held', 'balance'] as const) {
        assert.equal(dimension[figure].amount, formatAmount(line?.[figure] ?? 0n))
      }
    }
    const records = (await bench.records()).filter(({ account }) => account.key === key)
    for (const hour of report.hours) {
      const record = records.find(one => one.hour === Date.parse(hour.hour) && one.dimension === hour.dimension)
      const of = (state: string) => formatAmount(record?.state === state ? BigInt(record.quantity) * record.size : 0n)
      assert.deepEqual(
        [hour.metered.amount, hour.pending.amount, hour.held.amount],
        [of('metered'), of('pending'), of('held')],
      )
      const none = Date.parse(hour.hour) >= NOW - HOUR ? 'open' : 'none'
      assert.equal(hour.state, record === undefined || record.state === 'returned' ? none : record.state)
      assert.deepEqual(hour.heldReasons, record?.state === 'held' ? [record.reason] : [])
      const parts = [hour.included, hour.metered, hour.pending, hour.held, hour.balance]
      const sum = parts.reduce((total, { amount }) => total + Number(amount), 0)
      assert.ok(Math.abs(sum - Number(hour.recorded.amount)) < 1e-6)
    }
    const unsettled = records.filter(({ state }) => state === 'pending' || state === 'held')
    assert.deepEqual(report.records.map(({ id }) => id).sort(), unsettled.map(({ id }) => id).sort())
  }
  const { customer: guarded } = await find(scene, customer(4).key)
  const [held] = guarded?.hours.filter(({ state }) => state === 'held') ?? []
  assert.deepEqual([held?.heldReasons, held?.held.words], [['over-maximum'], '2,000,129 requests'])
})

test('the records of an hour and what CloudTrail has of them are one command or link away', async t => {
  const scene = await trouble(t)
  const { customer: report } = await find(scene, customer(4).key)
  const hour = '2026-06-10T02:00:00.000Z'
  const lookup = report?.lookups.find(one => one.hour === hour)
  assert.deepEqual(
    lookup?.commands.map(({ command }) => command),
    [
      'marketplace-meter records --customer prod-inference,100000000004 --from 2026-06-10T02 --to 2026-06-10T02 --ledger /data/ledger.sqlite',
      'marketplace-meter reconcile --cloudtrail --region us-east-1 --from 2026-06-10T02 --to 2026-06-10T02 --ledger /data/ledger.sqlite',
      'aws cloudtrail lookup-events --region us-east-1 --lookup-attributes AttributeKey=EventName,AttributeValue=BatchMeterUsage --start-time 2026-06-10T02:00:00Z --end-time 2026-06-11T02:00:00Z',
    ],
  )
  assert.deepEqual(lookup?.consoles, [
    {
      region: 'us-east-1',
      url: 'https://us-east-1.console.aws.amazon.com/cloudtrailv2/home?region=us-east-1#/events?EventName=BatchMeterUsage&StartTime=2026-06-10T02%3A00%3A00Z&EndTime=2026-06-11T02%3A00%3A00Z',
    },
  ])
  // Where nothing was ever sent there is nothing to look up at AWS; nor is it of a region what a restore holds.
  const never = await find(await named(t), customer(17).key)
  const lost = await find(await restored(t), customer(1).key)
  for (const { customer: report } of [never, lost]) {
    assert.ok(report && report.lookups.length > 0)
    for (const { consoles, commands } of report.lookups) assert.deepEqual([consoles.length, commands.length], [0, 1])
  }
})

test('what is asked of the ledger for a search is little, and less where nobody or several are found', async t => {
  const scene = await named(t)
  const asked: string[] = []
  const ledger = new Proxy(scene.bench.ledger, {
    get(target, name) {
      const value = Reflect.get(target, name)
      if (typeof value !== 'function') return value
      return (...given: unknown[]) => {
        asked.push(String(name))
        const [query] = given as [{ customer?: string; from?: number; limit?: number } | undefined]
        if (name === 'records') assert.ok(query?.limit !== undefined && query.limit <= 101)
        return value.apply(target, given)
      }
    },
  })
  const watched = await Scene.start(t, { bench: { now: NOW }, ledger })
  await find(watched, 'acme')
  assert.deepEqual(asked.splice(0), ['statement', 'agreements'], 'as the page reads them for its totals')
  for (const text of ['acme', 'nobody', '1']) await find(watched, text)
  assert.deepEqual(asked.splice(0), [])
  await find(watched, customer(17).key)
  assert.deepEqual(asked.splice(0).sort(), ['answers', 'records', 'records', 'statement', 'statement', 'status'])
})

test('a search for nothing, or for more than a name, is refused', async t => {
  const scene = await Scene.start(t, { bench: { now: NOW }, dimensions: [GUARDED] })
  for (const query of ['', '?', '?find=', '?find=%20', `?find=${'x'.repeat(601)}`, '?other=1']) {
    const response = await scene.get(`/customers.json${query}`)
    assert.equal(response.status, 400)
    assert.match(
      ((await response.json()) as { error: string }).error,
      /^Expected \?find= with a part of a customer's name/,
    )
  }
  assert.equal((await find(scene, '%E0%A4%A')).found, 0)
})
