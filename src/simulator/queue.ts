import type { SimulatorClock } from './clock.ts'
import { type Random, uuidOf } from './random.ts'

/** What is in a queue. */
export interface QueuedMessage {
  readonly id: string
  readonly body: string
  /** When it came, or will come, in milliseconds by the simulator's clock. */
  readonly sentAt: number
  /** How often it was received. */
  readonly receiveCount: number
}

/** A message as a consumer gets it. */
export interface ReceivedMessage extends QueuedMessage {
  /** Of this receipt; deletes the message as long as nobody has received it since. */
  readonly receiptHandle: string
  /** Milliseconds by the simulator's clock. */
  readonly firstReceivedAt: number
}

export interface QueueCounts {
  visible: number
  /** Received, and hidden for a while. */
  inFlight: number
  /** Still to come. */
  delayed: number
}

interface Message {
  id: string
  body: string
  sentAt: number
  /** By {@link SimulatorClock.elapsed}: it goes on while the clock stands. */
  visibleAt: number
  receiveCount: number
  receiptHandle: string
  firstReceivedAt: number
}

/** How long a received message is hidden, in seconds: SQS's default. */
export const VISIBILITY_TIMEOUT = 30
/** Received more often than that, a message goes to the dead-letter queue. */
export const MAX_RECEIVE_COUNT = 5
/** Where nobody reads, the oldest go. */
const CAPACITY = 10_000

/** A standard queue of SQS: at least once, in no order that one may rely on. Messages come when the simulator's clock says so. */
export class MessageQueue {
  readonly name: string
  readonly dead: MessageQueue | undefined
  readonly #clock: SimulatorClock
  readonly #random: Random
  /** In the order in which they come. */
  readonly #messages: Message[] = []

  constructor(name: string, clock: SimulatorClock, random: Random, dead?: MessageQueue) {
    this.name = name
    this.dead = dead
    this.#clock = clock
    this.#random = random
  }

  /**
   * @param at when it comes, in milliseconds by the simulator's clock
   * @returns its id
   */
  send(body: string, at = this.#clock.now()): string {
    const id = uuidOf(this.#random)
    const message = { id, body, sentAt: at, visibleAt: Number.NEGATIVE_INFINITY, receiveCount: 0 }
    this.#insert({ ...message, receiptHandle: '', firstReceivedAt: 0 })
    return id
  }

  /** Takes back a message that has not come yet. */
  cancel(id: string): boolean {
    return this.#remove(message => message.id === id && message.sentAt > this.#clock.now())
  }

  /** Hides what it returns for so many seconds. What was received too often goes to the dead-letter queue instead. */
  receive(most = 1, visibilityTimeout = VISIBILITY_TIMEOUT): ReceivedMessage[] {
    const [now, elapsed] = [this.#clock.now(), this.#clock.elapsed()]
    const received: ReceivedMessage[] = []
    for (const message of [...this.#messages]) {
      if (received.length === most || message.sentAt > now) break
      if (message.visibleAt > elapsed) continue
      if (this.dead !== undefined && message.receiveCount >= MAX_RECEIVE_COUNT) {
        this.#remove(other => other === message)
        this.dead.#insert({ ...message, visibleAt: Number.NEGATIVE_INFINITY })
        continue
      }
      message.receiveCount++
      message.receiptHandle = uuidOf(this.#random)
      if (message.receiveCount === 1) message.firstReceivedAt = now
      message.visibleAt = elapsed + visibilityTimeout * 1000
      const { visibleAt: _, ...rest } = message
      received.push(rest)
    }
    return received
  }

  /** By an older receipt nothing is deleted, and nothing said of it, as SQS does. */
  delete(receiptHandle: string): void {
    this.#remove(message => message.receiptHandle === receiptHandle)
  }

  /** @returns whether the message is in flight by this receipt */
  changeVisibility(receiptHandle: string, seconds: number): boolean {
    const elapsed = this.#clock.elapsed()
    const message = this.#messages.find(message => message.receiptHandle === receiptHandle)
    if (message === undefined || message.visibleAt <= elapsed) return false
    message.visibleAt = elapsed + seconds * 1000
    return true
  }

  /** Takes all that can be received, for a reader in this process: received and deleted at once. */
  drain(): string[] {
    const received = this.receive(Number.POSITIVE_INFINITY)
    for (const { receiptHandle } of received) this.delete(receiptHandle)
    return received.map(({ body }) => body)
  }

  /** What has come and was not deleted, in the order in which it came; this is no receipt. */
  messages(): QueuedMessage[] {
    const now = this.#clock.now()
    return this.#messages
      .filter(message => message.sentAt <= now)
      .map(({ id, body, sentAt, receiveCount }) => ({ id, body, sentAt, receiveCount }))
  }

  counts(): QueueCounts {
    const [now, elapsed] = [this.#clock.now(), this.#clock.elapsed()]
    const counts = { visible: 0, inFlight: 0, delayed: 0 }
    for (const { sentAt, visibleAt } of this.#messages) {
      counts[sentAt > now ? 'delayed' : visibleAt > elapsed ? 'inFlight' : 'visible']++
    }
    return counts
  }

  #insert(message: Message): void {
    const after = this.#messages.findLastIndex(({ sentAt }) => sentAt <= message.sentAt)
    this.#messages.splice(after + 1, 0, message)
    if (this.#messages.length > CAPACITY) this.#messages.shift()
  }

  #remove(which: (message: Message) => boolean): boolean {
    const index = this.#messages.findIndex(which)
    if (index === -1) return false
    this.#messages.splice(index, 1)
    return true
  }
}
