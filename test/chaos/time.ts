export const SECOND = 1000
export const MINUTE = 60 * SECOND
export const HOUR = 60 * MINUTE
export const DAY = 24 * HOUR

export const hourOf = (time: number): number => time - (time % HOUR)

/** A strategy's own clock: it stands at the minute the month has come to, and waiting moves it on at once. */
export class VirtualClock {
  #now: number

  constructor(start: number) {
    this.#now = start
  }

  readonly now = (): number => this.#now

  /** It never goes back: a strategy that waited long comes late to the next minute. */
  reach(time: number): void {
    this.#now = Math.max(this.#now, time)
  }

  readonly sleep = async (milliseconds: number): Promise<void> => this.reach(this.#now + milliseconds)
}
