import { setTimeout as sleep } from 'node:timers/promises'
import type { ResourceMetrics } from '@opentelemetry/sdk-metrics'
import { AWSMarketplaceMetricExporter } from '../../src/exporter.ts'
import { answerWith, collectGarbage } from './child.ts'
import { temporaryFolder } from './folder.ts'
import { tokensOf } from './points.ts'

/**
 * How many series. Answers with the bytes that each of the second half keeps once its data points are gone: what has a
 * bound, such as the batches that are kept for a ledger that loses some, is there by then.
 */
answerWith<number, number>(async series => {
  const exporter = new AWSMarketplaceMetricExporter({
    productCode: 'prod-bench',
    region: 'us-east-1',
    ledger: `${temporaryFolder()}/ledger.sqlite`,
    now: () => Date.UTC(2026, 5, 10, 12, 30),
    client: { batchMeterUsage: () => Promise.reject(new Error('nothing is due')) },
  })
  for (let round = 0; round < 3; round++) await exportOf(exporter, tokensOf(series / 2))
  const before = await used()
  for (let round = 0; round < 3; round++) await exportOf(exporter, tokensOf(series))
  const after = await used()
  await exporter.shutdown()
  return (after - before) / (series / 2)
})

function exportOf(exporter: AWSMarketplaceMetricExporter, metrics: ResourceMetrics): Promise<void> {
  return new Promise((resolve, reject) =>
    exporter.export(metrics, ({ code, error }) => (code === 0 ? resolve() : reject(error))),
  )
}

/** What JavaScript holds after the pass that follows an export. SQLite's page cache is not in it: it has a bound. */
async function used(): Promise<number> {
  await sleep(100)
  for (let round = 0; round < 3; round++) collectGarbage()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}
