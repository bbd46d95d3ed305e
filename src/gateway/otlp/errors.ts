import { MarketplaceMeteringError } from '../../errors.ts'

/** What was sent is no `ExportMetricsServiceRequest`. Sending it again does not help. */
export class UndecodableError extends MarketplaceMeteringError {
  readonly code = 'ERR_GATEWAY_UNDECODABLE'
  /** The field in JSON, such as `resourceMetrics[0].resource`, or the byte in protobuf. */
  readonly where: string

  /** `problem` says what was expected and what came, without showing any value: it may be somebody's secret. */
  constructor(where: string, problem: string, options?: ErrorOptions) {
    super(`${where}: ${problem}`, options)
    this.where = where
  }
}

/** The receiver cannot listen where it is told to. */
export class ListenError extends MarketplaceMeteringError {
  readonly code = 'ERR_GATEWAY_LISTEN'
}
