import { DAY, HOUR } from '../../hours.ts'
import type { StreamStart, StreamState } from './evidence.ts'
import { heardAt } from './heard.ts'
import type { CounterState } from './state.ts'

/**
 * Which counters are forgotten: those that nobody has heard of for longer than they are kept, so that a ledger has
 * those that speak and not all that ever spoke. What is forgotten and speaks again is not known from what is new. So
 * what is left behind is enough to tell where something may have been forgotten: there it is held.
 */

/**
 * How long a counter is kept that says when it began, or a gauge, in milliseconds: much longer than AWS takes usage and
 * than queues hold points, and longer than a month. A start that is older, and that nothing is known of, is held.
 */
export const COUNTERS_KEPT = 35 * DAY
/**
 * The same of a counter that is followed by its values: nothing tells whether one that is new in a target has begun or
 * comes back, but for its height, and customers stay away for months.
 */
export const VALUES_KEPT = 400 * DAY

/** How far two looks are apart that have to agree on how late it is, in milliseconds, whoever takes them. */
const APART = 12 * HOUR

/** How far a ledger has forgotten. */
export interface Forgetting {
  /** What was silent since before may be forgotten, in microseconds since the epoch. */
  readonly before: number
  /** How late it was when it last forgot, in milliseconds since the epoch. */
  readonly at: number
}

/**
 * How far it may forget now. Counters are silent as against what else the ledger has heard, and a clock that was ahead
 * at one time does not move it: this time and the last have to agree. Undefined where the last was but now.
 *
 * @param now in milliseconds since the epoch
 * @param youngest of what is in the ledger, in milliseconds since the epoch
 */
export function forgetNext({ before, at }: Forgetting, now: number, youngest: number): Forgetting | undefined {
  const here = Math.min(now, youngest)
  if (here >= at && here - at < APART) return undefined
  return { before: Math.max(before, (Math.min(here, at) - COUNTERS_KEPT) * 1000, 0), at: here }
}

/** The same for what is followed by its values. */
export const valuesForgotten = (before: number): number => Math.max(before - (VALUES_KEPT - COUNTERS_KEPT) * 1000, 0)

/** What goes: the keys of states, and what their streams have to say of it. */
export interface Forgotten {
  readonly keys: readonly string[]
  readonly streams: ReadonlyMap<string, StreamState>
}

/** Which of these states are forgotten. */
export function forgetSilent(
  states: Iterable<readonly [key: string, state: CounterState]>,
  stream: (key: string) => StreamState | undefined,
  before: number,
): Forgotten {
  const keys: string[] = []
  const streams = new Map<string, StreamState>()
  for (const [key, state] of states) {
    if (!isSilent(state, before)) continue
    keys.push(key)
    for (const name of namesOf(state)) {
      const known = streams.get(name) ?? stream(name)
      if (known !== undefined) streams.set(name, without(known, state))
    }
  }
  return { keys, streams }
}

export function isSilent(state: CounterState, before: number): boolean {
  return state.wakeAt === 0 && heardAt(state) < (state.kind === 'values' ? valuesForgotten(before) : before)
}

/** The streams that states which are forgotten speak of. */
export function namesOf(state: CounterState): readonly string[] {
  switch (state.kind) {
    case 'started':
      return state.counters.flatMap(({ names }) => names)
    case 'values':
      return [state.stream]
    case 'levels':
      return []
  }
}

/** A stream of which a counter is forgotten. However often it is said, it is the same. */
function without(stream: StreamState, state: CounterState): StreamState {
  if (state.kind === 'started') {
    const starts = stream.starts.map(one => (one.start === state.start ? { ...one, forgotten: true as const } : one))
    return { ...stream, starts }
  }
  if (state.kind !== 'values') return stream
  const height = state.knots.at(-1)?.value ?? 0n
  const known = stream.forgottenFrom
  return known !== undefined && BigInt(known) <= height ? stream : { ...stream, forgottenFrom: String(height) }
}

/**
 * What both say, where a stream was written meanwhile by whoever forgets beside this one.
 */
export function bothForgotten(one: StreamState, other: StreamState): StreamState {
  const starts = one.starts.map(start =>
    other.starts.some(there => there.start === start.start && there.forgotten)
      ? { ...start, forgotten: true as const }
      : start,
  )
  const heights = [one.forgottenFrom, other.forgottenFrom].flatMap(height =>
    height === undefined ? [] : [BigInt(height)],
  )
  const least = heights.reduce<bigint | undefined>(
    (least, height) => (least === undefined || height < least ? height : least),
    undefined,
  )
  return { ...one, starts, ...(least !== undefined && { forgottenFrom: String(least) }) }
}

/** Whether a stream was silent for as long as its counters are kept. It goes when none of its members is there either. */
export function isSilentStream(stream: StreamState, before: number): boolean {
  const { first, last = 0, collections, starts, deltas = [], startless } = stream
  const times = [first, last, collections.at(-1) ?? 0, deltas.at(-1)?.time ?? 0, ...starts.map(one => one.last)]
  // What is said of counters that are followed by their values is kept for as long as they are.
  const byValues = startless || collections.length > 0 || stream.forgottenFrom !== undefined
  return Math.max(...times) < (byValues ? valuesForgotten(before) : before)
}

export const membersOfStream = ({ starts }: StreamState): string[] => starts.flatMap(({ members }) => members)

/**
 * Whether a counter that nothing is known of, and that says when it began, may have been forgotten: it began before
 * what is silent is forgotten, and its stream does not know of its start, or has forgotten some of it.
 */
export function mayBeForgotten(starts: readonly StreamStart[] | undefined, start: number, before: number): boolean {
  if (start >= before) return false
  const known = starts?.find(one => one.start === start)
  return known === undefined || known.forgotten === true
}

/** The same of one that is followed by its values: one that was forgotten is no lower, unless it has begun anew. */
export function valuesMayBeForgotten(stream: StreamState | undefined, value: bigint): boolean {
  return stream?.forgottenFrom !== undefined && value >= BigInt(stream.forgottenFrom)
}
