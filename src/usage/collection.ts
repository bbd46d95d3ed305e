import type { MetricData, ResourceMetrics } from '@opentelemetry/sdk-metrics'
import type { Controlled, ScopeTotals } from './controls.ts'

type Scope = ResourceMetrics['scopeMetrics'][number]['scope']

/**
 * What has come of the running collection. A reader with `maxExportBatchSize` hands one over in parts: the times of
 * their points are one object, which the next collection has another of.
 */
export class Collection {
  #time: unknown
  #inParts = false
  readonly #series = new Map<unknown, number>()
  readonly #arrived = new Map<Scope, Map<string, number>>()
  /** Of all collections: the SDK's scopes are the same objects each time. */
  readonly #controlled = new WeakMap<Scope, Map<string, Controlled>>()

  /** Whether the reader has ever handed one over in parts. */
  get inParts(): boolean {
    return this.#inParts
  }

  /** To be told of each export. */
  receive({ scopeMetrics }: ResourceMetrics): void {
    const metrics = scopeMetrics.flatMap(({ metrics }) => metrics.filter(({ dataPoints }) => dataPoints.length > 0))
    const time = metrics[0]?.dataPoints[0]?.endTime
    if (time !== undefined && time === this.#time) this.#inParts = true
    else {
      this.#series.clear()
      this.#arrived.clear()
    }
    this.#time = metrics.at(-1)?.dataPoints.at(-1)?.endTime
  }

  /** How many series of a metric have come, with those of this part. */
  series({ descriptor, dataPoints }: MetricData): number {
    const series = (this.#series.get(descriptor) ?? 0) + dataPoints.length
    this.#series.set(descriptor, series)
    return series
  }

  totals(scope: Scope): ScopeTotals {
    const arrived = this.#arrived.get(scope) ?? new Map<string, number>()
    const controlled = this.#controlled.get(scope) ?? new Map<string, Controlled>()
    this.#arrived.set(scope, arrived)
    this.#controlled.set(scope, controlled)
    return { arrived, controlled }
  }
}
