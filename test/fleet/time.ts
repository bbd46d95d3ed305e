import { HOUR } from '../../src/ledger/hours.ts'

/** A virtual hour in real milliseconds. */
export const REAL_HOUR = 20_000
const SPEED = HOUR / REAL_HOUR
/** The middle of a month, at the beginning of an hour. */
export const START = Date.UTC(2026, 4, 12, 8)

/** The virtual time that a real one stands for. All of a run have one beginning. */
export const virtual = (real: number, began: number): number => START + (real - began) * SPEED

/** The real time until a virtual duration has passed, in milliseconds. */
export const real = (duration: number): number => duration / SPEED
