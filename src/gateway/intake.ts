import type { Ledger, Observation } from '../ledger/ledger.ts'
import type { UsageMapper } from '../usage/mapper.ts'
import type { MapReport } from '../usage/mapping.ts'
import { CounterNames } from './counter-names.ts'
import { ObservationWriter } from './observation-writer.ts'
import type { OtlpRequest } from './otlp/metrics.ts'
import type { Sender } from './otlp/senders.ts'
import { type MetricsSink, UnavailableError } from './otlp/sink.ts'
import { read } from './reading.ts'

/** When a sender is to come back after a fault of the ledger, in seconds. */
const RETRY_AFTER = 5

export interface IntakeOptions {
  readonly mapper: UsageMapper
  readonly ledger: Ledger
  /** Milliseconds since the epoch. */
  readonly now: () => number
  /** Gets what could not be billed, and why. */
  readonly report: (report: MapReport) => void
  /** Called when they are durable. */
  readonly accepted: (observations: readonly Observation[]) => void
}

/** Turns OTLP metrics into observations of counters, and brings them into the ledger before they are answered. */
export class Intake implements MetricsSink {
  readonly #mapper: UsageMapper
  readonly #writer: ObservationWriter
  readonly #names = new CounterNames()
  readonly #options: IntakeOptions

  constructor(options: IntakeOptions) {
    this.#options = options
    this.#mapper = options.mapper
    this.#writer = new ObservationWriter(options.ledger)
  }

  wants(metricName: string): boolean {
    return this.#mapper.names(metricName)
  }

  async accept(request: OtlpRequest, _sender: Sender): Promise<{ rejectedDataPoints: number; message: string }> {
    const { observations, reports } = read(this.#mapper, request, this.#options.now(), this.#names)
    for (const report of reports) this.#options.report(report)
    try {
      if (observations.length > 0) await this.#writer.write(observations)
    } catch (error) {
      throw new UnavailableError('the ledger cannot take usage now', { retryAfterSeconds: RETRY_AFTER, cause: error })
    }
    this.#options.accepted(observations)
    return answerOf(reports)
  }
}

/** What is said to the sender: points that cannot be billed are rejected, and never come again. */
function answerOf(reports: readonly MapReport[]): { rejectedDataPoints: number; message: string } {
  const told = reports.flatMap(({ unbillable, doubtful, unattributed }) => [
    ...unbillable,
    ...doubtful,
    ...unattributed,
  ])
  const messages = new Set(told.map(({ message }) => message))
  const rejected = reports.reduce((sum, report) => sum + report.rejected, 0)
  return { rejectedDataPoints: rejected, message: [...messages].join(' ') }
}
