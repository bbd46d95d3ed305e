import type { Ledger } from '../ledger/ledger.ts'
import type { MeteringClient } from '../marketplace/client.ts'
import type { UsageOptions } from '../usage/options.ts'

/** What a gateway is made of. `config.ts` reads it from a file. */
export interface GatewayOptions {
  /** What is measured, what is sold, and who the customer is; as for the exporter. */
  readonly usage: UsageOptions
  readonly ledger: Ledger
  readonly client: MeteringClient
  readonly region: string
  /** Where OTLP over HTTP is taken; none by default. */
  readonly http?: ListenOptions
  /** Where OTLP over gRPC is taken; none by default. */
  readonly grpc?: ListenOptions
  /** How the cycle meters; as the exporter's options of the same names. */
  readonly metering?: {
    readonly closeDelay?: number
    readonly deadlineMargin?: number
    readonly zeroQuantityRecords?: boolean
    readonly onConflict?: 'hold' | 'roll-forward'
    readonly dryRun?: boolean
    readonly retentionDays?: number
    readonly requestTimeout?: number
    readonly wakeInterval?: number
  }
  /** Milliseconds since the epoch. `Date.now` by default. */
  readonly now?: () => number
}

export interface ListenOptions {
  readonly host: string
  readonly port: number
  /** The largest request, decompressed, in bytes. */
  readonly maxBodyBytes?: number
  /** Any of them lets a request in; without them all are let in. */
  readonly bearerTokens?: readonly string[]
  /** PEM texts. With `ca`, clients need a certificate of it. */
  readonly tls?: { readonly cert: string; readonly key: string; readonly ca?: string }
}
