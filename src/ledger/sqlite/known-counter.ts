import { type CounterState, plainOf, sizeOfState, startedOf } from '../rules/counters/index.ts'

/** About how many bytes one takes that has nothing but its mark, with its key and its place in a map. */
const SIZE_OF_PLAIN = 250

/** A counter, and what is remembered of it: of most that is a few numbers, in place of a state's objects. */
export class KnownCounter {
  readonly id: number
  #names: readonly string[] = []
  #start = 0
  #mark = 0
  #time = 0
  #points = 0
  /** The state of one that has more, or more than a number holds. */
  readonly #other: CounterState | undefined

  constructor(id: number, state: CounterState) {
    this.id = id
    this.#other = this.#take(state) ? undefined : state
  }

  get state(): CounterState {
    if (this.#other !== undefined) return this.#other
    return startedOf(this.#start, this.#names, BigInt(this.#mark), this.#time, this.#points)
  }

  /** Puts another state in its place; false where that needs more room, or less. */
  replace(state: CounterState): boolean {
    return this.#other === undefined && this.#take(state)
  }

  /** About how many bytes it takes in memory. */
  get size(): number {
    return SIZE_OF_PLAIN + (this.#other === undefined ? 0 : sizeOfState(this.#other))
  }

  #take(state: CounterState): boolean {
    if (state.kind !== 'started') return false
    const plain = plainOf(state)
    if (plain === undefined) return false
    const { names, mark, time, emitted, points } = plain
    if (emitted !== mark || mark > Number.MAX_SAFE_INTEGER) return false
    this.#start = state.start
    this.#names = names
    this.#mark = Number(mark)
    this.#time = time
    this.#points = points
    return true
  }
}
