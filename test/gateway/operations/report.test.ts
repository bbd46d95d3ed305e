import assert from 'node:assert/strict'
import { test } from 'node:test'
import { problemsOf } from '../../../src/cli/report/status.ts'
import type { LaneTrouble } from '../../../src/gateway/operations/activity.ts'
import { type HeadlineFacts, headlineOf } from '../../../src/gateway/operations/headline.ts'
import type { HourReport } from '../../../src/gateway/operations/hours.ts'
import { Readiness } from '../../../src/gateway/operations/readiness.ts'
import { StatusReader, type StatusReport } from '../../../src/gateway/operations/report.ts'
import { Splits } from '../../../src/gateway/operations/splits.ts'
import type { DimensionReport } from '../../../src/gateway/operations/totals.ts'
import type { RecordEntry } from '../../../src/ledger/ledger.ts'
import { openLoss } from '../../../src/ledger/loss.ts'
import { lossFinding } from '../../../src/metering/loss.ts'
import { gravity } from '../../../src/metering/preflight/finding.ts'
import { Supply } from '../../../src/metering/supply.ts'
import { formatAmount } from '../../../src/usage/amount.ts'
import { customer, HOUR, licensed, MINUTE, NOW, PRODUCT, REQUESTS, TOKENS } from '../../metering/support.ts'
import { CUSTOMERS, GPU, restored, Scene, trouble } from './support.ts'

const hourOf = (hours: readonly HourReport[], time: number) =>
  hours.find(({ hour }) => Date.parse(hour) === Math.floor(time / HOUR) * HOUR) as HourReport

/** That each total is the ledger's own. */
async function assertTotals({ bench }: Scene, { totals }: StatusReport): Promise<void> {
  const lines = await bench.ledger.statement()
  for (const dimension of totals.dimensions) {
    const own = lines.filter(line => line.dimension.name === dimension.name)
    for (const figure of ['recorded', 'metered', 'pending', 'held', 'balance'] as const) {
      const sum = own.reduce((total, line) => total + line[figure], 0n)
      assert.equal(dimension[figure].amount, formatAmount(sum), `${figure} of ${dimension.name}`)
    }
    assert.deepEqual([dimension.series, dimension.difference, dimension.breaches], [own.length, '0', 0])
  }
}

test('what went well: every figure is the ledger’s, every hour has its counts', async t => {
  const scene = await Scene.start(t)
  await scene.business()
  const report = await scene.status()
  await assertTotals(scene, report)
  assert.deepEqual(
    report.totals.dimensions.map(({ name, unit, size }) => [name, unit, size]),
    [
      ['tokens', '1,000 token', '1000'],
      ['requests', 'request', '1'],
      ['gpu-hours', 'h', '3600'],
    ],
  )
  assert.equal(report.headline.level, 'good')
  assert.deepEqual(report.headline.details, [
    'AWS has taken all that was due, up to the hour 10 Jun, 11:00. The present hour is closed at 10 Jun, 13:05.',
  ])
  assert.deepEqual([report.held, report.customers, report.unattributed, report.heldRecords], [[], [], [], 0])

  const records = await scene.bench.records()
  assert.equal(report.hours.length, 48)
  for (const { hour, state, ...counts } of report.hours.slice(0, -1)) {
    const own = records.filter(record => record.hour === Date.parse(hour))
    assert.equal(state, 'closed')
    assert.equal(counts.frozen, own.length)
    assert.deepEqual([counts.sent, counts.metered, counts.pending, counts.held], [own.length, own.length, 0, 0])
  }
  assert.equal(hourOf(report.hours, NOW - 3 * HOUR).frozen, 15)
  const { hour, state, closesAt, frozen } = report.hours.at(-1) as HourReport
  assert.deepEqual([hour, state, closesAt], ['2026-06-10T12:00:00.000Z', 'open', '2026-06-10T13:05:00.000Z'])
  assert.equal(frozen, 0)
  const { lastReceivedAt, lagSeconds, points, records: metered, lastPass } = report.activity
  assert.deepEqual([lastReceivedAt, lagSeconds], ['2026-06-10T12:19:00.000Z', 4])
  assert.equal(points.at(-1), CUSTOMERS.length * 20)
  assert.equal(
    metered.reduce((sum, count) => sum + count),
    15,
  )
  assert.equal(lastPass?.endedAt, '2026-06-10T12:19:00.000Z')
})

test('what the last two days were for: each tag by its values, and the rest', async t => {
  const scene = await Scene.start(t)
  await scene.business()
  const { splits } = await scene.status()
  const since = NOW - (NOW % HOUR) - 47 * HOUR
  const records = (await scene.bench.records()).filter(({ hour, dimension }) => hour >= since && dimension === 'tokens')
  const units = (tag: string, value: string) =>
    records
      .flatMap(({ allocations = [] }) => allocations)
      .filter(([, tags]) => tags?.some(([key, own]) => key === tag && own === value))
      .reduce((sum, [quantity]) => sum + quantity, 0)
  const all = records.reduce((sum, { quantity }) => sum + quantity, 0)
  const [large, small, team] = [units('model', 'large'), units('model', 'small'), units('team', '//=+ @:-._')]
  assert.ok(large > 10_000 && small > large && small === team)
  const amount = (quantity: number) => String(quantity * 1000)
  assert.deepEqual(
    splits.map(({ dimension, tag, all, values, rest }) => [
      ...[dimension, tag, all.amount],
      ...[values.map(({ value, amount }) => [value, amount]), rest.amount],
    ]),
    [
      [
        'tokens',
        'model',
        amount(all),
        [
          ['small', amount(small)],
          ['large', amount(large)],
        ],
        amount(all - small - large),
      ],
      ['tokens', 'team', amount(all), [['//=+ @:-._', amount(team)]], amount(all - team)],
    ],
  )
})

test('more values of a tag than are shown are with the rest, and what returned is not there', () => {
  const record = (values: number, state: RecordEntry['state'] = 'metered') =>
    ({
      ...{ dimension: 'tokens', state, quantity: 2 * values, size: TOKENS.size },
      allocations: Array.from({ length: values }, (_, n) => [n < 10 ? 2 : 1, [['key', `k${n}`]]]),
    }) as unknown as RecordEntry
  const hours = [Splits.of([record(500), record(5, 'returned')]), Splits.of([record(500)])]
  const [split, ...others] = Splits.sum(hours).report(new Map([['tokens', TOKENS]]))
  assert.deepEqual(others, [])
  assert.deepEqual(
    [split?.all.quantity, split?.values.map(({ quantity }) => quantity), split?.rest.quantity],
    ['2,000', Array(10).fill('4'), '1,960'],
  )
})

test('after a restore: what may have been billed since the backup, and how a part of it is settled', async t => {
  const { held } = await (await restored(t)).status()
  const [group, ...others] = held
  assert.deepEqual([group?.cause, group?.records, others], ['restored', 1, []])
  assert.match(group?.means ?? '', /what AWS billed since the backup for the customer and dimension/)
  assert.doesNotMatch(group?.means ?? '', /the answer never came/)
  const [shown] = group?.shown ?? []
  assert.deepEqual([shown?.customer, shown?.quantity.amount, shown?.attempts], ['100000000001', '2880', 0])
  assert.deepEqual(
    group?.commands.map(({ command }) => command),
    [
      'reconcile --cloudtrail',
      'reconcile --cloudtrail --caller <arn> --settle --dry-run',
      ...['--billed', '--billed --quantity <units>', '--not-billed'].map(
        outcome => `settle ${shown?.id} ${outcome} --why "…"`,
      ),
    ].map(command => `marketplace-meter ${command} --ledger /data/ledger.sqlite`),
  )
})

test('what went wrong: held records with the commands, who waits the longest, what has no customer', async t => {
  const scene = await trouble(t)
  const report = await scene.status()
  await assertTotals(scene, report)
  assert.equal(report.headline.level, 'trouble')
  assert.equal(report.headline.title, 'AT RISK: Usage of 5 h ago has not been billed.')
  assert.deepEqual(report.headline.details, [
    'Records of the hour 10 Jun, 07:00 have no final answer from AWS yet. AWS takes it until 11 Jun, 07:00, in 19 h. ' +
      'At stake: 14 records (6,209 × 1,000 tokens, 290 requests, 5 hours).',
    'Check credentials: the role has expired: renew it.',
    'prod-inference in us-east-1, since 10 Jun, 08:10: AWS cannot be reached (Error: connect ECONNREFUSED ' +
      '10.1.2.3:443). Usage stays in the ledger and is sent again by itself.',
    'Nothing is lost, but a person has to decide about 50 held records and usage without a customer: what to do is below.',
  ])
  const held = await scene.bench.ledger.records({ state: 'held', limit: 1000 })
  assert.deepEqual(
    report.held.map(({ cause, records, commands }) => [cause, records, commands[0]?.command]),
    [
      // Two are of a customer that is not subscribed, whose refusals do not tell of the attempt before.
      [...['in-doubt', 3], 'marketplace-meter reconcile --cloudtrail --ledger /data/ledger.sqlite'],
      [...['not-subscribed', 45], 'marketplace-meter agreements --customer <customer> --ledger /data/ledger.sqlite'],
      ['refused', 1, `marketplace-meter release ${idOf(held, 'refused')} --why "…" --ledger /data/ledger.sqlite`],
      [
        'over-maximum',
        1,
        `marketplace-meter release ${idOf(held, 'over-maximum')} --why "…" --ledger /data/ledger.sqlite`,
      ],
    ],
  )
  const over = report.held.at(-1)?.shown[0]
  assert.deepEqual(
    [over?.customer, over?.dimension, over?.quantity, over?.unit, over?.attempts, over?.lastAnswer],
    [
      customer(4).accountId,
      'requests',
      { amount: '2000129', quantity: '2,000,129', words: '2,000,129 requests' },
      'request',
      0,
      undefined,
    ],
  )
  assert.equal(report.heldRecords, held.length)

  // The first waits since the day before; all wait for AWS to be back.
  assert.deepEqual(
    report.customers.map(one => [one.customer, one.oldestHour, one.takenUntil, one.pending > 0, one.held]),
    [
      [customer(3).accountId, '2026-06-09T15:00:00.000Z', '2026-06-11T07:00:00.000Z', true, 1],
      [customer(2).accountId, '2026-06-09T16:00:00.000Z', '2026-06-11T07:00:00.000Z', true, 45],
      [customer(1).accountId, '2026-06-10T00:00:00.000Z', '2026-06-11T07:00:00.000Z', true, 3],
      [customer(4).accountId, '2026-06-10T02:00:00.000Z', '2026-06-11T07:00:00.000Z', true, 1],
      ['100000000005', '2026-06-10T07:00:00.000Z', '2026-06-11T07:00:00.000Z', true, 0],
    ],
  )
  const pending = await scene.bench.ledger.records({ state: 'pending', limit: 1000 })
  assert.equal(report.pendingRecords, pending.length)
  for (const hour of report.hours) {
    const own = (state: RecordEntry['state']) => (record: RecordEntry) =>
      record.state === state && record.hour === Date.parse(hour.hour)
    assert.equal(hour.pending, pending.filter(own('pending')).length, hour.hour)
    assert.equal(hour.held, held.filter(own('held')).length, hour.hour)
  }

  assert.equal(report.unattributedCount, 2)
  assert.deepEqual(
    report.unattributed.map(({ reason, dimension, quantity }) => [reason, dimension, quantity.quantity]),
    [
      ['malformed-customer', 'tokens', '12.5'],
      ['no-customer', 'tokens', '12.5'],
    ],
  )
  assert.match(report.unattributed[0]?.account ?? '', /^u-[0-9a-f]{8}$/)
  assert.match(report.unattributedCommands[0]?.command ?? '', /^marketplace-meter attribute <account> <dimension> /)
})

const idOf = (held: readonly RecordEntry[], reason: string) => held.find(record => record.reason === reason)?.id

test('a ledger that is new has nothing to tell, and says so', async t => {
  const scene = await Scene.start(t, { dimensions: [TOKENS, GPU] })
  const report = await scene.status()
  assert.equal(report.headline.level, 'empty')
  assert.deepEqual(
    report.totals.dimensions.map(({ name, series, recorded }) => [name, series, recorded.quantity]),
    [
      ['tokens', 0, '0'],
      ['gpu-hours', 0, '0'],
    ],
  )
  assert.deepEqual([report.closedThrough, report.oldestPending, report.activity.lastPass], [null, null, null])
})

/** A reader of the scene's ledger, and what it asks of it. */
function reading(scene: Scene) {
  const { ledger } = scene.bench
  const asked: string[] = []
  const limits: number[] = []
  const now = () => scene.bench.now
  const reader = new StatusReader({
    ledger: {
      status: () => {
        asked.push('status')
        return ledger.status()
      },
      statement: query => {
        asked.push('statement')
        return ledger.statement(query)
      },
      records: query => {
        asked.push('records')
        limits.push(query?.limit ?? Number.POSITIVE_INFINITY)
        return ledger.records(query)
      },
      audit: query => {
        asked.push('audit')
        return ledger.audit(query)
      },
      agreements: () => ledger.agreements(),
      answers: () => ledger.answers(),
      included: () => ledger.included(),
    },
    dimensions: [TOKENS],
    activity: scene.activity,
    supply: new Supply(now),
    readiness: new Readiness([], { now }),
    now,
    closeDelay: 5 * MINUTE,
  })
  const count = () => {
    const counts = Object.groupBy(asked.splice(0), name => name)
    return [counts.status?.length ?? 0, counts.statement?.length ?? 0, counts.records?.length ?? 0]
  }
  return { reader, count, limits }
}

test('however many look, and for long: what is asked of the ledger is little and bounded', async t => {
  const scene = await Scene.start(t)
  await scene.business()
  const { reader, count, limits } = reading(scene)
  await Promise.all(Array.from({ length: 50 }, () => reader.read()))
  assert.deepEqual(count(), [1, 1, 49], 'status, totals, held records and 48 hours')
  await reader.read()
  assert.deepEqual(count(), [0, 0, 0])
  scene.bench.now += 5 * MINUTE
  await reader.read()
  assert.deepEqual(count(), [1, 1, 2], 'of the hours only the open one is counted again')
  scene.bench.now += 10 * MINUTE
  await reader.read()
  assert.deepEqual(count(), [1, 1, 49])
  assert.ok(Math.max(...limits) <= 1001)
})

test('an hour of more records than are counted says so, and what is held of it is seen nevertheless', async t => {
  const scene = await Scene.start(t, { bench: { now: NOW } })
  const { bench } = scene
  await bench.ledger.register([{ ...REQUESTS, maxQuantity: 100 }, TOKENS])
  const first = scene.use(customer(0), REQUESTS, 101)
  await scene.append([
    first,
    ...Array.from({ length: 1200 }, (_, number) => scene.use(customer(1 + number), REQUESTS, 3)),
  ])
  bench.now += HOUR
  await scene.pass()
  const { reader } = reading(scene)
  const { hours, customers, pendingRecords, heldRecords } = await reader.read()
  const hour = hourOf(hours, NOW)
  assert.deepEqual([hour.frozen, hour.sent, hour.held, hour.more], [1000, 1000, 1, true])
  assert.deepEqual([pendingRecords, heldRecords, customers.length], [0, 1, 1])
})

test('hours are open, then about to be closed, then overdue, then closed', async t => {
  const scene = await Scene.start(t, { bench: { now: NOW } })
  await scene.bench.use(customer(1), 5)
  await scene.pass()
  const states = async () => (await scene.status()).hours.slice(-3).map(({ state }) => state)
  assert.deepEqual(await states(), ['closed', 'closed', 'open'])
  scene.bench.now += 50 * MINUTE
  assert.deepEqual(await states(), ['closed', 'closing', 'open'])
  scene.bench.now += 15 * MINUTE
  assert.deepEqual(await states(), ['closed', 'late', 'open'])
  await scene.pass()
  scene.bench.now += MINUTE
  assert.deepEqual(await states(), ['closed', 'closed', 'open'])
  // A clock that is ahead closes hours that are to come. When it is set right they are not over.
  const right = scene.bench.now + MINUTE
  scene.bench.now += 5 * HOUR
  await scene.pass()
  scene.bench.now = right
  assert.equal((await states()).at(-1), 'open')
})

const CALM: HeadlineFacts = {
  commandOf: command => `marketplace-meter ${command}`,
  now: NOW,
  closeDelay: 5 * MINUTE,
  dryRun: false,
  status: { pending: [], held: [], unattributed: [], waiting: [], notCounted: {}, closedThrough: NOW - 70 * MINUTE },
  totals: {
    at: NOW,
    dimensions: new Map(),
    reports: [
      { ...({} as DimensionReport), recorded: { amount: '5', quantity: '5', words: '5 requests' }, breaches: 0 },
    ],
    overflows: [],
    unattributed: [],
    unattributedCount: 0,
    agreements: new Map(),
    customers: new Map(),
  },
  troubles: [],
  lastPass: undefined,
  alarms: [],
  refusedEndpoints: [],
  unknown: [],
  supplyAlarms: [],
  supply: new Supply(() => NOW).figures(),
  checks: [],
}
const figure = { dimension: 'tokens', records: 2, quantity: 5n, amount: 5n }
const trouble1: LaneTrouble = {
  ...{ product: 'prod', region: 'us-east-1', fault: 'throttled', message: 'Rate exceeded', since: NOW },
}

for (const [level, title, change] of [
  ['good', 'Everything that was measured is billed or on its way.', {}],
  ['good', 'Everything that was measured is billed or on its way.', { status: { ...CALM.status, pending: [figure] } }],
  ['attention', 'This is a dry run: nothing is sent to AWS.', { dryRun: true }],
  // Its records wait on purpose.
  [
    'attention',
    'This is a dry run: nothing is sent to AWS.',
    { dryRun: true, status: { ...CALM.status, oldestPendingHour: NOW - 26 * HOUR } },
  ],
  ['attention', 'All but 2 held records.', { status: { ...CALM.status, held: [{ ...figure, reason: 'refused' }] } }],
  [
    'attention',
    'All but usage without a customer.',
    { status: { ...CALM.status, unattributed: [{ dimension: 'tokens', amount: 1n }] } },
  ],
  [
    'good',
    'Everything that was measured is billed or on its way.',
    { status: { ...CALM.status, unattributed: [{ dimension: 'tokens', amount: 0n }] } },
  ],
  [
    'attention',
    'Several processes count under one name.',
    {
      alarms: [
        { verdict: 'shared-identity', at: NOW - MINUTE },
        { verdict: 'clock-ahead', at: NOW },
      ],
      status: { ...CALM.status, unattributed: [{ dimension: 'tokens', amount: 1n }] },
    },
  ],
  [
    'attention',
    'More is billed in an hour than is usual.',
    { quantityAlert: { at: NOW - MINUTE, who: 'metering', why: 'more', action: 'above-alert', detail: 'record 1: 9' } },
  ],
  [
    'attention',
    'A process would send records elsewhere than the others.',
    {
      refusedEndpoints: [
        { ...{ region: 'eu-west-1', endpoint: 'localhost', expected: 'aws' }, at: NOW, systemUser: 'me@laptop' },
      ],
    },
  ],
  [
    'attention',
    'All of it is kept, but what contracts include is not known now.',
    {
      unknown: [
        {
          ...{ product: 'prod', dimension: 'tokens', per: 'term', entitlement: 'c', since: NOW - 7 * HOUR },
          unknown: { after: 6 * HOUR, outcome: 'hold' },
        },
      ],
    },
  ],
  ['attention', 'All of it is kept, but sending to AWS does not succeed now.', { troubles: [trouble1] }],
  [
    'attention',
    'All of it is kept, but the last metering pass failed.',
    { lastPass: { endedAt: NOW, milliseconds: 5, error: 'LedgerError: locked' } },
  ],
  [
    'attention',
    'Usage is taken, but something is wrong.',
    { checks: [{ name: 'credentials', state: 'warning', message: 'expired' }] },
  ],
  ['trouble', 'AT RISK: Usage cannot be taken now.', { checks: [{ name: 'disk', state: 'failed', message: 'full' }] }],
  [
    'trouble',
    'AT RISK: No hour has been closed since 10 Jun, 08:00.',
    { status: { ...CALM.status, closedThrough: Date.UTC(2026, 5, 10, 8) } },
  ],
  [
    'trouble',
    'AT RISK: Usage of 26 h ago has not been billed.',
    // Also where something less urgent is found first.
    { troubles: [trouble1], status: { ...CALM.status, oldestPendingHour: NOW - 26 * HOUR } },
  ],
  [
    'trouble',
    'The ledger does not add up.',
    { totals: { ...CALM.totals, reports: [{ ...({} as DimensionReport), breaches: 1 }] } },
  ],
] as const satisfies readonly (readonly [string, string, Partial<HeadlineFacts>])[]) {
  test(`headline: ${title} (${Object.keys(change).join()})`, () => {
    const headline = headlineOf({ ...CALM, ...change })
    assert.deepEqual([headline.level, headline.title], [level, title])
    assert.ok(headline.details.length > 0 && headline.details.every(detail => detail.endsWith('.')))
  })
}

test('more than AWS takes in an hour is told, with how many hours it will take, until it is over', async t => {
  const scene = await Scene.start(t)
  const { bench } = scene
  const most = 2_147_483_647
  // Two hours are over at the first pass.
  await bench.use(customer(1), 3.5 * most)
  await bench.use(customer(2), 5 * most)
  await bench.use(customer(3), most)
  const told = async () => {
    bench.now += HOUR
    await scene.pass()
    return (await scene.status()).headline
  }
  const first = await told()
  assert.equal(first.level, 'attention')
  assert.equal(first.title, 'Not in time: more of requests is used than AWS takes.')
  assert.deepEqual(first.details, [
    'More of requests is used than AWS takes: a record has 2,147,483,647 units at most, and one customer has one record an ' +
      'hour. 2 customers are behind; of the furthest 6,442,450,941 requests wait for the next 3 hours, and what is used ' +
      'meanwhile comes on top; with that much in every hour it never ends. Sell a larger unit, under a new dimension with ' +
      'a larger "per".',
  ])
  const second = await told()
  assert.match(second.details.join(), /an hour\. 4,294,967,294 requests wait for the next 2 hours/)
  assert.deepEqual([(await told()).level, (await told()).level], ['good', 'good'])
})

test('units are words, of one and of several, and tell dimensions apart that count alike', async t => {
  const scene = await Scene.start(t, { bench: { now: NOW, send: () => () => Promise.reject(new Error('away')) } })
  const counted = (name: string, unit: string, size = 1n) =>
    ({ name, unit, baseUnit: '1', size: size * 1_000_000n }) as const
  const sold = [
    ...[counted('a', '{query}'), counted('b', '{batch}'), counted('c', '{characters}', 1000n), counted('d', '1')],
    ...[GPU, { ...GPU, name: 'cpu-hours' }, { ...GPU, name: 'minutes', unit: 'min', size: 60_000_000n }],
    ...[
      { name: 'gb', unit: 'GBy', baseUnit: 'By', size: 10n ** 15n } as const,
      counted('e', '{h}'),
      counted('f', '{key}'),
    ],
  ]
  await scene.bench.ledger.register(sold)
  await scene.append(sold.map((dimension, index) => scene.use(customer(1), dimension, index % 2 === 0 ? 1 : 1_234_567)))
  scene.bench.now += HOUR
  await scene.pass()
  const { totals, customers, oldestPending } = await scene.status()
  const units = new Map(totals.dimensions.map(({ name, units }) => [name, units]))
  assert.deepEqual(
    sold.map(({ name }) => units.get(name)),
    ['queries', 'batches', '1,000 characters', 'units', 'hours', 'hours', 'minutes', 'GB', 'h', 'keys'],
  )
  const words = [
    ...['1 query', '1,234,567 batches', '1 × 1,000 characters', '1,234,567 units', '1 hour of gpu-hours'],
    ...['1,234,567 hours of cpu-hours', '1 minute', '1,234,567 GB', '1 h', '1,234,567 keys'],
  ]
  assert.deepEqual((customers[0]?.usage ?? []).map(({ text }) => text).sort(), words.toSorted())
  assert.match(oldestPending?.atStake.text ?? '', /^10 records \(1 hour of gpu-hours, 1 query, 1,234,567 batches, /)
})

test('what is at stake next: all of the same deadline, at a month’s end of many hours, and no more than is known', async t => {
  const away = { send: () => () => Promise.reject(Object.assign(new Error('connect'), { syscall: 'connect' })) }
  const stake = async (scene: Scene) => (await scene.status()).oldestPending
  const end = await Scene.start(t, { bench: { now: Date.UTC(2026, 5, 30, 21, 10), ...away } })
  for (const minutes of [60, 60, 60]) {
    await end.bench.use(customer(1), 5)
    end.bench.now += minutes * MINUTE
    await end.pass()
  }
  const { takenUntil, atStake } = (await stake(end)) as NonNullable<Awaited<ReturnType<typeof stake>>>
  assert.deepEqual([takenUntil, atStake.text], ['2026-07-01T06:00:00.000Z', '3 records (15 requests)'])

  const many = await Scene.start(t, { bench: { now: NOW, ...away } })
  const customers = Array.from({ length: 1001 }, (_, number) => customer(number))
  const hour = async () => {
    await many.bench.use(customers, 2)
    many.bench.now += HOUR
    await many.pass()
    return (await stake(many))?.atStake.text
  }
  assert.equal(await hour(), '1,001 records (2,002 requests)')
  assert.equal(await hour(), 'at least 1,000 of 2,002 pending records (at least 2,000 requests)')
  const sending = (await many.status()).hours.filter(({ pending }) => pending > 0)
  assert.deepEqual(
    sending.map(({ pending, more, morePending }) => [pending, more, morePending]),
    Array(2).fill([1000, true, true]),
  )
})

test('it is at risk where "status --check" exits with 2, and nowhere else', async t => {
  const scene = await Scene.start(t, {
    bench: {
      now: NOW,
      send: send => (request, init) => (away ? Promise.reject(new Error('away')) : send(request, init)),
    },
  })
  const { bench } = scene
  let away = false
  const by = { who: 'ops', why: 'a test' }
  const told = async () => {
    bench.now += MINUTE
    const [status, now] = [await bench.ledger.status(), bench.now]
    const entry = await openLoss(bench.ledger)
    const losses = entry === undefined ? [] : [lossFinding(entry, status)]
    const problems = problemsOf({
      now,
      status,
      losses,
      alarms: [],
      overflows: [],
      answers: await bench.ledger.answers(),
    })
    const { headline } = await scene.status()
    assert.equal(headline.atRisk, gravity(problems) === 2, headline.title)
    assert.equal(headline.title.startsWith('AT RISK: '), headline.atRisk)
    return headline.title
  }
  const titles = [await told()]
  await bench.use(customer(1), 5)
  await scene.pass()
  titles.push(await told())
  bench.now += 3 * HOUR
  titles.push(await told())
  await scene.pass()
  away = true
  await bench.use(customer(1), 5)
  await scene.pass()
  titles.push(await told())
  for (let hour = 0; hour < 4; hour++) {
    bench.now += HOUR
    await scene.pass()
  }
  titles.push(await told())
  away = false
  bench.now += HOUR
  await scene.pass()
  titles.push(await told())
  await bench.ledger.note({ ...by, action: 'lost', detail: 'writer a misses its batches from 3 on', now: bench.now })
  titles.push(await told())
  bench.now += 3 * HOUR
  titles.push(await told())
  assert.deepEqual(titles, [
    'Nothing has been measured yet.',
    'Everything that was measured is billed or on its way.',
    'AT RISK: No hour has been closed since 10 Jun, 11:00.',
    'Everything that was measured is billed or on its way.',
    'AT RISK: Usage of 4 h ago has not been billed.',
    'Everything that was measured is billed or on its way.',
    'The ledger has lost usage, and nothing is sent.',
    'AT RISK: The ledger has lost usage, and nothing is sent.',
  ])
})

test('a customer whose agreement has not ended and whom AWS refuses is told, until it is taken', async t => {
  const scene = await Scene.start(t)
  const { bench } = scene
  const account = licensed(1)
  const { accountId = '', licenseArn } = account
  const terms = { region: 'us-east-1', closeDelay: 5 * MINUTE, deadlineMargin: 5 * MINUTE }
  await bench.ledger.noteAgreement(
    account,
    { what: 'registered', at: bench.now - 2 * HOUR },
    { ...terms, now: bench.now },
  )
  // Declared elsewhere, so that this one is not known to AWS yet.
  bench.simulator.catalogue.declareCustomer({ accountId, subscriptions: [] })
  await bench.use(account, 4)
  await scene.pass()
  const { headline, agreements, customers } = await scene.status()
  assert.deepEqual(agreements, { registered: 1, active: 0, ended: 0, refused: 1 })
  assert.match(customers[0]?.agreement ?? '', /^registered since /)
  assert.equal(headline.title, 'AWS does not take usage of a customer with an agreement.')
  bench.simulator.catalogue.subscribe({ accountId, licenseArn, product: PRODUCT, at: bench.now - 2 * HOUR })
  bench.now += HOUR
  await scene.pass()
  assert.deepEqual((await scene.status()).agreements, { registered: 1, active: 0, ended: 0, refused: 0 })
  assert.equal(bench.billed(), 4)
})

test('what is held in great number for one cause hides no other', async t => {
  const scene = await Scene.start(t)
  const { bench } = scene
  const settleAll = async (type: 'refused' | 'not-subscribed') => {
    await bench.ledger.closeHours(bench.cycle.closeOptions)
    for (const lane of (await bench.ledger.due(bench.now)).lanes) {
      const records = await bench.ledger.claim(lane, { now: bench.now, limit: 2000, claimedUntil: bench.now })
      const settlements = records.map(record => ({ record, outcome: { type }, answer: '' }))
      await bench.ledger.settle(settlements, bench.now)
    }
  }
  await bench.use(customer(1), 5)
  await settleAll('refused')
  bench.now += HOUR
  await bench.use(
    Array.from({ length: 1001 }, (_, index) => customer(index)),
    5,
  )
  await settleAll('not-subscribed')
  const { held, heldRecords } = await scene.status()
  assert.equal(heldRecords, 1002)
  assert.deepEqual(
    held.map(({ cause, records, shown }) => [cause, records, shown.length]),
    [
      ['not-subscribed', 1001, 50],
      ['refused', 1, 0],
    ],
  )
})

test('a ledger that has lost commits: nothing is sent, and the headline says what to do, until it is declared restored', async t => {
  const scene = await Scene.start(t)
  const { ledger, simulator } = scene.bench
  await scene.business()
  const billed = () => simulator.totals().reduce((sum, { quantity }) => sum + quantity, 0)
  const before = billed()
  const note = {
    who: 'ledger',
    why: 'it is gone',
    detail: 'writer a misses its batches from 3 on',
    now: scene.bench.now,
  }
  await ledger.note({ ...note, action: 'lost' })
  await scene.append([scene.use(CUSTOMERS[0] as (typeof CUSTOMERS)[0], GPU, 2)])
  const { closedThrough } = await ledger.status()
  scene.bench.now += HOUR
  await scene.pass()
  const { headline } = await scene.status()
  assert.deepEqual([headline.level, headline.title], ['trouble', 'The ledger has lost usage, and nothing is sent.'])
  assert.match(
    headline.details[0] ?? '',
    /from 3 on\. AWS takes the oldest of it until 2\d{3}-.*declare-restored --why "…"$/,
  )
  assert.match(await (await scene.get('/metrics')).text(), /^marketplace_ledger_lost\S* 1$/m)
  assert.deepEqual([billed(), (await ledger.status()).closedThrough], [before, closedThrough])

  await ledger.declareRestored({ who: 'ops', why: 'it failed over', now: scene.bench.now })
  await scene.pass()
  scene.bench.now += MINUTE
  assert.doesNotMatch((await scene.status()).headline.title, /lost/)
  assert.match(await (await scene.get('/metrics')).text(), /^marketplace_ledger_lost\S* 0$/m)
})
