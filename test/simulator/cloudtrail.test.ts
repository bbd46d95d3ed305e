import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { gunzipSync } from 'node:zlib'
import { CloudTrail, type CloudTrailServiceException, LookupAttributeKey } from '@aws-sdk/client-cloudtrail'
import {
  type CloudTrailEvent,
  FAULT_KINDS,
  type FaultKind,
  MarketplaceSimulator,
  parseFault,
  TRAIL_FAULT_KINDS,
} from '../../src/simulator/index.ts'
import {
  ACCOUNT,
  batch,
  HOUR,
  LICENCE,
  licensed,
  MINUTE,
  NOW,
  PRODUCT,
  type Running,
  record,
  running,
} from './support.ts'

/** The AWS SDK's own client of CloudTrail, with one attempt. */
function trailOf(t: TestContext, at: Running, region = 'us-east-1'): CloudTrail {
  const credentials = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'secret' }
  const client = new CloudTrail({ endpoint: at.url, region, credentials, maxAttempts: 1 })
  t.after(() => client.destroy())
  return client
}

async function get(at: Running, path: string) {
  const response = await fetch(`${at.url}/_simulator${path}`)
  return { status: response.status, body: JSON.parse(await response.text()) }
}

const quantities = (events: CloudTrailEvent[]) =>
  events.flatMap(({ requestParameters }) => requestParameters?.usageRecords.map(({ quantity }) => quantity))

const named = (kind: string) => (error: unknown) => (error as CloudTrailServiceException).name === kind

test('an event has what AWS writes down of a call, member by member', async t => {
  const identities = { AKIDEXAMPLE: { role: 'meter', session: 'm1' } }
  const at = await running(t, { cloudTrail: { identities } })
  const stamp = new Date(Date.UTC(2026, 5, 10, 10, 59, 59))
  const client = at.sdk({ region: 'eu-central-1' })
  const { $metadata, Results } = await client.batchMeterUsage({
    UsageRecords: [licensed({ Timestamp: stamp, Quantity: 400 })],
  })
  const [event, ...others] = at.simulator.cloudTrail.events()
  assert.deepEqual(others, [])
  const { userAgent, eventID, ...rest } = event as CloudTrailEvent
  assert.match(userAgent, /aws-sdk-js/)
  assert.match(eventID, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)
  const usageRecord = {
    timestamp: 'Jun 10, 2026 10:59:59 AM',
    dimension: 'tokens',
    quantity: 400,
    customerAWSAccountID: ACCOUNT,
    licenseArn: LICENCE,
  }
  assert.deepEqual(rest, {
    eventVersion: '1.11',
    userIdentity: {
      type: 'AssumedRole',
      arn: 'arn:aws:sts::999900001111:assumed-role/meter/m1',
      accountId: '999900001111',
      accessKeyId: 'AKIDEXAMPLE',
      sessionContext: {
        sessionIssuer: {
          type: 'Role',
          arn: 'arn:aws:iam::999900001111:role/meter',
          accountId: '999900001111',
          userName: 'meter',
        },
      },
    },
    eventTime: '2026-06-10T12:30:00Z',
    eventSource: 'metering-marketplace.amazonaws.com',
    eventName: 'BatchMeterUsage',
    awsRegion: 'eu-central-1',
    sourceIPAddress: '127.0.0.1',
    requestParameters: { usageRecords: [usageRecord] },
    responseElements: {
      results: [{ usageRecord, meteringRecordId: Results?.[0]?.MeteringRecordId, status: 'Success' }],
      unprocessedRecords: [],
    },
    requestID: $metadata.requestId,
    readOnly: false,
    eventType: 'AwsApiCall',
    recipientAccountId: '999900001111',
  })
})

test('product codes, identifiers, tags, refusals, other statuses and other tools are in the events', async t => {
  const at = await running(t, { quota: 4 })
  const { simulator } = at
  const client = at.sdk()
  const tagged = [{ AllocatedUsageQuantity: 5, Tags: [{ Key: 'team', Value: 'search' }] }]
  const legacy = {
    Timestamp: new Date(NOW - HOUR),
    Dimension: 'tokens',
    Quantity: 5,
    CustomerIdentifier: 'c-1',
    UsageAllocations: tagged,
  }
  await client.batchMeterUsage(batch(legacy))
  simulator.faults.add({ kind: 'unprocessed', next: 1, share: 0, dimension: 'b' })
  await client.batchMeterUsage(batch(record({ Quantity: 7 }), record({ Dimension: 'b' }), record({ Quantity: 7 })))
  await client.batchMeterUsage(batch(record({ Quantity: 8 })))
  const refused = await client.batchMeterUsage(batch(record({ Timestamp: new Date(NOW + HOUR) }))).catch(error => error)
  const throttled = await client.batchMeterUsage(batch(record())).catch(error => error)
  assert.equal(throttled.name, 'ThrottlingException')
  simulator.meterForeign(batch(record({ Dimension: 'c' })), 'eu-west-1')
  simulator.meterForeign(batch(record({ Dimension: 'd' })), 'eu-west-1', { accessKeyId: 'ASIA1', userAgent: 'curl/8' })
  assert.throws(() => simulator.meterForeign(batch(record({ Dimension: '' }))), { name: 'ValidationException' })
  await at
    .sdk()
    .resolveCustomer({ RegistrationToken: 't' })
    .catch(() => {})
  const events = simulator.cloudTrail.events()
  assert.deepEqual(events[0]?.requestParameters, {
    usageRecords: [
      {
        timestamp: 'Jun 10, 2026 11:30:00 AM',
        dimension: 'tokens',
        quantity: 5,
        customerIdentifier: 'c-1',
        usageAllocations: [{ allocatedUsageQuantity: 5, tags: [{ key: 'team', value: 'search' }] }],
      },
    ],
    productCode: PRODUCT,
  })
  const outcomes = events.map(({ responseElements, errorCode }) =>
    responseElements
      ? [
          responseElements.results.map(({ status, usageRecord }) => `${usageRecord.dimension} ${status}`),
          responseElements.unprocessedRecords.map(({ dimension }) => dimension),
        ]
      : [errorCode, responseElements],
  )
  assert.deepEqual(outcomes, [
    [['tokens Success'], []],
    [['tokens Success', 'tokens Success'], ['b']],
    [['tokens DuplicateRecord'], []],
    ['TimestampOutOfBoundsException', null],
    ['ThrottlingException', null],
    [['c Success'], []],
    [['d Success'], []],
    ['ValidationException', null],
  ])
  assert.equal(events[3]?.errorMessage, refused.message)
  assert.equal(events[3]?.requestID, refused.$metadata.requestId)
  assert.deepEqual(
    events.slice(4).map(({ userIdentity: { arn }, sourceIPAddress, awsRegion }) => [arn, sourceIPAddress, awsRegion]),
    [
      ['arn:aws:sts::999900001111:assumed-role/meter/AKIDEXAMPLE', '127.0.0.1', 'us-east-1'],
      ['arn:aws:iam::999900001111:user/other-tool', '198.51.100.23', 'eu-west-1'],
      ['arn:aws:sts::999900001111:assumed-role/meter/ASIA1', '198.51.100.23', 'eu-west-1'],
      ['arn:aws:iam::999900001111:user/other-tool', '198.51.100.23', 'us-east-1'],
    ],
  )
  assert.deepEqual(
    events.slice(5).map(({ userAgent }) => userAgent),
    ['Boto3/1.40.0', 'curl/8', 'Boto3/1.40.0'],
  )
})

test('each fault of a request leaves the event that AWS can write of it: what came, and what AWS itself answered', async t => {
  const { sdk, simulator } = await running(t)
  const seen: Record<string, unknown> = {}
  const kinds: FaultKind[] = [
    'throttling',
    'internal-error',
    'internal-error-after',
    'reset',
    'reset-after',
    'html',
    'html-after',
    'truncated',
    'empty',
    'expired-credentials',
    'access-denied',
    'unrecognized-client',
    'region-disabled',
    'missing',
  ]
  for (const Dimension of kinds) {
    simulator.faults.add({ kind: Dimension, next: 1 })
    await sdk()
      .batchMeterUsage(batch(record({ Dimension })))
      .catch(() => {})
    const last = simulator.cloudTrail.events().at(-1)
    const own = last?.requestParameters?.usageRecords[0]?.dimension === Dimension
    seen[Dimension] = own
      ? (last?.errorCode ?? last?.responseElements?.results.map(({ status }) => status).join())
      : 'no event'
  }
  assert.deepEqual(seen, {
    throttling: 'ThrottlingException',
    'internal-error': 'InternalServiceErrorException',
    'internal-error-after': 'InternalServiceErrorException',
    reset: 'no event',
    'reset-after': 'Success',
    html: 'no event',
    'html-after': 'Success',
    truncated: 'Success',
    empty: 'Success',
    'expired-credentials': 'no event',
    'access-denied': 'AccessDeniedException',
    'unrecognized-client': 'no event',
    'region-disabled': 'DisabledApiException',
    missing: '',
  })
})

test('with every fault of requests, the events of Success are what was billed, but for AWS’s own errors', () => {
  const simulator = new MarketplaceSimulator({ now: () => NOW, quota: null, seed: 11 })
  for (const kind of FAULT_KINDS) simulator.faults.add({ kind, rate: 0.04 })
  for (let index = 0; index < 600; index++) {
    const Dimension = `d${index % 200}`
    const request = batch(record({ Dimension, Quantity: index % 7 }), record({ Dimension: `o${index}` }))
    if (index % 5 === 0) simulator.meterForeign(request)
    else simulator.answer('BatchMeterUsage', request, { region: 'us-east-1', accessKeyId: 'AKIA1' })
  }
  const events = simulator.cloudTrail.events()
  const inTrail = new Map(
    events
      .flatMap(({ responseElements }) => responseElements?.results ?? [])
      .filter(({ status }) => status === 'Success')
      .map(({ meteringRecordId, usageRecord }) => [meteringRecordId, usageRecord]),
  )
  const unanswered = new Set(
    events
      .filter(({ errorCode }) => errorCode === 'InternalServiceErrorException')
      .flatMap(({ requestParameters }) => requestParameters?.usageRecords ?? [])
      .map(({ dimension, quantity }) => `${dimension} ${quantity}`),
  )
  const billed = new Map(simulator.billed().map(each => [each.meteringRecordId, each]))
  for (const [id, { dimension, quantity }] of inTrail) {
    const { dimension: of, quantity: amount } = billed.get(id as string) ?? {}
    assert.deepEqual([dimension, quantity], [of, amount])
  }
  const missing = simulator.counters.faults.missing ?? 0
  const untold = [...billed.values()].filter(
    each => !inTrail.has(each.meteringRecordId) && !unanswered.has(`${each.dimension} ${each.quantity}`),
  )
  assert.ok(untold.length <= missing * 2, 'a record in neither list is in neither list of the event')
  assert.ok(inTrail.size > 500 && unanswered.size > 10 && missing > 5)
})

test('what AWS does not say of events can be switched, and applies to those of before', () => {
  const simulator = new MarketplaceSimulator({ now: () => NOW, quota: null })
  simulator.batchMeterUsage(batch(record({ Timestamp: new Date(Date.UTC(2026, 5, 10, 0, 5, 9)) })))
  const now = () => simulator.cloudTrail.events()[0]?.requestParameters?.usageRecords[0]
  const forms = ['text', 'comma', 'narrow-space', 'comma-narrow-space', 'iso', 'seconds'] as const
  const written = forms.map(trailTimestamp => {
    simulator.undocumented = { trailTimestamp }
    return now()?.timestamp
  })
  assert.deepEqual(written, [
    'Jun 10, 2026 12:05:09 AM',
    'Jun 10, 2026, 12:05:09 AM',
    'Jun 10, 2026 12:05:09\u202fAM',
    'Jun 10, 2026, 12:05:09\u202fAM',
    '2026-06-10T00:05:09Z',
    Date.UTC(2026, 5, 10, 0, 5, 9) / 1000,
  ])
  simulator.undocumented = { trailAccountMember: 'customerAWSAccountId' }
  assert.equal(now()?.customerAWSAccountId, ACCOUNT)
  assert.equal(now()?.customerAWSAccountID, undefined)
})

test('above 100 KB requestParameters and responseElements are left out whole, each by itself', () => {
  const simulator = new MarketplaceSimulator({ now: () => NOW, quota: null })
  const tagged = (count: number) =>
    Array.from({ length: count }, (_, index) => ({
      AllocatedUsageQuantity: 1,
      Tags: [{ Key: 'k', Value: `${index}`.padEnd(200, 'x') }],
    }))
  const send = (count: number, ...more: ReturnType<typeof record>[]) =>
    simulator.batchMeterUsage(
      batch(record({ Quantity: count, Dimension: `d${count}`, UsageAllocations: tagged(count) }), ...more),
    )
  send(3)
  // What was answered of each record beside it makes the answer larger.
  send(380, ...Array.from({ length: 20 }, (_, index) => record({ Dimension: `plain${index}` })))
  send(2500)
  const members = () =>
    simulator.cloudTrail.events().map(event => [event.requestParameters, event.responseElements].map(one => typeof one))
  assert.deepEqual(members(), [
    ['object', 'object'],
    ['object', 'undefined'],
    ['undefined', 'undefined'],
  ])
  simulator.undocumented = { trailLeftOut: 'null' }
  assert.equal(simulator.cloudTrail.events()[2]?.requestParameters, null)
  assert.equal(simulator.cloudTrail.events()[2]?.errorCode, undefined)
})

test('events come late, in disorder, twice, without members or never, by time and region', async t => {
  const { simulator, sdk } = await running(t)
  const { clock, faults, cloudTrail } = simulator
  clock.set(NOW)
  const regions = ['us-east-1', 'eu-west-1']
  const send = async (Quantity: number) => {
    for (const region of regions) {
      await sdk({ region }).batchMeterUsage(batch(record({ Dimension: `d${Quantity}`, Quantity })))
    }
  }
  faults.add({ kind: 'trail-late', rate: 1 })
  await send(1)
  assert.deepEqual(cloudTrail.events(), [])
  clock.advance(15 * MINUTE)
  assert.deepEqual(quantities(cloudTrail.events()), [1, 1])
  assert.equal(cloudTrail.events()[0]?.eventTime, '2026-06-10T12:30:00Z')

  faults.clear('trail-late')
  faults.add({ kind: 'trail-gap', rate: 1, region: 'eu-west-1', from: NOW + HOUR, to: '2026-06-10T14:30:00Z' })
  await send(2)
  clock.set(NOW + HOUR)
  await send(3)
  clock.set(NOW + 2 * HOUR)
  await send(4)
  assert.deepEqual(quantities(cloudTrail.events({ region: 'eu-west-1' })), [1, 2, 4])
  assert.deepEqual(quantities(cloudTrail.events({ region: 'us-east-1' })), [1, 2, 3, 4])
  assert.deepEqual(quantities(cloudTrail.events({ from: NOW + HOUR, to: NOW + 2 * HOUR })), [3])
  assert.deepEqual(simulator.counters.faults, { 'trail-late': 2, 'trail-gap': 1 })
  assert.equal(simulator.billed().length, 8, 'what is billed is billed, whatever is written of it')

  faults.clear()
  faults.add({ kind: 'trail-duplicate', next: 1, milliseconds: MINUTE })
  faults.add({ kind: 'trail-left-out', next: 1, share: 1, region: 'eu-west-1' })
  clock.set(NOW + 3 * HOUR)
  await send(5)
  const last = () => cloudTrail.events({ from: NOW + 3 * HOUR })
  assert.equal(last().length, 2)
  clock.advance(MINUTE)
  assert.deepEqual(quantities(last()), [5, 5, undefined])
  assert.equal(last()[0]?.eventID, last()[1]?.eventID)

  faults.add({ kind: 'trail-shuffled', rate: 1, milliseconds: 5 * HOUR })
  for (let step = 0; step < 20; step++) {
    clock.set(NOW + 4 * HOUR + step * MINUTE)
    await send(10 + step)
  }
  const order = quantities(cloudTrail.events({ from: NOW + 4 * HOUR, region: 'us-east-1' })) as number[]
  assert.notDeepEqual(order, order.toSorted())
  assert.deepEqual(
    order.toSorted(),
    Array.from({ length: 20 }, (_, step) => 10 + step),
  )
  assert.deepEqual(
    TRAIL_FAULT_KINDS.map(kind => parseFault(`${kind}=0.5`)),
    TRAIL_FAULT_KINDS.map(kind => ({ kind, rate: 0.5, share: 0.5, milliseconds: 900_000 })),
  )
})

test('faults of the trail do not shift those of requests', () => {
  const outcomes = (...trail: (typeof TRAIL_FAULT_KINDS)[number][]) => {
    const simulator = new MarketplaceSimulator({ now: () => NOW, quota: null, seed: 3 })
    simulator.faults.add({ kind: 'unprocessed', rate: 0.5 })
    for (const kind of trail) simulator.faults.add({ kind, rate: 0.5 })
    return Array.from({ length: 200 }, (_, index) => {
      const { Results } = simulator.batchMeterUsage(
        batch(record({ Dimension: `${index}` }), record({ Dimension: `o${index}` })),
      )
      return Results.length
    })
  }
  assert.deepEqual(outcomes(...TRAIL_FAULT_KINDS), outcomes())
})

test('LookupEvents pages through a region, the latest first, for the AWS SDK', async t => {
  const at = await running(t, { cloudTrail: { lookupsPerSecond: null } })
  const { simulator } = at
  for (let minute = 0; minute < 120; minute++) {
    simulator.clock.set(NOW + minute * MINUTE)
    for (const region of ['us-east-1', 'eu-west-1']) {
      const accessKeyId = minute === 7 ? 'AKIASEVEN' : 'AKIDEXAMPLE'
      simulator.batchMeterUsage(batch(record({ Quantity: minute, Dimension: `d${minute}` })), { region, accessKeyId })
    }
  }
  const client = trailOf(t, at, 'eu-west-1')
  const all = async (query: Parameters<CloudTrail['lookupEvents']>[0] = {}) => {
    const pages: number[] = []
    const events: CloudTrailEvent[] = []
    let NextToken: string | undefined
    do {
      const page = await client.lookupEvents({ ...query, ...(NextToken && { NextToken }) })
      pages.push(page.Events?.length ?? 0)
      for (const { CloudTrailEvent, EventId, EventTime } of page.Events ?? []) {
        const event = JSON.parse(CloudTrailEvent ?? '') as CloudTrailEvent
        assert.equal(event.eventID, EventId)
        assert.equal(event.eventTime, EventTime?.toISOString().replace('.000', ''))
        events.push(event)
      }
      NextToken = page.NextToken
    } while (NextToken !== undefined)
    return { pages, quantities: quantities(events) as number[], regions: new Set(events.map(each => each.awsRegion)) }
  }
  const by = (AttributeKey: LookupAttributeKey, AttributeValue: string) => ({
    LookupAttributes: [{ AttributeKey, AttributeValue }],
  })
  const whole = await all(by(LookupAttributeKey.EVENT_NAME, 'BatchMeterUsage'))
  assert.deepEqual(whole.pages, [50, 50, 20])
  assert.deepEqual(
    whole.quantities,
    Array.from({ length: 120 }, (_, index) => 119 - index),
  )
  assert.deepEqual([...whole.regions], ['eu-west-1'])
  const ofTime = { StartTime: new Date(NOW + 3 * MINUTE), EndTime: new Date(NOW + 6 * MINUTE) }
  assert.deepEqual(await all({ ...ofTime, MaxResults: 3 }), { ...whole, pages: [3, 1], quantities: [6, 5, 4, 3] })
  assert.deepEqual((await all(by(LookupAttributeKey.ACCESS_KEY_ID, 'AKIASEVEN'))).quantities, [7])
  assert.deepEqual((await all(by(LookupAttributeKey.USERNAME, 'AKIASEVEN'))).quantities, [7])
  assert.deepEqual((await all(by(LookupAttributeKey.EVENT_NAME, 'RunInstances'))).quantities, [])
  assert.deepEqual((await all(by(LookupAttributeKey.RESOURCE_NAME, 'x'))).quantities, [])
  simulator.clock.set(NOW + 90 * 24 * HOUR + 118 * MINUTE)
  assert.deepEqual((await all()).quantities, [119, 118], 'of 90 days')
  assert.equal(simulator.cloudTrail.events().length, 240, 'a trail set up before has them all')

  const { NextToken } = await client.lookupEvents({ MaxResults: 1 })
  const refused = async (name: string, request: Parameters<CloudTrail['lookupEvents']>[0]) =>
    assert.rejects(client.lookupEvents(request), named(name), name)
  await refused('InvalidNextTokenException', { NextToken, MaxResults: 1, EndTime: new Date(NOW) })
  await refused('InvalidNextTokenException', { NextToken: 'x' })
  await refused('InvalidMaxResultsException', { MaxResults: 51 })
  await refused('InvalidTimeRangeException', { StartTime: new Date(NOW), EndTime: new Date(NOW - 1000) })
  const attribute = { AttributeKey: LookupAttributeKey.EVENT_NAME, AttributeValue: 'x' }
  await refused('InvalidLookupAttributesException', { LookupAttributes: [attribute, attribute] })
  await refused('InvalidLookupAttributesException', {
    LookupAttributes: [{ AttributeKey: 'Color' as LookupAttributeKey, AttributeValue: 'x' }],
  })
  await assert.rejects(client.listTrails({}), named('UnknownOperationException'))
})

test('LookupEvents takes two requests a second for a region, and neither quota is the other’s', async t => {
  const at = await running(t, { quota: 1 })
  const client = trailOf(t, at)
  await at.sdk().batchMeterUsage(batch(record()))
  await client.lookupEvents({})
  await client.lookupEvents({})
  await assert.rejects(client.lookupEvents({}), named('ThrottlingException'))
  await trailOf(t, at, 'eu-west-1').lookupEvents({})
  at.simulator.clock.advance(500)
  await client.lookupEvents({})
  await assert.rejects(client.lookupEvents({}), named('ThrottlingException'))
})

test('a signature for another service, or none, is refused as AWS does; the trail has no event of it', async t => {
  const credentials = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'other' }
  const at = await running(t, { verifySignatures: [credentials], wallClock: Date.now })
  await assert.rejects(trailOf(t, at).lookupEvents({}), named('InvalidSignatureException'))
  await assert.rejects(at.sdk().batchMeterUsage(batch(record())), named('InvalidSignatureException'))
  const headers = { 'x-amz-target': 'com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents' }
  const response = await fetch(at.url, { method: 'POST', headers, body: '{}' })
  assert.match(await response.text(), /MissingAuthenticationTokenException/)
  assert.deepEqual(at.simulator.cloudTrail.events(), [])
})

test('a request whose JSON is broken is known to AWS, but not what it asked', async t => {
  const at = await running(t)
  const response = await fetch(at.url, {
    method: 'POST',
    headers: {
      'content-type': 'application/x-amz-json-1.1',
      'x-amz-target': 'AWSMPMeteringService.BatchMeterUsage',
      authorization: `AWS4-HMAC-SHA256 Credential=AKIA1/20260610/us-east-1/aws-marketplace/aws4_request, SignedHeaders=host, Signature=${'a'.repeat(64)}`,
    },
    body: '{',
  })
  const [event] = at.simulator.cloudTrail.events()
  assert.deepEqual(
    [event?.errorCode, event?.requestParameters, event?.responseElements, event?.requestID],
    ['SerializationException', null, null, response.headers.get('x-amzn-requestid')],
  )
  assert.throws(() => at.simulator.batchMeterUsage(null as never), { name: 'SerializationException' })
  assert.equal(at.simulator.cloudTrail.events().length, 2)
})

test('the control API gives what the AWS CLI prints and what a trail writes, by time and region', async t => {
  const at = await running(t)
  const { simulator } = at
  simulator.batchMeterUsage(batch(record({ Quantity: 1 })))
  simulator.clock.set(NOW + HOUR)
  const foreign = {
    region: 'eu-west-1',
    ProductCode: PRODUCT,
    UsageRecords: [{ Timestamp: NOW / 1000, Dimension: 'tokens', Quantity: 2, CustomerAWSAccountId: ACCOUNT }],
    userAgent: 'somebody/1',
  }
  await fetch(`${at.url}/_simulator/foreign`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(foreign),
  })
  const records: CloudTrailEvent[] = (await get(at, '/cloudtrail/records')).body.Records
  assert.deepEqual(records, simulator.cloudTrail.events())
  const { Events } = (await get(at, '/cloudtrail')).body
  assert.deepEqual(
    Events.map((event: { CloudTrailEvent: string }) => JSON.parse(event.CloudTrailEvent)),
    records.toReversed(),
  )
  const { CloudTrailEvent: _, ...first } = Events[0]
  assert.deepEqual(first, {
    EventId: records[1]?.eventID,
    EventName: 'BatchMeterUsage',
    ReadOnly: 'false',
    AccessKeyId: 'AKIAOTHERTOOL',
    EventTime: '2026-06-10T13:30:00Z',
    EventSource: 'metering-marketplace.amazonaws.com',
    Username: 'other-tool',
    Resources: [],
  })
  assert.equal(records[1]?.userAgent, 'somebody/1')
  assert.equal((await get(at, '/cloudtrail?region=eu-west-1')).body.Events.length, 1)
  assert.equal((await get(at, '/cloudtrail?to=2026-06-10T13:00:00Z')).body.Events.length, 1)
  assert.equal((await get(at, '/cloudtrail/records?from=2026-06-10T14:00:00Z')).body.Records.length, 0)
  assert.equal((await get(at, '/cloudtrail?since=now')).status, 400)
})

test('a trail leaves gzipped files for each region and day, with AWS’s names', () => {
  const simulator = new MarketplaceSimulator({ now: () => NOW, quota: null, cloudTrail: { accountId: '123456789012' } })
  for (const [day, region] of [
    [0, 'us-east-1'],
    [1, 'eu-west-1'],
    [1, 'us-east-1'],
    [1, 'us-east-1'],
  ] as const) {
    simulator.clock.set(NOW + day * 24 * HOUR)
    simulator.batchMeterUsage({ ProductCode: PRODUCT, UsageRecords: [] }, { region })
  }
  const files = [...simulator.cloudTrail.files()]
  assert.deepEqual(
    files.map(({ name }) => name.replace(/_[0-9a-z]{16}\.json\.gz$/, '_….json.gz')),
    [
      'AWSLogs/123456789012/CloudTrail/eu-west-1/2026/06/11/123456789012_CloudTrail_eu-west-1_20260611T1230Z_….json.gz',
      'AWSLogs/123456789012/CloudTrail/us-east-1/2026/06/10/123456789012_CloudTrail_us-east-1_20260610T1230Z_….json.gz',
      'AWSLogs/123456789012/CloudTrail/us-east-1/2026/06/11/123456789012_CloudTrail_us-east-1_20260611T1230Z_….json.gz',
    ],
  )
  const records = files.flatMap(({ content }) => JSON.parse(gunzipSync(content).toString()).Records)
  assert.equal(files.length, new Set(files.map(({ name }) => name)).size)
  const byId = (events: CloudTrailEvent[]) => events.toSorted((one, other) => (one.eventID < other.eventID ? -1 : 1))
  assert.deepEqual(byId(records), byId(simulator.cloudTrail.events()))
})

test('as many events are kept as are asked for, the latest; what a caller does to its request later changes none', () => {
  const simulator = new MarketplaceSimulator({ now: () => NOW, quota: null, cloudTrail: { size: 3 } })
  for (let Quantity = 1; Quantity <= 5; Quantity++) {
    const own = record({ Quantity, Dimension: `d${Quantity}` })
    simulator.batchMeterUsage(batch(own))
    own.Quantity = 0
  }
  assert.deepEqual(quantities(simulator.cloudTrail.events()), [3, 4, 5])
  const none = new MarketplaceSimulator({ now: () => NOW, cloudTrail: { size: 0 } })
  none.batchMeterUsage(batch(record()))
  assert.deepEqual(none.cloudTrail.events(), [])
  for (const cloudTrail of [{ size: -1 }, { accountId: '1' }, { identities: { A: { role: 'r' } } }, { delay: 1 }]) {
    assert.throws(() => new MarketplaceSimulator({ cloudTrail: cloudTrail as object }), {
      code: 'ERR_SIMULATOR_CONFIGURATION',
      message: /^options\.cloudTrail\./,
    })
  }
})
