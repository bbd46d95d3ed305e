import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Fault, faultOf } from '../../src/metering/faults.ts'
import { awsError } from './support.ts'

/** What AWS's API reference says of each error, and the SDK of those that it makes itself. */
const NAMES: Record<Exclude<Fault, 'not-sent'>, readonly string[]> = {
  timestamp: ['TimestampOutOfBoundsException'],
  licence: ['InvalidLicenseException'],
  refused: [
    'InvalidUsageDimensionException',
    'InvalidCustomerIdentifierException',
    'InvalidTagException',
    'InvalidUsageAllocationsException',
    'ValidationException',
    'SerializationException',
    'TooManyTagsException',
  ],
  throttled: [
    'Throttling',
    'ThrottlingException',
    'TooManyRequestsException',
    'RequestLimitExceeded',
    'RequestThrottled',
    'RequestThrottledException',
  ],
  configuration: [
    'InvalidProductCodeException',
    'DisabledApiException',
    'OptInRequired',
    'NotAuthorized',
    'AccessDenied',
    'AccessDeniedException',
    'UnrecognizedClientException',
    'ExpiredTokenException',
    'InvalidSignatureException',
    'IncompleteSignature',
    'MissingAuthenticationToken',
    'InvalidClientTokenId',
    'SignatureDoesNotMatch',
    'RequestExpired',
    'RequestTimeTooSkewed',
    'InvalidToken',
    'CredentialsProviderError',
    'TokenProviderError',
    'ConfigurationError',
  ],
  unknown: ['InternalServiceErrorException', 'ServiceUnavailable', 'TimeoutError', 'Error', 'Throttling?', ''],
}

for (const [fault, names] of Object.entries(NAMES)) {
  test(`an error by name: ${fault}`, () => {
    for (const name of names)
      assert.deepEqual(faultOf(awsError(name)), { fault, repeated: false, failedOver: false }, name)
  })
}

test('a request never left this machine only where each address says so', () => {
  const refused = awsError('Error', { code: 'ECONNREFUSED', syscall: 'connect' })
  const reset = awsError('Error', { code: 'ECONNRESET', syscall: 'read' })
  const cases: [Error, Fault][] = [
    [refused, 'not-sent'],
    [awsError('Error', { code: 'ENOTFOUND' }), 'not-sent'],
    [awsError('Error', { code: 'EAI_AGAIN', syscall: 'getaddrinfo' }), 'not-sent'],
    [awsError('Error', { code: 'ECONNREFUSED', syscall: 'write' }), 'unknown'],
    [reset, 'unknown'],
    [awsError('AggregateError', { errors: [refused, refused] }), 'not-sent'],
    [awsError('AggregateError', { errors: [refused, reset] }), 'unknown'],
    [awsError('AggregateError', { errors: [] }), 'unknown'],
    [awsError('AggregateError', { errors: [], code: 'ECONNREFUSED' }), 'not-sent'],
  ]
  for (const [error, fault] of cases) assert.equal(faultOf(error).fault, fault, JSON.stringify(error))
})

test('AWS has failed over a request only where AWS itself says so', () => {
  const failed = (name: string, $metadata: object) => faultOf(awsError(name, { $metadata })).failedOver
  assert.equal(failed('InternalServiceErrorException', { httpStatusCode: 500 }), true)
  assert.equal(failed('InternalServiceErrorException', {}), false)
  assert.equal(failed('SyntaxError', { httpStatusCode: 200 }), false)
  assert.equal(failed('ThrottlingException', { httpStatusCode: 503 }), false)
})

test('a client that tried before by itself says so', () => {
  for (const [attempts, repeated] of [
    [undefined, false],
    [1, false],
    [2, true],
  ] as const) {
    assert.equal(faultOf(awsError('ThrottlingException', { $metadata: { attempts } })).repeated, repeated)
  }
})
