import type { Agreement } from '../ledger.ts'
import { toldAgreement } from '../rules/agreement.ts'
import { agreementOf } from './piece-rows.ts'
import { CUSTOMER, customerOf, type Row } from './rows.ts'

/** Customers' agreements in tables' rows, in one place for the engines that have tables. */

/** An account by itself, as `Piece.addAccount` takes it. What is to be loaded follows. */
export const BOOKED_ACCOUNT = `SELECT account.id AS account, account.blocked_at, account.probe_at, account.probe_delay,
  account.agreement, account.entitlements, ${CUSTOMER} FROM account`

/** The agreements that are known; conditions follow. */
export const AGREEMENTS = `SELECT ${CUSTOMER}, account.agreement, account.blocked_at FROM account
  WHERE account.agreement IS NOT NULL`

/** A row of `AGREEMENTS`. */
export function agreementEntryOf(row: Row): Agreement {
  return toldAgreement(customerOf(row), agreementOf(row) ?? { marks: [] }, row.blocked_at as number | null)
}
