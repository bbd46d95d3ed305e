import { hourOf } from '../ledger/hours.ts'
import type { Ledger, Observation } from '../ledger/ledger.ts'
import type { Quota } from '../metering/supply.ts'
import type { Tenants } from '../metering/tenants.ts'
import type { UsageMapper } from '../usage/mapper.ts'
import type { MapReport, Unbillable } from '../usage/mapping.ts'
import { Admission, type SenderAdmission, type WriteFed } from './admission.ts'
import { CounterNames } from './counter-names.ts'
import { ObservationWriter, type RefusedObservation } from './observation-writer.ts'
import type { OtlpRequest } from './otlp/metrics.ts'
import type { Sender } from './otlp/senders.ts'
import { type Acceptance, type MetricsSink, UnavailableError } from './otlp/sink.ts'
import { type Admit, read } from './reading.ts'

/** When a sender is to come back after a fault of the ledger, in seconds. */
const RETRY_AFTER = 5

export interface IntakeOptions {
  readonly mapper: UsageMapper
  readonly ledger: Ledger
  /** Where the mapper looks tenants up. */
  readonly tenants?: Tenants
  /** Milliseconds since the epoch. */
  readonly now: () => number
  /** Gets what could not be billed, and why. */
  readonly report: (report: MapReport, sender: Sender) => void
  /** Called when they are durable. */
  readonly accepted: (observations: readonly Observation[], sender: Sender) => void
  /** Gets what kept the ledger from taking a request. */
  readonly fault: (error: unknown) => void
  /** Writes down, durably, whom a sender feeds; called before its usage is, once a day for each customer. */
  readonly feeds: (sender: Sender, ...customers: Parameters<WriteFed>) => ReturnType<WriteFed>
}

/** Turns OTLP metrics into observations of counters, and brings them into the ledger before they are answered. */
export class Intake implements MetricsSink {
  readonly #mapper: UsageMapper
  readonly #writer: ObservationWriter
  readonly #names = new CounterNames()
  readonly #admission: Admission
  readonly #options: IntakeOptions

  constructor(options: IntakeOptions) {
    this.#options = options
    this.#mapper = options.mapper
    this.#writer = new ObservationWriter(options.ledger)
    this.#admission = new Admission(options.mapper.product, options.now)
  }

  wants(metricName: string): boolean {
    return this.#mapper.names(metricName)
  }

  /** Asks the ledger whether it still has what it acknowledged; see `ObservationWriter`. */
  look(): Promise<void> {
    return this.#writer.look()
  }

  /** What senders have used today of what they may. */
  quotas(): Quota[] {
    return this.#admission.quotas()
  }

  async accept(request: OtlpRequest, sender: Sender): Promise<Acceptance> {
    const { now, report, accepted } = this.#options
    if (this.#mapper.looksUp) await this.#lookUp(request)
    this.#mapper.beginHour(hourOf(now()))
    const admission = this.#admission.of(sender)
    const admit: Admit = (account, dimension, name) => admission.admit(account, dimension, name)
    const { observations, reports } = read(this.#mapper, request, now(), this.#names, admit)
    for (const one of reports) report(one, sender)
    const bad = await this.#write(observations, sender, admission)
    const noRoom = bad.length === 0 ? [] : [noRoomFor(bad)]
    for (const one of noRoom) report(one, sender)
    accepted(observations, sender)
    return answerOf([...reports, ...noRoom])
  }

  /** What is not known of customers is asked before a point is read: whose it is cannot be changed afterwards. */
  async #lookUp({ resourceMetrics }: OtlpRequest): Promise<void> {
    for (const { resource, scopes } of resourceMetrics) {
      for (const { metrics } of scopes) {
        for (const { points } of metrics) for (const { attributes } of points) this.#mapper.lookUp(attributes, resource)
      }
    }
    try {
      await this.#options.tenants?.learn()
    } catch (error) {
      throw this.#unavailable(error)
    }
  }

  #unavailable(error: unknown): UnavailableError {
    this.#options.fault(error)
    return new UnavailableError('the ledger cannot take usage now', { retryAfterSeconds: RETRY_AFTER, cause: error })
  }

  async #write(
    observations: readonly Observation[],
    sender: Sender,
    admission: SenderAdmission,
  ): Promise<readonly RefusedObservation[]> {
    if (observations.length === 0) return []
    try {
      await admission.writeFed(customers => this.#options.feeds(sender, customers))
      if (sender.customers === undefined) return await this.#writer.write(observations)
      const now = this.#options.now()
      return await this.#writer.write(observations.map(point => withStream(point, admission, now)))
    } catch (error) {
      throw this.#unavailable(error)
    }
  }
}

function withStream(point: Observation, admission: SenderAdmission, now: number): Observation {
  const { stream } = point
  return stream === undefined ? point : { ...point, stream: admission.streamOf(point, stream, now) }
}

/** Points that were read, and that no ledger can take. */
function noRoomFor(refused: readonly RefusedObservation[]): MapReport {
  const metrics = Object.groupBy(refused, ({ observation: { stream, dimension } }) => stream?.metric ?? dimension)
  const unbillable = Object.entries(metrics).map(
    ([metric, points = []]): Unbillable => ({
      ...{ reason: 'no-room', metric, points: points.length },
      message: `${metric} has a point that the ledger has no room for: ${points[0]?.error.message}`,
    }),
  )
  return {
    ...{ points: 0, ignored: 0, notOurs: 0, rejected: refused.length, unbillable },
    ...{ doubtful: [], unattributed: [], twoSources: [] },
  }
}

/** What is said to the sender: points that cannot be billed are rejected, and never come again. */
function answerOf(reports: readonly MapReport[]): Acceptance {
  const told = reports.flatMap(({ unbillable, doubtful, unattributed }) => [
    ...unbillable,
    ...doubtful,
    ...unattributed,
  ])
  const messages = new Set(told.map(({ message }) => message))
  const rejected = reports.reduce((sum, report) => sum + report.rejected, 0)
  return { rejectedDataPoints: rejected, message: [...messages].join(' ') }
}
