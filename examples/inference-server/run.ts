import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { diag } from '@opentelemetry/api'
import { MeterProvider, PeriodicExportingMetricReader, type PushMetricExporter } from '@opentelemetry/sdk-metrics'
import { followAgreementEvents } from '../../src/agreements/index.ts'
import type { Ledger } from '../../src/ledger/ledger.ts'
import type { RegistrationClient } from '../../src/marketplace/registration.ts'
import { RegisteredKeys } from './registered-keys.ts'
import { serveRegistration } from './registration.ts'
import { createInferenceServer } from './server.ts'
import type { Settings } from './settings.ts'
import { gracefulStop } from './shutdown.ts'

/** What a run on another clock than the machine's replaces. */
export interface RunOptions {
  readonly exporter: PushMetricExporter
  /** The exporter's, which also knows who has registered. */
  readonly ledger: Ledger
  readonly now?: () => number
  readonly gpus?: number
  /** Needed where customers register. */
  readonly registrationClient?: RegistrationClient | undefined
  /** Where the exporter reports its own metrics; shut down after everything else. */
  readonly telemetry?: MeterProvider | undefined
}

/** Serves until SIGTERM or SIGINT, and brings what was recorded last into the ledger before it returns. */
export async function run(settings: Settings, options: RunOptions): Promise<void> {
  const { exporter, ledger, registrationClient: client, telemetry, ...serverOptions } = options
  const { productCode, product } = settings.product
  const { now = Date.now } = options
  const stopSignal = Promise.race([once(process, 'SIGTERM'), once(process, 'SIGINT')])
  // The last one begun is the first one ended.
  await using ending = new AsyncDisposableStack()
  ending.defer(() => telemetry?.shutdown())
  const reader = new PeriodicExportingMetricReader({
    exporter,
    exportIntervalMillis: settings.exportInterval,
    exportTimeoutMillis: Math.min(settings.exportInterval, 30_000),
  })
  const provider = new MeterProvider({ readers: [reader] })
  ending.defer(() => provider.shutdown())
  const followsEvents = settings.eventsQueue !== undefined
  const customers = { ledger, productCode: productCode as string, product, region: settings.region, followsEvents, now }
  if (settings.eventsQueue !== undefined) ending.use(await follow(settings.eventsQueue, customers))
  const keys = { ...customers, listed: settings.apiKeys }
  const server = createInferenceServer({
    meter: provider.getMeter('inference-server'),
    apiKeys: productCode === undefined ? settings.apiKeys : new RegisteredKeys(keys),
    ...serverOptions,
  })
  if (productCode !== undefined && client !== undefined) serveRegistration(server, { ...customers, client })
  const stop = gracefulStop(server)
  server.listen(settings.port, settings.host)
  await once(server, 'listening')
  console.log(`Listening on port ${(server.address() as AddressInfo).port}`)
  await stopSignal
  await stop(settings.shutdownDeadline)
}

interface Followed {
  readonly ledger: Ledger
  readonly productCode: string
  readonly product: string | undefined
  readonly region: string
  readonly now: () => number
}

/** Whose subscription begins or ends is known to the ledger when AWS has told so. Each process may read the queue. */
function follow(queue: string, { ledger, productCode, product, region, now }: Followed) {
  return followAgreementEvents({
    ...{ queue, ledger, productCode, ...(product !== undefined && { product }), region, now },
    report: ({ level, message }) => diag[level](message),
  })
}
