import { nearest } from '../closest-word.ts'
import { DAY, HOUR } from '../ledger/hours.ts'
import { printable } from '../text/printable.ts'
import { distance } from '../text/time.ts'
import type { Arrivals, Family, NamedMetric, Source } from '../usage/arrivals.ts'
import { Pulse } from './pulse.ts'

/** How much of a metric's name is shown, and how many names, in characters and names. */
const LONGEST_NAME = 100
const MOST_NAMES = 5

/** Something that is wrong with what comes in. */
export interface SupplyAlarm {
  /** The same as long as it is about the same thing. */
  readonly key: string
  /** How often it is to be said, in milliseconds. */
  readonly every: number
  readonly title: string
  /** What is known, and what to do. */
  readonly detail: string
}

/** What a rule gets of a metric. */
export interface FeedFigures {
  readonly dimension: string
  /** A preset's name, or the option's path. */
  readonly rule: string
  /** The names that it arrives by. */
  readonly metrics: readonly string[]
  /** Data points that the rule took since the start. */
  readonly points: number
  /** When the last of them came, in milliseconds since the epoch. */
  readonly lastAt: number | undefined
}

interface Feed {
  readonly source: Source
  readonly pulse: Pulse
}

interface Metric {
  readonly metric: NamedMetric
  readonly taken: Pulse
  readonly unmatched: Pulse
}

/** When each rule was fed, and what is wrong where it is not: in memory of the process. */
export class Feeds {
  readonly #arrivals: Arrivals
  readonly #startedAt: number
  readonly #feeds: readonly Feed[]
  readonly #metrics: readonly Metric[]
  readonly #families = new Map<Family, Pulse>()
  readonly #heard = new Pulse()
  /** Names near those of a group, and of how many they were chosen. */
  readonly #near = new Map<string, { readonly of: number; readonly names: readonly string[] }>()

  constructor(arrivals: Arrivals, startedAt: number) {
    this.#arrivals = arrivals
    this.#startedAt = startedAt
    this.#feeds = arrivals.sources.map(source => ({ source, pulse: new Pulse() }))
    this.#metrics = [...arrivals.metrics.values()].map(metric => ({
      metric,
      taken: new Pulse(),
      unmatched: new Pulse(),
    }))
    for (const { family } of arrivals.sources) this.#families.set(family, new Pulse())
  }

  /** Notices what has come since it looked last. */
  look(now: number): void {
    if (!this.#heard.reach(now, this.#arrivals.heard)) return
    for (const [family, pulse] of this.#families) pulse.reach(now, family.heard)
    for (const { source, pulse } of this.#feeds) pulse.reach(now, source.points)
    for (const { metric, taken, unmatched } of this.#metrics) {
      unmatched.reach(now, metric.unmatched)
      if (taken.reach(now, metric.taken)) metric.differing.clear()
    }
  }

  figures(): FeedFigures[] {
    return this.#feeds.map(({ source: { dimension, rule, metrics, points }, pulse: { lastAt } }) => {
      return { dimension, rule, metrics, points, lastAt }
    })
  }

  /** Points of metrics that rules name and that none of them takes, by metric. */
  unmatched(): { readonly metric: string; readonly points: number }[] {
    return this.#metrics.flatMap(({ metric: { name, unmatched } }) =>
      unmatched > 0 ? [{ metric: name, points: unmatched }] : [],
    )
  }

  /** Names of metrics that came and that no rule has, some of them. */
  unnamed(): string[] {
    return this.#arrivals.unnamedMetrics.map(shown)
  }

  alarms(now: number): SupplyAlarm[] {
    if (this.#feeds.length === 0) return []
    const heardAt = this.#heard.lastAt ?? this.#startedAt
    if (now - heardAt >= this.#heard.longPatience) return [this.#nothing(now)]
    return [...this.#never(now), ...this.#silent(now), ...this.#unmatched(now)]
  }

  #nothing(now: number): SupplyAlarm {
    const { lastAt } = this.#heard
    return {
      key: 'nothing',
      every: DAY,
      title:
        lastAt === undefined
          ? `No metrics have come since the start, ${distance(this.#startedAt, now)}.`
          : `No metrics come any more: the last came ${distance(lastAt, now)}.`,
      detail:
        'What nobody sends is not billed. If somebody should, look at the senders: are they up, do they send to here, do ' +
        'they hand on these metrics?',
    }
  }

  #never(now: number): SupplyAlarm[] {
    const running = now - this.#startedAt
    const fed = this.#feeds.some(({ source }) => source.points > 0)
    if (running < HOUR || (fed && this.#arrivals.byDefault)) return []
    const groups = Object.values(Object.groupBy(this.#feeds, ({ source }) => source.group)) as Feed[][]
    return groups.flatMap(group => {
      const [{ source }] = group as [Feed]
      const metrics = group.flatMap(({ source }) => source.metrics)
      const came = (name: string) => (this.#arrivals.metrics.get(name)?.unmatched ?? 0) > 0
      if (group.some(({ source }) => source.points > 0) || metrics.some(came)) return []
      const near = this.#nearest(source.group, metrics)
      // While nothing else comes either, it may just be that nobody uses anything.
      if (running < DAY && !fed && source.family.heard === 0 && near.length === 0) return []
      const { dimension, rule } = source
      return {
        key: `never ${source.group}`,
        every: DAY,
        title: `Nothing has come for ${rule} of ${dimension} since the start.`,
        detail:
          `${dimension}: no point of ${listed(metrics)} has come since ${distance(this.#startedAt, now)}, so that what ` +
          `it counts is not billed.${nearText(near)} If the metric is misspelt or was renamed, mend the rule; if it is ` +
          'not sent, mend its sender; if it never will be, take it out of the rule.',
      }
    })
  }

  #silent(now: number): SupplyAlarm[] {
    return this.#feeds.flatMap(({ source, pulse }) => {
      const { dimension, rule, metrics, group, family } = source
      if (pulse.lastAt === undefined) return []
      const othersAt = this.#families.get(family)?.lastAt ?? pulse.lastAt
      const others = othersAt - pulse.lastAt >= pulse.patience
      if (!others && now - pulse.lastAt < pulse.longPatience) return []
      const last = distance(pulse.lastAt, now)
      const goesOn = others ? ` Metrics with like names still come, the last ${distance(othersAt, now)}.` : ''
      const unmatched = metrics.flatMap(name => differing(this.#arrivals.metrics.get(name) as NamedMetric))
      const attributes =
        unmatched.length > 0 ? ` It comes with attributes that no rule takes: ${unmatched.join(', ')}.` : ''
      return {
        key: `silent ${group} ${metrics[0]}`,
        every: DAY,
        title: `Nothing comes any more for ${rule} of ${dimension}: the last came ${last}.`,
        detail:
          `${dimension} was fed by ${listed(metrics)}, ${pulse.count.toLocaleString('en-US')} data points, the last ` +
          `${last}.${goesOn}${attributes}${nearText(this.#nearest(group, metrics))} If an upgrade has renamed it, mend the rule; ` +
          'if its sender is away, mend that; if it is gone for good, take it out of the rule.',
      }
    })
  }

  #unmatched(now: number): SupplyAlarm[] {
    return this.#metrics.flatMap(({ metric, taken, unmatched }) => {
      const { firstAt, lastAt = now } = unmatched
      if (firstAt === undefined) return []
      // Of what a rule took once it is told that it is silent.
      if (taken.count > 0 || now - firstAt < HOUR) return []
      const name = shown(metric.name)
      return {
        key: `unmatched ${name}`,
        every: now - lastAt < HOUR ? HOUR : DAY,
        title: `No rule takes what comes of ${name}.`,
        detail:
          `${metric.unmatched.toLocaleString('en-US')} data points of ${name} have come, the first ${distance(firstAt, now)}, ` +
          `and none has the attributes that a rule asks for: ${differing(metric).join(', ')}. They are not billed. If they ` +
          'should be, mend the attributes of the rule.',
      }
    })
  }

  #nearest(group: string, metrics: readonly string[]): readonly string[] {
    const names = this.#arrivals.unnamedMetrics
    const known = this.#near.get(group)
    if (known?.of === names.length) return known.names
    const near = new Set(metrics.flatMap(metric => nearest(metric, names, metric.length / 3)))
    const found = { of: names.length, names: [...near].slice(0, MOST_NAMES) }
    this.#near.set(group, found)
    return found.names
  }
}

const shown = (name: string) => printable(name, LONGEST_NAME)

function listed(names: readonly string[]): string {
  const more = names.length - MOST_NAMES
  return `${names.slice(0, MOST_NAMES).join(', ')}${more > 0 ? ` and ${more} more names` : ''}`
}

const nearText = (names: readonly string[]) =>
  names.length === 0 ? '' : ` The nearest names that came and that no rule has: ${names.map(shown).join(', ')}.`

/** `tier is "basic" (asked for: "premium")` */
function differing({ differing, rules }: NamedMetric): string[] {
  return [...differing].map(([key, values]) => {
    const asked = rules.flatMap(({ conditions }) => conditions.filter(condition => condition.key === key))
    const accepted = new Set(asked.flatMap(({ accepts }) => [...accepts]))
    const said = [...values].map(value => (value === undefined ? 'absent' : printable(value)))
    const wanted = [...accepted].map(value => (value === undefined ? 'absent' : JSON.stringify(value)))
    return `${printable(key, LONGEST_NAME)} is ${said.join(' or ')} (asked for: ${wanted.join(' or ')})`
  })
}
