import type { Attributes } from '@opentelemetry/api'
import type { Observation } from '../ledger/ledger.ts'
import type { Stream } from '../ledger/rules/counters/index.ts'
import type { Account } from '../usage/account.ts'
import type { UsageMapper } from '../usage/mapper.ts'
import type { Add, Mapping, MapReport, UnbillableReason } from '../usage/mapping.ts'
import { CounterNames, canonical, digest, type MetricCounters, type MetricIdentity } from './counter-names.ts'
import type { OtlpMetric, OtlpPoint, OtlpRequest, OtlpScopeMetrics } from './otlp/metrics.ts'

/** No ledger keeps times of the next century, in nanoseconds: they must not be in the way of others' points. */
const LAST_TIME = BigInt(Date.UTC(2100, 0)) * 1_000_000n

/** The scope of what the Collector's Prometheus receiver scrapes; a target may say scopes of its own. */
const SCRAPER = /\/prometheusreceiver$/
/** What it says of a target in the resource: the one or the other, by its version. */
const TARGET_ATTRIBUTES = ['url.scheme', 'http.scheme']

/** What a request comes to. */
export interface Reading {
  readonly observations: readonly Observation[]
  /** For each resource. */
  readonly reports: readonly MapReport[]
}

/** Whose usage a point is, or why it is refused. */
export type Admit = (
  account: Account,
  dimension: string,
  point: Pick<Observation, 'counter' | 'kind'>,
) => Account | UnbillableReason

/** Reads a request: nothing is counted before the ledger has the observations. */
export function read(
  mapper: UsageMapper,
  request: OtlpRequest,
  receivedAt: number,
  names = new CounterNames(),
  admit: Admit = account => account,
): Reading {
  const observations: Observation[] = []
  const reports = request.resourceMetrics.map(({ resource, scopes }) => {
    const reader = new ResourceReader(mapper, resource, receivedAt, names, observations, admit)
    for (const scope of scopes) for (const metric of scope.metrics) reader.read(scope, metric)
    return reader.report
  })
  return { observations, reports }
}

class ResourceReader {
  readonly #mapping: Mapping
  readonly #attributes: Attributes
  readonly #resource: string
  readonly #names: CounterNames
  readonly #product: string
  /** An SDK knows when its counters began, if only to the millisecond. */
  readonly #fromSdk: boolean
  /** A service's instance, whatever else is said of it. */
  readonly #instance: string | undefined
  /** Whether the resource says that it is scraped, as it may of an SDK's exporter for scrapers, too. */
  readonly #isTarget: boolean
  // Of the metric and the point that are being read.
  #counters: MetricCounters | undefined
  #type: 'cumulative' | 'delta' | 'gauge' = 'cumulative'
  #scraped = false
  #point: OtlpPoint | undefined
  readonly #starts = new Microseconds()
  readonly #times = new Microseconds()

  constructor(
    mapper: UsageMapper,
    resource: Attributes,
    receivedAt: number,
    names: CounterNames,
    observations: Observation[],
    admit: Admit,
  ) {
    this.#attributes = resource
    this.#resource = canonical(resource)
    this.#names = names
    this.#product = mapper.product
    this.#fromSdk = resource['telemetry.sdk.language'] !== undefined
    this.#instance = instanceOf(resource)
    this.#isTarget = this.#instance !== undefined && TARGET_ATTRIBUTES.some(key => resource[key] !== undefined)
    const add: Add = (named, { name: dimension }, value, rule) => {
      const point = this.#point as OtlpPoint
      const { attributes } = point
      const counters = this.#counters as MetricCounters
      const { counter, series } = counters.name(attributes, rule.value, dimension)
      const kind = this.#kindOf(point)
      const account = admit(named, dimension, { counter, kind })
      if (typeof account === 'string') return account
      // Of a delta or a level, a start that no clock shows is none.
      const start = point.startTime > LAST_TIME ? 0 : this.#starts.of(point.startTime)
      const time = this.#times.of(point.time)
      const { stream } = counters
      const observation = { counter, series, stream, kind, account, dimension, start, time, receivedAt, value }
      observations.push(kind === 'gauge' ? { ...observation, maxGap: rule.maxGap * 1000 } : observation)
      return undefined
    }
    this.#mapping = mapper.begin(resource, add, { totals: true })
  }

  get report(): MapReport {
    return this.#mapping.report
  }

  read(scope: OtlpScopeMetrics, metric: OtlpMetric): void {
    const { name, unit, type, temporality, monotonic, points } = metric
    const gauge = type === 'gauge'
    if (!this.#mapping.metric(scope.name, name, unit, problemOf(metric), gauge)) {
      this.#mapping.ignore(points.length)
      return
    }
    this.#scraped = SCRAPER.test(scope.name) || this.#isTarget
    const named = [
      scope.name,
      this.#versionOf(scope),
      canonical(scope.attributes),
      name,
      unit,
      type,
      temporality,
      monotonic,
    ]
    const identity = `${this.#resource}\n${named.join('\n')}`
    this.#counters = this.#names.of(identity, () => this.#identityOf(identity, scope, metric))
    this.#type = gauge ? 'gauge' : temporality === 'delta' ? 'delta' : 'cumulative'
    for (const point of points) this.#read(point)
  }

  #read(point: OtlpPoint): void {
    this.#point = point
    const begins = this.#type === 'cumulative' ? point.startTime : 0n
    if (point.time < 1000n || point.time > LAST_TIME || begins > LAST_TIME)
      this.#mapping.point(point.attributes, undefined, undefined, 'no-time')
    else if (!point.noRecordedValue) this.#mapping.point(point.attributes, point.sum, point.count)
    // Of a gauge it says that the level has ended.
    else if (this.#type === 'gauge') this.#mapping.point(point.attributes, 0, undefined)
    // Of a counter that it has ended: nothing is lost with it.
    else this.#mapping.ignore(1)
  }

  /** The version of a scraper is its own, and not that of what it scrapes. */
  #versionOf({ name, version }: OtlpScopeMetrics): string {
    return SCRAPER.test(name) ? '' : version
  }

  #identityOf(name: string, scope: OtlpScopeMetrics, metric: OtlpMetric): MetricIdentity {
    const { type, temporality, monotonic } = metric
    if (this.#scraped) {
      const target = this.#instance ?? this.#resource
      const measurement = [this.#product, 'scraped', metric.name, type].join('\n')
      return { name, measurement, stream: streamOf(`${target}\n${metric.name}`, target, metric.name, {}) }
    }
    const measurement = [this.#product, scope.name, metric.name, type, temporality, monotonic].join('\n')
    const attributes = {
      ...prefixed('resource ', this.#attributes),
      ...prefixed('scope ', scope.attributes),
      ...(scope.version && { version: scope.version }),
      ...(metric.unit && { unit: metric.unit }),
    }
    return { name, measurement, stream: streamOf(name, this.#instance ?? name, metric.name, attributes) }
  }

  /**
   * Whose starts are its own, and whose may be those of a Collector that scrapes it: it is such a one's where it is its
   * point's time and no SDK says it.
   */
  #kindOf({ startTime, time }: OtlpPoint): Observation['kind'] {
    if (this.#type !== 'cumulative') return this.#type
    return this.#scraped || startTime === 0n || (startTime === time && !this.#fromSdk) ? 'scraped' : 'cumulative'
  }
}

/** A target of a scrape is its service and its instance, as is whoever says no start of its counters. */
function instanceOf(resource: Attributes): string | undefined {
  const { 'service.name': service, 'service.instance.id': instance } = resource
  if (service === undefined || instance === undefined) return undefined
  return canonical({ service, instance })
}

const prefixed = (prefix: string, attributes: Attributes): Attributes =>
  Object.fromEntries(Object.entries(attributes).map(([key, value]) => [prefix + key, value]))

/** Of what is beyond, in characters, a digest is kept; and of a name with more than that, that it is another's. */
const LONGEST_VALUE = 100
const LONGEST_ATTRIBUTES = 10_000

function streamOf(name: string, target: string, metric: string, attributes: Attributes): Stream {
  const key = digest(name)
  const text = JSON.stringify(attributes, (_, one) =>
    typeof one === 'string' && one.length > LONGEST_VALUE ? digest(one) : one,
  )
  const short = text.length > LONGEST_ATTRIBUTES ? JSON.stringify({ name: key }) : text
  return { key, target: digest(target).slice(0, 12), metric, attributes: short }
}

/** Why no point of a metric can be billed. */
function problemOf({ type, temporality, monotonic }: OtlpMetric): UnbillableReason | undefined {
  if (type === 'summary' || type === 'none') return 'not-a-counter'
  if (type === 'gauge') return undefined
  if (!monotonic) return 'not-a-counter'
  return temporality === 'unspecified' ? 'no-temporality' : undefined
}

/** Most points have the time of the one before. */
class Microseconds {
  #nanoseconds = 0n
  #microseconds = 0

  of(nanoseconds: bigint): number {
    if (nanoseconds !== this.#nanoseconds) {
      this.#nanoseconds = nanoseconds
      this.#microseconds = Number(nanoseconds / 1000n)
    }
    return this.#microseconds
  }
}
