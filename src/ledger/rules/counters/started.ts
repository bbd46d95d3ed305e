import type { Account } from '../../../usage/account.ts'
import { HOUR } from '../../hours.ts'
import { areTwo, compatible } from './evidence.ts'
import {
  type Emission,
  type Knot,
  MEMORY,
  type Note,
  type Outcome,
  type Reading,
  type Rule,
  type Surroundings,
  type Waiter,
} from './reading.ts'

/**
 * A counter that says when it began: its mark, the highest value since, tells all, whatever order points come in. Under
 * one start there may be several: of one measurement under several names, or of processes that share their start.
 */

/** How long what cannot be told yet waits, in milliseconds: AWS's window is a day. */
export const LONGEST_DOUBT = HOUR
/** So many points of a new counter, or under a new start, and what was in doubt at the first of them is decided. */
export const CONVINCING = 3
/** How many points are remembered of counters that share their start, to see whether they are one. */
const RECENT = 8
/** So many names of a counter are remembered, and so many counters of one start; what is beyond is told. */
const MOST_NAMES = 32
const MOST_COUNTERS = 64
/** What goes on being wrong is told again after so long, in microseconds. */
const TOLD_AGAIN = HOUR * 1000
/** So many points at the same time with the same value, and two names are one counter's. */
const COPIED = 2

export interface StartedState {
  readonly kind: 'started'
  /** In microseconds since the epoch. */
  readonly start: number
  readonly counters: readonly StartedCounter[]
  /** When what waits is decided at the latest, in milliseconds; 0 when nothing waits. */
  readonly wakeAt: number
  /** When it was last heard of, where its times are long behind, in milliseconds. */
  readonly heard?: number | undefined
}

export interface StartedCounter {
  /** The streams that it came in. */
  readonly names: readonly string[]
  readonly mark: bigint
  /** When it was highest, where that is not at its youngest point. */
  readonly markedAt?: number | undefined
  /** The youngest point, in microseconds. */
  readonly time: number
  /** What it has added to usage, whether that is billed or held. */
  readonly emitted: bigint
  /** How often it has spoken, up to what convinces. */
  readonly points: number
  /** What of its mark is none of its usage, where that is known. */
  readonly base?: bigint | undefined
  /** Of one that began before metering did, its first point since; and that of one that is new beside others. */
  readonly first?: Knot | undefined
  /**
   * Why it is not counted yet: whether its start is one, whether it began after a collection that is known, or whether
   * others of its start go on beside it.
   */
  readonly waits?: 'start' | 'collection' | 'others' | undefined
  /** Whether its first point was found to be after a collection that is known. */
  readonly proven?: boolean | undefined
  /** Whether it may be one of the others under another name, which is not counted yet either. */
  readonly strange?: boolean | undefined
  /** Whose usage it is while it waits. */
  readonly waiter?: Waiter | undefined
  /** Beside others: its last points, and how many of them another had, too. */
  readonly recent?: readonly Knot[] | undefined
  readonly copies?: number | undefined
  /** Whether it is sent under another name, too, and counted there. */
  readonly copy?: boolean | undefined
  /** Whether nobody went on beside it when it began: it proves nothing of others. */
  readonly apart?: boolean | undefined
  /** When it was last told that it has fallen, which one counter alone does not. */
  readonly fell?: number | undefined
}

type Draft = { -readonly [Member in keyof StartedCounter]: StartedCounter[Member] }

/** What was known of a counter by the rules of the first schema. */
export interface Legacy {
  readonly mark: bigint
  readonly time: number
  readonly doubted: boolean
}

/** What else is known of a counter that is new here. */
export interface Newcomer {
  readonly legacy?: Legacy | undefined
  /** Whether its stream's starts may move: the one before spoke but once, and had nothing higher of it. */
  readonly moves?: boolean | undefined
  /** Whether others of its stream had this start before. */
  readonly beside?: boolean | undefined
  /** Whether it may have been known and forgotten: what it says first is held. */
  readonly late?: boolean | undefined
}

export function observeStarted(
  before: StartedState | undefined,
  point: Reading,
  given: Surroundings,
  newcomer: Newcomer = {},
): Outcome<StartedState> {
  const around = sinceThen(given, before)
  const { start, value, stream } = point
  let { time } = point
  const { legacy } = newcomer
  let counters: Draft[] = (before?.counters ?? []).map(counter => ({ ...counter }))
  const notes: Note[] = []
  const late: Emission[] = []
  let mine = counters.find(({ names }) => names.includes(stream.key))
  let rule: Rule = 'goes-on'
  let known: { readonly time: number; readonly highest: Knot } | undefined
  if (mine === undefined) {
    mine = counters.find(one => one.copy !== true && isSame(one, point, around))
    if (mine !== undefined) {
      // The first is by what it is found again.
      mine.names = [...mine.names.slice(0, 1), ...mine.names.slice(1).slice(1 - MOST_NAMES), stream.key]
      rule = 'renamed'
    } else if (legacy === undefined) rule = start < around.since ? 'first-contact' : 'own-start'
  }
  if (mine === undefined && before !== undefined && counters.length >= MOST_COUNTERS) {
    notes.push({ verdict: 'shared-identity', account: point.account, amount: value })
    return { state: before, rule: 'several-writers', emissions: [], notes }
  }
  // A time from before what is remembered orders nothing.
  if (before !== undefined && mine !== undefined && time < mine.time - MEMORY) {
    if (value <= mine.mark) return { state: before, rule, emissions: [], notes }
    time = mine.time
  }
  const others = counters.filter(one => one !== mine && !isOfAnother(one, point, around))
  const doubted = isDoubted(mine, start, around, legacy)
  if (mine === undefined) {
    mine = begin(point, others.length > 0, around, newcomer)
    // Kept for long: what is pushed to has room for sixteen more.
    counters = counters.length === 0 ? [mine] : counters.concat(mine)
    if (newcomer.late) late.push(...holdAll(mine, point, around, legacy))
  } else {
    const markedAt = mine.markedAt ?? mine.time
    const falls = (value < mine.mark && time > markedAt) || (value > mine.mark && time < mine.time)
    known = { time: mine.time, highest: { time: markedAt, value: mine.mark } }
    if (falls && time - (mine.fell ?? Number.NEGATIVE_INFINITY) >= TOLD_AGAIN) {
      mine.fell = time
      const amount = value < mine.mark ? mine.mark - value : value - mine.mark
      notes.push({ verdict: 'shared-identity', account: point.account, amount })
    }
    const highest = value > mine.mark || (value === mine.mark && time < markedAt) ? time : markedAt
    mine.markedAt = highest === Math.max(time, mine.time) ? undefined : highest
    if (isFirst(mine, start, time, around.since)) {
      mine.first = { time, value }
      mine.proven = undefined
      // Of an earlier point, the others of its collection may be yet to come.
      if (start < around.since && mine.base === undefined) mine.waits = 'collection'
    }
    if (time !== mine.time && mine.points < CONVINCING) mine.points += 1
    if (value > mine.mark) mine.mark = value
    if (time > mine.time) mine.time = time
  }
  if (start < around.since && time < around.since && value > (mine.base ?? -1n)) {
    notes.push({ verdict: 'baseline', account: point.account, amount: value - (mine.base ?? 0n) })
    mine.base = value
    if (mine.waits === 'collection') mine.waits = undefined
  }
  if (others.length === 0) watch(mine, { time, value }, known, point.account, notes)
  if (others.length > 0) compare(mine, others, { ...point, time }, notes)
  decide(mine, around, start, false, notes, point.account)
  const emissions = [...late, ...emit(mine, start, around, point, doubted)]
  if (mine.waiter !== undefined) rule = 'waits'
  else if (start < around.since && emissions.length > 0 && mine.proven) rule = 'new-in-stream'
  const waits = counters.some(isWaiting)
  const wakeAt = waits ? before?.wakeAt || point.receivedAt + LONGEST_DOUBT : 0
  return { state: { kind: 'started', start, counters, wakeAt }, rule, emissions, notes }
}

/** All of what was counted whole was metered: the account that it is of now may be another product's, metered for less long. */
function sinceThen(around: Surroundings, before: StartedState | undefined): Surroundings {
  if (before === undefined || before.start >= around.since) return around
  const whole = before.counters.some(
    ({ base, emitted, mark }) => base === undefined && emitted > 0n && emitted === mark,
  )
  return whole ? { ...around, since: before.start } : around
}

/**
 * The same for the points that most are: of a counter that is alone under its start and name, has spoken before, and
 * goes on. Undefined for all others.
 */
export function continueStarted(
  { start, counters, wakeAt }: StartedState,
  stream: string,
  { time, value }: Knot,
): StartedState | undefined {
  const counter = counters[0] as StartedCounter
  if (counters.length > 1 || wakeAt !== 0 || counter.names[0] !== stream || !isPlain(counter)) return undefined
  const { names, mark, emitted, points } = counter
  if (value < mark || time <= counter.time || emitted > value || points === 1) return undefined
  const next = { names, mark: value, time, emitted: value, points: points < CONVINCING ? points + 1 : points }
  return { kind: 'started', start, counters: [next], wakeAt }
}

/** Whether there is nothing to know of a counter but its mark. */
export function isPlain(counter: StartedCounter): boolean {
  return (
    counter.names.length === 1 &&
    counter.waiter === undefined &&
    counter.base === undefined &&
    counter.markedAt === undefined &&
    counter.first === undefined &&
    counter.waits === undefined &&
    counter.recent === undefined &&
    !counter.proven &&
    !counter.strange &&
    !counter.copy &&
    !counter.apart &&
    counter.fell === undefined
  )
}

/** The end of a wait: what is still not known is decided without. */
export function wakeStarted(
  before: StartedState,
  aroundOf: (waiter: Waiter, stream: string) => Surroundings,
): Outcome<StartedState> {
  const { start } = before
  const notes: Note[] = []
  const emissions: Emission[] = []
  const counters = before.counters.map(counter => ({ ...counter }))
  for (const counter of counters) {
    const { waiter } = counter
    if (waiter === undefined) continue
    const { account } = waiter
    const around = aroundOf(waiter, counter.names.at(-1) as string)
    if (counter.waits === 'others' && !around.othersWentOn(counter.names, start, counter.first?.time ?? 0)) {
      // Nobody went on beside it: it may be one of them under other attributes.
      counter.waits = undefined
      counter.apart = true
      emissions.push({ account, amount: counter.mark - counter.emitted, held: 'old-counter' })
      counter.emitted = counter.mark
    }
    if (counter.strange) {
      // It began when others had ended, so it may be one of them under another name: what they had is not counted again.
      const theirs = counters.filter(one => one !== counter && !one.copy && !one.strange)
      const most = theirs.reduce((most, { mark }) => (mark > most ? mark : most), 0n)
      const first = counter.first?.value ?? 0n
      const uncertain = first < most ? first : most
      counter.strange = undefined
      if (start >= around.since && uncertain > counter.emitted) {
        emissions.push({ account, amount: uncertain - counter.emitted, held: 'old-counter' })
        counter.emitted = uncertain
      }
    }
    decide(counter, around, start, true, notes, account)
    emissions.push(...emit(counter, start, around, { account, receivedAt: waiter.at }, false))
    counter.waiter = undefined
  }
  return { state: { ...before, counters, wakeAt: 0 }, rule: 'goes-on', emissions, notes }
}

/** What of a state waits to be decided. */
export function waitingOfStarted({ counters, start }: StartedState): bigint {
  let sum = 0n
  for (const counter of counters) {
    if (counter.waiter === undefined || counter.copy) continue
    const most = start < counter.waiter.since ? counter.mark - (counter.base ?? 0n) : counter.mark
    if (most > counter.emitted) sum += most - counter.emitted
  }
  return sum
}

const isWaiting = ({ waiter }: Pick<StartedCounter, 'waiter'>): boolean => waiter !== undefined

/** Whether a lost ledger may have counted what comes next. */
function isDoubted(
  counter: Pick<StartedCounter, 'time'> | undefined,
  start: number,
  { restored, since }: Surroundings,
  legacy: Legacy | undefined,
): boolean {
  if (counter !== undefined) return counter.time < restored
  if (legacy !== undefined) return legacy.doubted || legacy.time < restored
  return start < restored && start >= since
}

/** The names of a counter that has one. Those of a stream share them: there are many. */
export function onlyName(name: string): readonly string[] {
  if (lastNames[0] !== name) lastNames = [name]
  return lastNames
}
let lastNames: readonly string[] = []

function begin(
  { start, time, value, stream }: Reading,
  alongside: boolean,
  { since }: Surroundings,
  { legacy, moves, beside, late }: Newcomer,
): Draft {
  const counter: Draft = { names: onlyName(stream.key), mark: value, time, emitted: 0n, points: 1 }
  if (legacy !== undefined) {
    // Its rules have decided on what it had.
    if (start < since) counter.base = legacy.mark
    else counter.emitted = legacy.mark
    if (legacy.mark > value) counter.mark = legacy.mark
    counter.time = Math.max(time, legacy.time)
    return counter
  }
  if (late) return counter
  if (alongside) counter.strange = true
  if (start < since) counter.waits = 'collection'
  else if (!alongside && moves) counter.waits = 'start'
  else if (!alongside && beside) counter.waits = 'others'
  if (start < since ? time >= since : alongside || beside) counter.first = { time, value }
  return counter
}

/** Of a counter that may have been forgotten nobody knows how much of its mark was counted. */
function holdAll(counter: Draft, { start, account }: Reading, { since }: Surroundings, legacy?: Legacy): Emission[] {
  const amount = counter.mark - (legacy?.mark ?? 0n)
  if (start < since) counter.base = counter.mark
  else counter.emitted = counter.mark
  return amount > 0n ? [{ account, amount, held: 'old-counter' }] : []
}

/** Whether a point is the first that a new counter can be judged by. */
function isFirst({ first }: Draft, start: number, time: number, since: number): boolean {
  if (first !== undefined) return time < first.time && (start >= since || time >= since)
  return start < since && time >= since
}

/** Whether a counter is what came under another name: attributes were added or taken away. */
function isSame(counter: StartedCounter, { stream }: Reading, { attributesOf }: Surroundings): boolean {
  return counter.names.every(name => {
    const attributes = attributesOf(name)
    return attributes !== undefined && compatible(attributes, stream.attributes)
  })
}

/** Points that were overtaken tell of a fall, too: as many as come between two in order are looked at. */
function watch(
  mine: Draft,
  point: Knot,
  known: { readonly time: number; readonly highest: Knot } | undefined,
  account: Account,
  notes: Note[],
): void {
  if (known === undefined || point.time - (mine.fell ?? Number.NEGATIVE_INFINITY) < TOLD_AGAIN) return
  if (point.time > known.time) {
    mine.recent = undefined
    return
  }
  const overtaken = [...(mine.recent ?? []), known.highest]
  const other = overtaken.find(
    ({ time, value }) => (time < point.time && value > point.value) || (time > point.time && value < point.value),
  )
  mine.recent = [...(mine.recent ?? []), point].slice(-RECENT)
  if (other === undefined) return
  mine.fell = point.time
  mine.recent = undefined
  const amount = point.value > other.value ? point.value - other.value : other.value - point.value
  notes.push({ verdict: 'shared-identity', account, amount })
}

/** Whether a counter is surely that of another sender. */
function isOfAnother({ names }: StartedCounter, { stream }: Reading, { attributesOf }: Surroundings): boolean {
  const attributes = attributesOf(names[0] as string)
  return attributes !== undefined && areTwo(attributes, stream.attributes)
}

/** Looks whether the counters of one start are one that is sent twice, or several that are alive at once. */
function compare(mine: Draft, others: readonly Draft[], { time, value, account }: Reading, notes: Note[]): void {
  for (const other of others) {
    const pair = mine.strange ? mine : other.strange ? other : undefined
    if (pair === undefined) continue
    const last = { time: other.time, value: other.mark }
    const there = [...(other.recent ?? []), last].find(one => one.time === time)
    const same = there?.value === value
    if (same) {
      pair.copies = (pair.copies ?? 0) + 1
      if (pair.copies < COPIED) continue
      pair.copy = true
      pair.strange = undefined
      pair.waiter = undefined
      notes.push({ verdict: 'sent-twice', account, amount: pair.mark })
    } else if (there !== undefined) {
      pair.strange = undefined
    } else if (pair === other ? time > (other.first?.time ?? 0) : other.time > time) {
      // Each speaks after the other has: they are alive at once.
      if (!pair.copies) pair.strange = undefined
    }
  }
  mine.recent = [...(mine.recent ?? []), { time, value }].slice(-RECENT)
}

/** Decides what a new counter of an old process is, when what came with it is known. */
function decide(
  counter: Draft,
  around: Surroundings,
  start: number,
  over: boolean,
  notes: Note[],
  account: Account,
): void {
  const { first } = counter
  const { stream, since } = around
  if (counter.waits === 'start') {
    if (counter.points > 1) counter.waits = undefined
    else if (over) {
      counter.waits = undefined
      if (stream?.startless) {
        counter.copy = true
        notes.push({ verdict: 'moving-start', account, amount: counter.mark })
      }
    }
  }
  if (counter.waits === 'others' && around.othersWentOn(counter.names, start, first?.time ?? 0))
    counter.waits = undefined
  // Nothing is judged by it any more: like most, the counter has nothing but its mark.
  if (start >= since && counter.waits === undefined && !counter.strange) counter.first = undefined
  if (start >= since || counter.base !== undefined || first === undefined) return
  counter.proven ||= around.wentOnAt(counter.names, first.time) || undefined
  if (counter.waits !== 'collection') return
  // In a stream's first collection there is nothing that a counter could have come after.
  const alone = stream === undefined || stream.first >= first.time
  const proven = counter.proven && counter.points >= CONVINCING
  if (!over && !alone && !proven) return
  counter.waits = undefined
  const base = baseOf(counter, start, since)
  if (base > 0n) notes.push({ verdict: 'baseline', account, amount: base })
}

/** What of its mark a counter had before metering began. */
function baseOf({ base, first, proven }: StartedCounter, start: number, since: number): bigint {
  if (start >= since || proven) return 0n
  return base ?? first?.value ?? 0n
}

function emit(
  counter: Draft,
  start: number,
  { since }: Surroundings,
  { account, receivedAt }: Pick<Reading, 'account' | 'receivedAt'>,
  doubted: boolean,
): Emission[] {
  if (counter.copy) return []
  const waits = counter.waits !== undefined || counter.strange
  if (waits) counter.waiter = { account, since, at: counter.waiter?.at ?? receivedAt }
  else if (counter.waiter !== undefined) counter.waiter = undefined
  // Of one that may have begun before only what it had at first waits.
  if (counter.strange || (waits && counter.waits !== 'collection')) return []
  const base = counter.waits === 'collection' ? (counter.first?.value ?? 0n) : baseOf(counter, start, since)
  const amount = counter.mark - base - counter.emitted
  if (amount <= 0n) return []
  counter.emitted += amount
  return [{ account, amount, ...(doubted && { held: 'old-counter' as const }) }]
}
