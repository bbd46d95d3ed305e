import type { Address } from '../../gateway/config/values.ts'
import type { GatewayConfig, References } from '../../gateway/config.ts'
import type { ListenOptions, ServingOptions } from '../../gateway/options.ts'
import { DAY } from '../../ledger/hours.ts'
import type { EntitlementOptions } from '../../metering/options.ts'
import type { UsageOptions } from '../../usage/options.ts'

/** What a configuration file says, as the gateway takes it. */
export function gatewayOptions(
  config: GatewayConfig,
  { senders, tls }: References,
): UsageOptions & Omit<ServingOptions, 'ledger'> {
  const { usage, region, listen, statusPage, events, entitlements, reconcile } = config
  const { endpoint: _, retention, ...metering } = config.metering
  const { http, grpc, maxBodySize, maxConnections, maxConnectionsPerAddress, requestTimeout } = listen
  const limits = { maxConnections, maxConnectionsPerAddress, requestTimeout }
  const at = ({ host, port }: Address): ListenOptions => ({
    ...{ host, port },
    ...(maxBodySize !== undefined && { maxBodyBytes: maxBodySize }),
    ...(limits as Defined<typeof limits>),
    ...(tls !== undefined && { tls }),
  })
  return {
    ...usage,
    ...(metering as Defined<typeof metering>),
    ...(retention !== undefined && { retentionDays: retention / DAY }),
    ...{ region, statusPage, ...(events !== undefined && { events }) },
    ...(entitlements !== undefined && { entitlements: entitlements as EntitlementOptions }),
    ...(reconcile !== undefined && { reconcile: reconcile as Defined<typeof reconcile> }),
    ...(senders !== undefined && { senders }),
    ...(http !== null && { http: at(http) }),
    ...(grpc !== null && { grpc: at(grpc) }),
  }
}

/** A schema's options are either there or not. */
type Defined<Options> = { [Name in keyof Options]: Exclude<Options[Name], undefined> }
