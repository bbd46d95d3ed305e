import { Gateway } from '../../src/gateway/index.ts'
import {
  AWSMarketplaceMetricExporter,
  type AWSMarketplaceMetricExporterOptions,
  billingViews,
  InferenceMeter,
  type Ledger,
  type UsageOptions,
} from '../../src/index.ts'
import { UsageMapper } from '../../src/usage/mapper.ts'

/** What an editor refuses, and what it takes. `npm run types` compiles it; nobody runs it. */

declare const ledger: Ledger
declare const meter: InferenceMeter
declare const usage: UsageOptions
declare const licences: boolean
const region = 'us-east-1'

export function refused() {
  // @ts-expect-error: neither
  new AWSMarketplaceMetricExporter({ region })
  // @ts-expect-error: neither
  new AWSMarketplaceMetricExporter({})
  // @ts-expect-error: an identifier, which comes without a licence
  new AWSMarketplaceMetricExporter({ product: 'ours', customer: { customerIdentifier: 'tenant' } })
  // @ts-expect-error: a licence, which a product code has none of
  new AWSMarketplaceMetricExporter({ productCode: 'code', customer: { accountId: 'tenant', licenseArn: 'licence' } })
  // @ts-expect-error: a resolver that cannot answer at once
  new AWSMarketplaceMetricExporter({ product: 'ours', customer: async () => ({ accountId: '123456789012' }) })
  // @ts-expect-error: a word that there is not
  new AWSMarketplaceMetricExporter({ product: 'ours', closedelay: 300_000 })
  // @ts-expect-error: a ledger that nobody waited for
  new AWSMarketplaceMetricExporter({ product: 'ours', ledger: Promise.resolve(ledger) })

  // @ts-expect-error: neither
  billingViews({})
  // @ts-expect-error: neither
  new UsageMapper({})
  // @ts-expect-error: neither
  Gateway.start({ ledger, http: {} })

  // @ts-expect-error: no provider
  new InferenceMeter()
  // @ts-expect-error: both names of a customer
  meter.recordInferenceRequests({ accountId: '123456789012', customerIdentifier: 'tenant' })
}

export function taken() {
  new AWSMarketplaceMetricExporter({ product: 'ours' })
  new AWSMarketplaceMetricExporter({
    product: 'ours',
    productCode: 'code',
    customer: { customerIdentifier: 'tenant', licenseArn: 'licence' },
  })
  new AWSMarketplaceMetricExporter({ productCode: 'code', customer: { customerIdentifier: { resource: 'tenant' } } })
  new AWSMarketplaceMetricExporter({ product: 'ours', customer: { licenseArn: 'licence' } })
  new AWSMarketplaceMetricExporter({ product: 'ours', customer: () => undefined })
  const inVariable = { region, product: 'ours', closeDelay: 0 }
  new AWSMarketplaceMetricExporter(inVariable)
  const spread: AWSMarketplaceMetricExporterOptions = {
    ...{ region, ledger },
    ...(licences ? { product: 'ours' } : { productCode: 'code' }),
    ...(licences && { closeDelay: 0 }),
  }
  new AWSMarketplaceMetricExporter({ ...spread, dryRun: true })
  new AWSMarketplaceMetricExporter({ ...usage, region })
  billingViews(usage)
  new UsageMapper(usage)
  Gateway.start({ ...usage, ledger, http: {} })
}
