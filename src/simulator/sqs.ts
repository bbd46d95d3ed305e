import { createHash } from 'node:crypto'
import * as v from 'valibot'
import { SimulatedServiceError } from './errors.ts'
import { EVENTS_REGION } from './faults.ts'
import { MAX_RECEIVE_COUNT, type MessageQueue, type ReceivedMessage, VISIBILITY_TIMEOUT } from './queue.ts'

/**
 * SQS on the wire (AWS JSON 1.0), as far as a consumer of the events' queue needs it.
 * https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_Operations.html
 */

export const SQS_CONTENT_TYPE = 'application/x-amz-json-1.0'
const TARGET_PREFIX = 'AmazonSQS.'

/** Whose queues they are, in their URLs. Any account's number will do in a request. */
export const QUEUE_OWNER = '000000000000'

/** The operation's name in an `X-Amz-Target` header, or nothing if it is not of this service. */
export function sqsOperationOf(target: string | undefined): string | undefined {
  return target?.startsWith(TARGET_PREFIX) ? target.slice(TARGET_PREFIX.length) : undefined
}

/** Where the queues are, and how a receipt waits. */
export interface SqsContext {
  readonly queue: MessageQueue
  /** Where the simulator listens, such as `http://127.0.0.1:8480`. */
  readonly url: string
  /** Looks again until something is there, for so many milliseconds by the machine's clock at most. */
  readonly wait: (look: () => boolean, milliseconds: number) => Promise<void>
}

/**
 * @param region of the caller's signature
 * @throws {SimulatedServiceError} with AWS's name
 */
export async function answerSqs(context: SqsContext, operation: string, body: string, region: string): Promise<object> {
  if (region !== EVENTS_REGION) {
    throw refuse(
      'InvalidSecurity',
      `The queue of AWS's events is in ${EVENTS_REGION}, the request is signed for ${region}`,
    )
  }
  const answer = Object.hasOwn(OPERATIONS, operation) ? OPERATIONS[operation] : undefined
  if (answer === undefined) {
    const known = Object.keys(OPERATIONS).join(', ')
    throw refuse('UnknownOperationException', `The simulator answers ${known}, not ${operation}`)
  }
  let request: unknown
  try {
    request = JSON.parse(body === '' ? '{}' : body)
  } catch {
    throw refuse('SerializationException', 'The request is not valid JSON')
  }
  return answer(context, request)
}

const refuse = (name: string, message: string) => new SimulatedServiceError(name, message)

/** What an operation answers, with its request checked. */
type Answering = (context: SqsContext, request: unknown) => object | Promise<object>

function operation<Schema extends v.GenericSchema>(
  schema: Schema,
  answer: (context: SqsContext, request: v.InferOutput<Schema>) => object | Promise<object>,
): Answering {
  return (context, request) => {
    const result = v.safeParse(schema, request)
    if (result.success) return answer(context, result.output)
    const [issue] = result.issues
    const what = `Value for parameter ${v.getDotPath(issue) ?? 'request'} is invalid. Reason: ${issue.message}`
    throw refuse('InvalidParameterValue', what)
  }
}

const within = (least: number, most: number) => v.pipe(v.number(), v.integer(), v.minValue(least), v.maxValue(most))
const url = { QueueUrl: v.string() }
const names = v.nullish(v.array(v.string()), [])
const visibility = within(0, 43_200)
const entries = <Entry extends v.ObjectEntries>(entry: Entry) =>
  v.object({
    ...url,
    Entries: v.pipe(v.array(v.object({ Id: v.string(), ...entry })), v.minLength(1), v.maxLength(10)),
  })

const OPERATIONS: Record<string, Answering> = {
  GetQueueUrl: operation(v.object({ QueueName: v.string() }), ({ queue, url }, { QueueName }) => ({
    QueueUrl: `${url}/${QUEUE_OWNER}/${named(queue, QueueName).name}`,
  })),
  GetQueueAttributes: operation(v.object({ ...url, AttributeNames: names }), (context, request) => ({
    Attributes: chosen(attributesOf(queueOf(context, request)), request.AttributeNames),
  })),
  SendMessage: operation(v.object({ ...url, MessageBody: v.pipe(v.string(), v.minLength(1)) }), (context, request) => ({
    MessageId: queueOf(context, request).send(request.MessageBody),
    MD5OfMessageBody: md5(request.MessageBody),
  })),
  ReceiveMessage: operation(
    v.object({
      ...url,
      MaxNumberOfMessages: v.nullish(within(1, 10), 1),
      VisibilityTimeout: v.nullish(visibility, VISIBILITY_TIMEOUT),
      WaitTimeSeconds: v.nullish(within(0, 20), 0),
      AttributeNames: names,
      MessageSystemAttributeNames: names,
    }),
    async (context, request) => {
      const queue = queueOf(context, request)
      let received: ReceivedMessage[] = []
      await context.wait(() => {
        received = queue.receive(request.MaxNumberOfMessages, request.VisibilityTimeout)
        return received.length > 0
      }, request.WaitTimeSeconds * 1000)
      const wanted = [...request.AttributeNames, ...request.MessageSystemAttributeNames]
      // An empty receipt has no such member.
      return received.length === 0 ? {} : { Messages: received.map(message => messageOf(message, wanted)) }
    },
  ),
  DeleteMessage: operation(v.object({ ...url, ReceiptHandle: v.string() }), (context, request) => {
    queueOf(context, request).delete(request.ReceiptHandle)
    return {}
  }),
  DeleteMessageBatch: operation(entries({ ReceiptHandle: v.string() }), (context, request) => {
    const queue = queueOf(context, request)
    for (const { ReceiptHandle } of request.Entries) queue.delete(ReceiptHandle)
    return { Successful: request.Entries.map(({ Id }) => ({ Id })), Failed: [] }
  }),
  ChangeMessageVisibility: operation(
    v.object({ ...url, ReceiptHandle: v.string(), VisibilityTimeout: visibility }),
    (context, request) => {
      if (queueOf(context, request).changeVisibility(request.ReceiptHandle, request.VisibilityTimeout)) return {}
      throw refuse('MessageNotInflight', 'The message referred to is not in flight.')
    },
  ),
}

/** The queue that a URL names, on whatever host. */
function queueOf({ queue }: SqsContext, { QueueUrl }: { QueueUrl: string }): MessageQueue {
  return named(queue, URL.parse(QueueUrl)?.pathname.split('/').at(-1) ?? '')
}

function named(queue: MessageQueue, name: string): MessageQueue {
  const found = [queue, queue.dead].find(other => other?.name === name)
  if (found !== undefined) return found
  throw refuse('QueueDoesNotExist', `The specified queue does not exist: there are ${queue.name}, ${queue.dead?.name}`)
}

const arnOf = ({ name }: MessageQueue) => `arn:aws:sqs:${EVENTS_REGION}:${QUEUE_OWNER}:${name}`

function attributesOf(queue: MessageQueue): Record<string, string> {
  const { visible, inFlight, delayed } = queue.counts()
  return {
    QueueArn: arnOf(queue),
    ApproximateNumberOfMessages: String(visible),
    ApproximateNumberOfMessagesNotVisible: String(inFlight),
    ApproximateNumberOfMessagesDelayed: String(delayed),
    VisibilityTimeout: String(VISIBILITY_TIMEOUT),
    ReceiveMessageWaitTimeSeconds: '0',
    ...(queue.dead && {
      RedrivePolicy: JSON.stringify({ deadLetterTargetArn: arnOf(queue.dead), maxReceiveCount: MAX_RECEIVE_COUNT }),
    }),
  }
}

function messageOf(message: ReceivedMessage, wanted: readonly string[]): object {
  const { id, body, receiptHandle, sentAt, firstReceivedAt, receiveCount } = message
  const attributes = chosen(
    {
      SentTimestamp: String(sentAt),
      ApproximateReceiveCount: String(receiveCount),
      ApproximateFirstReceiveTimestamp: String(firstReceivedAt),
    },
    wanted,
  )
  return {
    MessageId: id,
    ReceiptHandle: receiptHandle,
    MD5OfBody: md5(body),
    Body: body,
    ...(Object.keys(attributes).length > 0 && { Attributes: attributes }),
  }
}

const chosen = (attributes: Record<string, string>, wanted: readonly string[]) =>
  Object.fromEntries(Object.entries(attributes).filter(([name]) => wanted.includes('All') || wanted.includes(name)))

const md5 = (text: string) => createHash('md5').update(text).digest('hex')

/** AWS has the service's name before an error's, and an older name beside it. */
export function serializeSqsError(error: SimulatedServiceError): { body: string; header: string } {
  const older = error.name === 'QueueDoesNotExist' ? 'AWS.SimpleQueueService.NonExistentQueue' : error.name
  return {
    body: JSON.stringify({ __type: `com.amazonaws.sqs#${error.name}`, message: error.message }),
    header: `${older};Sender`,
  }
}
