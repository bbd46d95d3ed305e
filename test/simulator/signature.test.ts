import assert from 'node:assert/strict'
import { createHash, createHmac } from 'node:crypto'
import { request as httpRequest } from 'node:http'
import { test } from 'node:test'
import { SignatureVerifier } from '../../src/simulator/signature.ts'
import { ACCOUNT, NOW, PRODUCT, running } from './support.ts'

const SIGNER = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY' }
const MINUTE = 60_000
const BODY = JSON.stringify({
  ProductCode: PRODUCT,
  UsageRecords: [{ Timestamp: NOW / 1000, Dimension: 'tökens', Quantity: 5, CustomerAWSAccountId: ACCOUNT }],
})

interface Signing {
  secret?: string
  key?: string
  at?: number
  /** The date in the scope, where it is another. */
  date?: string
  headers?: Record<string, string>
  unsigned?: string[]
  path?: string
  /** As it is to be signed. */
  query?: string
  /** What is sent instead of what was signed. */
  sentBody?: string
}

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')
const hmac = (key: string | Buffer, text: string) => createHmac('sha256', key).update(text).digest()

/** A request signed step by step as AWS's page has it. */
async function send(url: string, signing: Signing = {}) {
  const { secret = SIGNER.secretAccessKey, key = SIGNER.accessKeyId, at = NOW, unsigned = [] } = signing
  const time = new Date(at).toISOString().replace(/[:-]|\.\d{3}/g, '')
  const date = signing.date ?? time.slice(0, 8)
  const headers: Record<string, string> = {
    host: new URL(url).host,
    'content-type': 'application/x-amz-json-1.1',
    'x-amz-date': time,
    'x-amz-target': 'AWSMPMeteringService.BatchMeterUsage',
    ...signing.headers,
  }
  const names = Object.keys(headers)
    .filter(name => !unsigned.includes(name))
    .sort()
  const canonical = [
    'POST\n/',
    signing.query ?? '',
    ...names.map(name => `${name}:${headers[name]?.trim().replace(/ +/g, ' ')}`),
    '',
    names.join(';'),
    sha256(BODY),
  ].join('\n')
  const scope = `${date}/us-east-1/aws-marketplace/aws4_request`
  const signingKey = scope.split('/').reduce<string | Buffer>(hmac, `AWS4${secret}`)
  const signature = hmac(signingKey, `AWS4-HMAC-SHA256\n${time}\n${scope}\n${sha256(canonical)}`).toString('hex')
  const authorization = `AWS4-HMAC-SHA256 Credential=${key}/${scope}, SignedHeaders=${names.join(';')}, Signature=${signature}`
  return new Promise<{ status: number; type?: string; message?: string }>((resolve, reject) => {
    const request = httpRequest(`${url}${signing.path ?? '/'}`, {
      method: 'POST',
      headers: { ...headers, authorization },
    })
    request.on('error', reject).on('response', async response => {
      const { __type, message } = JSON.parse(Buffer.concat(await response.toArray()).toString('utf8'))
      resolve({ status: response.statusCode as number, type: __type, message })
    })
    request.end(signing.sentBody ?? BODY)
  })
}

const verifying = { verifySignatures: [SIGNER], wallClock: () => NOW }

const GOOD: Record<string, Signing> = {
  'as it should be': {},
  'a quarter of an hour ago': { at: NOW - 15 * MINUTE },
  'a quarter of an hour ahead': { at: NOW + 15 * MINUTE },
  'with spaces in its headers': { headers: { 'x-amz-meta': '  a   b ' } },
  'with a query': { path: '/?b=2&a=1&a=%27+x', query: 'a=%27%20x&a=1&b=2' },
  'without the content type, as some libraries do': { unsigned: ['content-type'] },
}
for (const [what, signing] of Object.entries(GOOD)) {
  test(`a signature ${what} is good`, async t => {
    const { url, simulator } = await running(t, verifying)
    assert.deepEqual(await send(url, signing), { status: 200, type: undefined, message: undefined })
    assert.equal(simulator.billed().length, 1)
  })
}

const BAD: Record<string, [Signing, type: string, message: RegExp]> = {
  'with another secret': [{ secret: 'another' }, 'InvalidSignatureException', /^The request signature we calculated/],
  'of another body': [{ sentBody: `${BODY} ` }, 'InvalidSignatureException', /^The request signature we calculated/],
  'of another query': [{ path: '/?a=1' }, 'InvalidSignatureException', /^The request signature we calculated/],
  'by somebody unknown': [{ key: 'AKIDUNKNOWN' }, 'UnrecognizedClientException', /security token .* is invalid/],
  'with a token that nobody gave': [
    { headers: { 'x-amz-security-token': 'token' } },
    'UnrecognizedClientException',
    /security token .* is invalid/,
  ],
  'a second too old': [
    { at: NOW - 15 * MINUTE - 1000 },
    'InvalidSignatureException',
    /^Signature expired: 20260610T121459Z is now earlier than 20260610T121500Z \(20260610T123000Z - 15 min\.\)$/,
  ],
  'a second too early': [
    { at: NOW + 15 * MINUTE + 1000 },
    'InvalidSignatureException',
    /^Signature not yet current: 20260610T124501Z is still later than 20260610T124500Z \(20260610T123000Z \+ 15 min\.\)$/,
  ],
  'for another day': [{ date: '20260609' }, 'InvalidSignatureException', /'20260609' != '20260610', from '20260610T12/],
  'without the host': [{ unsigned: ['host'] }, 'InvalidSignatureException', /'host' must be a 'SignedHeader'/],
  'without the operation': [
    { unsigned: ['x-amz-target'] },
    'InvalidSignatureException',
    /'x-amz-target' must be a 'SignedHeader'/,
  ],
  'without a time': [{ headers: { 'x-amz-date': 'today' } }, 'IncompleteSignatureException', /'X-Amz-Date'/],
}
for (const [what, [signing, type, message]] of Object.entries(BAD)) {
  test(`a signature ${what} is ${type}`, async t => {
    const { url, simulator } = await running(t, verifying)
    const answer = await send(url, signing)
    assert.equal(answer.status, 400)
    assert.equal(answer.type, type)
    assert.match(answer.message ?? '', message)
    assert.deepEqual(simulator.billed(), [])
    assert.deepEqual(simulator.counters.refused, { [type]: 1 })
  })
}

test('temporary credentials have to carry their token', async t => {
  const { url } = await running(t, { ...verifying, verifySignatures: [{ ...SIGNER, sessionToken: 'token' }] })
  assert.equal((await send(url, { headers: { 'x-amz-security-token': 'token' } })).status, 200)
  assert.equal((await send(url, { headers: { 'x-amz-security-token': 'other' } })).type, 'UnrecognizedClientException')
  assert.equal((await send(url)).type, 'UnrecognizedClientException')
})

test('signatures go by the true time, whatever the simulator’s clock says', async t => {
  const { url, simulator } = await running(t, { verifySignatures: [SIGNER] })
  simulator.clock.set('2026-06-10T12:30:00Z')
  assert.equal((await send(url, { at: Date.now() })).status, 200)
  assert.equal((await send(url, { at: Date.now() - 20 * MINUTE })).type, 'InvalidSignatureException')
})

test('nothing is checked unless it is asked for', async t => {
  const { url } = await running(t)
  assert.equal((await send(url, { secret: 'another', at: 0 })).status, 200)
})

test('credentials that are none are a clear error', () => {
  for (const credentials of [[{ accessKeyId: '' }], [{ ...SIGNER, secretAccessKey: 7 }], 'all']) {
    assert.throws(() => new SignatureVerifier(credentials as never), {
      code: 'ERR_SIMULATOR_CONFIGURATION',
      message: /options\.verifySignatures/,
    })
  }
})
