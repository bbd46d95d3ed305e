import type { HeldReason, Outcome, RecordState } from '../ledger.ts'

/**
 * The states of a record: how an answer, or the end of its window, changes them, in one place for every engine.
 *
 * A record is *in doubt* while one of its attempts has no answer that proves it was not taken: then only `Success`
 * tells that AWS billed it, and whatever else ends it makes it held. `DuplicateRecord` proves it of that attempt alone.
 */
export interface RecordFacts {
  readonly state: RecordState
  readonly reason?: string | undefined
  readonly quantity: number
  readonly attempts: number
  /** How many of the attempts were answered in a way that proves they were not taken. */
  readonly refusals: number
  /** Whether it was frozen to see if a customer that was not subscribed is back. */
  readonly probe: boolean
  /** Whether the customer's agreement has ended since its hour. */
  readonly ended: boolean
  /** Whether its hour is known to be inside the customer's agreement. */
  readonly inside: boolean
  /** Whether AWS has said last that the customer is not subscribed. */
  readonly blocked: boolean
}

export interface Transition {
  readonly state: RecordState
  readonly reason?: HeldReason | 'expired' | undefined
  readonly refusals: number
}

/**
 * The state of a record after `outcome`, the answer to one attempt. `first` when it comes under the record's present
 * claim, which it ends: only then does it count among the refusals, since an answer that was written down twice would
 * otherwise hide an attempt that has none.
 */
export function afterAnswer(record: RecordFacts, outcome: Outcome, first: boolean): Transition {
  const refusals = record.refusals + (first && provesNotTaken(outcome) ? 1 : 0)
  const unchanged = { state: record.state, reason: record.reason as Transition['reason'], refusals }
  if (record.state === 'metered') return unchanged
  if (outcome.type === 'metered') return { state: 'metered', refusals: record.refusals }
  if (outcome.type === 'conflict') {
    if (record.state === 'returned') return unchanged
    // Another quantity stands in this hour. But by one sentence of AWS's guidance, against its reference, an identical
    // resend is answered so as well: then an attempt before, which has no answer, was taken.
    const before = record.attempts - record.refusals > 1
    return end(record, 'conflict', before ? record.refusals : record.attempts, outcome.rollForward)
  }
  if (record.state !== 'pending') return unchanged
  if (outcome.type === 'retry') return outcome.outOfBounds ? { ...unchanged, reason: 'refused' } : unchanged
  // AWS will take it: its licence is late, or its account suspended.
  if (outcome.type === 'not-subscribed' && waitsForAgreement(record))
    return { state: 'pending', reason: 'not-subscribed', refusals }
  return end(record, outcome.type, refusals, outcome.type === 'not-subscribed' && record.probe)
}

/**
 * The state of a pending record after the end of its window, or `early` where a clock that was ahead has frozen it.
 */
export function afterWindow(record: RecordFacts, early: boolean): Transition {
  if (record.ended) return end(record, 'agreement-ended', record.refusals, false)
  if (inDoubt(record)) return end(record, 'in-doubt', record.refusals, false)
  // In the balance it would be billed by an agreement that began since, when another record shows that there is one.
  const { blocked, reason, probe } = record
  const refused = reason === 'refused' ? reason : blocked || reason === 'not-subscribed' ? 'not-subscribed' : undefined
  if (refused !== undefined && !probe && !early) return end(record, refused, record.refusals, false)
  return { state: 'returned', reason: 'expired', refusals: record.refusals }
}

/** What a claim takes where it does not say. No record has so many attempts, and PostgreSQL's integers end there. */
export const ANY_UNANSWERED = { from: 0, below: 2 ** 31 - 1 } as const

function waitsForAgreement({ inside, probe, quantity }: RecordFacts): boolean {
  return inside && !probe && quantity > 0
}

export function inDoubt(record: Pick<RecordFacts, 'attempts' | 'refusals'>): boolean {
  return record.attempts > record.refusals
}

function end(record: RecordFacts, reason: HeldReason, refusals: number, rollForward: boolean): Transition {
  // Of nothing there is nothing to hold.
  if (record.quantity === 0) return { state: 'returned', reason, refusals }
  if (record.attempts > refusals) return { state: 'held', reason: 'in-doubt', refusals }
  return { state: rollForward ? 'returned' : 'held', reason, refusals }
}

function provesNotTaken(outcome: Outcome): boolean {
  return (
    outcome.type === 'not-subscribed' || outcome.type === 'refused' || (outcome.type === 'retry' && outcome.notTaken)
  )
}
