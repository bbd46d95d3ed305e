import { DiagConsoleLogger, DiagLogLevel, diag } from '@opentelemetry/api'
import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics'
import { AWSMarketplaceMetricExporter, type Ledger } from '../../src/index.ts'
import { openLedger } from '../../src/ledger/open.ts'
import type { HttpMeteringClient } from '../../src/marketplace/index.ts'
import type { RegistrationClient } from '../../src/marketplace/registration.ts'
import { EmbeddedMetricExporter } from '../aws/embedded-metric-exporter.ts'
import { dimensions } from './dimensions.ts'
import { run } from './run.ts'
import { readSettings, type Settings } from './settings.ts'

// The exporter says through diag what a person should know: held records, conflicts, a clock that is wrong.
diag.setLogger(new DiagConsoleLogger(), DiagLogLevel.INFO)
let unwritable = false
process.stdout.on('error', error => {
  // A server that bills goes on, and says it once.
  if (!unwritable) console.error(`inference-server: the output cannot be written: ${error.message}`)
  unwritable = true
})

try {
  const settings = readSettings(process.env)
  const ledger = await openLedger(settings.ledger)
  try {
    await serve(settings, ledger)
  } finally {
    await ledger.close()
  }
} catch (error) {
  console.error(`inference-server: ${(error as Error).message}`)
  process.exitCode = 1
}

async function serve(settings: Settings, ledger: Ledger): Promise<void> {
  const telemetry = telemetryOf(settings)
  const http = await httpClient(settings)
  const exporter = new AWSMarketplaceMetricExporter({
    ...settings.product,
    dimensions,
    region: settings.region,
    ledger,
    ...(http !== undefined && { client: http }),
    ...(telemetry !== undefined && { meterProvider: telemetry }),
  })
  await run(settings, {
    exporter,
    ledger,
    telemetry,
    registrationClient: http ?? (await awsRegistrationClient(settings)),
  })
}

/** A provider of its own for what the exporter says of itself: that is not billed. */
function telemetryOf({ metricsService, exportInterval }: Settings): MeterProvider | undefined {
  if (metricsService === undefined) return undefined
  const exporter = new EmbeddedMetricExporter({ Service: metricsService })
  const reader = new PeriodicExportingMetricReader({
    exporter,
    exportIntervalMillis: exportInterval,
    exportTimeoutMillis: Math.min(exportInterval, 30_000),
  })
  return new MeterProvider({ readers: [reader] })
}

/** The package's own light client, loaded only where it is asked for. It sends records and resolves tokens. */
async function httpClient({ meteringClient, region }: Settings): Promise<HttpMeteringClient | undefined> {
  if (meteringClient !== 'http') return undefined
  const { HttpMeteringClient } = await import('../../src/marketplace/index.ts')
  return new HttpMeteringClient({ region })
}

/** Loaded only where customers register. The AWS SDK tries again by itself, which is harmless here. */
async function awsRegistrationClient({ product, region }: Settings): Promise<RegistrationClient | undefined> {
  if (product.productCode === undefined) return undefined
  const { MarketplaceMetering } = await import('@aws-sdk/client-marketplace-metering')
  return new MarketplaceMetering({ region })
}
