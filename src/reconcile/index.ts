/**
 * Holds a ledger against what AWS wrote down of `BatchMeterUsage`: events of CloudTrail, from files or asked for. To ask
 * it needs the package `@aws-sdk/client-cloudtrail`.
 */

export { ConfigurationError } from '../errors.ts'
export { LedgerError, type LedgerErrorCode } from '../ledger/errors.ts'
export type { RegionCoverage, Span } from './coverage.ts'
export { EventError, SearchError } from './errors.ts'
export type { Caller, EventSeries, SightingOutcome } from './event.ts'
export type { Sighting } from './evidence.ts'
export type { Verdict } from './judgement.ts'
export { type ReconciledRegion, reconciledRegions } from './notes.ts'
export type { CallerFigures, ReconciledHours, VerdictFigures } from './reconcile.ts'
export {
  type CloudTrailOptions,
  type Run as Reconciliation,
  type RunOptions as ReconcileOptions,
  runReconciliation as reconcile,
} from './run.ts'
export type { CloudTrailClient, LookupRequest } from './search-client.ts'
export type { SettledFinding as Finding } from './settling.ts'
