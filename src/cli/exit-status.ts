/**
 * What a command ends with, the same for all; 0 where it is done and there is nothing to decide. `json.md` has the table.
 */

/** It is done, and there is something that a person has to look at or decide. */
export const TO_DECIDE = 1

/** It is not done, or usage is at risk; also for a mistake in the command line. */
export const FAILED = 2
