import type { Ledger, Observation } from '../ledger/ledger.ts'
import type { Quota } from '../metering/supply.ts'
import type { CustomerAccount } from '../usage/account.ts'
import { MAX_TOTAL } from '../usage/amount.ts'
import type { UsageMapper } from '../usage/mapper.ts'
import type { MapReport, Unbillable } from '../usage/mapping.ts'
import { Admission, type SenderAdmission } from './admission.ts'
import { CounterNames, digest } from './counter-names.ts'
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
  /** Milliseconds since the epoch. */
  readonly now: () => number
  /** Gets what could not be billed, and why. */
  readonly report: (report: MapReport, sender: Sender) => void
  /** Called when they are durable. */
  readonly accepted: (observations: readonly Observation[], sender: Sender) => void
  /** Gets what kept the ledger from taking a request. */
  readonly fault: (error: unknown) => void
  /** Writes down, durably, whom a sender feeds; called before its usage is, once a day for each customer. */
  readonly feeds: (sender: Sender, customers: readonly CustomerAccount[]) => Promise<void>
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

  /** What senders have used today of what they may. */
  quotas(): Quota[] {
    return this.#admission.quotas()
  }

  async accept(request: OtlpRequest, sender: Sender): Promise<Acceptance> {
    const { now, report, accepted } = this.#options
    const admission = this.#admission.of(sender)
    const admit: Admit = (account, dimension, name, kind) => admission.admit(account, dimension, name, kind)
    const { observations: points, reports } = read(this.#mapper, request, now(), this.#names, admit)
    const observations = sender.customers === undefined ? points : points.map(point => withStream(point, admission))
    for (const one of reports) report(one, sender)
    const bad = await this.#write(
      admission.anyBeyond ? withOneBeyond(observations) : observations,
      sender,
      admission.takeFresh(),
      fresh => admission.giveBack(fresh),
    )
    const noRoom = bad.length === 0 ? [] : [noRoomFor(bad)]
    for (const one of noRoom) report(one, sender)
    accepted(observations, sender)
    return answerOf([...reports, ...noRoom])
  }

  async #write(
    observations: readonly Observation[],
    sender: Sender,
    fresh: readonly CustomerAccount[],
    giveBack: (fresh: readonly CustomerAccount[]) => void,
  ): Promise<readonly RefusedObservation[]> {
    if (observations.length === 0) return []
    try {
      if (fresh.length > 0) {
        await this.#options.feeds(sender, fresh).catch(error => {
          giveBack(fresh)
          throw error
        })
      }
      return await this.#writer.write(observations)
    } catch (error) {
      this.#options.fault(error)
      throw new UnavailableError('the ledger cannot take usage now', { retryAfterSeconds: RETRY_AFTER, cause: error })
    }
  }
}

function withStream(point: Observation, admission: SenderAdmission): Observation {
  return point.stream === undefined ? point : { ...point, stream: admission.streamOf(point.stream) }
}

/**
 * Deltas beyond a sender's limits as one for each dimension: their series are what the ledger is to be spared. Its name
 * is made of all of them, so that the same request counts once, however often it comes.
 */
function withOneBeyond(observations: readonly Observation[]): readonly Observation[] {
  const beyond = observations.filter(isBeyond)
  if (beyond.length === 0) return observations
  const ones = Object.values(Object.groupBy(beyond, ({ dimension }) => dimension)).flatMap(points =>
    points === undefined ? [] : sumsOf(points),
  )
  return [...observations.filter(one => !isBeyond(one)), ...ones]
}

const isBeyond = ({ account, kind }: Observation) =>
  kind === 'delta' && account.kind === 'unattributed' && account.reason === 'sender-limit'

/** Their sum, as one delta or as few as have room for it. */
function sumsOf(points: readonly Observation[]): Observation[] {
  const sums: Observation[] = []
  let some: Observation[] = []
  let value = 0n
  const end = () => {
    const [first] = some
    if (first === undefined) return
    const name = digest(some.map(one => `${one.counter} ${one.start} ${one.time} ${one.value}`).join('\n'))
    const start = some.reduce((earliest, one) => Math.min(earliest, one.start), first.start)
    const time = some.reduce((latest, one) => Math.max(latest, one.time), first.time)
    const { account, dimension, receivedAt } = first
    sums.push({ counter: name, kind: 'delta', account, dimension, start, time, receivedAt, value })
    some = []
    value = 0n
  }
  for (const point of points) {
    if (value + point.value > MAX_TOTAL) end()
    some.push(point)
    value += point.value
  }
  end()
  return sums
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
    ...{ points: 0, ignored: 0, rejected: refused.length, unbillable },
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
