import {
  AggregationTemporality,
  DataPointType,
  type PushMetricExporter,
  type ResourceMetrics,
} from '@opentelemetry/sdk-metrics'

export const NAMESPACE = 'MarketplaceMetering'

/**
 * Prints metrics as CloudWatch's embedded metric format: a line of JSON in the log, of which CloudWatch Logs makes
 * metrics by itself, without an agent, a sidecar or a permission.
 *
 * A metric's points are added up to one number, so that an alarm needs to know no attributes; of times the longest counts.
 * The points stand in the same line for who looks closer. Points with an `error.type` are added up apart, under the name
 * with `.failed`.
 */
export class EmbeddedMetricExporter implements PushMetricExporter {
  readonly #dimensions: Readonly<Record<string, string>>
  readonly #write: (line: string) => void

  constructor(dimensions: Readonly<Record<string, string>>, write = (line: string) => console.log(line)) {
    this.#dimensions = dimensions
    this.#write = write
  }

  /** What happened since the last line: an alarm's sum of a minute is then what happened in that minute. */
  selectAggregationTemporality(): AggregationTemporality {
    return AggregationTemporality.DELTA
  }

  export({ scopeMetrics }: ResourceMetrics, done: Parameters<PushMetricExporter['export']>[1]): void {
    const totals: Record<string, number> = {}
    const units = new Map<string, string>()
    const details: { metric: string; value: number; attributes: object }[] = []
    for (const { descriptor, dataPointType, dataPoints } of scopeMetrics.flatMap(({ metrics }) => metrics)) {
      if (dataPointType !== DataPointType.SUM && dataPointType !== DataPointType.GAUGE) continue
      for (const { attributes, value } of dataPoints) {
        const metric = 'error.type' in attributes ? `${descriptor.name}.failed` : descriptor.name
        const before = totals[metric] ?? 0
        totals[metric] = isTime(descriptor.unit) ? Math.max(before, value) : before + value
        units.set(metric, unitOf(descriptor.unit))
        if (value !== 0) details.push({ metric, value, attributes })
      }
    }
    if (units.size > 0) {
      const definition = {
        Namespace: NAMESPACE,
        Dimensions: [Object.keys(this.#dimensions)],
        Metrics: Array.from(units, ([Name, Unit]) => ({ Name, Unit })),
      }
      const _aws = { Timestamp: Date.now(), CloudWatchMetrics: [definition] }
      this.#write(JSON.stringify({ _aws, ...this.#dimensions, ...totals, details }))
    }
    done({ code: 0 })
  }

  async forceFlush(): Promise<void> {}

  async shutdown(): Promise<void> {}
}

const isTime = (unit: string) => unit === 's' || unit === 'h'

function unitOf(unit: string): string {
  if (unit === 's') return 'Seconds'
  return unit.startsWith('{') ? 'Count' : 'None'
}
