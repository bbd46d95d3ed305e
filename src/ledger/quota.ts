import { MINUTE } from './hours.ts'

/** A turn of AWS's quota that is further away was taken by a clock that was ahead, in milliseconds. */
export const LONGEST_WAIT = MINUTE
