import { setTimeout as sleep } from 'node:timers/promises'
import { OTLPMetricExporter } from '@opentelemetry/exporter-metrics-otlp-proto'
import type { PushMetricExporter, ResourceMetrics } from '@opentelemetry/sdk-metrics'
import { AWSMarketplaceMetricExporter } from '../../src/exporter.ts'
import { answerWith, collectGarbage } from './child.ts'
import { temporaryFolder } from './folder.ts'
import { tokensOf } from './points.ts'

/** What one export took. */
export interface Export {
  /** From the call to its callback, in milliseconds. */
  readonly time: number
  /** The longest time in which the event loop turned to nothing else, until what follows the callback was done too. */
  readonly stall: number
}

const [who, points, url] = process.argv.slice(2)
const metrics = tokensOf(Number(points))
const exporter: PushMetricExporter =
  who === 'ours'
    ? new AWSMarketplaceMetricExporter({
        productCode: 'prod-bench',
        region: 'us-east-1',
        ledger: `${temporaryFolder()}/ledger.sqlite`,
        // An hour that turns during the run would be frozen and sent in the middle of a measurement.
        now: () => Date.UTC(2026, 5, 10, 12, 30),
        client: { batchMeterUsage: () => Promise.reject(new Error('nothing is due')) },
      })
    : new OTLPMetricExporter({ url: url as string, timeoutMillis: 60_000 })

answerWith<'export', Export>(async () => {
  collectGarbage()
  const stall = watchStall()
  const time = await exportOnce(metrics)
  await sleep(30)
  return { time, stall: stall() }
})

function exportOnce(metrics: ResourceMetrics): Promise<number> {
  return new Promise((resolve, reject) => {
    const begun = performance.now()
    exporter.export(metrics, ({ code, error }) => {
      if (code === 0) resolve(performance.now() - begun)
      else reject(error ?? new Error('the export failed'))
    })
  })
}

/** Asks for a turn each millisecond. Returns what tells by how much the latest of them came late, at most. */
function watchStall(): () => number {
  let last = performance.now()
  let longest = 0
  const look = () => {
    const now = performance.now()
    longest = Math.max(longest, now - last - 1)
    last = now
  }
  const timer = setInterval(look, 1)
  return () => {
    clearInterval(timer)
    look()
    return longest
  }
}
