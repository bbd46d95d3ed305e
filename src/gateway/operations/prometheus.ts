import type { Attributes } from '@opentelemetry/api'
import {
  type DataPoint,
  DataPointType,
  type Histogram,
  type MetricData,
  MetricReader,
  type ResourceMetrics,
} from '@opentelemetry/sdk-metrics'

export const PROMETHEUS_CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

/** A reader for a `MeterProvider` whose metrics are fetched as Prometheus' text. */
export class PrometheusReader extends MetricReader {
  async text(): Promise<string> {
    return prometheusText((await this.collect()).resourceMetrics)
  }

  protected override async onForceFlush(): Promise<void> {}

  protected override async onShutdown(): Promise<void> {}
}

interface Family {
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly help: string
  readonly samples: string[]
}

/**
 * Metrics in Prometheus' text format 0.0.4, named as OpenTelemetry's specification has it
 * (https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/). The format has no exponential
 * histograms; they are left out.
 */
export function prometheusText({ scopeMetrics }: ResourceMetrics): string {
  const families = new Map<string, Family>()
  for (const { scope, metrics } of scopeMetrics) {
    for (const metric of metrics) {
      const type = typeOf(metric)
      if (type === undefined) continue
      const name = familyName(metric, type)
      const family = families.get(name) ?? { type, help: metric.descriptor.description, samples: [] }
      families.set(name, family)
      // One name has one type; of two instruments that contradict each other the first is shown.
      if (family.type === type) family.samples.push(...samplesOf(metric, name, scope.name))
    }
  }
  return [...families].map(([name, family]) => familyText(name, family)).join('')
}

function familyText(name: string, { type, help, samples }: Family): string {
  const lines = [...(help === '' ? [] : [`# HELP ${name} ${escaped(help)}`]), `# TYPE ${name} ${type}`, ...samples]
  return `${lines.join('\n')}\n`
}

function typeOf(metric: MetricData): Family['type'] | undefined {
  switch (metric.dataPointType) {
    case DataPointType.SUM:
      return metric.isMonotonic ? 'counter' : 'gauge'
    case DataPointType.GAUGE:
      return 'gauge'
    case DataPointType.HISTOGRAM:
      return 'histogram'
    default:
      return undefined
  }
}

/** What is appended for a unit, by UCUM's symbol. */
const UNIT_NAMES: ReadonlyMap<string, string> = new Map([
  ['d', 'days'],
  ['h', 'hours'],
  ['min', 'minutes'],
  ['s', 'seconds'],
  ['ms', 'milliseconds'],
  ['us', 'microseconds'],
  ['ns', 'nanoseconds'],
  ['By', 'bytes'],
  ['KiBy', 'kibibytes'],
  ['MiBy', 'mebibytes'],
  ['GiBy', 'gibibytes'],
  ['%', 'percent'],
])

function familyName({ descriptor, dataPointType }: MetricData, type: Family['type']): string {
  const { name, unit } = descriptor
  const base = type === 'counter' ? identifier(name).replace(/_total$/, '') : identifier(name)
  const suffix = unit === '1' && dataPointType === DataPointType.GAUGE ? 'ratio' : UNIT_NAMES.get(unit)
  const withUnit = suffix === undefined || base.endsWith(`_${suffix}`) ? base : `${base}_${suffix}`
  return type === 'counter' ? `${withUnit}_total` : withUnit
}

function samplesOf(metric: MetricData, name: string, scope: string): string[] {
  if (metric.dataPointType === DataPointType.HISTOGRAM) {
    return metric.dataPoints.flatMap(point => histogramSamples(name, point, scope))
  }
  // An exponential histogram has no type here and does not come this far.
  return (metric.dataPoints as DataPoint<number>[]).map(({ attributes, value }) =>
    sample(name, labels(attributes, scope), value),
  )
}

function histogramSamples(name: string, { attributes, value }: DataPoint<Histogram>, scope: string): string[] {
  const { boundaries, counts } = value.buckets
  const common = labels(attributes, scope)
  let below = 0
  const buckets = boundaries.map((boundary, index) => {
    below += counts[index] ?? 0
    return sample(`${name}_bucket`, [...common, `le="${number(boundary)}"`], below)
  })
  return [
    ...buckets,
    sample(`${name}_bucket`, [...common, 'le="+Inf"'], value.count),
    ...(value.sum === undefined ? [] : [sample(`${name}_sum`, common, value.sum)]),
    sample(`${name}_count`, common, value.count),
  ]
}

const sample = (name: string, common: readonly string[], value: number) => `${name}{${common.join()}} ${number(value)}`

/** With the scope, so that two scopes may have instruments of one name. Attributes that become one label share it. */
function labels(attributes: Attributes, scope: string): string[] {
  const values = new Map([['otel_scope_name', scope]])
  for (const [key, value] of Object.entries(attributes).sort(([a], [b]) => (a < b ? -1 : 1))) {
    const label = identifier(key)
    const text = typeof value === 'string' ? value : JSON.stringify(value)
    const before = values.get(label)
    values.set(label, before === undefined ? text : `${before};${text}`)
  }
  return [...values].map(([label, value]) => `${label}="${escaped(value).replaceAll('"', '\\"')}"`)
}

function identifier(name: string): string {
  return name.replace(/[^a-zA-Z0-9]+/g, '_').replace(/^(?=\d)/, '_')
}

const escaped = (text: string) => text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')

function number(value: number): string {
  return Number.isFinite(value) || Number.isNaN(value) ? String(value) : value > 0 ? '+Inf' : '-Inf'
}
