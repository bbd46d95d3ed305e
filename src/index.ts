export { ConfigurationError, MarketplaceMeteringError } from './errors.ts'
export { AWSMarketplaceMetricExporter, UsageLostError } from './exporter.ts'
export {
  InferenceMeter,
  type InferenceMeterOptions,
  InvalidUsageError,
  type MeasureOptions,
  type MeteredCustomer,
  type TokenCount,
} from './inference-meter.ts'
export { type SpoolOptions, spooled } from './ledger/clients/spool.ts'
export { LedgerError, type LedgerErrorCode } from './ledger/errors.ts'
export type * from './ledger/ledger.ts'
export { type OpenLedgerOptions, openLedger } from './ledger/open.ts'
export { type RestoreOptions, SqliteLedger, type SqliteLedgerOptions } from './ledger/sqlite/ledger.ts'
export type * from './marketplace/client.ts'
export type * from './marketplace/entitlement-client.ts'
export type * from './marketplace/registration.ts'
export type { AWSMarketplaceMetricExporterOptions, EntitlementOptions, MeteringOptions } from './metering/options.ts'
export type * from './usage/account.ts'
export type { Dimension } from './usage/dimension.ts'
export * from './usage/instruments.ts'
export type {
  AllocationTag,
  AttributeSource,
  BothCustomerAttributes,
  BothProductOptions,
  CustomerAttributes,
  CustomerIdentity,
  CustomerResolver,
  DimensionOptions,
  EntitledOptions,
  LicensedCustomerAttributes,
  LicensedProductOptions,
  ProductCodeCustomerAttributes,
  ProductCodeOptions,
  QuantityOptions,
  SoldOptions,
  UsageOptions,
} from './usage/options.ts'
export type { PresetName } from './usage/presets.ts'
export type { AttributeMatch, Rule } from './usage/rule.ts'
export { validateDimension } from './usage/validate-dimension.ts'
export { type BillingViewsOptions, billingViews, cardinalityLimit } from './usage/views.ts'
