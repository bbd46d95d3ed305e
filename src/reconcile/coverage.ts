import { HOUR, hourOf, windowClosesAt } from '../ledger/hours.ts'
import type { TrailEvent } from './event.ts'

/** What of a region's time events were read of, of whatever service. */
export interface RegionCoverage {
  readonly region: string
  /** The first and the last event, in milliseconds since the epoch; nothing where there is none. */
  readonly from?: number
  readonly to?: number
  /** Calls of `BatchMeterUsage`. */
  readonly calls: number
  /** Those of them whose records or answers CloudTrail has left out. */
  readonly leftOut: number
  /** Times between those of files, in whole hours, of which there is no event at all. */
  readonly gaps: readonly Span[]
  /** Of what time CloudTrail was asked for all calls, and has answered whole. */
  readonly searched: readonly Span[]
}

/** From one instant to another, in milliseconds since the epoch. */
export interface Span {
  readonly from: number
  readonly to: number
}

interface Region {
  /** Of which files have events. */
  readonly hours: Set<number>
  readonly leftOut: Set<number>
  /** In order, none of which touches another. */
  searched: Span[]
  from: number
  to: number
  calls: number
  callsLeftOut: number
}

/**
 * Which regions and times events were read of. CloudTrail is best effort: an hour with events may miss some.
 *
 * Files do not say what they are all of: what `lookup-events` printed is cut where somebody stopped it, and a trail's
 * folder has what was copied. So an hour of them without any event, or at the edge of what was read, is not covered. A
 * search that was read to the end of its pages is: it has all events of its time, and an hour without one had no call.
 */
export class Coverage {
  readonly #regions = new Map<string, Region>()
  /** Those in which nothing shows that the events are of the account that the ledger meters with. */
  readonly #doubted = new Set<string>()
  /** Whether something could not be read: then it is not known what is missing. */
  broken = false

  #region(name: string): Region {
    const region = this.#regions.get(name) ?? {
      ...{ hours: new Set<number>(), leftOut: new Set<number>(), searched: [], calls: 0, callsLeftOut: 0 },
      ...{ from: Number.POSITIVE_INFINITY, to: Number.NEGATIVE_INFINITY },
    }
    this.#regions.set(name, region)
    return region
  }

  /** @param asked for, where it is of a search: what that has covered it says at its end */
  add({ region: name, time, call }: TrailEvent, asked = false): void {
    const region = this.#region(name)
    if (!asked) region.hours.add(hourOf(time))
    region.from = Math.min(region.from, time)
    region.to = Math.max(region.to, time)
    if (call === undefined) return
    region.calls++
    if (!call.leftOut) return
    region.callsLeftOut++
    region.leftOut.add(hourOf(time))
  }

  /** CloudTrail has answered whole what it has of this time. */
  search(name: string, span: Span): void {
    const region = this.#region(name)
    region.searched = unionOf([...region.searched, span])
  }

  /** All that events were read of, or searched for, in all regions. */
  get span(): Span | undefined {
    const spans = [...this.#regions.values()].flatMap(({ from, to, searched }) => [
      ...(from <= to ? [{ from, to }] : []),
      ...searched,
    ])
    if (spans.length === 0) return undefined
    return { from: Math.min(...spans.map(({ from }) => from)), to: Math.max(...spans.map(({ to }) => to)) }
  }

  get regionNames(): string[] {
    return [...this.#regions.keys()].sort()
  }

  /** Nothing of a region is taken for covered. */
  doubt(name: string): void {
    this.#doubted.add(name)
  }

  /** Whether there are events of all the time in which AWS could have taken usage of an hour, or it was searched. */
  isCovered(name: string, hour: number): boolean {
    const region = this.#regions.get(name)
    if (this.broken || region === undefined || this.#doubted.has(name)) return false
    const end = callsEndAt(hour)
    if (region.searched.some(({ from, to }) => from <= hour && to >= end)) return true
    if (region.hours.size === 0 || hourOf(region.from) >= hour || hourOf(region.to) <= end) return false
    for (let at = hour; at <= end; at += HOUR) if (!region.hours.has(at)) return false
    return true
  }

  /** Whether that is so, and none of its events was left out. */
  isComplete(name: string, hour: number): boolean {
    if (!this.isCovered(name, hour)) return false
    const leftOut = this.#regions.get(name)?.leftOut ?? new Set()
    for (let at = hour; at <= callsEndAt(hour); at += HOUR) if (leftOut.has(at)) return false
    return true
  }

  /** The first hours without a break, from one on and before another, that are covered. */
  stretch(name: string, { from, to }: Span): Span | undefined {
    let start = hourOf(from)
    while (start < to && !this.isCovered(name, start)) start += HOUR
    let end = start
    while (end < to && this.isCovered(name, end)) end += HOUR
    return end > start ? { from: start, to: end } : undefined
  }

  regions(): RegionCoverage[] {
    return this.regionNames.map(name => {
      const { hours, from, to, calls, callsLeftOut, searched } = this.#regions.get(name) as Region
      const gaps = gapsIn([...hours].sort((a, b) => a - b))
      return { region: name, ...(from <= to && { from, to }), calls, leftOut: callsLeftOut, gaps, searched }
    })
  }
}

/** When AWS surely takes no more usage of an hour: an hour after its window, whatever clocks there are. */
export const callsEndAt = (hour: number): number => windowClosesAt(hour) + HOUR

/** The same time in as few spans as it takes, in order. */
export function unionOf(spans: readonly Span[]): Span[] {
  const union: Span[] = []
  for (const span of spans.toSorted((one, other) => one.from - other.from)) {
    const last = union.at(-1)
    if (last === undefined || span.from > last.to) union.push(span)
    else union[union.length - 1] = { from: last.from, to: Math.max(last.to, span.to) }
  }
  return union
}

function gapsIn(hours: readonly number[]): Span[] {
  return hours.flatMap((hour, index) => {
    const before = hours[index - 1] ?? hour
    return hour > before + HOUR ? [{ from: before + HOUR, to: hour }] : []
  })
}
