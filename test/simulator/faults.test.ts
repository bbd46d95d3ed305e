import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { BatchMeterUsageRequest, MeteringClient } from '../../src/marketplace/client.ts'
import {
  FAULT_KINDS,
  type Fault,
  type FaultKind,
  MarketplaceSimulator,
  parseFault,
  simulatorClient,
} from '../../src/simulator/index.ts'
import {
  ACCOUNT,
  batch,
  LICENCE,
  licensed,
  NOW,
  OTHER_ACCOUNT,
  PRODUCT,
  record,
  refusedAs,
  running,
  statuses,
} from './support.ts'

const RECORDS = Array.from({ length: 10 }, (_, n) => record({ Dimension: `d${n}` }))
/** As the package's own metering code calls it. */
const REQUEST = batch(...RECORDS) as BatchMeterUsageRequest

/** What the AWS SDK throws, and a caller in the process, and how many records are billed. */
const INTERRUPTIONS: Partial<Record<FaultKind, { name?: string; code?: string; status?: number; billed: number }>> = {
  throttling: { name: 'ThrottlingException', status: 400, billed: 0 },
  'internal-error': { name: 'InternalServiceErrorException', status: 500, billed: 0 },
  'internal-error-after': { name: 'InternalServiceErrorException', status: 500, billed: 10 },
  reset: { code: 'ECONNRESET', billed: 0 },
  'reset-after': { code: 'ECONNRESET', billed: 10 },
  html: { name: 'SyntaxError', status: 502, billed: 0 },
  'html-after': { name: 'SyntaxError', status: 504, billed: 10 },
  truncated: { name: 'SyntaxError', status: 200, billed: 10 },
  'expired-credentials': { name: 'ExpiredTokenException', status: 400, billed: 0 },
  'access-denied': { name: 'AccessDeniedException', status: 400, billed: 0 },
  'unrecognized-client': { name: 'UnrecognizedClientException', status: 400, billed: 0 },
  'region-disabled': { name: 'DisabledApiException', status: 400, billed: 0 },
}

for (const [kind, { name, code, status, billed }] of Object.entries(INTERRUPTIONS)) {
  test(`${kind}: over the wire and in the process, ${billed} of 10 records are billed`, async t => {
    const { sdk, simulator } = await running(t)
    const inProcess: MeteringClient = simulatorClient(simulator)
    const clients: MeteringClient[] = [sdk(), inProcess]
    for (const client of clients) {
      simulator.faults.add({ kind: kind as FaultKind, next: 1 })
      const before = simulator.billed({ region: 'us-east-1' }).length
      await assert.rejects(client.batchMeterUsage(REQUEST), (error: unknown) => {
        const thrown = error as { name: string; code?: string; $metadata?: { httpStatusCode?: number } }
        if (name !== undefined) assert.equal(thrown.name, name)
        if (code !== undefined) assert.equal(thrown.code, code)
        assert.equal(thrown.$metadata?.httpStatusCode, status)
        return true
      })
      assert.equal(simulator.billed().length - before, client === inProcess ? 0 : billed)
      // The fault was for one request. What was taken is answered for with the same ids.
      assert.deepEqual(statuses(await client.batchMeterUsage(REQUEST)), Array(10).fill('Success'))
      assert.equal(simulator.billed().length, 10)
    }
    assert.deepEqual(simulator.counters.faults, { [kind]: 2 })
    assert.deepEqual(simulator.faults.list(), [])
  })
}

test('empty: an answer without lists, though the records were taken', async t => {
  const { sdk, simulator } = await running(t, { faults: [{ kind: 'empty', rate: 1 }] })
  const answer = await sdk().batchMeterUsage(batch(record()))
  assert.equal(answer.Results, undefined)
  assert.equal(answer.UnprocessedRecords, undefined)
  assert.equal(simulator.billed().length, 1)
})

test('unprocessed: a share of the records comes back in the other list, not billed', async t => {
  const { sdk, simulator } = await running(t)
  simulator.faults.add({ kind: 'unprocessed', next: 1 })
  const answer = await sdk().batchMeterUsage(batch(...RECORDS))
  const back = answer.UnprocessedRecords ?? []
  assert.ok(back.length > 0 && back.length < 10, `${back.length} of 10`)
  assert.equal(back.length + (answer.Results?.length ?? 0), 10)
  for (const each of back) assert.ok(RECORDS.some(sent => sent.Dimension === each.Dimension))
  assert.equal(simulator.billed().length, 10 - back.length)
  assert.equal(simulator.counters.records.unprocessed, back.length)
  simulator.faults.add({ kind: 'unprocessed', next: 1, share: 1 })
  assert.equal((await sdk().batchMeterUsage(batch(...RECORDS))).UnprocessedRecords?.length, 10)
  simulator.faults.add({ kind: 'unprocessed', next: 1, share: 0 })
  assert.equal((await sdk().batchMeterUsage(batch(...RECORDS))).UnprocessedRecords?.length, 1, 'one always does')
})

test('missing: a share of the records is in neither list, though it was taken', async t => {
  const { sdk, simulator } = await running(t)
  simulator.faults.add({ kind: 'missing', next: 1 })
  const answer = await sdk().batchMeterUsage(batch(...RECORDS))
  const answered = answer.Results?.length ?? 0
  assert.ok(answered > 0 && answered < 10, `${answered} of 10`)
  assert.deepEqual(answer.UnprocessedRecords, [])
  assert.equal(simulator.billed().length, 10)
})

test('shuffled: all results, in another order', async t => {
  const { sdk, simulator } = await running(t)
  simulator.faults.add({ kind: 'shuffled', next: 1 })
  const answer = await sdk().batchMeterUsage(batch(...RECORDS))
  const dimensions = answer.Results?.map(result => result.UsageRecord?.Dimension) ?? []
  const sent = RECORDS.map(each => each.Dimension)
  assert.notDeepEqual(dimensions, sent)
  assert.deepEqual(dimensions.toSorted(), sent)
})

test('latency: the answer is late, the records are not', async t => {
  const waits: number[] = []
  let release = () => {}
  const waiting = new Promise<void>(resolve => {
    release = resolve
  })
  let asked = () => {}
  const reached = new Promise<void>(resolve => {
    asked = resolve
  })
  const delay = (milliseconds: number) => {
    waits.push(milliseconds)
    asked()
    return waiting
  }
  const { sdk, simulator } = await running(t, { delay, faults: [{ kind: 'latency', next: 1, milliseconds: 250 }] })
  const answer = sdk().batchMeterUsage(batch(record()))
  await reached
  assert.equal(simulator.billed().length, 1)
  release()
  assert.deepEqual(statuses(await answer), ['Success'])
  assert.deepEqual(waits, [250])

  simulator.faults.add({ kind: 'latency', next: 1 })
  const client = simulatorClient(simulator, { delay })
  assert.deepEqual(statuses(await client.batchMeterUsage(batch(record()))), ['Success'])
  assert.deepEqual(waits, [250, 1000])
})

test('latency: a caller that gives up does not know that its records were taken', async t => {
  let asked = () => {}
  const reached = new Promise<void>(resolve => {
    asked = resolve
  })
  const { sdk, simulator } = await running(t, {
    delay: (_, signal) => {
      asked()
      return new Promise((_resolve, reject) => signal?.addEventListener('abort', () => reject(signal.reason)))
    },
    faults: [{ kind: 'latency', rate: 1, milliseconds: 60_000 }],
  })
  const giveUp = new AbortController()
  const answer = sdk().batchMeterUsage(batch(record()), { abortSignal: giveUp.signal })
  await reached
  giveUp.abort()
  await assert.rejects(answer, { name: 'AbortError' })
  assert.equal(simulator.billed().length, 1)

  const inProcess = new AbortController()
  const second = simulatorClient(simulator).batchMeterUsage(batch(record({ Dimension: 'b' })), {
    abortSignal: inProcess.signal,
  })
  inProcess.abort()
  await assert.rejects(second, { name: 'AbortError' })
  assert.equal(simulator.billed().length, 2)
  await assert.rejects(
    simulatorClient(simulator).batchMeterUsage(batch(record({ Dimension: 'c' })), { abortSignal: inProcess.signal }),
    { name: 'AbortError' },
  )
  assert.equal(simulator.billed().length, 2, 'a call that was never made takes nothing')
})

test('a rate is a rate, and the same seed repeats the run', () => {
  const outcomes = (seed: number) => {
    const simulator = new MarketplaceSimulator({ now: () => NOW, quota: null, seed })
    simulator.faults.add({ kind: 'throttling', rate: 0.2 })
    simulator.faults.add({ kind: 'unprocessed', rate: 0.5 })
    return Array.from({ length: 1000 }, () => {
      try {
        const { Results, UnprocessedRecords } = simulator.batchMeterUsage(batch(...RECORDS))
        return `${Results.length} ${UnprocessedRecords.map(each => each.Dimension)}`
      } catch (error) {
        return (error as Error).name
      }
    })
  }
  const first = outcomes(1)
  const throttled = first.filter(outcome => outcome === 'ThrottlingException').length
  assert.ok(throttled > 150 && throttled < 250, `${throttled} of 1000`)
  assert.deepEqual(outcomes(1), first)
  assert.notDeepEqual(outcomes(2), first)
})

test('a fault for the next requests ends by itself, one with a rate goes on until it is cleared', () => {
  const simulator = new MarketplaceSimulator({ now: () => NOW, quota: null })
  const names = (count: number) =>
    Array.from({ length: count }, () => {
      try {
        simulator.batchMeterUsage(batch(record()))
        return 'ok'
      } catch (error) {
        return (error as Error).name
      }
    })
  simulator.faults.add({ kind: 'throttling', next: 2 })
  simulator.faults.add({ kind: 'access-denied', rate: 1 })
  // A request meets one of those that hide the answer; the other waits its turn.
  assert.deepEqual(names(4), [
    'ThrottlingException',
    'ThrottlingException',
    'AccessDeniedException',
    'AccessDeniedException',
  ])
  simulator.faults.clear('throttling')
  assert.deepEqual(names(1), ['AccessDeniedException'])
  simulator.faults.clear('access-denied')
  assert.deepEqual(names(1), ['ok'])
})

test('a fault can be for a time, by the simulator’s clock', () => {
  const simulator = new MarketplaceSimulator({ now: () => NOW, quota: null })
  simulator.faults.add({ kind: 'throttling', rate: 1, from: new Date(NOW + 1000), to: '2026-06-10T12:30:02Z' })
  const throttled = [0, 999, 1000, 1999, 2000].map(milliseconds => {
    simulator.clock.set(NOW + milliseconds)
    const request = batch(record())
    return simulator.answer('BatchMeterUsage', request, { region: 'us-east-1', accessKeyId: 'A' }).type === 'error'
  })
  assert.deepEqual(throttled, [false, false, true, true, false])
  assert.throws(() => simulator.faults.add({ kind: 'reset', rate: 1, from: 'noon' }), /^.*fault\.from: .*"noon"/)
})

test('a fault can be for one region, product, dimension or customer', async t => {
  const { sdk, simulator } = await running(t, {
    catalogue: { customers: [{ accountId: ACCOUNT, subscriptions: [{ product: PRODUCT, licenseArn: LICENCE }] }] },
  })
  const meets = async (
    fault: Omit<Fault, 'kind'>,
    request: ReturnType<typeof batch> | { UsageRecords: [] },
    region?: string,
  ) => {
    simulator.faults.clear()
    simulator.faults.add({ kind: 'throttling', rate: 1, ...fault } as Fault)
    return sdk(region === undefined ? {} : { region })
      .batchMeterUsage(request)
      .then(
        () => false,
        (error: Error) => error.name === 'ThrottlingException',
      )
  }
  const request = batch(record())
  assert.equal(await meets({ region: 'eu-west-1' }, request), false)
  assert.equal(await meets({ region: 'eu-west-1' }, request, 'eu-west-1'), true)
  assert.equal(await meets({ product: PRODUCT }, request), true)
  assert.equal(await meets({ product: 'prod-other' }, request), false)
  const byLicence = { UsageRecords: [licensed()] } as never
  assert.equal(await meets({ product: PRODUCT }, byLicence), true, 'by the licence’s product')
  assert.equal(await meets({ customer: LICENCE }, byLicence), true)
  assert.equal(await meets({ dimension: 'tokens' }, request), true)
  assert.equal(await meets({ dimension: 'requests' }, request), false)
  assert.equal(await meets({ customer: ACCOUNT }, request), true)
  assert.equal(await meets({ customer: OTHER_ACCOUNT }, request), false)
  assert.equal(await meets({ customer: ACCOUNT, dimension: 'requests' }, request), false)
})

test('unprocessed and missing meet only the records they are meant for', async t => {
  const { sdk, simulator } = await running(t)
  simulator.faults.add({ kind: 'unprocessed', rate: 1, share: 1, dimension: 'd3' })
  simulator.faults.add({ kind: 'missing', rate: 1, share: 1, dimension: 'd4' })
  const answer = await sdk().batchMeterUsage(batch(...RECORDS))
  assert.deepEqual(answer.UnprocessedRecords, [RECORDS[3]])
  assert.equal(answer.Results?.length, 8)
})

test('nonsense in the process is refused as on the wire', () => {
  const simulator = new MarketplaceSimulator({ now: () => NOW, faults: [{ kind: 'missing', rate: 1 }] })
  for (const request of [null, undefined, 'x', []]) {
    assert.throws(() => simulator.batchMeterUsage(request as never), { name: 'SerializationException' })
  }
  assert.throws(() => simulator.resolveCustomer(null as never), { name: 'ValidationException' })
})

test('a fault hides a refusal as well, and ResolveCustomer meets faults too', async t => {
  const { sdk, simulator } = await running(t)
  simulator.faults.add({ kind: 'reset-after', next: 1 })
  await assert.rejects(sdk().batchMeterUsage(batch(record({ Dimension: '' }))), { code: 'ECONNRESET' })
  simulator.faults.add({ kind: 'truncated', next: 1 })
  await assert.rejects(sdk().batchMeterUsage(batch(record({ Dimension: '' }))), refusedAs('ValidationException'))
  simulator.faults.add({ kind: 'throttling', next: 1 })
  await assert.rejects(sdk().resolveCustomer({ RegistrationToken: 't' }), refusedAs('ThrottlingException'))
})

test('the AWS SDK with its own retries comes through resets without billing twice', async t => {
  const { url, simulator } = await running(t)
  const { MarketplaceMetering } = await import('@aws-sdk/client-marketplace-metering')
  const client = new MarketplaceMetering({
    endpoint: url,
    region: 'us-east-1',
    credentials: { accessKeyId: 'AKID', secretAccessKey: 'secret' },
    maxAttempts: 3,
    retryStrategy: {
      mode: 'standard',
      acquireInitialRetryToken: async () => token(0),
      refreshRetryTokenForRetry: async (previous: { getRetryCount(): number }) => token(previous.getRetryCount() + 1),
      recordSuccess: () => {},
    } as never,
  })
  t.after(() => client.destroy())
  simulator.faults.add({ kind: 'reset-after', next: 2 })
  const answer = await client.batchMeterUsage(batch(record()))
  assert.deepEqual(statuses(answer), ['Success'])
  assert.equal(answer.$metadata.attempts, 3)
  assert.equal(simulator.billed().length, 1)
})

const token = (count: number) => ({ getRetryCount: () => count, getRetryDelay: () => 0 })

test('faults that make no sense are refused', () => {
  const { faults } = new MarketplaceSimulator()
  const refused = (fault: unknown, message: RegExp) =>
    assert.throws(() => faults.add(fault as Fault), { code: 'ERR_SIMULATOR_CONFIGURATION', message })
  refused({ kind: 'nonsense', rate: 1 }, /^fault\.kind: .*throttling.* received "nonsense"/)
  refused({ kind: 'reset' }, /either rate or next/)
  refused({ kind: 'reset', rate: 1, next: 1 }, /either rate or next/)
  refused({ kind: 'reset', rate: 1.5 }, /^fault\.rate: .*<=1 but received 1\.5/)
  refused({ kind: 'reset', next: 0 }, /^fault\.next: /)
  refused({ kind: 'reset', rate: 1, regoin: 'x' }, /^fault\.regoin: /)
  refused('reset', /^fault: .*Object but received "reset"/)
})

test('a fault is read from a command line', () => {
  const kinds = FAULT_KINDS.map(kind => parseFault(`${kind}=0.25`))
  assert.deepEqual(
    kinds.map(({ kind, rate }) => [kind, rate]),
    FAULT_KINDS.map(kind => [kind, 0.25]),
  )
  assert.equal(parseFault('latency:250=0.5').milliseconds, 250)
  for (const text of ['', 'reset', 'reset=', 'reset=2', 'nonsense=1', 'reset=1.2.3']) {
    assert.throws(() => parseFault(text), { code: 'ERR_SIMULATOR_CONFIGURATION', message: /^fault/ }, text)
  }
})
