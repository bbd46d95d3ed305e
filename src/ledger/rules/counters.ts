import { type Account, unattributedAccount } from '../../usage/account.ts'
import { MAX_AMOUNT } from '../../usage/amount.ts'
import { LedgerError } from '../errors.ts'
import { HOUR, hourOf, MINUTE } from '../hours.ts'
import type { NotCounted, Observation, UsageEntry } from '../ledger.ts'
import { OBSERVATION_KINDS } from './observation-kinds.ts'
import { LAST_INSTANT } from './validation.ts'

/**
 * What a point of a counter that somebody else keeps adds to usage, in one place for every engine. Points come at
 * least once, late and in any order, from several receivers; each unit they count is to be counted once. (The
 * Collector's `cumulativetodelta` drops and doubles: 100, 300, 200, 400 gives it 400.)
 */

/** A new counter that began longer before its first point may be a known one under another name, in microseconds. */
const YOUNG = 10 * MINUTE * 1000
/**
 * For how long an engine remembers deltas, in milliseconds, counted back from the latest `receivedAt`. Then nobody can
 * tell whether one came before. What it has forgotten once stays forgotten, whatever becomes of a clock.
 */
export const DELTA_MEMORY = 26 * HOUR
/** How many earlier starts of one counter are told apart; what comes of older ones is not counted again. */
const MOST_EARLIER = 7

/** What is remembered of a cumulative counter, or of a gauge. */
export interface CounterState {
  /** When it began last, 0 where that is not known, and the highest value seen since. */
  readonly start: number
  readonly mark: bigint
  /** When it began before, the youngest last. */
  readonly earlier: readonly Epoch[]
  /** Points that started then or before are of starts that were forgotten. */
  readonly forgotten: number
  /** The youngest point. */
  readonly time: number
  readonly value: bigint
  /** Of a gauge: what is left of its integral, in millionths of a millionth. */
  readonly rest: bigint
  /** Whether what it adds next may be billed: the state is of a backup. */
  readonly doubted: boolean
}

interface Epoch {
  readonly start: number
  readonly mark: bigint
}

/** What came of a point. */
interface Observed {
  /** What it adds to usage; to that of `heldAccount` where the verdict is `old-counter` or `too-late`. */
  readonly amount: bigint
  readonly verdict: 'counted' | 'repeated' | NotCounted
  /** Of a baseline or conflict: what was not counted. */
  readonly uncounted?: bigint
}

interface ObservedState extends Observed {
  readonly state: CounterState
}

const REPEATED: Observed = { amount: 0n, verdict: 'repeated' }

/** @param since when the ledger began to meter the product, in milliseconds since the epoch */
function observe(before: CounterState | undefined, point: Observation, since: number): ObservedState {
  const observed = point.kind === 'gauge' ? observeGauge(before, point) : observeCounter(before, point, since)
  if (!before?.doubted || observed.state === before || observed.verdict === 'repeated') return observed
  const verdict = observed.amount > 0n ? 'old-counter' : observed.verdict
  return { ...observed, verdict, state: { ...observed.state, doubted: false } }
}

function observeCounter(state: CounterState | undefined, point: Observation, since: number): ObservedState {
  const { start, time, value } = point
  const mark = start === 0 ? undefined : markOf(state, start)
  if (mark !== undefined) {
    const repeated = value <= mark && time <= (state as CounterState).time
    return { ...counted(value - mark), state: repeated ? (state as CounterState) : next(state, point) }
  }
  // When it began is not known: then what it had counted by its first point was never ours to bill.
  const unknown = start === 0 || (start === time && point.kind === 'scraped')
  if (state === undefined) {
    if (unknown || start < since * 1000) return baseline(state, point)
    const verdict = time - start <= YOUNG ? 'counted' : 'old-counter'
    return { amount: value, verdict, state: next(state, point) }
  }
  if (!unknown && start <= state.forgotten) return { ...REPEATED, state }
  // One that was seen without its start, and now comes with it, is still the same.
  const same = state.start === 0 && start <= state.time
  if (!unknown && !same && point.kind === 'cumulative') {
    return start < since * 1000 ? baseline(state, point) : { ...counted(value), state: next(state, point) }
  }
  // As PromQL's `increase`: it goes on from the last point, and one that is lower has begun anew.
  if (time <= state.time) return { ...REPEATED, state }
  return { ...counted(value < state.value ? value : value - state.value), state: next(state, point) }
}

function baseline(state: CounterState | undefined, point: Observation): ObservedState {
  return { amount: 0n, verdict: 'baseline', uncounted: point.value, state: next(state, point) }
}

const counted = (amount: bigint): Observed => (amount > 0n ? { amount, verdict: 'counted' } : REPEATED)

/** The highest value that was seen since a start, if one was. */
function markOf(state: CounterState | undefined, start: number): bigint | undefined {
  return start === state?.start ? state.mark : state?.earlier.find(epoch => epoch.start === start)?.mark
}

/** The state after a point. */
function next(state: CounterState | undefined, { start, time, value }: Observation): CounterState {
  if (state === undefined) return { ...FRESH, start, mark: start === 0 ? 0n : value, time, value }
  const youngest = time > state.time
  const last = { time: youngest ? time : state.time, value: youngest ? value : state.value }
  if (start === 0) return { ...state, ...last }
  // Most have begun once.
  if (start === state.start) return { ...state, ...last, mark: value > state.mark ? value : state.mark }
  return { ...state, ...last, ...begun(state, start, value) }
}

const FRESH = { earlier: [], forgotten: 0, rest: 0n, doubted: false }

/** Adds a start, or what was seen since one that is not the last. */
function begun(state: CounterState, start: number, value: bigint) {
  const mark = markOf(state, start) ?? 0n
  const others = epochsOf(state).filter(epoch => epoch.start !== start)
  const all = [...others, { start, mark: value > mark ? value : mark }].sort((a, b) => a.start - b.start)
  const last = all.pop() as Epoch
  const dropped = all.slice(0, -MOST_EARLIER)
  return { ...last, earlier: all.slice(-MOST_EARLIER), forgotten: dropped.at(-1)?.start ?? state.forgotten }
}

function epochsOf({ start, mark, earlier }: CounterState): readonly Epoch[] {
  return start === 0 ? earlier : [...earlier, { start, mark }]
}

/** A gauge holds its level until the next point. */
function observeGauge(state: CounterState | undefined, { time, value, maxGap = 0 }: Observation): ObservedState {
  const level = { ...FRESH, start: 0, mark: 0n, time, value, doubted: state?.doubted ?? false }
  if (state === undefined) return { ...REPEATED, state: level }
  const elapsed = time - state.time
  if (elapsed <= 0) return { ...REPEATED, state }
  if (elapsed > maxGap) return { amount: 0n, verdict: 'gap', state: { ...level, rest: state.rest } }
  const integral = state.value * BigInt(elapsed) + state.rest
  return { ...counted(integral / 1_000_000n), state: { ...level, rest: integral % 1_000_000n } }
}

/**
 * @param before the value that the same delta (counter, start and time) was counted with, if it was
 * @param forgottenBefore up to when deltas were forgotten, in microseconds since the epoch
 */
function observeDelta(before: bigint | undefined, { time, value }: Observation, forgottenBefore: number): Observed {
  if (before !== undefined) {
    return before === value ? REPEATED : { amount: 0n, verdict: 'conflict', uncounted: value }
  }
  return { amount: value, verdict: time < forgottenBefore ? 'too-late' : 'counted' }
}

/** The hour that a point's usage is of: that of its time, as far as this machine's clock has come. */
function hourObserved({ time, receivedAt }: Observation): number {
  const milliseconds = Math.floor(time / 1000)
  return hourOf(milliseconds > 0 && milliseconds < receivedAt ? milliseconds : receivedAt)
}

/** Where usage waits for a person to say whether it was billed before: one account for each customer. */
function heldAccount(account: Account, reason: 'old-counter' | 'too-late'): Account {
  if (account.kind === 'unattributed') return account
  return unattributedAccount(account.product, reason, JSON.stringify({ customer: account.key }))
}

/**
 * Refuses points that are not what they have to be, before any of them counts. What an engine could not hold would be in
 * the way of all that comes after it when its journal is folded.
 */
export function checkObservations(points: readonly Observation[]): void {
  for (const point of points) {
    const { counter, kind, start, time, receivedAt, value, maxGap = 0 } = point
    const whole = [start, time, receivedAt, maxGap].every(Number.isSafeInteger)
    const timely = start >= 0 && time > 0 && receivedAt >= 0 && receivedAt <= LAST_INSTANT && maxGap >= 0
    const safe = start + time + receivedAt + maxGap < Number.MAX_SAFE_INTEGER
    if (!whole || !timely || !safe || !/^[0-9a-f]{32}$/.test(counter) || !OBSERVATION_KINDS.includes(kind)) {
      const got = JSON.stringify({ counter, kind, start, time, receivedAt, maxGap })
      throw new LedgerError(
        'ERR_LEDGER_INVALID',
        'Expected an observation with a counter of 32 hexadecimal digits, a known kind and times in whole numbers, got ' +
          `${got}.`,
      )
    }
    if (typeof value !== 'bigint' || value < 0n || value > MAX_AMOUNT) {
      throw new LedgerError(
        'ERR_LEDGER_INVALID',
        `Expected an observed value from 0 up to 2^62 as a bigint, got ${value}.`,
      )
    }
  }
}

/** The bytes of a counter's name. */
export function counterKey(counter: string): Buffer {
  const key = Buffer.from(counter, 'hex')
  if (key.length === 16) return key
  throw new LedgerError('ERR_LEDGER_INVALID', `Expected a counter of 32 hexadecimal digits, got "${counter}".`)
}

/** Points as bytes, to tell whether a batch of the same key is the same. A counter's name has its dimension in it. */
export function bytesOf(points: readonly Observation[]): Uint8Array[] {
  let text = ''
  const numbers = new Float64Array(points.length * 2)
  const values = new BigInt64Array(points.length)
  for (const [index, { counter, kind, account, start, time, value }] of points.entries()) {
    text += counter + kind + account.key
    numbers[index * 2] = start
    numbers[index * 2 + 1] = time
    values[index] = value
  }
  return [Buffer.from(text), new Uint8Array(numbers.buffer), new Uint8Array(values.buffer)]
}

/** A state as text, for engines to keep: time, value, rest, forgotten, doubted, and each start with its mark. */
export function packState(state: CounterState): string {
  const { forgotten, time, value, rest, doubted } = state
  const marks = epochsOf(state).map(({ start, mark }) => `${start}:${mark}`)
  return [time, value, rest, forgotten, doubted ? 1 : 0, ...marks].join(' ')
}

export function unpackState(text: string): CounterState {
  const [time, value, rest, forgotten, doubted, ...marks] = text.split(' ') as [string, string, string, string, string]
  const earlier = (marks as string[]).map(mark => {
    const colon = mark.indexOf(':')
    return { start: Number(mark.slice(0, colon)), mark: BigInt(mark.slice(colon + 1)) }
  })
  return {
    ...(earlier.pop() ?? { start: 0, mark: 0n }),
    ...{ earlier, forgotten: Number(forgotten), time: Number(time) },
    ...{ value: BigInt(value), rest: BigInt(rest), doubted: doubted === '1' },
  }
}

/** What an engine remembers, for `observeAll` to ask. */
export interface CounterMemory {
  state(counter: string): CounterState | undefined
  /** The value that the same delta (counter, start and time) was counted with. */
  delta(point: Observation): bigint | undefined
  /** Deltas of before, in microseconds since the epoch, were forgotten; but for those that came later than that. */
  readonly forgottenBefore: number
  /** When the ledger began to meter the product, in milliseconds since the epoch. */
  since(product: string): number
}

/** What a set of points comes to: for the engine to keep in one transaction. */
export interface ObservedSet {
  /** What they add, one for each series and hour. */
  readonly entries: readonly UsageEntry[]
  /** The counters and gauges whose state changed. */
  readonly states: ReadonlyMap<string, CounterState>
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

/** Takes points of any number of counters, in any order. The same points give the same, however they are divided. */
export function observeAll(points: readonly Observation[], memory: CounterMemory): ObservedSet {
  const usage = new UsageSum()
  const states = new Map<string, CounterState>()
  const deltas = new Map<string, Observation>()
  const notes = new Map<string, ObservationNote>()
  for (const point of inOrder(points)) {
    const { account, dimension, counter } = point
    let observed: Observed
    if (point.kind === 'delta') {
      const key = `${counter} ${point.start} ${point.time}`
      observed = observeDelta(deltas.get(key)?.value ?? memory.delta(point), point, memory.forgottenBefore)
      if (observed.verdict === 'counted' || observed.verdict === 'too-late') deltas.set(key, point)
    } else {
      const before = states.get(counter) ?? memory.state(counter)
      const after = observe(before, point, memory.since(account.product))
      if (after.state !== before) states.set(counter, after.state)
      observed = after
    }
    const { amount, verdict, uncounted } = observed
    if (amount > 0n) {
      const held = verdict === 'old-counter' || verdict === 'too-late'
      usage.add(held ? heldAccount(account, verdict) : account, dimension, hourObserved(point), amount)
    }
    if (verdict !== 'counted' && verdict !== 'repeated') {
      const key = `${account.key} ${dimension} ${verdict}`
      const note = notes.get(key) ?? { account, dimension, verdict, points: 0, amount: 0n }
      note.points += 1
      note.amount += uncounted ?? amount
      notes.set(key, note)
    }
  }
  return { entries: usage.entries, states, deltas: [...deltas.values()], notes: [...notes.values()] }
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

  add(account: Account, dimension: string, hour: number, amount: bigint): void {
    const accounts = made(made(this.#places, hour), dimension)
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

/** What the audit trail says of a note. */
export function explain({ verdict }: ObservationNote): string {
  switch (verdict) {
    case 'baseline':
      return 'counters that began before they were metered here, or nobody knows when: what they had counted is not billed'
    case 'old-counter':
      return 'counters that may have been billed before, under another name or by a ledger that was lost: a person has to attribute the usage or write it off'
    case 'too-late':
      return 'deltas from so long ago that nobody can tell whether they were billed: a person has to attribute the usage or write it off'
    case 'conflict':
      return 'deltas that were counted before with another value: two producers share one identity, or one is broken'
    case 'gap':
      return 'gauges that were silent for longer than the rule may bridge: that time is not billed'
  }
}
