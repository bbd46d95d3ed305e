import { HOUR } from '../hours.ts'
import type { LedgerStatus } from '../ledger.ts'

/** Whether something stands still, by the ledger's figures: one answer for all who show it. */

/** A record is normally settled minutes after its hour is closed. */
const PENDING_LATE = 3 * HOUR
/** Passes close hours every minute or so. */
const CLOSE_LATE = HOUR

/** When an hour is closed at the earliest. */
export function closesAt(hour: number, closeDelay: number): number {
  return hour + HOUR + closeDelay
}

/** The hour of the oldest record without a final answer, where that is late. */
export function latePendingHour({ oldestPendingHour: oldest }: LedgerStatus, now: number): number | undefined {
  return oldest !== undefined && now - oldest > PENDING_LATE ? oldest : undefined
}

/** When the next hour was to be closed, where that is overdue. */
export function overdueClose({ closedThrough }: LedgerStatus, closeDelay: number, now: number): number | undefined {
  if (closedThrough === undefined) return undefined
  const due = closesAt(closedThrough + HOUR, closeDelay)
  return now - due > CLOSE_LATE ? due : undefined
}
