import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { ProtobufMetricsSerializer } from '@opentelemetry/otlp-transformer'
import { CollectorQueue } from './collector-queue.ts'

const pack = promisify(gzip)

/** A Collector's own defaults, `retry_on_failure` of its exporters, in milliseconds. */
const INITIAL_INTERVAL = 5000
const MAX_INTERVAL = 30_000
const MULTIPLIER = 1.5
const RANDOMIZATION = 0.5

/** With which an OTLP receiver says that a request may be sent again. All others are for good. */
const RETRYABLE = new Set([429, 502, 503, 504])
/** On which a Collector looks for `Retry-After`. */
const THROTTLING = new Set([429, 503])

export interface CollectorSenderOptions {
  /** Where to send to: http://host:port. */
  readonly endpoint: string
  /** Where the queue is kept. What another sender left there is sent as well, what it was sending then comes last. */
  readonly queueFile: string
  /** Waits so many milliseconds of a Collector's time, or until it is aborted. */
  readonly wait: (milliseconds: number, signal: AbortSignal) => Promise<unknown>
  readonly random: () => number
  /** How many requests are under way at a time: 10, as a Collector's. */
  readonly consumers?: number
  readonly compression?: 'gzip' | 'none'
  readonly headers?: Readonly<Record<string, string>>
}

export interface Dropped {
  readonly status: number
  readonly body: Uint8Array
}

/** What was sent, and what came of it. */
export interface SenderCounts {
  attempts: number
  accepted: number
  /** Data points of requests that were accepted in part. They do not come again. */
  rejectedPoints: number
}

/**
 * Sends as the Collector's `otlp_http` exporter does, with `sending_queue.storage` and `retry_on_failure` without end:
 * at least once, in no order, and never again after an answer that forbids it.
 */
export class CollectorSender {
  readonly counts: SenderCounts = { attempts: 0, accepted: 0, rejectedPoints: 0 }
  readonly dropped: Dropped[] = []
  readonly #options: CollectorSenderOptions
  readonly #queue: CollectorQueue
  readonly #stopping = new AbortController()
  readonly #consumers: Promise<void>[]
  #more = Promise.withResolvers<void>()
  #drained = Promise.withResolvers<void>()
  #stopped: Promise<void> | undefined

  constructor(options: CollectorSenderOptions) {
    this.#options = options
    this.#queue = new CollectorQueue(options.queueFile)
    this.#consumers = Array.from({ length: options.consumers ?? 10 }, () => this.#consume())
  }

  /** Takes a request, as protobuf: it is in the file when this returns. */
  send(body: Uint8Array): void {
    this.#queue.put(body)
    this.#more.resolve()
    this.#more = Promise.withResolvers()
  }

  /** Resolves when nothing is left to send. */
  async drained(): Promise<void> {
    while (this.#queue.size > 0) await this.#drained.promise
  }

  /** Ends at once, as a process that is killed: whatever was being sent, is in the file. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop()
    return this.#stopped
  }

  async #stop(): Promise<void> {
    this.#stopping.abort()
    this.#more.resolve()
    await Promise.all(this.#consumers)
    this.#queue.close()
  }

  async #consume(): Promise<void> {
    const { signal } = this.#stopping
    while (!signal.aborted) {
      const item = this.#queue.take()
      if (item === undefined) {
        await this.#more.promise
        continue
      }
      if (!(await this.#deliver(item.body))) return
      this.#queue.done(item.id)
      this.#drained.resolve()
      this.#drained = Promise.withResolvers()
    }
  }

  /** Whether there is an end to it: false where the sender was stopped before. */
  async #deliver(body: Uint8Array): Promise<boolean> {
    const { signal } = this.#stopping
    const { wait, random } = this.#options
    let interval = INITIAL_INTERVAL
    for (;;) {
      const retryAfter = await this.#attempt(body)
      if (signal.aborted) return false
      if (retryAfter === undefined) return true
      const backoff = interval * (1 + RANDOMIZATION * (2 * random() - 1))
      interval = Math.min(interval * MULTIPLIER, MAX_INTERVAL)
      await wait(Math.max(backoff, retryAfter), signal).catch(() => {})
      if (signal.aborted) return false
    }
  }

  /** Undefined where it is not to be sent again; otherwise how long the receiver asks to wait, in milliseconds. */
  async #attempt(body: Uint8Array): Promise<number | undefined> {
    this.counts.attempts += 1
    let response: Response
    let answer: Uint8Array
    try {
      response = await this.#post(body)
      answer = await response.bytes()
    } catch {
      return 0
    }
    if (response.ok) {
      this.counts.accepted += 1
      const { partialSuccess } = ProtobufMetricsSerializer.deserializeResponse(answer)
      this.counts.rejectedPoints += Number(partialSuccess?.rejectedDataPoints ?? 0)
      return undefined
    }
    if (!RETRYABLE.has(response.status)) {
      this.dropped.push({ status: response.status, body })
      return undefined
    }
    const seconds = THROTTLING.has(response.status) ? Number(response.headers.get('retry-after')) : 0
    return Number.isInteger(seconds) ? seconds * 1000 : 0
  }

  async #post(body: Uint8Array): Promise<Response> {
    const { endpoint, headers, compression = 'gzip' } = this.#options
    return fetch(`${endpoint}/v1/metrics`, {
      method: 'POST',
      body: compression === 'gzip' ? await pack(body) : Buffer.from(body),
      headers: {
        'content-type': 'application/x-protobuf',
        ...(compression === 'gzip' && { 'content-encoding': 'gzip' }),
        ...headers,
      },
      signal: this.#stopping.signal,
    })
  }
}
