import { hostname } from 'node:os'
import { type GatewayConfig, senderName } from '../../gateway/config.ts'
import { sentElsewhere } from '../../metering/endpoints.ts'
import { productName } from '../../usage/options.ts'
import type { LogLevel } from './log.ts'

/** What a gateway says when it is ready: where it listens, how to send to it, and what to beware of. */
export function greeting(
  { usage, region, listen, metering, statusPage }: GatewayConfig,
  addresses: { readonly http?: string; readonly grpc?: string },
  ledger: string,
  env: NodeJS.ProcessEnv,
): [LogLevel, string][] {
  const { tls, tokens } = listen
  const headers = tokens === undefined ? '' : ' OTEL_EXPORTER_OTLP_HEADERS=Authorization=Bearer%20<token>'
  const said: [LogLevel, string][] = []
  for (const [transport, address] of Object.entries(addresses)) {
    const url = urlOf({ listen }, address)
    const [name, protocol] = transport === 'grpc' ? ['gRPC', 'grpc'] : ['HTTP', 'http/protobuf']
    said.push([
      'info',
      `Takes OTLP over ${name} at ${address}. Send to it with OTEL_EXPORTER_OTLP_ENDPOINT=${url} ` +
        `OTEL_EXPORTER_OTLP_PROTOCOL=${protocol}${headers}`,
    ])
    if (transport === 'http') {
      const page = statusPage ? `${url}/ is the status page. ` : ''
      said.push(['info', `${page}For probes and Prometheus: ${url}/healthz, ${url}/readyz and ${url}/metrics`])
    }
    if (tokens === undefined && tls?.ca === undefined && !isLoopback(address)) {
      said.push(['warn', `Whoever reaches ${address} can have usage billed: set listen.tokens or listen.tls.ca.`])
    }
  }
  const anyCustomer = (tokens ?? []).flatMap((entry, index) =>
    typeof entry === 'string' || entry.customers === undefined ? [senderName(entry, index)] : [],
  )
  if (anyCustomer.length > 0) {
    const whose = anyCustomer.length === 1 ? 'The token' : 'Each of the tokens'
    said.push(['info', `${whose} of ${anyCustomer.join(', ')} may bill any customer: listen.tokens can say which.`])
  }
  said.push(['info', `Meters ${productName(usage)} in ${region}. Usage is kept in ${ledger}`])
  const elsewhere = sentElsewhere(env)
  if (elsewhere !== undefined) {
    const who = metering.endpoint === undefined ? elsewhere.variable : 'metering.endpoint'
    said.push(['warn', `Usage records go to ${elsewhere.origin} instead of AWS: ${who} says so.`])
  }
  if (metering.dryRun) said.push(['warn', 'Dry run: nothing is sent, and nobody is billed.'])
  return said
}

/** For who sends to it. */
export function urlOf({ listen: { tls } }: Pick<GatewayConfig, 'listen'>, address: string): string {
  return `${tls === undefined ? 'http' : 'https'}://${reachable(address)}`
}

const isLoopback = (address: string) => /^(127\.|\[::1\]:|\[::ffff:127\.)/.test(address)

/** An address to send to, where it is every address of this machine. */
const reachable = (address: string) => address.replace(/^(0\.0\.0\.0|\[::\]):/, `${hostname()}:`)
