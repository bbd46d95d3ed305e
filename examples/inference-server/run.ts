import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { MeterProvider, PeriodicExportingMetricReader, type PushMetricExporter } from '@opentelemetry/sdk-metrics'
import { createInferenceServer } from './server.ts'
import type { Settings } from './settings.ts'
import { gracefulStop } from './shutdown.ts'

/** What a run on another clock than the machine's replaces. */
export interface RunOptions {
  readonly exporter: PushMetricExporter
  readonly now?: () => number
  readonly gpus?: number
}

/** Serves until SIGTERM or SIGINT, and brings what was recorded last into the ledger before it returns. */
export async function run(settings: Settings, { exporter, ...options }: RunOptions): Promise<void> {
  const stopSignal = Promise.race([once(process, 'SIGTERM'), once(process, 'SIGINT')])
  const reader = new PeriodicExportingMetricReader({
    exporter,
    exportIntervalMillis: settings.exportInterval,
    exportTimeoutMillis: Math.min(settings.exportInterval, 30_000),
  })
  const provider = new MeterProvider({ readers: [reader] })
  try {
    const server = createInferenceServer({
      meter: provider.getMeter('inference-server'),
      apiKeys: settings.apiKeys,
      ...options,
    })
    const stop = gracefulStop(server)
    server.listen(settings.port, settings.host)
    await once(server, 'listening')
    console.log(`Listening on port ${(server.address() as AddressInfo).port}`)
    await stopSignal
    await stop(settings.shutdownDeadline)
  } finally {
    await provider.shutdown()
  }
}
