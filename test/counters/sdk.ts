import type { Counter } from './counter.ts'
import { type Attributes, type Message, type Metric, nanoseconds, type Point, type Scope } from './otlp.ts'
import type { Stage, Use } from './stage.ts'

/** What an SDK takes for the start of a series. */
type Starts =
  /** One for all, when the process began. */
  | 'process'
  /** Its first measurement. */
  | 'series'
  /** None that holds: the export before, a second before, or the export's own time. */
  | 'previous-export'
  | 'second-before'
  | 'export'

export interface Sdk {
  readonly language: string
  readonly version: string
  readonly starts: Starts
}

export const GO: Sdk = { language: 'go', version: '1.38.0', starts: 'process' }
export const RUST: Sdk = { language: 'rust', version: '0.31.0', starts: 'process' }
export const PYTHON_OLD: Sdk = { language: 'python', version: '1.25.0', starts: 'process' }
export const PYTHON: Sdk = { language: 'python', version: '1.37.0', starts: 'series' }
export const JAVA_OLD: Sdk = { language: 'java', version: '1.44.1', starts: 'process' }
export const JAVA: Sdk = { language: 'java', version: '1.62.0', starts: 'series' }
export const JAVASCRIPT: Sdk = { language: 'nodejs', version: '2.1.0', starts: 'series' }
export const RUBY: Sdk = { language: 'ruby', version: '0.9.0', starts: 'series' }
export const CPP_OLD: Sdk = { language: 'cpp', version: '1.8.1', starts: 'previous-export' }

/** Of what outlives its process, as its rule says. */
export const TOKENS_EVER: Metric = {
  name: 'inference.tokens.ever',
  unit: '{token}',
  type: 'sum',
  temporality: 'cumulative',
}
export const TOKENS: Metric = { name: 'inference.tokens', unit: '{token}', type: 'sum', temporality: 'cumulative' }
export const REQUESTS: Metric = { name: 'inference.duration', unit: 's', type: 'histogram', temporality: 'cumulative' }
/** Which dimension a metric is sold as. */
const DIMENSIONS: Readonly<Record<string, string>> = {
  ...{ [TOKENS.name]: 'tokens', [TOKENS_EVER.name]: 'tokens', [REQUESTS.name]: 'requests' },
}

export interface ApplicationOptions {
  readonly sdk: Sdk
  /** When its process began, in minutes since metering did. */
  readonly started: number
  readonly service?: string
  /** Its `service.instance.id`; many have none. */
  readonly instance?: string
  /** Further attributes of its resource, which may change. */
  readonly resource?: (minute: number) => Attributes
  readonly scope?: Scope
  readonly metric?: Metric | ((minute: number) => Metric)
  /** Which series are left out of a collection, as an observable counter may. */
  readonly leavesOut?: (customer: string, minute: number) => boolean
  /** How far its clock is ahead, in milliseconds. */
  readonly clock?: number
  /** A process that it was forked from: it has its start, and is at its side. */
  readonly forkedFrom?: Application
}

export interface Exports {
  readonly every: number
  /** When the first is, in minutes since metering began; by default one interval after the process began. */
  readonly from?: number
  readonly to: number
}

interface Series {
  readonly counter: Counter
  readonly metric: Metric
  readonly attributes: Attributes
  readonly startDigits: number
}

/** A process with an SDK, which counts and exports. */
export class Application {
  readonly #stage: Stage
  readonly #options: ApplicationOptions
  readonly #series: Series[] = []
  readonly #startDigits: number
  /** What all of it is later by than said, in milliseconds: no two processes tick at once. */
  readonly shift: number

  constructor(stage: Stage, options: ApplicationOptions) {
    this.#stage = stage
    this.#options = options
    const { forkedFrom } = options
    this.shift = forkedFrom?.shift ?? stage.integer(0, 20_000)
    this.#startDigits = forkedFrom === undefined ? stage.integer(1, 999_999) : forkedFrom.#startDigits
  }

  /** A customer's use, in one series for each set of attributes. */
  serve(customer: string, use: Use, attributes: Attributes = {}): this {
    const { metric = TOKENS } = this.#options
    const of = typeof metric === 'function' ? metric(use.from) : metric
    const all = { 'customer.account': customer, ...attributes }
    const key = JSON.stringify(all)
    let series = this.#series.find(one => JSON.stringify(one.attributes) === key && one.metric.name === of.name)
    if (series === undefined) {
      const counter = this.#stage.counter(customer, DIMENSIONS[of.name] as string)
      series = { counter, metric: of, attributes: all, startDigits: this.#stage.integer(1, 999_999) }
      this.#series.push(series)
    }
    this.#stage.use(series.counter, use, this.shift)
    return this
  }

  exports({ every, from = this.#options.started + every, to }: Exports): Message[] {
    const messages: Message[] = []
    let previous: number | undefined
    for (let minute = from; minute <= to; minute += every) {
      const points = this.#collect(minute, previous)
      if (points.length > 0) messages.push({ at: this.#stage.at(minute) + this.shift, points })
      previous = minute
    }
    return messages
  }

  /** @param previous when it was exported before, if it was */
  #collect(minute: number, previous: number | undefined): Point[] {
    const { leavesOut, started, clock = 0, metric } = this.#options
    const at = this.#stage.at(minute) + this.shift
    const resource = this.#resource(minute)
    const scope = this.#options.scope ?? { name: 'inference', version: '2.4.0' }
    const last = this.#stage.at(previous ?? started) + this.shift
    const points: Point[] = []
    for (const series of this.#series) {
      const { counter, attributes } = series
      if (counter.beganAt > at || leavesOut?.(counter.customer, minute)) continue
      const now = typeof metric === 'function' ? metric(minute) : series.metric
      const common = { resource, scope, metric: now, attributes, time: nanoseconds(at + clock) }
      if (now.temporality === 'delta') {
        const value = counter.value(at) - counter.value(last)
        if (value === 0) continue
        const start = nanoseconds(last + clock, previous === undefined ? this.#startDigits : 0)
        points.push({ ...common, start, value, tells: { counter, from: last, to: at } })
      } else {
        const tells = { counter, from: Number.NEGATIVE_INFINITY, to: at }
        points.push({ ...common, start: this.#startOf(series, at, last), value: counter.value(at), tells })
      }
    }
    return points
  }

  #startOf({ counter, startDigits }: Series, at: number, last: number): bigint {
    const { sdk, started, clock = 0 } = this.#options
    switch (sdk.starts) {
      case 'process':
        return nanoseconds(this.#stage.at(started) + this.shift + clock, this.#startDigits)
      case 'series':
        return nanoseconds(counter.beganAt - 1 + clock, startDigits)
      case 'previous-export':
        return nanoseconds(last + clock)
      case 'second-before':
        return nanoseconds(at - 1000 + clock)
      case 'export':
        return nanoseconds(at + clock)
    }
  }

  #resource(minute: number): Attributes {
    const { sdk, service = 'assistant', instance, resource } = this.#options
    return {
      'service.name': service,
      'telemetry.sdk.name': 'opentelemetry',
      'telemetry.sdk.language': sdk.language,
      'telemetry.sdk.version': sdk.version,
      ...(instance !== undefined && { 'service.instance.id': instance }),
      ...resource?.(minute),
    }
  }
}

/** @returns messages of a sender, in the order in which they are sent */
export function merged(...all: readonly (readonly Message[])[]): Message[] {
  return all.flat().sort((a, b) => a.at - b.at)
}
