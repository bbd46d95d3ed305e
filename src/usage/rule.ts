/** Which data points count, and with which of their values. */
export interface Rule {
  /** Names of metrics, exactly as they arrive. */
  readonly metric: string | readonly string[]
  /** What the point's attributes have to be: the value, one of the values, or absent (`null`). `1` is not `'1'`. */
  readonly attributes?: Readonly<Record<string, AttributeMatch>>
  /**
   * Of a histogram, whether its sum counts (the default) or how many values it has. `integral` makes time of a gauge,
   * for the gateway only: a level of 2 GPUs that holds for a minute is 2 minutes.
   */
  readonly value?: 'sum' | 'count' | 'integral'
  /** The unit of the metric's values, where the instrument's own is missing or wrong. Of an `integral`: `1` or `%`. */
  readonly unit?: string
  /**
   * Of an `integral`, the longest time between two points that the level is taken to have held, in milliseconds. 5
   * minutes by default; a longer silence is not billed, and reported.
   */
  readonly maxGap?: number
  /**
   * Of an observable counter, whether the first value of each series in a process was there before (`true`: a device's
   * or a database's total, of which the rest is usage) or is this process's usage (`false`: a total that began with it).
   * Where it is not said, the exporter does not bill the first value, and tells that as an error; the gateway, which is
   * not told that a counter is observed, goes by when it began. With `true` it takes no deltas: the first of them has all
   * that was there before.
   */
  readonly baseline?: boolean
}

type Scalar = string | number | boolean

export type AttributeMatch = Scalar | readonly Scalar[] | null
