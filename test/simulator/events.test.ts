import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  CONTROL_PATH,
  EVENT_FAULT_KINDS,
  MarketplaceSimulator,
  parseFault,
  type SimulatorOptions,
} from '../../src/simulator/index.ts'
import {
  ACCOUNT,
  batch,
  HOUR,
  LICENCE,
  licensed,
  MINUTE,
  NOW,
  OTHER_LICENCE,
  PRODUCT,
  record,
  refusedAs,
  running,
  statuses,
} from './support.ts'

/** What AWS tells of agreements, when, and what it takes meanwhile. */

const SECOND = 1000
const LICENSED = { accountId: ACCOUNT, product: PRODUCT, licenseArn: LICENCE }
const LEGACY = { customerIdentifier: 'customer-1', product: PRODUCT }
const IDENTIFIED = { accountId: ACCOUNT, customerIdentifier: 'customer-1' }

const simulated = (options: SimulatorOptions = {}) => new MarketplaceSimulator({ now: () => NOW, seed: 7, ...options })

/** What has come to the queue, in its order: seconds since NOW, and what it is. */
const told = ({ queue }: MarketplaceSimulator) => queue.drain().map(body => summary(JSON.parse(body)))

function summary(event: Record<string, string>): string {
  const at = (Date.parse(event.time ?? event.Timestamp ?? '') - NOW) / SECOND
  if (event.Message === undefined) return `${at} ${event['detail-type']}`
  return `${at} ${JSON.parse(event.Message).action}`
}

/** Lets time pass, and says what has come. */
function after(simulator: MarketplaceSimulator, milliseconds: number): string[] {
  simulator.clock.advance(milliseconds)
  return told(simulator)
}

const CREATED = 'Purchase Agreement Created - Proposer'
const UPDATED = 'License Updated - Manufacturer'
const ENDED = 'Purchase Agreement Ended - Proposer'
const DEPROVISIONED = 'License Deprovisioned - Manufacturer'

test('a licence begins, is amended, suspended, and ends: by the control API and the wire', async t => {
  const { url, sqs, simulator, queueUrl: QueueUrl } = await running(t)
  const control = async (path: string, body?: object) => {
    const headers = { 'content-type': 'application/json' }
    const post = body && { method: 'POST', headers, body: JSON.stringify(body) }
    const response = await fetch(`${url}${CONTROL_PATH}${path}`, post)
    assert.ok(response.ok, await response.clone().text())
    return response.status === 204 ? undefined : response.json()
  }
  const events: Record<string, unknown>[] = []
  const come = async (milliseconds: number) => {
    simulator.clock.advance(milliseconds)
    const { Messages = [] } = await sqs().receiveMessage({ QueueUrl, MaxNumberOfMessages: 10 })
    for (const { Body = '', ReceiptHandle } of Messages) {
      events.push(JSON.parse(Body))
      await sqs().deleteMessage({ QueueUrl, ReceiptHandle })
    }
    return Messages.map(({ Body = '' }) => summary(JSON.parse(Body)))
  }
  await control('/subscriptions', LICENSED)
  assert.deepEqual(await come(10 * SECOND), [])
  assert.deepEqual(await come(SECOND), [`11 ${CREATED}`])
  assert.deepEqual(await come(61 * SECOND), [`72 ${UPDATED}`])
  await control('/subscriptions/amend', LICENSED)
  assert.deepEqual(await come(72 * SECOND), ['83 Purchase Agreement Amended - Proposer', `144 ${UPDATED}`])
  await control('/customers/suspend', { accountId: ACCOUNT })
  assert.deepEqual(await come(0), ['144 Purchase Agreement Advisory Issued - Manufacturer'])
  const at = (timestamp: number) => ({ UsageRecords: [licensed({ Timestamp: new Date(timestamp) })] })
  assert.deepEqual(statuses(simulator.batchMeterUsage(at(NOW))), ['CustomerNotSubscribed'])
  simulator.clock.advance(MINUTE)
  await control('/customers/resume', { accountId: ACCOUNT })
  assert.deepEqual(statuses(simulator.batchMeterUsage(at(NOW))), ['Success'])
  assert.deepEqual(await come(0), ['204 Purchase Agreement Advisory Resolved - Manufacturer'])
  await control('/subscriptions/end', { ...LICENSED, status: 'TERMINATED' })
  const waiting = (await control('/events')) as { queue: { body: string; receiveCount: number }[]; deadLetters: [] }
  assert.deepEqual(
    waiting.queue.map(({ body, receiveCount }) => [summary(JSON.parse(body)), receiveCount]),
    [
      [`173 ${ENDED}`, 0],
      [`204 ${DEPROVISIONED}`, 0],
    ],
  )
  assert.deepEqual(waiting.deadLetters, [])
  assert.deepEqual(await come(0), [`173 ${ENDED}`, `204 ${DEPROVISIONED}`])
  // Of what has ended AWS says nothing more, and there is nothing to amend.
  await control('/customers/suspend', { accountId: ACCOUNT })
  assert.deepEqual(await come(HOUR), [])
  assert.throws(() => simulator.catalogue.amend(LICENSED), { code: 'ERR_SIMULATOR_CONFIGURATION' })
  await control('/customers/resume', { accountId: ACCOUNT })
  assert.throws(() => simulator.catalogue.resume({ accountId: ACCOUNT }), { code: 'ERR_SIMULATOR_CONFIGURATION' })

  const [created, updated] = events as [Record<string, unknown>, Record<string, unknown>]
  const { detail, resources, id } = updated as { detail: Record<string, unknown>; resources: string[]; id: string }
  const { agreement, offer, product } = detail as Record<'agreement' | 'offer' | 'product', { id: string }>
  assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}$/)
  assert.match(agreement.id, /^agmt-[0-9a-f]{25}$/)
  assert.deepEqual(updated, {
    ...{ version: '0', id, 'detail-type': UPDATED, source: 'aws.agreement-marketplace', account: '999900001111' },
    ...{ time: '2026-06-10T12:31:12Z', region: 'us-east-1', resources },
    detail: {
      ...{ requestId: detail.requestId, catalog: 'AWSMarketplace', agreement: { id: agreement.id } },
      ...{ product: { id: product.id, code: PRODUCT }, license: { arn: LICENCE } },
      ...{ acceptor: { accountId: ACCOUNT }, proposer: { accountId: '999900001111' }, offer },
    },
  })
  const { product: _, license: __, requestId: ___, ...rest } = detail
  assert.deepEqual(created.detail, {
    ...rest,
    requestId: (created.detail as { requestId: string }).requestId,
    agreement: { id: agreement.id, intent: 'NEW', status: 'ACTIVE', startTime: '2026-06-10T12:30:00Z' },
  })
  const ended = events.find(event => event['detail-type'] === ENDED) as { detail: typeof rest } | undefined
  assert.deepEqual(ended?.detail.agreement, { id: agreement.id, status: 'TERMINATED' })
  assert.equal(new Set(events.map(event => event.id)).size, events.length)
})

test('until a licence is active AWS takes nothing of it, and then what was used before as well', async () => {
  const simulator = simulated()
  const { catalogue, clock } = simulator
  catalogue.subscribe({ ...LICENSED, pending: true })
  catalogue.subscribe({ ...LEGACY, pending: true })
  const token = catalogue.createToken(LICENSED)
  assert.equal(simulator.resolveCustomer({ RegistrationToken: token }).LicenseArn, LICENCE)
  clock.advance(20 * MINUTE)
  const used = new Date(NOW + 10 * MINUTE)
  const byLicence = { UsageRecords: [licensed({ Timestamp: used })] }
  const byCode = batch(record({ CustomerAWSAccountId: undefined, CustomerIdentifier: 'customer-1', Timestamp: used }))
  assert.throws(() => simulator.batchMeterUsage(byLicence), refusedAs('InvalidLicenseException'))
  simulator.undocumented = { pendingLicence: 'CustomerNotSubscribed' }
  assert.deepEqual(statuses(simulator.batchMeterUsage(byLicence)), ['CustomerNotSubscribed'])
  assert.deepEqual(statuses(simulator.batchMeterUsage(byCode)), ['CustomerNotSubscribed'])
  assert.deepEqual(told(simulator), [`11 ${CREATED}`])
  clock.advance(40 * MINUTE)
  catalogue.activate({ accountId: ACCOUNT })
  catalogue.activate({ customerIdentifier: 'customer-1' })
  assert.deepEqual(told(simulator), [`3600 ${UPDATED}`, '3600 subscribe-success'])
  assert.deepEqual(statuses(simulator.batchMeterUsage(byLicence)), ['Success'])
  assert.deepEqual(statuses(simulator.batchMeterUsage(byCode)), ['Success'])
  assert.throws(() => catalogue.activate(LICENSED), { code: 'ERR_SIMULATOR_CONFIGURATION' })
})

test('what never becomes active is told to have failed, or just to have ended', () => {
  const simulator = simulated()
  simulator.catalogue.subscribe({ ...LICENSED, pending: true })
  simulator.catalogue.subscribe({ ...LEGACY, pending: true })
  simulator.clock.advance(MINUTE)
  simulator.catalogue.unsubscribe({ accountId: ACCOUNT })
  simulator.catalogue.unsubscribe({ customerIdentifier: 'customer-1' })
  assert.deepEqual(told(simulator), [`11 ${CREATED}`, `29 ${ENDED}`, '60 subscribe-fail'])
})

test('a declared customer comes and goes at its times; what has always been is not told', () => {
  const from = NOW + MINUTE
  const simulator = simulated({
    catalogue: {
      customers: [
        { accountId: ACCOUNT, subscriptions: [{ product: PRODUCT, licenseArn: LICENCE, from, to: from + HOUR }] },
        { accountId: '444455556666', subscriptions: [{ product: PRODUCT, licenseArn: OTHER_LICENCE }] },
      ],
    },
  })
  simulator.clock.advance(3 * MINUTE)
  const [created = ''] = simulator.queue.messages().map(({ body }) => body)
  assert.equal(JSON.parse(created).detail.agreement.endTime, '2026-06-10T13:31:00Z')
  assert.deepEqual(told(simulator), [`71 ${CREATED}`, `132 ${UPDATED}`])
  // It ends earlier than was planned, once.
  simulator.catalogue.unsubscribe({ accountId: ACCOUNT, at: NOW + 30 * MINUTE })
  simulator.catalogue.unsubscribe({ accountId: ACCOUNT, at: NOW + 30 * MINUTE })
  assert.deepEqual(after(simulator, 5 * HOUR), [`1769 ${ENDED}`, `1800 ${DEPROVISIONED}`])
})

test('an agreement that ends at once is told to have begun before its end', () => {
  const simulator = simulated()
  simulator.catalogue.subscribe(LICENSED)
  simulator.clock.advance(50 * SECOND)
  simulator.catalogue.unsubscribe(LICENSED)
  assert.deepEqual(after(simulator, HOUR), [`11 ${CREATED}`, `19 ${UPDATED}`, `19 ${ENDED}`, `50 ${DEPROVISIONED}`])
  // One that is called off before it began never was.
  simulator.catalogue.subscribe({ ...LICENSED, at: NOW + 9 * HOUR })
  simulator.catalogue.unsubscribe(LICENSED)
  assert.deepEqual(after(simulator, 20 * HOUR), [])
})

test('a renewal is another agreement, with another licence or with the same', async () => {
  const simulator = simulated({
    catalogue: {
      customers: [
        {
          accountId: ACCOUNT,
          subscriptions: [{ product: PRODUCT, licenseArn: LICENCE, from: NOW - HOUR, to: NOW + HOUR }],
        },
      ],
    },
  })
  const agreements = () =>
    simulator.queue.drain().map(body => {
      const { 'detail-type': type, detail } = JSON.parse(body)
      const { id, previousAgreementId, intent, status } = detail.agreement
      return { type, id, previousAgreementId, intent, status, licence: detail.license?.arn }
    })
  const first = agreements()[0]?.id
  simulator.catalogue.renew({ ...LICENSED, at: NOW })
  simulator.clock.advance(2 * HOUR)
  const [ended, created, updated, ...none] = agreements()
  const second = created?.id
  assert.notEqual(second, first)
  const word = { previousAgreementId: undefined, intent: undefined, status: undefined, licence: undefined }
  assert.deepEqual(ended, { ...word, type: ENDED, id: first, status: 'RENEWED' })
  const renewal = { ...word, type: CREATED, previousAgreementId: first, intent: 'RENEW', status: 'ACTIVE' }
  assert.deepEqual(created, { ...renewal, id: second })
  assert.deepEqual(updated, { ...word, type: UPDATED, id: second, licence: LICENCE })
  assert.deepEqual(none, [], 'what was planned of its end is over')
  const usage = (LicenseArn: string) => ({ UsageRecords: [licensed({ LicenseArn, Timestamp: simulatorTime() })] })
  const simulatorTime = () => new Date(simulator.clock.now())
  assert.deepEqual(statuses(simulator.batchMeterUsage(usage(LICENCE))), ['Success'])

  simulator.catalogue.renew({ ...LICENSED, renewedAs: OTHER_LICENCE })
  simulator.clock.advance(72 * SECOND)
  const events = agreements()
  const third = events.find(({ type }) => type === CREATED)?.id
  assert.deepEqual(events, [
    { ...word, type: ENDED, id: second, status: 'RENEWED' },
    { ...word, type: DEPROVISIONED, id: second, licence: LICENCE },
    { ...renewal, id: third, previousAgreementId: second },
    { ...word, type: UPDATED, id: third, licence: OTHER_LICENCE },
  ])
  assert.deepEqual(statuses(simulator.batchMeterUsage(usage(OTHER_LICENCE))), ['Success'])
  assert.throws(() => simulator.batchMeterUsage(usage(LICENCE)), refusedAs('InvalidLicenseException'))
  assert.throws(() => simulator.catalogue.renew(LICENSED), { code: 'ERR_SIMULATOR_CONFIGURATION' })
})

test('customers of a product code are told of by SNS; who returns within the hour never went', () => {
  const simulator = simulated({ catalogue: { customers: [{ ...IDENTIFIED, subscriptions: [] }] } })
  const { catalogue, clock } = simulator
  catalogue.subscribe(LEGACY)
  clock.advance(72 * SECOND)
  const [message] = simulator.queue.drain()
  const { MessageId, ...notification } = JSON.parse(message ?? '')
  assert.deepEqual(notification, {
    Type: 'Notification',
    TopicArn: `arn:aws:sns:us-east-1:287250355862:aws-mp-subscription-notification-${PRODUCT}`,
    Message: `{"action":"subscribe-success","customer-identifier":"customer-1","product-code":"${PRODUCT}"}`,
    Timestamp: '2026-06-10T12:31:12.000Z',
  })
  catalogue.amend(LEGACY)
  assert.deepEqual(told(simulator), ['72 entitlement-updated'])
  catalogue.unsubscribe(LEGACY)
  assert.deepEqual(after(simulator, HOUR - SECOND), ['72 unsubscribe-pending'])
  catalogue.subscribe(LEGACY)
  assert.deepEqual(after(simulator, HOUR), ['3743 subscribe-success'])
  catalogue.unsubscribe(LEGACY)
  assert.deepEqual(after(simulator, HOUR), ['7271 unsubscribe-pending', '10871 unsubscribe-success'])
  catalogue.subscribe(LEGACY)
  assert.deepEqual(after(simulator, HOUR), ['10943 subscribe-success'])
  // SNS names nobody who has no identifier.
  catalogue.subscribe({ accountId: '444455556666', product: PRODUCT })
  assert.deepEqual(after(simulator, HOUR), [])
})

test('events come again, late, and in another order', () => {
  const told = (...faults: string[]) => {
    const simulator = simulated({ faults: faults.map(parseFault) })
    simulator.catalogue.subscribe(LICENSED)
    simulator.catalogue.subscribe({ ...LICENSED, licenseArn: OTHER_LICENCE })
    simulator.clock.advance(2 * HOUR)
    const ids = simulator.queue.messages().map(({ body, sentAt }) => ({ ...JSON.parse(body), sentAt }))
    return { simulator, ids, counted: simulator.counters.faults }
  }
  const plain = told().ids
  assert.equal(plain.length, 4)
  const twice = told('event-duplicate=1')
  assert.deepEqual(
    new Map([...Map.groupBy(twice.ids, ({ id }) => id)].map(([id, events]) => [id, events.length])),
    new Map(twice.ids.map(({ id }) => [id, 2])),
  )
  assert.deepEqual(twice.counted, { 'event-duplicate': 4 })
  const late = told('event-late:60000=1').ids
  for (const { time, sentAt } of late) assert.equal(sentAt, Date.parse(time) + MINUTE)
  const kinds = (events: { 'detail-type': string }[]) => events.map(event => event['detail-type'])
  assert.deepEqual(kinds(late), kinds(plain))
  const shuffled = told('event-shuffled:3600000=1').ids
  assert.ok(
    shuffled.some(({ time }, index) => time < shuffled[index - 1]?.time),
    'an earlier one comes later',
  )
  assert.deepEqual(kinds(shuffled).sort(), kinds(plain).sort())

  // For some only, and in the same run no request is met by an event's fault, nor an event by a request's.
  const some = simulated({ catalogue: { products: [{ code: PRODUCT }, { code: 'other' }] } })
  for (const fault of [{ customer: LICENCE }, { product: 'other' }, { region: 'eu-west-1' }, { dimension: 'tokens' }]) {
    some.faults.add({ kind: 'event-duplicate', rate: 1, ...fault })
  }
  some.faults.add({ kind: 'event-late', next: 1, milliseconds: 5 })
  some.faults.add({ kind: 'throttling', next: 1 })
  some.catalogue.subscribe(LICENSED)
  some.catalogue.subscribe({ ...LICENSED, licenseArn: OTHER_LICENCE })
  some.clock.advance(HOUR)
  assert.equal(some.queue.drain().length, 6)
  assert.deepEqual(
    some.faults.list().map(({ kind, milliseconds }) => [kind, milliseconds]),
    [...Array(4).fill(['event-duplicate', 120_000]), ['throttling', 1000]],
  )
  assert.throws(() => some.batchMeterUsage(batch(record())), refusedAs('ThrottlingException'))
  assert.deepEqual(some.counters.faults, { 'event-duplicate': 2, 'event-late': 1, throttling: 1 })
  some.faults.clear('event-duplicate')
  assert.deepEqual(some.faults.list(), [])
  assert.deepEqual(
    EVENT_FAULT_KINDS.map(kind => parseFault(`${kind}:9=0.5`)),
    EVENT_FAULT_KINDS.map(kind => ({ kind, rate: 0.5, share: 0.5, milliseconds: 9 })),
  )
})
