/** AWS Marketplace Metering on this machine: every rule, every fault, its agreement events, and what it has billed. */
export type { BilledFilter, BilledRecord, BilledShare, BilledTotal, Series } from './book.ts'
export type { Caller } from './caller.ts'
export { type Catalogue, readCatalogue } from './catalogue.ts'
export { type ClientOptions, type Delay, type SimulatorClient, simulatorClient } from './client.ts'
export type { Instant, SimulatorClock } from './clock.ts'
export type { CloudTrail, CloudTrailOptions, LookedUpEvent, TrailFile, TrailFilter } from './cloudtrail.ts'
export { CONTROL_PATH } from './control.ts'
export type {
  AgreementChange,
  Amendment,
  CatalogueDeclaration,
  CustomerDeclaration,
  EntitlementDeclaration,
  ProductDeclaration,
  Renewal,
  SubscriptionDeclaration,
  SubscriptionEnd,
  SubscriptionStart,
  Suspension,
  TokenDeclaration,
} from './declarations.ts'
export {
  SimulatedAnswerError,
  SimulatedResetError,
  SimulatedServiceError,
  SimulatorConfigurationError,
} from './errors.ts'
export {
  ENTITLEMENT_FAULT_KINDS,
  type EntitlementFaultKind,
  EVENT_FAULT_KINDS,
  type EventFaultKind,
  FAULT_KINDS,
  type Fault,
  type FaultKind,
  type FaultPlan,
  parseFault,
  TRAIL_FAULT_KINDS,
  type TrailFaultKind,
} from './faults.ts'
export type { Counters, LoggedRequest } from './log.ts'
export { type Answer, MarketplaceSimulator, type SimulatorOptions } from './marketplace.ts'
export type { MessageQueue, QueuedMessage, ReceivedMessage } from './queue.ts'
export { type RunningSimulator, type ServerOptions, startSimulator } from './server.ts'
export type { SigningCredentials } from './signature.ts'
export type { CallerIdentity, CloudTrailEvent, TrailUsageRecord } from './trail-event.ts'
export { parseUndocumented, UNDOCUMENTED, type Undocumented } from './undocumented.ts'
export type { UsageReport, UsageReportOptions } from './usage-report.ts'
export type {
  BatchMeterUsageRequest,
  BatchMeterUsageResult,
  Entitlement,
  EntitlementValue,
  GetEntitlementsRequest,
  GetEntitlementsResult,
  RecordStatus,
  ResolveCustomerRequest,
  ResolveCustomerResult,
  Tag,
  UsageAllocation,
  UsageRecord,
  UsageRecordResult,
} from './wire.ts'
