import assert from 'node:assert/strict'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { Gateway } from '../../src/gateway/gateway.ts'
import type { StatusReport } from '../../src/gateway/operations/report.ts'
import type { ServingOptions } from '../../src/gateway/options.ts'
import type { TokenSender } from '../../src/gateway/otlp/senders.ts'
import { HOUR, MINUTE } from '../../src/ledger/hours.ts'
import { SqliteLedger } from '../../src/ledger/sqlite/ledger.ts'
import { formatAmount } from '../../src/usage/amount.ts'
import { folder } from '../cli/support.ts'
import { encode, type Metric, nanoseconds, type Point } from '../counters/otlp.ts'

const DAY = 24 * HOUR
const START = Date.UTC(2026, 5, 10, 12, 10)
const [ALICE, BOB, CAROL] = ['200100100100', '200200200200', '200300300300'] as const
const COLLECTOR = 'token-of-the-collector'
const PARTNER = 'token-of-the-partner-'
const VIEWER = 'token-of-the-viewer--'

/** A real gateway with senders, on a clock that stands still until it is moved. */
class Post {
  now = START
  readonly ledger: SqliteLedger
  gateway = {} as Gateway

  private constructor(ledger: SqliteLedger) {
    this.ledger = ledger
  }

  static async open(t: TestContext, options: Partial<ServingOptions> = {}): Promise<Post> {
    const ledger = new SqliteLedger({ path: join(folder(t), 'ledger.sqlite') })
    const post = new Post(ledger)
    post.gateway = await Gateway.start({
      ...{ ledger, region: 'us-east-1', productCode: 'prod', http: { port: 0 }, now: () => post.now },
      dimensions: {
        tokens: { unit: '{token}', from: { metric: 'tokens' } },
        requests: { unit: '{request}', from: { metric: 'requests' } },
      },
      customer: ({ customer }) => (customer === undefined ? undefined : { accountId: String(customer) }),
      dryRun: true,
      senders: [
        { name: 'collector', token: COLLECTOR },
        {
          ...{ name: 'partner', token: PARTNER },
          ...{ customers: new Set([ALICE]), dimensions: new Set(['tokens']) },
        },
        { name: 'viewer', token: VIEWER, customers: new Set() },
      ],
      ...options,
    })
    t.after(async () => {
      await post.gateway.close()
      await ledger.close()
    })
    return post
  }

  /** The answer, in short. */
  async send(token: string | undefined, points: readonly Point[]): Promise<string> {
    const response = await fetch(`http://${this.gateway.addresses.http}/v1/metrics`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) },
      body: encode(points),
    })
    const { partialSuccess: { rejectedDataPoints, errorMessage } = {} } = (await response.json()) as {
      partialSuccess?: { rejectedDataPoints: string; errorMessage: string }
    }
    return `${response.status}${rejectedDataPoints === undefined ? '' : ` ${rejectedDataPoints}: ${errorMessage}`}`
  }

  point(customer: string | undefined, value: number, rest: Partial<Point> = {}): Point {
    const metric: Metric = { name: 'tokens', unit: '{token}', type: 'sum', temporality: 'delta' }
    return {
      ...{ resource: { 'service.name': 'chat' }, scope: { name: 'app' }, metric },
      attributes: customer === undefined ? {} : { customer },
      ...{ start: nanoseconds(this.now - MINUTE), time: nanoseconds(this.now), value, ...rest },
    }
  }

  async recorded(): Promise<Record<string, string>> {
    const lines = await this.ledger.statement()
    return Object.fromEntries(
      lines
        .filter(({ recorded }) => recorded > 0n)
        .map(({ account, dimension, recorded }) => [
          `${account.kind === 'customer' ? account.accountId : account.key} ${dimension.name}`,
          formatAmount(recorded),
        ]),
    )
  }
}

const REQUESTS: Metric = { name: 'requests', unit: '{request}', type: 'sum', temporality: 'delta' }
const TOTAL: Metric = { name: 'tokens', unit: '{token}', type: 'sum', temporality: 'cumulative' }

test('a sender bills what its token permits, and what it does not is refused point by point', async t => {
  const post = await Post.open(t)
  assert.equal(await post.send('token-of-nobody-at-all', [post.point(ALICE, 1)]), '401')
  assert.equal(await post.send(COLLECTOR, [post.point(BOB, 7), post.point(ALICE, 1, { metric: REQUESTS })]), '200')
  const answer = await post.send(PARTNER, [
    post.point(ALICE, 5),
    post.point(BOB, 100),
    post.point(ALICE, 200, { metric: REQUESTS, attributes: { customer: ALICE, model: 'b' } }),
    post.point(undefined, 3),
  ])
  assert.match(
    answer,
    /^200 2: tokens has usage of customers or of tokens that its sender may not bill\. .*listen\.tokens/,
  )
  assert.deepEqual(await post.recorded(), {
    [`${ALICE} tokens`]: '5',
    [`${BOB} tokens`]: '7',
    [`${ALICE} requests`]: '1',
    // A person decides whose it is.
    'prod,unattributed=no-customer,{} tokens': '3',
  })
})

test('who only looks bills nobody, not even by way of a person', async t => {
  const post = await Post.open(t)
  assert.match(await post.send(VIEWER, [post.point(ALICE, 5), post.point(undefined, 5)]), /^200 2: /)
  assert.deepEqual(await post.recorded(), {})
})

test('customers beyond what a sender has in a day are nobody’s until a person has looked', async t => {
  const post = await Post.open(t, { senders: [{ name: 'a', token: COLLECTOR, limits: { customers: 2 } }] })
  const all = [post.point(ALICE, 1), post.point(BOB, 2), post.point(CAROL, 4), post.point('200400400400', 8)]
  assert.equal(await post.send(COLLECTOR, all), '200')
  // What comes again counts once, and who was known goes on.
  assert.equal(await post.send(COLLECTOR, all), '200')
  post.now += MINUTE
  assert.equal(await post.send(COLLECTOR, [post.point(BOB, 16), post.point(CAROL, 32)]), '200')
  const beyond = 'prod,unattributed=sender-limit,{"sender":"a"} tokens'
  assert.deepEqual(await post.recorded(), { [`${ALICE} tokens`]: '1', [`${BOB} tokens`]: '18', [beyond]: '44' })
  post.now += DAY
  assert.equal(await post.send(COLLECTOR, [post.point(CAROL, 64)]), '200')
  assert.deepEqual((await post.recorded())[`${CAROL} tokens`], '64')
})

test('whatever their usage is for, a sender’s customers are counted and written down once', async t => {
  const limits = { customers: 1 }
  const post = await Post.open(t, {
    ...{ dimensions: { tokens: { unit: '{token}', from: { metric: 'tokens' }, allocations: ['model'] } } },
    senders: [
      { name: 'collector', token: COLLECTOR, limits },
      { name: 'partner', token: PARTNER, customers: new Set([ALICE]) },
    ],
  })
  const of = (customer: string, model: string, value: number, service = 'chat') =>
    post.point(customer, value, { attributes: { customer, model }, resource: { 'service.name': service } })
  const models = ['small', 'large', 'none'.repeat(100)]
  const answer = await post.send(
    COLLECTOR,
    models.map((model, n) => of(ALICE, model, n + 1)),
  )
  assert.match(answer, /^200 0: tokens has points whose model is no tag's value: /)
  assert.equal(await post.send(COLLECTOR, [of(BOB, 'small', 50)]), '200')
  assert.equal(await post.send(PARTNER, [of(ALICE, 'small', 4, 'cluster'), of(ALICE, 'other', 8)]), '200')
  assert.match(await post.send(PARTNER, [of(BOB, 'small', 100)]), /^200 1: /)
  const beyond = 'prod,unattributed=sender-limit,{"sender":"collector"} tokens'
  assert.deepEqual(await post.recorded(), { [`${ALICE} tokens`]: '18', [beyond]: '50' })
  const fed = await post.ledger.audit({ actions: ['fed'] })
  assert.deepEqual(fed.map(({ who, account }) => [who, account?.key]).sort(), [
    ['collector', `prod,${ALICE}`],
    ['partner', `prod,${ALICE}`],
  ])
  post.now += HOUR
  await post.ledger.closeHours({
    ...{ now: post.now, region: 'us-east-1', closeDelay: 5 * MINUTE, deadlineMargin: 5 * MINUTE },
  })
  const [record] = await post.ledger.records({ customer: ALICE })
  assert.deepEqual(record?.allocations, [
    [8, [['model', 'other']]],
    [5, [['model', 'small']]],
    [2, [['model', 'large']]],
    [3],
  ])
})

test('series beyond a day’s are nobody’s until a person has looked, and what they rise by later is the customer’s', async t => {
  const post = await Post.open(t, { senders: [{ name: 'a', token: COLLECTOR, limits: { series: 2 } }] })
  post.now += MINUTE
  const model = (model: string, value: number, rest: Partial<Point> = {}) =>
    post.point(ALICE, value, { attributes: { customer: ALICE, model }, ...rest })
  const started = { metric: TOTAL, start: nanoseconds(START) }
  const some = [model('a', 1), model('b', 2), model('c', 4), model('d', 8, started)]
  for (let time = 0; time < 2; time++) assert.equal(await post.send(COLLECTOR, some), '200')
  // A fifth is more than twice as many as it may have.
  assert.match(
    await post.send(COLLECTOR, [model('e', 16), model('a', 1)]),
    /^200 1: tokens has more than twice as many/,
  )
  const beyond = 'prod,unattributed=sender-limit,{"sender":"a"} tokens'
  assert.deepEqual(await post.recorded(), { [`${ALICE} tokens`]: '3', [beyond]: '12' })
  // What comes again with the next day's room counts once all the same.
  const late = [model('c', 4), model('d', 8, started)]
  post.now += DAY
  await post.send(COLLECTOR, late)
  post.now += MINUTE
  await post.send(COLLECTOR, [model('c', 5), model('d', 11, started)])
  assert.deepEqual(await post.recorded(), { [`${ALICE} tokens`]: String(3 + 5 + 3), [beyond]: '12' })
})

test('a backlog beyond the limits is kept whole, from the first request on', async t => {
  const post = await Post.open(t, { senders: [{ name: 'a', token: COLLECTOR, limits: { customers: 1 } }] })
  post.now += 10 * MINUTE
  const old = (customer: string, value: number) =>
    post.point(customer, value, { start: nanoseconds(START), time: nanoseconds(START + MINUTE) })
  await post.send(COLLECTOR, [old(ALICE, 1), old(BOB, 2), old(CAROL, 4)])
  const beyond = 'prod,unattributed=sender-limit,{"sender":"a"} tokens'
  assert.deepEqual(await post.recorded(), { [`${ALICE} tokens`]: '1', [beyond]: '6' })
})

test('a sender says nothing of counters whose customers it may not bill', async t => {
  const senders = [
    { name: 'collector', token: COLLECTOR },
    { name: 'partner', token: PARTNER, customers: new Set([ALICE]) },
  ]
  const post = await Post.open(t, { senders })
  const target = { 'service.name': 'chat', 'service.instance.id': 'chat:8000', 'url.scheme': 'http' }
  const scraped = (customer: string, value: number) =>
    post.point(customer, value, { resource: target, attributes: { customer }, metric: TOTAL, start: 0n })
  // As if the target went on, so that whoever comes to it counts from nothing.
  for (let minute = 1; minute <= 5; minute++) {
    post.now += MINUTE
    await post.send(PARTNER, [scraped(ALICE, minute)])
  }
  for (let minute = 1; minute <= 3; minute++) {
    post.now += MINUTE
    await post.send(PARTNER, [scraped(ALICE, 5 + minute)])
    await post.send(COLLECTOR, [scraped(BOB, 1_000_000 + 10 * minute)])
  }
  assert.equal((await post.recorded())[`${BOB} tokens`], '20')
})

const TARGET = { 'service.name': 'chat', 'service.instance.id': 'chat:8000', 'url.scheme': 'http' }

/** What two customers' counters of a scraped target say, each in a request of its own. */
class Target {
  readonly #post: Post
  readonly heights = { [ALICE]: 1000, [BOB]: 50_000 }

  constructor(post: Post) {
    this.#post = post
  }

  async scrape(tokens: readonly string[], rest: Partial<Point> = {}): Promise<void> {
    this.#post.now += MINUTE
    for (const customer of [ALICE, BOB] as const) {
      this.heights[customer] += 10
      for (const token of tokens) {
        const value = this.heights[customer]
        const own = { resource: TARGET, attributes: { customer }, metric: TOTAL, start: 0n, ...rest }
        await this.#post.send(token, [this.#post.point(customer, value, own)])
      }
    }
  }
}

const both = new Set([ALICE, BOB])
const from = nanoseconds(START - DAY)
for (const [what, rest] of [
  ['scraped', {}],
  ['with a start', { resource: { 'service.name': 'chat' }, start: from }],
] as const) {
  test(`a counter (${what}) stays the same when its sender's token or rights are changed`, async t => {
    const changes: [string, readonly TokenSender[], string][] = [
      ['another token', [{ name: 'two', token: PARTNER, customers: both }], PARTNER],
      ['customers added', [{ name: 'one', token: COLLECTOR, customers: new Set([...both, CAROL]) }], COLLECTOR],
      ['customers taken away', [{ name: 'one', token: COLLECTOR }], COLLECTOR],
    ]
    for (const [change, senders, token] of changes) {
      const post = await Post.open(t, { senders: [{ name: 'one', token: COLLECTOR, customers: both }] })
      const target = new Target(post)
      for (let scrape = 0; scrape < 4; scrape++) await target.scrape([COLLECTOR], rest)
      post.gateway.renew({ senders })
      for (let scrape = 0; scrape < 4; scrape++) await target.scrape([token], rest)
      // Seven rises of ten.
      assert.deepEqual(await post.recorded(), { [`${ALICE} tokens`]: '70', [`${BOB} tokens`]: '70' }, change)
    }
  })

  test(`a counter (${what}) that two restricted senders bring counts once`, async t => {
    const senders = [
      { name: 'one', token: COLLECTOR, customers: both },
      { name: 'two', token: PARTNER, customers: both },
    ]
    const post = await Post.open(t, { senders })
    const target = new Target(post)
    for (let scrape = 0; scrape < 5; scrape++) await target.scrape([COLLECTOR, PARTNER], rest)
    assert.deepEqual(await post.recorded(), { [`${ALICE} tokens`]: '40', [`${BOB} tokens`]: '40' })
  })
}

test('a customer who is added to a token is billed what is used from then on', async t => {
  const post = await Post.open(t, { senders: [{ name: 'one', token: COLLECTOR, customers: new Set([ALICE]) }] })
  const target = new Target(post)
  for (let scrape = 0; scrape < 4; scrape++) await target.scrape([COLLECTOR])
  post.gateway.renew({ senders: [{ name: 'one', token: COLLECTOR, customers: both }] })
  for (let scrape = 0; scrape < 4; scrape++) await target.scrape([COLLECTOR])
  assert.deepEqual(await post.recorded(), { [`${ALICE} tokens`]: '70', [`${BOB} tokens`]: '30' })
})

test('who comes near a day’s limits is told, before and when they are reached', async t => {
  const post = await Post.open(t, { senders: [{ name: 'a', token: COLLECTOR, limits: { customers: 5 } }] })
  const send = (customers: number) =>
    post.send(
      COLLECTOR,
      Array.from({ length: customers }, (_, index) => post.point(String(200_000_000_000 + index), 1)),
    )
  const status = async () => {
    const headers = { authorization: `Bearer ${COLLECTOR}` }
    return (
      await fetch(`http://${post.gateway.addresses.http}/status.json`, { headers })
    ).json() as Promise<StatusReport>
  }
  const told = async () => (await status()).headline.details.filter(detail => detail.includes('limits of its token'))
  await send(3)
  assert.deepEqual(await told(), [])
  await send(4)
  assert.match((await told())[0] ?? '', /^a has brought 4 of at most 5 customers today\. /)
  await send(9)
  post.now += MINUTE
  assert.match((await told())[0] ?? '', /^a has brought 5 of at most 5 customers today\. .*sender-limit/)
  assert.deepEqual((await status()).supply.senders, [
    { name: 'a', points: 16, lastAt: '2026-06-10T12:10:00.000Z', customers: 5, series: 9 },
  ])
  post.now += DAY
  assert.deepEqual(await told(), [])
})

test('whom a sender feeds is in the audit trail from its first point on', async t => {
  const post = await Post.open(t)
  await post.send(COLLECTOR, [post.point(ALICE, 1), post.point(BOB, 1)])
  post.now += DAY
  await post.send(COLLECTOR, [post.point(ALICE, 2)])
  await post.send(PARTNER, [post.point(ALICE, 2), post.point(CAROL, 2)])
  const entries = await post.ledger.audit({ actions: ['fed'] })
  assert.deepEqual(entries.map(({ who, account, at }) => [who, account?.key, at]).sort(), [
    ['collector', `prod,${ALICE}`, START],
    ['collector', `prod,${BOB}`, START],
    ['partner', `prod,${ALICE}`, START + DAY],
  ])
})

test('tokens are renewed while it runs, and wrong ones change nothing', async t => {
  const post = await Post.open(t)
  const others = [{ name: 'collector', token: 'another-token-of-it' }]
  post.gateway.renew({ senders: others })
  assert.equal(await post.send(COLLECTOR, [post.point(ALICE, 1)]), '401')
  assert.equal(await post.send('another-token-of-it', [post.point(ALICE, 2)]), '200')
  assert.throws(() => post.gateway.renew({ senders: [{ name: 'collector', token: 'short' }] }), {
    message: 'Invalid options: senders.0.token: expected a token of 16 or more visible ASCII characters',
  })
  assert.throws(() => post.gateway.renew({}), /expected some, as when it was started/)
  assert.equal(await post.send('another-token-of-it', [post.point(BOB, 2)]), '200')
})
