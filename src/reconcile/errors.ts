import { MarketplaceMeteringError } from '../errors.ts'

/** An event, or a file of them, is not what it has to be. It is told with its place, and the others are read. */
export class EventError extends MarketplaceMeteringError {
  readonly code = 'ERR_CLOUDTRAIL_EVENT'
}

/** CloudTrail has not answered, or not all. It says what to do; what was answered before is good. */
export class SearchError extends MarketplaceMeteringError {
  readonly code = 'ERR_CLOUDTRAIL_SEARCH'
}

/** A seller report of AWS's, or a row of it, is not what it has to be. */
export class UsageReportError extends MarketplaceMeteringError {
  readonly code = 'ERR_USAGE_REPORT'
}
