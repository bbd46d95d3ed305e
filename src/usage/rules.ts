import type { Attributes, AttributeValue } from '@opentelemetry/api'
import { configurationError, show } from '../check.ts'
import { toAmount } from './amount.ts'
import type { Dimension } from './dimension.ts'
import { type AllocationTag, DEFAULT_DIMENSIONS, type DimensionOptions } from './options.ts'
import { familyOf, PRESETS, type PresetName, thingsOf } from './presets.ts'
import type { AttributeMatch, Rule } from './rule.ts'
import { COUNT, parseLevelUnit, parseUnit, type Unit } from './units.ts'

/** As long as Prometheus takes a series to be there. In milliseconds. */
const DEFAULT_MAX_GAP = 300_000

/** A rule made ready: which points of a metric count, and which of their values. */
export interface CompiledRule {
  /** Where it comes from, for messages: a preset's name, or the option's path. */
  readonly label: string
  /** Whether it is a preset's. */
  readonly preset: boolean
  /** What it counts is counted once by all rules of this name: a preset's family, or the option's path. */
  readonly source: string
  readonly metrics: ReadonlySet<string>
  readonly conditions: readonly Condition[]
  readonly value: NonNullable<Rule['value']>
  /** The unit of the values, where the rule says it. */
  readonly unit: Unit | undefined
  /** Of an integral, in milliseconds. */
  readonly maxGap: number
  /** Whether an observable counter's first value was there before; undefined where the rule does not say. */
  readonly baseline: boolean | undefined
}

interface Condition {
  readonly key: string
  /** `undefined` stands for an absent attribute. */
  readonly accepts: ReadonlySet<unknown>
}

/** How a metric feeds a dimension: at most one of the rules holds for a point. */
export interface Feed {
  readonly dimension: MeteredDimension
  readonly rules: readonly CompiledRule[]
}

export interface MeteredDimension {
  readonly dimension: Dimension
  readonly index: number
  readonly additive: boolean
  /** What its usage is allocated by, in the order of the tags' keys; undefined where that is not told apart. */
  readonly allocations: readonly TagSource[] | undefined
}

/** A tag, and the attribute that has its value. */
export interface TagSource {
  readonly tag: string
  readonly attribute: string
}

/** What contracts include of a dimension, made ready. */
export interface IncludedRule {
  readonly per: 'term' | 'month'
  readonly entitlement?: string
  readonly quantity?: number
  /** How much one entitled unit is, in millionths of the base unit. */
  readonly size: bigint
}

export interface Rules {
  readonly dimensions: readonly Dimension[]
  /** By dimension; null where it is said that contracts include nothing. */
  readonly included: ReadonlyMap<string, IncludedRule | null>
  /** By the metric's name: the dimensions it feeds. */
  readonly feeds: ReadonlyMap<string, readonly Feed[]>
}

/** An attribute, and not what every object inherits, such as `constructor`. */
export function attributeOf(attributes: Attributes, key: string): AttributeValue | undefined {
  const value: unknown = attributes[key]
  return typeof value === 'function' || value === Object.prototype ? undefined : (value as AttributeValue | undefined)
}

/** Whether a rule counts a point with these attributes. */
export function holds(rule: CompiledRule, attributes: Attributes): boolean {
  for (const { key, accepts } of rule.conditions) {
    if (!accepts.has(attributeOf(attributes, key) ?? undefined)) return false
  }
  return true
}

/** Makes the dimensions' rules ready. Throws a `ConfigurationError` that names everything that does not fit. */
export function compileRules(options: Readonly<Record<string, DimensionOptions>> = DEFAULT_DIMENSIONS): Rules {
  const problems: string[] = []
  const dimensions: Dimension[] = []
  const feeds = new Map<string, Feed[]>()
  const included = new Map<string, IncludedRule | null>()
  for (const [name, dimensionOptions] of Object.entries(options)) {
    const path = `dimensions.${name}`
    const unit = parseUnit(dimensionOptions.unit) as Unit
    const rules = compileDimension(path, dimensionOptions, unit, problems)
    const dimension: Dimension = {
      name,
      unit: dimensionOptions.unit,
      baseUnit: unit.base,
      size: sizeOf(`${path}.per`, dimensionOptions.per, dimensionOptions, unit, problems),
      ...(dimensionOptions.maxQuantity !== undefined && { maxQuantity: dimensionOptions.maxQuantity }),
      ...(dimensionOptions.alertQuantity !== undefined && { alertQuantity: dimensionOptions.alertQuantity }),
    }
    const metered = {
      ...{ dimension, index: dimensions.length, additive: dimensionOptions.additive ?? false },
      allocations: dimensionOptions.allocations && tagSources(dimensionOptions.allocations),
    }
    dimensions.push(dimension)
    const contract = compileIncluded(path, dimensionOptions, unit, problems)
    if (contract !== undefined) included.set(name, contract)
    for (const metric of new Set(rules.flatMap(rule => [...rule.metrics]))) {
      const feed = { dimension: metered, rules: rules.filter(rule => rule.metrics.has(metric)) }
      feeds.set(metric, [...(feeds.get(metric) ?? []), feed])
    }
  }
  refuseTwiceIncluded(included, problems)
  if (problems.length > 0) throw configurationError(problems)
  return { dimensions, feeds, included }
}

function compileIncluded(
  path: string,
  options: DimensionOptions,
  unit: Unit,
  problems: string[],
): IncludedRule | null | undefined {
  const { included } = options
  if (included === undefined) return undefined
  if (included === false) return null
  const { per, entitlement, quantity, unit: entitled = options.per } = included
  const size = sizeOf(`${path}.included.unit`, entitled, options, unit, included.unit === undefined ? [] : problems)
  return { per, size, ...(entitlement !== undefined && { entitlement }), ...(quantity !== undefined && { quantity }) }
}

/** Each of two dimensions would include all of an entitlement. */
function refuseTwiceIncluded(included: ReadonlyMap<string, IncludedRule | null>, problems: string[]): void {
  const first = new Map<string, string>()
  for (const [dimension, rule] of included) {
    if (rule?.entitlement === undefined) continue
    const other = first.get(rule.entitlement)
    if (other === undefined) first.set(rule.entitlement, dimension)
    else {
      problems.push(
        `dimensions.${dimension}.included.entitlement: expected one of its own, since each dimension would include all of ` +
          `it, got ${show(rule.entitlement)}, which dimensions.${other} has`,
      )
    }
  }
}

/** In the order of the tags' keys. */
function tagSources(options: readonly AllocationTag[]): TagSource[] {
  return options
    .map(one => (typeof one === 'string' ? { tag: one, attribute: one } : one))
    .sort((one, other) => (one.tag < other.tag ? -1 : 1))
}

function sizeOf(
  path: string,
  per = 1,
  { unit: symbol }: Pick<DimensionOptions, 'unit'>,
  unit: Unit,
  problems: string[],
): bigint {
  const size = toAmount(per, unit)
  // A size that was rounded is not what was asked for.
  if (
    typeof size === 'bigint' &&
    size > 0n &&
    (Number(size) * Number(unit.denominator)) / Number(unit.numerator) === per
  ) {
    return size
  }
  problems.push(
    `${path}: expected a size of whole millionths of ${unit.base}, at most 2^120, got ${show(per)} × ${symbol}`,
  )
  return 1n
}

function compileDimension(path: string, options: DimensionOptions, unit: Unit, problems: string[]): CompiledRule[] {
  const list = Array.isArray(options.from) ? (options.from as (PresetName | Rule)[]) : undefined
  const presets: PresetName[] = []
  const compiled = (list ?? [options.from as PresetName | Rule]).flatMap((item, index) => {
    const itemPath = list ? `${path}.from.${index}` : `${path}.from`
    const rules = typeof item === 'string' ? compilePreset(item) : [compileRule(item, itemPath, itemPath, false)]
    if (typeof item === 'string') presets.push(item)
    const counts = typeof item === 'string' && thingsOf(item)[0] === 'time' ? 's' : '1'
    for (const rule of rules) {
      const base =
        rule.value === 'count'
          ? '1'
          : rule.value === 'integral'
            ? 's'
            : (rule.unit?.base ?? (typeof item === 'string' ? counts : unit.base))
      if (base !== unit.base) {
        problems.push(
          `${itemPath}: expected something in a unit that converts to ${show(options.unit)}, ` +
            `got ${show(typeof item === 'string' ? item : item.value === 'count' ? "value: 'count'" : item.unit)}`,
        )
        break
      }
    }
    return rules
  })
  refuseOverlaps(path, compiled, problems)
  if (!options.additive) refuseTwins(path, presets, problems)
  return compiled
}

function compilePreset(name: PresetName): CompiledRule[] {
  return PRESETS[name].map(rule => compileRule(rule, `'${name}'`, familyOf(name), true))
}

function compileRule(rule: Rule, label: string, source: string, preset: boolean): CompiledRule {
  return {
    label,
    preset,
    source,
    metrics: new Set([rule.metric].flat() as string[]),
    conditions: Object.entries(rule.attributes ?? {}).map(([key, match]) => ({ key, accepts: acceptedValues(match) })),
    value: rule.value ?? 'sum',
    unit: unitOf(rule),
    maxGap: rule.maxGap ?? DEFAULT_MAX_GAP,
    baseline: rule.baseline,
  }
}

function unitOf({ value, unit }: Rule): Unit | undefined {
  if (value === 'count') return COUNT
  if (unit === undefined) return undefined
  return value === 'integral' ? parseLevelUnit(unit) : parseUnit(unit)
}

function acceptedValues(match: AttributeMatch): ReadonlySet<unknown> {
  return new Set(match === null ? [undefined] : [match].flat())
}

/** Two rules that a point could satisfy both would bill it twice, or leave it to chance which of them does. */
function refuseOverlaps(path: string, rules: readonly CompiledRule[], problems: string[]): void {
  for (const [index, one] of rules.entries()) {
    for (const other of rules.slice(index + 1)) {
      const shared = [...one.metrics].filter(metric => other.metrics.has(metric))
      if (shared.length === 0 || excludeEachOther(one, other)) continue
      problems.push(
        `${path}.from: expected rules of which at most one holds for a point, got ${one.label} and ${other.label}, ` +
          `which both take ${shared.join(', ')}`,
      )
    }
  }
}

function excludeEachOther(one: CompiledRule, other: CompiledRule): boolean {
  return one.conditions.some(({ key, accepts }) =>
    other.conditions.some(
      condition => condition.key === key && ![...accepts].some(value => condition.accepts.has(value)),
    ),
  )
}

/** A proxy and the server behind it count the same tokens, and so do two generations of conventions. */
function refuseTwins(path: string, presets: readonly PresetName[], problems: string[]): void {
  for (const [index, one] of presets.entries()) {
    for (const other of presets.slice(index + 1)) {
      if (familyOf(one) === familyOf(other)) continue
      if (!thingsOf(one).some(thing => thingsOf(other).includes(thing))) continue
      problems.push(
        `${path}.from: expected one source, or additive: true where several really add up, ` +
          `got '${one}' and '${other}', which count the same thing`,
      )
    }
  }
}
