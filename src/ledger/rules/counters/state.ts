import { LedgerError } from '../../errors.ts'
import type { StreamState } from './evidence.ts'
import type { LevelsState } from './levels.ts'
import type { Knot } from './reading.ts'
import { isPlain, type Legacy, onlyName, type StartedCounter, type StartedState } from './started.ts'
import type { ValuesState } from './values.ts'

/** States as text, for engines to keep. Another layout gets another first letter. */

export type CounterState = StartedState | ValuesState | LevelsState

/** What the first schema knew of a counter or gauge: how those that it had go on. */
export interface LegacyState extends Legacy, Knot {
  readonly start: number
  readonly rest: bigint
  /** The highest value of each start. */
  readonly marks: ReadonlyMap<number, bigint>
  readonly forgotten: number
}

/** Most counters have one name, one start, and nothing that waits. */
const PLAIN = 'p'
const OTHER = 'j'
/** A gauge has many levels: they are written as what each differs by in time, and its value. */
const LEVELS = 'l'

export function packState(state: CounterState): string {
  const plain = state.kind === 'started' ? plainOf(state) : undefined
  if (state.kind === 'started' && plain !== undefined) {
    const { names, mark, time, emitted, points } = plain
    const { start } = state
    const name = shortName(names[0] as string)
    // They are written again with each point, so they are short.
    const rest = emitted === mark ? '' : ` ${emitted}`
    return `${PLAIN}${name}${points}${start.toString(36)} ${(time - start).toString(36)} ${textOf(mark)}${rest}`
  }
  if (state.kind === 'levels') return LEVELS + toJson({ ...state, levels: packLevels(state.levels) })
  return OTHER + toJson(state)
}

/** The counter of a state that has nothing but its mark, and no other beside it; undefined of any other state. */
export function plainOf({ counters, heard }: StartedState): StartedCounter | undefined {
  const [only] = counters
  return counters.length === 1 && only !== undefined && isPlain(only) && heard === undefined ? only : undefined
}

/** The state of such a counter that has added all of its mark to usage. */
export function startedOf(
  start: number,
  names: readonly string[],
  mark: bigint,
  time: number,
  points: number,
): StartedState {
  return { kind: 'started', start, counters: [{ names, mark, time, emitted: mark, points }], wakeAt: 0 }
}

const toJson = (state: object) => JSON.stringify(state, (_, one) => (typeof one === 'bigint' ? `${one}n` : one))

function packLevels(levels: readonly Knot[]): string {
  let last = 0
  return levels
    .map(({ time, value }) => {
      const later = time - last
      last = time
      return `${later.toString(36)} ${value.toString(36)}`
    })
    .join(',')
}

function unpackLevels(text: string): Knot[] {
  let last = 0
  return text.split(',').map(one => {
    const [later, value] = one.split(' ') as [string, string]
    last += Number.parseInt(later, 36)
    return { time: last, value: numberOf(value) }
  })
}

/** Of digits in base 36. */
function numberOf(text: string): bigint {
  if (text.length <= 10) return BigInt(Number.parseInt(text, 36))
  return numberOf(text.slice(0, -10)) * 36n ** 10n + BigInt(Number.parseInt(text.slice(-10), 36))
}

/** About how many bytes a state takes in memory. */
export function sizeOfState(state: CounterState): number {
  switch (state.kind) {
    case 'started':
      return 400 * state.counters.length
    case 'values':
      return 500 + 100 * state.knots.length + 200 * state.epochs.length
    case 'levels':
      return 400 + 100 * state.levels.length
  }
}

/** The same of a stream. */
export function sizeOfStream({ attributes, starts, collections }: StreamState): number {
  return 400 + attributes.length + 500 * starts.length + 16 * collections.length
}

export function unpackState(text: string): CounterState {
  if (text[0] !== PLAIN) {
    const state = JSON.parse(text.slice(1), (_, one) =>
      typeof one === 'string' && /^-?\d+n$/.test(one) ? BigInt(one.slice(0, -1)) : one,
    )
    return text[0] === LEVELS ? { ...state, levels: unpackLevels(state.levels) } : state
  }
  const [begun, since, marked, rest] = text.slice(PLAIN_NAME + 1).split(' ') as [string, string, string, string?]
  const start = Number.parseInt(begun, 36)
  const mark = amountOf(marked)
  const counter = {
    names: onlyName(Buffer.from(text.slice(1, PLAIN_NAME), 'base64url').toString('hex')),
    ...{ mark, time: start + Number.parseInt(since, 36), emitted: rest === undefined ? mark : BigInt(rest) },
    points: Number(text[PLAIN_NAME]),
  }
  return { kind: 'started', start, counters: [counter], wakeAt: 0 }
}

/** The state of a counter that has only risen since: all of its mark was added to usage. */
export function risenTo(state: CounterState, { mark, time }: Pick<StartedCounter, 'mark' | 'time'>): StartedState {
  const [only] = state.kind === 'started' ? state.counters : []
  if (state.kind !== 'started' || only === undefined || state.counters.length > 1 || !isPlain(only)) {
    throw new LedgerError(
      'ERR_LEDGER_CORRUPT',
      `The ledger has a mark of a counter that has not only risen: ${toJson(state)}`,
    )
  }
  return { ...state, counters: [{ ...only, mark, time, emitted: mark }] }
}

/** Where the name of a plain state ends: 16 bytes in base64. */
const PLAIN_NAME = 23

/** Mostly it is the same stream as before. */
let last = { name: '', short: '' }
function shortName(name: string): string {
  if (name !== last.name) last = { name, short: Buffer.from(name, 'hex').toString('base64url') }
  return last.short
}

/** A value in as few characters as is quick; one that is no number's has a letter before it that no other has. */
const textOf = (value: bigint): string =>
  value <= Number.MAX_SAFE_INTEGER ? Number(value).toString(36) : `${LARGE}${value}`
const amountOf = (text: string): bigint =>
  text[0] === LARGE ? BigInt(text.slice(1)) : BigInt(Number.parseInt(text, 36))
const LARGE = '+'

export function packStream(state: StreamState): string {
  return JSON.stringify(state)
}

export function unpackStream(text: string): StreamState {
  return JSON.parse(text)
}

/** A state of the first schema: time, value, rest, forgotten, doubted, and each start with its mark. */
export function unpackLegacy(text: string): LegacyState {
  const [time, value, rest, forgotten, doubted, ...starts] = text.split(' ') as [string, string, string, string, string]
  const marks = new Map(
    (starts as string[]).map(one => {
      const colon = one.indexOf(':')
      return [Number(one.slice(0, colon)), BigInt(one.slice(colon + 1))] as const
    }),
  )
  const [start = 0, mark = 0n] = [...marks].at(-1) ?? []
  return {
    ...{ start, mark, marks, time: Number(time), value: BigInt(value), rest: BigInt(rest) },
    ...{ forgotten: Number(forgotten), doubted: doubted === '1' },
  }
}

/** The same of a state that points have made which did not say their stream. */
export function legacyOf(state: CounterState, known: LegacyState | undefined): LegacyState {
  const { starts, last } = lastOf(state)
  const marks = new Map([...(known?.marks ?? []), ...starts])
  const [start = 0, mark = 0n] = starts.at(-1) ?? []
  return { ...{ start, mark, marks, ...last }, ...{ rest: 0n, forgotten: 0, doubted: false } }
}

function lastOf(state: CounterState): { starts: readonly (readonly [number, bigint])[]; last: Knot } {
  switch (state.kind) {
    case 'started': {
      const { mark, time } = state.counters[0] as StartedCounter
      return { starts: [[state.start, mark]], last: { time, value: mark } }
    }
    case 'values':
      return { starts: state.epochs.map(({ start, mark }) => [start, mark]), last: state.knots.at(-1) as Knot }
    case 'levels':
      return { starts: [], last: state.levels.at(-1) as Knot }
  }
}
