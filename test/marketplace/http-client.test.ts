import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { inspect } from 'node:util'
import { gzipSync } from 'node:zlib'
import { MarketplaceMetering } from '@aws-sdk/client-marketplace-metering'
import { awsClient } from '../../src/marketplace/aws-client.ts'
import { endpointName, lookUpEndpoint } from '../../src/marketplace/endpoint.ts'
import { type Fetch, HttpMeteringClient, type HttpMeteringClientOptions } from '../../src/marketplace/index.ts'
import { faultOf } from '../../src/metering/faults.ts'
import { MarketplaceSimulator, simulatorClient, startSimulator } from '../../src/simulator/index.ts'
import { conformance } from './conformance.ts'
import { CREDENTIALS, environment, errorOf, serverThat } from './support.ts'

conformance(
  'the plain HTTP client',
  (_, { region = 'us-east-1', ...options }) => new HttpMeteringClient({ region, ...options }),
)

const NOW = Date.UTC(2026, 5, 10, 12)
const REQUEST = {
  ProductCode: 'prod',
  UsageRecords: [{ Timestamp: new Date(NOW), Dimension: 'tokens', Quantity: 5, CustomerAWSAccountId: '111122223333' }],
}

const client = (options: HttpMeteringClientOptions = {}) =>
  new HttpMeteringClient({ region: 'us-east-1', credentials: CREDENTIALS, ...options })

/** A client whose requests are answered here. */
const answered = (response: () => Response, options: HttpMeteringClientOptions = {}) =>
  client({ fetch: async () => response(), ...options })

const send = (sender: HttpMeteringClient) => sender.batchMeterUsage(REQUEST)

/** That an error is of a kind, and one that the cycle takes for what it is. */
async function rejected(sender: HttpMeteringClient, code: string, message: RegExp, fault = 'unknown') {
  const error = await errorOf(send(sender))
  assert.equal(error.code, code, inspect(error))
  assert.match(error.message, message)
  assert.equal(faultOf(error).fault, fault)
  return error
}

/** Sees the requests of a client, and answers them with nothing. */
function seen(options: HttpMeteringClientOptions = {}) {
  const requests: { url: string; init: RequestInit }[] = []
  const fetch: Fetch = async (url, init) => {
    requests.push({ url, init })
    return new Response('{}')
  }
  return { requests, client: client({ fetch, ...options }) }
}

test('a request is AWS’s own: where, what, how and signed by what', async () => {
  const { requests, client } = seen({ region: 'eu-west-1', now: () => NOW })
  await send(client)
  const [{ url, init }] = requests as [(typeof requests)[0]]
  assert.equal(url, 'https://metering.marketplace.eu-west-1.amazonaws.com')
  assert.equal(init.method, 'POST')
  assert.equal(init.redirect, 'manual')
  assert.deepEqual(JSON.parse(init.body as string), {
    ProductCode: 'prod',
    UsageRecords: [{ ...REQUEST.UsageRecords[0], Timestamp: NOW / 1000 }],
  })
  const { authorization, ...headers } = Object.fromEntries(init.headers as Headers)
  assert.deepEqual(headers, {
    'content-type': 'application/x-amz-json-1.1',
    'x-amz-date': '20260610T120000Z',
    'x-amz-target': 'AWSMPMeteringService.BatchMeterUsage',
  })
  assert.match(
    authorization ?? '',
    /^AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE\/20260610\/eu-west-1\/aws-marketplace\/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature=[0-9a-f]{64}$/,
  )
})

test('the endpoint of a region, an option or a variable', t => {
  const endpointOf = (options: HttpMeteringClientOptions) => client(options).endpoint
  assert.equal(endpointOf({ region: 'cn-north-1' }), 'https://metering.marketplace.cn-north-1.amazonaws.com.cn')
  environment(t, { AWS_ENDPOINT_URL: 'http://all.test' })
  assert.equal(endpointOf({}), 'http://all.test')
  environment(t, { AWS_ENDPOINT_URL_MARKETPLACE_METERING: 'http://one.test' })
  assert.equal(endpointOf({}), 'http://one.test')
  assert.equal(endpointOf({ endpoint: 'http://option.test' }), 'http://option.test')
})

test('the host of a region is the one that the AWS SDK sends to', async t => {
  const hostOfSdk = async (region: string) => {
    let host = ''
    const handle = async (request: { hostname: string }) => {
      host = request.hostname
      throw new Error('seen')
    }
    const credentials = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'secret' }
    const sdk = new MarketplaceMetering({ region, credentials, maxAttempts: 1, requestHandler: { handle } as never })
    await assert.rejects(sdk.batchMeterUsage({ UsageRecords: [] }), /seen/)
    return host
  }
  const answers = [true, false]
  for (const [dualStack, fips] of answers.flatMap(dual => answers.map(fips => [`${dual}`, `${fips}`] as const))) {
    const [AWS_USE_DUALSTACK_ENDPOINT, AWS_USE_FIPS_ENDPOINT] = [dualStack, fips]
    environment(t, { AWS_USE_DUALSTACK_ENDPOINT, AWS_USE_FIPS_ENDPOINT })
    for (const region of ['us-east-1', 'eu-central-1', 'cn-northwest-1', 'us-gov-west-1']) {
      assert.equal(client({ region }).endpoint, `https://${await hostOfSdk(region)}`)
    }
  }
  environment(t, { AWS_USE_DUALSTACK_ENDPOINT: 'false', AWS_USE_FIPS_ENDPOINT: 'false' })
  assert.equal(client({ region: 'eusc-de-east-1' }).endpoint, `https://${await hostOfSdk('eusc-de-east-1')}`)
})

test('where a client sends to: AWS by whatever host, this machine at whatever port, or elsewhere', async t => {
  const sdk = (options: object = {}) =>
    new MarketplaceMetering({ region: 'us-east-1', credentials: CREDENTIALS, ...options })
  const clean = { AWS_CONFIG_FILE: '/none', AWS_SHARED_CREDENTIALS_FILE: '/none' }
  environment(t, clean)
  for (const region of ['us-east-1', 'cn-northwest-1', 'us-gov-west-1', 'eusc-de-east-1']) {
    assert.equal(await lookUpEndpoint(sdk({ region })), 'aws', region)
    assert.equal(await lookUpEndpoint(client({ region })), 'aws', region)
    if (region.startsWith('eusc-')) continue
    for (const [useFipsEndpoint, useDualstackEndpoint] of [
      [true, false],
      [false, true],
      [true, true],
    ])
      assert.equal(await lookUpEndpoint(sdk({ region, useFipsEndpoint, useDualstackEndpoint })), 'aws', region)
  }
  const vpc = 'vpce-0abc-1a2b.metering-marketplace.us-east-1.vpce.amazonaws.com'
  for (const [url, expected] of [
    ...[`https://${vpc}`, 'https://metering.marketplace.us-east-1.amazonaws.com./', 'aws'].map(url => [url, 'aws']),
    ...['http://127.0.0.1:8480', 'http://127.9.9.9', 'http://LOCALHOST:1', 'http://[::1]:8480/x'].map(url => [
      url,
      'localhost',
    ]),
    ...['http://[::ffff:127.0.0.1]:80', 'http://0.0.0.0:8480', 'http://aws.localhost', 'localhost'].map(url => [
      url,
      'localhost',
    ]),
    // What an attacker or a test has on AWS is not AWS Marketplace.
    ['https://metering.marketplace.us-east-1.amazonaws.com.test', 'metering.marketplace.us-east-1.amazonaws.com.test'],
    ['http://sim-1.us-east-1.elb.amazonaws.com:8480', 'sim-1.us-east-1.elb.amazonaws.com:8480'],
    ['https://proxy.internal:443', 'proxy.internal'],
    ['http://10.0.0.7:8480', '10.0.0.7:8480'],
    ['a name', 'a-name'],
  ] as [string, string][]) {
    assert.equal(endpointName(url), expected, url)
    if (!/^https?:/.test(url)) continue
    assert.equal(await lookUpEndpoint(sdk({ endpoint: url })), expected, url)
    assert.equal(await lookUpEndpoint(client({ endpoint: url })), expected, url)
    environment(t, { ...clean, AWS_ENDPOINT_URL: url })
    assert.equal(await lookUpEndpoint(sdk()), expected, url)
    assert.equal(await lookUpEndpoint(awsClient('us-east-1', 1000)), expected, url)
    assert.equal(await lookUpEndpoint(sdk({ ignoreConfiguredEndpointUrls: true })), 'aws')
    environment(t, clean)
  }
  const profile = join(mkdtempSync(join(tmpdir(), 'profile-')), 'config')
  t.after(() => rmSync(profile))
  writeFileSync(profile, '[default]\nendpoint_url = http://proxy.internal:8480\n')
  environment(t, { AWS_CONFIG_FILE: profile, AWS_SHARED_CREDENTIALS_FILE: '/none' })
  assert.equal(await lookUpEndpoint(sdk()), 'proxy.internal:8480')
  environment(t, clean)
  const endpointProvider = () => ({ url: new URL('http://127.0.0.1:1') })
  assert.equal(await lookUpEndpoint(sdk({ endpointProvider })), 'localhost')
  assert.equal(await lookUpEndpoint(simulatorClient(new MarketplaceSimulator())), 'localhost')
  assert.equal(await lookUpEndpoint({ batchMeterUsage: async () => ({}) }), 'aws', 'one that does not say')
  await assert.rejects(lookUpEndpoint(sdk({ endpoint: 'http://10.0.0.7', useFipsEndpoint: true })), /FIPS and custom/)
})

test('the region of the environment', t => {
  environment(t, { AWS_DEFAULT_REGION: 'eu-west-2' })
  assert.equal(new HttpMeteringClient().region, 'eu-west-2')
  environment(t, { AWS_REGION: 'eu-west-3' })
  assert.equal(new HttpMeteringClient().region, 'eu-west-3')
})

const BAD_OPTIONS: [object, RegExp][] = [
  [{ region: 'Virginia' }, /region: expected a region such as us-east-1, here or in AWS_REGION, got "Virginia"/],
  [{ region: 'us-east-1@evil.example/' }, /region: expected/],
  [{ region: '' }, /region: expected/],
  [{ endpoint: 'metering.example' }, /endpoint: expected an http or https URL/],
  [{ endpoint: 'ftp://metering.example' }, /endpoint: expected/],
  [{ endpoint: 'https://metering.example/?a=b' }, /endpoint: expected/],
  [{ timeout: 0 }, /timeout: expected from 1 to 600000 milliseconds, got 0/],
  [{ timeout: Number.NaN }, /timeout: expected/],
  [{ fetch: 'fetch' }, /fetch: expected a function/],
  [{ now: 7 }, /now: expected a function/],
  [{ retries: 3 }, /retries: there is no such option/],
]
for (const [options, message] of BAD_OPTIONS) {
  test(`options are checked: ${inspect(options)}`, () => {
    assert.throws(() => client(options as HttpMeteringClientOptions), { code: 'ERR_CONFIGURATION', message })
  })
}

test('what is no answer of AWS is said to be none, without quoting it', async () => {
  const html = () => new Response('<html>hush</html>', { status: 502, headers: { 'content-type': 'text/html' } })
  const error = await rejected(answered(html), 'ERR_METERING_ANSWER', /^HTTP 502 with 17 characters of text\/html/)
  assert.ok(!inspect(error).includes('hush'))
  assert.deepEqual(error.$metadata, { attempts: 1, httpStatusCode: 502 })

  const none = () => new Response(null, { status: 204 })
  await rejected(answered(none), 'ERR_METERING_ANSWER', /^HTTP 204 with 0 characters/)
  await rejected(
    answered(() => new Response('{"Results": [{"Sta')),
    'ERR_METERING_ANSWER',
    /not JSON/,
  )
  const unnamed = () => new Response('{"message":"Forbidden"}', { status: 403 })
  await rejected(answered(unnamed), 'ERR_METERING_ANSWER', /^HTTP 403 with an error without a name/)
  const redirect = () => new Response(null, { status: 307, headers: { location: 'https://evil.example/?token=1' } })
  await rejected(answered(redirect), 'ERR_METERING_ANSWER', /a redirect to https:\/\/evil\.example, which is not/)
})

const WRONG_TYPES: [unknown, RegExp][] = [
  [[], /all of it/],
  [null, /all of it/],
  ['Success', /all of it/],
  [{ Results: {} }, /Results/],
  [{ Results: [null] }, /Results\.0/],
  [{ Results: [{ Status: 7 }] }, /Results\.0\.Status/],
  [{ Results: [{ Status: 'Success' }, { UsageRecord: { Quantity: '5' } }] }, /Results\.1\.UsageRecord\.Quantity/],
  [{ Results: [{ UsageRecord: { Timestamp: '2026-06-10T12:00:00Z' } }] }, /Results\.0\.UsageRecord\.Timestamp/],
  [{ Results: [{ UsageRecord: { Timestamp: 1e300 } }] }, /Results\.0\.UsageRecord\.Timestamp/],
  [{ UnprocessedRecords: 'none' }, /UnprocessedRecords/],
]
for (const [answer, where] of WRONG_TYPES) {
  test(`an answer of wrong types is refused: ${JSON.stringify(answer)}`, async () => {
    await rejected(
      answered(() => Response.json(answer)),
      'ERR_METERING_ANSWER',
      where,
    )
  })
}

test('what is null is missing, and what is new is let pass', async () => {
  const answer = { Results: [{ UsageRecord: null, Status: 'Success', New: 1 }], UnprocessedRecords: null, New: {} }
  assert.deepEqual(await send(answered(() => Response.json(answer))), {
    Results: [{ Status: 'Success' }],
    $metadata: { attempts: 1, httpStatusCode: 200 },
  })
})

test('a character may come in two pieces', async () => {
  const bytes = new TextEncoder().encode(JSON.stringify({ Results: [{ Status: 'Süccess' }] }))
  const body = ReadableStream.from([...bytes].map(byte => Uint8Array.of(byte)))
  const { Results } = await send(answered(() => new Response(body)))
  assert.deepEqual(Results, [{ Status: 'Süccess' }])
})

test('an answer that is too long is not read to its end', async t => {
  const chunk = Buffer.alloc(64 * 1024, ' ')
  let written = 0
  let closed: (() => void) | undefined
  const cut = new Promise<void>(resolve => (closed = resolve))
  const url = await serverThat(t, (_, response) => {
    response.on('close', () => closed?.())
    response.writeHead(200)
    const write = () => {
      written += chunk.length
      response.write(chunk, () => response.destroyed || written > 1e9 || write())
    }
    write()
  })
  await rejected(client({ endpoint: url }), 'ERR_METERING_ANSWER', /^HTTP 200 with more than 5242880 bytes/)
  await cut
  assert.ok(written < 1e9, `${written} bytes were written`)
})

test('an answer that says that it is too long is not read at all', async () => {
  let cancelled = false
  const cancel = () => {
    cancelled = true
  }
  const body = new ReadableStream({ cancel })
  const response = () => new Response(body, { headers: { 'content-length': String(2 ** 30) } })
  await rejected(answered(response), 'ERR_METERING_ANSWER', /more than/)
  assert.ok(cancelled)
})

test('a small answer that unpacks to a large one is not unpacked to its end', async t => {
  const bomb = gzipSync(Buffer.alloc(100 * 1024 * 1024))
  const url = await serverThat(t, (_, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(bomb))
  await rejected(client({ endpoint: url }), 'ERR_METERING_ANSWER', /more than/)
})

test('a fetch that does not listen to its signal is left at its timeout', async () => {
  const deaf = client({ fetch: () => new Promise(() => {}), timeout: 20 })
  await rejected(deaf, 'ERR_METERING_TIMEOUT', /no answer within 20 ms/)
})

test('errors of the system keep their code, from wherever fetch hides them', async () => {
  const lookup = Object.assign(new Error('getaddrinfo ENOTFOUND x'), { code: 'ENOTFOUND', syscall: 'getaddrinfo' })
  const refused = Object.assign(new Error('connect'), { code: 'ECONNREFUSED', syscall: 'connect' })
  const reset = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET', syscall: 'read' })
  const failing = (cause: unknown, wrapped = true) =>
    client({ fetch: async () => Promise.reject(wrapped ? new TypeError('fetch failed', { cause }) : cause) })
  for (const wrapped of [true, false]) {
    const error = await rejected(failing(lookup, wrapped), 'ENOTFOUND', /ENOTFOUND/, 'not-sent')
    assert.match(error.message, /^The connection to https:\/\/metering\.marketplace\.us-east-1\.amazonaws\.com failed/)
    await rejected(failing(reset, wrapped), 'ECONNRESET', /read ECONNRESET/)
  }
  // The call tells more than the code: of an open connection it would mean something else.
  const unreachable = Object.assign(new Error('connect EHOSTUNREACH'), { code: 'EHOSTUNREACH', syscall: 'connect' })
  await rejected(failing(unreachable), 'EHOSTUNREACH', /connect EHOSTUNREACH/, 'not-sent')
  const all = Object.assign(new AggregateError([refused, unreachable]), { code: 'ETIMEDOUT' })
  await rejected(failing(all), 'ETIMEDOUT', /ETIMEDOUT/, 'not-sent')
  const some = Object.assign(new AggregateError([refused, reset]), { code: 'ECONNREFUSED' })
  await rejected(failing(some), 'ECONNREFUSED', /ECONNREFUSED/)
  await rejected(failing('a text', false), 'ERR_METERING_CONNECTION', /a text/)
  // Not a name that AWS never said.
  const named = Object.assign(new Error('mine'), { name: 'ThrottlingException' })
  await rejected(failing(named, false), 'ERR_METERING_CONNECTION', /mine/)
})

test('a wrong clock is told, and by how much', async t => {
  for (const [skew, text] of [
    [23 * 60_000 + 5000, '23 min 5 s ahead of'],
    [-26 * 3_600_000, '26 h behind'],
  ] as const) {
    const wallClock = () => NOW
    const { url, close } = await startSimulator({ wallClock, verifySignatures: [CREDENTIALS] })
    t.after(close)
    const skewed = client({ endpoint: url, now: () => NOW + skew })
    const error = await rejected(skewed, 'ERR_METERING_SERVICE', /set it\. Signature /, 'configuration')
    assert.ok(error.message.startsWith(`This machine's clock is ${text} AWS's`), error.message)
    assert.equal(error.clockSkew, skew)
    assert.equal(error.name, 'InvalidSignatureException')
  }
  const tooSkewed = (date: string) => () =>
    Response.json({ __type: 'RequestTimeTooSkewed', message: 'far off' }, { status: 403, headers: { date } })
  const hourAgo = tooSkewed(new Date(NOW - 3_600_000).toUTCString())
  await rejected(answered(hourAgo, { now: () => NOW }), 'ERR_METERING_SERVICE', /1 h ahead of AWS/, 'configuration')
  const unknown = tooSkewed('whenever')
  await rejected(answered(unknown, { now: () => NOW }), 'ERR_METERING_SERVICE', /^far off$/, 'configuration')
})

test('another signature’s fault is not blamed on the clock', async () => {
  const headers = { date: new Date(NOW).toUTCString() }
  const mismatch = () => Response.json({ __type: 'InvalidSignatureException', message: 'no' }, { status: 400, headers })
  const error = await rejected(
    answered(mismatch, { now: () => NOW + 60_000 }),
    'ERR_METERING_SERVICE',
    /^no$/,
    'configuration',
  )
  assert.ok(!('clockSkew' in error))
})

test('secrets are in no error, though AWS repeats what it was sent', async t => {
  const credentials = { ...CREDENTIALS, sessionToken: 'sessiontoken' }
  const url = await serverThat(t, (request, response) => {
    const message = `canonical: ${JSON.stringify(request.headers)} ${CREDENTIALS.secretAccessKey} registration`
    response.writeHead(400).end(JSON.stringify({ __type: 'InvalidSignatureException', message }))
  })
  const sender = client({ endpoint: url, credentials })
  for (const call of [() => send(sender), () => sender.resolveCustomer({ RegistrationToken: 'registration' })]) {
    const text = inspect(await errorOf(call()), { depth: 10 })
    assert.match(text, /canonical: .*x-amz-target/)
    assert.doesNotMatch(text, /sessiontoken|wJalr/)
  }
  assert.doesNotMatch(
    inspect(await errorOf(sender.resolveCustomer({ RegistrationToken: 'registration' }))),
    /registration/,
  )
  assert.doesNotMatch(inspect(sender, { depth: 10, showHidden: true }), /sessiontoken|wJalr/)
})

test('a wrong date is an error, not a record of 1970', async () => {
  const { requests, client } = seen()
  const record = { ...REQUEST.UsageRecords[0], Timestamp: '2026-06-10' as unknown as Date }
  await assert.rejects(
    client.batchMeterUsage({ UsageRecords: [record as (typeof REQUEST.UsageRecords)[0]] }),
    TypeError,
  )
  assert.deepEqual(requests, [])
})

test('the global fetch of the moment is used', async (t: TestContext) => {
  const sender = client()
  t.mock.method(globalThis, 'fetch', async () => Response.json({ Results: [] }))
  assert.deepEqual((await send(sender)).Results, [])
})
