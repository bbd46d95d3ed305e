import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { MeterProvider, PeriodicExportingMetricReader, type PushMetricExporter } from '@opentelemetry/sdk-metrics'
import type { RegistrationClient } from '../../src/marketplace/registration.ts'
import { serveRegistration } from './registration.ts'
import { RegisteredKeys } from './registration-keys.ts'
import { createInferenceServer } from './server.ts'
import { type Settings, SettingsError } from './settings.ts'
import { gracefulStop } from './shutdown.ts'

/** What a run on another clock than the machine's replaces. */
export interface RunOptions {
  readonly exporter: PushMetricExporter
  readonly now?: () => number
  readonly gpus?: number
  /** Needed where customers register. */
  readonly registrationClient?: RegistrationClient | undefined
  /** Where the exporter reports its own metrics; shut down after everything else. */
  readonly telemetry?: MeterProvider | undefined
}

/** Serves until SIGTERM or SIGINT, and brings what was recorded last into the ledger before it returns. */
export async function run(settings: Settings, options: RunOptions): Promise<void> {
  const { exporter, registrationClient, telemetry, ...serverOptions } = options
  const stopSignal = Promise.race([once(process, 'SIGTERM'), once(process, 'SIGINT')])
  const reader = new PeriodicExportingMetricReader({
    exporter,
    exportIntervalMillis: settings.exportInterval,
    exportTimeoutMillis: Math.min(settings.exportInterval, 30_000),
  })
  const provider = new MeterProvider({ readers: [reader] })
  try {
    const keys = registeredKeys(settings)
    const server = createInferenceServer({
      meter: provider.getMeter('inference-server'),
      apiKeys: keys ?? settings.apiKeys,
      ...serverOptions,
    })
    if (settings.registration !== undefined && registrationClient !== undefined && keys !== undefined) {
      serveRegistration(server, {
        keys,
        client: registrationClient,
        productCode: settings.registration.productCode,
        byLicence: 'product' in settings.product,
        ...(options.now !== undefined && { now: options.now }),
      })
    }
    const stop = gracefulStop(server)
    server.listen(settings.port, settings.host)
    await once(server, 'listening')
    console.log(`Listening on port ${(server.address() as AddressInfo).port}`)
    await stopSignal
    await stop(settings.shutdownDeadline)
  } finally {
    try {
      await provider.shutdown()
    } finally {
      await telemetry?.shutdown()
    }
  }
}

function registeredKeys({ registration, apiKeys }: Settings): RegisteredKeys | undefined {
  if (registration === undefined) return undefined
  try {
    return new RegisteredKeys(registration.customersFile, apiKeys)
  } catch (error) {
    throw new SettingsError(`CUSTOMERS_FILE: ${(error as Error).message}`)
  }
}
