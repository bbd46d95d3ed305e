import type { CustomerAccount } from '../../usage/account.ts'
import type { Agreement, AgreementNews, AgreementOptions, AgreementResult, AgreementsQuery } from '../ledger.ts'
import { agreementEntry } from '../rules/audit.ts'
import { closingTerms, finalHours } from '../rules/closing.ts'
import { noteNews, RECONSIDERED, reconsider } from '../rules/decisions.ts'
import { AGREEMENTS, agreementEntryOf, BOOKED_ACCOUNT } from '../sql/agreement-rows.ts'
import { Piece } from '../sql/piece.ts'
import { writeAudit } from './audit.ts'
import { closeResult } from './closing.ts'
import type { Database, Row, Transaction } from './database.ts'
import { allIncluded } from './entitlements.ts'
import { decideWaiting, foldJournal } from './fold.ts'
import { lockLedger } from './ledger-row.ts'
import { both, type FrozenRecords, loadRecords, NONE, savePiece } from './piece.ts'
import { openHours } from './reports.ts'
import { accountId, loadSeries, takeOpenUsage } from './series.ts'

/** Customers' agreements: what is told of them, and what that changes. */

export async function noteAgreement(
  database: Database,
  customer: CustomerAccount,
  news: AgreementNews,
  options: AgreementOptions,
): Promise<AgreementResult> {
  if (news.what === 'ended') {
    await foldJournal(database)
    await decideWaiting(database, options.now, customer.key)
  }
  const { frozen, changed } = await database.writeOnce('note an agreement', async transaction => {
    const { closedThrough } = await lockLedger(transaction)
    const account = await accountId(transaction, customer)
    const piece = new Piece()
    piece.addAccount((await transaction.get(`${BOOKED_ACCOUNT} WHERE account.id = $1`, account)) as Row)
    const changed = noteNews(piece, account, news)
    await savePiece(transaction, piece)
    const hours = finalHours(piece.account(account).agreement, news, closedThrough, options)
    const frozen = await freezeAll(transaction, account, hours, options)
    const records = await loadRecords(
      transaction,
      "(record.state = 'pending' OR (record.state = 'held' AND record.hour > $2)) AND series.account = $1",
      ...[account, options.now - RECONSIDERED],
    )
    const included = await allIncluded(transaction)
    for (const record of records.records) {
      reconsider(records, record, included.of(customer.product, records.seriesOf(record).dimension), options)
    }
    await savePiece(transaction, records)
    if (changed || frozen.records > 0) await writeAudit(transaction, [agreementEntry(customer, news, options)])
    return { frozen, changed }
  })
  return { ...(await closeResult(database, frozen)), changed }
}

/** Freezes what a customer owes at the end of its agreement. */
async function freezeAll(
  transaction: Transaction,
  account: number,
  hours: readonly number[],
  options: AgreementOptions,
): Promise<FrozenRecords> {
  let frozen = NONE
  const included = await allIncluded(transaction)
  for (const hour of hours) {
    const terms = closingTerms(hour, options)
    const using = await takeOpenUsage(
      transaction,
      hour,
      'hour = ANY($2::bigint[]) AND hour <= $1 AND series IN (SELECT id FROM series WHERE account = $3)',
      ...[await openHours(transaction), account],
    )
    using.freeze(terms, included)
    frozen = both(frozen, await savePiece(transaction, using))
    const others = await loadSeries(transaction, hour, 'account.id = $2 ORDER BY series.id', account)
    others.freeze(terms, included)
    frozen = both(frozen, await savePiece(transaction, others))
  }
  return frozen
}

export async function agreements(
  transaction: Transaction,
  { tenant, customer }: AgreementsQuery,
): Promise<Agreement[]> {
  const conditions: string[] = []
  const values: string[] = []
  if (tenant !== undefined) {
    conditions.push(`AND agreement::jsonb ->> 'tenant' = $${values.push(tenant)}`)
  }
  if (customer !== undefined) {
    const given = `$${values.push(customer)}`
    conditions.push(
      `AND ${given} IN (account.key, account.account_id, account.customer_identifier, account.license_arn,
        agreement::jsonb ->> 'customerIdentifier')`,
    )
  }
  const rows = await transaction.all(`${AGREEMENTS} ${conditions.join(' ')} ORDER BY account.id`, ...values)
  return rows.map(agreementEntryOf)
}
