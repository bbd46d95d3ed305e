import type { Attributes } from '@opentelemetry/api'
import type { Message, Type } from 'protobufjs'
import type { OtlpMetric, OtlpPoint, OtlpRequest } from '../../../src/gateway/otlp/metrics.ts'

interface Any {
  stringValue?: string
  boolValue?: boolean
  intValue?: bigint
  doubleValue?: number
  arrayValue?: { values?: Any[] }
  kvlistValue?: { values?: KeyValue[] }
  bytesValue?: string
}
interface KeyValue {
  key?: string
  value?: Any
}
interface Point {
  attributes?: KeyValue[]
  startTimeUnixNano?: bigint
  timeUnixNano?: bigint
  asInt?: bigint
  asDouble?: number
  sum?: number
  count?: bigint
  flags?: number
}
interface Data {
  dataPoints?: Point[]
  aggregationTemporality?: number
  isMonotonic?: boolean
}
interface Metric {
  name?: string
  unit?: string
  sum?: Data
  gauge?: Data
  histogram?: Data
  exponentialHistogram?: Data
  summary?: Data
}
interface Request {
  resourceMetrics?: {
    resource?: { attributes?: KeyValue[] }
    scopeMetrics?: {
      scope?: { name?: string; version?: string; attributes?: KeyValue[] }
      metrics?: Metric[]
    }[]
  }[]
}

/** What a request that the library has decoded has to look like, with all of its metrics wanted. */
export function expected(type: Type, message: Message): OtlpRequest {
  const { resourceMetrics = [] } = type.toObject(message, { longs: BigInt, bytes: String }) as Request
  return {
    resourceMetrics: resourceMetrics
      .map(({ resource, scopeMetrics = [] }) => ({
        resource: attributes(resource?.attributes),
        scopes: scopeMetrics
          .filter(({ metrics = [] }) => metrics.length > 0)
          .map(({ scope, metrics = [] }) => ({
            name: scope?.name ?? '',
            version: scope?.version ?? '',
            attributes: attributes(scope?.attributes),
            metrics: metrics.map(metric),
          })),
      }))
      .filter(({ scopes }) => scopes.length > 0),
  }
}

function metric({ name = '', unit = '', sum, gauge, histogram, exponentialHistogram, summary }: Metric): OtlpMetric {
  const own = { name, unit }
  const temporality = (data: Data) =>
    data.aggregationTemporality === 1 ? 'delta' : data.aggregationTemporality === 2 ? 'cumulative' : 'unspecified'
  if (sum) {
    const points = numbers(sum)
    return { ...own, type: 'sum', temporality: temporality(sum), monotonic: sum.isMonotonic ?? false, points }
  }
  if (gauge) return { ...own, type: 'gauge', temporality: 'unspecified', monotonic: false, points: numbers(gauge) }
  if (histogram) {
    const points = distributions(histogram, undefined)
    return { ...own, type: 'histogram', temporality: temporality(histogram), monotonic: true, points }
  }
  if (exponentialHistogram) {
    const points = distributions(exponentialHistogram, undefined)
    const type = 'exponential-histogram'
    return { ...own, type, temporality: temporality(exponentialHistogram), monotonic: true, points }
  }
  if (summary) {
    const points = distributions(summary, 0)
    return { ...own, type: 'summary', temporality: 'unspecified', monotonic: false, points }
  }
  return { ...own, type: 'none', temporality: 'unspecified', monotonic: false, points: [] }
}

function numbers({ dataPoints = [] }: Data): OtlpPoint[] {
  return dataPoints.map(point => ({ ...common(point), sum: point.asInt ?? point.asDouble, count: undefined }))
}

function distributions({ dataPoints = [] }: Data, noSum: number | undefined): OtlpPoint[] {
  return dataPoints.map(point => ({ ...common(point), sum: point.sum ?? noSum, count: point.count ?? 0n }))
}

function common({ attributes: list, startTimeUnixNano = 0n, timeUnixNano = 0n, flags = 0 }: Point) {
  return {
    attributes: attributes(list),
    startTime: startTimeUnixNano,
    time: timeUnixNano,
    noRecordedValue: flags % 2 === 1,
  }
}

function attributes(list: KeyValue[] = []): Attributes {
  const values = new Map<string, unknown>()
  for (const { key = '', value = {} } of list) if (!values.has(key)) values.set(key, plain(value))
  return Object.fromEntries(values) as Attributes
}

function plain(value: Any): unknown {
  const { stringValue, boolValue, intValue, doubleValue, arrayValue, kvlistValue, bytesValue } = value
  if (intValue !== undefined) return Number.isSafeInteger(Number(intValue)) ? Number(intValue) : String(intValue)
  if (doubleValue !== undefined) return Number.isFinite(doubleValue) ? doubleValue : String(doubleValue)
  if (arrayValue) return (arrayValue.values ?? []).map(plain)
  if (kvlistValue) return attributes(kvlistValue.values)
  return stringValue ?? boolValue ?? bytesValue ?? null
}
