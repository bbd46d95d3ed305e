import { SECOND } from '../../src/ledger/hours.ts'
import type { Counter } from './counter.ts'
import { type Attributes, type Message, type Metric, nanoseconds, type Point } from './otlp.ts'
import type { Stage, Use } from './stage.ts'

const SCOPE = 'github.com/open-telemetry/opentelemetry-collector-contrib/receiver/prometheusreceiver'
const TOKENS: Metric = { name: 'inference_tokens_total', type: 'sum', temporality: 'cumulative' }

/** What a Collector says of when a counter began. */
type Starts =
  /** Nothing (receiver from 0.140 on). */
  | 'none'
  /** What the target says in `_created` (receiver from 0.140 on). */
  | 'created'
  /** Its own first scrape, and after a fall the scrape that saw it (receiver before 0.140). */
  | 'first-scrape'
  /** As the processor `metric_start_time` has it: a millisecond before the scrape that saw a fall. */
  | 'true-reset-point'
  /** As the processor has it: the first value is taken away from all others. */
  | 'subtract-initial-point'
  /** As the processor has it: the process's start, kept while nothing falls; without one, the Collector's own. */
  | 'start-time-metric'

/** A process whose counters are scraped. */
export class Pod {
  readonly #stage: Stage
  readonly series: { readonly counter: Counter; readonly attributes: Attributes; readonly digits: number }[] = []
  /** In milliseconds since the epoch. */
  readonly startedAt: number
  readonly endedAt: number
  readonly shift: number

  /** @param started in minutes since metering began, as `ended` */
  constructor(stage: Stage, { started, ended = Number.POSITIVE_INFINITY }: { started: number; ended?: number }) {
    this.#stage = stage
    this.shift = stage.integer(0, 10_000)
    this.startedAt = stage.at(started) + this.shift
    this.endedAt = stage.at(ended)
  }

  serve(customer: string, use: Use, attributes: Attributes = {}): this {
    const all = { customer_account: customer, ...attributes }
    const key = JSON.stringify(all)
    let series = this.series.find(one => JSON.stringify(one.attributes) === key)
    if (series === undefined) {
      const digits = this.#stage.integer(1, 999) * 1000
      series = { counter: this.#stage.counter(customer, 'tokens'), attributes: all, digits }
      this.series.push(series)
    }
    this.#stage.use(series.counter, use, this.shift)
    return this
  }
}

export interface TargetOptions {
  readonly service?: string
  readonly instance?: string
  readonly pods: readonly Pod[]
  /** Who answers, of those that are alive: the last, or any, as behind a load balancer or one `/metrics` of many workers. */
  readonly answering?: 'youngest' | 'any'
  /** It exposes `process_start_time_seconds`. */
  readonly saysStart?: boolean
  /** When nothing answers, though its pod lives. */
  readonly down?: (minute: number) => boolean
  /** Which series it does not expose at a scrape. */
  readonly hides?: (customer: string, minute: number) => boolean
}

/** What a Collector takes for one thing to scrape. */
export class Target {
  readonly options: TargetOptions
  readonly instance: string
  #turn = 0

  constructor(options: TargetOptions) {
    this.options = options
    this.instance = options.instance ?? 'inference-0.inference:8000'
  }

  /** The pod that answers a scrape. */
  pod(at: number): Pod | undefined {
    const alive = this.options.pods.filter(({ startedAt, endedAt }) => startedAt <= at && at < endedAt)
    if (this.options.answering !== 'any') return alive.at(-1)
    this.#turn += 1
    return alive[this.#turn % alive.length]
  }
}

export interface CollectorOptions {
  readonly starts: Starts
  readonly version?: string
  /** Whether it calls a target's host `net.host.name`, as it did before 0.120. */
  readonly oldNames?: boolean
  /** How far its clock is ahead, in milliseconds. */
  readonly clock?: number
  /** When it began, in minutes since metering did: what `start-time-metric` falls back to. */
  readonly started?: number
  readonly metric?: Metric
  /** Further attributes of every resource, which may change. */
  readonly resource?: (minute: number) => Attributes
}

export interface Scrapes {
  /** In minutes since metering began. */
  readonly from: number
  readonly to: number
  readonly every: number
  /** Later than the minute by so many milliseconds; by default anything up to 10 s. */
  readonly phase?: number
  /** Says of a scrape that it failed. */
  readonly fails?: (minute: number) => boolean
  /** What a target answers instead of the value; its clock, too. */
  readonly spoilt?: (point: Point, minute: number) => Point
}

interface Known {
  start: bigint
  last: number
  /** What is taken away from every value, and when that was counted. */
  initial?: number
  since?: number
}

/** A Collector with a Prometheus receiver. What it knows of series, it knows until it is restarted: a new one is. */
export class Collector {
  readonly #stage: Stage
  readonly #options: CollectorOptions
  readonly #known = new Map<string, Known>()

  constructor(stage: Stage, options: CollectorOptions) {
    this.#stage = stage
    this.#options = options
  }

  scrapes(target: Target, { from, to, every, phase, fails, spoilt }: Scrapes): Message[] {
    const messages: Message[] = []
    const later = phase ?? 10_000 + this.#stage.integer(0, 10_000)
    let pod: Pod | undefined
    for (let minute = from; minute <= to; minute += every) {
      if (fails?.(minute)) continue
      const at = this.#stage.at(minute) + later
      const before = pod
      pod = target.options.down?.(minute) ? undefined : target.pod(at)
      const points = pod === undefined ? [] : this.#read(target, pod, at, minute)
      // A target that does not answer has stale markers for all that it had.
      if (pod === undefined && before !== undefined) {
        const stale = this.#read(target, before, at - every * 60 * SECOND, minute)
        const time = nanoseconds(at + this.#clock)
        points.push(...stale.map(({ tells: _, ...point }) => ({ ...point, time, value: 0, stale: true })))
      }
      if (points.length > 0) messages.push({ at, points: points.map(point => spoilt?.(point, minute) ?? point) })
    }
    return messages
  }

  get #clock(): number {
    return this.#options.clock ?? 0
  }

  #read(target: Target, pod: Pod, at: number, minute: number): Point[] {
    const { metric = TOKENS, version = this.#defaultVersion } = this.#options
    const resource = this.#resource(target, minute)
    const time = nanoseconds(at + this.#clock)
    const points: Point[] = []
    for (const { counter, attributes, digits } of pod.series) {
      if (counter.beganAt > at || target.options.hides?.(counter.customer, minute)) continue
      const created = nanoseconds(counter.beganAt - 1, digits)
      const value = counter.value(at)
      const key = `${target.instance} ${JSON.stringify(attributes)}`
      const adjusted = this.#adjust({ key, value, time, created, target, pod, at })
      if (adjusted === undefined) continue
      const { since = Number.NEGATIVE_INFINITY, ...rest } = adjusted
      const tells = { counter, from: since, to: at }
      points.push({ resource, scope: { name: SCOPE, version }, metric, attributes, time, tells, ...rest })
    }
    return points
  }

  #adjust(read: {
    readonly key: string
    readonly value: number
    readonly time: bigint
    readonly created: bigint
    readonly target: Target
    readonly pod: Pod
    readonly at: number
  }): { start: bigint; value: number; since?: number } | undefined {
    const { key, value, time, created, at } = read
    const { starts } = this.#options
    if (starts === 'none') return { start: 0n, value }
    if (starts === 'created') return { start: created, value }
    const known = this.#known.get(key)
    const fell = known !== undefined && value < known.last
    const justBefore = time - 1_000_000n
    if (starts === 'subtract-initial-point') {
      if (known === undefined) {
        this.#known.set(key, { start: time, last: value, initial: value, since: at })
        return undefined
      }
      if (fell) Object.assign(known, { start: justBefore, initial: 0, since: Number.NEGATIVE_INFINITY })
      known.last = value
      const { start, initial = 0, since = Number.NEGATIVE_INFINITY } = known
      return { start, value: value - initial, since }
    }
    let start = known?.start
    if (start === undefined) start = starts === 'start-time-metric' ? this.#startSaid(read) : time
    else if (fell) start = starts === 'first-scrape' ? time : justBefore
    this.#known.set(key, { start, last: value })
    return { start, value }
  }

  #startSaid({ target, pod }: { readonly target: Target; readonly pod: Pod }): bigint {
    if (target.options.saysStart) return nanoseconds(Math.round(pod.startedAt / 10) * 10)
    const own = this.#stage.at(this.#options.started ?? -1440)
    return nanoseconds(Math.floor(own / SECOND) * SECOND)
  }

  get #defaultVersion(): string {
    return this.#options.starts === 'first-scrape' ? '0.128.0' : '0.152.0'
  }

  #resource(target: Target, minute: number): Attributes {
    const [host = '', port = ''] = target.instance.split(':')
    const { oldNames = false, resource } = this.#options
    return {
      'service.name': target.options.service ?? 'inference-server',
      'service.instance.id': target.instance,
      [oldNames ? 'net.host.name' : 'server.address']: host,
      [oldNames ? 'net.host.port' : 'server.port']: port,
      [oldNames ? 'http.scheme' : 'url.scheme']: 'http',
      ...resource?.(minute),
    }
  }
}
