import type { Account } from '../../../usage/account.ts'
import { MINUTE } from '../../hours.ts'
import {
  type Emission,
  type Knot,
  MEMORY,
  type Note,
  type Outcome,
  type Reading,
  type Surroundings,
  type Waiter,
} from './reading.ts'
import { type Legacy, LONGEST_DOUBT } from './started.ts'

/**
 * A gauge: a level in units for each second, which usage is the integral of. It holds its level until the next point,
 * and no longer than it may. Levels are kept for as long as a queue may hold points back, so that a late one divides its
 * interval.
 */

/** So many at most. */
const MOST_LEVELS = 2000
/** How far points are apart where nothing is known yet: as exporters and scrapers have it. */
const USUAL_STEP = MINUTE * 1000
const MILLION = 1_000_000n

export interface LevelsState {
  readonly kind: 'levels'
  /** In the order of their times; values are in millionths of a unit for each second. */
  readonly levels: readonly Knot[]
  /** What is before the first of them, and all that was added to usage, in millionths of a millionth. */
  readonly settled: bigint
  /** Up to when that is, in microseconds: what is older divides nothing any more. */
  readonly settledTo?: number | undefined
  readonly emitted: bigint
  /** Up to which level waits have ended, and silences were told, in microseconds. */
  readonly decided: number
  readonly told: number
  readonly wakeAt: number
  readonly waiter?: Waiter | undefined
  readonly waiting?: bigint | undefined
  /** The longest time that a level holds, in microseconds. */
  readonly maxGap: number
  /** When it was last heard of, where its times are long behind, in milliseconds. */
  readonly heard?: number | undefined
}

export function observeLevel(
  before: LevelsState | undefined,
  point: Reading & { readonly maxGap: number },
  around: Surroundings,
  legacy?: Legacy & Knot & { readonly rest: bigint },
): Outcome<LevelsState> {
  const { time, value, maxGap, account, receivedAt } = point
  const known = before ?? begin(legacy, maxGap)
  if (time < Math.max(known.settledTo ?? 0, (known.levels.at(-1)?.time ?? 0) - MEMORY))
    return { state: known, rule: 'level', emissions: [], notes: [] }
  const levels = [...known.levels]
  let at = levels.length
  while (at > 0 && (levels[at - 1] as Knot).time > time) at -= 1
  if (levels[at - 1]?.time === time) return { state: known, rule: 'level', emissions: [], notes: [] }
  const doubted = (levels.at(-1)?.time ?? Number.POSITIVE_INFINITY) < around.restored
  levels.splice(at, 0, { time, value })
  const state = { ...known, levels, maxGap }
  const counted = count(state, around, account, doubted)
  if (!counted.state.waiting) return counted
  return {
    ...counted,
    state: {
      ...counted.state,
      waiter: { account, since: around.since, at: known.waiter?.at ?? receivedAt },
      wakeAt: known.wakeAt || receivedAt + LONGEST_DOUBT,
    },
  }
}

/** The end of a wait: what was silent until an hour ago is taken to have held its level for as long as it may. */
export function wakeLevels(before: LevelsState, around: Surroundings, now: number): Outcome<LevelsState> {
  if (before.waiter === undefined) return { state: { ...before, wakeAt: 0 }, rule: 'level', emissions: [], notes: [] }
  const decided = Math.max(before.decided, (now - LONGEST_DOUBT) * 1000)
  const counted = count({ ...before, decided }, around, before.waiter.account, false)
  if (counted.state.wakeAt === 0) return counted
  return { ...counted, state: { ...counted.state, wakeAt: now + LONGEST_DOUBT } }
}

function begin(legacy: (Legacy & Knot & { readonly rest: bigint }) | undefined, maxGap: number): LevelsState {
  const state: LevelsState = {
    ...{ kind: 'levels', levels: [], settled: 0n, emitted: 0n, decided: 0, told: 0, wakeAt: 0, maxGap },
  }
  if (legacy === undefined) return state
  return {
    ...state,
    levels: [{ time: legacy.time, value: legacy.value }],
    settled: legacy.rest,
    settledTo: legacy.time + 1,
  }
}

function count(before: LevelsState, { since }: Surroundings, account: Account, doubted: boolean): Outcome<LevelsState> {
  const { levels, maxGap } = before
  const notes: Note[] = []
  let { settled, told } = before
  let decidedTo = before.decided
  const step = stepOf(levels)
  let [usage, waiting] = [settled, 0n]
  let keep = 0
  const forgotten = Math.max((levels.at(-1) as Knot).time - MEMORY, 0)
  for (let index = 1; index < levels.length; index += 1) {
    const [left, right] = [levels[index - 1] as Knot, levels[index] as Knot]
    const elapsed = right.time - Math.max(left.time, since)
    if (elapsed > 0) {
      const held = left.value * BigInt(Math.min(elapsed, maxGap))
      // What is longer than usual may still be divided by a late point.
      if (right.time <= decidedTo || elapsed <= step + step / 2 || levels.length - index > MOST_LEVELS) {
        usage += held
        // What is counted stays so, whatever is usual later.
        if (waiting === 0n) decidedTo = Math.max(decidedTo, right.time)
        if (elapsed > maxGap && right.time > told) {
          told = right.time
          notes.push({ verdict: 'gap', account, amount: (left.value * BigInt(elapsed - maxGap)) / MILLION })
        }
      } else waiting += held
    }
    // Summed up, once no point of its time comes any more.
    if (waiting === 0n && (right.time <= forgotten || levels.length - index > MOST_LEVELS)) {
      settled = usage
      keep = index
    }
  }
  const amount = (usage - before.emitted) / MILLION
  const emissions: Emission[] =
    amount > 0n ? [{ account, amount, ...(doubted && { held: 'old-counter' as const }) }] : []
  const { waiter: _, waiting: __, ...rest } = before
  const state: LevelsState = {
    ...rest,
    ...{ levels: levels.slice(keep), settled, decided: decidedTo, told, wakeAt: 0 },
    emitted: amount > 0n ? before.emitted + amount * MILLION : before.emitted,
    ...(keep > 0 && { settledTo: (levels[keep] as Knot).time }),
    ...(waiting > 0n && { waiting: waiting / MILLION, wakeAt: before.wakeAt, waiter: before.waiter }),
  }
  return { state, rule: state.waiting === undefined ? 'level' : 'waits', emissions, notes }
}

/** How far points are apart as a rule, in microseconds: between half of them it is no more. */
function stepOf(levels: readonly Knot[]): number {
  // One interval alone does not tell.
  if (levels.length < 3) return USUAL_STEP
  const steps: number[] = []
  for (let index = Math.max(1, levels.length - 64); index < levels.length; index += 1) {
    steps.push((levels[index] as Knot).time - (levels[index - 1] as Knot).time)
  }
  return steps.sort((a, b) => a - b)[Math.floor((steps.length - 1) / 2)] as number
}
