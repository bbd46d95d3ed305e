import type { MeterProviderOptions, MetricReader } from '@opentelemetry/sdk-metrics'
import type { FollowOptions } from '../agreements/follow-events.ts'
import type { Ledger } from '../ledger/ledger.ts'
import type { MeteringOptions } from '../metering/options.ts'
import type { UsageOptions } from '../usage/options.ts'
import type { ReceiverOptions } from './otlp/options.ts'
import type { TokenSender } from './otlp/senders.ts'
import type { ReconcileOptions } from './reconciling.ts'

/** What is measured and sold, who the customer is, and how it is metered: as for the exporter. */
export type GatewayOptions = UsageOptions & ServingOptions

/** How usage is taken, kept and metered. */
export interface ServingOptions extends Omit<MeteringOptions, 'ledger' | 'meterProvider' | 'dropUnnamed'> {
  /** Where usage is kept. It is left open when the gateway is closed. */
  readonly ledger: Ledger
  /** Where OTLP over HTTP is taken, with the status page beside it. One of the two is needed. */
  readonly http?: ListenOptions
  /** Where OTLP over gRPC is taken. */
  readonly grpc?: ListenOptions
  /**
   * Who may send, each by a bearer token. By default everybody who reaches the gateway is one sender, `anyone`.
   */
  readonly senders?: readonly TokenSender[]
  /** The status page, at `/` of the HTTP address. On by default. */
  readonly statusPage?: boolean
  /**
   * How much room the disk with the file of the ledger, or of its spool, must have for the gateway to be ready, in bytes.
   * 32 MB by default.
   */
  readonly minFreeBytes?: number
  /** Where the gateway's own metrics go, but for Prometheus, which fetches them at `/metrics`. */
  readonly readers?: readonly MetricReader[]
  /** What the gateway's own metrics are of. */
  readonly resource?: MeterProviderOptions['resource']
  /** Where AWS's agreement events come to, so that a customer's usage is metered by its agreement. None by default. */
  readonly events?: EventOptions
  /** Ask CloudTrail every so often what AWS has, and hold it against the ledger. Not by default. */
  readonly reconcile?: ReconcileOptions
  /** The ledger's address, for commands that the status page shows. */
  readonly ledgerAddress?: string
}

export interface EventOptions extends Pick<FollowOptions, 'queue' | 'client'> {
  /** AWS's code of the product, where it is not the option `productCode`: events of others are none of this ledger's. */
  readonly productCode?: string
}

export type ListenOptions = Pick<
  ReceiverOptions,
  'host' | 'port' | 'tls' | 'maxBodyBytes' | 'maxConnections' | 'maxConnectionsPerAddress' | 'requestTimeout'
>
