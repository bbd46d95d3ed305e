import type { Account } from '../../../usage/account.ts'
import { HOUR, MINUTE } from '../../hours.ts'
import { wentOnAt } from './evidence.ts'
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
import { CONVINCING, type Legacy, LONGEST_DOUBT } from './started.ts'

/**
 * A counter of a scraped target, or one that does not say when it began: its points in the order of their times. Where
 * starts are said that are real, each start has a mark of its own; where not, its values alone tell.
 */

/** How many points are remembered. Of a stretch that only rises, those between its ends tell nothing. */
const MOST_KNOTS = 32
const MOST_EPOCHS = 128
/** A rise, or what has been counted since a restart, is like the others up to so many times the usual. */
const UNLIKELY = 6
/** A fall to so many tenths of what was, that comes back at once, is none. */
const NEARLY = 9n
/** Two scrapers' clocks are no further apart, in microseconds; what dips deeper so often is several who count. */
const NEAR = MINUTE * 1000
const MOST_DIPS = 2
/** What is not likely waits for more points for as long as lets AWS's window be used, in milliseconds. */
const LAST_CALL = 18 * HOUR
/** After so long without a jump or fall, whoever counts is alone, in microseconds. */
const CALM = HOUR * 1000

export interface ValuesState {
  readonly kind: 'values'
  /** The stream that it last came in. */
  readonly stream: string
  /** Since when it is metered: the account that it is of now may be another product's, metered for less long. */
  readonly since?: number | undefined
  /** In the order of their times. */
  readonly knots: readonly Knot[]
  /** What of the first knot's value is none of its usage, once that is known. */
  readonly base?: bigint | undefined
  /** Of one that the first schema had: what is not younger, its rules have decided on. */
  readonly decided?: number | undefined
  /** Whether its first value was told not to be billed. */
  readonly noted?: boolean | undefined
  /** Usage by values of before the first knot, and up to when it is summed up: nothing older can be divided any more. */
  readonly settled: bigint
  readonly settledTo?: number | undefined
  /** What was added to usage, and what is held. */
  readonly emitted: bigint
  readonly held: bigint
  /** How often it has spoken, up to what convinces. */
  readonly points: number
  /** Falls up to this time are restarts, since the old height did not come back for so long. */
  readonly believed: number
  /** Its starts, by time, and usage of those that are forgotten, which are not younger than `forgotten`. */
  readonly epochs: readonly Epoch[]
  readonly epochsSettled: bigint
  readonly forgotten: number
  /** Whether its starts are none. */
  readonly startless: boolean
  /** Since when nobody can say whose points are whose: the last jump or fall, and the usual rise of before. */
  readonly disturbed: number
  readonly rate: number
  /** Whether it was told that it falls and comes back again and again. */
  readonly dips?: boolean | undefined
  /** What was not counted since it was last told, and when that was. */
  readonly untold: bigint
  readonly toldAt: number
  /** When what waits is decided at the latest, in milliseconds; 0 when nothing waits. */
  readonly wakeAt: number
  /** Whose usage it is while it waits, and how much waits. */
  readonly waiter?: Waiter | undefined
  readonly waiting?: bigint | undefined
  /** When it was last heard of, where its times are long behind, in milliseconds. */
  readonly heard?: number | undefined
}

interface Epoch {
  readonly start: number
  readonly first: Knot
  readonly mark: bigint
  readonly time: number
  readonly points: number
  /** What of its mark is not its usage, as long as its start is not believed; the mark of the start that it goes on from. */
  readonly doubted?: bigint | undefined
  /** It goes on from a start that is younger: it is one only where both are alive, which is seen by a fall. */
  readonly back?: boolean | undefined
  /** Of one that began before metering: the highest value of before. */
  readonly base?: bigint | undefined
  /** It speaks again after it was forgotten: what it counts is held. */
  readonly late?: boolean | undefined
}

type Draft = { -readonly [Member in keyof ValuesState]: ValuesState[Member] }

/** What a point tells of its start. */
export interface Began {
  readonly wentOn: boolean
  readonly fell: boolean
}

const FRESH: ValuesState = {
  ...{ kind: 'values', stream: '', knots: [], settled: 0n, emitted: 0n, held: 0n, points: 0, believed: 0 },
  ...{ epochs: [], epochsSettled: 0n, forgotten: 0, startless: false },
  ...{ disturbed: 0, rate: 0, untold: 0n, toldAt: 0, wakeAt: 0 },
}

/** What is decided without more points: nothing, what is likely, or all. */
type Decided = 'no' | 'likely' | 'all'

/** Of a counter that was followed by its starts until they were found to be none: what each start had. */
export interface Adopted {
  readonly knots: readonly Knot[]
  readonly emitted: bigint
  readonly whole: boolean
}

/** What else is known of a counter that is new here. */
export interface NewValues {
  readonly legacy?: (Legacy & Knot) | undefined
  readonly adopted?: Adopted | undefined
  /** Up to when counters like it are forgotten, in microseconds, and whether it may be one of them. */
  readonly forgotten?: number
  readonly late?: boolean
}

export function observeValues(
  before: ValuesState | undefined,
  point: Reading,
  given: Surroundings,
  { legacy, adopted, forgotten = 0, late = false }: NewValues = {},
): Outcome<ValuesState> & { readonly began?: Began } {
  const { account, receivedAt } = point
  const notes: Note[] = []
  const around = sinceThen(given, before)
  const { since } = around
  const state: Draft = { ...(before ?? { ...begin(legacy, adopted), forgotten }), stream: point.stream.key, since }
  if (point.time <= (state.decided ?? 0)) return { state: before ?? state, rule: 'by-values', emissions: [], notes }
  const last = state.knots.at(-1)
  // What is so old says nothing that was not summed up with what came after it, but for a start of its own.
  const old = last !== undefined && point.time < Math.max(state.settledTo ?? 0, last.time - MEMORY)
  if (last !== undefined && old && (point.start === 0 || state.startless)) {
    if (point.value > last.value) notes.push({ verdict: 'too-late', account, amount: point.value - last.value })
    return { state: before ?? state, rule: 'by-values', emissions: [], notes }
  }
  const doubted =
    last === undefined
      ? point.start >= around.since && point.start < around.restored
      : last.time < around.restored || (before === undefined && (legacy?.doubted === true || late))
  if (state.disturbed > 0) {
    const emissions = disturb(state, point, notes)
    return { state, rule: 'several-writers', emissions, notes }
  }
  const began = point.start === 0 ? undefined : withStart(state, point, around, notes)
  if (point.start === 0 || around.stream?.startless || around.isShared(point.start)) state.startless = true
  if (state.points < CONVINCING && !state.knots.some(({ time }) => time === point.time)) state.points += 1
  if (!old) insert(state, point)
  const held = late && last === undefined
  if (held) state.base = point.value
  const emissions = count(state, point, around, doubted, 'no', notes)
  // Where its starts are followed, each that is older than what is forgotten is held by itself.
  if (held && (state.startless || state.epochs.length === 0)) {
    emissions.push({ account, amount: point.value, held: 'old-counter' })
  }
  if (!state.disturbed && state.waiting) {
    state.waiter = { account, since: around.since, at: state.waiter?.at ?? receivedAt }
    state.wakeAt ||= receivedAt + LONGEST_DOUBT
  }
  const rule = ruleOf(state, before, around)
  return { state, rule, emissions, notes, ...(began && { began }) }
}

function ruleOf(state: ValuesState, before: ValuesState | undefined, { since }: Surroundings): Rule {
  if (state.disturbed > 0) return 'several-writers'
  if (state.waiting !== undefined) return 'waits'
  if (!state.startless && state.epochs.some(({ start }) => start >= since))
    return before === undefined ? 'own-start' : 'goes-on'
  if (before !== undefined) return 'by-values'
  return state.base === 0n ? 'new-in-stream' : 'first-contact'
}

/** The end of a wait: what is still not known is decided without. */
export function wakeValues(before: ValuesState, given: Surroundings, now: number): Outcome<ValuesState> {
  const around = sinceThen(given, before)
  const state: Draft = { ...before }
  const account = before.waiter?.account
  if (account === undefined) return { state: { ...before, wakeAt: 0 }, rule: 'by-values', emissions: [], notes: [] }
  const notes: Note[] = []
  if (around.stream?.startless) state.startless = true
  state.points = CONVINCING
  const decided = now - (before.waiter?.at ?? 0) < LAST_CALL ? 'likely' : 'all'
  const emissions = count(state, { ...(state.knots.at(-1) as Knot), account }, around, false, decided, notes)
  if (state.waiting) state.wakeAt = now + LONGEST_DOUBT
  return { state, rule: 'by-values', emissions, notes }
}

const sinceThen = (around: Surroundings, before: ValuesState | undefined): Surroundings =>
  before?.since !== undefined && before.since < around.since ? { ...around, since: before.since } : around

function begin(legacy: (Legacy & Knot) | undefined, adopted: Adopted | undefined): ValuesState {
  if (adopted !== undefined && adopted.knots.length > 0) {
    const base = adopted.whole ? 0n : (adopted.knots[0] as Knot).value
    const settledTo = (adopted.knots[0] as Knot).time
    return {
      ...FRESH,
      knots: adopted.knots,
      base,
      settledTo,
      emitted: adopted.emitted,
      startless: true,
      points: CONVINCING,
    }
  }
  if (legacy === undefined) return FRESH
  const { time, value } = legacy
  return { ...FRESH, knots: [{ time, value }], base: value, decided: time, points: CONVINCING }
}

/** Puts a point where its time belongs. Of points of one time the lower comes first. */
function insert(state: Draft, { time, value }: Knot): void {
  const knots = [...state.knots]
  let at = knots.length
  while (at > 0) {
    const one = knots[at - 1] as Knot
    if (one.time < time || (one.time === time && one.value <= value)) break
    at -= 1
  }
  const earlier = knots[at - 1]
  if (earlier?.time === time && earlier.value === value) return
  knots.splice(at, 0, { time, value })
  // It is the first that is known now, so what it says is what was before.
  if (at === 0 && knots.length > 1 && state.base) state.base = value
  while (knots.length > MOST_KNOTS) {
    // Of each stretch some are kept: they tell what is usual.
    let spare = knots.findIndex((_, index) => rises(knots, index - 1, index + 3))
    if (spare < 0) spare = knots.findIndex((_, index) => rises(knots, index - 1, index + 1))
    if (spare < 0) break
    knots.splice(spare, 1)
  }
  state.knots = knots
  if (knots.length <= MOST_KNOTS) return
  // Nothing but falls: what it was by its values is not known any more.
  const first = knots.at(-1) as Knot
  state.knots = [first]
  state.base = first.value
  state.settled = state.emitted
  state.settledTo = first.time
}

/** Whether values never fall between two places, both of which are there. */
function rises(knots: readonly Knot[], from: number, to: number): boolean {
  if (from < 0 || to >= knots.length) return false
  for (let index = from; index < to; index += 1) {
    if ((knots[index] as Knot).value > (knots[index + 1] as Knot).value) return false
  }
  return true
}

/** Adds what is new to usage, and says what waits. */
function count(
  state: Draft,
  { account, time }: { account: Account; time: number },
  around: Surroundings,
  doubted: boolean,
  decided: Decided,
  notes: Note[],
): Emission[] {
  const emissions: Emission[] = []
  const hold = (amount: bigint, held: 'old-counter' | 'several-writers') => {
    emissions.push({ account, amount, held })
  }
  const convinced = decided !== 'no' || state.points >= CONVINCING
  let usage: bigint
  let waiting: bigint
  if (!state.startless && state.epochs.length > 0) {
    ;({ usage, waiting } = byStarts(state, around, convinced, decided !== 'no'))
    const late = state.epochs.reduce((sum, { late, mark }) => (late ? sum + mark : sum), 0n)
    if (late > state.held) {
      hold(late - state.held, 'old-counter')
      state.held = late
    }
  } else {
    const base = baseOf(state, around, convinced, decided !== 'no', notes, account)
    const found = byValues(state.knots, base ?? (state.knots[0] as Knot).value, around.since, state.believed, decided)
    usage = state.settled + found.usage
    waiting = found.waiting + (base === undefined ? (state.knots[0] as Knot).value : 0n)
    if (found.several) {
      state.disturbed = time
      state.rate = found.rate
      state.settled = usage
      state.base = (state.knots.at(-1) as Knot).value
      state.knots = state.knots.slice(-1)
      state.settledTo = (state.knots[0] as Knot).time
      waiting = 0n
      if (found.rises > 0n) hold(found.rises, 'several-writers')
      state.toldAt = time
      notes.push({ verdict: 'shared-identity', account, amount: found.jumps })
    } else if (decided !== 'no' && found.waiting === 0n) state.believed = time
    if (found.dips > MOST_DIPS && !state.dips) {
      state.dips = true
      notes.push({ verdict: 'shared-identity', account, amount: 0n })
    }
    settle(state, base)
  }
  const amount = usage - state.emitted
  if (amount > 0n) {
    state.emitted = usage
    emissions.unshift({ account, amount, ...(doubted && { held: 'old-counter' as const }) })
  }
  state.waiting = waiting > 0n ? waiting : undefined
  if (waiting <= 0n) {
    state.waiter = undefined
    state.wakeAt = 0
  }
  return emissions
}

/** What of the first value is none of its usage; undefined while that is not known. */
function baseOf(
  state: Draft,
  { stream, since }: Surroundings,
  convinced: boolean,
  decided: boolean,
  notes: Note[],
  account: Account,
): bigint | undefined {
  if (state.base !== undefined) return state.base
  const first = state.knots[0] as Knot
  if (first.time < since || state.noted) return wentOnAt(stream, first.time) && first.time >= since ? 0n : first.value
  if (wentOnAt(stream, first.time)) {
    if (convinced) state.base = 0n
    return convinced ? 0n : undefined
  }
  if (stream !== undefined && stream.first < first.time && !decided) return undefined
  // Until it is so old that no proof comes any more, it may yet be found to have begun after a collection.
  if (first.value > 0n && !state.noted) notes.push({ verdict: 'baseline', account, amount: first.value })
  state.noted = true
  return first.value
}

interface Followed {
  readonly usage: bigint
  readonly waiting: bigint
  /** Whether several count under one name; then what rose since, and what jumped. */
  readonly several?: boolean | undefined
  readonly rises: bigint
  readonly jumps: bigint
  readonly rate: number
  /** How often it fell by more than clocks that differ make of it, and was back at once. */
  readonly dips: number
}

interface Fall {
  readonly at: number
  readonly height: bigint
  /** Usage of before. */
  readonly usage: bigint
  /** Whether what came after it may be counted since a restart. */
  readonly likely: boolean
  readonly low: bigint
}

/**
 * What values come to. A fall is a restart if the old height does not come back; if it comes back in a jump, there are
 * several who count; if at once and nearly, it was none.
 */
function byValues(knots: readonly Knot[], base: bigint, since: number, believed: number, decided: Decided): Followed {
  const stretches: Rise[] = []
  let falls: Fall[] = []
  let [usage, dips] = [0n, 0]
  const begun = knots.findIndex(({ time }) => time >= since)
  const first = begun > 0 ? begun : 1
  if (begun <= 0) usage = (knots[0] as Knot).value - base
  if (usage < 0n) usage = 0n
  for (let index = first; index < knots.length; index += 1) {
    const [left, right] = [knots[index - 1] as Knot, knots[index] as Knot]
    const rise = right.value - left.value
    if (rise >= 0n) falls = falls.map(fall => (left.value < fall.low ? { ...fall, low: left.value } : fall))
    // A fall comes back to no height.
    const back = falls.findLast(({ height }) => left.value < height && right.value >= height)
    if (rise >= 0n && back === undefined) {
      usage += rise
      if (rise > 0n) stretches.push(riseOf(left, right))
      continue
    }
    const rate = usualOf(stretches)
    const limit = rate * UNLIKELY * (right.time - left.time)
    if (back === undefined) {
      falls.push({ at: index, height: left.value, usage, likely: Number(right.value) <= limit, low: right.value })
      usage += right.value
      continue
    }
    const depth = Number(back.height - back.low)
    const near = back.low * 10n >= back.height * NEARLY || depth <= rate * UNLIKELY * NEAR
    if (near && index - back.at <= 2) {
      if (depth > rate * NEAR) dips += 1
      usage = back.usage + (right.value - back.height)
      falls = falls.filter(({ at }) => at < back.at)
    } else if (back.likely && Number(rise) <= limit) {
      usage += rise
      falls = falls.filter(fall => fall !== back)
    } else {
      // Nothing counts of what came after the first fall whose height is back.
      const begun = falls.find(({ at, height, likely }) => {
        return right.value >= height || (!likely && (knots[at] as Knot).time > believed)
      }) as Fall
      const since = knots.slice(begun.at)
      let [rises, jumps] = [0n, (since[0] as Knot).value]
      for (let place = 1; place < since.length; place += 1) {
        const [low, high] = [since[place - 1] as Knot, since[place] as Knot]
        const more = high.value - low.value
        if (more > 0n && Number(more) <= rate * UNLIKELY * (high.time - low.time)) rises += more
        else jumps += more > 0n ? more : high.value
      }
      return { usage: begun.usage, waiting: 0n, several: true, rises, jumps, rate, dips }
    }
  }
  // A fall to nearly what was, that nothing could have been counted to since, is another scraper's clock: it waits for
  // the old height.
  const near = falls.find(({ low, height, likely }) => !likely && low * 10n >= height * NEARLY)
  const open =
    near ??
    falls.find(({ at, likely }) => {
      if ((knots[at] as Knot).time <= believed) return false
      // What speaks after it tells, or time: but of a fall that is not likely, not time alone.
      const told = knots.length - 1 - at >= 2
      return !(decided === 'all' || (likely && told) || (decided === 'likely' && (likely || told)))
    })
  if (near !== undefined) return { usage: near.usage, waiting: 0n, rises: 0n, jumps: 0n, rate: 0, dips }
  if (open === undefined) return { usage, waiting: 0n, rises: 0n, jumps: 0n, rate: 0, dips }
  return { usage: open.usage, waiting: usage - open.usage, rises: 0n, jumps: 0n, rate: 0, dips }
}

/** How much a stretch rose in a microsecond, and how long it was. */
interface Rise {
  readonly rate: number
  readonly time: number
}

function riseOf(left: Knot, right: Knot): Rise {
  const time = right.time - left.time || 1
  return { rate: Number(right.value - left.value) / time, time }
}

/**
 * The usual rise, in units of a microsecond: half of the time it rises by no more. A stretch whose points are not
 * remembered stands for all of them. None is known before there were two.
 */
function usualOf(stretches: readonly Rise[]): number {
  if (stretches.length < 2) return 0
  let rest = stretches.reduce((sum, { time }) => sum + time, 0) / 2
  for (const { rate, time } of [...stretches].sort((a, b) => a.rate - b.rate)) {
    rest -= time
    if (rest < 0) return rate
  }
  return 0
}

/** Sums up what is before a restart that is so old that no point of before it comes any more. */
function settle(state: Draft, base: bigint | undefined): void {
  if (base === undefined || state.knots.length < MOST_KNOTS / 2) return
  const { knots } = state
  const end = (knots.at(-1) as Knot).time
  const fall = knots.findIndex((knot, index) => index > 0 && knot.value < (knots[index - 1] as Knot).value)
  if (fall < 0 || (knots[fall] as Knot).time > Math.min(end - MEMORY, state.believed || end)) return
  state.settled += (knots[fall - 1] as Knot).value - base
  state.knots = knots.slice(fall)
  state.settledTo = (knots[fall] as Knot).time
  state.base = 0n
}

/** A point of a name that several count under: what rises as usual is held, what jumps is only told. */
function disturb(state: Draft, { time, value, account }: Reading, notes: Note[]): Emission[] {
  const last = state.knots.at(-1) as Knot
  if (time <= last.time) return []
  const rise = value - last.value
  const usual = rise >= 0n && Number(rise) <= state.rate * UNLIKELY * (time - last.time)
  const alone = usual && time - state.disturbed > CALM && state.points >= CONVINCING
  state.points = usual ? Math.min(state.points + 1, CONVINCING) : 0
  state.knots = [{ time, value }]
  state.base = value
  if (!usual) {
    state.disturbed = time
    state.untold += rise > 0n ? rise : value
  }
  if (alone) {
    state.disturbed = 0
    state.settled = state.emitted
    state.settledTo = time
    state.startless = true
  }
  if (state.untold > 0n && (alone || time - state.toldAt > CALM)) {
    notes.push({ verdict: 'shared-identity', account, amount: state.untold })
    state.untold = 0n
    state.toldAt = time
  }
  return usual && rise > 0n ? [{ account, amount: rise, held: 'several-writers' }] : []
}

/** Adds a point to what is known of its start. */
function withStart(
  state: Draft,
  { start, time, value }: Reading,
  { since }: Surroundings,
  notes: Note[],
): Began | undefined {
  void notes
  const known = state.epochs.find(epoch => epoch.start === start)
  if (known !== undefined) {
    const next: Epoch = {
      ...known,
      first: time < known.first.time ? { time, value } : known.first,
      mark: value > known.mark ? value : known.mark,
      time: Math.max(time, known.time),
      points: Math.min(time === known.time ? known.points : known.points + 1, CONVINCING),
      ...(start < since && time < since && value > (known.base ?? -1n) && { base: value }),
    }
    state.epochs = state.epochs.map(epoch => (epoch === known ? next : epoch))
    return undefined
  }
  const last = state.epochs.reduce<Epoch | undefined>(
    (last, one) => (last === undefined || one.time > last.time ? one : last),
    undefined,
  )
  const mark = last?.mark ?? state.knots.at(-1)?.value
  const fell = mark !== undefined && value < mark
  const wentOn = mark !== undefined && !fell
  const wholeSecond = start % 1_000_000 === 0
  const doubted = wentOn ? mark : mark === undefined && wholeSecond ? value : undefined
  const late = start <= state.forgotten
  const epoch: Epoch = {
    ...{ start, first: { time, value }, mark: value, time, points: 1 },
    ...(doubted !== undefined && { doubted }),
    ...(wentOn && last !== undefined && start < last.start && { back: true }),
    ...(start < since && time < since && { base: value }),
    ...(late && { late }),
  }
  state.epochs = [...state.epochs, epoch]
  forget(state, { since })
  return { wentOn, fell }
}

/** Forgets starts that nothing spoke of for longer than a queue lives; of too many, those that have been silent longest. */
function forget(state: Draft, around: Pick<Surroundings, 'since'>): void {
  const latest = Math.max(...state.epochs.map(({ time }) => time))
  const bySilence = [...state.epochs].sort((a, b) => b.time - a.time)
  const gone = bySilence.filter(({ time }, index) => index >= MOST_EPOCHS || time < latest - MEMORY)
  for (const epoch of gone) {
    state.forgotten = Math.max(state.forgotten, epoch.start)
    if (!epoch.late) state.epochsSettled += ofEpoch(epoch, around.since, undefined, true)
  }
  state.epochs = state.epochs.filter(epoch => !gone.includes(epoch))
}

function byStarts(state: Draft, around: Surroundings, convinced: boolean, decided: boolean) {
  let usage = state.epochsSettled
  let waiting = 0n
  for (const epoch of state.epochs) {
    if (epoch.late) continue
    const sure = decided || epoch.points >= CONVINCING
    const goesOn = epoch.back === true && !fallsAfter(state.knots, epoch.first.time)
    const known = (epoch.start < around.since ? convinced : sure) && !goesOn
    const counted = ofEpoch(epoch, around.since, around, known)
    usage += counted
    if (!known && !(goesOn && sure)) waiting += ofEpoch(epoch, around.since, around, true) - counted
  }
  if (decided) state.epochs = state.epochs.map(epoch => ({ ...epoch, points: CONVINCING }))
  return { usage, waiting }
}

const fallsAfter = (knots: readonly Knot[], time: number): boolean =>
  knots.some((knot, index) => knot.time > time && knot.value < (knots[index - 1]?.value ?? 0n))

/** What of a start's mark is usage. */
function ofEpoch(
  { start, mark, first, doubted, base }: Epoch,
  since: number,
  around: Pick<Surroundings, 'stream'> | undefined,
  believed: boolean,
): bigint {
  if (start >= since) return mark - (believed ? 0n : (doubted ?? 0n))
  if (base !== undefined) return mark - base
  if (believed && wentOnAt(around?.stream, first.time)) return mark
  return mark - (doubted ?? first.value)
}
