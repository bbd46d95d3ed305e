import type { Attributes } from '@opentelemetry/api'
import type { MetricData, ResourceMetrics } from '@opentelemetry/sdk-metrics'
import { configurationError, show } from '../check.ts'
import { ConfigurationError } from '../errors.ts'
import type { CustomerAccount } from './account.ts'
import { Arrivals } from './arrivals.ts'
import { Cardinality } from './cardinality.ts'
import { Claimant } from './claims.ts'
import { Collection } from './collection.ts'
import { isControl, readControls } from './controls.ts'
import { CustomerReader, customerSources, type TenantRegistry } from './customer.ts'
import type { Dimension } from './dimension.ts'
import { type Add, Mapping, type MapReport, Sources, type UnbillableReason } from './mapping.ts'
import { type CustomerIdentity, parseUsageOptions, type UsageOptions } from './options.ts'
import { type CompiledRule, compileRules, type IncludedRule, type Rules } from './rules.ts'
import { TagSets } from './tag-sets.ts'

// The SDK's enums by number: its package is not imported, since several copies and generations of it are about.
const DATA_POINT_TYPE = { histogram: 0, exponentialHistogram: 1, gauge: 2, sum: 3 }
const DELTA = 0

export interface MapperOptions {
  /** Whether who calls brings gauges with their times, so that they can be integrated. */
  readonly gauges?: boolean
  /** How many customers are remembered, at most twice over: those that were metered last. */
  readonly customers?: number
  /** The same value where it is for the same ledger: of two mappers, one bills what both would. */
  readonly ledger?: unknown
  /** Where tenants are looked up. */
  readonly registry?: TenantRegistry
}

/** Turns what the SDK measured into amounts of dimensions for customers, as its options say. */
export class UsageMapper {
  readonly #rules: Rules
  readonly #customers: CustomerReader
  /** The product code, or where there is none, the seller's own label for a product with licences. */
  readonly product: string
  /** The products of customers: the product code, the label for those with licences, or both. */
  readonly products: readonly string[]
  /** What has come so far, by rule. */
  readonly arrivals: Arrivals
  readonly #sources = new Sources()
  readonly #tagSets = new TagSets()
  readonly #options: Pick<UsageOptions, 'product' | 'productCode'>
  /** The series of observable counters. There are as many as the SDK keeps itself. */
  readonly #observed = new Set<string>()
  readonly #collection = new Collection()
  readonly #cardinality = new Cardinality()
  readonly #claimant: Claimant

  /**
   * Throws a `ConfigurationError` that names every option that is wrong.
   */
  constructor(options: UsageOptions, { gauges = false, customers, ledger = {}, registry }: MapperOptions = {}) {
    const { dimensions, ...rest } = parseUsageOptions(options)
    this.products = [rest.productCode, rest.product].filter(product => product !== undefined)
    this.product = this.products[0] as string
    this.#options = rest
    const { customer } = rest
    const sources =
      typeof customer === 'function' ? customer : JSON.stringify(Object.entries(customerSources(rest)).sort())
    this.#claimant = new Claimant(ledger, sources)
    this.#rules = compileRules(dimensions)
    this.arrivals = new Arrivals(this.#rules, dimensions === undefined)
    if (!gauges) refuse(this.#rules, ({ value }) => value === 'integral' && NO_INTEGRALS)
    this.#customers = new CustomerReader(rest, this.#rules.dimensions.length, customers, registry)
  }

  get dimensions(): readonly Dimension[] {
    return this.#rules.dimensions
  }

  /** What contracts include, by dimension; null where it is said that they include nothing. */
  get included(): ReadonlyMap<string, IncludedRule | null> {
    return this.#rules.included
  }

  /** The names of the dimensions, and by which products customers are known. */
  get sold(): { readonly products: readonly string[]; readonly dimensions: readonly string[] } {
    return { products: this.products, dimensions: this.dimensions.map(({ name }) => name) }
  }

  /** Whether the reader has handed a collection over in parts (`maxExportBatchSize`). */
  get inParts(): boolean {
    return this.#collection.inParts
  }

  /** The metrics that feed each dimension. */
  get sources(): readonly { readonly dimension: string; readonly metric: string }[] {
    return [...this.#rules.feeds].flatMap(([metric, feeds]) =>
      feeds.map(({ dimension }) => ({ dimension: dimension.dimension.name, metric })),
    )
  }

  /**
   * The account of a customer that a person or the application names, as `map` names it. Throws a
   * `ConfigurationError` where it does not identify one.
   */
  account(identity: CustomerIdentity): CustomerAccount {
    const known = this.#customers.know(identity ?? undefined)
    if (typeof known !== 'string') return known.account as CustomerAccount
    const expected = [
      ...(this.#options.product === undefined ? [] : ['an accountId of 12 digits and a licenseArn']),
      ...(this.#options.productCode === undefined
        ? []
        : ['an accountId of 12 digits or a customerIdentifier, and not both']),
    ].join(', or ')
    throw new ConfigurationError(`Expected a customer with ${expected}, got ${show(identity)}`)
  }

  /**
   * Reads one collection, all of it before it returns: the SDK keeps attributes by reference, and they may change
   * later. `take` gets each amount above zero, in millionths of the dimension's base unit; the same account is mostly
   * the same object, and so is its tally of a dimension. It throws nothing: what cannot be billed is in the report.
   */
  map(metrics: ResourceMetrics, take: (...amount: Parameters<Add>) => void): MapReport {
    const mapping = this.begin(metrics.resource.attributes, (...amount) => {
      take(...amount)
      return undefined
    })
    this.#collection.receive(metrics)
    for (const scopeMetrics of metrics.scopeMetrics) {
      const { scope, metrics: list } = scopeMetrics
      const second = this.#collection.secondReader(scopeMetrics)
      const { of, missing, late } = readControls(list, this.#collection.totals(scope))
      for (const metric of list) {
        if (isControl(metric)) continue
        const { name, unit } = metric.descriptor
        const begins = (attributes: Attributes) => this.#begins([scope.name, scope.version, name, unit], attributes)
        const { times = 1, limit } = of(metric) ?? {}
        const problemOf = (rule: CompiledRule, dimension: Dimension) =>
          this.#claims(scope, name, rule, dimension) ? undefined : 'second-exporter'
        mapMetric(mapping, scope.name, metric, {
          times,
          second,
          begins: isObserved(metric) ? begins : NEVER,
          problemOf,
        })
        if (!this.#rules.feeds.has(name)) continue
        const series = this.#collection.series(metric)
        const message = this.#cardinality.warn(name, series, limit)
        if (message !== undefined) {
          mapping.report.doubtful.push({ reason: 'crowded', metric: name, points: series, message })
        }
      }
      for (const { name, unit } of missing) {
        if (mapping.metric(scope.name, name, unit, undefined)) mapping.lose('kept-by-view')
      }
      for (const { name, unit } of late) {
        if (mapping.metric(scope.name, name, unit, undefined)) mapping.doubt('control-too-late')
      }
    }
    return mapping.report
  }

  /** Whether no other exporter bills what a rule counts of a scope's metric. */
  #claims(scope: object, metric: string, { value, conditions }: CompiledRule, { name }: Dimension): boolean {
    const asked = conditions.map(({ key, accepts }) => [key, [...accepts]])
    return this.#claimant.claims(scope, JSON.stringify([this.products, name, metric, value, asked]))
  }

  /** Leaves what it billed to others. */
  end(): void {
    this.#claimant.end()
  }

  /** Whether a series has not been seen before. */
  #begins(metric: readonly unknown[], attributes: Attributes): boolean {
    const key = JSON.stringify([...metric, ...Object.entries(attributes).sort(([a], [b]) => (a < b ? -1 : 1))])
    const known = this.#observed.has(key)
    this.#observed.add(key)
    return !known
  }

  /** Whether customers are looked up by what the seller calls them. */
  get looksUp(): boolean {
    return this.#customers.looksUp
  }

  /** Looks a point's customer up, as far as it is known: the registry learns whom it was asked for. */
  lookUp(attributes: Attributes, resource: Attributes): void {
    this.#customers.lookUp(attributes, resource)
  }

  /** Tenants that were not known when usage of theirs was mapped, by the keys of the accounts that it went to. */
  get unknownTenants(): Map<string, string> {
    return this.#customers.unknownTenants
  }

  /**
   * Says what hour it is. With another one than before, customers' tag sets are counted anew: see `MOST_TAG_SETS`.
   *
   * @param hour its first millisecond
   */
  beginHour(hour: number): void {
    this.#tagSets.beginHour(hour)
  }

  /** The same for metrics of another shape, which the caller goes through by himself. */
  begin(resource: Attributes, add: Add, { totals = false } = {}): Mapping {
    return new Mapping(this.#rules, this.arrivals, this.#customers, this.#sources, this.#tagSets, resource, add, totals)
  }

  /** Whether a rule names a metric that has come. One that none does is remembered among the arrivals. */
  names(metric: string): boolean {
    const named = this.#rules.feeds.has(metric)
    if (!named) this.arrivals.unnamed(metric)
    return named
  }
}

const NO_INTEGRALS = 'expected counters or histograms; only the gateway integrates gauges'

/** @param problem what is wrong with a rule, if anything */
function refuse({ feeds }: Rules, problem: (rule: CompiledRule) => string | false): void {
  const found = [...feeds.values()].flat().flatMap(({ dimension, rules }) =>
    rules.flatMap(rule => {
      const wrong = problem(rule)
      return wrong === false ? [] : [`dimensions.${dimension.dimension.name}.from: ${rule.label}: ${wrong}`]
    }),
  )
  if (found.length > 0) throw configurationError([...new Set(found)])
}

const NEVER = () => false

/** The SDK says an instrument's type, though its own types hide it. */
function isObserved({ descriptor }: MetricData): boolean {
  const { type } = descriptor as { type?: unknown }
  return type === 'OBSERVABLE_COUNTER'
}

interface Circumstances {
  /** How often each value was recorded. */
  readonly times: number
  /** Whether it comes from a second reader, or that there is one has just been found. */
  readonly second: 'found' | 'known' | undefined
  /** Whether a point is the first of a series that others may have counted before. */
  readonly begins: (attributes: Attributes) => boolean
  /** Why a rule counts nothing. */
  readonly problemOf: (rule: CompiledRule, dimension: Dimension) => UnbillableReason | undefined
}

function mapMetric(
  mapping: Mapping,
  scope: string,
  metric: MetricData,
  { times, second, begins, problemOf: problemOfRule }: Circumstances,
): void {
  const views = Number.isInteger(times) ? undefined : 'views'
  const problem = problemOf(metric) ?? views ?? (second === 'known' ? 'second-reader' : undefined)
  const { name, unit } = metric.descriptor
  if (!mapping.metric(scope, name, unit, problem, 'delta', problemOfRule)) {
    mapping.ignore(metric.dataPoints.length)
    return
  }
  if (second === 'found') mapping.doubt('second-reader')
  const once = problem === undefined && times > 1 ? (value?: number) => value && value / times : undefined
  if (once !== undefined) mapping.doubt('several-views')
  for (const { attributes, value } of metric.dataPoints) {
    if (typeof value === 'number') {
      mapping.point(attributes, once ? once(value) : value, undefined, problem, begins(attributes))
    } else if (once) mapping.point(attributes, once(value?.sum), once(value?.count))
    else mapping.point(attributes, value?.sum, value?.count)
  }
}

/** Why no point of a metric can be billed. */
function problemOf(metric: MetricData): UnbillableReason | undefined {
  const { gauge, sum } = DATA_POINT_TYPE
  const type = metric.dataPointType as number
  if (type === gauge || (type === sum && !(metric as { isMonotonic?: boolean }).isMonotonic)) return 'not-a-counter'
  return (metric.aggregationTemporality as number) === DELTA ? undefined : 'cumulative'
}
