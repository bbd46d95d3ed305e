import { test } from 'node:test'
import type { MarketplaceMetering } from '@aws-sdk/client-marketplace-metering'
import type { MeterProvider } from '@opentelemetry/api'
import type { PushMetricExporter as PushMetricExporter3 } from '@opentelemetry/sdk-metrics'
import type {
  AWSMarketplaceMetricExporter,
  AWSMarketplaceMetricExporterOptions,
  MeteringClient,
} from '../../src/index.ts'
import type { SimulatorClient } from '../../src/simulator/index.ts'
import type { PushMetricExporter as PushMetricExporter2 } from '../sdk-metrics-2/sdk.ts'

type Assignable<To, From extends To> = [To, From]
type OwnMeterProvider = NonNullable<AWSMarketplaceMetricExporterOptions['meterProvider']>

// The type check is the test: it fails where one of these does not fit.
export type Checked = [
  Assignable<PushMetricExporter3, AWSMarketplaceMetricExporter>,
  Assignable<PushMetricExporter2, AWSMarketplaceMetricExporter>,
  Assignable<OwnMeterProvider, MeterProvider>,
  Assignable<MeteringClient, MarketplaceMetering>,
  Assignable<MeteringClient, SimulatorClient>,
]

test('both generations of the SDK take the exporter, and it takes the AWS SDK’s client', () => {})
