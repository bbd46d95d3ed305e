import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SQS } from '@aws-sdk/client-sqs'
import { NOW, running } from './support.ts'

/** SQS's wire, as the AWS SDK's own client reads it. It checks each body's MD5. */

const SECOND = 1000

const named = (name: string) => (error: unknown) => {
  assert.equal((error as Error).name, name)
  return true
}

test('a message is received, hidden, received again, and deleted by its latest receipt', async t => {
  const { sqs, simulator, queueUrl: QueueUrl } = await running(t)
  const client = sqs()
  const receive = async (more: Partial<Parameters<SQS['receiveMessage']>[0]> = {}) =>
    (await client.receiveMessage({ QueueUrl, MessageSystemAttributeNames: ['All'], ...more })).Messages
  assert.equal(await receive(), undefined)
  const { MessageId } = await client.sendMessage({ QueueUrl, MessageBody: 'a „quoted“ text' })
  const first = (await receive({ VisibilityTimeout: 5 }))?.[0]
  assert.equal(first?.Body, 'a „quoted“ text')
  assert.equal(first.MessageId, MessageId)
  assert.deepEqual(first.Attributes, {
    SentTimestamp: String(NOW),
    ApproximateReceiveCount: '1',
    ApproximateFirstReceiveTimestamp: String(NOW),
  })
  assert.equal(await receive(), undefined)
  simulator.clock.advance(5 * SECOND)
  const [second] = (await client.receiveMessage({ QueueUrl })).Messages ?? []
  assert.equal(second?.Attributes, undefined, 'they were not asked for')
  // An older receipt deletes nothing, without a word.
  await client.deleteMessage({ QueueUrl, ReceiptHandle: first.ReceiptHandle })
  await client.changeMessageVisibility({ QueueUrl, ReceiptHandle: second?.ReceiptHandle, VisibilityTimeout: 60 })
  simulator.clock.advance(59 * SECOND)
  assert.equal(await receive(), undefined)
  await client.changeMessageVisibility({ QueueUrl, ReceiptHandle: second?.ReceiptHandle, VisibilityTimeout: 0 })
  const third = (await receive())?.[0]
  assert.deepEqual(third?.Attributes, {
    SentTimestamp: String(NOW),
    ApproximateReceiveCount: '3',
    ApproximateFirstReceiveTimestamp: String(NOW),
  })
  await client.deleteMessageBatch({ QueueUrl, Entries: [{ Id: 'a', ReceiptHandle: third.ReceiptHandle }] })
  assert.deepEqual(simulator.queue.counts(), { visible: 0, inFlight: 0, delayed: 0 })
  await assert.rejects(
    client.changeMessageVisibility({ QueueUrl, ReceiptHandle: third.ReceiptHandle, VisibilityTimeout: 0 }),
    named('MessageNotInflight'),
  )
})

test('what was received five times goes to the dead-letter queue', async t => {
  const { sqs, simulator, queueUrl: QueueUrl } = await running(t)
  const client = sqs()
  await client.sendMessage({ QueueUrl, MessageBody: 'poison' })
  await client.sendMessage({ QueueUrl, MessageBody: 'another' })
  for (let time = 1; time <= 5; time++) {
    // One at a time, where nobody asks for more; and the other is deleted.
    assert.equal((await client.receiveMessage({ QueueUrl })).Messages?.length, 1)
    if (time === 1) for (const { receiptHandle } of simulator.queue.receive()) simulator.queue.delete(receiptHandle)
    simulator.clock.advance(30 * SECOND)
  }
  const attributes = async (url: string) => {
    const { Attributes } = await client.getQueueAttributes({ QueueUrl: url, AttributeNames: ['All'] })
    return Attributes
  }
  assert.equal((await attributes(QueueUrl))?.ApproximateNumberOfMessages, '1')
  assert.equal((await client.receiveMessage({ QueueUrl })).Messages, undefined)
  const { RedrivePolicy, ...rest } = (await attributes(QueueUrl)) ?? {}
  assert.deepEqual(JSON.parse(RedrivePolicy ?? ''), {
    deadLetterTargetArn: 'arn:aws:sqs:us-east-1:000000000000:marketplace-events-dead-letters',
    maxReceiveCount: 5,
  })
  assert.deepEqual(rest, {
    QueueArn: 'arn:aws:sqs:us-east-1:000000000000:marketplace-events',
    ApproximateNumberOfMessages: '0',
    ApproximateNumberOfMessagesNotVisible: '0',
    ApproximateNumberOfMessagesDelayed: '0',
    VisibilityTimeout: '30',
    ReceiveMessageWaitTimeSeconds: '0',
  })
  const { QueueUrl: dead = '' } = await client.getQueueUrl({ QueueName: 'marketplace-events-dead-letters' })
  assert.equal((await attributes(dead))?.RedrivePolicy, undefined)
  assert.equal((await client.receiveMessage({ QueueUrl: dead })).Messages?.[0]?.Body, 'poison')
})

test('a receipt waits until something comes; one that was given up takes nothing', async t => {
  const { sqs, simulator, close, queueUrl: QueueUrl } = await running(t)
  const client = sqs()
  simulator.queue.send('later', NOW + SECOND)
  const givenUp = new AbortController()
  const abandoned = client.receiveMessage({ QueueUrl, WaitTimeSeconds: 20 }, { abortSignal: givenUp.signal })
  // By now the simulator has the other request, too.
  await client.getQueueAttributes({ QueueUrl })
  givenUp.abort()
  await assert.rejects(abandoned, named('AbortError'))
  const waiting = client.receiveMessage({ QueueUrl, WaitTimeSeconds: 20 })
  await client.getQueueAttributes({ QueueUrl })
  simulator.clock.advance(SECOND)
  assert.equal((await waiting).Messages?.[0]?.Body, 'later')
  // Nobody waits for a simulator that has ended.
  const cut = client.receiveMessage({ QueueUrl, WaitTimeSeconds: 20 })
  const rejected = assert.rejects(cut)
  await client.getQueueAttributes({ QueueUrl })
  await close()
  await rejected
})

test('what is wrong is said as SQS says it', async t => {
  const {
    sqs,
    simulator,
    queueUrl: QueueUrl,
    url,
  } = await running(t, {
    verifySignatures: [{ accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'secret' }],
  })
  const client = sqs()
  await client.receiveMessage({ QueueUrl })
  await assert.rejects(client.receiveMessage({ QueueUrl: `${url}/000000000000/other` }), named('QueueDoesNotExist'))
  await assert.rejects(client.getQueueUrl({ QueueName: 'other' }), named('QueueDoesNotExist'))
  await assert.rejects(client.receiveMessage({ QueueUrl, MaxNumberOfMessages: 11 }), named('InvalidParameterValue'))
  await assert.rejects(client.purgeQueue({ QueueUrl }), named('UnknownOperationException'))
  // AWS's events, and with them their queue, are in one region.
  await assert.rejects(sqs({ region: 'eu-central-1' }).receiveMessage({ QueueUrl }), named('InvalidSecurity'))
  await assert.rejects(sqs({ accessKeyId: 'other' }).receiveMessage({ QueueUrl }), named('UnrecognizedClientException'))
  assert.equal(simulator.counters.requests, 0, 'these are no requests of metering')
})

test('where nobody reads, the oldest messages go', async t => {
  const { simulator } = await running(t)
  for (let index = 0; index < 10_010; index++) simulator.queue.send(String(index))
  const bodies = simulator.queue.drain()
  assert.deepEqual([bodies.length, bodies[0], bodies.at(-1)], [10_000, '10', '10009'])
  assert.deepEqual(simulator.queue.drain(), [])
})
