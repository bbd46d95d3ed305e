import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { type AddressInfo, connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { MarketplaceMetering } from '@aws-sdk/client-marketplace-metering'
import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics'
import { ApiKeys } from '../../examples/inference-server/api-keys.ts'
import { type RegistrationOptions, serveRegistration } from '../../examples/inference-server/registration.ts'
import { RegisteredKeys } from '../../examples/inference-server/registration-keys.ts'
import { createInferenceServer } from '../../examples/inference-server/server.ts'
import { readSettings, SettingsError } from '../../examples/inference-server/settings.ts'
import { gracefulStop } from '../../examples/inference-server/shutdown.ts'
import { AWSMarketplaceMetricExporter } from '../../src/index.ts'
import { HttpMeteringClient } from '../../src/marketplace/index.ts'
import { type ServerOptions, startSimulator } from '../../src/simulator/index.ts'

const CODE = 'example-product-code'
const OTHER_CODE = 'other-product-code'
const DIMENSIONS = ['inference-requests', 'tokens-processed', 'gpu-hours']
const ACCOUNT = '111122223333'
const LICENCE = 'arn:aws:license-manager::294406891311:license:l-00000000000000000000000000000001'
const HOUR = 3_600_000
const credentials = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'a-secret-that-nobody-reads' }

interface SceneOptions extends Partial<RegistrationOptions> {
  readonly simulator?: ServerOptions
  readonly http?: boolean
}

/** A simulator, and the example server with its registration and the exporter, on one clock. */
async function scene(t: TestContext, { simulator: faults, http = false, ...options }: SceneOptions = {}) {
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
  const byLicence = options.byLicence ?? true
  const client = http
    ? new HttpMeteringClient({ region: 'us-east-1', endpoint: aws.url, credentials })
    : new MarketplaceMetering({ region: 'us-east-1', endpoint: aws.url, credentials, maxAttempts: 1 })
  const exporter = new AWSMarketplaceMetricExporter({
    ...(byLicence ? { product: 'inference' } : { productCode: CODE }),
    region: 'us-east-1',
    ledger: join(folder, 'ledger.sqlite'),
    client,
    now: () => time,
  })
  const provider = new MeterProvider({
    readers: [new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: HOUR })],
  })
  const path = join(folder, 'customers.json')
  const keys = new RegisteredKeys(path, new ApiKeys())
  const server = createInferenceServer({ meter: provider.getMeter('test'), apiKeys: keys })
  const errors: string[] = []
  serveRegistration(server, {
    client,
    keys,
    productCode: CODE,
    byLicence,
    now: () => time,
    onError: message => errors.push(message),
    ...options,
  })
  const stop = gracefulStop(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(async () => {
    await stop(0)
    await provider.shutdown()
    await aws.close()
    await rm(folder, { recursive: true })
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const register = async (fields: Record<string, string>, init: RequestInit = {}) => {
    const response = await fetch(`${url}/register`, { method: 'POST', body: new URLSearchParams(fields), ...init })
    const html = await response.text()
    const key = /<code id="api-key">([^<]+)</.exec(html)?.[1] ?? ''
    return { response, status: response.status, html, key }
  }
  return {
    aws,
    url,
    keys,
    path,
    errors,
    provider,
    token: (product = CODE) =>
      aws.simulator.catalogue.createToken({
        product,
        accountId: ACCOUNT,
        ...(byLicence && { licenseArn: LICENCE }),
      }),
    register: (token: string, more: Record<string, string> = {}) =>
      register({ 'x-amzn-marketplace-token': token, ...more }),
    post: register,
    ask: (key: string) =>
      fetch(`${url}/v1/chat/completions`, {
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
  const { token, register, ask, path } = await scene(t)
  const first = token()
  const { key } = await register(first)
  for (const again of [first, token()]) {
    const { status, html, key: none } = await register(again)
    assert.equal(status, 200)
    assert.equal(none, '')
    assert.match(html, /set up already/)
    assert.ok(!html.includes(key))
  }
  assert.equal((await ask(key)).status, 200)
  const replaced = await register(first, { replace: 'yes' })
  assert.equal((await ask(key)).status, 401)
  assert.equal((await ask(replaced.key)).status, 200)
  assert.equal(JSON.parse(await readFile(path, 'utf8')).customers.length, 1)
})

test('browsers that register one customer at once get one key between them', async t => {
  const { token, register } = await scene(t)
  const answers = await Promise.all(Array.from({ length: 9 }, () => register(token())))
  assert.equal(answers.filter(({ key }) => key !== '').length, 1)
})

test('keys outlive the process, and only their hashes are kept', async t => {
  const { token, register, path } = await scene(t)
  const { key } = await register(token())
  const text = await readFile(path, 'utf8')
  assert.ok(!text.includes(key))
  const opened = new RegisteredKeys(path, ApiKeys.from({ 'sk-listed-0123456789': { name: 'A', accountId: ACCOUNT } }))
  assert.equal(opened.find(key)?.licenseArn, LICENCE)
  assert.equal(opened.find('sk-listed-0123456789')?.name, 'A')
  assert.equal(opened.find('sk-unknown'), undefined)
})

test('a key is not shown that could not be kept', async t => {
  const { token, register, path, errors } = await scene(t)
  // A folder in the way: the file cannot be written, by whoever runs the test.
  await mkdir(`${path}.new`)
  const { status, key, html } = await register(token())
  assert.equal(status, 500)
  assert.equal(key, '')
  assert.ok(!html.includes(path))
  assert.match(errors.join(), /EISDIR/)
  await rm(`${path}.new`, { recursive: true })
  assert.notEqual((await register(token())).key, '')
})

test('bad tokens get an answer that tells the buyer what to do', async t => {
  const { token, register, post, pass, url, errors, path } = await scene(t)
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
  await assert.rejects(readFile(path), { code: 'ENOENT' })
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

test('answers without what is needed are refused', async t => {
  const answers = [
    [{}, 503],
    [{ ProductCode: CODE, LicenseArn: LICENCE }, 500],
    [{ ProductCode: CODE, CustomerAWSAccountId: ACCOUNT }, 500],
  ] as const
  for (const [answer, expected] of answers) {
    const { register } = await scene(t, { client: { resolveCustomer: () => Promise.resolve(answer) } })
    assert.equal((await register('a-token')).status, expected)
  }
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
  const { url, token, register, post, ask } = await scene(t)
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
  assert.deepEqual([(await ask(ours.key)).status, (await ask(again.key)).status], [401, 200])
})

test("the customers file is its owner's alone, and made where nobody has put a link", async t => {
  const { token, register, path } = await scene(t)
  const elsewhere = `${path}.elsewhere`
  await writeFile(elsewhere, 'precious')
  await symlink(elsewhere, `${path}.new`)
  const umask = process.umask(0)
  try {
    assert.notEqual((await register(token())).key, '')
  } finally {
    process.umask(umask)
  }
  assert.equal((await stat(path)).mode & 0o777, 0o600)
  assert.equal(await readFile(elsewhere, 'utf8'), 'precious')
})

test('a customers file that is not one of ours is not overwritten', async t => {
  const folder = await mkdtemp(join(tmpdir(), 'registration-'))
  t.after(() => rm(folder, { recursive: true }))
  const path = join(folder, 'customers.json')
  for (const text of ['{', '[]', '{"customers":[{"keyHash":"x"}]}']) {
    await writeFile(path, text)
    assert.throws(() => new RegisteredKeys(path, new ApiKeys()), TypeError)
  }
})

test('settings for registration', () => {
  const env = { AWS_REGION: 'us-east-1', LEDGER: 'ledger.sqlite', CUSTOMERS_FILE: '/ledger/customers.json' }
  const { registration, product } = readSettings({ ...env, PRODUCT: 'label', PRODUCT_CODE: CODE })
  assert.deepEqual(registration, { productCode: CODE, customersFile: '/ledger/customers.json' })
  assert.deepEqual(product, { product: 'label' })
  assert.throws(() => readSettings({ ...env, PRODUCT: 'label' }), new SettingsError('PRODUCT_CODE is not set'))
  const keys = JSON.stringify({ 'sk-secret-0123456789': { name: 'A', accountId: ACCOUNT } })
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
