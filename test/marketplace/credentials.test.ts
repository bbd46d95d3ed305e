import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { inspect } from 'node:util'
import {
  type Credentials,
  type Fetch,
  HttpMeteringClient,
  type HttpMeteringClientOptions,
} from '../../src/marketplace/index.ts'
import { faultOf } from '../../src/metering/faults.ts'
import { CREDENTIALS, environment, errorOf, serverThat } from './support.ts'

const MINUTE = 60_000
const REQUEST = { UsageRecords: [] }

/** A client, and the access keys that it has signed with. */
function signing(options: HttpMeteringClientOptions = {}, answer = () => new Response('{}')) {
  const keys: (string | undefined)[] = []
  const fetch: Fetch = async (_, init) => {
    keys.push(/Credential=(\w+)/.exec(new Headers(init.headers).get('authorization') ?? '')?.[1])
    return answer()
  }
  const client = new HttpMeteringClient({ region: 'us-east-1', fetch, ...options })
  return { client, keys, send: () => client.batchMeterUsage(REQUEST) }
}

async function refused(send: Promise<unknown>, message: RegExp) {
  const error = await errorOf(send)
  assert.equal(error.code, 'ERR_CREDENTIALS', inspect(error))
  assert.equal(error.name, 'CredentialsProviderError')
  assert.match(error.message, message)
  assert.equal(faultOf(error).fault, 'configuration')
  return error
}

test('without any there is a clear error, and nothing is sent', async t => {
  environment(t, {})
  const { send, keys } = signing()
  await refused(send(), /^No AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY/)
  assert.deepEqual(keys, [])
})

test('those of the environment, each time as they are', async t => {
  const { send, keys } = signing()
  environment(t, { AWS_ACCESS_KEY_ID: 'AKIDFIRST', AWS_SECRET_ACCESS_KEY: 'secret' })
  await send()
  environment(t, { AWS_ACCESS_KEY_ID: 'AKIDSECOND', AWS_SECRET_ACCESS_KEY: 'secret', AWS_SESSION_TOKEN: 'token' })
  await send()
  assert.deepEqual(keys, ['AKIDFIRST', 'AKIDSECOND'])
  environment(t, { AWS_ACCESS_KEY_ID: 'AKIDFIRST' })
  await refused(send(), /AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is not/)
  environment(t, { AWS_SECRET_ACCESS_KEY: 'secret' })
  await refused(send(), /AWS_SECRET_ACCESS_KEY is set, but AWS_ACCESS_KEY_ID is not/)
})

const BAD: [string, object | null | undefined][] = [
  ['accessKeyId', { ...CREDENTIALS, accessKeyId: undefined }],
  ['accessKeyId', { ...CREDENTIALS, accessKeyId: 'hush hush' }],
  ['secretAccessKey', { ...CREDENTIALS, secretAccessKey: '' }],
  ['secretAccessKey', { ...CREDENTIALS, secretAccessKey: 'hush\n' }],
  ['sessionToken', { ...CREDENTIALS, sessionToken: 'hush\r\nx-evil: 1' }],
  ['sessionToken', { ...CREDENTIALS, sessionToken: 'hüsh' }],
  ['expiration', { ...CREDENTIALS, expiration: 'hush' }],
  ['expiration', { ...CREDENTIALS, expiration: new Date(Number.NaN) }],
  ['object', null],
]
for (const [what, credentials] of BAD) {
  test(`what cannot be a credential is named and not shown: ${JSON.stringify(credentials)}`, async () => {
    const { send, keys } = signing({ credentials: () => credentials as Credentials })
    const error = await refused(send(), new RegExp(`^The AWS credentials' ${what} `))
    assert.doesNotMatch(inspect(error), /hush|hüsh|wJalr/)
    assert.deepEqual(keys, [])
  })
}

test('a provider is asked each time where nothing expires, and once for all who wait', async () => {
  let asked = 0
  const provider = async () => {
    asked++
    return CREDENTIALS
  }
  const { send } = signing({ credentials: provider })
  await Promise.all([send(), send(), send()])
  assert.equal(asked, 1)
  await send()
  assert.equal(asked, 2)
})

test('credentials that expire are kept until five minutes before', async () => {
  let now = 0
  let asked = 0
  const provider = () => ({ ...CREDENTIALS, accessKeyId: `KEY${++asked}`, expiration: new Date(now + 60 * MINUTE) })
  const { send, keys } = signing({ credentials: provider, now: () => now })
  await send()
  now = 55 * MINUTE - 1
  await send()
  now++
  await send()
  assert.deepEqual(keys, ['KEY1', 'KEY1', 'KEY2'])
})

test('a provider that fails does no harm while the old ones last', async () => {
  let now = 0
  let failing = false
  const provider = () => {
    if (failing) throw new Error('no metadata')
    return { ...CREDENTIALS, expiration: new Date(60 * MINUTE) }
  }
  const { send, keys } = signing({ credentials: provider, now: () => now })
  await send()
  failing = true
  now = 60 * MINUTE - 1
  await send()
  now++
  await refused(send(), /^No AWS credentials: no metadata$/)
  assert.equal(keys.length, 2)
})

test('credentials that AWS refuses are asked for anew', async () => {
  let asked = 0
  const provider = () => ({ ...CREDENTIALS, accessKeyId: `KEY${++asked}`, expiration: new Date(Date.now() + 1e9) })
  const expired = () => Response.json({ __type: 'ExpiredTokenException', message: '' }, { status: 400 })
  const { send, keys } = signing({ credentials: provider }, expired)
  await errorOf(send())
  await errorOf(send())
  assert.deepEqual(keys, ['KEY1', 'KEY2'])
})

test('a provider that never answers is left at the timeout', async () => {
  const { send, keys } = signing({ credentials: () => new Promise(() => {}), timeout: 20 })
  await refused(send(), /^No AWS credentials within 20 ms/)
  assert.deepEqual(keys, [])
})

/** A container's endpoint for credentials, and a client that finds it. */
async function container(t: TestContext, variables: Record<string, string>, answer?: string | number) {
  const authorizations: (string | undefined)[] = []
  const credentials = {
    AccessKeyId: 'CONTAINERKEY',
    SecretAccessKey: 'secret',
    Token: 'token',
    Expiration: new Date(Date.now() + 6 * 60 * MINUTE).toISOString(),
  }
  const url = await serverThat(t, (request, response) => {
    authorizations.push(request.headers.authorization)
    response.statusCode = typeof answer === 'number' ? answer : 200
    if (request.url === '/full') response.setHeader('location', '/elsewhere')
    response.end(typeof answer === 'string' ? answer : JSON.stringify(credentials))
  })
  const keys: (string | undefined)[] = []
  const tokens: (string | null)[] = []
  const fetch: Fetch = async (to, init) => {
    // ECS has an address of its own, which is this server here.
    if (to.startsWith('http://169.254.170.2/')) return globalThis.fetch(`${url}${new URL(to).pathname}`, init)
    if (to.startsWith(url)) return globalThis.fetch(to, init)
    tokens.push(new Headers(init.headers).get('x-amz-security-token'))
    keys.push(/Credential=(\w+)/.exec(new Headers(init.headers).get('authorization') ?? '')?.[1])
    return new Response('{}')
  }
  environment(t, { AWS_CONTAINER_CREDENTIALS_FULL_URI: `${url}/full`, ...variables })
  const client = new HttpMeteringClient({ region: 'us-east-1', fetch })
  return { send: () => client.batchMeterUsage(REQUEST), keys, tokens, authorizations }
}

test('those of an ECS task: asked for once', async t => {
  const { send, keys, tokens, authorizations } = await container(t, {
    AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: '/v2/credentials/1',
  })
  await send()
  await send()
  assert.deepEqual(keys, ['CONTAINERKEY', 'CONTAINERKEY'])
  assert.deepEqual(tokens, ['token', 'token'])
  assert.deepEqual(authorizations, [undefined])
})

test('those of an EKS pod: with a token, of a file before that of a variable', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'credentials-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'token')
  writeFileSync(file, 'of the file\n')
  const AWS_CONTAINER_AUTHORIZATION_TOKEN = 'of the variable'
  const variable = await container(t, { AWS_CONTAINER_AUTHORIZATION_TOKEN })
  await variable.send()
  assert.deepEqual(variable.authorizations, ['of the variable'])
  const both = await container(t, {
    AWS_CONTAINER_AUTHORIZATION_TOKEN,
    AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: file,
  })
  await both.send()
  assert.deepEqual(both.authorizations, ['of the file'])
})

const BAD_CONTAINERS: [string, Record<string, string>, string | number | undefined, RegExp][] = [
  ['another host', { AWS_CONTAINER_CREDENTIALS_FULL_URI: 'http://evil.example/' }, undefined, /_FULL_URI: expected/],
  ['no URL', { AWS_CONTAINER_CREDENTIALS_FULL_URI: 'nonsense' }, undefined, /_FULL_URI: expected/],
  [
    'a path that is a host',
    { AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: '@127.0.0.1/' },
    undefined,
    /_RELATIVE_URI: expected/,
  ],
  ['a token of two lines', { AWS_CONTAINER_AUTHORIZATION_TOKEN: 'hush\nhush' }, undefined, /TOKEN has characters/],
  ['a token file that is missing', { AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: '/no/such/file' }, undefined, /ENOENT/],
  ['an error', {}, 500, /answered HTTP 500/],
  ['a redirect', {}, 307, /fetch failed/],
  ['a page', {}, '<html>hush</html>', /answered something else than credentials/],
  ['a JSON that is none', {}, '7', /accessKeyId/],
  ['too much', {}, `{"AccessKeyId":"hush${' '.repeat(70_000)}"}`, /answered something else/],
]
for (const [what, variables, answer, message] of BAD_CONTAINERS) {
  test(`a container's credentials: ${what} is a clear error`, async t => {
    const { send, keys } = await container(t, variables, answer)
    const error = await refused(send(), message)
    assert.doesNotMatch(inspect(error, { depth: 10 }), /hush/)
    assert.deepEqual(keys, [])
  })
}
