import { DiagConsoleLogger, DiagLogLevel, diag } from '@opentelemetry/api'
import { MeterProvider, PeriodicExportingMetricReader, type ResourceMetrics } from '@opentelemetry/sdk-metrics'
import { AWSMarketplaceMetricExporter } from '../../src/exporter.ts'
import { inferenceInstruments } from '../../src/instruments.ts'
import { MINUTE } from '../../src/ledger/hours.ts'
import type { Ledger } from '../../src/ledger/ledger.ts'
import { seeded } from '../../src/simulator/random.ts'
import { openPlace } from './open-place.ts'
import type { Amounts, Orders, Told } from './orders.ts'
import { real, virtual } from './time.ts'

/** One process of a fleet: an application that counts, and meters through the ledger that all share. */

const orders = JSON.parse(process.argv[2] as string) as Orders
const { began, skew, seed, idle } = orders
if (process.env.FLEET_LOG) diag.setLogger(new DiagConsoleLogger(), DiagLogLevel.WARN)

const tell = (told: Told) => process.send?.(told)
const here = () => virtual(Date.now(), began) + skew

const ledger = await openPlace(orders.place)
const exporter = new AWSMarketplaceMetricExporter({
  productCode: 'prod-fleet',
  region: 'us-east-1',
  ledger: inVirtualTime(ledger),
  now: here,
  wakeInterval: Math.max(10, real(MINUTE)),
  requestTimeout: 5_000,
})

let exports = 0
const told = (metrics: ResourceMetrics, callback: Parameters<typeof exporter.export>[1]) => {
  exports += 1
  const number = exports
  const amounts = amountsOf(metrics)
  tell({ about: number, amounts })
  exporter.export(metrics, result => {
    tell(result.code === 0 ? { durable: number } : { failed: number, message: String(result.error?.message) })
    callback(result)
  })
}
const reader = new PeriodicExportingMetricReader({
  exporter: {
    export: told,
    forceFlush: () => exporter.forceFlush(),
    shutdown: () => exporter.shutdown(),
    selectAggregationTemporality: () => exporter.selectAggregationTemporality(),
  },
  exportIntervalMillis: real(MINUTE),
  exportTimeoutMillis: real(MINUTE),
})
const provider = new MeterProvider({ readers: [reader] })
const { requests, tokens } = inferenceInstruments(provider.getMeter('fleet'))

const random = seeded(seed)
const traffic = setInterval(
  () => {
    if (idle) return
    const customer = { 'marketplace.customer.account_id': accountOf(Math.floor(random() * orders.customers)) }
    requests.add(1, customer)
    tokens.add(Math.floor(random() * 5000), customer)
  },
  real(MINUTE / 12),
)

process.on('message', async () => {
  clearInterval(traffic)
  await provider.shutdown().catch(error => console.error(`replica: ${error}`))
  await ledger.close()
  process.exit(0)
})
// Orphans are of no use.
process.on('disconnect', () => process.exit(1))

function accountOf(customer: number): string {
  return String(100_000_000_000 + customer)
}

/** The engine's clock is a real one: what it says stands for a virtual time, as this process's own does. */
function inVirtualTime(ledger: Ledger): Ledger {
  return new Proxy(ledger, {
    get: (target, name: keyof Ledger) => {
      if (name !== 'now') return target[name].bind(target)
      return async (virtualHere: number) => {
        const realHere = Date.now() + real(skew)
        const there = await target.now(realHere)
        return there === realHere ? virtualHere : virtual(there, began)
      }
    },
  })
}

function amountsOf(metrics: ResourceMetrics): Amounts {
  const amounts: Amounts = {}
  for (const { metrics: list } of metrics.scopeMetrics) {
    for (const { descriptor, dataPoints } of list) {
      for (const { attributes, value } of dataPoints) {
        const dimension = descriptor.name.endsWith('requests') ? 'inference-requests' : 'tokens-processed'
        const key = `${attributes['marketplace.customer.account_id']} ${dimension}`
        amounts[key] = (amounts[key] ?? 0) + (value as number)
      }
    }
  }
  return amounts
}
