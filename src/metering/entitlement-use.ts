import type { CustomerEntitlement, Included } from '../ledger/ledger.ts'

/** What is used, at a time, of a quantity that is included then. */
export interface EntitlementUse {
  readonly used: bigint
  /** 0 or more: what was used stays so where a contract includes less than before. */
  readonly left: bigint
  /** When what is used began to count, in milliseconds since the epoch; 0 where it was there before it was heard of. */
  readonly since: number
}

/** Undefined where its term is not the one that holds the time. */
export function useOf(
  { amount, used, from = 0, until = Number.POSITIVE_INFINITY, usedSince = from }: CustomerEntitlement,
  per: Included['per'],
  now: number,
): EntitlementUse | undefined {
  if (now < from || now >= until) return undefined
  const date = new Date(now)
  const since = per === 'term' ? from : Math.max(from, Date.UTC(date.getUTCFullYear(), date.getUTCMonth()))
  // Of a month that has begun since nothing is used yet.
  const drawn = usedSince >= since ? used : 0n
  return { used: drawn, left: amount > drawn ? amount - drawn : 0n, since }
}
