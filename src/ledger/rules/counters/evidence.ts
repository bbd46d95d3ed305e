import { HOUR, MINUTE, SECOND } from '../../hours.ts'

/**
 * What is known of streams: a resource's metric, or a scraped target's. Not what its counters come to, but what tells of
 * each other: which collections they went on in, under which starts, and how far their clock is ahead.
 *
 * Evidence is gathered after the points of a transaction are counted, so that counting never depends on their order.
 */

/** How many collections of a stream are remembered. A new series is judged by the collection that it first came in. */
const MOST_COLLECTIONS = 256
const MOST_STARTS = 8
const MOST_MEMBERS = 3
/** A time that is further ahead of its receipt has not come, in microseconds. */
export const LARGEST_SKEW = 5 * MINUTE * 1000
/** After so many points in a row that are as far ahead, it is how this sender's clock is. */
const USUAL = 3
/** So many starts in a row that each have one point, and none a fall, are none: they move with each export. */
const MOVING = 3
/** So many collections of deltas in a row that came twice, and it is no retry of a sender's. */
const TWICE = 3

/** Where points come from. */
export interface Stream {
  /** 32 hexadecimal digits that stand for all that its counters share. */
  readonly key: string
  /** What is scraped, or else the stream itself: 12 hexadecimal digits. */
  readonly target: string
  /** The metric's name, by which the ledger knows since when it is metered. */
  readonly metric: string
  /** All that its counters share, as JSON: an object of attributes of the resource and of the scope. */
  readonly attributes: string
}

export interface StreamState {
  readonly attributes: string
  /** Whether the starts that it says are none. */
  readonly startless: boolean
  /** The last starts that counters began with, the youngest last. */
  readonly starts: readonly StreamStart[]
  /** The first collection that is known, and the times in which counters that were known went on, in microseconds. */
  readonly first: number
  readonly collections: readonly number[]
  /** How far its clock is ahead, in microseconds, and how many points in a row have said so. */
  readonly ahead: number
  readonly aheads: number
  /** The youngest time that anything was told of, in microseconds. */
  readonly last?: number | undefined
  /** The lowest height at which a counter of it that is followed by its values was forgotten. */
  readonly forgottenFrom?: string | undefined
  /** The last collections of deltas, the youngest last. */
  readonly deltas?: readonly DeltaCollection[] | undefined
  /** When it was last told that they come twice. */
  readonly toldTwice?: number | undefined
}

export interface DeltaCollection {
  readonly time: number
  /** Whether one of its deltas came again. */
  readonly again: boolean
}

export interface StreamStart {
  readonly start: number
  readonly first: number
  readonly last: number
  /** The first counters that it was said of, by the keys of their states: they go on for as long as it is a start. */
  readonly members: readonly string[]
  /** Two of the counters that went on under it from another start without a fall. */
  readonly wentOn: readonly string[]
  /** Whether a counter fell, as one does that has begun anew. */
  readonly fell: boolean
  /** Whether an application says it, and each time that it speaks for the first and second time. */
  readonly exported: boolean
  /** Whether counters that began with it were forgotten: what is new under it may be one of them. */
  readonly forgotten?: true | undefined
}

/** What one point tells of its stream. */
export interface Evidence {
  readonly stream: Stream
  readonly time: number
  /** Whether counters that were known go on at this time. */
  readonly continues?: boolean
  /** That the counter came with a start that is new to it, or for the second time. */
  readonly began?: Pick<StreamStart, 'start' | 'fell' | 'exported' | 'forgotten'> & {
    readonly series: string
    readonly wentOn: boolean
  }
  /** That the start is the point's time, which no exporter says of a counter that it has kept. */
  readonly startless?: boolean
  /** How far its time is ahead of its receipt, in microseconds, where that is more than clocks differ. */
  readonly ahead?: number
  /** A start in whole seconds that may be a Collector's own. */
  readonly sharedStart?: number
  /** That it is a delta: whether it came before, and whether it is told that all come twice. */
  readonly delta?: { readonly again: boolean; readonly toldTwice: boolean }
}

const UNKNOWN: Omit<StreamState, 'attributes'> = {
  ...{ startless: false, starts: [], first: 0, collections: [], ahead: 0, aheads: 0 },
}

/** What is known of a stream after all that points have told of it, in any order. */
export function learn(before: StreamState | undefined, told: readonly Evidence[]): StreamState {
  const { stream } = told[0] as Evidence
  let { startless, starts, first, collections, ahead, aheads, last = 0, deltas, toldTwice } = before ?? UNKNOWN
  const times = new Set<number>()
  for (const one of told) {
    first = first === 0 ? one.time : Math.min(first, one.time)
    last = Math.max(last, one.time)
    startless ||= one.startless === true
    if (one.continues) times.add(one.time)
    if (one.began !== undefined) starts = withStart(starts, one.time, one.began)
    if (one.delta !== undefined) {
      deltas = withDelta(deltas, one.time, one.delta.again)
      if (one.delta.toldTwice) toldTwice = one.time
    }
    if (one.ahead === undefined) continue
    const usual = Math.abs(one.ahead - ahead) <= LARGEST_SKEW
    aheads = usual ? aheads + 1 : 1
    // A point that comes late is ahead by less.
    ahead = usual ? Math.max(ahead, one.ahead) : one.ahead
  }
  if (times.size > 0) {
    for (const time of collections) times.add(time)
    collections = [...times].sort((a, b) => a - b).slice(-MOST_COLLECTIONS)
  }
  startless ||= starts.some(({ wentOn, fell }) => wentOn.length > 1 && !fell) || isMoving(starts)
  return {
    ...{ attributes: stream.attributes, startless, starts, first, collections, ahead, aheads, last },
    ...(before?.forgottenFrom !== undefined && { forgottenFrom: before.forgottenFrom }),
    ...(deltas && { deltas }),
    ...(toldTwice && { toldTwice }),
  }
}

function withDelta(deltas: readonly DeltaCollection[] = [], time: number, again: boolean): readonly DeltaCollection[] {
  const known = deltas.find(one => one.time === time)
  if (known !== undefined && (known.again || !again)) return deltas
  return [...deltas.filter(one => one !== known), { time, again }].sort((a, b) => a.time - b.time).slice(-TWICE - 1)
}

/** Whether all of the last collections of deltas before one came twice, and that is still to be told of it. */
export function comesTwice({ deltas = [], toldTwice }: StreamState, time: number): boolean {
  const last = deltas.filter(one => one.time < time).slice(-TWICE)
  const told = toldTwice !== undefined && time - toldTwice < HOUR * 1000
  return last.length === TWICE && last.every(({ again }) => again) && !told
}

function withStart(
  starts: readonly StreamStart[],
  time: number,
  { start, series, wentOn, fell, exported, forgotten }: NonNullable<Evidence['began']>,
): readonly StreamStart[] {
  const known = starts.find(one => one.start === start)
  const next: StreamStart = {
    start,
    first: Math.min(known?.first ?? time, time),
    last: Math.max(known?.last ?? time, time),
    members: withOne(known?.members, series, MOST_MEMBERS),
    wentOn: wentOn ? withOne(known?.wentOn, series, 2) : (known?.wentOn ?? []),
    fell: fell || (known?.fell ?? false),
    exported,
    ...((forgotten || known?.forgotten) && { forgotten: true }),
  }
  return [...starts.filter(one => one.start !== start), next].sort((a, b) => a.start - b.start).slice(-MOST_STARTS)
}

const withOne = (some: readonly string[] = [], one: string, most: number): readonly string[] =>
  some.length === most || some.includes(one) ? some : [...some, one]

/** Whether starts come with each export: one point each, as long before it as the others, one after the other. */
function isMoving(starts: readonly StreamStart[]): boolean {
  const last = starts.slice(-MOVING)
  if (last.length < MOVING) return false
  const lengths = last.map(({ start, first }) => first - start)
  const [least, most] = [Math.min(...lengths), Math.max(...lengths)]
  return (
    last.every(({ start, first, last: end, fell, exported }, index) => {
      return exported && first === end && (index === 0 || (!fell && start >= (last[index - 1] as StreamStart).last))
    }) && most - least <= least / 5 + SECOND * 1000
  )
}

/** Whether all that was counted at `time` began after a collection of this stream that is known. */
export function wentOnAt(stream: StreamState | undefined, time: number): boolean {
  return stream?.collections.includes(time) ?? false
}

/** Whether a sender's clock is always so far ahead, in microseconds. */
export function isUsual(stream: StreamState | undefined, ahead: number): boolean {
  return stream !== undefined && stream.aheads >= USUAL && Math.abs(ahead - stream.ahead) <= LARGEST_SKEW
}

/** A point's time as it is to be believed, in microseconds. */
export function timeOf(stream: StreamState | undefined, time: number, receivedAt: number): number {
  const here = receivedAt * 1000
  const ahead = time - here
  if (ahead <= LARGEST_SKEW) return time
  return isUsual(stream, ahead) && stream !== undefined ? time - stream.ahead : here
}

/** Whether two names can be one counter's: they differ by attributes that one has and the other has not. */
export function compatible(one: string, other: string): boolean {
  if (one === other) return true
  const [a, b] = [JSON.parse(one), JSON.parse(other)] as Record<string, unknown>[]
  return Object.entries(a as object).every(([key, value]) => {
    const there = (b as Record<string, unknown>)[key]
    return there === undefined || JSON.stringify(there) === JSON.stringify(value)
  })
}

/** Whether two names are surely two senders': each says its own service or instance. */
export function areTwo(one: string, other: string): boolean {
  const [a, b] = [JSON.parse(one), JSON.parse(other)] as Record<string, unknown>[]
  return OWN.some(key => a?.[key] !== undefined && b?.[key] !== undefined && a[key] !== b[key])
}

const OWN = ['resource service.name', 'resource service.instance.id']

/** The targets, at most two, that a start in whole seconds was said of. */
export interface SharedStart {
  readonly targets: readonly string[]
}

export function shareStart(before: SharedStart | undefined, target: string): SharedStart {
  const targets = before?.targets ?? []
  return targets.includes(target) || targets.length > 1 ? { targets } : { targets: [...targets, target] }
}
