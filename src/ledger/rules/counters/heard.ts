import { MEMORY } from './reading.ts'
import type { CounterState } from './state.ts'

/** When a counter was heard of: by its own times, or, where these are long behind, by when its points came. */

/** The youngest time of a state, in microseconds. */
export function lastOf(state: CounterState): number {
  if (state.kind === 'started') return Math.max(...state.counters.map(({ time }) => time))
  return (state.kind === 'values' ? state.knots : state.levels).at(-1)?.time ?? 0
}

/** A start that is ahead of its points is not older than what speaks of it. */
export function heardAt(state: CounterState): number {
  const heard = Math.max(lastOf(state), (state.heard ?? 0) * 1000)
  if (state.kind === 'started') return Math.max(heard, state.start)
  if (state.kind === 'levels') return heard
  return state.epochs.reduce((latest, { start, time }) => Math.max(latest, start, time), heard)
}

/** Whether a point is so long behind when it comes, that its time does not tell that its counter speaks. */
export const isLongBehind = (time: number, receivedAt: number): boolean => receivedAt * 1000 - time > MEMORY

/** A state that has taken a point, with when that came where its times do not tell. */
export function withHeard<State extends CounterState>(state: State, receivedAt: number): State {
  const { heard: before, ...rest } = state
  if (isLongBehind(lastOf(state), receivedAt)) return before === receivedAt ? state : { ...state, heard: receivedAt }
  return before === undefined ? state : (rest as State)
}
