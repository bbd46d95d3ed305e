import { DAY } from '../ledger/hours.ts'
import type { AuditEntry, Ledger } from '../ledger/ledger.ts'

/** What is told of records above their dimension's `alertQuantity`: they are sent, and a person looks at them. */
export const QUANTITY_ALERT = {
  title: 'More is billed in an hour than is usual.',
  /** What to do about it. */
  mend: 'Find out whether all of it was used. Was it not, stop what counts it, and "marketplace-meter adjust" what was billed too much',
}

/** So long is one shown: as long as AWS takes usage of an hour. */
const SHOWN = DAY

/** The last alert of the last day, whichever process found it. */
export async function recentQuantityAlert(ledger: Pick<Ledger, 'audit'>, now: number): Promise<AuditEntry | undefined> {
  const [entry] = await ledger.audit({ actions: ['above-alert'], limit: 1 })
  return entry !== undefined && entry.at > now - SHOWN ? entry : undefined
}
