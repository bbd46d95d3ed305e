import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AgreementEventError, readAgreementEvent } from '../../src/marketplace/agreement-events.ts'

/** Events as AWS has sent them, with other names and numbers. */

const LICENCE = 'arn:aws:license-manager::294406891311:license:l-00112233445566778899aabbccddeeff'
const SAMPLE =
  '{"version":"0","id":"0f6f1d52-sample","detail-type":"License Deprovisioned - Manufacturer","source":"aws.agreement-marketplace","account":"999900001111","time":"2026-11-05T10:20:31Z","region":"us-east-1","resources":["arn:aws:aws-marketplace::aws:agreement:agmt-1sampleagreement"],"detail":{"requestId":"7d0a6f0e-sample","catalog":"AWSMarketplace","agreement":{"id":"agmt-1sampleagreement"},"product":{"id":"prod-sample01","code":"samplecode01"},"license":{"arn":"arn:aws:license-manager::294406891311:license:l-00112233445566778899aabbccddeeff"},"acceptor":{"accountId":"111122223333"},"proposer":{"accountId":"999900001111"},"offer":{"id":"offer-sample1"}}}'
const AT = Date.UTC(2026, 10, 5, 10, 20, 31)

interface Event {
  id?: unknown
  time?: unknown
  source?: unknown
  'detail-type': string
  detail: Record<string, unknown>
}

/** The sample with another kind, and with other members. */
function event(detailType: string, detail: Record<string, unknown> = {}, envelope: Partial<Event> = {}): Event {
  const sample: Event = JSON.parse(SAMPLE)
  return { ...sample, 'detail-type': detailType, ...envelope, detail: { ...sample.detail, ...detail } }
}

const LICENCE_ENDED = {
  type: 'licence-ended',
  id: '0f6f1d52-sample',
  at: AT,
  licenseArn: LICENCE,
  accountId: '111122223333',
  productCode: 'samplecode01',
  productId: 'prod-sample01',
  agreementId: 'agmt-1sampleagreement',
}

test("a licence's events are read as object, as JSON, and as SNS wraps them", () => {
  assert.deepEqual(readAgreementEvent(JSON.parse(SAMPLE)), LICENCE_ENDED)
  assert.deepEqual(readAgreementEvent(SAMPLE), LICENCE_ENDED)
  // A rule may send to SNS: the event's own id and time count.
  const wrapped = { Type: 'Notification', MessageId: 'other', Timestamp: '2026-11-05T10:25:00.123Z', Message: SAMPLE }
  assert.deepEqual(readAgreementEvent(JSON.stringify(wrapped), { id: 'sqs', at: 1 }), LICENCE_ENDED)
  const active = { ...LICENCE_ENDED, type: 'licence-active' }
  for (const name of ['License Updated - Manufacturer', 'License Updated - Proposer', 'License Updated']) {
    assert.deepEqual(readAgreementEvent(event(name)), active)
  }
})

test("an ARN as AWS's examples print it is completed", () => {
  const arn = 'aws:license-manager:us-east-1:294406891311:license:l-00112233445566778899aabbccddeeff'
  const read = readAgreementEvent(event('License Updated - Manufacturer', { license: { arn } }))
  assert.equal(read.type === 'licence-active' && read.licenseArn, `arn:${arn}`)
})

test("an agreement's events: created, amended, renewed and ended, whoever sells", () => {
  const agreement = {
    id: 'agmt-2',
    intent: 'RENEW',
    status: 'ACTIVE',
    startTime: '2026-11-05T10:20:00Z',
    endTime: '2027-11-05T10:20:00.000+01:00',
    previousAgreementId: 'agmt-1',
  }
  const bare = { license: undefined, product: undefined }
  const created = {
    type: 'agreement',
    id: '0f6f1d52-sample',
    at: AT,
    what: 'created',
    agreementId: 'agmt-2',
    accountId: '111122223333',
    status: 'ACTIVE',
    intent: 'RENEW',
    startTime: Date.UTC(2026, 10, 5, 10, 20),
    endTime: Date.UTC(2027, 10, 5, 9, 20),
    previousAgreementId: 'agmt-1',
  }
  for (const role of [' - Proposer', ' - Manufacturer', '']) {
    const named = (name: string, detail: object) => readAgreementEvent(event(`${name}${role}`, { ...bare, ...detail }))
    assert.deepEqual(named('Purchase Agreement Created', { agreement }), created)
    assert.deepEqual(named('Purchase Agreement Amended', { agreement }), { ...created, what: 'amended' })
    assert.deepEqual(named('Purchase Agreement Ended', { agreement: { id: 'agmt-2', status: 'RENEWED' } }), {
      ...{ type: 'agreement', id: '0f6f1d52-sample', at: AT, what: 'ended' },
      ...{ agreementId: 'agmt-2', accountId: '111122223333', status: 'RENEWED' },
    })
  }
})

test('what else AWS tells: an advisory, and of a card that is checked', () => {
  const advisory = { issuedAt: '2026-11-05T10:20:30Z' }
  const common = { id: '0f6f1d52-sample', at: AT, agreementId: 'agmt-1sampleagreement', accountId: '111122223333' }
  assert.deepEqual(readAgreementEvent(event('Purchase Agreement Advisory Issued - Manufacturer', { advisory })), {
    ...{ type: 'advisory', what: 'issued', productId: 'prod-sample01', issuedAt: AT - 1000 },
    ...common,
  })
  const resolved = { advisory: { resolvedAt: '2026-11-05T10:20:31Z' } }
  assert.deepEqual(readAgreementEvent(event('Purchase Agreement Advisory Resolved - Manufacturer', resolved)), {
    ...{ type: 'advisory', what: 'resolved', productId: 'prod-sample01', resolvedAt: AT },
    ...common,
  })
  const names = [
    ['Spend Threshold Reached', 'Reached'],
    ['Spend Threshold Vet Failed - Manufacturer', 'Vet Failed'],
    ['Purchase Agreement Spend Threshold Vet Succeeded - Proposer', 'Vet Succeeded'],
  ] as const
  for (const [name, what] of names) {
    assert.deepEqual(
      readAgreementEvent({ 'detail-type': name, source: 'aws.agreement-marketplace', id: 'x', time: A_TIME }),
      {
        ...{ type: 'spend-threshold', id: 'x', at: AT, what },
      },
    )
  }
})

const A_TIME = '2026-11-05T10:20:31Z'

test('legacy messages of SNS, wrapped or raw', () => {
  const message = {
    action: 'unsubscribe-pending',
    'customer-identifier': ' X01EXAMPLEX',
    'product-code': 'n0123EXAMPLEXXXXXXXXXXXX',
    'offer-identifier': 'offer-abcexample123',
    isFreeTrialTermPresent: 'true',
  }
  const ending = {
    type: 'subscription',
    what: 'ending',
    productCode: 'n0123EXAMPLEXXXXXXXXXXXX',
    customerIdentifier: 'X01EXAMPLEX',
    offerId: 'offer-abcexample123',
    freeTrial: true,
  }
  const wrapped = {
    Type: 'Notification',
    MessageId: '5a1b0c9d',
    TopicArn: 'arn:aws:sns:us-east-1:287250355862:aws-mp-subscription-notification-n0123EXAMPLEXXXXXXXXXXXX',
    Message: JSON.stringify(message, null, 2),
    Timestamp: '2026-11-05T10:20:31.000Z',
  }
  assert.deepEqual(readAgreementEvent(JSON.stringify(wrapped)), { ...ending, id: '5a1b0c9d', at: AT })
  assert.deepEqual(readAgreementEvent(message), ending)
  assert.deepEqual(readAgreementEvent(JSON.stringify(message), { id: 'sqs', at: AT }), { ...ending, id: 'sqs', at: AT })
  const whats = ['subscribe-success', 'subscribe-fail', 'unsubscribe-success'].map(action => {
    const { 'offer-identifier': _, isFreeTrialTermPresent: __, ...rest } = { ...message, action }
    return readAgreementEvent(rest)
  })
  assert.deepEqual(
    whats.map(read => read.type === 'subscription' && [read.what, read.offerId, read.freeTrial]),
    ['active', 'failed', 'ended'].map(what => [what, undefined, undefined]),
  )
  const entitlement = { action: 'entitlement-updated', 'customer-identifier': 'X01EXAMPLEX', 'product-code': 'code' }
  assert.deepEqual(readAgreementEvent(entitlement), {
    ...{ type: 'entitlement', productCode: 'code', customerIdentifier: 'X01EXAMPLEX' },
  })
})

test('what nobody knows is no error, of another source neither', () => {
  const unknown = (detailType: string) => ({ type: 'unknown', id: '0f6f1d52-sample', at: AT, detailType })
  for (const name of [
    'Purchase Agreement Ending - Proposer',
    'Agreement Cancellation Request Created - Proposer',
    'Purchase Agreement Billing Adjustment Completed - Proposer',
    'constructor',
    'License',
  ]) {
    assert.deepEqual(readAgreementEvent(event(name)), unknown(name))
  }
  // Anybody who may put events on the bus can name the kind, but not AWS's source.
  const forged = event('License Deprovisioned - Manufacturer', {}, { source: 'my.application' })
  assert.deepEqual(readAgreementEvent(forged), unknown('License Deprovisioned - Manufacturer'))
  assert.deepEqual(readAgreementEvent({ 'detail-type': 'Anything' }), { type: 'unknown', detailType: 'Anything' })
  const confirmation = { Type: 'SubscriptionConfirmation', MessageId: 'm', Token: 'secret', SubscribeURL: 'https://…' }
  assert.deepEqual(readAgreementEvent(confirmation), {
    ...{ type: 'unknown', id: 'm', detailType: 'SubscriptionConfirmation' },
  })
  for (const action of ['constructor', 'subscribe-paused']) {
    assert.deepEqual(readAgreementEvent({ action }, { id: 'sqs' }), { type: 'unknown', id: 'sqs', detailType: action })
  }
})

test('what is no event, or lacks what it must have, is told', () => {
  const says = (value: unknown, message: string) => {
    assert.throws(
      () => readAgreementEvent(value),
      error => {
        assert.ok(error instanceof AgreementEventError)
        assert.equal(error.code, 'ERR_AGREEMENT_EVENT')
        assert.equal(error.message, message)
        return true
      },
    )
  }
  says('no secret=1', 'Expected the event to be JSON, got 11 characters that are not.')
  says('', 'Expected the event to be JSON, got 0 characters that are not.')
  says('[]', 'Expected the event to be an object as JSON, got a list.')
  says('null', 'Expected the event to be an object as JSON, got null.')
  says(undefined, 'Expected the event to be an object, got undefined.')
  says({}, 'Expected an event of EventBridge with a "detail-type", or of SNS with an "action", got an empty object.')
  says(
    { Service: 'Amazon S3', Event: 's3:TestEvent' },
    'Expected an event of EventBridge with a "detail-type", or of SNS with an "action", got an object with ["Service","Event"].',
  )
  says({ Type: 'Notification' }, 'Expected Message of the SNS notification to be an object, got undefined.')
  says(
    { Type: 'Notification', Message: 'hello' },
    'Expected Message of the SNS notification to be JSON, got 5 characters that are not.',
  )
  const where = 'of the event "0f6f1d52-sample" ("License Updated - Manufacturer") to be'
  const licence = (detail: Record<string, unknown>, envelope?: Partial<Event>) =>
    event('License Updated - Manufacturer', detail, envelope)
  says(licence({ license: undefined }), `Expected detail.license.arn ${where} the ARN of a licence, got undefined.`)
  for (const arn of ['l-00112233', 'arn:aws:iam::1:role/x', 'arn:aws:license-manager::1:license:l-1,2']) {
    says(licence({ license: { arn } }), `Expected detail.license.arn ${where} the ARN of a licence, got "${arn}".`)
  }
  const account = 'Expected detail.acceptor.accountId'
  says(licence({ acceptor: {} }), `${account} ${where} an AWS account id of 12 digits, got undefined.`)
  says(
    licence({ acceptor: { accountId: '12345' } }),
    `${account} ${where} an AWS account id of 12 digits, got "12345".`,
  )
  says({ ...licence({}), detail: null }, `Expected detail.license.arn ${where} the ARN of a licence, got undefined.`)
  for (const time of [undefined, 'yesterday', '2026-11-05T10:20:31', '2026-13-05T10:20:31Z', 1_793_873_631]) {
    const got = typeof time === 'string' ? JSON.stringify(time) : time
    says(licence({}, { time }), `Expected time ${where} a time such as 2026-11-05T10:20:31Z, got ${got}.`)
  }
  says(licence({}, { id: 7 }), 'Expected id of the event ("License Updated - Manufacturer") to be a text, got 7.')
  says(
    event('Purchase Agreement Ended - Proposer', { agreement: {} }),
    'Expected detail.agreement.id of the event "0f6f1d52-sample" ("Purchase Agreement Ended - Proposer") to be a text, got undefined.',
  )
  says(
    { action: 'subscribe-success', 'product-code': 'code', 'customer-identifier': '' },
    'Expected customer-identifier of the SNS message "subscribe-success" to be a text, got "".',
  )
})
