import { HOUR, windowClosesAt } from '../ledger/hours.ts'
import type { AuditEntry, LedgerStatus } from '../ledger/ledger.ts'
import { iso } from '../text/time.ts'
import type { Finding } from './preflight/finding.ts'

/** What a person has to know and to do while a ledger lacks commits; see `openLoss`. */
export function lossFinding({ at, detail = '' }: AuditEntry, status: LedgerStatus): Required<Finding> {
  const { oldestPendingHour, closedThrough } = status
  const hours = [oldestPendingHour, closedThrough === undefined ? undefined : closedThrough + HOUR]
  const oldest = Math.min(...hours.filter(hour => hour !== undefined))
  const until =
    oldest === Number.POSITIVE_INFINITY ? '' : ` AWS takes the oldest of it until ${iso(windowClosesAt(oldest))}.`
  return {
    name: 'lost commits',
    state: 'warning',
    message:
      `The ledger has lost usage that it had acknowledged: nothing is frozen or sent, since it could be billed twice. ` +
      `Noted at ${iso(at)}: ${detail}.${until}`,
    advice: DECLARE,
  }
}

const DECLARE =
  'See that nothing runs on the server that was lost; then hold what it may have billed: marketplace-meter ' +
  'declare-restored --why "…"'
