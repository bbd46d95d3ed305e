import type { Attributes } from '@opentelemetry/api'

/**
 * The metrics of an `ExportMetricsServiceRequest` that were asked for, whatever transport and encoding they came in.
 * Resources and scopes without such a metric are left out.
 *
 * Attributes are values that JSON can hold: an integer is a number, or a string of its digits where a number would lose
 * some; a double that is no finite number is `"NaN"`, `"Infinity"` or `"-Infinity"`; bytes are base64; a list of
 * key-values is an object; an empty value is `null`. Keys have to be unique; where one is not, its first value counts,
 * as it does for whatever reads attributes in a Collector. Points may share an object, which nobody may change.
 */
export interface OtlpRequest {
  readonly resourceMetrics: readonly OtlpResourceMetrics[]
}

export interface OtlpResourceMetrics {
  readonly resource: Attributes
  readonly scopes: readonly OtlpScopeMetrics[]
}

export interface OtlpScopeMetrics {
  readonly name: string
  readonly version: string
  readonly attributes: Attributes
  readonly metrics: readonly OtlpMetric[]
}

export interface OtlpMetric {
  readonly name: string
  /** As UCUM writes it, empty where there is none. */
  readonly unit: string
  /** `none` for a metric without data, and for a kind that is younger than this receiver. */
  readonly type: 'sum' | 'gauge' | 'histogram' | 'exponential-histogram' | 'summary' | 'none'
  /** `unspecified` for gauges and summaries, which have none, and where the sender left it out. */
  readonly temporality: 'delta' | 'cumulative' | 'unspecified'
  /**
   * Whether sums only grow. A sum says so itself. Those of histograms do: a histogram of what may be negative comes
   * without a sum (OTLP's metrics.proto, as OpenMetrics has it). Never for gauges and summaries.
   */
  readonly monotonic: boolean
  readonly points: readonly OtlpPoint[]
}

export interface OtlpPoint {
  readonly attributes: Attributes
  /** Nanoseconds since the epoch, 0 where it is unknown. */
  readonly startTime: bigint
  /** Nanoseconds since the epoch. */
  readonly time: bigint
  /**
   * A number's value, or the sum of a histogram or a summary: a bigint where it was sent as an integer, a number where
   * it was sent as a double (it may be NaN or infinite). Undefined where there is none.
   */
  readonly sum: number | bigint | undefined
  /** The count of a histogram or a summary. Undefined for a number. */
  readonly count: bigint | undefined
  /** The series has ended or cannot be read now: the sender's flag. Sum and count mean nothing then. */
  readonly noRecordedValue: boolean
}
