import type { Attributes } from '@opentelemetry/api'
import type { AggregationOption, InstrumentType, ViewOptions } from '@opentelemetry/sdk-metrics'
import * as v from 'valibot'
import { check, configurationError, show, strictObject, together } from '../check.ts'
import { DEFAULT_CARDINALITY_LIMIT } from './cardinality.ts'
import { describeControl, nameControls } from './controls.ts'
import { customerKeys } from './customer.ts'
import { parseUsageOptions, type UsageOptions } from './options.ts'
import { compileRules } from './rules.ts'

/** `AggregationType.DROP`, by number since the SDK is not imported. */
const DROP = 1

// Filtering attributes makes one series of several. For these the SDK adds them up; of an observable instrument it
// keeps the last one and loses the rest.
const ADDED_UP = ['COUNTER', 'HISTOGRAM']
const NOT_ADDED_UP = [
  'OBSERVABLE_COUNTER',
  'UP_DOWN_COUNTER',
  'OBSERVABLE_UP_DOWN_COUNTER',
  'GAUGE',
  'OBSERVABLE_GAUGE',
]

export interface BillingViewsOptions {
  /**
   * How many series an instrument may have between two exports; see `cardinalityLimit`. An instrument with a view
   * does not heed the reader's limit. 2000 by default.
   */
  readonly cardinalityLimit?: number
  /**
   * `all` keeps the attributes as they are. `needed` keeps those that rules, customers and tags are read from: fewer series
   * for counters and histograms, but no others in the evidence of unattributed usage, nor for any other reader.
   */
  readonly attributes?: 'all' | 'needed'
}

const schema = strictObject({
  cardinalityLimit: v.optional(
    v.pipe(
      v.number('an integer above 0'),
      v.check(limit => Number.isInteger(limit) && limit > 0, 'an integer above 0'),
    ),
    DEFAULT_CARDINALITY_LIMIT,
  ),
  attributes: v.optional(v.picklist(['all', 'needed'], "'all' or 'needed'"), 'all'),
})

/**
 * Views for a MeterProvider, one for each metric that a rule names. They copy attributes when they are recorded: the
 * SDK keeps them by reference, and an object that changes afterwards would change who pays.
 *
 * Views hold for all readers of the provider. No other view should match these instruments: where two do, the SDK
 * records each value twice. The exporter finds that by a control, `marketplace.control.….<metric>`, which each counter
 * and histogram gets beside it: one series that counts everything once. Usage is then billed once, with a warning (of a
 * reader with `maxExportBatchSize` from its second collection on: in the first the control comes too late). To
 * have the reader bring nothing but these metrics, see `dropUnnamed`.
 */
export function billingViews(options: UsageOptions, views: BillingViewsOptions = {}): ViewOptions[] {
  const [usage, { cardinalityLimit, attributes }] = together(
    () => parseUsageOptions(options),
    () => check(schema, views),
  )
  const { feeds } = compileRules(usage.dimensions)
  const common = { aggregationCardinalityLimit: cardinalityLimit, attributesProcessors: [COPY] }
  const controlName = nameControls()
  const controls = [...feeds.keys()].flatMap(instrumentName =>
    ADDED_UP.map(type => ({
      ...{ instrumentName, instrumentType: type as InstrumentType, name: controlName(instrumentName) },
      description: describeControl(cardinalityLimit),
      attributesProcessors: [NONE],
    })),
  )
  if (attributes === 'all')
    return [...feeds.keys()].map((instrumentName): ViewOptions => ({ instrumentName, ...common })).concat(controls)
  if (typeof usage.customer === 'function') {
    throw configurationError([
      "attributes: expected 'all', since customer is a function that may read any, got 'needed'",
    ])
  }
  const kept = [...feeds].flatMap(([instrumentName, metricFeeds]): ViewOptions[] => {
    const ruleKeys = metricFeeds.flatMap(feed => feed.rules.flatMap(rule => rule.conditions.map(({ key }) => key)))
    const tagKeys = metricFeeds.flatMap(feed => feed.dimension.allocations?.map(({ attribute }) => attribute) ?? [])
    const attributesProcessors = [keepOnly(new Set([...customerKeys(usage), ...ruleKeys, ...tagKeys]))]
    return [
      ...ADDED_UP.map(type => ({
        ...common,
        instrumentName,
        instrumentType: type as InstrumentType,
        attributesProcessors,
      })),
      ...NOT_ADDED_UP.map(type => ({ ...common, instrumentName, instrumentType: type as InstrumentType })),
    ]
  })
  return kept.concat(controls)
}

/**
 * The limit that `customers` need between two exports, each with `seriesPerCustomer` attribute sets on an instrument
 * (2 for tokens told apart as input and output; times the models, where they are an attribute). For `billingViews`,
 * or the reader's `cardinalityLimits: { default: … }`. What goes beyond loses its customer. Never below the SDK's 2000.
 */
export function cardinalityLimit(customers: number, seriesPerCustomer = 1): number {
  for (const [name, value] of Object.entries({ customers, seriesPerCustomer })) {
    if (!Number.isInteger(value) || value < 1) {
      throw configurationError([`${name}: expected an integer above 0, got ${show(value)}`])
    }
  }
  // One place is the overflow's own.
  return Math.max(DEFAULT_CARDINALITY_LIMIT, customers * seriesPerCustomer + 1)
}

/**
 * An exporter's `selectAggregation` that drops every instrument without a view, for this reader only. To be used with
 * `billingViews`: without them nothing would be left. (A view of `*` that drops would not do: an instrument that two
 * views match is dropped by both or counted twice, as their order has it.)
 */
export function dropUnnamed(): AggregationOption {
  return { type: DROP } as AggregationOption
}

const NONE = { process: (): Attributes => ({}) }

const COPY = { process: (attributes: Attributes): Attributes => ({ ...attributes }) }

const keepOnly = (keys: ReadonlySet<string>) => ({
  process: (attributes: Attributes): Attributes =>
    Object.fromEntries(Object.entries(attributes).filter(([key]) => keys.has(key))),
})
