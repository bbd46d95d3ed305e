import { Gateway } from '../../src/gateway/gateway.ts'
import type { GatewayOptions } from '../../src/gateway/options.ts'
import type { Told } from './orders.ts'

/** Takes OTLP on a port of its own. Returns what ends it. */
export async function runGateway(options: GatewayOptions, tell: (told: Told) => void): Promise<() => Promise<void>> {
  const gateway = await Gateway.start({ ...options, http: { port: 0 } })
  tell({ ready: true, address: gateway.addresses.http as string })
  return () => gateway.close()
}
