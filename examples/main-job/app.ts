import { MarketplaceMetering } from '@aws-sdk/client-marketplace-metering'
import { AWSMarketplaceMetricExporter } from '../../src/index.ts'
import { openLedger } from '../../src/ledger/open.ts'
import { dimensions } from '../inference-server/dimensions.ts'
import { run } from '../inference-server/run.ts'
import { readSettings } from '../inference-server/settings.ts'

/** The inference server as a user would run it, but on the virtual clock that the main job sends. */

/** So many that a few thousand small answers take whole GPU hours. */
const GPUS = 40_000
/** The virtual clock passes an hour in seconds, so the exporter looks at it often. */
const WAKE_INTERVAL = 100

let time = Number(process.env.VIRTUAL_TIME)
process.on('message', (message: { time: number }) => {
  time = message.time
})
// Without the main job there is no clock: it is over.
const abandoned = () => process.exit(1)
process.once('disconnect', abandoned)

const settings = readSettings(process.env)
const now = () => time
const ledger = await openLedger(settings.ledger)
const exporter = new AWSMarketplaceMetricExporter({
  ...settings.product,
  dimensions,
  region: settings.region,
  ledger,
  now,
  wakeInterval: WAKE_INTERVAL,
})
const exportUsage = exporter.export.bind(exporter)
exporter.export = (metrics, callback) => {
  const collectedAt = Date.now()
  exportUsage(metrics, result => {
    callback(result)
    // So that a crash can be judged: what was answered before is acknowledged, and must not be lost.
    if (result.code === 0 && process.connected) process.send?.({ acknowledged: collectedAt })
  })
}
const registrationClient = new MarketplaceMetering({ region: settings.region })
await run(settings, { exporter, ledger, registrationClient, now, gpus: GPUS })
await ledger.close()
process.off('disconnect', abandoned)
process.disconnect()
