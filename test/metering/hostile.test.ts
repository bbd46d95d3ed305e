import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { BatchMeterUsageRequest, BatchMeterUsageResult, UsageRecord } from '../../src/marketplace/client.ts'
import {
  answering,
  awsError,
  Bench,
  customer,
  HOUR,
  identified,
  licensed,
  MINUTE,
  rejecting,
  successes,
} from './support.ts'

type Spoil = (request: BatchMeterUsageRequest) => unknown
const throwing = (name: string) =>
  Object.defineProperty({}, name, {
    enumerable: true,
    get() {
      throw awsError('ThrottlingException')
    },
  })
const [a, b, c] = [customer(1), customer(2), customer(3)]
const each = (request: BatchMeterUsageRequest, spoil: (record: UsageRecord) => unknown) => ({
  Results: request.UsageRecords.map(UsageRecord => ({ UsageRecord: spoil(UsageRecord), Status: 'Success' })),
})

/** Answers of which nothing can be told of any record. */
const nonsense: [string, Spoil][] = [
  ['nothing', () => undefined],
  ['null', () => null],
  ['a text', () => 'OK'],
  ['a number', () => 200],
  ['lists that are texts', () => ({ Results: 'Success', UnprocessedRecords: 'none' })],
  ['lists that are objects', request => ({ Results: { ...successes(request).Results, length: 3 } })],
  ['lists that are null', () => ({ Results: null, UnprocessedRecords: null })],
  ['entries that are null', () => ({ Results: [null, undefined, null], UnprocessedRecords: [null] })],
  ['entries that are texts', () => ({ Results: ['Success', 'Success', 'Success'] })],
  ['results without their records', () => ({ Results: [1, 2, 3].map(() => ({ Status: 'Success' })) })],
  ['results of null records', request => each(request, () => null)],
  [
    'an unknown status',
    request => ({ Results: successes(request).Results.map(one => ({ ...one, Status: 'Accepted' })) }),
  ],
  [
    'a status in lower case',
    request => ({ Results: successes(request).Results.map(one => ({ ...one, Status: 'success' })) }),
  ],
  [
    'a status that is an object',
    request => ({ Results: successes(request).Results.map(one => ({ ...one, Status: ['Success'] })) }),
  ],
  ['a changed quantity', request => each(request, record => ({ ...record, Quantity: record.Quantity + 1 }))],
  ['a quantity that is a text', request => each(request, record => ({ ...record, Quantity: String(record.Quantity) }))],
  [
    'another hour',
    request => each(request, record => ({ ...record, Timestamp: new Date(record.Timestamp.getTime() - HOUR) })),
  ],
  ['times as texts', request => each(request, record => ({ ...record, Timestamp: record.Timestamp.toISOString() }))],
  ['another dimension', request => each(request, record => ({ ...record, Dimension: 'tokens' }))],
  ['another account', request => each(request, record => ({ ...record, CustomerAWSAccountId: '999999999999' }))],
  ['without the account', request => each(request, ({ CustomerAWSAccountId: _, ...record }) => record)],
  ['every result twice', request => ({ Results: [...successes(request).Results, ...successes(request).Results] })],
  [
    'two statuses for each',
    request => ({
      Results: request.UsageRecords.flatMap(UsageRecord =>
        ['Success', 'DuplicateRecord'].map(Status => ({ UsageRecord, Status })),
      ),
    }),
  ],
  ['both lists', request => ({ ...successes(request), UnprocessedRecords: request.UsageRecords })],
  ['a list that throws', () => throwing('Results')],
  ['a status that throws', () => ({ Results: [throwing('Status')] })],
  ['metadata that throws', request => Object.assign(throwing('$metadata'), successes(request))],
  ['a quantity that is not JSON', request => each(request, record => ({ ...record, Quantity: 1n }))],
  ['an error as its answer', () => awsError('ThrottlingException')],
]

for (const [what, spoil] of nonsense) {
  test(`${what}: in doubt, reported, and the identical records again`, async t => {
    const bench = new Bench(t, { send: answering(async request => spoil(request) as BatchMeterUsageResult) })
    await bench.use([a, b, c], 2)
    await bench.pass()
    assert.ok((await bench.records()).every(record => record.state === 'pending' && record.inDoubt))
    const [report] = bench.eventsOf('nonsense')
    assert.ok(report !== undefined && report.message.length > 0 && report.message.length < 500)
    assert.deepEqual(bench.faults(), ['ok'], 'a request is reported once')
    await bench.passes(3, 20 * MINUTE)
    await bench.assertAllBilled()
    assert.deepEqual(
      bench.sent.slice(1).flatMap(({ request }) => request.UsageRecords),
      bench.sent[0]?.request.UsageRecords,
    )
  })
}

test('thousands of results that nobody asked for, each with a status of its own: those asked for count', async t => {
  const bench = new Bench(t, {
    send: send => async (request, options) => {
      const { Results = [] } = await send(request, options)
      const extra = Array.from({ length: 5000 }, (_, index) => ({
        UsageRecord: { ...request.UsageRecords[0], Dimension: `other-${index}` } as UsageRecord,
        Status: index % 2 === 0 ? 'Success' : `status-${index}`,
      }))
      return { Results: [...extra, ...Results] }
    },
  })
  await bench.use([a, b, c], 2)
  await bench.pass()
  await bench.assertAllBilled()
  assert.ok((bench.eventsOf('nonsense')[0]?.message.length ?? 0) < 500)
})

test('an id that is not a text is left out, and the ledger can write the answer', async t => {
  for (const id of [7, 7n, {}, [], null, true, Symbol('id'), '']) {
    const bench = new Bench(t, {
      send: send => async (request, options) => {
        const { Results = [] } = await send(request, options)
        return { Results: Results.map(one => ({ ...one, MeteringRecordId: id as string })) }
      },
    })
    await bench.use([a, b, c], 2)
    await bench.pass()
    await bench.assertAllBilled()
  }
})

test('errors that are no errors: in doubt, and the ledger can write them down', async t => {
  const errors = [
    undefined,
    null,
    'ThrottlingException',
    7n,
    Symbol('error'),
    Object.create(null),
    throwing('name'),
    throwing('code'),
    throwing('$metadata'),
    { toString: () => ({}) },
    Object.assign(new Error('x'), { name: Symbol('name') }),
    { name: ['ThrottlingException'] },
    new Error('a\0b\u{d800}\n'.repeat(1000)),
  ]
  for (const error of errors) {
    const bench = new Bench(t, { send: answering(rejecting(error)) })
    await bench.use([a, b, c], 2)
    await bench.pass()
    for (const record of await bench.records()) {
      assert.ok(record.state === 'pending' && record.inDoubt)
      assert.ok(record.lastAnswer !== undefined && record.lastAnswer.length <= 300)
    }
    await bench.passes(3, 20 * MINUTE)
    await bench.assertAllBilled()
  }
})

test('a client that throws instead of rejecting', async t => {
  const bench = new Bench(t, {
    send: answering(() => {
      throw awsError('ThrottlingException')
    }),
  })
  await bench.use([a, b, c], 2)
  await bench.pass()
  assert.deepEqual(bench.faults(), ['throttled'])
  await bench.passes(2, 20 * MINUTE)
  await bench.assertAllBilled()
})

test('a client that changes what it was given does not change what is sent again', async t => {
  const bench = new Bench(t, {
    send: answering(async request => {
      for (const record of request.UsageRecords) Object.assign(record, { Quantity: 1e6, Timestamp: new Date(0) })
      throw awsError('InternalServiceErrorException')
    }),
  })
  await bench.use([a, b, c], 2)
  await bench.pass()
  await bench.passes(3, 20 * MINUTE)
  await bench.assertAllBilled()
  assert.equal(bench.billed(), 6)
})

const members = fc.record(
  {
    CustomerAWSAccountId: fc.constantFrom('100000000001', '', null, 7),
    CustomerIdentifier: fc.constantFrom('customer-1', '', null),
    LicenseArn: fc.constantFrom('', null, 'arn'),
    Dimension: fc.constantFrom('requests', 'tokens', null),
    Quantity: fc.constantFrom(3, '3', 2, null, -1, Number.NaN),
    Timestamp: fc.constantFrom(new Date(0), '2026-06-10T11:59:59Z', 1_781_092_799, null, new Date(Number.NaN)),
  },
  { requiredKeys: [] },
)
/** How one result is made of the record that was sent at `index`. */
const result = fc.record({
  index: fc.nat(3),
  changes: fc.oneof({ weight: 4, arbitrary: fc.constant({}) }, members),
  status: fc.oneof(
    { weight: 4, arbitrary: fc.constant('Success') },
    fc.constantFrom('DuplicateRecord', 'CustomerNotSubscribed', 'unprocessed', 'Failed', undefined, null, 3),
  ),
  junk: fc.option(fc.anything(), { freq: 8, nil: undefined }),
})

/** Whether all that was sent comes again, its time to the hour. */
function isAbout(answered: Partial<UsageRecord>, { Timestamp, ...sent }: UsageRecord): boolean {
  const hour = (time: unknown) => (time instanceof Date ? Math.floor(time.getTime() / HOUR) : Number.NaN)
  const same = Object.entries(sent).every(([name, value]) => answered[name as keyof UsageRecord] === value)
  return same && hour(answered.Timestamp) === hour(Timestamp)
}

test('whatever comes back, a record is metered only after one Success for exactly it', async t => {
  await fc.assert(
    fc.asyncProperty(fc.array(result, { maxLength: 8 }), async results => {
      let proven = new Set<unknown>()
      const bench = new Bench(t, {
        send: () => async request => {
          const { UsageRecords } = request
          const Results: unknown[] = []
          const UnprocessedRecords: unknown[] = []
          const about = new Map<string, unknown[]>(UsageRecords.map(record => [JSON.stringify(record), []]))
          for (const { index, changes, status, junk } of results) {
            if (junk !== undefined) {
              Results.push(junk)
              continue
            }
            const record = { ...UsageRecords[index % UsageRecords.length], ...changes } as UsageRecord
            if (status === 'unprocessed') UnprocessedRecords.push(record)
            else Results.push({ UsageRecord: record, Status: status })
            // An empty member is as good as none.
            const whole = Object.fromEntries(
              Object.entries(record).filter(([, value]) => value !== '' && value !== null),
            )
            const asked = UsageRecords.find(sent => isAbout(whole, sent))
            if (status !== 'Failed' && typeof status === 'string' && asked !== undefined) {
              about.get(JSON.stringify(asked))?.push(status)
            }
          }
          proven = new Set(
            UsageRecords.filter(record => about.get(JSON.stringify(record))?.join() === 'Success').map(
              record => record.LicenseArn ?? record.CustomerAWSAccountId ?? record.CustomerIdentifier,
            ),
          )
          return { Results, UnprocessedRecords } as BatchMeterUsageResult
        },
        cycle: { concurrency: 1 },
      })
      await bench.use([customer(1), customer(2), identified(1), identified(2)], 3)
      await bench.cycle.pass()
      for (const { account, state } of await bench.records()) {
        const id = account.licenseArn ?? account.accountId ?? account.customerIdentifier
        assert.equal(state === 'metered', proven.has(id))
      }
      for (const line of await bench.ledger.statement())
        assert.equal(line.recorded, line.metered + line.pending + line.held + line.balance)
    }),
    { numRuns: 200 },
  )
})

const fault = fc.constantFrom(
  ...(['throttling', 'internal-error', 'internal-error-after', 'reset', 'reset-after', 'html', 'truncated'] as const),
  ...(['empty', 'expired-credentials', 'unprocessed', 'missing', 'shuffled', 'region-disabled'] as const),
)
const step = fc.record({
  use: fc.array(fc.tuple(fc.nat(5), fc.integer({ min: 1, max: 5000 }), fc.integer({ min: 0, max: 3 })), {
    maxLength: 6,
  }),
  fault: fc.option(fault),
  wait: fc.constantFrom(1000, MINUTE, 20 * MINUTE, HOUR, 7 * HOUR),
  crash: fc.boolean(),
})

test('through any faults and crashes, the books agree with the bill', async t => {
  const accounts = [customer(1), customer(2), identified(3), licensed(4), licensed(5, 'prod-b'), customer(1, 'prod-b')]
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 8 }), fc.nat(), async (steps, seed) => {
      const bench = new Bench(t, { simulator: { seed } })
      for (const { use, fault, wait, crash } of steps) {
        for (const [who, thousandths, hoursAgo] of use) {
          await bench.use(accounts[who] ?? accounts, thousandths / 1000, { hoursAgo })
        }
        if (fault !== null) bench.simulator.faults.add({ kind: fault, next: 2 })
        if (crash) bench.cycle = bench.newCycle()
        bench.now += wait
        await bench.pass()
      }
      bench.simulator.faults.clear()
      await bench.passes(4, HOUR)
      assert.equal((await bench.states()).pending, undefined)
    }),
    { numRuns: 40 },
  )
})
