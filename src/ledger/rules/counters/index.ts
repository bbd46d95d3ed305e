import { type Account, unattributedAccount } from '../../../usage/account.ts'
import { MAX_AMOUNT } from '../../../usage/amount.ts'
import { untaggedAccount } from '../../../usage/tagged-account.ts'
import { LedgerError } from '../../errors.ts'
import { HOUR, hourOf } from '../../hours.ts'
import type { NotCounted, Observation, UsageEntry } from '../../ledger.ts'
import type { NewEntry } from '../audit.ts'
import { OBSERVATION_KINDS } from '../observation-kinds.ts'
import { LAST_INSTANT } from '../validation.ts'
import {
  comesTwice,
  type Evidence,
  isUsual,
  LARGEST_SKEW,
  learn,
  type SharedStart,
  type Stream,
  type StreamState,
  shareStart,
  timeOf,
  wentOnAt,
} from './evidence.ts'
import { mayBeForgotten, valuesForgotten, valuesMayBeForgotten } from './forgetting.ts'
import { isLongBehind, lastOf, withHeard } from './heard.ts'
import { observeLevel, wakeLevels } from './levels.ts'
import type { Emission, HeldVerdict, Outcome, Reading, Rule, Surroundings } from './reading.ts'
import {
  CONVINCING,
  continueStarted,
  observeStarted,
  type StartedCounter,
  waitingOfStarted,
  wakeStarted,
} from './started.ts'
import { type CounterState, type LegacyState, legacyOf } from './state.ts'
import { type Adopted, observeValues, wakeValues } from './values.ts'

export type { Evidence, SharedStart, Stream, StreamState } from './evidence.ts'
export {
  bothForgotten,
  COUNTERS_KEPT,
  type Forgetting,
  forgetNext,
  forgetSilent,
  isSilent,
  isSilentStream,
  membersOfStream,
  namesOf,
  VALUES_KEPT,
} from './forgetting.ts'
export type { Rule } from './reading.ts'
export {
  type CounterState,
  type LegacyState,
  packState,
  packStream,
  plainOf,
  risenTo,
  sizeOfState,
  sizeOfStream,
  startedOf,
  unpackLegacy,
  unpackState,
  unpackStream,
} from './state.ts'

/**
 * What a point of a counter that somebody else keeps adds to usage, in one place for every engine. Points come at
 * least once, late and in any order, from several receivers, and not always from one writer; each unit they count is to
 * be counted once, nothing is to be counted that was not used, and what is neither is told.
 */

/**
 * For how long an engine remembers deltas, in milliseconds, counted back from the latest `receivedAt`. Then nobody can
 * tell whether one came before. What it has forgotten once stays forgotten, whatever becomes of a clock.
 */
export const DELTA_MEMORY = 26 * HOUR

const LARGEST_WORD = 2n ** 63n - 1n

/** What an engine remembers, for points to be counted. */
export interface CounterMemory {
  state(key: string): CounterState | undefined
  stream(key: string): StreamState | undefined
  /** The targets that a start in whole seconds was said of. */
  sharedStart(start: number): SharedStart | undefined
  /** What the first schema knew of a counter. */
  legacy(counter: string): LegacyState | undefined
  /** The value that the same delta (counter, start and time) was counted with. */
  delta(point: Observation): bigint | undefined
  /** Deltas of before, in microseconds since the epoch, were forgotten; but for those that came later than that. */
  readonly forgottenBefore: number
  /** Counters that were silent since before, in microseconds, may be forgotten; 0 where none are. */
  readonly silentBefore: number
  /** What was counted before, in microseconds, a ledger that was lost may have billed; 0 where none was. */
  readonly restored: number
  /** Told by which rule each point is taken, for who wants to know. */
  taken?(point: Observation, rule: Rule): void
  /** When the ledger began to meter a metric as a product's dimension, in milliseconds since the epoch. */
  since(product: string, dimension: string, metric: string): number
}

/** A counter's state, for the engine to keep under its key. */
export interface KeptState {
  readonly state: CounterState
  readonly dimension: string
  /** When what waits is to be decided, in milliseconds since the epoch, and how much that is; 0 when nothing waits. */
  readonly wakeAt: number
  readonly waiting: bigint
  /** Whether nothing but its only counter's mark and time is other than the engine has it: it has emitted its mark. */
  readonly risen: boolean
}

/** What a set of points comes to: for the engine to keep in one transaction. */
export interface ObservedSet {
  /** What they add, one for each series and hour. */
  readonly entries: readonly UsageEntry[]
  /** By their keys, the counters and gauges whose state changed. */
  readonly states: ReadonlyMap<string, KeptState>
  /** What is known of streams now, and of starts in whole seconds. */
  readonly streams: ReadonlyMap<string, StreamState>
  readonly sharedStarts: ReadonlyMap<number, SharedStart>
  /** Deltas to remember, those that came too late for good: they may come again, and are held once. */
  readonly deltas: readonly Observation[]
  readonly notes: readonly ObservationNote[]
}

/** For the audit trail: what was not simply counted of a series. */
export interface ObservationNote {
  readonly account: Account
  readonly dimension: string
  readonly verdict: NotCounted
  points: number
  /** What was not counted, or is held. */
  amount: bigint
}

/** The key of a counter's state. Those of one measurement begin with the same 19 digits, whoever counts it. */
export function stateKey(point: Observation, stream?: StreamState): string {
  const { series = point.counter } = point
  const start = startOf(point)
  if (point.kind !== 'cumulative' || start === 0 || stream?.startless) return valuesKey(series, streamOf(point))
  return startedKey(series, start)
}

const startedKey = (series: string, start: number) => series.slice(0, 19) + startDigits(start)
const startDigits = (start: number) => start.toString(16).padStart(13, '0')
const valuesKey = (series: string, { target }: Stream) => `${series.slice(0, 19)}f${target}`

/** All states that may be asked for when these points are counted, as far as is known of their streams. */
export function keysOf(points: readonly Observation[], stream: (key: string) => StreamState | undefined): Set<string> {
  const keys = new Set<string>()
  for (const point of points) {
    if (point.kind === 'delta') continue
    const known = stream(streamOf(point).key)
    keys.add(stateKey(point, known))
    if (point.kind !== 'cumulative') continue
    const { series = point.counter } = point
    // Its starts may be found to be none.
    keys.add(valuesKey(series, streamOf(point)))
    for (const { start, members } of known?.starts ?? []) {
      keys.add(startedKey(series, start))
      if (start === point.start) for (const member of members) keys.add(member)
    }
  }
  return keys
}

/** The streams that states name beside those of the points. */
export function streamsOf(states: Iterable<CounterState>): Set<string> {
  const keys = new Set<string>()
  for (const state of states) {
    if (state.kind === 'started') for (const { names } of state.counters) for (const name of names) keys.add(name)
    if (state.kind === 'values' && state.stream !== undefined) keys.add(state.stream)
  }
  return keys
}

/** The states that those which wait for others look at, as far as is known of their streams. */
export function membersOf(
  states: Iterable<CounterState>,
  stream: (key: string) => StreamState | undefined,
): Set<string> {
  const keys = new Set<string>()
  for (const state of states) {
    if (state.kind !== 'started') continue
    const names = state.counters.flatMap(({ waits, names }) => (waits === 'others' ? names : []))
    for (const { start, members } of names.flatMap(name => stream(name)?.starts ?? [])) {
      if (start === state.start) for (const member of members) keys.add(member)
    }
  }
  return keys
}

export function streamOf({ stream, counter }: Observation): Stream {
  return stream ?? { key: counter, target: counter.slice(0, 12), metric: '', attributes: '{}' }
}

/** A point as the first schema had it: such ones may have come after those that are in its states. */
export function withoutStream({ series: _, stream: __, ...point }: Observation): Observation {
  return point
}

/** A start that is the time of its point, or long after it, is none where it is a Collector's. */
function startOf({ start, time, kind }: Observation): number {
  return kind === 'scraped' && (start === time || start > time + LARGEST_SKEW) ? 0 : start
}

/** Takes points of any number of counters, in any order. The same points give the same, however they are divided. */
export function observeAll(points: readonly Observation[], memory: CounterMemory): ObservedSet {
  return new Counting(memory).observe(points)
}

/** Decides what has waited long enough, without what it has waited for. */
export function wakeAll(
  waiting: readonly (readonly [key: string, state: CounterState, dimension: string])[],
  memory: CounterMemory,
  now: number,
): ObservedSet {
  return new Counting(memory).wake(waiting, now)
}

class Counting {
  readonly #memory: CounterMemory
  readonly #usage = new UsageSum()
  readonly #states = new Map<string, KeptState>()
  readonly #deltas = new Map<string, Observation>()
  readonly #notes = new Map<string, ObservationNote>()
  /** What points have told of streams that are not learnt yet, and what is learnt. */
  readonly #evidence = new Map<string, Evidence[]>()
  readonly #streams = new Map<string, StreamState>()
  /** The collection of each stream that is being counted. */
  readonly #told = new Map<string, number>()
  /** The last stream that was found to be usual, until a point tells of any. */
  #usual: Stream | undefined
  readonly #sharedStarts = new Map<number, SharedStart>()
  #suffix = { start: -1, digits: '' }
  #lastSince = { product: '', dimension: '', metric: '', since: 0 }
  /** Most deltas are of the collection of the one before. */
  #lastDelta: { stream?: Stream; time: number; again: boolean; twice: boolean } = {
    time: 0,
    again: false,
    twice: false,
  }
  /** Of streams that are not known yet. */
  readonly #attributes = new Map<string, string>()

  constructor(memory: CounterMemory) {
    this.#memory = memory
  }

  observe(points: readonly Observation[]): ObservedSet {
    for (const point of inOrder(points)) {
      const rule = point.kind === 'delta' ? this.#delta(point) : (this.#continue(point) ?? this.#counter(point))
      this.#memory.taken?.(point, rule)
    }
    return this.#result()
  }

  wake(waiting: readonly (readonly [string, CounterState, string])[], now: number): ObservedSet {
    for (const [key, state, dimension] of waiting) {
      const outcome = this.#woken(state, now)
      const time = Math.min(lastOf(state), now * 1000)
      this.#take(key, dimension, outcome, { time, receivedAt: now })
    }
    return this.#result()
  }

  #woken(state: CounterState, now: number): Outcome<CounterState> {
    switch (state.kind) {
      case 'started':
        return wakeStarted(state, ({ since }, name) => this.#around(since, name))
      case 'values':
        return wakeValues(state, this.#around(state.waiter?.since ?? 0, state.stream), now)
      case 'levels':
        return wakeLevels(state, this.#around(state.waiter?.since ?? 0, ''), now)
    }
  }

  #result(): ObservedSet {
    for (const key of [...this.#evidence.keys()]) this.#learn(key)
    return {
      entries: this.#usage.entries,
      states: this.#states,
      streams: this.#streams,
      sharedStarts: this.#sharedStarts,
      deltas: [...this.#deltas.values()],
      notes: [...this.#notes.values()],
    }
  }

  #delta(point: Observation): Rule {
    checkNames(point)
    const { account, dimension, counter, start, time, value } = point
    const key = `${counter} ${start} ${time}`
    const before = this.#deltas.get(key)?.value ?? this.#memory.delta(point)
    const twice = this.#tellDelta(point, before !== undefined)
    if (before !== undefined) {
      if (before !== value) this.#note(account, dimension, 'conflict', value)
      else if (twice) this.#note(account, dimension, 'sent-twice', value)
      return 'delta'
    }
    this.#deltas.set(key, point)
    if (time < this.#since(account.product, dimension, streamOf(point).metric)) {
      this.#note(account, dimension, 'baseline', value)
      return 'first-contact'
    }
    const held = time < this.#memory.forgottenBefore ? ('too-late' as const) : undefined
    this.#emit({ account, amount: value, ...(held && { held }) }, dimension, hourObserved(point))
    return 'delta'
  }

  /** Returns whether to tell that the deltas of its stream come twice, as those of two writers with one name do. */
  #tellDelta({ stream, time, receivedAt }: Observation, again: boolean): boolean {
    if (stream === undefined) return false
    const at = Math.min(time, receivedAt * 1000)
    const last = this.#lastDelta
    if (last.stream === stream && last.time === at && last.again === again) return last.twice
    if ((this.#told.get(stream.key) ?? at) < at) this.#learn(stream.key)
    this.#told.set(stream.key, at)
    const known = this.#stream(stream.key)
    const twice = again && known !== undefined && comesTwice(known, at)
    this.#tell({ stream, time: at, delta: { again, toldTwice: twice } })
    this.#lastDelta = { stream, time: at, again, twice }
    return twice
  }

  /** What most points are, without all that others need. */
  #continue(point: Observation): Rule | undefined {
    const { account, dimension, kind, start, time, value, receivedAt, series = point.counter } = point
    if (kind !== 'cumulative' || start === 0 || time - receivedAt * 1000 > LARGEST_SKEW) return undefined
    const stream = streamOf(point)
    if (stream !== this.#usual && !this.#isUsual(stream)) return undefined
    const key = this.#startedKey(series, start)
    const kept = this.#states.get(key)
    const before = kept === undefined ? this.#memory.state(key) : kept.state
    if (before?.kind !== 'started' || start < this.#since(account.product, dimension, stream.metric)) return undefined
    const counter = before.counters[0] as StartedCounter
    if (counter.time < this.#memory.restored) return undefined
    if (before.heard !== undefined || isLongBehind(time, receivedAt)) return undefined
    const state = continueStarted(before, stream.key, point)
    if (state === undefined) return undefined
    const risen = (kept?.risen ?? true) && counter.points === CONVINCING
    this.#states.set(key, { state, dimension, wakeAt: 0, waiting: 0n, risen })
    if (value > counter.emitted) this.#usage.add(account, dimension, hourObserved(point), value - counter.emitted)
    return 'goes-on'
  }

  /** Whether nothing is told of a stream, and nothing known, that its points could not simply go on with. */
  #isUsual(stream: Stream): boolean {
    const known = this.#stream(stream.key)
    const usual = !this.#evidence.has(stream.key) && !known?.startless && (known?.aheads ?? 0) === 0
    this.#usual = usual ? stream : undefined
    return usual
  }

  /** Most points have the start of the one before. */
  #startedKey(series: string, start: number): string {
    if (start !== this.#suffix.start) this.#suffix = { start, digits: startDigits(start) }
    return series.slice(0, 19) + this.#suffix.digits
  }

  /** When metering began, in microseconds: mostly it is asked of the same as before. */
  #since(product: string, dimension: string, metric: string): number {
    const last = this.#lastSince
    if (last.product === product && last.dimension === dimension && last.metric === metric) return last.since
    const since = this.#memory.since(product, dimension, metric) * 1000
    this.#lastSince = { product, dimension, metric, since }
    return since
  }

  #counter(point: Observation): Rule {
    checkNames(point)
    this.#usual = undefined
    const { account, dimension, kind, value, receivedAt, maxGap = 0 } = point
    const stream = streamOf(point)
    // Points come by their times: what earlier collections tell is known in later ones.
    if ((this.#told.get(stream.key) ?? point.time) < point.time) this.#learn(stream.key)
    this.#told.set(stream.key, point.time)
    const known = this.#stream(stream.key)
    const start = startOf(point)
    const time = timeOf(known, point.time, receivedAt)
    const key = stateKey(point, known)
    const before = this.#state(key)
    // A counter cannot have begun later than it speaks, but for a clock that was set back meanwhile.
    if (start > point.time + LARGEST_SKEW && before === undefined && !known?.starts.some(one => one.start === start)) {
      this.#note(account, dimension, 'clock-ahead', value)
      return 'first-contact'
    }
    const since = this.#since(account.product, dimension, stream.metric)
    const around = this.#around(since, stream.key, kind === 'scraped')
    const reading = { start, time, value, stream, account, receivedAt }
    if (known === undefined) this.#attributes.set(stream.key, stream.attributes)
    const ahead = point.time - receivedAt * 1000
    const tell = (what: Omit<Evidence, 'stream' | 'time'>) => this.#tell({ stream, time, ...what })
    if (ahead > LARGEST_SKEW) {
      tell({ ahead })
      if (!isUsual(known, ahead)) this.#note(account, dimension, 'clock-ahead', 0n)
    } else if (known !== undefined && known.aheads > 0) tell({ ahead: 0 })
    if (kind === 'gauge') {
      const levels = before?.kind === 'levels' ? before : undefined
      const old = levels === undefined ? this.#legacy(point) : undefined
      // Of one that was forgotten, the level of long ago is not the one that it has left.
      const legacy = old !== undefined && old.time >= this.#memory.silentBefore ? old : undefined
      const outcome = observeLevel(levels, { ...reading, maxGap }, around, legacy)
      return this.#take(key, dimension, outcome, { time, receivedAt })
    }
    if (kind === 'scraped' && start === 0 && point.start !== 0) tell({ startless: true })
    if (start !== 0 && kind === 'cumulative' && !known?.startless) {
      return this.#started(key, before, point, reading, around, tell)
    }
    const values = before?.kind === 'values' ? before : undefined
    const legacy = values === undefined ? this.#legacy(point) : undefined
    const adopted =
      values === undefined && kind === 'cumulative' && start !== 0 ? this.#adopt(point, known, since) : undefined
    if (adopted !== undefined) this.#note(account, dimension, 'moving-start', 0n)
    const last = values?.knots.find(knot => knot.time < time && knot.time >= Math.max(around.since, around.restored))
    tell(last === undefined ? {} : { continues: true })
    const outcome = observeValues(values, reading, around, {
      ...{ legacy, adopted },
      ...(values === undefined && adopted === undefined && this.#lateValues(reading, around, legacy)),
    })
    const { began } = outcome
    if (began !== undefined) tell({ began: { start, series: key, exported: false, ...began } })
    if (kind === 'scraped' && start !== 0 && start % 1_000_000 === 0 && began !== undefined) {
      this.#sharedStarts.set(start, shareStart(this.#sharedStart(start), stream.target))
    }
    return this.#take(key, dimension, outcome, { time, receivedAt })
  }

  #started(
    key: string,
    before: CounterState | undefined,
    point: Observation,
    reading: Parameters<typeof observeStarted>[1],
    around: Surroundings,
    tell: (what: Omit<Evidence, 'stream' | 'time'>) => void,
  ): Rule {
    const { dimension, series = point.counter } = point
    const { start, time, value, receivedAt, stream } = reading
    const started = before?.kind === 'started' ? before : undefined
    const known = started?.counters.find(({ names }) => names.includes(stream.key)) ?? started?.counters[0]
    const old = started === undefined ? this.#legacy(point) : undefined
    const mark = old?.marks.get(start)
    // One of more starts than it remembered: what it had of it is not known any more.
    const forgotten = old !== undefined && start <= old.forgotten
    const legacy =
      old === undefined || (mark === undefined && !forgotten)
        ? undefined
        : { ...old, mark: mark ?? 0n, doubted: old.doubted || forgotten }
    const late =
      known === undefined || !known.names.includes(stream.key)
        ? mayBeForgotten(around.stream?.starts, start, this.#memory.silentBefore) &&
          (start >= around.since || (around.stream !== undefined && time >= around.since))
        : false
    let moves = false
    const beside =
      started === undefined && around.stream?.starts.some(one => one.start === start && !one.members.includes(key))
    if (known === undefined || known.points === 1) {
      const last = around.stream?.starts.findLast(one => one.start < start)
      const there = last && this.#state(startedKey(series, last.start))
      const its = there?.kind === 'started' ? there.counters.find(({ names }) => names.includes(stream.key)) : undefined
      moves = last !== undefined && last.first === last.last && (its === undefined || its.mark <= value)
      const first = known === undefined ? value : known.mark
      if (known === undefined || known.time !== time) {
        tell({
          began: {
            ...{ start, series: key, wentOn: false, fell: its !== undefined && first < its.mark, exported: true },
            ...(late && { forgotten: true }),
          },
        })
        // What began later, and is lower, has fallen.
        const next = around.stream?.starts.find(one => one.start > start)
        const nextKey = startedKey(series, next?.start ?? 0)
        const later = next && this.#state(nextKey)
        if (next !== undefined && later?.kind === 'started' && later.counters.some(({ mark }) => mark < first)) {
          const began = { start: next.start, series: nextKey, wentOn: false, fell: true, exported: true }
          this.#tell({ stream, time: next.first, began })
        }
      }
    }
    if (start < around.since) {
      const bound = Math.max(around.since, around.restored)
      const goesOn =
        known !== undefined && (isBetween(known.first?.time, bound, time) || isBetween(known.time, bound, time))
      tell(goesOn ? { continues: true } : {})
    }
    // Whoever comes under another name is to find what this one was.
    if (started !== undefined && !started.counters.some(({ names }) => names.includes(stream.key))) tell({})
    return this.#take(key, dimension, observeStarted(started, reading, around, { legacy, moves, beside, late }), {
      time,
      receivedAt,
    })
  }

  /** Whether a counter that is followed by its values, and of which nothing is known, may have been forgotten. */
  #lateValues({ start, value }: Reading, { stream }: Surroundings, legacy: LegacyState | undefined) {
    const forgotten = valuesForgotten(this.#memory.silentBefore)
    const late =
      valuesMayBeForgotten(stream, value) ||
      (start !== 0 && start <= forgotten) ||
      (legacy !== undefined && legacy.time < forgotten)
    return { forgotten, late }
  }

  /** What is known of a counter from before it said its stream. */
  #legacy(point: Observation): LegacyState | undefined {
    const known = this.#memory.legacy(point.counter)
    if (point.stream === undefined) return known
    const key = stateKey(withoutStream(point))
    const state = this.#state(key)
    return state === undefined ? known : legacyOf(state, known)
  }

  /** What each of the starts had that were found to be none. */
  #adopt(point: Observation, stream: StreamState | undefined, since: number): Adopted | undefined {
    const { series = point.counter } = point
    const knots: { time: number; value: bigint }[] = []
    let emitted = 0n
    for (const { start } of stream?.starts ?? []) {
      const state = this.#state(startedKey(series, start))
      if (state?.kind !== 'started') continue
      const counter = state.counters.find(({ names }) => names.includes(streamOf(point).key))
      if (counter === undefined) continue
      knots.push({ time: counter.time, value: counter.mark })
      emitted += counter.emitted
    }
    if (knots.length === 0) return undefined
    const whole = (stream?.starts[0]?.start ?? 0) >= since
    return { knots, emitted, whole }
  }

  #around(since: number, stream: string, scraped = false): Surroundings {
    const memory = this.#memory
    return {
      since,
      restored: memory.restored,
      stream: this.#stream(stream),
      attributesOf: key => this.#stream(key)?.attributes ?? this.#attributes.get(key),
      wentOnAt: (streams, time) => streams.some(key => wentOnAt(this.#stream(key), time)),
      othersWentOn: (streams, start, time) => {
        const starts = streams.flatMap(key => this.#stream(key)?.starts ?? [])
        const members = starts.flatMap(one => (one.start === start ? one.members : []))
        return members.some(key => {
          const state = this.#state(key)
          return (
            state?.kind === 'started' &&
            state.counters.some(({ waits, apart, time: last }) => !waits && !apart && last >= time)
          )
        })
      },
      isShared: start => scraped && start % 1_000_000 === 0 && (this.#sharedStart(start)?.targets.length ?? 0) > 1,
    }
  }

  #state(key: string): CounterState | undefined {
    return this.#states.get(key)?.state ?? this.#memory.state(key)
  }

  #stream(key: string): StreamState | undefined {
    return this.#streams.get(key) ?? this.#memory.stream(key)
  }

  #sharedStart(start: number): SharedStart | undefined {
    return this.#sharedStarts.get(start) ?? this.#memory.sharedStart(start)
  }

  #learn(key: string): void {
    const told = this.#evidence.get(key)
    this.#evidence.delete(key)
    if (told !== undefined) this.#streams.set(key, learn(this.#stream(key), told))
  }

  #tell(evidence: Evidence): void {
    const { key } = evidence.stream
    const told = this.#evidence.get(key)
    if (told === undefined) this.#evidence.set(key, [evidence])
    else told.push(evidence)
  }

  #take(
    key: string,
    dimension: string,
    { state: found, rule, emissions, notes }: Outcome<CounterState>,
    at: Pick<Observation, 'time' | 'receivedAt'>,
  ): Rule {
    const before = this.#state(key)
    for (const emission of emissions) this.#emit(emission, dimension, hourObserved(at))
    for (const { account, verdict, amount } of notes) this.#note(account, dimension, verdict, amount)
    if (found === before) return rule
    const state = withHeard(found, at.receivedAt)
    const waiting = state.wakeAt === 0 ? 0n : waitingOf(state)
    this.#states.set(key, { state, dimension, wakeAt: state.wakeAt, waiting, risen: false })
    return rule
  }

  #emit({ account, amount, held }: Emission, dimension: string, hour: number): void {
    if (amount <= 0n) return
    if (amount > MAX_AMOUNT) {
      this.#note(account, dimension, 'out-of-range', amount)
      return
    }
    if (held !== undefined && held !== 'several-writers') this.#note(account, dimension, held, amount)
    this.#usage.add(held === undefined ? account : heldAccount(account, held), dimension, hour, amount)
  }

  #note(whose: Account, dimension: string, verdict: NotCounted, amount: bigint): void {
    const account = untaggedAccount(whose)
    const key = `${account.key} ${dimension} ${verdict}`
    const note = this.#notes.get(key) ?? { account, dimension, verdict, points: 0, amount: 0n }
    note.points += 1
    note.amount += amount
    this.#notes.set(key, note)
  }
}

/** Whether usage of an account waits. */
export function waitsFor(state: CounterState, accountKey: string): boolean {
  const waiters = state.kind === 'started' ? state.counters.map(({ waiter }) => waiter) : [state.waiter]
  return waiters.some(waiter => waiter !== undefined && untaggedAccount(waiter.account).key === accountKey)
}

function waitingOf(state: CounterState): bigint {
  return state.kind === 'started' ? waitingOfStarted(state) : (state.waiting ?? 0n)
}

const isBetween = (time: number | undefined, from: number, to: number): boolean =>
  time !== undefined && time >= from && time < to

/** The hour that a point's usage is of: that of its time, as far as this machine's clock has come. */
function hourObserved({ time, receivedAt }: Pick<Observation, 'time' | 'receivedAt'>): number {
  const milliseconds = Math.floor(time / 1000)
  return hourOf(milliseconds > 0 && milliseconds < receivedAt ? milliseconds : receivedAt)
}

/** Where usage waits for a person to say whether it was billed before: one account for each customer. */
function heldAccount(account: Account, reason: HeldVerdict): Account {
  if (account.kind === 'unattributed') return account
  return unattributedAccount(account.product, reason, JSON.stringify({ customer: untaggedAccount(account).key }))
}

/**
 * Refuses points that are not what they have to be, before any of them counts. What an engine could not hold would be in
 * the way of all that comes after it when its journal is folded.
 */
export function checkObservations(points: readonly Observation[]): void {
  checkPoints(points)
  for (const point of points) checkNames(point)
}

/** The same but for their names, which are checked where they are looked up for the first time. */
export function checkPoints(points: readonly Observation[]): void {
  const streams = new Set<Stream>()
  let last: Stream | undefined
  for (const point of points) {
    const { stream, kind, value } = point
    if (stream !== undefined && stream !== last && !streams.has(stream)) {
      if (!isStream(stream)) throw notAnObservation(point)
      streams.add(stream)
    }
    last = stream
    if (!isTimely(point) || !OBSERVATION_KINDS.includes(kind)) throw notAnObservation(point)
    if (typeof value !== 'bigint' || value < 0n || value > MAX_AMOUNT) {
      throw new LedgerError(
        'ERR_LEDGER_INVALID',
        `Expected an observed value from 0 up to 2^120 as a bigint, got ${value}.`,
      )
    }
  }
}

function checkNames(point: Observation): void {
  const { counter, series } = point
  if (!isName(counter) || (series !== undefined && !isName(series))) throw notAnObservation(point)
}

function notAnObservation({
  counter,
  series,
  stream,
  kind,
  start,
  time,
  receivedAt,
  maxGap,
}: Observation): LedgerError {
  const got = JSON.stringify({ counter, series, stream, kind, start, time, receivedAt, maxGap })
  return new LedgerError(
    'ERR_LEDGER_INVALID',
    'Expected an observation with a counter of 32 hexadecimal digits, a known kind and times in whole numbers, got ' +
      `${got}.`,
  )
}

function isTimely({ start, time, receivedAt, maxGap = 0 }: Observation): boolean {
  return (
    Number.isSafeInteger(start) &&
    Number.isSafeInteger(time) &&
    Number.isSafeInteger(receivedAt) &&
    Number.isSafeInteger(maxGap) &&
    start >= 0 &&
    start <= LAST_START &&
    time > 0 &&
    receivedAt >= 0 &&
    receivedAt <= LAST_INSTANT &&
    maxGap >= 0 &&
    start + time + receivedAt + maxGap < Number.MAX_SAFE_INTEGER
  )
}

const NAME = /^[0-9a-f]{32}$/
const isName = (name: string): boolean => NAME.test(name)

/** A state's key has 13 hexadecimal digits for it, in microseconds: until 2112. */
export const LAST_START = 2 ** 52 - 1
/** It is in an index, beside a product and a dimension. */
const LONGEST_METRIC = 500

function isStream({ key, target, metric, attributes }: Stream): boolean {
  return (
    isName(key) && /^[0-9a-f]{12}$/.test(target) && Buffer.byteLength(metric) <= LONGEST_METRIC && isObject(attributes)
  )
}

function isObject(text: string): boolean {
  try {
    return typeof JSON.parse(text) === 'object'
  } catch {
    return false
  }
}

/** The bytes of a counter's name. */
export function counterKey(counter: string): Buffer {
  if (isName(counter)) return Buffer.from(counter, 'hex')
  throw new LedgerError('ERR_LEDGER_INVALID', `Expected a counter of 32 hexadecimal digits, got "${counter}".`)
}

/** How many points' texts are put together: longer ones take longer to be put into one piece. */
const POINTS_PER_TEXT = 256

/** Points as bytes, to tell whether a batch of the same key is the same. A counter's name has its dimension in it. */
export function bytesOf(points: readonly Observation[]): Uint8Array[] {
  const texts: Uint8Array[] = []
  let text = ''
  const numbers = new Float64Array(points.length * 2)
  const values = new BigInt64Array(points.length)
  for (const [index, { counter, kind, account, start, time, value }] of points.entries()) {
    text += counter + kind + account.key
    if (value > LARGEST_WORD) text += value
    values[index] = BigInt.asIntN(64, value)
    numbers[index * 2] = start
    numbers[index * 2 + 1] = time
    if ((index + 1) % POINTS_PER_TEXT === 0 || index === points.length - 1) {
      texts.push(Buffer.from(text))
      text = ''
    }
  }
  return [...texts, new Uint8Array(numbers.buffer), new Uint8Array(values.buffer)]
}

/** By their times, as most come. */
function inOrder(points: readonly Observation[]): readonly Observation[] {
  let last = 0
  for (const { time } of points) {
    if (time < last) return [...points].sort((a, b) => a.time - b.time)
    last = time
  }
  return points
}

/** Usage, added up for each series and hour. */
class UsageSum {
  readonly entries: { -readonly [Member in keyof UsageEntry]: UsageEntry[Member] }[] = []
  /** Where the entries of an hour are: by dimension and account. */
  readonly #places = new Map<number, Map<string, Map<string, number>>>()
  /** Mostly it is the same hour and dimension as before. */
  #last = { hour: -1, dimension: '', accounts: new Map<string, number>() }

  add(account: Account, dimension: string, hour: number, amount: bigint): void {
    if (this.#last.hour !== hour || this.#last.dimension !== dimension) {
      this.#last = { hour, dimension, accounts: made(made(this.#places, hour), dimension) }
    }
    const { accounts } = this.#last
    const place = accounts.get(account.key)
    if (place === undefined) {
      accounts.set(account.key, this.entries.length)
      this.entries.push({ account, dimension, hour, amount })
    } else {
      // biome-ignore lint/style/noNonNullAssertion: places are of entries that are there
      this.entries[place]!.amount += amount
    }
  }
}

function made<Key, To, Value>(map: Map<Key, Map<To, Value>>, key: Key): Map<To, Value> {
  let inner = map.get(key)
  if (inner === undefined) {
    inner = new Map()
    map.set(key, inner)
  }
  return inner
}

/** What the audit trail says of a note, of points that came here until `at`. */
export function noteEntry(note: ObservationNote, at: number): NewEntry {
  const { account, dimension, verdict, amount, points } = note
  const said = { action: verdict, account, dimension, amount, detail: `${points} data points` }
  return { who: 'ledger', why: explain(note), now: at, ...said }
}

/** The same in words. */
export function explain({ verdict }: ObservationNote): string {
  switch (verdict) {
    case 'baseline':
      return 'counters that began before they were metered here, or nobody knows when: what they had counted is not billed'
    case 'old-counter':
      return 'counters that may have been billed before, under another name or by a ledger that was lost: a person has to attribute the usage or write it off'
    case 'too-late':
      return 'points from so long ago that nobody can tell whether they were billed: a person has to attribute what deltas say, or write it off'
    case 'conflict':
      return 'deltas that were counted before with another value: two producers share one identity, or one is broken'
    case 'gap':
      return 'gauges that were silent for longer than the rule may bridge: that time is not billed'
    case 'shared-identity':
      return 'several processes count under one name, so that nobody can say whose points are whose: give each a service.instance.id (a scraped target its own instance); nothing is billed that may not have been used, what may have been is held'
    case 'sent-twice':
      return 'a counter that comes twice, with the same values at the same times: it is counted once; let one Collector send it, and give each process a service.instance.id'
    case 'moving-start':
      return 'counters whose start moves with each export: they are followed by their values'
    case 'clock-ahead':
      return "points from a time that has not come: they count as of when they came, but for what says that it began later than it speaks; set the sender's clock"
    case 'out-of-range':
      return 'a gauge that came to more at once than can be measured: it is not billed'
  }
}

/** What a rule says of a point. */
export const RULES: Readonly<Record<Rule, string>> = {
  'own-start': 'it began after metering did, as its start says: all of it counts',
  'goes-on': 'it goes on from the highest value of its start',
  renamed: 'the same counter under another name, as its start says: it goes on',
  'new-in-stream': 'new in a stream that is known: it began after the collection before, and counts whole',
  'first-contact': 'it began before metering did, or nobody knows when: what it had counted is not billed',
  'by-values': 'it says no start of its own: what it rises by counts, and after a fall it has begun anew',
  waits: 'cannot be told yet: the next points of its sender tell, or an hour',
  'several-writers': 'several processes count under one name: give each a service.instance.id',
  delta: 'a delta counts once, by its start and time',
  level: 'a level holds until the next point',
}
