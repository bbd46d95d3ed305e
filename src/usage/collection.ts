import type { MetricData, ResourceMetrics } from '@opentelemetry/sdk-metrics'
import type { Controlled, ScopeTotals } from './controls.ts'

/** Which collections of a scope have come, by the object that is the time of their points. */
interface Readers {
  readonly seen: WeakSet<object>
  /** Of a second reader. */
  readonly others: WeakSet<object>
  latest: object | undefined
}

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
  readonly #readers = new WeakMap<Scope, Readers>()

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

  /**
   * Whether a scope's metrics come from a second reader of the same MeterProvider: each of them collects all usage. The SDK
   * has a series begin at the very object that was the time of its reader's collection before, so that a collection which
   * goes on from another than the latest tells that the latest was another reader's. What tells nothing is the first's.
   *
   * @returns `found` with the first collection that tells
   */
  secondReader({ scope, metrics }: ResourceMetrics['scopeMetrics'][number]): 'found' | 'known' | undefined {
    const readers = this.#readers.get(scope) ?? { seen: new WeakSet(), others: new WeakSet(), latest: undefined }
    this.#readers.set(scope, readers)
    const { seen, others, latest } = readers
    const time = metrics.find(({ dataPoints }) => dataPoints.length > 0)?.dataPoints[0]?.endTime
    if (time === undefined) return undefined
    if (!seen.has(time)) {
      const before = continued(metrics, seen)
      seen.add(time)
      if (before !== undefined && others.has(before)) others.add(time)
      else readers.latest = time
      if (before !== undefined && before !== latest && !others.has(before)) {
        others.add(latest as object)
        return 'found'
      }
    }
    return others.has(time) ? 'known' : undefined
  }

  totals(scope: Scope): ScopeTotals {
    const arrived = this.#arrived.get(scope) ?? new Map<string, number>()
    const controlled = this.#controlled.get(scope) ?? new Map<string, Controlled>()
    this.#arrived.set(scope, arrived)
    this.#controlled.set(scope, controlled)
    return { arrived, controlled }
  }
}

/** The collection that one goes on from, if it is among those that have come. */
function continued(metrics: readonly MetricData[], seen: WeakSet<object>): object | undefined {
  for (const { dataPoints } of metrics) {
    for (const { startTime } of dataPoints) if (seen.has(startTime)) return startTime
  }
  return undefined
}
