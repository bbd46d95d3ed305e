import { importError } from '../../errors.ts'
import type { QueueAddress } from './queue-address.ts'

/** A message as SQS hands it out. Every member may be missing in an answer that makes no sense. */
export interface QueueMessage {
  MessageId?: string | undefined
  ReceiptHandle?: string | undefined
  Body?: string | undefined
  Attributes?: Partial<Record<string, string>> | undefined
}

interface Call {
  abortSignal?: AbortSignal
}

/** The part of SQS that is called, under AWS's own names. The AWS SDK's aggregated `SQS` fits as it is. */
export interface QueueClient {
  receiveMessage(
    request: {
      QueueUrl: string
      MaxNumberOfMessages: number
      WaitTimeSeconds: number
      MessageSystemAttributeNames: ('ApproximateReceiveCount' | 'SentTimestamp')[]
    },
    options?: Call,
  ): Promise<{ Messages?: QueueMessage[] | undefined }>
  deleteMessage(request: { QueueUrl: string; ReceiptHandle: string }): Promise<unknown>
  changeMessageVisibility(request: {
    QueueUrl: string
    ReceiptHandle: string
    VisibilityTimeout: number
  }): Promise<unknown>
  getQueueAttributes(
    request: { QueueUrl: string; AttributeNames: 'RedrivePolicy'[] },
    options?: Call,
  ): Promise<{ Attributes?: Partial<Record<string, string>> | undefined }>
}

/** How long SQS lets a request wait for a message, in seconds: its most. */
export const WAIT_TIME = 20
/** Milliseconds for an answer: a request waits for a message meanwhile. */
const REQUEST_TIMEOUT = (WAIT_TIME + 10) * 1000

/**
 * The AWS SDK's client of the queue's own region and host, with credentials from the usual chain.
 *
 * @throws ConfigurationError when the AWS SDK's client is not installed, or does not load
 */
export async function queueClient({ endpoint, region }: QueueAddress): Promise<QueueClient & { destroy(): void }> {
  const { SQS } = await load()
  return new SQS({
    endpoint,
    region,
    requestHandler: { connectionTimeout: 5000, requestTimeout: REQUEST_TIMEOUT, throwOnRequestTimeout: true },
  })
}

async function load() {
  try {
    return await import('@aws-sdk/client-sqs')
  } catch (cause) {
    throw importError('@aws-sdk/client-sqs', ': a queue of agreement events needs it.', cause)
  }
}
