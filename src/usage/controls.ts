import type { MetricData } from '@opentelemetry/sdk-metrics'

/** How each set of `billingViews` names the metrics that control what arrives: by its number, and the metric's name. */
const CONTROL = /^marketplace\.control\.\d+\.(.+)$/s
/** What rounding can make of a sum of many values, as a part of it. */
const ROUNDING = 1e-6

let sets = 0

/**
 * What a new set of views calls its controls. Each set has a name of its own, since the SDK puts what two views bring
 * under one name into one storage: two sets would count twice in their control too.
 */
export function nameControls(): (metric: string) => string {
  sets += 1
  const set = sets
  return metric => `marketplace.control.${set}.${metric}`
}

export const isControl = ({ descriptor }: MetricData): boolean => CONTROL.test(descriptor.name)

/** A metric that was measured, and that another view keeps from arriving. */
export interface MissingMetric {
  readonly name: string
  readonly unit: string
}

/**
 * How often the SDK has recorded each value of a metric, by comparing all of it with its control; 1 where there is none.
 * A fraction says that it cannot be told.
 *
 * @param metrics one scope's, of one collection of deltas
 */
export function controlled(metrics: readonly MetricData[]): {
  times: (metric: MetricData) => number
  missing: readonly MissingMetric[]
} {
  const measured = new Map<string, { name: string; unit: string; total: number }>()
  for (const metric of metrics) {
    const [, name] = CONTROL.exec(metric.descriptor.name) ?? []
    const total = name === undefined ? 0 : totalOf(metric)
    // Zeros tell nothing; NaN and Infinity are refused point by point.
    if (name === undefined || total === 0 || !Number.isFinite(total)) continue
    measured.set(keyOf(name, metric), { name, unit: metric.descriptor.unit, total })
  }
  if (measured.size === 0) return UNCONTROLLED
  const arrived = new Map<string, number>()
  for (const metric of metrics) {
    const key = keyOf(metric.descriptor.name, metric)
    if (measured.has(key)) arrived.set(key, (arrived.get(key) ?? 0) + totalOf(metric))
  }
  return {
    times: metric => {
      const key = keyOf(metric.descriptor.name, metric)
      const control = measured.get(key)
      if (control === undefined) return 1
      const times = (arrived.get(key) as number) / control.total
      const whole = Math.round(times)
      return Math.abs(times - whole) <= whole * ROUNDING ? whole : times
    },
    missing: [...measured].flatMap(([key, control]) => (arrived.has(key) ? [] : control)),
  }
}

const UNCONTROLLED = { times: () => 1, missing: [] }

/** What the SDK keeps apart under one name. */
function keyOf(name: string, { descriptor: { unit, valueType }, dataPointType }: MetricData): string {
  return JSON.stringify([name, unit, valueType, dataPointType])
}

/** Of a histogram how many values it has: integers, and never rounded. */
function totalOf({ dataPoints }: MetricData): number {
  let total = 0
  for (const { value } of dataPoints) total += typeof value === 'number' ? value : (value?.count ?? 0)
  return total
}
