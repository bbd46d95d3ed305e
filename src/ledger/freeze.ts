import { MAX_QUANTITY } from '../usage/dimension.ts'
import type { HeldReason } from './ledger.ts'

/** What a series brings to the closing of an hour, in one place for every engine. */
export interface FreezableSeries {
  readonly balance: bigint
  readonly size: bigint
  readonly maxQuantity: number | null
  /** The quantity that a person let past the guard. */
  readonly approved: number
  readonly ended: boolean
}

export interface Frozen {
  readonly quantity: number
  /** Why the record is held from the start. */
  readonly held: HeldReason | null
}

/**
 * The whole units of a balance. Since it works on all that is recorded and not frozen, late usage, fractions,
 * returned quantities and what was above the largest quantity go into the next record without a special case.
 */
export function freeze(series: FreezableSeries): Frozen {
  const whole = series.balance > 0n ? series.balance / series.size : 0n
  const quantity = Number(whole < MAX_QUANTITY ? whole : BigInt(MAX_QUANTITY))
  if (series.ended) return { quantity, held: 'agreement-ended' }
  const guarded = series.maxQuantity !== null && quantity > series.maxQuantity + series.approved
  return { quantity, held: guarded ? 'over-maximum' : null }
}
