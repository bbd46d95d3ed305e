import assert from 'node:assert/strict'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { MarketplaceMetering } from '@aws-sdk/client-marketplace-metering'
import type { Attributes } from '@opentelemetry/api'
import * as sdk from '@opentelemetry/sdk-metrics'
import { Gateway } from '../src/gateway/index.ts'
import { AWSMarketplaceMetricExporter, type DimensionOptions, SqliteLedger } from '../src/index.ts'
import { type RunningSimulator, startSimulator } from '../src/simulator/index.ts'
import { customerAccount } from '../src/usage/account.ts'
import { encode, nanoseconds, type Point } from './counters/otlp.ts'
import {
  ACCOUNT,
  HOUR,
  LICENCE,
  MINUTE,
  measure,
  PRODUCT,
  START,
  saidDuring,
  temporaryFolder,
} from './exporter/support.ts'

const MODEL = 'gen_ai.request.model'
const DIMENSIONS: Record<string, DimensionOptions> = {
  tokens: {
    ...{ unit: '{token}', from: { metric: 'tokens' } },
    allocations: [MODEL, { tag: 'team', attribute: 'app.team' }],
  },
}

/** An AWS behind a socket, and what was measured of one customer by the tags that it is for. */
class Bill {
  now = START
  readonly aws: RunningSimulator
  readonly measured = new Map<string, number>()

  private constructor(aws: RunningSimulator) {
    this.aws = aws
  }

  static async open(t: TestContext): Promise<Bill> {
    const bill: Bill = new Bill(await startSimulator({ now: () => bill.now, quota: null, seed: 7 }))
    t.after(() => bill.aws.close())
    return bill
  }

  client(t: TestContext): MarketplaceMetering {
    const client = new MarketplaceMetering({
      ...{ endpoint: this.aws.url, region: 'us-east-1', maxAttempts: 1 },
      credentials: { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'secret' },
    })
    t.after(() => client.destroy())
    return client
  }

  note(tags: string, amount: number): void {
    this.measured.set(tags, (this.measured.get(tags) ?? 0) + amount)
  }

  /** What AWS's bill says, by the same names: `model team`, and `-` for what is not there. */
  billed(): Map<string, number> {
    const shares = this.aws.simulator.totalsByTags({ dimension: 'tokens' }).map(({ tags, quantity }) => {
      const of = (key: string) => tags[`aws:marketplace:isv:${key}`] ?? '-'
      return [`${of(MODEL)} ${of('team')}`, quantity] as const
    })
    return new Map(shares)
  }

  check(): void {
    assert.deepEqual(Object.fromEntries([...this.billed()].sort()), Object.fromEntries([...this.measured].sort()))
    assert.equal(this.aws.simulator.counters.resplits, 0)
  }

  /** AWS takes records and does not say so, or takes only some of them. */
  fail(): void {
    for (const kind of ['reset-after', 'internal-error-after', 'html-after'] as const) {
      this.aws.simulator.faults.add({ kind, next: 1 })
    }
    this.aws.simulator.faults.add({ kind: 'unprocessed', next: 2 })
  }
}

const CALLS: Attributes[] = [
  { [MODEL]: 'small', 'app.team': 'search' },
  { [MODEL]: 'large', 'app.team': 'search' },
  { [MODEL]: 'small' },
  { 'app.team': 7 },
  {},
  { [MODEL]: 'größe', 'app.team': 'search' },
]
const NAMES = ['small search', 'large search', 'small -', '- 7', '- -', '- search']

test('an exporter: the bill by tags is what was measured, whatever AWS answers and who restarts', async t => {
  const bill = await Bill.open(t)
  const path = join(temporaryFolder(t), 'ledger.sqlite')
  const account = { 'marketplace.customer.account_id': ACCOUNT }
  const life = async (work: (add: (n: number, amount: number) => void) => Promise<void>) => {
    const exporter = new AWSMarketplaceMetricExporter({
      ...{ productCode: PRODUCT, dimensions: DIMENSIONS, region: 'us-east-1', client: bill.client(t) },
      ...{ ledger: path, now: () => bill.now, wakeInterval: HOUR },
    })
    const { provider, meter, collect } = measure(t, sdk, exporter)
    const counter = meter.createCounter('tokens', { unit: '{token}' })
    await work((n, amount) => {
      counter.add(amount, { ...account, ...CALLS[n] })
      bill.note(NAMES[n] as string, amount)
    })
    await collect()
    await provider.shutdown()
  }
  const said = await saidDuring(async () => {
    await life(async add => {
      for (const n of CALLS.keys()) add(n, 3 + n)
    })
    // Another process goes on with the hour, and ends while AWS does not say what it took.
    await life(async add => {
      for (const n of CALLS.keys()) add(n, 10 * n)
    })
    bill.fail()
    bill.now += HOUR
    for (let process = 0; process < 5; process++) {
      await life(async add => add(0, 1))
      bill.now += 20 * MINUTE
    }
    bill.now += HOUR
    await life(async () => {})
  })
  bill.check()
  assert.ok(bill.aws.simulator.counters.requests > 4)
  assert.equal(said.filter(message => message.includes('no tag')).length, 2, 'once in each process that has seen it')
})

test('2,600 tag sets in an hour: what is beyond AWS’s limits is billed without tags', async t => {
  const bill = await Bill.open(t)
  const exporter = new AWSMarketplaceMetricExporter({
    ...{ productCode: PRODUCT, dimensions: DIMENSIONS, region: 'us-east-1', client: bill.client(t) },
    ...{ ledger: join(temporaryFolder(t), 'ledger.sqlite'), now: () => bill.now, wakeInterval: HOUR },
  })
  const { meter, collect } = measure(t, sdk, exporter, { cardinalityLimits: { default: 3000 } })
  const counter = meter.createCounter('tokens', { unit: '{token}' })
  const said = await saidDuring(async () => {
    for (let n = 0; n < 2600; n++) {
      counter.add(2, { 'marketplace.customer.account_id': ACCOUNT, [MODEL]: `model-${n}` })
      bill.note(`model-${n} -`, 2)
    }
    await collect()
    bill.now += HOUR
    await collect()
  })
  const billed = bill.billed()
  const rest = billed.get('- -')
  billed.delete('- -')
  // As many as AWS takes of a record, and as a ledger keeps with it: 250 KB of them.
  assert.ok(billed.size > 2400 && billed.size < 2500, `${billed.size}`)
  assert.equal(rest, 2 * (2600 - billed.size))
  for (const [tags, quantity] of billed) assert.equal(quantity, bill.measured.get(tags), tags)
  assert.equal(said.filter(message => message.includes('more than 2,500 sets of tags')).length, 1)
})

test('usage of a tenant keeps its tags until the ledger tells who it is', async t => {
  const bill = await Bill.open(t)
  const ledger = new SqliteLedger({ path: join(temporaryFolder(t), 'ledger.sqlite') })
  const product = 'inference'
  const customer = customerAccount({ product, accountId: ACCOUNT, licenseArn: LICENCE })
  const options = { region: 'us-east-1', closeDelay: 5 * MINUTE, deadlineMargin: 5 * MINUTE, now: bill.now }
  await ledger.noteAgreement(customer, { what: 'active', at: bill.now, tenant: 'acme' }, options)
  const exporter = new AWSMarketplaceMetricExporter({
    ...{ product, customer: { tenant: 'app.tenant' }, dimensions: DIMENSIONS, region: 'us-east-1' },
    ...{ client: bill.client(t), ledger, now: () => bill.now, wakeInterval: HOUR },
  })
  const { provider, meter, collect } = measure(t, sdk, exporter)
  const counter = meter.createCounter('tokens', { unit: '{token}' })
  for (const n of CALLS.keys()) {
    counter.add(n + 1, { 'app.tenant': 'acme', ...CALLS[n] })
    bill.note(NAMES[n] as string, n + 1)
  }
  counter.add(5, { 'app.tenant': 'nobody', ...CALLS[0] })
  await collect()
  bill.now += HOUR
  await provider.shutdown()
  bill.check()
  const [unknown] = (await ledger.statement()).filter(({ account }) => account.kind === 'unattributed')
  assert.equal(unknown?.recorded, 5_000_000n)
  await ledger.close()
})

test('a gateway: the same, of counters that others keep', async t => {
  const bill = await Bill.open(t)
  const path = join(temporaryFolder(t), 'ledger.sqlite')
  const values = CALLS.map(() => 0)
  const begun = bill.now
  const life = async (amounts: readonly number[]) => {
    const ledger = new SqliteLedger({ path })
    const gateway = await Gateway.start({
      ...{ productCode: PRODUCT, dimensions: DIMENSIONS, region: 'us-east-1', ledger, now: () => bill.now },
      ...{ client: bill.client(t), http: { port: 0 }, wakeInterval: HOUR },
    })
    const points = CALLS.map((call, n): Point => {
      const amount = amounts[n] ?? 0
      values[n] = (values[n] as number) + amount
      if (amount > 0) bill.note(NAMES[n] as string, amount)
      return {
        ...{ resource: { 'service.name': 'chat' }, scope: { name: 'app' } },
        metric: { name: 'tokens', unit: '{token}', type: 'sum', temporality: 'cumulative' },
        attributes: { 'marketplace.customer.account_id': ACCOUNT, ...(call as Record<string, string | number>) },
        ...{ start: nanoseconds(begun), time: nanoseconds(bill.now), value: values[n] as number },
      }
    })
    // An answer was lost: the sender sends all of it again.
    for (let time = 0; time < 2; time++) {
      const response = await fetch(`http://${gateway.addresses.http}/v1/metrics`, {
        ...{ method: 'POST', headers: { 'content-type': 'application/json' }, body: encode(points) },
      })
      assert.equal(response.status, 200)
      assert.match(await response.text(), /no tag's value/)
    }
    await gateway.close()
    await ledger.close()
  }
  await life([0, 0, 0, 0, 0, 0])
  bill.now += MINUTE
  await life([1, 2, 3, 4, 5, 6])
  bill.now += MINUTE
  await life([10, 0, 0, 0, 50, 7])
  bill.fail()
  for (let restart = 0; restart < 6; restart++) {
    bill.now += 30 * MINUTE
    await life([1, 0, 2])
  }
  bill.now += 2 * HOUR
  await life([])
  bill.now += 2 * HOUR
  await life([])
  bill.check()
})
