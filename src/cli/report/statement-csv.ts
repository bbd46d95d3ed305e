import type { StatementLine } from '../../ledger/ledger.ts'
import { type CsvCell, csv, csvAmount } from '../../text/csv.ts'
import { moneyText } from '../../text/money.ts'
import { iso } from '../../text/time.ts'
import { formatAmount } from '../../usage/amount.ts'
import { AGREEMENT_CELLS, agreementCells } from './agreements.ts'
import { chargeOf, reasonsOf, type StatementReport } from './statement.ts'

/**
 * The statement for a spreadsheet: a row for each line, amounts in base units. Of hours, days or months also from when to
 * when, what AWS bills in units of the dimension, and what that costs.
 */
export function statementCsv(report: StatementReport): string {
  const { lines, agreements, by, rateCard } = report
  const header = [
    ...(by === undefined ? [] : ['from', 'to']),
    ...['kind', 'account', 'product', 'account_id', 'customer_identifier', 'license_arn'],
    ...['unattributed_reason', 'evidence', 'dimension', 'unit', 'base_unit', 'size'],
    ...['recorded', 'included', 'metered', 'pending', 'held', 'held_for', 'balance', ...AGREEMENT_CELLS],
    ...(by === undefined ? [] : ['included_quantity', 'metered_quantity', 'pending_quantity', 'held_quantity']),
    ...(rateCard === undefined ? [] : ['price', 'charge', 'currency']),
  ]
  return csv(
    header,
    lines.map(line => {
      const { span } = line
      const cells = [...csvRow(line), ...agreementCells(agreements.get(line.account.key))]
      if (span === undefined) return cells
      const { included, metered, pending, held } = span.quantities
      const quantities = [included, metered, pending, held].map(quantity => ({ value: String(quantity) }))
      return [iso(span.from), iso(span.to), ...cells, ...quantities, ...chargeCells(line, report)]
    }),
  )
}

function chargeCells(line: StatementLine, report: StatementReport): CsvCell[] {
  const { rateCard } = report
  if (rateCard === undefined) return []
  const charged = chargeOf(line, report)
  if (charged === undefined) return [undefined, undefined, undefined]
  const { price, charge } = charged
  return [{ value: moneyText(price) }, { value: moneyText(charge) }, rateCard.currency]
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
    ...[csvAmount(figures.recorded), csvAmount(figures.included)],
    ...[csvAmount(figures.metered), csvAmount(figures.pending)],
    ...[csvAmount(figures.held), reasons.join('; '), csvAmount(figures.balance)],
  ]
}
