import type { CustomerAccount } from '../../usage/account.ts'
import { HOUR } from '../hours.ts'
import type { Agreement, AgreementNews, AgreementOptions, AgreementResult, AgreementsQuery } from '../ledger.ts'
import { agreementEntry } from '../rules/audit.ts'
import { closingTerms, finalHours } from '../rules/closing.ts'
import { noteNews, RECONSIDERED, reconsider } from '../rules/decisions.ts'
import { AGREEMENTS, agreementEntryOf, BOOKED_ACCOUNT } from '../sql/agreement-rows.ts'
import { Piece } from '../sql/piece.ts'
import { writeAudit } from './audit.ts'
import { closeResult } from './closing.ts'
import type { Database, Row } from './database.ts'
import { allIncluded } from './entitlements.ts'
import { openHours } from './open-usage.ts'
import { loadRecords, type SavedRecord, savePiece } from './piece.ts'
import { closedThrough } from './reports.ts'
import { accountId, loadSeries, takeOpenUsage } from './series.ts'

/** Customers' agreements: what is told of them, and what that changes. */

export function noteAgreement(
  database: Database,
  customer: CustomerAccount,
  news: AgreementNews,
  options: AgreementOptions,
): AgreementResult {
  return database.write('note an agreement', () => {
    const account = accountId(database, customer)
    const piece = new Piece()
    piece.addAccount(database.get(`${BOOKED_ACCOUNT} WHERE account.id = ?`, account) as Row)
    const changed = noteNews(piece, account, news)
    savePiece(database, piece)
    const hours = finalHours(piece.account(account).agreement, news, closedThrough(database), options)
    const frozen = freezeAll(database, account, hours, options)
    const unsettled = "(record.state = 'pending' OR (record.state = 'held' AND record.hour > ?)) AND series.account = ?"
    const records = loadRecords(database, unsettled, options.now - RECONSIDERED, account)
    const included = allIncluded(database)
    for (const record of records.records) {
      reconsider(records, record, included.of(customer.product, records.seriesOf(record).dimension), options)
    }
    savePiece(database, records)
    if (changed || frozen.length > 0) writeAudit(database, agreementEntry(customer, news, options))
    return { ...closeResult(database, frozen), changed }
  })
}

/** Freezes what a customer owes at the end of its agreement. */
function freezeAll(
  database: Database,
  account: number,
  hours: readonly number[],
  options: AgreementOptions,
): SavedRecord[] {
  const frozen: SavedRecord[] = []
  const series = database.all('SELECT id FROM series WHERE account = ?', account).map(({ id }) => id as number)
  for (const hour of hours) {
    const terms = closingTerms(hour, options)
    const using = takeOpenUsage(database, hour, { hours: openHours(database, 0, hour + HOUR), series })
    using.freeze(terms, allIncluded(database))
    frozen.push(...savePiece(database, using))
    const others = loadSeries(database, hour, 'series.account = ?', account)
    others.freeze(terms, allIncluded(database))
    frozen.push(...savePiece(database, others))
  }
  return frozen
}

export function agreements(database: Database, { tenant, customer }: AgreementsQuery): Agreement[] {
  const conditions: string[] = []
  const values: string[] = []
  if (tenant !== undefined) {
    conditions.push("agreement ->> 'tenant' = ?")
    values.push(tenant)
  }
  if (customer !== undefined) {
    conditions.push(`? IN (account.key, account.account_id, account.customer_identifier, account.license_arn,
      agreement ->> 'customerIdentifier')`)
    values.push(customer)
  }
  return database
    .all(`${AGREEMENTS} ${conditions.map(one => `AND ${one}`).join(' ')} ORDER BY account.id`, ...values)
    .map(agreementEntryOf)
}
