import { DiagConsoleLogger, DiagLogLevel, diag } from '@opentelemetry/api'
import { AWSMarketplaceMetricExporter } from '../../src/index.ts'
import { run } from './run.ts'
import { readSettings } from './settings.ts'

// The exporter says through diag what a person should know: held records, conflicts, a clock that is wrong.
diag.setLogger(new DiagConsoleLogger(), DiagLogLevel.INFO)

try {
  const settings = readSettings(process.env)
  const exporter = new AWSMarketplaceMetricExporter({
    ...settings.product,
    region: settings.region,
    ledger: settings.ledger,
  })
  await run(settings, { exporter })
} catch (error) {
  console.error(`inference-server: ${(error as Error).message}`)
  process.exitCode = 1
}
