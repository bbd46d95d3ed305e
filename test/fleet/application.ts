import { MeterProvider, PeriodicExportingMetricReader, type ResourceMetrics } from '@opentelemetry/sdk-metrics'
import { AWSMarketplaceMetricExporter } from '../../src/exporter.ts'
import type { AWSMarketplaceMetricExporterOptions } from '../../src/metering/options.ts'
import { seeded } from '../../src/simulator/random.ts'
import { ACCOUNT_ID_ATTRIBUTE } from '../../src/usage/instruments.ts'
import { type Amounts, addAll, type Orders, type ReplicaTold } from './orders.ts'
import { real } from './time.ts'
import { DIMENSION_OF, seriesOf, Traffic } from './traffic.ts'

/** Counts requests and exports them. Returns what ends it. */
export function runApplication(
  options: AWSMarketplaceMetricExporterOptions,
  { customers, seed, interval }: Orders,
  tell: (told: ReplicaTold) => void,
): () => Promise<void> {
  const exporter = new AWSMarketplaceMetricExporter(options)
  let exports = 0
  const told: typeof exporter.export = (metrics, callback) => {
    exports += 1
    const number = exports
    tell({ about: number, amounts: amountsOf(metrics) })
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
    exportIntervalMillis: real(interval),
    exportTimeoutMillis: real(interval),
  })
  const provider = new MeterProvider({ readers: [reader] })
  const traffic = new Traffic(provider, customers, seeded(seed))
  const counting = setInterval(
    () => {
      if (customers.length > 0) traffic.request()
    },
    real(interval / 12),
  )
  return async () => {
    clearInterval(counting)
    await provider.shutdown()
  }
}

function amountsOf(metrics: ResourceMetrics): Amounts {
  const amounts: Amounts = {}
  for (const { metrics: list } of metrics.scopeMetrics) {
    for (const { descriptor, dataPoints } of list) {
      for (const { attributes, value } of dataPoints) {
        const series = seriesOf(attributes[ACCOUNT_ID_ATTRIBUTE], DIMENSION_OF[descriptor.name])
        addAll(amounts, { [series]: value as number })
      }
    }
  }
  return amounts
}
