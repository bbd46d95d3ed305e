import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { test } from 'node:test'
import { startSimulator } from '../../src/simulator/index.ts'
import { ACCOUNT, NOW, PRODUCT, running } from './support.ts'

const AUTHORIZATION =
  'AWS4-HMAC-SHA256 Credential=AKID/20260610/ap-south-1/aws-marketplace/aws4_request, SignedHeaders=host;x-amz-date, Signature=' +
  '0'.repeat(64)

const HEADERS = {
  'content-type': 'application/x-amz-json-1.1',
  'x-amz-target': 'AWSMPMeteringService.BatchMeterUsage',
  authorization: AUTHORIZATION,
}

const BODY = {
  ProductCode: PRODUCT,
  UsageRecords: [{ Timestamp: NOW / 1000, Dimension: 'tokens', Quantity: 5, CustomerAWSAccountId: ACCOUNT }],
}

interface Sent {
  headers?: Record<string, string | undefined>
  body?: string
  method?: string
  path?: string
}

async function post(
  url: string,
  { headers = {}, body = JSON.stringify(BODY), method = 'POST', path = '/' }: Sent = {},
) {
  const all = Object.entries({ ...HEADERS, ...headers }).filter(
    (entry): entry is [string, string] => entry[1] !== undefined,
  )
  const response = await fetch(`${url}${path}`, { method, headers: all, ...(method === 'POST' && { body }) })
  return {
    status: response.status,
    type: response.headers.get('content-type'),
    id: response.headers.get('x-amzn-requestid'),
    body: (await response.json()) as { __type?: string; message?: string },
  }
}

test('the wire is AWS JSON 1.1: PascalCase, timestamps in seconds, the region in the signature’s scope', async t => {
  const { url, simulator } = await running(t)
  const answer = await post(url)
  assert.equal(answer.status, 200)
  assert.equal(answer.type, 'application/x-amz-json-1.1')
  assert.match(answer.id ?? '', /^[0-9a-f-]{36}$/)
  assert.deepEqual(answer.body, {
    Results: [
      {
        UsageRecord: BODY.UsageRecords[0],
        MeteringRecordId: simulator.billed()[0]?.meteringRecordId,
        Status: 'Success',
      },
    ],
    UnprocessedRecords: [],
  })
  assert.equal(simulator.billed()[0]?.region, 'ap-south-1')
  assert.equal(simulator.requests()[0]?.accessKeyId, 'AKID')
})

test('a null is as good as a missing member', async t => {
  const { url } = await running(t)
  const record = { ...BODY.UsageRecords[0], CustomerIdentifier: null, LicenseArn: null, UsageAllocations: null }
  assert.equal((await post(url, { body: JSON.stringify({ ...BODY, UsageRecords: [record] }) })).status, 200)
})

const withRecords = (UsageRecords: unknown) => JSON.stringify({ ...BODY, UsageRecords })

const REFUSED: Record<string, { sent: Sent; status?: number; type: string }> = {
  'another path': { sent: { path: '/usage' }, status: 404, type: 'UnknownOperationException' },
  'another method': { sent: { method: 'GET' }, status: 404, type: 'UnknownOperationException' },
  'another content type': {
    sent: { headers: { 'content-type': 'application/json' } },
    status: 404,
    type: 'UnknownOperationException',
  },
  'no target': { sent: { headers: { 'x-amz-target': undefined } }, type: 'UnknownOperationException' },
  'another service': {
    sent: { headers: { 'x-amz-target': 'DynamoDB_20120810.BatchMeterUsage' } },
    type: 'UnknownOperationException',
  },
  'an operation it does not know': {
    sent: { headers: { 'x-amz-target': 'AWSMPMeteringService.MeterUsage' } },
    type: 'UnknownOperationException',
  },
  'an operation of its sister service': {
    sent: { headers: { 'x-amz-target': 'AWSMPMeteringService.GetEntitlements' } },
    type: 'UnknownOperationException',
  },
  'no signature': { sent: { headers: { authorization: undefined } }, type: 'MissingAuthenticationTokenException' },
  'another kind of authorization': {
    sent: { headers: { authorization: 'Bearer x' } },
    type: 'IncompleteSignatureException',
  },
  'a signature without its scope': {
    sent: { headers: { authorization: AUTHORIZATION.replace('/aws4_request', '') } },
    type: 'IncompleteSignatureException',
  },
  'a signature without a signature': {
    sent: { headers: { authorization: AUTHORIZATION.replace(/Signature=.*/, '') } },
    type: 'IncompleteSignatureException',
  },
  'a signature for another service': {
    sent: { headers: { authorization: AUTHORIZATION.replace('aws-marketplace', 's3') } },
    type: 'InvalidSignatureException',
  },
  'no JSON': { sent: { body: '{' }, type: 'SerializationException' },
  'a list': { sent: { body: '[]' }, type: 'SerializationException' },
  'no body': { sent: { body: '' }, type: 'ValidationException' },
  'no records': { sent: { body: withRecords(null) }, type: 'ValidationException' },
  'records that are no list': { sent: { body: withRecords({}) }, type: 'SerializationException' },
  'a record that is none': { sent: { body: withRecords(['x']) }, type: 'SerializationException' },
  'a timestamp in ISO 8601': {
    sent: { body: withRecords([{ ...BODY.UsageRecords[0], Timestamp: '2026-06-10T12:00:00Z' }]) },
    type: 'SerializationException',
  },
  'a timestamp out of all time': {
    sent: { body: withRecords([{ ...BODY.UsageRecords[0], Timestamp: 1e300 }]) },
    type: 'SerializationException',
  },
  'a dimension that is no text': {
    sent: { body: withRecords([{ ...BODY.UsageRecords[0], Dimension: 7 }]) },
    type: 'SerializationException',
  },
  'allocations that are no list': {
    sent: { body: withRecords([{ ...BODY.UsageRecords[0], UsageAllocations: 7 }]) },
    type: 'SerializationException',
  },
  'an allocation without a quantity': {
    sent: { body: withRecords([{ ...BODY.UsageRecords[0], UsageAllocations: [{}] }]) },
    type: 'ValidationException',
  },
  'tags that are no list': {
    sent: {
      body: withRecords([{ ...BODY.UsageRecords[0], UsageAllocations: [{ AllocatedUsageQuantity: 5, Tags: 'x' }] }]),
    },
    type: 'SerializationException',
  },
  'a tag that is no text': {
    sent: {
      body: withRecords([
        { ...BODY.UsageRecords[0], UsageAllocations: [{ AllocatedUsageQuantity: 5, Tags: [{ Key: 7 }] }] },
      ]),
    },
    type: 'SerializationException',
  },
  'a body of 1 MB': {
    sent: { body: JSON.stringify(BODY).padEnd(1_000_000) },
    status: 413,
    type: 'RequestEntityTooLargeException',
  },
}

for (const [what, { sent, status = 400, type }] of Object.entries(REFUSED)) {
  test(`answers ${what} as AWS does, with ${type}`, async t => {
    const { url, simulator } = await running(t)
    const answer = await post(url, sent)
    assert.equal(answer.status, status)
    assert.equal(answer.body.__type, type)
    assert.equal(typeof answer.body.message, 'string')
    assert.equal(answer.type, 'application/x-amz-json-1.1')
    assert.deepEqual(simulator.billed(), [])
    assert.deepEqual(simulator.counters.refused, { [type]: 1 })
    assert.equal(simulator.counters.requests, 1)
    assert.equal(simulator.requests()[0]?.outcome, type)
  })
}

test('a body of just under 1 MB is taken', async t => {
  const { url } = await running(t)
  assert.equal((await post(url, { body: JSON.stringify(BODY).padEnd(999_999) })).status, 200)
})

test('closing cuts open requests off, and can be done twice', async t => {
  let asked = () => {}
  const reached = new Promise<void>(resolve => {
    asked = resolve
  })
  const simulator = await startSimulator({
    now: () => NOW,
    faults: [{ kind: 'latency', rate: 1, milliseconds: 600_000 }],
    delay: (_, signal) => {
      asked()
      return new Promise((_resolve, reject) => signal?.addEventListener('abort', () => reject(signal.reason)))
    },
  })
  t.after(() => simulator.close())
  const cut = assert.rejects(post(simulator.url))
  await reached
  await Promise.all([simulator.close(), simulator.close()])
  await cut
})

test('closing does not wait for a request that never ends', async t => {
  const simulator = await startSimulator()
  const socket = connect(Number(new URL(simulator.url).port), '127.0.0.1')
  t.after(() => socket.destroy())
  socket.on('error', () => {})
  const closed = once(socket, 'close')
  const heard = once(socket, 'data')
  socket.write('POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n')
  await heard
  await simulator.close()
  await closed
})

test('a port that is taken, or is none, is a clear error', async t => {
  const { url } = await running(t)
  const port = Number(new URL(url).port)
  await assert.rejects(startSimulator({ port }), {
    code: 'ERR_SIMULATOR_CONFIGURATION',
    message: /^Cannot listen on 127\.0\.0\.1:/,
  })
  await assert.rejects(startSimulator({ port: 70_000 }), {
    code: 'ERR_SIMULATOR_CONFIGURATION',
    message: /options\.port: .*70000/,
  })
})
