import type { Attributes } from '@opentelemetry/api'
import type { Observation } from '../ledger/ledger.ts'
import type { Stream } from '../ledger/rules/counters/index.ts'
import type { Account } from '../usage/account.ts'
import type { UsageMapper } from '../usage/mapper.ts'
import type { Add, Mapping, MapReport, UnbillableReason } from '../usage/mapping.ts'
import {
  Beginning,
  type CounterName,
  CounterNames,
  canonical,
  digest,
  type MetricCounters,
  type MetricIdentity,
} from './counter-names.ts'
import type { OtlpMetric, OtlpPoint, OtlpRequest, OtlpScopeMetrics } from './otlp/metrics.ts'

/** The times that clocks show, in nanoseconds: what is without one begins at 1970, and no ledger keeps the next century. */
const FIRST_TIME = BigInt(Date.UTC(2000, 0)) * 1_000_000n
const LAST_TIME = BigInt(Date.UTC(2100, 0)) * 1_000_000n
/** By how much a start may be after its point's time, where several clocks or threads say them. */
const SLACK = 1_000_000_000n

/** The scope of what the Collector's Prometheus receiver scrapes; a target may say scopes of its own. */
const SCRAPER = /\/prometheusreceiver$/
/** What it says of a target in the resource: the one or the other, by its version. */
const TARGET_ATTRIBUTES = ['url.scheme', 'http.scheme']

/** Of what is beyond, in characters, a digest is kept; and of a name with more than that, that it is another's. */
const LONGEST_VALUE = 100
const LONGEST_ATTRIBUTES = 10_000
/** What the names of a request's streams may come to together: each of many scopes has all of its resource's. */
const MOST_ATTRIBUTES = 32 * 1024 * 1024

/** What a request comes to. */
export interface Reading {
  readonly observations: readonly Observation[]
  /** For each resource. */
  readonly reports: readonly MapReport[]
}

/** Whose usage a point is, or why it is refused. */
export type Admit = (account: Account, dimension: string, counter: CounterName) => Account | UnbillableReason

/** Reads a request: nothing is counted before the ledger has the observations. */
export function read(
  mapper: UsageMapper,
  request: OtlpRequest,
  receivedAt: number,
  names = new CounterNames(),
  admit: Admit = account => account,
): Reading {
  const observations: Observation[] = []
  const room = { characters: MOST_ATTRIBUTES }
  const reports = request.resourceMetrics.map(({ resource, scopes }) => {
    const reader = new ResourceReader(mapper, resource, receivedAt, names, room, observations, admit)
    for (const scope of scopes) {
      reader.scope(scope)
      for (const metric of scope.metrics) reader.read(metric)
    }
    return reader.report
  })
  return { observations, reports }
}

class ResourceReader {
  readonly #mapping: Mapping
  readonly #attributes: Attributes
  readonly #resource: Beginning
  readonly #names: CounterNames
  readonly #room: { characters: number }
  /** An SDK knows when its counters began, if only to the millisecond. */
  readonly #fromSdk: boolean
  /** A service's instance, whatever else is said of it. */
  readonly #instance: Beginning | undefined
  /** Whether the resource says that it is scraped, as it may of an SDK's exporter for scrapers, too. */
  readonly #isTarget: boolean
  #membersOfResource: string | undefined
  // Of the scope, the metric and the point that are being read.
  #scope: Pick<OtlpScopeMetrics, 'name' | 'version' | 'attributes'> = { name: '', version: '', attributes: {} }
  #scraped = false
  #identity: Beginning
  #key = ''
  /** The attributes of its streams, by the unit. */
  readonly #texts = new Map<string, string>()
  #counters: MetricCounters | undefined
  #type: 'cumulative' | 'delta' | 'gauge' = 'cumulative'
  #point: OtlpPoint | undefined
  #times = new Times(0n, 0n)

  constructor(
    mapper: UsageMapper,
    resource: Attributes,
    receivedAt: number,
    names: CounterNames,
    room: { characters: number },
    observations: Observation[],
    admit: Admit,
  ) {
    this.#attributes = resource
    this.#resource = new Beginning(canonical(resource))
    this.#identity = this.#resource
    this.#names = names
    this.#room = room
    this.#fromSdk = resource['telemetry.sdk.language'] !== undefined
    this.#instance = instanceOf(resource)
    this.#isTarget = this.#instance !== undefined && TARGET_ATTRIBUTES.some(key => resource[key] !== undefined)
    const add: Add = (named, { name: dimension }, value, rule) => {
      const point = this.#point as OtlpPoint
      const { attributes } = point
      const total = rule.baseline === true
      if (total && this.#type === 'delta') return 'deltas-of-total'
      const counters = this.#counters as MetricCounters
      const name = counters.name(attributes, rule.value, dimension)
      const kind = total ? 'scraped' : this.#kindOf(point)
      const account = admit(named, dimension, name)
      if (typeof account === 'string') return account
      const { start, time } = this.#times
      const { counter, series } = name
      const stream = total ? totalOf(counters.stream, counter, start) : counters.stream
      const from = total ? 0 : start
      if (total && names.startsAnewOften(counter, start)) this.#mapping.doubt('start-changes')
      const observation = { counter, series, stream, kind, account, dimension, start: from, time, receivedAt, value }
      observations.push(kind === 'gauge' ? { ...observation, maxGap: rule.maxGap * 1000 } : observation)
      return undefined
    }
    this.#mapping = mapper.begin(resource, add, { totals: true })
  }

  get report(): MapReport {
    return this.#mapping.report
  }

  /** Begins a scope. */
  scope(scope: OtlpScopeMetrics): void {
    const { name, attributes } = scope
    const scraper = SCRAPER.test(name)
    this.#scope = scope
    this.#scraped = scraper || this.#isTarget
    // The version of a scraper is its own, and not that of what it scrapes.
    this.#identity = this.#resource.with(`\n${name}\n${scraper ? '' : scope.version}\n${canonical(attributes)}`)
    this.#key = this.#identity.digest()
    this.#texts.clear()
  }

  read(metric: OtlpMetric): void {
    const { name, unit, type, temporality, monotonic, points } = metric
    const kind = type === 'gauge' ? 'gauge' : temporality === 'delta' ? 'delta' : 'cumulative'
    if (!this.#mapping.metric(this.#scope.name, name, unit, problemOf(metric), kind)) {
      this.#mapping.ignore(points.length)
      return
    }
    const lines = `\n${name}\n${unit}\n${type}\n${temporality}\n${monotonic}`
    this.#counters = this.#names.of(this.#key + lines, () => this.#identityOf(this.#identity.with(lines), metric))
    this.#type = kind
    for (const point of points) this.#read(point)
  }

  #read(point: OtlpPoint): void {
    const { attributes } = point
    // Most points have the times of the one before.
    if (!this.#times.areOf(point)) this.#times = new Times(point.startTime, point.time)
    const { timely, begun, backwards } = this.#times
    this.#point = point
    if (point.noRecordedValue) {
      // Of a gauge it says that the level has ended; of a counter that it has ended: nothing is lost with it.
      if (this.#type === 'gauge' && timely) this.#mapping.end(attributes)
      else this.#mapping.ignore(1)
      return
    }
    if (!timely || (this.#type === 'cumulative' && !begun)) {
      this.#mapping.point(attributes, undefined, undefined, 'no-time')
      return
    }
    const taken = this.#mapping.point(attributes, point.sum, point.count)
    if (taken && backwards && this.#type !== 'gauge') this.#mapping.doubt('start-after-time')
  }

  #identityOf(name: Beginning, metric: OtlpMetric): MetricIdentity {
    const { type, temporality, monotonic } = metric
    if (this.#scraped) {
      const target = this.#instance ?? this.#resource
      const measurement = new Beginning(['scraped', metric.name, type].join('\n'))
      const key = target.digest(`\n${metric.name}`)
      return { name, measurement, stream: streamOf(key, target.digest(), metric.name, '{}') }
    }
    const measured = [this.#scope.name, metric.name, type, temporality, monotonic]
    const key = name.digest()
    const stream = streamOf(key, this.#instance?.digest() ?? key, metric.name, this.#attributesOf(key, metric.unit))
    return { name, measurement: new Beginning(measured.join('\n')), stream }
  }

  /** What a stream's counters share, as JSON. */
  #attributesOf(key: string, unit: string): string {
    let text = this.#texts.get(unit)
    if (text === undefined) {
      const { version, attributes } = this.#scope
      this.#membersOfResource ??= membersOf(prefixed('resource ', this.#attributes))
      const members = [
        this.#membersOfResource,
        membersOf(prefixed('scope ', attributes)),
        membersOf({ ...(version && { version }), ...(unit && { unit }) }),
      ].filter(some => some !== '')
      const length = members.reduce((sum, some) => sum + some.length + 1, 1)
      // Looked at before it is put together: of a large resource that has many scopes, that alone would take seconds.
      const fits = length <= LONGEST_ATTRIBUTES && length <= this.#room.characters
      if (fits) this.#room.characters -= length
      text = fits ? `{${members.join(',')}}` : ''
      this.#texts.set(unit, text)
    }
    return text === '' ? JSON.stringify({ name: key }) : text
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
function instanceOf(resource: Attributes): Beginning | undefined {
  const { 'service.name': service, 'service.instance.id': instance } = resource
  if (service === undefined || instance === undefined) return undefined
  return new Beginning(canonical({ service, instance }))
}

const prefixed = (prefix: string, attributes: Attributes): Attributes =>
  Object.fromEntries(Object.entries(attributes).map(([key, value]) => [prefix + key, value]))

/** Attributes as the members of an object in JSON, long values as their digests. */
function membersOf(attributes: Attributes): string {
  return JSON.stringify(attributes, (_, one) =>
    typeof one === 'string' && one.length > LONGEST_VALUE ? digest(one) : one,
  ).slice(1, -1)
}

const streamOf = (key: string, target: string, metric: string, attributes: string): Stream => ({
  ...{ key, target: target.slice(0, 12), metric, attributes },
})

/**
 * What outlives its process is counted as what says no start, anew under each: what it says first is a baseline, and what
 * it rises by then counts. Nothing that goes on beside it tells when it began, so it is by itself.
 */
function totalOf(stream: Stream, counter: string, start: number): Stream {
  const key = digest(`${counter}\n${start}`)
  return { ...stream, key, target: key.slice(0, 12) }
}

/** Why no point of a metric can be billed. */
function problemOf({ type, temporality, monotonic }: OtlpMetric): UnbillableReason | undefined {
  if (type === 'summary' || type === 'none') return 'not-a-counter'
  if (type === 'gauge') return undefined
  if (!monotonic) return 'not-a-counter'
  return temporality === 'unspecified' ? 'no-temporality' : undefined
}

/** A point's start and its time, and what is to be known of them. */
class Times {
  readonly #startTime: bigint
  readonly #time: bigint
  /** In microseconds since the epoch. Of a delta or a level, a start that no clock shows is none: 0. */
  readonly start: number
  readonly time: number
  /** Whether a clock may show its time. */
  readonly timely: boolean
  /** Whether a clock may have shown its start, or there is none. */
  readonly begun: boolean
  /** Whether its start is after its time, by more than clocks and threads differ. */
  readonly backwards: boolean

  constructor(startTime: bigint, time: bigint) {
    this.#startTime = startTime
    this.#time = time
    this.begun = startTime <= LAST_TIME
    this.start = this.begun ? Number(startTime / 1000n) : 0
    this.time = Number(time / 1000n)
    this.timely = time >= FIRST_TIME && time <= LAST_TIME
    this.backwards = startTime > time + SLACK
  }

  areOf({ startTime, time }: OtlpPoint): boolean {
    return startTime === this.#startTime && time === this.#time
  }
}
