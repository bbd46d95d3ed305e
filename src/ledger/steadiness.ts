/** Whether what a process knows of another clock still holds, by its own clocks. */

/** For how long, in milliseconds. */
const TRUSTED_FOR = 5000
/** This process's clock was set, or the process was stopped, when its time and what has passed differ by more. */
const LARGEST_STEP = 500
/** How often another clock is asked until an answer comes soon; the last is believed. */
const MOST_ASKED = 3

/** When something was learnt: by this process's clock, in milliseconds since the epoch, and by one that nobody sets. */
export interface Instant {
  readonly here: number
  readonly elapsed: number
}

export function stillHolds(learnt: Instant, now: Instant): boolean {
  const passed = now.elapsed - learnt.elapsed
  return Math.abs(now.here - learnt.here - passed) <= LARGEST_STEP && passed < TRUSTED_FOR
}

/** What another clock said, and when it was asked and had answered, by one of this process's. */
export interface ToldTime {
  readonly there: number
  readonly asked: number
  readonly answered: number
}

/**
 * Asks another clock, and again where the answer took so long that this process may have been stopped meanwhile: then
 * nobody knows when it was true. All are in milliseconds.
 */
export async function askTime(ask: (asked: number) => Promise<number>, clock: () => number): Promise<ToldTime> {
  for (let times = 1; ; times += 1) {
    const asked = clock()
    const there = await ask(asked)
    const answered = clock()
    if (answered - asked <= TRUSTED_FOR || times === MOST_ASKED) return { there, asked, answered }
  }
}
