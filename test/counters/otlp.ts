import type { Told } from './counter.ts'

export type Attributes = Readonly<Record<string, string | number | boolean>>

export interface Scope {
  readonly name: string
  readonly version?: string
}

export interface Metric {
  readonly name: string
  readonly unit?: string
  readonly type: 'sum' | 'histogram' | 'exponential-histogram' | 'gauge'
  readonly temporality?: 'cumulative' | 'delta'
}

/** A point on the wire, with all that it is of, and what it tells in truth. */
export interface Point {
  readonly resource: Attributes
  readonly scope: Scope
  readonly metric: Metric
  readonly attributes: Attributes
  /** Nanoseconds since the epoch; 0 when there is none. */
  readonly start: bigint
  readonly time: bigint
  /** Of a histogram its count. */
  readonly value: number
  /** Its series has ended: it has no value. */
  readonly stale?: boolean
  readonly tells?: Told
}

/** What a sender hands over at once. */
export interface Message {
  /** True time, in milliseconds since the epoch. */
  readonly at: number
  readonly points: readonly Point[]
}

/** A request as it arrives at a gateway. */
export interface Delivery extends Message {
  readonly gateway: number
}

const MILLION = 1_000_000n

/** @param beyond nanoseconds beyond the millisecond */
export function nanoseconds(milliseconds: number, beyond = 0): bigint {
  return BigInt(Math.round(milliseconds)) * MILLION + BigInt(beyond)
}

/** A request of OTLP/JSON. */
export function encode(points: readonly Point[]): string {
  const resources = new Map<string, Point[]>()
  for (const point of points) group(resources, JSON.stringify(point.resource), point)
  return JSON.stringify({
    resourceMetrics: [...resources.values()].map(own => ({
      resource: { attributes: keyValues((own[0] as Point).resource) },
      scopeMetrics: scopesOf(own),
    })),
  })
}

function scopesOf(points: readonly Point[]): object[] {
  const scopes = new Map<string, Point[]>()
  for (const point of points) group(scopes, JSON.stringify(point.scope), point)
  return [...scopes.values()].map(own => {
    const metrics = new Map<string, Point[]>()
    for (const point of own) group(metrics, JSON.stringify(point.metric), point)
    return { scope: (own[0] as Point).scope, metrics: [...metrics.values()].map(metricOf) }
  })
}

const FIELDS = {
  sum: 'sum',
  histogram: 'histogram',
  'exponential-histogram': 'exponentialHistogram',
  gauge: 'gauge',
} as const

function metricOf(points: readonly Point[]): object {
  const { name, unit, type, temporality } = (points[0] as Point).metric
  const data = {
    dataPoints: points.map(dataPointOf),
    ...(type !== 'gauge' && { aggregationTemporality: temporality === 'delta' ? 1 : 2 }),
    ...(type === 'sum' && { isMonotonic: true }),
  }
  return { name, ...(unit !== undefined && { unit }), [FIELDS[type]]: data }
}

function dataPointOf({ attributes, start, time, value, stale, metric }: Point): object {
  const common = {
    attributes: keyValues(attributes),
    ...(start !== 0n && { startTimeUnixNano: String(start) }),
    timeUnixNano: String(time),
  }
  if (stale) return { ...common, flags: 1 }
  switch (metric.type) {
    case 'histogram':
      return { ...common, count: String(value), sum: value / 4, bucketCounts: [String(value)], explicitBounds: [] }
    case 'exponential-histogram':
      return { ...common, count: String(value), sum: value / 4, scale: 3, zeroCount: String(value) }
    default:
      return { ...common, ...(Number.isInteger(value) ? { asInt: String(value) } : { asDouble: value }) }
  }
}

function keyValues(attributes: Attributes): object[] {
  return Object.entries(attributes).map(([key, value]) => ({
    key,
    value:
      typeof value === 'string'
        ? { stringValue: value }
        : typeof value === 'boolean'
          ? { boolValue: value }
          : { intValue: String(value) },
  }))
}

function group(groups: Map<string, Point[]>, key: string, point: Point): void {
  const known = groups.get(key)
  if (known === undefined) groups.set(key, [point])
  else known.push(point)
}
