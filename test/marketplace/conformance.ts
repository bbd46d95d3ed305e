import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type TestContext, test } from 'node:test'
import type { UsageRecord } from '../../src/marketplace/client.ts'
import { type Fault, faultOf } from '../../src/metering/faults.ts'
import { FAULT_KINDS, type FaultKind, type ServerOptions, startSimulator } from '../../src/simulator/index.ts'
import { freePort } from '../free-port.ts'
import {
  Bench,
  customer,
  HOUR,
  identified,
  licensed,
  MINUTE,
  NOW,
  PRODUCT,
  REGION,
  TOKENS,
} from '../metering/support.ts'
import { type Client, type ClientOptions, CREDENTIALS, errorOf, serverThat } from './support.ts'

/** What is made of an error, but for whether AWS failed over it. */
function told(error: unknown): { fault: string; repeated: boolean } {
  const { fault, repeated } = faultOf(error)
  return { fault, repeated }
}

const ACCOUNT = '111122223333'
const LICENCE = 'arn:aws:license-manager::123456789012:license:l-00000000000000000000000000000001'

const record = (changes: Partial<UsageRecord> = {}): UsageRecord => ({
  Timestamp: new Date(NOW - HOUR),
  Dimension: 'tokens',
  Quantity: 5,
  CustomerAWSAccountId: ACCOUNT,
  ...changes,
})
const batch = (...UsageRecords: UsageRecord[]) => ({ ProductCode: PRODUCT, UsageRecords })

/** The faults of the simulator, as a client that tries once has to tell them. None where there is an answer. */
const FAULTS: Record<FaultKind, Fault | undefined> = {
  throttling: 'throttled',
  'internal-error': 'unknown',
  'internal-error-after': 'unknown',
  reset: 'unknown',
  'reset-after': 'unknown',
  html: 'unknown',
  'html-after': 'unknown',
  truncated: 'unknown',
  empty: undefined,
  'expired-credentials': 'configuration',
  'access-denied': 'configuration',
  'unrecognized-client': 'configuration',
  'region-disabled': 'configuration',
  unprocessed: undefined,
  missing: undefined,
  shuffled: undefined,
  latency: undefined,
}
/** Those that come when the records are already billed. */
const TAKEN: readonly FaultKind[] = ['internal-error-after', 'reset-after', 'html-after', 'truncated', 'empty']

/** Errors under AWS's names, and what each is to the cycle. */
const ERRORS: Record<string, Fault> = {
  TimestampOutOfBoundsException: 'timestamp',
  InvalidUsageDimensionException: 'refused',
  InvalidLicenseException: 'licence',
  InvalidCustomerIdentifierException: 'refused',
  InvalidTagException: 'refused',
  InvalidUsageAllocationsException: 'refused',
  ValidationException: 'refused',
  SerializationException: 'refused',
  ThrottlingException: 'throttled',
  TooManyRequestsException: 'throttled',
  InvalidProductCodeException: 'configuration',
  DisabledApiException: 'configuration',
  AccessDeniedException: 'configuration',
  UnrecognizedClientException: 'configuration',
  ExpiredTokenException: 'configuration',
  InvalidSignatureException: 'configuration',
  IncompleteSignatureException: 'configuration',
  MissingAuthenticationTokenException: 'configuration',
  OptInRequired: 'configuration',
  RequestExpired: 'configuration',
  InternalServiceErrorException: 'unknown',
  ServiceUnavailableException: 'unknown',
  SomethingNewException: 'unknown',
}

/** Letters of all sorts, what JSON, HTTP and HTML would have to escape, and what is no whole character. */
const ODD = [
  'ключ-ключ',
  'a"b\\c/d',
  'tab\tline\nend\r',
  '</script>&amp;',
  '😀 𝒳 e\u0301',
  '\u2028\u2029\u0000',
  '+ %2B%20 = ?&#',
  '__proto__',
  'constructor',
]

/**
 * What every client of AWS Marketplace Metering has to do for the metering cycle, over real HTTP against the simulator
 * with its signatures verified.
 *
 * @param newClient a client that tries once
 */
export function conformance(name: string, newClient: (test: TestContext, options: ClientOptions) => Client): void {
  async function running(t: TestContext, options: ServerOptions & Partial<ClientOptions> = {}) {
    const { credentials = CREDENTIALS, region, timeout, ...server } = options
    const running = await startSimulator({
      now: () => NOW,
      seed: 7,
      quota: null,
      verifySignatures: [CREDENTIALS],
      ...server,
    })
    t.after(() => running.close())
    const client = newClient(t, {
      endpoint: running.url,
      credentials,
      ...(region !== undefined && { region }),
      ...(timeout !== undefined && { timeout }),
    })
    return { client, simulator: running.simulator, url: running.url }
  }

  const at = (t: TestContext, endpoint: string, options: Partial<ClientOptions> = {}) =>
    newClient(t, { endpoint, credentials: CREDENTIALS, ...options })

  test(`${name}: all outcomes of a record, as AWS says them`, async t => {
    const { client, simulator } = await running(t)
    simulator.meterForeign(batch(record({ Quantity: 9 })))
    simulator.catalogue.unsubscribe({ accountId: '444455556666', at: NOW - 5 * HOUR })
    const records = [
      record(),
      record({ CustomerAWSAccountId: '444455556666' }),
      record({ Dimension: 'requests', Quantity: 0 }),
      record({ Dimension: 'requests', Quantity: 2_147_483_647, Timestamp: new Date(NOW - 2 * HOUR) }),
    ]
    const answer = await client.batchMeterUsage(batch(...records))
    const ids = simulator.billed({ dimension: 'requests' }).map(billed => billed.meteringRecordId)
    assert.deepEqual(
      answer.Results?.map(({ UsageRecord, ...said }) => said).map(said => said.Status),
      ['DuplicateRecord', 'CustomerNotSubscribed', 'Success', 'Success'],
    )
    assert.deepEqual(
      answer.Results?.map(result => result.UsageRecord),
      records,
    )
    assert.deepEqual(new Set(answer.Results?.slice(2).map(result => result.MeteringRecordId)), new Set(ids))
    assert.deepEqual(answer.UnprocessedRecords, [])
    assert.equal(answer.$metadata?.httpStatusCode, 200)
    assert.equal(answer.$metadata?.attempts ?? 1, 1)
  })

  test(`${name}: the same records again get the same answer`, async t => {
    const { client } = await running(t)
    const licences = {
      UsageRecords: [record({ LicenseArn: LICENCE }), record({ LicenseArn: LICENCE, Dimension: 'x' })],
    }
    const [first, second] = [await client.batchMeterUsage(licences), await client.batchMeterUsage(licences)]
    assert.deepEqual(second.Results, first.Results)
    assert.equal(first.Results?.[0]?.Status, 'Success')
  })

  test(`${name}: unprocessed records come back as they were sent`, async t => {
    const { client } = await running(t, { faults: [{ kind: 'unprocessed', next: 1, share: 1 }] })
    const records = [record(), record({ CustomerIdentifier: 'older', Dimension: 'requests' })].map(
      ({ CustomerAWSAccountId, ...rest }) =>
        rest.CustomerIdentifier ? rest : { ...rest, CustomerAWSAccountId: CustomerAWSAccountId as string },
    )
    const answer = await client.batchMeterUsage(batch(...records))
    assert.deepEqual(answer.UnprocessedRecords, records)
    assert.deepEqual(answer.Results, [])
  })

  test(`${name}: the region is the signature's`, async t => {
    const { client, simulator } = await running(t, { region: 'eu-central-1' })
    await client.batchMeterUsage(batch(record()))
    assert.equal(simulator.billed()[0]?.region, 'eu-central-1')
  })

  for (const kind of FAULT_KINDS) {
    test(`${name}: the fault ${kind} is ${FAULTS[kind] ?? 'an answer'}`, async t => {
      const { client, simulator } = await running(t, { delay: async () => {} })
      simulator.faults.add({ kind, next: 1, share: 1 })
      const sent = client.batchMeterUsage(batch(record(), record({ Dimension: 'requests' })))
      if (FAULTS[kind] === undefined) {
        const answer = await sent
        assert.equal(answer.Results?.length ?? 0, kind === 'shuffled' || kind === 'latency' ? 2 : 0)
      } else {
        const error = await errorOf(sent)
        assert.deepEqual(told(error), { fault: FAULTS[kind], repeated: false })
      }
      assert.equal(simulator.counters.requests, 1, 'one attempt')
      const billed = kind === 'unprocessed' || (FAULTS[kind] !== undefined && !TAKEN.includes(kind)) ? 0 : 2
      assert.equal(simulator.billed().length, billed)
    })
  }

  test(`${name}: every error has AWS's name, message and status, however it is wrapped`, async t => {
    const wrappings: ((error: string) => { headers?: Record<string, string>; body: object })[] = [
      error => ({ body: { __type: error, message: 'why' } }),
      error => ({ body: { __type: `com.amazonaws.marketplacemetering#${error}`, message: 'why' } }),
      error => ({ body: { message: 'why' }, headers: { 'x-amzn-errortype': `${error}:http://internal.amazon.com/` } }),
    ]
    let wrap = wrappings[0] as (typeof wrappings)[0]
    let [error, status] = ['', 400]
    const url = await serverThat(t, (_, response) => {
      const { headers, body } = wrap(error)
      response.writeHead(status, { 'content-type': 'application/x-amz-json-1.1', ...headers }).end(JSON.stringify(body))
    })
    const client = at(t, url)
    for (const wrapping of wrappings) {
      for (const [expected, fault] of Object.entries(ERRORS)) {
        wrap = wrapping
        error = expected
        status = fault === 'unknown' ? 500 : 400
        const thrown = await errorOf(client.batchMeterUsage(batch(record())))
        assert.equal(thrown.name, expected)
        assert.equal(thrown.message, 'why')
        assert.equal((thrown.$metadata as { httpStatusCode: number }).httpStatusCode, status)
        assert.deepEqual(told(thrown), { fault, repeated: false }, expected)
        assert.equal(faultOf(thrown).failedOver, status === 500, expected)
      }
    }
  })

  test(`${name}: the simulator's refusals`, async t => {
    const { client, simulator } = await running(t)
    simulator.catalogue.declareProduct({ code: PRODUCT, dimensions: ['tokens'] })
    const refusals: [string, Fault, Parameters<Client['batchMeterUsage']>[0]][] = [
      ['InvalidUsageDimensionException', 'refused', batch(record({ Dimension: 'unknown' }))],
      ['TimestampOutOfBoundsException', 'timestamp', batch(record({ Timestamp: new Date(NOW + HOUR) }))],
      ['InvalidProductCodeException', 'configuration', { ...batch(record()), ProductCode: 'another' }],
      ['ValidationException', 'refused', batch(...Array.from({ length: 26 }, () => record()))],
      ['ValidationException', 'refused', batch(record({ Dimension: 'x'.repeat(256) }))],
    ]
    for (const [expected, fault, request] of refusals) {
      const error = await errorOf(client.batchMeterUsage(request))
      assert.equal(error.name, expected)
      assert.deepEqual(told(error), { fault, repeated: false })
    }
    assert.deepEqual(simulator.billed(), [])
  })

  test(`${name}: odd characters are signed, sent and answered as they are`, async t => {
    const { client, simulator } = await running(t)
    const records = ODD.map(text => {
      const { CustomerAWSAccountId, ...rest } = record({ Dimension: text, CustomerIdentifier: text })
      return rest
    })
    const answer = await client.batchMeterUsage(batch(...records))
    assert.deepEqual(
      answer.Results?.map(({ UsageRecord, Status }) => ({ ...UsageRecord, Status })),
      records.map(one => ({ ...one, Status: 'Success' })),
    )
    assert.deepEqual(new Set(simulator.billed().map(billed => billed.customerIdentifier)), new Set(ODD))
  })

  test(`${name}: 25 of the longest records`, async t => {
    const { client, simulator } = await running(t)
    const long = (index: number, length: number) => String(index).padStart(length, '語')
    const records = Array.from({ length: 25 }, (_, index) => {
      const { CustomerAWSAccountId, ...rest } = record({
        Dimension: long(index, 255),
        CustomerIdentifier: long(index, 255),
      })
      return rest
    })
    const answer = await client.batchMeterUsage(batch(...records))
    assert.ok(answer.Results?.every(result => result.Status === 'Success'))
    assert.equal(simulator.billed().length, 25)
  })

  test(`${name}: a session's token is sent and signed`, async t => {
    const credentials = { ...CREDENTIALS, sessionToken: 'IQoJb3JpZ2lu/EXAMPLE+token==' }
    const { client, simulator, url } = await running(t, { credentials, verifySignatures: [credentials] })
    await client.batchMeterUsage(batch(record()))
    assert.equal(simulator.billed().length, 1)
    for (const wrong of [CREDENTIALS, { ...credentials, sessionToken: 'another' }]) {
      const error = await errorOf(at(t, url, { credentials: wrong }).batchMeterUsage(batch(record())))
      assert.equal(error.name, 'UnrecognizedClientException')
    }
  })

  test(`${name}: credentials that AWS does not take are a matter of configuration`, async t => {
    const { simulator, url } = await running(t)
    for (const [wrong, expected] of [
      [{ ...CREDENTIALS, secretAccessKey: 'another' }, 'InvalidSignatureException'],
      [{ ...CREDENTIALS, accessKeyId: 'AKIDUNKNOWN' }, 'UnrecognizedClientException'],
    ] as const) {
      const error = await errorOf(at(t, url, { credentials: wrong }).batchMeterUsage(batch(record())))
      assert.equal(error.name, expected)
      assert.deepEqual(told(error), { fault: 'configuration', repeated: false })
    }
    assert.deepEqual(simulator.billed(), [])
  })

  for (const ahead of [-1, 1]) {
    test(`${name}: a clock an hour ${ahead > 0 ? 'ahead' : 'behind'} is a matter of configuration`, async t => {
      const { client } = await running(t, { wallClock: () => Date.now() - ahead * HOUR })
      const error = await errorOf(client.batchMeterUsage(batch(record())))
      assert.equal(error.name, 'InvalidSignatureException')
      assert.match(error.message, ahead > 0 ? /not yet current/ : /expired/)
      assert.deepEqual(told(error), { fault: 'configuration', repeated: false })
    })
  }

  test(`${name}: requests at once get each their own answer`, async t => {
    const { client, simulator } = await running(t)
    const answers = await Promise.all(
      Array.from({ length: 40 }, async (_, index) => {
        const { Results } = await client.batchMeterUsage(batch(record({ Dimension: `d-${index}`, Quantity: index })))
        return Results?.[0]?.UsageRecord
      }),
    )
    assert.deepEqual(
      answers.map(answered => [answered?.Dimension, answered?.Quantity]),
      answers.map((_, index) => [`d-${index}`, index]),
    )
    assert.equal(simulator.billed().length, 40)
  })

  test(`${name}: no answer in time is a TimeoutError, and unknown`, async t => {
    const client = at(t, await serverThat(t, () => {}), { timeout: 50 })
    const error = await errorOf(client.batchMeterUsage(batch(record())))
    assert.equal(error.name, 'TimeoutError')
    assert.deepEqual(told(error), { fault: 'unknown', repeated: false })
  })

  test(`${name}: the caller's signal ends a request, and one that has not begun`, async t => {
    let requests = 0
    const arrived = new EventTarget()
    const url = await serverThat(t, () => {
      requests++
      arrived.dispatchEvent(new Event('request'))
    })
    const client = at(t, url)
    const abort = new AbortController()
    const error = errorOf(client.batchMeterUsage(batch(record()), { abortSignal: abort.signal }))
    await once(arrived, 'request')
    abort.abort()
    assert.equal((await error).name, 'AbortError')
    assert.deepEqual(told(await error), { fault: 'unknown', repeated: false })
    const second = await errorOf(client.batchMeterUsage(batch(record()), { abortSignal: abort.signal }))
    assert.equal(second.name, 'AbortError')
    assert.equal(requests, 1)
  })

  test(`${name}: the caller's signal ends an answer that does not`, async t => {
    const abort = new AbortController()
    const url = await serverThat(t, (_, response) => {
      response.writeHead(200).write('{"Results": [')
      setImmediate(() => abort.abort())
    })
    const error = await errorOf(at(t, url).batchMeterUsage(batch(record()), { abortSignal: abort.signal }))
    assert.deepEqual(told(error), { fault: 'unknown', repeated: false })
  })

  test(`${name}: an answer that breaks off is unknown`, async t => {
    const url = await serverThat(t, (_, response) => {
      response.writeHead(200, { 'content-length': 1000 }).write('{"Results": [', () => response.destroy())
    })
    const error = await errorOf(at(t, url).batchMeterUsage(batch(record())))
    assert.deepEqual(told(error), { fault: 'unknown', repeated: false })
  })

  for (const host of ['127.0.0.1', 'localhost']) {
    test(`${name}: nothing is sent where nobody listens (${host})`, async t => {
      const client = at(t, `http://${host}:${await freePort()}`)
      const error = await errorOf(client.batchMeterUsage(batch(record())))
      assert.equal(error.code, 'ECONNREFUSED')
      assert.deepEqual(told(error), { fault: 'not-sent', repeated: false })
    })
  }

  for (const status of [301, 302, 307, 308]) {
    test(`${name}: a redirect (${status}) is not followed`, async t => {
      const { url, simulator } = await running(t)
      const redirecting = await serverThat(t, (_, response) => response.writeHead(status, { location: url }).end())
      const error = await errorOf(at(t, redirecting).batchMeterUsage(batch(record())))
      assert.deepEqual(told(error), { fault: 'unknown', repeated: false })
      assert.equal(simulator.counters.requests, 0)
    })
  }

  test(`${name}: a token becomes a customer, and a bad one AWS's error`, async t => {
    const { client, simulator } = await running(t)
    const token = simulator.catalogue.createToken({ product: PRODUCT, accountId: ACCOUNT, licenseArn: LICENCE })
    const { $metadata, ...resolved } = await client.resolveCustomer({ RegistrationToken: token })
    assert.deepEqual(resolved, {
      CustomerAWSAccountId: ACCOUNT,
      LicenseArn: LICENCE,
      ProductCode: PRODUCT,
      ...('CustomerIdentifier' in resolved && { CustomerIdentifier: resolved.CustomerIdentifier }),
    })
    const old = simulator.catalogue.createToken({ product: PRODUCT, accountId: ACCOUNT, createdAt: NOW - 5 * HOUR })
    for (const [wrong, expected] of [
      [old, 'ExpiredTokenException'],
      ['nonsense', 'InvalidTokenException'],
    ] as const) {
      const error = await errorOf(client.resolveCustomer({ RegistrationToken: wrong }))
      assert.equal(error.name, expected)
    }
  })

  test(`${name}: a day of faults ends with the exact bill`, async t => {
    let now = NOW
    const { client, simulator } = await running(t, {
      now: () => now,
      delay: async () => {},
      faults: (
        ['throttling', 'reset', 'internal-error-after', 'reset-after', 'truncated', 'missing', 'html'] as const
      ).map(kind => ({ kind, rate: 0.1 })),
    })
    const bench = new Bench(t, { send: () => (request, options) => client.batchMeterUsage(request, options) })
    Object.defineProperties(bench, {
      simulator: { value: simulator },
      now: { get: () => now, set: (time: number) => (now = time) },
    })
    const accounts = [
      ...Array.from({ length: 30 }, (_, index) => customer(index)),
      ...Array.from({ length: 30 }, (_, index) => licensed(100 + index)),
      identified(1),
    ]
    for (let hour = 0; hour < 6; hour++) {
      await bench.use(accounts, 7)
      await bench.use(accounts, 0.25, { dimension: TOKENS })
      await bench.passes(4, 15 * MINUTE)
    }
    simulator.faults.clear()
    await bench.passes(4, 30 * MINUTE)
    await bench.assertAllBilled()
    // Six hours of 7 requests, and six quarters of a thousand tokens, of which one thousand is whole.
    assert.equal(bench.billed(), accounts.length * (6 * 7 + 1))
    assert.deepEqual([...new Set(bench.faults())].sort(), ['ok', 'throttled', 'unknown'])
    assert.ok(simulator.billed().every(billed => billed.region === REGION))
  })
}
