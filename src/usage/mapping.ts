import type { Attributes } from '@opentelemetry/api'
import { show } from '../check.ts'
import type { Account, CustomerAccount, UnnamedReason } from './account.ts'
import { type AmountProblem, MAX_AMOUNT, toAmount } from './amount.ts'
import { type Arrivals, countPoint, type NamedMetric, type Source } from './arrivals.ts'
import type { CustomerReader, Tally, TrackedAccount } from './customer.ts'
import type { Dimension } from './dimension.ts'
import { type CompiledRule, type Feed, holds, type MeteredDimension, type Rules, type TagSource } from './rules.ts'
import { isTaggable, MOST_TAG_SETS, type TagSet, type TagSets, tagsOf } from './tag-sets.ts'
import { parseLevelUnit, parseUnit, type Unit } from './units.ts'

/** Why a data point cannot be billed, whoever the customer is. */
export type UnbillableReason =
  | AmountProblem
  | 'cumulative'
  | 'not-a-counter'
  | 'not-a-gauge'
  | 'unit'
  | 'no-sum'
  | 'no-count'
  | 'too-small'
  // Of the SDK's views:
  | 'views'
  | 'kept-by-view'
  // Of its readers:
  | 'second-reader'
  | 'second-exporter'
  // Of observable counters:
  | 'baseline'
  | 'observable'
  // Of metrics that came as OTLP:
  | 'no-time'
  | 'no-temporality'
  | 'deltas-of-total'
  // Of senders:
  | 'not-permitted'
  | 'too-many-series'
  // Of ledgers:
  | 'no-room'

/** Why a data point that is counted may not be what its producer means. */
export type DoubtfulReason =
  | 'start-after-time'
  | 'start-changes'
  | 'several-views'
  | 'second-reader'
  | 'control-too-late'
  // Of tags:
  | 'tag-value'
  | 'too-many-tag-sets'
  | 'tags-lost'

/** How a metric's values follow each other: each by itself, as a running total, or as a level. */
export type PointKind = 'delta' | 'cumulative' | 'gauge'

/** The figures of one collection. */
export interface MapReport {
  /** Data points read. */
  points: number
  /** Data points that no rule asks for. */
  ignored: number
  /** Data points of which the resolver says that somebody else bills them, or nobody. */
  notOurs: number
  /** Data points of which something cannot be billed, each once. */
  rejected: number
  /** What cannot be billed, by reason and metric. A point that feeds two dimensions counts for each. */
  readonly unbillable: Unbillable[]
  /** What was taken and is to be looked at, by reason and metric. */
  readonly doubtful: Doubtful[]
  /** What was added up without a customer, by reason. */
  readonly unattributed: Unattributed[]
  /** Customers for whom two sources feed one dimension, each pair reported the first time it is seen. */
  readonly twoSources: TwoSources[]
}

export interface Unbillable {
  readonly reason: UnbillableReason
  readonly metric: string
  points: number
  /** What it is and what to do about it, in a sentence. */
  readonly message: string
}

export interface Doubtful {
  /** Or that there are nearly as many series as the SDK keeps apart. */
  readonly reason: DoubtfulReason | 'crowded'
  readonly metric: string
  points: number
  readonly message: string
}

export interface Unattributed {
  readonly reason: UnnamedReason
  points: number
  readonly message: string
}

export interface TwoSources {
  readonly account: CustomerAccount
  readonly dimension: Dimension
  /** The one seen first, and the other. */
  readonly sources: readonly [string, string]
  readonly message: string
}

interface ReadyFeed {
  readonly dimension: MeteredDimension
  readonly rules: readonly ReadyRule[]
}

interface ReadyRule {
  readonly rule: CompiledRule
  /** The unit of the values, if it converts to the dimension's. */
  readonly unit: Unit | undefined
  /** What is beyond it cannot be real. */
  readonly largest: bigint
  readonly source: number
  readonly arrived: Source
  /** Why it counts nothing. */
  readonly problem: UnbillableReason | undefined
}

/**
 * Takes an amount, or says why not.
 *
 * @param rule which of the point's values it is, and how it counts
 * @param tally the same for the same account and dimension
 */
export type Add = (
  account: Account,
  dimension: Dimension,
  amount: bigint,
  rule: CompiledRule,
  tally: Tally,
) => UnbillableReason | undefined

/** How many sources are told from each other, and how much of a scope's name tells them. */
const MOST_SOURCES = 100
const LONGEST_SCOPE = 200

/** What feeds dimensions: a rule's source in a scope, each known by its place from 1 on. */
export class Sources {
  readonly #places = new Map<string, number>()
  readonly #names: string[] = []
  /** Those beside the first that were told of, by what they feed: mostly there are none. */
  readonly #told = new WeakMap<Tally, Set<number>>()

  place(source: string, scope: string): number {
    const own = `${source} (scope ${scope.slice(0, LONGEST_SCOPE)})`
    const known = this.#places.get(own)
    if (known !== undefined) return known
    // Whoever names a new scope in each request is not to fill the memory: such ones count as one.
    const name = this.#names.length < MOST_SOURCES ? own : `${source} (one of too many scopes)`
    const place = this.#places.get(name) ?? this.#names.push(name)
    this.#places.set(name, place)
    return place
  }

  name(place: number): string {
    return this.#names[place - 1] as string
  }

  /** Whether it was not told of yet that this one feeds the same as another. From now on it was. */
  isNews(tally: Tally, place: number): boolean {
    const told = this.#told.get(tally) ?? new Set()
    if (told.has(place)) return false
    this.#told.set(tally, told.add(place))
    return true
  }
}

const NONE = () => undefined

/** One pass over measured points: `metric` begins a metric, `point` reads one of its points. */
export class Mapping {
  readonly report: MapReport = {
    ...{
      points: 0,
      ignored: 0,
      notOurs: 0,
      rejected: 0,
      unbillable: [],
      doubtful: [],
      unattributed: [],
      twoSources: [],
    },
  }
  readonly #rules: Rules
  readonly #arrivals: Arrivals
  readonly #customers: CustomerReader
  readonly #sources: Sources
  readonly #tagSets: TagSets
  readonly #resource: Attributes
  readonly #add: Add
  readonly #totals: boolean
  #name = ''
  #named: NamedMetric | undefined
  #unit = ''
  #problem: UnbillableReason | undefined
  #kind: PointKind = 'delta'
  #feeds: readonly ReadyFeed[] = []

  /** @param totals whether they are running totals, which may begin with 0 and go beyond what a single amount can be */
  constructor(
    rules: Rules,
    arrivals: Arrivals,
    customers: CustomerReader,
    sources: Sources,
    tagSets: TagSets,
    resource: Attributes,
    add: Add,
    totals: boolean,
  ) {
    this.#rules = rules
    this.#arrivals = arrivals
    this.#customers = customers
    this.#sources = sources
    this.#tagSets = tagSets
    this.#resource = resource
    this.#add = add
    this.#totals = totals
  }

  /**
   * Begins a metric. False if no rule names it: its points are for `ignore`. A `problem` says why none of its points
   * can be billed; they are to be read all the same, so that those a rule asks for are reported.
   *
   * @param problemOf the same of a rule
   */
  metric(
    scope: string,
    name: string,
    unit: string,
    problem: UnbillableReason | undefined,
    kind: PointKind = 'delta',
    problemOf: (rule: CompiledRule, dimension: Dimension) => UnbillableReason | undefined = NONE,
  ): boolean {
    const feeds = this.#rules.feeds.get(name)
    if (feeds === undefined) {
      this.#arrivals.unnamed(name)
      return false
    }
    this.#named = this.#arrivals.metrics.get(name) as NamedMetric
    this.#named.family.heard += 1
    this.#name = name
    this.#unit = unit
    this.#problem = problem
    this.#kind = kind
    this.#feeds = feeds.map(feed => this.#ready(feed, scope, name, unit, problemOf))
    return true
  }

  /** Counts points that no rule asks for. */
  ignore(points: number): void {
    this.report.points += points
    this.report.ignored += points
  }

  /**
   * Reads a point: a sum's value, or a histogram's sum and count. A `problem` says why it cannot be billed. Returns
   * whether anything was added of it.
   *
   * @param first whether it is the first that is seen of a series that others may have counted before
   */
  point(
    attributes: Attributes,
    sum: number | bigint | undefined,
    count: number | bigint | undefined,
    problem: UnbillableReason | undefined = this.#problem,
    first = false,
  ): boolean {
    this.report.points += 1
    const overflow = isOverflow(attributes)
    let known: TrackedAccount | null | undefined
    let asked = false
    let rejected = false
    for (const { dimension, rules } of this.#feeds) {
      const ready = ruleOf(rules, attributes, overflow)
      if (ready === undefined) continue
      asked = true
      ready.arrived.points += 1
      const amount = problem ?? ready.problem ?? amountOf(ready, this.#kind, sum, count)
      if (typeof amount === 'string') {
        rejected = true
        this.#unbillable(amount, dimension.dimension)
        continue
      }
      // Of a total, the next point brings what is too small now.
      if (amount === 0n && this.#kind !== 'cumulative' && Number(ready.rule.value === 'count' ? count : sum) !== 0) {
        rejected = true
        this.#unbillable('too-small', dimension.dimension)
        // Such a level still ends the one before.
        if (this.#kind === 'delta') continue
      }
      if (amount === 0n && !this.#totals) continue
      if (first && ready.rule.baseline !== false) {
        rejected = true
        this.#unbillable(ready.rule.baseline ? 'baseline' : 'observable', dimension.dimension)
        continue
      }
      known ??= this.#customer(attributes, overflow)
      if (known === null) {
        this.report.notOurs += 1
        return false
      }
      const tally = tallyOf(known, dimension)
      if (!dimension.additive) this.#watchSources(known, tally, dimension, ready.source)
      const tagged = dimension.allocations && this.#tagged(known.account, tally, dimension.allocations, attributes)
      const refused =
        tagged === undefined
          ? this.#add(known.account, dimension.dimension, amount, ready.rule, tally)
          : this.#add(tagged.account, dimension.dimension, amount, ready.rule, tagged.tally)
      if (refused !== undefined) {
        rejected = true
        this.#unbillable(refused, dimension.dimension)
      }
    }
    if (!asked) this.report.ignored += 1
    countPoint(this.#named as NamedMetric, attributes, asked)
    if (rejected) this.report.rejected += 1
    if (known?.account.kind === 'unattributed') this.#unattributed(known.account.reason as UnnamedReason)
    return known !== undefined
  }

  /** Reads a point that says that a level has ended: where it is not asked for, there is nothing to tell. */
  end(attributes: Attributes): void {
    this.report.points += 1
    const overflow = isOverflow(attributes)
    let asked = false
    for (const { dimension, rules } of this.#feeds) {
      const ready = ruleOf(rules, attributes, overflow)
      if (ready === undefined || (this.#problem ?? amountOf(ready, this.#kind, 0, undefined)) !== 0n) continue
      asked = true
      const known = this.#customer(attributes, overflow)
      if (known === null) {
        this.report.notOurs += 1
        return
      }
      const tally = tallyOf(known, dimension)
      const tagged = dimension.allocations && this.#tagged(known.account, tally, dimension.allocations, attributes)
      const { account } = tagged ?? known
      this.#add(account, dimension.dimension, 0n, ready.rule, tagged?.tally ?? tally)
    }
    if (!asked) this.report.ignored += 1
  }

  /**
   * Tells what is odd about the metric that was begun, or about its point that was read last.
   *
   * @param attribute of the point that it is about
   */
  doubt(reason: DoubtfulReason, attribute = ''): void {
    const metric = this.#name
    let entry = this.report.doubtful.find(entry => entry.reason === reason && entry.metric === metric)
    if (entry === undefined) {
      entry = { reason, metric, points: 0, message: explainDoubt(reason, metric, attribute) }
      this.report.doubtful.push(entry)
    }
    entry.points += 1
  }

  /** Tells that usage of the metric was measured and has not come. */
  lose(reason: UnbillableReason): void {
    for (const { dimension } of this.#feeds) this.#unbillable(reason, dimension.dimension)
  }

  readonly #refuseTag = (attribute: string): void => this.doubt('tag-value', attribute)

  /** What of a customer's usage a point's is for; undefined where it has no tags, or none that AWS takes. */
  #tagged(account: Account, tally: Tally, sources: readonly TagSource[], attributes: Attributes): TagSet | undefined {
    if (!isTaggable(account)) return undefined
    if (isOverflow(attributes)) {
      this.doubt('tags-lost')
      return undefined
    }
    const tags = tagsOf(sources, attributes, this.#resource, this.#refuseTag)
    if (tags.length === 0) return undefined
    const found = this.#tagSets.find(account, tally, tags)
    if (found === undefined) this.doubt('too-many-tag-sets')
    return found
  }

  #customer(attributes: Attributes, overflow: boolean): TrackedAccount | null {
    return overflow && !this.#customers.constant
      ? this.#customers.unattributed('overflow', attributes)
      : this.#customers.read(attributes, this.#resource)
  }

  #ready(
    { dimension, rules }: Feed,
    scope: string,
    name: string,
    own: string,
    problemOf: (rule: CompiledRule, dimension: Dimension) => UnbillableReason | undefined,
  ): ReadyFeed {
    return {
      dimension,
      rules: rules.map(rule => {
        const unit = rule.unit ?? (rule.value === 'integral' ? parseLevelUnit(own) : parseUnit(own))
        return {
          rule,
          unit: unit?.base === dimension.dimension.baseUnit ? unit : undefined,
          arrived: this.#arrivals.source(rule, name),
          largest: this.#kind === 'gauge' ? largestLevel(rule) : MAX_AMOUNT,
          source: this.#sources.place(rule.source, scope),
          problem: problemOf(rule, dimension.dimension),
        }
      }),
    }
  }

  #watchSources(known: TrackedAccount, tally: Tally, { dimension }: MeteredDimension, source: number): void {
    const first = tally.source
    if (first === source || known.account.kind !== 'customer') return
    if (first === 0) {
      tally.source = source
      return
    }
    if (this.#sources.isNews(tally, source)) this.#twoSources(known.account, dimension, first, source)
  }

  #twoSources(account: CustomerAccount, dimension: Dimension, first: number, second: number): void {
    const pair = [this.#sources.name(first), this.#sources.name(second)] as const
    this.report.twoSources.push({
      account,
      dimension,
      sources: pair,
      message:
        `Two sources feed ${dimension.name} of the same customer: ${pair.join(' and ')}. Both are billed. If they count ` +
        'the same usage, remove one; if they add up, set additive: true.',
    })
  }

  #unbillable(reason: UnbillableReason, dimension: Dimension): void {
    const metric = this.#name
    let entry = this.report.unbillable.find(entry => entry.reason === reason && entry.metric === metric)
    if (entry === undefined) {
      entry = { reason, metric, points: 0, message: explain(reason, metric, this.#unit, dimension) }
      this.report.unbillable.push(entry)
    }
    entry.points += 1
  }

  #unattributed(reason: UnnamedReason): void {
    let entry = this.report.unattributed.find(entry => entry.reason === reason)
    if (entry === undefined) {
      entry = { reason, points: 0, message: explainUnattributed(reason, this.#customers.resolverError) }
      this.report.unattributed.push(entry)
    }
    entry.points += 1
  }
}

function tallyOf({ tallies }: TrackedAccount, { index }: MeteredDimension): Tally {
  let tally = tallies[index]
  if (tally === undefined) {
    tally = { source: 0, waiting: undefined }
    tallies[index] = tally
  }
  return tally
}

/** What overflowed has lost the attributes that rules ask for. It is kept for a person to look at. */
function ruleOf(rules: readonly ReadyRule[], attributes: Attributes, overflow: boolean): ReadyRule | undefined {
  return overflow ? rules[0] : firstThatHolds(rules, attributes)
}

/** A level adds no more, for as long as it may hold, than a delta by itself. */
function largestLevel({ maxGap }: CompiledRule): bigint {
  return (MAX_AMOUNT * 1000n) / BigInt(Math.ceil(maxGap))
}

function firstThatHolds(rules: readonly ReadyRule[], attributes: Attributes): ReadyRule | undefined {
  for (const ready of rules) if (holds(ready.rule, attributes)) return ready
  return undefined
}

function amountOf(
  { rule, unit, largest }: ReadyRule,
  kind: PointKind,
  sum: number | bigint | undefined,
  count: number | bigint | undefined,
) {
  const gauge = kind === 'gauge'
  if (gauge !== (rule.value === 'integral')) return gauge ? 'not-a-counter' : 'not-a-gauge'
  const value = rule.value === 'count' ? count : sum
  if (value === undefined) return rule.value === 'count' ? 'no-count' : 'no-sum'
  if (unit === undefined) return 'unit'
  return isOverrun(value) ? 'out-of-range' : toAmount(value, unit, largest)
}

const LARGEST_INTEGER = 2n ** 63n - 1n

/** The largest integer of 64 bits, with or without a sign, is what a counter shows that has run over, not a value. */
function isOverrun(value: number | bigint): boolean {
  return typeof value === 'bigint' ? value >= LARGEST_INTEGER : value === 2 ** 63 || value === 2 ** 64
}

/** The SDK's point for what went beyond the cardinality limit has this attribute and no other. */
function isOverflow(attributes: Attributes): boolean {
  return attributes['otel.metric.overflow'] === true && Object.keys(attributes).length === 1
}

function explain(reason: UnbillableReason, metric: string, unit: string, dimension: Dimension): string {
  switch (reason) {
    case 'cumulative':
      return `${metric} is cumulative: billed as it is, its whole history would be billed again and again. Have its producer send deltas.`
    case 'not-a-counter':
      return `${metric} is a gauge or an up-down counter, which cannot be billed. Have the rule of ${dimension.name} name a counter or a histogram.`
    case 'not-a-gauge':
      return `${metric} is not a gauge, and the rule of ${dimension.name} asks for value: 'integral'. Have it ask for value: 'sum'.`
    case 'unit':
      return `${metric} is in ${show(unit)}, which does not convert to ${dimension.name}'s ${dimension.unit}. Say the unit in the rule.`
    case 'no-sum':
      return `${metric} has a point without a sum, which ${dimension.name} asks for. Record it as a counter, or have the rule ask for value: 'count'.`
    case 'no-time':
      return `${metric} has a point without a time, or of one that no clock shows, so that it cannot be told from others. Look at its producer's clock.`
    case 'no-temporality':
      return `${metric} does not say whether it is cumulative or a delta. Look at its producer.`
    case 'deltas-of-total':
      return `${metric} comes as deltas, and its rule says baseline: true: of a total that was there before its process, the first delta has all of it, and which that is cannot be told. Have it exported with cumulative temporality.`
    case 'not-permitted':
      return `${metric} has usage of customers or of ${dimension.name} that its sender may not bill. Look at what its token permits, in listen.tokens: who has it, and is it theirs?`
    case 'too-many-series':
      return `${metric} has more than twice as many series in a day as its sender may have. Find what makes them, or raise the limit of its token, in listen.tokens.`
    case 'no-room':
      return `${metric} has a point that the ledger has no room for. Look at where it is recorded.`
    case 'views':
      return `${metric} matches billingViews' view and others of the MeterProvider, and which of its values were recorded more than once cannot be told. Take the other views (of ${metric} or *) out.`
    case 'baseline':
      return `${metric} is observed, and its rule says baseline: true: the first value of each series in this process is what was there before.`
    case 'observable':
      return `${metric} is observed, and its rule does not say what the first value of each series in a process is: what was there before, such as a device's or a database's total (baseline: true), or this process's usage (baseline: false). Until it does, that value is left out. Say it in the rule of ${dimension.name}; in the place of a preset write a rule.`
    case 'kept-by-view':
      return `${metric} was measured and did not arrive: beside billingViews' view another one of the MeterProvider drops it. Take the other views (of ${metric} or *) out.`
    case 'second-reader':
      return `${metric} comes from two readers that have this exporter, and each hands over all that was used: one of them is not billed. Make one reader with it.`
    case 'second-exporter':
      return `${metric} is billed by another exporter of this ledger, whose reader is on the same MeterProvider and has the same rule of ${dimension.name}: each is handed all that was used, and this one does not bill it again. Make one exporter.`
    case 'no-count':
      return `${metric} is not a histogram and has no count, which ${dimension.name} asks for. Have the rule ask for value: 'sum'.`
    case 'too-small':
      return `${metric} has a point that is less than half a millionth of ${dimension.name}'s base unit (${dimension.baseUnit}), which is the least that is kept. Record larger amounts, or in a larger unit.`
    case 'not-a-number':
      return `${metric} has a point that is not a finite number. Look for a NaN or Infinity where it is recorded.`
    case 'negative':
      return `${metric} has a point below zero, which cannot be billed. Look at where it is recorded.`
    case 'out-of-range':
      return `${metric} has a point above what is measured of ${dimension.baseUnit}, which cannot be real. Look at where it is recorded.`
  }
}

function explainDoubt(reason: DoubtfulReason, metric: string, attribute: string): string {
  switch (reason) {
    case 'start-after-time':
      return `${metric} has a point whose start is after its time. It is taken, but what counts from a start that has not come may never be billed. Look at its producer's clock.`
    case 'second-reader':
      return `${metric} comes from two readers that have this exporter, and each hands over all that was used: what was measured until now is in the ledger TWICE. Make one reader with it; from now on one of them is not billed.`
    case 'start-changes':
      return `${metric} is a total whose start changes from point to point, and its rule says baseline: true. If several processes read the same total, it is billed once for each: have one of them do it. If its producer says another start with each export, nothing of it is billed: have it say when the process began, or none.`
    case 'several-views':
      return `${metric} matches billingViews' view and another one of the MeterProvider, so that the SDK records each value several times. It is billed once here, but every other reader has it several times: take the other view (of ${metric} or *, or a second product's billingViews) out.`
    case 'control-too-late':
      return `${metric} matches billingViews' view and another one of the MeterProvider, and its reader has maxExportBatchSize: of this collection the parts before this one were BILLED SEVERAL TIMES, since only now it is known. Take the other view (of ${metric} or *, or a second product's billingViews) out, or maxExportBatchSize.`
    case 'tag-value':
      return `${metric} has points whose ${attribute} is no tag's value: 1 to 256 letters (a to z), digits, spaces and + - = . _ : / @. Their usage is billed without that tag. Record such a text, or name another attribute in the dimension's allocations.`
    case 'too-many-tag-sets':
      return `${metric} has usage of a customer for more than ${MOST_TAG_SETS.toLocaleString('en-US')} sets of tags in an hour, which is all that AWS takes. What is beyond is billed, in the part of the customer's bill that has no tags. Have the dimension's allocations name what has few values, such as a model or a team, and not what each call has.`
    case 'tags-lost':
      return `${metric} has usage beyond the SDK's cardinality limit, which has lost its tags. It is billed, in the part of the customer's bill that has no tags. Raise the limit: the reader's cardinalityLimits, or billingViews' cardinalityLimit (the function cardinalityLimit says how far).`
  }
}

/** What an operator is told of usage without a customer. */
export function explainUnattributed(reason: UnnamedReason, resolverError: unknown): string {
  switch (reason) {
    case 'no-customer':
      return "There is usage without a customer. It is kept, unattributed: record it with the customer's attributes, or set the option customer."
    case 'malformed-customer':
      return 'There is usage whose customer is incomplete, malformed or under both identities. It is kept, unattributed: account ids are strings of 12 digits, licences are ARNs, and with product alone a customer needs its licence, too (licenseArn), or set productCode beside it.'
    case 'licence-without-product':
      return 'There is usage of customers with a licence, and only productCode is configured. It is kept, unattributed, since it belongs to the licence: set the option product, your own label for the product, beside productCode.'
    case 'unknown-tenant':
      return 'There is usage of a tenant of whom the ledger knows no agreement. It is kept, unattributed: register the customer, or import its agreement with the name of the tenant. "marketplace-meter statement" shows which.'
    case 'overflow':
      return "There is usage beyond the SDK's cardinality limit: the SDK has added it up without its customers, and nothing here can tell any more whose it is. It is kept, unattributed, and NOT BILLED. So that no more is lost, raise the limit: the reader's cardinalityLimits, or billingViews' cardinalityLimit (the function cardinalityLimit says how far)."
    case 'resolver-failed':
      return `The option customer threw. The usage is kept, unattributed: ${resolverError instanceof Error ? resolverError.message : resolverError}`
  }
}
