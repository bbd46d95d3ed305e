import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readQueueAddress } from '../../src/agreements/queue/queue-address.ts'

test('a queue is read as SQS shows it, or with sqs:', () => {
  const name = 'marketplace-events'
  const cases = [
    ['https://sqs.us-east-1.amazonaws.com/123456789012/', 'https://sqs.us-east-1.amazonaws.com', 'us-east-1'],
    ['sqs://sqs.us-east-1.amazonaws.com/123456789012/', 'https://sqs.us-east-1.amazonaws.com', 'us-east-1'],
    ['sqs://sqs.eu-central-1.amazonaws.com/123456789012/', 'https://sqs.eu-central-1.amazonaws.com', 'eu-central-1'],
    [
      'sqs://sqs-fips.us-gov-west-1.amazonaws.com/123456789012/',
      'https://sqs-fips.us-gov-west-1.amazonaws.com',
      'us-gov-west-1',
    ],
    ['sqs://sqs.us-east-1.api.aws/123456789012/', 'https://sqs.us-east-1.api.aws', 'us-east-1'],
    [
      'sqs://vpce-1a-2b.sqs.us-west-2.vpce.amazonaws.com/123456789012/',
      'https://vpce-1a-2b.sqs.us-west-2.vpce.amazonaws.com',
      'us-west-2',
    ],
    ['https://queue.amazonaws.com/123456789012/', 'https://queue.amazonaws.com', 'us-east-1'],
    ['sqs://127.0.0.1:8480/123456789012/', 'http://127.0.0.1:8480', 'us-east-1'],
    ['sqs://127.0.0.1:443/123456789012/', 'http://127.0.0.1:443', 'us-east-1'],
    ['http://localhost:8480/123456789012/', 'http://localhost:8480', 'us-east-1'],
    ['https://localhost:8480/123456789012/', 'https://localhost:8480', 'us-east-1'],
    ['sqs://[::1]:8480/123456789012/', 'http://[::1]:8480', 'us-east-1'],
    ['sqs://simulator:8480/123456789012/', 'http://simulator:8480', 'us-east-1'],
  ] as const
  for (const [prefix, endpoint, region] of cases) {
    assert.deepEqual(readQueueAddress(`${prefix}${name}`), {
      ...{ url: `${endpoint}/123456789012/${name}`, endpoint, region, accountId: '123456789012', name },
    })
  }
  assert.equal(readQueueAddress('sqs://sqs.us-east-1.amazonaws.com/123456789012/a_b-C.fifo').name, 'a_b-C.fifo')
})

test('what is no queue is told, and no password shown', () => {
  const expected = "expected a queue's URL such as sqs://sqs.us-east-1.amazonaws.com/123456789012/name, got"
  const cases = [
    ['', `${expected} ""`],
    ['arn:aws:sqs:us-east-1:123456789012:name', `${expected} "arn:aws:sqs:us-east-1:123456789012:name"`],
    ['sqs://', `${expected} "sqs://"`],
    ['sqs:///123456789012/name', `${expected} "sqs:///123456789012/name"`],
    ['sqs://sqs.us-east-1.amazonaws.com/name', `${expected} "sqs://sqs.us-east-1.amazonaws.com/name"`],
    ['https://sqs.us-east-1.amazonaws.com/123/name', `${expected} "https://sqs.us-east-1.amazonaws.com/123/name"`],
    ['sqs://h/123456789012/name?region=x', `${expected} "sqs://h/123456789012/name?region=x"`],
    ['sqs://user:secret@h/123456789012/name', `${expected} one with a user`],
    ['sqs://:secret@h/123456789012/name', `${expected} one with a user`],
    ['sqs://h/123456789012/name#here', `${expected} "sqs://h/123456789012/name#here"`],
    [undefined, `${expected} undefined`],
    [
      'http://sqs.us-east-1.amazonaws.com/123456789012/name',
      'expected https:// for a queue on another machine, got "sqs.us-east-1.amazonaws.com"',
    ],
  ] as const
  for (const [address, message] of cases) {
    assert.throws(() => readQueueAddress(address as string), {
      code: 'ERR_CONFIGURATION',
      message: `Invalid options: queue: ${message}`,
    })
  }
})
