import type { RequestBudget } from './budget.ts'
import type { FailedAttempts } from './failed-attempts.ts'
import type { Refused } from './refusal.ts'
import type { Senders } from './senders.ts'
import type { MetricsSink } from './sink.ts'

/** What both receivers are told. */
export interface ReceiverOptions {
  readonly sink: MetricsSink
  /** Faults of our own, whose senders were told to come back. */
  readonly onError: (error: unknown) => void
  /** Where to listen. Default 127.0.0.1: whoever reaches it can send usage. */
  readonly host?: string
  /** Default OTLP's own, 4318 for HTTP and 4317 for gRPC. 0 is any that is free. */
  readonly port?: number
  /** Called with each request that was refused, whoever is to blame. */
  readonly onRefused?: (refused: Refused) => void
  /** Who may send. By default everybody who reaches it. */
  readonly senders?: Senders
  /** By default there is no TLS. */
  readonly tls?: TlsOptions
  /** The largest request, unpacked, in bytes. 20 MiB by default, as OTLP recommends. */
  readonly maxBodyBytes?: number
  /** What may be in memory of all requests together. Receivers may share one. 128 MiB of its own by default. */
  readonly budget?: RequestBudget
  /** Slows down who presents tokens that are none. Receivers may share one. */
  readonly failedAttempts?: FailedAttempts
  /**
   * How many connections there may be at a time. Where there is no room for one more, the oldest is closed on which
   * nothing was ever taken, or the longest idle one of the sender that has the most. 4,000 by default.
   */
  readonly maxConnections?: number
  /** How many of them may be of one remote address (of IPv6, of one /64). 1,000 by default. */
  readonly maxConnectionsPerAddress?: number
  /**
   * How long a request may take to arrive, in milliseconds; and twice that how long a connection may last on which
   * nothing is taken. 30 seconds by default.
   */
  readonly requestTimeout?: number
}

/** In PEM. */
export interface TlsOptions {
  readonly cert: string | Buffer
  readonly key: string | Buffer
  /** Senders have to present a certificate that one of these signed. By default none is asked for. */
  readonly ca?: string | Buffer | undefined
}

/** What may change while a receiver listens. */
export interface Renewal {
  /** Needs a `ca` if the receiver was started with one, and none otherwise. */
  readonly tls: TlsOptions
}

export interface DrainOptions {
  /** How long to wait for requests that are being received or answered, in milliseconds. */
  readonly deadlineMs: number
}

/** A receiver that listens. */
export interface Receiver {
  readonly host: string
  readonly port: number
  /**
   * From now on handshakes are made with this certificate. Connections that are open stay so.
   *
   * @throws {ConfigurationError} for what is no certificate with its key, or where there is no TLS; then all is as it was
   */
  renew(renewal: Renewal): void
  /**
   * Takes no more connections, answers what was accepted, and ends. What is not answered at the deadline is cut off:
   * its sender has to send it again.
   */
  close(options: DrainOptions): Promise<void>
}
