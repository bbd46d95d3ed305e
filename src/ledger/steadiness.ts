/** Whether what a process knows of another clock still holds, by its own clocks. */

/** For how long, in milliseconds. */
const TRUSTED_FOR = 5000
/** This process's clock was set, or the process was stopped, when its time and what has passed differ by more. */
const LARGEST_STEP = 500
/** A clock's answer that took longer is not believed, in milliseconds: the process may have been stopped meanwhile. */
export const LONGEST_ANSWER = 5000
/** After so many the last is. */
export const MOST_ASKED = 3

/** When something was learnt: by this process's clock, in milliseconds since the epoch, and by one that nobody sets. */
export interface Instant {
  readonly here: number
  readonly elapsed: number
}

export function stillHolds(learnt: Instant, now: Instant): boolean {
  const passed = now.elapsed - learnt.elapsed
  return Math.abs(now.here - learnt.here - passed) <= LARGEST_STEP && passed < TRUSTED_FOR
}
