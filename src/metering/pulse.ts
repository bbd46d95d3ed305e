import { DAY, HOUR, MINUTE } from '../ledger/hours.ts'

const WEEK = 7 * DAY

/** In so many minutes something has to have come before its pauses say what is usual. */
const REGULAR = 10
/** So many times as long as its longest pause something is silent before that is unusual. */
const UNUSUAL = 3

/** When something came, and how long its pauses are. Times are milliseconds since the epoch. */
export class Pulse {
  /** How much came in all. */
  count = 0
  firstAt: number | undefined
  lastAt: number | undefined
  #minutes = 0
  #longestPause = 0

  beat(now: number, more: number): void {
    this.count += more
    const last = this.lastAt
    this.firstAt ??= now
    this.lastAt = now
    if (last === undefined || Math.floor(last / MINUTE) === Math.floor(now / MINUTE)) return
    this.#minutes += 1
    this.#longestPause = Math.max(this.#longestPause, now - last)
  }

  /** Has it come when there are so many now? */
  reach(now: number, count: number): boolean {
    if (count <= this.count) return false
    this.beat(now, count - this.count)
    return true
  }

  /** How long it may be silent while its like goes on: an hour, or longer where that is usual, and a day at most. */
  get patience(): number {
    if (this.#minutes < REGULAR) return DAY
    return Math.min(Math.max(HOUR, UNUSUAL * this.#longestPause), DAY)
  }

  /** How long it may be silent where its like is silent too, as an application is whose users sleep. */
  get longPatience(): number {
    return Math.min(Math.max(DAY, UNUSUAL * this.#longestPause), WEEK)
  }
}
