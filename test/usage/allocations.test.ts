import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Attributes } from '@opentelemetry/api'
import { UsageWriter } from '../../src/ledger/clients/writer.ts'
import type { Ledger } from '../../src/ledger/ledger.ts'
import type { Account, CustomerAccount } from '../../src/usage/account.ts'
import type { Tally } from '../../src/usage/customer.ts'
import { UsageMapper } from '../../src/usage/mapper.ts'
import type { MapReport } from '../../src/usage/mapping.ts'
import type { AllocationTag } from '../../src/usage/options.ts'
import { untaggedAccount } from '../../src/usage/tagged-account.ts'
import { billingViews } from '../../src/usage/views.ts'
import { measure } from './sdk.ts'

const ACCOUNT = '012345678901'
const CUSTOMER = { 'marketplace.customer.account_id': ACCOUNT }
const MODEL_AND_TEAM: AllocationTag[] = [{ tag: 'team', attribute: 'app.team' }, 'model']

const optionsWith = (allocations: AllocationTag[]) => ({
  productCode: 'p',
  dimensions: {
    tokens: { unit: '1', from: { metric: 'tokens' }, allocations },
    calls: { unit: '1', from: { metric: 'tokens' } },
  },
})

interface Point {
  readonly account: CustomerAccount
  readonly tally: Tally
  readonly amount: bigint
}

/** What a mapper makes of points of a counter of tokens, each of one. */
function read(
  mapper: UsageMapper,
  points: readonly Attributes[],
  resource: Attributes = {},
): { points: Point[]; report: MapReport } {
  const found: Point[] = []
  const mapping = mapper.begin(resource, (account, { name }, amount, _, tally) => {
    if (name === 'tokens') found.push({ account: account as CustomerAccount, tally, amount })
    return undefined
  })
  mapping.metric('app', 'tokens', '1', undefined)
  for (const attributes of points) mapping.point({ ...CUSTOMER, ...attributes }, 1, undefined)
  return { points: found, report: mapping.report }
}

const tagsOf = (account: Account) => (account.kind === 'customer' ? account.tags : undefined)
const told = ({ account }: Point) => account.tags?.map(tag => tag.join('=')).join(' ') ?? 'none'

test('usage is for the tags that a point has, or else its resource, in the order of their keys', () => {
  const mapper = new UsageMapper(optionsWith(MODEL_AND_TEAM))
  const cases: [Attributes, string][] = [
    [{ 'app.team': 'search', model: 'small' }, 'model=small team=search'],
    [{ 'app.team': 'search' }, 'model=of-resource team=search'],
    [{ model: '' }, 'none'],
    [{ model: '', 'app.team': 7.5 }, 'team=7.5'],
    [{ model: false, 'app.team': 0 }, 'model=false team=0'],
    [{ model: 'a b+c-d=e.f_g:h/i@j' }, 'model=a b+c-d=e.f_g:h/i@j'],
  ]
  const { points, report } = read(
    mapper,
    cases.map(([attributes]) => attributes),
    { model: 'of-resource' },
  )
  assert.deepEqual(
    points.map(told),
    cases.map(([, tags]) => tags),
  )
  assert.deepEqual(report.doubtful, [])
  assert.deepEqual(
    [...new Set(points.map(({ account }) => untaggedAccount(account).key))],
    [`p,${ACCOUNT}`],
    'all of one customer',
  )
})

test('the same tags of a customer are one account and tally in an hour, and the same series in the next', () => {
  const mapper = new UsageMapper(optionsWith(['model']))
  mapper.beginHour(0)
  const models = [{ model: 'a' }, { model: 'b' }, { model: 'a' }, {}]
  const [a, b, again, none] = read(mapper, models).points
  assert.ok(a !== undefined && b !== undefined && again !== undefined && none !== undefined)
  assert.equal(again.account, a.account)
  assert.equal(again.tally, a.tally)
  assert.notEqual(b.account.key, a.account.key)
  assert.equal(none.account.tags, undefined)
  mapper.beginHour(0)
  assert.equal(read(mapper, [{ model: 'a' }]).points[0]?.account, a.account)
  mapper.beginHour(3_600_000)
  const [later] = read(mapper, [{ model: 'a' }]).points
  assert.notEqual(later?.tally, a.tally)
  assert.deepEqual(later?.account, a.account)
})

test('a value that is no tag of AWS’s leaves usage without that tag, and is told once', () => {
  const mapper = new UsageMapper(optionsWith(MODEL_AND_TEAM))
  const values = ['größe', 'a\nb', 'a&b', 'x'.repeat(257), ['a'], '😀']
  const { points, report } = read(
    mapper,
    values.map(model => ({ model, 'app.team': 'search' })),
  )
  assert.deepEqual(
    points.map(told),
    values.map(() => 'team=search'),
  )
  assert.deepEqual(report.doubtful, [
    {
      ...{ reason: 'tag-value', metric: 'tokens', points: values.length },
      message:
        "tokens has points whose model is no tag's value: 1 to 256 letters (a to z), digits, spaces and + - = . _ : / @. " +
        'Their usage is billed without that tag. Record such a text, or name another ' +
        "attribute in the dimension's allocations.",
    },
  ])
  assert.equal(report.rejected, 0)
  assert.equal(read(mapper, [{ model: 'x'.repeat(256) }]).report.doubtful.length, 0)
})

test('what a dimension does not allocate, and usage without a customer, have no tags', () => {
  const mapper = new UsageMapper(optionsWith(['model']))
  const accounts: string[] = []
  const mapping = mapper.begin({}, (account, { name }) => {
    accounts.push(`${name} ${account.kind} ${tagsOf(account)?.length ?? 'none'}`)
    return undefined
  })
  mapping.metric('app', 'tokens', '1', undefined)
  mapping.point({ ...CUSTOMER, model: 'a' }, 1, undefined)
  mapping.point({ model: 'a' }, 1, undefined)
  assert.deepEqual(accounts, [
    'tokens customer 1',
    'calls customer none',
    'tokens unattributed none',
    'calls unattributed none',
  ])
})

test('two sources of one customer are told whatever each is for', () => {
  const dimensions = {
    tokens: { unit: '1', from: [{ metric: 'a' }, { metric: 'b' }], allocations: ['model'] },
  }
  const mapper = new UsageMapper({ productCode: 'p', dimensions })
  const mapping = mapper.begin({}, () => undefined)
  for (const metric of ['a', 'b']) {
    mapping.metric('app', metric, '1', undefined)
    for (const model of ['small', 'large']) mapping.point({ ...CUSTOMER, model }, 1, undefined)
  }
  assert.equal(mapping.report.twoSources.length, 1)
})

test('what the SDK’s limit has cut off has lost its tags, and says so', () => {
  const dimensions = { tokens: { unit: '1', from: { metric: 'tokens' }, allocations: ['model'] } }
  const customer = { accountId: { value: ACCOUNT } }
  const mapper = new UsageMapper({ productCode: 'p', customer, dimensions })
  const found: unknown[] = []
  const mapping = mapper.begin({ model: 'of-resource' }, account => void found.push(tagsOf(account)))
  mapping.metric('app', 'tokens', '1', undefined)
  mapping.point({ 'otel.metric.overflow': true }, 1, undefined)
  assert.deepEqual(found, [undefined])
  assert.deepEqual(
    mapping.report.doubtful.map(({ reason }) => reason),
    ['tags-lost'],
  )
})

test('billingViews keep what tags are read from', async () => {
  const options = optionsWith(MODEL_AND_TEAM)
  const { meter, collect } = measure({ views: billingViews(options, { attributes: 'needed' }) })
  const counter = meter().createCounter('tokens', { unit: '1' })
  for (const user of ['x', 'y']) counter.add(1, { ...CUSTOMER, model: 'a', 'app.team': 'b', user })
  const amounts: string[] = []
  new UsageMapper(options).map(await collect(), (account, { name }, amount) => {
    amounts.push(`${name} ${tagsOf(account)} ${amount}`)
  })
  assert.deepEqual(amounts, ['tokens model,a,team,b 2000000', 'calls undefined 2000000'])
})

test('100,000 tag sets in an hour leave 2,500 apart, and all of their usage billed', async () => {
  const mapper = new UsageMapper(optionsWith(['request']))
  const batches: { account: CustomerAccount; amount: bigint }[] = []
  const ledger = { append: async ({ entries }: { entries: never[] }) => void batches.push(...entries) }
  const writer = new UsageWriter(ledger as unknown as Ledger)
  let doubts = 0
  const hour = (n: number) => {
    mapper.beginHour(n * 3_600_000)
    // In collections, as they come.
    for (let first = 0; first < 100_000; first += 5000) {
      const attributes = Array.from({ length: 5000 }, (_, index) => ({ request: `${n}-${first + index}` }))
      const { points, report } = read(mapper, attributes)
      for (const { account, amount, tally } of points) writer.add(account, 'tokens', n * 3_600_000, amount, tally)
      doubts += report.doubtful.find(({ reason }) => reason === 'too-many-tag-sets')?.points ?? 0
    }
  }
  hour(0)
  await writer.flush()
  assert.equal(batches.length, 2501)
  assert.equal(
    batches.reduce((sum, { amount }) => sum + amount, 0n),
    100_000_000_000n,
  )
  assert.equal(batches.find(({ account }) => account.tags === undefined)?.amount, 97_500_000_000n)
  assert.equal(doubts, 97_500)
  hour(1)
  assert.equal(writer.unwritten().length, 2501)
  assert.equal(doubts, 195_000)
  // While no ledger takes it, no more is kept, however long that is.
  hour(2)
  assert.equal(writer.unwritten().length, 2501)
  await writer.flush()
  assert.equal(
    batches.reduce((sum, { amount }) => sum + amount, 0n),
    300_000_000_000n,
  )
})
