import type { Attributes } from '@opentelemetry/api'
import type { CompiledRule, Rules } from './rules.ts'

/** Where a rule's usage comes from: one of its metrics, under each of the names that it arrives by. */
export interface Source {
  readonly dimension: string
  /** A preset's name, or the option's path. */
  readonly rule: string
  readonly metrics: readonly string[]
  /** What may come in its place: of a rule that names several metrics, any of them will do. */
  readonly group: string
  readonly family: Family
  /** How many points of it the rule took. */
  points: number
}

/** Metrics whose names begin with the same word are taken for one sender's. */
export interface Family {
  /** How many metrics of it came, named in a rule or not. */
  heard: number
}

/** A metric that a rule names. */
export interface NamedMetric {
  readonly name: string
  readonly family: Family
  readonly rules: readonly CompiledRule[]
  /** How many of its points a rule took, and how many none did. */
  taken: number
  unmatched: number
  /** What the latter say of attributes that rules ask for, since a point was taken last: a few values by key. */
  readonly differing: Map<string, Set<string | undefined>>
}

/** How many names of metrics are kept that no rule has, of families that rules name, and of others. */
const MOST_NAMES = 200
/** OpenTelemetry's limit for the name of an instrument, in characters. */
const LONGEST_NAME = 255
/** How many values of an attribute are kept, and how much of each, in characters. */
const MOST_VALUES = 5
const LONGEST_VALUE = 60

/** What has come, by the rules that take it, and what none does. It only counts: when something came, others know. */
export class Arrivals {
  readonly sources: readonly Source[]
  readonly metrics: ReadonlyMap<string, NamedMetric>
  /** Whether the dimensions are those that nobody configured. */
  readonly byDefault: boolean
  readonly #byRule = new Map<CompiledRule, Map<string, Source>>()
  readonly #families = new Map<string, Family>()
  readonly #strangers: Family = { heard: 0 }
  readonly #kin = new Map<string, Family>()
  readonly #others = new Map<string, Family>()

  constructor({ feeds, dimensions }: Rules, byDefault: boolean) {
    this.byDefault = byDefault
    const sources = new Map<string, Source & { metrics: string[] }>()
    const metrics = new Map<string, NamedMetric>()
    for (const [name, list] of feeds) {
      const word = familyOf(name)
      const family = this.#families.get(word) ?? { heard: 0 }
      this.#families.set(word, family)
      const rules = list.flatMap(feed => feed.rules)
      metrics.set(name, { name, family, rules, taken: 0, unmatched: 0, differing: new Map() })
      for (const { dimension, rules } of list) {
        for (const rule of rules) {
          const own = dimension.dimension.name
          const key = JSON.stringify([own, rule.label, stemOf(name)])
          const source = sources.get(key) ?? {
            ...{ dimension: own, rule: rule.label.replaceAll("'", ''), metrics: [], family, points: 0 },
            // What a preset names under several names is each there; what an option lists may be one or the other.
            group: rule.preset ? key : JSON.stringify([own, rule.label]),
          }
          if (!source.metrics.includes(name)) source.metrics.push(name)
          sources.set(key, source)
          this.#byRule.set(rule, (this.#byRule.get(rule) ?? new Map<string, Source>()).set(name, source))
        }
      }
    }
    const place = (source: Source) => dimensions.findIndex(({ name }) => name === source.dimension)
    this.sources = [...sources.values()].sort((a, b) => place(a) - place(b))
    this.metrics = metrics
  }

  source(rule: CompiledRule, metric: string): Source {
    return this.#byRule.get(rule)?.get(metric) as Source
  }

  /** A metric has come that no rule names. */
  unnamed(metric: string): void {
    let family = this.#kin.get(metric) ?? this.#others.get(metric)
    if (family === undefined) {
      const own = metric.length > LONGEST_NAME ? undefined : this.#families.get(familyOf(metric))
      family = own ?? this.#strangers
      const names = own === undefined ? this.#others : this.#kin
      if (names.size < MOST_NAMES && metric.length <= LONGEST_NAME) names.set(metric, family)
    }
    family.heard += 1
  }

  /** Names of metrics that came and that no rule has: first those that begin as the names in rules do. */
  get unnamedMetrics(): string[] {
    return [...this.#kin.keys(), ...this.#others.keys()]
  }

  /** How many metrics have come, named in a rule or not. */
  get heard(): number {
    return [...this.#families.values()].reduce((sum, { heard }) => sum + heard, this.#strangers.heard)
  }
}

/** A point has come, and a rule takes it or none does. */
export function countPoint(metric: NamedMetric, attributes: Attributes, taken: boolean): void {
  if (taken) {
    metric.taken += 1
    return
  }
  metric.unmatched += 1
  for (const { conditions } of metric.rules) {
    for (const { key, accepts } of conditions) {
      const value = attributes[key] ?? undefined
      if (accepts.has(value)) continue
      let values = metric.differing.get(key)
      if (values === undefined) {
        values = new Set()
        metric.differing.set(key, values)
      }
      if (values.size < MOST_VALUES) values.add(textOf(value))
    }
  }
}

function textOf(value: unknown): string | undefined {
  if (value === undefined) return undefined
  return typeof value === 'object' ? 'a list or an object' : JSON.stringify(String(value).slice(0, LONGEST_VALUE))
}

/** The first word of a name, without what a proxy puts before it. */
const familyOf = (metric: string): string => /^(?:ray_|kong_)?([^._:/-]*)/.exec(metric)?.[1]?.toLowerCase() ?? ''

/** What the names have in common by which one metric arrives: presets.ts says which those are. */
const stemOf = (metric: string): string =>
  metric
    .replace(/[.:]/g, '_')
    .replace(/^(ray|kong)_/, '')
    .replace(/(?<!_total|_seconds|_tokens?)(_total|_seconds|_tokens?)+$/, '')
