import { AGREEMENT_GRACE } from './time-rules.ts'
import type { EntitlementValue } from './wire.ts'

/** What a customer is entitled to of a dimension, from a time on. Times are milliseconds since the epoch. */
export interface Terms {
  since: number
  value: EntitlementValue
  expiresAt: number
}

/** When an agreement was in force, in milliseconds; `from` and `to` are infinite where there is no end. */
export interface Period {
  from: number
  to: number
  /** When AWS begins to take its usage, which may be from before; infinite as long as it is pending. */
  activeAt: number
  /** AWS's id of it. */
  agreementId: string
  /** By dimension, in the order of the times from which they hold. */
  entitlements: Map<string, Terms[]>
}

/** What a customer is subscribed to. */
export interface Agreement {
  /** Nothing means every product. */
  product: string | undefined
  licenseArn: string | undefined
  customer: Customer
  periods: Period[]
}

export interface Customer {
  accountId: string | undefined
  customerIdentifier: string | undefined
  /** Whether what no agreement says is allowed. */
  open: boolean
  /** When AWS has suspended the buyer's account. */
  suspended: { from: number; to: number } | undefined
  agreements: Agreement[]
}

/**
 * How usage of a time stands to a customer's agreements, at a time:
 * - `covered`: an agreement was in force then, and has not ended more than an hour ago;
 * - `early`, `late`: there is such an agreement, but the usage is from before its beginning or after its end;
 * - `pending`: there is one that is not active yet;
 * - `none`: there is no such agreement.
 */
export type Standing = 'covered' | 'early' | 'late' | 'pending' | 'none'

/** @param timestamp when the usage was, and `now`, both in milliseconds */
export function standing(agreements: Iterable<Agreement>, timestamp: number, now: number): Standing {
  let result: Standing = 'none'
  for (const { periods } of agreements) {
    for (const { from, to, activeAt } of periods) {
      if (now < from || now > to + AGREEMENT_GRACE) continue
      if (now < activeAt) {
        if (result === 'none') result = 'pending'
        continue
      }
      // Timestamps are whole seconds, so the second in which an agreement began belongs to it.
      if (timestamp < Math.floor(from / 1000) * 1000) result = result === 'late' ? 'late' : 'early'
      else if (timestamp > to) result = 'late'
      else return 'covered'
    }
  }
  return result
}
