import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { SQS } from '@aws-sdk/client-sqs'
import type { AgreementEvent, QueueClient, QueueReport } from '../../src/agreements/index.ts'
import { type AgreementConsumerOptions, consumeAgreementEvents } from '../../src/agreements/queue/consumer.ts'
import { ACCOUNT, HOUR, LICENCE, NOW, OTHER_LICENCE, PRODUCT, running } from '../simulator/support.ts'

/** The consumer, through the AWS SDK's own client and real sockets, against the simulator's queue. */

process.env.AWS_ACCESS_KEY_ID = 'AKIDEXAMPLE'
process.env.AWS_SECRET_ACCESS_KEY = 'secret'

const LICENSED = { accountId: ACCOUNT, product: PRODUCT, licenseArn: LICENCE }

interface Seen {
  events: AgreementEvent[]
  reports: QueueReport[]
}

/** A consumer that keeps what it sees, and stops at the end of the test; `until` resolves when a condition holds. */
async function consuming(t: TestContext, queue: string, options: Partial<AgreementConsumerOptions> = {}) {
  const seen: Seen = { events: [], reports: [] }
  const waiting = new Set<() => void>()
  const look = () => {
    for (const check of waiting) check()
  }
  const consumer = await consumeAgreementEvents({
    queue,
    delay: async () => {},
    ...options,
    handle: async event => {
      await options.handle?.(event)
      seen.events.push(event)
      look()
    },
    report: report => {
      seen.reports.push(report)
      options.report?.(report)
      look()
    },
  })
  t.after(() => consumer.stop())
  const until = (holds: () => boolean) =>
    new Promise<void>(resolve => {
      const check = () => {
        if (!holds()) return
        waiting.delete(check)
        resolve()
      }
      waiting.add(check)
      check()
    })
  return { ...seen, consumer, until, look }
}

/** The AWS SDK's client, with some of its methods watched. */
const clientOf = (client: SQS, watched: Partial<QueueClient>): QueueClient => ({
  receiveMessage: (request, options) => client.receiveMessage(request, options),
  deleteMessage: request => client.deleteMessage(request),
  changeMessageVisibility: request => client.changeMessageVisibility(request),
  getQueueAttributes: (request, options) => client.getQueueAttributes(request, options),
  ...watched,
})

test('events come twice and out of order, are handled and deleted, unknown ones too; poison is left', async t => {
  const { simulator, queueUrl } = await running(t, {
    faults: [
      { kind: 'event-duplicate', rate: 1 },
      { kind: 'event-shuffled', rate: 1 },
    ],
  })
  const { catalogue, clock, queue } = simulator
  const { consumer, events, reports, until } = await consuming(t, queueUrl.replace('http:', 'sqs:'))
  queue.send('{"detail-type":"Purchase Agreement Ending - Proposer","source":"aws.agreement-marketplace","id":"e"}')
  catalogue.subscribe(LICENSED)
  catalogue.subscribe({ ...LICENSED, licenseArn: OTHER_LICENCE })
  catalogue.subscribe({ customerIdentifier: 'customer-1', product: PRODUCT })
  clock.advance(HOUR)
  catalogue.unsubscribe(LICENSED)
  clock.advance(HOUR)
  await until(() => events.length >= 15)
  assert.deepEqual(
    Object.fromEntries([...Map.groupBy(events, ({ type }) => type)].map(([type, all]) => [type, all.length])),
    { agreement: 6, 'licence-active': 4, 'licence-ended': 2, subscription: 2, unknown: 1 },
  )
  assert.equal(new Set(events.map(({ id }) => id)).size, 8)
  assert.partialDeepStrictEqual(
    events.find(event => event.type === 'licence-ended'),
    {
      ...{ licenseArn: LICENCE, at: NOW + HOUR, accountId: ACCOUNT, productCode: PRODUCT },
    },
  )
  assert.partialDeepStrictEqual(
    events.find(event => event.type === 'subscription'),
    {
      ...{ what: 'active', at: NOW + 72_000 },
    },
  )

  const poison = queue.send('poison')
  for (let attempt = 1; attempt <= 5; attempt++) {
    await until(() => reports.length >= attempt)
    clock.advance(30_000)
  }
  await consumer.stop()
  // A receipt more, and the queue has done with it.
  assert.deepEqual(queue.receive(), [])
  assert.deepEqual([queue.messages().length, queue.dead?.messages().map(({ body }) => body)], [0, ['poison']])
  assert.deepEqual(
    reports.map(report => [
      ...[report.type, report.level],
      ...(report.type === 'unreadable' ? [report.attempt, report.isLast] : []),
    ]),
    [1, 2, 3, 4, 5].map(attempt => ['unreadable', 'error', attempt, attempt === 5]),
  )
  const what =
    `The queue marketplace-events has a message that is no agreement event (${poison}): ` +
    'Expected the event to be JSON, got 6 characters that are not.'
  assert.equal(reports[0]?.message, `${what} It comes again (received 1 of 5 times).`)
  const last = 'It goes to the dead-letter queue: look at it there, and send it back when it can be handled.'
  assert.equal(reports[4]?.message, `${what} ${last}`)
  assert.deepEqual(consumer.counts, {
    ...{ received: 20, handled: 15, postponed: 0, unreadable: 5, unhandled: 0, unreachable: 0 },
  })
})

test('what the ledger did not write down comes again, later each time, and is not deleted before', async t => {
  const { simulator, queueUrl, sqs } = await running(t)
  const { catalogue, clock, queue } = simulator
  let away = true
  let changes = 0
  const client = sqs()
  const { events, reports, consumer, until, look } = await consuming(t, queueUrl, {
    client: clientOf(client, {
      changeMessageVisibility: async request => {
        await client.changeMessageVisibility(request)
        changes++
        look()
      },
    }),
    handle: async () => {
      if (away) throw new Error('The ledger is away')
    },
  })
  catalogue.subscribe({ ...LICENSED, at: NOW - HOUR, pending: true })
  for (const [index, seconds] of [30, 60, 120, 240].entries()) {
    await until(() => changes > index)
    const { message = '', ...report } = reports[index] ?? {}
    assert.partialDeepStrictEqual(report, { type: 'unhandled', level: 'error', attempt: index + 1 })
    assert.match(
      message,
      /^The queue marketplace-events has an event that could not be handled \(agreement, [-0-9a-f]+\): /,
    )
    const again = `It comes again in ${seconds} s (received ${index + 1} of 5 times).`
    assert.ok(message.endsWith(`: The ledger is away. ${again}`), message)
    clock.advance(seconds * 1000 - 1)
    assert.deepEqual(queue.counts(), { visible: 0, inFlight: 1, delayed: 0 })
    away = index < 3
    clock.advance(1)
  }
  await until(() => events.length === 1)
  await consumer.stop()
  assert.deepEqual(queue.counts(), { visible: 0, inFlight: 0, delayed: 0 })
  assert.deepEqual(consumer.counts, {
    ...{ received: 5, handled: 1, postponed: 0, unreadable: 0, unhandled: 4, unreachable: 0 },
  })
})

test('an event that is handled when the consumer is stopped is deleted; what it did not begin comes again', async t => {
  const { simulator, queueUrl } = await running(t)
  const { catalogue, clock, queue } = simulator
  const handling = Promise.withResolvers<void>()
  const committed = Promise.withResolvers<void>()
  catalogue.subscribe({ ...LICENSED, at: NOW - HOUR })
  const { events, reports, consumer } = await consuming(t, queueUrl, {
    handle: () => {
      handling.resolve()
      return committed.promise
    },
  })
  await handling.promise
  await consumer.stop(0)
  assert.deepEqual(
    reports.map(({ type, level, message }) => [type, level, message]),
    [
      [
        'unfinished',
        'warn',
        'The queue marketplace-events was stopped while an event was being handled: it may come again.',
      ],
    ],
  )
  const stopped = consumer.stop()
  committed.resolve()
  await stopped
  assert.deepEqual([events.length, queue.counts()], [1, { visible: 0, inFlight: 1, delayed: 0 }])
  clock.advance(30_000)
  assert.deepEqual(
    queue.drain().map(body => JSON.parse(body)['detail-type']),
    ['License Updated - Manufacturer'],
  )
  assert.equal(consumer.counts.handled, 1)
})

test('a consumer that waits for messages stops at once, and takes none with it', async t => {
  const { simulator, queueUrl, sqs } = await running(t)
  const receiving = Promise.withResolvers<void>()
  const client = sqs()
  const { consumer } = await consuming(t, queueUrl, {
    client: clientOf(client, {
      receiveMessage: (request, options) => {
        receiving.resolve()
        return client.receiveMessage(request, options)
      },
    }),
  })
  await receiving.promise
  await consumer.stop()
  simulator.queue.send('for others')
  assert.deepEqual(simulator.queue.drain(), ['for others'])
  assert.equal(consumer.counts.unreachable, 0)
  await consumer.stop()
})

test('what is wrong with the queue is told: it is not there, it has no dead-letter queue, it does not delete', async t => {
  const { simulator, queueUrl, sqs } = await running(t)
  const delays: number[] = []
  const none = await consuming(t, queueUrl.replace('marketplace-events', 'other'), {
    delay: async milliseconds => {
      delays.push(milliseconds)
    },
  })
  await none.until(() => none.reports.length >= 8)
  await none.consumer.stop()
  assert.deepEqual(delays.slice(0, 7), [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000])
  const [first] = none.reports
  assert.equal(first?.type, 'unreachable')
  assert.match(
    first.message,
    /^The queue other cannot be read: The specified queue does not exist: .*\. It is tried again in 1 s\.$/,
  )

  // The dead-letter queue has none of its own.
  const client = sqs()
  const dead = await consuming(t, `${queueUrl}-dead-letters`, {
    client: clientOf(client, {
      deleteMessage: async () => {
        throw new Error('no route')
      },
    }),
  })
  simulator.queue.dead?.send('{"detail-type":"Anything"}')
  await dead.until(() => dead.reports.length >= 2)
  await dead.consumer.stop()
  assert.deepEqual(
    dead.reports.map(({ type, level, message }) => [type, level, message]),
    [
      [
        'no-dead-letter-queue',
        'error',
        'The queue marketplace-events-dead-letters has no dead-letter queue: an event that cannot be handled is lost when SQS throws it away. Give it a redrive policy.',
      ],
      [
        'undeleted',
        'warn',
        `The queue marketplace-events-dead-letters would not delete a message that is done with (${simulator.queue.dead?.messages()[0]?.id}), which comes again: no route.`,
      ],
    ],
  )
})

test('after an answer the pauses begin anew; an answer without attributes is a first receipt', async t => {
  const { simulator, queueUrl, sqs } = await running(t)
  simulator.queue.send('poison')
  const client = sqs()
  const delays: number[] = []
  let requests = 0
  const { consumer, reports, until } = await consuming(t, queueUrl, {
    client: clientOf(client, {
      receiveMessage: async (request, options) => {
        requests++
        if (requests === 3) return client.receiveMessage({ ...request, MessageSystemAttributeNames: [] }, options)
        throw new Error('connect ECONNREFUSED')
      },
    }),
    delay: async milliseconds => {
      delays.push(milliseconds)
    },
  })
  await until(() => reports.length >= 5)
  await consumer.stop()
  assert.deepEqual(delays.slice(0, 4), [1000, 2000, 1000, 2000])
  assert.partialDeepStrictEqual(reports[2], { type: 'unreadable', attempt: 1 })
  assert.deepEqual(consumer.counts.received, 1)
})

test('options that are wrong are told all at once', async () => {
  const wrong = { queue: 'sqs://h/123456789012/q', handle: 1, report: undefined, reports: () => {} }
  await assert.rejects(consumeAgreementEvents(wrong as never), {
    code: 'ERR_CONFIGURATION',
    problems: [
      'reports: there is no such option (did you mean report?)',
      'handle: expected a function, got 1',
      'report: expected a function, got undefined',
    ],
  })
})
