/** How many series the SDK keeps apart, the overflow's one included, where nobody says otherwise. */
export const DEFAULT_CARDINALITY_LIMIT = 2000
/** From this share of the limit on, somebody should look. */
const NEARLY = 0.8

/** Watches how many series metrics have: what goes beyond the SDK's limit loses its customer for good. */
export class Cardinality {
  /** Of which enough is said: their limit is not known, and it was told, or they had more than the SDK's own. */
  readonly #settled = new Set<string>()

  /**
   * What to tell of a metric that nearly has as many as there may be.
   *
   * @param series how many there were in one collection
   * @param limit how many there may be, where `billingViews` has set it: nobody tells an exporter of its reader's
   */
  warn(metric: string, series: number, limit: number | undefined): string | undefined {
    const most = limit ?? DEFAULT_CARDINALITY_LIMIT
    if (limit === undefined) {
      if (series > most) this.#settled.add(metric)
      if (this.#settled.has(metric)) return undefined
    }
    // At the limit it has overflowed, which is told as what it is.
    if (series < NEARLY * most || series >= most) return undefined
    const [count, all] = [series.toLocaleString('en-US'), most.toLocaleString('en-US')]
    const beyond = 'What goes beyond loses its customer for good, and is not billed'
    if (limit !== undefined) {
      return (
        `${metric} had ${count} series between two exports, and its view keeps ${all} apart. ${beyond}: raise ` +
        "billingViews' cardinalityLimit (the function cardinalityLimit says how far)."
      )
    }
    this.#settled.add(metric)
    return (
      `${metric} had ${count} series between two exports, and the SDK keeps ${all} apart unless it is told otherwise. ` +
      `${beyond}: set the reader's cardinalityLimits (the function cardinalityLimit says how far). If they are set, all is ` +
      'well; this is said once.'
    )
  }
}
