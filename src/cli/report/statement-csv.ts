import type { StatementLine } from '../../ledger/ledger.ts'
import { type CsvCell, csv, csvAmount } from '../../text/csv.ts'
import { formatAmount } from '../../usage/amount.ts'
import { AGREEMENT_CELLS, agreementCells } from './agreements.ts'
import { reasonsOf, type StatementReport } from './statement.ts'

/** The statement for a spreadsheet: a row for each line, amounts in base units. */
export function statementCsv({ lines, agreements }: StatementReport): string {
  const header = [
    ...['kind', 'account', 'product', 'account_id', 'customer_identifier', 'license_arn'],
    ...['unattributed_reason', 'evidence', 'dimension', 'unit', 'base_unit', 'size'],
    ...['recorded', 'metered', 'pending', 'held', 'held_for', 'balance', ...AGREEMENT_CELLS],
  ]
  return csv(
    header,
    lines.map(line => [...csvRow(line), ...agreementCells(agreements.get(line.account.key))]),
  )
}

function csvRow({ account, dimension, ...figures }: StatementLine): CsvCell[] {
  const customer = account.kind === 'customer' ? account : undefined
  const unattributed = account.kind === 'unattributed' ? account : undefined
  const reasons = reasonsOf(figures.heldByReason).map(([reason, amount]) => `${reason} ${formatAmount(amount)}`)
  return [
    ...[account.kind, account.key, account.product],
    ...[customer?.accountId, customer?.customerIdentifier, customer?.licenseArn],
    ...[unattributed?.reason, unattributed?.evidence],
    ...[dimension.name, dimension.unit, dimension.baseUnit, csvAmount(dimension.size)],
    ...[csvAmount(figures.recorded), csvAmount(figures.metered), csvAmount(figures.pending)],
    ...[csvAmount(figures.held), reasons.join('; '), csvAmount(figures.balance)],
  ]
}
