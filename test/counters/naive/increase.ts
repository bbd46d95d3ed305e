import type { Delivery, Point } from '../otlp.ts'
import type { Receiver } from './receiver.ts'

/**
 * PromQL's `increase(metric[from the beginning of metering])`, without the extrapolation to the range's ends. A series
 * is its `job`, its `instance` and its labels; what comes later than a younger sample is refused as out of order; what
 * falls has begun anew. The first sample of a series is where its increase begins.
 *
 * https://prometheus.io/docs/prometheus/latest/querying/functions/#increase
 */
export const increase: Receiver = {
  name: "PromQL's increase",
  bills: ({ metric: { type, temporality } }) => type !== 'gauge' && temporality !== 'delta',
  receive(deliveries: readonly Delivery[], begins: number) {
    const series = new Map<string, { point: Point; increase: number }>()
    for (const { points } of deliveries) {
      for (const point of points) {
        if (point.stale || point.time < BigInt(begins) * 1_000_000n) continue
        const { resource, metric, attributes } = point
        const labels = [
          resource['service.name'],
          resource['service.instance.id'],
          metric.name,
          Object.entries(attributes),
        ]
        const key = JSON.stringify(labels)
        const last = series.get(key)
        if (last !== undefined && point.time <= last.point.time) continue
        const from = last?.point.value ?? point.value
        const rise = point.value < from ? point.value : point.value - from
        series.set(key, { point, increase: (last?.increase ?? 0) + rise })
      }
    }
    return [...series.values()].map(({ point, increase }) => ({ point, amount: increase }))
  },
}
