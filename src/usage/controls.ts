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

/** By its description, which a view sets, a control says how many series its metric may have. */
const CONTROL_DESCRIPTION = /^Controls a metric of which (\d+) series are kept apart\.$/

export const describeControl = (limit: number): string => `Controls a metric of which ${limit} series are kept apart.`

export const isControl = ({ descriptor }: MetricData): boolean => CONTROL.test(descriptor.name)

export interface ControlledMetric {
  readonly name: string
  readonly unit: string
}

/** What is told of the metrics of an export. */
export interface ControlReading {
  readonly of: (metric: MetricData) => Controlled | undefined
  /** Those that were measured, and that another view keeps from arriving. */
  readonly missing: readonly ControlledMetric[]
  /** Those of which something came in earlier parts that was read in another way than their control tells now. */
  readonly late: readonly ControlledMetric[]
}

/** What a control tells of its metric. */
export interface Controlled {
  /** How often the SDK has recorded each value. A fraction says that it cannot be told. */
  readonly times: number
  /** How many series the view keeps apart between two exports. */
  readonly limit: number | undefined
}

/** What is known of a scope's metrics, each by a name of its own. */
export interface ScopeTotals {
  /** Of each, all that has come of the running collection. */
  readonly arrived: Map<string, number>
  /** What controls told last. */
  readonly controlled: Map<string, Controlled>
}

/**
 * Compares all that came of a metric with its control. Of a collection that comes in parts the control comes after its
 * metric: until then holds what it told before.
 *
 * @param metrics one scope's, of one collection of deltas or of a part of it
 */
export function readControls(metrics: readonly MetricData[], { arrived, controlled }: ScopeTotals): ControlReading {
  const before = new Map(arrived)
  for (const metric of metrics) {
    if (isControl(metric)) continue
    const key = keyOf(metric.descriptor.name, metric)
    arrived.set(key, (arrived.get(key) ?? 0) + totalOf(metric))
  }
  const missing: ControlledMetric[] = []
  const late: ControlledMetric[] = []
  for (const metric of metrics) {
    const { name: control, unit, description } = metric.descriptor
    const [, name] = CONTROL.exec(control) ?? []
    const measured = name === undefined ? 0 : totalOf(metric)
    // Zeros tell nothing; NaN and Infinity are refused point by point.
    if (name === undefined || measured === 0 || !Number.isFinite(measured)) continue
    const key = keyOf(name, metric)
    const total = arrived.get(key)
    if (total === undefined) {
      missing.push({ name, unit })
      continue
    }
    const [, limit] = CONTROL_DESCRIPTION.exec(description) ?? []
    const times = wholeTimes(total / measured)
    if ((before.get(key) ?? 0) > 0 && (controlled.get(key)?.times ?? 1) !== times) late.push({ name, unit })
    controlled.set(key, { times, limit: limit === undefined ? undefined : Number(limit) })
  }
  return { of: metric => controlled.get(keyOf(metric.descriptor.name, metric)), missing, late }
}

function wholeTimes(times: number): number {
  const whole = Math.round(times)
  return Math.abs(times - whole) <= whole * ROUNDING ? whole : times
}

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
