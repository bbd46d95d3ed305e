import { Gateway } from '../../src/gateway/gateway.ts'
import type { GatewayOptions } from '../../src/gateway/options.ts'

/** Takes OTLP on a port of its own. Returns where, host:port, and what ends it. */
export async function runGateway(options: GatewayOptions): Promise<{ address: string; end: () => Promise<void> }> {
  const gateway = await Gateway.start({ ...options, http: { port: 0 } })
  return { address: gateway.addresses.http as string, end: () => gateway.close() }
}
