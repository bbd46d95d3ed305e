import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { type AddressInfo, connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { MarketplaceMetering } from '@aws-sdk/client-marketplace-metering'
import { SQS } from '@aws-sdk/client-sqs'
import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics'
import { ApiError } from '../../examples/inference-server/api-error.ts'
import { ApiKeys } from '../../examples/inference-server/api-keys.ts'
import { RegisteredKeys } from '../../examples/inference-server/registered-keys.ts'
import { type RegistrationOptions, serveRegistration } from '../../examples/inference-server/registration.ts'
import { createInferenceServer } from '../../examples/inference-server/server.ts'
import { readSettings, SettingsError } from '../../examples/inference-server/settings.ts'
import { gracefulStop } from '../../examples/inference-server/shutdown.ts'
import { followAgreementEvents } from '../../src/agreements/index.ts'
import { AWSMarketplaceMetricExporter, SqliteLedger } from '../../src/index.ts'
import { HttpMeteringClient } from '../../src/marketplace/index.ts'
import { type ServerOptions, startSimulator } from '../../src/simulator/index.ts'

const CODE = 'example-product-code'
const OTHER_CODE = 'other-product-code'
const DIMENSIONS = ['inference-requests', 'tokens-processed', 'gpu-hours']
const ACCOUNT = '111122223333'
const LICENCE = 'arn:aws:license-manager::294406891311:license:l-00000000000000000000000000000001'
const MINUTE = 60_000
const HOUR = 60 * MINUTE
const credentials = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'a-secret-that-nobody-reads' }

interface SceneOptions extends Partial<RegistrationOptions> {
  readonly simulator?: ServerOptions
  readonly http?: boolean
  readonly byLicence?: boolean
}

/** A simulator, and the example server with its registration and the exporter, on one clock. */
async function scene(
  t: TestContext,
  { simulator: faults, http = false, byLicence = true, ...options }: SceneOptions = {},
) {
  let time = Date.now()
  const folder = await mkdtemp(join(tmpdir(), 'registration-'))
  const aws = await startSimulator({
    now: () => time,
    catalogue: {
      products: [{ code: CODE, dimensions: DIMENSIONS }, { code: OTHER_CODE }],
      customers: [
        {
          accountId: ACCOUNT,
          subscriptions: [{ product: CODE, licenseArn: LICENCE }, { product: CODE }, { product: OTHER_CODE }],
        },
      ],
    },
    quota: null,
    ...faults,
  })
  const client = http
    ? new HttpMeteringClient({ region: 'us-east-1', endpoint: aws.url, credentials })
    : new MarketplaceMetering({ region: 'us-east-1', endpoint: aws.url, credentials, maxAttempts: 1 })
  const path = join(folder, 'ledger.sqlite')
  const ledger = new SqliteLedger({ path })
  const names = { productCode: CODE, ...(byLicence && { product: 'inference' }) }
  const exporter = new AWSMarketplaceMetricExporter({
    ...names,
    region: 'us-east-1',
    ledger,
    client,
    now: () => time,
  })
  const provider = new MeterProvider({
    readers: [new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: HOUR })],
  })
  const errors: string[] = []
  /** One task of the service. */
  const serve = async (ledger: SqliteLedger) => {
    const customers = { ...names, ledger, followsEvents: options.followsEvents ?? false, now: () => time }
    const keys = new RegisteredKeys({ ...customers, listed: new ApiKeys() })
    const server = createInferenceServer({ meter: provider.getMeter('test'), apiKeys: keys, onError: () => {} })
    serveRegistration(server, {
      ...{ ...customers, client, region: 'us-east-1', onError: message => errors.push(message) },
      ...options,
    })
    const stop = gracefulStop(server)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.after(async () => {
      await stop(0)
      await ledger.close()
    })
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }
  t.after(async () => {
    await provider.shutdown()
    await aws.close()
    await rm(folder, { recursive: true })
  })
  const url = await serve(ledger)
  const register = async (fields: Record<string, string>, init: RequestInit = {}) => {
    const response = await fetch(`${url}/register`, { method: 'POST', body: new URLSearchParams(fields), ...init })
    const html = await response.text()
    const key = /<code id="api-key">([^<]+)</.exec(html)?.[1] ?? ''
    return { response, status: response.status, html, key }
  }
  return {
    aws,
    url,
    path,
    ledger,
    errors,
    provider,
    another: () => serve(new SqliteLedger({ path })),
    follow: () =>
      followAgreementEvents({
        ...{ ...names, queue: aws.queueUrl, ledger, region: 'us-east-1', now: () => time, report: () => {} },
        client: new SQS({ region: 'us-east-1', endpoint: aws.url, credentials }),
      }),
    token: (product = CODE) =>
      aws.simulator.catalogue.createToken({
        product,
        accountId: ACCOUNT,
        ...(byLicence && { licenseArn: LICENCE }),
      }),
    register: (token: string, more: Record<string, string> = {}) =>
      register({ 'x-amzn-marketplace-token': token, ...more }),
    post: register,
    ask: (key: string, server = url) =>
      fetch(`${server}/v1/chat/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
        body: JSON.stringify({ model: 'markov-1', messages: [{ role: 'user', content: 'Hello' }], max_tokens: 20 }),
      }),
    pass: (milliseconds: number) => {
      time += milliseconds
    },
  }
}

for (const http of [false, true]) {
  const name = http ? 'the light client' : "the AWS SDK's client"
  test(`token, customer, key, request, usage record billed to that customer, through ${name}`, async t => {
    const { token, register, ask, provider, pass, aws } = await scene(t, { http })
    const { status, key, html, response } = await register(token())
    assert.equal(status, 200, html)
    assert.match(key, /^sk-[\w-]{43}$/)
    assert.match(html, new RegExp(ACCOUNT))
    assert.equal(response.headers.get('cache-control'), 'no-store')

    const answer = await ask(key)
    assert.equal(answer.status, 200)
    const { usage } = (await answer.json()) as { usage: { total_tokens: number } }
    await provider.forceFlush()
    pass(2 * HOUR)
    await provider.forceFlush()
    assert.deepEqual(
      aws.simulator.totals({ customer: LICENCE }).map(({ dimension, quantity }) => [dimension, quantity]),
      [
        ['inference-requests', 1],
        ['tokens-processed', usage.total_tokens],
      ].sort(),
    )
  })
}

test('a product with a product code is metered by it, whatever else the token says', async t => {
  const { aws, register, ask, provider, pass } = await scene(t, { byLicence: false })
  const token = aws.simulator.catalogue.createToken({ product: CODE, accountId: ACCOUNT, licenseArn: LICENCE })
  const { key } = await register(token)
  assert.equal((await ask(key)).status, 200)
  await provider.forceFlush()
  pass(2 * HOUR)
  await provider.forceFlush()
  const billed = aws.simulator.billed({ dimension: 'inference-requests' })
  assert.deepEqual(
    billed.map(({ product, accountId, licenseArn, quantity }) => ({ product, accountId, licenseArn, quantity })),
    [{ product: CODE, accountId: ACCOUNT, licenseArn: undefined, quantity: 1 }],
  )
})

test('registering again changes nothing, and replaces the key only when asked to', async t => {
  const { token, register, ask, pass, ledger, another } = await scene(t)
  const other = await another()
  const first = token()
  const { key } = await register(first)
  for (const again of [first, token()]) {
    const { status, html, key: none } = await register(again)
    assert.equal(status, 200)
    assert.equal(none, '')
    assert.match(html, /set up already/)
    assert.ok(!html.includes(key))
  }
  assert.deepEqual([(await ask(key)).status, (await ask(key, other)).status], [200, 200])
  const replaced = await register(first, { replace: 'yes' })
  pass(MINUTE)
  assert.deepEqual([(await ask(key)).status, (await ask(key, other)).status], [401, 401])
  assert.deepEqual([(await ask(replaced.key)).status, (await ask(replaced.key, other)).status], [200, 200])
  assert.equal((await ledger.agreements()).length, 1)
})

test('browsers that register one customer at once, with two tasks, get one key between them', async t => {
  const { token, post, another, url } = await scene(t)
  const tasks = [url, await another()]
  const browser = async (index: number) => {
    const form = new URLSearchParams({ 'x-amzn-marketplace-token': token() })
    const page = await fetch(`${tasks[index % 2]}/register`, { method: 'POST', body: form })
    return /id="api-key"/.test(await page.text())
  }
  const shown = await Promise.all(Array.from({ length: 9 }, (_, index) => browser(index)))
  assert.equal(shown.filter(Boolean).length, 1)
  assert.equal((await post({ 'x-amzn-marketplace-token': token() })).key, '')
})

test('only hashes of keys are kept, and listed keys work beside them', async t => {
  const { token, register, ledger } = await scene(t)
  const { key } = await register(token())
  assert.ok(!JSON.stringify(await ledger.agreements()).includes(key))
  const listed = ApiKeys.from({ 'sk-listed-0123456789': { name: 'A', accountId: ACCOUNT } })
  const options = { ledger, listed, productCode: CODE, product: 'inference', followsEvents: false, now: () => 0 }
  const keys = new RegisteredKeys(options)
  assert.deepEqual(await keys.find(key), { name: `AWS account ${ACCOUNT}`, accountId: ACCOUNT, licenseArn: LICENCE })
  assert.equal((await keys.find('sk-listed-0123456789'))?.name, 'A')
  assert.equal(await keys.find('sk-unknown'), undefined)
  // Another product's customers of the same ledger are not this server's.
  assert.equal(await new RegisteredKeys({ ...options, productCode: 'other', product: 'chat' }).find(key), undefined)
})

test("a key is good from the licence's beginning to its end by AWS's events, in every task", async t => {
  const { aws, register, ask, pass, follow, another, provider } = await scene(t, { followsEvents: true })
  const other = await another()
  const consumer = await follow()
  t.after(() => consumer.stop())
  const taken = async () => {
    while (aws.simulator.queue.messages().length > 0) await new Promise(done => setTimeout(done, 5))
  }
  const { catalogue } = aws.simulator
  const answer = async (key: string, server?: string) => {
    const response = await ask(key, server)
    const { error } = (await response.json()) as { error?: { code: string | null } }
    return error === undefined ? response.status : [response.status, error.code]
  }
  const buyer = { product: CODE, accountId: '222233334444' }
  const licence = (n: number) => LICENCE.replace(/.$/, String(n))
  catalogue.subscribe({ ...buyer, licenseArn: licence(7), pending: true })
  const { key, html } = await register(catalogue.createToken({ ...buyer, licenseArn: licence(7) }))
  assert.match(html, /as soon as AWS has told us/)
  assert.deepEqual(await answer(key), [403, 'subscription_pending'])
  catalogue.activate({ ...buyer, licenseArn: licence(7) })
  await taken()
  pass(10_000)
  assert.deepEqual([await answer(key), await answer(key, other)], [200, 200])
  await provider.forceFlush()

  // A renewal with another licence: the key goes on with it.
  pass(HOUR)
  catalogue.renew({ ...buyer, licenseArn: licence(7), renewedAs: licence(8) })
  pass(5 * MINUTE)
  await taken()
  assert.deepEqual([await answer(key), await answer(key, other)], [200, 200])
  await provider.forceFlush()
  pass(HOUR)
  catalogue.unsubscribe({ ...buyer, licenseArn: licence(8) })
  pass(5 * MINUTE)
  await taken()
  assert.deepEqual(await answer(key), [403, 'subscription_ended'])
  assert.deepEqual(await answer(key, other), [403, 'subscription_ended'])
  await provider.forceFlush()
  const requests = (n: number) =>
    aws.simulator.totals({ customer: licence(n), dimension: 'inference-requests' }).map(({ quantity }) => quantity)
  assert.deepEqual([requests(7), requests(8)], [[2], [2]])
})

test('guesses are looked up only so often, and who was let in goes on without the ledger', async t => {
  const { ledger, register, token } = await scene(t)
  const { key } = await register(token())
  let time = 1_800_000_000_000
  let lookUps = 0
  let away = false
  const agreements: SqliteLedger['agreements'] = query => {
    lookUps++
    return away ? Promise.reject(new Error('away')) : ledger.agreements(query)
  }
  const options = { productCode: CODE, product: 'inference', followsEvents: false, listed: new ApiKeys() }
  const keys = new RegisteredKeys({ ...options, ledger: { agreements }, now: () => time })
  await Promise.all(Array.from({ length: 50 }, () => keys.find(key)))
  assert.equal(lookUps, 1, 'one for all who ask for the same')
  const guess = (n: number) => `sk-${String(n).padStart(43, '0')}`
  const guesses = await Promise.allSettled(Array.from({ length: 500 }, (_, n) => keys.find(guess(n))))
  assert.equal(lookUps, 100)
  const [refused] = guesses.flatMap(one => (one.status === 'rejected' ? [one.reason] : []))
  assert.ok(refused instanceof ApiError && refused.status === 429 && refused.headers['retry-after'] === '1')
  // A customer who is known is not kept out by others' guesses.
  time += MINUTE
  assert.equal((await keys.find(key))?.accountId, ACCOUNT)
  away = true
  time += MINUTE
  assert.equal((await keys.find(key))?.accountId, ACCOUNT)
  await assert.rejects(keys.find(guess(1)), (error: ApiError) => error.status === 503 && error.cause !== undefined)
})

test('a key is not shown that could not be kept', async t => {
  const folder = await mkdtemp(join(tmpdir(), 'registration-'))
  const path = join(folder, 'ledger.sqlite')
  await new SqliteLedger({ path }).close()
  const full = new SqliteLedger({ path, readOnly: true })
  t.after(async () => {
    await full.close()
    await rm(folder, { recursive: true })
  })
  const { token, register, errors } = await scene(t, { ledger: full })
  const { status, key, html } = await register(token())
  assert.equal(status, 500)
  assert.equal(key, '')
  assert.ok(!html.includes(path))
  assert.match(errors.join(), /^Registration failed: LedgerError ERR_LEDGER/)
})

test('bad tokens get an answer that tells the buyer what to do', async t => {
  const { token, register, post, pass, url, errors, ledger } = await scene(t)
  const old = token()
  pass(4 * HOUR)
  const cases = [
    [await register(old), 410, /expired/],
    [await register('<script>alert(1)</script>'), 400, /does not know/],
    [await register(''), 400, /missing/],
    [await post({ token: 'elsewhere' }), 400, /missing/],
    [await register(token(OTHER_CODE)), 403, /another product/],
    [await register('x'.repeat(20_000)), 413, /not the form/],
    [await post({}, { body: '{}', headers: { 'content-type': 'application/json' } }), 415, /not the form/],
  ] as const
  for (const [{ status, html, key }, expected, text] of cases) {
    assert.equal(status, expected, html)
    assert.match(html, text)
    assert.match(html, /Manage subscriptions/)
    assert.ok(!html.includes('<script>') && !html.includes(old))
    assert.equal(key, '')
  }
  const get = await fetch(`${url}/register?x-amzn-marketplace-token=${old}`)
  assert.equal(get.status, 405)
  assert.equal(get.headers.get('allow'), 'POST')
  assert.match(await get.text(), /Come here from AWS Marketplace/)
  assert.deepEqual(errors, [], 'none of it is for the seller to mend')
  assert.deepEqual(await ledger.agreements(), [])
})

for (const kind of ['throttling', 'internal-error', 'reset', 'html', 'truncated'] as const) {
  for (const http of [false, true]) {
    test(`${kind} of AWS, through ${http ? 'the light client' : 'the AWS SDK'}: try again soon`, async t => {
      const { token, register, aws, errors } = await scene(t, { http })
      const mine = token()
      aws.simulator.faults.add({ kind, next: 1 })
      const { status, html, response } = await register(mine)
      assert.equal(status, 503, html)
      assert.equal(response.headers.get('retry-after'), '60')
      assert.match(html, /Nothing is wrong with your subscription/)
      assert.ok(!html.includes(mine))
      assert.equal(errors.length, 1)
      assert.ok(!errors.join().includes(mine))
      assert.notEqual((await register(mine)).key, '', 'the same token works afterwards')
    })
  }
}

test('what the seller has to mend says so in the log, and not to the buyer', async t => {
  for (const name of ['AccessDeniedException', 'DisabledApiException', 'UnrecognizedClientException']) {
    const refused = Object.assign(new Error('arn:aws:iam::999988887777:role/secret is not authorized'), {
      name,
      $fault: 'client',
    })
    const { register, errors } = await scene(t, { client: { resolveCustomer: () => Promise.reject(refused) } })
    const { status, html } = await register('a-token')
    assert.equal(status, 500)
    assert.ok(!html.includes('999988887777') && !html.includes(name))
    assert.deepEqual(errors, [`Registration failed: ${name}`])
  }
})

test("expired credentials of ours are not taken for the buyer's expired token", async t => {
  const expired = Object.assign(new Error('The security token included in the request is expired'), {
    name: 'ExpiredTokenException',
    $fault: 'client',
  })
  const { register } = await scene(t, { client: { resolveCustomer: () => Promise.reject(expired) } })
  assert.equal((await register('a-token')).status, 500)
})

test('answers that make no sense are asked for again', async t => {
  for (const answer of [{}, { ProductCode: CODE, LicenseArn: LICENCE }]) {
    const { register, errors } = await scene(t, { client: { resolveCustomer: () => Promise.resolve(answer) } })
    assert.equal((await register('a-token')).status, 503)
    assert.deepEqual(errors, ['Registration failed: RegistrationAnswerError ERR_REGISTRATION_ANSWER'])
  }
})

test('of a product with both, a customer without a licence is billed by the code', async t => {
  const { aws, register, ask, provider, pass } = await scene(t)
  const { key } = await register(aws.simulator.catalogue.createToken({ product: CODE, accountId: ACCOUNT }))
  assert.equal((await ask(key)).status, 200)
  await provider.forceFlush()
  pass(2 * HOUR)
  await provider.forceFlush()
  const [billed, ...others] = aws.simulator.billed({ dimension: 'inference-requests' })
  assert.deepEqual([billed?.product, billed?.licenseArn, billed?.quantity, others], [CODE, undefined, 1, []])
})

test('more registrations than AWS should be asked for at once are put off', async t => {
  const { promise, resolve } = Promise.withResolvers<Record<string, string>>()
  const { register } = await scene(t, { client: { resolveCustomer: () => promise } })
  const waiting = Array.from({ length: 10 }, () => register('a-token'))
  await new Promise(done => setTimeout(done, 200))
  assert.equal((await register('a-token')).status, 503)
  resolve({ ProductCode: CODE, CustomerAWSAccountId: ACCOUNT, LicenseArn: LICENCE })
  assert.deepEqual(
    (await Promise.all(waiting)).map(({ status }) => status),
    Array.from({ length: 10 }, () => 200),
  )
})

test('forms that never come to their end keep nobody out, and are answered when their time is over', async t => {
  const { url, token, register } = await scene(t, { formTimeout: 1000 })
  const slow = Array.from({ length: 30 }, async () => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1')
    socket.write(
      'POST /register HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 99\r\n\r\nx=',
    )
    return await text(socket)
  })
  assert.notEqual((await register(token())).key, '')
  for (const answer of await Promise.all(slow)) {
    assert.match(answer, /^HTTP\/1\.1 408 [\s\S]*The form did not arrive in time/)
  }
})

test("another site's page cannot replace a key", async t => {
  const { url, token, register, post, ask, pass } = await scene(t)
  const { key } = await register(token())
  const fields = { 'x-amzn-marketplace-token': token(), replace: 'yes' }
  const host = new URL(url).host
  const foreign = [{ origin: 'http://evil.test' }, { origin: 'null' }, { origin: `http://${host}.evil.test` }]
  for (const headers of [
    ...foreign,
    { 'sec-fetch-site': 'cross-site', origin: url },
    { 'sec-fetch-site': 'same-site' },
  ]) {
    const { html, key: none } = await post(fields, { headers })
    assert.deepEqual([none, (await ask(key)).status], ['', 200])
    assert.match(html, /<button>Replace my API key</)
  }
  const ours = await post(fields, { headers: { origin: url } })
  assert.equal((await ask(ours.key)).status, 200)
  const again = await post(fields, { headers: { 'sec-fetch-site': 'same-origin', origin: 'http://proxied.test' } })
  pass(MINUTE)
  assert.deepEqual([(await ask(ours.key)).status, (await ask(again.key)).status], [401, 200])
})

test('settings for registration', () => {
  const env = { AWS_REGION: 'us-east-1', LEDGER: 'ledger.sqlite' }
  const { product, eventsQueue } = readSettings({
    ...env,
    PRODUCT: 'label',
    PRODUCT_CODE: CODE,
    EVENTS_QUEUE: 'sqs://q',
  })
  assert.deepEqual([product, eventsQueue], [{ product: 'label', productCode: CODE }, 'sqs://q'])
  const keys = JSON.stringify({ 'sk-secret-0123456789': { name: 'A', accountId: ACCOUNT } })
  // Without the code a token's product cannot be told, nor an event's: nobody registers.
  assert.deepEqual(readSettings({ ...env, PRODUCT: 'label', API_KEYS: keys }).product, { product: 'label' })
  assert.throws(
    () => readSettings({ ...env, PRODUCT: 'label', API_KEYS: keys, EVENTS_QUEUE: 'sqs://q' }),
    new SettingsError('PRODUCT_CODE is not set'),
  )
  assert.throws(() => readSettings({ ...env, PRODUCT: 'label' }), new SettingsError('API_KEYS_FILE is not set'))
  const listed = readSettings({ ...env, PRODUCT_CODE: CODE, API_KEYS: keys })
  assert.equal(listed.apiKeys.find('sk-secret-0123456789')?.accountId, ACCOUNT)
  assert.throws(
    () => readSettings({ ...env, PRODUCT_CODE: CODE, API_KEYS: '{"sk-secret-0123456789' }),
    new SettingsError('API_KEYS: not valid JSON'),
  )
  assert.throws(
    () => readSettings({ ...env, PRODUCT_CODE: CODE, METERING_CLIENT: 'soap' }),
    /METERING_CLIENT: expected/,
  )
})
