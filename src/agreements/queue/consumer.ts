import { setTimeout as sleep } from 'node:timers/promises'
import { configurationError, show, unknownOptions } from '../../check.ts'
import { type AgreementEvent, readAgreementEvent } from '../../marketplace/agreement-events.ts'
import { type QueueClient, type QueueMessage, queueClient, WAIT_TIME } from './client.ts'
import { type QueueAddress, readQueueAddress } from './queue-address.ts'
import type { QueueReport } from './reports.ts'

export interface AgreementConsumerOptions {
  /** `https://sqs.us-east-1.amazonaws.com/123456789012/name`, or the same with `sqs:`. */
  readonly queue: string
  /**
   * Resolves when what the event changes is durable: its message is deleted then, and comes again otherwise. Events come
   * at least once and in any order: by `id` and `at` they are told apart and ordered. With a number it is to come again
   * after so many milliseconds.
   */
  readonly handle: (event: AgreementEvent) => Promise<unknown>
  /** Tells a person. */
  readonly report: (report: QueueReport) => void
  /** By default the AWS SDK's of the queue's region, with credentials from the usual chain. */
  readonly client?: QueueClient
  /** How it is waited before the queue is tried again (default: by the machine's clock); rejects when aborted. */
  readonly delay?: (milliseconds: number, signal: AbortSignal) => Promise<unknown>
}

/** Messages since the start. One that comes again counts again. */
export interface ConsumerCounts {
  received: number
  /** With those that mean nothing to metering, or that AWS has added since. */
  handled: number
  /** To come again, since it is too early for them. */
  postponed: number
  unreadable: number
  unhandled: number
  /** Requests for messages that failed. */
  unreachable: number
}

/** Reads a queue until it is stopped. */
export interface AgreementConsumer extends AsyncDisposable {
  readonly queue: QueueAddress
  readonly counts: Readonly<ConsumerCounts>
  /**
   * Receives nothing more, and resolves when the event that is being handled is: at the latest after so many milliseconds
   * (default 10000), and then that is reported. What was received and not begun comes again.
   */
  stop(within?: number): Promise<void>
}

/** As many as SQS gives at once. */
const MOST_MESSAGES = 10
/** Milliseconds before the queue is tried again: the first time, and at most. */
const FIRST_RETRY = 1000
const LAST_RETRY = 60_000
/** Seconds until what could not be handled comes again: the first time, and at most. AWS takes the last usage for an hour. */
const FIRST_RETURN = 30
const LAST_RETURN = 300

/**
 * Reads AWS's agreement events from a queue, several processes at once if need be. A message is deleted when its event was
 * handled, or means nothing; every other is left to the queue's redrive policy, which brings it to a dead-letter queue
 * when it was received too often, and reported each time. Needs `sqs:ReceiveMessage`, `sqs:DeleteMessage`,
 * `sqs:ChangeMessageVisibility` and `sqs:GetQueueAttributes`.
 *
 * @throws ConfigurationError when an option is wrong, or the AWS SDK's client is not installed
 */
export async function consumeAgreementEvents(options: AgreementConsumerOptions): Promise<AgreementConsumer> {
  const { queue, handle, report, client, delay } = options
  const problems = unknownOptions(options, ['queue', 'handle', 'report', 'client', 'delay'])
  for (const [name, value] of Object.entries({ handle, report, ...(delay !== undefined && { delay }) })) {
    if (typeof value !== 'function') problems.push(`${name}: expected a function, got ${show(value)}`)
  }
  if (problems.length > 0) throw configurationError(problems)
  const address = readQueueAddress(queue)
  const own = client === undefined ? await queueClient(address) : undefined
  const consumer = new Consumer(address, client ?? (own as QueueClient), options)
  const running = consumer.run().finally(() => own?.destroy())
  const stop = async (within = 10_000) => {
    consumer.stopping.abort()
    const late = new AbortController()
    const ended = await Promise.race([running.then(() => true), sleep(within, false, { signal: late.signal })])
    late.abort()
    if (!ended) consumer.unfinished()
  }
  return { queue: address, counts: consumer.counts, stop, [Symbol.asyncDispose]: () => stop() }
}

/** A message with the event in it. */
interface Received {
  readonly message: Message
  readonly event: AgreementEvent
}

interface Message {
  readonly id: string
  readonly receipt: string
  readonly attempt: number
}

/**
 * A loop of its own: sqs-consumer (15.0.3) either waits up to 20 seconds to be stopped, or gives up deleting what has just
 * been handled; and where no connection can be made, it tries again without a pause.
 */
class Consumer {
  readonly counts: ConsumerCounts = {
    ...{ received: 0, handled: 0, postponed: 0, unreadable: 0, unhandled: 0, unreachable: 0 },
  }
  readonly stopping = new AbortController()
  readonly #address: QueueAddress
  readonly #client: QueueClient
  readonly #handle: AgreementConsumerOptions['handle']
  readonly #report: AgreementConsumerOptions['report']
  readonly #delay: NonNullable<AgreementConsumerOptions['delay']>
  /** After how many receipts a message goes to the dead-letter queue, where that is known. */
  #mostAttempts: number | undefined

  constructor(address: QueueAddress, client: QueueClient, options: AgreementConsumerOptions) {
    this.#address = address
    this.#client = client
    this.#handle = options.handle
    this.#report = options.report
    this.#delay = options.delay ?? ((milliseconds, signal) => sleep(milliseconds, undefined, { signal }))
  }

  async run(): Promise<void> {
    const { signal } = this.stopping
    await this.#lookAtRedrivePolicy()
    let retryIn = FIRST_RETRY
    while (!signal.aborted) {
      const messages = await this.#receive().catch((error: unknown) => ({ error }))
      if (signal.aborted) return
      if (Array.isArray(messages)) {
        retryIn = FIRST_RETRY
        for (const received of this.#read(messages)) if (!signal.aborted) await this.#take(received)
        continue
      }
      this.counts.unreachable++
      const { error } = messages
      const what = `cannot be read: ${textOf(error)} It is tried again in ${retryIn / 1000} s.`
      this.#tell('error', what, { type: 'unreachable', error, retryIn })
      await this.#delay(retryIn, signal).catch(() => {})
      retryIn = Math.min(2 * retryIn, LAST_RETRY)
    }
  }

  unfinished(): void {
    this.#tell('warn', 'was stopped while an event was being handled: it may come again.', { type: 'unfinished' })
  }

  async #receive(): Promise<QueueMessage[]> {
    const request = {
      QueueUrl: this.#address.url,
      MaxNumberOfMessages: MOST_MESSAGES,
      WaitTimeSeconds: WAIT_TIME,
      MessageSystemAttributeNames: ['ApproximateReceiveCount' as const, 'SentTimestamp' as const],
    }
    const { Messages = [] } = await this.#client.receiveMessage(request, { abortSignal: this.stopping.signal })
    return Messages
  }

  /** The events among messages, the oldest first: not that anybody may rely on it, but it saves surprises. */
  #read(messages: readonly QueueMessage[]): Received[] {
    this.counts.received += messages.length
    const received = messages.flatMap(({ MessageId: id = '', ReceiptHandle: receipt = '', Body, Attributes = {} }) => {
      const message = { id, receipt, attempt: Number(Attributes.ApproximateReceiveCount ?? 1) }
      const sentAt = Number(Attributes.SentTimestamp)
      try {
        return { message, event: readAgreementEvent(Body, { id, ...(sentAt > 0 && { at: sentAt }) }) }
      } catch (error) {
        this.counts.unreadable++
        const what = `has a message that is no agreement event (${id}): ${textOf(error)} ${this.#whatNext(message)}`
        this.#tell('error', what, {
          ...{ type: 'unreadable', messageId: id, attempt: message.attempt, isLast: this.#isLast(message), error },
        })
        return []
      }
    })
    return received.sort((a, b) => (a.event.at ?? 0) - (b.event.at ?? 0))
  }

  async #take({ message, event }: Received): Promise<void> {
    let later: unknown
    try {
      later = await this.#handle(event)
    } catch (error) {
      return this.#failed(message, event, error)
    }
    if (typeof later === 'number' && later > 0) {
      this.counts.postponed++
      await this.#comeAgain(message, Math.ceil(later / 1000))
      return
    }
    this.counts.handled++
    try {
      await this.#client.deleteMessage({ QueueUrl: this.#address.url, ReceiptHandle: message.receipt })
    } catch (error) {
      const what = `would not delete a message that is done with (${message.id}), which comes again: ${textOf(error)}`
      this.#tell('warn', what, { type: 'undeleted', messageId: message.id, error })
    }
  }

  async #failed(message: Message, event: AgreementEvent, error: unknown): Promise<void> {
    this.counts.unhandled++
    const returnIn = Math.min(FIRST_RETURN * 2 ** (message.attempt - 1), LAST_RETURN)
    const what = `has an event that could not be handled (${event.type}, ${event.id}): ${textOf(error)}`
    this.#tell('error', `${what} ${this.#whatNext(message, returnIn)}`, {
      ...{ type: 'unhandled', messageId: message.id, attempt: message.attempt, isLast: this.#isLast(message) },
      ...{ event, error },
    })
    // A ledger that is away for minutes is not to use up the receipts.
    await this.#comeAgain(message, returnIn)
  }

  /** @param seconds without it the message comes again when the queue says, as it does where this fails */
  async #comeAgain({ receipt }: Message, seconds: number): Promise<void> {
    const change = { QueueUrl: this.#address.url, ReceiptHandle: receipt, VisibilityTimeout: seconds }
    await this.#client.changeMessageVisibility(change).catch(() => {})
  }

  #isLast({ attempt }: Message): boolean {
    return this.#mostAttempts !== undefined && attempt >= this.#mostAttempts
  }

  #whatNext(message: Message, returnIn?: number): string {
    const { attempt } = message
    const most = this.#mostAttempts
    if (this.#isLast(message)) {
      return 'It goes to the dead-letter queue: look at it there, and send it back when it can be handled.'
    }
    const again = returnIn === undefined ? 'It comes again' : `It comes again in ${returnIn} s`
    return `${again} (received ${attempt}${most === undefined ? '' : ` of ${most}`} times).`
  }

  async #lookAtRedrivePolicy(): Promise<void> {
    const request = { QueueUrl: this.#address.url, AttributeNames: ['RedrivePolicy' as const] }
    const { signal: abortSignal } = this.stopping
    // Where it may not be asked, or nothing answers, receiving says so.
    const answer = await this.#client.getQueueAttributes(request, { abortSignal }).catch(() => undefined)
    if (answer === undefined) return
    const policy = answer.Attributes?.RedrivePolicy
    if (policy === undefined) {
      const what = 'has no dead-letter queue: an event that cannot be handled is lost when SQS throws it away.'
      return this.#tell('error', `${what} Give it a redrive policy.`, { type: 'no-dead-letter-queue' })
    }
    this.#mostAttempts = Number(/"maxReceiveCount"\s*:\s*"?(\d+)/.exec(policy)?.[1]) || undefined
  }

  #tell(level: QueueReport['level'], what: string, report: DistributiveOmit<QueueReport, 'level' | 'message'>): void {
    this.#report({ level, message: `The queue ${this.#address.name} ${what}`, ...report } as QueueReport)
  }
}

type DistributiveOmit<Type, Key extends PropertyKey> = Type extends unknown ? Omit<Type, Key> : never

/** What an error says, as a sentence. */
function textOf(error: unknown): string {
  const text = error instanceof Error ? error.message || error.name : String(error)
  return /[.!?]$/.test(text) ? text : `${text}.`
}
