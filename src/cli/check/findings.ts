import type { Attributes } from '@opentelemetry/api'
import type { OtlpMetric, OtlpPoint, OtlpRequest } from '../../gateway/otlp/metrics.ts'
import { read } from '../../gateway/reading.ts'
import type { NotCounted, Observation } from '../../ledger/ledger.ts'
import {
  type CounterMemory,
  type CounterState,
  explain,
  observeAll,
  RULES,
  type Rule,
  type SharedStart,
  type StreamState,
} from '../../ledger/rules/counters/index.ts'
import { UNATTRIBUTED_REASONS } from '../../text/unattributed-reasons.ts'
import type { Account, UnattributedReason } from '../../usage/account.ts'
import { formatAmount } from '../../usage/amount.ts'
import type { UsageMapper } from '../../usage/mapper.ts'
import type { MapReport, UnbillableReason } from '../../usage/mapping.ts'

/** What would become of a data point. */
export interface Finding {
  readonly metric: string
  readonly attributes: Attributes
  /** Milliseconds since the epoch. */
  readonly time: number
  /** What the sender measured; in the dimension's base unit where it counts for one. */
  readonly value: string
  /** None where no rule holds for the point, or where it cannot be billed. */
  readonly dimension?: string
  readonly account?: Account
  /** Why it is so, where it is not billed as it is. */
  readonly reason?: Reason
  /** What to know about the reason. */
  readonly message?: string
  /** By which rule it is taken, of a counter. */
  readonly rule?: Rule
  /** What it adds to the customer's usage, in millionths of the dimension's base unit. */
  readonly amount: bigint
}

export type Reason =
  | NotCounted
  | UnattributedReason
  | UnbillableReason
  | 'no-rule'
  | 'nothing-new'
  | 'first-level'
  | 'waits'

/** What captured requests come to. */
export interface Findings {
  /** Since when a ledger is taken to meter, in milliseconds since the epoch. */
  readonly since: number
  /** In the order of the points' times. */
  readonly points: readonly Finding[]
  /** Metrics that no rule names, and how many points they have. */
  readonly unnamed: ReadonlyMap<string, number>
  /** What looks as if it counted the same usage twice, or is odd in another way that a gateway tells. */
  readonly alarms: readonly string[]
  /** Dimensions that contracts include something of: only a ledger knows how much is left. */
  readonly contracts: readonly string[]
}

interface PlacedPoint {
  readonly request: OtlpRequest
  readonly metric: OtlpMetric
  readonly point: OtlpPoint
}

/**
 * Says what a gateway would make of requests, in the order of their points' times.
 *
 * @param since since when its ledger has been metering. By default as if it began with the first point, so that what
 * counters had counted by then is not billed.
 */
export function findingsOf(mapper: UsageMapper, requests: readonly OtlpRequest[], since?: number): Findings {
  const placed: PlacedPoint[] = []
  const unnamed = new Map<string, number>()
  for (const { metric, resource, scope } of metricsOf(requests)) {
    if (!mapper.names(metric.name)) {
      unnamed.set(metric.name, (unnamed.get(metric.name) ?? 0) + metric.points.length)
      continue
    }
    for (const point of metric.points) {
      const alone = { ...scope, metrics: [{ ...metric, points: [point] }] }
      placed.push({ request: { resourceMetrics: [{ resource, scopes: [alone] }] }, metric, point })
    }
  }
  placed.sort((a, b) => Number(a.point.time - b.point.time))
  const first = placed.find(({ point }) => point.time > 0n)
  const begun = since ?? (first === undefined ? 0 : milliseconds(first.point))
  const counters = new Counters(begun)
  const alarms = new Set<string>()
  const points = placed.flatMap(one => findingsOfPoint(mapper, one, counters, alarms))
  const contracts = [...mapper.included].flatMap(([dimension, included]) => (included === null ? [] : [dimension]))
  return { since: begun, points, unnamed, alarms: [...alarms], contracts }
}

function* metricsOf(requests: readonly OtlpRequest[]) {
  for (const { resourceMetrics } of requests) {
    for (const { resource, scopes } of resourceMetrics) {
      for (const scope of scopes) for (const metric of scope.metrics) yield { resource, scope, metric }
    }
  }
}

const milliseconds = ({ time }: OtlpPoint): number => Number(time / 1_000_000n)

function findingsOfPoint(
  mapper: UsageMapper,
  { request, metric, point }: PlacedPoint,
  counters: Counters,
  alarms: Set<string>,
): Finding[] {
  const { observations, reports } = read(mapper, request, milliseconds(point))
  const [report] = reports as [MapReport]
  for (const { message } of [...report.twoSources, ...report.doubtful]) alarms.add(message)
  const value = point.noRecordedValue ? undefined : (point.sum ?? point.count)
  const found = { metric: metric.name, attributes: point.attributes, time: milliseconds(point) }
  const uncounted = { ...found, value: value === undefined ? '-' : String(value), amount: 0n }
  if (report.ignored > 0) return [{ ...uncounted, reason: 'no-rule', message: MESSAGES['no-rule'] }]
  return [
    ...report.unbillable.map(({ reason, message }) => ({ ...uncounted, reason, message })),
    ...observations.map(observation => ({
      ...found,
      value: observation.kind === 'gauge' ? uncounted.value : formatAmount(observation.value),
      dimension: observation.dimension,
      ...counters.observe(observation, report.unattributed[0]?.message),
    })),
  ]
}

/** What a ledger remembers of counters. */
class Counters implements CounterMemory {
  readonly forgottenBefore = 0
  readonly silentBefore = 0
  readonly restored = 0
  readonly #since: number
  readonly #states = new Map<string, CounterState>()
  readonly #streams = new Map<string, StreamState>()
  readonly #sharedStarts = new Map<number, SharedStart>()
  readonly #deltas = new Map<string, bigint>()
  readonly #seen = new Set<string>()
  #rule: Rule = 'delta'

  constructor(since: number) {
    this.#since = since
  }

  state(counter: string): CounterState | undefined {
    return this.#states.get(counter)
  }

  stream(key: string): StreamState | undefined {
    return this.#streams.get(key)
  }

  sharedStart(start: number): SharedStart | undefined {
    return this.#sharedStarts.get(start)
  }

  legacy(): undefined {}

  taken(_: Observation, rule: Rule): void {
    this.#rule = rule
  }

  delta(point: Observation): bigint | undefined {
    return this.#deltas.get(keyOf(point))
  }

  since(): number {
    return this.#since
  }

  /** @param unattributed what there is to say of a point without a customer */
  observe(
    point: Observation,
    unattributed: string | undefined,
  ): Pick<Finding, 'account' | 'amount' | 'rule' | 'reason' | 'message'> {
    const isFirst = !this.#seen.has(point.counter)
    this.#seen.add(point.counter)
    const { entries, states, streams, sharedStarts, deltas, notes } = observeAll([point], this)
    for (const [key, { state }] of states) this.#states.set(key, state)
    for (const [key, state] of streams) this.#streams.set(key, state)
    for (const [start, targets] of sharedStarts) this.#sharedStarts.set(start, targets)
    for (const delta of deltas) this.#deltas.set(keyOf(delta), delta.value)
    const rule = this.#rule
    const { account, amount } = entries[0] ?? { account: point.account, amount: 0n }
    const [note] = notes
    if (note !== undefined) return { account, amount, rule, reason: note.verdict, message: explain(note) }
    if (account.kind === 'unattributed' && amount > 0n) {
      const { reason } = account
      return { account, amount, rule, reason, message: unattributed ?? UNATTRIBUTED_REASONS[reason] }
    }
    if (amount > 0n) return { account, amount, rule }
    const still = point.kind === 'gauge' && isFirst ? 'first-level' : 'nothing-new'
    const reason = rule === 'waits' || rule === 'several-writers' ? rule : still
    return { account, amount, rule, reason, message: MESSAGES[reason] }
  }
}

const keyOf = ({ counter, start, time }: Observation): string => `${counter} ${start} ${time}`

const MESSAGES = {
  'no-rule': "rules name the metric, and none of them holds for the point's attributes",
  'nothing-new': 'nothing on top of what was counted before',
  'first-level': "a gauge's first point: its time counts from here on",
  waits: RULES.waits,
  'several-writers': RULES['several-writers'],
}
