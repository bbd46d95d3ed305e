import { HOUR, hourOf, windowClosesAt } from '../ledger/hours.ts'
import type { TrailEvent } from './event.ts'

/** What of a region's time events were read of, of whatever service. */
export interface RegionCoverage {
  readonly region: string
  /** The first and the last event, in milliseconds since the epoch. */
  readonly from: number
  readonly to: number
  /** Calls of `BatchMeterUsage`. */
  readonly calls: number
  /** Those of them whose records or answers CloudTrail has left out. */
  readonly leftOut: number
  /** Times between them, in whole hours, of which there is no event at all. */
  readonly gaps: readonly { readonly from: number; readonly to: number }[]
}

interface Region {
  readonly hours: Set<number>
  readonly leftOut: Set<number>
  from: number
  to: number
  calls: number
  callsLeftOut: number
}

/**
 * Which regions and times events were read of. CloudTrail is best effort: an hour with events may miss some. One without
 * any, or at the edge of what was read, is not covered.
 */
export class Coverage {
  readonly #regions = new Map<string, Region>()
  /** Whether something could not be read: then it is not known what is missing. */
  broken = false

  add({ region: name, time, call }: TrailEvent): void {
    const region = this.#regions.get(name) ?? {
      ...{ hours: new Set<number>(), leftOut: new Set<number>(), from: time, to: time, calls: 0, callsLeftOut: 0 },
    }
    this.#regions.set(name, region)
    region.hours.add(hourOf(time))
    region.from = Math.min(region.from, time)
    region.to = Math.max(region.to, time)
    if (call === undefined) return
    region.calls++
    if (!call.leftOut) return
    region.callsLeftOut++
    region.leftOut.add(hourOf(time))
  }

  /** The first and the last event of all regions. */
  get span(): { readonly from: number; readonly to: number } | undefined {
    const regions = [...this.#regions.values()]
    if (regions.length === 0) return undefined
    return { from: Math.min(...regions.map(({ from }) => from)), to: Math.max(...regions.map(({ to }) => to)) }
  }

  /** Whether there are events of all the time in which AWS could have taken usage of an hour, none of them left out. */
  isComplete(name: string, hour: number): boolean {
    const region = this.#regions.get(name)
    if (this.broken || region === undefined) return false
    const end = windowClosesAt(hour) + HOUR
    if (hourOf(region.from) >= hour || hourOf(region.to) <= end) return false
    for (let at = hour; at <= end; at += HOUR) {
      if (!region.hours.has(at) || region.leftOut.has(at)) return false
    }
    return true
  }

  regions(): RegionCoverage[] {
    const regions = [...this.#regions].sort(([one], [other]) => (one < other ? -1 : 1))
    return regions.map(([region, { hours, from, to, calls, callsLeftOut }]) => ({
      ...{ region, from, to, calls, leftOut: callsLeftOut, gaps: gapsIn([...hours].sort((a, b) => a - b)) },
    }))
  }
}

function gapsIn(hours: readonly number[]): { from: number; to: number }[] {
  return hours.flatMap((hour, index) => {
    const before = hours[index - 1] ?? hour
    return hour > before + HOUR ? [{ from: before + HOUR, to: hour }] : []
  })
}
