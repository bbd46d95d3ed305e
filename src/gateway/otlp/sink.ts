import { MarketplaceMeteringError } from '../../errors.ts'
import type { OtlpRequest } from './metrics.ts'
import type { Sender } from './senders.ts'

/** Where received metrics go. */
export interface MetricsSink {
  /** Which metrics are to be decoded. The others are accepted and dropped unread. */
  wants(metricName: string): boolean
  /**
   * Resolves when what it accepts is durable: only then is the sender told so. Rejected points are gone, since a sender
   * must not repeat them. A message without rejected points is a warning to the sender. Rejects with an
   * `UnavailableError` when it cannot take any of it now; any other error is a fault of our own and is reported, and the
   * sender is told to come back as well.
   */
  accept(request: OtlpRequest, sender: Sender): Promise<Acceptance>
}

export interface Acceptance {
  readonly rejectedDataPoints: number
  readonly message: string
}

export interface UnavailableErrorOptions extends ErrorOptions {
  /** After how many seconds the sender may come back: 5 by default. */
  readonly retryAfterSeconds?: number
}

/** The metrics cannot be taken now, and the sender is to come back with them. The message goes to the sender. */
export class UnavailableError extends MarketplaceMeteringError {
  readonly code = 'ERR_GATEWAY_UNAVAILABLE'
  readonly retryAfterSeconds: number

  constructor(message: string, { retryAfterSeconds = 5, ...options }: UnavailableErrorOptions = {}) {
    super(message, options)
    this.retryAfterSeconds = retryAfterSeconds
  }
}
