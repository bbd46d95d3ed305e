import type { NotCounted } from '../ledger.ts'
import type { SeriesUsage } from './usage.ts'

/** What points added, and what of them was not simply counted. */
export interface CountResult {
  readonly usage: readonly SeriesUsage[]
  readonly notes: readonly CountNote[]
  /** When the last of it came, in milliseconds since the epoch, and the last of a batch with deltas; 0 without. */
  readonly at: number
  readonly deltasAt: number
}

export interface CountNote {
  readonly account: number
  readonly dimension: number
  readonly verdict: NotCounted
  readonly points: number
  readonly amount: bigint
}
