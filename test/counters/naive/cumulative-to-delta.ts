import type { Delivery, Point } from '../otlp.ts'
import type { Receiver } from './receiver.ts'

/**
 * The Collector's processor `cumulativetodelta` with its defaults, begun when metering did. A series is its resource,
 * scope, metric, attributes and start. Of a new one the first value is dropped, unless its start says that it began
 * after the processor (`initial_value: auto`). What is lower than the point that came before is taken for a reset: a
 * sum's point is dropped, a histogram's passes whole. Nothing is forgotten (`max_staleness: 0`). Deltas pass.
 *
 * https://github.com/open-telemetry/opentelemetry-collector-contrib/tree/main/processor/cumulativetodeltaprocessor
 */
export const cumulativeToDelta: Receiver = {
  name: "the Collector's cumulativetodelta",
  bills: ({ metric: { type } }) => type !== 'gauge',
  receive(deliveries: readonly Delivery[], begins: number) {
    const previous = new Map<string, number>()
    const deltas: { point: Point; amount: number }[] = []
    for (const { points } of deliveries) {
      for (const point of points) {
        const { resource, scope, metric, attributes, start, time, value, stale } = point
        if (stale) continue
        if (metric.temporality === 'delta') {
          deltas.push({ point, amount: value })
          continue
        }
        const key = JSON.stringify([resource, scope, metric, attributes, String(start)])
        const before = previous.get(key)
        previous.set(key, value)
        if (before === undefined) {
          if (start >= BigInt(begins) * 1_000_000n && start !== time) deltas.push({ point, amount: value })
        } else if (value >= before) deltas.push({ point, amount: value - before })
        else if (metric.type === 'histogram') deltas.push({ point, amount: value })
      }
    }
    return deltas
  },
}
